"""What is carried from one format to another, and what is not: the one table of it.

`translate` goes by it, and docs/gateway-matrix.md is made of it. A request is judged by the columns
of the formats in which a service may be asked, an answer by those of the formats that callers
speak. For a format without a column, what it declares about itself counts.
"""

from collections.abc import Mapping
from typing import Literal, TypeAlias

import msgspec

from ..protocols import events as e
from ..protocols.dialect import words
from ..protocols.events import Event

__all__ = [
    "ANSWERS",
    "BUDGETS",
    "COLUMNS",
    "DETAILS",
    "EVENTS",
    "FIELDS",
    "FORM",
    "FREE",
    "HINTS",
    "IMPLIED",
    "MARKS",
    "NEEDS_MAX_TOKENS",
    "NEUTRAL",
    "PAIRS",
    "PREFILL",
    "REQUESTS",
    "SCHEMES",
    "STOPS",
    "TEMPERATURES",
    "TOOL_NAMES",
    "TOP_K",
    "TYPES",
    "Row",
    "Rule",
    "field_of",
    "rule_of",
]

Rule: TypeAlias = Literal["=", "-", "?", "x"]
"""`=`: it is said. `-`: it is left out, and counted. `?`: it is refused, or left out and counted if
the operator allows that. `x`: it is refused."""

COLUMNS: tuple[str, ...] = (
    "openai_chat",
    "openai_responses",
    "anthropic",
    "gemini",
    "ollama",
    "cohere",
    "bedrock",
    "mistral",
)
"""The formats of the columns, in their order."""


class Row(msgspec.Struct, frozen=True):
    """A concept. `name` is what metrics and an operator's `allow` call it; `covers` are the fields
    of the core that hold it, `title` and `note` are for readers."""

    name: str
    title: str
    covers: frozenset[str]
    rules: Mapping[str, Rule]
    note: str = ""


def _rows(*rows: tuple[str, str, str, str, str]) -> dict[str, Row]:
    return {name: _row(name, *rest) for name, *rest in rows}


def _row(row: str, covers: str, rules: str, title: str, note: str = "") -> Row:
    told: list[Rule] = [_RULES[word] for word in rules.split()]
    given = dict(zip(COLUMNS, told, strict=True))
    return Row(row, title, words(covers), given, note)


_RULES: dict[str, Rule] = {"=": "=", "-": "-", "?": "?", "x": "x"}
_ALL = "= = = = = = = ="

