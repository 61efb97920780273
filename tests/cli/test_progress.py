"""The progress of a batch: on a terminal, in lines, in JSON."""

import io
import json

import pytest
from rich.console import Console

from tests.batch.making import outcome, question
from tests.commanding import screen
from tokenwire.batch.costs import Bounds, Price
from tokenwire.batch.tally import Tally
from tokenwire.cli.progress import TerminalProgress, duration, open_progress, state_line


def tally(total: int | None = 10) -> Tally:
    found = Tally(Bounds(price=Price(1, 1), cost=0.5), total=total, began=0.0, now=2.0)
    found.add(outcome(question(1)))
    found.add(outcome(question(2), "truncated"))
    found.in_flight, found.limit, found.waiting = 3, 16, 1
    return found


def test_a_line() -> None:
    assert state_line(tally()) == (
        "2 of 10, 1 complete, 1 truncated, 1 to be asked again, 3 of 16 in flight, 1.0 rows/s, "
        "0 tokens in, 0 out, $0.5000 of about $2.5000, 8 s left"
    )
    rest = tally(None)
    rest.resting, rest.waiting = 12.4, 0
    assert state_line(rest).startswith("2 rows, 1 complete, 1 truncated, 3 of 16")
    assert state_line(rest).endswith("$0.5000, waits 12 s for the service")
    rest.stopped = "interrupted"
    assert state_line(rest).endswith("stopping: interrupted")
    rest.bounds.price = None
    assert "$" not in state_line(rest)


def test_durations() -> None:
    assert [duration(seconds) for seconds in (0.4, 59, 200, 7500)] == [
        "0 s",
        "59 s",
        "3:20 min",
        "2:05 h",
    ]


def test_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    shown = open_progress(tally(), as_json=False, quiet=False)
    assert shown.interval >= 6  # fewer than ten lines a minute
    with shown:
        shown.show()
        shown.say("a\x1bb")
    line, said = capsys.readouterr().err.splitlines()
    assert line == state_line(tally())
    assert said == "a\u241bb"


def test_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    with open_progress(tally(), as_json=True, quiet=False) as shown:
        shown.show()
        shown.say("words")
    line, said = map(json.loads, capsys.readouterr().err.splitlines())
    assert (line["done"], line["outcomes"]) == (2, {"complete": 1, "truncated": 1})
    assert said == {"said": "words"}


def test_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    with open_progress(tally(), as_json=False, quiet=True) as shown:
        shown.show()
        shown.say("words")
    assert capsys.readouterr().err == ""


def test_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    output = io.StringIO()
    console = Console(file=output, force_terminal=True, width=60, height=24)
    for total in (10, None):
        with TerminalProgress(tally(total), console) as shown:
            shown.show()
            shown._live.refresh()  # pyright: ignore[reportPrivateUsage]
            drawn = screen(output.getvalue())
            assert drawn[0].endswith("2 of 10" if total else "2 rows")
            assert drawn[1] == "1 complete, 1 truncated, 1 to be asked again"
            assert drawn[2].startswith("3 of 16 in flight, 1.0 rows/s")
            shown.say("beside")
        assert "beside" in screen(output.getvalue())[0]
        output.seek(0)
        output.truncate()
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert isinstance(open_progress(tally(), as_json=False, quiet=False), TerminalProgress)
