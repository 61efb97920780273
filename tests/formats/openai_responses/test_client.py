"""OpenAI Responses, client half: each fact about its answers, by bytes that are written here."""

import json
import sys
from typing import Any

import pytest

from tests.driving import JSON, Ending, Outcome, Response, alike, drive, no_sign_of_life
from tokenwire.protocols.chat import ImagePart, Opaque, ReasoningPart, TextPart, ToolCall, as_chat
from tokenwire.protocols.errors import (
    AuthenticationFailed,
    BadRequest,
    ContentFiltered,
    LimitExceeded,
    Overloaded,
    RateLimited,
    Refused,
    RemoteProtocolError,
    TimedOut,
    Truncated,
    UnexpectedContent,
)
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
from tokenwire.protocols.exchange import Exchange
from tokenwire.protocols.limits import Limits
from tokenwire.protocols.registry import PROVIDERS

RESPONSES = PROVIDERS["openai-responses"]
DIALECT = "openai_responses"
CREATED: Any = {"type": "response.created", "response": {"id": "r", "model": "m", "status": "x"}}
STARTED: list[Event] = [Start("r", "m")]
COMPLETED: list[Event] = [Finish("completed", "stop"), End("terminator")]


def ask(limits: Limits | None = None, **options: Any) -> Exchange:
    return RESPONSES.exchange(as_chat("hi", model="m", **options), limits=limits)


def sse(*events: Any, named: bool = True) -> bytes:
    """Events as a body, each with its name, or none with one."""
    said = b""
    for event in events:
        if isinstance(event, bytes):
            said += event
            continue
        if named and "type" in event:
            said += b"event: " + event["type"].encode() + b"\n"
        said += b"data: " + json.dumps(event).encode() + b"\n\n"
    return said


def hear(*events: Any, ending: Ending = "eof", **options: Any) -> Outcome:
    """What is heard of a stream, with names and without, however it is cut."""
    outcome = alike(ask(**options), Response(sse(*events), ending=ending))
    bare = drive(ask(**options), Response(sse(*events, named=False), ending=ending))
    assert bare.events == outcome.events
    return outcome


def added(place: int, item: Any, **more: Any) -> Any:
    return {"type": "response.output_item.added", "output_index": place, "item": item, **more}


def done(place: int, item: Any, **more: Any) -> Any:
    return {**added(place, item, **more), "type": "response.output_item.done"}


def delta(place: int, text: Any, kind: str = "output_text", **more: Any) -> Any:
    return {"type": f"response.{kind}.delta", "output_index": place, "delta": text, **more}


def over(status: str = "completed", **response: Any) -> Any:
    told: Any = {"id": "r", "model": "m", "status": status, **response}
    return {"type": f"response.{status}", "response": told}


def message(*content: Any, **more: Any) -> Any:
    return {"id": "m1", "type": "message", "role": "assistant", "content": list(content), **more}


def written(text: str, **more: Any) -> Any:
    return {"type": "output_text", "text": text, "annotations": [], **more}


def call(arguments: str, **more: Any) -> Any:
    return {
        "type": "function_call",
        "id": "fc",
        "call_id": "c",
        "name": "f",
        "arguments": arguments,
        **more,
    }


def natives(outcome: Outcome) -> list[Any]:
    return [json.loads(e.raw) for e in outcome.events if isinstance(e, Native)]


def said(outcome: Outcome) -> list[Event]:
    """What comes between the start and the finish, without native forms."""
    beside = (Start, Finish, End, Native)
    return [event for event in outcome.events if not isinstance(event, beside)]


# The request


@pytest.mark.parametrize(
    ("stream", "accept"), [(True, b"text/event-stream"), (False, b"application/json")]
)
def test_what_is_asked(stream: bool, accept: bytes) -> None:
    request = ask(stream=stream, effort="low", extra={"include": ["x"]}).next_request()
    assert request is not None
    assert dict(request.headers)[b"accept"] == accept
    body = json.loads(request.body)
    assert (body["model"], body["stream"]) == ("m", stream)
    assert body["include"] == ["x", "reasoning.encrypted_content"]


# Texts


def test_a_text_is_told_once() -> None:
    """By its pieces; then it is said again, thrice."""
    text = message(written("hello", logprobs=[]), status="completed")
    outcome = hear(
        CREATED,
        {**CREATED, "type": "response.in_progress"},
        added(0, message(status="in_progress")),
        {"type": "response.content_part.added", "output_index": 0, "part": written("")},
        delta(0, "hel", logprobs=[], obfuscation="x", item_id="m1", sequence_number=4),
        delta(0, "lo"),
        delta(0, ""),
        {"type": "response.output_text.done", "output_index": 0, "text": "hello"},
        {"type": "response.content_part.done", "output_index": 0, "part": written("hello")},
        done(0, text),
        over(output=[text]),
    ).succeeded()
    assert outcome.events == [*STARTED, Text("hel"), Text("lo"), *COMPLETED]


@pytest.mark.parametrize("place", ["text.done", "item.done", "item.done alone", "terminal", "both"])
def test_a_text_without_pieces(place: str) -> None:
    text = message(written("a"), {"type": "refusal", "refusal": "b"})
    events: list[Any] = [CREATED]
    if place != "item.done alone":
        events.append(added(0, message()))
    if place in ("text.done", "both"):
        events.append({"type": "response.output_text.done", "output_index": 0, "text": "a"})
        refused = {"type": "response.refusal.done", "output_index": 0, "content_index": 1}
        events.append({**refused, "refusal": "b"})
    if place in ("item.done", "item.done alone", "both"):
        events.append(done(0, text))
    output = [text] if place in ("terminal", "both") else []
    outcome = hear(*events, over(output=output)).succeeded()
    assert outcome.events == [*STARTED, Text("a"), Refusal("b"), *COMPLETED]


PARTS: list[tuple[str, Any, Event]] = [
    ("content_part", written("ab"), Text("ab")),
    ("content_part", {"type": "refusal", "refusal": "ab"}, Refusal("ab")),
    ("content_part", {"type": "reasoning_text", "text": "ab"}, Reasoning("ab")),
    ("reasoning_summary_part", {"type": "summary_text", "text": "ab"}, Reasoning("ab")),
    ("reasoning_part", {"type": "reasoning_text", "text": "ab"}, Reasoning("ab")),
]


@pytest.mark.parametrize(("kind", "part", "event"), PARTS)
def test_what_only_the_end_of_a_part_says(kind: str, part: Any, event: Event) -> None:
    """Neither its item nor the answer may say it again."""
    over_it = {"type": f"response.{kind}.done", "output_index": 0, "part": part}
    for item in (
        [],
        [added(0, message() if part["type"] in ("output_text", "refusal") else thought())],
    ):
        assert said(hear(*item, over_it, over_it, over())) == [event]
    assert said(hear(over_it, ending="disconnect")) == [event]
    assert said(hear({**over_it, "type": f"response.{kind}.added"}, over())) == []


def test_parts_that_say_nothing_of_their_own() -> None:
    for part in (None, 5, {"type": "new", "text": "a"}, {"text": "a"}):
        over_it = {"type": "response.content_part.done", "output_index": 0, "part": part}
        assert said(hear(over_it, over())) == []
    bare = {"type": "response.content_part.done", "output_index": 0}
    assert said(hear(bare, over()).succeeded()) == []
    at_another = {"type": "response.content_part.done", "output_index": 0, "part": written("a")}
    assert len(said(hear(added(0, call("")), at_another, over()))) == 2  # of the call


