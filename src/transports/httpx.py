"""The `httpx` transport: by an HTTP client of your own, httpx's or the compatible httpx2's.

with httpx.Client() as http, Client(http) as client:
    with client.open(exchange) as answer:
        for event in answer:
            ...

For what that client has been set up for: SOCKS, HTTP/2, mounts, hooks. It remains yours to close.
Its headers, cookies and auth go with the requests of the question, but not to where a server sends
us to. What can't be as exact as on the other transports:

- The read timeout is fixed for a response, at the longest of the clocks `first_event` and `idle`
  (None is for ever), and what is left of `total`. A clock is looked at when something comes or that
  timeout ends. `connect` is for each step of connecting.
- Of the addresses that a server chooses only literal ones are judged, no host name's.
- A connection is kept only if its response ended before the answer did; `AsyncClient` waits for
  that a little. One that its server closes just as it is used again is not replaced.
- A request is sent whole before an early refusal is read; how large a head may be, the client says.
- `abort()` is noticed when there is something to read from, or the pause of a retry is over. A
  reader that was cancelled, or interrupted, can't read on.
"""

import random
import socket
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import suppress
from functools import partial
from threading import Event as Flag
from typing import Any, Generic, Protocol, Self, TypeVar, assert_never

from ..protocols.clocks import Clocks
from ..protocols.errors import LocalProtocolError, TokenwireError, TransportError
from ..protocols.events import Event
from ..protocols.exchange import Exchange
from ..protocols.reply import Reply
from ..protocols.retry import Retry
from .course import Action, Course, Leave, Receive, Send, Sleep
from .wire import DRAIN_BYTES, DRAIN_SECONDS

__all__ = ["Answer", "AsyncAnswer", "AsyncClient", "AsyncHTTPClient", "Client", "HTTPClient"]


class _Builder(Protocol):
    @property
    def is_closed(self) -> bool: ...

    def build_request(
        self, method: str, url: str, *, content: Any, headers: Any, extensions: Any
    ) -> Any: ...


class HTTPClient(_Builder, Protocol):
    """What is needed of an `httpx.Client`."""

    def send(
        self, request: Any, *, stream: bool, auth: Any = ..., follow_redirects: bool
    ) -> Any: ...

    def close(self) -> None: ...


class AsyncHTTPClient(_Builder, Protocol):
    """What is needed of an `httpx.AsyncClient`."""

    def send(
        self, request: Any, *, stream: bool, auth: Any = ..., follow_redirects: bool
    ) -> Awaitable[Any]: ...

    def aclose(self) -> Awaitable[None]: ...


HTTP = TypeVar("HTTP", bound=_Builder)


class _Client(Generic[HTTP]):
    """`clocks`: without it those of the provider. `retry`: when to ask again.
    `allow_private_addresses`: follow a server that chooses an address in a private network."""

    def __init__(
        self,
        http: HTTP,
        *,
        clocks: Clocks | None = None,
        retry: Retry | None = None,
        allow_private_addresses: bool = False,
    ) -> None:
        self._http = http
        self._course = partial(
            Course,
            clocks=clocks,
            retry=retry or Retry(),
            allow_private_addresses=allow_private_addresses,
        )
        self._closed = False

    def close(self) -> None:
        """Open no more answers. The HTTP client is left as it is."""
        self._closed = True

    def _begin(self, exchange: Exchange) -> Callable[[], Course]:
        if self._closed or self._http.is_closed:
            raise LocalProtocolError("the client is closed: open the answer inside its with block")
        if not exchange.unstarted:
            raise LocalProtocolError("the exchange was used already: open exchange.fresh()")
        return lambda: self._course(
            exchange,
            now=time.monotonic(),
            wall_clock=time.time(),
            jitter=random.random(),  # noqa: S311  no secret
        )


