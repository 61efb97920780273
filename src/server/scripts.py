"""What the embedded server does for one request, worked out without I/O.

`plan` sums up the faults of a response. An `Answer` asks the answer function, and turns its events
into a script: the writes, pauses and waits to carry out, up to the plan's `Ending`. Only what is
async in an answer function is left to the driver, as a `Wait`. `Script` is what the driver needs of
it, for responses that come from elsewhere.
"""

import zlib
from abc import ABC, abstractmethod
from collections.abc import (
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Generator,
    Iterable,
    Iterator,
)
from dataclasses import dataclass, replace
from enum import Enum, auto
from itertools import chain
from typing import Any, ClassVar, Generic, TypeAlias, TypeVar, assert_never

import msgspec

from ..protocols.answering import (
    AnswerFunction,
    RequestAnswerFunction,
    Said,
    Told,
    answer_with,
    said_at_once,
)
from ..protocols.chat import Chat
from ..protocols.errors import BadRequest, Malformed, Refused
from ..protocols.events import End, Event
from ..protocols.refusing import refuse
from ..protocols.service import Responder
from ..protocols.toolkit.http import Headers, Request, content_type, make_headers
from ..protocols.toolkit.refusals import STANDARD
from .faults import (
    BreakEvent,
    CloseAfter,
    CloseIdle,
    Cutting,
    DropTerminator,
    EndAfter,
    ErrorObject,
    Fault,
    Faults,
    Gzip,
    HtmlPage,
    KeepAlives,
    Linger,
    RefuseWith,
    ResetAfter,
    StallAfter,
    Unframed,
)

__all__ = [
    "Action",
    "Answer",
    "Ending",
    "Pause",
    "Plan",
    "Script",
    "Wait",
    "Write",
    "encoded",
    "plan",
    "wait_for",
]

_T = TypeVar("_T")


class Ending(Enum):
    """How a response ends once its script is done."""

    KEEP = auto()  # complete; the connection stays open if the client wants that
    CLOSE_IDLE = auto()  # complete; the connection is closed nevertheless
    CLOSE = auto()  # the connection is closed, and nothing more is sent
    RESET = auto()  # likewise, with an RST
    WAIT = auto()  # nothing more is sent, and the connection stays open until the client leaves


@dataclass(frozen=True)
class Replacement:
    """A whole response, sent instead of an answer. `body`: an error is sent as the format's own."""

    status: int
    headers: Headers
    body: bytes | Refused


@dataclass(frozen=True)
class Write:
    """Bytes of the body to send. `more`: they go out with those of the next `Write`, by one send;
    each is an HTTP chunk of its own."""

    data: bytes
    more: bool = False


@dataclass(frozen=True)
class Pause:
    """Seconds to wait."""

    seconds: float


class Wait(Generic[_T]):
    """Something that an async answer function has to await."""

    def __init__(self, awaitable: Awaitable[_T]) -> None:
        self._awaitable = awaitable
        self._results: list[_T] = []
        self._error: Exception | None = None

    async def run(self) -> None:
        """Await it. The script goes on with the result, or with the error."""
        try:
            self._results.append(await self._awaitable)
        except Exception as error:  # noqa: BLE001  an answer function may raise anything
            self._error = error

    def fail(self, error: Exception) -> None:
        """The script goes on with `error`, as `run` did not come to its end."""
        self._error = error

    def result(self) -> _T:
        """What `run` awaited. Raises what that raised."""
        if self._error is not None:
            raise self._error
        return self._results[0]


def wait_for(awaitable: Awaitable[_T]) -> Generator[Wait[_T], None, _T]:
    """The result of `awaitable`, once the driver has awaited it."""
    wait = Wait(awaitable)
    yield wait
    return wait.result()


Action: TypeAlias = Write | Pause | Wait[Any]

_Said: TypeAlias = bytes | Wait[Any]
Part: TypeAlias = bytes | Wait[Any] | Pause
"""What a body is made of. What is not bytes is passed on as it is, up to the driver."""


@dataclass(frozen=True)
class Plan:
    """The sum of the faults of one response."""

    replacement: Replacement | None = None
    head: bool = True
    framed: bool = True
    gzip: bool = False
    terminator: bool = True
    broken: BreakEvent | None = None
    end_after: int | None = None
    """The number of bytes after which the body ends, as if it were complete."""
    stop_after: int | None = None
    quiet_after: int | None = None
    """The number of bytes after which, once an event is over, there are only keep-alives."""
    interval: float = 0
    """Seconds between those."""
    ending: Ending = Ending.KEEP


def plan(faults: Faults) -> Plan:
    """The sum of `faults`."""
    result = Plan()
    for fault in faults if isinstance(faults, tuple) else (faults,):
        if fault is not None:
            result = _add(result, fault)
    return result


