"""Which event loop is running, for code that does not choose a transport."""

import sys
from collections.abc import Callable
from typing import Any, Literal, TypeAlias

from ...protocols.errors import LocalProtocolError

__all__ = ["Soon", "clock", "running_library", "soon"]

Soon: TypeAlias = Callable[[Callable[[], object]], Any]
"""Has something called in an event loop, from any thread. RuntimeError: the loop has ended."""


def running_library() -> Literal["asyncio", "trio"]:
    """The async library that is running here. Raises LocalProtocolError if none is."""
    # A library that is running is loaded. Loading one to ask would be a side effect.
    if (trio := sys.modules.get("trio")) is not None and trio.lowlevel.in_trio_task():
        return "trio"
    if (asyncio := sys.modules.get("asyncio")) is not None:
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            pass
        else:
            return "asyncio"
    raise LocalProtocolError("no event loop is running: use ask() and stream(), which need none")


def clock() -> Callable[[], float]:
    """The clock of the event loop that is running here. Raises LocalProtocolError if none is."""
    if running_library() == "trio":
        import trio

        return trio.current_time
    import asyncio

    return asyncio.get_running_loop().time


def soon() -> Soon:
    """The `Soon` of the event loop that is running here. Raises LocalProtocolError if none is."""
    if running_library() == "trio":
        import trio

        return trio.lowlevel.current_trio_token().run_sync_soon
    import asyncio

    return asyncio.get_running_loop().call_soon_threadsafe
