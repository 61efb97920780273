"""How an answer is written: as text, and as JSON."""

from pathlib import Path

import pytest

from tests.commanding import ASIDE, CALL, DONE, Outcome, each, pieces, shown
from tokenwire import End, Event, Finish, Reasoning, Refusal, Start, Text, ToolCallEnd
from tokenwire.cli import Exit
from tokenwire.cli.show import JsonLines, TextLines

RICH: list[Event] = [
    Start("1", "m"),
    Reasoning("Hm.\n"),
    Text("Text"),
    Text("other choice", index=1),
    Refusal("No."),
    *CALL,
    ToolCallEnd(0, "c", "weather", '{"city":"Rome"}', True),
    Text("\nMore\n"),
]


def test_in_a_pipe() -> None:
    # The service tells that a call is whole when it tells that the choice is.
    outcome = shown(
        [*RICH, Finish("stop", "stop"), Finish("stop", "stop", index=1), End("terminator")]
    )
    assert outcome == Outcome(Exit.OK, 'TextNo.\nMore\n[tool call] weather({"city":"Rome"})\n', "")


def test_in_a_pipe_text_comes_as_it_is() -> None:
    text = "a\x1b[31m\r\n**b**\x07"
    assert shown(pieces(text, 3)).out == text + "\n"


def test_on_a_dumb_terminal_it_is_plain_and_harmless() -> None:
    outcome = shown(pieces("**b**\x1b[2J", 3), terminal=True, TERM="dumb")
    assert outcome.out == "**b**␛[2J\n"


def test_an_early_stop_is_told() -> None:
    outcome = shown([Text("Once"), Finish("length", "length"), End("terminator")])
    assert outcome == Outcome(Exit.OK, "Once\n", "tokenwire: the model stopped early: length\n")


def test_what_is_cut_and_what_is_aside(capsys: pytest.CaptureFixture[str]) -> None:
    each(TextLines(lambda _: Path("p"), str), [Text("x"), *ASIDE])
    out, err = capsys.readouterr()
    assert out == 'x\n[tool call] weather({"city":"Rome"}) (incomplete: don\'t run it)\n'
    assert err == ""


def test_json_has_all(capsys: pytest.CaptureFixture[str]) -> None:
    each(JsonLines(), [Text("\u00e9\x1b"), *DONE])
    assert capsys.readouterr().out.splitlines()[0] == (
        '{"event":"text","text":"\u00e9\\u001b","part":0,"index":0}'
    )
