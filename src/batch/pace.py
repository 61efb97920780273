"""How many questions are asked at once, and when the next may begin: pure, told the time.

1. It begins with 16 at once, and doubles that after each clean round (as many successes as the
   limit) up to the first refusal for overload. After that it grows by a twentieth, at least by one.
   It grows only if four fifths of the limit were in use: an unused limit proves nothing.
2. An overload (`outcomes.is_overload`) cuts the limit to 0.7 of it, once for a burst: not again by
   a question that was sent before the cut.
3. After an overload all questions wait, as long as the service says; if it does not, for 2 s, and
   twice as long each time, up to 60 s. Then they begin one by one, not together.
4. What headers say of limits (`said`) counts before any refusal: nothing is asked while nothing is
   left, and what is left is spread over the time if it is less than a tenth.

The service is asked by all questions of a run, with one key. So there is one pace for each run.
"""

from collections.abc import Callable, Iterable
from math import inf

import msgspec

from .said import Said

__all__ = ["Pace"]

FIRST = 16
FULL = 0.8
"""The share of the limit that must have been in use."""
GROWTH = 0.05
CUT = 0.7
SHORTEST_REST, LONGEST_REST = 2.0, 60.0
LONGEST_TOLD = 24 * 60 * 60.0
"""What a service says is believed for a day."""
SCARCE = 0.1
RETURN = 1.0
"""Seconds over which the questions come back after a rest."""
ASLEEP = 60.0
"""Seconds without a call after which the machine was asleep: a driver calls each second."""


class _Bucket:
    """A ceiling of our own: so much a minute, with a second's worth at once."""

    def __init__(self, a_minute: float) -> None:
        self._rate = a_minute / 60
        self._room = max(1.0, self._rate)
        self._level = self._room
        self._at = -inf

    def wait(self, now: float, need: float) -> float:
        """Seconds until there is `need`; what is larger than the bucket needs a full one."""
        if now > self._at > -inf:
            self._level = min(self._room, self._level + (now - self._at) * self._rate)
        self._at = max(self._at, now)
        return max(0.0, (min(need, self._room) - self._level) / self._rate)

    def take(self, need: float) -> None:
        """Take `need`, or give it back if it is negative."""
        self._level -= need


class _Told(msgspec.Struct):
    """What the newest response said of a limit. `taken`: how much was taken when its question was
    sent; `number`: that question's."""

    remaining: float
    limit: float | None
    until: float
    taken: float
    number: int


class _Flight(msgspec.Struct):
    tokens: float
    taken: dict[str, float]


