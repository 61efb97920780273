"""The standard streams and the arguments of the command: UTF-8 whatever the locale, as answers are.

Whoever starts a command decides what its streams are: closed, full, read-only, non-blocking.
"""

import io
import os
import sys
from select import select
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer

__all__ = ["StreamFailed", "as_utf8", "prepare_streams"]


class StreamFailed(Exception):
    """stdin can't be read, or stdout can't be written: the disk is full, for example."""


def prepare_streams() -> bool:
    """Prepare the streams, once, at the start. Returns whether stdout is closed: then what is
    written goes nowhere. A stream that a program has replaced by one of its own stays."""
    closed = sys.stdout is None  # pyright: ignore[reportUnnecessaryComparison]
    for name in ("stdin", "stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            # It takes the number of the stream, which else the first socket would have.
            number = os.open(os.devnull, os.O_RDWR)
            if name != "stdin":
                setattr(sys, name, _text(name, number))
        elif isinstance(stream, io.TextIOWrapper):
            buffer = cast(Any, stream).buffer
            raw = getattr(buffer, "raw", buffer)
            if isinstance(raw, io.FileIO):  # else it is a console of Windows, or in memory
                setattr(sys, name, _text(name, raw.fileno()))
            else:
                stream.reconfigure(encoding="utf-8", errors="replace")
    return closed


def as_utf8(argument: str) -> str:
    """`argument`, which Python has decoded as the locale says, decoded as UTF-8. What is not UTF-8
    stays, without the bytes that the locale does not know either."""
    try:
        return os.fsencode(argument).decode()
    except UnicodeError:
        return argument.encode(errors="replace").decode()


def _text(name: str, number: int) -> io.TextIOWrapper:
    raw = _Stream(name, number)
    buffer = io.BufferedReader(raw) if name == "stdin" else io.BufferedWriter(raw)
    by_line = name == "stderr" or raw.isatty()
    return io.TextIOWrapper(buffer, "utf-8", "replace", line_buffering=by_line)


class _Stream(io.RawIOBase):
    """The standard stream `name`, which is the open file `number`.

    It waits even if it is non-blocking, as another program that shares the file may have made it.
    Raises StreamFailed; BrokenPipeError if the reader of stdout has left. If stderr can't be
    written, there is nobody to tell.
    """

    def __init__(self, name: str, number: int) -> None:
        self._name = name
        self._number = number

    def fileno(self) -> int:
        return self._number

    def isatty(self) -> bool:
        return os.isatty(self._number)

    def readable(self) -> bool:
        return self._name == "stdin"

    def writable(self) -> bool:
        return self._name != "stdin"

    def readinto(self, buffer: "WriteableBuffer", /) -> int:
        place = memoryview(buffer)
        while True:
            try:
                data = os.read(self._number, len(place))
            except BlockingIOError:
                select([self], [], [])
            except OSError as error:
                raise StreamFailed(f"stdin can't be read: {error.strerror}") from error
            else:
                place[: len(data)] = data
                return len(data)

    def write(self, data: "ReadableBuffer", /) -> int:
        while True:
            try:
                return os.write(self._number, data)
            except BlockingIOError:
                select([], [self], [])
            except OSError as error:
                if self._name == "stderr":
                    return memoryview(data).nbytes
                if isinstance(error, BrokenPipeError):
                    raise
                raise StreamFailed(f"stdout can't be written: {error.strerror}") from error
