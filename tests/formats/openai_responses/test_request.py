"""OpenAI Responses: a chat as the body of a request, and what the server half understands of it."""

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
    TextPart,
    Tool,
    ToolCall,
    as_chat,
)
from tokenwire.protocols.errors import LocalProtocolError, Refused
from tokenwire.protocols.events import Native
from tokenwire.protocols.provider import Provider
from tokenwire.protocols.registry import PROVIDERS
from tokenwire.protocols.service import Service
from tokenwire.protocols.toolkit.http import Request

RESPONSES = PROVIDERS["openai-responses"]
DIALECT = "openai_responses"
HI = Message("user", "hi")
HELLO: Any = {"role": "user", "content": "hi"}


def body_of(chat: Chat, provider: Provider = RESPONSES) -> Any:
    request = provider.exchange(chat).next_request()
    assert request is not None
    return json.loads(request.body)


def items(*messages: Message, provider: Provider = RESPONSES, **options: Any) -> Any:
    return body_of(Chat(messages=messages, model="m", **options), provider)["input"]


def own(value: Any) -> Native:
    return Native(DIALECT, json.dumps(value, separators=(",", ":")).encode())


def read(body: Any, **how: Any) -> Chat:
    """What the server half understands of a body."""
    content = json.dumps({"model": "m", "input": "hi", **body}).encode()
    headers = [(b"content-type", b"application/json")]
    request = Request("POST", "https://x/v1/responses", headers, content)
    chat = Service(RESPONSES, **how).responder().receive_request(request)
    assert chat is not None
    return chat


def read_items(*given: Any, **how: Any) -> list[Message]:
    return list(read({"input": given}, **how).messages)


def again(body: Any) -> Any:
    """A body as it is written again."""
    return body_of(read(body))


# Options, each as it is written, and understood again

SCHEMA: dict[str, Any] = {"type": "object", "properties": {"a": {"type": "integer"}}}
EMPTY: Any = {"type": "object", "properties": {}}
FORMAT: Any = {"type": "json_schema", "name": "answer", "schema": SCHEMA}
ENCRYPTED = ["reasoning.encrypted_content"]
LOGPROBS = ["message.output_text.logprobs"]
SEARCH: Any = {"type": "web_search", "search_context_size": "low"}
PATCH: Any = {"type": "custom", "name": "patch", "format": {"type": "text"}}
FUNCTION: Any = {"type": "function", "name": "f", "parameters": EMPTY, "strict": False}


@pytest.mark.parametrize(
    ("options", "written"),
    [
        ({}, {}),
        ({"stream": False}, {"stream": False}),
        ({"temperature": 0.5, "top_p": 0.9}, {"temperature": 0.5, "top_p": 0.9}),
        ({"max_tokens": 7}, {"max_output_tokens": 7}),
        ({"parallel": False}, {"parallel_tool_calls": False}),
        *(({"tool_choice": w}, {"tool_choice": w}) for w in ("auto", "none", "required")),
        ({"tool_choice": "f"}, {"tool_choice": {"type": "function", "name": "f"}}),
        ({"schema": SCHEMA}, {"text": {"format": FORMAT}}),
        ({"schema": {}}, {"text": {"format": {"type": "json_object"}}}),
        ({"effort": "high"}, {"reasoning": {"effort": "high"}, "include": ENCRYPTED}),
        ({"effort": "none"}, {"reasoning": {"effort": "none"}}),
        (
            {"effort": "none", "extra": {"include": ENCRYPTED}},
            {"reasoning": {"effort": "none"}, "include": ENCRYPTED},
        ),
        ({"logprobs": 3}, {"top_logprobs": 3, "include": LOGPROBS}),
        ({"logprobs": 0}, {"include": LOGPROBS}),
        (
            {"effort": "low", "extra": {"include": ["x"], "reasoning": {"summary": "auto"}}},
            {"reasoning": {"effort": "low", "summary": "auto"}, "include": ["x", *ENCRYPTED]},
        ),
        ({"extra": {"include": ENCRYPTED}}, {"include": ENCRYPTED}),
        ({"extra": {"top_logprobs": 1}}, {"top_logprobs": 1}),
        (
            {"extra": {"reasoning": {"effort": "frantic"}, "text": {"verbosity": "low"}}},
            {"reasoning": {"effort": "frantic"}, "text": {"verbosity": "low"}},
        ),
        (
            {"schema": SCHEMA, "extra": {"text": {"format": {"strict": True, "name": "n"}}}},
            {"text": {"format": {**FORMAT, "strict": True, "name": "n"}}},
        ),
        ({"extra": {"truncation": "auto", "store": True}}, {"truncation": "auto", "store": True}),
        (
            {"extra": {"tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": []}}},
            {"tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": []}},
        ),
        *(
            ({"extra": {"tool_choice": choice}}, {"tool_choice": choice})
            for word in ("auto", "none", "required")
            for choice in [{"type": "function", "name": word}]
        ),
        ({"tools": (Tool("f", parameters=EMPTY),)}, {"tools": [FUNCTION]}),
        (
            {"tools": (Tool("f", "does", SCHEMA, strict=True),)},
            {
                "tools": [
                    {
                        "type": "function",
                        "name": "f",
                        "description": "does",
                        "parameters": SCHEMA,
                        "strict": True,
                    }
                ]
            },
        ),
        (
            {"tools": (Opaque(own(SEARCH)), Opaque(own(PATCH))), "tool_choice": "patch"},
            {"tools": [SEARCH, PATCH], "tool_choice": {"type": "custom", "name": "patch"}},
        ),
        (
            {"tools": (Tool("f", parameters=EMPTY, native=own({**FUNCTION, "defer": True})),)},
            {"tools": [{**FUNCTION, "defer": True}]},
        ),
    ],
)
def test_options(options: dict[str, Any], written: dict[str, Any]) -> None:
    chat = Chat(messages=(HI,), model="m", **options)
    body: Any = {"store": False, "model": "m", "input": [HELLO], "stream": True, **written}
    assert body_of(chat) == body
    assert read(body) == chat.replace(extra={"store": False, **chat.extra})


