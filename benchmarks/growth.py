"""Time is linear: CPU time over bodies whose size doubles, of each dialect, as a table and a plot.

    .venv/bin/python benchmarks/growth.py [--largest 16] [--rounds 3]

Three bodies of 256 KiB to 16 MiB each: one event in pieces of 64 bytes, one in pieces of 1,400
(what a TCP segment carries), and events of 250 bytes in pieces of 1,400. Where time is linear, a
MiB costs the same in all sizes. Times are the process's own CPU time, the best of the rounds. The
plot goes to benchmarks/growth.svg; it needs matplotlib.
"""

import argparse
import gc
import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

from tokenwire import PROVIDERS, Limits, Text, as_chat

KIB = 1024
MIB = 1024 * KIB
FORMS: dict[str, tuple[bytes, bytes]] = {
    "openai": (b'data: {"choices":[{"index":0,"delta":{"content":"', b'"}}]}\n\n'),
    "darkai": (b'data: {"event":"text-chunk","data":{"text":"', b'"}}\n\n'),
    "aichats": (b"data: ", b"\n"),
    "aichatonline": (b'{"code":200,"data":{"message":"', b'"}}\n'),
}


def event(name: str, size: int) -> bytes:
    """An event of `size` bytes."""
    before, behind = FORMS[name]
    return before + b"x" * (size - len(before) - len(behind)) + behind


BODIES: dict[str, tuple[int, Callable[[str, int], bytes]]] = {
    "one event, pieces of 64 bytes": (64, event),
    "one event, pieces of 1,400 bytes": (1400, event),
    "events of 250 bytes, pieces of 1,400": (
        1400,
        lambda name, size: event(name, 250) * (size // 250),
    ),
}


def seconds(name: str, pieces: list[bytes]) -> float:
    """The CPU time that it takes to decode `pieces`."""
    limits = Limits(event=64 * MIB)
    exchange = PROVIDERS[name].exchange(
        as_chat("q", model=PROVIDERS[name].default_model or "m"), random=Random(1), limits=limits
    )
    exchange.next_request()
    if name == "aichatonline":  # its first request is for a token
        exchange.receive_response(200, [(b"content-type", b"application/json")])
        exchange.receive_data(b'{"data": "token-123"}')
        exchange.receive_eof(framed=True)
        exchange.next_request()
    exchange.receive_response(200, [(b"content-type", b"text/event-stream")])
    length = 0
    gc.collect()
    start = time.process_time()
    for piece in pieces:
        for said in exchange.receive_data(piece):
            if type(said) is Text:
                length += len(said.text)
    spent = time.process_time() - start
    if not exchange.wants_data or length < sum(map(len, pieces)) // 2:
        raise SystemExit(f"{name} decoded {length} characters only")
    return spent


def measure(largest: int, rounds: int) -> dict[str, dict[str, list[tuple[int, float]]]]:
    """For each body and dialect, sizes in bytes and the best seconds."""
    sizes = [size for size in (256 * KIB << n for n in range(20)) if size <= largest]
    found: dict[str, dict[str, list[tuple[int, float]]]] = {}
    for what, (cut, make) in BODIES.items():
        print(f"\n{what}: ms of CPU time a MiB\n{'':14}", end="")
        print("".join(f"{size / MIB:7g} MiB" for size in sizes))
        for name in FORMS:
            points: list[tuple[int, float]] = []
            for size in sizes:
                body = make(name, size)
                pieces = [body[i : i + cut] for i in range(0, len(body), cut)]
                points.append((len(body), min(seconds(name, pieces) for _ in range(rounds))))
            found.setdefault(what, {})[name] = points
            costs = [spent * 1000 / (size / MIB) for size, spent in points]
            print(f"{name:14}" + "".join(f"{cost:11.2f}" for cost in costs))
    return found


def plot(found: dict[str, dict[str, list[tuple[int, float]]]], file: Path) -> None:
    """Draw seconds over sizes, both by their logarithms: a line at 45 degrees is linear."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    mpl.rcParams["svg.hashsalt"] = "tokenwire"  # the same figures, the same file
    figure: Any = Figure(figsize=(12, 4), layout="constrained")
    for number, (what, lines) in enumerate(found.items()):
        axes = figure.add_subplot(1, len(found), number + 1)
        for name, points in lines.items():
            axes.loglog(
                [size / MIB for size, _ in points],
                [spent * 1000 for _, spent in points],
                marker="o",
                label=name,
                base=2,
            )
        first, spent = lines["openai"][0]
        last = lines["openai"][-1][0]
        axes.loglog(
            [first / MIB, last / MIB],
            [spent * 1000, spent * 1000 * last / first],
            linestyle="--",
            color="grey",
            label="linear",
            base=2,
        )
        axes.set_title(what, fontsize="medium")
        axes.set_xlabel("MiB")
        axes.set_ylabel("ms of CPU time")
        axes.legend(fontsize="small")
    figure.savefig(file, metadata={"Date": None})


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--largest", type=int, default=16, help="MiB of the largest body")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    found = measure(arguments.largest * MIB, arguments.rounds)
    file = Path(__file__).with_name("growth.svg")
    plot(found, file)
    print(f"\nplot: {file}")


if __name__ == "__main__":
    main()
