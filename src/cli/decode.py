"""`tokenwire decode`: recorded bytes into events."""

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

__all__ = ["DecodeOptions", "Recording", "event_line", "run_decode"]

READ_SIZE = 64 * 1024

REACH = 60
"""Bytes shown of a fault, and on each side of it."""

# A format of lines completes an event with the first byte of a line end. So by these pieces the
# number of bytes after which an event is complete is exact, without feeding single bytes.
_PIECE = re.compile(rb"[^\r\n]*[\r\n]|[^\r\n]+")


class Source(Protocol):
    """What bytes are read from."""

    def read1(self, size: int, /) -> bytes:
        """At most `size` bytes, as soon as there are some; none at the end."""
        ...


@dataclass(frozen=True, kw_only=True)
class DecodeOptions:
    """The options of the command."""

    file: str
    provider: Provider
    model: str
    status: int
    offsets: bool
    as_json: bool
    cut_as: str


def run_decode(options: DecodeOptions) -> None:
    """Decode, and write the events. Raises the fault, with the bytes around it as its notes."""
    provider = options.provider
    exchange, _ = exchange_at_chat(Service(provider), any_chat(provider, options.model))
    exchange.receive_response(options.status, [])
    with _open(options.file) as source:
        recording = Recording(exchange)
        for event in recording.decode(source, disconnected=options.cut_as == "disconnect"):
            click.echo(event_line(event, recording.position, options))
    recording.conclude()


@contextmanager
def _open(path: str) -> Generator[Source]:
    if path == "-":
        if sys.stdin is None:
            raise LocalProtocolError("there is no pipe to read from: give a file")
        yield cast(Source, sys.stdin.buffer)  # a BufferedReader, unless somebody replaced it
        return
    try:
        file = open(path, "rb")  # noqa: SIM115  only opening it is to be in the try block
    except OSError as error:
        raise LocalProtocolError(f"{path} can't be read: {error}") from None
    with file:
        yield file


class Recording:
    """Feeds recorded bytes to `exchange`, and knows where it is. `position`: after how many bytes
    the last event was complete."""

    def __init__(self, exchange: Exchange) -> None:
        self.position = 0
        self._exchange = exchange
        self._seen = bytearray()  # bounded, as the exchange's limits end the decoding
        self._fed = 0
        self._piece = 0  # where the last piece began

    def decode(self, source: Source, *, disconnected: bool) -> Iterator[Event]:
        """The events, up to the end or a fault."""
        exchange = self._exchange
        while exchange.wants_data and (data := source.read1(READ_SIZE)):
            self._seen += data
            for match in _PIECE.finditer(data):
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
        """Raises the fault, if there was one; says what was not decoded."""
        try:
            request = self._exchange.next_request()
        except TokenwireError as error:
            for note in self._around(error):
                error.add_note(note)
            raise
        if request is not None:
            raise Truncated(
                "these bytes are whole, but the answer goes on in the response to "
                f"{request.method} {request.url}"
            )
        rest = bytes(self._seen[self._fed :]).strip()
        if rest:
            text = f"tokenwire: not decoded, as it stands behind the end: {rest[:REACH]!r}"
            print(text, file=sys.stderr)

    def _mark(self, events: list[Event]) -> list[Event]:
        if events:
            self.position = self._fed
        return events

    def _around(self, error: TokenwireError) -> Iterator[str]:
        """The bytes before a fault, its own, and those behind it, a line each."""
        start, stop = self._fault(error)
        for what, begin, end in (
            ("before", max(0, start - REACH), start),
            ("fault", start, min(stop, start + REACH)),
            ("after", stop, min(stop + REACH, len(self._seen))),
        ):
            if begin < end:
                yield f"{what:>6}, bytes {begin} to {end}: {bytes(self._seen[begin:end])!r}"

    def _fault(self, error: TokenwireError) -> tuple[int, int]:
        """Where the fault is: the bytes that the error quotes, or those fed last. A stream that was
        cut has it at its end."""
        quoted = error.data if isinstance(error, RemoteProtocolError) else b""
        if len(quoted) > EXCERPT:
            quoted = quoted[:EXCERPT]
        at = self._seen.find(quoted, self.position, self._fed) if quoted else -1
        if at >= 0:
            return at, at + len(quoted)
        if isinstance(error, Truncated):
            return self._fed, self._fed
        return self._piece, self._fed


def event_line(event: Event, position: int, options: DecodeOptions) -> str:
    """`event` as a line; `position` is after how many bytes it was complete."""
    fields = msgspec.to_builtins(event)
    if options.as_json:
        if options.offsets:
            fields["offset"] = position
        return msgspec.json.encode(fields).decode()
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
    return msgspec.json.encode(value).decode()
