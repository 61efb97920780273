"""What is written down of a call."""

import pytest

from tokenwire import End, Event, Finish, Reasoning, Start, Text, Usage
from tokenwire.gateway.record import Record
from tokenwire.protocols.events import Citation

EXPECTED = Usage(100, 50)
ANSWER: list[Event] = [
    Start("id", "m-1"),
    Usage(10, 1),
    Reasoning("hm"),
    Text("plum"),
    Citation("http://a"),
    Usage(10, 7),
    Finish("stop", "stop"),
    End("terminator"),
]


def noted(events: list[Event], *, looks_up: bool = False, outcome: str = "complete") -> Record:
    record = Record("id", 0.0, looks_up=looks_up, outcome=outcome)
    for event in events:
        record.note(event)
    return record


def test_a_whole_answer() -> None:
    record = noted(ANSWER)
    assert (record.answered_by, record.characters, record.usage) == ("m-1", 6, Usage(10, 7))
    assert (record.finishes, record.evidence) == (("stop",), "terminator")
    assert (record.used(EXPECTED), record.estimated) == (Usage(10, 7), False)


def test_what_was_kept_uses_nothing() -> None:
    record = noted(ANSWER, looks_up=True)
    assert (record.usage, record.characters) == (None, 6)
    assert record.used(EXPECTED) is None


@pytest.mark.parametrize(
    ("events", "used"),
    [
        ([Text("x" * 40)], Usage(None, 10)),
        ([Usage(10, 1), Text("x" * 40)], Usage(10, 10)),
        ([Usage(10, 12), Text("x" * 40)], Usage(10, 12)),
        ([Usage(10), Text("x" * 40), End("terminator")], Usage(10, 10)),
    ],
)
def test_an_answer_that_broke_off_is_estimated_by_its_text(
    events: list[Event], used: Usage
) -> None:
    record = noted(events, outcome="truncated")
    assert (record.used(EXPECTED), record.estimated) == (used, True)
    assert record.usage == used


@pytest.mark.parametrize(
    ("events", "outcome", "used"),
    [
        ([], "upstream_error", None),
        ([Usage(10)], "truncated", Usage(10)),
        ([End("terminator")], "complete", EXPECTED),  # it is made in the background
        ([Finish("stop", "stop"), End("terminator")], "complete", None),
        ([Usage(10), End("terminator")], "complete", Usage(10)),
    ],
)
def test_an_answer_without_text(events: list[Event], outcome: str, used: Usage | None) -> None:
    record = noted(events, outcome=outcome)
    assert (record.used(EXPECTED), record.estimated) == (used, False)
