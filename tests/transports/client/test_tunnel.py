"""The tunnel through a proxy."""

from collections import deque

import pytest

from tests.cutting import bytewise, every_way
from tokenwire.protocols.errors import ConnectFailed
from tokenwire.protocols.toolkit.http import Origin
from tokenwire.transports.client.proxy import Proxy
from tokenwire.transports.client.tunnel import Tunnel

PASSWORD = "hunter22"
HTTPS = Origin("https", "api.example", 443)
PROXY = Proxy("proxy.example", 3128)


def tunnel(origin: Origin = HTTPS, proxy: Proxy = PROXY, limit: int = 200) -> Tunnel:
    return Tunnel(proxy, origin, limit)


@pytest.mark.parametrize(
    ("origin", "target"),
    [
        (HTTPS, b"api.example:443"),
        (Origin("https", "a.example", 8443), b"a.example:8443"),
        (Origin("https", "2001:db8::1", 443), b"[2001:db8::1]:443"),
    ],
)
def test_the_request_for_a_tunnel(origin: Origin, target: bytes) -> None:
    start = b"CONNECT %b HTTP/1.1\r\nHost: %b\r\n" % (target, target)
    assert tunnel(origin).data_to_send() == start + b"\r\n"
    named = Proxy.of("http://us:pw@proxy.example")
    expected = start + b"Proxy-Authorization: Basic dXM6cHc=\r\n\r\n"
    assert tunnel(origin, named).data_to_send() == expected


@pytest.mark.parametrize(
    "reply",
    [
        b"HTTP/1.1 200 Connection established\r\n\r\n",
        b"HTTP/1.0 200 OK\r\nvia: x\r\n\r\n",
        # RFC 9110 9.3.6: these say nothing in an agreement.
        b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n",
        b"HTTP/1.1 204 OK\r\ntransfer-encoding: chunked\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
    ],
)
def test_a_tunnel_opens(reply: bytes) -> None:
    for pieces in every_way(reply + b"\x16\x03\x01"):
        way = tunnel()
        rest = b""
        for piece in pieces:
            rest += piece if way.established else way.receive(piece)
        assert way.established
        assert rest == b"\x16\x03\x01"


NAME = "the proxy proxy.example:3128"
NOT_HTTP = "what the server sent is not HTTP/1.1"
TOO_LARGE = "a response head of more than 200 bytes"


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (b"SSH-2.0\r\n\r\n", NOT_HTTP),
        (b"\x15\x03\x01", NOT_HTTP),
        (b"H" * 201, TOO_LARGE),
        (b"HTTP/1.1 200 OK\r\nx: " + b"x" * 300 + b"\r\n\r\n", TOO_LARGE),
    ],
)
def test_what_is_not_http(reply: bytes, error: str) -> None:
    for pieces in every_way(reply):
        way = tunnel()
        with pytest.raises(ConnectFailed) as caught:
            deque(map(way.receive, filter(None, pieces)))
        assert str(caught.value) == f"{NAME} does not speak HTTP: {error}"
        assert caught.value.__context__ is None  # it would have what the proxy sent
        assert not way.established


def response(status: str, body: bytes = b"", *headers: bytes) -> bytes:
    length = b"content-length: %d" % len(body)
    lines = (f"HTTP/1.1 {status}".encode(), *(headers or (length,)), b"", body)
    return b"\r\n".join(lines)


CHUNKED = b"transfer-encoding: chunked"
REFUSALS = [
    (response("502"), "502"),
    (response("302 Found", b"", b"location: http://a", b"content-length: 0"), "302 Found"),
    (response("403 " + "no" * 60), "403 " + "no" * 60),
    (response("403 Forbidden", b"not\n\tfrom here"), "403 Forbidden: not from here"),
    (response("502 Bad", b'{"error": {"message": "nobody there"}}'), "502 Bad: nobody there"),
    (response("503 Busy", b"<html>later"), "503 Busy: an HTML page"),
    (response("403 No", b"2\r\nno\r\n0\r\n\r\n", CHUNKED), "403 No: no"),
    (response("403 No", b"2\r\nno\r\nzz\r\n", CHUNKED), "403 No: no"),  # what was understood
    (response("304 Not modified", b"", b"content-length: 9"), "304 Not modified"),
    (response("403 No", b"n" * 3000, b"server: x"), "403 No: " + "n" * 400),  # it never ends
]


@pytest.mark.parametrize(("reply", "error"), REFUSALS)
def test_a_tunnel_is_refused(reply: bytes, error: str) -> None:
    for pieces in every_way(reply):
        way = tunnel()
        with pytest.raises(ConnectFailed) as caught:
            deque(map(way.receive, filter(None, pieces)))
        assert str(caught.value) == f"{NAME} refused: {error}"
        assert caught.value.lasting == error.startswith("4")
        assert not way.established


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (response("403 No", b"not fr", b"content-length: 99"), "403 No: not fr"),
        (response("403 No", b"not fr", b"server: x"), "403 No: not fr"),
        (response("403 No", b"9\r\nnot fr", CHUNKED), "403 No: not fr"),
        (response("403 No", b"", b"server: x"), "403 No"),
    ],
)
def test_a_refusal_whose_words_are_not_all_there(reply: bytes, error: str) -> None:
    for pieces in every_way(reply):
        way = tunnel()
        assert way.refusal is None
        assert not b"".join(map(way.receive, pieces))
        assert str(way.refusal) == f"{NAME} refused: {error}"


@pytest.mark.parametrize(
    ("user", "advice"), [("", "give a user and password"), ("us@", "check the user and password")]
)
def test_what_to_do_about_407(user: str, advice: str) -> None:
    way = tunnel(proxy=Proxy.of(f"http://{user}proxy.example:3128"))
    with pytest.raises(ConnectFailed, match=f"^{NAME} refused: 407 Who; {advice} in its URL$"):
        way.receive(response("407 Who"))


@pytest.mark.parametrize("reply", [b"", b"HTTP/1.1 2", b"HTTP/1.1 100 Continue\r\n\r\n"])
def test_the_proxy_closes(reply: bytes) -> None:
    way = tunnel()
    for piece in bytewise(reply):
        assert way.receive(piece) == b""
    assert way.refusal is None
    assert way.unfinished == f"{NAME} closed the connection"


def test_a_proxy_that_quotes_the_password() -> None:
    way = tunnel(proxy=Proxy.of(f"http://us:{PASSWORD}@proxy.example:3128"), limit=1000)
    quoted = way.data_to_send().partition(b"Basic ")[2].strip()
    body = b"who is us:%b? " % PASSWORD.encode() + b"y" * 1000
    with pytest.raises(ConnectFailed) as caught:
        way.receive(response(f"407 bad Basic {quoted.decode()} {'x' * 500}", body))
    said = str(caught.value)
    assert said.startswith(f"{NAME} refused: 407 bad Basic [secret] xxx")
    assert "xxx: who is [secret]? yyy" in said
    assert len(said) < 900
