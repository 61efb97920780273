"""How long anything may take. `Clocks` are the settings, `Timer` the running state.

Nothing here reads a clock: whoever drives says what time it is, in seconds of any clock that does
not go backwards, and waits no longer than `Timer.deadline`.
"""

from collections.abc import Iterator
from math import isfinite

import msgspec

from .errors import Clock, LocalProtocolError, TimedOut

__all__ = ["Clocks", "Timer"]


class Clocks(msgspec.Struct, frozen=True, kw_only=True):
    """Times in seconds; None is forever.

    `connect`: for each connection, with its proxy and TLS. `first_event`: from the start of the
    exchange to its first event, over all its requests. `idle`: without body bytes other than
    comments and blank lines, once the first has come; keep-alives do not reset it. `total`: for the
    exchange from start to end. `first_event` and `idle` run only while the reader waits.
    """

    connect: float | None = 10
    first_event: float | None = 120
    idle: float | None = 60
    total: float | None = None

    def __post_init__(self) -> None:
        for name in ("connect", "first_event", "idle", "total"):
            seconds = getattr(self, name)
            if seconds is not None and not (isfinite(seconds) and seconds > 0):
                raise LocalProtocolError(
                    f"clock {name}={seconds}: give seconds above 0, or None for no limit"
                )


class Timer:
    """The clocks of one exchange. Between `wait` and `pause` the reader waits."""

    def __init__(self, clocks: Clocks, now: float) -> None:
        self._clocks = clocks
        self._total = None if clocks.total is None else now + clocks.total
        self._connect: float | None = None
        self._first_event_left = clocks.first_event
        self._idle_left: float | None = None
        self._waiting_since: float | None = None

    def connecting(self, now: float) -> None:
        """A connection is being made."""
        self._connect = None if self._clocks.connect is None else now + self._clocks.connect

    def connected(self) -> None:
        """The connection is there, its TLS too."""
        self._connect = None

    def request_over(self) -> None:
        """No connection is being made, and no body comes: `connect` and `idle` stand still."""
        self._connect = None
        self._idle_left = None

    def wait(self, now: float) -> None:
        """The reader wants the next event."""
        self._spend(now)
        self._waiting_since = now

    def pause(self, now: float) -> None:
        """The reader has what it wanted."""
        self._spend(now)
        self._waiting_since = None

    def body(self, now: float) -> None:
        """Bytes of a body came that are more than a comment or a blank line."""
        self._spend(now)
        self._idle_left = self._clocks.idle

    def event(self) -> None:
        """An event came."""
        self._first_event_left = None

    def deadline(self) -> float | None:
        """When the next clock runs out; None: none does."""
        return min((when for when, _ in self._running()), default=None)

    def expired(self, now: float) -> TimedOut | None:
        """The error of the clock that has run out at `now`, if one has."""
        when, clock = min(self._running(), default=(now, None))
        if clock is None or now < when:
            return None
        return TimedOut(_MESSAGES[clock].format(getattr(self._clocks, clock)), clock)

    def _running(self) -> Iterator[tuple[float, Clock]]:
        if self._total is not None:
            yield self._total, "total"
        if self._connect is not None:
            yield self._connect, "connect"
        if self._waiting_since is not None:
            if self._first_event_left is not None:
                yield self._waiting_since + self._first_event_left, "first_event"
            if self._idle_left is not None:
                yield self._waiting_since + self._idle_left, "idle"

    def _spend(self, now: float) -> None:
        if self._waiting_since is None:
            return
        spent = now - self._waiting_since
        self._waiting_since = now
        if self._first_event_left is not None:
            self._first_event_left -= spent
        if self._idle_left is not None:
            self._idle_left -= spent


_MESSAGES: dict[Clock, str] = {
    "connect": "no connection within {:g} s (clock connect)",
    "first_event": "no event within {:g} s (clock first_event)",
    "idle": "nothing but keep-alives for {:g} s (clock idle)",
    "total": "the answer was not complete after {:g} s (clock total)",
}
