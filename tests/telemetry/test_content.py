"""What was said, in the conventions' JSON."""

import json
from typing import Any

import jsonschema
import pytest

from tokenwire import (
    Chat,
    End,
    Event,
    FilePart,
    Finish,
    Image,
    ImagePart,
    Message,
    Native,
    Opaque,
    Reasoning,
    ReasoningPart,
    Refusal,
    RefusalPart,
    Reply,
    Text,
    TextPart,
    Tool,
    ToolCall,
    ToolCallDelta,
    ToolCallEnd,
    ToolCallStart,
)
from tokenwire.telemetry.content import LIMIT, Content, as_json

THOUGHT = Native("anthropic", b'{"type":"thinking","thinking":"t","signature":"SIGNED"}')


def kind(name: str, /, **fields: Any) -> dict[str, Any]:
    """The schema of a part of this type."""
    properties = {"type": {"const": name}, **fields}
    needed = [field for field in properties if field != "id"]
    return {"type": "object", "properties": properties, "required": needed}


TEXT: dict[str, Any] = {"type": "string"}
PARTS = {
    "type": "array",
    "items": {
        "anyOf": [
            kind("text", content=TEXT),
            kind("reasoning", content=TEXT),
            kind("tool_call", name=TEXT, id=TEXT, arguments={}),
            kind("tool_call_response", id=TEXT, response={}),
            kind("blob", modality=TEXT, content=TEXT),
            kind("uri", modality=TEXT, uri=TEXT),
            {
                "type": "object",
                "properties": {
                    "type": {
                        "type": "string",
                        "not": {"enum": ["text", "reasoning", "tool_call", "blob", "uri"]},
                    }
                },
                "required": ["type"],
            },
        ]
    },
}
"""The types of parts, as the documents of the conventions describe them."""


def schema(*needed: str) -> dict[str, Any]:
    properties = {"role": TEXT, "parts": PARTS, "finish_reason": TEXT}
    message = {"type": "object", "properties": properties, "required": list(needed)}
    return {"type": "array", "items": message}


def valid(found: dict[str, Any]) -> dict[str, Any]:
    """`found`, if it is as the conventions want it."""
    for name, value in found.items():
        value = json.loads(as_json(value))
        match name:
            case "gen_ai.input.messages":
                jsonschema.validate(value, schema("role", "parts"))
            case "gen_ai.output.messages":
                jsonschema.validate(value, schema("role", "parts", "finish_reason"))
            case "gen_ai.system_instructions":
                jsonschema.validate(value, PARTS)
            case _:
                assert all(isinstance(tool["type"], str) for tool in value)
    return found


def asked(*messages: Message, **content: Any) -> dict[str, Any]:
    return valid(Content(**content).asked(Chat(messages=messages)))


