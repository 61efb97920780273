"""What is told of one question: spans and events. Times are checked only by their order."""

import gc
import json
from collections.abc import Callable
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.context import Context, get_current
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, Decision, StaticSampler
from opentelemetry.trace import SpanKind, StatusCode

from tests.asking import chunk
from tests.driving import JSON, SSE, Response, drive
from tests.telemetry.recording import Recorder, check_attributes
from tokenwire import (
    PROVIDERS,
    Chat,
    Exchange,
    LocalProtocolError,
    Message,
    TimedOut,
    TokenwireError,
    Tool,
    as_chat,
)
from tokenwire.protocols.errors import Clock, ConnectFailed, Disconnected, TransportError
from tokenwire.telemetry.watch import error_type

SECRET = "sk-secret-1"


def sse(*chunks: bytes) -> bytes:
    return b"".join(b"data: %b\n\n" % each for each in chunks)


HELLO = chunk("Hello")
STOP = b'{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}'
USAGE = b'{"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":3}}'
DONE = b"[DONE]"
UNFINISHED = "the stream ended before data: [DONE] or a finish_reason for every choice"
WHOLE = sse(HELLO, STOP, USAGE, DONE)


def asked(provider: str = "openai", **options: Any) -> Exchange:
    chat = as_chat("hi", model="gpt-4o" if provider == "openai" else "", **options)
    url = "https://api.example/v1" if provider == "openai" else None
    return PROVIDERS[provider].exchange(chat, base_url=url)


def told(exchange: Exchange, *responses: Response | bytes, **options: Any) -> Recorder:
    """What is told of an exchange that gets these responses, and is left."""
    recorder = Recorder(**options).watch(exchange)
    drive(exchange, *responses)
    exchange.leave()
    return recorder


def test_a_complete_answer() -> None:
    start = b'{"id":"c1","model":"gpt-4o-2026","service_tier":"default","system_fingerprint":"fp_1"'
    first = start + b',"choices":[{"index":0,"delta":{"content":"Hello"}}]}'
    recorder = told(asked(temperature=0), sse(first, STOP, USAGE, DONE))
    span, said = recorder.span, recorder.said
    check_attributes(said)
    times = [said.pop("gen_ai.response.time_to_first_chunk")]
    times.append(said.pop("tokenwire.time_to_first_content"))
    assert span.name == "chat gpt-4o"
    assert span.kind is SpanKind.CLIENT
    assert span.status.status_code is StatusCode.UNSET
    assert span.start_time is not None
    assert span.end_time is not None
    assert 0 < times[0] <= times[1] <= (span.end_time - span.start_time) * 1e-9
    assert said == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-4o",
        "server.address": "api.example",
        "server.port": 443,
        "gen_ai.request.stream": True,
        "gen_ai.request.temperature": 0.0,
        "openai.api.type": "chat_completions",
        "openai.response.service_tier": "default",
        "openai.response.system_fingerprint": "fp_1",
        "gen_ai.response.id": "c1",
        "gen_ai.response.model": "gpt-4o-2026",
        "gen_ai.response.finish_reasons": ("stop",),
        "gen_ai.usage.input_tokens": 7,
        "gen_ai.usage.output_tokens": 3,
        "tokenwire.outcome": "complete",
        "tokenwire.evidence": "terminator",
    }
    assert recorder.logs == ()


def test_an_answer_that_is_not_streamed() -> None:
    body = b'{"id":"c1","model":"m","choices":[{"index":0,"message":{"content":"Hello"},'
    body += b'"finish_reason":"length"}],"usage":{"prompt_tokens":7}}'
    said = told(asked(stream=False), Response(body, headers=JSON)).said
    assert said["gen_ai.response.finish_reasons"] == ("length",)
    assert said["gen_ai.usage.input_tokens"] == 7
    assert not [name for name in said if "time" in name or "stream" in name]


def test_all_is_known_when_the_span_starts() -> None:
    """As samplers want it."""
    seen: list[dict[str, Any]] = []

    class Looking(StaticSampler):
        def should_sample(self, *arguments: Any, **named: Any) -> Any:
            seen.append(dict(named.get("attributes") or arguments[4]))
            return super().should_sample(*arguments, **named)

    told(asked(seed=1), WHOLE, sampler=Looking(Decision.DROP))
    assert seen[0]["server.address"] == "api.example"
    assert seen[0]["gen_ai.request.seed"] == 1


