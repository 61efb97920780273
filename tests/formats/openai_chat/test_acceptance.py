"""What the format was accepted for: the rules of parts and native forms, and conversations that
survive the round trip."""

import json
from typing import Any

import httpx2
import openai
import pytest

from tests.driving import drive
from tests.formats.openai_chat import THE_LONG_WAY
from tests.formats.openai_chat.test_request import (
    CALL,
    CALLED,
    CUSTOM,
    HI,
    PLAIN,
    PNG,
    SCHEMA,
    body_of,
    message_as,
    own,
    refused,
    request_of,
    seen,
)
from tokenwire.protocols.chat import (
    Chat,
    Message,
    Opaque,
    ReasoningPart,
    RefusalPart,
    TextPart,
    Tool,
    ToolCall,
    as_chat,
)
from tokenwire.protocols.encoding import parts_to_write, tools_to_write
from tokenwire.protocols.errors import LocalProtocolError, Truncated
from tokenwire.protocols.events import (
    End,
    Event,
    Finish,
    Native,
    Reasoning,
    Refusal,
    Start,
    Text,
    ToolCallDelta,
    ToolCallEnd,
    ToolCallStart,
    Unrecognized,
    Usage,
)
from tokenwire.protocols.provider import Provider
from tokenwire.protocols.registry import PROVIDERS
from tokenwire.protocols.reply import Reply
from tokenwire.protocols.service import Service, pair
from tokenwire.server import serve

END = End("terminator")


# 1 Two turns with a tool


def sse(*payloads: Any) -> bytes:
    texts = [p if isinstance(p, str) else json.dumps(p) for p in payloads]
    return b"".join(b"data: %b\n\n" % text.encode() for text in texts)


def delta(said: dict[str, Any], finish: str | None = None, **more: Any) -> dict[str, Any]:
    choice = {"index": 0, "delta": said, "finish_reason": finish}
    return {"id": "gen-1", "model": "m", "choices": [choice], **more}


CALLING = {"tool_calls": [{"index": 0, **CALLED}]}
THINKING = (
    delta({"role": "assistant", "reasoning_content": "I "}),
    delta({"reasoning_content": "must look."}),
    delta(CALLING),
    delta({}, "tool_calls"),
    "[DONE]",
)
SUMMARY = {"type": "reasoning.summary", "format": "openai-responses-v1", "index": 0}
ENCRYPTED = {
    "type": "reasoning.encrypted",
    "data": "gAAAA",
    "format": "openai-responses-v1",
    "id": "rs_1",
    "index": 1,
}
OPENROUTER = (  # a recording, shortened
    delta({"content": "", "reasoning": "I ", "reasoning_details": [{**SUMMARY, "summary": "I "}]}),
    delta({"reasoning": "must.", "reasoning_details": [{**SUMMARY, "summary": "must."}]}),
    delta({"content": "", "reasoning": None, "reasoning_details": [ENCRYPTED]}),
    delta(CALLING),
    delta({}, "tool_calls"),
    "[DONE]",
)


def second_turn(stream: tuple[Any, ...], provider: Provider) -> Any:
    """The assistant's message as the second request has it."""
    chat = Chat(messages=(HI,), model="m", tools=(Tool("f"),))
    reply = drive(provider.exchange(chat), sse(*stream)).succeeded().reply
    chat = chat.then(reply, *(call.result("7") for call in reply.tool_calls))
    _, said, result = body_of(chat, provider)["messages"]
    assert result == {"role": "tool", "content": "7", "tool_call_id": "c1"}
    assert said.pop("tool_calls") == [CALLED]
    assert (said.pop("role"), said.pop("content")) == ("assistant", None)
    return said


def test_two_turns_with_thoughts() -> None:
    provider = PLAIN.replace(history="reasoning_content")
    assert second_turn(THINKING, provider) == {"reasoning_content": "I must look."}
    assert second_turn(THINKING, PLAIN) == {}


