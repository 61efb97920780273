"""The default answer, by every provider, through both halves of its dialect."""

import random
import struct
import zlib
from typing import Any

import msgspec
import pytest

from tests.subjects import EACH_FORMAT
from tokenwire.protocols import echo as module
from tokenwire.protocols.chat import (
    Chat,
    ImagePart,
    Message,
    TextPart,
    Tool,
    ToolCall,
    as_chat,
)
from tokenwire.protocols.echo import echo, picture
from tokenwire.protocols.errors import BadRequest
from tokenwire.protocols.events import (
    End,
    Event,
    Finish,
    Image,
    LogProbs,
    Start,
    Text,
    TokenLogProb,
    ToolCallDelta,
    ToolCallEnd,
    ToolCallStart,
    Usage,
)
from tokenwire.protocols.registry import PROVIDERS
from tokenwire.protocols.reply import Reply
from tokenwire.protocols.service import Service, pair

QUESTION = "What is the  weather in Zürich?\nAnd in Oslo?"
WEATHER = Tool("weather", "tells the weather")
TIME = Tool("time")


def said(provider: str, chat: Chat) -> list[Event]:
    """What the answer function says."""
    return list(echo(PROVIDERS[provider])(chat))


def heard(provider: str, chat: Chat) -> Reply:
    """What a client hears of it."""
    service = Service(PROVIDERS[provider])
    exchange = PROVIDERS[provider].exchange(
        chat, base_url="http://localhost", random=random.Random(1)
    )
    return Reply.of(pair(exchange, service, echo(PROVIDERS[provider])))


@pytest.mark.parametrize("provider", EACH_FORMAT)
def test_every_provider_hands_the_question_back(provider: str) -> None:
    reply = heard(provider, as_chat(QUESTION, model=PROVIDERS[provider].default_model or "m-1"))
    question = QUESTION.replace("\n", " ") if provider == "aichats" else QUESTION
    model = PROVIDERS[provider].default_model or "m-1"
    assert reply.text == f"{provider} {model} was asked: {question}"
    known = {"aichats": "body_end", "aichatonline": "body_end", "gemini": "finish"}
    assert reply.evidence == known.get(provider, "terminator")


@pytest.mark.parametrize("provider", EACH_FORMAT)
def test_a_word_an_event(provider: str) -> None:
    texts = [e.text for e in said(provider, as_chat("a  b\tc ")) if isinstance(e, Text)]
    assert texts[-5:] == ["was ", "asked: ", "a  ", "b\t", "c "]


def test_the_same_chat_gets_the_same_answer() -> None:
    assert said("openai", as_chat("hi", n=2)) == said("openai", as_chat("hi", n=2))


def test_a_question_may_be_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LONGEST", len("openai m-1 was asked: hi"))
    for n in (None, 1):
        assert said("openai", as_chat("hi", model="m-1", n=n))
    for question, n in (("hi!", None), ("hi", 2)):
        with pytest.raises(BadRequest) as caught:
            said("openai", as_chat(question, model="m-1", n=n))
        error = caught.value
        assert (error.status, error.code) == (400, "context_length_exceeded")
        assert error.message == "the question is too long for this"


def test_no_text_is_too_strange() -> None:
    half = "\ud83d"
    assert said("openai", as_chat(half, model="m-1"))[5] == Text(half)
    assert isinstance(said("aichats", as_chat(half, model="dalle"))[0], Image)


def test_what_a_completion_is_made_of() -> None:
    assert said("openai", as_chat("hi", model="m-1")) == [
        Start("", "m-1"),
        *map(Text, ("openai ", "m-1 ", "was ", "asked: ", "hi")),
        Usage(input_tokens=1, output_tokens=5, total_tokens=6),
        Finish("stop", "stop"),
        End("terminator"),
    ]


