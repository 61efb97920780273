"""Which targets are asked, and what their failures mean."""

from collections import Counter
from random import Random

import pytest

from tests.gateway.driving import config_of
from tokenwire import (
    AuthenticationFailed,
    BadRequest,
    ConnectFailed,
    ContentFiltered,
    LocalProtocolError,
    Malformed,
    Overloaded,
    RateLimited,
    Refused,
    TimedOut,
    TokenwireError,
    Truncated,
    UnexpectedContent,
)
from tokenwire.gateway.config import Model
from tokenwire.gateway.plan import Health, Meaning, Planner, RetryBudget, meaning_of, wait_of


def model(strategy: str = "ordered", weights: tuple[float, ...] = (1, 1, 1)) -> Model:
    targets = ", ".join(
        f'{{ provider = "local", model = "m{n}", weight = {weight} }}'
        for n, weight in enumerate(weights)
    )
    config = config_of(
        '[providers.local]\ndialect = "openai_chat"\nbase_url = "http://127.0.0.1:1/v1"\n'
        f'[[models]]\nname = "m"\nstrategy = "{strategy}"\ntargets = [{targets}]\n'
    )
    return config.models[0]


def planner() -> Planner:
    return Planner(Random(1).random)


def names(planner: Planner, model: Model, session: str = "", now: float = 0) -> list[str]:
    return [target.model for target in planner.order(model, session, now)]


def used_up() -> Refused:
    error = RateLimited("no credit", code="insufficient_quota")
    error.lasting = True
    return error


@pytest.mark.parametrize(
    ("error", "again", "health"),
    [
        (ConnectFailed("?"), True, "failed"),
        (TimedOut("?", "first_event"), True, "failed"),
        (Truncated("?"), True, "failed"),
        (Malformed("?"), True, "failed"),
        (UnexpectedContent("?"), True, "failed"),
        (Overloaded("?"), True, "failed"),
        (Refused("?"), True, "failed"),
        (RateLimited("?"), True, "cooling"),
        (AuthenticationFailed("?"), True, "aside"),
        (used_up(), True, "aside"),
        (BadRequest("?"), False, "well"),
        (ContentFiltered("?"), False, "well"),
        (LocalProtocolError("?"), False, "well"),
    ],
)
def test_what_an_error_means(error: TokenwireError, again: bool, health: str) -> None:
    meaning = meaning_of(error)
    assert (meaning.again, meaning.health) == (again, health)
    assert meaning.operators is (health == "aside")


def test_ordered_is_the_order_of_the_file() -> None:
    assert names(planner(), model()) == ["m0", "m1", "m2"]


def test_weighted_is_random_by_the_weights() -> None:
    plan, chosen = planner(), model("weighted", (8, 1, 1))
    first = Counter(names(plan, chosen)[0] for _ in range(1000))
    assert 750 < first["m0"] < 850
    assert min(first["m1"], first["m2"]) > 50


def test_least_is_where_the_fewest_calls_are() -> None:
    plan, chosen = planner(), model("least", (1, 2, 1))
    for target, calls in zip(chosen.targets, (2, 2, 0), strict=True):
        plan.of(target).in_flight = calls
    assert names(plan, chosen) == ["m2", "m1", "m0"]


def test_sticky_keeps_a_session_where_it_was() -> None:
    chosen = model("sticky", (1, 1, 2))
    orders = {f"s{n}": names(planner(), chosen, f"s{n}") for n in range(400)}
    assert orders == {session: names(planner(), chosen, session) for session in orders}
    first = Counter(order[0] for order in orders.values())
    assert 150 < first["m2"] < 250  # half, by its weight
    without = model("sticky", (1, 1))
    for session, order in orders.items():  # only the sessions of a target that is gone move
        assert names(planner(), without, session) == [name for name in order if name != "m2"]


