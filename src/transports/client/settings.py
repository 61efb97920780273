"""The settings of native clients, which make wires and connections."""

import os
from typing import TYPE_CHECKING, Any

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
    """The settings of a native client, or of a driver of your own. See `NativeClient` for what
    they mean."""

    ssl_context: "ssl.SSLContext | None" = None
    proxy: str | None = None
    trust_env: bool = True
    clocks: Clocks | None = None
    retry: Retry | None = None
    allow_private_addresses: bool = False

    def __repr__(self) -> str:
        # The proxy's address may contain a password.
        return f"<ClientSettings {self.clocks} {self.retry}>"

    def __rich_repr__(self) -> list[tuple[str, Any]]:  # msgspec's has the proxy's password
        return [("clocks", self.clocks), ("retry", self.retry)]

    def __post_init__(self) -> None:
        if self.proxy is not None:
            Proxy.of(self.proxy)  # raises an error for a wrong one now, not at the first question

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
        """The protocols of a new connection along `route`."""
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
