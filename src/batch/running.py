"""A batch in a program: `run` in async code, `run_sync` in any other.

Both ask in a thread of their own, with an event loop of asyncio: so a batch is the same whichever
loop, or none, the program runs, and does not stop while that computes.
"""

import asyncio
import threading
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any, Self, TypeAlias

from ..protocols.errors import LocalProtocolError
from ..transports.client.loops import running_library, soon
from .engine import MORE, Engine
from .outcomes import Outcome
from .past import Past
from .rows import Row
from .settings import Settings
from .tally import Tally

__all__ = ["AsyncOutcomes", "Outcomes", "run", "run_sync"]

ROOM = 1000
"""So many outcomes may wait for the program before no more rows are read."""

GATHERING = 0.005
"""Seconds for which outcomes gather before the program is told: waking a thread for each costs a
tenth of all (`benchmarks.batch`)."""

PATIENCE = 10.0
"""Seconds to wait for a thread that reads from a source that blocks."""

Questions: TypeAlias = Iterable[Row | Mapping[str, Any] | bytes]


def run(
    questions: "Questions | AsyncIterable[Row | Mapping[str, Any] | bytes]",
    *,
    ordered: bool = False,
    **settings: Any,
) -> "AsyncOutcomes":
    """Ask `questions`, and iterate over their outcomes with `async for`, as they come; `ordered`:
    in the order of the questions. On asyncio and trio. Leaving the loop stops what is in flight.

    `questions` are rows as in a file (mappings, or lines of JSON), or `Row`s; if they are an async
    iterable, each is waited for before the next outcome is handed out. The settings:

    - `provider`, `model`, `key`, `base_url`, `params`, `headers`, `clocks`, `limits`: whom to ask,
      and how, as for `tokenwire.ask`. `model` replaces the rows' own. `options`: fields of `Chat`
      for each question. `client`: arguments of the client: `proxy`, `ssl_context`, `trust_env`
    - `journal`: a file, or a folder (with a slash at its end) that several runs may write. What is
      complete there is not asked again, and has no outcome here. `reask`: what else is:
      `truncated`, `changed`, `passing` (these three by default), `failed`. `plain`: without our key
      in the lines. `skip_broken`: go on without lines that are broken
    - `concurrency`: how many at once: `"auto"`, a number, or the least and the most. `rpm`, `tpm`:
      the most requests and tokens a minute
    - `attempts`, `truncated_attempts`: how often a row is asked, and how often when its answer was
      truncated
    - `max_failures` (a number, or `"1%"`), `budget` (dollars; needs `price`, dollars for a million
      tokens as `"IN/OUT"` or `"IN/OUT/CACHED"`), `budget_tokens`: when to stop. `tally.stopped`
      then says why
    - `format`, `field`, `template`: how the rows are read: see `rows`. `shard`: `"K/N"`, only the
      rows of that part

    Raises LocalProtocolError for settings that can't be, and when iterated over for a journal that
    can't be used.
    """
    return AsyncOutcomes(questions, Settings(**settings), ordered=ordered)


def run_sync(questions: Questions, *, ordered: bool = False, **settings: Any) -> "Outcomes":
    """`run` for code that is not async: iterate with `for`."""
    if isinstance(questions, AsyncIterable):
        raise LocalProtocolError("run_sync takes no async iterable: use run")
    return Outcomes(questions, Settings(**settings), ordered=ordered)


class _Feed(Iterator[Any]):
    """The rows of an async iterable, handed over to the thread of the run."""

    def __init__(self, wake_reader: Callable[[], None]) -> None:
        self.hungry = False
        self._rows: deque[Any] = deque()
        self._over = False
        self._wake_reader = wake_reader

    def put(self, row: Any) -> None:
        self.hungry = False
        self._rows.append(row)

    def end(self) -> None:
        self.hungry = False
        self._over = True

    def __next__(self) -> Any:
        if self._rows:
            return self._rows.popleft()
        if self._over:
            raise StopIteration
        self.hungry = True
        self._wake_reader()
        return MORE


