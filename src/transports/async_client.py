"""The client that all async transports share, over a network that each I/O library supplies.

No async generator is handed out, and no task, nursery or cancel scope outlives a call. A reader
that is cancelled in any `await` leaves the answer as it was: it can be read on, or closed.
"""

import random
import time
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self, assert_never

from ..protocols.clocks import Clocks
from ..protocols.errors import ConnectFailed, LocalProtocolError, TokenwireError, TransportError
from ..protocols.events import Event
from ..protocols.exchange import Exchange
from ..protocols.reply import Reply
from ..protocols.retry import Retry
from .client import ClientSettings
from .pool import Kept, Pool
from .wire import Connect, Release, Sleep, Transfer, Wire

if TYPE_CHECKING:
    import ssl

__all__ = ["AsyncAnswer", "AsyncClient", "Network", "Sleeper", "Stream"]


class Stream(Protocol):
    """A TCP connection. When a `deadline` (of the network's clock; None: never) has passed,
    TimeoutError is raised; OSError when the connection is broken. A call that is cancelled has
    done nothing."""

    async def send(self, data: memoryview | bytes, deadline: float | None) -> int:
        """Send the beginning of `data`; how many bytes of it. 0: there is something to receive,
        which may be an answer to what was sent so far, from a peer that reads no more."""
        ...

    async def receive(self, deadline: float | None) -> bytes:
        """Some bytes; empty once the peer has closed."""
        ...

    def is_quiet(self) -> bool:
        """Whether the connection is open, and nothing has come that was not received."""
        ...

    def close(self) -> None:
        """Close at once. A call that waits returns, or raises OSError. May come twice."""
        ...


class Sleeper(Protocol):
    """Who may sleep, once or often, until somebody wakes it."""

    async def sleep(self, until: float) -> None:
        """Wait until `until`, or until it is woken; not at all if it was."""
        ...

    def wake(self) -> None:
        """Wake it, for ever."""
        ...


class Network(Protocol):
    """What an I/O library does for a client, in one event loop."""

    def now(self) -> float:
        """Seconds of a clock that only goes forward."""
        ...

    async def resolve(self, host: str, port: int, deadline: float | None) -> list[str]:
        """The IP addresses of `host`. Raises OSError, UnicodeError, TimeoutError."""
        ...

    async def connect(self, address: str, port: int, deadline: float | None) -> Stream:
        """A connection to an IP address, without Nagle's delay. Raises OSError, TimeoutError."""
        ...

    def sleeper(self) -> Sleeper:
        """One that is awake, so far."""
        ...

    def call_from_thread(self, call: Callable[[], None]) -> None:
        """Have the event loop call `call` soon, from any thread."""
        ...


class AsyncClient:
    """Asks in one event loop, and keeps connections for the next question.

    See `ClientSettings` for the arguments; with `single_use` the client is for one answer, and
    closed with it. Each async transport has a `Client` derived from this.
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
        self._connections = AsyncConnections(
            ClientSettings(
                ssl_context=ssl_context,
                proxy=proxy,
                trust_env=trust_env,
                clocks=clocks,
                retry=retry,
                allow_private_addresses=allow_private_addresses,
            ),
            self.network,
            single_use=single_use,
        )

    def network(self) -> Network:
        """The network of the event loop that runs."""
        raise NotImplementedError

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the idle connections. Answers that are open go on, and close theirs."""
        self._connections.close()

    def open(self, exchange: Exchange) -> "AsyncAnswer":
        """The answer to `exchange`, to be used in an `async with` statement. Nothing is sent before
        it is read. Raises LocalProtocolError if the client is closed, or the exchange was used."""
        if self._connections.closed:
            raise LocalProtocolError("the client is closed: open the answer inside its with block")
        if not exchange.unstarted:
            raise LocalProtocolError("the exchange was used already: open exchange.fresh()")
        return AsyncAnswer(self._connections, exchange)

    async def read(self, exchange: Exchange) -> Reply:
        """The whole answer to `exchange`. What is raised has in `answer` what had come."""
        async with self.open(exchange) as answer:
            return await answer.read()


