"""JSON as services send it: lenient where that is safe, and never guessed."""

from contextlib import suppress
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.protocols.toolkit.soup import BOM
from tokenwire.protocols.errors import Malformed
from tokenwire.protocols.toolkit.json import (
    Lenient,
    count_in,
    decode_json,
    further_in,
    is_cut_json,
    is_list,
    is_object,
    is_whole_json,
    objects_of,
    text_of,
)


class Point(msgspec.Struct):
    x: int


POINT = msgspec.json.Decoder(Point)
ANY = msgspec.json.Decoder()


@pytest.mark.parametrize(
    ("payload", "value"),
    [
        (b'{"x": 1}', {"x": 1}),
        (b' {"x": 1}\r\n', {"x": 1}),
        (BOM + b'{"x": 1}', {"x": 1}),
        (b'"\xff"', "\ufffd"),
        (b'"\xf0\x9f"', "\ufffd"),
        (rb'"\ud83d"', "\ufffd"),
        (rb'"\ud83d\ude00"', "\U0001f600"),
        (rb'["\ude00", "\u2028"]', ["\ufffd", "\u2028"]),
        ('"\u2028\u2029\u0085"'.encode(), "\u2028\u2029\u0085"),
        (
            b'[NaN, Infinity, -Infinity, "NaN \\" [[", {"NaN": 1}]',
            ["NaN", "Infinity", "-Infinity", 'NaN " [[', {"NaN": 1}],
        ),
        (b'[1, "\xff", NaN]', [1, "\ufffd", "NaN"]),
    ],
)
def test_decode_json(payload: bytes, value: Any) -> None:
    assert decode_json(ANY, payload) == value
    assert is_whole_json(payload)


@pytest.mark.parametrize(
    "payload", [b"", b"{", b"[1", b"[1.", b"[-", b"[2e", b'["a', b"[NaN", b"tr"]
)
def test_the_beginning_of_json(payload: bytes) -> None:
    assert is_cut_json(payload)


@pytest.mark.parametrize("payload", [b"{}", b"1", b"-", b"nope", b"[1}", b"[" * 100_000])
def test_what_is_no_beginning_of_json(payload: bytes) -> None:
    assert not is_cut_json(payload)


@pytest.mark.parametrize("number", ["1e999", "-1e999", "1" * 5000, "1" * 400 + ".5"])
def test_a_number_that_is_too_large_becomes_text(number: str) -> None:
    payload = f'{{"a": {number}, "b": [1, -2.5e3, "{number}"]}}'.encode()
    assert decode_json(ANY, payload) == {"a": number, "b": [1, -2500.0, number]}


@pytest.mark.parametrize("control", [0, 9, 10, 27, 31])
def test_a_control_character_that_is_not_escaped_is_text(control: int) -> None:
    """Also beside escapes, and in a key (quirk 87)."""
    raw = bytes([control])
    payload = b'{"a%b": ["\\t%b\\"%b", 1, NaN]}' % (raw, raw, raw)
    text = chr(control)
    assert decode_json(ANY, payload) == {f"a{text}": [f'\t{text}"{text}', 1, "NaN"]}


def test_a_number_that_is_none() -> None:
    with pytest.raises(Malformed):
        decode_json(ANY, b"[NaN, 007]")


NOT_JSON = (b"", b"{", b'{"x": 1', b'{"x": 1}}', b"data", b"[NaN", b"'x'", b"\xff", b'"a\\\nb"')


@pytest.mark.parametrize("payload", [*NOT_JSON, b"[" * 100_000, b'["\xff"' + b"[" * 100_000])
def test_what_is_not_json_is_malformed(payload: bytes) -> None:
    with pytest.raises(Malformed) as caught:
        decode_json(ANY, payload)
    assert caught.value.message == "not JSON"
    assert caught.value.data == payload
    assert not is_whole_json(payload)


