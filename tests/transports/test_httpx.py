"""The `httpx` transport: what somebody else's client adds. See test_transports for the rest."""

import asyncio
import gc
import gzip
import socket
import subprocess
import sys
import threading
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import anyio
import httpx
import httpx2
import pytest
import trio

from tests.every_transport import LOOPS
from tests.settings import dripping
from tests.transports.client.test_async_client import peer, says
from tests.transports.test_sync import CHUNK, EVENT, HEAD, Peer
from tests.transports.test_transports import QUESTION, ask
from tests.waiting import cancelled_while_it_waits, in_a_thread, when_all_wait
from tokenwire import (
    NO_RETRY,
    AuthenticationFailed,
    BadRequest,
    Clocks,
    ConnectFailed,
    End,
    Exchange,
    LocalProtocolError,
    Malformed,
    Text,
    TimedOut,
    TransportError,
    Truncated,
    make_exchange,
)
from tokenwire.server import serve
from tokenwire.server.faults import CloseAfter, Linger, RefuseWith, StallAfter
from tokenwire.transports.client.driver import DRAIN_BYTES
from tokenwire.transports.httpx import AsyncAnswer, AsyncClient, Client

SSE = {"content-type": "text/event-stream", "content-length": "9"}
WHOLE = EVENT + b"data: [DONE]\n\n"
LAST_CHUNKS = b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n"
MODULES = pytest.mark.parametrize("module", [httpx, httpx2], ids=["httpx", "httpx2"])

Loop = Callable[[Callable[[], Awaitable[Any]]], Any]


@pytest.fixture(params=[name for name in LOOPS if not name.startswith("anyio")])
def loop(request: pytest.FixtureRequest) -> Loop:
    return LOOPS[request.param][0]


def hello(url: str = "http://peer.example/v1") -> Exchange:
    return make_exchange("ylokh", "Hello", base_url=url)


class Body(httpx.SyncByteStream, httpx.AsyncByteStream):
    """The body of a mocked response: pieces, and errors to raise. It counts those given before it
    was closed."""

    def __init__(self, *items: bytes | BaseException) -> None:
        self._items = items
        self.given = 0
        self.closed = False

    def __iter__(self) -> Iterator[bytes]:
        for item in self._items:
            if isinstance(item, BaseException):
                raise item
            self.given += not self.closed
            yield item

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for item in self:
            yield item

    def close(self) -> None:
        self.closed = True

    async def aclose(self) -> None:
        self.closed = True


def mock(*items: bytes | BaseException) -> httpx.MockTransport:
    return httpx.MockTransport(
        lambda request: httpx.Response(200, headers=SSE, stream=Body(*items))
    )


def test_an_import_loads_no_httpx() -> None:
    code = "import tokenwire.transports.httpx, sys; print({'httpx', 'anyio'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


# The client


@MODULES
def test_the_http_client_remains_the_callers(module: Any) -> None:
    with serve("ylokh") as server, module.Client(trust_env=False) as http:
        with Client(http) as client:
            assert QUESTION in client.read(ask(server)).text
        with pytest.raises(LocalProtocolError, match="closed"):
            client.open(hello())
        assert not http.is_closed


def test_an_abort_behind_the_end_is_no_error() -> None:
    """The rest of the response is not waited for."""
    with (
        serve("ylokh", fault=Linger()) as server,
        httpx.Client(trust_env=False) as http,
        Client(http) as client,
        client.open(ask(server)) as answer,
    ):
        while not isinstance(next(answer), End):
            pass
        answer.abort()
        assert list(answer) == []


def test_a_closed_http_client_says_so(loop: Loop) -> None:
    http = httpx.Client()
    http.close()
    with pytest.raises(LocalProtocolError, match="closed"):
        Client(http).open(hello())
    http = httpx.Client()
    answer = Client(http).open(hello())
    http.close()
    with pytest.raises(LocalProtocolError, match="closed"):
        next(answer)

    async def main() -> None:
        http = httpx.AsyncClient()
        answer = AsyncClient(http).open(hello())
        await http.aclose()
        with pytest.raises(LocalProtocolError, match="closed"):
            await anext(answer)

    loop(main)


