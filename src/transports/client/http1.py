"""HTTP/1.1 as a client (RFC 9112), I/O-free: one request and its response at a time.

h11 writes requests and reads heads; bodies are decoded by `ChunkedReader` or `PlainReader`.
"""

from typing import Literal

import h11

from ...protocols.errors import (
    LimitExceeded,
    LocalProtocolError,
    Malformed,
    RemoteProtocolError,
)
from ...protocols.events import Event
from ...protocols.exchange import Exchange
from ...protocols.toolkit.http import Request, get_header
from .chunked import ChunkedReader

__all__ = ["HTTP1", "PROXY_AUTHORIZATION", "HeadReader", "body_reader"]

PROXY_AUTHORIZATION = b"Proxy-Authorization"
"""Spelled like this, as pproxy 2.7 takes no other spelling for it: it would refuse the request, and
pass the password on to the server."""


class HTTP1:
    """Feeds an exchange with the response to one request. Make another one for the next request.

    As long as the exchange `has_more` to decode, `go_on` comes before anything else: only then it
    is told how the response ended.

    Attributes: `begun`, whether any of the response was received; `complete`, whether all of it
    was; `reusable`, whether the connection can then take another request.
    """

    __slots__ = (
        "_bodiless",
        "_body",
        "_end",
        "_h11",
        "_head",
        "_limit",
        "begun",
        "complete",
        "reusable",
    )

    def __init__(self, head_limit: int) -> None:
        self._limit = head_limit
        # None once the head is complete: the rest of the stream does not need h11.
        self._h11: h11.Connection | None = h11.Connection(
            h11.CLIENT, max_incomplete_event_size=2**31
        )
        self._head: HeadReader | None = HeadReader(self._h11, head_limit)
        self._bodiless = False  # the response has no body, whatever its head says
        self._body: ChunkedReader | PlainReader = PlainReader(None)
        self._end: Literal["eof", "close", "disconnect"] | RemoteProtocolError | None = None
        self.begun = False
        self.complete = False
        self.reusable = False

    def start(self, request: Request, *, through_proxy: str | None = None) -> bytes:
        """The bytes of `request`. `through_proxy`: the Proxy-Authorization (or an empty string) if
        it goes to a proxy, which needs the whole URL. Raises LocalProtocolError."""
        assert self._h11 is not None
        self._bodiless = request.method == "HEAD"
        headers = list(request.headers)
        for name in (b"content-length", b"transfer-encoding"):
            if get_header(headers, name) is not None:
                raise LocalProtocolError(f"header {name.decode()}: leave it out, tokenwire sets it")
        if get_header(headers, b"host") is None:
            headers.insert(0, (b"host", request.origin.authority.encode()))
        if request.body or request.method == "POST":
            headers.append((b"content-length", b"%d" % len(request.body)))
        if through_proxy:
            headers.append((PROXY_AUTHORIZATION, through_proxy.encode()))
        target = request.target if through_proxy is None else request.url
        try:
            parts = (
                h11.Request(method=request.method, target=target, headers=headers),
                h11.Data(data=request.body),
                h11.EndOfMessage(),
            )
            return b"".join(self._h11.send(part) or b"" for part in parts)
        except (h11.LocalProtocolError, UnicodeEncodeError):
            # The message of h11 quotes the wrong value, which may be a key.
            raise LocalProtocolError(
                f"the {request.method} request can't be written: use make_headers and check_url"
            ) from None

    def receive(self, data: bytes, exchange: Exchange, events: list[Event]) -> None:
        """Bytes from the server. Raises Malformed and LimitExceeded; the events before the error
        are in `events`."""
        if self.complete:
            self.reusable = False  # bytes after the response
            return
        if self._head is not None:
            self.begun = True
            found = self._head.feed(data)
            if found is None:
                return
            response, data = found
            self._choose_framing(response)
            self._h11 = self._head = None
            exchange.receive_response(response.status_code, list(response.headers))
        body = self._body
        content: list[bytes] = []
        try:
            body.feed(data, content)
        except RemoteProtocolError as error:
            self._end = error
        if body.done:
            self.complete = True
            if body.rest or body.suspect:
                self.reusable = False
            self._end = "eof"
        if content:
            plain = content[0] if len(content) == 1 else b"".join(content)
            events += exchange.receive_batch(plain)
        if self._end is not None:
            self._tell_end(exchange, events)

    def go_on(self, exchange: Exchange, events: list[Event]) -> None:
        """Decode more of the body that was received before. Raises as `receive` does."""
        events += exchange.receive_batch()
        self._tell_end(exchange, events)

    def eof(self, clean: bool, exchange: Exchange, events: list[Event]) -> None:
        """The connection was closed; `clean` if the peer said so (by TCP, and by TLS if it is
        used)."""
        self.reusable = False
        if self.complete or self._head is not None:
            return
        self.complete = True
        self._end = "close" if clean and self._body.ends_with_connection else "disconnect"
        self._tell_end(exchange, events)

    def _tell_end(self, exchange: Exchange, events: list[Event]) -> None:
        """Tell the exchange how the response ended, unless it has not decoded all of it."""
        if exchange.has_more:
            return
        match self._end:
            case None:
                pass
            case "eof":
                events += exchange.receive_eof(framed=True)
            case "close":
                events += exchange.receive_eof(framed=False)
            case "disconnect":
                events += exchange.receive_disconnect()
            case error:
                raise error

    def _choose_framing(self, response: h11.Response) -> None:
        """How the body ends. h11 knows whether either side has said that the connection closes."""
        self._body = PlainReader(0) if self._bodiless else body_reader(response, self._limit)
        both = {name for name, _ in response.headers} >= {b"content-length", b"transfer-encoding"}
        self.reusable = (
            response.http_version == b"1.1"
            and self._h11 is not None
            and self._h11.our_state is h11.DONE
            and not self._body.ends_with_connection
            # Both lengths are a sign of response splitting: trust nothing after it.
            and not both
        )


