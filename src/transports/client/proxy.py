"""HTTP proxies: which one to use, and the tunnel through it (CONNECT, RFC 9110 section 9.3.6)."""

import ipaddress
from base64 import b64encode
from collections.abc import Mapping
from urllib.parse import unquote, urlsplit

import h11
import msgspec

from ...protocols.errors import ConnectFailed, LocalProtocolError, RemoteProtocolError, redact
from ...protocols.toolkit.http import Origin, basic_secrets, check_plain
from .http1 import HeadReader

__all__ = ["Proxy", "Tunnel", "proxy_from_environment"]


class Proxy(msgspec.Struct, frozen=True):
    """An `http://` proxy. `authorization` is its Proxy-Authorization, or empty."""

    host: str
    port: int
    authorization: str = ""

    def __repr__(self) -> str:
        return f"<Proxy {self.host}:{self.port}>"

    @property
    def secrets(self) -> list[str]:
        """Secrets that must never be shown."""
        coded = self.authorization.removeprefix("Basic ")
        return [coded, *filter(None, basic_secrets(coded))] if coded else []

    @classmethod
    def of(cls, url: str) -> "Proxy":
        """The proxy at `http://[user:password@]host[:port]`. Raises LocalProtocolError."""
        check_plain(url, "proxy", show=False)
        try:
            parts = urlsplit(url if "://" in url else f"http://{url}")
            port = parts.port or 80
            pair = f"{unquote(parts.username or '')}:{unquote(parts.password or '')}".encode()
        except ValueError:  # its message may contain part of the password
            raise LocalProtocolError(
                "proxy: not a URL; give http://host:port, and percent-encode a password"
            ) from None
        check_plain(pair.decode(), "proxy: its user or password", show=False)
        if parts.scheme != "http" or not parts.hostname:
            raise LocalProtocolError(
                f"proxy: {parts.scheme}:// is not supported, give http://host:port "
                "(for SOCKS use an httpx client of your own)"
            )
        authorization = ""
        if parts.username is not None:
            authorization = f"Basic {b64encode(pair).decode()}"
        return cls(parts.hostname, port, authorization)


def proxy_from_environment(origin: Origin, environ: Mapping[str, str]) -> Proxy | None:
    """The proxy that `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY` name for `origin`;
    lower-case variables win."""

    def setting(name: str) -> str:
        return environ.get(name.lower()) or environ.get(name.upper()) or ""

    # In a CGI script HTTP_PROXY is a header of the request, which any client may send (httpoxy).
    cgi = origin.scheme == "http" and "REQUEST_METHOD" in environ
    own = environ.get("http_proxy", "") if cgi else setting(f"{origin.scheme}_proxy")
    url = own or setting("all_proxy")
    if not url or any(_matches(origin, rule) for rule in setting("no_proxy").split(",")):
        return None
    return Proxy.of(url)


def _matches(origin: Origin, rule: str) -> bool:
    """Whether a `rule` of `NO_PROXY` matches `origin`: `*`, a network, a host or a domain."""
    rule = rule.strip().lower()
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


class Tunnel:
    """The tunnel through a proxy to `origin`; `open` once the proxy has accepted it."""

    def __init__(self, proxy: Proxy, origin: Origin, head_limit: int) -> None:
        host = f"[{origin.host}]" if ":" in origin.host else origin.host
        target = f"{host}:{origin.port}"
        headers = [("host", target)]
        if proxy.authorization:
            headers.append(("proxy-authorization", proxy.authorization))
        connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=2**31)
        request = h11.Request(method="CONNECT", target=target, headers=headers)
        self.request = b"".join(
            connection.send(part) or b"" for part in (request, h11.EndOfMessage())
        )
        self._head = HeadReader(connection, head_limit)
        self._proxy = proxy
        self.open = False

    def receive(self, data: bytes) -> bytes:
        """Bytes from the proxy; empty: it closed the connection. Returns the bytes after its
        response. Raises ConnectFailed."""
        if not data:
            raise ConnectFailed(f"{self._name} closed the connection")
        try:
            found = self._head.feed(data)
        except RemoteProtocolError as error:
            raise ConnectFailed(f"{self._name} does not speak HTTP: {error.message}") from None
        if found is None:
            return b""
        response, rest = found
        if not 200 <= response.status_code < 300:
            reason = bytes(response.reason).decode("latin-1")[:200]
            said = redact(reason, self._proxy.secrets)
            message = f"{self._name} refused: {response.status_code} {said}".rstrip()
            refused = ConnectFailed(message)
            refused.lasting = 400 <= response.status_code < 500
            raise refused
        self.open = True
        return rest

    @property
    def _name(self) -> str:
        return f"the proxy {self._proxy.host}:{self._proxy.port}"
