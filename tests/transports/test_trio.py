"""The `trio` transport: what is trio's alone. See test_async_client for the rest."""

import math
import socket
from collections.abc import Awaitable, Callable

import pytest
import trio
import trio.testing

from tests.every_transport import received
from tests.leftovers import trio_tasks
from tests.transports.client.test_async_client import hello, peer, says
from tests.transports.test_sync import CHUNK, HEAD
from tests.waiting import WAIT, when_all_wait
from tokenwire import Clocks, Event, Text
from tokenwire.transports.trio import Alarms, Client, Network, Stream


def test_a_client_has_the_clock_of_the_run_that_it_is_used_in() -> None:
    """Each run's begins at a random time."""
    client = Client(trust_env=False, clocks=Clocks(connect=5, first_event=5))

    async def main() -> Event:
        async with client.open(hello(url)) as answer:
            return await anext(answer)

    with peer(*[says(HEAD + CHUNK)] * 4) as url:
        assert [trio.run(main) for _ in range(4)] == [Text("Hi")] * 4
    client.close()


def test_what_is_closed_breaks_and_does_not_wait() -> None:
    async def main() -> None:
        raw = socket.socket()
        stream = Stream(trio.socket.from_stdlib_socket(raw), raw, Alarms())
        stream.close()
        stream.close()
        with pytest.raises(OSError, match="closed"):
            await stream.send(b"x" * 1_000_000, None)
        with pytest.raises(OSError):  # noqa: PT011  the system's words
            await stream.send(b"x", None)
        with pytest.raises(OSError):  # noqa: PT011
            await received(stream)

    trio.run(main, strict_exception_groups=True)


async def fill(stream: Stream) -> None:
    while True:  # until the system's buffers are full
        await stream.send(b"x" * 1000, None)


def test_closed_while_it_waits_to_send() -> None:
    async def close() -> None:
        await trio.testing.wait_all_tasks_blocked()
        stream.close()

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(close)
            with pytest.raises(OSError, match="closed"):
                await fill(stream)

    ours, theirs = socket.socketpair()
    with theirs:
        stream = Stream(trio.socket.from_stdlib_socket(ours), ours, Alarms())
        trio.run(main, strict_exception_groups=True)


