"""The embedded server: `serve` imitates any provider on this machine, to test clients against.

It needs anyio: `pip install tokenwire[server]`.
"""

from .embedded import Server, serve

__all__ = ["Server", "serve"]
