"""Splits bytes into lines, however they arrive.

Lines end at LF, CRLF and CR only: U+2028, U+2029 and U+0085 are data, and UTF-8 is decoded after
framing. Time is linear in bytes: nothing is searched twice. A line may have `limit` bytes without
its end.
"""

from ..errors import LimitExceeded

__all__ = ["BOM", "CR", "LF", "Lines"]

BOM = b"\xef\xbb\xbf"
"""The byte order mark, as UTF-8 has it."""
LF, CR = b"\n\r"
"""Numbers, as bytes are searched for a number faster than for bytes."""


class Lines:
    """Splits a byte stream into lines. A byte order mark at its start is removed."""

    __slots__ = ("_after_cr", "_first", "_rest", "limit", "too_long")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._rest = bytearray()
        self._after_cr = False
        self._first = True
        self.too_long = False
        """Whether the partial line is longer than `limit`. If so, call `check_rest` after the
        complete lines were used."""

    def partial(self, silent: bytes | tuple[bytes, ...] = b":") -> int:
        """Bytes so far of the line that is not complete; 0 if there is none, or it begins like a
        `silent` one."""
        rest = self._rest
        return 0 if not rest or rest.startswith(silent) else len(rest)

    def feed(self, data: bytes) -> bytes:
        """The lines that `data` completes, as one run of bytes for `splitlines()`; empty if none.

        Raises LimitExceeded for a partial line that is too long already; then nothing more may be
        fed. The caller checks complete lines with `check`.
        """
        if LF not in data and CR not in data:
            if data:
                self._after_cr = False
            rest = self._rest
            rest += data
            if len(rest) > self.limit:
                self.check_rest()
            return b""
        if data[-1] == LF and not (self._rest or self._after_cr or self._first):
            complete = data  # whole lines, as they are
        else:
            complete = self._complete(data)
            if self.too_long and not complete:  # an LF that ends no new line
                self.check_rest()
        return complete

    def _complete(self, data: bytes) -> bytes:
        if self._after_cr and data[0] == LF:  # the LF of a CRLF that was split
            data = data[1:]
        end = max(data.rfind(b"\n"), data.rfind(b"\r")) + 1
        self._after_cr = data[-1:] == b"\r"
        complete = data[:end]
        if self._rest:
            complete = b"".join((self._rest, complete))
            self._rest.clear()
        if end != len(data):
            self._rest += data[end:]
            self.too_long = len(self._rest) > self.limit
        if self._first:
            self._first = False
            complete = complete.removeprefix(BOM)
        return complete

    def check(self, size: int) -> None:
        """Raises LimitExceeded if a line or an event of `size` bytes is too long."""
        if size > self.limit:
            raise LimitExceeded(f"an event of more than {self.limit} bytes")

    def check_rest(self) -> None:
        """Raises LimitExceeded if the partial line is too long."""
        size = len(self._rest)
        if self._first and BOM.startswith(self._rest[:3]):  # the mark, or its beginning
            size -= 3
        self.check(size)

    @property
    def rest(self) -> bytes:
        """The bytes of the line that is not complete."""
        rest = bytes(self._rest)
        return rest.removeprefix(BOM) if self._first else rest
