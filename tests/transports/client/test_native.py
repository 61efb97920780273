"""Driving a wire over a network: odd moments. See test_transports for all else."""

import asyncio
import gc
import warnings
from collections.abc import Callable, Coroutine, Generator
from contextlib import contextmanager
from typing import Any, TypeVar

import anyio.to_thread
import pytest
import trio

from tests.every_transport import LOOPS
from tests.leftovers import connections_to, nothing_left
from tests.transports.test_transports import ask, port_of
from tokenwire import End, LocalProtocolError, Reply, Retry, TransportError
from tokenwire.server import Server, serve
from tokenwire.server.faults import RefuseWith
from tokenwire.transports.client.answer import AsyncAnswer
from tokenwire.transports.client.native import NativeClient
from tokenwire.transports.sync import Answer, Client, Dialer, Network, Stream

_T = TypeVar("_T")


@pytest.mark.parametrize("call", ["connect", "sleep"])
def test_an_abort_just_before_a_wait_is_not_missed(call: str) -> None:
    class Late(Dialer):
        async def connect(self, address: str, port: int, deadline: float | None) -> Stream:
            if call == "connect":
                answers[0].abort()
            return await super().connect(address, port, deadline)

        async def sleep(self, until: float) -> None:
            answers[0].abort()
            await super().sleep(until)

    class LateNetwork(Network):
        def dialer(self) -> Dialer:
            return Late()

    class LateClient(Client):
        @classmethod
        def network(cls) -> Network:
            return LateNetwork()

    answers: list[Answer] = []
    with (
        serve("ylokh", fault=RefuseWith(429, "50")) as server,
        LateClient(trust_env=False, retry=Retry(attempts=2)) as client,
        client.open(ask(server)) as answer,
    ):
        answers.append(answer)
        with pytest.raises(TransportError, match="abort"):
            next(answer)
    assert len(server.requests) == (call == "sleep")


def test_a_forked_process_wakes_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """The thread that may be connecting is in the other process."""
    woken: list[bool] = []

    class Noted(Dialer):
        def wake(self) -> None:
            woken.append(True)
            super().wake()

    class NotedNetwork(Network):
        def dialer(self) -> Dialer:
            return Noted()

    class NotedClient(Client):
        @classmethod
        def network(cls) -> Network:
            return NotedNetwork()

    with (
        serve("ylokh") as server,
        NotedClient(trust_env=False) as client,
        client.open(ask(server)) as answer,
    ):
        assert next(answer)
        monkeypatch.setattr("os.getpid", lambda: -1)
        answer.abort()
        answer.close()
        assert not woken
        monkeypatch.undo()
        answer.close()
        assert woken


def test_a_forked_process_drops_an_answer_in_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    with serve("ylokh") as server, Client(trust_env=False) as client:
        answer = client.open(ask(server))
        assert next(answer)
        monkeypatch.setattr("os.getpid", lambda: -1)
        del answer
        gc.collect()  # a warning would be an error
        monkeypatch.undo()


def test_a_connection_that_was_idle_for_long_is_closed_and_replaced() -> None:
    passed = [0.0]

    class Late(Network):
        def now(self) -> float:
            return super().now() + passed[0]

    class LateClient(Client):
        @classmethod
        def network(cls) -> Network:
            return Late()

    with serve("ylokh") as server, LateClient(trust_env=False) as client:
        for passed[0] in (0, 29, 58, 89):
            assert client.read(ask(server)).evidence == "terminator"
    assert server.connections == 2


def test_a_client_needs_a_network() -> None:
    with pytest.raises(NotImplementedError):
        NativeClient.network()


# In several event loops


def run(name: str, main: Callable[[], Coroutine[Any, Any, _T]]) -> _T:
    """What `main()` returns in a new event loop, in which it may leave connections idle."""
    if "trio" in name:
        return trio.run(main)
    if name == "uvloop":
        import uvloop

        return uvloop.run(main())
    return asyncio.run(main())


def make(name: str) -> Any:
    """A client for the event loop of that name."""
    return LOOPS[name][1](trust_env=False)


async def in_another_thread(main: Callable[[], Coroutine[Any, Any, _T]]) -> _T:
    """The same, in an event loop of asyncio in another thread."""
    return await anyio.to_thread.run_sync(lambda: asyncio.run(main()))


@contextmanager
def loops_that_end() -> Generator[Server]:
    """A server. Event loops of asyncio may end in spite of idle connections, of which they warn."""
    with nothing_left(), serve("ylokh") as server, warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        yield server
        gc.collect()


PAIRS = [
    *((name, name) for name in LOOPS),
    *(("anyio on asyncio", "anyio on trio"), ("anyio on trio", "anyio on asyncio")),
]


@pytest.mark.parametrize(("first", "second"), PAIRS)
def test_a_second_event_loop_has_connections_of_its_own(first: str, second: str) -> None:
    client = make(first)

    async def main() -> int:
        for _ in range(2):
            assert (await client.read(ask(server))).evidence == "terminator"
        return server.connections

    with loops_that_end() as server:
        assert [run(name, main) for name in (first, second)] == [1, 2]
        client.close()  # where there is no event loop
        gc.collect()
        assert connections_to(port_of(server)) == 0


@pytest.mark.parametrize("name", LOOPS)
def test_event_loops_in_two_threads(name: str) -> None:
    async def main() -> None:
        async with make(name) as client:

            async def once() -> None:
                assert (await client.read(ask(server))).evidence == "terminator"

            async with client.open(ask(server)) as answer:
                events = [await anext(answer)]
                if name != "trio":  # its client can't be used on asyncio
                    await in_another_thread(once)
                events += [event async for event in answer]
            assert isinstance(events[-1], End)
            await once()

    with loops_that_end() as server:
        run(name, main)


@pytest.mark.parametrize("name", LOOPS)
def test_an_answer_is_read_in_its_own_event_loop(name: str) -> None:
    async def main() -> None:
        async with make(name) as client, client.open(ask(server)) as answer:

            async def elsewhere() -> None:
                with pytest.raises(LocalProtocolError, match="belongs to another event loop"):
                    await answer.read()

            first = await anext(answer)
            await in_another_thread(elsewhere)
            reply = Reply.of([first, *[event async for event in answer]])
            assert reply.evidence == "terminator"

    with loops_that_end() as server:
        run(name, main)


@pytest.mark.parametrize("name", LOOPS)
def test_an_answer_that_is_left_in_another_event_loop_is_closed(name: str) -> None:
    client = make(name)
    answers: list[AsyncAnswer] = []

    async def begin() -> None:
        answers.append(client.open(ask(server)))
        while not isinstance(await anext(answers[0]), End):
            pass

    async def leave() -> None:
        await answers.pop().aclose()

    with loops_that_end() as server:
        run(name, begin)
        run(name, leave)
        client.close()
        gc.collect()
        assert connections_to(port_of(server)) == 0


def test_a_client_that_was_closed_keeps_no_connection() -> None:
    with nothing_left(), serve("ylokh") as server:
        client = Client(trust_env=False)
        answer = client.open(ask(server))
        client.close()
        assert answer.read().evidence == "terminator"
        assert connections_to(port_of(server)) == 0


@pytest.mark.parametrize(("name", "other"), [("trio", "asyncio"), ("asyncio", "trio")])
def test_a_client_of_another_library(name: str, other: str) -> None:
    client = make(name)

    async def main() -> None:
        with pytest.raises(LocalProtocolError, match="no event loop of this transport's library"):
            await client.read(ask(server))

    with nothing_left(), serve("ylokh") as server:
        run(other, main)
    assert server.connections == 0
