"""Dates, beside those of `datetime`."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenwire.protocols.toolkit.dates import rfc3339


@pytest.mark.parametrize(
    ("seconds", "date"),
    [
        (0, "1970-01-01T00:00:00.000000Z"),
        (951_782_400.25, "2000-02-29T00:00:00.250000Z"),
        (1_798_761_599, "2026-12-31T23:59:59.000000Z"),
        (4_107_542_400, "2100-03-01T00:00:00.000000Z"),
        (-0.5, "1969-12-31T23:59:59.500000Z"),
        (1 - 2**-21, "1970-01-01T00:00:00.999999Z"),
    ],
)
def test_rfc3339(seconds: float, date: str) -> None:
    assert rfc3339(seconds) == date


@given(st.integers(-62_135_596_800, 253_402_300_799))
def test_any_second(seconds: int) -> None:
    assert rfc3339(seconds) == by_datetime(seconds)


def test_each_hour_of_a_leap_year() -> None:
    for hour in range(366 * 24):
        seconds = 946_684_800 + 3_600 * hour
        assert rfc3339(seconds) == by_datetime(seconds)


def by_datetime(seconds: int) -> str:
    then = datetime.fromtimestamp(seconds, UTC)
    return then.strftime(f"{then.year:04}-%m-%dT%H:%M:%S.000000Z")
