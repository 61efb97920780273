"""The services that speak chat completions, as data."""

from ...clocks import Clocks
from ...dialect import Dialect
from ...provider import Provider

__all__ = ["presets"]


def presets(dialect: Dialect) -> dict[str, Provider]:
    """The providers by name."""
    openai = Provider(
        name="openai",
        dialect=dialect,
        base_url="https://api.openai.com/v1",
        site="https://platform.openai.com",
        any_model=True,
        working=True,
        env=("OPENAI_API_KEY",),
        base_env=("OPENAI_BASE_URL",),
    )
    ylokh = Provider(  # chat.ylokh.xyz, which is shut down
        name="ylokh",
        dialect=dialect,
        base_url="https://chatapi.ylokh.xyz/v1",
        site="https://chat.ylokh.xyz",
        working=False,
        models=("gpt-3.5-turbo",),
        default_model="gpt-3.5-turbo",
        any_model=True,
        refuses=frozenset(("images", "files", "reasoning")),
        clocks=Clocks(total=120),
        ask_usage=False,  # its documentation does not know `stream_options`
        headers={"origin": "https://chat.ylokh.xyz", "referer": "https://chat.ylokh.xyz/"},
        fields={
            "temperature": 1,
            "presence_penalty": 0,
            "top_p": 1,
            "frequency_penalty": 0,
            "allow_fallback": True,
            "stream": True,
        },
    )
    return {provider.name: provider for provider in (openai, ylokh)}
