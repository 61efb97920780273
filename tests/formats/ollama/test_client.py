"""Ollama's own format, client half: each fact about its answers, by bytes that are written here."""

import json
from typing import Any

import pytest

from tests.driving import JSON, Ending, Outcome, Response, alike, drive
from tokenwire.protocols.auth import Bearer
from tokenwire.protocols.chat import ReasoningPart, TextPart, ToolCall, as_chat
from tokenwire.protocols.clocks import Clocks
from tokenwire.protocols.errors import (
    AuthenticationFailed,
    BadRequest,
    LimitExceeded,
    Malformed,
    Overloaded,
    RateLimited,
    Refused,
    TimedOut,
    Truncated,
    UnexpectedContent,
)
from tokenwire.protocols.events import (
    End,
    Event,
    Finish,
    Image,
    LogProbs,
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
from tokenwire.transports.client.course import Course

OLLAMA = PROVIDERS["ollama"]
NDJSON = [(b"content-type", b"application/x-ndjson")]
START = Start("", "m")
FINISH = Finish("stop", "stop")
END = End("terminator")


def ask(**how: Any) -> Exchange:
    limits = how.pop("limits", None)
    return OLLAMA.exchange(as_chat("hi", model="m", **how), limits=limits)


# Bytes, as the server writes them


def line(done: bool = False, **fields: Any) -> bytes:
    known: dict[str, Any] = {"model": "m", "created_at": "2026-08-04T19:58:15.115854Z"}
    return json.dumps({**known, **fields, "done": done}, ensure_ascii=False).encode() + b"\n"


def say(content: Any = "", done: bool = False, **message: Any) -> bytes:
    return line(done, message={"role": "assistant", "content": content, **message})


def over(reason: str | None = "stop", content: str = "", **fields: Any) -> bytes:
    fields = fields if reason is None else {"done_reason": reason, **fields}
    return line(True, message={"role": "assistant", "content": content}, **fields)


def call(name: str = "f", arguments: Any = {}, id: str = "", index: int | None = 0) -> Any:
    function: dict[str, Any] = {} if index is None else {"index": index}
    function |= {"name": name, "arguments": arguments}
    return {"id": id, "function": function} if id else {"function": function}


def receive(*parts: bytes, limits: Limits | None = None) -> Outcome:
    return alike(ask(limits=limits), Response(b"".join(parts), headers=NDJSON))


def said(*parts: bytes) -> list[Event]:
    """The events between `Start` and `Finish` of a stream that is whole."""
    events = receive(*parts, over()).succeeded().events
    assert (events[0], events[-1]) == (START, END)
    assert isinstance(events[-2], Finish)
    return events[1:-2]


# Lines


def test_a_plain_answer() -> None:
    outcome = receive(say("h\u20ac"), say("i"), over(prompt_eval_count=3, eval_count=2))
    assert outcome.succeeded().events == [
        *(START, Text("h\u20ac"), Text("i")),
        Usage(3, 2, 5, raw={"prompt_eval_count": 3, "eval_count": 2}),
        *(FINISH, END),
    ]


@pytest.mark.parametrize(
    "kind",
    [
        *(b"application/x-ndjson", b"application/json", b"application/json; charset=utf-8"),
        *(b"text/plain", b"application/octet-stream"),
    ],
)
def test_the_label_does_not_matter(kind: bytes) -> None:
    body = say("a") + over()
    outcome = alike(ask(), Response(body, headers=[(b"content-type", kind)]))
    assert outcome.succeeded().events == [START, Text("a"), FINISH, END]


def test_line_ends_and_blank_lines() -> None:
    expected = receive(say("a"), over()).events
    assert receive(say("a").replace(b"\n", b"\r\n"), b" \n\n", over()).events == expected
    assert receive(say("a"), over().rstrip()).events == expected
    assert receive(b" " + say("a"), b"\t " + over()).events == expected
    assert receive(b"\xef\xbb\xbf", say("a"), over()).events == expected


def test_go_escapes_and_what_it_does_not() -> None:
    escaped = say("X").replace(b"X", b"\\u003cb\\u003e \\u2028 \\ud83d\\ude00")
    assert said(escaped, say("\u2028\x85\U0001f600")) == [
        Text("<b> \u2028 \U0001f600"),
        Text("\u2028\x85\U0001f600"),
    ]


def test_half_a_character() -> None:
    assert said(say("a"), say("X").replace(b"X", b"\xe2\x82")) == [Text("a"), Text("\ufffd")]


def test_thoughts_text_and_calls_are_parts() -> None:
    events = said(
        *(say(thinking="Let "), say(thinking="me."), say("I "), say("look.")),
        say(tool_calls=[call("f", {"a": 1})]),
        *(say("So."), say("x", thinking="t")),
    )
    assert events[:-1] == [
        *(Reasoning("Let "), Reasoning("me."), Text("I ", 1), Text("look.", 1)),
        *(ToolCallStart(0, "", "f", part=2), ToolCallDelta(0, '{"a": 1}')),
        *(Text("So.", 3), Reasoning("t", 4), Text("x", 5)),
    ]
    assert events[-1] == ToolCallEnd(0, "", "f", '{"a": 1}', True)


@pytest.mark.parametrize("content", [None, ""])
def test_content_may_be_nothing(content: Any) -> None:
    assert said(say(content, thinking="t"), say(content)) == [Reasoning("t")]
    assert said(line(message={"role": "assistant", "thinking": "t"})) == [Reasoning("t")]


def test_a_line_of_nothing() -> None:
    assert said(say(), say("a"), say(), say("b"), say()) == [Text("a"), Text("b")]


@pytest.mark.parametrize(
    "said_of", [{"images": ["YQ=="]}, {"logprobs": [{"token": "a"}]}, {"eval_count": 3}, {"x": 1}]
)
def test_what_a_line_without_a_message_says_is_handed_on(said_of: dict[str, Any]) -> None:
    body = json.dumps({"model": "m", **said_of}).encode()
    assert said(say("a"), body + b"\n") == [Text("a"), Unrecognized(body)]
    assert said(say("a"), b'{"model":"m"}\n') == [Text("a")]


def test_the_last_line_may_say_something() -> None:
    last = line(True, message={"content": "b", "tool_calls": [call()]}, done_reason="stop")
    events = receive(say("a"), last).succeeded().events
    assert events[1:3] == [Text("a"), Text("b")]
    assert events[-2] == Finish("stop", "tool_call")


def test_done_reason_may_come_first() -> None:
    last = json.dumps({"done_reason": "stop", "message": {"content": "b"}, "done": True}).encode()
    assert receive(say("a"), last).events == [START, Text("a"), Text("b"), FINISH, END]


def test_the_last_line_may_have_no_message() -> None:
    assert receive(say("a"), b'{"done":true}').events == [START, Text("a"), END]


def test_nothing_is_read_after_the_end() -> None:
    for after in (say("b"), over("length"), b"x\n", b'{"error":"no"}\n'):
        assert receive(say("a"), over(), after).events == [START, Text("a"), FINISH, END]


def test_a_completion() -> None:
    """As `/api/generate` writes it."""
    outcome = receive(
        line(response="", thinking="t"),
        line(response="a"),
        line(response="", tool_calls=[call()]),
        line(True, response="", done_reason="stop", context=[1, 2]),
    )
    assert outcome.succeeded().events == [
        *(START, Reasoning("t"), Text("a", 1)),
        *(ToolCallStart(0, "", "f", part=2), ToolCallDelta(0, "{}")),
        *(ToolCallEnd(0, "", "f", "{}", True), Finish("stop", "tool_call"), END),
    ]


def test_a_model_may_be_missing() -> None:
    body = b'{"message":{"content":"a"}}\n{"done":true}\n'
    assert receive(body).succeeded().events == [Text("a"), END]


@pytest.mark.parametrize("reason", ["load", "unload"])
def test_the_model_was_loaded(reason: str) -> None:
    """The one object that answers a request without messages, streamed or not."""
    body = over(reason)
    expected = [START, Finish(reason, "stop"), END]
    assert receive(body).succeeded().events == expected
    assert alike(ask(stream=False), Response(body, headers=JSON)).events == expected


def test_pictures() -> None:
    events = said(say(images=["iVBORw==", "AA=="]), line(images=["/9j/"]), say(images=["?", 7]))
    assert events == [
        Image(b"\x89PNG", "image/png"),
        Image(b"\0", "application/octet-stream", part=1),
        Image(b"\xff\xd8\xff", "image/jpeg", part=2),
        Unrecognized(b'["?", 7]', "message.images"),
    ]
    assert said(say(images=["?", "AA=="])) == [
        Unrecognized(b'"?"', "message.images[0]"),
        Image(b"\0", "application/octet-stream"),
    ]
    assert said(line(images=["?"])) == [Unrecognized(b'"?"', "images[0]")]


def test_log_probabilities() -> None:
    tokens: Any = [
        {"token": "a", "logprob": -0.5, "bytes": [97], "top_logprobs": []},
        {"token": "b", "logprob": -1, "top_logprobs": [{"token": "c", "logprob": -2}]},
    ]
    assert said(line(message={"content": "ab"}, logprobs=tokens)) == [
        Text("ab"),
        LogProbs(
            [
                TokenLogProb("a", -0.5, [97], []),
                TokenLogProb("b", -1, None, [TokenLogProb("c", -2)]),
            ]
        ),
    ]
    assert said(line(message={}, logprobs=[])) == []


# Tool calls


def test_a_call() -> None:
    events = said(say(tool_calls=[call("f", {"a": 1}, "call_1")]))
    assert events == [
        *(ToolCallStart(0, "call_1", "f"), ToolCallDelta(0, '{"a": 1}')),
        ToolCallEnd(0, "call_1", "f", '{"a": 1}', True),
    ]


@pytest.mark.parametrize("id", ["", "c"])
@pytest.mark.parametrize("index", [0, None])
def test_calls_are_told_apart_by_their_order(id: str, index: int | None) -> None:
    """`index` begins anew on each line, and ids are absent, or may be the same."""
    events = said(
        say(tool_calls=[call("f", {}, id, index), call("f", {"a": 1}, id, index)]),
        say(tool_calls=[call("g", {}, id, index)]),
    )
    assert [event for event in events if isinstance(event, ToolCallEnd)] == [
        ToolCallEnd(0, id, "f", "{}", True),
        ToolCallEnd(1, id, "f", '{"a": 1}', True),
        ToolCallEnd(2, id, "g", "{}", True),
    ]


def ends(*bodies: bytes) -> list[ToolCallEnd]:
    events = receive(*bodies).succeeded().events
    return [event for event in events if isinstance(event, ToolCallEnd)]


@pytest.mark.parametrize(
    ("raw", "arguments", "complete"),
    [
        (b'{"b": 1.10, "a": 12345678901234567890}', None, True),
        (b'{ "a" : "\\u20ac" }', None, True),
        (b'"{\\"a\\": 1}"', '{"a": 1}', True),  # as some re-implementations write them
        (b'"{\\"a\\""', '{"a"', False),
        (b'{"a": "\xe2\x82"}', '{"a": "\ufffd"}', True),
        (b'""', "{}", True),
        (b"null", "{}", True),
        (b"{}", "{}", True),
        (b"[1]", "[1]", False),
        (b"7", "7", False),
    ],
)
def test_arguments(raw: bytes, arguments: str | None, complete: bool) -> None:
    body = say(tool_calls=[call("f", "X")]).replace(b'"X"', raw)
    expected = raw.decode() if arguments is None else arguments
    assert ends(body, over()) == [ToolCallEnd(0, "", "f", expected, complete)]


def test_a_call_without_arguments() -> None:
    """After any end but `stop` it may lack some."""
    bare = say(tool_calls=[{"function": {"name": "f"}}])
    for reason, complete in (("stop", True), ("length", False), (None, False), ("new", False)):
        assert ends(bare, over(reason)) == [ToolCallEnd(0, "", "f", "{}", complete)]


def test_a_call_that_is_not_understood() -> None:
    said_of: list[Any] = [
        7,
        {"function": "f"},
        {"function": {"name": ["f"], "arguments": {}}},
        {"type": "function", "function": {"name": "f", "description": "d", "y": 2}, "x": 1},
        {},
    ]
    outcome = receive(say(tool_calls=said_of), line(tool_calls=[7]), over())
    place = "message.tool_calls"
    assert outcome.reply.unrecognized == [
        Unrecognized(b"7", f"{place}[0]"),
        Unrecognized(b'{"function": "f"}', f"{place}[1]"),
        Unrecognized(b'{"function": {"name": ["f"], "arguments": {}}}', f"{place}[2]"),
        Unrecognized(b"1", f"{place}[3].x"),
        Unrecognized(b"2", f"{place}[3].function.y"),
        Unrecognized(b"{}", f"{place}[4]"),
        Unrecognized(b"7", "tool_calls[0]"),
    ]
    assert [(c.name, c.complete) for c in outcome.reply.tool_calls] == [("f", True)]


def test_calls_of_an_answer_that_was_cut() -> None:
    outcome = receive(say(tool_calls=[call("f", {"a": 1})]))
    assert isinstance(outcome.error, Truncated)
    assert outcome.events == [START, ToolCallStart(0, "", "f"), ToolCallDelta(0, '{"a": 1}')]


# The end


@pytest.mark.parametrize(
    ("reason", "kind"),
    [("stop", "stop"), ("length", "length"), ("load", "stop"), ("new", ""), ("STOP", "stop")],
)
def test_finish_reasons(reason: str, kind: Any) -> None:
    assert receive(say("a"), over(reason)).events[-2:] == [Finish(reason, kind), END]


def test_a_reason_of_the_providers_own() -> None:
    own = OLLAMA.replace(finishes={"broken": "error"})
    exchange = own.exchange(as_chat("hi", model="m"))
    outcome = alike(exchange, say("a") + over("broken")).refused_by(Refused, "broken")
    assert outcome.events == [START, Text("a"), Finish("broken", "error")]


@pytest.mark.parametrize("reason", [None, ""])
def test_an_end_without_a_reason(reason: str | None) -> None:
    assert receive(say("a"), over(reason)).succeeded().events == [START, Text("a"), END]


BODY = say("h\u20ac") + say(tool_calls=[call()]) + over()


@pytest.mark.parametrize("ending", ["eof", "close", "disconnect", "timeout"])
def test_truncated_anywhere(ending: Ending) -> None:
    """Before the end of the last line nothing is proven, not even by a reason."""
    framed = ending in ("eof", "close")
    for size in range(1, len(BODY) + 1):
        outcome = drive(ask(), Response(BODY[:size], headers=NDJSON, ending=ending))
        if size >= len(BODY) - framed:
            outcome.succeeded()
        else:
            assert isinstance(outcome.error, TimedOut if ending == "timeout" else Truncated)
            assert not any(isinstance(event, ToolCallEnd) for event in outcome.events)
            assert ("h\u20ac" in outcome.reply.text) == (size >= len(say("h\u20ac")) - framed)


def test_the_words_of_a_truncated_stream() -> None:
    receive(say("a")).refused_by(Truncated, "the stream ended before a line with done: true")
    receive(say("a"), b'{"mod').refused_by(Truncated, "inside a line")


# Usage


def test_usage() -> None:
    told: dict[str, Any] = {
        "total_duration": 9,
        "load_duration": 1,
        "prompt_eval_count": 7,
        "prompt_eval_cached_count": 0,
        "prompt_eval_duration": 2,
        "eval_count": 4,
        "eval_duration": 3,
    }
    events = receive(say("a"), over(**told)).events
    assert events[-3] == Usage(7, 4, 11, cache_read_input_tokens=0, raw=told)


@pytest.mark.parametrize(
    ("told", "asked", "answered", "total"),
    [
        ({"eval_count": 4}, None, 4, None),
        ({"prompt_eval_count": 7}, 7, None, None),
        ({"prompt_eval_count": 7.0, "eval_count": -1}, 7, None, None),
        ({"prompt_eval_count": "7", "eval_count": True}, 7, None, None),
        ({"load_duration": 1}, None, None, None),
    ],
)
def test_usage_in_part(told: Any, asked: Any, answered: Any, total: Any) -> None:
    assert said(line(message={"content": ""}, **told)) == [Usage(asked, answered, total, raw=told)]


def test_no_usage() -> None:
    assert said(say("a")) == [Text("a")]


# What is not understood


def test_unknown_keys() -> None:
    body = line(
        message={"role": "assistant", "content": "a", "x": 1, "thinking": ["t"]},
        remote_model="m",
        remote_host="h",
        completed=3,
        _debug_info={"a": 1},
    )
    assert said(body) == [
        Text("a"),
        Unrecognized(b"1", "message.x"),
        Unrecognized(b'["t"]', "message.thinking"),
        Unrecognized(b"3", "completed"),
        Unrecognized(b'{"a": 1}', "_debug_info"),
    ]


@pytest.mark.parametrize("message", [b'"a"', b"7", b"[]"])
def test_a_message_that_is_none(message: bytes) -> None:
    body = line(message="X").replace(b'"X"', message)
    assert said(body) == [Unrecognized(message, "message")]


@pytest.mark.parametrize("unknown", [b'{"status":"pulling","total":7}', b"[1]", b'"x"', b"null"])
def test_lines_of_another_kind(unknown: bytes) -> None:
    assert said(say("a"), unknown + b"\n", say("b")) == [
        *(Text("a"), Unrecognized(unknown), Text("b")),
    ]
    before = receive(unknown + b"\n", say("a"), over()).events
    assert before == [Unrecognized(unknown), START, Text("a"), FINISH, END]


@pytest.mark.parametrize("garbage", [b"data: {}", b"x", b"{]", b"<html>", b'{"a":1}{}'])
def test_lines_that_are_not_json(garbage: bytes) -> None:
    outcome = receive(say("a"), garbage + b"\n", say("b"), over())
    assert isinstance(outcome.error, Malformed)
    assert outcome.error.data == garbage
    assert outcome.events == [START, Text("a")]


def test_a_page() -> None:
    receive(b"<html>no</html>").refused_by(UnexpectedContent, "an HTML page")


# Answers that are not streamed

WHOLE = {
    "model": "m",
    "created_at": "2026-08-07T06:08:07.590207Z",
    "message": {"role": "assistant", "content": "a", "thinking": "t", "tool_calls": [call("f")]},
    "done": True,
    "done_reason": "stop",
    "eval_count": 4,
}


def whole(value: Any, ending: Ending = "eof", **how: Any) -> Outcome:
    body = value if isinstance(value, bytes) else json.dumps(value, **how).encode()
    return alike(ask(stream=False), Response(body, headers=JSON, ending=ending))


@pytest.mark.parametrize("indent", [None, 2])
def test_a_whole_answer(indent: int | None) -> None:
    assert whole(WHOLE, indent=indent).succeeded().events == [
        *(START, Reasoning("t"), Text("a", 1)),
        *(ToolCallStart(0, "", "f", part=2), ToolCallDelta(0, "{}"), Usage(None, 4, raw=USED)),
        *(ToolCallEnd(0, "", "f", "{}", True), Finish("stop", "tool_call"), END),
    ]


USED = {"eval_count": 4}


def test_a_whole_completion() -> None:
    body = {"model": "m", "response": "a", "done": True, "done_reason": "length"}
    assert whole(body).succeeded().events == [START, Text("a"), Finish("length", "length"), END]


def test_a_whole_answer_that_is_not_done() -> None:
    outcome = whole({**WHOLE, "done": False}).refused_by(Truncated, "the answer has no done: true")
    assert outcome.reply.text == "a"


ENDINGS: tuple[Ending, ...] = ("eof", "disconnect")


def test_a_whole_answer_that_was_cut() -> None:
    body = json.dumps(WHOLE).encode()
    for size in range(len(body)):
        for ending in ENDINGS:
            cut = Response(body[:size], headers=JSON, ending=ending)
            outcome = drive(ask(stream=False), cut)
            assert isinstance(outcome.error, Truncated | UnexpectedContent)
            assert outcome.events == []


def test_a_document_that_is_no_answer() -> None:
    whole({"status": "success"}).refused_by(UnexpectedContent, "no answer")
    other = whole([1]).refused_by(UnexpectedContent).error
    assert isinstance(other, UnexpectedContent)
    assert (other.message, other.data) == ("a JSON document that is no answer", b"[1]")
    whole({"error": "server busy"}).refused_by(Overloaded, "server busy")
    whole({"detail": "no"}).refused_by(Refused, "no")
    whole(b"{]").refused_by(Malformed)


# Errors


@pytest.mark.parametrize(
    ("status", "said_of", "kind"),
    [
        (400, '"m" does not support thinking', BadRequest),
        (401, "unauthorized", AuthenticationFailed),
        (402, "a plan is needed", RateLimited),
        (403, "ollama cloud is disabled", AuthenticationFailed),
        (404, "model 'x' not found", BadRequest),
        (405, "method not allowed", BadRequest),
        (413, "too large", BadRequest),
        (429, "you (ann) have reached your session usage limit (ref: 1)", RateLimited),
        (499, "request canceled", Refused),
        (500, "llama runner process has terminated", Refused),
        (502, "the cloud is not reachable", Overloaded),
        (503, "server busy, please try again.  maximum pending requests exceeded", Overloaded),
    ],
)
def test_refusals(status: int, said_of: str, kind: Any) -> None:
    body = json.dumps({"error": said_of}).encode()
    for how in (True, False):
        outcome = alike(ask(stream=how), Response(body, status, JSON)).refused_by(kind, said_of)
        assert isinstance(outcome.error, Refused)
        assert outcome.error.status == status


def test_where_to_sign_in_is_kept() -> None:
    body = b'{"error":"unauthorized","signin_url":"https://ollama.com/connect?name=a"}'
    outcome = alike(ask(), Response(body, 401, JSON)).refused_by(AuthenticationFailed)
    assert isinstance(outcome.error, Refused)
    assert b"signin_url" in outcome.error.data


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ("an error was encountered while running the model", Refused),
        ("server busy, please try again", Overloaded),
        ("Server overloaded, please retry shortly (ref: 1)", Overloaded),
        ("you have reached your weekly usage limit", RateLimited),
        ("too many concurrent requests", RateLimited),
        ("unauthorized", AuthenticationFailed),
        ({"message": "it broke", "type": "rate_limit_error", "code": 7}, RateLimited),
        ({"message": "it broke"}, Refused),
    ],
)
def test_an_error_amid_the_answer(error: Any, kind: Any) -> None:
    body = json.dumps({"error": error}).encode() + b"\n"
    outcome = receive(say("a"), say("b"), body, say("c"), over())
    outcome.refused_by(kind, error if isinstance(error, str) else "it broke")
    assert outcome.events == [START, Text("a"), Text("b")]
    assert receive(body).refused_by(kind).events == []


