"""Servers, proxies and networks of every kind, over real sockets, to ask a question of."""

import re
import socket
import ssl
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from itertools import chain, repeat
from random import Random
from typing import Any
from unittest import mock

from tests.certificates import client_context, server_context
from tests.proxies import proxy_of
from tokenwire import (
    Chat,
    End,
    Event,
    Exchange,
    Limits,
    RateLimited,
    Text,
    Unrecognized,
    as_chat,
    make_exchange,
)
from tokenwire.protocols.refusing import refuse
from tokenwire.protocols.service import AnswerFunction
from tokenwire.server import serve
from tokenwire.server.faults import Cutting, Faults
from tokenwire.testing import Subject

HELLO = b'data: {"event":"text-chunk","data":{"text":"Hello, "}}\n\n'
WORLD = 'data: {"event":"text-chunk","data":{"text":"wörld"}}\n\n'.encode()
DONE = b'data: {"event":"stream-end","data":{}}\n\n'
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
CHUNKED = b"transfer-encoding: chunked\r\n\r\n"
OPENAI_CHUNKS = (
    '{"choices":[{"index":0,"delta":{"content":"Hällo"}}]}'.encode(),
    b'{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}',
)

PAUSE = 0.02
"""Seconds between two pieces of `dripping`."""

RESOLVING = 0.8
"""Seconds that the resolver takes for `slow_name`, unless the client leaves before that."""


@dataclass(frozen=True)
class Asking:
    """A question that is ready to be asked. `port`: where its client connects to. `requests`: those
    that the server received; `most`: how many there may be. `release` is called once the client is
    closed."""

    exchange: Exchange
    port: int
    options: dict[str, Any] = field(default_factory=dict[str, Any])
    requests: list[Any] = field(default_factory=list[Any])
    most: int = 1
    release: Callable[[], None] = lambda: None


Setting = Callable[[], AbstractContextManager[Asking]]


# Answers


def hello_world(chat: Chat) -> Iterable[Event]:
    """HELLO, WORLD and DONE, in the dialect of darkai."""
    return (Text("Hello, "), Text("wörld"), End("terminator"))


def finishing(chat: Chat) -> Iterable[Event]:
    """The shortest answer of the openai dialect, as raw chunks."""
    for chunk in OPENAI_CHUNKS:
        yield Unrecognized(chunk)
    yield End("terminator")


def said_and_refused(chat: Chat) -> Iterator[Event]:
    """HELLO, and then an error."""
    yield Text("Hello, ")
    raise refuse(RateLimited, 429, "that was enough", "rate_limit")


def long_text(chat: Chat) -> Iterable[Event]:
    """HELLO, and an event of 5 KB."""
    return (Text("Hello, "), Text("x" * 5000), End("terminator"))


def bomb(chat: Chat) -> Iterable[Event]:
    """HELLO, and 40 MB that compress to 40 KB."""
    return (Text("Hello, "), *[Text("\0" * 1_000_000)] * 40, End("terminator"))


# Settings


def embedded(
    fault: Faults = None,
    *,
    provider: str = "darkai",
    answer: AnswerFunction | None = None,
    cutting: Cutting | None = None,
    certificate: ssl.SSLContext | None = None,
    trusting: bool = True,
    limits: Limits | None = None,
    public_url: str | None = None,
) -> Setting:
    """The embedded server."""

    @contextmanager
    def setting() -> Generator[Asking]:
        answers = answer or (hello_world if provider == "darkai" else finishing)
        how: dict[str, Any] = {"fault": fault, "cutting": cutting, "ssl_context": certificate}
        with serve(provider, answers, public_url=public_url, **how) as server:
            exchange = make_exchange(provider, "Hello", base_url=server.url, limits=limits)
            options = {"ssl_context": client_context()} if certificate and trusting else {}
            port = int(server.origin.rpartition(":")[2])
            yield Asking(exchange, port, options, server.requests)

    return setting


def subject_asked(subject: Subject, *faults: Faults, cutting: Cutting | None = None) -> Setting:
    """The embedded server, asked what `subject` asks; `faults` are those of its requests."""

    @contextmanager
    def setting() -> Generator[Asking]:
        provider, chat = subject.provider, as_chat("hi", **subject.asked)
        with serve(provider, lambda _: subject.short, faults=faults, cutting=cutting) as server:
            exchange = provider.exchange(chat, base_url=server.url, random=Random(0))
            port = int(server.origin.rpartition(":")[2])
            most = len(subject.send_short().recorded)
            yield Asking(exchange, port, requests=server.requests, most=most)

    return setting


def by_hand(
    *pieces: bytes, stay: bool = False, scheme: str = "http", provider: str = "darkai"
) -> Setting:
    """A server that receives a request and sends `pieces`; then it closes, or stays open until the
    client leaves."""

    def talk(stream: socket.socket) -> None:
        hear(stream)
        for piece in pieces:
            stream.sendall(piece)
        while stay and stream.recv(65536):
            pass

    @contextmanager
    def setting() -> Generator[Asking]:
        with listening(talk) as port:
            url = f"{scheme}://127.0.0.1:{port}"
            yield Asking(make_exchange(provider, "Hello", base_url=url), port)

    return setting


