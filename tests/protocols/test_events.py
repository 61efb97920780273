"""Events: values that can be compared, matched, and written as one line of JSON."""

import typing
from base64 import b64decode

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenwire.protocols.events import (
    Citation,
    End,
    Event,
    Evidence,
    Finish,
    Image,
    LogProbs,
    Native,
    Reasoning,
    Refusal,
    Start,
    Text,
    TokenLogProb,
    ToolCallDelta,
    ToolCallEnd,
    ToolCallStart,
    Unrecognized,
    Usage,
    proves,
)

EVENTS: list[tuple[str, Event]] = [
    ("start", Start("chatcmpl-1", "gpt-4o")),
    ("text", Text("\u2028\u00e9\0\n", index=1)),
    ("reasoning", Reasoning("hm")),
    ("refusal", Refusal("no")),
    ("tool_call_start", ToolCallStart(0, "call_1", "add")),
    ("tool_call_delta", ToolCallDelta(0, '{"a":')),
    ("tool_call_end", ToolCallEnd(0, "call_1", "add", '{"a":1}', complete=True)),
    ("image", Image(b"\x89PNG\0\xff", "image/png", "https://x/1.png", "a cat")),
    ("citation", Citation("https://x", "X")),
    ("native", Native("anthropic", b'{"type":"thinking"}', part=1)),
    ("log_probs", LogProbs([TokenLogProb("a", -0.5, [97], [TokenLogProb("b", -1)])], "refusal")),
    ("usage", Usage(1, 2, 3, raw={"prompt_tokens": 1, "new": [None, {"deep": 1.5}]})),
    ("finish", Finish("end_turn", "stop", "\n")),
    ("unrecognized", Unrecognized(b"\xff\0\r\n", "choices[0]")),
    ("end", End("terminator")),
]


@pytest.mark.parametrize(("name", "event"), EVENTS)
def test_an_event_is_one_line_of_json(name: str, event: Event) -> None:
    line = msgspec.json.encode(event)
    assert b"\n" not in line
    assert msgspec.json.decode(line)["event"] == name
    again = msgspec.json.decode(line, type=Event)
    assert type(again) is type(event)
    assert again == event


@pytest.mark.parametrize(("name", "event"), EVENTS)
def test_an_event_is_frozen(name: str, event: Event) -> None:
    for field in event.__struct_fields__:
        with pytest.raises(AttributeError):
            setattr(event, field, getattr(event, field))


def test_every_event_is_here() -> None:
    assert [type(event) for _, event in EVENTS] == list(typing.get_args(Event))


@given(st.text(), st.integers(0, 99), st.binary())
def test_any_text_and_any_bytes_make_the_round_trip(text: str, index: int, data: bytes) -> None:
    for event in (Text(text, index=index), ToolCallDelta(index, text), Unrecognized(data, text)):
        assert msgspec.json.decode(msgspec.json.encode(event), type=Event) == event


def test_events_are_equal_by_value_and_kind() -> None:
    assert Text("a") == Text("a", index=0)
    assert Text("a") != Text("a", index=1)
    assert len({Text("a"), Text("a"), Reasoning("a")}) == 2


def test_the_raw_usage_of_one_is_not_that_of_another() -> None:
    assert Usage().raw is not Usage().raw


@pytest.mark.parametrize("data", [b"", b"a", bytes(range(256))])
def test_data_url(data: bytes) -> None:
    url = Image(data, "image/webp").data_url
    head, _, body = url.partition(",")
    assert head == "data:image/webp;base64"
    assert b64decode(body, validate=True) == data


STRENGTH: tuple[Evidence, ...] = ("connection_close", "body_end", "finish", "terminator")


@pytest.mark.parametrize("owed", STRENGTH)
def test_evidence_proves_what_is_weaker_or_the_same(owed: Evidence) -> None:
    assert not proves(None, owed)
    for found in STRENGTH:
        assert proves(found, owed) == (STRENGTH.index(found) >= STRENGTH.index(owed))
