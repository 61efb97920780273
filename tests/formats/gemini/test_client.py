"""Gemini, client half: each fact about its answers, by bytes that are written here."""

import json
from base64 import b64encode
from typing import Any

import pytest

from tests.driving import JSON, Ending, Outcome, Response, alike, drive
from tokenwire.protocols.auth import Bearer
from tokenwire.protocols.chat import ImagePart, Opaque, ReasoningPart, TextPart, ToolCall, as_chat
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
    Image,
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
from tokenwire.protocols.formats.gemini.spoken import Span, Spoken, byte_places
from tokenwire.protocols.limits import Limits
from tokenwire.protocols.registry import PROVIDERS

GEMINI = PROVIDERS["gemini"]
STOP = Finish("STOP", "stop")
CALLED = Finish("STOP", "tool_call")
END = End("finish")


def ask(**how: Any) -> Exchange:
    limits = how.pop("limits", None)
    return GEMINI.exchange(as_chat("hi", model="m", **how), limits=limits)


# Bytes, as the service writes them


def event(value: Any) -> bytes:
    return f"data: {json.dumps(value, ensure_ascii=False)}\r\n\r\n".encode()


def candidate(*parts: Any, finish: Any = None, index: int = 0, **fields: Any) -> Any:
    content = {"content": {"parts": list(parts), "role": "model"}} if parts else {}
    reason = {} if finish is None else {"finishReason": finish}
    return {**content, **reason, "index": index, **fields}


def chunk(*parts: Any, finish: Any = None, usage: Any = None, index: int = 0, **more: Any) -> bytes:
    told = {} if usage is None else {"usageMetadata": usage}
    said = candidate(*parts, finish=finish, index=index, **more)
    return event({"candidates": [said], **told})


def text(said: str, **fields: Any) -> Any:
    return {"text": said, **fields}


def call(name: str, args: Any = None, **fields: Any) -> Any:
    told = {} if args is None else {"args": args}
    return {"functionCall": {"name": name, **told, **fields}}


def partial(*pieces: Any, more: bool = True) -> Any:
    goes_on = {"willContinue": True} if more else {}
    return {"functionCall": {"partialArgs": list(pieces), **goes_on}}


OVER = chunk(text(""), finish="STOP")


def receive(*parts: bytes, limits: Limits | None = None, **how: Any) -> Outcome:
    return alike(ask(limits=limits, **how), b"".join(parts))


def said(*parts: bytes) -> list[Event]:
    """The events before `Finish` of a stream that is whole."""
    events = receive(*parts, OVER).succeeded().events
    assert events[-1] == END
    assert isinstance(events[-2], Finish)
    return events[:-2]


def native(value: Any, part: int = 0, index: int = 0) -> Any:
    return ("native", value, part, index)


def shown(events: list[Event]) -> list[Any]:
    """`events`, of native forms the JSON value."""
    return [
        native(json.loads(e.raw), e.part, e.index) if isinstance(e, Native) else e for e in events
    ]


# The request


def test_the_request() -> None:
    exchange = GEMINI.exchange(as_chat("hi", model="gemini-2.5-flash"), key="sesame")
    request = exchange.next_request()
    assert request is not None
    where = "https://generativelanguage.googleapis.com/v1beta/models/gemini-2.5-flash"
    assert request.url == f"{where}:streamGenerateContent?alt=sse"
    headers = dict(request.headers)
    assert headers[b"x-goog-api-key"] == b"sesame"
    assert headers[b"accept"] == b"text/event-stream"
    assert json.loads(request.body) == {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]}
    assert "sesame" not in request.url + repr(request) + repr(exchange)
    told: Any = [{"role": "system", "content": "s"}, {"role": "user", "content": "hi"}]
    request = GEMINI.exchange(as_chat(told, model="gemma-3-27b-it")).next_request()
    assert request is not None
    assert json.loads(request.body).keys() == {"contents"}, "it takes no instruction of the system"


@pytest.mark.parametrize(
    ("model", "path"),
    [
        ("m", "/models/m"),
        ("models/m", "/models/m"),
        ("tunedModels/t-1", "/tunedModels/t-1"),
        ("a/b", "/models/a%2Fb"),
    ],
)
def test_the_path_of_a_model(model: str, path: str) -> None:
    chat = as_chat("hi", model=model, stream=False)
    for base in ("https://x.test", "https://x.test/v1beta", "https://x.test/v1beta/"):
        request = GEMINI.exchange(chat, base_url=base).next_request()
        assert request is not None
        assert request.url == f"https://x.test/v1beta{path}:generateContent"
        assert dict(request.headers)[b"accept"] == b"application/json"


def test_vertex() -> None:
    params = {"project": "p", "location": "us-central1"}
    provider = PROVIDERS["gemini-vertex"]
    request = provider.exchange(as_chat("hi", model="m"), key="t", params=params).next_request()
    assert request is not None
    where = "projects/p/locations/us-central1/publishers/google/models/m"
    host = "https://us-central1-aiplatform.googleapis.com/v1"
    assert request.url == f"{host}/{where}:streamGenerateContent?alt=sse"
    assert dict(request.headers)[b"authorization"] == b"Bearer t"
    assert provider.auth == Bearer()
    for name in ("gemini-vertex-global", "gemini-vertex-express"):
        provider = PROVIDERS[name]
        request = provider.exchange(as_chat("hi", model="m"), params=params).next_request()
        assert request is not None
        assert request.url.startswith("https://aiplatform.googleapis.com/v1/")
        assert request.url.endswith("/publishers/google/models/m:streamGenerateContent?alt=sse")


# Text, and how a stream is written


def test_text() -> None:
    begin = event(
        {
            "candidates": [candidate(text("h\u20ac"))],
            "usageMetadata": {"promptTokenCount": 3, "totalTokenCount": 3},
            "modelVersion": "gemini-2.5-flash",
            "responseId": "r-1",
        }
    )
    usage = {"promptTokenCount": 3, "candidatesTokenCount": 2, "totalTokenCount": 5}
    last = chunk(text("!"), finish="STOP", usage=usage)
    assert receive(begin, chunk(text("i")), last).succeeded().events == [
        Start("r-1", "gemini-2.5-flash"),
        Text("h\u20ac"),
        Usage(3, None, 3, raw={"promptTokenCount": 3, "totalTokenCount": 3}),
        Text("i"),
        Text("!"),
        Usage(3, 2, 5, raw=usage),
        STOP,
        END,
    ]


def test_lines_may_end_with_one_byte() -> None:
    body = chunk(text("a")) + chunk(text("b")) + OVER
    events = [Text("a"), Text("b"), STOP, END]
    for end in (b"\n", b"\r"):
        assert receive(body.replace(b"\r\n", end)).succeeded().events == events


def test_the_last_event_may_lack_its_blank_line() -> None:
    assert receive(chunk(text("a")), OVER[:-4]).succeeded().events == [Text("a"), STOP, END]


def test_thoughts() -> None:
    body = chunk(text("so ", thought=True)), chunk(text("so", thought=True)), chunk(text("a"))
    empty = chunk(text("", thought=True))
    thought = [Reasoning("so "), Reasoning("so")]
    assert said(*body, empty) == [*thought, Text("a", part=1)]
    assert said(*body, *body[2:] * 2) == [*thought, *[Text("a", part=1)] * 3]


def test_empty_chunks_say_nothing() -> None:
    nothing: Any = (
        {"candidates": []},
        {"candidates": [{}]},
        {"candidates": [{"content": {}}]},
        {"candidates": [{"content": {"role": "model"}}]},
        {"candidates": [{"content": {"parts": [{}, {"videoMetadata": {}}]}}]},
        {"candidates": [{"finishReason": None, "safetyRatings": [], "avgLogprobs": 0.1}]},
        {"promptFeedback": {"safetyRatings": []}},
        {"promptFeedback": {"blockReason": "BLOCK_REASON_UNSPECIFIED"}},
        {"type": "ping"},
    )
    for end in (b"\r\n", b"\n"):
        body = b"".join(map(event, nothing)) + b"data: [DONE]\n\n" + chunk(text("a"))
        body += chunk(text("")) + chunk(text(""), usage={"promptTokenCount": 1})
        usage = Usage(1, raw={"promptTokenCount": 1})
        assert said(body.replace(b"\r\n", end)) == [Text("a"), usage]


