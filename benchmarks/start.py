"""The cost of a start: imports, the first answer of a fresh interpreter, and the command.

    python -m benchmarks.start [--quick] [--rounds 15]

Each figure comes from a separate process with a warm file cache and compiled modules: a first round
is not counted, and tokenwire runs in an environment like that of its users. Imports measure
themselves: wall time, CPU time, and by how much the peak memory (Linux's VmHWM) rises above that of
the bare interpreter. The other times begin when the process is created. The time of a first answer
ends with its last event (from `benchmarks.origin`, which is already running), that of a command
with its process.
"""

import argparse
import compileall
import importlib.util
import json
import subprocess
import sys
import venv
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from shutil import copytree
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.decode import judge, python_of
from benchmarks.rounds import Contestant, Figure, Table, play

__all__ = ["run"]

MODULES = (
    "tokenwire",
    "tokenwire.transports.sync",
    "tokenwire.transports.asyncio",
    "httpx",
    "niquests",
    "aiohttp",
    "openai",
    "langchain_openai",
    "litellm",
)

PACKAGES = ("tokenwire", "msgspec", "h11", "click", "rich", "pygments", "markdown_it", "mdurl")

IMPORT = """
import sys, time
def peak():
    with open("/proc/self/status") as status:
        return int(next(line.split()[1] for line in status if line.startswith("VmHWM")))
before, cpu, wall = peak(), time.process_time(), time.perf_counter()
__import__(sys.argv[1])
wall, cpu = (time.perf_counter() - wall) * 1000, (time.process_time() - cpu) * 1000
print('{"wall_ms": %f, "cpu_ms": %f, "mib": %f}' % (wall, cpu, (peak() - before) / 1024))
"""

SPAWN = """
import json, subprocess, sys, time
start = time.monotonic_ns()
done = subprocess.run(sys.argv[1:], capture_output=True, check=True)
last = done.stdout.split()[-1:]
end = int(last[0]) if last and last[0].isdigit() else time.monotonic_ns()
print(json.dumps({"wall_ms": (end - start) / 1e6}))
"""
"""Runs a command. Its end is the time that it prints, or else its exit."""

NOW = """
import time
print(time.monotonic_ns())
"""

ASK_TOKENWIRE = """
import sys, tokenwire
assert tokenwire.ask("openai", "q", model="m", base_url=sys.argv[1]).text
"""

ASK_OPENAI = """
import sys, openai
client = openai.OpenAI(api_key="k", base_url=sys.argv[1])
question = [{"role": "user", "content": "q"}]
with client.chat.completions.create(model="m", messages=question, stream=True) as stream:
    assert "".join([chunk.choices[0].delta.content or "" for chunk in stream])
"""


def run(rounds: int, quick: bool) -> list[Table]:
    """The tables, and the goals."""
    rounds = min(rounds, 3) if quick else rounds
    with origin() as url, own_environment() as own:

        def python(module: str) -> str:
            library = module.partition(".")[0]
            return own if library == "tokenwire" else python_of(library)

        imports = fresh(
            [
                Contestant(module, [python(module), "-c", IMPORT, module])
                for module in MODULES
                if Path(python(module)).exists()
            ],
            rounds,
        )
        commands = {
            "a bare interpreter": [own, "-c", NOW],
            "tokenwire.ask": [own, "-c", ASK_TOKENWIRE + NOW, url],
            "openai SDK, sync": [python_of("openai"), "-c", ASK_OPENAI + NOW, url],
            "tokenwire providers": [own, "-m", "tokenwire", "providers"],
        }
        starts = fresh(
            [
                Contestant(name, [sys.executable, "-c", SPAWN, *command])
                for name, command in commands.items()
                if Path(command[0]).exists()
            ],
            rounds,
        )
    return [
        Table(
            "Import",
            ("wall ms", "CPU ms", "MiB over a bare interpreter"),
            {name: [one["wall_ms"], one["cpu_ms"], one["mib"]] for name, one in imports.items()},
        ),
        Table(
            "From the start of the process",
            ("wall ms",),
            {name: [one["wall_ms"]] for name, one in starts.items()},
            "Until the end of a first answer of 20 events, sync, from a local server without TLS; "
            "for the command, until its exit.",
        ),
        Table(
            "Goals of the start",
            ("goal", "measured", ""),
            {
                "import tokenwire, wall ms": goal(imports["tokenwire"]["wall_ms"], 40),
                "import tokenwire, MiB": goal(imports["tokenwire"]["mib"], 8),
                "first sync answer, wall ms": goal(starts["tokenwire.ask"]["wall_ms"], 60),
                "tokenwire providers, wall ms": goal(starts["tokenwire providers"]["wall_ms"], 250),
            },
        ),
    ]


def goal(figure: Figure, bound: float) -> list[object]:
    return judge(figure.median, bound, at_most=True)


@contextmanager
def own_environment() -> Generator[str]:
    """The Python of an environment that has `tokenwire[cli]`, compiled, and nothing else.

    In a developer's environment more would be measured: the imports by which an editable install
    finds its source, typing_extensions (msgspec imports it if it is installed), and compilation if
    PYTHONDONTWRITEBYTECODE is set.
    """
    with TemporaryDirectory() as directory:
        venv.create(directory, symlinks=True)
        [packages] = Path(directory).glob("lib/python*/site-packages")
        for name in PACKAGES:
            spec = importlib.util.find_spec(name)
            assert spec is not None
            [source] = spec.submodule_search_locations or []
            copytree(source, packages / name)
        compileall.compile_dir(packages, quiet=1)
        yield str(Path(directory, "bin", "python"))


def fresh(contestants: list[Contestant], rounds: int) -> dict[str, dict[str, Figure]]:
    """The figures of the contestants. A first round compiles modules and fills the file cache."""
    play(contestants, 1)
    return play(contestants, rounds)


@contextmanager
def origin() -> Generator[str]:
    """The URL of a server that answers at once, in its own process."""
    command = [sys.executable, "-m", "benchmarks.origin", "--dialect", "openai", "--events", "20"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        ports: dict[str, Any] = json.loads(server.stdout.readline())
        try:
            yield f"http://127.0.0.1:{ports['port']}/v1"
        finally:
            server.stdin.close()  # which ends it


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="three rounds")
    parser.add_argument("--rounds", type=int, default=15)
    args = parser.parse_args()
    for table in run(args.rounds, args.quick):
        print(table)


if __name__ == "__main__":
    main()
