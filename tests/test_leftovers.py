"""What is left behind is seen: a check that can't fail would prove nothing."""

import asyncio
import socket
import sys
import threading

import pytest
import trio

from tests.every_transport import LOOPS
from tests.leftovers import connections_to, nothing_left

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells what is open")


@on_linux
def test_a_socket_is_seen() -> None:
    left: list[socket.socket] = []
    with pytest.raises(AssertionError, match="socket:"), nothing_left():
        left.append(socket.socket())
    left.pop().close()


@on_linux
def test_a_connection_is_seen() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        assert connections_to(port) == 0
        with socket.create_connection(("127.0.0.1", port)):
            assert connections_to(port) == 1
        assert connections_to(port) == 0


def test_a_thread_is_seen() -> None:
    over = threading.Event()
    thread = threading.Thread(target=over.wait, name="left")
    with pytest.raises(AssertionError, match="left"), nothing_left():
        thread.start()
    over.set()
    thread.join()


def test_what_was_there_before_is_none_of_ours() -> None:
    with socket.socket(), nothing_left(), socket.socket():
        pass


@pytest.mark.parametrize("name", LOOPS)
def test_a_task_is_seen(name: str) -> None:
    loop, _ = LOOPS[name]

    async def leave_a_task() -> None:
        if "trio" in name:
            trio.lowlevel.spawn_system_task(trio.sleep_forever)
        else:
            tasks.append(asyncio.create_task(asyncio.sleep(60)))

    async def leave_none() -> None:
        pass

    tasks: list[asyncio.Task[None]] = []
    loop(leave_none)
    with pytest.raises(AssertionError):
        loop(leave_a_task)
