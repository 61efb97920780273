"""How cost grows with the number of events, their size, the size of a body, and the streams.

    python -m benchmarks.growth [--quick] [--rounds 3] [--only events size bodies streams]

CPU time of tokenwire in each dialect, from memory, in pieces of 1,400 bytes (the payload of a TCP
segment) unless a row says otherwise; for the number of streams, over sockets and beside peers. Time
is linear where an event, or a MiB, costs the same however many there are. Each table has a plot
beside this file; `--quick` draws none.
"""

import argparse
import importlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

from benchmarks.decode import contestant
from benchmarks.rounds import Figure, Table, play
from benchmarks.streams import STREAMS

__all__ = ["GROWTHS", "Growth", "Panel", "plot", "run"]

KIB = 1024
MIB = 1024 * KIB
SEGMENT = 1400


class Panel(NamedTuple):
    """One plot: its lines by name, each a cost at some of `at`, which are labelled by `ticks`."""

    title: str
    at: Sequence[int]
    ticks: Sequence[str]
    lines: Mapping[str, Mapping[int, float]]
    unit: str
    kind: Literal["flat", "linear"]
    """What to expect: a cost that stays the same, or one that grows linearly."""


class Growth(NamedTuple):
    """A table and its plot."""

    title: str
    columns: Sequence[str]
    rows: Mapping[str, Sequence[object]]
    panels: Sequence[Panel]


def run(rounds: int, quick: bool, only: Iterable[str] = ()) -> list[Table]:
    """All tables, or those of `only`."""
    found: list[Table] = []
    for name in only or GROWTHS:
        growth = GROWTHS[name](rounds, quick)
        note = ""
        if not quick:
            file = Path(__file__).with_name(f"growth-{name}.svg")
            plot(growth.panels, file)
            note = f"![{growth.title}]({file.name})"
        found.append(Table(growth.title, growth.columns, growth.rows, note))
    return found


def by_events(rounds: int, quick: bool) -> Growth:
    """10^2 to 10^5 events per stream."""
    counts = [10**n for n in range(2, 5 if quick else 6)]
    rows = measured(lambda dialect, count: (dialect, SEGMENT, count), counts, "cpu_us", rounds)
    ticks = [f"{count:,}" for count in counts]
    panel = Panel(
        "by events per stream", counts, ticks, lines_of(rows, counts), "CPU µs per event", "flat"
    )
    return Growth("CPU µs per event, by events per stream", ticks, rows, [panel])


