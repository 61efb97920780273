"""The gateway as an ASGI application: it runs on any ASGI server, with asyncio or trio."""

import os
import random
import time
from collections.abc import Callable, MutableMapping
from functools import partial
from typing import TYPE_CHECKING, Any

import anyio
import msgspec

from ..protocols.errors import Overloaded, RemoteProtocolError
from ..protocols.refusing import refuse
from ..protocols.retry import NO_RETRY
from ..protocols.toolkit.http import Headers, Request, get_header
from ..transports.anyio import Client
from .admission import Hosts, Origins
from .call import Call, Shared
from .config import Config, ConfigError
from .delivery import Delivery, Send
from .fronts import Front, Fronts, addressed
from .headers import REQUEST_ID, is_request_id
from .inbox import CallerGone, Inbox, Receive
from .keys import KeyRing
from .limits import Limiter
from .plan import Planner
from .record import Record
from .recordings import Recordings
from .sealing import StateSealer
from .slots import Slots, Wanted
from .store import Store

if TYPE_CHECKING:
    from opentelemetry.trace import TracerProvider

    from .trace import CallTrace, Tracing

__all__ = ["App", "app"]

_ROOM = "gateway"
"""The name of the limit of all calls."""


def app(config: Config) -> "App":
    """The application for `config`."""
    return App(config)


