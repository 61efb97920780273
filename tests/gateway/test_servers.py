"""The application on the ASGI servers that people run, and the vendors' SDKs in front of it."""

import asyncio
import logging
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, TypeAlias

import hypercorn.asyncio as hypercorn
import pytest
from anthropic import APIStatusError as AnthropicError
from anthropic import AsyncAnthropic
from granian.constants import Interfaces
from granian.server.embed import Server as Granian
from hypercorn.config import Config as HypercornConfig
from openai import APIError, AsyncOpenAI
from openai.types.chat import ChatCompletionMessageParam

from tests.waiting import WAIT
from tokenwire.gateway import app
from tokenwire.gateway.app import App
from tokenwire.gateway.log import without_break_offs
from tokenwire.gateway.run import server_of
from tokenwire.server import serve
from tokenwire.server.faults import CloseAfter

from .driving import config_of, for_backs
from .running import backs, chat, exchange, is_whole, running

Running: TypeAlias = Callable[[App], AbstractAsyncContextManager[str]]


@asynccontextmanager
async def uvicorn(app: App) -> AsyncGenerator[str]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = server_of(app, lifespan="on")
        task = asyncio.ensure_future(server.serve([listener]))
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            await task


@asynccontextmanager
async def hypercorn_server(app: App) -> AsyncGenerator[str]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        config = HypercornConfig()
        config.bind = [f"fd://{listener.fileno()}"]
        config.errorlog = logging.getLogger("hypercorn.error")
        stop = asyncio.Event()
        serving: Awaitable[Any] = hypercorn.serve(  # pyright: ignore[reportUnknownMemberType]
            app,  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
            config,
            shutdown_trigger=stop.wait,
        )
        task = asyncio.ensure_future(serving)
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            stop.set()
            await task
            listener.detach()  # it has closed it


@asynccontextmanager
async def granian(app: App) -> AsyncGenerator[str]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    server = Granian(app, address="127.0.0.1", port=port, interface=Interfaces.ASGI)
    task = asyncio.ensure_future(server.serve())
    try:
        async with asyncio.timeout(WAIT):
            while True:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                except OSError:
                    await asyncio.sleep(0.02)
                else:
                    writer.close()
                    break
        yield f"http://127.0.0.1:{port}"
    finally:
        server.stop()  # type: ignore[no-untyped-call]
        await task


SERVERS = [uvicorn, hypercorn_server, granian]


@pytest.mark.parametrize("server", SERVERS)
def test_a_whole_answer_and_one_that_breaks_off(
    server: Running, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.handler.addFilter(without_break_offs)

    async def main() -> tuple[bytes, bytes]:
        async with serve("openai", faults=[None, CloseAfter(700)]) as upstream:
            text = for_backs(openai=upstream.url)
            async with server(app(config_of(text))) as url:
                whole, cut = [
                    await exchange(url, "POST", "/v1/chat/completions", chat("openai", text=word))
                    for word in ("Hello", "Hello")
                ]
        return whole, cut

    whole, cut = asyncio.run(main())
    assert b"[DONE]" in whole
    assert is_whole(whole)
    assert cut.startswith(b"HTTP/1.1 200")
    assert b"upstream_truncated" in cut
    assert b"[DONE]" not in cut
    assert not is_whole(cut)
    assert "BrokenOff" not in caplog.text


def test_openai() -> None:
    async def main() -> None:
        async with (
            serve("openai", faults=[None, None, CloseAfter(700)]) as upstream,
            running(backs(upstream.url)) as gateway,
            AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key="any", max_retries=0) as client,
        ):
            ask = client.chat.completions.create
            messages: list[ChatCompletionMessageParam] = [
                {"role": "user", "content": "Are you there?"}
            ]
            answer = await ask(model="openai", messages=messages)
            assert "Are you there?" in (answer.choices[0].message.content or "")
            text = ""
            async for chunk in await ask(model="openai", messages=messages, stream=True):
                text += chunk.choices[0].delta.content or "" if chunk.choices else ""
            assert "Are you there?" in text
            with pytest.raises(APIError, match="broke off"):
                async for _ in await ask(model="openai", messages=messages, stream=True):
                    pass

    asyncio.run(main())


def test_anthropic_in_front_of_chat_completions() -> None:
    async def main() -> None:
        async with (
            serve("openai", faults=[None, CloseAfter(700)]) as upstream,
            running(backs(upstream.url)) as gateway,
            AsyncAnthropic(base_url=gateway.url, api_key="any", max_retries=0) as client,
        ):
            question: Any = {
                "model": "openai",
                "max_tokens": 100,
                "messages": [{"role": "user", "content": "Are you there?"}],
            }
            async with client.messages.stream(**question) as stream:
                assert "Are you there?" in await stream.get_final_text()
            with pytest.raises(AnthropicError, match="broke off"):
                async with client.messages.stream(**question) as stream:
                    await stream.get_final_text()

    asyncio.run(main())
