"""The transports under test, behind one call, so that each case is written once."""

import asyncio
import ssl
import sys
from collections.abc import Awaitable, Callable
from functools import cache, partial
from typing import Any, TypeAlias

import anyio
import anyio.lowlevel
import httpx
import httpx2
import trio
import trio.testing

from tests.leftovers import assert_alone_on_asyncio, trio_tasks
from tokenwire import Exchange
from tokenwire.testing.driving import (
    Outcome,
    ask,
    ask_async,
    ask_pushed,
    ask_pushed_async,
)
from tokenwire.transports import anyio as anyio_transport
from tokenwire.transports import asyncio as asyncio_transport
from tokenwire.transports import httpx as httpx_transport
from tokenwire.transports import trio as trio_transport
from tokenwire.transports.client.clients import AsyncClient
from tokenwire.transports.client.network import Stream
from tokenwire.transports.sync import Client

Run = Callable[..., list[Outcome]]
"""The outcomes of exchanges, one after the other, by one client with options; `closed` is called
when the client is closed, while its event loop still runs."""


def run_sync(
    *exchanges: Exchange,
    closed: Callable[[], None] = lambda: None,
    asking: Callable[[Any, Exchange], Outcome] = ask,
    **options: Any,
) -> list[Outcome]:
    options.setdefault("trust_env", False)
    with Client(**options) as client:
        outcomes = [asking(client, exchange) for exchange in exchanges]
    closed()
    return outcomes


MakeClient: TypeAlias = Callable[..., AsyncClient]
AskAsync: TypeAlias = Callable[[Any, Exchange], Awaitable[Outcome]]


async def run_async(
    make: MakeClient,
    exchanges: tuple[Exchange, ...],
    closed: Callable[[], None],
    options: dict[str, Any],
    asking: AskAsync = ask_async,
) -> list[Outcome]:
    options.setdefault("trust_env", False)
    async with make(**options) as client:
        outcomes = [await asking(client, exchange) for exchange in exchanges]
    await _settle()
    closed()
    return outcomes


async def _settle() -> None:
    """Let the event loop do what it put off: asyncio closes a socket in its next round."""
    for _ in range(3):
        await anyio.lowlevel.checkpoint()


def on_asyncio(main: Callable[[], Awaitable[Any]]) -> Any:
    """What `main()` returns, in asyncio's debug mode. It may leave no task behind, on any loop."""
    return asyncio.run(_alone_on_asyncio(main), debug=True)


def on_uvloop(main: Callable[[], Awaitable[Any]]) -> Any:
    import uvloop

    return uvloop.run(_alone_on_asyncio(main), debug=True)


def on_trio(main: Callable[[], Awaitable[Any]]) -> Any:
    return trio.run(_alone_on_trio, main, strict_exception_groups=True)


def on_anyio_with_trio(main: Callable[[], Awaitable[Any]]) -> Any:
    return anyio.run(_alone_on_trio, main, backend="trio")


def on_anyio_with_asyncio(main: Callable[[], Awaitable[Any]]) -> Any:
    options = {"debug": True}
    return anyio.run(_alone_on_asyncio, main, backend="asyncio", backend_options=options)


async def _alone_on_asyncio(main: Callable[[], Awaitable[Any]]) -> Any:
    result = await main()
    assert_alone_on_asyncio()
    return result


async def _alone_on_trio(main: Callable[[], Awaitable[Any]]) -> Any:
    before = trio_tasks()
    result = await main()
    await trio.testing.wait_all_tasks_blocked()  # the one that watches the clocks ends by itself
    assert trio_tasks() == before
    return result


LOOPS: dict[
    str, tuple[Callable[[Callable[[], Awaitable[Any]]], Any], Callable[..., AsyncClient]]
] = {
    "asyncio": (on_asyncio, asyncio_transport.Client),
    "trio": (on_trio, trio_transport.Client),
    "anyio on asyncio": (on_anyio_with_asyncio, anyio_transport.Client),
    "anyio on trio": (on_anyio_with_trio, anyio_transport.Client),
}
if sys.platform != "win32":  # uvloop is not made for it
    LOOPS["uvloop"] = (on_uvloop, asyncio_transport.Client)


def _run_on(name: str, asking: AskAsync = ask_async) -> Run:
    loop, make = LOOPS[name]

    def run(
        *exchanges: Exchange, closed: Callable[[], None] = lambda: None, **options: Any
    ) -> list[Outcome]:
        outcomes: list[Outcome] = loop(lambda: run_async(make, exchanges, closed, options, asking))
        return outcomes

    return run


def run_httpx(
    *exchanges: Exchange,
    module: Any = httpx,
    closed: Callable[[], None] = lambda: None,
    **options: Any,
) -> list[Outcome]:
    http, own = _split(module, options)
    with module.Client(**http) as client, httpx_transport.Client(client, **own) as asking:
        outcomes = [ask(asking, exchange) for exchange in exchanges]
    closed()
    return outcomes


async def run_httpx_async(
    module: Any,
    exchanges: tuple[Exchange, ...],
    closed: Callable[[], None],
    options: dict[str, Any],
) -> list[Outcome]:
    http, own = _split(module, options)
    async with (
        module.AsyncClient(**http) as client,
        httpx_transport.AsyncClient(client, **own) as asking,
    ):
        outcomes = [await ask_async(asking, exchange) for exchange in exchanges]
    await _settle()
    closed()
    return outcomes


def _split(module: Any, options: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The options of httpx's client, by its words, and those of ours."""
    own = dict(options)
    context, proxy = own.pop("ssl_context", None) or _default_context(), own.pop("proxy", None)
    if proxy is not None and proxy.startswith("https:"):
        proxy = module.Proxy(proxy, ssl_context=context)  # by itself it takes another one
    http = {"verify": context, "proxy": proxy, "trust_env": own.pop("trust_env", False)}
    return http, own


@cache
def _default_context() -> ssl.SSLContext:
    return ssl.create_default_context()  # once, as it takes 15 ms


def _run_httpx_on(loop: Callable[[Callable[[], Awaitable[Any]]], Any], module: Any) -> Run:
    def run(
        *exchanges: Exchange, closed: Callable[[], None] = lambda: None, **options: Any
    ) -> list[Outcome]:
        outcomes: list[Outcome] = loop(lambda: run_httpx_async(module, exchanges, closed, options))
        return outcomes

    return run


TRANSPORTS: dict[str, Run] = (
    {"sync": run_sync}
    | {name: _run_on(name) for name in LOOPS}
    | {
        "httpx sync": run_httpx,
        "httpx async": _run_httpx_on(on_asyncio, httpx),
        "httpx async on trio": _run_httpx_on(on_trio, httpx),
        "httpx2 sync": partial(run_httpx, module=httpx2),
    }
)


PUSHING: dict[str, Run] = {"sync": partial(run_sync, asking=ask_pushed)} | {
    name: _run_on(name, ask_pushed_async) for name in LOOPS if "anyio" not in name
}
"""The native transports, by push delivery. anyio's runs the code of the others."""


async def received(stream: Stream, deadline: float | None = None) -> bytes:
    """What comes next by `stream`; empty once its peer has closed."""
    while (data := stream.take()) is None:
        await stream.wait(deadline)
    return data
