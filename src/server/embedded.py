"""The embedded server: imitates any provider on a local socket, to test clients against.

    with serve("ylokh") as server:                       # or `async with`, on asyncio or trio
        exchange = provider.exchange(chat, base_url=server.url)

Its answers are those of an answer function (by default `echo`). A `Cutting` says how their bytes
are split into writes, and `faults` what goes wrong. No request and no client can make the server
fail. It needs anyio: `pip install tokenwire[server]`. Don't put it on a public address.
"""

import asyncio
import math
import ssl
import struct
import sys
import time
from collections import deque
from collections.abc import Callable, Coroutine, Iterable
from contextlib import ExitStack, closing, suppress
from email.utils import formatdate
from socket import SO_LINGER, SOL_SOCKET
from types import TracebackType
from typing import Any, Self, TypeAlias, assert_never, cast
from urllib.parse import urlsplit

import anyio
import h11
from anyio.abc import Listener, SocketAttribute, SocketStream
from anyio.from_thread import start_blocking_portal
from anyio.streams.tls import TLSStream

from ..protocols.answering import AnswerFunction, RequestAnswerFunction
from ..protocols.auth import Key
from ..protocols.echo import echo
from ..protocols.errors import (
    BadRequest,
    LocalProtocolError,
    Refused,
    RemoteProtocolError,
    TransportError,
)
from ..protocols.limits import Limits
from ..protocols.provider import Provider
from ..protocols.refusing import refusal_of_upstream, refuse
from ..protocols.registry import provider_named
from ..protocols.service import Service
from ..protocols.serving import ServiceObserving
from ..protocols.toolkit.http import Headers, Request, check_url, get_header
from .cors import Cors
from .faults import Cutting, Faults
from .scripts import Action, Answer, Ending, Pause, Plan, Script, Wait, Write, plan
from .site import Site

__all__ = ["Server", "serve"]

_Stream: TypeAlias = SocketStream | TLSStream

_GONE = (anyio.BrokenResourceError, anyio.ClosedResourceError, anyio.EndOfStream, OSError)
"""What is raised when a client leaves; ssl.SSLError is an OSError."""

_GRACE = 1.0
"""Seconds to wait for a client to leave after the end of the connection was announced."""

_RELIEF = 0.05
"""Seconds to wait before accepting connections again after a failure."""

_HISTORY = 1000
"""How many requests and errors are kept."""


def serve(
    provider: str | Provider,
    answer: AnswerFunction | RequestAnswerFunction | None = None,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    key: Key | None = None,
    cutting: Cutting | None = None,
    fault: Faults = None,
    faults: Iterable[Faults] = (),
    ssl_context: ssl.SSLContext | None = None,
    public_url: str | None = None,
    cors: str | None = None,
    request_limit: int = Limits().document,
    patience: float = 60,
    now: Callable[[], float] = time.time,
    on_error: Callable[[Exception], None] | None = None,
    observers: Iterable[ServiceObserving] = (),
) -> "Server":
    """A server that imitates `provider`, as a context manager: `with` runs it in its own thread,
    `async with` in the running event loop.

    `answer` is given a chat and, if it has a second parameter without a default, the `Request`. It
    returns or yields text, or events with `End` as the last one. It may be async, and runs in the
    server's event loop, so it must not block. If it raises Refused, that is sent to the client. Any
    other exception, from it or from the provider's responder, is sent as an error 500 without its
    message, kept in `Server.errors`, and passed to `on_error`, which runs in the event loop, too.

    `port` 0: any free one. `key`: the key that requests must have (None: any, or none). `faults`:
    those of the first request, of the second, and so on; `fault`: that of every later request. Each
    HTTP request counts, including one for a token or a picture, but no preflight of `cors`.

    `public_url`: how clients reach the server, if not at its own address, as behind a proxy; URLs
    in answers begin with it. A server on a loopback address refuses (421) requests to any other
    host, but that of `public_url`. `cors`: the origin of web pages that may use the server, such as
    `https://app.example`.

    `request_limit`: the most bytes of a request body; a larger one is refused (413). `patience`:
    the seconds to wait for a client, for each of: its TLS handshake, the head and the body of a
    request, and room to write more of an answer. After that its connection is closed. `now`: the
    time that answers tell, in seconds since 1970. `observers` are told of each request and its
    answer.

    Raises LocalProtocolError for an unknown provider, a wrong `public_url` or `cors` and, on
    entering, if the port is not available or the server was entered before.
    """
    provider = provider_named(provider)
    return Server(
        provider,
        answer or echo(provider),
        address=(host, port),
        key=key,
        cutting=cutting or Cutting.per_event(),
        fault=fault,
        faults=faults,
        ssl_context=ssl_context,
        public_url=public_url and check_url(public_url, "public_url").rstrip("/"),
        cors=None if cors is None else Cors(cors),
        request_limit=request_limit,
        patience=patience,
        now=now,
        on_error=on_error,
        observers=observers,
    )


