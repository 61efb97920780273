"""When a question is asked again. Only before its first event: never silently after one."""

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

    Tried again are failed connects that are not `lasting`, and the statuses 429, 502, 503 and 504:
    what the service has not begun to do, unless the error is `lasting`. The pauses double from
    `first_pause` on, up to `longest_pause`, and each is cut by a random part of its half, so that
    many clients do not come back at once. A `Retry-After` takes the place of the pause; one longer
    than `longest_wait` is not waited for.
    """

    attempts: int = 3
    """How often a question is asked at the most, the first time included."""
    first_pause: float = 0.5
    longest_pause: float = 8
    longest_wait: float = 60

    def pause(
        self, error: TokenwireError, attempt: int, *, wall_clock: float, jitter: float
    ) -> float | None:
        """Seconds to wait after attempt number `attempt` (from 1) failed with `error`; None: it is
        final.

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
    """Seconds; RFC 9110 section 10.2.3 has seconds and a date, OpenAI a header in milliseconds."""
    value = error.retry_after if isinstance(error, Refused) else None
    if value is None:
        return None
    number, scale = (value[:-2], 0.001) if value.endswith("ms") else (value, 1.0)
    try:
        seconds = float(number) * scale
    except ValueError:
        from email.utils import parsedate_to_datetime  # it loads much, and is seldom wanted

        try:
            seconds = parsedate_to_datetime(value).timestamp() - wall_clock
        except (ValueError, OverflowError):
            return None
    return None if isnan(seconds) else max(seconds, 0.0)
