"""`tokenwire batch`, from a file of questions to a file of answers."""

import asyncio
import json
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.batch.serving import Asked, rows, serving
from tests.commanding import CLEAN, COMMAND, Outcome, run
from tokenwire import Chat
from tokenwire.batch.files import open_file
from tokenwire.cli import Exit
from tokenwire.server.faults import CloseAfter, Faults, RefuseWith


def questions(folder: Path, asks: list[dict[str, Any]]) -> str:
    path = folder / "questions.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in asks))
    return str(path)


def batch(asked: Asked, *words: str, **more: Any) -> Outcome:
    key = {"TOKENWIRE_KEY": "a-secret-key"}
    where = ("--base-url", asked.url, "-m", "m")
    return run("batch", *where, *words, environment=key, **more)


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture
def answers(tmp_path: Path) -> Path:
    return tmp_path / "answers.jsonl"


def test_a_file_is_asked_and_the_same_command_asks_nothing(tmp_path: Path, answers: Path) -> None:
    file = questions(tmp_path, rows(20))
    with serving() as asked:
        first = batch(asked, file, "-o", str(answers), "--price", "1000000/0")
        assert (first.code, first.out) == (Exit.OK, "")
        assert first.err == "20 complete; 40 tokens in, 120 out, $40.0000 in all\n"
        assert len(lines(answers)) == 20
        again = batch(asked, file, "-o", str(answers))
        assert again.code == Exit.OK
        assert again.err == (
            f"{answers}: 20 of 20 rows are complete\n"
            "nothing asked, 20 from before; 0 tokens in, 0 out\n"
        )
        assert asked.total == 20
        file = questions(tmp_path, [*rows(7), {"custom_id": "q7", "prompt": "new"}, *rows(12, 8)])
        Path(file).write_text(Path(file).read_text() + "\n\n")
        one = batch(asked, file, "-o", str(answers))
        assert "19 of 20 rows are complete; to ask: 1 changed" in one.err
        assert asked.total == 21
        model = batch(asked, file, "-o", str(answers), "-m", "other", "--quiet")
        assert (model.code, model.err) == (Exit.OK, "")
        assert asked.total == 41
        status = run("batch", "status", str(answers))
        assert (status.code, status.out) == (Exit.OK, "20 rows: 20 complete\n")
    assert "a-secret-key" not in answers.read_text()


def test_rows_that_are_not_complete_are_told_and_asked_again(tmp_path: Path, answers: Path) -> None:
    def choose(text: str, time: int) -> Faults:
        if text == "question 3":
            return CloseAfter(300) if time <= 2 else None
        return RefuseWith(400) if text == "question 4" else None

    file = questions(tmp_path, [*rows(6), {"custom_id": "bad"}])
    with serving(choose) as asked:
        first = batch(asked, file, "-o", str(answers))
        assert first.code == Exit.INCOMPLETE
        assert "4 complete, 1 invalid, " in first.err
        again = batch(asked, file, "-o", str(answers))
        assert again.code == Exit.INCOMPLETE
        assert "4 of 7 rows are complete; to ask: 1 not complete; 2 failed for good" in again.err
        last = batch(asked, file, "-o", str(answers), "--reask", "failed")
        assert asked.times["question 4"] == 2
        assert last.code == Exit.INCOMPLETE
        final = tmp_path / "final.jsonl"
        collected = run("batch", "collect", str(answers), "-o", str(final), "--like", file)
        assert collected.code == Exit.INCOMPLETE
        assert collected.err == "7 rows: 5 complete, 1 bad_request, 1 invalid\n"
        assert [line["custom_id"] for line in lines(final)] == [
            *(f"q{number}" for number in range(6)),
            "bad",
        ]


