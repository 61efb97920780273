"""Replies: the fold of an answer's events, and the message that continues the conversation."""

import pytest

from tokenwire.protocols.chat import (
    ImagePart,
    Message,
    Opaque,
    Part,
    ReasoningPart,
    RefusalPart,
    TextPart,
    ToolCall,
)
from tokenwire.protocols.errors import Malformed
from tokenwire.protocols.events import (
    Citation,
    End,
    Event,
    Finish,
    Image,
    LogProbs,
    Native,
    Reasoning,
    Refusal,
    Start,
    Text,
    TokenLogProb,
    ToolCallDelta,
    ToolCallEnd,
    ToolCallStart,
    Unrecognized,
    Usage,
)
from tokenwire.protocols.reply import Choice, CollectedToolCall, Reply

IMAGE = Image(b"x", "image/png")
LOGPROBS = LogProbs([TokenLogProb("a", -1)])
EVENTS: list[Event] = [
    Start("id-1", "model-1"),
    Reasoning("h"),
    Reasoning("m"),
    Text("a", part=1),
    Text("other", index=1),
    Text("b", part=1),
    LOGPROBS,
    Refusal("n", part=2),
    Refusal("o", part=2),
    Image(b"x", "image/png", part=3),
    ToolCallStart(0, "c0", "add", part=4),
    ToolCallStart(1, "c1", "sub", part=5),
    ToolCallDelta(0, '{"x"'),
    ToolCallDelta(1, "{"),
    ToolCallDelta(0, ": 1}"),
    Citation("https://a"),
    Citation("https://b", "B"),
    Unrecognized(b"?"),
    Usage(1, 1),
    Usage(1, 2),
    ToolCallEnd(0, "c0", "add", '{"x": 1}', complete=True),
    Finish("tool_calls", "tool_call"),
    Finish("length", "length", index=1),
    End("terminator"),
]


def test_everything_is_folded() -> None:
    reply = Reply.of(EVENTS)
    assert (reply.id, reply.model, reply.evidence) == ("id-1", "model-1", "terminator")
    assert (reply.text, reply.reasoning, reply.refusal) == ("ab", "hm", "no")
    assert (reply.finish_reason, reply.finish_kind) == ("tool_calls", "tool_call")
    assert reply.images == [Image(b"x", "image/png", part=3)]
    assert reply.usage == Usage(1, 2)
    assert reply.citations == [Citation("https://a"), Citation("https://b", "B")]
    assert reply.unrecognized == [Unrecognized(b"?")]
    assert reply.choices[0].logprobs == [LOGPROBS]
    other = reply.choices[1]
    assert (other.text, other.finish_reason, other.finish_kind) == ("other", "length", "length")


def test_tool_calls() -> None:
    whole, begun = Reply.of(EVENTS).tool_calls
    assert (whole.id, whole.name, whole.arguments, whole.complete) == (
        "c0",
        "add",
        '{"x": 1}',
        True,
    )
    assert (begun.id, begun.name, begun.arguments, begun.complete) == ("c1", "sub", "{", False)
    assert repr(whole) == "<add({\"x\": 1}) id='c0' complete=True>"


def test_the_end_of_a_call_says_all_of_its_arguments() -> None:
    call = CollectedToolCall("", "")
    call.add(ToolCallDelta(0, "null"))
    call.add(ToolCallEnd(0, "c", "f", "{}", complete=True, custom=True))
    assert (call.id, call.name, call.arguments, call.complete, call.custom) == (
        *("c", "f", "{}", True, True),
    )


def test_a_call_is_of_a_choice_and_plain_unless_that_is_said() -> None:
    assert not CollectedToolCall("c", "f").custom
    assert Choice().index == 0
    choice = Reply.of([ToolCallStart(0, "c", "f", custom=True, index=2)]).choices[2]
    assert (choice.index, choice.tool_calls[0].custom) == (2, True)


def test_the_events_of_a_choice_are_its_own() -> None:
    events: list[Event] = [
        Reasoning("r", index=2),
        Text("t", 1, index=2),
        Refusal("n", 2, index=2),
        ToolCallStart(0, "c", "f", True, 3, index=2),
        ToolCallDelta(0, "{", index=2),
    ]
    assert list(Reply.of(events).choices[2].events()) == events