def test_an_error_wins_over_done() -> None:
    body = line(True, message={"content": "b"}, done_reason="stop", error="no")
    outcome = receive(say("a"), body).refused_by(Refused, "no")
    assert outcome.events == [START, Text("a"), Text("b")]


@pytest.mark.parametrize("arguments", [{}, {"a": 1}])
def test_an_error_in_a_message(arguments: Any) -> None:
    body = say("a", error="server busy", tool_calls=[call(arguments=arguments)])
    outcome = receive(body, say("b", error="unauthorized"), over())
    outcome.refused_by(Overloaded, "server busy")
    assert [e.text for e in outcome.events if isinstance(e, Text)] == ["a", "b"]
    assert [e.complete for e in outcome.events if isinstance(e, ToolCallEnd)] == [False]
    assert receive(say("a", error=""), over()).succeeded().reply.text == "a"


def test_an_error_that_a_server_passed_on() -> None:
    body = b'{"StatusCode":429,"Status":"429 Too Many Requests","error":"slow"}'
    for outcome in (receive(say("a"), body), alike(ask(), Response(body, 500, JSON))):
        assert "slow" in str(outcome.error)
    refused = receive(say("a"), body).refused_by(RateLimited, "slow").error
    assert isinstance(refused, RateLimited)
    assert (refused.code, refused.data) == ("429", body)


