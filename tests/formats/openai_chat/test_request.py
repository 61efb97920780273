"""Chat completions, requests: each row of what is asked, encoded, and read by the server half."""

import json
from typing import Any

import pytest

from tokenwire.protocols.chat import (
    Chat,
    FilePart,
    ImagePart,
    Message,
    Opaque,
    Part,
    ReasoningPart,
    RefusalPart,
    Role,
    TextPart,
    Tool,
    ToolCall,
    as_chat,
)
from tokenwire.protocols.errors import LocalProtocolError
from tokenwire.protocols.events import Native
from tokenwire.protocols.provider import Provider
from tokenwire.protocols.registry import PROVIDERS
from tokenwire.protocols.service import Service
from tokenwire.protocols.toolkit.http import Request

PLAIN = PROVIDERS["openai"]
ALL = PLAIN.replace(cache_marks=True, history="reasoning_content")
"""A service that takes whatever chat completions can say."""
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


# Options

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
    **{
        f"tool_choice {word}": ({"tool_choice": word}, {"tool_choice": word})
        for word in ("auto", "none", "required")
    },
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


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
def test_a_limit_that_is_given_twice(name: str) -> None:
    chat = as_chat("hi", model="m", max_tokens=7, extra={name: 7})
    with pytest.raises(LocalProtocolError) as caught:
        body_of(chat)
    assert str(caught.value) == "max_tokens is given twice: leave it out of extra"


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
    assert body_of(chat, other.replace(effort=None))["reasoning_effort"] == "low"
    assert "stream_options" not in body_of(chat.replace(stream=False), other)
    assert "stream_options" not in body_of(chat, other.replace(ask_usage=False))
    with pytest.raises(LocalProtocolError, match="effort is low, high, not max"):
        body_of(chat.replace(effort="max"), other)
    with pytest.raises(LocalProtocolError, match="can't take schema"):
        body_of(chat, PLAIN.replace(schema=""))
    with pytest.raises(LocalProtocolError, match="can't take cache marks"):
        body_of(as_chat("hi", model="m", tools=[Tool("f", cache="5m")]))


def test_a_tool_without_parameters_takes_none() -> None:
    chat = Chat(messages=(HI,), model="m", tools=(Tool("f"),))
    nothing: dict[str, Any] = {"type": "object", "properties": {}}
    function = {"name": "f", "parameters": nothing}
    assert body_of(chat)["tools"] == [{"type": "function", "function": function}]


def test_the_choice_of_a_tool_by_its_name() -> None:
    """A tool that nobody declared is a function; what is odd about the others doesn't matter."""
    chat = Chat(messages=(HI,), model="m", tool_choice="sh")
    function = {"type": "function", "function": {"name": "sh"}}
    assert body_of(chat)["tool_choice"] == function
    odd = (Opaque(own(5)), Opaque(own({"type": "custom", "custom": 5})))
    assert body_of(chat.replace(tools=odd))["tool_choice"] == function
    custom = {"type": "custom", "custom": {"name": "sh"}}
    assert body_of(chat.replace(tools=(*odd, Opaque(own(CUSTOM)))))["tool_choice"] == custom


# Messages and parts

PNG, WAV = "data:image/png;base64,UE5H", "data:audio/wav;base64,QQ=="
MP3, PDF = "data:audio/mpeg;base64,QQ==", "data:application/pdf;base64,QQ=="
CALL = ToolCall("c1", "f", '{"a":1}')
CALLED = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}
MARK = {"cache_control": {"type": "ephemeral"}}


def seeing(part: Part) -> Message:
    return Message("user", (part,))


def seen(**part: Any) -> dict[str, Any]:
    return {"role": "user", "content": [part]}


USERS: tuple[Role, ...] = ("system", "developer", "user")
MESSAGES: dict[str, tuple[Message, dict[str, Any]]] = {
    "system": (Message("system", "a"), {"role": "system", "content": "a"}),
    "developer": (Message("developer", "a"), {"role": "developer", "content": "a"}),
    "a name": (Message("user", "a", name="n"), {"role": "user", "content": "a", "name": "n"}),
    **{
        f"texts of the {role}": (
            Message(role, (TextPart("a"), TextPart("b"))),
            {
                "role": role,
                "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}],
            },
        )
        for role in USERS
    },
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
        Message(
            "user", (TextPart("a", "5m"), ImagePart(PNG, cache="1h"), FilePart(PDF, "", "n", "5m"))
        ),
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "a", **MARK},
                {
                    "type": "image_url",
                    "image_url": {"url": PNG},
                    "cache_control": {"type": "ephemeral", "ttl": "1h"},
                },
                {"type": "file", "file": {"filename": "n", "file_data": PDF}, **MARK},
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
    refused = Message("assistant", (RefusalPart("a"), RefusalPart("b")))
    assert message_as(refused)["refusal"] == "ab"
    failed = CALL.result("no such file", failed=True)
    assert message_as(failed)["content"] == "Error: no such file"
    assert message_as(CALL.result("Error: no", failed=True))["content"] == "Error: no"
    in_parts = CALL.result([TextPart("Err"), TextPart("or: no")], failed=True)
    assert message_as(in_parts)["content"] == "Error: no"
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
    with pytest.raises(
        LocalProtocolError, match=r"^several system messages can be merged only if they are text$"
    ):
        written(parts, HI, system)


