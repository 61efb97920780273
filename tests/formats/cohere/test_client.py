"""Cohere's chat, client half: each fact about its answers, by bytes that are written here."""

import json
from typing import Any

import msgspec
import pytest

from tests.asking import HTML
from tests.driving import JSON, Outcome, Response, alike, drive, no_sign_of_life
from tokenwire.protocols.chat import Opaque, ReasoningPart, TextPart, ToolCall, as_chat
from tokenwire.protocols.errors import (
    AuthenticationFailed,
    BadRequest,
    ContentFiltered,
    LimitExceeded,
    Malformed,
    Overloaded,
    RateLimited,
    Refused,
    Truncated,
    UnexpectedContent,
)
from tokenwire.protocols.events import (
    Citation,
    End,
    Event,
    Finish,
    FinishKind,
    LogProbs,
    Native,
    Reasoning,
    Start,
    Text,
    TokenLogProb,
    ToolCallDelta,
    ToolCallEnd,
    ToolCallStart,
    Unrecognized,
    Usage,
)
from tokenwire.protocols.exchange import Exchange
from tokenwire.protocols.limits import Limits
from tokenwire.protocols.registry import PROVIDERS
from tokenwire.protocols.toolkit.http import Headers

COHERE = PROVIDERS["cohere"]
START = Start("i", "m")
FINISH = Finish("COMPLETE", "stop")
CALLED = Finish("TOOL_CALL", "tool_call")
END = End("terminator")
DONE = b"data: [DONE]\n\n"


def ask(**how: Any) -> Exchange:
    limits = how.pop("limits", None)
    return COHERE.exchange(as_chat("hi", model="m", **how), limits=limits)


# Bytes, as the service writes them


def event(type: str, **fields: Any) -> bytes:
    value = json.dumps({"type": type, **fields}, ensure_ascii=False, separators=(",", ":"))
    return f"event: {type}\ndata: {value}\n\n".encode()


def piece(type: str, index: int | None = None, **message: Any) -> bytes:
    at = {} if index is None else {"index": index}
    return event(type, **at, delta={"message": message})


def begin(id: str = "i", **message: Any) -> bytes:
    empty: dict[str, Any] = {"content": [], "tool_plan": "", "tool_calls": [], "citations": []}
    said = {"message": {"role": "assistant", **empty, **message}}
    return event("message-start", id=id, delta=said)


def opens(index: int = 0, kind: str = "text", **content: Any) -> bytes:
    return piece("content-start", index, content={"type": kind, kind: "", **content})


def says(text: str, index: int = 0) -> bytes:
    return piece("content-delta", index, content={"text": text})


def thinks(text: str, index: int = 0) -> bytes:
    return piece("content-delta", index, content={"thinking": text})


def plans(text: str) -> bytes:
    return piece("tool-plan-delta", tool_plan=text)


def calls(name: str = "f", id: str = "c", index: int = 0, arguments: Any = "") -> bytes:
    function = {"name": name, "arguments": arguments}
    call = {"id": id, "type": "function", "function": function}
    return piece("tool-call-start", index, tool_calls=call)


def gives(arguments: Any, index: int = 0) -> bytes:
    return piece("tool-call-delta", index, tool_calls={"function": {"arguments": arguments}})


def closes(kind: str = "content", index: int = 0) -> bytes:
    return event(f"{kind}-end", index=index)


def cites(citation: Any, index: int = 0) -> bytes:
    return piece("citation-start", index, citations=citation) + closes("citation", index)


def over(reason: str | None = "COMPLETE", **fields: Any) -> bytes:
    fields = fields if reason is None else {"finish_reason": reason, **fields}
    return event("message-end", delta=fields)


def receive(*parts: bytes, limits: Limits | None = None) -> Outcome:
    return alike(ask(limits=limits), b"".join(parts))


def said(*parts: bytes) -> list[Event]:
    """The events between `Start` and `Finish` of a stream that is whole."""
    events = receive(begin(), *parts, over(), DONE).succeeded().events
    assert (events[0], events[-1]) == (START, END)
    assert isinstance(events[-2], Finish)
    return events[1:-2]


def whole(**fields: Any) -> Outcome:
    """An answer that is not streamed, asked for so, and in place of a stream."""
    message = {"role": "assistant", **fields.pop("message", {})}
    body = json.dumps({"id": "i", "finish_reason": "COMPLETE", "message": message, **fields})
    outcomes = [alike(ask(stream=how), Response(body.encode(), headers=JSON)) for how in (0, 1)]
    assert outcomes[0].what == outcomes[1].what
    return outcomes[0]


def test_the_request() -> None:
    for stream, accept in ((True, b"text/event-stream"), (False, b"application/json")):
        request = ask(stream=stream).next_request()
        assert request is not None
        assert (b"accept", accept) in request.headers
        messages = [{"role": "user", "content": "hi"}]
        assert json.loads(request.body) == {"model": "m", "messages": messages, "stream": stream}


# A stream


def test_a_plain_answer() -> None:
    usage = {"billed_units": {"input_tokens": 1}, "tokens": {"input_tokens": 3, "output_tokens": 2}}
    parts = (begin(), opens(), says("h\u20ac"), says("i"), closes(), over(usage=usage), DONE)
    assert receive(*parts).succeeded().events == [
        *(START, Text("h\u20ac"), Text("i"), Usage(3, 2, 5, raw=usage), FINISH, END),
    ]


def test_keys_in_any_order() -> None:
    delta = b'{"delta":{"message":{"content":{"text":"a"}}},"index":0,"type":"content-delta"}'
    assert said(opens(), b"event: content-delta\ndata: " + delta + b"\n\n") == [Text("a")]


