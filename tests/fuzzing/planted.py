"""Faults to plant in tokenwire, of kinds that are seen in the field, for the fuzzers to find."""

from collections.abc import Callable
from typing import Any

from tokenwire.protocols import exchange
from tokenwire.protocols.toolkit.lines import Lines

__all__ = ["PLANTS"]


def _strict() -> None:
    """All bytes are taken for UTF-8: what is not raises an error that is not documented."""
    feed = Lines.feed

    def strict(self: Lines, data: bytes) -> bytes:
        complete = feed(self, data)
        complete.decode()
        return complete

    _replace(Lines, "feed", strict)


def _piecewise() -> None:
    """UTF-8 is decoded piece by piece: what comes of a character depends on the cutting."""
    feed = Lines.feed

    def piecewise(self: Lines, data: bytes) -> bytes:
        return feed(self, data.decode(errors="replace").encode())

    _replace(Lines, "feed", piecewise)


def _trusting() -> None:
    """Any evidence of completion will do: a stream that was cut is a success."""

    def proves(_found: object, _owed: object) -> bool:
        return True

    _replace(exchange, "proves", proves)


def _replace(owner: Any, name: str, value: Any) -> None:
    setattr(owner, name, value)


PLANTS: dict[str, Callable[[], None]] = {
    "strict": _strict,
    "piecewise": _piecewise,
    "trusting": _trusting,
}
