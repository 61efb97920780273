"""DarkAI's format, client half."""

import json
from typing import Any

import pytest

from tests.driving import Ending, Outcome, Response, alike, no_sign_of_life
from tokenwire.protocols.chat import Chat, ImagePart, Message, Opaque, as_chat
from tokenwire.protocols.errors import (
    LimitExceeded,
    LocalProtocolError,
    Malformed,
    RateLimited,
    Refused,
    Truncated,
)
from tokenwire.protocols.events import End, Event, Native, Text, Unrecognized
from tokenwire.protocols.exchange import Exchange
from tokenwire.protocols.limits import Limits
from tokenwire.protocols.registry import PROVIDERS


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
        (
            Chat(messages=(Message("user", (Opaque(Native("darkai", b"{}")),)),)),
            "^darkai takes only text",
        ),
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
    assert events_of(*lines, text("a"), STREAM_END) == [Text("a")]


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
    lines = (b"id: 1\n", b"event\n", b"hello\n", b"x: 1\n")
    assert events_of(text("a"), final, *lines, STREAM_END) == [
        Text("a"),
        Unrecognized(final.strip()),
        *(Unrecognized(b"event"), Unrecognized(b"hello"), Unrecognized(b"x: 1")),
    ]


@pytest.mark.parametrize(
    "lines", [b": \n\n", b"event: ping\n\n", b"id: 1\n", b"retry: 5\n", b"event: message\n\n"]
)
def test_what_is_no_sign_of_life(lines: bytes) -> None:
    no_sign_of_life(ask(), text("a"), lines)


def test_odd_keys_of_a_text_chunk() -> None:
    assert events_of(line("text-chunk", {"text": 1}), STREAM_END) == [Text("1")]
    odd = {"text": 1.5, "new": [2], "nothing": None}
    assert events_of(line("text-chunk", odd), STREAM_END) == [
        Text("1.5"),
        Unrecognized(b"[2]", "data.new"),
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


def test_a_failure_beside_a_text_and_at_the_end() -> None:
    end = STREAM_END.replace(b'"stream-end"', b'"stream-end", "error": {"message": "it broke"}')
    said = b'data: {"event": "text-chunk", "data": {"text": "a"}, "error": %b}\n'
    for body in (text("a") + end, said % b'"it broke"' + STREAM_END):
        outcome = receive(body).refused_by(Refused, "it broke")
        assert outcome.events == [Text("a")]
        assert isinstance(outcome.error, Refused)
        assert b"it broke" in outcome.error.data
    assert receive(said % b"null" + said % b'""' + STREAM_END).succeeded().reply.text == "aa"


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
        b'{"event": "text-chunk", "data": {"text": [1]}}',
        b'{"event": "text-chunk", "data": {"text": true}}',
    ],
)
def test_malformed_lines(payload: bytes) -> None:
    outcome = receive(text("a"), b"data: ", payload, b"\n\n", STREAM_END).refused_by(Malformed)
    assert outcome.events == [Text("a")]
    assert isinstance(outcome.error, Malformed)
    assert payload in outcome.error.data


@pytest.mark.parametrize("data", [None, "a", {}, {"text": [1]}])
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


@pytest.mark.parametrize("ping", [b": ping\n", b"\n", text("")])
def test_keepalives_are_no_sign_of_life(ping: bytes) -> None:
    no_sign_of_life(ask(), text("a"), ping)
