"""Folds a journal: of the lines of each row the best, whoever wrote them, in whatever order they
are read.

The newest line (by `started`, then by the name of its part) says what the row asks; of the lines
that answer this question a complete one wins, else the newest.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from ..protocols.errors import LocalProtocolError
from ..protocols.toolkit.lines import BOM
from .digests import id_digest
from .files import lines_of, parts_of
from .lines import Line, read_line
from .rows import line_id

__all__ = ["Fold", "Place", "Summary", "collect", "fold_parts", "ids_of", "rows_of", "status"]


class Place(msgspec.Struct, frozen=True, order=True):
    """A line, and what decides between two: the greater one wins. `part`: the name of its file;
    `line` counts from 0."""

    complete: bool
    started: str
    part: str
    line: int
    word: str = ""
    asked: int = 0
    custom_id: str = ""


class Fold:
    """The best lines so far."""

    def __init__(self) -> None:
        self._newest: dict[int, Place] = {}
        self._best: dict[tuple[int, int], Place] = {}

    def add(self, part: str, number: int, line: Line) -> None:
        """A line of a part."""
        key = id_digest(line.custom_id)
        place = Place(
            line.is_complete, line.started, part, number, line.word, line.asked, line.custom_id
        )
        newest = self._newest.get(key)
        if newest is None or _age(place) > _age(newest):
            self._newest[key] = place
        best = self._best.get((key, line.asked))
        if best is None or place > best:
            self._best[key, line.asked] = place

    def best(self, custom_id: str) -> Place | None:
        """The line of a row."""
        key = id_digest(custom_id)
        newest = self._newest.get(key)
        return None if newest is None else self._best[key, newest.asked]

    def ids(self) -> list[str]:
        """The ids of all rows, sorted."""
        return sorted(place.custom_id for place in self._newest.values())


def _age(place: Place) -> tuple[str, str, int]:
    return place.started, place.part, place.line


def fold_parts(parts: Iterable[Path], *, skip_broken: bool = False) -> Fold:
    """The fold of files. Raises LocalProtocolError for a broken line, unless those are skipped."""
    fold = Fold()
    for part in parts:
        for number, data in enumerate(lines_of(part)):
            line = read_line(data)
            if isinstance(line, Line):
                fold.add(part.name, number, line)
            elif line is None and data.strip() and not skip_broken:
                raise LocalProtocolError(f"{part}: line {number + 1} is broken")
    return fold


class _Named(msgspec.Struct):
    custom_id: str | int | None = None


_named = msgspec.json.Decoder(_Named)


def ids_of(lines: Iterable[bytes]) -> Iterator[str]:
    """The ids that rows have in a journal: their own, unless another row had it before, or that of
    their number."""
    seen: set[int] = set()
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        custom_id = ""
        try:
            found = _named.decode(line.removeprefix(BOM) if number == 1 else line).custom_id
            custom_id = "" if found is None or isinstance(found, bool) else str(found)
        except (ValueError, RecursionError):
            pass
        key = id_digest(custom_id)
        if not custom_id or key in seen:
            custom_id = line_id(number)
        seen.add(id_digest(custom_id))
        yield custom_id


class Summary(msgspec.Struct):
    """How many rows have which outcome, and the ids of those that have none."""

    outcomes: Counter[str] = msgspec.field(default_factory=Counter[str])
    missing: list[str] = []

    @property
    def is_complete(self) -> bool:
        """Whether all rows are complete."""
        return not self.missing and set(self.outcomes) <= {"complete"}


def collect(
    source: Path, output: Path, *, like: Path | None = None, skip_broken: bool = False
) -> Summary:
    """Write the fold of the journal `source` into `output`: a line for each row, in the order of
    the file `like` of their questions, or else by their ids. Lines are copied as they are. The file
    is made beside and renamed. Raises LocalProtocolError."""
    parts = parts_of(source)
    if not parts:
        raise LocalProtocolError(f"{source}: there is no journal")
    fold = fold_parts(parts, skip_broken=skip_broken)
    summary = Summary()
    beside = output.with_name(output.name + ".part")
    files = {part.name: _Lines(part) for part in parts}
    try:
        with beside.open("wb") as file:
            for custom_id in fold.ids() if like is None else ids_of(lines_with_rest(like)):
                place = fold.best(custom_id)
                if place is None:
                    summary.missing.append(custom_id)
                    continue
                summary.outcomes[place.word] += 1
                file.write(files[place.part].at(place.line) + b"\n")
        beside.replace(output)
    except OSError as error:
        raise LocalProtocolError(f"{output} can't be written: {error.strerror or error}") from None
    finally:
        beside.unlink(missing_ok=True)
        for lines in files.values():
            lines.close()
    return summary


def status(source: Path, *, skip_broken: bool = True) -> Summary:
    """How far a journal is, also while it is written."""
    fold = fold_parts(parts_of(source), skip_broken=skip_broken)
    summary = Summary()
    for custom_id in fold.ids():
        place = fold.best(custom_id)
        assert place is not None
        summary.outcomes[place.word] += 1
    return summary


class _Lines:
    """Lines of a file by their number, in any order: where each begins is remembered."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb")
        self._starts = [0]

    def at(self, number: int) -> bytes:
        while len(self._starts) <= number:
            self._file.seek(self._starts[-1])
            self._starts.append(self._starts[-1] + len(self._file.readline()))
        self._file.seek(self._starts[number])
        return self._file.readline().rstrip(b"\n")

    def close(self) -> None:
        self._file.close()


def lines_with_rest(path: Path) -> Iterator[bytes]:
    """The lines of a file of questions, whose last one may have no end. Raises
    LocalProtocolError."""
    try:
        with path.open("rb") as file:
            yield from rows_of(file)
    except OSError as error:
        raise LocalProtocolError(f"{path} can't be read: {error.strerror or error}") from None


def rows_of(lines: Iterable[bytes]) -> Iterator[bytes]:
    """The lines of questions without the white space around them, and the first one without a byte
    order mark."""
    for number, line in enumerate(lines):
        yield (line if number else line.removeprefix(BOM)).strip()
