"""What rows cost, and when to stop: prices, budgets and the most failures."""

from math import inf

import msgspec

from ..protocols.errors import LocalProtocolError
from ..protocols.events import Usage

__all__ = ["Bounds", "Price", "most_failures_of", "price_of"]

MILLION = 1_000_000
FEWEST = 20
"""A share of failures is not judged before so many rows have failed."""


class Price(msgspec.Struct, frozen=True):
    """Dollars for a million tokens: asked, answered, and asked from the cache."""

    input: float
    output: float
    cached: float | None = None

    def of(self, usage: Usage) -> float:
        """The dollars of `usage`."""
        read = usage.cache_read_input_tokens or 0
        cached = self.input if self.cached is None else self.cached
        asked = max(0, (usage.input_tokens or 0) - read)
        return (asked * self.input + read * cached + (usage.output_tokens or 0) * self.output) / (
            MILLION
        )


def price_of(text: str) -> Price:
    """The price `IN/OUT` or `IN/OUT/CACHED`. Raises LocalProtocolError."""
    try:
        numbers = [float(number) for number in text.split("/")]
    except ValueError:
        numbers = []
    if len(numbers) not in (2, 3) or not all(0 <= number < inf for number in numbers):
        raise LocalProtocolError(
            f"the price {text}: give IN/OUT or IN/OUT/CACHED, in dollars for a million tokens"
        )
    return Price(*numbers)


def most_failures_of(text: str) -> float | int:
    """A share of all rows, for `1%`, as a number below 1; or a number of rows. Raises
    LocalProtocolError."""
    try:
        if text.endswith("%") and 0 <= (share := float(text[:-1])) < 100:
            return share / 100
        if (count := int(text)) >= 1:
            return count
    except ValueError:
        pass
    raise LocalProtocolError(f"max failures {text}: give a number of rows, or a share like 1%")


class Bounds(msgspec.Struct, kw_only=True):
    """Bounds of a run, and what it has used of them. The dollars and tokens include those of
    earlier runs, as far as the journal tells."""

    budget: float | None = None
    budget_tokens: int | None = None
    max_failures: float | int | None = None
    price: Price | None = None
    total: int | None = None
    """How many rows there are, if that is known."""
    cost: float = 0.0
    tokens: int = 0
    failures: int = 0
    finished: int = 0

    def spend(self, usage: Usage | None, asked: int, said: int) -> tuple[int, float | None]:
        """An attempt has ended; without a `usage` it is estimated by the characters that were
        `asked` and `said`. Returns its tokens and dollars."""
        if usage is None or usage.input_tokens is None:
            usage = Usage(input_tokens=-(-asked // 4), output_tokens=-(-said // 4))
        tokens = (usage.input_tokens or 0) + (usage.output_tokens or 0)
        cost = None if self.price is None else self.price.of(usage)
        self.tokens += tokens
        self.cost += cost or 0.0
        return tokens, cost

    def finish(self, failed: bool) -> None:
        """A row has its outcome."""
        self.finished += 1
        self.failures += failed

    def exceeded(self) -> str:
        """Why no more rows should be asked; empty: they may."""
        if self.budget is not None and self.cost >= self.budget:
            return f"the budget of {self.budget:g} dollars is spent ({self.cost:.4f})"
        if self.budget_tokens is not None and self.tokens >= self.budget_tokens:
            return f"the budget of {self.budget_tokens:,} tokens is spent ({self.tokens:,})"
        most = self.max_failures
        if most is None or not self.failures:
            return ""
        if isinstance(most, float):
            if self.failures < FEWEST:
                return ""
            most = most * (self.finished if self.total is None else self.total)
        return f"{self.failures:,} rows failed" if self.failures >= most else ""
