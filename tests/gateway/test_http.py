"""What the gateway's own server bounds: heads, and the ends of connections."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from uvicorn.server import ServerState

from tokenwire.gateway import http
from tokenwire.gateway.http import HEAD_BYTES, HEAD_SECONDS, LAST_SECONDS, REST_SECONDS
from tokenwire.gateway.http import HttpProtocol as Protocol
from tokenwire.gateway.run import server_of
from tokenwire.server import serve

from .running import backs, chat, is_whole, request_of, running

PLAIN = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\n\r\n"


class Transport(asyncio.Transport):
    """Keeps what is written."""

    def __init__(self) -> None:
        super().__init__({"peername": ("127.0.0.1", 1), "sockname": ("127.0.0.1", 2)})
        self.written = b""
        self.closing = self.aborted = False

    def write(self, data: Any) -> None:
        self.written += data

    def is_closing(self) -> bool:
        return self.closing

    def close(self) -> None:
        self.closing = True

    def abort(self) -> None:
        self.closing = self.aborted = True

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


class Timers:
    """The running loop, but for its timers, which run when the test says so."""

    def __init__(self) -> None:
        self.set: list[asyncio.TimerHandle] = []
        self._loop = asyncio.get_running_loop()

    def call_later(self, delay: float, callback: Callable[..., Any]) -> asyncio.TimerHandle:
        timer = asyncio.TimerHandle(delay, callback, (), self._loop)
        self.set.append(timer)
        return timer

    def create_task(self, task: Any) -> Any:
        return self._loop.create_task(task)

    @property
    def seconds(self) -> list[float]:
        """Of those that are not cancelled."""
        return [timer.when() for timer in self.set if not timer.cancelled()]

    def run_out(self) -> None:
        for timer in self.set:
            if not timer.cancelled():
                timer._run()
                timer.cancel()


class Connection:
    """One connection, to an application that answers each request with `said`, once it is `let`;
    only `eager` it does not even read the request."""

    def __init__(self, *, eager: bool = False) -> None:
        self.asked = 0
        self.bodies: list[bytes] = []
        self.upgrades: list[bool] = []
        self.let = asyncio.Event()
        self.let.set()
        self.transport, self.timers = Transport(), Timers()
        self._eager = eager
        config = server_of(self._answer, lifespan="off").config
        self.state = ServerState()
        self.protocol = Protocol(config, self.state, {}, _loop=self.timers)
        self.protocol.connection_made(self.transport)

    async def _answer(self, scope: Any, receive: Callable[[], Awaitable[Any]], send: Any) -> None:
        self.asked += 1
        self.upgrades.append(b"upgrade" in dict(scope["headers"]))
        body, more = b"", not self._eager
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        self.bodies.append(body)
        await self.let.wait()
        head = [(b"content-length", b"2")]
        await send({"type": "http.response.start", "status": 200, "headers": head})
        await send({"type": "http.response.body", "body": b"ok"})

    async def send(self, data: bytes, cut: int = 1 << 30) -> None:
        for place in range(0, len(data), cut):
            self.protocol.data_received(data[place : place + cut])
        for _ in range(5):
            await asyncio.sleep(0)

    @property
    def status(self) -> bytes:
        """Of the last response."""
        return self.transport.written.rpartition(b"HTTP/1.1 ")[2][:3]


H2C = b"connection: %b\r\nupgrade: h2c\r\nhttp2-settings: AAA\r\n"
CHUNKED = (
    b"POST / HTTP/1.1\r\nhost: x\r\n%btransfer-encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n"
)


@pytest.mark.parametrize("cut", [1 << 30, 1, 7])
def test_a_request_that_wants_another_protocol_keeps_its_body(cut: int) -> None:
    async def main() -> None:
        h2c = H2C % b"upgrade, http2-settings"
        requests = [
            *(POST.replace(b"host: x\r\n", h2c) + b"body", CHUNKED % h2c),
            PLAIN.replace(b"host: x\r\n", h2c),  # it has none
            POST.replace(b"host: x\r\n", H2C % b"close, upgrade") + b"body",
        ]
        connection = Connection()
        await connection.send(b"".join(requests), cut)
        while connection.asked < 4:
            await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert connection.bodies == [b"body", b"body", b"", b"body"]
        assert connection.upgrades == [False, False, True, False]
        assert connection.transport.written.count(b"HTTP/1.1 200") == 4
        assert connection.transport.closing

    asyncio.run(main())


def test_many_of_them_at_once() -> None:
    async def main() -> None:
        request = POST.replace(b"host: x\r\n", H2C % b"upgrade")
        connection = Connection()
        await connection.send((request + b"body") * 600)
        while connection.asked < 600:
            await asyncio.sleep(0)
        assert set(connection.bodies) == {b"body"}

    asyncio.run(main())


def head_of(size: int) -> bytes:
    return PLAIN[:-2] + b"x: " + b"y" * (size - len(PLAIN) - 5) + b"\r\n\r\n"


@pytest.mark.parametrize("cut", [1 << 30, 1000, 65_536])
@pytest.mark.parametrize(("size", "status"), [(HEAD_BYTES, b"200"), (HEAD_BYTES + 1, b"431")])
def test_how_large_a_head_may_be(cut: int, size: int, status: bytes) -> None:
    async def main() -> None:
        connection = Connection()
        await connection.send(head_of(size), cut)
        assert connection.status == status
        assert connection.transport.closing is (status == b"431")
        assert connection.asked == (status == b"200")

    asyncio.run(main())


def test_each_head_is_counted_by_itself() -> None:
    async def main() -> None:
        connection = Connection()
        for _ in range(3):
            await connection.send(head_of(40_000), 1000)
            assert connection.status == b"200"
        await connection.send(PLAIN * 3)
        assert connection.asked == 6
        await connection.send(b"\r\n" * HEAD_BYTES)  # blank lines count, too
        assert connection.status == b"431"
        await connection.send(PLAIN)
        assert connection.asked == 6

    asyncio.run(main())


def test_a_body_is_no_head() -> None:
    async def main() -> None:
        connection = Connection()
        head = POST.replace(b"content-length: 4", b"content-length: 200000")
        await connection.send(head + b"x" * 200_000, 50_000)
        assert connection.status == b"200"
        await connection.send(head + b"x" * 200_000)
        assert connection.asked == 2

    asyncio.run(main())


def test_what_is_no_http_is_refused_by_uvicorn(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        connection = Connection()
        await connection.send(b"\x16\x03\x01" * 40_000)
        assert connection.status == b"400"
        assert connection.transport.closing

    asyncio.run(main())
    assert "Invalid HTTP request" in caplog.text


def test_a_connection_on_which_nothing_comes_is_closed() -> None:
    async def main() -> None:
        connection = Connection()
        assert connection.timers.seconds == [HEAD_SECONDS]
        connection.timers.run_out()
        assert connection.transport.closing
        assert connection.transport.written == b""
        connection.protocol.connection_lost(None)

    asyncio.run(main())


def test_half_a_head_has_its_time() -> None:
    async def main() -> None:
        connection = Connection()
        await connection.send(PLAIN[:-2], 1)
        assert connection.timers.seconds == [HEAD_SECONDS]  # the first: bytes don't renew it
        connection.timers.run_out()
        assert connection.status == b"408"
        assert connection.transport.closing

    asyncio.run(main())


def test_between_requests_a_connection_may_be_idle_as_long_as_uvicorn_lets_it() -> None:
    async def main() -> None:
        connection = Connection()
        await connection.send(PLAIN)
        idle = connection.protocol.timeout_keep_alive
        assert connection.timers.seconds == [idle]
        await connection.send(PLAIN[:5])
        assert connection.timers.seconds == [HEAD_SECONDS]
        await connection.send(PLAIN[5:])
        assert connection.timers.seconds == [idle]
        connection.protocol.connection_lost(None)
        assert connection.timers.seconds == []

    asyncio.run(main())


def test_a_body_and_an_answer_may_take_their_time() -> None:
    """The application minds the one, and the other is up to the upstream."""

    async def main() -> None:
        connection = Connection()
        connection.let.clear()
        await connection.send(POST)
        assert connection.timers.seconds == []
        await connection.send(b"body")
        assert connection.timers.seconds == []
        await connection.send(b"\r\n")  # of old clients, behind a body
        assert connection.timers.seconds == []
        connection.let.set()
        await connection.send(b"")
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert connection.status == b"200"
        assert HEAD_SECONDS in connection.timers.seconds
        connection.timers.run_out()
        assert connection.transport.closing

    asyncio.run(main())


def test_a_head_amid_an_answer_that_is_too_large_ends_the_connection_without_a_word() -> None:
    async def main() -> None:
        connection = Connection()
        connection.let.clear()
        await connection.send(PLAIN)
        await connection.send(head_of(HEAD_BYTES + 1))
        assert connection.transport.closing
        assert connection.transport.written == b""
        connection.protocol.connection_lost(None)
        connection.let.set()
        await connection.send(b"")

    asyncio.run(main())


def test_the_rest_of_a_body_that_is_answered_already_has_its_time() -> None:
    async def main() -> None:
        connection = Connection(eager=True)
        await connection.send(POST + b"b")
        assert connection.status == b"200"
        assert REST_SECONDS in connection.timers.seconds
        await connection.send(b"ody")
        assert REST_SECONDS not in connection.timers.seconds
        await connection.send(POST + b"b")
        assert connection.asked == 2
        connection.timers.run_out()
        assert connection.transport.closing

    asyncio.run(main())


def test_a_caller_that_does_not_take_the_end_is_broken_off() -> None:
    async def main() -> None:
        connection = Connection()
        protocol = connection.protocol
        protocol.look(0.0)
        await connection.send(PLAIN[:5])
        connection.timers.run_out()
        protocol.look(100.0)
        protocol.look(99.9 + LAST_SECONDS)
        assert not connection.transport.aborted
        protocol.look(100.0 + LAST_SECONDS)
        assert connection.transport.aborted

    asyncio.run(main())


def test_on_a_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    """Heads that are too large or too late, and then one that is right."""
    monkeypatch.setattr(http, "HEAD_SECONDS", 0.05)

    async def main() -> None:
        async with serve("openai") as upstream, running(backs(upstream.url)) as gateway:
            host, port = gateway.url.removeprefix("http://").split(":")

            async def exchange(data: bytes) -> bytes:
                reader, writer = await asyncio.open_connection(host, int(port))
                writer.write(data)
                try:
                    return await reader.read()
                finally:
                    writer.close()

            assert (await exchange(PLAIN[:9])).startswith(b"HTTP/1.1 408 ")
            assert await exchange(b"") == b""
            assert (await exchange(head_of(HEAD_BYTES + 1))).startswith(b"HTTP/1.1 431 ")
            body = chat("openai")
            assert is_whole(
                await exchange(request_of(gateway.url, "POST", "/v1/chat/completions", body))
            )
            _, writer = await asyncio.open_connection(host, int(port))
            gateway.clock.asleep[2].clear()
            gateway.clock.up[2].set()  # it looks at its connections
            await gateway.clock.asleep[2].wait()
            writer.close()

    asyncio.run(main())
