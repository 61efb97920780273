"""Watches one question, for a span, metrics and events."""

import re
from collections.abc import Mapping
from time import perf_counter_ns, time_ns
from typing import TYPE_CHECKING, Any

from opentelemetry._logs import Logger, LogRecord, SeverityNumber
from opentelemetry.context import Context, get_current
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from ..protocols.errors import (
    LocalProtocolError,
    Refused,
    RemoteProtocolError,
    TimedOut,
    TokenwireError,
)
from ..protocols.events import (
    Event,
    Finish,
    Image,
    Reasoning,
    Refusal,
    Start,
    Text,
    ToolCallDelta,
    ToolCallEnd,
    ToolCallStart,
    Usage,
)
from ..protocols.observer import Closing, Observer, Outcome
from ..protocols.reply import Reply
from ..protocols.toolkit.http import Headers, Request
from .asking import Attributes, asking_attributes, identity
from .content import Content, as_json
from .metrics import Instruments
from .names import DETAILS, EXCEPTION
from .usage import usage_attributes

if TYPE_CHECKING:
    from ..protocols.chat import Chat
    from ..protocols.provider import Provider

__all__ = ["Watch", "error_type"]

_SECOND = 1e-9
"""A nanosecond, in seconds."""

_CONTENT = (Text, Reasoning, Refusal, ToolCallStart, Image)
_MORE = frozenset((Text, Reasoning, Refusal, ToolCallDelta))
"""Events of which there are many; after the first one they tell a span nothing."""

_CODE = re.compile(r"[\w.:-]{1,64}")
"""What a service's own word for an error may be, to be shown: no sentence."""

_TOLD = re.compile(rb'"(service_tier|system_fingerprint)": ?"([\w.:-]{1,64})"')
"""Fields of OpenAI's answers that are no events. Within a text a quote is escaped, so this can only
match fields."""

_TEXTS = TraceContextTextMapPropagator()


def error_type(error: TokenwireError) -> str:
    """`error.type` of an error: the name of its class; of a clock that ran out, which one."""
    name = type(error).__name__
    return f"{name}.{error.clock}" if isinstance(error, TimedOut) else name


