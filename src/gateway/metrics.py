"""What Prometheus is told. The names are in one table; those that begin with `gen_ai` are of the
OpenTelemetry conventions for generative AI, which are still in development.

A label has only names of the configuration, or words of the gateway's own: so there can't be more
series than these allow, whatever callers send.
"""

from collections.abc import Iterable, Iterator, Mapping
from math import isfinite
from typing import TypeAlias

import msgspec
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from ..protocols.events import Usage
from .config import Config, Target
from .plan import Planner
from .record import Record

__all__ = ["METRICS", "Metric", "Metrics", "exposition", "targets_of"]

_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 80, 160, 320, 640)
_SHORT = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1)
_TOKEN = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6)
_COUNTS = (0, 1, 2, 4, 8, 16, 32, 64)
_TOKENS = tuple(4.0**power for power in range(13))

_Kind: TypeAlias = type[Counter] | type[Gauge] | type[Histogram]


class Metric(msgspec.Struct, frozen=True):
    """A row of the table. `buckets` are a histogram's."""

    kind: _Kind
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


METRICS: Mapping[str, Metric] = {
    "gen_ai_server_request_duration_seconds": Metric(
        Histogram,
        "Calls, from the request to the end of the answer",
        ("model", "target", "front", "outcome"),
        _SECONDS,
    ),
    "gen_ai_server_time_to_first_token_seconds": Metric(
        Histogram,
        "From the request to the first byte of a streamed answer",
        ("model", "target"),
        _SECONDS,
    ),
    "gen_ai_server_time_per_output_token_seconds": Metric(
        Histogram, "Of streamed answers, after the first token", ("model", "target"), _TOKEN
    ),
    "gen_ai_client_token_usage": Metric(
        Histogram, "Tokens of a call", ("model", "target", "type"), _TOKENS
    ),
    "tokenwire_calls_total": Metric(
        Counter, "Calls by what became of them", ("front", "model", "outcome")
    ),
    "tokenwire_attempts_total": Metric(
        Counter, "Attempts by what became of them", ("target", "result")
    ),
    "tokenwire_evidence_total": Metric(
        Counter, "Complete answers by what proved it", ("target", "evidence")
    ),
    "tokenwire_limited_total": Metric(
        Counter, "Calls that a limit of the gateway's own refused", ("key", "limit")
    ),
    "tokenwire_store_failures_total": Metric(
        Counter, "Times that the store of the limits did not answer"
    ),
    "tokenwire_calls_in_flight": Metric(Gauge, "Calls that have not ended"),
    "tokenwire_calls_queued": Metric(Gauge, "Calls that wait for a place"),
    "tokenwire_target_up": Metric(Gauge, "Whether a target would be asked first", ("target",)),
    "tokenwire_target_cooling_seconds": Metric(Gauge, "Until a target is asked again", ("target",)),
    "tokenwire_overhead_seconds": Metric(
        Histogram, "From the whole request until a target was asked", ("model",), _SHORT
    ),
    "tokenwire_losses_total": Metric(
        Counter, "What translations left out, as allowed", ("front", "back", "concept")
    ),
    "tokenwire_unrecognized_total": Metric(
        Counter, "Events of upstreams that tokenwire does not know", ("target",)
    ),
    "tokenwire_held_events": Metric(
        Histogram, "Events held back until an answer was sure to have begun", (), _COUNTS
    ),
    "tokenwire_pings_total": Metric(Counter, "Pings to callers in silences"),
    "tokenwire_config_reload_failures_total": Metric(
        Counter, "New configurations that were wrong: the old one stayed"
    ),
}
"""All metrics, by their names."""

_WHOLE: Mapping[str, str] = {
    "tokenwire_calls_in_flight": "livesum",
    "tokenwire_calls_queued": "livesum",
    "tokenwire_target_up": "livemin",
}
"""How the gauges of several processes become one; of others the highest counts."""

OTHER = "other"
"""Stands for a name that is not in the configuration."""


