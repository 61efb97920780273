"""Idle connections, for the next request of the same route."""

import os
from collections import OrderedDict, deque
from threading import Lock

import msgspec

from .connection import Connection, Route
from .network import Stream

__all__ = ["Link", "Pool"]


class Link(msgspec.Struct, eq=False):
    """A connection: its stream, the protocols over it, its peer's address, and since when it is
    idle."""

    stream: Stream
    connection: Connection
    address: str
    since: float = 0
    process: int = msgspec.field(default_factory=os.getpid)

    def close(self) -> None:
        """Close the connection, unless another process has made it: its reader goes on there."""
        if self.process == os.getpid():
            self.stream.close()
        else:
            self.stream.abandon()


class Pool:
    """At most `size` connections, none idle for more than `keep` seconds. Each request is O(1).

    Most servers keep an idle connection for longer (nginx 75 s, cloud load balancers 60 s; uvicorn
    only 5 s). One that was closed all the same is replaced without notice.

    A process that was forked has none: the connections are its parent's, and both would read each
    other's answers.
    """

    def __init__(self, size: int = 10, keep: float = 30) -> None:
        self._size = size
        self._keep = keep
        self._closed = False
        self._all: OrderedDict[Link, None] = OrderedDict()
        self._by_route: dict[Route, deque[Link]] = {}
        self._lock = Lock()  # blocking answers may be read in several threads
        self._process = os.getpid()
        self._abandoned: list[Link] = []  # of the parent: to be collected, too, would be to close

    def take(self, route: Route, now: float) -> Link | None:
        """The connection of `route` that became idle last and still can be used, or None."""
        self._disown()
        while True:
            with self._lock:
                expired = self._expire(now)
                link = self._pop(route)
            _close(expired)
            if link is None or link.stream.is_quiet():
                return link
            link.stream.close()

    def put(self, link: Link, now: float) -> None:
        """Keep a connection that is idle from `now` on; close those that are too many or too old,
        and this one if the pool is closed."""
        self._disown()
        link.since = now
        with self._lock:
            if self._closed:
                close = [link.stream]
            else:
                self._all[link] = None
                self._by_route.setdefault(link.connection.route, deque()).append(link)
                close = self._expire(now)
                while len(self._all) > self._size:
                    close.append(self._take_oldest())
        _close(close)

    def close(self) -> None:
        """Close all connections, and those that will be put here."""
        _close(self.retire())

    def retire(self) -> list[Stream]:
        """Keep no connection from now on. Returns the streams to close."""
        self._closed = True
        return self.clear()

    def clear(self) -> list[Stream]:
        """Empty the pool, and return the streams to close."""
        self._disown()
        with self._lock:
            streams = [link.stream for link in self._all]
            self._all.clear()
            self._by_route.clear()
        return streams

    def _disown(self) -> None:
        """Let go of the connections if this is another process than the one that made them."""
        if self._process != os.getpid():
            self._process = os.getpid()
            self._lock = Lock()  # another thread may have held it
            self._abandoned += self._all
            self._all = OrderedDict()
            self._by_route = {}
            for link in self._abandoned:
                link.stream.abandon()

    def _pop(self, route: Route) -> Link | None:
        idle = self._by_route.get(route)
        if not idle:
            return None
        link = idle.pop()
        self._forget(link)
        return link

    def _expire(self, now: float) -> list[Stream]:
        """Remove the connections that are too old, and return their streams."""
        close: list[Stream] = []
        while self._all and now - next(iter(self._all)).since > self._keep:
            close.append(self._take_oldest())
        return close

    def _take_oldest(self) -> Stream:
        oldest = next(iter(self._all))
        self._by_route[oldest.connection.route].popleft()
        self._forget(oldest)
        return oldest.stream

    def _forget(self, link: Link) -> None:
        del self._all[link]
        if not self._by_route[link.connection.route]:
            del self._by_route[link.connection.route]


def _close(streams: list[Stream]) -> None:
    for stream in streams:
        stream.close()
