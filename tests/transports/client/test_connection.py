"""Tunnel, TLS and HTTP stacked, in all the ways they can be."""

from collections.abc import Callable, Iterable

import pytest

from tests.certificates import client_context, server_context
from tests.cutting import bytewise, random_cut, whole
from tests.wiring import (
    CLOSE,
    RESET,
    Item,
    Network,
    Outcome,
    OverTLS,
    Script,
    Server,
    ThroughSocks,
    ThroughTunnel,
    TLSPeer,
    body_of,
    head,
    raw_exchange,
)
from tokenwire.protocols.errors import (
    ConnectFailed,
    Disconnected,
    LocalProtocolError,
    TokenwireError,
    Truncated,
)
from tokenwire.protocols.events import End
from tokenwire.protocols.retry import NO_RETRY
from tokenwire.protocols.toolkit.http import Origin, Request
from tokenwire.transports.client.connection import Connection, Route
from tokenwire.transports.client.proxy import Proxy
from tokenwire.transports.client.settings import ClientSettings

Cut = Callable[[bytes], Iterable[bytes]]
CUTS: list[Cut] = [whole, bytewise, lambda data: random_cut(data, 2)]
REPLY = head("content-length: 5") + b"hello"
UNFRAMED = head() + b"hello"
PLAIN, SECURE = "http://peer.example/x", "https://peer.example/x"
PROXY = "http://us:hunter22@proxy.example:3128"
PROXY_TLS = "https://us:hunter22@proxy.example:3128"
SOCKS = "socks5://proxy.example"
ORIGIN_FORM = b"GET /x HTTP/1.1\r\nhost: peer.example\r\n\r\n"
ABSOLUTE_FORM = (
    b"GET http://peer.example/x HTTP/1.1\r\nhost: peer.example\r\n"
    b"Proxy-Authorization: Basic dXM6aHVudGVyMjI=\r\n\r\n"
)


def ask(server: Server, url: str, *, cut: Cut = whole, proxy: str | None = None) -> Outcome:
    network = Network(server, cut=cut, proxy=proxy, ssl_context=client_context(), retry=NO_RETRY)
    return network.ask(raw_exchange(Request("GET", url, [])))


def plainly(server: Server) -> Server:
    return server


def tunnelled(server: Server) -> Server:
    return ThroughTunnel(OverTLS(server))


def proxy_tls(server: Server) -> Server:
    return OverTLS(server, server_context("proxy.example"))


def tunnelled_by_tls(server: Server) -> Server:
    return proxy_tls(tunnelled(server))


def by_socks_and_tls(server: Server) -> Server:
    return ThroughSocks(OverTLS(server))


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize(
    ("url", "proxy", "asked", "wrap"),
    [
        (PLAIN, None, ORIGIN_FORM, plainly),
        (SECURE, None, ORIGIN_FORM, OverTLS),
        (PLAIN, PROXY, ABSOLUTE_FORM, plainly),
        (SECURE, PROXY, ORIGIN_FORM, tunnelled),
        (PLAIN, PROXY_TLS, ABSOLUTE_FORM, proxy_tls),
        (SECURE, PROXY_TLS, ORIGIN_FORM, tunnelled_by_tls),
        (PLAIN, SOCKS, ORIGIN_FORM, ThroughSocks),
        (SECURE, SOCKS, ORIGIN_FORM, by_socks_and_tls),
    ],
)
def test_every_way_to_a_server(
    cut: Cut, url: str, proxy: str | None, asked: bytes, wrap: Callable[[Server], Server]
) -> None:
    script = Script(REPLY)
    outcome = ask(wrap(script), url, cut=cut, proxy=proxy).succeeded()
    assert body_of(outcome.events) == b"hello"
    assert b"".join(script.heard) == asked
    assert outcome.releases == [True]


@pytest.mark.parametrize(("proxy", "wrap"), [(PROXY, plainly), (PROXY_TLS, proxy_tls)])
def test_the_proxy_is_asked_before_anything_else(
    proxy: str, wrap: Callable[[Server], Server]
) -> None:
    way = ThroughTunnel(OverTLS(Script(REPLY)))
    ask(wrap(way), SECURE, proxy=proxy).succeeded()
    assert way.heard.startswith(b"CONNECT peer.example:443 HTTP/1.1\r\n")
    assert b"Proxy-Authorization: Basic dXM6aHVudGVyMjI=\r\n" in way.heard


def test_a_socks_proxy_is_told_the_name() -> None:
    way = ThroughSocks(Script(REPLY), b"\5\2", b"\1\0", b"\5\0\0\1" + bytes(6))
    ask(way, PLAIN, proxy="socks5://us:hunter22@proxy.example").succeeded()
    named = b"\1\2us\x08hunter22"
    assert way.heard == [b"\5\2\0\2", named, b"\5\1\0\3\x0cpeer.example\0\x50"]


