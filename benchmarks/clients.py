"""The client of each contestant over a socket, and the process that measures one.

    python -m benchmarks.clients NAME --port PORT [--dialect darkai] [--events 1000] [--streams 100]

The origin at PORT must have been started with the same dialect, number of events and `--interval`.
After a few short answers the case is measured: all streams are opened at once by one client, or one
session of a peer, without a connection limit. The text of each answer is checked. The figures are
printed as one line of JSON:

- `cpu_us`: CPU time of the process per event, from before the first stream is opened until the end
- `steady_us`: the same from the moment when all streams have begun, so without opening them
- `wall_s`, `events`
- `first_event_p50_ms`, `first_event_p99_ms`: from the start to the first event of each stream
- `kib_a_stream`: growth of the resident memory per stream, from before the streams until all are
  open and half read, including the texts read so far. NaN if they were never all open.
- `faults`: page faults per event. asyncio reads into a new buffer of 256 KiB each time, unless the
  protocol supplies one (`BufferedProtocol`, as tokenwire's): if the heap of the process has no gap
  of that size, the allocator requests it from the system each time and returns it. `TUNED` prevents
  that.
- `origin_cpu_s`, `origin_late_ms`: CPU time of the server, and by how much an event was late at
  most
"""

import argparse
import asyncio
import gc
import http.client
import json
import math
import os
import resource
import shutil
import ssl
import subprocess
import threading
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Mapping
from contextlib import asynccontextmanager, contextmanager
from functools import cache, partial
from importlib import import_module
from pathlib import Path
from statistics import quantiles
from typing import Any, NamedTuple, TypeAlias, cast
from urllib.parse import urlsplit

from tokenwire import PROVIDERS, Text, as_chat

from .origin import WARM_EVENTS, lift_file_limit
from .streams import STREAMS

__all__ = ["CONTESTANTS", "PROGRAMS", "built_client"]

WARM_UPS = 5
LIMIT = 10_000  # of connections, because not every client accepts "no limit"
PLACE = Path(__file__).parent
QUESTION: dict[str, Any] = {
    "openai": {"model": "m", "messages": [{"role": "user", "content": "q"}], "stream": True},
    "darkai": {"model": "llama-3-70b", "query": "q"},
}
PATH = {"openai": "/v1/chat/completions", "darkai": "/chat"}
ACCEPT = {"accept": "text/event-stream"}


class Answer:
    """One stream as it is read: a client passes each text to `take`. If it passes something else,
    `join` makes the text of that, once all is measured."""

    __slots__ = ("_began", "first_at", "join", "take", "texts")

    def __init__(self, began: Callable[[], None] = lambda: None) -> None:
        self.texts: list[str] = []
        self.join: Callable[[list[Any]], str] = "".join
        self.take: Callable[[Any], None] = self._take_first
        self.first_at = math.nan
        self._began = began

    def _take_first(self, text: str) -> None:
        self.first_at = time.perf_counter()
        self.texts.append(text)
        self.take = self.texts.append  # so that the rest costs every client next to nothing
        self._began()


class Origin(NamedTuple):
    """The server to ask."""

    dialect: str
    base: str
    context: ssl.SSLContext | None

    def warm(self) -> "Origin":
        """The same, for short answers."""
        return self._replace(base=self.base + "/warm")

    @property
    def url(self) -> str:
        return self.base + PATH[self.dialect]

    @property
    def question(self) -> Any:
        return QUESTION[self.dialect]


Ask: TypeAlias = Callable[[Origin, Answer], Any]
"""Asks a question, and passes the texts to the `Answer`; awaited if the client is async."""


# Shared by the plain loops.


def text_of(dialect: str) -> Callable[[str | bytes], str | None]:
    """A function from an event's data to the text in it."""

    def openai(data: str | bytes) -> str | None:
        if data in ("[DONE]", b"[DONE]"):
            return None
        text: str = json.loads(data)["choices"][0]["delta"]["content"]
        return text

    def darkai(data: str | bytes) -> str | None:
        event = json.loads(data)
        return event["data"]["text"] if event["event"] == "text-chunk" else None

    return {"openai": openai, "darkai": darkai}[dialect]


def splitter(dialect: str) -> Callable[[bytes, Answer], bytes]:
    """A function that takes the complete events from some bytes and returns the rest."""
    text_of_data = text_of(dialect)

    def split(data: bytes, answer: Answer) -> bytes:
        *events, rest = data.split(b"\n\n")
        for event in events:
            if (text := text_of_data(event[6:])) is not None:
                answer.take(text)
        return rest

    return split


