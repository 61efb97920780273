"""What callers have used, counted in this process or in a store that several share."""

import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from math import inf
from typing import NamedTuple, TypeVar

import anyio

from ..protocols.errors import Overloaded
from ..protocols.refusing import refuse
from .counters import Amounts, Counter, Counters, Full, InMemory, InRedis, StoreError, Window
from .file import OnStoreFailure

__all__ = ["Store", "Taken"]

_T = TypeVar("_T")

TIMEOUT = 0.05
"""Seconds to wait for the store. It is beside the gateway, and each call waits for it."""

PAUSE = 1.0
"""Seconds for which a store that failed is left alone, so that not every call waits for it."""

CONNECTIONS = 4
"""The most connections to the store. To open one takes ten times as long as to ask over it, so when
many calls begin at once it is quicker to take turns."""

_ANY = Counter("ready", 1, 1)


class Taken(NamedTuple):
    """What was taken: of which counters, where, and when."""

    amounts: Amounts
    counters: Counters
    at: float


class Store:
    """The counters at `address`: `memory`, or the URL of a Redis or Valkey.

    If that is away, they are counted in memory (`on_failure` is `local`) or calls are refused
    (`refuse`); `failed` is told the error, and after a second it is tried again. `now` returns
    seconds since 1970. `timeout`: seconds for the store to answer.
    """

    def __init__(
        self,
        address: str,
        *,
        on_failure: OnStoreFailure = "local",
        failed: Callable[[Exception], None] = lambda error: None,
        now: Callable[[], float] = time.time,
        timeout: float = TIMEOUT,
    ) -> None:
        self._own: InMemory | None = None
        self._shared = None if address == "memory" else InRedis(address)
        self._turns = anyio.Semaphore(CONNECTIONS)
        self._timeout = timeout
        self._on_failure = on_failure
        self._failed = failed
        self._now = now
        self._away_until = -inf

    @property
    def _memory(self) -> InMemory:
        """What counts in this process, made when it is needed."""
        if self._own is None:
            self._own = InMemory()
        return self._own

    async def take(self, wanted: Amounts) -> Taken | Full:
        """Count all amounts, unless a limit does not allow one: then none. Raises Overloaded (503)
        if the store is away and calls are to be refused."""

        async def take(counters: Counters) -> Taken | Full:
            full = await counters.take(wanted)
            return Taken(wanted, counters, self._now()) if full is None else full

        return await self._ask(take)

    async def settle(self, taken: Taken, amounts: Sequence[int]) -> None:
        """Count these amounts instead of those that were taken, as `Counters.correct` does. If the
        store is away, nothing is done."""
        pairs = zip(taken.amounts, amounts, strict=True)
        more = [(counter, amount - was) for (counter, was), amount in pairs if amount != was]
        age = self._now() - taken.at

        async def settle(counters: Counters) -> None:
            if counters is taken.counters:
                await counters.correct(more, age)

        if not more:
            return
        if taken.counters is self._memory:
            await settle(self._memory)
        else:
            with suppress(Overloaded):
                await self._ask(settle)

    async def windows(self, counters: Sequence[Counter]) -> list[Window]:
        """The states of counters. Raises Overloaded as `take` does."""
        return await self._ask(lambda place: place.windows(counters))

    async def is_ready(self) -> bool:
        """Whether calls are not refused because the store is away."""
        try:
            await self.windows([_ANY])
        except Overloaded:
            return False
        return True

    async def close(self) -> None:
        """Close its connections."""
        if self._shared is not None:
            await self._shared.close()

    async def _ask(self, ask: Callable[[Counters], Awaitable[_T]]) -> _T:
        shared = self._shared
        if shared is None:
            return await ask(self._memory)
        async with self._turns:
            if anyio.current_time() >= self._away_until:
                try:
                    with anyio.fail_after(self._timeout):
                        return await ask(shared)
                except (StoreError, TimeoutError) as error:
                    self._away_until = anyio.current_time() + PAUSE
                    self._failed(error)
        if self._on_failure == "refuse":
            away = refuse(Overloaded, 503, "the gateway can't count at present: try again soon")
            away.retry_after = "1"
            raise away
        return await ask(self._memory)
