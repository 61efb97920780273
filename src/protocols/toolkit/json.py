"""JSON as services send it: decoded leniently where that is safe, never by guessing."""

import re
from types import NoneType, UnionType
from typing import Any, Generic, TypeGuard, TypeVar, Union, get_args, get_origin

import msgspec

from ..errors import Malformed

__all__ = [
    "Lenient",
    "count_in",
    "decode_json",
    "further_in",
    "is_cut_json",
    "is_list",
    "is_object",
    "is_whole_json",
    "objects_of",
    "text_of",
]

_T = TypeVar("_T")
_S = TypeVar("_S", bound=msgspec.Struct)


def decode_json(decoder: "msgspec.json.Decoder[_T]", payload: bytes) -> _T:
    """`payload` as `decoder`'s type. Invalid UTF-8 and lone surrogates become U+FFFD.

    Raises Malformed, with the payload, if it is not JSON or not of that type.
    """
    try:
        return decoder.decode(payload)
    except msgspec.ValidationError as error:
        if _TOO_LARGE not in str(error):
            raise Malformed(f"JSON of an unexpected shape ({error})", data=payload) from error
    except (ValueError, RecursionError):
        pass  # the error below must not refer to this one: a UnicodeDecodeError has the payload
    return _decode_repaired(decoder, payload)


def _decode_repaired(decoder: "msgspec.json.Decoder[_T]", payload: bytes) -> _T:
    """The same for JSON that needs repair (`_repaired`)."""
    try:
        return decoder.decode(_repaired(payload))
    except msgspec.ValidationError as error:
        problem = f"JSON of an unexpected shape ({error})"
    except (ValueError, RecursionError):
        problem = "not JSON"
    # Outside of `except`: a UnicodeDecodeError has the whole payload, in which no key is redacted.
    raise Malformed(problem, data=payload)


def _repaired(payload: bytes) -> bytes:
    """`payload` without what msgspec refuses but services send: half a character, split between
    tokens, and what Python's own `json` writes or some key holds that nobody reads (`_tame`)."""
    if not payload.isascii() or b"\\u" in payload:
        text = payload.decode(errors="replace").removeprefix("\ufeff")
        payload = _ESCAPE.sub(_whole_character, text.encode())
    return _tame(payload)


_DEEPEST = 64
"""How deep values may be nested in JSON that is nested too deeply for msgspec."""

_TOO_LARGE = "out of range"
"""How msgspec says of a number that it has no place for it."""

_TOKEN = re.compile(
    rb'"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)|[\[\]{}]|-?Infinity|NaN'
    rb"|-?\d++(?:\.\d++)?+(?:[eE][+-]?\d++)?+",
    re.DOTALL,
)


def _tame(payload: bytes) -> bytes:
    """`payload` with NaN, infinities, numbers that are too large, and what is nested very deeply as
    strings of the same text, and with the control characters in its strings escaped (quirk 87)."""
    pieces: list[bytes] = []
    done = depth = start = 0
    for token in _TOKEN.finditer(payload):
        word = token[0]
        if word in (b"{", b"["):
            depth += 1
            start = token.start() if depth == _DEEPEST else start
            continue
        if word in (b"}", b"]"):
            depth -= 1
            if depth != _DEEPEST - 1:
                continue
        elif word[:1] == b'"' and depth < _DEEPEST and _CONTROL.search(word):
            pieces += payload[done : token.start()], _ESCAPE_OR_CONTROL.sub(_escaped, word)
            done = token.end()
            continue
        elif word[:1] == b'"' or depth >= _DEEPEST or (word[-1:].isdigit() and _fits(word)):
            continue
        else:
            start = token.start()
        text = payload[start : token.end()].decode()
        pieces += payload[done:start], msgspec.json.encode(text)
        done = token.end()
    return b"".join((*pieces, payload[done:]))


_CONTROL = re.compile(rb"[\x00-\x1f]")
_ESCAPE_OR_CONTROL = re.compile(rb"\\.|[\x00-\x1f]", re.DOTALL)


def _escaped(found: "re.Match[bytes]") -> bytes:
    return found[0] if len(found[0]) == 2 else b"\\u%04x" % found[0][0]


def _fits(number: bytes) -> bool:
    try:
        _any.decode(number)
    except ValueError as error:  # else it is no number at all: that is for the decoder to say
        return _TOO_LARGE not in str(error)
    return True


# An escape. Six bytes are half a surrogate pair, twelve are a whole one.
_ESCAPE = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}(?:\\u[dD][c-fC-F][0-9a-fA-F]{2})?"
    rb"|u[dD][c-fC-F][0-9a-fA-F]{2}|.)",
    re.DOTALL,
)


