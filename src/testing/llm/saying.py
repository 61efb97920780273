"""Makes the events of an answer out of what a test says of it."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, TypeAlias

import msgspec

from ...protocols.chat import Chat
from ...protocols.dialect import Dialect
from ...protocols.events import (
    End,
    Event,
    Finish,
    FinishKind,
    Reasoning,
    Start,
    Text,
    ToolCallDelta,
    ToolCallEnd,
    ToolCallStart,
    Usage,
)

__all__ = ["Call", "Item", "Source", "Thought", "saying"]


class Thought(NamedTuple):
    """A piece of reasoning."""

    text: str


class Call(NamedTuple):
    """A call of a tool."""

    name: str
    arguments: dict[str, Any]


Item: TypeAlias = str | Thought | Call | Event
"""What an answer is made of: a text, or an event as it is."""

Source: TypeAlias = Callable[[Chat, Dialect], Iterator[Event]]
"""What makes the events of an answer to a chat, for a format."""


def saying(items: list[Item], chat: Chat, dialect: Dialect) -> Iterator[Event]:
    """The events of an answer of `items`. What they lack is made: the start, the numbers of parts
    and calls, usage (counted in words), the finish and the end; but nothing that the format can't
    say."""
    says = dialect.says_to(chat)
    given = {type(item) for item in items}
    if Start in given:
        yield from (item for item in items if isinstance(item, Start))
    elif Start in says:
        yield Start("", chat.model)  # the server half makes up an id
    made = _Maker()
    closed = False
    for item in items:
        if isinstance(item, Start):
            continue
        if isinstance(item, Finish | End) and not closed:
            closed = True
            yield from made.ends
        yield from made.events(item)
    if Usage in says and Usage not in given:
        asked = sum(len(message.text.split()) for message in chat.messages)
        yield Usage(input_tokens=asked, output_tokens=made.words, total_tokens=asked + made.words)
    if not closed:
        yield from made.ends
    if Finish in says and Finish not in given:
        kind: FinishKind = "tool_call" if made.ends else "stop"
        yield Finish(dialect.reason(kind), kind)
    if End not in given:
        yield dialect.end()


class _Maker:
    """Numbers the parts and calls of an answer."""

    def __init__(self) -> None:
        self.words = 0
        self.ends: list[ToolCallEnd] = []
        self._part = -1
        self._kind: type[Item] | None = None

    def events(self, item: Item) -> Iterator[Event]:
        """The events of one item."""
        if isinstance(item, str | Thought | Call):
            if type(item) is not self._kind or isinstance(item, Call):
                self._part += 1
            self._kind = type(item)
        match item:
            case str():
                self.words += len(item.split())
                yield Text(item, self._part)
            case Thought(text):
                self.words += len(text.split())
                yield Reasoning(text, self._part)
            case Call(name, arguments):
                text = msgspec.json.encode(arguments).decode()
                number = len(self.ends)
                self.words += len(text.split())
                self.ends.append(ToolCallEnd(number, "", name, text, True))
                yield ToolCallStart(number, "", name, part=self._part)
                yield ToolCallDelta(number, text)
            case _:
                self._kind = None
                yield item