def test_two_turns_with_signed_thoughts() -> None:
    provider = PLAIN.replace(history="reasoning_details")
    details = [{**SUMMARY, "summary": "I must."}, ENCRYPTED]
    assert second_turn(OPENROUTER, provider) == {"reasoning_details": details}
    assert second_turn(OPENROUTER, PLAIN) == {}
    # Elsewhere the thought is only text.
    provider = PLAIN.replace(history="reasoning")
    assert second_turn(OPENROUTER, provider) == {"reasoning": "I must."}
    # A thought that is not signed, where details are taken.
    provider = PLAIN.replace(history="reasoning_details")
    unsigned = [{"type": "reasoning.text", "text": "I must look."}]
    assert second_turn(THINKING, provider) == {"reasoning_details": unsigned}


def test_thoughts_that_are_demanded() -> None:
    """In turns with calls, even if there was none (DeepSeek)."""
    provider = PLAIN.replace(history="reasoning_content", history_required=True)
    assert second_turn(THINKING[2:], provider) == {"reasoning_content": ""}
    assert "reasoning_content" not in message_as(Message("assistant", "a"), provider)
    assert second_turn(THINKING[2:], PLAIN.replace(history="reasoning_content")) == {}


def test_an_answer_that_is_nothing_but_private_state() -> None:
    opaque = Opaque(own({"reasoning_details": [ENCRYPTED]}))
    message = Message("assistant", (opaque, TextPart("a")))
    assert message_as(message) == {"role": "assistant", "content": "a"}
    details = PLAIN.replace(history="reasoning_details")
    assert message_as(message, details)["reasoning_details"] == [ENCRYPTED]
    assert "nothing of the assistant message" in refused(Message("assistant", (opaque,)))
    alone = message_as(Message("assistant", (opaque,)), details)
    assert alone == {"role": "assistant", "content": "", "reasoning_details": [ENCRYPTED]}


# 2 Mappings

ODD_PART = {"type": "video_url", "video_url": {"url": "u"}}
ODD_KEY = {"type": "text", "text": "a", "new": 1}
ODD_CALL = {**CALLED, "extra_content": {"google": {"thought_signature": "s"}}}


@pytest.mark.parametrize(
    ("value", "keys"),
    [
        (seen(type="image_url", image_url={"url": PNG, "detail": "low"}), None),
        ({"role": "assistant", "content": "a", "prefix": True}, None),
        (seen(**ODD_PART), "type, video_url"),
        (seen(**ODD_KEY), "type, text, new"),
        ({"role": "user", "content": [ODD_KEY, {"type": "text", "text": "b"}]}, "type, text, new"),
        ({"role": "assistant", "content": None, "tool_calls": [ODD_CALL]}, None),
    ],
)
def test_mappings_are_sent_whole(value: dict[str, Any], keys: str | None) -> None:
    assert message_as(value) == value
    (_, message) = as_chat([HI, value]).messages
    if keys is not None:
        with pytest.raises(LocalProtocolError) as caught:
            list(parts_to_write(message, "anthropic"))
        assert f"which anthropic can't say ({keys})" in str(caught.value)


def test_further_keys_of_a_message_are_refused_by_name_elsewhere() -> None:
    chat = as_chat([HI, {"role": "assistant", "content": "a", "prefix": True}])
    with pytest.raises(LocalProtocolError, match="darkai can't take prefix of a message"):
        PROVIDERS["darkai"].exchange(chat)


# 3 Part numbers


def test_part_numbers_never_go_back() -> None:
    kinds: list[dict[str, Any]] = [
        {"content": "a"},
        {"reasoning": "b"},
        {"refusal": "c"},
        CALLING,
        {"content": "d"},
    ]
    stream = [delta(kind) for kind in (*kinds, *kinds[:3], {"reasoning": "e"})]
    events = drive(PLAIN.exchange(Chat(messages=(HI,), model="m")), sse(*stream, "[DONE]")).events
    parts = [e.part for e in events if isinstance(e, Text | Reasoning | Refusal | ToolCallStart)]
    assert parts == [0, 1, 2, 3, 4, 4, 5, 6, 7]


