"""The client half of OpenAI Responses.

Sources: the API reference (platform.openai.com/docs/api-reference/responses-streaming), the types
of the vendor's SDKs, and recordings. What an event is, its data says (`type`); the name beside it
may be missing.
"""

from typing import Any

import msgspec

from ...blocks import BlockReader
from ...dialect import words
from ...errors import (
    BadRequest,
    ContentFiltered,
    Overloaded,
    RateLimited,
    Refused,
    UnexpectedContent,
)
from ...events import Event, Start, Text, Unrecognized, Usage
from ...limits import Parts
from ...question import Question
from ...step import EventStep, Step
from ...toolkit.http import Request
from ...toolkit.json import count_in, decode_json, is_list, is_object
from ...toolkit.refusals import (
    ErrorTable,
    is_refusal,
    refusal_beside,
    refusal_of_object,
    refusal_of_text,
)
from .items import Items
from .request import DIALECT, custom_names, encode_chat
from .wire import (
    CHANNELS,
    DELTAS,
    PARTS,
    SILENT,
    USUAL,
    Piece,
    decode_delta_event,
    decode_text_event,
    events,
    responses,
)

__all__ = ["ERRORS", "PATH", "KeptStep", "ResponsesStep", "usage_of"]

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

_value = msgspec.json.Decoder()