def test_an_answer_that_the_service_keeps_is_gone_on_from() -> None:
    kept = {"previous_response_id": "resp_1", "store": True}
    body = body_of(as_chat("And then?", model="m", extra=kept))
    assert body["input"] == [{"role": "user", "content": "And then?"}]
    assert kept.items() <= body.items()


def test_the_back_end_of_chatgpt_as_a_provider() -> None:
    """What it demands are fields and headers (`tokenwire.protocols.formats.openai_responses`)."""
    chatgpt = RESPONSES.replace(
        name="chatgpt",
        base_url="https://chatgpt.com/backend-api/codex",
        fields={"store": False, "instructions": "Be brief."},
        headers={"chatgpt-account-id": "a", "originator": "o"},
    )
    chat = Chat(messages=(Message("developer", "d"), HI), model="m")
    request = chatgpt.exchange(chat, key="k").next_request()
    assert request is not None
    assert request.url == "https://chatgpt.com/backend-api/codex/responses"
    assert {(b"originator", b"o"), (b"authorization", b"Bearer k")} <= set(request.headers)
    assert json.loads(request.body) == {
        "model": "m",
        "stream": True,
        "store": False,
        "instructions": "Be brief.",
        "input": [{"role": "developer", "content": "d"}, HELLO],
    }


def test_a_tool_without_parameters_has_an_object() -> None:
    assert body_of(as_chat("hi", model="m", tools=[Tool("f")]))["tools"] == [FUNCTION]
    assert read({"tools": [{"type": "function", "name": "f"}]}).tools == (Tool("f"),)


def test_an_include_that_is_no_list_is_left_to_the_service() -> None:
    assert body_of(as_chat("hi", model="m", effort="low", extra={"include": 1}))["include"] == 1


def test_the_words_of_a_provider_for_effort() -> None:
    provider = RESPONSES.replace(effort={"low": {"thinking": "a bit"}})
    body = body_of(as_chat("hi", model="m", effort="low"), provider)
    assert body["thinking"] == "a bit"
    assert "reasoning" not in body


def test_a_tool_that_is_no_object_is_left_to_the_service() -> None:
    body = body_of(as_chat("hi", model="m", tools=[Opaque(own("?"))], tool_choice="f"))
    assert body["tools"] == ["?"]


def test_the_choice_of_a_custom_tool_that_only_extra_has() -> None:
    choice = {"type": "custom", "name": "patch"}
    chat = as_chat("hi", model="m", tool_choice="patch", extra={"tools": [PATCH]})
    assert body_of(chat)["tool_choice"] == choice