def test_a_target_that_fails_three_times_is_put_aside_and_tried_again() -> None:
    plan, chosen = planner(), model()
    first = chosen.targets[0]
    for _ in range(2):
        plan.learn(first, Truncated("?"), 0, 0)
    assert names(plan, chosen)[0] == "m0"
    plan.learn(first, Truncated("?"), 0, 0)
    assert names(plan, chosen) == ["m1", "m2", "m0"]  # it is still there if no other is left
    assert names(plan, chosen, now=4.9)[-1] == "m0"
    assert names(plan, chosen, now=5)[0] == "m0"
    plan.of(first).in_flight = 1  # one call tries it
    assert names(plan, chosen, now=5)[-1] == "m0"
    plan.of(first).in_flight = 0
    plan.learn(first, Truncated("?"), 5, 0)  # and fails: twice as long
    assert names(plan, chosen, now=14.9)[-1] == "m0"
    assert names(plan, chosen, now=15)[0] == "m0"
    plan.learn(first, None, 15, 0)
    plan.of(first).in_flight = 1
    assert names(plan, chosen, now=15)[0] == "m0"


def test_time_aside_has_a_limit() -> None:
    health = Health()
    for _ in range(20):
        health.failed(0)
    assert health.cooling(0) == 120


def test_more_failures_than_successes_put_a_target_aside() -> None:
    health = Health()
    for _ in range(10):
        health.failed(0)
        health.succeeded()
    assert health.is_up(0)
    health.failed(0)
    assert health.is_up(0)  # the first failure has left the window
    health.failed(0)
    assert not health.is_up(0)


def test_a_limited_target_cools_for_as_long_as_it_says() -> None:
    plan, chosen = planner(), model()
    error = RateLimited("?")
    plan.learn(chosen.targets[0], error, 0, 0)
    error.retry_after = "9"
    plan.learn(chosen.targets[1], error, 0, 0)
    assert names(plan, chosen) == ["m2", "m0", "m1"]
    assert names(plan, chosen, now=5) == ["m0", "m2", "m1"]
    assert plan.of(chosen.targets[1]).cooling(5) == 4


def test_a_wrong_key_puts_a_target_aside_and_a_wrong_request_does_not() -> None:
    plan, chosen = planner(), model()
    plan.learn(chosen.targets[0], AuthenticationFailed("?"), 0, 0)
    for _ in range(5):
        plan.learn(chosen.targets[1], BadRequest("?"), 0, 0)
    assert names(plan, chosen, now=59) == ["m1", "m2", "m0"]
    assert names(plan, chosen, now=60)[0] == "m0"


def test_waits() -> None:
    error = Overloaded("?")
    assert wait_of(error, 0) is None
    for told, wait in (
        ("1.5", 1.5),
        ("1500ms", 1.5),
        ("-3", 0),
        ("Thu, 01 Jan 1970 00:01:40 GMT", 60),
        ("Thu, 01 Jan 1970 00:00:10 GMT", 0),
        ("nan", None),
        ("1e999", None),
        ("soon", None),
    ):
        error.retry_after = told
        assert wait_of(error, 40) == wait, told
    assert wait_of(Truncated("?"), 0) is None


def test_calls_are_asked_again_only_so_often() -> None:
    budget = RetryBudget()
    for n in range(100):
        budget.call(n / 10)
    assert sum(budget.spend(10) for _ in range(100)) == 30
    budget.call(69)
    assert not budget.spend(69)
    assert sum(budget.spend(70.5) for _ in range(100)) == 11


def test_meanings_are_values() -> None:
    assert meaning_of(Truncated("?")) == Meaning(again=True, health="failed")


def test_checks_of_a_target() -> None:
    fast, limited = model(), planner()
    target = fast.targets[0]
    health = limited.of(target)
    limited.checked(target, True, 0.0)
    for now in (0.0, 1.0, 2.0):
        assert health.is_up(now)
        limited.checked(target, False, now)
    assert not health.is_up(3.0)
    limited.checked(target, True, 3.0)
    assert health.is_up(3.0)  # for one call
    health.in_flight = 1
    assert not health.is_up(3.0)
    health.in_flight = 0
    limited.checked(target, True, 4.0)
    assert health.is_up(3.0)  # it does not get later
    health.succeeded()
    health.put_aside(5.0)
    limited.checked(target, True, 6.0)
    assert not health.is_up(7.0)  # what only its operator can mend
