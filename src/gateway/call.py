"""One call: from a caller's request to the end of its answer, over as many attempts as it takes."""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from math import inf
from time import monotonic
from typing import TYPE_CHECKING, Any

import anyio
import msgspec

from ..protocols.errors import (
    AuthenticationFailed,
    BadRequest,
    Challenged,
    LocalProtocolError,
    Overloaded,
    Redirected,
    Refused,
    RemoteProtocolError,
    TimedOut,
    TokenwireError,
    TransportError,
)
from ..protocols.events import (
    End,
    Event,
    Finish,
    Reasoning,
    Start,
    Text,
    Unrecognized,
    Usage,
)
from ..protocols.reading import Asked, decoded
from ..protocols.refusing import refuse
from ..protocols.service import STREAMED, Responder
from ..protocols.toolkit.http import Headers, Request
from ..transports.client.clients import AsyncClient
from .config import Config, Key, Limits, Model, Target
from .delivery import BrokenOff, Delivery, Later
from .fronts import Front, Fronts, unknown_model
from .headers import from_caller, to_caller
from .keys import KeyRing
from .lanes import Lane, NothingAsked, Relay, Translation
from .limits import (
    Limited,
    Limiter,
    Scope,
    counts_tokens,
    expected_usage,
    scope_of_target,
    scopes_of_call,
)
from .plan import Planner, meaning_of, wait_of
from .recordings import Recordings
from .sealing import StateSealer, may_have_state
from .session import session_of
from .splice import replaced

if TYPE_CHECKING:
    from .trace import CallTrace, Tracing

__all__ = ["Call", "Record", "Shared", "Try"]

_HANDSHAKE = (Start, Usage, Unrecognized)
"""Events that show only that an answer has begun, not that it will have content."""

WORDS = 2000
"""Characters of an upstream's words that a caller is told."""

_STATUSES = (400, 404, 408, 413, 422, 429, 500, 503, 504)
"""Statuses of an upstream that its caller gets as they are; others become 502."""


class Shared(msgspec.Struct):
    """What the calls of one gateway share. `now` returns seconds since 1970. `recordings` keeps
    what goes to upstreams and back, if the configuration says so; `tracing` is None if there are no
    traces."""

    config: Config
    fronts: Fronts
    keys: KeyRing
    planner: Planner
    sealer: StateSealer
    limiter: Limiter
    client: AsyncClient
    now: Callable[[], float]
    recordings: Recordings
    tracing: "Tracing | None" = None


class Drained(TransportError):
    """The gateway had to end before the answer did."""


class Try(msgspec.Struct, frozen=True):
    """What became of one attempt: `result` is `complete`, or the kind of the error whose words are
    in `error`."""

    target: str
    result: str
    error: str = ""


class Record(msgspec.Struct):
    """What became of a call: for its log line, the metrics and the traces. Times are seconds of
    `time.monotonic`; names are those of the configuration. `id` may be the caller's own, `unique`
    is not. `asked` is when the first target was asked, `answered_by` how the upstream calls the
    model; `held` counts the events that were held back."""

    id: str
    began: float
    unique: str = ""
    front: str = ""
    key: str = ""
    model: str = ""
    target: str = ""
    back: str = ""
    lane: str = ""
    attempts: int = 0
    tries: tuple[Try, ...] = ()
    status: int = 200
    outcome: str = ""
    characters: int = 0
    evidence: str = ""
    stream: bool = False
    asked: float = inf
    first: float = inf
    ended: float = inf
    size: int = 0
    pings: int = 0
    held: int = 0
    usage: Usage | None = None
    estimated: bool = False
    limit: str = ""
    finishes: tuple[str, ...] = ()
    losses: tuple[str, ...] = ()
    unrecognized: int = 0
    error: str = ""
    answered_by: str = ""