def test_a_span_that_is_not_recorded() -> None:
    """Metrics are made all the same."""
    recorder = told(asked(), WHOLE, sampler=ALWAYS_OFF, content="both")
    assert recorder.spans == ()
    assert len(recorder.points("gen_ai.client.operation.duration")) == 1
    (event,) = recorder.logs  # its own question
    assert event.log_record.event_name == "gen_ai.client.inference.operation.details"


# Finish reasons


def choice(index: int, finish: str = "null") -> bytes:
    return b'{"choices":[{"index":%d,"delta":{"content":"a"},"finish_reason":%b}]}' % (
        index,
        finish.encode(),
    )


@pytest.mark.parametrize(
    ("chunks", "n", "reasons"),
    [
        ((choice(0, '"stop"'), choice(1)), 3, ("stop", "error", "error")),
        ((choice(1, '"length"'),), 2, ("error", "length")),
        ((choice(0, '"stop"'), choice(1)), None, ("stop", "error")),
        ((HELLO,), None, ("error",)),
        ((), None, ("error",)),
    ],
)
def test_choices_without_a_finish_reason(
    chunks: tuple[bytes, ...], n: int | None, reasons: tuple[str, ...]
) -> None:
    said = told(asked(n=n), sse(*chunks)).said
    assert said["gen_ai.response.finish_reasons"] == reasons


def test_a_format_without_finish_reasons() -> None:
    for body in (b"", b'data: {"event":"text-chunk","data":{"text":"a"}}\n\n'):
        assert "gen_ai.response.finish_reasons" not in told(asked("darkai"), body).said


def test_a_call_alone() -> None:
    call = b'{"choices":[{"index":1,"delta":{"tool_calls":[{"index":0,"id":"c","function":'
    call += b'{"name":"f","arguments":"{"}}]}}]}'
    more = b'{"choices":[{"index":1,"delta":{"tool_calls":[{"index":0,"function":'
    more += b'{"arguments":"}"}}]}}]}'
    said = told(asked(), sse(call, more)).said
    assert said["gen_ai.response.finish_reasons"] == ("error", "error")
    assert "tokenwire.time_to_first_content" in said


# Usage

MESSAGE_START = (
    b'event: message_start\ndata: {"type":"message_start","message":{"id":"m","type":"message",'
    b'"role":"assistant","model":"c","content":[],"usage":{"input_tokens":5,"output_tokens":1,'
    b'"cache_read_input_tokens":20,"cache_creation_input_tokens":300}}}\n\n'
)
THINKING = (
    b'data: {"candidates":[{"content":{"parts":[{"text":"a"}]}}],"usageMetadata":'
    b'{"promptTokenCount":10,"candidatesTokenCount":4,"thoughtsTokenCount":6}}\r\n\r\n'
)


@pytest.mark.parametrize(
    ("provider", "body", "tokens"),
    [
        (
            "anthropic",
            MESSAGE_START,
            {"input": 325, "cache_read.input": 20, "cache_write.input": 300},
        ),
        ("gemini", THINKING, {"input": 10, "output": 10, "reasoning.output": 6}),
        ("openai", sse(HELLO, USAGE), {"input": 7, "output": 3}),
    ],
)
def test_a_truncated_answer_tells_what_it_cost(
    provider: str, body: bytes, tokens: dict[str, int]
) -> None:
    exchange = PROVIDERS[provider].exchange(as_chat("hi", model="c"))
    said = told(exchange, body).said
    assert said["error.type"] == "Truncated"
    found = {name: said[name] for name in said if name.startswith("gen_ai.usage.")}
    assert found == {f"gen_ai.usage.{name}_tokens": count for name, count in tokens.items()}


# Outcomes, as the table of docs/observing.md has them

FILTERED = b'{"choices":[{"index":0,"delta":{},"finish_reason":"content_filter"}]}'
FAILED = b'{"choices":[{"index":0,"delta":{},"finish_reason":"error"}]}'
REFUSAL = b'{"error":{"message":"the prompt SENTINEL is bad","code":"bad_one"}}'
WORDY = b'{"error":{"message":"no","code":"a sentence of a service"}}'


