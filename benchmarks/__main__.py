"""Runs all parts, one after the other, and writes their results into README.md.

    python -m benchmarks [--quick] [--rounds N] [--only start decode sockets gateway growth batch]

As soon as a part is done, its results are printed and replace the text between its markers in
README.md. A part that fails leaves the old results there. `--quick` is shorter and writes nothing.
"""

import argparse
import json
import logging
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from importlib import import_module
from importlib.metadata import distributions
from pathlib import Path

from benchmarks.rounds import Table

__all__ = ["PARTS", "README", "replaced"]

README = Path(__file__).with_name("README.md")
ROOT = Path(__file__).parents[1]
PEERS = ROOT / ".peers"

PARTS = {"start": 15, "decode": 7, "sockets": 3, "gateway": 5, "growth": 3, "batch": 3}
"""How many rounds each part needs. A part is named after its module."""


def measured(part: str, rounds: int, quick: bool) -> list[Table]:
    """The tables of a part, each printed as soon as it is done."""
    found: list[Table] = []
    for table in import_module(f"benchmarks.{part}").run(rounds, quick=quick):
        print(table, flush=True)
        found.append(table)
    return found


def write(part: str, tables: Sequence[Table], preface: str) -> None:
    """Write the tables into README.md: goals beside those of the other parts, the rest in its
    place."""
    goals = [str(table) for table in tables if table.title.startswith("Goals")]
    others = [str(table) for table in tables if not table.title.startswith("Goals")]
    text = README.read_text(encoding="utf-8")
    text = replaced(text, part, "\n".join([preface, *others]))
    if goals:
        text = replaced(text, f"{part} goals", "\n".join(goals))
    README.write_text(text, encoding="utf-8")


def replaced(text: str, place: str, results: str) -> str:
    """`text` with `results` between the two markers of `place`."""
    before, begin, rest = text.partition(f"<!-- {place} -->\n")
    _, end, after = rest.partition(f"<!-- end of {place} -->\n")
    if not (begin and end):
        raise ValueError(f"there are no markers for {place}")
    return f"{before}{begin}\n{results}\n{end}{after}"


def circumstances() -> str:
    """When, how, where and with which versions this was measured."""
    command = shlex.join(["python", "-m", "benchmarks", *sys.argv[1:]])
    python = f"{platform.python_implementation()} {platform.python_version()}"
    machine = f"{processor()}, {os.cpu_count()} cores, {platform.system()} {platform.release()}"
    return (
        f"Measured {datetime.now(UTC):%Y-%m-%d %H:%M} UTC with `{command}`; {machine}; {python}.\n"
        f"With {', '.join(versions())}.\n"
    )


def processor() -> str:
    """The model of the processor, as Linux reports it."""
    info = Path("/proc/cpuinfo")
    found = re.search(r"^model name\s*: (.*)$", info.read_text(), re.M) if info.exists() else None
    return found[1] if found else platform.machine()


def versions() -> Iterator[str]:
    """The installed versions of the peers that pyproject.toml names, and of the programs."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for extra, venv in (("bench", "bench"), ("bench-litellm", "litellm")):
        paths = [str(path) for path in (PEERS / venv).glob("lib/python*/site-packages")]
        for requirement in extras["optional-dependencies"][extra]:
            name = re.split(r"[^\w.-]", requirement)[0]
            for version in {one.version for one in distributions(name=name, path=paths)}:
                yield f"{name} {version}"
    modules = json.loads((Path(__file__).parent / "package.json").read_text())["dependencies"]
    for name, version in modules.items():
        if (Path(__file__).parent / "node_modules" / name).exists():
            yield f"{name} {version}"
    for program in ("node", "curl", "cc", "nginx"):
        if shutil.which(program):
            ask = "-v" if program == "nginx" else "--version"
            said = subprocess.run([program, ask], capture_output=True, text=True)
            found = re.search(r"\d+(\.\d+)+", said.stdout + said.stderr)
            yield f"{program} {found[0] if found else ''}"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--quick", action="store_true", help="less work, two rounds; only print the results"
    )
    parser.add_argument(
        "--rounds", type=int, help="rounds of each part (default: as many as it needs)"
    )
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    args = parser.parse_args()
    if not (PEERS / "ready").exists():
        raise SystemExit("the peers are not installed: make .peers/ready")
    preface = circumstances()
    failed: list[str] = []
    for part in PARTS:
        if part not in args.only:
            continue
        rounds = args.rounds or (2 if args.quick else PARTS[part])
        try:
            tables = measured(part, rounds, args.quick)
        except (Exception, SystemExit):  # a contestant that fails raises SystemExit
            logging.exception("%s failed; README.md keeps its old results", part)
            failed.append(part)
        else:
            if not args.quick:
                write(part, tables, preface)
    if failed:
        raise SystemExit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
