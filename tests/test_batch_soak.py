"""The soak of batches, with few rows; and that it sees what is wrong."""

import json
from pathlib import Path

from tests import batch_soak
from tests.batch_soak import KINDS, Figures, kind_of, soak


def test_it_is_killed_and_each_row_has_its_outcome() -> None:
    figures = soak(rows=240, kills=2, concurrency=16, seed=3)
    assert figures.problems == []
    assert figures.outcomes == {
        "complete": 232,
        "truncated": 2,
        "bad_request": 2,
        "refused": 2,
        "malformed": 2,
    }
    assert len(figures.peaks) == 3
    assert "240 rows, 2 kills" in str(figures)


def test_each_kind_of_fault_comes_round() -> None:
    assert {kind_of(number) for number in range(0, 120, 10)} == set(KINDS)


def test_what_is_wrong_is_seen(tmp_path: Path) -> None:
    def line(row: str, outcome: str, text: str | None = None) -> str:
        body = {"choices": [{"message": {"content": text}}]}
        response = None if text is None else {"status_code": 200, "body": body}
        told = {"outcome": outcome}
        return json.dumps({"custom_id": row, "response": response, "tokenwire": told}) + "\n"

    answers = tmp_path / "a.jsonl"
    answers.write_text(
        line("1", "complete", "openai m was asked: question 1")
        + line("1", "complete", "another")
        + line("2", "truncated", "half")
        + line("99", "complete", "openai m was asked: question 99")
    )
    figures = Figures(3, 0)
    batch_soak._check(answers, figures)  # pyright: ignore[reportPrivateUsage]
    assert len(figures.problems) == 6
    assert "1 has a line after it was complete" in figures.problems
