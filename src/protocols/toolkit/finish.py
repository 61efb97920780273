"""What a finish reason means."""

import re
from collections.abc import Mapping

from ..errors import Refused
from ..events import Finish, FinishKind

__all__ = ["failure_of", "finish_of", "kind_of"]

_FAILED = re.compile(
    "error|abort|cancel|fail|malformed|interrupted|expired|time_?d?_?out|overloaded|unavailable"
    "|unexpected|too_many|missing",
    re.IGNORECASE,
)
"""Parts of a reason by which a service says that it failed, in whatever format: engines have such
words of their own, and gateways pass on those of other formats (`MALFORMED_FUNCTION_CALL` in a chat
completion)."""


def kind_of(reason: str, finishes: Mapping[str, FinishKind]) -> FinishKind:
    """What a reason means. `finishes` are those that are known, in lower case or as they are
    spelled. One that is not known means nothing, unless it tells of a failure."""
    for word in (reason, reason.lower()):
        if word in finishes:
            return finishes[word]
    return "error" if _FAILED.search(reason) else ""


def finish_of(
    reason: str,
    finishes: Mapping[str, FinishKind],
    called: bool,
    detail: str = "",
    index: int = 0,
) -> Finish:
    """The end of a choice. `finishes`: see `kind_of`; `called`: whether a tool of the client's was
    called."""
    kind = kind_of(reason, finishes)
    return Finish(reason, "tool_call" if kind == "stop" and called else kind, detail, index)


def failure_of(finish: Finish) -> Refused | None:
    """The error of a choice that ended with one, which is raised once all else is delivered."""
    if finish.kind != "error":
        return None
    return Refused(f"the service refused: {finish.detail or finish.reason}", code=finish.reason)
