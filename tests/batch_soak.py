"""A long batch, killed again and again: 100,000 rows with faults, five SIGKILLs.

    python -m tests.batch_soak [--rows N] [--kills N] [--concurrency N] [--seed N]

The embedded server runs in a process of its own, and each tenth row has a fault there: the first
time, or always. So what becomes of each row is known, whenever the command is killed. It is killed
when its journal has so many lines, drawn by chance, and started again. In the end each row must
have one outcome, the right one; and no row may have been asked while the journal had it as
complete. Memory is read from /proc while it runs (Linux only).
"""

import argparse
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

from tests.batch.serving import serving
from tests.commanding import CLEAN, COMMAND
from tokenwire.batch.folding import Fold, fold_parts
from tokenwire.server.faults import (
    BreakEvent,
    CloseAfter,
    Cutting,
    ErrorObject,
    Faults,
    HtmlPage,
    RefuseWith,
    ResetAfter,
    StallAfter,
)

SPAWN = multiprocessing.get_context("spawn")
CUT = CloseAfter(300)


@dataclass(frozen=True)
class Kind:
    """What goes wrong with a row: so many times, or always; what becomes of it; and how often it is
    asked in a run at most."""

    fault: Faults
    times: int | None = 1
    outcome: str = "complete"
    asked: int = 2


KINDS = (
    Kind(CUT),
    Kind(ResetAfter(300)),
    Kind(ResetAfter(0, head=False)),
    Kind(HtmlPage(502)),
    Kind(RefuseWith(500)),
    Kind(StallAfter(300)),
    Kind(BreakEvent(1)),
    Kind(HtmlPage()),
    Kind(CUT, None, "truncated"),
    Kind(RefuseWith(400), None, "bad_request", 1),
    Kind(ErrorObject(), None, "refused", 1),
    Kind(BreakEvent(1), None, "malformed", 5),
)
# Each makes all rows wait, so there are few of them.
OVERLOADS = (Kind(RefuseWith(429, "0.2")), Kind(RefuseWith(503, "0.2")), Kind(RefuseWith(429)))
OVERLOAD_EACH = 3000