class App:
    """An ASGI 3 application. `settled` is called with the record of each call at its end,
    `store_failed` with the error of each failure of the store, `record_failed` with that of a
    recording that could not be written. With `traces` its spans go to `tracer_provider`, or to that
    of the program. Raises ConfigError if OpenTelemetry is not there.
    """

    def __init__(
        self,
        config: Config,
        *,
        now: Callable[[], float] = time.time,
        settled: Callable[[Record], None] = lambda record: None,
        store_failed: Callable[[Exception], None] = lambda error: None,
        record_failed: Callable[[Exception], None] = lambda error: None,
        tracer_provider: "TracerProvider | None" = None,
    ) -> None:
        slots = Slots(queue=config.queue, patience=config.queue_wait)
        store = Store(config.store, on_failure=config.on_store_failure, failed=store_failed)
        self.shared = Shared(
            config=config,
            limiter=Limiter(store, slots),
            fronts=_fronts(config, now),
            keys=_keys(config),
            planner=Planner(random.SystemRandom().random),
            sealer=StateSealer(config.state_key or os.urandom(32)),
            client=Client(retry=NO_RETRY),
            now=now,
            recordings=Recordings(config.record, record_failed, now),
            tracing=_tracing(tracer_provider) if config.traces else None,
        )
        self._record_failed = record_failed
        self.in_flight = 0
        self._calls: set[Call] = set()
        self._store = store
        self._slots = slots
        self._hosts = Hosts(config)
        self._origins = Origins(config.origins)
        self._settled = settled
        self._prefix = os.urandom(6).hex()
        self._number = 0

    def adopt(self, config: Config) -> None:
        """Work by `config` from now on. Calls in flight go on as they began; what was learnt of the
        targets is kept by their names."""
        old = self.shared
        same_key = config.state_key == old.config.state_key
        self.shared = msgspec.structs.replace(
            old,
            config=config,
            fronts=_fronts(config, old.now),
            keys=_keys(config),
            recordings=Recordings(config.record, self._record_failed, old.now),
            sealer=old.sealer if same_key else StateSealer(config.state_key or os.urandom(32)),
        )
        self._hosts = Hosts(config)
        self._origins = Origins(config.origins)

    def stop_calls(self) -> None:
        """End each answer in flight with an error."""
        for call in self._calls:
            call.stop()

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["type"] == "http":
            await self._serve(scope, receive, send)
        else:
            raise RuntimeError(f"this is no application for {scope['type']}")

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        self.shared.client.close()
        await self._store.close()
        await send({"type": "lifespan.shutdown.complete"})

    async def _serve(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        self._number += 1
        unique = f"{self._prefix}{self._number}"
        record = Record(id=_id(scope) or f"tw-{unique}", unique=unique, began=time.monotonic())
        self.in_flight += 1
        try:
            await self._call(scope, receive, send, record)
        finally:
            self.in_flight -= 1
            record.ended = time.monotonic()
            self._settled(record)

    async def _call(
        self, scope: MutableMapping[str, Any], receive: Receive, send: Send, record: Record
    ) -> None:
        shared = self.shared
        sent = _request(scope)
        _, request = addressed(sent)
        added = [(REQUEST_ID, record.id.encode()), *self._origins.headers(request)]
        preflight = self._origins.preflight(request)
        if preflight is not None:
            record.status, record.outcome = 204, "complete"
            await Delivery(send, added=added).respond(204, preflight, b"")
            return
        try:
            self._hosts.check(request)
            front = shared.fronts.of(request)
        except RemoteProtocolError as error:
            await self._turn_away(request, error, Delivery(send, added=added), record)
            return
        length = get_header(request.headers, b"content-length")
        inbox = Inbox(receive, shared.config.max_request, length)
        trace = None
        if shared.tracing is not None and front.endpoint.does == "chat":
            trace = shared.tracing.call(request.headers)
        try:
            await self._admit(front, sent, inbox, send, added, record, trace)
        finally:
            if trace is not None:
                trace.end(record)

    async def _admit(
        self,
        front: Front,
        sent: Request,
        inbox: Inbox,
        send: Send,
        added: Headers,
        record: Record,
        trace: "CallTrace | None",
    ) -> None:
        shared = self.shared
        named, request = addressed(sent)
        try:
            await self._enter(shared.config, inbox)
        except RemoteProtocolError as error:
            await self._turn_away(request, error, Delivery(send, added=added), record)
            return
        except CallerGone:
            record.outcome = "caller_gone"
            return
        try:
            body = await inbox.body()
            sent = msgspec.structs.replace(sent, body=body)
            request = msgspec.structs.replace(request, body=body)
            delivery = Delivery(send, front.dialect.ping, added)
            call = Call(shared, front, request, record, trace, sent=sent, named=named)
            self._calls.add(call)
            try:
                await self._watched(call, delivery, inbox, shared.config.stall)
            finally:
                self._calls.remove(call)
                record.size, record.first = delivery.size, delivery.first_at
                record.pings = delivery.pings
            call.end()
        except RemoteProtocolError as error:
            await self._turn_away(request, error, Delivery(send, added=added), record)
        except CallerGone:
            record.outcome = "caller_gone"
        finally:
            self._slots.give({_ROOM: 1})

    async def _enter(self, config: Config, inbox: Inbox) -> None:
        """Take a place for a call. Raises Overloaded (503) if there is none in time, and what
        `Inbox.check` does."""
        room = {_ROOM: config.max_calls}
        if self._slots.full(room) is None:
            await self._slots.take(room)
        elif not await self._queue(room, inbox):
            inbox.check()
            error = refuse(Overloaded, 503, "the gateway is busy: try again soon", "overloaded")
            error.retry_after = "1"
            raise error

    async def _queue(self, room: Wanted, inbox: Inbox) -> bool:
        """Wait for a place, if there may be one. Meanwhile the request is read, and its caller may
        leave. Returns whether there is one."""
        taken = False
        waiting, watching = anyio.CancelScope(), anyio.CancelScope()

        async def watch() -> None:
            with watching:
                await inbox.until_gone()
                waiting.cancel()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(watch)
            with waiting:
                taken = await self._slots.take(room) is None
            watching.cancel()
        return taken

    @property
    def queued(self) -> int:
        """How many calls wait for a place."""
        return self._slots.waiting

    async def is_ready(self) -> bool:
        """Whether calls are not refused because the store is away."""
        return await self._store.is_ready()

    async def _turn_away(
        self, request: Request, error: RemoteProtocolError, delivery: Delivery, record: Record
    ) -> None:
        """Answer a request that is not even read."""
        responder = self.shared.fronts.nearest(request).responder()
        body = responder.fail(error)
        status, headers = responder.head()
        record.status, record.error = status, error.message
        record.outcome = "limited" if status == 503 else "bad_request"
        await delivery.respond(status, headers, body)

    async def _watched(self, call: Call, delivery: Delivery, inbox: Inbox, stall: float) -> None:
        record = call.record
        async with anyio.create_task_group() as tasks:

            async def watch() -> None:
                await inbox.until_gone()
                leave()

            def leave() -> None:
                record.outcome = record.outcome or "caller_gone"
                tasks.cancel_scope.cancel()

            async def mind() -> None:
                while await delivery.mind(stall):
                    pass
                leave()

            tasks.start_soon(watch)
            delivery.on_wait = partial(tasks.start_soon, mind)
            await call.respond(delivery)
            tasks.cancel_scope.cancel()


def _tracing(provider: "TracerProvider | None") -> "Tracing":
    try:
        from .trace import Tracing  # most gateways need none of it
    except ModuleNotFoundError:
        raise ConfigError("traces: needs pip install tokenwire[gateway-otel]") from None
    return Tracing(provider)


def _id(scope: MutableMapping[str, Any]) -> str:
    """The caller's own id of the request; empty: it has none, or none that may be taken over."""
    ids = (value for name, value in scope["headers"] if name == REQUEST_ID)
    return next((str(value.decode()) for value in ids if is_request_id(value)), "")


def _fronts(config: Config, now: Callable[[], float]) -> Fronts:
    return Fronts([model.name for model in config.models], now)


def _keys(config: Config) -> KeyRing:
    return KeyRing(config.keys, query=config.query_keys)


def _request(scope: MutableMapping[str, Any]) -> Request:
    """The request of a scope, without its body."""
    path = scope.get("raw_path") or scope["path"].encode()
    query = scope.get("query_string") or b""
    target = (path + (b"?" + query if query else b"")).decode("latin-1")
    return Request(scope["method"], f"http://gateway{target}", list(scope["headers"]))
