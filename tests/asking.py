"""A plain question to a provider, and the plainest pieces of an answer."""

from random import Random

from tokenwire.protocols.chat import as_chat
from tokenwire.protocols.exchange import Exchange
from tokenwire.protocols.limits import Limits
from tokenwire.protocols.registry import provider_named
from tokenwire.protocols.toolkit.http import Headers

HTML: Headers = [(b"content-type", b"text/html; charset=utf-8")]


def chunk(text: str, finish: str = "null") -> bytes:
    """A chunk of the openai dialect, as JSON."""
    return (
        f'{{"choices":[{{"index":0,"delta":{{"content":"{text}"}},"finish_reason":{finish}}}]}}'
    ).encode()


def question(
    provider: str = "openai", *, key: str | None = None, limits: Limits | None = None
) -> Exchange:
    """An exchange of `provider` that has a plain question to ask."""
    chat = as_chat("hi", model="gpt-4o" if provider == "openai" else "")
    return provider_named(provider).exchange(chat, key=key, limits=limits, random=Random(1))
