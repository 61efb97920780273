"""The server of the socket benchmark: a process of its own, which writes bytes built in advance.

    python -m benchmarks.origin --dialect openai --events 1000 [--interval 50000] [--groups 100]

It prints one line of JSON: its ports, for plain connections and for TLS, and the file with the
authority that certified it. A POST is answered with `events` events, as fast as the socket accepts
them. With `interval`, the first event is sent at once and then one every `interval` microseconds,
by a timetable that all streams share. `groups` is the number of parts of an interval over which
streams are spread: with as many groups as streams, each has its own moment; with 1, all events of a
tick are sent together. A POST under `/warm` gets a short answer at once, one under `/whole` the
same text as one chat completion. `GET /report` returns what
the server did since the last report: CPU time, wall time, and by how much it was late at most. The
server ends when its standard input does.
"""

import argparse
import json
import resource
import select
import socket
import ssl
import sys
import time
from collections import deque
from collections.abc import Iterator
from operator import length_hint
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from .streams import DOCUMENTS, STREAMS, Stream, chunked, plain

if TYPE_CHECKING:
    import trustme

__all__ = ["WARM_EVENTS", "lift_file_limit"]

WARM_EVENTS = 200
"""How many events an answer under `/warm` has."""

BACKLOG = 4096  # a thousand clients may connect at once


