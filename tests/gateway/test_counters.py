"""Windows; and several counters at once, in memory and in a real Redis or Valkey."""

from collections.abc import Sequence
from math import inf
from typing import Any

import anyio
import pytest

from tests.gateway.redis import RedisServer, redis
from tokenwire.gateway.counters import (
    Counter,
    Counters,
    Full,
    InMemory,
    InRedis,
    StoreError,
    Window,
)

__all__ = ["redis"]  # a fixture

COUNTER = Counter("key/ci/tpm", 1000, 60)
MINUTE, HOUR = Counter("key/a/tpm", 100, 60), Counter("key/a/budget", 50, 3600)


# Windows


@pytest.mark.parametrize(
    ("window", "left"),
    [
        (Window(0, 0, 0, 0), 1000),
        (Window(0, 0, 400, 10), 600),
        (Window(1000, 30, 0, 30), 500),
        (Window(1001, 30, 0, 30), 500),
        (Window(600, 30, 200, 30), 500),
        (Window(0, 0, 5000, 0), 0),
    ],
)
def test_what_is_left(window: Window, left: int) -> None:
    assert window.left(COUNTER) == left


@pytest.mark.parametrize(
    ("window", "amount", "wait"),
    [
        (Window(0, 0, 0, 0), 1000, 0),
        (Window(0, 0, 0, 0), 1001, inf),
        (Window(1000, 30, 0, 30), 500, 0),
        (Window(1000, 30, 0, 30), 600, 30 - 24.06),  # when less than 401 count
        (Window(1000, 30, 0, 30), 1000, 30 - 0.06),
        (Window(3, 30, 999, 30), 1, 10),  # when less than one counts
        (Window(3, 30, 1000, 30), 1, 30),  # fractions don't count
        (Window(0, 0, 900, 20), 100, 0),
        (Window(0, 0, 1000, 20), 100, 40 + 5.94),  # the next window begins in 40 s
        (Window(0, 0, 1000, 20), 1000, 40 + 59.94),
        (Window(500, 40, 1000, 20), 100, 40 + 5.94),
        (Window(0, 0, 4000, 0), 500, 60 + 52.485),
    ],
)
def test_how_long_to_wait(window: Window, amount: int, wait: float) -> None:
    assert window.wait(COUNTER, amount) == pytest.approx(wait)


# Several at once


async def all_or_none(counters: Counters) -> None:
    async def used() -> list[int]:
        return [window.current for window in await counters.windows([MINUTE, HOUR])]

    assert await used() == [0, 0]
    assert await counters.take([(MINUTE, 60), (HOUR, 30)]) is None
    assert await used() == [60, 30]
    full = await counters.take([(MINUTE, 40), (HOUR, 21)])
    assert full is not None
    assert (full.place, full.window.current, full.window.left(HOUR)) == (1, 30, 20)
    assert await used() == [60, 30]  # of none
    full = await counters.take([(MINUTE, 41), (HOUR, 1)])
    assert full is not None
    assert (full.place, full.window.current) == (0, 60)
    await counters.correct([(MINUTE, -50), (HOUR, 100)], 0)
    assert await used() == [10, 130]
    await counters.correct([(MINUTE, -5), (HOUR, -5)], 10_000)  # of earlier windows
    assert await used() == [10, 130]
    await counters.close()


class Clock:
    """A clock that stands, instead of the module `time`."""

    def time(self) -> float:
        return 6_000_000.0


def test_of_all_or_of_none_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("limits.aio.storage.memory.time", Clock())
    anyio.run(all_or_none, InMemory())


def test_of_all_or_of_none_in_redis(redis: RedisServer) -> None:
    async def main() -> None:
        await all_or_none(InRedis(redis.address))

    anyio.run(main)


def test_a_window_of_redis_becomes_the_previous_one(redis: RedisServer) -> None:
    """Its keys live for two lengths: half of the second is over if a half of one is left."""

    async def main() -> None:
        counters = InRedis(redis.address)
        assert await counters.take([(MINUTE, 80)]) is None
        await counters._client.pexpire("tokenwire/key/a/tpm", 59_000)  # pyright: ignore[reportPrivateUsage]
        (window,) = await counters.windows([MINUTE])
        assert (window.previous, window.current) == (80, 0)
        assert 30 < window.fades <= 59
        assert 1 <= window.began < 30
        full = await counters.take([(MINUTE, 70)])
        assert full is not None
        assert (full.place, full.window.previous, full.window.current) == (0, 80, 0)
        assert await counters.take([(MINUTE, 20)]) is None
        assert await counters.take([(MINUTE, 50)]) is not None
        await counters.close()

    anyio.run(main)


def test_a_redis_that_is_not_there() -> None:
    async def main() -> None:
        counters = InRedis("redis://127.0.0.1:1/0")
        with pytest.raises(StoreError):
            await counters.windows([MINUTE])
        await counters.close()

    anyio.run(main)


def test_redis_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is asked, and for however many counters. Without a server: what is sent, and how the
    answer is read."""
    counters = InRedis("redis://127.0.0.1:1/0")
    asked: list[tuple[Sequence[str], Sequence[int]]] = []
    state = [7, 1000, 8, 7_100_000]
    answers: list[Any] = [[], [2, *state], [[0, 0, 0, 0], state], None]

    async def script(keys: Sequence[str], arguments: Sequence[int]) -> Any:
        asked.append((keys, arguments))
        return answers.pop(0)

    for name in ("_take", "_correct", "_look"):
        monkeypatch.setattr(counters, name, script)

    async def main() -> None:
        assert await counters.take([(MINUTE, 1), (HOUR, 2)]) is None
        full = await counters.take([(MINUTE, 3), (HOUR, 4)])
        assert full == Full(1, Window(7, 1.0, 8, 100.0))
        found = await counters.windows([MINUTE, HOUR])
        assert found == [Window(0, 0, 0, 0), Window(7, 1.0, 8, 100.0)]
        await counters.correct([(HOUR, -4)], 2.5)
        await counters.close()

    anyio.run(main)
    minute = ["tokenwire/key/a/tpm", "tokenwire/key/a/tpm/-1"]
    hour = ["tokenwire/key/a/budget", "tokenwire/key/a/budget/-1"]
    assert asked == [
        (minute + hour, [60_000, 100, 1, 3_600_000, 50, 2]),
        (minute + hour, [60_000, 100, 3, 3_600_000, 50, 4]),
        (minute + hour, [60_000, 0, 0, 3_600_000, 0, 0]),
        (hour, [3_600_000, 2495, -4]),
    ]
