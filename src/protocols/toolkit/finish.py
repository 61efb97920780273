"""What a finish reason means."""

from collections.abc import Mapping

from ..errors import Refused
from ..events import Finish, FinishKind

__all__ = ["failure_of", "finish_of"]


def finish_of(
    reason: str,
    finishes: Mapping[str, FinishKind],
    called: bool,
    detail: str = "",
    index: int = 0,
) -> Finish:
    """The end of a choice. `finishes` are the reasons that are known, in lower case or as they are
    spelled; `called`: whether a tool of the client's was called."""
    kind = finishes.get(reason) or finishes.get(reason.lower(), "")
    return Finish(reason, "tool_call" if kind == "stop" and called else kind, detail, index)


def failure_of(finish: Finish) -> Refused | None:
    """The error of a choice that ended with one, which is raised once all else is delivered."""
    if finish.kind != "error":
        return None
    return Refused(f"the service refused: {finish.detail or finish.reason}", code=finish.reason)
