"""HTTP messages as values (RFC 9110): `Request`, `Headers`, and checks of what they hold."""

import re
from base64 import b64decode
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, NamedTuple, TypeAlias
from urllib.parse import SplitResult, unquote, urlsplit

import msgspec

from ..errors import LocalProtocolError
from .redaction import redact

__all__ = [
    "Headers",
    "HeadersLike",
    "Origin",
    "Request",
    "as_headers",
    "basic_secrets",
    "check_plain",
    "check_url",
    "content_type",
    "get_header",
    "join_url",
    "make_headers",
    "names_secret",
]

Headers: TypeAlias = list[tuple[bytes, bytes]]
"""(lower-case name, value) pairs, as h11 has them."""

HeadersLike: TypeAlias = Mapping[str, str] | Iterable[tuple[bytes, bytes] | tuple[str, str]]
"""Headers as HTTP clients have them."""

# Headers with such names are secret, whoever gave them.
_CREDENTIALS = re.compile(
    rb"auth|bearer|cookie|cred|jwt|key|pass|secret|session|sign|token|uniqueid"
)
# What is not secret in their values: an authentication scheme, and that of a URL.
_SCHEME = re.compile(r"\A(?:basic|bearer|digest|key|token) +|\bhttps?://", re.IGNORECASE)
_SIGNATURE = re.compile(r"AWS4-HMAC-SHA256 .*\bSignature=(\w+)")
_TOKEN = re.compile("[-!#$%&'*+.^_`|~0-9A-Za-z]+")  # RFC 9110 section 5.6.2
_CONTROL = re.compile("[\x00-\x1f\x7f]")
_HOST = frozenset("abcdefghijklmnopqrstuvwxyz0123456789.-_~")  # RFC 3986's unreserved ones
_PLACEHOLDER = re.compile(r"\{\+?\w+\}")
_DEFAULT_PORTS = {"http": 80, "https": 443}


