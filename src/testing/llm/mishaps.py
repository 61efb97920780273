"""The faults that `llm_faults` tries, one after the other: what no correct client takes for an
answer."""

from dataclasses import dataclass
from typing import Literal

from ...server.faults import EndAfter, ErrorObject, Fault, HtmlPage

__all__ = ["MISHAPS", "Mishap"]


@dataclass(frozen=True)
class Mishap:
    """A fault with a name, whatever the format and the length of the answer. `stop`: how the answer
    stops in the middle; `status`: the error instead of it."""

    name: str
    faults: tuple[Fault, ...] = ()
    stop: Literal["end", "close", "reset", "stall"] | None = None
    status: int | None = None

    def __str__(self) -> str:
        return self.name


MISHAPS = (
    Mishap("ended", stop="end"),
    Mishap("closed", stop="close"),
    Mishap("reset", stop="reset"),
    Mishap("stalled", stop="stall"),
    Mishap("empty", (EndAfter(0),)),
    Mishap("html", (HtmlPage(),)),
    Mishap("error-200", (ErrorObject(),)),
    Mishap("401", status=401),
    Mishap("429", status=429),
    Mishap("500", status=500),
    Mishap("503", status=503),
)
"""Of a client that is told to wait, 1 ms is asked."""
