"""The `sync` transport: blocking sockets, any thread.

    with Client() as client:
        with client.open(exchange) as answer:
            for event in answer:
                ...

The coroutines of its network block and never suspend, so it shares its code with the async
transports. Neither a clock nor `abort()` limits how long the system takes to resolve a name, and
where the system is not Linux, `abort()` may not end a connect before its clock does.
"""

import os
import selectors
import socket
import threading
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress

from .client.answer import Answer
from .client.clients import BlockingClient
from .client.native import NativeClient
from .client.network import Receive, Selector, pump

__all__ = ["Answer", "Client", "Network"]

READ_SIZE = 64 * 1024
READ_WRITE = selectors.EVENT_READ | selectors.EVENT_WRITE


class Stream:
    """A blocking socket. If another thread closes it, a call that is waiting wakes up and closes
    the socket itself: closed during the call, its number could already belong to another file."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._lock = threading.Lock()
        self._in_use = False
        self._closed = False
        self._data: bytes | None = None

    def connect(self, address: str, port: int, deadline: float | None) -> None:
        """Connect, once. Raises OSError, TimeoutError."""
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.settimeout(0)
        with suppress(BlockingIOError):
            self._socket.connect((address, port))
        # Linux ends this wait when `close` shuts the socket down; other systems may not.
        self._begin()
        try:
            self._wait_for(selectors.EVENT_WRITE, deadline)
            if error := self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                raise OSError(error, os.strerror(error))
        finally:
            self._end()

    async def send(self, data: memoryview | bytes, deadline: float | None) -> int:
        self._begin()
        try:
            self._socket.settimeout(0)
            while True:
                try:
                    return self._socket.send(data)
                except BlockingIOError:
                    if self._wait_for(READ_WRITE, deadline) & selectors.EVENT_READ:
                        return 0
        finally:
            self._end()

    def take(self) -> bytes | None:
        data, self._data = self._data, None
        return data

    async def wait(self, deadline: float | None) -> None:
        self._begin()
        try:
            # Wait until the deadline or a little less; a caller that wakes too early waits again.
            # So the same timeout serves later reads too: each change of it is a system call.
            left, timeout = _seconds_until(deadline), self._socket.gettimeout()
            if left is None or timeout is None or not timeout <= left <= 2 * timeout:
                self._socket.settimeout(left if left is None or left < 1 else left * 0.9)
            self._data = self._socket.recv(READ_SIZE)
        finally:
            self._end()

    def pump(self, receive: Receive, deadline: float | None) -> Awaitable[None]:
        return pump(self, receive, deadline)

    def is_quiet(self) -> bool:
        try:
            self._socket.settimeout(0)
            self._socket.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False

    def close(self) -> None:
        with self._lock:
            self._closed = True
            if not self._in_use:
                self._socket.close()
                return
            with suppress(OSError):  # the peer has closed it already
                self._socket.shutdown(socket.SHUT_RDWR)

    def abandon(self) -> None:
        self._socket.close()

    def _wait_for(self, events: int, deadline: float | None) -> int:
        """Wait until something can be sent, or received, and return which of them."""
        with Selector() as selector:
            selector.register(self._socket, events)
            ready = selector.select(_seconds_until(deadline))
        if not ready:
            raise TimeoutError
        return ready[0][1]

    def _begin(self) -> None:
        with self._lock:
            if self._closed:
                raise OSError("the connection was closed")
            self._in_use = True

    def _end(self) -> None:
        with self._lock:
            self._in_use = False
            if self._closed:
                self._socket.close()


class Dialer:
    """Makes connections of blocking sockets. Nothing wakes a thread in which the system resolves a
    name."""

    __slots__ = ("_stream", "_woken")

    def __init__(self) -> None:
        self._woken = threading.Event()
        self._stream: Stream | None = None

    async def resolve(self, host: str, port: int, deadline: float | None) -> list[str]:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        return [str(address[0]) for *_, address in found]

    async def connect(self, address: str, port: int, deadline: float | None) -> Stream:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self._stream = stream = Stream(socket.socket(family, socket.SOCK_STREAM))
        try:
            if self._woken.is_set():  # before there was a stream to close
                raise OSError("the connection was closed")
            stream.connect(address, port, deadline)
        except BaseException:
            stream.close()
            raise
        finally:
            self._stream = None
        return stream

    async def sleep(self, until: float) -> None:
        if until > time.monotonic():
            self._woken.wait(_seconds_until(until))

    def wake(self) -> None:
        self._woken.set()
        if (stream := self._stream) is not None:
            stream.close()


class Network:
    """Blocking sockets."""

    now = staticmethod(time.monotonic)

    def dialer(self) -> Dialer:
        return Dialer()

    def is_current(self) -> bool:
        return True

    def call_from_thread(self, call: Callable[[], None]) -> None:
        call()


class Client(NativeClient, BlockingClient):
    """Asks by blocking sockets. May be used from several threads at once.

    See `NativeClient` for the arguments.
    """

    @classmethod
    def network(cls) -> Network:
        return Network()


def _seconds_until(deadline: float | None) -> float | None:
    """Never 0, which would mean not to wait, and at most a day, as system calls limit timeouts; a
    caller that wakes too early waits again."""
    if deadline is None:
        return None
    return min(max(deadline - time.monotonic(), 0.001), 86_400)
