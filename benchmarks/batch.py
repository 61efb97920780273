"""Batches: CPU time a row, from a list of questions to a file of answers, beside peers, as tables.

    python -m benchmarks.batch [--quick] [--rounds 5] [--at-once 64 512] [--only ...]
    python -m benchmarks.batch --large 10

A server of its own (`origin`) answers each row at once, with the same text for all: as a stream,
or to those who ask for it as one document, as most peers do in a batch. Each contestant runs in its
own process, in a different order in each round, and asks a few rows before it is measured. All but
LangChain and litellm, which return lists, write a line of JSON for each row into a file, and each
text is checked. tokenwire asks for streams, and keeps the journal from which it would go on.

Another table has answers that a server paces, 256 at once, beside tokenwire's own client without a
batch. `--large` asks so many gigabytes of questions, which a generator makes, and tells the memory
that it took.
"""

import argparse
import asyncio
import gc
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from math import nan
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple, TypeAlias

from .origin import lift_file_limit
from .rounds import Contestant, Figure, Table, play
from .streams import STREAMS

__all__ = ["CONTESTANTS", "run"]

ROOT = Path(__file__).parent.parent
US = "tokenwire batch"
SDK = "openai async"
CLIENT = "tokenwire clients"
ROWS = 2000
WARM_UP = 100
EVENTS = 20
"""Pieces of an answer."""
PACED = 256
"""How many paced answers at once."""
INTERVAL = 20_000
"""Microseconds between two pieces of a paced answer."""
MEGABYTE = 1_000_000
"""Characters of a question of a large input."""
LARGE = 16
"""How many of those at once."""

Run: TypeAlias = Callable[[list[str], str, int, Path], list[str]]
"""Asks questions at a base URL, so many at once, and writes a file. Returns the texts."""


def tokenwire(questions: list[str], base: str, at_once: int, path: Path) -> list[str]:
    """`batch.run_sync` with a journal."""
    from tokenwire.batch import run_sync

    rows = (
        {"custom_id": str(n), "body": {"messages": [{"role": "user", "content": prompt}]}}
        for n, prompt in enumerate(questions)
    )
    how: dict[str, Any] = {
        "provider": "openai",
        "model": "m",
        "key": "k",
        "base_url": f"{base}/v1",
        "concurrency": at_once,
        "journal": str(path),
        "client": {"trust_env": False},
    }
    return [outcome.text for outcome in run_sync(rows, **how)]


def plain_clients(questions: list[str], base: str, at_once: int, path: Path) -> list[str]:
    """tokenwire's client in as many tasks, without a batch around it or a file behind it."""
    from tokenwire import ask_async
    from tokenwire.transports.asyncio import Client

    async def ask_all() -> list[str]:
        left = iter(enumerate(questions))
        texts = [""] * len(questions)
        async with Client(trust_env=False) as client:
            how: dict[str, Any] = {"model": "m", "key": "k", "base_url": f"{base}/v1"}

            async def work() -> None:
                for number, prompt in left:
                    texts[number] = (await ask_async("openai", prompt, client=client, **how)).text

            await asyncio.gather(*(work() for _ in range(at_once)))
        return texts

    return asyncio.run(ask_all())


def _asked_by_the_sdk(
    questions: list[str], base: str, at_once: int, path: Path, http_client: str, stream: bool
) -> list[str]:
    """As openai-cookbook's script does it, with the SDK instead of aiohttp: a task for each row,
    a semaphore, and a line of JSON appended for each answer."""
    openai, httpx = import_module("openai"), import_module("httpx2")
    make = getattr(httpx, http_client, None) or getattr(openai, http_client)

    async def ask_all() -> list[str]:
        limits = httpx.Limits(max_connections=at_once, max_keepalive_connections=at_once)
        async with make(limits=limits, timeout=60, trust_env=False) as http:
            client = openai.AsyncOpenAI(api_key="k", base_url=base, http_client=http)
            gate = asyncio.Semaphore(at_once)

            async def ask(number: int, prompt: str) -> str:
                messages = [{"role": "user", "content": prompt}]
                async with gate:
                    said = await client.chat.completions.create(
                        model="m", messages=messages, stream=stream
                    )
                    if stream:
                        text = ""
                        async for chunk in said:
                            text += chunk.choices[0].delta.content or ""
                        answer = {"content": text}
                    else:
                        answer = said.model_dump()
                        text = said.choices[0].message.content
                file.write(json.dumps([number, messages, answer]) + "\n")
                return text

            with path.open("w") as file:
                return await asyncio.gather(*(ask(n, text) for n, text in enumerate(questions)))

    return asyncio.run(ask_all())


