"""Lines of an event stream that are no field of SSE, which a browser would ignore.

Some services put errors there: `error: {...}` instead of `data:`, or a JSON object without any
field name, pretty-printed over several lines (quirks 4 and 5).
"""

import msgspec

from ..errors import Malformed
from ..events import Event, Unrecognized
from .json import decode_json
from .refusals import STANDARD, ErrorTable, is_refusal, refusal_of_object, refusal_of_text

__all__ = ["UnknownLines"]

_value = msgspec.json.Decoder()
_ENDS = {b"{": b"}", b"[": b"]"}


class UnknownLines:
    """Raises the error that such lines report, and passes on all others unchanged.

    `limit`: bytes of an object that are kept until it is whole. `errors`: what errors mean.
    """

    __slots__ = ("_end", "_errors", "_limit", "kept")

    def __init__(self, limit: int, errors: ErrorTable = STANDARD) -> None:
        self._limit = limit
        self._errors = errors
        self.kept = bytearray()
        """The object that is not whole."""
        self._end = b""

    def take(self, line: bytes, events: list[Event]) -> None:
        """The next line. Raises Refused."""
        if line.startswith(b"error:"):
            raise refusal_of_text(line[6:].strip(), self._errors)
        first = not self.kept
        if first:
            end = _ENDS.get(line.lstrip()[:1])
            if end is None:
                events.append(Unrecognized(line))
                return
            self._end = end
        self.kept += line + b"\n"
        # An object, or a list of one (Gemini's), ends at a brace that is not indented, or with its
        # only line. Trying to decode it only there keeps time linear.
        if line[:1] == self._end or (first and self._is_whole()):
            self._judge(events)
        elif len(self.kept) > self._limit:
            self.release(events)

    def release(self, events: list[Event]) -> None:
        """Pass on what is kept: nothing more will be received."""
        if self.kept:
            events.append(Unrecognized(bytes(self.kept)))
            self.kept.clear()

    def _is_whole(self) -> bool:
        return bytes(self.kept).rstrip()[-1:] == self._end

    def _judge(self, events: list[Event]) -> None:
        unknown = bytes(self.kept)
        try:
            value = decode_json(_value, unknown)
        except Malformed:
            value = None
        if is_refusal(value, self._errors):
            self.kept.clear()
            raise refusal_of_object(value, self._errors, data=unknown)
        self.release(events)