def test_sources_and_log_probabilities_of_a_part() -> None:
    """Of each part once."""
    source = {"type": "url_citation", "url": "u", "title": "t", "start_index": 0, "end_index": 1}
    other = {**source, "url": "v"}
    token = {"token": "a", "logprob": -1.0, "bytes": [97]}
    first = written("a", annotations=[source], logprobs=[token])
    second = written("b", annotations=[other], logprobs=[token])
    heard = [
        *(Text("a"), LogProbs([TokenLogProb("a", -1.0, [97])])),
        *(Citation("u", "t", start=0, end=1), Text("b")),
        *(LogProbs([TokenLogProb("a", -1.0, [97])]), Citation("v", "t", start=0, end=1)),
    ]
    part = {"type": "response.content_part.done", "output_index": 0}
    for events in (
        [{**part, "part": first}, {**part, "part": second, "content_index": 1}],
        [{**part, "part": first}, done(0, message(first, second))],
        [done(0, message(first, second))],
    ):
        assert said(hear(*events, over())) == heard


@pytest.mark.parametrize("kind", ["output_text", "refusal", "reasoning_summary_text"])
@pytest.mark.parametrize("piece", ["", "he"])
def test_a_text_whose_last_piece_is_missing(kind: str, piece: str) -> None:
    """The whole brings it."""
    key = "refusal" if kind == "refusal" else "text"
    whole = {"type": f"response.{kind}.done", "output_index": 0, key: "hello"}
    heard = said(hear(delta(0, piece, kind), whole, whole, over()))
    assert "".join(getattr(event, "text", "") for event in heard) == "hello"
    assert len(heard) == (2 if piece else 1)


@pytest.mark.parametrize("whole", ["ho", "h", "hallo", "jello"])
def test_a_text_that_is_not_what_its_pieces_were(whole: str) -> None:
    """It is handed on, once."""
    over_it = {"type": "response.output_text.done", "output_index": 0, "text": whole}
    for events in ([over_it, done(0, message(written(whole)))], [done(0, message(written(whole)))]):
        assert said(hear(delta(0, "he"), delta(0, "llo"), *events, over())) == [
            *(Text("he"), Text("llo"), Unrecognized(whole.encode(), "output[0].text"))
        ]


@pytest.mark.parametrize("output", [{}, {"output": []}, {"output": None}])
def test_nothing_at_the_end(output: Any) -> None:
    outcome = hear(CREATED, added(0, message()), delta(0, "a"), over(**output)).succeeded()
    assert outcome.events == [*STARTED, Text("a"), *COMPLETED]


def test_only_the_end() -> None:
    """It is decoded as a whole answer."""
    output = [message(written("a")), call('{"x":1}'), message(written("b"))]
    outcome = hear(over(output=output, usage={"input_tokens": 1, "output_tokens": 2})).succeeded()
    assert said(outcome) == [
        *(Text("a"), ToolCallStart(0, "c", "f", part=1), ToolCallDelta(0, '{"x":1}')),
        Text("b", part=2),
        Usage(1, 2, 3, raw={"input_tokens": 1, "output_tokens": 2}),
        ToolCallEnd(0, "c", "f", '{"x":1}', True),
    ]


def test_an_item_that_only_the_end_has() -> None:
    second = {**message(written("b")), "id": "m2"}
    outcome = hear(
        CREATED,
        added(0, message()),
        delta(0, "a"),
        over(output=[message(written("a")), second]),
    ).succeeded()
    assert said(outcome) == [Text("a"), Text("b", part=1)]


def test_each_item_is_a_part() -> None:
    summary = thought(summary=[{"type": "summary_text", "text": "so"}])
    refusal = {**message({"type": "refusal", "refusal": "no"}), "id": "m2"}
    items = [done(n, item) for n, item in enumerate((message(written("a")), summary, refusal))]
    assert said(hear(*items, over())) == [
        *(Text("a"), Reasoning("so", part=1), Refusal("no", part=2)),
    ]


def test_the_end_finishes_an_item() -> None:
    """It is known by its id, or else by its place; what is no item is handed on."""
    second = {**message(written("bc"), phase="p"), "id": "m2"}
    begun = [done(0, message(written("a"))), added(1, {**second, "content": []}), delta(1, "b")]
    texts = [Text("a"), Text("b", part=1), Text("c", part=1)]
    other_id = {**second, "id": "m3"}
    for output, native in (([second], second), ([message(), other_id], other_id)):
        outcome = hear(*begun, over(output=output)).succeeded()
        assert said(outcome) == texts
        assert natives(outcome) == [native]
    assert said(hear(*begun, over(output=[second, 7]))) == [*texts, Unrecognized(b"7")]


def test_items_that_the_end_counts_otherwise() -> None:
    """Its list has no gaps, the numbers of the events may have; and ids may be others there."""
    item: Any = {**message(written("a"), phase="p"), "id": "other"}
    outcome = hear(CREATED, done(3, item), over(output=[{**item, "id": "new"}])).succeeded()
    assert said(outcome) == [Text("a")]
    assert natives(outcome) == [item]


def test_the_only_content_is_number_one() -> None:
    """Bedrock's."""
    outcome = hear(
        added(0, message()),
        delta(0, "a", content_index=1),
        delta(0, "b", content_index=1),
        done(0, message(written("ab"))),
        over(),
    )
    assert said(outcome) == [Text("a"), Text("b")]


def test_several_contents() -> None:
    outcome = hear(
        added(0, message()),
        delta(0, "a", content_index=0),
        delta(0, "b", content_index=1),
        done(0, message(written("a"), written("b"), written("c"))),
        over(),
    )
    assert said(outcome) == [Text("a"), Text("b"), Text("c")]
    item = message(written("a"), written("b"))
    assert said(hear(delta(0, "b", content_index=1), done(0, item), over())) == [
        *(Text("b"), Text("a")),
    ]


def test_ids_that_rotate() -> None:
    """Copilot's: an item is known by its place."""
    thought: Any = {"type": "reasoning", "id": "b", "summary": [], "encrypted_content": "last"}
    outcome = hear(
        CREATED,
        added(0, {**thought, "id": "a", "encrypted_content": "first"}),
        done(0, thought),
        added(1, {**message(), "id": "c"}),
        delta(1, "x", item_id="d"),
        delta(1, "y", item_id="e"),
        done(1, {**message(written("xy")), "id": "f"}),
        {**over(output=[{**thought, "id": "z"}, {**message(written("xy")), "id": "y"}]), "x": 1},
    ).succeeded()
    assert said(outcome) == [Text("x", part=1), Text("y", part=1)]
    assert natives(outcome) == [thought]


def test_items_without_a_place() -> None:
    """By their ids, or the last that is not done."""
    assert said(hear({**delta(0, "a"), "output_index": None}, over())) == [Text("a")]
    outcome = hear(
        added(0, message()),
        {**done(0, message(written("a"))), "output_index": None},
        added(1, {**message(), "id": ""}),
        {**delta(1, "b"), "output_index": None},
        {**done(0, {**message(written("b")), "id": ""}), "output_index": None},
        {**delta(1, "c"), "output_index": None},
        {"type": "response.output_item.done", "item": {**message(written("c")), "id": "m4"}},
        {"type": "response.output_item.done", "item": {**message(written("d")), "id": "m5"}},
        {"type": "response.output_item.added", "item": {**message(), "id": "m6"}},
        {"type": "response.output_item.added", "item": {**message(), "id": "m7"}},
        {**delta(0, "e", item_id="m6"), "output_index": None, "new": None},
        {"type": "response.content_part.done", "item_id": "m6", "part": written("ef")},
        {"type": "response.output_item.done", "item": {**message(written("ef")), "id": "m6"}},
        over(),
    ).succeeded()
    assert said(outcome) == [
        *(Text("a"), Text("b", part=1), Text("c", part=2), Text("d", part=3)),
        *(Text("e", part=4), Text("f", part=4)),
    ]


