"""The body of a request to Mistral, and what its server half makes of one."""

import json
from hashlib import sha256
from typing import Any

import pytest

from tests.formats.mistral import understood
from tokenwire import (
    PROVIDERS,
    Chat,
    FilePart,
    ImagePart,
    LocalProtocolError,
    Message,
    Native,
    Opaque,
    ReasoningPart,
    RefusalPart,
    TextPart,
    Tool,
    ToolCall,
    as_chat,
)
from tokenwire.protocols.errors import BadRequest
from tokenwire.protocols.formats.mistral.request import nine

MISTRAL = PROVIDERS["mistral"]
HI = Message("user", "hi")
PDF, MP3 = "data:application/pdf;base64,QQ==", "data:audio/mpeg;base64,QQ=="
CALL = ToolCall("abc123XYZ", "f", '{"a":1}')


def body(*messages: Any, **options: Any) -> Any:
    chat = as_chat(list(messages or (HI,)), model="m", **options)
    return json.loads(MISTRAL.exchange(chat).request.body)


def written(message: Any) -> Any:
    """A message between others."""
    return body(HI, message, HI)["messages"][1]


def refused(*messages: Any, **options: Any) -> str:
    with pytest.raises(LocalProtocolError) as caught:
        body(*messages, **options)
    return str(caught.value)


def native(value: Any) -> Native:
    return Native("mistral", json.dumps(value).encode())


# The request


def test_the_address_and_the_key() -> None:
    request = MISTRAL.exchange(as_chat("hi", model="m"), key="k").next_request()
    assert request is not None
    assert request.url == "https://api.mistral.ai/v1/chat/completions"
    headers = dict(request.headers)
    assert headers[b"authorization"] == b"Bearer k"
    assert headers[b"accept"] == b"text/event-stream"
    whole = MISTRAL.exchange(as_chat("hi", model="m", stream=False)).request
    assert dict(whole.headers)[b"accept"] == b"application/json"


PLAIN = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "stream": True}
OPTIONS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "nothing": ({}, {}),
    "seed": ({"seed": 7}, {"random_seed": 7}),
    "seed in extra": ({"seed": 7, "extra": {"random_seed": 1}}, {"random_seed": 1}),
    "extra": ({"extra": {"safe_prompt": True}}, {"safe_prompt": True}),
    "required": ({"tool_choice": "required"}, {"tool_choice": "any"}),
    "auto": ({"tool_choice": "auto"}, {"tool_choice": "auto"}),
    "none": ({"tool_choice": "none"}, {"tool_choice": "none"}),
    "a name": (
        {"tool_choice": "f"},
        {"tool_choice": {"type": "function", "function": {"name": "f"}}},
    ),
    "the limit": ({"max_tokens": 5}, {"max_tokens": 5}),
    "effort": ({"effort": "high"}, {"reasoning_effort": "high"}),
    "parallel": ({"parallel": False}, {"parallel_tool_calls": False}),
    "top_k": ({"top_k": 3, "n": 2, "stop": ("a",)}, {"top_k": 3, "n": 2, "stop": ["a"]}),
    "penalties": (
        {"presence_penalty": 1.0, "frequency_penalty": -1.0},
        {"presence_penalty": 1.0, "frequency_penalty": -1.0},
    ),
    "any JSON": ({"schema": {}}, {"response_format": {"type": "json_object"}}),
    "a schema": (
        {"schema": {"type": "object"}},
        {
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "answer", "schema": {"type": "object"}},
            }
        },
    ),
    "tools": (
        {"tools": (Tool("f", strict=True), Opaque(native({"type": "web_search"})))},
        {
            "tools": [
                {
                    "type": "function",
                    "function": {
                        "name": "f",
                        "parameters": {"type": "object", "properties": {}},
                        "strict": True,
                    },
                },
                {"type": "web_search"},
            ]
        },
    ),
}


@pytest.mark.parametrize("row", OPTIONS)
def test_options(row: str) -> None:
    options, expected = OPTIONS[row]
    chat = Chat(messages=(HI,), model="m").replace(**options)
    sent = json.loads(MISTRAL.exchange(chat).request.body)
    assert sent == {**PLAIN, **expected}
    if row not in ("seed in extra", "tools"):
        assert understood(sent) == chat


def test_what_the_schema_does_not_have_is_never_sent() -> None:
    asking = MISTRAL.replace(ask_usage=True)
    assert b"stream_options" not in asking.exchange(as_chat("hi", model="m")).request.body
    assert refused(Message("user", "hi", name="ada")) == (
        "mistral can't take a message's name: leave it out of the chat"
    )
    assert "custom tool calls" in refused(
        HI, Message("assistant", (ToolCall("c", "sh", "ls", custom=True),))
    )
    assert "cache marks" in refused(Message("user", (TextPart("a", "5m"),)))


