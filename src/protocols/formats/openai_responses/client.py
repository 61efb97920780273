"""The client half of OpenAI Responses.

Sources: the API reference (platform.openai.com/docs/api-reference/responses-streaming), the types
of the vendor's SDKs, and recordings. What an event is, its data says (`type`); the name beside it
may be missing. The events of an item are known by its `output_index`: Copilot changes the ids.
"""

from base64 import b64decode
from collections import Counter
from typing import Any, NamedTuple

import msgspec

from ...blocks import Block, BlockKind, BlockReader
from ...dialect import words
from ...errors import (
    BadRequest,
    ContentFiltered,
    Malformed,
    Overloaded,
    RateLimited,
    UnexpectedContent,
)
from ...events import (
    Citation,
    Event,
    Image,
    LogProbs,
    Native,
    Reasoning,
    Refusal,
    Start,
    Text,
    TokenLogProb,
    ToolCallStart,
    Unrecognized,
    Usage,
)
from ...limits import Parts
from ...question import Question
from ...step import EventStep, Step
from ...toolkit.citations import Citations
from ...toolkit.json import count_in, decode_json, is_list, is_object, objects_of, text_of
from ...toolkit.refusals import ErrorTable, is_refusal, refusal_of_object, refusal_of_text
from .request import DIALECT, custom_names, encode_chat
from .wire import (
    CHANNELS,
    DELTAS,
    SILENT,
    USUAL,
    Piece,
    decode_delta_event,
    decode_text_event,
    events,
    responses,
)

__all__ = ["ERRORS", "PATH", "ResponsesStep", "is_plain", "usage_of"]

PATH = "/responses"
"""Where chats are asked, below the base URL."""

ERRORS = ErrorTable(
    codes={
        "invalid_prompt": ContentFiltered,
        "usage_limit_reached": RateLimited,  # of ChatGPT
        **dict.fromkeys(
            words(
                "invalid_image invalid_image_format invalid_base64_image invalid_image_url "
                "invalid_image_mode image_too_large image_too_small image_parse_error "
                "image_file_too_large image_file_not_found empty_image_file "
                "unsupported_image_media_type failed_to_download_image"
            ),
            BadRequest,
        ),
    },
    words={"_policy": ContentFiltered, "slow_down": Overloaded},
)

_UNDER_WAY = ("queued", "in_progress")
_FAILED = ("failed", "cancelled")
_LIFECYCLE = frozenset(
    f"response.{word}" for word in ("created", *_UNDER_WAY, "completed", "incomplete", *_FAILED)
) | {"response.done"}  # xAI's word for the end
_OVER = _LIFECYCLE - {"response.created", "response.queued", "response.in_progress"}

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
_PLAIN = {
    "message": words("id type role status content"),
    "function_call": words("id type status call_id name arguments"),
    "custom_tool_call": words("id type status call_id name input"),
}
"""The keys of the items that their other events say."""

_value = msgspec.json.Decoder()
_tokens = msgspec.json.Decoder(list[TokenLogProb], strict=False)


class _Item:
    """An item of the answer. `told`: the channels of which pieces came, each with the number of its
    piece of the item; what was told is not told again when the item is done. `thoughts`: the
    channel of thoughts that is told. `raw`: what it began with, until it is done."""

    __slots__ = ("block", "cited", "done", "id", "raw", "thoughts", "told", "type")

    def __init__(self, type: str, id: str, block: Block, raw: bytes) -> None:
        self.type = type
        self.id = id
        self.block = block
        self.raw = raw
        self.done = False
        self.cited = False
        self.thoughts = ""
        self.told: set[tuple[str, int]] = set()


class _Plain(NamedTuple):
    """The text that may well go on: its item and content on the wire, and its part."""

    place: int
    content: int
    part: int


