"""Cohere's chat: chats as request bodies, and bodies as chats."""

import json
import re
from typing import Any

import msgspec
import pytest

from tokenwire.protocols.chat import (
    Chat,
    FilePart,
    ImagePart,
    Message,
    Opaque,
    ReasoningPart,
    RefusalPart,
    TextPart,
    Tool,
    ToolCall,
    as_chat,
)
from tokenwire.protocols.errors import BadRequest, LocalProtocolError, Refused
from tokenwire.protocols.events import Native
from tokenwire.protocols.registry import PROVIDERS
from tokenwire.protocols.service import Service
from tokenwire.protocols.toolkit.http import Headers, Request, get_header

COHERE = PROVIDERS["cohere"]
PNG = "data:image/png;base64,iVBORw=="
THEIRS = Native("anthropic", b'{"type":"thinking"}')
TOOL = Tool("f", "does f", {"type": "object", "properties": {"a": {"type": "integer"}}})
PLAN = Native("cohere", b'{"tool_plan":"I will."}')


def request_of(chat: Chat, **how: Any) -> Request:
    request = COHERE.exchange(chat, **how).next_request()
    assert request is not None
    return request


def encoded(chat: Chat) -> Any:
    return json.loads(request_of(chat).body)


def asked(*messages: Message, **options: Any) -> Any:
    return encoded(Chat(messages=messages or (Message("user", "hi"),), model="m", **options))


def written(*messages: Message) -> Any:
    return asked(*messages)["messages"]


def refused(match: str, *messages: Message, **options: Any) -> None:
    with pytest.raises(LocalProtocolError, match=match):
        asked(*messages, **options)


# The request


def test_the_request() -> None:
    request = request_of(as_chat("hi", model="m"), key="sesame")
    assert (request.method, request.url) == ("POST", "https://api.cohere.com/v2/chat")
    assert get_header(request.headers, b"content-type") == "application/json"
    assert get_header(request.headers, b"accept") == "text/event-stream"
    assert get_header(request.headers, b"authorization") == "Bearer sesame"
    assert "sesame" not in repr(request)
    whole = request_of(as_chat("hi", model="m", stream=False))
    assert get_header(whole.headers, b"accept") == "application/json"


@pytest.mark.parametrize(
    "base", ["http://box:1", "http://box:1/", "http://box:1/v2", "http://box:1/v2/chat"]
)
def test_the_address(base: str) -> None:
    assert request_of(as_chat("hi", model="m"), base_url=base).url == "http://box:1/v2/chat"


def test_a_plain_chat() -> None:
    hi = [{"role": "user", "content": "hi"}]
    assert encoded(as_chat("hi", model="m")) == {"model": "m", "messages": hi, "stream": True}
    assert encoded(as_chat("hi", model="m", stream=False))["stream"] is False


def test_options() -> None:
    options: dict[str, Any] = {
        "temperature": 0.3,
        "top_p": 0.5,
        "top_k": 3,
        "max_tokens": 7,
        "stop": ("a", "b", "c", "d", "e"),
        "seed": 1,
        "frequency_penalty": 0.1,
        "presence_penalty": 0.2,
        "logprobs": 0,
        "n": 1,
    }
    body = asked(**options)
    del body["messages"], body["model"], body["stream"]
    assert body == {
        "temperature": 0.3,
        "p": 0.5,
        "k": 3,
        "max_tokens": 7,
        "stop_sequences": ["a", "b", "c", "d", "e"],
        "seed": 1,
        "frequency_penalty": 0.1,
        "presence_penalty": 0.2,
        "logprobs": True,
    }


def test_the_schema_of_the_answer() -> None:
    schema = {"type": "object"}
    expected = {"type": "json_object", "json_schema": schema}
    assert asked(schema=schema)["response_format"] == expected
    assert asked(schema={})["response_format"] == {"type": "json_object"}


