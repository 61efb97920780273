"""A run as a program has it, against a server: outcomes, order, leaving, async sources."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.batch.serving import Asked, rows, serving
from tests.leftovers import nothing_left
from tokenwire import Clocks, LocalProtocolError
from tokenwire.batch import AsyncOutcomes, Outcome, Outcomes, Row, run, run_sync
from tokenwire.server import serve
from tokenwire.server.faults import (
    BreakEvent,
    CloseAfter,
    ErrorObject,
    Faults,
    HtmlPage,
    RefuseWith,
    ResetAfter,
    StallAfter,
)


def settings(asked: Asked, **more: Any) -> dict[str, Any]:
    return {
        "provider": "openai",
        "model": "m",
        "key": "a-secret-key",
        "base_url": asked.url,
        "client": {"trust_env": False},
        **more,
    }


def by_id(outcomes: Outcomes) -> dict[str, Outcome]:
    with outcomes:
        return {outcome.custom_id: outcome for outcome in outcomes}


def test_each_row_has_one_outcome_and_is_not_asked_again(tmp_path: Path) -> None:
    path = str(tmp_path / "a.jsonl")
    with nothing_left(), serving() as asked:
        outcomes = by_id(run_sync(rows(30), **settings(asked, journal=path)))
        assert {outcome.kind for outcome in outcomes.values()} == {"complete"}
        assert outcomes["q7"].text == "openai m was asked: question 7"
        assert asked.total == 30
        assert by_id(run_sync(rows(31), **settings(asked, journal=path))).keys() == {"q30"}
        again = run_sync(rows(31), **settings(asked, journal=path, model="n"))
        assert len(by_id(again)) == 31
        assert again.tally is not None
        assert again.tally.complete == 31
    lines = [json.loads(line) for line in Path(path).read_text().splitlines()]
    assert len(lines) == 30 + 1 + 31
    assert "a-secret-key" not in Path(path).read_text()


FAULTS: dict[str, tuple[Faults, str, int]] = {
    # the question, what goes wrong each time, the outcome, and how often it is asked
    "cut": (CloseAfter(400), "truncated", 2),
    "reset": (ResetAfter(0, head=False), "disconnected", 3),
    "429": (RefuseWith(429, "0"), "rate_limited", 3),
    "500": (RefuseWith(500), "refused", 3),
    "400": (RefuseWith(400), "bad_request", 1),
    "401": (RefuseWith(401), "authentication_failed", 1),
    "html": (HtmlPage(), "unexpected_content", 3),
    "error": (ErrorObject(), "refused", 1),
    "broken": (BreakEvent(2), "malformed", 3),
}


def test_what_a_server_does_is_what_a_row_becomes() -> None:
    asks = [{"custom_id": name, "prompt": name} for name in FAULTS]
    passing = [{"custom_id": f"{name} once", "prompt": f"{name} once"} for name in FAULTS]

    def choose(text: str, time: int) -> Faults:
        name, _, once = text.partition(" ")
        return None if once and time > 1 else FAULTS[name][0]

    with serving(choose) as asked:
        more = {"attempts": 3, "concurrency": 32}
        outcomes = by_id(run_sync([*asks, *passing], **settings(asked, **more)))
        for name, (_, kind, times) in FAULTS.items():
            outcome = outcomes[name]
            assert (outcome.kind, outcome.attempts) == (kind, times), name
            if name != "reset":  # an idle connection may be closed, and is replaced once
                assert asked.times[name] == times, name
            assert (outcome.reply, outcome.text) == (None, "")
            assert outcome.error is not None
            again = outcomes[f"{name} once"]
            assert again.kind == ("complete" if times > 1 else kind), name
        cut = outcomes["cut"].partial
        assert cut is not None
        assert "openai m was asked:".startswith(cut.text.strip())


def test_a_stall_is_seen_by_a_clock() -> None:
    def choose(text: str, time: int) -> Faults:
        return StallAfter(0)

    with serving(choose) as asked:
        how = settings(asked, attempts=1, clocks=Clocks(first_event=0.05))
        (outcome,) = run_sync(rows(1), **how)
        assert (outcome.kind, outcome.partial is None) == ("timed_out", False)


def test_many_rows_that_are_done_let_others_have_their_turn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tokenwire.batch.engine.AT_ONCE", 3)
    with serving() as asked:
        how = settings(asked, journal=str(tmp_path / "a.jsonl"))
        assert len(list(run_sync(rows(20), **how))) == 20
        assert len(list(run_sync(rows(21), **how))) == 1


def test_rows_that_can_t_be_asked_are_told_and_the_others_go_on() -> None:
    odd: list[Any] = [
        b"{",
        {"custom_id": "none", "messages": []},
        {"custom_id": "q1", "prompt": "twice"},
        {"custom_id": "odd", "prompt": "x", "top_k": 5, "tools": [{"type": "odd"}]},
        Row("chat", Any),  # type: ignore[arg-type]
        b"",
        {"custom_id": "large", "prompt": "x" * 1_000_000},
    ]
    del odd[4]
    with serving() as asked:
        asks: list[Any] = [*rows(3), *odd, *rows(2, 3)]
        outcomes = by_id(run_sync(asks, **settings(asked)))
        kinds = {name: outcome.kind for name, outcome in outcomes.items()}
        invalid = {name for name, kind in kinds.items() if kind == "invalid"}
        assert invalid == {"line-000004", "none", "line-000006"}
        assert kinds["large"] == "complete"
        assert asked.total == 7


def test_a_field_that_the_provider_can_t_take_is_invalid() -> None:
    with serving() as asked:
        row = {"custom_id": "a", "prompt": "x", "temperature": 1}
        (outcome,) = run_sync([row], **settings(asked, provider="darkai", key=None, model=""))
        assert outcome.kind == "invalid"
        assert "can't take temperature" in str(outcome.error)
        assert asked.total == 0


def test_rows_of_anthropic_for_anthropic() -> None:
    with serve("anthropic") as server:
        params = {"max_tokens": 9, "messages": [{"role": "user", "content": "Hello"}]}
        row = {"custom_id": "a", "params": params}
        how: dict[str, Any] = {"provider": "anthropic", "model": "m", "key": "k"}
        how["base_url"] = server.url
        (outcome,) = run_sync([row], **how)
        assert (outcome.text, outcome.evidence) == ("anthropic m was asked: Hello", "terminator")
        (request,) = server.requests
        assert json.loads(request.body)["stream"] is True


def test_in_the_order_of_the_rows_if_that_is_wanted(tmp_path: Path) -> None:
    def choose(text: str, time: int) -> Faults:
        return RefuseWith(500) if text.endswith("0") and time == 1 else None

    path = str(tmp_path / "a.jsonl")
    with serving(choose) as asked:
        by_id(run_sync(rows(3, 4), **settings(asked, journal=path)))
        asks: list[Any] = [*rows(12), b"{"]
        with run_sync(asks, ordered=True, **settings(asked, journal=path)) as outcomes:
            found = [outcome.number for outcome in outcomes]
        assert found == [1, 2, 3, 4, *range(8, 14)]


def test_a_stopped_run_hands_out_what_it_has(tmp_path: Path) -> None:
    def choose(text: str, time: int) -> Faults:
        return RefuseWith(400) if text == "question 2" else None

    with serving(choose) as asked:
        more = {"concurrency": 1, "max_failures": 1, "ordered": True}
        with run_sync(rows(9), **settings(asked, **more)) as outcomes:
            found = [(outcome.number, outcome.kind) for outcome in outcomes]
            assert found == [(1, "complete"), (2, "complete"), (3, "bad_request")]
            assert outcomes.tally is not None
            assert outcomes.tally.stopped == "1 rows failed"
            outcomes.stop()


def test_leaving_the_loop_stops_what_is_in_flight(tmp_path: Path) -> None:
    def choose(text: str, time: int) -> Faults:
        return None if text == "question 0" else StallAfter(0)

    with nothing_left(), serving(choose) as asked:
        for outcome in run_sync(rows(9), **settings(asked)):
            assert outcome.custom_id == "q0"
            break
        unused = run_sync(rows(9), **settings(asked))
        unused.close()
        unused.stop()


def test_the_source_is_read_as_it_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tokenwire.batch.running.ROOM", 4)
    taken: list[int] = []

    def source() -> Iterator[dict[str, Any]]:
        for number, row in enumerate(rows(80)):
            taken.append(number)
            yield row

    with serving() as asked, run_sync(source(), **settings(asked, concurrency=2)) as outcomes:
        first = next(outcomes)
        assert first.kind == "complete"
        assert outcomes.tally is not None
        while outcomes.tally.finished < 5:  # so there is no more room
            threading.Event().wait(0.01)
        assert len(taken) < 50
        assert len(list(outcomes)) == 79


def test_what_the_source_raises_is_raised(tmp_path: Path) -> None:
    def source() -> Iterator[dict[str, Any]]:
        yield from rows(2)
        raise KeyError("no more")

    path = tmp_path / "a.jsonl"
    with serving() as asked, pytest.raises(KeyError, match="no more"):
        list(run_sync(source(), **settings(asked, journal=str(path))))
    with serving() as asked:
        assert list(run_sync([], **settings(asked, journal=str(path)))) == []


def test_a_bug_in_a_provider_ends_the_run() -> None:
    def key() -> str:
        raise ZeroDivisionError

    with serving() as asked, pytest.raises(ZeroDivisionError):
        list(run_sync(rows(2), **settings(asked, key=key)))


def test_a_key_that_can_t_be_had_ends_the_run() -> None:
    def key() -> str:
        raise LocalProtocolError("no key today")

    with serving() as asked, pytest.raises(LocalProtocolError, match="no key today"):
        list(run_sync(rows(2), **settings(asked, key=key)))


def test_a_loop_that_can_t_be_made_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_loop(run: Any) -> None:
        run.close()
        raise OSError("too many open files")

    monkeypatch.setattr(asyncio, "run", no_loop)
    with (
        pytest.raises(OSError, match="too many open files"),
        run_sync([], provider="openai", key="k") as outcomes,
    ):
        next(outcomes)


def test_news_that_came_meanwhile_are_told_at_once() -> None:
    outcomes = run_sync([], provider="openai", key="k")
    assert list(outcomes) == []
    told: list[int] = []
    outcomes._run.watch(lambda: told.append(1))  # pyright: ignore[reportPrivateUsage]
    assert told == [1]


def test_an_address_that_no_row_can_be_sent_to_ends_the_run() -> None:
    with pytest.raises(LocalProtocolError, match="base_url"):
        list(run_sync(rows(2), provider="openai", model="m", base_url="odd", key="k"))


# Async


def test_on_asyncio_and_on_trio() -> None:
    async def ask(asked: Asked) -> list[str]:
        return [outcome.kind async for outcome in run(rows(20), **settings(asked))]

    async def in_a_block(asked: Asked) -> None:
        async with run(rows(2), **settings(asked)) as outcomes:
            assert (await anext(outcomes)).kind == "complete"

    with nothing_left(), serving() as asked:
        asyncio.run(in_a_block(asked))
        assert asyncio.run(ask(asked)) == ["complete"] * 20
        assert trio.run(ask, asked) == ["complete"] * 20


def test_an_async_source_in_a_block_that_is_left() -> None:
    async def source() -> AsyncIterator[dict[str, Any]]:
        for row in rows(50):
            yield row

    async def ask(asked: Asked) -> None:
        async with run(source(), **settings(asked, concurrency=4)) as outcomes:
            found = [await anext(outcomes) for _ in range(5)]
            assert outcomes.tally is not None
            outcomes.stop()
            async for outcome in outcomes:
                found.append(outcome)
        assert len(found) < 50
        assert {outcome.kind for outcome in found} == {"complete"}
        whole = run(source(), **settings(asked))
        assert len([outcome async for outcome in whole]) == 50

    with nothing_left(), serving() as asked:
        asyncio.run(ask(asked))
        trio.run(ask, asked)


def test_cancelling_the_reader_leaves_the_run_as_it_was() -> None:
    gate = threading.Event()

    def answer(chat: object) -> str:
        gate.wait(30)
        return "Hi"

    async def ask(outcomes: AsyncOutcomes) -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(outcomes), 0.05)
        gate.set()
        assert (await anext(outcomes)).text == "Hi"
        async for _ in outcomes:
            pass

    with serving(answer=answer) as asked:
        asyncio.run(ask(run(rows(2), **settings(asked))))


def test_a_loop_that_has_ended_is_not_woken() -> None:
    outcomes: list[AsyncOutcomes] = []

    async def ask(asked: Asked) -> None:
        outcomes.append(run(rows(40), **settings(asked, concurrency=1)))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(_all(outcomes[0]), 0.001)

    async def _all(found: AsyncOutcomes) -> None:
        async for _ in found:
            pass

    with serving() as asked:
        asyncio.run(ask(asked))
        while not outcomes[0]._run.over:  # pyright: ignore[reportPrivateUsage]
            threading.Event().wait(0.01)
        outcomes[0].close()


def test_wrong_settings_are_told_at_once() -> None:
    async def source() -> AsyncIterator[dict[str, Any]]:
        yield {}

    with pytest.raises(LocalProtocolError, match="use run"):
        run_sync(source(), provider="openai")  # type: ignore[arg-type]
    with pytest.raises(LocalProtocolError, match="there is no provider"):
        run_sync([], provider="nobody")
    with pytest.raises(LocalProtocolError, match="concurrency"):
        run([], provider="openai", concurrency=0)