class Server:
    """An embedded server, made by `serve`. It can be entered once.

    `url`: the base URL to give to `provider.exchange(base_url=...)`; `origin`: where this machine
    reaches the server. `requests`: the requests received, in order; at most the last 1,000, and
    fewer if their bodies have more than `request_limit` bytes in all. `connections`: how many were
    accepted. `errors`: the last 1,000 exceptions in answer functions, responders or the server
    itself, for which no client is to blame.
    """

    def __init__(
        self,
        provider: Provider,
        answer: AnswerFunction | RequestAnswerFunction,
        *,
        address: tuple[str, int],
        key: Key | None,
        cutting: Cutting,
        fault: Faults,
        faults: Iterable[Faults],
        ssl_context: ssl.SSLContext | None,
        public_url: str | None,
        cors: Cors | None,
        request_limit: int,
        patience: float,
        now: Callable[[], float],
        on_error: Callable[[Exception], None] | None,
        observers: Iterable[ServiceObserving] = (),
    ) -> None:
        self.url = ""
        self.requests: list[Request] = []
        self.connections = 0
        self.errors: list[Exception] = []
        self.answer = answer
        self.cutting = cutting
        self.cors = cors
        self.request_limit = request_limit
        self.patience = patience
        self.now = now
        self.service = Service(
            provider, key=key, now=now, request_limit=request_limit, observers=observers
        )
        self.origin = ""
        self.site: Site
        self._address = address
        self._public_url = public_url
        self._fault = fault
        self._faults = deque(faults)
        self._ssl_context = ssl_context
        self._on_error = on_error
        self._thread = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            portal = stack.enter_context(start_blocking_portal("asyncio"))
            stack.enter_context(portal.wrap_async_context_manager(self))
            self._thread = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._thread.close()

    async def __aenter__(self) -> Self:
        if self.url:
            raise LocalProtocolError("a server can be entered once: make a new one")
        host, port = self._address
        try:
            self._listener = await anyio.create_tcp_listener(local_host=host, local_port=port)
        except OSError as error:
            raise LocalProtocolError(f"can't listen on {host}:{port}: {error}") from None
        self.site = Site(
            "http" if self._ssl_context is None else "https",
            host,
            self._listener.extra(SocketAttribute.local_port),  # noqa: S610  no Django
            bound=[
                str(listener.extra(SocketAttribute.local_address)[0])  # noqa: S610
                for listener in self._listener.listeners
            ],
            path=_base_path(self.service.provider),
            public_url=self._public_url,
        )
        self.origin = self.site.origin
        self.url = self.service.base_url = self.site.url
        self._tasks = anyio.create_task_group()
        await self._tasks.__aenter__()
        for listener in self._listener.listeners:
            self._tasks.start_soon(self._listen, listener)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._tasks.cancel_scope.cancel()
        try:
            # Without the error, which would be raised again, wrapped in a group.
            await self._tasks.__aexit__(None, None, None)
        finally:
            with anyio.CancelScope(shield=True):
                await self._listener.aclose()

    def plan_next(self, request: Request) -> Plan:
        """Record `request`, and return what goes wrong with its response."""
        self.requests.append(request)
        del self.requests[:-_HISTORY]
        size = sum(len(request.body) for request in self.requests)
        while size > self.request_limit and len(self.requests) > 1:
            size -= len(self.requests.pop(0).body)
        fault = self._faults.popleft() if self._faults else self._fault
        # A status of 2xx would open a tunnel (RFC 9110 section 9.3.6), in which there is no HTTP.
        return plan(None if request.method == "CONNECT" else fault)

    def script(self, request: Request, plan: Plan) -> Script:
        """What to answer `request` with. Servers that get their answers elsewhere override this."""
        responder = self.service.responder()
        responder.base_url = self.site.base_url_for(request.url)
        return Answer(
            request,
            plan,
            responder=responder,
            answer=self.answer,
            cutting=self.cutting,
            report=self.report,
        )

    def start(self, task: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run a task beside the connections, until the server stops."""
        self._tasks.start_soon(task)

    def report(self, error: Exception) -> Refused:
        """The error to send to the client for `error`, which is recorded if it is the server's."""
        if isinstance(error, RemoteProtocolError | TransportError):
            return refusal_of_upstream(error)
        self.keep_error(error)
        # Only the name: the message is for the person who runs the server, not for clients.
        refusal = refuse(Refused, 500, f"the embedded server raised {type(error).__name__}")
        refusal.should_retry = False
        return refusal

    def keep_error(self, error: Exception) -> None:
        """Record `error`, and pass it to `on_error`."""
        self.errors.append(error)
        if self._on_error is not None:
            try:
                self._on_error(error)
            except Exception as failure:  # noqa: BLE001  it must not end other connections
                self.errors.append(failure)
        del self.errors[:-_HISTORY]

    async def _listen(self, listener: Listener[SocketStream]) -> None:
        while True:
            with suppress(OSError):  # too many open files, or the client has left already
                await listener.serve(self._connected, self._tasks)
            await anyio.sleep(_RELIEF)

    async def _connected(self, transport: SocketStream) -> None:
        self.connections += 1
        try:
            with anyio.CancelScope(deadline=anyio.current_time() + self.patience) as watch:
                stream: _Stream = transport
                if self._ssl_context is not None:
                    stream = await TLSStream.wrap(
                        transport, ssl_context=self._ssl_context, server_side=True
                    )
                await _Connection(self, stream, transport, watch).run()
        except _GONE:
            pass
        except Exception as error:  # noqa: BLE001  it must not end other connections
            self.keep_error(error)
        finally:
            await anyio.aclose_forcefully(transport)


def _base_path(provider: Provider) -> str:
    path = urlsplit(provider.base_url).path.rstrip("/")
    return path.replace("{", "").replace("}", "")  # any project, any region


class _Connection:
    """One connection: requests in, answers out.

    `transport`: what is below TLS, or else `stream` itself. `watch` cancels everything once its
    deadline has passed; the deadline is moved, to save a new scope for each write.
    """

    def __init__(
        self,
        server: Server,
        stream: _Stream,
        transport: SocketStream,
        watch: anyio.CancelScope,
    ) -> None:
        self._server = server
        self._stream = stream
        self._transport = transport
        self._watch = watch
        self._http = h11.Connection(h11.SERVER)
        self._headers: Headers = []
        """Those of the next response that depend on the head of its request."""
        self._held = b""
        """What goes out with the next write."""

    async def run(self) -> None:
        """Serve until the connection must be closed, which the caller does."""
        try:
            while (request := await self._receive_request()) is not None:
                if not await self._respond(request):
                    return
                self._http.start_next_cycle()
        except h11.RemoteProtocolError as error:
            await self._refuse(refuse(BadRequest, error.error_status_hint, str(error)))
        except BadRequest as error:
            await self._refuse(error)

    async def _receive_request(self) -> Request | None:
        """The next request; None if the client left. Raises h11.RemoteProtocolError for what is not
        valid HTTP, and BadRequest for what is not taken."""
        self._expect_the_client()
        head = await self._next_event()
        if not isinstance(head, h11.Request):
            return None
        self._expect_the_client()
        headers = list(head.headers)
        url = self._check_head(head.target.decode("ascii"), headers)
        body = bytearray()
        while isinstance(event := await self._next_event(), h11.Data):
            body += event.data
            if len(body) > self._server.request_limit:
                raise _too_large()
        return Request(head.method.decode("ascii"), url, headers, bytes(body))

    def _check_head(self, target: str, headers: Headers) -> str:
        """The URL of a request. Raises BadRequest if its head says that it is not to be read."""
        cors = self._server.cors
        self._headers = [] if cors is None else cors.headers(headers)
        url = self._server.site.url_of(target, get_header(headers, b"host"))
        length = get_header(headers, b"content-length")
        if length is not None:
            if int(length) > self._server.request_limit:
                raise _too_large()
            if get_header(headers, b"transfer-encoding") is not None:
                # A proxy may have read the length, and what is another request to us be part of
                # this one to it (RFC 9112 section 6.1): nothing more is read.
                self._headers.append((b"connection", b"close"))
        return url

    async def _next_event(self) -> h11.Event:
        while True:
            event = self._http.next_event()
            if isinstance(event, h11.Event):
                return event
            if self._http.they_are_waiting_for_100_continue:
                await self._send(h11.InformationalResponse(status_code=100, headers=[]))
            try:
                data = await self._stream.receive()
            except anyio.EndOfStream:
                data = b""
            self._http.receive_data(data)

    async def _respond(self, request: Request) -> bool:
        """Answer. Returns whether the connection stays open."""
        server = self._server
        preflight = None if server.cors is None else server.cors.preflight(request)
        if preflight is not None:
            await self._send(self._head(204, preflight))
            return await self._end(Ending.KEEP, framed=True)
        answer = server.script(request, server.plan_next(request))
        watch = _Watch(self._stream, self._http, answer) if answer.watches else None
        if watch is not None:
            server.start(watch.run)
        try:
            with closing(answer.actions()) as actions:
                for action in actions:
                    if not await self._carry_out(action, answer):
                        break
        finally:
            if watch is not None:
                await watch.stop()
            await answer.aclose()
        plan = answer.plan
        if plan.head and not answer.began:
            await self._begin(answer)
        ending = Ending.CLOSE if answer.failed else plan.ending
        return await self._end(ending, plan.framed, answer.trailers)

    async def _carry_out(self, action: Action, answer: Script) -> bool:
        """Do `action`. Returns whether there is more to do."""
        match action:
            case Write(data, more):
                if not answer.began:
                    await self._begin(answer)
                if answer.bodiless:
                    return False
                if answer.plan.framed:
                    data = self._http.send(h11.Data(data=data)) or b""
                self._held += data
                if self._held and not more:
                    # Each write is a separate send, and anyio sets TCP_NODELAY: the cutting is
                    # real.
                    data, self._held = self._held, b""
                    await self._write(data)
            case Pause(seconds):
                self._watch.deadline = math.inf
                await anyio.sleep(seconds)
            case Wait():
                self._watch.deadline = math.inf
                await _run(action)
            case _:
                assert_never(action)
        return True

    async def _begin(self, answer: Script) -> None:
        answer.began = True
        headers = answer.headers
        if answer.plan.gzip:
            headers = [*headers, (b"content-encoding", b"gzip")]
        if answer.plan.framed and answer.length is not None:
            headers = [*headers, (b"content-length", b"%d" % answer.length)]
        head = self._head(answer.status, headers)
        if answer.plan.framed:
            await self._send(head)
        else:
            lines = [b"HTTP/1.0 %d " % answer.status, *map(b": ".join, head.headers), b"", b""]
            await self._write(b"\r\n".join(lines))

    def _head(self, status: int, headers: Headers) -> h11.Response:
        """The head of a response, with the headers that all have."""
        if get_header(headers, b"date") is None:
            date = formatdate(self._server.now(), usegmt=True)
            headers = [*headers, (b"date", date.encode())]
        return h11.Response(status_code=status, headers=[*headers, *self._headers])

    async def _end(self, ending: Ending, framed: bool, trailers: Headers = []) -> bool:
        """End a response. Returns whether the connection stays open."""
        match ending:
            case Ending.KEEP | Ending.CLOSE_IDLE:
                if framed:
                    await self._send(h11.EndOfMessage(headers=trailers))
                if framed and self._http.our_state is h11.DONE:
                    return ending is Ending.KEEP
                await self._part()
            case Ending.WAIT:
                self._watch.deadline = math.inf
                while True:
                    await self._stream.receive()
            case Ending.RESET:
                linger = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)
                socket = self._transport.extra(SocketAttribute.raw_socket)  # noqa: S610
                socket.setsockopt(SOL_SOCKET, SO_LINGER, linger)
                # Up to anyio 4.15, closing sends FIN first on asyncio, and there is no public way
                # around that; without this, clients would see an end instead of the reset.
                with suppress(AttributeError):
                    cast(Any, self._transport)._transport.abort()
            case Ending.CLOSE:
                pass
            case _:
                assert_never(ending)
        return False

    async def _refuse(self, error: BadRequest) -> None:
        """Answer a request that was not read to its end."""
        responder = self._server.service.responder()
        body = responder.fail(error)
        status, headers = responder.head()
        length = (b"content-length", b"%d" % len(body))
        close = (b"connection", b"close")
        await self._send(self._head(status, [*headers, length, close]))
        await self._send(h11.Data(data=body))
        await self._send(h11.EndOfMessage())
        await self._part()

    async def _part(self) -> None:
        """Announce the end, and wait a little for the client to leave. A connection that is closed
        with bytes unread is reset, and the client may lose the response."""
        with anyio.move_on_after(_GRACE):
            if isinstance(self._stream, TLSStream):
                await self._stream.unwrap()
            await self._transport.send_eof()
            while True:
                await self._transport.receive()

    async def _send(self, event: h11.Event) -> None:
        if data := self._http.send(event):
            await self._write(data)

    async def _write(self, data: bytes) -> None:
        self._expect_the_client()
        await self._stream.send(data)

    def _expect_the_client(self) -> None:
        """From now on the client has `patience` seconds."""
        self._watch.deadline = anyio.current_time() + self._server.patience


class _Watch:
    """Tells a script when its client leaves, though nothing is written to it."""

    def __init__(self, stream: _Stream, http: h11.Connection, script: Script) -> None:
        self._stream = stream
        self._http = http
        self._script = script
        self._scope = anyio.CancelScope()
        self._over = anyio.Event()

    async def run(self) -> None:
        """Watch, until the client leaves or `stop` is called."""
        try:
            with self._scope:
                while True:  # a client may send its next request already
                    self._http.receive_data(await self._stream.receive())
        except _GONE:
            self._script.left()
        finally:
            self._over.set()

    async def stop(self) -> None:
        """Let others read from the client."""
        self._scope.cancel()
        await self._over.wait()


async def _run(wait: Wait[Any]) -> None:
    """Run `wait`. If an answer function awaits a task that was cancelled, that is a failure of its
    own: on asyncio it looks as if this connection were cancelled, and that would end the server."""
    try:
        await wait.run()
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        failure = LocalProtocolError("the answer function was cancelled: catch that in it")
        failure.__cause__ = error
        wait.fail(failure)


def _too_large() -> BadRequest:
    return refuse(BadRequest, 413, "the request body is too large")
