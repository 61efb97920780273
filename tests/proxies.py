"""A small HTTP proxy on loopback, with real sockets: CONNECT, and absolute-form requests."""

import socket
import threading
from contextlib import suppress
from types import TracebackType


class TestProxy:
    """Forwards to the hosts that `hosts` names, wherever they really are; notes what was asked.

    `authorization`: what it wants as Proxy-Authorization; else it refuses with 407.
    """

    __test__ = False

    def __init__(self, hosts: dict[str, int], *, authorization: str = "") -> None:
        self.requests: list[str] = []
        self._hosts = hosts
        self._authorization = authorization
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(30)
        self._streams: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self.port = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> "TestProxy":
        self._spawn(self._accept)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for stream in (self._listener, *self._streams):
            with suppress(OSError):
                stream.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        for stream in (self._listener, *self._streams):
            stream.close()

    def _spawn(self, work: object, *arguments: object) -> None:
        assert callable(work)
        thread = threading.Thread(target=work, args=arguments)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                stream = self._listener.accept()[0]
                self._streams.append(stream)
                self._spawn(self._serve, stream)

    def _serve(self, client: socket.socket) -> None:
        head = b""
        with suppress(OSError):
            while b"\r\n\r\n" not in head:
                data = client.recv(65536)
                if not data:
                    return
                head += data
            line, _, rest = head.partition(b"\r\n")
            method, target, _ = line.decode().split(" ")
            self.requests.append(f"{method} {target}")
            wanted = f"proxy-authorization: {self._authorization}".encode()
            if self._authorization and wanted not in head.lower().replace(wanted.lower(), wanted):
                client.sendall(b"HTTP/1.1 407 Who are you\r\ncontent-length: 0\r\n\r\n")
                client.shutdown(socket.SHUT_WR)
                return
            authority = target.removeprefix("http://").partition("/")[0]
            upstream = socket.create_connection(("127.0.0.1", self._hosts[authority]))
            self._streams.append(upstream)
            if method == "CONNECT":
                client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            else:
                path = target.removeprefix(f"http://{authority}") or "/"
                upstream.sendall(f"{method} {path} HTTP/1.1\r\n".encode() + rest)
            self._spawn(self._pump, upstream, client)
            self._pump(client, upstream)

    @staticmethod
    def _pump(source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
        with suppress(OSError):
            target.shutdown(socket.SHUT_WR)