class Origin(NamedTuple):
    """Where to connect for a URL (RFC 9110 section 4.3). `host` has no brackets."""

    scheme: str
    host: str
    port: int

    @property
    def authority(self) -> str:
        """Host and port as a `Host` header has them: the scheme's own port left out."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"


@lru_cache(64)  # a program uses few services, and each question needs it several times
def _origin(url: str) -> Origin:
    parts = urlsplit(url)
    port = _DEFAULT_PORTS[parts.scheme] if parts.port is None else parts.port
    return Origin(parts.scheme, parts.hostname or "", port)


class Request(msgspec.Struct, frozen=True, gc=False):
    """One HTTP request. `server_chosen`: the peer chose its address, so it has no credentials, and
    a transport refuses private addresses. `given`: names of headers whose values the caller gave.
    They may be secrets, whatever the name."""

    method: str
    url: str
    headers: Headers
    body: bytes = b""
    server_chosen: bool = False
    given: frozenset[bytes] = frozenset()

    @property
    def origin(self) -> Origin:
        """The scheme, host and port of the URL."""
        return _origin(self.url)

    @property
    def address(self) -> str:
        """The URL without what may be a secret: user, password and query."""
        return re.sub("//[^/]*@", "//", self.url.partition("?")[0])

    @property
    def target(self) -> str:
        """The path and query, as a request line has them."""
        parts = urlsplit(self.url)
        return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")

    def remembered(self) -> "Request":
        """What is still needed once the response has begun, which may take hours: the address and
        the secrets."""
        secret = [pair for pair in self.headers if self._is_secret(pair[0])]
        return Request(self.method, self.url, secret, b"", self.server_chosen, self.given)

    def secrets(self) -> list[str]:
        """Texts that must never be shown, longest first: credentials, and their parts."""
        found: set[str] = set()
        for name, value in self.headers:
            if self._is_secret(name):
                text = value.decode("latin-1")
                if signature := _SIGNATURE.match(text):
                    found.add(signature[1])  # all else is known to whoever sees the request
                    continue
                for part in _SCHEME.split(text):
                    found.add(part)
                    found.update(part.split(" "))
                    found.update(field.partition("=")[2].strip() for field in part.split(";"))
                if text[:6].lower() == "basic ":
                    found.update(basic_secrets(text[6:]))
        values = [part.partition("=")[2] for part in urlsplit(self.url).query.split("&")]
        found.update(values, map(unquote, values))
        # Shorter texts are not secrets, and redacting them would garble a message.
        return sorted((s for s in found if len(s) >= 6), key=len, reverse=True)

    def __repr__(self) -> str:
        headers = [
            (name, b"[secret]" if self._is_secret(name) else value) for name, value in self.headers
        ]
        query = "?..." if "?" in self.url else ""
        shown = (
            f"Request({self.method} {self.address}{query}, headers={headers}, "
            f"body of {len(self.body)} bytes, server_chosen={self.server_chosen})"
        )
        return redact(shown, self.secrets())

    def __rich_repr__(self) -> list[tuple[str, Any]]:  # msgspec's has all of it
        return [("method", self.method), ("address", redact(self.address, self.secrets()))]

    def _is_secret(self, name: bytes) -> bool:
        return name in self.given or names_secret(name)


def names_secret(name: bytes) -> bool:
    """Whether the header `name`, in lower case, is one of those whose values are secret."""
    return _CREDENTIALS.search(name) is not None


def basic_secrets(coded: str) -> list[str]:
    """The secrets in credentials of the scheme Basic (RFC 7617): the pair, and its password."""
    try:
        pair = b64decode(coded.strip()).decode()
    except ValueError:
        return []
    return [pair, pair.partition(":")[2]]


def make_headers(pairs: Iterable[tuple[str, str]]) -> Headers:
    """Headers of `pairs`. If a name is repeated, its last value is used, in the first place.

    Raises LocalProtocolError for what a header can't hold. The message does not show the value.
    """
    headers: dict[bytes, bytes] = {}
    for name, value in pairs:
        key = _header_name(name)
        check_plain(value, f"header {name}", show=False)
        if not value.isascii() and max(value) > "\xff":
            raise LocalProtocolError(f"header {name}: use only Latin-1 characters")
        headers[key] = value.strip().encode("latin-1")
    return list(headers.items())


@lru_cache(256)
def _header_name(name: str) -> bytes:
    """`name` in lower case, the same object each time. Raises LocalProtocolError."""
    if _TOKEN.fullmatch(name) is None:
        raise LocalProtocolError(f"header name {name!r}: use only letters, digits and hyphens")
    return name.lower().encode()


def as_headers(headers: HeadersLike) -> Headers:
    """Headers as h11 has them. Raises LocalProtocolError if an item is not a pair."""

    def to_bytes(text: str | bytes) -> bytes:
        return text if isinstance(text, bytes) else text.encode("latin-1", "replace")

    given: Any = headers
    pairs: Iterable[tuple[Any, Any]] = given.items() if hasattr(given, "items") else given
    try:
        return [(to_bytes(name).lower(), to_bytes(value)) for name, value in pairs]
    except (TypeError, ValueError, AttributeError):
        raise LocalProtocolError("headers: give (name, value) pairs of bytes or text") from None


def get_header(headers: Headers, name: bytes) -> str | None:
    """The first value of the header `name` (lower case), or None."""
    for key, value in headers:
        if key.lower() == name:
            return value.decode("latin-1").strip()
    return None


def content_type(headers: Headers) -> str:
    """The media type in lower case without parameters; empty if there is none. Of several, as a
    proxy joins the headers of two, the first."""
    return _AFTER.split(get_header(headers, b"content-type") or "")[0].strip().lower()


_AFTER = re.compile("[;,]")


def check_plain(text: str, what: str, *, show: bool = True) -> str:
    """`text`, if it has no control character. Raises LocalProtocolError, which names `what`."""
    if _CONTROL.search(text) is not None:
        shown = f" {text[:100]!r}" if show else ""
        raise LocalProtocolError(f"{what}{shown} has a control character: remove it")
    return text


def _split(url: str, what: str) -> SplitResult:
    advice = "give credentials by key= or headers=, not in the URL"
    if "@" in re.split("[/?#]", url.partition("://")[2])[0]:
        raise LocalProtocolError(f"{what}: {advice}")
    # A query may hold a key, and what is before an @ a password, with delimiters in it.
    shown = what if "@" in url else f"{what} {url.partition('?')[0]!r}"
    check_plain(url, shown, show=False)
    if not url.isascii() or " " in url:
        raise LocalProtocolError(f"{shown}: percent-encode spaces and non-ASCII characters")
    parts = _parts(url)
    if parts is None:
        wrong = "the host or the port is not valid (an IPv6 address has brackets)"
        raise LocalProtocolError(f"{shown}: {advice if '@' in url else wrong}")
    if parts.scheme not in _DEFAULT_PORTS or not parts.hostname or parts.port == 0:
        raise LocalProtocolError(f"{shown}: give http:// or https://, a host, and a port above 0")
    if "[" not in parts.netloc and not _HOST.issuperset(parts.hostname):
        # Other parsers read such a host differently: it would not be the host that was checked.
        raise LocalProtocolError(f"{shown}: use only letters, digits, hyphens and dots in the host")
    return parts


def _parts(url: str) -> SplitResult | None:
    """The parts of `url`, or None. The error is dropped, as it may quote a password."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return None
    return parts


def check_url(url: str, what: str = "URL") -> str:
    """`url`, if it is an absolute http(s) URL without credentials. Raises LocalProtocolError."""
    return _split(url, what)._replace(fragment="").geturl()


@lru_cache(64)
def join_url(base: str, path: str, *endpoints: str) -> str:
    """`path` below `base`, whose own path and query are kept (Azure's `?api-version=`).

    A `/v1`, `/v2` or `/api` that both have is written once, as some services document their base
    URL with it. One of the `endpoints` at the end of `base` is left out, as others show the whole
    address of the chat; a placeholder in it (`{model}`) is any text without a slash. Raises
    LocalProtocolError if `base` is not an http(s) URL.
    """
    parts = _split(base, "base_url")
    path, _, query = path.partition("?")
    below = parts.path.rstrip("/")
    for endpoint in endpoints:
        pattern = "[^/]+".join(map(re.escape, _PLACEHOLDER.split(endpoint.rstrip("/"))))
        below = re.sub(rf"(?:{pattern})\Z", "", below)
    for beginning in ("/v1", "/v2", "/api"):
        if path.startswith(f"{beginning}/"):
            below = below.removesuffix(beginning)
    return parts._replace(
        path=below + path,
        query="&".join(filter(None, (parts.query, query))),
        fragment="",
    ).geturl()
