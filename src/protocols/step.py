"""The bases for the client half of a format: one request, and the decoder of its answer.

| the answer is | base | what to write |
|---|---|---|
| server-sent events, or one JSON array | `EventStep` | `event`, for an event or element |
| lines, each a unit of its own | `LineStep` | `line` |
| an AWS event stream, of frames | `FrameStep` | `event` |
| one JSON document | `Step`, `framing = "document"` | `document` |
| bytes, such as a picture | `Step`, `framing = "bytes"` | `data`, `eof` |

If the answer is not streamed it is one JSON document, whatever the base: `document` receives it.
"""

import re
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeAlias

import msgspec

from .errors import LimitExceeded, Malformed, RemoteProtocolError, Truncated
from .events import Event, Evidence, Unrecognized
from .limits import Limits
from .toolkit.http import Headers, Request
from .toolkit.json import decode_json, is_whole_json
from .toolkit.lines import BOM, CR, LF, Lines
from .toolkit.refusals import (
    STANDARD,
    ErrorTable,
    refusal_of_document,
    refusal_of_object,
    refusal_of_text,
)
from .toolkit.sse import ServerSentEvent, SSEDecoder, SSEItem, UnknownLine
from .toolkit.unknown import UnknownLines

if TYPE_CHECKING:
    from .toolkit.elements import Elements
    from .toolkit.frames import Frame

__all__ = ["EventStep", "FrameStep", "Framing", "LineStep", "Step", "type_of"]

Framing: TypeAlias = Literal["events", "lines", "frames", "document", "bytes"]
"""What a body is made of. `events`: server-sent events; a body that begins with JSON is a document
instead. `lines`: lines, which may begin with JSON. `frames`: binary frames. `document`: one JSON
document. `bytes`: anything."""

_TEXTUAL = frozenset(
    ("", "text/event-stream", "text/plain", "application/octet-stream", "application/jsonl")
)


_NOTHING = (b"", b"{}", b"null")
"""Data that says nothing."""
_EVENT = re.compile(rb"(?:event:[^\r\n]*\r?\n)?data:")
_BLANK_LINES = (b"\n\n", b"\r\r", b"\r\n\r\n")


class Step:
    """One request of an exchange, and the decoder of its answer.

    The methods do nothing unless overridden. They may raise only `RemoteProtocolError`; what they
    appended to `events` before that is delivered.
    """

    framing: ClassVar[Framing] = "events"
    elements: ClassVar[bool] = False
    """Whether the elements of a body that is one JSON array are events, read as they arrive."""
    media_types: ClassVar[frozenset[str] | None] = _TEXTUAL
    """The content types that its answers may have, in addition to JSON. None: any."""
    limit: ClassVar[Literal["response", "picture"]] = "response"
    """Which of `Limits` bounds the body."""
    errors: ErrorTable = STANDARD
    """What the error responses of the service mean."""

    request: Request
    evidence: Evidence | None = None
    """What has shown so far that the answer is complete. `terminator` ends the answer at once."""
    failure: RemoteProtocolError | None = None
    """Why a complete answer is not a success: raised instead of `End`."""
    unfinished: str = "the body ended before the answer was complete"
    """The message about an answer that ends before the required evidence, in the format's
    words."""

    even: bool = False
    """Whether all that was received is known to be whole units, so that `partial` is 0. If not, it
    may be so all the same."""

    @property
    def partial(self) -> int:
        """Bytes so far of the unit (line, event, frame) that is not complete; 0 if there is none.
        Keep-alives, such as comments, are no units. For all framings but `document` and `bytes`."""
        return 0

    def response(self, status: int, headers: Headers) -> None:
        """A response with status 2xx begins."""

    def data(self, data: bytes, events: list[Event]) -> None:
        """Bytes of the body, for all framings but `document`."""

    def document(self, body: bytes, events: list[Event]) -> "Step | None":
        """The body, whole, is one JSON document. Returns the step that follows, if any."""
        raise refusal_of_document(body, self.errors)

    def eof(self, events: list[Event]) -> "Step | None":
        """The body is complete. Returns the step that follows, if any."""
        return None

    def interrupted(self) -> None:
        """The body ended before it was complete."""

    def border(self, body: bytes | bytearray, start: int) -> int:
        """Where the last complete unit in `body` ends. `body` begins with a unit, and `start` bytes
        of it were looked at before, without finding an end. 0: no unit is complete."""
        return 0

    def settle(self, proven: bool, events: list[Event]) -> None:
        """The answer is over: append what was held back. `proven`: it is complete, by the evidence
        that the provider requires. If not, a call or a native form may be truncated: say no end of
        it. Called once, before `failure` is looked at."""