class _Answer(Generic[HTTP]):
    """What the answers of both have in common."""

    def __init__(self, http: HTTP, begin: Callable[[], Course]) -> None:
        self._http = http
        self._begin = begin
        self._course: Course | None = None
        self._ready: deque[Event] = deque()
        self._response: Any = None
        self._over = False
        self._aborted = Flag()

    def abort(self) -> None:
        """Stop, from any thread: who is reading gets a TransportError."""
        self._aborted.set()
        response = self._response
        # An HTTP/2 connection is not ours alone, nor is one that was given back.
        if response is None or response.is_closed or response.http_version == "HTTP/2":
            return
        stream = response.extensions.get("network_stream")
        raw = stream and stream.get_extra_info("socket")
        if raw:
            # By a copy, as neither asyncio's nor ssl's own would do just this.
            with suppress(OSError), socket.fromfd(raw.fileno(), socket.AF_INET, 1) as copy:
                copy.shutdown(socket.SHUT_RDWR)

    def _started(self) -> Course:
        if self._course is None:
            self._course = self._begin()
        self._course.wait(time.monotonic())
        return self._course

    def _pause(self, course: Course) -> None:
        course.pause(time.monotonic())
        self._ready.extend(course.events)
        course.events.clear()

    def _stop(self) -> None:
        self._aborted.set()
        self._ready.clear()

    def _reply(self) -> Reply:
        if self._over:
            raise LocalProtocolError("the answer was read to its end already")
        return Reply()

    def _next(self, course: Course) -> Action | None:
        if self._aborted.is_set() and not course.over:  # what is over stays over
            raise TransportError("the answer was closed, or aborted")
        action = course.next(time.monotonic())
        self._over = action is None
        return action

    def _built(self, action: Send) -> tuple[Any, dict[str, Any]]:
        """The request, and how to send it."""
        request, extensions = action.request, {"timeout": action.timeouts}
        how = {"content": request.body, "headers": request.headers, "extensions": extensions}
        built = self._http.build_request(request.method, request.url, **how)
        options: dict[str, Any] = {"stream": True, "follow_redirects": False}
        if request.server_chosen:  # nothing of the client's own goes there
            built = type(built)(request.method, request.url, **how)
            options["auth"] = None
        return built, options

    def _responded(self, course: Course, response: Any) -> bool:
        """Whether the body is still as it came, and not read and decoded by a hook."""
        self._response = response
        read = response.is_stream_consumed
        headers = [h for h in response.headers.raw if not read or h[0].lower() != _CODING]
        http2 = response.http_version == "HTTP/2"
        course.responded(response.status_code, headers, http2=http2)
        return not read

    def _received(self, course: Course, data: bytes | None) -> None:
        if self._aborted.is_set():
            return  # it may have been us who ended it
        if data is None:
            course.ended()
        else:
            course.received(data, time.monotonic())

    def _failed(self, course: Course, error: BaseException) -> bool:
        """Whether `error` is one of the client's. If not, what it was doing is lost."""
        if isinstance(error, Exception) and course.failed(error, time.monotonic()):
            return True
        self._aborted.set()
        return False


_CODING = b"content-encoding"


class Client(_Client[HTTPClient]):
    """Asks by an `httpx.Client`. May be used from several threads at once."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def open(self, exchange: Exchange) -> "Answer":
        """The answer to `exchange`, to be used in a `with` statement. Nothing is sent before it is
        read. Raises LocalProtocolError if the client is closed, or the exchange was used."""
        return Answer(self._http, self._begin(exchange))

    def read(self, exchange: Exchange) -> Reply:
        """The whole answer to `exchange`. What is raised has in `answer` what had come."""
        with self.open(exchange) as answer:
            return answer.read()


class Answer(_Answer[HTTPClient]):
    """The events of an answer as they come: iterate over it inside a `with` statement.

    Leaving early closes the response at once. Iterating on after an error raises it again.
    """

    _chunks: Iterator[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __iter__(self) -> Iterator[Event]:
        return self

    def __next__(self) -> Event:
        if not self._ready:
            self._fill()
        if not self._ready:
            raise StopIteration
        return self._ready.popleft()

    def read(self) -> Reply:
        """The rest of the answer, folded. What is raised has in `answer` what had come.

        Raises LocalProtocolError if the answer was read to its end already."""
        reply = self._reply()
        try:
            for event in self:
                reply.add(event)
        except TokenwireError as error:
            error.answer = reply
            raise
        return reply

    def close(self) -> None:
        """Stop, and close the response."""
        self._stop()
        self._leave()

    def _fill(self) -> None:
        """Do what the course wants until there are events or the end."""
        course = self._started()
        try:
            while not course.events:
                action = self._next(course)
                match action:
                    case Receive():
                        self._receive(course)
                    case Send():
                        self._send(course, action)
                    case Sleep():
                        self._aborted.wait(max(action.until - time.monotonic(), 0))
                    case Leave():
                        self._leave()
                    case None:
                        return
                    case _:
                        assert_never(action)
        finally:
            self._pause(course)

    def _send(self, course: Course, action: Send) -> None:
        try:
            request, options = self._built(action)
            response = self._http.send(request, **options)
        except BaseException as error:
            if not self._failed(course, error):
                raise
            return
        raw = self._responded(course, response)
        self._chunks = response.iter_raw() if raw else response.iter_bytes()

    def _receive(self, course: Course) -> None:
        assert self._chunks is not None
        try:
            data = next(self._chunks, None)
        except BaseException as error:
            if not self._failed(course, error):
                raise
        else:
            self._received(course, data)

    def _leave(self) -> None:
        response, self._response, self._chunks = self._response, None, None
        if response is not None:
            with suppress(Exception):  # what the network still says changes nothing
                response.close()


class AsyncClient(_Client[AsyncHTTPClient]):
    """Asks by an `httpx.AsyncClient`, on asyncio or trio."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()

    def open(self, exchange: Exchange) -> "AsyncAnswer":
        """The answer to `exchange`, to be used in an `async with` statement. Nothing is sent before
        it is read. Raises LocalProtocolError if the client is closed, or the exchange was used."""
        return AsyncAnswer(self._http, self._begin(exchange))

    async def read(self, exchange: Exchange) -> Reply:
        """The whole answer to `exchange`. What is raised has in `answer` what had come."""
        async with self.open(exchange) as answer:
            return await answer.read()


