"""The shared async client on every loop: leaving, aborting, cancelling, and what is kept.

See test_transports for what all transports have in common."""

import gc
import gzip
import math
import socket
import struct
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from tests.every_transport import LOOPS
from tests.transports.test_sync import CHUNK, HEAD, NO_CLOCKS
from tests.transports.test_transports import QUESTION, ask
from tests.waiting import WAIT, at, cancelled_at, cancelled_while_it_waits, heard
from tokenwire import (
    NO_RETRY,
    BadRequest,
    Clocks,
    ConnectFailed,
    End,
    Exchange,
    LocalProtocolError,
    Retry,
    Text,
    TimedOut,
    TransportError,
    Truncated,
    ask_async,
    make_exchange,
    stream_async,
)
from tokenwire.server import serve
from tokenwire.server.faults import CloseAfter, Linger
from tokenwire.transports.client.clients import AsyncClient
from tokenwire.transports.client.native import NativeClient
from tokenwire.transports.client.pool import Link, Pool

LAST = b"data: [DONE]\n\n"
END = b"%x\r\n%b\r\n0\r\n\r\n" % (len(LAST), LAST)
WHOLE = HEAD + CHUNK + END
REFUSAL = (
    b"HTTP/1.1 429 Slow down\r\nretry-after: 50\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
)
LARGE = "x" * 20_000_000


@dataclass(frozen=True)
class Loop:
    name: str
    run: Callable[[Callable[[], Awaitable[Any]]], Any]
    make: Callable[..., AsyncClient]

    def client(self, **options: Any) -> AsyncClient:
        options.setdefault("trust_env", False)
        options.setdefault("retry", NO_RETRY)
        return self.make(**options)


@pytest.fixture(params=sorted(LOOPS))
def loop(request: pytest.FixtureRequest) -> Loop:
    return Loop(request.param, *LOOPS[request.param])


Script = Callable[[socket.socket], object]


@contextmanager
def peer(*scripts: Script) -> Generator[str, None, None]:
    """A server that plays one script a connection; its base URL. What a script raises is raised."""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(WAIT)
    raised: list[BaseException] = []

    def work() -> None:
        try:
            with listener:
                for script in scripts:
                    with listener.accept()[0] as stream:
                        stream.settimeout(WAIT)
                        script(stream)
        except BaseException as error:  # noqa: BLE001  the test's thread raises it
            raised.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
    finally:
        thread.join(WAIT)
    assert not raised, raised
    assert not thread.is_alive()


def hello(url: str, question: str = "Hello") -> Exchange:
    return make_exchange("ylokh", question, base_url=url)


def until_closed(stream: socket.socket) -> None:
    """Wait until the client leaves."""
    try:
        while stream.recv(65536):
            pass
    except ConnectionError:
        pass


def says(*pieces: bytes | threading.Event | Callable[[], object]) -> Script:
    """Hears a request, says bytes, waits for events and calls functions, and stays until the client
    leaves."""

    def script(stream: socket.socket) -> None:
        stream.recv(65536)
        for piece in pieces:
            if isinstance(piece, threading.Event):
                assert piece.wait(WAIT)
            elif callable(piece):
                piece()
            else:
                stream.sendall(piece)
        until_closed(stream)

    return script


# Leaving


def test_leaving_early_closes_the_connection_at_once(loop: Loop) -> None:
    left = threading.Event()

    def script(stream: socket.socket) -> None:
        says(HEAD + CHUNK)(stream)
        left.set()

    async def main() -> None:
        async with loop.client() as client:
            async with client.open(hello(url)) as answer:
                async for event in answer:
                    assert event == Text("Hi")
                    break
            await heard(left)

    with peer(script) as url:
        loop.run(main)


