"""How the command renders an answer on a terminal."""

import time
from collections.abc import Callable
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.live import Live
from rich.markdown import Markdown
from rich.segment import Segment
from rich.text import Text as Plain

from ..protocols.events import Image
from . import one_line, visible
from .console import open_console
from .show import TextLines

__all__ = ["Block", "Drawing", "OnTerminal", "blocks"]


class OnTerminal(TextLines):
    """Markdown, rendered as it arrives.

    Complete blocks (a paragraph, a list, a table) are printed one by one. The last block, which may
    still turn into something else, is redrawn as it grows, as much of it as fits on the screen.
    Because blocks are rendered separately, a reference to a link that another block defines is
    shown as written.
    """

    def __init__(self, save: Callable[[Image], Path]) -> None:
        super().__init__(save, visible)
        # Forced, because rich detects terminals by more than isatty(). It still respects NO_COLOR
        # and the terminal's width.
        self._console = open_console(
            force_terminal=True, highlight=False, markup=False, emoji=False
        )
        self._live = ExitStack()
        self._drawing = False
        self._pending = ""
        self._split_at = 0.0
        self._printed = False  # whether a block of this answer was printed
        self._thinking = False

    def text(self, text: str) -> None:
        self._end_thinking()
        self._pending += visible(text)
        # Splitting takes time in proportion to what is pending, so it is not done for each event.
        now = time.monotonic()
        if "\n" in text and now - self._split_at > 0.1:
            self._split_at = now
            *complete, self._pending = blocks(self._pending)
            self._print_blocks(complete)
        if not self._drawing:
            self._drawing = True
            self._live.enter_context(Drawing(lambda: self._pending, self._console))

    def reasoning(self, text: str) -> None:
        self._end_block()
        self._thinking = True
        self._console.print(Plain(visible(text), "dim"), end="", soft_wrap=True)

    def line(self, text: str, style: str = "") -> None:
        self.end_line()
        self._console.print(Plain(one_line(text), style), soft_wrap=True)

    def note(self, text: str) -> None:
        self.line(text, "dim")

    aside = note

    def end_line(self) -> None:
        self._end_thinking()
        self._end_block()

    def _end_thinking(self) -> None:
        if self._thinking:
            self._thinking = False
            self._console.print("\n")

    def _end_block(self) -> None:
        self._stop_drawing()
        pending, self._pending = self._pending, ""
        self._print_blocks([block for block in blocks(pending + "\n") if block.strip()])

    def _print_blocks(self, complete: list[str]) -> None:
        if complete:
            self._stop_drawing()  # rich draws in a thread, without a lock against printing
        for block in complete:
            if self._printed:
                self._console.print()
            self._printed = True
            self._console.print(Block(block), end="")

    def _stop_drawing(self) -> None:
        self._live.close()
        self._drawing = False


def blocks(text: str) -> list[str]:
    """The Markdown blocks of `text`, each with the blank lines after it. The last one is not
    complete: it contains the last line, which may still change."""
    end = text.rfind("\n") + 1
    lines = text[:end].split("\n")
    starts = [
        token.map[0]
        for token in Markdown(text[:end]).parsed
        if token.level == 0 and token.map is not None
    ]
    borders = [0, *starts[1:], len(lines)]
    found = [
        "\n".join(lines[start:stop]) + "\n" * (stop < len(lines))
        for start, stop in pairwise(borders)
    ]
    return [*found[:-1], found[-1] + text[end:]]


class Drawing(Live):
    """Redraws `text()` as it changes, up to twelve times a second, and removes it at the end."""

    def __init__(self, text: Callable[[], str], console: Console) -> None:
        super().__init__(
            console=console,
            get_renderable=lambda: Block(text(), max(1, console.height - 1)),
            refresh_per_second=12,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
            vertical_overflow="crop",
        )
        self._text = text
        self._drawn = ""

    def refresh(self) -> None:
        text = self._text()
        if text != self._drawn:  # else a stalled answer would be redrawn again and again
            self._drawn = text
            super().refresh()


class Block:
    """Markdown without rich's blank lines around it; with `height`, only that many last lines."""

    def __init__(self, text: str, height: int = 0) -> None:
        self._text = text
        self._height = height

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        # In the terminal's own colours, and with the addresses of links in full.
        block: RenderableType = Markdown(self._text, code_theme="ansi_dark", hyperlinks=False)
        if self._height and len(self._text) > 16 * 1024:
            # Rendering takes time in proportion to the text, and this is repeated: plain text.
            block = Plain(self._text[-8 * 1024 :])
        # Two columns are left for the terminal's own ^C, which would wrap to the next line.
        options = options.update(width=max(1, options.max_width - 2))
        lines = [*map(_inked, console.render_lines(block, options, pad=False))]
        inked = [number for number, line in enumerate(lines) if line]
        if not inked:
            return
        for line in lines[inked[0] : inked[-1] + 1][-self._height :]:
            yield from line
            yield Segment.line()


def _inked(line: list[Segment]) -> list[Segment]:
    """`line` without the blanks at its end, with which rich pads it."""
    while line and not line[-1].text.strip():
        line = line[:-1]
    if line:
        line = [*line[:-1], Segment(line[-1].text.rstrip(), line[-1].style)]
    return line
