"""From bytes to lines, server-sent events and JSON, whatever the cutting.

Lines end at LF, CRLF and CR only: U+2028, U+2029 and U+0085 are data, and UTF-8 is decoded after
framing. Time is linear in bytes: what was searched once is not searched again.

Limits: a line, and the lines of one event together, may have `limit` bytes without their ends.
"""

import re
from typing import Any, TypeAlias, TypeGuard, TypeVar

import msgspec

from .errors import LimitExceeded, Malformed

__all__ = [
    "Lines",
    "SSEDecoder",
    "ServerSentEvent",
    "StrayLine",
    "decode_json",
    "encode_sse",
    "is_list",
    "is_object",
    "is_whole_json",
]

_T = TypeVar("_T")
_BOM = b"\xef\xbb\xbf"
_LF, _CR = b"\n\r"  # numbers: to look for one in bytes takes a fifth of the time that b"\n" does
_SILENT = b":\n\r"
"""How a run of lines begins that may be comments and blank ones alone."""
_EVENT_FIELDS = frozenset((b"data", b"event", b"id"))
_LONGEST_RETRY = 10**18 - 1
"""Milliseconds; the standard has no bound, but int() refuses thousands of digits."""


class Lines:
    """Splits a byte stream into lines. A byte order mark before the first one is taken off."""

    __slots__ = ("_after_cr", "_first", "_rest", "_silent", "limit", "too_long")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._rest = bytearray()
        self._after_cr = False
        self._first = True
        self._silent = False
        self.too_long = False
        """Whether the partial line is longer than `limit`: then `check_rest`, after the others."""

    @property
    def keepalive(self) -> bool:
        """Whether the last `feed` brought nothing but blank lines and lines that begin with `:`."""
        return self._silent and (not self._rest or self._rest[0] == 0x3A)

    def feed(self, data: bytes) -> bytes:
        """The lines that `data` completes, as one run of bytes for `splitlines()`; empty if none.

        Raises LimitExceeded (after this, nothing more may be fed) on a partial line that is too
        long already; complete ones are the caller's to check, with `check`.
        """
        if _LF not in data and _CR not in data:
            if data:
                self._after_cr = False
            self._silent = True
            rest = self._rest
            rest += data
            if len(rest) > self.limit:
                self.check_rest()
            return b""
        if data[-1] == _LF and not (self._rest or self._after_cr or self._first):
            complete = data  # whole lines, as they are
        else:
            complete = self._complete(data)
            if self.too_long and not complete:  # an LF, whose line was complete without it
                self.check_rest()
        # The first line settles it for all but keep-alives.
        self._silent = (not complete or complete[0] in _SILENT) and all(
            line[:1] in (b":", b"") for line in complete.splitlines()
        )
        return complete

    def _complete(self, data: bytes) -> bytes:
        if self._after_cr and data[0] == _LF:  # the LF of a CRLF that was cut in two
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
            complete = complete.removeprefix(_BOM)
        return complete

    def check(self, size: int) -> None:
        """Raises LimitExceeded if a line or an event of `size` bytes is too long."""
        if size > self.limit:
            raise LimitExceeded(f"an event of more than {self.limit} bytes")

    def check_rest(self) -> None:
        """Raises LimitExceeded if the partial line is too long. For after the complete ones."""
        size = len(self._rest)
        if self._first and _BOM.startswith(self._rest[:3]):  # the mark, or its beginning
            size -= 3
        self.check(size)

    @property
    def rest(self) -> bytes:
        """The bytes of the line that is not complete."""
        rest = bytes(self._rest)
        return rest.removeprefix(_BOM) if self._first else rest


class ServerSentEvent(msgspec.Struct, frozen=True, gc=False):
    """A dispatched event, in WHATWG's words. `data` is UTF-8 as it came, not yet decoded."""

    data: bytes
    type: str = "message"
    last_event_id: str = ""


class StrayLine(msgspec.Struct, frozen=True, gc=False):
    """A line whose field name the standard does not know, so that a browser would ignore it.

    Services put errors there: `error: {...}`, or JSON with no field name at all.
    """

    line: bytes


SSEItem: TypeAlias = ServerSentEvent | StrayLine


