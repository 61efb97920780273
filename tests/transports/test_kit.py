"""Every transport passes `tokenwire.testing.check_transport`, check by check; a bad one fails."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import anyio
import httpx
import pytest
import trio

from tokenwire.protocols.errors import Truncated
from tokenwire.testing import TRANSPORT_CHECKS, check_transport
from tokenwire.testing.transport import Run
from tokenwire.transports import anyio as anyio_transport
from tokenwire.transports import asyncio as asyncio_transport
from tokenwire.transports import httpx as httpx_transport
from tokenwire.transports import sync
from tokenwire.transports import trio as trio_transport


def on_asyncio(main: Callable[[], Awaitable[Any]]) -> Any:
    async def run() -> Any:
        return await main()

    return asyncio.run(run())


class BlockingHTTPX(httpx_transport.Client):
    """With an HTTP client of its own."""

    def __init__(self, **options: Any) -> None:
        super().__init__(httpx.Client(trust_env=False), **options)

    def close(self) -> None:
        super().close()
        self._http.close()


class AsyncHTTPX(httpx_transport.AsyncClient):
    """Likewise."""

    def __init__(self, **options: Any) -> None:
        super().__init__(httpx.AsyncClient(trust_env=False), **options)

    async def __aexit__(self, *reason: object) -> None:
        await super().__aexit__(*reason)
        await self._http.aclose()


TRANSPORTS: dict[str, tuple[Callable[..., Any], Run | None]] = {
    "sync": (partial(sync.Client, trust_env=False), None),
    "asyncio": (partial(asyncio_transport.Client, trust_env=False), on_asyncio),
    "trio": (partial(trio_transport.Client, trust_env=False), trio.run),
    "anyio on trio": (
        partial(anyio_transport.Client, trust_env=False),
        partial(anyio.run, backend="trio"),
    ),
    "httpx": (BlockingHTTPX, None),
    "httpx on asyncio": (AsyncHTTPX, on_asyncio),
}


# httpx returns a connection only if its response ended before the answer did (see the module).
CASES = [
    (check, name)
    for check in TRANSPORT_CHECKS
    for name in TRANSPORTS
    if (check, name) != ("connections are reused", "httpx")
]


@pytest.mark.crosswise
@pytest.mark.parametrize(("check", "name"), CASES)
def test_each_transport(check: str, name: str) -> None:
    TRANSPORT_CHECKS[check](*TRANSPORTS[name])


class Credulous(sync.Client):
    """A transport that takes a truncated answer for a whole one."""

    def open(self, exchange: Any) -> Any:
        answer = super().open(exchange)
        give = type(answer).__next__

        class Answer(type(answer)):  # type: ignore[misc]  # a class that is known at run time
            def __next__(self) -> Any:
                try:
                    return give(self)
                except Truncated:
                    raise StopIteration from None

        answer.__class__ = Answer
        return answer


def test_a_faulty_transport_is_found_out() -> None:
    with pytest.raises(AssertionError, match="CloseAfter"):
        TRANSPORT_CHECKS["faults"](partial(Credulous, trust_env=False), None)


def test_all_checks_but_some() -> None:
    check_transport(
        *TRANSPORTS["sync"], without=TRANSPORT_CHECKS.keys() - {"misuse", "no connection"}
    )
    with pytest.raises(AssertionError, match="CloseAfter"):
        check_transport(partial(Credulous, trust_env=False), without={"answers"})
