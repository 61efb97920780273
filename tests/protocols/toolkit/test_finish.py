"""What a finish reason means."""

import pytest

from tokenwire.protocols.events import Finish, FinishKind
from tokenwire.protocols.toolkit.finish import failure_of, finish_of

FINISHES: dict[str, FinishKind] = {
    "done": "stop",
    "tokens": "length",
    "broken": "error",
    "Own": "stop",
    "ERROR_LIMIT": "length",  # its own meaning counts
    "ABORT_OR_NOT": "",
}
FAILURES = (
    *("error", "ABORT", "aborted", "cancelled", "canceled", "failed", "failure", "engine_error"),
    *("timeout", "timed_out", "TIME_OUT", "MALFORMED_FUNCTION_CALL", "interrupted", "expired"),
    *("overloaded", "service_unavailable"),
)


@pytest.mark.parametrize(
    ("reason", "called", "kind"),
    [
        ("done", False, "stop"),
        ("DONE", False, "stop"),
        ("done", True, "tool_call"),
        ("tokens", True, "length"),
        ("whim", True, ""),
        ("Own", False, "stop"),
        ("own", False, ""),
        ("", False, ""),
        ("ERROR_LIMIT", False, "length"),
        ("ABORT_OR_NOT", False, ""),
        *((word, True, "error") for word in FAILURES),
    ],
)
def test_the_kind(reason: str, called: bool, kind: FinishKind) -> None:
    assert finish_of(reason, FINISHES, called, "d", 2) == Finish(reason, kind, "d", 2)


def test_without_a_detail_it_is_the_first_choice() -> None:
    assert finish_of("done", FINISHES, False) == Finish("done", "stop")


def test_the_failure() -> None:
    assert failure_of(Finish("done", "stop")) is None
    failure = failure_of(Finish("broken", "error", "sorry"))
    assert failure is not None
    assert (failure.message, failure.code) == ("the service refused: sorry", "broken")
    assert "broken" in str(failure_of(Finish("broken", "error")))
