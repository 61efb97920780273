"""The services that speak Anthropic Messages, as data."""

from typing import Any

from ...auth import Bearer
from ...clocks import Clocks
from ...dialect import Dialect
from ...provider import Provider

__all__ = ["presets"]

_OURS = 32_000
"""The default of `max_tokens`, which the format requires, for Claude: every living model takes
it."""
_THEIRS = 8192
"""The same for models of others."""

_DOCS = "https://platform.claude.com/docs/en"
_COMPATIBLE = "https://developersdigest.tech/reference/api-compatibility"
"""Quotes the vendors' pages."""
_MODELS = "/v1/models?limit=1000"


def presets(dialect: Dialect) -> dict[str, Provider]:
    """The providers by name."""

    def provider(name: str, base_url: str, **more: Any) -> Provider:
        fields = {"max_tokens": _THEIRS, **more.pop("fields", {})}
        known: dict[str, Any] = {
            "any_model": True,
            "clocks": Clocks(idle=600),  # while a model thinks, only pings come
            "checked": "2026-11-29",
            "models_path": _MODELS,
        }
        return Provider(
            name=name, dialect=dialect, base_url=base_url, fields=fields, **{**known, **more}
        )

    def claude(name: str, base_url: str, **more: Any) -> Provider:
        return provider(name, base_url, **{**more, "fields": {"max_tokens": _OURS}})

    def vertex(name: str, host: str, region: str, params: dict[str, str]) -> Provider:
        where = f"projects/{{project}}/locations/{region}/publishers/anthropic/models"
        return provider(
            name,
            f"https://{host}/v1/{where}",
            params={"project": "ANTHROPIC_VERTEX_PROJECT_ID", **params},
            path="/{model}:streamRawPredict",
            whole_path="/{model}:rawPredict",
            fields={"max_tokens": _OURS, "anthropic_version": "vertex-2023-10-16"},
            omits=frozenset(("model",)),
            auth=Bearer(),
            models_path=None,
            otel_name="gcp.vertex_ai",
            source=f"{_DOCS}/build-with-claude/claude-on-vertex-ai",
        )

    def compatible(name: str, base_url: str, key: str = "", **more: Any) -> Provider:
        """One of another vendor, with the variable of its key; without one it needs no key."""
        known: dict[str, Any] = {
            "env": (key,) if key else (),
            "key_optional": not key,
            "source": _COMPATIBLE,
        }
        return provider(f"{name}-anthropic", base_url, **{**known, **more})

    found = [
        claude(
            "anthropic",
            "https://api.anthropic.com",
            site="https://platform.claude.com",
            working=True,
            models=_CLAUDE,
            env=("ANTHROPIC_API_KEY",),
            base_env=("ANTHROPIC_BASE_URL",),
            source=f"{_DOCS}/api/overview",
        ),
        vertex(
            "anthropic-vertex",
            "{region}-aiplatform.googleapis.com",
            "{region}",
            {"region": "CLOUD_ML_REGION"},
        ),
        vertex("anthropic-vertex-global", "aiplatform.googleapis.com", "global", {}),
        claude(
            "anthropic-foundry",
            "https://{resource}.services.ai.azure.com/anthropic",
            params={"resource": "ANTHROPIC_FOUNDRY_RESOURCE"},
            env=("ANTHROPIC_FOUNDRY_API_KEY",),
            base_env=("ANTHROPIC_FOUNDRY_BASE_URL",),
            models_path=None,
            otel_name="azure.ai.inference",
            source="PyPI anthropic 2.14.0, lib/foundry.py",
        ),
        compatible(
            "deepseek",
            "https://api.deepseek.com/anthropic",
            "DEEPSEEK_API_KEY",
            models=("deepseek-v4-pro", "deepseek-v4-flash"),
            models_path=None,
        ),
        compatible(
            "kimi",
            "https://api.moonshot.ai/anthropic",
            "MOONSHOT_API_KEY",
            auth=Bearer(),
            models=("kimi-k3", "kimi-k2.5"),
            models_path=None,
        ),
        compatible(
            "zai",
            "https://api.z.ai/api/anthropic",
            "ZAI_API_KEY",
            auth=Bearer(),
            models=("glm-5.2", "glm-4.7"),
            models_path=None,
        ),
        compatible(
            "minimax",
            "https://api.minimax.io/anthropic",
            "MINIMAX_API_KEY",
            auth=Bearer(),
            models=("MiniMax-M3", "MiniMax-M2.7"),
            models_path=None,
        ),
        compatible("openrouter", "https://openrouter.ai/api", "OPENROUTER_API_KEY", auth=Bearer()),
        compatible(
            "ollama",
            "http://localhost:11434",
            auth=Bearer(),  # of its cloud, https://ollama.com
            env=("OLLAMA_API_KEY",),
            refuses=frozenset(("tool_choice",)),
            source="https://github.com/ollama/ollama, docs/api/anthropic-compatibility.mdx",
        ),
        compatible("lmstudio", "http://localhost:1234"),
        compatible("llamacpp", "http://localhost:8080"),
        compatible("vllm", "http://localhost:8000", auth=Bearer()),
    ]
    return {each.name: each for each in found}


_CLAUDE = (
    "claude-fable-5-2",
    "claude-opus-5-5",
    "claude-sonnet-5-5",
    "claude-haiku-5-5",
    "claude-sonnet-4-6",
    "claude-haiku-4-5",
)
