"""The `trio` transport, native.

async with Client() as client:
    async with client.open(exchange) as answer:
        async for event in answer:
            ...
"""

import math
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from heapq import heapify, heappop, heappush
from typing import TypeVar

import trio

from .client.answer import AsyncAnswer
from .client.clients import AsyncClient
from .client.native import NativeClient
from .client.network import Receive, pump

__all__ = ["Answer", "Client", "Network"]

Answer = AsyncAnswer

READ_SIZE = WRITE_SIZE = 64 * 1024

_T = TypeVar("_T")


def _moment(deadline: float | None) -> float:
    return math.inf if deadline is None else deadline


async def _within(deadline: float | None, call: Callable[[], Awaitable[_T]]) -> _T:
    """The result of `call()`. Raises TimeoutError once `deadline` has passed, and OSError if the
    socket was closed meanwhile."""
    with trio.move_on_at(_moment(deadline)):
        try:
            return await call()
        except trio.ClosedResourceError as error:
            raise OSError("the connection was closed") from error
    raise TimeoutError


def _only(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The exception that a nursery has wrapped: Cancelled, or KeyboardInterrupt."""
    return (group.subgroup(KeyboardInterrupt) or group).exceptions[0]


class Stream:
    """A trio socket. Reads bypass it: it would try to read first, and usually find nothing."""

    __slots__ = (
        "_alarms",
        "_data",
        "_deadline",
        "_raw",
        "_rung",
        "_socket",
        "_waiting",
        "alarm_at",
    )

    def __init__(self, sock: trio.socket.SocketType, raw: socket.socket, alarms: "Alarms") -> None:
        self._socket = sock
        self._raw = raw
        self._alarms = alarms
        self._data: bytes | None = None
        self._deadline = math.inf  # of the call that is waiting
        self._waiting = False
        self._rung = False
        self.alarm_at = math.inf

    async def send(self, data: memoryview | bytes, deadline: float | None) -> int:
        if len(data) > WRITE_SIZE:  # less than that fits into the system's buffer
            await _within(deadline, self._wait_either)
            if self._socket.fileno() < 0:
                raise OSError("the connection was closed")
            if self._socket.is_readable():
                return 0
        return await _within(deadline, lambda: self._socket.send(data[:WRITE_SIZE]))

    async def _wait_either(self) -> None:
        """Wait until something can be sent, or received."""
        try:
            async with trio.open_nursery() as nursery:

                async def wait(ready: Callable[[int], Awaitable[None]]) -> None:
                    with suppress(
                        trio.ClosedResourceError, ValueError
                    ):  # ValueError: closed before
                        await ready(self._socket.fileno())
                    nursery.cancel_scope.cancel()

                nursery.start_soon(wait, trio.lowlevel.wait_readable)
                nursery.start_soon(wait, trio.lowlevel.wait_writable)
        except BaseExceptionGroup as group:
            raise _only(group) from None

    def take(self) -> bytes | None:
        data, self._data = self._data, None
        return data

    async def wait(self, deadline: float | None) -> None:
        if self._raw.fileno() < 0:
            raise OSError("the connection was closed")
        self._deadline = _moment(deadline)
        if self._deadline < self.alarm_at:
            self._alarms.set(self, self._deadline)
        self._waiting, self._rung = True, False
        try:
            await trio.lowlevel.wait_readable(self._raw)
            self._data = self._raw.recv(READ_SIZE)
        except BlockingIOError:
            pass  # the system may wake us without data: wait again
        except trio.ClosedResourceError as error:
            if self._rung:
                raise TimeoutError from None
            raise OSError("the connection was closed") from error
        finally:
            self._waiting = False

    def ring(self, now: float) -> None:
        """Called by an alarm: end the wait, unless its deadline has moved."""
        if not self._waiting:
            return
        if now < self._deadline:
            if self._deadline < math.inf:
                self._alarms.set(self, self._deadline)
            return
        self._rung = True
        trio.lowlevel.notify_closing(self._raw)  # wakes the wait; closes nothing

    def pump(self, receive: Receive, deadline: float | None) -> Awaitable[None]:
        return pump(self, receive, deadline)

    def is_quiet(self) -> bool:
        return not self._socket.is_readable()

    def abandon(self) -> None:
        """Nothing: the event loop's selector is shared with the parent."""

    def close(self) -> None:
        try:
            self._socket.close()
        except RuntimeError:  # no run of trio is here, whose tasks would have to be told
            self._raw.close()
        self._alarms.forget(self)


class Alarms:
    """The deadlines of the reads on a client's connections. A system task watches them as long as
    there are any: with many streams, a cancel scope for each read would cost too much.

    The deadline of a read is usually later than that of the one before, so one alarm serves both.
    """

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Stream]] = []  # with old alarms, for a while
        self._set = 0  # how many streams have one
        self._count = 0
        self._news: trio.Event | None = None  # None: no task

    def __len__(self) -> int:
        """How many alarms are stored, including old ones."""
        return len(self._heap)

    def set(self, stream: Stream, when: float) -> None:
        """Ring `stream` at `when`, and not at the time that was set before."""
        self._set += stream.alarm_at == math.inf
        self._count += 1
        stream.alarm_at = when
        if len(self._heap) > 2 * self._set + 100:
            self._heap = [alarm for alarm in self._heap if alarm[0] == alarm[2].alarm_at]
            heapify(self._heap)
        heappush(self._heap, (when, self._count, stream))
        if self._news is None:
            self._news = trio.Event()
            trio.lowlevel.spawn_system_task(self._run)
        elif self._heap[0][2] is stream:
            self._news.set()

    def forget(self, stream: Stream) -> None:
        """Do not ring `stream`."""
        if stream.alarm_at == math.inf:
            return
        stream.alarm_at = math.inf
        self._set -= 1
        if not self._set and self._news is not None:
            self._news.set()

    async def _run(self) -> None:
        try:
            while self._set and self._heap:
                self._news = trio.Event()
                with trio.move_on_at(self._heap[0][0]):
                    await self._news.wait()
                now = trio.current_time()
                while self._heap and (self._heap[0][0] <= now or not self._is_set(self._heap[0])):
                    alarm = heappop(self._heap)
                    if self._is_set(alarm):
                        self.forget(alarm[2])
                        alarm[2].ring(now)
        finally:  # trio ends the task with its event loop, but the client may go on in another
            for _, _, stream in self._heap:
                stream.alarm_at = math.inf
            self._heap.clear()
            self._set = 0
            self._news = None

    def _is_set(self, alarm: tuple[float, int, Stream]) -> bool:
        return alarm[0] == alarm[2].alarm_at