class Watch(Observer):
    """Watches one question. Without a `tracer` there is no span, without `instruments` no metric,
    without a `logger` no event. `attributes` are added to the span; `chunks`: whether the time
    between any two pieces is recorded."""

    def __init__(
        self,
        *,
        tracer: Tracer | None,
        instruments: Instruments | None = None,
        logger: Logger | None = None,
        on_span: Content | None = None,
        on_event: Content | None = None,
        attributes: Mapping[str, Any],
        chunks: bool = False,
        propagate: bool = False,
        exceptions: bool = False,
    ) -> None:
        self._tracer = tracer
        self._instruments = instruments
        self._logger = logger
        self._on_span = on_span
        self._on_event = on_event if logger is not None else None
        self._attributes = attributes
        self._chunks = chunks and instruments is not None
        self._propagate = propagate
        self._exceptions = exceptions and logger is not None
        self._span: Span | None = None
        self._first_request: tuple[str, str] | None = None
        self._attempts = 0
        self._sent = 0  # the times are nanoseconds
        self._first = 0
        self._last = 0
        self._content_at = 0
        self._start: Start | None = None
        self._usage: Usage | None = None
        self._finishes: dict[int, str] = {}
        self._choices: set[int] = set()
        self._told: Attributes = {}
        self._reply: Reply | None = None

    def asked(self, provider: "Provider", chat: "Chat", model: str) -> None:
        self._began, self._began_at = time_ns(), perf_counter_ns()
        self._context = get_current()
        self._provider = provider
        self._model = model
        self._chat: Chat | None = chat
        self._stream = chat.stream
        self._identity = identity(provider, chat, model)
        self._expected = chat.n or 1

    def headers(self, request: Request) -> Headers:
        self._begin(request)
        if not self._propagate or self._span is None:
            return []
        carrier: dict[str, str] = {}
        _TEXTS.inject(carrier, set_span_in_context(self._span, self._context))
        return [(name.encode(), value.encode()) for name, value in carrier.items()]

    def requested(self, request: Request) -> None:
        self._begin(request)
        # A retry sends the first request of the question again; another one is its next step.
        self._attempts += (request.method, request.url) == self._first_request

    def received(self, data: bytes, events: list[Event]) -> None:
        if not events:
            return
        if not self._first:
            self._first = self._last = perf_counter_ns()
        elif self._chunks:
            self._note_gap()
        for event in events:
            if type(event) in _MORE and event.index in self._choices:  # type: ignore[union-attr]
                continue  # as most do
            self._note(data, event)
        if self._reply is not None:
            for event in events:
                self._reply.add(event)

    def closed(self, how: Closing, events: list[Event]) -> None:
        self.received(b"", events)

    def ended(self, outcome: Outcome) -> None:
        took = perf_counter_ns() - self._began_at
        if self._first_request is None:
            self._begin(None)
        error = outcome.error
        failure = "" if error is None else error_type(error)
        if self._start is not None:
            self._identity["gen_ai.response.model"] = self._start.model
        context = self._context
        if self._span is not None:
            context = set_span_in_context(self._span, context)
            self._end(self._span, outcome, failure, took)
        if self._on_event is not None:
            self._tell_content(self._on_event, outcome, context)
        if self._exceptions and error is not None:
            self._tell_failure(error, failure, context)
        if self._instruments is not None:
            first = (self._first - self._sent) * _SECOND if self._first and self._stream else None
            self._instruments.ended(
                took * _SECOND, first, self._usage, self._identity, failure, context
            )
        self._chat = self._reply = None

    # Its parts

    def _options(self, provider: "Provider", chat: "Chat", model: str) -> Attributes:
        return asking_attributes(provider, chat, model)

    def _begin(self, request: Request | None) -> None:
        """Start the span, with all that is known before there is an answer."""
        if self._first_request is not None:
            return
        chat, provider = self._chat, self._provider
        assert chat is not None  # until the end
        self._first_request = ("", "") if request is None else (request.method, request.url)
        self._sent = perf_counter_ns()
        if request is not None:
            origin = request.origin
            self._identity["server.address"] = origin.host
            self._identity["server.port"] = origin.port
        if self._tracer is not None:
            identity = self._identity
            name = f"{identity['gen_ai.operation.name']} {identity['gen_ai.request.model']}"
            options = self._options(provider, chat, self._model)
            span = self._tracer.start_span(
                name.rstrip(),
                self._context,
                SpanKind.CLIENT,
                {**identity, **options, **self._attributes},
                start_time=self._began,
            )
            self._span = span
            if not span.is_recording():
                self._on_span = None
        if self._on_span is not None or self._on_event is not None:
            self._reply = Reply()
        else:
            self._chat = None  # nothing of it is kept
        self._expects_finish = bool(provider.dialect.finish or provider.finishes)

    def _note(self, data: bytes, event: Event) -> None:
        match event:
            case Start():
                self._start = event
                self._look(data)
            case Usage():
                self._usage = event
                self._look(data)
            case Finish():
                self._choices.add(event.index)
                self._finishes[event.index] = event.reason
            case ToolCallDelta() | ToolCallEnd():
                self._choices.add(event.index)
            case Text() | Reasoning() | Refusal() | ToolCallStart() | Image():
                self._choices.add(event.index)
                self._content_at = self._content_at or perf_counter_ns()
            case _:
                pass

    def _look(self, data: bytes) -> None:
        """Look for what OpenAI's formats tell beside the events."""
        if self._provider.dialect.name in ("openai_chat", "openai_responses"):
            for name, value in _TOLD.findall(data):
                self._told[f"openai.response.{name.decode()}"] = value.decode()

    def _note_gap(self) -> None:
        assert self._instruments is not None
        now = perf_counter_ns()
        self._instruments.gap((now - self._last) * _SECOND, self._identity)
        self._last = now

    def _end(self, span: Span, outcome: Outcome, failure: str, took: int) -> None:
        if span.is_recording():
            error = outcome.error
            said = self._answer(outcome)
            if error is not None:
                said |= _failure(error, failure)
                # Words of the service, or of the caller, may be about what was asked.
                own = not isinstance(error, Refused | LocalProtocolError)
                span.set_status(Status(StatusCode.ERROR, error.message if own else None))
            if self._on_span is not None:
                content = self._content(self._on_span, outcome)
                said |= {name: as_json(value) for name, value in content.items()}
            span.set_attributes(said)
        span.end(self._began + took)

    def _answer(self, outcome: Outcome) -> Attributes:
        """What a span tells of the answer."""
        found: Attributes = {"tokenwire.outcome": outcome.word, **self._told}
        if outcome.evidence is not None:
            found["tokenwire.evidence"] = outcome.evidence
        if self._start is not None:
            found["gen_ai.response.id"] = self._start.id
            found["gen_ai.response.model"] = self._start.model
        if reasons := self._reasons(outcome):
            found["gen_ai.response.finish_reasons"] = reasons
        if self._stream:
            if self._first:
                first = (self._first - self._sent) * _SECOND
                found["gen_ai.response.time_to_first_chunk"] = first
            if self._content_at:
                content = (self._content_at - self._sent) * _SECOND
                found["tokenwire.time_to_first_content"] = content
        if self._attempts > 1:
            found["tokenwire.attempts"] = self._attempts
        if self._usage is not None:
            found |= usage_attributes(self._usage)
        return found

    def _reasons(self, outcome: Outcome) -> list[str]:
        """The finish reasons; `error` for each choice that has none, where one is missing."""
        told = self._finishes
        if outcome.word == "complete" or not (self._attempts and self._expects_finish):
            return [told[index] for index in sorted(told)]
        indexes = {*range(self._expected), *self._choices}
        return [told.get(index, "error") for index in sorted(indexes)]

    def _content(self, content: Content, outcome: Outcome) -> dict[str, Any]:
        chat, reply = self._chat, self._reply
        assert chat is not None
        assert reply is not None
        complete = outcome.word == "complete"
        return content.asked(chat) | content.answered(reply, complete=complete)

    def _tell_content(self, content: Content, outcome: Outcome, context: Context) -> None:
        assert self._logger is not None
        said = {**self._identity, **self._answer(outcome), **self._content(content, outcome)}
        self._logger.emit(LogRecord(event_name=DETAILS, attributes=said, context=context))

    def _tell_failure(self, error: TokenwireError, failure: str, context: Context) -> None:
        assert self._logger is not None
        said = {"exception.type": failure, "exception.message": error.message}
        self._logger.emit(
            LogRecord(
                event_name=EXCEPTION,
                severity_number=SeverityNumber.WARN,
                attributes=said,
                context=context,
            )
        )


def _failure(error: TokenwireError, failure: str) -> Attributes:
    found: Attributes = {"error.type": failure}
    if isinstance(error, Refused) and _CODE.fullmatch(error.code or ""):
        found["tokenwire.error.code"] = error.code
    if isinstance(error, RemoteProtocolError) and (error.status or 0) >= 400:
        found["http.response.status_code"] = error.status
    return found
