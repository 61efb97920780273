"""What an answer of OpenAI Responses looks like on the wire: the fields that are understood.

The pieces of texts, thoughts and arguments, of which most of a stream consists, are decoded
strictly first, as that is quick. Everything else is decoded field by field, so that nothing of it
is lost.
"""

from typing import Any, TypeAlias

import msgspec

from ...dialect import words
from ...toolkit.json import Lenient

__all__ = [
    "CHANNELS",
    "DELTAS",
    "PARTS",
    "SILENT",
    "USUAL",
    "Piece",
    "decode_delta_event",
    "decode_text_event",
    "events",
    "responses",
]

USUAL = "response.output_text.delta"
"""The type of most events."""

_NOTHING = msgspec.Raw()


class _Delta(msgspec.Struct, tag_field="type", gc=False, forbid_unknown_fields=True):
    """A piece of an item. The fields are in the order of the wire, in which msgspec finds them
    soonest."""

    delta: str
    output_index: int
    sequence_number: int | None = None
    item_id: str | None = None
    content_index: int = 0
    summary_index: int = 0
    logprobs: tuple[()] | None = None
    obfuscation: str | None = None


class _TextDelta(_Delta, tag=USUAL, gc=False):
    pass


class _RefusalDelta(_Delta, tag="response.refusal.delta", gc=False):
    pass


class _SummaryDelta(_Delta, tag="response.reasoning_summary_text.delta", gc=False):
    pass


class _ThoughtDelta(_Delta, tag="response.reasoning_text.delta", gc=False):
    pass


class _ArgumentsDelta(_Delta, tag="response.function_call_arguments.delta", gc=False):
    pass


class _InputDelta(_Delta, tag="response.custom_tool_call_input.delta", gc=False):
    pass


Piece: TypeAlias = (
    _TextDelta | _RefusalDelta | _SummaryDelta | _ThoughtDelta | _ArgumentsDelta | _InputDelta
)

DELTAS: dict[type[Piece], str] = {
    _TextDelta: "text",
    _RefusalDelta: "refusal",
    _SummaryDelta: "summary",
    _ThoughtDelta: "content",
    _ArgumentsDelta: "arguments",
    _InputDelta: "input",
}
"""The channel of an item that each is of."""

CHANNELS: dict[str, tuple[str, str]] = {
    "output_text": ("text", "text"),
    "refusal": ("refusal", "refusal"),
    "reasoning_summary_text": ("summary", "text"),
    "reasoning_text": ("content", "text"),
    "function_call_arguments": ("arguments", "arguments"),
    "custom_tool_call_input": ("input", "input"),
}
"""By the second word of an event's type: the channel that its `delta` is a piece of, and the key of
the whole when it is done."""

decode_text_event = msgspec.json.Decoder(_TextDelta).decode
decode_delta_event = msgspec.json.Decoder(Piece).decode

PARTS = words("content_part reasoning_summary_part reasoning_part")
"""The second words of events about a part of an item."""

SILENT = PARTS | words(
    "web_search_call file_search_call code_interpreter_call code_interpreter_call_code "
    "image_generation_call mcp_call mcp_call_arguments mcp_list_tools shell_call_command "
    "shell_call_output_content apply_patch_call_operation_diff compaction"
)
"""The second words of events of which the item that they are about says all again."""


class _Event(msgspec.Struct):
    """An event of any type; which of its fields count, `type` says."""

    type: str = ""
    response: msgspec.Raw = _NOTHING
    item: msgspec.Raw = _NOTHING
    output_index: int | None = None
    item_id: str | None = None
    content_index: int = 0
    summary_index: int = 0
    delta: str = ""
    text: str = ""
    refusal: str = ""
    arguments: str = ""
    input: str = ""
    name: str = ""
    logprobs: msgspec.Raw = _NOTHING
    annotation: msgspec.Raw = _NOTHING
    part: msgspec.Raw = _NOTHING


class _Details(msgspec.Struct):
    """Why an answer is incomplete."""

    reason: str | None = None


class _Response(msgspec.Struct):
    """An answer: whole, or as far as it is when an event tells it."""

    id: Any = None
    model: Any = None
    status: str | None = None
    error: Any = None
    incomplete_details: _Details | None = None
    output: list[msgspec.Raw] | None = None
    output_text: str | None = None
    usage: dict[str, Any] | None = None


events = Lenient(_Event, words("sequence_number obfuscation annotation_index"))
responses = Lenient(
    _Response,
    # What it is about, and what was asked.
    words(
        "object created_at completed_at background billing content_filters context_management "
        "conversation copilot_usage frequency_penalty instructions max_output_tokens "
        "max_tool_calls metadata moderation parallel_tool_calls presence_penalty "
        "previous_response_id prompt prompt_cache_key prompt_cache_options "
        "prompt_cache_retention reasoning safety_identifier service_tier store stream "
        "temperature text tool_choice tool_usage tools top_logprobs top_p truncation user"
    ),
)
