"""The client side of one question: as many requests as it needs, and the events of the answer.

An exchange does no I/O. A driver asks for `next_request()`, sends it by any HTTP client, and feeds
back what it receives: `receive_response`, `receive_data`, and `receive_eof`, `receive_disconnect`
or `receive_timeout`. The rules:

1. `next_request()` gives each request once. None: the question is answered in full. If it was not
   answered, it raises the reason, and goes on raising it: so a driver that only loops over
   `next_request()` meets every error.
2. Each request has one response: its status and headers (1xx ones are ignored), data, and one of
   eof, disconnect and timeout. When `wants_data` is False the response is settled: the rest of it
   need not be read, and if it is fed it yields no events.
3. Received bytes can cause no error but `RemoteProtocolError`, and only `next_request()` raises it:
   `receive_*` return the events before the fault. If they raise one, that is a bug.
4. `End` is the last event of a success, and there is exactly one. Nothing is a success without the
   evidence that the provider requires, or stronger; nor is an answer whose step has a `failure`.
5. A call out of order raises `LocalProtocolError` and changes nothing.
"""

from collections.abc import Callable
from enum import Enum, auto
from typing import TYPE_CHECKING

from .body import AnswerBody, Body, RefusedBody, open_body
from .clocks import Clocks
from .errors import (
    AuthenticationFailed,
    Clock,
    Disconnected,
    LocalProtocolError,
    Redirected,
    Refused,
    RemoteProtocolError,
    TimedOut,
    TokenwireError,
    TransportError,
    Truncated,
    UnexpectedContent,
)
from .events import End, Event, Evidence, proves
from .limits import Limits
from .step import Step
from .toolkit.coding import PIECE, ContentDecoder, Identity, content_decoder
from .toolkit.http import Headers, HeadersLike, Request, as_headers
from .toolkit.redaction import conceal, redact
from .toolkit.refusals import request_id

if TYPE_CHECKING:
    from .question import Question

__all__ = ["Exchange"]


class State(Enum):
    """The state of an exchange."""

    READY = auto()  # a request waits to be sent
    SENT = auto()  # its response has not begun
    BODY = auto()  # the body of its response is being received
    SETTLED = auto()  # answered, but the driver has not been told yet that there is no more
    FAILED = auto()  # next_request() raises


# Which call is allowed in which state, and the states that it may lead to. Any other call is out of
# order. Once a response has begun, the rest of a settled one may also be fed in SETTLED, FAILED and
# READY; it is ignored.
TRANSITIONS: dict[State, dict[str, set[State]]] = {
    State.READY: {
        "next_request": {State.SENT},
    },
    State.SENT: {
        "receive_response": {State.SENT, State.BODY, State.FAILED},
        "receive_disconnect": {State.FAILED},
        "receive_timeout": {State.FAILED},
    },
    State.BODY: {
        "receive_data": {State.BODY, State.SETTLED, State.FAILED},
        "receive_eof": {State.READY, State.SETTLED, State.FAILED},
        "receive_disconnect": {State.READY, State.SETTLED, State.FAILED},
        "receive_timeout": {State.READY, State.SETTLED, State.FAILED},
    },
    State.SETTLED: {
        "next_request": {State.SETTLED},
    },
    State.FAILED: {
        "next_request": {State.FAILED},
    },
}
_BODY = State.BODY  # a plain name is faster than a look-up in the enum, which each piece would need
_IGNORED = frozenset(("receive_data", "receive_eof", "receive_disconnect", "receive_timeout"))

_FRAMING = frozenset((b"content-length", b"transfer-encoding"))
# Of a response that is an error, besides those about rate limits.
_KEPT_HEADERS = frozenset(
    (
        *(b"content-type", b"x-request-id", b"request-id", b"server", b"x-should-retry"),
        *(b"retry-after", b"retry-after-ms", b"x-ms-retry-after-ms"),
    )
)
_ASTRAY = (Redirected, TransportError, UnexpectedContent)
"""Errors that a wrong address may cause; a refusal with status 404 or 405 is another."""


