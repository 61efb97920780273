"""Anthropic Messages: a chat as the body of a request, and what the server half understands of
it."""

import json
from collections.abc import Callable
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
from tokenwire.protocols.formats.anthropic.body import count_of
from tokenwire.protocols.provider import Provider
from tokenwire.protocols.registry import PROVIDERS
from tokenwire.protocols.service import Service
from tokenwire.protocols.toolkit.http import Request

ANTHROPIC = PROVIDERS["anthropic"]
HI = Message("user", "hi")


def body_of(chat: Chat, provider: Provider = ANTHROPIC) -> Any:
    request = provider.exchange(chat).next_request()
    assert request is not None
    return json.loads(request.body)


def turns(*messages: Message) -> Any:
    return body_of(Chat(messages=messages, model="m"))["messages"]


def own(value: Any) -> Native:
    return Native("anthropic", json.dumps(value, separators=(",", ":")).encode())


def read(body: Any, **how: Any) -> Chat:
    """What the server half understands of a body."""
    fields = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}
    content = json.dumps({**fields, **body}).encode()
    headers = [(b"content-type", b"application/json")]
    request = Request("POST", "https://x/v1/messages", headers, content)
    chat = Service(ANTHROPIC, **how).responder().receive_request(request)
    assert chat is not None
    return chat


def read_message(role: str, content: Any, **how: Any) -> Message:
    """A message that follows another one."""
    first = {"role": "user", "content": "hi"}
    return read({"messages": [first, {"role": role, "content": content}]}, **how).messages[-1]


# Options, each as it is written, and understood again

SCHEMA: dict[str, Any] = {"type": "object", "properties": {"a": {"type": "integer"}}}
SEARCH = {"type": "web_search_20260318", "name": "web_search", "max_uses": 3}
DEFERRED = {"name": "h", "input_schema": SCHEMA, "defer_loading": True}
NOTHING: dict[str, Any] = {"type": "object", "properties": {}}
FORMAT = {"type": "json_schema", "schema": SCHEMA}
OPTIONS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "temperature": ({"temperature": 0.5}, {"temperature": 0.5}),
    "top_p": ({"top_p": 0.5}, {"top_p": 0.5}),
    "top_k": ({"top_k": 5}, {"top_k": 5}),
    "max_tokens": ({"max_tokens": 7}, {"max_tokens": 7}),
    "stop": ({"stop": ("a", "b")}, {"stop_sequences": ["a", "b"]}),
    "auto": ({"tool_choice": "auto"}, {"tool_choice": {"type": "auto"}}),
    "none": ({"tool_choice": "none"}, {"tool_choice": {"type": "none"}}),
    "required": ({"tool_choice": "required"}, {"tool_choice": {"type": "any"}}),
    "a tool": ({"tool_choice": "f"}, {"tool_choice": {"type": "tool", "name": "f"}}),
    "one at a time": (
        {"tool_choice": "auto", "parallel": False},
        {"tool_choice": {"type": "auto", "disable_parallel_tool_use": True}},
    ),
    "several": (
        {"tool_choice": "required", "parallel": True},
        {"tool_choice": {"type": "any", "disable_parallel_tool_use": False}},
    ),
    "schema": ({"schema": SCHEMA}, {"output_config": {"format": FORMAT}}),
    "effort": (
        {"effort": "xhigh"},
        {"output_config": {"effort": "xhigh"}, "thinking": {"type": "adaptive"}},
    ),
    "no effort": ({"effort": "none"}, {"thinking": {"type": "disabled"}}),
    "effort, and how to think": (
        {"effort": "low", "extra": {"thinking": {"type": "enabled", "budget_tokens": 2000}}},
        {
            "output_config": {"effort": "low"},
            "thinking": {"type": "enabled", "budget_tokens": 2000},
        },
    ),
    "schema and effort": (
        {"schema": SCHEMA, "effort": "max"},
        {
            "output_config": {"format": FORMAT, "effort": "max"},
            "thinking": {"type": "adaptive"},
        },
    ),
    "tools": (
        {
            "tools": (
                Tool("f", "does f", SCHEMA, strict=True, cache="5m"),
                Tool("g", cache="1h", parameters=NOTHING),
                Opaque(own(SEARCH)),
                Tool("h", parameters=SCHEMA, native=own(DEFERRED)),
            )
        },
        {
            "tools": [
                {
                    "name": "f",
                    "description": "does f",
                    "input_schema": SCHEMA,
                    "strict": True,
                    "cache_control": {"type": "ephemeral"},
                },
                {
                    "name": "g",
                    "input_schema": NOTHING,
                    "cache_control": {"type": "ephemeral", "ttl": "1h"},
                },
                SEARCH,
                DEFERRED,
            ]
        },
    ),
    "other fields": (
        {"extra": {"metadata": {"user_id": "u"}, "output_config": {"x": 1}}},
        {"metadata": {"user_id": "u"}, "output_config": {"x": 1}},
    ),
}