def test_an_exchange_is_for_one_answer() -> None:
    exchange = hello()
    with httpx.Client(transport=mock(WHOLE)) as http, Client(http) as client:
        client.read(exchange)
        with pytest.raises(LocalProtocolError, match="fresh"):
            client.open(exchange)
        assert client.read(exchange.fresh()).text == "Hi"


def test_what_the_client_adds_goes_not_to_where_a_server_sends_us() -> None:
    """AiChats says that its picture is elsewhere."""
    seen: list[httpx.Request] = []

    def see(request: httpx.Request) -> None:
        seen.append(request)

    with (
        serve("aichats") as server,
        httpx.Client(
            headers={"x-mine": "1"},
            cookies={"mine": "2"},
            params={"mine": "3"},
            auth=("me", "sesame"),
            event_hooks={"request": [see]},
            trust_env=False,
        ) as http,
        Client(http) as client,
    ):
        reply = client.read(ask(server, "aichats", model="dalle"))
    assert reply.images
    asked, picture = (dict(request.headers) | {"url": str(request.url)} for request in seen)
    assert asked["x-mine"] == "1"
    assert "mine=2" in asked["cookie"]
    assert asked["url"].endswith("mine=3")
    assert "authorization" in asked
    assert not {"x-mine", "cookie", "authorization"} & set(picture)
    assert "mine" not in picture["url"]
    assert asked["accept-encoding"] == picture["accept-encoding"] == "identity"


def test_redirects_are_not_followed() -> None:
    fault = RefuseWith(302, headers=(("location", "/elsewhere"),))
    with (
        serve("ylokh", fault=fault) as server,
        httpx.Client(follow_redirects=True, trust_env=False) as http,
        Client(http) as client,
    ):
        with pytest.raises(TransportError.__mro__[1], match="302"):
            client.read(ask(server))
        assert len(server.requests) == 1


@pytest.mark.parametrize("read", [False, True])
def test_a_response_that_a_hook_has_read(loop: Loop, read: bool) -> None:
    """Such a body is decoded already; so are those of mocked responses."""
    coded = {"content-type": "text/event-stream", "content-encoding": "gzip"}

    def handle(request: httpx.Request) -> httpx.Response:
        body = Body(gzip.compress(WHOLE))
        return httpx.Response(200, headers=coded, stream=body)

    def read_it(response: httpx.Response) -> None:
        response.read()

    async def read_it_async(response: httpx.Response) -> None:
        await response.aread()

    hooks: dict[str, list[Any]] = {"response": [read_it] if read else []}
    with (
        httpx.Client(transport=httpx.MockTransport(handle), event_hooks=hooks) as http,
        Client(http) as client,
    ):
        assert client.read(hello()).text == "Hi"

    async def main() -> None:
        hooks: dict[str, list[Any]] = {"response": [read_it_async] if read else []}
        transport = httpx.MockTransport(handle)
        async with (
            httpx.AsyncClient(transport=transport, event_hooks=hooks) as http,
            AsyncClient(http) as client,
        ):
            assert (await client.read(hello())).text == "Hi"

    loop(main)


# The end of an answer


def test_an_answer_that_is_over_stays_over(loop: Loop) -> None:
    with serve("ylokh") as server, httpx.Client(trust_env=False) as http, Client(http) as client:
        answer = client.open(ask(server))
        assert isinstance(list(answer)[-1], End)
        assert list(answer) == []
        answer.close()
        assert list(answer) == []
        with pytest.raises(LocalProtocolError, match="to its end already"):
            answer.read()

    async def main() -> None:
        async with httpx.AsyncClient(trust_env=False) as http, AsyncClient(http) as client:
            answer = client.open(ask(server))
            assert isinstance([event async for event in answer][-1], End)
            assert [event async for event in answer] == []
            await answer.aclose()
            assert [event async for event in answer] == []
            with pytest.raises(LocalProtocolError, match="to its end already"):
                await answer.read()

    with serve("ylokh") as server:
        loop(main)


