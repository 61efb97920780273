"""The services that speak OpenAI Responses, as data."""

from typing import Any

from ...auth import Header
from ...clocks import Clocks
from ...dialect import Dialect
from ...provider import Provider

__all__ = ["presets"]

_DOCS = "https://platform.openai.com/docs/api-reference/responses"
_COMPATIBLE = "https://developersdigest.tech/reference/api-compatibility"
"""Quotes the vendors' pages."""


def presets(dialect: Dialect) -> dict[str, Provider]:
    """The providers by name. None of them is asked to keep what was said, as the whole conversation
    is sent each time: `Chat.extra={"store": True}` changes that."""

    def provider(name: str, base_url: str, key: str = "", **more: Any) -> Provider:
        """With the variable of its key; without one it needs no key."""
        known: dict[str, Any] = {
            "any_model": True,
            "env": (key,) if key else (),
            "key_optional": not key,
            "clocks": Clocks(idle=600),  # while a model thinks, nothing comes
            "fields": {"store": False},
            "checked": "2026-11-29",
            "source": _COMPATIBLE,
        }
        name = f"{name}-responses"
        return Provider(name=name, dialect=dialect, base_url=base_url, **{**known, **more})

    found = [
        provider(
            "openai",
            "https://api.openai.com/v1",
            "OPENAI_API_KEY",
            site="https://platform.openai.com",
            working=True,
            models=("gpt-6.2-astra", "gpt-6.2-sol", "gpt-6.1-terra", "gpt-5.6-sol"),
            base_env=("OPENAI_BASE_URL",),
            otel_name="openai",
            source=_DOCS,
        ),
        provider(
            "azure",
            "https://{resource}.openai.azure.com/openai/v1",
            "AZURE_OPENAI_API_KEY",
            params={"resource": "AZURE_RESOURCE_NAME"},
            auth=Header("api-key"),
            omits=frozenset(("input.status", "context_management")),
            otel_name="azure.ai.openai",
            source="PyPI litellm 1.110.2, llms/azure/responses/transformation.py",
        ),
        provider(
            "azure-dated",
            "https://{resource}.openai.azure.com/openai",
            "AZURE_OPENAI_API_KEY",
            params={"resource": "AZURE_RESOURCE_NAME"},
            query={"api-version": "2025-04-01-preview"},
            auth=Header("api-key"),
            omits=frozenset(("input.status", "context_management")),
            models_path=None,
            otel_name="azure.ai.openai",
            source="PyPI openai 3.57.0, lib/azure.py",
        ),
        provider(
            "xai",
            "https://api.x.ai/v1",
            "XAI_API_KEY",
            site="https://x.ai",
            models=("grok-4.6",),
            omits=frozenset(("metadata",)),
            otel_name="x_ai",
            source="PyPI litellm 1.110.2, llms/xai/responses/transformation.py",
        ),
        provider(
            "openrouter",
            "https://openrouter.ai/api/v1",
            "OPENROUTER_API_KEY",
            otel_name="openrouter",
        ),
        provider(
            "deepseek",
            "https://api.deepseek.com",
            "DEEPSEEK_API_KEY",
            models=("deepseek-v4-flash",),
            otel_name="deepseek",
            source="https://github.com/pydantic/pydantic-ai, models/openai.py",
        ),
        provider("kimi", "https://api.moonshot.ai/v1", "MOONSHOT_API_KEY", models=("kimi-k3",)),
        provider("minimax", "https://api.minimax.io/v1", "MINIMAX_API_KEY", models=("MiniMax-M3",)),
        provider("zai", "https://api.z.ai/api/v1", "ZAI_API_KEY", models=("glm-5.2",)),
        provider("vercel-gateway", "https://ai-gateway.vercel.sh/v1", "AI_GATEWAY_API_KEY"),
        provider("ollama", "http://localhost:11434/v1"),
        provider("lmstudio", "http://localhost:1234/v1"),
        provider("vllm", "http://localhost:8000/v1"),
        provider("llamacpp", "http://localhost:8080/v1"),
    ]
    return {each.name: each for each in found}
