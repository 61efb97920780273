"""Which proxy is taken, and the way through it."""

from collections import deque

import pytest

from tests.cutting import bytewise, every_way
from tokenwire.protocols.errors import ConnectFailed, LocalProtocolError
from tokenwire.protocols.toolkit.http import Origin
from tokenwire.transports.client.proxy import Proxy, Tunnel, proxy_from_environment

PASSWORD = "hunter22"


@pytest.mark.parametrize(
    ("url", "proxy"),
    [
        ("http://proxy.example:3128", Proxy("proxy.example", 3128)),
        ("http://proxy.example", Proxy("proxy.example", 80)),
        ("proxy.example:3128", Proxy("proxy.example", 3128)),
        ("HTTP://Proxy.Example/ignored", Proxy("proxy.example", 80)),
        ("http://[::1]:8080", Proxy("::1", 8080)),
        ("http://us:pw@a.example", Proxy("a.example", 80, "Basic dXM6cHc=")),
        ("us:pw@a.example:81", Proxy("a.example", 81, "Basic dXM6cHc=")),
        ("http://us@a.example", Proxy("a.example", 80, "Basic dXM6")),
        ("http://u%40s:%C3%BC%3A@a.example", Proxy("a.example", 80, "Basic dUBzOsO8Og==")),
    ],
)
def test_a_proxy_by_its_url(url: str, proxy: Proxy) -> None:
    assert Proxy.of(url) == proxy


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("https://a.example", "https:// is not supported"),
        ("socks5://a.example:1080", "use an httpx client of your own"),
        ("http://", "give http://host:port"),
        ("", "give http://host:port"),
        ("http://:80", "give http://host:port"),
        ("http://a.example:port", "not a URL"),
        ("http://a.example:99999", "not a URL"),
        ("http://[a.example", "not a URL"),
        (f"http://us:{PASSWORD}/x@a.example:80", "percent-encode a password"),
        (f"http://us:{PASSWORD}#@a.example:80", "percent-encode a password"),
        (f"http://us:{PASSWORD}\u2100@a.example", "percent-encode a password"),
        (f"http://us:{PASSWORD}\udcff@a.example", "percent-encode a password"),
        (f"http://us:{PASSWORD}\n@a.example", "proxy has a control character"),
        (f"https://us:{PASSWORD}@a.example", "https:// is not supported"),
    ],
)
def test_what_is_no_proxy(url: str, words: str) -> None:
    with pytest.raises(LocalProtocolError, match=words) as caught:
        Proxy.of(url)
    assert PASSWORD not in str(caught.value)


def test_no_repr_has_the_password() -> None:
    proxy = Proxy.of(f"http://us:{PASSWORD}@a.example")
    assert repr(proxy) == "<Proxy a.example:80>"


HTTP = Origin("http", "api.example", 80)
HTTPS = Origin("https", "api.example", 443)


@pytest.mark.parametrize(
    ("origin", "environ", "host"),
    [
        (HTTP, {}, None),
        (HTTP, {"HTTP_PROXY": "http://p"}, "p"),
        (HTTP, {"http_proxy": "http://p"}, "p"),
        (HTTP, {"http_proxy": "http://low", "HTTP_PROXY": "http://up"}, "low"),
        (HTTP, {"http_proxy": "", "HTTP_PROXY": "http://up"}, "up"),
        (HTTP, {"HTTPS_PROXY": "http://p"}, None),
        (HTTPS, {"HTTP_PROXY": "http://p"}, None),
        (HTTPS, {"https_proxy": "http://p"}, "p"),
        (HTTPS, {"HTTPS_PROXY": "p:3128"}, "p"),
        (HTTPS, {"ALL_PROXY": "http://p"}, "p"),
        (HTTPS, {"all_proxy": "http://all", "HTTPS_PROXY": "http://own"}, "own"),
        # httpoxy: a CGI script's HTTP_PROXY is the header `Proxy` of whoever asks.
        (HTTP, {"REQUEST_METHOD": "GET", "HTTP_PROXY": "http://evil"}, None),
        (HTTP, {"REQUEST_METHOD": "GET", "http_proxy": "http://p"}, "p"),
        (HTTP, {"REQUEST_METHOD": "GET", "ALL_PROXY": "http://p"}, "p"),
        (HTTPS, {"REQUEST_METHOD": "GET", "HTTPS_PROXY": "http://p"}, "p"),
        (HTTP, {"HTTP_PROXY": "http://p", "NO_PROXY": "api.example"}, None),
        (HTTP, {"HTTP_PROXY": "http://p", "no_proxy": "other", "NO_PROXY": "api.example"}, "p"),
    ],
)
def test_the_environment(origin: Origin, environ: dict[str, str], host: str | None) -> None:
    proxy = proxy_from_environment(origin, environ)
    assert (proxy and proxy.host) == host


