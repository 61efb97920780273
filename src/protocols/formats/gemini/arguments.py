"""The arguments of a call that come in pieces: values, each at a path (`partialArgs`).

Vertex AI sends them if `toolConfig.functionCallingConfig.streamFunctionCallArguments` asks for it.
A path is a normal one of RFC 9535 (`$.a.b[0]`, `$['a']`); texts at the same path are joined.
"""

import re
from itertools import pairwise
from typing import Any, TypeAlias

import msgspec

from ...errors import LimitExceeded
from ...limits import Limits, Parts
from ...toolkit.json import is_list, is_object
from .wire import PartialArg

__all__ = ["Arguments"]

_DEEPEST = 64
"""How deep arguments may be nested: a path is short, and what it means need not be."""

_STEP = re.compile(
    r"""\.([^.\[\]]+)|\[(\d{1,9})\]|\['((?:[^'\\]|\\.)*)'\]|\["((?:[^"\\]|\\.)*)"\]"""
)
_ESCAPE = re.compile(r"\\(.)")

_Key: TypeAlias = str | int


class _Pieces:
    """A text that may go on."""

    def __init__(self, text: str) -> None:
        self.texts = [text]


class Arguments:
    """The object that the pieces make. `parts` bounds how many objects and arrays there are in it,
    `limits` the bytes of the pieces."""

    def __init__(self, parts: Parts, limits: Limits) -> None:
        self._parts = parts
        self._limit = limits.event
        self._size = 0
        self._value: dict[str, Any] = {}

    def add(self, piece: PartialArg, size: int) -> bool:
        """The next piece, of `size` bytes; whether it is understood. Raises LimitExceeded."""
        self._size += size
        if self._size > self._limit:
            raise LimitExceeded(f"the arguments of a call of more than {self._limit} bytes")
        path = _keys(piece.json_path)
        if not path:
            return False
        value = _value_of(piece)
        return value is not None and self._put(path, value)

    def text(self) -> str:
        """All of it, as JSON."""
        return msgspec.json.encode(_plain(self._value)).decode(errors="replace")

    def _put(self, path: list[_Key], value: Any) -> bool:
        at: Any = self._value
        for key, following in pairwise(path):
            below: Any = _get(at, key)
            if below is None:
                self._parts.add()
                below = list[Any]() if isinstance(following, int) else dict[str, Any]()
                if not _set(at, key, below):
                    return False
            at = below
        there = _get(at, path[-1])
        if isinstance(there, _Pieces) and isinstance(value, _Pieces):
            there.texts += value.texts
            return True
        return _set(at, path[-1], value)


def _keys(path: str) -> list[_Key]:
    """The steps of a path; none if it is not understood."""
    found: list[_Key] = []
    end = 1
    for match in _STEP.finditer(path) if path[:1] == "$" else ():
        if match.start() != end or len(found) == _DEEPEST:
            return []
        end = match.end()
        name, index, single, double = match.groups()
        if index is not None:
            found.append(int(index))
        else:
            quoted = single if double is None else double
            found.append(name if quoted is None else _ESCAPE.sub(r"\1", quoted))
    return found if end == len(path) else []


def _value_of(piece: PartialArg) -> Any:
    if piece.string_value is not None:
        return _Pieces(piece.string_value)
    if bytes(piece.number_value):
        return piece.number_value  # as it is spelled
    if piece.bool_value is not None:
        return piece.bool_value
    return None if piece.null_value is None else msgspec.Raw(b"null")


def _get(at: Any, key: _Key) -> Any:
    if is_object(at) and isinstance(key, str):
        return at.get(key)
    if is_list(at) and isinstance(key, int) and key < len(at):
        return at[key]
    return None


def _set(at: Any, key: _Key, value: Any) -> bool:
    """Put `value` there; whether there is such a place. An array grows by one at a time."""
    if is_object(at) and isinstance(key, str):
        at[key] = value
    elif is_list(at) and isinstance(key, int) and key <= len(at):
        at[key : key + 1] = [value]
    else:
        return False
    return True


def _plain(value: Any) -> Any:
    if is_object(value):
        return {key: _plain(item) for key, item in value.items()}
    if is_list(value):
        return [_plain(item) for item in value]
    return "".join(value.texts) if isinstance(value, _Pieces) else value
