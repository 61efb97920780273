"""Sends the answers that a test has queued, and notes how far they got."""

from abc import abstractmethod
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from typing import Any, Protocol

import anyio
import msgspec

from ...protocols.chat import Chat
from ...protocols.errors import Refused
from ...protocols.events import Event, Image, Native, ToolCallEnd
from ...protocols.toolkit.http import Request, get_header
from ...replay.cassette import Ending as TapeEnding
from ...replay.cassette import Framing
from ...server.faults import Cutting
from ...server.scripts import (
    Action,
    Answer,
    Ending,
    Part,
    Plan,
    Script,
    Wait,
    Write,
    encoded,
    wait_for,
)
from .answers import Function, Raw, Scripted
from .mounting import Reading
from .places import Events, Place, Stop, events_in, text_of
from .received import Received

__all__ = [
    "PATIENCE",
    "Keeper",
    "RawAnswer",
    "ScriptedAnswer",
    "Tracked",
    "find",
    "missing",
    "stopped",
]

PATIENCE = 60.0
"""Seconds for which a connection stays open with nothing to send."""


class Keeper(Protocol):
    """The server, to a response."""

    @property
    def stopping(self) -> bool:
        """Whether the test is over."""
        ...

    def seconds(self) -> float:
        """Since the test began."""
        ...

    def settled(self) -> None:
        """A response is over."""
        ...


class Tracked(Script):
    """A response that notes its result."""

    watches = True
    received: Received
    keeper: Keeper
    _complete = True
    """Whether what was sent is all there is."""

    def track(self, received: Received, keeper: Keeper) -> None:
        """Note it in `received`."""
        self.received = received
        self.keeper = keeper
        self._gone = anyio.Event()

    def left(self) -> None:
        self._gone.set()
        super().left()

    def actions(self) -> Generator[Action]:
        self.received.so_far = "being answered"
        try:
            yield from self._counted()
            if self._gone.is_set():
                self._settle(self._left())
            elif self.plan.ending is Ending.WAIT:
                yield from self._wait()
            else:
                self._settle(self.how())
        finally:
            if not self.received.settled:  # a write failed, or the test is over
                whole = self.bodiless and not self.keeper.stopping
                self._settle("sent" if whole else self._left())

    @abstractmethod
    def _actions(self) -> Generator[Action]:
        """What to do, up to the ending."""

    def _counted(self) -> Generator[Action]:
        with closing(self._actions()) as actions:
            for action in actions:
                if isinstance(action, Write):
                    self.received.last_write_at = self.keeper.seconds()
                yield action
                if isinstance(action, Write):
                    self._written(action.data)
                if self._gone.is_set():
                    return

    def _written(self, data: bytes) -> None:
        self.received.sent += len(data)
        tape = self.received.tape
        if tape is None:
            return
        tape.read()
        if not tape.answered:
            framing: Framing = "chunked" if self.length is None else "length"
            tape.head(self.status, self.headers, http="1.1", framing=framing)
        if data:
            tape.piece(data)

    def _wait(self) -> Generator[Action]:
        """Until the client leaves, or patience ends."""
        received, since = self.received, self.keeper.seconds()
        if self.plan.head and not self.began:
            yield Write(b"")  # the head
            self._written(b"")
        received.so_far = f"stalled after {received.sent} bytes"
        received.whole = self.plan.stop_after is None and self._complete
        received.done_at = since
        yield from wait_for(self._patiently())
        received.waited = self.keeper.seconds() - since
        self.plan = replace(self.plan, ending=Ending.CLOSE)
        end = "client left then" if self._gone.is_set() else "closed when it had waited long"
        self._settle(f"{received.so_far}, {end}")

    async def _patiently(self) -> None:
        with anyio.move_on_after(PATIENCE):
            await self._gone.wait()

    def _left(self) -> str:
        sent = self.received.sent
        if self.keeper.stopping:
            return f"still open after {sent} bytes when the test ended"
        return f"client left after {sent} bytes"

    def how(self) -> str:
        """How it ended, if it was sent to its end."""
        match self.plan.ending:
            case Ending.CLOSE:
                return f"closed after {self.received.sent} bytes"
            case Ending.RESET:
                return f"reset after {self.received.sent} bytes"
            case _:
                if self.failed:
                    return f"failed after {self.received.sent} bytes"
                if self.status >= 400:
                    return f"refused with {self.status}"
                return "sent"

    def _find(self, place: Place, pieces: Sequence[bytes]) -> int | None:
        """How many bytes of `pieces` are in front of a place."""
        at = find(place, pieces)
        if at is None:
            self._miss([place])
        return at

    def _miss(self, places: list[Place]) -> None:
        for place in places:
            self.received.problems.append(missing(place))

    def _settle(self, outcome: str) -> None:
        received = self.received
        if received.tape is not None:
            how = "left" if self._gone.is_set() or self.keeper.stopping else self.plan.ending
            received.tape.read()
            received.tape.end(_TAPED.get(how, "eof"))
        received.status = self.status
        if received.done_at is None:
            received.done_at = self.keeper.seconds()
        received.settle(outcome)
        self.keeper.settled()


