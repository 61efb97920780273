"""What a chat completion looks like on the wire: the fields that are understood.

Deltas and choices are decoded strictly first, as that is quick. One that has a key that is not
known, or a value of an unexpected type, is decoded again, leniently: so nothing of it is lost.
"""

from typing import Any

import msgspec

from ...dialect import words
from ...errors import Malformed
from ...toolkit.json import Lenient, decode_json

__all__ = [
    "IGNORES",
    "Chunk",
    "Custom",
    "Delta",
    "Fragment",
    "Function",
    "OddChoice",
    "OddFragment",
    "WireChoice",
    "decode_chunk",
    "decode_fragment",
    "decode_loosely",
]

_Ignored = msgspec.Raw
_NOTHING = msgspec.Raw()  # not None: of `Raw | None` msgspec takes null only


class Function(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    """The function of a tool call, or a piece of it."""

    name: str | None = None
    arguments: str | dict[str, Any] | None = None


class Custom(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    """What stands there for a tool that takes free text."""

    name: str | None = None
    input: str | None = None


class Fragment(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    """A tool call, or a piece of one."""

    index: int | None = None
    id: str | None = None
    type: _Ignored = _NOTHING
    function: Function | None = None
    custom: Custom | None = None


class OddFragment(Fragment, gc=False):
    """A fragment that was decoded leniently. `unknown`: what is not understood, as it came, by its
    key and the key of the object that it stands in."""

    unknown: list[tuple[str, str, bytes]] = []


class Delta(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    """A `delta`, or a whole `message`."""

    content: str | list[msgspec.Raw] | dict[str, msgspec.Raw] | None = None
    reasoning: str | None = None
    reasoning_content: str | None = None
    reasoning_text: str | None = None
    reasoning_opaque: str | None = None
    tool_calls: list[msgspec.Raw] | None = None
    reasoning_details: list[msgspec.Raw] | None = None
    refusal: str | None = None
    function_call: Function | None = None
    annotations: list[msgspec.Raw] | None = None
    images: list[msgspec.Raw] | None = None
    role: _Ignored = _NOTHING
    type: _Ignored = _NOTHING
    id: _Ignored = _NOTHING
    content_filter_results: _Ignored = _NOTHING


class WireChoice(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    """A choice of a chunk, or of a whole answer."""

    index: int | None = None
    delta: Delta | None = None
    finish_reason: str | None = None
    logprobs: dict[str, msgspec.Raw] | None = None
    message: Delta | None = None
    text: str | None = None
    stop_reason: Any = None
    usage: Any = None
    error: Any = None
    native_finish_reason: Any = None
    content_filter_results: _Ignored = _NOTHING
    matched_stop: _Ignored = _NOTHING


class OddChoice(WireChoice, gc=False):
    """A choice that was decoded leniently. `unknown`: what is not understood, as it came, by its
    place below the choice."""

    unknown: list[tuple[str, bytes]] = []


class Chunk(msgspec.Struct, gc=False):
    """A chunk, or a whole answer."""

    id: Any = None
    model: Any = None
    choices: list[WireChoice] | None = None
    usage: Any = None
    error: Any = None
    x_groq: Any = None
    base_resp: Any = None
    citations: Any = None
    search_results: Any = None
    web_search: Any = None
    images: Any = None
    related_questions: Any = None


class _LooseChunk(msgspec.Struct, gc=False):
    id: Any = None
    model: Any = None
    choices: list[msgspec.Raw] | None = None
    usage: Any = None
    error: Any = None
    x_groq: Any = None
    base_resp: Any = None
    citations: Any = None
    search_results: Any = None
    web_search: Any = None
    images: Any = None
    related_questions: Any = None


class _LooseChoice(msgspec.Struct, gc=False):
    index: int | None = None
    delta: msgspec.Raw = _NOTHING
    finish_reason: str | None = None
    logprobs: dict[str, msgspec.Raw] | None = None
    message: msgspec.Raw = _NOTHING
    text: str | None = None
    stop_reason: Any = None
    usage: Any = None
    error: Any = None
    native_finish_reason: Any = None


class _LooseFragment(msgspec.Struct, gc=False):
    index: int | None = None
    id: str | None = None
    function: msgspec.Raw = _NOTHING
    custom: msgspec.Raw = _NOTHING


IGNORES = words(
    "id object created model system_fingerprint service_tier obfuscation p provider "
    "stats timings prompt_filter_results content_filter_results role type index "
    "native_finish_reason matched_stop"
)
"""Keys of choices and deltas that say nothing of the content."""

_chunk = msgspec.json.Decoder(Chunk)
decode_chunk = _chunk.decode
_decode_fragment = msgspec.json.Decoder(Fragment).decode
_loose_chunk = Lenient(_LooseChunk)
_loose_choice = Lenient(_LooseChoice, IGNORES - {"index", "native_finish_reason"})
_loose_delta = Lenient(Delta, IGNORES)
_loose_fragment = Lenient(_LooseFragment, frozenset(("type",)))
_loose_function = Lenient(Function)
_loose_custom = Lenient(Custom)


def decode_loosely(payload: bytes) -> Chunk:
    """A chunk with what is not understood of its choices. Raises Malformed if it is not an
    object."""
    try:
        return decode_json(_chunk, payload)
    except Malformed:
        pass
    loose, unknown = _loose_chunk.decode(payload)
    choices = None if loose.choices is None else [_choice(bytes(raw)) for raw in loose.choices]
    if (alone := dict(unknown).get("choices")) is not None:  # where a list is due
        choices = [_choice(alone)]
    fields = {key: getattr(loose, key) for key in loose.__struct_fields__}
    return Chunk(**{**fields, "choices": choices})


def _choice(payload: bytes) -> WireChoice:
    if payload[:1] != b"{":
        return OddChoice(unknown=[("", payload)])
    loose, unknown = _loose_choice.decode(payload)
    choice = OddChoice(
        loose.index,
        None,
        loose.finish_reason,
        loose.logprobs,
        None,
        loose.text,
        loose.stop_reason,
        loose.usage,
        loose.error,
        loose.native_finish_reason,
        unknown=unknown,
    )
    for key in ("delta", "message"):
        raw = bytes(getattr(loose, key))
        if raw[:1] == b"{":
            delta, more = _loose_delta.decode(raw)
            setattr(choice, key, delta)
            unknown += [(f"{key}.{name}", value) for name, value in more]
        elif raw:
            unknown.append((key, raw))
    return choice


def decode_fragment(payload: bytes) -> Fragment:
    """A tool call, or a piece of one. Raises Malformed if it is not an object."""
    try:
        return _decode_fragment(payload)
    except (ValueError, RecursionError):
        pass  # what follows is outside: a UnicodeDecodeError holds the payload
    loose, further = _loose_fragment.decode(payload)
    fragment = OddFragment(loose.index, loose.id)
    unknown = fragment.unknown = [("", key, value) for key, value in further]
    for key, lenient in (("function", _loose_function), ("custom", _loose_custom)):
        raw = bytes(getattr(loose, key))
        if raw[:1] == b"{":
            inner, further = lenient.decode(raw)
            setattr(fragment, key, inner)
            unknown += [(key, name, value) for name, value in further]
        elif raw:
            unknown.append(("", key, raw))
    return fragment