@pytest.mark.parametrize("name", OPTIONS)
def test_options(name: str) -> None:
    options, written = OPTIONS[name]
    chat = as_chat("hi", model="m", **options)
    body = body_of(chat)
    fields = {"model": "m", "max_tokens": 32000, "stream": True}
    assert body == {**fields, "messages": [{"role": "user", "content": "hi"}], **written}
    assert read(body) == chat.replace(max_tokens=chat.max_tokens or 32000)


def test_one_at_a_time_alone() -> None:
    body = body_of(as_chat("hi", model="m", parallel=False))
    assert body["tool_choice"] == {"type": "auto", "disable_parallel_tool_use": True}
    assert "tool_choice" not in body_of(as_chat("hi", model="m", parallel=True))
    none = body_of(as_chat("hi", model="m", parallel=False, tool_choice="none"))
    assert none["tool_choice"] == {"type": "none"}


def test_a_tool_without_parameters() -> None:
    body = body_of(as_chat("hi", model="m", tools=[Tool("f")]))
    assert body["tools"] == [{"name": "f", "input_schema": NOTHING}]


def test_most_tokens() -> None:
    """They are required: the preset's, unless the chat says another number, or `extra` does."""
    assert body_of(as_chat("hi", model="m"))["max_tokens"] == 32000
    assert body_of(as_chat("hi", model="m", max_tokens=5))["max_tokens"] == 5
    extra = {"max_tokens": 6}
    assert body_of(as_chat("hi", model="m", max_tokens=5, extra=extra))["max_tokens"] == 6
    assert PROVIDERS["deepseek-anthropic"].fields["max_tokens"] == 8192
    bare = ANTHROPIC.replace(fields={})
    with pytest.raises(LocalProtocolError, match="anthropic needs max_tokens"):
        bare.exchange(as_chat("hi", model="m"))
    assert body_of(as_chat("hi", model="m", max_tokens=5), bare)["max_tokens"] == 5


