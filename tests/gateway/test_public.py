"""What callers are told of errors."""

import pytest

from tokenwire import (
    AuthenticationFailed,
    BadRequest,
    Challenged,
    ConnectFailed,
    ContentFiltered,
    Disconnected,
    LocalProtocolError,
    Malformed,
    Overloaded,
    RateLimited,
    Redirected,
    Refused,
    TimedOut,
    TokenwireError,
    Truncated,
)
from tokenwire.gateway.public import WORDS, Drained, public_error


def refused(kind: type[Refused], status: int | None) -> Refused:
    error = kind("the service refused: at http://10.0.0.1")
    error.status = status
    return error


@pytest.mark.parametrize("status", [None, 200, 400, 404, 408, 413, 422, 429, 500, 503, 504, 529])
def test_a_refusal_is_passed_on(status: int | None) -> None:
    error = refused(BadRequest, status)
    assert public_error(error) is error
    assert error.status == status


@pytest.mark.parametrize("status", [402, 409, 418, 502, 520])
def test_a_status_that_is_not_about_the_request_is_502(status: int) -> None:
    error = public_error(refused(ContentFiltered, status))
    assert isinstance(error, ContentFiltered)
    assert error.status == 502


def test_long_words_are_shortened() -> None:
    assert len(public_error(BadRequest("x" * 9999)).message) == WORDS


def test_what_the_caller_did_is_told_as_it_is() -> None:
    error = LocalProtocolError("no")
    assert public_error(error) is error


@pytest.mark.parametrize(
    ("error", "status", "code", "words"),
    [
        (AuthenticationFailed("bad key"), 502, "upstream_refused", "the gateway's own key"),
        (Drained("ask again"), 503, "shutting_down", "ask again"),
        (TimedOut("at 10.0.0.1", "idle"), 504, "upstream_timed_out", "in time"),
        (ConnectFailed("10.0.0.1"), 502, "upstream_connect_failed", "can't be reached"),
        (Disconnected("10.0.0.1"), 502, "upstream_disconnected", "before it answered"),
        (Truncated("10.0.0.1"), 502, "upstream_truncated", "broke off"),
        (Malformed("10.0.0.1"), 502, "upstream_malformed", "not valid"),
        (Redirected("10.0.0.1"), 502, "upstream_redirected", "not valid"),
        (Challenged("10.0.0.1"), 502, "upstream_challenged", "not valid"),
    ],
)
def test_what_is_the_operators_is_not_told(
    error: TokenwireError, status: int, code: str, words: str
) -> None:
    told = public_error(error)
    assert isinstance(told, Overloaded)
    assert (told.status, told.code) == (status, code)
    assert words in told.message
    assert "10.0.0.1" not in told.message


def test_a_used_up_quota_is_the_operators() -> None:
    error = refused(RateLimited, 429)
    error.lasting = True
    told = public_error(error)
    assert isinstance(told, Overloaded)
    assert told.status == 502
