"""What a test queues: answers, for which requests they are, and what goes wrong with them."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import msgspec

from ...protocols.answering import AnswerFunction, RequestAnswerFunction
from ...protocols.chat import Chat
from ...protocols.errors import LocalProtocolError, Refused
from ...protocols.events import Event, Image
from ...protocols.refusing import refuse
from ...protocols.toolkit.http import Headers, HeadersLike, as_headers, get_header
from ...protocols.toolkit.refusals import STANDARD
from ...server.faults import (
    CloseAfter,
    Cutting,
    DropTerminator,
    EndAfter,
    Fault,
    Faults,
    Gzip,
    KeepAlives,
    Linger,
    ResetAfter,
    StallAfter,
    Unframed,
)
from ...server.scripts import Plan, plan
from .mishaps import Mishap
from .places import After, Breach, Events, Stop, check_place
from .saying import Call, Item, Thought

if TYPE_CHECKING:
    from ...replay.player import Player
    from .received import Received

__all__ = ["Answers", "Asked", "Condition", "Parts", "Played", "Raw", "Refusal", "Said", "Scripted"]


@dataclass(frozen=True)
class Raw:
    """A response as it is."""

    status: int
    headers: Headers
    pieces: tuple[bytes, ...]


@dataclass(frozen=True)
class Played:
    """The responses of a cassette."""

    player: "Player"
    speed: float
    longest_gap: float | None


Function: TypeAlias = AnswerFunction | RequestAnswerFunction


@dataclass(frozen=True)
class Refusal:
    """The service's own error object."""

    status: int
    message: str
    retry_after: str | None = None
    code: str | None = None

    def __post_init__(self) -> None:
        if not 400 <= self.status <= 599:
            raise LocalProtocolError(f"refuse({self.status}): give a status from 400 to 599")

    def error(self) -> Refused:
        """A new error."""
        kind = STANDARD.kind(self.code, None, self.status)
        error = refuse(kind, self.status, self.message, self.code)
        error.retry_after = self.retry_after
        return error


@dataclass(frozen=True)
class Said:
    """What is said, to which more can be added."""

    items: list[Item]


Content: TypeAlias = Said | Refusal | Raw | Played | Function


@dataclass(frozen=True)
class Asked:
    """For which requests an answer is: those that fit everything that is given."""

    model: str | None = None
    text: str | None = None
    provider: str | None = None
    tool: str | None = None
    predicate: Callable[[Chat], bool] | None = None

    def fits(self, chat: Chat) -> bool:
        """Whether a request that asks `chat` fits, whoever is asked."""
        return (
            (self.model is None or self.model == chat.model)
            and (self.text is None or self.text in last_text(chat))
            and (self.tool is None or any(getattr(t, "name", "") == self.tool for t in chat.tools))
            and (self.predicate is None or self.predicate(chat))
        )

    def __str__(self) -> str:
        given = {name: getattr(self, name) for name in ("model", "text", "provider", "tool")}
        told = [f"{name}={value!r}" for name, value in given.items() if value is not None]
        if self.predicate is not None:
            told.append(f"predicate={getattr(self.predicate, '__name__', 'a function')}")
        return f"when({', '.join(told)})" if told else ""


def last_text(chat: Chat) -> str:
    """The text of the user's last message."""
    texts = (message.text for message in reversed(chat.messages) if message.role == "user")
    return next(texts, "")


class Parts(ABC):
    """What an answer can be made of. Each method returns the answer, on which others add more."""

    @abstractmethod
    def _say(self, name: str, items: list[Item]) -> "Scripted": ...

    def say(self, *parts: str | Event) -> "Scripted":
        """Texts, each a piece of its own on the wire, and events of any kind. What is left out is
        made: id, model, usage counted in words, finish and end."""
        return self._say(_called("say", *parts), list(parts))

    def think(self, text: str) -> "Scripted":
        """A piece of reasoning."""
        return self._say(_called("think", text), [Thought(text)])

    def call(self, name: str, /, **arguments: Any) -> "Scripted":
        """A call of the tool `name`."""
        return self._say(_called("call", name, **arguments), [Call(name, arguments)])

    def calls(self, *calls: tuple[str, dict[str, Any]]) -> "Scripted":
        """Calls of several tools, each with its arguments."""
        return self._say(_called("calls", *calls), [Call(*each) for each in calls])

    def draw(self, data: bytes, media_type: str = "image/png") -> "Scripted":
        """A picture."""
        return self._say(f"draw({len(data)} bytes)", [Image(data, media_type)])


