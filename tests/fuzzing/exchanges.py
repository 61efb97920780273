"""The exchange: any calls in any order, with any statuses, headers, bytes and endings.

An input is a row of calls: a byte that says which, a byte that says how many bytes it takes, and
these. What may come out: `LocalProtocolError` of a call out of order, which changes nothing; and
from `next_request` the error that the exchange ended with.
"""

import gzip
import zlib
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

from tests.fuzzing.clients import SMALL
from tests.fuzzing.seeds import words
from tests.fuzzing.source import Target
from tokenwire.protocols.chat import as_chat
from tokenwire.protocols.errors import (
    Disconnected,
    LocalProtocolError,
    RemoteProtocolError,
    TimedOut,
    TokenwireError,
)
from tokenwire.protocols.events import End, Event
from tokenwire.protocols.exchange import TRANSITIONS, Exchange, State
from tokenwire.protocols.limits import Limits
from tokenwire.protocols.toolkit.http import Headers
from tokenwire.testing import Recorded, Subject

__all__ = ["exchanges"]

_STATUSES = [200] * 6 + [100, 101, 204, 301, 400, 403, 429, 500, 503, 599]
_CODED: list[Callable[[bytes], bytes]] = [gzip.compress, zlib.compress, lambda data: data * 9]

Call = Callable[[], list[Event]]


