"""Native transports: clients that drive a wire over the network of an I/O library."""

import os
import time
import warnings
from collections.abc import Awaitable, Callable, Sequence
from math import inf
from threading import Lock
from typing import TYPE_CHECKING, assert_never

from ...protocols.clocks import Clocks
from ...protocols.errors import (
    ConnectFailed,
    LocalProtocolError,
    TokenwireError,
    TransportError,
)
from ...protocols.events import Event
from ...protocols.exchange import Exchange
from ...protocols.retry import Retry
from .addresses import is_ip
from .answer import NOT_CLOSED, Reading, Take
from .clients import AnyClient
from .connection import Route
from .network import Dialer, Network, Stream
from .pool import Link, Pool
from .settings import ClientSettings
from .wire import Connect, Release, Sleep, Transfer, Wire

if TYPE_CHECKING:
    import ssl

    from ...protocols.observer import Observing

__all__ = ["NativeClient"]


class NativeClient(AnyClient):
    """Asks over a network, and keeps idle connections for the next question.

    `ssl_context`: your own, to trust another authority or to present a certificate; without it the
    system's authorities are trusted, and host names are verified. It is for a proxy over TLS, too.
    `proxy`: `http://host:port`, `https://host:port` or `socks5://host:port`, with a
    `user:password@` if it needs that; without it the environment's, if `trust_env`. `clocks`:
    without them those of the provider. `retry`: when to ask again. `allow_private_addresses`:
    follow a server to an address in a private network. `single_use`: the client is for one answer,
    and closed with it. `observers` are told of each chat that is asked by it: give functions that
    make an `Observer`, as each one is for a single question.
    """

    def __init__(
        self,
        *,
        ssl_context: "ssl.SSLContext | None" = None,
        proxy: str | None = None,
        trust_env: bool = True,
        clocks: Clocks | None = None,
        retry: Retry | None = None,
        allow_private_addresses: bool = False,
        single_use: bool = False,
        observers: "Sequence[Observing]" = (),
    ) -> None:
        super().__init__(observers)
        self._single_use = single_use
        self._home: tuple[Network, Pool] | None = None  # in the event loop that asked last
        self._moving = Lock()
        self._settings = ClientSettings(
            ssl_context=ssl_context,
            proxy=proxy,
            trust_env=trust_env,
            clocks=clocks,
            retry=retry,
            allow_private_addresses=allow_private_addresses,
        )

    @classmethod
    def network(cls) -> Network:
        """The network of the event loop that runs."""
        raise NotImplementedError

    def close(self) -> None:
        """Open no more answers, and close the idle connections. Answers that are open continue."""
        super().close()
        if self._home is not None:
            _retire(*self._home)

    def __del__(self, warn: Callable[..., None] = warnings.warn) -> None:
        if self._home is None:
            return
        network, pool = self._home
        if streams := pool.clear():
            warn(NOT_CLOSED.format("a client"), ResourceWarning, source=self)
        for stream in streams:
            network.call_from_thread(stream.close)

    def _joined(self) -> tuple[Network, Pool]:
        """The network of the event loop that runs, and its idle connections. In another loop than
        before both are new: a connection belongs to the loop that made it."""
        home = self._home
        if home is not None and home[0].is_current():
            return home
        try:
            network = self.network()
        except RuntimeError:  # as asyncio and trio have it
            raise LocalProtocolError(
                "no event loop of this transport's library is running here: take the transport of "
                "the one that is, or tokenwire.transports.sync"
            ) from None
        with self._moving:  # loops may run in several threads
            if self._home is not None:
                _retire(*self._home)
            home = self._home = network, Pool()
            if self.closed:  # since the answer was opened
                _retire(*home)
        return home

    def _reading(self, exchange: Exchange) -> Reading:
        close = self.close if self._single_use else None
        return _WireReading(exchange, self._settings, self._joined, close)


def _retire(network: Network, pool: Pool) -> None:
    """Close the idle connections of `network`, and those that will be: in its own event loop."""
    for stream in pool.retire():
        if network.is_current():
            stream.close()
        else:
            network.call_from_thread(stream.close)