def test_thinking() -> None:
    assert asked(effort="none")["thinking"] == {"type": "disabled"}
    body = asked(effort="high", extra={"thinking": {"token_budget": 9}})
    assert body["thinking"] == {"type": "enabled", "token_budget": 9}
    refused("effort is none, high, not low", effort="low")


def test_what_is_given_in_its_words() -> None:
    extra = {"documents": ["a", {"id": "d", "data": {"text": "b"}}], "safety_mode": "STRICT"}
    body = asked(extra=extra)
    assert extra.items() <= body.items()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        *(({"n": 2}, "n"), ({"parallel": False}, "parallel"), ({"logprobs": 1}, "logprobs")),
        ({"stop": tuple("abcdef")}, "6 stop sequences"),
        ({"tools": (Tool("a-b"),)}, "a tool named 'a-b'"),
        ({"tools": (Tool("-" * 100),)}, f"a tool named '{'-' * 80}': its name"),
        ({"tools": (TOOL,), "tool_choice": "x" * 100}, f"there is no tool '{'x' * 80}'$"),
        ({"tools": (Tool("1a"),)}, "a tool named '1a'"),
        ({"tools": (TOOL,), "tool_choice": "g"}, "there is no tool 'g'"),
        ({"tool_choice": "required"}, "^tool_choice demands a call, and there are no tools$"),
        (
            {"tools": (Tool("f", strict=True), Tool("g"))},
            "^a tool's strict: cohere takes it for all tools or for none$",
        ),
        ({"tools": (Tool("f", cache="5m"),)}, "cache marks"),
        (
            {"tools": (Opaque(Native("", b'{"type":"web_search"}')),)},
            "^cohere has no tools but functions",
        ),
        ({"tools": (Opaque(THEIRS),)}, "anthropic"),
    ],
)
def test_options_that_are_refused(options: dict[str, Any], words: str) -> None:
    refused(words, **options)


# Tools


def test_tools() -> None:
    function = {"name": "f", "description": "does f", "parameters": TOOL.parameters}
    bare: Any = {"name": "g", "parameters": {"type": "object", "properties": {}}}
    body = asked(tools=(TOOL, Tool("g")))
    assert body["tools"] == [{"type": "function", "function": each} for each in (function, bare)]
    assert not {"tool_choice", "strict_tools"} & body.keys()
    own = b'{"type":"function","function":{"name":"f"},"x":1}'
    assert asked(tools=(Tool("f", native=Native("cohere", own)),))["tools"] == [json.loads(own)]


def test_strict_tools() -> None:
    assert asked(tools=(Tool("f", strict=True), Tool("g", strict=True)))["strict_tools"] is True
    assert asked(tools=(Tool("f", strict=False), Tool("g")))["strict_tools"] is False


def test_the_choice_of_a_tool() -> None:
    def choice(word: str | None) -> Any:
        body = asked(tools=(TOOL, Tool("g")), tool_choice=word)
        return [t["function"]["name"] for t in body["tools"]], body.get("tool_choice")

    assert choice(None) == choice("auto") == (["f", "g"], None)
    assert choice("required") == (["f", "g"], "REQUIRED")
    assert choice("none") == (["f", "g"], "NONE")
    assert choice("g") == (["g"], "REQUIRED")
    twice = asked(tools=(TOOL, Tool("f")), tool_choice="f")["tools"]
    assert twice == asked(tools=(TOOL,))["tools"]
    for word in (None, "auto", "none"):
        assert asked(tool_choice=word).keys() == {"model", "messages", "stream"}


# Messages


def test_roles() -> None:
    assert written(
        Message("system", "s"),
        Message("developer", (TextPart("d"), TextPart("e"))),
        Message("user", "u"),
        Message("user", ""),
        Message("assistant", "a"),
        Message("assistant", ""),
    ) == [
        {"role": "system", "content": "s"},
        {
            "role": "system",
            "content": [{"type": "text", "text": "d"}, {"type": "text", "text": "e"}],
        },
        {"role": "user", "content": "u"},
        {"role": "user", "content": ""},
        {"role": "assistant", "content": [{"type": "text", "text": "a"}]},
        {"role": "assistant", "content": ""},
    ]