class SSEDecoder:
    """An event stream after https://html.spec.whatwg.org/multipage/server-sent-events.html.

    With one difference: `eof` hands out a last event that lacks its blank line, since vendors
    forget it and the finish reason would be lost; whether its payload is whole is the caller's to
    judge.
    """

    __slots__ = (
        "_data",
        "_id",
        "_size",
        "_type",
        "last_comment",
        "last_event_id",
        "lines",
        "retry",
    )

    def __init__(self, limit: int = 16 * 1024 * 1024) -> None:
        self.lines = Lines(limit)
        """What `feed` begins with."""
        self._data = bytearray()  # each line of it with a line end
        self._size = 0
        self._type = ""
        self._id = ""
        self.last_event_id = ""
        """The last `id` up to the last blank line: an event that was cut takes its id with it."""
        self.retry: int | None = None
        """The reconnection time in milliseconds that the server last asked for."""
        self.last_comment = b""
        """The last comment, without its colon; some services hide an error there."""

    @property
    def keepalive(self) -> bool:
        """Whether the last `feed` brought nothing but comments and blank lines."""
        return self.lines.keepalive

    def feed(self, data: bytes, items: list[SSEItem]) -> None:
        """Append what `data` completes to `items`. Raises LimitExceeded, after what came before.

        A decoder in a hurry may do the same by itself, and save making items of payloads, which
        costs as much as to split them (see `openai`).
        """
        text = self.lines.feed(data)
        payloads = self.payloads(text)
        if payloads is None:
            lines = text.splitlines()
            del text  # it may be as large as an event may be, and so is its line
            self.take(lines, items)
        else:
            items += [ServerSentEvent(data, "message", self._id) for data in payloads]
        if self.lines.too_long:
            self.lines.check_rest()

    def eof(self, items: list[SSEItem]) -> None:
        """The stream ended cleanly: append the event that was not dispatched, if there is one."""
        self.take([self.lines.rest, b""], items)

    def payloads(self, text: bytes) -> list[bytes] | None:
        """What `text`, some whole lines, has as data, if it is nothing but events of one `data: `
        line each, as most is. None: `take` it."""
        if self._size or _CR in text or text[:6] != b"data: " or text[-2:] != b"\n\n":
            return None
        if len(text) > self.lines.limit:
            return None
        payload = text[6:-2]
        if _LF not in payload:
            return [payload]
        payloads = payload.split(b"\n\ndata: ")
        for payload in payloads:  # to count the line ends of `text` takes longer
            if _LF in payload:
                return None
        return payloads

    def take(self, lines: list[bytes], items: list[SSEItem]) -> None:
        """Append what `lines` complete to `items`. Uses `lines` up, as they may be large. Raises
        LimitExceeded, after what came before."""
        lines.reverse()
        while lines:
            line = lines.pop()
            self.lines.check(len(line))
            if line:
                self._feed_line(line, items)
            else:
                self._dispatch(items)

    def _feed_line(self, line: bytes, items: list[SSEItem]) -> None:
        name, _, value = line.partition(b":")
        if not name:
            self.last_comment = value
            return
        value = value[1:] if value[:1] == b" " else value
        if name in _EVENT_FIELDS:
            self._size += len(line)
            self.lines.check(self._size)
        if name == b"data":
            self._data += value
            self._data += b"\n"
        elif name == b"event":
            self._type = value.decode(errors="replace")
        elif name == b"id":
            if b"\0" not in value:
                self._id = value.decode(errors="replace")
        elif name == b"retry":
            if value.isdigit():
                digits = value.lstrip(b"0")
                self.retry = int(digits or b"0") if len(digits) <= 18 else _LONGEST_RETRY
        else:
            items.append(StrayLine(line))

    def _dispatch(self, items: list[SSEItem]) -> None:
        self.last_event_id = self._id
        if self._data:
            del self._data[-1:]
            data = bytes(self._data)
            self._data.clear()
            items.append(ServerSentEvent(data, self._type or "message", self.last_event_id))
        self._size = 0
        self._type = ""


def encode_sse(data: bytes, *, type: str = "") -> bytes:
    """One server-sent event: a `data:` line for each line of `data`, and the blank line.

    What SSE can't say is which of CR, LF and CRLF ended a line: LF is what arrives.
    """
    lines = [f"event: {type}".encode()] if type else []
    lines += [b"data: " + line for line in data.splitlines()]
    if not data or data.endswith((b"\r", b"\n")):  # the empty line behind the last end, too
        lines.append(b"data: ")
    return b"\n".join(lines) + b"\n\n"


def decode_json(decoder: "msgspec.json.Decoder[_T]", payload: bytes) -> _T:
    """`payload` as `decoder`'s type. Invalid UTF-8 and lone surrogates become U+FFFD.

    Raises Malformed, with the payload, if it is not JSON or not of that type.
    """
    try:
        return decoder.decode(payload)
    except msgspec.ValidationError as error:
        raise Malformed(f"JSON of an unexpected shape ({error})", data=payload) from error
    except (ValueError, RecursionError):
        pass  # what follows is not a part of this: a UnicodeDecodeError holds the whole payload
    return _decode_repaired(decoder, payload)


def _decode_repaired(decoder: "msgspec.json.Decoder[_T]", payload: bytes) -> _T:
    """What msgspec refuses and others send: half a character, cut at a token's border."""
    if payload.isascii() and b"\\u" not in payload:
        raise Malformed("not JSON", data=payload)
    try:
        text = payload.decode(errors="replace").removeprefix("\ufeff")
        return decoder.decode(_ESCAPE.sub(_whole_character, text.encode()))
    except msgspec.ValidationError as error:
        problem = f"JSON of an unexpected shape ({error})"
    except (ValueError, RecursionError):
        problem = "not JSON"
    # Raised here, as a UnicodeDecodeError holds the whole payload, where no key is blotted out.
    raise Malformed(problem, data=payload)


# An escape; six bytes of it are half a surrogate pair, twelve are a whole one.
_ESCAPE = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}(?:\\u[dD][c-fC-F][0-9a-fA-F]{2})?"
    rb"|u[dD][c-fC-F][0-9a-fA-F]{2}|.)",
    re.DOTALL,
)


def _whole_character(escape: "re.Match[bytes]") -> bytes:
    return b"\\ufffd" if len(escape[0]) == 6 else escape[0]


def is_object(value: object) -> TypeGuard[dict[str, Any]]:
    """Whether a decoded JSON value is an object."""
    return isinstance(value, dict)


def is_list(value: object) -> TypeGuard[list[Any]]:
    """Whether a decoded JSON value is an array."""
    return isinstance(value, list)


_any = msgspec.json.Decoder()


def is_whole_json(payload: bytes) -> bool:
    """Whether `payload` is one JSON value with nothing missing."""
    try:
        decode_json(_any, payload)
    except Malformed:
        return False
    return True
