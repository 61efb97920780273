"""Telemetry over sockets: how readers leave on each transport, retries, proxies, parents on each
event loop, and what a collector gets. (`tests.matrix` checks the span of each case there.)"""

import threading
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import anyio
import httpx
import pytest
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.trace import StatusCode

from tests.every_transport import LOOPS, on_asyncio, run_sync
from tests.settings import HELLO, hello_world, through_a_proxy
from tests.telemetry.recording import Recorder
from tests.telemetry.test_watch import DURATION
from tests.waiting import cancelled_while_it_waits, in_a_thread, when_all_wait
from tokenwire import (
    NO_RETRY,
    Event,
    RateLimited,
    Retry,
    TransportError,
    ask,
    make_exchange,
    stream,
)
from tokenwire.server import serve
from tokenwire.server.faults import RefuseWith, StallAfter
from tokenwire.transports import httpx as httpx_transport
from tokenwire.transports.client.clients import AsyncClient
from tokenwire.transports.sync import Client


@contextmanager
def stalling() -> Generator[str]:
    """A service that says HELLO and no more."""
    with serve("darkai", hello_world, fault=StallAfter(len(HELLO))) as server:
        yield server.url


def was_left(recorder: Recorder) -> None:
    said = recorder.said
    assert said["tokenwire.outcome"] == "left"
    assert "error.type" not in said
    assert recorder.span.status.status_code is StatusCode.UNSET
    (point,) = recorder.points(DURATION)
    assert point.count == 1


class Oops(Exception):
    pass


# Blocking readers


@pytest.fixture(params=["sync", "httpx sync"])
def client(request: pytest.FixtureRequest) -> Generator[Callable[..., Any]]:
    with httpx.Client(trust_env=False) as http:
        if request.param == "sync":
            yield partial(Client, trust_env=False)
        else:
            yield partial(httpx_transport.Client, http)


@pytest.mark.parametrize("how", ["break", "exception", "close"])
def test_a_blocking_reader_leaves(how: str, client: Callable[..., Any]) -> None:
    recorder = Recorder()
    with stalling() as url, client(observers=[recorder.telemetry]) as asking:
        answer = asking.open(make_exchange("darkai", "hi", base_url=url))
        try:
            with answer:
                next(answer)
                assert recorder.spans == ()
                if how == "exception":
                    raise Oops
                if how == "close":
                    answer.close()
        except Oops:
            pass
        was_left(recorder)


def test_a_blocking_reader_is_aborted(client: Callable[..., Any]) -> None:
    recorder = Recorder()
    with stalling() as url, client(observers=[recorder.telemetry]) as asking:
        exchange = make_exchange("darkai", "hi", base_url=url)
        begun = threading.Event()

        def begin(events: list[Event]) -> None:
            begun.set()

        with (
            asking.open(exchange) as answer,
            in_a_thread(answer.abort, begun),
            pytest.raises(TransportError),
        ):
            answer.push(begin)
        was_left(recorder)


def test_an_answer_that_is_never_read() -> None:
    recorder = Recorder()
    with Client(trust_env=False, observers=[recorder.telemetry]) as asking:
        with asking.open(make_exchange("darkai", "hi", base_url="http://localhost:1")):
            pass
        was_left(recorder)


# Async readers


@contextmanager
def clients(
    name: str, recorder: Recorder, opened: list[httpx.AsyncClient]
) -> Generator[tuple[Any, Callable[[], AsyncClient]]]:
    """How to run an event loop, and a function that makes a client for it. What that needs is
    `opened`."""
    if name in LOOPS:
        loop, make = LOOPS[name]
        yield loop, lambda: make(trust_env=False, observers=[recorder.telemetry])
    else:

        def client() -> AsyncClient:
            opened.append(http := httpx.AsyncClient(trust_env=False))
            return httpx_transport.AsyncClient(http, observers=[recorder.telemetry])

        yield on_asyncio, client


async def broke(answer: Any) -> None:
    await anext(answer)


async def raised(answer: Any) -> None:
    await anext(answer)
    raise Oops


async def cancelled(answer: Any) -> None:
    await anext(answer)
    await cancelled_while_it_waits(lambda: anext(answer))


async def aborted(answer: Any) -> None:
    await anext(answer)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(when_all_wait, answer.abort)
        with pytest.raises(TransportError):
            await anext(answer)


@pytest.mark.parametrize("how", [broke, raised, cancelled, aborted])
@pytest.mark.parametrize("name", [*LOOPS, "httpx async"])
def test_an_async_reader_leaves(name: str, how: Callable[[Any], Awaitable[None]]) -> None:
    recorder, opened = Recorder(), list[httpx.AsyncClient]()

    async def main() -> None:
        async with make() as client:
            try:
                async with client.open(make_exchange("darkai", "hi", base_url=url)) as answer:
                    await how(answer)
                    assert how is aborted or recorder.spans == ()
            except Oops:
                pass
            was_left(recorder)  # in the same task
            for http in opened:
                await http.aclose()

    with stalling() as url, clients(name, recorder, opened) as (loop, make):
        loop(main)