# Messages


def test_a_developer_is_the_system() -> None:
    assert written(Message("developer", "a")) == {"role": "system", "content": "a"}


def test_parts() -> None:
    parts = (
        TextPart("a"),
        ImagePart("https://x.test/a.png", "low"),
        FilePart("https://x.test/a.pdf", "application/pdf", "a.pdf"),
        FilePart(PDF),
        FilePart(MP3),
        FilePart("https://x.test/a.mp3", "audio/mpeg"),
        Opaque(native({"content": [{"type": "file", "file_id": "f-1"}]})),
    )
    assert written(Message("user", parts))["content"] == [
        {"type": "text", "text": "a"},
        {"type": "image_url", "image_url": {"url": "https://x.test/a.png", "detail": "low"}},
        {
            "type": "document_url",
            "document_url": "https://x.test/a.pdf",
            "document_name": "a.pdf",
        },
        {"type": "document_url", "document_url": PDF},
        {"type": "input_audio", "input_audio": "QQ=="},
        {"type": "input_audio", "input_audio": "https://x.test/a.mp3"},
        {"type": "file", "file_id": "f-1"},
    ]
    said = refused(Message("user", (FilePart("https://x.test/a.mp4", "video/mp4"),)))
    assert said == "mistral can't take video/mp4: leave it out"
    said = refused(Message("user", (FilePart("data:video/mp4;x=1;base64,QQ==,"),)))
    assert said == "mistral can't take video/mp4: leave it out"
    said = refused(Message("user", (ReasoningPart("a"),)))
    assert said == "ReasoningPart has no place in user messages: leave it out"
    said = refused(Message("system", (RefusalPart("a"),)), HI)
    assert said == "RefusalPart has no place in system messages: leave it out"
    inline = FilePart("data:audio/wav;base64,QQ==,QQ==")
    (part,) = written(Message("user", (inline,)))["content"]
    assert part == {"type": "input_audio", "input_audio": "QQ==,QQ=="}


def test_what_an_assistant_said() -> None:
    thought = {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}], "closed": True}
    signed = {**thought, "signature": "c2ln"}
    parts = (
        ReasoningPart("hm"),
        ReasoningPart("hm", native({"content": [signed]})),
        TextPart("a"),
        RefusalPart("no"),
        CALL,
    )
    called = {
        "id": "abc123XYZ",
        "type": "function",
        "function": {"name": "f", "arguments": '{"a":1}'},
    }
    assert written(Message("assistant", parts)) == {
        "role": "assistant",
        "content": [thought, signed, {"type": "text", "text": "a"}, {"type": "text", "text": "no"}],
        "tool_calls": [called],
    }
    alone = written(Message("assistant", (CALL,)))
    assert (alone["content"], alone["tool_calls"]) == ("", [called])
    assert written(Message("assistant", "a"))["content"] == "a"
    foreign = ReasoningPart("hm", Native("anthropic", b'{"type":"thinking"}'))
    assert written(Message("assistant", (foreign, TextPart("a"))))["content"][0] == thought


def test_the_beginning_of_an_answer() -> None:
    first, last = Message("assistant", "a"), Message("assistant", "So")
    _, before, _, beginning = body(HI, first, HI, last)["messages"]
    assert before == {"role": "assistant", "content": "a"}
    assert beginning == {"role": "assistant", "content": "So", "prefix": True}
    said = body(HI, Message("assistant", "So", extra={"prefix": False}))["messages"][-1]
    assert said["prefix"] is False


def test_the_result_of_a_tool() -> None:
    assert written(CALL.result("7").replace(name="f")) == {
        "role": "tool",
        "content": "7",
        "name": "f",
        "tool_call_id": "abc123XYZ",
    }


# Ids


def test_an_id_has_nine_characters() -> None:
    """The literal is the first nine digits of the hash in base 62, computed another way."""
    for id in ("call_abc123", "toolu_01AbCdEf", "", "abc-12345", "abc1234567", "\ud800"):
        short = nine(id)
        digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
        number = int(sha256(id.encode(errors="surrogatepass")).hexdigest(), 16)
        expected = ""
        for power in range(42, -1, -1):
            digit, number = divmod(number, 62**power)
            expected += digits[digit] if expected or digit else ""
        assert short == expected[:9]
    assert nine("abc123XYZ") == "abc123XYZ"


