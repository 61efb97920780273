"""Driving an exchange, by hand or by a client: events and the error out."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from ..protocols.errors import RemoteProtocolError, TokenwireError
from ..protocols.events import End, Event
from ..protocols.exchange import Exchange
from ..protocols.reply import Reply
from ..protocols.toolkit.http import Headers
from .pieces import whole

__all__ = [
    "JSON",
    "SSE",
    "Cut",
    "Ending",
    "Outcome",
    "Response",
    "ask",
    "ask_async",
    "ask_pushed",
    "ask_pushed_async",
    "drive",
    "finish",
]

Ending: TypeAlias = Literal["eof", "close", "disconnect", "timeout"]
"""How a body ends: as HTTP says, as only a closed connection says, not at all, or too late."""

Cut: TypeAlias = Callable[[bytes], Iterable[bytes]]

SSE: Headers = [(b"content-type", b"text/event-stream")]
JSON: Headers = [(b"content-type", b"application/json")]


@dataclass
class Response:
    """What a server answers one request."""

    body: bytes
    status: int = 200
    headers: Headers = field(default_factory=lambda: SSE)
    ending: Ending = "eof"


@dataclass
class Outcome:
    """All that an exchange gave."""

    events: list[Event]
    error: TokenwireError | None

    @property
    def what(self) -> tuple[object, ...]:
        """Everything that must not depend on how the bytes were cut."""
        error = self.error
        said: tuple[object, ...] = (type(error), str(error))
        if isinstance(error, RemoteProtocolError):
            said += (error.data, error.status, error.headers)
        return (self.events, *said)

    @property
    def reply(self) -> Reply:
        """The fold of the events."""
        return Reply.of(self.events)

    def refused_by(self, kind: type[TokenwireError], *words: str) -> "Outcome":
        """This, if it failed with `kind` itself, in these words."""
        assert type(self.error) is kind, self
        for word in words:
            assert word in str(self.error), self.error
        assert End not in map(type, self.events)
        return self

    def succeeded(self) -> "Outcome":
        """This, if it is a success: one `End`, and that last."""
        assert self.error is None, self.error
        assert [e for e in self.events if isinstance(e, End)] == self.events[-1:], self.events
        return self


def finish(exchange: Exchange, ending: Ending) -> list[Event]:
    """End the body."""
    match ending:
        case "eof":
            return exchange.receive_eof(framed=True)
        case "close":
            return exchange.receive_eof(framed=False)
        case "disconnect":
            return exchange.receive_disconnect()
        case _:
            return exchange.receive_timeout("idle")


def drive(exchange: Exchange, *responses: Response | bytes, cut: Cut = whole) -> Outcome:
    """Feed `exchange` these responses, bytes being those of a stream, until it is over.

    The error is the one of `next_request()`: whatever `receive_*` raise is a bug.
    """
    events: list[Event] = []
    for response in responses:
        try:
            request = exchange.next_request()
        except TokenwireError as error:
            return Outcome(events, error)
        assert request is not None, "a response too many"
        if isinstance(response, bytes):
            response = Response(response)
        exchange.receive_response(response.status, response.headers)
        for piece in cut(response.body):
            events += exchange.receive_data(piece)
            if not exchange.wants_data:
                break
        else:
            events += finish(exchange, response.ending)
    try:
        assert exchange.next_request() is None, "a response too few"
    except TokenwireError as error:
        return Outcome(events, error)
    return Outcome(events, None)


def ask(client: Any, exchange: Exchange, most: int | None = None) -> Outcome:
    """Ask by a blocking client. The reader leaves after `most` events, if there are so many."""
    events: list[Event] = []
    try:
        with client.open(exchange) as answer:
            for event in answer:
                events.append(event)
                if len(events) == most:
                    break
    except TokenwireError as error:
        return Outcome(events, error)
    return Outcome(events, None)


async def ask_async(client: Any, exchange: Exchange, most: int | None = None) -> Outcome:
    """Likewise, by a client for async code."""
    events: list[Event] = []
    try:
        async with client.open(exchange) as answer:
            async for event in answer:
                events.append(event)
                if len(events) == most:
                    break
    except TokenwireError as error:
        return Outcome(events, error)
    return Outcome(events, None)


def ask_pushed(client: Any, exchange: Exchange) -> Outcome:
    """Ask by a blocking client that pushes the events."""
    events: list[Event] = []
    try:
        with client.open(exchange) as answer:
            answer.push(events.extend)
    except TokenwireError as error:
        return Outcome(events, error)
    return Outcome(events, None)


async def ask_pushed_async(client: Any, exchange: Exchange) -> Outcome:
    """Likewise, by a client for async code."""
    events: list[Event] = []
    try:
        async with client.open(exchange) as answer:
            await answer.push(events.extend)
    except TokenwireError as error:
        return Outcome(events, error)
    return Outcome(events, None)
