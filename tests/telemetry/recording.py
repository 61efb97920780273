"""OpenTelemetry's SDK in memory: what `Telemetry` told it."""

from collections.abc import Mapping
from typing import Any

from opentelemetry.sdk._logs import LoggerProvider, ReadableLogRecord
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, Metric
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, Sampler
from opentelemetry.trace import StatusCode

from tokenwire import Exchange
from tokenwire.protocols.errors import TokenwireError
from tokenwire.protocols.observer import observe
from tokenwire.telemetry import ERROR_TYPES, Telemetry
from tokenwire.telemetry.names import ATTRIBUTES

__all__ = ["Recorder"]

_SHARED = (
    *("gen_ai.operation.name", "gen_ai.provider.name", "gen_ai.request.model"),
    *("gen_ai.response.model", "server.address", "server.port"),
)


class Recorder:
    """`telemetry` with a whole SDK below it."""

    def __init__(self, *, sampler: Sampler = ALWAYS_ON, **options: Any) -> None:
        nothing = Resource.get_empty()
        self._spans = InMemorySpanExporter()
        self.tracing = TracerProvider(sampler, nothing, shutdown_on_exit=False)
        self.tracing.add_span_processor(SimpleSpanProcessor(self._spans))
        self._reader = InMemoryMetricReader()
        metering = MeterProvider([self._reader], nothing, shutdown_on_exit=False)
        self._logs = InMemoryLogRecordExporter()  # type: ignore[no-untyped-call]
        logging = LoggerProvider(nothing, shutdown_on_exit=False)
        logging.add_log_record_processor(SimpleLogRecordProcessor(self._logs))
        self.providers: dict[str, Any] = {
            "tracer_provider": self.tracing,
            "meter_provider": metering,
            "logger_provider": logging,
        }
        self.telemetry = Telemetry(**{**self.providers, **options})

    @property
    def spans(self) -> tuple[ReadableSpan, ...]:
        """The spans that have ended."""
        return self._spans.get_finished_spans()

    def clear(self) -> None:
        """Forget the spans."""
        self._spans.clear()

    @property
    def span(self) -> ReadableSpan:
        """The only one."""
        (span,) = self.spans
        return span

    @property
    def said(self) -> dict[str, Any]:
        """The attributes of the only span."""
        return dict(self.span.attributes or {})

    @property
    def logs(self) -> tuple[ReadableLogRecord, ...]:
        return self._logs.get_finished_logs()

    @property
    def metrics(self) -> dict[str, Metric]:
        """The metrics so far."""
        data = self._reader.get_metrics_data()
        if data is None:
            return {}
        found = (
            metric
            for resource in data.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
        )
        return {metric.name: metric for metric in found}

    def points(self, name: str) -> list[Any]:
        """The points of a metric; none if there is no such metric."""
        metric = self.metrics.get(name)
        return [] if metric is None else list(metric.data.data_points)

    def all(self) -> str:
        """All that was told, as one text."""
        logs = [
            (each.log_record.body, dict(each.log_record.attributes or {})) for each in self.logs
        ]
        spans = [
            (s.name, dict(s.attributes or {}), s.status.description, s.events) for s in self.spans
        ]
        metrics = [str(metric) for metric in self.metrics.values()]
        return repr((logs, spans, metrics))

    def watch(self, exchange: Exchange, telemetry: Telemetry | None = None) -> "Recorder":
        """This, watching an exchange that has not begun."""
        observe(exchange, (telemetry or self.telemetry,))
        return self

    def told_once(self, error: TokenwireError | None) -> None:
        """Check the only span, and the only record of its duration."""
        span, said = self.span, self.said
        check_attributes(said)
        assert said["tokenwire.outcome"] == ("complete" if error is None else error.outcome)
        assert ("tokenwire.evidence" in said) == (error is None)
        status = StatusCode.UNSET if error is None else StatusCode.ERROR
        assert span.status.status_code is status
        assert said.get("error.type") in ((None,) if error is None else ERROR_TYPES)
        (point,) = self.points("gen_ai.client.operation.duration")
        assert point.count == 1
        assert span.start_time is not None
        assert span.end_time is not None
        assert point.sum == (span.end_time - span.start_time) * 1e-9
        shared = (*_SHARED, "error.type")
        assert dict(point.attributes) == {name: said[name] for name in shared if name in said}


def as_list(value: Any) -> list[object]:
    return list(value)


def check_attributes(said: Mapping[str, Any]) -> None:
    """Check that all names are in the table, with values of their types."""
    for name, value in said.items():
        kind = ATTRIBUTES[name]
        if isinstance(kind, tuple):
            assert type(value) is tuple, name
            assert {type(each) for each in as_list(value)} == {kind[0]}, name
        else:
            assert type(value) is kind, name