def test_leaving_by_an_error_closes_the_connection_at_once(loop: Loop) -> None:
    left = threading.Event()

    def script(stream: socket.socket) -> None:
        says(WHOLE)(stream)
        left.set()

    async def main() -> None:
        async with loop.client() as client:
            with pytest.raises(ZeroDivisionError):  # noqa: PT012
                async with client.open(hello(url)) as answer:
                    await anext(answer)
                    raise ZeroDivisionError
            await heard(left)

    with peer(script) as url:
        loop.run(main)


def test_stopping_at_the_end_keeps_the_connection(loop: Loop) -> None:
    async def main() -> None:
        async with loop.client() as client:
            for _ in range(2):
                async with client.open(ask(server)) as answer:
                    async for event in answer:
                        if isinstance(event, End):
                            break

    with serve("ylokh") as server:
        loop.run(main)
    assert server.connections == 1


def test_an_answer_that_was_never_read_sends_nothing(loop: Loop) -> None:
    async def main() -> None:
        async with loop.client() as client, client.open(ask(server)):
            pass

    with serve("ylokh") as server:
        loop.run(main)
    assert server.connections == 0


# Aborting. (test_cancellation aborts at each point of an answer.)


def test_abort_before_anything_was_read(loop: Loop) -> None:
    async def main() -> None:
        async with loop.client() as client, client.open(ask(server)) as answer:
            answer.abort()
            with pytest.raises(TransportError, match="abort"):
                await anext(answer)

    with serve("ylokh") as server:
        loop.run(main)
    assert server.connections == 0


def test_abort_after_the_end_was_handed_out_is_no_error(loop: Loop) -> None:
    async def main() -> None:
        async with loop.client() as client, client.open(ask(server)) as answer:
            async for event in answer:
                if isinstance(event, End):
                    answer.abort()

    with serve("ylokh", fault=Linger()) as server:
        loop.run(main)


def test_abort_while_the_connection_is_given_back_is_no_error(
    loop: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        async with loop.client() as client, client.open(ask(server)) as answer:

            def keep(pool: Pool, link: Link, now: float) -> None:
                answer.abort()
                link.stream.close()

            monkeypatch.setattr(Pool, "put", keep)
            assert (await answer.read()).evidence == "terminator"

    with serve("ylokh") as server:
        loop.run(main)


def test_abort_after_the_loop_has_ended(loop: Loop) -> None:
    async def main() -> Any:
        async with loop.client() as client, client.open(ask(server)) as answer:
            await anext(answer)
        return answer

    with serve("ylokh") as server:
        loop.run(main).abort()


def test_a_dialer_that_was_woken_waits_no_more(loop: Loop) -> None:
    async def main() -> None:
        client = loop.client()
        assert isinstance(client, NativeClient)
        dialer = client.network().dialer()
        dialer.wake()
        dialer.wake()
        await dialer.sleep(math.inf)
        with pytest.raises(TimeoutError):
            await dialer.resolve("slow.example", 80, None)
        with pytest.raises(TimeoutError):
            await dialer.connect("127.0.0.1", port, None)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        loop.run(main)


# A read that decodes to many events

PACKED = gzip.compress(b"xy\n" * 100_000 + b'data: {"event":"stream-end"}\n\n')
MANY = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-encoding: gzip\r\n"
    b"content-length: %d\r\n\r\n%b" % (len(PACKED), PACKED)
)


def test_other_tasks_run_between_two_batches(loop: Loop) -> None:
    async def main() -> None:
        turns, sizes = 0, list[int]()

        async def take_turns() -> None:
            nonlocal turns
            while True:
                await anyio.lowlevel.checkpoint()
                turns += 1

        exchange = make_exchange("darkai", "Hello", base_url=url)
        async with (
            loop.client() as client,
            client.open(exchange) as answer,
            anyio.create_task_group() as group,
        ):
            group.start_soon(take_turns)
            async for batch in answer.batches():
                if not sizes:
                    turns = 0
                sizes.append(len(batch))
            assert turns >= len(sizes) - 2
            group.cancel_scope.cancel()
        assert (sum(sizes), max(sizes) < 12_000) == (100_001, True)

    with peer(says(MANY)) as url:
        loop.run(main)