REFUSED: dict[str, tuple[Any, dict[str, Any]]] = {
    "can't take n": ("hi", {"n": 2}),
    "can't take seed": ("hi", {"seed": 1}),
    "can't take presence_penalty": ("hi", {"presence_penalty": 1}),
    "can't take frequency_penalty": ("hi", {"frequency_penalty": 1}),
    "can't take logprobs": ("hi", {"logprobs": 0}),
    "effort is none, low, medium, high, xhigh, max": ("hi", {"effort": "minimal"}),
    "can't be asked for any JSON": ("hi", {"schema": {}}),
    "can't take a message's name": ([Message("user", "hi", name="n")], {}),
    "can't take prefix of a message": ([Message("user", "hi", extra={"prefix": True})], {}),
    "after the system's messages one of the user must come first": (
        [Message("system", "s"), Message("assistant", "a"), HI],
        {},
    ),
    "one of the user must come first": ([Message("system", "s")], {}),
    "an empty message": ([Message("user", (TextPart(""),))], {}),
    "a file of type 'audio/wav'": ([Message("user", (FilePart.of_bytes(b"", "audio/wav"),))], {}),
    "a file of type 'gs'": ([Message("user", (FilePart("gs://a:b"),))], {}),
    f"a file of type '{'x' * 80}':": (
        [Message("user", (FilePart.of_bytes(b"", "x" * 99),))],
        {},
    ),
    "a file of type 'text/csv'": ([Message("user", (FilePart("https://a", "text/csv"),))], {}),
    "^a file of type 'text/plain' that is not UTF-8 text$": (
        [Message("user", (FilePart.of_bytes(b"\xff", "text/plain"),))],
        {},
    ),
    "that is not UTF-8 text": (
        [Message("user", (FilePart("data:text/plain;base64,YQ==!"),))],
        {},
    ),
    "can't take a picture's detail": (
        [Message("user", (ImagePart("https://a/1.png", "high"),))],
        {},
    ),
    f"a picture of type '{'x' * 80}':": (
        [Message("user", (ImagePart.of_bytes(b"", "x" * 99),))],
        {},
    ),
    "'image/tiff': the types are image/jpeg, image/png, image/gif, image/webp$": (
        [Message("user", (ImagePart.of_bytes(b"", "image/tiff"),))],
        {},
    ),
    "ImagePart has no place in assistant messages": (
        [HI, Message("assistant", (ImagePart("https://a"),))],
        {},
    ),
    "FilePart has no place in system messages": (
        [Message("system", (FilePart("https://a"),)), HI],
        {},
    ),
    "ToolCall has no place in user messages": ([Message("user", (ToolCall("c", "f", ""),))], {}),
    "ToolCall has no place in tool messages": (
        [HI, Message("tool", (ToolCall("c", "f", ""),))],
        {},
    ),
    "ReasoningPart has no place in user messages": ([Message("user", (ReasoningPart("t"),))], {}),
    "the call 'f' .c. has arguments that are not one JSON object": (
        [HI, Message("assistant", (ToolCall("c", "f", "[1]"),))],
        {},
    ),
    "the call 'g' .c. has arguments": (
        [HI, Message("assistant", (ToolCall("c", "g", '\ufeff{"a":1}'),))],
        {},
    ),
    "the call 'h' .c. has arguments": (
        [HI, Message("assistant", (ToolCall("c", "h", '{"a":"\ud83d"}'),))],
        {},
    ),
    "^a picture is given by its bytes or an http.s. address$": (
        [Message("user", (ImagePart("ftp://a"),))],
        {},
    ),
    "can't take custom tool calls": (
        [HI, Message("assistant", (ToolCall("c", "f", "{}", custom=True),))],
        {},
    ),
    "nothing of the assistant message can be said here": (
        [HI, Message("assistant", (ReasoningPart("t"),))],
        {},
    ),
}


@pytest.mark.parametrize("words", REFUSED)
def test_what_it_cannot_say(words: str) -> None:
    question, options = REFUSED[words]
    with pytest.raises(LocalProtocolError, match=words):
        ANTHROPIC.exchange(as_chat(question, model="m", **options))


# Messages


def test_the_system() -> None:
    parts = (TextPart("b", cache="1h"), TextPart(""), TextPart("c"))
    messages = (Message("system", "a"), Message("developer", parts), HI)
    body = body_of(Chat(messages=messages, model="m"))
    assert body["system"] == [
        {"type": "text", "text": "a"},
        {"type": "text", "text": "b", "cache_control": {"type": "ephemeral", "ttl": "1h"}},
        {"type": "text", "text": "c"},
    ]
    assert read(body).messages == (
        Message("system", "a"),
        Message("system", (TextPart("b", cache="1h"),)),
        Message("system", "c"),
        HI,
    )
    assert read({"system": "a"}).messages == (Message("system", "a"), HI)


def test_a_later_system_message_stays_where_it_is() -> None:
    late = (HI, Message("developer", "s"), Message("system", "t"), Message("assistant", "a"), HI)
    assert turns(*late) == [
        {"role": "user", "content": "hi"},
        {"role": "system", "content": "s"},
        {"role": "system", "content": "t"},
        {"role": "assistant", "content": "a"},
        {"role": "user", "content": "hi"},
    ]