class ResponsesStep(EventStep):
    """One response, streamed or not."""

    unfinished = "the stream ended before response.completed"
    errors = ERRORS
    usual = USUAL

    def __init__(self, question: Question, request: Request | None = None) -> None:
        super().__init__(_asking(question) if request is None else request, question.limits)
        self._reader = BlockReader(DIALECT, question.limits, question.finishes)
        self._items = Items(self._reader, Parts(question.limits.parts), custom_names(question.chat))
        self._relayed = question.body is not None
        self._started = False

    def payloads(self, payloads: list[bytes], events: list[Event]) -> None:
        plain = self._items.plain
        for payload in payloads:
            if plain is not None:
                try:
                    event = decode_text_event(payload)
                except (ValueError, RecursionError):
                    pass
                else:
                    if event.output_index == plain.place and event.content_index == plain.content:
                        if text := event.delta:
                            plain.pieces.append(text)
                            events.append(Text(text, plain.part))
                        continue
            self.event(payload, USUAL, events)
            if self.evidence == "terminator":
                return
            plain = self._items.plain

    def event(self, data: bytes, type: str, events: list[Event]) -> None:
        try:
            piece: Piece = decode_delta_event(data)
        except (ValueError, RecursionError):
            self._take_event(data, type, events)
            return
        kind = DELTAS[piece.__class__]
        number = piece.summary_index if kind == "summary" else piece.content_index
        item = self._items.of(kind, piece.output_index, None, events)
        if item is None:
            events.append(Unrecognized(data))
        elif piece.delta:
            self._items.say(item, (kind, number), piece.delta, events)
            if kind == "text":
                self._items.go_on(item, piece.output_index, number)

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
                self.no_json(data, out)
            return
        event, unknown = events.decode(data)
        type = event.type or ("" if type in (USUAL, "message") else type)
        group, _, verb = type.removeprefix("response.").partition(".")
        told = bytes(event.response)[:1] == b"{"
        failed = group in ("error", *_FAILED) and not told
        if failed or (not type and is_refusal(decode_json(_value, data), self.errors)):
            value = decode_json(_value, data)
            # Of a flat one the type says only that it is an error.
            error = {key: said for key, said in value.items() if key != "type"}
            raise refusal_of_object(error, self.errors, data=data)
        if type in _LIFECYCLE:
            if not told:
                out.append(Unrecognized(data))
            beside = decode_json(_value, dict(unknown).get("error", b"null"))
            self._take_response(bytes(event.response) if told else b"{}", type, out, beside)
        elif group == "output_item" and verb in ("added", "done"):
            self._items.take(verb == "done", bytes(event.item), event.output_index, data, out)
        elif group in CHANNELS and verb in ("delta", "done"):
            self._take_piece(event, group, verb == "done", data, unknown, out)
        elif group == "output_text" and verb == "annotation.added":
            item = self._items.of("text", event.output_index, event.item_id, out)
            raw = bytes(event.annotation)
            if item is None or not self._items.cite(item, event.content_index, raw, out):
                out.append(Unrecognized(data))
        elif group in PARTS and verb == "done":
            number = event.summary_index if "summary" in group else event.content_index
            where = event.output_index, event.item_id, number
            self._items.take_part(bytes(event.part), *where, out)
        else:
            if group not in SILENT or verb == "partial_image":
                out.append(Unrecognized(data))
            return
        failure = refusal_beside(unknown, self.errors)
        self._reader.failure = self._reader.failure or failure

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
        kind, key = CHANNELS[group]
        number = event.summary_index if kind == "summary" else event.content_index
        item = self._items.of(kind, event.output_index, event.item_id, out)
        if item is None:
            out.append(Unrecognized(data))
            return
        call, odd = item.block.call, dict(unknown)
        if call is not None:
            call.name = call.name or event.name
            call.broken = call.broken or "delta" in odd
        if not done:
            self._items.say(item, (kind, number), event.delta, out)
        elif kind == "arguments" and key in odd:  # an object, where text is due
            self._items.tell(item, (kind, number), odd[key].decode(errors="replace"), out)
        else:
            self._items.tell(item, (kind, number), getattr(event, key), out)
        if not done or number not in item.logprobs:
            self._items.take_logprobs(item, number, bytes(event.logprobs), out)
        place = f"output[{item.block.number}]"
        out += [
            Unrecognized(value, f"{place}.{name}")
            for name, value in unknown
            if not done or name == key != "arguments"
        ]

    # The response

    def _take_response(
        self, raw: bytes, type: str, events: list[Event], beside: Any = None
    ) -> None:
        """The response as far as it is. `type` is that of the event; empty: it is the whole
        answer. `beside`: an error that the event itself has, as some have it there (quirk 90)."""
        response, unknown = responses.decode(raw)
        id, model = str(response.id or ""), str(response.model or "")
        if not self._started and (id or model):
            self._started = True
            if not self._reader.begun:  # else it is too late for one
                events.append(Start(id, model))
        if type and type not in _OVER and not response.error:
            return
        named = type.removeprefix("response.").replace("done", "completed")
        status = response.status or named
        if type and (named in _FAILED or status in ("completed", *_UNDER_WAY)):
            status = named  # it says no less than the name of its event
        if response.error and not is_object(response.error):
            response.error = {"message": str(response.error)}
        under_way = not type and status in _UNDER_WAY
        if under_way and not self._relayed:  # whose caller knows what was asked
            raise UnexpectedContent(f"the answer {id} is {status}: it was asked in the background")
        output = list(map(bytes, response.output or ()))
        if response.output_text and not (output or self._reader.begun):
            # What SDKs derive from the items, some gateways send instead of them.
            part = {"type": "output_text", "text": response.output_text}
            output = [msgspec.json.encode({"type": "message", "content": [part]})]
        self._items.settle(output, events)
        for key, value in unknown:
            events.append(Unrecognized(value, f"response.{key}" if type else key))
        if response.usage is not None:
            events.append(usage_of(response.usage))
        if status in _FAILED or response.error:
            error = {"error": response.error or beside or {"code": status}}
            raise refusal_of_object(error, self.errors, data=raw)
        reason = response.incomplete_details and response.incomplete_details.reason
        self._reader.finish_reason = "" if under_way else reason or status
        self.evidence = "terminator"


class KeptStep(ResponsesStep):
    """A response that the service has kept, or something about it: a document of any kind, or the
    events from some number on. It is there even if the response itself has failed."""

    def document(self, body: bytes, events: list[Event]) -> Step | None:
        value = decode_json(_value, body)
        if not (is_object(value) and "object" in value) and is_refusal(value, self.errors):
            raise refusal_of_object(value, self.errors, data=body)
        self.evidence = "terminator"
        return None

    def _take_response(
        self, raw: bytes, type: str, events: list[Event], beside: Any = None
    ) -> None:
        try:
            super()._take_response(raw, type, events, beside)
        except Refused:
            self.evidence = "terminator"


def _asking(question: Question) -> Request:
    chat = question.chat
    accept = "text/event-stream" if chat.stream else "application/json"
    body = encode_chat(chat, question.model, question.provider)
    # The body has it already, with what options add to it.
    extra = {key: value for key, value in chat.extra.items() if key != "include"}
    asked = msgspec.structs.replace(question, chat=chat.replace(extra=extra))
    return asked.post(PATH, body, {"accept": accept})


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