def test_an_item_that_is_done_twice() -> None:
    """The second time without its place, by the id that it had when it was done first."""
    again = {"type": "response.output_item.done", "item": message(written("a"))}
    heard = hear(added(0, {**message(), "id": ""}), done(0, message(written("a"))), again, over())
    assert said(heard) == [Text("a")]


def test_one_place_for_two_items() -> None:
    one, other = message(written("a")), {**message(written("b")), "id": "m2"}
    outcome = hear(
        *(added(0, message()), delta(0, "a"), done(0, one), done(0, one)),
        *(added(0, {**message(), "id": "m2"}), delta(0, "b"), done(0, other)),
        done(0, call("{}")),
        over(),
    ).succeeded()
    assert said(outcome)[:2] == [Text("a"), Text("b", part=1)]
    assert said(outcome)[2] == ToolCallStart(0, "c", "f", part=2)


def test_a_text_in_other_forms() -> None:
    """Read leniently, or else handed on: never left out."""
    for content in ("hello", [written("hello")]):
        item = {"type": "message", "content": content}
        assert said(hear(done(0, item), over())) == [Text("hello")]
        assert not natives(hear(done(0, item), over()))
    assert said(hear(done(0, message({**written(""), "text": 5})), over())) == [Text("5")]
    for odd in (
        message({**written(""), "text": ["a"]}),
        message({**written(""), "text": {"a": 1}}),
        message({"type": "refusal", "refusal": ["a"]}),
        message({"type": "refusal", "refusal": {"a": 1}}),
        {**message(), "content": {"text": "a"}},
    ):
        assert natives(hear(done(0, odd), over())) == [odd]
    summary = thought(summary="hm")
    assert said(hear(done(0, summary), over())) == [Reasoning("hm")]
    whole = {"type": "response.output_text.done", "output_index": 0, "text": ["a"]}
    assert said(hear(whole, over())) == [Unrecognized(b'["a"]', "output[0].text")]


def test_items_that_are_never_done() -> None:
    """What they began with is told."""
    assert said(hear(added(0, message(written("a"))), over())) == [Text("a")]
    assert said(hear(added(0, message(written("a"))), delta(0, "b"), over())) == [Text("b")]
    search = {"type": "web_search_call", "query": "q"}
    raw = json.dumps(search).encode()
    assert said(hear(added(0, search), over())) == [Unrecognized(raw, "output[0]")]


def test_an_item_at_the_place_of_another() -> None:
    """The same however the stream is cut, though the text before is not done."""
    outcome = hear(
        added(0, message()), delta(0, "a"), delta(0, "b"), added(0, call("")), delta(0, "c"), over()
    )
    assert [event.text for event in said(outcome) if isinstance(event, Text)] == ["a", "b"]
    assert Unrecognized(json.dumps(delta(0, "c")).encode()) in outcome.events


@pytest.mark.parametrize(
    "cut", [{"status": "failed"}, {"status": "cancelled"}, {"error": {"message": "no"}}]
)
def test_a_call_that_failed(cut: Any) -> None:
    outcome = hear(CREATED, done(0, call('{"x":1}', **cut)), over()).succeeded()
    assert ToolCallEnd(0, "c", "f", '{"x":1}', complete=False) in outcome.events


def test_an_item_that_is_done_as_another_type() -> None:
    """Both have the same id, and both are told."""
    search = {"type": "web_search_call", "id": "m1", "action": {"query": "q"}}
    first = {"type": ["message"], "id": "m1"}
    outcome = hear(CREATED, added(0, first), done(0, search), over()).succeeded()
    assert outcome.events == [
        *(Start("r", "m"), Native(DIALECT, json.dumps(search).encode(), part=1)),
        *(Unrecognized(json.dumps(first).encode(), "output[0]"), *COMPLETED),
    ]


@pytest.mark.parametrize("key", ["name", "call_id"])
def test_a_call_whose_name_or_id_is_no_text(key: str) -> None:
    odd = call("{}", **{key: {"a": 1}})
    for events in ([done(0, odd), over()], [added(0, odd), over()], [over(output=[odd])]):
        found = said(hear(CREATED, *events).succeeded())
        assert Unrecognized(b'{"a":1}', f"output[0].{key}") in found


def test_an_error_beside_what_an_event_says() -> None:
    slow = {"message": "slow", "code": "slow_down"}
    events = delta(0, "a", error=slow), delta(0, "b", error={"message": "later"}), over()
    outcome = hear(CREATED, *events).refused_by(Overloaded, "slow")
    assert [e for e in said(outcome) if isinstance(e, Text)] == [Text("a"), Text("b")]


def test_an_annotation_that_names_no_source() -> None:
    event: Any = {
        "type": "response.output_text.annotation.added",
        "output_index": 0,
        "annotation": {"url": 5, "start_index": 1},
    }
    assert said(hear(CREATED, delta(0, "a"), event, over())) == [
        *(Text("a"), Unrecognized(json.dumps(event).encode())),
    ]
    event["annotation"]["title"] = "t"
    assert said(hear(CREATED, delta(0, "a"), event, over())) == [
        *(Text("a"), Citation(title="t", start=1), Unrecognized(json.dumps(event).encode())),
    ]
    for odd in ("title", "file_id"):
        event["annotation"] = {"url": "u", odd: 5}
        assert said(hear(CREATED, delta(0, "a"), event, over())) == [
            *(Text("a"), Citation("u"), Unrecognized(json.dumps(event).encode())),
        ]


def test_a_stream_that_goes_on_in_the_middle() -> None:
    """A resumed one begins at any number; of what came before it knows what the items say. Its id
    comes too late for a Start."""
    outcome = hear(
        delta(0, "b", sequence_number=7),
        done(0, message(written("ab"))),
        delta(1, '":1}', "function_call_arguments"),
        done(1, call('{"x":1}')),
        over(),
    ).succeeded()
    assert outcome.events == [
        *(Text("b"), Unrecognized(b"ab", "output[0].text")),
        *(ToolCallStart(0, "", "", part=1), ToolCallDelta(0, '":1}')),
        Unrecognized(b'{"x":1}', "output[1].arguments"),
        ToolCallEnd(0, "c", "f", '":1}', False),
        *(Finish("completed", "tool_call"), End("terminator")),
    ]


def looked_up(body: bytes, stream: bool = True) -> Outcome:
    exchange = RESPONSES.kept_exchange("GET", "/responses/r", stream=stream, key="k")
    kind = "text/event-stream" if stream else "application/json"
    return drive(exchange, Response(body, headers=[(b"content-type", kind.encode())]))


def test_what_is_kept_is_asked_for() -> None:
    request = RESPONSES.kept_exchange("GET", "/responses/r", stream=True).next_request()
    assert request is not None
    assert (request.method, request.url) == ("GET", "https://api.openai.com/v1/responses/r")


def test_what_is_kept_from_any_number_on() -> None:
    items = [added(0, message()), delta(0, "a"), done(0, message(written("a"))), added(1, call(""))]
    more = [delta(1, '{"x":1}', "function_call_arguments"), done(1, call('{"x":1}')), over()]
    said = [CREATED, *items, *more]
    for number in range(len(said)):
        assert looked_up(sse(*said[number:])).error is None
        assert isinstance(looked_up(sse(*said[number:-1])).error, RemoteProtocolError)


def test_what_is_kept_may_have_failed() -> None:
    failed: Any = {"id": "r", "object": "response", "status": "failed", "error": {"code": "c"}}
    ended: Any = {"type": "response.failed", "response": failed}
    assert looked_up(sse(delta(0, "a"), ended)).succeeded().events[-1] == End("terminator")
    assert looked_up(json.dumps(failed).encode(), False).succeeded().events == [End("terminator")]
    # That it can't be looked up is another matter.
    error: Any = {"type": "error", "error": {"code": "slow_down", "message": "no"}}
    for body, stream in ((sse(error), True), (json.dumps(error).encode(), False)):
        lost = looked_up(body, stream).refused_by(Overloaded, "no").error
        assert isinstance(lost, Overloaded)
        assert json.loads(lost.data) == error


