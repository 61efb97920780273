"""What an answer of Converse looks like on the wire: the fields that are understood.

The pieces of text, thoughts and arguments, of which most of a stream consists, are decoded strictly
first, as that is quick. Everything else is decoded field by field, so that nothing of it is lost.

Source: botocore's model of `bedrock-runtime`, 2023-09-30.
"""

from typing import Any, TypeAlias

import msgspec

from ...dialect import words
from ...toolkit.json import Lenient

__all__ = [
    "Call",
    "Fields",
    "Usual",
    "calls",
    "decode_fields",
    "decode_text",
    "events",
    "messages",
    "metadata",
    "usuals",
    "wholes",
]

Fields: TypeAlias = dict[str, msgspec.Raw]
"""A JSON object whose values are bytes, as they came."""

_NOTHING = msgspec.Raw()


class _Input(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    """A piece of the JSON of a tool's input."""

    input: str


class _Thought(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    """A piece of a thought. Its signature is rare."""

    text: str


class _Delta(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    """A usual piece: exactly one of these."""

    text: str | None = None
    toolUse: _Input | None = None  # noqa: N815  as the wire spells it
    reasoningContent: _Thought | None = None  # noqa: N815


class _TextDelta(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    text: str


class _TextEvent(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    """A piece of a text. `p` is padding."""

    delta: _TextDelta
    contentBlockIndex: int | None = None  # noqa: N815
    p: Any = None


class Usual(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    """A usual `contentBlockDelta`. `p` is padding."""

    delta: _Delta
    contentBlockIndex: int | None = None  # noqa: N815
    p: Any = None


decode_text = msgspec.json.Decoder(_TextEvent).decode
usuals = msgspec.json.Decoder(Usual)
decode_fields = msgspec.json.Decoder(Fields)


class _Event(msgspec.Struct):
    """An event of any type but `metadata`."""

    role: Any = None
    contentBlockIndex: int | None = None  # noqa: N815
    start: msgspec.Raw = _NOTHING
    delta: msgspec.Raw = _NOTHING
    stopReason: str = ""  # noqa: N815
    additionalModelResponseFields: msgspec.Raw = _NOTHING  # noqa: N815


class Call(msgspec.Struct):
    """A call of a tool of the client's. In a stream its input comes later."""

    toolUseId: str = ""  # noqa: N815
    name: str = ""
    type: Any = None
    input: msgspec.Raw = _NOTHING


class _Metadata(msgspec.Struct):
    """What is told about an answer."""

    usage: dict[str, Any] | None = None
    metrics: Any = None
    performanceConfig: Any = None  # noqa: N815
    serviceTier: Any = None  # noqa: N815
    p: Any = None


class _Whole(_Metadata):
    """A whole answer."""

    output: msgspec.Raw = _NOTHING
    stopReason: str = ""  # noqa: N815
    additionalModelResponseFields: msgspec.Raw = _NOTHING  # noqa: N815


class _Output(msgspec.Struct):
    content: list[msgspec.Raw] | None = None
    role: Any = None


calls = Lenient(Call)
events = Lenient(_Event, words("p"))
metadata = Lenient(_Metadata)
wholes = Lenient(_Whole)
messages = Lenient(_Output)
