"""Rounds: each contestant runs in its own process, repeatedly, in a different order each time.

In its own process, because the imports of one (a million objects in the case of litellm) would slow
the garbage collector for all others. Taking turns spreads other load on the machine over all of
them.
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
    """The last line that `command` prints is a JSON object of figures."""

    name: str
    command: Sequence[str]


class Figure(NamedTuple):
    """The median of the rounds, and half the interquartile range. Both are NaN if a round gave
    NaN."""

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
        """The same figure in another unit."""
        return Figure(self.median * factor, self.spread * factor)

    def __str__(self) -> str:
        if isnan(self.median):
            return "-"
        return f"{_three_digits(self.median)} ±{_three_digits(self.spread)}"


def play(
    contestants: Iterable[Contestant], rounds: int, *, timeout: float = 300
) -> dict[str, dict[str, Figure]]:
    """Figures by contestant and name. A contestant that fails ends the process."""
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
    """A Markdown table: rows by name, with one cell per column."""

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
    """With as many digits as are significant."""
    if isnan(value):
        return "-"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) >= 1 else f"{value:.2f}"
