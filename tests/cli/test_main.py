"""How the command starts and ends: exit codes, lines on stderr, pipes and signals."""

import importlib
import os
import runpy
import signal
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

import pytest

from tests.commanding import CLEAN, INTERRUPTIBLE, Outcome, Terminal, run, screen, spawn
from tokenwire import (
    AuthenticationFailed,
    BadRequest,
    ConnectFailed,
    Disconnected,
    LimitExceeded,
    LocalProtocolError,
    Malformed,
    TimedOut,
    TokenwireError,
    Truncated,
    UnexpectedContent,
)
from tokenwire.cli import EXIT_CODES, Exit, Settings, complain, exit_code, main, one_line, visible
from tokenwire.server import serve
from tokenwire.server.faults import StallAfter

ROOT = Path(__file__).parents[2]

CODES: dict[Exit, list[Exception]] = {
    Exit.BUG: [KeyError("x"), OSError()],
    Exit.USAGE: [LocalProtocolError("x")],
    Exit.REFUSED: [AuthenticationFailed("x")],
    Exit.BROKEN: [Malformed("x"), LimitExceeded("x"), UnexpectedContent("x")],
    Exit.TRUNCATED: [Truncated("x")],
    Exit.NETWORK: [ConnectFailed("x"), Disconnected("x"), TokenwireError("x")],
    Exit.TIMED_OUT: [TimedOut("x", "idle")],
}


@pytest.mark.parametrize("code", CODES)
def test_exit_codes(code: Exit) -> None:
    assert [exit_code(error) for error in CODES[code]] == [code] * len(CODES[code])


def test_exit_codes_are_documented() -> None:
    text = (ROOT / "docs" / "command.md").read_text()
    shown = run("--help").out
    for code in Exit:
        assert f"| {code.value} | {EXIT_CODES[code]} |" in text
        assert f"{code.value}  {EXIT_CODES[code]}" in shown


def test_control_characters_are_made_visible() -> None:
    assert visible("a\x1b[31m\x07\x7f\x9b2J\tb\r\nc\rd\n") == "a␛[31m␇␡\ufffd2J\tb\nc␍d\n"
    assert one_line(" a\n\nb\t\x1b ") == "a b ␛"
    turned = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
    assert visible(turned) == turned  # a text may need them
    assert one_line(turned) == "\ufffd" * len(turned)


def test_a_bug_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    complain(KeyError("x"), Settings())
    err = capsys.readouterr().err
    assert err.startswith("tokenwire: a bug in tokenwire: KeyError('x') (")
    assert err.count("\n") == 1


def test_a_traceback_on_request() -> None:
    without = run("chat", "Hello")
    assert without.err == "tokenwire: openai has no default model: give one with --model\n"
    for arguments in (["--traceback", "chat"], ["chat", "--traceback"]):
        outcome = run(*arguments, "Hello")
        assert outcome.code == Exit.USAGE
        assert outcome.err.startswith("Traceback")
        assert outcome.err.endswith(without.err)


def test_a_traceback_does_nothing_to_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    settings = Settings()
    settings.traceback = True
    complain(BadRequest("a\x1b[2J\x9bb\u202ec"), settings)
    err = capsys.readouterr().err
    assert err.count("a␛[2J\ufffdb\ufffdc\n") == 2
    assert not set(err) & set("\x1b\x9b\u202e")


MISSING = "tokenwire: the command needs an extra: pip install 'tokenwire[cli]'\n"


