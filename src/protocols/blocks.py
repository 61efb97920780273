"""Answers that are made of blocks: numbered on the wire, one open at a time.

`BlockReader` makes events of blocks, `BlockWriter` blocks of events, `blocks_of` those of an answer
that is sent whole.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import msgspec

from .errors import LimitExceeded, LocalProtocolError, Refused
from .events import (
    Citation,
    Event,
    FinishKind,
    LogProbs,
    Native,
    Reasoning,
    Refusal,
    Text,
    TokenLogProb,
    ToolCallDelta,
    ToolCallEnd,
    ToolCallStart,
    Unrecognized,
)
from .limits import Limits, Parts
from .toolkit.finish import failure_of, finish_of
from .toolkit.refusals import ErrorTable, refusal_beside
from .toolkit.toolcalls import Call

if TYPE_CHECKING:
    from .reply import Choice

__all__ = [
    "BLOCK_EVENTS",
    "Act",
    "Block",
    "BlockKind",
    "BlockReader",
    "BlockWriter",
    "blocks_of",
    "with_citations",
]

BlockKind: TypeAlias = (
    type[Text] | type[Reasoning] | type[Refusal] | type[ToolCallStart] | type[Native]
)
"""What a block holds: the type of the event that it begins with, or Native if it has only a native
form."""

BLOCK_EVENTS: frozenset[type[Event]] = frozenset(
    (Text, Reasoning, Native, ToolCallStart, ToolCallDelta, ToolCallEnd)
)
"""The events that every format of blocks can say. Some have refusals and citations, too."""


class Block:
    """A block. `call` has the id, the name and whether it is `custom`, if it is a tool call.

    `form` is for a format that reads: its native form, as far as it is put together. `native` is
    for one that writes: its native form, known when it closes; of a block that is nothing else (its
    kind is Native) when it opens. `citations` and `logprobs` are those that were written so far.
    """

    def __init__(self, number: int, kind: BlockKind, part: int) -> None:
        self.number = number
        self.kind = kind
        self.part = part
        self.call: Call | None = None
        self.form: dict[str, Any] = {}
        self.native: Native | None = None
        self.citations: list[Citation] = []
        self.logprobs: list[TokenLogProb] = []
        self.pieces: list[str] = []
        self.size = 0

    @property
    def text(self) -> str:
        """The pieces that were kept, joined."""
        return "".join(self.pieces)


class BlockReader:
    """Makes events of the blocks of one choice; each is a part. Several may be open at once.

    `finishes` are the finish reasons that are known. The format sets `finish_reason` and `detail`,
    and `failure` if the answer reports one; `settle` makes it of a reason that means an error.
    """

    def __init__(
        self, dialect: str, limits: Limits, finishes: Mapping[str, FinishKind], index: int = 0
    ) -> None:
        self.finish_reason = self.detail = ""
        self.failure: Refused | None = None
        self._dialect = dialect
        self._limit = limits.event
        self._finishes = finishes
        self._index = index
        self._parts = Parts(limits.parts)
        self._begun = 0
        self._calls: list[Call] = []
        self._open: dict[int, Block] = {}
        self._last = -1

    def open(
        self,
        number: int,
        kind: BlockKind,
        events: list[Event],
        *,
        id: str = "",
        name: str = "",
        custom: bool = False,
    ) -> Block:
        """Block `number` opens; `id` and what follows it are of a call. Raises LimitExceeded."""
        self._parts.add()
        block = self._open[number] = Block(number, kind, self._begun)
        self._begun += 1
        self._last = number
        if kind is ToolCallStart:
            call = block.call = Call(len(self._calls), number)
            call.id, call.name, call.custom = id, name, custom
            self._calls.append(call)
            events.append(ToolCallStart(call.number, id, name, custom, block.part, self._index))
        return block

    @property
    def begun(self) -> bool:
        """Whether a block has begun."""
        return self._begun > 0

    @property
    def opened(self) -> list[Block]:
        """The blocks that are open."""
        return list(self._open.values())

    @property
    def next(self) -> int:
        """The number after the last."""
        return self._last + 1

    def find(self, number: int | None) -> Block | None:
        """The block `number`, if it is open; None: the one that was opened last."""
        return self._open.get(self._last if number is None else number)

    def spoil(self, number: int) -> None:
        """Something of the block `number` is not understood: a call is not whole, and there will be
        no native form, even if it is closed already."""
        if (block := self._open.get(number)) is not None:
            block.form = {}
        for call in self._calls:
            call.broken = call.broken or call.place == number

    def piece(self, block: Block, text: str, events: list[Event]) -> None:
        """The next piece of a block. It is kept for a native form, except that of a Text without a
        `form`. Raises LimitExceeded."""
        if block.call is not None:
            text = block.call.new_in(text)
        if not text:
            return
        if block.kind is not Text or block.form:
            self.keep(block, len(text))
            block.pieces.append(text)
        else:
            block.size = 1  # it has said something that was not kept
        if block.call is not None:
            block.call.arguments.append(text)
            events.append(ToolCallDelta(block.call.number, text, self._index))
        elif block.kind is Text or block.kind is Reasoning or block.kind is Refusal:
            events.append(block.kind(text, block.part, self._index))

    def keep(self, block: Block, size: int) -> None:
        """Something of `size` bytes or characters is added to a native form. Raises
        LimitExceeded."""
        block.size += size
        if block.size > self._limit:
            raise LimitExceeded(f"a block of more than {self._limit} characters")

    def close(self, block: Block, events: list[Event]) -> None:
        """A block closes: if anything is in its `form`, that is its native form. One that never
        closes has none, as it may have been cut."""
        del self._open[block.number]
        if block.form:
            raw = msgspec.json.encode(block.form)
            events.append(Native(self._dialect, raw, block.part, self._index))

    def whole(
        self,
        kind: BlockKind,
        text: str,
        events: list[Event],
        *,
        form: dict[str, Any] | None = None,
        id: str = "",
        name: str = "",
        custom: bool = False,
    ) -> None:
        """A block of an answer that is not streamed: all of the above in one. Raises
        LimitExceeded."""
        block = self.open(self.next, kind, events, id=id, name=name, custom=custom)
        self.piece(block, text, events)
        block.form = form or {}
        self.close(block, events)

    def hand_on(
        self,
        unknown: list[tuple[str, bytes]],
        place: str,
        errors: ErrorTable,
        events: list[Event],
    ) -> None:
        """Keys that are not understood, and where they are. An error among them is a failure."""
        events += [Unrecognized(value, f"{place}{key}") for key, value in unknown]
        self.failure = self.failure or refusal_beside(unknown, errors)

    def settle(self, proven: bool, events: list[Event]) -> None:
        """The answer is over: the ends of the calls, if it is `proven` complete; and the Finish, if
        there was a reason. See `Step.settle`."""
        reason, calls = self.finish_reason, self._calls
        finish = finish_of(reason, self._finishes, bool(calls), self.detail, self._index)
        if reason:
            self.failure = self.failure or failure_of(finish)
        if proven:
            kind = finish.kind if reason else None
            means = kind if self.failure is None else "error"
            events += [call.end(means, self._index) for call in calls]
        if reason:
            events.append(finish)


class Act(msgspec.Struct, frozen=True):
    """What to write next: a block opens, a piece of it, or it closes. `text` is that of the piece,
    `citation` its source, which has no text, and nor have `logprobs`."""

    does: Literal["open", "piece", "close"]
    block: Block
    text: str = ""
    citation: Citation | None = None
    logprobs: LogProbs | None = None


_Key: TypeAlias = tuple[BlockKind, int]
"""What a block is about: a call with its number, anything else with its part."""


class BlockWriter:
    """Makes blocks of the events of one choice: one open at a time, numbered from 0. A new part, a
    new kind, and whatever follows a native form begin a block.

    While a call is open, all else waits until its arguments are one JSON object, or it ends; the
    parts that have waited follow in the order in which they began. `limit` bounds their text.
    """

    def __init__(self, dialect: str, limit: int = Limits().event) -> None:
        self._dialect = dialect
        self._limit = limit
        self._next = 0
        self._open: Block | None = None
        self._key: _Key | None = None  # of the open block
        self._text: _Key = (Text, -1)  # of the last text; before that of none
        self._busy: bool | None = False  # whether the open block is a call that goes on, if known
        self._held: dict[_Key, list[Event]] = {}
        self._written: set[int] = set()  # the parts that have a block
        self._size = 0

    def write(self, event: Event) -> list[Act]:
        """What to write now. Ignored are events of no block, empty texts, native forms of other
        formats, and those that come when the block of their part is closed.

        Raises LocalProtocolError if too much waits, or for a piece of a call that is closed.
        """
        key = self._key_of(event)
        if key is None:
            return []
        self._held.setdefault(key, []).append(event)
        self._size += len(_text(event))
        acts = self._release(False)
        if self._size > self._limit:
            what = "characters wait for the end of a tool call"
            raise LocalProtocolError(f"more than {self._limit} {what}")
        return acts

    def going_on(self, part: int) -> Block | None:
        """The open block, if it is the last text, and that of `part`: then more of that text may be
        written as another piece of it, instead of by `write`. Nothing waits behind a text."""
        return self._open if self._key == self._text == (Text, part) else None

    def end(self) -> list[Act]:
        """What to write when the choice is over."""
        acts = self._release(True)
        self._close(acts)
        return acts

    def _key_of(self, event: Event) -> _Key | None:
        match event:
            case Text() if event.text:
                self._text = Text, event.part
                return self._text
            case Reasoning() | Refusal() if event.text:
                return type(event), event.part
            case ToolCallStart() | ToolCallDelta() | ToolCallEnd():
                return ToolCallStart, event.call
            case Citation():
                return Text, event.part
            case LogProbs() if event.tokens:
                return self._text
            case Native() if event.dialect in ("", self._dialect):
                if self._open is not None and self._open.part == event.part:
                    return self._key
                for key, held in self._held.items():
                    if _part(held[0]) == event.part:
                        return key
                return None if event.part in self._written else (Native, event.part)
            case _:
                return None

    def _release(self, over: bool) -> list[Act]:
        """What of the held events may go now; all if the choice is `over`."""
        acts: list[Act] = []
        while self._held:
            key = next((key for key in self._held if key == self._key), next(iter(self._held)))
            if key != self._key and not over and self._goes_on():
                break
            for event in self._held.pop(key):
                self._size -= len(_text(event))
                self._take(key, event, acts)
        return acts

    def _goes_on(self) -> bool:
        call = None if self._open is None else self._open.call
        if self._busy is None and call is not None:
            # Looked at only where it may be whole, as looking is bounded.
            may_be = not call.custom and call.arguments and call.arguments[-1].endswith("}")
            self._busy = not (may_be and call.seems_whole())
        return self._busy is True

    def _take(self, key: _Key, event: Event, acts: list[Act]) -> None:
        block = self._open
        if block is None or key != self._key:
            if isinstance(event, ToolCallEnd):
                return  # its block is closed
            if isinstance(event, ToolCallDelta):
                raise LocalProtocolError("a piece of a tool call whose block is closed")
            self._close(acts)
            part = key[1] if isinstance(event, LogProbs) else _part(event)
            block = self._open = Block(self._next, key[0], part)
            self._next += 1
            self._key = key
            self._written.add(block.part)
            if isinstance(event, ToolCallStart):
                call = block.call = Call(event.call, None)
                call.id, call.name, call.custom = event.id, event.name, event.custom
                self._busy = None
            acts.append(Act("open", block))
        match event:
            case Native():
                block.native = event
                self._close(acts)
            case ToolCallEnd():
                self._busy = False
            case Citation():
                block.citations.append(event)
                acts.append(Act("piece", block, citation=event))
            case LogProbs():
                block.logprobs += event.tokens
                acts.append(Act("piece", block, logprobs=event))
            case _:
                if text := _text(event):
                    acts.append(Act("piece", block, text))
                    if block.call is not None:
                        block.call.arguments.append(text)
                        self._busy = None

    def _close(self, acts: list[Act]) -> None:
        if self._open is not None:
            acts.append(Act("close", self._open))
        self._open = self._key = None
        self._busy = False


def blocks_of(events: Iterable[Event], dialect: str) -> list[Block]:
    """The blocks of an answer that is sent whole (`Choice.events`), each with its text or
    arguments."""
    writer, blocks = BlockWriter(dialect, Limits().document), list[Block]()
    acts = [act for event in events for act in writer.write(event)]
    for act in acts + writer.end():
        act.block.pieces.append(act.text)
        if act.does == "open":
            blocks.append(act.block)
    return blocks


def with_citations(choice: "Choice") -> Iterator[Event]:
    """The events of a choice, with the sources of a text between it and its native form, and all
    others at the end."""
    rest: dict[int, list[Citation]] = {}
    for citation in choice.citations:
        rest.setdefault(citation.part, []).append(citation)
    for event in choice.events():
        if isinstance(event, Native):
            yield from rest.pop(event.part, ())
        yield event
        if isinstance(event, Text):
            yield from rest.pop(event.part, ())
    for citations in rest.values():
        yield from citations


def _text(event: Event) -> str:
    return event.arguments if isinstance(event, ToolCallDelta) else getattr(event, "text", "")


def _part(event: Event) -> int:
    return getattr(event, "part", -1)