class Script(ABC):
    """The response to one request, as it is produced. `status`, `headers`, `length` (None: not
    known) and what `plan` says of the head are final from the first action on that is no `Wait`;
    the rest of `plan`, and `trailers`, at the end."""

    def __init__(self, request: Request, plan: Plan) -> None:
        self.plan = plan
        self.status = 200
        self.headers: Headers = []
        self.length: int | None = None
        self.trailers: Headers = []
        self.began = False
        """Set by the code that sends the head: from then on an error can't change the status."""
        self.failed = False
        """Whether it failed after that, or ended before it was complete."""
        self._request = request

    @property
    def bodiless(self) -> bool:
        """Whether HTTP allows no body here, whatever the length."""
        return self._request.method == "HEAD" or self.status in (204, 304)

    watches: ClassVar[bool] = False
    """Whether it wants to know at once if the client leaves; else that is found out by a write."""

    def left(self) -> None:  # noqa: B027
        """The client has left."""

    @abstractmethod
    def actions(self) -> Generator[Action]:
        """What to do, up to the ending."""

    def written(self, pieces: Iterable[Part], cutting: Cutting) -> Iterator[Action]:
        """What to do for a body that is produced in `pieces`, up to the ending."""
        left = self.plan.stop_after
        first = True
        parts: Iterable[Part] = () if left == 0 else cutting.cut(pieces)
        for data in parts:
            if not isinstance(data, bytes):
                yield data
                continue
            if not first and cutting.pause:
                yield Pause(cutting.pause)
            first = False
            yield Write(data[:left])
            if left is not None:
                left = max(0, left - len(data))
                if not left:
                    break
        if self.plan.quiet_after is not None:
            yield from self._keep_alive()

    def _keep_alive(self) -> Iterator[Action]:
        alive = _KEEP_ALIVES.get(content_type(self.headers), b"\n")
        if not alive:  # silence, in which the client's leaving is noticed
            self.plan = replace(self.plan, ending=Ending.WAIT)
        while alive:
            yield Write(alive)
            yield Pause(self.plan.interval)

    async def aclose(self) -> None:  # noqa: B027  most have nothing to do
        """Clean up. To be called when the script is left."""


_KEEP_ALIVES = {
    "text/event-stream": b": keepalive\n\n",
    "application/vnd.amazon.eventstream": b"",  # its frames know none
}
"""What a reader must ignore between two events, by the content type. Where JSON is sent, that is
white space."""


class Answer(Script):
    """A response that an answer function makes."""

    def __init__(
        self,
        request: Request,
        plan: Plan,
        *,
        responder: Responder,
        answer: AnswerFunction | RequestAnswerFunction,
        cutting: Cutting,
        report: Callable[[Exception], Refused],
    ) -> None:
        super().__init__(request, plan)
        self.status = responder.status
        self._responder = responder
        self._answer = answer
        self._cutting = cutting
        self._report = report
        self._streams = False
        self._said: AsyncIterator[Said] | None = None

    def actions(self) -> Generator[Action]:
        if not self.plan.head:
            return
        try:
            pieces = yield from self._open()
            yield from self.written(pieces, self._cutting)
        except Exception as error:  # noqa: BLE001  an answer function may raise anything
            body = self._responder.fail(self._report(error))
            self.status, self.headers = self._responder.head()
            yield from self.written(self._whole(body), self._cutting)

    async def aclose(self) -> None:
        close = getattr(self._said, "aclose", None)
        if close is not None:
            await close()

    def _open(self) -> Generator[Wait[Any], None, Iterator[Part]]:
        """The pieces of the body, when it is known what it is."""
        replacement = self.plan.replacement
        if replacement is not None:
            self.status, self.headers = replacement.status, replacement.headers
            body = replacement.body
            if isinstance(body, Refused):
                body = self._responder.fail(body)
                given = {name for name, _ in replacement.headers}
                own = (pair for pair in self._responder.head()[1] if pair[0] not in given)
                self.headers = [*own, *replacement.headers]
            return self._whole(body)
        chat = self._receive()
        said: Iterator[_Said] = filter(None, () if chat is None else self._say(chat))
        first = None
        for piece in said:
            if isinstance(piece, bytes):
                first = piece
                break
            yield piece
        self.status, self.headers = self._responder.head()
        if first is None:  # no bytes before the end: this is not a stream
            parts = self._whole(self._responder.end())
            if self.failed:
                self.length = None  # its last chunk never comes: all that some clients look at
            return parts
        self._streams = True
        return encoded(self.plan, chain((first,), said))

    def _receive(self) -> Chat | None:
        """The chat of the request; None for any other request. Raises Refused."""
        try:
            return self._responder.receive_request(self._request)
        except Malformed as error:  # in a request the client is to blame, in an answer the server
            raise refuse(BadRequest, 400, error.message) from None

    def _whole(self, body: bytes) -> Iterator[Part]:
        """A body that is known before it is sent."""
        pieces = [piece for piece in encoded(self.plan, (body,)) if isinstance(piece, bytes)]
        if self.plan.framed and self.plan.quiet_after is None:
            self.length = sum(map(len, pieces))
        return iter(pieces)

    def _say(self, chat: Chat) -> Iterator[_Said]:
        try:
            for event in self._events(chat):
                if isinstance(event, Wait):
                    yield event
                    continue
                data = self._responder.send(event)
                if self.plan.terminator or not isinstance(event, End):
                    yield data
            self.failed = not self._responder.complete
            if self._streams:
                yield self._responder.end()
        except Exception as error:
            if not self.began:
                raise
            self.failed = True
            yield self._responder.fail_midway(self._report(error))

    def _events(self, chat: Chat) -> Iterator[Event | Wait[Any]]:
        """The answer function's events."""
        told = Told(self._responder.service.provider.dialect, chat)
        answered = answer_with(self._answer, chat, self._responder.request)
        if isinstance(answered, Awaitable):
            answered = yield from wait_for(answered)
        if isinstance(answered, AsyncIterable):
            self._said = aiter(answered)
            while True:
                try:
                    said = yield from wait_for(anext(self._said))
                except StopAsyncIteration:
                    break
                yield told.event(said)
        else:
            yield from map(told.event, said_at_once(answered))
        yield from told.rest()


