"""What is reserved for a call, and what is booked after it."""

import subprocess
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import anyio
import pytest

from tests.gateway.redis import RedisServer, redis
from tokenwire import Overloaded, RateLimited, Usage
from tokenwire.gateway.config import Bounded, Budget, Config, Limits, Price, load
from tokenwire.gateway.counters import Counter
from tokenwire.gateway.limits import (
    Limited,
    Limiter,
    Reservation,
    Scope,
    cost_of,
    expected_usage,
    scope_of_target,
    scopes_of_call,
)
from tokenwire.gateway.slots import Slots
from tokenwire.gateway.store import Store

__all__ = ["redis"]  # a fixture

LONG = 40
"""Seconds for the store to answer on a busy machine. It decides no outcome."""
HUNDRED = Usage(input_tokens=40, output_tokens=60)
PRICE = Price(input=1.0, cached=0.1, cache_write=1.25, output=5.0)


class Clock:
    """A clock that a test sets, instead of the module `time`."""

    now = 6_000_000.0  # a window of a minute begins

    def time(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("limits.aio.storage.memory.time", clock)
    return clock


def scope(budget: Budget | None = None, **limits: int) -> Scope:
    return Scope("key", ("ci",), "this key", Bounded(limits=Limits(**limits), budget=budget))


class Counted:
    """A limiter in memory, and what it has counted."""

    def __init__(self, clock: Clock, **slots: Any) -> None:
        self.store = Store("memory", now=clock.time)
        self.slots = Slots(**slots)
        self.limiter = Limiter(self.store, self.slots)

    async def reserve(
        self, *scopes: Scope, usage: Usage = HUNDRED, price: Price | None = None
    ) -> Reservation:
        return await self.limiter.reserve(scopes, usage, price)

    async def refused(
        self, *scopes: Scope, usage: Usage = HUNDRED, price: Price | None = None
    ) -> Limited:
        with pytest.raises(Limited) as refused:
            await self.limiter.reserve(scopes, usage, price)
        return refused.value

    async def used(self, unit: str, seconds: int = 60) -> int:
        (window,) = await self.store.windows([Counter(f"key/ci/{unit}", 1, seconds)])
        return window.current


def counted(clock: Clock, test: Callable[[Counted], Awaitable[None]], **slots: Any) -> None:
    async def main() -> None:
        await test(Counted(clock, **slots))

    anyio.run(main)


# Requests and tokens


def test_requests(clock: Clock) -> None:
    async def test(counted: Counted) -> None:
        for _ in range(2):
            await counted.reserve(scope(rpm=2))
        error = await counted.refused(scope(rpm=2))
        assert error.message == "the limit of this key is reached (requests a minute: 2)"
        assert (error.status, error.code, error.limit) == (429, "rate_limit_exceeded", "key.rpm")
        assert (error.retry_after, error.lasting) == ("61", False)
        assert error.headers == [
            (b"x-ratelimit-limit-requests", b"2"),
            (b"x-ratelimit-remaining-requests", b"0"),
            (b"x-ratelimit-reset-requests", b"90s"),
        ]
        assert isinstance(error, RateLimited)
        clock.now += 60
        await counted.refused(scope(rpm=2))
        clock.now += 1
        await counted.reserve(scope(rpm=2))

    counted(clock, test)


def test_tokens(clock: Clock) -> None:
    async def test(counted: Counted) -> None:
        reservation = await counted.reserve(scope(tpm=1000))
        assert await counted.used("tpm") == 100
        error = await counted.refused(scope(tpm=1000), usage=Usage(output_tokens=901))
        assert error.message == "the limit of this key is reached (tokens a minute: 1000)"
        assert (error.limit, error.retry_after) == ("key.tpm", "61")
        assert error.headers == [
            (b"x-ratelimit-limit-tokens", b"1000"),
            (b"x-ratelimit-remaining-tokens", b"900"),
            (b"x-ratelimit-reset-tokens", b"120s"),
        ]
        await counted.limiter.settle(reservation, Usage(input_tokens=40, output_tokens=2))
        assert await counted.used("tpm") == 42
        await counted.reserve(scope(tpm=1000), usage=Usage(output_tokens=901))

    counted(clock, test)


def test_a_call_that_is_larger_than_the_limit(clock: Clock) -> None:
    async def test(counted: Counted) -> None:
        error = await counted.refused(scope(tpm=99))
        assert error.message == (
            "the limit of this key is reached (tokens a minute: 99; this call alone may need more)"
        )
        assert (error.retry_after, error.lasting) == (None, True)

    counted(clock, test)


@pytest.mark.parametrize(
    ("usage", "used"),
    [
        (Usage(input_tokens=1, output_tokens=2), 3),
        (Usage(input_tokens=1, output_tokens=2, cache_read_input_tokens=1), 3),
        (Usage(input_tokens=1), 61),
        (Usage(output_tokens=2), 42),
        (Usage(), 100),
        (Usage(input_tokens=5000, output_tokens=0), 5000),
        (None, 0),
    ],
)
def test_what_is_booked(clock: Clock, usage: Usage | None, used: int) -> None:
    async def test(counted: Counted) -> None:
        reservation = await counted.reserve(scope(tpm=1000, rpm=9))
        await counted.limiter.settle(reservation, usage)
        assert await counted.used("tpm") == used
        assert await counted.used("rpm") == 1

    counted(clock, test)


def test_it_is_booked_once(clock: Clock) -> None:
    async def test(counted: Counted) -> None:
        reservation = await counted.reserve(scope(tpm=1000, calls=1))
        for _ in range(2):
            await counted.limiter.settle(reservation, Usage(input_tokens=1, output_tokens=1))
        assert await counted.used("tpm") == 2
        assert counted.slots.taken("key/ci") == 0

    counted(clock, test)


def test_what_is_refused_counts_nowhere(clock: Clock) -> None:
    async def test(counted: Counted) -> None:
        model = Scope("model", ("fast",), "the model fast", Bounded(limits=Limits(tpm=99)))
        error = await counted.refused(scope(rpm=5, tpm=1000, calls=1), model)
        assert error.limit == "model.tpm"
        assert error.message.startswith("the limit of the model fast is reached (tokens")
        assert await counted.used("tpm") == await counted.used("rpm") == 0
        assert counted.slots.taken("key/ci") == 0

    counted(clock, test)


def test_without_limits_nothing_is_counted(clock: Clock) -> None:
    async def test(counted: Counted) -> None:
        reservation = await counted.reserve(scope())
        assert (reservation.slots, reservation.taken) == ({}, None)
        await counted.limiter.settle(reservation, HUNDRED)

    counted(clock, test)


# Calls at once


def test_calls_at_once(clock: Clock) -> None:
    async def test(counted: Counted) -> None:
        first = await counted.reserve(scope(calls=1))
        error = await counted.refused(scope(calls=1))
        assert error.message == "the limit of this key is reached (calls at once: 1)"
        assert (error.limit, error.retry_after, error.headers) == ("key.calls", "1", [])
        await counted.limiter.settle(first, None)
        await counted.reserve(scope(calls=1))

    counted(clock, test)


def test_a_call_may_wait_for_another(clock: Clock) -> None:
    async def test(counted: Counted) -> None:
        first = await counted.reserve(scope(calls=1))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(counted.reserve, scope(calls=1))
            await anyio.wait_all_tasks_blocked()
            await counted.limiter.settle(first, HUNDRED)
        assert counted.slots.taken("key/ci") == 1

    counted(clock, test, queue=1, patience=LONG)


# Money


@pytest.mark.parametrize(
    ("usage", "price", "cost"),
    [
        (Usage(), PRICE, 0),
        (Usage(input_tokens=1_000_000, output_tokens=100_000), PRICE, 1.5),
        (Usage(input_tokens=1_000_000, cache_read_input_tokens=900_000), PRICE, 0.19),
        (Usage(input_tokens=1_000_000, cache_write_input_tokens=400_000), PRICE, 1.1),
        (
            Usage(input_tokens=1_000_000, cache_read_input_tokens=900_000),
            Price(input=1, output=5),
            1,
        ),
        (Usage(input_tokens=1_000_000, cache_write_input_tokens=9), Price(input=1, output=5), 1),
        (Usage(input_tokens=0, cache_read_input_tokens=1_000_000), PRICE, 0.1),
    ],
)
def test_what_it_costs(usage: Usage, price: Price, cost: float) -> None:
    assert cost_of(usage, price) == pytest.approx(cost)


@pytest.mark.parametrize(("per", "seconds"), [("day", 86_400), ("month", 30 * 86_400)])
def test_a_budget(clock: Clock, per: Any, seconds: int) -> None:
    clock.now = seconds * 10.0

    async def test(counted: Counted) -> None:
        mine = scope(Budget(money=2, per=per))
        million = Usage(input_tokens=1_000_000, output_tokens=0)
        first = await counted.reserve(mine, usage=million, price=PRICE)
        assert await counted.used(per, seconds) == 1_000_000
        await counted.reserve(mine, usage=million, price=PRICE)
        error = await counted.refused(mine, price=PRICE)
        assert error.message == f"the limit of this key is reached (money a {per}: 2)"
        assert (error.code, error.limit) == ("insufficient_quota", "key.budget")
        assert (error.lasting, error.headers) == (False, [])
        used = Usage(input_tokens=1_000_000, output_tokens=0, cache_read_input_tokens=1_000_000)
        await counted.limiter.settle(first, used)
        assert await counted.used(per, seconds) == 1_100_000

    counted(clock, test)


def test_a_budget_without_a_price_is_not_used(clock: Clock) -> None:
    """The configuration does not allow it; the limiter does not fail."""

    async def test(counted: Counted) -> None:
        await counted.reserve(scope(Budget(money=1, per="day")))
        assert await counted.used("day", 86_400) == 0

    counted(clock, test)


# Which limits a call has


def config(keys: str = "") -> Config:
    text = f"""
    [[models]]
    name = "fast"
    expect = 300
    targets = [{{ provider = "ours", limits = {{ rpm = 1 }} }}]
    [providers.ours]
    dialect = "openai_chat"
    base_url = "http://10.0.0.7/v1"
    [[keys]]
    name = "c/i"
    sha256 = "{"00" * 32}"
    {keys}
    """
    return load(text, name="gateway.toml", environment={}, read=str)


def test_the_limits_of_a_call() -> None:
    found = config("per_model.fast.limits = { rpm = 1 }")
    (model,), (key,) = found.models, found.keys
    scopes = scopes_of_call(key, model)
    assert [each.name for each in scopes] == ["key/c%2Fi", "key_model/c%2Fi/fast", "model/fast"]
    assert [each.whose for each in scopes] == [
        "this key",
        "this key and the model fast",
        "the model fast",
    ]
    assert [each.bounds for each in scopes] == [key, key.per_model["fast"], model]


def test_the_limits_of_a_call_with_fewer() -> None:
    found = config()
    (model,), (key,) = found.models, found.keys
    assert [each.kind for each in scopes_of_call(key, model)] == ["key", "model"]
    assert [each.kind for each in scopes_of_call(None, model)] == ["model"]


def test_the_limits_of_a_target() -> None:
    (target,) = config().models[0].targets
    found = scope_of_target(target)
    assert (found.name, found.bounds) == ("target/ours%2F%2A", target)


@pytest.mark.parametrize(("max_tokens", "output"), [(None, 300), (50, 50), (32_000, 32_000)])
def test_what_a_request_may_use(max_tokens: int | None, output: int) -> None:
    usage = expected_usage(4003, max_tokens, config().models[0])
    assert usage == Usage(input_tokens=1000, output_tokens=output)


# All at once, in memory and in Redis, in one process and several


async def admitted(limiter: Limiter, calls: int, *, settle: bool = True) -> int:
    found: list[Reservation] = []

    async def call() -> None:
        with suppress(Limited):
            found.append(await limiter.reserve([scope(tpm=1000)], HUNDRED, None))

    async with anyio.create_task_group() as tasks:
        for _ in range(calls):
            tasks.start_soon(call)
    if settle:
        for reservation in found:
            await limiter.settle(reservation, Usage(input_tokens=10, output_tokens=20))
    return len(found)


def test_fifty_calls_in_memory(clock: Clock) -> None:
    async def test(counted: Counted) -> None:
        assert await admitted(counted.limiter, 50) == 10
        assert await counted.used("tpm") == 300
        assert await admitted(counted.limiter, 50) == 7  # what was not used is there again

    counted(clock, test)


def test_fifty_calls_in_redis(redis: RedisServer) -> None:
    failed: list[Exception] = []

    async def main() -> None:
        store = Store(redis.address, timeout=LONG, failed=failed.append)
        limiter = Limiter(store, Slots())
        assert await admitted(limiter, 50) == 10
        assert await admitted(limiter, 50) == 7
        await store.close()

    anyio.run(main)
    assert failed == []


OTHER_PROCESS = """
import sys
import anyio
from tests.gateway.test_limits import LONG, admitted
from tokenwire.gateway.limits import Limiter
from tokenwire.gateway.slots import Slots
from tokenwire.gateway.store import Store

async def main():
    store = Store(sys.argv[1], timeout=LONG)
    print(await admitted(Limiter(store, Slots()), 17, settle=False))
    await store.close()

anyio.run(main)
"""


def test_three_processes_that_share_redis(redis: RedisServer) -> None:
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", OTHER_PROCESS, redis.address],
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    counts = [int(process.communicate()[0]) for process in processes]
    assert sum(counts) == 10


@pytest.mark.parametrize("on_failure", ["local", "refuse"])
def test_the_store_is_killed_in_the_middle(redis: RedisServer, on_failure: Any) -> None:
    async def main() -> None:
        store = Store(redis.address, timeout=LONG, on_failure=on_failure)
        limiter = Limiter(store, Slots())
        mine = scope(tpm=1000, calls=2)
        before = await limiter.reserve([mine], HUNDRED, None)
        redis.kill()
        if on_failure == "refuse":
            with pytest.raises(Overloaded):
                await limiter.reserve([mine], HUNDRED, None)
        else:
            assert await admitted(limiter, 50) == 10
            during = await limiter.reserve([mine], HUNDRED, None)
            await limiter.settle(during, HUNDRED)
        await limiter.settle(before, HUNDRED)
        await store.close()
        redis.start()

    anyio.run(main)
