"""The `asyncio` transport: what is asyncio's alone. See test_async_client for the rest."""

import asyncio
import gc
import socket
import threading
import warnings

import pytest

from tests.every_transport import LOOPS, received
from tests.transports.client.test_async_client import Loop, hello, peer, says
from tests.transports.test_sync import CHUNK, HEAD
from tokenwire import Text
from tokenwire.transports.asyncio import READ_AHEAD, Client, Network, Stream


@pytest.fixture(params=sorted({"asyncio", "uvloop"} & set(LOOPS)))
def loop(request: pytest.FixtureRequest) -> Loop:
    return Loop(request.param, *LOOPS[request.param])


def test_the_own_timeout_is_what_raises(loop: Loop) -> None:
    async def main() -> None:
        async with Client(trust_env=False) as client, client.open(hello(url)) as answer:
            assert await anext(answer) == Text("Hi")
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await anext(answer)
            task = asyncio.create_task(answer.read())
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert task.cancelled()

    with peer(says(HEAD + CHUNK)) as url:
        loop.run(main)


def test_what_had_come_before_a_reset_is_received(loop: Loop) -> None:
    """By the calls that the loop makes: when a reset arrives is up to the system."""

    async def main() -> None:
        stream = Stream(memoryview(bytearray(1)))
        stream.get_buffer(-1)[:] = b"x"
        stream.buffer_updated(1)
        stream.connection_lost(ConnectionResetError("reset"))
        assert await received(stream) == b"x"
        with pytest.raises(OSError, match="the connection broke: reset"):
            await received(stream)
        assert not stream.is_quiet()
        with pytest.raises(BrokenPipeError):
            await stream.send(b"?", None)
        stream.close()
        stream.close()

    loop.run(main)


def test_what_comes_when_the_reader_has_just_given_up_is_received(loop: Loop) -> None:
    async def main() -> None:
        stream = Stream(memoryview(bytearray(b"x")))
        stream.wait(None).cancel()
        stream.buffer_updated(1)
        assert await received(stream) == b"x"
        stream.close()

    loop.run(main)


def test_an_alarm_that_nobody_needs_any_more(loop: Loop) -> None:
    """It rings while a read waits that has a later deadline, or none."""

    async def main() -> None:
        running = asyncio.get_running_loop()
        stream = Stream(memoryview(bytearray(b"x")))
        deadline = running.time() + 0.01
        stream.buffer_updated(1)
        assert await received(stream, deadline) == b"x"
        with pytest.raises(TimeoutError):
            await received(stream, deadline)
        for later in (0.03, None):
            soon = running.time() + 0.01
            waiting = asyncio.create_task(received(stream, soon))
            await asyncio.sleep(0)
            stream.buffer_updated(1)
            assert await waiting == b"x"
            if later is not None:
                with pytest.raises(TimeoutError):
                    await received(stream, soon + later)
        running.call_at(soon + 0.05, stream.buffer_updated, 1)
        assert await received(stream, None) == b"x"
        stream.close()

    loop.run(main)


def test_a_connection_that_is_lost_while_nobody_reads(loop: Loop) -> None:
    """What came is received; to resume reading is nothing then."""

    async def main() -> None:
        stream = Stream(memoryview(bytearray(READ_AHEAD + 1)))
        stream.connection_lost(None)
        stream.buffer_updated(READ_AHEAD + 1)
        assert len(await received(stream)) == READ_AHEAD + 1
        assert await received(stream) == b""
        stream.close()

    loop.run(main)


def test_bytes_that_come_as_the_clock_runs_out_are_received(loop: Loop) -> None:
    """In the same round of the event loop, before the alarm."""

    async def main() -> None:
        stream = Stream(memoryview(bytearray(b"x")))
        past = asyncio.get_running_loop().time() - 1
        task = asyncio.create_task(received(stream, past))
        await asyncio.sleep(0)
        stream.buffer_updated(1)
        assert await task == b"x"

    loop.run(main)


def test_a_pump_waits_as_long_as_it_is_told(loop: Loop) -> None:
    """Longer, which needs no other alarm; shorter; no more."""

    async def main() -> None:
        stream = Stream(memoryview(bytearray(b"x")))
        now = asyncio.get_running_loop().time()
        untils = iter((now + 90, now + 30, None))
        task = asyncio.create_task(stream.pump(lambda data: next(untils), now + 60))
        await asyncio.sleep(0)
        for _ in range(3):
            stream.buffer_updated(1)
        await task
        assert next(untils, "told") == "told"
        stream.close()

    loop.run(main)


ANSWER = HEAD + CHUNK + b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n"


def test_bytes_on_an_idle_connection_are_no_answer(loop: Loop) -> None:
    """Not even while the event loop is blocked, and has not read them yet."""
    asked, sent = threading.Event(), threading.Event()
    other = ANSWER.replace(b"Hi", b"No")

    async def main() -> list[str]:
        async with Client(trust_env=False) as client:
            async with client.open(hello(url)) as answer:
                first = await answer.read()
            asked.set()
            assert sent.wait(10)  # the loop does nothing meanwhile
            async with client.open(hello(url)) as answer:
                second = await answer.read()
            return [first.text, second.text]

    with peer(says(ANSWER, asked, other, sent.set), says(ANSWER)) as url:
        assert loop.run(main) == ["Hi", "Hi"]


def test_a_client_in_a_second_event_loop(loop: Loop) -> None:
    """Its connections belong to the loop that made them: it makes new ones."""
    client = Client(trust_env=False)

    async def main() -> str:
        async with client.open(hello(url)) as answer:
            return (await answer.read()).text

    def once(stream: socket.socket) -> None:
        stream.recv(65536)
        stream.sendall(ANSWER)

    with peer(once, once) as url, warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # asyncio's, of what its loop has left
        assert [loop.run(main) for _ in range(2)] == ["Hi", "Hi"]
        asyncio.run(_close(client))
        gc.collect()


async def _close(client: Client) -> None:
    client.close()


def test_a_network_knows_its_loop(loop: Loop) -> None:
    async def main() -> Network:
        network = Client.network()
        assert network.is_current()
        return network

    network = loop.run(main)
    assert not network.is_current()
