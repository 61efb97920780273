"""Each cell of the matrix of requests: its concept is carried, left out and counted, or refused by
name."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.gateway.formats import FORMATS, WRITTEN, ask
from tokenwire.gateway.matrix import COLUMNS, FIELDS, REQUESTS, STOPS, TEMPERATURES
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

PICTURE = ImagePart.of_bytes(b"\x89PNG", "image/png")
PDF = FilePart.of_bytes(b"%PDF", "application/pdf", "a.pdf")
TOOL = Tool("read", "reads", {"type": "object"})
CALL = ToolCall("c1", "read", "{}")


@dataclass(frozen=True)
class Sample:
    """A chat with a concept, and whether a chat has it. `front`: a format in which that can be
    asked; `changes`: of the provider."""

    chat: Chat
    has: Callable[[Chat], bool]
    front: str = "openai_chat"
    changes: dict[str, Any] = field(default_factory=dict[str, Any])


def user(*parts: Part, **options: Any) -> Chat:
    return Chat(messages=(Message("user", (TextPart("hi"), *parts)),), **options)


def history(*parts: Part, **fields: Any) -> Chat:
    """A chat in which the assistant has said `parts`."""
    said = Message("assistant", (TextPart("so"), *parts), **fields)
    return Chat(messages=(Message("user", "hi"), said, Message("user", "go on")))


def results(*parts: Part, call: ToolCall = CALL, **fields: Any) -> Chat:
    """A chat in which a tool was called."""
    result = Message("tool", (TextPart("found"), *parts), tool_call_id=call.id, **fields)
    called = Message("assistant", (call,))
    return Chat(messages=(Message("user", "hi"), called, result), tools=(TOOL,))


def option(name: str, value: Any, **more: Any) -> Sample:
    return Sample(user(**{name: value}, **more), lambda chat: getattr(chat, name) == value)


def parts_of(chat: Chat) -> list[Part]:
    return [part for message in chat.messages for part in message.parts]


def with_part(chat: Chat, part: Part, front: str = "openai_chat") -> Sample:
    return Sample(chat, lambda told: part in parts_of(told), front)


def roles(chat: Chat) -> list[str]:
    return [message.role for message in chat.messages]


NAMELESS = ToolCall("", "read", "{}")
LATE = Chat(
    messages=(Message("user", "hi"), Message("system", "be brief"), Message("user", "go on"))
)
OWN = Opaque(Native("openai_chat", b'{"type":"web_search"}'))
REMOTE = ImagePart("https://x.test/1.png")
TEXT = FilePart.of_bytes(b"a,b", "text/csv", "a.csv")

SAMPLES: dict[str, Sample] = {
    "model": option("model", "m"),
    "stream": option("stream", False),
    "system": Sample(
        Chat(messages=(Message("developer", "be brief"), Message("user", "hi"))),
        lambda chat: roles(chat) == ["developer", "user"],
    ),
    "system_midway": Sample(LATE, lambda chat: roles(chat) == ["user", "system", "user"]),
    "empty_message": Sample(
        Chat(messages=(Message("user", "hi"), Message("assistant"), Message("user", "go on"))),
        lambda chat: len(chat.messages) == 3,
    ),
    "text": with_part(user(TextPart("more")), TextPart("more")),
    "image": with_part(user(PICTURE), PICTURE),
    "image_type": with_part(
        user(ImagePart.of_bytes(b"II", "image/tiff")), ImagePart.of_bytes(b"II", "image/tiff")
    ),
    "image_address": with_part(user(REMOTE), REMOTE),
    "image_detail": Sample(
        user(ImagePart(PICTURE.url, "low")),
        lambda chat: ImagePart(PICTURE.url, "low") in parts_of(chat),
    ),
    "image_said": with_part(history(PICTURE), PICTURE, "gemini"),
    "document": with_part(user(PDF), PDF),
    "documents": Sample(
        user(TEXT), lambda chat: any(isinstance(part, FilePart) for part in parts_of(chat))
    ),
    "document_type": with_part(
        user(FilePart.of_bytes(b"d", "application/msword")),
        FilePart.of_bytes(b"d", "application/msword"),
    ),
    "document_address": with_part(
        user(FilePart("https://x.test/a.pdf", "application/pdf")),
        FilePart("https://x.test/a.pdf", "application/pdf"),
        "anthropic",
    ),
    "audio": with_part(
        user(FilePart.of_bytes(b"RIFF", "audio/wav")), FilePart.of_bytes(b"RIFF", "audio/wav")
    ),
    "video": with_part(
        user(FilePart.of_bytes(b"v", "video/mp4")), FilePart.of_bytes(b"v", "video/mp4"), "gemini"
    ),
    "media_address": with_part(
        user(FilePart("https://x.test/a.mp3", "audio/mpeg")),
        FilePart("https://x.test/a.mp3", "audio/mpeg"),
        "gemini",
    ),
    "media_name": with_part(
        user(FilePart.of_bytes(b"RIFF", "audio/wav", "a.wav")),
        FilePart.of_bytes(b"RIFF", "audio/wav", "a.wav"),
        "gemini",
    ),
    "refusal": with_part(history(RefusalPart("no")), RefusalPart("no")),
    "reasoning": Sample(
        history(ReasoningPart("I see")),
        lambda chat: ReasoningPart("I see") in parts_of(chat),
        changes={"history": "reasoning_content"},
    ),
    "opaque": Sample(
        history(Opaque(Native("openai_chat", b'{"audio":{"id":"a"}}'))),
        lambda chat: any(part.native is not None for part in parts_of(chat)),
    ),
    "call": with_part(results(), CALL),
    "call_id": with_part(results(), CALL),
    "call_arguments": with_part(
        results(call=ToolCall("c1", "read", "[1]")), ToolCall("c1", "read", "[1]")
    ),
    "custom_call": with_part(
        results(call=ToolCall("c1", "read", "any", custom=True)),
        ToolCall("c1", "read", "any", custom=True),
    ),
    "tools": option("tools", (TOOL,)),
    "own_tools": Sample(user(tools=(TOOL, OWN)), lambda chat: len(chat.tools) == 2),
    "strict": option("tools", (Tool("read", strict=True),)),
    "tool_choice": option("tool_choice", "required", tools=(TOOL,)),
    "tool_choice_none": Sample(
        results().replace(tool_choice="none"), lambda chat: chat.tool_choice == "none"
    ),
    "parallel": option("parallel", False, tools=(TOOL,)),
    "failed": Sample(results(failed=True), lambda chat: chat.messages[-1].failed),
    "result_images": Sample(
        results(PICTURE), lambda chat: PICTURE in chat.messages[2].parts, "anthropic"
    ),
    "result_files": Sample(results(PDF), lambda chat: PDF in chat.messages[2].parts, "anthropic"),
    "result_name": Sample(
        Chat(messages=(Message("user", "hi"), Message("tool", "4", name="read"))),
        lambda chat: chat.messages[-1].name == "read",
    ),
    "name": Sample(
        Chat(messages=(Message("user", "hi", name="ann"),)),
        lambda chat: chat.messages[0].name == "ann",
    ),
    "prefix": Sample(
        history(extra={"prefix": True}), lambda chat: chat.messages[1].extra == {"prefix": True}
    ),
    "max_tokens": option("max_tokens", 5),
    "temperature": option("temperature", 0.5),
    "top_p": option("top_p", 0.5),
    "top_k": option("top_k", 5, model="us.anthropic.claude"),
    "stop": option("stop", ("a", "b")),
    "seed": option("seed", 5),
    "n": option("n", 2),
    "presence_penalty": option("presence_penalty", 0.5),
    "frequency_penalty": option("frequency_penalty", 0.5),
    "logprobs": option("logprobs", 0),
    "schema": option("schema", {"type": "object"}),
    "json_mode": option("schema", {}),
    "schema_with_tools": option("schema", {"type": "object"}, tools=(TOOL,)),
    "effort": option("effort", "high"),
    "effort_from_budget": Sample(
        user(extra={"thinking": {"type": "enabled", "budget_tokens": 9000}}),
        lambda chat: "thinking" in chat.extra,
        "anthropic",
    ),
    "cache": Sample(
        user(TextPart("more", cache="1h")),
        lambda chat: TextPart("more", cache="1h") in parts_of(chat),
        changes={"cache_marks": True},
    ),
    "hints": Sample(user(extra={"verbosity": "low"}), lambda chat: "verbosity" in chat.extra),
    "unknown": Sample(user(extra={"x_new": 1}), lambda chat: "x_new" in chat.extra),
}
"""By row."""

NOT_IN_THE_ENCODER = {("audio", "ollama")}
"""What a format has, and its client half here can't say."""
NOT_OF_THE_WEB = {("document_address", "bedrock"), ("media_address", "bedrock")}
"""Where an address is one of the vendor's own."""