def test_plain_text_is_the_usual_format() -> None:
    assert read({"text": {"format": {"type": "text"}}}).extra == {}
    odd: Any = ({"type": "grammar"}, {"type": "json_schema", "schema": {}})
    for form in odd:
        assert read({"text": {"format": form}}).extra == {"text": {"format": form}}


@pytest.mark.parametrize(
    "options",
    [
        {"stop": ("x",)},
        {"seed": 1},
        {"n": 2},
        {"top_k": 3},
        {"presence_penalty": 0.1},
        {"frequency_penalty": 0.1},
    ],
)
def test_what_the_format_lacks_is_refused(options: Any) -> None:
    (name,) = options
    with pytest.raises(LocalProtocolError, match=f"can't take {name}"):
        body_of(Chat(messages=(HI,), model="m", **options))


OURS = "openai-responses can't take"
UNSAID = "nothing of the assistant message can be said here: leave it out"
THEIRS = "a part of the user message is in the words of anthropic"


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (Message("user", "hi", name="me"), f"{OURS} a message's name"),
        (Message("user", "hi", extra={"prefix": True}), f"{OURS} prefix of a message"),
        (Message("user", (TextPart("hi", cache="5m"),)), f"{OURS} cache marks"),
        (Message("user", ""), f"{OURS} an empty message"),
        (Message("user", (ToolCall("c", "f", "{}"),)), "ToolCall has no place in user"),
        (Message("user", (ReasoningPart("so"),)), "ReasoningPart has no place in user"),
        (Message("user", (RefusalPart("no"),)), "RefusalPart has no place in user"),
        (Message("system", (ImagePart("https://x.test/1.png"),)), "ImagePart has no place in s"),
        (Message("assistant", (ImagePart("https://x.test/1.png"),)), "ImagePart has no place in a"),
        (Message("assistant", (FilePart("https://x.test/1.pdf"),)), "FilePart has no place in a"),
        (Message("assistant", (ReasoningPart("not signed"),)), UNSAID),
        (Message("assistant", (Opaque(Native("anthropic", b"{}")),)), UNSAID),
        (Message("user", (Opaque(Native("anthropic", b'{"type":"x"}')),)), THEIRS),
        (Message("user", (FilePart("s3://b/1.pdf", "application/pdf"),)), "a file is given by its"),
        (Message("user", (FilePart.of_bytes(b"x", "video/mp4"),)), "a file of type 'video/mp4'"),
        (
            Message("user", (FilePart("https://x.test/a.wav", "audio/wav"),)),
            "a file of type 'audio/wav' has no place here",
        ),
    ],
)
def test_messages_that_are_refused(message: Message, words: str) -> None:
    with pytest.raises(LocalProtocolError) as caught:
        items(message)
    assert str(caught.value).startswith(words)


def test_no_message_is_refused() -> None:
    with pytest.raises(LocalProtocolError, match="no message"):
        items()


def test_a_tool_of_another_format_is_refused() -> None:
    tool = Opaque(Native("anthropic", b'{"type":"web_search_20260318"}'))
    with pytest.raises(LocalProtocolError, match="anthropic"):
        items(HI, tools=(tool,))


# Messages


def test_system_messages_stay_where_they_are() -> None:
    given: Any = [
        {"role": "system", "content": "a"},
        {"role": "developer", "content": "b"},
        HELLO,
        {"role": "system", "content": "c"},
    ]
    messages = (Message("system", "a"), Message("developer", "b"), HI, Message("system", "c"))
    assert items(*messages) == given
    assert read_items(*given) == list(messages)


def test_instructions_are_the_first_system_message() -> None:
    assert read({"instructions": "be brief"}).messages == (Message("system", "be brief"), HI)
    given: Any = [{"role": "developer", "content": "be brief"}]
    assert read({"instructions": given}).messages == (Message("developer", "be brief"), HI)
    assert read({"instructions": ""}).messages == (HI,)