@pytest.mark.parametrize("inner", ["1", "NaN", '"]]"', "[], {}", '"\t"'])
def test_what_is_nested_too_deeply_is_text(inner: str) -> None:
    deep = "[" * 5000 + inner + "]" * 5000
    value = decode_json(ANY, f'{{"a": {deep}, "b": [NaN, {deep}], "c": 2}}'.encode())
    assert (value["c"], value["b"][0]) == (2, "NaN")
    found: Any = value["a"]
    depth = 0
    while is_list(found):
        found, depth = found[0], depth + 1
    assert found == deep[depth : len(deep) - depth]


@pytest.mark.parametrize(("depth", "text"), [(63, "NaN"), (64, "[NaN]"), (65, "[[NaN]]")])
def test_how_deep_values_may_be_nested_if_not_all_is_read(depth: int, text: str) -> None:
    for inner in ("NaN", '"a\t"'):
        found = decode_json(ANY, f"{'[' * depth}{inner}{']' * depth}".encode())
        for _ in range(63):
            (found,) = found
        assert found == (text.replace("NaN", inner) if depth > 63 else inner.strip('"'))


@pytest.mark.parametrize("payload", [b"{}", b'{"x": ""}', b"[]", BOM + b'{"x": ""}'])
def test_json_of_another_shape_is_malformed(payload: bytes) -> None:
    with pytest.raises(Malformed, match="unexpected shape") as caught:
        decode_json(POINT, payload)
    assert caught.value.data == payload


@given(st.binary(max_size=40) | st.text('{}[]":,\\ud80nul1e9-.', max_size=30).map(str.encode))
def test_decode_json_raises_nothing_but_malformed(payload: bytes) -> None:
    for decoder in (ANY, POINT):
        with suppress(Malformed):
            decode_json(decoder, payload)


def test_kinds_of_json_values() -> None:
    assert is_object({})
    assert not is_object([])
    assert is_list([])
    assert not is_list("x")


# Field by field


class Odd(msgspec.Struct):
    text: str | None = None
    count: int | None = None
    flag: bool | None = None
    raw: msgspec.Raw | None = None
    inner: Point | None = None
    points: list[Point] = []
    renamed: str = msgspec.field(default="", name="type")


LENIENT = Lenient(Odd, frozenset(("id",)))


@pytest.mark.parametrize(
    ("payload", "known"),
    [
        (b"{}", Odd()),
        (b'{"text": "a", "count": 1, "flag": true}', Odd("a", 1, True)),
        (b'{"type": "t", "points": [{"x": 1}]}', Odd(points=[Point(1)], renamed="t")),
        (b'{"text": null, "type": null, "flag": null, "new": null}', Odd()),
        (b'{"id": 5, "text": "a"}', Odd("a")),
        (b'{"text": "a\xff"}', Odd("a\ufffd")),
        (rb'{"text": "\ud83d", "inner": {"x": 1}}', Odd("\ufffd", inner=Point(1))),
        # Numbers in strings, and strings that are numbers.
        (b'{"count": "12"}', Odd(count=12)),
        (b'{"count": 12.0}', Odd(count=12)),
        (b'{"text": 1.50}', Odd("1.50")),
        (b'{"text": -7}', Odd("-7")),
        (b'{"flag": "true"}', Odd(flag=True)),
        (b'{"inner": {"x": "3"}}', Odd(inner=Point(3))),
    ],
)
def test_a_field_is_read_leniently(payload: bytes, known: Odd) -> None:
    assert LENIENT.decode(payload) == (known, [])


