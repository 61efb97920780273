"""A gateway between callers and a service: what it costs, beside peers, as tables.

    python -m benchmarks.gateway [--quick] [--rounds 5] [--only tokenwire ...]

Origins (`origin`) play the services, and each contestant is started anew and measured by a process
of its own (`gateways`), in a different order in each round. Only CPU time counts, and ratios are of
the medians. A table of the project's goals follows.
"""

import argparse
import json
import shutil
import subprocess
import sys
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from math import isnan, nan
from pathlib import Path
from typing import NamedTuple

from .gateways import GATEWAYS, INTERVAL, LANES, SHORT, STREAMS_AT_ONCE
from .rounds import Contestant, Figure, Table, play

__all__ = ["events_table", "goals", "installed", "origins", "process_table", "run"]

ROOT = Path(__file__).parent.parent
US, BARE, DIRECT = "tokenwire", "bare ASGI relay", "no gateway"

LONG = 600_000_000  # for streams that stay silent

Results = Mapping[str, Mapping[str, Figure]]


def installed(name: str) -> bool:
    needs = GATEWAYS[name].needs
    return needs is None or (
        needs.exists() and (needs.suffix != ".js" or bool(shutil.which("node")))
    )


@contextmanager
def origins(seconds: float) -> Generator[dict[str, int]]:
    """The services, by format and what they do; their ports."""
    whole = ["--document", "--events", str(SHORT)]
    short = ["--events", str(SHORT)]
    events = int((seconds * 4 + 60) * 1e6 / INTERVAL)
    paced = ["--events", str(events), "--interval", str(INTERVAL)]
    paced += ["--groups", str(STREAMS_AT_ONCE)]
    idle = ["--events", "10", "--interval", str(LONG)]
    kinds = {"paced": paced, "short": short, "whole": whole, "idle": idle}
    with ExitStack() as stack:
        ports: dict[str, int] = {}
        for back in sorted({lane.back for lane in LANES.values()}):
            for kind, options in kinds.items():
                command = [sys.executable, "-m", "benchmarks.origin", "--dialect", back, "--plain"]
                command += options
                server = stack.enter_context(
                    subprocess.Popen(
                        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
                    )
                )
                assert server.stdout is not None
                ports[f"{back}-{kind}"] = json.loads(server.stdout.readline())["port"]
        yield ports
        # The end of this block closes the standard input of the servers, which ends them.


def played(names: Sequence[str], rounds: int, seconds: float) -> Results:
    with origins(seconds) as ports:
        options = ["--ports", json.dumps(ports), "--seconds", str(seconds)]
        command = [sys.executable, "-m", "benchmarks.gateways"]
        contestants = [
            Contestant(name, ["env", "-C", str(ROOT), *command, name, *options]) for name in names
        ]
        return play(contestants, rounds)


# The tables.


def ratio(results: Results, who: str, to: str, figure: str) -> float:
    if who not in results or to not in results:
        return nan
    return results[who][figure].median / results[to][figure].median


def added(results: Results, who: str, lane: str) -> float:
    """Milliseconds that a gateway adds to the time to the first text."""
    if who not in results or DIRECT not in results:
        return nan
    direct = results[DIRECT]["relay_first_ms"].median
    return results[who][f"{lane}_first_ms"].median - direct


def events_table(results: Results) -> Table:
    columns: list[str] = []
    rows: dict[str, list[object]] = {name: [] for name in results if name != DIRECT}
    for name, lane in LANES.items():
        columns += [f"{lane.front} to {lane.back}: CPU µs per event", f"/ {BARE}"]
        columns.append("added to the first text, ms")
        for who, cells in rows.items():
            own = results[who][f"{name}_us"]
            to_bare = own.median / results[BARE]["relay_us"].median if BARE in results else nan
            cells += [own, to_bare, added(results, who, name)]
    note = (
        f"{STREAMS_AT_ONCE} streams, each with an event every {INTERVAL // 1000} ms, at a moment "
        "of its own, so that nearly every event is a wake-up. All ratios are to the bare relay, "
        "which translates nothing. First texts are those of single questions beside the streams."
    )
    behind = [
        f"{who}, {lane} ({figures[f'{lane}_kept'].median:.0%} of the events came in time)"
        for who, figures in results.items()
        for lane in LANES
        if figures[f"{lane}_kept"].median < 0.95
    ]
    if behind:
        note += f" Could not keep up, which makes an event cheaper: {', '.join(behind)}."
    return Table("Streams through a gateway", columns, rows, note)


