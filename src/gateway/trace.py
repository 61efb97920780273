"""Spans of a gateway: one for each call, by OpenTelemetry's conventions for generative AI, and
below it one for each attempt, which the upstream is told of (`traceparent`). What was said is in
none of them.

Only a gateway with `traces = true` imports this. Who runs it sets up an SDK, as other ASGI
applications do; `exporting` is for the command.
"""

import os
from collections.abc import Callable

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from ..protocols import VERSION
from ..protocols.chat import Chat
from ..protocols.observer import Outcome
from ..protocols.provider import Provider
from ..protocols.toolkit.http import Headers
from ..telemetry import Instrumentor
from ..telemetry.asking import Attributes
from ..telemetry.telemetry import does_nothing
from ..telemetry.usage import usage_attributes
from ..telemetry.watch import Watch
from .config import ConfigError, Target
from .record import Record

__all__ = ["CallTrace", "Tracing", "exporting"]

_PROPAGATED = ("traceparent", "tracestate")
_FINE = ("complete", "caller_gone")
_TEXTS = TraceContextTextMapPropagator()


class Tracing:
    """Makes the spans of a gateway. Without a `provider`, the program's is used."""

    def __init__(self, provider: trace.TracerProvider | None = None) -> None:
        Instrumentor().uninstrument()  # its spans would be there beside those of the attempts
        provider = provider or trace.get_tracer_provider()
        self._tracer = provider.get_tracer("tokenwire.gateway", VERSION)

    def call(self, headers: Headers) -> "CallTrace":
        """The spans of a call, whose request has these headers."""
        carrier = {
            name.decode(): value.decode("latin-1")
            for name, value in headers
            if name.decode("latin-1") in _PROPAGATED
        }
        context = _TEXTS.extract(carrier, Context())
        return CallTrace(self._tracer, self._tracer.start_span("chat", context, SpanKind.SERVER))


class CallTrace:
    """The spans of one call."""

    def __init__(self, tracer: trace.Tracer, span: Span) -> None:
        self._tracer = tracer
        self._span = span
        self._attempts = 0
        self._provider: Provider | None = None

    def attempt(self, target: Target) -> Watch:
        """What observes the exchange of an attempt. Nothing is told of one that sends nothing."""

        def sent() -> int:
            self._attempts += 1
            self._provider = target.provider
            return self._attempts

        context = set_span_in_context(self._span, Context())
        return _Attempt(self._tracer, context, target.name, sent)

    def end(self, record: Record) -> None:
        """The call has ended."""
        if self._span.is_recording():
            self._span.update_name(f"chat {record.model}".rstrip())
            self._span.set_attributes(_attributes(record, self._provider))
            if record.status >= 500 or (record.status < 400 and record.outcome not in _FINE):
                self._span.set_status(Status(StatusCode.ERROR))
        self._span.end()


class _Attempt(Watch):
    def __init__(
        self, tracer: trace.Tracer, context: Context, target: str, sent: Callable[[], int]
    ) -> None:
        self._attempt: Attributes = {"tokenwire.target": target}
        super().__init__(tracer=tracer, attributes=self._attempt, propagate=True)
        self._above = context
        self._when_sent = sent

    def asked(self, provider: Provider, chat: Chat, model: str) -> None:
        super().asked(provider, chat, model)
        self._context = self._above

    def ended(self, outcome: Outcome) -> None:
        if self._attempts:
            super().ended(outcome)

    def _options(self, provider: Provider, chat: Chat, model: str) -> Attributes:
        self._attempt["tokenwire.attempt"] = self._when_sent()
        return {"gen_ai.request.stream": True} if chat.stream else {}  # of a relay it knows no more


def _attributes(record: Record, provider: Provider | None) -> Attributes:
    """What the span of a call tells: names are those of the configuration."""
    told: Attributes = {
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": record.model,
        "gen_ai.response.model": record.answered_by,
        "gen_ai.response.finish_reasons": record.finishes,
        "tokenwire.evidence": record.evidence,
        "tokenwire.front": record.front,
        "tokenwire.lane": record.lane,
        "tokenwire.target": record.target,
        "tokenwire.key": record.key,
        "tokenwire.request.id": record.id,
    }
    found = {name: value for name, value in told.items() if value}
    found["tokenwire.attempts"] = record.attempts
    found["tokenwire.outcome"] = record.outcome
    found["http.response.status_code"] = record.status
    if record.outcome not in _FINE:
        found["error.type"] = record.outcome
    if record.stream:
        found["gen_ai.request.stream"] = True
    if provider is not None:
        found["gen_ai.provider.name"] = provider.otel_name or provider.name
    if record.usage is not None and not record.estimated:
        found |= usage_attributes(record.usage)
    return found


def exporting() -> Callable[[], None]:
    """Send the spans of the program by OTLP, as the environment says (`OTEL_SERVICE_NAME`,
    `OTEL_EXPORTER_OTLP_ENDPOINT`, ...), unless it has an SDK that was set up already. Returns a
    function that sends the last ones. Raises ConfigError if the packages are not there."""
    if not does_nothing(trace.get_tracer_provider()):
        return lambda: None
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ModuleNotFoundError:
        raise ConfigError("traces: needs pip install tokenwire[gateway-otel]") from None
    named = "OTEL_SERVICE_NAME" in os.environ
    resource = Resource.create({} if named else {"service.name": "tokenwire-gateway"})
    provider = TracerProvider(resource=resource)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
    return provider.shutdown