def test_what_an_event_is_its_data_says() -> None:
    named = begin() + opens() + says("a") + closes() + over()
    expected = receive(named).succeeded().events
    bare = b"".join(line for line in named.splitlines(True) if line[:6] != b"event:")
    assert receive(bare).events == expected
    assert receive(named.replace(b"event: content-delta", b"event: message-end")).events == expected
    misnamed = named.replace(b"event: message-end", b"event: content-delta") + says("b")
    assert receive(misnamed).events == expected
    # Without a type the name is all there is.
    untyped = named.replace(b'{"type":"content-delta",', b"{").replace(
        b'{"type":"message-end",', b"{"
    )
    assert receive(untyped).events == expected


def test_a_stream_may_begin_without_its_start() -> None:
    """By which nothing can come before a Start that is late."""
    assert receive(says("a"), begin(), over()).events == [Text("a"), FINISH, END]


def test_only_the_first_start_counts() -> None:
    assert receive(begin(), begin("j"), says("a"), over()).events == [START, Text("a"), FINISH, END]


def test_nothing_is_read_after_the_end() -> None:
    for after in (says("b"), over("ERROR", error="no"), b"x\n\n", DONE + DONE):
        assert receive(says("a"), over(), after).events == [Text("a"), FINISH, END]


@pytest.mark.parametrize("done", [b"", DONE])
def test_without_message_end_it_is_truncated(done: bytes) -> None:
    outcome = receive(begin(), opens(), says("a"), closes(), calls(), gives("{}"), done)
    outcome.refused_by(Truncated, "the stream ended before message-end")
    assert outcome.events == [
        *(START, Text("a"), ToolCallStart(0, "c", "f", part=1), ToolCallDelta(0, "{}")),
    ]


def test_a_cut_plan_has_no_native_form() -> None:
    outcome = receive(begin(), plans("I "), plans("will"))
    assert outcome.events == [START, Reasoning("I "), Reasoning("will")]
    assert isinstance(outcome.error, Truncated)


def test_an_end_that_says_nothing() -> None:
    assert receive(begin(), says("a"), event("message-end")).events == [START, Text("a"), END]
    late = receive(begin(), event("message-end", delta={"message": {"x": 1}})).events
    assert late == [START, Unrecognized(b"1", "delta.message.x"), END]
    more = event("message-end", delta={"message": {"content": {"text": "b"}}})
    assert receive(begin(), says("a"), more).events == [START, Text("a"), Text("b"), END]
    odd = receive(begin(), says("a"), event("message-end", delta=7)).events
    assert odd == [START, Text("a"), Unrecognized(b"7", "delta"), END]


def test_a_thought_and_a_call_have_the_same_index() -> None:
    events = said(
        *(opens(0, "thinking"), thinks("Let "), thinks("me."), closes()),
        *(calls(), gives('{"a":'), gives("1}"), closes("tool-call")),
    )
    assert events == [
        *(Reasoning("Let "), Reasoning("me.")),
        *(ToolCallStart(0, "c", "f", part=1), ToolCallDelta(0, '{"a":'), ToolCallDelta(0, "1}")),
        ToolCallEnd(0, "c", "f", '{"a":1}', True),
    ]


def test_a_plan_goes_back() -> None:
    events = said(plans("I "), plans("will."), calls(), closes("tool-call"))
    assert events == [
        *(Reasoning("I "), Reasoning("will."), Native("cohere", b'{"tool_plan":"I will."}')),
        *(ToolCallStart(0, "c", "f", part=1), ToolCallEnd(0, "c", "f", "{}", True)),
    ]
    native = Native("cohere", b'{"tool_plan":"no call"}')
    assert said(plans("no call")) == [Reasoning("no call"), native]
    native = Native("cohere", b'{"tool_plan":"p"}')
    assert said(plans("p"), says("a")) == [Reasoning("p"), native, Text("a", 1)]
    odd = piece("content-start", 0, content={"type": "audio"})
    assert said(plans("p"), odd)[:2] == [Reasoning("p"), native]
    assert said(plans("p"), plans(""), opens(), says("a")) == [Reasoning("p"), native, Text("a", 1)]


def test_a_plan_that_goes_on_later_is_another_part() -> None:
    first, second = (
        Native("cohere", b'{"tool_plan":"%b"}' % p, n) for p, n in ((b"a", 0), (b"b", 2))
    )
    events = said(plans("a"), calls(), plans("b"))
    assert events[:5] == [
        *(Reasoning("a"), first, ToolCallStart(0, "c", "f", part=1), Reasoning("b", 2), second),
    ]


def test_two_calls_and_two_citations_do_not_mix() -> None:
    citation = {"start": 0, "end": 1, "sources": [{"id": "d"}], "content_index": 0}
    other = {**citation, "end": 2}
    events = said(
        *(opens(), says("ab"), cites(citation, 0), cites(other, 1), closes()),
        *(calls("f", "c", 0), gives("{", 0), gives("}", 0), closes("tool-call", 0)),
        *(calls("g", "d", 1), gives('{"b":2}', 1), closes("tool-call", 1)),
    )
    native = msgspec.json.encode({"citations": [citation, other]})
    assert events == [
        Text("ab"),
        *(Citation(source="d", start=0, end=end) for end in (1, 2)),
        *(ToolCallStart(0, "c", "f", part=2), ToolCallDelta(0, "{"), ToolCallDelta(0, "}")),
        *(ToolCallStart(1, "d", "g", part=3), ToolCallDelta(1, '{"b":2}')),
        Native("cohere", native, 1),
        *(ToolCallEnd(0, "c", "f", "{}", True), ToolCallEnd(1, "d", "g", '{"b":2}', True)),
    ]


