"""What headers say of limits."""

from datetime import UTC, datetime

import pytest

from tokenwire.batch.said import Said, said_limits

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC).timestamp()


def limits(**fields: str) -> list[Said]:
    headers = [(name.replace("_", "-").encode(), value.encode()) for name, value in fields.items()]
    return said_limits([(b"content-type", b"text/event-stream"), *headers], NOW)


def test_openai_s() -> None:
    assert limits(
        x_ratelimit_limit_requests="60",
        x_ratelimit_remaining_requests="59",
        x_ratelimit_reset_requests="1s",
        x_ratelimit_limit_tokens="150000",
        x_ratelimit_remaining_tokens="149984",
        x_ratelimit_reset_tokens="6m0s",
    ) == [Said("requests", 59, 60, 1), Said("tokens", 149984, 150000, 360)]


def test_anthropic_s() -> None:
    assert limits(
        anthropic_ratelimit_requests_limit="50",
        anthropic_ratelimit_requests_remaining="0",
        anthropic_ratelimit_requests_reset="2026-11-30T12:00:30Z",
        anthropic_ratelimit_input_tokens_limit="1000",
        anthropic_ratelimit_input_tokens_remaining="900",
        anthropic_ratelimit_input_tokens_reset="2026-11-30T11:00:00Z",
        anthropic_ratelimit_output_tokens_remaining="0",
        anthropic_ratelimit_output_tokens_reset="2026-11-30T12:00:30Z",
    ) == [Said("requests", 0, 50, 30), Said("tokens", 900, 1000, 0)]


def test_the_ietf_s() -> None:
    assert limits(ratelimit_limit="10", ratelimit_remaining="3", ratelimit_reset="7") == [
        Said("requests", 3, 10, 7)
    ]
    assert limits(ratelimit='"default";r=50;t=30', ratelimit_policy='"default";q=100;w=60') == [
        Said("requests", 50, None, 30)
    ]
    assert limits(ratelimit='"default";r=50') == []


@pytest.mark.parametrize(
    ("remaining", "reset"),
    [
        ("5", None),
        (None, "1s"),
        ("many", "1s"),
        ("-1", "1s"),
        ("5", "soon"),
        ("5", "nan"),
        ("5", "99999-01-01"),
    ],
)
def test_what_can_t_be_read_says_nothing(remaining: str | None, reset: str | None) -> None:
    fields = {"x_ratelimit_remaining_requests": remaining, "x_ratelimit_reset_requests": reset}
    assert limits(**{name: value for name, value in fields.items() if value is not None}) == []


def test_no_wait_is_longer_than_a_day_or_in_the_past() -> None:
    def reset(value: str) -> float:
        (said,) = limits(x_ratelimit_remaining_requests="5", x_ratelimit_reset_requests=value)
        return said.reset

    assert reset("900000") == 86400
    assert reset("-5") == 0
    assert reset("12ms") == 0.012


def test_most_responses_say_nothing() -> None:
    assert said_limits([(b"content-type", b"text/event-stream")], NOW) == []
