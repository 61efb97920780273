"""TLS without a socket, against Python's own server side."""

import ssl
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.certificates import authority, client_context, server_context
from tests.cutting import bytewise, random_cut, whole
from tests.wiring import TLSPeer
from tokenwire.protocols.errors import ConnectFailed
from tokenwire.transports.client import tls
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
    assert (client.closed, client.fault) == (False, None)


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
    assert (client.closed, client.fault) == (True, None)
    assert client.receive(b"more") == b""


def test_a_peer_that_is_cut_off_has_not_said_so() -> None:
    client, server = connected()
    server.send(b"last words")
    sent = server.data_to_send()
    assert client.receive(sent[:-1]) == b""
    assert (client.closed, client.fault) == (False, None)


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
    assert not client.closed
    assert str(client.fault) == "TLS with peer.example failed: decryption failed or bad record mac"
    assert client.receive(good) == b""


def test_what_is_sent_by_a_broken_one_is_lost() -> None:
    client, _ = connected()
    client.receive(b"\x17\x03\x03\x00\x02xx")
    assert client.fault is not None
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
    with pytest.raises(ConnectFailed, match=r"^TLS with peer\.example failed: [a-z ]+$"):
        deque(map(client.receive, cut(b"HTTP/1.1 400 Bad Request\r\n\r\n")))
    assert not client.established


def test_no_common_version() -> None:
    old, new = ssl.create_default_context(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    new.minimum_version = ssl.TLSVersion.TLSv1_3
    client, server = TLS(old, "peer.example"), TLSPeer(new)
    with pytest.raises(ssl.SSLError):
        server.receive(client.data_to_send())
    with pytest.raises(ConnectFailed, match=r"^TLS with peer\.example failed: protocol version$"):
        client.receive(server.data_to_send())


@pytest.mark.parametrize(
    ("alert", "words", "lasting"),
    [
        (40, "handshake failure", True),
        (42, "bad certificate", True),
        (49, "access denied", True),
        (80, "internal error", False),
        (112, "unrecognized name", True),
        (116, "certificate required; give a context that presents one with ssl_context=", True),
        (
            120,
            "no application protocol; it does not speak HTTP/1.1, so ask it by the httpx transport",
            True,
        ),
        (255, "unknown error", False),
    ],
)
@pytest.mark.parametrize("cut", CUTS)
def test_an_alert_is_told_in_words(cut: Cut, alert: int, words: str, lasting: bool) -> None:
    client = TLS(client_context(), "peer.example")
    with pytest.raises(ConnectFailed) as caught:
        deque(map(client.receive, cut(bytes((21, 3, 3, 0, 2, 2, alert)))))
    assert str(caught.value) == f"TLS with peer.example failed: {words}"
    assert caught.value.lasting is lasting


def test_a_reason_that_openssl_writes_in_another_way() -> None:
    client = TLS(client_context(), "peer.example")
    failure = getattr(client, "_failure")  # noqa: B009
    for said in ("[SSL] ssl/tls alert bad certificate (_ssl.c:1)", "tlsv1 alert bad certificate"):
        assert str(failure(ssl.SSLError(1, said))).endswith(" failed: bad certificate")
    ended = ssl.SSLError("EOF occurred in violation of protocol (_ssl.c:2427)")
    assert str(failure(ended)).endswith(" failed: EOF occurred in violation of protocol")
    assert not failure(ended).lasting


def test_a_server_that_wants_a_certificate() -> None:
    """It says so after the handshake, as the client sees it (RFC 8446 section 4.4.2.4)."""
    client = TLS(client_context(), "strict.example")
    server = TLSPeer(server_context("strict.example", strict=True))
    server.receive(client.data_to_send())
    client.receive(server.data_to_send())
    assert client.established
    assert client.fault is None
    with pytest.raises(ssl.SSLError):
        server.receive(client.data_to_send())
    client.receive(server.data_to_send())
    said = "TLS with strict.example failed: certificate required; give a context that presents one"
    assert str(client.fault).startswith(said)


@pytest.mark.parametrize("host", ["", ".example", "a" * 64 + ".example"])
def test_a_name_that_can_not_be_asked_for(host: str) -> None:
    with pytest.raises(ConnectFailed, match=f"^TLS with {host}: "):
        TLS(client_context(), host)


def test_the_default_context_is_made_once_and_verifies() -> None:
    context = default_context()
    assert default_context() is context
    assert context.check_hostname
    assert context.verify_mode is ssl.CERT_REQUIRED


@pytest.fixture
def no_context(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if none had been made yet."""
    monkeypatch.setattr(tls, "_kept", [])


@pytest.mark.usefixtures("no_context")
def test_a_default_context_without_authorities_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, folder = tmp_path / "authorities.pem", tmp_path / "authorities"
    folder.mkdir()
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    monkeypatch.setenv("SSL_CERT_DIR", str(folder))
    first = default_context()
    assert first.get_ca_certs() == []
    assert default_context() is not first
    file.write_bytes(authority().cert_pem.bytes())
    kept = default_context()
    assert len(kept.get_ca_certs()) == 1
    file.unlink()
    assert default_context() is kept


@pytest.mark.usefixtures("no_context")
@pytest.mark.parametrize("name", ["5ed36f99.0", "read.me"])
def test_authorities_in_a_folder_are_read_when_they_are_needed(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none.pem"))
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
    (tmp_path / name).write_bytes(authority().cert_pem.bytes())
    assert (default_context() is default_context()) == name.endswith(".0")


@pytest.mark.usefixtures("no_context")
def test_neither_a_file_nor_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.setenv(variable, str(tmp_path / "none"))
    assert default_context() is not default_context()


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
