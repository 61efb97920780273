"""Mistral's answers: the parts of a content, usage, ends, errors."""

import json
from typing import Any

import pytest

from tests.driving import JSON, SSE, Outcome, Response, alike
from tokenwire import (
    PROVIDERS,
    AuthenticationFailed,
    BadRequest,
    Citation,
    End,
    Event,
    Exchange,
    Finish,
    LimitExceeded,
    Limits,
    Message,
    Native,
    Opaque,
    Overloaded,
    RateLimited,
    Reasoning,
    ReasoningPart,
    Refused,
    Start,
    Text,
    TextPart,
    ToolCall,
    ToolCallDelta,
    ToolCallEnd,
    ToolCallStart,
    Truncated,
    Unrecognized,
    Usage,
    as_chat,
)

MISTRAL = PROVIDERS["mistral"]


def ask(**options: Any) -> Exchange:
    return MISTRAL.exchange(as_chat("hi", model="m", **options))


def sse(*payloads: Any) -> bytes:
    texts = [p if isinstance(p, str) else json.dumps(p) for p in payloads]
    return b"".join(b"data: %b\n\n" % text.encode() for text in texts)


def delta(said: dict[str, Any], finish: str | None = None, **more: Any) -> dict[str, Any]:
    choice = {"index": more.pop("index", 0), "delta": said, "finish_reason": finish}
    return {"id": "c-1", "model": "m", "p": "abcd", "choices": [choice], **more}


def parts(*content: Any, finish: str | None = None) -> dict[str, Any]:
    return delta({"content": list(content)}, finish)


def thinking(*texts: str, **more: Any) -> dict[str, Any]:
    return {"type": "thinking", "thinking": [{"type": "text", "text": t} for t in texts], **more}


def streamed(*payloads: Any) -> Outcome:
    return alike(ask(), sse(*payloads))


FIRST = delta({"role": "assistant", "content": ""})
STOP = delta({"content": ""}, "stop")
DONE = "[DONE]"
START, END = Start("c-1", "m"), End("terminator")
STOPPED: list[Event] = [Finish("stop", "stop"), END]
TEXT = {"type": "text", "text": "a"}
REFERENCE = {"type": "reference", "reference_ids": [0, "a"]}


def heard(*payloads: Any) -> list[Event]:
    """The events between the Start and the ends."""
    events = streamed(FIRST, *payloads, STOP, DONE).succeeded().events
    assert events[0] == START
    assert events[-2:] == STOPPED
    return events[1:-2]


# Thoughts


def test_thoughts_and_text_in_one_chunk() -> None:
    """As a recording has them: `closed` on all pieces but the first."""
    chunks = (
        parts(thinking("h")),
        parts(thinking("m", closed=True), {**TEXT, "text": "A"}),
        delta({"content": "b"}),
        parts({**TEXT, "text": ""}, thinking("", closed=True), {**TEXT, "text": "c"}),
    )
    assert heard(*chunks) == [
        *(Reasoning("h"), Reasoning("m")),
        *(Text("A", 1), Text("b", 1), Text("c", 1)),
    ]


def test_what_is_no_text_in_a_thought() -> None:
    mixed = {"type": "thinking", "thinking": [{"type": "new"}, {"type": "text", "text": "hm"}]}
    unknown, thought = heard(parts(mixed))
    assert isinstance(unknown, Unrecognized)
    assert thought == Reasoning("hm")


@pytest.mark.parametrize("apart", [True, False])
def test_a_signed_thought(apart: bool) -> None:
    last: tuple[Any, ...] = (parts(thinking("m")), parts(thinking(closed=True, signature="s")))
    if not apart:
        last = (parts(thinking("m", closed=True, signature="s")),)
    chunks = (parts(thinking("h")), *last, delta({"content": "a"}))
    *said, native = heard(*chunks)
    assert said == [Reasoning("h"), Reasoning("m"), Text("a", 1)]
    assert isinstance(native, Native)
    assert (native.dialect, native.part) == ("mistral", 0)
    signed = thinking("hm", closed=True, signature="s")
    assert json.loads(native.raw) == {"content": [signed]}


