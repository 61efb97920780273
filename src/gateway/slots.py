"""Calls at once, of one process: each takes a slot of each of its limits, or waits for them."""

from collections.abc import Mapping
from typing import TypeAlias

import anyio

__all__ = ["Slots", "Wanted"]

Wanted: TypeAlias = Mapping[str, int]
"""The names of limits, each with how many calls it allows at once."""


class _Waiter:
    def __init__(self, wanted: Wanted) -> None:
        self.wanted = wanted
        self.admitted = anyio.Event()


class Slots:
    """Counts the calls of each limit. If one is full, `queue` calls may wait for `patience`
    seconds; those that came first are served first."""

    def __init__(self, *, queue: int = 0, patience: float = 0) -> None:
        self._queue = queue
        self._patience = patience
        self._taken: dict[str, int] = {}
        self._waiting: list[_Waiter] = []

    @property
    def waiting(self) -> int:
        """How many calls wait."""
        return len(self._waiting)

    def taken(self, name: str) -> int:
        """How many calls have a slot of the limit `name`."""
        return self._taken.get(name, 0)

    def full(self, wanted: Wanted) -> str | None:
        """The name of a limit that has no slot left, if there is one."""
        return next((name for name in wanted if self.taken(name) >= wanted[name]), None)

    async def take(self, wanted: Wanted) -> str | None:
        """Take a slot of each limit, or of none: then this is the name of one that is full."""
        full = self.full(wanted)
        if full is None:
            self._count(wanted, 1)
        elif len(self._waiting) < self._queue and await self._waited(wanted):
            return None
        return full

    def give(self, wanted: Wanted) -> None:
        """Give back what was taken."""
        self._count(wanted, -1)
        for waiter in [*self._waiting]:
            if self.full(waiter.wanted) is None:
                self._count(waiter.wanted, 1)
                self._waiting.remove(waiter)
                waiter.admitted.set()

    async def _waited(self, wanted: Wanted) -> bool:
        waiter = _Waiter(wanted)
        self._waiting.append(waiter)
        try:
            with anyio.move_on_after(self._patience):
                await waiter.admitted.wait()
        except BaseException:  # the caller has left, perhaps when it was just admitted
            if waiter.admitted.is_set():
                self.give(wanted)
            raise
        finally:
            if waiter in self._waiting:
                self._waiting.remove(waiter)
        return waiter.admitted.is_set()

    def _count(self, wanted: Wanted, change: int) -> None:
        for name in wanted:
            count = self.taken(name) + change
            if count:
                self._taken[name] = count
            else:
                del self._taken[name]