def body_reader(response: h11.Response, limit: int) -> "ChunkedReader | PlainReader":
    """What reads the body of `response`, by RFC 9112 section 6.3. h11 has refused contradictory
    lengths. `limit`: bytes of a chunk's size line."""
    headers = list(response.headers)
    length = get_header(headers, b"content-length")
    if response.status_code in (204, 304):
        return PlainReader(0)
    if get_header(headers, b"transfer-encoding") is not None:
        return ChunkedReader(limit)
    return PlainReader(None if length is None else int(length))


class PlainReader:
    """A body of `length` bytes; None: it ends with the connection. Used like `ChunkedReader`."""

    __slots__ = ("_left", "done", "ends_with_connection", "rest")

    suspect = False

    def __init__(self, length: int | None) -> None:
        self.done = False
        self.rest = b""
        self.ends_with_connection = length is None
        self._left = length

    def feed(self, data: bytes, content: list[bytes]) -> None:
        """Append the part of `data` that belongs to the body to `content`."""
        if self._left is not None:
            data, self.rest = data[: self._left], data[self._left :]
            self._left -= len(data)
            self.done = not self._left
        if data:
            content.append(data)


class HeadReader:
    """Reads the head of a response with h11. By itself h11 would measure incomplete heads only, so
    its limit, and the data in its errors, would depend on how the bytes are split."""

    def __init__(self, connection: h11.Connection, limit: int) -> None:
        self._h11 = connection
        self._limit = limit
        self._size = 0
        self._read = bytearray()  # from the start of the head, without interim responses

    def feed(self, data: bytes) -> tuple[h11.Response, bytes] | None:
        """The response, and what follows its head in `data`; None until it is complete. Raises
        Malformed, LimitExceeded."""
        taken = data[: self._limit - self._size]
        if taken:
            self._size += len(taken)
            self._read += taken
            self._h11.receive_data(taken)
            event = self._next()
            if isinstance(event, h11.Response):
                return event, self._rest + data[len(taken) :]
        if len(taken) < len(data):
            raise LimitExceeded(f"a response head of more than {self._limit} bytes")
        return None

    def _next(self) -> object:
        try:
            while isinstance(event := self._h11.next_event(), h11.InformationalResponse):
                self._read = bytearray(self._rest)
        except h11.RemoteProtocolError:
            # h11 reports a control character at the start at once, all else after the head.
            size = 1 if self._read[0] < 0x21 else len(self._read) - len(self._rest)
            raise Malformed(
                "what the server sent is not HTTP/1.1", data=bytes(self._read[:size])
            ) from None
        return event

    @property
    def _rest(self) -> bytes:
        return self._h11.trailing_data[0]
