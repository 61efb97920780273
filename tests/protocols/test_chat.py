"""Chats: what can be asked, and how messages become one prompt or plain data."""

from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenwire.protocols.chat import (
    Chat,
    ImagePart,
    Message,
    Part,
    TextPart,
    Tool,
    ToolCall,
    as_chat,
    flatten,
    message_of,
    wire_message,
)
from tokenwire.protocols.errors import LocalProtocolError

HI = Message("user", "hi")
CALL = ToolCall("c1", "add", '{"a":1}')
URL = "https://x/cat.png"


@pytest.mark.parametrize(
    "question",
    [
        "hi",
        [HI],
        (HI,),
        [{"role": "user", "content": "hi"}],
        [MappingProxyType({"role": "user", "content": "hi", "unknown": 1})],
        Chat(messages=(HI,)),
    ],
)
def test_as_chat(question: Any) -> None:
    assert as_chat(question) == Chat(messages=(HI,))
    assert as_chat(question, model="m", n=2) == Chat(messages=(HI,), model="m", n=2)


@pytest.mark.parametrize("question", [None, 5, b"hi", [5], ["hi"], {"role": 1}, [[]]])
def test_what_is_no_chat(question: Any) -> None:
    with pytest.raises(LocalProtocolError):
        as_chat(question)


def test_what_is_no_chat_is_named() -> None:
    question: Any = 5
    with pytest.raises(LocalProtocolError, match=r"^a question of type int: give text"):
        as_chat(question)


def test_a_chat_is_continued_by_a_copy() -> None:
    chat = Chat(messages=(HI,), temperature=0.5)
    more = chat.then("hello", "how are you?")
    assert more.messages == (HI, Message("assistant", "hello"), Message("user", "how are you?"))
    assert more.temperature == 0.5
    assert chat.messages == (HI,)
    assert chat.replace(model="m").model == "m"


def test_options_are_those_that_are_set() -> None:
    assert Chat(messages=(HI,), model="m", stream=False, extra={"a": 1}).options() == []
    chat = Chat(
        messages=(HI,),
        tools=(Tool("f"),),
        tool_choice="auto",
        temperature=0,
        top_p=0.5,
        max_tokens=1,
        stop=("\n",),
        n=1,
        seed=0,
    )
    assert chat.options() == [
        *("tools", "tool_choice", "temperature", "top_p", "max_tokens", "stop", "n", "seed")
    ]


def test_the_text_of_a_message() -> None:
    assert HI.text == "hi"
    assert Message("user", (TextPart("h"), TextPart("i"))).text == "hi"
    assert Message("user").text == Message("user", ()).text == ""
    with pytest.raises(LocalProtocolError, match="leave the image part out"):
        _ = Message("user", (TextPart("h"), ImagePart(URL))).text


def test_a_picture_of_bytes() -> None:
    assert ImagePart.of_bytes(b"\0", "image/png") == ImagePart("data:image/png;base64,AA==")


@pytest.mark.parametrize(
    ("messages", "prompt"),
    [
        ([HI], "hi"),
        ([Message("user", "  ")], "  "),
        ([Message("system", "be brief")], "be brief"),
        ([Message("system", "s"), HI], "System: s\nUser: hi\nAssistant:"),
        ([HI, Message("assistant", " \n"), HI], "User: hi\nUser: hi\nAssistant:"),
        ([HI, Message("assistant", "a\nb")], "User: hi\nAssistant: a\nb\nAssistant:"),
        ([Message("developer", "d"), HI], "Developer: d\nUser: hi\nAssistant:"),
    ],
)
def test_flatten(messages: list[Message], prompt: str) -> None:
    assert flatten(messages) == prompt


@pytest.mark.parametrize(
    ("messages", "words"),
    [
        ([], "^no message: a chat needs at least one"),
        ([HI, Message("assistant", tool_calls=(CALL,))], "^this service knows no tools"),
        ([Message("tool", "3", tool_call_id="c1")], "^this service knows no tools"),
        ([Message("user", (ImagePart(URL),))], "takes only text"),
        ([HI, Message("user", (ImagePart(URL),))], "takes only text"),
    ],
)
def test_what_one_prompt_cannot_hold(messages: list[Message], words: str) -> None:
    with pytest.raises(LocalProtocolError, match=words):
        flatten(messages)


WIRE: list[tuple[Message, dict[str, Any]]] = [
    (HI, {"role": "user", "content": "hi"}),
    (Message("assistant"), {"role": "assistant", "content": ""}),
    (Message("user", "hi", name="ann"), {"role": "user", "content": "hi", "name": "ann"}),
    (
        Message("user", (TextPart("what?"), ImagePart(URL))),
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "what?"},
                {"type": "image_url", "image_url": {"url": URL}},
            ],
        },
    ),
    (
        Message("assistant", tool_calls=(CALL,)),
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {
                    "id": "c1",
                    "type": "function",
                    "function": {"name": "add", "arguments": '{"a":1}'},
                }
            ],
        },
    ),
    (
        Message("tool", "3", tool_call_id="c1"),
        {"role": "tool", "content": "3", "tool_call_id": "c1"},
    ),
]


@pytest.mark.parametrize(("message", "wire"), WIRE)
def test_a_message_as_plain_data(message: Message, wire: dict[str, Any]) -> None:
    assert wire_message(message) == wire
    assert message_of(wire) == message


@pytest.mark.parametrize(
    ("wire", "words"),
    [
        ({}, "missing required field `role`"),
        ({"role": "robot"}, "Invalid enum value 'robot'"),
        ({"role": "user", "content": 5}, "content"),
        ({"role": "user", "content": [{"text": "hi"}]}, "missing required field `type`"),
        ({"role": "user", "content": [{"type": "text"}]}, "a part of type 'text'"),
        ({"role": "user", "content": [{"type": "image_url"}]}, "a part of type 'image_url'"),
        ({"role": "user", "content": [{"type": "video", "text": ""}]}, "give text or image_url"),
        ({"role": "assistant", "tool_calls": [{"id": "c"}]}, "missing required field `function`"),
    ],
)
def test_what_is_no_message(wire: dict[str, Any], words: str) -> None:
    with pytest.raises(LocalProtocolError, match=words):
        message_of(wire)


def test_a_prompt_of_one_string_has_no_names() -> None:
    with pytest.raises(LocalProtocolError, match=r"^this service knows no names: leave"):
        flatten([Message("user", "hi", name="me")])


PARTS: st.SearchStrategy[tuple[Part, ...]] = st.lists(
    st.builds(TextPart, st.text()) | st.builds(ImagePart, st.text()), min_size=1, max_size=3
).map(tuple)
MESSAGES = st.builds(
    Message,
    role=st.sampled_from(["system", "developer", "user", "assistant", "tool"]),
    content=st.text() | PARTS,
    tool_calls=st.lists(st.builds(ToolCall, st.text(), st.text(), st.text()), max_size=2).map(
        tuple
    ),
    tool_call_id=st.text(),
    name=st.text(),
)


@given(MESSAGES)
def test_every_message_makes_the_round_trip(message: Message) -> None:
    assert message_of(wire_message(message)) == message
