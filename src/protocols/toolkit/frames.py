"""Decodes the frames of an AWS event stream, however its bytes arrive, and encodes them.

The media type is `application/vnd.amazon.eventstream`; the encoding is described at
https://smithy.io/2.0/aws/amazon-eventstream.html. All numbers are big-endian:

| offset     | size           | what                                                     |
|------------|----------------|----------------------------------------------------------|
| 0          | 4              | `total`, the length of the whole frame                   |
| 4          | 4              | `h`, the length of the headers                           |
| 8          | 4              | CRC-32 of the first 8 bytes                              |
| 12         | h              | headers: length of the name (1 byte), name, type, value  |
| 12 + h     | total - h - 16 | payload                                                  |
| total - 4  | 4              | CRC-32 of all that comes before it                       |

The first three fields are the prelude. A frame may have `limit` bytes, all of its fields included.
"""

from collections.abc import Callable, Mapping
from struct import Struct
from typing import TypeAlias, assert_never
from uuid import UUID
from zlib import crc32

import msgspec

from ..errors import LimitExceeded, LocalProtocolError, Malformed

__all__ = ["Frame", "Frames", "HeaderValue", "Timestamp", "encode_frame"]

_PRELUDE = 12
_CRC = 4
_unpack: Callable[[bytes], tuple[int, int, int]] = Struct(">III").unpack
"""The numbers of a prelude."""

# What the specification allows. Only a sender must insist on it; a receiver has its own limit.
_LONGEST_NAME = 255
_LONGEST_VALUE = 2**15 - 1
_LARGEST_HEADERS = 128 * 1024
_LARGEST_PAYLOAD = 24 * 1024 * 1024


class Timestamp(msgspec.Struct, frozen=True, gc=False):
    """A moment, in milliseconds since 1970 began in UTC. `datetime` can't represent all of them."""

    milliseconds: int


HeaderValue: TypeAlias = bool | int | str | bytes | Timestamp | UUID
"""The value of a header. Integers of all four sizes are an `int`, which is written in 4 bytes, or
in 8 if it needs them."""


class Frame(msgspec.Struct, frozen=True, gc=False):
    """A frame, which the specification calls a message. Frames with equal headers may share
    them."""

    headers: Mapping[str, HeaderValue]
    payload: bytes


class Frames:
    """Splits a byte stream into frames."""

    __slots__ = ("_block", "_headers", "_rest", "_wanted", "limit")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._rest = bytearray()
        self._wanted: int = _PRELUDE
        """The size at which `_rest` is looked at: that of the prelude, then that of the frame."""
        self._block: bytes | None = None
        """The bytes of the headers before: most frames of a stream have the same ones."""
        self._headers: dict[str, HeaderValue] = {}

    def feed(self, data: bytes, frames: list[Frame]) -> None:
        """Append the frames that `data` completes to `frames`.

        Raises Malformed or LimitExceeded, after the frames before; then nothing more may be fed.
        """
        rest, size = self._rest, len(data)
        start = 0
        while rest:  # a frame that began before
            end = start + max(self._wanted - len(rest), 0)
            rest += data[start:end]
            if end > size:
                return
            start = end
            if self._wanted == _PRELUDE:
                self._wanted = self._total(bytes(rest[:_PRELUDE]))
            else:
                self._wanted = _PRELUDE
                frame = bytes(rest)
                rest.clear()
                self._take(frame, 0, frames)
        start = self._take(data, start, frames)
        rest += data[start:]

    def _take(self, data: bytes, start: int, frames: list[Frame]) -> int:
        """The whole frames in `data` from `start` on; returns where the first begins that is not
        whole. This is the loop that most of a stream goes through."""
        size = len(data)
        while size - start >= _PRELUDE:
            prelude = data[start : start + _PRELUDE]
            total, length, crc = _unpack(prelude)
            if crc != crc32(prelude[:-_CRC]) or total < length + 16 or total > self.limit:
                self._total(prelude)  # which says what is wrong
            end = start + total
            if end > size:
                break
            said = data[start : end - _CRC]
            if data[end - _CRC : end] != crc32(said).to_bytes(_CRC, "big"):
                raise Malformed("a frame with a wrong checksum", data=data[start:end])
            length += _PRELUDE
            block = said[_PRELUDE:length]
            if block != self._block:
                self._headers = _headers_of(data[start:end], length)
                self._block = block
            frames.append(Frame(self._headers, said[length:]))
            start = end
        return start

    def _total(self, prelude: bytes) -> int:
        """The length of the frame that begins with `prelude`."""
        total, headers, crc = _unpack(prelude)
        if crc != crc32(prelude[:-_CRC]):  # before the lengths are trusted
            raise Malformed("a frame whose prelude has a wrong checksum", data=prelude)
        if total < _PRELUDE + headers + _CRC:
            raise Malformed("a frame that is too short for its headers", data=prelude)
        if total > self.limit:
            raise LimitExceeded(f"a frame of more than {self.limit} bytes")
        return total

    @property
    def rest(self) -> bytes:
        """The bytes of the frame that is not complete."""
        return bytes(self._rest)

    @property
    def partial(self) -> int:
        """The size of `rest`."""
        return len(self._rest)


