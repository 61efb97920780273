"""Chats: messages and their parts, the conversation continued, and what a chat is made of."""

from types import MappingProxyType
from typing import Any

import msgspec
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
    TextPart,
    Tool,
    ToolCall,
    as_chat,
)
from tokenwire.protocols.errors import LocalProtocolError
from tokenwire.protocols.events import Native, Text, ToolCallEnd, ToolCallStart
from tokenwire.protocols.reply import Reply

HI = Message("user", "hi")
CALL = ToolCall("c1", "add", '{"a":1}')
URL = "https://x/cat.png"
NATIVE = Native("anthropic", b'{"type":"thinking"}')
PARTS: tuple[Part, ...] = (
    TextPart("a", cache="5m"),
    ReasoningPart("b"),
    RefusalPart("c"),
    ImagePart(URL, "low"),
    FilePart(URL, "application/pdf", "a.pdf"),
    CALL,
    Opaque(NATIVE),
)


# Parts


def test_parts_given_by_their_bytes() -> None:
    assert ImagePart.of_bytes(b"\0", "image/png") == ImagePart("data:image/png;base64,AA==")
    assert FilePart.of_bytes(b"\0", "audio/wav", "a.wav") == FilePart(
        "data:audio/wav;base64,AA==", "audio/wav", "a.wav"
    )
    assert FilePart.of_bytes(b"", "audio/wav") == FilePart("data:audio/wav;base64,", "audio/wav")


def test_parts_are_values_that_json_can_hold() -> None:
    message = Message("assistant", PARTS)
    again = msgspec.json.decode(msgspec.json.encode(message), type=Message)
    assert again.parts == PARTS
    assert [msgspec.to_builtins(part)["type"] for part in PARTS] == [
        *("text", "reasoning", "refusal", "image", "file", "tool_call", "opaque")
    ]


@pytest.mark.parametrize("content", ["3", (TextPart("3"), ImagePart(URL))])
def test_the_result_of_a_call(content: Any) -> None:
    assert CALL.result(content) == Message("tool", content, tool_call_id="c1")
    assert CALL.result(list(content) if content != "3" else "3", failed=True) == Message(
        "tool", content, tool_call_id="c1", failed=True
    )


# Messages


@pytest.mark.parametrize(
    ("message", "parts", "text"),
    [
        (HI, (TextPart("hi"),), "hi"),
        (Message("user"), (), ""),
        (Message("user", ()), (), ""),
        (Message("user", (TextPart("h"), ImagePart(URL), TextPart("i"))), None, "hi"),
        (Message("assistant", PARTS), PARTS, "a"),
    ],
)
def test_the_parts_and_the_text_of_a_message(
    message: Message, parts: tuple[Part, ...] | None, text: str
) -> None:
    assert message.parts == (message.content if parts is None else parts)
    assert message.text == text


def test_the_calls_of_a_message() -> None:
    other = ToolCall("c2", "sub", "{}")
    assert Message("assistant", (CALL, TextPart("a"), other)).tool_calls == (CALL, other)
    assert HI.tool_calls == ()


def test_a_message_is_changed_by_a_copy() -> None:
    assert HI.replace(name="ann") == Message("user", "hi", name="ann")
    assert HI.name == ""


# Without native forms


def test_a_plain_message_has_no_native_forms() -> None:
    message = Message(
        "assistant",
        (
            ReasoningPart("hm", NATIVE),
            Opaque(NATIVE),
            TextPart("a"),
            ToolCall("c", "f", "{}", native=NATIVE),
        ),
        name="x",
    )
    plain = message.plain()
    assert plain == Message(
        "assistant", (ReasoningPart("hm"), TextPart("a"), ToolCall("c", "f", "{}")), name="x"
    )
    assert plain.parts[1] is message.parts[2]
    assert HI.plain() is HI


def test_a_plain_chat_has_no_native_forms() -> None:
    plain = Tool("f")
    chat = Chat(
        messages=(Message("user", (TextPart("a", native=NATIVE),)), HI),
        tools=(Tool("g", native=NATIVE), Opaque(Native("", b"{}")), plain),
        n=2,
    )
    assert chat.plain() == Chat(
        messages=(Message("user", (TextPart("a"),)), HI), tools=(Tool("g"), plain), n=2
    )
    assert chat.plain().tools[1] is plain


# The conversation, continued


def test_a_chat_is_continued_by_a_copy() -> None:
    chat = Chat(messages=(HI,), temperature=0.5)
    more = chat.then("hello", "how are you?")
    assert more.messages == (HI, Message("assistant", "hello"), Message("user", "how are you?"))
    assert more.temperature == 0.5
    assert chat.messages == (HI,)
    assert chat.replace(model="m").model == "m"


def test_a_reply_a_choice_or_a_message_may_be_the_answer() -> None:
    chat = Chat(messages=(HI,))
    reply = Reply.of([Text("a"), Text("b", index=1)])
    assert chat.then(reply) == chat.then(Message("assistant", "a")) == chat.then("a")
    assert chat.then(reply.choices[1]) == chat.then("b")


