"""The callers of a gateway: many connections, in one loop over `epoll`, that look at little.

They count events by their blank lines, so that they cost little beside what they measure, and take
notice of the first text of an answer. Only `text_of` reads an answer.
"""

import json
import re
import select
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

__all__ = ["Asking", "Caller", "Callers", "text_of"]

FIRST = {
    "openai": re.compile(rb'"content": ?"[^"]'),
    "anthropic": re.compile(rb'"text": ?"[^"]'),
}
"""By format, what the first text looks like."""

PATIENCE = 60.0
"""Seconds in which a gateway must have said something."""


class Asking(NamedTuple):
    """A question in format `front` to `port`."""

    front: str
    port: int
    path: str
    model: str
    headers: tuple[tuple[str, str], ...] = ()
    stream: bool = True

    @property
    def request(self) -> bytes:
        body = json.dumps(
            {
                "model": self.model,
                "max_tokens": 1000,
                "messages": [{"role": "user", "content": "What goes on and on?"}],
                "stream": self.stream,
            }
        ).encode()
        own = {
            "host": f"127.0.0.1:{self.port}",
            "content-type": "application/json",
            "content-length": str(len(body)),
            "authorization": "Bearer k",
        }
        if self.front == "anthropic":
            own |= {"x-api-key": "k", "anthropic-version": "2023-06-01"}
        lines = [f"{name}: {value}\r\n" for name, value in [*own.items(), *self.headers]]
        return f"POST {self.path} HTTP/1.1\r\n{''.join(lines)}\r\n".encode() + body


class Caller:
    """One connection, on which one question is asked after the other."""

    def __init__(self, asking: Asking) -> None:
        self.answers = 0
        self.events = 0
        self.received = bytearray()
        """The answer under way: of a stream only until its first text."""
        self.first_at = 0.0
        self.asked_at = 0.0
        self.socket = socket.create_connection(("127.0.0.1", asking.port), PATIENCE)
        self.socket.setblocking(False)
        self._request = asking.request
        self._first = FIRST[asking.front]
        self._stream = asking.stream
        self._half = False  # whether the last byte was half a blank line
        self.ask()

    def ask(self) -> None:
        self.received.clear()
        self.asked_at, self.first_at = time.perf_counter(), 0.0
        self.socket.sendall(self._request)

    def ready(self) -> None:
        data = self.socket.recv(256 * 1024)
        if not data:
            raise SystemExit(f"the gateway closed the connection after {bytes(self.received)!r}")
        if not self._stream:
            self._document(data)
            return
        self.events += data.count(b"\n\n") + (self._half and data[:1] == b"\n")
        self._half = data.endswith(b"\n") and not data.endswith(b"\n\n")
        if not self.first_at:
            self.received += data
            if self._first.search(self.received):
                self.first_at = time.perf_counter()
                self._check()

    def _document(self, data: bytes) -> None:
        self.received += data
        end = end_of(self.received)
        if end is not None and len(self.received) >= end:
            self._check()
            self.answers += 1
            self.ask()

    def _check(self) -> None:
        if not self.received.startswith(b"HTTP/1.1 200"):
            raise SystemExit(f"the gateway answered {bytes(self.received[:2000])!r}")


class Callers:
    """All callers of one gateway. Use it in a `with` statement: it closes their connections."""

    def __init__(self) -> None:
        self._all: dict[int, Caller] = {}
        self._epoll = select.epoll()

    def __enter__(self) -> "Callers":
        return self

    def __exit__(self, *_: object) -> None:
        for caller in [*self._all.values()]:
            self.leave(caller)
        self._epoll.close()

    def __iter__(self) -> Iterator[Caller]:
        return iter(self._all.values())

    def come(self, asking: Asking) -> Caller:
        caller = Caller(asking)
        self._all[caller.socket.fileno()] = caller
        self._epoll.register(caller.socket, select.EPOLLIN)
        return caller

    def leave(self, caller: Caller) -> None:
        del self._all[caller.socket.fileno()]
        caller.socket.close()

    @property
    def events(self) -> int:
        return sum(caller.events for caller in self)

    def run(self, seconds: float, until: Callable[[], bool] = lambda: False) -> None:
        """Read for so many seconds, or until something is so."""
        end = time.perf_counter() + seconds
        while not until() and (left := end - time.perf_counter()) > 0:
            for descriptor, _ in self._epoll.poll(left):
                self._all[descriptor].ready()

    def wait(self, until: Callable[[], bool]) -> None:
        """Read until something is so. Raises SystemExit if that takes too long."""
        self.run(PATIENCE, until)
        if not until():
            raise SystemExit(f"the gateway did nothing for {PATIENCE} s")


def text_of(asking: Asking) -> str:
    """The text of one answer, with its status and form checked."""
    answer = b""
    with socket.create_connection(("127.0.0.1", asking.port), PATIENCE) as sock:
        sock.sendall(asking.request)
        while (end := end_of(answer)) is None or len(answer) < end:
            data = sock.recv(65536)
            if not data:
                break
            answer += data
    head, _, body = answer.partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200"):
        raise SystemExit(f"the gateway answered {answer[:2000]!r}")
    if re.search(rb"(?i)\r\ntransfer-encoding: *chunked", head):
        body = b"".join(_dechunked(body))
    if not asking.stream:
        return _text(json.loads(body))
    lines = [line[5:].strip() for line in body.split(b"\n") if line[:5] == b"data:"]
    return "".join(_text(json.loads(line)) for line in lines if line != b"[DONE]")


def end_of(answer: bytes | bytearray) -> int | None:
    """How long an answer is; None: it has not said so yet."""
    head, blank, _ = answer.partition(b"\r\n\r\n")
    if not blank:
        return None
    length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
    if length:
        return len(head) + 4 + int(length[1])
    return len(answer) if answer.endswith(b"0\r\n\r\n") else None


def _text(said: Any) -> str:
    """The text in an event, or a document, of OpenAI's or Anthropic's."""
    match said:
        case {"choices": [{"message": {"content": str(text)}}]}:
            return text
        case {"choices": [{"delta": {"content": str(text)}}]}:
            return text
        case {"type": "content_block_delta", "delta": {"text": str(text)}}:
            return text
        case {"type": "message", "content": [{"type": "text", "text": str(text)}]}:
            return text
        case {"error": error}:
            raise SystemExit(f"the gateway said {error}")
        case _:
            return ""


def _dechunked(body: bytes) -> Iterator[bytes]:
    place = 0
    while True:
        end = body.index(b"\r\n", place)
        size = int(body[place:end].partition(b";")[0], 16)
        if not size:
            return
        yield body[end + 2 : end + 2 + size]
        place = end + 2 + size + 2