def _whole_character(escape: "re.Match[bytes]") -> bytes:
    return b"\\ufffd" if len(escape[0]) == 6 else escape[0]


def is_object(value: object) -> TypeGuard[dict[str, Any]]:
    """Whether a decoded JSON value is an object."""
    return isinstance(value, dict)


def count_in(fields: object, *names: str) -> int | None:
    """The first of these `names` that is a count in `fields`; `1.0` and `"1"` are ones, too."""
    if not is_object(fields):
        return None
    for name in names:
        value = fields.get(name)
        if isinstance(value, str) and _DIGITS.fullmatch(value):
            value = int(value)
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
            return value
    return None


_DIGITS = re.compile("[0-9]{1,18}")


def is_list(value: object) -> TypeGuard[list[Any]]:
    """Whether a decoded JSON value is an array."""
    return isinstance(value, list)


def objects_of(value: object) -> list[dict[str, Any]]:
    """The objects in a JSON array; none if it is something else."""
    return [each for each in value if is_object(each)] if is_list(value) else []


def further_in(fields: dict[str, Any], *known: str) -> dict[str, Any]:
    """The fields of an object that are not `known`, and not null."""
    return {key: v for key, v in fields.items() if key not in known and v is not None}


def text_of(value: object, key: str) -> str:
    """The text that an object has by the name `key`; empty if there is none."""
    found = value.get(key) if is_object(value) else None
    return found if isinstance(found, str) else ""


class Lenient(Generic[_S]):
    """Decodes an object field by field, so that one of an unexpected type does not affect others.

    `type` is a struct whose fields all have defaults. `ignores` are keys to leave out.
    """

    def __init__(self, type: type[_S], ignores: frozenset[str] = frozenset()) -> None:
        self._type = type
        self._ignores = ignores
        self._fields: dict[str, tuple[str, msgspec.json.Decoder[Any]]] = {
            field.encode_name: (field.name, msgspec.json.Decoder(_but_none(field.type)))
            for field in msgspec.structs.fields(type)
        }

    def decode(self, payload: bytes) -> tuple[_S, list[tuple[str, bytes]]]:
        """The struct, and the keys that are not understood, or whose value is not, each with the
        bytes of the value. Null is left out. Raises Malformed if `payload` is not an object."""
        known: dict[str, Any] = {}
        unknown: list[tuple[str, bytes]] = []
        for key, raw in decode_json(_raw_object, payload).items():
            value = bytes(raw)
            if value == b"null" or key in self._ignores:
                continue
            try:
                name, decoder = self._fields[key]
                known[name] = _read(value, decoder)
            except (KeyError, Malformed):
                unknown.append((key, value))
        return self._type(**known), unknown


def _but_none(kind: Any) -> Any:
    """`kind` without None, as null is left out before; msgspec can't decode `Raw | None`."""
    if get_origin(kind) not in (Union, UnionType):
        return kind
    return Union[tuple(each for each in get_args(kind) if each is not NoneType)]  # noqa: UP007


def _read(payload: bytes, decoder: "msgspec.json.Decoder[_T]") -> _T:
    """`payload` as the decoder's type. A number in a string is a number, and a number is text,
    where the type demands it. Raises Malformed."""
    try:
        return decode_json(decoder, payload)
    except Malformed:
        value = decode_json(_any, payload)
        number = isinstance(value, int | float) and not isinstance(value, bool)
        for candidate in (value, payload.decode()) if number else (value,):
            try:
                found: _T = msgspec.convert(candidate, decoder.type, strict=False)
                return found
            except (ValueError, RecursionError):
                continue
        raise


_raw_object = msgspec.json.Decoder(dict[str, msgspec.Raw])
_any = msgspec.json.Decoder()


def is_whole_json(payload: bytes) -> bool:
    """Whether `payload` is one JSON value with nothing missing."""
    try:
        decode_json(_any, payload)
    except Malformed:
        return False
    return True


def is_cut_json(payload: bytes) -> bool:
    """Whether `payload` is the beginning of a JSON value."""
    # A number may be cut after its sign, its point or its `e`: then a digit is missing.
    return any(map(_is_cut, (payload, payload + b"0")))


def _is_cut(payload: bytes) -> bool:
    try:
        _any.decode(_repaired(payload))
    except msgspec.DecodeError as error:
        return "truncated" in str(error)
    except (ValueError, RecursionError):
        return False
    return False
