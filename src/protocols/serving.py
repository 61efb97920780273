"""Observers of a service are told what it is asked and what it answers.

They mirror those of a question (`observer.py`): an observed responder is of a subclass of its own
class, whose methods tell the observers after the call, and a service without observers does not
even test a flag.
"""

import warnings
from collections.abc import Callable, Iterable
from typing import TypeAlias, cast

from .chat import Chat
from .errors import LocalProtocolError, RemoteProtocolError
from .events import End, Event, Evidence
from .observer import Outcome
from .service import Responder, Service
from .toolkit.http import Headers, Request
from .toolkit.redaction import redact

__all__ = ["ServiceObserver", "ServiceObserving", "observe"]


class ServiceObserver:
    """Derive from this, and override the methods that you need. They are called by the thread that
    answers the request. An observer that raises is removed with a RuntimeWarning, and the answer
    continues."""

    def requested(self, request: Request) -> None:
        """A request was received, as it came: called once, before all others. It contains the
        key."""

    def asked(self, service: Service, chat: Chat) -> None:
        """It asks this. Not called if it was refused, or is none to the chat."""

    def responded(self, status: int, headers: Headers) -> None:
        """The response begins with this head."""

    def sent(self, data: bytes, event: Event | None) -> None:
        """Bytes of the body were handed to the server, which may split them or lose them on the
        way: those of `event`; None: of the end, of an error, or of an answer asked for whole."""

    def ended(self, outcome: Outcome) -> None:
        """The answer has ended: called once. `complete` if all of it was handed over, `truncated`
        if the answer function ended early, the error with which it was refused or broken off, or
        `left` if the server did not fetch the rest, as when the client is gone."""


ServiceObserving: TypeAlias = ServiceObserver | Callable[[], ServiceObserver | None]
"""An observer of all requests, or a function that makes one for each (None: not for this one)."""


def observe(responder: Responder, observing: Iterable[ServiceObserving]) -> None:
    """Tell observers of `responder`, which has received nothing yet."""
    watched = _Watched()
    watched.add(observing)
    if watched.observers:  # else it stays a plain one
        responder.__class__ = _observed(type(responder))
        assert isinstance(responder, _Observed)
        responder.watch(watched)


class _Watched:
    """The observers of one request, and what is known of its answer."""

    def __init__(self) -> None:
        self.request: Request | None = None
        self.observers: list[ServiceObserver] = []
        self.evidence: Evidence | None = None
        self.began = False
        self.ended = False

    def add(self, observing: Iterable[ServiceObserving]) -> None:
        for each in observing:
            try:
                observer = each if isinstance(each, ServiceObserver) else each()
            except Exception as error:  # noqa: BLE001  it may raise anything
                self.complain(each, error)
                continue
            if observer is not None:
                self.observers.append(observer)

    def tell(self, call: Callable[[ServiceObserver], None]) -> None:
        for observer in list(self.observers):
            try:
                call(observer)
            except Exception as error:  # noqa: BLE001
                self.observers.remove(observer)
                self.complain(observer, error)

    def complain(self, observer: object, error: Exception) -> None:
        said = f"an observer raised {error!r} and is removed: {observer!r}"
        secrets = [] if self.request is None else self.request.secrets()
        warnings.warn(redact(said, secrets), RuntimeWarning, stacklevel=5)

    def begin(self, responder: Responder) -> None:
        """Tell the head, which is final once there are bytes to send."""
        if not self.began:
            self.began = True
            status, headers = responder.head()
            self.tell(lambda observer: observer.responded(status, headers))

    def end(self, outcome: Outcome) -> None:
        if not self.ended:
            self.ended = True
            self.tell(lambda observer: observer.ended(outcome))


class _Observed(Responder):
    _watched: _Watched

    def watch(self, watched: _Watched) -> None:
        self._watched = watched

    def __del__(self) -> None:
        self.leave()

    def receive_request(self, request: Request) -> Chat | None:
        self._watched.request = request
        self._watched.tell(lambda observer: observer.requested(request))
        chat = super().receive_request(request)
        if chat is not None:
            service = self.service
            self._watched.tell(lambda observer: observer.asked(service, chat))
        return chat

    def send(self, event: Event) -> bytes:
        data = super().send(event)
        if isinstance(event, End):
            self._watched.evidence = event.evidence
        return self._sent(data, event)

    def end(self) -> bytes:
        data = super().end()
        self._watched.begin(self)
        self._sent(data, None)
        word = "complete" if self.complete else "truncated"
        self._watched.end(Outcome(word, evidence=self._watched.evidence))
        return data

    def fail(self, error: RemoteProtocolError | LocalProtocolError) -> bytes:
        data = super().fail(error)
        self._watched.begin(self)
        return self._failed(data, error)

    def fail_midway(self, error: RemoteProtocolError | LocalProtocolError) -> bytes:
        return self._failed(super().fail_midway(error), error)

    def leave(self) -> None:
        super().leave()
        if self._watched.request is not None:  # else nothing has begun that could end
            self._watched.end(Outcome("left"))

    def _sent(self, data: bytes, event: Event | None) -> bytes:
        if data:
            self._watched.begin(self)
            self._watched.tell(lambda observer: observer.sent(data, event))
        return data

    def _failed(self, data: bytes, error: RemoteProtocolError | LocalProtocolError) -> bytes:
        self._sent(data, None)
        self._watched.end(Outcome(error.outcome, error=error))
        return data


_KINDS: dict[type[Responder], type[Responder]] = {}


def _observed(kind: type[Responder]) -> type[Responder]:
    """The observed subclass of a format's class."""
    if kind not in _KINDS:
        made = type(f"Observed{kind.__name__}", (_Observed, kind), {})
        _KINDS[kind] = cast("type[Responder]", made)
    return _KINDS[kind]
