"""Leaving mid-answer, on every transport and at every point of an answer: by a break, an error,
a cancellation, a timeout, `abort()`, Ctrl-C, or by dropping the answer.

Whatever way it is, the connection is closed in the same task, what the reader's own scope raises
comes out as it is, and nothing is left behind.
"""

import asyncio
import contextlib
import gc
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import warnings
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
import trio

from tests.certificates import client_context
from tests.every_transport import LOOPS, on_asyncio, on_trio, received
from tests.leftovers import nothing_left
from tests.transports.client.test_async_client import (
    END,
    LARGE,
    REFUSAL,
    WHOLE,
    Script,
    peer,
    says,
    until_closed,
)
from tests.transports.test_sync import CHUNK, HEAD, NO_CLOCKS
from tests.waiting import WAIT, at, cancelled_at, heard, in_a_thread
from tokenwire import (
    End,
    Exchange,
    Retry,
    Text,
    TransportError,
    make_exchange,
)
from tokenwire.transports import httpx as httpx_transport
from tokenwire.transports import sync
from tokenwire.transports.asyncio import Stream
from tokenwire.transports.client import wire
from tokenwire.transports.client.clients import AsyncClient


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    """Of no test; LOOPS look for tasks, and warnings are errors."""
    with nothing_left():
        yield
        for thread in threading.enumerate():
            if thread.name.startswith("AnyIO worker thread"):  # told to stop, and not waited for
                thread.join(WAIT)


# The points at which a reader is left, each with a server that tells when it is reached.

HALF = len(CHUNK) // 2


@dataclass
class Point:
    """A reader of `exchange()` comes to the point `name`, and waits there. `reached`: it is there;
    `left`: its connection is closed; `go`: the server is to go on."""

    name: str
    url: str = ""
    question: str = "Hello"
    reached: threading.Event = field(default_factory=threading.Event)
    left: threading.Event = field(default_factory=threading.Event)
    go: threading.Event = field(default_factory=threading.Event)

    def exchange(self) -> Exchange:
        return make_exchange("ylokh", self.question, base_url=self.url)


def saying(data: bytes) -> Callable[[Point], Script]:
    """A server that hears a request, says `data`, and then waits for the client to leave."""

    def script_of(point: Point) -> Script:
        def script(stream: socket.socket) -> None:
            heard = stream.recv(65536)
            while point.name != "TLS" and not heard.endswith(b"}"):  # all of the request
                heard += stream.recv(65536)
            stream.sendall(data)
            point.reached.set()
            until_closed(stream)
            point.left.set()

        return script

    return script_of


def refusing(point: Point) -> Script:
    """The pause is reached when the connection is closed, which it is before."""

    def script(stream: socket.socket) -> None:
        stream.recv(65536)
        stream.sendall(REFUSAL)
        until_closed(stream)
        point.left.set()
        point.reached.set()

    return script


def reading_nothing(point: Point) -> Script:
    """The point is reached with the first byte of the request. When the server has accepted the
    connection, the client may still be about to take it."""

    def script(stream: socket.socket) -> None:
        assert stream.recv(1)
        point.reached.set()
        assert point.go.wait(WAIT)
        until_closed(stream)
        point.left.set()

    return script


SERVERS: dict[str, Callable[[Point], Script]] = {
    "TLS": saying(b""),
    "request": reading_nothing,
    "before the head": saying(b""),
    "head": saying(HEAD[:20]),
    "event": saying(HEAD + CHUNK + CHUNK[:HALF]),
    "pause": refusing,
    "drain": saying(HEAD + CHUNK + END.removesuffix(b"0\r\n\r\n")),
}
POINTS = ("name", "connect", *SERVERS)


@contextmanager
def point_of(name: str, monkeypatch: pytest.MonkeyPatch) -> Generator[Point]:
    """The point `name`, and the server for it."""
    point = Point(name)
    with ExitStack() as stack:
        match name:
            case "name":
                _resolve_slowly(point, monkeypatch)
            case "connect":
                _connect_slowly(point, stack, monkeypatch)
            case _:
                point.url = stack.enter_context(peer(SERVERS[name](point)))
        if name == "TLS":
            point.url = point.url.replace("http:", "https:")
        if name == "request":
            point.question = LARGE
        if name == "drain":
            for module in (wire, httpx_transport):
                monkeypatch.setattr(module, "DRAIN_SECONDS", 60)
        try:
            yield point
        finally:
            point.go.set()


