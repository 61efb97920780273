"""An answer as it is read, whatever moves its bytes. See test_transports for real ones."""

import asyncio
import sys
from collections.abc import Callable, Coroutine
from contextlib import suppress
from types import FrameType
from typing import Any

import pytest

from tokenwire import End, Event, LocalProtocolError, Text, Truncated
from tokenwire.transports.client import answer as answer_module
from tokenwire.transports.client.answer import Answer, AsyncAnswer, Reading, without_loop

OURS = answer_module.__file__
EVENTS: list[Event] = [Text("a"), Text("b"), End("terminator")]


class Said(Reading):
    """Gives batches of events, then ends or raises. It notes what is called."""

    def __init__(self, *batches: list[Event], error: Truncated | None = None) -> None:
        super().__init__()
        self.calls: list[str] = []
        self._batches = list(batches)
        self._failure = error

    async def fill(self) -> list[Event]:
        self.calls.append("fill")
        if self._batches:
            return self._batches.pop(0)
        if self._failure is not None:
            raise self._failure
        return []

    async def leave(self, *, at_once: bool) -> None:
        self.calls.append("leave at once" if at_once else "leave")

    def stop(self) -> None:
        self.calls.append("stop")

    def abort(self) -> None:
        self.calls.append("abort")

    def driver(self) -> None:
        return None


def test_events_that_came_together_are_read_once() -> None:
    said = Said(EVENTS[:2], EVENTS[2:])
    with Answer(said) as answer:
        assert list(answer) == EVENTS
        assert list(answer) == []
    assert said.calls == ["fill", "fill", "fill", "stop", "leave"]


def test_async_events_that_came_together_are_read_once() -> None:
    said = Said(EVENTS[:2], EVENTS[2:])

    async def main() -> None:
        async with AsyncAnswer(said) as answer:
            assert [event async for event in answer] == EVENTS
            assert [event async for event in answer] == []
            await answer.aclose()

    asyncio.run(main())
    assert said.calls == ["fill", "fill", "fill", "stop", "leave", "leave"]


def test_batches_are_what_came_together() -> None:
    said = Said(EVENTS[:2], EVENTS[2:])
    answer = Answer(said)
    assert next(answer) == Text("a")
    assert list(answer.batches()) == [[Text("b")], [End("terminator")]]
    assert list(answer.batches()) == []
    assert said.calls == ["fill", "fill", "fill", "stop"]


def test_async_batches_are_what_came_together() -> None:
    said = Said(EVENTS[:2], EVENTS[2:])

    async def main() -> None:
        batches = AsyncAnswer(said).batches()
        assert [batch async for batch in batches] == [EVENTS[:2], EVENTS[2:]]
        assert [batch async for batch in batches] == []

    asyncio.run(main())


def test_an_error_comes_behind_the_events_and_again_and_again() -> None:
    error = Truncated("cut")
    answer = Answer(Said(EVENTS[:2], error=error))
    with pytest.raises(Truncated) as first:
        answer.read()
    assert first.value is error
    assert error.answer is not None
    assert error.answer.text == "ab"
    for _ in range(2):
        with pytest.raises(Truncated) as again:
            next(answer)
        assert again.value is error


def test_the_rest_is_read_once() -> None:
    answer = Answer(Said(EVENTS))
    assert next(answer) == Text("a")
    assert answer.read().text == "b"
    with pytest.raises(LocalProtocolError, match="read to its end already"):
        answer.read()


@pytest.mark.parametrize("error", [KeyError, KeyboardInterrupt])
def test_leaving_by_an_error_waits_for_nothing(error: type[BaseException]) -> None:
    said = Said(EVENTS)

    def leave() -> None:
        with Answer(said) as answer:
            next(answer)
            raise error

    async def leave_async() -> None:
        async with AsyncAnswer(said) as answer:
            await anext(answer)
            raise error

    with pytest.raises(error):
        leave()
    with pytest.raises(error):
        without_loop(leave_async())
    assert said.calls == ["fill", "leave at once", "leave at once"]


def test_two_tasks_cannot_read_at_once() -> None:
    class Waiting(Said):
        async def fill(self) -> list[Event]:
            await asyncio.sleep(0)
            return await super().fill()

    async def main() -> None:
        answer = AsyncAnswer(Waiting(EVENTS))
        first = asyncio.create_task(answer.read())
        await asyncio.sleep(0)
        with pytest.raises(LocalProtocolError, match="in another task"):
            await anext(answer)
        assert (await first).text == "ab"

    asyncio.run(main())


def test_closing_and_aborting_are_the_readings_own() -> None:
    said = Said()
    answer = Answer(said)
    answer.abort()
    answer.close()
    AsyncAnswer(said).abort()
    assert said.calls == ["abort", "leave", "abort"]


def test_what_waits_for_an_event_loop_says_so() -> None:
    async def waits() -> None:
        await asyncio.sleep(0)

    with pytest.raises(RuntimeError, match="waits for an event loop"):
        without_loop(waits())


# Interruptions: an exception out of a signal's handler may come at any place


class Interrupted(Said):
    """Is interrupted once it has taken its first batch: that is lost."""

    async def fill(self) -> list[Event]:
        batch = await super().fill()
        if self.calls == ["fill"]:
            raise KeyboardInterrupt
        return batch