class ScriptedAnswer(Tracked, Answer):
    """An answer of events."""

    def __init__(
        self,
        request: Request,
        plan: Plan,
        reading: Reading,
        answer: Function,
        *,
        report: Callable[[Exception], Refused],
        scripted: Scripted | None = None,
    ) -> None:
        super().__init__(
            request,
            plan,
            responder=reading.responder,
            answer=answer,
            cutting=Cutting.per_event() if scripted is None else scripted.cutting,
            report=report,
        )
        self._chat = reading.chat
        self._stop = None if scripted is None else scripted.stop
        self._breach = None if scripted is None else scripted.breach
        self._texts: dict[str, str] = {}
        self._reached: set[Place] = set()
        self._pieces = 0
        self._ended = False

    def _actions(self) -> Generator[Action]:
        return Answer.actions(self)

    def how(self) -> str:
        how = super().how()
        ended = self.plan.end_after is not None or self._ended
        return f"ended after {self.received.sent} bytes" if ended and how == "sent" else how

    def _receive(self) -> Chat | None:
        if isinstance(self._chat, Refused):
            raise self._chat
        return self._chat

    def _events(self, chat: Chat) -> Iterator[Event | Wait[Any]]:
        """The events; one that has the text of a place is split after it."""
        for event in super()._events(chat):
            if isinstance(event, Wait):
                yield event
            else:
                yield from self._split(event)

    def _split(self, event: Event) -> Iterator[Event]:
        found = text_of(event)
        if found is None:
            if isinstance(event, Image | Native | ToolCallEnd):  # content without a text
                self._reached.add(None)
            yield event
            return
        field, text = found
        kind = type(event).__name__
        before = self._texts.get(kind, "")
        self._texts[kind] = before + text
        for place in self._places():
            end = _end(place, before, text)
            if end is not None:
                self._reached.add(place)
                yield msgspec.structs.replace(event, **{field: text[:end]})
                if end < len(text):
                    yield msgspec.structs.replace(event, **{field: text[end:]})
                return
        yield event

    def _places(self) -> list[Place]:
        """The places that are still looked for."""
        marks = (mark for mark in (self._breach, self._stop) if mark is not None)
        return [mark.place for mark in marks if mark.place not in self._reached]

    def _say(self, chat: Chat) -> Iterator[bytes | Wait[Any]]:
        for piece in self._wire_events(chat):
            yield piece
            if not isinstance(piece, bytes) or not piece:
                continue
            self._pieces += 1
            if self._breach is not None and self._is_at(self._breach.place):
                yield self._breach.data
                self._breach = None
            if self._stop is not None and self._is_at(self._stop.place):
                self._ended = self._stop.then == "end"
                self._complete = False
                self.plan = replace(self.plan, ending=_ENDINGS[self._stop.then])
                return
        if self._pieces:  # else it is one document
            self._miss(self._places())

    def _wire_events(self, chat: Chat) -> Iterator[bytes | Wait[Any]]:
        """The pieces of the body; where they are counted, each an event of the wire."""
        counted = any(isinstance(place, Events) for place in self._places())
        for piece in super()._say(chat):
            if counted and isinstance(piece, bytes):
                yield from events_in(piece)
            else:
                yield piece

    def _is_at(self, place: Place) -> bool:
        if isinstance(place, Events) and place.count <= self._pieces:
            self._reached.add(place)
        return place in self._reached

    def _whole(self, body: bytes) -> Iterator[Part]:
        """A document; an error, and a whole response in place of the answer, are left as they
        are."""
        if self.plan.replacement is not None or self.status >= 400 or self._chat is None:
            return super()._whole(body)
        breach, stop = self._breach, self._stop
        if breach is not None and (at := self._find(breach.place, [body])) is not None:
            body = body[:at] + breach.data + body[at:]
        if stop is not None and (at := self._find(stop.place, [body])) is not None:
            self.plan = stopped(self.plan, stop, at)
        return super()._whole(body)