def test_pictures() -> None:
    url = "HTTPS://x.test/a.png"
    (message,) = written(Message("user", (TextPart("a"), ImagePart(PNG, "low"), ImagePart(url))))
    assert message["content"] == [
        {"type": "text", "text": "a"},
        {"type": "image_url", "image_url": {"url": PNG, "detail": "low"}},
        {"type": "image_url", "image_url": {"url": url}},
    ]
    words = r"^a picture is given by its bytes or an http\(s\) address$"
    refused(words, Message("user", (ImagePart("file:///etc/passwd"),)))
    refused("'original'", Message("user", (ImagePart(PNG, "original"),)))


def test_an_assistant_message() -> None:
    parts = (
        *(ReasoningPart("t"), TextPart("a"), TextPart(""), RefusalPart("no")),
        *(ReasoningPart("I will.", PLAN), ReasoningPart("x", THEIRS), Opaque(THEIRS)),
        *(ToolCall("c", "f", ' {"a":1} '), ToolCall("d", "g", "")),
        Opaque(Native("cohere", b'{"citations":[{"start":0}]}')),
        Opaque(Native("cohere", b'{"content":[{"type":"audio"}],"new":1}')),
    )
    assert written(Message("assistant", parts)) == [
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "t"},
                {"type": "text", "text": "a"},
                {"type": "text", "text": "no"},
                {"type": "thinking", "thinking": "x"},
                {"type": "audio"},
            ],
            "tool_calls": [
                {"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}},
                {"id": "d", "type": "function", "function": {"name": "g", "arguments": "{}"}},
            ],
            "tool_plan": "I will.",
            "citations": [{"start": 0}],
            "new": 1,
        }
    ]


def test_an_assistant_message_without_text_has_no_content() -> None:
    plan = ReasoningPart("I will.", PLAN)
    for parts in ((ToolCall("c", "f", "{}"),), (TextPart(""), ToolCall("c", "f", "{}"))):
        (message,) = written(Message("assistant", parts))
        assert message.keys() == {"role", "tool_calls"}
    assert written(Message("assistant", (plan,))) == [{"role": "assistant", "tool_plan": "I will."}]
    again = Native("cohere", b'{"tool_plan":" Really."}')
    (message,) = written(Message("assistant", (plan, ReasoningPart("", again))))
    assert message["tool_plan"] == "I will. Really."


def test_several_calls() -> None:
    (message,) = written(Message("assistant", tuple(ToolCall(id, "f", "{}") for id in "cde")))
    assert [call["id"] for call in message["tool_calls"]] == ["c", "d", "e"]


def test_calls_as_they_came() -> None:
    own = b'{"tool_calls":[{"id":"c","type":"function","function":{"name":"f"},"x":1}]}'
    (message,) = written(
        Message("assistant", (ToolCall("c", "f", "{}", native=Native("cohere", own)),))
    )
    assert message["tool_calls"] == json.loads(own)["tool_calls"]


