"""`Question`: a chat for one provider with all its options. A format makes its requests of it."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import quote

import msgspec

from . import VERSION, errors
from .auth import KeySource, key_text
from .chat import Chat
from .encoding import merge
from .errors import LocalProtocolError, Refused
from .events import FinishKind
from .limits import Limits
from .step import Step
from .toolkit.http import Request, check_url, join_url, make_headers
from .toolkit.refusals import ErrorTable

if TYPE_CHECKING:
    from .provider import Provider

__all__ = ["Question", "RandomSource"]

_COMMON = {"user-agent": f"tokenwire/{VERSION}", "accept-encoding": "identity"}

_SHOWN = frozenset(
    ("accept", "accept-language", "alt-used", "cache-control", "origin", "pragma", "referer")
)
"""Headers of a provider that are no secrets, as presets have them. Others may be a user's key."""


class RandomSource(Protocol):
    """A source of random strings: `random.SystemRandom()`, or `random.Random(1)` in a test."""

    def choices(self, population: Sequence[str], *, k: int) -> list[str]:
        """`k` random items of `population`."""
        ...


class Question(msgspec.Struct, frozen=True):
    """A chat for one provider."""

    provider: "Provider"
    chat: Chat
    model: str
    base_url: str
    limits: Limits
    key: KeySource | None = None
    headers: Mapping[str, str] = {}
    random: RandomSource | None = None
    now: Callable[[], float] | None = None
    body: bytes | None = None
    """Sent in place of the chat: what a relay has received."""

    def __repr__(self) -> str:
        # Shortened: headers and address may contain keys.
        return f"<Question to {self.provider.name} {self.model}>"

    def __rich_repr__(self) -> list[tuple[str, Any]]:  # msgspec's has all of it
        return [("provider", self.provider.name), ("model", self.model)]

    def ask(self) -> Step:
        """The first step of its exchange."""
        return self.provider.dialect.ask(self)

    def post(self, path: str, body: dict[str, Any], headers: Mapping[str, str] = {}) -> Request:
        """A POST of `body` as JSON to `path`, or to the provider's own. It is merged with the
        provider's fields, over which `body` wins, and the chat's extra ones, which win over it.
        `headers` are the format's: those of the provider win."""
        provider = self.provider
        content = self._content(body) if self.body is None else self.body
        path = (not self.chat.stream and provider.whole_path) or provider.path or path
        path = path.replace("{model}", quote(self.model, safe="@"))
        return self._request("POST", path, {"content-type": "application/json", **headers}, content)

    def _content(self, body: dict[str, Any]) -> bytes:
        provider = self.provider
        try:
            fields = merge(merge(provider.fields, body), self.chat.extra)
            for name in provider.omits & fields.keys():
                del fields[name]
            return msgspec.json.encode(fields)
        except (TypeError, ValueError, RecursionError) as error:
            raise LocalProtocolError(f"the chat can't be written as JSON: {error}") from None

    def post_document(self, path: str, body: bytes) -> Request:
        """A POST of `body`, which is JSON already, to an endpoint beside the chat."""
        headers = {"content-type": "application/json", "accept": "application/json"}
        return self._request("POST", path, headers, body)

    def get(self, path: str, headers: Mapping[str, str] = {}, method: str = "GET") -> Request:
        """A GET, or another request without a body."""
        return self._request(method, path, headers, b"")

    def get_server_chosen(self, url: str) -> Request:
        """A GET of an address that the server chose: without credentials and without the caller's
        headers. Raises LocalProtocolError if it is not an http(s) URL."""
        headers = {**_COMMON, "accept": "image/*"}
        return Request("GET", check_url(url), make_headers(headers.items()), server_chosen=True)

    def sign(self, request: Request) -> Request:
        """`request` with the key, ready to be sent. A key that is a function is called. Raises
        LocalProtocolError for a key that can't be sent."""
        if self.key is None or request.server_chosen:
            return request
        key = self.key() if callable(self.key) else self.key
        if isinstance(key, str) and not key_text(key):
            return request
        auth = self.provider.key_place
        assert auth is not None  # else the key would have been refused
        return auth.sign(request, key, self.now)

    @property
    def finishes(self) -> Mapping[str, FinishKind]:
        """The finish reasons of the format, and those of the provider."""
        own = self.provider.finishes
        return {**self.provider.dialect.finish, **own} if own else self.provider.dialect.finish

    @property
    def errors(self) -> ErrorTable:
        """The format's error table, with the codes of the provider. Raises LocalProtocolError for
        the name of a class that is not one of the errors."""
        provider, table = self.provider, self.provider.dialect.errors
        if not (provider.error_codes or provider.lasting_codes):
            return table
        return msgspec.structs.replace(
            table,
            codes=table.codes | {c: _class(name) for c, name in provider.error_codes.items()},
            lasting_codes=table.lasting_codes | provider.lasting_codes,
        )

    def random_text(self, length: int) -> str:
        """A random string of a-z and 0-9. Raises LocalProtocolError without a source."""
        if self.random is None:
            raise LocalProtocolError(
                f"{self.provider.name} needs random strings: give random=random.SystemRandom()"
            )
        return "".join(self.random.choices("abcdefghijklmnopqrstuvwxyz0123456789", k=length))

    def _request(
        self, method: str, path: str, headers: Mapping[str, str], content: bytes
    ) -> Request:
        provider = self.provider
        chats = [e.path for e in provider.dialect.endpoints_of(provider) if e.does == "chat"]
        url = join_url(self.base_url, _with_query(path, provider.query, self.base_url), *chats)
        pairs = [
            *_COMMON.items(),
            *provider.dialect.headers.items(),
            *headers.items(),
            *provider.headers.items(),
            *self.headers.items(),
        ]
        written = make_headers((name.lower(), value) for name, value in pairs)
        names = {*map(str.lower, provider.headers)} - _SHOWN | {*map(str.lower, self.headers)}
        given = frozenset(map(str.encode, names))
        return Request(method, url, written, content, given=given)


def _class(name: str) -> type[Refused]:
    kind = getattr(errors, name, None)
    if not (isinstance(kind, type) and issubclass(kind, Refused)):
        raise LocalProtocolError(f"error_codes: {name!r} is not one of the errors")
    return kind


def _with_query(path: str, query: Mapping[str, str], base_url: str) -> str:
    """`path` with the fields of `query` that the base URL does not have."""
    if not query:
        return path
    from urllib.parse import parse_qs, urlencode, urlsplit

    there = parse_qs(urlsplit(base_url).query, keep_blank_values=True)
    added = urlencode({name: value for name, value in query.items() if name not in there})
    return f"{path}{'&' if '?' in path else '?'}{added}" if added else path