def test_the_parts_of_a_question() -> None:
    parts: tuple[Part, ...] = (
        TextPart("look"),
        TextPart("at"),
        ImagePart("https://x.test/1.png"),
        ImagePart("data:image/png;base64,eA==", "high"),
        FilePart("data:application/pdf;base64,eA==", "application/pdf", "a.pdf"),
        FilePart("https://x.test/a.pdf"),
        FilePart("data:audio/wav;base64,eA==", "audio/wav"),
        FilePart("data:audio/mpeg;base64,eA==", "audio/mpeg"),
        Opaque(own({"type": "input_image", "file_id": "f"})),
    )
    image: Any = {"type": "input_image", "image_url": "https://x.test/1.png", "detail": "auto"}
    audio: Any = {"type": "input_audio", "input_audio": {"data": "eA==", "format": "wav"}}
    written: Any = [
        {"type": "input_text", "text": "look"},
        {"type": "input_text", "text": "at"},
        image,
        {**image, "image_url": "data:image/png;base64,eA==", "detail": "high"},
        {
            "type": "input_file",
            "filename": "a.pdf",
            "file_data": "data:application/pdf;base64,eA==",
        },
        {"type": "input_file", "file_url": "https://x.test/a.pdf"},
        audio,
        {"type": "input_audio", "input_audio": {"data": "eA==", "format": "mp3"}},
        {"type": "input_image", "file_id": "f"},
    ]
    assert items(Message("user", parts)) == [{"role": "user", "content": written}]
    (message,) = read_items({"type": "message", "role": "user", "content": written})
    assert message == Message("user", parts)


@pytest.mark.parametrize(
    ("piece", "part"),
    [
        ({"type": "input_image", "image_url": "u"}, ImagePart("u")),
        ({"type": "output_text", "text": "a", "logprobs": [1]}, TextPart("a")),
        (
            {"type": "input_file", "file_data": "data:text/plain;charset=utf-8;base64,eA=="},
            FilePart("data:text/plain;charset=utf-8;base64,eA==", "text/plain"),
        ),
    ],
)
def test_what_a_piece_may_be(piece: Any, part: Part) -> None:
    (message,) = read_items({"role": "user", "content": [piece, {"type": "text", "text": "b"}]})
    assert message.parts == (part, TextPart("b"))


def test_an_empty_text_among_others_is_left_out() -> None:
    image = ImagePart("https://x.test/1.png")
    (item,) = items(Message("user", (TextPart(""), image)))
    assert [part["type"] for part in item["content"]] == ["input_image"]
    assert items(HI, Message("assistant", (RefusalPart(""), TextPart("a"))))[1:] == [
        {"role": "assistant", "content": "a"}
    ]


@pytest.mark.parametrize(
    "part",
    [
        {"type": "input_text", "text": "a", "annotations": [1]},
        {"type": "input_text", "text": 1},
        {"type": "input_image", "image_url": "u", "file_id": "f"},
        {"type": "input_image", "image_url": "u", "detail": 1},
        {"type": "input_text", "text": 1, "file_url": "u"},
        {"type": "input_file", "file_url": 1},
        {"type": "refusal", "refusal": 1},
        {"type": "input_file", "file_data": "d", "file_id": "f"},
        {"type": "input_file", "file_id": "f"},
        {"type": "input_audio", "input_audio": {"data": "d", "format": "flac"}},
        {"type": "input_audio", "input_audio": {"format": "wav"}},
        {"type": "refusal", "refusal": "no"},
    ],
)
def test_parts_that_are_opaque(part: Any) -> None:
    assert read_items({"role": "user", "content": [part]})[0].parts == (Opaque(own(part)),)


def test_pieces_of_unknown_types_make_the_message_opaque() -> None:
    piece = {"type": "input_new", "x": 1}
    given: Any = [
        {"role": "user", "content": [{"type": "input_text", "text": "a"}, piece]},
        {"role": "user", "content": [{"text": "a"}]},
        {"type": "function_call_output", "call_id": "c", "output": [piece]},
    ]
    messages = read_items(*given)
    assert [message.parts for message in messages] == [(Opaque(own(item)),) for item in given]
    assert items(*messages) == given


def test_files_by_an_address_that_is_no_url() -> None:
    given: Any = {"type": "input_file", "file_data": "eA==", "filename": "n"}
    assert read_items({"role": "user", "content": [given]})[0].parts == (FilePart("eA==", "", "n"),)


# The assistant's

