"""A JSON array, element by element, the same however its bytes are cut."""

import json
import os
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.cutting import at, bytewise, cuts, every_way, whole
from tokenwire.protocols.errors import LimitExceeded, Malformed
from tokenwire.protocols.toolkit.elements import Elements

BIG = 1 << 20


class Split(NamedTuple):
    """What becomes of a body. `error` is the class, the message and the data."""

    elements: list[bytes]
    error: tuple[type[Exception], str, bytes] | None
    over: bool
    rest: bytes


def split(pieces: list[bytes], limit: int = BIG) -> Split:
    array, elements = Elements(limit), list[bytes]()
    try:
        for piece in pieces:
            array.feed(piece, elements)
    except (Malformed, LimitExceeded) as error:
        return Split(elements, (type(error), error.message, error.data), array.over, b"")
    return Split(elements, None, array.over, array.rest)


def alike(body: bytes, limit: int = BIG) -> Split:
    """What becomes of `body`, the same in every way of cutting it, and cut at each byte."""
    found = split(whole(body), limit)
    for pieces in every_way(body):
        assert split(pieces, limit) == found
    for place in range(len(body)):
        assert split(at(body, [place]), limit) == found
    return found


ELEMENTS = [
    b"{}",
    b"[]",
    b'""',
    b"0",
    b"-1.5e+10",
    b"true",
    b"false",
    b"null",
    b'"text"',
    b'"]"',
    b'","',
    b'"{"',
    b'"\\""',
    b'"\\\\"',
    b'"\\\\\\"]"',
    b'"\\u005d"',
    '"é\u2028"'.encode(),
    b'{"a": 1}',
    b'{"a": [1, {"b": "]}"}]}',
    b'[[], [[" ["]], {"}": "\\"}"}]',
    b'{\n  "a": "x",\r\n\t"b": [ ]\n}',
]


@pytest.mark.parametrize(
    "form", [b"[%b]", b" \t\r\n[ \t\r\n%b \t\r\n] \t\r\n", b"[{},%b]", b"[%b ,1]"]
)
@pytest.mark.parametrize("element", ELEMENTS)
def test_element(element: bytes, form: bytes) -> None:
    expected = [b"{}"] * form.startswith(b"[{}") + [element] + [b"1"] * form.endswith(b"1]")
    assert alike(form % element) == (expected, None, True, b"")


@pytest.mark.parametrize("comma", [b",", b"\n,\r\n", b" , "])
def test_elements(comma: bytes) -> None:
    body = b"[" + comma.join(ELEMENTS) + b"]"
    assert alike(body) == (ELEMENTS, None, True, b"")


@pytest.mark.parametrize("body", [b"[]", b" [ \n] \n"])
def test_none(body: bytes) -> None:
    assert alike(body) == ([], None, True, b"")


def test_each_comes_as_soon_as_it_is_complete() -> None:
    """An object, an array and a string with their last byte; a number with the byte after it."""
    array = Elements(BIG)
    came: list[tuple[str, list[bytes]]] = []
    for byte in bytewise(b'[{"a":1}, [2],"3", 45 ,6]'):
        elements: list[bytes] = []
        array.feed(byte, elements)
        if elements:
            came.append((byte.decode(), elements))
    assert came == [
        ("}", [b'{"a":1}']),
        ("]", [b"[2]"]),
        ('"', [b'"3"']),
        (" ", [b"45"]),
        ("]", [b"6"]),
    ]


def test_what_is_not_complete() -> None:
    body = b' [ {"a": "\\"]"} , 12 ]'
    for size in range(len(body)):
        found = alike(body[:size])
        assert found.error is None
        assert not found.over
        assert len(found.elements) == (size >= body.index(b"}") + 1) + (size >= len(body) - 1)
        begun = body[3:size] if size <= body.index(b"}") else b""
        if size > body.index(b"12"):
            begun = body[body.index(b"12") : size].strip()
        assert found.rest == (b"" if size >= len(body) - 1 else begun)
    assert alike(body).over


def test_an_escape_at_the_border() -> None:
    """The byte after a backslash is escaped, though the backslash ended the piece before, and only
    that byte."""
    for body in (b'["\\""]', b'["\\\\"]', b'["a\\\\\\"b"]', b'["\\\\",""]'):
        assert alike(body).elements == [json.dumps(text).encode() for text in json.loads(body)]