@pytest.mark.parametrize("name", LOOPS)
def test_the_parent_is_the_span_of_the_caller_on_each_loop(name: str) -> None:
    recorder = Recorder()
    tracer = recorder.tracing.get_tracer("caller")
    above: dict[str, Any] = {}

    async def one(client: AsyncClient, number: str) -> None:
        with tracer.start_as_current_span(number) as span:
            above[number] = span.get_span_context()
            exchange = make_exchange("darkai", "hi", base_url=url, observers=[recorder.telemetry])
            await client.read(exchange)

    async def main() -> None:
        async with LOOPS[name][1](trust_env=False) as client, anyio.create_task_group() as tasks:
            for number in ("one", "two"):
                tasks.start_soon(one, client, number)

    with serve("darkai", hello_world) as server:
        url = server.url
        LOOPS[name][0](main)
    parents = [span.parent for span in recorder.spans if span.name.startswith("chat")]
    assert sorted(map(repr, parents)) == sorted(map(repr, above.values()))


def test_the_parent_in_a_thread() -> None:
    recorder = Recorder()
    tracer = recorder.tracing.get_tracer("caller")

    def work() -> None:
        with tracer.start_as_current_span("above"):
            ask("darkai", "hi", base_url=url, observers=[recorder.telemetry])

    with serve("darkai", hello_world) as server:
        url = server.url
        with in_a_thread(work):
            pass
    span, above = recorder.spans
    assert span.parent == above.get_span_context()


# Retries and proxies


def test_a_429_that_is_retried() -> None:
    recorder = Recorder()
    how: Any = {"retry": Retry(first_pause=0.05), "observers": [recorder.telemetry]}
    with (
        serve("darkai", hello_world, faults=[RefuseWith(429, "0"), None]) as server,
        Client(trust_env=False, **how) as client,
    ):
        client.read(make_exchange("darkai", "hi", base_url=server.url))
    said = recorder.said
    assert said["tokenwire.attempts"] == 2
    assert "error.type" not in said
    (point,) = recorder.points(DURATION)
    assert point.count == 1
    first = said["gen_ai.response.time_to_first_chunk"]
    assert 0.001 < first <= point.sum  # the pause is part of both


def test_nothing_but_429() -> None:
    recorder = Recorder()
    with (
        serve("darkai", hello_world, fault=RefuseWith(429, "0")) as server,
        Client(trust_env=False, retry=Retry(attempts=2, first_pause=0.01)) as client,
    ):
        how: Any = {"client": client, "observers": [recorder.telemetry]}
        with pytest.raises(RateLimited):
            ask("darkai", "hi", base_url=server.url, **how)
    said = recorder.said
    assert (said["error.type"], said["http.response.status_code"]) == ("RateLimited", 429)
    assert said["tokenwire.attempts"] == 2
    assert recorder.span.status.status_code is StatusCode.ERROR


@pytest.mark.parametrize("tls", [False, True])
def test_the_address_is_that_of_the_service_not_of_a_proxy(tls: bool) -> None:
    with through_a_proxy(tls=tls)() as asking:
        recorder = Recorder().watch(asking.exchange)
        origin = asking.exchange.request.origin
        (outcome,) = run_sync(asking.exchange, **asking.options)
        outcome.succeeded()
        asking.release()
    assert (recorder.said["server.address"], recorder.said["server.port"]) == origin[1:]
    assert origin.port != asking.port


def test_two_observers_at_once() -> None:
    one, two = Recorder(), Recorder(content="span")
    with serve("openai") as server:
        how: Any = {"base_url": server.url, "key": "", "model": "m"}
        ask("openai", "hi", observers=[one.telemetry, two.telemetry], **how)
    assert one.said["tokenwire.outcome"] == two.said["tokenwire.outcome"] == "complete"
    assert "gen_ai.output.messages" in two.said


# A collector


class Collector(BaseHTTPRequestHandler):
    """Receives spans by OTLP, in protobuf over HTTP."""

    received: list[ExportTraceServiceRequest]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.received.append(ExportTraceServiceRequest.FromString(body))
        answer = ExportTraceServiceResponse().SerializeToString()
        self.send_response(200)
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *args: object) -> None:
        pass


def test_what_a_collector_gets() -> None:
    recorder = Recorder()
    Collector.received = []
    with HTTPServer(("127.0.0.1", 0), Collector) as collector:
        thread = threading.Thread(target=collector.serve_forever)
        thread.start()
        exporter = OTLPSpanExporter(f"http://127.0.0.1:{collector.server_port}/v1/traces")
        recorder.tracing.add_span_processor(SimpleSpanProcessor(exporter))
        with serve("openai") as server:
            how: Any = {"base_url": server.url, "key": "", "model": "m", "temperature": 0}
            with stream("openai", "hi", observers=[recorder.telemetry], **how) as answer:
                list(answer)
        exporter.shutdown()  # type: ignore[no-untyped-call]
        collector.shutdown()
        thread.join()
    (request,) = Collector.received
    (span,) = request.resource_spans[0].scope_spans[0].spans
    assert (span.name, span.kind) == ("chat m", 3)
    said = {each.key: each.value for each in span.attributes}
    assert said["gen_ai.request.model"].string_value == "m"
    assert said["gen_ai.request.temperature"].WhichOneof("value") == "double_value"
    assert said["gen_ai.usage.input_tokens"].WhichOneof("value") == "int_value"
    assert said["gen_ai.request.stream"].bool_value is True
    (reason,) = said["gen_ai.response.finish_reasons"].array_value.values
    assert reason.string_value == "stop"
    assert said.keys() == recorder.said.keys()


def test_no_retry_is_one_attempt() -> None:
    recorder = Recorder()
    with (
        serve("darkai", hello_world) as server,
        Client(trust_env=False, retry=NO_RETRY, observers=[recorder.telemetry]) as client,
    ):
        client.read(make_exchange("darkai", "hi", base_url=server.url))
    assert "tokenwire.attempts" not in recorder.said