THOUGHT: Any = {"type": "reasoning", "id": "rs", "summary": [], "encrypted_content": "e"}
SIGNED = ReasoningPart("", own(THOUGHT))
LOST: Any = {"type": "reasoning", "id": "rs_2", "summary": [{"type": "summary_text", "text": "so"}]}
NOTHING: list[Any] = []
PHASED: Any = {
    "type": "message",
    "id": "msg",
    "role": "assistant",
    "status": "completed",
    "phase": "final",
    "content": [{"type": "output_text", "text": "a", "annotations": NOTHING}],
}
CALL: Any = {"type": "function_call", "call_id": "c", "name": "f", "arguments": '{"a":1}'}
NAMED: Any = {**CALL, "id": "fc", "namespace": "n"}
CUSTOM: Any = {"type": "custom_tool_call", "call_id": "x", "name": "patch", "input": "*** End"}
SEARCHED: Any = {"type": "web_search_call", "id": "ws", "status": "completed"}


def test_a_turn_with_a_tool() -> None:
    assistant = Message(
        "assistant",
        (
            SIGNED,
            TextPart("I "),
            RefusalPart("look."),
            ToolCall("c", "f", '{"a":1}'),
            ToolCall("d", "g", ""),
            ToolCall("x", "patch", "*** End", custom=True),
        ),
    )
    results = (
        Message("tool", "1", tool_call_id="c"),
        Message("tool", "2", tool_call_id="d", failed=True),
        Message("tool", "3", tool_call_id="x"),
    )
    given: Any = [
        HELLO,
        THOUGHT,
        {"role": "assistant", "content": "I look."},
        CALL,
        {"type": "function_call", "call_id": "d", "name": "g", "arguments": "{}"},
        CUSTOM,
        {"type": "function_call_output", "call_id": "c", "output": "1"},
        {"type": "function_call_output", "call_id": "d", "output": "Error: 2"},
        {"type": "custom_tool_call_output", "call_id": "x", "output": "3"},
    ]
    assert items(HI, assistant, *results) == given
    hi, said, *told = read_items(*given)
    assert hi == HI
    assert said.parts == (
        SIGNED,
        TextPart("I look."),
        ToolCall("c", "f", '{"a":1}'),
        ToolCall("d", "g", "{}"),
        ToolCall("x", "patch", "*** End", custom=True),
    )
    assert [(m.tool_call_id, m.text) for m in told] == [("c", "1"), ("d", "Error: 2"), ("x", "3")]


def test_native_forms_go_back_as_they_came() -> None:
    parts = (
        ReasoningPart("", own(THOUGHT)),
        TextPart("a", native=own(PHASED)),
        ToolCall("c", "f", '{"a":1}', native=own(NAMED)),
        Opaque(own(SEARCHED)),
    )
    given: Any = [THOUGHT, PHASED, NAMED, SEARCHED]
    assert items(HI, Message("assistant", parts))[1:] == given
    (message,) = read_items(*given)
    assert message == Message("assistant", parts)


def test_ids_make_a_native_form() -> None:
    refused: Any = {"type": "refusal", "refusal": "no"}
    given: Any = [
        {"role": "assistant", "content": [refused], "id": "m1"},
        {"role": "assistant", "content": [*PHASED["content"], refused], "id": "m2"},
        {"role": "assistant", "content": [{"type": "new", "refusal": "no"}]},
        {"role": "assistant", "content": []},
    ]
    messages = read_items(*given)
    assert [message.parts for message in messages] == [
        (RefusalPart("no", own(given[0])),),
        (TextPart("ano", native=own(given[1])),),
        (Opaque(own(given[2])),),
    ]
    assert items(HI, *messages)[1:] == given[:3]
    plain: Any = {"role": "assistant", "content": [refused, {"type": "output_text", "text": "b"}]}
    assert read_items(plain)[0].parts == (RefusalPart("no"), TextPart("b"))


def test_without_a_store_a_thought_must_be_encrypted() -> None:
    """It is left out, and what followed it goes without its id."""
    parts = (
        ReasoningPart("so", own(LOST)),
        TextPart("a", native=own(PHASED)),
        ToolCall("c", "f", '{"a":1}', native=own(NAMED)),
        Opaque(own(SEARCHED)),
        SIGNED,
        TextPart("a", native=own(PHASED)),
    )
    message = Message("assistant", parts)
    plain: Any = [{k: v for k, v in item.items() if k != "id"} for item in (PHASED, NAMED)]
    assert items(HI, message)[1:] == [*plain, SEARCHED, THOUGHT, PHASED]
    assert items(HI, Message("assistant", parts[1:4]))[1:] == [PHASED, NAMED, SEARCHED]
    kept: Any = [LOST, PHASED, NAMED, SEARCHED, THOUGHT, PHASED]
    assert items(HI, message, extra={"store": True})[1:] == kept
    keeping = RESPONSES.replace(fields={})
    assert items(HI, message, provider=keeping)[1:] == kept


