"""What a caller sends: the body of its request, and at some time that it has left."""

from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import suppress
from typing import Any, TypeAlias

import anyio

from ..protocols.errors import BadRequest, Overloaded, RemoteProtocolError
from ..protocols.refusing import refuse

__all__ = ["CallerGone", "Inbox", "Receive"]

Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
"""ASGI's."""

BODY_SECONDS = 60.0
"""For the next piece of a body to arrive."""


class CallerGone(Exception):
    """The caller has left."""


class Inbox:
    """Reads what one caller sends, of which the body has at most `limit` bytes; one that is to have
    more, by its `length`, is not read. Reading may be cancelled and go on. `gone`: whether the
    caller has left."""

    def __init__(self, receive: Receive, limit: int, length: str | None = None) -> None:
        self.gone = False
        self._receive = receive
        self._limit = limit
        self._size = 0
        self._pieces: list[bytes] = []
        self._whole = False
        self._refusal: RemoteProtocolError | None = None
        if length is not None and length.isdecimal() and int(length[:20]) > limit:
            self._refusal = _too_large()

    async def body(self) -> bytes:
        """The body. Raises BadRequest (413), Overloaded (408) if nothing more of it arrives, and
        CallerGone."""
        with anyio.move_on_after(BODY_SECONDS) as patience:
            while not self._whole and self._refusal is None and not self.gone:
                await self._next()
                patience.deadline = anyio.current_time() + BODY_SECONDS
        self.check()
        if not self._whole:
            self._refusal = refuse(Overloaded, 408, "the rest of the request did not arrive")
            raise self._refusal
        return b"".join(self._pieces)

    async def until_gone(self) -> None:
        """Return once the caller has left, or has sent what is refused. The body is read, too."""
        with suppress(RemoteProtocolError, CallerGone):
            await self.body()
            while not self.gone:
                await self._next()

    def check(self) -> None:
        """Raises what `body` has raised already, and CallerGone."""
        if self._refusal is not None:
            raise self._refusal
        if self.gone:
            raise CallerGone

    async def _next(self) -> None:
        message = await self._receive()
        if message["type"] == "http.disconnect":
            self.gone = True
        elif not self._whole:
            piece = message.get("body", b"")
            self._size += len(piece)
            if self._size > self._limit:
                self._pieces.clear()
                self._refusal = _too_large()
                return
            self._pieces.append(piece)
            self._whole = not message.get("more_body")


def _too_large() -> BadRequest:
    return refuse(BadRequest, 413, "the request body is too large")
