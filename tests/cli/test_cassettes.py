"""`tokenwire record`, `replay`, `timeline` and `cassette`."""

import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import cast
from unittest.mock import patch

import msgspec
import pytest

import tokenwire
from tests.commanding import Outcome, Stream, run
from tests.replay.taping import SAID, cassette, recording
from tokenwire.cli import Exit
from tokenwire.cli.cassettes import joined, summary
from tokenwire.protocols.errors import TokenwireError
from tokenwire.replay.cassette import Cassette, Noted, Recording, Sent, load, save
from tokenwire.server import serve
from tokenwire.server.faults import EndAfter


def shown_url() -> str:
    return cast(Stream, sys.stdout).bytes.getvalue().decode().split()[0]


def during(work: Callable[[str], Awaitable[object]], *arguments: str) -> Outcome:
    """The command, stopped by Ctrl-C once `work` is done with its URL."""

    async def stop() -> None:
        await work(shown_url())
        raise KeyboardInterrupt

    with patch("anyio.sleep_forever", stop):
        return run(*arguments)


async def ask(url: str, question: str = "Why?", provider: str = "openai") -> None:
    try:
        await tokenwire.ask_async(provider, question, model="m", base_url=url, key="tw-secret-1")
    except TokenwireError as error:
        answers.append(error.outcome)
    else:
        answers.append("complete")


answers: list[str] = []


def test_record_and_replay(tmp_path: Path) -> None:
    answers.clear()
    folder, one = tmp_path / "recordings", tmp_path / "all.jsonl"

    async def twice(url: str) -> None:
        assert url.endswith("/v1")
        await ask(url)
        await ask(url, "How?")

    with serve("openai", lambda chat: SAID, faults=[EndAfter(700)]) as server:
        outcome = during(twice, "record", "-o", str(folder), "--upstream", server.url)
        assert outcome.code == Exit.OK
        assert outcome.err == ""
        during(twice, "record", "-o", str(one), "-p", "openai", "--upstream", server.url)
    assert answers == ["truncated", "complete", "complete", "complete"]
    lines = outcome.out.splitlines()
    assert f"records what goes to {server.url} (Ctrl-C stops it)" in lines[0]
    assert f"OPENAI_BASE_URL={lines[0].split()[0]}" in lines
    assert lines[-2].endswith("200, 700 bytes in 4 pieces, eof, truncated")
    files = sorted(folder.iterdir())
    assert [line.partition(": ")[0] for line in lines[-2:]] == [str(file) for file in files]
    assert len(load(one).recordings) == 2
    assert load(one).provider == "openai"
    assert "secret" not in "".join(file.read_text() for file in files)

    answers.clear()

    async def again(url: str) -> None:
        await ask(url)
        await ask(url, "When?")

    outcome = during(again, "replay", *map(str, files))
    assert answers == ["truncated", "refused"]
    assert "replays 2 recorded requests (Ctrl-C stops it)" in outcome.out
    first, last = outcome.err.splitlines()
    assert first.startswith("tokenwire: POST /v1/chat/completions was not recorded; ")
    assert last == "tokenwire: 1 recorded request not asked for"
    answers.clear()
    how = ("--repeat", "--cut", "1", "--fault", "end:700", "--ignore", "/messages/0/content")
    outcome = during(again, "replay", str(one), *how)
    assert answers == ["truncated", "truncated"]
    assert outcome.err == ""


def test_a_recording_that_is_not_kept_is_told(tmp_path: Path) -> None:
    key = "AKIA" + "IOSFODNN7EXAMPLE"
    answer = [tokenwire.Text(key), *SAID[-2:]]
    with serve("openai", lambda chat: answer) as server:
        command = ("record", "-o", str(tmp_path), "--upstream", server.url)
        outcome = during(ask, *command)
        assert "line" in outcome.err
        assert "has a key of AWS" in outcome.err
        assert key not in outcome.err
        assert list(tmp_path.iterdir()) == []
        during(ask, *command, "--allow-secret", key, "--redact", "re:Why", "--title", "T")
    (file,) = tmp_path.iterdir()
    assert load(file).title == "T"
    assert load(file).recordings[0].request.body["messages"][0]["content"] == "[left out]?"


def test_the_address_of_other_formats(tmp_path: Path) -> None:
    async def nothing(url: str) -> None:
        assert url.count("/") == 2

    outcome = during(nothing, "record", "-o", str(tmp_path), "-p", "anthropic")
    assert "records what goes to https://api.anthropic.com" in outcome.out
    assert "/v1\n" in outcome.out

    async def nobody(url: str) -> None:
        assert url.startswith("http://127.0.0.1:")

    outcome = during(nobody, "record", "-o", str(tmp_path))
    assert "records what goes to the service of each format" in outcome.out


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "x.jsonl"
    noted = Noted("complete", "terminator", {"end": 1, "finish": 1, "start": 1, "text": 5})
    one = msgspec.structs.replace(recording((61, 190), gap=5), outcome=noted)
    save(cassette(one), path)
    return path


def test_timeline(file: Path, tmp_path: Path) -> None:
    outcome = run("timeline", str(file))
    page = tmp_path / "x.html"
    assert (outcome.code, outcome.out) == (Exit.OK, f"{page}\n")
    assert page.read_bytes().startswith(b"<!doctype html>")
    assert run("timeline", str(file), "-o", "-").out == page.read_text()
    outcome = run("timeline", str(file), "-o", str(tmp_path))
    assert outcome.code == Exit.USAGE
    assert "can't be written: Is a directory" in outcome.err


