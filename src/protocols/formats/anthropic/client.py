"""The client half of Anthropic Messages.

Sources: the API reference (platform.claude.com/docs/en/api/messages), its guide to streaming, and
recordings. What an event is, its data says (`type`); the name beside it may be missing.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from ...blocks import Block, BlockKind, BlockReader
from ...dialect import words
from ...errors import BadRequest, Malformed, Overloaded, RateLimited, UnexpectedContent
from ...events import (
    Citation,
    Event,
    Native,
    Reasoning,
    Refusal,
    Start,
    Text,
    ToolCallStart,
    Unrecognized,
    Usage,
)
from ...question import Question
from ...step import EventStep, Step, type_of
from ...toolkit.json import count_in, decode_json, is_list, is_object
from ...toolkit.refusals import (
    ErrorTable,
    is_refusal,
    refusal_of_object,
    refusal_of_text,
)
from ...toolkit.toolcalls import is_json_object
from .request import encode_chat
from .wire import (
    USUAL,
    Fields,
    InputDelta,
    TextDelta,
    ThinkingDelta,
    decode_delta_event,
    decode_fields,
    decode_text_event,
    deltas,
    events,
    message_deltas,
    messages,
    stop_details,
)

__all__ = ["ERRORS", "PATH", "UNSIGNED", "AnthropicStep", "usage_of"]

PATH = "/v1/messages"
"""Where chats are asked, below the base URL."""

UNSIGNED = "tokenwire"
"""The signature that the server half gives a thought without one. It means none."""

ERRORS = ErrorTable(
    words={
        "timeout_error": Overloaded,
        "request_too_large": BadRequest,
        "conflict_error": BadRequest,
        "billing_error": RateLimited,
    },
    request_ids=(b"request-id", b"x-request-id"),
)

_value = msgspec.json.Decoder()


class AnthropicStep(EventStep):
    """One message, streamed or not."""

    unfinished = "the stream ended before message_stop or a stop_reason"
    errors = ERRORS
    usual = USUAL

    def __init__(self, question: Question) -> None:
        accept = "text/event-stream" if question.chat.stream else "application/json"
        request = question.post(
            PATH,
            encode_chat(question.chat, question.model, question.provider),
            {"accept": accept},
        )
        super().__init__(request, question.limits)
        self._reader = BlockReader("anthropic", question.limits, question.finishes)
        self._id: str | None = None  # of the message
        self._usage: dict[str, Any] = {}
        self._counted = False  # whether the output is, which is a placeholder at first
        self._inputs: dict[int, str] = {}  # of tools, that came with the start of their blocks
        self._refused = ""
        self._plain: Block | None = None  # the open text, if the pieces of it are all it has

    def is_ping(self, data: bytes, type: str) -> bool:
        # One with such a name may be another one, as its data says.
        return super().is_ping(data, type) and type_of(data) in (*self.pings, "")

    def payloads(self, payloads: list[bytes], events: list[Event]) -> None:
        plain = self._plain
        for payload in payloads:
            if plain is not None:  # it may well go on
                try:
                    event = decode_text_event(payload)
                except (ValueError, RecursionError):
                    pass
                else:
                    if event.index == plain.number:
                        if text := event.delta.text:
                            events.append(Text(text, plain.part))
                            plain.size = 1  # as `BlockReader.piece` does
                        continue
            self.event(payload, USUAL, events)
            if self.evidence == "terminator":
                return
            plain = self._plain

    def event(self, data: bytes, type: str, events: list[Event]) -> None:
        if type in (USUAL, "message"):
            try:
                event = decode_json(decode_delta_event, data)
            except Malformed:
                pass
            else:
                if self._take_delta(event.index, event.delta, events):
                    return
        self._take_event(data, type, events)

    def document(self, body: bytes, events: list[Event]) -> Step | None:
        value = decode_json(_value, body)
        told = is_object(value) and (
            is_list(value.get("content")) or value.get("type") == "message"
        )
        if not told:
            if is_refusal(value, self.errors):
                raise refusal_of_object(value, self.errors, data=body)
            raise UnexpectedContent("a JSON document that is no message", data=body)
        self._take_message(body, "", events)
        if self._reader.finish_reason:
            # The closing brace shows that it is whole; without a reason it is half an answer.
            self.evidence = "terminator"
        return None

    def settle(self, proven: bool, events: list[Event]) -> None:
        super().settle(proven, events)
        self._reader.settle(proven, events)
        self.failure = self._reader.failure

    def _take_delta(
        self, number: int | None, delta: TextDelta | ThinkingDelta | InputDelta, out: list[Event]
    ) -> bool:
        """A usual piece. Returns whether its block is open and can have it."""
        block = self._reader.find(number)
        if block is None and type(delta) in _STARTS:  # some servers leave out where it begins
            block = self._start(number, _STARTS[type(delta)], out)
        if block is None:
            return False
        match delta:
            case TextDelta() if block.kind is Text:
                self._reader.piece(block, delta.text, out)
            case ThinkingDelta() if block.kind is Reasoning:
                self._reader.piece(block, delta.thinking, out)
            case InputDelta() if block.call or (block.kind is Native and block.form):
                self._take_input(block, delta.partial_json, out)
            case _:
                return False
        return True

    def _take_input(self, block: Block, piece: str, events: list[Event]) -> None:
        if piece:
            self._inputs.pop(block.number, None)  # it comes in pieces after all
        self._reader.piece(block, piece, events)

    def _take_event(self, data: bytes, type: str, out: list[Event]) -> None:
        """An event that is not one of the usual ones."""
        if type == "error":
            raise refusal_of_text(data, self.errors)
        if data.lstrip()[:1] != b"{":
            self.no_json(data, out)
            return
        event, unknown = events.decode(data)
        out += [Unrecognized(value, key) for key, value in unknown if key == "usage"]
        match event.type:
            case "content_block_delta" if bytes(event.delta):
                self._go_on()
                self._take_odd_delta(event.index, bytes(event.delta), out)
            case "content_block_start" if bytes(event.content_block):
                self._start(event.index, bytes(event.content_block), out)
            case "content_block_stop":
                block = self._reader.find(event.index)
                if block is not None:
                    self._close(block, out)
            case "message_start" if bytes(event.message)[:1] == b"{":
                self._take_message(bytes(event.message), "message.", out)
            case "message_delta":
                self._end_message(bytes(event.delta), event.usage, out)
            case "message_stop":
                self._close_all(out)
                self.evidence = "terminator"
            case "error":
                raise refusal_of_text(data, self.errors)
            case _:
                # What has a name of its own is about something else, even if it has a message.
                nameless = type in (USUAL, "message") and is_refusal(
                    decode_json(_value, data), self.errors
                )
                if not event.type and (event.error or nameless):
                    raise refusal_of_text(data, self.errors)
                out.append(Unrecognized(data))
                return
        if event.error:
            raise refusal_of_object({"error": event.error}, self.errors, data=data)

    # The message

    def _take_message(self, raw: bytes, place: str, events: list[Event]) -> None:
        """A message: whole, or as a stream begins."""
        message, unknown = messages.decode(raw)
        id, model = str(message.id or ""), str(message.model or "")
        if self._id is not None:
            if id != self._id:
                raise Malformed("a second message_start, of another message", data=raw)
            return
        self._id = id
        if (id or model) and not self._reader.begun:  # else it is too late for one
            events.append(Start(id, model))
        for block in message.content or ():
            self._start(None, bytes(block), events, whole=True)
        if message.usage is not None:
            # As a stream begins, the output is a placeholder.
            self._take_usage(message.usage, bool(message.stop_reason), events)
        self._stop(message, place, events)
        self._reader.hand_on(unknown, place, self.errors, events)

    def _end_message(self, raw: bytes, usage: dict[str, Any] | None, events: list[Event]) -> None:
        if raw[:1] not in (b"", b"{"):
            events.append(Unrecognized(raw, "delta"))
            raw = b""
        delta, unknown = message_deltas.decode(raw or b"{}")
        if delta.stop_reason:
            self._close_all(events)
        if usage is not None:
            self._take_usage(usage, "output_tokens" in usage, events)
        self._stop(delta, "delta.", events)
        self._reader.hand_on(unknown, "delta.", self.errors, events)

    def _close_all(self, events: list[Event]) -> None:
        """The message is over: a block that max_tokens cut has no stop of its own."""
        for block in self._reader.opened:
            self._close(block, events)

    def _take_usage(self, usage: dict[str, Any], final: bool, events: list[Event]) -> None:
        """What is told replaces what was told before. Nothing is added up."""
        told = {key: value for key, value in usage.items() if value is not None}
        self._usage = self._usage | told  # the events before have theirs
        self._counted = self._counted or final
        events.append(usage_of(self._usage, self._counted))

    def _stop(self, said: Any, place: str, events: list[Event]) -> None:
        """Why the message is over, if `said`, the message or a delta of it at `place`, tells."""
        reader = self._reader
        if said.stop_reason:
            reader.finish_reason = said.stop_reason
            self.evidence = "finish"
        if said.stop_sequence:
            reader.detail = said.stop_sequence
        raw = bytes(said.stop_details)
        if raw[:1] != b"{":
            if raw:
                events.append(Unrecognized(raw, f"{place}stop_details"))
            return
        details, unknown = stop_details.decode(raw)
        reader.hand_on(unknown, f"{place}stop_details.", self.errors, events)
        if details.category:
            reader.detail = str(details.category)
        if details.explanation and not self._refused:
            self._refused = str(details.explanation)
            reader.whole(Refusal, self._refused, events)

    # Its blocks

    def _go_on(self) -> None:
        """If there was a stop reason, the message goes on after all."""
        if self.evidence == "finish":
            self.evidence = None

    def _start(
        self, number: int | None, raw: bytes, events: list[Event], whole: bool = False
    ) -> Block | None:
        """A block begins. A `whole` one is over, too."""
        reader = self._reader
        number = reader.next if number is None else number
        if raw[:1] != b"{":
            events.append(Unrecognized(raw, f"content[{number}]"))
            return None
        if (open := reader.find(number)) is not None:  # it has no stop
            self._close(open, events)
        self._go_on()
        form = decode_json(decode_fields, raw)
        match _text(form, "type"):
            case "text":
                block = reader.open(number, Text, events)
                self._odd(form, "text", number, events)
                cited = _value_of(form, "citations")
                if not is_list(cited) and cited is not None:
                    raw = bytes(form.pop("citations"))
                    events.append(Unrecognized(raw, f"content[{number}].citations"))
                if _keys(form) - {"type", "text"}:
                    block.form = form
                if is_list(cited):
                    block.form["citations"] = []
                    for citation in cited:
                        self._cite(block, msgspec.json.encode(citation), events)
                reader.piece(block, _text(form, "text"), events)
            case "thinking":
                block = reader.open(number, Reasoning, events)
                if self._odd(form, "thinking", number, events):
                    _hand_on_rest(form, number, events)
                    form = {}
                block.form = form
                reader.piece(block, _text(form, "thinking"), events)
            case "tool_use":
                id, name = _text(form, "id"), _text(form, "name")
                block = reader.open(number, ToolCallStart, events, id=id, name=name)
                for key, told in (("id", id), ("name", name)):
                    if not told:
                        self._odd(form, key, number, events)
                plain = {"type", "id", "name", "input"}
                if _value_of(form, "caller") == {"type": "direct"}:  # as most are
                    plain.add("caller")
                if _keys(form) - plain:
                    block.form = form
                if text := _input(form):
                    self._inputs[number] = text
            case _:
                block = reader.open(number, Native, events)
                block.form = form
                reader.keep(block, len(raw))
        self._plain = block if block.kind is Text and not block.form else None
        if whole:
            self._close(block, events)
        return block

    def _close(self, block: Block, events: list[Event]) -> None:
        """A block is over: its native form, if it needs one and all of it is understood."""
        form = block.form
        if block is self._plain:
            self._plain = None
        if text := self._inputs.pop(block.number, ""):
            self._reader.piece(block, text, events)
        if form and block.kind is Text:
            form["text"] = block.text
        elif form and block.kind is Reasoning:
            form["thinking"] = block.text
            if _text(form, "signature") in ("", UNSIGNED):
                if not self._odd(form, "signature", block.number, events):
                    form.pop("signature", None)
                _hand_on_rest(form, block.number, events)
                block.form = {}  # it means nothing to the service, which has not signed it
        elif form and block.pieces:  # the input of a tool
            if is_json_object(block.text):
                form["input"] = msgspec.Raw(block.text.encode())
            else:
                self._spoil(block, events)
        self._reader.close(block, events)

    def _spoil(self, block: Block, events: list[Event]) -> None:
        """Something of a block is not understood, so it has no native form: what is known of it by
        nothing else is handed on."""
        if block.kind is not Native:
            _hand_on_rest(block.form, block.number, events)
        elif block.form:
            place = f"content[{block.number}]"
            events.append(Unrecognized(msgspec.json.encode(block.form), place))
            if block.pieces:
                events.append(Unrecognized(block.text.encode(), f"{place}.input"))
        self._reader.spoil(block.number)

    def _odd(self, form: Fields, key: str, number: int, events: list[Event]) -> bool:
        """Whether the value of `key` is no text; then it is handed on."""
        value = _value_of(form, key)
        if value is None or isinstance(value, str):
            return False
        events.append(Unrecognized(bytes(form.pop(key)), f"content[{number}].{key}"))
        return True

    # The pieces of a block

    def _take_odd_delta(self, number: int | None, raw: bytes, events: list[Event]) -> None:
        """A piece that is rare, or has something that is not understood, or no block."""
        block = self._reader.find(number)
        if number is None:
            number = self._reader.next if block is None else block.number
        place = f"content[{number}].delta"
        if raw[:1] != b"{":
            events.append(Unrecognized(raw, place))
            return
        delta, unknown = deltas.decode(raw)
        if block is None and delta.type in _STARTS:
            block = self._start(number, _STARTS[delta.type], events)
        reader = self._reader
        if block is None or not _takes(block, delta.type):
            events.append(Unrecognized(raw, place))
            if block is not None:
                self._spoil(block, events)
            reader.spoil(number)  # a call may be closed already
            return
        form = block.form
        match delta.type:
            case "text_delta":
                reader.piece(block, delta.text, events)
            case "thinking_delta":
                reader.piece(block, delta.thinking, events)
            case "input_json_delta":
                self._take_input(block, delta.partial_json, events)
            case "signature_delta":
                reader.keep(block, len(delta.signature))
                # A second one counts instead of the first.
                form["signature"] = msgspec.Raw(msgspec.json.encode(delta.signature))
            case "citations_delta":
                self._cite(block, bytes(delta.citation), events)
            case _:  # the summary of what was compacted
                reader.keep(block, len(raw))
                said = {"content": delta.content, "encrypted_content": delta.encrypted_content}
                form.update((key, value) for key, value in said.items() if bytes(value))
        if unknown:
            self._reader.hand_on(unknown, f"{place}.", self.errors, events)
            self._spoil(block, events)

    def _cite(self, block: Block, raw: bytes, events: list[Event]) -> None:
        citation = decode_json(_value, raw or b"null")
        if not block.form and not block.size:
            block.form = {"type": "text"}
            self._plain = None if block is self._plain else self._plain
        if block.form:
            # A text that will be cited says so before it begins; of another one nothing was kept.
            self._reader.keep(block, len(raw))
            cited: Any = block.form.get("citations")
            block.form["citations"] = cited if is_list(cited) else []
            block.form["citations"].append(citation)
        if is_object(citation):
            events.append(_citation(citation, block.part))


_STARTS: dict[Any, bytes] = {
    TextDelta: b'{"type":"text"}',
    "text_delta": b'{"type":"text"}',
    ThinkingDelta: b'{"type":"thinking"}',
    "thinking_delta": b'{"type":"thinking"}',
}
"""The blocks that may begin with a piece."""

_TOLD = words("type text thinking id name input")
"""The keys of a block that other events tell."""

_BLOCKS_OF: dict[str, tuple[BlockKind, ...]] = {
    "text_delta": (Text,),
    "thinking_delta": (Reasoning,),
    "input_json_delta": (ToolCallStart, Native),
    "signature_delta": (Reasoning,),
    "citations_delta": (Text,),
    "compaction_delta": (Native,),
}
"""The blocks that a piece can be of."""


def _hand_on_rest(form: dict[str, Any], number: int, events: list[Event]) -> None:
    """What other events do not tell of the native form of a block, which has none after all."""
    for key, value in form.items():
        raw = msgspec.json.encode(value)
        if key not in _TOLD and raw not in (b"null", b"[]", b'""'):
            events.append(Unrecognized(raw, f"content[{number}].{key}"))


def _takes(block: Block, piece: str) -> bool:
    """Whether a block can have a piece of this type: of some only the native form has it, which a
    block that is not understood has no more."""
    told = bool(block.form) or not (block.kind is Native or piece == "signature_delta")
    return told and block.kind in _BLOCKS_OF.get(piece, ())


def _value_of(fields: Mapping[str, Any], key: str) -> Any:
    raw = fields.get(key)
    return None if raw is None else decode_json(_value, bytes(raw))


def _text(fields: Mapping[str, Any], key: str) -> str:
    """A text in an object of raw values, or a number as text; empty if there is neither."""
    value = _value_of(fields, key)
    return str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""


def _keys(form: Fields) -> set[str]:
    """The keys that say something."""
    return {key for key, value in form.items() if bytes(value) != b"null"}


def _input(form: Fields) -> str:
    """The input of a tool that came with the start of its block."""
    value = _value_of(form, "input")
    if isinstance(value, str):  # as our server half writes one that is no object
        return value
    return "" if value in (None, {}) else bytes(form["input"]).decode(errors="replace")


def _citation(said: dict[str, Any], part: int) -> Citation:
    def text(*keys: str) -> str:
        return next((value for key in keys if isinstance(value := said.get(key), str)), "")

    document = said.get("document_index")
    return Citation(
        url=text("url", "source"),
        title=text("title", "document_title"),
        source="" if document is None else str(document),
        quote=text("cited_text"),
        part=part,
    )


def usage_of(usage: dict[str, Any], final: bool) -> Usage:
    """A `usage` object, with OpenTelemetry's names. The wire's `input_tokens` are those that no
    cache was involved in. `final`: the output is counted, not a placeholder."""
    fresh, said = count_in(usage, "input_tokens"), None
    if final:
        said = count_in(usage, "output_tokens")
    read = count_in(usage, "cache_read_input_tokens")
    written = count_in(usage, "cache_creation_input_tokens")
    asked = None if fresh is None else fresh + (read or 0) + (written or 0)
    return Usage(
        input_tokens=asked,
        output_tokens=said,
        total_tokens=None if asked is None or said is None else asked + said,
        cache_read_input_tokens=read,
        cache_write_input_tokens=written,
        reasoning_output_tokens=count_in(usage.get("output_tokens_details"), "thinking_tokens"),
        raw=usage,
    )
