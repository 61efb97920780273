"""`push` and `push_raw`: batches that are given to a callable, on each kind of transport.

tests/test_matrix.py has the faults of a server, whose outcomes are those of iteration.
"""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import httpx
import pytest

from tests.every_transport import LOOPS
from tests.transports.client.test_async_client import (
    END,
    WHOLE,
    Loop,
    hello,
    peer,
    says,
)
from tests.transports.test_sync import CHUNK, HEAD
from tests.waiting import at, cancelled_at
from tokenwire import (
    Clocks,
    End,
    Event,
    LocalProtocolError,
    Text,
    TimedOut,
    TransportError,
    Truncated,
    make_exchange,
)
from tokenwire.server import serve
from tokenwire.server.faults import Cutting, KeepAlives
from tokenwire.transports import httpx as httpx_transport
from tokenwire.transports import sync
from tokenwire.transports.asyncio import Stream
from tokenwire.transports.client.wire import Wire

HI = Text("Hi")
PIECE = CHUNK[CHUNK.index(b"\r\n") + 2 : -2]
"""The event in `CHUNK`."""


@pytest.fixture(params=sorted(LOOPS))
def loop(request: pytest.FixtureRequest) -> Loop:
    return Loop(request.param, *LOOPS[request.param])


@pytest.fixture(params=sorted({"asyncio", "uvloop"} & set(LOOPS)))
def of_asyncio(request: pytest.FixtureRequest) -> Loop:
    return Loop(request.param, *LOOPS[request.param])


async def no_task() -> None:
    """What `take` may return to be awaited."""


# What is pushed


def test_the_batches_are_those_of_iteration(loop: Loop) -> None:
    async def main() -> tuple[list[Event], list[Event]]:
        pushed: list[Event] = []
        async with loop.client() as client:
            async with client.open(exchange.fresh()) as answer:
                iterated = [event async for event in answer]
            async with client.open(exchange) as answer:
                first = await anext(answer)
                await answer.push(pushed.extend)
                await answer.push(pushed.extend)  # nothing is left
                assert answer.request_id is not None
        return iterated, [first, *pushed]

    with serve("ylokh", cutting=Cutting.of_sizes(7)) as server:
        exchange = make_exchange("ylokh", "Is it whole?", base_url=server.url)
        iterated, pushed = loop.run(main)
    assert iterated[1:] == pushed[1:]  # each answer has an id of its own
    assert isinstance(pushed[-1], End)


def test_a_blocking_answer_is_pushed() -> None:
    for make in (sync.Client, lambda: httpx_transport.Client(httpx.Client())):
        pushed: list[Event] = []
        raw: list[bytes] = []

        def take(data: bytes, events: list[Event], raw: list[bytes] = raw) -> bool:
            raw.append(data)
            return bool(events)  # of a blocking answer it does not matter what it returns

        with serve("ylokh") as server, make() as client:
            exchange = make_exchange("ylokh", "Is it whole?", base_url=server.url)
            with client.open(exchange.fresh()) as answer:
                answer.push(pushed.extend)
            with client.open(exchange) as answer:
                answer.push_raw(take)
                with pytest.raises(LocalProtocolError, match="before anything is read"):
                    answer.push_raw(take)
        assert isinstance(pushed[-1], End)
        assert b"".join(raw).endswith(b"data: [DONE]\n\n")
        assert all(data.endswith(b"\n\n") for data in raw[:-1])


class Interrupted(Exception):
    """What a signal's handler raises."""


