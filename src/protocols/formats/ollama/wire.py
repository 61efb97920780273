"""What a line of Ollama's looks like: the fields that are understood.

A line of nothing but text or thought, as most are, is decoded strictly first, which is quick.
Everything else is decoded field by field, so that nothing of it is lost.
"""

from typing import Any

import msgspec

from ...dialect import words
from ...events import TokenLogProb
from ...toolkit.json import Lenient

__all__ = [
    "DURATIONS",
    "PlainLine",
    "calls",
    "decode_text",
    "functions",
    "lines",
    "messages",
    "plain",
]

_NOTHING = msgspec.Raw()

DURATIONS = ("total_duration", "load_duration", "prompt_eval_duration", "eval_duration")
"""How long what took, in nanoseconds."""


# The fields are in the order of the wire, in which msgspec finds them soonest.


class _TextMessage(
    msgspec.Struct, gc=False, forbid_unknown_fields=True, tag_field="role", tag="assistant"
):
    content: str


class _TextLine(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    """What most lines are: some text."""

    model: str
    created_at: str
    message: _TextMessage
    done: bool


class _PlainMessage(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    role: str = ""
    content: str = ""
    thinking: str = ""


class PlainLine(msgspec.Struct, gc=False, forbid_unknown_fields=True, kw_only=True):
    """What most others are: some text, or some of a thought."""

    model: str = ""
    created_at: str = ""
    message: _PlainMessage
    done: bool = False


decode_text = msgspec.json.Decoder(_TextLine).decode
plain = msgspec.json.Decoder(PlainLine)


class _Line(msgspec.Struct):
    """A line of any kind. `response` and what is beside it are those of a completion
    (`/api/generate`), as `message` is that of a chat."""

    model: str = ""
    message: msgspec.Raw = _NOTHING
    response: str | None = None
    thinking: str | None = None
    tool_calls: list[msgspec.Raw] | None = None
    images: list[str] | None = None
    logprobs: list[TokenLogProb] | None = None
    done: bool | None = None
    done_reason: str | None = None
    error: Any = None
    prompt_eval_count: Any = None
    prompt_eval_cached_count: Any = None
    eval_count: Any = None
    total_duration: Any = None
    load_duration: Any = None
    prompt_eval_duration: Any = None
    eval_duration: Any = None


class _Message(msgspec.Struct):
    content: str | None = None
    thinking: str | None = None
    tool_calls: list[msgspec.Raw] | None = None
    images: list[str] | None = None


class _Call(msgspec.Struct):
    id: str = ""
    function: msgspec.Raw = _NOTHING


class _Function(msgspec.Struct):
    name: str = ""
    arguments: msgspec.Raw = _NOTHING


lines = Lenient(
    _Line,
    # `context`: the tokens of the conversation, which nobody needs who sends its messages.
    words("created_at context remote_model remote_host signin_url"),
)
messages = Lenient(_Message, words("role"))
calls = Lenient(_Call, words("type"))
functions = Lenient(_Function, words("index description"))
