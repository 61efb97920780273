"""How an answer is written: as text, and as JSON."""

from pathlib import Path

import msgspec
import pytest

from tests.commanding import ASIDE, CALL, DONE, Outcome, each, pieces, run, shown
from tokenwire import PROVIDERS, End, Event, Finish, Reasoning, Refusal, Start, Text, ToolCallEnd
from tokenwire.cli import Exit
from tokenwire.cli.show import JsonLines, TextLines
from tokenwire.server import serve

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


CONTROLS = (*range(0x20), *range(0x7F, 0xA0))
BIDI = (0x61C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A))
ACTIVE = "".join(map(chr, (*CONTROLS, *BIDI)))
HARMLESS = "\u00a0\u00e9\u05d0\u0627\u200b\u2028\U0001f600~"


@pytest.mark.parametrize("terminal", [False, True])
@pytest.mark.parametrize("command", ["chat", "decode", "decode --offsets"])
def test_json_does_nothing_to_a_terminal(command: str, terminal: bool) -> None:
    """Controls and what turns the direction of writing are escaped, and stay the same values."""
    text = ACTIVE + HARMLESS
    name, *options = command.split()
    chunk = {"choices": [{"index": 0, "delta": {"content": text}}]}
    data = b"data: %b\n\n" % msgspec.json.encode(chunk)
    if name == "decode":
        outcome = run(name, "-p", "openai", "--json", *options, stdin=data, terminal=terminal)
    else:
        with serve("openai", lambda _: [Text(text)]) as server:
            where = ("-p", "openai", "-m", "m", "--base-url", server.url)
            outcome = run(name, *where, "--json", "?", terminal=terminal)
    events = [msgspec.json.decode(line) for line in outcome.out.split("\n") if line]
    assert [event["text"] for event in events if event["event"] == "text"] == [text]
    printed = [c for c in ACTIVE if c != "\n" and c in outcome.out]
    assert (printed == []) is terminal
    assert all(c in outcome.out for c in HARMLESS)


def test_decoded_events_do_nothing_to_a_terminal() -> None:
    chunk = {"choices": [{"index": 0, "delta": {"content": ACTIVE + HARMLESS}}]}
    data = b"data: %b\n\n" % msgspec.json.encode(chunk)
    out = run("decode", "-p", "openai", stdin=data, terminal=True).out
    assert not any(c in out.replace("\n", "") for c in ACTIVE)
    assert "\\u202e" in out
    assert all(c in out for c in HARMLESS)


def test_a_list_of_models_does_nothing_to_a_terminal() -> None:
    name = f"a{ACTIVE}b"
    with serve(PROVIDERS["openai"].replace(models=(name,))) as server:

        def listed(*options: str, terminal: bool) -> str:
            where = ("-p", "openai", "--base-url", server.url)
            return run("models", *where, *options, terminal=terminal).out.removesuffix("\n")

        assert not any(c in ACTIVE for c in listed(terminal=True))
        assert not any(c in ACTIVE for c in listed("--json", terminal=True))
        assert msgspec.json.decode(listed("--json", terminal=True))["id"] == name
        assert listed(terminal=False) == name