def test_a_folder_for_shards(tmp_path: Path) -> None:
    file, folder = questions(tmp_path, rows(20)), tmp_path / "answers"
    with serving() as asked:
        for number in (1, 2, 3):
            found = batch(asked, file, "-o", f"{folder}/", "--shard", f"{number}/3")
            assert found.code == Exit.OK
        assert asked.total == 20
        assert "0 of " in found.err
        collected = run("batch", "collect", str(folder), "-o", str(tmp_path / "x"))
        assert (collected.code, collected.err) == (Exit.OK, "20 rows: 20 complete\n")
        questions(tmp_path, rows(21))
        missing = run("batch", "collect", str(folder), "-o", str(tmp_path / "x"), "--like", file)
        assert missing.code == Exit.INCOMPLETE
        assert missing.err.startswith("no outcome: q20\n21 rows: 20 complete, 1 without")
        assert run("batch", "status", str(folder)).out == "20 rows: 20 complete\n"


def test_budgets_and_failures_stop_it(tmp_path: Path, answers: Path) -> None:
    file = questions(tmp_path, rows(30))

    def choose(text: str, time: int) -> Faults:
        return RefuseWith(401) if text.endswith("5") else None

    with serving(choose) as asked:
        budget = ("--budget", "100", "--price", "1000000/1000000", "--concurrency", "1")
        first = batch(asked, file, "-o", str(answers), *budget)
        assert first.code == Exit.STOPPED
        assert "stopped: the budget of 100 dollars is spent" in first.err
        done = asked.total
        assert done < 16
        same = batch(asked, file, "-o", str(answers), *budget)
        assert (same.code, asked.total) == (Exit.STOPPED, done)
        wrong = batch(asked, file, "-o", str(answers), "--max-failures", "1")
        assert wrong.code == Exit.STOPPED
        assert "rows failed" in wrong.err


def test_options_of_the_rows(tmp_path: Path, answers: Path) -> None:
    file = questions(tmp_path, [{"town": "Rome"}])
    template = tmp_path / "template.txt"
    template.write_text("\ufeffWhere is {town}?", "utf-8")
    with serving() as asked:
        options = ("--template", str(template), "-O", "temperature=0", "--plain")
        assert batch(asked, file, "-o", str(answers), *options).code == Exit.OK
        assert asked.times == {"Where is Rome?": 1}
    (line,) = lines(answers)
    assert list(line) == ["custom_id", "id", "response", "error"]
    assert line["custom_id"] == "line-000001"


def test_a_template_that_is_no_text(tmp_path: Path, answers: Path) -> None:
    template = tmp_path / "template.txt"
    template.write_bytes(b"\xff")
    options = ("-o", str(answers), "--embedded", "--template", str(template))
    found = run("batch", str(questions(tmp_path, [{"a": "b"}])), *options)
    assert found == Outcome(Exit.USAGE, "", f"tokenwire: {template} is not UTF-8\n")


def test_rows_from_a_pipe_and_an_embedded_server(answers: Path) -> None:
    asks = b'\xef\xbb\xbf{"prompt": "a"}\r\n\r\n{"prompt": "b"}'
    found = run("batch", "-", "-o", str(answers), "--embedded", "-m", "m", "--json", stdin=asks)
    assert found.code == Exit.OK
    *told, summary = found.err.splitlines()
    assert json.loads(told[-1])["complete"] == 2
    assert summary == "2 complete; 2 tokens in, 10 out"
    assert {line["custom_id"] for line in lines(answers)} == {"line-000001", "line-000003"}


def test_stdin_is_closed(tmp_path: Path, answers: Path) -> None:
    options = ("-o", str(answers), "--embedded", "-m", "m")
    file = questions(tmp_path, [{"prompt": "a"}])
    assert run("batch", str(file), *options, stdin=None).code == Exit.OK
    found = run("batch", "-", *options, stdin=None)
    assert found == Outcome(Exit.USAGE, "", "tokenwire: stdin is closed: give a file\n")


