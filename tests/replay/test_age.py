"""How old a cassette is."""

import warnings
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tokenwire import LocalProtocolError
from tokenwire.replay.age import too_old
from tokenwire.replay.cassette import BadCassette, Cassette, save
from tokenwire.replay.client import replay

NEW_YEAR = "2026-01-01T00:00:00Z"
OLD = "was recorded on 2026-01-01, more than {} ago"


def at(year: int, month: int, day: int, hour: int = 0) -> float:
    return datetime(year, month, day, hour, tzinfo=UTC).timestamp()


def clock(year: int, month: int, day: int) -> Callable[[], float]:
    return lambda: at(year, month, day)


@pytest.mark.parametrize("recorded", [NEW_YEAR, "2026-01-01", "2026-01-01T02:00:00+02:00"])
@pytest.mark.parametrize(
    ("max_age", "last"),
    [("12h", at(2026, 1, 1, 12)), ("90d", at(2026, 4, 1)), ("2w", at(2026, 1, 15))],
)
def test_up_to_the_second(recorded: str, max_age: str, last: float) -> None:
    cassette = Cassette(recorded=recorded)
    assert too_old(cassette, max_age, last) == ""
    assert too_old(cassette, max_age, last + 1) == OLD.format(max_age)
    assert too_old(cassette, max_age, 0) == ""  # a clock that is slow


@pytest.mark.parametrize("recorded", ["", "yesterday"])
def test_without_a_date(recorded: str) -> None:
    why = "does not say when it was recorded, so it counts as older than 1d"
    assert too_old(Cassette(recorded=recorded), "1d", 0) == why


@pytest.mark.parametrize("max_age", ["", "90", "d", "-1d", "1.5d", "1y", "1d ", "٣d", "1234567d"])
def test_what_is_no_age(max_age: str) -> None:
    with pytest.raises(LocalProtocolError, match="is no age: give one such as 12h, 90d or 8w"):
        too_old(Cassette(recorded=NEW_YEAR), max_age, 0)


def test_it_warns(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    save(Cassette(recorded=NEW_YEAR), path)
    said = f"{path} {OLD.format('90d')}: record it anew"
    with pytest.warns(UserWarning, match="record it anew") as caught:
        replay(path, max_age="90d", now=clock(2026, 4, 2))
    (warning,) = caught
    assert str(warning.message) == said
    assert warning.filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        replay(path, max_age="90d", now=clock(2026, 4, 1))
        replay(path, now=clock(2099, 1, 1))


def test_it_fails() -> None:
    cassette = Cassette(recorded=NEW_YEAR)
    with pytest.raises(BadCassette, match="the cassette was recorded on 2026-01-01, more than 90d"):
        replay(cassette, max_age="90d", stale="fail", now=clock(2026, 4, 2))
    replay(cassette, max_age="90d", stale="fail", now=clock(2026, 4, 1))


def test_it_can_not_be_recorded_here() -> None:
    with pytest.raises(LocalProtocolError, match="stale='record': to replay, give 'warn' or"):
        replay(Cassette(recorded=NEW_YEAR), max_age="90d", stale="record", now=clock(2026, 1, 1))  # type: ignore[arg-type]
