"""Tool calls from fragments: quirks 18 and 22."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenwire.protocols.errors import LimitExceeded
from tokenwire.protocols.events import (
    Event,
    FinishKind,
    ToolCallDelta,
    ToolCallEnd,
    ToolCallStart,
)
from tokenwire.protocols.limits import Parts
from tokenwire.protocols.reply import Reply
from tokenwire.protocols.toolkit.parts import PartNumbers
from tokenwire.protocols.toolkit.toolcalls import ToolCalls, is_json_object, seems_complete

Fragment = tuple[int | None, str, str, str]
"""place, id, name, arguments"""


def fold(
    fragments: list[Fragment], *, kind: FinishKind | None = None, custom: bool = False
) -> list[Event]:
    calls = ToolCalls(2, Parts(100), PartNumbers().new)
    events: list[Event] = []
    for place, id_, name, arguments in fragments:
        calls.fragment(place, id_, name, arguments, events, custom=custom)
    calls.settle(kind, events)
    return events


def test_the_events_of_one_call() -> None:
    assert fold([(0, "c", "f", ""), (0, "", "", '{"a":'), (0, "", "", "1}")]) == [
        ToolCallStart(0, "c", "f", index=2),
        ToolCallDelta(0, '{"a":', index=2),
        ToolCallDelta(0, "1}", index=2),
        ToolCallEnd(0, "c", "f", '{"a":1}', True, index=2),
    ]


def test_how_many_have_begun() -> None:
    calls, events = ToolCalls(0, Parts(9), PartNumbers().new), list[Event]()
    assert len(calls) == 0
    for place in (0, 0, 1):
        calls.fragment(place, f"c{place}", "f", "", events)
    assert len(calls) == 2


def test_each_call_is_a_part() -> None:
    numbers = PartNumbers()
    numbers.of("text")
    calls, events = ToolCalls(0, Parts(9), numbers.new), list[Event]()
    first = calls.fragment(0, "a", "f", "", events)
    assert (first.part, numbers.of("text")) == (1, 2)
    assert calls.fragment(1, "b", "g", "", events).part == 3
    assert calls.fragment(0, "a", "", "{}", events) is calls[0] is first
    assert [event for event in events if isinstance(event, ToolCallStart)] == [
        ToolCallStart(0, "a", "f", part=1),
        ToolCallStart(1, "b", "g", part=3),
    ]


def test_a_call_of_free_text() -> None:
    start, delta, end = fold([(0, "c", "sh", "ls {")], custom=True)
    assert start == ToolCallStart(0, "c", "sh", custom=True, index=2)
    assert delta == ToolCallDelta(0, "ls {", index=2)
    assert end == ToolCallEnd(0, "c", "sh", "ls {", True, custom=True, index=2)
    for kind in CUTTING:
        end = fold([(0, "c", "sh", "ls {")], custom=True, kind=kind)[-1]
        assert isinstance(end, ToolCallEnd)
        assert not end.complete


def test_free_text_may_be_known_late() -> None:
    calls, events = ToolCalls(0, Parts(9), PartNumbers().new), list[Event]()
    calls.fragment(0, "c", "", "", events)
    calls.fragment(0, "", "sh", "ls", events, custom=True)
    assert events[0] == ToolCallStart(0, "c", "sh", custom=True)


def test_no_calls() -> None:
    assert fold([]) == []


F, G = '{"f":1}', '{"g":2}'
TWO = [("a", "f", F), ("b", "g", G)]
NO_IDS = [("", "f", F), ("", "g", G)]
CALLS: dict[str, tuple[list[Fragment], list[tuple[str, str, str]]]] = {
    "whole in one fragment": ([(0, "a", "f", F)], [("a", "f", F)]),
    "the place comes once": ([(0, "a", "f", '{"f"'), (None, "", "", ":1}")], [("a", "f", F)]),
    "two at their places": (
        [(0, "a", "f", ""), (1, "b", "g", ""), (0, "", "", F), (1, "", "", G)],
        TWO,
    ),
    "places from 1": ([(1, "a", "f", F), (2, "b", "g", G)], TWO),
    "no places, by id": ([(None, "a", "f", F), (None, "b", "g", G)], TWO),
    "no places, no ids, by name": ([(None, "", "f", F), (None, "", "g", G)], NO_IDS),
    "no places, continued": (
        [(None, "a", "f", '{"f"'), (None, "", "", ":1}"), (None, "b", "g", G)],
        TWO,
    ),
    "no places, continued by id": (
        [(None, "a", "f", '{"f"'), (None, "b", "g", G), (None, "a", "", ":1}")],
        TWO,
    ),
    "one place for two calls, by id": ([(0, "a", "f", F), (0, "b", "g", G)], TWO),
    "one place for two calls, by name": ([(0, "", "f", F), (0, "", "g", G)], NO_IDS),
    "one id for two calls": ([(0, "a", "f", F), (1, "a", "g", G)], [("a", "f", F), ("a", "g", G)]),
    "the id on every fragment": ([(0, "a", "f", '{"f"'), (0, "a", "", ":1}")], [("a", "f", F)]),
    "the name on every fragment": ([(0, "a", "f", '{"f"'), (0, "a", "f", ":1}")], [("a", "f", F)]),
    "the name on each fragment only": ([(0, "", "f", '{"f"'), (0, "", "f", ":1}")], [("", "f", F)]),
    "the id comes late": ([(0, "", "f", ""), (0, "a", "", F)], [("a", "f", F)]),
    "the name comes late": ([(0, "a", "", ""), (0, "", "f", F)], [("a", "f", F)]),
    "the name comes after the arguments": ([(0, "a", "", F), (0, "a", "f", "")], [("a", "f", F)]),
    "no name": ([(0, "a", "", F)], [("a", "", F)]),
    "nothing but an id": ([(0, "a", "", "")], [("a", "", "{}")]),
    "no arguments": ([(0, "a", "f", "")], [("a", "f", "{}")]),
    "arguments null": ([(0, "a", "f", "null")], [("a", "f", "{}")]),
    "each fragment repeats all": (
        [(0, "a", "f", '{"f'), (0, "", "", '{"f":'), (0, "", "", F), (0, "", "", F)],
        [("a", "f", F)],
    ),
    "the last one repeats the whole": (
        [(0, "a", "f", '{"f"'), (0, "", "", ":1}"), (0, "a", "f", F)],
        [("a", "f", F)],
    ),
    "an empty object first": (
        [(0, "a", "f", "{}"), (0, "", "", '{"f"'), (0, "", "", ":1}")],
        [("a", "f", F)],
    ),
    "an empty object twice": ([(0, "a", "f", "{}"), (0, "", "", "{}")], [("a", "f", "{}")]),
    "a key like a repetition": (
        [(0, "a", "f", '{"'), (0, "", "", '{":'), (0, "", "", "1}")],
        [("a", "f", '{"{":1}')],
    ),
    "a value like a repetition": (
        [(0, "a", "f", '{"f":'), (0, "", "", F), (0, "", "", "}")],
        [("a", "f", '{"f":{"f":1}}')],
    ),
    "the name in pieces": ([(0, "a", "f", '{"f"'), (0, "a", "g", ":1}")], [("a", "fg", F)]),
    "the name in pieces, without ids": ([(0, "", "f", ""), (0, "", "g", F)], [("", "fg", F)]),
    "the name grows": ([(0, "a", "f", ""), (0, "a", "fg", F)], [("a", "fg", F)]),
}  # fmt: skip


@pytest.mark.parametrize("case", CALLS)
def test_calls(case: str) -> None:
    fragments, calls = CALLS[case]
    ends = [event for event in fold(fragments) if isinstance(event, ToolCallEnd)]
    assert [(end.id, end.name, end.arguments) for end in ends] == calls
    assert [end.call for end in ends] == list(range(len(calls)))
    assert all(end.complete for end in ends)


@pytest.mark.parametrize(("looks", "ends"), [(7, [F, G]), (8, [F + G])])
def test_a_call_that_repeats_its_name_is_looked_at_eight_times(looks: int, ends: list[str]) -> None:
    """The last look is at the fragment of another name, which begins a call if this one is whole.
    To look at each of many fragments would take time that grows with their square."""
    again: list[Fragment] = [(0, "", "f", each) for each in (F[1:-1], *[""] * (looks - 2), "}")]
    events = fold([(0, "", "f", "{"), *again, (0, "", "g", G)])
    assert [end.arguments for end in events if isinstance(end, ToolCallEnd)] == ends


def test_what_is_said_again_is_no_delta() -> None:
    again = fold([(0, "a", "f", '{"f'), (0, "a", "f", '{"f":1'), (0, "a", "f", '{"f":1')])
    assert [event.arguments for event in again if isinstance(event, ToolCallDelta)] == [
        '{"f',
        '":1',
    ]


@pytest.mark.parametrize(("first", "whole"), [("{", '{"f":1}'), (' {"f"', ' {"f":1}')])
def test_the_whole_after_its_beginning(first: str, whole: str) -> None:
    end = fold([(0, "a", "f", first), (0, "a", "f", whole)])[-1]
    assert end == ToolCallEnd(0, "a", "f", whole, True, index=2)


@pytest.mark.parametrize("text", ["ls", "{}", '{"a'])
def test_free_text_may_repeat_itself(text: str) -> None:
    end = fold([(0, "a", "sh", text), (0, "a", "sh", text + "{")], custom=True)[-1]
    assert end == ToolCallEnd(0, "a", "sh", f"{text}{text}{{", True, custom=True, index=2)


def test_what_is_no_object_may_repeat_itself() -> None:
    for text in ("[", "ab"):
        end = fold([(0, "a", "f", text), (0, "a", "f", text)])[-1]
        assert end == ToolCallEnd(0, "a", "f", text * 2, False, index=2)


def test_calls_are_counted() -> None:
    calls = ToolCalls(0, Parts(2), PartNumbers().new)
    for place in (0, 1, 0):
        calls.fragment(place, "", "f", "", [])
    with pytest.raises(LimitExceeded):
        calls.fragment(2, "", "f", "", [])


WHOLE: list[FinishKind | None] = [None, "stop", "tool_call"]
CUTTING: list[FinishKind] = ["length", "content_filter", "error", ""]


@pytest.mark.parametrize("kind", [*WHOLE, *CUTTING])
@pytest.mark.parametrize("arguments", ["", "null"])
def test_no_arguments_are_an_empty_object_unless_they_may_be_missing(
    arguments: str, kind: FinishKind | None
) -> None:
    end = fold([(0, "a", "f", arguments)], kind=kind)[-1]
    assert end == ToolCallEnd(0, "a", "f", "{}", kind in WHOLE, index=2)


@pytest.mark.parametrize("kind", [*WHOLE, *CUTTING])
def test_whole_arguments_are_complete_unless_the_reason_is_an_error(
    kind: FinishKind | None,
) -> None:
    end = fold([(0, "a", "f", '{"a":1}')], kind=kind)[-1]
    assert end == ToolCallEnd(0, "a", "f", '{"a":1}', kind != "error", index=2)


@pytest.mark.parametrize("kind", [*WHOLE, *CUTTING])
@pytest.mark.parametrize(
    "arguments", ['{"a":', "{'a': 1}", "[]", '"x"', '{"a":1}{"a":1}', '{"a":NaN}']
)
def test_what_is_cut_or_invalid_is_not_complete(arguments: str, kind: FinishKind | None) -> None:
    end = fold([(0, "a", "f", arguments)], kind=kind)[-1]
    assert end == ToolCallEnd(0, "a", "f", arguments, False, index=2)


@pytest.mark.parametrize("text", ["{}", ' {"a": [1]} ', '{"\u2028": null}'])
def test_is_json_object(text: str) -> None:
    assert is_json_object(text)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "{} {}", "{'a': 1}", '{"a":' * 9999])
def test_is_no_json_object(text: str) -> None:
    assert not is_json_object(text)


def test_a_broken_call_is_not_complete() -> None:
    for custom, arguments in ((False, '{"a":1}'), (False, ""), (True, "ls")):
        calls, events = ToolCalls(0, Parts(9), PartNumbers().new), list[Event]()
        calls.fragment(0, "a", "f", arguments, events, custom=custom).broken = True
        calls.settle("tool_call", events)
        end = events[-1]
        assert isinstance(end, ToolCallEnd)
        assert not end.complete


def test_a_call_is_found_at_its_place() -> None:
    calls = ToolCalls(0, Parts(9), PartNumbers().new)
    assert calls.at(0) is calls.at(None) is None
    first = calls.fragment(0, "a", "f", "", [])
    last = calls.fragment(None, "b", "g", "", [])
    assert calls.at(0) is first
    assert calls.at(None) is None
    assert calls.fragment(0, "c", "h", "", []) is calls.at(0)
    assert first is not calls.at(0) is not last


def test_all_calls_are_started_once() -> None:
    calls, events = ToolCalls(0, Parts(9), PartNumbers().new), list[Event]()
    calls.fragment(0, "a", "", "", events)
    calls.fragment(1, "b", "g", "", events)
    calls.start_all(events)
    calls.settle(None, events)
    assert [event for event in events if isinstance(event, ToolCallStart)] == [
        ToolCallStart(1, "b", "g", part=0),
        ToolCallStart(0, "a", "", part=1),
    ]


@pytest.mark.parametrize("kind", [*WHOLE, *CUTTING])
@pytest.mark.parametrize("custom", [False, True])
@pytest.mark.parametrize("arguments", ["{}", '{"a":1}', '{"a":', "ls"])
def test_what_a_client_takes_for_complete(
    arguments: str, custom: bool, kind: FinishKind | None
) -> None:
    """It is what it makes of the fragments that a server half writes for such a call."""
    end = ToolCallEnd(3, "a", "f", arguments, False, custom, 2)
    written = "" if arguments == "{}" else arguments
    received = fold([(0, "a", "f", written)], kind=kind, custom=custom)[-1]
    assert isinstance(received, ToolCallEnd)
    assert seems_complete(end, kind) is received.complete


FRAGMENT = st.tuples(
    st.sampled_from([None, 0, 1]),
    st.sampled_from(["", "a", "b"]),
    st.sampled_from(["", "f", "g"]),
    st.sampled_from(["", "{", "}", '"x":1', "{}", "null"]),
)


@given(st.lists(FRAGMENT, max_size=8), st.sampled_from([*WHOLE, *CUTTING]))
def test_no_argument_is_lost_and_each_call_has_its_start_and_end(
    fragments: list[Fragment], kind: FinishKind | None
) -> None:
    events = fold(fragments, kind=kind)
    starts = [event.call for event in events if isinstance(event, ToolCallStart)]
    ends = [event for event in events if isinstance(event, ToolCallEnd)]
    assert sorted(starts) == [end.call for end in ends] == list(range(len(starts)))
    deltas = [event.arguments for event in events if isinstance(event, ToolCallDelta)]
    told = [arguments for *_, arguments in fragments if arguments]
    assert deltas == told or {"{", "{}"} & {*told[:-1]}  # what repeats it is left out (quirk 83)
    if events:
        assert [call.complete for call in Reply.of(events).choices[2].tool_calls] == [
            end.complete for end in sorted(ends, key=lambda end: starts.index(end.call))
        ]