def lift_file_limit() -> None:
    """Raise the limit of open sockets as far as the system allows."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


class Connection:
    """A client, which asks one question after the other."""

    def __init__(self, sock: socket.socket, origin: "Origin") -> None:
        self._socket = sock
        self._origin = origin
        self._shaking = isinstance(sock, ssl.SSLSocket)
        self._received = b""
        self._unsent = memoryview(b"")
        self.events: Iterator[bytes] = iter(())
        """The rest of a paced answer, still to be sent."""
        self.closed = False

    def ready(self, mask: int) -> None:
        """The socket is readable or writable."""
        try:
            if self._shaking:
                self._socket.do_handshake()  # type: ignore[attr-defined]
                self._shaking = False
            if mask & select.EPOLLOUT and self._unsent:
                self._flush()
            self._receive()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError, BlockingIOError):
            pass
        except OSError:  # the client left, as it may
            self.close()

    def send(self, data: bytes) -> None:
        self._unsent = memoryview(bytes(self._unsent) + data) if self._unsent else memoryview(data)
        try:
            self._flush()
        except OSError:
            self.close()

    def close(self) -> None:
        self.closed = True
        self._origin.forget(self._socket)

    def _flush(self) -> None:
        try:
            while self._unsent:
                self._unsent = self._unsent[self._socket.send(self._unsent) :]
        except (ssl.SSLWantWriteError, BlockingIOError):
            self._origin.watch(self._socket, select.EPOLLIN | select.EPOLLOUT)
        else:
            self._origin.watch(self._socket, select.EPOLLIN)

    def _receive(self) -> None:
        while data := self._socket.recv(64 * 1024):
            self._received += data
            while (request := self._request()) is not None:
                self._origin.answer(self, request)
        self.close()

    def _request(self) -> bytes | None:
        """The first line of a complete request."""
        head, separator, rest = self._received.partition(b"\r\n\r\n")
        if not separator:
            return None
        length = 0
        for line in head.lower().split(b"\r\n")[1:]:
            if line.startswith(b"content-length:"):
                length = int(line.partition(b":")[2])
        if len(rest) < length:
            return None
        self._received = rest[length:]
        return head.partition(b"\r\n")[0]


class Timetable:
    """When the next events are due: every `interval` seconds for each stream, in `groups`
    groups."""

    def __init__(self, interval: float, groups: int) -> None:
        self._slot = interval / groups
        self._groups: list[deque[Connection]] = [deque() for _ in range(groups)]
        self._joined = 0
        self._active = 0
        self._due = 0.0
        self._number = 0
        self.late = 0.0
        """By how many seconds an event was late at most."""

    def join(self, connection: Connection) -> None:
        if not self._active:
            self._due = time.monotonic() + self._slot
        self._groups[self._joined % len(self._groups)].append(connection)
        self._joined += 1
        self._active += 1

    def seconds(self) -> float | None:
        """Seconds until something is due."""
        return max(self._due - time.monotonic(), 0) if self._active else None

    def send_due(self) -> None:
        while self._active and (now := time.monotonic()) >= self._due:
            group = self._groups[self._number % len(self._groups)]
            if group:
                self.late = max(self.late, now - self._due)
            for _ in range(len(group)):
                connection = group.popleft()
                event = next(connection.events, None)
                if event is not None and not connection.closed:
                    connection.send(event)
                # At once after the last one: the client may ask again, and join again.
                if connection.closed or not length_hint(connection.events):
                    self._active -= 1
                else:
                    group.append(connection)
            self._number += 1
            self._due += self._slot


class Origin:
    """The server: one loop over all sockets."""

    def __init__(self, stream: Stream, timetable: Timetable | None, warm: Stream) -> None:
        self._timetable = timetable
        # The first event goes out with the head, and the last one with the end of the body.
        head, first, *events, last, end = chunked(stream)
        self._opening, self._events = head + first, [*events, last + end]
        self._whole = b"".join(chunked(stream))
        self._warm = b"".join(chunked(warm))
        self._document = document(stream.text)
        self._epoll = select.epoll()
        self._sockets: dict[int, socket.socket] = {}
        self._masks: dict[int, int] = {}
        self._connections: dict[int, Connection] = {}
        self._listeners: dict[int, tuple[socket.socket, ssl.SSLContext | None]] = {}
        self._reported = (time.process_time(), time.monotonic())

    def listen(self, context: ssl.SSLContext | None) -> int:
        """Open a listener and return its port."""
        listener = socket.create_server(("127.0.0.1", 0), backlog=BACKLOG)
        listener.setblocking(False)
        self._listeners[listener.fileno()] = (listener, context)
        self.watch(listener, select.EPOLLIN)
        port: int = listener.getsockname()[1]
        return port

    def run(self) -> None:
        """Serve until standard input ends."""
        self.watch(sys.stdin.fileno(), select.EPOLLIN)
        while True:
            timeout = self._timetable.seconds() if self._timetable else None
            # By select, because epoll has a resolution of milliseconds.
            if select.select([self._epoll], [], [], timeout)[0]:
                for fd, mask in self._epoll.poll(0):
                    if fd == sys.stdin.fileno():
                        return
                    if fd in self._listeners:
                        self._accept(*self._listeners[fd])
                    elif fd in self._connections:
                        self._connections[fd].ready(mask)
            if self._timetable:
                self._timetable.send_due()

    def answer(self, connection: Connection, request: bytes) -> None:
        method, path, _ = request.split(b" ", 2)
        if method == b"GET":
            body = json.dumps(self._report()).encode()
            connection.send(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
        elif path.startswith(b"/warm"):
            connection.send(self._warm)
        elif path.startswith(b"/whole"):
            connection.send(self._document)
        elif self._timetable is None:
            connection.send(self._whole)
        else:
            connection.send(self._opening)
            connection.events = iter(self._events)
            self._timetable.join(connection)

    def watch(self, sock: socket.socket | int, mask: int) -> None:
        fd = sock if isinstance(sock, int) else sock.fileno()
        if fd not in self._masks:
            self._epoll.register(fd, mask)
        elif self._masks[fd] != mask:
            self._epoll.modify(fd, mask)
        self._masks[fd] = mask

    def forget(self, sock: socket.socket) -> None:
        fd = sock.fileno()
        if fd >= 0:
            self._connections.pop(fd, None)
            self._masks.pop(fd, None)
            sock.close()

    def _accept(self, listener: socket.socket, context: ssl.SSLContext | None) -> None:
        while True:
            try:
                sock, _ = listener.accept()
            except BlockingIOError:
                return
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if context is not None:
                sock = context.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
            self._connections[sock.fileno()] = Connection(sock, self)
            self.watch(sock, select.EPOLLIN)

    def _report(self) -> dict[str, Any]:
        cpu, wall = time.process_time(), time.monotonic()
        past_cpu, past_wall = self._reported
        late = 0.0
        self._reported = cpu, wall
        if self._timetable:
            late, self._timetable.late = self._timetable.late, 0.0
        return {"cpu_s": cpu - past_cpu, "wall_s": wall - past_wall, "late_ms": late * 1000}


def document(text: str) -> bytes:
    """A response with `text` as one chat completion, as OpenAI writes them."""
    message: dict[str, Any] = {
        "role": "assistant",
        "content": text,
        "refusal": None,
        "annotations": [],
    }
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
    usage = {"prompt_tokens": 9, "completion_tokens": 20, "total_tokens": 29}
    completion = {
        "id": "chatcmpl-BdGV4aVFcvXbT6kZ7k1lH2mD3q9wz",
        "object": "chat.completion",
        "created": 1748000000,
        "model": "gpt-4o-mini-2024-07-18",
        "choices": [choice],
        "usage": usage,
    }
    body = json.dumps(completion).encode()
    head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n"
    return head.format(len(body)).encode() + body


def certified(authority: "trustme.CA") -> ssl.SSLContext:
    """The TLS context of a server that `authority` certifies."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.tempfile() as path:
        context.load_cert_chain(path)
    return context


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--dialect", choices=STREAMS, default="openai")
    parser.add_argument("--events", type=int, default=1000)
    parser.add_argument("--interval", type=float, default=0, help="microseconds")
    parser.add_argument("--groups", type=int, default=1)
    parser.add_argument("--document", action="store_true", help="a whole answer, of so many words")
    parser.add_argument("--plain", action="store_true", help="without U+2028")
    arguments = parser.parse_args()
    lift_file_limit()
    make = (DOCUMENTS if arguments.document else STREAMS)[arguments.dialect]
    interval = arguments.interval / 1e6
    timetable = Timetable(interval, arguments.groups) if interval else None
    stream, warm = make(arguments.events), make(WARM_EVENTS)
    if arguments.plain:
        stream, warm = plain(stream), plain(warm)
    origin = Origin(stream, timetable, warm)
    import trustme  # here, because the clients import this module, too

    authority = trustme.CA()
    with TemporaryDirectory() as directory:
        path = Path(directory, "authority.pem")
        authority.cert_pem.write_to_path(path)
        ports = {"port": origin.listen(None), "tls_port": origin.listen(certified(authority))}
        print(json.dumps(ports | {"authority": str(path)}), flush=True)
        origin.run()


if __name__ == "__main__":
    main()
