"""Ray Data: the adapter without Ray, and with it (`make test-ray`) actors that die."""

import os
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.batch.dying import KILLER, deadly, own_process
from tests.batch.serving import Asked, rows
from tokenwire.batch.asker import COLUMNS
from tokenwire.batch.ray import Asker, plain, rows_of

CONCURRENCY = 8


class Array:
    """What an array of numpy has that matters here."""

    def __init__(self, *values: Any) -> None:
        self._values = list(values)

    def tolist(self) -> list[Any]:
        return self._values

    def __iter__(self) -> Any:
        return iter(self._values)


class Number:
    """Likewise a number."""

    def tolist(self) -> int:
        return 5


class Frame:
    """Likewise a frame of pandas."""

    def to_dict(self, orient: str) -> list[dict[str, Any]]:
        assert orient == "records"
        return [{"custom_id": "a", "n": Number()}]


def test_rows_of_a_batch() -> None:
    batch = {
        "custom_id": Array("a", "b"),
        "body": Array({"messages": Array({"role": "user", "name": None}), "n": Number()}, None),
    }
    assert rows_of(batch) == [
        {"custom_id": "a", "body": {"messages": [{"role": "user"}], "n": 5}},
        {"custom_id": "b"},
    ]
    assert rows_of(Frame()) == [{"custom_id": "a", "n": 5}]
    assert rows_of({}) == []
    assert plain((1, "x")) == [1, "x"]


def settings(asked: Asked, folder: Path) -> dict[str, Any]:
    return {
        "journal": str(folder),
        "provider": "openai",
        "model": "m",
        "key": own_process,
        "base_url": asked.url,
        "concurrency": CONCURRENCY,
        "client": {"trust_env": False},
    }


def test_a_batch_becomes_columns(tmp_path: Path) -> None:
    with deadly() as asked:
        found = Asker(**settings(asked, tmp_path))({"prompt": Array("a", "b")})
    assert list(found) == list(COLUMNS)
    assert found["text"] == ["re: a", "re: b"]


@pytest.mark.ray
@pytest.mark.timeout(300)
@pytest.mark.filterwarnings("ignore")  # Ray's own
def test_each_row_has_one_outcome_whoever_dies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """400 rows, two actors, three deaths, and a row that kills its actor whenever it is asked."""
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    ray: Any = pytest.importorskip("ray")
    ray_data: Any = pytest.importorskip("ray.data")
    root = str(Path(__file__).parents[2])
    ray.init(
        num_cpus=2,
        include_dashboard=False,
        object_store_memory=200_000_000,
        _node_ip_address="127.0.0.1",
        runtime_env={"env_vars": {"PYTHONPATH": os.pathsep.join([root, *sys.path])}},
        log_to_driver=False,
    )
    asks = [*rows(200), {"custom_id": "killer", "prompt": KILLER}, *rows(200, 200)]
    try:
        with deadly(37, 111, 250) as asked:
            answers = ray_data.from_items(asks).map_batches(
                Asker,
                fn_constructor_kwargs=settings(asked, tmp_path),
                batch_size=50,
                compute=ray_data.ActorPoolStrategy(size=2),
                num_cpus=0.2,
                max_restarts=8,
                max_task_retries=8,
            )
            found = answers.take_all()
        outcomes = {answer["custom_id"]: answer["outcome"] for answer in found}
        assert len(found) == len(outcomes) == 401
        assert outcomes.pop("killer") == "abandoned"
        assert set(outcomes.values()) == {"complete"}
        print(f"\n{len(asks)} rows, {asked.total} questions")
        assert asked.total <= len(asks) + 5 * CONCURRENCY
        assert asked.times[KILLER] == 2
    finally:
        ray.shutdown()