def test_several_parts_in_a_chunk() -> None:
    parts = text("so", thought=True), text("a"), text("b")
    assert said(chunk(*parts)) == [Reasoning("so"), Text("a", part=1), Text("b", part=1)]


def test_the_id_may_come_a_chunk_later() -> None:
    """After a chunk that says nothing; once something is said it is too late."""
    late = event({"candidates": [candidate(text("b"))], "responseId": "r", "modelVersion": "m"})
    assert said(event({"candidates": [{"content": {"role": "model"}}]}), late) == [
        *(Start("r", "m"), Text("b")),
    ]
    assert said(chunk(text("")), late) == [Start("r", "m"), Text("b")]
    assert said(chunk(text("a")), late) == [Text("a"), Text("b")]
    assert said(chunk(text("a", thought=True)), late) == [Reasoning("a"), Text("b", part=1)]


def test_further_keys_of_a_fragment_of_a_call() -> None:
    first = {"functionCall": {"name": "f", "willContinue": True}}
    last: Any = {"functionCall": {}, "thoughtSignature": "c2ln", "thought": None}
    assert said(chunk(first), chunk(last))[1:] == [
        ToolCallDelta(0, "{}"),
        Unrecognized(b'"c2ln"', "candidates[0].content.parts.thoughtSignature"),
        ToolCallEnd(0, "", "f", "{}", complete=True),
    ]


def test_what_is_not_understood_is_handed_on() -> None:
    body = (
        b"data: hello\n\n",
        b"data: [1]\n\n",
        event({"this": 1}),
        event({}),
        event({"candidates": [7, candidate(text("a"))]}),
        event({"candidates": [{"content": [1]}]}),
        event({"candidates": [{"content": {"parts": [5], "new": 1}, "continuationToken": "t"}]}),
        event({"candidates": [{"logprobsResult": 1}]}),
        event({"candidates": [{"groundingMetadata": 2}]}),
        event({"candidates": [{"urlContextMetadata": 3, "citationMetadata": 4}]}),
    )
    assert said(*body) == [
        Unrecognized(b"hello"),
        Unrecognized(b"[1]"),
        Unrecognized(b'{"this": 1}'),
        Unrecognized(b"7", "candidates[0]"),
        Text("a"),
        Unrecognized(b"[1]", "candidates[0].content"),
        Unrecognized(b"5", "candidates[0].content.parts"),
        Unrecognized(b"1", "candidates[0].content.new"),
        Unrecognized(b'"t"', "candidates[0].continuationToken"),
        Unrecognized(b"1", "candidates[0].logprobsResult"),
        Unrecognized(b"2", "candidates[0].groundingMetadata"),
        Unrecognized(b"4", "candidates[0].citationMetadata"),
        Unrecognized(b"3", "candidates[0].urlContextMetadata"),
    ]


def test_lines_that_are_no_events() -> None:
    """An object that is not whole when the body ends is passed on, too."""
    outcome = drive(ask(), OVER + b"wait\n{\n")
    assert [event.raw for event in outcome.reply.unrecognized] == [b"wait", b"{\n"]


def test_half_a_character() -> None:
    assert said(chunk(text("\u20ac")).replace("\u20ac".encode(), b"\xe2\x82")) == [Text("\ufffd")]
    half = chunk(text("\u20ac", thoughtSignature="cw==")).replace("\u20ac".encode(), b"\xe2")
    form = {"text": "\ufffd", "thoughtSignature": "cw=="}
    assert shown(said(half)) == [native(form), Text("\ufffd")]
    half = chunk(call("f", {"a": "\u20ac"})).replace("\u20ac".encode(), b"\xe2")
    assert ToolCallEnd(0, "", "f", '{"a": "\ufffd"}', True) in receive(half, OVER).events
    metadata = grounded([web("u")], support(0, 3, "\u20ac", 0))
    body = chunk(text("\u20ac")), chunk(groundingMetadata=metadata)
    cut = b"".join(body).replace("\u20ac".encode(), rb"\ud83d")
    assert sources(cut) == [Citation("u", start=0, end=1)]


def test_malformed() -> None:
    assert isinstance(receive(chunk(text("a")), b"data: {x}\n\n", OVER).error, Malformed)


# Completion


def test_a_stream_without_a_reason_is_cut() -> None:
    assert isinstance(receive(event({"candidates": [{}]})).error, Truncated)
    outcome = receive(chunk(text("a")))
    assert outcome.events == [Text("a")]
    assert isinstance(outcome.error, Truncated)
    assert "before a finishReason for every candidate" in str(outcome.error)


@pytest.mark.parametrize("ending", ["eof", "disconnect"])
def test_half_an_event_after_a_reason_takes_it_back(ending: Ending) -> None:
    """It may be more content."""
    for rest in (b'data: {"candidates": [', b"data: {"):
        body = chunk(text("a")) + OVER + rest
        outcome = alike(ask(), Response(body, ending=ending))
        unknown = [Unrecognized(rest[6:])] if ending == "eof" else []
        assert outcome.refused_by(Truncated).events == [Text("a"), *unknown, Finish("STOP", "stop")]
    for rest in (b"", b"da", b"data: "):
        drive(ask(), Response(chunk(text("a")) + OVER + rest, ending=ending)).succeeded()


@pytest.mark.parametrize("first", [call("f"), call("f", {})])
def test_arguments_in_the_next_chunk(first: Any) -> None:
    """Quirk 91."""
    late = {"functionCall": {"args": {"a": 1}}}
    ends = receive(chunk(first), chunk(late, finish="STOP")).succeeded().events
    assert ToolCallEnd(0, "", "f", '{"a": 1}', True) in ends
    assert not any(isinstance(event, Native) for event in ends)


def test_arguments_of_nobody() -> None:
    """They may be of either call, or of none; they are kept."""
    late = {"functionCall": {"args": {"a": 1}}}
    for calls, complete in (
        ([call("f"), call("g", {})], [False, False]),
        ([call("f", {"b": 2})], [True]),
        ([], []),
    ):
        told = receive(chunk(*calls), chunk(late, finish="STOP")).succeeded().events
        assert [e.complete for e in told if isinstance(e, ToolCallEnd)] == complete
        assert sum(isinstance(event, Native) for event in told) == 1


@pytest.mark.parametrize("odd", [{"args": [1]}, {"args": {"a": 1}, "new": 1}, {"id": "c"}])
def test_what_goes_on_with_a_call_and_is_not_understood(odd: Any) -> None:
    told = receive(chunk(call("f")), chunk({"functionCall": odd}, finish="STOP")).events
    assert [e.complete for e in told if isinstance(e, ToolCallEnd)] == [False]


def test_what_follows_a_reason_takes_it_back() -> None:
    reason = chunk(text("a"), finish="STOP")
    content: Any = (
        *(text("b"), text("b", thought=True), text("b", thoughtSignature="cw=="), 5),
        *({"executableCode": {"code": "1"}}, call("f", {}), call("", {"a": 1}), call("f")),
        *({"functionCall": 1}, {"inlineData": {"mimeType": "image/png", "data": "iQ=="}}),
    )
    for more in content:
        assert isinstance(receive(reason, chunk(more)).error, Truncated)
        receive(reason, chunk(more), OVER).succeeded()
    usage = event({"usageMetadata": {"promptTokenCount": 1}})
    over: Any = {"functionCall": {}}  # the end of a call
    nothing: Any = (text(""), text("", thought=True), over, {}, {"videoMetadata": {}})
    for part in nothing:
        receive(reason, chunk(part)).succeeded()
    empty = (event({"candidates": [{"content": content}]}) for content in ({"role": "model"}, [1]))
    for more in (chunk(), usage, *empty):
        receive(reason, more).succeeded()


