"""Calls the gateway's application in memory, as an ASGI server does, and hears what it says."""

from collections.abc import AsyncGenerator, Callable, MutableMapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import anyio

from tests.driving import Outcome, Response, drive
from tokenwire import Chat, Exchange, Provider, as_chat
from tokenwire.gateway.app import App
from tokenwire.gateway.config import Config, load
from tokenwire.gateway.delivery import BrokenOff
from tokenwire.gateway.record import Record
from tokenwire.protocols.registry import PROVIDERS
from tokenwire.protocols.toolkit.http import Headers, Request, get_header

FRONTS = ("openai", "openai-responses", "anthropic", "gemini", "ollama", "cohere", "bedrock")
BASE = {
    "gemini": "http://gateway/v1beta",
    "anthropic": "http://gateway",
    "ollama": "http://gateway",
    "cohere": "http://gateway",
    "bedrock": "http://gateway",
}


@dataclass
class Heard:
    """What a caller has received. `whole`: whether the server ended the body as it should."""

    status: int = 0
    headers: Headers = field(default_factory=lambda: list[tuple[bytes, bytes]]())
    body: bytes = b""
    whole: bool = False
    writes: int = 0

    def header(self, name: str) -> str | None:
        return get_header(self.headers, name.encode())

    @property
    def response(self) -> Response:
        return Response(self.body, self.status, self.headers, "eof" if self.whole else "disconnect")


class Caller:
    """Sends one request to `app`, at most `pieces` of it with `cut` bytes each, unless it `asks`
    nothing. `left` has it go away; `takes` is awaited with each piece of the answer."""

    def __init__(self, app: App, request: Request, **scope: Any) -> None:
        self.heard = Heard()
        self.left = anyio.Event()
        self.takes: Callable[[Heard], Any] | None = None
        self._app = app
        self._request = request
        self.asks = True
        self.cut = 1 << 30
        self.more = 0
        self.pieces = 1 << 30
        self._rest: bytes | None = request.body
        self._scope: dict[str, Any] = {
            "type": "http",
            "method": request.method,
            "path": request.target.partition("?")[0],
            "raw_path": request.target.partition("?")[0].encode(),
            "query_string": request.target.partition("?")[2].encode(),
            "headers": [(b"host", b"localhost:4000"), *request.headers],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 4000),
            **scope,
        }

    async def run(self) -> Heard:
        with suppress(BrokenOff):
            await self._app(self._scope, self._receive, self._send)
        return self.heard

    async def _receive(self) -> MutableMapping[str, Any]:
        if self.asks and self._rest is not None and self.pieces:
            self.pieces -= 1
            piece, rest = self._rest[: self.cut], self._rest[self.cut :]
            self._rest = rest or None
            return {"type": "http.request", "body": piece, "more_body": bool(rest)}
        if self.more:
            self.more -= 1
            return {"type": "http.request", "body": b"", "more_body": False}
        await self.left.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: MutableMapping[str, Any]) -> None:
        heard = self.heard
        if message["type"] == "http.response.start":
            assert not heard.status
            heard.status, heard.headers = message["status"], message["headers"]
            return
        assert heard.status
        assert not heard.whole
        heard.body += message["body"]
        heard.writes += 1
        heard.whole = not message.get("more_body", False)
        if self.takes is not None:
            await self.takes(heard)


def exchange_of(
    front: str, model: str, chat: Chat | str = "Hi there", *, key: str = "caller's", **options: Any
) -> Exchange:
    """What a caller asks in the format of the provider `front`."""
    provider: Provider = PROVIDERS[front]
    chat = as_chat(chat, model=model, **options)
    return provider.exchange(chat, base_url=BASE.get(front, "http://gateway/v1"), key=key)


async def ask(app: App, exchange: Exchange) -> tuple[Outcome, Heard]:
    """The outcome of `exchange` at the gateway, and the bytes that say so."""
    request = exchange.next_request()
    assert request is not None
    heard = await Caller(app, request).run()
    return drive(exchange.fresh(), heard.response), heard


def config_of(text: str) -> Config:
    return load(text, name="gateway.toml", environment={}, read=lambda path: "")


def for_backs(**urls: str) -> str:
    """A configuration with a model for each of these providers, which is called like it."""
    lines: list[str] = []
    for name, url in urls.items():
        provider = name.replace("_", "-")
        lines += [
            f"[providers.{provider}]",
            f'dialect = "{PROVIDERS[provider].dialect.name}"',
            f'base_url = "{url}"',
            "[[models]]",
            f'name = "{provider}"',
            f'targets = [{{ provider = "{provider}", model = "m", max_tokens = 100 }}]',
        ]
    return "\n".join(lines)


@asynccontextmanager
async def gateway(text: str) -> AsyncGenerator[tuple[App, list[Record]]]:
    """The application, and the records of its calls."""
    records: list[Record] = []
    app = App(config_of(text), settled=records.append)
    try:
        yield app, records
    finally:
        app.shared.client.close()