class _Order:
    """Holds outcomes back until all before them were handed out."""

    def __init__(self) -> None:
        self._held: dict[int, Outcome | None] = {}
        self._next = 1

    def add(self, number: int, outcome: Outcome | None) -> Iterator[Outcome]:
        """The outcomes that can be handed out now."""
        self._held[number] = outcome
        while self._next in self._held:
            found = self._held.pop(self._next)
            self._next += 1
            if found is not None:
                yield found

    def rest(self) -> list[Outcome]:
        """What is left when the run was stopped."""
        return [found for _, found in sorted(self._held.items()) if found is not None]


class _Run:
    """A run in its thread, and the outcomes that were not handed out yet. `wake` wakes whoever
    waits for them; it is called in that thread."""

    def __init__(self, settings: Settings, *, ordered: bool) -> None:
        self.ready: deque[Outcome] = deque()
        self.over = False
        self.error: BaseException | None = None
        self.tally: Tally | None = None
        self.feed: _Feed | None = None
        self.wake: Callable[[], object] | None = None
        self._settings = settings
        self._order = _Order() if ordered else None
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self._engine: Engine | None = None
        self._full = False
        self._telling = False
        self._started = threading.Event()

    @property
    def begun(self) -> bool:
        """Whether it has begun."""
        return self._thread is not None

    @property
    def is_done(self) -> bool:
        """Whether there will be no more outcomes. (It may have ended after `take` looked.)"""
        return self.over and not self.has_news

    @property
    def has_news(self) -> bool:
        """Whether there is something to take."""
        return bool(self.ready) or self.error is not None

    def watch(self, wake: Callable[[], object]) -> None:
        """Call `wake` once there is something to do for whoever iterates; now, if there is."""
        self.wake = wake
        hungry = self.feed is not None and self.feed.hungry
        if self.has_news or self.over or hungry:
            self.tell()

    def begin(self, source: Iterator[Any]) -> None:
        """Begin to ask."""
        self._thread = threading.Thread(
            target=self._main, args=(source,), name="tokenwire batch", daemon=True
        )
        self._thread.start()
        self._started.wait()

    def take(self) -> Outcome | None:
        """An outcome; None: there is none now. Raises the error that ended the run."""
        if self.ready:
            outcome = self.ready.popleft()
            if self._full and len(self.ready) < ROOM // 2:
                self._full = False
                self.nudge()
            return outcome
        if self.over and self.error is not None:
            error, self.error = self.error, None
            raise error
        return None

    def nudge(self) -> None:
        """Have the run look again for rows."""
        assert self._engine is not None  # it has asked for rows, or given an outcome
        self._call(self._engine.wake)

    def stop(self, why: str) -> None:
        """Begin nothing more; what is in flight ends."""
        if self._engine is not None:
            self._call(self._engine.stop, why)

    def close(self) -> None:
        """Stop what is in flight, and wait until the journal is closed."""
        thread = self._thread
        if thread is None or thread is threading.current_thread():  # as garbage is collected there
            return
        if self._task is not None:
            self._call(self._task.cancel)
        thread.join(PATIENCE)
        self.ready.clear()

    def _call(self, call: Callable[..., object], *arguments: object) -> None:
        """Call it in the thread of the run."""
        assert self._loop is not None
        with suppress(RuntimeError):  # the run is over
            self._loop.call_soon_threadsafe(call, *arguments)

    def _main(self, source: Iterator[Any]) -> None:
        try:
            with suppress(asyncio.CancelledError):
                asyncio.run(self._run(source))
        except BaseException as error:  # noqa: BLE001  for whoever iterates
            self.error = error
        if self._order is not None:
            self.ready += self._order.rest()
        self.over = True
        self._started.set()
        self.tell()

    async def _run(self, source: Iterator[Any]) -> None:
        self._loop, self._task = asyncio.get_running_loop(), asyncio.current_task()
        self._started.set()
        journal = self._settings.open_journal()
        try:
            past = Past() if journal is None else journal.past
            engine = self._engine = self._settings.engine(
                source,
                self._settings.intake(past),
                journal,
                deliver=self._deliver,
                skipped=self._skipped,
                has_room=self._has_room,
            )
            self.tally = engine.tally
            await engine.run()
        finally:
            if journal is not None:
                journal.close()

    def _deliver(self, outcome: Outcome) -> None:
        if self._order is None:
            self.ready.append(outcome)
        else:
            self.ready.extend(self._order.add(outcome.number, outcome))
        if not self._telling:
            self._telling = True
            asyncio.get_running_loop().call_later(GATHERING, self._tell_all)

    def _tell_all(self) -> None:
        self._telling = False
        self.tell()

    def _skipped(self, number: int) -> None:
        if self._order is not None:
            self.ready.extend(self._order.add(number, None))

    def _has_room(self) -> bool:
        self._full = len(self.ready) >= ROOM
        return not self._full

    def tell(self) -> None:
        """Wake whoever waits."""
        wake, self.wake = self.wake, None
        if wake is not None:
            wake()


