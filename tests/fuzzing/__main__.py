"""Fuzzes each target in a process of its own, and says how far it came.

What it finds lies in `.fuzz/TARGET/`, beside the log and the corpus, from which the next run goes
on.
"""

import os
import re
import sys
import time
from argparse import ArgumentParser
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tests.fuzzing.worker import instrumented, work

__all__: list[str] = []

_HEAD = f"{'target':18}{'executions':>12}{'a second':>10}{'edges at first':>16}{'at last':>9}"


@dataclass(frozen=True)
class Result:
    """What came of fuzzing one target. `edges` of tokenwire's code were reached by the seeds, and
    at last; `finding` is what was raised, and `inputs` are what raises it."""

    executions: int
    seconds: float
    edges: tuple[int, int]
    finding: str
    inputs: list[str]


def main(arguments: Sequence[str]) -> int:
    """Returns the exit status: 1 if anything was found."""
    targets = instrumented()
    names = ", ".join(targets.TARGETS)
    parser = ArgumentParser("python -m tests.fuzzing", description=__doc__)
    parser.add_argument("target", nargs="*", help=f"all by default: {names}")
    parser.add_argument("--seconds", type=int, default=60, help="for each target (60)")
    parser.add_argument("--runs", type=int, help="for each target, instead of seconds")
    parser.add_argument("--seed", type=int, default=0, help="of the fuzzer; 0: another each time")
    parser.add_argument("--folder", type=Path, default=Path(".fuzz"))
    parser.add_argument("--plant", help="a fault to plant in tokenwire, to see that it is found")
    given = parser.parse_args(arguments)
    if unknown := [name for name in given.target if name not in targets.TARGETS]:
        parser.error(f"no target {', '.join(unknown)}; there are {names}")
    options = [f"-seed={given.seed}"]
    options.append(f"-max_total_time={given.seconds}" if not given.runs else f"-runs={given.runs}")
    if given.plant:
        options.append(f"--plant={given.plant}")
    found = False
    print(_HEAD)
    for name in given.target or targets.TARGETS:
        folder = given.folder / name
        folder.mkdir(parents=True, exist_ok=True)
        log = folder / "log"
        started = time.monotonic()
        status = _in_a_child(partial(work, targets, name, folder, *options), log)
        result = _read(log.read_text(errors="replace"), status, time.monotonic() - started)
        _report(name, folder, result)
        found |= bool(result.finding)
    return 1 if found else 0


def _in_a_child(work: Callable[[], None], log: Path) -> int:
    """The exit status of a copy of this process that does `work` and says to `log` what it says."""
    sys.stdout.flush()
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    with log.open("wb") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    work()
    raise AssertionError("libFuzzer ends the process")


def _read(said: str, status: int, seconds: float) -> Result:
    executions = re.search(r"^stat::number_of_executed_units: (\d+)", said, re.MULTILINE)
    edges = [int(number) for number in re.findall(r"^#\d+\t.* cov: (\d+)", said, re.MULTILINE)]
    return Result(
        executions=int(executions[1]) if executions else 0,
        seconds=seconds,
        edges=(edges[0], edges[-1]) if edges else (0, 0),
        finding=said[said.find("=== Uncaught") :][:4000] if status else "",
        inputs=re.findall(r"Test unit written to (\S+)", said),
    )


def _report(name: str, folder: Path, result: Result) -> None:
    speed = result.executions / result.seconds
    first, last = result.edges
    print(f"{name:18}{result.executions:>12,}{speed:>10,.0f}{first:>16}{last:>9}", flush=True)
    if result.finding:
        print(result.finding)
        for path in result.inputs:
            print(f"Again: {sys.executable} -m tests.fuzzing.worker {name} {folder} {path}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
