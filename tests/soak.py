"""Soak: a thousand streams at once, round after round, on each event loop, plain and over TLS.

python -m tests.soak [--streams N] [--seconds N] [--rounds N] [--loops ...] [--layers plain tls]

The embedded servers run in a process of their own, each setting in a fresh one. A tenth of the
streams gets a fault, some are left early, a third of the readers is slow, and a few answers are
larger than all buffers. Each answer is checked against its own question, which no other stream
has; a fault must give its own error behind what had come. In each round all streams are held open
at once, to see what one takes. Between rounds memory must stay flat, and in the end no socket, task
or thread may be left. Linux only (/proc), and only on 127.0.0.1.
"""

import argparse
import asyncio
import gc
import multiprocessing
import os
import resource
import ssl
import sys
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Generator, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import cycle
from multiprocessing.connection import Connection
from random import Random
from typing import Any

import anyio
import trio

from tests import certificates
from tests.driving import Outcome, Response, drive
from tests.subjects import SUBJECTS
from tokenwire import (
    Chat,
    Clocks,
    Disconnected,
    Event,
    Exchange,
    Malformed,
    Overloaded,
    Provider,
    RateLimited,
    Refused,
    Reply,
    Retry,
    Service,
    Text,
    TimedOut,
    TokenwireError,
    Truncated,
    UnexpectedContent,
    as_chat,
)
from tokenwire.protocols.echo import echo
from tokenwire.server.embedded import Server, serve
from tokenwire.server.faults import (
    BreakEvent,
    CloseAfter,
    CloseIdle,
    Cutting,
    DropTerminator,
    EndAfter,
    ErrorObject,
    Faults,
    Gzip,
    HtmlPage,
    KeepAlives,
    Linger,
    RefuseWith,
    ResetAfter,
    StallAfter,
    Unframed,
)
from tokenwire.testing import Subject
from tokenwire.transports import anyio as anyio_transport
from tokenwire.transports import asyncio as asyncio_transport
from tokenwire.transports import trio as trio_transport
from tokenwire.transports.client.clients import AsyncClient

SPAWN = multiprocessing.get_context("spawn")

LONG = 600
PATIENT = Clocks(connect=300, first_event=300, idle=300, total=LONG)
HASTY = Clocks(connect=300, first_event=2, idle=2, total=LONG)
BRIEF = Retry(attempts=2, first_pause=0.01)
PACE = Cutting.per_event(pause=0.01)
WARM_UP = 40
EARLY = 5
"""So many events are read of an answer that is left early."""
SLOW_PAUSE = 0.03
CUT = 1500
BROKEN = BreakEvent(EARLY)
# What the allocator and the caches may still take after the first round.
SLACK_MIB = 16.0
SLACK_OBJECTS = 2000


# What is asked, and what must come of it


@dataclass(frozen=True)
class Kind:
    """A kind of stream: from whom, what goes wrong, and the error that must come of it. `body`:
    of the pieces that would be sent, the bytes that must all have counted."""

    name: str
    subject: Subject
    fault: Faults = None
    error: type[TokenwireError] | None = None
    clocks: Clocks = PATIENT
    cutting: Cutting = PACE
    body: Callable[[list[bytes]], bytes] | None = None
    words: int = 40
    word_size: int = 8
    left_early: bool = False

    @property
    def provider(self) -> Provider:
        """From whom."""
        return self.subject.provider


def _cut(pieces: list[bytes]) -> bytes:
    return b"".join(pieces)[:CUT]


def _break(pieces: list[bytes]) -> bytes:
    return b"".join([*pieces[:EARLY], BROKEN.data])


def _faulty(name: str, fault: Faults, error: type[TokenwireError] | None, **more: Any) -> Kind:
    return Kind(name, EXAMPLE, fault, error, **more)


def plain_kinds(subjects: Mapping[str, Subject]) -> list[Kind]:
    """A kind for each subject that answers a plain question with text; every other one is written
    in pieces that end anywhere."""
    says = {
        name: subject.provider.dialect.says_to(as_chat("hi", **subject.asked))
        for name, subject in subjects.items()
    }
    names = [name for name in subjects if Text in says[name]]
    cuttings = cycle((PACE, Cutting.of_sizes(97, 3, 40, pause=0.01)))
    return [Kind(name, subjects[name], cutting=next(cuttings)) for name in names]


