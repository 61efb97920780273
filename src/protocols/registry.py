"""All providers by name. A format is imported when one of its providers is first used: there are
many, and most programs need one. To add a format, add its folder and a line here."""

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import TYPE_CHECKING

from .errors import LocalProtocolError

if TYPE_CHECKING:
    from .provider import Provider

__all__ = ["PROVIDERS", "provider_named"]

_FORMATS: dict[str, tuple[str, ...]] = {
    "openai_chat": ("openai", "ylokh"),
    "anthropic": (
        *("anthropic", "anthropic-vertex", "anthropic-vertex-global", "anthropic-foundry"),
        *("deepseek-anthropic", "kimi-anthropic", "zai-anthropic", "minimax-anthropic"),
        *("openrouter-anthropic", "ollama-anthropic", "lmstudio-anthropic"),
        *("llamacpp-anthropic", "vllm-anthropic"),
    ),
    "gemini": ("gemini", "gemini-vertex", "gemini-vertex-global", "gemini-vertex-express"),
    "ollama": ("ollama", "ollama-cloud"),
    "openai_responses": (
        *("openai-responses", "azure-responses", "azure-dated-responses", "xai-responses"),
        *("openrouter-responses", "deepseek-responses", "kimi-responses", "minimax-responses"),
        *("zai-responses", "vercel-gateway-responses", "ollama-responses"),
        *("lmstudio-responses", "vllm-responses", "llamacpp-responses"),
    ),
    "founding.darkai": ("darkai",),
    "founding.aichats": ("aichats",),
    "founding.aichatonline": ("aichatonline",),
}
"""The folder of each format, and the names in its `PROVIDERS`."""

_FOLDERS = {name: folder for folder, names in _FORMATS.items() for name in names}


class _Providers(Mapping[str, "Provider"]):
    def __getitem__(self, name: str) -> "Provider":
        if name not in _FOLDERS:
            raise KeyError(name)
        module = import_module(f".formats.{_FOLDERS[name]}", __package__)
        provider: Provider = module.PROVIDERS[name]
        return provider

    def __iter__(self) -> Iterator[str]:
        return iter(_FOLDERS)

    def __len__(self) -> int:
        return len(_FOLDERS)


PROVIDERS: "Mapping[str, Provider]" = _Providers()


def provider_named(name: "str | Provider") -> "Provider":
    """The provider called `name`; a provider is itself. Raises LocalProtocolError."""
    if not isinstance(name, str):
        return name
    if name not in _FOLDERS:
        known = ", ".join(_FOLDERS)
        raise LocalProtocolError(f"there is no provider {name!r} (known: {known})")
    return PROVIDERS[name]