@pytest.mark.parametrize(
    ("status", "error", "kind"),
    [
        (429, "", RateLimited),
        ("429", "slow", Refused),
        (429, {"message": "slow"}, Refused),
        (None, "slow", Refused),
    ],
)
def test_what_a_server_may_pass_on(status: Any, error: Any, kind: Any) -> None:
    body = {"StatusCode": status, "error": error}
    receive(say("a"), json.dumps(body).encode()).refused_by(kind)
    whole(body).refused_by(kind)


def test_an_error_of_a_proxy() -> None:
    receive(b'{"detail":"no such route"}\n').refused_by(Refused, "no such route")


# Limits


def test_a_line_that_is_too_long() -> None:
    receive(say("a"), say("x" * 500), limits=Limits(event=300)).refused_by(LimitExceeded)


def test_too_many_calls() -> None:
    body = say("a") + say(tool_calls=[call()] * 11)
    outcome = receive(body, over(), limits=Limits(parts=10)).refused_by(LimitExceeded)
    assert sum(isinstance(event, ToolCallStart) for event in outcome.events) == 10
    pictures = say(images=["AA=="] * 11)
    receive(pictures, over(), limits=Limits(parts=10)).refused_by(LimitExceeded)


def test_what_is_nested_very_deeply() -> None:
    deep = b"[" * 100_000 + b"]" * 100_000
    body = say("a", x="X").replace(b'"X"', deep)
    (unknown,) = receive(body, over()).succeeded().reply.unrecognized
    assert unknown.place == "message.x"


