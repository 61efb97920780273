"""The events of an answer.

An event is a frozen, tagged value: it can be compared, matched on, and written as one line of JSON
(`msgspec.json.encode(event)`), which `msgspec.json.decode(line, type=Event)` reads again. It is
what one unit on the wire says, never what one read from the network happened to contain.

Events of a choice have its `index`, which is 0 in formats without choices. A piece of a part has
the number of the part: `part` counts the parts of a choice in the order in which they begin. A part
is one text, one thought, one refusal, one call, one image. A new one begins at a border that the
wire draws, or, if it draws none, where the kind changes.
"""

from base64 import b64encode
from collections.abc import Callable
from typing import Any, Literal, TypeAlias

import msgspec

__all__ = [
    "Citation",
    "End",
    "Event",
    "Evidence",
    "Finish",
    "FinishKind",
    "Image",
    "LogProbs",
    "Native",
    "Reasoning",
    "Refusal",
    "Start",
    "Text",
    "TokenLogProb",
    "ToolCallDelta",
    "ToolCallEnd",
    "ToolCallStart",
    "Unrecognized",
    "Usage",
    "proves",
]

Evidence: TypeAlias = Literal["terminator", "finish", "body_end", "connection_close"]
"""What shows that an answer is complete, strongest first.

- `terminator`: the format's own end mark (`[DONE]`, `stream-end`, the last brace of a JSON object);
- `finish`: every choice has its finish reason, and there was no terminator;
- `body_end`: the format has neither, and HTTP said that the body is complete;
- `connection_close`: not even that; the connection was closed.
"""

_STRENGTH: dict[Evidence, int] = {
    "connection_close": 1,
    "body_end": 2,
    "finish": 3,
    "terminator": 4,
}


def proves(evidence: Evidence | None, required: Evidence) -> bool:
    """Whether `evidence` is at least as strong as what is `required`."""
    return evidence is not None and _STRENGTH[evidence] >= _STRENGTH[required]


def _snake(name: str) -> str:
    return "".join("_" + c.lower() if c.isupper() else c for c in name).lstrip("_")


# Copied into each class: a common base class would cost nothing, but mypy and pyright follow the
# class arguments of a direct subclass of Struct only.
_tag: Callable[[str], str] = _snake


class Start(msgspec.Struct, frozen=True, gc=False, tag=_tag, tag_field="event"):
    """The answer begins. At most one, before all others; formats without an id have none.

    Some services (Perplexity, Groq, avian) change id or model later; that is not reported.
    """

    id: str
    model: str


class Text(msgspec.Struct, frozen=True, gc=False, tag=_tag, tag_field="event"):
    """A piece of the answer's text."""

    text: str
    part: int = 0
    index: int = 0


class Reasoning(msgspec.Struct, frozen=True, gc=False, tag=_tag, tag_field="event"):
    """A piece of what the model thought before or while it answered."""

    text: str
    part: int = 0
    index: int = 0


class Refusal(msgspec.Struct, frozen=True, gc=False, tag=_tag, tag_field="event"):
    """A piece of the text in which the model declines to answer."""

    text: str
    part: int = 0
    index: int = 0


class ToolCallStart(msgspec.Struct, frozen=True, gc=False, tag=_tag, tag_field="event"):
    """The model begins to call a tool.

    `call` numbers the calls of a choice from 0 in the order in which they begin, whatever number
    the service gives them. `id` is empty if the service sends none. The arguments of a `custom`
    call are free text. `id` and `name` are as far as they have been received: `ToolCallEnd` has the
    whole.
    """

    call: int
    id: str
    name: str
    custom: bool = False
    part: int = 0
    index: int = 0


class ToolCallDelta(msgspec.Struct, frozen=True, gc=False, tag=_tag, tag_field="event"):
    """A piece of a tool call's arguments, which are JSON only when joined. What a service says
    again is left out; an empty object before the arguments is not: `ToolCallEnd` has them without
    it."""

    call: int
    arguments: str
    index: int = 0


class ToolCallEnd(msgspec.Struct, frozen=True, gc=False, tag=_tag, tag_field="event"):
    """A tool call is over: its choice, or the whole answer, has ended.

    `arguments` is all of them as the service sent them, or `{}` if it sent none. Run the tool only
    if `complete`: then the answer is shown to be whole, and the arguments are one strict JSON
    object (any text, if the call is `custom`).
    """

    call: int
    id: str
    name: str
    arguments: str
    complete: bool
    custom: bool = False
    index: int = 0


