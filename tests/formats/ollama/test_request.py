"""Ollama's own format: chats as request bodies, and bodies as chats."""

import json
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
from tokenwire.protocols.errors import BadRequest, LocalProtocolError
from tokenwire.protocols.events import Native
from tokenwire.protocols.registry import PROVIDERS
from tokenwire.protocols.service import Service
from tokenwire.protocols.toolkit.http import Headers, Request, get_header

OLLAMA = PROVIDERS["ollama"]
PNG = "data:image/png;base64,iVBORw=="
THEIRS = Native("anthropic", b'{"type":"thinking"}')


def request_of(chat: Chat, **how: Any) -> Request:
    request = OLLAMA.exchange(chat, **how).next_request()
    assert request is not None
    return request


def encoded(chat: Chat) -> Any:
    return json.loads(request_of(chat).body)


def asked(*messages: Message, **options: Any) -> Any:
    return encoded(Chat(messages=messages, model="m", **options))


def written(*messages: Message) -> Any:
    return asked(*messages)["messages"]


# The request


def test_the_request() -> None:
    request = request_of(as_chat("hi", model="m"), key="sesame")
    assert (request.method, request.url) == ("POST", "http://localhost:11434/api/chat")
    assert get_header(request.headers, b"content-type") == "application/json"
    assert get_header(request.headers, b"accept") == "application/x-ndjson"
    assert get_header(request.headers, b"authorization") == "Bearer sesame"
    assert "sesame" not in repr(request)
    whole = request_of(as_chat("hi", model="m", stream=False))
    assert get_header(whole.headers, b"accept") == "application/json"
    assert get_header(whole.headers, b"authorization") is None


@pytest.mark.parametrize("base", ["http://box:1", "http://box:1/", "http://box:1/api/chat"])
def test_the_address(base: str) -> None:
    request = request_of(as_chat("hi", model="m"), base_url=base)
    assert request.url == "http://box:1/api/chat"


def test_a_plain_chat() -> None:
    hi = [{"role": "user", "content": "hi"}]
    assert encoded(as_chat("hi", model="m")) == {"model": "m", "messages": hi, "stream": True}
    assert encoded(as_chat("hi", model="m", stream=False))["stream"] is False


def test_options() -> None:
    chat = as_chat(
        "hi",
        model="m",
        temperature=0.5,
        top_p=0.1,
        top_k=3,
        seed=4,
        stop=("x",),
        max_tokens=5,
        presence_penalty=0.2,
        frequency_penalty=0.3,
        extra={"options": {"num_ctx": 8192, "seed": 5}, "keep_alive": "5m"},
    )
    body = encoded(chat)
    assert body["options"] == {
        "temperature": 0.5,
        "top_p": 0.1,
        "top_k": 3,
        "seed": 5,
        "stop": ["x"],
        "num_predict": 5,
        "presence_penalty": 0.2,
        "frequency_penalty": 0.3,
        "num_ctx": 8192,
    }
    assert body["keep_alive"] == "5m"


@pytest.mark.parametrize(
    ("options", "fields"),
    [
        ({"schema": {}}, {"format": "json"}),
        ({"schema": {"type": "object"}}, {"format": {"type": "object"}}),
        ({"effort": "none"}, {"think": False}),
        ({"effort": "max"}, {"think": "max"}),
        ({"logprobs": 0}, {"logprobs": True}),
        ({"logprobs": 3}, {"logprobs": True, "top_logprobs": 3}),
        ({"tool_choice": "auto"}, {}),
        ({"tool_choice": "none", "tools": [Tool("f")]}, {}),
    ],
)
def test_fields(options: Any, fields: Any) -> None:
    body = encoded(as_chat("hi", model="m", **options))
    del body["model"], body["messages"], body["stream"]
    assert body == fields


def test_tools() -> None:
    parameters = {"type": "object", "properties": {"a": {"type": "integer", "minimum": 1}}}
    own = {"type": "function", "function": {"name": "h"}, "x": 1}
    tools = [Tool("f", "does", parameters), Tool("g"), Tool("h", native=native(own))]
    assert asked(Message("user", "hi"), tools=tuple(tools))["tools"] == [
        {
            "type": "function",
            "function": {"name": "f", "description": "does", "parameters": parameters},
        },
        {
            "type": "function",
            "function": {"name": "g", "parameters": {"type": "object", "properties": {}}},
        },
        own,
    ]