# The order of the rules is that of COLUMNS: C R A G O H B M.
REQUESTS: dict[str, Row] = _rows(
    ("model", "Chat.model", _ALL, "model", "the name that the target has"),
    ("stream", "Chat.stream", _ALL, "streamed or whole", ""),
    (
        *("system", "Chat.messages Message.role Message.content", _ALL),
        *("roles; system messages at the start", "a developer is a system where there is no other"),
    ),
    (
        *("system_midway", "", "= = = ? = = ? ="),
        *("a system message later on", "never moved; if allowed, the user says it"),
    ),
    (
        *("empty_message", "", "= - - - = = - ="),
        *("a message without content", "one of the user is refused where it can't be said"),
    ),
    ("text", "TextPart TextPart.text", _ALL, "text", "several are joined where there is only one"),
    ("image", "ImagePart ImagePart.url", _ALL, "picture by its bytes", ""),
    ("image_type", "", "= = x = = = x =", "picture of a type but jpeg, png, gif, webp", ""),
    ("image_address", "", "= = = = x = x =", "picture by its address", "never fetched here"),
    ("image_detail", "ImagePart.detail", "= = - - - = - =", "detail of a picture", ""),
    ("image_said", "", "- - - = - - - -", "picture or file in an assistant's message", ""),
    (
        *("document", "FilePart FilePart.url FilePart.media_type FilePart.name", "= = = = x x = ="),
        *("PDF by its bytes", ""),
    ),
    (
        *("documents", "", "? ? = = ? ? = ?"),
        *("text document", "if allowed: a text, its name above it"),
    ),
    ("document_type", "", "= = x = x x = =", "document of another type", ""),
    ("document_address", "", "x = = = x x = =", "document by its address", ""),
    ("audio", "", "= = x = = x = =", "audio by its bytes", ""),
    ("video", "", "x x x = x x = x", "video by its bytes", ""),
    ("media_address", "", "x x x = x x = x", "audio or video by its address", ""),
    ("media_name", "", "- - - = - - - -", "name of audio or video", ""),
    ("refusal", "RefusalPart RefusalPart.text", _ALL, "refusal in the history", "or as text"),
    (
        *("reasoning", "ReasoningPart ReasoningPart.text", "= - - - = = - ="),
        *("thought in the history", "chat completions: if the provider has a field for it"),
    ),
    (
        "opaque",
        "Opaque Opaque.native TextPart.native ReasoningPart.native RefusalPart.native "
        "ImagePart.native FilePart.native ToolCall.native",
        "- - - - - - - -",
        "state of another service in the history",
        "a service gets its own back: see sealing",
    ),
    ("call", "ToolCall ToolCall.name", _ALL, "tool call", ""),
    ("call_id", "ToolCall.id Message.tool_call_id", _ALL, "id of a call", "replaced by a hash"),
    (
        *("call_arguments", "ToolCall.arguments", "= = x x x = x ="),
        *("arguments that are not an object", ""),
    ),
    ("custom_call", "ToolCall.custom", "= = x x x x x x", "call with free text", ""),
    (
        *("tools", "Chat.tools Tool Tool.name Tool.description Tool.parameters", _ALL),
        *("tools", "a name that the service does not take is refused"),
    ),
    ("own_tools", "Tool.native", "? ? ? ? ? ? ? ?", "tool in a format's own words", ""),
    (
        "strict",
        "Tool.strict",
        "= = = ? ? = = =",
        "strict",
        "Cohere: for all tools or none, else if allowed",
    ),
    ("tool_choice", "Chat.tool_choice", "= = = = x = = =", "a tool must be called", ""),
    ("tool_choice_none", "", "= = = = = = x =", "no tool, after calls", ""),
    ("parallel", "Chat.parallel", "= = = ? ? ? ? =", "one call at a time", ""),
    (
        "failed",
        "Message.failed",
        "- - = = - - = -",
        "the tool failed",
        "where there is no flag: `Error: ` before the text",
    ),
    (
        *("result_images", "", "? = = = x x = ?"),
        *("picture in a tool's result", "if allowed: in a user's message after the results"),
    ),
    ("result_files", "", "x = = = x x = x", "file in a tool's result", ""),
    ("result_name", "", _ALL, "function of a result without its call", "Gemini needs its name"),
    ("name", "Message.name", "= ? ? ? ? ? ? ?", "name of a participant", ""),
    ("prefix", "Message.extra", "= x x x x x x =", "prefix, partial of a message", ""),
    (
        *("max_tokens", "Chat.max_tokens", _ALL),
        *("most tokens", "the target's if the caller says none"),
    ),
    (
        "temperature",
        "Chat.temperature",
        _ALL,
        "temperature",
        "up to 1, 1.5 or 2: more is refused",
    ),
    ("top_p", "Chat.top_p", _ALL, "top_p", ""),
    ("top_k", "Chat.top_k", "= ? = = = = = =", "top_k", ""),
    (
        "stop",
        "Chat.stop",
        "= ? = = = = = =",
        "stop sequences",
        "up to 4 or 5 of some: more are refused",
    ),
    ("seed", "Chat.seed", "= ? ? = = = ? =", "seed", ""),
    ("n", "Chat.n", "= x x = x x x =", "several answers", "not by several calls"),
    ("presence_penalty", "Chat.presence_penalty", "= x x = = = x =", "presence penalty", ""),
    ("frequency_penalty", "Chat.frequency_penalty", "= x x = = = x =", "frequency penalty", ""),
    (
        *("logprobs", "Chat.logprobs", "= = ? = = = ? ="),
        *("log probabilities", "Cohere: without alternatives, else if allowed"),
    ),
    ("schema", "Chat.schema", _ALL, "JSON Schema of the answer", ""),
    ("json_mode", "", "= = ? = = = ? =", "any JSON", ""),
    ("schema_with_tools", "", "= = = = = x = =", "a schema beside tools", ""),
    (
        *("effort", "Chat.effort", _ALL),
        *("effort", "a word that is not known: if allowed, the nearest lower one"),
    ),
    (
        *("effort_from_budget", "", "? ? ? ? ? ? ? ?"),
        *("thinking budget in tokens", "if allowed: to 2048 low, to 8192 medium, else high"),
    ),
    (
        "cache",
        "TextPart.cache ImagePart.cache FilePart.cache ToolCall.cache Tool.cache",
        "= - = - - - = -",
        "cache mark",
        "chat completions: if the provider takes them; up to 4",
    ),
    ("hints", "", "- - - - - - - -", "what affects only cost, speed or display", ""),
    (
        *("unknown", "Chat.extra", "? ? ? ? ? ? ? ?"),
        *("other field", "pairs of formats share some; allowed by its own name, or by `unknown`"),
    ),
)
"""What a request may have, by the format in which a service is asked."""

