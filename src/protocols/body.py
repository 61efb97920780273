"""Finds out what a response body is: an answer, one JSON document, a web page, an error.

The content type can't be trusted: services label streams as `text/plain` and errors as
`text/event-stream`, and send documents where a stream was asked for. The first byte that is not
white space decides.
"""

from typing import Literal, Protocol

from .errors import LimitExceeded, RemoteProtocolError, Truncated, UnexpectedContent
from .events import Event
from .limits import Limits
from .step import EventStep, Step
from .toolkit.http import Headers, content_type
from .toolkit.json import is_whole_json
from .toolkit.lines import BOM
from .toolkit.refusals import (
    STANDARD,
    ErrorTable,
    incomplete,
    refusal_of_response,
    truncated_document,
    unexpected,
)

__all__ = ["AnswerBody", "Body", "RecordedBody", "RefusedBody", "open_body"]


class Body(Protocol):
    """What an exchange does with the body of a response."""

    @property
    def partial(self) -> int:
        """Bytes so far of the unit that is not complete; 0 if there is none."""
        ...

    def data(self, data: bytes, events: list[Event]) -> None:
        """Decoded bytes of the body."""

    def eof(self, events: list[Event]) -> Step | None:
        """The body is complete. Returns the step that follows, if any."""

    def interrupted(self, events: list[Event]) -> Step | None:
        """The body ended before it was complete. Returns the step that follows, if any."""


def open_body(step: Step, status: int, headers: Headers, limits: Limits) -> Body:
    """How to read the body of the response to `step.request`."""
    kind, expected = content_type(headers), step.media_types
    labelled = expected is None or kind in expected or "json" in kind
    if not (200 <= status < 300 and labelled):
        return RefusedBody(status, headers, limits, step.errors)
    step.response(status, headers)
    return AnswerBody(step, headers, limits)


class RefusedBody:
    """A body that is not an answer. Up to `Limits.error_body` bytes are read for the error."""

    def __init__(
        self, status: int, headers: Headers, limits: Limits, errors: ErrorTable = STANDARD
    ) -> None:
        self._errors = errors
        self._status = status
        self._headers = headers
        self._limit = limits.error_body
        self._body = bytearray()
        self._error: RemoteProtocolError | None = None

    @property
    def partial(self) -> int:
        return len(self._body)

    def data(self, data: bytes, events: list[Event]) -> None:
        self._body += data
        if len(self._body) >= self._limit:
            raise self.error()

    def eof(self, events: list[Event]) -> Step | None:
        raise self.error()

    def interrupted(self, events: list[Event]) -> Step | None:
        raise self.error()

    def error(self) -> RemoteProtocolError:
        """The error that this response reports, with its body so far. The same one each time."""
        if self._error is None:
            del self._body[self._limit :]
            body = bytes(self._body)
            self._body.clear()
            if 200 <= self._status < 300:
                self._error = unexpected(self._headers, body)
            else:
                self._error = refusal_of_response(self._status, self._headers, body, self._errors)
        return self._error


class AnswerBody:
    """The body of a 2xx response: handed to the step, or kept until a document is whole."""

    __slots__ = (
        "_elements",
        "_headers",
        "_is",
        "_kept",
        "_limit",
        "_limits",
        "_said",
        "_size",
        "_step",
    )

    def __init__(self, step: Step, headers: Headers, limits: Limits) -> None:
        self._step = step
        self._headers = headers
        self._limits = limits
        self._limit: int = getattr(limits, step.limit)
        self._size = 0
        self._said = 0  # the size of what is kept, up to its last bytes that are not blank
        # None: the step reads the body as it arrives.
        self._kept: bytearray | None = None if step.framing == "bytes" else bytearray()
        self._elements: EventStep | None = None  # the step, if it reads an array's elements
        self._is: Literal["stream", "document", "page", "unknown"] = "unknown"

    @property
    def partial(self) -> int:
        if self._kept is not None:
            return self._said
        return self._size if self._step.framing == "bytes" else self._step.partial

    def data(self, data: bytes, events: list[Event]) -> None:
        self._size += len(data)
        if self._size <= self._limit:
            if self._kept is None and self._elements is None:  # as in _read: most bytes
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

    def interrupted(self, events: list[Event]) -> Step | None:
        if self._kept is not None and (self._is == "page" or is_whole_json(bytes(self._kept))):
            return self.eof(events)
        return None

    def _read(self, data: bytes, events: list[Event]) -> None:
        if self._kept is None:
            self._hand(data, events)
            return
        self._kept += data
        if self._is == "unknown":
            head = bytes(self._kept.lstrip())  # blank lines at the start mean nothing
            bom = BOM if head.startswith(BOM) else b""
            self._kept = bytearray(bom + head[len(bom) :].lstrip())
            self._is = self._recognize(bytes(self._kept))
            if self._is == "stream":
                head = bytes(self._kept)
                self._kept = None
                self._headers = []  # only a page needs them
                self._hand(head, events)
                return
        if data.strip():
            self._said = len(self._kept)
        limit = self._limits.error_body if self._is == "page" else self._limits.document
        if len(self._kept) > limit:
            if self._is == "page":
                raise unexpected(self._headers, bytes(self._kept[:limit]))
            raise LimitExceeded(f"a JSON document of more than {limit} bytes")

    def _hand(self, data: bytes, events: list[Event]) -> None:
        if self._elements is not None:
            self._elements.element_data(data, events)
        else:
            self._step.data(data, events)

    def _recognize(self, head: bytes) -> Literal["stream", "document", "page", "unknown"]:
        first = head.removeprefix(BOM)[:1]
        step = self._step
        if not first or BOM.startswith(head):
            return "unknown"
        if first == b"<":
            return "page"
        if first == b"[" and step.elements and isinstance(step, EventStep):
            self._elements = step
            return "stream"
        if step.framing == "document":
            return "document"
        # A frame begins with its length: too large a number if JSON's first characters are read so.
        return "document" if first in (b"{", b"[") and step.framing != "lines" else "stream"


class RecordedBody:
    """A body whose bytes are kept in `raw`, too."""

    def __init__(self, body: AnswerBody, raw: bytearray) -> None:
        self._body = body
        self._raw = raw

    @property
    def partial(self) -> int:
        return self._body.partial

    def data(self, data: bytes, events: list[Event]) -> None:
        self._raw += data
        self._body.data(data, events)

    def eof(self, events: list[Event]) -> Step | None:
        return self._body.eof(events)

    def interrupted(self, events: list[Event]) -> Step | None:
        return self._body.interrupted(events)
