"""The files of a journal: one that a single run writes, or a folder with a part for each writer.

A line is appended by one unbuffered write, so that a crash of the process loses nothing; `sync`,
called once a second, makes it safe from a crash of the machine. A file that does not end in LF has
lost its last line: that is cut off, and kept beside it. No other process writes to a file: a lock
keeps one away, and parts have names of their own (appending is not to be trusted on NFS).
"""

import os
import socket
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

from ..protocols.errors import LocalProtocolError

__all__ = [
    "Appender",
    "Lock",
    "Tail",
    "is_locked",
    "lines_of",
    "open_file",
    "open_part",
    "parts_of",
]

_WINDOWS = sys.platform == "win32"
_PIECE = 1 << 20


def parts_of(path: Path) -> list[Path]:
    """The files of the journal `path`: itself, or the parts in that folder, by name."""
    if path.is_dir():
        return sorted(path.glob("part-*.jsonl"))
    return [path] if path.exists() else []


def lines_of(path: Path) -> Iterator[bytes]:
    """The lines of a file, without their ends; not one that has no end yet. Raises
    LocalProtocolError."""
    try:
        with path.open("rb") as file:
            for line in file:
                if line.endswith(b"\n"):
                    yield line[:-1]
    except OSError as error:
        raise _failed(path, "read", error) from None


class Tail:
    """Reads what other writers add to a file, from where it read last."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0

    def read(self, take: Callable[[bytes, int], object]) -> None:
        """Give each new line to `take`, with the place where it begins. A file that has gone has
        none."""
        try:
            file = self._path.open("rb")
        except OSError:
            return
        with file:
            file.seek(self._offset)
            for line in file:
                if not line.endswith(b"\n"):
                    return
                begin = self._offset
                self._offset += len(line)
                take(line[:-1], begin)


class Appender:
    """Appends lines to a file. `fleeting`: one that stays empty is removed in the end."""

    def __init__(self, path: Path, lock: "Lock | None" = None, *, fleeting: bool = False) -> None:
        self.path = path
        self._lock = lock
        self._dirty = False
        self._fleeting = fleeting
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0)
            self._file = os.open(path, flags, 0o666)
        except OSError as error:
            raise _failed(path, "written", error) from None

    def append(self, line: bytes) -> None:
        """Append a line. Raises LocalProtocolError if that is not possible: then nothing of it is
        there, or the next run cuts it off; this one can append no more."""
        if self._file < 0:
            raise LocalProtocolError(f"{self.path} is closed: part of a line could not be written")
        try:
            written = os.write(self._file, line)
            while written < len(line):  # the disk is nearly full, or a signal came
                written += os.write(self._file, line[written:])
        except OSError as error:
            self.close()
            raise _failed(self.path, "written", error) from None
        self._dirty = True
        self._fleeting = False

    def sync(self) -> None:
        """Have the system write to the disk what was appended."""
        if self._dirty:
            self._dirty = False
            os.fsync(self._file)

    def close(self) -> None:
        """Sync, and close the file."""
        if self._file >= 0:
            self.sync()
            os.close(self._file)
            self._file = -1
            if self._fleeting:
                self.path.unlink(missing_ok=True)
            if self._lock is not None:
                self._lock.release()


def open_file(path: Path) -> Appender:
    """The journal `path`, for this run alone. A last line without an end is moved to
    `PATH.torn`. Raises LocalProtocolError, also if another run has it."""
    if path.exists() and not path.is_file():
        raise LocalProtocolError(f"{path} is not a file that can be read again: give another one")
    lock = Lock(path.with_name(path.name + ".lock"))
    try:
        _mend(path)
        return Appender(path, lock)
    except BaseException:
        lock.release()
        raise


def open_part(folder: Path) -> Appender:
    """A part of the journal in `folder`, for this writer alone."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _failed(folder, "written", error) from None
    host = "".join(c if c.isalnum() or c == "-" else "-" for c in socket.gethostname())
    name = f"part-{host}-{os.getpid()}-{os.urandom(4).hex()}.jsonl"
    return Appender(folder / name, fleeting=True)


def _mend(path: Path) -> None:
    try:
        size = path.stat().st_size
    except OSError:
        return
    try:
        with path.open("r+b") as file:
            end = _last_end(file, size)
            if end == size:
                return
            file.seek(end)
            torn = file.read()
            with path.with_name(path.name + ".torn").open("ab") as kept:
                kept.write(torn + b"\n")
            file.truncate(end)
    except OSError as error:
        raise _failed(path, "written", error) from None


def _last_end(file: Any, size: int) -> int:
    """The place after the last LF."""
    place = size
    while place:
        start = max(0, place - _PIECE)
        file.seek(start)
        found = file.read(place - start).rfind(b"\n")
        if found >= 0:
            return int(start + found + 1)
        place = start
    return 0


class Lock:
    """A lock that the death of its process releases: a file beside the journal, which names who has
    it. Raises LocalProtocolError if another process does."""

    def __init__(self, path: Path) -> None:
        self._path = path
        while True:
            try:
                self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
            except OSError as error:
                raise _failed(path, "written", error) from None
            if not _try_lock(self._file):
                who = os.read(self._file, 200).decode(errors="replace").strip() or "another process"
                os.close(self._file)
                raise LocalProtocolError(f"{path.with_suffix('')} is being written by {who}")
            if self._is_current():
                break
            os.close(self._file)  # its owner has just removed it
        os.truncate(self._file, 0)
        os.write(self._file, f"process {os.getpid()} on {socket.gethostname()}\n".encode())

    def release(self) -> None:
        """Remove the lock."""
        if not _WINDOWS:  # which can't remove what is open
            self._path.unlink(missing_ok=True)
        os.close(self._file)

    def _is_current(self) -> bool:
        try:
            there = os.stat(self._path)
        except OSError:
            return False
        mine = os.fstat(self._file)
        return (there.st_dev, there.st_ino) == (mine.st_dev, mine.st_ino)


def is_locked(path: Path) -> bool:
    """Whether a run has the journal `path`."""
    try:
        file = os.open(path.with_name(path.name + ".lock"), os.O_RDWR)
    except OSError:
        return False
    try:
        return not _try_lock(file)
    finally:
        os.close(file)


def _try_lock(file: int) -> bool:
    # By import_module, as type checkers know only the module of their own system.
    try:
        if _WINDOWS:
            msvcrt = import_module("msvcrt")
            os.lseek(
                file, 1 << 20, os.SEEK_SET
            )  # a byte that nobody reads, as locks keep readers out
            msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
            os.lseek(file, 0, os.SEEK_SET)
        else:
            fcntl = import_module("fcntl")
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _failed(path: Path, what: str, error: OSError) -> LocalProtocolError:
    return LocalProtocolError(f"{path} can't be {what}: {error.strerror or error}")