def openai_async(
    questions: list[str],
    base: str,
    at_once: int,
    path: Path,
    *,
    http_client: str = "AsyncClient",
    stream: bool = False,
) -> list[str]:
    """`AsyncOpenAI`, each answer as one document, or streamed."""
    address = f"{base}/v1" if stream else f"{base}/whole/v1"
    return _asked_by_the_sdk(questions, address, at_once, path, http_client, stream)


def langchain(questions: list[str], base: str, at_once: int, path: Path) -> list[str]:
    """`ChatOpenAI.abatch` with `max_concurrency`."""
    ChatOpenAI = import_module("langchain_openai").ChatOpenAI
    httpx = import_module("httpx2")

    async def ask_all() -> list[str]:
        limits = httpx.Limits(max_connections=at_once, max_keepalive_connections=at_once)
        async with httpx.AsyncClient(limits=limits, timeout=60, trust_env=False) as http:
            how = {"base_url": f"{base}/whole/v1", "api_key": "k", "http_async_client": http}
            chat = ChatOpenAI(model="m", **how)
            answers = await chat.abatch(questions, config={"max_concurrency": at_once})
            return [str(answer.content) for answer in answers]

    return asyncio.run(ask_all())


def litellm(questions: list[str], base: str, at_once: int, path: Path) -> list[str]:
    """`batch_completion` with as many threads."""
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # otherwise it fetches one
    answers = import_module("litellm").batch_completion(
        model="openai/m",
        messages=[[{"role": "user", "content": text}] for text in questions],
        api_key="k",
        api_base=f"{base}/whole/v1",
        max_workers=at_once,
    )
    return [str(answer.choices[0].message.content) for answer in answers]


def openai_aiohttp(questions: list[str], base: str, at_once: int, path: Path) -> list[str]:
    """The SDK over its `DefaultAioHttpClient`."""
    name = "DefaultAioHttpClient"
    return openai_async(questions, base, at_once, path, http_client=name)


def openai_streamed(questions: list[str], base: str, at_once: int, path: Path) -> list[str]:
    """The SDK with `stream=True`, as tokenwire asks."""
    return openai_async(questions, base, at_once, path, stream=True)


class Peer(NamedTuple):
    """A contestant, and the environment with what it needs."""

    run: Run
    venv: str = "bench"


CONTESTANTS: dict[str, Peer] = {
    US: Peer(tokenwire),
    SDK: Peer(openai_async),
    "openai async, aiohttp": Peer(openai_aiohttp),
    "openai async, streamed": Peer(openai_streamed),
    "langchain-openai abatch": Peer(langchain),
    "litellm batch_completion": Peer(litellm, "litellm"),
}
PACERS = {US: tokenwire, CLIENT: plain_clients}


# The process that measures one.


def measure(name: str, port: int, rows: int, at_once: int) -> dict[str, float]:
    """The figures of one contestant."""
    lift_file_limit()
    ask, base = PACERS.get(name) or CONTESTANTS[name].run, f"http://127.0.0.1:{port}"
    expected = STREAMS["openai"](EVENTS).text
    with TemporaryDirectory() as folder:
        ask([f"warm {n}" for n in range(WARM_UP)], base, at_once, Path(folder, "warm"))
        gc.collect()
        cpu, begun = time.process_time(), time.perf_counter()
        texts = ask([f"question {n}" for n in range(rows)], base, at_once, Path(folder, "file"))
        wall, cpu = time.perf_counter() - begun, time.process_time() - cpu
    if texts != [expected] * rows:
        raise SystemExit(f"{name}: {len(texts)} texts, the first one is {texts[:1]}")
    return {
        "cpu_us": cpu / rows * 1e6,
        "rows_s": rows / wall,
        "cores": cpu / wall,
        "mib": _most_memory(),
    }


