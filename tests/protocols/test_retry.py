"""When a question is asked again."""

import time
from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenwire.protocols.errors import (
    AuthenticationFailed,
    BadRequest,
    Challenged,
    ConnectFailed,
    ContentFiltered,
    Disconnected,
    LimitExceeded,
    LocalProtocolError,
    Malformed,
    Overloaded,
    RateLimited,
    Redirected,
    Refused,
    TimedOut,
    TokenwireError,
    TransportError,
    Truncated,
    UnexpectedContent,
)
from tokenwire.protocols.retry import NO_RETRY, Retry

NOW = 1_700_000_000.0


def refused(kind: type[Refused], status: int | None, retry_after: str | None = None) -> Refused:
    error = kind("no")
    error.status, error.retry_after = status, retry_after
    return error


def advised(kind: type[Refused], status: int, advice: bool) -> Refused:
    error = refused(kind, status)
    error.should_retry = advice
    return error


def lasting(error: Refused) -> Refused:
    error.lasting = True
    return error


def pause(
    error: TokenwireError, attempt: int = 1, *, jitter: float = 0, retry: Retry | None = None
) -> float | None:
    return (retry or Retry()).pause(error, attempt, wall_clock=NOW, jitter=jitter)


@pytest.mark.parametrize(
    "error",
    [
        ConnectFailed("no"),
        TimedOut("no", "connect"),
        refused(RateLimited, 429),
        refused(Overloaded, 502),
        refused(Overloaded, 503),
        refused(Overloaded, 504),
        refused(Overloaded, 529),
        refused(Overloaded, 408),
        refused(BadRequest, 409),
        refused(Refused, 500),
        refused(Refused, 599),
        advised(BadRequest, 400, True),
    ],
)
def test_what_may_pass_is_tried_again(error: TokenwireError) -> None:
    assert pause(error) == 0.5


@pytest.mark.parametrize(
    "error",
    [
        TokenwireError("no"),
        LocalProtocolError("no"),
        TransportError("no"),
        Disconnected("no"),
        Malformed("no"),
        Truncated("no"),
        LimitExceeded("no"),
        UnexpectedContent("no"),
        TimedOut("no", "first_event"),
        TimedOut("no", "idle"),
        TimedOut("no", "total"),
        refused(AuthenticationFailed, 401),
        refused(BadRequest, 400),
        refused(ContentFiltered, 400),
        refused(Redirected, 302),
        refused(Challenged, 503),
        refused(Refused, 501),
        refused(Refused, 505),
        refused(Refused, 600),
        advised(Overloaded, 503, False),
        advised(Redirected, 302, True),
        refused(RateLimited, 200),  # said in the stream
        refused(RateLimited, None),
        refused(RateLimited, 402),
        lasting(advised(RateLimited, 429, True)),
    ],
)
def test_what_will_not_pass_is_final(error: TokenwireError) -> None:
    assert pause(error) is None


def test_a_lasting_failure_to_connect_is_final() -> None:
    error = ConnectFailed("not trusted")
    error.lasting = True
    assert pause(error) is None


def test_attempts_are_counted_from_one() -> None:
    error = ConnectFailed("no")
    assert [pause(error, n) is None for n in (1, 2, 3, 4)] == [False, False, True, True]
    assert NO_RETRY.pause(error, 1, wall_clock=NOW, jitter=0) is None


def test_pauses_double_up_to_the_longest() -> None:
    retry = Retry(attempts=10_000, first_pause=0.5, longest_pause=3)
    pauses = [pause(ConnectFailed("no"), n, retry=retry) for n in (1, 2, 3, 4, 5, 9_999)]
    assert pauses == [0.5, 1, 2, 3, 3, 3]


@pytest.mark.parametrize(("jitter", "seconds"), [(0, 0.5), (0.5, 0.375), (1, 0.25)])
def test_a_random_part_of_the_half_is_cut(jitter: float, seconds: float) -> None:
    assert pause(ConnectFailed("no"), jitter=jitter) == seconds


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("7", 7),
        ("0", 0.25),  # never at once
        ("1.5", 1.5),
        ("-3", 0.25),
        ("5 s", 5),
        ("2S", 2),
        ("900ms", 0.9),
        ("34.07s", 34.07),
        ("0m30s", 30),
        ("1m", 60),
        ("1h0m5.7s", None),
        ("60", 60),
        ("61", None),
        ("inf", None),
        ("1500ms", 1.5),
        ("1500.0 ms", 1.5),
        ("90000ms", None),
        (formatdate(NOW + 20, usegmt=True), 20),
        (formatdate(NOW - 20, usegmt=True), 0.25),
        (formatdate(NOW + 61, usegmt=True), None),
        ("Tue, 14 Nov 2023 22:13:30 +0000", 10),
    ],
)
def test_retry_after_takes_the_place_of_the_pause(value: str, seconds: float | None) -> None:
    assert pause(refused(RateLimited, 429, value), jitter=1) == seconds


@pytest.mark.skipif(not hasattr(time, "tzset"), reason="there is one time zone here")
@pytest.mark.parametrize("value", ["Tue Nov 14 22:13:30 2023", "Tue, 14 Nov 2023 22:13:30 -0000"])
def test_a_date_without_a_zone_is_in_that_of_greenwich(
    value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    try:
        assert pause(refused(RateLimited, 429, value)) == 10
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize(
    "value",
    [
        "",
        "soon",
        "nan",
        "ms",
        "5 days",
        "1..2s",
        "5s soon",
        "Fri, 31 Dec 99999999999999999999 00:00:00 GMT",
    ],
)
def test_a_retry_after_that_says_nothing_is_left_out(value: str) -> None:
    assert pause(refused(Overloaded, 503, value)) == 0.5


def test_the_longest_wait_is_the_callers() -> None:
    error = refused(RateLimited, 429, "300")
    assert pause(error, retry=Retry(longest_wait=300)) == 300


@given(st.text() | st.from_regex(r"[A-Z]{3}, \d+ Jan \d+ \d+:\d+:\d+ [+-]?\w+"))
def test_no_retry_after_breaks_it(value: str) -> None:
    found = pause(refused(RateLimited, 429, value))
    assert found is None or 0.25 <= found <= 60
