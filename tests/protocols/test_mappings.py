"""Messages and tools as plain data: what becomes of each key, and that none is lost."""

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import pytest

from tokenwire.protocols.chat import (
    FilePart,
    ImagePart,
    Message,
    Opaque,
    Part,
    ReasoningPart,
    RefusalPart,
    TextPart,
    Tool,
    ToolCall,
)
from tokenwire.protocols.errors import LocalProtocolError
from tokenwire.protocols.events import Native
from tokenwire.protocols.mappings import detail_text, message_of, tool_of


def own(value: Any) -> Native:
    """The native form that has `value` as JSON."""
    return Native("openai_chat", json.dumps(value, separators=(",", ":")).encode())


def user(*parts: Any) -> tuple[Part, ...]:
    return message_of({"role": "user", "content": list(parts)}).parts


def assistant(**fields: Any) -> Message:
    return message_of({"role": "assistant", **fields})


# Messages


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"role": "user", "content": "hi"}, Message("user", "hi")),
        ({"role": "system", "content": ""}, Message("system")),
        ({"role": "developer", "content": None}, Message("developer")),
        ({"role": "user", "name": "ann", "content": "hi"}, Message("user", "hi", name="ann")),
        ({"role": "user", "content": []}, Message("user", ())),
        ({"role": "user", "content": ()}, Message("user", ())),
        (
            {"role": "user", "content": [{"type": "text", "text": "hi"}]},
            Message("user", (TextPart("hi"),)),
        ),
        (
            {"role": "tool", "tool_call_id": "c1", "content": "7"},
            Message("tool", "7", tool_call_id="c1"),
        ),
        (  # the tool message of old
            {"role": "function", "name": "f", "content": "7"},
            Message("tool", "7", name="f"),
        ),
        (
            {"role": "assistant", "content": "a", "prefix": True, "partial": None},
            Message("assistant", "a", extra={"prefix": True}),
        ),
        (  # what says something of an assistant only is a further field elsewhere
            {"role": "user", "content": "a", "reasoning": "b", "refusal": "c"},
            Message("user", "a", extra={"reasoning": "b", "refusal": "c"}),
        ),
    ],
)
def test_message(value: dict[str, Any], message: Message) -> None:
    assert message_of(value) == message
    assert message_of(MappingProxyType(value)) == message


def test_an_assistants_message() -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    message = assistant(content="a", reasoning_content="b", refusal="c", tool_calls=[call])
    assert message == Message(
        "assistant",
        (ReasoningPart("b"), TextPart("a"), RefusalPart("c"), ToolCall("c1", "f", "{}")),
    )
    assert assistant(content=None, tool_calls=[call]).content == (ToolCall("c1", "f", "{}"),)
    assert assistant(content="a", refusal=None, tool_calls=[], reasoning="") == (
        Message("assistant", "a")
    )
    text = {"type": "text", "text": "a"}
    assert assistant(content=[text], reasoning="b").parts == (ReasoningPart("b"), TextPart("a"))


# Thoughts


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning"])
def test_a_thought(name: str) -> None:
    assert assistant(**{name: "hm"}).parts == (ReasoningPart("hm"),)


def test_a_thought_by_two_names_is_one() -> None:
    two = {"reasoning_content": "hm", "reasoning": "hm!"}
    assert assistant(**two).parts == (ReasoningPart("hm"),)
    (part,) = assistant(**two, reasoning_details=[{"data": "AA"}]).parts
    assert part == ReasoningPart("hm", own({"reasoning_details": [{"data": "AA"}]}))


def test_thoughts_in_detail_have_a_native_form() -> None:
    details = [
        {"type": "reasoning.summary", "summary": "a", "index": 0},
        {"type": "reasoning.text", "text": "b", "signature": "s", "index": 1},
        {"type": "reasoning.encrypted", "data": "AA", "index": 2},
    ]
    native = own({"reasoning_details": details})
    assert assistant(reasoning_details=details).parts == (ReasoningPart("ab", native),)
    (part,) = assistant(reasoning="hm", reasoning_details=details[2:]).parts
    assert part == ReasoningPart("hm", own({"reasoning_details": details[2:]}))
    assert assistant(content="a", reasoning_details=[]) == Message("assistant", "a")


@pytest.mark.parametrize(
    ("detail", "text"),
    [
        ({"text": "a", "summary": "b"}, "a"),
        ({"text": "", "summary": "b"}, "b"),
        ({"text": 5}, ""),
        ({"data": "AA"}, ""),
        ("a", ""),
    ],
)
def test_detail_text(detail: Any, text: str) -> None:
    assert detail_text(detail) == text