def test_pieces_of_two_calls_may_alternate() -> None:
    cited = cites({"sources": []})
    events = said(
        *(calls("f", "c", 0), calls("g", "d", 1), cited, gives('{"a":', 0)),
        *(gives('{"b":', 1), gives("1}", 0), gives("2}", 1)),
    )
    assert events[-2:] == [
        ToolCallEnd(0, "c", "f", '{"a":1}', True),
        ToolCallEnd(1, "d", "g", '{"b":2}', True),
    ]


def test_the_end_of_a_call_comes_with_the_proof() -> None:
    """An answer that was cut at the limit has no whole call, unless its arguments say so."""
    for arguments, complete in (('{"a":', False), ('{"a":1}', True), ("", False)):
        outcome = receive(begin(), calls(), gives(arguments), over("MAX_TOKENS"))
        end = ToolCallEnd(0, "c", "f", arguments or "{}", complete)
        assert outcome.succeeded().events[-3:] == [end, Finish("MAX_TOKENS", "length"), END]


def test_blocks_are_parts() -> None:
    events = said(
        *(opens(0, "thinking"), thinks("t", 0), closes("content", 0)),
        *(opens(1), says("a", 1), says("b", 1), closes("content", 1)),
        *(opens(2), says("c", 2), says("B", 1), says("", 2), says("C", 2)),
        *(opens(3, "thinking"), thinks("d", 3), thinks("D", 3)),
    )
    assert events == [
        *(Reasoning("t"), Text("a", 1), Text("b", 1)),
        *(Text("c", 2), Text("B", 1), Text("C", 2), Reasoning("d", 3), Reasoning("D", 3)),
    ]


def test_a_block_of_the_same_index_is_another_part() -> None:
    assert said(opens(), says("a"), opens(), says("b")) == [Text("a"), Text("b", 1)]


def test_the_key_tells_the_kind() -> None:
    assert said(opens(), thinks("t"), says("a")) == [Reasoning("t", 1), Text("a", 2)]
    both = piece("content-delta", 0, content={"text": "a", "thinking": "t"})
    assert said(opens(), says("b"), both) == [Text("b"), Reasoning("t", 1), Text("a", 2)]
    thought = opens(0, "thinking")
    assert said(thought, thinks("s"), both) == [Reasoning("s"), Reasoning("t"), Text("a", 1)]


def test_the_start_of_a_block_may_have_its_text() -> None:
    assert said(opens(text="a"), says("b")) == [Text("a"), Text("b")]
    assert said(opens(0, "thinking", thinking="a"), thinks("b")) == [Reasoning("a"), Reasoning("b")]
    assert said(piece("content-start", 0, content={"type": "text"}), says("b")) == [Text("b")]
    assert said(piece("content-start", 0, content={}), says("b")) == [Text("b")]


def test_the_start_of_a_block_may_be_missing() -> None:
    assert said(says("a"), thinks("t", 1)) == [Text("a"), Reasoning("t", 1)]


def test_an_index_may_be_missing_or_odd() -> None:
    def bare(type: str, **message: Any) -> bytes:
        return piece(type, None, **message)

    start = bare("content-start", content={"type": "text"})
    one, two = (bare("content-delta", content={"text": text}) for text in "ab")
    assert said(start, one, start, two) == [Text("a"), Text("b", 1)]
    assert said(one, two) == [Text("a"), Text("b")]
    assert said(says("a", 2), two) == [Text("a"), Text("b")]
    # In a list they count from 0, whatever the index of the list.
    several = piece("content-start", 5, content=[{"type": "text", "text": "a"}])
    assert said(several, says("b", 0)) == [Text("a"), Text("b")]
    call = bare("tool-call-start", tool_calls={"id": "c", "function": {"name": "f"}})
    given = bare("tool-call-delta", tool_calls={"function": {"arguments": "{}"}})
    listed = piece("tool-call-start", 5, tool_calls=[{"id": "c", "function": {"name": "f"}}])
    for begins in (call, listed):
        assert said(begins, gives("{}"))[:2] == [ToolCallStart(0, "c", "f"), ToolCallDelta(0, "{}")]
    assert said(call, given, call, given)[:4] == [
        *(ToolCallStart(0, "c", "f"), ToolCallDelta(0, "{}")),
        *(ToolCallStart(1, "c", "f", part=1), ToolCallDelta(1, "{}")),
    ]
    odd = event("content-delta", index="x", delta={"message": {"content": {"text": "a"}}})
    assert said(odd) == [Text("a"), Unrecognized(b'"x"', "index")]
    assert said(says("a"), says("b", -1)) == [Text("a"), Text("b", 1)]


def test_odd_pieces_of_blocks_that_are_open_at_once() -> None:
    def odd(index: int, **content: Any) -> bytes:
        return piece("content-delta", index, content={**content, "x": 1})

    unknown = Unrecognized(b"1", "delta.message.content.x")
    events = said(opens(), opens(1), says("a", 1), odd(0, text="b"), says("c", 1))
    assert events == [Text("a", 1), Text("b"), unknown, Text("c", 1)]
    events = said(odd(1, thinking="a"), thinks("b", 1), odd(1, thinking="c"))
    assert events == [Reasoning("a"), unknown, Reasoning("b"), Reasoning("c"), unknown]