def cells(rules: str) -> list[Any]:
    return [
        pytest.param(name, back, id=f"{name}-{back}")
        for name, row in REQUESTS.items()
        for back in COLUMNS
        if row.rules[back] in rules and SAMPLES[name].front != back
        if not (name == "cache" and back == "openai_chat")
    ]


def told(name: str, back: str, *allow: str) -> tuple[Chat, tuple[str, ...]]:
    sample = SAMPLES[name]
    found = ask(sample.chat, sample.front, back, *allow, **sample.changes)
    return found.chat, found.losses


def test_each_row_has_a_sample() -> None:
    assert SAMPLES.keys() == REQUESTS.keys()


@pytest.mark.parametrize(("name", "back"), cells("="))
def test_what_can_be_said_is(name: str, back: str) -> None:
    if (name, back) in NOT_IN_THE_ENCODER | NOT_OF_THE_WEB:
        with pytest.raises(BadRequest):
            told(name, back)
        return
    chat, losses = told(name, back)
    assert SAMPLES[name].has(chat)
    assert name not in losses


@pytest.mark.parametrize(("name", "back"), cells("-"))
def test_what_may_be_left_out_is_counted(name: str, back: str) -> None:
    if name == "media_name" and back in ("anthropic", "ollama", "cohere"):
        with pytest.raises(BadRequest):  # as the audio itself
            told(name, back)
        return
    chat, losses = told(name, back)
    assert name in losses
    assert name == "failed" or not SAMPLES[name].has(chat)