def test_a_relay_knows_that_an_answer_is_made_in_the_background() -> None:
    body = b'{"id":"r","object":"response","model":"m","status":"queued","output":[]}'
    exchange = RESPONSES.exchange(as_chat("hi", model="m", stream=False), key="k", body=b"{}")
    outcome = drive(exchange, Response(body, headers=[(b"content-type", b"application/json")]))
    assert outcome.succeeded().events == [Start("r", "m"), End("terminator")]


def test_the_end_says_less_than_its_name() -> None:
    failed: Any = {"type": "response.failed", "response": {"id": "r", "status": "completed"}}
    assert isinstance(hear(CREATED, delta(0, "a"), failed).error, Refused)
    for status in ("completed", "in_progress"):
        cut: Any = {"type": "response.incomplete", "response": {"id": "r", "status": status}}
        assert Finish("incomplete") in hear(cut).succeeded().events
    whole: Any = {"type": "response.completed", "response": {"status": "in_progress"}}
    assert hear(CREATED, whole).succeeded().events == [*STARTED, *COMPLETED]
    short: Any = {"type": "response.completed", "response": {"status": "incomplete"}}
    assert Finish("incomplete") in hear(short).succeeded().events


def test_an_end_without_its_response() -> None:
    ended: Any = {"type": "response.completed", "response": None}
    unread = Unrecognized(json.dumps(ended).encode())
    assert hear(CREATED, ended).succeeded().events == [*STARTED, unread, *COMPLETED]
    error = {"code": "rate_limit_exceeded", "message": "slow"}
    for kind in ("response.failed", "response.error", "error"):
        assert isinstance(hear(CREATED, {"type": kind, "error": error}).error, RateLimited)


def test_an_error_beside_a_response_that_failed() -> None:
    """The response itself says nothing of it (quirk 90)."""
    error = {"code": "rate_limit_exceeded", "message": "slow"}
    response = {"id": "r", "status": "failed", "error": None}
    failed: Any = {"type": "response.failed", "response": response, "error": error}
    outcome = hear(CREATED, delta(0, "a"), failed)
    assert Text("a") in outcome.refused_by(RateLimited, "slow").events
    own: Any = {**failed, "response": {**response, "error": {"code": "c", "message": "no"}}}
    hear(CREATED, own).refused_by(Refused, "no")


def test_a_text_without_its_item() -> None:
    """It is said again beside items, and counts where there are none."""
    alone: Any = {"type": "response.completed", "response": {"id": "r", "output_text": "ab"}}
    assert said(hear(CREATED, alone)) == [Text("ab")]
    assert said(hear(CREATED, delta(0, "ab"), alone)) == [Text("ab")]
    body = {"id": "r", "object": "response", "status": "completed", "output": None}
    assert said(hear_whole({**body, "output_text": "ab"})) == [Text("ab")]
    assert natives(hear_whole({**body, "output_text": "ab"})) == []
    assert said(hear_whole(body)) == []
    items = [thought(content=[{"type": "reasoning_text", "text": "so"}]), message(written("ab"))]
    whole = hear_whole({**body, "output": items, "output_text": "ab"})
    assert said(whole) == [Reasoning("so"), Text("ab", 1)]


def test_a_queued_answer() -> None:
    queued = {"type": "response.queued", "response": {"id": "r", "model": "m"}}
    assert hear(queued, CREATED, over()).succeeded().events == [*STARTED, *COMPLETED]


def test_log_probabilities() -> None:
    token: Any = {"token": "a", "logprob": -1, "top_logprobs": [{"token": "b", "logprob": "-2"}]}
    tokens = [TokenLogProb("a", -1.0, None, [TokenLogProb("b", -2.0)])]
    text = message(written("a", logprobs=[token]))
    streamed = hear(delta(0, "a", logprobs=[token]), done(0, text), over())
    assert said(streamed) == [Text("a"), LogProbs(tokens)]
    assert said(hear(done(0, text), over())) == [Text("a"), LogProbs(tokens)]
    late: Any = {"type": "response.output_text.done", "output_index": 0, "text": "a"}
    assert said(hear(delta(0, "a"), {**late, "logprobs": [token]}, done(0, text), over())) == [
        *(Text("a"), LogProbs(tokens)),
    ]
    both = hear(delta(0, "a", logprobs=[token]), {**late, "logprobs": [token]}, over())
    assert said(both) == [Text("a"), LogProbs(tokens)]
    twice = hear(delta(0, "a", logprobs=[token]), delta(0, "a", logprobs=[token]), over())
    assert said(twice) == [Text("a"), LogProbs(tokens)] * 2
    only = hear(delta(0, "a"), {**late, "logprobs": [token]}, over())
    assert said(only) == [Text("a"), LogProbs(tokens)]
    assert said(hear(delta(0, "a"), {**late, "logprobs": []}, over())) == [Text("a")]
    odd = hear(delta(0, "a", logprobs=["?"]), over())
    assert said(odd) == [Text("a"), Unrecognized(b'["?"]', "logprobs")]


# Thoughts


def thought(**more: Any) -> Any:
    return {"type": "reasoning", "id": "rs", "summary": [], **more}


def test_a_summary_and_its_native_form() -> None:
    item = thought(summary=[{"type": "summary_text", "text": "so"}], encrypted_content="e")
    outcome = hear(
        CREATED,
        added(0, thought(encrypted_content="another")),
        {"type": "response.reasoning_summary_part.added", "output_index": 0, "summary_index": 0},
        delta(0, "s", "reasoning_summary_text", summary_index=0),
        delta(0, "o", "reasoning_summary_text", summary_index=0),
        {"type": "response.reasoning_summary_text.done", "output_index": 0, "text": "so"},
        done(0, item),
        over(),
    ).succeeded()
    assert said(outcome) == [Reasoning("s"), Reasoning("o")]
    assert natives(outcome) == [item]
    (part,) = outcome.reply.message().parts
    assert isinstance(part, ReasoningPart)
    assert part.text == "so"
    assert part.native is not None


def test_of_two_kinds_of_thoughts_the_first_is_told() -> None:
    item = thought(
        summary=[{"type": "summary_text", "text": "short"}],
        content=[{"type": "reasoning_text", "text": "long"}],
    )
    raw = delta(0, "long", "reasoning_text", content_index=0)
    short = delta(0, "short", "reasoning_summary_text")
    assert said(hear(raw, short, done(0, item), over())) == [Reasoning("long")]
    assert said(hear(short, raw, done(0, item), over())) == [Reasoning("short")]
    assert said(hear(done(0, item), over())) == [Reasoning("short")]
    only = thought(content=[{"type": "reasoning_text", "text": "long"}, None])
    assert said(hear(done(0, only), over())) == [Reasoning("long")]


@pytest.mark.parametrize("more", [{}, {"new": 1}])
def test_several_summaries(more: Any) -> None:
    item = thought(summary=[{"type": "summary_text", "text": said} for said in "ab"])
    kind = "reasoning_summary_text"
    over_it = {"type": "response.reasoning_summary_part.done", "output_index": 0}
    parts = [{**over_it, "summary_index": n, "part": item["summary"][n]} for n in range(2)]
    assert said(hear(*parts, over())) == [Reasoning("a"), Reasoning("b")]
    pieces = [delta(0, "ab"[n], kind, summary_index=n, **more) for n in range(2)]
    heard = said(hear(added(0, thought()), *pieces, done(0, item), over()))
    assert [event for event in heard if not isinstance(event, Unrecognized)] == [
        *(Reasoning("a"), Reasoning("b")),
    ]
    assert len(heard) == 2 + 2 * len(more)


