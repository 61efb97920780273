"""How the embedded server splits its answers into writes, and what it does wrong.

A `Cutting` says in which pieces the bytes of a body are written. A `Fault` is one thing that goes
wrong with one response; a tuple combines several: `(Gzip(), CloseAfter(20))`. `scripts` works out
what the server has to do for them.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import cycle
from typing import Literal, TypeAlias, TypeVar, assert_never

from ..protocols.errors import LocalProtocolError

__all__ = [
    "BreakEvent",
    "CloseAfter",
    "CloseIdle",
    "Cutting",
    "DropTerminator",
    "EndAfter",
    "ErrorObject",
    "Fault",
    "Faults",
    "Gzip",
    "HtmlPage",
    "KeepAlives",
    "Linger",
    "RefuseWith",
    "ResetAfter",
    "StallAfter",
    "Unframed",
]

_T = TypeVar("_T")


@dataclass(frozen=True)
class Cutting:
    """In which pieces a body is written, each with a separate `send`, and how many seconds pass
    between two of them. The class methods make one."""

    by: Literal["whole", "event", "sizes"] = "event"
    sizes: tuple[int, ...] = ()
    pause: float = 0.0

    def __post_init__(self) -> None:
        if self.by == "sizes" and not (self.sizes and min(self.sizes) > 0):
            raise LocalProtocolError(f"cutting by sizes {self.sizes}: give sizes above 0")

    @classmethod
    def whole(cls) -> "Cutting":
        """Everything in one write, once the answer is complete."""
        return cls("whole")

    @classmethod
    def per_event(cls, *, pause: float = 0.0) -> "Cutting":
        """One write for each event."""
        return cls("event", pause=pause)

    @classmethod
    def byte_by_byte(cls, *, pause: float = 0.0) -> "Cutting":
        """One write for each byte."""
        return cls("sizes", (1,), pause)

    @classmethod
    def of_sizes(cls, *sizes: int, pause: float = 0.0) -> "Cutting":
        """Writes of these sizes in bytes, again and again, regardless of where events end."""
        return cls("sizes", sizes, pause)

    def cut(self, pieces: Iterable[bytes | _T]) -> Iterator[bytes | _T]:
        """The writes for a body that is produced in `pieces`. None of them is empty. What is not
        bytes is passed on at once."""
        match self.by:
            case "whole":
                whole = bytearray()
                for piece in pieces:
                    if isinstance(piece, bytes):
                        whole += piece
                    else:
                        yield piece
                yield from filter(None, (bytes(whole),))
            case "event":
                yield from filter(None, pieces)
            case "sizes":
                rest = bytearray()
                sizes = cycle(self.sizes)
                size = next(sizes)
                for piece in pieces:
                    if not isinstance(piece, bytes):
                        yield piece
                        continue
                    rest += piece
                    while len(rest) >= size:
                        yield bytes(rest[:size])
                        del rest[:size]
                        size = next(sizes)
                yield from filter(None, (bytes(rest),))
            case _:
                assert_never(self.by)


# Faults. Bytes are counted in the body as it is written: after Gzip, before any chunk framing.


@dataclass(frozen=True)
class CloseAfter:
    """The connection is closed (FIN) after `count` bytes of body, without the end of the body; if
    `head` is False, before the head of the response."""

    count: int
    head: bool = True


@dataclass(frozen=True)
class ResetAfter:
    """The connection is reset (RST) after `count` bytes of body; if `head` is False, before the
    head of the response."""

    count: int
    head: bool = True


@dataclass(frozen=True)
class EndAfter:
    """The body ends after `count` bytes, and HTTP says that it is complete. Some gateways do this
    when they lose their upstream connection."""

    count: int


@dataclass(frozen=True)
class StallAfter:
    """After `count` bytes of body nothing more is sent until the client leaves; if `head` is False,
    not even the head of the response."""

    count: int
    head: bool = True


@dataclass(frozen=True)
class KeepAlives:
    """After the event with which `count` bytes of body are sent, only keep-alives are sent, one
    every `interval` seconds, until the client leaves: comments (`: keepalive`), line ends where the
    format is JSON, and nothing where it is binary. Don't combine it with Gzip."""

    count: int = 0
    interval: float = 0.05


@dataclass(frozen=True)
class Linger:
    """After the whole body, the last chunk is not sent: the connection stays open until the client
    leaves."""


@dataclass(frozen=True)
class CloseIdle:
    """The response is correct, but the connection is then closed without notice."""


@dataclass(frozen=True)
class RefuseWith:
    """An error status (or a redirect: `headers=(("location", "..."),)`), with an error in the words
    of the format. `retry_after` is the value of that header, in seconds or a date."""

    status: int
    retry_after: str | None = None
    message: str = "requested by the test"
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class HtmlPage:
    """A page of HTML instead of the answer."""

    status: int = 200
    page: str = "<!doctype html><title>Welcome</title><p>Please log in."


@dataclass(frozen=True)
class ErrorObject:
    """An error object in JSON with status 200."""

    message: str = "requested by the test"


@dataclass(frozen=True)
class BreakEvent:
    """After `after` events, bytes that are not a valid event (`data`) are sent, then the rest."""

    after: int = 0
    data: bytes = b'data: {"broken": \n\n'


@dataclass(frozen=True)
class DropTerminator:
    """The bytes of `End` are left out (`data: [DONE]`, `stream-end`); the body ends as usual."""


@dataclass(frozen=True)
class Gzip:
    """The body is sent with `content-encoding: gzip`, flushed after each event."""


@dataclass(frozen=True)
class Unframed:
    """The response is one of HTTP/1.0, without a length or chunks: it ends with the connection."""


Fault: TypeAlias = (
    CloseAfter
    | ResetAfter
    | EndAfter
    | StallAfter
    | KeepAlives
    | Linger
    | CloseIdle
    | RefuseWith
    | HtmlPage
    | ErrorObject
    | BreakEvent
    | DropTerminator
    | Gzip
    | Unframed
)

Faults: TypeAlias = Fault | tuple[Fault, ...] | None
"""What goes wrong with one response. If there are several endings, the last one counts."""
