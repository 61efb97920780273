"""Pictures and files, between two formats."""

from base64 import b64encode

import pytest

from tests.gateway.formats import ask
from tokenwire.gateway.matrix import COLUMNS
from tokenwire.protocols.chat import Chat, FilePart, ImagePart, Message, Part, TextPart
from tokenwire.protocols.errors import BadRequest

CSV = FilePart.of_bytes("a,\u20ac".encode(), "text/csv", "a.csv")
PLAIN = FilePart.of_bytes("a,\u20ac".encode(), "text/plain", "a.csv")


def sent(part: Part, front: str, back: str, *allow: str) -> tuple[Part, tuple[str, ...]]:
    found = ask(Chat(messages=(Message("user", (part,)),)), front, back, *allow)
    (told,) = found.chat.messages[0].parts
    return told, found.losses


def refused(part: Part, front: str, back: str, *allow: str) -> str:
    with pytest.raises(BadRequest, match=r"^(messages|contents|input): ") as caught:
        sent(part, front, back, *allow)
    return str(caught.value)


# Pictures


@pytest.mark.parametrize(
    ("url", "backs"),
    [
        ("http://x.test/1.png", "openai_chat openai_responses anthropic cohere mistral"),
        ("https://x.test/1.png", "openai_chat openai_responses anthropic gemini cohere mistral"),
        ("gs://x/1.png", "gemini"),
        ("s3://x/1.png", ""),
        ("HTTPS://x.test/1.png", ""),
        ("data:image/png", ""),
    ],
)
def test_addresses_of_pictures(url: str, backs: str) -> None:
    for back in sorted({*COLUMNS} - {"ollama"}):
        front = "ollama"
        if back in backs.split():
            assert sent(ImagePart(url), front, back) == (ImagePart(url), ())
        else:
            assert "a picture by its address" in refused(ImagePart(url), front, back)


def test_a_picture_for_a_service_that_sees_none() -> None:
    chat = Chat(messages=(Message("user", (ImagePart.of_bytes(b"a", "image/png"),)),))
    with pytest.raises(BadRequest, match="messages: a picture can't be translated"):
        ask(chat, "anthropic", "openai_chat", "image", refuses=frozenset(("images",)))


def test_a_detail_that_means_nothing_is_no_loss() -> None:
    picture = ImagePart.of_bytes(b"a", "image/png")
    for back in ("anthropic", "gemini", "ollama", "bedrock"):
        auto = ImagePart(picture.url, "auto")
        assert sent(auto, "openai_chat", back) == (picture, ())
        high = ImagePart(picture.url, "high")
        assert sent(high, "openai_chat", back) == (picture, ("image_detail",))
    original = ImagePart(picture.url, "original")
    assert sent(original, "openai_chat", "cohere") == (picture, ("image_detail",))
    low = ImagePart(picture.url, "low")
    assert sent(low, "openai_chat", "cohere") == (low, ())


# Documents


def test_a_text_document_may_become_a_text() -> None:
    text = TextPart("a.csv\n\na,\u20ac")
    for back in ("openai_chat", "openai_responses", "ollama", "cohere", "mistral"):
        assert "text/csv" in refused(CSV, "anthropic", back)
        assert sent(CSV, "anthropic", back, "documents") == (text, ("documents",))
    unnamed = FilePart(CSV.url, "text/csv", cache="5m")
    found = sent(unnamed, "anthropic", "openai_responses", "documents")
    assert found == (TextPart("a,\u20ac"), ("documents", "cache"))


def test_a_text_document_where_there_are_some() -> None:
    assert sent(CSV, "openai_chat", "gemini") == (CSV, ())
    assert sent(CSV, "openai_chat", "bedrock") == (CSV, ())
    assert sent(CSV, "openai_chat", "anthropic") == (PLAIN, ())
    assert sent(PLAIN, "openai_chat", "bedrock") == (PLAIN, ())
    untyped = FilePart(CSV.url)
    assert sent(untyped, "openai_chat", "anthropic") == (FilePart(PLAIN.url, "text/plain"), ())


@pytest.mark.parametrize("data", [b"\xff", "no base64"])
def test_a_text_document_that_is_no_text(data: bytes | str) -> None:
    coded = data if isinstance(data, str) else b64encode(data).decode()
    part = FilePart(f"data:text/plain;base64,{coded}", "text/plain")
    assert "that is not UTF-8" in refused(part, "openai_chat", "anthropic")
    assert "that is not UTF-8" in refused(part, "anthropic", "ollama", "documents")


@pytest.mark.parametrize(
    ("part", "front", "backs"),
    [
        (
            FilePart("https://x.test/a.pdf", "application/pdf"),
            "cohere",
            "openai_responses anthropic gemini mistral",
        ),
        (FilePart("https://x.test/a"), "cohere", "openai_responses anthropic gemini mistral"),
        (
            FilePart("https://x.test/a.docx", "application/msword"),
            "cohere",
            "openai_responses gemini mistral",
        ),
        (FilePart("gs://x/a.pdf", "application/pdf"), "cohere", "gemini"),
        (FilePart("s3://x/a.pdf", "application/pdf"), "cohere", "bedrock"),
        (FilePart("s3://x/a.mp4", "video/mp4"), "cohere", "bedrock"),
        (FilePart("https://x.test/a.mp4", "video/mp4"), "cohere", "gemini"),
        (FilePart.of_bytes(b"a", "audio/ogg"), "cohere", "gemini bedrock mistral"),
        (FilePart.of_bytes(b"a", "video/webm"), "cohere", "gemini bedrock"),
        (FilePart.of_bytes(b"a", "video/new"), "cohere", "gemini"),
        (
            FilePart.of_bytes(b"a", "application/zip"),
            "cohere",
            "openai_chat openai_responses gemini mistral",
        ),
    ],
)
def test_files_of_all_kinds(part: FilePart, front: str, backs: str) -> None:
    for back in sorted({*COLUMNS} - {"cohere"}):
        if back in backs.split():
            assert sent(part, front, back) == (part, ())
        else:
            assert "a file of the type" in refused(part, front, back)


def test_a_name_of_audio_is_a_loss() -> None:
    named = FilePart.of_bytes(b"a", "audio/wav", "a.wav")
    assert sent(named, "gemini", "openai_chat") == (
        FilePart(named.url, "audio/wav"),
        ("media_name",),
    )
    pdf = FilePart.of_bytes(b"a", "application/pdf", "a.pdf")
    assert sent(pdf, "gemini", "openai_chat") == (pdf, ())
