"""What an answer of generateContent looks like on the wire: the fields that are understood.

Each chunk of a stream is a whole response object. One that holds nothing but a piece of the first
candidate's text, as most do, is decoded strictly first, as that is quick. Everything else is
decoded field by field, so that nothing of it is lost.
"""

from typing import Any, Literal, TypeAlias

import msgspec

from ...dialect import words
from ...toolkit.json import Lenient

__all__ = [
    "MODIFIERS",
    "Candidate",
    "Counts",
    "Fields",
    "PartialArg",
    "WireCall",
    "blobs",
    "calls",
    "candidates",
    "chunks",
    "contents",
    "decode_fields",
    "decode_logprobs",
    "decode_plain",
    "named_chunks",
    "partial_args",
    "usages",
]

Fields: TypeAlias = dict[str, msgspec.Raw]
"""A JSON object whose values are bytes, as they came: a part."""

MODIFIERS = words(
    "thought mediaResolution media_resolution videoMetadata partMetadata audioMetadata"
)
"""Keys that say something about a part and are none by themselves."""

_NOTHING = msgspec.Raw()


class _PlainPart(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    text: str


class _PlainContent(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    parts: tuple[_PlainPart]
    role: str | None = None


class _PlainCandidate(
    msgspec.Struct, gc=False, forbid_unknown_fields=True, kw_only=True, rename="camel"
):
    content: _PlainContent
    finish_reason: None = None
    index: Literal[0] = 0
    safety_ratings: Any = None


class PlainChunk(msgspec.Struct, gc=False, kw_only=True, rename="camel"):
    """What most chunks are: some text of the first candidate, and the usage so far."""

    candidates: tuple[_PlainCandidate]
    usage_metadata: dict[str, int | str | list[Any]] = {}
    prompt_feedback: None = None
    error: None = None


class NamedChunk(PlainChunk):
    """The same, with what a first one has, too."""

    model_version: str | None = None
    response_id: str | None = None


class Counts(msgspec.Struct, gc=False, rename="camel"):
    """The counts of tokens in a `usageMetadata`."""

    prompt_token_count: int | None = None
    candidates_token_count: int | None = None
    total_token_count: int | None = None
    thoughts_token_count: int | None = None
    tool_use_prompt_token_count: int | None = None
    cached_content_token_count: int | None = None


decode_plain = msgspec.json.Decoder(PlainChunk).decode
named_chunks = msgspec.json.Decoder(NamedChunk)
usages = msgspec.json.Decoder(dict[str, Any])
decode_fields = msgspec.json.Decoder(Fields)


class _Chunk(msgspec.Struct, rename="camel"):
    """A response object. Its further keys are about the answer (`createTime`, `modelStatus`)."""

    candidates: list[msgspec.Raw] | None = None
    prompt_feedback: dict[str, Any] | None = None
    usage_metadata: msgspec.Raw = _NOTHING
    response_id: Any = None
    model_version: Any = None
    error: Any = None


class Candidate(msgspec.Struct, rename="camel"):
    """One of the answers, or a piece of it."""

    index: int | None = None
    content: msgspec.Raw = _NOTHING
    finish_reason: str | None = None
    finish_message: str | None = None
    citation_metadata: msgspec.Raw = _NOTHING
    grounding_metadata: msgspec.Raw = _NOTHING
    url_context_metadata: msgspec.Raw = _NOTHING
    logprobs_result: msgspec.Raw = _NOTHING


class _Content(msgspec.Struct):
    parts: list[msgspec.Raw] | None = None


class WireCall(msgspec.Struct, rename="camel"):
    """A `functionCall`: whole, or a fragment of one that `will_continue`."""

    id: str = ""
    name: str = ""
    args: msgspec.Raw = _NOTHING
    partial_args: list[msgspec.Raw] | None = None
    will_continue: bool = False


class PartialArg(msgspec.Struct, rename="camel"):
    """A piece of the arguments: the value at a path, or more of the text there."""

    json_path: str = ""
    string_value: str | None = None
    number_value: msgspec.Raw = _NOTHING
    bool_value: bool | None = None
    null_value: Any = None
    will_continue: bool = False


class _Blob(msgspec.Struct, rename="camel"):
    mime_type: str = ""
    data: str = ""


class _Token(msgspec.Struct, rename="camel"):
    token: str = ""
    log_probability: float = 0.0


class _Alternatives(msgspec.Struct):
    candidates: list[_Token] | None = None


class _LogProbs(msgspec.Struct, rename="camel"):
    chosen_candidates: list[_Token] | None = None
    top_candidates: list[_Alternatives] | None = None


chunks = Lenient(_Chunk)
candidates = Lenient(Candidate, words("safetyRatings avgLogprobs tokenCount"))
contents = Lenient(_Content, words("role"))
calls = Lenient(WireCall)
partial_args = Lenient(PartialArg)
blobs = Lenient(_Blob)
decode_logprobs = msgspec.json.Decoder(_LogProbs, strict=False)  # "-Infinity" is a number