def test_an_error_is_raised_again(loop: Loop) -> None:
    with (
        serve("ylokh", fault=RefuseWith(400)) as server,
        httpx.Client(trust_env=False) as http,
        Client(http).open(ask(server)) as answer,
    ):
        errors: list[BaseException] = []
        for _ in range(3):
            with pytest.raises(BadRequest) as caught:
                next(answer)
            errors.append(caught.value)
        assert errors[0] is errors[1] is errors[2]

    async def main() -> None:
        async with (
            httpx.AsyncClient(trust_env=False) as http,
            AsyncClient(http).open(ask(server)) as answer,
        ):
            with pytest.raises(BadRequest) as first:
                await anext(answer)
            with pytest.raises(BadRequest) as again:
                await anext(answer)
            assert first.value is again.value

    with serve("ylokh", fault=RefuseWith(400)) as server:
        loop(main)


def test_read_raises_with_what_had_come(loop: Loop) -> None:
    with serve("ylokh", fault=CloseAfter(700)) as server:
        with (
            httpx.Client(trust_env=False) as http,
            pytest.raises(Truncated) as caught,
        ):
            Client(http).read(ask(server))
        assert caught.value.answer is not None
        assert caught.value.answer.text

        async def main() -> None:
            async with httpx.AsyncClient(trust_env=False) as http:
                with pytest.raises(Truncated) as caught:
                    await AsyncClient(http).read(ask(server))
                assert caught.value.answer is not None
                assert caught.value.answer.text

        loop(main)


@MODULES
@pytest.mark.parametrize("error", [None, KeyError("the reader's own")])
def test_leaving_early_closes_the_response_at_once(
    loop: Loop, module: Any, error: Exception | None
) -> None:
    def leave() -> None:
        if error is not None:
            raise error

    peer = Peer()
    thread = peer.answer(HEAD + CHUNK * 3)
    with module.Client(trust_env=False) as http:
        answer = Client(http).open(hello(peer.url))
        try:
            with answer:
                assert next(answer) == Text("Hi")
                leave()
        except KeyError:
            assert error is not None
        assert peer.left.wait(10)
        with pytest.raises(TransportError, match="closed"):
            next(answer)
    thread.join()

    async def main() -> None:
        async with module.AsyncClient(trust_env=False) as http:
            answer = AsyncClient(http).open(hello(peer.url))
            try:
                async with answer:
                    assert await anext(answer) == Text("Hi")
                    leave()
            except KeyError:
                assert error is not None
            assert peer.left.wait(10)
            with pytest.raises(TransportError, match="closed"):
                await anext(answer)

    peer = Peer()
    thread = peer.answer(HEAD + CHUNK * 3)
    loop(main)
    thread.join()


@pytest.mark.parametrize("linger", [False, True])
def test_stopping_at_the_end_keeps_an_async_connection(loop: Loop, linger: bool) -> None:
    async def main() -> None:
        async with httpx.AsyncClient(trust_env=False) as http, AsyncClient(http) as client:
            for _ in range(2):
                async with client.open(ask(server)) as answer:
                    async for event in answer:
                        if isinstance(event, End):
                            break

    with serve("ylokh", fault=Linger() if linger else None) as server:
        loop(main)
        assert server.connections == (2 if linger else 1)


def test_a_rest_that_is_too_long_is_not_read(loop: Loop) -> None:
    body = Body(WHOLE, *[b"x" * DRAIN_BYTES] * 3)
    transport = httpx.MockTransport(lambda request: httpx.Response(200, headers=SSE, stream=body))

    async def main() -> None:
        async with httpx.AsyncClient(transport=transport) as http:
            assert (await AsyncClient(http).read(hello())).text == "Hi"

    loop(main)
    assert body.closed
    assert body.given == 2


# Another process. test_sync has a real fork.


def test_a_forked_process_has_no_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of its parent are neither used nor closed: both would read each other's answers."""
    bodies: list[Body] = []

    def answered(request: httpx.Request) -> httpx.Response:
        bodies.append(Body(EVENT, EVENT))
        return httpx.Response(200, headers=SSE, stream=bodies[-1])

    with (
        httpx.Client(transport=httpx.MockTransport(answered)) as http,
        Client(http) as client,
        Client(http, keep_connections=False) as careful,
    ):
        begun, aborted = client.open(hello()), client.open(hello())
        assert next(begun) == next(aborted) == Text("Hi")
        monkeypatch.setattr("os.getpid", lambda: -1)
        for answer in (begun, aborted):
            with pytest.raises(LocalProtocolError, match="another process"):
                next(answer)
        aborted.abort()
        begun.close()
        assert [body.closed for body in bodies] == [False, False]
        with pytest.raises(LocalProtocolError, match="make a new client"):
            client.read(hello())
        with careful.open(hello()) as answer:
            assert next(answer) == Text("Hi")
        monkeypatch.undo()
        aborted.close()
        assert [body.closed for body in bodies] == [False, True, True]


