"""The numbers of a run."""

from tests.batch.making import outcome, question
from tokenwire import Usage
from tokenwire.batch.costs import Bounds, Price
from tokenwire.batch.intake import Survey
from tokenwire.batch.past import Verdict
from tokenwire.batch.tally import Tally


def test_numbers() -> None:
    survey = Survey()
    survey.verdicts.update({Verdict.DONE: 3, Verdict.KEPT: 1, Verdict.NEW: 6})
    bounds = Bounds(price=Price(1, 1), cost=0.5)
    tally = Tally(bounds, survey, 10, began=100.0, now=102.0)
    assert (tally.seconds_left, tally.cost_at_end) == (None, 0.5)
    tally.add(outcome(question(1), usage=Usage(input_tokens=5, output_tokens=7)))
    tally.add(outcome(question(2), "truncated"))
    assert (tally.finished, tally.earlier, tally.complete, tally.incomplete) == (2, 4, 4, 2)
    assert (tally.rate, tally.seconds_left) == (1.0, 4)
    assert tally.cost_at_end == 0.5 + 4 * 0.5 / 6
    assert tally.as_dict() == {
        "done": 6,
        "all": 10,
        "complete": 4,
        "outcomes": {"complete": 1, "truncated": 1},
        "in_flight": 0,
        "limit": 0,
        "waiting": 0,
        "resting": 0.0,
        "rows_a_second": 1.0,
        "input_tokens": 5,
        "output_tokens": 7,
        "seconds_left": 4,
        "cost": 0.5,
        "cost_at_end": 0.833333,
    }


def test_without_a_total_or_a_price() -> None:
    tally = Tally(Bounds())
    assert tally.rate == 0
    assert tally.as_dict()["seconds_left"] is None
    assert "cost" not in tally.as_dict()
    assert tally.cost_at_end is None