def test_ids_in_a_conversation() -> None:
    calls = (ToolCall("call_abc123", "f", "{}"), ToolCall("", "g", "{}"), CALL)
    chat = [
        HI,
        Message("assistant", calls),
        *(Message("tool", "7", tool_call_id=c.id) for c in calls),
    ]
    _, said, *results = body(*chat)["messages"]
    ids = [call["id"] for call in said["tool_calls"]]
    assert ids == [nine("call_abc123"), nine("call_1_1"), "abc123XYZ"]
    assert [result["tool_call_id"] for result in results] == ids
    assert body(*chat, HI)["messages"][1] == said  # and in every request


def test_a_call_with_further_keys_has_the_same_id() -> None:
    value = {
        "id": "toolu_1",
        "type": "function",
        "function": {"name": "f", "arguments": "{}"},
        "x": 1,
    }
    call = ToolCall("toolu_1", "f", "{}", native=native({"tool_calls": [value]}))
    said = written(Message("assistant", (call,)))
    assert said["tool_calls"] == [{**value, "id": nine("toolu_1")}]


def test_two_ids_that_become_the_same() -> None:
    calls = (ToolCall("call_1", "f", "{}"), ToolCall(nine("call_1"), "g", "{}"))
    said = refused(HI, Message("assistant", calls))
    assert said == "the ids of two calls become the same here: change one"


# What the server half understands


def parts_of(*content: Any, role: str = "user", **more: Any) -> Any:
    message = {"role": role, "content": list(content), **more}
    chat = understood({"messages": [message, {"role": "user", "content": "hi"}]})
    return chat.messages[0].parts


THINKING = {
    "type": "thinking",
    "thinking": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}],
}
UNKNOWN: list[dict[str, Any]] = [
    {"type": "reference", "reference_ids": [0]},
    {"type": "thinking", "thinking": [{"type": "reference", "reference_ids": [0]}]},
    {"type": "thinking", "thinking": "a"},
    {"type": "thinking", "thinking": [7]},
    {"type": "document_url", "document_url": 7},
    {"type": "document_url", "document_url": "u", "new": 1},
    {"type": "input_audio", "input_audio": "QQ==", "new": 1},
    {"type": "input_audio", "input_audio": 7},
    {"type": "image_url", "image_url": "u", "new": 1},
    {"type": "new"},
]


def test_a_message_that_is_no_object() -> None:
    with pytest.raises(BadRequest):
        understood({"model": "m", "messages": [7]})


def test_parts_that_are_understood() -> None:
    assert parts_of({"type": "image_url", "image_url": "u"}) == (ImagePart("u"),)
    assert parts_of({"type": "image_url", "image_url": {"url": "u", "detail": "low"}}) == (
        ImagePart("u", "low"),
    )
    assert parts_of({"type": "document_url", "document_url": PDF, "document_name": "n"}) == (
        FilePart(PDF, "application/pdf", "n"),
    )
    assert parts_of({"type": "document_url", "document_url": "https://x.test/a"}) == (
        FilePart("https://x.test/a"),
    )
    assert parts_of({"type": "input_audio", "input_audio": "QQ=="}) == (
        FilePart(MP3, "audio/mpeg"),
    )
    assert parts_of({"type": "input_audio", "input_audio": "https://x.test/a"}) == (
        FilePart("https://x.test/a", "audio/mpeg"),
    )
    for url in ("http://x.test/a", "data:audio/wav;base64,QQ=="):
        part = {"type": "input_audio", "input_audio": url}
        assert parts_of(part) == (FilePart(url, "audio/mpeg"),)
    named = "data:application/pdf;name=a;base64,QQ=="
    assert parts_of({"type": "document_url", "document_url": named}) == (
        FilePart(named, "application/pdf"),
    )
    call = {"id": "abc123XYZ", "function": {"name": "f", "arguments": {"a": 1}}}
    signed = {**THINKING, "closed": True, "signature": "s"}
    text = {"type": "text", "text": "c"}
    said = parts_of({**THINKING, "closed": True}, signed, text, role="assistant", tool_calls=[call])
    thought = ReasoningPart("ab", Native("mistral", said[1].native.raw))
    assert said == (ReasoningPart("ab"), thought, TextPart("c"), CALL)
    assert json.loads(thought.native.raw if thought.native else b"") == {"content": [signed]}
    marked = parts_of({"type": "text", "text": "c", "new": 1})
    assert marked[0].native.dialect == "mistral"


@pytest.mark.parametrize("value", UNKNOWN, ids=json.dumps)
def test_parts_that_are_not_understood(value: dict[str, Any]) -> None:
    (part,) = parts_of(value)
    assert isinstance(part, Opaque)
    assert (part.native.dialect, json.loads(part.native.raw)) == ("mistral", {"content": [value]})
