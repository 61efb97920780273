"""What the format was accepted for: each row of what is asked, the rules of parts and native forms,
and conversations that survive the round trip."""

import json
from typing import Any

import httpx2
import openai
import pytest

from tests.driving import drive
from tests.formats.openai_chat import THE_LONG_WAY
from tokenwire.protocols.chat import (
    Chat,
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
    as_chat,
)
from tokenwire.protocols.encoding import parts_to_write, tools_to_write
from tokenwire.protocols.errors import LocalProtocolError, Truncated
from tokenwire.protocols.events import (
    End,
    Event,
    Finish,
    Native,
    Reasoning,
    Refusal,
    Start,
    Text,
    ToolCallDelta,
    ToolCallEnd,
    ToolCallStart,
    Unrecognized,
    Usage,
)
from tokenwire.protocols.provider import Provider
from tokenwire.protocols.registry import PROVIDERS
from tokenwire.protocols.reply import Reply
from tokenwire.protocols.service import Service, pair
from tokenwire.protocols.toolkit.http import Request
from tokenwire.server import serve

PLAIN = PROVIDERS["openai"]
ALL = PLAIN.replace(cache_marks=True, history="reasoning_content")
"""A service that takes whatever chat completions can say."""
END = End("terminator")
HI = Message("user", "hi")


def request_of(chat: Chat, provider: Provider = PLAIN) -> Request:
    request = provider.exchange(chat).next_request()
    assert request is not None
    return request


def body_of(chat: Chat, provider: Provider = PLAIN) -> Any:
    return json.loads(request_of(chat, provider).body)


def message_as(message: Message | dict[str, Any], provider: Provider = PLAIN) -> Any:
    """How one message is written after another."""
    return body_of(as_chat([HI, message], model="m"), provider)["messages"][1]


def refused(message: Message, provider: Provider = PLAIN) -> str:
    with pytest.raises(LocalProtocolError) as caught:
        body_of(Chat(messages=(HI, message), model="m"), provider)
    return str(caught.value)


def understood(chat: Chat, provider: Provider = PLAIN) -> Chat | None:
    """What the server half makes of the client half's request."""
    return Service(provider).responder().receive_request(request_of(chat, provider))


def own(value: Any) -> Native:
    return Native("openai_chat", json.dumps(value, separators=(",", ":")).encode())


# The request, row by row: encoded, and decoded by the server half to the same chat

