"""TLS without a socket, against Python's own server side."""

import ssl
from collections import deque
from collections.abc import Callable, Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.certificates import client_context, server_context
from tests.cutting import bytewise, random_cut, whole
from tests.wiring import TLSPeer
from tokenwire.protocols.errors import ConnectFailed
from tokenwire.transports.client.tls import RECORD, TLS, default_context

Cut = Callable[[bytes], Iterable[bytes]]
CUTS: list[Cut] = [whole, bytewise, lambda data: filter(None, random_cut(data, 1))]


def exchange(client: TLS, server: TLSPeer, cut: Cut = whole) -> tuple[bytes, bytes]:
    """Pass bytes to and fro until there are none. What the client and the server then have."""
    to_client = to_server = b""
    while sent := (client.data_to_send(), server.data_to_send()):
        if not any(sent):
            break
        for piece in cut(sent[0]):
            to_server += server.receive(piece)
        for piece in cut(sent[1]):
            to_client += client.receive(piece)
    return to_client, to_server


def connected(cut: Cut = whole) -> tuple[TLS, TLSPeer]:
    client, server = TLS(client_context(), "peer.example"), TLSPeer()
    assert not client.established
    exchange(client, server, cut)
    assert client.established
    return client, server


@pytest.mark.parametrize("cut", CUTS)
def test_both_ways(cut: Cut) -> None:
    client, server = connected(cut)
    client.send(b"question")
    server.send(b"answer" * 20_000)
    assert exchange(client, server, cut) == (b"answer" * 20_000, b"question")
    assert (client.closed, client.broken) == (False, False)


def test_a_stream_keeps_no_dict_of_it() -> None:
    assert not hasattr(TLS(client_context(), "peer.example"), "__dict__")


def test_openssl_is_given_little_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """The room that a BIO once needed it keeps as long as the stream lives."""
    given: list[int] = []

    class Noted:
        """A BIO, which can't be derived from."""

        def __init__(self, bio: ssl.MemoryBIO) -> None:
            self._bio = bio

        def write(self, data: bytes) -> int:
            given.append(len(data))
            return self._bio.write(data)

        @property
        def pending(self) -> int:
            return self._bio.pending

    client = TLS(client_context(), "peer.example")
    place = "_in"
    monkeypatch.setattr(client, place, Noted(getattr(client, place)))
    server = TLSPeer()
    exchange(client, server)
    assert 0 < max(given) <= 512
    server.send(b"x" * 60_000)
    assert exchange(client, server)[0] == b"x" * 60_000
    assert max(given) == RECORD


@pytest.mark.parametrize("cut", CUTS)
def test_a_peer_that_says_it_is_done(cut: Cut) -> None:
    client, server = connected()
    server.send(b"last words")
    server.close()
    assert exchange(client, server, cut)[0] == b"last words"
    assert (client.closed, client.broken) == (True, False)
    assert client.receive(b"more") == b""


def test_a_peer_that_is_cut_off_has_not_said_so() -> None:
    client, server = connected()
    server.send(b"last words")
    sent = server.data_to_send()
    assert client.receive(sent[:-1]) == b""
    assert (client.closed, client.broken) == (False, False)


@pytest.mark.parametrize("cut", CUTS)
def test_what_is_tampered_with_breaks_it(cut: Cut) -> None:
    client, server = connected()
    server.send(b"good")
    good = server.data_to_send()
    server.send(b"bad")
    bad = bytearray(server.data_to_send())
    bad[-1] ^= 1
    heard = b"".join(client.receive(piece) for piece in cut(good + bytes(bad)))
    assert heard == b"good"
    assert (client.closed, client.broken) == (False, True)
    assert client.receive(good) == b""


def test_what_is_sent_by_a_broken_one_is_lost() -> None:
    client, _ = connected()
    client.receive(b"\x17\x03\x03\x00\x02xx")
    assert client.broken
    client.data_to_send()  # the alert
    client.send(b"question")
    assert client.data_to_send() == b""


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize(
    ("context", "host", "words"),
    [
        (client_context(), "other.example", "the certificate of other.example is not trusted"),
        (client_context(), "192.0.2.1", "IP address mismatch"),
        (ssl.create_default_context(), "peer.example", "give a context that trusts it"),
    ],
)
def test_a_certificate_that_is_not_good(
    cut: Cut, context: ssl.SSLContext, host: str, words: str
) -> None:
    client, server = TLS(context, host), TLSPeer()
    with pytest.raises(ConnectFailed, match=words) as caught:
        exchange(client, server, cut)
    assert isinstance(caught.value.__cause__, ssl.SSLError)
    assert not client.established


@pytest.mark.parametrize("cut", CUTS)
def test_a_server_that_speaks_plain_http(cut: Cut) -> None:
    client = TLS(client_context(), "peer.example")
    with pytest.raises(ConnectFailed, match=r"^TLS with peer\.example failed: \w+$"):
        deque(map(client.receive, cut(b"HTTP/1.1 400 Bad Request\r\n\r\n")))
    assert not client.established


def test_no_common_version() -> None:
    old, new = ssl.create_default_context(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    new.minimum_version = ssl.TLSVersion.TLSv1_3
    client, server = TLS(old, "peer.example"), TLSPeer(new)
    with pytest.raises(ssl.SSLError):
        server.receive(client.data_to_send())
    with pytest.raises(ConnectFailed, match="ALERT_PROTOCOL_VERSION"):
        client.receive(server.data_to_send())


@pytest.mark.parametrize("host", ["", ".example", "a" * 64 + ".example"])
def test_a_name_that_can_not_be_asked_for(host: str) -> None:
    with pytest.raises(ConnectFailed, match=f"^TLS with {host}: "):
        TLS(client_context(), host)


def test_the_default_context_is_made_once_and_verifies() -> None:
    context = default_context()
    assert default_context() is context
    assert context.check_hostname
    assert context.verify_mode is ssl.CERT_REQUIRED


def test_http_1_1_is_asked_for() -> None:
    context = server_context("alpn.example")
    context.set_alpn_protocols(["h2", "http/1.1"])
    server = TLSPeer(context)
    server.receive(TLS(default_context(), "alpn.example").data_to_send())
    assert server.protocol == "http/1.1"


@given(st.booleans(), st.integers(0, 4000), st.integers(1, 255), st.binary(max_size=3))
def test_whatever_a_server_sends(shaken: bool, place: int, flip: int, behind: bytes) -> None:
    """Only ConnectFailed comes out, and nothing that was tampered with."""
    client, server = connected() if shaken else (TLS(client_context(), "peer.example"), TLSPeer())
    if shaken:
        server.send(b"good")
    else:
        server.receive(client.data_to_send())
    sent = bytearray(server.data_to_send())
    sent[place % len(sent)] ^= flip
    try:
        heard = b"".join(client.receive(piece) for piece in (bytes(sent), behind))
        if client.established:
            client.send(b"question")
    except ConnectFailed:
        assert not client.established
    else:
        assert heard == b""
