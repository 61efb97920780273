"""Kept connections, against a naive model of them."""

from typing import NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st

from tokenwire.protocols.toolkit.http import Origin
from tokenwire.transports.client.connection import Connection, Route
from tokenwire.transports.client.pool import Kept, Pool
from tokenwire.transports.client.proxy import Proxy
from tokenwire.transports.client.settings import ClientSettings

A = Route(Origin("http", "a.example", 80))
ROUTES = [
    A,
    Route(Origin("http", "a.example", 8080)),
    Route(Origin("http", "b.example", 80)),
    Route(Origin("http", "a.example", 80), Proxy("proxy.example", 80)),
    Route(Origin("http", "a.example", 80), Proxy("proxy.example", 80, "Basic eA==")),
    Route(Origin("http", "a.example", 80), guarded=True),
]


def kept(stream: int, since: float = 0, route: Route = A) -> Kept[int]:
    return Kept(stream, connection(route), "192.0.2.1", since)


def connection(route: Route) -> Connection:
    return ClientSettings(trust_env=False).connection(route)


def stream(found: Kept[int] | None) -> int | None:
    return None if found is None else found.stream


def test_the_last_one_of_the_same_route_comes_first() -> None:
    pool: Pool[int] = Pool()
    for number in range(3):
        assert pool.put(kept(number)) == []
    assert pool.put(kept(3, route=ROUTES[1])) == []
    assert [stream(pool.take(A)) for _ in range(4)] == [2, 1, 0, None]
    assert stream(pool.take(Route(Origin("http", "a.example", 8080)))) == 3


def test_what_is_too_old_is_closed() -> None:
    pool: Pool[int] = Pool(keep=30)
    pool.put(kept(0, since=0))
    pool.put(kept(1, since=10))
    assert pool.expire(30) == []
    assert pool.expire(40) == [0]
    assert stream(pool.take(A)) == 1
    assert pool.take(A) is None
    pool.put(kept(2, since=50))
    assert pool.put(kept(3, since=81)) == [2]


def test_too_many_close_the_oldest() -> None:
    pool: Pool[int] = Pool(size=2)
    assert [pool.put(kept(n, route=ROUTES[n % 2])) for n in range(4)] == [[], [], [0], [1]]
    assert Pool[int](size=0).put(kept(7)) == [7]


def test_clear_gives_all() -> None:
    pool: Pool[int] = Pool()
    for number, route in enumerate(ROUTES):
        pool.put(kept(number, route=route))
    assert pool.clear() == list(range(len(ROUTES)))
    assert pool.clear() == []
    assert all(pool.take(route) is None for route in ROUTES)


class Entry(NamedTuple):
    number: int
    route: Route
    since: float


class Model:
    """A pool as a list, oldest first."""

    def __init__(self, size: int, keep: float) -> None:
        self.entries: list[Entry] = []
        self.size, self.keep = size, keep

    def take(self, route: Route) -> int | None:
        mine = [entry for entry in self.entries if entry.route == route]
        if not mine:
            return None
        self.entries.remove(mine[-1])
        return mine[-1].number

    def expire(self, now: float) -> list[int]:
        old = [entry for entry in self.entries if now - entry.since > self.keep]
        self.entries = [entry for entry in self.entries if entry not in old]
        return [entry.number for entry in old]

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
        st.sampled_from(["put", "put", "take", "expire", "clear"]),
        st.sampled_from(ROUTES),
        st.sampled_from([0.0, 0.0, 1.0, 7.0]),
    ),
    max_size=40,
)


@settings(max_examples=200)
@given(STEPS, st.integers(0, 4), st.sampled_from([0.0, 5.0, 100.0]))
def test_like_the_model(steps: list[tuple[str, Route, float]], size: int, keep: float) -> None:
    pool: Pool[int] = Pool(size, keep)
    model = Model(size, keep)
    now = 0.0
    for number, (what, route, seconds) in enumerate(steps):
        now += seconds
        match what:
            case "put":
                entry = Entry(number, route, now)
                assert pool.put(kept(number, now, route)) == model.put(entry)
            case "take":
                assert stream(pool.take(route)) == model.take(route)
            case "expire":
                assert pool.expire(now) == model.expire(now)
            case _:
                assert pool.clear() == [entry.number for entry in model.entries]
                model.entries.clear()
