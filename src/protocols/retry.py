"""When a question is asked again: only before its first event, never silently after one."""

from math import inf, isnan

import msgspec

from .errors import (
    ConnectFailed,
    Overloaded,
    RateLimited,
    Refused,
    TimedOut,
    TokenwireError,
)

__all__ = ["NO_RETRY", "Retry"]


class Retry(msgspec.Struct, frozen=True, kw_only=True):
    """A retry policy: what is tried again, how often, and after how many seconds.

    A question is asked again after a failed connect and after the statuses 429, 502, 503 and 504,
    when the service has not begun to answer; but not if the error is `lasting`. The pauses double
    from `first_pause` to `longest_pause`, and each is shortened at random by up to a half, so that
    many clients do not return at the same time. A `Retry-After` replaces the pause; if it is longer
    than `longest_wait`, the error is final.
    """

    attempts: int = 3
    """How often a question is asked at most, including the first time."""
    first_pause: float = 0.5
    longest_pause: float = 8
    longest_wait: float = 60

    def pause(
        self, error: TokenwireError, attempt: int, *, wall_clock: float, jitter: float
    ) -> float | None:
        """Seconds to wait after attempt number `attempt` (from 1) failed with `error`; None: the
        error is final.

        `wall_clock` is the time as seconds since 1970, for a `Retry-After` that is a date;
        `jitter` a random number from 0 to 1.
        """
        if attempt >= self.attempts or not _may_pass(error):
            return None
        asked = _retry_after(error, wall_clock)
        if asked is not None:
            return asked if asked <= self.longest_wait and asked != inf else None
        pause = min(self.first_pause * 2.0 ** min(attempt - 1, 60), self.longest_pause)
        return pause * (1 - jitter / 2)


NO_RETRY = Retry(attempts=1)
"""Ask once."""


def _may_pass(error: TokenwireError) -> bool:
    if isinstance(error, RateLimited | Overloaded):
        return error.status in (429, 502, 503, 504) and not error.lasting
    if isinstance(error, TimedOut):
        return error.clock == "connect"
    return isinstance(error, ConnectFailed) and not error.lasting


def _retry_after(error: TokenwireError, wall_clock: float) -> float | None:
    """Seconds. RFC 9110 section 10.2.3 allows seconds and a date; OpenAI sends milliseconds."""
    value = error.retry_after if isinstance(error, Refused) else None
    if value is None:
        return None
    number, scale = (value[:-2], 0.001) if value.endswith("ms") else (value, 1.0)
    try:
        seconds = float(number) * scale
    except ValueError:
        from email.utils import parsedate_to_datetime  # imports much, and is rarely needed

        try:
            seconds = parsedate_to_datetime(value).timestamp() - wall_clock
        except (ValueError, OverflowError):
            return None
    return None if isnan(seconds) else max(seconds, 0.0)
