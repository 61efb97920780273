"""Chat completions, decoded leniently: what is understood, and what is kept as it came."""

from typing import Any

import msgspec
import pytest

from tokenwire.protocols.errors import Malformed
from tokenwire.protocols.formats.openai_chat.wire import (
    Chunk,
    Custom,
    Delta,
    Fragment,
    Function,
    OddChoice,
    OddFragment,
    WireChoice,
    decode_fragment,
    decode_loosely,
)

AROUND: dict[str, Any] = {
    "id": "c",
    "model": "m",
    "usage": {"total_tokens": 1},
    "error": {"code": 1},
    "x_groq": {"id": "r"},
    "citations": ["u"],
    "search_results": [{"url": "u"}],
}
FIELDS: dict[str, Any] = {
    "index": 1,
    "finish_reason": "stop",
    "text": "t",
    "stop_reason": 7,
    "usage": {"total_tokens": 2},
    "error": {"code": 2},
    "native_finish_reason": "STOP",
}


def test_a_chunk_that_is_as_it_should_be() -> None:
    payload = msgspec.json.encode({**AROUND, "choices": [{"delta": {"content": "a"}}]})
    plain = WireChoice(delta=Delta(content="a"))
    assert decode_loosely(payload) == Chunk(choices=[plain], **AROUND)


def test_an_odd_choice_changes_nothing_around_it() -> None:
    payload = msgspec.json.encode({**AROUND, "choices": [{"new": 1}, {"text": "a"}]})
    odd: list[WireChoice] = [OddChoice(unknown=[("new", b"1")]), OddChoice(text="a")]
    assert decode_loosely(payload) == Chunk(choices=odd, **AROUND)
    payload = msgspec.json.encode({**AROUND, "choices": 5})
    odd = [OddChoice(unknown=[("", b"5")])]
    assert decode_loosely(payload) == Chunk(choices=odd, **AROUND)


@pytest.mark.parametrize(
    ("choice", "understood"),
    [
        (b"7", OddChoice(unknown=[("", b"7")])),
        (b"null", OddChoice(unknown=[("", b"null")])),
        (b'{"new": [1]}', OddChoice(unknown=[("new", b"[1]")])),
        (b'{"index": "x", "role": 1}', OddChoice(unknown=[("index", b'"x"')])),
        (msgspec.json.encode({**FIELDS, "new": 1}), OddChoice(**FIELDS, unknown=[("new", b"1")])),
        (
            b'{"delta": {"content": "a", "new": 1, "role": 2}, "more": 3}',
            OddChoice(delta=Delta(content="a"), unknown=[("more", b"3"), ("delta.new", b"1")]),
        ),
        (
            b'{"message": {"content": "a", "new": 1, "old": [2]}}',
            OddChoice(
                message=Delta(content="a"),
                unknown=[("message.new", b"1"), ("message.old", b"[2]")],
            ),
        ),
        (
            b'{"delta": [1], "message": 7}',
            OddChoice(unknown=[("delta", b"[1]"), ("message", b"7")]),
        ),
        (b'{"delta": null, "new": 1}', OddChoice(unknown=[("new", b"1")])),
    ],
)
def test_odd_choices(choice: bytes, understood: OddChoice) -> None:
    assert decode_loosely(b'{"choices": [' + choice + b"]}").choices == [understood]


def test_log_probabilities_of_an_odd_choice() -> None:
    found = decode_loosely(b'{"choices": [{"logprobs": {"a": [1]}, "new": 1}]}').choices
    assert found is not None
    assert found[0].logprobs is not None
    assert bytes(found[0].logprobs["a"]) == b"[1]"


@pytest.mark.parametrize(
    ("payload", "understood"),
    [
        (
            b'{"index": 1, "id": "c", "function": {"name": "f", "arguments": "{}"}}',
            Fragment(1, "c", function=Function("f", "{}")),
        ),
        (
            b'{"index": 1, "id": "c", "type": 5, "new": [1], "function": {"name": "f"}}',
            OddFragment(1, "c", function=Function("f"), unknown=[("", "new", b"[1]")]),
        ),
        (
            b'{"function": {"name": "f", "arguments": {"a": 1}, "new": 1}, "more": 2}',
            OddFragment(
                function=Function("f", {"a": 1}),
                unknown=[("", "more", b"2"), ("function", "new", b"1")],
            ),
        ),
        (
            b'{"custom": {"name": "f", "input": "x", "new": 1, "old": 2}}',
            OddFragment(
                custom=Custom("f", "x"),
                unknown=[("custom", "new", b"1"), ("custom", "old", b"2")],
            ),
        ),
        (
            b'{"function": "f", "custom": [1]}',
            OddFragment(unknown=[("", "function", b'"f"'), ("", "custom", b"[1]")]),
        ),
    ],
)
def test_fragments_of_calls(payload: bytes, understood: Fragment) -> None:
    assert decode_fragment(payload) == understood


@pytest.mark.parametrize("payload", [b"[]", b"7", b"{", b'"a"', b"[" * 9999])
def test_what_is_no_object(payload: bytes) -> None:
    with pytest.raises(Malformed):
        decode_loosely(payload)
    with pytest.raises(Malformed):
        decode_fragment(payload)
