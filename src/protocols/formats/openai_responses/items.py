"""The items of an answer: messages, thoughts, calls, and all else that is one.

An item begins, comes in pieces, and is done; it is said again by the event that ends it, and once
more by the answer when it is over. What is told once is not told again. An item is known by its
place (`output_index`): Copilot changes the ids.
"""

from base64 import b64decode
from collections import Counter
from typing import Any, NamedTuple, TypeAlias

import msgspec

from ...blocks import Block, BlockKind, BlockReader
from ...dialect import words
from ...errors import Malformed
from ...events import (
    Citation,
    Event,
    Image,
    LogProbs,
    Native,
    Reasoning,
    Refusal,
    Text,
    TokenLogProb,
    ToolCallStart,
    Unrecognized,
)
from ...limits import Parts
from ...toolkit.citations import Citations
from ...toolkit.json import decode_json, is_list, is_object, objects_of, text_of
from .request import DIALECT

__all__ = ["Channel", "Item", "Items", "image_of", "is_plain"]

_KINDS: dict[str, BlockKind] = {
    "message": Text,
    "reasoning": Reasoning,
    "function_call": ToolCallStart,
}
"""What the items are that other formats have, too. All others are Native."""
_TYPES = {
    "text": "message",
    "refusal": "message",
    "summary": "reasoning",
    "content": "reasoning",
    "arguments": "function_call",
    "input": "custom_tool_call",
}
"""The type of the item that a channel is of."""
_PARTS = {
    "output_text": "text",
    "refusal": "refusal",
    "summary_text": "summary",
    "reasoning_text": "content",
}
"""By the type of a part of an item, the channel that has its text."""
_PLAIN = {
    "message": words("id type role status content"),
    "function_call": words("id type status call_id name arguments"),
    "custom_tool_call": words("id type status call_id name input"),
}
"""The keys of the items that their other events say."""

_CUT = ("incomplete", "failed", "cancelled")
"""The states of a call that is not whole."""

_ODD = (int, float, list, dict)
"""What is no text, nor null."""

_value = msgspec.json.Decoder()
_tokens = msgspec.json.Decoder(list[TokenLogProb], strict=False)

Channel: TypeAlias = tuple[str, int]
"""What pieces of an item join to a text: its kind, as the table of types above has it, and the
number of the part of the item that has it."""


class Item:
    """An item of the answer.

    `said`: by channel, the pieces that came, until the item is done; those of a call are in its
    block. `whole`: the channels whose whole is told. `logprobs` and `cited`: the parts that have
    told theirs. `thoughts`: the kind of thoughts that is told. `raw`: what the item began with,
    until it is done.
    """

    __slots__ = (
        "block",
        "cited",
        "done",
        "id",
        "logprobs",
        "raw",
        "said",
        "thoughts",
        "type",
        "whole",
    )

    def __init__(self, type: str, id: str, block: Block) -> None:
        self.type = type
        self.id = id
        self.block = block
        self.raw = b"{}"
        self.done = False
        self.thoughts = ""
        self.said: dict[Channel, list[str]] = {}
        self.whole: set[Channel] = set()
        self.logprobs: set[int] = set()
        self.cited: set[int] = set()


class _Plain(NamedTuple):
    """The text that may well go on: its item and content on the wire, its part, and what was
    said."""

    place: int
    content: int
    part: int
    pieces: list[str]


