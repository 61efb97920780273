"""Ollama on one's own machine, and its cloud, as data."""

from ...clocks import Clocks
from ...dialect import Dialect
from ...provider import Provider

__all__ = ["presets"]

_DOCS = "https://github.com/ollama/ollama, docs/"


def presets(dialect: Dialect) -> dict[str, Provider]:
    """The providers by name."""
    ours = Provider(
        name="ollama",
        dialect=dialect,
        base_url="http://localhost:11434",
        site="https://ollama.com",
        # Any that was pulled. One with the ending `-cloud` is run by the cloud.
        models=("gpt-oss:20b", "gemma3:4b", "qwen3:4b", "gpt-oss:120b-cloud"),
        any_model=True,
        key_optional=True,
        env=("OLLAMA_API_KEY",),
        base_env=("OLLAMA_HOST",),
        models_path="/api/tags",
        # While a model is loaded nothing comes (the server gives up after 5 minutes), nor while
        # one writes a call, which comes whole.
        clocks=Clocks(first_event=300, idle=300),
        checked="2026-11-29",
        source=f"{_DOCS}api.md",
    )
    cloud = ours.replace(
        name="ollama-cloud",
        base_url="https://ollama.com",
        working=True,
        models=("gpt-oss:20b", "gpt-oss:120b"),
        key_optional=False,
        base_env=(),
        source=f"{_DOCS}cloud.mdx",
    )
    return {each.name: each for each in (ours, cloud)}
