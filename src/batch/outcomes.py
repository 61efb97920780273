"""What became of a row, in one word, and whether it is worth asking again."""

from enum import IntEnum
from typing import Any

import msgspec

from ..protocols.errors import (
    Challenged,
    ConnectFailed,
    ContentFiltered,
    Disconnected,
    LimitExceeded,
    Malformed,
    Overloaded,
    RateLimited,
    Redirected,
    Refused,
    TimedOut,
    TokenwireError,
    Truncated,
    UnexpectedContent,
)
from ..protocols.events import Evidence, Usage
from ..protocols.reply import Reply
from ..protocols.retry import Retry

__all__ = ["Fate", "Outcome", "fate_of", "is_overload", "may_pass"]


class Fate(IntEnum):
    """What an outcome means for the next run over the same journal."""

    UNKNOWN = 0
    COMPLETE = 1
    TRUNCATED = 2
    PASSING = 3
    """A failure that may pass: of the network, of a limit, of a key."""
    LASTING = 4
    """A failure that asking again won't change, or that has cost two workers."""
    INVALID = 5


_LASTING = frozenset(("bad_request", "content_filtered", "abandoned"))
_FATES = {
    "complete": Fate.COMPLETE,
    "truncated": Fate.TRUNCATED,
    "invalid": Fate.INVALID,
    **dict.fromkeys(_LASTING, Fate.LASTING),
}


def fate_of(word: str) -> Fate:
    """The fate of an outcome."""
    return _FATES.get(word, Fate.PASSING)


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one row, for good.

    `kind`: `complete`, or why not: the error's class in snake case (`truncated`, `rate_limited`),
    `invalid` for a row that can't be asked, `abandoned` for one that two workers died on. `reply`
    is the answer of a row that is complete, `partial` what there is of one that is not. `attempts`:
    how often it was asked. `usage` is the last attempt's, `tokens` and `cost` are those of all:
    told by the service, or else estimated. `started` (seconds since 1970), `seconds` and `first`
    (until the first event) are of the last attempt.
    """

    custom_id: str
    kind: str
    number: int = 0
    asked: int = 0
    reply: Reply | None = None
    partial: Reply | None = None
    error: TokenwireError | None = None
    evidence: Evidence | None = None
    attempts: int = 0
    usage: Usage | None = None
    tokens: int = 0
    cost: float | None = None
    started: float = 0.0
    seconds: float = 0.0
    first: float | None = None
    details: dict[str, Any] = {}

    @property
    def fate(self) -> Fate:
        """What it means for the next run."""
        return fate_of(self.kind)

    @property
    def text(self) -> str:
        """The text of a complete answer; empty if it is not complete."""
        return "" if self.reply is None else self.reply.text


_ANY = Retry(attempts=2, longest_wait=float("inf"))


def may_pass(error: TokenwireError) -> bool:
    """Whether asking again in the same run may help."""
    match error:
        case Truncated() | Disconnected() | TimedOut() | Malformed() | UnexpectedContent():
            return True
        case LimitExceeded():
            return False
        case Challenged() | Redirected() | ContentFiltered():
            return False
        case RateLimited() | Overloaded() if not error.lasting and error.should_retry is not False:
            return True  # also inside an answer, whose status says nothing
        case _:
            return _ANY.pause(error, 1, wall_clock=0, jitter=0) is not None


def is_overload(error: TokenwireError | None) -> bool:
    """Whether `error` says that there were too many questions at once. A truncated answer does not,
    nor does a refusal that is `lasting`."""
    match error:
        case RateLimited():
            return not error.lasting
        case Refused():
            return error.status in (503, 529) or (
                isinstance(error, Overloaded) and error.status == 200
            )
        case ConnectFailed():
            return not error.lasting
        case TimedOut():
            return error.clock == "connect"
        case _:
            return False
