"""Conversations, between two formats."""

import json
from typing import Any

import pytest

from tests.gateway.formats import FORMATS, ask
from tokenwire.gateway.matrix import COLUMNS
from tokenwire.gateway.sealing import StateSealer
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
)
from tokenwire.protocols.errors import BadRequest
from tokenwire.protocols.events import Native

ANY = ("unknown", "own_tools", "name", "result_images", "system_midway")
PICTURE = ImagePart.of_bytes(b"\x89PNG", "image/png")
HI = Message("user", "hi")


def native(dialect: str, value: Any) -> Native:
    return Native(dialect, json.dumps(value).encode())


def messages(*given: Message, front: str, back: str, allow: tuple[str, ...] = ()) -> list[Message]:
    return list(ask(Chat(messages=given), front, back, *allow).chat.messages)


def losses(*given: Message, front: str, back: str, allow: tuple[str, ...] = ()) -> tuple[str, ...]:
    return ask(Chat(messages=given), front, back, *allow).losses


def sealed(raw: bytes, provider: str, dialect: str, call: str = "") -> Native:
    sealer = StateSealer(b"k").bound(provider, "m")
    sealer.calls[0, 0] = call
    found = sealer.unseal(sealer.seal(Native(dialect, raw)))
    assert found is not None
    return found


# Roles and order


def test_a_later_system_message_may_be_the_users() -> None:
    given = Message("system", "a"), HI, Message("developer", "b"), Message("assistant", "c")
    told = messages(*given, front="anthropic", back="gemini", allow=ANY)
    assert [message.role for message in told] == ["system", "user", "user", "assistant"]
    assert told[2].content == "b"


def test_what_only_the_whole_conversation_shows() -> None:
    with pytest.raises(BadRequest, match=r"input: .* one of the user must come first"):
        messages(Message("assistant", "a"), front="openai_responses", back="anthropic")
    with pytest.raises(BadRequest, match=r"messages: .* not the system's") as caught:
        messages(Message("system", "a"), front="openai_chat", back="gemini")
    assert caught.value.status == 400


@pytest.mark.parametrize(
    ("role", "part"),
    [
        ("system", PICTURE),
        ("system", FilePart.of_bytes(b"%PDF", "application/pdf")),
        ("user", RefusalPart("no")),
        ("user", ReasoningPart("I see")),
        ("user", ToolCall("c", "read", "{}")),
        ("tool", RefusalPart("no")),
        ("user", RefusalPart("no", native("openai_chat", {"content": [{"refusal": "no"}]}))),
    ],
)
def test_parts_in_the_wrong_place(role: Any, part: Part) -> None:
    for back in COLUMNS:
        if back != "openai_chat":
            with pytest.raises(BadRequest, match=rf"messages: \w+ in a message of the role {role}"):
                messages(HI, Message(role, (part,)), front="openai_chat", back=back, allow=ANY)


# Messages of nothing


@pytest.mark.parametrize("content", ["", (), (TextPart(""),)])
def test_empty_messages(content: Any) -> None:
    for role in ("system", "assistant"):
        empty = Message(role, content)
        assert messages(HI, empty, front="gemini", back="anthropic") == [HI]
        assert losses(HI, empty, front="gemini", back="anthropic") == ("empty_message",)
        assert messages(HI, empty, front="gemini", back="ollama") == [HI, empty]
    with pytest.raises(BadRequest, match="contents: an empty message of the user"):
        messages(HI, Message("user", content), front="gemini", back="anthropic", allow=ANY)
    result = Message("tool", content, tool_call_id="c", name="read")
    assert messages(HI, result, front="gemini", back="anthropic") == [HI, result]


def test_a_message_of_which_nothing_is_left_is_left_out() -> None:
    thought = Message("assistant", (ReasoningPart("I see"),))
    for back in ("anthropic", "gemini", "openai_chat", "openai_responses"):
        if back != "openai_chat":
            assert messages(HI, thought, front="openai_chat", back=back) == [HI]
    moved = Message("assistant", (Opaque(sealed(b"{}", "a", "gemini")),))
    for front, back in (("anthropic", "ollama"), ("anthropic", "anthropic")):
        assert messages(HI, moved, front=front, back=back) == [HI]
        assert losses(HI, moved, front=front, back=back) == ("opaque",)
    strange = Message("user", (Opaque(native("anthropic", {"type": "new"})),))
    assert messages(HI, strange, front="anthropic", back="gemini", allow=ANY) == [HI]
    with pytest.raises(BadRequest, match="messages: a chat of which nothing is left"):
        messages(strange, front="anthropic", back="gemini", allow=ANY)
    result = Message("tool", (Opaque(native("openai_responses", {"type": "x_output"})),))
    assert messages(HI, result, front="openai_responses", back="gemini", allow=ANY) == [HI]