def _resolve_slowly(point: Point, monkeypatch: pytest.MonkeyPatch) -> None:
    resolve = socket.getaddrinfo

    def slowly(
        host: Any, port: Any, family: int = 0, type: int = 0, proto: int = 0, flags: int = 0
    ) -> Any:
        # trio asks first whether it is a number.
        if host not in ("slow.example", b"slow.example") or flags & socket.AI_NUMERICHOST:
            return resolve(host, port, family, type, proto, flags)
        point.reached.set()
        assert point.go.wait(WAIT)
        raise socket.gaierror("late")

    monkeypatch.setattr(socket, "getaddrinfo", slowly)
    point.url = "http://slow.example:9/v1"
    point.left.set()  # no connection to be closed


def _connect_slowly(point: Point, stack: ExitStack, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that accepts no more connections, as its backlog is full."""
    listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
    address = listener.getsockname()
    while True:
        other = stack.enter_context(socket.socket())
        other.settimeout(0.1)
        try:
            other.connect(address)
        except TimeoutError:
            break

    class Connecting(socket.socket):
        def connect(self, address: Any) -> None:
            point.reached.set()
            super().connect(address)

        def connect_ex(self, address: Any) -> int:
            point.reached.set()
            return super().connect_ex(address)

    monkeypatch.setattr(socket, "socket", Connecting)
    point.url = f"http://127.0.0.1:{address[1]}/v1"
    point.left.set()


# The transports

OPTIONS: dict[str, Any] = {"clocks": NO_CLOCKS, "retry": Retry(attempts=2)}


@dataclass(frozen=True)
class Transport:
    """An async transport, on a loop."""

    name: str
    loop: Callable[[Callable[[], Awaitable[Any]]], Any]
    open: Callable[..., contextlib.AbstractAsyncContextManager[Any]]

    def __str__(self) -> str:
        return self.name

    @property
    def on_trio(self) -> bool:
        return "trio" in self.name

    def run(self, main: Callable[[], Awaitable[Any]]) -> None:
        self.loop(main)


def native(
    make: Callable[..., AsyncClient],
) -> Callable[..., contextlib.AbstractAsyncContextManager[Any]]:
    def open_client(**options: Any) -> AsyncClient:
        return make(trust_env=False, ssl_context=client_context(), **(OPTIONS | options))

    return open_client


@asynccontextmanager
async def by_httpx(**options: Any) -> AsyncGenerator[Any]:
    async with (
        httpx.AsyncClient(trust_env=False, verify=client_context()) as http,
        httpx_transport.AsyncClient(http, **(OPTIONS | options)) as client,
    ):
        yield client


ASYNC = {name: Transport(name, run, native(make)) for name, (run, make) in LOOPS.items()}
ASYNC["httpx on asyncio"] = Transport("httpx on asyncio", on_asyncio, by_httpx)
ASYNC["httpx on trio"] = Transport("httpx on trio", on_trio, by_httpx)


@pytest.fixture(params=sorted(ASYNC))
def transport(request: pytest.FixtureRequest) -> Transport:
    return ASYNC[request.param]


@pytest.fixture(params=sorted(set(ASYNC) - {"httpx on asyncio", "httpx on trio"}))
def native_transport(request: pytest.FixtureRequest) -> Transport:
    return ASYNC[request.param]


FOREIGN_LEAKS = {
    ("httpx on trio", "request"): "httpx leaves a generator of its own to the garbage collector",
    ("httpx on asyncio", "TLS"): "httpcore leaves the connection to the garbage collector",
    ("httpx on trio", "TLS"): "httpcore leaves the connection to the garbage collector",
}


@pytest.fixture(params=POINTS)
def point(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Point]:
    name: str = request.param
    transport = str(request.node.callspec.params["transport"])
    uvloop = transport == "uvloop"
    if uvloop and name == "name":
        pytest.skip("uvloop resolves by itself")
    if (transport, name) in FOREIGN_LEAKS:
        pytest.skip(FOREIGN_LEAKS[transport, name])
    if request.function is test_abort and "httpx" in transport and name == "drain":
        pytest.skip(NOT_WOKEN[name])
    with point_of(name, monkeypatch) as point:
        if uvloop and name == "connect":
            point.reached.set()  # it connects by itself, and does so before another task runs
        yield point


@contextmanager
def by_sync(**options: Any) -> Generator[Any]:
    options = OPTIONS | {"ssl_context": client_context()} | options
    with sync.Client(trust_env=False, **options) as client:
        yield client


@contextmanager
def by_httpx_sync(**options: Any) -> Generator[Any]:
    with (
        httpx.Client(trust_env=False, verify=client_context()) as http,
        httpx_transport.Client(http, **(OPTIONS | options)) as client,
    ):
        yield client


SYNC = {"sync": by_sync, "httpx sync": by_httpx_sync}


@pytest.fixture(params=sorted(SYNC))
def blocking(request: pytest.FixtureRequest) -> Callable[..., Any]:
    return SYNC[request.param]


# What happens to a reader that waits

Read = Callable[[], Awaitable[None]]
Way = Callable[[Read, Point], Awaitable[None]]


async def by_a_scope(read: Read, point: Point) -> None:
    await cancelled_at(point.reached, read)


async def by_the_outer_scope(read: Read, point: Point) -> None:
    inner = anyio.CancelScope()
    async with anyio.create_task_group() as tasks:
        with anyio.CancelScope() as outer:
            tasks.start_soon(at, point.reached, outer.cancel)
            with inner:
                await read()
        assert outer.cancelled_caught
        assert not inner.cancelled_caught


async def by_fail_after(read: Read, point: Point) -> None:
    async with anyio.create_task_group() as tasks:
        with pytest.raises(TimeoutError), anyio.fail_after(60) as scope:  # noqa: PT012
            tasks.start_soon(
                at, point.reached, lambda: setattr(scope, "deadline", anyio.current_time())
            )
            await read()


async def by_asyncio_timeout(read: Read, point: Point) -> None:
    now = asyncio.get_running_loop().time
    timeout = asyncio.timeout(60)
    task = asyncio.current_task()
    other = asyncio.create_task(at(point.reached, lambda: timeout.reschedule(now())))
    with pytest.raises(TimeoutError) as caught:
        async with timeout:
            await read()
    assert type(caught.value) is TimeoutError
    await other
    assert task is not None
    assert task.cancelling() == 0


async def by_task_cancel(read: Read, point: Point) -> None:
    async def reader() -> None:
        await read()

    task = asyncio.create_task(reader())
    await at(point.reached, task.cancel)
    with pytest.raises(asyncio.CancelledError):
        await task
    assert task.cancelled()


async def by_asyncio_task_group(read: Read, point: Point) -> None:
    """Another task of the group fails."""

    async def reader() -> None:
        await read()

    with pytest.raises(ExceptionGroup) as caught:  # noqa: PT012
        async with asyncio.TaskGroup() as group:
            group.create_task(reader())
            await heard(point.reached)
            raise ZeroDivisionError
    assert [type(error) for error in caught.value.exceptions] == [ZeroDivisionError]


async def by_trio_fail_at(read: Read, point: Point) -> None:
    async with trio.open_nursery() as nursery:
        with pytest.raises(trio.TooSlowError), trio.fail_after(60) as scope:  # noqa: PT012
            nursery.start_soon(
                at, point.reached, lambda: setattr(scope, "deadline", trio.current_time() - 1)
            )
            await read()
        assert scope.cancelled_caught


async def by_trio_nursery(read: Read, point: Point) -> None:
    """Another task of the nursery fails."""
    with pytest.raises(ExceptionGroup) as caught:  # noqa: PT012
        async with trio.open_nursery() as nursery:
            nursery.start_soon(read)
            await heard(point.reached)
            raise ZeroDivisionError
    assert [type(error) for error in caught.value.exceptions] == [ZeroDivisionError]


WAYS: dict[str, Way] = {
    "scope": by_a_scope,
    "outer scope": by_the_outer_scope,
    "fail_after": by_fail_after,
    "asyncio.timeout": by_asyncio_timeout,
    "task.cancel": by_task_cancel,
    "asyncio.TaskGroup": by_asyncio_task_group,
    "trio.fail_after": by_trio_fail_at,
    "trio nursery": by_trio_nursery,
}


FOREIGN = {True: ("asyncio", "task.cancel"), False: ("trio",)}
"""How the ways begin that do not exist on trio, and on asyncio."""


@pytest.mark.parametrize(
    ("transport", "way"),
    [
        (transport, way)
        for transport in ASYNC.values()
        for way in WAYS
        if not way.startswith(FOREIGN[transport.on_trio])
    ],
    ids=str,
)
def test_cancelled_around_the_answer(transport: Transport, point: Point, way: str) -> None:
    async def main() -> None:
        async with transport.open() as client:

            async def read() -> None:
                async with client.open(point.exchange()) as answer:
                    with noting(raised):
                        await to_the_end(answer)

            await WAYS[way](read, point)
            point.go.set()
            await heard(point.left)

    raised: list[BaseException] = []
    transport.run(main)
    assert is_cancellation(raised[0], transport, point), raised


@contextmanager
def noting(raised: list[BaseException]) -> Generator[None]:
    """Take down what is raised here."""
    try:
        yield
    except BaseException as error:
        raised.append(error)
        raise


def is_cancellation(error: BaseException, transport: Transport, point: Point) -> bool:
    """Whether `error` is the plain cancellation. trio's way to connect, which httpx takes, has it
    in a group."""
    if transport.name == "httpx on trio" and point.name == "connect":
        return trio.Cancelled in map(type, getattr(error, "exceptions", ()))
    return type(error) in (asyncio.CancelledError, trio.Cancelled)


async def to_the_end(answer: Any) -> None:
    async for _ in answer:
        pass
    raise AssertionError("it came to its end")


def test_cancelled_inside_the_answer(transport: Transport, point: Point) -> None:
    """The block goes on, and its end closes the connection."""

    async def main() -> None:
        async with transport.open() as client:
            async with client.open(point.exchange()) as answer:
                await by_a_scope(lambda: to_the_end(answer), point)
                point.go.set()
                if point.name == "drain":  # else the end of the block would wait for the rest
                    answer.abort()
            await heard(point.left)

    transport.run(main)


# What a cancelled reader may do

PIECE = 7


def test_cancelled_at_each_wait_nothing_is_lost(native_transport: Transport) -> None:
    """The server goes on only when its reader was cancelled once more."""
    rest = CHUNK + CHUNK + END
    pieces = [rest[i : i + PIECE] for i in range(0, len(rest), PIECE)]
    cancelled = threading.Semaphore(0)

    def script(stream: socket.socket) -> None:
        stream.recv(65536)
        stream.sendall(HEAD + CHUNK)
        for piece in pieces:
            assert cancelled.acquire(timeout=WAIT)
            stream.sendall(piece)
        until_closed(stream)

    async def main() -> None:
        async with native_transport.open() as client:
            exchange = make_exchange("ylokh", "Hello", base_url=url)
            async with client.open(exchange) as answer:
                events = [await anext(answer)]
                while not isinstance(events[-1], End):
                    with anyio.move_on_after(0.002) as scope:  # an event may be there before
                        events.append(await anext(answer))
                    if scope.cancelled_caught:
                        cancelled.release()
                cancelled.release(len(pieces))
        assert events == [Text("Hi")] * 3 + [End("terminator")]

    with peer(script) as url:
        native_transport.run(main)


def test_cancelled_while_an_event_is_ready(transport: Transport) -> None:
    """It is handed out, or kept for the next call."""

    async def main() -> None:
        async with transport.open() as client:
            exchange = make_exchange("ylokh", "Hello", base_url=url)
            async with client.open(exchange) as answer:
                events = [await anext(answer)]
                for _ in range(2):
                    with anyio.CancelScope() as scope:
                        scope.cancel()
                        events.append(await anext(answer))
                async for event in answer:
                    events.append(event)
        assert events == [Text("Hi")] * 3 + [End("terminator")]

    with peer(says(WHOLE.replace(CHUNK, CHUNK * 3))) as url:
        transport.run(main)


@pytest.mark.parametrize("loop", sorted({"asyncio", "uvloop"} & set(LOOPS)))
def test_cancelled_when_the_bytes_have_just_come(loop: str) -> None:
    """In the same round of the event loop."""

    async def main() -> None:
        stream = Stream(memoryview(bytearray(1)))
        task = asyncio.create_task(received(stream))
        await asyncio.sleep(0)
        stream.get_buffer(-1)[:] = b"x"
        stream.buffer_updated(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await received(stream) == b"x"

    LOOPS[loop][0](main)


def test_the_end_of_the_block_in_a_cancelled_scope(transport: Transport) -> None:
    """trio and anyio cancel each await there: the connection is closed all the same."""
    point = Point("event")

    async def main() -> None:
        async with transport.open() as client:
            with anyio.CancelScope() as scope:
                async with client.open(point.exchange()) as answer:
                    assert await anext(answer) == Text("Hi")
                    scope.cancel()
            await heard(point.left)

    with peer(SERVERS["event"](point)) as point.url:
        transport.run(main)


def test_closed_by_another_task_while_it_connects(
    native_transport: Transport, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody closes the answer once more: the connection that comes late is closed."""
    left = threading.Event()

    def script(stream: socket.socket) -> None:
        until_closed(stream)
        left.set()

    async def main() -> None:
        client = native_transport.open()
        async with client as opened:
            answer = opened.open(make_exchange("ylokh", "Hello", base_url=url))
            network: Any = opened.network()
            dialer: Any = network.dialer().__class__
            connect = dialer.connect

            async def slowly(*args: Any) -> Any:
                stream = await connect(*args)
                await answer.aclose()
                return stream

            monkeypatch.setattr(dialer, "connect", slowly)
            with pytest.raises(TransportError, match="closed"):
                await anext(answer)
            await heard(left)

    with peer(script) as url:
        native_transport.run(main)


# Leaving by the reader's own doing


class Own(Exception):
    """What a reader raises."""


@pytest.mark.parametrize("error", [None, Own(), KeyboardInterrupt(), SystemExit(), GeneratorExit()])
def test_leaving_the_loop(transport: Transport, error: BaseException | None) -> None:
    """By a break, or by what the body raises: it comes out as it is."""
    point = Point("event")

    async def main() -> None:
        async with transport.open() as client:
            with suppress(BaseException), noting(raised):
                async with client.open(point.exchange()) as answer:
                    async for event in answer:
                        assert event == Text("Hi")
                        if error is None:
                            break
                        raise error
            await heard(point.left)

    raised: list[BaseException] = []
    with peer(SERVERS["event"](point)) as point.url:
        transport.run(main)
    assert raised == [error] * (error is not None)


@pytest.mark.parametrize("error", [None, Own(), KeyboardInterrupt(), SystemExit(), GeneratorExit()])
def test_leaving_a_blocking_loop(blocking: Any, error: BaseException | None) -> None:
    point = Point("event")
    raised: list[BaseException] = []
    with peer(SERVERS["event"](point)) as point.url, blocking() as client:
        with suppress(BaseException), noting(raised), client.open(point.exchange()) as answer:
            for event in answer:
                assert event == Text("Hi")
                if error is None:
                    break
                raise error
        assert point.left.wait(WAIT)
    assert raised == [error] * (error is not None)


def test_a_generator_around_the_answer_that_is_closed(transport: Transport) -> None:
    point = Point("event")

    async def main() -> None:
        async with transport.open() as client:

            async def texts() -> AsyncGenerator[Any, None]:
                async with client.open(point.exchange()) as answer:
                    async for event in answer:
                        yield event

            async with contextlib.aclosing(texts()) as events:
                assert await anext(events) == Text("Hi")
            await heard(point.left)

    with peer(SERVERS["event"](point)) as point.url:
        transport.run(main)


# abort()


def abort_at(point: Point, answer: Any) -> contextlib.AbstractContextManager[object]:
    """Abort from another thread, at `point`."""

    def abort() -> None:
        answer.abort()
        point.go.set()

    return in_a_thread(abort, after=point.reached)


NOT_WOKEN = {
    "connect": "it is noticed when the clock has run out, which is the better reason",
    "request": "httpx says nothing of the connection before the head has come",
    "before the head": "httpx says nothing of the connection before the head has come",
    "head": "httpx says nothing of the connection before the head has come",
    "TLS": "httpx says nothing of the connection before the head has come",
    "drain": "it drains by itself, for a while",
}


def test_abort(transport: Transport, point: Point) -> None:
    async def main() -> None:
        async with transport.open() as client:
            async with client.open(point.exchange()) as answer:
                if point.name == "drain":
                    assert await anext(answer) == Text("Hi")
                    assert await anext(answer) == End("terminator")
                with abort_at(point, answer):
                    if point.name == "drain":
                        assert [event async for event in answer] == []
                    else:
                        for _ in range(2):
                            with pytest.raises(TransportError, match="abort"):
                                await to_the_end(answer)
                answer.abort()  # once more does no harm
            await heard(point.left)

    transport.run(main)


@pytest.mark.parametrize("name", POINTS)
def test_abort_of_a_blocking_reader(
    blocking: Any, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if blocking is by_httpx_sync and name in NOT_WOKEN.keys() - {"drain"}:
        pytest.skip(NOT_WOKEN[name])
    with (
        point_of(name, monkeypatch) as point,
        blocking() as client,
        client.open(point.exchange()) as answer,
    ):
        if name == "drain":
            assert [next(answer), next(answer)] == [Text("Hi"), End("terminator")]
        with abort_at(point, answer):
            if name == "drain":
                assert list(answer) == []
            else:
                for _ in range(2):
                    with pytest.raises(TransportError, match="abort"):
                        list(answer)
        answer.abort()  # once more does no harm
        answer.close()
        assert point.left.wait(WAIT)


# Forgotten


def test_a_forgotten_answer(transport: Transport) -> None:
    if transport.name == "httpx on trio":
        pytest.skip("trio itself warns of each of httpx's generators")
    point = Point("event")

    async def main() -> None:
        async with transport.open() as client:
            answer = client.open(point.exchange())
            assert await anext(answer) == Text("Hi")
            with pytest.warns(ResourceWarning, match="answer was not closed"):  # noqa: PT031
                del answer
                gc.collect()
            await heard(point.left)

    with peer(SERVERS["event"](point)) as point.url:
        transport.run(main)


def test_a_forgotten_answer_of_a_blocking_client(blocking: Any) -> None:
    point = Point("event")
    with peer(SERVERS["event"](point)) as point.url, blocking() as client:
        answer = client.open(point.exchange())
        assert next(answer) == Text("Hi")
        with pytest.warns(ResourceWarning, match="answer was not closed"):  # noqa: PT031
            del answer
            gc.collect()
        assert point.left.wait(WAIT)


def test_a_forgotten_client(native_transport: Transport) -> None:
    """Its idle connections are closed. (trio's socket may warn, too.)"""
    left = threading.Event()

    def script(stream: socket.socket) -> None:
        says(WHOLE)(stream)
        left.set()

    async def main() -> None:
        client = LOOPS[native_transport.name][1](trust_env=False)
        assert (await client.read(make_exchange("ylokh", "Hello", base_url=url))).text == "Hi"
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            del client
            gc.collect()
        assert {warning.category for warning in caught} == {ResourceWarning}
        assert any("a client was not closed" in str(warning.message) for warning in caught)
        await heard(left)

    with peer(script) as url:
        native_transport.run(main)


def test_a_forgotten_blocking_client() -> None:
    left = threading.Event()

    def script(stream: socket.socket) -> None:
        says(WHOLE)(stream)
        left.set()

    with peer(script) as url:
        client = sync.Client(trust_env=False)
        assert client.read(make_exchange("ylokh", "Hello", base_url=url)).text == "Hi"
        with pytest.warns(ResourceWarning, match="client was not closed"):  # noqa: PT031
            del client
            gc.collect()
        assert left.wait(WAIT)


def test_the_end_of_the_interpreter_is_silent() -> None:
    """Where nobody asked for ResourceWarnings."""
    with peer(says(HEAD + CHUNK)) as url, peer(says(HEAD + CHUNK)) as other_url:
        code = (
            "import asyncio, tokenwire\n"
            f"answer = tokenwire.stream('ylokh', 'Hello', base_url={url!r})\n"
            "print(next(answer).text)\n"
            "async def main():\n"
            "    global other\n"
            f"    other = tokenwire.stream_async('ylokh', 'Hello', base_url={other_url!r})\n"
            "    print((await anext(other)).text)\n"
            "asyncio.run(main())\n"
        )
        run = [sys.executable, "-c", code]
        done = subprocess.run(run, capture_output=True, text=True, check=True, timeout=60)
    assert (done.stdout, done.stderr) == ("Hi\nHi\n", "")


# Ctrl-C, by the signal, while the reader waits. In a process of its own, as a signal that comes at
# the wrong time would end the test run.


def interrupt(*transports: str) -> None:
    """Interrupt readers by `transports` at each point, and print what came of it, as JSON."""
    # A shell's background job begins with the signal ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    ignored: list[str] = []
    sys.unraisablehook = lambda what: ignored.append(repr(what.exc_value))
    outcomes: dict[str, str] = {}
    for transport, name in product(transports, POINTS):
        if (transport, name) == ("uvloop", "name"):
            continue
        # What httpx leaves to the garbage collector is its own affair; on trio it always does.
        if transport == "httpx on trio" or ("httpx" in transport and name != "event"):
            continue
        with pytest.MonkeyPatch.context() as monkeypatch:
            try:
                with nothing_left(), point_of(name, monkeypatch) as point:
                    outcomes[f"{transport}, {name}"] = _interrupt_at(point, transport)
                gc.collect()
            except BaseException as error:  # noqa: BLE001  the test tells it
                outcomes[f"{transport}, {name}"] = repr(error)
    print(json.dumps(outcomes | ({"ignored": repr(ignored)} if ignored else {})))


def _interrupt_at(point: Point, transport: str) -> str:
    interrupted = threading.Event()

    def interrupt_once(*_: object) -> None:
        if not interrupted.is_set():
            interrupted.set()
            raise KeyboardInterrupt

    def work() -> None:
        if point.reached.wait(WAIT):
            os.kill(os.getpid(), signal.SIGINT)
            # A signal that comes just before a call blocks does not wake it: once more, then.
            while transport in SYNC and not interrupted.wait(0.1):
                os.kill(os.getpid(), signal.SIGINT)

    if transport in SYNC:
        signal.signal(signal.SIGINT, interrupt_once)
    if transport == "uvloop" and point.name == "connect":
        point.reached.set()
    thread = threading.Thread(target=work)
    raised: list[BaseException] = []
    try:
        if transport in SYNC:
            with SYNC[transport]() as client, client.open(point.exchange()) as answer:
                thread.start()
                list(answer)
        else:

            async def main() -> None:
                async with (
                    ASYNC[transport].open() as client,
                    client.open(point.exchange()) as answer,
                ):
                    thread.start()
                    try:
                        with noting(raised):
                            await to_the_end(answer)
                    finally:
                        point.go.set()  # asyncio.run awaits the thread that resolves

            # Not by LOOPS: their check for tasks comes behind what is raised.
            _run_plainly(transport, main)
    except KeyboardInterrupt:
        point.go.set()
        thread.join()
        return "closed" if point.left.wait(WAIT) else "not closed"
    return f"no KeyboardInterrupt: {raised}"


def _run_plainly(transport: str, main: Callable[[], Any]) -> None:
    if "trio" in transport:
        trio.run(main, strict_exception_groups=True)
    elif transport == "uvloop":
        import uvloop

        uvloop.run(main(), debug=True)
    else:
        asyncio.run(main(), debug=True)


@pytest.mark.skipif(sys.platform == "win32", reason="a process can't send itself Ctrl-C there")
@pytest.mark.parametrize(
    "transports",
    [[*SYNC], *([name for name in ASYNC if ASYNC[name].on_trio is trio] for trio in (True, False))],
    ids=["blocking", "on trio", "on asyncio"],
)
def test_ctrl_c(transports: list[str]) -> None:
    code = f"from tests.transports.test_cancellation import interrupt; interrupt(*{transports})"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        timeout=110,
        cwd=Path(__file__).parents[2],
    )
    assert done.returncode == 0, done.stderr
    outcomes = json.loads(done.stdout)
    assert len(outcomes) > len(POINTS)
    assert set(outcomes.values()) == {"closed"}, outcomes
