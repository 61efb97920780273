"""Which proxy is taken."""

import pytest

from tokenwire.protocols.errors import LocalProtocolError
from tokenwire.protocols.toolkit.http import Origin
from tokenwire.transports.client.proxy import Proxy, proxy_from_environment

PASSWORD = "hunter22"


@pytest.mark.parametrize(
    ("url", "proxy"),
    [
        ("http://proxy.example:3128", Proxy("proxy.example", 3128)),
        ("http://proxy.example", Proxy("proxy.example", 80)),
        ("proxy.example:3128", Proxy("proxy.example", 3128)),
        ("HTTP://Proxy.Example/ignored", Proxy("proxy.example", 80)),
        ("http://[::1]:8080", Proxy("::1", 8080)),
        ("http://us:pw@a.example", Proxy("a.example", 80, "http", "us", "pw")),
        ("us:pw@a.example:81", Proxy("a.example", 81, "http", "us", "pw")),
        ("http://us@a.example", Proxy("a.example", 80, "http", "us")),
        ("http://u%40s:%C3%BC%3A@a.example", Proxy("a.example", 80, "http", "u@s", "ü:")),
        ("https://a.example", Proxy("a.example", 443, "https")),
        ("https://us:pw@a.example:8443", Proxy("a.example", 8443, "https", "us", "pw")),
        ("socks5://a.example", Proxy("a.example", 1080, "socks5")),
        ("socks5h://us:pw@a.example:81", Proxy("a.example", 81, "socks5", "us", "pw")),
        ("socks://[::1]:9050/", Proxy("::1", 9050, "socks5")),
    ],
)
def test_a_proxy_by_its_url(url: str, proxy: Proxy) -> None:
    assert Proxy.of(url) == proxy


@pytest.mark.parametrize(
    ("url", "authorization"),
    [
        ("http://a.example", ""),
        ("http://us:pw@a.example", "Basic dXM6cHc="),
        ("https://us@a.example", "Basic dXM6"),
        ("http://u%40s:%C3%BC%3A@a.example", "Basic dUBzOsO8Og=="),
    ],
)
def test_its_credentials(url: str, authorization: str) -> None:
    assert Proxy.of(url).authorization == authorization


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("http://us:pw@a.example", "the proxy a.example:80"),
        ("https://a.example", "the proxy a.example:443"),
        ("socks5://[::1]", "the SOCKS proxy [::1]:1080"),
    ],
)
def test_how_messages_call_it(url: str, name: str) -> None:
    assert Proxy.of(url).name == name


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("socks4://a.example", "socks4:// is not supported; give http://host:port, https://"),
        ("ftp://a.example:1080", "ftp:// is not supported"),
        ("socks5://", "give http://host:port"),
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
        (f"ftp://us:{PASSWORD}@a.example", "ftp:// is not supported"),
        (f"socks5://us:{PASSWORD}{'x' * 250}@a.example", "a password of up to 255 bytes"),
        (f"socks5://{'ü' * 128}:{PASSWORD}@a.example", "up to 255 bytes"),
    ],
)
def test_what_is_no_proxy(url: str, words: str) -> None:
    with pytest.raises(LocalProtocolError, match=words) as caught:
        Proxy.of(url)
    assert PASSWORD not in str(caught.value)
    assert caught.value.__context__ is None  # it would quote the URL


def test_no_repr_has_the_password() -> None:
    proxy = Proxy.of(f"http://us:{PASSWORD}@a.example")
    assert repr(proxy) == "<Proxy http://a.example:80>"
    assert PASSWORD not in str(proxy.__rich_repr__())


HTTP = Origin("http", "api.example", 80)
HTTPS = Origin("https", "api.example", 443)


@pytest.mark.parametrize(
    ("origin", "environ", "host"),
    [
        (HTTP, {}, None),
        (HTTP, {"HTTP_PROXY": "http://p"}, "p"),
        (HTTP, {"http_proxy": "http://p"}, "p"),
        (HTTP, {"http_proxy": "http://low", "HTTP_PROXY": "http://up"}, "low"),
        (HTTP, {"http_proxy": "", "HTTP_PROXY": "http://up"}, None),
        (HTTP, {"http_proxy": "", "ALL_PROXY": "http://all"}, None),
        (HTTPS, {"https_proxy": "", "HTTPS_PROXY": "http://up", "all_proxy": "http://a"}, None),
        (HTTPS, {"HTTPS_PROXY": "", "ALL_PROXY": "http://all"}, None),
        (HTTPS, {"http_proxy": "", "HTTPS_PROXY": "http://p"}, "p"),
        (HTTPS, {"all_proxy": "", "ALL_PROXY": "http://all"}, None),
        (HTTPS, {"ALL_PROXY": "socks5h://all"}, "all"),
        (HTTP, {"HTTPS_PROXY": "http://p"}, None),
        (HTTPS, {"HTTP_PROXY": "http://p"}, None),
        (HTTPS, {"https_proxy": "http://p"}, "p"),
        (HTTPS, {"HTTPS_PROXY": "p:3128"}, "p"),
        (HTTPS, {"ALL_PROXY": "http://p"}, "p"),
        (HTTPS, {"all_proxy": "http://all", "HTTPS_PROXY": "http://own"}, "own"),
        # httpoxy: a CGI script's HTTP_PROXY is the header `Proxy` of whoever asks.
        (HTTP, {"REQUEST_METHOD": "GET", "HTTP_PROXY": "http://evil"}, None),
        (HTTP, {"REQUEST_METHOD": "GET", "http_proxy": "http://p"}, "p"),
        (HTTP, {"REQUEST_METHOD": "GET", "http_proxy": "", "ALL_PROXY": "http://p"}, None),
        (HTTP, {"REQUEST_METHOD": "GET", "ALL_PROXY": "http://p"}, "p"),
        (HTTPS, {"REQUEST_METHOD": "GET", "HTTPS_PROXY": "http://p"}, "p"),
        (HTTP, {"HTTP_PROXY": "http://p", "NO_PROXY": "api.example"}, None),
        (HTTP, {"HTTP_PROXY": "http://p", "no_proxy": "other", "NO_PROXY": "api.example"}, "p"),
        (HTTP, {"HTTP_PROXY": "http://p", "no_proxy": "", "NO_PROXY": "api.example"}, "p"),
    ],
)
def test_the_environment(origin: Origin, environ: dict[str, str], host: str | None) -> None:
    proxy = proxy_from_environment(origin, environ)
    assert (proxy and proxy.host) == host


def test_blanks_are_no_address() -> None:
    assert proxy_from_environment(HTTP, {"HTTP_PROXY": " ", "ALL_PROXY": "http://p"}) is None
    proxy = proxy_from_environment(HTTP, {"HTTP_PROXY": " http://p "})
    assert proxy is not None
    assert proxy.host == "p"


def test_a_wrong_environment_is_not_passed_over() -> None:
    with pytest.raises(LocalProtocolError, match="socks4:// is not supported"):
        proxy_from_environment(HTTP, {"ALL_PROXY": "socks4://p"})


@pytest.mark.parametrize(
    ("host", "rules", "direct"),
    [
        ("api.example", "*", True),
        ("api.example", "", False),
        ("api.example", " , ,", False),
        ("api.example", "other, api.example ", True),
        ("api.example", "other api.example", True),
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