class Metrics:
    """The metrics of one process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._metrics = {name: self._make(name, metric) for name, metric in METRICS.items()}

    def settled(self, record: Record) -> None:
        """A call has ended."""
        model, target = record.model or OTHER, record.target or OTHER
        front, outcome = record.front or OTHER, record.outcome
        took = record.ended - record.began
        self._observe("gen_ai_server_request_duration_seconds", took, model, target, front, outcome)
        self._count("tokenwire_calls_total", 1, front, model, outcome)
        for attempt in record.tries:
            self._count("tokenwire_attempts_total", 1, attempt.target, attempt.result)
        if record.evidence:
            self._count("tokenwire_evidence_total", 1, target, record.evidence)
        self._observe("tokenwire_overhead_seconds", record.asked - record.began, model)
        if record.limit:
            self._count("tokenwire_limited_total", 1, record.key or OTHER, record.limit)
        for concept in record.losses:
            self._count("tokenwire_losses_total", 1, front, record.back, concept)
        self._count("tokenwire_unrecognized_total", record.unrecognized, target)
        self._count("tokenwire_pings_total", record.pings)
        if record.usage is not None:
            self._count_tokens(record.usage, model, target)
        if record.stream:
            self._observe("tokenwire_held_events", record.held)
            first = record.first - record.began
            self._observe("gen_ai_server_time_to_first_token_seconds", first, model, target)
            tokens = (record.usage and record.usage.output_tokens) or 0
            if tokens > 1:
                each = (record.ended - record.first) / (tokens - 1)
                self._observe("gen_ai_server_time_per_output_token_seconds", each, model, target)

    def reload_failed(self) -> None:
        """A new configuration was wrong."""
        self._count("tokenwire_config_reload_failures_total", 1)

    def store_failed(self) -> None:
        """The store of the limits did not answer."""
        self._count("tokenwire_store_failures_total", 1)

    def look(
        self, config: Config, planner: Planner, in_flight: int, queued: int, now: float
    ) -> None:
        """Set what is true at a moment. `now`: seconds of the planner's clock."""
        self._set("tokenwire_calls_in_flight", in_flight)
        self._set("tokenwire_calls_queued", queued)
        for target in targets_of(config):
            health = planner.of(target)
            self._set("tokenwire_target_up", health.is_up(now), target.name)
            self._set("tokenwire_target_cooling_seconds", health.cooling(now), target.name)

    def _count_tokens(self, usage: Usage, model: str, target: str) -> None:
        counts: Iterable[tuple[str, int | None]] = (
            ("input", usage.input_tokens),
            ("cached", usage.cache_read_input_tokens),
            ("cache_write", usage.cache_write_input_tokens),
            ("output", usage.output_tokens),
            ("reasoning", usage.reasoning_output_tokens),
        )
        for kind, count in counts:
            if count is not None:
                self._observe("gen_ai_client_token_usage", count, model, target, kind)

    def _make(self, name: str, metric: Metric) -> Counter | Gauge | Histogram:
        labels = metric.labels
        if metric.kind is Histogram:
            return Histogram(
                name, metric.help, labels, buckets=metric.buckets, registry=self.registry
            )
        if metric.kind is Gauge:
            how = _WHOLE.get(name, "livemax")
            return Gauge(name, metric.help, labels, registry=self.registry, multiprocess_mode=how)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        return Counter(name, metric.help, labels, registry=self.registry)

    def _count(self, name: str, count: int, *labels: str) -> None:
        metric = self._of(name, labels)
        assert isinstance(metric, Counter)
        metric.inc(count)

    def _set(self, name: str, value: float, *labels: str) -> None:
        metric = self._of(name, labels)
        assert isinstance(metric, Gauge)
        metric.set(value)

    def _observe(self, name: str, value: float, *labels: str) -> None:
        if isfinite(value):
            metric = self._of(name, labels)
            assert isinstance(metric, Histogram)
            metric.observe(value)

    def _of(self, name: str, labels: tuple[str, ...]) -> Counter | Gauge | Histogram:
        metric = self._metrics[name]
        return metric.labels(*labels) if labels else metric


def targets_of(config: Config) -> Iterator[Target]:
    """All targets; one of several models comes several times."""
    return (target for model in config.models for target in model.targets)


def exposition(metrics: Metrics | str) -> bytes:
    """What Prometheus reads: of `metrics`, or of all processes that write to a directory."""
    if isinstance(metrics, Metrics):
        return generate_latest(metrics.registry)
    registry = CollectorRegistry()
    MultiProcessCollector(registry, path=metrics)  # type: ignore[no-untyped-call]
    return generate_latest(registry)