class _WireReading(Reading):
    """Does what a wire asks for, over the network that `join` returns. `close` is called at its
    end."""

    __slots__ = (
        "_aborted",
        "_close",
        "_dialer",
        "_exchange",
        "_join",
        "_link",
        "_network",
        "_pool",
        "_settings",
        "_unsent",
        "_wire",
    )

    def __init__(
        self,
        exchange: Exchange,
        settings: ClientSettings,
        join: Callable[[], tuple[Network, Pool]],
        close: Callable[[], None] | None,
    ) -> None:
        super().__init__()
        self._exchange: Exchange | None = exchange  # until the wire has it
        self._settings = settings
        self._pool: Pool | None = None
        self._join = join
        self._close = close
        self._wire: Wire | None = None
        self._network: Network | None = None
        self._dialer: Dialer | None = None
        self._link: Link | None = None
        self._unsent: memoryview | bytes = b""
        self._aborted = False

    async def fill(self) -> list[Event]:
        if self._exchange is not None:
            self._start(self._exchange)
        wire, network = self._wire, self._network
        assert wire is not None
        assert network is not None
        try:
            while not wire.events:
                if self._aborted:
                    self._drop()  # it may have been connected since
                    if wire.finished:
                        return []
                    wire.leave(aborted=True)
                    raise TransportError("the answer was closed, or aborted")
                action = wire.next(network.now())
                match action:
                    case Transfer():
                        # Not a coroutine of its own, as each read comes here.
                        assert self._link is not None
                        stream = self._link.stream
                        try:
                            if action.data:
                                self._unsent = memoryview(bytes(self._unsent) + action.data)
                            if self._unsent:
                                await self._send(stream, action.deadline)
                            while (data := stream.take()) is None:
                                await stream.wait(action.deadline)
                        except TimeoutError:
                            wire.timed_out(network.now())
                        except OSError:
                            wire.lost()
                        else:
                            if self._aborted and not data:
                                wire.lost()  # closed by us, not by the peer
                            else:
                                wire.received(data, network.now())
                    case Connect():
                        await self._connect(wire, action, network)
                    case Release():
                        self._release(action, network)
                    case Sleep():
                        assert self._dialer is not None
                        await self._dialer.sleep(action.until)
                    case None:
                        return []
                    case _:
                        assert_never(action)
        except BaseException:  # above all a cancelled reader, which no longer waits
            wire.pause(network.now())
            raise
        events, wire.events = wire.events, []
        return events

    async def pushed(self, take: Take) -> None:
        async for events in self:
            if (brake := take(events)) is not None:
                await brake
            self._filling = True
            try:
                await self._flow(take)
            finally:
                self._filling = False

    async def _flow(self, take: Take) -> None:
        """Hand over what comes, as long as there is nothing to do but to wait for it."""
        wire, network = self._wire, self._network
        assert wire is not None
        assert network is not None
        handing = _Handing(wire, network, take, lambda: self._aborted)
        while self._link is not None and not self._unsent and not self._aborted:
            until = wire.listen(network.now())
            if until is None:
                return
            handing.until = until
            try:
                await self._link.stream.pump(handing.receive, None if until == inf else until)
            except TimeoutError:
                wire.timed_out(network.now())
            except OSError:
                wire.lost()
            except BaseException:  # above all a cancelled reader, which no longer waits
                wire.pause(network.now())
                raise
            await handing.brake()

    async def leave(self, *, at_once: bool) -> None:
        at_once = at_once or self.lost or self._aborted or not self.is_current()
        try:
            if self._wire is not None and self._wire.finished and not at_once:
                self.ready.clear()
                await self.fill()
        finally:
            self.stop()

    def stop(self) -> None:
        self._aborted = True
        told = self._wire or self._exchange
        assert told is not None  # the wire has the exchange, or will have it
        told.leave()
        self._drop()
        if self._dialer is not None and not self.is_forked():
            self._dialer.wake()  # another task may still be connecting
        if self._close is not None:
            self._close()

    def abort(self) -> None:
        self._aborted = True
        if self._network is not None:  # else nothing was read yet
            self._network.call_from_thread(self._wake)

    def _wake(self) -> None:
        """Wake the reader, which then sees that the answer was aborted. It may be in another
        thread."""
        link, dialer = self._link, self._dialer
        if link is not None:
            link.close()
        assert dialer is not None
        if not self.is_forked():
            dialer.wake()

    def __del__(self, warn: Callable[..., None] = warnings.warn) -> None:
        if self._link is None or self._network is None:
            return
        # Aborted: the event loop ended before it could be closed.
        if not (self._aborted or self.is_forked()):
            warn(NOT_CLOSED.format("an answer"), ResourceWarning, source=self)
        # The garbage collector runs in any thread.
        self._network.call_from_thread(self._link.close)

    def is_current(self) -> bool:
        return super().is_current() and (self._network is None or self._network.is_current())

    def driver(self) -> Wire | None:
        return self._wire

    def _start(self, exchange: Exchange) -> None:
        if self.keeps_raw:
            exchange.keep_raw()
        network, self._pool = self._join()
        self._dialer = network.dialer()
        self._network = network  # after the dialer: an abort in another thread looks at it first
        self._wire = self._settings.wire(
            exchange,
            now=network.now(),
            wall_clock=time.time(),
            jitter=int.from_bytes(os.urandom(4)) / 2**32,  # `random` takes long to import
        )
        self._exchange = None
        self.begun_here()

    async def _send(self, stream: Stream, deadline: float | None) -> None:
        try:
            while self._unsent and (sent := await stream.send(self._unsent, deadline)):
                self._unsent = self._unsent[sent:] or b""  # an empty view would keep all the data
        except (BrokenPipeError, ConnectionResetError):
            pass  # a server may answer before it has read everything, and its answer can be read

    async def _connect(self, wire: Wire, action: Connect, network: Network) -> None:
        self._drop()  # an idle connection that turned out to be closed
        try:
            assert self._pool is not None  # reading has begun
            link = None if action.fresh else self._pool.take(action.route, network.now())
            reused = link is not None
            if link is None:
                link = await self._dial(wire, action, network)
        except TokenwireError as error:
            wire.failed(error, network.now())
            return
        self._link = link
        wire.connected(link.connection, link.address, reused=reused)

    async def _dial(self, wire: Wire, action: Connect, network: Network) -> Link:
        """A new connection. Raises ConnectFailed, UnexpectedContent."""
        dialer = self._dialer
        assert dialer is not None
        port = action.route.address[1]
        connection = self._settings.connection(action.route)
        addresses = await _resolve(dialer, action.route, action.deadline)
        reason: OSError | None = None
        for tried, address in enumerate(addresses):
            wire.check_address(address)
            deadline = action.deadline
            if deadline is not None:
                # Each address gets its share of the time, so that one that is down leaves some.
                now = network.now()
                deadline = now + (deadline - now) / (len(addresses) - tried)
            try:
                stream = await dialer.connect(address, port, deadline)
            except OSError as error:
                reason = error
                continue
            return Link(stream, connection, address)
        raise ConnectFailed(f"no connection to {action.route.peer}: {reason}") from reason

    def _release(self, action: Release, network: Network) -> None:
        if not action.keep or self._unsent:
            self._drop()
            return
        link, self._link = self._link, None
        assert link is not None
        assert self._pool is not None
        self._pool.put(link, network.now())

    def _drop(self) -> None:
        """Close the connection, if there is one."""
        self._unsent = b""
        link, self._link = self._link, None
        if link is not None:
            link.close()


