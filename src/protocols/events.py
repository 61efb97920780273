"""What an answer is made of.

Every event is a frozen, tagged value: it can be compared, matched on, and written as one line of
JSON (`msgspec.json.encode(event)`), from which `msgspec.json.decode(line, type=Event)` makes it
again. An event is what one unit on the wire says, never what one read from the network brought.

Events that belong to a choice carry its `index`; a service that knows no choices uses 0. A piece of
a part carries the number of the part: `part` counts the parts of a choice in the order of their
beginning. A part is one text, one thought, one refusal, one call, one image. A new one begins where
the wire draws a border, or where the kind changes if the wire draws none.
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
- `finish`: every choice gave its finish reason, and no terminator came;
- `body_end`: the format has neither, and HTTP said that the body is complete;
- `connection_close`: not even that, the connection was closed.
"""

_STRENGTH: dict[Evidence, int] = {
    "connection_close": 1,
    "body_end": 2,
    "finish": 3,
    "terminator": 4,
}


def proves(evidence: Evidence | None, owed: Evidence) -> bool:
    """Whether `evidence` is at least as strong as what is `owed`."""
    return evidence is not None and _STRENGTH[evidence] >= _STRENGTH[owed]


def _snake(name: str) -> str:
    return "".join("_" + c.lower() if c.isupper() else c for c in name).lstrip("_")


# Copied into each class: a common base class would cost nothing, but mypy and pyright follow the
# class arguments of a direct subclass of Struct only.
_tag: Callable[[str], str] = _snake


class Start(msgspec.Struct, frozen=True, gc=False, tag=_tag, tag_field="event"):
    """The answer begins. Comes at most once, before all else; formats without an id have none.

    Later changes of id or model in mid-stream (seen at Perplexity, Groq, avian) are not reported.
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
    """A piece of the text by which the model declines to answer."""

    text: str
    part: int = 0
    index: int = 0


class ToolCallStart(msgspec.Struct, frozen=True, gc=False, tag=_tag, tag_field="event"):
    """The model begins to call a tool.

    `call` numbers the calls of a choice from 0 in the order of their beginning, whatever number
    the service gives them. `id` is empty where the service sends none. The arguments of a `custom`
    call are free text.
    """

    call: int
    id: str
    name: str
    custom: bool = False
    part: int = 0
    index: int = 0


class ToolCallDelta(msgspec.Struct, frozen=True, gc=False, tag=_tag, tag_field="event"):
    """A piece of a tool call's arguments, which are JSON only when joined."""

    call: int
    arguments: str
    index: int = 0


class ToolCallEnd(msgspec.Struct, frozen=True, gc=False, tag=_tag, tag_field="event"):
    """A tool call is over: its choice, or the whole answer, has ended.

    `arguments` is the whole of them as the service sent it, but `{}` where it sent nothing.
    Run the tool only if `complete`: the arguments are then one strict JSON object, or free text if
    the call is `custom`.
    """

    call: int
    id: str
    name: str
    arguments: str
    complete: bool
    custom: bool = False
    index: int = 0


class Image(msgspec.Struct, frozen=True, gc=False, tag=_tag, tag_field="event"):
    """A picture, whole. `url` is where it came from, `prompt` what was asked for."""

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
    """A source that the answer rests on: one event for each citation on the wire.

    A citation without `start` is reported only if its address (or `source`) was not yet. `source`
    is the id of a document, `quote` the source's own words. `start` and `end` are the text that it
    supports, in code points of the part's text. Empty or None where the service does not tell.
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
    """How a format itself writes a part whose other events are not enough to write it again: a
    signed thought, a tool that the service ran. It is also the `native` of such a part.

    `dialect` is the name of the format; empty is the format that is asked, whichever that is.
    `raw` is JSON. It goes back to the same format as it came, equal as a JSON value. If it is the
    only event of its part, only that format understands the part. As the value of a field, `part`
    and `index` are 0.
    """

    dialect: str
    raw: bytes
    part: int = 0
    index: int = 0


class TokenLogProb(msgspec.Struct, frozen=True, gc=False):
    """One token with its natural logarithmic probability, and the likeliest alternatives."""

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
    """What the answer cost so far, in tokens. Each `Usage` replaces the one before it.

    The names are those of the OpenTelemetry GenAI conventions (`gen_ai.usage.*`); None where the
    service does not say. `input_tokens` includes cached ones, `output_tokens` includes reasoning;
    the counts of cache and reasoning are parts of them. `raw` is all that the service said, in its
    own words.
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

    `reason` is the service's own word, `kind` what it means: a choice that stopped in order to call
    a tool has the kind `tool_call`, whatever the word. `detail` says more: the stop sequence, the
    category of a refusal, the message beside the reason.
    """

    reason: str
    kind: FinishKind = ""
    detail: str = ""
    index: int = 0


class Unrecognized(msgspec.Struct, frozen=True, gc=False, tag=_tag, tag_field="event"):
    """An event, a line or a part that is not understood, byte for byte as it came.

    `place` says where it stood, if it is a piece of something that was understood
    (`choices[0].delta.reasoning_details`); empty for a whole event or line. An unknown part that
    came whole is a `Native` instead.
    """

    raw: bytes
    place: str = ""


class End(msgspec.Struct, frozen=True, gc=False, tag=_tag, tag_field="event"):
    """The answer is complete, and this is what proves it. The last event of every success."""

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