class _Typed(msgspec.Struct):
    type: Any = None


_typed = msgspec.json.Decoder(_Typed)


def type_of(data: bytes) -> str:
    """The `type` of an event, as its data says; empty if that says none."""
    try:
        return str(decode_json(_typed, data).type or "")
    except Malformed:
        return ""


class _StreamStep(Step):
    """A step whose answer is a stream. It drops its request once the answer has begun."""

    def __init__(self, request: Request) -> None:
        self.request = request
        self.evidence = None

    def response(self, status: int, headers: Headers) -> None:
        self.request = self.request.remembered()  # a prompt may be large

    def _partial(self, rest: bytes, what: str, events: list[Event]) -> None:
        """The body ended inside `what`, which breaks only an answer that nothing has shown to be
        complete."""
        if self.evidence is None:
            raise Truncated(f"{self.unfinished}, inside {what}", data=rest)
        if rest:
            events.append(Unrecognized(rest))


class LineStep(_StreamStep):
    """A step whose answer is lines, each a unit of its own: `line` decodes one. Blank lines are
    ignored."""

    def __init__(self, request: Request, limits: Limits) -> None:
        super().__init__(request)
        self._lines = Lines(limits.event)

    def line(self, line: bytes, events: list[Event]) -> None:
        """One line, not empty, without its end."""
        raise NotImplementedError

    def lines(self, lines: list[bytes], events: list[Event]) -> None:
        """Lines that arrived together, as most of a stream does. A format may override this to be
        faster."""
        for line in lines:
            if line:
                self.line(line, events)
                if self.evidence == "terminator":
                    return

    @property
    def partial(self) -> int:
        return self._lines.partial()

    def border(self, body: bytes | bytearray, start: int) -> int:
        return max(body.rfind(b"\n", start), body.rfind(b"\r", start)) + 1

    def data(self, data: bytes, events: list[Event]) -> None:
        lines = self._lines
        text = lines.feed(data)
        self.even = text is data and bool(text)
        found, short = text.splitlines(), len(text) <= lines.limit
        del text  # it may be as large as a line may be
        if short:
            self.lines(found, events)
        else:
            for line in found:
                lines.check(len(line))
                self.lines([line], events)
                if self.evidence == "terminator":
                    return
        if lines.too_long and self.evidence != "terminator":
            lines.check_rest()

    def eof(self, events: list[Event]) -> Step | None:
        rest = self._lines.rest
        if not rest:
            return None
        try:
            self.line(rest, events)
        except Malformed:
            self._partial(rest, "a line", events)
        return None