def test_neighbours_are_one_message_with_results_first() -> None:
    calls = (ToolCall("a", "f", ""), ToolCall("b", "g", ' {"x": 1} '))
    results = [call.result(call.id, failed=call.id == "b") for call in calls]
    more = Message("user", (TextPart("more"), ImagePart("https://a")))
    said = (Message("assistant", "t"), Message("assistant", calls))
    written = turns(HI, *said, results[0], more, results[1])
    assert written == [
        {"role": "user", "content": "hi"},
        {
            "role": "assistant",
            "content": [
                {"type": "text", "text": "t"},
                {"type": "tool_use", "id": "a", "name": "f", "input": {}},
                {"type": "tool_use", "id": "b", "name": "g", "input": {"x": 1}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "a", "content": "a"},
                {"type": "tool_result", "tool_use_id": "b", "content": "b", "is_error": True},
                {"type": "text", "text": "more"},
                {"type": "image", "source": {"type": "url", "url": "https://a"}},
            ],
        },
    ]
    *_, first, second, third = read({"messages": written}).messages
    assert (first, second, third) == (results[0], results[1], more)


def test_ids_of_other_services() -> None:
    """What the service would refuse is replaced, in the call and in its result alike."""
    calls = (ToolCall("functions.f:0", "f", ""), ToolCall("", "g", ""), ToolCall("", "h", ""))
    written = turns(HI, Message("assistant", calls), calls[0].result("x"), calls[1].result("y"))
    first, second, third = written[1]["content"]
    assert first["id"].startswith("tw_")
    assert len(first["id"]) == 23
    assert (second["id"], third["id"]) == ("call_1_1", "call_1_2")
    assert [r["tool_use_id"] for r in written[2]["content"]] == [first["id"], second["id"]]


def test_cache_marks() -> None:
    mark, hour = {"type": "ephemeral"}, {"type": "ephemeral", "ttl": "1h"}
    pdf = FilePart.of_bytes(b"a", "application/pdf", "a.pdf")
    call = ToolCall("c", "f", "{}", cache="5m")
    result = call.result([TextPart("a", cache="5m"), TextPart("b", cache="1h")])
    kept = FilePart(pdf.url, pdf.media_type, "a.pdf", cache="1h")
    picture = ImagePart("https://a", cache="5m")
    asked = Message("user", (TextPart("x", cache="5m"), kept, picture))
    written = turns(asked, Message("assistant", (call,)), result)
    assert [block["cache_control"] for block in written[0]["content"]] == [mark, hour, mark]
    assert written[1]["content"][0]["cache_control"] == mark
    assert written[2]["content"] == [
        {
            "type": "tool_result",
            "tool_use_id": "c",
            "cache_control": hour,
            "content": [
                {"type": "text", "text": "a", "cache_control": mark},
                {"type": "text", "text": "b"},
            ],
        }
    ]
    assert read({"messages": written}).messages == (asked, Message("assistant", (call,)), result)


def test_a_mark_of_a_result_of_nothing() -> None:
    call = ToolCall("c", "f", "{}")
    result = call.result([TextPart("", cache="5m")])
    written = turns(HI, Message("assistant", (call,)), result)
    mark = {"type": "ephemeral"}
    block = {"type": "tool_result", "tool_use_id": "c", "cache_control": mark}
    assert written[2]["content"] == [block]
    assert read({"messages": written}).messages[-1] == result
    odd = {**block, "content": [{"type": "new"}]}
    found = read_message("user", [odd]).parts
    assert found == (Opaque(own({"type": "new"})), TextPart("", cache="5m"))


PARTS: dict[str, tuple[Part, Any]] = {
    "text": (TextPart("t"), {"type": "text", "text": "t"}),
    "address": (
        ImagePart("https://a/b.png"),
        {"type": "image", "source": {"type": "url", "url": "https://a/b.png"}},
    ),
    "bytes": (
        ImagePart.of_bytes(b"a", "image/png"),
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "YQ=="}},
    ),
    "PDF": (
        FilePart.of_bytes(b"a", "application/pdf", "a.pdf"),
        {
            "type": "document",
            "source": {"type": "base64", "media_type": "application/pdf", "data": "YQ=="},
            "title": "a.pdf",
        },
    ),
    "plain text": (
        FilePart.of_bytes("h\u20ac".encode(), "text/plain"),
        {
            "type": "document",
            "source": {"type": "text", "media_type": "text/plain", "data": "h\u20ac"},
        },
    ),
    "PDF by its address": (
        FilePart("https://a/b.pdf", "application/pdf"),
        {"type": "document", "source": {"type": "url", "url": "https://a/b.pdf"}},
    ),
}


