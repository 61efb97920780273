"""How long anything may take. `Clocks` are the settings, `Timer` the running state.

Nothing here reads a clock: the driver passes the time, in seconds of any monotonic clock, and waits
no longer than `Timer.deadline`.
"""

from math import inf, isfinite

import msgspec

from .errors import Clock, LocalProtocolError, TimedOut

__all__ = ["Clocks", "Timer"]


class Clocks(msgspec.Struct, frozen=True, kw_only=True):
    """Times in seconds; None is forever.

    `connect`: for each connection, including its proxy and TLS. `first_event`: from the start of
    the exchange to its first event, over all its requests. `idle`: once a body has begun, the time
    without an event, and without more bytes of one that is not complete yet; keep-alives of any
    kind (comments, pings, chunks without content) don't count. `total`: for the whole exchange.
    `first_event` and `idle` run only while the reader waits.
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
    """The clocks of one exchange. The reader waits between `wait` and `pause`.

    A moment that will never come is infinite, such as the end of a clock that is None.
    """

    __slots__ = (
        "_clocks",
        "_connect",
        "_first_event_left",
        "_idle",
        "_idle_left",
        "_total",
        "_unit",
        "_unit_left",
        "_waiting_since",
    )

    def __init__(self, clocks: Clocks, now: float) -> None:
        self._clocks = clocks
        self._total = now + _seconds(clocks.total)
        self._connect = inf
        self._first_event_left = _seconds(clocks.first_event)
        self._idle = _seconds(clocks.idle)
        self._idle_left = -inf  # since the last event; without one the clock is stopped
        self._unit = 0  # bytes of the unit that is not complete
        self._unit_left = -inf  # of `idle`, since the last of them
        self._waiting_since = inf

    def connecting(self, now: float) -> None:
        """A connection is being made."""
        self._connect = now + _seconds(self._clocks.connect)

    def connected(self) -> None:
        """The connection is made, and its TLS too."""
        self._connect = inf

    def request_over(self) -> None:
        """No connection is being made and no body is read: `connect` and `idle` are stopped."""
        self._connect = inf
        self._idle_left = -inf
        self._unit, self._unit_left = 0, -inf

    def wait(self, now: float) -> None:
        """The reader wants the next event."""
        if self._waiting_since != inf:
            self._spend(now)
        self._waiting_since = now

    def pause(self, now: float) -> None:
        """The reader has its event."""
        self._spend(now)
        self._waiting_since = inf

    def unit(self, size: int, now: float) -> None:
        """Something was received, and no event. The unit (line, event, frame) that is not complete
        has `size` bytes so far; 0: there is none. That it grows gives time until it is complete: if
        it is no event then, it was not even a sign of life."""
        if size == self._unit:
            return
        self._spend(now)
        self._unit = size
        self._unit_left = self._idle if size else -inf

    def event(self, size: int) -> None:
        """An event was received, and perhaps `size` bytes of the unit after it; the reader has its
        event."""
        self._waiting_since = inf
        self._first_event_left = inf
        self._idle_left = self._idle
        self._unit, self._unit_left = size, -inf

    def deadline(self) -> float | None:
        """When the next clock runs out; None if none will."""
        # Without min(), for speed: this is called for each read.
        left = self._idle_left
        if self._unit_left > left:
            left = self._unit_left
        if self._first_event_left < left or left == -inf:
            left = self._first_event_left
        end = self._waiting_since + left
        if self._total < end:
            end = self._total
        if self._connect < end:
            end = self._connect
        return None if end == inf else end

    def expired(self, now: float) -> TimedOut | None:
        """The error of the clock that has run out at `now`, if one has."""
        end = self.deadline()
        if end is None or now < end:
            return None
        since = self._waiting_since
        idle_left = max(self._idle_left, self._unit_left)
        ends: list[tuple[float, Clock]] = [
            (self._total, "total"),
            (self._connect, "connect"),
            (since + self._first_event_left, "first_event"),
            (since + (inf if idle_left == -inf else idle_left), "idle"),
        ]
        _, clock = min(ends)
        return TimedOut(_MESSAGES[clock].format(getattr(self._clocks, clock)), clock)

    def _spend(self, now: float) -> None:
        if self._waiting_since != inf:
            spent = now - self._waiting_since
            self._waiting_since = now
            self._first_event_left -= spent
            self._idle_left -= spent
            self._unit_left -= spent


def _seconds(clock: float | None) -> float:
    return inf if clock is None else clock


_MESSAGES: dict[Clock, str] = {
    "connect": "no connection within {:g} s (clock connect)",
    "first_event": "no event within {:g} s (clock first_event)",
    "idle": "nothing but keep-alives for {:g} s (clock idle)",
    "total": "the answer was not complete after {:g} s (clock total)",
}