def test_woken_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A system may call a socket readable that is not, so that a read would block (select(2))."""
    ours, theirs = socket.socketpair()

    async def woken(sock: object) -> None:
        await trio.lowlevel.checkpoint()

    async def main() -> None:
        with theirs:
            stream = Stream(trio.socket.from_stdlib_socket(ours), ours, Alarms())
            with monkeypatch.context() as patch:
                patch.setattr(trio.lowlevel, "wait_readable", woken)
                await stream.wait(None)
            assert stream.take() is None
            theirs.send(b"x")
            assert await received(stream) == b"x"
            stream.close()

    trio.run(main, strict_exception_groups=True)


def waits(main: Callable[[Stream, socket.socket], Awaitable[None]]) -> None:
    """Run `main` with a stream and its peer, by a clock that jumps when all wait. In the end no
    task is left."""

    async def run() -> None:
        before = trio_tasks()
        ours, theirs = socket.socketpair()
        with theirs:
            stream = Stream(trio.socket.from_stdlib_socket(ours), ours, Alarms())
            await main(stream, theirs)
            stream.close()
        await trio.testing.wait_all_tasks_blocked()
        assert trio_tasks() == before

    clock = trio.testing.MockClock(autojump_threshold=0)
    trio.run(run, clock=clock, strict_exception_groups=True)


@pytest.mark.parametrize("second", [8, 10, 50])
def test_the_deadline_of_each_read_holds(second: float) -> None:
    """Before, at and behind that of the read before."""

    async def main(stream: Stream, peer: socket.socket) -> None:
        start = trio.current_time()
        peer.send(b"x")
        assert await received(stream, start + 10) == b"x"
        with pytest.raises(TimeoutError):
            await received(stream, start + second)
        assert trio.current_time() == start + second
        peer.send(b"y")
        assert await received(stream, None) == b"y"

    waits(main)


def test_a_deadline_that_passes_while_nobody_reads() -> None:
    async def main(stream: Stream, peer: socket.socket) -> None:
        start = trio.current_time()
        peer.send(b"x")
        assert await received(stream, start + 10) == b"x"
        await trio.sleep(20)
        with pytest.raises(TimeoutError):
            await received(stream, start + 30)
        assert trio.current_time() == start + 30

    waits(main)


def test_a_deadline_that_has_passed() -> None:
    async def main(stream: Stream, peer: socket.socket) -> None:
        with pytest.raises(TimeoutError):
            await received(stream, trio.current_time() - 1)

    waits(main)


def test_an_alarm_that_nobody_needs_any_more() -> None:
    """It rings while a read waits that has no deadline; then no alarm is left, and no task."""

    async def main(stream: Stream, peer: socket.socket) -> None:
        tasks = trio_tasks()
        peer.send(b"x")
        assert await received(stream, trio.current_time() + 10) == b"x"
        assert trio_tasks() == tasks + 1

        async def send_later() -> None:
            await trio.sleep(20)
            assert trio_tasks() == tasks + 1  # this one
            peer.send(b"y")

        async with trio.open_nursery() as nursery:
            nursery.start_soon(send_later)
            assert await received(stream, None) == b"y"

    waits(main)


def test_an_event_loop_takes_its_alarms_with_it() -> None:
    alarms = Alarms()

    async def first() -> None:
        ours, theirs = socket.socketpair()
        with theirs, ours:
            stream = Stream(trio.socket.from_stdlib_socket(ours), ours, alarms)
            theirs.send(b"x")
            assert await received(stream, trio.current_time() + 10) == b"x"

    async def second() -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            stream = Stream(trio.socket.from_stdlib_socket(ours), ours, alarms)
            with pytest.raises(TimeoutError):
                await received(stream, trio.current_time() + 10)
            stream.close()

    trio.run(first)
    assert len(alarms) == 0
    trio.run(second, clock=trio.testing.MockClock(autojump_threshold=0))


def test_alarms_that_are_set_again_and_again_take_no_more_memory() -> None:
    async def main(stream: Stream, peer: socket.socket) -> None:
        alarms = Alarms()
        raw = socket.socket()
        other = Stream(trio.socket.from_stdlib_socket(raw), raw, alarms)
        start = trio.current_time()
        alarms.set(other, start + 20)
        for number in range(1000):
            alarms.set(stream, start + 1000 - number / 10)
        assert len(alarms) <= 105
        await trio.sleep(30)
        assert (other.alarm_at, stream.alarm_at) == (math.inf, start + 1000 - 99.9)
        alarms.forget(stream)
        other.close()

    waits(main)


def test_the_own_scope_is_what_catches() -> None:
    async def main() -> None:
        async with Client(trust_env=False) as client, client.open(hello(url)) as answer:
            assert await anext(answer) == Text("Hi")
            async with trio.open_nursery() as nursery:
                with trio.move_on_after(WAIT) as scope:
                    nursery.start_soon(when_all_wait, scope.cancel)
                    await anext(answer)
                assert scope.cancelled_caught
                with pytest.raises(trio.TooSlowError), trio.fail_after(WAIT) as limit:  # noqa: PT012
                    nursery.start_soon(when_all_wait, lambda: setattr(limit, "deadline", -math.inf))
                    await anext(answer)

    with peer(says(HEAD + CHUNK)) as url:
        trio.run(main, strict_exception_groups=True)


def test_a_network_knows_its_run() -> None:
    async def main() -> Network:
        network = Client.network()
        assert network.is_current()
        raw = socket.socket()
        stream = Stream(trio.socket.from_stdlib_socket(raw), raw, Alarms())
        stream.abandon()  # the parent of a forked process goes on with it
        stream.close()
        return network

    assert not trio.run(main).is_current()
