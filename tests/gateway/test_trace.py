"""Traces of a gateway: a span for each call, and below it one for each attempt."""

import asyncio
import sys
from typing import Any

import anyio
import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import SpanKind, StatusCode

from tests.driving import Outcome, drive
from tests.gateway.driving import Caller, Heard, ask, config_of, exchange_of
from tests.gateway.running import backs, running
from tests.telemetry.recording import Recorder
from tokenwire import Refused, Truncated
from tokenwire.gateway.app import App
from tokenwire.gateway.config import ConfigError
from tokenwire.gateway.trace import exporting
from tokenwire.protocols.provider import installed
from tokenwire.protocols.toolkit.http import Request
from tokenwire.server import serve
from tokenwire.server.faults import CloseAfter, Fault, RefuseWith
from tokenwire.telemetry import Instrumentor

ABOVE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
SENTINEL = "SENTINEL"


def file_of(url: str, rules: str = "") -> str:
    """A gateway with traces, and a model `m` that two providers can answer."""
    return f"""
        traces = true
        insecure_literal_keys = true
        [providers.first]
        preset = "openai"
        base_url = "{url}"
        key = "sk-SENTINEL-of-ours"
        [providers.second]
        dialect = "anthropic"
        base_url = "{url}"
        [[models]]
        name = "m"
        {rules}
        targets = [
          {{ provider = "first", model = "one" }},
          {{ provider = "second", model = "two", max_tokens = 50 }},
        ]
    """


class Traced:
    """What became of a call, and its spans."""

    def __init__(self, recorder: Recorder, heard: Heard, outcome: Outcome) -> None:
        self.heard = heard
        self.outcome = outcome
        self.spans = recorder.spans
        self.text = recorder.all()
        (self.call,) = (span for span in self.spans if span.kind is SpanKind.SERVER)
        self.attempts = [span for span in self.spans if span.kind is SpanKind.CLIENT]
        self.said: dict[str, Any] = dict(self.call.attributes or {})


def said(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


def asked_by(
    recorder: Recorder,
    file: str,
    front: str = "openai",
    *,
    model: str = "m",
    stream: bool = True,
    **headers: str,
) -> tuple[Heard, Outcome]:
    """What a caller of a gateway gets, whose spans go to `recorder`."""

    async def main() -> tuple[Heard, Outcome]:
        app = App(config_of(file), tracer_provider=recorder.tracing)
        exchange = exchange_of(front, model, SENTINEL, stream=stream)
        request = exchange.next_request()
        assert request is not None
        request.headers.extend((n.encode(), v.encode()) for n, v in headers.items())
        heard = await Caller(app, request).run()
        app.shared.client.close()
        return heard, drive(exchange.fresh(), heard.response)

    return anyio.run(main)


def traced(file: str, front: str = "openai", **how: Any) -> Traced:
    """A call to a gateway."""
    recorder = Recorder()
    return Traced(recorder, *asked_by(recorder, file, front, **how))


@pytest.mark.parametrize("front", ["openai", "anthropic", "gemini"])
def test_a_call(front: str) -> None:
    """In the relay lane, and translated."""
    with serve("openai") as upstream:
        found = traced(file_of(upstream.url), front, traceparent=ABOVE, tracestate="a=b")
        (request,) = upstream.requests
    found.outcome.succeeded()
    call, (attempt,) = found.call, found.attempts
    assert call.name == "chat m"
    assert call.parent is not None
    assert f"{call.parent.trace_id:032x}-{call.parent.span_id:016x}" in ABOVE
    assert call.status.status_code is StatusCode.UNSET
    assert attempt.parent == call.get_span_context()
    assert attempt.name == "chat one"
    context = attempt.get_span_context()
    assert context is not None
    headers = dict(request.headers)
    below = f"00-{context.trace_id:032x}-{context.span_id:016x}-".encode()
    assert headers[b"traceparent"].startswith(below)
    assert headers[b"tracestate"] == b"a=b"
    lane = "relay" if front == "openai" else "translate"
    found.said.pop("tokenwire.request.id")
    tokens = {name for name in found.said if name.startswith("gen_ai.usage.")}
    assert {"gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens"} <= tokens
    assert {name: value for name, value in found.said.items() if name not in tokens} == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "m",
        "gen_ai.request.stream": True,
        "gen_ai.response.model": "one",
        "gen_ai.response.finish_reasons": ("stop",),
        "http.response.status_code": 200,
        "tokenwire.evidence": "terminator",
        "tokenwire.front": {"openai": "openai_chat"}.get(front, front),
        "tokenwire.lane": lane,
        "tokenwire.target": "first/one",
        "tokenwire.attempts": 1,
        "tokenwire.outcome": "complete",
    }
    of_attempt = said(attempt)
    assert of_attempt["tokenwire.target"] == "first/one"
    assert of_attempt["tokenwire.attempt"] == 1
    assert of_attempt["tokenwire.outcome"] == "complete"
    assert "gen_ai.request.max_tokens" not in of_attempt  # a relay would have to guess
    assert SENTINEL not in found.text


def test_a_call_of_nobody() -> None:
    with serve("openai") as upstream:
        found = traced(file_of(upstream.url))
    assert found.call.parent is None


def test_a_call_that_is_not_sampled() -> None:
    """Its upstream is told so."""
    with serve("openai") as upstream:
        recorder = Recorder(sampler=ALWAYS_OFF)
        asked_by(recorder, file_of(upstream.url))[1].succeeded()
        assert dict(upstream.requests[0].headers)[b"traceparent"].endswith((b"-00", b"-02"))
    assert recorder.spans == ()


