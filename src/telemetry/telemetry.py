"""`Telemetry`: what is told to OpenTelemetry, and by which names."""

import os
import warnings
from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeAlias

from opentelemetry import _logs, metrics, trace

from ..protocols import VERSION
from ..protocols.errors import LocalProtocolError
from .content import LIMIT, Content
from .metrics import Instruments, instruments_of
from .names import METRICS, MetricSet
from .watch import Watch

__all__ = ["CAPTURE", "Recorded", "Telemetry", "does_nothing"]

Recorded: TypeAlias = Literal["no", "span", "event", "both"]
"""Where prompts and answers are recorded."""

CAPTURE = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
"""The environment variable that says so for all instrumentations."""

_CAPTURES: Mapping[str, Recorded] = {
    "": "no",
    "NO_CONTENT": "no",
    "SPAN_ONLY": "span",
    "EVENT_ONLY": "event",
    "SPAN_AND_EVENT": "both",
}

_API = ("opentelemetry.trace", "opentelemetry.metrics", "opentelemetry._logs")
"""Where the providers are from that do nothing: there is no SDK."""


class Telemetry:
    """Makes an observer for each question that it is called for: a span, metrics, and events if
    they are asked for. Give it as one of the `observers` of a question or a client, or to
    `install`.

    `metrics`: the names of the metrics. `chunks`: whether each gap between two pieces is a metric,
    too, which costs more than to decode the piece. `content`: where prompts and answers are
    recorded (None: as the environment says, which is nowhere); of each part `limit` characters,
    after `redact` has been over them; with `media` also the bytes of pictures and files.
    `exceptions`: whether failures are events, too. `attributes` are added to each span, such as
    `gen_ai.conversation.id`. `propagate`: whether the service is sent a `traceparent`. Without the
    providers, those of the program are used.
    """

    def __init__(
        self,
        *,
        metrics: MetricSet = "1.41",
        chunks: bool = False,
        content: Recorded | None = None,
        limit: int = LIMIT,
        redact: Callable[[str], str] = lambda text: text,
        media: bool = False,
        exceptions: bool = False,
        propagate: bool = False,
        attributes: Mapping[str, Any] | None = None,
        tracer_provider: trace.TracerProvider | None = None,
        meter_provider: metrics.MeterProvider | None = None,
        logger_provider: _logs.LoggerProvider | None = None,
    ) -> None:
        if metrics not in METRICS:
            raise LocalProtocolError(f"metrics is 1.41 or latest, not {metrics!r}")
        content = _of_environment() if content is None else content
        if content not in _CAPTURES.values():
            raise LocalProtocolError(f"content is no, span, event or both, not {content!r}")
        recorded = Content(limit, redact, media=media)
        self._on_span = recorded if content in ("span", "both") else None
        self._on_event = recorded if content in ("event", "both") else None
        self._names: MetricSet = metrics
        self._chunks = chunks
        self._exceptions = exceptions
        self._propagate = propagate
        self._attributes = dict(attributes or {})
        self._tracing = tracer_provider
        self._metering = meter_provider
        self._logging = logger_provider
        self._tracer: tuple[trace.TracerProvider, trace.Tracer] | None = None

    def __call__(self) -> Watch | None:
        """An observer of one question; None if there is no SDK that it could tell anything."""
        tracer, instruments = self._its_tracer(), self._its_instruments()
        logger = self._its_logger()
        if tracer is None and instruments is None and logger is None:
            return None
        return Watch(
            tracer=tracer,
            instruments=instruments,
            logger=logger,
            on_span=self._on_span,
            on_event=self._on_event,
            attributes=self._attributes,
            chunks=self._chunks,
            propagate=self._propagate,
            exceptions=self._exceptions,
        )

    def _its_tracer(self) -> trace.Tracer | None:
        provider = self._tracing or trace.get_tracer_provider()
        if self._tracer is None or self._tracer[0] is not provider:
            if does_nothing(provider):
                return None
            self._tracer = provider, provider.get_tracer("tokenwire", VERSION)
        return self._tracer[1]

    def _its_instruments(self) -> Instruments | None:
        provider = self._metering or metrics.get_meter_provider()
        return None if does_nothing(provider) else instruments_of(provider, self._names)

    def _its_logger(self) -> _logs.Logger | None:
        if self._on_event is None and not self._exceptions:
            return None
        provider = self._logging or _logs.get_logger_provider()
        return None if does_nothing(provider) else provider.get_logger("tokenwire", VERSION)


def does_nothing(provider: object) -> bool:
    """Whether a provider is one of the API's own, as there is no SDK."""
    return type(provider).__module__.startswith(_API)


def _of_environment() -> Recorded:
    said = os.environ.get(CAPTURE, "")
    found = _CAPTURES.get(said.upper())
    if found is None:
        known = ", ".join(filter(None, _CAPTURES))
        warnings.warn(f"{CAPTURE}={said!r}: it is one of {known}", RuntimeWarning, stacklevel=3)
    return found or "no"