@pytest.mark.parametrize(
    ("response", "word", "kind", "status", "code", "reasons"),
    [
        (sse(HELLO, FILTERED, DONE), "complete", None, None, None, ("content_filter",)),
        (sse(HELLO, FAILED, DONE), "refused", "Refused", None, "error", ("error",)),
        (sse(HELLO), "truncated", "Truncated", None, None, ("error",)),
        (sse(HELLO, b"{?"), "malformed", "Malformed", None, None, ("error",)),
        (sse(REFUSAL), "refused", "Refused", None, "bad_one", ("error",)),
        (
            Response(REFUSAL, 429, JSON),
            *("rate_limited", "RateLimited", 429, "bad_one", ("error",)),
        ),
        (
            Response(WORDY, 401, JSON),
            *("authentication_failed", "AuthenticationFailed", 401, None, ("error",)),
        ),
        (
            Response(b"<html>", headers=[(b"content-type", b"text/html")]),
            *("unexpected_content", "UnexpectedContent", None, None, ("error",)),
        ),
        (
            Response(sse(HELLO), ending="timeout"),
            *("timed_out", "TimedOut.idle", None, None, ("error",)),
        ),
    ],
)
def test_how_a_question_ends(
    response: Response | bytes,
    word: str,
    kind: str | None,
    status: int | None,
    code: str | None,
    reasons: tuple[str, ...],
) -> None:
    recorder = told(asked(), response)
    span, said = recorder.span, recorder.said
    check_attributes(said)
    assert said["tokenwire.outcome"] == word
    assert said.get("error.type") == kind
    assert said.get("http.response.status_code") == status
    assert said.get("tokenwire.error.code") == code
    assert said["gen_ai.response.finish_reasons"] == reasons
    wrong = StatusCode.UNSET if kind is None else StatusCode.ERROR
    assert span.status.status_code is wrong
    assert "SENTINEL" not in recorder.all()


def test_the_description_is_ours_only() -> None:
    assert told(asked(), sse(HELLO)).span.status.description == UNFINISHED
    broken = told(asked(), sse(HELLO, b'{"SENTINEL": ?')).span.status.description
    assert broken is not None
    assert "SENTINEL" not in broken
    assert told(asked(), Response(REFUSAL, 400, JSON)).span.status.description is None


@pytest.mark.parametrize(
    "error",
    [ConnectFailed("no"), Disconnected("no"), TransportError("no"), TimedOut("no", "connect")],
)
def test_an_error_of_the_network(error: TokenwireError) -> None:
    recorder, exchange = Recorder(), asked()
    recorder.watch(exchange)
    exchange.next_request()
    exchange.leave(error)
    assert recorder.said["error.type"] == error_type(error)
    assert recorder.said["gen_ai.response.finish_reasons"] == ("error",)
    assert recorder.span.status.description == "no"


@pytest.mark.parametrize("clock", ["connect", "first_event", "idle", "total"])
def test_which_clock_ran_out(clock: Clock) -> None:
    assert error_type(TimedOut("", clock)) == f"TimedOut.{clock}"


def test_a_question_that_cannot_be_asked() -> None:
    recorder = Recorder()
    chat = Chat(messages=(Message("user", "SENTINEL"),), model="m", tool_choice="?", top_k=2)
    provider = PROVIDERS["darkai"]
    with pytest.raises(LocalProtocolError):
        provider.exchange(chat, observers=(recorder.telemetry,))
    said = recorder.said
    assert said["error.type"] == "LocalProtocolError"
    assert said["gen_ai.request.model"] == "m"
    assert said["gen_ai.request.top_k"] == 2
    assert "server.address" not in said
    assert "gen_ai.response.finish_reasons" not in said
    assert recorder.span.status.description is None
    assert "SENTINEL" not in recorder.all()


# Leaving


def read_a_piece(exchange: Exchange) -> None:
    exchange.next_request()
    exchange.receive_response(200, SSE)
    exchange.receive_data(sse(HELLO))


def nothing(exchange: Exchange) -> None:
    pass


def asks(exchange: Exchange) -> None:
    exchange.next_request()


@pytest.mark.parametrize(
    ("drive", "reasons"),
    [(nothing, None), (asks, ("error",))],
)
@pytest.mark.parametrize("collected", [True, False])
def test_a_reader_that_left(
    drive: Callable[[Exchange], object], reasons: tuple[str] | None, collected: bool
) -> None:
    recorder, exchange = Recorder(), asked()
    recorder.watch(exchange)
    drive(exchange)
    if not collected:
        exchange.leave()
    del exchange
    gc.collect()
    assert recorder.said["tokenwire.outcome"] == "left"
    assert recorder.span.status.status_code is StatusCode.UNSET
    assert "error.type" not in recorder.said
    assert recorder.said.get("gen_ai.response.finish_reasons") == reasons