ANSWERS: dict[str, Row] = _rows(
    ("start", "Start", _ALL, "id and model", "the caller's name of the model"),
    ("said", "Text", _ALL, "text", ""),
    ("thought", "Reasoning", _ALL, "thought", ""),
    (
        "refused",
        "Refusal",
        _ALL,
        "refusal",
        "as text where there is nothing else; Anthropic: and as the reason",
    ),
    ("called", "ToolCallStart ToolCallDelta ToolCallEnd", _ALL, "tool call", ""),
    ("called_custom", "", "= = - - - - - -", "call with free text", ""),
    ("cut_call", "", "= = = - - = = =", "call that is not complete", "the reason is then length"),
    ("picture", "Image", "- = - = - - - -", "picture", ""),
    ("source", "Citation", "= = = = - = = -", "source", ""),
    ("state", "Native", "= = = = - - = -", "state of the service", "sealed in a field"),
    ("token_logprobs", "LogProbs", "= = - = = = - =", "log probabilities", ""),
    ("token_logprobs_of", "", "= - - = = - - =", "those of refusals and thoughts", ""),
    ("usage", "Usage", _ALL, "usage", ""),
    ("finish", "Finish", _ALL, "finish reason", "by its kind"),
    ("choices", "", "= - - = - - - =", "answers after the first", ""),
    ("unrecognized", "Unrecognized", "- - - - - - - -", "what was not understood", "counted"),
    ("end", "End", _ALL, "end", ""),
)
"""What an answer may have, by the format that the caller speaks."""

EVENTS: dict[type[Event], str] = {
    e.Start: "start",
    e.Text: "said",
    e.Reasoning: "thought",
    e.Refusal: "refused",
    e.ToolCallStart: "called",
    e.ToolCallDelta: "called",
    e.ToolCallEnd: "called",
    e.Image: "picture",
    e.Citation: "source",
    e.Native: "state",
    e.LogProbs: "token_logprobs",
    e.Usage: "usage",
    e.Finish: "finish",
    e.Unrecognized: "unrecognized",
    e.End: "end",
}
"""The row of each event."""


def rule_of(name: str, column: str) -> Rule:
    """The rule of a concept. Formats without a column say what they take themselves."""
    row = REQUESTS.get(name) or ANSWERS[name]
    return row.rules.get(column, "=")


# What callers call the options of a chat.