def test_ids_that_are_missing() -> None:
    results = (Message("tool", "1"), Message("tool", "2"), Message("tool", "3"))
    calls = (
        ToolCall("", "f", "{}"),
        ToolCall("", "g", "{}", native=own(_call(new=1))),
        ToolCall("", "h", "{}"),
    )
    chat = Chat(messages=(HI, Message("assistant", calls), *results), model="m")
    _, said, *answers = body_of(chat)["messages"]
    ids = ["call_1_0", "call_1_1", "call_1_2"]
    assert [call["id"] for call in said["tool_calls"]] == ids
    assert said["tool_calls"][1]["new"] == 1
    assert [answer["tool_call_id"] for answer in answers] == ids


def _call(**more: Any) -> dict[str, Any]:
    function = {"name": "g", "arguments": "{}"}
    return {"tool_calls": [{"id": "", "type": "function", "function": function, **more}]}


NO_ADDRESS = "chat completions can't take a file by its address: give its bytes (FilePart.of_bytes)"


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (seeing(FilePart("https://x.test/a.pdf")), NO_ADDRESS),
        (seeing(FilePart("https://x.test/a.wav", "audio/wav")), NO_ADDRESS),
        (seeing(FilePart("data:QQ==")), NO_ADDRESS),
        (
            seeing(FilePart("data:audio/flac;base64,QQ==")),
            "a file of type 'audio/flac' has no place here: leave it out",
        ),
        (
            Message("user", (ReasoningPart("a"),)),
            "ReasoningPart has no place in user messages: leave it out",
        ),
        (
            Message("system", (RefusalPart("a"),)),
            "RefusalPart has no place in system messages: leave it out",
        ),
        (
            Message("user", (CALL,)),
            "ToolCall has no place in user messages: leave it out",
        ),
        (
            Message("tool", (ImagePart(PNG),)),
            "ImagePart has no place in tool messages: leave it out",
        ),
        (
            Message("assistant", (FilePart(PDF),)),
            "FilePart has no place in assistant messages: leave it out",
        ),
        (seeing(TextPart("a", "5m")), "openai can't take cache marks: leave it out of the chat"),
        (
            Message("assistant", (ReasoningPart("hm"),)),
            "nothing of the assistant message can be said here: leave it out",
        ),
        (
            seeing(Opaque(Native("openai_chat", b"[1]"))),
            "a native form of openai_chat is a piece of a message",
        ),
        (seeing(Opaque(Native("openai_chat", b"{"))), "a native form that is not JSON"),
        (
            Message("tool", (Opaque(own({"content": [{"type": "new"}]})),)),
            "a tool message of openai takes text only",
        ),
    ],
)
def test_what_is_refused(message: Message, words: str) -> None:
    assert refused(message) == words


# Thoughts, and other native forms


DETAILS = [{"type": "reasoning.encrypted", "data": "gAAA"}]


@pytest.mark.parametrize(
    ("history", "written"),
    [
        ("", {}),
        ("reasoning", {"reasoning": "I must."}),
        (
            "reasoning_details",
            {"reasoning_details": [{"type": "reasoning.text", "text": "I must."}]},
        ),
    ],
)
def test_where_thoughts_go(history: Any, written: dict[str, Any]) -> None:
    thoughts = (ReasoningPart("I "), ReasoningPart("must."))
    message = Message("assistant", (*thoughts, TextPart("a")))
    said = message_as(message, PLAIN.replace(history=history))
    assert said == {"role": "assistant", "content": "a", **written}


def test_thoughts_in_detail() -> None:
    """A service that takes them gets them as they are; another one gets their text."""
    native = own({"reasoning_details": DETAILS, "reasoning_opaque": "A"})
    hidden = Opaque(own({"reasoning_details": [5]}))
    message = Message("assistant", (ReasoningPart("I "), ReasoningPart("must.", native), hidden))
    said = {"role": "assistant", "content": "", "reasoning_opaque": "A"}
    there = PLAIN.replace(history="reasoning")
    assert message_as(message, there) == {**said, "reasoning": "I must."}
    details = PLAIN.replace(history="reasoning_details")
    first = {"type": "reasoning.text", "text": "I "}
    assert message_as(message, details) == {**said, "reasoning_details": [first, *DETAILS, 5]}


@pytest.mark.parametrize("history", ["reasoning", "reasoning_details"])
def test_no_thoughts(history: Any) -> None:
    """Some services demand the field beside calls, even if there was no thought (DeepSeek)."""
    plain = PLAIN.replace(history=history)
    demanding = plain.replace(history_required=True)
    called = Message("assistant", (CALL,))
    for provider in (plain, demanding):
        assert message_as(Message("assistant", "a"), provider) == (
            {"role": "assistant", "content": "a"}
        )
        assert message_as(HI, provider) == {"role": "user", "content": "hi"}
    assert history not in message_as(called, plain)
    assert message_as(called, demanding).get("reasoning") == (
        "" if history == "reasoning" else None
    )


def test_native_forms_are_written_where_they_stand() -> None:
    new = {"type": "new", "text": "x"}
    content = (TextPart("a"), Opaque(own({"content": [new]})), TextPart("b"))
    texts = [{"type": "text", "text": "a"}, new, {"type": "text", "text": "b"}]
    assert message_as(Message("user", content))["content"] == texts
    for odd in (new, {"type": "text", "text": 5}):
        assert message_as(seeing(Opaque(own({"content": [odd]}))))["content"] == [odd]
    calls = (ToolCall("c", "f", "", native=own({"tool_calls": [5, {"new": 1}]})),)
    assert message_as(Message("assistant", calls))["tool_calls"] == [5, {"new": 1, "id": "c"}]


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
