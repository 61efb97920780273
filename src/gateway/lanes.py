"""The two ways of an answer through a gateway, of which each attempt takes one.

Relay: the caller and the upstream speak the same format, so the bytes go through as they are, and a
decoder watches. Translation: they don't; the request becomes a chat and the answer events.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Protocol

import msgspec

from ..protocols.chat import Chat, Message
from ..protocols.errors import Refused, RemoteProtocolError, TokenwireError
from ..protocols.events import Event, Usage
from ..protocols.exchange import Exchange
from ..protocols.observer import Observer
from ..protocols.reading import Asked
from ..protocols.service import STREAMED, Responder
from ..protocols.toolkit.http import Headers, Request, get_header
from ..transports.client.answer import AsyncAnswer
from .answers import Answering
from .config import Target
from .fronts import Front
from .headers import from_caller
from .sealing import StateSealer
from .splice import asking_usage, replaced, without_usage
from .translate import translated

__all__ = ["Lane", "NothingAsked", "Relay", "Translation"]


class Lane(Protocol):
    """One attempt's way."""

    name: str
    exchange: Exchange

    @property
    def losses(self) -> tuple[str, ...]:
        """What was left out so far, by the rows of `matrix`."""
        ...

    @property
    def unrecognized(self) -> int:
        """How many events of the upstream nobody understands, and so were left out."""
        ...

    @property
    def failure(self) -> Refused | None:
        """What ends the answer, as the caller's format can't say how it goes on."""
        ...

    def head(self, answer: AsyncAnswer) -> Headers:
        """The headers of a response that succeeds, which are about its content."""
        ...

    def take(self, events: list[Event]) -> bytes:
        """What the caller gets of the batch that has just come."""
        ...

    def end(self) -> bytes:
        """The last bytes of a complete answer."""
        ...

    def broken(self, error: TokenwireError, told: Refused) -> tuple[bytes, bool]:
        """What the caller gets when `error` ends an answer that has begun, and whether the body
        ends properly after it. `told` is how callers are told of it."""
        ...


class Relay:
    """Bytes go through. `metered`: whether it has to be known what the call used."""

    name = "relay"
    losses: tuple[str, ...] = ()
    unrecognized = 0
    failure = None

    def __init__(
        self,
        front: Front,
        request: Request,
        asked: Asked,
        target: Target,
        model: str,
        metered: bool,
        now: Callable[[], float],
        observers: Sequence[Observer] = (),
    ) -> None:
        self._front = front
        self._request = request
        self._stream = asked.stream
        self._begun = False  # whether the caller has got any of it
        self._own_usage = False  # whether the caller has not asked for a chunk with the usage
        headers = from_caller(request.headers, front.dialect.name, target.forward)
        if asked.path:
            self.exchange = target.provider.kept_exchange(
                front.endpoint.method,
                asked.path,
                stream=asked.stream,
                key=target.key,
                params=target.params,
                headers=headers,
                clocks=target.rules.clocks,
                now=now,
            )
            self.exchange.keep_raw()
            return
        body = request.body
        if model != asked.model:
            body = replaced(body, "model", msgspec.json.encode(model))
        chat = front.dialect.name == "openai_chat"
        if metered and chat and asked.stream and target.provider.ask_usage:
            asking = asking_usage(body)
            self._own_usage, body = asking is not body, asking
        self.exchange = target.provider.exchange(
            Chat(
                messages=(Message("user", "?"),),
                model=model,
                stream=asked.stream,
                max_tokens=1 if "max_tokens" in target.provider.takes else None,
            ),
            key=target.key,
            params=target.params,
            headers=headers,
            clocks=target.rules.clocks,
            now=now,
            observers=observers,
            body=body,
        )
        self.exchange.keep_raw()

    def head(self, answer: AsyncAnswer) -> Headers:
        kind = get_header(answer.headers, b"content-type")
        own = [] if kind is None else [(b"content-type", kind.encode("latin-1"))]
        return [*own, *(STREAMED if self._stream else [])]

    def take(self, events: list[Event]) -> bytes:
        # What an error inside the answer follows is no half event, which would swallow it.
        self._begun, raw = True, self.exchange.take_raw(units=self.exchange.failed)
        if self._own_usage and any(isinstance(event, Usage) for event in events):
            return without_usage(raw)
        return raw

    def end(self) -> bytes:
        return self.exchange.take_raw()  # what came after the end mark

    def broken(self, error: TokenwireError, told: Refused) -> tuple[bytes, bool]:
        if isinstance(error, Refused) and self._begun:
            return self.exchange.take_raw(), True  # the upstream has said it itself, in its answer
        return self._responder().fail_midway(told), False

    def _responder(self) -> Responder:
        responder = self._front.responder()
        with suppress(RemoteProtocolError):
            responder.receive_request(self._request)  # it says in which form errors are
        return responder


class NothingAsked(Exception):
    """The request asks no model anything, as Ollama's that only load one: `responder` answers it
    by itself."""

    def __init__(self, responder: Responder) -> None:
        super().__init__()
        self.responder = responder


class Translation:
    """The request becomes a chat, and the answer events."""

    name = "translate"

    def __init__(
        self,
        front: Front,
        request: Request,
        asked: Asked,
        target: Target,
        model: str,
        allow: frozenset[str],
        sealer: StateSealer,
        unique: str,
        estimate: int,
        now: Callable[[], float],
        observers: Sequence[Observer] = (),
    ) -> None:
        sealer = sealer.bound(target.provider.name, model)
        self._responder = front.responder(sealer)
        chat = self._responder.receive_request(request)
        if chat is None:
            raise NothingAsked(self._responder)
        found = translated(chat.replace(model=model), front.dialect, target, allow)
        self._losses = found.losses
        self._answering = Answering(
            front.dialect, chat, asked.model, unique=unique, estimate=estimate, sealer=sealer
        )
        self.exchange = target.provider.exchange(
            found.chat,
            key=target.key,
            params=target.params,
            clocks=target.rules.clocks,
            now=now,
            observers=observers,
        )

    @property
    def losses(self) -> tuple[str, ...]:
        return (*self._losses, *self._answering.losses)

    @property
    def unrecognized(self) -> int:
        return self._answering.unrecognized

    @property
    def failure(self) -> Refused | None:
        return self._answering.failure

    def head(self, answer: AsyncAnswer) -> Headers:
        return self._responder.head()[1]

    def take(self, events: list[Event]) -> bytes:
        return b"".join(map(self._responder.send, self._answering.events(events)))

    def end(self) -> bytes:
        return self._responder.end()

    def broken(self, error: TokenwireError, told: Refused) -> tuple[bytes, bool]:
        return self._responder.fail_midway(told), False