# Further fields of messages and parts


def test_further_fields_of_messages() -> None:
    said = Message("assistant", "a", extra={"x_new": 1})
    with pytest.raises(BadRequest, match=r"messages: an unknown field \(x_new\)"):
        messages(HI, said, front="openai_chat", back="gemini")
    plain = Message("assistant", "a")
    assert messages(HI, said, front="openai_chat", back="gemini", allow=ANY) == [HI, plain]
    assert messages(HI, said, front="openai_chat", back="mistral") == [HI, said]
    # Those of another format have another form.
    with pytest.raises(BadRequest, match=r"messages: an unknown field \(x_new\)"):
        messages(HI, said, front="ollama", back="openai_chat")


def test_what_sdks_send_back_of_answers() -> None:
    extra: dict[str, Any] = {
        "annotations": [{"type": "url_citation"}],
        "audio": None,
        "function_call": {},
    }
    said = Message("assistant", "a", extra=extra)
    assert losses(HI, said, front="openai_chat", back="gemini") == ("hints",)


@pytest.mark.parametrize("key", ["prefix", "partial"])
def test_going_on_with_a_message_is_refused(key: str) -> None:
    said = Message("assistant", "a", extra={key: True})
    with pytest.raises(BadRequest, match=f"messages: {key} of a message"):
        messages(HI, said, front="openai_chat", back="anthropic", allow=ANY)


def test_a_native_form_that_says_nothing_else_is_no_loss() -> None:
    block = {
        "type": "image",
        "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw=="},
        "cache_control": {"type": "ephemeral", "ttl": "1h"},
        "title": None,
        "citations": {"enabled": False},
    }
    part = ImagePart(PICTURE.url, cache="1h", native=native("anthropic", block))
    told = messages(Message("user", (part,)), front="anthropic", back="openai_responses")
    assert told == [Message("user", (PICTURE,))]


def test_a_native_form_that_says_more_is_refused_by_name() -> None:
    block = {"type": "text", "text": "hi", "tags": [{"type": "x", "of": "it"}], "n": 1}
    said = Message("user", (TextPart("hi", native=native("anthropic", block)),))
    with pytest.raises(BadRequest, match=r"messages: an unknown field \(tags\.of\)"):
        messages(said, front="anthropic", back="gemini")
    with pytest.raises(BadRequest, match=r"messages: an unknown field \(n\)"):
        messages(said, front="anthropic", back="gemini", allow=("of",))
    told = messages(said, front="anthropic", back="gemini", allow=("of", "n"))
    assert told == [Message("user", (TextPart("hi"),))]


def test_unknown_parts_are_named_by_their_type() -> None:
    for value, name in (({"type": "new"}, "new"), ({"codeResult": 2, "b": 1}, "codeResult, b")):
        strange = Message("user", (TextPart("a"), Opaque(native("gemini", value))))
        with pytest.raises(BadRequest, match=f"contents: a part of the type '{name}'"):
            messages(strange, front="gemini", back="anthropic")
        told = messages(strange, front="gemini", back="anthropic", allow=("unknown",))
        assert told == [Message("user", (TextPart("a"),))]


def test_a_result_in_another_form_is_said_as_text() -> None:
    response = {"name": "read", "content": "4"}
    form: dict[str, Any] = {"functionResponse": {"name": "read", "id": "c", "response": response}}
    text = TextPart(json.dumps(response), native=native("gemini", form))
    result = Message("tool", (text,), name="read", tool_call_id="c")
    told = messages(HI, result, front="gemini", back="openai_chat")
    assert told[1].content == (TextPart(text.text),)
    form["functionResponse"]["scheduling"] = "SILENT"
    more = Message("tool", (TextPart(text.text, native=native("gemini", form)),), name="read")
    with pytest.raises(BadRequest, match=r"an unknown field \(functionResponse\.scheduling\)"):
        messages(HI, more.replace(tool_call_id="c"), front="gemini", back="openai_chat")
    plain = Message("tool", (TextPart("no json", native=native("gemini", "no json")),), name="read")
    assert messages(HI, plain, front="gemini", back="openai_chat")[1].text == "no json"


