"""Answers: the iterators over events that clients open.

A transport supplies a `Reading`, whose coroutines receive the events. `AsyncAnswer` awaits them.
`Answer` runs them over blocking calls, so that they never suspend.
"""

import os
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from functools import partial
from typing import Any, Self, TypeAlias, TypeVar

from ...protocols.errors import LocalProtocolError, TokenwireError
from ...protocols.events import Event
from ...protocols.exchange import Exchange
from ...protocols.reply import Reply
from ...protocols.toolkit.http import Headers, get_header
from .driver import Driver

__all__ = [
    "NOT_CLOSED",
    "Answer",
    "AsyncAnswer",
    "Reading",
    "Take",
    "without_loop",
]

NOT_CLOSED = "{} was not closed: use a with statement (async with in async code)"

Take: TypeAlias = Callable[[list[Event]], Awaitable[object] | None]
"""What takes events that are pushed. It returns None, or what is to be awaited before it is given
more: until then the answer is not read on, so that its server has to wait."""

TakeRaw: TypeAlias = Callable[[bytes, list[Event]], Awaitable[object] | None]
"""The same with the bytes of the body, as of `raw_batches`."""

_T = TypeVar("_T")


def without_loop(coroutine: Coroutine[Any, Any, _T]) -> _T:
    """Run `coroutine` to its end here and now, and return its result. All coroutines that it
    awaits block instead of suspending."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        result: _T = done.value
        return result
    coroutine.close()
    raise RuntimeError("the coroutine waits for an event loop, but none is running here")


def _is_cancellation(error: BaseException) -> bool:
    """Whether a reader that waits was cancelled, or dropped."""
    return isinstance(error, GeneratorExit) or type(error).__name__ in _CANCELLED


_CANCELLED = ("CancelledError", "Cancelled")
"""What asyncio and trio raise: neither need be loaded."""


class Reading(ABC):
    """Receives the events of one answer: an iterator over lists of events that arrived together,
    none of them empty. If an error ended the answer, each further step raises it again.

    A reader that is cancelled while it waits leaves the answer as it was: it can be read on, or
    left. A signal's handler may raise anywhere else, so that what was received is lost: after that
    the answer can't be read on.
    """

    __slots__ = (
        "_error",
        "_filling",
        "_over",
        "_process",
        "_reply",
        "keeps_raw",
        "lost",
        "ready",
    )

    def __init__(self) -> None:
        self.ready: list[Event] = []
        """The rest of a batch whose events are handed out one by one, in reverse order."""
        self.keeps_raw = False
        """Whether the exchange is to keep the bytes of the body; looked at when reading begins."""
        self.lost = False
        """Whether something is on its way from the socket to the caller; between two calls: whether
        it was lost there."""
        self._filling = False
        self._over = False
        self._error: TokenwireError | None = None
        self._process = 0  # the one in which reading began
        self._reply: Reply | None = None  # what `read` has, which may be cancelled and go on

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> list[Event]:
        events = await self.next()
        self.lost = False
        return events

    async def next(self) -> list[Event]:
        """The next events. Set `lost` to False once they are where they are kept, and make no call
        in between: a signal's handler may raise after each. Raises StopAsyncIteration at the
        end."""
        if not self.is_current():
            raise LocalProtocolError(
                "the answer belongs to another event loop, or to another process: go on where "
                "reading it began"
            )
        if self._filling:
            raise LocalProtocolError("the answer is being read already, in another task")
        if self.lost:
            raise LocalProtocolError(
                "the answer was interrupted, and part of it is lost: ask again"
            )
        if self.ready:
            events = self.ready[::-1]
            self.lost = True
            self.ready.clear()
            return events
        if self._over:
            raise StopAsyncIteration
        if self._error is not None:
            raise self._error
        self._filling = self.lost = True
        try:
            events = await self.fill()
        except TokenwireError as error:
            self._error, self.lost = error, False
            raise
        except BaseException as error:
            self.lost = not _is_cancellation(error)
            raise
        finally:
            self._filling = False
        if not events:
            self._over, self.lost = True, False
            self.stop()
            raise StopAsyncIteration
        return events

    async def push(self, take: Take) -> None:
        """Give the rest of the answer to `take`, and return at its end. Raises TokenwireError, and
        what `take` raises: after that the answer can't be read on."""
        await self._whole(self.pushed(take))

    async def pushed(self, take: Take) -> None:
        """How that is done."""
        async for events in self:
            if (brake := take(events)) is not None:
                await brake

    async def read(self) -> Reply:
        """The rest of the answer as a `Reply`. An error has, as `answer`, what was received before.
        If it is cancelled, the next call goes on with what it has."""
        return await self._whole(self._fold())

    async def _whole(self, call: Awaitable[_T]) -> _T:
        """The result of `call`, which hands out events or keeps them: if it is interrupted, some of
        them are lost."""
        try:
            return await call
        except TokenwireError:
            raise
        except BaseException as error:
            self.lost = self.lost or not _is_cancellation(error)
            raise

    async def _fold(self) -> Reply:
        if self._over:
            raise LocalProtocolError("the answer was read to its end already")
        reply = self._reply = self._reply or Reply()
        try:
            async for events in self:
                for event in events:
                    reply.add(event)
        except TokenwireError as error:
            self.hand_out(error, reply)
            raise
        reply.request_id, reply.headers = self.request_id, self.headers
        return reply

    def hand_out(self, error: TokenwireError, reply: Reply) -> None:
        """Let `error` have what was received before it, without secrets."""
        error.answer = reply
        reply.request_id = self.request_id
        if (driver := self.driver()) is not None:
            driver.conceal(error)

    @property
    def request_id(self) -> str | None:
        """The id that the service gave the request, if the response has begun and has one."""
        exchange = self.exchange()
        return None if exchange is None else exchange.request_id

    @property
    def headers(self) -> Headers:
        """The headers of the last response, if one has begun."""
        exchange = self.exchange()
        return [] if exchange is None else exchange.headers

    def is_current(self) -> bool:
        """Whether the event loop that runs, if any, is the one in which reading began, and so is
        the process."""
        return not self.is_forked()

    def is_forked(self) -> bool:
        """Whether this is a copy of the answer: its connection, and the threads that may read it,
        are those of the process that this one was forked from."""
        return self._process not in (0, os.getpid())

    def begun_here(self) -> None:
        """Note that reading begins in this process."""
        self._process = os.getpid()

    def exchange(self) -> Exchange | None:
        """The exchange of the attempt under way, once reading has begun."""
        driver = self.driver()
        return None if driver is None else driver.exchange

    @abstractmethod
    def driver(self) -> Driver | None:
        """The driver of the exchange, once reading has begun."""

    @abstractmethod
    async def fill(self) -> list[Event]:
        """Wait for the next events; an empty list is the end. Raises TokenwireError."""

    @abstractmethod
    def stop(self) -> None:
        """Stop reading. May be called twice."""

    @abstractmethod
    async def leave(self, *, at_once: bool) -> None:
        """Stop, and close the connection; but keep it if the answer is complete, and the rest of
        its body is short, unless `at_once`. May be called twice."""

    @abstractmethod
    def abort(self) -> None:
        """Stop, called from any thread."""