# tokenwire.


def exchange(origin: Origin) -> Any:
    provider = PROVIDERS[origin.dialect]
    if origin.dialect == "openai":
        chat = as_chat("q", model="m")
        return provider.exchange(chat, base_url=origin.base + "/v1", key="k")
    return provider.exchange(as_chat("q"), base_url=origin.base)


@contextmanager
def tokenwire_sync(origin: Origin) -> Generator[Ask]:
    from tokenwire.transports.sync import Client

    with Client(ssl_context=origin.context) as client:

        def ask(origin: Origin, answer: Answer) -> None:
            with client.open(exchange(origin)) as events:
                for batch in events.batches():
                    for event in batch:
                        if type(event) is Text:
                            answer.take(event.text)

        yield ask


async def read_batches(client: Any, origin: Origin, answer: Answer) -> None:
    async with client.open(exchange(origin)) as events:
        async for batch in events.batches():
            for event in batch:
                if type(event) is Text:
                    answer.take(event.text)


async def push_batches(client: Any, origin: Origin, answer: Answer) -> None:
    def take(batch: list[Any]) -> None:
        for event in batch:
            if type(event) is Text:
                answer.take(event.text)

    async with client.open(exchange(origin)) as events:
        await events.push(take)


@asynccontextmanager
async def tokenwire(
    name: str, origin: Origin, read: Callable[..., Awaitable[None]] = read_batches
) -> AsyncGenerator[Ask]:
    """With the native transport `name`."""
    transport = import_module(f"tokenwire.transports.{name}")
    async with transport.Client(ssl_context=origin.context) as client:
        yield partial(read, client)


@asynccontextmanager
async def tokenwire_httpx(origin: Origin) -> AsyncGenerator[Ask]:
    httpx, transport = import_module("httpx"), import_module("tokenwire.transports.httpx")
    async with httpx_client(httpx, origin) as http, transport.AsyncClient(http) as client:
        yield partial(read_batches, client)


# The least that a client can do.


class Receiving(asyncio.BufferedProtocol):
    """Sends a request, and keeps what it receives, into one buffer for all streams."""

    BUFFER = memoryview(bytearray(64 * 1024))

    def __init__(self, request: bytes, answer: Answer) -> None:
        self._request = request
        self._answer = answer
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.write(self._request)

    def get_buffer(self, sizehint: int) -> memoryview:
        return self.BUFFER

    def buffer_updated(self, nbytes: int) -> None:
        data = bytes(self.BUFFER[:nbytes])
        self._answer.take(data)
        if data.endswith(b"\r\n0\r\n\r\n"):
            self._transport.abort()
            self.over.set_result(None)


@asynccontextmanager
async def receiving(origin: Origin) -> AsyncGenerator[Ask]:
    """A loop that only receives, and decodes nothing until all is over."""
    split = splitter(origin.dialect)

    def join(pieces: list[Any]) -> str:
        _, _, body = b"".join(pieces).partition(b"\r\n\r\n")
        found = Answer()
        split(unchunked(body), found)
        return "".join(found.texts)

    async def ask(origin: Origin, answer: Answer) -> None:
        url, body = urlsplit(origin.url), json.dumps(origin.question).encode()
        head = f"POST {url.path} HTTP/1.1\r\nhost: {url.netloc}\r\ncontent-length: {len(body)}"
        answer.join = join
        _, receiver = await asyncio.get_running_loop().create_connection(
            lambda: Receiving(head.encode() + b"\r\n\r\n" + body, answer),
            url.hostname or "",
            url.port or 80,
        )
        await receiver.over

    yield ask


def unchunked(body: bytes) -> bytes:
    """What is in the chunks of a body."""
    found: list[bytes] = []
    while size := int(body[: (end := body.index(b"\r\n"))], 16):
        found.append(body[end + 2 : end + 2 + size])
        body = body[end + 4 + size :]
    return b"".join(found)


# Peers that are HTTP clients, with a plain loop over the bytes that they read.


@asynccontextmanager
async def aiohttp_session(origin: Origin) -> AsyncGenerator[Any]:
    aiohttp = import_module("aiohttp")
    ssl_option = True if origin.context is None else origin.context
    connector = aiohttp.TCPConnector(limit=0, ssl=ssl_option)
    async with aiohttp.ClientSession(connector=connector) as session:
        yield session


