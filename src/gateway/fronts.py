"""What callers speak: the formats in front, and which request is in which of them."""

from collections.abc import Callable, Iterable, Iterator
from copy import copy
from urllib.parse import unquote

import msgspec

from ..protocols.dialect import Dialect, Endpoint
from ..protocols.errors import BadRequest
from ..protocols.provider import Provider
from ..protocols.refusing import refuse
from ..protocols.registry import PROVIDERS
from ..protocols.service import Responder, Sealer, Service
from ..protocols.toolkit.http import Request, get_header

__all__ = ["FORMATS", "Front", "Fronts", "addressed", "unknown_model"]

FORMATS = (*("openai", "openai-responses", "anthropic", "gemini", "ollama", "cohere", "bedrock"),)
"""A provider of each format, in the order in which they are tried."""

_PREFIXES = {
    "/v1beta": "gemini",
    "/api/": "ollama",
    "/v2/": "cohere",
    "/model/": "bedrock",
}
"""How the paths of one format begin: several formats have `/models`."""


class Front(msgspec.Struct, frozen=True):
    """The format of one request, and what it asks for. `found` has the values of the path's
    placeholders."""

    service: Service
    endpoint: Endpoint
    found: dict[str, str]

    @property
    def dialect(self) -> Dialect:
        return self.service.provider.dialect

    def listing(self, models: Iterable[str]) -> "Front":
        """The same, with only these models."""
        twin = copy(self.service)
        twin.provider = twin.provider.replace(models=tuple(models))
        return msgspec.structs.replace(self, service=twin)

    def responder(self, sealer: Sealer | None = None) -> Responder:
        """A server half for the request."""
        service = self.service if sealer is None else self.service.sealed_by(sealer)
        return service.responder()


class Fronts:
    """The server halves of all formats, each made when it is needed: to load them all takes a third
    of the time to start. `models` are the names that callers may ask for."""

    def __init__(self, models: Iterable[str], now: Callable[[], float]) -> None:
        self._models = tuple(models)
        self._now = now
        self._services: dict[str, Service] = {}

    def of(self, request: Request) -> Front:
        """The front of `request`. Raises BadRequest (404, 405)."""
        refused: BadRequest | None = None
        for service in self._likely(request):
            try:
                return Front(service, *service.route(request))
            except BadRequest as error:
                if refused is None or (error.status == 405 and refused.status == 404):
                    refused = error
        assert refused is not None
        raise refused

    def nearest(self, request: Request) -> Service:
        """Whose error a request gets that is in no format."""
        return next(self._likely(request))

    def _likely(self, request: Request) -> Iterator[Service]:
        """The services in the order in which the request may be theirs."""
        target = request.target
        first = [name for prefix, name in _PREFIXES.items() if target.startswith(prefix)]
        if get_header(request.headers, b"anthropic-version") is not None:
            first.append("anthropic")
        return map(self._service, dict.fromkeys((*first, *FORMATS)))

    def _service(self, name: str) -> Service:
        if name not in self._services:
            provider = _provider(name, self._models)
            self._services[name] = Service(provider, now=self._now)
        return self._services[name]


def addressed(request: Request) -> tuple[str, Request]:
    """The model that the path of a request names in front of all else (`/t/MODEL/v1/messages`), for
    clients that can't be told which model to ask for; empty: none. And the request without it."""
    before, found, rest = request.url.partition("/t/")
    model, slash, path = rest.partition("/")
    if not (found and slash and model) or before.count("/") != 2 or "?" in model:
        return "", request
    return unquote(model), msgspec.structs.replace(request, url=f"{before}/{path}")


def _provider(name: str, models: tuple[str, ...]) -> Provider:
    """The provider of a front: nothing of it but its format is known to callers."""
    dialect = PROVIDERS[name].dialect
    return Provider(name="tokenwire", dialect=dialect, base_url="", models=models, any_model=True)


def unknown_model(name: str, known: Iterable[str]) -> BadRequest:
    """The refusal of a model that the configuration has not, or the key may not use."""
    names = ", ".join(known) or "none"
    return refuse(
        BadRequest, 404, f"there is no model {name!r} here (known: {names})", "model_not_found"
    )
