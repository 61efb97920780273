"""Batches by Ray Data: `Asker` is the class for `Dataset.map_batches`.

    ds.map_batches(
        tokenwire.batch.ray.Asker,
        fn_constructor_kwargs=dict(journal="/shared/journal", provider="openai", model="m"),
        batch_size=256, compute=ray.data.ActorPoolStrategy(size=8), num_cpus=0.2,
        max_restarts=4, max_task_retries=4,
    )

Give both bounds: Ray's own are infinite, and a row that kills its actor would be asked forever.
"""

from collections.abc import Mapping
from typing import Any, TypeGuard

from . import asker

__all__ = ["Asker"]


class Asker:
    """Answers batches in the formats `numpy` (the default) and `pandas`. The arguments are those of
    `asker.Asker`; the columns of its answers are `asker.COLUMNS`."""

    def __init__(self, journal: str, **settings: Any) -> None:
        self._ask = asker.Asker(journal, **settings)

    def __call__(self, batch: Any) -> dict[str, list[Any]]:
        answers = self._ask(rows_of(batch))
        return {name: [answer[name] for answer in answers] for name in asker.COLUMNS}


def rows_of(batch: Any) -> list[dict[str, Any]]:
    """The rows of a batch: a mapping of columns, or a frame of pandas."""
    if not _is_mapping(batch):
        rows: list[dict[str, Any]] = batch.to_dict("records")
        return [plain(row) for row in rows]
    columns: dict[str, list[Any]] = {name: list(column) for name, column in batch.items()}
    size = max(map(len, columns.values()), default=0)
    return [plain({name: columns[name][at] for name in columns}) for at in range(size)]


def plain(value: Any) -> Any:
    """`value` without arrays and numbers of numpy, and without fields that are None: Arrow fills up
    objects of one column so that all have the same fields."""
    if _is_mapping(value):
        found = {str(name): plain(inner) for name, inner in value.items()}
        return {name: inner for name, inner in found.items() if inner is not None}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]  # pyright: ignore[reportUnknownVariableType]
    to_list = getattr(value, "tolist", None)
    return value if to_list is None else plain(to_list())


def _is_mapping(value: Any) -> TypeGuard[Mapping[Any, Any]]:
    return isinstance(value, Mapping)