@asynccontextmanager
async def aiohttp_pieces(origin: Origin) -> AsyncGenerator[Ask]:
    """`iter_any()`, split at blank lines: the faster of its two ways."""
    split = splitter(origin.dialect)
    async with aiohttp_session(origin) as session:

        async def ask(origin: Origin, answer: Answer) -> None:
            async with session.post(origin.url, json=origin.question, headers=ACCEPT) as response:
                rest = b""
                async for data in response.content.iter_any():
                    rest = split(rest + data, answer)

        yield ask


@asynccontextmanager
async def aiohttp_lines(origin: Origin) -> AsyncGenerator[Ask]:
    """Iterating over the lines of `response.content`, as its documentation does."""
    text_of_data = text_of(origin.dialect)
    async with aiohttp_session(origin) as session:

        async def ask(origin: Origin, answer: Answer) -> None:
            async with session.post(origin.url, json=origin.question, headers=ACCEPT) as response:
                async for line in response.content:
                    if line.startswith(b"data: "):
                        text = text_of_data(line[6:].rstrip(b"\n"))
                        if text is not None:
                            answer.take(text)

        yield ask


def httpx_client(httpx: Any, origin: Origin, make: Any = None) -> Any:
    """An async client of httpx or httpx2; `make`: a subclass to use instead."""
    limits = httpx.Limits(max_connections=LIMIT, max_keepalive_connections=LIMIT)
    verify = True if origin.context is None else origin.context
    make = make or httpx.AsyncClient
    return make(limits=limits, timeout=None, verify=verify, trust_env=False)


@asynccontextmanager
async def httpx_sse_async(origin: Origin) -> AsyncGenerator[Ask]:
    """`aconnect_sse`, and `json.loads` of each event's data."""
    httpx_sse, text_of_data = import_module("httpx_sse"), text_of(origin.dialect)
    async with httpx_client(import_module("httpx"), origin) as http:

        async def ask(origin: Origin, answer: Answer) -> None:
            connect = httpx_sse.aconnect_sse
            async with connect(http, "POST", origin.url, json=origin.question) as source:
                async for event in source.aiter_sse():
                    if (text := text_of_data(event.data)) is not None:
                        answer.take(text)

        yield ask


@contextmanager
def httpx_sse_sync(origin: Origin) -> Generator[Ask]:
    """`connect_sse`, and `json.loads` of each event's data."""
    httpx, httpx_sse = import_module("httpx"), import_module("httpx_sse")
    text_of_data = text_of(origin.dialect)
    with httpx.Client(timeout=None, trust_env=False) as http:

        def ask(origin: Origin, answer: Answer) -> None:
            connect = httpx_sse.connect_sse
            with connect(http, "POST", origin.url, json=origin.question) as source:
                for event in source.iter_sse():
                    if (text := text_of_data(event.data)) is not None:
                        answer.take(text)

        yield ask


@contextmanager
def sseclient(origin: Origin) -> Generator[Ask]:
    """sseclient-py over `httpx`, the faster of the two ways of its README."""
    httpx, sseclient = import_module("httpx"), import_module("sseclient")
    text_of_data = text_of(origin.dialect)
    with httpx.Client(timeout=None, trust_env=False) as http:

        def ask(origin: Origin, answer: Answer) -> None:
            with http.stream("POST", origin.url, json=origin.question, headers=ACCEPT) as response:
                for event in sseclient.SSEClient(response.iter_bytes()).events():
                    if (text := text_of_data(event.data)) is not None:
                        answer.take(text)

        yield ask


@contextmanager
def sseclient_requests(origin: Origin) -> Generator[Ask]:
    """sseclient-py over `requests`, as its README does."""
    requests, sseclient = import_module("requests"), import_module("sseclient")
    text_of_data = text_of(origin.dialect)
    with requests.Session() as session:
        session.trust_env = False

        def ask(origin: Origin, answer: Answer) -> None:
            with session.post(
                origin.url, json=origin.question, headers=ACCEPT, stream=True
            ) as response:
                for event in sseclient.SSEClient(response).events():
                    if (text := text_of_data(event.data)) is not None:
                        answer.take(text)

        yield ask