class AsyncAnswer:
    """The events of an answer as they come: iterate over it inside an `async with` statement.

    Leaving early closes the connection at once. Iterating on after an error raises it again.
    """

    def __init__(self, connections: "AsyncConnections", exchange: Exchange) -> None:
        self._connections = connections
        self._exchange = exchange
        self._wire: Wire | None = None
        self._ready: deque[Event] = deque()
        self._kept: Kept[Stream] | None = None
        self._sleeper: Sleeper | None = None
        self._unsent: memoryview | bytes = b""
        self._over: TokenwireError | StopAsyncIteration | None = None
        self._aborted = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is None:
            await self.aclose()
        else:
            self.close()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        if not self._ready:
            if self._over is not None:
                raise self._over
            try:
                await self._fill()
            except TokenwireError as error:
                self._over = error
                raise
        if not self._ready:
            self._over = StopAsyncIteration()
            self.close()
            raise self._over
        return self._ready.popleft()

    async def read(self) -> Reply:
        """The rest of the answer, folded. What is raised has in `answer` what had come.

        Raises LocalProtocolError if the answer was read to its end already."""
        if isinstance(self._over, StopAsyncIteration):
            raise LocalProtocolError("the answer was read to its end already")
        reply = Reply()
        try:
            async for event in self:
                reply.add(event)
        except TokenwireError as error:
            error.answer = reply
            raise
        return reply

    async def aclose(self) -> None:
        """Stop. The connection is kept if the answer is complete and its rest is short."""
        try:
            if self._wire is not None and self._wire.finished and not self._aborted:
                self._ready.clear()
                await self._fill()
        finally:
            self.close()

    def close(self) -> None:
        """Stop, and close the connection at once."""
        self._aborted = True
        self._drop()
        if self._sleeper is not None:
            self._sleeper.wake()
        if self._connections.single_use:
            self._connections.close()

    def abort(self) -> None:
        """Stop, from any thread: who is reading gets a TransportError at once; who waits for a
        connection, when that is there or its clock has run out."""
        self._aborted = True
        self._connections.call_from_thread(self.close)

    async def _fill(self) -> None:
        """Do what the wire wants until there are events or the end."""
        network = self._connections.network()
        if self._wire is None:
            self._wire = self._connections.wire(self._exchange)
        wire = self._wire
        wire.wait(network.now())
        try:
            while not wire.events:
                if self._aborted:
                    if wire.finished:
                        self._drop()
                        return
                    raise TransportError("the answer was closed, or aborted")
                action = wire.next(network.now())
                match action:
                    case Transfer():
                        await self._transfer(wire, action, network)
                    case Connect():
                        await self._connect(wire, action, network)
                    case Release():
                        self._release(action)
                    case Sleep():
                        self._sleeper = network.sleeper()
                        await self._sleeper.sleep(action.until)
                    case None:
                        return
                    case _:
                        assert_never(action)
        finally:
            wire.pause(network.now())
        self._ready.extend(wire.events)
        wire.events.clear()

    async def _transfer(self, wire: Wire, action: Transfer, network: Network) -> None:
        assert self._kept is not None
        stream = self._kept.stream
        if data := wire.data_to_send():
            self._unsent = memoryview(bytes(self._unsent) + data)
        try:
            try:
                while self._unsent and (sent := await stream.send(self._unsent, action.deadline)):
                    self._unsent = self._unsent[sent:]
            except (BrokenPipeError, ConnectionResetError):
                pass  # a server may answer before it has read all: its answer can be read
            data = await stream.receive(action.deadline)
        except TimeoutError:
            wire.timed_out(network.now())
        except OSError:
            wire.lost()
        else:
            if self._aborted and not data:
                wire.lost()  # it was us who closed it
            else:
                wire.received(data, network.now())

    async def _connect(self, wire: Wire, action: Connect, network: Network) -> None:
        self._drop()  # a kept connection that turned out to be closed
        try:
            self._kept, reused = await self._connections.take(action, wire)
        except TokenwireError as error:
            wire.failed(error, network.now())
            return
        wire.connected(self._kept.connection, self._kept.address, reused=reused)

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


class AsyncConnections:
    """What the answers of a client share: its settings, its network, and what is kept."""

    def __init__(
        self, settings: ClientSettings, network: Callable[[], Network], *, single_use: bool
    ) -> None:
        self._settings = settings
        self._make_network = network
        self._network: Network | None = None
        self.single_use = single_use
        self._pool: Pool[Stream] = Pool()
        self.closed = False

    def network(self) -> Network:
        """The network of the event loop that first asked for it."""
        if self._network is None:
            self._network = self._make_network()
        return self._network

    def wire(self, exchange: Exchange) -> Wire:
        """A wire for `exchange`."""
        jitter = random.random()  # noqa: S311  no secret
        now = self.network().now()
        return self._settings.wire(exchange, now=now, wall_clock=time.time(), jitter=jitter)

    async def take(self, action: Connect, wire: Wire) -> tuple[Kept[Stream], bool]:
        """A connection, and whether it is a kept one. Raises ConnectFailed."""
        while not action.fresh:
            kept = self._pool.take(action.route, self.network().now())
            if kept is None:
                break
            if kept.stream.is_quiet():
                return kept, True
            kept.stream.close()
        return await self._connect(action, wire), False

    def keep(self, kept: Kept[Stream]) -> None:
        """Put a connection aside for the next question."""
        kept.since = self.network().now()
        for stream in [kept.stream] if self.closed else self._pool.put(kept):
            stream.close()

    def close(self) -> None:
        """Close what is kept."""
        self.closed = True
        for stream in self._pool.clear():
            stream.close()

    def call_from_thread(self, call: Callable[[], None]) -> None:
        """Have the event loop call `call`, if it ever read anything."""
        if self._network is not None:
            self._network.call_from_thread(call)

    async def _connect(self, action: Connect, wire: Wire) -> Kept[Stream]:
        network = self.network()
        host, port = action.route.address
        connection = self._settings.connection(action.route)
        try:
            addresses = await network.resolve(host, port, action.deadline)
        except (OSError, UnicodeError) as error:
            raise ConnectFailed(f"the name {host} can't be resolved: {error}") from error
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