@pytest.mark.parametrize("key", ["candidates", "promptFeedback"])
def test_odd_keys_of_a_chunk_are_handed_on(key: str) -> None:
    odd = event({"responseId": "r", key: "seven"})
    assert said(odd) == [Start("r", ""), Unrecognized(b'"seven"', key)]


def test_each_candidate_has_a_reason() -> None:
    one, two = chunk(text("a"), finish="STOP"), chunk(text("b"), index=1)
    assert isinstance(receive(one, n=2).error, Truncated)
    assert isinstance(receive(one, two, n=2).error, Truncated)
    assert isinstance(receive(one, two).error, Truncated)
    over = chunk(finish="MAX_TOKENS", index=1)
    assert receive(one, two, over, n=2).succeeded().events == [
        *(Text("a"), Text("b", index=1)),
        *(STOP, Finish("MAX_TOKENS", "length", index=1), END),
    ]
    extra = {"generationConfig": {"candidateCount": 2}}
    assert isinstance(receive(one, extra=extra).error, Truncated)
    other: Any = {"generationConfig": {"seed": 7}}
    assert isinstance(receive(one, n=2, extra=other).error, Truncated)
    receive(one, extra={"generationConfig": {"candidateCount": "many"}}).succeeded()
    receive(one, extra={"generationConfig": 1}).succeeded()


@pytest.mark.parametrize(
    ("reason", "finish"),
    [
        ("STOP", STOP),
        ("MAX_TOKENS", Finish("MAX_TOKENS", "length")),
        ("CONTINUATION", Finish("CONTINUATION", "length")),
        ("RECITATION", Finish("RECITATION", "content_filter")),
        ("FAKE_ENUM", Finish("FAKE_ENUM", "")),
        (1, STOP),
        (4, Finish("RECITATION", "content_filter")),
        (77, Finish("77", "")),
    ],
)
def test_reasons(reason: object, finish: Finish) -> None:
    assert receive(chunk(finish=reason)).succeeded().events == [finish, END]


def test_the_last_reason_counts() -> None:
    body = chunk(text("a"), finish="STOP"), chunk(finish="RECITATION", finishMessage="known")
    finish = Finish("RECITATION", "content_filter", "known")
    assert receive(*body).succeeded().events == [Text("a"), finish, END]


def test_a_reason_that_is_an_error() -> None:
    usage = {"promptTokenCount": 1}
    message = "Malformed function call: print(f("
    over = chunk(finish="MALFORMED_FUNCTION_CALL", finishMessage=message, usage=usage)
    outcome = receive(chunk(text("a")), over).refused_by(Refused, message)
    assert outcome.events == [
        Text("a"),
        Usage(1, raw=usage),
        Finish("MALFORMED_FUNCTION_CALL", "error", message),
    ]
    assert isinstance(outcome.error, Refused)
    assert outcome.error.code == "MALFORMED_FUNCTION_CALL"


@pytest.mark.parametrize("args", [None, {"a": 1}])
def test_a_call_beside_an_error_is_not_complete(args: Any) -> None:
    error = {"message": "slow down", "status": "RESOURCE_EXHAUSTED"}
    outcome = receive(chunk(call("f", args), error=error), OVER)
    outcome.refused_by(RateLimited, "slow down")
    (end,) = [each for each in outcome.events if isinstance(each, ToolCallEnd)]
    assert not end.complete
    receive(chunk(call("f", args), error=error)).refused_by(RateLimited, "slow down")


def test_a_blocked_prompt() -> None:
    rated = [{"category": "HARM_CATEGORY_HATE_SPEECH", "probability": "HIGH"}]
    body = event({"promptFeedback": {"blockReason": "SAFETY", "safetyRatings": rated}})
    for ending in ("eof", "disconnect"):
        outcome = drive(ask(), Response(body, 200, [], ending))
        assert isinstance(outcome.error, ContentFiltered)
        assert outcome.error.code == "SAFETY"
        assert outcome.error.message == "the service refused: the prompt was blocked: SAFETY"
        assert b"HATE_SPEECH" in outcome.error.data
    relayed = "the service refused: the prompt was blocked: OTHER: no"
    for told, words in (
        *(("no" * 2000, f"OTHER: {'no' * 1000}"), ("", "OTHER"), (7, "OTHER")),
        (relayed, "OTHER: no"),
    ):
        feedback: Any = {"blockReason": "OTHER", "blockReasonMessage": told}
        error = receive(event({"promptFeedback": feedback})).refused_by(ContentFiltered).error
        assert isinstance(error, ContentFiltered)
        assert error.message == f"the service refused: the prompt was blocked: {words}"


# Calls


def test_a_call() -> None:
    part = call("f", {"a": 1}, id="c-1")
    events = receive(chunk(part), chunk(call("f", {"a": 1})), OVER).succeeded().events
    assert events == [
        *(ToolCallStart(0, "c-1", "f"), ToolCallDelta(0, '{"a": 1}')),
        *(ToolCallStart(1, "", "f", part=1), ToolCallDelta(1, '{"a": 1}')),
        ToolCallEnd(0, "c-1", "f", '{"a": 1}', True),
        ToolCallEnd(1, "", "f", '{"a": 1}', True),
        *(CALLED, END),
    ]


def test_arguments_are_handed_on_byte_for_byte() -> None:
    args = '{"a": 1.10, "b":12345678901234567890}'
    body = chunk(call("f", "ARGS")).replace(b'"ARGS"', args.encode())
    reply = receive(body, OVER).succeeded().reply
    assert reply.tool_calls[0].arguments == args
    chat = as_chat("hi", model="m").then(reply, reply.tool_calls[0].result("42"))
    request = GEMINI.exchange(chat).next_request()
    assert request is not None
    assert b'"args":' + args.encode() in request.body


@pytest.mark.parametrize(
    ("args", "arguments", "complete"),
    [
        ("{}", "{}", True),
        ("null", "{}", True),
        ('"{\\"a\\":1}"', '{"a":1}', False),
        ("[1]", "[1]", False),
    ],
)
def test_odd_arguments(args: str, arguments: str, complete: bool) -> None:
    body = chunk(call("f", "ARGS")).replace(b'"ARGS"', args.encode())
    end = receive(body, OVER).succeeded().events[-3]
    assert end == ToolCallEnd(0, "", "f", arguments, complete)


def test_a_call_without_arguments_that_may_be_cut() -> None:
    for reason, complete in (("STOP", True), ("MAX_TOKENS", False), ("FAKE", False)):
        end = receive(chunk(call("f"), finish=reason)).succeeded().events[-3]
        assert end == ToolCallEnd(0, "", "f", "{}", complete)


def test_a_call_of_a_service_that_gives_no_reasons() -> None:
    """What proves that the answer is whole proves that of its calls."""
    provider = GEMINI.replace(owes="body_end")
    outcome = drive(provider.exchange(as_chat("hi", model="m")), chunk(call("f"))).succeeded()
    assert outcome.events[-2:] == [ToolCallEnd(0, "", "f", "{}", True), End("body_end")]


def test_a_signed_call() -> None:
    part = {**call("f", {"a": 1}, id="c"), "thoughtSignature": "c2ln"}
    assert shown(said(chunk(part, text("")))) == [
        native(part),
        ToolCallStart(0, "c", "f"),
        ToolCallDelta(0, '{"a": 1}'),
        ToolCallEnd(0, "c", "f", '{"a": 1}', True),
    ]


def test_a_call_with_further_keys() -> None:
    part = call("f", {}, new=1)
    assert shown(said(chunk(part)))[0] == native(part)


def test_a_call_that_is_not_understood() -> None:
    for part in ({"functionCall": 1}, call("", {"a": 1}), {"functionCall": {"id": "x"}}):
        assert shown(said(chunk(part))) == [native(part)]
    signed: Any = {"functionCall": {}, "thoughtSignature": "cw=="}
    assert shown(said(chunk(signed))) == [native(signed)]
    assert said(chunk({"functionCall": {}})) == []