@pytest.mark.parametrize(
    ("payload", "known", "unknown"),
    [
        (b'{"new": [1, 2] , "text": "a"}', Odd("a"), [("new", b"[1, 2]")]),
        (b'{"text": ["a"], "count": 1}', Odd(count=1), [("text", b'["a"]')]),
        (b'{"text": true}', Odd(), [("text", b"true")]),
        (b'{"count": "many"}', Odd(), [("count", b'"many"')]),
        (b'{"count": 1.5}', Odd(), [("count", b"1.5")]),
        (b'{"inner": {"y": 1}}', Odd(), [("inner", b'{"y": 1}')]),
        (b'{"points": {}, "renamed": 1}', Odd(), [("points", b"{}"), ("renamed", b"1")]),
        (b'{"new": "\xff"}', Odd(), [("new", b'"\xff"')]),
    ],
)
def test_what_is_not_understood_is_handed_on(
    payload: bytes, known: Odd, unknown: list[tuple[str, bytes]]
) -> None:
    assert LENIENT.decode(payload) == (known, unknown)


@pytest.mark.parametrize("value", [b'{"a": 1}', b"[1, null]", b'"a"', b"5"])
def test_a_raw_field_takes_any_value_but_null(value: bytes) -> None:
    found, unknown = LENIENT.decode(b'{"raw": %b}' % value)
    assert (bytes(found.raw or b""), unknown) == (value, [])
    assert LENIENT.decode(b'{"raw": null}')[0].raw is None


@pytest.mark.parametrize("payload", [b"[]", b"5", b"{", b'{"text": }', b"null"])
def test_only_an_object_is_read_field_by_field(payload: bytes) -> None:
    with pytest.raises(Malformed) as caught:
        LENIENT.decode(payload)
    assert caught.value.data == payload


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(-1e9, 1e9) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)
KEYS = {field.encode_name: field.name for field in msgspec.structs.fields(Odd)}


@given(st.dictionaries(st.sampled_from([*KEYS, "new"]), ANYTHING))
def test_each_value_is_either_read_or_handed_on(value: dict[str, Any]) -> None:
    known, unknown = LENIENT.decode(msgspec.json.encode(value))
    handed_on = {key: msgspec.json.decode(raw) for key, raw in unknown}
    assert handed_on == {key: value[key] for key in handed_on}
    said = {key for key, item in value.items() if item is not None}
    for key, name in KEYS.items():
        read = getattr(known, name) != getattr(Odd(), name)
        assert read or key in handed_on or key not in said or value[key] in ("", [])
        assert not (read and key in handed_on)
    assert ("new" in handed_on) == ("new" in said)


def test_counts_are_whole_numbers_however_they_are_written() -> None:
    fields = {"a": True, "b": "x3", "c": None, "d": 1.5, "e": 2.0, "f": 4}
    assert count_in(fields, "f", "e") == 4
    assert count_in(fields, "a", "b", "c", "d", "missing", "e") == 2
    assert type(count_in(fields, "e")) is int
    assert count_in(fields, "a", "d") is None
    assert count_in([1], "e") is None
    assert count_in({"a": 0, "b": 1}, "a", "b") == count_in({"a": 0.0}, "a") == 0
    assert count_in({"h": -1, "i": -1.0}, "h", "i") is None
    assert count_in({"g": float("inf")}, "g") is None
    assert count_in({"b": "3"}, "b") == count_in({"b": "0003"}, "b") == 3
    assert count_in({"b": "-3", "c": "", "d": "٣", "e": "1" * 19}, "b", "c", "d", "e") is None


def test_texts_and_objects_of_any_value() -> None:
    assert text_of({"a": "x", "b": 1}, "a") == "x"
    assert [text_of({"b": 1}, "b"), text_of({}, "a"), text_of(["a"], "a")] == ["", "", ""]
    assert objects_of([{"b": 2}, 1, {"a": 1}, "x"]) == [{"b": 2}, {"a": 1}]
    assert [objects_of({}), objects_of(None)] == [[], []]


def test_further_fields() -> None:
    fields = {"a": 1, "b": None, "c": 0, "d": ""}
    assert further_in(fields) == {"a": 1, "c": 0, "d": ""}
    assert further_in(fields, "a", "d") == {"c": 0}