def test_text_of_which_only_the_name_tells_the_type() -> None:
    untyped = says("a").replace(b'"type":"content-delta",', b"")
    assert said(untyped) == [Text("a")]
    assert in_reads(begin(), untyped * 2) == [START, Text("a"), Text("a")]


def in_reads(*reads: bytes) -> list[Event]:
    """The events of what is received in these reads."""
    exchange = ask()
    exchange.next_request()
    exchange.receive_response(200, [(b"content-type", b"text/event-stream")])
    return [event for read in reads for event in exchange.receive_data(read)]


def test_text_of_a_block_of_an_unknown_type() -> None:
    odd = piece("content-start", 0, content={"type": "audio"})
    events = in_reads(begin() + odd, says("a") + says("b"))
    assert [type(e) for e in events] == [Start, *[Unrecognized] * 3]


def test_text_as_a_string() -> None:
    assert said(piece("content-delta", 0, content="a\n")) == [Text("a\n")]
    assert whole(message={"content": "a"}).events == [START, Text("a"), FINISH, END]


# What is not understood


def test_events_of_other_types() -> None:
    for other in (
        *(b'{"type":"debug","prompt":"p"}', b'{"type":"new","index":0,"delta":{}}'),
        *(b"[1]", b"7", b'{"type":["content-delta"]}'),
    ):
        events = said(says("a"), b"data: " + other + b"\n\n", says("b"))
        assert events == [Text("a"), Unrecognized(other), Text("b")]


def test_white_space_around_an_event() -> None:
    spaced = says("a").replace(b"data: ", b"data:  ")
    new = b'data:  {"type":"new"}\n\n'
    assert said(spaced, new) == [Text("a"), Unrecognized(b' {"type":"new"}')]
    assert receive(begin(), over().replace(b"data: ", b"data:  ")).events == [START, FINISH, END]


def test_what_is_no_json() -> None:
    outcome = receive(begin(), says("a"), b"data: {nonsense}\n\n", says("b"))
    outcome.refused_by(Malformed, "nonsense")
    assert outcome.events == [START, Text("a")]
    assert isinstance(outcome.error, Malformed)
    assert outcome.error.data == b"{nonsense}"
    assert said(b"data: nonsense\n\n", says("a")) == [Unrecognized(b"nonsense"), Text("a")]


def test_further_keys_are_handed_on() -> None:
    text = {"message": {"content": {"text": "a", "x": 1}, "y": [2]}, "z": None, "w": "v"}
    assert said(event("content-delta", index=0, delta=text, u={"t": 1})) == [
        Text("a"),
        Unrecognized(b"1", "delta.message.content.x"),
        Unrecognized(b"[2]", "delta.message.y"),
        Unrecognized(b'"v"', "delta.w"),
        Unrecognized(b'{"t":1}', "u"),
    ]
    odd = {"id": "c", "function": {"name": "f", "arguments": "{}", "x": 1}, "y": 2}
    assert said(piece("tool-call-start", 0, tool_calls=odd)) == [
        *(ToolCallStart(0, "c", "f"), ToolCallDelta(0, "{}")),
        Unrecognized(b"2", "delta.message.tool_calls.y"),
        Unrecognized(b"1", "delta.message.tool_calls.function.x"),
        ToolCallEnd(0, "c", "f", "{}", True),
    ]
    outcome = receive(begin(), says("a"), over(new=1))
    assert outcome.events == [START, Text("a"), Unrecognized(b"1", "delta.new"), FINISH, END]


def test_pieces_of_an_unexpected_type() -> None:
    """A number is text; anything else is handed on, and never costs the answer."""
    assert said(opens(), piece("content-delta", 0, content={"text": 7})) == [Text("7")]
    for raw, place in (
        ({"message": {"content": {"text": ["x"]}}}, "delta.message.content.text"),
        ({"message": {"content": [["x"]]}}, "delta.message.content[0]"),
        ({"message": {"content": True}}, "delta.message.content"),
        ({"message": {"tool_plan": {"x": 1}}}, "delta.message.tool_plan"),
        ({"message": {"tool_calls": "x"}}, "delta.message.tool_calls"),
        ({"message": {"citations": "x"}}, "delta.message.citations"),
        ({"message": ["x"]}, "delta.message"),
        ("x", "delta"),
    ):
        events = said(opens(), event("content-delta", index=0, delta=raw), says("a"))
        (unknown,) = (e for e in events if isinstance(e, Unrecognized))
        assert unknown.place == place
        assert unknown.raw in json.dumps(raw, separators=(",", ":")).encode()
        assert events[-1] in (Text("a"), Text("a", 1))


def test_null_is_nothing() -> None:
    for empty in ({"message": None}, None, {"message": {"content": None, "tool_calls": None}}):
        assert said(event("content-delta", index=None, delta=empty), says("a")) == [Text("a")]


def test_a_block_of_an_unknown_type() -> None:
    start = {"type": "audio", "text": "no text"}
    pieces = [{"audio": "UklG"}, {"text": "x"}]
    events = said(
        piece("content-start", 0, content=start),
        *(piece("content-delta", 0, content=content) for content in pieces),
        *(closes(), opens(1), says("a", 1)),
    )
    assert events == [
        *(
            Unrecognized(
                json.dumps(content, separators=(",", ":")).encode(), "delta.message.content"
            )
            for content in (start, *pieces)
        ),
        Text("a", 1),
    ]
    # After it nothing is taken for the text that was open.
    events = said(opens(), says("a"), piece("content-start", 0, content=start), says("b"))
    assert [type(e) for e in events] == [Text, Unrecognized, Unrecognized]
    events = said(piece("content-start", 0, content=start), says("b"))
    assert [type(e) for e in events] == [Unrecognized, Unrecognized]