def test_the_loop_of_a_tool() -> None:
    chat = Chat(messages=(HI,))
    reply = Reply.of(
        [ToolCallStart(0, "c1", "add"), ToolCallEnd(0, "c1", "add", '{"a":1}', complete=True)]
    )
    more = chat.then(reply, *(call.result("3") for call in reply.tool_calls), "thanks")
    assert more.messages == (
        HI,
        Message("assistant", (CALL,)),
        Message("tool", "3", tool_call_id="c1"),
        Message("user", "thanks"),
    )


# Options


def test_options_are_those_that_are_set() -> None:
    assert Chat(messages=(HI,), model="m", stream=False, extra={"a": 1}).options() == []
    options: dict[str, Any] = {
        "tools": (Tool("f"),),
        "tool_choice": "auto",
        "parallel": False,
        "temperature": 0,
        "top_p": 0.5,
        "top_k": 1,
        "max_tokens": 1,
        "stop": ("\n",),
        "n": 1,
        "seed": 0,
        "presence_penalty": 0,
        "frequency_penalty": 0,
        "logprobs": 0,
        "effort": "none",
        "schema": {},
    }
    assert Chat(messages=(HI,), **options).options() == list(options)
    for name, value in options.items():
        assert Chat(messages=(HI,), **{name: value}).options() == [name]


# What a chat is made of


@pytest.mark.parametrize(
    "question",
    [
        "hi",
        [HI],
        (HI,),
        {"first": HI}.values(),
        [{"role": "user", "content": "hi"}],
        [MappingProxyType({"role": "user", "content": "hi"})],
        Chat(messages=(HI,)),
    ],
)
def test_as_chat(question: Any) -> None:
    chat = as_chat(question)
    assert chat == Chat(messages=(HI,))
    assert as_chat(chat, model="m", n=2) == Chat(messages=(HI,), model="m", n=2)


def test_as_chat_of_an_iterator() -> None:
    question: Any = iter([HI])
    assert as_chat(question) == Chat(messages=(HI,))


def test_messages_of_every_kind_may_be_mixed() -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "add", "arguments": '{"a":1}'}}
    mapping = {"role": "assistant", "content": None, "tool_calls": [call]}
    chat = as_chat([HI, mapping, CALL.result("3")], temperature=0)
    assert chat.messages == (HI, Message("assistant", (CALL,)), CALL.result("3"))
    assert chat.temperature == 0


@pytest.mark.parametrize("question", [None, 5, b"hi", [5], ["hi"], {"role": 1}, [[]]])
def test_what_no_chat_can_be_made_of(question: Any) -> None:
    with pytest.raises(LocalProtocolError):
        as_chat(question)


def test_what_no_chat_can_be_made_of_is_named() -> None:
    question: Any = 5
    with pytest.raises(LocalProtocolError, match=r"^a question of type int: give text"):
        as_chat(question)


TOOL = Tool("f", "does it", {"type": "object"})
MAPPING = {
    "type": "function",
    "function": {"name": "f", "description": "does it", "parameters": {"type": "object"}},
}
SEARCH = {"type": "web_search", "max_uses": 3}


@pytest.mark.parametrize(
    ("tools", "found"),
    [
        ([TOOL], (TOOL,)),
        (TOOL, (TOOL,)),
        ([MAPPING], (TOOL,)),
        (MAPPING, (TOOL,)),
        (MappingProxyType(MAPPING), (TOOL,)),
        (
            (SEARCH, MAPPING, TOOL),
            (Opaque(Native("", b'{"type":"web_search","max_uses":3}')), TOOL, TOOL),
        ),
        (Opaque(NATIVE), (Opaque(NATIVE),)),
        (None, ()),
        ([], ()),
        ({TOOL.name: TOOL}.values(), (TOOL,)),
    ],
)
def test_tools_may_be_mappings(tools: Any, found: tuple[Tool | Opaque, ...]) -> None:
    assert as_chat("hi", tools=tools) == Chat(messages=(HI,), tools=found)
    assert as_chat(Chat(messages=(HI,)), tools=tools) == Chat(messages=(HI,), tools=found)


@pytest.mark.parametrize(
    ("stop", "found"), [("x", ("x",)), (["x", "y"], ("x", "y")), (None, ()), ("", ("",))]
)
def test_stop_may_be_one_text(stop: Any, found: tuple[str, ...]) -> None:
    assert as_chat("hi", stop=stop).stop == found


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"tools": 5}, "^tools: give a list$"),
        ({"stop": 5}, "^stop: give a list$"),
        ({"tools": ["f"]}, "^a tool of type str: give a Tool, or a mapping with type$"),
    ],
)
def test_options_that_are_no_lists(options: dict[str, Any], words: str) -> None:
    with pytest.raises(LocalProtocolError, match=words):
        as_chat("hi", **options)
