"""Calls at once."""

import asyncio

import anyio
import pytest

from tokenwire.gateway.slots import Slots

BACKENDS = ["asyncio", "trio"]


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_limit_that_is_full(backend: str) -> None:
    async def main() -> None:
        slots = Slots()
        assert await slots.take({"a": 2}) is None
        assert await slots.take({"a": 2}) is None
        assert await slots.take({"a": 2}) == "a"
        slots.give({"a": 2})
        assert await slots.take({"a": 2}) is None

    anyio.run(main, backend=backend)


def test_all_limits_or_none() -> None:
    async def main() -> None:
        slots = Slots()
        assert await slots.take({"b": 1}) is None
        assert await slots.take({"a": 1, "b": 1}) == "b"
        assert (slots.taken("a"), slots.taken("b")) == (0, 1)
        assert await slots.take({}) is None

    anyio.run(main)


def test_a_new_limit_holds_for_what_was_taken_before() -> None:
    async def main() -> None:
        slots = Slots()
        assert await slots.take({"a": 2}) is None
        assert await slots.take({"a": 1}) == "a"

    anyio.run(main)


@pytest.mark.parametrize("backend", BACKENDS)
def test_those_that_wait_are_served_in_their_order(backend: str) -> None:
    async def main() -> None:
        slots = Slots(queue=2, patience=40)
        served: list[int] = []
        assert await slots.take({"a": 1}) is None

        async def wait(number: int) -> None:
            assert await slots.take({"a": 1}) is None
            served.append(number)

        async with anyio.create_task_group() as tasks:
            for number in range(2):
                tasks.start_soon(wait, number)
                await anyio.wait_all_tasks_blocked()
            assert slots.waiting == 2
            assert await slots.take({"a": 1}) == "a"  # the queue is full
            for count in (1, 2):
                slots.give({"a": 1})
                await anyio.wait_all_tasks_blocked()
                assert served == [0, 1][:count]
        assert (slots.waiting, slots.taken("a")) == (0, 1)

    anyio.run(main, backend=backend)


def test_one_that_waits_for_another_limit_does_not_hold_up() -> None:
    async def main() -> None:
        slots = Slots(queue=2, patience=40)
        assert await slots.take({"a": 1}) is None
        assert await slots.take({"b": 1}) is None
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(slots.take, {"a": 1})
            await anyio.wait_all_tasks_blocked()
            tasks.start_soon(slots.take, {"b": 1})
            await anyio.wait_all_tasks_blocked()
            slots.give({"b": 1})
            await anyio.wait_all_tasks_blocked()
            assert (slots.waiting, slots.taken("b")) == (1, 1)
            slots.give({"a": 1})

    anyio.run(main)


@pytest.mark.parametrize("backend", BACKENDS)
def test_patience_ends(backend: str) -> None:
    async def main() -> None:
        slots = Slots(queue=1, patience=0.001)
        assert await slots.take({"a": 1}) is None
        assert await slots.take({"a": 1}) == "a"
        assert (slots.waiting, slots.taken("a")) == (0, 1)

    anyio.run(main, backend=backend)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("admitted", [False, True])
def test_a_caller_that_leaves(admitted: bool, backend: str) -> None:
    """Also when it was admitted in the same moment: then the slot is given back."""

    async def main() -> None:
        slots = Slots(queue=1, patience=40)
        assert await slots.take({"a": 1}) is None
        scope = anyio.CancelScope()

        async def wait() -> None:
            with scope:
                assert await slots.take({"a": 1}) is None
                slots.give({"a": 1})

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(wait)
            await anyio.wait_all_tasks_blocked()
            if admitted:
                slots.give({"a": 1})
                assert slots.taken("a") == 1
            scope.cancel()
        assert slots.waiting == 0
        assert slots.taken("a") == (0 if admitted else 1)

    anyio.run(main, backend=backend)


def test_a_task_that_is_cancelled_when_it_was_just_admitted() -> None:
    async def main() -> None:
        slots = Slots(queue=1, patience=40)
        assert await slots.take({"a": 1}) is None
        task = asyncio.create_task(slots.take({"a": 1}))
        await anyio.wait_all_tasks_blocked()
        slots.give({"a": 1})
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (slots.waiting, slots.taken("a")) == (0, 0)

    asyncio.run(main())