class RawAnswer(Tracked):
    """A response as it is."""

    def __init__(self, request: Request, plan: Plan, raw: Raw, scripted: Scripted) -> None:
        super().__init__(request, plan)
        self.status = raw.status
        self.headers = [pair for pair in raw.headers if pair[0] != b"content-length"]
        self._pieces = raw.pieces
        self._scripted = scripted
        promised = get_header(raw.headers, b"content-length")
        if promised is not None:
            self.length = int(promised)
            if self.length > sum(map(len, raw.pieces)) and plan.ending is Ending.KEEP:
                self.plan = replace(plan, ending=Ending.CLOSE)

    def _actions(self) -> Generator[Action]:
        if not self.plan.head:
            return
        pieces: Sequence[bytes] = self._pieces
        breach, stop = self._scripted.breach, self._scripted.stop
        if breach is not None and (at := self._find(breach.place, pieces)) is not None:
            body = b"".join(pieces)
            pieces = (body[:at], breach.data, body[at:])
        if stop is not None and (at := self._find(stop.place, pieces)) is not None:
            self.plan = stopped(self.plan, stop, at)
        yield from self.written(encoded(self.plan, pieces), self._scripted.cutting)


_ENDINGS = {
    "end": Ending.KEEP,
    "close": Ending.CLOSE,
    "reset": Ending.RESET,
    "stall": Ending.WAIT,
    "quiet": Ending.KEEP,
}


_TAPED: dict[object, TapeEnding] = {
    "left": "left",
    Ending.CLOSE: "disconnect",
    Ending.RESET: "reset",
}


def missing(place: Place) -> str:
    """What a test is told whose place is not there."""
    return f"its answer has no place after={place!r}"


def stopped(plan: Plan, stop: Stop, count: int) -> Plan:
    """`plan` with what happens after `count` bytes."""
    match stop.then:
        case "end":
            return replace(plan, end_after=count)
        case "quiet":
            return replace(plan, quiet_after=count)
        case then:
            return replace(plan, stop_after=count, ending=_ENDINGS[then])


def find(place: Place, pieces: Sequence[bytes]) -> int | None:
    """How many bytes of `pieces` are in front of a place; None: it is not there."""
    body = b"".join(pieces)
    if place is None:
        return len(body) // 2
    if isinstance(place, Events):
        return sum(map(len, pieces[: place.count])) if place.count < len(pieces) else None
    for text in (place.encode(), msgspec.json.encode(place)[1:-1]):
        if text in body:
            return body.index(text) + len(text)
    return None


def _end(place: Place, before: str, text: str) -> int | None:
    """How much of `text`, which follows `before`, is in front of the place; None: it is not
    there."""
    if place is None:
        return (len(text) + 1) // 2
    if isinstance(place, Events):
        return None
    at = (before + text).find(place)
    return None if at < 0 else at + len(place) - len(before)