SCHEMA: dict[str, Any] = {"type": "object", "properties": {"a": {"type": "integer"}}}
CUSTOM = {"type": "custom", "custom": {"name": "sh", "description": "a shell"}}
OPTIONS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "temperature": ({"temperature": 0.5}, {"temperature": 0.5}),
    "top_p": ({"top_p": 0.5}, {"top_p": 0.5}),
    "stop": ({"stop": ("a", "b")}, {"stop": ["a", "b"]}),
    "n": ({"n": 2}, {"n": 2}),
    "seed": ({"seed": 3}, {"seed": 3}),
    "presence_penalty": ({"presence_penalty": 0.5}, {"presence_penalty": 0.5}),
    "frequency_penalty": ({"frequency_penalty": 0.5}, {"frequency_penalty": 0.5}),
    "top_k": ({"top_k": 5}, {"top_k": 5}),
    "max_tokens": ({"max_tokens": 7}, {"max_completion_tokens": 7}),
    "logprobs of the token": ({"logprobs": 0}, {"logprobs": True}),
    "logprobs": ({"logprobs": 3}, {"logprobs": True, "top_logprobs": 3}),
    "effort": ({"effort": "xhigh"}, {"reasoning_effort": "xhigh"}),
    "schema": (
        {"schema": SCHEMA},
        {
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "answer", "schema": SCHEMA},
            }
        },
    ),
    "a strict schema": (
        {"schema": SCHEMA, "extra": {"response_format": {"json_schema": {"strict": True}}}},
        {
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "answer", "schema": SCHEMA, "strict": True},
            }
        },
    ),
    "any JSON": ({"schema": {}}, {"response_format": {"type": "json_object"}}),
    "parallel": ({"parallel": False}, {"parallel_tool_calls": False}),
    "tools": (
        {"tools": (Tool("f", "does f", SCHEMA, strict=True), Opaque(own(CUSTOM)))},
        {
            "tools": [
                {
                    "type": "function",
                    "function": {
                        "name": "f",
                        "description": "does f",
                        "parameters": SCHEMA,
                        "strict": True,
                    },
                },
                CUSTOM,
            ]
        },
    ),
    "a marked tool": (
        {"tools": (Tool("f", parameters=SCHEMA, cache="1h"),)},
        {
            "tools": [
                {
                    "type": "function",
                    "function": {"name": "f", "parameters": SCHEMA},
                    "cache_control": {"type": "ephemeral", "ttl": "1h"},
                }
            ]
        },
    ),
    "a word of tool_choice": ({"tool_choice": "required"}, {"tool_choice": "required"}),
    "tool_choice": (
        {"tool_choice": "f", "tools": (Tool("f", parameters=SCHEMA),)},
        {"tool_choice": {"type": "function", "function": {"name": "f"}}},
    ),
    "tool_choice of free text": (
        {"tool_choice": "sh", "tools": (Opaque(own(CUSTOM)),)},
        {"tool_choice": {"type": "custom", "custom": {"name": "sh"}}},
    ),
    "allowed tools": (
        {"extra": {"tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "auto"}}}},
        {"tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "auto"}}},
    ),
    "a format that Chat can't say": (
        {"extra": {"response_format": {"type": "json_schema", "json_schema": {"strict": True}}}},
        {"response_format": {"type": "json_schema", "json_schema": {"strict": True}}},
    ),
    "whole": ({"stream": False}, {"stream": False}),
    "extra": ({"extra": {"user": "u", "new": {"a": [1]}}}, {"user": "u", "new": {"a": [1]}}),
}


@pytest.mark.parametrize("row", OPTIONS)
def test_options(row: str) -> None:
    options, body = OPTIONS[row]
    chat = Chat(messages=(HI,), model="m").replace(**options)
    written = body_of(chat, ALL)
    plain: dict[str, Any] = {
        "model": "m",
        "messages": [{"role": "user", "content": "hi"}],
        "stream": True,
    }
    if chat.stream:
        plain["stream_options"] = {"include_usage": True}
    assert {**plain, **body}.items() <= written.items()
    assert written.keys() - plain.keys() - body.keys() <= {"tools"}
    assert understood(chat, ALL) == chat


def test_the_callers_options_of_a_stream_come_on_top() -> None:
    def asked(options: dict[str, Any]) -> Any:
        chat = as_chat("hi", model="m", extra={"stream_options": options})
        return body_of(chat, PLAIN)["stream_options"]

    assert asked({"include_usage": False}) == {"include_usage": False}
    assert asked({"include_obfuscation": False}) == {
        "include_usage": True,
        "include_obfuscation": False,
    }


def test_what_a_server_half_does_about_usage_is_no_part_of_the_chat() -> None:
    chat = as_chat("hi", model="m", extra={"stream_options": {"include_obfuscation": False}})
    assert understood(chat, PLAIN) == chat
    odd = as_chat("hi", model="m", extra={"stream_options": 7})
    assert understood(odd, PLAIN) == odd


def test_options_where_services_differ() -> None:
    chat = Chat(messages=(HI,), model="m", max_tokens=7, effort="low", schema=SCHEMA)
    other = PLAIN.replace(
        max_tokens="max_tokens",
        effort={"low": {"thinking": {"budget": 1}}, "high": {}},
        schema="json_object",
        fields={"thinking": {"type": "on"}},
    )
    assert body_of(chat, other) == {
        "model": "m",
        "messages": [{"role": "user", "content": "hi"}],
        "stream": True,
        "max_tokens": 7,
        "thinking": {"type": "on", "budget": 1},
        "response_format": {"type": "json_object"},
        "stream_options": {"include_usage": True},
    }
    assert "stream_options" not in body_of(chat.replace(stream=False), other)
    assert "stream_options" not in body_of(chat, other.replace(ask_usage=False))
    with pytest.raises(LocalProtocolError, match="effort is low, high, not max"):
        body_of(chat.replace(effort="max"), other)
    with pytest.raises(LocalProtocolError, match="can't take schema"):
        body_of(chat, PLAIN.replace(schema=""))
    with pytest.raises(LocalProtocolError, match="can't take cache marks"):
        body_of(as_chat("hi", model="m", tools=[Tool("f", cache="5m")]))


# Messages and parts, row by row

PNG, WAV = "data:image/png;base64,UE5H", "data:audio/wav;base64,QQ=="
MP3, PDF = "data:audio/mpeg;base64,QQ==", "data:application/pdf;base64,QQ=="
CALL = ToolCall("c1", "f", '{"a":1}')
CALLED = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}
MARK = {"cache_control": {"type": "ephemeral"}}


def seeing(part: Part) -> Message:
    return Message("user", (part,))


def seen(**part: Any) -> dict[str, Any]:
    return {"role": "user", "content": [part]}


MESSAGES: dict[str, tuple[Message, dict[str, Any]]] = {
    "system": (Message("system", "a"), {"role": "system", "content": "a"}),
    "developer": (Message("developer", "a"), {"role": "developer", "content": "a"}),
    "a name": (Message("user", "a", name="n"), {"role": "user", "content": "a", "name": "n"}),
    "texts": (
        Message("user", (TextPart("a"), TextPart("b"))),
        {
            "role": "user",
            "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}],
        },
    ),
    "a picture": (seeing(ImagePart(PNG)), seen(type="image_url", image_url={"url": PNG})),
    "a picture's detail": (
        seeing(ImagePart(PNG, "low")),
        seen(type="image_url", image_url={"url": PNG, "detail": "low"}),
    ),
    "wav": (
        seeing(FilePart(WAV, "audio/wav")),
        seen(type="input_audio", input_audio={"data": "QQ==", "format": "wav"}),
    ),
    "mp3": (
        seeing(FilePart(MP3, "audio/mpeg")),
        seen(type="input_audio", input_audio={"data": "QQ==", "format": "mp3"}),
    ),
    "a file": (
        seeing(FilePart(PDF, "application/pdf", "a.pdf")),
        seen(type="file", file={"filename": "a.pdf", "file_data": PDF}),
    ),
    "a file without a name": (
        seeing(FilePart(PDF, "application/pdf")),
        seen(type="file", file={"file_data": PDF}),
    ),
    "marks": (
        Message("user", (TextPart("a", "5m"), ImagePart(PNG, cache="1h"), FilePart(PDF, "", "n"))),
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "a", **MARK},
                {
                    "type": "image_url",
                    "image_url": {"url": PNG},
                    "cache_control": {"type": "ephemeral", "ttl": "1h"},
                },
                {"type": "file", "file": {"filename": "n", "file_data": PDF}},
            ],
        },
    ),
    "a refusal": (
        Message("assistant", (RefusalPart("no"),)),
        {"role": "assistant", "content": "", "refusal": "no"},
    ),
    "a thought": (
        Message("assistant", (ReasoningPart("hm"), TextPart("a"))),
        {"role": "assistant", "content": "a", "reasoning_content": "hm"},
    ),
    "a call": (
        Message("assistant", (CALL,)),
        {"role": "assistant", "content": None, "tool_calls": [CALLED]},
    ),
    "text and a call": (
        Message("assistant", (TextPart("a"), CALL)),
        {"role": "assistant", "content": "a", "tool_calls": [CALLED]},
    ),
    "a call of free text": (
        Message("assistant", (ToolCall("c1", "sh", "ls", custom=True),)),
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "c1", "type": "custom", "custom": {"name": "sh", "input": "ls"}}],
        },
    ),
    "a marked call": (
        Message("assistant", (ToolCall("c1", "f", '{"a":1}', cache="5m"),)),
        {"role": "assistant", "content": None, "tool_calls": [{**CALLED, **MARK}]},
    ),
    "a result": (
        CALL.result("7"),
        {"role": "tool", "content": "7", "tool_call_id": "c1"},
    ),
    "extra": (
        Message("assistant", "a", extra={"prefix": True}),
        {"role": "assistant", "content": "a", "prefix": True},
    ),
    "a native part": (
        seeing(Opaque(own({"content": [{"type": "video_url", "video_url": {"url": "u"}}]}))),
        seen(type="video_url", video_url={"url": "u"}),
    ),
}