# Parts


PNG = "data:image/png;base64,UE5H"


@pytest.mark.parametrize(
    ("value", "part"),
    [
        ({"type": "text", "text": "a"}, TextPart("a")),
        ({"type": "refusal", "refusal": "no"}, RefusalPart("no")),
        ({"type": "image_url", "image_url": {"url": PNG}}, ImagePart(PNG)),
        ({"type": "image_url", "image_url": {"url": PNG, "detail": None}}, ImagePart(PNG)),
        ({"type": "image_url", "image_url": {"url": PNG, "detail": "low"}}, ImagePart(PNG, "low")),
        (
            {"type": "input_audio", "input_audio": {"data": "QQ==", "format": "wav"}},
            FilePart("data:audio/wav;base64,QQ==", "audio/wav"),
        ),
        (
            {"type": "input_audio", "input_audio": {"data": "QQ==", "format": "mp3"}},
            FilePart("data:audio/mpeg;base64,QQ==", "audio/mpeg"),
        ),
        (
            {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:x/y;base64,QQ=="}},
            FilePart("data:x/y;base64,QQ==", "x/y", "a.pdf"),
        ),
        (
            {"type": "file", "file": {"file_data": "data:x/y;charset=utf-8;base64,QQ=="}},
            FilePart("data:x/y;charset=utf-8;base64,QQ==", "x/y"),
        ),
        ({"type": "file", "file": {"file_data": "QQ=="}}, FilePart("QQ==")),
    ],
)
def test_known_parts(value: dict[str, Any], part: Part) -> None:
    assert user(value) == (part,)


@pytest.mark.parametrize(
    "value",
    [
        {"type": "video_url", "video_url": {"url": "https://x.test/a.mp4"}},
        {"type": "input_audio", "input_audio": {"data": "QQ==", "format": "flac"}},
        {"type": "input_audio", "input_audio": {"format": "wav"}},
        {"type": "file", "file": {"file_id": "f1"}},
        {"type": "text", "text": 5},
        {"type": "image_url", "image_url": "https://x.test/a.png"},
        {"type": "image_url", "image_url": {"url": 5}},
        {"type": "refusal"},
    ],
)
def test_parts_that_only_the_format_understands(value: dict[str, Any]) -> None:
    assert user(value) == (Opaque(own({"content": [value]})),)
    marked = {**value, "cache_control": {"type": "ephemeral"}}
    assert user(marked) == (Opaque(own({"content": [marked]})),)


@pytest.mark.parametrize(
    ("value", "part"),
    [
        ({"type": "text", "text": "a", "new": 1}, TextPart("a")),
        ({"type": "refusal", "refusal": "no", "new": None}, RefusalPart("no")),
        ({"type": "image_url", "image_url": {"url": PNG, "new": 1}}, ImagePart(PNG)),
        (
            {"type": "input_audio", "input_audio": {"data": "QQ==", "format": "wav", "new": 1}},
            FilePart("data:audio/wav;base64,QQ==", "audio/wav"),
        ),
        ({"type": "file", "file": {"file_data": "QQ==", "file_id": "f1"}}, FilePart("QQ==")),
    ],
)
def test_parts_with_further_keys_keep_the_whole(
    value: dict[str, Any], part: TextPart | RefusalPart | ImagePart | FilePart
) -> None:
    (got,) = user(value)
    assert got.native == own({"content": [value]})
    assert Message("user", (got,)).plain().parts == (part,)


@pytest.mark.parametrize(
    ("mark", "cache"),
    [
        ({"type": "ephemeral"}, "5m"),
        ({"type": "ephemeral", "ttl": "5m"}, "5m"),
        ({"type": "ephemeral", "ttl": "1h"}, "1h"),
        (None, ""),
    ],
)
def test_cache_marks(mark: Any, cache: Any) -> None:
    text = {"type": "text", "text": "a", "cache_control": mark}
    assert user(text) == (TextPart("a", cache),)
    refusal = {"type": "refusal", "refusal": "a", "cache_control": mark}  # has no place for one
    native = own({"content": [refusal]}) if cache else None
    assert user(refusal) == (RefusalPart("a", native),)
    function = {"name": "f", "arguments": "{}"}
    call = {"id": "c", "type": "function", "function": function, "cache_control": mark}
    assert assistant(tool_calls=[call]).parts == (ToolCall("c", "f", "{}", cache=cache),)
    tool = {"type": "function", "function": {"name": "f"}, "cache_control": mark}
    assert tool_of(tool) == Tool("f", cache=cache)


@pytest.mark.parametrize(
    "mark",
    [
        "ephemeral",
        {"type": "ephemeral", "ttl": "2h"},
        {"type": "ephemeral", "scope": "org"},
        {"type": "new"},
        {},
    ],
)
def test_cache_marks_that_are_not_understood_stay_in_the_native_form(mark: Any) -> None:
    text = {"type": "text", "text": "a", "cache_control": mark}
    assert user(text) == (TextPart("a", native=own({"content": [text]})),)
    function = {"name": "f", "arguments": "{}"}
    call = {"id": "c", "type": "function", "function": function, "cache_control": mark}
    native = own({"tool_calls": [call]})
    assert assistant(tool_calls=[call]).parts == (ToolCall("c", "f", "{}", native=native),)
    tool = {"type": "function", "function": {"name": "f"}, "cache_control": mark}
    assert tool_of(tool) == Tool("f", native=own(tool))


# Calls


def called(value: Any) -> Part:
    (part,) = assistant(tool_calls=[value]).parts
    return part


@pytest.mark.parametrize(
    ("value", "call"),
    [
        ({"function": {}}, ToolCall("", "", "")),
        ({"function": {"name": "f", "arguments": "{}"}}, ToolCall("", "f", "{}")),
        (
            {"id": None, "index": 0, "type": "function", "function": {"name": "f"}},
            ToolCall("", "f", ""),
        ),
        (  # as Ollama writes them
            {"id": "c", "function": {"name": "f", "arguments": {"a": [1]}}},
            ToolCall("c", "f", '{"a":[1]}'),
        ),
        (
            {"id": "c", "type": "custom", "custom": {"name": "sh", "input": "ls"}},
            ToolCall("c", "sh", "ls", custom=True),
        ),
    ],
)
def test_calls(value: dict[str, Any], call: ToolCall) -> None:
    assert called(value) == call


@pytest.mark.parametrize(
    "value",
    [
        {"id": "c", "type": "function", "function": {"name": "f", "arguments": ""}, "new": 1},
        {"id": "c", "type": "function", "function": {"name": "f", "arguments": "", "new": 1}},
    ],
)
def test_calls_with_further_keys_keep_the_whole(value: dict[str, Any]) -> None:
    assert called(value) == ToolCall("c", "f", "", native=own({"tool_calls": [value]}))


# Tools


def test_tool() -> None:
    schema: dict[str, Any] = {"type": "object", "properties": {"a": {}}}
    function: dict[str, Any] = {
        "name": "f",
        "description": "does f",
        "parameters": schema,
        "strict": True,
    }
    assert tool_of({"type": "function", "function": function}) == (
        Tool("f", "does f", schema, strict=True)
    )
    assert tool_of({"type": "function", "function": {"name": "f", "strict": None}}) == Tool("f")
    assert tool_of({"type": "function", "function": {}}) == Tool("")


@pytest.mark.parametrize(
    "value",
    [
        {"type": "function", "function": {"name": "f"}, "new": 1},
        {"type": "function", "function": {"name": "f", "new": 1}},
    ],
)
def test_tools_with_further_keys_keep_the_whole(value: dict[str, Any]) -> None:
    assert tool_of(value) == Tool("f", native=own(value))


@pytest.mark.parametrize(
    "value",
    [
        {"type": "custom", "custom": {"name": "sh"}},
        {"type": "web_search_20250305", "name": "web_search"},
        {"name": "f", "input_schema": {"type": "object"}},
        {"type": "function", "name": "f"},
    ],
)
def test_tools_in_the_words_of_the_format_that_is_asked(value: dict[str, Any]) -> None:
    raw = json.dumps(value, separators=(",", ":")).encode()
    assert tool_of(value) == Opaque(Native("", raw))
    assert tool_of(MappingProxyType(value)) == Opaque(Native("", raw))


# Errors


PART_OF = "a part of a message's content: give a mapping with type"


NO_MESSAGES: list[tuple[Any, str]] = [
    (5, "a message of type int: give a Message, or a mapping with role"),
    ({}, "a message's role is system, developer, user, assistant, tool, not None"),
    ({"role": "king"}, "a message's role is system, developer, user, assistant, tool, not 'k"),
    ({"role": ["user"]}, "a message's role is"),
    ({"role": "x" * 999}, "a message's role is"),
    ({"role": "user", "name": 5}, "name: give text, not int"),
    ({"role": "user", "content": 5}, "content: give a list, not int"),
    ({"role": "user", "content": b"a"}, "content: give a list, not bytes"),
    ({"role": "user", "content": {"type": "text"}}, "content: give a list, not dict"),
    ({"role": "user", "content": ["a"]}, PART_OF),
    ({"role": "user", "content": [{"text": "a"}]}, "a part of type None: its type is text"),
    ({"role": "user", "content": [{"type": [9] * 999}]}, "a part of type [9"),
    ({"role": "tool", "tool_call_id": 5}, "tool_call_id: give text, not int"),
    ({"role": "assistant", "reasoning": 5}, "reasoning: give text, not int"),
    ({"role": "assistant", "refusal": 5}, "refusal: give text, not int"),
    ({"role": "assistant", "reasoning_details": "a"}, "reasoning_details: give a list"),
    ({"role": "assistant", "tool_calls": "f"}, "tool_calls: give a list, not str"),
    ({"role": "assistant", "tool_calls": ["f"]}, "a tool call: give a mapping with id and fun"),
    ({"role": "assistant", "tool_calls": [{"id": "c"}]}, "a tool call: its function is an obj"),
    (
        {"role": "assistant", "tool_calls": [{"type": "custom"}]},
        "a tool call: its custom is an object with name and input",
    ),
    (
        {"role": "assistant", "tool_calls": [{"id": 5, "function": {}}]},
        "a tool call's id: give text, not int",
    ),
    (
        {"role": "assistant", "tool_calls": [{"function": {"name": 5}}]},
        "a tool call's name: give text, not int",
    ),
    (
        {"role": "assistant", "tool_calls": [{"function": {"arguments": 5}}]},
        "a tool call's arguments: give text, not int",
    ),
    (
        {"role": "user", "content": [{"type": "new", "data": object()}]},
        "a part can't be written as JSON: Encoding objects of type object is unsupported",
    ),
    (
        {"role": "user", "content": [{"type": "new", "data": type("A" * 999, (), {})()}]},
        "a part can't be written as JSON: Encoding objects of type AAA",
    ),
    (
        {"role": "assistant", "reasoning_details": [object()]},
        "reasoning_details can't be written as JSON",
    ),
    (
        {"role": "assistant", "tool_calls": [{"function": {"arguments": {"a": object()}}}]},
        "a tool call can't be written as JSON",
    ),
    (
        {"role": "assistant", "tool_calls": [{"function": {}, "new": object()}]},
        "a tool call can't be written as JSON",
    ),
]


@pytest.mark.parametrize(("value", "words"), NO_MESSAGES)
def test_what_is_no_message(value: Any, words: str) -> None:
    with pytest.raises(LocalProtocolError) as caught:
        message_of(value)
    assert str(caught.value).startswith(words)
    assert len(str(caught.value)) <= 200


def test_what_refers_to_itself_is_no_message() -> None:
    part: dict[str, Any] = {"type": "new"}
    part["part"] = part
    with pytest.raises(LocalProtocolError, match="can't be written as JSON"):
        user(part)


def function(**fields: Any) -> dict[str, Any]:
    return {"type": "function", "function": fields}


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("f", "a tool of type str: give a Tool, or a mapping with type"),
        (function(name=5), "a tool's name: give text, not int"),
        (function(name="f", description=5), "a tool's description: give text, not int"),
        (function(name="f", parameters=5), "a tool's parameters are an object, and its strict"),
        (function(name="f", strict="yes"), "a tool's parameters are an object, and its strict"),
        ({"type": "new", "data": object()}, "a tool can't be written as JSON"),
        (function(name="f", new=object()), "a tool can't be written as JSON"),
    ],
)
def test_what_is_no_tool(value: Any, words: str) -> None:
    with pytest.raises(LocalProtocolError) as caught:
        tool_of(value)
    assert str(caught.value).startswith(words)


def test_mappings_inside_are_written_as_objects() -> None:
    inner: Mapping[str, Any] = MappingProxyType({"a": (1, MappingProxyType({}))})
    (part,) = user(MappingProxyType({"type": "new", "data": inner}))
    assert part == Opaque(own({"content": [{"type": "new", "data": {"a": [1, {}]}}]}))