def test_two_signed_thoughts() -> None:
    chunks = (
        parts(thinking("a", signature="1")),
        parts(TEXT),
        parts(thinking("b", signature="2")),
        parts(thinking(signature="3")),
    )
    natives = [event for event in heard(*chunks) if isinstance(event, Native)]
    assert [(native.part, json.loads(native.raw)["content"][0]) for native in natives] == [
        (0, thinking("a", closed=True, signature="1")),
        (2, thinking("b", closed=True, signature="3")),
    ]
    (alone,) = heard(parts(thinking(signature="s")))
    assert isinstance(alone, Native)
    assert json.loads(alone.raw)["content"] == [thinking(closed=True, signature="s")]


def test_a_truncated_thought_is_not_signed() -> None:
    outcome = streamed(FIRST, parts(thinking("a", signature="1")))
    outcome.refused_by(Truncated)
    assert outcome.events == [START, Reasoning("a")]


def test_what_is_kept_has_a_limit() -> None:
    chunks = [parts(thinking("x" * 400)) for _ in range(3)]
    small = MISTRAL.exchange(as_chat("hi", model="m"), limits=Limits(event=1000))
    alike(small, sse(*chunks)).refused_by(LimitExceeded, "native forms of more than 1000 bytes")
    long = parts(thinking("x", signature="s" * 600))
    alike(small, sse(long)).refused_by(Truncated)
    alike(small, sse(long, long)).refused_by(LimitExceeded, "native forms of more than")
    cites = [parts({"type": "reference", "reference_ids": [n]}) for n in range(40)]
    alike(small, sse(*cites)).refused_by(LimitExceeded, "native forms of more than")


# References and what is not understood


def test_a_reference() -> None:
    chunks = (delta({"content": "a"}), parts(REFERENCE), delta({"content": "b"}), parts(REFERENCE))
    said = heard(*chunks)
    raw = b'{"content":[{"type":"reference","reference_ids":[0,"a"]}]}'
    assert said == [
        Text("a"),
        Native("mistral", raw, 1),
        *(Citation(source="0"), Citation(source="a")),
        Text("b", 2),
        Native("mistral", raw, 3),  # whose sources are known
    ]
    reply = streamed(FIRST, *chunks, STOP, DONE).reply
    reference = Opaque(Native("mistral", raw))
    assert reply.message().parts == (TextPart("a"), reference, TextPart("b"), reference)
    first = heard(parts(REFERENCE))
    assert first[1:] == [Citation(source="0"), Citation(source="a")]


def test_parts_of_another_choice() -> None:
    said = [thinking("hm"), TEXT, REFERENCE]
    body = sse(delta({"content": "x"}, "stop"), delta({"content": said}, "stop", index=1), DONE)
    events = alike(ask(n=2), body).succeeded().events
    raw = b'{"content":[{"type":"reference","reference_ids":[0,"a"]}]}'
    assert events[2:-3] == [
        *(Reasoning("hm", index=1), Text("a", 1, 1), Native("mistral", raw, 2, 1)),
        *(Citation(source="0", part=1, index=1), Citation(source="a", part=1, index=1)),
    ]


@pytest.mark.parametrize(
    ("part", "place", "said"),
    [
        ({"type": "new", "x": 1}, "content", {"type": "new", "x": 1}),
        ({"type": "text", "text": 7}, "content", {"type": "text", "text": 7}),
        ({"type": "text"}, "content", {"type": "text"}),
        ({"type": "reference"}, "content", {"type": "reference"}),
        ({"type": "thinking"}, "content", {"type": "thinking"}),
        (7, "content", 7),
        (
            {"type": "thinking", "thinking": [{"type": "reference", "reference_ids": [0]}]},
            "content.thinking",
            {"type": "reference", "reference_ids": [0]},
        ),
    ],
)
def test_what_is_not_understood_goes_on(part: Any, place: str, said: Any) -> None:
    first, unknown, last = heard(parts(TEXT), parts(part), parts(TEXT))
    assert (first, last) == (Text("a"), Text("a"))
    assert isinstance(unknown, Unrecognized)
    assert (unknown.place, json.loads(unknown.raw)) == (f"choices[0].delta.{place}", said)