def test_a_call_that_is_not_streamed() -> None:
    with serve("openai") as upstream:
        found = traced(file_of(upstream.url), stream=False)
    found.outcome.succeeded()
    assert "gen_ai.request.stream" not in found.said
    assert "gen_ai.request.stream" not in said(found.attempts[0])


def test_two_attempts() -> None:
    with serve("openai", faults=[RefuseWith(503), None]) as upstream:
        file = file_of(upstream.url).replace('dialect = "anthropic"', 'dialect = "openai_chat"')
        found = traced(file)
    found.outcome.succeeded()
    assert found.said["tokenwire.attempts"] == 2
    assert found.said["tokenwire.target"] == "second/two"
    assert found.said["gen_ai.provider.name"] == "second"
    assert [said(span)["tokenwire.target"] for span in found.attempts] == [
        *("first/one", "second/two")
    ]
    assert [said(span)["tokenwire.attempt"] for span in found.attempts] == [1, 2]
    assert [span.status.status_code for span in found.attempts] == [
        *(StatusCode.ERROR, StatusCode.UNSET)
    ]
    assert [span.parent for span in found.attempts] == [found.call.get_span_context()] * 2


@pytest.mark.parametrize(
    ("fault", "status", "outcome", "wrong"),
    [
        (CloseAfter(500), 200, "truncated", True),
        (RefuseWith(503), 503, "upstream_error", True),
        (RefuseWith(400), 400, "bad_request", False),
    ],
)
def test_a_call_that_fails(fault: Fault, status: int, outcome: str, wrong: bool) -> None:
    with serve("openai", fault=fault) as upstream:
        found = traced(file_of(upstream.url, "attempts = 1"))
    assert isinstance(found.outcome.error, Refused | Truncated)
    assert found.said["http.response.status_code"] == status
    assert found.said["tokenwire.outcome"] == found.said["error.type"] == outcome
    assert (found.call.status.status_code is StatusCode.ERROR) is wrong
    (attempt,) = found.attempts
    assert attempt.status.status_code is StatusCode.ERROR


def test_a_call_that_asks_nobody() -> None:
    found = traced(file_of("http://localhost:1"), model="other")
    assert found.attempts == []
    assert found.call.name == "chat"
    assert found.said["http.response.status_code"] == 404
    assert "gen_ai.provider.name" not in found.said


def test_a_target_that_cannot_be_asked_is_no_attempt() -> None:
    """Its limit is used up."""
    with serve("openai") as upstream:
        file = file_of(upstream.url).replace(
            'model = "one" }', 'model = "one", limits = { tpm = 1 } }'
        )
        file = file.replace('dialect = "anthropic"', 'dialect = "openai_chat"')
        found = traced(file)
    found.outcome.succeeded()
    assert [said(span)["tokenwire.target"] for span in found.attempts] == ["second/two"]
    assert said(found.attempts[0])["tokenwire.attempt"] == 1


def test_what_is_no_chat_has_no_span() -> None:
    recorder = Recorder()

    async def main() -> None:
        app = App(config_of(file_of("http://localhost:1")), tracer_provider=recorder.tracing)
        for path in ("/health", "/v1/models", "/nowhere"):
            await Caller(app, Request("GET", f"http://gateway{path}", [])).run()
        app.shared.client.close()

    anyio.run(main)
    assert recorder.spans == ()


def test_without_traces_nothing_is_imported_or_sent() -> None:
    async def main() -> None:
        with serve("openai") as upstream:
            app = App(config_of(file_of(upstream.url).replace("traces = true", "")))
            assert app.shared.tracing is None
            exchange = exchange_of("openai", "m")
            outcome, _ = await ask(app, exchange)
            outcome.succeeded()
            assert b"traceparent" not in dict(upstream.requests[0].headers)
            app.shared.client.close()

    anyio.run(main)


def test_the_instrumentation_of_the_program_is_ended() -> None:
    """Its spans would be there twice."""
    Instrumentor().instrument()
    before = list(installed)
    App(config_of(file_of("http://localhost:1"))).shared.client.close()
    assert before
    assert installed == []


# Sending


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch) -> list[TracerProvider]:
    """The provider of the program, which can be set again and again."""
    found: list[TracerProvider] = []
    nobody = trace.ProxyTracerProvider()
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: found[-1] if found else nobody)
    monkeypatch.setattr(trace, "set_tracer_provider", found.append)
    return found


@pytest.mark.parametrize("name", ["", "mine"])
def test_spans_are_sent_by_otlp(
    name: str, program: list[TracerProvider], monkeypatch: pytest.MonkeyPatch
) -> None:
    if name:
        monkeypatch.setenv("OTEL_SERVICE_NAME", name)
    end = exporting()
    (provider,) = program
    assert provider.resource.attributes["service.name"] == (name or "tokenwire-gateway")
    end()


def test_an_sdk_that_was_set_up_is_left_alone(program: list[TracerProvider]) -> None:
    own = Recorder().tracing
    program.append(own)
    exporting()()
    assert program == [own]


@pytest.mark.parametrize("module", ["tokenwire.gateway.trace", "opentelemetry.sdk.trace"])
def test_what_is_not_installed_is_named(
    module: str, program: list[TracerProvider], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ConfigError, match=r"pip install tokenwire\[gateway-otel\]"):
        App(config_of(file_of("http://localhost:1"))) if "gateway" in module else exporting()


def test_the_command_sends_the_last_spans(program: list[TracerProvider]) -> None:
    recorder = Recorder()
    program.append(recorder.tracing)

    async def main() -> None:
        with serve("openai") as upstream:
            file = "traces = true\n" + backs(upstream.url)
            async with running(file) as gateway:
                await gateway.ask("openai")

    asyncio.run(main())
    assert [span.kind for span in recorder.spans] == [SpanKind.CLIENT, SpanKind.SERVER]
