"""`tokenwire providers`."""

import msgspec
import pytest

from tests.commanding import run, screen
from tokenwire import PROVIDERS
from tokenwire.cli import Exit


def test_in_a_pipe_it_is_lines_with_tabs() -> None:
    head, *rows = (line.split("\t") for line in run("providers").out.splitlines())
    assert head[:3] == ["provider", "dialect", "service"]
    assert [row[0] for row in rows] == list(PROVIDERS)
    assert {len(row) for row in rows} == {len(head)}
    assert "openai" in rows[1]


def test_json() -> None:
    rows = [msgspec.json.decode(line) for line in run("providers", "--json").out.splitlines()]
    assert [row["name"] for row in rows] == list(PROVIDERS)
    assert rows[0]["aliases"] == PROVIDERS["darkai"].aliases
    assert [row["env"] for row in rows if row["name"] == "openai"] == [["OPENAI_API_KEY"]]


@pytest.mark.parametrize("width", [120, 80, 60, 20])
def test_on_a_terminal_it_fits(width: int) -> None:
    outcome = run("providers", terminal=True, width=width)
    assert outcome.code == Exit.OK
    lines = screen(outcome.out, width)
    for name in PROVIDERS:
        assert any(name in line for line in lines)
    assert len(screen(outcome.out, 500)) == len(lines)  # no line was longer than the terminal
