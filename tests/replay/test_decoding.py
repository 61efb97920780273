"""What is decoded of recordings."""

import msgspec
import pytest

from tests.replay.taping import SAID, cassette, recording
from tokenwire import (
    ConnectFailed,
    End,
    Reply,
    Responder,
    Service,
    Step,
    Text,
    TimedOut,
    Truncated,
    as_chat,
)
from tokenwire.protocols.dialect import Dialect
from tokenwire.protocols.errors import LocalProtocolError
from tokenwire.protocols.provider import Provider
from tokenwire.protocols.question import Question
from tokenwire.protocols.registry import PROVIDERS
from tokenwire.protocols.toolkit.http import Request
from tokenwire.replay.cassette import Ending, Framing, Head, Noted, Piece, Recording, Sent, body_of
from tokenwire.replay.decoding import (
    as_request,
    chat_of,
    decoded,
    provider_by_path,
    provider_of,
    response_headers,
)
from tokenwire.testing import record

OPENAI = PROVIDERS["openai"]
PATHS = {
    "/v1/chat/completions": "openai",
    "/openai/deployments/gpt/chat/completions": "openai",
    "/v1/responses": "openai-responses",
    "/v1/messages": "anthropic",
    "/v1beta/models/m:streamGenerateContent": "gemini",
    "/api/chat": "ollama",
    "/v2/chat": "cohere",
    "/model/m/converse-stream": "bedrock",
    "/model/m/invoke-with-response-stream": "bedrock-anthropic",
    "/v1/models": None,
    "/elsewhere": None,
}


@pytest.mark.parametrize("path", PATHS)
def test_the_path_tells_the_format(path: str) -> None:
    method = "GET" if path.endswith("/models") else "POST"
    found = provider_by_path(Request(method, f"http://a{path}", []))
    assert (None if found is None else found.name) == PATHS[path]


def test_the_cassette_tells_the_provider() -> None:
    one = recording()
    assert provider_of(cassette(one, provider="groq"), one) is PROVIDERS["groq"]
    found = provider_of(cassette(one, provider="unknown"), one)
    assert found is not None
    assert found.dialect is OPENAI.dialect


@pytest.mark.parametrize(
    ("end", "upto", "word", "error"),
    [
        ("eof", None, "complete", None),
        ("eof", 700, "truncated", Truncated),
        ("disconnect", 300, "truncated", Truncated),
        ("reset", 300, "truncated", Truncated),
        ("timeout", 300, "timed_out", TimedOut),
        ("left", 300, "left", None),
        ("clipped", 300, "left", None),
        ("unreached", 0, "connect_failed", ConnectFailed),
    ],
)
def test_outcomes(end: Ending, upto: int | None, word: str, error: type[Exception] | None) -> None:
    one = recording((61,), end=end, upto=upto)
    if end == "unreached":
        one = msgspec.structs.replace(one, response=None, pieces=())
    found = decoded([one], OPENAI)
    assert found.noted.outcome == word
    assert type(found.error) is (error or type(None))
    if error is None and end == "eof":
        assert Reply.of(found.events).text == Reply.of(SAID).text
        assert found.noted.evidence == "terminator"
        assert sum(found.noted.events.values()) == len(found.events)


@pytest.mark.parametrize(
    ("framing", "headers", "evidence"),
    [
        ("chunked", (), "body_end"),
        ("length", (), "body_end"),
        ("close", (("content-length", "1"),), "connection_close"),
        ("", (), "connection_close"),
        ("", (("content-length", "1"),), "body_end"),
    ],
)
def test_framing_is_evidence(
    framing: Framing, headers: tuple[tuple[str, str], ...], evidence: str
) -> None:
    """A body that ends with its connection shows less than one that HTTP says is complete."""
    made = record(PROVIDERS["aichats"], as_chat("Why?"), [Text("Blue."), End("body_end")])[-1]
    head = Head(200, "1.1", framing, headers)
    sent = Sent(made.request.method, made.request.url, {}, body_of(made.request.body))
    one = Recording(sent, head, (Piece(0, made.body),), end="eof")
    provider = PROVIDERS["aichats"].replace(owes="connection_close")
    assert decoded([one], provider).noted.evidence == evidence


def test_a_retry_and_what_follows_an_answer() -> None:
    refused = Recording(
        recording().request, Head(429), (Piece(0, b'{"error": {"message": "no"}}'),), end="eof"
    )
    found = decoded([refused, recording(), recording()], OPENAI)
    assert found.noted.outcome == "complete"
    assert len(found.decodings) == 2
    assert found.decodings[0].fault is None


def test_where_it_broke() -> None:
    pieces = (Piece(0, b"data: {\n\n"), Piece(1, b"data: more\n\n"))
    broken = msgspec.structs.replace(recording(), pieces=pieces)
    found = decoded([broken], OPENAI)
    assert (found.noted.outcome, found.decodings[0].fault) == ("malformed", 0)
    assert found.decodings[0].pieces == ((), ())


def test_what_was_asked() -> None:
    chat = chat_of([recording()], OPENAI)
    assert chat is not None
    assert chat.messages[0].text == "Why?"
    listed = Recording(Sent("GET", "http://a/v1/models"))
    wrong = Recording(Sent("POST", "http://a/v1/chat/completions", {}, "no"))
    assert chat_of([listed, wrong], OPENAI) is None
    assert decoded([msgspec.structs.replace(wrong, end="eof")], OPENAI).noted.outcome == (
        "disconnected"
    )
    assert decoded([wrong], PROVIDERS["anthropic"]).noted == Noted("left")


class Refusing(Dialect):
    name = "refusing"

    def ask(self, question: Question) -> Step:
        raise LocalProtocolError("nothing can be asked")

    def respond(self, service: Service) -> Responder:
        return Responder(service)


def test_a_format_that_takes_no_question() -> None:
    provider = Provider(name="x", dialect=Refusing(), base_url="http://a", any_model=True)
    with pytest.raises(LocalProtocolError, match="x can't be asked"):
        decoded([recording()], provider)


def test_requests_and_headers_as_they_were() -> None:
    for body, data in (("a=1", b"a=1"), (b"\xff", b"\xff"), (None, b""), ({"a": 1}, b'{"a":1}')):
        one = Recording(Sent("POST", "http://a/", {"accept": "*/*"}, body))
        assert as_request(one) == Request("POST", "http://a/", [(b"accept", b"*/*")], data)
    assert as_request(Recording(Sent("GET", "http://a/", {"a b": "\u20ac"}))).headers == []
    assert response_headers(Recording(Sent("GET", "http://a/"))) == []
    head = Head(200, headers=(("Server", "\u20ac"),))
    one = Recording(Sent("GET", "http://a/"), head)
    assert response_headers(one) == [(b"server", b"?")]
