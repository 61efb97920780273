"""The `darkai` dialect, both halves, after the facts in its module."""

import json
from typing import Any

import pytest

from tests.driving import Ending, Outcome, Response, alike, drive
from tokenwire.protocols.chat import Chat, ImagePart, Message, as_chat
from tokenwire.protocols.errors import (
    BadRequest,
    LimitExceeded,
    LocalProtocolError,
    Malformed,
    RateLimited,
    Refused,
    Truncated,
)
from tokenwire.protocols.events import End, Event, Finish, Text, Unrecognized
from tokenwire.protocols.exchange import Exchange
from tokenwire.protocols.limits import Limits
from tokenwire.protocols.registry import PROVIDERS
from tokenwire.protocols.service import Service, pair
from tokenwire.protocols.toolkit.http import Request


def ask(chat: Chat | None = None, **options: Any) -> Exchange:
    return PROVIDERS["darkai"].exchange(chat or as_chat("hi"), **options)


def line(event: str, data: Any = None, ending: str = "\n\n") -> bytes:
    return f"data: {json.dumps({'event': event, 'data': data})}{ending}".encode()


def text(said: str, ending: str = "\n\n") -> bytes:
    return line("text-chunk", {"text": said}, ending)


STREAM_END = line("stream-end", {})


def receive(*parts: bytes) -> Outcome:
    return alike(ask(), b"".join(parts))


def events_of(*parts: bytes) -> list[Event]:
    *events, end = receive(*parts).succeeded().events
    assert end == End("terminator")
    return events


# The client's half


def test_request() -> None:
    request = ask().next_request()
    assert request is not None
    assert (request.method, request.url) == ("POST", "https://darkai.foundation/chat")
    headers = dict(request.headers)
    assert headers[b"accept"] == b"text/event-stream"
    assert headers[b"content-type"] == b"application/json"
    assert headers[b"user-agent"].startswith(b"tokenwire/")
    assert json.loads(request.body) == {"query": "hi", "model": "llama-3-70b"}


def test_history_is_flattened() -> None:
    chat = Chat(messages=(Message("system", "be brief"), Message("user", "hi")))
    request = ask(chat, base_url="http://x.test/y").next_request()
    assert request is not None
    assert request.url == "http://x.test/y/chat"
    assert json.loads(request.body)["query"] == "System: be brief\nUser: hi\nAssistant:"


@pytest.mark.parametrize(
    ("model", "sent"),
    [
        ("", "llama-3-70b"),
        ("llama-3-70b", "llama-3-70b"),
        ("llama-3.1-70b", "llama-3-70b"),
        ("gpt-4o", "gpt-4o"),
        ("gpt-3.5-turbo", "gpt-3.5-turbo"),
    ],
)
def test_models(model: str, sent: str) -> None:
    request = ask(as_chat("hi", model=model)).next_request()
    assert request is not None
    assert json.loads(request.body)["model"] == sent


@pytest.mark.parametrize(
    ("chat", "word"),
    [
        (as_chat("hi", model="gpt-9"), "gpt-9"),
        (as_chat("hi", temperature=0.5), "temperature"),
        (as_chat("hi", n=2), "n"),
        (Chat(messages=()), "no message"),
        (Chat(messages=(Message("user", (ImagePart("https://x.test/a"),)),)), "image"),
    ],
)
def test_what_cannot_be_asked(chat: Chat, word: str) -> None:
    with pytest.raises(LocalProtocolError, match=word):
        ask(chat)


def test_ten_minutes_in_all() -> None:
    assert ask().clocks.total == 600


@pytest.mark.parametrize("ending", ["\n\n", "\n", "\r\n", "\r", "\r\n\r\n"])
def test_answer(ending: str) -> None:
    repaired = "data:\ufeff" + text("", ending).decode().removeprefix("data: ")
    parts = (text("hel", ending), text("", ending), repaired.encode(), text("lo", ending))
    assert events_of(*parts, line("stream-end", None, ending)) == [Text("hel"), Text("lo")]