class AsyncAnswer(_Answer[AsyncHTTPClient]):
    """The events of an answer as they come: iterate over it inside an `async with` statement.

    Leaving early closes the response at once. Iterating on after an error raises it again.
    """

    _chunks: AsyncIterator[bytes] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            await self.aclose()
        else:
            self._stop()
            await self._leave(answered=False)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        if not self._ready:
            await self._fill()
        if not self._ready:
            raise StopAsyncIteration
        return self._ready.popleft()

    async def read(self) -> Reply:
        """The rest of the answer, folded. What is raised has in `answer` what had come.

        Raises LocalProtocolError if the answer was read to its end already."""
        reply = self._reply()
        try:
            async for event in self:
                reply.add(event)
        except TokenwireError as error:
            error.answer = reply
            raise
        return reply

    async def aclose(self) -> None:
        """Stop, and close the response."""
        answered = self._course is not None and self._course.finished
        answered = answered and not self._aborted.is_set()
        self._stop()
        await self._leave(answered=answered)

    async def _fill(self) -> None:
        """Do what the course wants until there are events or the end."""
        course = self._started()
        try:
            while not course.events:
                action = self._next(course)
                match action:
                    case Receive():
                        await self._receive(course)
                    case Send():
                        await self._send(course, action)
                    case Sleep():
                        await _sleep(max(action.until - time.monotonic(), 0))
                    case Leave():
                        await self._leave(answered=action.answered)
                    case None:
                        return
                    case _:
                        assert_never(action)
        finally:
            self._pause(course)

    async def _send(self, course: Course, action: Send) -> None:
        try:
            request, options = self._built(action)
            response = await self._http.send(request, **options)
        except BaseException as error:
            if not self._failed(course, error):
                raise
            return
        raw = self._responded(course, response)
        self._chunks = response.aiter_raw() if raw else response.aiter_bytes()

    async def _receive(self, course: Course) -> None:
        assert self._chunks is not None
        try:
            data = await anext(self._chunks, None)
        except BaseException as error:
            if not self._failed(course, error):
                raise
        else:
            self._received(course, data)

    async def _leave(self, *, answered: bool) -> None:
        response, self._response = self._response, None
        chunks, self._chunks = self._chunks, None
        if response is None or chunks is None:
            return
        try:
            if answered:
                await _exhaust(chunks, DRAIN_SECONDS, DRAIN_BYTES)
        finally:
            with suppress(Exception):  # what the network still says changes nothing
                await response.aclose()
            # httpx's generators hold each other. Left to the garbage collector, each would be
            # closed in another task, with a ResourceWarning under trio; so they are cancelled.
            await _exhaust(chunks, 0, 2**24)


async def _exhaust(chunks: AsyncIterator[bytes], seconds: float, limit: int) -> None:
    """Run `chunks` to their end, for `seconds` and `limit` bytes."""
    import anyio  # as httpx does, which needs it, too

    with suppress(Exception), anyio.move_on_after(seconds):
        while limit > 0:
            limit -= len(await anext(chunks)) or 1


async def _sleep(seconds: float) -> None:
    import anyio

    await anyio.sleep(seconds)