class RawBatches:
    """The batches of an answer, each with the bytes of the body up to the last unit that is
    complete: never half an event."""

    def __init__(self, reading: Reading) -> None:
        if reading.exchange() is not None:
            raise LocalProtocolError("raw_batches: ask for them before anything is read")
        reading.keeps_raw = True
        self.reading = reading

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> tuple[bytes, list[Event]]:
        batch = await self.next()
        self.reading.lost = False
        return batch

    async def next(self) -> tuple[bytes, list[Event]]:
        """The next batch; see `Reading.next`."""
        events = await self.reading.next()
        return self._exchange().take_raw(), events

    async def push(self, take: TakeRaw) -> None:
        take_raw: Callable[[], bytes] | None = None

        def taken(events: list[Event]) -> Awaitable[object] | None:
            nonlocal take_raw
            take_raw = take_raw or self._exchange().take_raw
            return take(take_raw(), events)

        await self.reading.push(taken)

    def _exchange(self) -> Exchange:
        """The exchange, which is not tried again once it has events."""
        exchange = self.reading.exchange()
        assert exchange is not None  # reading has begun
        return exchange


class Answer:
    """The events of an answer as they arrive: iterate over it inside a `with` statement.

    Leaving early closes the connection at once. Iterating on after an error raises it again.
    """

    def __init__(self, reading: Reading) -> None:
        self._reading = reading
        self._ready = reading.ready
        self._batches: Iterator[list[Event]] = iter(partial(_next_batch, reading), [])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        without_loop(self._reading.leave(at_once=kind is not None))

    def __iter__(self) -> Iterator[Event]:
        return self

    def __next__(self) -> Event:
        ready = self._ready
        if not ready:
            ready.extend(reversed(_batch(self._reading)))
            self._reading.lost = False
            if not ready:
                raise StopIteration
        event = ready[-1]
        del ready[-1]  # not by pop(): after that a signal's handler may raise
        return event

    def batches(self) -> Iterator[list[Event]]:
        """The same events, in lists of those that arrived together, as a gateway passes them on."""
        return self._batches

    def raw_batches(self) -> Iterator[tuple[bytes, list[Event]]]:
        """The batches, each with the decoded bytes of the body up to the last complete unit: what a
        relay passes on. Raises LocalProtocolError if anything was read."""
        return iter(partial(_next_raw_batch, RawBatches(self._reading)), _NOTHING)

    def push(self, take: Callable[[list[Event]], object]) -> None:
        """Call `take` with each batch of the rest of the answer, and return at its end. While it
        runs, nothing is read, so that the server has to wait. After an exception of its own the
        answer can't be read on."""

        def taken(events: list[Event]) -> None:
            take(events)

        without_loop(self._reading.push(taken))

    def push_raw(self, take: Callable[[bytes, list[Event]], object]) -> None:
        """The same with the bytes of the body, as `raw_batches` has them."""
        batches = RawBatches(self._reading)

        def taken(raw: bytes, events: list[Event]) -> None:
            take(raw, events)

        without_loop(batches.push(taken))

    @property
    def request_id(self) -> str | None:
        """The id that the service gave the request, once the response has begun; None if it gave
        none."""
        return self._reading.request_id

    @property
    def headers(self) -> Headers:
        """All headers of the last response, once it has begun: of rate limits, for example. They
        may contain secrets, such as a `set-cookie`."""
        return self._reading.headers

    def header(self, name: str) -> str | None:
        """The value of one of these headers as text; None: there is none."""
        return get_header(self.headers, name.lower().encode())

    def read(self) -> Reply:
        """The rest of the answer as a `Reply`. An error has, as `answer`, what was received before.

        Raises LocalProtocolError if the answer was read to its end already."""
        return without_loop(self._reading.read())

    def close(self) -> None:
        """Stop, and close the connection, unless the answer is complete and its rest is short."""
        without_loop(self._reading.leave(at_once=False))

    def abort(self) -> None:
        """Stop, called from any thread. Code that is reading the answer gets a TransportError at
        once, whatever it waits for (see each transport for exceptions)."""
        self._reading.abort()


