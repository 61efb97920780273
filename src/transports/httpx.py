"""The `httpx` transport: asks by your own HTTP client, of httpx or the compatible httpx2.

    with httpx.Client() as http, Client(http) as client:
        with client.open(exchange) as answer:
            for event in answer:
                ...

Use it for what your client is set up for: HTTP/2, mounts, hooks. You close the client
yourself. Its headers, cookies and auth are added to the requests of the question, but not to those
for an address that a server chose. Some things can't be as exact as on the other transports:

- `Client` can't end a call of a blocking HTTP client. Its clocks are checked when a part of the
  body is received, or when a read takes longer than the read timeout, which is fixed for a
  response: the longer of the clocks `first_event` and `idle` (None is forever), or what is left of
  `total`. So no clock ends a response whose head, or the sizes of whose chunks, arrive byte by
  byte. `AsyncClient` ends each call in time. With both, `connect` is for each step of connecting.
- The HTTP client takes bytes that a server sends after one response for the next one, which may be
  the answer to another question. Native transports close such a connection. If you don't trust the
  server, or what is in between, give `keep_connections=False`: each request then has a connection
  of its own (it says `connection: close`; HTTP/2 has no such bytes).
- Of the addresses that a server chooses, only IP addresses are checked, not those of host names.
- The connections of the HTTP client are those of the process in which it was first asked. One that
  was forked from that is refused, unless you give `keep_connections=False`: make a client there.
- A connection is kept only if its response ended before the answer did; `AsyncClient` waits a
  little for that. One that its server closes just as it is used again is not replaced.
- A request is sent to its end before an early refusal is read. The client limits the size of heads.
- `abort()` of a blocking answer takes effect once the response has begun; with HTTP/2, once more of
  it is received. A reader that was cancelled or interrupted can't read on.
"""

import os
import random
import socket
import time
import warnings
from abc import abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from math import inf
from threading import Event as Flag
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar, assert_never

from ..protocols.clocks import Clocks
from ..protocols.errors import LocalProtocolError, TransportError
from ..protocols.events import Event
from ..protocols.exchange import Exchange
from ..protocols.retry import Retry
from ..protocols.toolkit.http import Request
from .client import clients
from .client.answer import NOT_CLOSED, Answer, AsyncAnswer, Reading
from .client.clients import AnyClient, BlockingClient
from .client.course import Course, Leave, Receive, Send, Sleep
from .client.driver import DRAIN_BYTES, DRAIN_SECONDS
from .client.loops import Soon, clock, soon

if TYPE_CHECKING:
    from ..protocols.observer import Observing

__all__ = ["Answer", "AsyncAnswer", "AsyncClient", "AsyncHTTPClient", "Client", "HTTPClient"]


class _Builder(Protocol):
    @property
    def is_closed(self) -> bool: ...

    def build_request(
        self, method: str, url: str, *, content: Any, headers: Any, extensions: Any
    ) -> Any: ...


class HTTPClient(_Builder, Protocol):
    """The part of an `httpx.Client` that is used here."""

    def send(
        self, request: Any, *, stream: bool, auth: Any = ..., follow_redirects: bool
    ) -> Any: ...

    def close(self) -> None: ...


class AsyncHTTPClient(_Builder, Protocol):
    """The part of an `httpx.AsyncClient` that is used here."""

    def send(
        self, request: Any, *, stream: bool, auth: Any = ..., follow_redirects: bool
    ) -> Awaitable[Any]: ...

    def aclose(self) -> Awaitable[None]: ...


HTTP = TypeVar("HTTP", bound=_Builder)
_T = TypeVar("_T")


