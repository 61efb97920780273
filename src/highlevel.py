"""One question in one line: `ask` for the whole answer, `stream` for its events as they arrive.
`ask_async` and `stream_async` do the same in async code, on whichever event loop is running.
"""

import os
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .protocols.chat import Chat, Message, as_chat
from .protocols.clocks import Clocks
from .protocols.environment import base_url_of, key_of, params_of
from .protocols.limits import Limits
from .protocols.registry import provider_named

if TYPE_CHECKING:
    from .protocols.auth import Key, KeySource
    from .protocols.exchange import Exchange
    from .protocols.models import Model
    from .protocols.observer import Observing
    from .protocols.provider import Provider
    from .protocols.reply import Reply
    from .transports.client.answer import Answer, AsyncAnswer
    from .transports.client.clients import AsyncClient, BlockingClient

__all__ = [
    "ask",
    "ask_async",
    "key_from_environment",
    "make_exchange",
    "models",
    "models_async",
    "stream",
    "stream_async",
    "where_to_ask",
]


def make_exchange(
    provider: "str | Provider",
    chat: Chat | str | Sequence[Message | Mapping[str, Any]],
    *,
    key: "KeySource | None" = None,
    base_url: str | None = None,
    params: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
    limits: Limits | None = None,
    clocks: Clocks | None = None,
    observers: "Sequence[Observing]" = (),
    **options: Any,
) -> "Exchange":
    """An exchange that asks `provider` the `chat`, for any transport or none.

    What is not given here is taken from the environment variables that the provider names: `key`
    (`OPENAI_API_KEY` for openai; `key=""` sends none), `base_url` (`OPENAI_BASE_URL`), and the
    `params` of its own base URL. For services of AWS the profile's files are read, too. The key is
    sent to `base_url`, whatever host that is. `options` are fields of `Chat`: model, temperature,
    tools, ... Services that need random strings get them from the operating system. Raises
    LocalProtocolError if the provider can't be asked this.
    """
    provider = provider_named(provider)
    return provider.exchange(
        as_chat(chat, **options),
        **where_to_ask(provider, key, base_url, params),
        headers=headers,
        limits=limits,
        clocks=clocks,
        random=_system_random,
        observers=observers,
    )


def where_to_ask(
    provider: "Provider",
    key: "KeySource | None",
    base_url: str | None,
    params: Mapping[str, str] | None,
) -> dict[str, Any]:
    """Where to ask, and by which key: what is not given is that of the environment."""
    from .protocols.auth import AwsKey  # a client that only gets exchanges does not need it

    key = key_from_environment(provider) if key is None else key or None
    found = _params(provider)
    if isinstance(key, AwsKey) and key.region:
        found["region"] = key.region
    return {
        "key": key,
        "base_url": base_url_of(provider, os.environ) if base_url is None else base_url,
        "params": found | dict(params or {}),
        "now": time.time,
    }


def key_from_environment(provider: "Provider") -> "Key | None":
    """The key in the first of the provider's environment variables that is not empty; for a service
    of AWS else the credentials of the environment or the profile. Raises LocalProtocolError if
    those are not complete."""
    found = key_of(provider, os.environ)
    if found is None and _is_of_aws(provider):
        from .aws import aws_key  # few services need it

        return aws_key()
    return found


def _is_of_aws(provider: "Provider") -> bool:
    from .protocols.auth import SigV4

    return isinstance(provider.key_place, SigV4)


def _params(provider: "Provider") -> dict[str, str]:
    """The parts of the base URL that the environment has."""
    found = params_of(provider, os.environ)
    if "region" in provider.params and _is_of_aws(provider):
        from .aws import aws_region

        if region := aws_region():
            found["region"] = region
    return found


class _SystemRandom:
    """`random.SystemRandom`, imported only if a service needs random strings: few do."""

    def choices(self, population: Sequence[str], *, k: int) -> list[str]:
        from random import SystemRandom

        return SystemRandom().choices(population, k=k)


_system_random = _SystemRandom()


def ask(
    provider: "str | Provider",
    chat: Chat | str | Sequence[Message | Mapping[str, Any]],
    *,
    client: "BlockingClient | None" = None,
    **how: Any,
) -> "Reply":
    """Ask `provider`, and wait for the whole answer.

    `client` reuses its connections from one question to the next; without it, one is made for this
    question and closed. The other arguments are those of `make_exchange`. Raises TokenwireError,
    whose `answer` is what arrived before the error.
    """
    with stream(provider, chat, client=client, **how) as answer:
        return answer.read()


def stream(
    provider: "str | Provider",
    chat: Chat | str | Sequence[Message | Mapping[str, Any]],
    *,
    client: "BlockingClient | None" = None,
    **how: Any,
) -> "Answer":
    """Ask `provider`, and get the events as they arrive: iterate over it in a `with` statement.

    The arguments are those of `ask`.
    """
    from .transports.sync import Client

    exchange = make_exchange(provider, chat, **how)
    return (client or Client(single_use=True)).open(exchange)


async def ask_async(
    provider: "str | Provider",
    chat: Chat | str | Sequence[Message | Mapping[str, Any]],
    *,
    client: "AsyncClient | None" = None,
    **how: Any,
) -> "Reply":
    """`ask`, on asyncio or trio (and so anyio), whichever is running."""
    async with stream_async(provider, chat, client=client, **how) as answer:
        return await answer.read()


def stream_async(
    provider: "str | Provider",
    chat: Chat | str | Sequence[Message | Mapping[str, Any]],
    *,
    client: "AsyncClient | None" = None,
    **how: Any,
) -> "AsyncAnswer":
    """`stream`, on asyncio or trio (and so anyio), whichever is running: iterate over it with
    `async for` in an `async with` statement. Raises LocalProtocolError if no event loop is running.
    """
    from .transports.anyio import Client
    from .transports.client.loops import running_library

    running_library()
    exchange = make_exchange(provider, chat, **how)
    return (client or Client(single_use=True)).open(exchange)


def models(
    provider: "str | Provider", *, client: "BlockingClient | None" = None, **how: Any
) -> "list[Model]":
    """The models that the service of `provider` lists.

    `how`: `key`, `base_url`, `params`, `headers` and `clocks`, as for `make_exchange`. Raises
    TokenwireError; LocalProtocolError if the service has no such list.
    """
    from .transports.sync import Client

    found: list[Model] = []
    with (client or Client(single_use=True)).open(
        _models_exchange(provider, found, **how)
    ) as asked:
        asked.read()
    return found


async def models_async(
    provider: "str | Provider", *, client: "AsyncClient | None" = None, **how: Any
) -> "list[Model]":
    """`models`, on asyncio or trio (and so anyio), whichever is running."""
    from .transports.anyio import Client

    found: list[Model] = []
    exchange = _models_exchange(provider, found, **how)
    async with (client or Client(single_use=True)).open(exchange) as asked:
        await asked.read()
    return found


def _models_exchange(
    provider: "str | Provider",
    found: "list[Model]",
    *,
    key: "KeySource | None" = None,
    base_url: str | None = None,
    params: Mapping[str, str] | None = None,
    **how: Any,
) -> "Exchange":
    provider = provider_named(provider)
    return provider.models_exchange(found, **where_to_ask(provider, key, base_url, params), **how)
