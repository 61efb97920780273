"""Counters in memory and in a real Redis or Valkey."""

import socket
import sys
from collections.abc import Awaitable, Callable
from math import inf

import anyio
import pytest

from tests.gateway.redis import RedisServer, redis
from tokenwire import Overloaded
from tokenwire.gateway import store as module
from tokenwire.gateway.counters import Counter, Window
from tokenwire.gateway.file import ConfigError
from tokenwire.gateway.store import Store, Taken

__all__ = ["redis"]  # a fixture

COUNTER = Counter("key/ci/tpm", 1000, 60)
LONG = 40
"""Seconds for the store to answer on a busy machine. It decides no outcome."""


class Clock:
    """A clock that a test sets, instead of the module `time`."""

    def __init__(self) -> None:
        self.now = 6_000_000.0  # a window of a minute begins

    def time(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("limits.aio.storage.memory.time", clock)
    return clock


async def take(store: Store, amount: int, counter: Counter = COUNTER) -> Taken | None:
    """What was taken of one counter; None: its limit did not allow it."""
    taken = await store.take([(counter, amount)])
    return taken if isinstance(taken, Taken) else None


async def window(store: Store) -> Window:
    (found,) = await store.windows([COUNTER])
    return found


def in_memory(clock: Clock, test: Callable[[Store], Awaitable[None]]) -> None:
    anyio.run(test, Store("memory", now=clock.time))


@pytest.mark.parametrize("used", [1, 100, 640, 1000])
@pytest.mark.parametrize("began", [0.0, 12.5, 59.0])
@pytest.mark.parametrize("amount", [1, 360, 361, 1000])
def test_after_the_wait_it_passes(clock: Clock, used: int, began: float, amount: int) -> None:
    async def test(store: Store) -> None:
        assert await take(store, used) is not None
        clock.now += began
        wait = (await window(store)).wait(COUNTER, amount)
        taken = await take(store, amount)
        assert (taken is not None) == (wait == 0)
        if taken is None:
            clock.now += wait + 0.001
            assert await take(store, amount) is not None

    in_memory(clock, test)


# What is taken and settled


def test_what_is_over_the_limit_is_not_taken(clock: Clock) -> None:
    async def test(store: Store) -> None:
        assert await take(store, 999) is not None
        assert await take(store, 2) is None
        assert await take(store, 1) is not None
        assert await take(store, 1000, Counter("another", 1000, 60)) is not None

    in_memory(clock, test)


@pytest.mark.parametrize(("used", "left"), [(100, 900), (400, 600), (1000, 0), (3000, 0)])
def test_what_was_used_is_counted(clock: Clock, used: int, left: int) -> None:
    """More than the limit, too: so it is made up for later."""

    async def test(store: Store) -> None:
        taken = await take(store, 400)
        assert taken is not None
        clock.now += 59
        await store.settle(taken, [used])
        found = await window(store)
        assert (found.current, found.left(COUNTER)) == (used, left)

    in_memory(clock, test)


def test_what_was_taken_in_an_earlier_window_is_not_given_back(clock: Clock) -> None:
    async def test(store: Store) -> None:
        taken = await take(store, 800)
        assert taken is not None
        clock.now += 90
        await store.settle(taken, [100])
        found = await window(store)
        assert (found.previous, found.current, found.left(COUNTER)) == (800, 0, 600)
        await store.settle(taken, [900])
        assert (await window(store)).current == 100
        clock.now += 600
        await store.settle(taken, [0])
        assert await window(store) == Window(0, 0, 0, 30)

    in_memory(clock, test)


# Redis


def of_redis(server: RedisServer, failed: list[Exception], **options: object) -> Store:
    known: dict[str, object] = {"timeout": LONG, "failed": failed.append, **options}
    return Store(server.address, **known)  # type: ignore[arg-type]


def test_it_is_counted_in_redis(redis: RedisServer) -> None:
    failed: list[Exception] = []

    async def main() -> None:
        first, second = of_redis(redis, failed), of_redis(redis, failed)
        assert await window(first) == Window(0, 0, 0, 0)
        taken = await take(first, 600)
        assert taken is not None
        assert await take(second, 600) is None
        assert (await window(second)).left(COUNTER) == 400
        await first.settle(taken, [100])
        assert (await window(second)).current == 100
        assert await take(second, 900) is not None
        await first.settle(taken, [5000])
        assert (await window(second)).current == 5400
        assert (await window(second)).wait(COUNTER, 1) > 60
        assert await first.is_ready()
        await first.close()
        await second.close()

    anyio.run(main)
    assert failed == []


def test_many_at_once_take_turns(redis: RedisServer) -> None:
    failed: list[Exception] = []

    async def main() -> None:
        store = of_redis(redis, failed)
        found: list[bool] = []

        async def ask() -> None:
            found.append(await take(store, 100) is not None)

        async with anyio.create_task_group() as tasks:
            for _ in range(50):
                tasks.start_soon(ask)
        assert (found.count(True), len(found)) == (10, 50)
        await store.close()

    anyio.run(main)
    assert failed == []


@pytest.fixture
def once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that failed is not asked again."""
    monkeypatch.setattr(module, "PAUSE", inf)


@pytest.mark.usefixtures("once")
def test_a_store_that_is_away_is_replaced(redis: RedisServer) -> None:
    failed: list[Exception] = []

    async def main() -> None:
        store = of_redis(redis, failed)
        before = await take(store, 1000)
        assert before is not None
        redis.kill()
        during = await take(store, 1000)  # of its own
        assert during is not None
        assert await take(store, 1) is None
        await store.settle(before, [0])  # can't be told
        await store.settle(during, [400])
        assert (await window(store)).current == 400
        assert await store.is_ready()
        await store.close()
        redis.start()

    anyio.run(main)
    assert len(failed) == 1


def test_a_store_that_is_back_is_asked_again(
    redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PAUSE", 0.0)
    failed: list[Exception] = []

    async def main() -> None:
        store = of_redis(redis, failed)
        redis.kill()
        during = await take(store, 1000)
        assert during is not None
        assert await take(store, 1) is None
        assert len(failed) == 2
        redis.start()
        assert await take(store, 1000) is not None
        await store.settle(during, [300])  # which is in this process
        assert (await window(store)).current == 1000
        await store.close()

    anyio.run(main)
    assert len(failed) == 2


@pytest.mark.usefixtures("once")
def test_without_the_store_calls_are_refused(redis: RedisServer) -> None:
    failed: list[Exception] = []

    async def main() -> None:
        store = of_redis(redis, failed, on_failure="refuse")
        taken = await take(store, 1)
        assert taken is not None
        assert await store.is_ready()
        redis.kill()
        for _ in range(2):
            with pytest.raises(Overloaded, match=r"^the gateway can't count at present") as refused:
                await take(store, 1)
            assert (refused.value.status, refused.value.retry_after) == (503, "1")
            with pytest.raises(Overloaded):
                await window(store)
        assert not await store.is_ready()
        await store.settle(taken, [0])
        await store.close()
        redis.start()

    anyio.run(main)
    assert len(failed) == 1


@pytest.mark.usefixtures("once")
def test_a_store_that_does_not_answer() -> None:
    failed: list[Exception] = []

    async def main(address: str) -> None:
        store = Store(address, failed=failed.append, timeout=0.01)
        taken = await take(store, 1000)
        assert taken is not None
        assert await take(store, 1) is None
        refusing = Store(address, on_failure="refuse", timeout=0.01)
        assert not await refusing.is_ready()
        await refusing.settle(taken, [0])  # of another store
        assert (await window(store)).current == 1000
        await store.close()
        await refusing.close()

    with socket.create_server(("127.0.0.1", 0)) as silent:
        anyio.run(main, f"redis://127.0.0.1:{silent.getsockname()[1]}/0")
    assert [type(error) for error in failed] == [TimeoutError]


def test_redis_needs_an_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "redis.backoff", None)
    with pytest.raises(ConfigError, match=r"needs an extra: pip install 'tokenwire\[gateway-redis"):
        Store("redis://127.0.0.1:6379/0")


def test_a_store_in_memory_is_always_ready() -> None:
    async def main() -> None:
        store = Store("memory", on_failure="refuse")
        assert await store.is_ready()
        await store.close()

    anyio.run(main)
