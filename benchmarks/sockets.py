"""From a socket to events: CPU time per event over loopback, beside peers, as tables.

    python -m benchmarks.sockets [--quick] [--rounds 3] [--case thousand ...] [--only aiohttp ...]

For each case a separate server (`origin`) writes the streams, and each contestant asks it from its
own process (`clients`), in a different order in each round. The peers are installed in `.peers` by
`make .peers/ready`. A table of the project's goals follows those of the cases.
"""

import argparse
import json
import math
import subprocess
import sys
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from .clients import CONTESTANTS, PROGRAMS, built_client
from .rounds import Contestant, Figure, Table, play

__all__ = ["CASES", "run", "streams_growth"]

ROOT = Path(__file__).parent.parent
US = "tokenwire asyncio"
OURS = ("tokenwire asyncio", "tokenwire uvloop", "tokenwire trio", "tokenwire anyio")

# Shown once, to prove that the other way of that peer is its faster one.
SLOWER_WAYS = ("aiohttp lines", "sseclient-py requests")

Results: TypeAlias = dict[str, dict[str, dict[str, Figure]]]
"""Figures by case, contestant and name."""


class Case(NamedTuple):
    """`interval`: microseconds between the events of a stream. `spread`: each stream has its own
    moment in that time; otherwise the events of a tick are written one right after the other."""

    title: str
    dialect: str = "openai"
    streams: int = 1
    events: int = 20_000
    interval: int = 0
    spread: bool = False
    tls: bool = False
    only: Sequence[str] = ()
    note: Sequence[str] = ()

    @property
    def groups(self) -> int:
        return self.streams if self.spread else 1

    def contestants(self) -> list[str]:
        """The contestants that can take part, of those that were chosen."""
        return [name for name in self.only or [*PROGRAMS, *CONTESTANTS] if self._suits(name)]

    def _suits(self, name: str) -> bool:
        if name in PROGRAMS:
            return self.streams == 1
        if name in SLOWER_WAYS and self.interval:
            return False
        return self.dialect in CONTESTANTS[name].dialects and (
            self.streams == 1 or CONTESTANTS[name].loop != "none"
        )

    def quick(self) -> "Case":
        """The same, shorter."""
        return self._replace(events=self.events // (2 if self.streams > 1 else 4))


TICK = (
    "In each tick the server writes one event to each stream, one after the other.",
    "The first column counts from the moment when all streams have begun.",
    "A client that can't keep up reads several events at a time, which makes each of them cheaper.",
)
FAULTS = (
    "asyncio reads into a new buffer of 256 KiB each time unless a protocol has its own,",
    "and a small process gets it from the system and returns it: two page faults.",
    "With `tuned malloc` (`clients.TUNED`), or in a process with room on its heap, it does not.",
)
BLOCKING = ("Blocking clients are left out: they would need a thread for each stream.",)
TUNED = ("tokenwire asyncio, tuned malloc", "aiohttp, tuned malloc")
PUSHED = ("tokenwire asyncio, pushed", "tokenwire uvloop, pushed")
RECEIVING = ("only receiving", "only receiving, uvloop")
DARKAI = (*OURS, *PUSHED, *RECEIVING, "g4f DarkAI", "g4f DarkAI uvloop", "aiohttp", *TUNED)
CASES: dict[str, Case] = {
    "once": Case("One stream, as fast as possible (OpenAI)"),
    "once-darkai": Case("One stream, as fast as possible (DarkAI)", "darkai", events=40_000),
    "paced": Case("One stream, an event every 250 µs (OpenAI)", events=8_000, interval=250),
    "hundred": Case(
        "100 streams, each with an event every 50 ms (OpenAI)",
        streams=100,
        events=100,
        interval=50_000,
        note=TICK + FAULTS + BLOCKING,
    ),
    "hundred-darkai": Case(
        "100 streams, each with an event every 50 ms (DarkAI)",
        "darkai",
        streams=100,
        events=100,
        interval=50_000,
        only=DARKAI,
        note=TICK,
    ),
    "thousand": Case(
        "1,000 streams, each with an event every 250 ms (OpenAI)",
        streams=1000,
        events=24,
        interval=250_000,
        note=TICK + FAULTS + BLOCKING,
    ),
    "thousand-darkai": Case(
        "1,000 streams, each with an event every 250 ms (DarkAI)",
        "darkai",
        streams=1000,
        events=24,
        interval=250_000,
        only=DARKAI,
        note=TICK,
    ),
    "thousand-spread": Case(
        "1,000 streams, each with an event every 250 ms, at a moment of its own (OpenAI)",
        streams=1000,
        events=24,
        interval=250_000,
        spread=True,
        only=(*OURS, *TUNED, "aiohttp", "aiohttp uvloop"),
        note=(
            "Nearly every event is a wake-up of the event loop, which all of them have to pay for.",
        ),
    ),
    "tls": Case(
        "100 streams over TLS, all events of a tick at once (OpenAI)",
        streams=100,
        events=100,
        interval=50_000,
        tls=True,
        only=(
            *(*OURS, *TUNED, "aiohttp", "aiohttp uvloop"),
            *("httpx-sse async", "openai async", "openai async, aiohttp"),
        ),
    ),
}


@contextmanager
def origin(case: Case) -> Generator[dict[str, Any]]:
    """The server of a case; the line that it printed about itself."""
    command = [sys.executable, "-m", "benchmarks.origin", "--dialect", case.dialect]
    command += ["--events", str(case.events), "--interval", str(case.interval)]
    command += ["--groups", str(case.groups)]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout is not None
        yield json.loads(server.stdout.readline())
        # The end of this block closes the standard input of the server, which ends it.


def interpreter(name: str) -> Path | None:
    """The Python that can import what the contestant needs."""
    venv = CONTESTANTS[name].venv if name in CONTESTANTS else "bench"
    python = ROOT / ".peers" / venv / "bin" / "python"
    if not python.exists() or (name == "C client" and built_client() is None):
        return None
    return python


def play_case(case: Case, names: Iterable[str], rounds: int) -> dict[str, dict[str, Figure]]:
    with origin(case) as server:
        options = ["--dialect", case.dialect, "--port", server["port"], "--events", case.events]
        options += ["--streams", case.streams, "--interval", case.interval]
        if case.tls:
            options += ["--tls-port", server["tls_port"], "--authority", server["authority"]]
        contestants = [
            Contestant(
                name,
                [
                    *("env", "-C", str(ROOT), *_environment(name)),
                    *(str(python), "-m", "benchmarks.clients", name),
                    *(str(option) for option in options),
                ],
            )
            for name in names
            if (python := interpreter(name)) is not None
        ]
        return play(contestants, rounds)


def _environment(name: str) -> list[str]:
    if name in PROGRAMS:
        return []
    return [f"{key}={value}" for key, value in CONTESTANTS[name].environment.items()]


# The tables.


def table(case: Case, results: dict[str, dict[str, Figure]]) -> Table:
    several, opening_counts = case.streams > 1, case.tls
    main = "cpu_us" if opening_counts or not several else "steady_us"
    rows: dict[str, list[object]] = {}
    for name in sorted(results, key=lambda name: _rank(results[name][main].median)):
        figures = results[name]
        rows[name] = [figures[main], _ratio(results, name, main)]
        if several:
            rows[name] += [figures["steady_us" if opening_counts else "cpu_us"]]
            rows[name] += [figures["kib_a_stream"], _ratio(results, name, "kib_a_stream")]
            rows[name] += [figures["first_event_p50_ms"], figures["first_event_p99_ms"]]
        else:
            rows[name].append(figures["wall_s"])
        rows[name].append(figures["faults"].median)
    columns = ["CPU µs per event", f"/ {US}"]
    if several:
        columns += ["once all are open" if opening_counts else "including the opening"]
        columns += ["KiB per stream", f"/ {US}", "first event: ms, median", "99th percentile"]
    else:
        columns.append("wall s")
    columns.append("page faults per event")
    return Table(case.title, columns, rows, " ".join([*case.note, *_about_origin(case, results)]))


def _rank(value: float) -> float:
    return math.inf if math.isnan(value) else value


def _about_origin(case: Case, results: dict[str, dict[str, Figure]]) -> Iterator[str]:
    """That the server was not the bottleneck, and which contestants are missing."""
    if case.interval and results:
        late = max(figures["origin_late_ms"].median for figures in results.values())
        yield f"The server was at most {late:.1f} ms late (median of the rounds)."
    shares = {
        name: figures["origin_cpu_s"].median / figures["wall_s"].median
        for name, figures in results.items()
        if name != "curl"  # whose wall time is the difference of two
    }
    if shares:
        busiest = max(shares, key=lambda name: shares[name])
        yield f"The server was busy for at most {shares[busiest]:.0%} of the time ({busiest})."
    left_out = [name for name in case.contestants() if interpreter(name) is None]
    if left_out:
        yield f"Not installed here: {', '.join(left_out)}."


def _ratio(results: dict[str, dict[str, Figure]], name: str, figure: str) -> float:
    return results[name][figure].median / results[US][figure].median if US in results else math.nan


class Goal(NamedTuple):
    """In `case`, `figure` of `who` divided by that of `to` is at least, or at most, `bound`."""

    text: str
    case: str
    who: str
    to: str
    figure: str
    bound: float
    at_most: bool = False


def _streams_goals() -> Iterator[Goal]:
    yield Goal("once, DarkAI: g4f DarkAI / ours", "once-darkai", "g4f DarkAI", US, "cpu_us", 2)
    yield Goal("once: openai async / ours", "once", "openai async", US, "cpu_us", 40)
    yield Goal(
        "paced: ours (sync) / C client", "paced", "tokenwire sync", "C client", "cpu_us", 1.5, True
    )
    for case, streams in (("hundred-darkai", "100"), ("thousand-darkai", "1,000")):
        for ours, bound in ((US, 1.35), ("tokenwire uvloop", 1.7)):
            text = f"{streams} streams, DarkAI: g4f DarkAI / {ours}"
            yield Goal(text, case, "g4f DarkAI", ours, "steady_us", bound)
    for pushed, receiving in zip(PUSHED, RECEIVING, strict=True):
        text, floor = f"1,000 streams, DarkAI: {pushed} /", (pushed, receiving)
        yield Goal(f"{text} {receiving}", "thousand-darkai", *floor, "steady_us", 1.7, True)
    text, pair = "1,000 streams, DarkAI: {} / pushed", (PUSHED[0], "steady_us")
    yield Goal(text.format("iterated"), "thousand-darkai", US, *pair, 1.5)
    yield Goal(text.format("g4f DarkAI"), "thousand-darkai", "g4f DarkAI", *pair, 2)
    for ours, bound in ((US, 2), ("tokenwire trio", 1.2), ("tokenwire anyio", 1.2)):
        text = f"1,000 streams: aiohttp / {ours}"
        yield Goal(text, "thousand", "aiohttp", ours, "steady_us", bound)
    openai = ("openai async", US)
    yield Goal(
        "1,000 streams, memory: openai async / ours", "thousand", *openai, "kib_a_stream", 4.5
    )
    text = "1,000 streams, first event, 99th percentile: openai async / ours"
    yield Goal(text, "thousand", *openai, "first_event_p99_ms", 8)
    yield Goal("TLS: aiohttp / ours", "tls", "aiohttp", US, "cpu_us", 1.5)
    yield Goal("TLS: openai async / ours", "tls", *openai, "cpu_us", 6.5)
    yield Goal("TLS, memory: aiohttp / ours", "tls", "aiohttp", US, "kib_a_stream", 6.5)
    yield Goal("TLS, memory: openai async / ours", "tls", *openai, "kib_a_stream", 1.9)


GOALS = tuple(_streams_goals())


def goals(results: Results) -> Table:
    rows: dict[str, list[object]] = {}
    for goal in GOALS:
        found = results.get(goal.case, {})
        if goal.who not in found or goal.to not in found:
            continue
        ratio = found[goal.who][goal.figure].median / found[goal.to][goal.figure].median
        met = ratio <= goal.bound if goal.at_most else ratio >= goal.bound
        bound = f"at {'most' if goal.at_most else 'least'} {goal.bound:g}"
        rows[goal.text] = [bound, ratio, "met" if met else "missed"]
    return Table("Goals of sockets", ["goal", "measured", ""], rows)


def run(
    rounds: int = 3,
    *,
    quick: bool = False,
    cases: Sequence[str] = (),
    only: Sequence[str] = (),
) -> Iterator[Table]:
    """The tables of `cases` (default: all) with the contestants `only` (default: all), each as soon
    as it is done."""
    results: Results = {}
    for key in cases or CASES:
        case = CASES[key].quick() if quick else CASES[key]
        names = [name for name in case.contestants() if not only or name in only]
        results[key] = play_case(case, names, rounds)
        yield table(case, results[key])
    if (judged := goals(results)).rows:
        yield judged


def streams_growth(rounds: int) -> dict[str, list[tuple[int, float]]]:
    """CPU microseconds per event by the number of streams, 4,000 events per second in total."""
    names = ("tokenwire asyncio", "tokenwire trio", "tokenwire sync", "aiohttp")
    growth: dict[str, list[tuple[int, float]]] = {name: [] for name in names}
    for streams in (1, 10, 100, 1000):
        case = Case(
            f"{streams} streams",
            streams=streams,
            events=16_000 // streams,
            interval=250 * streams,
            spread=True,
            only=names,
        )
        for name, figures in play_case(case, case.contestants(), rounds).items():
            growth[name].append((streams, figures["steady_us"].median))
    return growth


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="shorter streams, two rounds")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--case", nargs="+", choices=CASES, default=[], metavar="CASE")
    parser.add_argument("--only", nargs="+", choices=[*PROGRAMS, *CONTESTANTS], default=[])
    arguments = parser.parse_args()
    if interpreter(US) is None:
        raise SystemExit("the peers are not installed: make .peers/ready")
    rounds = arguments.rounds or (2 if arguments.quick else 3)
    chosen = {"cases": arguments.case, "only": arguments.only}
    for one in run(rounds, quick=arguments.quick, **chosen):
        print(one, flush=True)


if __name__ == "__main__":
    main()
