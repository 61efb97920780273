"""Outcomes: what is asked again in the same run and in the next, and what is an overload."""

import pytest

from tokenwire import (
    AuthenticationFailed,
    BadRequest,
    Challenged,
    ConnectFailed,
    ContentFiltered,
    Disconnected,
    LimitExceeded,
    Malformed,
    Overloaded,
    RateLimited,
    Redirected,
    Refused,
    Reply,
    Text,
    TimedOut,
    TokenwireError,
    Truncated,
    UnexpectedContent,
)
from tokenwire.batch.outcomes import Fate, Outcome, fate_of, is_overload, may_pass


def refused(
    kind: type[Refused], status: int, *, lasting: bool = False, retry: bool | None = None
) -> Refused:
    error = kind("no")
    error.status, error.lasting, error.should_retry = status, lasting, retry
    return error


def lasting(error: ConnectFailed) -> ConnectFailed:
    error.lasting = True
    return error


@pytest.mark.parametrize(
    ("error", "again", "overload"),
    [
        (Truncated("x"), True, False),
        (Disconnected("x"), True, False),
        (Malformed("x"), True, False),
        (UnexpectedContent("x"), True, False),
        (LimitExceeded("x"), False, False),
        (TimedOut("x", "idle"), True, False),
        (TimedOut("x", "connect"), True, True),
        (ConnectFailed("x"), True, True),
        (lasting(ConnectFailed("x")), False, False),
        (refused(RateLimited, 429), True, True),
        (refused(RateLimited, 200), True, True),
        (refused(RateLimited, 429, lasting=True), False, False),
        (refused(RateLimited, 429, retry=False), False, True),
        (refused(Overloaded, 503), True, True),
        (refused(Overloaded, 529), True, True),
        (refused(Overloaded, 200), True, True),
        (refused(Overloaded, 502), True, False),
        (refused(Refused, 500), True, False),
        (refused(Refused, 501), False, False),
        (refused(Refused, 200), False, False),
        (refused(BadRequest, 400), False, False),
        (refused(BadRequest, 400, retry=True), True, False),
        (refused(AuthenticationFailed, 401), False, False),
        (refused(ContentFiltered, 400), False, False),
        (refused(Redirected, 302), False, False),
        (refused(Challenged, 503), False, True),
    ],
    ids=lambda value: repr(value) if isinstance(value, TokenwireError) else None,
)
def test_what_is_worth_another_attempt(error: TokenwireError, again: bool, overload: bool) -> None:
    assert may_pass(error) is again
    assert is_overload(error) is overload


def test_what_the_next_run_asks_again() -> None:
    fates = {
        "complete": Fate.COMPLETE,
        "truncated": Fate.TRUNCATED,
        "invalid": Fate.INVALID,
        "bad_request": Fate.LASTING,
        "content_filtered": Fate.LASTING,
        "abandoned": Fate.LASTING,
        "authentication_failed": Fate.PASSING,
        "rate_limited": Fate.PASSING,
        "of_a_later_version": Fate.PASSING,
    }
    assert {word: fate_of(word) for word in fates} == fates


def test_an_outcome_has_a_text_only_if_it_is_complete() -> None:
    reply = Reply.of([Text("Hi")])
    assert Outcome(custom_id="a", kind="complete", reply=reply).text == "Hi"
    half = Outcome(custom_id="a", kind="truncated", partial=reply)
    assert (half.text, half.fate) == ("", Fate.TRUNCATED)
    assert not is_overload(None)
