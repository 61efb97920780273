"""Batches by frames of pandas, for Spark's `DataFrame.mapInPandas`.

    frame.mapInPandas(tokenwire.batch.pandas.asker("/shared/journal", provider="openai"), SCHEMA)

This was not run on Spark itself, only with frames.
"""

from collections.abc import Callable, Iterable, Iterator
from importlib import import_module
from typing import Any

from .asker import COLUMNS, Asker
from .ray import rows_of

__all__ = ["SCHEMA", "asker"]

_TYPES = {str: "string", int: "long", float: "double"}
SCHEMA = ", ".join(f"{name} {_TYPES[type(empty)]}" for name, empty in COLUMNS.items())
"""The schema of the answers, in Spark's words."""


def asker(journal: str, **settings: Any) -> Callable[[Iterable[Any]], Iterator[Any]]:
    """A function from an iterator of frames to one of frames of answers. The arguments are those of
    `asker.Asker`, which is made where the function runs."""

    def ask(frames: Iterable[Any]) -> Iterator[Any]:
        pandas = import_module("pandas")
        own = Asker(journal, **settings)
        try:
            for frame in frames:
                yield pandas.DataFrame(own(rows_of(frame)), columns=list(COLUMNS))
        finally:
            own.close()

    return ask
