"""Frames of pandas, as Spark gives them to `mapInPandas`; pandas itself is played."""

import sys
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.batch.serving import serving
from tokenwire.batch.asker import COLUMNS
from tokenwire.batch.pandas import SCHEMA, asker


class DataFrame:
    def __init__(self, rows: Iterable[dict[str, Any]], columns: list[str]) -> None:
        self.rows, self.columns = list(rows), columns

    def to_dict(self, orient: str) -> list[dict[str, Any]]:
        return self.rows


def test_frames_become_frames(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pandas = ModuleType("pandas")
    pandas.DataFrame = DataFrame  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "pandas", pandas)
    with serving() as asked:
        how = {"provider": "openai", "model": "m", "key": "k", "base_url": asked.url}
        frames = [DataFrame([{"prompt": "a"}, {"prompt": "b"}], []), DataFrame([], [])]
        first, second = asker(str(tmp_path), **how)(frames)
        assert [row["outcome"] for row in first.rows] == ["complete", "complete"]
        assert first.columns == list(COLUMNS)
        assert second.rows == []
    (part,) = tmp_path.iterdir()
    assert part.name.startswith("part-")


def test_the_schema_is_spark_s() -> None:
    assert SCHEMA.startswith("custom_id string, outcome string, text string")
    assert "attempts long" in SCHEMA
    assert "cost double" in SCHEMA