def by_size(rounds: int, quick: bool) -> Growth:
    """Events of 100 bytes to 8 MiB, 8 MiB in total."""
    sizes = [100, KIB, 10 * KIB, 100 * KIB, *([] if quick else [MIB, 8 * MIB])]
    rows = measured(
        lambda dialect, size: (dialect, SEGMENT, 8 * MIB // size, size), sizes, "cpu_us", rounds
    )
    ticks = [words(size) for size in sizes]
    panel = Panel(
        "by size of an event", sizes, ticks, lines_of(rows, sizes), "CPU µs per event", "linear"
    )
    return Growth("CPU µs per event, by its size", ticks, rows, [panel])


BODIES: dict[str, tuple[int, Callable[[int], tuple[int, int]]]] = {
    "one event, pieces of 64 bytes": (64, lambda size: (1, size)),
    "one event, pieces of 1,400": (SEGMENT, lambda size: (1, size)),
    "events of 250 bytes, pieces of 1,400": (SEGMENT, lambda size: (size // 250, 250)),
}
"""By kind of body: the bytes of a piece, and for the size of a body, how many events of what
size."""


def by_body(rounds: int, quick: bool) -> Growth:
    """Bodies that double in size, from 256 KiB to 8 MiB."""
    sizes = [256 * KIB << n for n in range(3 if quick else 6)]
    ticks = [words(size) for size in sizes]
    rows: dict[str, list[Figure]] = {}
    panels: list[Panel] = []
    for what, (piece, shape) in BODIES.items():
        found = measured(partial(_body, piece, shape), sizes, "pass_us", rounds)
        for dialect, figures in found.items():
            rows[f"{dialect}: {what}"] = [
                figure.scaled(MIB / size / 1000)
                for figure, size in zip(figures, sizes, strict=True)
            ]
        panels.append(Panel(what, sizes, ticks, lines_of(found, sizes, 1e-3), "CPU ms", "linear"))
    return Growth("CPU ms per MiB, by the size of the body", ticks, rows, panels)


def _body(
    piece: int, shape: Callable[[int], tuple[int, int]], dialect: str, size: int
) -> tuple[object, ...]:
    return dialect, piece, *shape(size)


def by_streams(rounds: int, quick: bool) -> Growth:
    """1 to 1,000 streams at once, over sockets, as measured by `benchmarks.sockets`."""
    from benchmarks.sockets import streams_growth  # here, because nothing else needs a server

    lines = {name: dict(points) for name, points in streams_growth(rounds).items()}
    counts = sorted({count for line in lines.values() for count in line})
    rows = {name: [line.get(count, "") for count in counts] for name, line in lines.items()}
    ticks = [f"{count:,}" for count in counts]
    panel = Panel("by streams at once", counts, ticks, lines, "CPU µs per event", "flat")
    return Growth("CPU µs per event, by streams at once", ticks, rows, [panel])


GROWTHS: dict[str, Callable[[int, bool], Growth]] = {
    "events": by_events,
    "size": by_size,
    "bodies": by_body,
    "streams": by_streams,
}


def measured(
    arguments: Callable[[str, int], tuple[object, ...]],
    values: Sequence[int],
    figure: str,
    rounds: int,
) -> dict[str, list[Figure]]:
    """By dialect, a figure for each of `values`. `arguments` says what is decoded for a value."""
    contestants = [
        contestant("tokenwire", *arguments(dialect, value))._replace(name=f"{dialect} {value}")
        for dialect in STREAMS
        for value in values
    ]
    found = play(contestants, rounds)
    return {
        dialect: [found[f"{dialect} {value}"][figure] for value in values] for dialect in STREAMS
    }


def lines_of(
    rows: Mapping[str, Sequence[Figure]], at: Sequence[int], factor: float = 1
) -> dict[str, dict[int, float]]:
    """The points of each line."""
    return {
        name: {x: figure.median * factor for x, figure in zip(at, row, strict=True)}
        for name, row in rows.items()
    }


def words(size: int) -> str:
    """A number of bytes, for humans."""
    if size >= MIB:
        return f"{size // MIB} MiB"
    return f"{size // KIB} KiB" if size >= KIB else f"{size} B"


def plot(panels: Sequence[Panel], file: Path) -> None:
    """Draw `panels` side by side on logarithmic axes. The same figures give the same file."""
    mpl: Any = importlib.import_module("matplotlib")
    figures: Any = importlib.import_module("matplotlib.figure")
    with mpl.rc_context({"svg.hashsalt": "tokenwire", "svg.fonttype": "none"}):
        canvas = figures.Figure(figsize=(4.5 * len(panels) + 1, 4), layout="constrained")
        for number, panel in enumerate(panels):
            axes = canvas.add_subplot(1, len(panels), number + 1)
            for name, line in panel.lines.items():
                axes.loglog(list(line), list(line.values()), marker=".", label=name)
            if panel.kind == "flat":
                axes.set_yscale("linear")
                axes.set_ylim(bottom=0)
            if panel.kind == "linear":  # a line for comparison, below the others
                ends = [panel.at[0], panel.at[-1]]
                slope = min(line[ends[-1]] for line in panel.lines.values()) / ends[-1] / 2
                axes.loglog(ends, [slope * end for end in ends], "--", color="grey", label="linear")
            axes.set_xticks(panel.at, panel.ticks)
            axes.minorticks_off()
            axes.set_title(panel.title, fontsize="medium")
            axes.set_ylabel(panel.unit)
            axes.legend(fontsize="small")
        canvas.savefig(file, metadata={"Date": None, "Creator": None})


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="fewer sizes, and no plot")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=GROWTHS, default=[])
    args = parser.parse_args()
    for table in run(args.rounds, args.quick, args.only):
        print(table)


if __name__ == "__main__":
    main()
