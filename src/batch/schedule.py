"""Which row is asked next, and what becomes of an attempt: the state machine of a run, told the
time.

A driver reads rows as long as it `wants_row`, asks for the `next` attempt, makes it, and tells how
it `ended`. Then there is an outcome, or the row waits at the end of the queue for another attempt,
while others go on. Once the run `is_over`, each row that was added has its outcome, unless the run
was stopped: then those that were not asked have none.
"""

from collections import deque
from collections.abc import Callable
from heapq import heappop, heappush
from math import inf

import msgspec

from ..protocols.errors import Refused, TokenwireError, Truncated
from ..protocols.reply import Reply
from ..protocols.retry import wait_told
from ..protocols.toolkit.http import Headers
from .costs import Bounds
from .outcomes import Outcome, is_overload, may_pass
from .pace import Pace
from .rows import Question
from .said import said_limits

__all__ = ["Attempt", "Patience", "Result", "Schedule"]

MOST_LATER = 10_000
"""So many rows may wait for another attempt before reading stops."""


class Patience(msgspec.Struct, frozen=True, kw_only=True):
    """How often a row is asked: `attempts` times in all, and not again once `truncated_attempts` of
    them gave half an answer, which was paid. In between it waits, twice as long each time, and at
    random up to a half less."""

    attempts: int = 5
    truncated_attempts: int = 2
    first_pause: float = 0.5
    longest_pause: float = 8

    def pause(self, tries: int, jitter: float) -> float:
        """Seconds to wait after so many tries."""
        doubled = self.first_pause * 2.0 ** min(tries - 1, 60)
        return min(doubled, self.longest_pause) * (1 - jitter / 2)


class Attempt(msgspec.Struct, eq=False):
    """A row that is being asked, or waits for it. `number` is that of the pace."""

    question: Question
    expected: float = 0.0
    """Tokens, about."""
    number: int = 0
    tries: int = 0
    truncated: int = 0
    tokens: int = 0
    cost: float | None = None


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """How an attempt went: an answer that is complete, or an `error` and what there was before.
    `started` is in seconds since 1970."""

    reply: Reply
    error: TokenwireError | None = None
    started: float = 0.0
    seconds: float = 0.0
    first: float | None = None


class Schedule:
    """The rows of a run. `random` gives numbers from 0 to 1."""

    def __init__(
        self,
        pace: Pace,
        *,
        patience: Patience | None = None,
        bounds: Bounds | None = None,
        random: Callable[[], float] = lambda: 0.5,
    ) -> None:
        self.pace = pace
        self.bounds = bounds or Bounds()
        self.stopped = ""
        """Why no more rows are asked; empty: they are."""
        self._patience = patience or Patience()
        self._random = random
        self._queue: deque[Attempt] = deque()
        self._later: list[tuple[float, int, Attempt]] = []
        self._order = 0
        self._source_over = False
        self._mean_said = 0.0  # characters of an answer
        self._answers = 0

    @property
    def wants_row(self) -> bool:
        """Whether another row is to be read: about twice as many as are asked at once."""
        return (
            not self._source_over
            and not self.stopped
            and len(self._queue) < 2 * int(self.pace.limit)
            and len(self._later) < MOST_LATER
        )

    @property
    def waiting(self) -> int:
        """How many rows wait for another attempt."""
        return len(self._later)

    @property
    def is_over(self) -> bool:
        """Whether nothing is in flight, and nothing is to be asked any more."""
        done = self._source_over and not self._queue and not self._later
        return not self.pace.in_flight and (done or bool(self.stopped))

    def add(self, question: Question) -> None:
        """A row."""
        self._queue.append(Attempt(question))

    def source_ended(self) -> None:
        """There are no more rows."""
        self._source_over = True

    def stop(self, why: str) -> None:
        """Begin nothing more; what is in flight ends."""
        self.stopped = self.stopped or why

    def next(self, now: float) -> Attempt | float:
        """The attempt to make now, or the seconds until there may be one; infinite: once one has
        ended, or another row was added."""
        if not self.stopped and (why := self.bounds.exceeded()):
            self.stop(why)
        if self.stopped:
            return inf
        later = self._later
        while later and later[0][0] <= now:
            self._queue.append(heappop(later)[2])
        if not self._queue:
            return later[0][0] - now if later else inf
        attempt = self._queue[0]
        attempt.expected = (attempt.question.size + self._mean_said) / 4
        wait = self.pace.wait(now, attempt.expected)
        if wait > 0:
            return wait
        self._queue.popleft()
        attempt.tries += 1
        attempt.number = self.pace.started(now, attempt.expected)
        return attempt

    def responded(self, attempt: Attempt, headers: Headers, now: float, wall_clock: float) -> None:
        """The response to an attempt has begun with these headers."""
        if limits := said_limits(headers, wall_clock):
            self.pace.responded(attempt.number, now, limits)

    def ended(
        self, attempt: Attempt, result: Result, now: float, wall_clock: float
    ) -> Outcome | None:
        """An attempt has ended. Returns the row's outcome, if that is final."""
        self._settle(attempt, result, now, wall_clock)
        error = result.error
        if error is not None and self._goes_on(attempt, error):
            pause = self._patience.pause(attempt.tries, self._random())
            self._order += 1
            heappush(self._later, (now + pause, self._order, attempt))
            return None
        self.bounds.finish(error is not None)
        return _outcome(attempt, result)

    def unasked(self, attempt: Attempt, now: float) -> None:
        """An attempt turned out not to be needed: nothing was sent."""
        self.pace.ended(attempt.number, now)

    def _settle(self, attempt: Attempt, result: Result, now: float, wall_clock: float) -> None:
        """Tell the pace and the bounds."""
        reply, error = result.reply, result.error
        said = len(reply.text) + len(reply.reasoning)
        sent = error is None or bool(reply.choices) or isinstance(error, Truncated)
        tokens = 0
        if sent:  # a refusal costs nothing
            tokens, cost = self.bounds.spend(reply.usage, attempt.question.size, said)
            attempt.tokens += tokens
            if cost is not None:
                attempt.cost = (attempt.cost or 0.0) + cost
        if error is None:
            self._answers += 1
            self._mean_said += (said - self._mean_said) / min(self._answers, 100)
        elif isinstance(error, Truncated):
            attempt.truncated += 1
        if isinstance(error, Refused) and error.headers:
            self.responded(attempt, error.headers, now, wall_clock)
        overload = is_overload(error)
        rest = None if error is None or not overload else wait_told(error, wall_clock)
        self.pace.ended(
            attempt.number, now, ok=error is None, overload=overload, rest=rest, tokens=tokens
        )

    def _goes_on(self, attempt: Attempt, error: TokenwireError) -> bool:
        patience = self._patience
        return (
            may_pass(error)
            and attempt.tries < patience.attempts
            and attempt.truncated < patience.truncated_attempts
        )


def _outcome(attempt: Attempt, result: Result) -> Outcome:
    question, reply, error = attempt.question, result.reply, result.error
    return Outcome(
        custom_id=question.custom_id,
        kind="complete" if error is None else error.outcome,
        number=question.number,
        asked=question.asked,
        reply=reply if error is None else None,
        partial=None if error is None else reply,
        error=error,
        evidence=reply.evidence,
        attempts=attempt.tries,
        usage=reply.usage,
        tokens=attempt.tokens,
        cost=None if attempt.cost is None else round(attempt.cost, 9),
        started=result.started,
        seconds=result.seconds,
        first=result.first,
    )