@pytest.mark.parametrize(("name", "back"), cells("?"))
def test_what_may_be_lost_must_be_allowed(name: str, back: str) -> None:
    with pytest.raises(BadRequest) as caught:
        told(name, back, "nothing")
    assert caught.value.status == 400
    said = str(caught.value)
    assert f"can't be translated from {SAMPLES[name].front} to {back}" in said
    named, _, rest = said.partition(":")
    assert named
    allow = rest.rpartition('allow = ["')[2].partition('"')[0]
    chat, losses = told(name, back, allow)
    assert name in losses
    assert not SAMPLES[name].has(chat)


@pytest.mark.parametrize(("name", "back"), cells("x"))
def test_what_can_not_be_said_is_refused(name: str, back: str) -> None:
    with pytest.raises(BadRequest, match=r"^[a-zA-Z_.]+: .*can't be translated") as caught:
        told(name, back, *REQUESTS)
    assert caught.value.status == 400
    assert "the operator may allow" not in str(caught.value)


@pytest.mark.parametrize("back", WRITTEN)
@pytest.mark.parametrize("name", SAMPLES)
def test_the_encoder_takes_what_is_translated(name: str, back: str) -> None:
    try:
        chat, _ = told(name, back, *REQUESTS, "x_new")
    except BadRequest:
        return
    provider = FORMATS[back].replace(**SAMPLES[name].changes)
    exchange = provider.exchange(chat.replace(model=chat.model or "m"), base_url="http://x.test")
    assert exchange.next_request() is not None


@pytest.mark.parametrize("name", [name for name in SAMPLES if name not in ("model", "stream")])
def test_between_a_format_and_itself_nothing_is_judged(name: str) -> None:
    sample = SAMPLES[name]
    found = ask(sample.chat, sample.front, sample.front, **sample.changes)
    assert sample.has(found.chat)
    assert found.losses == ()


@pytest.mark.parametrize("back", COLUMNS)
def test_an_option_is_named_in_the_words_of_the_caller(back: str) -> None:
    chat = Chat(messages=(Message("user", "hi"),), stop=("a",) * 9, temperature=9)
    for name, limits in (("stop", STOPS), ("temperature", TEMPERATURES)):
        if back not in limits:
            continue
        alone = Chat(messages=chat.messages, **{name: getattr(chat, name)})
        for front in COLUMNS:
            if front != back:
                with pytest.raises(BadRequest) as caught:
                    ask(alone, front, back)
                assert str(caught.value).startswith(f"{FIELDS[name].get(front, name)}: ")