# What the assistant said


def test_the_state_of_another_service_is_left_out() -> None:
    signed = native("anthropic", {"type": "thinking", "thinking": "I see", "signature": "Eq"})
    call: dict[str, Any] = {"type": "tool_use", "id": "c", "name": "read", "input": {}, "new": 1}
    said = Message(
        "assistant",
        (
            ReasoningPart("I see", signed),
            Opaque(native("anthropic", {"type": "redacted_thinking", "data": "x"})),
            TextPart("a"),
            ToolCall("c", "read", "{}", native=native("anthropic", call)),
        ),
    )
    plain = TextPart("a"), ToolCall("c", "read", "{}")
    for back in ("gemini", "openai_responses", "bedrock", "openai_chat"):
        assert messages(HI, said, front="anthropic", back=back)[1].content == plain
        assert losses(HI, said, front="anthropic", back=back) == ("reasoning", "opaque")
    for back in ("ollama", "cohere", "mistral"):
        told = messages(HI, said, front="anthropic", back=back)[1]
        assert told.content == (ReasoningPart("I see"), *plain)
        assert losses(HI, said, front="anthropic", back=back) == ("opaque",)


def test_the_state_of_the_service_itself_is_given_back() -> None:
    raw = b'{"thought":true,"text":"I see","thoughtSignature":"s"}'
    call = b'{"functionCall":{"name":"read"},"thoughtSignature":"t"}'
    said = Message(
        "assistant",
        (
            ReasoningPart("I see", sealed(raw, "gemini", "gemini")),
            Opaque(sealed(call, "gemini", "gemini", call="c")),
            ToolCall("c", "read", "{}"),
        ),
    )
    assert FORMATS["gemini"].name == "gemini"
    told = messages(HI, said, front="anthropic", back="gemini")[1]
    assert told.content == (
        ReasoningPart("I see", Native("gemini", raw)),
        ToolCall("c", "read", "{}", native=Native("gemini", call)),
    )
    assert losses(HI, said, front="anthropic", back="gemini") == ()
    assert losses(HI, said, front="anthropic", back="openai_chat") == ("reasoning", "opaque")


def test_a_picture_that_a_service_made() -> None:
    form = native("openai_responses", {"type": "image_generation_call", "result": "iVBORw=="})
    said = Message("assistant", (TextPart("a"), ImagePart(PICTURE.url, native=form)))
    told = messages(HI, said, front="openai_responses", back="gemini")[1]
    assert told.content == (TextPart("a"), PICTURE)
    told = messages(HI, said, front="openai_responses", back="anthropic")[1]
    assert told.content == (TextPart("a"),)


def test_arguments_that_are_no_object() -> None:
    said = Message("assistant", (ToolCall("c", "read", "[1]"),))
    with pytest.raises(BadRequest, match="messages: the call 'read'"):
        messages(HI, said, front="openai_chat", back="gemini", allow=ANY)


@pytest.mark.parametrize("model", ["gemini-3-pro", "models/gemini-3.1-flash"])
def test_calls_of_other_models_are_signed_by_a_word(model: str) -> None:
    calls = ToolCall("c", "read", '{"a": 1}'), ToolCall("", "read", "{}")
    given = HI, Message("assistant", (TextPart("a"), *calls)), Message("assistant", calls[1:])
    chat = ask(Chat(messages=given, model=model), "openai_chat", "gemini").chat
    first = chat.messages[1].tool_calls[0].native
    assert first is not None
    assert first.dialect == "gemini"
    assert json.loads(first.raw) == {
        "functionCall": {"id": "c", "name": "read", "args": {"a": 1}},
        "thoughtSignature": "skip_thought_signature_validator",
    }
    assert chat.messages[1].parts[0] == TextPart("a")
    assert chat.messages[1].tool_calls[1] == calls[1]
    second = chat.messages[2].tool_calls[0].native
    assert second is not None
    assert json.loads(second.raw)["functionCall"] == {"name": "read", "args": {}}