@pytest.mark.parametrize("name", PARTS)
def test_parts(name: str) -> None:
    part, block = PARTS[name]
    parts = (part, TextPart("?"))
    written = turns(Message("user", parts))
    assert written == [{"role": "user", "content": [block, {"type": "text", "text": "?"}]}]
    assert read({"messages": written}).messages == (Message("user", parts),)
    result = ToolCall("c", "f", "").result([part, TextPart("?")])
    written = turns(result)[0]["content"][0]["content"]
    assert written == [block, {"type": "text", "text": "?"}]


def test_a_file_at_an_address_is_a_pdf() -> None:
    (block,) = turns(Message("user", (FilePart("https://a/b"),)))[0]["content"]
    assert block == {"type": "document", "source": {"type": "url", "url": "https://a/b"}}


def test_data_urls() -> None:
    """Those without base64, too, and in any case."""
    parts = (ImagePart("DATA:IMAGE/PNG;BASE64,YQ=="), FilePart("data:text/plain,a%20b"))
    image, document = turns(Message("user", parts))[0]["content"]
    assert image["source"] == {"type": "base64", "media_type": "image/png", "data": "YQ=="}
    assert document["source"] == {"type": "text", "media_type": "text/plain", "data": "a b"}


def test_refusals_are_text() -> None:
    said = Message("assistant", (RefusalPart("no"), RefusalPart("")))
    assert turns(HI, said)[1]["content"] == "no"


# Native forms


THOUGHT = {"type": "thinking", "thinking": "t", "signature": "s"}
HIDDEN = {"type": "redacted_thinking", "data": "d"}
USE: dict[str, Any] = {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}}
CITED = {"type": "text", "text": "c", "citations": [{"type": "char_location"}]}
EMPTY = {"type": "text", "text": "", "citations": [{"type": "char_location"}]}


def test_what_the_service_said_goes_back_unchanged() -> None:
    parts = (
        ReasoningPart("t", own(THOUGHT)),
        Opaque(own(HIDDEN)),
        Opaque(own(USE)),
        TextPart("c", native=own(CITED)),
        ReasoningPart("unsigned"),
        TextPart("", native=own(EMPTY)),
        Opaque(Native("", b'{"type":"new"}')),
    )
    written = turns(HI, Message("assistant", parts))
    assert written[1]["content"] == [THOUGHT, HIDDEN, USE, CITED, {"type": "new"}]
    understood = read({"messages": written}).messages[-1].parts
    assert understood == (*parts[:4], Opaque(own({"type": "new"})))


def test_a_native_form_that_is_no_object() -> None:
    parts = (Opaque(own(7)), TextPart("?"))
    assert turns(Message("user", parts))[0]["content"] == [7, {"type": "text", "text": "?"}]


def test_what_another_service_said() -> None:
    """Of an assistant the general meaning; anywhere else it is refused by name."""
    foreign = Native("openai_responses", b'{"type":"message","phase":"x"}')
    said = Message("assistant", (TextPart("t", native=foreign), Opaque(foreign)))
    assert turns(HI, said)[1]["content"] == "t"
    asked = Chat(messages=(Message("user", (Opaque(foreign),)),), model="m")
    with pytest.raises(LocalProtocolError, match=r"in the words of openai_responses.*phase"):
        ANTHROPIC.exchange(asked)


# What the server half understands beyond that


@pytest.mark.parametrize("signature", [None, "", "tokenwire", 7])
def test_a_thought_that_is_not_signed(signature: Any) -> None:
    block = {"type": "thinking", "thinking": "t", "signature": signature}
    assert read_message("assistant", [block]).parts == (ReasoningPart("t"),)


class Sealer:
    def seal(self, native: Native) -> str:
        return f"tw1.{native.raw.decode()}"

    def unseal(self, text: str) -> Native | None:
        raw = text.removeprefix("tw1.")
        return None if raw == text else Native("gemini", raw.encode(), 7, 1)


