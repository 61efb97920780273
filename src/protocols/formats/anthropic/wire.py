"""What an answer of Anthropic Messages looks like on the wire: the fields that are understood.

The pieces of text, thoughts and arguments, of which most of a stream consists, are decoded strictly
first, as that is quick. Everything else is decoded field by field, so that nothing of it is lost.
"""

from typing import Any, TypeAlias

import msgspec

from ...dialect import words
from ...toolkit.json import Lenient

__all__ = [
    "USUAL",
    "Fields",
    "InputDelta",
    "TextDelta",
    "ThinkingDelta",
    "decode_delta_event",
    "decode_fields",
    "decode_text_event",
    "deltas",
    "events",
    "message_deltas",
    "messages",
    "stop_details",
]

USUAL = "content_block_delta"
"""The type of most events."""

Fields: TypeAlias = dict[str, msgspec.Raw]
"""A JSON object whose values are bytes, as they came: a block, or a citation."""

_NOTHING = msgspec.Raw()


class TextDelta(
    msgspec.Struct, tag="text_delta", tag_field="type", gc=False, forbid_unknown_fields=True
):
    """A piece of a text."""

    text: str


class ThinkingDelta(
    msgspec.Struct, tag="thinking_delta", tag_field="type", gc=False, forbid_unknown_fields=True
):
    """A piece of a thought."""

    thinking: str
    estimated_tokens: Any = None


class InputDelta(
    msgspec.Struct, tag="input_json_delta", tag_field="type", gc=False, forbid_unknown_fields=True
):
    """A piece of the JSON of a tool's input."""

    partial_json: str


class _TextEvent(msgspec.Struct, tag="content_block_delta", tag_field="type", gc=False):
    delta: TextDelta
    index: int | None = None
    error: None = None


class _DeltaEvent(msgspec.Struct, tag="content_block_delta", tag_field="type", gc=False):
    delta: TextDelta | ThinkingDelta | InputDelta
    index: int | None = None
    error: None = None


decode_text_event = msgspec.json.Decoder(_TextEvent).decode
decode_delta_event = msgspec.json.Decoder(_DeltaEvent)
decode_fields = msgspec.json.Decoder(Fields)


class _Event(msgspec.Struct):
    """An event of any type. Its further keys are about the event (`cost` of a gateway)."""

    type: str = ""
    index: int | None = None
    message: msgspec.Raw = _NOTHING
    content_block: msgspec.Raw = _NOTHING
    delta: msgspec.Raw = _NOTHING
    usage: dict[str, Any] | None = None
    error: Any = None


class _Delta(msgspec.Struct):
    """A `delta` of a block. `type` says which of the other fields count."""

    type: str = ""
    text: str = ""
    thinking: str = ""
    partial_json: str = ""
    signature: str = ""
    citation: msgspec.Raw = _NOTHING
    content: msgspec.Raw = _NOTHING
    encrypted_content: msgspec.Raw = _NOTHING


class _StopDetails(msgspec.Struct):
    """Why the model declined."""

    type: Any = None
    category: Any = None
    explanation: Any = None


class _MessageDelta(msgspec.Struct):
    """The `delta` of a message, when it is over."""

    stop_reason: str | None = None
    stop_sequence: str | None = None
    stop_details: msgspec.Raw = _NOTHING


class _Message(msgspec.Struct):
    """A message: whole, or at the start of a stream."""

    id: Any = None
    model: Any = None
    content: list[msgspec.Raw] | None = None
    stop_reason: str | None = None
    stop_sequence: str | None = None
    stop_details: msgspec.Raw = _NOTHING
    usage: dict[str, Any] | None = None


events = Lenient(_Event)
deltas = Lenient(_Delta, words("estimated_tokens"))
message_deltas = Lenient(_MessageDelta)
stop_details = Lenient(_StopDetails)
messages = Lenient(
    _Message,
    words("type role context_management diagnostics input_transformations service_tier"),
)
