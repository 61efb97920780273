"""`tokenwire decode`: decodes recorded bytes into events."""

import re
import sys
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol, cast

import click
import msgspec

from ..protocols.errors import (
    EXCERPT,
    LocalProtocolError,
    RemoteProtocolError,
    TokenwireError,
    Truncated,
)
from ..protocols.events import Event, Image
from ..protocols.exchange import Exchange
from ..protocols.provider import Provider
from ..protocols.service import Service
from . import visible
from .server import any_chat, exchange_at_chat
from .show import json_line

__all__ = ["DecodeOptions", "Recording", "event_line", "run_decode"]

READ_SIZE = 64 * 1024

REACH = 60
"""How many bytes are shown of a fault, and on each side of it."""

# In a format of lines an event is complete with the first byte of a line end. So feeding these
# pieces gives the exact number of bytes after which it was, without feeding single bytes.
_PIECE = re.compile(rb"[^\r\n]*[\r\n]|[^\r\n]+")
_BYTE = re.compile(rb".", re.DOTALL)
"""Of binary formats each byte may complete an event."""


class Source(Protocol):
    """A source of bytes."""

    def read1(self, size: int, /) -> bytes:
        """At most `size` bytes, as soon as any are available; no bytes at the end."""
        ...


@dataclass(frozen=True, kw_only=True)
class DecodeOptions:
    """The options of `tokenwire decode`."""

    file: str
    provider: Provider
    model: str
    status: int
    offsets: bool
    as_json: bool
    cut_as: str


def run_decode(options: DecodeOptions) -> None:
    """Decode, and print the events. Raises the error, with the bytes around it as notes."""
    provider = options.provider
    # Where it is does not matter, and the provider's own base URL may lack a part.
    service = Service(provider, base_url="http://localhost")
    exchange, _ = exchange_at_chat(service, any_chat(provider, options.model))
    exchange.receive_response(options.status, [])
    with _open(options.file) as source:
        recording = Recording(exchange, binary=provider.dialect.binary)
        for event in recording.decode(source, disconnected=options.cut_as == "disconnect"):
            click.echo(event_line(event, recording.position, options))
    recording.conclude()


@contextmanager
def _open(path: str) -> Generator[Source]:
    if path == "-":
        if sys.stdin is None:
            raise LocalProtocolError("stdin is closed: give a file")
        yield cast(Source, sys.stdin.buffer)  # a BufferedReader, unless it was replaced
        return
    try:
        file = open(path, "rb")  # noqa: SIM115  the try block is only for opening it
    except OSError as error:
        raise LocalProtocolError(f"{path} can't be read: {error}") from None
    with file:
        yield file


class Recording:
    """Feeds recorded bytes to `exchange`, and keeps track of the position.

    `position`: the number of bytes after which the last event was complete.
    """

    def __init__(self, exchange: Exchange, *, binary: bool = False) -> None:
        self.position = 0
        self._pieces = _BYTE if binary else _PIECE
        self._exchange = exchange
        self._received = bytearray()  # bounded: the exchange's limits end the decoding
        self._fed = 0
        self._piece = 0  # the start of the last piece

    def decode(self, source: Source, *, disconnected: bool) -> Iterator[Event]:
        """The events, up to the end or an error."""
        exchange = self._exchange
        while exchange.wants_data and (data := source.read1(READ_SIZE)):
            self._received += data
            for match in self._pieces.finditer(data):
                piece = match[0]
                self._piece = self._fed
                self._fed += len(piece)
                yield from self._mark(exchange.receive_data(piece))
                if not exchange.wants_data:
                    break
        yield from self._mark(
            exchange.receive_disconnect() if disconnected else exchange.receive_eof(framed=True)
        )

    def conclude(self) -> None:
        """Raise the error, if there was one, and report bytes that were not decoded."""
        try:
            request = self._exchange.next_request()
        except TokenwireError as error:
            error.asked = ""  # nobody was
            for note in self._around(error):
                error.add_note(note)
            raise
        if request is not None:
            raise Truncated(
                "this response is complete, but the answer continues in the response to "
                f"{request.method} {request.url}"
            )
        rest = bytes(self._received[self._fed :]).strip()
        if rest:
            text = f"tokenwire: not decoded, because it is after the end: {rest[:REACH]!r}"
            print(text, file=sys.stderr)

    def _mark(self, events: list[Event]) -> list[Event]:
        if events:
            self.position = self._fed
        return events

    def _around(self, error: TokenwireError) -> Iterator[str]:
        """The bytes before a fault, those of the fault, and those after it, a line each."""
        start, stop = self._fault(error)
        for what, begin, end in (
            ("before", max(0, start - REACH), start),
            ("fault", start, min(stop, start + REACH)),
            ("after", stop, min(stop + REACH, len(self._received))),
        ):
            if begin < end:
                yield f"{what:>6}, bytes {begin} to {end}: {bytes(self._received[begin:end])!r}"

    def _fault(self, error: TokenwireError) -> tuple[int, int]:
        """Where the fault is: the bytes that the error quotes, or the last ones that were fed. In a
        truncated stream it is the end."""
        quoted = error.data if isinstance(error, RemoteProtocolError) else b""
        if len(quoted) > EXCERPT:
            quoted = quoted[:EXCERPT]
        at = self._received.find(quoted, self.position, self._fed) if quoted else -1
        if at >= 0:
            return at, at + len(quoted)
        if isinstance(error, Truncated):
            return self._fed, self._fed
        return self._piece, self._fed


def event_line(event: Event, position: int, options: DecodeOptions) -> str:
    """`event` as a line; it was complete after `position` bytes."""
    fields = msgspec.to_builtins(event)
    if options.as_json:
        if options.offsets:
            fields["offset"] = position
        return json_line(fields).decode()
    name = fields["event"]
    shown = [f"{position:>8}"] if options.offsets else []
    shown.append(f"{name:<15}")
    for field in msgspec.structs.fields(event):
        value = getattr(event, field.name)
        if value != field.default and value != {}:
            shown.append(f"{field.encode_name}={_value(event, value)}")
    return visible(" ".join(shown).rstrip())


def _value(event: Event, value: object) -> str:
    if isinstance(value, bytes):
        return f"<{len(value)} bytes>" if isinstance(event, Image) else repr(value)
    return json_line(value).decode()