def test_azure_takes_no_status() -> None:
    azure = PROVIDERS["azure-responses"].replace(base_url="https://x.test")
    thought: Any = {**THOUGHT, "status": "completed"}
    parts = (
        ReasoningPart("", own(thought)),
        TextPart("a", native=own(PHASED)),
        Opaque(own(SEARCHED)),
    )
    said: Any = {k: v for k, v in PHASED.items() if k != "status"}
    message = Message("assistant", parts)
    assert items(HI, message, provider=azure)[1:] == [THOUGHT, said, SEARCHED]


def test_parts_of_other_formats() -> None:
    """Their general meaning stays, of the assistant's; the rest is left out."""
    foreign = Native("anthropic", b'{"type":"thinking"}')
    parts = (
        ReasoningPart("so", foreign),
        Opaque(foreign),
        TextPart("a", native=foreign),
        ToolCall("c", "f", '{"a":1}', native=foreign),
    )
    assert items(HI, Message("assistant", parts))[1:] == [
        {"role": "assistant", "content": "a"},
        CALL,
    ]


def test_native_forms_that_are_no_items() -> None:
    odd = Message("assistant", (Opaque(own(["?"])), TextPart("a")))
    assert items(HI, odd)[1:] == [["?"], {"role": "assistant", "content": "a"}]
    text: Any = {"type": "output_text", "text": "b", "annotations": [1]}
    for empty, said in ((TextPart(""), TextPart("a")), (RefusalPart(""), RefusalPart("a"))):
        part = Message("assistant", (empty, said, TextPart("b", native=own(text)), said))
        written: Any = {"type": "output_text", "text": "a"}
        assert items(HI, part)[1:] == [{"role": "assistant", "content": [written, text, written]}]


def test_results_of_tools() -> None:
    image: Any = {"type": "input_image", "image_url": "https://x.test/1.png", "detail": "auto"}
    file: Any = {"type": "input_file", "file_url": "https://x.test/a.pdf"}
    parts = (
        *(TextPart("see"), ImagePart("https://x.test/1.png"), FilePart("https://x.test/a.pdf")),
    )
    shell: Any = {"type": "shell_call_output", "call_id": "s", "output": []}
    call = Message("assistant", (ToolCall("c", "f", "{}"),))
    messages = (
        Message("tool", parts, tool_call_id="c", failed=True),
        Message("tool", (Opaque(own(shell)),)),
        Message("tool", (TextPart("more"), Opaque(own(shell))), tool_call_id="d"),
        Message("tool", "", tool_call_id="e"),
        Message("tool", (TextPart("Error"), TextPart(": no")), tool_call_id="f", failed=True),
    )
    see = [{"type": "input_text", "text": text} for text in ("Error: ", "see")]
    output: Any = {"type": "function_call_output"}
    given: Any = [
        {**output, "call_id": "c", "output": [*see, image, file]},
        shell,
        {**output, "call_id": "d", "output": "more"},
        shell,
        {**output, "call_id": "e", "output": ""},
        {**output, "call_id": "f", "output": "Error: no"},
    ]
    assert items(HI, call, *messages)[2:] == given
    first, second, third, fourth, last, _ = read_items(*given)
    assert first == Message("tool", (TextPart("Error: "), *parts), tool_call_id="c")
    assert (second, third.text, fourth.parts) == (messages[1], "more", messages[1].parts)
    assert last == messages[3]
    odd: Any = {**output, "call_id": "c", "output": "1", "id": "o", "status": "completed"}
    assert read_items(odd) == [Message("tool", "1", tool_call_id="c")]
    assert read_items({**odd, "new": 1}) == [Message("tool", (Opaque(own({**odd, "new": 1})),))]
    approved: Any = {"type": "mcp_approval_response", "approve": True}
    assert read_items(approved) == [Message("tool", (Opaque(own(approved)),))]