@pytest.mark.parametrize("stream", [True, False])
def test_all_choices_come(stream: bool) -> None:
    reply = heard("openai", as_chat("hi", model="m-1", n=3, stream=stream))
    assert sorted(reply.choices) == [0, 1, 2]
    assert {c.text for c in reply.choices.values()} == {"openai m-1 was asked: hi"}
    assert {c.finish_reason for c in reply.choices.values()} == {"stop"}
    assert reply.usage is not None
    assert reply.usage.output_tokens == 15


@pytest.mark.parametrize(
    ("question", "options", "name"),
    [
        ("hello", {"tool_choice": "required"}, "weather"),
        ("the time, please", {"tool_choice": "required"}, "time"),
        ("hello", {"tool_choice": "time"}, "time"),
        ("the time, please", {"tool_choice": "weather"}, "weather"),
        ("the time, please", {"tool_choice": "auto"}, "time"),
        ("the weather, please", {}, "weather"),
    ],
)
def test_a_tool_is_called(question: str, options: dict[str, Any], name: str) -> None:
    chat = as_chat(question, model="m-1", tools=(WEATHER, TIME), **options)
    arguments = msgspec.json.encode({"question": question}).decode()
    middle = len(arguments) // 2
    assert said("openai", chat)[1:-3] == [
        ToolCallStart(0, "call_0", name),
        ToolCallDelta(0, arguments[:middle]),
        ToolCallDelta(0, arguments[middle:]),
        Usage(
            input_tokens=len(question.split()),
            output_tokens=len(arguments.split()),
            total_tokens=len(question.split()) + len(arguments.split()),
        ),
    ]
    assert said("openai", chat)[-3:] == [
        ToolCallEnd(0, "call_0", name, arguments, True),
        Finish("tool_calls", "tool_call"),
        End("terminator"),
    ]
    (call,) = heard("openai", chat).tool_calls
    assert (call.name, call.arguments, call.complete) == (name, arguments, True)


CITY = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": "integer", "minimum": 2}},
    "required": ["city", "days"],
}


def test_arguments_fit_the_tools_schema() -> None:
    chat = as_chat("hi", model="m-1", tools=(Tool("weather", parameters=CITY),))
    (call,) = heard("openai", chat.replace(tool_choice="weather")).tool_calls
    assert msgspec.json.decode(call.arguments) == {"city": "hi", "days": 2}


@pytest.mark.parametrize("schema", [{"type": "string"}, {"type": "odd"}, {"enum": [1]}])
def test_arguments_are_an_object_whatever_the_schema_says(schema: Any) -> None:
    chat = as_chat("hi", model="m-1", tools=(Tool("f", parameters=schema),), tool_choice="f")
    (call,) = heard("openai", chat).tool_calls
    assert (msgspec.json.decode(call.arguments), call.complete) == ({"question": "hi"}, True)


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        (CITY, {"city": "hi", "days": 2}),
        ({}, {"question": "hi"}),
        ({"type": "object"}, {"question": "hi"}),
        ({"type": "object", "additionalProperties": False}, {}),
        ({"type": "string"}, "hi"),
        ({"enum": [1]}, 1),
    ],
)
def test_json_is_answered_where_it_is_demanded(schema: Any, value: Any) -> None:
    for stream in (True, False):
        reply = heard("openai", as_chat("hi", model="m-1", schema=schema, stream=stream))
        assert msgspec.json.decode(reply.text) == value


@pytest.mark.parametrize("provider", ["openai", "anthropic"])
def test_stop_sequences_end_the_answer(provider: str) -> None:
    chat = as_chat("hi", model="m-1", stop=("asked", "hi", "was"))
    reply = heard(provider, chat)
    assert reply.text == f"{provider} m-1 "
    assert [e.detail for e in said(provider, chat) if isinstance(e, Finish)] == ["was"]
    assert heard(provider, chat.replace(stop=("never",))).text == f"{provider} m-1 was asked: hi"
    assert Reply.of(said(provider, chat.replace(stop=(" ",)))).text == provider  # the first one
    nothing = Reply.of(said(provider, chat.replace(stop=(provider,))))
    assert nothing.text == ""
    assert nothing.usage is not None
    assert nothing.usage.output_tokens == 0


