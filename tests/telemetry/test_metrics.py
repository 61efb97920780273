"""What the instruments are told."""

from typing import Any

import pytest

from tests.driving import JSON, SSE, Response, drive
from tests.telemetry.recording import Recorder
from tests.telemetry.test_watch import DONE, HELLO, STOP, USAGE, WHOLE, asked, sse, told
from tokenwire import PROVIDERS, as_chat
from tokenwire.telemetry.names import METRICS, MetricSet

SETS: tuple[MetricSet, ...] = ("1.41", "latest")


@pytest.mark.parametrize("names", SETS)
@pytest.mark.parametrize("chunks", [True, False])
def test_each_set_has_its_instruments_and_no_other(names: MetricSet, chunks: bool) -> None:
    usage = b'{"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":3,'
    usage += b'"prompt_tokens_details":{"cached_tokens":2,"cache_write_tokens":1},'
    usage += b'"completion_tokens_details":{"reasoning_tokens":1}}}'
    recorder, exchange = Recorder(metrics=names, chunks=chunks), asked()
    recorder.watch(exchange)
    drive(exchange, sse(HELLO, STOP, usage, DONE), cut=lambda body: body.splitlines(keepends=True))
    found = recorder.metrics
    table = METRICS[names]
    assert set(found) == {m.name for key, m in table.items() if chunks or key != "gap"}
    for metric in table.values():
        if metric.name in found:
            made = found[metric.name]
            assert made.unit == metric.unit
            for point in made.data.data_points:
                bounds = getattr(point, "explicit_bounds", ())
                assert tuple(bounds) == metric.bounds
    if chunks:
        (point,) = recorder.points(table["gap"].name)
        assert point.count == 2  # with STOP, and with the usage or what follows it


IDENTITY = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.request.model": "gpt-4o",
    "server.address": "api.example",
    "server.port": 443,
}


def test_the_tokens_of_1_41() -> None:
    points = told(asked(), WHOLE).points("gen_ai.client.token.usage")
    assert {point.attributes["gen_ai.token.type"]: point.sum for point in points} == {
        "input": 7,
        "output": 3,
    }
    for point in points:
        attributes = dict(point.attributes)
        del attributes["gen_ai.token.type"]
        assert attributes == IDENTITY


def counts(recorder: Recorder) -> dict[str, Any]:
    """The counters of the set `latest`, by modality."""
    found: dict[str, Any] = {}
    for name in recorder.metrics:
        if ".usage." in name:
            points = recorder.points(name)
            found[name.removeprefix("gen_ai.client.inference.usage.")] = {
                point.attributes["gen_ai.token.modality"]: point.value for point in points
            }
    return found


def test_the_tokens_of_the_latest() -> None:
    recorder = told(asked(), WHOLE, metrics="latest")
    assert counts(recorder) == {"input_tokens": {"unknown": 7}, "output_tokens": {"unknown": 3}}
    for name, tokens in (("input", 7), ("output", 3)):
        (point,) = recorder.points(f"gen_ai.client.inference.operation.{name}_tokens")
        assert (point.sum, dict(point.attributes)) == (tokens, IDENTITY)


GEMINI = b"""data: {"candidates":[{"content":{"parts":[{"text":"a"}]},"finishReason":"STOP"}],\
"usageMetadata":{"promptTokenCount":10,"candidatesTokenCount":4,"cachedContentTokenCount":6,\
"promptTokensDetails":[{"modality":"TEXT","tokenCount":3},{"modality":"IMAGE","tokenCount":7}],\
"candidatesTokensDetails":[{"modality":"AUDIO","tokenCount":3}],\
"cacheTokensDetails":[{"modality":"TEXT","tokenCount":60}]}}\r\n\r\n"""


def test_the_tokens_of_each_modality() -> None:
    exchange = PROVIDERS["gemini"].exchange(as_chat("hi", model="gemini-x"))
    assert counts(told(exchange, GEMINI, metrics="latest")) == {
        "input_tokens": {"text": 3, "image": 7},
        "output_tokens": {"audio": 3, "unknown": 1},
        "cache_read.input_tokens": {"unknown": 6},  # what is more than all is no part
    }


def test_a_failure_costs_too() -> None:
    recorder = told(asked(), sse(HELLO, USAGE))
    assert {point.sum for point in recorder.points("gen_ai.client.token.usage")} == {7, 3}
    (point,) = recorder.points("gen_ai.client.operation.duration")
    assert dict(point.attributes) == {**IDENTITY, "error.type": "Truncated"}
    (point,) = recorder.points("gen_ai.client.operation.time_to_first_chunk")
    assert dict(point.attributes) == IDENTITY
    recorder = told(asked(), sse(HELLO, USAGE), metrics="latest")
    assert counts(recorder)["input_tokens"] == {"unknown": 7}
    assert recorder.points("gen_ai.client.inference.operation.input_tokens") == []


def test_zero_is_told() -> None:
    usage = b'{"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":0}}'
    recorder = told(asked(), sse(STOP, usage, DONE), metrics="latest")
    (point,) = recorder.points("gen_ai.client.inference.operation.output_tokens")
    assert (point.sum, point.count) == (0, 1)


def test_what_is_not_told_is_not_counted() -> None:
    for names in SETS:
        recorder = told(asked(), sse(HELLO, STOP, DONE), metrics=names)
        assert not [name for name in recorder.metrics if "token" in name]
    usage = b'{"choices":[],"usage":{"prompt_tokens":7}}'
    for names in SETS:
        recorder = told(asked(), sse(STOP, usage, DONE), metrics=names)
        assert len([name for name in recorder.metrics if "token" in name]) == 1 + (names != "1.41")


def test_time_to_the_first_chunk_only_of_streams() -> None:
    body = b'{"choices":[{"index":0,"message":{"content":"a"},"finish_reason":"stop"}]}'
    recorder = told(asked(stream=False), Response(body, headers=JSON))
    assert recorder.points("gen_ai.client.operation.time_to_first_chunk") == []


def test_a_whole_piece_has_no_gap() -> None:
    recorder, exchange = Recorder(chunks=True), asked()
    recorder.watch(exchange)
    exchange.next_request()
    exchange.receive_response(200, SSE)
    exchange.receive_data(WHOLE)
    assert recorder.points("gen_ai.client.operation.time_per_output_chunk") == []