def test_nothing_is_left_open() -> None:
    """Of many questions, of which half are left early. `benchmarks.observing` asks 10,000."""
    recorder = Recorder()
    before = get_current()

    def ask(count: int) -> int:
        for number in range(count):
            exchange = asked()
            recorder.watch(exchange)
            read_a_piece(exchange)
            if number % 2:
                exchange.receive_data(sse(STOP, DONE))
            else:
                exchange.leave()
        spans = len(recorder.spans)
        recorder.clear()
        assert spans == count
        return len(gc.get_objects())

    ask(100)
    first = ask(100)
    assert ask(300) < first + 100
    assert get_current() == before
    (point,) = recorder.points(DURATION)
    assert point.count == 500


DURATION = "gen_ai.client.operation.duration"


# Retries


def test_a_retry_is_part_of_the_question() -> None:
    recorder, exchange = Recorder(), asked()
    recorder.watch(exchange)
    refused = Response(REFUSAL, 429, JSON)
    drive(exchange, refused)
    again = exchange.fresh()
    drive(again, WHOLE)
    said = recorder.said
    assert said["tokenwire.attempts"] == 2
    assert said["tokenwire.outcome"] == "complete"
    assert "error.type" not in said
    (point,) = recorder.points(DURATION)
    assert point.count == 1


def test_another_request_is_no_retry() -> None:
    chat = as_chat("hi", model="dalle")
    exchange = PROVIDERS["aichats"].exchange(chat)
    address = b'{"data": [{"url": "https://elsewhere.example/a.png"}]}'
    picture = Response(b"\x89PNG", headers=[(b"content-type", b"image/png")])
    recorder = told(exchange, Response(address, headers=JSON), picture)
    assert recorder.span.name == "generate_content dalle"
    assert recorder.said["server.address"] == "ai-chats.org"
    assert "tokenwire.attempts" not in recorder.said


# Who is above


def test_the_parent_is_the_span_of_the_caller() -> None:
    recorder = Recorder()
    tracer = recorder.tracing.get_tracer("caller")
    with tracer.start_as_current_span("above") as above:
        exchange = asked()
        recorder.watch(exchange)
        current = trace.get_current_span()
    with tracer.start_as_current_span("other"):
        drive(exchange, WHOLE)
    (span,) = (span for span in recorder.spans if span.name.startswith("chat"))
    assert current is above  # and not ours
    assert span.parent == above.get_span_context()


@pytest.mark.parametrize("propagate", [True, False])
def test_the_service_is_told_of_the_trace_only_if_asked_for(propagate: bool) -> None:
    recorder, exchange = Recorder(propagate=propagate), asked()
    recorder.watch(exchange)
    request = exchange.next_request()
    assert request is not None
    exchange.leave()
    context = recorder.span.context
    assert context is not None
    said = dict(request.headers).get(b"traceparent")
    parent = f"00-{context.trace_id:032x}-{context.span_id:016x}-".encode()
    assert said and said.startswith(parent) if propagate else said is None


def test_without_a_tracer_there_is_no_trace_to_tell_of() -> None:
    recorder = Recorder(propagate=True, tracer_provider=trace.NoOpTracerProvider())
    exchange = asked()
    recorder.watch(exchange)
    request = exchange.next_request()
    assert request is not None
    assert b"traceparent" not in dict(request.headers)
    drive_rest(exchange)
    assert recorder.spans == ()
    assert len(recorder.points(DURATION)) == 1


def drive_rest(exchange: Exchange) -> None:
    exchange.receive_response(200, SSE)
    exchange.receive_data(WHOLE)


@pytest.mark.parametrize(
    ("url", "address", "port"),
    [
        ("https://a.example", "a.example", 443),
        ("http://a.example:8000/v1", "a.example", 8000),
        ("http://[::1]:9/v1", "::1", 9),
    ],
)
def test_the_address_of_the_service(url: str, address: str, port: int) -> None:
    chat = as_chat("hi", model="m")
    said = told(PROVIDERS["openai"].exchange(chat, base_url=url), WHOLE).said
    assert (said["server.address"], said["server.port"]) == (address, port)


def test_attributes_of_the_user() -> None:
    recorder = told(asked(), WHOLE, attributes={"gen_ai.conversation.id": "c7"})
    assert recorder.said["gen_ai.conversation.id"] == "c7"
    (point,) = recorder.points(DURATION)
    assert "gen_ai.conversation.id" not in point.attributes


# Content