def piece(path: str, **value: Any) -> Any:
    return {"jsonPath": path, **value}


def arguments_of(*pieces: Any) -> tuple[str, bool]:
    """What the pieces make, each in a chunk of its own."""
    begin = chunk(call("f", willContinue=True))
    body = [chunk(partial(each)) for each in pieces]
    found = said(begin, *body, chunk({"functionCall": {}}))
    end = found[-1]
    assert isinstance(end, ToolCallEnd)
    assert found[0] == ToolCallStart(0, "", "f")
    assert not any(isinstance(each, Native) for each in found)
    return end.arguments, end.complete


def test_arguments_in_pieces() -> None:
    pieces = (
        piece("$.a.b[0]", stringValue="x", willContinue=True),
        piece("$.a.b[0]", stringValue="y", willContinue=True),
        piece("$.a.b[0]", stringValue=""),
        piece("$.a.b[1].c", numberValue=1.50),
        piece("$.d", boolValue=False),
        piece("$['e \\'f']", nullValue="NULL_VALUE"),
        piece('$["g"]', nullValue={}),
        piece("$.h", numberValue=5),
        piece("$.h", stringValue="now a text"),
        piece("$.i[0][0]", boolValue=True),
        *(piece(f"$.j[{place}]", numberValue=place) for place in (0, 1, 2)),
        piece("$.j[1]", numberValue=5),
    )
    assert arguments_of(*pieces) == (
        '{"a":{"b":["xy",{"c":1.5}]},"d":false,"e \'f":null,"g":null,"h":"now a text",'
        '"i":[[true]],"j":[0,5,2]}',
        True,
    )
    half = chunk(partial(piece("$.a", numberValue="\u20ac"), more=False))
    *_, end = said(chunk(call("f", willContinue=True)), half.replace(b"\xe2\x82\xac", b"\xe2"))
    assert end == ToolCallEnd(0, "", "f", '{"a":"\ufffd"}', True)


@pytest.mark.parametrize(
    "odd",
    [
        piece("$", stringValue="a"),
        piece("", stringValue="a"),
        *(piece("a", stringValue="a"), piece("a.b", stringValue="a")),
        piece("$.a..b", stringValue="a"),
        piece("$.a[*]", stringValue="a"),
        piece("$.a"),
        piece("$.list[1000000000]", stringValue="a"),
        piece("$.list[7]", stringValue="a"),
        piece("$.list[7].a", stringValue="a"),
        piece("$.list.name", stringValue="a"),
        piece("$.text.a", stringValue="a"),
        piece("$.text[0]", stringValue="a"),
        piece("$" + ".a" * 65, stringValue="a"),
        piece("$.a", stringValue="a", new=1),
        5,
    ],
)
def test_odd_pieces(odd: Any) -> None:
    known = [piece("$.list[0]", numberValue=1), piece("$.text", stringValue="t")]
    begin = chunk(call("f", willContinue=True))
    body = [chunk(partial(each)) for each in (*known, odd)]
    found = said(begin, *body, chunk({"functionCall": {}}))
    raw = json.dumps(odd).encode()
    place = "candidates[0].content.parts.functionCall.partialArgs"
    assert Unrecognized(raw, place) in found
    end = found[-1]
    assert isinstance(end, ToolCallEnd)
    assert not end.complete


def test_how_a_call_in_pieces_ends() -> None:
    begin = chunk(call("f", willContinue=True))
    one = piece("$.a", numberValue=1)
    ends = ([chunk(partial(one, more=False))], [chunk(partial(one)), chunk(call("g", {}))])
    for body in (*ends, [chunk(partial(one))]):
        found = receive(begin, *body, OVER).succeeded().events
        assert ToolCallEnd(0, "", "f", '{"a":1}', True) in found
    assert receive(begin, chunk(partial(one))).events == [ToolCallStart(0, "", "f")]
    # What is not ended is whole only if the model stopped by itself: else it was cut.
    for reason in ("MAX_TOKENS", "SAFETY", "NEW"):
        over = chunk(finish=reason)
        cut = receive(begin, chunk(partial(one)), over).succeeded().events
        assert ToolCallEnd(0, "", "f", '{"a":1}', False) in cut
        ended = receive(begin, chunk(partial(one)), chunk({"functionCall": {}}), over).events
        assert ToolCallEnd(0, "", "f", '{"a":1}', True) in ended
    at_once = {"functionCall": {"name": "f", "partialArgs": [one]}}
    assert ToolCallEnd(0, "", "f", '{"a":1}', True) in said(chunk(at_once))


def test_a_signed_call_in_pieces() -> None:
    begin = {**call("f", willContinue=True, id="c"), "thoughtSignature": "c2ln"}
    body = chunk(begin), chunk(partial(piece("$.a", numberValue=1.5), more=False))
    whole = {**call("f", {"a": 1.5}, id="c"), "thoughtSignature": "c2ln"}
    assert shown(said(*body)) == [
        *(ToolCallStart(0, "c", "f"), ToolCallDelta(0, '{"a":1.5}'), native(whole)),
        ToolCallEnd(0, "c", "f", '{"a":1.5}', True),
    ]


@pytest.mark.parametrize(
    "odd", [{"partialArgs": 7, "willContinue": True}, {"partialArgs": [], "willContinue": [7]}]
)
def test_a_call_in_pieces_that_begins_oddly(odd: Any) -> None:
    """It may lack arguments, so it is not to be run."""
    begin = call("f", **odd)
    *found, end = said(chunk(begin))
    raw = json.dumps(begin["functionCall"]).encode()
    assert Unrecognized(raw, "candidates[0].content.parts.functionCall") in found
    assert end == ToolCallEnd(0, "", "f", "{}", False)
    assert not any(isinstance(each, Native) for each in found)


def test_odd_fragments_of_a_call() -> None:
    begin = {**call("f", {"b": 1}, willContinue=True), "thoughtSignature": "c2ln"}
    place = "candidates[0].content.parts.functionCall"
    found = said(chunk(begin), chunk({"functionCall": {"new": 1}}))
    assert found == [
        ToolCallStart(0, "", "f"),
        Unrecognized(b'{"b": 1}', f"{place}.args"),
        Unrecognized(b'{"new": 1}', place),
        ToolCallDelta(0, "{}"),
        ToolCallEnd(0, "", "f", "{}", False),
    ]


def test_arguments_that_come_whole_and_in_pieces() -> None:
    """Nobody knows how to join them."""
    begin = chunk(call("f", {"b": 1}, willContinue=True))
    *_, end = said(begin, chunk(partial(piece("$.a", numberValue=1), more=False)))
    assert end == ToolCallEnd(0, "", "f", '{"a":1}', False)


def test_limits_of_arguments_in_pieces() -> None:
    begin = chunk(call("f", willContinue=True))
    many = [chunk(partial(piece(f"$.a{n}.b", boolValue=True))) for n in range(20)]
    receive(begin, *many, limits=Limits(parts=10)).refused_by(LimitExceeded, "more than 10")
    long = chunk(partial(piece("$.a", stringValue="x" * 300, willContinue=True)))
    outcome = receive(begin, long, long, limits=Limits(event=500))
    outcome.refused_by(LimitExceeded, "the arguments of a call of more than 500 bytes")
    size = 2 * len(json.dumps(piece("$.a", stringValue="x" * 300, willContinue=True)))
    receive(begin, long, long, OVER, limits=Limits(event=size)).succeeded()
    receive(begin, long, long, limits=Limits(event=size - 1)).refused_by(LimitExceeded)


# Other parts


def test_signatures() -> None:
    signed = text("a", thoughtSignature="c2ln")
    empty = text("", thoughtSignature="ZW5k")
    thought = text("so", thought=True, thoughtSignature="dGg=")
    body = chunk(text("x")), chunk(signed), chunk(text("y")), chunk(thought), chunk(empty)
    assert shown(said(*body)) == [
        Text("x"),
        *(native(signed, 1), Text("a", part=1)),
        Text("y", part=2),
        *(native(thought, 3), Reasoning("so", part=3)),
        native(empty, 4),
    ]
    for nothing in ("", None):
        assert said(chunk(text("a", thoughtSignature=nothing))) == [Text("a")]