def test_a_hidden_thought_is_opaque() -> None:
    (part,) = hear(done(0, thought(encrypted_content="e")), over()).reply.message().parts
    assert isinstance(part, Opaque)


# Calls


def arguments(whole: Any, **more: Any) -> Any:
    kind = "response.function_call_arguments.done"
    return {"type": kind, "output_index": 0, "arguments": whole, **more}


def ends(outcome: Outcome) -> list[ToolCallEnd]:
    return [event for event in outcome.succeeded().events if isinstance(event, ToolCallEnd)]


def test_a_call() -> None:
    outcome = hear(
        CREATED,
        added(0, call("", status="in_progress")),
        delta(0, '{"a"', "function_call_arguments", item_id="fc"),
        delta(0, ":1}", "function_call_arguments", item_id="fc"),
        {
            "type": "response.function_call_arguments.done",
            "output_index": 0,
            "arguments": '{"a":1}',
        },
        done(0, call('{"a":1}', status="completed")),
        over(output=[call('{"a":1}', status="completed")]),
    ).succeeded()
    assert outcome.events == [
        *(Start("r", "m"), ToolCallStart(0, "c", "f")),
        *(ToolCallDelta(0, '{"a"'), ToolCallDelta(0, ":1}")),
        ToolCallEnd(0, "c", "f", '{"a":1}', True),
        *(Finish("completed", "tool_call"), End("terminator")),
    ]


def test_arguments_that_are_an_object() -> None:
    """Never a call without arguments: their text is what was meant."""
    item = {**call(""), "arguments": {"a": 1}}
    whole = ToolCallEnd(0, "c", "f", '{"a":1}', True)
    assert ends(hear(added(0, call("")), done(0, item), over())) == [whole]
    assert ends(hear(over(output=[item]))) == [whole]
    event = arguments({"a": 1})
    [end] = ends(hear(added(0, call("")), event, done(0, item), over()))
    assert end.complete
    assert json.loads(end.arguments) == {"a": 1}
    piece = delta(0, {"a": 1}, "function_call_arguments")
    outcome = hear(added(0, call("")), piece, over())
    assert not ends(outcome)[0].complete  # something of it is not understood
    assert Unrecognized(b'{"a": 1}', "output[0].delta") in outcome.events
    assert ends(hear(added(0, call("")), piece, done(0, call('{"a":1}')), over())) == [whole]


def test_arguments_that_only_their_end_has() -> None:
    heard = said(hear(added(0, call("")), arguments({"a": 1}), over()))
    assert heard == [
        *(ToolCallStart(0, "c", "f"), ToolCallDelta(0, '{"a": 1}')),
        ToolCallEnd(0, "c", "f", '{"a": 1}', True),
    ]
    body = sse(added(0, call("")), arguments({"a": "X"}), over()).replace(b'"X"', b'"\xe2\x82"')
    assert ends(alike(ask(), body)) == [ToolCallEnd(0, "c", "f", '{"a": "\ufffd"}', True)]


def test_a_piece_of_arguments_that_is_not_understood() -> None:
    """What follows does not make the call whole."""
    kind = "function_call_arguments"
    begun = (added(0, call("")), delta(0, {"a": 1}, kind))
    for last in (delta(0, "{}", kind), delta(0, "{}", kind, new=1)):
        assert ends(hear(*begun, last, over())) == [ToolCallEnd(0, "c", "f", "{}", False)]


def test_a_name_that_is_no_text() -> None:
    for name, told in (({"a": 1}, ""), (True, ""), (7, "7")):
        assert said(hear(done(0, call("{}", name=name)), over()))[0] == ToolCallStart(0, "c", told)


def test_pieces_of_arguments_that_did_not_come() -> None:
    begun = (added(0, call("")), delta(0, '{"a":', "function_call_arguments"))
    whole = ToolCallEnd(0, "c", "f", '{"a":1}', True)
    assert ends(hear(*begun, arguments('{"a":1}'), over())) == [whole]
    assert ends(hear(*begun, done(0, call('{"a":1}')), over())) == [whole]
    told = (added(0, call("")), delta(0, '{"a":1}', "function_call_arguments"))
    assert ends(hear(*told, arguments('{"a": 1}'), arguments("{}"), over())) == [whole]


def test_arguments_that_contradict_themselves() -> None:
    """Nobody knows which were meant: not to be acted upon."""
    told = (added(0, call("")), delta(0, '{"a":1}', "function_call_arguments"))
    for whole in ('{"a":12}', "{"):
        outcome = hear(*told, done(0, call(whole)), over())
        assert ends(outcome) == [ToolCallEnd(0, "c", "f", '{"a":1}', False)]
        assert Unrecognized(whole.encode(), "output[0].arguments") in outcome.events


def test_the_name_of_a_call_at_its_end() -> None:
    """LM Studio's; here nothing else says it."""
    [end] = ends(hear(arguments("{}", name="f"), over()))
    assert (end.name, end.complete) == ("f", True)


def test_a_call_that_is_never_done() -> None:
    """It may have been cut before its arguments came."""
    assert not ends(hear(added(0, call("")), over()))[0].complete
    begun = call('{"a":1}', status="in_progress")
    assert ends(hear(added(0, begun), over())) == [ToolCallEnd(0, "c", "f", '{"a":1}', False)]
    whole = call('{"a":1}', status="completed")
    assert ends(hear(added(0, whole), over()))[0].complete
    piece = delta(0, '{"b":2}', "function_call_arguments")
    for more in (piece, arguments('{"b":2}')):
        assert ends(hear(added(0, whole), more, over())) == [
            ToolCallEnd(0, "c", "f", '{"b":2}', True)
        ]
    assert ends(hear(piece, added(0, call("")), over())) == [
        ToolCallEnd(0, "c", "f", '{"b":2}', True)
    ]


def test_a_call_that_only_the_end_tells() -> None:
    """Beside other items of the answer, one of which the end leaves out."""
    outcome = hear(
        done(0, thought()), done(1, message(written("a"))), over(output=[message(), call("{}")])
    )
    assert ends(outcome) == [ToolCallEnd(0, "c", "f", "{}", True)]


def test_many_calls_that_were_cut() -> None:
    """The work is not that of each times all."""

    def work(calls: int) -> int:
        """How many functions are called, those in C and the steps of generators among them."""
        cut = [call("{}", status="incomplete")] * calls
        body = json.dumps({"object": "response", "status": "completed", "output": cut}).encode()
        exchange = ask(stream=False)
        exchange.next_request()
        exchange.receive_response(200, JSON)
        count = 0

        def profile(*_: object) -> None:
            nonlocal count
            count += 1

        before = sys.getprofile()
        sys.setprofile(profile)
        try:
            exchange.receive_data(body)
            events = exchange.receive_eof()
        finally:
            sys.setprofile(before)
        assert not any(event.complete for event in events if isinstance(event, ToolCallEnd))
        return count

    assert work(2000) < 2.1 * work(1000)


def test_arguments_only_when_done() -> None:
    """LM Studio's."""
    finished: Any = {
        "type": "response.function_call_arguments.done",
        "name": "f",
        "output_index": 0,
    }
    outcome = hear(
        added(0, call("")),
        {**finished, "arguments": '{"a":1}'},
        done(0, call('{"a":1}')),
        over(),
    ).succeeded()
    assert said(outcome) == [
        *(ToolCallStart(0, "c", "f"), ToolCallDelta(0, '{"a":1}')),
        ToolCallEnd(0, "c", "f", '{"a":1}', True),
    ]