def test_a_wrong_environment_is_not_passed_over() -> None:
    with pytest.raises(LocalProtocolError, match="socks5:// is not supported"):
        proxy_from_environment(HTTP, {"ALL_PROXY": "socks5://p"})


@pytest.mark.parametrize(
    ("host", "rules", "direct"),
    [
        ("api.example", "*", True),
        ("api.example", "", False),
        ("api.example", " , ,", False),
        ("api.example", "other, api.example ", True),
        ("api.example", "API.Example", True),
        ("api.example", "example", True),
        ("api.example", ".example", True),
        ("api.example", "*.example", True),
        ("example", ".example", True),
        ("api.example", "pi.example", False),
        ("api.example", ".api.example.org", False),
        ("api.example", "api", False),
        ("api.example", "api.example:80", True),
        ("api.example", "api.example:8080", False),
        ("api.example", ".example:80", True),
        ("api.example", ":80", False),
        ("api.example.", ".", False),
        ("10.1.2.3", "10.0.0.0/8", True),
        ("10.1.2.3", "10.9.9.9/8", True),
        ("11.1.2.3", "10.0.0.0/8", False),
        ("10.1.2.3", "10.1.2.3", True),
        ("10.1.2.3", "10.1.2.3:80", True),
        ("10.1.2.3", "10.1.2.3:81", False),
        ("10.1.2.3", "::/0", False),
        ("10.1.2.3", "2.3", False),
        ("2001:db8::1", "2001:db8::/32", True),
        ("2001:db8::1", "2001:0db8:0::1", True),
        ("2001:db8::1", "[2001:db8::1]", True),
        ("2001:db8::1", "[2001:db8::1]:80", True),
        ("2001:db8::1", "[2001:db8::1]:81", False),
        ("2001:db8::1", "2001:db8::2", False),
        ("api.example", "10.0.0.0/8", False),
    ],
)
def test_no_proxy(host: str, rules: str, direct: bool) -> None:
    environ = {"http_proxy": "http://p", "no_proxy": rules}
    found = proxy_from_environment(Origin("http", host, 80), environ)
    assert (found is None) == direct


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
    start = b"CONNECT %b HTTP/1.1\r\nhost: %b\r\n" % (target, target)
    assert tunnel(origin).request == start + b"\r\n"
    named = Proxy.of("http://us:pw@proxy.example")
    expected = start + b"proxy-authorization: Basic dXM6cHc=\r\n\r\n"
    assert tunnel(origin, named).request == expected


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
        rest = b"".join(piece if way.open else way.receive(piece) for piece in pieces if piece)
        assert way.open
        assert rest == b"\x16\x03\x01"


NAME = "the proxy proxy.example:3128"


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (
            b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n",
            "refused: 407 Proxy Authentication Required",
        ),
        (b"HTTP/1.1 502\r\n\r\n", "refused: 502"),
        (b"HTTP/1.1 302 Found\r\nlocation: http://a\r\n\r\n", "refused: 302 Found"),
        (b"SSH-2.0\r\n\r\n", "does not speak HTTP: what the server sent is not HTTP/1.1"),
        (b"\x15\x03\x01", "does not speak HTTP: what the server sent is not HTTP/1.1"),
        (b"H" * 201, "does not speak HTTP: a response head of more than 200 bytes"),
        (
            b"HTTP/1.1 200 OK\r\nx: " + b"x" * 300 + b"\r\n\r\n",
            "does not speak HTTP: a response head of more than 200 bytes",
        ),
        (b"HTTP/1.1 403 " + b"no" * 60 + b"\r\n\r\n", "refused: 403 " + "no" * 60),
    ],
)
def test_a_tunnel_is_refused(reply: bytes, error: str) -> None:
    for pieces in every_way(reply):
        way = tunnel()
        with pytest.raises(ConnectFailed) as caught:
            deque(map(way.receive, filter(None, pieces)))
        assert str(caught.value) == f"{NAME} {error}"
        assert not way.open


@pytest.mark.parametrize("reply", [b"", b"HTTP/1.1 2", b"HTTP/1.1 100 Continue\r\n\r\n"])
def test_the_proxy_closes(reply: bytes) -> None:
    way = tunnel()
    for piece in bytewise(reply):
        assert way.receive(piece) == b""
    with pytest.raises(ConnectFailed, match=f"^{NAME} closed the connection$"):
        way.receive(b"")


def test_a_proxy_that_quotes_the_password() -> None:
    way = tunnel(proxy=Proxy.of(f"http://us:{PASSWORD}@proxy.example:3128"), limit=1000)
    quoted = way.request.partition(b"Basic ")[2].strip()
    with pytest.raises(ConnectFailed) as caught:
        way.receive(b"HTTP/1.1 407 bad Basic %b %b\r\n\r\n" % (quoted, b"x" * 500))
    assert str(caught.value).startswith(f"{NAME} refused: 407 bad Basic [secret] xxx")
    assert len(str(caught.value)) < 300
