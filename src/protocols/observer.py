"""Observers are told what happens in an exchange, for telemetry, recordings and batches.

An observed exchange is a subclass of `Exchange` whose methods tell the observers after the call. An
exchange without observers does not even test a flag.
"""

import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import msgspec

from .errors import Clock, TokenwireError
from .events import End, Event, Evidence
from .exchange import Exchange
from .toolkit.http import Headers, HeadersLike, Request, as_headers
from .toolkit.redaction import redact

if TYPE_CHECKING:
    from .chat import Chat
    from .provider import Provider
    from .question import Question

__all__ = ["Closing", "Observer", "Outcome", "observed"]

Closing: TypeAlias = Literal["eof", "disconnect", "timeout"]
"""How a response body ended."""


class Outcome(msgspec.Struct, frozen=True):
    """How a question ended. `word` is `complete`, `left` (the reader left early), or the class of
    the error in snake case: `truncated`, `rate_limited`."""

    word: str
    evidence: Evidence | None = None
    error: TokenwireError | None = None


class Observer:
    """Derive from this, and override the methods that you need. They are called by the thread that
    drives the exchange, so an observer of a single exchange needs no lock. An observer that raises
    is removed with a RuntimeWarning, and the answer continues."""

    def asked(self, provider: "Provider", chat: "Chat", model: str) -> None:
        """The question: called once, before all others."""

    def requested(self, request: Request) -> None:
        """A request is sent, also by a retry. It contains the key."""

    def responded(self, status: int, headers: Headers) -> None:
        """A response has begun. These are all its headers."""

    def received(self, data: bytes, events: list[Event]) -> None:
        """A piece of the body as received, and the events that it completed; or no bytes, and more
        of the events of an earlier piece."""

    def closed(self, how: Closing, events: list[Event]) -> None:
        """The body has ended with these last events."""

    def ended(self, outcome: Outcome) -> None:
        """The question has ended: called once, after all retries."""


class _Told:
    """The observers of one question, which retries may give several exchanges."""

    def __init__(self, observers: Sequence[Observer]) -> None:
        self.observers = list(observers)
        self.ended = False
        self.turn = 0  # counts the exchanges of the question: only the last one ends it

    def tell(self, call: Callable[[Observer], None], secrets: Callable[[], list[str]]) -> None:
        for observer in list(self.observers):
            try:
                call(observer)
            except Exception as error:  # noqa: BLE001  an observer may raise anything
                self.observers.remove(observer)
                said = f"an observer raised {error!r} and is removed: {observer!r}"
                warnings.warn(redact(said, secrets()), RuntimeWarning, stacklevel=4)

    def end(self, outcome: Outcome, secrets: Callable[[], list[str]]) -> None:
        if not self.ended:
            self.ended = True
            self.tell(lambda observer: observer.ended(outcome), secrets)


class _Observed(Exchange):
    __slots__ = ("_told", "_turn")

    _told: _Told
    _turn: int

    def watch(self, told: _Told) -> "_Observed":
        """The same exchange, observed."""
        told.turn += 1
        self._told, self._turn = told, told.turn
        return self

    def __del__(self) -> None:
        # For a driver that forgets to leave. Not weakref.finalize: it would keep the error of a
        # failed exchange alive, whose traceback refers to the exchange.
        if hasattr(self, "_told"):
            self.leave()

    def fresh(self) -> Exchange:
        fresh = super().fresh()
        assert isinstance(fresh, _Observed)
        return fresh.watch(self._told)

    def next_request(self) -> Request | None:
        request = super().next_request()
        if request is not None:
            self._told.tell(lambda observer: observer.requested(request), self.secrets)
        return request

    def receive_response(self, status: int, headers: HeadersLike) -> None:
        found = as_headers(headers)
        super().receive_response(status, found)
        self._told.tell(lambda observer: observer.responded(status, found), self.secrets)

    def receive_batch(self, data: bytes = b"") -> list[Event]:
        events = super().receive_batch(data)
        self._told.tell(lambda observer: observer.received(data, events), self.secrets)
        return self._seen(events)

    def receive_eof(self, framed: bool | None = None) -> list[Event]:
        return self._closed("eof", super().receive_eof(framed))

    def receive_disconnect(self) -> list[Event]:
        return self._closed("disconnect", super().receive_disconnect())

    def receive_timeout(self, clock: Clock, message: str = "") -> list[Event]:
        return self._closed("timeout", super().receive_timeout(clock, message))

    def leave(self, error: TokenwireError | None = None) -> None:
        error = error or self.error
        if self._turn == self._told.turn:  # else a retry goes on
            outcome = Outcome("left" if error is None else error.outcome, error=error)
            self._told.end(outcome, self.secrets)

    def _closed(self, how: Closing, events: list[Event]) -> list[Event]:
        self._told.tell(lambda observer: observer.closed(how, events), self.secrets)
        return self._seen(events)

    def _seen(self, events: list[Event]) -> list[Event]:
        if events and isinstance(end := events[-1], End):
            self._told.end(Outcome("complete", evidence=end.evidence), self.secrets)
        return events


def observed(
    observers: Sequence[Observer], provider: "Provider", question: "Question"
) -> Callable[..., Exchange]:
    """A function that makes the exchange of `question` as `Exchange` does, and observed."""

    def make(*arguments: Any, **options: Any) -> Exchange:
        told = _Told(observers)
        exchange = _Observed(*arguments, **options).watch(told)
        told.tell(
            lambda observer: observer.asked(provider, question.chat, question.model),
            exchange.secrets,
        )
        return exchange

    return make
