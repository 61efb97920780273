"""From rows to what is asked: reads each row, looks it up in the journal, and counts."""

from collections import Counter

import msgspec

from ..protocols.errors import LocalProtocolError, TokenwireError
from .outcomes import Outcome
from .past import Past, Verdict
from .rows import Question, Reader, shard_of

__all__ = ["Intake", "Shard", "Survey", "shard_of_text"]


class Shard(msgspec.Struct, frozen=True):
    """The part `number` (from 1) of `of` parts of all rows."""

    number: int
    of: int


def shard_of_text(text: str) -> Shard:
    """The shard `K/N`. Raises LocalProtocolError."""
    number, _, of = text.partition("/")
    if number.isdigit() and of.isdigit() and 1 <= int(number) <= int(of):
        return Shard(int(number), int(of))
    raise LocalProtocolError(f"the shard {text}: give K/N, from 1/N to N/N")


class Survey(msgspec.Struct):
    """How many rows there are of each kind, before anything is asked."""

    rows: int = 0
    verdicts: Counter[Verdict] = msgspec.field(default_factory=Counter[Verdict])
    others: int = 0
    """Rows of other shards."""

    @property
    def to_ask(self) -> int:
        """How many rows are to be asked, those that turn out to be invalid included."""
        verdicts = self.verdicts
        asked = (Verdict.NEW, Verdict.CHANGED, Verdict.AGAIN, Verdict.ABANDONED, Verdict.REPEATED)
        return sum(verdicts[verdict] for verdict in asked)


class Intake:
    """Takes the rows of a run, one by one."""

    def __init__(self, reader: Reader, past: Past, shard: Shard | None = None) -> None:
        self.reader = reader
        self.past = past
        self._shard = shard
        self.survey = Survey()

    def take(self, number: int, row: object) -> Question | Outcome | None:
        """The question to ask of a row: a line, a value, or a question that was read before. Or its
        outcome, if that is clear already; or None, if there is nothing to do."""
        if isinstance(row, Question):
            question = row
        elif isinstance(row, bytes):
            question = self.reader.line(number, row)
        else:
            question = self.reader.value(number, row)
        survey = self.survey
        if self._shard is not None and shard_of(question.key, self._shard.of) != self._shard.number:
            survey.others += 1
            return None
        survey.rows += 1
        self.past.check_order(question)
        verdict = self.past.verdict(question)
        if verdict is Verdict.REPEATED:
            question = self.reader.repeated(question)
            verdict = self.past.verdict(question)
        survey.verdicts[verdict] += 1
        match verdict:
            case Verdict.DONE | Verdict.KEPT:
                return None
            case Verdict.ABANDONED:
                error = TokenwireError("two workers died on it")
                return self.settled(question, "abandoned", error)
            case _:
                if question.problem:
                    return self.invalid(question, LocalProtocolError(question.problem))
                return question

    def invalid(self, question: Question, error: TokenwireError) -> Outcome:
        """The outcome of a row that can't be asked."""
        return self.settled(question, "invalid", error)

    def settled(self, question: Question, kind: str, error: TokenwireError) -> Outcome:
        """The outcome of a row that is not asked."""
        return Outcome(
            custom_id=question.custom_id,
            kind=kind,
            number=question.number,
            asked=question.asked,
            error=error,
        )
