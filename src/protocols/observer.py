"""Observers are told what happens in an exchange, for telemetry, recordings and batches.

An observed exchange is of a subclass of `Exchange` whose methods tell the observers after the call.
An exchange without observers does not even test a flag.

Observers are given to a question (`provider.exchange(chat, observers=...)`, and so `ask` and
`stream`), to a client (`Client(observers=...)`), or to the whole program (`install`).
"""

import warnings
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

import msgspec

from .errors import Clock, LocalProtocolError, TokenwireError
from .events import End, Event, Evidence
from .exchange import Exchange
from .provider import installed
from .toolkit.http import Headers, HeadersLike, Request, as_headers
from .toolkit.redaction import redact

if TYPE_CHECKING:
    from .chat import Chat
    from .provider import Provider
    from .question import Question

__all__ = ["Closing", "Observer", "Observing", "Outcome", "install", "observe", "refuse"]

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

    def headers(self, request: Request) -> Headers:
        """Headers to add to a request that is about to be sent, such as the context of a trace. One
        to a server-chosen address gets none, and is not told here."""
        return []

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
        """The question has ended: called once, after all retries. A question that can't be asked
        ends right after `asked`."""


Observing: TypeAlias = Observer | Callable[[], Observer | None]
"""An observer of one question, or a function that makes one for each (None: not for this one)."""


def install(factory: Callable[[], Observer | None]) -> Callable[[], None]:
    """Have each question of the program observed, by an observer that `factory` makes for it.
    Returns a function that ends this. Installing the same one again changes nothing."""

    def uninstall() -> None:
        if factory in installed:
            installed.remove(factory)

    if factory not in installed:
        installed.append(factory)
    return uninstall


def observe(exchange: Exchange, observing: Iterable[Observing]) -> None:
    """Tell further observers of `exchange`, which has not begun. One that asks for something else
    than a chat, such as the models of a service, is not observed."""
    question = exchange.question
    if question is None:
        return
    if isinstance(exchange, _Observed):
        exchange.tell_also(observing, question)
        return
    told = _Told()
    told.add(observing, question, exchange.secrets)
    if told.observers:  # else it stays a plain one
        exchange.__class__ = _Observed  # nobody has to hold another object than before
        assert isinstance(exchange, _Observed)
        exchange.watch(told)


def refuse(
    observing: Iterable[Observing],
    provider: "Provider",
    chat: "Chat",
    key: object,
    error: LocalProtocolError,
) -> None:
    """Tell observers of a question that can't be asked."""

    def secrets() -> list[str]:
        return [key] if isinstance(key, str) else []

    told = _Told()
    model = provider.aliases.get(chat.model, chat.model) or provider.default_model
    told.add(observing, _Unasked(provider, chat, model), secrets)
    told.end(Outcome(error.outcome, error=error), secrets)


class _Unasked(NamedTuple):
    provider: "Provider"
    chat: "Chat"
    model: str


class _Told:
    """The observers of one question, which retries may give several exchanges."""

    __slots__ = ("ended", "observers", "sources", "turn")

    def __init__(self) -> None:
        self.observers: tuple[Observer, ...] = ()
        self.sources: list[Observing] = []  # what they were made by
        self.ended = False
        self.turn = 0  # counts the exchanges of the question: only the last one ends it

    def add(
        self,
        observing: Iterable[Observing],
        question: "Question | _Unasked",
        secrets: Callable[[], list[str]],
    ) -> None:
        for each in observing:
            if each in self.sources:
                continue
            self.sources.append(each)
            try:
                observer = each if isinstance(each, Observer) else each()
            except Exception as error:  # noqa: BLE001  as of an observer
                self.complain(each, error, secrets)
                continue
            if observer is None:
                continue
            self.observers = (*self.observers, observer)
            try:
                observer.asked(question.provider, question.chat, question.model)
            except Exception as error:  # noqa: BLE001
                self.remove(observer, error, secrets)

    def remove(
        self, observer: Observer, error: Exception, secrets: Callable[[], list[str]]
    ) -> None:
        """Tell no more to an observer that has raised, as it may with anything."""
        self.observers = tuple(each for each in self.observers if each is not observer)
        self.complain(observer, error, secrets, 1)

    def complain(
        self, observer: object, error: Exception, secrets: Callable[[], list[str]], depth: int = 0
    ) -> None:
        said = f"an observer raised {error!r} and is removed: {observer!r}"
        warnings.warn(redact(said, secrets()), RuntimeWarning, stacklevel=4 + depth)

    def end(self, outcome: Outcome, secrets: Callable[[], list[str]]) -> None:
        if not self.ended:
            self.ended = True
            for observer in self.observers:
                try:
                    observer.ended(outcome)
                except Exception as error:  # noqa: BLE001
                    self.remove(observer, error, secrets)


