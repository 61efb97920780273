"""Splicing: one member changes, and no other byte."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenwire.gateway.splice import asking_usage, members, replaced, without_usage

JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)
OBJECTS = st.dictionaries(st.text() | st.sampled_from(["model", "m"]), JSON, max_size=6)
INDENTS = st.sampled_from([None, 0, 3])


@given(OBJECTS, INDENTS, st.booleans())
def test_any_member_of_any_object(value: dict[str, Any], indent: int | None, ascii: bool) -> None:
    data = json.dumps(value, indent=indent, ensure_ascii=ascii).encode("utf-8", "surrogatepass")
    for name, held in value.items():
        ((start, end),) = members(data, name)
        assert json.loads(data[start:end]) == held
        spliced = replaced(data, name, b'"new"')
        assert json.loads(spliced) == {**value, name: "new"}
        assert spliced == data[:start] + b'"new"' + data[end:]
    assert replaced(data, "nobody has this name", b"0") == data


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b'{"model":"a"}', b'{"model":"b"}'),
        (
            b' {\n"x" : [{"model": "no"}, "]}"] , "model" :1e5\t}\n',
            b' {\n"x" : [{"model": "no"}, "]}"] , "model" :"b"\t}\n',
        ),
        (
            b'{"mod\\u0065l":null,"n":12345678901234567890}',
            b'{"mod\\u0065l":"b","n":12345678901234567890}',
        ),
        (b'{"model":"a","model":{"a":"}"}}', b'{"model":"b","model":"b"}'),
        (b'{"a":"\\"model\\":","model":[]}', b'{"a":"\\"model\\":","model":"b"}'),
        (b"{}", b"{}"),
        (b"{ }", b"{ }"),
    ],
)
def test_every_other_byte_stays(before: bytes, after: bytes) -> None:
    assert replaced(before, "model", b'"b"') == after


ASKS = b'"stream_options":{"include_usage":true}'


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b'{"model":"a"}', b'{%b,"model":"a"}' % ASKS),
        (b" { } ", b" {%b } " % ASKS),
        (b'{"stream_options" : null}', b'{"stream_options" : {"include_usage":true}}'),
        (b'{"stream_options":[]}', b"{%b}" % ASKS),
        (b'{"stream_options":{}}', b"{%b}" % ASKS),
        (
            b'{"stream_options":{ "include_usage" : false,"x":1e5}}',
            b'{"stream_options":{ "include_usage" : true,"x":1e5}}',
        ),
        (
            b'{"stream_options":{"x":1}, "n":1}',
            b'{"stream_options":{"include_usage":true,"x":1}, "n":1}',
        ),
    ],
)
def test_asking_for_usage(before: bytes, after: bytes) -> None:
    assert asking_usage(before) == after
    assert asking_usage(after) is after


USAGE = b'data: {"choices":[],"usage":{"total_tokens":3}}'
CHUNK = b'data: {"choices":[{"delta":{"content":"a"}}],"usage":null}\n\n'


@pytest.mark.parametrize("end", [b"\n\n", b"\r\n\r\n", b"\r\r", b""])
def test_the_chunk_that_has_only_the_usage_is_withheld(end: bytes) -> None:
    assert without_usage(CHUNK + USAGE + end) == CHUNK
    assert without_usage(USAGE + end) == b""


@pytest.mark.parametrize(
    "event",
    [
        CHUNK,
        b": ping\n\n",
        b"data: [DONE]\n\n",
        b'data: {"choices":[],"prompt_filter_results":[]}\n\n',  # Azure's first
        b'data: {"choices":[{"delta":{}}],"usage":{"total_tokens":3}}\n\n',
        b'data: {"usage":{"total_tokens":3}}\r\n\r\n',
        b"data: 7\n\n",
    ],
)
def test_every_other_event_stays(event: bytes) -> None:
    assert without_usage(event + USAGE + b"\n\n" + event) == event + event
