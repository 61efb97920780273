"""All providers by name. A dialect's module is loaded when its provider is first asked for: there
are many, and most programs talk to one."""

from collections.abc import Iterator, Mapping
from importlib import import_module

from .errors import LocalProtocolError
from .provider import Provider

__all__ = ["PROVIDERS", "provider_named"]

_MODULES = {
    "darkai": "founding.darkai.client",
    "ylokh": "openai_chat.presets",
    "aichats": "founding.aichats.client",
    "aichatonline": "founding.aichatonline.client",
    "openai": "openai_chat.client",
}
"""The providers, and the modules that hold them."""


class _Providers(Mapping[str, Provider]):
    def __getitem__(self, name: str) -> Provider:
        if name not in _MODULES:
            raise KeyError(name)
        provider: Provider = import_module(f".formats.{_MODULES[name]}", __package__).PROVIDER
        return provider

    def __iter__(self) -> Iterator[str]:
        return iter(_MODULES)

    def __len__(self) -> int:
        return len(_MODULES)


PROVIDERS: Mapping[str, Provider] = _Providers()


def provider_named(name: str | Provider) -> Provider:
    """The provider called `name`; a provider is itself. Raises LocalProtocolError."""
    if isinstance(name, Provider):
        return name
    if name not in _MODULES:
        known = ", ".join(_MODULES)
        raise LocalProtocolError(f"there is no provider {name!r} (known: {known})")
    return PROVIDERS[name]
