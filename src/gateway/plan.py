"""Which targets of a model are asked, and in which order; and what a failure means for the next.

Health is passive: what calls met. Nothing here reads a clock or draws a number: both are arguments.
"""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from hashlib import blake2b
from math import inf, isfinite, log
from typing import Literal, TypeAlias

import msgspec

from ..protocols.errors import (
    AuthenticationFailed,
    BadRequest,
    ContentFiltered,
    LocalProtocolError,
    RateLimited,
    Refused,
    TokenwireError,
)
from ..protocols.retry import wait_told
from .config import Model, Target

__all__ = ["Health", "Meaning", "Planner", "RetryBudget", "meaning_of", "wait_of"]

ROW = 3
"""Failures in a row that put a target aside; or more than half of the last `WINDOW` calls."""
WINDOW = 20
FIRST_ASIDE = 5.0  # seconds; doubled each time, up to
LONGEST_ASIDE = 120.0
OPERATORS_ASIDE = 60.0
"""Seconds for which a target whose key is wrong, or whose quota is used up, is put aside."""
COOLING = 5.0
"""Seconds without calls after a 429 that does not say how long to wait."""


class Meaning(msgspec.Struct, frozen=True):
    """What an error before the first content means.

    `again`: whether another target may be asked; `health`: what it says of this one. `operators`:
    whether it is the operator's business, whose details the caller is not told.
    """

    again: bool
    health: Literal["failed", "cooling", "aside", "well"]
    operators: bool = False


_THEIRS = Meaning(again=True, health="failed")
_REQUESTS = Meaning(again=False, health="well")
_LIMITED = Meaning(again=True, health="cooling")
_OPERATORS = Meaning(again=True, health="aside", operators=True)


def meaning_of(error: TokenwireError) -> Meaning:
    """What `error` means, with which an upstream's answer ended before it had content."""
    match error:
        case AuthenticationFailed():
            return _OPERATORS
        case Refused() if error.lasting:  # a used-up quota
            return _OPERATORS
        case RateLimited():
            return _LIMITED
        case BadRequest() | ContentFiltered() | LocalProtocolError():
            return _REQUESTS
        case _:
            return _THEIRS


class Health:
    """How one target has done of late. Times are seconds of any clock that only goes forward."""

    __slots__ = ("_aside", "_cool_until", "_last", "_row", "_until", "in_flight")

    def __init__(self) -> None:
        self.in_flight = 0
        self._last: deque[bool] = deque(maxlen=WINDOW)  # whether each call failed
        self._row = 0
        self._aside = 0.0  # for how long it was put aside the last time; 0: not at all
        self._until = -inf
        self._cool_until = -inf

    def is_up(self, now: float) -> bool:
        """Whether it may be asked: once its time aside is over, by one call at a time until one
        succeeds."""
        if now < self._until or now < self._cool_until:
            return False
        return not (self._aside and self.in_flight)

    def cooling(self, now: float) -> float:
        """Seconds until it may be asked again."""
        return max(self._until - now, self._cool_until - now, 0.0)

    def succeeded(self) -> None:
        """A call was answered, or refused for what it asked."""
        self._last.append(False)
        self._row = 0
        self._aside = 0.0

    def failed(self, now: float) -> None:
        """A call failed, and that was the target's fault."""
        self._last.append(True)
        self._row += 1
        failures = sum(self._last)
        if self._aside or self._row >= ROW or (len(self._last) == WINDOW and failures * 2 > WINDOW):
            self._aside = min(self._aside * 2, LONGEST_ASIDE) if self._aside else FIRST_ASIDE
            self._until = now + self._aside
            self._row = 0
            self._last.clear()

    def checked(self, up: bool, now: float) -> None:
        """It was asked whether it is up. If so, one that is aside may have its trial call now."""
        if not up:
            self.failed(now)
        elif self._aside:
            self._until = min(self._until, now)

    def put_aside(self, now: float) -> None:
        """It can't answer before its operator does something."""
        self._until = max(self._until, now + OPERATORS_ASIDE)

    def cool(self, now: float, seconds: float | None) -> None:
        """It wants no calls for so long."""
        self._cool_until = max(self._cool_until, now + (COOLING if seconds is None else seconds))


