"""The row function: a shared journal, rows that are asked alone, and rows that are abandoned."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.batch.dying import KILLER, deadly
from tests.batch.serving import Asked, rows, serving
from tests.leftovers import nothing_left
from tokenwire.batch.asker import COLUMNS, Asker, columns_of
from tokenwire.batch.files import parts_of
from tokenwire.batch.lines import began_line
from tokenwire.server.faults import CloseAfter, Faults


def asker(asked: Asked, folder: Path, **settings: Any) -> Asker:
    return Asker(
        str(folder),
        **{
            "provider": "openai",
            "model": "m",
            "key": "k",
            "base_url": asked.url,
            "client": {"trust_env": False},
            **settings,
        },
    )


def test_answers_are_in_the_order_of_the_rows_and_from_the_journal_if_there(tmp_path: Path) -> None:
    with nothing_left(), serving() as asked:
        first, second = asker(asked, tmp_path), asker(asked, tmp_path)
        answers = first(rows(12))
        assert [answer["custom_id"] for answer in answers] == [f"q{n}" for n in range(12)]
        assert all(list(answer) == list(COLUMNS) for answer in answers)
        assert all(
            type(answer[name]) is type(empty)
            for answer in answers
            for name, empty in COLUMNS.items()
        )
        third = answers[3]
        assert third["text"] == "openai m was asked: question 3"
        assert (third["outcome"], third["evidence"], third["finish"]) == (
            "complete",
            "terminator",
            "stop",
        )
        assert json.loads(third["body"])["object"] == "chat.completion"
        assert second(rows(15))[:12] == answers
        assert first(rows(15, 3))[-1]["custom_id"] == "q17"
        assert first(rows(3)) == answers[:3]
        assert asked.total == 18
        first.close()
        second.close()
        first.close()
    assert len(parts_of(tmp_path)) == 2


def test_a_row_without_an_id_is_named_by_what_it_asks(tmp_path: Path) -> None:
    with serving() as asked:
        ask = asker(asked, tmp_path)
        one, other, same = ask([{"prompt": "a"}, {"prompt": "b"}, {"prompt": "a"}])
        assert one == same
        assert one["custom_id"].startswith("b2-")
        assert other["custom_id"] != one["custom_id"]
        assert ask([{"prompt": "b"}]) == [other]
        (odd,) = ask([{"custom_id": "x"}])
        assert (odd["outcome"], odd["text"]) == ("invalid", "")
        assert "no body, params" in odd["error"]
        assert asked.total == 2
        ask.close()


def test_what_is_not_complete_says_why_and_is_asked_again_by_the_next(tmp_path: Path) -> None:
    def choose(text: str, time: int) -> Faults:
        return CloseAfter(300) if time == 1 else None

    with serving(choose) as asked:
        first = asker(asked, tmp_path, attempts=1)
        (half,) = first(rows(1))
        assert (half["outcome"], half["text"], half["body"]) == ("truncated", "", "")
        assert half["error"]
        (whole,) = first(rows(1))
        assert whole["outcome"] == "complete"
        first.close()


def test_a_run_that_was_stopped_has_rows_that_were_not_asked(tmp_path: Path) -> None:
    with serving() as asked:
        ask = asker(asked, tmp_path, budget_tokens=1, concurrency=1)
        first, *others = ask(rows(4))
        assert first["outcome"] == "complete"
        assert [other["outcome"] for other in others] == ["unasked"] * 3
        ask.close()


def test_it_runs_where_a_loop_is_running_and_raises_what_the_run_raises(tmp_path: Path) -> None:
    async def ask(asked: Asked) -> None:
        ask = asker(asked, tmp_path)
        assert ask(rows(1))[0]["outcome"] == "complete"
        ask.close()

        def key() -> str:
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            asker(asked, tmp_path, key=key)(rows(1, 5))

    with serving() as asked:
        asyncio.run(ask(asked))


WORKER = """
import json, os, sys
from tokenwire.batch.asker import Asker

def own_process():
    return f"process-{os.getpid()}"

folder, url, asks = sys.argv[1:]
how = {"key": own_process, "base_url": url, "concurrency": 4, "client": {"trust_env": False}}
ask = Asker(folder, provider="openai", model="m", **how)
ask(json.loads(asks))
ask.close()
"""
"""A worker, in a process of its own."""


def test_a_row_that_kills_its_worker_is_abandoned_after_two(tmp_path: Path) -> None:
    asks = [*rows(6), {"custom_id": "killer", "prompt": KILLER}, *rows(2, 6)]
    codes: list[int] = []
    with deadly() as asked:
        while not codes or codes[-1]:
            command = [sys.executable, "-c", WORKER, str(tmp_path), asked.url, json.dumps(asks)]
            codes.append(subprocess.run(command, timeout=60, check=False).returncode)
            assert len(codes) < 9
        reader = asker(asked, tmp_path)
        outcomes = {each["custom_id"]: each["outcome"] for each in reader(asks)}
        reader.close()
        assert codes == [-9, -9, 0]
        assert outcomes.pop("killer") == "abandoned"
        assert set(outcomes.values()) == {"complete"}
        assert len(outcomes) == 8
        assert asked.times[KILLER] == 2
        # What was in flight at the first death may be asked twice; at the second nothing else was.
        assert asked.total <= 9 + 1 + 3


def test_a_line_that_is_not_ours_has_columns_too() -> None:
    line = b'{"custom_id":"a","response":null,"error":{"code":"odd","message":"why"}}'
    found = columns_of(line)
    assert (found["outcome"], found["error"]) == ("odd", "why")
    body = b'{"choices":[{"message":{"content":null}}]}'
    found = columns_of(b'{"custom_id":"a","response":{"body":' + body + b'},"error":null}')
    assert (found["outcome"], found["text"]) == ("complete", "")


def test_a_complete_answer_stays_whatever_a_slow_worker_says_later(tmp_path: Path) -> None:
    with serving() as asked:
        ask = asker(asked, tmp_path)
        (answer,) = ask(rows(1))
        late = {"custom_id": "q0", "tokenwire": {"outcome": "truncated"}}
        (tmp_path / "part-z.jsonl").write_text(json.dumps(late) + "\n")
        assert ask(rows(1)) == [answer]
        ask.close()


def test_rows_begun_by_others_are_asked_alone(tmp_path: Path) -> None:
    (tmp_path / "part-a.jsonl").write_bytes(began_line(["q1", "q2"], "part-a"))
    with serving() as asked:
        ask = asker(asked, tmp_path)
        assert {each["outcome"] for each in ask(rows(4))} == {"complete"}
        ask.close()
    (ours,) = (part for part in parts_of(tmp_path) if part.name != "part-a.jsonl")
    begun = [json.loads(line).get("begun") for line in ours.read_text().splitlines()]
    order = [ids[0] for ids in begun if ids]
    assert sorted(order[:2]) == ["q0", "q3"]
    assert begun[-4:] == [[order[2]], None, [order[3]], None]
