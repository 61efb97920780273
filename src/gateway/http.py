"""How the gateway's own server takes requests: uvicorn, with bounds that it does not have.

Uvicorn waits forever for the head of a request, however large it gets, and for a caller to take
the rest of what a closed connection has still to send; so anyone could hold memory and connections.
The bounds of bodies are up to the application.
"""

import asyncio
import sys
from typing import Any

from httptools import HttpParserUpgrade, HttpRequestParser
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

__all__ = ["HttpProtocol"]

HEAD_BYTES = 64 * 1024
"""The most bytes of a head. Those of agents have up to 2 KiB."""

HEAD_SECONDS = 10.0
"""For a head to arrive, from the connection on or from its first byte."""

REST_SECONDS = 5.0
"""For the rest of a body that was answered before its end, as too large: to close at once could
reset the connection before the caller has read the answer (RFC 9112 section 9.6)."""

LAST_SECONDS = 30.0
"""For a caller to take what a connection that is being closed has still to send."""


_BODY = (b"content-length", b"transfer-encoding")


class HttpProtocol(HttpToolsProtocol):
    """One connection."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._in_head = True  # or before one
        self._size: int = 0  # bytes of the head so far
        self._piece = b""  # what the parser reads
        self._again = b""  # what it is to read next
        self._timer: asyncio.TimerHandle | None = None
        self._closing_since: float | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._wait(HEAD_SECONDS)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        while data and not self.transport.is_closing():
            room = len(data)
            if self._in_head:
                # Never more than a head may have, so that it does not matter how one arrives. Of
                # one that follows another request at once the first read is not counted.
                room = HEAD_BYTES - self._size
                if not room:
                    self._refuse(b"431 Request Header Fields Too Large")
                    return
                self._size += min(room, len(data))
                if self._timer is None and not self._answering:
                    self._wait(HEAD_SECONDS)
            self._piece, data = data[:room], data[room:]
            super().data_received(self._piece)
            data, self._again = self._again + data, b""

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._stop_waiting()
        if not self._skips_body:
            super().on_headers_complete()

    def on_message_complete(self) -> None:
        if not self._skips_body:
            super().on_message_complete()
        self._in_head, self._size = True, 0
        self._stop_waiting()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if not self._in_head:
            self._wait(REST_SECONDS)
        elif self._size and not self._answering:  # a head that began amid the answer
            self._wait(HEAD_SECONDS)

    def look(self, now: float) -> None:
        """Break the connection off if it has been closing for too long. `now`: seconds of any clock
        that only goes forward."""
        if not self.transport.is_closing():
            return
        if self._closing_since is None:
            self._closing_since = now
        elif now - self._closing_since >= LAST_SECONDS:
            self.transport.abort()

    @property
    def _skips_body(self) -> bool:
        """Whether the parser takes the body of the request for another protocol (`upgrade`)."""
        asks = self.parser.should_upgrade() and self._get_upgrade() is not None
        return asks and any(name in _BODY for name, _ in self.headers)

    def _unsupported_upgrade_warning(self) -> None:
        """The request asks to go on in another protocol, as Java's HttpClient does (h2c), and is
        answered in this one (RFC 9110 section 7.8). If it has a body, its head is read once more,
        without that. Uvicorn calls this while it handles the parser's exception."""
        upgrade = sys.exc_info()[1]
        assert isinstance(upgrade, HttpParserUpgrade)
        head = b""
        if self._skips_body:
            version = self.parser.get_http_version().encode()
            head = b"%b %b HTTP/%b\r\n" % (self.parser.get_method(), self.url, version)
            # The old one may be at its end (`connection: close, upgrade`). Set as uvicorn's is.
            self.parser = HttpRequestParser(self)
            self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
            kept = [pair for pair in self.headers if pair[0] != b"upgrade"]
            head += b"".join(b"%b:%b\r\n" % pair for pair in kept) + b"\r\n"
        self._again = head + self._piece[upgrade.args[0] :]

    @property
    def _answering(self) -> bool:
        return bool(self.cycle) and not self.cycle.response_complete  # None before the first

    def _wait(self, seconds: float) -> None:
        self._stop_waiting()
        self._timer = self.loop.call_later(seconds, self._too_late)

    def _stop_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _too_late(self) -> None:
        if self._in_head and self._size:
            self._refuse(b"408 Request Timeout")
        else:
            self.transport.close()

    def _refuse(self, status: bytes) -> None:
        """Close the connection, and say why if no other answer is under way."""
        if not self._answering:
            head = b"HTTP/1.1 %b\r\ncontent-length: 0\r\nconnection: close\r\n\r\n" % status
            self.transport.write(head)
        self.transport.close()