def test_results_of_tools() -> None:
    calls = (ToolCall("c", "f", "{}"), ToolCall("", "g", "{}"))
    document = {"type": "document", "document": {"id": "d", "data": {"a": 1}}}
    native = Native("cohere", msgspec.json.encode({"content": [document]}))
    messages = written(
        Message("assistant", calls),
        Message("tool", "one", tool_call_id="c", name="f"),
        Message("tool", "two"),
        Message("tool", (TextPart("a"), Opaque(native)), tool_call_id="c"),
        Message("tool", (TextPart("a"), TextPart("b")), tool_call_id="c", failed=True),
        Message("tool", "Error: x", tool_call_id="c", failed=True),
        Message("tool", "", tool_call_id="c", failed=True),
        Message("tool", (Opaque(native),), tool_call_id="c", failed=True),
    )
    assert [call["id"] for call in messages[0]["tool_calls"]] == ["c", "call_0_1"]
    assert messages[1:3] == [
        {"role": "tool", "tool_call_id": "c", "content": "one"},
        {"role": "tool", "tool_call_id": "call_0_1", "content": "two"},
    ]
    error = {"type": "text", "text": "Error: "}
    assert [message["content"] for message in messages[3:]] == [
        [{"type": "text", "text": "a"}, document],
        [{"type": "text", "text": "Error: a"}, {"type": "text", "text": "b"}],
        *("Error: x", "Error: "),
        [error, document],
    ]


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (Message("user", "a", name="n"), "a message's name"),
        (Message("assistant", "a", extra={"prefix": True}), "prefix"),
        (Message("assistant", (ImagePart(PNG),)), "ImagePart has no place in assistant messages"),
        (Message("system", (ImagePart(PNG),)), "ImagePart has no place in system messages"),
        (Message("tool", (ImagePart(PNG),), "c"), "ImagePart has no place in tool messages"),
        (Message("user", (ReasoningPart("a"),)), "ReasoningPart has no place in user messages"),
        (Message("user", (RefusalPart("a"),)), "RefusalPart has no place in user messages"),
        (Message("user", (ToolCall("c", "f", "{}"),)), "ToolCall has no place in user messages"),
        (Message("user", (FilePart(PNG),)), "files"),
        (Message("assistant", (ToolCall("c", "f", "x", custom=True),)), "custom"),
        (Message("user", (TextPart("a", cache="5m"),)), "cache marks"),
        (Message("user", (Opaque(THEIRS),)), "anthropic"),
        (Message("assistant", (Opaque(THEIRS),)), "nothing of the assistant message"),
        (Message("user", (Opaque(Native("cohere", b'{"content":1}')),)), "a piece of a message"),
    ],
)
def test_messages_that_are_refused(message: Message, words: str) -> None:
    refused(re.escape(words), message)


def test_a_native_form_that_is_no_piece() -> None:
    words = "^a native form of cohere is a piece of a message$"
    refused(words, Message("assistant", (Opaque(Native("cohere", b"[1]")),)))


# Bodies as chats

BODY: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
HEADERS: Headers = [(b"content-type", b"application/json")]


def understood(**fields: Any) -> Chat:
    body = json.dumps({**BODY, **fields}).encode()
    request = Request("POST", "https://x/v2/chat", HEADERS, body)
    chat = Service(COHERE).responder().receive_request(request)
    assert chat is not None
    return chat


def heard(*messages: Any) -> tuple[Message, ...]:
    return understood(messages=messages).messages


def test_a_body() -> None:
    assert understood() == Chat(messages=(Message("user", "hi"),), model="m", stream=False)
    chat = understood(
        temperature=1,
        p=0.5,
        k=3.0,
        max_tokens=7,
        seed=1,
        logprobs=True,
        stop_sequences=["a"],
        frequency_penalty=0,
        presence_penalty=0.1,
        stream=True,
        documents=["d"],
        priority=3,
        safety_mode=None,
    )
    assert chat == Chat(
        messages=(Message("user", "hi"),),
        model="m",
        temperature=1,
        top_p=0.5,
        top_k=3,
        max_tokens=7,
        seed=1,
        logprobs=0,
        stop=("a",),
        frequency_penalty=0,
        presence_penalty=0.1,
        extra={"documents": ["d"], "priority": 3, "safety_mode": None},
    )


def test_what_may_be_left_out() -> None:
    assert understood(stop_sequences=list("abcde")).stop == tuple("abcde")
    for arguments, said in ((None, "{}"), ("", "{}"), ("null", "{}"), ({"a": 1}, '{"a":1}')):
        call = {"id": "c", "function": {"name": "f", "arguments": arguments}}
        (message,) = heard({"role": "assistant", "content": "", "tool_calls": [call]})
        assert message.parts == (ToolCall("c", "f", said),)