def test_code() -> None:
    code = {"executableCode": {"language": "PYTHON", "code": "print(1)"}}
    result = {"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "1"}}
    body = chunk(text("a")), chunk(code, result, text("b"))
    assert shown(said(*body)) == [
        *(Text("a"), native(code, 1), native(result, 2), Text("b", part=3)),
    ]


def test_unknown_parts() -> None:
    for part in ({"text": 5}, {"new": 1}, {"text": None, "toolCall": {"id": "t"}}):
        assert shown(said(chunk(part))) == [native(part)]
    part = text("a", partMetadata={"k": 1})
    assert shown(said(chunk(part))) == [native(part), Text("a")]


def test_pictures() -> None:
    data = b64encode(b"\x89PN\xfb\xef\xff").decode()
    blob = {"inlineData": {"mimeType": "image/png", "data": data}}
    signed = {**blob, "thoughtSignature": "cw=="}
    picture = Image(b"\x89PN\xfb\xef\xff", "image/png")
    assert said(chunk(blob)) == [picture]
    assert shown(said(chunk(signed))) == [native(signed), picture]
    second = receive(chunk(blob, index=1), n=2).events
    assert Image(picture.data, picture.media_type, index=1) in second
    other = {"inlineData": {"mimeType": "image/png", "data": data.translate({43: 45, 47: 95})}}
    assert said(chunk(other)) == [picture]
    sound = {"inlineData": {"mimeType": "audio/wav", "data": data}}
    broken = {"inlineData": {"mimeType": "image/png", "data": "?"}}
    for part in (sound, broken, {"inlineData": 1}):
        assert shown(said(chunk(part))) == [native(part)]


def test_the_message_that_answers() -> None:
    code = {"executableCode": {"language": "PYTHON", "code": "1"}}
    signed = {**call("f", {"a": 1}, id="c"), "thoughtSignature": "c2ln"}
    blob = {"inlineData": {"mimeType": "image/png", "data": "iQ=="}}
    parts = (
        text("so", thought=True),
        text("a"),
        code,
        signed,
        text("", thoughtSignature="ZQ=="),
        blob,
    )
    reply = receive(chunk(*parts), OVER).succeeded().reply
    kinds = [ReasoningPart, TextPart, Opaque, ToolCall, Opaque, ImagePart]
    assert [type(part) for part in reply.message().parts] == kinds
    chat = as_chat("hi", model="m").then(reply, reply.tool_calls[0].result("42"), "And?")
    request = GEMINI.exchange(chat).next_request()
    assert request is not None
    result = {"functionResponse": {"id": "c", "name": "f", "response": {"output": "42"}}}
    assert json.loads(request.body)["contents"] == [
        {"role": "user", "parts": [{"text": "hi"}]},
        {"role": "model", "parts": list(parts[1:])},
        {"role": "user", "parts": [result]},
        {"role": "user", "parts": [{"text": "And?"}]},
    ]


# Beside the parts


def test_usage() -> None:
    told = {
        "promptTokenCount": 132,
        "candidatesTokenCount": 45,
        "totalTokenCount": 1702,
        "toolUsePromptTokenCount": 1355,
        "thoughtsTokenCount": 170,
        "cachedContentTokenCount": 12.0,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 132}],
    }
    usage = receive(chunk(finish="STOP", usage=told)).succeeded().reply.usage
    assert usage == Usage(1487, 215, 1702, 12, None, 170, told)
    rest = {"toolUsePromptTokenCount": 5, "thoughtsTokenCount": 3}
    usage = receive(chunk(finish="STOP", usage=rest)).succeeded().reply.usage
    assert usage == Usage(5, 3, None, None, None, 3, rest)


def test_the_last_count_of_each_kind_counts() -> None:
    first = {"promptTokenCount": 25, "cachedContentTokenCount": 5, "candidatesTokenCount": None}
    traffic = {"trafficType": "ON_DEMAND"}
    last = {"promptTokenCount": 132, "candidatesTokenCount": 4}
    body = [chunk(text("a"), usage=each) for each in (traffic, first, first, last)]
    usages = [e for e in receive(*body, OVER).events if isinstance(e, Usage)]
    assert [(u.input_tokens, u.output_tokens, u.cache_read_input_tokens) for u in usages] == [
        *((25, None, 5), (132, 4, 5)),
    ]
    assert usages[-1].raw == {**traffic, "cachedContentTokenCount": 5, **last}
    assert said(event({"usageMetadata": 1, "responseId": "r"})) == [
        *(Start("r", ""), Unrecognized(b"1", "usageMetadata")),
    ]
    assert said(event({"modelVersion": "m"})) == [Start("", "m")]
    begun = event({"responseId": "r"})
    assert said(begun, begun, chunk(text("a")), begun) == [Start("r", ""), Text("a")]


def test_counts_that_grow() -> None:
    begin = {"promptTokenCount": 25, "cachedContentTokenCount": 5, "candidatesTokenCount": 1}
    body = [chunk(text("a"), usage={**begin, "candidatesTokenCount": n}) for n in range(1, 9)]
    body += [chunk(text("a"), usage={"candidatesTokenCount": 9, "promptTokenCount": None})]
    body += [chunk(text("a"), usage={"serviceTier": "standard"}), *body[:1]]
    for end in (b"\r\n", b"\n"):
        stream = b"".join(body).replace(b"\r\n", end)
        usages = [e for e in receive(stream, OVER).events if isinstance(e, Usage)]
        assert [usage.output_tokens for usage in usages] == [*range(1, 10), 1]
        assert {(u.input_tokens, u.cache_read_input_tokens) for u in usages} == {(25, 5)}
        assert usages[-1].raw == {**begin, "serviceTier": "standard"}


def test_log_probabilities() -> None:
    result = {
        "chosenCandidates": [
            {"token": "a", "tokenId": 1, "logProbability": -0.5},
            {"token": "b", "logProbability": "-Infinity"},
        ],
        "topCandidates": [{"candidates": [{"token": "a", "logProbability": -0.5}]}],
    }
    alternatives = [TokenLogProb("a", -0.5)]
    tokens = [TokenLogProb("a", -0.5, None, alternatives), TokenLogProb("b", float("-inf"))]
    assert said(chunk(text("ab"), logprobsResult=result)) == [Text("ab"), LogProbs(tokens)]
    second = receive(chunk(text("ab"), index=1, logprobsResult=result), n=2).events
    assert second == [Text("ab", index=1), LogProbs(tokens, index=1)]
    nothing: dict[str, Any] = {}
    tops = {**result, "topCandidates": [nothing, nothing]}
    assert said(chunk(logprobsResult=tops))[0] == LogProbs(
        [TokenLogProb("a", -0.5, None, []), TokenLogProb("b", float("-inf"), None, [])]
    )
    assert said(chunk(logprobsResult={"chosenCandidates": []})) == []


def web(url: str, title: str = "") -> Any:
    return {"web": {"uri": url, "title": title}}


def support(start: int, end: int, said: str | None, *numbers: Any, **more: Any) -> Any:
    begin = {"startIndex": start} if start else {}
    told = {} if said is None else {"text": said}
    segment = {**begin, "endIndex": end, **told, **more}
    return {"segment": segment, "groundingChunkIndices": list(numbers)}


def grounded(chunks: Any, *supports: Any, **more: Any) -> Any:
    return {"groundingChunks": chunks, "groundingSupports": list(supports), **more}


def sources(*parts: bytes) -> list[Citation]:
    return [event for event in said(*parts) if isinstance(event, Citation)]


