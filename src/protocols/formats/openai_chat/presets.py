"""Ylokh (chat.ylokh.xyz): the `openai` dialect with a preset. Its service no longer answers."""

from ...clocks import Clocks
from ...provider import Provider
from .client import OpenAI

__all__ = ["PROVIDER"]

PROVIDER = Provider(
    name="ylokh",
    dialect=OpenAI(),
    base_url="https://chatapi.ylokh.xyz/v1",
    site="https://chat.ylokh.xyz",
    models=("gpt-3.5-turbo",),
    default_model="gpt-3.5-turbo",
    any_model=True,
    capabilities=frozenset(("text", "history", "options", "tools")),
    working=False,
    owes="finish",
    clocks=Clocks(total=120),
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