def test_a_call_without_arguments() -> None:
    outcome = hear(done(0, call("")), over())
    assert said(outcome)[-1] == ToolCallEnd(0, "c", "f", "{}", True)


def test_a_call_that_is_cut() -> None:
    incomplete = over("incomplete", incomplete_details={"reason": "max_output_tokens"})
    begun = [added(0, call("")), delta(0, '{"a"', "function_call_arguments")]
    outcome = hear(*begun, incomplete).succeeded()
    assert outcome.events[-3:] == [
        ToolCallEnd(0, "c", "f", '{"a"', False),
        *(Finish("max_output_tokens", "length"), End("terminator")),
    ]
    cut = call('{"a":1}', status="incomplete", namespace="n")
    outcome = hear(done(0, cut), incomplete).succeeded()
    assert said(outcome)[-1] == ToolCallEnd(0, "c", "f", '{"a":1}', False)
    assert not natives(outcome)


def test_a_call_with_more_has_a_native_form() -> None:
    item = call("{}", namespace="n")
    outcome = hear(done(0, item), over())
    assert natives(outcome) == [item]
    (part,) = outcome.reply.message().parts
    assert isinstance(part, ToolCall)
    assert part.native is not None


CUSTOM: Any = {"type": "custom_tool_call", "id": "x", "call_id": "c", "name": "patch", "input": ""}


@pytest.mark.parametrize(
    "options",
    [
        {"tools": [{"type": "custom", "name": "patch"}]},
        {
            "tools": [
                {"type": "namespace", "name": "n", "tools": [{"type": "custom", "name": "patch"}]}
            ]
        },
        {"extra": {"tools": [{"type": "custom", "name": "patch"}]}},
    ],
)
def test_a_custom_call(options: Any) -> None:
    outcome = hear(
        added(0, CUSTOM),
        delta(0, "*** ", "custom_tool_call_input"),
        delta(0, "End", "custom_tool_call_input"),
        {"type": "response.custom_tool_call_input.done", "output_index": 0, "input": "*** End"},
        done(0, {**CUSTOM, "input": "*** End"}),
        over(),
        **options,
    ).succeeded()
    assert said(outcome) == [
        ToolCallStart(0, "c", "patch", custom=True),
        *(ToolCallDelta(0, "*** "), ToolCallDelta(0, "End")),
        ToolCallEnd(0, "c", "patch", "*** End", True, True),
    ]
    assert not natives(outcome)


def test_a_custom_call_that_comes_whole() -> None:
    tools = [{"type": "custom", "name": "patch"}]
    for value, text in (("x", "x"), ({"a": 1}, '{"a":1}')):
        item = {**CUSTOM, "input": value}
        for event in (done(0, item), added(0, item)):
            begun = [ToolCallStart(0, "c", "patch", custom=True), ToolCallDelta(0, text)]
            assert said(hear(event, over(), tools=tools))[:2] == begun


def test_a_custom_call_that_nobody_asked_for() -> None:
    """xAI's own searches: they are never for the client to run."""
    tools = [{"type": "custom", "name": "other"}, {"type": "web_search"}]
    item: Any = {**CUSTOM, "input": "x"}
    outcome = hear(
        added(0, CUSTOM),
        delta(0, "x", "custom_tool_call_input"),
        done(0, item),
        over(),
        tools=tools,
    ).succeeded()
    assert outcome.events == [
        Native(DIALECT, json.dumps(item).encode()),
        *COMPLETED,
    ]


def test_a_piece_of_an_unknown_custom_call() -> None:
    piece = delta(0, "x", "custom_tool_call_input")
    outcome = hear(piece, {**piece, "more": 1}, over())
    assert [json.loads(e.raw) for e in outcome.reply.unrecognized] == [piece, {**piece, "more": 1}]


# Other items


def test_tools_of_the_service() -> None:
    """Several at once, in the order in which they begin; what is told of their progress, the items
    say again."""
    search: Any = {"type": "web_search_call", "id": "ws", "status": "completed", "action": {}}
    code: Any = {"type": "code_interpreter_call", "id": "ci", "code": "1"}
    outcome = hear(
        CREATED,
        added(0, {**search, "status": "in_progress"}),
        added(1, code),
        {"type": "response.web_search_call.searching", "output_index": 0},
        {"type": "response.code_interpreter_call_code.delta", "output_index": 1, "delta": "1"},
        done(1, code),
        done(0, search),
        done(2, message(written("a"))),
        over(),
    ).succeeded()
    assert outcome.events[1:4] == [
        Native(DIALECT, json.dumps(code).encode(), 1),
        Native(DIALECT, json.dumps(search).encode(), 0),
        Text("a", part=2),
    ]


def test_an_item_of_the_service_that_is_cut() -> None:
    item: Any = {"type": "web_search_call", "status": "incomplete"}
    outcome = hear(done(0, item), over("incomplete"))
    assert said(outcome) == [Unrecognized(json.dumps(item).encode(), "output[0]")]
    assert outcome.events[-2] == Finish("incomplete", "")


def test_a_picture() -> None:
    item: Any = {
        "type": "image_generation_call",
        "id": "ig",
        "result": "eA==",
        "output_format": "webp",
        "revised_prompt": "p",
    }
    preview: Any = {
        "type": "response.image_generation_call.partial_image",
        "partial_image_b64": "eA==",
    }
    outcome = hear(
        added(0, {"type": "image_generation_call", "id": "ig"}),
        {"type": "response.image_generation_call.generating", "output_index": 0},
        preview,
        done(0, item),
        done(1, {**item, "output_format": "image/gif", "revised_prompt": None, "id": "2"}),
        done(2, {**item, "output_format": None, "id": "3"}),
        done(3, {**item, "result": "e?A==", "id": "4"}),
        done(4, {**item, "result": None, "id": "5"}),
        over(),
    )
    assert said(outcome) == [
        Unrecognized(json.dumps(preview).encode()),
        Image(b"x", "image/webp", prompt="p"),
        Image(b"x", "image/gif", part=1),
        Image(b"x", "image/png", prompt="p", part=2),
    ]
    assert len(natives(outcome)) == 5
    first, *_, last = outcome.reply.message().parts
    assert isinstance(first, ImagePart)
    assert first.url == "data:image/webp;base64,eA=="
    assert isinstance(last, Opaque)


def test_citations() -> None:
    url: Any = {"type": "url_citation", "url": "u", "title": "t", "start_index": 0, "end_index": 2}
    file: Any = {"type": "file_citation", "file_id": "f", "filename": "n", "index": 3}
    item = message(written("ab", annotations=[url, file]))
    cited: list[Event] = [
        Citation("u", "t", start=0, end=2),
        Citation("", "n", "f"),
    ]
    annotation: Any = {"type": "response.output_text.annotation.added", "output_index": 0}
    streamed = hear(
        delta(0, "ab"),
        *({**annotation, "annotation": each} for each in (url, file, file)),
        done(0, item),
        over(),
    )
    assert said(streamed) == [Text("ab"), *cited]
    assert natives(streamed) == [item]
    assert said(hear(done(0, item), over())) == [Text("ab"), *cited]
    later = hear(done(0, thought()), done(1, message(written("ab", annotations=[url]))), over())
    assert said(later) == [Text("ab", part=1), Citation("u", "t", part=1, start=0, end=2)]
    places: Any = {**url, "start_index": "x", "end_index": 2.5}
    assert said(hear({**annotation, "annotation": places}, over())) == [Citation("u", "t")]
    nowhere = {**url, "end_index": 0}
    assert said(hear({**annotation, "annotation": nowhere}, over())) == [Citation("u", "t")]
    first, second = added(0, message()), added(1, {**message(), "id": "m2"})
    by_id: Any = {"type": annotation["type"], "item_id": "m1", "annotation": url}
    assert said(hear(first, second, by_id, over())) == [cited[0]]
    by_place: Any = {**annotation, "output_index": 1, "annotation": url}
    later = hear(delta(0, "a"), delta(1, "b"), by_place, over())
    assert said(later)[2:] == [Citation("u", "t", part=1, start=0, end=2)]
    by_place["output_index"] = 0
    earlier = hear(delta(0, "a"), delta(1, "b"), by_place, over())
    assert said(earlier)[2:] == [cited[0]]
    odds: Any = (
        *({**annotation, "annotation": "?"}, annotation),
        {**annotation, "type": "response.refusal.annotation.added", "annotation": url},
    )
    for odd in odds:
        assert said(hear(odd, over())) == [Unrecognized(json.dumps(odd).encode())]
    (part,) = streamed.reply.message().parts
    assert part == TextPart("ab", native=Native(DIALECT, json.dumps(item).encode()))