def test_the_tools_of_a_body() -> None:
    function = {"name": "f", "description": "does f", "parameters": {"type": "object"}}
    told = {"type": "function", "function": function}
    odd = {"type": "function", "function": {"name": "g", "parameters": 7}, "x": 1}
    chat = understood(tools=[told, odd], tool_choice="REQUIRED", strict_tools=True)
    assert chat.tools == (
        Tool("f", "does f", {"type": "object"}, True),
        Tool("g", strict=True, native=Native("cohere", msgspec.json.encode(odd))),
    )
    assert chat.tool_choice == "required"
    assert understood(tool_choice="none").tool_choice == "none"


@pytest.mark.parametrize(
    ("thinking", "effort", "rest"),
    [
        *(({"type": "enabled"}, "high", None), ({"type": "disabled"}, "none", None)),
        ({"type": "enabled", "token_budget": 9}, "high", {"token_budget": 9}),
        *(({"token_budget": 9}, None, {"token_budget": 9}), (None, None, None)),
        *(({"type": ["x"]}, None, {"type": ["x"]}), ("x", None, "x")),
    ],
)
def test_the_thinking_of_a_body(thinking: Any, effort: str | None, rest: Any) -> None:
    chat = understood(thinking=thinking)
    assert (chat.effort, chat.extra.get("thinking")) == (effort, rest)


@pytest.mark.parametrize(
    ("told", "schema", "rest"),
    [
        ({"type": "json_object"}, {}, None),
        ({"type": "json_object", "json_schema": {"type": "array"}}, {"type": "array"}, None),
        ({"type": "json_object", "schema": {"type": "array"}}, {"type": "array"}, None),
        ({"type": "text"}, None, None),
        (
            {"type": "json_object", "json_schema": 7},
            None,
            {"type": "json_object", "json_schema": 7},
        ),
        ({"type": "json_object", "x": 7}, None, {"type": "json_object", "x": 7}),
        (7, None, 7),
    ],
)
def test_the_form_of_the_answer(told: Any, schema: Any, rest: Any) -> None:
    chat = understood(response_format=told)
    assert (chat.schema, chat.extra.get("response_format")) == (schema, rest)


def test_the_messages_of_a_body() -> None:
    image = {"type": "image_url", "image_url": {"url": PNG, "detail": "low"}}
    assert heard(
        {"role": "system", "content": [{"type": "text", "text": "s"}]},
        {"role": "developer", "content": "d"},
        {"role": "user", "content": [{"type": "text", "text": "a"}, image]},
        {"role": "assistant", "content": None},
        {"role": "tool", "tool_call_id": "c", "content": "r"},
    ) == (
        Message("system", "s"),
        Message("developer", "d"),
        Message("user", (TextPart("a"), ImagePart(PNG, "low"))),
        Message("assistant"),
        Message("tool", "r", tool_call_id="c"),
    )


def test_an_assistant_message_of_a_body() -> None:
    citations: Any = [{"start": 0, "sources": []}]
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}
    odd = {"id": "d", "type": "function", "function": {"name": "g", "arguments": "null"}, "x": 1}
    native = Native("cohere", msgspec.json.encode({"tool_calls": [odd]}))
    (message,) = heard(
        {
            "role": "assistant",
            "content": [{"type": "thinking", "thinking": "t"}, {"type": "text", "text": "a"}],
            "tool_plan": "I will.",
            "tool_calls": [call, odd],
            "citations": citations,
            "new": {"y": 2},
            "name": None,
        }
    )
    assert message.parts == (
        *(ReasoningPart("t"), TextPart("a"), ReasoningPart("I will.", PLAN)),
        ToolCall("c", "f", '{"a":1}'),
        ToolCall("d", "g", "{}", native=native),
        Opaque(Native("cohere", msgspec.json.encode({"citations": citations}))),
        Opaque(Native("cohere", b'{"new":{"y":2}}')),
    )
    empty: Any = {
        "role": "assistant",
        "content": "",
        "tool_plan": "",
        "tool_calls": [],
        "citations": [],
    }
    assert heard(empty) == (Message("assistant"),)