@pytest.mark.parametrize("row", MESSAGES)
def test_messages(row: str) -> None:
    message, written = MESSAGES[row]
    assert message_as(message, ALL) == written
    chat = Chat(messages=(HI, message), model="m")
    if "marks" not in row:  # the media type of a file is told by its data
        assert understood(chat, ALL) == chat


ASSISTANT = (TextPart("a"), TextPart("b"))


def test_messages_that_come_back_in_another_form() -> None:
    """What is written is as good, but not the same."""
    assert message_as(Message("assistant", ASSISTANT))["content"] == "ab"
    assert message_as(CALL.result([TextPart("a"), TextPart("b")]))["content"] == "ab"
    failed = CALL.result("no such file", failed=True)
    assert message_as(failed)["content"] == "Error: no such file"
    assert message_as(CALL.result("Error: no", failed=True))["content"] == "Error: no"
    marked = CALL.result([TextPart("no", "5m")], failed=True)
    assert message_as(marked, ALL)["content"] == [
        {"type": "text", "text": "Error: "},
        {"type": "text", "text": "no", **MARK},
    ]
    assert message_as(Message("assistant", ())) == {"role": "assistant", "content": ""}
    assert message_as(seeing(TextPart("a")))["content"] == "a"
    untyped = FilePart("data:audio/wav;base64,QQ==")
    assert message_as(seeing(untyped))["content"][0]["type"] == "input_audio"