class Items:
    """Makes events of items. `custom`: the names of the client's tools that take free text. `plain`
    is for the client half to go on with a text quickly."""

    def __init__(self, reader: BlockReader, parts: Parts, custom: frozenset[str]) -> None:
        self.plain: _Plain | None = None
        self._reader = reader
        self._parts = parts
        self._citations = Citations(parts)
        self._custom = custom
        self._by_place: dict[int, Item] = {}
        self._by_id: dict[str, Item] = {}
        self._undone: dict[int, Item] = {}  # by the number of their block
        self._last: Item | None = None
        self._begun = Counter[str]()  # how many of each type

    # What events tell of an item

    def of(self, kind: str, place: int | None, id: str | None, events: list[Event]) -> Item | None:
        """The item that a piece of this kind of channel is of; it may have begun before the stream
        did. None: it is of another type."""
        type = _TYPES[kind]
        item = self._find(id, type) if place is None else self._by_place.get(place)
        if item is None:
            if type == "custom_tool_call":
                return None  # without its name nobody knows whose call it is
            item = self._open({"type": type}, place, events)
        return item if item.type == type else None

    def say(self, item: Item, channel: Channel, text: str, events: list[Event]) -> None:
        """A piece of an item. Of thoughts only those of the kind that came first."""
        if not text:
            return
        pieces = item.said.get(channel)
        if pieces is None:
            self._parts.add()
            pieces = item.said[channel] = []
        block, (kind, _) = item.block, channel
        if kind in ("arguments", "input"):
            if block.call is not None:  # else a tool of the service: its item has all of it
                self._reader.piece(block, text, events)
            return
        pieces.append(text)
        match kind:
            case "text":
                events.append(Text(text, block.part))
            case "refusal":
                events.append(Refusal(text, block.part))
            case _:
                item.thoughts = item.thoughts or kind
                if item.thoughts == kind:
                    events.append(Reasoning(text, block.part))

    def go_on(self, item: Item, place: int, content: int) -> None:
        """A text of `item` may well go on: see `plain`."""
        pieces = item.said["text", content]
        self.plain = _Plain(place, content, item.block.part, pieces)

    def tell(self, item: Item, channel: Channel, text: str, events: list[Event]) -> None:
        """The whole of what comes in pieces: what no piece has told. If it is not what the pieces
        were, it is handed on; such a call is not to be run."""
        call = item.block.call
        if not text or (channel in item.whole and (call is None or not item.done)):
            return  # it is said again, and to compare it may take long
        item.whole.add(channel)
        said = "".join(item.said.get(channel, ()) if call is None else call.arguments)
        goes_on = text.startswith(said)
        if call is not None:
            call.broken = not (goes_on or _same(said, text))
        if goes_on:
            self.say(item, channel, text[len(said) :], events)
        elif call is None or call.broken:
            place = f"output[{item.block.number}].{channel[0]}"
            events.append(Unrecognized(text.encode(), place))

    def take_part(
        self, raw: bytes, place: int | None, id: str | None, number: int, events: list[Event]
    ) -> None:
        """The part `number` of an item is done."""
        value = decode_json(_value, raw or b"null")
        kind = _PARTS.get(text_of(value, "type"))
        if kind is not None and (item := self.of(kind, place, id, events)) is not None:
            self._tell_part(item, (kind, number), value, events)

    def take_logprobs(self, item: Item, number: int, raw: bytes, events: list[Event]) -> None:
        """Log probabilities of a text of `item`."""
        if raw in (b"", b"[]"):
            return
        item.logprobs.add(number)
        try:
            events.append(LogProbs(decode_json(_tokens, raw)))
        except Malformed:
            events.append(Unrecognized(raw, "logprobs"))

    def cite(self, item: Item, number: int, raw: bytes, events: list[Event]) -> bool:
        """A source of the text number `number`. Returns whether it is one, and understood."""
        said = decode_json(_value, raw or b"null")
        if not is_object(said):
            return False
        start, end = said.get("start_index"), said.get("end_index")
        if start == end == 0:
            start = end = None  # of nothing: it is demanded, and there was none to tell
        citation = Citation(
            url=text_of(said, "url"),
            title=text_of(said, "title") or text_of(said, "filename"),
            source=text_of(said, "file_id"),
            start=start if isinstance(start, int) else None,
            end=end if isinstance(end, int) else None,
            part=item.block.part,
        )
        if not (citation.url or citation.title or citation.source):
            return False
        item.cited.add(number)
        self._citations.cite(citation, events)
        return not any(isinstance(said.get(key), _ODD) for key in ("url", "title", "file_id"))

    # Items that begin, are done, and are said again

    def take(
        self, done: bool, raw: bytes, place: int | None, data: bytes, events: list[Event]
    ) -> None:
        """An item begins, or is done, as the event `data` says."""
        value = decode_json(_value, raw or b"null")
        if not is_object(value):
            events.append(Unrecognized(data))
            return
        type = text_of(value, "type")
        item = None if place is None else self._by_place.get(place)
        if place is None and done:
            item = self._find(text_of(value, "id"), type)
        if item is None or item.type != type or item.done:
            last = None if item is None or not item.done else item.id
            if done and last and last == text_of(value, "id"):
                return  # it is said twice
            item = self._open(value, place, events)
        if done:
            self._finish(item, value, raw, events)
        else:
            item.raw = raw  # a piece may have come before

    def settle(self, output: list[bytes], events: list[Event]) -> None:
        """The answer is over, and says all items again, or, if it was not streamed, for the first
        time."""
        streamed, types = bool(self._begun), Counter[str]()
        for number, raw in enumerate(output):
            if streamed:
                self._take_last(number, raw, types, events)
            else:
                self.take(True, raw, number, raw, events)
        for left in self._undone.values():
            self._take_undone(left, events)

    def _take_last(self, number: int, raw: bytes, types: Counter[str], events: list[Event]) -> None:
        """An item of the output when the answer is over: it says what nothing said before. `types`
        counts the items before it."""
        value = decode_json(_value, raw)
        type, id = text_of(value, "type"), text_of(value, "id")
        types.update((type,))
        item = self._by_id.get(id) or self._by_place.get(number)
        if item is not None and item.type == type:
            if not item.done:
                self._finish(item, value, raw, events)
        elif self._begun[type] < types[type]:
            self.take(True, raw, None, raw, events)

    def _open(self, value: dict[str, Any], place: int | None, events: list[Event]) -> Item:
        """An item begins."""
        reader, type = self._reader, text_of(value, "type")
        kind = _KINDS.get(type, Native)
        name = _said(value, "name")
        custom = type == "custom_tool_call" and name in self._custom
        if custom:
            kind = ToolCallStart
        id = _said(value, "call_id")
        block = reader.open(reader.next, kind, events, id=id, name=name, custom=custom)
        item = self._last = Item(type, text_of(value, "id"), block)
        self._undone[block.number] = item
        self._begun.update((type,))
        self.plain = None  # it may be at the same place
        if place is not None:
            self._by_place[place] = item
        if item.id:
            self._by_id[item.id] = item
        return item

    def _find(self, id: str | None, type: str) -> Item | None:
        """The item of an event that does not say where it is: by its id, or the last one if it is
        not done."""
        named, last = self._by_id.get(id or ""), self._last
        if named is None and last is not None and last.type == type and not last.done:
            return last
        return named

    def _finish(self, item: Item, value: dict[str, Any], raw: bytes, events: list[Event]) -> None:
        """An item is done: what nothing has told of it yet, and its native form."""
        block = item.block
        del self._undone[block.number]
        item.done, item.id, item.raw = True, text_of(value, "id"), b""
        if item.id:
            self._by_id[item.id] = item
        self.plain = None
        self._tell_all(item, value, events)
        item.whole.update(item.said)
        item.said.clear()
        self._reader.close(block, events)
        status = value.get("status")
        if block.call is not None:
            block.call.broken |= status in _CUT or bool(value.get("error"))
        if status == "incomplete":  # it was cut, so it can't go back
            if block.kind is Native:
                events.append(Unrecognized(raw, f"output[{block.number}]"))
        elif not is_plain(value) or block.kind is Native:
            events.append(Native(DIALECT, raw, block.part))

    def _take_undone(self, item: Item, events: list[Event]) -> None:
        """An item that is not done when the answer is over: what it began with, of which its pieces
        may have told more since."""
        call, value = item.block.call, decode_json(_value, item.raw)
        cut = call is not None and not call.arguments and value.get("status") != "completed"
        item.whole.update(item.said)
        self._tell_all(item, value, events)
        if call is not None:
            call.broken = call.broken or cut
        if item.block.kind is Native:
            events.append(Unrecognized(item.raw, f"output[{item.block.number}]"))

    def _tell_all(self, item: Item, value: dict[str, Any], events: list[Event]) -> None:
        """What nothing has told of an item yet."""
        block = item.block
        match item.type:
            case "message":
                self._tell_message(item, value, events)
            case "reasoning":
                for kind in ("summary", "content"):
                    for number, part in enumerate(_parts_of(value, kind)):
                        self._tell_part(item, (kind, number), part, events)
            case "image_generation_call":
                if (image := image_of(value)) is not None:
                    events.append(msgspec.structs.replace(image, part=block.part))
            case _ if block.call is not None:
                call, kind = block.call, "input" if block.call.custom else "arguments"
                call.id = call.id or _said(value, "call_id")
                call.name = call.name or _said(value, "name")
                for key in ("call_id", "name"):
                    if value.get(key) and not _said(value, key):  # it is no text
                        odd = msgspec.json.encode(value[key])
                        events.append(Unrecognized(odd, f"output[{block.number}].{key}"))
                self.tell(item, (kind, 0), _said(value, kind), events)
            case _:
                pass

    def _tell_message(self, item: Item, value: dict[str, Any], events: list[Event]) -> None:
        content = _parts_of(value, "content")
        told = sorted({number for _, number in (*item.said, *item.whole)})
        # Bedrock's only content is number 1 in the events, and the first in the item.
        numbers = dict(enumerate(told)) if told and told[-1] >= len(content) else {}
        for number, part in enumerate(content):
            kind = "refusal" if part.get("type") == "refusal" else "text"
            self._tell_part(item, (kind, numbers.get(number, number)), part, events)

    def _tell_part(
        self, item: Item, channel: Channel, part: dict[str, Any], events: list[Event]
    ) -> None:
        """What nothing has told of a part of an item yet."""
        kind, number = channel
        self.tell(item, channel, _said(part, "refusal" if kind == "refusal" else "text"), events)
        if part.get("logprobs") and number not in item.logprobs:
            self.take_logprobs(item, number, msgspec.json.encode(part["logprobs"]), events)
        if number not in item.cited:
            for annotation in objects_of(part.get("annotations")):
                self.cite(item, number, msgspec.json.encode(annotation), events)