class EventStep(_StreamStep):
    """A step whose answer is server-sent events: `event` decodes one.

    It handles what is common to all: lines that are no field of SSE, comments, limits, a last event
    without its blank line. Nothing after the end mark is read.
    """

    pings: ClassVar[frozenset[str]] = frozenset(
        ("ping", "keepalive", "keep-alive", "keep_alive", "heartbeat", "heart-beat", "heart_beat")
    )
    """The names of events that only keep the connection alive: they are left out."""
    usual: ClassVar[str] = "message"
    """The name of most events, which are decoded fastest."""
    reopens: ClassVar[bool] = False
    """Whether an answer may go on after its finish reasons. If so, the beginning of an event is no
    less than more content: after it the reasons show nothing (quirk 49)."""

    def __init__(self, request: Request, limits: Limits) -> None:
        super().__init__(request)
        self._sse = SSEDecoder(limits.event, self.usual, apart=True)
        self._unknown = UnknownLines(limits.error_body, self.errors)
        self._elements: Elements | None = None
        self._inside = False
        self._head = self._sse.head
        self._before = len(self._head)

    def event(self, data: bytes, type: str, events: list[Event]) -> None:
        """One event, or one element of an array. `data` is UTF-8, not yet decoded; `type` is
        `message` unless the service names it.

        Raises Malformed for data that the format does not allow.
        """
        raise NotImplementedError

    def is_ping(self, data: bytes, type: str) -> bool:
        """Whether an event only keeps the connection alive: its name says so, or, if it has none,
        the `type` in its data, or that nothing is in it."""
        if type != "message":
            return type in self.pings
        head = data[:1000]
        if head.strip() in _NOTHING:
            return True
        may_be = any(b'"%b"' % name.encode() in head for name in self.pings)
        return may_be and type_of(data) in self.pings

    def no_json(self, data: bytes, events: list[Event]) -> None:
        """The data of an event is not JSON. If it is an event itself, that is taken: a server has
        put the prefix before it once more (quirk 86). Anything else is handed on, as a keep-alive
        in words of its own (quirk 11), unless it says nothing."""
        if data.strip() in _NOTHING:
            return
        if self._inside or _EVENT.match(data) is None:
            events.append(Unrecognized(data))
            return
        items: list[SSEItem] = []
        inner = SSEDecoder(len(data), apart=True)
        inner.take([*data.splitlines(), b""], items)
        self._inside = True  # and not within that one again
        try:
            self._take_items(items, events)
        finally:
            self._inside = False

    def payloads(self, payloads: list[bytes], events: list[Event]) -> None:
        """The data of usual events that arrived together, as most of a stream does. A format may
        override this to be faster."""
        for payload in payloads:
            if not self.is_ping(payload, self.usual):
                self.event(payload, self.usual, events)
            if self.evidence == "terminator":
                return

    @property
    def partial(self) -> int:
        if self._elements is not None:
            return self._elements.partial
        return self._sse.partial + len(self._unknown.kept)

    def border(self, body: bytes | bytearray, start: int) -> int:
        if self._elements is not None:
            return len(body) - self._elements.partial
        start = max(start - 3, 0)
        places = ((body.rfind(end, start), len(end)) for end in _BLANK_LINES)
        return max((place + size for place, size in places if place >= 0), default=0)

    def data(self, data: bytes, events: list[Event]) -> None:
        sse = self._sse
        if self.even and data.endswith(b"\n\n") and data.startswith(self._head):
            # A shorter way for a usual event on its own, as most of a paced stream are.
            payload = data[self._before : -2]
            if LF not in payload and CR not in payload and len(data) <= sse.lines.limit:
                self.payloads([payload], events)
                return
        text = sse.lines.feed(data)
        if not text:
            self.even = False
            return
        payloads = sse.payloads(text)
        self.even = text is data and payloads is not None and not self._unknown.kept
        if payloads is None:
            runs = sse.runs(text)
            del text  # it may be as large as an event may be
            self._take_runs(runs, events)
        else:
            del text
            self.payloads(payloads, events)
        if sse.lines.too_long and self.evidence != "terminator":
            sse.lines.check_rest()

    def element_data(self, data: bytes, events: list[Event]) -> None:
        """Bytes of a body that is one JSON array. Its closing bracket is a terminator, as the last
        brace of a document is."""
        if self._elements is None:
            from .toolkit.elements import Elements  # few formats have such a body

            self._elements = Elements(self._sse.lines.limit)
            data = data.removeprefix(BOM)
        elements = self._elements
        found: list[bytes] = []
        fault: RemoteProtocolError | None = None
        try:
            elements.feed(data, found)
        except RemoteProtocolError as error:
            fault = error
        for element in found:
            self.event(element, "message", events)
            if self.evidence == "terminator":
                return  # what follows is not part of the answer
        if elements.over:
            self.array_over()
        elif fault is not None:
            raise fault

    def array_over(self) -> None:
        """The body was one JSON array, which is whole."""
        self.evidence = "terminator"

    def eof(self, events: list[Event]) -> Step | None:
        if self._elements is not None:
            if not self._elements.over:
                self.interrupted()
                self._partial(self._elements.rest, "its JSON array", events)
            return None
        items: list[SSEItem] = []
        self._sse.eof(items)
        try:
            half = items.pop() if items and _is_half(items[-1]) else None
            self._take_items(items, events)
            if isinstance(half, ServerSentEvent):
                events.append(Unrecognized(half.data))
                self._reopen()
        except Malformed as error:
            # A last event without its end, and not whole: the stream was truncated inside it.
            events.append(Unrecognized(error.data))
        return None

    def interrupted(self) -> None:
        begun = self._sse.pending if self._elements is None else self._elements.rest
        if begun.startswith(b"{"):
            self._reopen()

    def _reopen(self) -> None:
        """The body ended inside an event, of which at least the brace is there."""
        if self.reopens:
            self.evidence = None

    def settle(self, proven: bool, events: list[Event]) -> None:
        comment = self._sse.last_comment[:80].decode(errors="replace").strip()
        if comment:
            # Some services report a failure in a comment (quirk 2): `:408: 408 Request Timeout`.
            self.unfinished = f"{type(self).unfinished}; its last comment was {comment!r}"
        self._unknown.release(events)

    def _take_runs(self, runs: list[tuple[list[bytes], list[bytes]]], events: list[Event]) -> None:
        for payloads, lines in runs:
            if payloads:
                self.payloads(payloads, events)
            if self.evidence != "terminator":
                self._take_lines(lines, events)
            if self.evidence == "terminator":
                return

    def _take_lines(self, lines: list[bytes], events: list[Event]) -> None:
        items: list[SSEItem] = []
        try:
            self._sse.take(lines, items)
        except LimitExceeded:
            self._take_items(items, events)
            if self.evidence != "terminator":  # what follows is not part of the answer
                raise
        else:
            self._take_items(items, events)

    def _take_items(self, items: list[SSEItem], events: list[Event]) -> None:
        for item in items:
            if isinstance(item, UnknownLine):
                self._unknown.take(item.line, events)
            elif not self.is_ping(item.data, item.type):
                self.event(item.data, item.type, events)
                if self.evidence == "terminator":
                    return


