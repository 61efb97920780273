"""What the clients of all native transports do: they drive a wire over a network."""

import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, assert_never

from ...protocols.clocks import Clocks
from ...protocols.errors import TokenwireError, TransportError
from ...protocols.events import Event
from ...protocols.exchange import Exchange
from ...protocols.retry import Retry
from .answer import NOT_CLOSED, Reading, check_opening
from .connections import Connections
from .network import Network, Sleeper, Stream
from .pool import Kept
from .settings import ClientSettings
from .wire import Connect, Release, Sleep, Transfer, Wire

if TYPE_CHECKING:
    import ssl

__all__ = ["NativeClient"]


class NativeClient:
    """Asks, and keeps connections for the next question.

    See `ClientSettings` for the arguments; with `single_use` the client is for one answer, and
    closed with it.
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
    ) -> None:
        settings = ClientSettings(
            ssl_context=ssl_context,
            proxy=proxy,
            trust_env=trust_env,
            clocks=clocks,
            retry=retry,
            allow_private_addresses=allow_private_addresses,
        )
        self._connections = Connections(settings, self.network, single_use=single_use)

    @classmethod
    def network(cls) -> Network:
        """The network of the event loop that runs."""
        raise NotImplementedError

    def close(self) -> None:
        """Close the idle connections. Answers that are open go on, and close theirs."""
        self._connections.close()

    def _reading(self, exchange: Exchange) -> Reading:
        check_opening(exchange, closed=self._connections.closed)
        return _WireReading(self._connections, exchange)


class _WireReading(Reading):
    """Does what a wire asks for."""

    __slots__ = (
        "_aborted",
        "_connections",
        "_exchange",
        "_kept",
        "_network",
        "_sleeper",
        "_unsent",
        "_wire",
    )

    def __init__(self, connections: Connections, exchange: Exchange) -> None:
        super().__init__()
        self._connections = connections
        self._exchange: Exchange | None = exchange  # until the wire has it
        self._wire: Wire | None = None
        self._network: Network | None = None
        self._kept: Kept[Stream] | None = None
        self._sleeper: Sleeper | None = None
        self._unsent: memoryview | bytes = b""
        self._aborted = False

    async def fill(self) -> list[Event]:
        if self._exchange is not None:
            self._network = self._connections.network()
            self._wire = self._connections.wire(self._exchange)
            self._exchange = None
        wire, network = self._wire, self._network
        assert wire is not None
        assert network is not None
        try:
            while not wire.events:
                if self._aborted:
                    self._drop()  # it may have been connected since
                    if wire.finished:
                        return []
                    raise TransportError("the answer was closed, or aborted")
                action = wire.next(network.now())
                match action:
                    case Transfer():
                        # No coroutine of its own, as each read passes here. That, and a wait that
                        # is none either, took an event of 1,000 streams on uvloop from 34 to 30 us.
                        assert self._kept is not None
                        stream = self._kept.stream
                        try:
                            if action.data:
                                self._unsent = memoryview(bytes(self._unsent) + action.data)
                            if self._unsent:
                                await self._send(stream, action.deadline)
                            while (came := stream.take()) is None:
                                await stream.wait(action.deadline)
                        except TimeoutError:
                            wire.timed_out(network.now())
                        except OSError:
                            wire.lost()
                        else:
                            if self._aborted and not came:
                                wire.lost()  # it was us who closed it
                            else:
                                wire.received(came, network.now())
                    case Connect():
                        await self._connect(wire, action, network)
                    case Release():
                        self._release(action)
                    case Sleep():
                        await self._sleep(action, network)
                    case None:
                        return []
                    case _:
                        assert_never(action)
        except BaseException:  # a reader who was cancelled, above all: he waits no longer
            wire.pause(network.now())
            raise
        events, wire.events = wire.events, []
        return events

    async def leave(self, *, at_once: bool) -> None:
        try:
            if self._wire is not None and self._wire.finished and not (at_once or self._aborted):
                self.ready.clear()
                await self.fill()
        finally:
            self.stop()

    def stop(self) -> None:
        self._aborted = True
        self._drop()
        if self._connections.single_use:
            self._connections.close()

    def abort(self) -> None:
        self._aborted = True
        self._connections.call_from_thread(self._wake)

    def _wake(self) -> None:
        """Wake the reader, who sees that the answer was aborted; in another thread, it may be."""
        kept, sleeper = self._kept, self._sleeper
        if kept is not None:
            kept.stream.close()
        if sleeper is not None:
            sleeper.wake()

    def __del__(self, warn: Callable[..., None] = warnings.warn) -> None:
        if self._kept is None:
            return
        if not self._aborted:  # else the event loop ended before it could be closed
            warn(NOT_CLOSED.format("an answer"), ResourceWarning, source=self)
        # The garbage collector runs in any thread.
        self._connections.call_from_thread(self._kept.stream.close)

    async def _send(self, stream: Stream, deadline: float | None) -> None:
        try:
            while self._unsent and (sent := await stream.send(self._unsent, deadline)):
                self._unsent = self._unsent[sent:] or b""  # an empty view would keep it all
        except (BrokenPipeError, ConnectionResetError):
            pass  # a server may answer before it has read all: its answer can be read

    async def _connect(self, wire: Wire, action: Connect, network: Network) -> None:
        self._drop()  # a kept connection that turned out to be closed
        try:
            kept = self._connections.take(action)
            reused = kept is not None
            if kept is None:
                kept = await self._connections.connect(action, wire)
        except TokenwireError as error:
            wire.failed(error, network.now())
            return
        self._kept = kept
        wire.connected(kept.connection, kept.address, reused=reused)

    async def _sleep(self, action: Sleep, network: Network) -> None:
        self._sleeper = network.sleeper()
        if not self._aborted:  # looked at behind the sleeper, which an abort wakes behind this
            await self._sleeper.sleep(action.until)

    def _release(self, action: Release) -> None:
        if not action.keep or self._unsent:
            self._drop()
            return
        kept, self._kept = self._kept, None
        assert kept is not None
        self._connections.keep(kept)

    def _drop(self) -> None:
        """Close the connection, if there is one."""
        self._unsent = b""
        kept, self._kept = self._kept, None
        if kept is not None:
            kept.stream.close()