class RetryBudget:
    """How many calls may be asked again: a fifth of those of the last minute, and `SPARE` more, so
    that an outage does not double the load."""

    SPARE = 10
    SHARE = 0.2
    SECONDS = 60

    def __init__(self) -> None:
        self._calls: deque[tuple[int, int]] = deque()  # seconds, and how many calls each had
        self._retries: deque[float] = deque()

    def call(self, now: float) -> None:
        """A call has come."""
        second = int(now)
        if self._calls and self._calls[-1][0] == second:
            self._calls[-1] = second, self._calls[-1][1] + 1
        else:
            self._calls.append((second, 1))
        while self._calls[0][0] <= second - self.SECONDS:
            self._calls.popleft()

    def spend(self, now: float) -> bool:
        """Whether one may be asked again now; if so, it counts."""
        while self._retries and self._retries[0] <= now - self.SECONDS:
            self._retries.popleft()
        calls = sum(count for _, count in self._calls)
        if len(self._retries) >= self.SPARE + self.SHARE * calls:
            return False
        self._retries.append(now)
        return True


RandomNumber: TypeAlias = Callable[[], float]
"""A random number from 0 to 1."""


class Planner:
    """The health of all targets by their names, which outlives a change of the configuration."""

    def __init__(self, random: RandomNumber) -> None:
        self.health: dict[str, Health] = {}
        self.retries = RetryBudget()
        self._random = random

    def of(self, target: Target) -> Health:
        """The health of `target`."""
        found = self.health.get(target.name)
        if found is None:
            found = self.health[target.name] = Health()
        return found

    def order(self, model: Model, session: str, now: float) -> list[Target]:
        """The targets of `model` in the order in which they are to be asked: first those that are
        up, by its strategy, then the others, the one first that will be up first."""
        targets = self._ordered(model, session)
        up = [target for target in targets if self.of(target).is_up(now)]
        down = [target for target in targets if target not in up]
        return up + sorted(down, key=lambda target: self.of(target).cooling(now))

    def learn(
        self, target: Target, error: TokenwireError | None, now: float, wall_clock: float
    ) -> None:
        """A call to `target` was answered, or ended with `error`. `wall_clock` is the time as
        seconds since 1970."""
        health = self.of(target)
        if error is None:
            health.succeeded()
            return
        match meaning_of(error).health:
            case "well":
                health.succeeded()
            case "failed":
                health.failed(now)
            case "aside":
                health.put_aside(now)
            case _:  # cooling
                health.cool(now, wait_of(error, wall_clock))

    def checked(self, target: Target, up: bool, now: float) -> None:
        """A target was asked whether it is up."""
        self.of(target).checked(up, now)

    def _ordered(self, model: Model, session: str) -> Sequence[Target]:
        targets = model.targets
        match model.strategy:
            case "weighted":
                return _sorted(targets, lambda target: -log(1 - self._random()) / target.weight)
            case "least":
                return _sorted(targets, self._load)
            case "sticky":
                return _sorted(targets, lambda target: _distance(session, target))
            case _:
                return targets

    def _load(self, target: Target) -> float:
        return (self.of(target).in_flight + 1) / target.weight


def _sorted(targets: Iterable[Target], key: Callable[[Target], float]) -> list[Target]:
    return sorted(targets, key=key)


def _distance(session: str, target: Target) -> float:
    """How far a target is from a session, by rendezvous hashing with weights: all gateways agree on
    it, and if a target goes, only its own sessions move."""
    digest = blake2b(f"{session}\0{target.name}".encode(), digest_size=8).digest()
    fraction = (int.from_bytes(digest) + 1) / (2**64 + 1)
    return -log(fraction) / target.weight


def wait_of(error: TokenwireError, wall_clock: float) -> float | None:
    """Seconds after which the service wants to be asked again; None: it does not say, or never.
    `wall_clock` is the time as seconds since 1970."""
    wait = wait_told(error, wall_clock)
    return wait if wait is not None and isfinite(wait) else None