def test_interrupted_while_it_decodes(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    """By iteration, or by push: which has it from the event loop itself, on asyncio."""

    def received(wire: Wire, data: bytes, now: float) -> None:
        of_wire(wire, data, now)
        if data == CHUNK:
            raise Interrupted

    async def main() -> None:
        async with loop.client() as client:
            for pushed in (False, True):
                async with client.open(hello(url)) as answer:
                    assert await anext(answer) == HI
                    go_on.set()
                    with pytest.raises(Interrupted):
                        await (answer.push(lambda events: None) if pushed else anext(answer))
                    with pytest.raises(LocalProtocolError, match="was interrupted"):
                        await answer.push(lambda events: None)
                    go_on.clear()

    of_wire = Wire.received
    monkeypatch.setattr(Wire, "received", received)
    go_on = threading.Event()
    script = says(HEAD + CHUNK, go_on, CHUNK)
    with peer(script, script) as url:
        loop.run(main)


def test_raw_batches_are_pushed(loop: Loop) -> None:
    async def main() -> tuple[bytes, list[Event]]:
        raw: list[bytes] = []
        events: list[Event] = []

        def take(data: bytes, batch: list[Event]) -> None:
            raw.append(data)
            events.extend(batch)

        async with loop.client() as client, client.open(hello(url)) as answer:
            await answer.push_raw(take)
        return b"".join(raw), events

    with peer(says(HEAD + CHUNK, CHUNK[:-9], CHUNK[-9:], END)) as url:
        raw, events = loop.run(main)
    assert raw == PIECE * 2 + b"data: [DONE]\n\n"
    assert events == [HI, HI, End("terminator")]


def test_by_an_async_http_client() -> None:
    async def main(url: str) -> list[Event]:
        found: list[Event] = []

        def take(events: list[Event]) -> Awaitable[None]:
            found.extend(events)
            return no_task()

        async with (
            httpx.AsyncClient() as http,
            httpx_transport.AsyncClient(http) as client,
            client.open(hello(url)) as answer,
        ):
            await answer.push(take)
        return found

    with peer(says(WHOLE)) as url:
        assert asyncio.run(main(url)) == [HI, End("terminator")]


def test_on_asyncio_no_task_is_switched_to(of_asyncio: Loop) -> None:
    """All but what comes with the head is handed over where it arrives."""
    tasks: list[asyncio.Task[Any] | None] = []
    more = threading.Event()

    def take(events: list[Event]) -> None:
        tasks.append(asyncio.current_task())
        more.set()

    async def main() -> None:
        async with of_asyncio.client() as client, client.open(hello(url)) as answer:
            await answer.push(take)
            assert tasks == [asyncio.current_task(), None]

    with peer(says(HEAD + CHUNK, more, CHUNK + END)) as url:
        of_asyncio.run(main)


def test_what_came_before_it_is_pushed(of_asyncio: Loop) -> None:
    """What a stream has received while nobody waited comes first, and in order."""

    async def main() -> None:
        buffer = memoryview(bytearray(b"x"))
        stream = Stream(buffer)
        now = asyncio.get_running_loop().time()
        taken: list[bytes] = []

        def receive(data: bytes) -> float | None:
            taken.append(data)
            return now + 100 - len(taken) if len(taken) < 4 else None

        stream.buffer_updated(1)
        pumping = asyncio.create_task(stream.pump(receive, None))
        await asyncio.sleep(0)
        assert taken == [b"x"]
        for byte in b"yzw":  # after each there is less time than before
            buffer[0] = byte
            stream.buffer_updated(1)
        assert taken == [b"x", b"y", b"z", b"w"]
        buffer[0] = b"!"[0]
        stream.buffer_updated(1)  # it wants no more
        await pumping
        assert stream.take() == b"!"
        stream.buffer_updated(1)
        await stream.pump(lambda data: taken.append(data), None)
        assert taken[-1] == b"!"
        stream.close()

    of_asyncio.run(main)


# Back-pressure


def test_a_brake_is_awaited(loop: Loop) -> None:
    """Meanwhile nothing is handed over, and the clock idle stands still."""

    async def main() -> list[str]:
        said: list[str] = []

        async def brake() -> None:
            said.append("brake")
            await anyio.sleep(0.1)
            more[said.count("go")].set()
            said.append("go")

        def take(events: list[Event]) -> Awaitable[None] | None:
            said.extend(type(event).__name__ for event in events)
            return None if isinstance(events[-1], End) else brake()

        clocks = Clocks(first_event=20, idle=0.05)
        async with loop.client(clocks=clocks) as client, client.open(hello(url)) as answer:
            await answer.push(take)
        return said

    more = [threading.Event() for _ in range(2)]
    with peer(says(HEAD + CHUNK, more[0], CHUNK, more[1], CHUNK + END)) as url:
        said = loop.run(main)
    assert said == ["Text", "brake", "go"] * 2 + ["Text", "End"]


@pytest.mark.parametrize("batch", [0, 1])
def test_what_take_raises_is_raised(loop: Loop, batch: int) -> None:
    """Also what is no Exception, and what the transport would take for its own. The connection is
    closed then, as after any error."""

    class Stopped(BaseException):
        pass

    def failing(error: BaseException) -> Callable[[list[Event]], None]:
        batches: list[list[Event]] = []

        def take(events: list[Event]) -> None:
            batches.append(events)
            more.set()
            if len(batches) > batch:
                raise error

        return take

    async def main(error: BaseException) -> None:
        async with loop.client() as client:
            with pytest.raises(type(error)) as raised:
                async with client.open(hello(url)) as answer:
                    await answer.push(failing(error))
        assert raised.value is error

    for error in (ValueError("?"), TimeoutError("?"), OSError("?"), Stopped("?")):
        more = threading.Event()
        with peer(says(HEAD + CHUNK, more, CHUNK)) as url:
            loop.run(lambda error=error: main(error))  # type: ignore[misc]


def test_what_take_raises_from_a_blocking_answer() -> None:
    def take(events: list[Event]) -> None:
        raise ValueError("?")

    with (
        peer(says(WHOLE)) as url,
        sync.Client(trust_env=False) as client,
        client.open(hello(url)) as answer,
    ):
        with pytest.raises(ValueError, match=r"\?"):
            answer.push(take)
        with pytest.raises(LocalProtocolError, match="the answer was interrupted"):
            answer.push(take)


# Errors, and leaving


def test_a_cut_answer_is_none(loop: Loop) -> None:
    async def main() -> list[Event]:
        found: list[Event] = []

        def take(events: list[Event]) -> None:
            found.extend(events)
            more.set()

        async with loop.client() as client, client.open(hello(url)) as answer:
            for _ in range(2):
                with pytest.raises(Truncated):
                    await answer.push(take)
        return found

    def cut(stream: Any) -> None:
        stream.recv(65536)
        stream.sendall(HEAD + CHUNK)
        more.wait()
        stream.sendall(CHUNK)

    more = threading.Event()
    with peer(cut) as url:
        assert loop.run(main) == [HI, HI]


def test_keep_alives_do_not_stop_a_clock(loop: Loop) -> None:
    async def main() -> list[Event]:
        found: list[Event] = []
        clocks = Clocks(first_event=20, idle=0.1)
        async with loop.client(clocks=clocks) as client, client.open(exchange) as answer:
            with pytest.raises(TimedOut, match="clock idle"):
                await answer.push(found.extend)
        return found

    with serve("darkai", faults=[KeepAlives(50, 0.02)]) as server:
        exchange = make_exchange("darkai", "Hello", base_url=server.url)
        assert loop.run(main)


def test_a_push_that_is_cancelled_can_go_on(loop: Loop) -> None:
    async def main() -> list[Event]:
        found: list[Event] = []

        def take(events: list[Event]) -> None:
            found.extend(events)
            came.set()

        async with loop.client() as client, client.open(hello(url)) as answer:
            await cancelled_at(came, lambda: answer.push(take))
            assert found == [HI]
            go.set()
            await answer.push(take)
        return found

    came, go = threading.Event(), threading.Event()
    with peer(says(HEAD + CHUNK, go, CHUNK + END)) as url:
        assert loop.run(main) == [HI, HI, End("terminator")]


def test_an_abort_ends_a_push(loop: Loop) -> None:
    async def main() -> None:
        async with (
            loop.client() as client,
            client.open(hello(url)) as answer,
            anyio.create_task_group() as tasks,
        ):
            tasks.start_soon(at, came, answer.abort)
            with pytest.raises(TransportError, match="was closed, or aborted"):
                await answer.push(lambda _: came.set())

    came = threading.Event()
    with peer(says(HEAD + CHUNK)) as url:
        loop.run(main)


def test_an_abort_by_take_itself(loop: Loop) -> None:
    async def main() -> None:
        async with loop.client() as client, client.open(hello(url)) as answer:
            with pytest.raises(TransportError, match="was closed, or aborted"):
                await answer.push(lambda _: answer.abort())

    with peer(says(HEAD + CHUNK)) as url:
        loop.run(main)


def test_only_one_reads(loop: Loop) -> None:
    pushed: list[Event] = []

    async def main() -> None:
        async with loop.client() as client, client.open(hello(url)) as answer:

            async def read_too() -> None:
                with pytest.raises(LocalProtocolError, match="in another task"):
                    await anext(answer)
                go.set()

            async with anyio.create_task_group() as tasks:

                def take(events: list[Event]) -> None:
                    if not pushed:
                        tasks.start_soon(read_too)
                    pushed.extend(events)

                await answer.push(take)

    go = threading.Event()
    with peer(says(HEAD + CHUNK, go, CHUNK + END)) as url:
        loop.run(main)
    assert pushed == [HI, HI, End("terminator")]


def test_a_slow_answer_by_blocking_sockets() -> None:
    more = threading.Event()
    pushed: list[Event] = []

    def take(events: list[Event]) -> None:
        pushed.extend(events)
        more.set()

    with (
        peer(says(HEAD + CHUNK, more, CHUNK + END)) as url,
        sync.Client(trust_env=False) as client,
        client.open(hello(url)) as answer,
    ):
        answer.push(take)
    assert pushed == [HI, HI, End("terminator")]


def test_without_any_clock(loop: Loop) -> None:
    more = threading.Event()
    never = Clocks(connect=None, first_event=None, idle=None)

    async def main() -> list[Event]:
        found: list[Event] = []

        def take(events: list[Event]) -> None:
            found.extend(events)
            more.set()

        async with loop.client(clocks=never) as client, client.open(hello(url)) as answer:
            await answer.push(take)
        return found

    with peer(says(HEAD + CHUNK, more, CHUNK + END)) as url:
        assert loop.run(main) == [HI, HI, End("terminator")]
