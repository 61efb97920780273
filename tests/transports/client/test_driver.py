"""The policy that `Wire` and `Course` share: each test is run with both."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.wiring import question
from tokenwire.protocols.clocks import Clocks
from tokenwire.protocols.errors import ConnectFailed
from tokenwire.protocols.retry import NO_RETRY, Retry
from tokenwire.transports.client.course import Course, Send
from tokenwire.transports.client.driver import Driver, Sleep
from tokenwire.transports.client.wire import Connect, Wire

START = 1000.0


def wire(**how: Any) -> Wire:
    return Wire(question(), proxy=lambda origin: None, **how)


def course(**how: Any) -> Course:
    return Course(question(), **how)


def connecting(driver: Driver, now: float) -> None:
    """The next action is to connect, which fails."""
    match driver:
        case Wire():
            assert isinstance(driver.next(now), Connect)
            driver.failed(ConnectFailed("no connection"), now)
        case Course():
            assert isinstance(driver.next(now), Send)
            assert driver.failed(httpx.ConnectError("no connection"), now)
        case _:
            raise AssertionError(driver)


def step(driver: Driver, now: float) -> Any:
    assert isinstance(driver, Wire | Course)
    return driver.next(now)


@pytest.fixture(params=[wire, course], ids=["Wire", "Course"])
def driver(request: pytest.FixtureRequest) -> Callable[..., Driver]:
    def make(**how: Any) -> Driver:
        settings: dict[str, Any] = {
            "clocks": None,
            "retry": None,
            "allow_private_addresses": False,
            "now": START,
            "wall_clock": 1.7e9,
            "jitter": 0,
        }
        made: Driver = request.param(**(settings | how))
        return made

    return make


@pytest.mark.parametrize(
    ("retry", "jitter", "pauses"),
    [
        (None, 0, [0.5, 1.0]),
        (None, 0.5, [0.375, 1.0]),
        (NO_RETRY, 0, []),
        (Retry(attempts=4, first_pause=2, longest_pause=3), 0, [2, 3, 3]),
    ],
)
def test_attempts(
    driver: Callable[..., Driver], retry: Retry | None, jitter: float, pauses: list[float]
) -> None:
    asking, now = driver(retry=retry, jitter=jitter), START
    for pause in pauses:
        connecting(asking, now)
        assert step(asking, now) == Sleep(now + pause)
        assert step(asking, now + pause / 2) == Sleep(now + pause)  # woken too early
        now += pause
    connecting(asking, now)
    with pytest.raises(ConnectFailed) as first:
        step(asking, now)
    with pytest.raises(ConnectFailed) as again:
        step(asking, now + 1000)
    assert first.value is again.value
    assert not asking.finished


@pytest.mark.parametrize(("total", "again"), [(0.4, False), (0.6, True)])
def test_no_attempt_that_would_be_too_late(
    driver: Callable[..., Driver], total: float, again: bool
) -> None:
    clocks = Clocks(connect=None, first_event=None, total=total)
    asking = driver(clocks=clocks)
    connecting(asking, START)
    if again:
        assert step(asking, START) == Sleep(START + 0.5)
    else:
        with pytest.raises(ConnectFailed):
            step(asking, START)
