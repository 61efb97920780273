"""How an answer is rendered on a terminal."""

import re
from pathlib import Path

import pytest
from rich.console import Console

from tests.commanding import ASIDE, DONE, HEIGHT, each, pieces, screen, shown
from tokenwire import Finish, Image, Reasoning, Text
from tokenwire.cli import Exit
from tokenwire.cli.terminal import Block, Drawing, OnTerminal, blocks

MARKDOWN = """# Title

Some *text* with `code`.

1. one

2. two
   - deep

| a | b |
|---|---|
| 1 | 2 |

```python
x = 1

y = 2
```

Last, [linked](http://example.org/a).
"""

RENDERED = [
    "                          Title",
    "",
    "Some text with code.",
    "",
    " 1 one",
    " 2 two",
    "    • deep",
    "",
    " a  b",
    " ────",
    " 1  2",
    "",
    " x = 1",
    "",
    " y = 2",
    "",
    "Last, linked (http://example.org/a).",
]


def test_aside_on_a_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    image = Image(b"1", "image/png")
    stop = Finish("length", "length")
    each(OnTerminal(lambda _: Path("a/\x1bp")), [Text("x"), *ASIDE, image, Text("y"), stop])
    assert screen(capsys.readouterr().out, 80) == [
        "x",
        "source: A http://a/",
        "not understood (--json shows all of it): b'\\x1bx'",
        "a/␛p",
        "",
        "y",
        "the model stopped early: length",
        '[tool call] weather({"city":"Rome"}) (incomplete: don\'t run it)',
    ]


@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_markdown_on_a_terminal(size: int) -> None:
    outcome = shown(pieces(MARKDOWN, size), terminal=True)
    assert outcome.code == Exit.OK
    assert screen(outcome.out) == RENDERED
    assert outcome.out.count("\x1b[?25l") == outcome.out.count("\x1b[?25h")  # the cursor is back


@pytest.mark.parametrize("width", [1, 5, 20, 60, 200])
def test_any_width(width: int) -> None:
    outcome = shown(pieces(MARKDOWN, 50), terminal=True, width=width)
    assert outcome.code == Exit.OK
    assert len(screen(outcome.out, max(width, 2))) >= len(RENDERED)


def test_a_block_that_is_taller_than_the_screen_comes_once() -> None:
    text = "".join(f"- item {number}\n" for number in range(3 * HEIGHT))
    lines = screen(shown(pieces(text, 40), terminal=True).out)
    assert lines == [f" • item {number}" for number in range(3 * HEIGHT)]


def test_no_color() -> None:
    colours = r"\x1b\[[0-9;]*(3|4|9|10)[0-7]m"
    events = pieces(MARKDOWN, 50)
    assert re.search(colours, shown(events, terminal=True).out)
    assert not re.search(colours, shown(events, terminal=True, NO_COLOR="1").out)


def test_reasoning_is_dim_on_a_terminal_only() -> None:
    events = [Reasoning("Let me "), Reasoning("think\x1b."), *pieces("Yes.", 2)]
    outcome = shown(events, terminal=True)
    assert "\x1b[2mLet me \x1b[0m" in outcome.out
    assert screen(outcome.out) == ["Let me think␛.", "", "Yes."]
    assert shown(events).out == "Yes.\n"
    assert screen(shown([Reasoning("Hm."), *DONE], terminal=True).out) == ["Hm."]


def test_blank_answers() -> None:
    assert screen(shown(pieces("\n\n", 1), terminal=True).out) == []
    assert screen(shown(pieces("[a]: http://b\n", 4), terminal=True).out) == []


def test_control_characters_are_visible_on_a_terminal() -> None:
    assert screen(shown(pieces("a\x1b[2Jb\r\nc", 20), terminal=True).out) == ["a␛[2Jb c"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", [""]),
        ("a", ["a"]),
        ("a\n\nb", ["a\n\nb"]),  # b may still become anything
        ("a\n\nb\n", ["a\n\n", "b\n"]),
        ("a\n\nb\nc", ["a\n\n", "b\nc"]),
        ("1. a\n\n2", ["1. a\n\n2"]),
        ("1. a\n\n2. b\n", ["1. a\n\n2. b\n"]),
        ("```\na\n\nb\n", ["```\na\n\nb\n"]),
        ("# a\nb\n***\n", ["# a\n", "b\n", "***\n"]),
    ],
)
def test_blocks(text: str, expected: list[str]) -> None:
    assert blocks(text) == expected


def test_a_preview_is_the_end_that_fits() -> None:
    console = Console(width=40, height=10, force_terminal=True, color_system=None)

    def preview(text: str, height: int) -> list[str]:
        with console.capture() as capture:
            console.print(Block(text, height), end="")
        return capture.get().splitlines()

    assert preview("- a\n- b\n- c\n", 2) == [" • b", " • c"]
    assert preview("\n", 2) == []
    long = "**x**\n" * 4000  # drawn as it is: rendering it would take long
    assert preview(long, 3)[-1] == "**x**"


def test_what_did_not_change_is_not_drawn_again() -> None:
    console = Console(width=40, height=10, force_terminal=True, color_system=None)
    said = ["one"]
    with console.capture() as capture, Drawing(lambda: said[0], console) as drawing:
        drawing.refresh()
        drawing.refresh()
        said[0] = "two"
        drawing.refresh()
    assert capture.get().count("one") == 1
    assert capture.get().count("two") == 1