SENTINEL = "SENTINEL"
TELLING = Chat(
    messages=(Message("system", SENTINEL), Message("user", SENTINEL)),
    model="gpt-4o",
    tools=(Tool("f", SENTINEL),),
)
CALL = (
    b'{"choices":[{"index":0,"delta":{"content":"SENTINEL","tool_calls":[{"index":0,"id":"c",'
    b'"function":{"name":"f","arguments":"{\\"a\\":\\"SENTINEL\\"}"}}]}}]}'
)


def telling() -> Exchange:
    url = f"https://api.example/{SENTINEL}?key={SENTINEL}"
    return PROVIDERS["openai"].exchange(TELLING, base_url=url, key=f"sk-{SENTINEL}-1")


@pytest.mark.parametrize(
    "response",
    [
        sse(CALL, STOP, DONE),
        sse(CALL),
        sse(CALL, b'{"SENTINEL"'),
        Response(b"<html>SENTINEL", headers=[(b"content-type", b"text/html")]),
        Response(b'{"error":"SENTINEL"}', 500, JSON),
    ],
)
def test_nothing_that_was_said_is_told(response: Response | bytes) -> None:
    recorder = told(telling(), response)
    assert len(recorder.spans) == 1
    assert SENTINEL not in recorder.all()


def test_nothing_is_kept_of_the_question() -> None:
    exchange = telling()
    recorder = Recorder().watch(exchange)
    told: Any = exchange
    (watch,) = told._told.observers
    read_a_piece(exchange)
    assert watch._chat is None
    assert watch._reply is None
    exchange.leave()
    assert recorder.said["tokenwire.outcome"] == "left"


MESSAGES = [
    {
        "role": "assistant",
        "parts": [
            {"type": "text", "content": SENTINEL},
            {"type": "tool_call", "name": "f", "arguments": {"a": SENTINEL}, "id": "c"},
        ],
        "finish_reason": "tool_call",
    }
]


@pytest.mark.parametrize("content", ["span", "event", "both"])
def test_content_if_asked_for(content: str) -> None:
    recorder = told(telling(), sse(CALL, STOP, DONE), content=content)
    said = recorder.said
    check_attributes(said)
    if content == "event":
        assert SENTINEL not in str(said)
    else:
        assert json.loads(said["gen_ai.output.messages"]) == MESSAGES
        assert json.loads(said["gen_ai.system_instructions"])[0]["content"] == SENTINEL
        assert json.loads(said["gen_ai.tool.definitions"])[0]["name"] == "f"
    assert SENTINEL not in str(recorder.metrics)
    assert len(recorder.logs) == (content != "span")
    for each in recorder.logs:
        record = each.log_record
        attributes: Any = record.attributes
        assert record.event_name == "gen_ai.client.inference.operation.details"
        assert record.span_id == recorder.span.get_span_context().span_id  # type: ignore[union-attr]
        assert attributes["tokenwire.outcome"] == "complete"
        (message,) = attributes["gen_ai.output.messages"]
        assert message["parts"][1]["arguments"]["a"] == SENTINEL


def test_content_of_a_truncated_answer() -> None:
    recorder = told(telling(), sse(HELLO), content="span")
    (message,) = json.loads(recorder.said["gen_ai.output.messages"])
    assert message == {
        "role": "assistant",
        "parts": [{"type": "text", "content": "Hello"}],
        "finish_reason": "error",
    }


def test_content_of_a_question_that_cannot_be_asked() -> None:
    recorder = Recorder(content="span")
    provider = PROVIDERS["openai"]
    with pytest.raises(LocalProtocolError):
        provider.exchange(TELLING.replace(extra={"a": object()}), observers=(recorder.telemetry,))
    assert SENTINEL in recorder.said["gen_ai.input.messages"]
    assert json.loads(recorder.said["gen_ai.output.messages"]) == []


def test_the_event_of_a_failure() -> None:
    recorder = told(asked(), sse(HELLO), exceptions=True)
    (event,) = recorder.logs
    record = event.log_record
    assert record.event_name == "gen_ai.client.operation.exception"
    assert record.severity_number is not None
    assert record.severity_number.value == 13
    assert dict(record.attributes or {}) == {
        "exception.type": "Truncated",
        "exception.message": UNFINISHED,
    }
    assert told(asked(), WHOLE, exceptions=True).logs == ()


def test_the_context_of_no_caller() -> None:
    """A context that is not empty is kept as it is."""
    assert get_current() == Context()