class Image(msgspec.Struct, frozen=True, gc=False, tag=_tag, tag_field="event"):
    """A whole picture. `url` is its address, `prompt` what was asked for."""

    data: bytes
    media_type: str
    url: str = ""
    prompt: str = ""
    part: int = 0
    index: int = 0

    @property
    def data_url(self) -> str:
        """The picture as a `data:` URL (RFC 2397) with the bytes in base64."""
        return f"data:{self.media_type};base64,{b64encode(self.data).decode()}"


class Citation(msgspec.Struct, frozen=True, gc=False, tag=_tag, tag_field="event"):
    """A source of the answer: one event for each citation on the wire.

    A citation without `start` is reported only once for each address (or `source`). `source` is the
    id of a document, `quote` the source's own words. `start` and `end` mark the text that it
    supports, in code points of the part's text. Empty or None if the service does not say.
    """

    url: str = ""
    title: str = ""
    source: str = ""
    quote: str = ""
    start: int | None = None
    end: int | None = None
    part: int = 0
    index: int = 0


class Native(msgspec.Struct, frozen=True, gc=False, tag=_tag, tag_field="event"):
    """How a format itself writes a part, if its other events are not enough to write it again: a
    signed thought, a tool that the service ran. It is also the value of such a part's `native`.

    `dialect` is the name of the format; empty means any format. `raw` is JSON, which is sent back
    to the same format unchanged, equal as a JSON value. If it is the only event of its part, only
    that format understands the part. In a field `native`, `part` and `index` are 0.
    """

    dialect: str
    raw: bytes
    part: int = 0
    index: int = 0


class TokenLogProb(msgspec.Struct, frozen=True, gc=False):
    """One token with the natural logarithm of its probability, and the likeliest alternatives.

    Some services say -9999.0 of a token that is very unlikely, and so do our server halves, which
    can't write `-inf`.
    """

    token: str
    logprob: float
    bytes: list[int] | None = None
    top_logprobs: list["TokenLogProb"] | None = None


class LogProbs(msgspec.Struct, frozen=True, gc=False, tag=_tag, tag_field="event"):
    """Log probabilities of tokens of the text, the refusal or the reasoning of a choice."""

    tokens: list[TokenLogProb]
    of: Literal["content", "refusal", "reasoning"] = "content"
    index: int = 0


class Usage(msgspec.Struct, frozen=True, gc=False, tag=_tag, tag_field="event"):
    """The cost of the answer so far, in tokens. Each `Usage` replaces the one before it.

    The names are those of the OpenTelemetry GenAI conventions (`gen_ai.usage.*`); None if the
    service does not say. `input_tokens` includes cached ones, and `output_tokens` includes
    reasoning; the counts of cache and reasoning are parts of these. `raw` is the service's own
    object.
    """

    input_tokens: int | None = None
    output_tokens: int | None = None
    total_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    cache_write_input_tokens: int | None = None
    reasoning_output_tokens: int | None = None
    raw: dict[str, Any] = {}


FinishKind: TypeAlias = Literal["stop", "length", "tool_call", "content_filter", "error", ""]
"""What a finish reason means, as the OpenTelemetry GenAI conventions spell it; empty for a word
that the format's own table does not have."""


class Finish(msgspec.Struct, frozen=True, gc=False, tag=_tag, tag_field="event"):
    """A choice is finished.

    `reason` is the service's own word, `kind` its meaning: a choice that stopped in order to call a
    tool has the kind `tool_call`, whatever the word. `detail` adds to it: the stop sequence, the
    category of a refusal, the message that came with the reason.
    """

    reason: str
    kind: FinishKind = ""
    detail: str = ""
    index: int = 0


class Unrecognized(msgspec.Struct, frozen=True, gc=False, tag=_tag, tag_field="event"):
    """An event, a line or a part that is not understood, byte for byte.

    `place` says where it was found if it is a piece of something that is understood
    (`choices[0].delta.reasoning_details`); it is empty for a whole event or line. An unknown part
    that is whole is a `Native` instead.
    """

    raw: bytes
    place: str = ""


class End(msgspec.Struct, frozen=True, gc=False, tag=_tag, tag_field="event"):
    """The answer is complete, as `evidence` shows. The last event of every success."""

    evidence: Evidence


Event: TypeAlias = (
    Start
    | Text
    | Reasoning
    | Refusal
    | ToolCallStart
    | ToolCallDelta
    | ToolCallEnd
    | Image
    | Citation
    | Native
    | LogProbs
    | Usage
    | Finish
    | Unrecognized
    | End
)
