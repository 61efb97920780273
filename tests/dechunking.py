"""Reads chunked bodies, by our reader and by h11, to compare the two."""

from collections.abc import Iterable
from typing import NamedTuple

import h11

from tokenwire.protocols.errors import LimitExceeded, Malformed
from tokenwire.transports.client.chunked import ChunkedReader

__all__ = ["Dechunked", "dechunk", "dechunk_by_h11"]

_HEAD = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"


class Dechunked(NamedTuple):
    """What became of a body: `verdict` is "done", "more", or "refused"."""

    content: bytes
    verdict: str
    rest: bytes = b""
    error: str = ""


def dechunk(pieces: Iterable[bytes], limit: int = 1 << 20) -> Dechunked:
    """By our reader. `limit` is in bytes."""
    reader = ChunkedReader(limit)
    content: list[bytes] = []
    rest = b""
    for piece in pieces:
        if reader.done:
            rest += piece
            continue
        try:
            reader.feed(piece, content)
        except (Malformed, LimitExceeded) as error:
            said = f"{type(error).__name__}: {error}"
            return Dechunked(b"".join(content), "refused", error=said)
    verdict = "done" if reader.done else "more"
    return Dechunked(b"".join(content), verdict, reader.rest + rest)


def dechunk_by_h11(data: bytes) -> Dechunked:
    """By h11."""
    connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=1 << 20)
    connection.send(h11.Request(method="GET", target="/", headers=[("host", "a")]))
    connection.send(h11.EndOfMessage())
    connection.receive_data(_HEAD + data)
    content = b""
    try:
        while (event := connection.next_event()) is not h11.NEED_DATA:
            if isinstance(event, h11.Data):
                content += event.data
            elif isinstance(event, h11.EndOfMessage):
                return Dechunked(content, "done", connection.trailing_data[0])
    except h11.RemoteProtocolError:
        return Dechunked(content, "refused")
    return Dechunked(content, "more")
