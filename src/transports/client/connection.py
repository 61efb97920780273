"""One TCP connection without its socket: a stack of tunnel, TLS and HTTP/1.1."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

from ...protocols.errors import ConnectFailed
from ...protocols.events import Event
from ...protocols.exchange import Exchange
from ...protocols.toolkit.http import Origin, Request
from .http1 import HTTP1
from .proxy import Proxy, Tunnel

if TYPE_CHECKING:
    import ssl

    from .tls import TLS

__all__ = ["Connection", "Route"]


class Route(msgspec.Struct, frozen=True, gc=False):
    """Where a connection leads, and how. Idle connections of one route are interchangeable.

    `guarded`: a server chose the address, which must not be inside our own network.
    """

    origin: Origin
    proxy: Proxy | None = None
    guarded: bool = False

    @property
    def address(self) -> tuple[str, int]:
        """The host and port to connect to."""
        if self.proxy is not None:
            return self.proxy.host, self.proxy.port
        return self.origin.host, self.origin.port


class Connection:
    """The stack of one connection. `http` is the current request."""

    __slots__ = ("_out", "_ssl_context", "_tls", "_tunnel", "_unsent", "http", "over", "route")

    def __init__(
        self, route: Route, head_limit: int, ssl_context: Callable[[], "ssl.SSLContext"]
    ) -> None:
        self.route = route
        self._ssl_context = ssl_context
        self._out = bytearray()
        self._unsent = b""  # the request, until the connection is established
        self._tls: TLS | None = None
        self._tunnel: Tunnel | None = None
        self.http: HTTP1  # unset before `start`
        self.over = False
        """Whether TLS has ended: nothing more can be received, though the socket may be open."""
        if route.proxy is not None and route.origin.scheme == "https":
            self._tunnel = Tunnel(route.proxy, route.origin, head_limit)
            self._out += self._tunnel.request
        else:
            self._open_tls()

    @property
    def established(self) -> bool:
        """Whether tunnel and TLS are ready, and the request can be sent."""
        return (self._tunnel is None or self._tunnel.open) and (
            self._tls is None or self._tls.established
        )

    def start(self, request: Request, head_limit: int) -> None:
        """Send `request`; the head of its response may have `head_limit` bytes. Raises
        LocalProtocolError if it can't be written."""
        self.http = HTTP1(head_limit)
        proxy = self.route.proxy if self.route.origin.scheme == "http" else None
        self._unsent = self.http.start(
            request, through_proxy=None if proxy is None else proxy.authorization
        )
        self._flush()

    def data_to_send(self) -> bytes:
        """Bytes for the socket; empty if there are none."""
        if not self._out:
            return b""
        data = bytes(self._out)
        self._out.clear()
        return data

    def receive(self, data: bytes, exchange: Exchange, events: list[Event]) -> None:
        """Bytes from the socket. Raises ConnectFailed until the connection is established, then
        Malformed and LimitExceeded. The events before the error are in `events`."""
        if self._tunnel is not None and not self._tunnel.open:
            data = self._tunnel.receive(data)
            if not self._tunnel.open:
                return
            self._open_tls()
        if self._tls is None:
            if data:
                self.http.receive(data, exchange, events)
            return
        data = self._tls.receive(data)
        self._flush()
        self.over = self._tls.closed or self._tls.broken
        if data:
            self.http.receive(data, exchange, events)
        if self._tls.closed:
            self.http.eof(True, exchange, events)

    def eof(self, clean: bool, exchange: Exchange, events: list[Event]) -> None:
        """The peer closed the socket; `clean` is False if it was reset. Raises ConnectFailed until
        the connection is established."""
        if self._tunnel is not None and not self._tunnel.open:
            self._tunnel.receive(b"")
        if not self.established:
            raise ConnectFailed(f"{self.route.origin.host} closed the connection during TLS")
        # Under TLS, without close_notify, an attacker may have closed the connection.
        self.http.eof(clean and self._tls is None, exchange, events)

    def _open_tls(self) -> None:
        if self.route.origin.scheme == "https":
            from .tls import TLS  # here, so that plain http does not load ssl

            self._tls = TLS(self._ssl_context(), self.route.origin.host)
            self._flush()

    def _flush(self) -> None:
        if self._unsent and self.established:
            if self._tls is None:
                self._out += self._unsent
            else:
                self._tls.send(self._unsent)
            self._unsent = b""
        if self._tls is not None:
            self._out += self._tls.data_to_send()