class _Client(AnyClient, Generic[HTTP]):
    """`clocks`: without them those of the provider. `retry`: when to ask again.
    `allow_private_addresses`: follow a server to an address in a private network.
    `keep_connections`: False gives each request a connection of its own. `observers`: as for the
    native clients."""

    def __init__(
        self,
        http: HTTP,
        *,
        clocks: Clocks | None = None,
        retry: Retry | None = None,
        allow_private_addresses: bool = False,
        keep_connections: bool = True,
        observers: "Sequence[Observing]" = (),
    ) -> None:
        super().__init__(observers)
        self._http = http
        self._keep_connections = keep_connections
        self._process = 0  # the one that has asked
        self._course = partial(
            Course, clocks=clocks, retry=retry, allow_private_addresses=allow_private_addresses
        )

    @property
    def closed(self) -> bool:
        """Whether no more answers can be opened, as this client or its HTTP client is closed."""
        return self._closed or self._http.is_closed

    def _begun(self, exchange: Exchange) -> Callable[[float], Course]:
        def begin(now: float) -> Course:
            self._process = self._process or os.getpid()
            if self._keep_connections and self._process != os.getpid():
                raise LocalProtocolError(
                    "the HTTP client has connections of the process that this one was forked from: "
                    "make a new client for this one"
                )
            return self._course(
                exchange,
                now=now,
                wall_clock=time.time(),
                jitter=random.random(),  # noqa: S311  no secret
            )

        return begin


class Client(_Client[HTTPClient], BlockingClient):
    """Asks by an `httpx.Client`. May be used from several threads at once."""

    def _reading(self, exchange: Exchange) -> Reading:
        return _BlockingReading(self._http, self._begun(exchange), self._keep_connections)


class AsyncClient(_Client[AsyncHTTPClient], clients.AsyncClient):
    """Asks by an `httpx.AsyncClient`, on asyncio or trio."""

    def _reading(self, exchange: Exchange) -> Reading:
        return _AsyncReading(self._http, self._begun(exchange), self._keep_connections)