class Exchange:
    """One question and its answer. `provider.exchange(chat)` makes one; see the module for rules.

    `first` makes the first step, and is called again by `fresh`. `sign` is applied to each request
    just before it is sent. `owes` is the required evidence. `keyless` is what to
    add to the error if the service refuses for want of a key. Attributes: `clocks`, `limits`,
    `request`; `started`, whether there was an event; `error`, which `next_request` raises;
    `has_more`, whether `receive_batch` goes on with what was received before; `question`, what a
    provider asks by it (None: not a chat).
    """

    __slots__ = (
        "__weakref__",
        "_body",
        "_coding",
        "_earlier",
        "_first",
        "_headers",
        "_keyless",
        "_owes",
        "_raw",
        "_recorded",
        "_request",
        "_responded",
        "_searched",
        "_sign",
        "_state",
        "_status",
        "_step",
        "_told",
        "_turn",
        "clocks",
        "direct",
        "error",
        "even",
        "has_more",
        "limits",
        "question",
        "started",
    )

    def __init__(
        self,
        first: Callable[[], Step],
        *,
        sign: Callable[[Request], Request] = lambda request: request,
        owes: Evidence,
        clocks: Clocks,
        limits: Limits,
        keyless: str = "",
    ) -> None:
        self.clocks = clocks
        self.limits = limits
        self.started = False
        self._first = first
        self._raw: bytearray | None = None  # of the body, since the last border; if it is kept
        self._recorded: bytearray | None = None  # the same, unless the body is no answer
        self._searched = 0  # bytes of it without a border
        self._sign = sign
        self._keyless = keyless
        self._owes: Evidence = owes
        self._step = first()
        self._request: Request | None = None  # what was sent, signed
        self._state = State.READY
        self._responded = False
        self._body: Body | None = None
        self._coding: ContentDecoder | None = None
        self.direct: Body | None = None
        """The body while it is received, if it has no coding."""
        self._status = 0
        self._headers: Headers = []
        self.error: TokenwireError | None = None
        self.has_more = False
        self.even = False
        """Whether `partial` is known to be 0."""
        self._earlier: tuple[Request, ...] = ()  # of the steps before this one
        self.question: Question | None = None

    def __repr__(self) -> str:
        shown = f"<Exchange {self._state.name} {self.request.method} {self.request.address}>"
        return redact(shown, self.secrets())

    @property
    def request(self) -> Request:
        """The request to send, or the last one that was sent; once its response has begun, what
        `Request.remembered` keeps of it."""
        return self._request or self._step.request

    @property
    def wants_data(self) -> bool:
        """Whether the response is not settled yet. False: stop reading it."""
        return self._state is _BODY or self._state is State.SENT

    @property
    def unstarted(self) -> bool:
        """Whether nothing has been done with it yet."""
        return self._state is State.READY and not self._responded

    @property
    def answered(self) -> bool:
        """Whether the question is answered in full."""
        return self._state is State.SETTLED

    @property
    def failed(self) -> bool:
        """Whether `next_request()` raises the reason of a failure."""
        return self._state is State.FAILED

    @property
    def partial(self) -> int:
        """Bytes so far of the unit (line, event, frame) that is not complete; 0 if there is none.
        That it grows is a sign of life, as an event is. Keep-alives change nothing."""
        if self.even or self._state is not _BODY or self._body is None:
            return 0
        return self._body.partial

    def fresh(self) -> "Exchange":
        """The same question, unstarted, for a retry."""
        fresh = type(self)(
            self._first,
            sign=self._sign,
            owes=self._owes,
            clocks=self.clocks,
            limits=self.limits,
            keyless=self._keyless,
        )
        fresh.question = self.question
        if self._raw is not None:
            fresh.keep_raw()
        return fresh

    def keep_raw(self) -> None:
        """Keep the decoded bytes of each body, for `take_raw`: what a relay passes on. Raises
        LocalProtocolError once a response has begun."""
        if self._responded:
            raise LocalProtocolError("keep_raw: the response has begun, and its bytes are gone")
        self._raw = bytearray()

    def take_raw(self, *, units: bool = False) -> bytes:
        """The decoded bytes of the body since the last call, up to the end of the last complete
        unit (event, line, frame); all of them once the response is settled, with what comes after
        its end mark, unless it is compressed; with `units` only complete units even then. Needs
        `keep_raw`."""
        raw = self._raw
        if not raw:
            return b""
        if self.even or not (units or self._state is _BODY):
            taken = bytes(raw)
            raw.clear()
        else:
            end = self._step.border(raw, self._searched)
            with memoryview(raw) as view, view[:end] as begun:
                taken = bytes(begun)  # without a copy in between: events may be large
            del raw[:end]
        self._searched = len(raw)
        return taken

    @property
    def pending(self) -> bytes:
        """The bytes that `take_raw` left: of the unit that is not complete."""
        return bytes(self._raw or b"")

    @property
    def evidence(self) -> Evidence | None:
        """What has shown so far that the answer is complete; None: nothing."""
        return self._step.evidence

    @property
    def request_id(self) -> str | None:
        """The id that the service gave the last request, if a header of its response has one."""
        return request_id(self._headers, self._step.errors)

    @property
    def headers(self) -> Headers:
        """All headers of the last response, once it has begun. They may contain secrets, such as a
        `set-cookie`."""
        return list(self._headers)

    def secrets(self) -> list[str]:
        """Texts that must never be shown, of all its requests so far."""
        asked = (*self._earlier, self.request)
        return [secret for request in asked for secret in request.secrets()]

    def leave(self, error: TokenwireError | None = None, *, aborted: bool = False) -> None:
        """Nothing more will be fed: the reader has left, or `error` stopped the driver. `aborted`:
        the driver itself lost the connection, as the reader wanted to leave. Allowed at any time,
        any number of times. Only observers need it; it has no other effect.
        """

    def next_request(self) -> Request | None:
        """The request to send now; None if the question is answered.

        Raises the TokenwireError that ended the exchange, if one did; LocalProtocolError while a
        response is outstanding.
        """
        self._check("next_request")
        if self.error is not None:
            raise self.error
        if self._state is State.SETTLED:
            return None
        self._request = self._sign(self._step.request)
        self._state = State.SENT
        return self._request

    def receive_response(self, status: int, headers: HeadersLike) -> None:
        """The status and headers of the response. Names may be in any case; both may be text.
        Raises LocalProtocolError if an item is not a pair."""
        self._check("receive_response")
        if 100 <= status < 200:
            return
        found = as_headers(headers)
        self._request = self.request.remembered()  # a prompt may be large
        self._status, self._headers = status, found
        self._responded = True
        self._state = State.BODY
        try:
            self._body = open_body(self._step, status, found, self.limits)
            self._recorded = self._raw if isinstance(self._body, AnswerBody) else None
            self._coding = content_decoder(found)
            self.direct = self._body if isinstance(self._coding, Identity) else None
        except RemoteProtocolError as error:
            self._fail(error)

    def receive_data(self, data: bytes) -> list[Event]:
        """Bytes of the body, split in any way. Returns the events that they complete: of a
        compressed body these may be millions, where `receive_batch` returns thousands."""
        events = self.receive_batch(data)
        while self.has_more:
            events += self.receive_batch()
        return events

    def receive_batch(self, data: bytes = b"") -> list[Event]:
        """The same, but only a bounded part of the work: a driver can look at its clocks, or let
        others run, before it goes on with another call, as long as the exchange `has_more`."""
        events: list[Event] = []
        step, direct = self._step, self.direct
        try:
            if direct is not None and len(data) <= PIECE and not self.has_more:
                if self._recorded is not None:
                    self._recorded += data
                direct.data(data, events)  # as most do
                self.even = step.even
            elif self._ignored("receive_data"):
                if self._raw is not None and self.answered and isinstance(self._coding, Identity):
                    self._raw += data  # costs, pings: of no matter for the answer, but it came
                return events
            else:
                self.even = False
                self._receive_coded(data, events)
            if step.evidence == "terminator":
                step.settle(True, events)
                self._end("terminator", events)
        except RemoteProtocolError as error:
            step.settle(False, events)
            self._fail(error)
        if events:
            self.started = True
        return events

    def _receive_coded(self, data: bytes, events: list[Event]) -> None:
        """Bytes of the body that must be decoded, or are too many for one batch."""
        body, coding = self._body, self._coding
        assert body is not None  # its response has begun
        assert coding is not None
        coding.feed(data)
        if coding.more:
            piece = coding.take()
            self.has_more = coding.more
            if self._recorded is not None:
                self._recorded += piece
            body.data(piece, events)

    def receive_eof(self, framed: bool | None = None) -> list[Event]:
        """The body is complete. `framed` is False if only a closed connection says so: there was
        neither a length nor chunks. None: the response's headers decide, as in HTTP/1."""
        if framed is None:
            framed = any(name in _FRAMING for name, _ in self._headers)
        return self._close("receive_eof", "body_end" if framed else "connection_close", None)

    def receive_disconnect(self) -> list[Event]:
        """The connection was lost inside the body, or before the response."""
        return self._close(
            "receive_disconnect",
            None,
            Disconnected("the connection closed before any byte of a response"),
        )

    def receive_timeout(self, clock: Clock, message: str = "") -> list[Event]:
        """One of the clocks ran out. `message` replaces the default message of the error."""
        return self._close(
            "receive_timeout", None, TimedOut(message or f"the clock {clock} ran out", clock)
        )

    def _close(
        self, call: str, evidence: Evidence | None, reason: TokenwireError | None
    ) -> list[Event]:
        """The body ended, with `evidence` or for a `reason`."""
        events: list[Event] = []
        if isinstance(reason, TimedOut):
            self.has_more = False  # there is no time for it
        while self.has_more:
            events += Exchange.receive_batch(self)  # without observers, which are told at the end
        if self._ignored(call):
            return events
        if self._state is State.SENT or self._body is None or self._coding is None:
            assert reason is not None  # the body, whose end has none, has not begun
            self._give_up(reason)
            return events
        try:
            if evidence is not None and self._coding.whole:
                following = self._body.eof(events)
            else:
                evidence = None
                following = self._body.interrupted(events)
        except RemoteProtocolError as error:
            self._step.settle(False, events)
            self._fail(error)
            return self._hand_out(events)
        if following is not None:
            self._earlier += (self.request,)
            self._step, self._request = following, None
            self._state, self.direct = State.READY, None
            return self._hand_out(events)
        found = self._step.evidence or evidence
        proven = proves(found, self._owes)
        self._step.settle(proven, events)
        if found is not None and proven:
            self._end(found, events)
        elif isinstance(reason, TimedOut):
            self._give_up(reason)
        else:
            self._fail(Truncated(self._unfinished(found)))
        return self._hand_out(events)

    def _unfinished(self, found: Evidence | None) -> str:
        if found == "connection_close":
            return (
                f"{self._step.unfinished}: only a closed connection shows that it is complete, "
                f"and this provider requires {self._owes}"
            )
        return self._step.unfinished

    def _hand_out(self, events: list[Event]) -> list[Event]:
        if events:
            self.started = True
        return events

    def _end(self, evidence: Evidence, events: list[Event]) -> None:
        if self._step.failure is not None:
            self._fail(self._step.failure)
            return
        events.append(End(evidence))
        self._state, self.direct = State.SETTLED, None
        self.has_more = False

    def _fail(self, error: RemoteProtocolError) -> None:
        if isinstance(self._body, RefusedBody):
            error = self._body.error()  # it goes before any fault in its body
        error.status = self._status
        errors = self._step.errors
        kept = _KEPT_HEADERS.union(errors.request_ids, (errors.code_header,))
        error.headers = [
            (name, value)
            for name, value in self._headers
            if name in kept or b"ratelimit" in name.replace(b"-", b"")
        ]
        if isinstance(error, Refused) and error.request_id is None:
            error.request_id = self.request_id
        if isinstance(error, AuthenticationFailed) and self._status != 407 and self._keyless:
            error.advice = self._keyless
        self._give_up(error)

    def _give_up(self, error: TokenwireError) -> None:
        self.name_address(error)
        conceal(error, self.secrets())
        self.error = error
        self._state, self.direct = State.FAILED, None
        self.has_more = False

    def name_address(self, error: TokenwireError) -> None:
        """Let `error` name the address that was asked, if that may be what is wrong: nobody is
        there, or somebody else is."""
        request = self.request
        if isinstance(error, _ASTRAY) or getattr(error, "status", None) in (404, 405):
            error.asked = f"{request.method} {request.address}"

    def _ignored(self, call: str) -> bool:
        """Whether `call` is about a response that is settled. Raises if it is out of order."""
        state = self._state
        if state is State.BODY:
            return False
        if self._responded and state is not State.SENT and call in _IGNORED:
            return True
        self._check(call)
        return False

    def _check(self, call: str) -> None:
        if call not in TRANSITIONS[self._state]:
            raise LocalProtocolError(_OUT_OF_ORDER[self._state].format(call))


_OUT_OF_ORDER = {
    State.READY: "{}: no request is under way; send what next_request() gives first",
    State.SENT: "{}: the response to the last request has not begun; receive_response() comes next",
    State.BODY: "{}: the last response is not over; feed its data, then receive_eof()",
    State.SETTLED: "{}: the question is answered, and no response is expected",
    State.FAILED: "{}: the exchange has failed; next_request() raises the reason",
}
