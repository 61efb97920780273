"""When a question is asked again: only before its first event, never silently after one."""

import re
from math import inf, isnan

import msgspec

from .errors import Challenged, ConnectFailed, Redirected, Refused, TimedOut, TokenwireError

__all__ = ["NO_RETRY", "Retry", "seconds_of", "wait_told"]


class Retry(msgspec.Struct, frozen=True, kw_only=True):
    """A retry policy: what is tried again, how often, and after how many seconds.

    A question is asked again only before its first event:

    | after | |
    |---|---|
    | a failed connect, also by its clock | unless it is `lasting`: a certificate, a proxy |
    | 408, 409, 429, every 5xx but 501 and 505 | unless it says `x-should-retry: false` |
    | any other status | if the service says `x-should-retry: true` |

    but not after an error that is `lasting` (a used-up quota, 402), a redirect, or the page of a
    bot check.

    The pauses double from `first_pause` to `longest_pause`, and each is shortened at random by up
    to a half, so that many clients do not return at the same time. What the service says of it (see
    `Refused.retry_after`) replaces the pause, but it is never shorter than half of `first_pause`;
    if it is longer than `longest_wait`, the error is final.
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
        asked = wait_told(error, wall_clock)
        if asked is not None:
            asked = max(asked, self.first_pause / 2)  # a date may be in the past
            return asked if asked <= self.longest_wait and asked != inf else None
        pause = min(self.first_pause * 2.0 ** min(attempt - 1, 60), self.longest_pause)
        return pause * (1 - jitter / 2)


NO_RETRY = Retry(attempts=1)
"""Ask once."""


def _may_pass(error: TokenwireError) -> bool:
    if isinstance(error, Refused):
        if error.lasting or isinstance(error, Challenged | Redirected):
            return False
        if error.should_retry is not None:
            return error.should_retry
        status = error.status or 0
        return status in (408, 409, 429) or (500 <= status < 600 and status not in (501, 505))
    if isinstance(error, TimedOut):
        return error.clock == "connect"
    return isinstance(error, ConnectFailed) and not error.lasting


def wait_told(error: TokenwireError, wall_clock: float) -> float | None:
    """Seconds that the service says to wait after `error`; None: it does not say. `wall_clock` is
    the time as seconds since 1970."""
    value = error.retry_after if isinstance(error, Refused) else None
    if value is None:
        return None
    seconds = seconds_of(value)
    if seconds is None:
        from email.utils import mktime_tz, parsedate_tz  # imports much, and is rarely needed

        # The oldest form of the three names no zone, but means GMT, too (RFC 9110, 5.6.7).
        when = parsedate_tz(value)
        if when is None:
            return None
        try:
            seconds = mktime_tz(when) - wall_clock
        except (ValueError, OverflowError):
            return None
    return None if isnan(seconds) else max(seconds, 0.0)


_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_PIECES = re.compile(r"\s*([0-9.]+)\s*(h|ms|m|s)", re.IGNORECASE)


def seconds_of(value: str) -> float | None:
    """The seconds of a wait: a number of them (RFC 9110 section 10.2.3), or a duration with units,
    as vendors write one (`900ms`, `34.07s`, `1m30s`). None: it is none of these."""
    try:
        return float(value)
    except ValueError:
        pass
    seconds, place = 0.0, 0
    while (piece := _PIECES.match(value, place)) is not None:
        try:
            seconds += float(piece[1]) * _UNITS[piece[2].lower()]
        except ValueError:
            return None
        place = piece.end()
    return seconds if place and not value[place:].strip() else None
