"""Cohere's own service, as data."""

from ...dialect import Dialect
from ...provider import Provider

__all__ = ["presets"]


def presets(dialect: Dialect) -> dict[str, Provider]:
    """The providers by name."""
    ours = Provider(
        name="cohere",
        dialect=dialect,
        base_url="https://api.cohere.com",
        site="https://cohere.com",
        models=(
            *("command-a-plus-05-2026", "command-a-03-2025", "command-a-reasoning-08-2025"),
            *("command-a-vision-07-2025", "command-r7b-12-2024", "command-r-plus-08-2024"),
            "command-r-08-2024",
        ),
        any_model=True,
        working=True,
        env=("CO_API_KEY", "COHERE_API_KEY"),
        base_env=("CO_API_URL",),
        models_path="/v1/models?endpoint=chat&page_size=1000",
        otel_name="cohere",
        checked="2026-11-29",
        source="https://docs.cohere.com/reference/chat",
    )
    return {ours.name: ours}