def test_further_keys_of_a_part() -> None:
    text = {"type": "text", "text": "a", "new": [1], "thinking": None}
    thought = thinking("so", closed=True, new="b")
    assert heard(parts(text), parts(thought)) == [
        Text("a"),
        Unrecognized(b"[1]", "choices[0].delta.content.new"),
        Reasoning("so", 1),
        Unrecognized(b'"b"', "choices[0].delta.content.new"),
    ]


def test_further_keys_of_a_text_in_a_thought() -> None:
    said = {"type": "thinking", "thinking": [{**TEXT, "new": [1]}, {"new": 2}, 5]}
    assert heard(parts(said)) == [
        Reasoning("a"),
        Unrecognized(b"[1]", "choices[0].delta.content.thinking.new"),
        Unrecognized(b'{"new": 2}', "choices[0].delta.content.thinking"),
        Unrecognized(b"5", "choices[0].delta.content.thinking"),
    ]


# Calls


def fragment(id: str, name: str, arguments: str, **more: Any) -> dict[str, Any]:
    return {"id": id, "function": {"name": name, "arguments": arguments}, **more}


def ended(number: int, id: str, name: str, arguments: str, complete: bool = True) -> ToolCallEnd:
    return ToolCallEnd(number, id, name, arguments, complete)


def test_whole_calls_with_the_finish() -> None:
    rows: list[tuple[dict[str, Any], dict[str, Any]]] = [({"index": 0}, {"index": 1}), ({}, {})]
    for first, second in rows:
        calls = [fragment("a", "f", "{}", **first), fragment("b", "g", '{"x":1}', **second)]
        last = delta({"content": "", "tool_calls": calls}, "tool_calls", usage={"total_tokens": 3})
        events = streamed(FIRST, last, DONE).succeeded().events
        assert [e for e in events if isinstance(e, ToolCallStart)] == [
            ToolCallStart(0, "a", "f", part=0),
            ToolCallStart(1, "b", "g", part=1),
        ]
        assert events[-4:-1] == [
            *(ended(0, "a", "f", "{}"), ended(1, "b", "g", '{"x":1}')),
            Finish("tool_calls", "tool_call"),
        ]


def test_a_call_in_pieces() -> None:
    """Of another vendor's model: no id and an empty name go on."""
    pieces = [
        fragment("a", "f", '{"x"', index=0),
        fragment("", "", ":1", index=0),
        fragment("", "", "}", index=0),
    ]
    events = streamed(*(delta({"tool_calls": [piece]}) for piece in pieces), STOP, DONE).events
    assert ended(0, "a", "f", '{"x":1}') in events
    assert [e.arguments for e in events if isinstance(e, ToolCallDelta)] == ['{"x"', ":1", "}"]


def test_calls_that_are_cut() -> None:
    half = delta({"tool_calls": [fragment("a", "f", '{"x"')]}, "length")
    events = streamed(FIRST, half, DONE).succeeded().events
    assert ended(0, "a", "f", '{"x"', complete=False) in events
    none = streamed(FIRST, delta({"content": ""}, "length"), DONE).succeeded().events
    assert none == [START, Finish("length", "length"), END]


def test_further_keys_of_a_call() -> None:
    call = fragment("abc123456", "f", "{}", index=0, x=1)
    natives = [
        event
        for event in streamed(delta({"tool_calls": [call]}), STOP, DONE).succeeded().events
        if isinstance(event, Native)
    ]
    assert [native.dialect for native in natives] == ["mistral"]
    assert json.loads(natives[0].raw)["tool_calls"][0]["x"] == 1


# Ends and usage


