"""What a timeline shows: when each piece came, what it completed, and where the fault is."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from ..protocols.errors import LocalProtocolError, TokenwireError
from ..protocols.events import Event, Reasoning, Text
from ..protocols.provider import Provider
from .cassette import Cassette, Ending, Noted, Recording
from .decoding import Decoded, chat_of, decoded, provider_of

__all__ = ["Chart", "Fault", "Head", "Row", "charts"]


class Row(NamedTuple):
    """A piece. Times are ms since the question was asked; `number` counts from 1, `offset` is that
    of its first byte. `joined`: it came by the same read as the one before it. `idle`: it completed
    nothing and began nothing, as a keep-alive."""

    number: int
    at: float
    gap: float
    offset: int
    data: bytes
    events: tuple[Event, ...]
    joined: bool
    idle: bool


class Head(NamedTuple):
    """The head of a response."""

    at: float
    offset: int
    status: int


class Fault(NamedTuple):
    """Where an answer broke: at its end, or after the piece that can't be decoded. `excerpt`: the
    last bytes before that, which begin at `start`; `partial`: how many of them are of the unit that
    was under way."""

    at: float
    offset: int
    reason: str
    start: int
    excerpt: bytes
    partial: int


class Chart(NamedTuple):
    """One question. `total`: ms until it ended. `first_text`, `first_event`: ms, if they came.
    `clocks`: when clocks of the provider would have run out, by their names."""

    title: str
    model: str
    address: str
    provider: str
    noted: Noted
    end: Ending
    heads: tuple[Head, ...]
    rows: tuple[Row, ...]
    last: tuple[Event, ...]
    total: float
    size: int
    fault: Fault | None
    clocks: tuple[tuple[str, float], ...]

    @property
    def events(self) -> list[Event]:
        """All events."""
        return [event for row in self.rows for event in row.events] + list(self.last)

    @property
    def first_event(self) -> float | None:
        """Milliseconds until the first event."""
        return next((row.at for row in self.rows if row.events), None)

    @property
    def first_text(self) -> float | None:
        """Milliseconds until the first text, or thought."""
        return next((row.at for row in self.rows if any(map(_is_text, row.events))), None)

    @property
    def longest_gap(self) -> float:
        """The longest time between two pieces, in milliseconds."""
        return max((row.gap for row in self.rows), default=0.0)


EXCERPT = 256
"""Bytes that are shown before a fault."""


def charts(cassette: Cassette, error: TokenwireError | None = None) -> list[Chart]:
    """A chart of each question in a cassette. `error`: how they failed, if that is known better
    than it can be told from the recording."""
    return [_chart(cassette, question, error) for question in cassette.questions()]


def _is_text(event: Event) -> bool:
    return isinstance(event, Text | Reasoning)


def _chart(
    cassette: Cassette, question: Sequence[Recording], error: TokenwireError | None
) -> Chart:
    provider = next(filter(None, (provider_of(cassette, each) for each in question)), None)
    found = _decoded(question, provider)
    rows: list[Row] = []
    heads: list[Head] = []
    at, offset = 0.0, 0
    broken: tuple[float, int, int] | None = None
    for place, recording in enumerate(question):
        if recording.response is not None:
            at += recording.response.after
            heads.append(Head(at, offset, recording.response.status))
        decoding = found.decodings[place] if found and place < len(found.decodings) else None
        before, broken = 0, None  # the last attempt is the one that failed
        for number, piece in enumerate(recording.pieces):
            at += piece.after
            events = decoding.pieces[number] if decoding else ()
            partial = decoding.partials[number] if decoding else 1
            idle = not events and not partial and not before and decoding is not None
            idle = idle and decoding is not None and decoding.fault is None
            gap, joined = piece.after, not piece.after and number > 0
            rows.append(Row(len(rows) + 1, at, gap, offset, piece.data, events, joined, idle))
            offset += len(piece.data)
            if decoding and number == decoding.fault:
                broken = at, offset, before + len(piece.data)
            before = partial
        at += recording.end_after
    last = tuple(event for each in found.decodings for event in each.end) if found else ()
    noted = question[-1].outcome or (found.noted if found else Noted("not decoded"))
    error = error or (found.error if found else None)
    partials = found.decodings[-1].partials[-1:] if found and found.decodings else ()
    return Chart(
        title=_title(question, provider),
        model=_model(question, provider),
        address=f"{question[0].request.method} {question[0].request.url}",
        provider=provider.name if provider else "",
        noted=noted,
        end=question[-1].end,
        heads=tuple(heads),
        rows=tuple(rows),
        last=last,
        total=at,
        size=offset,
        fault=_fault(error, rows, broken or (at, offset, sum(partials))),
        clocks=tuple(_clocks(rows, provider, at)),
    )


def _decoded(question: Sequence[Recording], provider: Provider | None) -> Decoded | None:
    if provider is None:
        return None
    try:
        return decoded(question, provider)
    except LocalProtocolError:  # nobody can be asked like this
        return None


def _fault(
    error: TokenwireError | None, rows: Sequence[Row], where: tuple[float, int, int]
) -> Fault | None:
    if error is None:
        return None
    at, offset, partial = where
    body = b"".join(row.data for row in rows if row.offset + len(row.data) > offset - EXCERPT)
    begin = rows[-1].offset + len(rows[-1].data) - len(body) if rows else 0
    start = max(offset - EXCERPT, begin)
    excerpt = body[start - begin : offset - begin]
    return Fault(at, offset, error.message, start, excerpt, min(partial, len(excerpt)))


def _clocks(
    rows: Sequence[Row], provider: Provider | None, total: float
) -> Iterator[tuple[str, float]]:
    """When a clock would have run out."""
    if provider is None:
        return
    first = next((row.at for row in rows if row.events), total)
    clocks = provider.clocks
    if clocks.first_event is not None and first >= clocks.first_event * 1000:
        yield "first_event", clocks.first_event * 1000
    if clocks.idle is not None:
        told = [row.at for row in rows if row.events]
        for before, after in zip(told, [*told[1:], total], strict=False):
            if after - before >= clocks.idle * 1000:
                yield "idle", before + clocks.idle * 1000


def _title(question: Sequence[Recording], provider: Provider | None) -> str:
    chat = None if provider is None else chat_of(question, provider)
    asked = [m.text for m in chat.messages if m.role == "user"] if chat else []
    said = " ".join(asked[-1].split()) if asked else ""
    return said or question[0].request.url.partition("?")[0]


def _model(question: Sequence[Recording], provider: Provider | None) -> str:
    chat = None if provider is None else chat_of(question, provider)
    return chat.model if chat else ""