def native(value: Any) -> Native:
    return Native("ollama", msgspec.json.encode(value))


# Messages


def test_roles() -> None:
    roles: Any = ["system", "developer", "user", "assistant", "system"]
    assert [each["role"] for each in written(*(Message(role, "a") for role in roles))] == [
        *("system", "system", "user", "assistant", "system"),
    ]


def test_parts_of_the_user() -> None:
    content = (TextPart("a"), ImagePart(PNG), TextPart("b"))
    assert written(Message("user", content)) == [
        {"role": "user", "content": "ab", "images": ["iVBORw=="]},
    ]


def test_parts_of_the_assistant() -> None:
    content = (
        ReasoningPart("t", THEIRS),
        ReasoningPart("u"),
        TextPart("a"),
        Opaque(THEIRS),
        RefusalPart("b"),
        ToolCall("c1", "f", '{"b": 1.10, "a": 12345678901234567890}'),
        ToolCall("", "g", ""),
    )
    chat = Chat(messages=(Message("assistant", content),), model="m")
    (message,) = encoded(chat)["messages"]
    assert (message["content"], message["thinking"]) == ("ab", "tu")
    assert message["tool_calls"][0] == {
        "id": "c1",
        "function": {
            "index": 0,
            "name": "f",
            "arguments": {"b": 1.1, "a": 12345678901234567890},
        },
    }
    assert message["tool_calls"][1] == {"function": {"index": 1, "name": "g", "arguments": {}}}
    raw = b'"arguments":{"b": 1.10, "a": 12345678901234567890}'
    assert raw in request_of(chat).body


def test_an_empty_message() -> None:
    assert written(Message("assistant", "")) == [{"role": "assistant", "content": ""}]
    (message,) = written(Message("assistant", (ToolCall("", "f", "{}"),)))
    assert message["content"] == ""


def test_results() -> None:
    """By id, or in the order of the calls; the name is that of the call, or the result's own."""
    calls = (ToolCall("c1", "f", ""), ToolCall("c2", "g", ""))
    messages = written(
        Message("assistant", calls),
        Message("tool", "1", tool_call_id="c2"),
        Message("tool", "2"),
        Message("tool", "3", name="own"),
        Message("tool", "4", failed=True),
        Message("assistant", (ToolCall("c1", "h", ""),)),
        Message("tool", "5", tool_call_id="c1", name="own"),
    )
    assert [each for each in messages if each["role"] == "tool"] == [
        {"role": "tool", "content": "1", "tool_name": "g", "tool_call_id": "c2"},
        {"role": "tool", "content": "2", "tool_name": "f"},
        {"role": "tool", "content": "3", "tool_name": "own"},
        {"role": "tool", "content": "Error: 4"},
        {"role": "tool", "content": "5", "tool_name": "h", "tool_call_id": "c1"},
    ]


def test_results_of_calls_without_ids() -> None:
    calls = (ToolCall("", "f", ""), ToolCall("", "g", ""))
    messages = written(
        Message("assistant", calls), Message("tool", "1", name="g"), Message("tool", "2")
    )
    assert [each.get("tool_name") for each in messages] == [None, "g", "f"]


def test_a_picture_in_a_result() -> None:
    assert written(Message("tool", (TextPart("a"), ImagePart(PNG)), name="f")) == [
        {"role": "tool", "content": "a", "images": ["iVBORw=="], "tool_name": "f"},
    ]