def test_broken_utf8_in_a_text() -> None:
    assert events_of(b'data: {"event": "text-chunk", "data": {"text": "a\xff"}}\n', STREAM_END) == [
        Text("a\ufffd")
    ]


def test_only_the_event_error_is_a_failure() -> None:
    lines = (b"event: ping\n", b"id: error\n")
    assert events_of(*lines, text("a"), STREAM_END) == [
        Unrecognized(b"event: ping"),
        Unrecognized(b"id: error"),
        Text("a"),
    ]


def test_what_is_tolerated() -> None:
    body = text("a") + b": comment\n:\n" + text("\u2028\u0085b") + STREAM_END
    plain = [Text("a"), Text("\u2028\u0085b")]
    assert events_of(b"\xef\xbb\xbf", body) == plain
    assert events_of(body.replace(b"data: ", b"data:")) == plain
    assert events_of(body.replace(b"\\u2028\\u0085", "\u2028\u0085".encode())) == plain


def test_nothing_after_the_end_counts() -> None:
    assert events_of(text("a"), STREAM_END, text("b"), b"junk\n", b"data: ?\n") == [Text("a")]


def test_other_events_are_surfaced() -> None:
    final = line("final-response", {"message": {"content": "the whole again"}})
    assert events_of(text("a"), final, b"id: 1\n", b"hello\n", STREAM_END) == [
        Text("a"),
        Unrecognized(final.strip()),
        Unrecognized(b"id: 1"),
        Unrecognized(b"hello"),
    ]


@pytest.mark.parametrize(
    ("payload", "kind", "said"),
    [
        (b'{"data": {"detail": "too many"}}', Refused, "too many"),
        (b'{"data": {"detail": "too many", "code": 429}}', RateLimited, "too many"),
        (b'{"detail": "too many"}', Refused, "too many"),
        (b'"too many"', Refused, "too many"),
        (b"too many", Refused, "too many"),
        (b"too many \xff", Refused, "too many \ufffd"),
    ],
)
@pytest.mark.parametrize("start", [b"event: error\n", b"event:error\n", b"event: error\n\n"])
def test_failure_as_an_event(start: bytes, payload: bytes, kind: type[Refused], said: str) -> None:
    outcome = receive(text("a"), start, b"data: ", payload, b"\n\n", STREAM_END)
    assert outcome.refused_by(kind, said).events == [Text("a")]
    assert isinstance(outcome.error, Refused)
    assert outcome.error.data.strip() == payload


@pytest.mark.parametrize("ending", ["eof", "close", "disconnect"])
def test_no_stream_end_is_truncated(ending: Ending) -> None:
    outcome = alike(ask(), Response(text("hel") + text("lo"), ending=ending))
    assert outcome.refused_by(Truncated, '"stream-end"').events == [Text("hel"), Text("lo")]


def test_cut_in_its_last_line() -> None:
    body = text("a") + STREAM_END.strip()
    assert alike(ask(), body).succeeded().events == [Text("a"), End("terminator")]
    alike(ask(), Response(body, ending="disconnect")).refused_by(Truncated)
    outcome = alike(ask(), body[:-1]).refused_by(Truncated)
    assert outcome.events == [Text("a")]
    assert isinstance(outcome.error, Truncated)
    assert outcome.error.data == STREAM_END.strip()[:-1]


@pytest.mark.parametrize(
    "payload",
    [
        b"?",
        b"[DONE]",
        b"1",
        b"[]",
        b"{}",
        b'{"data": {"text": "a"}}',
        b'{"event": 1}',
        b'{"event": "text-chunk"}',
        b'{"event": "text-chunk", "data": "a"}',
        b'{"event": "text-chunk", "data": {}}',
        b'{"event": "text-chunk", "data": {"text": 1}}',
    ],
)
def test_malformed_lines(payload: bytes) -> None:
    outcome = receive(text("a"), b"data: ", payload, b"\n\n", STREAM_END).refused_by(Malformed)
    assert outcome.events == [Text("a")]
    assert isinstance(outcome.error, Malformed)
    assert payload in outcome.error.data


