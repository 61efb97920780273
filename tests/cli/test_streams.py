"""The standard streams, in whatever state a command may be started with them."""

import io
import os
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

import pytest

from tests.commanding import CLEAN, COMMAND, run
from tokenwire import End, Event, Finish, Text
from tokenwire.cli import Exit
from tokenwire.cli.streams import StreamFailed, as_utf8, prepare_streams
from tokenwire.server import serve

C_LOCALE = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
ANSWER = "openai echo was asked: Hello\n"


def shell(
    redirect: str, *arguments: str, stdin: bytes = b"", **environment: str
) -> subprocess.CompletedProcess[bytes]:
    """The command in a process of its own, started by a shell with `redirect`."""
    return subprocess.run(
        ["/bin/sh", "-c", f'exec "$@" {redirect}', "sh", *COMMAND, *arguments],
        input=stdin,
        capture_output=True,
        env={**CLEAN, **environment},
        timeout=60,
        check=False,
    )


ASK = ("chat", "--embedded", "Hello")

STATES: dict[str, tuple[str, tuple[str, ...], int, str, str]] = {
    "stdout closed": (">&-", ASK, Exit.CLOSED_PIPE, "", ""),
    "stdout closed, JSON": (">&-", (*ASK, "--json"), Exit.CLOSED_PIPE, "", ""),
    "stdout closed, help": (">&-", ("--help",), Exit.CLOSED_PIPE, "", ""),
    "stdout closed, providers": (">&-", ("providers",), Exit.CLOSED_PIPE, "", ""),
    "stdout closed, and an error": (
        ">&-",
        ("chat", "Hello"),
        Exit.USAGE,
        "",
        "tokenwire: openai has no default model: give one with --model\n",
    ),
    "stderr closed": ("2>&-", ASK, Exit.OK, ANSWER, ""),
    "stderr closed, and an error": ("2>&-", ("chat", "Hello"), Exit.USAGE, "", ""),
    "stdin closed": ("<&-", ASK, Exit.OK, ANSWER, ""),
    "stdin closed, and no question": (
        "<&-",
        ("chat", "--embedded"),
        Exit.USAGE,
        "",
        "tokenwire: there is no question, neither in the arguments nor in the pipe\n",
    ),
    "stdin closed, and no file": (
        "<&-",
        ("decode",),
        Exit.USAGE,
        "",
        "tokenwire: stdin is closed: give a file\n",
    ),
    "stdin write-only": (
        "0>/dev/null",
        ("chat", "--embedded"),
        Exit.USAGE,
        "",
        "tokenwire: stdin can't be read: Bad file descriptor\n",
    ),
    "stdout read-only": (
        "1</dev/null",
        ASK,
        Exit.USAGE,
        "",
        "tokenwire: stdout can't be written: Bad file descriptor\n",
    ),
    "stderr read-only": ("2</dev/null", ("chat", "Hello"), Exit.USAGE, "", ""),
    "all closed": ("<&- >&- 2>&-", ASK, Exit.CLOSED_PIPE, "", ""),
}


@pytest.mark.parametrize("state", STATES)
def test_nothing_is_wrong_with_tokenwire(state: str) -> None:
    redirect, arguments, code, out, err = STATES[state]
    done = shell(redirect, *arguments)
    assert (done.returncode, done.stdout.decode(), done.stderr.decode()) == (code, out, err)


FULL = "tokenwire: stdout can't be written: No space left on device\n"


needs_full = pytest.mark.skipif(
    not Path("/dev/full").exists(), reason="this system has no /dev/full"
)


@needs_full
@pytest.mark.parametrize(
    "arguments",
    [
        ASK,
        (*ASK, "--json"),
        (*ASK, "-t", "trio"),
        ("models", "--embedded"),
        ("providers",),
        ("serve",),
        ("--help",),
        ("completion", "bash"),
    ],
    ids=" ".join,
)
def test_a_full_disk(arguments: tuple[str, ...]) -> None:
    done = shell(">/dev/full", *arguments)
    assert (done.returncode, done.stderr.decode()) == (Exit.USAGE, FULL)


@needs_full
def test_an_error_on_a_full_disk() -> None:
    done = shell("2>/dev/full", "chat", "Hello")
    assert (done.returncode, done.stderr) == (Exit.USAGE, b"")
    assert shell(">/dev/full 2>/dev/full", *ASK).returncode == Exit.USAGE