# Interruptions


def test_what_was_interrupted_is_not_read_on(loop: Loop) -> None:
    """An exception that is none of httpx's, KeyboardInterrupt for one."""
    for error in (KeyboardInterrupt(), ValueError("a bug")):
        with (
            httpx.Client(transport=mock(EVENT, error)) as http,
            Client(http).open(hello()) as answer,
        ):
            assert next(answer) == Text("Hi")
            with pytest.raises(type(error)):
                next(answer)
            with pytest.raises(LocalProtocolError, match="interrupted"):
                next(answer)

    def interrupt(request: httpx.Request) -> None:
        raise KeyboardInterrupt

    with (
        httpx.Client(event_hooks={"request": [interrupt]}) as http,
        Client(http).open(hello()) as answer,
    ):
        with pytest.raises(KeyboardInterrupt):
            next(answer)
        with pytest.raises(LocalProtocolError, match="interrupted"):
            next(answer)

    async def main() -> None:
        async with (
            httpx.AsyncClient(transport=mock(EVENT, ValueError("a bug"))) as http,
            AsyncClient(http).open(hello()) as answer,
        ):
            assert await anext(answer) == Text("Hi")
            with pytest.raises(ValueError, match="a bug"):
                await anext(answer)
            with pytest.raises(LocalProtocolError, match="interrupted"):
                await anext(answer)

        async def fail(request: httpx.Request) -> None:
            raise ValueError("a bug")

        async with (
            httpx.AsyncClient(event_hooks={"request": [fail]}) as http,
            AsyncClient(http).open(hello()) as answer,
        ):
            with pytest.raises(ValueError, match="a bug"):
                await anext(answer)

    loop(main)


@MODULES
def test_cancellation(loop: Loop, module: Any) -> None:
    async def main() -> None:
        async with module.AsyncClient(trust_env=False) as http, AsyncClient(http) as client:
            async with client.open(ask(server)) as answer:
                assert await anext(answer)
                await cancelled_while_it_waits(lambda: to_the_end(answer))
                with pytest.raises(TransportError, match="closed"):
                    await anext(answer)
            async with anyio.create_task_group() as tasks:
                with anyio.CancelScope() as scope:
                    async with client.open(ask(server)) as answer:
                        assert await anext(answer)
                        tasks.start_soon(when_all_wait, scope.cancel)
                        await to_the_end(answer)
                assert scope.cancelled_caught

    async def to_the_end(answer: Any) -> None:
        async for _ in answer:
            pass

    with serve("ylokh", fault=StallAfter(700)) as server:
        loop(main)


class Receiving(socket.socket):
    """A socket that tells when the main thread, where the reader is, begins to receive."""

    began = threading.Event()

    def recv(self, size: int, flags: int = 0, /) -> bytes:
        if threading.current_thread() is threading.main_thread():
            self.began.set()
        return super().recv(size, flags)