@pytest.mark.parametrize("data", [None, "a", {}, {"text": 1}])
def test_a_text_chunk_without_text(data: Any) -> None:
    error = receive(line("text-chunk", data)).refused_by(Malformed).error
    assert isinstance(error, Malformed)
    assert error.message == "a text-chunk without data.text"


def test_the_offending_bytes_are_bounded() -> None:
    outcome = receive(b"data: ", b"x" * 10_000, b"\n")
    assert isinstance(outcome.error, Malformed)
    assert len(outcome.error.data) < 600


def test_limit_on_a_line() -> None:
    limited = ask(limits=Limits(event=len(text("a", ""))))
    for body in (text("a") + text("ab") + STREAM_END, text("a") + text("a" * 99, "")):
        outcome = alike(limited, body).refused_by(LimitExceeded)
        assert outcome.events == [Text("a")]
    assert alike(limited, text("a") + STREAM_END + b"x" * 99).succeeded()


def test_keepalive() -> None:
    exchange = ask()
    exchange.next_request()
    exchange.receive_response(200, [])
    for data, keepalive in ((text("a"), False), (b": ping\n", True), (text("b"), False)):
        exchange.receive_data(data)
        assert exchange.keepalive is keepalive


# The server's half


def post(body: Any, path: str = "/chat", method: str = "POST", kind: str = "json") -> Request:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = [(b"content-type", f"application/{kind}".encode())]
    return Request(method, "https://darkai.foundation" + path, headers, content)


def test_the_server_understands_the_client() -> None:
    request = ask(as_chat("hi", model="llama-3.1-70b")).next_request()
    assert request is not None
    responder = Service(PROVIDERS["darkai"]).responder()
    chat = responder.receive_request(request)
    assert chat == Chat(messages=(Message("user", "hi"),), model="llama-3-70b")
    assert responder.head() == (200, [(b"content-type", b"text/event-stream; charset=utf-8")])


GOOD = {"query": "hi", "model": "gpt-4o"}


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (post(GOOD, path="/other"), 404),
        (post(GOOD, method="GET"), 405),
        (post(GOOD, kind="xml"), 415),
        (post(b"{"), 400),
        (post({"query": "hi"}), 400),
        (post({**GOOD, "model": "gpt-9"}), 404),
    ],
)
def test_what_the_server_refuses(request_: Request, status: int) -> None:
    responder = Service(PROVIDERS["darkai"]).responder()
    with pytest.raises(BadRequest) as caught:
        responder.receive_request(request_)
    body = responder.fail(caught.value)
    assert responder.head()[0] == status
    drive(ask(), Response(body, *responder.head())).refused_by(BadRequest)


def test_what_the_server_says() -> None:
    responder = Service(PROVIDERS["darkai"]).responder()
    said = [responder.send(e) for e in (Text("a"), Unrecognized(b"hello"), End("terminator"))]
    assert said == [
        b'data: {"event":"text-chunk","data":{"text":"a"}}\n\n',
        b"hello\n\n",
        b'data: {"event":"stream-end","data":{}}\n\n',
    ]
    assert responder.end() == b""


@pytest.mark.parametrize("event", [Finish("stop", "stop"), Unrecognized(b"x", "somewhere")])
def test_what_the_server_cannot_say(event: Event) -> None:
    with pytest.raises(LocalProtocolError, match=f"can't say {type(event).__name__}"):
        Service(PROVIDERS["darkai"]).responder().send(event)


def test_failure_midway() -> None:
    responder = Service(PROVIDERS["darkai"]).responder()
    failure = responder.fail_midway(RateLimited("too many"))
    assert failure == b'event: error\ndata: {"data":{"detail":"too many"}}\n\n'
    body = responder.send(Text("a")) + failure
    assert alike(ask(), body).refused_by(Refused, "too many").events == [Text("a")]


def test_both_halves() -> None:
    says: list[Event] = [Text("hel"), Text("lo"), End("terminator")]
    assert list(pair(ask(), Service(PROVIDERS["darkai"]), lambda chat: says)) == says