def test_show(file: Path) -> None:
    outcome = run("cassette", "show", str(file))
    assert outcome.code == Exit.OK
    assert outcome.out.splitlines()[-1].endswith("-- eof; complete (terminator)")


def test_check(file: Path, tmp_path: Path) -> None:
    assert run("cassette", "check", str(tmp_path)).out == "1 cassette as noted\n"
    file.write_text(file.read_text().replace('"text":5', '"text":6').replace('"terminator"', '""'))
    outcome = run("cassette", "check", str(file))
    assert outcome.code == Exit.USAGE
    assert outcome.out == (
        f"{file}, line 2: the evidence was none, and is now terminator\n"
        f"{file}, line 2: there were 6 events text, and are now 5\n"
    )
    assert "1 of 1 cassette decoded to something else" in outcome.err
    assert run("cassette", "check", str(file), "--fix").out.endswith("1 cassette, 1 changed\n")
    assert run("cassette", "check", str(file), str(file)).out == "2 cassettes as noted\n"


def test_check_how_old_they_are(tmp_path: Path) -> None:
    old, new = tmp_path / "old.jsonl", tmp_path / "new.jsonl"
    for path, recorded in ((old, "1999-12-31"), (new, "9999-12-31")):
        save(msgspec.structs.replace(cassette(), recorded=recorded), path)
    outcome = run("cassette", "check", str(tmp_path), "--max-age", "90d", "--fix")
    assert outcome.code == Exit.USAGE
    assert outcome.out == f"{old} was recorded on 1999-12-31, more than 90d ago\n"
    assert "1 of 2 cassettes older than 90d" in outcome.err
    assert run("cassette", "check", str(new), "--max-age", "90d").out == "1 cassette as noted\n"


def test_cut_and_diff(file: Path, tmp_path: Path) -> None:
    other = tmp_path / "y.jsonl"
    outcome = run("cassette", "cut", str(file), "--at", "1,7,300", "-o", str(other))
    assert (outcome.code, outcome.out) == (Exit.OK, f"{other}\n")
    assert [len(piece.data) for piece in load(other).recordings[0].pieces][:3] == [1, 6, 293]
    assert run("cassette", "diff", str(file), str(other)).out == "the same events\n"
    run("cassette", "cut", str(file), "--per-event", "--end", "700:reset", "-o", str(other))
    (one,) = load(other).recordings
    assert (len(one.body), one.end) == (700, "reset")
    assert one.pieces[0].data.endswith(b"\n\n")
    outcome = run("cassette", "diff", str(file), str(other))
    assert outcome.code == Exit.USAGE
    assert "question 1: the outcome was complete, and is now truncated\n" in outcome.out
    run("cassette", "cut", str(file), "--end", "700", "-o", str(other))
    assert load(other).recordings[0].end == "eof"
    for option, value in (("--at", "1,x"), ("--end", "7:soon"), ("--end", "x")):
        outcome = run("cassette", "cut", str(file), option, value, "-o", str(other))
        assert outcome.code == Exit.USAGE


def test_import_and_export(file: Path, tmp_path: Path) -> None:
    body, har, other = tmp_path / "body.sse", tmp_path / "x.har", tmp_path / "z.jsonl"
    run("cassette", "export", str(file), "--body", "-o", str(body))
    assert body.read_bytes() == load(file).recordings[0].body
    run("cassette", "export", str(file), "-o", str(har))
    run("cassette", "import", str(har), "-o", str(other))
    assert load(other).recordings[0].request == load(file).recordings[0].request
    outcome = run(
        *("cassette", "import", str(body), "--status", "201", "--content-type", "text/plain"),
        *("--url", "http://a/v1/chat/completions", "-o", str(other)),
    )
    assert outcome.code == Exit.OK
    (one,) = load(other).recordings
    assert one.response is not None
    assert (one.response.status, one.request.url) == (201, "http://a/v1/chat/completions")


def test_verify(file: Path) -> None:
    key = {"OPENAI_API_KEY": "tw-secret-1"}
    with serve("openai", lambda chat: SAID, key="tw-secret-1") as server:
        command = ("cassette", "verify", str(file), "--upstream", server.url)
        outcome = run(*command, environment=key)
        assert (outcome.code, outcome.out) == (Exit.OK, "the service answers like that still\n")
        outcome = run(*command)
    assert outcome.code == Exit.USAGE
    assert "line 2: the status was 200, and is now 401\n" in outcome.out


def test_verify_what_is_in_no_format(tmp_path: Path) -> None:
    file = tmp_path / "x.jsonl"
    save(Cassette((Recording(Sent("GET", "http://a/health")),)), file)
    with serve("openai", lambda chat: SAID) as server:
        outcome = run("cassette", "verify", str(file), "--upstream", server.url)
    assert "the status was none, and is now 200" in outcome.out


def test_in_one_line() -> None:
    nothing = Recording(Sent("GET", "http://a/x?key=1"), end="unreached")
    assert summary(nothing) == "GET http://a/x, no response, unreached"
    left = msgspec.structs.replace(recording(end="left"), outcome=Noted("left"))
    assert summary(left).endswith(" bytes in 1 piece, left")
    assert joined([cassette(), cassette(provider="groq")]).provider == ""


def test_without_the_server() -> None:
    with patch.dict(sys.modules, {"tokenwire.server.embedded": None}):
        for command in (("record", "-o", "x"), ("replay", __file__)):
            outcome = run(*command)
            assert outcome.code == Exit.USAGE
            assert "pip install 'tokenwire[server]'" in outcome.err