def process_table(results: Results, left_out: Sequence[str]) -> Table:
    rows: dict[str, list[object]] = {
        name: [
            *(figures[key] for key in ("answers_s", "rest_mib", "idle_kib", "ready_s")),
        ]
        for name, figures in results.items()
        if name != DIRECT
    }
    columns = ["short answers per CPU second", "MiB at rest", "KiB per idle stream", "s to ready"]
    note = (
        f"Answers of {SHORT} words, not streamed, to 8 callers. 1,000 idle streams; litellm: 400, "
        "as it takes no more than 500."
    )
    if left_out:
        note += f" Not installed here: {', '.join(left_out)}."
    return Table("A gateway as a process", columns, rows, note)


class Goal(NamedTuple):
    text: str
    measured: float
    bound: float
    at_most: bool = True


def _goals(results: Results) -> Iterator[Goal]:
    own = results[US]

    def to_bare(lane: str) -> float:
        return (
            own[f"{lane}_us"].median / results[BARE]["relay_us"].median if BARE in results else nan
        )

    yield Goal("relay: ours / bare ASGI relay, CPU per event", to_bare("relay"), 1.15)
    yield Goal("chat in front of Anthropic: ours / bare ASGI relay", to_bare("chat"), 1.6)
    yield Goal("Anthropic in front of chat: ours / bare ASGI relay", to_bare("messages"), 1.6)
    for lane, bound in (("relay", 9), ("chat", 10), ("messages", 10)):
        text = f"{lane}: litellm / ours, CPU per event"
        yield Goal(text, ratio(results, "litellm", US, f"{lane}_us"), bound, False)
    text = "short answers per CPU second: ours / litellm"
    yield Goal(text, ratio(results, US, "litellm", "answers_s"), 8, False)
    ours, theirs = (added(results, who, "relay") for who in (US, "litellm"))
    yield Goal("first text, ms added", ours, 1)
    yield Goal("first text, time added: litellm / ours", theirs / ours, 5, False)
    yield Goal("MiB at rest", own["rest_mib"].median, 45)
    yield Goal("KiB per idle stream", own["idle_kib"].median, 40)
    yield Goal("s to ready", own["ready_s"].median, 0.5)


def goals(results: Results) -> Table:
    rows: dict[str, list[object]] = {}
    for goal in _goals(results) if US in results else ():
        if isnan(goal.measured):
            continue
        met = goal.measured <= goal.bound if goal.at_most else goal.measured >= goal.bound
        bound = f"at {'most' if goal.at_most else 'least'} {goal.bound:g}"
        rows[goal.text] = [bound, goal.measured, "met" if met else "missed"]
    return Table("Goals of the gateway", ["goal", "measured", ""], rows)


def run(rounds: int = 5, *, quick: bool = False, only: Sequence[str] = ()) -> Iterator[Table]:
    """The tables of the contestants `only` (default: all that are installed), and the goals."""
    wanted = [name for name in GATEWAYS if not only or name in only]
    names = [name for name in wanted if installed(name)]
    results = played(names, rounds, 2 if quick else 4)
    yield events_table(results)
    yield process_table(results, [name for name in wanted if name not in names])
    if (judged := goals(results)).rows:
        yield judged


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="shorter streams, two rounds")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--only", nargs="+", choices=GATEWAYS, default=[])
    arguments = parser.parse_args()
    rounds = arguments.rounds or (2 if arguments.quick else 5)
    for one in run(rounds, quick=arguments.quick, only=arguments.only):
        print(one, flush=True)


if __name__ == "__main__":
    main()
