"""Requests by hand: what is on the wire, byte for byte."""

import json
import socket
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from tokenwire.testing import LlmServer

CHAT: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "Why?"}]}


class Got(NamedTuple):
    """A response: its head, the data as they came, and how the connection ended."""

    head: bytes
    data: bytes
    end: str

    @property
    def status(self) -> int:
        return int(self.head.split()[1])

    @property
    def body(self) -> bytes:
        """Without the framing of its chunks."""
        if b"transfer-encoding: chunked" not in self.head.lower():
            return self.data
        body, rest = b"", self.data
        while rest:
            size, _, rest = rest.partition(b"\r\n")
            body += rest[: int(size, 16)]
            rest = rest[int(size, 16) + 2 :]
        return body


def ask(
    server: LlmServer,
    body: Any = None,
    *,
    path: str = "/v1/chat/completions",
    method: str = "POST",
    headers: str = "",
    stream: bool = True,
    until: bytes = b"no such bytes",
    patience: float = 10,
) -> Got:
    """Send one request, and read what comes: up to the end of the connection, or the bytes `until`,
    or until nothing has come for `patience` seconds."""
    parts = urlsplit(server.url)
    data = b"" if method == "GET" else json.dumps(body or {**CHAT, "stream": stream}).encode()
    with socket.create_connection((parts.hostname or "", parts.port or 0), timeout=patience) as one:
        one.sendall(
            f"{method} {path} HTTP/1.1\r\nhost: {parts.netloc}\r\nconnection: close\r\n"
            "content-type: application/json\r\n"
            f"content-length: {len(data)}\r\n{headers}\r\n".encode()
            + data
        )
        received, end = b"", "closed"
        try:
            while until not in received and (more := one.recv(65536)):
                received += more
        except ConnectionResetError:
            end = "reset"
        except TimeoutError:
            end = "open"
    head, _, rest = received.partition(b"\r\n\r\n")
    return Got(head, rest, end)