def test_rows_without_ids_that_were_moved_are_an_error(tmp_path: Path, answers: Path) -> None:
    with serving() as asked:
        file = questions(tmp_path, [{"prompt": "a"}, {"prompt": "b"}])
        assert batch(asked, file, "-o", str(answers)).code == Exit.OK
        questions(tmp_path, [{"prompt": "b"}, {"prompt": "a"}])
        moved = batch(asked, file, "-o", str(answers))
        assert moved.code == Exit.USAGE
        assert "row 1 asks something else than in the journal" in moved.err
        assert asked.total == 2


def test_wrong_usage(tmp_path: Path, answers: Path) -> None:
    file = questions(tmp_path, rows(1))
    for words, message in (
        ([], "give FILE, collect JOURNAL, or status JOURNAL"),
        (["a", "b", "c"], "give FILE"),
        ([file], "give the file of the answers with -o"),
        (["none", "-o", str(answers)], "none is not a file"),
        (["collect", file], "give the file to write with -o"),
        (["status", "none"], "there is no journal"),
        ([file, "-o", str(answers), "--budget", "1"], "needs the price"),
        ([file, "-o", str(answers), "--base-url", "odd"], "the base URL"),
        ([file, "-o", str(answers), "--embedded", "--concurrency", "x"], "concurrency 'x'"),
    ):
        found = run("batch", *words)
        assert found.code == Exit.USAGE, words
        assert message in found.err, words
    assert not answers.exists()


def test_two_runs_on_one_file(tmp_path: Path, answers: Path) -> None:
    held = open_file(answers)
    file = questions(tmp_path, rows(1))
    found = run("batch", file, "-o", str(answers), "--embedded", "-m", "m")
    assert found.code == Exit.USAGE
    assert f"is being written by process {os.getpid()}" in found.err
    held.close()
    writing = open_file(answers)
    assert run("batch", "status", str(answers)).out == "0 rows: none (being written)\n"
    writing.close()


class Slow:
    """Answers after it was told to; before that it calls `at_first`."""

    def __init__(self, at_first: Callable[[], None]) -> None:
        self._at_first = at_first
        self._begun = False

    async def __call__(self, chat: Chat) -> str:
        if not self._begun:
            self._begun = True
            self._at_first()
        await asyncio.sleep(0.2)
        return "Hi"


@pytest.mark.parametrize("times", [1, 2])
def test_ctrl_c_lets_rows_end_and_the_second_one_leaves(
    tmp_path: Path, answers: Path, times: int
) -> None:
    def interrupt() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        if times == 2:
            os.kill(os.getpid(), signal.SIGTERM)

    file = questions(tmp_path, rows(40))
    with serving(answer=Slow(interrupt)) as asked:
        found = batch(asked, file, "-o", str(answers), "--concurrency", "2")
        assert found.code == Exit.INTERRUPTED
        assert "Ctrl-C again leaves them" in found.err
        assert "stopped: interrupted. The same command goes on" in found.err
        written = answers.read_bytes()
        assert written.count(b"\n") == (2 if times == 1 else 0)
        assert not written or written.endswith(b"\n")
    assert sorted(each.name for each in tmp_path.iterdir()) == ["answers.jsonl", "questions.jsonl"]


def test_a_killed_run_goes_on(tmp_path: Path, answers: Path) -> None:
    """By SIGKILL, at the tenth question; in a process of its own."""
    file = questions(tmp_path, rows(30))
    process: list[subprocess.Popen[bytes]] = []

    def choose(text: str, time: int) -> Faults:
        if asked.total == 10:
            process[0].kill()
        return None

    with serving(choose) as asked:
        options = [file, "-o", str(answers), "-m", "m", "--base-url", asked.url]
        options += ["--concurrency", "4", "--quiet"]
        process.append(subprocess.Popen([*COMMAND, "batch", *options], env=CLEAN))
        assert process[0].wait(60) == -signal.SIGKILL
        assert run("batch", *options).code == Exit.OK
        assert 30 <= asked.total <= 34
    found = lines(answers)
    assert len(found) == len({line["custom_id"] for line in found}) == 30
    assert {line["tokenwire"]["outcome"] for line in found} == {"complete"}
