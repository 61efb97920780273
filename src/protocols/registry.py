"""All providers by name. A format is imported when one of its providers is first used: there are
many, and most programs need one. To add a format, add its folder and a line here."""

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import TYPE_CHECKING

from .errors import LocalProtocolError, did_you_mean

if TYPE_CHECKING:
    from .dialect import Dialect
    from .provider import Provider

__all__ = ["DIALECTS", "PROVIDERS", "dialect_named", "provider_named"]

_FORMATS = {
    "openai_chat": (
        "openai azure azure-entra azure-dated groq deepseek xai openrouter together fireworks "
        "perplexity cerebras nvidia moonshot moonshot-cn zai zai-coding zhipu minimax "
        "minimax-cn dashscope dashscope-cn dashscope-us siliconflow siliconflow-cn huggingface "
        "cloudflare cloudflare-gateway databricks snowflake sambanova novita deepinfra nebius "
        "baseten vercel poe upstage ai21 reka gemini-openai vertex-openai vertex-openai-global "
        "bedrock-openai bedrock-mantle cohere-openai ollama-openai lmstudio llamacpp vllm "
        "sglang tgi localai koboldcpp textgen jan docker litellm ylokh"
    ),
    "mistral": "mistral",
    "anthropic": (
        "anthropic anthropic-vertex anthropic-vertex-global anthropic-foundry "
        "deepseek-anthropic kimi-anthropic zai-anthropic minimax-anthropic openrouter-anthropic "
        "ollama-anthropic lmstudio-anthropic llamacpp-anthropic vllm-anthropic"
    ),
    "gemini": "gemini gemini-vertex gemini-vertex-global gemini-vertex-express",
    "ollama": "ollama ollama-cloud",
    "cohere": "cohere",
    "openai_responses": (
        "openai-responses azure-responses azure-dated-responses xai-responses "
        "openrouter-responses deepseek-responses kimi-responses minimax-responses zai-responses "
        "vercel-gateway-responses ollama-responses lmstudio-responses vllm-responses "
        "llamacpp-responses"
    ),
    "bedrock": "bedrock",
    "bedrock_anthropic": "bedrock-anthropic",
    "founding.darkai": "darkai",
    "founding.aichats": "aichats",
    "founding.aichatonline": "aichatonline",
}
"""The folder of each format, and the names in its `PROVIDERS`, in words."""

_FOLDERS = {name: folder for folder, names in _FORMATS.items() for name in names.split()}


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
"""All providers, by name. The format of one is imported when it is first looked up."""


def provider_named(name: "str | Provider") -> "Provider":
    """The provider called `name`; a provider is itself. Raises LocalProtocolError."""
    if not isinstance(name, str):
        return name
    if name not in _FOLDERS:
        meant = did_you_mean(name, _FOLDERS)
        known = ", ".join(_FOLDERS)
        raise LocalProtocolError(f"there is no provider {name!r}{meant} (known: {known})")
    return PROVIDERS[name]


_DIALECTS = {folder.rpartition(".")[2]: names.split()[0] for folder, names in _FORMATS.items()}
"""A provider of each format, by the format's name."""

DIALECTS = tuple(_DIALECTS)
"""The names of all formats."""


def dialect_named(name: str) -> "Dialect":
    """The format called `name`. Raises LocalProtocolError."""
    if name not in _DIALECTS:
        known = ", ".join(DIALECTS)
        raise LocalProtocolError(f"there is no dialect {name!r} (known: {known})")
    return PROVIDERS[_DIALECTS[name]].dialect