def test_a_call_whose_start_is_missing() -> None:
    (call,) = Reply.of([ToolCallDelta(0, "{")]).tool_calls
    assert (call.id, call.name, call.arguments, call.complete) == ("", "", "{", False)


def test_the_result_of_a_call() -> None:
    call = CollectedToolCall("c1", "add")
    assert call.result("3") == Message("tool", "3", tool_call_id="c1")
    parts = [TextPart("3")]
    assert call.result(parts, failed=True) == Message(
        "tool", (TextPart("3"),), tool_call_id="c1", failed=True
    )


def test_an_empty_reply_stays_empty_when_it_is_read() -> None:
    reply = Reply()
    assert (reply.text, reply.reasoning, reply.refusal) == ("", "", "")
    assert (reply.images, reply.tool_calls, reply.citations) == ([], [], [])
    assert (reply.finish_reason, reply.finish_kind) == (None, "")
    assert (reply.usage, reply.evidence, reply.request_id) == (None, None, None)
    assert (reply.id, reply.model) == ("", "")
    assert reply.message() == Message("assistant")
    assert reply.choices == {}


@pytest.mark.parametrize("size", range(len(EVENTS)))
def test_a_truncated_reply_proves_nothing(size: int) -> None:
    reply = Reply.of(EVENTS[:size])
    assert reply.evidence is None
    assert "ab".startswith(reply.text)


def test_repr_is_short() -> None:
    assert repr(Reply.of([Text("x" * 1000), Finish("stop", "stop"), End("finish")])) == (
        f"<Reply {'x' * 60!r} finish_reason=stop evidence=finish>"
    )


def test_an_error_can_hold_what_had_come() -> None:
    error = Malformed("no")
    error.answer = Reply.of([Text("a")])
    assert error.answer.text == "a"


# The message


def native(raw: bytes, part: int = 0) -> Native:
    return Native("anthropic", raw, part=part)


THOUGHT = b'{"type":"thinking","thinking":"The user wants the file.","signature":"EqQF"}'
CLAUDE: list[Event] = [
    Start("msg_1", "claude-sonnet-5"),
    Reasoning("The user wants ", part=0),
    Reasoning("the file.", part=0),
    native(THOUGHT),
    Text("I will look.", part=1),
    ToolCallStart(0, "toolu_1", "read", part=2),
    ToolCallDelta(0, '{"path": "a.txt"}'),
    ToolCallEnd(0, "toolu_1", "read", '{"path": "a.txt"}', complete=True),
    Finish("tool_use", kind="tool_call"),
    End("terminator"),
]


def test_a_signed_thought_a_word_and_a_call() -> None:
    assert Reply.of(CLAUDE).message() == Message(
        "assistant",
        (
            ReasoningPart("The user wants the file.", native=native(THOUGHT)),
            TextPart("I will look."),
            ToolCall("toolu_1", "read", '{"path": "a.txt"}'),
        ),
    )
    assert Reply.of(CLAUDE).choices[0].natives == [native(THOUGHT)]


def call(part: int, *, complete: bool = True, custom: bool = False) -> list[Event]:
    return [
        ToolCallStart(0, "c", "f", custom, part),
        ToolCallEnd(0, "c", "f", "{}", complete, custom),
    ]


