"""The cost of being observed, and of telemetry.

    python -m benchmarks.observing

CPU microseconds beside those of a bare exchange: for each piece of one event, of an answer with
2,000, and for each question, asked and answered in three pieces. Rounds of all alternate; each row
is the median of its differences to the bare exchange of the same round, and half the range between
their quartiles. Nothing is sent. The last line is about 10,000 questions of which half are left:
how many spans came, and how many objects more there are in the end than after the first hundred.
"""

import gc
import time
from collections.abc import Callable, Sequence
from math import isnan, nan
from statistics import median, quantiles
from typing import Any

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider

from benchmarks.rounds import Table
from tokenwire import PROVIDERS, Event, Exchange, as_chat
from tokenwire.protocols.observer import Observer, Observing
from tokenwire.telemetry import Telemetry

__all__ = ["leave_open", "run"]

CHAT = as_chat("Hello", model="gpt-4o")
SSE = [(b"content-type", b"text/event-stream")]
WORD = b'data: {"id":"c1","model":"m","choices":[{"index":0,"delta":{"content":"word "}}]}\n\n'
STOP = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
USAGE = b'data: {"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":3}}\n\n'
END = b"data: [DONE]\n\n"
SDK = "the SDK alone: such a span, and four records"
GOALS = {
    "an observer that does nothing": (None, 0.4),
    "telemetry, without an SDK": (3.0, 0.4),
    "telemetry, with an SDK": (60.0, None),
    "telemetry, with an SDK and `chunks`": (None, None),
    SDK: (None, None),
}
"""Microseconds: for a question, and for a piece."""


class Nothing(Observer):
    def received(self, data: bytes, events: list[Event]) -> None:
        pass


class Counting(SpanProcessor):
    """Stands for an exporter."""

    spans = 0

    def on_end(self, span: ReadableSpan) -> None:
        self.spans += 1


def providers() -> tuple[TracerProvider, MeterProvider]:
    """Those of the SDK, which export nothing."""
    tracing = TracerProvider(resource=Resource.get_empty(), shutdown_on_exit=False)
    tracing.add_span_processor(Counting())
    reader = InMemoryMetricReader()
    return tracing, MeterProvider([reader], Resource.get_empty(), shutdown_on_exit=False)


def sdk(**options: Any) -> Telemetry:
    tracing, metering = providers()
    return Telemetry(tracer_provider=tracing, meter_provider=metering, **options)


def asked(observers: Sequence[Observing]) -> Exchange:
    exchange = PROVIDERS["openai"].exchange(CHAT, observers=observers)
    exchange.next_request()
    exchange.receive_response(200, SSE)
    return exchange


def of_question(observers: Sequence[Observing], questions: int) -> float:
    """CPU seconds a question."""
    start = time.process_time()
    for _ in range(questions):
        exchange = asked(observers)
        exchange.receive_data(WORD)
        exchange.receive_data(STOP + USAGE)
        exchange.receive_data(END)
        exchange.leave()
    return (time.process_time() - start) / questions


def of_piece(observers: Sequence[Observing], pieces: int) -> float:
    """CPU seconds a piece."""
    exchange = asked(observers)
    exchange.receive_data(WORD)
    receive = exchange.receive_data
    start = time.process_time()
    for _ in range(pieces):
        receive(WORD)
    taken = time.process_time() - start
    exchange.leave()
    return taken / pieces


def run(rounds: int = 25, questions: int = 300, pieces: int = 2000) -> Table:
    """The table."""
    observers: dict[str, Sequence[Observing]] = {
        "an observer that does nothing": (Nothing,),
        "telemetry, without an SDK": (Telemetry(),),
        "telemetry, with an SDK": (sdk(),),
        "telemetry, with an SDK and `chunks`": (sdk(chunks=True),),
    }
    bare: tuple[list[float], list[float]] = ([], [])
    more: dict[str, tuple[list[float], list[float]]] = {name: ([], []) for name in GOALS}
    alone = by_sdk()
    for _ in range(rounds):
        bare[0].append(of_question((), questions))
        bare[1].append(of_piece((), pieces))
        more[SDK][0].append(alone(questions))
        more[SDK][1].append(nan)
        for name, given in observers.items():
            more[name][0].append(of_question(given, questions) - bare[0][-1])
            more[name][1].append(of_piece(given, pieces) - bare[1][-1])
    rows: dict[str, list[object]] = {"a bare exchange": [*map(_shown, bare), ""]}
    for name, found in more.items():
        goals = ", ".join(
            f"{goal:g} a {what}"
            for goal, what in zip(GOALS[name], ("question", "piece"), strict=True)
            if goal is not None
        )
        rows[name] = [*map(_shown, found), goals]
    return Table(
        "Being observed, CPU µs beside a bare exchange", ("a question", "a piece", "goal"), rows
    )


def by_sdk() -> Callable[[int], float]:
    """What the SDK takes for the same, in CPU seconds."""
    tracing, metering = providers()
    tracer, meter = tracing.get_tracer("sdk"), metering.get_meter("sdk")
    histogram = meter.create_histogram("duration", "s")
    begin: dict[str, Any] = {f"begin.{number}": "a word" for number in range(8)}
    end: dict[str, Any] = {f"end.{number}": 0.5 for number in range(9)}
    shared: dict[str, Any] = {f"shared.{number}": "a word" for number in range(6)}

    def alone(questions: int) -> float:
        start = time.process_time()
        for _ in range(questions):
            span = tracer.start_span("chat gpt-4o", attributes=begin)
            span.set_attributes(end)
            span.end()
            for _ in range(4):
                histogram.record(0.5, shared)
        return (time.process_time() - start) / questions

    return alone


def _shown(seconds: Sequence[float]) -> str:
    if isnan(seconds[0]):
        return "-"
    low, _, high = quantiles(seconds, n=4)
    return f"{median(seconds) * 1e6:.2f} ± {(high - low) / 2 * 1e6:.2f}"


def leave_open(questions: int) -> str:
    """What is left of so many questions, of which each second one is left early."""
    counting = Counting()
    tracing = TracerProvider(resource=Resource.get_empty(), shutdown_on_exit=False)
    tracing.add_span_processor(counting)
    telemetry = Telemetry(tracer_provider=tracing)

    def ask(count: int) -> int:
        for number in range(count):
            exchange = asked((telemetry,))
            exchange.receive_data(WORD)
            if number % 2:
                exchange.receive_data(STOP + END)
            exchange.leave()
        return len(gc.get_objects())

    ask(100)
    before = ask(100)
    after = ask(questions - 200)
    return f"{questions} questions: {counting.spans} spans, {after - before} objects more"


def main(table: Callable[[], Table] = run) -> None:
    print(table())
    print(leave_open(10_000))


if __name__ == "__main__":
    main()