class Outcomes:
    """The outcomes of a run, as they come. In a `with` statement, or a `for` loop whose end stops
    what is in flight."""

    def __init__(self, questions: Questions, settings: Settings, *, ordered: bool) -> None:
        self._run = _Run(settings, ordered=ordered)
        self._questions = questions

    @property
    def tally(self) -> Tally | None:
        """The numbers of the run, once it has begun."""
        return self._run.tally

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Outcome:
        run = self._run
        if not run.begun:
            run.begin(iter(self._questions))
        while True:
            if (outcome := run.take()) is not None:
                return outcome
            if run.is_done:
                raise StopIteration
            event = threading.Event()
            run.watch(event.set)
            event.wait()

    def stop(self) -> None:
        """Begin nothing more. What is in flight ends, and can be iterated over."""
        self._run.stop("stopped")

    def close(self) -> None:
        """Stop what is in flight, and close the journal."""
        self._run.close()

    def __del__(self) -> None:
        self._run.close()


class AsyncOutcomes:
    """The outcomes of a run, as they come. In an `async with` statement, or an `async for` loop
    whose end stops what is in flight."""

    def __init__(
        self,
        questions: "Questions | AsyncIterable[Any]",
        settings: Settings,
        *,
        ordered: bool,
    ) -> None:
        self._run = _Run(settings, ordered=ordered)
        self._questions = questions
        self._rows: AsyncIterator[Any] | None = None

    @property
    def tally(self) -> Tally | None:
        """The numbers of the run, once it has begun."""
        return self._run.tally

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()
        close = getattr(self._rows, "aclose", None)  # of a generator
        if close is not None:
            await close()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Outcome:
        run = self._run
        if not run.begun:
            run.begin(self._source())
        feed = run.feed
        while True:
            if (outcome := run.take()) is not None:
                return outcome
            if run.is_done:
                raise StopAsyncIteration
            if feed is not None and feed.hungry:
                await self._pull(feed)
                continue
            wake, event = _waker()
            run.watch(wake)
            await event.wait()

    def stop(self) -> None:
        """Begin nothing more. What is in flight ends, and can be iterated over."""
        self._run.stop("stopped")

    def close(self) -> None:
        """Stop what is in flight, and close the journal."""
        self._run.close()

    def __del__(self) -> None:
        self._run.close()

    def _source(self) -> Iterator[Any]:
        if not isinstance(self._questions, AsyncIterable):
            return iter(self._questions)
        self._rows = aiter(self._questions)
        self._run.feed = _Feed(self._run.tell)
        return self._run.feed

    async def _pull(self, feed: _Feed) -> None:
        """Hand over the next row."""
        assert self._rows is not None
        try:
            row = await anext(self._rows)
        except StopAsyncIteration:
            feed.end()
        else:
            feed.put(row)
        self._run.nudge()


def _waker() -> tuple[Callable[[], None], Any]:
    """An event of the library that is running, and what sets it from any thread."""
    event: Any
    if running_library() == "trio":
        import trio

        event = trio.Event()
    else:
        event = asyncio.Event()
    tell = soon()

    def wake() -> None:
        with suppress(RuntimeError):  # its event loop has ended
            tell(event.set)

    return wake, event