def _headers_of(frame: bytes, end: int) -> dict[str, HeaderValue]:
    """The headers of a frame, which end at `end`."""
    reader = _HeaderReader(frame, end)
    headers: dict[str, HeaderValue] = {}
    while reader.place < end:
        name = reader.text(reader.number(1))
        if not name:
            raise Malformed("a frame with a header that has no name", data=frame)
        if name in headers:
            raise Malformed("a frame with two headers of the same name", data=frame)
        headers[name] = reader.value()
    return headers


class _HeaderReader:
    """Reads the headers of a frame, never beyond their end."""

    __slots__ = ("end", "frame", "place")

    def __init__(self, frame: bytes, end: int) -> None:
        self.frame = frame
        self.place = _PRELUDE
        self.end = end

    def take(self, size: int) -> bytes:
        start = self.place
        self.place += size
        if self.place > self.end:
            raise Malformed("a frame with a header that is not complete", data=self.frame)
        return self.frame[start : self.place]

    def number(self, size: int, *, signed: bool = False) -> int:
        return int.from_bytes(self.take(size), "big", signed=signed)

    def text(self, size: int) -> str:
        try:
            return self.take(size).decode()
        except UnicodeDecodeError:
            pass  # the error below is not a part of this one, which would hold the bytes, too
        raise Malformed("a frame with a header that is not UTF-8", data=self.frame)

    def value(self) -> HeaderValue:
        kind = self.number(1)
        match kind:
            case 0 | 1:  # true and false
                return kind == 0
            case 2 | 3 | 4 | 5:  # integers of 1, 2, 4 and 8 bytes
                return self.number(1 << kind - 2, signed=True)
            case 6:  # bytes
                return self.take(self.number(2))
            case 7:  # string
                return self.text(self.number(2))
            case 8:  # timestamp
                return Timestamp(self.number(8, signed=True))
            case 9:  # UUID
                return UUID(bytes=self.take(16))
            case _:
                raise Malformed(f"a frame with a header of unknown type {kind}", data=self.frame)


def encode_frame(headers: Mapping[str, HeaderValue], payload: bytes) -> bytes:
    """A frame in bytes. Raises LocalProtocolError if the specification does not allow it."""
    block = b"".join(_encode_header(name, value) for name, value in headers.items())
    _check_size(block, _LARGEST_HEADERS, "headers")
    _check_size(payload, _LARGEST_PAYLOAD, "a payload")
    total = _PRELUDE + len(block) + len(payload) + _CRC
    lengths = _number(total, 4) + _number(len(block), 4)
    frame = b"".join((lengths, _number(crc32(lengths), 4), block, payload))
    return frame + _number(crc32(frame), 4)


def _encode_header(name: str, value: HeaderValue) -> bytes:
    encoded = _encode_text(name, _LONGEST_NAME, "the name of a header")
    if not encoded:
        raise LocalProtocolError("a header without a name")
    return _number(len(encoded), 1) + encoded + _encode_value(value, f"header {name}")


def _encode_value(value: HeaderValue, what: str) -> bytes:
    match value:
        case bool():
            return b"\0" if value else b"\1"
        case int():
            if -(2**31) <= value < 2**31:
                return b"\4" + _number(value, 4, signed=True)
            return b"\5" + _encode_long(value, what)
        case bytes():
            _check_size(value, _LONGEST_VALUE, what)
            return b"\6" + _number(len(value), 2) + value
        case str():
            text = _encode_text(value, _LONGEST_VALUE, what)
            return b"\7" + _number(len(text), 2) + text
        case Timestamp():
            return b"\x08" + _encode_long(value.milliseconds, what)
        case UUID():
            return b"\x09" + value.bytes
        case _:
            assert_never(value)


def _number(value: int, size: int, *, signed: bool = False) -> bytes:
    return value.to_bytes(size, "big", signed=signed)


def _encode_long(value: int, what: str) -> bytes:
    if not -(2**63) <= value < 2**63:
        raise LocalProtocolError(f"{what} is a number of more than 64 bits")
    return _number(value, 8, signed=True)


def _encode_text(text: str, limit: int, what: str) -> bytes:
    try:
        encoded = text.encode()
    except UnicodeEncodeError:
        raise LocalProtocolError(f"{what} has a lone surrogate, which UTF-8 can't say") from None
    _check_size(encoded, limit, what)
    return encoded


def _check_size(data: bytes, limit: int, what: str) -> None:
    if len(data) > limit:
        raise LocalProtocolError(f"{what} of more than {limit} bytes")
