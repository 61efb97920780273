"""Decodes server-sent events, however their bytes arrive, and encodes them.

Limits: a line, and the lines of one event together, may have `limit` bytes without their ends.
"""

from functools import lru_cache
from typing import TypeAlias

import msgspec

from .json import is_whole_json
from .lines import CR, LF, Lines

__all__ = ["SSEDecoder", "SSEItem", "ServerSentEvent", "UnknownLine", "encode_sse"]

_EVENT_FIELDS = frozenset((b"data", b"event", b"id"))
SILENT = (b":", b"event:", b"id:", b"retry:")
"""How lines begin that say nothing by themselves."""
_LONGEST_RETRY = 10**18 - 1
"""Milliseconds; the standard has no bound, but int() refuses thousands of digits."""


class ServerSentEvent(msgspec.Struct, frozen=True, gc=False):
    """A dispatched event, in WHATWG's terms. `data` is UTF-8, not yet decoded."""

    data: bytes
    type: str = "message"
    last_event_id: str = ""


class UnknownLine(msgspec.Struct, frozen=True, gc=False):
    """A line whose field name is not in the standard, so that a browser would ignore it.

    Services put errors there: `error: {...}`, or JSON without a field name.
    """

    line: bytes


SSEItem: TypeAlias = ServerSentEvent | UnknownLine


class _Form:
    """How events look whose lines all have the same `end`."""

    __slots__ = ("blank", "border", "end", "head")

    def __init__(self, end: bytes, usual: str) -> None:
        named = b"" if usual == "message" else b"event: " + usual.encode() + end
        self.end = end
        self.head = named + b"data: "
        """How a usual one begins."""
        self.blank = end + end
        """How each ends."""
        self.border = self.blank + self.head


@lru_cache(16)
def _forms(usual: str) -> tuple[_Form, _Form]:
    return _Form(b"\n", usual), _Form(b"\r\n", usual)


