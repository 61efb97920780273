"""Splits a body that is one JSON array into its elements, however its bytes arrive.

Only what separates the elements is checked. Strings, escapes and nesting are followed to find the
end of an element; the caller decodes it, and finds out whether it is JSON. Time is linear in bytes,
and nesting takes no memory. An element may have `limit` bytes.
"""

import re
from enum import Enum, auto

from ..errors import LimitExceeded, Malformed

__all__ = ["Elements"]

_NOT_BLANK = re.compile(rb"[^ \t\n\r]")
_STRUCTURE = re.compile(rb'["{}\[\]]')
_IN_STRING = re.compile(rb'["\\]')
_SCALAR_END = re.compile(rb"[ \t\n\r,\]]")


class _At(Enum):
    """Where in the array the bytes so far end."""

    BEGIN = auto()
    FIRST = auto()
    """After `[`."""
    NEXT = auto()
    """After a comma."""
    SCALAR = auto()
    """In a number, `true`, `false` or `null`."""
    ENCLOSED = auto()
    """In an object, an array or a string."""
    AFTER = auto()
    """After an element."""
    OVER = auto()


_ELEMENT = dict.fromkeys(b'{["', _At.ENCLOSED) | dict.fromkeys(b"-0123456789tfn", _At.SCALAR)
_STEPS: dict[_At, tuple[dict[int, _At], str]] = {
    _At.BEGIN: (dict.fromkeys(b"[", _At.FIRST), "not a JSON array"),
    _At.FIRST: (
        _ELEMENT | dict.fromkeys(b"]", _At.OVER),
        "a JSON array that does not begin with an element",
    ),
    _At.NEXT: (_ELEMENT, "a JSON array without an element after a comma"),
    _At.AFTER: (
        dict.fromkeys(b",", _At.NEXT) | dict.fromkeys(b"]", _At.OVER),
        "a JSON array without a comma after an element",
    ),
    _At.OVER: ({}, "more than white space after a JSON array"),
}
"""Where each byte that is not white space leads, between elements; and what is wrong if it is not
there."""


class Elements:
    """Splits a JSON array into its elements."""

    __slots__ = ("_at", "_depth", "_escaped", "_quoted", "_rest", "limit")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._at = _At.BEGIN
        self._rest = bytearray()
        self._depth = 0
        self._quoted = False
        self._escaped = False
        """Whether the first byte of the next piece is escaped."""

    @property
    def over(self) -> bool:
        """Whether the array is complete."""
        return self._at is _At.OVER

    @property
    def rest(self) -> bytes:
        """The bytes of the element that is not complete."""
        return bytes(self._rest)

    @property
    def partial(self) -> int:
        """The size of `rest`."""
        return len(self._rest)

    def feed(self, data: bytes, elements: list[bytes]) -> None:
        """Append the elements that `data` completes to `elements`, without white space around.

        Raises Malformed or LimitExceeded, after the elements before; then nothing more may be fed.
        """
        place = 0
        while place < len(data):
            match self._at:
                case _At.ENCLOSED:
                    end = self._end_of_enclosed(data, place)
                case _At.SCALAR:
                    end = self._end_of_scalar(data, place)
                case _:
                    place = self._step(data, place)
                    continue
            start, place = place, len(data) if end is None else end
            if len(self._rest) + place - start > self.limit:
                raise LimitExceeded(f"an element of more than {self.limit} bytes in a JSON array")
            self._rest += data[start:place]
            if end is not None:
                elements.append(bytes(self._rest))
                self._rest.clear()
                self._at = _At.AFTER

    def _step(self, data: bytes, place: int) -> int:
        """From `place`, between elements, to after the next sign there, or to the next element."""
        found = _NOT_BLANK.search(data, place)
        if found is None:
            return len(data)
        steps, problem = _STEPS[self._at]
        at = steps.get(data[found.start()])
        if at is None:
            raise Malformed(problem, data=found[0])  # no more, which depends on the pieces
        self._at = at
        return found.start() if at in (_At.SCALAR, _At.ENCLOSED) else found.end()

    def _end_of_scalar(self, data: bytes, place: int) -> int | None:
        """Where the scalar ends that goes on at `place`, if it ends in `data`."""
        found = _SCALAR_END.search(data, place)
        return found and found.start()

    def _end_of_enclosed(self, data: bytes, place: int) -> int | None:
        """The same of an object, an array or a string."""
        place += self._escaped
        self._escaped = False
        while found := (_IN_STRING if self._quoted else _STRUCTURE).search(data, place):
            place = found.end()
            match found[0]:
                case b"\\":
                    place += 1
                    continue
                case b'"':
                    self._quoted = not self._quoted
                case b"{" | b"[":
                    self._depth += 1
                case _:
                    self._depth -= 1
            if not self._quoted and not self._depth:
                return place
        self._escaped = place > len(data)
        return None
