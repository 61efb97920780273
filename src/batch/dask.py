"""Batches by Dask: `ask` spreads rows over the workers of a cluster.

answers = tokenwire.batch.dask.ask(rows, client, journal="/shared/journal", provider="openai", ...)
"""

import threading
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain, islice
from typing import Any

from .asker import Asker

__all__ = ["ask", "ask_partition"]

PARTITION = 100
"""Rows of a partition, which a worker that dies leaves to another one: what has an outcome is not
asked again."""

_askers: dict[bytes, Asker] = {}
_making = threading.Lock()


def ask(
    rows: Any,
    client: Any,
    /,
    *,
    journal: str,
    retries: int = 3,
    partition: int = PARTITION,
    **settings: Any,
) -> list[dict[str, Any]]:
    """Ask `rows`, an iterable of mappings or a bag of them, by the workers of `client`, and return
    the answers in their order: mappings with the columns of `asker.COLUMNS`.

    `journal` is a folder that all workers reach, `partition` how many rows a worker is given at
    once, and `retries` how often these are tried again. The other settings are those of `run`. A
    worker that dies is Dask's matter: its nanny starts another one.
    """
    if hasattr(rows, "map_partitions"):
        bag = rows.map_partitions(ask_partition, journal, settings)
        answers: list[dict[str, Any]] = client.compute(bag, retries=retries).result()
        return answers
    partitions = list(_partitions(rows, partition))
    futures = client.map(
        ask_partition, partitions, journal=journal, settings=settings, retries=retries, pure=False
    )
    return list(chain.from_iterable(client.gather(futures)))


def ask_partition(
    rows: Iterable[Mapping[str, Any]], journal: str, settings: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """What a worker does: it has one `Asker` for each journal and settings."""
    asker = _asker(journal, settings)
    return asker(rows)


def _asker(journal: str, settings: Mapping[str, Any]) -> Asker:
    name = f"{journal} {sorted(settings.items(), key=str)}".encode()
    with _making:
        if name not in _askers:
            _askers[name] = Asker(journal, **settings)
        return _askers[name]


def _partitions(
    rows: Iterable[Mapping[str, Any]], size: int
) -> Iterable[Sequence[Mapping[str, Any]]]:
    source = iter(rows)
    while partition := list(islice(source, size)):
        yield partition