@contextmanager
def niquests(origin: Origin) -> Generator[Ask]:
    """`iter_content(-1)`, split at blank lines."""
    split = splitter(origin.dialect)
    with import_module("niquests").Session() as session:
        session.trust_env = False

        def ask(origin: Origin, answer: Answer) -> None:
            with session.post(origin.url, json=origin.question, stream=True) as response:
                rest = b""
                for data in response.iter_content(-1):
                    rest = split(rest + data, answer)

        yield ask


@asynccontextmanager
async def niquests_async(origin: Origin) -> AsyncGenerator[Ask]:
    """The same with its `AsyncSession`."""
    split = splitter(origin.dialect)
    async with import_module("niquests").AsyncSession(pool_maxsize=LIMIT) as session:
        session.trust_env = False

        async def ask(origin: Origin, answer: Answer) -> None:
            response = await session.post(origin.url, json=origin.question, stream=True)
            rest = b""
            async for data in await response.iter_content(-1):
                rest = split(rest + data, answer)
            await response.close()

        yield ask


@contextmanager
def curl_cffi(origin: Origin) -> Generator[Ask]:
    """`iter_content()`, split at blank lines."""
    split = splitter(origin.dialect)
    with import_module("curl_cffi").Session() as session:

        def ask(origin: Origin, answer: Answer) -> None:
            with session.stream("POST", origin.url, json=origin.question) as response:
                rest = b""
                for data in response.iter_content():
                    rest = split(rest + data, answer)

        yield ask


@asynccontextmanager
async def curl_cffi_async(origin: Origin) -> AsyncGenerator[Ask]:
    """The same with its `AsyncSession`."""
    split = splitter(origin.dialect)
    async with import_module("curl_cffi").AsyncSession(max_clients=LIMIT) as session:

        async def ask(origin: Origin, answer: Answer) -> None:
            async with session.stream("POST", origin.url, json=origin.question) as response:
                rest = b""
                async for data in response.aiter_content():
                    rest = split(rest + data, answer)

        yield ask


# Peers that decode the format themselves.


@asynccontextmanager
async def g4f_darkai(origin: Origin) -> AsyncGenerator[Ask]:
    """The generator of its provider, which opens a session for each question; there is no other
    way."""
    provider = import_module("g4f.Provider.not_working.DarkAI").DarkAI
    messages = [{"role": "user", "content": "q"}]

    async def ask(origin: Origin, answer: Answer) -> None:
        provider.api_endpoint = origin.url
        async for text in provider.create_async_generator("", messages):
            answer.take(text)

    yield ask


@contextmanager
def openai_sync(origin: Origin) -> Generator[Ask]:
    """`create(stream=True)`."""
    OpenAI = import_module("openai").OpenAI

    @cache
    def client(base: str) -> Any:
        return OpenAI(api_key="k", base_url=base + "/v1")

    def ask(origin: Origin, answer: Answer) -> None:
        with client(origin.base).chat.completions.create(**origin.question) as stream:
            for chunk in stream:
                if text := chunk.choices[0].delta.content:
                    answer.take(text)

    yield ask


@asynccontextmanager
async def openai_async(origin: Origin, http_client: str = "AsyncClient") -> AsyncGenerator[Ask]:
    """`create(stream=True)`, over a client without a limit to its connections."""
    openai, httpx = import_module("openai"), import_module("httpx2")
    make = getattr(httpx, http_client, None) or getattr(openai, http_client)
    async with httpx_client(httpx, origin, make) as http:

        @cache
        def client(base: str) -> Any:
            return openai.AsyncOpenAI(api_key="k", base_url=base + "/v1", http_client=http)

        async def ask(origin: Origin, answer: Answer) -> None:
            completions = client(origin.base).chat.completions
            async with await completions.create(**origin.question) as stream:
                async for chunk in stream:
                    if text := chunk.choices[0].delta.content:
                        answer.take(text)

        yield ask


@asynccontextmanager
async def langchain_openai(origin: Origin) -> AsyncGenerator[Ask]:
    """`ChatOpenAI.astream()`, over a client without a limit to its connections."""
    ChatOpenAI = import_module("langchain_openai").ChatOpenAI
    async with httpx_client(import_module("httpx2"), origin) as http:

        @cache
        def chat(base: str) -> Any:
            how = {"base_url": base + "/v1", "api_key": "k", "http_async_client": http}
            return ChatOpenAI(model="m", **how)

        async def ask(origin: Origin, answer: Answer) -> None:
            async for chunk in chat(origin.base).astream("q"):
                if chunk.content:
                    answer.take(chunk.content)

        yield ask


