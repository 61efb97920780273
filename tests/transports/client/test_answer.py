"""An answer as it is read, whatever moves its bytes. See test_transports for real ones."""

import asyncio
from collections.abc import Callable, Iterator

import pytest

from tokenwire import End, Event, LocalProtocolError, Text, Truncated
from tokenwire.transports.client.answer import Answer, AsyncAnswer, Reading, without_loop

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
}


@pytest.mark.parametrize("read", READS.values(), ids=READS)
def test_what_was_interrupted_can_not_be_read_on(read: Callable[[Answer], object]) -> None:
    answer = Answer(Interrupted(EVENTS[:1], EVENTS[1:]))
    with pytest.raises(KeyboardInterrupt):
        read(answer)
    for again in READS.values():
        with pytest.raises(LocalProtocolError, match="the answer was interrupted"):
            again(answer)


class Interrupting(list[Event]):
    """A batch that can't be handed out."""

    def __reversed__(self) -> Iterator[Event]:
        raise KeyboardInterrupt


def test_what_was_interrupted_on_its_way_to_the_caller() -> None:
    answer = Answer(Said(Interrupting(EVENTS[:1]), EVENTS[1:]))
    with pytest.raises(KeyboardInterrupt):
        next(answer)
    with pytest.raises(LocalProtocolError, match="the answer was interrupted"):
        next(answer)
