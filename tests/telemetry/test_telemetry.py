"""The settings, and for which questions there is an observer."""

import subprocess
import sys
import warnings
from typing import Any

import pytest
from opentelemetry import _logs, metrics, trace

from tests.telemetry.recording import Recorder
from tests.telemetry.test_watch import HELLO, WHOLE, asked, sse, told
from tokenwire import LocalProtocolError
from tokenwire.telemetry import Telemetry
from tokenwire.telemetry.telemetry import CAPTURE

NOTHING: dict[str, Any] = {
    "tracer_provider": trace.NoOpTracerProvider(),
    "meter_provider": metrics.NoOpMeterProvider(),
    "logger_provider": _logs.NoOpLoggerProvider(),
}


def test_without_an_sdk_no_question_is_observed() -> None:
    assert Telemetry()() is None
    assert Telemetry(content="both", exceptions=True)() is None
    assert Telemetry(**NOTHING, content="both")() is None


@pytest.mark.parametrize("kind", NOTHING)
def test_one_of_the_providers_is_enough(kind: str) -> None:
    recorder = Recorder(content="event", **{**NOTHING, kind: Recorder().providers[kind]})
    assert recorder.telemetry() is not None


def test_events_are_of_no_use_without_content() -> None:
    given = {**NOTHING, "logger_provider": Recorder().providers["logger_provider"]}
    assert Telemetry(**given)() is None
    assert Telemetry(**given, exceptions=True)() is not None


def test_the_providers_of_the_program(monkeypatch: pytest.MonkeyPatch) -> None:
    recorder = Recorder()
    provider = recorder.tracing
    telemetry = Telemetry(meter_provider=metrics.NoOpMeterProvider())
    assert telemetry() is None
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: provider)
    for _ in range(2):
        exchange = asked()
        recorder.watch(exchange, telemetry)
        exchange.leave()
    assert len(recorder.spans) == 2
    other = Recorder()
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: other.tracing)
    other.watch(asked(), telemetry)
    assert len(other.spans) == 1


def test_one_telemetry_for_many_questions() -> None:
    recorder = Recorder()
    one, two = asked(), asked()
    for exchange in (one, two):
        recorder.watch(exchange)
        exchange.next_request()
    two.leave()
    one.leave()
    assert len(recorder.spans) == 2


@pytest.mark.parametrize(("name", "value"), [("metrics", "1.40"), ("content", "yes")])
def test_wrong_settings(name: str, value: str) -> None:
    wrong: Any = {name: value}
    with pytest.raises(LocalProtocolError, match=f"{name} is .*, not '{value}'"):
        Telemetry(**wrong)


@pytest.mark.parametrize(
    ("said", "span", "event"),
    [
        (None, False, False),
        ("", False, False),
        ("NO_CONTENT", False, False),
        ("SPAN_ONLY", True, False),
        ("event_only", False, True),
        ("SPAN_AND_EVENT", True, True),
    ],
)
def test_content_as_the_environment_says(
    said: str | None, span: bool, event: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(CAPTURE, raising=False)
    if said is not None:
        monkeypatch.setenv(CAPTURE, said)
    recorder = told(asked(), WHOLE)
    assert ("gen_ai.input.messages" in recorder.said) is span
    assert bool(recorder.logs) is event
    assert "gen_ai.input.messages" not in told(asked(), WHOLE, content="no").said


def test_another_word_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CAPTURE, "true")
    with pytest.warns(RuntimeWarning, match="it is one of NO_CONTENT, SPAN_ONLY"):
        recorder = told(asked(), WHOLE)
    assert "gen_ai.input.messages" not in recorder.said


def test_limit_redaction_and_media_are_handed_on() -> None:
    def twice(text: str) -> str:
        return text * 2

    how: dict[str, Any] = {"content": "span", "redact": twice, "limit": 3}
    recorder = told(asked(), sse(HELLO), **how)
    assert "hih [...]" in recorder.said["gen_ai.input.messages"]


def test_import_tokenwire_loads_no_opentelemetry() -> None:
    code = (
        "import sys, tokenwire\n"
        "tokenwire.make_exchange('darkai', 'hi')\n"
        "assert not [name for name in sys.modules if name.startswith('opentelemetry')]\n"
        "import tokenwire.telemetry\n"
        "assert 'opentelemetry.sdk' not in sys.modules\n"
        "assert not [name for name in sys.modules if name.startswith('opentelemetry.semconv')]\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_nothing_warns() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for names in ("1.41", "latest", "1.41"):  # the instruments of a provider are made once
            told(asked(), WHOLE, metrics=names)
