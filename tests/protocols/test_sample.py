"""Values of schemas, judged by the `jsonschema` library."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from tokenwire.protocols.sample import sample

OBJECT = {
    "type": "object",
    "properties": {"a": {"type": "integer"}, "b": {"type": "string"}},
    "required": ["a"],
    "additionalProperties": False,
}
INTEGERS = {"type": "array", "items": {"type": "integer"}}
TREE = {
    "$defs": {
        "node": {
            "type": "object",
            "properties": {
                "name": {"type": "string"},
                "children": {"type": "array", "items": {"$ref": "#/$defs/node"}},
            },
            "required": ["name", "children"],
        }
    },
    "$ref": "#/$defs/node",
}


def check(schema: Any, value: Any) -> None:
    validator: Any = Draft202012Validator(schema)
    validator.validate(value)


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        (True, "hi"),
        ({}, "hi"),
        ({"type": "string"}, "hi"),
        ({"type": "string", "maxLength": 1}, "h"),
        ({"type": "string", "minLength": 4}, "hi.."),
        ({"minLength": 3}, "hi."),
        ({"type": "string", "format": "date"}, "2026-01-01"),
        ({"type": "boolean"}, False),
        ({"type": "null"}, None),
        ({"type": ["null", "boolean"]}, False),
        ({"type": ["null"]}, None),
        ({"const": 5}, 5),
        ({"type": "string", "enum": ["x", "y"]}, "x"),
        ({"type": "integer"}, 1),
        ({"type": "number"}, 1),
        ({"type": "integer", "minimum": 2.5}, 3),
        ({"type": "integer", "exclusiveMinimum": 3}, 4),
        ({"type": "integer", "maximum": -2}, -2),
        ({"type": "integer", "exclusiveMaximum": -2}, -3),
        ({"type": "integer", "multipleOf": 5, "minimum": 6}, 10),
        ({"type": "integer", "multipleOf": 0.5}, 1),
        ({"type": "number", "multipleOf": 0.5}, 0.5),
        ({"type": "number", "minimum": 0.25, "maximum": 0.75}, 0.5),
        ({"type": "number", "minimum": 0.5, "exclusiveMaximum": 1}, 0.75),
        ({"type": "integer", "multipleOf": 5, "maximum": -3}, -5),
        ({"type": "number", "minimum": True}, 1),
        (OBJECT, {"a": 1}),
        ({"properties": {"a": True, "b": {"type": "null"}}}, {"a": "hi", "b": None}),
        ({"type": "object", "required": ["x"]}, {"x": "hi"}),
        ({"type": "array", "items": {"type": "integer"}}, [1]),
        ({"items": {"type": "integer"}, "minItems": 3}, [1, 1, 1]),
        ({"type": "array", "items": True, "maxItems": 0}, []),
        ({"type": "array", "prefixItems": [{"const": 1}, {"const": 2}]}, [1, 2]),
        ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, 1),
        ({"oneOf": [{"type": "string"}], "maxLength": 1}, "h"),
        ({"allOf": [OBJECT, {"required": ["b"]}]}, {"a": 1, "b": "hi"}),
        ({"allOf": [{"properties": {"a": True}, "required": ["b"]}, {"required": ["c", "b"]}]},
         {"b": "hi", "c": "hi"}),
        ({"allOf": [{"anyOf": [{"type": "integer"}]}]}, 1),
        ({"$ref": "#/$defs/a", "$defs": {"a": {"anyOf": [{"type": "integer"}]}}}, 1),
        ({"$ref": "#/$defs/a~0b", "$defs": {"a~b": {"type": "integer"}}}, 1),
        ({"prefixItems": [True] * 150, "type": "array"}, ["hi"] * 100),
        ({"$ref": "#/$defs/a~1b", "$defs": {"a/b": {"type": "integer"}}}, 1),
        ({"$ref": "#/$defs/a", "maximum": 0, "$defs": {"a": {"type": "integer"}}}, 0),
        ({"$ref": "#/$defs/a", "$defs": {"a": {"anyOf": [INTEGERS]}}}, [1]),
        ({"allOf": [{"anyOf": [INTEGERS]}]}, [1]),
    ],
)  # fmt: skip
def test_a_value_of_each_kind(schema: Any, value: Any) -> None:
    assert sample(schema, "hi") == value
    check(schema, value)


def within(depth: int, outer: Callable[[Any], Any], inner: Any) -> Any:
    """`inner` in so many of `outer`."""
    for _ in range(depth):
        inner = outer(inner)
    return inner


def test_how_deep_what_is_optional_is_given() -> None:
    objects = within(6, lambda inner: {"properties": {"a": inner}}, {"type": "object"})
    assert sample(objects, "hi") == {"a": {"a": {"a": {"a": {}}}}}
    assert sample({"anyOf": [objects]}, "hi") == {"a": {"a": {"a": {}}}}
    arrays = within(6, lambda inner: {"items": inner}, True)
    assert sample(arrays, "hi") == [[[[[]]]]]


def test_how_deep_what_is_meant_is_looked_for() -> None:
    parts = within(30, lambda inner: {"allOf": [inner]}, {"type": "integer"})
    assert sample(parts, "hi") == 1
    chain: dict[str, Any] = {f"{n}": {"$ref": f"#/$defs/{n + 1}"} for n in range(30)}
    chain["30"] = {"type": "integer"}
    assert sample({"$ref": "#/$defs/0", "$defs": chain}, "hi") == 1


def test_how_deep_what_is_required_is_given() -> None:
    objects = within(41, lambda inner: {"properties": {"a": inner}, "required": ["a"]}, True)
    assert sample(objects, "hi") == within(41, lambda inner: {"a": inner}, None)
    assert sample(objects["properties"]["a"], "hi") == within(40, lambda inner: {"a": inner}, "hi")


def test_how_many_schemas_are_looked_at() -> None:
    """The outer one is looked at twice: for what it refers to, too."""
    value = sample({"properties": {f"{n}": True for n in range(2000)}}, "hi")
    assert list(value.values()) == ["hi"] * 1998 + [None] * 2


def test_what_is_demanded_beyond_measure() -> None:
    assert sample({"type": "array", "minItems": 10**9}, "hi") == ["hi"] * 100
    assert sample({"type": "array", "minItems": 10**9, "maxItems": 10**9}, "hi") == ["hi"] * 100
    assert sample({"type": "string", "minLength": 10**9}, "hi") == "hi".ljust(10_000, ".")
    assert sample({"type": "string"}, "") == ""
    assert sample({"type": "integer", "multipleOf": 0}, "hi") == 1
    odd: list[Any] = [[], {"a": 1}, 7]
    for choices in odd:
        assert sample({"type": "integer", "anyOf": choices}, "hi") == 1


def test_what_has_itself_as_a_part() -> None:
    value = sample(TREE, "hi")
    assert (value["name"], value["children"][0]["name"]) == ("hi", "hi")
    check(TREE, value)


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#"},
        {"$ref": "#/nowhere"},
        {"$ref": "#/$defs/x/y", "$defs": {"x": 1}},
        {"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"]},
        {"anyOf": [{"$ref": "#"}]},
        {"allOf": [{"$ref": "#"}]},
        {"allOf": [{"$ref": "#"}, {"$ref": "#"}]},
        {"properties": {"a": {"$ref": "#"}, "b": {"$ref": "#"}}, "required": ["a", "b"]},
        {"type": "array", "minItems": 10**9},
        {"type": "string", "minLength": 10**9},
        {"type": "string", "minLength": -1, "maxLength": "many"},
        {"type": "odd", "enum": []},
    ],
)
def test_what_can_not_be_fulfilled_ends(schema: Any) -> None:
    json.dumps(sample(schema, "hi"))


_words = st.sampled_from(["a", "b", "c"])
_schemas: st.SearchStrategy[Any] = st.recursive(
    st.booleans()
    | st.fixed_dictionaries(
        {"type": st.sampled_from(["string", "integer", "number", "boolean", "null"])},
        optional={
            "minimum": st.integers(-9, 9),
            "multipleOf": st.integers(1, 9),
            "maxLength": st.integers(3, 9),
            "minLength": st.integers(0, 3),
        },
    ),
    lambda inner: (
        st.fixed_dictionaries(
            {"type": st.just("object"), "properties": st.dictionaries(_words, inner)},
            optional={"required": st.lists(_words, unique=True)},
        )
        | st.fixed_dictionaries(
            {"type": st.just("array"), "items": inner}, optional={"minItems": st.integers(0, 3)}
        )
        | st.fixed_dictionaries({"anyOf": st.lists(inner, min_size=1, max_size=2)})
    ),
    max_leaves=6,
)


@given(_schemas, st.text(max_size=5))
def test_whatever_is_demanded(schema: Any, text: str) -> None:
    value = sample(schema, text)
    assert value == sample(schema, text)
    if "false" not in json.dumps(schema):  # which nothing fits
        check(schema, value)


@given(st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from(["#", "string", "#/a"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["type", "$ref", "allOf", "anyOf", "properties", "items", "required",
                         "enum", "minItems", "maxItems", "minimum", "maximum", "a"]),
        inner, max_size=4),
    max_leaves=12))  # fmt: skip
def test_what_is_no_schema_is_no_crash(schema: Any) -> None:
    json.dumps(sample(schema, "hi"))
