"""Idle connections, against a naive model of them."""

from typing import NamedTuple, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenwire.protocols.toolkit.http import Origin
from tokenwire.transports.client.connection import Route
from tokenwire.transports.client.network import Stream
from tokenwire.transports.client.pool import Link, Pool
from tokenwire.transports.client.proxy import Proxy
from tokenwire.transports.client.settings import ClientSettings

A = Route(Origin("http", "a.example", 80))
ROUTES = [
    A,
    Route(Origin("http", "a.example", 8080)),
    Route(Origin("http", "b.example", 80)),
    Route(Origin("http", "a.example", 80), Proxy("proxy.example", 80)),
    Route(Origin("http", "a.example", 80), Proxy("proxy.example", 80, user="x")),
    Route(Origin("http", "a.example", 80), guarded=True),
]


class Peer:
    """Stands in for a stream. `quiet`: nothing was received on it."""

    def __init__(self, number: int, *, quiet: bool = True) -> None:
        self.number = number
        self.quiet = quiet

    def is_quiet(self) -> bool:
        return self.quiet

    def close(self) -> None:
        CLOSED.append(self.number)

    def abandon(self) -> None:
        ABANDONED.append(self.number)


CLOSED: list[int] = []
ABANDONED: list[int] = []


def closed() -> list[int]:
    """The numbers of those that were closed since the last call."""
    numbers = CLOSED[:]
    CLOSED.clear()
    return numbers


@pytest.fixture(autouse=True)
def _none_is_closed_yet() -> None:
    CLOSED.clear()


def idle(number: int, route: Route = A, *, quiet: bool = True) -> Link:
    connection = ClientSettings(trust_env=False).connection(route)
    return Link(cast(Stream, Peer(number, quiet=quiet)), connection, "192.0.2.1")


def number(link: Link | None) -> int | None:
    return None if link is None else cast(Peer, link.stream).number


def test_the_last_one_of_the_same_route_comes_first() -> None:
    pool = Pool()
    for one in range(3):
        pool.put(idle(one), 0)
    pool.put(idle(3, ROUTES[1]), 0)
    assert [number(pool.take(A, 0)) for _ in range(4)] == [2, 1, 0, None]
    assert number(pool.take(Route(Origin("http", "a.example", 8080)), 0)) == 3
    assert closed() == []


def test_those_that_are_too_old_are_closed() -> None:
    pool = Pool(keep=30)
    pool.put(idle(0), 0)
    pool.put(idle(1), 10)
    assert pool.take(ROUTES[1], 30) is None
    assert closed() == []
    assert pool.take(ROUTES[1], 40) is None
    assert closed() == [0]
    assert number(pool.take(A, 40)) == 1
    assert pool.take(A, 40) is None
    pool.put(idle(2), 50)
    pool.put(idle(3), 81)
    assert closed() == [2]


def test_one_that_received_something_is_closed() -> None:
    pool = Pool()
    pool.put(idle(0), 0)
    pool.put(idle(1, quiet=False), 0)
    pool.put(idle(2, quiet=False), 0)
    assert number(pool.take(A, 0)) == 0
    assert closed() == [2, 1]


def test_too_many_close_the_oldest() -> None:
    pool = Pool(size=2)
    for n in range(4):
        pool.put(idle(n, ROUTES[n % 2]), 0)
    assert closed() == [0, 1]
    Pool(size=0).put(idle(7), 0)
    assert closed() == [7]


def test_a_closed_pool() -> None:
    pool = Pool()
    for n, route in enumerate(ROUTES):
        pool.put(idle(n, route), 0)
    pool.close()
    assert closed() == list(range(len(ROUTES)))
    pool.put(idle(9), 0)
    assert closed() == [9]
    assert pool.take(A, 0) is None


def test_clear_gives_all() -> None:
    pool = Pool()
    for n, route in enumerate(ROUTES):
        pool.put(idle(n, route), 0)
    assert [cast(Peer, stream).number for stream in pool.clear()] == list(range(len(ROUTES)))
    assert pool.clear() == []
    assert all(pool.take(route, 0) is None for route in ROUTES)
    assert closed() == []


class Entry(NamedTuple):
    number: int
    route: Route
    since: float


class Model:
    """A pool as a list, oldest first."""

    def __init__(self, size: int, keep: float) -> None:
        self.entries: list[Entry] = []
        self.size, self.keep = size, keep

    def take(self, route: Route, now: float) -> tuple[int | None, list[int]]:
        """The number of the connection, and those of the closed ones."""
        old = [entry for entry in self.entries if now - entry.since > self.keep]
        self.entries = [entry for entry in self.entries if entry not in old]
        closed = [entry.number for entry in old]
        mine = [entry for entry in self.entries if entry.route == route]
        if not mine:
            return None, closed
        self.entries.remove(mine[-1])
        return mine[-1].number, closed

    def put(self, entry: Entry) -> list[int]:
        self.entries.append(entry)
        closed: list[int] = []
        while self.entries and (
            len(self.entries) > self.size or entry.since - self.entries[0].since > self.keep
        ):
            closed.append(self.entries.pop(0).number)
        return closed


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["put", "put", "take", "clear"]),
        st.sampled_from(ROUTES),
        st.sampled_from([0.0, 0.0, 1.0, 7.0]),
    ),
    max_size=40,
)


@settings(max_examples=200)
@given(STEPS, st.integers(0, 4), st.sampled_from([0.0, 5.0, 100.0]))
def test_like_the_model(steps: list[tuple[str, Route, float]], size: int, keep: float) -> None:
    pool = Pool(size, keep)
    model = Model(size, keep)
    now = 0.0
    CLOSED.clear()
    for n, (what, route, seconds) in enumerate(steps):
        now += seconds
        match what:
            case "put":
                pool.put(idle(n, route), now)
                assert closed() == model.put(Entry(n, route, now))
            case "take":
                assert (number(pool.take(route, now)), closed()) == model.take(route, now)
            case _:
                left = [cast(Peer, stream).number for stream in pool.clear()]
                assert left == [entry.number for entry in model.entries]
                model.entries.clear()


def test_a_forked_process_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of its parent are neither used nor closed, as both would read each other's answers."""
    pool = Pool()
    pool.put(idle(1), 0)
    pool.put(idle(2, ROUTES[1]), 0)
    monkeypatch.setattr("os.getpid", lambda: -1)
    assert pool.take(A, 0) is None
    assert ABANDONED == [1, 2]
    pool.put(idle(3), 0)
    link = pool.take(A, 0)
    assert link is not None
    assert cast(Peer, link.stream).number == 3
    pool.close()
    assert closed() == []


def test_who_may_close_a_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    link = idle(7)
    monkeypatch.setattr("os.getpid", lambda: -1)
    link.close()
    assert (ABANDONED[-1:], closed()) == ([7], [])
    monkeypatch.undo()
    link.close()
    assert closed() == [7]


def test_a_pool_that_is_retired_keeps_nothing() -> None:
    pool = Pool()
    pool.put(idle(1), 0)
    assert [cast(Peer, stream).number for stream in pool.retire()] == [1]
    pool.put(idle(2), 0)
    assert closed() == [2]