class Scripted(Parts):
    """An answer that was queued: the methods say what goes wrong with it, how it is written, and
    how often. They return it again.

    `after` is a place in the answer: an `int` counts bytes of the body as it is written; a text is
    that which the client still gets whole, and nothing that follows; `events(3)` counts events of
    the wire. Without it, it is in the middle of the first text.

    `asked` is how many requests it has answered.
    """

    def __init__(self, name: str, content: Content, wanted: Asked) -> None:
        self.name = name
        self.content = content
        self.wanted = wanted
        self.asked = 0
        self.left: int | None = 1
        """How many requests it still answers; None: any number."""
        self.lasting = False
        """Whether it answers again when nothing else is queued: a service that is down stays so."""
        self.recut: Cutting | None = None
        """How it is written, if the test has said so."""
        self.stop: Stop | None = None
        self.breach: Breach | None = None
        self.on_wire: Callable[[Received, list[bytes]], None] | None = None
        """Is told the pieces of the whole body before it is sent."""
        self._faults: tuple[Fault, ...] = ()

    def __repr__(self) -> str:
        when = str(self.wanted)
        return f"{when}.{self.name}" if when else self.name

    def _say(self, name: str, items: list[Item]) -> "Scripted":
        if not isinstance(self.content, Said):
            raise LocalProtocolError(f"{self.name} is a whole answer: nothing can be added to it")
        self.name = f"{self.name}.{name}"
        self.content.items.extend(items)
        return self

    @property
    def cutting(self) -> Cutting:
        """How it is written."""
        return self.recut or Cutting.per_event()

    @property
    def unused(self) -> str:
        """What of a cassette nobody has asked for; else empty."""
        if not isinstance(self.content, Played):
            return ""
        unused = [one.request for one in self.content.player.unused]
        return ", ".join(f"{one.method} {one.url}" for one in unused)

    def plan(self) -> Plan:
        """The sum of its faults, but for those at a place."""
        made = plan(self._faults)
        if self.stop is not None and self.stop.then == "quiet":
            made = replace(made, quiet_after=_NEVER, interval=KeepAlives().interval)
        return made

    # How often

    def times(self, count: int) -> "Scripted":
        """It answers `count` requests."""
        if count < 1:
            raise LocalProtocolError(f"times({count}): give 1 or more")
        self.left, self.lasting = count, False
        return self

    def forever(self) -> "Scripted":
        """It answers any number of requests, or none."""
        self.left = None
        return self

    # What goes wrong

    def ends(self, after: After = None) -> "Scripted":
        """The body ends, and HTTP says that it is complete: what gateways do that lose their
        upstream."""
        return self._stop("end", after, EndAfter)

    def closes(self, after: After = None, *, head: bool = True) -> "Scripted":
        """The connection is closed without the end of the body; with `head=False` before the head
        of the response."""
        return self._stop("close", after, CloseAfter, head)

    def resets(self, after: After = None, *, head: bool = True) -> "Scripted":
        """The connection is reset."""
        return self._stop("reset", after, ResetAfter, head)

    def stalls(self, after: After = None, *, head: bool = True) -> "Scripted":
        """Nothing more is sent until the client leaves, or for a minute."""
        return self._stop("stall", after, StallAfter, head)

    def keeps_alive(self, after: After = None) -> "Scripted":
        """Nothing more is sent but comments, until the client leaves."""
        return self._stop("quiet", after, KeepAlives)

    def lingers(self) -> "Scripted":
        """The answer is whole, but its last chunk is not sent, and the connection stays open."""
        return self._add(Linger())

    def breaks(self, after: After = None, data: bytes = b'data: {"broken": \n\n') -> "Scripted":
        """Bytes that are not valid are sent, then the rest. An `int` counts events."""
        place = Events(after) if isinstance(after, int) else after
        check_place(place)
        self.breach = Breach(place, data)
        return self

    def drops_terminator(self) -> "Scripted":
        """The end mark is left out (`data: [DONE]`)."""
        return self._add(DropTerminator())

    def gzips(self) -> "Scripted":
        """The body is compressed."""
        return self._add(Gzip())

    def unframed(self) -> "Scripted":
        """The response is one of HTTP/1.0, which ends with the connection."""
        return self._add(Unframed())

    def fails(self, fault: Mishap | Faults) -> "Scripted":
        """What goes wrong, by a value: an `llm_fault`, a fault of `tokenwire.testing`, or several.
        Later requests fail in the same way if no other answer is queued for them."""
        self.lasting = True
        if isinstance(fault, Mishap):
            for each in fault.faults:
                self._add(each)
            if fault.status is not None:
                self.content = Refusal(fault.status, "requested by the test", "1ms")
            return self if fault.stop is None else self._stop(fault.stop, None, EndAfter)
        for one in fault if isinstance(fault, tuple) else (fault,):
            if one is not None:
                self._add(one)
        return self

    # How it is written

    def cut(self, *cutting: Cutting | int) -> "Scripted":
        """The writes of the body: a `Cutting`, or the sizes of the pieces, again and again."""
        sizes = tuple(size for size in cutting if isinstance(size, int))
        given = [one for one in cutting if isinstance(one, Cutting)]
        if len(given) + bool(sizes) != 1:
            raise LocalProtocolError("cut: give one Cutting, or sizes")
        self.recut = given[0] if given else Cutting.of_sizes(*sizes, pause=self.cutting.pause)
        return self

    def slowly(self, seconds: float) -> "Scripted":
        """So many seconds pass between two pieces."""
        self.recut = replace(self.cutting, pause=seconds)
        return self

    def _add(self, fault: Fault) -> "Scripted":
        self._faults = (*self._faults, fault)
        return self

    def _stop(
        self,
        then: Literal["end", "close", "reset", "stall", "quiet"],
        after: After,
        by_bytes: Callable[..., Fault],
        head: bool = True,
    ) -> "Scripted":
        place = check_place(0 if not head and after is None else after)
        if isinstance(place, int):
            return self._add(by_bytes(place) if head else by_bytes(place, head))
        self.stop = Stop(place, then)
        return self


