"""How far a batch is, on stderr: a display on a terminal, a line each ten seconds elsewhere, or a
line of JSON each second."""

import sys
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Self

import msgspec
from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from ..batch.tally import Tally
from . import one_line
from .console import open_console

__all__ = ["Progress", "duration", "open_progress", "state_line"]


def open_progress(tally: Tally, *, as_json: bool, quiet: bool) -> "Progress":
    """What shows `tally`, which changes meanwhile."""
    if quiet:
        return Progress(tally)
    if as_json:
        return JsonProgress(tally)
    console = open_console(stderr=True)
    return TerminalProgress(tally, console) if console.is_terminal else LineProgress(tally)


class Progress(AbstractContextManager["Progress"]):
    """Shows nothing. `interval`: the seconds between two calls of `show`; `shows_end`: whether
    there is one at the end."""

    interval: float = 10.0
    shows_end = False

    def __init__(self, tally: Tally) -> None:
        self.tally = tally

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        pass

    def show(self) -> None:
        """Show the state now."""

    def say(self, text: str) -> None:
        """Say something beside."""


class LineProgress(Progress):
    """A line, each time."""

    def show(self) -> None:
        print(state_line(self.tally), file=sys.stderr)

    def say(self, text: str) -> None:
        print(one_line(text), file=sys.stderr)


class JsonProgress(LineProgress):
    """A line of JSON, each time."""

    interval = 1.0
    shows_end = True

    def show(self) -> None:
        print(msgspec.json.encode(self.tally.as_dict()).decode(), file=sys.stderr)

    def say(self, text: str) -> None:
        print(msgspec.json.encode({"said": text}).decode(), file=sys.stderr)


class TerminalProgress(Progress):
    """A bar with the numbers below it, drawn four times a second by a thread of rich's."""

    interval = 1.0

    def __init__(self, tally: Tally, console: Console) -> None:
        super().__init__(tally)
        self._console = console
        self._live = Live(_Display(tally), console=console, refresh_per_second=4, transient=True)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._live.stop()

    def say(self, text: str) -> None:
        self._console.print(Text(one_line(text), "yellow"))


class _Display:
    """The state, as rich draws it: anew each time, in the width that the terminal has then."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        tally = self._tally
        done = tally.earlier + tally.finished
        head = Table.grid(padding=(0, 1), expand=True)
        head.add_column(ratio=1)
        head.add_column(no_wrap=True)
        bar = ProgressBar(total=tally.total or None, completed=done, pulse=tally.total is None)
        head.add_row(bar, Text(_count(tally)))
        yield head
        for line in _details(tally):
            yield Text(line, no_wrap=True, overflow="ellipsis")


def state_line(tally: Tally) -> str:
    """The state in a line."""
    return one_line(", ".join((_count(tally), *_details(tally))))


def _count(tally: Tally) -> str:
    done = tally.earlier + tally.finished
    return f"{done:,} of {tally.total:,}" if tally.total is not None else f"{done:,} rows"


def _details(tally: Tally) -> list[str]:
    failed = {word: count for word, count in tally.outcomes.items() if word != "complete"}
    rows = [f"{tally.complete:,} complete"]
    rows += [f"{count:,} {word}" for word, count in sorted(failed.items())]
    if tally.waiting:
        rows.append(f"{tally.waiting:,} to be asked again")
    pace = [f"{tally.in_flight} of {tally.limit} in flight", f"{tally.rate:.1f} rows/s"]
    pace.append(f"{tally.input_tokens:,} tokens in, {tally.output_tokens:,} out")
    if tally.bounds.price is not None:
        cost, end = tally.bounds.cost, tally.cost_at_end
        pace.append(f"${cost:.4f}" + (f" of about ${end:.4f}" if end and end > cost else ""))
    if tally.seconds_left is not None:
        pace.append(f"{duration(tally.seconds_left)} left")
    lines = [", ".join(rows), ", ".join(pace)]
    if tally.stopped:
        lines.append(f"stopping: {tally.stopped}")
    elif tally.resting >= 0.5:
        lines.append(f"waits {duration(tally.resting)} for the service")
    return lines


def duration(seconds: float) -> str:
    """A time that is easy to read: `45 s`, `3:20 min`, `2:05 h`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60}:{whole % 60:02} min"
    return f"{whole // 3600}:{whole % 3600 // 60:02} h"
