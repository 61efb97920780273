"""The schedule: which row is asked next, and what becomes of each attempt."""

from math import inf

import pytest

from tests.batch.making import answer, question
from tokenwire import BadRequest, RateLimited, Refused, Reply, TokenwireError, Truncated
from tokenwire.batch.costs import Bounds, Price
from tokenwire.batch.outcomes import Outcome
from tokenwire.batch.pace import Pace
from tokenwire.batch.schedule import MOST_LATER, Attempt, Patience, Result, Schedule


def begin(schedule: Schedule, now: float = 0.0) -> Attempt:
    attempt = schedule.next(now)
    assert isinstance(attempt, Attempt)
    return attempt


def end(
    schedule: Schedule,
    attempt: Attempt,
    error: TokenwireError | None = None,
    *,
    now: float = 0.0,
    reply: Reply | None = None,
) -> Outcome | None:
    reply = reply or (answer() if error is None else Reply())
    return schedule.ended(attempt, Result(reply=reply, error=error), now, 1e9)


def scheduled(*numbers: int, **options: object) -> Schedule:
    schedule = Schedule(Pace(), **options)  # type: ignore[arg-type]
    for number in numbers:
        schedule.add(question(number))
    return schedule


def refused(status: int, kind: type[Refused] = Refused) -> Refused:
    error = kind("no")
    error.status = status
    return error


def test_rows_are_asked_in_their_order() -> None:
    schedule = scheduled(1, 2)
    first, second = begin(schedule), begin(schedule)
    assert (first.question.number, second.question.number) == (1, 2)
    assert schedule.next(0) == inf
    found = end(schedule, first)
    assert found is not None
    assert (found.kind, found.number, found.attempts, found.evidence) == (
        "complete",
        1,
        1,
        "terminator",
    )
    assert (found.tokens, found.cost, found.text) == (5, None, "Hi")
    assert not schedule.is_over
    schedule.source_ended()
    assert not schedule.is_over
    end(schedule, second)
    assert schedule.is_over
    assert not schedule.wants_row


def test_about_twice_as_many_are_read_as_are_asked_at_once() -> None:
    schedule = scheduled()
    count = 0
    while schedule.wants_row:
        schedule.add(question(count := count + 1))
    assert count == 32


def test_a_failure_that_may_pass_waits_at_the_end_of_the_queue() -> None:
    schedule = scheduled(1, 2, random=lambda: 0.5)
    assert end(schedule, begin(schedule), refused(500)) is None
    assert schedule.waiting == 1
    assert begin(schedule).question.number == 2
    assert schedule.next(0) == 0.375
    again = begin(schedule, 0.375)
    assert (again.question.number, again.tries) == (1, 2)
    found = end(schedule, again)
    assert found is not None
    assert (found.kind, found.attempts) == ("complete", 2)


def test_pauses_double() -> None:
    patience = Patience()
    assert [patience.pause(tries, 0) for tries in range(1, 7)] == [0.5, 1, 2, 4, 8, 8]
    assert patience.pause(1, 1) == 0.25


def test_attempts_have_an_end() -> None:
    schedule = scheduled(1, patience=Patience(attempts=3))
    now, found = 0.0, None
    for _ in range(3):
        assert found is None
        now += 100
        found = end(schedule, begin(schedule, now), refused(500), now=now)
    assert found is not None
    assert (found.kind, found.attempts) == ("refused", 3)


def test_half_an_answer_is_asked_again_less_often_and_paid_each_time() -> None:
    bounds = Bounds(price=Price(1_000_000, 1_000_000))
    schedule = scheduled(1, bounds=bounds)
    half = answer("12345678", whole=False)
    assert end(schedule, begin(schedule), Truncated("cut"), reply=half) is None
    found = end(schedule, begin(schedule, 9), Truncated("cut"), now=9, reply=half)
    assert found is not None
    assert (found.kind, found.attempts, found.reply) == ("truncated", 2, None)
    assert found.partial is half
    size = -(-question(1).size // 4) + 2
    assert (found.tokens, found.cost) == (2 * size, 2.0 * size)
    assert bounds.cost == 2 * size


def test_what_can_t_pass_is_final_and_costs_nothing() -> None:
    schedule = scheduled(1)
    found = end(schedule, begin(schedule), refused(400, BadRequest))
    assert found is not None
    assert (found.kind, found.tokens, schedule.bounds.failures) == ("bad_request", 0, 1)


def test_an_overload_makes_all_wait_as_long_as_the_service_says() -> None:
    schedule = scheduled(1, 2)
    error = refused(429, RateLimited)
    error.retry_after = "7"
    assert end(schedule, begin(schedule), error) is None
    assert schedule.next(0) == 7
    assert begin(schedule, 7).question.number == 2


def test_headers_are_the_pace_s() -> None:
    schedule = scheduled(1, 2)
    first = begin(schedule)
    left = [(b"x-ratelimit-remaining-requests", b"0"), (b"x-ratelimit-reset-requests", b"9s")]
    schedule.responded(first, [(b"content-type", b"a")], 0, 0)
    schedule.responded(first, left, 0, 0)
    end(schedule, first)
    assert schedule.next(0) == 9
    refusing = scheduled(1, 2)
    error = refused(400, BadRequest)
    error.headers = left
    end(refusing, begin(refusing), error)
    assert refusing.next(0) == 9


def test_a_row_that_was_not_sent_leaves_no_trace() -> None:
    schedule = scheduled(1)
    schedule.unasked(begin(schedule), 0)
    schedule.source_ended()
    assert schedule.is_over
    assert schedule.bounds.finished == 0


def test_a_stop_lets_what_is_in_flight_end() -> None:
    schedule = scheduled(1, 2)
    first = begin(schedule)
    schedule.stop("interrupted")
    schedule.stop("again")
    assert (schedule.stopped, schedule.next(0), schedule.wants_row) == ("interrupted", inf, False)
    assert not schedule.is_over
    assert end(schedule, first) is not None
    assert schedule.is_over


@pytest.mark.parametrize(
    "bounds", [Bounds(budget_tokens=5), Bounds(budget_tokens=5, tokens=1), Bounds(budget_tokens=4)]
)
def test_a_budget_stops_it(bounds: Bounds) -> None:
    schedule = scheduled(1, 2, 3, bounds=bounds)
    first, second = begin(schedule), begin(schedule)
    end(schedule, first)
    assert schedule.next(0) == inf
    assert "budget" in schedule.stopped
    end(schedule, second)
    assert schedule.is_over


def test_too_many_that_wait_stop_the_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    assert MOST_LATER == 10_000
    monkeypatch.setattr("tokenwire.batch.schedule.MOST_LATER", 1)
    schedule = scheduled(1)
    assert schedule.wants_row
    end(schedule, begin(schedule), refused(500))
    assert not schedule.wants_row


def test_expected_tokens_are_those_of_the_question_and_the_mean_answer() -> None:
    schedule = scheduled(1, 2)
    first = begin(schedule)
    assert first.expected == question(1).size / 4
    end(schedule, first, reply=answer("x" * 80))
    assert begin(schedule).expected == (question(2).size + 80) / 4