class AsyncAnswer:
    """The events of an answer as they arrive: iterate over it inside an `async with` statement.

    Leaving early closes the connection at once. Iterating on after an error raises it again.
    """

    __slots__ = ("__weakref__", "_reading", "_ready")

    def __init__(self, reading: Reading) -> None:
        self._reading = reading
        self._ready = reading.ready

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        await self._reading.leave(at_once=kind is not None)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        ready = self._ready
        if not ready:
            ready.extend(reversed(await self._reading.next()))
            self._reading.lost = False
        event = ready[-1]
        del ready[-1]  # not by pop(): after that a signal's handler may raise
        return event

    def batches(self) -> AsyncIterator[list[Event]]:
        """The same events, in lists of those that arrived together, as a gateway passes them on."""
        return self._reading

    def raw_batches(self) -> AsyncIterator[tuple[bytes, list[Event]]]:
        """The batches, each with the decoded bytes of the body up to the last complete unit: what a
        relay passes on. Raises LocalProtocolError if anything was read."""
        return RawBatches(self._reading)

    async def push(self, take: Take) -> None:
        """Call `take` with each batch of the rest of the answer, and return at its end: less work
        than to iterate, as on asyncio and uvloop it is called where the bytes arrive, without a
        switch to this task. So it must not block. It may return an awaitable: then the answer is
        read on once that is done, in this task, and meanwhile its server has to wait. An exception
        of `take` ends the call, and is raised here."""
        await self._reading.push(take)

    async def push_raw(self, take: TakeRaw) -> None:
        """The same with the bytes of the body, as `raw_batches` has them."""
        await RawBatches(self._reading).push(take)

    @property
    def request_id(self) -> str | None:
        """The id that the service gave the request, once the response has begun; None if it gave
        none."""
        return self._reading.request_id

    @property
    def headers(self) -> Headers:
        """All headers of the last response, once it has begun: of rate limits, for example. They
        may contain secrets, such as a `set-cookie`."""
        return self._reading.headers

    def header(self, name: str) -> str | None:
        """The value of one of these headers as text; None: there is none."""
        return get_header(self.headers, name.lower().encode())

    async def read(self) -> Reply:
        """The rest of the answer as a `Reply`. An error has, as `answer`, what was received before.

        Raises LocalProtocolError if the answer was read to its end already."""
        return await self._reading.read()

    def hand_out(self, error: TokenwireError, reply: Reply) -> None:
        """Let `error`, which ended this answer, have what was received before it as its `answer`,
        without secrets: for code that folds the events itself."""
        self._reading.hand_out(error, reply)

    async def aclose(self) -> None:
        """Stop, and close the connection, unless the answer is complete and its rest is short."""
        await self._reading.leave(at_once=False)

    def abort(self) -> None:
        """Stop, called from any thread. Code that is reading the answer gets a TransportError at
        once, whatever it waits for (see each transport for exceptions)."""
        self._reading.abort()


_NOTHING: tuple[bytes, list[Event]] = (b"", [])
"""What stands for the end of raw batches, each of which has events."""


def _batch(reading: Reading) -> list[Event]:
    """The next batch of a blocking answer; empty at its end. See `Reading.next`."""
    try:
        return without_loop(reading.next())
    except StopAsyncIteration:
        return []


def _raw_batch(batches: RawBatches) -> tuple[bytes, list[Event]]:
    """The same with the bytes of the body."""
    try:
        return without_loop(batches.next())
    except StopAsyncIteration:
        return _NOTHING


def _next_batch(reading: Reading) -> list[Event]:
    batch = _batch(reading)
    reading.lost = False
    return batch


def _next_raw_batch(batches: RawBatches) -> tuple[bytes, list[Event]]:
    batch = _raw_batch(batches)
    batches.reading.lost = False
    return batch
