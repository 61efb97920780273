"""The clocks: what starts, stops and resets each of them."""

import math
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenwire.protocols.clocks import Clocks, Timer
from tokenwire.protocols.errors import Clock, LocalProtocolError

ALL = Clocks(connect=10, first_event=100, idle=20, total=1000)
NONE = Clocks(connect=None, first_event=None, idle=None, total=None)


def timer(now: float = 0, **clocks: float | None) -> Timer:
    """A timer with only these clocks."""
    return Timer(msgspec.structs.replace(NONE, **clocks), now)


def expired(running: Timer, now: float) -> Clock | None:
    error = running.expired(now)
    return error.clock if error else None


def test_the_defaults() -> None:
    assert Clocks() == Clocks(connect=10, first_event=120, idle=60, total=None)


@pytest.mark.parametrize("name", ["connect", "first_event", "idle", "total"])
@pytest.mark.parametrize("seconds", [0, -1, math.inf, math.nan])
def test_no_clock_without_sense(name: str, seconds: float) -> None:
    clocks: dict[str, Any] = {name: seconds}
    with pytest.raises(LocalProtocolError, match=f"clock {name}=.* give seconds above 0, or None"):
        Clocks(**clocks)


@pytest.mark.parametrize("name", ["connect", "first_event", "idle", "total"])
def test_a_clock_may_be_short(name: str) -> None:
    clocks: dict[str, Any] = {name: 0.001}
    assert getattr(Clocks(**clocks), name) == 0.001


def test_without_clocks_nothing_runs_out() -> None:
    running = Timer(NONE, 0)
    running.connecting(0)
    running.wait(0)
    running.unit(1, 0)
    assert running.deadline() is None
    assert running.expired(1e12) is None


def test_connect_is_for_each_connection() -> None:
    running = timer(connect=10)
    assert running.deadline() is None
    running.connecting(5)
    assert running.deadline() == 15
    running.connected()
    assert running.deadline() is None
    running.connecting(100)
    assert (running.deadline(), expired(running, 109.9)) == (110, None)
    assert expired(running, 110) == "connect"


def test_total_runs_always() -> None:
    running = timer(now=7, total=100)
    for _ in range(2):
        assert running.deadline() == 107
        running.wait(20)
        running.event(0)
        running.unit(1, 30)
        running.pause(40)
    assert (expired(running, 106.9), expired(running, 107)) == (None, "total")


def test_first_event_runs_only_while_the_reader_waits() -> None:
    running = timer(first_event=100)
    assert running.deadline() is None
    running.wait(50)
    assert running.deadline() == 150
    running.pause(90)  # 40 are spent
    assert running.deadline() is None
    assert expired(running, 1e9) is None
    running.wait(1000)
    assert (running.deadline(), expired(running, 1059), expired(running, 1060)) == (
        *(1060, None),
        "first_event",
    )


def test_first_event_spans_all_requests_and_ends_with_the_first_event() -> None:
    running = timer(connect=10, first_event=100)
    running.wait(0)
    for start in (0, 30):
        running.connecting(start)
        running.connected()
        running.unit(start, start + 20)
    assert running.deadline() == 100
    running.event(0)
    assert running.deadline() is None


def test_idle_begins_with_the_first_bytes_and_starts_anew_with_all_others() -> None:
    running = timer(idle=20)
    running.wait(0)
    assert running.deadline() is None
    running.unit(1, 5)
    assert running.deadline() == 25
    running.unit(2, 15)
    assert (running.deadline(), expired(running, 34)) == (35, None)
    assert expired(running, 35) == "idle"


def test_what_grows_no_unit_is_no_sign_of_life() -> None:
    running = timer(idle=20)
    running.wait(0)
    running.event(3)
    running.wait(0)
    for now in (5, 10):
        running.unit(3, now)  # as the event left it
        assert running.deadline() == 20
    running.unit(4, 15)
    running.unit(4, 30)
    assert running.deadline() == 35


def test_a_unit_that_was_no_event_was_no_sign_of_life() -> None:
    running = timer(idle=20)
    running.wait(0)
    running.event(0)
    running.wait(0)
    running.unit(5, 15)
    assert running.deadline() == 35
    running.unit(0, 19)
    assert (running.deadline(), expired(running, 19)) == (20, None)
    running.unit(1, 19.5)
    running.unit(0, 30)
    assert expired(running, 30) == "idle"