@pytest.mark.parametrize(
    ("provider", "reason"),
    [
        ("openai", "stop"),
        ("anthropic", "stop_sequence"),
        ("bedrock", "stop_sequence"),
        ("cohere", "STOP_SEQUENCE"),
    ],
)
def test_a_stop_sequence_is_told_where_the_format_has_a_word(provider: str, reason: str) -> None:
    for stream in (True, False):
        chat = as_chat("hi", model="m-1", stop=("asked",), stream=stream)
        assert heard(provider, chat).finish_reason == reason
    assert heard(provider, as_chat("hi", model="m-1")).finish_reason != "stop_sequence"


@pytest.mark.parametrize("provider", ["openai", "anthropic"])
def test_words_are_counted_as_tokens(provider: str) -> None:
    chat = as_chat("hi", model="m-1", max_tokens=2)
    reply = heard(provider, chat)
    assert reply.text == f"{provider} m-1 "
    [finish] = [e for e in said(provider, chat) if isinstance(e, Finish)]
    assert (finish.kind, finish.detail) == ("length", "")
    assert reply.finish_reason == {"openai": "length", "anthropic": "max_tokens"}[provider]
    assert heard(provider, chat.replace(max_tokens=5)).finish_reason in ("stop", "end_turn")


@pytest.mark.parametrize("alternatives", [0, 1, 2])
def test_each_word_is_certain(alternatives: int) -> None:
    chat = as_chat("\u00fc", model="m-1", logprobs=alternatives, n=2)
    logprobs = heard("openai", chat).choices[1].logprobs
    tokens = [token for event in logprobs for token in event.tokens]
    assert [token.token for token in tokens] == ["openai ", "m-1 ", "was ", "asked: ", "\u00fc"]
    assert (tokens[-1].logprob, tokens[-1].bytes) == (0.0, [0xC3, 0xBC])
    likeliest = [TokenLogProb("\u00fc", 0.0, [0xC3, 0xBC])]
    assert tokens[-1].top_logprobs == likeliest[:alternatives]


def test_of_half_a_character_the_bytes_are_a_question_mark() -> None:
    events = said("openai", as_chat("\ud83d", model="m-1", logprobs=0))
    assert [e.tokens[0].bytes for e in events if isinstance(e, LogProbs)][-1] == [63]


def test_a_call_has_no_detail_and_needs_a_format_that_has_calls() -> None:
    chat = as_chat("hi", model="m-1", tools=(WEATHER,), tool_choice="weather")
    [finish] = [e for e in said("openai", chat) if isinstance(e, Finish)]
    assert (finish.kind, finish.detail) == ("tool_call", "")
    assert Reply.of(said("aichatonline", chat)).text.endswith("was asked: hi")


def test_each_choice_calls_the_tool() -> None:
    chat = as_chat("hi", model="m-1", tools=(WEATHER,), tool_choice="required", n=2)
    indexes = [
        event.index
        for event in said("openai", chat)
        if isinstance(event, ToolCallStart | ToolCallDelta | ToolCallEnd)
    ]
    assert indexes == [0, 0, 0, 1, 1, 1, 0, 1]
    reply = heard("openai", chat)
    ids = [call.id for choice in reply.choices.values() for call in choice.tool_calls]
    assert ids == ["call_0", "call_1"]
    assert {c.finish_reason for c in reply.choices.values()} == {"tool_calls"}


@pytest.mark.parametrize(
    "options",
    [
        {"tools": (WEATHER,)},
        {"tools": (WEATHER,), "tool_choice": "none"},
        {"tools": (TIME,), "tool_choice": "weather"},
        {"tool_choice": "required"},
    ],
)
def test_no_tool_is_called(options: dict[str, Any]) -> None:
    question = "the weather" if options.get("tool_choice") == "none" else "hello"
    reply = heard("openai", as_chat(question, model="m-1", **options))
    assert reply.tool_calls == []
    assert reply.finish_reason == "stop"