@pytest.mark.parametrize(
    ("route", "address", "peer"),
    [
        (Route(Origin("http", "a.example", 8080)), ("a.example", 8080), "a.example:8080"),
        (
            Route(Origin("http", "a.example", 80), Proxy("p.example", 3128)),
            ("p.example", 3128),
            "the proxy p.example:3128",
        ),
    ],
)
def test_where_to_connect(route: Route, address: tuple[str, int], peer: str) -> None:
    assert route.address == address
    assert route.peer == peer


def test_routes_are_alike_if_all_is() -> None:
    a = Route(Origin("http", "a.example", 80))
    assert a == Route(Origin("http", "a.example", 80))
    others = [
        Route(Origin("http", "b.example", 80)),
        Route(Origin("https", "a.example", 80)),
        Route(Origin("http", "a.example", 80), Proxy("p.example", 80)),
        Route(Origin("http", "a.example", 80), guarded=True),
    ]
    assert a not in others


# How a body without a length ends


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize(
    ("url", "ending", "complete"),
    [
        (PLAIN, [CLOSE], True),
        (PLAIN, [RESET], False),
        (SECURE, [CLOSE], True),  # a close_notify
        (SECURE, [RESET], False),
    ],
)
def test_the_end_of_a_body_without_a_length(
    cut: Cut, url: str, ending: list[Item], complete: bool
) -> None:
    script = Script([UNFRAMED, *ending])
    outcome = ask(OverTLS(script) if url == SECURE else script, url, cut=cut)
    assert body_of(outcome.events) == b"hello"
    if complete:
        assert outcome.succeeded().events[-1] == End("connection_close")
    else:
        outcome.failed(Truncated, "the body was cut")


class Ragged:
    """A TLS server whose socket is closed without a close_notify."""

    def __init__(self, said: bytes) -> None:
        self._tls = TLSPeer()
        self._said = said

    def receive(self, data: bytes) -> Iterable[Item]:
        heard = self._tls.receive(data)
        if heard:
            self._tls.send(self._said)
        yield self._tls.data_to_send()
        if heard:
            yield CLOSE


def test_under_tls_a_closed_socket_alone_is_no_end() -> None:
    outcome = ask(Ragged(UNFRAMED), SECURE).failed(Truncated, "the body was cut")
    assert body_of(outcome.events) == b"hello"
    ask(Ragged(REPLY), SECURE).succeeded()
    ask(Ragged(b"HTTP/1.1"), SECURE).failed(Disconnected)


class Spoiled(Ragged):
    """A TLS server that sends garbage behind what it says, and leaves the socket open."""

    def receive(self, data: bytes) -> Iterable[Item]:
        for item in super().receive(data):
            yield b"\x17\x03\x03\x00\x02xx" if item == CLOSE else item


@pytest.mark.parametrize(
    ("said", "kind"),
    [(UNFRAMED, Truncated), (b"HTTP/1.1", Disconnected)],
)
def test_garbage_in_tls_is_a_lost_connection(said: bytes, kind: type[TokenwireError]) -> None:
    ask(Spoiled(said), SECURE).failed(kind)


class SpoiledHandshake:
    """A TLS server that sends garbage right behind its handshake."""

    def __init__(self) -> None:
        self._tls = TLSPeer()

    def receive(self, data: bytes) -> Iterable[Item]:
        self._tls.receive(data)
        yield self._tls.data_to_send() + b"\x17\x03\x03\x00\x02xx"


def test_garbage_behind_the_handshake() -> None:
    ask(SpoiledHandshake(), SECURE).failed(ConnectFailed, "decryption failed or bad record mac")


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize(
    ("url", "kind"),
    [(PLAIN, None), (SECURE, Truncated)],
)
def test_a_close_notify_of_the_proxy_is_no_word_of_the_server(
    cut: Cut, url: str, kind: type[TokenwireError] | None
) -> None:
    """Of the server of a plain request it is, as the proxy speaks for it."""

    class Proxying:
        """A proxy that closes TLS behind the answer of the server, which does not."""

        def __init__(self) -> None:
            self._server = tunnelled(script) if url == SECURE else script

        def receive(self, data: bytes) -> Iterable[Item]:
            yield from self._server.receive(data)
            if script.heard:
                yield CLOSE

    script = Script(UNFRAMED)
    outcome = ask(proxy_tls(Proxying()), url, cut=cut, proxy=PROXY_TLS)
    assert body_of(outcome.events) == b"hello"
    if kind is None:
        assert outcome.succeeded().events[-1] == End("connection_close")
    else:
        outcome.failed(kind, "the body was cut")


def test_a_close_notify_before_the_response() -> None:
    ask(OverTLS(Script([CLOSE])), SECURE).failed(Disconnected)