def test_signed_calls_and_other_models_need_no_such_word() -> None:
    raw = b'{"functionCall":{"name":"read"},"thoughtSignature":"t"}'
    signed = ToolCall("c", "read", "{}", native=sealed(raw, "gemini", "gemini"))
    given = HI, Message("assistant", (signed, ToolCall("d", "read", "{}")))
    chat = ask(Chat(messages=given, model="gemini-3-pro"), "ollama", "gemini").chat
    assert [call.native for call in chat.messages[1].tool_calls] == [Native("gemini", raw), None]
    plain = HI, Message("assistant", (ToolCall("d", "read", "{}"),))
    for model in ("gemini-2.5-pro", "gemma-3"):
        chat = ask(Chat(messages=plain, model=model), "ollama", "gemini").chat
        assert chat.messages == plain


# Results of tools


def test_pictures_of_results_may_follow_them() -> None:
    calls = Message("assistant", (ToolCall("c", "look", "{}"), ToolCall("d", "look", "{}")))
    first = Message("tool", (PICTURE,), tool_call_id="c")
    second = Message("tool", (TextPart("b"), PICTURE, PICTURE), tool_call_id="d")
    wanted = [
        HI,
        calls,
        first.replace(content=()),
        second.replace(content=(TextPart("b"),)),
        Message("user", (PICTURE, PICTURE, PICTURE)),
    ]
    for more in ([], [Message("user", "and?")]):
        given = HI, calls, first, second, *more
        told = messages(*given, front="anthropic", back="openai_chat", allow=ANY)
        assert told == [*wanted, *more]
    unnamed = Message("tool", (PICTURE,), name="look")
    told = messages(HI, unnamed, front="ollama", back="openai_chat", allow=ANY)
    assert told == [HI, unnamed.replace(content=()), Message("user", (PICTURE,))]


def test_a_failure_without_a_flag_is_counted() -> None:
    for text, lost in (("no", ("failed",)), ("Error: no", ())):
        result = Message("tool", text, tool_call_id="c", failed=True)
        assert losses(HI, result, front="anthropic", back="openai_chat") == lost
        named = result.replace(name="read")
        assert losses(HI, named, front="anthropic", back="gemini") == ()


def test_results_need_a_function_for_gemini() -> None:
    call = Message("assistant", (ToolCall("c", "read", "{}"), ToolCall("", "write", "{}")))
    for result in (
        Message("tool", "4", tool_call_id="c"),
        Message("tool", "4"),
        Message("tool", "4", tool_call_id="z", name="read"),
        Message("tool", "4", name="other"),
    ):
        assert messages(HI, call, result, front="anthropic", back="gemini")[2] == result
    for given in (
        (HI, Message("tool", "4", tool_call_id="c")),
        (HI, call, Message("tool", "4", tool_call_id="z")),
        (HI, call, *[Message("tool", "4")] * 3),
        (HI, Message("assistant", (ToolCall("c", "", "{}"),)), Message("tool", "4")),
    ):
        with pytest.raises(BadRequest, match="messages: the result of an unknown call"):
            messages(*given, front="anthropic", back="gemini", allow=ANY)
        messages(*given, front="anthropic", back="openai_chat")


# Cache marks


@pytest.mark.parametrize("back", ["anthropic", "bedrock"])
def test_more_cache_marks_than_there_may_be(back: str) -> None:
    marked = [Message("user", (TextPart("a", cache="5m"),)) for _ in range(3)]
    chat = Chat(messages=tuple(marked), tools=(Tool("read", cache="1h"),))
    assert ask(chat, "openai_chat", back).chat.tools[0] == Tool("read", cache="1h")
    more = chat.replace(messages=(*chat.messages, marked[0]))
    with pytest.raises(BadRequest, match=r"messages: 5 cache marks \(at most 4\)"):
        ask(more, "openai_chat", back, "cache")
    assert ask(more, "openai_chat", "openai_responses").losses == ("cache",)
    assert ask(more, "anthropic", "anthropic").losses == ()


def test_cache_marks_of_all_that_has_some() -> None:
    parts = PICTURE, FilePart.of_bytes(b"%PDF", "application/pdf")
    marked: list[Part] = [ImagePart(parts[0].url, cache="5m"), FilePart(parts[1].url, cache="5m")]
    call = ToolCall("c", "read", "{}", cache="5m")
    given = Message("user", tuple(marked)), Message("assistant", (call,))
    told = messages(*given, front="anthropic", back="openai_responses")
    assert told[0].content == (ImagePart(parts[0].url), FilePart(parts[1].url))
    assert told[1].content == (ToolCall("c", "read", "{}"),)
