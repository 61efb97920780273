"""The embedded server under its first name. It is `tokenwire.server`."""

from ..server.embedded import Server, serve

__all__ = ["Server", "serve"]
