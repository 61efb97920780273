"""Pointers into JSON values, and differences."""

from typing import Any

import pytest
from msgspec import UNSET

from tokenwire import LocalProtocolError
from tokenwire.replay.pointers import Difference, changed, differences

VALUE = {"a": [{"b": 1}, {"b": 2}], "c/d~": {"e": True}}


@pytest.mark.parametrize(
    ("pointer", "value"),
    [
        ("/a/1/b", {**VALUE, "a": [{"b": 1}, {"b": 0}]}),
        ("/a/*/b", {**VALUE, "a": [{"b": 0}, {"b": 0}]}),
        ("/c~1d~0/e", {**VALUE, "c/d~": {"e": 0}}),
        ("/*", {"a": 0, "c/d~": 0}),
        ("/x", VALUE),
        ("/a/0/b/c", VALUE),
    ],
)
def test_a_value_is_changed_there(pointer: str, value: Any) -> None:
    assert changed(VALUE, pointer, 0) == value


def test_what_is_no_pointer() -> None:
    with pytest.raises(LocalProtocolError, match="'a' is no JSON pointer"):
        changed(VALUE, "a", 0)


DIFFERENCES: list[tuple[Any, Any, list[tuple[str, Any, Any]]]] = [
    ({"a": 1, "b": [1]}, {"b": [1], "a": 1.0}, []),
    ({"a": True}, {"a": 1}, [("/a", True, 1)]),
    ({"a": 1}, {}, [("/a", 1, UNSET)]),
    ({}, {"a/b": None}, [("/a~1b", UNSET, None)]),
    ([1], [1, 2], [("/1", UNSET, 2)]),
    ([1, 2], [2], [("/0", 1, 2), ("/1", 2, UNSET)]),
    ({"a": []}, {"a": {}}, [("/a", [], {})]),
    ("text", None, [("", "text", None)]),
]


@pytest.mark.parametrize(("one", "other", "found"), DIFFERENCES)
def test_differences(one: Any, other: Any, found: list[tuple[str, Any, Any]]) -> None:
    assert list(differences(one, other)) == [Difference(*each) for each in found]


def test_what_is_ignored() -> None:
    other = {"a": [{"b": 1}, {"b": 3}], "c/d~": 1}
    assert list(differences(VALUE, other, ["/a/*/b", "/c~1d~0"])) == []
    assert len(list(differences(VALUE, other, ["/a/0/b", "/c"]))) == 2


@pytest.mark.parametrize(
    ("recorded", "asked", "same"),
    [
        ("*", 7, True),
        ("*", "x", True),
        ("a*c*e", "abcde", True),
        ("a*c*e", "ae", False),
        ("a*c*e", "abde", False),
        ("a*e", "e", False),
        ("a*e", "xe", False),
        ("a*e", 5, False),
        ("a*", "abc", True),
        ("ab*ab", "ab", False),
    ],
)
def test_what_was_left_out_matches_anything(recorded: str, asked: Any, same: bool) -> None:
    assert (not list(differences({"x": recorded}, {"x": asked}, wild="*"))) == same
