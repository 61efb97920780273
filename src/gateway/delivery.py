"""What a caller gets: nothing until the answer is sure to have begun, then bytes as they come.

Until `commit`, all is held back, so that another target may answer instead, or a real status say
what failed. After it an answer that breaks off is told inside the body, which is then broken off.
"""

from collections.abc import Awaitable, Callable, Coroutine, Generator, MutableMapping
from functools import partial
from math import inf
from time import monotonic
from types import coroutine
from typing import Any, TypeAlias, cast

import anyio

from ..protocols.toolkit.http import Headers

__all__ = ["BrokenOff", "Delivery", "Later", "Send"]

Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]
"""ASGI's."""

SERVERS = ("uvicorn.protocols.http.",)
"""Modules of servers whose `send` needs no task as long as it does not wait."""

HELD_BYTES = 256 * 1024
HELD_BATCHES = 64


class BrokenOff(Exception):
    """Raised out of the application to have the server close the connection without the last
    chunk: ASGI has no other way to say that a body is not whole."""


class Later:
    """What is to be awaited: `call` is called then. Unlike a coroutine it may be dropped."""

    __slots__ = ("_call",)

    def __init__(self, call: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self._call = call

    def __await__(self) -> Generator[Any, Any, None]:
        return self._call().__await__()


class Delivery:
    """The response to one call. Times are seconds of `time.monotonic`, 0 is never.

    `committed`: whether the head was sent. `size`: bytes of the body so far. `added`: headers of
    each head, instead of any others of these names.
    """

    __slots__ = (
        "_added",
        "_begun",
        "_commit_at",
        "_early",
        "_every",
        "_flush",
        "_free",
        "_held",
        "_last",
        "_pieces",
        "_ping",
        "_prepared",
        "_send",
        "_since",
        "_taskless",
        "committed",
        "first_at",
        "headers",
        "on_commit",
        "on_wait",
        "pings",
        "size",
    )

    def __init__(self, send: Send, ping: bytes = b"", added: Headers | None = None) -> None:
        self.committed = False
        self.size = 0
        self.pings = 0
        self.first_at = inf
        self._send = send
        self._ping = ping
        self._added = added or []
        self._every = 0.0
        self._commit_at = inf
        # A server's own method: a function around it may do anything.
        server = type(getattr(send, "__self__", None)).__module__
        self._taskless = server.startswith(SERVERS)
        self._held: list[bytes] = []
        self._pieces: list[bytes] = []  # to be sent by the next `flush`
        self._begun: Awaitable[None] | None = None  # the sending of a piece
        self._flush = Later(self.flush)
        self.headers: Headers = []
        self._prepared = False
        self._early: Callable[[], Headers] = list
        self._last = inf  # when something was sent
        self._since = inf  # since when the caller takes nothing
        self._free: anyio.Event | None = None
        self.on_commit: Callable[[], None] = lambda: None
        self.on_wait: Callable[[], object] | None = None
        """Called once, when `mind` is needed: a stream is expected, or the server may wait."""

    def expect(
        self, *, ping: float, commit_after: float, headers: Callable[[], Headers] = list
    ) -> None:
        """A stream may come: after so many seconds without a byte it needs a ping, and without
        content its head. That has `headers()` if the upstream has sent none by then."""
        self._every = ping if self._ping else 0
        self._commit_at = monotonic() + commit_after
        self._early = headers
        self._wait()

    def prepare(self, headers: Headers) -> None:
        """The head that `commit` sends, for a new attempt: what was held of another is gone."""
        self.headers, self._prepared = headers, True
        self._held.clear()

    def hold(self, data: bytes) -> bool:
        """Keep `data` until `commit`. Returns whether it is time for that, as it is so much."""
        if data:
            self._held.append(data)
        return len(self._held) > HELD_BATCHES or sum(map(len, self._held)) > HELD_BYTES

    async def begin(self) -> None:
        """Send the head and what was held, although there is no content yet."""
        if not self._prepared:
            self.headers = self._early()
        await self.commit()

    async def commit(self, *, whole: bool = False) -> None:
        """Send the head and what was held. `whole`: that is all, so its length is told, without
        which a caller that speaks HTTP/1.0 could not read it."""
        self.committed = True
        self.on_commit()
        held = b"".join(self._held)
        self._held.clear()
        self.first_at = monotonic()
        length = [(b"content-length", b"%d" % len(held))] if whole else []
        await self._start(200, [*self.headers, *length])
        await self.write(held)

    def offer(self, data: bytes) -> Awaitable[None] | None:
        """Send a piece of the body, at once if the server lets it: this may be called outside of
        any task. Returns what is to be awaited, in a task, before there is more; None: nothing."""
        if not data:
            return None
        if not self._taskless or self._since != inf or self._pieces:
            self._pieces.append(data)
            return self._flush
        message = {"type": "http.response.body", "body": data, "more_body": True}
        # A coroutine, as those servers have it.
        sending = cast("Coroutine[Any, Any, None]", self._send(message))
        self._last = monotonic()
        self.size += len(data)
        try:
            waits_for = sending.send(None)
        except StopIteration:
            return None
        self._since, self._begun = self._last, _resumed(sending, waits_for)
        return self._flush

    async def write(self, data: bytes) -> None:
        """Send a piece of the body."""
        if (rest := self.offer(data)) is not None:
            await rest

    async def flush(self) -> None:
        """Send what was not sent at once."""
        if self._begun is not None:
            begun, self._begun = self._begun, None
            await self._sent(begun)
        while self._since != inf:  # a ping is under way
            self._free = self._free or anyio.Event()
            await self._free.wait()
        if self._pieces:
            data = b"".join(self._pieces)
            self._pieces.clear()
            self._since = monotonic()
            self.size += len(data)
            await self._sent(
                self._send({"type": "http.response.body", "body": data, "more_body": True})
            )

    async def _sent(self, sending: Awaitable[None]) -> None:
        self._wait()
        try:
            await sending
        finally:
            self._last, self._since = monotonic(), inf
            if self._free is not None:
                self._free.set()
                self._free = None

    async def finish(self) -> None:
        """The body is whole."""
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    async def respond(self, status: int, headers: Headers, body: bytes) -> None:
        """A whole response, in place of what was held."""
        self.committed = True
        length = (b"content-length", str(len(body)).encode())
        await self._start(status, [*headers, length])
        self.size = len(body)
        await self._send({"type": "http.response.body", "body": body, "more_body": False})

    async def mind(self, stall: float) -> bool:
        """Wait until something is to be done that no event of the answer causes, and do it. Returns
        False if the caller has taken nothing for `stall` seconds (0: it may take its time)."""
        left = self._due(stall) - monotonic()
        if left > 0:
            # What is due may change, but not to a moment before the shortest of these times.
            await anyio.sleep(min(left, stall or inf, self._every or inf))
        elif self._since != inf:
            return False
        elif not self.committed:
            await self.begin()
        else:
            self.pings += 1
            await self.write(self._ping)
        return True

    def _wait(self) -> None:
        if self.on_wait is not None:
            self.on_wait()
            self.on_wait = None

    def _due(self, stall: float) -> float:
        if self._since != inf:
            return self._since + stall if stall else inf
        if not self.committed:
            return self._commit_at
        return self._last + self._every if self._every else inf

    async def _start(self, status: int, headers: Headers) -> None:
        names = {name for name, _ in self._added}
        headers = [*(pair for pair in headers if pair[0] not in names), *self._added]
        await self._send({"type": "http.response.start", "status": status, "headers": headers})
        self._last = monotonic()


@coroutine
def _resumed(begun: Coroutine[Any, Any, None], waits_for: Any) -> Generator[Any, Any, None]:
    """The rest of a coroutine that was begun outside of any task, and waits for something."""
    while True:
        try:
            got = yield waits_for
        except BaseException as error:  # noqa: BLE001  above all a cancellation, which is for it
            step = partial(begun.throw, error)
        else:
            step = partial(begun.send, got)
        try:
            waits_for = step()
        except StopIteration:
            return