def test_arguments_that_are_no_text() -> None:
    """An object is its text; of anything else no call is whole."""
    object_ = said(calls(arguments={"a": 1}))
    assert object_[1:] == [ToolCallDelta(0, '{"a":1}'), ToolCallEnd(0, "c", "f", '{"a":1}', True)]
    broken = calls(arguments={"a": "X"}).replace(b"X", b"\xe2\x82")
    assert said(broken)[1] == ToolCallDelta(0, '{"a":"\ufffd"}')
    for odd in (7, ["x"], True):
        events = said(calls(), gives("{}"), gives(odd))
        raw = msgspec.json.encode({"function": {"arguments": odd}})
        assert events[2:] == [
            Unrecognized(raw, "delta.message.tool_calls"),
            ToolCallEnd(0, "c", "f", "{}", False),
        ]
    nothing = piece("tool-call-delta", 0, tool_calls={"id": "c"})
    assert said(calls(), nothing)[1:] == [ToolCallEnd(0, "c", "f", "{}", True)]
    assert said(calls(arguments=None), gives(None))[1:] == [ToolCallEnd(0, "c", "f", "{}", True)]


def test_a_call_without_a_name_or_a_start() -> None:
    for odd in (calls(""), gives("{}"), piece("tool-call-start", 0, tool_calls={"function": 7})):
        (event,) = said(odd)
        assert isinstance(event, Unrecognized)
        assert event.place == "delta.message.tool_calls"


def test_what_follows_a_call_without_a_name_is_not_of_the_one_before() -> None:
    events = said(calls(), calls("", "d"), gives('{"x":1}'))
    assert isinstance(events[1], Unrecognized)
    assert events[-1] == ToolCallEnd(0, "c", "f", '{"x":1}', False)


# Citations


def test_a_citation_for_each_source() -> None:
    citation = {
        "start": 1,
        "end": 3,
        "text": "bc",
        "sources": [
            {"type": "document", "id": "d", "document": {"id": "d", "url": "u", "title": "t"}},
            {"type": "tool", "id": "c:0", "tool_output": {"snippet": "q", "title": 7}},
            {"type": "document"},
            "x",
        ],
        "type": "TEXT_CONTENT",
        "new": {"x": 1},
    }
    events = said(opens(), says("abcd"), cites(citation))
    assert events == [
        Text("abcd"),
        Citation("u", "t", "d", start=1, end=3),
        Citation(source="c:0", quote="q", start=1, end=3),
        Citation(start=1, end=3),
        Native("cohere", msgspec.json.encode({"citations": [citation]}), 1),
    ]


def test_a_source_without_a_span_is_told_once() -> None:
    citation = {"sources": [{"id": "d"}, {"id": "e"}]}
    events = said(says("a"), cites(citation), cites(citation))
    assert events[1:3] == [Citation(source="d"), Citation(source="e")]
    assert events[3:] == [
        Native("cohere", msgspec.json.encode({"citations": [citation, citation]}), 1)
    ]


@pytest.mark.parametrize(
    ("about", "part"),
    [
        ({"content_index": 0}, 1),
        ({"content_index": 1}, 2),
        ({"content_index": 1.0, "type": "TEXT_CONTENT"}, 2),
        ({"content_index": 7}, 0),
        ({"content_index": "x"}, 2),
        ({"type": "PLAN"}, 0),
        ({}, 2),
    ],
)
def test_what_a_citation_is_about(about: Any, part: int) -> None:
    """The last text, if it does not say. An index of no content is that of nothing: part 0."""
    events = said(
        *(plans("p"), opens(0, "thinking"), thinks("t", 0), opens(1), says("a", 1)),
        cites({**about, "start": 0, "end": 1, "sources": [{"id": "d"}]}),
    )
    assert Citation(source="d", start=0, end=1, part=part) in events


def test_a_citation_of_a_plan_that_there_is_not() -> None:
    events = said(says("a"), cites({"type": "PLAN", "sources": [{"id": "d"}]}))
    assert events[:2] == [Text("a"), Citation(source="d")]


def test_a_citation_of_nothing() -> None:
    assert said(cites({"sources": [{"id": "d"}]}))[0] == Citation(source="d")
    assert said(cites({"sources": 7}), cites(None)) == [
        Native("cohere", b'{"citations":[{"sources":7}]}')
    ]


# Log probabilities


def test_log_probabilities() -> None:
    def known(**fields: Any) -> bytes:
        delta = {"message": {"content": {"text": "a"}}}
        said = {"text": "a", "token_ids": [1], "logprobs": [-0.5], **fields}
        return event("content-delta", index=0, delta=delta, logprobs=said)

    probable = LogProbs([TokenLogProb("a", -0.5)])
    assert said(opens(), known()) == [Text("a"), probable]
    assert said(opens(), known(token_ids=[])) == [Text("a"), probable]
    odds: list[dict[str, Any]] = [
        *({"token_ids": [1, 2], "logprobs": [-1, -2]}, {"logprobs": []}, {"logprobs": [None]}),
        *({"new": 1}, {"token_ids": [1, 2]}),
    ]
    for odd in odds:
        _, unknown = said(opens(), known(**odd))
        assert isinstance(unknown, Unrecognized)
        assert unknown.place == "logprobs"
    events = said(event("content-delta", index=0, delta={}, logprobs=7), says("a"))
    assert events == [Unrecognized(b"7", "logprobs"), Text("a")]


