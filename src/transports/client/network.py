"""What an I/O library does for a native transport: connect, send, receive, wait, close.

Over blocking sockets these coroutines never suspend; see `answer.without_loop`. A `deadline` is a
time of the network's clock, None for no limit. Once it has passed, the call raises TimeoutError.
"""

import selectors
from collections.abc import Awaitable, Callable
from math import inf
from typing import Protocol

__all__ = ["Dialer", "Network", "Receive", "Selector", "Stream", "pump"]

Receive = Callable[[bytes], float | None]
"""What takes the bytes of a connection, as they come (empty: the peer has closed). It returns until
when to wait for more of them; infinite: forever; None: no more, for now."""

# For a single wait poll() is the quickest, but Windows has none.
Selector = getattr(selectors, "PollSelector", selectors.DefaultSelector)


class Stream(Protocol):
    """A TCP connection. A call raises OSError if the connection is broken. One that is cancelled
    has done nothing."""

    async def send(self, data: memoryview | bytes, deadline: float | None) -> int:
        """Send the beginning of `data`, and return how many bytes of it. 0: there is something to
        receive, perhaps an early answer from a peer that has stopped reading."""
        ...

    def take(self) -> bytes | None:
        """The bytes received; empty once the peer has closed; None: nothing yet, so `wait`."""
        ...

    def wait(self, deadline: float | None) -> Awaitable[None]:
        """Wait until there may be something to take."""
        ...

    def pump(self, receive: Receive, deadline: float | None) -> Awaitable[None]:
        """Give `receive` what comes, until it wants no more; see the function `pump`."""
        ...

    def is_quiet(self) -> bool:
        """Whether the connection is open, and there is nothing to receive."""
        ...

    def close(self) -> None:
        """Close at once. A call that is waiting returns, or raises OSError. May be called twice."""
        ...

    def abandon(self) -> None:
        """The process was forked, and the connection is its parent's: close this end of it if that
        tells nobody. Its event loop, which the parent shares, is not to be touched."""
        ...


class Dialer(Protocol):
    """Makes the connections of one answer, until it is woken: from then on no call waits."""

    async def resolve(self, host: str, port: int, deadline: float | None) -> list[str]:
        """The IP addresses of `host`. Raises OSError, UnicodeError, TimeoutError."""
        ...

    async def connect(self, address: str, port: int, deadline: float | None) -> Stream:
        """A connection to an IP address, without Nagle's delay. Raises OSError, TimeoutError."""
        ...

    async def sleep(self, until: float) -> None:
        """Wait until `until`. If that has passed, only let others run in the event loop."""
        ...

    def wake(self) -> None:
        """End the call that is waiting, and all later ones: they raise TimeoutError or OSError, or
        return at once."""
        ...


class Network(Protocol):
    """What an I/O library does for a client, in one event loop or in none."""

    def now(self) -> float:
        """Seconds of a clock that only goes forward."""
        ...

    def dialer(self) -> Dialer:
        """A dialer for one answer."""
        ...

    def is_current(self) -> bool:
        """Whether its event loop, if it has one, is the one that runs."""
        ...

    def call_from_thread(self, call: Callable[[], None]) -> None:
        """Have `call` called soon, in the thread or event loop of the network; at once, if that has
        ended. From any thread."""
        ...


async def pump(stream: Stream, receive: Receive, deadline: float | None) -> None:
    """What `Stream.pump` does, by its other methods. Raises OSError if the connection is broken,
    TimeoutError once the deadline has passed."""
    while True:
        while (data := stream.take()) is None:
            await stream.wait(deadline)
        until = receive(data)
        if until is None:
            return
        deadline = None if until == inf else until
