"""What a response body turns out to be: an answer, one JSON document, a web page, an error.

The label is not believed: streams come as `text/plain`, errors as `text/event-stream`, documents
where a stream was asked for. The first byte that is not white space tells.
"""

from typing import Literal, Protocol, TypeAlias

from .errors import LimitExceeded, Malformed, RemoteProtocolError, Truncated, UnexpectedContent
from .events import Event, Evidence
from .limits import Limits
from .toolkit.http import Headers, Request, content_type
from .toolkit.json import is_whole_json
from .toolkit.lines import Lines
from .toolkit.refusals import (
    incomplete,
    refusal_of_document,
    refusal_of_response,
    truncated_document,
    unexpected,
)

__all__ = ["AnswerBody", "Body", "BodyKind", "LineStep", "RefusedBody", "Step", "open_body"]

BodyKind: TypeAlias = Literal["stream", "lines", "document", "bytes"]
"""What a step expects. `stream`: lines that no JSON value begins, so that one means a document.
`lines`: JSON lines. `document`: one JSON document. `bytes`: anything (a picture)."""

_BOM = b"\xef\xbb\xbf"
_TEXTUAL = ("", "text/event-stream", "text/plain", "application/octet-stream", "application/jsonl")


class Step:
    """What a dialect writes: one request, and the decoder of its answer.

    Derive from this; what is not overridden does nothing. Only `RemoteProtocolError` may come out
    of its methods; what they appended to `events` before that is delivered.
    """

    request: Request
    kind: BodyKind = "stream"
    evidence: Evidence | None = None
    """What has shown that the answer is complete. `terminator` ends the answer at once."""

    unfinished: str = "the body ended before the answer was complete"
    """What is said of an answer that ends before the evidence owed, in the dialect's words."""

    @property
    def keepalive(self) -> bool:
        """Whether the last `data` was nothing but comments and blank lines."""
        return False

    def response(self, status: int, headers: Headers) -> None:
        """A response with status 2xx begins."""

    def data(self, data: bytes, events: list[Event]) -> None:
        """Bytes of the body, for all kinds but `document`."""

    def document(self, body: bytes, events: list[Event]) -> "Step | None":
        """The body, whole, is one JSON document. Returns the step that follows, if any."""
        raise refusal_of_document(body)

    def eof(self, events: list[Event]) -> "Step | None":
        """The body is complete. Returns the step that follows, if any."""
        return None

    def settle(self, events: list[Event]) -> None:
        """Nothing more will come: append what was held back and is certain. May come twice."""


class LineStep(Step):
    """A step whose answer is lines, each of which is a unit of its own: `line` decodes one. Blank
    lines say nothing."""

    def __init__(self, request: Request, limits: Limits) -> None:
        self.request = request
        self.evidence: Evidence | None = None
        self._lines = Lines(limits.event)

    def response(self, status: int, headers: Headers) -> None:
        self.request = self.request.remembered()  # a prompt may be large

    def line(self, line: bytes, events: list[Event]) -> None:
        """One line without its end; it is not empty."""

    @property
    def keepalive(self) -> bool:
        return self._lines.keepalive

    def data(self, data: bytes, events: list[Event]) -> None:
        lines = self._lines
        limit = lines.limit
        for line in lines.feed(data).splitlines():  # no name keeps what may be large
            if len(line) > limit:  # looked at here, too, as it is called for each line
                lines.check(len(line))
            if line:
                self.line(line, events)
                if self.evidence == "terminator":
                    return
        if lines.too_long:
            lines.check_rest()

    def eof(self, events: list[Event]) -> None:
        rest = self._lines.rest
        if not rest:
            return
        try:
            self.line(rest, events)
        except Malformed as error:
            raise Truncated(f"{self.unfinished}, inside a line", data=rest) from error


class Body(Protocol):
    """What an exchange does with the body of a response."""

    @property
    def keepalive(self) -> bool:
        """Whether the last `data` was nothing but comments and blank lines."""
        ...

    def data(self, data: bytes, events: list[Event]) -> None:
        """Decoded bytes of the body."""

    def eof(self, events: list[Event]) -> Step | None:
        """The body is complete. Returns the step that follows, if any."""

    def cut(self, events: list[Event]) -> Step | None:
        """No more of the body will come, though it is not complete."""