class _Reading(Reading, Generic[HTTP]):
    """Does what a course asks for. The abstract methods differ by the kind of client."""

    _now = staticmethod(time.monotonic)

    def __init__(
        self, http: HTTP, begin: Callable[[float], Course], keep_connections: bool
    ) -> None:
        super().__init__()
        self._http = http
        self._begin = begin
        self._keep_connections = keep_connections
        self._course: Course | None = None
        self._response: Any = None
        self._aborted = Flag()

    async def fill(self) -> list[Event]:
        if self._course is None:
            self._course = self._start()
            if self.keeps_raw:
                self._course.exchange.keep_raw()
        course = self._course
        try:
            while not course.events:
                if self._aborted.is_set():
                    if course.finished:
                        await self._leave(answered=False)
                        return []
                    course.leave(aborted=True)
                    raise TransportError("the answer was closed, or aborted")
                action = course.next(self._now())
                match action:
                    case Receive():
                        await self._receive(course, action)
                    case Send():
                        await self._send(course, action)
                    case Sleep():
                        await self._sleep(max(action.until - self._now(), 0))
                    case Leave():
                        await self._leave(answered=action.answered)
                    case None:
                        return []
                    case _:
                        assert_never(action)
        finally:
            course.pause(self._now())
        events, course.events = course.events, []
        return events

    async def leave(self, *, at_once: bool) -> None:
        answered = self._course is not None and self._course.finished
        answered = answered and not (at_once or self._aborted.is_set())
        self.stop()
        if self.is_forked():
            self._response = None  # to close it would be to close it for the other process, too
        await self._leave(answered=answered)

    def driver(self) -> Course | None:
        return self._course

    def stop(self) -> None:
        self._aborted.set()
        if self._course is not None:
            self._course.leave()
        self.ready.clear()

    def __del__(self, warn: Callable[..., None] = warnings.warn) -> None:
        if self._response is not None:  # the generators of httpx close it
            warn(NOT_CLOSED.format("an answer"), ResourceWarning, source=self)

    def _start(self) -> Course:
        self.begun_here()
        return self._begin(self._now())

    async def _send(self, course: Course, action: Send) -> None:
        try:
            request, options = self._built(action)
            request.extensions["trace"] = self._trace(course)
            course.secrets = _secrets(request, action.request)
            try:
                response = await self._respond(request, options, action.deadline)
            finally:
                course.secrets += _secrets(request, action.request)  # with its auth
        except BaseException as error:
            if not self._failed(course, error):
                raise
            return
        if response is None:
            return
        self._response = response
        course.secrets += _secrets(response.request, action.request)  # perhaps another one
        # The body is still encoded, unless a hook has read and decoded it.
        raw = not response.is_stream_consumed
        headers = [h for h in response.headers.raw if raw or h[0].lower() != b"content-encoding"]
        http2 = response.http_version == "HTTP/2"
        course.responded(response.status_code, headers, http2=http2)
        self._read(response, raw=raw)

    async def _receive(self, course: Course, action: Receive) -> None:
        try:
            data = await self._piece(action.deadline)
        except BaseException as error:
            if not self._failed(course, error):
                raise
            return
        if self._aborted.is_set():
            return  # perhaps `abort` ended it
        if data is None:
            course.ended()
        else:
            course.received(data, self._now())

    def _built(self, action: Send) -> tuple[Any, dict[str, Any]]:
        """The request, and how to send it."""
        request, extensions = action.request, {"timeout": action.timeouts}
        headers = list(request.headers)
        if not self._keep_connections:
            headers.append((b"connection", b"close"))
        how = {"content": request.body, "headers": headers, "extensions": extensions}
        built = self._http.build_request(request.method, request.url, **how)
        options: dict[str, Any] = {"stream": True, "follow_redirects": False}
        if request.server_chosen:  # without headers, cookies and auth of the client
            built = type(built)(request.method, request.url, **how)
            options["auth"] = None
        return built, options

    def _failed(self, course: Course, error: BaseException) -> bool:
        """Whether the course takes `error` for a failure of the request. If not, all is lost."""
        if isinstance(error, Exception) and course.failed(error, self._now()):
            return True
        self._aborted.set()
        return False

    @abstractmethod
    def _trace(self, course: Course) -> Callable[..., Any]:
        """What httpcore calls as it goes on, with the name of a step and what there is to it."""

    @abstractmethod
    async def _respond(self, request: Any, options: dict[str, Any], deadline: float | None) -> Any:
        """The response to `request`, its body unread; None if the answer was aborted meanwhile.
        Raises TimeoutError if it can end this at `deadline`."""

    @abstractmethod
    def _read(self, response: Any, *, raw: bool) -> None:
        """Begin to read the body: `raw`, or decoded."""

    @abstractmethod
    async def _piece(self, deadline: float | None) -> bytes | None:
        """A piece of the body; None at its end, or if the answer was aborted meanwhile. Raises
        TimeoutError if it can end this at `deadline`."""

    @abstractmethod
    async def _sleep(self, seconds: float) -> None:
        """Wait."""

    @abstractmethod
    async def _leave(self, *, answered: bool) -> None:
        """Close the response, if there is one; if `answered`, its rest may be read first."""


def _secrets(request: Any, ours: Request) -> list[str]:
    """The secrets that the HTTP client has added to our request: all its headers may be some."""
    headers = [(name.lower(), value) for name, value in request.headers.raw]
    added = frozenset(name for name, value in headers if (name, value) not in ours.headers)
    return Request("", str(request.url), headers, given=added - _HTTP).secrets()


_HTTP = frozenset((b"connection", b"content-length", b"host"))
"""Headers that say nothing but what HTTP needs."""


def _noted(course: Course, info: Mapping[str, Any]) -> None:
    """Learn the password of the client's proxy, which only its lower layer, httpcore, knows: it
    tells an extension what it does."""
    for name, value in getattr(info.get("request"), "headers", ()):
        if name.lower() == b"proxy-authorization":
            course.secrets += Request("", "", [(b"proxy-authorization", value)]).secrets()
    _, *passwords = info.get("auth") or ("",)  # with the user of a SOCKS proxy before it
    course.secrets += [password.decode(errors="replace") for password in passwords]