# 4 The quick path is the slow one

FURTHER: list[dict[str, Any]] = [
    delta({"content": "b", "new": 1}),
    delta({"content": "b", "new": None}),
    delta({"content": "b", "role": "assistant", "refusal": None}),
    delta({"content": "b", "refusal": "no"}),
    delta({"content": "b", "reasoning": "hm"}),
    delta({"content": "b", "reasoning_details": []}),
    delta({"content": "b", "images": []}),
    delta({"content": "", "tool_calls": [{"index": 0, **CALLED}]}),
    delta({"content": None}),
    delta({"content": ["b"]}),
    delta({"content": "b"}, "stop"),
    delta({"content": "b"}, usage={"total_tokens": 1}),
    delta({"content": "b"}, search_results=[{"url": "u"}]),
    delta({"content": "b"}, citations=["u"]),
    delta({"content": "b"}, error={"message": "m"}),
    delta({"content": "b"}, new=1),
    {"choices": [{"index": 1, "delta": {"content": "b"}}]},
    {"choices": [{"delta": {"content": "b"}}]},
    {"choices": [{"index": 0, "delta": {"content": "b"}, "new": 1}]},
    {"choices": [{"index": 0, "delta": {"content": "b"}, "token_ids": [1]}]},
    {"choices": [{"index": 0, "delta": {"content": "b"}, "token_ids": None}]},
    {"choices": [{"index": 0, "delta": {"content": "b"}, "message": {"new": 1}}]},
    {"choices": [{"index": 0, "delta": {"content": "b"}, "logprobs": {"content": []}}]},
    {"choices": [{"index": 0, "delta": {"content": "b"}, "stop_reason": "x"}]},
    {"choices": []},
    {"choices": [*delta({"content": "b"})["choices"], *delta({"content": "c"})["choices"]]},
]


@pytest.mark.parametrize("further", FURTHER, ids=json.dumps)
def test_a_further_key_in_mid_stream(further: dict[str, Any]) -> None:
    plain = [delta({"content": text}) for text in "xyz"]
    for before in ([], [delta({"reasoning": "hm"})]):
        body = sse(*before, *plain, further, *plain, further, *plain, delta({}, "stop"), "[DONE]")
        quick = drive(PLAIN.exchange(as_chat("hi", model="m")), body)
        with THE_LONG_WAY:
            long = drive(PLAIN.exchange(as_chat("hi", model="m")), body)
        assert quick.events[0] == Start("gen-1", "m")
        assert quick.what == long.what


# 5 Usage