@pytest.mark.parametrize(
    ("chat", "words"),
    [
        (
            as_chat([{"role": "user", "content": "a", "name": "n"}]),
            "ollama can't take a message's name",
        ),
        (as_chat("hi", n=2), "ollama can't take n"),
        (as_chat("hi", tool_choice="required"), "ollama can't take tool_choice, other than auto"),
        (as_chat("hi", parallel=False), "ollama can't take parallel"),
        (as_chat("hi", effort="minimal"), "ollama: effort is none, low, medium, high, max"),
        (as_chat("hi", tools=[{"type": "web_search"}]), "ollama has no tools but functions"),
        (as_chat("hi", tools=[Tool("f", strict=True)]), "ollama can't take a tool's strict"),
        (as_chat([Message("user", (ImagePart("https://x/1"),))]), "ollama takes a picture by its"),
        (
            as_chat([Message("user", (ImagePart("data:image/png"),))]),
            "a picture is given by its bytes: a data: URL",
        ),
        (as_chat([Message("system", (ImagePart(PNG),))]), "ImagePart has no place in system"),
        (
            as_chat([Message("user", (ImagePart(PNG, "low"),))]),
            "ollama can't take a picture's detail",
        ),
        (as_chat([Message("user", (FilePart("https://x/1"),))]), "ollama can't take files"),
        (as_chat([Message("user", (ReasoningPart("t"),))]), "ReasoningPart has no place in user"),
        (as_chat([Message("user", (RefusalPart("t"),))]), "RefusalPart has no place in user"),
        (as_chat([Message("user", (ToolCall("", "f", ""),))]), "ToolCall has no place in user"),
        (as_chat([Message("user", (Opaque(native(1)),))]), "Opaque has no place"),
        (as_chat([Message("assistant", (Opaque(THEIRS),))]), "nothing of the assistant message"),
        (
            as_chat([Message("assistant", (ToolCall("", "f", "[1]"),))]),
            "the call 'f' () has arguments",
        ),
        (as_chat([]), "no message"),
    ],
)
def test_what_cannot_be_asked(chat: Chat, words: str) -> None:
    with pytest.raises(LocalProtocolError) as caught:
        request_of(chat.replace(model="m"))
    assert str(caught.value).startswith(words)


def test_history_as_it_was_recorded() -> None:
    """A system message, a question, a call, its result, a question: as a real client sent it."""
    add = ToolCall("", "add", '{"x": 2, "y": 3}')
    chat = Chat(
        messages=(
            Message("system", "You are a calculator assistant."),
            Message("user", "Use the add tool to compute 2 + 3."),
            Message("assistant", (add,)),
            add.result("5"),
            Message("user", "State the final result."),
        ),
        model="qwen3:4b",
        effort="none",
    )
    assert encoded(chat) == {
        "model": "qwen3:4b",
        "messages": [
            {"role": "system", "content": "You are a calculator assistant."},
            {"role": "user", "content": "Use the add tool to compute 2 + 3."},
            {
                "role": "assistant",
                "content": "",
                "tool_calls": [
                    {"function": {"index": 0, "name": "add", "arguments": {"x": 2, "y": 3}}}
                ],
            },
            {"role": "tool", "content": "5", "tool_name": "add"},
            {"role": "user", "content": "State the final result."},
        ],
        "stream": True,
        "think": False,
    }


# Bodies as chats

JSON: Headers = [(b"content-type", b"application/json")]
HI = {"role": "user", "content": "hi"}


def understood(body: Any, path: str = "/api/chat", headers: Headers = JSON) -> Chat:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    responder = Service(OLLAMA).responder()
    chat = responder.receive_request(Request("POST", f"http://x{path}", headers, raw))
    assert chat is not None
    return chat


def chat_of(*messages: Any, **fields: Any) -> Chat:
    return understood({"model": "m", "messages": messages or (HI,), **fields})


def refused(body: Any, path: str = "/api/chat") -> str:
    with pytest.raises(BadRequest) as caught:
        understood(body, path)
    assert caught.value.status == 400
    return caught.value.message


def test_a_plain_body() -> None:
    assert chat_of() == as_chat("hi", model="m")
    assert chat_of(stream=False) == as_chat("hi", model="m", stream=False)
    assert chat_of(stream=None, tools=None, options=None, format="", think=None).stream


@pytest.mark.parametrize("kind", [None, b"application/x-www-form-urlencoded", b"text/plain"])
def test_the_label_of_a_request_does_not_matter(kind: bytes | None) -> None:
    """As curl and litellm send it."""
    headers: Headers = [] if kind is None else [(b"content-type", kind)]
    chat = as_chat("hi", model="m")
    assert understood({"model": "m", "messages": [HI]}, headers=headers) == chat
    assert understood({"model": "m", "prompt": "hi"}, "/api/generate", headers) == chat