class _BlockingReading(_Reading[HTTPClient]):
    """Reads with a blocking client."""

    _chunks: Iterator[bytes] = iter(())

    def abort(self) -> None:
        self._aborted.set()
        response = None if self.is_forked() else self._response
        # An HTTP/2 connection is shared with other requests, and so may be one that was given back.
        if response is None or response.is_closed or response.http_version == "HTTP/2":
            return
        stream = response.extensions.get("network_stream")
        raw = stream and stream.get_extra_info("socket")
        if raw:
            # Through a copy, as the sockets of ssl can't be shut down like this.
            with suppress(OSError), socket.fromfd(raw.fileno(), socket.AF_INET, 1) as copy:
                copy.shutdown(socket.SHUT_RDWR)

    def _trace(self, course: Course) -> Callable[..., Any]:
        def trace(name: str, info: Mapping[str, Any]) -> None:
            _noted(course, info)

        return trace

    async def _respond(self, request: Any, options: dict[str, Any], deadline: float | None) -> Any:
        return self._http.send(request, **options)

    def _read(self, response: Any, *, raw: bool) -> None:
        self._chunks = response.iter_raw() if raw else response.iter_bytes()

    async def _piece(self, deadline: float | None) -> bytes | None:
        return next(self._chunks, None)

    async def _sleep(self, seconds: float) -> None:
        self._aborted.wait(seconds)

    async def _leave(self, *, answered: bool) -> None:
        response, self._response = self._response, None
        if response is not None:
            with suppress(Exception):  # errors of the network no longer matter
                response.close()


class _AsyncReading(_Reading[AsyncHTTPClient]):
    """Reads with an async client."""

    _chunks: AsyncIterator[bytes]
    _soon: Soon | None = None
    _scope: Any = None  # of the call that is waiting

    def abort(self) -> None:
        self._aborted.set()
        if self._soon is not None:
            with suppress(RuntimeError):  # the event loop has ended
                self._soon(self._wake)

    def _wake(self) -> None:
        if self._scope is not None:
            self._scope.cancel()

    def _start(self) -> Course:
        self._soon, self._now = soon(), clock()
        return super()._start()

    async def _until(self, deadline: float | None, call: Callable[[], Awaitable[_T]]) -> _T | None:
        """The result of `call()`; None if the answer is aborted before there is one. Raises
        TimeoutError."""
        import anyio  # httpx needs it too

        with anyio.CancelScope(deadline=inf if deadline is None else deadline) as scope:
            self._scope = scope
            if self._aborted.is_set():  # just before there was a scope to cancel
                scope.cancel()
            return await call()
        if self._aborted.is_set():
            return None
        raise TimeoutError

    def _trace(self, course: Course) -> Callable[..., Any]:
        async def trace(name: str, info: Mapping[str, Any]) -> None:
            _noted(course, info)

        return trace

    async def _respond(self, request: Any, options: dict[str, Any], deadline: float | None) -> Any:
        return await self._until(deadline, lambda: self._http.send(request, **options))

    def _read(self, response: Any, *, raw: bool) -> None:
        self._chunks = response.aiter_raw() if raw else response.aiter_bytes()

    async def _piece(self, deadline: float | None) -> bytes | None:
        return await self._until(deadline, lambda: anext(self._chunks, None))

    async def _sleep(self, seconds: float) -> None:
        import anyio

        await self._until(None, lambda: anyio.sleep(seconds))

    async def _leave(self, *, answered: bool) -> None:
        response, self._response = self._response, None
        if response is None:
            return
        try:
            if answered:
                await _exhaust(self._chunks, DRAIN_SECONDS, DRAIN_BYTES)
        finally:
            with suppress(Exception):  # errors of the network no longer matter
                await response.aclose()
            # The generators of httpx refer to each other. The garbage collector would close each in
            # another task, with a ResourceWarning under trio. So they are cancelled here.
            await _exhaust(self._chunks, 0, 2**24)


async def _exhaust(chunks: AsyncIterator[bytes], seconds: float, limit: int) -> None:
    """Read `chunks` to their end, but for no more than `seconds` and `limit` bytes."""
    import anyio

    with suppress(Exception), anyio.move_on_after(seconds):
        while limit > 0:
            limit -= len(await anext(chunks)) or 1