@pytest.mark.parametrize("head", [True, False], ids=["framed", "unframed"])
@MODULES
def test_abort_wakes_the_reader(
    loop: Loop, module: Any, head: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even a body that only a closed connection ends looks complete."""
    monkeypatch.setattr(socket, "socket", Receiving)
    unframed = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n"
    response = HEAD + CHUNK if head else unframed + EVENT
    peer = Peer()
    thread = peer.answer(response)
    with module.Client(trust_env=False) as http, Client(http).open(hello(peer.url)) as answer:
        assert next(answer) == Text("Hi")
        Receiving.began.clear()
        with (
            in_a_thread(answer.abort, after=Receiving.began),
            pytest.raises(TransportError, match="abort"),
        ):
            next(answer)
        answer.abort()  # once more does no harm
    thread.join()

    async def main() -> None:
        async with (
            module.AsyncClient(trust_env=False) as http,
            AsyncClient(http).open(hello(peer.url)) as answer,
        ):
            assert await anext(answer) == Text("Hi")
            waits = threading.Event()
            with in_a_thread(answer.abort, after=waits):
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(when_all_wait, waits.set)
                    with pytest.raises(TransportError, match="abort"):
                        await anext(answer)

    peer = Peer()
    thread = peer.answer(response)
    loop(main)
    thread.join()


def test_abort_where_there_is_no_socket() -> None:
    with httpx.Client(transport=mock(EVENT, WHOLE)) as http, Client(http) as client:
        answer = client.open(hello())
        answer.abort()
        with pytest.raises(TransportError, match="abort"):
            next(answer)
        with client.open(hello()) as answer:
            assert next(answer) == Text("Hi")
            answer.abort()
            with pytest.raises(TransportError, match="abort"):
                next(answer)


def test_abort_just_before_a_request_is_sent(loop: Loop) -> None:
    """It finds no scope to cancel yet, but the next one is cancelled at once."""
    answers: list[AsyncAnswer] = []

    class Aborting(httpx.AsyncClient):
        def build_request(self, *arguments: Any, **options: Any) -> httpx.Request:
            answers[0].abort()
            return super().build_request(*arguments, **options)

    async def main() -> None:
        async with (
            Aborting(trust_env=False) as http,
            AsyncClient(http).open(ask(server)) as answer,
        ):
            answers.append(answer)
            with pytest.raises(TransportError, match="abort"):
                await anext(answer)
            answer.abort()  # once more does no harm

    with serve("ylokh") as server:
        loop(main)
    assert server.requests == []
    answers[0].abort()  # nor after the loop has ended


def test_abort_before_anything_was_asked(loop: Loop) -> None:
    async def main() -> None:
        async with httpx.AsyncClient(trust_env=False) as http:
            answer = AsyncClient(http).open(ask(server))
            answer.abort()
            with pytest.raises(TransportError, match="abort"):
                await anext(answer)
            answer.abort()  # nothing is waiting
            await anyio.lowlevel.checkpoint()
            await answer.aclose()

    with serve("ylokh") as server:
        loop(main)
    assert server.requests == []


def test_abort_while_a_whole_answer_is_left_is_no_error() -> None:
    class Aborting(Body):
        def close(self) -> None:
            answer.abort()

    body = Aborting(WHOLE)
    transport = httpx.MockTransport(lambda request: httpx.Response(200, headers=SSE, stream=body))
    with httpx.Client(transport=transport) as http, Client(http) as client:
        answer = client.open(hello())
        with answer:
            assert list(answer) == [Text("Hi"), End("terminator")]


def test_an_async_retry(loop: Loop) -> None:
    async def main() -> None:
        async with httpx.AsyncClient(trust_env=False) as http, AsyncClient(http) as client:
            assert (await client.read(ask(server))).text

    with serve("ylokh", faults=[RefuseWith(429, "0")]) as server:
        loop(main)
        assert len(server.requests) == 2


# Clocks


@pytest.mark.parametrize("clock", ["first_event", "idle"])
def test_the_read_timeout_is_the_longest_of_two_clocks(
    clock: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So where the shorter one runs out, it is told late."""
    seconds = {"first_event": 15, "idle": 15} | {clock: 5}
    clocks = Clocks(**seconds)
    now = 1000.0

    def tell(_: object) -> float:
        return now

    monkeypatch.setattr("tokenwire.transports.httpx._BlockingReading._now", tell)

    class Stalling(Body):
        def __iter__(self) -> Iterator[bytes]:
            nonlocal now
            yield from super().__iter__()
            now += 15
            raise httpx.ReadTimeout("nothing came")

    def handle(request: httpx.Request) -> httpx.Response:
        assert request.extensions["timeout"]["read"] == 15
        body = Stalling(*[EVENT] * (clock == "idle"))
        return httpx.Response(200, headers=SSE, stream=body)

    transport = httpx.MockTransport(handle)
    with httpx.Client(transport=transport) as http, pytest.raises(TimedOut) as caught:
        Client(http, clocks=clocks, retry=NO_RETRY).read(hello())
    assert caught.value.clock == clock


@pytest.mark.parametrize(
    ("begin", "clock"),
    [
        (HEAD[:-2] + b"x-padding: ", "first_event"),
        (HEAD[:-2] + b"x-padding: ", "total"),
        (HEAD + CHUNK + b"5;padding", "idle"),
        (HEAD + CHUNK + b"5;padding", "total"),
    ],
)
@MODULES
def test_clocks_of_an_async_client_hold_whatever_drips(
    loop: Loop, module: Any, begin: bytes, clock: str
) -> None:
    clocks = Clocks(**{"first_event": 30, "idle": 30, "total": 30} | {clock: 0.2})

    async def main() -> None:
        async with module.AsyncClient(trust_env=False) as http:
            client = AsyncClient(http, clocks=clocks, retry=NO_RETRY)
            with pytest.raises(TimedOut) as caught:
                await client.read(asking.exchange)
            assert caught.value.clock == clock
            assert caught.value.answer is not None
            if clock == "idle":  # it runs from the first event on
                assert caught.value.answer.text == "Hi"

    with dripping(begin, b"y", provider="ylokh")() as asking:
        loop(main)


# Connections


GLUED = HEAD + CHUNK.replace(b"Hi", b"Ho") + LAST_CHUNKS


def test_bytes_after_a_response_are_the_next_answer_unless_connections_are_not_kept(
    loop: Loop,
) -> None:
    """A limitation of httpcore; native transports close such a connection."""
    whole = HEAD + CHUNK + LAST_CHUNKS

    async def texts(url: str, **options: Any) -> list[str]:
        async with (
            httpx.AsyncClient(trust_env=False) as http,
            AsyncClient(http, **options) as client,
        ):
            return [(await client.read(hello(url))).text for _ in range(2)]

    with peer(says(whole + GLUED)) as url:
        assert loop(lambda: texts(url)) == ["Hi", "Ho"]
    with peer(says(whole + GLUED), says(whole)) as url:
        assert loop(lambda: texts(url, keep_connections=False)) == ["Hi", "Hi"]
    with (
        peer(says(whole + GLUED), says(whole)) as url,
        httpx.Client(trust_env=False) as http,
        Client(http, keep_connections=False) as client,
    ):
        assert [client.read(hello(url)).text for _ in range(2)] == ["Hi", "Hi"]


@MODULES
def test_a_request_with_a_connection_of_its_own_says_so(module: Any) -> None:
    said: list[str] = []

    def handle(request: Any) -> Any:
        said.append(request.headers["connection"])
        return module.Response(200, headers=SSE, content=WHOLE)

    with module.Client(transport=module.MockTransport(handle)) as http:
        for keep in (True, False):
            assert Client(http, keep_connections=keep).read(hello()).text == "Hi"
    assert said == ["keep-alive", "close"]


# Foreign errors


def test_nothing_foreign_comes_out_of_closing(loop: Loop) -> None:
    class Bad(Body):
        def close(self) -> None:
            raise OSError("close")

        async def aclose(self) -> None:
            raise OSError("close")

    transport = httpx.MockTransport(
        lambda request: httpx.Response(200, headers=SSE, stream=Bad(EVENT, EVENT))
    )
    http = httpx.Client(transport=transport)
    with Client(http).open(hello()) as answer:
        assert next(answer)

    async def main() -> None:
        async with AsyncClient(httpx.AsyncClient(transport=transport)).open(hello()) as answer:
            assert await anext(answer)

    loop(main)


def test_http2_frames_by_itself_and_its_connection_is_not_aborted() -> None:
    class Network:
        def get_extra_info(self, name: str) -> Any:
            raise AssertionError(name)

    def handle(request: httpx.Request) -> httpx.Response:
        extensions = {"http_version": b"HTTP/2", "network_stream": Network()}
        sse = {"content-type": "text/event-stream"}
        return httpx.Response(200, headers=sse, stream=Body(EVENT, EVENT), extensions=extensions)

    with httpx.Client(transport=httpx.MockTransport(handle)) as http, Client(http) as client:
        with client.open(hello()) as answer:
            assert next(answer)
            answer.abort()
            with pytest.raises(TransportError, match="abort"):
                next(answer)
        with pytest.raises(Truncated) as caught:  # as it owes a terminator, or a finish reason
            client.read(hello())
    assert "closed connection" not in str(caught.value)


def test_a_redirect_to_nowhere_is_the_servers_fault() -> None:
    """httpx looks at it though it is not to follow."""
    listener = socket.create_server(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{listener.getsockname()[1]}/v1"

    def work() -> None:
        with listener, listener.accept()[0] as stream:
            stream.recv(65536)
            stream.sendall(b"HTTP/1.1 302 Go\r\nlocation: http://a:b\r\ncontent-length: 0\r\n\r\n")

    thread = threading.Thread(target=work)
    thread.start()
    with httpx.Client(trust_env=False) as http, pytest.raises(Malformed, match="location"):
        Client(http, retry=NO_RETRY).read(hello(url))
    thread.join()


@MODULES
@pytest.mark.parametrize(
    ("first", "second"), [("asyncio", "asyncio"), ("asyncio", "trio"), ("trio", "asyncio")]
)
def test_in_a_second_event_loop(module: Any, first: str, second: str) -> None:
    """Its client still has connections of the first one, and can't tell."""
    runs: dict[str, Callable[[Callable[[], Any]], Any]] = {
        "asyncio": lambda main: asyncio.run(main()),
        "trio": trio.run,
    }
    clients = [AsyncClient(module.AsyncClient(trust_env=False), retry=NO_RETRY)]

    async def main() -> str:
        return (await clients[0].read(ask(server))).text

    with serve("ylokh") as server, warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # of what the loops have left
        assert QUESTION in runs[first](main)
        with pytest.raises(LocalProtocolError, match=r"of another event loop .*make a new client"):
            runs[second](main)
        clients.clear()
        gc.collect()


# Secrets that only the HTTP client knows


@MODULES
def test_the_password_of_a_socks_proxy(module: Any) -> None:
    """httpcore tells it to the extension by which it is traced."""

    def handle(request: Any) -> Any:
        trace = request.extensions["trace"]
        trace("socks.connect_tcp.started", {"host": "proxy.example"})
        trace("socks.setup_socks5_connection.started", {"auth": (b"mighty-me", b"sesame-open")})
        trace("socks.setup_socks5_connection.failed", {"exception": OSError()})
        raise module.ConnectError("no: mighty-me, sesame-open")

    with (
        module.Client(transport=module.MockTransport(handle)) as http,
        Client(http, retry=NO_RETRY) as client,
        pytest.raises(ConnectFailed) as caught,
    ):
        client.read(hello())
    assert "no: mighty-me, [secret]" in str(caught.value)


def test_what_the_auth_of_the_http_client_adds_to_a_request_that_fails() -> None:
    def handle(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError(f"no: {request.headers['authorization']}")

    with (
        httpx.Client(transport=httpx.MockTransport(handle), auth=("me", "sesame-open")) as http,
        Client(http, retry=NO_RETRY) as client,
        pytest.raises(ConnectFailed, match=r"no: Basic \[secret\]"),
    ):
        client.read(hello())


def test_a_proxy_that_wants_no_password() -> None:
    def handle(request: httpx.Request) -> httpx.Response:
        request.extensions["trace"]("socks.setup_socks5_connection.started", {"auth": None})
        raise httpx.ConnectError("no")

    with (
        httpx.Client(transport=httpx.MockTransport(handle)) as http,
        Client(http, retry=NO_RETRY) as client,
        pytest.raises(ConnectFailed, match="no connection"),
    ):
        client.read(hello())


def test_headers_of_the_http_client_are_secrets_but_for_those_of_http_itself() -> None:
    said = "keep-alive sesame-jwt"

    def handle(request: httpx.Request) -> httpx.Response:
        return httpx.Response(401, json={"error": said + f" {request.headers['host']}"})

    headers = {"x-jwt": "sesame-jwt", "connection": "keep-alive"}
    transport = httpx.MockTransport(handle)
    with (
        httpx.Client(transport=transport, headers=headers) as http,
        Client(http) as client,
        pytest.raises(AuthenticationFailed) as caught,
    ):
        client.read(make_exchange("ylokh", "hi", base_url="http://my-host.example"))
    words = "keep-alive [secret] my-host.example"
    assert str(caught.value).startswith(f"the service refused: {words}; no key was given")
