"""Anthropic Messages, client half: each fact about its answers, by bytes that are written here."""

import json
from typing import Any

import pytest

from tests.driving import Ending, Outcome, Response, alike, drive, no_sign_of_life
from tokenwire.protocols.auth import Bearer
from tokenwire.protocols.chat import Opaque, ReasoningPart, TextPart, ToolCall, as_chat
from tokenwire.protocols.errors import (
    AuthenticationFailed,
    BadRequest,
    LimitExceeded,
    LocalProtocolError,
    Malformed,
    Overloaded,
    RateLimited,
    Refused,
    TimedOut,
    Truncated,
    UnexpectedContent,
)
from tokenwire.protocols.events import (
    Citation,
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
from tokenwire.protocols.exchange import Exchange
from tokenwire.protocols.limits import Limits
from tokenwire.protocols.registry import PROVIDERS
from tokenwire.transports.client.course import Course, Receive

ANTHROPIC = PROVIDERS["anthropic"]
FINISH = Finish("end_turn", "stop")
END = End("terminator")


def ask(**how: Any) -> Exchange:
    limits = how.pop("limits", None)
    return ANTHROPIC.exchange(as_chat("hi", model="m", **how), limits=limits)


# Bytes, as the service writes them


def event(type: str, **fields: Any) -> bytes:
    value = json.dumps({"type": type, **fields}, ensure_ascii=False)
    return f"event: {type}\ndata: {value}\n\n".encode()


def start(number: int, **block: Any) -> bytes:
    return event("content_block_start", index=number, content_block=block)


def delta(number: int, type: str, **fields: Any) -> bytes:
    return event("content_block_delta", index=number, delta={"type": type, **fields})


def text(number: int, said: str) -> bytes:
    return delta(number, "text_delta", text=said)


def stop(number: int) -> bytes:
    return event("content_block_stop", index=number)


def over(reason: str | None = "end_turn", usage: Any = None, **more: Any) -> bytes:
    said = {} if usage is None else {"usage": usage}
    return event("message_delta", delta={"stop_reason": reason, **more}, **said)


def message(**fields: Any) -> bytes:
    known: dict[str, Any] = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m"}
    known["content"] = []
    return event("message_start", message={**known, **fields})


BEGIN = message()
STOP = event("message_stop")
PING = event("ping")
OPEN = start(0, type="text", text="")
PLAIN = BEGIN + OPEN + text(0, "h\u20ac") + text(0, "i") + stop(0) + over() + STOP


def receive(*parts: bytes, limits: Limits | None = None) -> Outcome:
    return alike(ask(limits=limits), b"".join(parts))


def said(*parts: bytes) -> list[Event]:
    """The events between `Start` and `Finish` of a stream that is whole."""
    events = receive(BEGIN, *parts, over(), STOP).succeeded().events
    assert (events[0], events[-1]) == (Start("msg_1", "m"), END)
    assert isinstance(events[-2], Finish)
    return events[1:-2]


def native(value: Any, part: int = 0) -> Any:
    return ("native", value, part)


def shown(events: list[Event]) -> list[Any]:
    """`events`, of native forms the JSON value."""
    return [native(json.loads(e.raw), e.part) if isinstance(e, Native) else e for e in events]


# Text, and how a stream is written


def test_a_plain_answer() -> None:
    assert receive(PLAIN).succeeded().events == [
        *(Start("msg_1", "m"), Text("h\u20ac"), Text("i"), FINISH, END),
    ]


def test_names_may_be_missing_or_come_without_blanks() -> None:
    expected = receive(PLAIN).events
    bare = b"".join(line + b"\n" for line in PLAIN.splitlines() if not line.startswith(b"event"))
    assert receive(bare).events == expected
    assert receive(PLAIN.replace(b": ", b":", 1)).events == expected
    assert receive(PLAIN.replace(b"\n", b"\r\n")).events == expected


def test_white_space_is_padding() -> None:
    padded = PLAIN.replace(b"}\n\n", b"     }\n\n")
    assert receive(padded).events == receive(PLAIN).events
    indented = PLAIN.replace(b"data: {", b"data:   {")
    assert receive(indented).events == receive(PLAIN).events


@pytest.mark.parametrize(
    "ping",
    [
        PING,
        b'data: {"type": "ping", "cost": "0"}\n\n',
        b'data: {"cost": "0.%s", "type": "ping"}\n\n' % (b"0" * 60),
        b"event: ping\n\n",
        b"event: ping\ndata: \n\n",
    ],
)
def test_pings_mean_nothing_anywhere(ping: bytes) -> None:
    units = [unit + b"\n\n" for unit in PLAIN.split(b"\n\n")[:-1]]
    pinged = ping + ping.join(units) + ping
    assert receive(pinged).what == receive(PLAIN).what
    no_sign_of_life(ask(), BEGIN, ping)


@pytest.mark.parametrize(("size", "pings"), [(1001, True), (1002, False)])
def test_how_far_in_its_data_a_ping_may_say_so(size: int, pings: bool) -> None:
    data = b'{"cost": "%s", "type": "ping"}'
    data %= b"0" * (size - len(data) + 2)
    assert said(b"data: " + data + b"\n\n") == ([] if pings else [Unrecognized(data)])


def test_pings_do_not_keep_a_silent_stream_alive() -> None:
    """90 seconds are not too long, as its models think; ten minutes are."""
    course = Course(
        ask(),
        clocks=None,
        retry=None,
        allow_private_addresses=False,
        now=0,
        wall_clock=0,
        jitter=0,
    )
    course.next(0)
    course.responded(200, [(b"content-type", b"text/event-stream")])
    course.received(BEGIN, 1)
    course.events.clear()
    for second in range(2, 601):
        assert isinstance(course.next(second), Receive)
        course.received(PING, second)
    course.next(602)
    with pytest.raises(TimedOut, match="nothing but keep-alives for 600 s"):
        course.next(602)


@pytest.mark.parametrize(
    "after", [b"event: data\ndata: [DONE]\n\n", b"data: [DONE]\n\n", PING, b"data: x\n\n"]
)
def test_nothing_is_read_after_the_end(after: bytes) -> None:
    assert receive(PLAIN, after).events == receive(PLAIN).events


def test_done_is_no_end() -> None:
    outcome = receive(BEGIN, OPEN, text(0, "a"), b"data: [DONE]\n\n")
    assert isinstance(outcome.error, Truncated)
    assert outcome.events[-1] == Unrecognized(b"[DONE]")


def test_mixed_pieces_in_one_read() -> None:
    """The usual events are found among others, by name and without."""
    bare = text(0, "c").partition(b"\n")[2]
    split = text(0, "d").replace(b'"text": ', b'\ndata: "text": ')
    comment = b": a comment\n\n"
    body = [text(0, "a"), text(0, "b"), bare, PING, text(0, "x"), comment, split, text(0, "e")]
    assert said(OPEN, *body, stop(0)) == [Text(letter) for letter in "abcxde"]


# Blocks


def test_blocks_are_found_by_their_index() -> None:
    """It may have gaps, and several may be open."""
    parts = [start(7, type="text", text=""), start(3, type="text", text="b")]
    parts += [text(7, "a"), text(3, "c"), stop(3), text(7, "d"), stop(7)]
    assert said(*parts) == [Text("b", 1), Text("a", 0), Text("c", 1), Text("d", 0)]


def test_each_block_closes_at_its_own_stop() -> None:
    hidden = {"type": "redacted_thinking", "data": "ZA=="}
    new = {"type": "new"}
    parts = [start(0, **hidden), start(1, **new), stop(0), stop(1)]
    assert shown(said(*parts)) == [native(hidden), native(new, 1)]


def test_usual_events_that_are_none() -> None:
    """Of another block, of another type than they are named, and no JSON."""
    two = [OPEN, start(1, type="text", text=""), text(1, "a"), text(0, "b"), text(1, "c")]
    assert said(*two) == [Text("a", 1), Text("b"), Text("c", 1)]
    named = STOP.replace(b"event: message_stop", b"event: content_block_delta")
    assert receive(BEGIN, OPEN, text(0, "a"), named, text(0, "b")).events[1:] == [Text("a"), END]
    broken = receive(BEGIN, b'data: {"type":"ping"\n\n', PLAIN)
    assert isinstance(broken.error, Malformed)


def test_an_index_may_be_missing() -> None:
    parts = [OPEN, text(0, "a"), stop(0)]
    bare = [part.replace(b'"index": 0, ', b"") for part in parts]
    assert said(*bare) == [Text("a")]


def test_a_start_may_be_missing() -> None:
    thought = delta(1, "thinking_delta", thinking="t")
    assert said(text(0, "a"), text(0, "b"), stop(0), thought, stop(1)) == [
        *(Text("a"), Text("b"), Reasoning("t", 1)),
    ]
    odd = delta(5, "text_delta", text="a", new=1)
    new = Unrecognized(b"1", "content[5].delta.new")
    assert said(odd, text(5, "b"), stop(5)) == [Text("a"), new, Text("b")]


def test_empty_pieces_are_no_events() -> None:
    assert said(OPEN, text(0, ""), stop(0)) == []
    assert said(OPEN, text(0, ""), text(0, "a"), text(0, ""), stop(0)) == [Text("a")]


def test_a_piece_after_the_stop_begins_a_block() -> None:
    more = text(0, "b") + text(0, "c")
    assert said(OPEN, text(0, "a"), stop(0), more, stop(0)) == [
        *(Text("a"), Text("b", 1), Text("c", 1)),
    ]


def test_a_stop_of_nothing() -> None:
    assert said(stop(4), OPEN, text(0, "a"), stop(0), stop(0)) == [Text("a")]


# Tools


def call(reason: str, *pieces: str, **block: Any) -> Outcome:
    block = {"type": "tool_use", "id": "t", "name": "f", "input": {}, **block}
    inputs = [delta(0, "input_json_delta", partial_json=piece) for piece in pieces]
    return receive(BEGIN, start(0, **block), *inputs, stop(0), over(reason), STOP)


def test_a_call() -> None:
    assert call("tool_use", "", '{"a":', " 1}").events[1:] == [
        *(ToolCallStart(0, "t", "f"), ToolCallDelta(0, '{"a":'), ToolCallDelta(0, " 1}")),
        ToolCallEnd(0, "t", "f", '{"a": 1}', True),
        *(Finish("tool_use", "tool_call"), END),
    ]


def test_a_call_without_arguments() -> None:
    end = ToolCallEnd(0, "t", "f", "{}", True)
    assert end in call("tool_use", "").events
    assert end in call("tool_use").events
    cut = ToolCallEnd(0, "t", "f", "{}", False)
    for reason in ("max_tokens", "model_context_window_exceeded", "refusal"):
        assert cut in call(reason, "").events


def test_a_call_that_was_cut() -> None:
    block = start(0, type="tool_use", id="t", name="f", input={})
    piece = delta(0, "input_json_delta", partial_json='{"a": "b')
    assert receive(BEGIN, block, piece, over("max_tokens"), STOP).events[-3:] == [
        *(ToolCallEnd(0, "t", "f", '{"a": "b', False), Finish("max_tokens", "length"), END),
    ]


def test_input_that_is_there_at_the_start() -> None:
    events = call("tool_use", input={"a": 1}).events
    assert events[2] == ToolCallDelta(0, '{"a": 1}')
    assert ToolCallEnd(0, "t", "f", '{"a": 1}', True) in events
    assert ToolCallEnd(0, "t", "f", '{"a"', False) in call("tool_use", input='{"a"').events
    block = start(0, type="tool_use", id="t", name="f", input={"a": "?"})
    assert ToolCallDelta(0, '{"a": "\ufffd"}') in said(block.replace(b"?", b"\xff"), stop(0))


def test_who_called_it() -> None:
    """That the model itself did needs no native form; that code did has to go back."""
    direct = call("tool_use", '{"a": 1}', caller={"type": "direct"})
    assert not direct.reply.choices[0].natives
    caller = {"type": "code_execution_20260120", "tool_id": "s"}
    by_code = call("tool_use", '{"a": 1}', caller=caller).succeeded()
    (form,) = by_code.reply.choices[0].natives
    block = {"type": "tool_use", "id": "t", "name": "f", "input": {"a": 1}, "caller": caller}
    assert json.loads(form.raw) == block
    part = by_code.reply.message().parts[0]
    assert isinstance(part, ToolCall)
    assert (part.id, part.arguments, part.native) == (
        "t",
        '{"a": 1}',
        Native("anthropic", form.raw),
    )
    both = call("tool_use", caller={"type": "direct"}, toolset_name="x").reply.choices[0].natives
    assert json.loads(both[0].raw)["caller"] == {"type": "direct"}


def test_a_programmatic_call_comes_with_the_message() -> None:
    block = {"type": "tool_use", "id": "t", "name": "f", "input": {"a": 1}}
    whole = message(content=[block], stop_reason="tool_use", usage={"output_tokens": 5})
    events = receive(whole, STOP).succeeded().events
    assert events[1:3] == [ToolCallStart(0, "t", "f"), ToolCallDelta(0, '{"a": 1}')]
    assert events[-3:] == [
        *(ToolCallEnd(0, "t", "f", '{"a": 1}', True), Finish("tool_use", "tool_call"), END),
    ]
    assert events[3] == Usage(output_tokens=5, raw={"output_tokens": 5})


BROKEN: dict[str, list[bytes]] = {
    "arguments of another type": [delta(0, "input_json_delta", partial_json={"a": 1}), stop(0)],
    "arguments after the stop": [stop(0), delta(0, "input_json_delta", partial_json="{}")],
    "an unknown piece": [delta(0, "new_delta", x=1), stop(0)],
    "an unknown key of a piece": [delta(0, "input_json_delta", partial_json="", new=1), stop(0)],
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_call_of_which_something_is_not_understood(name: str) -> None:
    """It is never complete: it might run with half of its arguments."""
    block = start(0, type="tool_use", id="t", name="f", input={})
    outcome = receive(BEGIN, block, *BROKEN[name], over("tool_use"), STOP).succeeded()
    (call,) = outcome.reply.tool_calls
    assert not call.complete
    assert outcome.reply.unrecognized


def test_a_usage_before_the_end_closes_nothing() -> None:
    block = start(0, type="tool_use", id="t", name="f", input={})
    early = event("message_delta", delta={}, usage={"output_tokens": 2})
    piece = delta(0, "input_json_delta", partial_json='{"a":1}')
    outcome = receive(BEGIN, block, early, piece, stop(0), over("tool_use"), STOP).succeeded()
    assert ToolCallEnd(0, "t", "f", '{"a":1}', True) in outcome.events


def test_input_at_the_start_and_in_pieces() -> None:
    """What comes in pieces counts."""
    outcome = call("tool_use", '{"a":', "1}", input={"a": 1}).succeeded()
    assert ToolCallEnd(0, "t", "f", '{"a":1}', True) in outcome.events
    block = start(0, type="tool_use", id="t", name="f", input={"a": 1})
    odd = delta(0, "input_json_delta", partial_json='{"a":1}', new=1)
    events = receive(BEGIN, block, odd, stop(0), over("tool_use"), STOP).events
    assert ToolCallEnd(0, "t", "f", '{"a":1}', False) in events


# Thoughts, and what only the service understands

THINKING = start(0, type="thinking", thinking="", signature="")


def thought(said: str) -> bytes:
    return delta(0, "thinking_delta", thinking=said, estimated_tokens=3)


def sign(signature: str) -> bytes:
    return delta(0, "signature_delta", signature=signature)


def test_a_signed_thought() -> None:
    events = said(THINKING, thought("so "), thought("h\u20ac"), sign("no"), sign("c2ln"), stop(0))
    form = {"type": "thinking", "thinking": "so h\u20ac", "signature": "c2ln"}
    assert shown(events) == [Reasoning("so "), Reasoning("h\u20ac"), native(form)]


def test_a_thought_that_is_not_shown() -> None:
    form = {"type": "thinking", "thinking": "", "signature": "c2ln"}
    assert shown(said(THINKING, sign("c2ln"), stop(0))) == [native(form)]


@pytest.mark.parametrize("signature", ["", "tokenwire"])
def test_a_thought_without_a_signature(signature: str) -> None:
    """It has no native form: the service would refuse it."""
    assert said(THINKING, thought("so"), sign(signature), stop(0)) == [Reasoning("so")]
    outcome = receive(BEGIN, THINKING, thought("so"), stop(0), over(), STOP)
    assert outcome.reply.message().parts == (ReasoningPart("so"),)


def test_a_signed_thought_that_max_tokens_cut() -> None:
    events = receive(BEGIN, THINKING, thought("so"), over("max_tokens"), STOP).events
    assert not any(isinstance(e, Native) for e in events)


@pytest.mark.parametrize(
    "block",
    [
        {"type": "redacted_thinking", "data": "ZGF0YQ=="},
        {
            "type": "web_search_tool_result",
            "tool_use_id": "s",
            "content": [{"encrypted_content": "e"}],
        },
        {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"q": 1}},
        {"type": "fallback", "from": {"model": "a"}, "to": {"model": "b"}},
        {"type": "connector_text", "new": [1.5, None]},
    ],
)
def test_a_block_that_comes_whole(block: Any) -> None:
    """It is a native form alone, never a call of the client's."""
    events = said(start(0, **block), stop(0))
    assert shown(events) == [native(block)]
    outcome = receive(BEGIN, start(0, **block), stop(0), over(), STOP)
    (part,) = outcome.reply.message().parts
    assert isinstance(part, Opaque)


def test_a_tool_of_the_services() -> None:
    block: dict[str, Any] = {"type": "server_tool_use", "id": "s", "name": "n", "input": {}}
    pieces = [delta(0, "input_json_delta", partial_json=p) for p in ("", '{"q":', "1}")]
    whole = {**block, "input": {"q": 1}}
    assert shown(said(start(0, **block), *pieces, stop(0))) == [native(whole)]
    cut = said(start(0, **block), *pieces[:2], stop(0))
    assert cut == [
        Unrecognized(json.dumps(block, separators=(",", ":")).encode(), "content[0]"),
        Unrecognized(b'{"q":', "content[0].input"),
    ]


def test_what_was_compacted() -> None:
    block = start(0, type="compaction", content=None)
    piece = delta(0, "compaction_delta", content="sum", encrypted_content="e")
    form = {"type": "compaction", "content": "sum", "encrypted_content": "e"}
    assert shown(said(block, piece, stop(0))) == [native(form)]


# Citations


def cite(**fields: Any) -> bytes:
    return delta(0, "citations_delta", citation=fields)


WEB = {"type": "web_search_result_location", "url": "u", "title": "t", "cited_text": "q"}
PAGE = {"type": "page_location", "document_title": "d", "document_index": 2, "cited_text": "p"}
CITED = start(0, type="text", text="", citations=[])


def test_a_cited_text() -> None:
    events = said(CITED, cite(**WEB), cite(**PAGE), text(0, "a"), text(0, "b"), stop(0))
    form = {"type": "text", "text": "ab", "citations": [WEB, PAGE]}
    assert shown(events) == [
        *(Citation("u", "t", quote="q"), Citation(title="d", source="2", quote="p")),
        *(Text("a"), Text("b"), native(form)),
    ]
    reply = receive(BEGIN, CITED, cite(**WEB), text(0, "ab"), stop(0), over(), STOP).reply
    (part,) = reply.message().parts
    assert isinstance(part, TextPart)
    assert part.text == "ab"


def test_other_citations() -> None:
    search = {"type": "search_result_location", "source": "https://s", "title": "t"}
    events = said(CITED, cite(**search), text(0, "a"), stop(0))
    assert events[0] == Citation("https://s", "t")
    first = said(OPEN, cite(**WEB), text(0, "a"), text(0, "b"), stop(0))
    form: dict[str, Any] = {"type": "text", "text": "ab", "citations": [WEB]}
    assert shown(first) == [Citation("u", "t", quote="q"), Text("a"), Text("b"), native(form)]
    late = said(OPEN, text(0, "a"), cite(**WEB), stop(0))
    assert late == [Text("a"), Citation("u", "t", quote="q")]  # nothing of it was kept
    odd = said(CITED, delta(0, "citations_delta", citation=7), text(0, "a"), stop(0))
    assert shown(odd) == [Text("a"), native({"type": "text", "text": "a", "citations": [7]})]
    bare = said(CITED, delta(0, "citations_delta"), stop(0))
    assert shown(bare) == [native({"type": "text", "text": "", "citations": [None]})]
    none = said(CITED, text(0, "a"), stop(0))
    assert shown(none) == [Text("a"), native({"type": "text", "text": "a", "citations": []})]
    nothing = said(start(0, type="text", text="", citations=None, new=1), cite(**WEB), stop(0))
    form = {"type": "text", "text": "", "citations": [WEB], "new": 1}
    assert shown(nothing) == [Citation("u", "t", quote="q"), native(form)]


# The end


def test_a_body_that_ends_after_the_reason() -> None:
    whole = PLAIN.removesuffix(STOP)
    for ending in ("eof", "disconnect", "timeout"):
        outcome = drive(ask(), Response(whole, ending=ending))
        assert outcome.events[-2:] == [FINISH, End("finish")]


@pytest.mark.parametrize("ending", ["eof", "disconnect"])
def test_a_body_that_ends_before_it(ending: Ending) -> None:
    half = PLAIN.removesuffix(over() + STOP)
    outcome = drive(ask(), Response(half, ending=ending))
    assert isinstance(outcome.error, Truncated)
    assert "the stream ended before message_stop or a stop_reason" in str(outcome.error)
    assert outcome.reply.text == "h\u20aci"


def test_a_stop_without_a_reason() -> None:
    assert receive(BEGIN, OPEN, text(0, "a"), stop(0), STOP).succeeded().events[-2:] == [
        *(Text("a"), END),
    ]


@pytest.mark.parametrize(
    ("reason", "kind", "more", "detail"),
    [
        ("end_turn", "stop", {}, ""),
        ("stop_sequence", "stop", {"stop_sequence": "END"}, "END"),
        ("max_tokens", "length", {}, ""),
        ("model_context_window_exceeded", "length", {}, ""),
        ("tool_use", "tool_call", {}, ""),
        ("refusal", "content_filter", {"stop_details": {"category": "cyber"}}, "cyber"),
        ("compaction", "stop", {}, ""),
        ("pause_turn", "", {}, ""),
        ("something_new", "", {}, ""),
    ],
)
def test_reasons(reason: str, kind: Any, more: Any, detail: str) -> None:
    assert receive(BEGIN, over(reason, **more), STOP).events[-2:] == [
        *(Finish(reason, kind, detail), END),
    ]


def test_a_refusal() -> None:
    details = {"type": "refusal", "category": "cyber", "explanation": "No."}
    twice = [over("refusal", stop_details=details), over("refusal", stop_details=details)]
    assert receive(BEGIN, OPEN, text(0, "a"), stop(0), *twice, STOP).events[1:] == [
        *(Text("a"), Refusal("No.", 1), Finish("refusal", "content_filter", "cyber"), END),
    ]
    nothing = {"category": None, "explanation": None}
    assert receive(BEGIN, over("refusal", stop_details=nothing), STOP).events[1:] == [
        *(Finish("refusal", "content_filter"), END),
    ]


def test_a_reason_that_means_an_error() -> None:
    """As the provider says."""
    provider = ANTHROPIC.replace(finishes={"broken": "error"})
    exchange = provider.exchange(as_chat("hi", model="m"))
    error = alike(exchange, BEGIN + over("broken") + STOP).error
    assert isinstance(error, Refused)
    assert error.code == "broken"


def test_what_goes_on_after_the_reason() -> None:
    """It is not complete any more, until the next reason or the end mark."""
    for begin in (BEGIN + over(), message(stop_reason="end_turn")):
        half = begin + OPEN + text(0, "half")
        for ending in ("eof", "disconnect"):
            assert isinstance(drive(ask(), Response(half, ending=ending)).error, Truncated)
        assert receive(half, stop(0), over("max_tokens")).succeeded().events[-2:] == [
            *(Finish("max_tokens", "length"), End("finish")),
        ]
        assert receive(half, STOP).succeeded().events[-1] == END


def test_blocks_without_a_stop() -> None:
    hidden = start(0, type="redacted_thinking", data="ZA==")
    form = {"type": "redacted_thinking", "data": "ZA=="}
    assert shown(receive(BEGIN, hidden, STOP).succeeded().events[1:-1]) == [native(form)]
    assert shown(said(hidden)) == [native(form)]
    assert shown(said(hidden, OPEN, text(0, "a"), stop(0))) == [native(form), Text("a", 1)]


def test_a_second_start() -> None:
    assert said(OPEN, text(0, "a"), BEGIN, text(0, "b"), stop(0)) == [Text("a"), Text("b")]
    second = message(id="msg_2")
    outcome = receive(BEGIN, OPEN, text(0, "a"), second)
    assert isinstance(outcome.error, Malformed)
    assert outcome.error.message == "a second message_start, of another message"
    assert outcome.error.data in second
    assert b"msg_2" in outcome.error.data
    assert outcome.reply.text == "a"


def test_a_start_without_an_id_or_a_model() -> None:
    assert receive(message(id=None), over(), STOP).events[0] == Start("", "m")
    assert receive(message(model=None), over(), STOP).events[0] == Start("msg_1", "")


# Usage


def test_usage() -> None:
    """Cached tokens are not in the wire's input. What comes later replaces, what is null keeps."""
    first = {
        "input_tokens": 18,
        "cache_read_input_tokens": 10,
        "cache_creation_input_tokens": 5,
        "output_tokens": 3,
    }
    later: list[dict[str, Any]] = [
        {"input_tokens": None, "output_tokens": 7},
        {"output_tokens": 9, "output_tokens_details": {"thinking_tokens": 4}, "speed": "fast"},
    ]
    deltas = [over(None, later[0]), over("end_turn", later[1])]
    outcome = receive(message(usage=first), *deltas, STOP).succeeded()
    assert outcome.events[1] == Usage(33, None, None, 10, 5, raw=first)
    raw = {**first, "output_tokens": 7}
    assert outcome.events[2] == Usage(33, 7, 40, 10, 5, raw=raw)
    raw = {**raw, **later[1]}
    assert outcome.reply.usage == Usage(33, 9, 42, 10, 5, 4, raw=raw)


def test_a_placeholder_is_not_counted() -> None:
    begin = message(usage={"input_tokens": 3, "output_tokens": 1})
    early = event("message_delta", delta={}, usage={"input_tokens": 9})
    late = over(usage={"output_tokens": 4.0})
    used = [e for e in receive(begin, early, late, STOP).events if isinstance(e, Usage)]
    assert [(u.input_tokens, u.output_tokens) for u in used] == [(3, None), (9, None), (9, 4)]


def test_odd_usage() -> None:
    assert receive(BEGIN, over(usage={"output_tokens": True}), STOP).reply.usage == Usage(
        raw={"output_tokens": True}
    )
    outcome = receive(BEGIN, over(usage=[7]), STOP).succeeded()
    assert outcome.reply.usage is None
    assert outcome.events == [Start("msg_1", "m"), Unrecognized(b"[7]", "usage"), FINISH, END]
    bare = receive(BEGIN, event("message_delta"), over(), STOP).succeeded()
    assert bare.events == [Start("msg_1", "m"), FINISH, END]


# What is not understood


def test_citations_that_are_no_list() -> None:
    opened = start(0, type="text", text="a", citations={"url": "u"})
    assert said(opened, stop(0)) == [
        Unrecognized(b'{"url": "u"}', "content[0].citations"),
        Text("a"),
    ]


def test_an_unknown_event() -> None:
    strange = event("message_thought", x=1)
    raw = strange.partition(b"data: ")[2].strip()
    assert said(strange, OPEN, text(0, "a"), stop(0)) == [Unrecognized(raw), Text("a")]
    assert said(b'data: {"x":1}\n\n') == [Unrecognized(b'{"x":1}')]
    assert said(b"data: hello\n\n") == [Unrecognized(b"hello")]


def test_an_unknown_delta() -> None:
    strange = delta(0, "new_delta", x=1)
    raw = b'{"type": "new_delta", "x": 1}'
    found = Unrecognized(raw, "content[0].delta")
    assert said(OPEN, text(0, "a"), strange, text(0, "b"), stop(0)) == [
        *(Text("a"), found, Text("b")),
    ]
    # The block has no native form any more, as it would not be whole.
    signature = b'{"type": "signature_delta", "signature": "c2ln"}'
    unused = Unrecognized(signature, "content[0].delta")
    assert said(THINKING, thought("so"), strange, sign("c2ln"), stop(0)) == [
        *(Reasoning("so"), found, unused),
    ]
    block = start(0, type="compaction")
    compacted = delta(0, "compaction_delta", content="c")
    assert said(block, strange, compacted, stop(0)) == [
        found,
        Unrecognized(b'{"type":"compaction"}', "content[0]"),
        Unrecognized(b'{"type": "compaction_delta", "content": "c"}', "content[0].delta"),
    ]
    assert said(delta(5, "new_delta")) == [
        Unrecognized(b'{"type": "new_delta"}', "content[5].delta")
    ]
    bare = delta(0, "new_delta").replace(b'"index": 0, ', b"")
    assert said(OPEN, bare, stop(0)) == [Unrecognized(b'{"type": "new_delta"}', "content[0].delta")]


def test_a_piece_of_another_kind() -> None:
    wrong = delta(0, "thinking_delta", thinking="t")
    raw = b'{"type": "thinking_delta", "thinking": "t"}'
    assert said(OPEN, wrong, text(0, "a"), stop(0)) == [
        *(Unrecognized(raw, "content[0].delta"), Text("a")),
    ]
    told = text(0, "a")
    raw = b'{"type": "text_delta", "text": "a"}'
    tool = start(0, type="tool_use", id="t", name="f", input={})
    for block in (THINKING, tool):
        found = said(block, told, told, stop(0))
        assert found.count(Unrecognized(raw, "content[0].delta")) == 2
        assert not any(isinstance(e, Text | Reasoning) for e in found)
    piece = delta(0, "input_json_delta", partial_json="{}")
    raw = b'{"type": "input_json_delta", "partial_json": "{}"}'
    assert said(CITED, piece, stop(0)) == [Unrecognized(raw, "content[0].delta")]
    arguments = delta(3, "input_json_delta", partial_json="{}")
    place = "content[3].delta"
    assert said(arguments) == [
        Unrecognized(b'{"type": "input_json_delta", "partial_json": "{}"}', place)
    ]
    bare = arguments.replace(b'"index": 3, ', b"")
    assert [e.place for e in said(bare) if isinstance(e, Unrecognized)] == ["content[0].delta"]


def test_an_unknown_key_of_a_piece() -> None:
    strange = delta(0, "text_delta", text="a", new=[1])
    assert said(OPEN, strange, stop(0)) == [Text("a"), Unrecognized(b"[1]", "content[0].delta.new")]
    thinks = delta(0, "thinking_delta", thinking="a", new=1)
    found = Unrecognized(b"1", "content[0].delta.new")
    assert said(THINKING, thinks, sign("c2ln"), stop(0))[:2] == [Reasoning("a"), found]
    tool = start(0, type="tool_use", id="t", name="f", input={})
    piece = delta(0, "input_json_delta", partial_json="{}", new=1)
    assert said(tool, piece, stop(0))[-3:-1] == [ToolCallDelta(0, "{}"), found]
    use = start(0, type="server_tool_use", input={})
    assert said(use, piece, stop(0)) == [
        found,
        Unrecognized(b'{"type":"server_tool_use","input":{}}', "content[0]"),
        Unrecognized(b"{}", "content[0].input"),
    ]


def test_an_unknown_key_of_a_piece_of_another_block() -> None:
    strange = delta(0, "text_delta", text="a", new=1)
    found = Unrecognized(b"1", "content[0].delta.new")
    two = [OPEN, start(1, type="text", text=""), strange, stop(0), stop(1)]
    assert said(*two) == [Text("a"), found]


def test_an_unknown_key_of_a_block_or_a_message() -> None:
    events = said(start(0, type="text", text="a", new=1), text(0, "b"), stop(0))
    form = {"type": "text", "text": "ab", "new": 1}
    assert shown(events) == [Text("a"), Text("b"), native(form)]
    assert said(start(0, type="text", text="a", new=None), stop(0)) == [Text("a")]
    begin = message(new=1, container=None, service_tier="x")
    events = receive(begin, over(container={"id": "c"}), STOP).succeeded().events
    assert Unrecognized(b"1", "message.new") in events
    assert Unrecognized(b'{"id": "c"}', "delta.container") in events
    assert len(events) == 5


def test_odd_blocks() -> None:
    strange = event("content_block_start", index=2, content_block=[1])
    assert said(strange) == [Unrecognized(b"[1]", "content[2]")]
    strange = event("content_block_delta", index=2, delta=[1])
    assert said(strange) == [Unrecognized(b"[1]", "content[2].delta")]
    nameless = said(start(0, type="tool_use", id=7, name=None, input=None), stop(0))
    assert nameless[0] == ToolCallStart(0, "7", "")
    no_type = said(start(0, x=1), stop(0))
    assert shown(no_type) == [native({"x": 1})]


def test_odd_values_are_handed_on() -> None:
    odd = said(start(0, type="text", text=["hi"]), text(0, "a"), stop(0))
    assert odd == [Unrecognized(b'["hi"]', "content[0].text"), Text("a")]
    thought = start(0, type="thinking", thinking=5, signature="c2ln")
    assert said(thought, stop(0)) == [
        Unrecognized(b"5", "content[0].thinking"),
        Unrecognized(b'"c2ln"', "content[0].signature"),
    ]
    thought = start(0, type="thinking", thinking="t", signature=[1], new=2, more=None)
    assert said(thought, stop(0)) == [
        *(Reasoning("t"), Unrecognized(b"[1]", "content[0].signature")),
        Unrecognized(b"2", "content[0].new"),
    ]
    details = event("message_delta", delta={"stop_reason": "refusal", "stop_details": {"new": 1}})
    assert said(details) == [Unrecognized(b"1", "delta.stop_details.new")]
    details = event("message_delta", delta={"stop_details": "x"})
    assert said(details) == [Unrecognized(b'"x"', "delta.stop_details")]
    begin = receive(message(stop_details="x"), over(), STOP).succeeded().events
    assert begin[1] == Unrecognized(b'"x"', "message.stop_details")
    nameless = said(start(0, type="tool_use", id=[1], name={"a": 1}, input={}), stop(0))
    assert nameless[:3] == [
        ToolCallStart(0, "", ""),
        *(Unrecognized(b"[1]", "content[0].id"), Unrecognized(b'{"a": 1}', "content[0].name")),
    ]
    end = call("tool_use", input=False).events[-3]
    assert end == ToolCallEnd(0, "t", "f", "false", False)
    bare = event("content_block_delta", index=0)
    assert said(bare) == [Unrecognized(bare.partition(b"data: ")[2].strip())]
    block = event("content_block_start", index=0, content_block=None)
    assert said(block) == [Unrecognized(block.partition(b"data: ")[2].strip())]


def test_messages_that_are_no_object() -> None:
    first = event("message_start", message=[])
    outcome = receive(first, BEGIN, OPEN, text(0, "a"), stop(0), over(), STOP).succeeded()
    assert outcome.events[:2] == [
        Unrecognized(b'{"type": "message_start", "message": []}'),
        Start("msg_1", "m"),
    ]
    delta = event("message_delta", delta="x")
    assert said(delta) == [Unrecognized(b'"x"', "delta")]


def test_pieces_of_what_is_spoiled_are_handed_on() -> None:
    block = start(0, type="server_tool_use", id="s", name="n", input={})
    pieces = [delta(0, "input_json_delta", partial_json='{"a"'), delta(0, "new_delta")]
    last = delta(0, "input_json_delta", partial_json=":1}")
    found = said(block, *pieces, last, stop(0))
    assert all(isinstance(event, Unrecognized) for event in found)
    assert b":1}" in b"".join(e.raw for e in found if isinstance(e, Unrecognized))


def test_what_else_is_known_of_what_is_spoiled() -> None:
    """A source, a signature, and further keys of a call."""
    cited = delta(0, "citations_delta", citation={"url": "u", "encrypted_index": "e"})
    assert said(CITED, cited, text(0, "a"), delta(0, "new_delta"), stop(0)) == [
        *(Citation("u"), Text("a"), Unrecognized(b'{"type": "new_delta"}', "content[0].delta")),
        Unrecognized(b'[{"url":"u","encrypted_index":"e"}]', "content[0].citations"),
    ]
    signed = delta(0, "signature_delta", signature="c2ln")
    assert Unrecognized(b'"c2ln"', "content[0].signature") in said(
        THINKING, signed, delta(0, "new_delta"), stop(0)
    )


def test_a_start_that_comes_too_late() -> None:
    outcome = receive(OPEN, text(0, "a"), BEGIN, stop(0), over(), STOP).succeeded()
    assert outcome.events[0] == Text("a")
    assert not any(isinstance(e, Start) for e in outcome.events)


def test_pieces_after_the_stop_reason() -> None:
    """They show that the message goes on."""
    block = start(0, type="tool_use", id="t", name="f", input={})
    pieces = [delta(0, "input_json_delta", partial_json='{"a":1}')] * 2
    receive(BEGIN, block, pieces[0], over(), pieces[1]).refused_by(Truncated)


def test_half_a_character() -> None:
    raw = b'{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"\\ud83d"}}'
    body = b"event: content_block_delta\ndata: " + raw + b"\n\n"
    assert said(OPEN, text(0, "a"), body, stop(0)) == [Text("a"), Text("\ufffd")]


def test_what_is_no_json() -> None:
    outcome = receive(BEGIN, OPEN, text(0, "a"), b'data: {"type": \n\n', text(0, "b"))
    assert isinstance(outcome.error, Malformed)
    assert outcome.reply.text == "a"


def test_a_line_that_is_no_field() -> None:
    events = receive(PLAIN.removesuffix(STOP), b"oops\n").succeeded().events
    assert Unrecognized(b"oops") in events
    events = receive(PLAIN.removesuffix(STOP), b"{\n").succeeded().events
    assert Unrecognized(b"{\n") in events


# Errors


def refusal(type: str, **more: Any) -> bytes:
    return event("error", error={"type": type, "message": "the reason"}, **more)


@pytest.mark.parametrize(
    ("type", "kind"),
    [
        ("overloaded_error", Overloaded),
        ("timeout_error", Overloaded),
        ("rate_limit_error", RateLimited),
        ("api_error", Refused),
        ("invalid_request_error", BadRequest),
        ("request_too_large", BadRequest),
        ("not_found_error", BadRequest),
        ("conflict_error", BadRequest),
        ("authentication_error", AuthenticationFailed),
        ("permission_error", AuthenticationFailed),
        ("billing_error", RateLimited),
    ],
)
@pytest.mark.parametrize("before", [b"", BEGIN + OPEN + text(0, "a")])
def test_an_error_in_the_stream(type: str, kind: Any, before: bytes) -> None:
    outcome = receive(before, refusal(type, request_id="req_7"))
    assert kind is outcome.error.__class__
    assert isinstance(outcome.error, Refused)
    assert "the reason" in str(outcome.error)
    assert (outcome.error.status, outcome.error.type) == (200, type)
    assert outcome.error.request_id == "req_7"
    assert outcome.error.lasting == (type == "billing_error")
    assert outcome.reply.text == ("a" if before else "")


def test_an_error_without_a_name_or_a_type() -> None:
    for body in (
        b'data: {"type":"error","error":{"type":"timeout_error","message":"no"}}\n\n',
        b'data: {"error":{"type":"timeout_error","message":"no"}}\n\n',
    ):
        assert isinstance(receive(body).error, Overloaded)
    for body in (
        b"event: error\ndata: overloaded\n\n",
        b'event: ping\ndata: {"type":"error","error":{"message":"no"}}\n\n',
        b'{"type":"error","error":{"type":"overloaded_error","message":"no"}}',
    ):
        assert isinstance(receive(body).error, Refused)


SLOW = {"type": "timeout_error", "message": "slow"}


@pytest.mark.parametrize(
    ("said", "place"),
    [
        (message(error=SLOW), "message.error"),
        (over(error=SLOW), "delta.error"),
        (over(stop_details={"error": SLOW}), "delta.stop_details.error"),
        (OPEN + delta(0, "text_delta", text="a", error=SLOW), "content[0].delta.error"),
    ],
)
def test_an_error_beside_what_an_event_says(said: bytes, place: str) -> None:
    begin = b"" if place.startswith("message") else BEGIN
    outcome = receive(begin, said, over(), STOP).refused_by(Overloaded, "slow")
    assert Unrecognized(json.dumps(SLOW).encode(), place) in outcome.events
    assert FINISH in outcome.events


def test_an_error_of_an_event() -> None:
    piece = event("content_block_delta", index=0, delta={"type": "text_delta"}, error=SLOW)
    named = b"event: odd\ndata: " + json.dumps({"error": SLOW}).encode() + b"\n\n"
    bare = b'data: {"message":"slow"}\n\n'
    for last, kind in ((piece, Overloaded), (named, Overloaded), (bare, Refused)):
        outcome = receive(BEGIN, OPEN, text(0, "a"), last).refused_by(kind, "slow")
        assert outcome.events == [Start("msg_1", "m"), Text("a")]
        assert isinstance(outcome.error, Refused)
        assert outcome.error.data == last.partition(b"data: ")[2].strip()
    assert said(b"event: odd\n" + bare) == [Unrecognized(b'{"message":"slow"}')]


STATUSES: dict[str, tuple[int, str, type[Refused], bool]] = {
    "invalid": (400, "invalid_request_error", BadRequest, False),
    "key": (401, "authentication_error", AuthenticationFailed, False),
    "billing": (402, "billing_error", RateLimited, True),
    "permission": (403, "permission_error", AuthenticationFailed, False),
    "not found": (404, "not_found_error", BadRequest, False),
    "conflict": (409, "conflict_error", BadRequest, False),
    "too large": (413, "request_too_large", BadRequest, False),
    "too many": (429, "rate_limit_error", RateLimited, False),
    "internal": (500, "api_error", Refused, False),
    "timeout": (504, "timeout_error", Overloaded, False),
    "overloaded": (529, "overloaded_error", Overloaded, False),
}


@pytest.mark.parametrize("name", STATUSES)
def test_an_error_by_its_status(name: str) -> None:
    status, type, kind, lasting = STATUSES[name]
    body = {"type": "error", "error": {"type": type, "message": "no"}, "request_id": "req_1"}
    for headers in ([], [(b"request-id", b"req_2"), (b"retry-after", b"7")]):
        response = Response(json.dumps(body).encode(), status, headers)
        error = drive(ask(), response).error
        assert isinstance(error, Refused)
        assert error.__class__ is kind
        assert error.lasting is lasting
        told = ("req_2", "7") if headers else ("req_1", None)
        assert (error.request_id, error.retry_after) == told


def test_a_page_of_a_proxy() -> None:
    page = Response(b"<html>too large</html>", 413, [(b"content-type", b"text/html")])
    error = drive(ask(), page).error
    assert isinstance(error, BadRequest)
    ok = Response(b"<html>hi</html>", 200, [(b"content-type", b"text/html")])
    assert isinstance(drive(ask(), ok).error, UnexpectedContent)


# Answers that are not streamed


def whole(**fields: Any) -> Outcome:
    known = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m"}
    body = json.dumps({**known, "content": [], "stop_reason": "end_turn", **fields}).encode()
    return alike(ask(stream=False), body)


def test_a_whole_answer() -> None:
    content = [
        {"type": "thinking", "thinking": "t", "signature": "s"},
        {"type": "text", "text": "a"},
        {"type": "text", "text": "b", "citations": [WEB]},
        {"type": "tool_use", "id": "t", "name": "f", "input": {"a": 1}},
        {"type": "new", "x": 1},
    ]
    usage = {"input_tokens": 2, "output_tokens": 3}
    outcome = whole(content=content, usage=usage, stop_reason="tool_use", container={"id": "c"})
    assert shown(outcome.succeeded().events) == [
        *(Start("msg_1", "m"), Reasoning("t"), native(content[0])),
        *(Text("a", 1), Citation("u", "t", quote="q", part=2), Text("b", 2), native(content[2], 2)),
        *(ToolCallStart(0, "t", "f", part=3), ToolCallDelta(0, '{"a": 1}')),
        *(native(content[4], 4), Usage(2, 3, 5, raw=usage)),
        Unrecognized(b'{"id": "c"}', "container"),
        *(ToolCallEnd(0, "t", "f", '{"a": 1}', True), Finish("tool_use", "tool_call"), END),
    ]


def test_why_a_whole_answer_stopped() -> None:
    stopped = whole(stop_reason="stop_sequence", stop_sequence="END").succeeded()
    assert stopped.events[1:] == [Finish("stop_sequence", "stop", "END"), END]
    details = {"category": "cyber", "explanation": "No."}
    refused = whole(stop_reason="refusal", stop_details=details).succeeded()
    finish = Finish("refusal", "content_filter", "cyber")
    assert refused.events[1:] == [Refusal("No."), finish, END]


def test_odd_values_of_a_whole_answer() -> None:
    content = [{"type": "text", "text": "a"}, {"type": "text", "text": 1.5}, 7]
    assert whole(content=content).succeeded().events[1:-2] == [
        Text("a"),
        Unrecognized(b"1.5", "content[1].text"),
        Unrecognized(b"7", "content[2]"),
    ]


def test_half_a_whole_answer() -> None:
    outcome = whole(content=[{"type": "text", "text": "a"}], stop_reason=None)
    assert isinstance(outcome.error, Truncated)
    assert outcome.reply.text == "a"


def test_a_whole_answer_without_content() -> None:
    assert whole(content=None).succeeded().events == [Start("msg_1", "m"), FINISH, END]


def test_a_stream_that_was_answered_whole() -> None:
    body = b'{"content":[{"type":"text","text":"a"}],"stop_reason":"end_turn"}'
    assert alike(ask(), body).succeeded().events == [Text("a"), FINISH, END]


@pytest.mark.parametrize(
    "body", [b"[]", b"{}", b'{"content":"a"}', b'{"completion":"a"}', b"{} {}"]
)
def test_another_document(body: bytes) -> None:
    error = alike(ask(stream=False), body).error
    assert isinstance(error, UnexpectedContent | Malformed)
    if isinstance(error, UnexpectedContent):
        said = ("a JSON document that is no message", body)
        assert (error.message, error.data) == said


def test_an_error_instead_of_a_message() -> None:
    body = b'{"type":"error","error":{"type":"timeout_error","message":"too late"}}'
    error = alike(ask(stream=False), body).error
    assert isinstance(error, Overloaded)
    assert (error.message, error.data) == ("the service refused: too late", body)


# Limits


def test_a_block_that_is_too_large() -> None:
    limits = Limits(event=1000)
    pieces = [thought("x" * 300) for _ in range(4)]
    outcome = receive(BEGIN, THINKING, *pieces, limits=limits)
    assert isinstance(outcome.error, LimitExceeded)
    assert outcome.reply.reasoning == "x" * 900
    plain = [text(0, "x" * 300) for _ in range(4)]
    receive(BEGIN, OPEN, *plain, stop(0), over(), STOP, limits=limits).succeeded()
    cites = [cite(**{**WEB, "cited_text": "x" * 300}) for _ in range(4)]
    assert isinstance(receive(BEGIN, CITED, *cites, limits=limits).error, LimitExceeded)
    signs = [sign("x" * 600) for _ in range(2)]
    assert isinstance(receive(BEGIN, THINKING, *signs, limits=limits).error, LimitExceeded)


def test_too_many_blocks() -> None:
    blocks = [start(n, type="text", text="") + stop(n) for n in range(4)]
    outcome = receive(BEGIN, *blocks, over(), STOP, limits=Limits(parts=3))
    assert isinstance(outcome.error, LimitExceeded)


# The request as a whole; its body is in test_request


def test_the_request() -> None:
    request = ANTHROPIC.exchange(as_chat("hi", model="m"), key="sesame").next_request()
    assert request is not None
    assert (request.method, request.url) == ("POST", "https://api.anthropic.com/v1/messages")
    headers = dict(request.headers)
    assert headers[b"x-api-key"] == b"sesame"
    assert headers[b"anthropic-version"] == b"2023-06-01"
    assert headers[b"accept"] == b"text/event-stream"
    assert json.loads(request.body) == {
        "model": "m",
        "max_tokens": 32000,
        "messages": [{"role": "user", "content": "hi"}],
        "stream": True,
    }
    later = ANTHROPIC.replace(headers={"Anthropic-Version": "2026-10-21"}, auth=Bearer())
    request = later.exchange(as_chat("hi", model="m", stream=False), key="k").next_request()
    assert request is not None
    headers = dict(request.headers)
    assert headers[b"anthropic-version"] == b"2026-10-21"
    assert headers[b"authorization"] == b"Bearer k"
    assert headers[b"accept"] == b"application/json"


@pytest.mark.parametrize(
    "base", ["https://x.test/a", "https://x.test/a/v1", "https://x.test/a/v1/"]
)
def test_a_base_url_may_end_in_v1(base: str) -> None:
    request = ANTHROPIC.exchange(as_chat("hi", model="m"), base_url=base).next_request()
    assert request is not None
    assert request.url == "https://x.test/a/v1/messages"


@pytest.mark.parametrize(
    ("name", "stream", "url"),
    [
        (
            "anthropic-vertex",
            True,
            "https://eu-aiplatform.googleapis.com/v1/projects/p/locations/eu/publishers/"
            "anthropic/models/claude-x@1:streamRawPredict",
        ),
        (
            "anthropic-vertex-global",
            False,
            "https://aiplatform.googleapis.com/v1/projects/p/locations/global/publishers/"
            "anthropic/models/claude-x@1:rawPredict",
        ),
    ],
)
def test_vertex(name: str, stream: bool, url: str) -> None:
    provider = PROVIDERS[name]
    chat = as_chat("hi", model="claude-x@1", stream=stream)
    exchange = provider.exchange(chat, key="token", params={"project": "p", "region": "eu"})
    request = exchange.next_request()
    assert request is not None
    assert request.url == url
    assert dict(request.headers)[b"authorization"] == b"Bearer token"
    assert json.loads(request.body) == {
        "anthropic_version": "vertex-2023-10-16",
        "max_tokens": 32000,
        "messages": [{"role": "user", "content": "hi"}],
        "stream": stream,
    }


def test_foundry() -> None:
    provider = PROVIDERS["anthropic-foundry"]
    with pytest.raises(LocalProtocolError, match="ANTHROPIC_FOUNDRY_RESOURCE"):
        provider.exchange(as_chat("hi", model="m"))
    request = provider.exchange(
        as_chat("hi", model="m"), key="k", params={"resource": "r"}
    ).next_request()
    assert request is not None
    assert request.url == "https://r.services.ai.azure.com/anthropic/v1/messages"
    assert dict(request.headers)[b"x-api-key"] == b"k"
    assert json.loads(request.body)["model"] == "m"