def test_a_piece_of_a_result_whose_text_is_none() -> None:
    """It goes on as it came: what is wrong with it, the service says."""
    piece: Any = {"type": "input_text", "text": 5}
    result = Message("tool", (Opaque(own(piece)),), tool_call_id="c")
    call = Message("assistant", (ToolCall("c", "f", "{}"),))
    assert items(HI, call, result)[-1]["output"] == [piece]


def test_long_ids_are_short() -> None:
    long = "x" * 65
    call = Message("assistant", (ToolCall(long, "f", "{}"),))
    _, made, result = items(HI, call, Message("tool", "1", tool_call_id=long))
    assert made["call_id"] == result["call_id"] != long
    assert len(made["call_id"]) <= 64


def test_a_call_without_arguments() -> None:
    (message,) = read_items({"type": "function_call", "call_id": "c", "name": "f", "arguments": ""})
    assert message.parts == (ToolCall("c", "f", "{}"),)
    (message,) = read_items({"type": "custom_tool_call", "call_id": "c", "name": "f", "input": ""})
    assert message.parts == (ToolCall("c", "f", "", custom=True),)


def test_where_a_message_of_the_assistant_ends() -> None:
    """At a text after a text or a call; thoughts and tools of the service are of what follows."""
    one, two = ({"role": "assistant", "content": text} for text in "ab")
    found = read_items(THOUGHT, SEARCHED, one, CALL, SEARCHED, two, HELLO, THOUGHT, two)
    kinds = [[type(part).__name__ for part in message.parts] for message in found]
    assert kinds == [
        ["ReasoningPart", "Opaque", "TextPart", "ToolCall", "Opaque"],
        ["TextPart"],
        ["TextPart"],
        ["ReasoningPart", "TextPart"],
    ]


def test_a_picture_that_the_model_made() -> None:
    item: Any = {"type": "image_generation_call", "id": "ig", "result": "eA=="}
    (message,) = read_items(item)
    assert message.parts == (ImagePart("data:image/png;base64,eA==", native=own(item)),)
    assert items(HI, message)[1:] == [item]
    pending: Any = {"type": "image_generation_call", "id": "ig", "result": None}
    assert read_items(pending)[0].parts == (Opaque(own(pending)),)


# What Codex and others send


def test_tools_among_the_messages() -> None:
    """Codex gives all its tools so to the models that it knows."""
    namespace: Any = {"type": "namespace", "name": "n", "tools": [PATCH, FUNCTION]}
    moved: Any = {"type": "additional_tools", "role": "developer", "tools": [FUNCTION, namespace]}
    body: Any = {"store": False, "model": "m", "stream": True, "input": [moved, HELLO]}
    chat = read(body)
    first, second = chat.tools
    assert isinstance(first, Tool)
    assert first.name == "f"
    assert isinstance(second, Opaque)
    assert chat.messages == (HI,)
    assert body_of(chat) == body
    assert again({**body, "tools": [SEARCH]}) == {**body, "tools": [SEARCH]}
    called: Any = {**body, "tool_choice": {"type": "custom", "name": "patch"}}
    assert again(called) == called


def test_a_request_of_codex() -> None:
    """Equal but for ids, states and hints of what the caller said."""
    passthrough: Any = {"internal_chat_message_metadata_passthrough": {"turn_id": "t"}}
    developer: Any = {"type": "message", "id": "msg_1", "role": "developer"}
    texts = [{"type": "input_text", "text": text} for text in ("You are", "Codex")]
    result: Any = {"type": "function_call_output", "id": "fco", "call_id": "c", "output": "1"}
    thought: Any = {**THOUGHT, "content": None, **passthrough}
    said: Any = {**PHASED, **passthrough}
    body: Any = {
        "model": "m",
        "stream": True,
        "store": False,
        "input": [
            {**developer, "content": texts, **passthrough},
            {**developer, "role": "user", "content": texts[:1], "status": None},
            *(thought, said, {**NAMED, "status": "completed"}, {**result, **passthrough}),
        ],
        "tools": [FUNCTION, PATCH, {"type": "tool_search"}],
        "tool_choice": "auto",
        "parallel_tool_calls": True,
        "reasoning": {"effort": "medium", "summary": "auto", "context": "all_turns"},
        "include": ENCRYPTED,
        "prompt_cache_key": "k",
        "text": {"verbosity": "low"},
        "client_metadata": {"a": "b"},
    }
    written = again(body)
    assert written == {
        **body,
        "input": [
            {"role": "developer", "content": texts},
            {"role": "user", "content": "You are"},
            *(thought, said, {**NAMED, "status": "completed"}),
            {"type": "function_call_output", "call_id": "c", "output": "1"},
        ],
    }