def inputs(*messages: Message, **content: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = asked(*messages, **content)["gen_ai.input.messages"]
    return found


def parts(*given: Any, **content: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = inputs(Message("user", given), **content)[0]["parts"]
    return found


def test_a_conversation() -> None:
    found = asked(
        Message("system", "be brief"),
        Message("developer", "be kind"),
        Message("user", "hi"),
        Message("assistant", (ToolCall("c1", "look", '{"at": 1}'),)),
        Message("tool", "seen", tool_call_id="c1"),
        Message("system", "hurry"),
    )
    assert found == {
        "gen_ai.system_instructions": [
            {"type": "text", "content": "be brief"},
            {"type": "text", "content": "be kind"},
        ],
        "gen_ai.input.messages": [
            {"role": "user", "parts": [{"type": "text", "content": "hi"}]},
            {
                "role": "assistant",
                "parts": [
                    {"type": "tool_call", "id": "c1", "name": "look", "arguments": {"at": 1}}
                ],
            },
            {
                "role": "tool",
                "parts": [{"type": "tool_call_response", "id": "c1", "response": "seen"}],
            },
            {"role": "system", "parts": [{"type": "text", "content": "hurry"}]},
        ],
    }


def test_the_result_of_a_tool_with_a_picture() -> None:
    (message,) = inputs(Message("tool", (TextPart("see"), ImagePart("https://a.example/b.png"))))
    assert message["parts"] == [
        {"type": "tool_call_response", "response": "see"},
        {"type": "uri", "modality": "image", "uri": "https://a.example/b.png"},
    ]


def test_parts_of_every_kind() -> None:
    assert parts(
        TextPart("a"),
        RefusalPart("no"),
        ReasoningPart("t", THOUGHT),
        ToolCall("", "f", "free", custom=True),
        FilePart("gs://b/c.mp4", "video/mp4"),
        FilePart("https://a.example/d"),
        Opaque(Native("anthropic", b'{"type":"redacted_thinking","data":"SECRET"}')),
        Opaque(Native("gemini", b'{"functionCall": {}}')),
        Opaque(Native("gemini", b"[1]")),
    ) == [
        {"type": "text", "content": "a"},
        {"type": "text", "content": "no"},
        {"type": "reasoning", "content": "t"},
        {"type": "tool_call", "name": "f", "arguments": "free"},
        {"type": "uri", "modality": "video", "mime_type": "video/mp4", "uri": "gs://b/c.mp4"},
        {"type": "uri", "modality": "document", "uri": "https://a.example/d"},
        {"type": "redacted_thinking", "dialect": "anthropic"},
        {"type": "opaque", "dialect": "gemini"},
        {"type": "opaque", "dialect": "gemini"},
    ]


def test_bytes_only_if_asked_for() -> None:
    picture = ImagePart.of_bytes(b"png", "image/png")
    file = FilePart.of_bytes(b"pdf", "application/pdf")
    assert parts(picture, file) == []
    assert parts(picture, file, media=True) == [
        {"type": "blob", "modality": "image", "mime_type": "image/png", "content": "cG5n"},
        {
            "type": "blob",
            "modality": "document",
            "mime_type": "application/pdf",
            "content": "cGRm",
        },
    ]


def test_tools() -> None:
    tools = (
        Tool("look", "looks", {"type": "object"}),
        Tool("bare"),
        Opaque(Native("openai_responses", b'{"type":"web_search"}')),
    )
    chat = Chat(messages=(Message("user", "hi"),), tools=tools)
    assert valid(Content().asked(chat))["gen_ai.tool.definitions"] == [
        {
            "type": "function",
            "name": "look",
            "description": "looks",
            "parameters": {"type": "object"},
        },
        {"type": "function", "name": "bare"},
        {"type": "web_search", "dialect": "openai_responses"},
    ]


def answered(*events: Event, complete: bool = True, **content: Any) -> list[dict[str, Any]]:
    found = valid(Content(**content).answered(Reply.of(events), complete=complete))
    messages: list[dict[str, Any]] = found["gen_ai.output.messages"]
    return messages


def test_an_answer() -> None:
    assert answered(
        Reasoning("hm", 0),
        THOUGHT,
        Text("I ", 1),
        Text("look", 1),
        ToolCallStart(0, "c1", "look", part=2),
        ToolCallDelta(0, '{"at": 1}'),
        ToolCallEnd(0, "c1", "look", '{"at": 1}', complete=True),
        Finish("tool_calls", "tool_call"),
        Refusal("no", index=1),
        Image(b"png", "image/png", index=1),
        Finish("eos", index=1),
        End("terminator"),
        media=True,
    ) == [
        {
            "role": "assistant",
            "parts": [
                {"type": "reasoning", "content": "hm"},
                {"type": "text", "content": "I look"},
                {"type": "tool_call", "id": "c1", "name": "look", "arguments": {"at": 1}},
            ],
            "finish_reason": "tool_call",
        },
        {
            "role": "assistant",
            "parts": [
                {"type": "text", "content": "no"},
                {"type": "blob", "modality": "image", "mime_type": "image/png", "content": "cG5n"},
            ],
            "finish_reason": "eos",
        },
    ]


def test_a_truncated_answer() -> None:
    events = (Text("Hel"), ToolCallStart(0, "", "f", part=1), ToolCallDelta(0, '{"a'))
    assert answered(*events, complete=False) == [
        {
            "role": "assistant",
            "parts": [
                {"type": "text", "content": "Hel"},
                {"type": "tool_call", "name": "f", "arguments": '{"a'},
            ],
            "finish_reason": "error",
        }
    ]


def test_a_service_without_finish_reasons() -> None:
    (message,) = answered(Text("a"), End("terminator"))
    assert message["finish_reason"] == ""


@pytest.mark.parametrize("limit", [3, LIMIT])
def test_a_part_is_shortened(limit: int) -> None:
    (part,) = parts(TextPart("x" * (limit + 1)), limit=limit)
    assert part["content"] == "x" * limit + " [...]"
    (part,) = parts(TextPart("x" * limit), limit=limit)
    assert part["content"] == "x" * limit
    (call,) = parts(ToolCall("", "f", json.dumps({"a": "x" * limit})), limit=limit)
    assert call["arguments"].endswith(" [...]")


def test_what_is_recorded_is_redacted() -> None:
    chat = Chat(
        messages=(
            Message("system", "SECRET"),
            Message("user", (TextPart("SECRET"), ImagePart("https://a.example/SECRET"))),
            Message("assistant", (ReasoningPart("SECRET"), ToolCall("c", "f", '{"a": "SECRET"}'))),
            Message("tool", "SECRET", tool_call_id="c"),
        ),
        tools=(Tool("f", "SECRET", {"enum": ["SECRET"]}),),
    )
    content = Content(redact=lambda text: text.replace("SECRET", "-"))
    said = content.asked(chat) | content.answered(Reply.of([Text("SECRET")]), complete=True)
    assert "SECRET" not in as_json([said])
    assert as_json([said]).count('"-"') == 8


def test_what_is_no_json() -> None:
    """Such a question can't be asked, but its span is told all the same."""
    odd: dict[str, Any] = {"enum": [object]}
    chat = Chat(messages=(Message("user", "hi"),), tools=(Tool("f", "", odd),))
    (tool,) = Content().asked(chat)["gen_ai.tool.definitions"]
    assert tool["parameters"] == {"enum": ["<class 'object'>"]}


def test_a_lone_surrogate() -> None:
    assert json.loads(as_json(["\ud800"])) == ["\ud800"]