def test_a_tools_result_is_handed_back_and_not_asked_for_again() -> None:
    messages = (
        Message("user", "the weather?"),
        Message("assistant", (ToolCall("call_0", "weather", "{}"),)),
        Message("tool", "rain", tool_call_id="call_0"),
    )
    chat = Chat(messages=messages, model="m-1", tools=(WEATHER,), tool_choice="required")
    reply = heard("openai", chat)
    assert reply.text == "openai m-1 was asked: the weather? (the tool said: rain)"
    assert reply.finish_reason == "stop"


def test_the_last_users_message_is_the_question() -> None:
    messages = (Message("user", "one"), Message("user", "two"), Message("assistant", "three"))
    assert heard("openai", Chat(messages=messages, model="m")).text == "openai m was asked: two"


def test_a_chat_without_a_users_message_has_no_question() -> None:
    chat = Chat(messages=(Message("system", "one"),), model="m")
    assert heard("openai", chat).text == "openai m was asked: "


def test_pictures_in_the_question_are_passed_over() -> None:
    parts = (TextPart("what is "), ImagePart("https://example.com/1.png"), TextPart("this?"))
    chat = Chat(messages=(Message("user", parts),), model="m")
    assert heard("openai", chat).text == "openai m was asked: what is this?"


def test_dalle_draws() -> None:
    assert said("aichats", as_chat("a cat", model="dalle")) == [
        Image(picture("a cat"), "image/png", prompt="a cat"),
        End("body_end"),
    ]
    (image,) = heard("aichats", as_chat("a cat", model="dalle")).images
    assert (image.data, image.media_type, image.prompt) == (picture("a cat"), "image/png", "a cat")


def test_the_picture_is_a_png() -> None:
    data = picture("a cat")
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    chunks: dict[bytes, bytes] = {}
    at = 8
    while at < len(data):
        size, kind = struct.unpack(">I4s", data[at : at + 8])
        chunks[kind] = data[at + 8 : at + 8 + size]
        (checksum,) = struct.unpack(">I", data[at + 8 + size : at + 12 + size])
        assert checksum == zlib.crc32(kind + chunks[kind])
        at += 12 + size
    assert list(chunks) == [b"IHDR", b"IDAT", b"IEND"]
    assert struct.unpack(">IIBBBBB", chunks[b"IHDR"]) == (64, 64, 8, 2, 0, 0, 0)
    assert chunks[b"IEND"] == b""
    rows = zlib.decompress(chunks[b"IDAT"])
    assert len(rows) == 64 * (1 + 64 * 3)
    assert not any(rows[:: 1 + 64 * 3])


COLOURS = {"a cat": (163, 93, 156), "x": (140, 220, 22), "\ud83d": (100, 100, 194)}


def pixel(data: bytes, x: int, y: int) -> tuple[int, int, int]:
    """Red, green and blue."""
    start = data.index(b"IDAT") + 4
    rows = zlib.decompressobj().decompress(data[start:])
    red, green, blue = rows[y * 193 + 1 + 3 * x :][:3]
    return red, green, blue


def test_the_picture_is_a_gradient_of_colours_that_the_prompt_chooses() -> None:
    """Red grows to the right, green downwards, both by 4 and from 255 on to 0."""
    for prompt, (red, green, blue) in COLOURS.items():
        data = picture(prompt)
        for x, y in ((0, 0), (1, 0), (0, 1), (63, 2), (5, 63)):
            assert pixel(data, x, y) == ((red + 4 * x) & 255, (green + 4 * y) & 255, blue)


def test_pictures_of_different_prompts_differ() -> None:
    assert picture("a cat") == picture("a cat")
    assert picture("a cat") != picture("a dog")