def test_a_message_with_unknown_keys_is_opaque() -> None:
    item: Any = {"role": "user", "content": "hi", "new": 1}
    (message,) = read_items(item)
    assert message == Message("user", (Opaque(own(item)),))
    assert items(message) == [item]


def test_an_empty_message() -> None:
    assert read_items({"role": "user", "content": ""}, HELLO)[0] == Message("user", "")
    assert read_items({"role": "user"}, HELLO)[0] == Message("user", "")
    assert read_items({"role": "assistant", "content": ""}, HELLO) == [HI]


ROLES = "is not one of system, developer, user, assistant"
CONTENT = "is text, or a list of objects with type"
STATELESS = "nothing is kept here, so send the whole conversation"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"model": ""}, "model: it is missing"),
        ({"input": None}, "input: text, or a list with at least one item, is needed"),
        ({"input": []}, "input: text, or a list with at least one item, is needed"),
        ({"input": 1}, "the request is not as it should be: "),
        ({"input": [{"role": "robot", "content": "hi"}]}, f"input: the role 'robot' {ROLES}"),
        ({"input": [{"content": "hi"}]}, f"input: the role None {ROLES}"),
        ({"input": [{"role": "x" * 300}]}, f"input: the role '{'x' * 180}"),
        ({"input": [{"role": "user", "content": 1}]}, f"input: content {CONTENT}"),
        ({"input": [{"role": "user", "content": ["hi"]}]}, f"input: content {CONTENT}"),
        ({"input": [{"type": "function_call_output", "output": 1}]}, f"input: output {CONTENT}"),
        (
            {"input": [{"type": "item_reference", "id": "i"}]},
            "item_reference: nothing is kept here, so send the item itself",
        ),
        *(
            ({"input": [{"type": type, key: 1}]}, f"input: {key} of a {type} is text")
            for type, key in (
                ("function_call", "arguments"),
                ("function_call", "name"),
                ("custom_tool_call", "input"),
                ("custom_tool_call_output", "call_id"),
            )
        ),
        ({"tools": [{"name": "f"}]}, "tools: a tool has a type, and a function a name"),
        ({"previous_response_id": "r"}, f"previous_response_id: {STATELESS}"),
        ({"conversation": {"id": "c"}}, f"conversation: {STATELESS}"),
        ({"background": True}, f"background: {STATELESS}"),
    ],
)
def test_bodies_that_are_refused(body: Any, words: str) -> None:
    with pytest.raises(Refused) as caught:
        read(body)
    assert caught.value.status == 400
    assert caught.value.message.startswith(words)
    assert len(caught.value.message) <= 200


def test_state_that_is_not_asked_for() -> None:
    chat = read({"previous_response_id": None, "background": False})
    assert chat.messages == (HI,)


class Sealing:
    """Packs a native form so that it can be recognized."""

    def seal(self, native: Native) -> str:
        return f"sealed:{native.dialect}:{native.raw.decode()}"

    def unseal(self, text: str) -> Native | None:
        word, _, rest = text.partition(":")
        dialect, _, raw = rest.partition(":")
        return Native(dialect, raw.encode()) if word == "sealed" else None


def test_sealed_native_forms() -> None:
    sealed: Any = {"type": "reasoning", "encrypted_content": "sealed:anthropic:{}", "summary": []}
    text: Any = [{"type": "summary_text", "text": "so"}]
    given = (sealed, {**sealed, "summary": text * 2}, THOUGHT, LOST)
    (message,) = read_items(*given, sealer=Sealing())
    foreign = Native("anthropic", b"{}")
    assert message.parts == (
        *(Opaque(foreign), ReasoningPart("soso", foreign), SIGNED, ReasoningPart("so", own(LOST))),
    )
    content: Any = {**THOUGHT, "content": [{"type": "reasoning_text", "text": "raw"}]}
    assert read_items(content)[0].parts == (ReasoningPart("raw", own(content)),)
