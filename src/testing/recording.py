"""What goes over the network when a provider is asked and answers, without a network."""

from collections.abc import Iterable
from random import Random
from typing import NamedTuple

from ..protocols.chat import Chat
from ..protocols.errors import LocalProtocolError
from ..protocols.events import Event
from ..protocols.exchange import Exchange
from ..protocols.provider import Provider
from ..protocols.service import Responder, Service
from ..protocols.toolkit.http import Headers, Request

__all__ = ["Recorded", "asking", "record", "responder_to"]


class Recorded(NamedTuple):
    """One request of an exchange, and the response to it."""

    request: Request
    chat: Chat | None
    """What the service understood of the request; None if it answered that by itself (a token)."""
    status: int
    headers: Headers
    pieces: list[bytes]
    """The body: the bytes of each event of the answer, and those after the last one."""

    @property
    def body(self) -> bytes:
        """The whole body."""
        return b"".join(self.pieces)


def record(provider: Provider, chat: Chat, answer: Iterable[Event]) -> list[Recorded]:
    """What goes over the network when `provider` is asked `chat` and answers with `answer`.

    The random strings of its requests are the same each time. Raises LocalProtocolError for what
    the provider can't be asked or can't say, and what an exchange raises.
    """
    answer = list(answer)
    exchange, service = asking(provider, chat), Service(provider)
    recorded: list[Recorded] = []
    while (request := exchange.next_request()) is not None:
        responder = service.responder()
        received = responder.receive_request(request)
        pieces = [] if received is None else [responder.send(event) for event in answer]
        pieces.append(responder.end())
        recorded.append(Recorded(request, received, *responder.head(), pieces))
        _respond(exchange, responder, recorded[-1].body)
    return recorded


def asking(provider: Provider, chat: Chat) -> Exchange:
    """An exchange whose random strings are the same each time. A base URL that lacks a part, such
    as the region, is replaced: nothing is sent there."""
    base_url = "http://localhost" if provider.params else None
    return provider.exchange(
        chat,
        base_url=base_url,
        random=Random(0),  # noqa: S311, the same requests each time
    )


def _respond(exchange: Exchange, responder: Responder, body: bytes) -> None:
    exchange.receive_response(*responder.head())
    exchange.receive_data(body)
    exchange.receive_eof(framed=True)


def responder_to(provider: Provider, chat: Chat) -> Responder:
    """The service's side of the request that asks `chat`."""
    exchange, service = asking(provider, chat), Service(provider)
    while (request := exchange.next_request()) is not None:
        responder = service.responder()
        if responder.receive_request(request) is not None:
            return responder
        _respond(exchange, responder, responder.end())
    raise LocalProtocolError(f"{provider.name} was never asked the chat")
