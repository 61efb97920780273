"""Lines of an event stream that are no field of SSE, which a browser would ignore.

Some services put errors there: `error: {...}` in the place of `data:`, or a JSON object without any
field name, pretty-printed over several lines (quirks 4 and 5).
"""

import msgspec

from ..errors import Malformed
from ..events import Event, Unrecognized
from .json import decode_json
from .refusals import is_refusal, refusal_of_object, refusal_of_text

__all__ = ["StrayLines"]

_value = msgspec.json.Decoder()


class StrayLines:
    """Raises the error that stray lines tell of; all others are handed on as they came.

    `limit`: bytes of an object that are kept until it is whole.
    """

    __slots__ = ("_kept", "_limit")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._kept = bytearray()

    def take(self, line: bytes, events: list[Event]) -> None:
        """The next line. Raises Refused."""
        if line.startswith(b"error:"):
            raise refusal_of_text(line[6:].strip())
        if not self._kept and line.lstrip()[:1] != b"{":
            events.append(Unrecognized(line))
            return
        first = not self._kept
        self._kept += line + b"\n"
        # An object is over at a brace that is not indented, or at the end of its only line. To
        # look only there keeps time linear.
        if line[:1] == b"}" or (first and self._is_whole()):
            self._judge(events)
        elif len(self._kept) > self._limit:
            self.release(events)

    def release(self, events: list[Event]) -> None:
        """Hand on what is kept, as nothing more will come."""
        if self._kept:
            events.append(Unrecognized(bytes(self._kept)))
            self._kept.clear()

    def _is_whole(self) -> bool:
        return bytes(self._kept).rstrip()[-1:] == b"}"

    def _judge(self, events: list[Event]) -> None:
        stray = bytes(self._kept)
        try:
            value = decode_json(_value, stray)
        except Malformed:
            value = None
        if is_refusal(value):
            self._kept.clear()
            raise refusal_of_object(value, data=stray)
        self.release(events)
