"""What an answer of Cohere's looks like on the wire: the fields that are understood.

The pieces of text and thoughts, of which most of a stream consists, are decoded strictly first, as
that is quick. Everything else is decoded field by field, so that nothing of it is lost.
"""

from typing import Any, Generic, TypeVar

import msgspec

from ...toolkit.json import Lenient

__all__ = [
    "USUAL",
    "answers",
    "calls",
    "contents",
    "deltas",
    "ends",
    "events",
    "functions",
    "logprobs",
    "messages",
    "texts",
    "thoughts",
]

USUAL = "content-delta"
"""The type of most events."""

_NOTHING = msgspec.Raw()


class _Said(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    text: str


class _Thought(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    text: str = msgspec.field(name="thinking")


_C = TypeVar("_C")


class _PlainMessage(msgspec.Struct, Generic[_C], gc=False, forbid_unknown_fields=True):
    content: _C


class _PlainDelta(msgspec.Struct, Generic[_C], gc=False, forbid_unknown_fields=True):
    message: _PlainMessage[_C]


class _Piece(
    msgspec.Struct,
    Generic[_C],
    tag=USUAL,
    tag_field="type",
    gc=False,
    forbid_unknown_fields=True,
):
    """What most events are: some text, or some of a thought."""

    index: int
    delta: _PlainDelta[_C]


texts = msgspec.json.Decoder(_Piece[_Said])
thoughts = msgspec.json.Decoder(_Piece[_Thought])


class _Event(msgspec.Struct):
    """An event of any type."""

    type: str = ""
    id: Any = None
    index: int | None = None
    delta: msgspec.Raw = _NOTHING
    logprobs: msgspec.Raw = _NOTHING


class _Delta(msgspec.Struct):
    """What most events say: a piece of the message."""

    message: msgspec.Raw = _NOTHING


class _End(_Delta):
    """What the last event says."""

    finish_reason: str = ""
    usage: dict[str, Any] | None = None
    error: Any = None
    error_type: str = ""


class _Answer(_End):
    """An answer that is not streamed. Old ones have their id by another name."""

    id: Any = None
    generation_id: Any = None
    logprobs: msgspec.Raw = _NOTHING


class _Message(msgspec.Struct):
    """A message, or a piece of one: then the fields are an object each, not a list."""

    role: Any = None
    content: msgspec.Raw = _NOTHING
    tool_plan: str = ""
    tool_calls: msgspec.Raw = _NOTHING
    citations: msgspec.Raw = _NOTHING


class _Content(msgspec.Struct):
    type: str = ""
    text: str = ""
    thinking: str = ""


class _Call(msgspec.Struct):
    id: str = ""
    type: Any = None
    function: msgspec.Raw = _NOTHING


class _Function(msgspec.Struct):
    name: str = ""
    arguments: msgspec.Raw = _NOTHING


class _LogProb(msgspec.Struct):
    text: str = ""
    token_ids: list[Any] = []
    logprobs: list[float] = []


events = Lenient(_Event)
deltas = Lenient(_Delta)
ends = Lenient(_End)
answers = Lenient(_Answer)
messages = Lenient(_Message)
contents = Lenient(_Content)
calls = Lenient(_Call)
functions = Lenient(_Function)
logprobs = Lenient(_LogProb)