class Dialer:
    """Makes connections by trio, each call within a cancel scope of its own."""

    __slots__ = ("_alarms", "_scope", "_woken")

    def __init__(self, alarms: Alarms) -> None:
        self._alarms = alarms
        self._scope: trio.CancelScope | None = None
        self._woken = False

    async def resolve(self, host: str, port: int, deadline: float | None) -> list[str]:
        found = await self._within(
            deadline, lambda: trio.socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        )
        return [str(address[0]) for *_, address in found]

    async def connect(self, address: str, port: int, deadline: float | None) -> Stream:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        raw = socket.socket(family, socket.SOCK_STREAM)
        sock = trio.socket.from_stdlib_socket(raw)
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await self._within(deadline, lambda: sock.connect((address, port)))
        except BaseException:
            sock.close()
            raise
        return Stream(sock, raw, self._alarms)

    async def sleep(self, until: float) -> None:
        if until <= trio.current_time():
            await trio.lowlevel.checkpoint()
            return
        with suppress(TimeoutError):
            await self._within(until, trio.sleep_forever)

    def wake(self) -> None:
        self._woken = True
        if self._scope is not None:
            self._scope.cancel()

    async def _within(self, deadline: float | None, call: Callable[[], Awaitable[_T]]) -> _T:
        with trio.move_on_at(_moment(deadline)) as self._scope:
            if self._woken:
                self._scope.cancel()
            return await call()
        raise TimeoutError


class Network:
    """Sockets by trio."""

    def __init__(self) -> None:
        self._token = trio.lowlevel.current_trio_token()
        self._alarms = Alarms()

    now = staticmethod(trio.current_time)  # each run has a clock of its own

    def dialer(self) -> Dialer:
        return Dialer(self._alarms)

    def is_current(self) -> bool:
        try:
            return trio.lowlevel.current_trio_token() is self._token
        except RuntimeError:  # none is running, or one of asyncio
            return False

    def call_from_thread(self, call: Callable[[], None]) -> None:
        try:
            self._token.run_sync_soon(call)
        except trio.RunFinishedError:
            call()


class Client(NativeClient, AsyncClient):
    """Asks by trio. See `NativeClient` for the arguments."""

    @classmethod
    def network(cls) -> Network:
        return Network()