def test_what_a_sealer_packed() -> None:
    sealer = Sealer()
    blocks = [
        {"type": "thinking", "thinking": "t", "signature": 'tw1.{"a":1}'},
        {"type": "redacted_thinking", "data": 'tw1.{"b":1}'},
        THOUGHT,
        HIDDEN,
    ]
    assert read_message("assistant", blocks, sealer=sealer).parts == (
        ReasoningPart("t", Native("gemini", b'{"a":1}')),
        Opaque(Native("gemini", b'{"b":1}')),
        ReasoningPart("t", own(THOUGHT)),
        Opaque(own(HIDDEN)),
    )


STRANGE: dict[str, tuple[Any, Callable[[Native], Part]]] = {
    "an unknown type": ({"type": "new", "x": 1}, Opaque),
    "no type": ({"x": 1}, Opaque),
    "a text with more": (CITED, lambda form: TextPart("c", native=form)),
    "a call by code": (
        {"type": "tool_use", "id": "c", "name": "f", "input": {}, "caller": {"type": "code"}},
        lambda form: ToolCall("c", "f", "{}", native=form),
    ),
    "a picture of the service": (
        {"type": "image", "source": {"type": "file", "file_id": "f"}},
        Opaque,
    ),
    "a picture with more": (
        {"type": "image", "source": {"type": "url", "url": "u"}, "x": 1},
        lambda form: ImagePart("u", native=form),
    ),
    "a document of the service": (
        {"type": "document", "source": {"type": "file", "file_id": "f"}},
        Opaque,
    ),
    "a document that is to be cited": (
        {
            "type": "document",
            "source": {"type": "url", "url": "u"},
            "citations": {"enabled": True},
        },
        lambda form: FilePart("u", "application/pdf", native=form),
    ),
    "a mark of a new kind": (
        {"type": "text", "text": "t", "cache_control": {"type": "ephemeral", "ttl": "1d"}},
        lambda form: TextPart("t", native=form),
    ),
}


@pytest.mark.parametrize("name", STRANGE)
def test_what_is_not_known_of_a_block_is_kept(name: str) -> None:
    block, part = STRANGE[name]
    role = "assistant" if block.get("type") == "tool_use" else "user"
    found = read_message(role, [block, {"type": "text", "text": "?"}])
    assert found.parts == (part(own(block)), TextPart("?"))
    request = ANTHROPIC.exchange(Chat(messages=(HI, found), model="m")).next_request()
    assert request is not None
    content = json.loads(request.body)["messages"][-1]["content"]
    assert block in content, "it goes out again as it came"


def test_the_plain_call_of_an_sdk() -> None:
    block = {"type": "tool_use", "id": "c", "name": "f", "input": {"a": 1}}
    direct = {**block, "caller": {"type": "direct"}}
    assert read_message("assistant", [direct]).parts == (ToolCall("c", "f", '{"a":1}'),)
    odd = {**block, "input": '{"a'}
    assert read_message("assistant", [odd]).parts == (ToolCall("c", "f", '{"a'),)


def test_a_mark_of_five_minutes() -> None:
    block = {"type": "text", "text": "a", "cache_control": {"type": "ephemeral", "ttl": "5m"}}
    assert read_message("user", [block]).parts == (TextPart("a", cache="5m"),)


def test_tools_of_the_body() -> None:
    tool = {"type": "custom", "name": "f", "input_schema": SCHEMA}
    assert read({"tools": [tool]}).tools == (Tool("f", parameters=SCHEMA),)
    assert read({"tools": [{**tool, "strict": "no"}]}).tools == (Tool("f", parameters=SCHEMA),)


