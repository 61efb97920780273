"""What the decoders make of a recording: its events, piece by piece, and how it ends."""

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cache
from random import Random
from typing import NamedTuple

import msgspec

from ..protocols.chat import Chat, as_chat
from ..protocols.errors import (
    ConnectFailed,
    LocalProtocolError,
    RemoteProtocolError,
    TokenwireError,
)
from ..protocols.events import End, Event
from ..protocols.exchange import Exchange
from ..protocols.provider import Provider
from ..protocols.registry import PROVIDERS
from ..protocols.service import Service
from ..protocols.toolkit.http import Headers, Request, make_headers
from .cassette import Cassette, Noted, Recording

__all__ = [
    "Decoded",
    "Decoding",
    "as_request",
    "chat_of",
    "decoded",
    "kind_of",
    "name_of",
    "provider_by_path",
    "provider_of",
    "response_headers",
]

FORMATS = (
    *("openai", "openai-responses", "anthropic", "gemini", "ollama", "cohere", "bedrock"),
    "bedrock-anthropic",
)
"""A provider of each format that a path tells, in the order in which they are tried."""


class Decoding(NamedTuple):
    """What was decoded of one recording: the events that each piece completed, and those of its
    end. `partials`: after each piece, the bytes of the unit (event, line, frame) that was not
    complete. `fault`: the piece with which the answer failed, if it did not fail at its end."""

    pieces: tuple[tuple[Event, ...], ...]
    partials: tuple[int, ...]
    end: tuple[Event, ...]
    fault: int | None


class Decoded(NamedTuple):
    """What was decoded of a question. `error` is None if the answer is complete, or nobody can
    tell, as the reader left."""

    decodings: tuple[Decoding, ...]
    noted: Noted
    error: TokenwireError | None

    @property
    def events(self) -> list[Event]:
        """All events."""
        return [event for each in self.decodings for event in _events(each)]


def _events(decoding: Decoding) -> Iterator[Event]:
    for events in (*decoding.pieces, decoding.end):
        yield from events


def kind_of(event: Event) -> str:
    """The name of an event in a line of JSON: `text`, `tool_call_end`."""
    return str(event.__struct_config__.tag)


def provider_of(cassette: Cassette, recording: Recording) -> Provider | None:
    """Whose format a recording is in: what the cassette says, or else what the path tells. None:
    it is no chat in a format that is known."""
    if cassette.provider in PROVIDERS:
        return PROVIDERS[cassette.provider]
    return provider_by_path(as_request(recording))


def name_of(provider: Provider) -> str:
    """The name under which a cassette's reader finds the format of `provider`; empty: there is
    none, as it is one of a user's own."""
    known = PROVIDERS.get(provider.name)
    if known is not None and known.dialect.name == provider.dialect.name:
        return provider.name
    same = (name for name in FORMATS if PROVIDERS[name].dialect.name == provider.dialect.name)
    return next(same, "")


def provider_by_path(request: Request) -> Provider | None:
    """A provider of the format that the path of `request` tells."""
    for service in _services():
        try:
            endpoint, _ = service.route(request)
        except RemoteProtocolError:
            continue
        if endpoint.does == "chat":
            return service.provider
    return None


@cache
def _services() -> tuple[Service, ...]:
    return tuple(Service(PROVIDERS[name].replace(any_model=True)) for name in FORMATS)


def as_request(recording: Recording) -> Request:
    """The request of a recording, as far as that was kept."""
    sent = recording.request
    body = sent.body
    if isinstance(body, str):
        body = body.encode()
    elif not isinstance(body, bytes):
        body = b"" if body is None else msgspec.json.encode(body)
    try:
        headers = make_headers(sent.headers.items())
    except LocalProtocolError:  # a file may have any
        headers = []
    return Request(sent.method, sent.url, headers, body)


def response_headers(recording: Recording) -> Headers:
    """The headers of the response that were kept."""
    head = recording.response
    pairs = () if head is None else head.headers
    coded = ((n.encode("latin-1", "replace"), v.encode("latin-1", "replace")) for n, v in pairs)
    return [(name.lower(), value) for name, value in coded]


def decoded(question: Sequence[Recording], provider: Provider) -> Decoded:
    """What the decoder of `provider` makes of the recordings of one question."""
    exchange = _exchange(question, provider)
    decodings: list[Decoding] = []
    kinds: Counter[str] = Counter()
    for recording in question:
        if exchange.failed:
            exchange = exchange.fresh()  # a retry
        if exchange.answered:
            break
        exchange.next_request()
        decoding = _decode(exchange, recording)
        kinds.update(map(kind_of, _events(decoding)))
        decodings.append(decoding)
    error = exchange.error
    if error is not None and question[-1].end == "unreached":
        error = ConnectFailed("no connection could be made")
    ends = [e.evidence for each in decodings for e in _events(each) if isinstance(e, End)]
    word = "complete" if ends else "left" if error is None else error.outcome
    noted = Noted(word, ends[0] if ends else "", dict(sorted(kinds.items())))
    return Decoded(tuple(decodings), noted, error)


def chat_of(question: Sequence[Recording], provider: Provider) -> Chat | None:
    """What was asked, as the server half of the format understands it; None: it does not."""
    for recording in question:
        responder = Service(provider.replace(any_model=True)).responder()
        try:
            chat = responder.receive_request(as_request(recording))
        except (RemoteProtocolError, LocalProtocolError):
            continue
        if chat is not None:
            return chat
    return None


def _exchange(question: Sequence[Recording], provider: Provider) -> Exchange:
    asked = chat_of(question, provider)
    model = provider.default_model or "any"
    plain = as_chat("?", model=model), as_chat("?", model=model, max_tokens=1)
    for chat in plain if asked is None else (asked, *plain):
        try:
            return provider.replace(any_model=True).exchange(
                chat,
                base_url="http://localhost",
                random=Random(0),  # noqa: S311  nothing of it is sent
                now=lambda: 0.0,
            )
        except LocalProtocolError:
            continue
    raise LocalProtocolError(f"{provider.name} can't be asked anything that is known here")


def _decode(exchange: Exchange, recording: Recording) -> Decoding:
    head = recording.response
    pieces: list[tuple[Event, ...]] = []
    partials: list[int] = []
    fault: int | None = None
    if head is not None:
        exchange.receive_response(head.status, response_headers(recording))
        for place, piece in enumerate(recording.pieces):
            pieces.append(())
            if exchange.wants_data:
                pieces[-1] = tuple(exchange.receive_data(piece.data))
                if exchange.failed:
                    fault = place
            partials.append(exchange.partial)
    return Decoding(tuple(pieces), tuple(partials), tuple(_end(exchange, recording)), fault)


def _end(exchange: Exchange, recording: Recording) -> list[Event]:
    if not exchange.wants_data:
        return []
    match recording.end:
        case "eof" if recording.response is not None:
            framing = recording.response.framing
            return exchange.receive_eof(framing != "close" if framing else None)
        case "timeout":
            return exchange.receive_timeout("idle")
        case "left" | "clipped":
            return []
        case _:
            return exchange.receive_disconnect()