def test_a_model_that_is_loaded_for_long() -> None:
    """Nothing comes meanwhile."""
    assert OLLAMA.clocks == Clocks(first_event=300, idle=300)
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
    course.responded(200, NDJSON)
    course.next(290)
    course.received(say("a"), 290)
    assert course.events == [START, Text("a")]


# What goes back


def test_turn_2_has_what_turn_1_said() -> None:
    body = say(thinking="t") + say("a") + say(tool_calls=[call("f", {"a": 1}, "call_1")]) + over()
    reply = receive(body).succeeded().reply
    assert reply.message().content == (
        *(ReasoningPart("t"), TextPart("a"), ToolCall("call_1", "f", '{"a": 1}')),
    )
    chat = as_chat("hi", model="m").then(reply, reply.tool_calls[0].result("3"))
    request = OLLAMA.exchange(chat).next_request()
    assert request is not None
    assert json.loads(request.body)["messages"][1:] == [
        {
            "role": "assistant",
            "content": "a",
            "thinking": "t",
            "tool_calls": [
                {"id": "call_1", "function": {"index": 0, "name": "f", "arguments": {"a": 1}}}
            ],
        },
        {"role": "tool", "content": "3", "tool_name": "f", "tool_call_id": "call_1"},
    ]


@pytest.mark.parametrize(
    ("stream", "accept"), [(True, b"application/x-ndjson"), (False, b"application/json")]
)
def test_what_it_accepts(stream: bool, accept: bytes) -> None:
    request = OLLAMA.exchange(as_chat("hi", model="m", stream=stream)).next_request()
    assert request is not None
    assert dict(request.headers)[b"accept"] == accept
    body = json.loads(request.body)
    assert (body["model"], body["stream"]) == ("m", stream)


def test_the_providers() -> None:
    cloud = PROVIDERS["ollama-cloud"]
    assert (OLLAMA.key_optional, cloud.key_optional) == (True, False)
    assert OLLAMA.env == cloud.env == ("OLLAMA_API_KEY",)
    assert (OLLAMA.base_env, cloud.base_env) == (("OLLAMA_HOST",), ())
    assert OLLAMA.key_place == Bearer()
