"""One call: from a caller's request to the end of its answer, over as many attempts as it takes."""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from math import inf
from time import monotonic, time
from typing import TYPE_CHECKING, Any

import anyio
import msgspec

from ..protocols.errors import (
    AuthenticationFailed,
    BadRequest,
    LocalProtocolError,
    Overloaded,
    Refused,
    RemoteProtocolError,
    TimedOut,
    TokenwireError,
)
from ..protocols.events import Event, Start, Unrecognized, Usage
from ..protocols.reading import Asked, decoded
from ..protocols.refusing import refuse
from ..protocols.service import STREAMED, Responder
from ..protocols.toolkit.http import Headers, Request
from ..transports.client.clients import AsyncClient
from .config import Config, Key, Model, Target
from .delivery import BrokenOff, Delivery, Later
from .fronts import Front, Fronts
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
from .public import WORDS, Drained, public_error
from .reach import Reach, is_alike
from .record import Record, Try
from .recordings import Recordings
from .sealing import StateSealer, may_have_state
from .session import session_of
from .splice import replaced

if TYPE_CHECKING:
    from .trace import CallTrace, Tracing

__all__ = ["Call", "Shared"]

_HANDSHAKE = (Start, Usage, Unrecognized)
"""Events that show only that an answer has begun, not that it will have content."""


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
            record.looks_up = bool(asked.path)
            reach = self._reach(key)
            model = reach.keeper(front) if record.looks_up else reach.model(asked.model)
            record.model = model.name
            scopes = self._scopes = scopes_of_call(key, model)
            if record.looks_up:
                expected = Usage(input_tokens=0, output_tokens=0)
            else:
                wanted = self._wanted(request) if any(map(counts_tokens, scopes)) else None
                expected = expected_usage(len(request.body), wanted, model)
            limiter = self._shared.limiter
            reservation = await limiter.reserve(scopes, expected, model.price)
            try:
                await self._attempts(request, asked, model, expected, delivery)
            finally:
                await limiter.settle(reservation, self.record.used(expected))
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

    def _reach(self, key: Key | None) -> Reach:
        return Reach(self._shared.config, key, self._named)

    async def _tell(self, request: Request, key: Key | None, delivery: Delivery) -> None:
        """Answer what is no chat: models, token counts, health."""
        if self._front.endpoint.does == "count" and await self._counted(request, key, delivery):
            return
        responder = self._front.listing(self._reach(key).names).responder()
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
        model = self._reach(key).model(asked.model)
        self.record.model = model.name
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
            raise public_error(error) from None
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
                    await limiter.settle(reservation, self.record.used(expected))
                if error is None:
                    return
                self._errors.append(error)
                if not self._may_go_on(error, rules.attempts):
                    break
        if scope.cancelled_caught:
            self._errors.append(TimedOut("no target answered in time", "total"))
        raise public_error([*refusals, *self._errors][-1])

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
                planner.learn(target, error, anyio.current_time(), time())
            if not delivery.committed:
                return error
            await self._break_off(error, lane, delivery, target.rules.on_cut)
        else:
            record.tries += (Try(target.name, "complete"),)
            planner.learn(target, None, anyio.current_time(), time())
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
                record.note(event)
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
        if self.record.looks_up:
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

    async def _break_off(
        self, error: TokenwireError, lane: Lane, delivery: Delivery, on_cut: str
    ) -> None:
        """Tell `error` inside the body, which then ends properly or not."""
        self.record.outcome, self.record.error = error.outcome, error.message
        told = public_error(error)
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
        now = time()
        waits = [wait for each in self._errors if (wait := wait_of(each, now)) is not None]
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

    def _wanted(self, request: Request) -> int | None:
        """How many tokens the answer may have, if the request says so."""
        try:
            chat = self._front.responder().receive_request(request)
        except RemoteProtocolError:  # which the upstream may take all the same
            return None
        return None if chat is None else chat.max_tokens

    def _session(self, request: Request, model: Model) -> str:
        if model.strategy != "sticky":
            return ""
        chat = self._front.responder().receive_request(request)
        return "" if chat is None else session_of(chat, request.headers, model.sticky_header)


_KEPT = (
    "a request that goes on from what the service has kept (previous_response_id, conversation, "
    "background) needs a model with one target, of the same format: send the whole conversation"
)


async def _raised(error: TokenwireError, after: Awaitable[None] | None) -> None:
    """Raise `error`, once what comes before it is sent."""
    if after is not None:
        await after
    raise error


def has_content(events: list[Event]) -> bool:
    """Whether an answer that has said this goes on: later failures can't be hidden any more."""
    return any(not isinstance(event, _HANDSHAKE) for event in events)


def _seconds(wait: float) -> str:
    """A time to wait: whole seconds as `Retry-After` has them."""
    return f"{wait:.0f}" if wait == wait // 1 else f"{wait:.3f}s"
