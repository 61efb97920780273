"""Small proxies on loopback, with real sockets: HTTP (CONNECT, and absolute-form requests), the
same over TLS, and SOCKS 5."""

import select
import socket
import ssl
import threading
from abc import ABC, abstractmethod
from base64 import b64encode
from contextlib import suppress
from types import TracebackType
from typing import Self

from tests.certificates import server_context


class _Proxy(ABC):
    """Forwards to the hosts that `hosts` names, wherever they really are; notes what was asked in
    `requests`. `url` is its address, without a user and a password."""

    def __init__(
        self, scheme: str, hosts: dict[str, int], certificate: ssl.SSLContext | None
    ) -> None:
        self.requests: list[str] = []
        self._hosts = hosts
        self._certificate = certificate
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(30)
        self._streams: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self.port = self._listener.getsockname()[1]
        self.url = f"{scheme}://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._spawn(self._accept)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        streams = [self._listener, *self._streams]
        for stream in streams:
            with suppress(OSError):
                socket.socket.shutdown(stream, socket.SHUT_RDWR)  # of TLS, too, the socket's own
        for thread in self._threads:
            thread.join()
        for stream in streams:
            stream.close()

    def address(self, password: str = "") -> str:
        """`url`, with the user `me` if there is a `password`."""
        return self.url.replace("//", f"//me:{password}@") if password else self.url

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
        with suppress(OSError):
            if self._certificate is not None:
                client = self._certificate.wrap_socket(client, server_side=True)
                self._streams.append(client)
            upstream = self._open(client)
            if upstream is not None:
                self._relay(client, upstream)

    def _connect(self, authority: str) -> socket.socket:
        upstream = socket.create_connection(("127.0.0.1", self._hosts[authority]))
        self._streams.append(upstream)
        return upstream

    @abstractmethod
    def _open(self, client: socket.socket) -> socket.socket | None:
        """Talk to `client`, and connect to where it wants to go; None: it is refused."""

    @staticmethod
    def _relay(client: socket.socket, upstream: socket.socket) -> None:
        """One thread for both directions, as a TLS connection must not be used by two."""
        targets = {client: upstream, upstream: client}
        while targets:
            waiting = client in targets and isinstance(client, ssl.SSLSocket) and client.pending()
            for source in [client] if waiting else select.select(list(targets), [], [])[0]:
                if data := source.recv(65536):
                    targets[source].sendall(data)
                    continue
                target = targets.pop(source)
                if isinstance(target, ssl.SSLSocket):
                    target.settimeout(0)  # not to wait for the client's close_notify
                    with suppress(ssl.SSLWantReadError):
                        target.unwrap()
                    return
                target.shutdown(socket.SHUT_WR)


class TestProxy(_Proxy):
    """An HTTP proxy; with a `certificate`, over TLS. `authorization`: what it wants as
    Proxy-Authorization; else it refuses with 407."""

    __test__ = False

    def __init__(
        self,
        hosts: dict[str, int],
        *,
        authorization: str = "",
        certificate: ssl.SSLContext | None = None,
    ) -> None:
        super().__init__("http" if certificate is None else "https", hosts, certificate)
        self._authorization = authorization

    def _open(self, client: socket.socket) -> socket.socket | None:
        head = b""
        while b"\r\n\r\n" not in head:
            data = client.recv(65536)
            if not data:
                return None
            head += data
        line, _, rest = head.partition(b"\r\n")
        method, target, _ = line.decode().split(" ")
        self.requests.append(f"{method} {target}")
        wanted = f"proxy-authorization: {self._authorization}".encode()
        if self._authorization and wanted not in head.lower().replace(wanted.lower(), wanted):
            client.sendall(b"HTTP/1.1 407 Who are you\r\ncontent-length: 0\r\n\r\n")
            client.shutdown(socket.SHUT_WR)
            return None
        authority = target.removeprefix("http://").partition("/")[0]
        upstream = self._connect(authority)
        if method == "CONNECT":
            client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        else:
            path = target.removeprefix(f"http://{authority}") or "/"
            upstream.sendall(f"{method} {path} HTTP/1.1\r\n".encode() + rest)
        return upstream


class TestSocks(_Proxy):
    """A SOCKS 5 proxy (RFC 1928). `credentials`: the user and password that it wants (RFC 1929), as
    `user:password`. A host that it does not know can't be reached."""

    __test__ = False

    def __init__(self, hosts: dict[str, int], *, credentials: str = "") -> None:
        super().__init__("socks5", hosts, None)
        self._credentials = credentials

    def _open(self, client: socket.socket) -> socket.socket | None:
        version, count = _exactly(client, 2)
        assert version == 5
        method = 2 if self._credentials else 0
        if method not in _exactly(client, count):
            client.sendall(b"\5\xff")
            return None
        client.sendall(bytes((5, method)))
        if self._credentials:
            assert _exactly(client, 1) == b"\1"
            given = b":".join(_exactly(client, _exactly(client, 1)[0]) for _ in range(2))
            wrong = given.decode() != self._credentials
            client.sendall(bytes((1, wrong)))
            if wrong:
                return None
        assert _exactly(client, 3) == b"\5\1\0"
        host = self._host(client, _exactly(client, 1)[0])
        authority = f"{host}:{int.from_bytes(_exactly(client, 2))}"
        self.requests.append(f"CONNECT {authority}")
        bound = b"\0\1\x7f\0\0\1" + self.port.to_bytes(2)
        if authority not in self._hosts:
            client.sendall(b"\5\4" + bound)
            return None
        try:
            upstream = self._connect(authority)
        except ConnectionRefusedError:
            client.sendall(b"\5\5" + bound)
            return None
        client.sendall(b"\5\0" + bound)
        return upstream

    @staticmethod
    def _host(client: socket.socket, kind: int) -> str:
        if kind == 3:
            return _exactly(client, _exactly(client, 1)[0]).decode()
        family, size = (socket.AF_INET, 4) if kind == 1 else (socket.AF_INET6, 16)
        return socket.inet_ntop(family, _exactly(client, size))


def proxy_of(kind: str, hosts: dict[str, int], *, password: str = "") -> TestProxy | TestSocks:
    """A proxy of a `kind` (`http`, `https`, `socks5`), which wants the user `me` and `password`,
    if there is one."""
    if kind == "socks5":
        return TestSocks(hosts, credentials=password and f"me:{password}")
    coded = b64encode(f"me:{password}".encode()).decode()
    return TestProxy(
        hosts,
        authorization=password and f"Basic {coded}",
        certificate=server_context() if kind == "https" else None,
    )


def _exactly(stream: socket.socket, size: int) -> bytes:
    """`size` bytes, which may come in pieces. Raises ConnectionError if they do not come."""
    data = b""
    while len(data) < size:
        piece = stream.recv(size - len(data))
        if not piece:
            raise ConnectionResetError
        data += piece
    return data
