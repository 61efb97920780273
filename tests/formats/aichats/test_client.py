"""AiChats' format, client half."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.driving import JSON, SSE, Ending, Outcome, Response, alike, drive, no_sign_of_life
from tokenwire.protocols.chat import Chat, ImagePart, Message, Opaque, as_chat
from tokenwire.protocols.errors import (
    AuthenticationFailed,
    BadRequest,
    LimitExceeded,
    LocalProtocolError,
    Malformed,
    RateLimited,
    Refused,
    RemoteProtocolError,
    Truncated,
    UnexpectedContent,
)
from tokenwire.protocols.events import End, Event, Image, Native, Text, Unrecognized
from tokenwire.protocols.exchange import Exchange
from tokenwire.protocols.limits import Limits
from tokenwire.protocols.registry import PROVIDERS
from tokenwire.protocols.toolkit.http import Headers

HISTORY = (Message("system", "be brief"), Message("user", "a cat"))
END = End("body_end")


def ask(chat: Chat | None = None, **options: Any) -> Exchange:
    return PROVIDERS["aichats"].exchange(chat or as_chat("hi"), **options)


def draw(**options: Any) -> Exchange:
    return ask(Chat(messages=HISTORY, model="dalle"), **options)


def receive(*lines: str) -> Outcome:
    return alike(ask(), "".join(lines).encode())


def events_of(*lines: str) -> list[Event]:
    outcome = receive(*lines).succeeded()
    assert outcome.events[-1] == END
    return outcome.events[:-1]


# Requests


def test_chat_request() -> None:
    request = ask(headers={"Cookie": "a=b"}).next_request()
    assert request is not None
    assert (request.method, request.url) == ("POST", "https://ai-chats.org/chat/send2/")
    headers = dict(request.headers)
    assert headers.pop(b"user-agent").startswith(b"tokenwire/")
    assert headers == {
        b"accept": b"application/json, text/event-stream",
        b"accept-encoding": b"identity",
        b"accept-language": b"en-US,en;q=0.9",
        b"cache-control": b"no-cache",
        b"content-type": b"application/json",
        b"cookie": b"a=b",
        b"origin": b"https://ai-chats.org",
        b"pragma": b"no-cache",
        b"referer": b"https://ai-chats.org/chat/",
    }
    history = [{"from": "you", "content": "hi"}]
    assert json.loads(request.body) == {"type": "chat", "messagesHistory": history}


def test_history_is_flattened() -> None:
    request = ask(Chat(messages=HISTORY)).next_request()
    assert request is not None
    content = json.loads(request.body)["messagesHistory"][0]["content"]
    assert content == "System: be brief\nUser: a cat\nAssistant:"


def test_picture_request() -> None:
    request = draw().next_request()
    assert request is not None
    assert request.url == "https://ai-chats.org/chat/send2/"
    assert dict(request.headers)[b"referer"] == b"https://ai-chats.org/image/"
    history = [{"from": "you", "content": "a cat"}]
    assert json.loads(request.body) == {"type": "image", "messagesHistory": history}


def test_the_last_message_is_drawn() -> None:
    chat = Chat(messages=(*HISTORY, Message("user", "a dog")), model="dalle")
    request = ask(chat).next_request()
    assert request is not None
    assert b"a dog" in request.body
    assert b"a cat" not in request.body


@pytest.mark.parametrize("model", ["gpt-4", "dalle"])
def test_what_cannot_be_asked(model: str) -> None:
    see = (Message("user", (ImagePart("https://x.test/a"),)),)
    own = (Message("user", (Opaque(Native("aichats", b"{}")),)),)
    for chat, word in (
        (as_chat("hi", temperature=0.5), "temperature"),
        (Chat(messages=()), "^no message"),
        (Chat(messages=see), "image"),
        (Chat(messages=own), "^aichats takes only text"),
    ):
        with pytest.raises(LocalProtocolError, match=word):
            ask(chat.replace(model=model))


# Text


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r", "\n\n"])
@pytest.mark.parametrize("name", ["data: ", "data:"])
def test_answer(name: str, ending: str) -> None:
    lines = [f"{name}{text}{ending}" for text in ("Hello", "", ",")]
    assert events_of(*lines, f"data:  you{ending}") == [Text("Hello"), Text(","), Text(" you")]


def test_last_line_needs_no_end() -> None:
    assert events_of("data: a\n", "data: b") == [Text("a"), Text("b")]
    outcome = alike(ask(), Response(b"data: a\ndata: b", ending="disconnect"))
    assert outcome.refused_by(Truncated).events == [Text("a")]


def test_text_is_stripped_as_it_comes() -> None:
    """Leading white space is dropped; that after text waits for more text."""
    exchange = ask()
    exchange.next_request()
    exchange.receive_response(200, SSE)
    for line, events in [
        ("data:  \t", []),
        ("data: \u2003 a ", [Text("a")]),
        ("data:   ", []),
        ("data: \t", []),
        ("data: ", []),
        ("data: b\t", [Text("   \tb")]),
        ("data: c", [Text("\tc")]),
        ("data:  ", []),
    ]:
        assert exchange.receive_data(f"{line}\n".encode()) == events, line
    assert exchange.receive_eof(framed=True) == [END]


_lines = st.text(st.sampled_from(" \tab\u2003\u0085é"), max_size=4)


@given(st.lists(_lines))
def test_the_whole_is_stripped(lines: list[str]) -> None:
    outcome = alike(ask(), "".join(f"data: {line}\n" for line in [*lines, "."]).encode())
    texts = [e.text for e in outcome.succeeded().events if isinstance(e, Text)]
    assert "".join(texts) == ("".join(lines) + ".").strip()
    assert all(texts)
    assert len(texts) == sum(bool(line.strip()) for line in lines) + 1


def test_only_white_space() -> None:
    assert events_of("data: \n", "data:   \n") == []


def test_text_is_never_json() -> None:
    assert events_of('data: {"a": 1}\n', "data: [DONE]\n") == [Text('{"a": 1}'), Text("[DONE]")]


def test_half_characters() -> None:
    outcome = alike(ask(), b"data: \xe2\x82\ndata: \xac\n").succeeded()
    assert outcome.events == [Text("\ufffd"), Text("\ufffd"), END]


def test_half_a_character_at_the_end_of_the_body() -> None:
    outcome = alike(ask(), b"data: a\ndata: b\xe2\x82").refused_by(Truncated)
    assert outcome.events == [Text("a"), Text("b")]
    assert isinstance(outcome.error, Truncated)
    assert outcome.error.message.endswith("before the end of the body, inside a character")
    assert outcome.error.data == b"data: b\xe2\x82"
    assert events_of("data: a\n", "data: b\u20ac") == [Text("a"), Text("b\u20ac")]
    assert alike(ask(), b"data: b\xff").succeeded().events == [Text("b\ufffd"), END]


def test_other_lines_are_surfaced() -> None:
    assert events_of("data: a\n", ": comment\n", "event: x\n", "data\n", "what\n") == [
        Text("a"),
        Unrecognized(b"event: x"),
        Unrecognized(b"data"),
        Unrecognized(b"what"),
    ]


@pytest.mark.parametrize("ending", ["close", "disconnect"])
def test_a_chat_that_is_cut(ending: Ending) -> None:
    outcome = alike(ask(), Response(b"data: a\n", ending=ending))
    assert outcome.refused_by(Truncated, "the connection closed").events == [Text("a")]


def test_limit_on_a_line() -> None:
    limited = ask(limits=Limits(event=8))
    for body in (b"data: ab\ndata: abc\n", b"data: ab\ndata: abcde"):
        assert alike(limited, body).refused_by(LimitExceeded).events == [Text("ab")]


def test_a_long_blank_is_linear() -> None:
    body = b"data: a\n" + b"data:  \n" * 50_000 + b"data: b\n"
    assert drive(ask(), body).succeeded().events == [Text("a"), Text(" " * 50_000 + "b"), END]


@pytest.mark.parametrize("ping", [b": ping\n", b"\n", b"data:  \n"])
def test_keepalives_are_no_sign_of_life(ping: bytes) -> None:
    no_sign_of_life(ask(), b"data: a\n", ping)


def test_refusals() -> None:
    outcome = alike(ask(), Response(b'{"error": "too many", "code": 429}', 200, JSON))
    outcome.refused_by(RateLimited, "too many")
    outcome = alike(ask(), Response(b'{"data": []}', 200, JSON))
    outcome.refused_by(UnexpectedContent, "instead of a stream")


# Pictures

URL = "https://img.test/cat.png?x=1"
FOUND = Response(json.dumps({"created": 1, "data": [{"url": URL}]}).encode(), 200, JSON)


def picture(kind: bytes | None = b"image/png", body: bytes = b"\x89PNG\n", **more: Any) -> Response:
    headers: Headers = [] if kind is None else [(b"content-type", kind)]
    return Response(body, headers=headers, **more)


@pytest.mark.parametrize(
    ("kind", "media_type"),
    [
        (b"image/png", "image/png"),
        (b"IMAGE/WEBP; q=1", "image/webp"),
        (b"application/octet-stream", "application/octet-stream"),
        (b"binary/octet-stream", "binary/octet-stream"),
        (None, "application/octet-stream"),
    ],
)
def test_picture(kind: bytes | None, media_type: str) -> None:
    outcome = alike(draw(), FOUND, picture(kind)).succeeded()
    image = Image(b"\x89PNG\n", media_type, URL, "a cat")
    assert outcome.events == [image, END]
    assert image.data_url == f"data:{media_type};base64,iVBORwo="


def test_the_address_gets_no_credentials() -> None:
    exchange = draw(headers={"Cookie": "session=123456", "X-Mine": "1"})
    exchange.next_request()
    exchange.receive_response(200, JSON)
    exchange.receive_data(FOUND.body)
    exchange.receive_eof(framed=True)
    request = exchange.next_request()
    assert request is not None
    assert (request.method, request.url, request.body) == ("GET", URL, b"")
    assert request.server_chosen
    assert [name for name, _ in request.headers] == [b"user-agent", b"accept-encoding", b"accept"]


@pytest.mark.parametrize(
    "body",
    [
        "{}",
        "[]",
        "null",
        '{"data": []}',
        '{"data": null}',
        '{"data": "x"}',
        '{"data": [{}]}',
        '{"data": [{"url": null}]}',
        '{"data": [{"url": ""}]}',
        '{"data": [{"url": "/cat.png"}]}',
        '{"data": [{"url": "file:///etc/passwd"}]}',
        '{"data": [{"url": "https://user:pass@img.test/"}]}',
        '{"data": [{"url": "https://img.test/\\n"}]}',
        '{"data": [{"url": "https://[img.test/"}]}',
        '{"data": [{"url": "https://img.test/\\ud800"}]}',
    ],
)
def test_reply_without_an_address(body: str) -> None:
    outcome = alike(draw(), Response(body.encode(), 200, JSON))
    error = outcome.refused_by(Malformed).error
    assert isinstance(error, Malformed)
    assert error.message == "the reply has no picture's address in data[0].url"
    assert error.data == body.encode()


def test_reply_that_is_bounded() -> None:
    body = b'{"data": [], "x": "' + b"x" * 10_000 + b'"}'
    outcome = alike(draw(), Response(body, 200, JSON)).refused_by(Malformed)
    assert isinstance(outcome.error, Malformed)
    assert len(outcome.error.data) < 600


@pytest.mark.parametrize(
    ("response", "kind"),
    [
        (Response(b'{"error": "m1"}', 200, JSON), Refused),
        (Response(b"data: hello\n", 200, SSE), Malformed),
        (Response(FOUND.body[:-1], 200, JSON), Truncated),
        (Response(FOUND.body[:-1], 200, JSON, "disconnect"), Truncated),
        (Response(b"<html>", 200, JSON), UnexpectedContent),
        (Response(b"", 403, JSON), AuthenticationFailed),
    ],
)
def test_replies_that_are_none(response: Response, kind: type[RemoteProtocolError]) -> None:
    alike(draw(), response).refused_by(kind)


def test_a_refusal_instead_of_an_address_is_told() -> None:
    response = Response(b'{"error": "m1"}', 200, JSON)
    error = alike(draw(), response).refused_by(Refused, "m1").error
    assert isinstance(error, Refused)
    assert error.data == response.body


def test_a_whole_reply_needs_no_end_of_the_body() -> None:
    found = Response(FOUND.body, 200, JSON, "disconnect")
    assert alike(draw(), found, picture()).succeeded()


@pytest.mark.parametrize("ending", ["close", "disconnect"])
def test_a_picture_that_is_cut(ending: Ending) -> None:
    alike(draw(), FOUND, picture(ending=ending)).refused_by(Truncated)


@pytest.mark.parametrize(
    ("response", "kind", "word"),
    [
        (picture(b"text/plain"), Malformed, "text/plain came instead of a picture"),
        (picture(b"text/html", b"<html>"), Malformed, "instead of a picture"),
        (picture(body=b""), Malformed, "no bytes"),
        (picture(status=404), BadRequest, "404"),
        (picture(body=b"x" * 11), LimitExceeded, "10 bytes"),
    ],
)
def test_pictures_that_are_none(
    response: Response, kind: type[RemoteProtocolError], word: str
) -> None:
    outcome = alike(draw(limits=Limits(picture=10)), FOUND, response).refused_by(kind, word)
    assert outcome.events == []


def test_what_came_instead_of_a_picture_is_told() -> None:
    long = picture(b"text/" + b"x" * 100, b"sorry")
    error = alike(draw(), FOUND, long).refused_by(Malformed).error
    assert isinstance(error, Malformed)
    assert error.message == "content of type (too long to show) came instead of a picture"
    assert error.data == b"sorry"
    error = alike(draw(), FOUND, picture(body=b"")).refused_by(Malformed).error
    assert isinstance(error, Malformed)
    assert error.message == "the picture has no bytes"