class _Handing:
    """Hands what a wire makes of its bytes to `take`, as they come."""

    __slots__ = ("_aborted", "_brake", "_network", "_take", "_thrown", "_wire", "until")

    def __init__(
        self, wire: Wire, network: Network, take: Take, aborted: Callable[[], bool]
    ) -> None:
        self._wire = wire
        self._network = network
        self._take = take
        self._aborted = aborted
        self._brake: Awaitable[object] | None = None
        self._thrown: BaseException | None = None
        self.until = inf
        """Until when to wait."""

    def receive(self, data: bytes) -> float | None:
        """Until when to wait for more; None: not now. See `network.Receive`."""
        wire, now = self._wire, self._network.now
        if not data and self._aborted():
            wire.lost()  # closed by us, not by the peer
            return None
        try:
            wire.received(data, now())
            if wire.events:
                events, wire.events = wire.events, []
                self._brake = self._take(events)
                if self._brake is not None:
                    return None
            return self.until if wire.listens(now()) else None
        except BaseException as error:  # noqa: BLE001  for the caller of `push`, not the loop
            self._thrown = error
            return None

    async def brake(self) -> None:
        """Wait until `take` wants more. Raises what it raised."""
        brake, self._brake = self._brake, None
        if self._thrown is not None:
            raise self._thrown
        if brake is not None:
            await brake


async def _resolve(dialer: Dialer, route: Route, deadline: float | None) -> list[str]:
    """The IP addresses of the host to connect to. Raises ConnectFailed."""
    host, port = route.address
    if is_ip(host):
        return [host]
    try:
        return await dialer.resolve(host, port, deadline)
    except (OSError, UnicodeError) as error:
        whose = "" if route.proxy is None else " of the proxy"
        raise ConnectFailed(f"the name {host}{whose} can't be resolved: {error}") from error
