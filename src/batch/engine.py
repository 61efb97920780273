"""The driver of a run, on asyncio: reads rows, asks them, writes the journal.

What is to be done is decided by `Schedule`; this only does it. One task asks one row after the
other, as long as there is one to ask at once: so it finds its connection idle.
"""

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping
from math import inf
from typing import TYPE_CHECKING, Any

import msgspec

from ..protocols.clocks import Clocks
from ..protocols.errors import LocalProtocolError, TokenwireError
from ..protocols.events import Event
from ..protocols.limits import Limits
from ..protocols.provider import Provider
from ..protocols.reply import Reply
from ..protocols.retry import NO_RETRY
from ..transports.asyncio import Client
from .intake import Intake
from .journal import Journal
from .outcomes import Outcome
from .rows import Question
from .schedule import Attempt, Result, Schedule
from .tally import Tally

if TYPE_CHECKING:
    from ..protocols.auth import KeySource

__all__ = ["MORE", "Asked", "Engine"]

AT_ONCE = 500
"""So many rows are read before others have their turn: most may be done already."""

TICK = 1.0
"""Seconds between two syncs of the journal."""

MORE = object()
"""Stands in a source for a row that is not there yet: `Engine.wake` says when to look again."""


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """Whom to ask, and how. `client` are the arguments of the client."""

    provider: Provider
    key: "KeySource | None" = None
    base_url: str | None = None
    params: Mapping[str, str] = {}
    headers: Mapping[str, str] = {}
    clocks: Clocks | None = None
    limits: Limits | None = None
    random: Any = None
    client: Mapping[str, Any] = {}

    def __repr__(self) -> str:
        return f"<Asked {self.provider.name}>"  # the rest may contain secrets


class Engine:
    """One run. `source` gives the rows: lines, mappings, `Row`s; and `MORE`. `deliver` is given
    each outcome, once it is in the journal, `skipped` the number of each row that has none in this
    run, and `began` each row before it is asked. `has_room` says whether there may be more
    outcomes."""

    def __init__(
        self,
        source: Iterator[object],
        *,
        asked: Asked,
        intake: Intake,
        schedule: Schedule,
        tally: Tally,
        journal: Journal | None = None,
        deliver: Callable[[Outcome], None] = lambda outcome: None,
        skipped: Callable[[int], None] = lambda number: None,
        began: Callable[[Question], None] = lambda question: None,
        has_room: Callable[[], bool] = lambda: True,
    ) -> None:
        self._source = source
        self._asked = asked
        self._intake = intake
        self._schedule = schedule
        self.tally = tally
        self._journal = journal
        self._deliver = deliver
        self._skipped = skipped
        self._began = began
        self._has_room = has_room
        self._number = 0
        self._failure: BaseException | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._waiter: asyncio.Future[None] | None = None
        self._client: Client
        self._now: Callable[[], float]

    async def run(self) -> None:
        """Ask until all is done, or stopped. Raises LocalProtocolError for rows that were moved, or
        a journal that can't be written; and what the source raises."""
        loop = asyncio.get_running_loop()
        self._now = loop.time
        self.tally.began = self.tally.now = loop.time()
        schedule = self._schedule
        try:
            async with Client(retry=NO_RETRY, **self._asked.client) as self._client:
                while self._failure is None and not schedule.is_over:
                    more = self._read()
                    step = schedule.next(self._now())
                    self._look()
                    if isinstance(step, Attempt):
                        task = asyncio.create_task(self._work(step))
                        self._tasks.add(task)
                        task.add_done_callback(self._worked)
                    elif more:
                        await asyncio.sleep(0)
                    elif not schedule.is_over:
                        await self._wait(min(step, TICK))
                        self._sync()
        finally:
            await self._cancel()
            self._look()
        if self._failure is not None:
            raise self._failure

    def stop(self, why: str) -> None:
        """Begin nothing more. What is in flight ends."""
        self._schedule.stop(why)
        self.wake()

    def wake(self) -> None:
        """Look again at the source, and at the room for outcomes."""
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def _look(self) -> None:
        """Have the tally show the state."""
        tally, pace = self.tally, self._schedule.pace
        tally.now = self._now()
        tally.in_flight, tally.limit = pace.in_flight, int(pace.limit)
        tally.waiting = self._schedule.waiting
        tally.resting = pace.resting(tally.now)
        tally.stopped = self._schedule.stopped

    async def _wait(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        waiter = self._waiter = loop.create_future()
        alarm = loop.call_later(seconds, self.wake)
        try:
            await waiter
        finally:
            alarm.cancel()

    def _sync(self) -> None:
        if self._journal is not None:
            self._journal.sync(self._now())

    def _read(self) -> bool:
        """Read rows, as many as are wanted now. Returns whether there is more to read at once."""
        schedule = self._schedule
        for _ in range(AT_ONCE):
            if not schedule.wants_row or not self._has_room():
                return False
            row = next(self._source, None)
            if row is MORE:
                return False
            if row is None:
                schedule.source_ended()
                return False
            self._number += 1
            if row == b"":  # a blank line
                self._skipped(self._number)
                continue
            found = self._intake.take(self._number, row)
            if found is None:
                self._skipped(self._number)
            elif isinstance(found, Question):
                schedule.add(found)
            else:
                self._finish(found)
        return True

    async def _work(self, attempt: Attempt | None) -> None:
        while attempt is not None:
            await self._ask(attempt)
            self._read()
            step = self._schedule.next(self._now())
            attempt = step if isinstance(step, Attempt) else None

    def _worked(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._failure = self._failure or error
        self.wake()

    async def _cancel(self) -> None:
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _ask(self, attempt: Attempt) -> None:
        """Make an attempt, and see to what becomes of it."""
        schedule, asked, now = self._schedule, self._asked, self._now
        question = attempt.question
        try:
            exchange = asked.provider.exchange(
                self._intake.reader.chat(question),
                key=asked.key,
                base_url=asked.base_url,
                params=asked.params,
                headers=asked.headers,
                clocks=asked.clocks,
                limits=asked.limits,
                random=asked.random,
                now=time.time,
            )
        except LocalProtocolError as problem:
            schedule.unasked(attempt, now())
            self._finish(self._intake.invalid(question, problem))
            return
        self._began(question)
        reply, first = Reply(), inf
        error: TokenwireError | None = None
        started, begun = time.time(), now()

        def take(events: list[Event]) -> None:
            nonlocal first
            if first == inf:
                first = now() - begun
                schedule.responded(attempt, answer.headers, now(), time.time())
            for event in events:
                reply.add(event)

        try:
            async with self._client.open(exchange) as answer:
                await answer.push(take)
            reply.request_id = answer.request_id
        except LocalProtocolError:
            raise  # of the client's settings: it would be the same for all rows
        except TokenwireError as failure:
            error = failure
        result = Result(
            reply=reply,
            error=error,
            started=started,
            seconds=now() - begun,
            first=None if first == inf else first,
        )
        outcome = schedule.ended(attempt, result, now(), time.time())
        if outcome is not None:
            self._finish(outcome)

    def _finish(self, outcome: Outcome) -> None:
        if self._journal is not None:
            self._journal.add(outcome)
        self.tally.add(outcome)
        self._deliver(outcome)
