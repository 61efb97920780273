"""What a run has done so far, in numbers: for progress, summaries and exit codes."""

from collections import Counter
from typing import Any

import msgspec

from .costs import Bounds
from .intake import Survey
from .outcomes import Outcome
from .past import Verdict

__all__ = ["Tally"]


class Tally(msgspec.Struct):
    """The numbers of a run. `total`: of rows, if that is known; `survey` has those of earlier runs;
    `outcomes` counts those of this one. `began` and `now` are of the run's clock."""

    bounds: Bounds
    survey: Survey = msgspec.field(default_factory=Survey)
    total: int | None = None
    outcomes: Counter[str] = msgspec.field(default_factory=Counter[str])
    input_tokens: int = 0
    output_tokens: int = 0
    attempts: int = 0
    in_flight: int = 0
    limit: int = 0
    waiting: int = 0
    resting: float = 0.0
    began: float = 0.0
    now: float = 0.0
    stopped: str = ""

    def add(self, outcome: Outcome) -> None:
        """A row has its outcome."""
        self.outcomes[outcome.kind] += 1
        self.attempts += outcome.attempts
        if outcome.usage is not None:
            self.input_tokens += outcome.usage.input_tokens or 0
            self.output_tokens += outcome.usage.output_tokens or 0

    @property
    def finished(self) -> int:
        """Rows with an outcome of this run."""
        return sum(self.outcomes.values())

    @property
    def earlier(self) -> int:
        """Rows that earlier runs have done."""
        verdicts = self.survey.verdicts
        return verdicts[Verdict.DONE] + verdicts[Verdict.KEPT]

    @property
    def complete(self) -> int:
        """Rows that are complete."""
        return self.survey.verdicts[Verdict.DONE] + self.outcomes["complete"]

    @property
    def incomplete(self) -> int:
        """Rows that have an outcome, and are not complete."""
        return self.earlier + self.finished - self.complete

    @property
    def rate(self) -> float:
        """Rows a second."""
        seconds = self.now - self.began
        return self.finished / seconds if seconds > 0 else 0.0

    @property
    def seconds_left(self) -> float | None:
        """Until the end, if the rows that are left take as long as the others."""
        if self.total is None or not self.rate:
            return None
        return max(0, self.total - self.earlier - self.finished) / self.rate

    @property
    def cost_at_end(self) -> float | None:
        """Dollars at the end, likewise; None: there is no price."""
        bounds = self.bounds
        if bounds.price is None:
            return None
        if self.total is None or not self.finished:
            return bounds.cost
        left = max(0, self.total - self.earlier - self.finished)
        return bounds.cost + left * (bounds.cost / (self.finished + self.earlier))

    def as_dict(self) -> dict[str, Any]:
        """The numbers, for a line of JSON."""
        found: dict[str, Any] = {
            "done": self.earlier + self.finished,
            "all": self.total,
            "complete": self.complete,
            "outcomes": dict(self.outcomes),
            "in_flight": self.in_flight,
            "limit": self.limit,
            "waiting": self.waiting,
            "resting": round(self.resting, 1),
            "rows_a_second": round(self.rate, 1),
            "input_tokens": self.input_tokens,
            "output_tokens": self.output_tokens,
            "seconds_left": None if self.seconds_left is None else round(self.seconds_left),
        }
        if self.bounds.price is not None:
            found["cost"] = round(self.bounds.cost, 6)
            found["cost_at_end"] = round(self.cost_at_end or 0.0, 6)
        return found
