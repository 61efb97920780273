"""How the command prints an answer: as text, or as lines of JSON. `terminal` renders it.

Only the first choice is printed as text. Before text from a server is printed on a terminal, its
control characters are made visible, or in JSON escaped.
"""

import mimetypes
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

import click
import msgspec

from ..protocols.errors import LocalProtocolError
from ..protocols.events import (
    Citation,
    Event,
    Finish,
    Image,
    Reasoning,
    Refusal,
    Text,
    ToolCallDelta,
    ToolCallEnd,
    ToolCallStart,
    Unrecognized,
)
from ..protocols.reply import CollectedToolCall
from . import BIDI, one_line, visible

__all__ = ["JsonLines", "Show", "TextLines", "is_terminal", "json_line", "saver", "show"]


def show(*, as_json: bool, save: Callable[[Image], Path]) -> "Show":
    """The `Show` that suits stdout. Pictures are passed to `save`."""
    if as_json:
        return JsonLines()
    if is_terminal() and os.environ.get("TERM") != "dumb":
        from .terminal import OnTerminal  # rich is slow to import, and not needed in a pipe

        return OnTerminal(save)
    return TextLines(save, visible if is_terminal() else str)


def is_terminal() -> bool:
    """Whether stdout is a terminal."""
    return sys.stdout.isatty()


def json_line(value: object) -> bytes:
    """`value` as a line of JSON, in UTF-8 whatever the locale is. For a terminal, what could act on
    it is escaped: JSON itself does so for C0 only."""
    line = msgspec.json.encode(value)
    return _ACTIVE.sub(_escaped, line.decode()).encode() if is_terminal() else line


_ACTIVE = re.compile(f"[\x7f-\x9f{BIDI}]")


def _escaped(match: "re.Match[str]") -> str:
    return f"\\u{ord(match[0]):04x}"


def saver(folder: Path) -> Callable[[Image], Path]:
    """A function that saves pictures in `folder`, under names that are not in use."""

    def save(image: Image) -> Path:
        suffix = mimetypes.guess_extension(image.media_type) or ".bin"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            file = _new_file(folder, suffix)
            with file:
                file.write(image.data)
        except OSError as error:
            raise LocalProtocolError(f"the picture can't be saved: {error}") from None
        return Path(file.name)

    return save


def _new_file(folder: Path, suffix: str) -> BinaryIO:
    number = 1
    while True:
        try:
            return (folder / f"tokenwire-{number}{suffix}").open("xb")
        except FileExistsError:
            number += 1


class Show:
    """Shows one answer, in a `with` block that ends with the answer, complete or not."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def event(self, event: Event) -> None:
        """Show the next event."""

    def close(self) -> None:
        """End the answer."""


class JsonLines(Show):
    """Each event as a line."""

    def event(self, event: Event) -> None:
        click.echo(json_line(event))


class TextLines(Show):
    """Text as it arrives, and lines for pictures and tool calls. Text is printed through `clean`.

    A line end is added if the answer does not end with one.
    """

    def __init__(self, save: Callable[[Image], Path], clean: Callable[[str], str]) -> None:
        self._save = save
        self._clean = clean
        self._calls: dict[int, CollectedToolCall] = {}
        self._in_line = False

    def event(self, event: Event) -> None:
        if getattr(event, "index", 0):
            return
        match event:
            case Text() | Refusal():
                self.text(event.text)
            case Reasoning():
                self.reasoning(event.text)
            case Image():
                self.line(str(self._save(event)))
            case ToolCallStart():
                self._calls[event.call] = CollectedToolCall(event.id, event.name)
            case ToolCallDelta():
                self._calls[event.call].add(event)
            case ToolCallEnd():
                self._calls[event.call].add(event)
                self._call(self._calls.pop(event.call))
            case Finish() if (event.kind or event.reason) not in ("stop", "tool_call"):
                self.note(f"the model stopped early: {event.reason}")
            case Citation():
                self.aside(f"source: {event.title} {event.url}")
            case Unrecognized():
                self.aside(f"not understood (--json shows all of it): {event.raw[:40]!r}")
            case _:
                pass

    def close(self) -> None:
        for call in self._calls.values():
            self._call(call)
        self.end_line()

    def text(self, text: str) -> None:
        """A piece of the answer."""
        self._in_line = not text.endswith("\n")
        sys.stdout.write(self._clean(text))
        sys.stdout.flush()

    def reasoning(self, text: str) -> None:
        """A piece of reasoning, which is not part of the answer's text."""

    def line(self, text: str, style: str = "") -> None:
        """A separate line, in `style` if styles are supported."""
        self.end_line()
        sys.stdout.write(one_line(text) + "\n")
        sys.stdout.flush()

    def note(self, text: str) -> None:
        """A line about the answer."""
        print(f"tokenwire: {one_line(text)}", file=sys.stderr)

    def aside(self, text: str) -> None:
        """A line about the answer, only for a person at a terminal."""

    def end_line(self) -> None:
        """End the current line, if there is one."""
        if self._in_line:
            self.text("\n")

    def _call(self, call: CollectedToolCall) -> None:
        partial = "" if call.complete else " (incomplete: don't run it)"
        self.line(f"[tool call] {call.name}({call.arguments}){partial}", "cyan")
