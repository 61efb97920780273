"""A bare ASGI relay: the least that a gateway in Python can do, at its best.

    TARGETS='{"name": 8080}' uvicorn benchmarks.relay:app
    TARGETS='{"name": 8080}' uvicorn benchmarks.relay:pushed

A POST under `/name` goes to that port of this machine, and the answer comes back as it is. Nothing
is checked, decoded or counted, and a caller that leaves is not noticed. Upstream it is asyncio's
protocols and httptools' parser, with a pool of idle connections. `pushed` sends each piece from
within the wake-up that received it, without a task switch, and whether the caller takes it or not.
"""

import asyncio
import json
import os
from collections import deque
from typing import Any

import httptools

__all__ = ["app", "pushed"]

TARGETS: dict[str, int] = json.loads(os.environ.get("TARGETS", "{}"))


class Upstream(asyncio.Protocol):
    """A connection to a target."""

    def __init__(self) -> None:
        self.status = 0
        self.content_type = b""
        self.over = False
        self.push: Any = None
        self._pieces: list[bytes] = []
        self._waiter: asyncio.Future[None] | None = None
        self._transport: Any = None
        self._parser: Any = None

    def ask(self, path: bytes, body: bytes) -> None:
        self.status, self.over = 0, False
        self._parser = httptools.HttpResponseParser(self)
        head = b"POST %b HTTP/1.1\r\nhost: target\r\ncontent-type: application/json\r\n" % path
        self._transport.write(head + b"content-length: %d\r\n\r\n%b" % (len(body), body))

    async def next(self) -> bytes:
        """What came since the last time."""
        while not self._pieces and not self.over:
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        piece = b"".join(self._pieces)
        self._pieces.clear()
        return piece

    # What asyncio and httptools call.

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)
        if self.push is not None and not self.over:
            piece = b"".join(self._pieces)
            self._pieces.clear()
            try:
                self.push({"type": "http.response.body", "body": piece, "more_body": True}).send(
                    None
                )
            except StopIteration:
                return
            raise RuntimeError("the caller takes nothing")
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        self.over = True
        self._wake()

    def on_header(self, name: bytes, value: bytes) -> None:
        if name.lower() == b"content-type":
            self.content_type = value

    def on_headers_complete(self) -> None:
        self.status = self._parser.get_status_code()

    def on_body(self, body: bytes) -> None:
        self._pieces.append(body)

    def on_message_complete(self) -> None:
        self.over = True

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)


idle: dict[int, deque[Upstream]] = {port: deque() for port in TARGETS.values()}


async def app(scope: Any, receive: Any, send: Any) -> None:
    upstream, port, piece = await begin(scope, receive, send)
    while not upstream.over:
        await send({"type": "http.response.body", "body": piece, "more_body": True})
        piece = await upstream.next()
    await send({"type": "http.response.body", "body": piece, "more_body": False})
    idle[port].append(upstream)


async def pushed(scope: Any, receive: Any, send: Any) -> None:
    upstream, port, piece = await begin(scope, receive, send)
    if not upstream.over:
        await send({"type": "http.response.body", "body": piece, "more_body": True})
        upstream.push = send
        piece = await upstream.next()
        upstream.push = None
    await send({"type": "http.response.body", "body": piece, "more_body": False})
    idle[port].append(upstream)


async def begin(scope: Any, receive: Any, send: Any) -> tuple[Upstream, int, bytes]:
    """The target's connection, its port, and what it answers first; the head was sent."""
    _, name, path = scope["raw_path"].split(b"/", 2)
    port = TARGETS[name.decode()]
    message = await receive()
    body = message["body"]
    while message["more_body"]:
        message = await receive()
        body += message["body"]
    if idle[port]:
        upstream = idle[port].pop()
    else:
        loop = asyncio.get_running_loop()
        _, upstream = await loop.create_connection(Upstream, "127.0.0.1", port)
    upstream.ask(b"/" + path, body)
    piece = await upstream.next()
    headers = [(b"content-type", upstream.content_type)]
    await send({"type": "http.response.start", "status": upstream.status, "headers": headers})
    return upstream, port, piece