@pytest.mark.parametrize(
    "item",
    [
        message(written("a"), phase="commentary"),
        message({"type": "output_text", "text": "a", "new": 1}),
        message(written("a"), {"type": "output_new", "x": 1}),
        message(written("a"), "?"),
    ],
)
def test_a_message_with_more_has_a_native_form(item: Any) -> None:
    outcome = hear(done(0, item), over())
    assert said(outcome) == [Text("a")]
    assert natives(outcome) == [item]


def test_what_is_not_understood() -> None:
    events: list[Any] = [
        {"type": "response.rate_limits.updated"},
        {"type": "response.audio.delta", "delta": "x", "message": "y"},
        {"hello": 1},
        added(0, None),
        {"type": "response.created", "response": "?"},
        delta(9, "x", "refusal"),
        added(8, {"type": "reasoning"}),
        delta(8, "x"),
        {**delta(8, "x"), "more": 1},
        {"type": "response.output_text.annotation.added", "output_index": 8, "annotation": {}},
    ]
    outcome = hear(*events, over())
    kept = [events[n] for n in (0, 1, 2, 3, 4, 7, 8, 9)]
    assert [json.loads(e.raw) for e in outcome.reply.unrecognized] == kept
    more = hear(delta(0, "a", more=[1]), over(new=1, parallel_tool_calls=True))
    assert said(more) == [
        *(Text("a"), Unrecognized(b"[1]", "output[0].more")),
        Unrecognized(b"1", "response.new"),
    ]
    odd = hear(b"data: [DONE]\n\n", b"data: wait\n\n", over())
    assert said(odd) == [Unrecognized(b"wait")]


def test_texts_that_come_together() -> None:
    """As most of a stream does, in pieces of the network: all that may be among them."""
    token: Any = {"token": "c", "logprob": -1.0}
    body = sse(
        *(delta(0, "a"), delta(0, "b"), delta(0, ""), delta(0, "c", logprobs=[token])),
        *(delta(0, "d"), delta(0, "e", content_index=1), delta(1, "f"), delta(1, "g")),
        delta(0, "h"),
    )
    after = sse(delta(0, "a"), done(0, message(written("a"))), delta(1, "b"), delta(1, "c"), over())
    assert said(alike(ask(), after)) == [Text("a"), Text("b", part=1), Text("c", part=1)]
    # What it is, its data says.
    body += b"event: response.output_text.delta\ndata: " + json.dumps(over()).encode() + b"\n\n"
    outcome = alike(ask(), body + sse(delta(0, "x"))).succeeded()
    assert said(outcome) == [
        *(Text("a"), Text("b"), Text("c"), LogProbs([TokenLogProb("c", -1.0)])),
        *(Text("d"), Text("e"), Text("f", part=1), Text("g", part=1), Text("h")),
    ]


def test_other_types_of_values() -> None:
    outcome = hear({**delta(0, "a"), "output_index": "0"}, delta(0, 7), delta(0, "b"), over())
    assert said(outcome) == [Text("a"), Text("7"), Text("b")]


# The end


def test_a_cut_stream_is_no_success() -> None:
    text = message(written("a"))
    for events in ([CREATED], [CREATED, delta(0, "a")], [CREATED, delta(0, "a"), done(0, text)]):
        for ending in ("eof", "disconnect"):
            outcome = hear(*events, ending=ending)
            outcome.refused_by(Truncated, "the stream ended before response.completed")
    hear(CREATED, delta(0, "a"), done(0, text), ending="timeout").refused_by(TimedOut)


def test_the_end_is_at_once() -> None:
    exchange = ask()
    exchange.next_request()
    exchange.receive_response(200, JSON)
    events = exchange.receive_data(sse(CREATED, over()))
    assert events == [*STARTED, *COMPLETED]
    assert exchange.receive_data(b"data: [DONE]\n\n") == []
    assert exchange.next_request() is None


def test_what_comes_after_the_end_is_not_read() -> None:
    text = delta(0, "b")
    assert said(hear(delta(0, "a"), over(), b"data: [DONE]\n\n", text)) == [Text("a")]
    body = sse(delta(0, "a"), delta(0, "b"), over()) + sse(text)
    assert said(drive(ask(), Response(body))) == [Text("a"), Text("b")]


@pytest.mark.parametrize(
    ("status", "details", "finish"),
    [
        ("completed", None, Finish("completed", "stop")),
        ("incomplete", {"reason": "content_filter"}, Finish("content_filter", "content_filter")),
        ("incomplete", {"reason": "steered"}, Finish("steered", "")),
        ("incomplete", {"reason": "of another kind"}, Finish("of another kind", "")),
    ],
)
def test_finish_reasons(status: str, details: Any, finish: Finish) -> None:
    outcome = hear(CREATED, over(status, incomplete_details=details)).succeeded()
    assert outcome.events[-2] == finish


@pytest.mark.parametrize("named", [{"id": "r"}, {"model": "m"}])
def test_an_answer_without_an_id_or_a_model(named: Any) -> None:
    ended = {"type": "response.completed", "response": named}
    start = Start(named.get("id", ""), named.get("model", ""))
    assert hear(ended).succeeded().events == [start, *COMPLETED]


def test_lines_that_are_no_events() -> None:
    """An object that is not whole when the body ends is passed on, too."""
    outcome = drive(ask(), sse(CREATED) + b"wait\n{\n")
    assert [event.raw for event in outcome.reply.unrecognized] == [b"wait", b"{\n"]


def test_an_event_of_which_only_the_name_says_what_it_is() -> None:
    ended = b'event: response.completed\ndata:   {"response": {"id": "r", "model": "m"}}\n\n'
    assert hear(ended).succeeded().events == [*STARTED, *COMPLETED]


def test_xais_word_for_the_end() -> None:
    ended = {"type": "response.done", "response": {"id": "r", "model": "m"}}
    assert hear(ended).succeeded().events == [*STARTED, *COMPLETED]


def test_usage() -> None:
    used: Any = {
        "input_tokens": 30,
        "input_tokens_details": {"cached_tokens": 10, "cache_write_tokens": 5},
        "output_tokens": 7.0,
        "output_tokens_details": {"reasoning_tokens": 4},
        "total_tokens": 40,
        "cost": 0.1,
    }
    assert said(hear(over(usage=used))) == [Usage(30, 7, 40, 10, 5, 4, used)]
    for key, usage in (
        ("input_tokens", Usage(3, raw={"input_tokens": 3})),
        ("output_tokens", Usage(None, 3, raw={"output_tokens": 3})),
    ):
        assert said(hear(over(usage={key: 3}))) == [usage]
    assert said(hear(over(usage={"input_tokens": True}))) == [Usage(raw={"input_tokens": True})]


