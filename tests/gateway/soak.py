"""Measures a gateway that runs in a process of its own, and soaks it.

python -m tests.gateway.soak [MEASURE ...] [--seconds N] [--callers N]

leave   how soon the upstream's connection is closed when the caller has gone, in each state
flood   what 96 MiB take that a caller asks for and does not read
event   what one event of 8 MiB takes
idle    what a stream takes on which nothing happens
start   how long from the start of the command until it is ready
mix     callers of all formats ask services of all formats, a tenth of which fail: no answer may be
        lost or another's, the counters must add up, and memory must stay flat

Each prints what it has measured, and fails if that is more than it should be. Linux only (/proc),
and only on 127.0.0.1.
"""

import argparse
import asyncio
import os
import re
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from random import Random
from urllib.request import urlopen

from tests.driving import Response, drive
from tests.gateway.driving import FRONTS, exchange_of, for_backs
from tests.gateway.running import chat, request_of
from tokenwire.server import serve
from tokenwire.server.faults import CloseAfter, EndAfter, ErrorObject, Fault, RefuseWith, ResetAfter

MIB = 1 << 20
EVENT = b'data: {"choices":[{"index":0,"delta":{"content":"%b"}}]}\n\n'
ROLE = b'data: {"choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}\n\n'
LAST = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"

SOON = 0.1
"""Seconds in which an upstream must be left."""
MEMORY = 4.0
"""MiB that a caller which does not read may cost."""
TAKEN = 16.0
"""MiB that may be taken from its upstream."""
IDLE = 40.0
"""KiB that an idle stream may take."""
READY = 0.5
"""Seconds until a gateway must be ready, on an idle machine."""
FLAT = 1.05
"""How much of the memory after the first fifth of a soak may be in use at its end."""

COUNT = re.compile(r'^tokenwire_calls_total\{.*?outcome="(\w+)"\} (\S+)$', re.MULTILINE)

Play = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


