"""The embedded server: `serve` imitates any provider on this machine, to test clients against.

It needs anyio: `pip install tokenwire[server]`. `tokenwire.server.faults` does not.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .embedded import Server, serve

__all__ = ["Server", "serve"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from . import embedded

    return getattr(embedded, name)
