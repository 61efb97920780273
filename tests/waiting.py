"""Tests wait for events, not for times: to leave a reader just when it waits."""

import threading
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager

import anyio

WAIT = 40
"""Seconds until a test gives up. Longer than a busy machine stalls; it decides no outcome."""


async def heard(event: threading.Event) -> None:
    """Wait for what happens in another thread."""
    assert await anyio.to_thread.run_sync(event.wait, WAIT)


async def when_all_wait(call: Callable[[], object]) -> None:
    """Call `call` when all other tasks of the event loop wait."""
    await anyio.wait_all_tasks_blocked()
    call()


async def at(event: threading.Event, call: Callable[[], object]) -> None:
    """Call `call` when `event` has happened."""
    await heard(event)
    call()


async def cancelled_at(event: threading.Event, read: Callable[[], Awaitable[object]]) -> None:
    """Cancel `read()` when `event` has happened, in another thread."""
    async with anyio.create_task_group() as tasks:
        with anyio.CancelScope() as scope:
            tasks.start_soon(at, event, scope.cancel)
            await read()
        assert scope.cancelled_caught


async def cancelled_while_it_waits(read: Callable[[], Awaitable[object]]) -> None:
    """Cancel `read()` once it waits."""
    async with anyio.create_task_group() as tasks:
        with anyio.CancelScope() as scope:
            tasks.start_soon(when_all_wait, scope.cancel)
            await read()
        assert scope.cancelled_caught


@contextmanager
def in_a_thread(
    call: Callable[[], object], after: threading.Event | None = None
) -> Generator[threading.Thread]:
    """Call `call` in another thread, once `after` has happened. In the end it has returned."""

    def work() -> None:
        if after is None or after.wait(WAIT):
            call()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield thread
    finally:
        thread.join(WAIT)
