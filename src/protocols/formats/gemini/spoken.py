"""The text of a candidate, as those who cite it count it: in bytes of UTF-8."""

from bisect import bisect_right
from collections.abc import Iterable, Mapping
from typing import NamedTuple

__all__ = ["Span", "Spoken", "byte_places"]

_BLOCK = 4096
_CONTINUATION = bytes(range(0x80, 0xC0))
"""The bytes of UTF-8 that begin no code point."""


class Span(NamedTuple):
    """A piece of a part's text, in code points."""

    part: int
    start: int
    end: int


class Spoken:
    """The text that was said, and where the parts of it begin.

    Append to `pieces` what is said, after `begin` if it is of another part. The text is kept, as
    the sources come after it; it is encoded only if there are some.
    """

    def __init__(self) -> None:
        self.pieces: list[str] = []
        self._borders: list[tuple[int, int]] = []  # of new parts: places in `pieces`, numbers
        self._data = bytearray()  # of the pieces before
        self._counts = [0]  # code points before each block of it
        self._parts: list[int] = []
        self._starts: list[int] = []  # where they begin

    def begin(self, part: int) -> None:
        """What is said from now on is of `part`."""
        self._borders.append((len(self.pieces), part))

    def span(self, start: int, end: int, text: str | None, number: int) -> Span | None:
        """The place from byte `start` to `end`, of the whole text, or of the part `number` of it:
        services differ. It holds `text`, if that is told. None: there is no such place."""
        self._encode()
        said = None if text is None else text.encode()
        bases = [0, *self._starts[max(number, 0) :][:1]]
        for base in bases:
            if 0 <= start <= end and base + end <= len(self._data) and self._parts:
                there = base + start
                # Compared only if they are as long, so that it costs no more than to read it.
                if said is None or (len(said) == end - start and self._holds(said, there)):
                    return self._place(there, base + end)
        return None

    def _holds(self, said: bytes, place: int) -> bool:
        return self._data.startswith(said, place)

    def _place(self, start: int, end: int) -> Span:
        number = max(bisect_right(self._starts, start) - 1, 0)
        before = self._count(self._starts[number])
        return Span(self._parts[number], self._count(start) - before, self._count(end) - before)

    def _count(self, place: int) -> int:
        """The code points before a place."""
        block = place // _BLOCK
        return self._counts[block] + _code_points(self._data[block * _BLOCK : place])

    def _encode(self) -> None:
        borders = iter([*self._borders, (len(self.pieces), -1)])
        begin, part = next(borders)
        for number, piece in enumerate([*self.pieces, ""]):
            while number == begin:
                if part >= 0:
                    self._parts.append(part)
                    self._starts.append(len(self._data))
                begin, part = next(borders, (-1, -1))
            self._data += piece.encode()
        self.pieces.clear()
        self._borders.clear()
        for place in range((len(self._counts) - 1) * _BLOCK, len(self._data) - _BLOCK + 1, _BLOCK):
            block = self._data[place : place + _BLOCK]
            self._counts.append(self._counts[-1] + _code_points(block))


def byte_places(
    texts: Mapping[int, str], places: Iterable[tuple[int, int]]
) -> dict[tuple[int, int], int]:
    """The bytes before each of `places`, in the whole text. A place is a part and the code points
    before it there; one that is not in the text is left out. `texts`: by part, as they follow."""
    wanted: dict[int, set[int]] = {}
    for part, place in places:
        wanted.setdefault(part, set()).add(place)
    found: dict[tuple[int, int], int] = {}
    size = 0
    for part, text in texts.items():
        before = 0
        for place in sorted({*wanted.get(part, ()), len(text)}):
            if 0 <= place <= len(text):
                size += len(text[before:place].encode())
                found[part, place] = size
                before = place
    return found


def _code_points(data: bytearray) -> int:
    return len(data.translate(None, _CONTINUATION))
