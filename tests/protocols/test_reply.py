"""Replies: the fold of an answer's events."""

import pytest

from tokenwire.protocols.errors import Malformed
from tokenwire.protocols.events import (
    Citation,
    End,
    Event,
    Finish,
    Image,
    LogProbs,
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
from tokenwire.protocols.reply import CollectedToolCall, Reply

IMAGE = Image(b"x", "image/png")
LOGPROBS = LogProbs([TokenLogProb("a", -1)])
EVENTS: list[Event] = [
    Start("id-1", "model-1"),
    Reasoning("h"),
    Reasoning("m"),
    Text("a"),
    Text("other", index=1),
    Text("b"),
    LOGPROBS,
    Refusal("n"),
    Refusal("o"),
    IMAGE,
    ToolCallStart(0, "c0", "add"),
    ToolCallStart(1, "c1", "sub"),
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
    assert reply.finish_reason == "tool_calls"
    assert reply.images == [IMAGE]
    assert reply.usage == Usage(1, 2)
    assert reply.citations == [Citation("https://a"), Citation("https://b", "B")]
    assert reply.unrecognized == [Unrecognized(b"?")]
    assert reply.choices[0].logprobs == [LOGPROBS]
    assert (reply.choices[1].text, reply.choices[1].finish_reason) == ("other", "length")


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
    call.add(ToolCallEnd(0, "c", "f", "{}", complete=True))
    assert (call.id, call.name, call.arguments, call.complete) == ("c", "f", "{}", True)


def test_a_call_whose_start_is_missing() -> None:
    (call,) = Reply.of([ToolCallDelta(0, "{")]).tool_calls
    assert (call.id, call.name, call.arguments, call.complete) == ("", "", "{", False)


def test_an_empty_reply_stays_empty_when_it_is_read() -> None:
    reply = Reply()
    assert (reply.text, reply.reasoning, reply.refusal) == ("", "", "")
    assert (reply.images, reply.tool_calls, reply.finish_reason) == ([], [], None)
    assert (reply.usage, reply.evidence) == (None, None)
    assert (reply.id, reply.model) == ("", "")
    assert reply.choices == {}


@pytest.mark.parametrize("size", range(len(EVENTS)))
def test_a_reply_that_was_cut_proves_nothing(size: int) -> None:
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
