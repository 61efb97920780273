"""Rounds: every contestant in a process of its own, again and again, in another order each time.

A process of its own, since what one has imported (a million objects of litellm's, say) slows the
garbage collector of all others. Taking turns spreads what else the machine does over all of them.
"""

import json
import random
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from math import isnan, nan
from statistics import median, quantiles
from typing import Any, NamedTuple

__all__ = ["Contestant", "Figure", "Table", "play"]


class Contestant(NamedTuple):
    """`command` prints one line of JSON, an object of figures, after whatever else."""

    name: str
    command: Sequence[str]


class Figure(NamedTuple):
    """The median of the rounds, and half the distance between the quartiles. Not a number if it is
    none in a round."""

    median: float
    spread: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Figure":
        if any(isnan(value) for value in values):
            return cls(nan, nan)
        if len(values) < 2:
            return cls(values[0], 0.0)
        low, _, high = quantiles(values, n=4, method="inclusive")
        return cls(median(values), (high - low) / 2)

    def scaled(self, factor: float) -> "Figure":
        """The same in another unit."""
        return Figure(self.median * factor, self.spread * factor)

    def __str__(self) -> str:
        if isnan(self.median):
            return "-"
        return f"{_three_digits(self.median)} ±{_three_digits(self.spread)}"


def play(
    contestants: Iterable[Contestant], rounds: int, *, timeout: float = 300
) -> dict[str, dict[str, Figure]]:
    """By contestant and name of the figure. One that fails ends it all."""
    samples: dict[str, list[dict[str, Any]]] = {one.name: [] for one in contestants}
    order = list(contestants)
    for number in range(rounds):
        random.shuffle(order)
        for one in order:
            print(f"\r\x1b[K  round {number + 1}: {one.name}", end="", file=sys.stderr, flush=True)
            samples[one.name].append(_run(one, timeout))
    print("\r\x1b[K", end="", file=sys.stderr, flush=True)
    return {
        name: {
            key: Figure.of([sample[key] for sample in taken])
            for key in taken[0]
            if isinstance(taken[0][key], (int, float))
        }
        for name, taken in samples.items()
    }


def _run(one: Contestant, timeout: float) -> dict[str, Any]:
    done = subprocess.run(one.command, capture_output=True, text=True, timeout=timeout)
    if done.returncode:
        raise SystemExit(f"{one.name} failed:\n{done.stdout}{done.stderr}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


class Table(NamedTuple):
    """A table of Markdown: rows by name, of one cell a column."""

    title: str
    columns: Sequence[str]
    rows: Mapping[str, Sequence[object]]
    note: str = ""

    def __str__(self) -> str:
        lines = [
            f"### {self.title}",
            "",
            f"| | {' | '.join(self.columns)} |",
            f"|---|{'---|' * len(self.columns)}",
        ]
        for name, cells in self.rows.items():
            lines.append(f"| {name} | {' | '.join(_cell(cell) for cell in cells)} |")
        if self.note:
            lines += ["", self.note]
        return "\n".join(lines) + "\n"


def _cell(value: object) -> str:
    return _three_digits(value) if isinstance(value, float) else str(value)


def _three_digits(value: float) -> str:
    """With as many digits as mean something."""
    if isnan(value):
        return "-"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) >= 1 else f"{value:.2f}"