PLAIN = plain_kinds(SUBJECTS)
EXAMPLE = SUBJECTS["ylokh"]
"""Faults are the same for all, so one has them."""
LARGE = Kind("large", EXAMPLE, words=40, word_size=20_000)
LEFT_EARLY = Kind("left early", EXAMPLE, left_early=True)
FAULTY = [
    _faulty("closed", CloseAfter(CUT), Truncated, body=_cut),
    _faulty("reset", ResetAfter(CUT), Truncated),
    _faulty("ended early", EndAfter(CUT), Truncated),
    _faulty("closed before the head", CloseAfter(0, head=False), Disconnected),
    _faulty("reset before the head", ResetAfter(0, head=False), Disconnected),
    _faulty("stalled", StallAfter(CUT), TimedOut, clocks=HASTY),
    _faulty("stalled before the head", StallAfter(0, head=False), TimedOut, clocks=HASTY),
    _faulty("keep-alives", KeepAlives(), TimedOut, clocks=HASTY),
    _faulty("lingering", Linger(), None),
    _faulty("closed when idle", CloseIdle(), None),
    _faulty("429", RefuseWith(429, retry_after="0"), RateLimited),
    _faulty("503", RefuseWith(503), Overloaded),
    _faulty("web page", HtmlPage(), UnexpectedContent),
    _faulty("error object", ErrorObject(), Refused),
    _faulty("broken event", BROKEN, Malformed, body=_break),
    _faulty("no terminator", DropTerminator(), None),
    _faulty("gzip", Gzip(), None),
    _faulty("unframed", Unframed(), None),
]
KINDS = {kind.name: kind for kind in (*PLAIN, LARGE, LEFT_EARLY, *FAULTY)}