def test_utf8_whatever_the_locale() -> None:
    text = "\u65e5\u672c \u2705"
    answer: list[Event] = [Text(text), Finish("stop", "stop"), End("terminator")]
    with serve("openai", lambda _: answer) as server:
        arguments = ("chat", "-m", "m", "-s", text, "--base-url", server.url, text, "-")
        done = shell("", *arguments, stdin=text.encode(), **C_LOCALE)
    assert (done.returncode, done.stdout.decode(), done.stderr) == (Exit.OK, f"{text}\n", b"")
    body = server.requests[0].body.decode()
    assert f'"content":"{text}"' in body
    assert f'"content":"{text} {text}"' in body


def test_arguments_that_are_not_utf8() -> None:
    assert as_utf8("h\u20ac") == "h\u20ac"
    assert as_utf8("h\udcff") == "h?"


@contextmanager
def standard(name: str, number: int, mode: str) -> Generator[None]:
    """Makes the open file `number` one of the standard streams, and prepares all three."""
    with (
        patch.object(sys, "stdin", io.StringIO()),
        patch.object(sys, "stdout", io.StringIO()),
        patch.object(sys, "stderr", io.StringIO()),
        os.fdopen(number, mode) as file,
        patch.object(sys, name, file),
    ):
        assert prepare_streams() is False
        yield


def test_stdout_that_is_non_blocking() -> None:
    """As some programs leave the terminal or the pipe that they share with others."""
    source, sink = os.pipe()
    os.set_blocking(sink, False)
    received = bytearray()

    def wait(*_: object) -> None:
        received.extend(os.read(source, 1 << 20))

    with standard("stdout", sink, "w"), patch("tokenwire.cli.streams.select", wait):
        sys.stdout.write("\u20ac" * 100_000)  # more than a pipe holds
        sys.stdout.flush()
    wait()
    os.close(source)
    assert received.decode() == "\u20ac" * 100_000


def test_stdin_that_is_non_blocking() -> None:
    source, sink = os.pipe()
    os.set_blocking(source, False)
    pieces = [b"h\xe2", b"\x82\xac", b""]

    def wait(*_: object) -> None:
        if piece := pieces.pop(0):
            os.write(sink, piece)
        else:
            os.close(sink)

    with standard("stdin", source, "r"), patch("tokenwire.cli.streams.select", wait):
        assert sys.stdin.read() == "h\u20ac"


GONE = OSError(5, "it is gone")


def test_stdin_that_fails() -> None:
    with (
        standard("stdin", os.open(os.devnull, os.O_RDONLY), "r"),
        patch("tokenwire.cli.streams.os.read", side_effect=GONE),
        pytest.raises(StreamFailed, match=r"^stdin can't be read: it is gone$"),
    ):
        sys.stdin.read()


@pytest.mark.parametrize("error", [GONE, BrokenPipeError()])
def test_stdout_that_fails(error: OSError) -> None:
    kind = BrokenPipeError if isinstance(error, BrokenPipeError) else StreamFailed
    with standard("stdout", os.open(os.devnull, os.O_WRONLY), "w"):
        print("x")
        with patch("tokenwire.cli.streams.os.write", side_effect=error), pytest.raises(kind):
            sys.stdout.flush()
        sys.stdout.flush()


def test_stderr_without_a_reader_is_no_error() -> None:
    source, sink = os.pipe()
    os.close(source)
    with standard("stderr", sink, "w"):
        print("x", file=sys.stderr)


@pytest.mark.parametrize("name", ["stdin", "stdout", "stderr"])
def test_a_closed_stream(name: str) -> None:
    opened: list[int] = []
    real = os.open

    def open_(path: str, flags: int) -> int:
        opened.append(real(path, flags))
        return opened[-1]

    with (
        patch.object(sys, "stdin", io.StringIO()),
        patch.object(sys, "stdout", io.StringIO()),
        patch.object(sys, "stderr", io.StringIO()),
        patch.object(sys, name, None),
        patch("tokenwire.cli.streams.os.open", open_),
    ):
        assert prepare_streams() is (name == "stdout")
        assert len(opened) == 1  # no socket gets its number
        assert (getattr(sys, name) is None) == (name == "stdin")
        print("x", flush=True)
        print("x", file=sys.stderr)
    os.close(opened[0])


def test_a_byte_order_mark_is_no_part_of_the_question() -> None:
    outcome = run("chat", "--embedded", "Explain", "-", stdin=b"\xef\xbb\xbfthis\n")
    assert outcome.out == "openai echo was asked: Explain this\n"