def test_log_probabilities_of_a_whole_answer() -> None:
    each = [{"text": text, "token_ids": [1], "logprobs": [-1.0]} for text in "ab"]
    odd = {"text": "c", "token_ids": [1, 2], "logprobs": [-1, -2]}
    events = whole(message={"content": [{"type": "text", "text": "abc"}]}, logprobs=[*each, odd])
    assert events.succeeded().events[1:-2] == [
        Text("abc"),
        Unrecognized(json.dumps(odd).encode(), "logprobs[2]"),
        LogProbs([TokenLogProb("a", -1.0), TokenLogProb("b", -1.0)]),
    ]


# The usage


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        (
            {
                "billed_units": {"input_tokens": 65, "output_tokens": 63},
                "tokens": {"input_tokens": 508.0, "output_tokens": 86, "reasoning_tokens": 28},
                "cached_tokens": 144,
            },
            Usage(508, 86, 594, 144, reasoning_output_tokens=28),
        ),
        ({"billed_units": {"input_tokens": 1, "output_tokens": 2}}, Usage(1, 2, 3)),
        ({"tokens": {"output_tokens": 2}}, Usage(None, 2)),
        ({"tokens": {"input_tokens": "x"}, "cached_tokens": 1.5}, Usage()),
        ({"tokens": 7}, Usage()),
    ],
)
def test_usage(usage: Any, expected: Usage) -> None:
    expected = msgspec.structs.replace(expected, raw=usage)
    assert receive(begin(), over(usage=usage)).events == [START, expected, FINISH, END]
    assert whole(usage=usage).events == [START, expected, FINISH, END]


@pytest.mark.parametrize("usage", [None, {}])
def test_no_usage(usage: Any) -> None:
    assert receive(begin(), over(usage=usage)).events == [START, FINISH, END]


def test_an_odd_usage() -> None:
    unknown = Unrecognized(b"7", "delta.usage")
    assert receive(begin(), over(usage=7)).events == [START, unknown, FINISH, END]


# The finish


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        *(("COMPLETE", "stop"), ("STOP_SEQUENCE", "stop"), ("MAX_TOKENS", "length")),
        *(("TOOL_CALL", "tool_call"), ("ERROR_TOXIC", "content_filter")),
        *(("ERROR_LIMIT", "length"), ("NEW", "")),
    ],
)
def test_finish_reasons(reason: str, kind: FinishKind) -> None:
    assert receive(begin(), says("a"), over(reason)).succeeded().events[-2] == Finish(reason, kind)


@pytest.mark.parametrize("reason", ["ERROR", "TIMEOUT", "USER_CANCEL"])
def test_reasons_that_are_errors(reason: str) -> None:
    usage = {"tokens": {"input_tokens": 1}}
    outcome = receive(begin(), plans("p"), calls(), gives("{}"), over(reason, usage=usage), DONE)
    outcome.refused_by(Refused, "the service refused: no reason given")
    assert isinstance(outcome.error, Refused)
    assert outcome.error.code == reason
    assert outcome.events[-3:] == [
        Usage(1, raw=usage),
        ToolCallEnd(0, "c", "f", "{}", False),
        Finish(reason, "error"),
    ]
    assert Native("cohere", b'{"tool_plan":"p"}') in outcome.events


def test_an_error_has_the_words_of_the_service() -> None:
    error = over("ERROR", usage={}, error="it broke", error_type="INVALID_TOOL_GENERATION")
    outcome = receive(begin(), plans("p"), error, DONE).refused_by(Refused, "it broke")
    assert isinstance(outcome.error, Refused)
    assert outcome.error.code == outcome.error.type == "INVALID_TOOL_GENERATION"
    assert outcome.events[-1] == Finish("ERROR", "error", "it broke")


@pytest.mark.parametrize("reason", [None, "COMPLETE"])
def test_an_error_without_its_reason(reason: str | None) -> None:
    """No call of such an answer is whole, whatever the reason says."""
    outcome = receive(begin(), calls(), gives("{}"), over(reason, error="it broke"))
    outcome.refused_by(Refused, "it broke")
    ends = [event for event in outcome.events if isinstance(event, ToolCallEnd)]
    assert not any(end.complete for end in ends)
    assert isinstance(outcome.events[-1], Finish)
    assert outcome.events[-1].reason == (reason or "ERROR")


def test_an_error_of_which_only_the_type_is_told() -> None:
    outcome = receive(begin(), calls(), over(error_type="X")).refused_by(Refused, "no reason given")
    assert isinstance(outcome.error, Refused)
    assert outcome.error.code == "X"


def test_a_reason_of_the_provider_that_is_an_error() -> None:
    provider = COHERE.replace(finishes={"abort": "error"})
    for reason in ("abort", "ABORT"):
        exchange = provider.exchange(as_chat("hi", model="m"))
        outcome = alike(exchange, begin() + calls() + over(reason)).refused_by(Refused)
        assert outcome.events[-2:] == [
            ToolCallEnd(0, "c", "f", "{}", False),
            Finish(reason, "error"),
        ]


def test_an_error_that_is_an_object() -> None:
    error = {"message": "too many", "type": "rate_limit_error"}
    receive(begin(), over("ERROR", error=error)).refused_by(RateLimited, "too many")


def test_the_class_of_an_error_in_the_stream() -> None:
    for word, kind in (("overloaded_error", Overloaded), ("content_filter", ContentFiltered)):
        receive(begin(), over("ERROR", error="no", error_type=word)).refused_by(kind, "no")