SAID: list[Event] = [
    Start("x", "m"),
    Text("a"),
    Usage(1, 2, 3, raw={"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}),
    Finish("stop", "stop"),
    END,
]


def test_usage_is_last() -> None:
    chat = as_chat("hi", model="m")
    got = list(pair(PLAIN.exchange(chat), Service(PLAIN), lambda chat: SAID))
    assert got == SAID
    responder = Service(PLAIN).responder()
    responder.receive_request(request_of(chat, PLAIN))
    chunks = b"".join(map(responder.send, SAID)).decode().split("\n\n")
    *others, last, done, rest = chunks
    assert (done, rest) == ("data: [DONE]", "")
    usage = json.loads(last.removeprefix("data: "))
    assert (usage["choices"], usage["usage"]["total_tokens"]) == ([], 3)
    assert all(json.loads(o.removeprefix("data: "))["usage"] is None for o in others)


def test_the_sdk_has_the_usage() -> None:
    with serve("openai", lambda chat: SAID) as server, httpx2.Client(trust_env=False) as http:
        sdk = openai.OpenAI(base_url=server.url, api_key="k", http_client=http)
        with sdk.chat.completions.stream(
            model="m",
            messages=[{"role": "user", "content": "hi"}],
            stream_options={"include_usage": True},
        ) as stream:
            completion = stream.get_final_completion()
    assert completion.usage is not None
    assert completion.usage.total_tokens == 3
    assert completion.choices[0].message.content == "a"


# The example of the rules: Claude thinks, says a word, and calls a tool

THOUGHT = b'{"type":"thinking","thinking":"The user wants the file.","signature":"EqQF"}'
CLAUDE: list[Event] = [
    Start("msg_1", "claude-sonnet-5"),
    Reasoning("The user wants ", part=0),
    Reasoning("the file.", part=0),
    Native("anthropic", THOUGHT, part=0),
    Text("I will look.", part=1),
    ToolCallStart(0, "toolu_1", "read", part=2),
    ToolCallDelta(0, '{"path": "a.txt"}'),
    ToolCallEnd(0, "toolu_1", "read", '{"path": "a.txt"}', complete=True),
    Finish("tool_use", kind="tool_call"),
    END,
]
READ = {"name": "read", "arguments": '{"path": "a.txt"}'}


def test_the_example() -> None:
    reply = Reply.of(CLAUDE)
    assert reply.message() == Message(
        "assistant",
        (
            ReasoningPart("The user wants the file.", Native("anthropic", THOUGHT)),
            TextPart("I will look."),
            ToolCall("toolu_1", "read", '{"path": "a.txt"}'),
        ),
    )
    chat = Chat(messages=(HI,), model="m")
    chat = chat.then(reply, *(call.result("...") for call in reply.tool_calls))
    assert body_of(chat)["messages"][1:] == [
        {
            "role": "assistant",
            "content": "I will look.",
            "tool_calls": [{"id": "toolu_1", "type": "function", "function": READ}],
        },
        {"role": "tool", "tool_call_id": "toolu_1", "content": "..."},
    ]
    thoughts = PLAIN.replace(history="reasoning_content")
    said = body_of(chat, thoughts)["messages"][1]
    assert said["reasoning_content"] == "The user wants the file."


# The rules


def events_of(*chunks: Any) -> list[Event]:
    return drive(PLAIN.exchange(as_chat("hi", model="m")), sse(*chunks, "[DONE]")).events


def test_rule_1_plain_text_and_calls_have_no_native_form() -> None:
    events = events_of(delta({"content": "a"}), delta({"content": "b"}), delta(CALLING))
    assert [event for event in events if isinstance(event, Native)] == []
    assert [event.part for event in events if isinstance(event, Text)] == [0, 0]
    message = Reply.of(events).message()
    assert message.parts == (TextPart("ab"), CALL)
    assert Reply.of(events_of(delta({"content": "a"}))).message() == Message("assistant", "a")


def test_rule_2_the_kind_draws_the_border() -> None:
    two = {"index": 1, **CALLED, "id": "c2"}
    chunks: list[dict[str, Any]] = [
        {"reasoning": "a"},
        {"content": "b"},
        CALLING,
        {"tool_calls": [two]},
    ]
    chunks += [{"tool_calls": [{"index": 0, "function": {"arguments": " "}}]}, {"reasoning": "c"}]
    events = events_of(*map(delta, chunks))
    begun = [e for e in events if isinstance(e, Text | Reasoning | ToolCallStart)]
    assert [(type(e), e.part) for e in begun] == [
        (Reasoning, 0),
        (Text, 1),
        (ToolCallStart, 2),
        (ToolCallStart, 3),
        (Reasoning, 4),
    ]


def test_rule_3_a_native_form_comes_after_its_part_and_before_the_finish() -> None:
    kinds = [type(event) for event in events_of(*OPENROUTER[:-1])]
    assert kinds == [
        *(Start, Reasoning, Reasoning, ToolCallStart, ToolCallDelta),
        *(Native, ToolCallEnd, Finish, End),
    ]
    cut = drive(PLAIN.exchange(as_chat("hi", model="m")), sse(*OPENROUTER[:-2]))
    cut.refused_by(Truncated)
    assert Native not in map(type, cut.events)


def test_rule_4_a_part_with_a_native_form_is_one_part() -> None:
    reply = Reply.of(events_of(*OPENROUTER[:-1]))
    thought, call = reply.message().parts
    details = [{**SUMMARY, "summary": "I must."}, ENCRYPTED]
    assert thought == ReasoningPart("I must.", thought.native)
    assert thought.native is not None
    assert json.loads(thought.native.raw) == {"reasoning_details": details}
    assert call == CALL
    # Neighbouring texts without a native form are joined.
    assert message_as(Message("assistant", (TextPart("a"), CALL, TextPart("b"))))["content"] == "ab"


FOREIGN = Native("anthropic", b'{"type":"redacted_thinking","data":"AA"}')


def test_rule_5_an_assistants_private_state_of_another_format_is_left_out() -> None:
    cited = TextPart("a", native=Native("anthropic", b'{"type":"text","citations":[1]}'))
    message = Message("assistant", (Opaque(FOREIGN), cited, RefusalPart("no")))
    assert message_as(message) == {"role": "assistant", "content": "a", "refusal": "no"}
    said = refused(Message("assistant", (Opaque(FOREIGN),)))
    assert said == "nothing of the assistant message can be said here: leave it out"


@pytest.mark.parametrize("role", ["user", "system", "tool"])
def test_rule_6_elsewhere_it_is_refused_by_its_keys(role: Any) -> None:
    said = refused(Message(role, (TextPart("a"), Opaque(FOREIGN))))
    assert "which openai_chat can't say (type, data)" in said
    tools = (Opaque(Native("anthropic", b'{"type":"bash_20250124","name":"bash"}')),)
    with pytest.raises(LocalProtocolError, match=r"openai_chat can't say \(type, name\)"):
        body_of(Chat(messages=(HI,), model="m", tools=tools))
    chat = Chat(messages=(HI, Message(role, (TextPart("a"), Opaque(FOREIGN)))), tools=tools)
    assert chat.plain() == Chat(messages=(HI, Message(role, (TextPart("a"),))))
    assert body_of(chat.plain().replace(model="m"))["messages"][1]["content"] == "a"


def test_rule_7_a_tool_that_is_a_mapping() -> None:
    function = {"type": "function", "function": {"name": "f", "parameters": SCHEMA, "new": 1}}
    chat = as_chat("hi", model="m", tools=[function, CUSTOM])
    assert body_of(chat)["tools"] == [function, CUSTOM]
    with pytest.raises(LocalProtocolError, match=r"anthropic can't say \(type, function\)"):
        list(tools_to_write(chat.tools, "anthropic"))


def test_rule_8_a_message_holds_complete_calls_only() -> None:
    half = {"index": 0, "id": "c1", "function": {"name": "f", "arguments": '{"a"'}}
    events = events_of(delta({"content": "a"}), delta({"tool_calls": [half]}), delta({}, "length"))
    assert Reply.of(events).message() == Message("assistant", "a")


def test_rule_9_no_id_is_made_up() -> None:
    nameless = {"tool_calls": [{"index": 0, "function": {"name": "f", "arguments": "{}"}}]}
    reply = Reply.of(events_of(delta(nameless), delta({}, "tool_calls")))
    message = reply.message()
    assert message.tool_calls == (ToolCall("", "f", "{}"),)
    result = reply.tool_calls[0].result("7")
    assert result == Message("tool", "7")
    chat = Chat(messages=(HI,), model="m").then(message, result)
    _, said, answered = body_of(chat)["messages"]
    assert said["tool_calls"][0]["id"] == answered["tool_call_id"] == "call_1_0"


def test_what_is_not_understood_is_handed_on_with_its_place() -> None:
    events = events_of(delta({"content": "a", "audio": {"id": "x"}}))
    assert Unrecognized(b'{"id": "x"}', "choices[0].delta.audio") in events
