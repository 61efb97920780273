"""What several commands want of a provider: its embedded server, the steps before a chat, and
whether it takes a key."""

import random
from collections.abc import Callable
from typing import TYPE_CHECKING

from ..protocols.chat import Chat, as_chat
from ..protocols.errors import LocalProtocolError
from ..protocols.exchange import Exchange
from ..protocols.provider import Provider
from ..protocols.service import Service
from ..protocols.toolkit.http import Request

if TYPE_CHECKING:
    from ..server.embedded import Server

__all__ = ["any_chat", "embedded_server", "exchange_at_chat", "takes_key"]


def embedded_server() -> "Callable[..., Server]":
    """`serve`. Raises LocalProtocolError if it is not installed."""
    try:
        from ..server.embedded import serve
    except ModuleNotFoundError:
        raise LocalProtocolError(
            "the embedded server is not installed: pip install 'tokenwire[server]'"
        ) from None
    return serve


def exchange_at_chat(
    service: Service, chat: Chat, *, key: str | None = None
) -> tuple[Exchange, Request]:
    """An exchange that has sent the request which asks `chat`, and that request.

    What comes before that, as a token does, is answered by `service`, in memory: so the request is
    one that `service` takes.
    """
    exchange = service.provider.exchange(
        chat, key=key, base_url=service.base_url, random=random.SystemRandom()
    )
    while True:
        request = exchange.next_request()
        assert request is not None  # no answer is complete before the chat was asked
        responder = service.responder()
        if responder.receive_request(request) is not None:
            return exchange, request
        exchange.receive_response(*responder.head())
        exchange.receive_data(responder.end())
        exchange.receive_eof(framed=True)


def any_chat(provider: Provider, model: str = "") -> Chat:
    """A chat that `provider` can be asked."""
    return as_chat("Hello", model=model or provider.default_model or "any")


def takes_key(provider: Provider) -> bool:
    """Whether `provider` can be given a key: the environment may hold one for another."""
    try:
        provider.exchange(any_chat(provider), key="any", random=random.SystemRandom())
    except LocalProtocolError:
        return False
    return True