def kind_of(number: int) -> Kind:
    """The kind of the stream `number`: of ten, one has a fault."""
    if number % 10 == 0:
        return FAULTY[number // 10 % len(FAULTY)]
    if number % 50 == 7:
        return LEFT_EARLY
    if number % 200 == 13:
        return LARGE
    return PLAIN[(number - number // 10) % len(PLAIN)]  # no tenth one, so each comes round


@dataclass
class Stream:
    """One question, and all that came of it."""

    number: int
    kind: Kind
    events: list[Event] = field(default_factory=list[Event])
    error: Exception | None = None

    @property
    def chat(self) -> Chat:
        # Each word names the stream: one that went astray is seen.
        words = (
            f"{self.number}.{n}".ljust(self.kind.word_size, "x") for n in range(self.kind.words)
        )
        asked = {name: value for name, value in self.kind.subject.asked.items() if name != "n"}
        return as_chat(" ".join(words), **asked)

    def exchange(self, base_url: str) -> Exchange:
        """What asks it."""
        return self.kind.provider.exchange(
            self.chat, base_url=base_url, clocks=self.kind.clocks, random=Random(self.number)
        )

    @property
    def whole_text(self) -> str:
        """The text of the whole answer."""
        chat, provider = self.chat, self.kind.provider
        model = provider.model(chat.model)
        return f"{provider.name} {model} was asked: {chat.messages[-1].text}"

    def problem(self) -> str | None:
        """What is wrong with what came, if anything is."""
        kind = self.kind
        text = Reply.of(self.events).text
        if type(self.error) is not (kind.error or type(None)):
            return f"{kind.name} {self.number}: it came to {self.error!r}"
        if kind.error is None and not kind.left_early:
            return None if text == self.whole_text else f"{kind.name} {self.number}: {text[:200]!r}"
        if not self.whole_text.startswith(text):
            return f"{kind.name} {self.number}: no beginning of its answer: {text[:200]!r}"
        if kind.left_early and len(self.events) != EARLY:
            return f"{kind.name} {self.number}: {len(self.events)} events"
        # But for the id, which the server makes up.
        if kind.body is not None and self.events[1:] != self._reference(kind.body).events[1:]:
            return f"{kind.name} {self.number}: not all that came before the fault: {text!r}"
        return None

    def _reference(self, body: Callable[[list[bytes]], bytes]) -> Outcome:
        """What the exchange makes of the same bytes without any network."""
        provider = self.kind.provider
        exchange = self.exchange("http://127.0.0.1")
        request = exchange.fresh().next_request()
        assert request is not None
        responder = Service(provider).responder()
        chat = responder.receive_request(request)
        assert chat is not None
        pieces = [piece for event in echo(provider)(chat) if (piece := responder.send(event))]
        return drive(exchange, Response(body(pieces), ending="disconnect"))


# The servers, in a process of their own


@dataclass(frozen=True)
class Address:
    """Where the servers are: the base URL of each kind, and whom to trust there."""

    urls: dict[str, str]
    authority: str | None
    process: int


@dataclass(frozen=True)
class ServerFigures:
    requests: int
    errors: list[str]


@contextmanager
def servers(tls: bool, descriptors: int) -> Generator[tuple[Address, Connection]]:
    """Servers for all kinds. What is sent to the connection makes them stop, and answer with their
    figures."""
    here, there = SPAWN.Pipe()
    process = SPAWN.Process(target=_serve, args=(there, tls, descriptors), daemon=True)
    process.start()
    there.close()
    try:
        yield here.recv(), here
    finally:
        here.close()
        process.join(30)
        process.kill()


def _serve(pipe: Connection, tls: bool, descriptors: int) -> None:
    allow_descriptors(descriptors)
    anyio.run(_serve_until_told, pipe, tls)


async def _serve_until_told(pipe: Connection, tls: bool) -> None:
    context = certificates.server_context() if tls else None
    authority = certificates.authority().cert_pem.bytes().decode() if tls else None
    async with AsyncExitStack() as stack:
        running: dict[str, Server] = {}
        for name, kind in KINDS.items():
            running[name] = await stack.enter_async_context(
                serve(
                    kind.provider,
                    fault=kind.fault,
                    cutting=kind.cutting,
                    ssl_context=context,
                    patience=LONG,  # as long as the clients': who is starved of CPU is slow
                )
            )
        urls = {name: server.url for name, server in running.items()}
        pipe.send(Address(urls, authority, os.getpid()))
        try:
            await anyio.to_thread.run_sync(pipe.recv)
        except EOFError:
            return
        pipe.send(
            ServerFigures(
                sum(server.connections for server in running.values()),
                [repr(error) for server in running.values() for error in server.errors],
            )
        )


# The streams


class Gate:
    """Holds all streams until each has arrived. Then `opened` is called, before any goes on."""

    def __init__(self, count: int, opened: Callable[[], None]) -> None:
        self._missing = count
        self._opened = opened
        self._open = anyio.Event()

    def arrive(self) -> None:
        """One more is there, or will never be."""
        self._missing -= 1
        if not self._missing:
            self._opened()
            self._open.set()

    async def wait(self) -> None:
        """Until all are there."""
        await self._open.wait()


async def ask(client: AsyncClient, stream: Stream, base_url: str, gate: Gate) -> None:
    """Ask, read as the reader of this stream does, and keep what comes."""
    exchange = stream.exchange(base_url)
    arrived = False
    try:
        async with client.open(exchange) as answer:
            async for event in answer:
                stream.events.append(event)
                if not arrived:
                    arrived = True
                    gate.arrive()
                    await gate.wait()
                if stream.kind.left_early and len(stream.events) == EARLY:
                    break
                await _dawdle(stream)
    except Exception as error:  # noqa: BLE001  what it should have been is for `problem` to say
        stream.error = error
    if not arrived:
        gate.arrive()


async def _dawdle(stream: Stream) -> None:
    match stream.number % 3:
        case 0 if len(stream.events) % 4 == 0:
            await anyio.sleep(SLOW_PAUSE)
        case 1:
            await anyio.lowlevel.checkpoint()
        case _:
            pass


@dataclass(frozen=True)
class Setting:
    """What one process soaks."""

    loop: str
    tls: bool
    streams: int
    seconds: float
    rounds: int


@dataclass
class Figures:
    """What came of it. The lists have one figure a round, taken when that is over. What one stream
    takes is what the first round's take together, each with its answer begun, its task and what the
    soak itself keeps of it."""

    setting: Setting
    finished: int = 0
    events: int = 0
    rounds: int = 0
    seconds: float = 0.0
    kinds: Counter[str] = field(default_factory=Counter[str])
    problems: list[str] = field(default_factory=list[str])
    rss: list[float] = field(default_factory=list[float])
    server_rss: list[float] = field(default_factory=list[float])
    objects: list[int] = field(default_factory=list[int])
    kib_a_stream: float = 0.0

    def measure(self, server: int) -> None:
        """Take down what is held between two rounds, here and by the process `server`."""
        gc.collect()
        self.rss.append(memory(os.getpid()))
        self.server_rss.append(memory(server))
        self.objects.append(len(gc.get_objects()))

    def check(self) -> None:
        """Add what is wrong with the memory to the problems."""
        for what, sizes, slack in (
            ("memory in MiB", self.rss, SLACK_MIB),
            ("objects", self.objects, SLACK_OBJECTS),
        ):
            # The last round is allowed to be an outlier, a growth is not.
            if min(sizes[-2:]) > sizes[0] + slack:
                self.problems.append(f"{what} grew: {[round(size, 1) for size in sizes]}")


async def soak(setting: Setting, address: Address, make: Callable[..., AsyncClient]) -> Figures:
    """Rounds of streams, so many at least, and for so many seconds."""
    figures = Figures(setting)
    context = None
    if address.authority is not None:
        context = ssl.create_default_context(cadata=address.authority)
    tasks = living_tasks()
    async with make(ssl_context=context, trust_env=False, retry=BRIEF) as client:
        await _round(client, address, range(WARM_UP), Figures(setting))
        begun = time.monotonic()
        first = WARM_UP
        while figures.rounds < setting.rounds or time.monotonic() - begun < setting.seconds:
            numbers = range(first, first + setting.streams)
            first = numbers.stop
            await _round(client, address, numbers, figures)
            figures.measure(address.process)
        figures.seconds = time.monotonic() - begun
    await anyio.wait_all_tasks_blocked()  # the one that watches trio's clocks ends by itself
    if living_tasks() != tasks:
        figures.problems.append(f"{living_tasks()} tasks live, and {tasks} did before")
    return figures


async def _round(client: AsyncClient, address: Address, numbers: range, figures: Figures) -> None:
    gc.collect()
    before = memory(os.getpid())
    held = before

    def all_open() -> None:
        nonlocal held
        held = memory(os.getpid())

    gate = Gate(len(numbers), all_open)
    streams = [Stream(number, kind_of(number)) for number in numbers]
    async with anyio.create_task_group() as tasks:
        for stream in streams:
            tasks.start_soon(ask, client, stream, address.urls[stream.kind.name], gate)
    for stream in streams:
        figures.finished += 1
        figures.events += len(stream.events)
        figures.kinds[stream.kind.name] += 1
        problem = stream.problem()
        if problem is not None:
            figures.problems.append(problem)
    if not figures.rounds:
        figures.kib_a_stream = (held - before) * 1024 / len(streams)
    figures.rounds += 1


# What a process holds


def memory(process: int) -> float:
    """MiB that a process has in memory."""
    with open(f"/proc/{process}/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * resource.getpagesize() / 2**20


def open_files() -> int:
    """File descriptors of this process."""
    return len(os.listdir("/proc/self/fd"))


def living_tasks() -> int:
    """Tasks of the event loop that runs."""
    if trio.lowlevel.in_trio_run():
        return trio.lowlevel.current_statistics().tasks_living
    return len(asyncio.all_tasks())


def allow_descriptors(count: int) -> None:
    """Raise the limit of file descriptors to `count`. Exits if the system does not let us."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= count:
        return
    if hard not in (resource.RLIM_INFINITY, -1) and hard < count:
        sys.exit(f"soak: {count} file descriptors are needed, and the system allows {hard}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))


# The event loops

Main = Callable[[], Awaitable[Any]]


def _on_asyncio(main: Main) -> Any:
    async def run() -> Any:
        return await main()

    return asyncio.run(run())


def _on_uvloop(main: Main) -> Any:
    import uvloop

    async def run() -> Any:
        return await main()

    return uvloop.run(run())


def _on_trio(main: Main) -> Any:
    return trio.run(main)


def _anyio_on_asyncio(main: Main) -> Any:
    return anyio.run(main, backend="asyncio")


def _anyio_on_trio(main: Main) -> Any:
    return anyio.run(main, backend="trio")


LOOPS: dict[str, tuple[Callable[[Main], Any], Callable[..., AsyncClient]]] = {
    "asyncio": (_on_asyncio, asyncio_transport.Client),
    "uvloop": (_on_uvloop, asyncio_transport.Client),
    "trio": (_on_trio, trio_transport.Client),
    "anyio on asyncio": (_anyio_on_asyncio, anyio_transport.Client),
    "anyio on trio": (_anyio_on_trio, anyio_transport.Client),
}


def run(setting: Setting, address: Address) -> Figures:
    """Soak in this process."""
    allow_descriptors(descriptors_for(setting))
    loop, make = LOOPS[setting.loop]
    loop(anyio.lowlevel.checkpoint)  # what a loop opens once and for ever: uvloop has a pipe
    files, threads = open_files(), threading.active_count()
    figures: Figures = loop(lambda: soak(setting, address, make))
    if open_files() != files:
        figures.problems.append(f"{open_files()} files are open, and {files} were before")
    if threading.active_count() != threads:
        figures.problems.append(f"{threading.active_count()} threads, and {threads} before")
    figures.check()
    return figures


def descriptors_for(setting: Setting) -> int:
    """A socket a stream, one more for those that are being closed, and what else is open."""
    return 2 * setting.streams + 200


def run_apart(setting: Setting) -> Figures:
    """Soak in a process of its own, against servers in another one."""
    with (
        servers(setting.tls, descriptors_for(setting)) as (address, pipe),
        ProcessPoolExecutor(1, mp_context=SPAWN) as pool,
    ):
        figures = pool.submit(run, setting, address).result()
        pipe.send("stop")
        served: ServerFigures = pipe.recv()
    figures.problems += [f"the server: {error}" for error in served.errors]
    return figures


# The command

HEAD = (
    f"{'':24} {'rounds':>6} {'streams':>8} {'events':>9} {'seconds':>7} "
    f"{'RSS MiB first/last':>18} {'server':>13} {'objects':>15} {'KiB/stream':>10} {'problems':>8}"
)


def row(figures: Figures) -> str:
    """A line of the table."""
    setting = figures.setting

    def ends(sizes: list[float] | list[int]) -> str:
        return f"{sizes[0]:.0f} / {sizes[-1]:.0f}"

    return (
        f"{setting.loop + (', TLS' if setting.tls else ', plain'):24} {figures.rounds:6} "
        f"{figures.finished:8} {figures.events:9} {figures.seconds:7.1f} "
        f"{ends(figures.rss):>18} {ends(figures.server_rss):>13} {ends(figures.objects):>15} "
        f"{figures.kib_a_stream:10.1f} {len(figures.problems):8}"
    )


def table(all_figures: list[Figures]) -> str:
    """All that was found."""
    kinds: Counter[str] = Counter()
    for figures in all_figures:
        kinds += figures.kinds
    said = ", ".join(f"{name} {kinds[name]}" for name in KINDS)
    problems = [f"{f.setting.loop}: {problem}" for f in all_figures for problem in f.problems]
    return "\n".join([HEAD, *map(row, all_figures), f"streams by kind: {said}", *problems[:50]])


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--streams", type=int, default=1000, help="at once (1000)")
    parser.add_argument("--seconds", type=float, default=20, help="of each setting, at least (20)")
    parser.add_argument("--rounds", type=int, default=3, help="of each setting, at least (3)")
    parser.add_argument("--loops", nargs="+", choices=LOOPS, default=list(LOOPS))
    parser.add_argument("--layers", nargs="+", choices=("plain", "tls"), default=["plain", "tls"])
    options = parser.parse_args(arguments)
    all_figures: list[Figures] = []
    for layer in options.layers:
        for loop in options.loops:
            setting = Setting(
                loop, layer == "tls", options.streams, options.seconds, options.rounds
            )
            all_figures.append(run_apart(setting))
            print(row(all_figures[-1]), flush=True)
    print(f"\n{table(all_figures)}")
    return 1 if any(figures.problems for figures in all_figures) else 0


if __name__ == "__main__":
    sys.exit(main())
