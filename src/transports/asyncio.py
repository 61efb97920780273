"""The `asyncio` transport: a protocol of asyncio's, on its own loops and on uvloop.

async with Client() as client:
    async with client.open(exchange) as answer:
        async for event in answer:
            ...
"""

import asyncio
import math
import selectors
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeVar, cast

from .client.answer import AsyncAnswer
from .client.clients import AsyncClient
from .client.native import NativeClient
from .client.network import Receive, Selector

__all__ = ["Answer", "Client", "Network"]

Answer = AsyncAnswer

# With more unread bytes than this the stream stops reading, so that the peer has to wait.
READ_AHEAD = 256 * 1024

WRITE_SIZE = 256 * 1024
READ_SIZE = 64 * 1024

_T = TypeVar("_T")


class _Stream(asyncio.BaseProtocol):
    """A connection that keeps the bytes it reads until they are taken."""

    __slots__ = (
        "_alarm",
        "_alarm_at",
        "_chunks",
        "_deadline",
        "_eof",
        "_error",
        "_loop",
        "_may_write",
        "_receive",
        "_size",
        "_transport",
        "_waiter",
    )

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._chunks: list[bytes] = []
        self._size = 0
        self._eof = False
        self._error: Exception | None = None
        self._may_write = True
        self._waiter: asyncio.Future[None] | None = None
        self._receive: Receive | None = None  # while a pump waits
        self._deadline = math.inf  # of the call that is waiting
        self._alarm: asyncio.TimerHandle | None = None
        self._alarm_at = math.inf

    async def send(self, data: memoryview | bytes, deadline: float | None) -> int:
        while not self._may_write and not self._eof and not self._chunks:
            await self.wait(deadline)
        if self._eof or self._transport is None:
            raise BrokenPipeError("the connection is closed")
        if self._chunks:
            return 0
        piece = data[:WRITE_SIZE]
        self._transport.write(piece)
        return len(piece)

    def take(self) -> bytes | None:
        chunks = self._chunks
        if not chunks:
            if self._error is not None:
                raise OSError(f"the connection broke: {self._error}")
            return b"" if self._eof else None
        data = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        chunks.clear()
        if self._size:
            if self._size > READ_AHEAD and self._transport is not None:
                self._transport.resume_reading()
            self._size = 0
        return data

    def wait(self, deadline: float | None) -> "asyncio.Future[None]":
        # Returns a future: a coroutine would cost more, and each read waits here.
        self._deadline = math.inf if deadline is None else deadline
        if self._deadline < self._alarm_at:
            self._set_alarm()
        self._waiter = self._loop.create_future()
        return self._waiter

    async def pump(self, receive: Receive, deadline: float | None) -> None:
        # As the function of this name does it, but what arrives goes to `receive` where it
        # arrives, without a task or a future.
        until = math.inf if deadline is None else deadline
        while True:
            data = self.take()
            if data is not None:
                more = receive(data)
                if more is None:
                    return
                until = more
                continue
            self._receive = receive
            try:
                await self.wait(until)
            finally:
                stopped, self._receive = self._receive is None, None
            if stopped:
                return
            until = self._deadline

    def is_quiet(self) -> bool:
        if self._eof or self._chunks or self._transport is None:
            return False
        # The socket may have more than the event loop has read: it may have been blocked.
        with Selector() as selector:
            selector.register(self._transport.get_extra_info("socket"), selectors.EVENT_READ)
            return not selector.select(0)

    def close(self) -> None:
        if self._transport is not None:
            with suppress(RuntimeError):  # its event loop has ended before
                self._transport.abort()
            self._transport = None
        self._stop_alarm()

    def abandon(self) -> None:
        """Nothing: the event loop's selector is shared with the parent."""

    def _set_alarm(self) -> None:
        # One alarm serves many waits, as the deadline of each is usually later than that of the one
        # before. With many streams, an alarm for each wait would cost too much.
        self._stop_alarm()
        self._alarm_at = self._deadline
        self._alarm = self._loop.call_at(self._deadline, self._ring)

    def _stop_alarm(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm, self._alarm_at = None, math.inf

    def _ring(self) -> None:
        self._alarm, self._alarm_at = None, math.inf
        if self._waiter is None or self._waiter.done():
            return
        if self._loop.time() >= self._deadline:
            self._waiter.set_exception(TimeoutError())
        elif self._deadline < math.inf:
            self._set_alarm()

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def _keep(self, data: bytes) -> None:
        self._chunks.append(data)
        if self._waiter is not None:
            self._wake()
            return
        was_ahead = self._size > READ_AHEAD
        self._size += len(data)
        if self._size > READ_AHEAD and not was_ahead and self._transport is not None:
            self._transport.pause_reading()

    def _pumped(self, until: float | None) -> None:
        """What a pump waits for has changed: until when; None: nothing."""
        if until is None:
            self._receive = None
            self._wake()
            return
        self._deadline = until
        if until < self._alarm_at:
            self._set_alarm()

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # A cast, as the transports of uvloop are not derived from asyncio's.
        self._transport = cast("asyncio.Transport", transport)

    def eof_received(self) -> bool:
        self._eof = True
        self._wake()
        return True  # the stream is closed later, once all of it was taken

    def connection_lost(self, exc: Exception | None) -> None:
        self._eof, self._error = True, exc
        self._transport = None  # uvloop can't even resume reading now
        self._wake()

    def pause_writing(self) -> None:
        self._may_write = False

    def resume_writing(self) -> None:
        self._may_write = True
        self._wake()


class Stream(_Stream, asyncio.BufferedProtocol):
    """One of asyncio's own loops. All of them read into the same `buffer`, one read at a time:
    asyncio would make one of 256 KiB for each read."""

    __slots__ = ("_buffer",)

    def __init__(self, buffer: memoryview) -> None:
        super().__init__()
        self._buffer = buffer

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        data = bytes(self._buffer[:nbytes])
        if self._receive is None:
            self._keep(data)
        elif (until := self._receive(data)) != self._deadline:
            self._pumped(until)


class UvloopStream(_Stream, asyncio.Protocol):
    """One of uvloop, which has such a buffer of its own, and less to do without another."""

    __slots__ = ()

    def data_received(self, data: bytes) -> None:
        if self._receive is None:
            self._keep(data)
        elif (until := self._receive(data)) != self._deadline:
            self._pumped(until)


class Dialer:
    """Makes connections by asyncio, each call within a timeout that `wake` brings forward."""

    __slots__ = ("_buffer", "_loop", "_timeout", "_woken")

    def __init__(self, loop: asyncio.AbstractEventLoop, buffer: memoryview) -> None:
        self._loop = loop
        self._buffer = buffer
        self._timeout: asyncio.Timeout | None = None
        self._woken = False

    async def resolve(self, host: str, port: int, deadline: float | None) -> list[str]:
        found = await self._within(
            deadline, lambda: self._loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        )
        return [str(address[0]) for *_, address in found]

    async def connect(
        self, address: str, port: int, deadline: float | None
    ) -> Stream | UvloopStream:
        # asyncio and uvloop set TCP_NODELAY by themselves.
        _, stream = await self._within(
            deadline, lambda: self._loop.create_connection(self._stream, address, port)
        )
        return stream

    def _stream(self) -> Stream | UvloopStream:
        if type(self._loop).__module__.startswith("uvloop"):
            return UvloopStream()
        return Stream(self._buffer)

    async def sleep(self, until: float) -> None:
        if until <= self._loop.time():
            await asyncio.sleep(0)
            return
        with suppress(TimeoutError):
            await self._within(until, self._loop.create_future)

    def wake(self) -> None:
        self._woken = True
        if self._timeout is not None and not self._timeout.expired():
            self._timeout.reschedule(self._loop.time())

    async def _within(self, deadline: float | None, call: Callable[[], Awaitable[_T]]) -> _T:
        if self._woken:
            raise TimeoutError
        try:
            async with asyncio.timeout_at(deadline) as self._timeout:
                return await call()
        finally:
            self._timeout = None


class Network:
    """Sockets by the running event loop of asyncio."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._buffer = memoryview(bytearray(READ_SIZE))
        self.now = self._loop.time

    def dialer(self) -> Dialer:
        return Dialer(self._loop, self._buffer)

    def is_current(self) -> bool:
        try:
            return asyncio.get_running_loop() is self._loop
        except RuntimeError:  # none is running, or one of trio
            return False

    def call_from_thread(self, call: Callable[[], None]) -> None:
        try:
            self._loop.call_soon_threadsafe(call)
        except RuntimeError:  # the loop is closed
            call()


class Client(NativeClient, AsyncClient):
    """Asks by asyncio. See `NativeClient` for the arguments."""

    @classmethod
    def network(cls) -> Network:
        return Network()
