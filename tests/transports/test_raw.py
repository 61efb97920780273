"""`raw_batches`, `request_id` and `headers` of an answer, on each kind of transport."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

import httpx
import pytest

from tests.every_transport import LOOPS
from tests.settings import DONE, WORLD, by_hand
from tokenwire import (
    Event,
    Exchange,
    LocalProtocolError,
    Refused,
    Reply,
    Truncated,
    make_exchange,
)
from tokenwire.server import serve
from tokenwire.server.faults import Cutting, RefuseWith
from tokenwire.transports import asyncio as asyncio_transport
from tokenwire.transports import httpx as httpx_transport
from tokenwire.transports import sync


def read(answer: Any) -> tuple[list[bytes], list[Event]]:
    raw: list[bytes] = []
    events: list[Event] = []
    for data, batch in answer.raw_batches():
        raw.append(data)
        events += batch
    return raw, events


@pytest.mark.parametrize("transport", ["sync", "httpx"])
def test_raw_batches_of_a_blocking_answer(transport: str) -> None:
    with serve("ylokh", cutting=Cutting.of_sizes(7)) as server, httpx.Client() as http:
        client: Any = sync.Client() if transport == "sync" else httpx_transport.Client(http)
        with client:
            exchange = make_exchange("ylokh", "Is it whole?", base_url=server.url)
            with client.open(exchange.fresh()) as answer:
                expected = list(answer)
            with client.open(exchange) as answer:
                raw, events = read(answer)
                with pytest.raises(LocalProtocolError, match="before anything is read"):
                    answer.raw_batches()
    assert events[1:] == expected[1:]  # each answer has an id of its own
    assert b"".join(raw).endswith(b"data: [DONE]\n\n")
    assert all(data.startswith(b"data: ") or not data for data in raw)
    assert all(data.endswith(b"\n\n") for data in raw[:-1] if data)


@pytest.mark.parametrize("transport", ["asyncio", "httpx"])
def test_raw_batches_of_an_async_answer(transport: str) -> None:
    async def main(url: str) -> tuple[list[bytes], list[Event]]:
        raw: list[bytes] = []
        events: list[Event] = []
        async with httpx.AsyncClient() as http:
            client: Any = (
                asyncio_transport.Client()
                if transport == "asyncio"
                else httpx_transport.AsyncClient(http)
            )
            async with client, client.open(make_exchange("ylokh", "Hi", base_url=url)) as answer:
                batches = answer.raw_batches()
                async for data, batch in batches:
                    raw.append(data)
                    events += batch
                with pytest.raises(StopAsyncIteration):
                    await anext(batches)
        return raw, events

    with serve("ylokh") as server:
        raw, events = asyncio.run(main(server.url))
    assert events
    assert b"".join(raw).endswith(b"data: [DONE]\n\n")


@pytest.mark.parametrize("transport", ["sync", "httpx", "asyncio"])
def test_the_id_of_the_request(transport: str) -> None:
    fault = RefuseWith(429, headers=(("x-request-id", "req-7"),))

    async def main(url: str) -> tuple[str | None, Refused]:
        exchange = make_exchange("ylokh", "Hi", base_url=url)
        async with asyncio_transport.Client() as client, client.open(exchange) as answer:
            assert answer.request_id is None
            with pytest.raises(Refused) as caught:
                await answer.read()
            return answer.request_id, caught.value

    with serve("ylokh", fault=fault) as server, httpx.Client() as http:
        if transport == "asyncio":
            found, error = asyncio.run(main(server.url))
        else:
            client: Any = sync.Client() if transport == "sync" else httpx_transport.Client(http)
            exchange = make_exchange("ylokh", "Hi", base_url=server.url)
            with client, client.open(exchange) as answer:
                assert answer.request_id is None
                with pytest.raises(Refused) as caught:
                    answer.read()
                found, error = answer.request_id, caught.value
    assert found == error.request_id == "req-7"
    assert error.answer is not None
    assert error.answer.request_id == "req-7"


HEADERS = [
    (b"content-type", b"text/event-stream"),
    (b"x-request-id", b"req-8"),
    (b"x-ratelimit-remaining-requests", b"99"),
    (b"set-cookie", b"sid=sesame"),
    (b"content-length", b"%d" % len(WORLD + DONE)),
]


@pytest.mark.parametrize("transport", [*LOOPS, "sync", "httpx", "httpx async"])
def test_the_headers_of_a_success(transport: str) -> None:
    lines = b"".join(b"%b: %b\r\n" % pair for pair in HEADERS)

    async def read(make: Callable[..., Any], exchange: Exchange) -> tuple[Any, Reply]:
        async with make() as client, client.open(exchange) as answer:
            assert answer.headers == []
            reply = await answer.read()
            return answer, reply

    async def by_httpx(exchange: Exchange) -> tuple[Any, Reply]:
        async with httpx.AsyncClient(trust_env=False) as http:
            return await read(lambda: httpx_transport.AsyncClient(http), exchange)

    with by_hand(b"HTTP/1.1 200 OK\r\n%b\r\n%b" % (lines, WORLD + DONE))() as asking:
        exchange = asking.exchange
        if transport in LOOPS:
            loop, make = LOOPS[transport]
            answer, reply = loop(lambda: read(partial(make, trust_env=False), exchange))
        elif transport == "httpx async":
            answer, reply = asyncio.run(by_httpx(exchange))
        else:
            with httpx.Client(trust_env=False) as http:
                client: Any = httpx_transport.Client(http)
                if transport == "sync":
                    client = sync.Client(trust_env=False)
                with client, client.open(exchange) as answer:
                    assert answer.headers == []
                    reply = answer.read()
    assert reply.text == "wörld"
    assert reply.headers == answer.headers == HEADERS
    for each in (reply, answer):
        assert each.header("X-RateLimit-Remaining-Requests") == "99"
        assert each.header("x-ratelimit-reset-requests") is None
        assert each.request_id == "req-8"
        assert "sesame" not in repr(each)


def test_an_answer_that_failed_has_headers_in_its_error() -> None:
    head = b"HTTP/1.1 200 OK\r\nx-ratelimit-limit: 9\r\nset-cookie: sid=sesame\r\n\r\n"
    with (
        by_hand(head + WORLD)() as asking,
        sync.Client(trust_env=False) as client,
        pytest.raises(Truncated) as caught,
    ):
        client.read(asking.exchange)
    assert caught.value.headers == [(b"x-ratelimit-limit", b"9")]
    assert caught.value.answer is not None
    assert caught.value.answer.text == "wörld"
    assert caught.value.answer.headers == []


def test_an_answer_that_was_never_read() -> None:
    exchange = make_exchange("ylokh", "Hi", base_url="http://127.0.0.1:9")
    with httpx.Client() as http, httpx_transport.Client(http) as client:
        with client.open(exchange) as answer:
            assert answer.request_id is None
        assert exchange.unstarted
