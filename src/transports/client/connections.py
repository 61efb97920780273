"""What the answers of one native client share: its settings, its network, the idle connections."""

import os
import time
import warnings
from collections.abc import Callable
from functools import lru_cache
from ipaddress import ip_address
from threading import Lock

from ...protocols.errors import ConnectFailed
from ...protocols.exchange import Exchange
from .answer import NOT_CLOSED
from .network import Network, Stream
from .pool import Kept, Pool
from .settings import ClientSettings
from .wire import Connect, Wire

__all__ = ["Connections"]


class Connections:
    """Makes connections, and keeps them for the next question.

    `network` is called when something is asked first. With `single_use` all is closed with the
    first answer.
    """

    def __init__(
        self, settings: ClientSettings, network: Callable[[], Network], *, single_use: bool
    ) -> None:
        self.single_use = single_use
        self.closed = False
        self._settings = settings
        self._make_network = network
        self._network: Network | None = None
        self._pool: Pool[Stream] = Pool()
        self._lock = Lock()  # over the pool: blocking answers may be read in several threads

    def __del__(self, warn: Callable[..., None] = warnings.warn) -> None:
        if streams := self._pool.clear():
            warn(NOT_CLOSED.format("a client"), ResourceWarning, source=self)
        for stream in streams:
            self.call_from_thread(stream.close)

    def network(self) -> Network:
        """The network of the event loop that first asked for it."""
        if self._network is None:
            self._network = self._make_network()
        return self._network

    def wire(self, exchange: Exchange) -> Wire:
        """A wire for `exchange`."""
        jitter = int.from_bytes(os.urandom(4)) / 2**32  # `random` takes long to import
        now = self.network().now()
        return self._settings.wire(exchange, now=now, wall_clock=time.time(), jitter=jitter)

    def take(self, action: Connect) -> Kept[Stream] | None:
        """A kept connection, if there is one, and it may be that."""
        while not action.fresh:
            with self._lock:
                expired = self._pool.expire(self.network().now())
                kept = self._pool.take(action.route)
            for stream in expired:
                stream.close()
            if kept is None or kept.stream.is_quiet():
                return kept
            kept.stream.close()
        return None

    async def connect(self, action: Connect, wire: Wire) -> Kept[Stream]:
        """A new connection. Raises ConnectFailed, UnexpectedContent."""
        network = self.network()
        host, port = action.route.address
        connection = self._settings.connection(action.route)
        addresses = await _resolve(network, host, port, action.deadline)
        reason: OSError | None = None
        for tried, address in enumerate(addresses):
            wire.check_address(address)
            deadline = action.deadline
            if deadline is not None:
                # Each address gets its share of the time, so that a dead one leaves some.
                now = network.now()
                deadline = now + (deadline - now) / (len(addresses) - tried)
            try:
                stream = await network.connect(address, port, deadline)
            except OSError as error:
                reason = error
                continue
            return Kept(stream, connection, address, 0)
        raise ConnectFailed(f"no connection to {host}:{port}: {reason}") from reason

    def keep(self, kept: Kept[Stream]) -> None:
        """Put a connection aside for the next question."""
        kept.since = self.network().now()
        with self._lock:
            close = [kept.stream] if self.closed else self._pool.put(kept)
        for stream in close:
            stream.close()

    def close(self) -> None:
        """Close what is kept."""
        with self._lock:
            self.closed = True
            streams = self._pool.clear()
        for stream in streams:
            stream.close()

    def call_from_thread(self, call: Callable[[], None]) -> None:
        """Have `call` called where the network's calls may be made, if anything was ever read."""
        if self._network is not None:
            self._network.call_from_thread(call)


@lru_cache(64)
def _literal(host: str) -> str | None:
    """`host`, if it is an IP address."""
    try:
        return str(ip_address(host))
    except ValueError:
        return None


async def _resolve(network: Network, host: str, port: int, deadline: float | None) -> list[str]:
    """The IP addresses of `host`. Raises ConnectFailed."""
    if (address := _literal(host)) is not None:
        return [address]
    try:
        return await network.resolve(host, port, deadline)
    except (OSError, UnicodeError) as error:
        raise ConnectFailed(f"the name {host} can't be resolved: {error}") from error