@asynccontextmanager
async def litellm(origin: Origin) -> AsyncGenerator[Ask]:
    """`acompletion(stream=True)`, without logging what it streams, as in `benchmarks.decoders`."""
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = (
        "True"  # otherwise it fetches one from the internet
    )
    litellm: Any = import_module("litellm")
    litellm.disable_streaming_logging = True
    acompletion = litellm.acompletion
    messages = QUESTION["openai"]["messages"]

    async def ask(origin: Origin, answer: Answer) -> None:
        where = {"api_base": origin.base + "/v1", "api_key": "k"}
        stream = await acompletion(model="openai/m", messages=messages, stream=True, **where)
        async for chunk in stream:
            if text := chunk.choices[0].delta.content:
                answer.take(text)

    yield ask


TUNED = {"MALLOC_MMAP_THRESHOLD_": "33554432", "MALLOC_TRIM_THRESHOLD_": "268435456"}
"""Environment variables that make the allocator (glibc's) keep freed memory."""


class Contestant(NamedTuple):
    """`open` is a context manager that yields an `Ask`. `loop`: the event loop that it runs on."""

    open: Callable[[Origin], Any]
    loop: str = "asyncio"
    dialects: tuple[str, ...] = ("openai", "darkai")
    venv: str = "bench"
    environment: Mapping[str, str] = {}


OPENAI = ("openai",)
PUSHED = partial(tokenwire, "asyncio", read=push_batches)
CONTESTANTS: dict[str, Contestant] = {
    "tokenwire sync": Contestant(tokenwire_sync, "none"),
    "tokenwire asyncio": Contestant(partial(tokenwire, "asyncio")),
    "tokenwire uvloop": Contestant(partial(tokenwire, "asyncio"), "uvloop"),
    "tokenwire asyncio, tuned malloc": Contestant(partial(tokenwire, "asyncio"), environment=TUNED),
    "tokenwire trio": Contestant(partial(tokenwire, "trio"), "trio"),
    "tokenwire asyncio, pushed": Contestant(PUSHED),
    "tokenwire uvloop, pushed": Contestant(PUSHED, "uvloop"),
    "only receiving": Contestant(receiving),
    "only receiving, uvloop": Contestant(receiving, "uvloop"),
    "tokenwire anyio": Contestant(partial(tokenwire, "anyio"), "anyio"),
    "tokenwire httpx": Contestant(tokenwire_httpx),
    "aiohttp": Contestant(aiohttp_pieces),
    "aiohttp lines": Contestant(aiohttp_lines),
    "aiohttp uvloop": Contestant(aiohttp_pieces, "uvloop"),
    "aiohttp, tuned malloc": Contestant(aiohttp_pieces, environment=TUNED),
    "g4f DarkAI": Contestant(g4f_darkai, dialects=("darkai",)),
    "g4f DarkAI uvloop": Contestant(g4f_darkai, "uvloop", dialects=("darkai",)),
    "httpx-sse": Contestant(httpx_sse_sync, "none"),
    "httpx-sse async": Contestant(httpx_sse_async),
    "sseclient-py": Contestant(sseclient, "none"),
    "sseclient-py requests": Contestant(sseclient_requests, "none"),
    "niquests": Contestant(niquests, "none"),
    "niquests async": Contestant(niquests_async),
    "curl_cffi": Contestant(curl_cffi, "none"),
    "curl_cffi async": Contestant(curl_cffi_async),
    "openai": Contestant(openai_sync, "none", OPENAI),
    "openai async": Contestant(openai_async, dialects=OPENAI),
    "openai async, aiohttp": Contestant(
        partial(openai_async, http_client="DefaultAioHttpClient"), dialects=OPENAI
    ),
    "langchain-openai": Contestant(langchain_openai, dialects=OPENAI),
    "litellm": Contestant(litellm, dialects=OPENAI, venv="litellm"),
}


# Measuring.


class Case(NamedTuple):
    """What is measured. `expected`: the text of each answer; `half`: seconds until paced streams
    are half read."""

    origin: Origin
    port: int
    streams: int
    events: int
    expected: str
    half: float