def test_before_the_first_event_idle_runs_only_inside_a_unit() -> None:
    running = timer(first_event=100, idle=20)
    running.wait(0)
    running.unit(1, 0)
    assert running.deadline() == 20
    running.unit(0, 10)
    assert (running.deadline(), expired(running, 99)) == (100, None)
    assert expired(running, 100) == "first_event"


def test_an_event_is_what_the_reader_waited_for() -> None:
    running = timer(first_event=10, idle=20)
    running.wait(0)
    running.unit(1, 9)
    running.event(0)
    assert (running.deadline(), expired(running, 1000)) == (None, None)
    running.wait(100)
    assert running.deadline() == 120


def test_idle_runs_only_while_the_reader_waits() -> None:
    running = timer(idle=20)
    running.wait(0)
    running.unit(1, 0)
    running.pause(15)
    assert (running.deadline(), expired(running, 1000)) == (None, None)
    running.wait(100)  # 5 are left
    assert running.deadline() == 105
    running.pause(101)
    running.unit(2, 102)  # comes while nobody waits
    assert running.deadline() is None
    running.wait(200)
    assert running.deadline() == 220


def test_a_pause_without_a_wait_changes_nothing() -> None:
    running = timer(first_event=100)
    running.pause(50)
    running.wait(60)
    assert running.deadline() == 160


def test_to_wait_twice_is_to_wait() -> None:
    running = timer(first_event=100)
    running.wait(0)
    running.wait(90)
    assert running.deadline() == 100


def test_between_two_requests_nothing_is_idle() -> None:
    running = timer(connect=10, idle=20, first_event=100)
    running.wait(0)
    running.connecting(0)
    running.unit(1, 0)
    running.request_over()
    assert running.deadline() == 100
    running.unit(1, 50)
    assert running.deadline() == 70


@pytest.mark.parametrize(
    ("now", "clock", "message"),
    [
        (10, "connect", "no connection within 10 s (clock connect)"),
        (20, "idle", "nothing but keep-alives for 20 s (clock idle)"),
        (100, "first_event", "no event within 100 s (clock first_event)"),
        (1000, "total", "the answer was not complete after 1000 s (clock total)"),
    ],
)
def test_each_clock_says_which_it_is(now: float, clock: Clock, message: str) -> None:
    running = Timer(ALL, 0)
    running.wait(0)
    if clock == "connect":
        running.connecting(0)
    if clock == "idle":
        running.unit(1, 0)
    if clock == "total":
        running.event(0)
    error = running.expired(now)
    assert error is not None
    assert (error.clock, str(error)) == (clock, message)


def test_the_clock_that_ran_out_first_is_named() -> None:
    running = Timer(ALL, 0)
    running.wait(0)
    running.connecting(0)
    running.unit(1, 0)
    assert running.deadline() == 10
    assert expired(running, 5000) == "connect"


def test_between_two_requests_connect_and_idle_stand_still() -> None:
    running = Timer(ALL, 0)
    running.wait(0)
    running.connecting(0)
    running.unit(1, 0)
    running.event(0)
    running.request_over()
    assert running.deadline() == ALL.total


CALLS: dict[str, Callable[[Timer, int], None]] = {
    "connecting": Timer.connecting,
    "connected": lambda running, _: running.connected(),
    "request_over": lambda running, _: running.request_over(),
    "wait": Timer.wait,
    "pause": Timer.pause,
    "no unit": lambda running, now: running.unit(0, now),
    "a unit": lambda running, now: running.unit(7, now),
    "a unit grows": lambda running, now: running.unit(now, now),
    "event": lambda running, _: running.event(0),
    "event and a unit": lambda running, _: running.event(7),
}


@given(st.lists(st.tuples(st.sampled_from([*CALLS]), st.integers(0, 50)), max_size=20))
def test_expired_is_the_deadline_passed(calls: list[tuple[str, int]]) -> None:
    running, now = Timer(ALL, 0), 0
    for name, passed in calls:
        now += passed
        CALLS[name](running, now)
        deadline = running.deadline()
        assert deadline is not None  # total
        assert running.expired(deadline) is not None
        assert running.expired(deadline - 0.5) is None
