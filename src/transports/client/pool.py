"""Idle connections, kept for the next request of the same route."""

from collections import OrderedDict, deque
from typing import Generic, TypeVar

import msgspec

from .connection import Connection, Route

__all__ = ["Kept", "Pool"]

_Stream = TypeVar("_Stream")


class Kept(msgspec.Struct, Generic[_Stream], eq=False):
    """A connection with its stream, the address it leads to, and when it was put aside."""

    stream: _Stream
    connection: Connection
    address: str
    since: float


class Pool(Generic[_Stream]):
    """At most `size` idle connections, none older than `keep` seconds; O(1) a request.

    `keep` is below what servers keep them for (nginx 75 s, uvicorn 5 s, cloud balancers 60 s); one
    that was closed all the same is replaced in silence.
    """

    def __init__(self, size: int = 10, keep: float = 30) -> None:
        self._size = size
        self._keep = keep
        self._all: OrderedDict[Kept[_Stream], None] = OrderedDict()
        self._by_route: dict[Route, deque[Kept[_Stream]]] = {}

    def take(self, route: Route) -> Kept[_Stream] | None:
        """The connection of `route` that was put aside last, or None. Expire the pool first."""
        kept = self._by_route.get(route)
        if not kept:
            return None
        found = kept.pop()
        self._forget(found)
        return found

    def put(self, kept: Kept[_Stream]) -> list[_Stream]:
        """Put a connection aside. Returns the streams to close: too many, or too old."""
        self._all[kept] = None
        self._by_route.setdefault(kept.connection.route, deque()).append(kept)
        close = self.expire(kept.since)
        while len(self._all) > self._size:
            close.append(self._take_oldest())
        return close

    def expire(self, now: float) -> list[_Stream]:
        """Let go of what is too old. Returns the streams to close."""
        close: list[_Stream] = []
        while self._all and now - next(iter(self._all)).since > self._keep:
            close.append(self._take_oldest())
        return close

    def clear(self) -> list[_Stream]:
        """Empty the pool. Returns the streams to close."""
        close = [kept.stream for kept in self._all]
        self._all.clear()
        self._by_route.clear()
        return close

    def _take_oldest(self) -> _Stream:
        oldest = next(iter(self._all))
        self._by_route[oldest.connection.route].popleft()
        self._forget(oldest)
        return oldest.stream

    def _forget(self, kept: Kept[_Stream]) -> None:
        del self._all[kept]
        if not self._by_route[kept.connection.route]:
            del self._by_route[kept.connection.route]