def test_sources_of_the_text() -> None:
    """Places are counted in bytes on the wire, and in code points here."""
    search = {"renderedContent": "<div>"}
    metadata = grounded(
        [web("https://a.test", "A"), web("https://b.test", "B"), web("https://c.test", "C")],
        support(0, 6, "\u20ac\u20ac", 0),
        support(7, 10, "abc", 0, 1, 9, "x"),
        searchEntryPoint=search,
    )
    body = chunk(text("\u20ac\u20ac ")), chunk(text("abc")), chunk(groundingMetadata=metadata)
    found = said(*body, chunk(groundingMetadata=metadata))
    assert found[2:] == [
        Citation("https://a.test", "A", start=0, end=2),
        Citation("https://a.test", "A", start=3, end=6),
        Citation("https://b.test", "B", start=3, end=6),
        Citation("https://c.test", "C"),
        Unrecognized(
            json.dumps(metadata, ensure_ascii=False).encode(), "candidates[0].groundingMetadata"
        ),
    ]


def test_what_a_place_is_counted_in() -> None:
    """The whole text, or a part of it, as the words tell."""
    code = {"executableCode": {"code": "1"}}
    body = chunk(text("so", thought=True)), chunk(text("one "), code, text("two "), text("three"))
    one = web("https://a.test")

    def places(*supports: Any) -> list[tuple[int, int | None, int | None]]:
        last = chunk(groundingMetadata=grounded([one], *supports))
        return [(c.part, c.start, c.end) for c in sources(*body, last)]

    assert places(support(4, 7, "two", 0)) == [(3, 0, 3)]
    assert places(support(4, 9, "three", 0, partIndex=1)) == [(3, 4, 9)]
    assert places(support(4, 7, None, 0)) == [(3, 0, 3)]
    for nowhere in (support(0, 3, "two", 0), support(0, 99, None, 0), support(3, 2, None, 0)):
        assert places(nowhere) == [(0, None, None)]
    for number in (-1, -2):
        assert places(support(0, 3, "one", 0, partIndex=number)) == [(1, 0, 3)]
        assert places(support(0, 3, "two", 0, partIndex=number)) == [(0, None, None)]
    assert places(support(4, 4, None, 0)) == [(3, 0, 0)]
    assert places(support(0, 3, "one", 0, partIndex="x")) == [(1, 0, 3)]
    assert places({"segment": {"text": "a"}, "groundingChunkIndices": [0]}) == [(0, None, None)]
    assert places({"groundingChunkIndices": [0]}) == [(0, None, None)]
    assert places({"groundingChunkIndices": 0}) == [(0, None, None)]
    wrong = {"segment": {"startIndex": "x", "endIndex": 3, "text": 1}}
    assert places({**wrong, "groundingChunkIndices": [0]}) == [(1, 0, 3)]
    signed = chunk(text("ab", thoughtSignature="c2ln"))
    [source] = sources(signed, chunk(groundingMetadata=grounded([one], support(0, 2, "ab", 0))))
    assert (source.part, source.start, source.end) == (0, 0, 2)
    nothing = chunk(groundingMetadata=grounded([one], support(0, 0, None, 0)))
    assert sources(nothing) == [Citation("https://a.test")]


def test_places_counted_in_bytes() -> None:
    texts = {1: "h\u20ac ", 2: "xy", 4: "\U0001f600b"}
    places = [(1, 3), (1, 2), (1, 0), (1, 4), (1, -1), (4, 1), (9, 0)]
    assert byte_places(texts, places) == {
        (1, 0): 0,
        (1, 2): 4,
        (1, 3): 5,
        (2, 2): 7,
        (4, 1): 11,
        (4, 2): 12,
    }


@pytest.mark.parametrize("size", [4095, 4096, 4097, 8192])
def test_places_in_a_text_that_grows(size: int) -> None:
    """Sources come before its end, and wherever a block of it ends."""
    spoken = Spoken()
    spoken.begin(0)
    spoken.pieces.append("a" * size)
    assert spoken.span(size - 1, size, "a", 0) == Span(0, size - 1, size)
    assert spoken.span(size, size + 1, None, 0) is None
    spoken.pieces.append("\u20ac" * 5000 + "b")
    assert spoken.span(size + 3, size + 6, "\u20ac", 0) == Span(0, size + 1, size + 2)
    assert spoken.span(size + 15000, size + 15001, "b", 0) == Span(0, size + 5000, size + 5001)


def test_places_in_a_long_text() -> None:
    """The text is counted in blocks, of which one may end inside a character."""
    long = "\u20acab" * 3000
    begin, end = len(long[:8000].encode()), len(long[:8010].encode())
    metadata = grounded([web("https://a.test")], support(begin, end, long[8000:8010], 0))
    pieces = [chunk(text(long[at : at + 7])) for at in range(0, len(long), 7)]
    [source] = sources(*pieces, chunk(groundingMetadata=metadata))
    assert (source.start, source.end) == (8000, 8010)


def test_sources_of_all_kinds() -> None:
    chunks: Any = [
        {"retrievedContext": {"uri": "gs://d", "title": "D", "text": "its words"}},
        {"retrievedContext": {"documentName": "doc-1", "text": "more"}},
        {"retrievedContext": {"documentName": "doc-2"}},
        {"web": {"title": "T"}},
        {"maps": {"uri": "https://maps.test", "title": "M", "placeId": "p"}},
        {"image": {"sourceUri": "https://i.test", "imageUri": "https://i.test/1.png"}},
        {"new": {}},
        {"web": 5},
        5,
        web("https://a.test"),
        web("https://a.test"),
    ]
    metadata = grounded(chunks)
    found = said(chunk(groundingMetadata=metadata))
    assert found == [
        Citation("gs://d", "D", quote="its words"),
        Citation(source="doc-1", quote="more"),
        Citation(source="doc-2"),
        Citation(title="T"),
        Citation("https://maps.test", "M", source="p"),
        Citation("https://i.test"),
        Citation("https://a.test"),
        Unrecognized(json.dumps(metadata).encode(), "candidates[0].groundingMetadata"),
    ]
    assert said(chunk(groundingMetadata={})) == []
    page: Any = {"uri": "https://a.test", "title": "A", "domain": "a.test"}
    plain = {"groundingChunks": [{"web": page}]}
    assert said(chunk(groundingMetadata=plain)) == [Citation("https://a.test", "A")]
    second = receive(chunk(groundingMetadata=plain, index=1), n=2).events
    assert second == [Citation("https://a.test", "A", index=1)]
    assert len(said(chunk(groundingMetadata={"groundingChunks": chunks[:1]}))) == 2


@pytest.mark.parametrize(
    "odd",
    [
        {"groundingChunks": "a"},
        {"groundingSupports": ["a"]},
        {"groundingChunks": [{"web": {"uri": "https://a.test"}, "new": 1}]},
        {"groundingChunks": [{"web": {"uri": "https://a.test", "title": ["A"]}}]},
    ],
)
def test_sources_that_are_not_understood(odd: dict[str, Any]) -> None:
    handed_on = Unrecognized(json.dumps(odd).encode(), "candidates[0].groundingMetadata")
    assert said(chunk(groundingMetadata=odd))[-1] == handed_on


def test_places_that_are_all_understood() -> None:
    """Then the metadata says nothing more."""
    plain = grounded([web("https://a.test")], support(0, 1, "a", 0))
    cited = Citation("https://a.test", start=0, end=1)
    assert said(chunk(text("ab")), chunk(groundingMetadata=plain))[1:] == [cited]
    for more in (
        grounded([web("https://a.test")], support(0, 1, "b", 0)),
        grounded([web("https://a.test")], support(0, 1, "a", 0, 1)),
        grounded([web("https://a.test")], {**support(0, 1, "a", 0), "confidenceScores": [1]}),
    ):
        *_, last = said(chunk(text("ab")), chunk(groundingMetadata=more))
        assert last == Unrecognized(json.dumps(more).encode(), "candidates[0].groundingMetadata")