class SSEDecoder:
    """Decodes an event stream as in https://html.spec.whatwg.org/multipage/server-sent-events.html.

    One difference: `eof` also dispatches a last event without its blank line, since some services
    forget it, and the finish reason would be lost. The caller decides whether its payload is whole.

    `usual` is the type of most events, which are decoded fastest. `apart`: a `data` line after one
    that is a whole JSON object begins another event, as some servers leave the blank lines out
    (quirk 11). By the standard both would be one event, which is not JSON.
    """

    __slots__ = (
        "_apart",
        "_crlf",
        "_data",
        "_data_type",
        "_id",
        "_lf",
        "_single",
        "_size",
        "_type",
        "head",
        "last_comment",
        "last_event_id",
        "lines",
        "retry",
        "usual",
    )

    def __init__(
        self, limit: int = 16 * 1024 * 1024, usual: str = "message", *, apart: bool = False
    ) -> None:
        self.usual = usual
        self._apart = apart
        self._lf, self._crlf = _forms(usual)
        self.head = self._lf.head
        """How a usual event begins, if its lines end at LF."""
        self.lines = Lines(limit)
        """The first step of `feed`."""
        self._data = bytearray()  # each of its lines with a line end
        self._size = 0
        self._type = ""
        self._data_type = ""  # the type before the last `data` line
        self._single = False  # whether there was one such line
        self._id = ""
        self.last_event_id = ""
        """The last `id` before the last blank line; that of a truncated event does not count."""
        self.retry: int | None = None
        """The reconnection time in milliseconds that the server last asked for."""
        self.last_comment = b""
        """The last comment, without its colon. Some services hide an error there."""

    @property
    def partial(self) -> int:
        """Bytes so far of the data of the event that is not complete, and of a line of it."""
        return len(self._data) + self.lines.partial(SILENT)

    @property
    def pending(self) -> bytes:
        """The data of the event that is not complete, as far as it has come."""
        rest = self.lines.rest
        value = rest[5:].lstrip(b" ") if rest.startswith(b"data:") else b""
        return bytes(self._data) + value

    def feed(self, data: bytes, items: list[SSEItem]) -> None:
        """Append what `data` completes to `items`. Raises LimitExceeded, after the items before.

        `EventStep` does the same without making items of payloads.
        """
        text = self.lines.feed(data)
        payloads = self.payloads(text)
        runs = self.runs(text) if payloads is None else [(payloads, list[bytes]())]
        del text  # it may be as large as an event may be, and so is its line
        for payloads, lines in runs:
            items += [ServerSentEvent(data, self.usual, self._id) for data in payloads]
            self.take(lines, items)
        if self.lines.too_long:
            self.lines.check_rest()

    def eof(self, items: list[SSEItem]) -> None:
        """The stream ended cleanly: dispatch the last event if that has not happened."""
        self.take([self.lines.rest, b""], items)

    def payloads(self, text: bytes) -> list[bytes] | None:
        """The data of the events in `text`, which is whole lines, if each of them is a usual one
        with one `data: ` line. None: it is something else; see `runs`."""
        crlf = CR in text
        form = self._crlf if crlf else self._lf
        head, blank = form.head, form.blank
        if self._size or not (text.startswith(head) and text.endswith(blank)):
            return None
        if len(text) > self.lines.limit:
            return None
        payload = text[len(head) : -len(blank)]
        payloads = [payload] if LF not in payload else payload.split(form.border)
        for payload in payloads:  # faster than counting the line ends of `text`
            if LF in payload or (crlf and CR in payload):
                return None
        return payloads

    def runs(self, text: bytes) -> list[tuple[list[bytes], list[bytes]]]:
        """What is in `text`, which is whole lines: the data of usual events, and after them lines
        for `take`; again and again."""
        crlf = CR in text
        form = self._crlf if crlf else self._lf
        start, end = self._end_of_pending(text, form), text.rfind(form.blank)
        if end < start or len(text) > self.lines.limit:
            return [([], text.splitlines())]
        runs: list[tuple[list[bytes], list[bytes]]] = [([], text[:start].splitlines())]
        head = form.head
        usual = text.startswith(head, start)
        first, *events = text[start + usual * len(head) : end].split(form.border)
        if usual:
            events.insert(0, first)
        else:
            runs.append(([], [*first.splitlines(), b""]))
        payloads: list[bytes] = []
        for event in events:
            if LF not in event and not (crlf and CR in event):
                payloads.append(event)
                continue
            # It has more lines, or events of other types follow.
            runs.append((payloads, [*(head + event).splitlines(), b""]))
            payloads = []
        runs.append((payloads, text[end + len(form.blank) :].splitlines()))
        return runs

    def _end_of_pending(self, text: bytes, form: "_Form") -> int:
        """Where the event that has begun before `text` ends in it; 0 if none has begun."""
        if not self._size:
            return 0
        if text.startswith(form.end):
            return len(form.end)
        # If it does not end there, nothing does, and `runs` has no use for the place.
        return text.find(form.blank) + len(form.blank)

    def take(self, lines: list[bytes], items: list[SSEItem]) -> None:
        """Append what `lines` complete to `items`. Empties `lines`, as they may be large. Raises
        LimitExceeded, after the items before."""
        lines.reverse()
        while lines:
            line = lines.pop()
            self.lines.check(len(line))
            if line:
                self._feed_line(line, items)
            else:
                self._dispatch(items)

    def _feed_line(self, line: bytes, items: list[SSEItem]) -> None:
        if line[:6] == b"data: ":  # as most do; others are copied once more
            name, value = b"data", line[6:]
        else:
            name, _, value = line.partition(b":")
            if not name:
                self.last_comment = value
                return
            value = value[1:] if value[:1] == b" " else value
        if name == b"data" and self._apart:
            self._split(items)
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
            items.append(UnknownLine(line))

    def _split(self, items: list[SSEItem]) -> None:
        """Another `data` line follows: the one before is dispatched if it is an event of its own.
        Each is looked at once."""
        if self._single and self._data.startswith(b"{") and is_whole_json(bytes(self._data)):
            self._append(self._data_type, items)
            self._size = 0
        self._single = not self._data
        self._data_type = self._type

    def _dispatch(self, items: list[SSEItem]) -> None:
        self.last_event_id = self._id
        if self._data:
            self._append(self._type, items)
        self._size = 0
        self._type = ""

    def _append(self, type: str, items: list[SSEItem]) -> None:
        del self._data[-1:]
        data = bytes(self._data)
        self._data.clear()
        items.append(ServerSentEvent(data, type or "message", self._id))


def encode_sse(data: bytes, *, type: str = "") -> bytes:
    """One server-sent event: a `data:` line for each line of `data`, and the blank line.

    SSE does not keep which of CR, LF and CRLF ended a line: the receiver gets LF.
    """
    lines = [f"event: {type}".encode()] if type else []
    lines += [b"data: " + line for line in data.splitlines()]
    if not data or data.endswith((b"\r", b"\n")):  # the empty line after the last end, too
        lines.append(b"data: ")
    return b"\n".join(lines) + b"\n\n"