_DASH = "-"
_SPELT = """
max_tokens max_tokens max_output_tokens max_tokens generationConfig.maxOutputTokens options.num_predict max_tokens inferenceConfig.maxTokens max_tokens
temperature temperature temperature temperature generationConfig.temperature options.temperature temperature inferenceConfig.temperature temperature
top_p top_p top_p top_p generationConfig.topP options.top_p p inferenceConfig.topP top_p
top_k top_k - top_k generationConfig.topK options.top_k k additionalModelRequestFields top_k
stop stop - stop_sequences generationConfig.stopSequences options.stop stop_sequences inferenceConfig.stopSequences stop
seed seed - - generationConfig.seed options.seed seed - random_seed
n n - - generationConfig.candidateCount - - - n
presence_penalty presence_penalty - - generationConfig.presencePenalty options.presence_penalty presence_penalty - presence_penalty
frequency_penalty frequency_penalty - - generationConfig.frequencyPenalty options.frequency_penalty frequency_penalty - frequency_penalty
logprobs logprobs top_logprobs - generationConfig.responseLogprobs logprobs logprobs - logprobs
tool_choice tool_choice tool_choice tool_choice toolConfig - tool_choice toolConfig.toolChoice tool_choice
parallel parallel_tool_calls parallel_tool_calls tool_choice.disable_parallel_tool_use - - - - parallel_tool_calls
schema response_format text.format output_config.format generationConfig.responseMimeType format response_format outputConfig response_format
effort reasoning_effort reasoning.effort output_config.effort generationConfig.thinkingConfig think thinking outputConfig.effort reasoning_effort
messages messages input messages contents messages messages messages messages
tools tools tools tools tools tools tools toolConfig.tools tools
"""  # noqa: E501  a table: one line for each option
FIELDS: dict[str, dict[str, str]] = {
    name: {column: word for column, word in zip(COLUMNS, spelt, strict=True) if word != _DASH}
    for name, *spelt in map(str.split, _SPELT.strip().splitlines())
}
"""The fields of requests, by option and format."""


def field_of(name: str, column: str) -> str:
    """The field in which a format says `name`: in a caller's words."""
    return FIELDS[name].get(column, name)


# Further fields. A path `a.b` is the field `b` of the object `a`.

_SHARED = words(
    "prompt_cache_key prompt_cache_retention metadata user service_tier store safety_identifier"
)
_FORMAT = {"response_format.json_schema": "text.format"}
PAIRS: dict[tuple[str, str], dict[str, str]] = {
    ("openai_chat", "openai_responses"): {path: path for path in _SHARED} | _FORMAT,
    ("openai_responses", "openai_chat"): {path: path for path in _SHARED}
    | {theirs: ours for ours, theirs in _FORMAT.items()},
    ("openai_chat", "mistral"): {
        path: path
        for path in words("metadata prediction prompt_cache_key response_format.json_schema")
    },
}
"""Fields with one meaning in two formats: their paths in the first, and in the second."""
PAIRS["mistral", "openai_chat"] = PAIRS["openai_chat", "mistral"]

HINTS: dict[str, frozenset[str]] = {
    "openai_chat": words(
        "response_format.json_schema messages.annotations messages.cache_control "
        "messages.content.cache_control"
    ),
    "openai_responses": words("text.format.name text.format.strict text.format.description"),
    "gemini": words("generationConfig.thinkingConfig.includeThoughts"),
    "mistral": words("response_format.json_schema"),
}
"""Fields that a gateway may drop, beside the `hints` of a format: how strictly a schema is followed
is up to each service, what is shown of a thought up to the format, and marks for a cache of prompts
(OpenRouter's) change no answer."""

IMPLIED: dict[str, tuple[object, ...]] = {
    "thinking.type": ("adaptive", "enabled"),
    "generationConfig.thinkingConfig.thinkingBudget": (-1,),
    "modalities": (["text"],),
    "generationConfig.responseModalities": (["TEXT"],),
    "generationConfig.responseMimeType": ("text/plain",),
}
"""Values of fields that ask for what happens anyway."""

BUDGETS = {
    "anthropic": "thinking.budget_tokens",
    "gemini": "generationConfig.thinkingConfig.thinkingBudget",
    "cohere": "thinking.token_budget",
}
"""Where a format has a thinking budget."""

FORM = frozenset(("openai_chat", "mistral"))
"""The formats of which `Message.extra` has the form."""
PREFILL = frozenset(("prefix", "partial"))
"""Its keys that ask to go on with a message."""

