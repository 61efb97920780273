"""One question in one line: `ask` for the whole answer, `stream` for its events as they come, and
their twins for async code, which take the transport of the event loop that runs."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .protocols.chat import Chat, Message, as_chat
from .protocols.clocks import Clocks
from .protocols.exchange import Exchange
from .protocols.limits import Limits
from .protocols.provider import Provider
from .protocols.registry import provider_named
from .protocols.reply import Reply

if TYPE_CHECKING:
    from .transports.client.answer import AsyncAnswer
    from .transports.client.clients import AsyncClient
    from .transports.sync import Answer, Client

__all__ = ["ask", "ask_async", "make_exchange", "stream", "stream_async"]


def make_exchange(
    provider: str | Provider,
    chat: Chat | str | Sequence[Message | Mapping[str, Any]],
    *,
    key: str | None = None,
    base_url: str | None = None,
    headers: Mapping[str, str] | None = None,
    limits: Limits | None = None,
    clocks: Clocks | None = None,
    **options: Any,
) -> Exchange:
    """The exchange that puts `chat` to `provider`, for any transport or none.

    `options` are fields of `Chat`: model, temperature, tools, ... Random strings, where a service
    wants them, come from the operating system. Raises LocalProtocolError for what can't be asked.
    """
    return provider_named(provider).exchange(
        as_chat(chat, **options),
        key=key,
        base_url=base_url,
        headers=headers,
        limits=limits,
        clocks=clocks,
        random=_system_random,
    )


class _SystemRandom:
    """`random.SystemRandom`, loaded where a service wants random strings: few do."""

    def choices(self, population: Sequence[str], *, k: int) -> list[str]:
        from random import SystemRandom

        return SystemRandom().choices(population, k=k)


_system_random = _SystemRandom()


def ask(
    provider: str | Provider,
    chat: Chat | str | Sequence[Message | Mapping[str, Any]],
    *,
    client: "Client | None" = None,
    **how: Any,
) -> Reply:
    """Ask `provider`, and wait for the whole answer.

    `client` keeps connections from one question to the next; without it one is made and closed.
    All else is as for `make_exchange`. Raises TokenwireError, whose `answer` is what had come.
    """
    with stream(provider, chat, client=client, **how) as answer:
        return answer.read()


def stream(
    provider: str | Provider,
    chat: Chat | str | Sequence[Message | Mapping[str, Any]],
    *,
    client: "Client | None" = None,
    **how: Any,
) -> "Answer":
    """Ask `provider`, and get the events as they come: iterate in a `with` statement.

    See `ask`.
    """
    from .transports.sync import Client

    exchange = make_exchange(provider, chat, **how)
    return (client or Client(single_use=True)).open(exchange)


async def ask_async(
    provider: str | Provider,
    chat: Chat | str | Sequence[Message | Mapping[str, Any]],
    *,
    client: "AsyncClient | None" = None,
    **how: Any,
) -> Reply:
    """`ask`, for asyncio and trio (and so anyio), whichever runs."""
    async with stream_async(provider, chat, client=client, **how) as answer:
        return await answer.read()


def stream_async(
    provider: str | Provider,
    chat: Chat | str | Sequence[Message | Mapping[str, Any]],
    *,
    client: "AsyncClient | None" = None,
    **how: Any,
) -> "AsyncAnswer":
    """`stream`, for asyncio and trio (and so anyio), whichever runs: iterate with `async for` in an
    `async with` statement. Raises LocalProtocolError where no event loop runs."""
    from .transports.anyio import Client
    from .transports.client.loops import running_library

    running_library()
    exchange = make_exchange(provider, chat, **how)
    return (client or Client(single_use=True)).open(exchange)
