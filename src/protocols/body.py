"""Finds out what a response body is: an answer, one JSON document, a web page, an error.

The content type can't be trusted: services label streams as `text/plain` and errors as
`text/event-stream`, and send documents where a stream was asked for. The first byte that is not
white space decides.
"""

from collections.abc import Callable
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

__all__ = ["AnswerBody", "Body", "RefusedBody", "open_body"]


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
        "_headers",
        "_is",
        "_kept",
        "_limit",
        "_limits",
        "_said",
        "_size",
        "_step",
        "_take",
    )

    def __init__(self, step: Step, headers: Headers, limits: Limits) -> None:
        self._step = step
        self._headers = headers
        self._limits = limits
        self._limit: int = getattr(limits, step.limit)
        self._size = 0
        self._said = 0  # the size of what is kept, up to its last bytes that are not blank
        self._kept = bytearray()
        # What takes the bytes as they arrive; None: they are kept.
        self._take: Callable[[bytes, list[Event]], None] | None = None
        if step.framing == "bytes":
            self._take = step.data
        self._is: Literal["stream", "document", "page", "unknown"] = "unknown"

    @property
    def partial(self) -> int:
        if self._take is None:
            return self._said
        return self._size if self._step.framing == "bytes" else self._step.partial

    def data(self, data: bytes, events: list[Event]) -> None:
        self._size += len(data)
        if self._size <= self._limit:
            (self._take or self._keep)(data, events)
            return
        (self._take or self._keep)(data[: self._limit - self._size], events)
        if self._step.evidence != "terminator":
            raise LimitExceeded(f"a body of more than {self._limit} bytes")

    def eof(self, events: list[Event]) -> Step | None:
        if self._take is not None:
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
        if self._take is not None:
            self._step.interrupted()
        elif self._is == "page" or is_whole_json(bytes(self._kept)):
            return self.eof(events)
        return None

    def _keep(self, data: bytes, events: list[Event]) -> None:
        self._kept += data
        if self._is == "unknown":
            head = bytes(self._kept.lstrip())  # blank lines at the start mean nothing
            bom = BOM if head.startswith(BOM) else b""
            self._kept = bytearray(bom + head[len(bom) :].lstrip())
            self._is = self._recognize(bytes(self._kept))
            if self._take is not None:
                head = bytes(self._kept)
                self._kept.clear()
                self._headers = []  # only a page needs them
                self._take(head, events)
                return
        if data.strip():
            self._said = len(self._kept)
        limit = self._limits.error_body if self._is == "page" else self._limits.document
        if len(self._kept) > limit:
            if self._is == "page":
                raise unexpected(self._headers, bytes(self._kept[:limit]))
            raise LimitExceeded(f"a JSON document of more than {limit} bytes")

    def _recognize(self, head: bytes) -> Literal["stream", "document", "page", "unknown"]:
        """What the body is; if it is a stream, the step takes it from now on."""
        first = head.removeprefix(BOM)[:1]
        step = self._step
        if not first or BOM.startswith(head):
            return "unknown"
        if first == b"<":
            return "page"
        if first == b"[" and step.elements and isinstance(step, EventStep):
            self._take = step.element_data
            return "stream"
        # A frame begins with its length: too large a number if JSON's first characters are read so.
        if step.framing == "document" or (first in (b"{", b"[") and step.framing != "lines"):
            return "document"
        self._take = step.data
        return "stream"
