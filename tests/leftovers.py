"""What must not be left behind by a client or a server: sockets, threads and tasks."""

import asyncio
import os
import socket
import threading
from collections.abc import Generator
from contextlib import contextmanager, suppress

import trio

FOLDER = "/proc/self/fd"
"""Where Linux tells what a process has open. Elsewhere a socket that nobody closed is found by the
ResourceWarning of its end, which fails a test too."""


@contextmanager
def nothing_left() -> Generator[None]:
    """Afterwards no socket is open and no thread alive that was not before."""
    before = sockets() | threads()
    yield
    left = (sockets() | threads()) - before
    assert not left, f"left behind: {left}"


def sockets() -> set[str]:
    """The sockets that this process has open."""
    return {name for name in _open().values() if name.startswith("socket:")}


def connections_to(port: int) -> int:
    """How many connections to `port` of this machine this process has open."""
    return [_peer(number) for number, name in _open().items() if name[:7] == "socket:"].count(port)


def threads() -> set[str]:
    """The threads that are alive, but for daemons: trio keeps its own for ten seconds, for the
    next call."""
    return {
        f"{thread.name} {thread.ident}" for thread in threading.enumerate() if not thread.daemon
    }


def assert_alone_on_asyncio() -> None:
    """The task that calls this is the only one of its event loop."""
    left = asyncio.all_tasks() - {asyncio.current_task()}
    assert not left, f"left behind: {left}"


def trio_tasks() -> int:
    """How many tasks live, trio's own among them."""
    return trio.lowlevel.current_statistics().tasks_living


def _open() -> dict[int, str]:
    found: dict[int, str] = {}
    for name in os.listdir(FOLDER) if os.path.isdir(FOLDER) else ():
        with suppress(OSError):  # closed meanwhile
            found[int(name)] = os.readlink(f"{FOLDER}/{name}")
    return found


def _peer(number: int) -> int | None:
    """The port that the socket `number` is connected to."""
    with suppress(OSError), socket.socket(fileno=os.dup(number)) as copy:
        if copy.family is socket.AF_INET:
            port: int = copy.getpeername()[1]
            return port
    return None
