"""Files of a journal: torn ends, locks, parts, full disks."""

import errno
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from tokenwire import LocalProtocolError
from tokenwire.batch import files
from tokenwire.batch.files import (
    Appender,
    Lock,
    Tail,
    is_locked,
    lines_of,
    open_file,
    open_part,
    parts_of,
)


def write(path: Path, *lines: bytes) -> None:
    file = open_file(path)
    for line in lines:
        file.append(line + b"\n")
    file.close()


def test_lines_are_there_at_once_and_after_it_was_opened_again(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    file = open_file(path)
    file.append(b"1\n")
    assert path.read_bytes() == b"1\n"
    file.sync()
    file.sync()
    file.close()
    file.close()
    write(path, b"2")
    assert list(lines_of(path)) == [b"1", b"2"]
    assert os.listdir(tmp_path) == ["a.jsonl"]


def test_a_torn_end_is_cut_off_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.jsonl"
    for piece in (1 << 20, 3):  # of the file that is read at once
        monkeypatch.setattr(files, "_PIECE", piece)
        for whole, torn in ((b"1\n2\n", b"345678"), (b"", b"xy")):
            path.write_bytes(whole + torn)
            write(path, b"9")
            assert path.read_bytes() == whole + b"9\n"
            kept = tmp_path / "a.jsonl.torn"
            assert kept.read_bytes() == torn + b"\n"
            kept.unlink()


def test_a_line_that_is_being_written_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "part-a.jsonl"
    path.write_bytes(b"1\n2")
    assert list(lines_of(path)) == [b"1"]
    found: list[tuple[bytes, int]] = []
    tail = Tail(path)
    tail.read(lambda line, begin: found.append((line, begin)))
    path.write_bytes(b"1\n2\n3\n")
    tail.read(lambda line, begin: found.append((line, begin)))
    assert found == [(b"1", 0), (b"2", 2), (b"3", 4)]
    path.unlink()
    tail.read(lambda line, begin: found.append((line, begin)))
    assert len(found) == 3


def test_two_runs_can_t_have_one_file(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    assert not is_locked(path)
    first = open_file(path)
    assert is_locked(path)
    with pytest.raises(
        LocalProtocolError, match=rf"a.jsonl is being written by process {os.getpid()}"
    ):
        open_file(path)
    first.close()
    assert not is_locked(path)
    (tmp_path / "a.jsonl.lock").write_text("process 1, which is dead")
    assert not is_locked(path)
    open_file(path).close()


def test_a_lock_that_its_owner_removes_meanwhile_is_taken_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.lock"
    taken: list[int] = []

    def replace() -> None:
        path.rename(tmp_path / "b")
        path.touch()

    for interfere in (path.unlink, replace):

        def lock(file: int, do: Callable[[], object] = interfere) -> bool:
            taken.append(file)
            if len(taken) % 2:
                do()
            return True

        monkeypatch.setattr(files, "_try_lock", lock)
        Lock(path).release()
    assert len(taken) == 4


def test_on_windows_a_byte_far_behind_is_locked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    locked: list[tuple[int, int]] = []

    class Windows(ModuleType):
        LK_NBLCK = 2

        def locking(self, file: int, mode: int, size: int) -> None:
            assert (mode, size) == (2, 1)
            if locked:
                raise OSError("locked")
            locked.append((file, os.lseek(file, 0, os.SEEK_CUR)))

    monkeypatch.setattr(files, "_WINDOWS", True)
    monkeypatch.setitem(sys.modules, "msvcrt", Windows("msvcrt"))
    lock = Lock(tmp_path / "a.lock")
    assert locked[0][1] == 1 << 20
    with pytest.raises(LocalProtocolError, match="is being written by"):
        Lock(tmp_path / "a.lock")
    lock.release()
    assert (tmp_path / "a.lock").exists()


def test_a_part_has_a_name_of_its_own_and_goes_if_it_is_empty(tmp_path: Path) -> None:
    folder = tmp_path / "x" / "journal"
    first, second = open_part(folder), open_part(folder)
    first.append(b"1\n")
    assert len(parts_of(folder)) == 2
    first.close()
    second.close()
    assert parts_of(folder) == [first.path]
    assert parts_of(tmp_path / "none") == []
    assert parts_of(first.path) == [first.path]


def test_a_full_disk_ends_the_writing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.jsonl"
    write_really, wrote = os.write, list[bytes]()

    def write_little(file: int, data: bytes) -> int:
        wrote.append(data)
        if len(wrote) == 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write_really(file, data[:2])

    file = open_file(path)
    monkeypatch.setattr(os, "write", write_little)
    with pytest.raises(LocalProtocolError, match="can't be written: No space left"):
        file.append(b"12345\n")
    with pytest.raises(LocalProtocolError, match="part of a line could not be written"):
        file.append(b"6\n")
    monkeypatch.undo()
    file.close()
    write(path, b"7")
    assert path.read_bytes() == b"7\n"


def test_a_device_is_no_journal() -> None:
    """To read it again may never end."""
    with pytest.raises(LocalProtocolError, match="/dev/zero is not a file that can be read again"):
        open_file(Path("/dev/zero"))
    assert not Path("/dev/zero.lock").exists()


def test_what_can_t_be_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"x")
    for use in (
        lambda: open_file(file / "a"),
        lambda: open_part(file / "a"),
        lambda: Appender(tmp_path),
        lambda: list(lines_of(tmp_path)),
    ):
        with pytest.raises(LocalProtocolError, match="can't be"):
            use()

    def no_seek(*_: object) -> int:
        raise OSError("no")

    monkeypatch.setattr(files, "_last_end", no_seek)
    with pytest.raises(LocalProtocolError, match="file can't be written: no"):
        open_file(file)
    assert not is_locked(file)
