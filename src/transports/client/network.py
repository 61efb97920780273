"""What an I/O library does for a native transport: connect, send, receive, wait, close.

Over blocking sockets these coroutines never suspend; see `answer.without_loop`.
"""

from collections.abc import Awaitable, Callable
from typing import Protocol

__all__ = ["Network", "Sleeper", "Stream"]


class Stream(Protocol):
    """A TCP connection. When a `deadline` (of the network's clock; None: never) has passed,
    TimeoutError is raised; OSError when the connection is broken. A call that is cancelled has
    done nothing."""

    async def send(self, data: memoryview | bytes, deadline: float | None) -> int:
        """Send the beginning of `data`; how many bytes of it. 0: there is something to receive,
        which may be an answer to what was sent so far, from a peer that reads no more."""
        ...

    def take(self) -> bytes | None:
        """What has come; empty once the peer has closed; None: nothing yet, so `wait`."""
        ...

    def wait(self, deadline: float | None) -> Awaitable[None]:
        """Wait until there may be something to take."""
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
    """What an I/O library does for a client, in one event loop or in none."""

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
        """Have `call` called soon, where the network's calls may be made. From any thread."""
        ...
