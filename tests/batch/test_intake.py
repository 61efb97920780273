"""The intake: what is done with each row, and how many there are of each kind."""

import pytest

from tests.batch.making import READER, line, question
from tokenwire import LocalProtocolError
from tokenwire.batch.intake import Intake, Shard, shard_of_text
from tokenwire.batch.lines import began_line
from tokenwire.batch.outcomes import Outcome
from tokenwire.batch.past import Past, Verdict
from tokenwire.batch.rows import Question


def test_each_kind_of_row() -> None:
    past = Past()
    for each in (
        line(question(1, "done")),
        line(question(2, "kept"), "bad_request"),
        line(question(3, "again"), "truncated"),
        line(question(4, "changed", "before")),
        began_line(["abandoned"], "a"),
        began_line(["abandoned"], "b"),
    ):
        past.add(each)
    intake = Intake(READER, past)
    names = ("done", "kept", "again", "changed", "abandoned", "new")
    found = [intake.take(n, question(n, name)) for n, name in enumerate(names, 1)]
    assert found[:2] == [None, None]
    assert tuple(each.custom_id for each in found[2:4] if isinstance(each, Question)) == names[2:4]
    assert isinstance(found[4], Outcome)
    assert (found[4].kind, str(found[4].error)) == ("abandoned", "two workers died on it")
    assert isinstance(found[5], Question)
    repeated = intake.take(7, {"custom_id": "new", "prompt": "x"})
    assert isinstance(repeated, Outcome)
    assert (repeated.kind, repeated.custom_id) == ("invalid", "line-000007")
    broken = intake.take(8, b"{")
    assert isinstance(broken, Outcome)
    assert (broken.kind, broken.number) == ("invalid", 8)
    survey = intake.survey
    assert survey.rows == 8
    assert survey.to_ask == 6
    assert survey.verdicts[Verdict.NEW] == 3


def test_an_invalid_row_is_not_told_again() -> None:
    past = Past()
    first = Intake(READER, past).take(1, b"{")
    assert isinstance(first, Outcome)
    again = Past()
    again.add(line(question(1), "invalid", error=first.error))
    intake = Intake(READER, again)
    broken = READER.line(1, b"{")
    again.add(line(broken, "invalid", error=first.error))
    assert intake.take(1, b"{") is None


def test_rows_of_other_shards_are_left_to_them() -> None:
    rows = [question(number, f"q{number}") for number in range(40)]
    intakes = [Intake(READER, Past(), Shard(number, 4)) for number in range(1, 5)]
    taken = [{row.custom_id for row in rows if intake.take(1, row)} for intake in intakes]
    assert sum(map(len, taken)) == 40
    assert len(set[str]().union(*taken)) == 40
    assert [intake.survey.rows + intake.survey.others for intake in intakes] == [40] * 4


def test_shards() -> None:
    assert shard_of_text("3/16") == Shard(3, 16)
    for text in ("0/4", "5/4", "x/4", "3", "1/", "-1/2"):
        with pytest.raises(LocalProtocolError, match="give K/N"):
            shard_of_text(text)
