"""All providers by name."""

from . import aichatonline, aichats, darkai, openai, ylokh
from .errors import LocalProtocolError
from .provider import Provider

__all__ = ["PROVIDERS", "provider_named"]

PROVIDERS: dict[str, Provider] = {
    module.PROVIDER.name: module.PROVIDER
    for module in (darkai, ylokh, aichats, aichatonline, openai)
}


def provider_named(name: str | Provider) -> Provider:
    """The provider called `name`; a provider is itself. Raises LocalProtocolError."""
    if isinstance(name, Provider):
        return name
    if name not in PROVIDERS:
        known = ", ".join(PROVIDERS)
        raise LocalProtocolError(f"there is no provider {name!r} (known: {known})")
    return PROVIDERS[name]