def test_keep_alives() -> None:
    alive = {"type": "keepalive", "sequence_number": 3}
    comments = b": keepalive\n\n"
    outcome = hear(comments, CREATED, alive, comments, delta(0, "a"), alive, over()).succeeded()
    assert said(outcome) == [Text("a")]
    for ping in (sse(alive), sse(alive, named=False), comments):
        no_sign_of_life(ask(), sse(CREATED), ping)
    text = 'of a "keepalive"'
    assert said(hear(delta(0, text), over())) == [Text(text)]
    broken = b'data: {"keepalive"\n\n'
    assert isinstance(drive(ask(), Response(broken + sse(over()))).error, RemoteProtocolError)


def test_limits() -> None:
    exchange = RESPONSES.exchange(as_chat("hi", model="m"), limits=Limits(parts=2))
    items = [done(place, message(written("a"), id=f"m{place}")) for place in range(3)]
    assert isinstance(drive(exchange.fresh(), sse(*items, over())).error, LimitExceeded)
    pieces = [delta(0, "a", content_index=number) for number in range(3)]
    assert isinstance(drive(exchange.fresh(), sse(*pieces, over())).error, LimitExceeded)


# The whole answer


def hear_whole(document: Any, status: int = 200) -> Outcome:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return alike(ask(stream=False), Response(body, status, JSON))


def test_a_whole_answer() -> None:
    item = thought(summary=[{"type": "summary_text", "text": "so"}], encrypted_content="e")
    document: Any = {
        "id": "r",
        "object": "response",
        "model": "m",
        "status": "completed",
        "error": None,
        "output": [item, message(written("a")), call('{"x":1}')],
        "usage": {"input_tokens": 1, "output_tokens": 2, "total_tokens": 3},
        "surprise": 1,
    }
    outcome = hear_whole(document).succeeded()
    assert said(outcome) == [
        *(Reasoning("so"), Text("a", part=1), ToolCallStart(0, "c", "f", part=2)),
        *(ToolCallDelta(0, '{"x":1}'), Unrecognized(b"1", "surprise")),
        *(Usage(1, 2, 3, raw=document["usage"]), ToolCallEnd(0, "c", "f", '{"x":1}', True)),
    ]
    assert natives(outcome) == [item]
    assert outcome.events[-2:] == [Finish("completed", "tool_call"), End("terminator")]


def test_an_item_of_a_whole_answer_that_is_none() -> None:
    document: Any = {"object": "response", "status": "completed", "output": [7]}
    assert said(hear_whole(document).succeeded()) == [Unrecognized(b"7")]


def test_whole_items_that_share_an_id() -> None:
    document: Any = {"object": "response", "output": [message(written("a")), message(written("b"))]}
    outcome = hear_whole(document).succeeded()
    assert outcome.events == [Text("a"), Text("b", part=1), End("terminator")]


def test_a_whole_answer_instead_of_a_stream() -> None:
    document: Any = {
        "id": "r",
        "model": "m",
        "status": "completed",
        "output": [message(written("a"))],
    }
    body = json.dumps(document).encode()
    assert alike(ask(), Response(body, 200, JSON)).succeeded().reply.text == "a"
    cut = alike(ask(), Response(body[:-1], 200, JSON))
    assert type(cut.error) is Truncated


@pytest.mark.parametrize("status", ["queued", "in_progress"])
def test_an_answer_in_the_background_is_none(status: str) -> None:
    document: Any = {"id": "resp_9", "object": "response", "status": status, "output": []}
    hear_whole(document).refused_by(UnexpectedContent, "resp_9", status)


def test_documents_that_are_no_answer() -> None:
    others: Any = ({"status": "fine"}, [1])
    for other in others:
        error = hear_whole(other).refused_by(UnexpectedContent).error
        assert isinstance(error, UnexpectedContent)
        assert error.message == "a JSON document that is no response"
        assert json.loads(error.data) == other
    hear_whole({"error": {"message": "no", "code": "server_error"}}).refused_by(Refused, "no")
    slow = {"error": {"message": "no", "code": "slow_down"}}
    refused = hear_whole(slow).refused_by(Overloaded, "no").error
    assert isinstance(refused, Overloaded)
    assert json.loads(refused.data) == slow
    hear_whole(b"<html>Sign in</html>").refused_by(UnexpectedContent, "HTML")


# Errors


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("server_error", Refused),
        ("rate_limit_exceeded", RateLimited),
        ("insufficient_quota", RateLimited),
        ("usage_limit_reached", RateLimited),
        ("server_is_overloaded", Overloaded),
        ("slow_down", Overloaded),
        ("invalid_prompt", ContentFiltered),
        ("bio_policy", ContentFiltered),
        ("image_content_policy_violation", ContentFiltered),
        ("context_length_exceeded", BadRequest),
        ("invalid_image_url", BadRequest),
        ("vector_store_timeout", Refused),
    ],
)
def test_errors_in_a_stream(code: str, kind: type[Refused]) -> None:
    error: Any = {"code": code, "message": "no way"}
    failed = over("failed", error=error)
    for event, type in (
        (failed, None),
        ({"type": "error", **error, "param": None}, None),
        ({"type": "error", "error": {"type": "t", **error}}, "t"),
    ):
        outcome = hear(CREATED, delta(0, "a"), event, failed).refused_by(kind, "no way")
        assert said(outcome) == [Text("a")]
        assert isinstance(outcome.error, Refused)
        assert (outcome.error.code, outcome.error.type) == (code, type)
        assert json.loads(outcome.error.data) in (event, event.get("response"))


def test_errors_of_other_forms() -> None:
    bare = hear(over("failed")).refused_by(Refused, "no reason given").error
    assert isinstance(bare, Refused)
    assert bare.code == "failed"
    cut = over("incomplete", incomplete_details={"reason": "failed"})
    hear(CREATED, cut).refused_by(Refused, "the service refused: failed")
    hear(over("failed", error="why not")).refused_by(Refused, "why not")
    hear({"error": {"message": "no", "type": "rate_limit_error"}}).refused_by(RateLimited, "no")
    failed: Any = {
        "object": "response",
        "status": "failed",
        "error": {"code": "x", "message": "no"},
    }
    hear_whole(failed).refused_by(Refused, "no")
    hear_whole({"object": "response", "status": "cancelled"}).refused_by(Refused, "no reason given")
    drive(ask(), b"event: error\ndata: it broke\n\n").refused_by(Refused, "it broke")
    hear(b'event: error\ndata: {"message": "it broke"}\n\n').refused_by(Refused, "it broke")
    for head in (b"event: response.output_text.delta\n", b"event: message\n", b""):
        body = sse(delta(0, "a")) + head + b'data: {"message": "it broke"}\n\n'
        drive(ask(), body).refused_by(Refused, "it broke")
    listed = b'event: error\ndata: [{"code": "slow_down", "message": "too fast"}]\n\n'
    hear(listed).refused_by(Overloaded, "too fast")


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (401, {"error": {"code": "invalid_api_key", "message": "no"}}, AuthenticationFailed),
        (401, {"detail": "no"}, AuthenticationFailed),
        (400, {"code": "invalid-argument", "error": "no"}, BadRequest),
        (400, {"error": {"code": "content_filter", "message": "no"}}, ContentFiltered),
        (404, {"error": {"code": "model_not_found", "message": "no"}}, BadRequest),
        (429, {"error": {"code": "rate_limit_exceeded", "message": "no"}}, RateLimited),
        (503, {"error": {"message": "no"}}, Overloaded),
        (500, b'data: {"error":{"message":"no","code":"500"}}\n\ndata: [DONE]\n\n', Refused),
    ],
)
def test_errors_by_status(status: int, body: Any, kind: type[Refused]) -> None:
    outcome = hear_whole(body, status).refused_by(kind, "no")
    assert isinstance(outcome.error, Refused)
    assert outcome.error.status == status
