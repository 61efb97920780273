"""Which event loop runs: the choice of a transport for code that does not say."""

import sys
from typing import Literal

from ...protocols.errors import LocalProtocolError

__all__ = ["running_library"]


def running_library() -> Literal["asyncio", "trio"]:
    """The async library that runs here. Raises LocalProtocolError if none does."""
    # A library that runs is loaded; loading one to ask it would be a side effect.
    if (trio := sys.modules.get("trio")) is not None and trio.lowlevel.in_trio_task():
        return "trio"
    if (asyncio := sys.modules.get("asyncio")) is not None:
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            pass
        else:
            return "asyncio"
    raise LocalProtocolError("no event loop runs here: use ask() and stream(), which need none")
