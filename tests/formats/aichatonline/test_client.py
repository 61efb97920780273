"""AiChatOnline's format, client half."""

import json
from collections.abc import Sequence
from random import Random
from typing import Any

import pytest

from tests.driving import JSON, SSE, Ending, Outcome, Response, alike, no_sign_of_life
from tokenwire.protocols.chat import Chat, ImagePart, Message, Opaque, as_chat
from tokenwire.protocols.errors import (
    AuthenticationFailed,
    LimitExceeded,
    LocalProtocolError,
    Malformed,
    Overloaded,
    RateLimited,
    Refused,
    RemoteProtocolError,
    Truncated,
    UnexpectedContent,
)
from tokenwire.protocols.events import End, Event, Native, Text, Unrecognized
from tokenwire.protocols.exchange import Exchange
from tokenwire.protocols.limits import Limits
from tokenwire.protocols.question import RandomSource
from tokenwire.protocols.registry import PROVIDERS
from tokenwire.protocols.toolkit.http import Headers, Request

BASE = "https://aichatonlineorg.erweima.ai"
TOKEN = Response(b'{"code": 200, "data": "token-1234"}', 200, JSON)
END = End("body_end")
SEEDED = Random()
"""Stands for a source that begins anew with each exchange."""


def ask(
    chat: Chat | None = None, *, random: RandomSource | None = SEEDED, **options: Any
) -> Exchange:
    chat = chat or as_chat("hi")
    random = Random(1) if random is SEEDED else random
    return PROVIDERS["aichatonline"].exchange(chat, random=random, **options)


def receive(*lines: str, ending: Ending = "eof") -> Outcome:
    return alike(ask(), TOKEN, Response("".join(lines).encode(), 200, JSON, ending))


def line(message: str) -> str:
    return json.dumps({"code": 200, "data": {"message": message}}) + "\n"


def requests(exchange: Exchange, token: Response = TOKEN) -> tuple[Request, Request]:
    """Both requests of an exchange that gets this token."""
    first = exchange.next_request()
    exchange.receive_response(200, JSON)
    exchange.receive_data(token.body)
    exchange.receive_eof(framed=True)
    second = exchange.next_request()
    assert first is not None
    assert second is not None
    return first, second


# Requests

HEADERS = {
    b"accept-language": b"de,en-US;q=0.7,en;q=0.3",
    b"accept-encoding": b"identity",
    b"alt-used": b"aichatonline.org",
    b"origin": BASE.encode(),
    b"referer": BASE.encode() + b"/chatgpt/chat/",
}


class _Always:
    """A source of random strings that are not."""

    def choices(self, population: Sequence[str], *, k: int) -> list[str]:
        assert set(population) == set("abcdefghijklmnopqrstuvwxyz0123456789")
        return list("abcdefghij0123456789"[:k])


@pytest.mark.parametrize("said", [b'{"error": "no quota"}', b'{"detail": "no quota"}'])
def test_an_error_object_in_the_place_of_an_answer(said: bytes) -> None:
    token = Response(b'{"code": 200, "data": "T"}', 200, JSON)
    for responses in (
        [token, Response(said + b"\n", 200, JSON)],
        [Response(said, 200, JSON)],
    ):
        outcome = alike(ask(), *responses).refused_by(Refused, "no quota")
        assert isinstance(outcome.error, Refused)
        assert outcome.error.data == said


def test_requests() -> None:
    first, second = requests(ask(random=_Always()))
    assert (first.method, first.body) == ("GET", b"")
    assert first.url == f"{BASE}/api/v1/user/getUniqueId?canvas=-abcdefghij"
    assert (second.method, second.url) == ("POST", f"{BASE}/aichatonline/api/chat/gpt")
    assert json.loads(second.body) == {"conversationId": "abcdefghij", "prompt": "hi"}
    for request in (first, second):
        headers = dict(request.headers)
        assert headers.items() >= HEADERS.items()
        assert headers[b"user-agent"].startswith(b"tokenwire/")
        assert not request.server_chosen
    assert dict(second.headers)[b"uniqueid"] == b"token-1234"
    assert dict(second.headers)[b"content-type"] == b"application/json"


def test_history_is_flattened() -> None:
    chat = Chat(messages=(Message("system", "be brief"), Message("user", "hi")))
    _, second = requests(ask(chat))
    assert json.loads(second.body)["prompt"] == "System: be brief\nUser: hi\nAssistant:"


def test_randomness_is_the_callers() -> None:
    assert requests(ask()) == requests(ask())
    assert requests(ask()) != requests(ask(random=Random(2)))
    with pytest.raises(LocalProtocolError, match="random="):
        ask(random=None)


@pytest.mark.parametrize(
    ("chat", "word"),
    [
        (as_chat("hi", temperature=0.5), "temperature"),
        (Chat(messages=()), "no message"),
        (Chat(messages=(Message("user", (ImagePart("https://x.test/a"),)),)), "image"),
        (
            Chat(messages=(Message("user", (Opaque(Native("aichatonline", b"{}")),)),)),
            "aichatonline takes only text",
        ),
    ],
)
def test_what_cannot_be_asked(chat: Chat, word: str) -> None:
    with pytest.raises(LocalProtocolError, match=word):
        ask(chat)


# The token


