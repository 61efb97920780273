"""Proxies: what they are, and which one to use."""

import ipaddress
from base64 import b64encode
from collections.abc import Mapping
from typing import Any, Literal, TypeAlias
from urllib.parse import SplitResult, unquote, urlsplit

import msgspec

from ...protocols.errors import LocalProtocolError
from ...protocols.toolkit.http import Origin, basic_secrets, check_plain

__all__ = ["Proxy", "ProxyScheme", "proxy_from_environment"]

ProxyScheme: TypeAlias = Literal["http", "https", "socks5"]

# `socks5h` is curl's word for a proxy that resolves names. Ours always do: a name tells nobody else
# where we go, and need not be known here. Desktops write `socks` into ALL_PROXY.
_SCHEMES: dict[str, ProxyScheme] = {
    "http": "http",
    "https": "https",
    "socks": "socks5",
    "socks5": "socks5",
    "socks5h": "socks5",
}
_PORTS: dict[ProxyScheme, int] = {"http": 80, "https": 443, "socks5": 1080}
_FORMS = "http://host:port, https://host:port or socks5://host:port"


class Proxy(msgspec.Struct, frozen=True):
    """A proxy. `scheme` is how it is spoken to: HTTP, HTTP over TLS, or SOCKS 5, whose proxy also
    resolves the names of servers. `user`: None if it wants none."""

    host: str
    port: int
    scheme: ProxyScheme = "http"
    user: str | None = None
    password: str = ""

    def __repr__(self) -> str:
        return f"<Proxy {self.scheme}://{self.host}:{self.port}>"

    def __rich_repr__(self) -> list[tuple[str, Any]]:  # msgspec's has the password
        return [("scheme", self.scheme), ("host", self.host), ("port", self.port)]

    @property
    def name(self) -> str:
        """How messages call it."""
        kind = "SOCKS proxy" if self.scheme == "socks5" else "proxy"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"the {kind} {host}:{self.port}"

    @property
    def authorization(self) -> str:
        """Its Proxy-Authorization (RFC 7617), or empty."""
        if self.user is None:
            return ""
        return f"Basic {b64encode(f'{self.user}:{self.password}'.encode()).decode()}"

    @property
    def secrets(self) -> list[str]:
        """Secrets that must never be shown."""
        coded = self.authorization.removeprefix("Basic ")
        return [coded, *filter(None, basic_secrets(coded))] if coded else []

    @classmethod
    def of(cls, url: str) -> "Proxy":
        """The proxy at `[scheme://][user:password@]host[:port]`; the scheme is `http`, `https`,
        `socks5` or `socks5h`. Raises LocalProtocolError."""
        check_plain(url, "proxy", show=False)
        parts = _split(url)
        if parts is None:
            raise LocalProtocolError(
                f"proxy: not a URL; give {_FORMS}, and percent-encode a password"
            )
        scheme = _SCHEMES.get(parts.scheme)
        if scheme is None or not parts.hostname:
            what = f"{parts.scheme}:// is not supported; " if scheme is None else ""
            raise LocalProtocolError(f"proxy: {what}give {_FORMS}")
        user = None if parts.username is None else unquote(parts.username)
        password = unquote(parts.password or "")
        check_plain(f"{user}{password}", "proxy: its user or password", show=False)
        if scheme == "socks5" and max(len((user or "").encode()), len(password.encode())) > 255:
            raise LocalProtocolError("proxy: SOCKS takes a user and a password of up to 255 bytes")
        return cls(parts.hostname, parts.port or _PORTS[scheme], scheme, user, password)


def _split(url: str) -> SplitResult | None:
    """The parts of `url`; None if it is no URL. The error is dropped, as it may quote part of the
    password."""
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        _ = parts.port
        url.encode()
    except ValueError:
        return None
    return parts


def proxy_from_environment(origin: Origin, environ: Mapping[str, str]) -> Proxy | None:
    """The proxy that `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY` name for `origin`.

    Lower-case variables win. One that is empty is set, too: there is no proxy, whatever the others
    say. Raises LocalProtocolError if it is not the address of a proxy.
    """

    def setting(name: str) -> str | None:
        return environ.get(name.lower(), environ.get(name.upper()))

    # In a CGI script HTTP_PROXY is a header of the request, which any client may send (httpoxy).
    cgi = origin.scheme == "http" and "REQUEST_METHOD" in environ
    url = environ.get("http_proxy") if cgi else setting(f"{origin.scheme}_proxy")
    if url is None:
        url = setting("all_proxy")
    rules = setting("no_proxy") or ""
    if not (url and url.strip()) or any(
        _matches(origin, rule) for rule in rules.replace(",", " ").split()
    ):
        return None
    return Proxy.of(url.strip())


def _matches(origin: Origin, rule: str) -> bool:
    """Whether a `rule` of `NO_PROXY` matches `origin`: `*`, a network, a host or a domain."""
    rule = rule.lower()
    if rule == "*":
        return True
    if rule.startswith("["):
        host, _, port = rule[1:].partition("]")
    else:
        host, _, port = rule.partition(":") if rule.count(":") == 1 else (rule, "", "")
    host, port = host.removeprefix("*").lstrip("."), port.removeprefix(":")
    if not host or (port and port != str(origin.port)):
        return False
    try:
        ip = ipaddress.ip_address(origin.host)
    except ValueError:
        return origin.host == host or origin.host.endswith("." + host)
    try:
        return ip in ipaddress.ip_network(host, strict=False)
    except ValueError:
        return False
