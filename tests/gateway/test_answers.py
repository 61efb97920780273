"""What a service answers, as the caller's format can write it."""

from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.gateway.formats import FORMATS, WRITTEN, dialect
from tokenwire.gateway.answers import Answering
from tokenwire.gateway.sealing import StateSealer, restored
from tokenwire.protocols.chat import Chat, Message, ReasoningPart, ToolCall
from tokenwire.protocols.errors import ContentFiltered, LocalProtocolError, Refused
from tokenwire.protocols.events import (
    Citation,
    End,
    Event,
    Finish,
    FinishKind,
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
from tokenwire.protocols.reply import Reply
from tokenwire.protocols.service import Responder, Service
from tokenwire.testing import answers
from tokenwire.testing.recording import asking

CHAT = Chat(messages=(Message("user", "hi"),), model="m", max_tokens=9, stop=("x",))
START = Start("id", "theirs")
END = End("finish")
CALL: list[Event] = [
    ToolCallStart(0, "c1", "read"),
    ToolCallDelta(0, '{"a"'),
    ToolCallDelta(0, ": 1}"),
    ToolCallEnd(0, "c1", "read", '{"a": 1}', complete=True),
]


def answering(front: str, **more: Any) -> Answering:
    return Answering(dialect(front), CHAT, "ours", **more)


def told(front: str, *events: Event, **more: Any) -> list[Event]:
    """What is written of an answer, after its start."""
    return answering(front, **more).events([START, *events])[1:]


# Start


@pytest.mark.parametrize(
    ("front", "id", "wanted"),
    [
        ("openai_chat", "a", "chatcmpl-a"),
        ("openai_chat", "chatcmpl-a", "chatcmpl-a"),
        ("openai_responses", "a", "resp_a"),
        ("anthropic", "", "msg_u1"),
        ("gemini", "a", "a"),
        ("ollama", "", "u1"),
    ],
)
def test_the_id_has_the_form_of_the_caller(front: str, id: str, wanted: str) -> None:
    answer = answering(front, unique="u1")
    assert answer.events([Start(id, "theirs")]) == [Start(wanted, "ours")]
    assert answer.events([Text("a")]) == [Text("a")]


def test_an_answer_without_a_start_gets_one() -> None:
    answer = answering("anthropic", unique="u1")
    assert answer.events([Unrecognized(b"?")]) == []
    assert answer.events([Text("a"), END]) == [Start("msg_u1", "ours"), Text("a"), END]


# Calls whose end takes back what their beginning said


IN_PIECES = [front for front in WRITTEN if not dialect(front).whole_calls]


@pytest.mark.parametrize("front", IN_PIECES)
@pytest.mark.parametrize(
    ("pieces", "whole", "written"),
    [
        (["{}", '{"a"', ":1}"], '{"a":1}', ['{"a"', ":1}"]),
        (["{}"], "{}", ["{}"]),
        (["{}", " "], "{} ", ["{}", " "]),
        (['{"a":', "{}", "}"], '{"a":{}}', ['{"a":', "{}", "}"]),
        (["{", "}"], "{}", ["{", "}"]),
    ],
)
def test_an_empty_object_before_the_arguments(
    front: str, pieces: list[str], whole: str, written: list[str]
) -> None:
    """It is written if they are no more than that (quirk 83)."""
    start, end = ToolCallStart(0, "c1", "f"), ToolCallEnd(0, "c1", "f", whole, True)
    deltas = (ToolCallDelta(0, piece) for piece in pieces)
    events = told(front, start, *deltas, end)
    assert events == [start, *(ToolCallDelta(0, piece) for piece in written), end]


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("front", WRITTEN)
def test_a_name_in_pieces(front: str, stream: bool) -> None:
    """A caller would be told of another tool (quirk 84), unless the call is told whole."""
    answer = Answering(dialect(front), CHAT.replace(stream=stream), "ours")
    start, delta = ToolCallStart(0, "c1", "get_"), ToolCallDelta(0, "{}")
    end = ToolCallEnd(0, "c1", "get_it", "{}", True)
    answer.events([START, start, delta, end])
    if stream and front in IN_PIECES:
        assert isinstance(answer.failure, Refused)
        assert answer.failure.code == "split_name"
    else:
        assert answer.failure is None


# What can't be said


def test_what_was_not_understood_is_counted_and_never_written() -> None:
    for front in WRITTEN:
        answer = answering(front)
        answer.events([START, Unrecognized(b"data: x"), Unrecognized(b"1", "choices[0]")])
        assert answer.unrecognized == 2
        assert answer.losses == {}


@pytest.mark.parametrize(
    ("front", "event", "name"),
    [
        ("openai_chat", Image(b"a", "image/png"), "picture"),
        ("anthropic", Image(b"a", "image/png"), "picture"),
        ("anthropic", LogProbs([TokenLogProb("a", -1)]), "token_logprobs"),
        ("openai_responses", LogProbs([TokenLogProb("a", -1)], "refusal"), "token_logprobs_of"),
        ("ollama", Citation("https://x.test"), "source"),
        ("ollama", Native("gemini", b"{}"), "state"),
        ("cohere", Native("gemini", b"{}"), "state"),
    ],
)
def test_what_a_caller_can_not_be_told_is_counted(front: str, event: Event, name: str) -> None:
    answer = answering(front)
    assert answer.events([START, event, event])[1:] == []
    assert answer.losses == {name: 2}


def test_what_can_be_said_is() -> None:
    probs = LogProbs([TokenLogProb("a", -1)], "refusal")
    assert told("openai_chat", probs, Citation("https://x.test")) == [
        probs,
        Citation("https://x.test"),
    ]
    probs = LogProbs([TokenLogProb("a", -1)])
    assert told("openai_responses", probs, Native("gemini", b"{}")) == [
        probs,
        Native("gemini", b"{}"),
    ]


def test_other_choices_are_counted_once_each() -> None:
    events: list[Event] = [Text("a"), Text("b", index=1), ToolCallStart(0, "c", "f", index=1)]
    finishes = [Finish("stop", "stop"), Finish("stop", "stop", index=1)]
    answer = answering("anthropic")
    assert answer.events([START, *events, *finishes, END])[1:] == [
        Text("a"),
        Finish("end_turn", "stop"),
        END,
    ]
    assert answer.losses == {"choices": 1}
    assert told("gemini", *events[:2]) == events[:2]


def test_calls_with_free_text_are_left_out_whole() -> None:
    call: list[Event] = [
        ToolCallStart(0, "c", "patch", custom=True),
        ToolCallDelta(0, "any"),
        ToolCallEnd(0, "c", "patch", "any", complete=True, custom=True),
    ]
    answer = answering("anthropic")
    assert answer.events([START, *call, Text("a")])[1:] == [Text("a")]
    assert answer.losses == {"called_custom": 1}
    assert told("openai_responses", *call) == call


# Calls


def test_calls_without_an_id_get_one_by_their_place() -> None:
    calls = [
        ToolCallStart(0, "", "read"),
        ToolCallStart(1, "", "read", part=1),
        ToolCallStart(0, "", "read", index=1),
    ]
    ends = [ToolCallEnd(0, "", "read", "{}", complete=True)]
    found = told("openai_chat", *calls, *ends)
    ids = [event.id for event in found if isinstance(event, ToolCallStart | ToolCallEnd)]
    assert ids == ["call_1_0", "call_1_1", "call_1_0_1", "call_1_0"]


def test_ids_that_are_too_long_are_replaced_the_same_everywhere() -> None:
    sealer = StateSealer(b"k")
    long = ToolCallStart(0, "c" * 65, "read", part=4)
    end = ToolCallEnd(0, "c" * 65, "read", "{}", complete=True)
    start, over = told("openai_chat", long, end, sealer=sealer)
    assert isinstance(start, ToolCallStart)
    assert isinstance(over, ToolCallEnd)
    assert start.id == over.id == sealer.calls[0, 4]
    assert len(start.id) == 23
    assert told("openai_chat", ToolCallStart(0, "c" * 64, "read")) == [
        ToolCallStart(0, "c" * 64, "read")
    ]


def test_the_end_of_a_call_that_never_began() -> None:
    end = ToolCallEnd(0, "c", "read", "{}", complete=True)
    assert told("openai_chat", end) == [end]
    assert told("gemini", end) == [end]


def test_pieces_go_on_at_once_where_a_call_is_made_of_them() -> None:
    answer = answering("anthropic")
    answer.events([START])
    for event in CALL:
        assert answer.events([event]) == [event]


@pytest.mark.parametrize("front", ["gemini", "ollama"])
def test_a_call_goes_on_when_it_is_whole(front: str) -> None:
    answer = answering(front)
    answer.events([START])
    for event in CALL[:-1]:
        assert answer.events([event]) == []
    assert answer.events([Text("a", part=1), CALL[-1]]) == [Text("a", part=1), *CALL]


@pytest.mark.parametrize("front", ["gemini", "ollama"])
@pytest.mark.parametrize("kind", ["tool_call", "stop", "length"])
def test_half_a_call_is_left_out(front: str, kind: FinishKind) -> None:
    answer = answering(front)
    half: list[Event] = [*CALL[:2], ToolCallEnd(0, "c1", "read", '{"a"', complete=False)]
    found = answer.events([START, Text("a"), *half, Finish("tool_calls", kind), END])
    word = dialect(front).reason("length")
    assert found[1:] == [Text("a"), Finish(word, "length"), END]
    assert answer.losses == {"cut_call": 1}


@pytest.mark.parametrize("front", ["openai_chat", "openai_responses", "anthropic"])
def test_half_a_call_is_told_as_it_is(front: str) -> None:
    half: list[Event] = [*CALL[:2], ToolCallEnd(0, "c1", "read", '{"a"', complete=False)]
    word = dialect(front).reason("length")
    assert told(front, *half, Finish("x", "length")) == [*half, Finish(word, "length")]


def test_the_state_of_a_call_that_waits_waits_too() -> None:
    native = Native("anthropic", b'{"type":"tool_use"}')
    other = Native("anthropic", b'{"type":"x"}', part=5)
    found = told("gemini", CALL[0], native, other, *CALL[1:])
    assert found == [other, CALL[0], native, *CALL[1:]]


# The finish


@pytest.mark.parametrize(
    ("kind", "chat", "responses", "anthropic", "gemini", "ollama"),
    [
        ("stop", "stop", "completed", "end_turn", "STOP", "stop"),
        ("length", "length", "max_output_tokens", "max_tokens", "MAX_TOKENS", "length"),
        ("tool_call", "tool_calls", "completed", "tool_use", "STOP", "stop"),
        ("content_filter", "content_filter", "content_filter", "refusal", "SAFETY", ""),
    ],
)
@pytest.mark.parametrize("reason", ["", "strange", "stop", "end_turn", "STOP", "completed"])
def test_why_an_answer_is_over(
    kind: FinishKind,
    chat: str,
    responses: str,
    anthropic: str,
    gemini: str,
    ollama: str,
    reason: str,
) -> None:
    words = zip(WRITTEN_FIVE, (chat, responses, anthropic, gemini, ollama), strict=True)
    for front, word in words:
        if word:
            assert told(front, Finish(reason, kind), END) == [Finish(word, kind), END]


WRITTEN_FIVE = ("openai_chat", "openai_responses", "anthropic", "gemini", "ollama")


def test_a_word_that_the_caller_knows_is_kept() -> None:
    known = Finish("model_context_window_exceeded", "length")
    assert told("anthropic", known) == [known]
    assert told("openai_chat", known) == [Finish("length", "length")]
    sequence = Finish("stop_sequence", "stop", "y")
    assert told("anthropic", sequence) == [sequence]


def test_the_stop_sequence_that_was_asked_for() -> None:
    said = Finish("STOP", "stop", "x")
    assert told("anthropic", said) == [Finish("stop_sequence", "stop", "x")]
    assert told("cohere", said) == [Finish("STOP_SEQUENCE", "stop", "x")]
    assert told("openai_chat", said) == [Finish("stop", "stop", "x")]
    other = Finish("STOP", "stop", "no sequence")
    assert told("anthropic", other) == [Finish("end_turn", "stop", "no sequence")]


def test_words_that_are_not_known_go_on_as_they_are() -> None:
    new = Finish("new_reason")
    for front in ("openai_chat", "openai_responses", "anthropic", "ollama"):
        assert told(front, new, END) == [new, END]
    assert told("gemini", new, END) == [Finish("OTHER"), END]
    assert told("gemini", Finish("OTHER"), END) == [Finish("OTHER"), END]


def test_a_refusal_is_text_and_a_reason_to_anthropic() -> None:
    said = Refusal("I can't", part=1), Finish("stop", "stop")
    assert told("anthropic", *said) == [
        Text("I can't", part=1),
        Finish("refusal", "content_filter"),
    ]
    cut = Refusal("I can't"), Finish("length", "length")
    assert told("anthropic", *cut) == [Text("I can't"), Finish("max_tokens", "length")]
    assert told("openai_chat", *said) == list(said)


@pytest.mark.parametrize("front", FORMATS)
def test_an_error_has_no_finish(front: str) -> None:
    """The exchange raises it when the answer ends."""
    assert told(front, Text("a"), Finish("error", "error")) == [Text("a")]


@pytest.mark.parametrize("front", ["ollama", "cohere"])
@pytest.mark.parametrize("detail", ["", "violence"])
def test_a_filter_that_has_no_word_is_an_error(front: str, detail: str) -> None:
    answer = answering(front)
    finish = Finish("SAFETY", "content_filter", detail)
    assert answer.events([START, Text("a"), finish, END])[1:] == [Text("a")]
    assert isinstance(answer.failure, ContentFiltered)
    assert answer.failure.code == "SAFETY"
    assert (detail or "content filter") in str(answer.failure)
    assert answer.events([END]) == []


def test_a_turn_that_has_paused_is_an_error_to_others() -> None:
    paused = Finish("pause_turn")
    assert told("anthropic", paused) == [paused]
    for front in ("openai_chat", "gemini"):
        answer = answering(front)
        assert answer.events([START, paused, END])[1:] == []
        assert answer.failure is not None
        assert answer.failure.code == "paused"


# Usage


def test_anthropic_is_told_a_guess_first() -> None:
    answer = answering("anthropic", estimate=40)
    assert answer.events([START]) == [Start("msg_id", "ours")]
    assert answer.events([Text("a"), Text("b")]) == [
        Usage(input_tokens=40),
        Text("a"),
        Text("b"),
    ]
    exact = Usage(50, 2)
    assert answer.events([exact, END]) == [exact, END]


def test_a_guess_is_not_repeated_as_the_truth() -> None:
    found = told("anthropic", Text("a"), END, estimate=40)
    assert found == [Usage(input_tokens=40), Text("a"), Usage(), END]


def test_no_guess_where_it_is_known_or_not_wanted() -> None:
    exact = Usage(50, 2)
    assert told("anthropic", exact, Text("a"), END, estimate=40) == [exact, Text("a"), END]
    assert told("anthropic", Text("a"), END) == [Text("a"), END]
    assert told("openai_chat", Text("a"), END, estimate=40) == [Text("a"), END]


# Through the server halves


def responder_of(front: str, sealer: StateSealer | None = None, stream: bool = True) -> Responder:
    provider = FORMATS[front].replace(any_model=True, base_url="http://x.test")
    request = asking(provider, CHAT.replace(stop=(), stream=stream)).next_request()
    assert request is not None
    responder = Service(provider, sealer=sealer).responder()
    responder.receive_request(request)
    return responder


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("front", WRITTEN)
@settings(max_examples=settings().max_examples // 5)
@given(back=st.sampled_from(WRITTEN), data=st.data())
def test_any_answer_can_be_written(
    front: str, stream: bool, back: str, data: st.DataObject
) -> None:
    """No server half refuses an event of an answer that another format could give."""
    provider = FORMATS[back].replace(any_model=True, base_url="http://x.test")
    events = data.draw(answers(provider, CHAT.replace(stop=())))
    responder = responder_of(front, StateSealer(b"k"), stream)
    answer = Answering(dialect(front), responder.chat, "ours", estimate=7)
    for event in events:
        for said in answer.events([event]):
            assert responder.can_say(said)
            responder.send(said)
    assert responder.complete or answer.failure is not None
    try:
        responder.end()
    except LocalProtocolError:
        assert answer.failure is not None


GEMINI: list[Event] = [
    Native("gemini", b'{"text":"I see","thought":true,"thoughtSignature":"s"}', part=0),
    Reasoning("I see", part=0),
    Native("gemini", b'{"functionCall":{"name":"read","args":{}},"thoughtSignature":"t"}', part=1),
    ToolCallStart(0, "", "read", part=1),
    ToolCallDelta(0, "{}"),
    ToolCallEnd(0, "", "read", "{}", complete=True),
    Finish("STOP", "tool_call"),
    END,
]


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("front", ["openai_chat", "openai_responses", "anthropic"])
def test_the_state_of_calls_comes_back_in_their_calls(front: str, stream: bool) -> None:
    """The second turn of a loop with a tool: the client sends back what it was told."""
    provider = FORMATS[front].replace(
        any_model=True, base_url="http://x.test", history="reasoning_details"
    )
    sealer = StateSealer(b"k").bound("gemini", "gemini-3-pro")
    responder = responder_of(front, sealer, stream)
    answer = Answering(dialect(front), responder.chat, "ours", sealer=sealer)
    body = b"".join(map(responder.send, answer.events([START, *GEMINI]))) + responder.end()
    exchange = asking(provider, CHAT.replace(stop=(), stream=stream))
    exchange.next_request()
    exchange.receive_response(*responder.head())
    reply = Reply.of([*exchange.receive_data(body), *exchange.receive_eof()])
    (call,) = reply.tool_calls
    assert call.id == "call_1_0"
    again = CHAT.replace(stop=()).then(reply, call.result("plum"))
    asked = asking(provider, again).next_request()
    assert asked is not None
    received = Service(provider, sealer=StateSealer(b"k")).responder().receive_request(asked)
    assert received is not None
    message, lost = restored(received.messages[1], "gemini", "gemini")
    assert not lost
    natives = [part.native for part in message.parts if part.native is not None]
    assert [native.raw for native in natives] == [
        event.raw for event in GEMINI if isinstance(event, Native)
    ]
    (found,) = message.tool_calls
    assert found.native == natives[-1]
    assert received.messages[2].tool_call_id == found.id


def test_a_signed_thought_comes_back_in_its_thought() -> None:
    raw = b'{"type":"thinking","thinking":"I see","signature":"Eq"}'
    thought: list[Event] = [Reasoning("I see"), Native("anthropic", raw), Text("a", part=1)]
    sealer = StateSealer(b"k").bound("anthropic", "claude")
    provider = FORMATS["openai_responses"].replace(base_url="http://x.test")
    responder = responder_of("openai_responses", sealer)
    answer = Answering(dialect("openai_responses"), responder.chat, "ours", sealer=sealer)
    events: Iterable[Event] = answer.events([START, *thought, Finish("end_turn", "stop"), END])
    body = b"".join(map(responder.send, events)) + responder.end()
    exchange = asking(provider, CHAT.replace(stop=()))
    exchange.next_request()
    exchange.receive_response(*responder.head())
    reply = Reply.of([*exchange.receive_data(body), *exchange.receive_eof()])
    asked = asking(provider, CHAT.replace(stop=()).then(reply, "go on")).next_request()
    assert asked is not None
    received = Service(provider, sealer=sealer).responder().receive_request(asked)
    assert received is not None
    message, lost = restored(received.messages[1], "anthropic", "anthropic")
    assert message.parts[0] == ReasoningPart("I see", Native("anthropic", raw))
    assert not lost
    assert not any(isinstance(part, ToolCall) for part in message.parts)