def test_cancelled_between_two_batches_it_can_be_read_on(loop: Loop) -> None:
    async def main() -> None:
        exchange = make_exchange("darkai", "Hello", base_url=url)
        async with loop.client() as client, client.open(exchange) as answer:
            batches = answer.batches()
            count = len(await anext(batches))
            with anyio.CancelScope() as scope:
                scope.cancel()
                await anext(batches)
            assert scope.cancelled_caught
            async for batch in batches:
                count += len(batch)
            assert count == 100_001

    with peer(says(MANY)) as url:
        loop.run(main)


# Cancellation


def test_cancelled_while_it_receives_it_can_be_read_on(loop: Loop) -> None:
    go = threading.Event()

    async def main() -> None:
        async with loop.client() as client, client.open(hello(url)) as answer:
            assert await anext(answer) == Text("Hi")
            for _ in range(3):
                await cancelled_while_it_waits(answer.__anext__)
            go.set()
            reply = await answer.read()
            assert (reply.text, reply.evidence) == ("Hi", "terminator")

    with peer(says(HEAD + CHUNK, go, CHUNK + END)) as url:
        loop.run(main)


def test_cancelled_while_it_sends_it_can_be_read_on(loop: Loop) -> None:
    begun, go = threading.Event(), threading.Event()
    sizes: list[int] = []

    def script(stream: socket.socket) -> None:
        data = bytearray(stream.recv(1))
        begun.set()
        assert go.wait(WAIT)
        while not data.endswith(b"}"):
            data += stream.recv(1 << 20)
        sizes.append(data.count(b"x" * 1000))
        stream.sendall(WHOLE)
        until_closed(stream)

    async def main() -> None:
        async with loop.client() as client, client.open(hello(url, LARGE)) as answer:
            await cancelled_at(begun, answer.__anext__)
            for _ in range(2):
                await cancelled_while_it_waits(answer.__anext__)
            go.set()
            assert (await answer.read()).text == "Hi"

    with peer(script) as url:
        loop.run(main)
    assert sizes == [len(LARGE) // 1000]


def test_cancelled_in_a_pause_it_asks_again_later(
    loop: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    paused = threading.Event()

    def refuse(stream: socket.socket) -> None:
        says(REFUSAL)(stream)
        paused.set()  # it has left

    async def main() -> None:
        client: Any = loop.client(retry=Retry(attempts=2))
        async with client, client.open(hello(url)) as answer:
            await cancelled_at(paused, answer.__anext__)
            network = client._home[0]
            later = network.now() + 50
            monkeypatch.setattr(network, "now", lambda: later)
            assert (await answer.read()).text == "Hi"

    with peer(refuse, says(WHOLE)) as url:
        loop.run(main)


def test_cancelled_before_it_is_connected_it_connects_later(loop: Loop) -> None:
    async def main() -> None:
        async with loop.client() as client, client.open(ask(server)) as answer:
            with anyio.CancelScope() as scope:
                scope.cancel()
                await anext(answer)
            assert scope.cancelled_caught
            assert QUESTION in (await answer.read()).text

    with serve("ylokh") as server:
        loop.run(main)


def test_the_own_timeout_leaves_nothing_open(loop: Loop) -> None:
    said, left = threading.Event(), threading.Event()

    def script(stream: socket.socket) -> None:
        says(HEAD + CHUNK, said.set)(stream)
        left.set()

    async def main() -> None:
        async with loop.client() as client, anyio.create_task_group() as tasks:
            with pytest.raises(TimeoutError), anyio.fail_after(WAIT) as scope:  # noqa: PT012
                tasks.start_soon(at, said, lambda: setattr(scope, "deadline", -math.inf))
                await client.read(hello(url))
            await heard(left)

    with peer(script) as url:
        loop.run(main)


# Misuse, ends and errors


def test_a_closed_client_says_so(loop: Loop) -> None:
    async def main() -> None:
        client = loop.client()
        client.close()
        with pytest.raises(LocalProtocolError, match="closed"):
            client.open(make_exchange("ylokh", "Hello"))

    loop.run(main)


def test_an_answer_outlives_its_client(loop: Loop) -> None:
    async def main() -> None:
        async with loop.client() as client:
            answer = client.open(ask(server))
            assert await anext(answer)
        async with answer:
            assert (await answer.read()).evidence == "terminator"

    with serve("ylokh") as server:
        loop.run(main)


def test_read_twice_and_over_stays_over(loop: Loop) -> None:
    async def main() -> None:
        async with loop.client() as client, client.open(ask(server)) as answer:
            assert await answer.read()
            with pytest.raises(LocalProtocolError, match="read to its end already"):
                await answer.read()
            assert [event async for event in answer] == []
        assert [event async for event in answer] == []

    with serve("ylokh") as server:
        loop.run(main)


def test_what_is_raised_is_raised_again_and_has_what_had_come(loop: Loop) -> None:
    async def main() -> None:
        async with loop.client() as client, client.open(ask(server)) as answer:
            with pytest.raises(Truncated) as first:
                await answer.read()
            assert first.value.answer is not None
            assert first.value.answer.text
            with pytest.raises(Truncated) as again:
                await anext(answer)
        assert first.value is again.value
        with pytest.raises(Truncated):
            await anext(answer)

    with serve("ylokh", fault=CloseAfter(700)) as server:
        loop.run(main)


def test_without_clocks(loop: Loop) -> None:
    async def main() -> None:
        async with loop.client(clocks=NO_CLOCKS) as client:
            assert (await client.read(ask(server))).evidence == "terminator"

    with serve("ylokh") as server:
        loop.run(main)


# Connections


@pytest.mark.parametrize("how", ["spoke", "was reset"])
def test_a_kept_connection_on_which_the_server(loop: Loop, how: str) -> None:
    """It is not taken: a 408 would be taken for the answer to the next request."""
    idle, done = threading.Event(), threading.Event()

    def first(stream: socket.socket) -> None:
        stream.recv(65536)
        stream.sendall(WHOLE)
        assert idle.wait(WAIT)
        if how == "spoke":
            stream.sendall(b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\n\r\n")
            done.set()
            until_closed(stream)
        else:
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            stream.close()
            done.set()

    async def main() -> None:
        async with loop.client() as client:
            assert (await client.read(hello(url))).text == "Hi"
            idle.set()
            await heard(done)
            assert (await client.read(hello(url))).text == "Hi"

    with peer(first, says(WHOLE)) as url:
        loop.run(main)


def test_every_address_of_a_name_is_tried(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name whose first address is dead."""
    if loop.name == "uvloop":
        pytest.skip("uvloop resolves by itself")

    with serve("ylokh", public_url="http://two.example") as server:
        port = int(server.origin.rpartition(":")[2])

        def resolve(host: Any, port: Any, *args: Any, **how: Any) -> list[Any]:
            tcp = (socket.AF_INET, socket.SOCK_STREAM, 6, "")
            if host not in (b"two.example", "two.example"):
                return [(*tcp, (host, port))]
            return [(*tcp, (ip, port)) for ip in ("127.0.0.2", "127.0.0.1")]

        monkeypatch.setattr(socket, "getaddrinfo", resolve)

        async def main() -> None:
            async with loop.client() as client:
                reply = await client.read(hello(f"http://two.example:{port}/v1", QUESTION))
                assert QUESTION in reply.text

        loop.run(main)


def test_a_name_that_is_none(loop: Loop) -> None:
    async def main() -> None:
        async with loop.client() as client:
            with pytest.raises(ConnectFailed, match="can't be resolved"):
                await client.read(hello(f"http://{'x' * 70}.example/v1"))

    loop.run(main)


def test_a_server_that_reads_nothing_of_a_large_request(loop: Loop) -> None:
    over = threading.Event()

    async def main() -> None:
        clocks = Clocks(first_event=0.3, idle=0.3)
        async with loop.client(clocks=clocks) as client:
            with pytest.raises(TimedOut):
                await client.read(hello(url, LARGE))
        over.set()

    with peer(lambda stream: over.wait(WAIT)) as url:
        loop.run(main)


def test_a_refusal_in_the_midst_of_a_large_request_is_read(loop: Loop) -> None:
    async def main() -> None:
        async with loop.client() as client:
            exchange = make_exchange("openai", LARGE, model="m", base_url=server.url)
            with pytest.raises(BadRequest, match="too large"):
                await client.read(exchange)

    with serve("openai", request_limit=1000) as server:
        loop.run(main)


def test_a_server_that_is_faster_than_its_reader(loop: Loop) -> None:
    """The peer is made to wait, and nothing is lost."""
    count = 3000
    padded = b"2714\r\n:%b\n\n\r\n" % (b" " * 0x2711) + CHUNK
    blocked, read = threading.Event(), threading.Event()

    def script(stream: socket.socket) -> None:
        stream.recv(65536)
        stream.settimeout(0.1)
        unsent = memoryview(HEAD + CHUNK + padded * count + END)
        try:
            while unsent:
                unsent = unsent[stream.send(unsent) :]
        except TimeoutError:
            blocked.set()
        assert read.wait(WAIT)
        stream.settimeout(WAIT)
        stream.sendall(unsent)
        until_closed(stream)

    async def main() -> None:
        async with loop.client() as client, client.open(hello(url)) as answer:
            assert await anext(answer) == Text("Hi")
            await heard(blocked)
            read.set()
            assert len((await answer.read()).text) == 2 * count

    with peer(script) as url:
        loop.run(main)


# In one line


CONTAINERS = (dict, list, tuple, set, deque)


def belongings(thing: object) -> dict[int, object]:
    """What `thing` leads to, itself among it, by objects of ours and plain containers alone: an
    event loop leads to all that its tasks have."""
    found: dict[int, object] = {}
    ahead = [thing]
    while ahead:
        one = ahead.pop()
        if id(one) in found or isinstance(one, type):
            continue
        if type(one).__module__.startswith("tokenwire") or type(one) in CONTAINERS:
            found[id(one)] = one
            ahead += gc.get_referents(one)
    return found


def test_what_each_stream_has_of_its_own_has_slots(loop: Loop) -> None:
    """A dict for each of a stream's objects would be a tenth of its memory, and a cache miss."""

    seen = threading.Event()
    with peer(says(HEAD + CHUNK, seen)) as url, peer(says(HEAD + CHUNK, seen)) as another:

        async def main() -> list[object]:
            async with (
                loop.client() as client,
                client.open(hello(url)) as answer,
                client.open(hello(another)) as other,
            ):
                await anext(answer)
                await anext(other)
                shared = belongings(other)
                return [one for key, one in belongings(answer).items() if key not in shared]

        own = loop.run(main)
        seen.set()
    ours = [one for one in own if type(one).__module__.startswith("tokenwire")]
    assert {"Wire", "Connection", "HTTP1", "Exchange"} <= {type(one).__name__ for one in ours}
    # A dialect's step may be anything.
    assert {type(one).__name__ for one in ours if hasattr(one, "__dict__")} == {"OpenAIStep"}


def test_ask_async_and_stream_async(loop: Loop) -> None:
    async def main() -> None:
        reply = await ask_async("ylokh", QUESTION, base_url=server.url)
        assert QUESTION in reply.text
        async with stream_async("ylokh", QUESTION, base_url=server.url) as answer:
            events = [event async for event in answer]
        assert isinstance(events[-1], End)
        async with stream_async("ylokh", QUESTION, base_url=server.url) as answer:
            await anext(answer)
        async with loop.client() as client:
            for _ in range(2):
                await ask_async("ylokh", QUESTION, base_url=server.url, client=client)

    with serve("ylokh") as server:
        loop.run(main)
    assert server.connections == 4
