"""Undoes a content-encoding (RFC 9110 section 8.4), a bounded piece at a time."""

import zlib
from collections.abc import Callable, Iterator
from typing import TypeAlias

from ..errors import Malformed, UnexpectedContent, brief
from .http import Headers, get_header

__all__ = ["IDENTITY", "ContentDecoder", "content_decoder"]

PIECE = 32 * 1024
"""Bytes that are passed on at once, so that a bomb, or a huge piece from the caller, meets the
limits before it fills the memory."""

_TAKEN = 4 * 1024
"""Bytes that are decompressed at once: at the end of each member zlib copies the rest of them."""


class Identity:
    """Passes on a body that has no coding."""

    __slots__ = ()

    def decode(self, data: bytes) -> Iterator[bytes]:
        """`data`, in pieces of at most `PIECE`."""
        for start in range(0, len(data), PIECE):
            yield data[start : start + PIECE]

    @property
    def whole(self) -> bool:
        """Whether the body may end here."""
        return True


class Inflater:
    """Undoes gzip and deflate."""

    __slots__ = ("_coding", "_gzip", "_start", "_zlib")

    def __init__(self, coding: str) -> None:
        self._coding = coding
        self._gzip = "gzip" in coding
        self._zlib = zlib.decompressobj(31) if self._gzip else None
        self._start: bytes = b""

    def decode(self, data: bytes) -> Iterator[bytes]:
        """The decoded bytes of `data`, in pieces of at most `PIECE`. Raises Malformed."""
        for start in range(0, len(data), _TAKEN):
            yield from self._undo(data[start : start + _TAKEN])

    @property
    def whole(self) -> bool:
        """Whether the body may end here."""
        return self._zlib is not None and self._zlib.eof

    def _undo(self, data: bytes) -> Iterator[bytes]:
        if self._zlib is None:
            # "deflate" is zlib's format, but some send raw deflate: the first two bytes tell.
            data = self._start + data
            if len(data) < 2:
                self._start = data
                return
            has_header = data[0] & 0x0F == 8 and int.from_bytes(data[:2]) % 31 == 0
            self._zlib = zlib.decompressobj(15 if has_header else -15)
        while data or not self._zlib.eof:
            if self._zlib.eof:
                if not self._gzip:
                    return
                self._zlib = zlib.decompressobj(31)  # another member, RFC 1952 section 2.2
            before = self._zlib.copy()
            try:
                piece = self._zlib.decompress(data, PIECE)
            except zlib.error as error:
                yield from _before_fault(before.decompress, data)
                raise Malformed(f"the body is not valid {self._coding}") from error
            data = self._zlib.unused_data if self._zlib.eof else self._zlib.unconsumed_tail
            if piece:
                yield piece
            if not data and len(piece) < PIECE:  # a full piece: zlib may hold more
                return


ContentDecoder: TypeAlias = Identity | Inflater

IDENTITY = Identity()
"""One object for all bodies, as it has no state."""


def content_decoder(headers: Headers) -> ContentDecoder:
    """What undoes the coding of a body with `headers`. Requests ask for identity; some services
    send gzip or deflate all the same. Raises UnexpectedContent for any other."""
    coding = (get_header(headers, b"content-encoding") or "identity").lower()
    if coding == "identity":
        return IDENTITY
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