@pytest.mark.parametrize("key", ["citations", "citationSources"])
def test_recited_sources(key: str) -> None:
    listed: list[dict[str, Any]] = [
        {"startIndex": 3, "endIndex": 6, "uri": "https://a.test", "title": "A", "license": "mit"},
        {"uri": "https://b.test"},
        {"endIndex": 3, "uri": "https://c.test"},
    ]
    told = [
        Citation("https://a.test", "A", start=1, end=4),
        Citation("https://b.test"),
        Citation("https://c.test", start=0, end=1),
    ]
    place = "candidates[0].citationMetadata"
    licensed = {key: listed}
    body = chunk(text("\u20acabc")), chunk(citationMetadata=licensed)
    assert said(*body)[1:] == [*told, Unrecognized(json.dumps(licensed).encode(), place)]
    plain = {key: [{k: v for k, v in each.items() if k != "license"} for each in listed]}
    assert said(body[0], chunk(citationMetadata=plain))[1:] == told
    empty: dict[str, list[Any]] = {
        each: [] for each in ("citations", "citationSources", "urlMetadata")
    }
    assert said(body[0], chunk(citationMetadata={**empty, **plain}))[1:] == told
    address = dict.fromkeys(("uri", "sourceUri", "retrievedUrl", "title"), "https://d.test")
    each = {**address, "startIndex": 3, "endIndex": 6}
    each["urlRetrievalStatus"] = "URL_RETRIEVAL_STATUS_SUCCESS"
    assert said(body[0], chunk(citationMetadata={key: [each]}))[1:] == [
        Citation("https://d.test", "https://d.test", start=1, end=4)
    ]
    for odd in ({key: 5}, {key: ["x"]}, {key: [{"uri": 5}]}, {"new": 1}):
        raw = json.dumps(odd).encode()
        assert said(chunk(citationMetadata=odd)) == [Unrecognized(raw, place)]


def test_pages_that_were_read() -> None:
    pages = [
        {"retrievedUrl": "https://a.test", "urlRetrievalStatus": "URL_RETRIEVAL_STATUS_SUCCESS"},
        {"retrievedUrl": "https://b.test", "urlRetrievalStatus": "URL_RETRIEVAL_STATUS_ERROR"},
        {"urlRetrievalStatus": "URL_RETRIEVAL_STATUS_SUCCESS"},
    ]
    context: Any = {"urlMetadata": pages}
    place = "candidates[0].urlContextMetadata"
    assert said(chunk(text("a"), urlContextMetadata=context))[1:] == [
        Citation("https://a.test"),
        Unrecognized(json.dumps(context).encode(), place),  # a page could not be read
    ]
    for odd in ({"urlMetadata": [{"retrievedUrl": "https://a.test"}]}, {"urlMetadata": {"a": 1}}):
        raw = json.dumps(odd).encode()
        assert said(chunk(urlContextMetadata=odd)) == [Unrecognized(raw, place)]
    context = {"urlMetadata": pages[:1]}
    plain = {"groundingChunks": [web("https://a.test", "A")]}
    body = chunk(groundingMetadata=plain, urlContextMetadata=context)
    assert said(body) == [Citation("https://a.test", "A")]
    second = receive(chunk(urlContextMetadata=context, index=1), n=2).events
    assert second == [Citation("https://a.test", index=1)]


# Several candidates, arrays, documents


def test_candidates() -> None:
    both = {"candidates": [candidate(text("a")), candidate(call("f", {}), index=1)]}
    over = {"candidates": [candidate(finish="STOP"), candidate(finish="STOP", index=1)]}
    assert receive(event(both), event(over), n=2).succeeded().events == [
        *(Text("a"), ToolCallStart(0, "", "f", index=1), ToolCallDelta(0, "{}", index=1)),
        *(STOP, ToolCallEnd(0, "", "f", "{}", True, index=1)),
        *(Finish("STOP", "tool_call", index=1), END),
    ]


def test_texts_of_candidates_by_turns() -> None:
    """Each has parts of its own."""
    thought, one, other = text("so", thought=True), chunk(text("a")), chunk(text("b"), index=1)
    heard = receive(chunk(thought, index=1), *[other, one, one] * 2).events
    texts = [Text("b", part=1, index=1), Text("a"), Text("a")]
    assert heard[1:] == texts * 2


def test_all_that_a_candidate_says_is_its_own() -> None:
    blob = {"inlineData": {"mimeType": "image/png", "data": "iQ=="}}
    body = chunk(
        *(text("so", thought=True), text("so", thought=True, thoughtSignature="c2ln")),
        *(text("a"), text("b", thoughtSignature="c2ln"), blob, call("f", {"a": 1}), {"new": 1}),
        *(call("g", willContinue=True), partial(piece("$.a", numberValue=1), more=False)),
        index=1,
    )
    *events, end = receive(body, chunk(finish="STOP", index=1)).succeeded().events
    assert {getattr(event, "index", None) for event in events} == {1}
    assert end == END


def array(*values: Any) -> bytes:
    return (
        "[" + "\n,\r\n".join(json.dumps(value, indent=2) for value in values) + "\n]\n"
    ).encode()


LAST = {"candidates": [candidate(finish="STOP")]}
FIRST = {"candidates": [candidate(text("a"))], "responseId": "r"}


def test_an_array() -> None:
    for headers in ([], JSON):
        outcome = alike(ask(), Response(array(FIRST, LAST), 200, headers))
        assert outcome.succeeded().events == [Start("r", ""), Text("a"), STOP, End("terminator")]


def test_an_array_is_read_as_it_comes() -> None:
    exchange = ask()
    exchange.next_request()
    exchange.receive_response(200, JSON)
    body = array(FIRST, LAST)
    begin = body.index(b"\n,")
    assert exchange.receive_data(body[:begin]) == [Start("r", ""), Text("a")]
    assert exchange.receive_data(body[begin:])[-1] == End("terminator")


def test_an_array_that_is_cut() -> None:
    body = array(FIRST, LAST)
    for size in (body.index(b"\n,"), body.index(b"\n,") + 9):
        outcome = alike(ask(), Response(body[:size], 200, JSON))
        assert outcome.events == [Start("r", ""), Text("a")]
        assert isinstance(outcome.error, Truncated)
    half = alike(ask(), Response(array(FIRST), 200, JSON))
    assert isinstance(half.error, Truncated)
    assert half.events == [Start("r", ""), Text("a")]
    assert str(half.error).startswith("the stream ended before a finishReason")


@pytest.mark.parametrize("ending", ["eof", "disconnect"])
def test_an_array_that_is_cut_after_a_reason(ending: Ending) -> None:
    """Inside an element there may be more content."""
    body = array(FIRST, LAST, FIRST)
    last = body.rindex(b"\n,")
    for size in (last, last + 4):
        outcome = alike(ask(), Response(body[:size], 200, JSON, ending))
        assert outcome.succeeded().events == [Start("r", ""), Text("a"), STOP, End("finish")]
    for size in (last + 5, len(body) - 5):
        alike(ask(), Response(body[:size], 200, JSON, ending)).refused_by(Truncated)


def whole(value: Any) -> Outcome:
    return alike(ask(stream=False), Response(json.dumps(value).encode(), 200, JSON))


def test_a_whole_answer() -> None:
    parts = text("so", thought=True), text("a"), call("f", {"a": 1})
    answer = {"candidates": [candidate(*parts, finish="STOP")], "responseId": "r"}
    assert whole(answer).succeeded().events == [
        *(Start("r", ""), Reasoning("so"), Text("a", part=1), ToolCallStart(0, "", "f", part=2)),
        *(ToolCallDelta(0, '{"a": 1}'), ToolCallEnd(0, "", "f", '{"a": 1}', True)),
        *(CALLED, End("terminator")),
    ]


