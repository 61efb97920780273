"""Decoding from memory: CPU time per event, beside other libraries, in shuffled rounds.

    python -m benchmarks.decode [--quick] [--rounds 7]
        [--only NAME ...] [--dialect NAME ...] [--cut 65536|event|1400|1|large ...]

All contestants get the same bytes in the same pieces and must arrive at the same text;
`benchmarks.decoders` defines them. Peers run in the virtual environments of `make .peers/ready`. A
peer that is not installed is left out, and the table says so.
"""

import argparse
import sys
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

from benchmarks.decoders import DECODERS, EVENTSOURCE, EVERY_DIALECT, NODE, OWN_DIALECT, PARSER
from benchmarks.rounds import Contestant, Figure, Table, play
from benchmarks.streams import STREAMS

__all__ = ["contestant", "run"]

MIB = 1024 * 1024
PEERS = Path(__file__).parents[1] / ".peers"

CUTS = {
    "65536": "pieces of 64 KiB",
    "event": "one event per piece",
    "1400": "pieces of 1,400 bytes",
    "1": "single bytes",
}
"""What each CUT of `benchmarks.decoders` means."""

EVENTS = {
    "anthropic": 5000,
    "anthropic stream()": 3000,
    "cohere": 2000,
    "google-genai": 3000,
    "mistralai": 1000,
    "botocore": 3000,
    "ollama": 5000,
    "openai": 5000,
    "openai responses": 5000,
    "openai responses.stream()": 1000,
    "openai 2": 5000,
    "langchain-openai": 3000,
    "litellm": 1000,
}
"""Enough to hide the fixed costs of a stream, and a pass still takes well under a second."""

LARGE = (
    *("tokenwire", "httpx-sse", "httpx2", "sseclient-py", "openai", "openai 2", "anthropic"),
    EVENTSOURCE,
)
TOO_SLOW = 1000.0
"""Milliseconds per MiB above which no larger event is tried."""

Figures = dict[str, Figure]


def contestant(name: str, *arguments: object) -> Contestant:
    """The process that measures `name`, with these arguments for `benchmarks.decoders`."""
    command = [python_of(name), "-m", "benchmarks.decoders", name, *map(str, arguments)]
    return Contestant(name, command)


def python_of(name: str) -> str:
    """The Python that can import what `name` needs; if it needs no peers, this one."""
    venv = "litellm" if name in ("litellm", "openai 2") else "bench"
    python = PEERS / venv / "bin" / "python"
    return str(python) if python.exists() or name not in EVERY_DIALECT else sys.executable


def lineup(only: Collection[str] = ()) -> tuple[list[str], str]:
    """The contestants that can take part, and a note about those that can't."""
    wanted = [name for name in (*DECODERS, EVENTSOURCE) if not only or name in only]
    found = [
        name
        for name in wanted
        if Path(python_of(name)).exists()
        and (name != EVENTSOURCE or (NODE is not None and PARSER.exists()))
    ]
    left_out = [name for name in wanted if name not in found]
    return found, f"Not installed here, and left out: {', '.join(left_out)}." if left_out else ""


def run(rounds: int, quick: bool) -> list[Table]:
    """All tables."""
    return tables(rounds, quick, (), STREAMS, [*CUTS, "large"])


def tables(
    rounds: int, quick: bool, only: Collection[str], dialects: Iterable[str], cuts: Iterable[str]
) -> list[Table]:
    """Those of `cuts` and `dialects`, and the goals for which everything was measured."""
    names, left_out = lineup(only)
    found: list[Table] = []
    with_goals = (
        *(
            "openai",
            "anthropic",
            "openai-responses",
            "gemini",
            "ollama",
            "mistral",
            "cohere",
            "bedrock",
        ),
    )
    figures: dict[str, dict[str, Figures]] = {dialect: {} for dialect in with_goals}
    large: dict[str, list[float]] = {}
    for how in cuts:
        if how == "large":
            for dialect in ("anthropic", "openai"):
                able = [name for name in LARGE if name in names and decodes(name, dialect)]
                table, large = large_events(able, dialect, rounds, quick)
                found.append(table)
            continue
        others: dict[str, list[object]] = {}
        for dialect in dialects:
            part = [name for name in names if decodes(name, dialect)]
            measured = decoding(part, dialect, how, rounds, quick)
            rows = compare(measured)
            if dialect in figures:
                figures[dialect][how] = measured
                found.append(Table(f"Decoding {dialect}, {CUTS[how]}", COLUMNS, rows, left_out))
            else:
                others |= {f"{dialect}: {name}": cells for name, cells in rows.items()}
        if others:
            found.append(Table(f"Decoding the other dialects, {CUTS[how]}", COLUMNS, others))
    if judged := goals(figures, large):
        found.append(judged)
    return found


def decodes(name: str, dialect: str) -> bool:
    """Whether a contestant takes part in the decoding of a dialect."""
    if name in EVERY_DIALECT:
        return True
    return dialect == OWN_DIALECT.get(name, "openai")


def decoding(
    names: Iterable[str], dialect: str, how: str, rounds: int, quick: bool
) -> dict[str, Figure]:
    """CPU microseconds per event, by contestant."""

    def events(name: str) -> int:
        count = min(EVENTS.get(name, 20_000), 1000 if how == "1" else 20_000)
        return count // 5 if quick else count

    contestants = [contestant(name, dialect, how, events(name)) for name in names]
    return {name: taken["cpu_us"] for name, taken in play(contestants, rounds).items()}


