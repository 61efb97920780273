"""Cohere's chat, server half: what it writes, and the requests beside the chat."""

import json
from typing import Any

import msgspec
import pytest

from tests.driving import drive
from tests.formats.cohere.subject import CITED
from tokenwire.protocols.chat import Chat, ReasoningPart, TextPart, Tool, ToolCall, as_chat
from tokenwire.protocols.errors import (
    AuthenticationFailed,
    BadRequest,
    ContentFiltered,
    LocalProtocolError,
    Malformed,
    Overloaded,
    RateLimited,
    Refused,
    RemoteProtocolError,
    Truncated,
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
from tokenwire.protocols.registry import PROVIDERS
from tokenwire.protocols.reply import Reply
from tokenwire.protocols.service import Responder, Service, pair
from tokenwire.protocols.toolkit.http import Headers, Request
from tokenwire.testing.driving import Response

COHERE = PROVIDERS["cohere"]
END = End("terminator")
FINISH = Finish("COMPLETE", "stop")
CALLED = Finish("TOOL_CALL", "tool_call")
PLAN = Native("cohere", b'{"tool_plan":"I will."}')
JSON: Headers = [(b"content-type", b"application/json")]
BODY: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
TOOLS: Any = [{"type": "function", "function": {"name": "f", "parameters": {}}}]


def post(path: str = "/v2/chat", headers: Headers = JSON, **fields: Any) -> Request:
    return Request("POST", f"https://x{path}", headers, json.dumps({**BODY, **fields}).encode())


def get(path: str, headers: Headers = []) -> Request:
    return Request("GET", f"https://x{path}", headers)


def asked(**fields: Any) -> Responder:
    responder = Service(COHERE).responder()
    assert responder.receive_request(post(**fields)) is not None
    return responder


def data(written: bytes) -> list[Any]:
    """The data of each event; its name is its type."""
    found: list[Any] = []
    *units, done, rest = written.split(b"\n\n")
    assert (done, rest) == (b"data: [DONE]", b"")
    for unit in units:
        name, line = unit.split(b"\n")
        value = json.loads(line.removeprefix(b"data: "))
        assert name == f"event: {value['type']}".encode()
        found.append(value)
    return found


def stream(*events: Event, **fields: Any) -> list[Any]:
    """What follows message-start."""
    responder = asked(stream=True, **fields)
    first, *values = data(b"".join([*map(responder.send, events), responder.end()]))
    assert first["type"] == "message-start"
    return values


def whole(*events: Event, **fields: Any) -> Any:
    responder = asked(**fields)
    assert not b"".join(map(responder.send, events))
    return json.loads(responder.end())


def short(values: list[Any]) -> list[Any]:
    """Each event as its type, index and piece."""
    found: list[Any] = []
    for value in values:
        piece = list(value.get("delta", {}).get("message", {}).values())
        index = [value["index"]] if "index" in value else []
        found.append((value["type"], *index, *piece))
    return found


def text(said: str = "") -> Any:
    return {"type": "text", "text": said}


OVER: Any = {"type": "message-end", "delta": {"finish_reason": "COMPLETE"}}


# The stream


def test_a_stream() -> None:
    responder = asked(stream=True)
    events: tuple[Event, ...] = (
        Start("i", "n"),
        Text("h\u20ac"),
        Text("i"),
        Usage(3, 2),
        FINISH,
        END,
    )
    first, *rest = data(b"".join([*map(responder.send, events), responder.end()]))
    empty: dict[str, Any] = {"content": [], "tool_plan": "", "tool_calls": [], "citations": []}
    message = {"role": "assistant", **empty}
    assert first == {"type": "message-start", "id": "i", "delta": {"message": message}}
    counts = {"input_tokens": 3, "output_tokens": 2}
    assert rest == [
        {"type": "content-start", "index": 0, "delta": {"message": {"content": text()}}},
        {
            "type": "content-delta",
            "index": 0,
            "delta": {"message": {"content": {"text": "h\u20ac"}}},
        },
        {"type": "content-delta", "index": 0, "delta": {"message": {"content": {"text": "i"}}}},
        {"type": "content-end", "index": 0},
        {
            "type": "message-end",
            "delta": {
                "finish_reason": "COMPLETE",
                "usage": {"billed_units": counts, "tokens": counts},
            },
        },
    ]


def test_the_head() -> None:
    status, headers = asked(stream=True).head()
    assert (status, dict(headers)) == (
        200,
        {
            b"content-type": b"text/event-stream; charset=utf-8",
            b"cache-control": b"no-cache",
            b"x-accel-buffering": b"no",
            b"x-debug-trace-id": b"trace_1",
        },
    )
    plain = {b"content-type": b"application/json", b"x-debug-trace-id": b"trace_1"}
    assert dict(asked().head()[1]) == plain


def test_a_ping() -> None:
    assert asked(stream=True).ping() == b": ping\n\n"


def test_the_example_of_the_sdk() -> None:
    example = COHERE.dialect.sdk_example("http://x", "m", 'os.environ["KEY"]')
    assert example.splitlines() == [
        "# the cohere SDK, in Python",
        "import os",
        "import cohere",
        "client = cohere.ClientV2(base_url='http://x', api_key=os.environ[\"KEY\"])",
        "for event in client.chat_stream(model='m', "
        'messages=[{"role": "user", "content": "Hello"}]):',
        '    if event.type == "content-delta":',
        '        print(event.delta.message.content.text, end="")',
    ]
    assert "import os" not in COHERE.dialect.sdk_example("http://x", "m", '"any"')


def test_refusals_are_text() -> None:
    events: tuple[Event, ...] = (Text("a"), Refusal("b"), Refusal("c", 1), FINISH, END)
    assert whole(*events)["message"]["content"] == [text("ab"), text("c")]


def test_an_error_midway_in_full() -> None:
    responder = asked(stream=True)
    values = data(responder.fail_midway(Overloaded("busy")))
    over = {"finish_reason": "ERROR", "error": "busy", "error_type": "overloaded_error"}
    assert values[1:] == [{"type": "message-end", "delta": over}]


def test_three_calls() -> None:
    events: tuple[Event, ...] = (
        *(ToolCallStart(n, id, "f", part=n) for n, id in enumerate("abc")),
        *(ToolCallEnd(n, id, "f", "{}", n < 2) for n, id in enumerate("abc")),
    )
    cut = Finish("MAX_TOKENS", "length")
    started = [v["index"] for v in stream(*events, cut, END) if v["type"] == "tool-call-start"]
    assert started == [0, 1, 2]
    # Only of the last one it is not known whether it has arguments.
    calls = whole(*events, cut, END)["message"]["tool_calls"]
    assert [call["function"]["arguments"] for call in calls] == ["{}", "{}", ""]


def test_citations_of_two_native_forms() -> None:
    natives = [Native("cohere", b'{"citations":[%d]}' % n, n) for n in (1, 2)]
    assert whole(*natives, FINISH, END)["message"]["citations"] == [1, 2]
    starts = [v for v in stream(*natives, FINISH, END) if v["type"] == "citation-start"]
    assert [v["delta"]["message"]["citations"] for v in starts] == [1, 2]


def test_log_probabilities_are_of_the_last_content() -> None:
    values = stream(Text("a"), Text("b", 1), LogProbs([TokenLogProb("b", -1.0)]), FINISH, END)
    assert [value["index"] for value in values if "logprobs" in value] == [1]


def test_usage_of_which_little_is_known() -> None:
    counts = {"input_tokens": 3, "output_tokens": 0}
    assert whole(Usage(3), FINISH, END)["usage"] == {"billed_units": counts, "tokens": counts}


def test_models_in_full() -> None:
    provider = COHERE.replace(models=(), default_model="")
    said = Service(provider).responder()
    assert said.receive_request(get("/v1/models")) is None
    model = {"name": "any", "endpoints": ["chat"], "finetuned": False, "default_endpoints": []}
    assert json.loads(said.end()) == {"models": [model]}


def test_an_answer_of_nothing() -> None:
    assert stream(END) == [OVER]
    assert whole(END) == {
        "id": "chat_1",
        "message": {"role": "assistant"},
        "finish_reason": "COMPLETE",
    }


def test_each_kind_counts_from_0() -> None:
    assert short(
        stream(
            *(Reasoning("t"), Text("a", 1), Text("", 1), Text("b", 2)),
            *(ToolCallStart(0, "c", "f", part=3), ToolCallDelta(0, "{}"), ToolCallDelta(0, "")),
            *(ToolCallStart(1, "", "g", part=4), ToolCallEnd(0, "c", "f", "{}", True)),
            *(ToolCallEnd(1, "", "g", "{}", True), CALLED, END),
        )
    ) == [
        ("content-start", 0, {"type": "thinking", "thinking": ""}),
        ("content-delta", 0, {"thinking": "t"}),
        ("content-end", 0),
        ("content-start", 1, text()),
        ("content-delta", 1, {"text": "a"}),
        ("content-end", 1),
        ("content-start", 2, text()),
        ("content-delta", 2, {"text": "b"}),
        ("content-end", 2),
        ("tool-call-start", 0, call("c", "f")),
        ("tool-call-delta", 0, {"function": {"arguments": "{}"}}),
        ("tool-call-end", 0),
        ("tool-call-start", 1, call("call_1_1", "g")),
        ("tool-call-end", 1),
        ("message-end",),
    ]


def call(id: str, name: str, arguments: str = "") -> Any:
    return {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}


def test_a_plan() -> None:
    """A thought is one if its native form says so; so it is held back until it is over."""
    responder = asked(stream=True, tools=TOOLS)
    begun = responder.send(Reasoning("I "))
    assert b"I " not in begun
    rest: list[Event] = [Reasoning("will."), PLAN, ToolCallStart(0, "c", "f", part=1), END]
    assert short(data(begun + b"".join([responder.send(event) for event in rest]))[1:]) == [
        ("tool-plan-delta", "I "),
        ("tool-plan-delta", "will."),
        ("tool-call-start", 0, call("c", "f")),
        ("tool-call-end", 0),
        ("message-end",),
    ]
    assert short(stream(PLAN, END)) == [("tool-plan-delta", "I will."), ("message-end",)]


def test_a_thought_that_is_no_plan() -> None:
    expected = [
        ("content-start", 0, {"type": "thinking", "thinking": ""}),
        ("content-delta", 0, {"thinking": "I "}),
        ("content-delta", 0, {"thinking": "think."}),
        ("content-end", 0),
        ("message-end",),
    ]
    said = (Reasoning("I "), Reasoning("think."), END)
    assert short(stream(*said, tools=TOOLS)) == expected
    assert short(stream(*said)) == expected
    # Without tools there is no plan, and with them none that is so long.
    assert b"I " in asked(stream=True).send(Reasoning("I "))
    responder = asked(stream=True, tools=TOOLS)
    written = [responder.send(Reasoning(piece)) for piece in ("x" * 2000, "y", "z")]
    assert [b"x" in written[0], b"y" in written[1], b"z" in written[2]] == [False, True, True]
    late = [responder.send(event) for event in (PLAN, END)]
    assert b"tool-plan" not in b"".join(late)


def test_a_refusal_is_a_text() -> None:
    assert short(stream(Refusal("no"), END))[1] == ("content-delta", 0, {"text": "no"})
    assert whole(Refusal("no"), END)["message"]["content"] == [text("no")]


def test_what_waits_for_a_call() -> None:
    """A text amid the arguments of a call comes after it."""
    start, delta = ToolCallStart(0, "c", "f"), ToolCallDelta(0, '{"a":')
    end = ToolCallEnd(0, "c", "f", '{"a":1}', True)
    values = stream(start, delta, Text("b", 1), ToolCallDelta(0, "1}"), end, END)
    assert [value["type"] for value in values] == [
        *("tool-call-start", "tool-call-delta", "tool-call-delta", "tool-call-end"),
        *("content-start", "content-delta", "content-end", "message-end"),
    ]


def test_an_event_of_another_type() -> None:
    raw = b'{"type":"debug","prompt":"p"}'
    responder = asked(stream=True)
    expected = b"event: unrecognized\ndata: " + raw + b"\n\n"
    assert responder.send(Unrecognized(raw)).endswith(expected)
    with pytest.raises(LocalProtocolError, match="can't say Unrecognized"):
        responder.send(Unrecognized(b"no JSON"))
    with pytest.raises(LocalProtocolError, match="can't say Unrecognized"):
        asked().send(Unrecognized(raw))


@pytest.mark.parametrize(
    "event",
    [
        *(Text("a", index=1), Image(b"", "image/png"), Unrecognized(b"1", "delta")),
        *(ToolCallStart(0, "c", "f", True), Finish("COMPLETE", "stop", index=1)),
    ],
)
def test_what_can_not_be_said(event: Event) -> None:
    for how in (True, False):
        with pytest.raises(LocalProtocolError, match="cohere can't say"):
            asked(stream=how).send(event)


@pytest.mark.parametrize("raw", [b"[1]", b'{"citations":7}', b'{"new":1}'])
def test_native_forms_that_can_not_be_said(raw: bytes) -> None:
    responder = asked(stream=True)
    with pytest.raises(LocalProtocolError, match="a piece of a message: citations, content, tool"):
        responder.send(Native("cohere", raw))
    with pytest.raises(LocalProtocolError, match="a piece of a message"):
        whole(Native("cohere", raw), END)


def test_contents_of_its_own() -> None:
    audio = {"type": "audio", "audio": "UklG"}
    native = Native("cohere", msgspec.json.encode({"content": [audio]}))
    assert short(stream(native, Text("a", 1), END))[:3] == [
        ("content-start", 0, audio),
        ("content-end", 0),
        ("content-start", 1, text()),
    ]
    assert whole(native, Text("a", 1), END)["message"]["content"] == [audio, text("a")]
    assert stream(Native("anthropic", b"{}"), END) == [OVER]


# Citations


CITATIONS = (
    Citation("u", "t", "d", "q", 0, 1),
    Citation(source="e", start=2, end=3, part=1),
    Citation("v", part=7),
)
WRITTEN = (
    {
        "start": 0,
        "end": 1,
        "sources": [
            {
                "type": "document",
                "id": "d",
                "document": {"id": "d", "url": "u", "title": "t", "snippet": "q"},
            }
        ],
        "type": "THINKING_CONTENT",
        "content_index": 0,
    },
    {
        "start": 2,
        "end": 3,
        "sources": [{"type": "document", "id": "e", "document": {"id": "e"}}],
        "type": "TEXT_CONTENT",
        "content_index": 1,
    },
    {"sources": [{"type": "document", "document": {"url": "v"}}], "type": "TEXT_CONTENT"},
)


def test_citations() -> None:
    """At the end, each about its text."""
    said = (CITATIONS[0], Reasoning("t"), Text("abc", 1), *CITATIONS[1:], FINISH, END)
    assert short(stream(*said))[-7:] == [
        *(
            each
            for n, citation in enumerate(WRITTEN)
            for each in (("citation-start", n, citation), ("citation-end", n))
        ),
        ("message-end",),
    ]
    assert whole(*said)["message"]["citations"] == list(WRITTEN)


def test_citations_as_they_came() -> None:
    cited = json.loads(CITED)["citations"]
    said = (Text("hi"), Citation(source="d", start=0, end=2), Native("cohere", CITED, 1), END)
    assert short(stream(*said))[-3:-1] == [("citation-start", 0, cited[0]), ("citation-end", 0)]
    assert whole(*said)["message"]["citations"] == cited
    # Of the text itself, likewise.
    same = (Text("hi"), Native("cohere", CITED), END)
    assert short(stream(*same))[-3] == ("citation-start", 0, cited[0])
    assert whole(*same)["message"]["citations"] == cited


def test_a_citation_of_the_plan() -> None:
    said = (Reasoning("I will."), PLAN, Citation(source="d", start=0, end=1), END)
    expected = {
        "start": 0,
        "end": 1,
        "sources": [{"type": "document", "id": "d", "document": {"id": "d"}}],
        "type": "PLAN",
    }
    assert short(stream(*said, tools=TOOLS))[-3] == ("citation-start", 0, expected)
    assert whole(*said)["message"]["citations"] == [expected]


# Log probabilities, usage, finish


def test_log_probabilities() -> None:
    tokens = [TokenLogProb("a", -0.5), TokenLogProb("b", -1.0, [98], [])]
    said = [{"text": t.token, "token_ids": [], "logprobs": [t.logprob]} for t in tokens]
    values = stream(Text("ab"), LogProbs(tokens), END)
    empty = {"message": {"content": {"text": ""}}}
    assert values[2:4] == [
        {"type": "content-delta", "index": 0, "delta": empty, "logprobs": each} for each in said
    ]
    assert stream(LogProbs(tokens), END)[0]["index"] == 0
    assert whole(Text("ab"), LogProbs(tokens), END)["logprobs"] == said


def test_usage() -> None:
    usage = Usage(None, 7, None, 3, None, 2)
    expected = {
        "billed_units": {"input_tokens": 0, "output_tokens": 7},
        "tokens": {"input_tokens": 0, "output_tokens": 7, "reasoning_tokens": 2},
        "cached_tokens": 3,
    }
    assert stream(Usage(1, 2), usage, END)[-1]["delta"]["usage"] == expected
    assert whole(usage, END)["usage"] == expected
    raw = {
        "billed_units": {"input_tokens": 1, "search_units": 1},
        "tokens": {"image_tokens": 9, "input_tokens": 5},
    }
    assert whole(Usage(5, 2, raw=raw), END)["usage"] == {
        "billed_units": raw["billed_units"],
        "tokens": {"image_tokens": 9, "input_tokens": 5, "output_tokens": 2},
    }


@pytest.mark.parametrize(
    ("finish", "expected"),
    [
        (Finish("MAX_TOKENS", "length"), {"finish_reason": "MAX_TOKENS"}),
        (Finish("STOP_SEQUENCE", "stop", "x"), {"finish_reason": "STOP_SEQUENCE"}),
        (Finish("end_turn", "stop", "x"), {"finish_reason": "COMPLETE"}),
        (Finish("length", "length"), {"finish_reason": "MAX_TOKENS"}),
        (Finish("tool_use", "tool_call"), {"finish_reason": "TOOL_CALL"}),
        (Finish("new"), {"finish_reason": "new"}),
        (Finish("ERROR_TOXIC", "content_filter"), {"finish_reason": "ERROR_TOXIC"}),
        (Finish("ERROR", "error"), {"finish_reason": "ERROR"}),
        (Finish("TIMEOUT", "error", "late"), {"finish_reason": "TIMEOUT", "error": "late"}),
        (Finish("abort", "error"), {"finish_reason": "ERROR", "error": "abort"}),
        (
            Finish("refusal", "content_filter", "cyber"),
            {"finish_reason": "ERROR", "error": "cyber", "error_type": "content_filter"},
        ),
    ],
)
def test_the_finish(finish: Finish, expected: Any) -> None:
    assert stream(Text("a"), finish, END)[-1]["delta"] == expected
    answer = whole(Text("a"), finish, END)
    assert {key: answer[key] for key in answer.keys() - {"id", "message"}} == expected


def test_a_finish_that_is_missing() -> None:
    called = (ToolCallStart(0, "c", "f"), ToolCallEnd(0, "c", "f", "{}", True), END)
    assert stream(*called)[-1]["delta"] == {"finish_reason": "TOOL_CALL"}
    assert whole(*called)["finish_reason"] == "TOOL_CALL"


# A whole answer


def test_a_whole_answer() -> None:
    arguments = '{"a":1}'
    assert whole(
        *(Start("i", "n"), Reasoning("t"), Text("a", 1), Reasoning("I ", 2), Reasoning("will.", 2)),
        *(msgspec.structs.replace(PLAN, part=2), ToolCallStart(0, "c", "f", part=3)),
        *(ToolCallDelta(0, arguments), ToolCallEnd(0, "c", "f", arguments, True)),
        *(ToolCallStart(1, "", "g", part=4), ToolCallEnd(1, "", "g", "{}", True), CALLED, END),
    ) == {
        "id": "i",
        "message": {
            "role": "assistant",
            "content": [{"type": "thinking", "thinking": "t"}, text("a")],
            "tool_plan": "I will.",
            "tool_calls": [call("c", "f", arguments), call("call_1_1", "g", "{}")],
        },
        "finish_reason": "TOOL_CALL",
    }
    assert whole(PLAN, END)["message"]["tool_plan"] == "I will."


def test_a_call_that_was_cut_before_its_arguments() -> None:
    end = ToolCallEnd(0, "c", "f", "{}", False)
    answer = whole(ToolCallStart(0, "c", "f"), end, Finish("MAX_TOKENS", "length"), END)
    assert answer["message"]["tool_calls"] == [call("c", "f")]


@pytest.mark.parametrize("how", [True, False])
def test_half_an_answer(how: bool) -> None:
    responder = asked(stream=how)
    body = responder.send(Text("a")) + responder.send(FINISH) + responder.end()
    exchange = COHERE.exchange(as_chat("hi", model="m", stream=how))
    outcome = drive(exchange, Response(body, *responder.head()))
    assert isinstance(outcome.error, Truncated)


@pytest.mark.parametrize("how", [True, False])
def test_what_is_said_goes_back(how: bool) -> None:
    """Through both halves, and into the next request."""
    said: list[Event] = [
        *(Reasoning("t"), Text("hi", 1), Reasoning("I will.", 2)),
        *(msgspec.structs.replace(PLAN, part=2), ToolCallStart(0, "c", "f", part=3)),
        *(ToolCallDelta(0, "{}"), Citation(source="d", start=0, end=2, part=1)),
        *(ToolCallEnd(0, "c", "f", "{}", True), CALLED, END),
    ]
    chat = as_chat("hi", model="m", stream=how, tools=[Tool("f")])
    outcome = list(pair(COHERE.exchange(chat), Service(COHERE), lambda chat: said))
    message = Reply.of(outcome).message()
    assert message.parts[:4] == (
        *(ReasoningPart("t"), TextPart("hi"), ReasoningPart("I will.", PLAN)),
        ToolCall("c", "f", "{}"),
    )
    heard: list[Chat] = []

    def listens(chat: Chat) -> str:
        heard.append(chat)
        return "yes"

    list(pair(COHERE.exchange(chat.then(message, "And?")), Service(COHERE), listens))
    assert heard[0].messages[1] == message


# Errors


@pytest.mark.parametrize(
    ("error", "status", "kind"),
    [
        *((BadRequest("no"), 400, None), (AuthenticationFailed("no"), 401, None)),
        *((RateLimited("no", code="quota"), 429, "quota"), (Overloaded("no"), 503, None)),
        *((ContentFiltered("no", type="toxic"), 498, "toxic"), (Refused("no"), 500, None)),
        *((Malformed("no"), 400, None), (LocalProtocolError("no"), 400, None)),
    ],
)
def test_refusals(
    error: RemoteProtocolError | LocalProtocolError, status: int, kind: str | None
) -> None:
    responder = asked(stream=True)
    body = json.loads(responder.fail(error))
    told = {"error_type": kind} if kind else {}
    assert body == {"id": "trace_1", "message": "no", **told}
    assert responder.head()[0] == status
    assert (b"x-debug-trace-id", b"trace_1") in responder.head()[1]


def test_a_status_of_its_own_stays() -> None:
    error = ContentFiltered("no")
    error.status = 400
    responder = asked()
    responder.fail(error)
    assert responder.status == 400


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        *((Overloaded("no"), Overloaded), (RateLimited("no"), RateLimited)),
        *((ContentFiltered("no"), ContentFiltered), (Refused("no", code="X"), Refused)),
        (LocalProtocolError("no"), BadRequest),
    ],
)
@pytest.mark.parametrize("begun", [True, False])
def test_an_error_amid_the_answer(error: Any, kind: type[Refused], begun: bool) -> None:
    responder = asked(stream=True)
    body = (responder.send(Text("a")) if begun else b"") + responder.fail_midway(error)
    exchange = COHERE.exchange(as_chat("hi", model="m"))
    outcome = drive(exchange, Response(body, *responder.head())).refused_by(kind, "no")
    assert (outcome.reply.text, outcome.events[0]) == ("a" * begun, Start("chat_1", "m"))
    assert body.endswith(b"data: [DONE]\n\n")
    assert isinstance(outcome.events[-1], Finish)