def test_documents_that_are_no_success() -> None:
    assert isinstance(whole({"candidates": [candidate(text("a"))]}).error, Truncated)
    assert isinstance(whole({"promptFeedback": {}}).error, Truncated)
    whole({"promptFeedback": {"blockReason": "SAFETY"}}).refused_by(ContentFiltered)
    others: Any = ({"totalTokens": 3}, {"predictions": []})
    for other in others:
        error = whole(other).refused_by(UnexpectedContent).error
        assert isinstance(error, UnexpectedContent)
        assert error.message == "a JSON document without candidates"
        assert json.loads(error.data) == other
    told = {"error": {"message": "slow down", "status": "RESOURCE_EXHAUSTED"}}
    refused: Any = (told, [told], {"candidates": [], **told})
    for value in refused:
        error = whole(value).refused_by(RateLimited, "slow down").error
        assert isinstance(error, RateLimited)
        assert json.loads(error.data) in (value, told)
    whole({"candidates": [], "message": "slow down"}).refused_by(Refused, "slow down")


# Errors


def rpc(code: Any, word: str, *details: Any, message: str = "the reason is blue") -> Any:
    said = {"code": code, "message": message, "status": word}
    return {"error": {**said, **({"details": list(details)} if details else {})}}


@pytest.mark.parametrize(
    ("status", "word", "kind"),
    [
        (400, "INVALID_ARGUMENT", BadRequest),
        (400, "FAILED_PRECONDITION", BadRequest),
        (401, "UNAUTHENTICATED", AuthenticationFailed),
        (403, "PERMISSION_DENIED", AuthenticationFailed),
        (404, "NOT_FOUND", BadRequest),
        (429, "RESOURCE_EXHAUSTED", RateLimited),
        (499, "CANCELLED", Refused),
        (500, "INTERNAL", Refused),
        (503, "UNAVAILABLE", Overloaded),
        (504, "DEADLINE_EXCEEDED", Overloaded),
    ],
)
def test_errors(status: int, word: str, kind: type[Refused]) -> None:
    body = json.dumps(rpc(status, word)).encode()
    listed = b"[" + body + b"]"
    for data in (body, listed):
        for label in (b"application/json", b"text/event-stream"):
            refused = Response(data, status, [(b"content-type", label)])
            error = alike(ask(), refused).refused_by(kind, "the reason is blue").error
            assert isinstance(error, Refused)
            assert (error.code, error.type, error.status) == (str(status), word, status)
    for data in (b"data: " + body + b"\n\n", b"data: " + listed + b"\n\n", body, listed):
        assert type(alike(ask(), Response(data, 200, [])).error) is kind
        if status in (403, 429, 503):
            amid = receive(chunk(text("a")), chunk(text("b")), data)
            assert type(amid.error) is kind
            assert amid.events == [Text("a"), Text("b")]


def test_a_pretty_error_amid_a_stream() -> None:
    for value in (rpc(503, "UNAVAILABLE"), [rpc(503, "UNAVAILABLE")]):
        data = json.dumps(value, indent=2).encode() + b"\n"
        outcome = receive(chunk(text("a")), data).refused_by(Overloaded, "the reason is blue")
        assert outcome.events == [Text("a")]
    for named in (b'{"message":"no"}', b"no"):
        head = b"event: error\ndata: "
        receive(chunk(text("a")), head + named + b"\n\n").refused_by(Refused, "no")
    told = json.dumps({"error": {"message": "no", "status": "RESOURCE_EXHAUSTED"}}).encode()
    for data in (told, b"[" + told + b"]"):
        for head in (b"event: error\ndata: ", b"data:   "):
            outcome = receive(chunk(text("a")), head + data + b"\n\n").refused_by(RateLimited)
            assert isinstance(outcome.error, RateLimited)
            assert outcome.error.data.strip() == data
    beside = event({"candidates": [candidate(text("a"))], **rpc(503, "UNAVAILABLE")})
    assert receive(beside).refused_by(Overloaded).events == [Text("a")]
    told = event({"message": "it broke"})
    receive(told).refused_by(Refused, "it broke")


def refusal(status: int, word: str, *details: Any, message: str = "no") -> Refused:
    body = json.dumps(rpc(status, word, *details, message=message)).encode()
    error = alike(ask(), Response(body, status, JSON)).error
    assert isinstance(error, Refused)
    return error


def test_a_wrong_key() -> None:
    info = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}
    odd: Any = ("odd", {}, {"reason": 5}, {"reason": ""})
    error = refusal(400, "INVALID_ARGUMENT", *odd, info)
    assert type(error) is AuthenticationFailed
    assert error.code == "API_KEY_INVALID"


@pytest.mark.parametrize("wait", ["34.07s", "900ms"])
def test_how_long_to_wait(wait: str) -> None:
    retry = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": wait}
    assert refusal(429, "RESOURCE_EXHAUSTED", retry).retry_after == wait
    assert refusal(429, "RESOURCE_EXHAUSTED").retry_after is None
    said = "Quota exceeded. Please retry in 34.07s."
    assert refusal(429, "RESOURCE_EXHAUSTED", message=said).retry_after == "34.07s"


def test_a_quota_that_waiting_does_not_help() -> None:
    def quota(id: object) -> Any:
        return {"violations": [{"quotaId": id}, 5]}

    per_day = quota("GenerateRequestsPerDayPerProjectPerModel-FreeTier")
    assert refusal(429, "RESOURCE_EXHAUSTED", per_day).lasting
    assert refusal(429, "RESOURCE_EXHAUSTED", message="Quota exceeded, limit: 0, m").lasting
    assert refusal(402, "RESOURCE_EXHAUSTED").lasting
    for details in ((), (quota("PerMinute"),), (quota(1),), ({"violations": 1},)):
        assert not refusal(429, "RESOURCE_EXHAUSTED", *details).lasting


def test_errors_of_others() -> None:
    """Of gateways, that don't have all of it."""
    word = "RESOURCE_EXHAUSTED"
    bodies: Any = (
        ({"error": {"message": "no", "code": 429}}, Refused, "429", None),
        ({"error": {"message": "no", "status": word}}, RateLimited, None, word),
        ({"error": {"message": "no", "status": word, "code": "7"}}, RateLimited, None, word),
        ({"error": {"message": "no", "status": 5}}, Refused, None, None),
        ({"error": {"message": 5, "status": word}}, Refused, None, None),
        ({"error": "no"}, Refused, None, None),
        ([{"error": "no"}], Refused, None, None),
        ([], Refused, None, None),
    )
    for body, kind, code, type in bodies:
        error = alike(ask(), Response(json.dumps(body).encode(), 500, JSON)).refused_by(kind).error
        assert isinstance(error, Refused)
        assert (error.code, error.type, error.lasting) == (code, type, False)


# What is hostile


def test_very_many_parts() -> None:
    """They are read in linear time, and bounded if they are to be kept."""
    nothing = b"data: " + b'{"candidates":[{"content":{"parts":[%b{}]}}]}' % (b"{}," * 100_000)
    assert drive(ask(), nothing + b"\r\n\r\n" + OVER).succeeded().events == [STOP, END]
    many = b'data: {"candidates":[{"content":{"parts":[%b{}]}}]}\n\n' % (b'{"new":1},' * 70_000)
    outcome = drive(ask(), many).refused_by(LimitExceeded, "more than 65536")
    assert len(outcome.events) == 65535  # the candidate is one, too


def test_an_array_that_never_ends() -> None:
    element = json.dumps(FIRST).encode()
    endless = b"[" + b",".join([element] * 50)
    outcome = receive(endless, limits=Limits(response=2000))
    outcome.refused_by(LimitExceeded, "a body of more than 2000 bytes")
    outcome = receive(b'[{"candidates":"' + b"x" * 3000, limits=Limits(event=1000))
    outcome.refused_by(LimitExceeded, "an element of more than 1000 bytes")


def test_a_path_that_is_very_deep() -> None:
    begin, end = chunk(call("f", willContinue=True)), chunk({"functionCall": {}})
    for path in ("$" + ".a" * 10_000, "$" + "[0]" * 10_000, "$.a[999999999]", "$['" + "\\'" * 9999):
        found = said(begin, chunk(partial(piece(path, stringValue="a"))), end)
        assert any(isinstance(event, Unrecognized) for event in found)
