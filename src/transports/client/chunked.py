"""The chunked transfer coding, RFC 9112 section 7.1, and nothing else.

h11 reads it too, but would take most of the time that a stream costs. This reader is as strict as
h11; differential fuzzing compares the two.
"""

import re
from functools import lru_cache

from ...protocols.errors import LimitExceeded, Malformed

__all__ = ["ChunkedReader"]

# chunk-size [chunk-ext]. Some servers pad sizes with white space before the line end, and h11
# accepts it. More than 20 digits are not a size.
_SIZE_LINE = re.compile(rb"([0-9A-Fa-f]{1,20})(?:;[^\x00-\x08\x0a-\x1f\x7f]*)?[ \t]*\Z")
_TRAILER = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+:[^\x00\x0a-\x0d]*\Z")
_FRAMING = re.compile(rb"(?i)(?:content-length|transfer-encoding):")
_FOLDED = re.compile(rb"[ \t][^\x00\x0a-\x0d]*\Z")  # a line that continues a trailer, section 5.2


class ChunkedReader:
    """Decodes a chunked body. `done` once it is complete; `rest` is the data after it. `suspect`: a
    trailer was about framing, which has no meaning there (RFC 9110 section 6.5.1), so the
    connection must not be used again.

    `limit`: bytes of a size line, and of the trailers together.
    """

    __slots__ = (
        "_after_data",
        "_in_trailers",
        "_left",
        "_limit",
        "_line",
        "_plain",
        "_trailer_lines",
        "_trailers",
        "done",
        "rest",
        "suspect",
    )

    ends_with_connection = False

    def __init__(self, limit: int = 64 * 1024) -> None:
        self.done = False
        self.rest = b""
        self.suspect = False
        self._trailer_lines = bytearray()  # a list would take many times as much as they have
        self._limit = limit
        self._plain = min(limit, _PLAIN_SIZE)
        self._left = 0  # bytes of the chunk that are still missing
        self._after_data = False  # the CRLF after a chunk is still missing
        self._in_trailers = False
        self._trailers = 0
        self._line = bytearray()

    @property
    def trailers(self) -> list[bytes]:
        """The lines of the trailers as they came."""
        return bytes(self._trailer_lines).splitlines()

    def feed(self, data: bytes, content: list[bytes]) -> None:
        """Append the content in `data` to `content`. Raises Malformed, LimitExceeded."""
        position, end = 0, len(data)
        while position < end and not self.done:
            if self._left:
                piece = data[position : position + self._left]
                content.append(piece)
                position += len(piece)
                self._left -= len(piece)
                self._after_data = not self._left
                continue
            if not (self._after_data or self._in_trailers or self._line):
                # A fast path for whole chunks, which most are.
                while 0 < (start := data.find(b"\n", position) + 1) <= position + self._plain:
                    stop = start + _plain_size(data[position:start])
                    if stop == start or data[stop : stop + 2] != b"\r\n":
                        break
                    content.append(data[start:stop])
                    position = stop + 2
                    if position == end:
                        return
            line_end = data.find(b"\n", position)
            if line_end < 0:
                self._line += data[position:]
                self._check(len(self._line))
                return
            line = data[position:line_end]
            if self._line:
                line = bytes(self._line + line)
                self._line.clear()
            position = line_end + 1
            self._check(len(line))
            self._take_line(line)
        self.rest = data[position:]

    def _take_line(self, line: bytes) -> None:
        bare = line[:-1] if line[-1:] == b"\r" else None
        if self._in_trailers:
            self._take_trailer(line if bare is None else bare)
        elif self._after_data:
            if bare != b"":
                raise Malformed("a chunk is longer than its size says", data=line)
            self._after_data = False
        else:
            match = None if bare is None else _SIZE_LINE.match(bare)
            if match is None:
                raise Malformed("a chunk of the body has no valid size", data=line)
            self._left = int(match[1], 16)
            self._in_trailers = not self._left

    def _take_trailer(self, line: bytes) -> None:
        valid = _TRAILER.match(line) or (self._trailers and _FOLDED.match(line))
        self._trailers += len(line)
        self._check(self._trailers)
        if not line:
            self.done = True
        elif not valid:
            raise Malformed("a trailer of the body is not valid", data=line)
        elif _FRAMING.match(line):
            self.suspect = True
        else:
            self._trailer_lines += line + b"\n"

    def _check(self, size: int) -> None:
        if size > self._limit:
            raise LimitExceeded(f"a line of more than {self._limit} bytes in a chunked body")


_PLAIN_SIZE = 10  # bytes of a size line with its end; enough for any stream


@lru_cache(1024)
def _plain_size(line: bytes) -> int:
    """The size of a chunk that is not the last; 0 if the line says more. A stream has few sizes."""
    match = _SIZE_LINE.match(line[:-2]) if line.endswith(b"\r\n") else None
    return int(match[1], 16) if match is not None else 0
