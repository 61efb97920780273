"""The command `tokenwire`: how it starts and ends. `commands` has what it does.

An error is printed on stderr as one line, and its kind is the exit code. This module works without
the extras, so that it can say which one is missing.
"""

import os
import sys
from collections.abc import Sequence
from enum import IntEnum

from ..protocols.errors import (
    LocalProtocolError,
    Refused,
    RemoteProtocolError,
    TimedOut,
    TokenwireError,
    Truncated,
)
from ..protocols.provider import Provider
from .advice import in_command_words
from .streams import StreamFailed, prepare_streams

__all__ = [
    "BIDI",
    "EXIT_CODES",
    "Exit",
    "ServerFailed",
    "Settings",
    "complain",
    "main",
    "one_line",
    "visible",
]


class Exit(IntEnum):
    """The exit codes."""

    OK = 0
    BUG = 1
    USAGE = 2
    REFUSED = 3
    BROKEN = 4
    TRUNCATED = 5
    NETWORK = 6
    TIMED_OUT = 7
    INCOMPLETE = 8
    STOPPED = 9
    INTERRUPTED = 130  # 128 + SIGINT, as in shells
    CLOSED_PIPE = 141  # 128 + SIGPIPE: not a failure, but the answer may not be complete


EXIT_CODES = {
    Exit.OK: "the answer is complete",
    Exit.BUG: "a bug in tokenwire, or in a provider of your own",
    Exit.USAGE: "wrong usage, or a file that can't be read or written",
    Exit.REFUSED: "the service refused: key, quota, filter, redirect, ...",
    Exit.BROKEN: "the service sent an invalid response: malformed, unexpected, too large",
    Exit.TRUNCATED: "the answer was truncated; what arrived is on stdout",
    Exit.NETWORK: "no connection, or it was lost before the answer began",
    Exit.TIMED_OUT: "timed out",
    Exit.INCOMPLETE: "the batch is over, and some of its rows are not complete",
    Exit.STOPPED: "the batch was stopped by its budget or its failures, and can go on",
    Exit.INTERRUPTED: "stopped by Ctrl-C",
    Exit.CLOSED_PIPE: "stdout was closed, for example by head",
}
"""What each code means, for the help."""


class Settings:
    """Settings of the whole command.

    `traceback`: whether to print tracebacks of errors. `provider`: the one that was given, for
    advice. `own_provider`: its `module:NAME`, if it is one of the user's own, which may have a bug.
    """

    traceback = False
    provider: Provider | None = None
    own_provider = ""


class ServerFailed(Exception):
    """The embedded server raised `error`, in an answer function or in a provider's responder.

    The notes say where.
    """

    def __init__(self, provider: str, error: Exception) -> None:
        super().__init__(f"the embedded server of {provider} raised {error!r}")
        self.__cause__ = error
        for line in where(error):
            self.add_note(line)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command with `arguments` (None: those of the process). Returns the exit code."""
    settings = Settings()
    closed = prepare_streams()
    code: int = Exit.OK
    try:
        code = _run(sys.argv[1:] if arguments is None else arguments, settings)
        sys.stdout.flush()
    except KeyboardInterrupt:
        code = Exit.INTERRUPTED
    except BrokenPipeError:
        code = code or Exit.CLOSED_PIPE
    except Exception as error:  # noqa: BLE001  the last line of defence
        complain(error, settings)
        code = exit_code(error)
    _drop_output()
    return code or (Exit.CLOSED_PIPE if closed else Exit.OK)


def exit_code(error: Exception) -> Exit:
    """The exit code for `error`."""
    match error:
        case LocalProtocolError() | StreamFailed():
            return Exit.USAGE
        case Refused():
            return Exit.REFUSED
        case Truncated():
            return Exit.TRUNCATED
        case RemoteProtocolError():
            return Exit.BROKEN
        case TimedOut():
            return Exit.TIMED_OUT
        case TokenwireError():
            return Exit.NETWORK
        case _:
            return Exit.BUG


def complain(error: Exception, settings: Settings) -> None:
    """Print `error` on stderr: its traceback if that is wanted, one line, then its notes."""
    if settings.traceback:
        import traceback

        for line in "".join(traceback.format_exception(error)).splitlines():
            print(_inactive(line), file=sys.stderr)
    notes = getattr(error, "__notes__", ())
    if isinstance(error, RemoteProtocolError) and notes:
        text = error.message  # the notes have the bytes
    elif isinstance(error, TokenwireError):
        text = in_command_words(error, settings.provider)
    elif isinstance(error, ServerFailed | StreamFailed):
        text = str(error)
    elif settings.own_provider:
        text = f"a bug in {settings.own_provider} or in tokenwire: {error!r}"
        notes = [*notes, *where(error)]
    else:
        text = f"a bug in tokenwire: {error!r} (--traceback shows where; please report it)"
    print(f"tokenwire: {one_line(text)}", file=sys.stderr)
    for note in notes:
        print(f"  {visible(note)}", file=sys.stderr)


def where(error: Exception) -> list[str]:
    """A short traceback of `error`: the last calls, as lines."""
    import traceback

    lines: list[str] = []
    for call in traceback.extract_tb(error.__traceback__, limit=-3):
        lines.append(f'File "{call.filename}", line {call.lineno}, in {call.name}')
        lines.append(f"  {call.line}")
    return lines


def one_line(text: str) -> str:
    """`text`, which may come from a server, as one line that is safe on a terminal."""
    return _inactive(" ".join(text.split()))


def _inactive(text: str) -> str:
    """`text` with nothing that could act on a terminal."""
    return visible(text).translate(dict.fromkeys(map(ord, BIDI), "\ufffd"))


def visible(text: str) -> str:
    """`text` with its control characters made visible: on a terminal they could do anything."""
    return text.replace("\r\n", "\n").translate(_VISIBLE)


BIDI = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
"""Unicode's controls of the direction of writing. Texts in some languages need them; elsewhere they
make a command or an address look like another one."""

# Unicode has symbols for C0 and DEL, but none for C1, which terminals may read as ESC sequences.
_VISIBLE = {
    **{code: chr(0x2400 + code) for code in range(0x20) if chr(code) not in "\t\n"},
    0x7F: "\u2421",
    **dict.fromkeys(range(0x80, 0xA0), "\ufffd"),
}


def _run(arguments: Sequence[str], settings: Settings) -> int:
    try:
        from .commands import run

        return run(arguments, settings)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("click", "rich"):
            raise
        message = "the command needs an extra: pip install 'tokenwire[cli]'"
        raise LocalProtocolError(message) from error


def _drop_output() -> None:
    """Drop what can't be written to stdout, because Python flushes it again at exit and would print
    another error."""
    try:
        sys.stdout.flush()
    except (BrokenPipeError, StreamFailed):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