COLUMNS = ("CPU µs per event", "to the floor", "to tokenwire")


def compare(measured: Mapping[str, Figure]) -> dict[str, list[object]]:
    """The rows of a table, each with its ratios."""
    return {
        name: [figure, *(ratio(measured, name, to) or "" for to in ("floor", "tokenwire"))]
        for name, figure in measured.items()
    }


def ratio(measured: Mapping[str, Figure], name: str, to: str) -> float | None:
    """How many times as much as `to` it costs; None if one of them was not measured."""
    if name not in measured or to not in measured:
        return None
    return measured[name].median / measured[to].median


def large_events(
    names: Iterable[str], dialect: str, rounds: int, quick: bool
) -> tuple[Table, dict[str, list[float]]]:
    """The table of one event in pieces of 64 bytes, and the medians by contestant."""
    sizes = (1, 2) if quick else (1, 2, 4, 8)
    rows: dict[str, list[object]] = {name: [] for name in names}
    medians: dict[str, list[float]] = {name: [] for name in rows}
    for size in sizes:
        able = [name for name in rows if size <= 2 or max(medians[name]) < TOO_SLOW]
        able = [name for name in able if len(medians[name]) == sizes.index(size)]
        played = play(
            [contestant(name, dialect, 64, 1, size * MIB) for name in able], min(rounds, 3)
        )
        for name in rows:
            if name in played:
                figure = played[name]["pass_us"].scaled(1 / 1000 / size)
                medians[name].append(figure.median)
                rows[name].append(figure)
            else:
                rows[name].append("")
    title = f"One event of {dialect} in pieces of 64 bytes, CPU ms per MiB"
    stopped = any("" in cells for cells in rows.values())
    note = f"Above {TOO_SLOW:,.0f} ms per MiB, no larger event was tried." if stopped else ""
    return Table(title, [f"{size} MiB" for size in sizes], rows, note), medians


def goals(
    figures: Mapping[str, Mapping[str, Figures]], large: Mapping[str, list[float]]
) -> Table | None:
    """The goals of decoding; None if nothing they need was measured."""
    rows: dict[str, list[object]] = {}
    for dialect, name, to, at_most, goal in (
        ("openai", "tokenwire", "floor", True, {"65536": 1.4, "event": 2.1}),
        ("openai", "openai", "tokenwire", False, {"65536": 80, "event": 45}),
        ("openai", "httpx-sse", "tokenwire", False, {"65536": 5, "event": 3.3}),
        ("anthropic", "tokenwire", "floor", True, {"65536": 1.5, "event": 2.0}),
        ("anthropic", "anthropic stream()", "tokenwire", False, {"65536": 20, "event": 20}),
        ("openai-responses", "tokenwire", "floor", True, {"65536": 1.5, "event": 2.0}),
        ("openai-responses", "openai responses", "tokenwire", False, {"65536": 20, "event": 20}),
        ("gemini", "tokenwire", "floor", True, {"65536": 1.5, "event": 2.0}),
        ("gemini", "google-genai", "tokenwire", False, {"65536": 20, "event": 20}),
        ("ollama", "tokenwire", "floor", True, {"65536": 1.5, "event": 2.0}),
        ("ollama", "ollama", "tokenwire", False, {"65536": 5, "event": 4}),
        ("mistral", "tokenwire", "floor", True, {"65536": 1.5, "event": 2.0}),
        ("mistral", "mistralai", "tokenwire", False, {"65536": 15, "event": 15}),
        ("cohere", "tokenwire", "floor", True, {"65536": 1.5, "event": 2.0}),
        ("cohere", "cohere", "tokenwire", False, {"65536": 15, "event": 15}),
        ("bedrock", "tokenwire", "floor", True, {"65536": 1.5, "event": 2.0}),
        ("bedrock", "botocore", "tokenwire", False, {"65536": 15, "event": 15}),
    ):
        for how, bound in goal.items():
            if (found := ratio(figures.get(dialect, {}).get(how, {}), name, to)) is not None:
                rows[f"{dialect}: {name} / {to}, {CUTS[how]}"] = judge(found, bound, at_most)
    if ours := large.get("tokenwire"):
        size = 2 ** (len(ours) - 1)
        rows[f"tokenwire, one event of {size} MiB, ms per MiB"] = judge(ours[-1], 8, True)
    return Table("Goals of decoding", ("goal", "measured", ""), rows) if rows else None


def judge(found: float, bound: float, at_most: bool) -> list[object]:
    """A goal, what was measured, and whether it was met."""
    met = found <= bound if at_most else found >= bound
    return [f"at {'most' if at_most else 'least'} {bound:,}", found, "met" if met else "missed"]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a fifth of the events")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--only", nargs="+", choices=[*DECODERS, EVENTSOURCE], default=[])
    parser.add_argument("--dialect", nargs="+", choices=STREAMS, default=list(STREAMS))
    parser.add_argument("--cut", nargs="+", choices=[*CUTS, "large"], default=[*CUTS, "large"])
    args = parser.parse_args()
    for table in tables(args.rounds, args.quick, args.only, args.dialect, args.cut):
        print(table)


if __name__ == "__main__":
    main()