def test_parts_that_are_not_understood() -> None:
    parts: list[dict[str, Any]] = [
        {"type": "document", "document": {"data": {}}},
        {"type": "text", "text": 7},
        {"type": "image_url", "image_url": {"url": PNG, "detail": 7}},
        {"text": "a"},
    ]
    known: list[dict[str, Any]] = [
        {"type": "text", "text": "a", "x": 1},
        {"type": "thinking", "thinking": "t", "x": 1},
        {"type": "image_url", "image_url": {"url": PNG, "x": 1}},
    ]
    natives = [Native("cohere", msgspec.json.encode({"content": [p]})) for p in parts + known]
    assert heard({"role": "user", "content": parts + known})[0].parts == (
        *map(Opaque, natives[:4]),
        TextPart("a", native=natives[4]),
        ReasoningPart("t", natives[5]),
        ImagePart(PNG, native=natives[6]),
    )
    (alone,) = heard({"role": "user", "content": known[:1]})
    assert alone.parts == (TextPart("a", native=natives[4]),)


def called(arguments: Any) -> Any:
    return {"id": "c", "function": {"name": "f", "arguments": arguments}}


ROLE = "invalid request: a message's role is not "
TOOL_ID = "tool call id must be provided with tool message"
CALL = "invalid request: a tool call has a function with a name"
NAME = "invalid tool name: only letters, digits and _, and no digit first"
REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"messages": []}, "invalid request: messages must not be empty"),
    ({"messages": 7}, "invalid request: Expected `array`, got `int` - at `$.messages`"),
    ({"model": ""}, "invalid request: model is required"),
    ({"messages": [{"role": "robot", "content": "a"}]}, f"{ROLE}'robot'"),
    ({"messages": [{"role": ["user"], "content": "a"}]}, f"{ROLE}['user']"),
    ({"messages": [{"role": "x" * 300}]}, f"{ROLE}'{'x' * 300}"[:200]),
    ({"messages": [{"role": "tool", "content": "a"}]}, TOOL_ID),
    ({"messages": [{"role": "tool", "content": "a", "tool_call_id": 7}]}, TOOL_ID),
    ({"messages": [{"role": "user", "content": 7}]}, "invalid request: content of a message"),
    ({"messages": [{"role": "user", "content": ["a"]}]}, "invalid request: content of a message"),
    (
        {"messages": [{"role": "assistant", "tool_calls": {}}]},
        "invalid request: tool_calls of a message",
    ),
    ({"messages": [{"role": "assistant", "tool_calls": [{}]}]}, CALL),
    ({"messages": [{"role": "assistant", "tool_calls": [{"function": {}}]}]}, CALL),
    (
        {"messages": [{"role": "assistant", "tool_calls": [called(7)]}]},
        "invalid request: the arguments of a tool call are text",
    ),
    (
        {"messages": [{"role": "assistant", "tool_plan": 7}]},
        "invalid request: tool_plan of a message",
    ),
    ({"tools": [{"type": "function", "function": {"name": "a-b"}}]}, NAME),
    ({"tools": [{"type": "web_search"}]}, NAME),
    ({"stop_sequences": list("abcdef")}, "invalid request: at most 5 stop_sequences"),
    ({"tool_choice": "f"}, "invalid request: tool_choice is REQUIRED or NONE"),
    ({"p": "x"}, "invalid request: Expected `float | null`, got `str` - at `$.p`"),
]


@pytest.mark.parametrize(("fields", "words"), REFUSED)
def test_bodies_that_are_refused(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(BadRequest) as caught:
        understood(**fields)
    assert isinstance(caught.value, Refused)
    assert (str(caught.value), caught.value.status) == (words, 400)