class Gateway:
    """A gateway in another process."""

    def __init__(self, process: asyncio.subprocess.Process, url: str, admin: str) -> None:
        self.pid = process.pid
        self.url = url
        self.admin = admin

    @property
    def memory(self) -> float:
        """MiB that it has in use."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        (found,) = re.findall(r"^RssAnon:\s+(\d+) kB$", status, re.MULTILINE)
        return int(found) / 1024

    @property
    def seconds(self) -> float:
        """Of a processor that it has used."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(") ")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        host, _, port = self.url.removeprefix("http://").rpartition(":")
        return await asyncio.open_connection(host, int(port), limit=64 * 1024)

    async def asked(
        self, model: str, *, stream: bool = True
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection on which a question was sent."""
        reader, writer = await self.connect()
        body = chat(model, stream)
        writer.write(request_of(self.url, "POST", "/v1/chat/completions", body))
        return reader, writer

    async def whole(self, model: str, *, stream: bool = True) -> bytes:
        reader, writer = await self.asked(model, stream=stream)
        try:
            return await reader.read()
        finally:
            writer.close()

    def metrics(self) -> str:
        with urlopen(f"{self.admin}/metrics", timeout=60) as response:
            return str(response.read().decode())


@asynccontextmanager
async def gateway(text: str) -> AsyncGenerator[Gateway]:
    command = Path(sys.executable).parent / "tokenwire"
    with tempfile.TemporaryDirectory() as folder, Path(folder, "log").open("w") as log:
        file = Path(folder, "gateway.toml")
        file.write_text('listen = "127.0.0.1:0"\nadmin = "127.0.0.1:0"\ndrain_delay = 0\n' + text)
        process = await asyncio.create_subprocess_exec(
            *(command, "gateway", file),
            stdout=asyncio.subprocess.PIPE,
            stderr=log,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
        try:
            assert process.stdout is not None
            said = ""
            while "for operators" not in said:
                line = await process.stdout.readline()
                assert line, "the gateway did not start"
                said += line.decode()
            url, admin = re.findall(r"http://[^/\s]+", said)
            while not await _is_ready(admin):
                await asyncio.sleep(0.005)
            yield Gateway(process, url, admin)
        finally:
            process.send_signal(signal.SIGINT)
            await process.wait()


async def _is_ready(admin: str) -> bool:
    def ask() -> bool:
        try:
            with urlopen(f"{admin}/readyz", timeout=60) as response:
                return bool(response.status == 200)
        except OSError:
            return False

    return await asyncio.to_thread(ask)


@asynccontextmanager
async def upstream(play: Play) -> AsyncGenerator[str]:
    """A server that plays `play` on each connection, after the head of a request; its address."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await play(reader, writer)
        except ConnectionError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def heard(reader: asyncio.StreamReader) -> None:
    """Hear a request."""
    head = await reader.readuntil(b"\r\n\r\n")
    (size,) = re.findall(rb"content-length: (\d+)", head)
    await reader.readexactly(int(size))


def lanes(address: str, *, scheme: str = "http") -> str:
    """A model for each lane, in front of one service of chat completions."""
    service = f'dialect = "openai_chat"\nbase_url = "{scheme}://{address}/v1"\n'
    lines = [f"[providers.a]\n{service}"]
    for name, lane in (("relay", "auto"), ("translate", "translate")):
        target = f'{{ provider = "a", model = "m", lane = "{lane}" }}'
        lines.append(f'[[models]]\nname = "{name}"\ntargets = [{target}]\n')
    return "".join(lines)


# What is measured

STATES = {
    "connected, TLS not": None,
    "asked": b"",
    "head": HEAD,
    "held back": HEAD + chunk(ROLE),
    "in the stream": HEAD + chunk(EVENT % b"Hi"),
}


async def leave(options: argparse.Namespace) -> None:
    del options
    for state, said in STATES.items():
        reached: asyncio.Queue[None] = asyncio.Queue()
        closed: asyncio.Queue[float] = asyncio.Queue()

        async def play(
            reader: asyncio.StreamReader,
            writer: asyncio.StreamWriter,
            said: bytes | None = said,
            reached: asyncio.Queue[None] = reached,
            closed: asyncio.Queue[float] = closed,
        ) -> None:
            if said is None:
                await reader.read(100)
            else:
                await heard(reader)
                writer.write(said)
            reached.put_nowait(None)
            try:
                while await reader.read(65536):
                    pass
            except ConnectionError:
                pass
            closed.put_nowait(time.perf_counter())

        took: list[float] = []
        async with upstream(play) as address:
            scheme = "https" if said is None else "http"
            async with gateway(lanes(address, scheme=scheme)) as process:
                for model in ("relay", "translate") * 5:
                    for stream in (True, False):
                        _, writer = await process.asked(model, stream=stream)
                        await reached.get()
                        await asyncio.sleep(0.01)  # for what it said to arrive
                        left = time.perf_counter()
                        writer.close()
                        took.append(await closed.get() - left)
        report(f"{state}: left after {ms(took)}", max(took) < SOON)


async def flood(options: argparse.Namespace) -> None:
    del options
    piece = chunk(EVENT % (b"x" * 8000)) * 16
    for lane in ("relay", "translate"):
        sent = 0

        async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal sent
            await heard(reader)
            writer.write(HEAD)
            while sent < 96 * MIB:
                writer.write(piece)
                await writer.drain()
                sent += len(piece)
            writer.write(chunk(LAST) + b"0\r\n\r\n")
            await writer.drain()

        async with upstream(play) as address, gateway(lanes(address)) as process:
            sent = 95 * MIB
            await process.whole(lane)  # so that all is loaded, and has been used
            sent, before = 0, process.memory
            reader, writer = await process.asked(lane)
            pause(writer)
            most = 0.0
            for _ in range(60):
                await asyncio.sleep(0.1)
                most = max(most, process.memory - before)
            taken = sent / MIB
            writer.transport.resume_reading()  # type: ignore[attr-defined]  # pyright: ignore
            body = await reader.read()
            writer.close()
            right = most <= MEMORY and taken < TAKEN
            report(f"{lane}: +{most:.1f} MiB, {taken:.1f} MiB taken", right)
            report(f"{lane}: then all of it arrives", body.endswith(b"0\r\n\r\n"))


def pause(writer: asyncio.StreamWriter) -> None:
    """Read no more."""
    writer.transport.pause_reading()  # type: ignore[attr-defined]  # pyright: ignore


async def event(options: argparse.Namespace) -> None:
    del options
    size = 8 * MIB
    for lane in ("relay", "translate"):

        async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await heard(reader)
            writer.write(HEAD + chunk(EVENT % (b"x" * size)) + chunk(LAST) + b"0\r\n\r\n")
            await writer.drain()

        async with upstream(play) as address, gateway(lanes(address)) as process:
            before, most = process.memory, 0.0
            task = asyncio.ensure_future(process.whole(lane))
            while not task.done():
                most = max(most, process.memory - before)
                await asyncio.sleep(0.002)
            body = await task
            right = body.count(b"x" * size) == 1 and body.endswith(b"0\r\n\r\n")
            few = most <= 3 * 8 + MEMORY
            report(f"{lane}: an event of 8 MiB takes {most:.1f} MiB", right and few)


async def idle(options: argparse.Namespace) -> None:
    del options
    count = 1000

    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await heard(reader)
        writer.write(HEAD + chunk(EVENT % b"Hi"))
        await reader.read()

    for lane in ("relay", "translate"):
        async with upstream(play) as address, gateway(lanes(address)) as process:
            streams = [await process.asked(lane) for _ in range(20)]
            for reader, _ in streams:
                await reader.readuntil(b"Hi")
            before = process.memory
            more = [await process.asked(lane) for _ in range(count - 20)]
            for reader, _ in more:
                await reader.readuntil(b"Hi")
            each = (process.memory - before) * 1024 / len(more)
            for _, writer in streams + more:
                writer.close()
            report(f"{lane}: {each:.1f} KiB for each of {count} idle streams", each <= IDLE)


async def start(options: argparse.Namespace) -> None:
    del options
    took: list[float] = []
    spent: list[float] = []
    memory = 0.0
    for _ in range(5):
        began = time.perf_counter()
        async with gateway(lanes("127.0.0.1:1")) as process:
            took.append(time.perf_counter() - began)
            spent.append(process.seconds)
            memory = process.memory
    print(f"ready after {ms(took)}, {ms(spent)} of them of the processor")
    report(f"{memory:.0f} MiB at rest", min(spent) < READY)


FAULTS: tuple[Callable[[Random], Fault], ...] = (
    lambda random: CloseAfter(random.randrange(1500)),
    lambda random: EndAfter(random.randrange(1500)),
    lambda random: ResetAfter(random.randrange(1500)),
    lambda random: RefuseWith(random.choice((400, 429, 500, 503))),
    lambda random: ErrorObject(),
)


async def mix(options: argparse.Namespace) -> None:
    random = Random(1)

    def fault() -> Fault | None:
        return random.choice(FAULTS)(random) if random.random() < 0.1 else None

    outcomes: Counter[str] = Counter()
    wrong: list[str] = []
    memory: list[float] = []
    asked = 0

    async def caller(number: int, process: Gateway, until: float) -> None:
        nonlocal asked
        mine = Random(number)
        while time.monotonic() < until:
            front, back = mine.choice(FRONTS), mine.choice(FRONTS)
            question = f"question {mine.getrandbits(64):x}"
            exchange = exchange_of(front, back, question, stream=mine.random() < 0.8, max_tokens=99)
            request = exchange.next_request()
            assert request is not None
            path = request.url.removeprefix("http://gateway")
            reader, writer = await process.connect()
            head = "".join(
                f"{name.decode()}: {value.decode()}\r\n"
                for name, value in request.headers
                if name not in (b"host", b"content-length")
            )
            writer.write(
                f"{request.method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n"
                f"content-length: {len(request.body)}\r\n{head}\r\n".encode()
                + request.body
            )
            asked += 1
            if mine.random() < 0.05:
                await asyncio.sleep(mine.random() / 10)
                writer.close()
                outcomes["left"] += 1
                continue
            try:
                data = await reader.read()
            except ConnectionResetError:
                data = b""
            writer.close()
            outcome = drive(exchange.fresh(), parsed(data)) if data else None
            if outcome is None or outcome.error is not None:
                outcomes["error"] += 1
                text = outcome.reply.text if outcome else ""
            else:
                outcomes["complete"] += 1
                text = outcome.reply.text
                if not text.endswith(question):
                    wrong.append(f"{front} over {back}: {text[:80]!r} for {question!r}")
            if not f"{back} m was asked: {question}".startswith(text.strip()) and text:
                wrong.append(f"{front} over {back}: {text[:80]!r} for {question!r}")

    async with AsyncExitStack() as stack:
        urls: dict[str, str] = {}
        for name in FRONTS:
            faults = [fault() for _ in range(100_000)]
            server = await stack.enter_async_context(serve(name, faults=faults))
            urls[name.replace("-", "_")] = server.url
        process = await stack.enter_async_context(gateway(for_backs(**urls)))
        until = time.monotonic() + options.seconds

        async def watch() -> None:
            while True:
                await asyncio.sleep(options.seconds / 50)
                memory.append(process.memory)

        watching = asyncio.ensure_future(watch())
        await asyncio.gather(*(caller(n, process, until) for n in range(options.callers)))
        watching.cancel()
        while "tokenwire_calls_in_flight 0.0" not in process.metrics():
            await asyncio.sleep(0.1)
        counts = COUNT.findall(process.metrics())
    total = Counter[str]()
    for outcome, count in counts:
        total[outcome] += int(float(count))
    print(dict(outcomes), dict(total))
    for line in wrong[:10]:
        print(line)
    report(f"{asked} calls: {len(wrong)} answers were another's or not whole", not wrong)
    report(f"the counters say {sum(total.values())}", sum(total.values()) == asked)
    fifth = len(memory) // 5
    early, late = max(memory[fifth : 2 * fifth]), max(memory[-fifth:])
    report(f"memory: {early:.1f} MiB early, {late:.1f} late", late <= early * FLAT)


def parsed(data: bytes) -> Response:
    """The response to one request, as the server ended it."""
    head, _, body = data.partition(b"\r\n\r\n")
    first, *lines = head.split(b"\r\n")
    parts = (line.partition(b":") for line in lines)
    pairs = [(name.lower(), value.strip()) for name, _, value in parts]
    headers = dict(pairs)
    whole = True
    if headers.get(b"transfer-encoding") == b"chunked":
        pieces: list[bytes] = []
        while True:
            size, line, rest = body.partition(b"\r\n")
            count = int(size or b"0", 16) if line else 0
            if not count:
                whole = bool(line)
                break
            pieces.append(rest[:count])
            body = rest[count + 2 :]
        body = b"".join(pieces)
    kept = [pair for pair in pairs if pair[0] not in (b"transfer-encoding", b"content-length")]
    return Response(body, int(first.split()[1]), kept, "eof" if whole else "disconnect")


def ms(seconds: list[float]) -> str:
    ordered = sorted(seconds)
    middle, most = ordered[len(ordered) // 2] * 1000, ordered[-1] * 1000
    return f"{middle:.1f} ms (median), {most:.1f} ms (most)"


failed = False


def report(text: str, right: bool) -> None:
    global failed
    failed = failed or not right
    print(f"{'' if right else 'TOO MUCH: '}{text}", flush=True)


MEASURES: dict[str, Callable[[argparse.Namespace], Awaitable[None]]] = {
    each.__name__: each for each in (leave, flood, event, idle, start, mix)
}


async def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("measures", nargs="*", metavar="MEASURE", help=", ".join(MEASURES))
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--callers", type=int, default=200)
    options = parser.parse_args()
    for name in options.measures or MEASURES:
        print(f"# {name}", flush=True)
        await MEASURES[name](options)
    sys.exit(failed)


if __name__ == "__main__":
    asyncio.run(main())