def open_body(step: Step, status: int, headers: Headers, limits: Limits) -> Body:
    """How to read the body of the response to `step.request`."""
    if not 200 <= status < 300:
        return RefusedBody(status, headers, limits)
    kind = content_type(headers)
    if step.kind != "bytes" and kind not in _TEXTUAL and "json" not in kind:
        return RefusedBody(status, headers, limits)
    step.response(status, headers)
    return AnswerBody(step, headers, limits)


class RefusedBody:
    """A body that is no answer. As much as `Limits.error_body` is read, for the error to tell."""

    keepalive = False

    def __init__(self, status: int, headers: Headers, limits: Limits) -> None:
        self._status = status
        self._headers = headers
        self._limit = limits.error_body
        self._body = bytearray()
        self._error: RemoteProtocolError | None = None

    def data(self, data: bytes, events: list[Event]) -> None:
        self._body += data
        if len(self._body) >= self._limit:
            raise self.error()

    def eof(self, events: list[Event]) -> Step | None:
        raise self.error()

    def cut(self, events: list[Event]) -> Step | None:
        raise self.error()

    def error(self) -> RemoteProtocolError:
        """The error that the response is, with as much of its body as has come. It is one."""
        if self._error is None:
            del self._body[self._limit :]
            body = bytes(self._body)
            self._body.clear()
            if 200 <= self._status < 300:
                self._error = unexpected(self._headers, body)
            else:
                self._error = refusal_of_response(self._status, self._headers, body)
        return self._error


class AnswerBody:
    """The body of a 2xx response: handed to the step, or kept until a document is whole."""

    __slots__ = ("_blank", "_headers", "_is", "_kept", "_limit", "_limits", "_size", "_step")

    def __init__(self, step: Step, headers: Headers, limits: Limits) -> None:
        self._step = step
        self._headers = headers
        self._limits = limits
        self._limit = limits.picture if step.kind == "bytes" else limits.response
        self._size = 0
        # None: the step reads by itself.
        self._kept: bytearray | None = None if step.kind == "bytes" else bytearray()
        self._is: BodyKind | Literal["unknown", "page"] = "unknown"
        self._blank = False

    @property
    def keepalive(self) -> bool:
        return self._step.keepalive if self._kept is None else self._blank

    def data(self, data: bytes, events: list[Event]) -> None:
        self._size += len(data)
        if self._size <= self._limit:
            if self._kept is None:  # as _read has it, too: this is the way of most bytes
                self._step.data(data, events)
            else:
                self._read(data, events)
            return
        self._read(data[: self._limit - self._size], events)
        if self._step.evidence != "terminator":
            raise LimitExceeded(f"a body of more than {self._limit} bytes")

    def eof(self, events: list[Event]) -> Step | None:
        if self._kept is None:
            return self._step.eof(events)
        body = bytes(self._kept)
        if self._is == "page":
            raise unexpected(self._headers, body)
        if not self._size:
            raise UnexpectedContent("the body is empty")
        if self._is == "unknown":
            raise Truncated("the body ended before the answer began")
        if incomplete(body):
            raise truncated_document(body)
        return self._step.document(body, events)

    def cut(self, events: list[Event]) -> Step | None:
        if self._kept is not None and (self._is == "page" or is_whole_json(bytes(self._kept))):
            return self.eof(events)
        self._step.settle(events)
        return None

    def _read(self, data: bytes, events: list[Event]) -> None:
        if self._kept is None:
            self._step.data(data, events)
            return
        self._kept += data
        self._blank = not data.strip()
        if self._is == "unknown":
            head = bytes(self._kept.lstrip())  # blank lines say nothing, whoever began with them
            bom = _BOM if head.startswith(_BOM) else b""
            self._kept = bytearray(bom + head[len(bom) :].lstrip())
            self._is = self._recognize(bytes(self._kept))
            if self._is in ("stream", "lines"):
                head = bytes(self._kept)
                self._kept = None
                self._headers = []  # they are of use for a page only
                self._step.data(head, events)
                return
        limit = self._limits.error_body if self._is == "page" else self._limits.document
        if len(self._kept) > limit:
            if self._is == "page":
                raise unexpected(self._headers, bytes(self._kept[:limit]))
            raise LimitExceeded(f"a JSON document of more than {limit} bytes")

    def _recognize(self, head: bytes) -> BodyKind | Literal["unknown", "page"]:
        first = head.removeprefix(_BOM)[:1]
        if not first or _BOM.startswith(head):
            return "unknown"
        if first == b"<":
            return "page"
        if first in (b"{", b"[") and self._step.kind == "stream":
            return "document"
        return self._step.kind