def encoded(plan: Plan, pieces: Iterable[Part]) -> Iterator[Part]:
    """The `pieces` of a body, one for each event, as they will be sent: with a broken one, gzipped,
    ended early."""
    pieces = filter(None, pieces)
    if plan.broken is not None:
        pieces = _break(pieces, plan.broken)
    if plan.gzip:
        pieces = _gzip(pieces)
    if plan.quiet_after is not None:
        pieces = _events_up_to(pieces, plan.quiet_after)
    return iter(pieces) if plan.end_after is None else _first(pieces, plan.end_after)


def _add(plan: Plan, fault: Fault) -> Plan:
    match fault:
        case CloseAfter(count, head):
            return replace(plan, stop_after=count, head=head, ending=Ending.CLOSE)
        case ResetAfter(count, head):
            return replace(plan, stop_after=count, head=head, ending=Ending.RESET)
        case EndAfter(count):
            return replace(plan, end_after=count)
        case StallAfter(count, head):
            return replace(plan, stop_after=count, head=head, ending=Ending.WAIT)
        case KeepAlives(count, interval):
            return replace(plan, quiet_after=count, interval=interval)
        case Linger():
            return replace(plan, ending=Ending.WAIT)
        case CloseIdle():
            return replace(plan, ending=Ending.CLOSE_IDLE)
        case RefuseWith():
            return replace(plan, replacement=_refusal(fault))
        case HtmlPage(status, page):
            kind: Headers = [(b"content-type", b"text/html; charset=utf-8")]
            return replace(plan, replacement=Replacement(status, kind, page.encode()))
        case ErrorObject(message):
            return replace(plan, replacement=_error(200, [], message))
        case BreakEvent():
            return replace(plan, broken=fault)
        case DropTerminator():
            return replace(plan, terminator=False)
        case Gzip():
            return replace(plan, gzip=True)
        case Unframed():
            return replace(plan, framed=False)
        case _:
            assert_never(fault)


def _refusal(fault: RefuseWith) -> Replacement:
    pairs = list(fault.headers)
    if fault.retry_after is not None:
        pairs.append(("retry-after", fault.retry_after))
    headers = make_headers(pairs)
    if fault.status < 400:  # a redirect, which is no format's
        return _error(fault.status, headers, fault.message)
    error = refuse(STANDARD.kind(None, None, fault.status), fault.status, fault.message)
    return Replacement(fault.status, headers, error)


def _error(status: int, headers: Headers, message: str) -> Replacement:
    body = msgspec.json.encode({"error": {"message": message, "type": None, "code": None}})
    return Replacement(status, [(b"content-type", b"application/json"), *headers], body)


def _break(pieces: Iterable[Part], broken: BreakEvent) -> Iterator[Part]:
    number = 0
    for piece in pieces:
        if isinstance(piece, bytes):
            if number == broken.after:
                yield broken.data
            number += 1
        yield piece
    if number <= broken.after:
        yield broken.data


def _gzip(pieces: Iterable[Part]) -> Iterator[Part]:
    packer = zlib.compressobj(wbits=31)  # 16 + 15: gzip, not zlib
    for piece in pieces:
        if isinstance(piece, bytes):
            yield packer.compress(piece) + packer.flush(zlib.Z_SYNC_FLUSH)
        else:
            yield piece
    yield packer.flush()


def _events_up_to(pieces: Iterable[Part], count: int) -> Iterator[Part]:
    """The `pieces` up to the one with which there are `count` bytes."""
    for piece in pieces if count else ():
        yield piece
        if isinstance(piece, bytes):
            count -= len(piece)
            if count <= 0:
                return


def _first(pieces: Iterable[Part], count: int) -> Iterator[Part]:
    """The first `count` bytes of `pieces`."""
    for piece in pieces if count else ():
        if isinstance(piece, bytes):
            yield piece[:count]
            count -= len(piece)
            if count <= 0:
                return
        else:
            yield piece
