"""Dask: rows over two workers, which die."""

from collections.abc import Generator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from tests.batch.dying import KILLER, deadly, own_process
from tests.batch.serving import Asked, rows
from tokenwire.batch.dask import ask, ask_partition

CONCURRENCY = 4


def settings(asked: Asked) -> dict[str, Any]:
    return {
        "provider": "openai",
        "model": "m",
        "key": own_process,
        "base_url": asked.url,
        "concurrency": CONCURRENCY,
        "client": {"trust_env": False},
    }


@pytest.fixture
def client(tmp_path: Path) -> Generator[Any]:
    """A cluster of two processes on this machine."""
    distributed: Any = import_module("distributed")  # it has no types
    with (
        distributed.LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            dashboard_address=":0",
            local_directory=str(tmp_path / "dask"),
            silence_logs=50,
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


@pytest.mark.crosswise
@pytest.mark.filterwarnings("ignore")  # Dask's own
def test_each_row_has_one_outcome_whoever_dies(client: Any, tmp_path: Path) -> None:
    asks = [*rows(40), {"custom_id": "killer", "prompt": KILLER}, *rows(20, 40)]
    journal = str(tmp_path / "journal")
    with deadly(15) as asked:
        answers = ask(asks, client, journal=journal, partition=20, **settings(asked))
        assert [answer["custom_id"] for answer in answers] == [row["custom_id"] for row in asks]
        outcomes = {answer["custom_id"]: answer["outcome"] for answer in answers}
        assert outcomes.pop("killer") == "abandoned"
        assert set(outcomes.values()) == {"complete"}
        deaths = 3
        assert len(asks) <= asked.total <= len(asks) + deaths * CONCURRENCY
        total = asked.total
        bag = import_module("dask.bag").from_sequence(asks, npartitions=2)
        assert ask(bag, client, journal=journal, **settings(asked)) == answers
        assert asked.total == total


def test_a_worker_has_one_asker_for_each_journal(tmp_path: Path) -> None:
    with deadly() as asked:
        how = {**settings(asked), "key": "k-0"}
        journal = str(tmp_path)
        assert ask_partition(rows(3), journal, how)[2]["text"] == "re: question 2"
        assert len(ask_partition(rows(4), journal, how)) == 4
        assert len(list(tmp_path.iterdir())) == 1
        assert asked.total == 4