class Meter:
    """The clocks of one case, and its answers."""

    def __init__(self, case: Case) -> None:
        self._case = case
        self.answers = [Answer(self._began) for _ in range(case.streams)]
        self._to_begin = case.streams
        self._steady = (math.nan, 0)
        self._resident_growth = math.nan

    def __enter__(self) -> "Meter":
        gc.collect()
        report(self._case.port)
        self._resident = resident()
        if self._case.half and self._case.streams > 1:
            threading.Thread(target=self._watch_memory, daemon=True).start()
        self._faults = page_faults()
        self._wall, self._cpu = time.perf_counter(), time.process_time()
        return self

    def __exit__(self, *_: object) -> None:
        self._cpu_end, self._wall_end = time.process_time(), time.perf_counter()
        self._faults = page_faults() - self._faults

    def figures(self) -> dict[str, float]:
        for answer in self.answers:
            check(answer.join(answer.texts), self._case.expected)
        events = sum(len(answer.texts) for answer in self.answers)
        cpu, past = self._steady
        firsts = [(answer.first_at - self._wall) * 1000 for answer in self.answers]
        hundredths = (
            quantiles(firsts, n=100, method="inclusive") if len(firsts) > 1 else firsts * 99
        )
        server = report(self._case.port)
        return {
            "cpu_us": (self._cpu_end - self._cpu) / events * 1e6,
            "steady_us": (self._cpu_end - cpu) / max(events - past, 1) * 1e6,
            "wall_s": self._wall_end - self._wall,
            "events": events,
            "first_event_p50_ms": hundredths[49],
            "first_event_p99_ms": hundredths[98],
            "kib_a_stream": self._resident_growth / 1024 / self._case.streams,
            "faults": self._faults / events,
            "origin_cpu_s": server["cpu_s"],
            "origin_late_ms": server["late_ms"],
        }

    def _began(self) -> None:
        self._to_begin -= 1
        if not self._to_begin:
            self._steady = time.process_time(), self._read()[0]

    def _read(self) -> tuple[int, int, int]:
        """How many events were read: in total, and by the streams with the fewest and the most."""
        read = [len(answer.texts) for answer in self.answers]
        return sum(read), min(read), max(read)

    def _watch_memory(self) -> None:
        """Runs in a thread, which sleeps most of the time."""
        time.sleep(self._case.half)
        while True:
            _, least, most = self._read()
            if most >= self._case.events:
                return
            if least >= self._case.events // 2:
                self._resident_growth = resident() - self._resident
                return
            time.sleep(0.02)


def resident() -> int:
    """The resident memory of the process in bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def page_faults() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt


def report(port: int) -> dict[str, float]:
    """The origin's report on what it did since the last one."""
    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.request("GET", "/report")
    found: dict[str, float] = json.load(connection.getresponse())
    connection.close()
    return found


def check(text: str, expected: str) -> None:
    if text != expected:
        raise SystemExit(f"another text: {text[:80]!r}, of {len(text)} characters")


def warm_text(dialect: str) -> str:
    return STREAMS[dialect](WARM_EVENTS).text


def measure_sync(contestant: Contestant, case: Case) -> dict[str, float]:
    if case.streams > 1:
        raise SystemExit("a blocking client reads one stream at a time")
    with contestant.open(case.origin) as ask:
        for _ in range(WARM_UPS):
            answer = Answer()
            ask(case.origin.warm(), answer)
            check(answer.join(answer.texts), warm_text(case.origin.dialect))
        with Meter(case) as meter:
            ask(case.origin, meter.answers[0])
        return meter.figures()


async def measure_async(
    contestant: Contestant, case: Case, at_once: Callable[[list[Any]], Awaitable[None]]
) -> dict[str, float]:
    """`at_once` runs calls that return something to await, all at the same time."""
    async with contestant.open(case.origin) as ask:
        for _ in range(WARM_UPS):
            answer = Answer()
            await ask(case.origin.warm(), answer)
            check(answer.join(answer.texts), warm_text(case.origin.dialect))
        with Meter(case) as meter:
            if case.streams == 1:
                await ask(case.origin, meter.answers[0])
            else:
                await at_once([partial(ask, case.origin, answer) for answer in meter.answers])
        return meter.figures()


async def at_once_by_asyncio(calls: list[Any]) -> None:
    async with asyncio.TaskGroup() as group:
        for call in calls:
            group.create_task(call())


async def at_once_by_nursery(opening: Any, calls: list[Any]) -> None:
    """`opening`: trio's `open_nursery`, or anyio's `create_task_group`."""
    async with opening() as nursery:
        for call in calls:
            nursery.start_soon(call)