FREE = words("logit_bias metadata labels requestMetadata")
"""Objects whose keys the caller chooses."""

# Values

NEUTRAL: dict[str, object] = {
    "n": 1,
    "parallel": True,
    "presence_penalty": 0,
    "frequency_penalty": 0,
    "top_p": 1,
}
"""Options that say nothing if they have this value."""

TEMPERATURES: dict[str, float] = {
    "openai_chat": 2,
    "openai_responses": 2,
    "anthropic": 1,
    "gemini": 2,
    "cohere": 1,
    "bedrock": 1,
    "mistral": 1.5,
}
"""The highest temperature."""

NEEDS_MAX_TOKENS = ("anthropic",)
"""The formats that can't do without."""

DETAILS: dict[str, tuple[str, ...]] = {"cohere": ("auto", "low", "high")}
"""The details of pictures that a format knows; else all."""

TOP_K: dict[str, frozenset[str]] = {"bedrock": frozenset(("anthropic", "amazon"))}
"""The vendors whose models take `top_k`, where those of many are asked."""

STOPS: dict[str, int] = {"openai_chat": 4, "gemini": 5, "cohere": 5}
"""The most stop sequences."""

MARKS: dict[str, int] = {"anthropic": 4, "bedrock": 4}
"""The most cache marks."""

_PLAIN = r"[a-zA-Z0-9_-]{1,64}"
TOOL_NAMES: dict[str, str] = {
    "openai_chat": _PLAIN,
    "openai_responses": _PLAIN,
    "anthropic": r"[a-zA-Z0-9_-]{1,128}",
    "gemini": r"[a-zA-Z_][a-zA-Z0-9_.:-]{0,127}",
    "cohere": r"[a-zA-Z_][a-zA-Z0-9_]*",
    "bedrock": _PLAIN,
    "mistral": _PLAIN,
}
"""What the name of a tool may be: a regular expression."""

_WEB = ("http://", "https://")
SCHEMES: dict[str, tuple[str, ...]] = {
    "openai_chat": _WEB,
    "openai_responses": _WEB,
    "anthropic": _WEB,
    "gemini": ("https://", "gs://"),
    "cohere": _WEB,
    "bedrock": ("s3://",),
    "mistral": _WEB,
}
"""How the address of a picture or a file may begin."""

_PICTURES = frozenset(("image/jpeg", "image/png", "image/gif", "image/webp"))
_AUDIO = frozenset(("audio/wav", "audio/mpeg"))
_BEDROCK_AUDIO = _AUDIO | words(
    "audio/flac audio/ogg audio/opus audio/aac audio/mp4 audio/webm audio/x-matroska"
)
_BEDROCK_VIDEO = words(
    "video/x-matroska video/quicktime video/mp4 video/webm video/x-flv video/mpeg "
    "video/x-ms-wmv video/3gpp"
)
_OFFICE = "application/vnd.openxmlformats-officedocument."
_TEXTS = words("text/csv text/html text/plain text/markdown")
_DOCUMENTS = words("application/msword application/vnd.ms-excel") | {
    f"{_OFFICE}wordprocessingml.document",
    f"{_OFFICE}spreadsheetml.sheet",
}
TYPES: dict[tuple[str, str], frozenset[str]] = {
    ("image", ""): _PICTURES,
    ("audio", "openai_chat"): _AUDIO,
    ("audio", "openai_responses"): _AUDIO,
    ("audio", "bedrock"): _BEDROCK_AUDIO,
    ("video", "bedrock"): _BEDROCK_VIDEO,
    ("media_address", "bedrock"): _BEDROCK_AUDIO | _BEDROCK_VIDEO,
    ("documents", "anthropic"): frozenset(("text/plain",)),
    ("documents", "bedrock"): _TEXTS,
    ("document_type", "bedrock"): _DOCUMENTS,
    ("document_address", "anthropic"): frozenset(("", "application/pdf")),
    ("document_address", "bedrock"): _DOCUMENTS | _TEXTS | {"application/pdf"},
}
"""The media types that a format takes, by row and column; where none are told, any."""