def test_two_choices() -> None:
    usage = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
    body = sse(
        delta({"role": "assistant", "content": "a"}),
        delta({"role": "assistant", "content": "x"}, index=1),
        delta({"content": "b"}, "stop"),
        delta({"content": "y"}, "length", index=1, usage=usage),
        DONE,
    )
    assert alike(ask(n=2), body).succeeded().events == [
        *(START, Text("a"), Text("x", index=1), Text("b"), Text("y", index=1)),
        Usage(1, 2, 3, raw=usage),
        *(Finish("stop", "stop"), Finish("length", "length", index=1), END),
    ]


def test_where_it_is_cut() -> None:
    said = delta({"content": "a"})
    streamed(FIRST, said).refused_by(Truncated, "data: [DONE] or a finish_reason")
    assert streamed(FIRST, said, STOP).succeeded().events[-1] == End("finish")
    assert streamed(FIRST, said, STOP, DONE, said).succeeded().reply.text == "a"


@pytest.mark.parametrize(
    "counts",
    [
        {"prompt_tokens_details": {"cached_tokens": 9}},
        {"prompt_token_details": {"cached_tokens": 9}, "prompt_tokens_details": None},
        {"num_cached_tokens": 9, "prompt_tokens_details": {"cached_tokens": None}},
    ],
)
def test_usage(counts: dict[str, Any]) -> None:
    """Audio is in the total only, and is not added."""
    usage = {"prompt_tokens": 11, "completion_tokens": 15, "total_tokens": 401, **counts}
    usage |= {"prompt_audio_seconds": 5, "service_tier": "standard"}
    reply = streamed(FIRST, delta({"content": "a"}, "stop", usage=usage), DONE).reply
    assert reply.usage == Usage(11, 15, 401, 9, raw=usage)


def test_usage_of_nothing() -> None:
    usage = {"prompt_tokens": None, "completion_tokens": None, "total_tokens": None}
    reply = streamed(FIRST, delta({"content": "a"}, "stop", usage=usage), DONE).reply
    assert reply.usage == Usage(raw=usage)


def test_reasons() -> None:
    events = streamed(FIRST, delta({"content": "a"}, "model_length"), DONE).succeeded().events
    assert Finish("model_length", "length") in events
    usage = {"total_tokens": 3}
    outcome = streamed(FIRST, delta({"content": "a"}, "error", usage=usage), DONE)
    outcome.refused_by(Refused, "the service refused: error")
    assert outcome.events[1:] == [
        *(Text("a"), Usage(total_tokens=3, raw=usage), Finish("error", "error")),
    ]


def test_a_whole_answer() -> None:
    call = {"id": "abc123456", "function": {"name": "f", "arguments": "{}"}}
    said = [thinking("hm", closed=True), TEXT, REFERENCE]
    message = {"role": "assistant", "content": said, "tool_calls": [call]}
    choice = {"index": 0, "finish_reason": "tool_calls", "message": message}
    answer = {"id": "c-1", "model": "m", "object": "chat.completion", "choices": [choice]}
    response = Response(json.dumps(answer).encode(), 200, JSON)
    reply = alike(ask(stream=False), response).succeeded().reply
    assert (reply.text, reply.reasoning) == ("a", "hm")
    assert reply.message() == Message(
        "assistant",
        (
            ReasoningPart("hm"),
            TextPart("a"),
            Opaque(
                Native(
                    "mistral", json.dumps({"content": [REFERENCE]}, separators=(",", ":")).encode()
                )
            ),
            ToolCall("abc123456", "f", "{}"),
        ),
    )


# Errors

