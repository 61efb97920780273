"""What several commands need from a provider: its embedded server, the steps before a chat, and
its key."""

import os
import random
from collections.abc import Callable
from typing import TYPE_CHECKING

from ..highlevel import key_from_environment
from ..protocols.auth import AwsKey, Key, SigV4
from ..protocols.chat import Chat, as_chat
from ..protocols.errors import LocalProtocolError
from ..protocols.exchange import Exchange
from ..protocols.provider import Provider
from ..protocols.service import Service
from ..protocols.toolkit.http import Request

if TYPE_CHECKING:
    from ..server.embedded import Server

__all__ = ["any_chat", "embedded_server", "exchange_at_chat", "key_for", "key_of", "takes_key"]


def embedded_server() -> "Callable[..., Server]":
    """The function `serve`. Raises LocalProtocolError if it is not installed."""
    try:
        from ..server.embedded import serve
    except ModuleNotFoundError:
        raise LocalProtocolError(
            "the embedded server is not installed: pip install 'tokenwire[server]'"
        ) from None
    return serve


def exchange_at_chat(
    service: Service, chat: Chat, *, key: Key | None = None
) -> tuple[Exchange, Request]:
    """An exchange that has sent the request with `chat`, and that request.

    `service` answers earlier requests, such as one for a token, in memory. So it accepts the one
    that is returned.
    """
    exchange = service.provider.exchange(
        chat, key=key, base_url=service.base_url, random=random.SystemRandom()
    )
    while True:
        request = exchange.next_request()
        assert request is not None  # an answer is not complete before its chat was asked
        responder = service.responder()
        if responder.receive_request(request) is not None:
            return exchange, request
        exchange.receive_response(*responder.head())
        exchange.receive_data(responder.end())
        exchange.receive_eof(framed=True)


def any_chat(provider: Provider, model: str = "") -> Chat:
    """A chat that `provider` accepts."""
    return as_chat("Hello", model=model or provider.default_model or "any")


def key_for(provider: Provider) -> Key:
    """The key of the environment: TOKENWIRE_KEY, or the provider's own variable; empty: none.
    Raises LocalProtocolError for credentials of AWS that are not complete."""
    key = os.environ.get("TOKENWIRE_KEY", "").strip()
    if key and takes_key(provider):
        return key_of(provider, key)
    return key_from_environment(provider) or ""


def key_of(provider: Provider, text: str) -> Key:
    """The key that `text` is: for a service of AWS it may be `ID:SECRET` or `ID:SECRET:TOKEN`."""
    id, colon, secret = text.partition(":")
    if not (colon and isinstance(provider.key_place, SigV4)):
        return text
    from ..aws import aws_region

    secret, _, token = secret.partition(":")
    return AwsKey(id, secret, token, aws_region())


def takes_key(provider: Provider) -> bool:
    """Whether `provider` accepts a key: the one in TOKENWIRE_KEY may be for another."""
    return provider.key_place is not None
