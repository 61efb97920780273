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
from typing import TypeVar

import trio

from .async_client import AsyncAnswer, AsyncClient

__all__ = ["Answer", "Client", "Network"]

Answer = AsyncAnswer

READ_SIZE = WRITE_SIZE = 64 * 1024

_T = TypeVar("_T")


async def _within(deadline: float | None, call: Callable[[], Awaitable[_T]]) -> _T:
    """What `call()` returns. Raises TimeoutError once `deadline` has passed, and OSError for what
    trio raises of a socket that was closed meanwhile."""
    with trio.move_on_at(math.inf if deadline is None else deadline):
        try:
            return await call()
        except trio.ClosedResourceError as error:
            raise OSError("the connection was closed") from error
    raise TimeoutError


def _only(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """What a nursery wraps that nobody is to know of: Cancelled, or KeyboardInterrupt."""
    return (group.subgroup(KeyboardInterrupt) or group).exceptions[0]


class Stream:
    """A socket of trio's. Read without it, which would try first, in vain, and then wait."""

    def __init__(self, sock: trio.socket.SocketType, raw: socket.socket) -> None:
        self._socket = sock
        self._raw = raw
        self._data: bytes | None = None

    async def send(self, data: memoryview | bytes, deadline: float | None) -> int:
        if len(data) > WRITE_SIZE:  # what is smaller has room in the system's buffer
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
        with trio.move_on_at(math.inf if deadline is None else deadline):
            try:
                await trio.lowlevel.wait_readable(self._raw)
                self._data = self._raw.recv(READ_SIZE)
            except BlockingIOError:
                pass  # the system woke us for nothing, as it may: wait again
            except trio.ClosedResourceError as error:
                raise OSError("the connection was closed") from error
            return
        raise TimeoutError

    def is_quiet(self) -> bool:
        return not self._socket.is_readable()

    def close(self) -> None:
        self._socket.close()


class Sleeper:
    """An event of trio's."""

    def __init__(self) -> None:
        self._woken = trio.Event()

    async def sleep(self, until: float) -> None:
        with trio.move_on_at(until):
            await self._woken.wait()

    def wake(self) -> None:
        self._woken.set()


class Network:
    """Sockets by trio."""

    def __init__(self) -> None:
        self._token = trio.lowlevel.current_trio_token()

    def now(self) -> float:
        return trio.current_time()

    async def resolve(self, host: str, port: int, deadline: float | None) -> list[str]:
        found = await _within(
            deadline, lambda: trio.socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        )
        return [str(address[0]) for *_, address in found]

    async def connect(self, address: str, port: int, deadline: float | None) -> Stream:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        raw = socket.socket(family, socket.SOCK_STREAM)
        sock = trio.socket.from_stdlib_socket(raw)
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await _within(deadline, lambda: sock.connect((address, port)))
        except BaseException:
            sock.close()
            raise
        return Stream(sock, raw)

    def sleeper(self) -> Sleeper:
        return Sleeper()

    def call_from_thread(self, call: Callable[[], None]) -> None:
        with suppress(trio.RunFinishedError):
            self._token.run_sync_soon(call)


class Client(AsyncClient):
    """Asks by trio. See `AsyncClient`."""

    @classmethod
    def network(cls) -> Network:
        return Network()
