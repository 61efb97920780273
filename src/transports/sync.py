"""The `sync` transport: blocking sockets, any thread.

with Client() as client:
    with client.open(exchange) as answer:
        for event in answer:
            ...
"""

import random
import selectors
import socket
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Self, assert_never

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

__all__ = ["Answer", "Client"]

READ_SIZE = 64 * 1024


class Client:
    """Asks by blocking sockets, and keeps connections for the next question.

    May be used from several threads at once. See `ClientSettings` for the arguments; with
    `single_use` the client is for one answer, and closed with it.
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
        self._connections = Connections(
            ClientSettings(
                ssl_context=ssl_context,
                proxy=proxy,
                trust_env=trust_env,
                clocks=clocks,
                retry=retry,
                allow_private_addresses=allow_private_addresses,
            ),
            single_use=single_use,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the idle connections. Answers that are open go on, and close theirs."""
        self._connections.close()

    def open(self, exchange: Exchange) -> "Answer":
        """The answer to `exchange`, to be used in a `with` statement. Nothing is sent before it is
        read. Raises LocalProtocolError if the client is closed, or the exchange was used."""
        if self._connections.closed:
            raise LocalProtocolError("the client is closed: open the answer inside its with block")
        if not exchange.unstarted:
            raise LocalProtocolError("the exchange was used already: open exchange.fresh()")
        return Answer(self._connections, exchange)

    def read(self, exchange: Exchange) -> Reply:
        """The whole answer to `exchange`. What is raised has in `answer` what had come."""
        with self.open(exchange) as answer:
            return answer.read()


class Answer:
    """The events of an answer as they come: iterate over it inside a `with` statement.

    Leaving early closes the connection at once. Iterating on after an error raises it again.
    """

    def __init__(self, connections: "Connections", exchange: Exchange) -> None:
        self._connections = connections
        self._exchange = exchange
        self._wire: Wire | None = None
        self._ready: deque[Event] = deque()
        self._kept: Kept[socket.socket] | None = None
        self._unsent = b""
        self._over: TokenwireError | StopIteration | None = None
        self._lock = threading.Lock()  # over `_kept`, which abort() looks at from other threads
        self._aborted = threading.Event()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __iter__(self) -> Iterator[Event]:
        return self

    def __next__(self) -> Event:
        if not self._ready:
            if self._over is not None:
                raise self._over
            try:
                self._fill()
            except TokenwireError as error:
                self._over = error
                raise
        if not self._ready:
            self._over = StopIteration()
            self.close()
            raise self._over
        return self._ready.popleft()

    def read(self) -> Reply:
        """The rest of the answer, folded. What is raised has in `answer` what had come.

        Raises LocalProtocolError if the answer was read to its end already."""
        if isinstance(self._over, StopIteration):
            raise LocalProtocolError("the answer was read to its end already")
        reply = Reply()
        try:
            for event in self:
                reply.add(event)
        except TokenwireError as error:
            error.answer = reply
            raise
        return reply

    def close(self) -> None:
        """Stop, and close the connection unless the answer is complete and its rest is short."""
        try:
            if self._wire is not None and self._wire.finished and not self._aborted.is_set():
                self._ready.clear()
                self._fill()
        finally:
            self._drop()
            self._aborted.set()
            if self._connections.single_use:
                self._connections.close()

    def abort(self) -> None:
        """Stop, from any thread: who is reading gets a TransportError at once; who waits for a
        connection, when that is there or its clock has run out."""
        self._aborted.set()
        with self._lock, suppress(OSError):  # closed already, by the peer
            if self._kept is not None:
                self._kept.stream.shutdown(socket.SHUT_RDWR)

    def _fill(self) -> None:
        """Do what the wire wants until there are events or the end."""
        if self._wire is None:
            self._wire = self._connections.wire(self._exchange)
        wire = self._wire
        wire.wait(time.monotonic())
        try:
            while not wire.events:
                if self._aborted.is_set():
                    if wire.finished:
                        self._drop()
                        return
                    raise TransportError("the answer was closed, or aborted")
                action = wire.next(time.monotonic())
                match action:
                    case Transfer():
                        self._transfer(wire, action)
                    case Connect():
                        self._connect(wire, action)
                    case Release():
                        self._release(action)
                    case Sleep():
                        self._aborted.wait(_until(action.until))
                    case None:
                        return
                    case _:
                        assert_never(action)
        finally:
            wire.pause(time.monotonic())
        self._ready.extend(wire.events)
        wire.events.clear()

    def _transfer(self, wire: Wire, action: Transfer) -> None:
        assert self._kept is not None
        stream = self._kept.stream
        self._unsent += wire.data_to_send()
        try:
            # A server may answer before it has read all, and close: its answer can be read.
            with suppress(BrokenPipeError, ConnectionResetError):
                self._unsent = _send(stream, self._unsent, action.deadline)
            stream.settimeout(_until(action.deadline))
            data = stream.recv(READ_SIZE)
        except TimeoutError:
            wire.timed_out(time.monotonic())
        except OSError:
            wire.lost()
        else:
            if self._aborted.is_set() and not data:
                wire.lost()  # it was us who closed it
            else:
                wire.received(data, time.monotonic())

    def _connect(self, wire: Wire, action: Connect) -> None:
        self._drop()  # a kept connection that turned out to be closed
        try:
            kept, reused = self._connections.take(action, wire)
        except TokenwireError as error:
            wire.failed(error, time.monotonic())
            return
        self._kept = kept
        wire.connected(kept.connection, kept.address, reused=reused)

    def _release(self, action: Release) -> None:
        if not action.keep or self._unsent:
            self._drop()
            return
        with self._lock:
            kept, self._kept = self._kept, None
        assert kept is not None
        self._connections.keep(kept)

    def _drop(self) -> None:
        """Close the connection, if there is one."""
        self._unsent = b""
        with self._lock:
            kept, self._kept = self._kept, None
        if kept is not None:
            kept.stream.close()