class Call:
    """One request of a caller, and its answer. `sent` is the request as it was sent, by whose path
    the model may be `named`. `record` tells what became of it, `broken_off` whether the answer is
    not whole, and must not look it."""

    def __init__(
        self,
        shared: Shared,
        front: Front,
        request: Request,
        record: Record,
        trace: "CallTrace | None" = None,
        *,
        sent: Request | None = None,
        named: str = "",
    ) -> None:
        self.record = record
        self._trace = trace
        self._sent = request if sent is None else sent
        self._named = named
        self._shared = shared
        self._front = front
        self._request = request
        self._recording = shared.recordings.begin(record.id)
        self._errors: list[TokenwireError] = []
        self._scopes: list[Scope] = []
        self.broken_off = False
        self._looks_up = False  # whether it asks for what a service has kept
        self._stopped = False
        self._attempting = anyio.CancelScope()

    def stop(self) -> None:
        """End the answer with an error: the gateway is about to end."""
        self._stopped = True
        self._attempting.cancel()

    async def respond(self, delivery: Delivery) -> None:
        """Answer the call."""
        record, front = self.record, self._front
        record.front = front.dialect.name
        try:
            request = decoded(self._request, self._shared.config.max_request)
            key = self._shared.keys.find(self._sent, self._shared.now())
            if key is None and self._shared.keys and front.endpoint.does != "health":
                raise refuse(
                    AuthenticationFailed, 401, "the API key is missing or wrong", "invalid_api_key"
                )
            record.key = "" if key is None else key.name
            if front.endpoint.does not in ("chat", "kept"):
                await self._tell(request, key, delivery)
                return
            asked = front.responder().asked(request, front.found)
            record.stream = asked.stream
            self._looks_up = bool(asked.path)
            model = self._keeper(key) if self._looks_up else self._model(key, asked.model)
            scopes = self._scopes = scopes_of_call(key, model)
            if self._looks_up:
                expected = Usage(input_tokens=0, output_tokens=0)
            else:
                wanted = self._wanted(request) if any(map(counts_tokens, scopes)) else None
                expected = expected_usage(len(request.body), wanted, model)
            limiter = self._shared.limiter
            reservation = await limiter.reserve(scopes, expected, model.price)
            try:
                await self._attempts(request, asked, model, expected, delivery)
            finally:
                await limiter.settle(reservation, self._used(expected))
        except NothingAsked as nothing:
            await self._answer(nothing.responder, delivery)
        except (RemoteProtocolError, LocalProtocolError) as error:
            await self._fail(error, delivery)
        finally:
            self._shared.recordings.keep(self._recording, record.unique)

    def end(self) -> None:
        """Raises BrokenOff if the server must not end the body as if it were whole."""
        if self.broken_off:
            raise BrokenOff

    def _model(self, key: Key | None, asked: str) -> Model:
        """What is asked for. Raises BadRequest (404) for what is not there, or not allowed."""
        name = self._named or asked
        model = self._shared.config.model(name)
        if model is None or not (key is None or key.allows(name)):
            raise unknown_model(name, self._known(key))
        self.record.model = model.name
        return model

    def _keeper(self, key: Key | None) -> Model:
        """A model with the only target that may have kept what is asked for: one of the model in
        the path, or else of all that the caller may ask for. Without a name in the path it is no
        certain model, so none is named, limited or charged. Raises BadRequest (400)."""
        models = [self._model(key, "")] if self._named else self._reached(key)
        found: dict[str, Model] = {}  # by the service: its targets differ only in their models
        for model in models:
            for target in filter(partial(is_alike, front=self._front), model.targets):
                alone = msgspec.structs.replace(model, targets=(target,), strategy="ordered")
                found.setdefault(target.provider.name, alone)
        if len(found) != 1:
            raise refuse(BadRequest, 400, _SEVERAL if found else _NOWHERE)
        (model,) = found.values()
        if self._named:
            return model
        return msgspec.structs.replace(model, name="", limits=Limits(), budget=None)

    def _reached(self, key: Key | None) -> list[Model]:
        """The models that `key` may ask for by any name."""
        config = self._shared.config
        named = () if key is None else key.models or ()
        mine = [config.model(name) for name in named]
        return [
            model
            for model in config.models
            if key is None or key.allows(model.name) or any(model is each for each in mine)
        ]

    def _known(self, key: Key | None) -> list[str]:
        names = [model.name for model in self._shared.config.models]
        return [name for name in names if key is None or key.allows(name)]

    async def _tell(self, request: Request, key: Key | None, delivery: Delivery) -> None:
        """Answer what is no chat: models, token counts, health."""
        if self._front.endpoint.does == "count" and await self._counted(request, key, delivery):
            return
        responder = self._front.listing(self._known(key)).responder()
        responder.receive_request(request)
        await self._answer(responder, delivery)

    async def _answer(self, responder: Responder, delivery: Delivery) -> None:
        """Answer by the words of `responder` alone."""
        status, headers = responder.head()
        if self._front.endpoint.does == "count":
            headers = [*headers, (b"x-tokenwire-estimate", b"1")]
        self.record.outcome = "complete"
        if delivery.committed:
            await delivery.write(responder.end())
            await delivery.finish()
        else:
            await delivery.respond(status, headers, responder.end())

    async def _counted(self, request: Request, key: Key | None, delivery: Delivery) -> bool:
        """Have a service of the caller's own format count the tokens. Returns False if there is
        none that can."""
        front, now = self._front, self._shared.now
        asked = front.responder().asked(request, front.found)
        model = self._model(key, asked.model)
        able = bool(front.dialect.counts)
        target = next((each for each in model.targets if able and is_alike(each, front)), None)
        if target is None:
            return False
        self.record.target, self.record.back = target.name, front.dialect.name
        self.record.attempts = 1
        name = model.asks(target, self._named or asked.model)
        exchange = target.provider.document_exchange(
            front.dialect.counts,
            replaced(request.body, "model", msgspec.json.encode(name)),
            key=target.key,
            params=target.params,
            headers=from_caller(request.headers, front.dialect.name, target.forward),
            clocks=target.rules.clocks,
            now=now,
        )
        exchange.keep_raw()
        try:
            async with self._shared.client.open(exchange) as answer:
                await answer.read()
        except TokenwireError as error:
            if isinstance(error, BadRequest) and error.status in (404, 405):  # it does not count
                return False
            self._errors.append(error)
            raise self._public(error) from None
        self.record.outcome = "complete"
        content = [(b"content-type", b"application/json")]
        headers = [*content, *self._own(answer.headers)]
        await delivery.respond(200, headers, exchange.take_raw())
        return True

    async def _attempts(
        self, request: Request, asked: Asked, model: Model, expected: Usage, delivery: Delivery
    ) -> None:
        """Ask one target after the other, until one has answered. Raises the error of the call if
        none has."""
        refusals: list[Refused | LocalProtocolError] = []
        limiter = self._shared.limiter
        now = anyio.current_time()
        self._shared.planner.retries.call(now)
        targets = self._shared.planner.order(model, self._session(request, model), now)
        rules = targets[0].rules
        if asked.stream:
            delivery.expect(
                ping=rules.ping,
                commit_after=rules.commit_after,
                headers=lambda: self._early_head(request),
            )
            if not rules.commit_after:
                await delivery.begin()
        with anyio.CancelScope(deadline=now + (rules.deadline or inf)) as scope:

            def committed() -> None:
                scope.deadline = inf

            delivery.on_commit = committed
            for target in targets:
                try:
                    lane = self._lane(request, asked, model, target)
                    scopes = [scope_of_target(target)]
                    reservation = await limiter.reserve(scopes, expected, model.price)
                except (Refused, LocalProtocolError) as refusal:
                    refusals.append(refusal)
                    continue
                try:
                    error = await self._attempt(target, lane, delivery)
                finally:
                    await limiter.settle(reservation, self._used(expected))
                if error is None:
                    return
                self._errors.append(error)
                if not self._may_go_on(error, rules.attempts):
                    break
        if scope.cancelled_caught:
            self._errors.append(TimedOut("no target answered in time", "total"))
        raise self._public([*refusals, *self._errors][-1])

    def _may_go_on(self, error: TokenwireError, attempts: int) -> bool:
        return (
            not self._stopped
            and meaning_of(error).again
            and self.record.attempts < attempts
            and self._shared.planner.retries.spend(anyio.current_time())
        )

    def _lane(self, request: Request, asked: Asked, model: Model, target: Target) -> Lane:
        """The way by `target`. Raises Refused or LocalProtocolError if that can't be asked this."""
        shared, front = self._shared, self._front
        same = target.provider.dialect.name == front.dialect.name
        name = model.asks(target, self._named or asked.model)
        as_it_is = target.lane == "auto" and asked.alike and not may_have_state(request.body)
        if asked.goes_on and not (same and as_it_is and len(model.targets) == 1):
            raise refuse(BadRequest, 400, _KEPT)
        traced = () if self._trace is None else (self._trace.attempt(target),)
        observers = (*traced, *self._recording.observers())
        if same and as_it_is:
            scopes = [*self._scopes, scope_of_target(target)]
            metered = any(map(counts_tokens, scopes))
            return Relay(front, request, asked, target, name, metered, shared.now, observers)
        estimate = len(request.body) // 4 if shared.config.estimate_input else 0
        return Translation(
            front,
            request,
            asked,
            target,
            name,
            model.allow,
            shared.sealer,
            self.record.unique,
            estimate,
            shared.now,
            observers,
        )

    async def _attempt(
        self, target: Target, lane: Lane, delivery: Delivery
    ) -> TokenwireError | None:
        """Ask one target. Returns the error that ended its answer before the caller got any of
        it."""
        record, planner = self.record, self._shared.planner
        record.target, record.back = target.name, target.provider.dialect.name
        record.lane = lane.name
        record.attempts += 1
        record.asked = min(record.asked, monotonic())
        health = planner.of(target)
        health.in_flight += 1
        try:
            with anyio.CancelScope() as self._attempting:
                if self._stopped:
                    self._attempting.cancel()
                await self._flow(lane, delivery)
            if self._attempting.cancelled_caught:
                raise Drained("the gateway is being stopped: ask again")
        except TokenwireError as error:
            record.tries += (Try(target.name, error.outcome, error.message[:WORDS]),)
            if not isinstance(error, Drained):
                planner.learn(target, error, anyio.current_time())
            if not delivery.committed:
                return error
            await self._break_off(error, lane, delivery, target.rules.on_cut)
        else:
            record.tries += (Try(target.name, "complete"),)
            planner.learn(target, None, anyio.current_time())
        finally:
            health.in_flight -= 1
            record.losses, record.unrecognized = lane.losses, lane.unrecognized
        return None

    async def _flow(self, lane: Lane, delivery: Delivery) -> None:
        """Pass on an answer as it comes. Raises the error that ended it."""
        record, begun = self.record, False

        def take(events: list[Event]) -> Awaitable[None] | None:
            nonlocal begun
            if not begun:
                begun = True
                delivery.prepare([*lane.head(answer), *self._own(answer.headers)])
            for event in events:
                if isinstance(event, Text):  # as most are
                    record.characters += len(event.text)
                else:
                    self._note(event)
            data = lane.take(events)
            brake: Awaitable[None] | None = None
            if delivery.committed:
                brake = delivery.offer(data)
            else:
                record.held += len(events)
                if (delivery.hold(data) or has_content(events)) and record.stream:
                    brake = Later(delivery.commit)
            return brake if lane.failure is None else Later(partial(_raised, lane.failure, brake))

        async with self._shared.client.open(lane.exchange) as answer:
            await answer.push(take)
            last = lane.end()
            if not delivery.committed:
                if lane.unrecognized:
                    unknown = (b"x-tokenwire-unrecognized", b"%d" % lane.unrecognized)
                    delivery.headers.append(unknown)
                delivery.hold(last)
                await delivery.commit(whole=True)
            else:
                await delivery.write(last)
            await delivery.finish()
        record.outcome = "complete"

    def _own(self, headers: Headers) -> Headers:
        record = self.record
        own: Headers = [(b"x-tokenwire-attempts", b"%d" % record.attempts)]
        if self._shared.config.expose and record.target:
            own.append((b"x-tokenwire-model", record.model.encode()))
            own.append((b"x-tokenwire-target", record.target.encode()))
        passed = to_caller(headers, self._front.dialect.name, record.back, self._shared.now())
        return [*passed, *own]

    def _early_head(self, request: Request) -> Headers:
        """The head of a stream that begins before the upstream's does."""
        responder = self._front.responder()
        if self._looks_up:
            return [*responder.head()[1], *STREAMED]
        with suppress(RemoteProtocolError):
            responder.receive_request(request)
        return responder.head()[1]

    def _details(self, kind: str, text_so_far: int) -> dict[str, Any]:
        """What an error says beside the format's own fields."""
        record = self.record
        details = {"kind": kind, "attempts": record.attempts, "text_so_far": text_so_far}
        if self._shared.config.expose and record.target:
            details["target"] = record.target
        return {"tokenwire": details}

    def _note(self, event: Event) -> None:
        """What the record tells of an answer."""
        match event:
            case Reasoning():
                self.record.characters += len(event.text)
            case Usage() if not self._looks_up:  # which was used when the answer was made
                self.record.usage = event
            case Start():
                self.record.answered_by = event.model
            case Finish():
                self.record.finishes += (event.reason,)
            case End():
                self.record.evidence = event.evidence
            case _:
                pass

    async def _break_off(
        self, error: TokenwireError, lane: Lane, delivery: Delivery, on_cut: str
    ) -> None:
        """Tell `error` inside the body, which then ends properly or not."""
        self.record.outcome, self.record.error = error.outcome, error.message
        told = self._public(error)
        if not isinstance(told, Refused):  # it is about what the caller's format can't say
            told = refuse(Overloaded, 502, told.message)
        told.details = self._details(error.outcome, self.record.characters)
        data, ends = lane.broken(error, told)
        await delivery.write(data)
        self.broken_off = not ends and on_cut != "error"
        if not self.broken_off:
            await delivery.finish()

    async def _fail(
        self, error: RemoteProtocolError | LocalProtocolError, delivery: Delivery
    ) -> None:
        """Answer with an error response."""
        kind = self._errors[-1].outcome if self._errors else error.outcome
        error.details = self._details(kind, 0)
        waits = [wait for each in self._errors if (wait := wait_of(each)) is not None]
        if waits and isinstance(error, Refused):
            error.retry_after = _seconds(min(waits))
        responder = self._front.responder()
        body = responder.fail(error)
        status, headers = responder.head()
        if status == 529 and self._front.dialect.name != "anthropic":
            status = 503
        self.record.status = status
        said: Headers = error.headers if isinstance(error, Refused) else []
        if isinstance(error, Limited):
            self.record.limit, self.record.back = error.limit, "openai_chat"
        self.record.outcome = self.record.outcome or self._outcome(error, status)
        self.record.error = error.message
        names = {name for name, _ in headers}
        own = [pair for pair in self._own(said) if pair[0] not in names]
        await delivery.respond(status, [*headers, *own], body)

    def _outcome(self, error: TokenwireError, status: int) -> str:
        """What became of a call that was answered with `error`."""
        if self._errors and isinstance(self._errors[-1], Drained):
            return "drained"
        if isinstance(error, AuthenticationFailed):  # by the gateway's own keys
            return "unauthorized"
        match status:
            case 429:
                return "limited" if isinstance(error, Limited) else "refused"
            case _ if status < 500:
                return "bad_request"
            case _:
                return "upstream_error"

    def _public(self, error: TokenwireError) -> RemoteProtocolError | LocalProtocolError:
        """`error` as callers are told: without addresses, and without what is the operator's."""
        if isinstance(error, LocalProtocolError):
            return error
        if isinstance(error, Limited):
            return error
        if isinstance(error, Refused) and not isinstance(error, Redirected | Challenged):
            if meaning_of(error).operators:
                return refuse(Overloaded, 502, _OPERATORS, "upstream_refused")
            error.message = error.message[:WORDS]
            if error.status is not None and error.status >= 400 and error.status not in _STATUSES:
                error.status = error.status if error.status == 529 else 502
            return error
        if isinstance(error, Drained):
            return refuse(Overloaded, 503, error.message, "shutting_down")
        status = 504 if isinstance(error, TimedOut) else 502
        message = _MESSAGES.get(type(error).__name__, "the upstream's answer is not valid")
        return refuse(Overloaded, status, message, f"upstream_{error.outcome}")

    def _wanted(self, request: Request) -> int | None:
        """How many tokens the answer may have, if the request says so."""
        try:
            chat = self._front.responder().receive_request(request)
        except RemoteProtocolError:  # which the upstream may take all the same
            return None
        return None if chat is None else chat.max_tokens

    def _used(self, expected: Usage) -> Usage | None:
        """What the call used; None: nothing. An answer that is yet to be made, in the background,
        will use what is `expected`, as far as is known."""
        record = self.record
        if self._looks_up:
            return None
        told = None if record.usage is None else record.usage.output_tokens
        # What is told at the beginning of an answer that broke off is not all of it.
        if (record.evidence and told is not None) or not record.characters:
            later = record.outcome == "complete" and not (record.usage or record.finishes)
            return expected if later else record.usage
        record.estimated = True
        output = max(record.characters // 4, told or 0)
        record.usage = msgspec.structs.replace(record.usage or Usage(), output_tokens=output)
        return record.usage

    def _session(self, request: Request, model: Model) -> str:
        if model.strategy != "sticky":
            return ""
        chat = self._front.responder().receive_request(request)
        return "" if chat is None else session_of(chat, request.headers, model.sticky_header)


_KEPT = (
    "a request that goes on from what the service has kept (previous_response_id, conversation, "
    "background) needs a model with one target, of the same format: send the whole conversation"
)
_SEVERAL = (
    "a request for a kept response does not say its model, and more than one service may have it: "
    "put the model into the path (/t/MODEL/v1/responses/...)"
)
_NOWHERE = "no model that can be asked for here has a service that keeps responses"
_OPERATORS = "the upstream does not take the gateway's own key, or its quota is used up"
_MESSAGES = {
    "TimedOut": "the upstream did not answer in time",
    "ConnectFailed": "the upstream can't be reached",
    "Disconnected": "the upstream closed the connection before it answered",
    "Truncated": "the upstream's answer broke off before it was whole",
}


async def _raised(error: TokenwireError, after: Awaitable[None] | None) -> None:
    """Raise `error`, once what comes before it is sent."""
    if after is not None:
        await after
    raise error


def has_content(events: list[Event]) -> bool:
    """Whether an answer that has said this goes on: later failures can't be hidden any more."""
    return any(not isinstance(event, _HANDSHAKE) for event in events)


def is_alike(target: Target, front: Front) -> bool:
    """Whether `target` may have the endpoints beside the chat that `front` has: it is of this
    format, and at the paths of its own vendor."""
    provider = target.provider
    own = provider.path or provider.whole_path or target.lane != "auto"
    return provider.dialect.name == front.dialect.name and not own


def _seconds(wait: float) -> str:
    """A time to wait: whole seconds as `Retry-After` has them."""
    return f"{wait:.0f}" if wait == wait // 1 else f"{wait:.3f}s"
