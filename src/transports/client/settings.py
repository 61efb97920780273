"""What the clients of all native transports have in common: their settings."""

import os
from typing import TYPE_CHECKING

import msgspec

from ...protocols.clocks import Clocks
from ...protocols.exchange import Exchange
from ...protocols.limits import Limits
from ...protocols.retry import Retry
from ...protocols.toolkit.http import Origin
from .connection import Connection, Route
from .proxy import Proxy, proxy_from_environment
from .wire import Wire

if TYPE_CHECKING:
    import ssl

__all__ = ["ClientSettings"]

_HEAD_LIMIT = Limits().head


class ClientSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The arguments of a `Client`.

    `ssl_context`: your own, to trust another authority or to show a certificate; without it the
    system's authorities are trusted, and host names are verified. `proxy`: `http://host:port`;
    without it, and with `trust_env`, the environment's. `clocks`: without it those of the provider.
    `retry`: when to ask again. `allow_private_addresses`: follow a server that chooses an address
    in a private network.
    """

    ssl_context: "ssl.SSLContext | None" = None
    proxy: str | None = None
    trust_env: bool = True
    clocks: Clocks | None = None
    retry: Retry | None = None
    allow_private_addresses: bool = False

    def __repr__(self) -> str:
        # The proxy's address may have a password in it.
        return f"<ClientSettings {self.clocks} {self.retry}>"

    def __post_init__(self) -> None:
        if self.proxy is not None:
            Proxy.of(self.proxy)  # raises what is wrong with it now, not at the first question

    def wire(self, exchange: Exchange, *, now: float, wall_clock: float, jitter: float) -> Wire:
        """A wire for `exchange`."""
        return Wire(
            exchange,
            proxy=self._proxy,
            clocks=self.clocks,
            retry=self.retry,
            allow_private_addresses=self.allow_private_addresses,
            now=now,
            wall_clock=wall_clock,
            jitter=jitter,
        )

    def connection(self, route: Route) -> Connection:
        """The stack of a new connection of `route`."""
        return Connection(route, _HEAD_LIMIT, self._context)

    def _proxy(self, origin: Origin) -> Proxy | None:
        if self.proxy is not None:
            return Proxy.of(self.proxy)
        return proxy_from_environment(origin, os.environ) if self.trust_env else None

    def _context(self) -> "ssl.SSLContext":
        if self.ssl_context is not None:
            return self.ssl_context
        from .tls import default_context

        return default_context()
