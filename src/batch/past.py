"""What a journal says of the rows so far, and whether a row is to be asked."""

from collections.abc import Iterable
from enum import Enum
from typing import Any, Literal, TypeAlias, get_args

from ..protocols.errors import LocalProtocolError
from ..protocols.events import Usage
from .costs import Price
from .digests import id_digest
from .index import Index
from .lines import Begun, Line, read_line
from .outcomes import Fate
from .rows import Question

__all__ = ["Past", "Reask", "Verdict", "reask_of"]

Reask: TypeAlias = Literal["truncated", "changed", "passing", "failed"]
"""What is asked again: a truncated answer, a changed question, a failure that may pass, any
failure."""

DEATHS = 2
"""So many workers may die on a row."""

CHECKED = 1000
"""So many rows without ids are compared with the journal."""


class Verdict(Enum):
    """What is to be done with a row."""

    NEW = "new"
    CHANGED = "changed"
    AGAIN = "again"
    DONE = "done"
    """It is complete."""
    KEPT = "kept"
    """It is not complete, and not to be asked again."""
    REPEATED = "repeated"
    """Another row has the same id."""
    ABANDONED = "abandoned"
    """Workers died on it, and there is no line that says so."""


def reask_of(words: Iterable[str]) -> frozenset[Reask]:
    """What `--reask` says; nothing is all but `failed`. Raises LocalProtocolError."""
    given = set(words)
    if unknown := given - set(get_args(Reask)):
        raise LocalProtocolError(
            f"reask {', '.join(sorted(unknown))}: give {', '.join(get_args(Reask))}"
        )
    found: set[Reask] = {word for word in get_args(Reask) if word in given}
    return frozenset(found or ("truncated", "changed", "passing"))


class Past:
    """The rows of a journal.

    `cost` and `tokens` are what its rows have cost so far, `price` prices those without a cost.
    `lines` counts its lines. `suspects`: rows that a worker began and that have no outcome, by the
    digest of their id, with the parts of these workers.
    """

    def __init__(self, reask: Iterable[str] = (), price: Price | None = None) -> None:
        self.cost = 0.0
        self.tokens = 0
        self.lines = 0
        self.suspects: dict[int, set[str]] = {}
        self._reask = reask_of(reask)
        self._explicit = bool(set(reask))
        self._price = price
        self._index = Index()

    def __len__(self) -> int:
        return len(self._index)

    def add(self, data: bytes) -> bool:
        """A line of the journal, without its end. Returns whether it is one."""
        line = read_line(data)
        match line:
            case None:
                return not data.strip()
            case Begun():
                for custom_id in line.begun:
                    key = id_digest(custom_id)
                    _, fate = self._index.get(key)
                    if fate is Fate.UNKNOWN:
                        self.suspects.setdefault(key, set()).add(line.by)
            case _:
                self._add(line)
        self.lines += 1
        return True

    def _add(self, line: Line) -> None:
        key, fate = id_digest(line.custom_id), line.fate
        asked, known = self._index.get(key)
        if not (known is Fate.COMPLETE and fate is not known and _same(asked, line.asked)):
            self._index.put(key, line.asked, fate)
        self.suspects.pop(key, None)
        self.tokens += line.tokens
        if line.cost is not None:
            self.cost += line.cost
        elif self._price is not None and line.usage:
            self.cost += self._price.of(usage_of(line))

    def verdict(self, question: Question) -> Verdict:
        """What is to be done with `question`. Each is asked for once in a pass over the rows."""
        key = question.key
        if self._index.see(key):
            return Verdict.REPEATED
        asked, fate = self._index.get(key)
        if fate is Fate.UNKNOWN:
            deaths = len(self.suspects.get(key, ()))
            return Verdict.ABANDONED if deaths >= DEATHS else Verdict.NEW
        if not _same(asked, question.asked):
            wanted: Reask = "changed"
            verdict = Verdict.CHANGED
        else:
            verdict = Verdict.AGAIN
            match fate:
                case Fate.COMPLETE:
                    return Verdict.DONE
                case Fate.INVALID:
                    return Verdict.KEPT
                case Fate.TRUNCATED:
                    wanted = "truncated"
                case Fate.PASSING:
                    wanted = "passing"
                case _:
                    wanted = "failed"
        if wanted in self._reask or (
            wanted in ("passing", "truncated") and "failed" in self._reask
        ):
            return verdict
        return Verdict.DONE if fate is Fate.COMPLETE else Verdict.KEPT

    def check_order(self, question: Question) -> None:
        """Raises LocalProtocolError if a row without an id asks something else than the journal's
        row of this number: then the rows were moved, and their answers would be mixed up. Asking
        for what has `changed` says that they were not."""
        if question.named or question.number > CHECKED or question.problem or self._explicit:
            return
        asked, fate = self._index.get(question.key)
        if fate is not Fate.UNKNOWN and not _same(asked, question.asked):
            raise LocalProtocolError(
                f"row {question.number} asks something else than in the journal: rows without a "
                "custom_id must keep their places. If it is the question, the model or an option "
                "that changed, reask what has changed"
            )

    def start_over(self) -> None:
        """Another pass over the rows begins."""
        self._index.unsee_all()

    def forget(self, question: Question) -> None:
        """The row may come again, and is not repeated then."""
        self._index.unsee(question.key)


def usage_of(line: Line) -> Usage:
    """The usage in a line."""
    counts: dict[str, Any] = {
        name: count
        for name, count in line.usage.items()
        if name in Usage.__struct_fields__ and isinstance(count, int)
    }
    return Usage(**counts)


def _same(asked: int, other: int) -> bool:
    """Whether two digests are the same, as far as the index keeps them. A line that does not tell
    (of another program) is of the same question."""
    return not (asked and other) or asked == other & ~0xFF