PROBLEM = {"type": "extra_forbidden", "loc": ["body", "seed"], "msg": "Extra inputs", "input": 7}
OTHER: dict[str, Any] = {"type": "missing", "loc": [], "msg": "Field required"}
WORDS = "body.seed: Extra inputs; Field required"
ERRORS: dict[str, tuple[int, Any, type[Refused], str | None, str | None, str]] = {
    "a model": (
        400,
        {
            "object": "error",
            "message": "Invalid model: x",
            "type": "invalid_model",
            "param": None,
            "code": "1500",
            "raw_status_code": 400,
        },
        *(BadRequest, "1500", "invalid_model", "Invalid model: x"),
    ),
    "a key": (
        401,
        {"detail": "Invalid API Key"},
        AuthenticationFailed,
        None,
        None,
        "Invalid API Key",
    ),
    "detail": (422, {"detail": [PROBLEM, OTHER]}, BadRequest, None, None, WORDS),
    "message": (
        422,
        {
            "object": "error",
            "message": {"detail": [PROBLEM, OTHER]},
            "type": "invalid_request_error",
            "code": None,
        },
        *(BadRequest, None, "invalid_request_error", WORDS),
    ),
    "both": (
        422,
        {
            "object": "Error",
            "detail": [PROBLEM, OTHER],
            "message": [PROBLEM],
            "type": "t",
            "code": 3001,
        },
        *(BadRequest, "3001", "t", WORDS),
    ),
    "no place": (
        422,
        {"detail": [{"msg": "a"}, {"msg": "b", "loc": "c"}]},
        BadRequest,
        None,
        None,
        "a; b",
    ),
    "in a list": (400, [{"error": {"message": "no", "code": "c"}}], BadRequest, "c", None, "no"),
    "a list": (422, {"message": [PROBLEM, 7, OTHER], "code": "1"}, BadRequest, "1", None, WORDS),
    "text": (
        422,
        {"object": "error", "message": json.dumps({"detail": [PROBLEM, OTHER]}), "type": 7},
        *(BadRequest, None, None, WORDS),
    ),
    "a rate": (
        429,
        {
            "object": "error",
            "message": "Rate limit exceeded",
            "type": "rate_limited",
            "code": "1300",
        },
        *(RateLimited, "1300", "rate_limited", "Rate limit exceeded"),
    ),
    "the gateway's": (
        429,
        {"message": "Requests rate limit exceeded"},
        RateLimited,
        None,
        None,
        "Requests rate limit exceeded",
    ),
    "capacity": (
        503,
        {"message": "Service tier capacity exceeded"},
        Overloaded,
        None,
        None,
        "Service tier capacity exceeded",
    ),
    "a payment": (402, {"message": "pay"}, RateLimited, None, None, "pay"),
    "a plan": (403, {"message": "no"}, AuthenticationFailed, None, None, "no"),
    "a path": (404, {"detail": "Not Found"}, BadRequest, None, None, "Not Found"),
    "an internal one": (500, {"message": "oh"}, Refused, None, None, "oh"),
    "no problem": (400, {"message": [{"loc": ["a"]}], "detail": "x"}, BadRequest, None, None, "x"),
}


@pytest.mark.parametrize("row", ERRORS)
def test_an_error_body(row: str) -> None:
    status, value, kind, code, type_, words = ERRORS[row]
    headers = [*JSON, (b"mistral-correlation-id", b"r-1"), (b"x-request-id", b"other")]
    outcome = alike(
        MISTRAL.exchange(as_chat("hi", model="m"), key="k"),
        Response(json.dumps(value).encode(), status, headers),
    )
    error = outcome.error
    assert type(error) is kind
    assert isinstance(error, Refused)
    assert error.message == f"the service refused: {words}"
    assert (error.code, error.type, error.request_id) == (code, type_, "r-1")


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ({"object": "error", "message": "no", "type": "t", "code": "3051"}, BadRequest),
        ({"object": "error", "message": {"detail": [PROBLEM]}, "type": "t"}, Refused),
        ({"object": "error", "message": "no", "type": "rate_limited", "code": "1300"}, RateLimited),
        ({"error": {"message": "no"}}, Refused),
    ],
)
def test_an_error_in_place_of_a_chunk(value: Any, kind: type[Refused]) -> None:
    outcome = streamed(FIRST, delta({"content": "a"}), value)
    assert type(outcome.error) is kind
    assert outcome.reply.text == "a"


def test_the_id_of_the_request() -> None:
    exchange = ask()
    exchange.next_request()
    exchange.receive_response(200, [*SSE, (b"mistral-correlation-id", b"r-1")])
    assert exchange.request_id == "r-1"
