"""Where in an answer something goes wrong, and what."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

from ...protocols.errors import LocalProtocolError
from ...protocols.events import Event, Reasoning, Refusal, Text, ToolCallDelta

__all__ = [
    "After",
    "Breach",
    "Events",
    "Place",
    "Stop",
    "check_place",
    "events",
    "events_in",
    "text_of",
]


@dataclass(frozen=True)
class Events:
    """After so many events of the wire."""

    count: int


def events(count: int) -> Events:
    """The place after the first `count` events of an answer, as they are written."""
    return Events(count)


After: TypeAlias = int | str | Events | None
"""A place in an answer: after so many bytes of its body; after the piece of the wire that completes
this text; after so many events. None: in the middle of the first text."""

Place: TypeAlias = str | Events | None
"""One that is found while the answer is written."""


@dataclass(frozen=True)
class Stop:
    """Nothing more is written at a place, and what follows."""

    place: Place
    then: Literal["end", "close", "reset", "stall", "quiet"]


@dataclass(frozen=True)
class Breach:
    """Bytes that are written at a place, and don't belong there."""

    place: Place
    data: bytes


def events_in(piece: bytes) -> list[bytes]:
    """The events in a piece of the wire: a format may write several at once, with a blank line
    after each."""
    events = [event + b"\n\n" for event in piece.split(b"\n\n")]
    return [*events[:-1], *filter(None, (events[-1][:-2],))]


def check_place(place: After) -> After:
    """`place`. Raises LocalProtocolError for one that can't be."""
    count = place.count if isinstance(place, Events) else place
    if (isinstance(count, int) and count < 0) or place == "":
        raise LocalProtocolError(f"after={place!r}: give bytes, a text, or events(...)")
    return place


def text_of(event: Event) -> tuple[str, str] | None:
    """The field with the text in which a place is looked for, and the text. None: `event` has
    none."""
    match event:
        case Text(text=text) | Reasoning(text=text) | Refusal(text=text):
            return "text", text
        case ToolCallDelta(arguments=text):
            return "arguments", text
        case _:
            return None