WRONG = {
    "text": (b"x", "not a JSON array", b"x"),
    "an object": (b'{"a": 1}', "not a JSON array", b"{"),
    "a mark": (b"\xef\xbb\xbf[]", "not a JSON array", b"\xef"),
    "an end": (b" ]", "not a JSON array", b"]"),
    "a comma at the beginning": (b"[ ,1]", "does not begin with an element", b","),
    "no element": (b"[}", "does not begin with an element", b"}"),
    "a form feed": (b"[\f1]", "does not begin with an element", b"\f"),
    "not JSON": (b"[undefined]", "does not begin with an element", b"u"),
    "two commas": (b"[1,,2]", "without an element after a comma", b","),
    "a comma at the end": (b"[1, ]", "without an element after a comma", b"]"),
    "no comma": (b"[{} {}]", "without a comma after an element", b"{"),
    "no comma after a text": (b'["a""b"]', "without a comma after an element", b'"'),
    "no comma after a number": (b"[1 2]", "without a comma after an element", b"2"),
    "no comma after an array": (b"[[]]]", "more than white space after a JSON array", b"]"),
    "a wrong end": (b"[{}}", "without a comma after an element", b"}"),
    "text after the end": (b"[] x", "more than white space after a JSON array", b"x"),
    "a comma after the end": (b"[],", "more than white space after a JSON array", b","),
    "another array": (b"[]\n[]", "more than white space after a JSON array", b"["),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong(name: str) -> None:
    body, problem, data = WRONG[name]
    found = alike(body)
    assert found.error is not None
    kind, message, excerpt = found.error
    assert kind is Malformed
    assert message in (problem, f"a JSON array that {problem}", f"a JSON array {problem}")
    assert excerpt == data
    assert alike(body + b"[{ more }") == found


def test_elements_before_an_error_are_delivered() -> None:
    assert alike(b'[{"a":1},2 x').elements == [b'{"a":1}', b"2"]
    assert alike(b"[{},[],") == ([b"{}", b"[]"], None, False, b"")


def test_an_element_is_not_checked_itself() -> None:
    """The caller decodes it, and finds out; the array goes on after it."""
    for element in (b"{]", b"[}", b"{a}", b"1x", b'1"', b"tru", b"-", b'"\\x"', b'"\n"'):
        assert alike(b"[%b,1]" % element) == ([element, b"1"], None, True, b"")


@pytest.mark.parametrize("form", [b'"%b"', b"{%b}", b'["%b"]', b"1%b"])
def test_limit(form: bytes) -> None:
    """Of an element, complete or not, without the white space around it."""
    limit = 20
    fits = form % (b"1" * (limit + 2 - len(form)))
    large = form % (b"1" * (limit + 3 - len(form)))
    assert len(fits) == limit
    body = b"[" + b" " * 2 * limit + fits + b" " * 2 * limit + b"," + fits + b"]"
    assert alike(body, limit) == ([fits, fits], None, True, b"")
    error = (LimitExceeded, "an element of more than 20 bytes in a JSON array", b"")
    for end in (b"]", b"", b" x", b",1]"):
        assert alike(b"[1, " + large + end, limit) == ([b"1"], error, False, b"")
    assert alike(b"[1, " + large[:limit], limit).error is None


def test_depth() -> None:
    """No recursion, and no memory for it."""
    deep = b"[" * 100_000 + b"]" * 100_000
    assert split([b"[" + deep + b"," + deep + b"]"]) == ([deep, deep], None, True, b"")
    assert split(bytewise(b"[" + deep + b"]")) == ([deep], None, True, b"")


JSON: st.SearchStrategy[Any] = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text()),
    lambda inner: st.one_of(st.lists(inner), st.dictionaries(st.text(), inner)),
    max_leaves=8,
)


@given(
    st.lists(JSON),
    st.sampled_from([None, 1, "\t"]),
    st.booleans(),
    st.text(" \t\r\n", max_size=3),
    st.data(),
)
def test_any_array(
    values: list[Any], indent: int | None, ascii: bool, blank: str, data: st.DataObject
) -> None:
    texts = [json.dumps(value, indent=indent, ensure_ascii=ascii) for value in values]
    texts = [text.replace("NaN", "0").replace("Infinity", "0") for text in texts]
    body = f"{blank}[{blank}{f'{blank},{blank}'.join(texts)}{blank}]{blank}".encode(
        errors="replace"
    )
    expected = [text.encode(errors="replace") for text in texts]
    assert split(data.draw(cuts(body))) == (expected, None, True, b"")


SIGNS = st.sampled_from([*b'[]{},"\\ \n01tx\xff'])


@given(st.lists(SIGNS).map(bytes), st.booleans(), st.integers(1, 6), st.data())
def test_any_bytes(body: bytes, begun: bool, limit: int, data: st.DataObject) -> None:
    """`split` lets no other errors pass; cutting changes nothing."""
    body = b"[" * begun + body
    found = split(whole(body), limit)
    assert split(data.draw(cuts(body)), limit) == found
    assert split(bytewise(body), limit) == found
    assert all(0 < len(element) <= limit for element in found.elements)
    try:
        expected = json.loads(body)
    except ValueError:
        return
    if isinstance(expected, list) and not (found.error and found.error[0] is LimitExceeded):
        assert [json.loads(element) for element in found.elements] == expected
        assert found.over


# Recorded

_FOLDER = os.environ.get("TOKENWIRE_CORPUS")
RECORDED = sorted(Path(_FOLDER, "gemini-json-array").glob("*.json")) if _FOLDER else []


@pytest.mark.skipif(not _FOLDER, reason="TOKENWIRE_CORPUS names no folder of recorded answers")
@pytest.mark.parametrize("file", RECORDED, ids=lambda file: file.stem)
def test_recorded(file: Path) -> None:
    body = file.read_bytes()
    found = alike(body)
    assert (found.error, found.over, found.rest) == (None, True, b"")
    assert [json.loads(element) for element in found.elements] == json.loads(body)


@pytest.mark.skipif(not _FOLDER, reason="TOKENWIRE_CORPUS names no folder of recorded answers")
def test_recordings_were_found() -> None:
    assert RECORDED