def _is_half(item: SSEItem) -> bool:
    """Whether `item` is an event whose payload is the beginning of a JSON object."""
    return (
        isinstance(item, ServerSentEvent) and item.data[:1] == b"{" and not is_whole_json(item.data)
    )


class FrameStep(_StreamStep):
    """A step whose answer is an AWS event stream, of frames: `event` decodes the payload of one.

    It handles what is common to all (https://smithy.io/2.0/aws/amazon-eventstream.html): frames
    that report an error, and the end. Nothing after the end mark is read.
    """

    framing = "frames"
    media_types = frozenset(("", "application/vnd.amazon.eventstream", "application/octet-stream"))

    def __init__(self, request: Request, limits: Limits) -> None:
        super().__init__(request)
        from .toolkit.frames import Frames  # few formats have such a body

        self._frames = Frames(limits.event)
        self._headers: object = None
        """The headers of the last event, which most events share, and its name."""
        self._type = ""

    def event(self, data: bytes, type: str, events: list[Event]) -> None:
        """One event: the payload of its frame, and its name."""
        raise NotImplementedError

    def frame(self, frame: "Frame", events: list[Event]) -> None:
        """One frame. Raises Refused for one that reports an error, and Malformed for one that is
        neither that nor an event."""
        headers = frame.headers
        kind = headers.get(":message-type")
        if kind == "event" and isinstance(type := headers.get(":event-type"), str):
            if type.endswith("Exception"):  # of an emulator that has no other kind of frame
                raise refusal_of_text(frame.payload, self.errors, code=type)
            if type != "initial-response":  # of protocols that are not HTTP's own
                self._headers, self._type = headers, type
                self.event(frame.payload, type, events)
        elif kind == "exception" and isinstance(code := headers.get(":exception-type"), str):
            raise refusal_of_text(frame.payload, self.errors, code=code)
        elif kind == "error":
            code, words = (headers.get(f":error-{key}") for key in ("code", "message"))
            code = code if isinstance(code, str) else None
            said = {"message": words}
            raise refusal_of_object(said, self.errors, data=frame.payload, code=code)
        else:
            raise Malformed("a frame that is no event and no error", data=frame.payload)

    def data(self, data: bytes, events: list[Event]) -> None:
        found: list[Frame] = []
        fault: RemoteProtocolError | None = None
        try:
            self._frames.feed(data, found)
        except RemoteProtocolError as error:
            fault = error
        for frame in found:
            if frame.headers is self._headers:
                self.event(frame.payload, self._type, events)
            else:
                self.frame(frame, events)
            if self.evidence == "terminator":
                return  # what follows is not part of the answer
        if fault is not None:
            raise fault

    @property
    def partial(self) -> int:
        return self._frames.partial

    def border(self, body: bytes | bytearray, start: int) -> int:
        return len(body) - self._frames.partial

    def eof(self, events: list[Event]) -> Step | None:
        if rest := self._frames.rest:
            self._partial(rest, "a frame", events)
        return None
