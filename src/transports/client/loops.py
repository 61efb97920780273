"""Which event loop is running, for code that does not choose a transport."""

import sys
from typing import Literal

from ...protocols.errors import LocalProtocolError

__all__ = ["running_library"]


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
