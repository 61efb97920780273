"""Gateways that run: on real sockets, in the event loop of the test, by a clock of the test's."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

from tests.waiting import WAIT
from tokenwire import End, Event, Finish, Text
from tokenwire.gateway.run import Gateway, listen
from tokenwire.gateway.sources import FileSource, Source, TextSource

from .driving import for_backs

ANYWHERE = 'listen = "127.0.0.1:0"\nadmin = "127.0.0.1:0"\n'
DONE: list[Event] = [Finish("stop", "stop"), End("terminator")]


class Clock:
    """Time that passes when the test says so: what sleeps so many seconds goes on once that time
    is `up`."""

    def __init__(self) -> None:
        self.up: defaultdict[float, asyncio.Event] = defaultdict(asyncio.Event)
        self.asleep: defaultdict[float, asyncio.Event] = defaultdict(asyncio.Event)

    async def sleep(self, seconds: float) -> None:
        self.asleep[seconds].set()
        await self.up[seconds].wait()
        self.up[seconds].clear()


class Running:
    """A gateway that runs. `lines` are its log's; `result` is what `run` has returned."""

    def __init__(self, gateway: Gateway, clock: Clock, lines: list[str]) -> None:
        self.gateway = gateway
        self.clock = clock
        self.lines = lines
        self.url = self.admin = ""
        self.result: asyncio.Task[bool]

    @property
    def log(self) -> list[dict[str, Any]]:
        return [msgspec.json.decode(line) for line in self.lines]

    async def get(self, path: str) -> tuple[int, str]:
        """What operators read."""
        return parsed(await exchange(self.admin, "GET", path))

    async def ask(self, model: str, *, stream: bool = True, text: str = "Hello") -> bytes:
        """All bytes of the response to a question, as they came."""
        return await exchange(self.url, "POST", "/v1/chat/completions", chat(model, stream, text))

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(WAIT):
            while not condition():
                await asyncio.sleep(0.01)


@asynccontextmanager
async def running(text: str | Path, *, watch: bool = False) -> AsyncGenerator[Running]:
    """A gateway with the configuration `text`, or that in a file."""
    source: Source = FileSource(text) if isinstance(text, Path) else TextSource("test", text)
    config, clock, lines = source.load(), Clock(), list[str]()
    with listen(config) as (public, admin):
        gateway = Gateway(
            source, config, public, admin, watch=watch, write=lines.append, sleep=clock.sleep
        )
        self = Running(gateway, clock, lines)
        self.url, self.admin = public.url, admin.url if admin is not None else ""
        self.result = asyncio.ensure_future(gateway.run())
        try:
            yield self
        finally:
            clock.up[0].set()
            clock.up[0.1].set()
            if not self.result.done():
                gateway.drain(at_once=True)
            async with asyncio.timeout(WAIT):
                await self.result


def backs(url: str, **options: object) -> str:
    """A configuration with the model `openai` of the server at `url`."""
    lines = [f"{name} = {msgspec.json.encode(value).decode()}\n" for name, value in options.items()]
    return ANYWHERE + "".join(lines) + for_backs(openai=url)


def chat(model: str, stream: bool = True, text: str = "Hello") -> bytes:
    """A request for chat completions."""
    message = {"role": "user", "content": text}
    return msgspec.json.encode({"model": model, "stream": stream, "messages": [message]})


def request_of(url: str, method: str, path: str, body: bytes = b"") -> bytes:
    lines = [
        f"{method} {path} HTTP/1.1",
        f"host: {urlsplit(url).netloc}",
        "connection: close",
        "content-type: application/json",
        f"content-length: {len(body)}",
    ]
    return "".join(f"{line}\r\n" for line in (*lines, "")).encode() + body


async def exchange(url: str, method: str, path: str, body: bytes = b"") -> bytes:
    """All that a server at `url` sends back, up to the end of the connection."""
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    try:
        writer.write(request_of(url, method, path, body))
        async with asyncio.timeout(WAIT):
            return await _rest(reader)
    finally:
        writer.close()


async def _rest(reader: asyncio.StreamReader) -> bytes:
    data = b""
    try:
        while piece := await reader.read(65536):
            data += piece
    except ConnectionResetError:
        pass
    return data


def parsed(response: bytes) -> tuple[int, str]:
    """The status and the body of a response with a content-length."""
    head, _, body = response.partition(b"\r\n\r\n")
    return int(head.split()[1]), body.decode()


def is_whole(response: bytes) -> bool:
    """Whether a chunked response has its last chunk."""
    assert b"transfer-encoding: chunked" in response.lower()
    return response.endswith(b"0\r\n\r\n")


class Gate:
    """An answer of an upstream, which waits in the middle until it is `open`."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.waiting = asyncio.Event()

    async def answer(self, _: object) -> AsyncGenerator[Event]:
        yield Text("first ")
        self.waiting.set()
        await self.open.wait()
        yield Text("last")
        for event in DONE:
            yield event