def test_what_messages_may_be() -> None:
    chat = chat_of(
        {"role": "System", "content": "s", "images": []},
        {"role": "USER", "content": "a", "images": ["iVBORw==", "data:image/jpeg;base64,/9j/"]},
        {"role": "user", "images": ["AA=="], "content": None},
        {"role": "assistant", "thinking": "t", "tool_calls": None},
        {
            "role": "assistant",
            "content": "b",
            "tool_calls": [
                {"id": "c", "type": "function", "function": {"index": 0, "name": "f"}},
                {"function": {"name": "g", "arguments": None}},
                {"id": None, "function": {"name": "h", "arguments": {"a": 1}}},
            ],
        },
        {"role": "tool", "tool_name": "f", "tool_call_id": "c", "content": "1"},
        {"role": "tool", "tool_name": "g", "content": "2"},
        {"role": "user", "content": "c", "new": 1, "old": None},
    )
    assert chat.messages == (
        Message("system", "s"),
        Message(
            "user",
            (TextPart("a"), ImagePart(PNG), ImagePart("data:image/jpeg;base64,/9j/")),
        ),
        Message("user", (ImagePart("data:application/octet-stream;base64,AA=="),)),
        Message("assistant", (ReasoningPart("t"),)),
        Message(
            "assistant",
            (
                TextPart("b"),
                ToolCall("c", "f", "{}"),
                ToolCall("", "g", "{}"),
                ToolCall("", "h", '{"a": 1}'),
            ),
        ),
        Message("tool", "1", tool_call_id="c", name="f"),
        Message("tool", "2", name="g"),
        Message("user", "c", extra={"new": 1}),
    )


def test_arguments_stay_as_they_are() -> None:
    raw = b'{"b": 1.10, "a": 12345678901234567890}'
    body = b'{"model":"m","messages":[{"role":"assistant","tool_calls":[{"function":{"name":"f",'
    chat = understood(body + b'"arguments":%s}}]}]}' % raw)
    assert chat.messages[0].tool_calls == (ToolCall("", "f", raw.decode()),)
    half = understood(body + b'"arguments":{"a":"\xe2\x82"}}}]}]}')
    assert half.messages[0].tool_calls == (ToolCall("", "f", '{"a":"\ufffd"}'),)


def test_results_without_ids_find_their_calls() -> None:
    """By name, then by order: what a client sends that keeps no ids is asked on as it was meant."""
    calls: Any = [{"function": {"name": name, "arguments": {}}} for name in ("f", "g", "f")]
    results = [{"role": "tool", "tool_name": "g", "content": "1"}]
    results += [
        {"role": "tool", "content": "2"},
        {"role": "tool", "tool_name": "f", "content": "3"},
    ]
    chat = chat_of(HI, {"role": "assistant", "tool_calls": calls}, *results)
    request = PROVIDERS["anthropic"].exchange(chat).next_request()
    assert request is not None
    content = json.loads(request.body)["messages"][2]["content"]
    assert [(each["tool_use_id"], each["content"]) for each in content] == [
        *(("call_1_1", "1"), ("call_1_0", "2"), ("call_1_2", "3")),
    ]


def test_what_options_may_be() -> None:
    options = {
        "temperature": 1,
        "top_p": 0.5,
        "top_k": 3,
        "seed": -4,
        "stop": ["x"],
        "num_predict": 5,
        "presence_penalty": 0.2,
        "frequency_penalty": 0.3,
        "num_ctx": 9,
    }
    chat = chat_of(options=options, keep_alive=0, truncate=False)
    assert chat == as_chat(
        "hi",
        model="m",
        temperature=1,
        top_p=0.5,
        top_k=3,
        seed=-4,
        stop=("x",),
        max_tokens=5,
        presence_penalty=0.2,
        frequency_penalty=0.3,
        extra={"options": {"num_ctx": 9}, "keep_alive": 0, "truncate": False},
    )
    endless = chat_of(options={"num_predict": -1, "temperature": None})
    assert endless.extra == {"options": {"num_predict": -1, "temperature": None}}
    assert endless.max_tokens is None
    assert chat_of(options={"num_predict": 0}).max_tokens is None
    assert chat_of(options={"num_predict": 1}).max_tokens == 1
    assert chat_of(options={"top_k": 40.0}).top_k == 40


@pytest.mark.parametrize(
    ("fields", "options"),
    [
        ({"think": True}, {}),
        ({"think": ""}, {}),
        ({"think": False}, {"effort": "none"}),
        ({"think": "high"}, {"effort": "high"}),
        ({"format": None}, {}),
        ({"format": "json"}, {"schema": {}}),
        ({"format": {"type": "object"}}, {"schema": {"type": "object"}}),
        ({"logprobs": True}, {"logprobs": 0}),
        ({"logprobs": True, "top_logprobs": 20}, {"logprobs": 20}),
        ({"logprobs": False, "top_logprobs": 0}, {}),
    ],
)
def test_what_fields_may_be(fields: Any, options: Any) -> None:
    assert chat_of(**fields) == as_chat("hi", model="m", **options)