def test_messages_where_services_differ() -> None:
    developer = Message("developer", "a")
    assert message_as(developer, PLAIN.replace(developer=False))["role"] == "system"
    text_only = PLAIN.replace(text_only=frozenset(("user", "system")))
    assert message_as(Message("user", ASSISTANT), text_only)["content"] == "ab"
    assert "a user message of openai takes text only" in refused(seeing(ImagePart(PNG)), text_only)


def test_system_messages_first() -> None:
    first = PLAIN.replace(system="first")

    def written(*messages: Message) -> list[tuple[str, Any]]:
        chat = Chat(messages=messages, model="m")
        return [(m["role"], m["content"]) for m in body_of(chat, first)["messages"]]

    system, developer = Message("system", "a"), Message("developer", "b")
    assert written(HI) == [("user", "hi")]
    assert written(system, HI) == [("system", "a"), ("user", "hi")]
    assert written(HI, system) == [("system", "a"), ("user", "hi")]
    assert written(system, HI, developer) == [("system", "a\n\nb"), ("user", "hi")]
    parts = Message("system", ASSISTANT)
    with pytest.raises(LocalProtocolError, match="merged only if they are text"):
        written(parts, HI, system)


def test_ids_that_are_missing() -> None:
    results = (Message("tool", "1"), Message("tool", "2"))
    calls = (ToolCall("", "f", "{}"), ToolCall("", "g", "{}", native=own(_call(new=1))))
    chat = Chat(messages=(HI, Message("assistant", calls), *results), model="m")
    _, said, first, second = body_of(chat)["messages"]
    assert [call["id"] for call in said["tool_calls"]] == ["call_1_0", "call_1_1"]
    assert said["tool_calls"][1]["new"] == 1
    assert [first["tool_call_id"], second["tool_call_id"]] == ["call_1_0", "call_1_1"]


def _call(**more: Any) -> dict[str, Any]:
    function = {"name": "g", "arguments": "{}"}
    return {"tool_calls": [{"id": "", "type": "function", "function": function, **more}]}


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (seeing(FilePart("https://x.test/a.pdf")), "can't take a file by its address"),
        (seeing(FilePart("https://x.test/a.wav", "audio/wav")), "can't take a file by its"),
        (seeing(FilePart("data:audio/flac;base64,QQ==")), "of type 'audio/flac' has no place"),
        (seeing(FilePart("data:QQ==")), "can't take a file by its address"),
        (
            Message("user", (ReasoningPart("a"),)),
            "ReasoningPart has no place in user messages",
        ),
        (
            Message("system", (RefusalPart("a"),)),
            "RefusalPart has no place in system messages",
        ),
        (
            Message("user", (CALL,)),
            "ToolCall has no place in user messages",
        ),
        (
            Message("tool", (ImagePart(PNG),)),
            "ImagePart has no place in tool messages",
        ),
        (
            Message("assistant", (FilePart(PDF),)),
            "FilePart has no place in assistant messages",
        ),
        (seeing(TextPart("a", "5m")), "openai can't take cache marks"),
        (Message("assistant", (ReasoningPart("hm"),)), "nothing of the assistant message can be"),
        (seeing(Opaque(Native("openai_chat", b"[1]"))), "a native form of openai_chat is a piece"),
        (seeing(Opaque(Native("openai_chat", b"{"))), "a native form that is not JSON"),
        (
            Message("tool", (Opaque(own({"content": [{"type": "new"}]})),)),
            "a tool message of openai takes text only",
        ),
    ],
)
def test_what_is_refused(message: Message, words: str) -> None:
    assert words in refused(message)


# 1 Two turns with a tool


def sse(*payloads: Any) -> bytes:
    texts = [p if isinstance(p, str) else json.dumps(p) for p in payloads]
    return b"".join(b"data: %b\n\n" % text.encode() for text in texts)


def delta(said: dict[str, Any], finish: str | None = None, **more: Any) -> dict[str, Any]:
    choice = {"index": 0, "delta": said, "finish_reason": finish}
    return {"id": "gen-1", "model": "m", "choices": [choice], **more}