@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        b"[]",
        b'"token"',
        b'{"data": null}',
        b'{"data": 1}',
        b'{"data": "a\\nb"}',
        b'{"data": "\\u20ac"}',
    ],
)
def test_a_reply_without_a_token(body: bytes) -> None:
    error = alike(ask(), Response(body, 200, JSON)).refused_by(Malformed).error
    assert isinstance(error, Malformed)
    assert (error.message, error.data) == ("the reply has no unique id in data", body)


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"token", Malformed),
        (b'{"data": "token', Truncated),
        (b'{"code": 429, "message": "m1"}', RateLimited),
        (b'{"code": "503", "data": "m1"}', Overloaded),
        (b"", UnexpectedContent),
        (b"<html>", UnexpectedContent),
    ],
)
def test_replies_that_are_none(body: bytes, kind: type[RemoteProtocolError]) -> None:
    error = alike(ask(), Response(body, 200, JSON)).refused_by(kind).error
    assert isinstance(error, RemoteProtocolError)
    assert error.data == body


def test_refusals_by_status() -> None:
    alike(ask(), Response(b'{"message": "m1"}', 403, JSON)).refused_by(AuthenticationFailed, "m1")
    refused = Response(b'{"message": "m1"}', 429, JSON)
    alike(ask(), TOKEN, refused).refused_by(RateLimited, "m1")


# The answer


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r", "\n\n"])
@pytest.mark.parametrize("headers", [JSON, SSE, [(b"content-type", b"application/x-ndjson")]])
def test_answer(ending: str, headers: Headers) -> None:
    body = (line("hel") + line("") + "\n \n" + line("lo\u2028")).replace("\n", ending).encode()
    outcome = alike(ask(), TOKEN, Response(body, 200, headers)).succeeded()
    assert outcome.events == [Text("hel"), Text("lo\u2028"), END]


def test_last_line_needs_no_end() -> None:
    assert receive(line("a"), line("b").strip()).succeeded().events == [Text("a"), Text("b"), END]
    assert receive(line("a"), " ").succeeded().events == [Text("a"), END]


def test_envelope_without_code() -> None:
    lines = ['{"data": {"message": "a"}}\n', '{"code": null, "data": {"message": "b"}}\n']
    lines.append('{"code": "200", "data": {"message": "c"}}\n')
    assert receive(*lines).succeeded().reply.text == "abc"


def test_other_lines_are_surfaced() -> None:
    others = ['{"data": "x"}', '{"data": {"text": 1}}', '{"data": {"message": 1}}', "[]", "1", "{}"]
    outcome = receive(line("a"), *(other + "\n" for other in others)).succeeded()
    strange: list[Event] = [Unrecognized(other.encode()) for other in others]
    assert outcome.events == [Text("a"), *strange, END]


def test_odd_keys_are_handed_on() -> None:
    odd = '{"code": 200, "data": {"message": "a", "new": [1], "nothing": null}}\n'
    assert receive(odd).succeeded().events == [Text("a"), Unrecognized(b"[1]", "data.new"), END]


@pytest.mark.parametrize("mark", ["[DONE]", "[DONE]\n", " [DONE] \r\n", "[DONE]\n" + line("more")])
def test_done_is_tolerated(mark: str) -> None:
    assert receive(line("a"), mark).succeeded().events == [Text("a"), End("terminator")]


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ('{"code": 429, "message": "m1"}', RateLimited),
        ('{"code": 500, "data": {"message": "m1"}}', Refused),
        ('{"code": 0, "message": "m1"}', Refused),
    ],
)
def test_code_is_a_refusal(said: str, kind: type[Refused]) -> None:
    for ending in ("\n", ""):
        outcome = receive(line("a"), said, ending).refused_by(kind, "m1")
        assert outcome.events == [Text("a")]
        assert isinstance(outcome.error, Refused)
        assert outcome.error.data == said.encode()


def test_a_failure_beside_a_text() -> None:
    said = '{"data": {"message": "a"}, "message": "ok", "error": "it broke"}\n'
    outcome = receive(said).refused_by(Refused, "it broke")
    assert outcome.events == [Text("a")]
    assert isinstance(outcome.error, Refused)
    assert outcome.error.data == said.strip().encode()


def test_malformed_line() -> None:
    outcome = receive(line("a"), "data: x\n", line("b")).refused_by(Malformed, "not JSON")
    assert outcome.events == [Text("a")]
    assert isinstance(outcome.error, Malformed)
    assert outcome.error.data == b"data: x"


def test_cut_inside_a_line() -> None:
    outcome = receive(line("a"), line("bcd")[:-5]).refused_by(Truncated, "inside a line")
    assert outcome.events == [Text("a")]


@pytest.mark.parametrize("ending", ["close", "disconnect"])
def test_cut_between_lines(ending: Ending) -> None:
    outcome = receive(line("a"), ending=ending).refused_by(Truncated, "the connection closed")
    assert outcome.events == [Text("a")]


def test_limit_on_a_line() -> None:
    limited = ask(limits=Limits(event=len(line("a").strip())))
    for body in (line("a") + line("ab"), line("a") + "x" * 99):
        outcome = alike(limited, TOKEN, body.encode()).refused_by(LimitExceeded)
        assert outcome.events == [Text("a")]
    assert alike(limited, TOKEN, (line("a") + "[DONE]\n" + "x" * 99).encode()).succeeded()


@pytest.mark.parametrize("ping", ["\n", "  \n", line("")])
def test_keepalives_are_no_sign_of_life(ping: str) -> None:
    exchange = ask()
    exchange.next_request()
    exchange.receive_response(TOKEN.status, TOKEN.headers)
    exchange.receive_data(TOKEN.body)
    exchange.receive_eof()
    no_sign_of_life(exchange, line("a").encode(), ping.encode())