class _Observed(Exchange):
    __slots__ = ()

    _told: _Told
    _turn: int

    def watch(self, told: _Told) -> "_Observed":
        """The same exchange, observed."""
        told.turn += 1
        self._told, self._turn = told, told.turn
        return self

    def tell_also(self, observing: Iterable[Observing], question: "Question") -> None:
        self._told.add(observing, question, self.secrets)

    def __del__(self) -> None:
        # For a driver that forgets to leave. Not weakref.finalize: it would keep the error of a
        # failed exchange alive, whose traceback refers to the exchange.
        if hasattr(self, "_told"):
            self.leave()

    def fresh(self) -> Exchange:
        fresh = super().fresh()
        assert isinstance(fresh, _Observed)
        told, question = self._told, self.question
        if not told.ended:
            return fresh.watch(told)
        assert question is not None  # else it would not be observed
        again = (each for each in told.sources if not isinstance(each, Observer))
        fresh.watch(_Told()).tell_also(again, question)  # it is no retry, but asks once more
        return fresh

    def next_request(self) -> Request | None:
        request = super().next_request()
        if request is None:
            return None
        if not request.server_chosen:
            self._request = request = self._with_headers(request)
        for observer in self._told.observers:
            try:
                observer.requested(request)
            except Exception as error:  # noqa: BLE001
                self._told.remove(observer, error, self.secrets)
        return request

    def _with_headers(self, request: Request) -> Request:
        for observer in self._told.observers:
            try:
                added = observer.headers(request)
            except Exception as error:  # noqa: BLE001
                self._told.remove(observer, error, self.secrets)
                continue
            if added:
                headers = [*request.headers, *added]
                request = msgspec.structs.replace(request, headers=headers)
        return request

    def receive_response(self, status: int, headers: HeadersLike) -> None:
        found = as_headers(headers)
        super().receive_response(status, found)
        for observer in self._told.observers:
            try:
                observer.responded(status, found)
            except Exception as error:  # noqa: BLE001
                self._told.remove(observer, error, self.secrets)

    def receive_batch(self, data: bytes = b"") -> list[Event]:
        events = Exchange.receive_batch(self, data)
        # Here and below the loops are written out: a function for each call takes twice as long.
        for observer in self._told.observers:
            try:
                observer.received(data, events)
            except Exception as error:  # noqa: BLE001
                self._told.remove(observer, error, self.secrets)
        if events and type(end := events[-1]) is End:
            self._told.end(Outcome("complete", evidence=end.evidence), self.secrets)
        return events

    def receive_eof(self, framed: bool | None = None) -> list[Event]:
        return self._closed("eof", super().receive_eof(framed))

    def receive_disconnect(self) -> list[Event]:
        return self._closed("disconnect", super().receive_disconnect())

    def receive_timeout(self, clock: Clock, message: str = "") -> list[Event]:
        return self._closed("timeout", super().receive_timeout(clock, message))

    def leave(self, error: TokenwireError | None = None, *, aborted: bool = False) -> None:
        error = error or (None if aborted else self.error)
        if self._turn == self._told.turn:  # else a retry goes on
            outcome = Outcome("left" if error is None else error.outcome, error=error)
            self._told.end(outcome, self.secrets)

    def _closed(self, how: Closing, events: list[Event]) -> list[Event]:
        for observer in self._told.observers:
            try:
                observer.closed(how, events)
            except Exception as error:  # noqa: BLE001
                self._told.remove(observer, error, self.secrets)
        if events and type(end := events[-1]) is End:
            self._told.end(Outcome("complete", evidence=end.evidence), self.secrets)
        return events