class Answers(Parts):
    """The ways to queue an answer, each for one request. They return a `Scripted`."""

    @abstractmethod
    def _queue(self, name: str, content: Content) -> Scripted: ...

    def _say(self, name: str, items: list[Item]) -> Scripted:
        return self._queue(name, Said(items))

    def refuse(
        self,
        status: int,
        message: str = "requested by the test",
        retry_after: str | float | None = None,
        code: str | None = None,
    ) -> Scripted:
        """The service's own error object, with an error status. `retry_after`: seconds, or the text
        of the header."""
        wait = None if retry_after is None else f"{retry_after}"
        return self._queue(_called("refuse", status, message), Refusal(status, message, wait, code))

    def answer(self, function: AnswerFunction | RequestAnswerFunction) -> Scripted:
        """What `function` says, which is given the chat, and the request if it has a second
        parameter. It returns or yields texts or events, may be async, and may raise `Refused`."""
        return self._queue(f"answer({getattr(function, '__name__', 'a function')})", function)

    def raw(
        self,
        status: int,
        headers: HeadersLike = (),
        *pieces: bytes,
    ) -> Scripted:
        """A response as it is, whatever is asked, each piece by a write of its own. With a
        `content-length` that promises more than there is, the connection closes early. Raises
        LocalProtocolError for what HTTP does not allow."""
        given = as_headers(headers)
        promised = get_header(given, b"content-length") or "0"
        size = sum(map(len, pieces))
        if not 200 <= status <= 599:
            raise LocalProtocolError(f"raw({status}): give a status from 200 to 599")
        if not promised.isdecimal() or 0 < int(promised) < size:
            raise LocalProtocolError(f"raw({status}): content-length {promised}, of {size} bytes")
        return self._queue(f"raw({status})", Raw(status, given, pieces))


class Condition(Answers):
    """Queues answers for such requests as it says."""

    def __init__(self, queue: Callable[[Scripted], None], wanted: Asked) -> None:
        self._add = queue
        self._wanted = wanted

    def _queue(self, name: str, content: Content) -> Scripted:
        scripted = Scripted(name, content, self._wanted)
        self._add(scripted)
        return scripted


_NEVER = 1 << 62
"""More bytes than any answer has."""
_LONGEST = 60
"""Characters of an argument in the name of an answer."""


def _called(method: str, *given: object, **named: object) -> str:
    """How a test wrote it, shortened."""
    told = [*map(_brief, given), *(f"{name}={_brief(value)}" for name, value in named.items())]
    return f"{method}({', '.join(told)})"


def _brief(value: object) -> str:
    text = type(value).__name__ if isinstance(value, msgspec.Struct) else repr(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