class Connections:
    """What the answers of a client share: its settings, and the connections that are kept."""

    def __init__(self, settings: ClientSettings, *, single_use: bool) -> None:
        self._settings = settings
        self.single_use = single_use
        self._pool: Pool[socket.socket] = Pool()
        self._lock = threading.Lock()
        self.closed = False

    def wire(self, exchange: Exchange) -> Wire:
        """A wire for `exchange`."""
        jitter = random.random()  # noqa: S311  no secret
        return self._settings.wire(
            exchange, now=time.monotonic(), wall_clock=time.time(), jitter=jitter
        )

    def take(self, action: Connect, wire: Wire) -> tuple[Kept[socket.socket], bool]:
        """A connection, and whether it is a kept one. Raises ConnectFailed."""
        while not action.fresh:
            with self._lock:
                kept = self._pool.take(action.route, time.monotonic())
            if kept is None:
                break
            if _is_quiet(kept.stream):
                return kept, True
            kept.stream.close()
        return self._connect(action, wire), False

    def keep(self, kept: Kept[socket.socket]) -> None:
        """Put a connection aside for the next question."""
        kept.since = time.monotonic()
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

    def _connect(self, action: Connect, wire: Wire) -> Kept[socket.socket]:
        host, port = action.route.address
        connection = self._settings.connection(action.route)
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise ConnectFailed(f"the name {host} can't be resolved: {error}") from error
        reason: OSError | None = None
        for tried, (family, kind, number, _, address) in enumerate(found):
            ip = str(address[0])
            wire.check_address(ip)
            stream: socket.socket | None = None
            try:
                stream = socket.socket(family, kind, number)
                # Each address gets its share of the time, so that a dead one leaves some.
                stream.settimeout(_until(action.deadline, len(found) - tried))
                stream.connect(address)
                stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            except OSError as error:
                if stream is not None:
                    stream.close()
                reason = error
                continue
            return Kept(stream, connection, ip, 0)
        raise ConnectFailed(f"no connection to {host}:{port}: {reason}") from reason


def _is_quiet(stream: socket.socket) -> bool:
    """Whether an idle connection is open, and its server has said nothing since: a 408, for one,
    would be taken for the answer to the next request."""
    try:
        stream.setblocking(False)
        stream.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _send(stream: socket.socket, data: bytes, deadline: float | None) -> bytes:
    """Send `data`, until the peer says something. What was not sent. Raises OSError, TimeoutError.

    A server that refuses a large request may say so and not read the rest, and wait.
    """
    stream.settimeout(0)
    unsent = memoryview(data)
    while unsent:
        try:
            unsent = unsent[stream.send(unsent) :]
        except BlockingIOError:
            with selectors.DefaultSelector() as selector:
                selector.register(stream, selectors.EVENT_READ | selectors.EVENT_WRITE)
                ready = selector.select(_until(deadline))
            if not ready:
                raise TimeoutError from None
            if ready[0][1] & selectors.EVENT_READ:
                break
    return bytes(unsent)


def _until(deadline: float | None, share: int = 1) -> float | None:
    """Seconds until `deadline`, divided by `share`. Never 0, which would mean not to wait, nor more
    than a day, as timeouts have an end: who wakes too early waits again."""
    if deadline is None:
        return None
    return min(max((deadline - time.monotonic()) / share, 0.001), 86_400)