def test_an_error_has_its_event() -> None:
    error = receive(begin(), event("error", message="no")).refused_by(Refused).error
    assert isinstance(error, Refused)
    assert error.data == b'{"type":"error","message":"no"}'


def test_an_error_without_a_type() -> None:
    outcome = receive(begin(), says("a"), b'data: {"message":"boom","id":"x"}\n\n')
    outcome.refused_by(Refused, "boom")
    assert outcome.events == [START, Text("a")]
    assert isinstance(outcome.error, Refused)
    assert outcome.error.request_id == "x"
    receive(b'data: {"error":{"message":"slow","type":"rate_limit_error"}}\n\n').refused_by(
        RateLimited, "slow"
    )
    receive(b'event: error\ndata: {"message":"boom"}\n\n').refused_by(Refused, "boom")
    receive(b'data: {"type":"error","message":"boom"}\n\n').refused_by(Refused, "boom")
    side = b'{"message":"half way"}'  # quirk 55
    assert said(b"event: tool.progress\ndata: " + side + b"\n\n") == [Unrecognized(side)]


# A whole answer


def test_a_whole_answer() -> None:
    citation = {"start": 0, "end": 1, "text": "a", "sources": [{"id": "d"}], "content_index": 1}
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}
    zero = {"id": "d", "type": "function", "function": {"name": "g", "arguments": "null"}}
    message = {
        "citations": [citation],
        "tool_calls": [call, zero],
        "tool_plan": "p",
        "content": [{"type": "thinking", "thinking": "t"}, {"type": "text", "text": "a"}],
    }
    outcome = whole(message=message, finish_reason="TOOL_CALL").succeeded()
    assert outcome.events == [
        *(START, Reasoning("t"), Text("a", 1), Reasoning("p", 2)),
        Native("cohere", b'{"tool_plan":"p"}', 2),
        *(ToolCallStart(0, "c", "f", part=3), ToolCallDelta(0, '{"a":1}')),
        *(ToolCallStart(1, "d", "g", part=4), ToolCallDelta(1, "null")),
        Citation(source="d", start=0, end=1, part=1),
        Native("cohere", msgspec.json.encode({"citations": [citation]}), 5),
        *(ToolCallEnd(0, "c", "f", '{"a":1}', True), ToolCallEnd(1, "d", "g", "{}", True)),
        *(CALLED, END),
    ]
    assert outcome.reply.message().parts == (
        *(ReasoningPart("t"), TextPart("a")),
        ReasoningPart("p", Native("cohere", b'{"tool_plan":"p"}')),
        *(ToolCall("c", "f", '{"a":1}'), ToolCall("d", "g", "{}")),
        Opaque(Native("cohere", msgspec.json.encode({"citations": [citation]}))),
    )


def test_the_least_that_an_answer_has() -> None:
    assert whole().succeeded().events == [START, FINISH, END]
    assert whole(id=None, generation_id="g").events[0] == Start("g", "m")
    assert whole(id=7).events[0] == Start("7", "m")
    assert whole(id=None, finish_reason=None).events == [Start("", "m"), END]


def test_what_is_not_understood_in_a_whole_answer() -> None:
    new = {"type": "audio", "audio": "UklG"}
    call = {"id": "c", "function": {"name": ""}}
    message = {
        "content": [new, {"type": "text", "text": "a", "x": 1}, 7, {"text": "b"}],
        "tool_calls": [call],
        "y": 2,
    }
    outcome = whole(message=message, z=3).succeeded()
    assert outcome.events[1:-2] == [
        Native("cohere", msgspec.json.encode({"content": [new]})),
        Text("a", 1),
        Unrecognized(b"1", "message.content[1].x"),
        Unrecognized(b"7", "message.content[2]"),
        Text("b", 2),
        Unrecognized(json.dumps(call).encode(), "message.tool_calls[0]"),
        Unrecognized(b"2", "message.y"),
        Unrecognized(b"3", "z"),
    ]
    assert outcome.reply.message().parts[0] == Opaque(
        Native("cohere", msgspec.json.encode({"content": [new]}))
    )


def test_an_error_in_a_whole_answer() -> None:
    outcome = whole(finish_reason="ERROR", error="it broke", error_type="E")
    outcome.refused_by(Refused, "it broke")
    assert outcome.events == [START, Finish("ERROR", "error", "it broke")]


def test_the_least_of_a_whole_answer() -> None:
    body = b'{"id":"i","message":{"content":[{"type":"text","text":"a"}]}}'
    events = alike(ask(stream=False), Response(body, headers=JSON)).succeeded().events
    assert events == [START, Text("a"), END]
    body = b'{"id":"i","finish_reason":"COMPLETE"}'
    events = alike(ask(stream=False), Response(body, headers=JSON)).succeeded().events
    assert events == [START, Finish("COMPLETE", "stop"), END]


SLOW = {"message": "slow", "type": "rate_limit_error"}


@pytest.mark.parametrize("place", ["error", "delta.error", "delta.message.error"])
def test_an_error_beside_what_an_event_says(place: str) -> None:
    said: dict[str, Any] = {"content": {"text": "a"}}
    delta: dict[str, Any] = {"message": said}
    more: dict[str, Any] = {"index": 0, "delta": delta}
    {"error": more, "delta.error": delta, "delta.message.error": said}[place]["error"] = SLOW
    outcome = receive(begin(), opens(), event("content-delta", **more), over())
    outcome.refused_by(RateLimited, "slow")
    assert outcome.events[1] == Text("a")
    assert isinstance(outcome.events[2], Unrecognized)
    assert outcome.events[2].place == place