def pinging(first: bytes, ping: bytes, *, provider: str = "darkai", coding: str = "") -> Setting:
    """A server that sends `first`, and then one `ping` after the other until the client leaves."""
    encoding = f"content-encoding: {coding}\r\n".encode() if coding else b""
    return dripping(HEAD + encoding + b"\r\n" + first, ping, provider=provider)


def dripping_head(size: int) -> Setting:
    """A whole answer after a head that takes `size` pauses to arrive."""
    padding = [b"x-padding: ", *[b"y"] * size]
    body = HELLO + WORLD + DONE
    return dripping(HEAD, *padding, b"\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))


def dripping(first: bytes, *pieces: bytes, provider: str = "darkai") -> Setting:
    """A server that sends `first`, and then the `pieces` with pauses in between, the last one again
    and again until the client leaves."""

    def talk(stream: socket.socket) -> None:
        hear(stream)
        stream.sendall(first)
        stream.settimeout(PAUSE)
        for piece in chain(pieces, repeat(pieces[-1])):
            with suppress(TimeoutError):
                if not stream.recv(65536):
                    return
            stream.sendall(piece)

    @contextmanager
    def setting() -> Generator[Asking]:
        with listening(talk) as port:
            url = f"http://127.0.0.1:{port}"
            yield Asking(make_exchange(provider, "Hello", base_url=url), port)

    return setting


def through(scheme: str, *pieces: bytes, stay: bool = False, kind: str = "http") -> Setting:
    """A proxy of a `kind` that answers a request for a `scheme` URL with `pieces`, as `by_hand`
    does."""

    @contextmanager
    def setting() -> Generator[Asking]:
        with by_hand(*pieces, stay=stay)() as proxy:
            options = {"proxy": f"{kind}://127.0.0.1:{proxy.port}"}
            exchange = make_exchange("darkai", "Hello", base_url=f"{scheme}://far.example")
            yield Asking(exchange, proxy.port, options)

    return setting


def through_a_proxy(
    kind: str = "http", *, tls: bool = False, known: bool = True, trusting: bool = True
) -> Setting:
    """A proxy of a `kind`, which works if the server is `known` to it, and the client is `trusting`
    its certificate."""

    @contextmanager
    def setting() -> Generator[Asking]:
        certificate = server_context("far.example") if tls else None
        with embedded(certificate=certificate, public_url="http://far.example")() as there:
            origin = f"far.example:{there.port}"
            with proxy_of(kind, {origin: there.port} if known else {}) as proxy:
                url = f"{'https' if tls else 'http'}://{origin}"
                exchange = make_exchange("darkai", "Hello", base_url=url)
                options: dict[str, Any] = {"proxy": proxy.url}
                if trusting:
                    options["ssl_context"] = client_context()
                yield Asking(exchange, proxy.port, options, there.requests)

    return setting


def closed_port(*, of_proxy: bool = False, scheme: str = "http") -> Setting:
    """A port where nothing listens: the server's or the proxy's."""

    @contextmanager
    def setting() -> Generator[Asking]:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
        here = f"127.0.0.1:{port}"
        url = f"{scheme}://far.example" if of_proxy else f"{scheme}://{here}"
        options = {"proxy": f"http://{here}"} if of_proxy else {}
        yield Asking(make_exchange("darkai", "Hello", base_url=url), port, options)

    return setting


@contextmanager
def unknown_name() -> Generator[Asking]:
    """A name that never resolves (RFC 6761)."""
    yield Asking(make_exchange("darkai", "Hello", base_url="http://nowhere.invalid"), 80)


@contextmanager
def slow_name() -> Generator[Asking]:
    """A name that the system is still resolving when the client gives up."""
    released = threading.Event()

    def resolve(*_: Any, **options: Any) -> Any:
        if options.get("flags", 0) & socket.AI_NUMERICHOST:  # trio first checks whether it is one
            raise socket.gaierror(socket.EAI_NONAME, "not a number")
        released.wait(RESOLVING)
        raise socket.gaierror(socket.EAI_AGAIN, "nobody knows")

    exchange = make_exchange("darkai", "Hello", base_url="http://slow.example")
    with mock.patch.object(socket, "getaddrinfo", resolve):
        yield Asking(exchange, 80, release=released.set)


def padded_head(size: int) -> Setting:
    """A whole answer after a head of `size` bytes."""
    body = HELLO + WORLD + DONE
    length = b"content-length: %d\r\nx-padding: " % len(body)
    return by_hand(HEAD + length + b"y" * size + b"\r\n\r\n" + body)


# Servers of our own


@contextmanager
def listening(*talks: Callable[[socket.socket], None]) -> Generator[int]:
    """A server that runs one of `talks` on each connection; its port. Its clients may leave."""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(30)

    def work() -> None:
        for talk in talks:
            with suppress(ConnectionError), listener.accept()[0] as stream:
                stream.settimeout(30)
                talk(stream)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        thread.join()
        listener.close()


def hear(stream: socket.socket) -> None:
    """Receive a whole request, or the beginning of a TLS handshake or of SOCKS: closing with unread
    bytes would reset the connection."""
    heard = b""
    while not _is_whole(heard) and (data := stream.recv(65536)):
        heard += data


def _is_whole(heard: bytes) -> bool:
    head, end, body = heard.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)content-length: (\d+)", head)
    return heard[:1] in (b"\x16", b"\5") or (
        bool(end) and len(body) >= int(length[1] if length else 0)
    )