CALLING = {"tool_calls": [{"index": 0, **CALLED}]}
THINKING = (
    delta({"role": "assistant", "reasoning_content": "I "}),
    delta({"reasoning_content": "must look."}),
    delta(CALLING),
    delta({}, "tool_calls"),
    "[DONE]",
)
SUMMARY = {"type": "reasoning.summary", "format": "openai-responses-v1", "index": 0}
ENCRYPTED = {
    "type": "reasoning.encrypted",
    "data": "gAAAA",
    "format": "openai-responses-v1",
    "id": "rs_1",
    "index": 1,
}
OPENROUTER = (  # a recording, shortened
    delta({"content": "", "reasoning": "I ", "reasoning_details": [{**SUMMARY, "summary": "I "}]}),
    delta({"reasoning": "must.", "reasoning_details": [{**SUMMARY, "summary": "must."}]}),
    delta({"content": "", "reasoning": None, "reasoning_details": [ENCRYPTED]}),
    delta(CALLING),
    delta({}, "tool_calls"),
    "[DONE]",
)


def second_turn(stream: tuple[Any, ...], provider: Provider) -> Any:
    """The assistant's message as the second request has it."""
    chat = Chat(messages=(HI,), model="m", tools=(Tool("f"),))
    reply = drive(provider.exchange(chat), sse(*stream)).succeeded().reply
    chat = chat.then(reply, *(call.result("7") for call in reply.tool_calls))
    _, said, result = body_of(chat, provider)["messages"]
    assert result == {"role": "tool", "content": "7", "tool_call_id": "c1"}
    assert said.pop("tool_calls") == [CALLED]
    assert (said.pop("role"), said.pop("content")) == ("assistant", None)
    return said


def test_two_turns_with_thoughts() -> None:
    provider = PLAIN.replace(history="reasoning_content")
    assert second_turn(THINKING, provider) == {"reasoning_content": "I must look."}
    assert second_turn(THINKING, PLAIN) == {}


def test_two_turns_with_signed_thoughts() -> None:
    provider = PLAIN.replace(history="reasoning_details")
    details = [{**SUMMARY, "summary": "I must."}, ENCRYPTED]
    assert second_turn(OPENROUTER, provider) == {"reasoning_details": details}
    assert second_turn(OPENROUTER, PLAIN) == {}
    # Elsewhere the thought is only text.
    provider = PLAIN.replace(history="reasoning")
    assert second_turn(OPENROUTER, provider) == {"reasoning": "I must."}
    # A thought that is not signed, where details are taken.
    provider = PLAIN.replace(history="reasoning_details")
    unsigned = [{"type": "reasoning.text", "text": "I must look."}]
    assert second_turn(THINKING, provider) == {"reasoning_details": unsigned}


def test_thoughts_that_are_demanded() -> None:
    """In turns with calls, even if there was none (DeepSeek)."""
    provider = PLAIN.replace(history="reasoning_content", history_required=True)
    assert second_turn(THINKING[2:], provider) == {"reasoning_content": ""}
    assert "reasoning_content" not in message_as(Message("assistant", "a"), provider)
    assert second_turn(THINKING[2:], PLAIN.replace(history="reasoning_content")) == {}


def test_an_answer_that_is_nothing_but_private_state() -> None:
    opaque = Opaque(own({"reasoning_details": [ENCRYPTED]}))
    message = Message("assistant", (opaque, TextPart("a")))
    assert message_as(message) == {"role": "assistant", "content": "a"}
    details = PLAIN.replace(history="reasoning_details")
    assert message_as(message, details)["reasoning_details"] == [ENCRYPTED]
    assert "nothing of the assistant message" in refused(Message("assistant", (opaque,)))
    alone = message_as(Message("assistant", (opaque,)), details)
    assert alone == {"role": "assistant", "content": "", "reasoning_details": [ENCRYPTED]}


def test_pieces_of_native_forms_are_merged() -> None:
    details = PLAIN.replace(history="reasoning_details")
    parts = (
        Opaque(own({"reasoning_details": [1], "reasoning_opaque": "A"})),
        Opaque(own({"reasoning_details": [2], "reasoning_opaque": "B", "content": 5})),
    )
    assert message_as(Message("assistant", parts), details) == {
        "role": "assistant",
        "content": "",
        "reasoning_details": [1, 2],
        "reasoning_opaque": "AB",
    }


# 2 Mappings

ODD_PART = {"type": "video_url", "video_url": {"url": "u"}}
ODD_KEY = {"type": "text", "text": "a", "new": 1}
ODD_CALL = {**CALLED, "extra_content": {"google": {"thought_signature": "s"}}}