# Requests


def test_the_key() -> None:
    service = Service(COHERE, key="sesame")
    for scheme in ("Bearer", "bearer", "BEARER"):
        headers: Headers = [*JSON, (b"authorization", f"{scheme} sesame".encode())]
        assert service.responder().receive_request(post(headers=headers)) is not None
    for wrong in (JSON, [*JSON, (b"authorization", b"Bearer other")]):
        with pytest.raises(AuthenticationFailed):
            service.responder().receive_request(post(headers=wrong))


def test_the_paths() -> None:
    for path in ("/v2/chat", "/v2/chat/", "/base/v2/chat?x=1"):
        assert Service(COHERE).responder().receive_request(post(path)) is not None
    for path in ("/v1/chat", "/v2/chats", "/v2"):
        with pytest.raises(BadRequest, match="there is nothing at") as caught:
            Service(COHERE).responder().receive_request(post(path))
        assert caught.value.status == 404


def test_the_models() -> None:
    responder = Service(COHERE).responder()
    assert responder.receive_request(get("/v1/models?page_size=3")) is None
    listed = json.loads(responder.end())["models"]
    assert [model["name"] for model in listed] == list(COHERE.models)
    assert listed[0]["endpoints"] == ["chat"]
    responder = Service(COHERE).responder()
    assert responder.receive_request(get("/v1/models/command-a-03-2025")) is None
    assert json.loads(responder.end())["name"] == "command-a-03-2025"
    few = COHERE.replace(models=(), any_model=False, default_model="d")
    responder = Service(few).responder()
    assert responder.receive_request(get("/v1/models")) is None
    assert [m["name"] for m in json.loads(responder.end())["models"]] == ["d"]
    with pytest.raises(BadRequest) as caught:
        Service(COHERE.replace(any_model=False)).responder().receive_request(post())
    assert caught.value.status == 404