def test_a_start_may_hold_the_beginning() -> None:
    call = {"id": "c", "function": {"name": "f", "arguments": "{}"}}
    first = begin(content=[{"type": "text", "text": "a"}], tool_calls=[call], tool_plan="p")
    events = receive(first, says("b"), over()).succeeded().events
    assert [type(e) for e in events[1:-3]] == [
        *(Text, Reasoning, Native, ToolCallStart, ToolCallDelta, Text),
    ]
    assert events[-4] == Text("b")


def test_other_documents() -> None:
    for body, kind in (
        (b'{"id":"x","message":"invalid api token"}', Refused),
        (b'{"error":{"message":"no","type":"rate_limit_error"}}', RateLimited),
        (b'{"choices":[{"message":{"content":"a"}}]}', UnexpectedContent),
        (b'{"message":7}', UnexpectedContent),
        (b"[1]", UnexpectedContent),
        (b'{"message":', Truncated),
    ):
        outcome = alike(ask(), Response(body, headers=JSON))
        assert type(outcome.error) is kind
        assert outcome.error.data == body
        assert outcome.events == []
    odd = alike(ask(), Response(b"[1]", headers=JSON)).refused_by(UnexpectedContent).error
    assert str(odd).startswith("a JSON document that is no answer;")
    error = alike(ask(), Response(b'{"message":"no","error_type":"E"}', headers=JSON)).error
    assert isinstance(error, Refused)
    assert error.code == "E"


# Errors


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        *((400, BadRequest), (401, AuthenticationFailed), (402, RateLimited)),
        *((403, AuthenticationFailed), (404, BadRequest), (422, BadRequest), (429, RateLimited)),
        *((498, ContentFiltered), (499, Refused), (500, Refused), (501, Refused)),
        *((503, Overloaded), (504, Overloaded)),
    ],
)
def test_refusals(status: int, kind: type[Refused]) -> None:
    body = b'{"id":"body","message":"the reason is blue"}'
    headers: Headers = [*JSON, (b"x-debug-trace-id", b"head")]
    outcome = alike(ask(), Response(body, status, headers)).refused_by(kind, "the reason is blue")
    assert isinstance(outcome.error, Refused)
    assert (outcome.error.status, outcome.error.request_id) == (status, "head")
    assert outcome.error.lasting is (status == 402)
    outcome = alike(ask(), Response(body, status, JSON))
    assert isinstance(outcome.error, Refused)
    assert outcome.error.request_id == "body"


def test_the_type_of_an_error() -> None:
    body = b'{"error_type":"TOO_MANY_TOKENS","id":"i","message":"too many tokens"}'
    error = alike(ask(), Response(body, 400, JSON)).error
    assert isinstance(error, BadRequest)
    assert error.type == error.code == "TOO_MANY_TOKENS"


def test_an_error_in_the_form_of_openai() -> None:
    body = b'{"error":{"message":"Rate limited","type":"rate_limit_error","code":null}}'
    outcome = alike(ask(), Response(body, 429, JSON)).refused_by(RateLimited, "Rate limited")
    assert isinstance(outcome.error, RateLimited)
    assert outcome.error.type == "rate_limit_error"


def test_a_web_page() -> None:
    alike(ask(), Response(b"<html>", 503, HTML)).refused_by(Overloaded, "an HTML page")
    alike(ask(), Response(b"<html>", 200, HTML)).refused_by(UnexpectedContent)


def test_a_key_in_the_words_is_redacted() -> None:
    key = "sesame-sesame-sesame"
    exchange = COHERE.exchange(as_chat("hi", model="m"), key=key)
    body = f'{{"message":"Incorrect API key provided: {key}"}}'.encode()
    outcome = drive(exchange, Response(body, 401, JSON))
    outcome.refused_by(AuthenticationFailed, "Incorrect API key provided: ")
    assert key not in str(outcome.error)
    assert key not in repr(outcome.error)


# Limits, time


def test_limits() -> None:
    limits = Limits(event=300)
    long = "x" * 120
    for parts in (
        [plans(long)] * 3,
        [calls(), *[gives(long)] * 3],
        [cites({"text": long, "n": n}) for n in range(3)],
    ):
        outcome = receive(begin(), *parts, over(), limits=limits)
        outcome.refused_by(LimitExceeded, "a block of more than 300 characters")
    text = [says(long) for _ in range(9)]
    thought = [thinks(long, 1) for _ in range(9)]
    receive(begin(), *text, *thought, over(), limits=limits).succeeded()  # of them nothing is kept


def test_many_parts() -> None:
    limits = Limits(parts=9)
    for parts in (
        [opens(n) for n in range(20)],
        [says("a", n) for n in range(20)],
        [calls(id=f"c{n}", index=n) for n in range(20)],
        [cites({"sources": [{"id": f"{n}"} for n in range(20)]})],
    ):
        receive(begin(), *parts, over(), limits=limits).refused_by(LimitExceeded)


def test_what_only_keeps_the_connection_alive() -> None:
    for ping in (b": ping\n\n", b"event: ping\ndata: {}\n\n"):
        no_sign_of_life(ask(), begin() + says("a"), ping)


def test_a_stream_is_labelled() -> None:
    body = begin() + says("a") + over()
    for kind in (b"text/event-stream", b"text/plain", b"application/stream+json"):
        headers: Headers = [(b"content-type", kind)]
        assert alike(ask(), Response(body, headers=headers)).succeeded().reply.text == "a"


def test_half_a_character() -> None:
    broken = says("X").replace(b"X", b"\xe2\x82")
    assert said(opens(), broken) == [Text("\ufffd")]
