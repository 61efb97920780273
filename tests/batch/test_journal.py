"""The journal of a run: a file or a folder, and what is there already."""

from pathlib import Path

import pytest

from tests.batch.making import WRITER, line, outcome, question
from tokenwire import LocalProtocolError
from tokenwire.batch.files import is_locked, parts_of
from tokenwire.batch.journal import is_folder, open_journal
from tokenwire.batch.past import Verdict

ROW = question(1, "q1")


def test_a_file_is_read_and_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    journal = open_journal(str(path), WRITER)
    assert (journal.name, len(journal.past)) == ("a.jsonl", 0)
    journal.add(outcome(ROW))
    journal.sync(5.0)
    journal.sync(5.5)
    journal.flush()
    journal.close()
    again = open_journal(str(path), WRITER)
    assert again.past.verdict(ROW) is Verdict.DONE
    again.close()


def test_a_folder_has_all_parts_and_one_of_one_s_own(tmp_path: Path) -> None:
    folder = tmp_path / "answers"
    assert is_folder(f"{folder}/")
    assert not is_folder(str(folder))
    first = open_journal(f"{folder}/", WRITER)
    first.add(outcome(ROW))
    second = open_journal(str(folder), WRITER)
    assert second.past.verdict(ROW) is Verdict.DONE
    second.add_line(line(question(2, "q2")) + b"\n")
    first.close()
    second.close()
    assert len(parts_of(folder)) == 2


def test_a_broken_line_is_an_error_unless_it_is_to_be_skipped(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(line(ROW) + b"\n{\n\n" + line(question(2, "q2")) + b"\n")
    with pytest.raises(LocalProtocolError, match="line 2 is broken"):
        open_journal(str(path), WRITER)
    assert not is_locked(path)
    journal = open_journal(str(path), WRITER, skip_broken=True)
    assert len(journal.past) == 2
    journal.close()


def test_a_line_that_was_cut_is_asked_again(tmp_path: Path) -> None:
    """Killed while a line was written, after any of its bytes."""
    path, torn = tmp_path / "a.jsonl", tmp_path / "a.jsonl.torn"
    whole = line(ROW) + b"\n" + line(question(2, "q2")) + b"\n"
    for cut in range(1, 300, 5):
        path.write_bytes(whole[:-cut])
        journal = open_journal(str(path), WRITER)
        assert journal.past.verdict(ROW) is Verdict.DONE
        assert journal.past.verdict(question(2, "q2")) is Verdict.NEW
        journal.close()
        assert path.read_bytes() + torn.read_bytes()[:-1] == whole[:-cut]
        torn.unlink()