# Before the way is open


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize(
    ("server", "proxy", "words"),
    [
        (lambda: Script([CLOSE]), None, "peer.example closed the connection during TLS"),
        (lambda: Script([RESET]), None, "peer.example closed the connection during TLS"),
        (lambda: Script(REPLY), None, "TLS with peer.example failed"),
        (
            lambda: OverTLS(Script(), server_context("other.example")),
            None,
            "the certificate of peer.example is not trusted",
        ),
        (lambda: Script([CLOSE]), PROXY, "the proxy proxy.example:3128 closed the connection"),
        (lambda: Script([RESET]), PROXY, "the proxy proxy.example:3128 closed the connection"),
        (
            lambda: Script(b"HTTP/1.1 407 Who?\r\n\r\n"),
            PROXY,
            "the proxy proxy.example:3128 refused: 407 Who?",
        ),
        (
            lambda: Script([b"HTTP/1.1 403 No\r\n\r\nnot from", CLOSE]),
            PROXY,
            "the proxy proxy.example:3128 refused: 403 No: not from",
        ),
        (
            lambda: Script(b"HTTP/1.1 403 No\r\n\r\nnot from"),  # and stays open
            PROXY,
            "the proxy proxy.example:3128 refused: 403 No: not from",
        ),
        (lambda: Script(b"\x00"), PROXY, "does not speak HTTP"),
        (
            lambda: ThroughTunnel(Script([CLOSE])),
            PROXY,
            "peer.example closed the connection during TLS",
        ),
        (lambda: ThroughTunnel(Script(REPLY)), PROXY, "TLS with peer.example failed"),
        (lambda: Script(REPLY), PROXY_TLS, "TLS with the proxy proxy.example:3128 failed"),
        (
            lambda: Script([CLOSE]),
            PROXY_TLS,
            "the proxy proxy.example:3128 closed the connection during TLS",
        ),
        (
            lambda: OverTLS(Script()),
            PROXY_TLS,
            "the certificate of the proxy proxy.example:3128 is not trusted",
        ),
        (
            lambda: proxy_tls(Script([CLOSE])),
            PROXY_TLS,
            "the proxy proxy.example:3128 closed the connection",
        ),
        (
            lambda: proxy_tls(Script(b"HTTP/1.1 407 Who?\r\ncontent-length: 0\r\n\r\n")),
            PROXY_TLS,
            "the proxy proxy.example:3128 refused: 407 Who?",
        ),
        (
            lambda: proxy_tls(ThroughTunnel(OverTLS(Script(), server_context("other.example")))),
            PROXY_TLS,
            "the certificate of peer.example is not trusted",
        ),
        (
            lambda: Script([CLOSE]),
            SOCKS,
            "the SOCKS proxy proxy.example:1080 closed the connection",
        ),
        (
            lambda: ThroughSocks(Script(), b"\5\0", b"\5\4"),
            SOCKS,
            "the SOCKS proxy proxy.example:1080 could not reach peer.example:443: host unreachable",
        ),
        (
            lambda: ThroughSocks(Script([CLOSE])),
            SOCKS,
            "peer.example closed the connection during TLS",
        ),
    ],
)
def test_no_way(cut: Cut, server: Callable[[], Server], proxy: str | None, words: str) -> None:
    outcome = ask(server(), SECURE, cut=cut, proxy=proxy).failed(ConnectFailed, words)
    assert "hunter22" not in str(outcome.error)
    assert "dXM6" not in str(outcome.error)


def connection(url: str = PLAIN, proxy: Proxy | None = None) -> Connection:
    settings = ClientSettings(ssl_context=client_context())
    return settings.connection(Route(Request("GET", url, []).origin, proxy))


def test_when_the_way_is_open() -> None:
    assert connection().established
    assert connection(PLAIN, Proxy("p.example", 80)).established
    assert not connection(PLAIN, Proxy("p.example", 443, "https")).established
    assert not connection(PLAIN, Proxy("p.example", 1080, "socks5")).established
    assert not connection(SECURE).established
    assert not connection(SECURE, Proxy("p.example", 80)).established


def test_bytes_are_given_once() -> None:
    plain = connection()
    assert plain.data_to_send() == b""
    plain.start(Request("GET", PLAIN, []), 65536)
    assert plain.data_to_send().startswith(b"GET /x")
    assert plain.data_to_send() == b""


def test_a_request_that_can_not_be_written() -> None:
    with pytest.raises(LocalProtocolError):
        connection().start(Request("GET", PLAIN, [(b"a", b"\n")]), 65536)


def test_a_name_that_no_certificate_can_have() -> None:
    with pytest.raises(ConnectFailed, match="TLS with"):
        connection("https://.peer.example/")
