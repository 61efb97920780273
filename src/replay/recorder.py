"""Records what an exchange is told, as an observer: on any transport, or none."""

import os
import time
from collections import Counter
from collections.abc import Callable, Collection, Generator, Iterable, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec

from ..protocols import VERSION
from ..protocols.errors import LocalProtocolError, TokenwireError
from ..protocols.events import Event
from ..protocols.observer import Closing, Observer, Outcome
from ..protocols.toolkit.http import Headers, Request
from .cassette import LARGEST, Cassette, Noted, Recording, save
from .decoding import name_of
from .redaction import check
from .tape import Tape
from .timeline import timeline

if TYPE_CHECKING:
    from ..protocols.chat import Chat
    from ..protocols.provider import Provider

__all__ = ["Recorder", "record", "stamp"]

BY = f"tokenwire/{VERSION} observer"
"""What a recording says of how it was made. An observer sees each read as one piece, and a reset as
a lost connection."""


class Recorder:
    """Records questions. Called, it makes an observer of one question, so that several may run at
    once: `ask(..., observers=[recorder])`.

    `title`: a name for the file. `redact`: JSON pointers and patterns (`re:...`) of what is to be
    left out of requests. `allow_secrets`: texts that look like keys, and are none. `limit`: bytes
    of a response. `now` returns seconds since 1970, `clock` seconds for intervals.
    """

    def __init__(
        self,
        *,
        title: str = "",
        redact: Sequence[str] = (),
        allow_secrets: Collection[str] = (),
        limit: int = LARGEST,
        now: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._title = title
        self._redact = redact
        self._allow = allow_secrets
        self._limit = limit
        self._recorded = stamp(now())
        self._clock = clock
        self._questions: list[_Question] = []

    def __call__(self) -> Observer:
        question = _Question(self._clock, self._redact, self._limit)
        self._questions.append(question)
        return question

    @property
    def cassette(self) -> Cassette:
        """What was recorded so far. Raises SecretFound."""
        return self._cassette(self._questions)

    def _cassette(self, questions: "Iterable[_Question]") -> Cassette:
        kept = [(each.provider, each.recordings()) for each in questions]
        providers = {provider for provider, recordings in kept if recordings}
        return Cassette(
            tuple(each for _, recordings in kept for each in recordings),
            provider=providers.pop() if len(providers) == 1 else "",
            recorded=self._recorded,
            by=BY,
            title=self._title,
        )

    def save(self, path: str | os.PathLike[str], *, private: bool = False) -> None:
        """Write the file. Raises SecretFound for what looks like a key, and LocalProtocolError if
        it can't be written. `private`: only the user may read it."""
        cassette = self.cassette
        check(cassette, self._allow)
        save(cassette, path, private=private)

    def timeline(self, error: TokenwireError) -> str:
        """The page (see `timeline`) of the question that was recorded and ended with `error`, which
        says why. Raises SecretFound for what looks like a key, and LocalProtocolError if there is
        no such question, or it sent no request."""
        # The error itself has no such method: it would have to hold all that was received, and
        # errors are logged, reported with their attributes, and sent between processes.
        cassette = self._cassette(each for each in self._questions if each.error is error)
        if not cassette.recordings:
            raise LocalProtocolError("no recorded question ended with this error")
        check(cassette, self._allow)
        return timeline(cassette, error)


@contextmanager
def record(
    path: str | os.PathLike[str],
    *,
    title: str = "",
    redact: Sequence[str] = (),
    allow_secrets: Collection[str] = (),
) -> Generator[Recorder]:
    """A `Recorder`, whose file is written at the end of the `with` block, however that ends."""
    recorder = Recorder(title=title, redact=redact, allow_secrets=allow_secrets)
    try:
        yield recorder
    finally:
        recorder.save(path)


def stamp(seconds: float) -> str:
    """A time since 1970 as an ISO time in UTC."""
    return datetime.fromtimestamp(int(seconds), UTC).isoformat().replace("+00:00", "Z")


class _Question(Observer):
    """Records one question."""

    def __init__(self, clock: Callable[[], float], redact: Sequence[str], limit: int) -> None:
        self.provider = ""
        self._clock = clock
        self._redact = redact
        self._limit = limit
        self._tapes: list[Tape] = []
        self._kinds: list[type[Event]] = []
        self._outcome: Outcome | None = None

    def asked(self, provider: "Provider", chat: "Chat", model: str) -> None:
        self.provider = name_of(provider)

    def requested(self, request: Request) -> None:
        self._tapes.append(Tape(request, clock=self._clock, redact=self._redact, limit=self._limit))

    def responded(self, status: int, headers: Headers) -> None:
        if status >= 200:
            self._tape.read()
            self._tape.head(status, headers)

    def received(self, data: bytes, events: list[Event]) -> None:
        if data:
            self._tapes[-1].received(data)
        if events:
            self._kinds.extend(map(type, events))

    def closed(self, how: Closing, events: list[Event]) -> None:
        self._tape.read()
        self._tape.end(how)
        self._kinds.extend(map(type, events))

    def ended(self, outcome: Outcome) -> None:
        self._outcome = outcome
        if outcome.word == "connect_failed" and self._tapes:
            self._tape.end("unreached")

    @property
    def error(self) -> TokenwireError | None:
        """What the question ended with, if it failed."""
        return None if self._outcome is None else self._outcome.error

    def recordings(self) -> list[Recording]:
        """What it has recorded."""
        found = [tape.recording() for tape in self._tapes]
        if found and self._outcome is not None:
            kinds = {_tag(kind): count for kind, count in Counter(self._kinds).items()}
            noted = Noted(
                self._outcome.word, self._outcome.evidence or "", dict(sorted(kinds.items()))
            )
            found[-1] = msgspec.structs.replace(_framed(found[-1], noted), outcome=noted)
        return found

    @property
    def _tape(self) -> Tape:
        return self._tapes[-1]


def _framed(recording: Recording, noted: Noted) -> Recording:
    """By HTTP/2 no header says how a body ends; but that it was complete was seen."""
    head = recording.response
    if head is None or head.framing != "close" or noted.evidence != "body_end":
        return recording
    head = msgspec.structs.replace(head, framing="chunked")
    return msgspec.structs.replace(recording, response=head)


def _tag(kind: type[Event]) -> str:
    return str(kind.__struct_config__.tag)