def next_batch(answer: Answer) -> object:
    return next(answer.batches())


def next_raw_batch(answer: Answer) -> object:
    return next(answer.raw_batches())


READS: dict[str, Callable[[Answer], object]] = {
    "next": next,
    "read": Answer.read,
    "batches": next_batch,
    "raw batches": next_raw_batch,
    "push": lambda answer: answer.push(lambda events: None),
}


@pytest.mark.parametrize("read", READS.values(), ids=READS)
def test_what_was_interrupted_can_not_be_read_on(read: Callable[[Answer], object]) -> None:
    answer = Answer(Interrupted(EVENTS[:1], EVENTS[1:]))
    with pytest.raises(KeyboardInterrupt):
        read(answer)
    for again in READS.values():
        with pytest.raises(LocalProtocolError, match="the answer was interrupted"):
            again(answer)


async def async_next(answer: AsyncAnswer) -> object:
    return await anext(answer)


async def async_next_batch(answer: AsyncAnswer) -> object:
    return await anext(answer.batches())


async def async_next_raw_batch(answer: AsyncAnswer) -> object:
    return await anext(answer.raw_batches())


ASYNC_READS: dict[str, Callable[[AsyncAnswer], Coroutine[Any, Any, object]]] = {
    "next": async_next,
    "read": AsyncAnswer.read,
    "batches": async_next_batch,
    "raw batches": async_next_raw_batch,
    "push": lambda answer: answer.push(lambda events: None),
}


@pytest.mark.parametrize("read", ASYNC_READS.values(), ids=ASYNC_READS)
def test_what_was_interrupted_can_not_be_read_on_in_async_code(
    read: Callable[[AsyncAnswer], Coroutine[Any, Any, object]],
) -> None:
    answer = AsyncAnswer(Interrupted(EVENTS[:1], EVENTS[1:]))
    with pytest.raises(KeyboardInterrupt):
        without_loop(read(answer))
    for again in ASYNC_READS.values():
        with pytest.raises(LocalProtocolError, match="the answer was interrupted"):
            without_loop(again(answer))


def iterate(answer: Answer, events: list[Event]) -> None:
    for event in answer:
        events.append(event)


def iterate_batches(answer: Answer, events: list[Event]) -> None:
    for batch in answer.batches():
        events.extend(batch)


def be_pushed(answer: Answer, events: list[Event]) -> None:
    answer.push(events.extend)


def iterate_async(answer: AsyncAnswer, events: list[Event]) -> None:
    async def main() -> None:
        async for event in answer:
            events.append(event)

    without_loop(main())


def iterate_async_batches(answer: AsyncAnswer, events: list[Event]) -> None:
    async def main() -> None:
        async for batch in answer.batches():
            events.extend(batch)

    without_loop(main())


def be_pushed_async(answer: AsyncAnswer, events: list[Event]) -> None:
    without_loop(answer.push(events.extend))


DRIVES: list[tuple[type[Answer | AsyncAnswer], Callable[[Any, list[Event]], None]]] = [
    (Answer, iterate),
    (Answer, iterate_batches),
    (Answer, be_pushed),
    (AsyncAnswer, iterate_async),
    (AsyncAnswer, iterate_async_batches),
    (AsyncAnswer, be_pushed_async),
]


@pytest.mark.filterwarnings("ignore:coroutine:RuntimeWarning")  # just before it is awaited
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(("make", "drive"), DRIVES)
def test_interrupted_anywhere_no_event_is_missing(
    make: Callable[[Reading], Answer | AsyncAnswer],
    drive: Callable[[Any, list[Event]], None],
) -> None:
    """Python calls the handlers of signals when a function begins, or after one of C returns: at
    each of these places in turn. Who reads on has all events, or is told that he has not."""
    place, over = 0, False
    while not over:
        place += 1
        passed = 0

        def interrupt(frame: FrameType, event: str, _: object) -> None:
            nonlocal passed
            if frame.f_code.co_filename == OURS and event in ("call", "c_return"):
                passed += 1
                if passed == place:  # noqa: B023  it is called in this round only
                    raise KeyboardInterrupt  # which ends the profile, too

        answer = make(Said(EVENTS[:2], EVENTS[2:]))
        events: list[Event] = []
        try:
            with suppress(KeyboardInterrupt):
                sys.setprofile(interrupt)
                drive(answer, events)
        finally:
            sys.setprofile(None)
        over = passed < place
        try:
            drive(answer, events)
        except LocalProtocolError as error:
            assert "was interrupted" in str(error)  # noqa: PT017  it need not be raised
        else:
            assert events == EVENTS
    assert place > 10


class Waiting(Said):
    """Is cancelled as it waits for its second batch."""

    async def fill(self) -> list[Event]:
        if self.calls == ["fill"]:
            self.calls.append("cancelled")
            raise asyncio.CancelledError
        return await super().fill()


def test_a_cancelled_reader_reads_the_whole_answer_all_the_same() -> None:
    async def main() -> None:
        answer = AsyncAnswer(Waiting(EVENTS[:1], EVENTS[1:]))
        with pytest.raises(asyncio.CancelledError):
            await answer.read()
        reply = await answer.read()
        assert (reply.text, reply.evidence) == ("ab", "terminator")

    asyncio.run(main())
