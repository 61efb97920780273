"""The services that speak generateContent, as data."""

from typing import Any

from ...auth import Bearer
from ...clocks import Clocks
from ...dialect import Dialect
from ...provider import Provider

__all__ = ["presets"]

_DOCS = "https://ai.google.dev/gemini-api/docs"
_VERTEX = "https://cloud.google.com/vertex-ai/generative-ai/docs"


def presets(dialect: Dialect) -> dict[str, Provider]:
    """The providers by name."""

    def provider(name: str, base_url: str, **more: Any) -> Provider:
        known: dict[str, Any] = {
            "any_model": True,
            "models": _MODELS,
            "clocks": Clocks(idle=600),  # while a model thinks, nothing comes
            "checked": "2026-11-29",
        }
        return Provider(name=name, dialect=dialect, base_url=base_url, **{**known, **more})

    def vertex(name: str, host: str, location: str, **more: Any) -> Provider:
        where = f"projects/{{project}}/locations/{location}/publishers/google"
        params = {"project": "GOOGLE_CLOUD_PROJECT"}
        if "{" in location:
            params["location"] = "GOOGLE_CLOUD_LOCATION"
        return provider(
            name,
            f"https://{host}/v1/{where}",
            params=params,
            auth=Bearer(),  # a short-lived token of OAuth
            models_path=None,
            otel_name="gcp.vertex_ai",
            source=f"{_VERTEX}/model-reference/inference",
            **more,
        )

    found = [
        provider(
            "gemini",
            "https://generativelanguage.googleapis.com/v1beta",
            site="https://ai.google.dev",
            working=True,
            env=("GOOGLE_API_KEY", "GEMINI_API_KEY"),
            base_env=("GOOGLE_GEMINI_BASE_URL",),
            models_path="/models?pageSize=1000",
            otel_name="gcp.gemini",
            source=f"{_DOCS}/api-overview",
        ),
        vertex("gemini-vertex", "{location}-aiplatform.googleapis.com", "{location}"),
        vertex("gemini-vertex-global", "aiplatform.googleapis.com", "global"),
        provider(
            "gemini-vertex-express",
            "https://aiplatform.googleapis.com/v1/publishers/google",
            env=("GOOGLE_API_KEY",),
            models_path=None,
            otel_name="gcp.vertex_ai",
            source=f"{_VERTEX}/start/express-mode/overview",
        ),
    ]
    return {each.name: each for each in found}


_MODELS = (
    "gemini-3.5-flash",
    "gemini-3.1-pro-preview",
    "gemini-3.5-flash-lite",
    "gemini-2.5-pro",
    "gemini-2.5-flash",
    "gemini-2.5-flash-lite",
)