def _calls(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at < len(data):
        size = data[at + 1] if at + 1 < len(data) else 0
        yield data[at], data[at + 2 : at + 2 + size]
        at += 2 + size


class _Watched:
    """An exchange, and what it said so far."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._ended = False
        self._error: TokenwireError | None = None

    def call(self, number: int, argument: bytes) -> None:
        """Make a call, and check that it did what the rules and the table of states allow."""
        exchange, before = self._exchange, self._seen()
        name, make = self._call(number, argument)
        state = _state(exchange)
        try:
            events = make()
        except LocalProtocolError:
            assert self._seen() == before
            assert name not in TRANSITIONS[state]
            return
        except (RemoteProtocolError, Disconnected, TimedOut) as error:
            self._take_error(name, error)
            events = []
        assert _state(exchange) in {state} | TRANSITIONS[state].get(name, set())
        assert exchange.wants_data is (_state(exchange) in (State.SENT, State.BODY))
        if self._ended or state is State.FAILED:
            assert events == []
        ends = [event for event in events if isinstance(event, End)]
        assert ends == (events[-1:] if exchange.answered and not self._ended else [])
        self._ended = exchange.answered
        assert not (exchange.answered and exchange.failed)
        assert exchange.started or not events

    def _take_error(self, name: str, error: TokenwireError) -> None:
        assert name == "next_request"
        assert not self._ended
        assert self._error in (None, error)
        self._error = error

    def _call(self, number: int, argument: bytes) -> tuple[str, Call]:
        exchange = self._exchange
        first = argument[:1] or b"\0"
        match number % 9:
            case 0:
                return "next_request", self._next_request
            case 1:
                status, headers = _STATUSES[first[0] % len(_STATUSES)], _headers(argument[1:])
                return "receive_response", partial(self._receive_response, status, headers)
            case 2:
                return "receive_data", lambda: exchange.receive_data(argument)
            case 3:
                return "receive_data", lambda: exchange.receive_batch(argument)
            case 4:
                coded = _CODED[first[0] % len(_CODED)](argument[1:])
                return "receive_data", lambda: exchange.receive_batch(coded)
            case 5:
                framed = (True, False, None)[first[0] % 3]
                return "receive_eof", lambda: exchange.receive_eof(framed)
            case 6:
                return "receive_disconnect", exchange.receive_disconnect
            case 7:
                return "receive_timeout", lambda: exchange.receive_timeout("idle")
            case _:
                fresh = exchange.fresh()
                assert fresh.unstarted
                return "fresh", list

    def _next_request(self) -> list[Event]:
        self._exchange.next_request()
        return []

    def _receive_response(self, status: int, headers: Headers) -> list[Event]:
        self._exchange.receive_response(status, headers)
        return []

    def _seen(self) -> tuple[Any, ...]:
        exchange = self._exchange
        return (
            _state(exchange),
            repr(exchange),
            exchange.wants_data,
            exchange.answered,
            exchange.failed,
            exchange.started,
            exchange.unstarted,
            exchange.partial,
            exchange.has_more,
        )


def _state(exchange: Exchange) -> State:
    return exchange._state  # pyright: ignore[reportPrivateUsage]  # what the table is about


def _headers(argument: bytes) -> Headers:
    """A line for each header; one without a colon is a content type."""
    headers: Headers = []
    for line in argument.split(b"\n"):
        name, colon, value = line.partition(b":")
        headers.append((name, value) if colon else (b"Content-Type", line))
    return headers


def _call(number: int, argument: bytes = b"") -> bytes:
    return bytes((number, len(argument))) + argument


def _seeds(subject: Subject) -> Iterator[bytes]:
    """Calls, without the byte that says which exchange they are of."""
    before, kind, body = _answered(subject)
    for data in (body, body[:30], b"<html>", b'{"error":"no"}'):
        yield before + _call(1, kind) + _call(2, data) + _call(5) + _call(0)
    for number, coding in enumerate((b"gzip", b"deflate", b"x-gzip", b"br")):
        coded = _call(4, bytes((number,)) + body)
        head = _call(1, kind + b"\ncontent-encoding:" + coding)
        yield before + head + coded + _call(5) + _call(0) + _call(2, b"x")
    yield before + _call(1, kind) + _call(2, body) + _call(7) + _call(0)
    yield before + _call(1, b"\6") + _call(1, kind) + _call(3, body) + _call(6)


def _common() -> Iterator[bytes]:
    page = b"".join((_call(1, b"\x0dtext/html\nRetry-After:9"), _call(2, b"<p>"), _call(6)))
    yield _call(0) + page + _call(0) + _call(0)
    yield _call(0) + _call(6) + _call(0) + _call(8) + _call(1) + _call(3, b"x")
    yield _call(0) + _call(7) + _call(0)


def _answered(subject: Subject) -> tuple[bytes, bytes, bytes]:
    """The calls up to the last request, and what answers it: the argument that says its content
    type, and the body (a call takes 255 bytes)."""
    *earlier, last = subject.send_short().recorded
    calls = _call(0)
    for each in earlier:
        calls += _call(1, _kind(each)) + _call(2, each.body) + _call(5, b"\1") + _call(0)
    return calls, _kind(last), last.body[:200]


def _kind(recorded: Recorded) -> bytes:
    return b"\0" + dict(recorded.headers)[b"content-type"]


def exchanges(subjects: Mapping[str, Subject]) -> Target:
    """The target."""
    chats = [(subject, as_chat("hi", **subject.asked)) for subject in subjects.values()]
    asked = [s.exchange(chat, limits) for s, chat in chats for limits in (Limits(), SMALL)]

    def fuzz(data: bytes) -> None:
        watched = _Watched(asked[data[0] % len(asked) if data else 0].fresh())
        for number, argument in _calls(data[1:]):
            watched.call(number, argument)

    seeds = [b"\0" + seed for seed in _common()]
    for number, subject in enumerate(subjects.values()):
        for small in (0, 1):
            seeds += [bytes((2 * number + small,)) + seed for seed in _seeds(subject)]
    return Target(fuzz, seeds, [*words(*subjects.values()), *_WORDS], max_len=400)


_WORDS = [
    *(b"content-encoding:gzip", b"content-encoding:deflate", b"content-length:5"),
    *(b"text/event-stream", b"application/json", b"retry-after:1", b"image/png", b"text/html"),
    *(b"\0\0", b"\5\0", b"\6\0", b"\7\0"),
]