def test_what_tools_may_be() -> None:
    function = {"name": "f", "description": "d", "parameters": {"type": "object"}}
    strict = {"type": "function", "function": {"name": "g", "strict": True}}
    beside = {"function": {"name": "h"}, "items": 1}
    chat = chat_of(tools=[{"type": "function", "function": function}, strict, beside])
    assert chat.tools == (
        Tool("f", "d", {"type": "object"}),
        Tool("g", native=native(strict)),
        Tool("h", native=native(beside)),
    )
    assert encoded(chat)["tools"][1:] == [strict, beside], "they go on as they came"


ROLES = "system, developer, user, assistant, tool"
SHAPE = "the request body is JSON of an unexpected shape"


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"model": ""}, "model is required"),
        ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, SHAPE),
        ({"messages": [{"role": "robot"}]}, f"a message's role is {ROLES}, not 'robot'"),
        ({"messages": [{"content": "a"}]}, f"a message's role is {ROLES}, not ''"),
        ({"messages": [{"role": "x" * 99}]}, f"a message's role is {ROLES}, not '{'x' * 80}'"),
        ({"messages": [{"role": "user", "images": ["?"]}]}, "images: illegal base64 data"),
        (
            {"think": "hard" * 30},
            f"invalid think value: '{'hard' * 20}' "
            '(must be "high", "medium", "low", "max", true, or false)',
        ),
        ({"think": 7}, SHAPE),
        ({"format": "yaml"}, 'format: expected "json" or a JSON Schema object'),
        ({"options": {"temperature": "hot"}}, "options: "),
        ({"options": {"stop": "x"}}, "options: "),
        ({"top_logprobs": 21}, "top_logprobs must be between 0 and 20"),
        ({"top_logprobs": -1}, "top_logprobs must be between 0 and 20"),
        ({"tools": [{"type": "web_search"}]}, "tools: a tool has a function with a name"),
        ({"tools": [{"function": {"name": 7}}]}, "tools: a tool has a function with a name"),
        ({"tools": 7}, SHAPE),
    ],
)
def test_what_a_server_refuses(fields: Any, words: str) -> None:
    assert refused({"model": "m", "messages": [HI], **fields}).startswith(words)


@pytest.mark.parametrize("arguments", ['"{}"', "[1]", "7"])
def test_arguments_that_are_no_object(arguments: str) -> None:
    call = {"function": {"name": "f", "arguments": json.loads(arguments)}}
    body = {"model": "m", "messages": [{"role": "assistant", "tool_calls": [call]}]}
    assert refused(body) == "tool_calls: the arguments are an object"


# Completions


def test_a_completion() -> None:
    body = {
        "model": "m",
        "prompt": "hi",
        "suffix": "",
        "system": "s",
        "template": "",
        "context": [1, 2],
        "raw": False,
        "images": ["iVBORw=="],
        "options": {"seed": 1},
        "stream": False,
        "keep_alive": "5m",
    }
    assert understood(body, "/v/api/generate/?x=1") == Chat(
        messages=(Message("system", "s"), Message("user", (TextPart("hi"), ImagePart(PNG)))),
        model="m",
        seed=1,
        stream=False,
        extra={"context": [1, 2], "keep_alive": "5m"},
    )
    plain = understood({"model": "m", "prompt": "hi", "suffix": "x"}, "/api/generate")
    assert plain == as_chat("hi", model="m", extra={"suffix": "x"})
    assert refused({"prompt": "hi"}, "/api/generate") == "model is required"


def test_further_keys_of_a_call() -> None:
    function: dict[str, Any] = {"index": 0, "name": "f", "arguments": {}}
    plain, odd, inner = (
        {"id": "c", "type": "function", "function": {**function, "description": "d"}},
        {"function": function, "new": 1},
        {"function": {**function, "new": 2}},
    )
    said = {"role": "assistant", "tool_calls": [plain, odd, inner]}
    message = chat_of(HI, said).messages[-1]
    first, *others = [call.native for call in message.tool_calls]
    assert first is None
    assert [json.loads(native.raw) for native in others if native is not None] == [odd, inner]
    calls = written(message)[0]["tool_calls"]
    assert calls[1:] == [odd, inner]
