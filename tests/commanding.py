"""The command, run in this process, in one of its own, or on a terminal of its own."""

import io
import os
import pty
import select
import struct
import subprocess
import sys
import termios
from collections.abc import Callable, Iterable, Mapping
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from fcntl import ioctl
from time import monotonic
from unittest.mock import patch

import pyte
import pyte.modes

from tokenwire import (
    Citation,
    End,
    Event,
    Finish,
    Text,
    ToolCallDelta,
    ToolCallStart,
    Unrecognized,
)
from tokenwire.cli import main
from tokenwire.cli.show import Show
from tokenwire.server import serve

COMMAND = [sys.executable, "-m", "tokenwire"]
CLEAN = {
    name: value
    for name, value in os.environ.items()
    if not name.lower().endswith(("_proxy", "_ca_bundle"))
    and name not in ("TOKENWIRE_KEY", "NO_COLOR", "FORCE_COLOR", "COLUMNS")
}
WIDTH, HEIGHT = 60, 24

# Ctrl-C is ignored by what a script started in the background, and by all that this starts.
INTERRUPTIBLE = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from tokenwire.cli import main
sys.exit(main())
"""
ON_TERMINAL = (
    """
import fcntl, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)  # from now on its Ctrl-C is for this process
"""
    + INTERRUPTIBLE
)

# Answers, for servers and for what shows them.
DONE: list[Event] = [Finish("stop", "stop"), End("terminator")]
CALL: list[Event] = [
    ToolCallStart(0, "c", "weather"),
    ToolCallDelta(0, '{"city":'),
    ToolCallDelta(0, '"Rome"}'),
]
ASIDE: list[Event] = [Citation("http://a/", "A"), Unrecognized(b"\x1bx"), *CALL]


@dataclass
class Outcome:
    """What came of a run."""

    code: int
    out: str
    err: str


class Stream(io.TextIOWrapper):
    """A standard stream in memory, which may say that it is a terminal."""

    def __init__(self, content: bytes = b"", *, terminal: bool = False) -> None:
        self.bytes = io.BytesIO(content)
        super().__init__(self.bytes, encoding="utf-8", write_through=True)
        self._terminal = terminal

    def isatty(self) -> bool:
        return self._terminal


def run(
    *arguments: str,
    stdin: bytes | None = b"",
    typed: bytes | None = None,
    terminal: bool = False,
    width: int = WIDTH,
    environment: Mapping[str, str] = {},
) -> Outcome:
    """The command in this process. `stdin` comes through a pipe (None: stdin is closed), `typed`
    from a terminal; with `terminal`, stdout is one."""
    out, err = Stream(terminal=terminal), Stream()
    source = None if stdin is None else Stream(stdin)
    if typed is not None:
        source = Stream(typed, terminal=True)
    size = {"COLUMNS": str(width), "LINES": str(HEIGHT), "TERM": "xterm"}
    with (
        patch.dict(os.environ, {**CLEAN, **size, **environment}, clear=True),
        patch.object(sys, "stdin", source),
        redirect_stdout(out),
        redirect_stderr(err),
    ):
        code = main(arguments)
    return Outcome(code, out.bytes.getvalue().decode(), err.bytes.getvalue().decode())


def spawn(
    *arguments: str, stdin: bytes = b"", environment: Mapping[str, str] = {}
) -> subprocess.CompletedProcess[bytes]:
    """The command in a process of its own."""
    return subprocess.run(
        [*COMMAND, *arguments],
        input=stdin,
        capture_output=True,
        env={**CLEAN, **environment},
        timeout=30,
        check=False,
    )


def shown(
    events: Iterable[Event],
    *options: str,
    terminal: bool = False,
    width: int = 60,
    **environment: str,
) -> Outcome:
    """What the command shows of an answer of `events`."""
    with serve("openai", lambda _: events) as server:
        return run(
            "chat",
            "-m",
            "m",
            "--base-url",
            server.url,
            *options,
            "Hello",
            terminal=terminal,
            width=width,
            environment=environment,
        )


def pieces(text: str, size: int) -> list[Event]:
    return [*(Text(text[at : at + size]) for at in range(0, len(text), size)), *DONE]


def each(show: Show, events: Iterable[Event]) -> None:
    with show:
        for event in events:
            show.event(event)


def screen(output: str, width: int = WIDTH) -> list[str]:
    """The lines that a terminal shows of `output`, down to the last one with text."""
    display = pyte.Screen(width, 2000)
    display.set_mode(pyte.modes.LNM)
    pyte.Stream(display).feed(output)
    lines = [line.rstrip() for line in display.display]
    while lines and not lines[-1]:
        lines.pop()
    return lines


class Terminal:
    """The command on a terminal of its own, which somebody types at."""

    def __init__(self, *arguments: str, **environment: str) -> None:
        self._own, other = pty.openpty()
        ioctl(other, termios.TIOCSWINSZ, struct.pack("HHHH", HEIGHT, WIDTH, 0, 0))
        self._process = subprocess.Popen(
            [sys.executable, "-c", ON_TERMINAL, *arguments],
            stdin=other,
            stdout=other,
            stderr=other,
            env={**CLEAN, "TERM": "xterm", **environment},
            start_new_session=True,
        )
        os.close(other)
        self.output = ""

    def __enter__(self) -> "Terminal":
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._own)

    def read_until(self, condition: Callable[[str], bool]) -> None:
        """Read what is shown, until `condition` holds of it."""
        deadline = monotonic() + 30
        while not condition(self.output):
            ready, _, _ = select.select([self._own], [], [], deadline - monotonic())
            assert ready, self.output[-2000:]
            self.output += os.read(self._own, 65536).decode(errors="replace")

    def type(self, keys: str) -> None:
        """Type `keys`."""
        os.write(self._own, keys.encode())

    def interrupt_until_end(self) -> int:
        """Press Ctrl-C until it ends, and give the exit code. Python's input() misses one that
        comes between its prompt and its wait for keys; people press it again, too."""
        self.type("\x03")
        while not self._read(patience=0.5):
            self.type("\x03")
        return self._process.wait(30)

    def end(self) -> int:
        """The exit code, once the rest was read."""
        assert self._read(patience=30), self.output[-2000:]
        return self._process.wait(30)

    def _read(self, patience: float) -> bool:
        """Whether all was read, up to the end; False: nothing came for `patience` seconds."""
        while select.select([self._own], [], [], patience)[0]:
            try:
                data = os.read(self._own, 65536)
            except OSError:  # how Linux says that the other side is closed
                data = b""
            if not data:
                return True
            self.output += data.decode(errors="replace")
        return False
