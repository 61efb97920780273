"""The `trio` transport: what is trio's alone. See test_async_client for the rest."""

import socket

import pytest
import trio
import trio.testing

from tests.test_async_client import hello, peer, says
from tests.test_sync import CHUNK, HEAD
from tests.transports import received
from tokenwire import Text
from tokenwire.transports.trio import Client, Stream


def test_what_is_closed_breaks_and_does_not_wait() -> None:
    async def main() -> None:
        raw = socket.socket()
        stream = Stream(trio.socket.from_stdlib_socket(raw), raw)
        stream.close()
        stream.close()
        with pytest.raises(OSError, match="closed"):
            await stream.send(b"x" * 1_000_000, None)
        with pytest.raises(OSError):  # noqa: PT011  the system's words
            await stream.send(b"x", None)
        with pytest.raises(OSError):  # noqa: PT011
            await received(stream)

    trio.run(main, strict_exception_groups=True)


def test_closed_while_it_waits_to_send() -> None:
    async def close() -> None:
        await trio.testing.wait_all_tasks_blocked()
        stream.close()

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(close)
            with pytest.raises(OSError, match="closed"):
                while True:  # until the system's buffers are full
                    await stream.send(b"x" * 1000, None)

    ours, theirs = socket.socketpair()
    with theirs:
        stream = Stream(trio.socket.from_stdlib_socket(ours), ours)
        trio.run(main, strict_exception_groups=True)


def test_woken_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A system may call a socket readable that is not, so that a read would block (select(2))."""
    ours, theirs = socket.socketpair()

    async def woken(sock: object) -> None:
        await trio.lowlevel.checkpoint()

    async def main() -> None:
        with theirs:
            stream = Stream(trio.socket.from_stdlib_socket(ours), ours)
            with monkeypatch.context() as patch:
                patch.setattr(trio.lowlevel, "wait_readable", woken)
                await stream.wait(None)
            assert stream.take() is None
            theirs.send(b"x")
            assert await received(stream) == b"x"
            stream.close()

    trio.run(main, strict_exception_groups=True)


def test_the_own_scope_is_what_catches() -> None:
    async def main() -> None:
        async with Client(trust_env=False) as client, client.open(hello(url)) as answer:
            assert await anext(answer) == Text("Hi")
            with trio.move_on_after(0.05) as scope:
                await anext(answer)
            assert scope.cancelled_caught
            with pytest.raises(trio.TooSlowError), trio.fail_after(0.01):
                await anext(answer)

    with peer(says(HEAD + CHUNK)) as url:
        trio.run(main, strict_exception_groups=True)
