"""What a caller gets, by a server that is played: what is sent at once, and what has to wait.

On asyncio's loops, as uvicorn runs there only; tests/gateway/test_app.py goes on without it."""

import asyncio
from collections.abc import Awaitable, MutableMapping
from typing import Any

import anyio
import pytest

from tests.every_transport import LOOPS
from tests.transports.client.test_async_client import Loop
from tokenwire.gateway.delivery import Delivery, Later


@pytest.fixture(params=sorted({"asyncio", "uvloop"} & set(LOOPS)))
def loop(request: pytest.FixtureRequest) -> Loop:
    return Loop(request.param, *LOOPS[request.param])


class Server:
    """Takes what is sent, as long as it is `free`; and waits once more after that."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.free = asyncio.Event()
        self.free.set()
        self.cancelled = False

    async def send(self, message: MutableMapping[str, Any]) -> None:
        if not self.free.is_set():
            try:
                await self.free.wait()
                await asyncio.sleep(0)
            except BaseException:
                self.cancelled = True
                raise
        if message["type"] == "http.response.body":
            self.sent.append(message["body"])


class Uvicorn(Server):
    """One whose `send` needs no task."""


Uvicorn.__module__ = "uvicorn.protocols.http.httptools_impl"


async def done(rest: Awaitable[None] | None) -> None:
    assert rest is not None
    await rest


def test_a_server_that_needs_no_task_is_sent_to_at_once(loop: Loop) -> None:
    async def main() -> None:
        server = Uvicorn()
        delivery = Delivery(server.send)
        assert delivery.offer(b"one") is None
        assert delivery.offer(b"") is None
        await delivery.write(b"two")
        assert (server.sent, delivery.size) == ([b"one", b"two"], 6)

    loop.run(main)


def test_any_other_server_is_sent_to_by_the_task(loop: Loop) -> None:
    async def main() -> None:
        server = Server()

        async def send(message: MutableMapping[str, Any]) -> None:
            await server.send(message)

        for sending in (server.send, send):
            delivery = Delivery(sending)
            rest = delivery.offer(b"one")
            assert not server.sent
            await done(rest)
            assert (server.sent, delivery.size) == ([b"one"], 3)
            server.sent.clear()

    loop.run(main)


def test_what_waits_goes_on_in_the_task(loop: Loop) -> None:
    """And what comes after it, also if nobody has awaited what `offer` returned."""

    async def main() -> None:
        server = Uvicorn()
        delivery, waits = Delivery(server.send), list[bool]()
        delivery.on_wait = lambda: waits.append(True)
        for dropped in (False, True):
            server.free = asyncio.Event()
            rest = delivery.offer(b"one")
            assert delivery.offer(b"two") is not None
            async with anyio.create_task_group() as tasks:
                if dropped:
                    tasks.start_soon(delivery.write, b"three")
                else:
                    tasks.start_soon(done, rest)
                await anyio.wait_all_tasks_blocked()
                assert not server.sent
                server.free.set()
            assert b"".join(server.sent) == (b"onetwothree" if dropped else b"onetwo")
            assert delivery.offer(b"after") is None
            server.sent.clear()
        assert waits == [True]

    loop.run(main)


def test_a_task_that_is_cancelled_as_it_waits(loop: Loop) -> None:
    async def main() -> None:
        server = Uvicorn()
        server.free = asyncio.Event()
        delivery = Delivery(server.send)
        rest = delivery.offer(b"one")
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(done, rest)
                await anyio.wait_all_tasks_blocked()
                scope.cancel()
        assert server.cancelled
        server.free.set()
        assert delivery.offer(b"two") is None  # it is free again
        assert server.sent == [b"two"]

    loop.run(main)


def test_an_error_of_the_server_is_raised(loop: Loop) -> None:
    async def main() -> None:
        def failing(delivery: Delivery) -> Any:
            return delivery.offer(b"one")

        class Broken(Uvicorn):
            async def send(self, message: MutableMapping[str, Any]) -> None:
                raise OSError("broken")

        Broken.__module__ = Uvicorn.__module__
        with pytest.raises(OSError, match="broken"):
            failing(Delivery(Broken().send))

    loop.run(main)


def test_what_is_dropped_was_never_called() -> None:
    called: list[bool] = []

    async def call() -> None:
        called.append(True)

    later = Later(call)
    assert not called

    async def main() -> None:
        await later

    anyio.run(main)
    assert called == [True]


def test_a_ping_and_the_answer_do_not_get_into_each_others_way(loop: Loop) -> None:
    """What comes while a ping is being sent waits for it."""

    async def main() -> None:
        server = Server()
        delivery = Delivery(server.send, b"ping")
        await delivery.commit()
        server.free = asyncio.Event()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(delivery.write, b"ping")
            await anyio.wait_all_tasks_blocked()
            tasks.start_soon(delivery.write, b"one")
            tasks.start_soon(delivery.write, b"two")
            await anyio.wait_all_tasks_blocked()
            assert not server.sent
            server.free.set()
        assert server.sent[0] == b"ping"
        assert sorted(b"".join(server.sent[1:]).decode()) == sorted("onetwo")

    loop.run(main)


def test_who_is_to_mind_is_asked_once(loop: Loop) -> None:
    async def main() -> None:
        server, calls = Server(), list[str]()
        delivery = Delivery(server.send, b"ping", [(b"x-request-id", b"ours")])
        delivery.on_wait = lambda: calls.append("mind")
        delivery.expect(ping=15, commit_after=0)
        delivery.expect(ping=15, commit_after=15)
        await delivery.write(b"one")
        assert calls == ["mind"]

    loop.run(main)