def test_fields_of_the_body() -> None:
    thinking = {"type": "adaptive", "display": "omitted"}
    strange = {"type": "new"}
    chat = read(
        {
            "stream": True,
            "thinking": thinking,
            "output_config": {"effort": "new", "format": strange},
            "tool_choice": strange,
            "new": 1,
        }
    )
    for name in ("auto", "none", "required"):
        named_so = {"type": "tool", "name": name}
        odd = read({"output_config": {"effort": []}, "tool_choice": named_so})
        assert (odd.effort, odd.tool_choice) == (None, None)
        assert odd.extra["tool_choice"] == named_so
    assert chat.stream
    assert not read({"stream": False}).stream
    assert not read({}).stream
    assert chat.effort is None
    assert chat.schema is None
    assert chat.tool_choice is None
    assert chat.extra == {
        "thinking": thinking,
        "output_config": {"effort": "new", "format": strange},
        "tool_choice": strange,
        "new": 1,
    }
    named = read({"output_config": {"format": {**FORMAT, "name": "n"}}})
    assert named.schema is None
    assert "output_config" in named.extra
    assert read({"thinking": {"type": "disabled"}, "output_config": {"effort": "low"}}).extra == {
        "thinking": {"type": "disabled"}
    }


def test_messages_of_the_body() -> None:
    assert read_message("user", []) == Message("user", "")
    assert read_message("assistant", "") == Message("assistant", "")
    assert read_message("system", "s") == Message("system", "s")
    nameless = read_message("user", [{"type": "tool_result", "content": "x"}])
    assert nameless == Message("tool", "x")


BAD: dict[str, Any] = {
    "the request is not as it should be: ": {"temperature": "hot"},
    "max_tokens: Field required": {"max_tokens": None},
    "model: Field required": {"model": ""},
    "messages: at least one message is required": {"messages": []},
    'messages: first message must use the "user" role': {
        "messages": [{"role": "assistant", "content": ""}]
    },
    "messages.1.role: 'tool' is not user": {
        "messages": [{"role": "user", "content": "a"}, {"role": "tool", "content": "b"}]
    },
    "messages.0.content: Input should be a string": {"messages": [{"role": "user"}]},
    "messages.0.content.tool_result: Input should be": {
        "messages": [{"role": "user", "content": [{"type": "tool_result", "content": 7}]}]
    },
    "the request is not as it should be: Expected `object`": {"system": [7]},
    "tools: a tool has a name and an input_schema": {
        "tools": [{"name": "f", "input_schema": True}]
    },
}


@pytest.mark.parametrize("words", BAD)
def test_what_it_refuses(words: str) -> None:
    with pytest.raises(Refused) as caught:
        read(BAD[words])
    assert caught.value.message.startswith(words)
    assert caught.value.status == 400


def test_a_long_role_is_not_shown_whole() -> None:
    with pytest.raises(Refused) as caught:
        read_message("x" * 999, "a")
    said = caught.value.message
    assert said.startswith("messages.1.role: 'xxx")
    assert len(said) == 200


def test_about_how_many_tokens_there_are() -> None:
    """A quarter of the characters of all texts."""
    assert count_of({}) == 1
    blocks = [{"type": "abcd", "n": 1, "text": "x" * 20}]
    fields = {"system": "y" * 16, "messages": [{"content": blocks}], "tools": ["z" * 11]}
    assert count_of(fields | {"metadata": "w" * 100}) == 12


def test_further_keys_of_a_message_and_of_a_result() -> None:
    result = {"type": "tool_result", "tool_use_id": "t", "content": "1", "new": [2], "none": None}
    said = [result, {"type": "text", "text": "go on"}]
    first = {"role": "user", "content": "hi"}
    _, answer, more = read(
        {"messages": [first, {"role": "user", "content": said, "odd": 3}]}
    ).messages
    kept = Opaque(Native("anthropic", b'{"type":"tool_result","new":[2]}'))
    assert answer == Message("tool", (TextPart("1"), kept), "t", extra={"odd": 3})
    assert more == Message("user", "go on")
    [alone] = read({"messages": [{**first, "odd": 3}]}).messages
    assert alone == Message("user", "hi", extra={"odd": 3})
    call = Message("assistant", (ToolCall("t", "f", "{}"),))
    written = turns(Message("user", "hi"), call, answer.replace(extra={}))[-1]["content"][0]
    assert written == {"type": "tool_result", "tool_use_id": "t", "content": "1", "new": [2]}


def test_a_tool_choice_that_says_more() -> None:
    odd = {"type": "auto", "disable_parallel_tool_use": True, "new": 1}
    chat = read({"tool_choice": odd})
    assert (chat.tool_choice, chat.parallel, chat.extra) == (None, None, {"tool_choice": odd})