def is_plain(item: dict[str, Any]) -> bool:
    """Whether an item is a message or a call of which other events say everything but its id."""
    known = _PLAIN.get(text_of(item, "type"))
    if known is None or any(item[key] is not None for key in item.keys() - known):
        return False
    content = item.get("content")
    if is_list(content):
        return all(map(_is_plain_content, content))
    return content is None or isinstance(content, str)


def _is_plain_content(part: Any) -> bool:
    if not is_object(part) or part.get("type") not in ("output_text", "refusal"):
        return False
    if any(is_list(part.get(key)) or is_object(part.get(key)) for key in ("text", "refusal")):
        return False
    keys = part.keys() - words("type text refusal logprobs")
    return not any(part[key] for key in keys)


def _parts_of(item: dict[str, Any], key: str) -> list[dict[str, Any]]:
    """The parts of a content, which may be a text alone."""
    content = item.get(key)
    return [{"text": content}] if isinstance(content, str) else objects_of(content)


def _said(fields: dict[str, Any], key: str) -> str:
    """A text, which may be a number; arguments may be the object that they should have the text of.
    Empty if it is anything else."""
    found = fields.get(key)
    if isinstance(found, str):
        return found
    number = isinstance(found, int | float) and not isinstance(found, bool)
    if number or (key in ("arguments", "input") and found is not None):
        return msgspec.json.encode(found).decode()
    return ""


def _same(one: str, other: str) -> bool:
    """Whether two texts are the same JSON."""
    try:
        return bool(decode_json(_value, one.encode()) == decode_json(_value, other.encode()))
    except Malformed:
        return False


def image_of(item: dict[str, Any]) -> Image | None:
    """The picture that an item of type `image_generation_call` has."""
    try:
        data = b64decode(text_of(item, "result"), validate=True)
    except ValueError:
        return None
    if not data:
        return None
    kind = text_of(item, "output_format") or "png"
    media_type = kind if "/" in kind else f"image/{kind}"
    return Image(data, media_type, prompt=text_of(item, "revised_prompt"))
