"""Passes a request on to a service, and takes what comes back as it comes: each read, each HTTP
chunk of it, the trailers, and whether the connection was closed or reset.

It is the wire of the other transports, with an exchange that decodes nothing.
"""

from collections.abc import Callable
from typing import ClassVar, Literal

import h11

from ..protocols.clocks import Clocks
from ..protocols.events import Event, Unrecognized
from ..protocols.exchange import Exchange, State
from ..protocols.limits import Limits
from ..protocols.retry import NO_RETRY
from ..protocols.step import Step
from ..protocols.toolkit.http import Headers, HeadersLike, Request, as_headers
from ..transports.anyio import Client
from ..transports.client.chunked import ChunkedReader
from ..transports.client.connection import Connection, Route
from ..transports.client.http1 import HTTP1, PlainReader
from ..transports.client.settings import ClientSettings
from .cassette import Framing

__all__ = ["Passage", "PassingClient"]

_CLOCKS = Clocks(connect=10, first_event=None, idle=None)
"""A model that thinks for long is waited for, and a stalled service until the client goes."""

_LIMITS = Limits()


class _PassedOn(Step):
    def __init__(self, request: Request) -> None:
        self.request = request


class Passage(Exchange):
    """One request, and its response undecoded. `read` is called before the bytes of a read are
    looked at, `head` with the status and headers, `take` with the pieces of the body that one read
    has. Afterwards `closing` says how the response ended (None: it did not begin, or is not valid
    HTTP), and `trailers` has the trailers of its body. `http` and `framing` are those of HTTP."""

    def __init__(
        self,
        request: Request,
        *,
        read: Callable[[], None],
        head: Callable[[int, Headers], None],
        take: Callable[[list[bytes]], None],
    ) -> None:
        super().__init__(
            lambda: _PassedOn(request), owes="connection_close", clocks=_CLOCKS, limits=_LIMITS
        )
        self.read = read
        self.take = take
        self.http = ""
        self.framing: Framing = ""
        self.reader: ChunkedReader | PlainReader | None = None
        self.reset = False
        self.closing: Literal["eof", "disconnect", "reset"] | None = None
        self._told = head

    @property
    def trailers(self) -> Headers:
        """The trailers of a chunked body."""
        if not isinstance(self.reader, ChunkedReader):
            return []
        pairs = (line.partition(b":") for line in self.reader.trailers)
        return [(name.strip().lower(), value.strip()) for name, colon, value in pairs if colon]

    def receive_response(self, status: int, headers: HeadersLike) -> None:
        self._responded, self._state = True, State.BODY
        self._told(status, as_headers(headers))

    def receive_batch(self, data: bytes = b"") -> list[Event]:
        return [Unrecognized(b"")]  # wakes whoever waits: the pieces were taken already

    def receive_eof(self, framed: bool | None = None) -> list[Event]:
        self._state, self.closing = State.SETTLED, "eof"
        return []

    def receive_disconnect(self) -> list[Event]:
        self.closing = "reset" if self.reset else "disconnect"
        if self._state is State.BODY:
            self._state = State.SETTLED
            return []
        return super().receive_disconnect()


class _Noting:
    """Reads a body as `reader` does, and gives its pieces to a passage."""

    def __init__(self, reader: ChunkedReader | PlainReader, passage: Passage) -> None:
        self._reader = reader
        self._passage = passage
        self.ends_with_connection = reader.ends_with_connection

    @property
    def done(self) -> bool:
        return self._reader.done

    @property
    def rest(self) -> bytes:
        return self._reader.rest

    @property
    def suspect(self) -> bool:
        return self._reader.suspect

    def feed(self, data: bytes, content: list[bytes]) -> None:
        pieces: list[bytes] = []
        try:
            self._reader.feed(data, pieces)
        finally:
            if pieces:
                self._passage.take(pieces)
                content.append(b"")


class _HTTP(HTTP1):
    _passage: Passage

    def receive(self, data: bytes, exchange: Exchange, events: list[Event]) -> None:
        assert isinstance(exchange, Passage)
        self._passage = exchange
        exchange.read()
        super().receive(data, exchange, events)

    def _choose_framing(self, response: h11.Response) -> None:
        super()._choose_framing(response)
        passage, body = self._passage, self._body
        passage.http = response.http_version.decode()
        passage.reader = body
        if isinstance(body, ChunkedReader):
            passage.framing = "chunked"
        else:
            passage.framing = "close" if body.ends_with_connection else "length"
        self._body = _Noting(body, passage)  # type: ignore[assignment]


class _Connection(Connection):
    protocol: ClassVar[type[HTTP1]] = _HTTP

    def eof(self, clean: bool, exchange: Exchange, events: list[Event]) -> None:
        assert isinstance(exchange, Passage)
        exchange.reset = not clean
        exchange.read()
        super().eof(clean, exchange, events)


class _Settings(ClientSettings, frozen=True, kw_only=True):
    def connection(self, route: Route) -> Connection:
        return _Connection(route, _LIMITS.head, self._context)


class PassingClient(Client):
    """Asks for a `Passage`, on whichever event loop is running."""

    def __init__(self) -> None:
        super().__init__()
        self._settings = _Settings(retry=NO_RETRY)
