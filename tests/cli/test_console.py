"""What rich is told of the terminal."""

import pytest

from tests.commanding import Terminal
from tokenwire.cli import Exit
from tokenwire.cli.console import open_console


def test_a_size_is_taken_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "31")
    monkeypatch.setenv("LINES", "7")
    console = open_console(stderr=True)
    assert console.stderr
    assert tuple(console.size) == (31, 7)


@pytest.mark.parametrize("size", ["0", "00", ""])
def test_no_size_is_none(size: str) -> None:
    with Terminal("chat", "--embedded", "Hello", COLUMNS=size, LINES=size) as terminal:
        assert terminal.end() == Exit.OK
    assert "openai echo was asked: Hello" in terminal.output