@pytest.mark.parametrize("name", ["click", "rich"])
def test_without_the_extra_it_says_so(name: str) -> None:
    code = (
        f"import runpy, sys; sys.modules[{name!r}] = None; "
        "runpy.run_module('tokenwire', run_name='__main__')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "providers"],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (Exit.USAGE, "", MISSING)


def test_a_library_that_is_missing_is_the_extra() -> None:
    error = ModuleNotFoundError(name="rich.console")
    with patch("tokenwire.cli.commands.run", side_effect=error):
        assert run() == Outcome(Exit.USAGE, "", MISSING)


def test_a_module_of_ours_that_is_missing_is_a_bug(capsys: pytest.CaptureFixture[str]) -> None:
    with patch.dict(sys.modules, {"tokenwire.cli.commands": None}):
        assert main([]) == Exit.BUG
    assert "a bug in tokenwire: ModuleNotFoundError" in capsys.readouterr().err


def test_the_package_loads_nothing_of_the_command() -> None:
    code = "import sys, tokenwire; print({'click', 'rich', 'tokenwire.cli'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_the_module_runs_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    importlib.import_module("tokenwire.__main__")  # which doesn't
    monkeypatch.delitem(sys.modules, "tokenwire.__main__")
    monkeypatch.setattr(sys, "argv", ["tokenwire", "--version"])
    with pytest.raises(SystemExit) as caught:
        runpy.run_module("tokenwire", run_name="__main__")
    assert caught.value.code == Exit.OK


def test_ctrl_c_in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tokenwire.cli.commands.run", raise_keyboard_interrupt)
    assert run() == Outcome(Exit.INTERRUPTED, "", "")


def raise_keyboard_interrupt(*_: object) -> int:
    raise KeyboardInterrupt


def test_the_module_and_the_script_are_the_command() -> None:
    script = Path(sys.executable).parent / "tokenwire"
    done = subprocess.run([script, "--version"], capture_output=True, check=True)
    assert done.stdout == spawn("--version").stdout
    assert done.stdout.startswith(b"tokenwire 0.")
    assert spawn("chat", "Hello").returncode == Exit.USAGE


@contextmanager
def closed_pipe() -> Generator[None]:
    """Makes a pipe that nobody reads of stdout."""
    reader, writer = os.pipe()
    os.close(reader)
    # Closing it complains if anything is left to be written.
    with os.fdopen(writer, "w") as out, patch.object(sys, "stdout", out):
        yield


def test_a_closed_pipe_is_no_error(capsys: pytest.CaptureFixture[str]) -> None:
    with closed_pipe():
        assert main(["chat", "--embedded", "Hello"]) == Exit.CLOSED_PIPE
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(("code", "told"), [(Exit.OK, Exit.CLOSED_PIPE), (Exit.USAGE, Exit.USAGE)])
def test_a_pipe_that_is_found_closed_at_the_end(code: Exit, told: Exit) -> None:
    def run(*_: object) -> int:
        sys.stdout.write("not written yet")
        return code

    with closed_pipe(), patch("tokenwire.cli.commands.run", run):
        assert main([]) == told


def test_head_ends_it_quietly() -> None:
    command = f"'{sys.executable}' -m tokenwire chat --embedded --json Hello | head -1"
    done = subprocess.run(
        ["bash", "-c", f"{command}; echo ${{PIPESTATUS[0]}}"],
        capture_output=True,
        text=True,
        env=CLEAN,
        timeout=30,
        check=True,
    )
    first, code = done.stdout.splitlines()
    assert first.startswith('{"event":"start"')
    # Whether the command notices depends on who is first; if it does, it is not an error.
    assert int(code) in (Exit.OK, Exit.CLOSED_PIPE)
    assert done.stderr == ""


@pytest.mark.parametrize("transport", ["sync", "asyncio", "anyio", "trio"])
def test_ctrl_c_stops_at_once(transport: str) -> None:
    with serve("darkai", fault=StallAfter(200)) as server:
        arguments = ["-p", "darkai", "-t", transport, "--base-url", server.url, "Hello"]
        with subprocess.Popen(
            [sys.executable, "-c", INTERRUPTIBLE, "chat", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=CLEAN,
        ) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            assert process.stdout.read(7) == b"darkai "
            process.send_signal(signal.SIGINT)
            rest = process.stdout.read()
            assert process.wait(10) == Exit.INTERRUPTED
            assert process.stderr.read() == b""
    assert rest.endswith(b"\n")  # what had come stays


def test_a_conversation_on_a_terminal() -> None:
    answered = "asked: **Hi**"
    with (
        serve("ylokh", faults=[None, StallAfter(900)]) as server,
        Terminal("chat", "-p", "ylokh", "--base-url", server.url) as terminal,
    ):
        terminal.read_until(lambda shown: shown.endswith("> "))
        terminal.type("**Hi**\n")
        terminal.read_until(lambda shown: shown.count("> ") == 2)
        terminal.type("one two three four five\n")
        terminal.read_until(lambda shown: "turbo was" in shown.rpartition("> ")[2])
        terminal.type("\x03")
        terminal.read_until(lambda shown: shown.count("> ") == 3)
        terminal.type("Still there?\n")
        terminal.read_until(lambda shown: shown.count("> ") == 4)
        terminal.type("\x04")
        assert terminal.end() == Exit.OK
        bodies = [request.body for request in server.requests]
    lines = screen(terminal.output)
    assert "ylokh gpt-3.5-turbo was asked: Hi" in lines
    assert "tokenwire: stopped" in lines
    assert "ylokh gpt-3.5-turbo was asked: Still there?" in lines
    assert "Traceback" not in terminal.output
    assert answered.encode() in bodies[1]
    assert bodies[2].count(b'"role":"assistant"') == 2  # the stopped answer, as far as it was seen


def test_ctrl_c_at_the_prompt_ends_it() -> None:
    with Terminal("chat", "--embedded") as terminal:
        terminal.read_until(lambda shown: shown.endswith("> "))
        assert terminal.interrupt_until_end() == Exit.INTERRUPTED
    assert "Traceback" not in terminal.output


@pytest.mark.parametrize("locale", ["C", "C.UTF-8"])
def test_what_is_typed_is_utf8_in_any_locale(locale: str) -> None:
    with Terminal("chat", "--embedded", LC_ALL=locale) as terminal:
        terminal.read_until(lambda shown: shown.endswith("> "))
        terminal.type("\u017elu\u0165\n")
        terminal.read_until(lambda shown: "asked: \u017elu\u0165" in shown)
