"""The terminal, as rich writes on it."""

import os
from typing import Any

from rich.console import Console

__all__ = ["open_console"]


def open_console(**options: Any) -> Console:
    """A console with these options. To rich a width of 0 in `COLUMNS` is a width, at which nothing
    is shown; to others it says nothing (`shutil.get_terminal_size`)."""
    environ = {
        name: value
        for name, value in os.environ.items()
        if name not in ("COLUMNS", "LINES") or value.strip("0")
    }
    return Console(_environ=environ, **options)