@pytest.mark.parametrize(
    ("value", "keys"),
    [
        (seen(type="image_url", image_url={"url": PNG, "detail": "low"}), None),
        ({"role": "assistant", "content": "a", "prefix": True}, None),
        (seen(**ODD_PART), "type, video_url"),
        (seen(**ODD_KEY), "type, text, new"),
        ({"role": "user", "content": [ODD_KEY, {"type": "text", "text": "b"}]}, "type, text, new"),
        ({"role": "assistant", "content": None, "tool_calls": [ODD_CALL]}, None),
    ],
)
def test_mappings_are_sent_whole(value: dict[str, Any], keys: str | None) -> None:
    assert message_as(value) == value
    (_, message) = as_chat([HI, value]).messages
    if keys is not None:
        with pytest.raises(LocalProtocolError) as caught:
            list(parts_to_write(message, "anthropic"))
        assert f"which anthropic can't say ({keys})" in str(caught.value)


def test_further_keys_of_a_message_are_refused_by_name_elsewhere() -> None:
    chat = as_chat([HI, {"role": "assistant", "content": "a", "prefix": True}])
    with pytest.raises(LocalProtocolError, match="darkai can't take prefix of a message"):
        PROVIDERS["darkai"].exchange(chat)


# 3 Part numbers


def test_part_numbers_never_go_back() -> None:
    kinds: list[dict[str, Any]] = [
        {"content": "a"},
        {"reasoning": "b"},
        {"refusal": "c"},
        CALLING,
        {"content": "d"},
    ]
    stream = [delta(kind) for kind in (*kinds, *kinds[:3], {"reasoning": "e"})]
    events = drive(PLAIN.exchange(Chat(messages=(HI,), model="m")), sse(*stream, "[DONE]")).events
    parts = [e.part for e in events if isinstance(e, Text | Reasoning | Refusal | ToolCallStart)]
    assert parts == [0, 1, 2, 3, 4, 4, 5, 6, 7]


# 4 The quick path is the slow one

FURTHER: list[dict[str, Any]] = [
    delta({"content": "b", "new": 1}),
    delta({"content": "b", "new": None}),
    delta({"content": "b", "role": "assistant", "refusal": None}),
    delta({"content": "b", "refusal": "no"}),
    delta({"content": "b", "reasoning": "hm"}),
    delta({"content": "b", "reasoning_details": []}),
    delta({"content": "b", "images": []}),
    delta({"content": "", "tool_calls": [{"index": 0, **CALLED}]}),
    delta({"content": None}),
    delta({"content": ["b"]}),
    delta({"content": "b"}, "stop"),
    delta({"content": "b"}, usage={"total_tokens": 1}),
    delta({"content": "b"}, search_results=[{"url": "u"}]),
    delta({"content": "b"}, citations=["u"]),
    delta({"content": "b"}, error={"message": "m"}),
    delta({"content": "b"}, new=1),
    {"choices": [{"index": 1, "delta": {"content": "b"}}]},
    {"choices": [{"delta": {"content": "b"}}]},
    {"choices": [{"index": 0, "delta": {"content": "b"}, "new": 1}]},
    {"choices": [{"index": 0, "delta": {"content": "b"}, "token_ids": [1]}]},
    {"choices": [{"index": 0, "delta": {"content": "b"}, "token_ids": None}]},
    {"choices": [{"index": 0, "delta": {"content": "b"}, "message": {"new": 1}}]},
    {"choices": [{"index": 0, "delta": {"content": "b"}, "logprobs": {"content": []}}]},
    {"choices": [{"index": 0, "delta": {"content": "b"}, "stop_reason": "x"}]},
    {"choices": []},
    {"choices": [*delta({"content": "b"})["choices"], *delta({"content": "c"})["choices"]]},
]


@pytest.mark.parametrize("further", FURTHER, ids=json.dumps)
def test_a_further_key_in_mid_stream(further: dict[str, Any]) -> None:
    plain = [delta({"content": text}) for text in "xyz"]
    for before in ([], [delta({"reasoning": "hm"})]):
        body = sse(*before, *plain, further, *plain, further, *plain, delta({}, "stop"), "[DONE]")
        quick = drive(PLAIN.exchange(as_chat("hi", model="m")), body)
        with THE_LONG_WAY:
            long = drive(PLAIN.exchange(as_chat("hi", model="m")), body)
        assert quick.events[0] == Start("gen-1", "m")
        assert quick.what == long.what


# 5 Usage

