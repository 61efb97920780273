"""One TCP connection without its socket: a stack of TLS, tunnel and HTTP/1.1."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, ClassVar, TypeAlias

import msgspec

from ...protocols.errors import ConnectFailed
from ...protocols.events import Event
from ...protocols.exchange import Exchange
from ...protocols.toolkit.http import Origin, Request
from .http1 import HTTP1
from .proxy import Proxy
from .socks import Socks
from .tunnel import Tunnel

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

    @property
    def forwarder(self) -> Proxy | None:
        """The proxy that gets the request itself, if any: others only lead to the server."""
        if self.origin.scheme == "http" and self.proxy is not None:
            return None if self.proxy.scheme == "socks5" else self.proxy
        return None

    @property
    def peer(self) -> str:
        """How messages call what is connected to."""
        if self.proxy is not None:
            return self.proxy.name
        return f"{self.origin.host}:{self.origin.port}"


Layer: TypeAlias = "TLS | Tunnel | Socks"
"""What lies between the socket and HTTP. Bytes go through `receive` and `data_to_send`, and once it
is `established`, something can be sent by it. If it never is, `unfinished` is what happened."""


class Connection:
    """The stack of one connection. `http` is the current request."""

    __slots__ = (
        "_ahead",
        "_opening",
        "_request",
        "_tls",
        "http",
        "over",
        "plain",
        "route",
        "unsent",
    )

    protocol: ClassVar[type[HTTP1]] = HTTP1

    def __init__(
        self, route: Route, head_limit: int, ssl_context: Callable[[], "ssl.SSLContext"]
    ) -> None:
        self.route = route
        self.unsent = bytearray()
        """Bytes for the socket."""
        self._request = b""  # until the connection is established
        self._tls: list[TLS] = []  # established, outermost first: with a proxy, and with the server
        self._ahead = _layers(route, head_limit, ssl_context)
        self._opening: Layer | None = next(self._ahead, None)
        self.plain = self._opening is None
        """Whether nothing lies between the socket and `http`, which may be fed directly."""
        self.http: HTTP1  # unset before `start`
        self.over = False
        """Whether TLS has ended: nothing more can be received, though the socket may be open."""
        self._flush()

    @property
    def established(self) -> bool:
        """Whether tunnel and TLS are ready, and the request can be sent."""
        return self._opening is None

    @property
    def refusal(self) -> ConnectFailed | None:
        """Why the proxy refuses, if it has begun to say so."""
        return self._opening.refusal if isinstance(self._opening, Tunnel) else None

    @property
    def fault(self) -> ConnectFailed | None:
        """Why TLS broke after it was established, if it did."""
        return next((tls.fault for tls in self._tls if tls.fault is not None), None)

    def start(self, request: Request, head_limit: int) -> None:
        """Send `request`; the head of its response may have `head_limit` bytes. Raises
        LocalProtocolError if it can't be written."""
        self.http = self.protocol(head_limit)
        forwarder = self.route.forwarder
        self._request = self.http.start(
            request, through_proxy=None if forwarder is None else forwarder.authorization
        )
        self._flush()

    def data_to_send(self) -> bytes:
        """Bytes for the socket; empty if there are none."""
        if not self.unsent:
            return b""
        data = bytes(self.unsent)
        self.unsent.clear()
        return data

    def receive(self, data: bytes, exchange: Exchange, events: list[Event]) -> None:
        """Bytes from the socket. Raises ConnectFailed until the connection is established, then
        Malformed and LimitExceeded. The events before the error are in `events`."""
        for tls in self._tls:
            data = tls.receive(data)
        if self._opening is not None:
            data = self._open(data)
        if self._tls:
            self._flush()
            self.over = any(tls.closed for tls in self._tls) or self.fault is not None
        if data:
            self.http.receive(data, exchange, events)
        if self._tls and self._tls[-1].closed:
            self.http.eof(True, exchange, events)

    def eof(self, clean: bool, exchange: Exchange, events: list[Event]) -> None:
        """The peer closed the socket; `clean` is False if it was reset. Raises ConnectFailed until
        the connection is established."""
        if self._opening is not None:
            raise self.refusal or ConnectFailed(self._opening.unfinished)
        # Under TLS, without close_notify, an attacker may have closed the connection.
        self.http.eof(clean and not self._tls, exchange, events)

    def _open(self, data: bytes) -> bytes:
        """Go on opening the way. Returns what was received after that."""
        while self._opening is not None:
            data = self._opening.receive(data)
            if not self._opening.established:
                break
            if not isinstance(self._opening, Tunnel | Socks):  # those have done their work
                self._tls.append(self._opening)
            self._opening = next(self._ahead, None)
        self._flush()
        return data

    def _flush(self) -> None:
        if self._opening is not None:
            data = self._opening.data_to_send()
        else:
            data, self._request = self._request, b""
        for tls in reversed(self._tls):
            if data:
                tls.send(data)
            data = tls.data_to_send()
        self.unsent += data


def _layers(
    route: Route, head_limit: int, ssl_context: Callable[[], "ssl.SSLContext"]
) -> Iterator[Layer]:
    """The layers of `route`, the outermost first. The next one is made once that is established."""
    proxy, origin = route.proxy, route.origin
    if proxy is not None:
        if proxy.scheme == "https":
            yield _tls(ssl_context, proxy.host, proxy.name)
        if proxy.scheme == "socks5":
            yield Socks(proxy, origin)
        elif origin.scheme == "https":
            yield Tunnel(proxy, origin, head_limit)
    if origin.scheme == "https":
        yield _tls(ssl_context, origin.host)


def _tls(ssl_context: Callable[[], "ssl.SSLContext"], host: str, name: str = "") -> "TLS":
    from .tls import TLS  # here, so that plain http does not load ssl

    return TLS(ssl_context(), host, name)
