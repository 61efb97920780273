"""A provider: one service as data. And `Question`, a chat put to it, with all that goes along."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from .body import Step
from .chat import Chat
from .clocks import Clocks
from .errors import LocalProtocolError
from .events import Evidence
from .exchange import Exchange
from .limits import Limits
from .toolkit.http import Request, check_plain, check_url, join_url, make_headers

if TYPE_CHECKING:
    from .service import Responder, Service

__all__ = ["Dialect", "Provider", "Question", "RandomSource"]

VERSION = "0.1.0"
"""The version of tokenwire, here for the user-agent."""


class RandomSource(Protocol):
    """Where random strings come from: `random.SystemRandom()`, or `random.Random(1)` in a test."""

    def choices(self, population: Sequence[str], *, k: int) -> list[str]:
        """`k` picks of `population`."""
        ...


class Dialect(Protocol):
    """One wire format, both directions."""

    def ask(self, question: "Question") -> Step:
        """The client's first step. Raises LocalProtocolError for what can't be asked."""
        ...

    def respond(self, service: "Service") -> "Responder":
        """The server's side of one request."""
        ...


class Provider(msgspec.Struct, frozen=True, kw_only=True):
    """One service as data."""

    name: str
    dialect: Dialect
    base_url: str
    """What the addresses of its requests begin with; another one may be given with a chat."""
    site: str = ""
    models: tuple[str, ...] = ()
    default_model: str = ""
    aliases: dict[str, str] = {}
    any_model: bool = False
    """Whether it takes models that are not listed, too."""
    capabilities: frozenset[str] = frozenset()
    """Of: text, images (makes them), vision (sees them), tools, history, options, reasoning."""
    working: bool = False
    """Whether the public service still answered when this was written."""
    owes: Evidence = "finish"
    """The least evidence that an answer is complete."""
    clocks: Clocks = Clocks()
    env: tuple[str, ...] = ()
    """Environment variables that may hold the key, in order. Only data: the core reads none of
    them, but `ask`, `stream` and the command do."""
    headers: dict[str, str] = {}
    fields: dict[str, Any] = {}
    """Fields of each request body, which those of a chat override."""

    def __repr__(self) -> str:
        # Not more: a provider of one's own may have a key in its headers, fields and base URL.
        return f"<Provider {self.name}>"

    def model(self, name: str) -> str:
        """The service's own name of the model `name` (empty: the default one).

        Raises LocalProtocolError, with the known models and the closest ones, if there is none.
        """
        name = check_plain(self.aliases.get(name, name) or self.default_model, "model")
        if name in self.models or (self.any_model and name):
            return name
        if not name:
            raise LocalProtocolError(f"{self.name} has no default model: give one with model=")
        known = [*self.models, *self.aliases]
        if len(name) > 100:  # a server is asked for anything, and to compare takes long
            name = f"{name[:100]}..."
        from difflib import get_close_matches  # only an error wants it

        close = get_close_matches(name, known)
        meant = f"; did you mean {' or '.join(close)}?" if close else ""
        raise LocalProtocolError(
            f"{self.name} has no model {name!r}{meant} (known: {', '.join(known)})"
        )

    def exchange(
        self,
        chat: Chat,
        *,
        key: str | None = None,
        base_url: str | None = None,
        headers: Mapping[str, str] | None = None,
        limits: Limits | None = None,
        clocks: Clocks | None = None,
        random: RandomSource | None = None,
    ) -> Exchange:
        """The exchange that asks this provider `chat`.

        `headers` are added to those of each request but one to a server-chosen address. `random`
        is needed where a service wants random strings (aichatonline): `random.SystemRandom()`.
        Raises LocalProtocolError for what this provider can't be asked.
        """
        if not isinstance(chat, Chat):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise LocalProtocolError("give a Chat: as_chat(...) makes one of text or messages")
        question = Question(
            provider=self,
            chat=chat,
            model=self.model(chat.model),
            key=None if key is None else check_plain(key, "key", show=False),
            base_url=self.base_url if base_url is None else base_url,
            headers=dict(headers or {}),
            limits=limits or _LIMITS,
            random=random,
        )
        return Exchange(
            question.ask,
            owes=self.owes,
            clocks=clocks or self.clocks,
            limits=question.limits,
        )


class Question(msgspec.Struct, frozen=True):
    """A chat put to a provider: what a dialect makes its requests of."""

    provider: Provider
    chat: Chat
    model: str
    base_url: str
    limits: Limits
    key: str | None = None
    headers: Mapping[str, str] = {}
    random: RandomSource | None = None

    def __repr__(self) -> str:
        # Not more: keys may stand in the headers, and in the address.
        return f"<Question to {self.provider.name} {self.model}>"

    def ask(self) -> Step:
        """The first step of an answer to it."""
        return self.provider.dialect.ask(self)

    def post(self, path: str, body: dict[str, Any], headers: Mapping[str, str] = {}) -> Request:
        """A POST of `body` as JSON, with the provider's fields below and the chat's extra ones
        above it."""
        fields = {**self.provider.fields, **body, **self.chat.extra}
        try:
            content = msgspec.json.encode(fields)
        except (TypeError, ValueError, RecursionError) as error:
            raise LocalProtocolError(f"the chat can't be written as JSON: {error}") from None
        return self._request("POST", path, {"content-type": "application/json", **headers}, content)

    def get(self, path: str, headers: Mapping[str, str] = {}) -> Request:
        """A GET."""
        return self._request("GET", path, headers, b"")

    def get_server_chosen(self, url: str) -> Request:
        """A GET of an address that the server chose: none of the credentials, none of the
        caller's headers. Raises LocalProtocolError if it is no http(s) URL."""
        headers = {**_COMMON, "accept": "image/*"}
        return Request("GET", check_url(url), make_headers(headers.items()), server_chosen=True)

    def random_text(self, length: int) -> str:
        """A random string of a-z and 0-9. Raises LocalProtocolError without a source."""
        if self.random is None:
            raise LocalProtocolError(
                f"{self.provider.name} needs random strings: give random=random.SystemRandom()"
            )
        return "".join(self.random.choices("abcdefghijklmnopqrstuvwxyz0123456789", k=length))

    def refuse_options(self, *allowed: str) -> None:
        """Raises LocalProtocolError for a key, and options of the chat, that are not `allowed`."""
        options = self.chat.options()
        if self.key is not None:
            options.append("key")
        if not self.chat.stream:
            options.append("stream=False")
        for name in options:
            if name not in allowed:
                raise LocalProtocolError(
                    f"{self.provider.name} can't take {name}: leave it out of the chat"
                )

    def _request(
        self, method: str, path: str, headers: Mapping[str, str], content: bytes
    ) -> Request:
        url = join_url(self.base_url, path)
        pairs = [
            *_COMMON.items(),
            *self.provider.headers.items(),
            *headers.items(),
            *self.headers.items(),
        ]
        return Request(method, url, make_headers((n.lower(), v) for n, v in pairs), content)


_LIMITS = Limits()
_COMMON = {"user-agent": f"tokenwire/{VERSION}", "accept-encoding": "identity"}