def measure_large(port: int, gigabytes: float) -> dict[str, float]:
    """What a batch takes of memory whose questions are this large, all together."""
    from tokenwire.batch import run_sync

    lift_file_limit()
    rows = int(gigabytes * 1e9 / MEGABYTE)
    filling = "word " * (MEGABYTE // 5)
    questions = (
        {"custom_id": str(n), "body": {"messages": [{"role": "user", "content": f"{n} {filling}"}]}}
        for n in range(rows)
    )
    begun, done, early = time.perf_counter(), 0, 0.0
    with TemporaryDirectory() as folder:
        for outcome in run_sync(
            questions,
            provider="openai",
            model="m",
            key="k",
            base_url=f"http://127.0.0.1:{port}/v1",
            concurrency=LARGE,
            journal=str(Path(folder, "file")),
            client={"trust_env": False},
        ):
            done += outcome.kind == "complete"
            if done == rows // 10:
                early = _most_memory()
    if done != rows:
        raise SystemExit(f"{done} of {rows} rows are complete")
    return {
        "rows": rows,
        "early_mib": early,
        "mib": _most_memory(),
        "rows_s": rows / (time.perf_counter() - begun),
    }


def _most_memory() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


# The tables.


@contextmanager
def origin(interval: int = 0) -> Generator[int]:
    """The server, which paces its answers by so many microseconds; its port."""
    command = [sys.executable, "-m", "benchmarks.origin", "--events", str(EVENTS)]
    command += ["--interval", str(interval), "--groups", "50"] if interval else []
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout is not None
        yield json.loads(server.stdout.readline())["port"]


def interpreter(name: str) -> Path | None:
    """The Python that can import what the contestant needs."""
    python = ROOT / ".peers" / CONTESTANTS[name].venv / "bin" / "python"
    return python if python.exists() else None


def play_all(
    at_once: int, names: Sequence[str], rows: int, rounds: int
) -> dict[str, dict[str, Figure]]:
    """The figures of all, with so many rows at once."""
    with origin() as port:
        options = ["--port", str(port), "--rows", str(rows), "--at-once", str(at_once)]
        return play(
            [
                Contestant(
                    name, [str(python), "-m", "benchmarks.batch", "--measure", name, *options]
                )
                for name in names
                if (python := interpreter(name)) is not None
            ],
            rounds,
        )


def play_paced(rows: int, rounds: int) -> dict[str, dict[str, Figure]]:
    """The figures of a batch and of plain clients with answers that take their time."""
    with origin(INTERVAL) as port:
        options = ["--port", str(port), "--rows", str(rows), "--at-once", str(PACED)]
        command = [sys.executable, "-m", "benchmarks.batch", "--measure"]
        return play([Contestant(name, [*command, name, *options]) for name in PACERS], rounds)


def paced_table(rows: int, results: dict[str, dict[str, Figure]]) -> Table:
    cells: dict[str, list[object]] = {
        name: [
            figures["rows_s"],
            _ratio(results, name, "rows_s"),
            figures["cores"],
            figures["cpu_us"],
            figures["mib"].median,
        ]
        for name, figures in results.items()
    }
    columns = ["rows a second", f"/ {US}", "cores", "CPU µs a row", "MiB at most"]
    title = f"{rows:,} paced rows, {PACED} at once"
    note = f"An answer is {EVENTS} pieces, one every {INTERVAL / 1000:.0f} ms."
    return Table(title, columns, cells, note)


def large_table(gigabytes: float, found: dict[str, float]) -> Table:
    columns = ["rows", "MiB at most, first tenth", "MiB at most", "rows a second"]
    cells = [found["rows"], found["early_mib"], found["mib"], found["rows_s"]]
    note = f"Questions of {MEGABYTE / 1e6:.0f} MB, made by a generator, {LARGE} at once."
    return Table(f"An input of {gigabytes:g} GB", columns, {US: cells}, note)


def table(at_once: int, rows: int, results: dict[str, dict[str, Figure]]) -> Table:
    cells = {
        name: [
            figures["cpu_us"],
            _ratio(results, name, "cpu_us"),
            figures["rows_s"],
            _ratio(results, name, "rows_s"),
            figures["mib"].median,
        ]
        for name, figures in sorted(results.items(), key=lambda found: found[1]["cpu_us"].median)
    }
    columns = ["CPU µs a row", f"/ {US}", "rows a second", f"/ {US}", "MiB at most"]
    title = f"{rows:,} rows, {at_once} at once"
    note = (
        f"An answer is {EVENTS} pieces in a stream, or one document. The server takes its share of "
        "the machine, so rows a second say less than the CPU time."
    )
    return Table(title, columns, cells, note)


def _ratio(results: dict[str, dict[str, Figure]], name: str, figure: str) -> float:
    return results[name][figure].median / results[US][figure].median if US in results else nan


def goals(
    results: dict[int, dict[str, dict[str, Figure]]], paced: dict[str, dict[str, Figure]]
) -> Table:
    cells: dict[str, list[object]] = {}
    for at_once, found in results.items():
        if SDK in found and US in found:
            ratio = _ratio(found, SDK, "cpu_us")
            text = f"{at_once} at once, CPU a row: {SDK} / {US}"
            cells[text] = ["at least 5", ratio, _met(ratio >= 5)]
        if US in found:
            fast = found[US]["rows_s"].median
            cells[f"{at_once} at once, rows a second"] = [
                "at least 1,000",
                fast,
                _met(fast >= 1000),
            ]
    if paced:
        cores, share = paced[US]["cores"].median, 1 / _ratio(paced, CLIENT, "rows_s")
        cells[f"{PACED} paced, cores"] = ["under 1", cores, _met(cores < 1)]
        text = f"{PACED} paced, rows a second: {US} / {CLIENT}"
        cells[text] = ["at least 0.9", share, _met(share >= 0.9)]
    return Table("Goals of batch", ["goal", "measured", ""], cells)


def _met(met: bool) -> str:
    return "met" if met else "missed"


def run(
    rounds: int = 5,
    *,
    quick: bool = False,
    at_once: Sequence[int] = (64, 512),
    only: Sequence[str] = (),
) -> Iterator[Table]:
    """The tables, each as soon as it is done."""
    results: dict[int, dict[str, dict[str, Figure]]] = {}
    rows = ROWS // 4 if quick else ROWS
    for number in at_once:
        names = [name for name in CONTESTANTS if not only or name in only]
        results[number] = play_all(number, names, rows, rounds)
        yield table(number, rows, results[number])
    paced: dict[str, dict[str, Figure]] = {}
    if not only:
        paced = play_paced(2 * rows, rounds)
        yield paced_table(2 * rows, paced)
    if (judged := goals(results, paced)).rows:
        yield judged


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="fewer rows, two rounds")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--at-once", nargs="+", type=int, default=[64, 512])
    parser.add_argument("--only", nargs="+", choices=CONTESTANTS, default=[])
    parser.add_argument("--large", type=float, metavar="GB", help="only questions of so many GB")
    parser.add_argument("--measure", choices=[*CONTESTANTS, CLIENT], help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--rows", type=int, default=ROWS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        (at_once,) = arguments.at_once
        found = measure(arguments.measure, arguments.port, arguments.rows, at_once)
        print(json.dumps(found))
        return
    if arguments.large:
        with origin() as port:
            print(large_table(arguments.large, measure_large(port, arguments.large)))
        return
    if interpreter(US) is None:
        raise SystemExit("the peers are not installed: make .peers/ready")
    rounds = arguments.rounds or (2 if arguments.quick else 5)
    chosen = {"at_once": arguments.at_once, "only": arguments.only}
    for one in run(rounds, quick=arguments.quick, **chosen):
        print(one, flush=True)


if __name__ == "__main__":
    main()