SAID: list[Event] = [
    Start("x", "m"),
    Text("a"),
    Usage(1, 2, 3, raw={"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}),
    Finish("stop", "stop"),
    END,
]


def test_usage_is_last() -> None:
    chat = as_chat("hi", model="m")
    got = list(pair(PLAIN.exchange(chat), Service(PLAIN), lambda chat: SAID))
    assert got == SAID
    responder = Service(PLAIN).responder()
    responder.receive_request(request_of(chat, PLAIN))
    chunks = b"".join(map(responder.send, SAID)).decode().split("\n\n")
    *others, last, done, rest = chunks
    assert (done, rest) == ("data: [DONE]", "")
    usage = json.loads(last.removeprefix("data: "))
    assert (usage["choices"], usage["usage"]["total_tokens"]) == ([], 3)
    assert all(json.loads(o.removeprefix("data: "))["usage"] is None for o in others)


def test_the_sdk_has_the_usage() -> None:
    with serve("openai", lambda chat: SAID) as server, httpx2.Client(trust_env=False) as http:
        sdk = openai.OpenAI(base_url=server.url, api_key="k", http_client=http)
        with sdk.chat.completions.stream(
            model="m",
            messages=[{"role": "user", "content": "hi"}],
            stream_options={"include_usage": True},
        ) as stream:
            completion = stream.get_final_completion()
    assert completion.usage is not None
    assert completion.usage.total_tokens == 3
    assert completion.choices[0].message.content == "a"


# The example of the rules: Claude thinks, says a word, and calls a tool

THOUGHT = b'{"type":"thinking","thinking":"The user wants the file.","signature":"EqQF"}'
CLAUDE: list[Event] = [
    Start("msg_1", "claude-sonnet-5"),
    Reasoning("The user wants ", part=0),
    Reasoning("the file.", part=0),
    Native("anthropic", THOUGHT, part=0),
    Text("I will look.", part=1),
    ToolCallStart(0, "toolu_1", "read", part=2),
    ToolCallDelta(0, '{"path": "a.txt"}'),
    ToolCallEnd(0, "toolu_1", "read", '{"path": "a.txt"}', complete=True),
    Finish("tool_use", kind="tool_call"),
    END,
]
READ = {"name": "read", "arguments": '{"path": "a.txt"}'}


def test_the_example() -> None:
    reply = Reply.of(CLAUDE)
    assert reply.message() == Message(
        "assistant",
        (
            ReasoningPart("The user wants the file.", Native("anthropic", THOUGHT)),
            TextPart("I will look."),
            ToolCall("toolu_1", "read", '{"path": "a.txt"}'),
        ),
    )
    chat = Chat(messages=(HI,), model="m")
    chat = chat.then(reply, *(call.result("...") for call in reply.tool_calls))
    assert body_of(chat)["messages"][1:] == [
        {
            "role": "assistant",
            "content": "I will look.",
            "tool_calls": [{"id": "toolu_1", "type": "function", "function": READ}],
        },
        {"role": "tool", "tool_call_id": "toolu_1", "content": "..."},
    ]
    thoughts = PLAIN.replace(history="reasoning_content")
    said = body_of(chat, thoughts)["messages"][1]
    assert said["reasoning_content"] == "The user wants the file."


# The rules


def events_of(*chunks: Any) -> list[Event]:
    return drive(PLAIN.exchange(as_chat("hi", model="m")), sse(*chunks, "[DONE]")).events


def test_rule_1_plain_text_and_calls_have_no_native_form() -> None:
    events = events_of(delta({"content": "a"}), delta({"content": "b"}), delta(CALLING))
    assert [event for event in events if isinstance(event, Native)] == []
    assert [event.part for event in events if isinstance(event, Text)] == [0, 0]
    message = Reply.of(events).message()
    assert message.parts == (TextPart("ab"), CALL)
    assert Reply.of(events_of(delta({"content": "a"}))).message() == Message("assistant", "a")


def test_rule_2_the_kind_draws_the_border() -> None:
    two = {"index": 1, **CALLED, "id": "c2"}
    chunks: list[dict[str, Any]] = [
        {"reasoning": "a"},
        {"content": "b"},
        CALLING,
        {"tool_calls": [two]},
    ]
    chunks += [{"tool_calls": [{"index": 0, "function": {"arguments": " "}}]}, {"reasoning": "c"}]
    events = events_of(*map(delta, chunks))
    begun = [e for e in events if isinstance(e, Text | Reasoning | ToolCallStart)]
    assert [(type(e), e.part) for e in begun] == [
        (Reasoning, 0),
        (Text, 1),
        (ToolCallStart, 2),
        (ToolCallStart, 3),
        (Reasoning, 4),
    ]


def test_rule_3_a_native_form_comes_after_its_part_and_before_the_finish() -> None:
    kinds = [type(event) for event in events_of(*OPENROUTER[:-1])]
    assert kinds == [
        *(Start, Reasoning, Reasoning, ToolCallStart, ToolCallDelta),
        *(Native, ToolCallEnd, Finish, End),
    ]
    cut = drive(PLAIN.exchange(as_chat("hi", model="m")), sse(*OPENROUTER[:-2]))
    cut.refused_by(Truncated)
    assert Native not in map(type, cut.events)


def test_rule_4_a_part_with_a_native_form_is_one_part() -> None:
    reply = Reply.of(events_of(*OPENROUTER[:-1]))
    thought, call = reply.message().parts
    details = [{**SUMMARY, "summary": "I must."}, ENCRYPTED]
    assert thought == ReasoningPart("I must.", thought.native)
    assert thought.native is not None
    assert json.loads(thought.native.raw) == {"reasoning_details": details}
    assert call == CALL
    # Neighbouring texts without a native form are joined.
    assert message_as(Message("assistant", (TextPart("a"), CALL, TextPart("b"))))["content"] == "ab"


FOREIGN = Native("anthropic", b'{"type":"redacted_thinking","data":"AA"}')


def test_rule_5_an_assistants_private_state_of_another_format_is_left_out() -> None:
    cited = TextPart("a", native=Native("anthropic", b'{"type":"text","citations":[1]}'))
    message = Message("assistant", (Opaque(FOREIGN), cited, RefusalPart("no")))
    assert message_as(message) == {"role": "assistant", "content": "a", "refusal": "no"}
    said = refused(Message("assistant", (Opaque(FOREIGN),)))
    assert said == "nothing of the assistant message can be said here: leave it out"


@pytest.mark.parametrize("role", ["user", "system", "tool"])
def test_rule_6_elsewhere_it_is_refused_by_its_keys(role: Any) -> None:
    said = refused(Message(role, (TextPart("a"), Opaque(FOREIGN))))
    assert "which openai_chat can't say (type, data)" in said
    tools = (Opaque(Native("anthropic", b'{"type":"bash_20250124","name":"bash"}')),)
    with pytest.raises(LocalProtocolError, match=r"openai_chat can't say \(type, name\)"):
        body_of(Chat(messages=(HI,), model="m", tools=tools))
    chat = Chat(messages=(HI, Message(role, (TextPart("a"), Opaque(FOREIGN)))), tools=tools)
    assert chat.plain() == Chat(messages=(HI, Message(role, (TextPart("a"),))))
    assert body_of(chat.plain().replace(model="m"))["messages"][1]["content"] == "a"


def test_rule_7_a_tool_that_is_a_mapping() -> None:
    function = {"type": "function", "function": {"name": "f", "parameters": SCHEMA, "new": 1}}
    chat = as_chat("hi", model="m", tools=[function, CUSTOM])
    assert body_of(chat)["tools"] == [function, CUSTOM]
    with pytest.raises(LocalProtocolError, match=r"anthropic can't say \(type, function\)"):
        list(tools_to_write(chat.tools, "anthropic"))


def test_rule_8_a_message_holds_complete_calls_only() -> None:
    half = {"index": 0, "id": "c1", "function": {"name": "f", "arguments": '{"a"'}}
    events = events_of(delta({"content": "a"}), delta({"tool_calls": [half]}), delta({}, "length"))
    assert Reply.of(events).message() == Message("assistant", "a")


def test_rule_9_no_id_is_made_up() -> None:
    nameless = {"tool_calls": [{"index": 0, "function": {"name": "f", "arguments": "{}"}}]}
    reply = Reply.of(events_of(delta(nameless), delta({}, "tool_calls")))
    message = reply.message()
    assert message.tool_calls == (ToolCall("", "f", "{}"),)
    result = reply.tool_calls[0].result("7")
    assert result == Message("tool", "7")
    chat = Chat(messages=(HI,), model="m").then(message, result)
    _, said, answered = body_of(chat)["messages"]
    assert said["tool_calls"][0]["id"] == answered["tool_call_id"] == "call_1_0"


def test_what_is_not_understood_is_handed_on_with_its_place() -> None:
    events = events_of(delta({"content": "a", "audio": {"id": "x"}}))
    assert Unrecognized(b'{"id": "x"}', "choices[0].delta.audio") in events