class Pace:
    """Decides when the next question may begin.

    `least` and `most` bound the number at once; `rpm` and `tpm` are ceilings of requests and tokens
    a minute. `workers`: how many run at the same time with the same key, each of which takes its
    share of what the service says. `random` gives numbers from 0 to 1. All times are in seconds, of
    a clock that may jump forward but does not go back.
    """

    def __init__(
        self,
        *,
        least: int = 1,
        most: int = 256,
        rpm: float | None = None,
        tpm: float | None = None,
        workers: int = 1,
        random: Callable[[], float] = lambda: 0.5,
    ) -> None:
        self.limit: float = float(min(max(FIRST, least), most))
        self.in_flight = 0
        self._least, self._most = least, most
        self._workers = workers
        self._random = random
        self._ceilings = {
            unit: _Bucket(rate / workers)
            for unit, rate in (("requests", rpm), ("tokens", tpm))
            if rate is not None
        }
        self._flights: dict[int, _Flight] = {}
        self._taken = {"requests": 0.0, "tokens": 0.0}
        self._told: dict[str, _Told] = {}
        self._next = 0  # the number of the next question
        self._doubling = True
        self._clean = 0  # successes in this round
        self._peak = 0  # the most at once in this round
        self._cut_at = 0  # questions from this number on were sent after the last cut
        self._rests = 0  # without a success between them
        self._rest_until = -inf
        self._returning = 0  # so many more begin one by one
        self._not_before = -inf
        self._last = -inf
        self._last_start = -inf

    def wait(self, now: float, tokens: float = 0) -> float:
        """Seconds until a question of about `tokens` may begin: 0 is now. Infinite: once one of
        those in flight has ended. Ask again after any call of the others."""
        self._look(now)
        if self.in_flight >= int(self.limit):
            return inf
        need = {"requests": 1.0, "tokens": tokens}
        waits = [self._rest_until - now, self._not_before - now]
        waits += [bucket.wait(now, need[unit]) for unit, bucket in self._ceilings.items()]
        waits += [self._wait_told(unit, told, need[unit], now) for unit, told in self._told.items()]
        return max(0.0, *waits)

    def resting(self, now: float) -> float:
        """Seconds until the rest is over that an overload or a limit of the service demands."""
        waits = [self._rest_until - now]
        for unit, told in self._told.items():
            if self._left(unit, told) < 1:
                waits.append(told.until - now)
        return max(0.0, *waits)

    def started(self, now: float, tokens: float = 0) -> int:
        """A question begins. Returns its number."""
        self._look(now)
        number, self._next = self._next, self._next + 1
        self.in_flight += 1
        self._peak = max(self._peak, self.in_flight)
        self._flights[number] = _Flight(tokens, dict(self._taken))
        for unit, need in (("requests", 1.0), ("tokens", tokens)):
            self._taken[unit] = self._taken[unit] + need
            if unit in self._ceilings:
                self._ceilings[unit].take(need)
        self._last_start = now
        if self._returning:
            self._returning -= 1
            self._not_before = now + RETURN / self.limit * (0.5 + self._random())
        return number

    def responded(self, number: int, now: float, limits: Iterable[Said]) -> None:
        """The head of the response to the question `number` was received, and says this."""
        flight = self._flights[number]
        for said in limits:
            known = self._told.get(said.unit)
            if known is not None and known.number > number and known.until > now:
                continue  # by a question that was sent later
            self._told[said.unit] = _Told(
                said.remaining / self._workers,
                None if said.limit is None else said.limit / self._workers,
                now + said.reset,
                flight.taken[said.unit] + (1 if said.unit == "requests" else flight.tokens),
                number,
            )

    def ended(
        self,
        number: int,
        now: float,
        *,
        ok: bool = False,
        overload: bool = False,
        rest: float | None = None,
        tokens: float | None = None,
    ) -> None:
        """The question `number` has ended: `ok`, if its answer is complete; `overload`, if there
        were too many, and then for how many seconds the service wants to `rest` (None: it does not
        say). `tokens`: what it has used."""
        self._look(now)
        flight = self._flights.pop(number)
        self.in_flight -= 1
        if tokens is not None and "tokens" in self._ceilings:
            self._ceilings["tokens"].take(tokens - flight.tokens)
        if overload:
            self._cut(number, now, rest)
        elif ok:
            self._rests = 0
            if number >= self._cut_at:
                self._succeeded()

    def _succeeded(self) -> None:
        self._clean += 1
        if self._clean < self.limit:
            return
        if self._peak >= FULL * int(self.limit):
            growth = self.limit if self._doubling else max(1.0, GROWTH * self.limit)
            self.limit = min(self.limit + growth, float(self._most))
        self._clean, self._peak = 0, self.in_flight

    def _cut(self, number: int, now: float, rest: float | None) -> None:
        first = number >= self._cut_at
        if first:
            self.limit = max(self.limit * CUT, float(self._least))
            self._doubling = False
            self._clean, self._peak = 0, 0
            self._cut_at = self._next
            self._rests += 1
        if rest is None:
            if not first:
                return  # the burst has its rest
            longest = min(SHORTEST_REST * 2.0 ** min(self._rests - 1, 10), LONGEST_REST)
            rest = longest * (1 - self._random() / 2)
        self._rest_until = max(self._rest_until, now + min(rest, LONGEST_TOLD))
        self._returning = int(self.limit)

    def _look(self, now: float) -> None:
        if now - self._last > ASLEEP > 0 and self._last > -inf:
            self._returning = int(self.limit)  # no herd after the machine was asleep
        self._last = max(now, self._last)

    def _left(self, unit: str, told: _Told) -> float:
        """What is left of a limit, if what was sent since has not been counted there."""
        return told.remaining - max(0.0, self._taken[unit] - told.taken)

    def _wait_told(self, unit: str, told: _Told, need: float, now: float) -> float:
        if now >= told.until:
            return 0.0
        left = self._left(unit, told)
        if left < min(need, told.limit or need):
            # A response on its way will say more.
            return told.until - now if not self.in_flight else inf
        if told.limit is None or left >= SCARCE * told.limit:
            return 0.0
        return self._last_start + (told.until - now) * need / left - now