class ResponsesStep(EventStep):
    """One response, streamed or not."""

    unfinished = "the stream ended before response.completed"
    errors = ERRORS
    usual = USUAL
    pings = frozenset(("ping", "keepalive"))

    def __init__(self, question: Question) -> None:
        chat = question.chat
        accept = "text/event-stream" if chat.stream else "application/json"
        body = encode_chat(chat, question.model, question.provider)
        # The body has it already, with what options add to it.
        extra = {key: value for key, value in chat.extra.items() if key != "include"}
        asked = msgspec.structs.replace(question, chat=chat.replace(extra=extra))
        super().__init__(asked.post(PATH, body, {"accept": accept}), question.limits)
        self._reader = BlockReader(DIALECT, question.limits, question.finishes)
        self._parts = Parts(question.limits.parts)
        self._citations = Citations(self._parts)
        self._custom = custom_names(chat)
        self._items: dict[int, _Item] = {}  # by their place
        self._by_id: dict[str, _Item] = {}
        self._undone: dict[int, _Item] = {}  # by the number of their block
        self._last: _Item | None = None
        self._begun = Counter[str]()  # how many of each type
        self._started = False
        self._plain: _Plain | None = None

    def is_ping(self, data: bytes, type: str) -> bool:
        if type in self.pings:
            return True
        # Its name may be missing.
        return type == "message" and b'"keepalive"' in data[:1000] and _type_of(data) == "keepalive"

    def payloads(self, payloads: list[bytes], events: list[Event]) -> None:
        plain = self._plain
        for payload in payloads:
            if plain is not None:
                try:
                    event = decode_text_event(payload)
                except (ValueError, RecursionError):
                    pass
                else:
                    if event.output_index == plain.place and event.content_index == plain.content:
                        if event.delta:
                            events.append(Text(event.delta, plain.part))
                        continue
            self.event(payload, USUAL, events)
            if self.evidence == "terminator":
                return
            plain = self._plain

    def event(self, data: bytes, type: str, events: list[Event]) -> None:
        try:
            piece: Piece = decode_delta_event(data)
        except (ValueError, RecursionError):
            self._take_event(data, type, events)
            return
        channel = DELTAS[piece.__class__]
        number = piece.summary_index if channel == "summary" else piece.content_index
        item = self._item_of(channel, piece.output_index, piece.item_id, events)
        if item is None:
            events.append(Unrecognized(data))
        elif piece.delta:
            self._say(item, channel, number, piece.delta, events)
            if channel == "text":
                self._plain = _Plain(piece.output_index, number, item.block.part)

    def document(self, body: bytes, events: list[Event]) -> Step | None:
        value = decode_json(_value, body)
        told = is_object(value) and (
            is_list(value.get("output")) or value.get("object") == "response"
        )
        if not told:
            if is_refusal(value, self.errors):
                raise refusal_of_object(value, self.errors, data=body)
            raise UnexpectedContent("a JSON document that is no response", data=body)
        self._take_response(body, "", events)
        return None

    def settle(self, proven: bool, events: list[Event]) -> None:
        super().settle(proven, events)
        self._reader.settle(proven, events)
        self.failure = self._reader.failure

    def _take_event(self, data: bytes, type: str, out: list[Event]) -> None:
        """An event that is not one of the usual ones."""
        if data.lstrip()[:1] != b"{":
            if type == "error":
                raise refusal_of_text(data, self.errors)
            if data.strip() != b"[DONE]":  # it comes after the end, or too early, and says nothing
                out.append(Unrecognized(data))
            return
        event, unknown = events.decode(data)
        type = event.type or ("" if type in (USUAL, "message") else type)
        group, _, verb = type.removeprefix("response.").partition(".")
        told = bytes(event.response)[:1] == b"{"
        failed = group in ("error", *_FAILED) and not told
        if failed or (not type and is_refusal(decode_json(_value, data), self.errors)):
            value = decode_json(_value, data)
            nested = is_object(value.get("error"))
            # Of a flat one the type says only that it is an error.
            error = value if nested else {k: v for k, v in value.items() if k != "type"}
            raise refusal_of_object(error, self.errors, data=data)
        if type in _LIFECYCLE:
            if not told:
                out.append(Unrecognized(data))
            self._take_response(bytes(event.response) if told else b"{}", type, out)
        elif group == "output_item" and verb in ("added", "done"):
            self._take_item(verb == "done", bytes(event.item), event.output_index, data, out)
        elif group in CHANNELS and verb in ("delta", "done"):
            self._take_piece(event, group, verb == "done", data, unknown, out)
        elif group == "output_text" and verb == "annotation.added":
            item = self._item_of("text", event.output_index, event.item_id, out)
            if item is None or not self._cite(item, bytes(event.annotation), out):
                out.append(Unrecognized(data))
        elif group not in SILENT or verb == "partial_image":
            out.append(Unrecognized(data))

    def _take_piece(
        self,
        event: Any,
        group: str,
        done: bool,
        data: bytes,
        unknown: list[tuple[str, bytes]],
        out: list[Event],
    ) -> None:
        """A piece that has more than the usual, or the whole when all pieces are told."""
        channel, key = CHANNELS[group]
        number = event.summary_index if channel == "summary" else event.content_index
        item = self._item_of(channel, event.output_index, event.item_id, out)
        if item is None:
            out.append(Unrecognized(data))
            return
        call, odd = item.block.call, dict(unknown)
        if call is not None:
            call.name = call.name or event.name
            call.broken = call.broken or "delta" in odd
        if not done:
            self._say(item, channel, number, event.delta, out)
        elif ("whole", 0) in item.told:
            pass  # it is said again, and to compare it may take long
        elif channel == "arguments" and key in odd:  # an object, where text is due
            self._tell(item, channel, number, odd[key].decode(), out)
        else:
            self._tell(item, channel, number, getattr(event, key), out)
        if not done or ("logprobs", number) not in item.told:
            self._take_logprobs(item, number, bytes(event.logprobs), out)
        place = f"output[{item.block.number}]"
        out += [
            Unrecognized(value, f"{place}.{name}")
            for name, value in unknown
            if not done or name == key != "arguments"
        ]

    # The response

    def _take_response(self, raw: bytes, type: str, events: list[Event]) -> None:
        """The response as far as it is. `type` is that of the event; empty: it is the whole
        answer."""
        response, unknown = responses.decode(raw)
        id, model = str(response.id or ""), str(response.model or "")
        if not self._started and (id or model):
            self._started = True
            events.append(Start(id, model))
        if type and type not in _OVER:
            return
        named = type.rpartition(".")[2].replace("done", "completed")
        status = response.status or named
        if type and (named in _FAILED or status in ("completed", *_UNDER_WAY)):
            status = named  # it says no less than the name of its event
        if response.error and not is_object(response.error):
            response.error = {"message": str(response.error)}
        if not type and status in _UNDER_WAY:
            raise UnexpectedContent(f"the answer {id} is {status}: it was asked in the background")
        output = list(map(bytes, response.output or ()))
        streamed, types = bool(self._begun), Counter[str]()
        for number, item in enumerate(output):
            if streamed:
                self._take_last(number, item, types, events)
            else:
                self._take_item(True, item, number, item, events)
        for left in self._undone.values():
            self._take_undone(left, events)
        for key, value in unknown:
            events.append(Unrecognized(value, f"response.{key}" if type else key))
        if response.usage is not None:
            events.append(usage_of(response.usage))
        if status in _FAILED or response.error:
            error = {"error": response.error or {"code": status}}
            raise refusal_of_object(error, self.errors, data=raw)
        reason = response.incomplete_details and response.incomplete_details.reason
        self._reader.finish_reason = reason or status
        self.evidence = "terminator"

    def _take_last(self, number: int, raw: bytes, types: Counter[str], events: list[Event]) -> None:
        """An item of the output when the answer is over: it says what nothing said before. `types`
        counts the items before it."""
        value = decode_json(_value, raw)
        type, id = text_of(value, "type"), text_of(value, "id")
        types.update((type,))
        item = self._by_id.get(id) or self._items.get(number)
        if item is not None and item.type == type:
            if not item.done:
                self._finish(item, value, raw, events)
        elif self._begun[type] < types[type]:
            self._take_item(True, raw, None, raw, events)

    # Its items

    def _open(
        self, value: dict[str, Any], raw: bytes, place: int | None, events: list[Event]
    ) -> _Item:
        """An item begins."""
        reader, type = self._reader, text_of(value, "type")
        kind = _KINDS.get(type, Native)
        name = _said(value, "name")
        custom = type == "custom_tool_call" and name in self._custom
        if custom:
            kind = ToolCallStart
        id = _said(value, "call_id")
        block = reader.open(reader.next, kind, events, id=id, name=name, custom=custom)
        item = self._last = _Item(type, text_of(value, "id"), block, raw)
        self._undone[block.number] = item
        self._begun.update((type,))
        self._plain = None  # it may be at the same place
        if place is not None:
            self._items[place] = item
        if item.id:
            self._by_id[item.id] = item
        return item

    def _item_of(
        self, channel: str, place: int | None, id: str | None, events: list[Event]
    ) -> _Item | None:
        """The item that a piece is of; it may have begun before the stream did. None: it is of
        another type."""
        type = _TYPES[channel]
        item = self._find(id, type) if place is None else self._items.get(place)
        if item is None:
            if type == "custom_tool_call":
                return None  # without its name nobody knows whose call it is
            item = self._open({"type": type}, b"{}", place, events)
        return item if item.type == type else None

    def _find(self, id: str | None, type: str) -> _Item | None:
        """The item of an event that does not say where it is: by its id, or the last one if it is
        not done."""
        named, last = self._by_id.get(id or ""), self._last
        if named is None and last is not None and last.type == type and not last.done:
            return last
        return named

    def _take_item(
        self, done: bool, raw: bytes, place: int | None, data: bytes, events: list[Event]
    ) -> None:
        """An item begins, or is done."""
        value = decode_json(_value, raw or b"null")
        if not is_object(value):
            events.append(Unrecognized(data))
            return
        type = text_of(value, "type")
        item = None if place is None else self._items.get(place)
        if place is None and done:
            item = self._find(text_of(value, "id"), type)
        if item is None or item.type != type or item.done:
            if item is not None and done and item.id and item.id == text_of(value, "id"):
                return  # it is said twice
            item = self._open(value, raw, place, events)
        if done:
            self._finish(item, value, raw, events)
        else:
            item.raw = raw  # a piece may have come before

    def _finish(self, item: _Item, value: dict[str, Any], raw: bytes, events: list[Event]) -> None:
        """An item is done: what nothing has told of it yet, and its native form."""
        block = item.block
        del self._undone[block.number]
        item.done, item.id, item.raw = True, text_of(value, "id"), b""
        if item.id:
            self._by_id[item.id] = item
        self._plain = None
        self._take_whole(item, value, events)
        self._reader.close(block, events)
        if value.get("status") == "incomplete":  # it was cut, so it can't go back
            if block.call is not None:
                block.call.broken = True
            if block.kind is Native:
                events.append(Unrecognized(raw, f"output[{block.number}]"))
        elif not is_plain(value) or block.kind is Native:
            events.append(Native(DIALECT, raw, block.part))

    def _take_undone(self, item: _Item, events: list[Event]) -> None:
        """An item that is not done when the answer is over: what it began with, of which its pieces
        may have told more since."""
        call, value = item.block.call, decode_json(_value, item.raw)
        cut = call is not None and not call.arguments and value.get("status") != "completed"
        if call is not None and call.arguments:
            value = {**value, "arguments": "", "input": ""}
        self._take_whole(item, value, events)
        if call is not None:
            call.broken = call.broken or cut
        if item.block.kind is Native:
            events.append(Unrecognized(item.raw, f"output[{item.block.number}]"))

    def _take_whole(self, item: _Item, value: dict[str, Any], events: list[Event]) -> None:
        """What nothing has told of an item yet."""
        block = item.block
        match item.type:
            case "message":
                self._finish_message(item, value, events)
            case "reasoning":
                self._finish_thought(item, value, events)
            case "image_generation_call":
                if (image := image_of(value)) is not None:
                    events.append(msgspec.structs.replace(image, part=block.part))
            case _ if block.call is not None:
                call, channel = block.call, "input" if block.call.custom else "arguments"
                call.id = call.id or _said(value, "call_id")
                call.name = call.name or _said(value, "name")
                self._tell(item, channel, 0, _said(value, channel), events)
            case _:
                pass

    def _finish_message(self, item: _Item, value: dict[str, Any], events: list[Event]) -> None:
        content = _pieces_of(value, "content")
        told = sorted({number for _, number in item.told})
        # Bedrock's only content is number 1 in the events, and the first in the item.
        numbers = dict(enumerate(told)) if told and told[-1] >= len(content) else {}
        for number, part in enumerate(content):
            channel = "refusal" if part.get("type") == "refusal" else "text"
            number = numbers.get(number, number)
            self._tell(item, channel, number, _said(part, channel), events)
            if part.get("logprobs") and ("logprobs", number) not in item.told:
                raw = msgspec.json.encode(part["logprobs"])
                self._take_logprobs(item, number, raw, events)
        if not item.cited:
            for annotation in (a for part in content for a in objects_of(part.get("annotations"))):
                self._cite(item, msgspec.json.encode(annotation), events)

    def _finish_thought(self, item: _Item, value: dict[str, Any], events: list[Event]) -> None:
        for channel in ("summary", "content"):
            for number, part in enumerate(_pieces_of(value, channel)):
                self._tell(item, channel, number, _said(part, "text"), events)

    def _tell(self, item: _Item, channel: str, number: int, text: str, events: list[Event]) -> None:
        """The whole of what comes in pieces: what no piece has told. The arguments of a call that
        are others than its pieces were are not to be acted upon."""
        call = item.block.call
        if call is None:
            if (channel, number) not in item.told:
                self._say(item, channel, number, text, events)
            return
        if not text:
            return
        item.told.add(("whole", 0))
        said = "".join(call.arguments)
        goes_on = text.startswith(said)
        call.broken = not (goes_on or _same(said, text))
        if goes_on:
            self._say(item, channel, number, text[len(said) :], events)
        elif call.broken:
            events.append(Unrecognized(text.encode(), f"output[{item.block.number}].{channel}"))

    def _say(self, item: _Item, channel: str, number: int, text: str, events: list[Event]) -> None:
        """A piece of an item. Of thoughts only those of the kind that came first."""
        if not text:
            return
        block = item.block
        match channel:
            case "text":
                events.append(Text(text, block.part))
            case "refusal":
                events.append(Refusal(text, block.part))
            case "summary" | "content":
                if item.thoughts not in ("", channel):
                    return
                item.thoughts = channel
                events.append(Reasoning(text, block.part))
            case _:
                if block.call is not None:  # else a tool of the service: its item has all of it
                    self._reader.piece(block, text, events)
        if (channel, number) not in item.told:
            self._parts.add()
            item.told.add((channel, number))

    def _take_logprobs(self, item: _Item, number: int, raw: bytes, events: list[Event]) -> None:
        if raw in (b"", b"[]"):
            return
        item.told.add(("logprobs", number))
        try:
            events.append(LogProbs(decode_json(_tokens, raw)))
        except Malformed:
            events.append(Unrecognized(raw, "logprobs"))

    def _cite(self, item: _Item, raw: bytes, events: list[Event]) -> bool:
        """A source of the text. Returns whether it is one."""
        said = decode_json(_value, raw or b"null")
        if not is_object(said):
            return False
        item.cited = True
        start, end = said.get("start_index"), said.get("end_index")
        citation = Citation(
            url=text_of(said, "url"),
            title=text_of(said, "title") or text_of(said, "filename"),
            source=text_of(said, "file_id"),
            start=start if isinstance(start, int) else None,
            end=end if isinstance(end, int) else None,
            part=item.block.part,
        )
        self._citations.cite(citation, events)
        return True


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


def _pieces_of(item: dict[str, Any], key: str) -> list[dict[str, Any]]:
    """The pieces of a content, which may be a text alone."""
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


def _type_of(data: bytes) -> str:
    try:
        return events.decode(data)[0].type
    except Malformed:
        return ""


def usage_of(usage: dict[str, Any]) -> Usage:
    """A `usage` object, with OpenTelemetry's names."""
    asked, said = count_in(usage, "input_tokens"), count_in(usage, "output_tokens")
    total = count_in(usage, "total_tokens")
    if total is None and asked is not None and said is not None:
        total = asked + said
    read, written = usage.get("input_tokens_details"), usage.get("output_tokens_details")
    return Usage(
        input_tokens=asked,
        output_tokens=said,
        total_tokens=total,
        cache_read_input_tokens=count_in(read, "cached_tokens"),
        cache_write_input_tokens=count_in(read, "cache_write_tokens"),
        reasoning_output_tokens=count_in(written, "reasoning_tokens"),
        raw=usage,
    )
