"""The journal of a run: what earlier runs have written, and where this one writes."""

from collections.abc import Iterable
from pathlib import Path

from ..protocols.errors import LocalProtocolError
from .costs import Price
from .files import Appender, lines_of, open_file, open_part, parts_of
from .lines import Writer
from .outcomes import Outcome
from .past import Past

__all__ = ["Journal", "is_folder", "open_journal"]

SYNC = 1.0
"""Seconds between two syncs."""


class Journal:
    """Writes outcomes. `past` is what was there before."""

    def __init__(self, file: Appender, past: Past, writer: Writer) -> None:
        self.past = past
        self._file = file
        self._writer = writer
        self._synced_at = 0.0

    @property
    def name(self) -> str:
        """The name of the file that is written."""
        return self._file.path.name

    def add(self, outcome: Outcome) -> None:
        """Write the outcome of a row. Raises LocalProtocolError."""
        self._file.append(self._writer.line(outcome))

    def add_line(self, line: bytes) -> None:
        """Write another line."""
        self._file.append(line)

    def sync(self, now: float) -> None:
        """Make safe what was written, if that is a second ago."""
        if now - self._synced_at >= SYNC:
            self._synced_at = now
            self._file.sync()

    def flush(self) -> None:
        """Make safe what was written."""
        self._file.sync()

    def close(self) -> None:
        """Make safe what was written, and close the file."""
        self._file.close()


def is_folder(path: str) -> bool:
    """Whether `path` means a folder: it is one, or ends with a slash."""
    return path.endswith(("/", "\\")) or Path(path).is_dir()


def open_journal(
    path: str,
    writer: Writer,
    *,
    reask: Iterable[str] = (),
    price: Price | None = None,
    skip_broken: bool = False,
) -> Journal:
    """The journal `path`, read and ready to be written: a file for one run, or a folder for many
    writers. Raises LocalProtocolError: another run has the file, it can't be written, or one of its
    lines is broken and not to be skipped."""
    past = Past(reask, price)
    folder = is_folder(path)
    file = open_part(Path(path)) if folder else open_file(Path(path))
    try:
        for part in parts_of(Path(path)):
            read_part(part, past, skip_broken=skip_broken)
    except BaseException:
        file.close()
        raise
    return Journal(file, past, writer)


def read_part(part: Path, past: Past, *, skip_broken: bool = False) -> None:
    """Add the lines of one file to `past`. Raises LocalProtocolError for a broken one."""
    for number, line in enumerate(lines_of(part), 1):
        if not past.add(line) and not skip_broken:
            raise LocalProtocolError(
                f"{part}: line {number} is broken: repair it, or go on without it (skip broken)"
            )