A, B = b'{"a":1}', b'{"b":1}'
MESSAGES: dict[str, tuple[list[Event], tuple[Part, ...] | str]] = {
    "text alone is text": ([Text("a"), Text("b")], "ab"),
    "texts of several parts stay parts": (
        [Text("a"), Text("b", part=1)],
        (TextPart("a"), TextPart("b")),
    ),
    "parts are in the order of their numbers": (
        [Text("b", part=1), Reasoning("a", part=0), Text("c", part=1)],
        (ReasoningPart("a"), TextPart("bc")),
    ),
    "a native form makes of a part one part": (
        [Text("a"), Refusal("b"), native(A)],
        (TextPart("ab", native=native(A)),),
    ),
    "a refusal in its own form": (
        [Refusal("b"), native(A)],
        (RefusalPart("b", native(A)),),
    ),
    "a thought in its own form, whose text is hidden": (
        [Reasoning(""), native(A)],
        (ReasoningPart("", native(A)),),
    ),
    "text and thought of one part in its own form": (
        [Reasoning("a"), Text("b"), native(A)],
        (ReasoningPart("a", native(A)),),
    ),
    "only the native form: an opaque part": (
        [Text("a"), native(A, 1), Text("b", part=2)],
        (TextPart("a"), Opaque(native(A)), TextPart("b")),
    ),
    "a native form before the events of its part": (
        [native(A), Text("a")],
        (TextPart("a", native=native(A)),),
    ),
    "without a native form each kind is a part": (
        [Refusal("c"), Text("b"), Reasoning("a")],
        (ReasoningPart("a"), TextPart("b"), RefusalPart("c")),
    ),
    "a thought without text is none": ([Reasoning(""), Text("a", part=1)], "a"),
    "a picture": (
        [Text("a"), Image(b"\0", "image/png", part=1)],
        (TextPart("a"), ImagePart("data:image/png;base64,AA==")),
    ),
    "a picture in its own form": (
        [Image(b"\0", "image/png"), native(A)],
        (ImagePart("data:image/png;base64,AA==", native=native(A)),),
    ),
    "two pictures of one part in its own form": (
        [Image(b"\0", "image/png"), Image(b"\1", "image/png"), native(A)],
        (ImagePart("data:image/png;base64,AA==", native=native(A)),),
    ),
    "two pictures of one part": (
        [Image(b"\0", "image/png"), Image(b"\1", "image/png")],
        (ImagePart("data:image/png;base64,AA=="), ImagePart("data:image/png;base64,AQ==")),
    ),
    "a call": (call(0), (ToolCall("c", "f", "{}"),)),
    "a custom call": (call(0, custom=True), (ToolCall("c", "f", "{}", custom=True),)),
    "a call in its own form, which may come before its end": (
        [call(1)[0], native(B, 1), call(1)[1]],
        (ToolCall("c", "f", "{}", native=native(B)),),
    ),
    "no half call, but the text beside it": (
        [Text("a"), *call(1, complete=False)],
        "a",
    ),
    "no call that has only begun, in its own form either": (
        [Text("a"), call(1)[0], native(A, 1)],
        "a",
    ),
    "nothing": ([Finish("stop", "stop")], ""),
}


@pytest.mark.parametrize("name", MESSAGES)
def test_the_message_of(name: str) -> None:
    events, content = MESSAGES[name]
    assert Reply.of(events).message() == Message("assistant", content)


def test_each_choice_has_its_message() -> None:
    reply = Reply.of([Text("a"), Text("b", index=1), Native("x", A, 1, 1)])
    assert reply.message() == Message("assistant", "a")
    assert reply.choices[1].message() == Message(
        "assistant", (TextPart("b"), Opaque(Native("x", A)))
    )
    assert Choice().message() == Message("assistant", "")


def test_the_parts_of_a_choice_as_events() -> None:
    native = Native("x", b"{}", 1)
    choices = Reply.of([*EVENTS, native]).choices
    assert list(choices[0].events()) == [
        Reasoning("hm"),
        Text("ab", 1),
        native,
        Refusal("no", 2),
        Image(b"x", "image/png", part=3),
        ToolCallStart(0, "c0", "add", part=4),
        ToolCallDelta(0, '{"x": 1}'),
        ToolCallStart(1, "c1", "sub", part=5),
        ToolCallDelta(1, "{"),
    ]
    assert list(choices[1].events()) == [Text("other", index=1)]
    assert list(Reply.of([ToolCallStart(0, "c", "f")]).choices[0].events()) == [
        ToolCallStart(0, "c", "f")
    ]


def test_a_header_of_the_response() -> None:
    reply = Reply()
    assert reply.header("x-remaining") is None
    reply.headers = [(b"x-remaining", b"7")]
    assert (reply.header("X-Remaining"), reply.header("x-limit")) == ("7", None)
