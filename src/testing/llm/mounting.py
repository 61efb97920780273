"""Which service a request is for: every format is on one origin, and its path tells which."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from ...protocols.chat import Chat
from ...protocols.errors import BadRequest, Refused, RemoteProtocolError
from ...protocols.provider import Provider
from ...protocols.refusing import refuse
from ...protocols.registry import provider_named
from ...protocols.service import Responder, Service
from ...protocols.toolkit.http import Request, get_header

__all__ = ["Mounts", "Reading", "Readings", "mounted"]

_FORMATS = (
    *("openai", "openai-responses", "anthropic", "gemini", "ollama", "cohere", "bedrock"),
    *("bedrock-anthropic", "aichatonline", "aichats", "darkai"),
)
"""A provider of each format, in the order in which they are tried. Mistral has the paths of OpenAI:
`when(provider="mistral")`."""

_HINTS = {
    "/chat/completions": "openai",
    "/responses": "openai-responses",
    "/messages": "anthropic",
    ":streamGenerateContent": "gemini",
    ":generateContent": "gemini",
    "/v1beta": "gemini",
    "/api/": "ollama",
    "/v2/chat": "cohere",
    "/converse": "bedrock",
    "/invoke": "bedrock-anthropic",
}
"""Parts of paths that tell a format. It need not be right, but spares to import the others."""


class Mounts:
    """The services of one server. What they keep between requests lasts until `renew`."""

    def __init__(self) -> None:
        self._services: dict[str, Service] = {}

    def renew(self) -> None:
        """Forget all: the next answers have the ids of the first ones."""
        self._services = {}

    def named(self, provider: str) -> Service:
        """The service of a provider, which takes any model. Raises LocalProtocolError."""
        if provider not in self._services:
            self._services[provider] = Service(mounted(provider))
        return self._services[provider]

    def route(self, request: Request) -> Service:
        """The service that `request` is for. Raises BadRequest (404, 405)."""
        refused: BadRequest | None = None
        for service in self._likely(request):
            try:
                service.route(request)
                return service
            except BadRequest as error:
                if refused is None or (error.status == 405 and refused.status == 404):
                    refused = error
        assert refused is not None
        raise refused

    def nearest(self, request: Request) -> Service:
        """The service whose error a request gets that is for none."""
        return next(self._likely(request))

    def _likely(self, request: Request) -> Iterator[Service]:
        hinted = [name for part, name in _HINTS.items() if part in request.target]
        if get_header(request.headers, b"anthropic-version") is not None:
            hinted.append("anthropic")
        if get_header(request.headers, b"x-goog-api-key") is not None:
            hinted.append("gemini")
        return map(self.named, dict.fromkeys((*hinted, *_FORMATS)))


@dataclass(frozen=True)
class Reading:
    """A request as the server half of a provider understands it. `chat` is what it asks; None: it
    asks no model; an error: it is refused."""

    responder: Responder
    chat: Chat | Refused | None

    @property
    def provider(self) -> Provider:
        """Whose server half it is."""
        return self.responder.service.provider

    def refused(self, error: Refused) -> "Reading":
        """The same, but refused."""
        return replace(self, chat=error)


class Readings:
    """A request as several providers understand it. `base_url_for` returns the base URL for who
    has asked for an URL."""

    def __init__(
        self, mounts: Mounts, request: Request, base_url_for: Callable[[str], str]
    ) -> None:
        self._mounts = mounts
        self._request = request
        self._base_url_for = base_url_for
        self._known: dict[str | None, Reading] = {}

    def of(self, provider: str | None) -> Reading:
        """The request to `provider`; None: to the one that its path tells."""
        if provider not in self._known:
            self._known[provider] = self._read(provider)
        return self._known[provider]

    def chat(self, provider: str | None) -> Chat | None:
        """What it asks that one; None: it does not ask it."""
        chat = self.of(provider).chat
        return chat if isinstance(chat, Chat) else None

    def _read(self, provider: str | None) -> Reading:
        try:
            service = self._mounts.route(self._request) if provider is None else None
        except BadRequest as error:
            return Reading(self._mounts.nearest(self._request).responder(), error)
        service = service or self._mounts.named(provider or "")
        responder = service.responder()
        responder.base_url = self._base_url_for(self._request.url)
        try:
            return Reading(responder, responder.receive_request(self._request))
        except RemoteProtocolError as error:
            refusal = error if isinstance(error, Refused) else refuse(BadRequest, 400, str(error))
            return Reading(responder, refusal)


def mounted(name: str) -> Provider:
    """The provider as it is here. Raises LocalProtocolError."""
    return provider_named(name).replace(base_url="http://localhost", any_model=True)