def kind_of(number: int) -> Kind | None:
    """What goes wrong with the row `number`; None: nothing."""
    if number % OVERLOAD_EACH == 7:
        return OVERLOADS[number // OVERLOAD_EACH % len(OVERLOADS)]
    return KINDS[number // 10 % len(KINDS)] if number % 10 == 0 else None


def choose(text: str, time: int) -> Faults:
    """The fault of a question that is asked for the `time`th time."""
    kind = kind_of(int(text.rpartition(" ")[2]))
    return None if kind is None or time > (kind.times or time) else kind.fault


@dataclass
class Figures:
    """What came of it. `asked`: how many questions there were. `peaks` and `halves`: the resident
    memory of each run in MiB, the most and when it was half done."""

    rows: int
    kills: int
    asked: int = 0
    seconds: float = 0.0
    outcomes: Counter[str] = field(default_factory=Counter[str])
    peaks: list[float] = field(default_factory=list[float])
    memory: list[float] = field(default_factory=list[float])
    problems: list[str] = field(default_factory=list[str])

    def __str__(self) -> str:
        said = (
            f"{self.rows:,} rows, {self.kills} kills: {self.asked:,} questions, "
            f"{self.asked - self.rows:,} more than rows, in {self.seconds:.0f} s; "
            f"{', '.join(f'{count:,} {word}' for word, count in self.outcomes.most_common())}; "
            f"memory at most {max(self.peaks):.0f} MiB, in the last run after each tenth "
            f"{', '.join(f'{size:.0f}' for size in self.memory)}"
        )
        return "\n".join([said, *self.problems[:20]])


def serve_until_told(pipe: Connection) -> None:
    """The server: answers what it was asked since the last time, by row and how often."""
    with serving(choose, cutting=Cutting.whole()) as asked:
        pipe.send(asked.url)
        told: Counter[str] = Counter()
        while True:
            try:
                pipe.recv()
            except EOFError:
                return
            now = Counter(asked.times)
            pipe.send(now - told)
            told = now


@contextmanager
def server() -> Generator[tuple[str, Connection]]:
    """A server in a process of its own."""
    here, there = SPAWN.Pipe()
    process = SPAWN.Process(target=serve_until_told, args=(there,), daemon=True)
    process.start()
    there.close()
    try:
        yield here.recv(), here
    finally:
        here.close()
        process.join(10)
        process.kill()


def soak(rows: int, kills: int, concurrency: int, seed: int) -> Figures:
    """Run it."""
    figures, random = Figures(rows, kills), Random(seed)
    ends = sorted(random.sample(range(1, rows), kills))
    begun = time.monotonic()
    with TemporaryDirectory() as folder, server() as (url, pipe):
        questions, answers = Path(folder, "questions.jsonl"), Path(folder, "answers.jsonl")
        with questions.open("w") as file:
            for number in range(rows):
                row = {"custom_id": str(number), "prompt": f"question {number}"}
                file.write(json.dumps(row) + "\n")
        command = [*COMMAND, "batch", str(questions), "-o", str(answers), "-m", "m", "--quiet"]
        command += ["--base-url", url, "--concurrency", f"1-{concurrency}"]
        command += ["--idle", "2", "--first-event", "20"]
        complete: set[str] = set()
        for end in [*ends, None]:
            code = _run(command, answers, end, figures)
            if code not in (0, 8, -signal.SIGKILL):
                figures.problems.append(f"the command ended with {code}")
            pipe.send(None)
            asked: Counter[str] = pipe.recv()
            figures.asked += asked.total()
            again = {text.rpartition(" ")[2] for text in asked} & complete
            if again:
                figures.problems.append(f"asked though they were complete: {sorted(again)[:9]}")
            complete = set(_complete(fold_parts([answers], skip_broken=False)))
        _check(answers, figures)
    figures.seconds = time.monotonic() - begun
    if figures.asked > _needed(rows, kills + 1) + kills * concurrency:
        figures.problems.append(f"too many questions: {figures.asked:,}")
    return figures


def _run(command: list[str], answers: Path, end: int | None, figures: Figures) -> int:
    """Run the command, and kill it once the journal has `end` lines."""
    with subprocess.Popen(command, env=CLEAN) as process:
        peak, sizes, lines, read = 0.0, list[float](), 0, 0
        while process.poll() is None:
            time.sleep(0.02)
            if answers.exists() and answers.stat().st_size > read:
                with answers.open("rb") as file:
                    file.seek(read)
                    data = file.read()
                lines, read = lines + data.count(b"\n"), read + len(data)
            size = memory_of(process.pid)
            peak = max(peak, size)
            if len(sizes) < 10 * lines // figures.rows:
                sizes.append(size)
            if end is not None and lines >= end:
                process.kill()
                process.wait()
    figures.peaks.append(peak)
    figures.memory = sizes
    return process.returncode


def memory_of(process: int) -> float:
    """Its resident memory in MiB; 0 if it has ended."""
    try:
        pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    except (OSError, IndexError):
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def _complete(fold: Fold) -> Iterator[str]:
    for row in fold.ids():
        if (best := fold.best(row)) is not None and best.complete:
            yield row


def _needed(rows: int, runs: int) -> int:
    """How many questions are needed at most, but for those in flight at a kill: what is not
    complete is asked again in each run, unless it can't pass."""
    needed = rows
    for number in range(rows):
        if (kind := kind_of(number)) is not None:
            each = runs if kind.times is None and kind.outcome != "bad_request" else 1
            needed += kind.asked * each - 1
    return needed


def _check(answers: Path, figures: Figures) -> None:
    """Each row has one final line, and that is right."""
    lines: dict[str, Any] = {}
    with answers.open() as file:
        for line in file:
            found = json.loads(line)
            row, told = found["custom_id"], found["tokenwire"]["outcome"]
            if lines.get(row) == "complete":
                figures.problems.append(f"{row} has a line after it was complete")
            lines[row] = told
            text = f"openai m was asked: question {row}"
            if told == "complete":
                body = found["response"]["body"]
                if body["choices"][0]["message"]["content"] != text:
                    figures.problems.append(f"{row}: {body}")
            elif (
                found["response"] and found["response"]["status_code"] == 200 and told != "refused"
            ):
                figures.problems.append(f"{row} is {told}, with a response")
    figures.outcomes = Counter(lines.values())
    for number in range(figures.rows):
        kind = kind_of(number)
        expected = "complete" if kind is None else kind.outcome
        if lines.pop(str(number), None) != expected:
            figures.problems.append(f"{number} is not {expected}")
    if lines:
        figures.problems.append(f"rows that there are not: {list(lines)[:9]}")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--concurrency", type=int, default=64)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    arguments = parser.parse_args()
    print(f"--seed {arguments.seed}", flush=True)
    figures = soak(arguments.rows, arguments.kills, arguments.concurrency, arguments.seed)
    print(figures)
    if figures.problems:
        sys.exit(1)


if __name__ == "__main__":
    main()
