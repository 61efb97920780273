"""Undoes a content-encoding (RFC 9110 section 8.4), a bounded step at a time.

A few kilobytes of gzip may become gigabytes, or be thousands of members with nothing in them. So a
decoder is fed bytes, and as long as there is `more`, `take` does a bounded part of the work.
"""

import zlib
from collections import deque
from collections.abc import Callable, Iterator
from typing import TypeAlias

from ..errors import Malformed, UnexpectedContent, brief
from .http import Headers, get_header

__all__ = ["PIECE", "ContentDecoder", "Identity", "content_decoder"]

PIECE = 32 * 1024
"""Bytes that are passed on at once, so that a bomb, or a huge piece from the caller, meets the
limits before it fills the memory. The shortest lines make a batch of 16,000 events of it."""

_TAKEN = 4 * 1024
"""Bytes that are decompressed at once: at the end of each member zlib copies the rest of them."""


class Identity:
    """Passes on a body that has no coding."""

    __slots__ = ("_at", "_waiting")

    whole = True

    def __init__(self) -> None:
        self._waiting: deque[bytes] = deque()  # as they came: a copy of them may be large
        self._at = 0  # how much of the first of them was taken

    def feed(self, data: bytes) -> None:
        """The next bytes of the body."""
        if data:
            self._waiting.append(data)

    @property
    def more(self) -> bool:
        """Whether there is something to take."""
        return bool(self._waiting)

    def take(self, size: int = PIECE) -> bytes:
        """The next bytes, at most `size`."""
        first, start = self._waiting[0], self._at
        self._at += size
        if self._at >= len(first):
            self._waiting.popleft()
            self._at = 0
        return first[start : start + size]


class Inflater:
    """Undoes gzip and deflate."""

    __slots__ = ("_coding", "_fault", "_full", "_gzip", "_left", "_waiting", "_zlib")

    def __init__(self, coding: str) -> None:
        self._coding = coding
        self._gzip = "gzip" in coding
        self._zlib = zlib.decompressobj(31) if self._gzip else None
        self._waiting = Identity()
        self._left: bytes = b""  # what was taken of it, and is not decompressed yet
        self._full = False  # whether zlib may hold more
        self._fault: zlib.error | None = None

    @property
    def whole(self) -> bool:
        """Whether the body may end here."""
        return self._zlib is not None and self._zlib.eof

    def feed(self, data: bytes) -> None:
        """The next bytes of the body."""
        if self._zlib is None:
            # "deflate" is zlib's format, but some send raw deflate: the first two bytes tell.
            data, self._left = self._left + data, b""
            if len(data) < 2:
                self._left = data
                return
            has_header = data[0] & 0x0F == 8 and int.from_bytes(data[:2]) % 31 == 0
            self._zlib = zlib.decompressobj(15 if has_header else -15)
        self._waiting.feed(data)

    @property
    def more(self) -> bool:
        """Whether there is something to take."""
        if self._zlib is None:
            return False
        return bool(self._left or self._waiting.more or self._full or self._fault)

    def take(self) -> bytes:
        """The next decoded bytes, at most `PIECE`, or none. Raises Malformed after those before the
        fault."""
        piece = b""
        if self._fault is None and not (self._left or self._full):
            self._left = self._waiting.take(_TAKEN)
        while not piece and (self._left or self._full):
            piece = self._undo()
        if self._fault is not None and not piece:
            raise Malformed(f"the body is not valid {self._coding}") from self._fault
        return piece

    def _undo(self) -> bytes:
        undo, data = self._zlib, self._left
        assert undo is not None  # else there is nothing to take
        if undo.eof:
            if not self._gzip:  # what follows is ignored
                self._left = b""
                return b""
            self._zlib = undo = zlib.decompressobj(31)  # another member, RFC 1952 section 2.2
        before = undo.copy()
        try:
            piece = undo.decompress(data, PIECE)
        except zlib.error as error:
            self._fault = error
            self._left, self._full = b"", False
            return b"".join(_before_fault(before.decompress, data))
        self._left = undo.unused_data if undo.eof else undo.unconsumed_tail
        self._full = len(piece) == PIECE and not undo.eof
        return piece


ContentDecoder: TypeAlias = Identity | Inflater


def content_decoder(headers: Headers) -> ContentDecoder:
    """What undoes the coding of a body with `headers`. Requests ask for identity; some services
    send gzip or deflate all the same. Raises UnexpectedContent for any other."""
    coding = (get_header(headers, b"content-encoding") or "identity").lower()
    if coding == "identity":
        return Identity()
    if coding not in ("gzip", "x-gzip", "deflate"):
        raise UnexpectedContent(
            f"the body has content-encoding {brief(coding)!r} though identity was asked for"
        )
    return Inflater(coding)


def _before_fault(decompress: Callable[[bytes], bytes], data: bytes) -> Iterator[bytes]:
    """What zlib drops when it raises: the bytes before the faulty one are good, and are passed on
    however the network split them."""
    rest = iter(data)
    while True:
        try:
            piece = decompress(bytes((next(rest),)))
        except zlib.error:
            return
        if piece:
            yield piece