def measure(contestant: Contestant, case: Case) -> dict[str, float]:
    match contestant.loop:
        case "asyncio":
            return asyncio.run(measure_async(contestant, case, at_once_by_asyncio))
        case "uvloop":
            run = import_module("uvloop").run
            figures: dict[str, float] = run(measure_async(contestant, case, at_once_by_asyncio))
            return figures
        case "trio":
            import trio

            at_once = partial(at_once_by_nursery, trio.open_nursery)
            return trio.run(measure_async, contestant, case, at_once)
        case "anyio":
            import anyio

            at_once = partial(at_once_by_nursery, anyio.create_task_group)
            return anyio.run(measure_async, contestant, case, at_once)
        case _:
            return measure_sync(contestant, case)


# Contestants that are programs.


def built_client() -> Path | None:
    """The program built from client.c; None if there is no compiler."""
    source, program = PLACE / "client.c", PLACE.parent / ".peers" / "client"
    if not program.exists() or program.stat().st_mtime < source.stat().st_mtime:
        if shutil.which("cc") is None:
            return None
        program.parent.mkdir(exist_ok=True)
        subprocess.run(["cc", "-O2", "-o", program, source], check=True)
    return program


def measure_program(name: str, case: Case) -> dict[str, float]:
    """The C client reports its own times. For curl, which throws the bytes away, the times of a
    short answer are subtracted, and the number of bytes is checked."""
    report(case.port)
    if name == "C client":
        program = built_client()
        if program is None:
            raise SystemExit("no C compiler")
        command = [str(program), str(case.port), PATH[case.origin.dialect]]
        said = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
        found = said["events"], said["bytes"]
        if found != (case.events, len(case.expected.encode())):
            raise SystemExit(f"the C client found {found[0]} events of {found[1]} bytes")
        cpu, wall = said["cpu_s"], said["wall_s"]
    else:
        times = 1 if case.half else 10  # because the case is so short
        short_cpu, short_wall = run_curl(case.origin.warm(), WARM_EVENTS, times)
        cpu, wall = run_curl(case.origin, case.events, times)
        cpu, wall = (cpu - short_cpu) / times, (wall - short_wall) / times
    server = report(case.port)
    each = cpu / case.events * 1e6
    return {
        "cpu_us": each,
        "steady_us": each,
        "wall_s": wall,
        "events": case.events,
        "first_event_p50_ms": math.nan,
        "first_event_p99_ms": math.nan,
        "kib_a_stream": math.nan,
        "faults": math.nan,
        "origin_cpu_s": server["cpu_s"],
        "origin_late_ms": server["late_ms"],
    }


def run_curl(origin: Origin, events: int, times: int) -> tuple[float, float]:
    """The CPU time and the wall time that curl takes to ask `times` times."""
    command = ["curl", "-sN", "--noproxy", "*", "-w", "%{size_download} "]
    command += ["-H", "content-type: application/json", "-d", json.dumps(origin.question)]
    command += [origin.url, "-o", os.devnull] * times
    start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.stdout.split() != [str(len(STREAMS[origin.dialect](events).body))] * times:
        raise SystemExit(f"curl read {done.stdout} bytes")
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return cpu, wall


PROGRAMS = ("C client", "curl")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("name", choices=[*CONTESTANTS, *PROGRAMS])
    parser.add_argument(
        "--port", type=int, required=True, help="the port of the origin, without TLS"
    )
    parser.add_argument("--tls-port", type=int, help="use TLS, on this port")
    parser.add_argument("--authority", help="the file with the authority of its certificate")
    parser.add_argument("--dialect", choices=QUESTION, default="openai")
    parser.add_argument("--events", type=int, default=1000)
    parser.add_argument("--streams", type=int, default=1)
    parser.add_argument("--interval", type=float, default=0, help="microseconds")
    arguments = parser.parse_args()
    lift_file_limit()
    context = None
    base = f"http://127.0.0.1:{arguments.port}"
    if arguments.tls_port:
        context = ssl.create_default_context(cafile=arguments.authority)
        base = f"https://127.0.0.1:{arguments.tls_port}"
    dialect, events = arguments.dialect, arguments.events
    case = Case(
        Origin(dialect, base, context),
        arguments.port,
        arguments.streams,
        events,
        STREAMS[dialect](events).text,
        arguments.interval / 1e6 * events / 2,
    )
    if arguments.name in PROGRAMS:
        figures = measure_program(arguments.name, case)
    else:
        figures = measure(CONTESTANTS[arguments.name], case)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
