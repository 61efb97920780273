"""Where recordings are kept."""

from pathlib import Path

import msgspec
import pytest

from tests.replay.taping import recording
from tokenwire.replay.cassette import Noted, Recording, Sent, load
from tokenwire.replay.files import Shelf
from tokenwire.replay.redaction import SecretFound


def test_a_file_for_each(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path / "new", now=lambda: 1_764_408_600.0, private=True, title="t")
    one = Recording(Sent("POST", "https://api.openai.com/v1/chat/completions?x=1"))
    path = shelf.keep(one)
    assert path.name == "20251129T093000Z-0001-api.openai.com-v1-chat-completions.jsonl"
    assert path.stat().st_mode & 0o777 == 0o600
    assert load(path).title == "t"
    again = Shelf(tmp_path / "new", now=lambda: 1_764_408_600.0)
    assert "-0002-" in again.keep(one, one).name  # no file is overwritten
    assert shelf.keep(Recording(Sent("GET", "/../x"))).parent == tmp_path / "new"


def test_one_file_for_all(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path / "x.jsonl", provider="openai", by="us")
    noted = msgspec.structs.replace(recording(), outcome=Noted("complete"))
    assert shelf.keep(noted) == shelf.keep(noted) == tmp_path / "x.jsonl"
    found = load(tmp_path / "x.jsonl")
    assert (len(found.recordings), found.provider, found.by) == (2, "openai", "us")
    key = "AKIA" + "IOSFODNN7EXAMPLE"
    with pytest.raises(SecretFound):
        shelf.keep(Recording(Sent("POST", f"http://a/{key}")))
    shelf.keep(noted)
    assert len(load(tmp_path / "x.jsonl").recordings) == 3
