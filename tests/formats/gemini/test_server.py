"""Gemini, server half: what it writes, and the requests beside the chat."""

import json
from typing import Any

import pytest

from tests.driving import drive
from tests.formats.gemini.subject import SIGNED
from tests.formats.gemini.test_request import Sealer
from tokenwire.protocols.chat import Chat, as_chat
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
from tokenwire.protocols.reading import Asked
from tokenwire.protocols.registry import PROVIDERS
from tokenwire.protocols.service import Responder, Service, pair
from tokenwire.protocols.toolkit.http import Headers, Request
from tokenwire.testing import record
from tokenwire.testing.driving import Response

GEMINI = PROVIDERS["gemini"]
END = End("terminator")
STOP = Finish("STOP", "stop")
JSON: Headers = [(b"content-type", b"application/json")]
STREAM = "/v1beta/models/m:streamGenerateContent?alt=sse"
ARRAY = "/v1beta/models/m:streamGenerateContent"
WHOLE = "/v1beta/models/m:generateContent"
BODY: dict[str, Any] = {"contents": [{"parts": [{"text": "hi"}]}]}


def post(path: str = STREAM, headers: Headers = JSON, **fields: Any) -> Request:
    return Request("POST", f"https://x{path}", headers, json.dumps({**BODY, **fields}).encode())


def get(path: str, method: str = "GET", headers: Headers = []) -> Request:
    return Request(method, f"https://x{path}", headers)


def asked(path: str = STREAM, service: Service | None = None, **fields: Any) -> Responder:
    responder = (service or Service(GEMINI)).responder()
    assert responder.receive_request(post(path, **fields)) is not None
    return responder


def written(
    *events: Event, path: str = STREAM, service: Service | None = None, n: int = 1
) -> bytes:
    config = {} if n == 1 else {"generationConfig": {"candidateCount": n}}
    responder = asked(path, service, **config)
    return b"".join([*map(responder.send, events), responder.end()])


def stream(*events: Event, service: Service | None = None, n: int = 1) -> list[Any]:
    """The chunks that are written, without what each of them has."""
    found: list[Any] = []
    for unit in written(*events, service=service, n=n).split(b"\r\n\r\n")[:-1]:
        assert unit.startswith(b"data: ")
        assert len(unit.splitlines()) == 1
        value = json.loads(unit.removeprefix(b"data: "))
        assert value.pop("modelVersion") == "m"
        assert value.pop("responseId").startswith("resp_")
        found.append(value)
    return found


def parts(*events: Event, service: Service | None = None) -> list[Any]:
    """The parts that are written, but for the last."""
    chunks = [*stream(*events, END, service=service)]
    return [
        part
        for value in chunks[:-1]
        for candidate in value["candidates"]
        for part in candidate["content"]["parts"]
    ]


def whole(*events: Event, service: Service | None = None, n: int = 1) -> Any:
    return json.loads(written(*events, path=WHOLE, service=service, n=n))


def content(*said: Any, index: int = 0, **more: Any) -> Any:
    return {"content": {"parts": list(said), "role": "model"}, "index": index, **more}


# The stream


def test_a_stream() -> None:
    body = written(Start("r-7", "n"), Text("h\u20ac"), Usage(3, 2), STOP, END)
    about = {"modelVersion": "n", "responseId": "r-7"}
    usage = {"promptTokenCount": 3, "candidatesTokenCount": 2, "totalTokenCount": 5}
    last = content({"text": ""}, finishReason="STOP")
    values = [
        {"candidates": [content({"text": "h\u20ac"})], **about},
        {"candidates": [last], "usageMetadata": usage, **about},
    ]
    compact = (json.dumps(v, ensure_ascii=False, separators=(",", ":")) for v in values)
    assert body == b"".join(f"data: {text}\r\n\r\n".encode() for text in compact)


def test_an_array() -> None:
    """Its first element is sent before the answer is over."""
    responder = asked(ARRAY)
    headers = dict(responder.head()[1])
    assert headers[b"content-type"] == b"application/json; charset=UTF-8"
    assert responder.send(Start("r", "m")) == b""
    first = responder.send(Text("a"))
    assert json.loads(first + b"]")[0]["candidates"] == [content({"text": "a"})]
    second = responder.send(Text("b"))
    assert second.startswith(b"\n,\r\n{")
    rest = responder.send(STOP) + responder.send(END) + responder.end()
    assert rest.endswith(b"}\n]\n")
    assert len(json.loads(first + second + rest)) == 3


def test_the_head_of_a_stream() -> None:
    for path in (STREAM, ARRAY):
        status, headers = asked(path).head()
        assert status == 200
        assert (b"x-accel-buffering", b"no") in headers
    assert asked(WHOLE).head() == (200, JSON)
    for path in (STREAM, f"{ARRAY}?x=1&alt=sse"):
        assert dict(asked(path).head()[1])[b"content-type"] == b"text/event-stream; charset=utf-8"


def test_the_example_of_the_sdk() -> None:
    """It adds a version by itself."""
    example = GEMINI.dialect.sdk_example("http://x/v1beta", "m", "os.environ['K']")
    assert example.splitlines() == [
        "# the google-genai SDK, in Python",
        "import os",
        "from google import genai",
        "client = genai.Client(api_key=os.environ['K'], http_options={'base_url': 'http://x'})",
        "for chunk in client.models.generate_content_stream(model='m', contents=\"Hello\"):",
        '    print(chunk.text, end="")',
    ]
    assert "import os" not in GEMINI.dialect.sdk_example("http://x", "m", "'k'")


def test_texts() -> None:
    said = parts(Text("a"), Text(""), Refusal("no", part=1), Reasoning("so", 2), Reasoning("", 2))
    assert said == [{"text": "a"}, {"text": "no"}, {"text": "so", "thought": True}]


def test_each_answer_has_an_id() -> None:
    service = Service(GEMINI)
    bodies = [written(END, service=service) for _ in range(2)]
    assert bodies[0] != bodies[1]


def call(number: int, name: str, arguments: str = "{}", id: str = "", part: int = 0) -> list[Event]:
    return [
        ToolCallStart(number, id, name, part=part),
        ToolCallDelta(number, arguments),
        ToolCallEnd(number, id, name, arguments, True),
    ]


def test_calls() -> None:
    args = '{"a": 1.10, "b":12345678901234567890}'
    body = written(*call(0, "f", args, "c"), *call(1, "g"), END)
    assert f'{{"id":"c","name":"f","args":{args}}}'.encode() in body
    assert b'{"functionCall":{"name":"g","args":{}}}' in body
    end = ToolCallEnd(7, "", "h", "{}", True)
    assert parts(end) == [{"functionCall": {"name": "h", "args": {}}}]


@pytest.mark.parametrize(
    ("args", "told"),
    [
        ("", {}),
        (' {"a":\n1,\r\n"b": "\\n"}\n', {"a": 1, "b": "\n"}),
        ('{"a":\r1}', {"a": 1}),
    ],
)
def test_odd_arguments_of_calls(args: str, told: Any) -> None:
    """None, and such as are on several lines, which those of an event can't be."""
    events: list[Event] = [ToolCallStart(0, "c", "f"), ToolCallEnd(0, "c", "f", args, True)]
    expected = [{"functionCall": {"id": "c", "name": "f", "args": told}}]
    assert parts(*events) == whole_parts(*events) == expected


def test_what_is_no_call() -> None:
    with pytest.raises(LocalProtocolError, match="not complete"):
        written(ToolCallEnd(0, "c", "f", "[1]", True))
    # One that never ended is written neither way.
    assert whole_parts(ToolCallStart(0, "c", "f"), ToolCallDelta(0, "{}")) == []


def test_native_forms() -> None:
    """One of ours is written as it is, and nothing else of its part."""
    signed: Any = {"functionCall": {"name": "f", "args": {}}, "thoughtSignature": "c2ln"}
    picture = {"inlineData": {"mimeType": "image/png", "data": "iQ=="}, "new": 1}
    thought = {"text": "so", "thought": True, "thoughtSignature": "c2ln"}
    said: list[Event] = [
        Native("gemini", json.dumps(signed).encode(), 0),
        *call(0, "f"),
        Native("", json.dumps(picture).encode(), 1),
        Image(b"\x89", "image/png", part=1),
        Native("gemini", json.dumps(thought).encode(), 2),
        Reasoning("so", 2),
        Text("a", 3),
    ]
    assert parts(*said) == whole_parts(*said) == [signed, picture, thought, {"text": "a"}]
    called = ToolCallEnd(7, "", "h", "{}", True)  # its part is not known
    assert len(parts(*said, called)) == 5
    with pytest.raises(LocalProtocolError) as caught:
        asked().send(Native("gemini", b"[1]"))
    assert str(caught.value) == "a native form of gemini is a part: an object"
    with pytest.raises(LocalProtocolError):
        asked().send(Native("gemini", b"{"))


def test_native_forms_of_other_formats() -> None:
    """With a sealer, in the signature of their part, or of an empty text."""
    forms = [Native("anthropic", b"1", 0), Native("anthropic", b"2", 1)]
    begin, delta, end = call(0, "f", part=1)
    said: list[Event] = [Reasoning("so"), forms[0], begin, forms[1], delta, end]
    said.append(Native("anthropic", b"3", 2))
    plain = parts(*said)
    assert plain == [
        {"text": "so", "thought": True},
        {"functionCall": {"name": "f", "args": {}}},
    ]
    service = Service(GEMINI, sealer=Sealer())
    for found in (parts(*said, service=service), whole_parts(*said, service=service)):
        thought, sealed, called, alone = found
        assert thought == {"text": "so", "thought": True}
        for signed in (sealed, called, alone):
            del signed["thoughtSignature"]
        assert sealed == {"text": "", "thought": True}
        assert called == {"functionCall": {"name": "f", "args": {}}}
        assert alone == {"text": ""}


def test_native_forms_of_other_formats_come_back() -> None:
    native = Native("anthropic", b"1")
    service = Service(GEMINI, sealer=Sealer())
    [signed] = parts(native, service=service)
    contents: Any = [
        {"role": "user", "parts": [{"text": "a"}]},
        {"role": "model", "parts": [signed]},
    ]
    [part] = asked(service=service, contents=contents).chat.messages[1].parts
    assert part.native == native


def whole_parts(*events: Event, service: Service | None = None) -> list[Any]:
    found: list[Any] = whole(*events, END, service=service)["candidates"][0]["content"]["parts"]
    return found


def test_pictures_and_log_probabilities() -> None:
    tokens = [TokenLogProb("a", -0.5, [97], [TokenLogProb("b", -1.0)]), TokenLogProb("c", -2.0)]
    picture, *rest = stream(Image(b"\x89", "image/png"), LogProbs(tokens), LogProbs([]), END)
    blob = {"inlineData": {"mimeType": "image/png", "data": "iQ=="}}
    assert picture == {"candidates": [content(blob)]}
    nothing: list[Any] = []
    result = {
        "chosenCandidates": [
            {"token": "a", "logProbability": -0.5},
            {"token": "c", "logProbability": -2.0},
        ],
        "topCandidates": [
            {"candidates": [{"token": "b", "logProbability": -1.0}]},
            {"candidates": nothing},
        ],
    }
    assert rest[0] == {"candidates": [{"index": 0, "logprobsResult": result}]}
    assert len(rest) == 2


def test_the_last_chunk() -> None:
    source = Citation("https://a.test", "A")
    raw: Any = {"promptTokenCount": 3, "promptTokensDetails": []}
    said: list[Event] = [source, STOP, Usage(3, raw=raw), Text("b", index=1)]
    finish = Finish("MAX_TOKENS", "length", "so it is", index=1)
    *_, last = stream(*said, finish, END, n=3)
    chunks = {"groundingChunks": [{"web": {"uri": "https://a.test", "title": "A"}}]}
    assert last == {
        "candidates": [
            content({"text": ""}, finishReason="STOP", groundingMetadata=chunks),
            content({"text": ""}, index=1, finishReason="MAX_TOKENS", finishMessage="so it is"),
            content({"text": ""}, index=2, finishReason="STOP"),
        ],
        "usageMetadata": raw,
    }


@pytest.mark.parametrize(
    ("finish", "reason"),
    [
        (Finish("RECITATION", "content_filter"), "RECITATION"),
        (Finish("OTHER"), "OTHER"),
        (Finish("end_turn", "stop"), "STOP"),
        (Finish("tool_use", "tool_call"), "STOP"),
        (Finish("pause_turn", ""), "STOP"),
        (Finish("length", "length"), "MAX_TOKENS"),
        (Finish("refusal", "content_filter"), "SAFETY"),
        (Finish("abort", "error"), "MALFORMED_RESPONSE"),
    ],
)
def test_reasons(finish: Finish, reason: str) -> None:
    [last] = stream(finish, END)
    assert last["candidates"][0]["finishReason"] == reason


def test_usage() -> None:
    thought = Usage(10, 7, 17, 4, 2, 5, {"prompt_tokens": 10})
    [last] = stream(thought, END)
    assert last["usageMetadata"] == {
        "promptTokenCount": 10,
        "candidatesTokenCount": 2,
        "totalTokenCount": 17,
        "cachedContentTokenCount": 4,
        "thoughtsTokenCount": 5,
    }
    assert stream(Usage(), END)[0]["usageMetadata"] == {}
    assert stream(Usage(3), END)[0]["usageMetadata"] == {"promptTokenCount": 3}
    less = Usage(None, 3, reasoning_output_tokens=5)  # than there can be
    counts = {"candidatesTokenCount": 0, "thoughtsTokenCount": 5}
    assert stream(less, END)[0]["usageMetadata"] == counts


def test_unknown_events() -> None:
    body = written(Unrecognized(b'{"note":1}'), END)
    assert body.startswith(b'data: {"note":1}\n\ndata: ')


def test_what_is_signed_is_heard_as_it_was_said() -> None:
    for stream in (True, False):
        chat = as_chat("hi", model="m", stream=stream)
        [recorded] = record(GEMINI, chat, SIGNED)
        response = Response(recorded.body, recorded.status, recorded.headers)
        events = drive(GEMINI.exchange(chat), response).succeeded().events
        natives = [json.loads(e.raw) for e in events if isinstance(e, Native)]
        assert natives == [json.loads(e.raw) for e in SIGNED if isinstance(e, Native)]


# The whole answer


def test_a_whole_answer() -> None:
    signed = {"text": "a", "thoughtSignature": "c2ln"}
    tokens = [TokenLogProb("a", -0.5)]
    said: list[Event] = [
        *(Reasoning("so "), Reasoning("so"), Native("gemini", json.dumps(signed).encode(), 1)),
        *(Text("a", 1), Image(b"\x89", "image/png", part=2)),
        *(*call(0, "f", '{"a":1}', "c", 3), *call(1, "g", part=4)),
        *(LogProbs(tokens), Citation("https://a.test", "A"), Usage(3, 2), STOP, END),
    ]
    answer = whole(*said)
    [candidate] = answer["candidates"]
    assert candidate["content"]["parts"] == [
        {"text": "so so", "thought": True},
        signed,
        {"inlineData": {"mimeType": "image/png", "data": "iQ=="}},
        {"functionCall": {"id": "c", "name": "f", "args": {"a": 1}}},
        {"functionCall": {"name": "g", "args": {}}},
    ]
    assert candidate["finishReason"] == "STOP"
    assert candidate["logprobsResult"]["chosenCandidates"][0]["token"] == "a"
    assert candidate["groundingMetadata"]["groundingChunks"][0]["web"]["title"] == "A"
    assert answer["usageMetadata"]["totalTokenCount"] == 5
    assert (answer["modelVersion"], answer["responseId"]) == ("m", "resp_1")


def test_a_whole_answer_of_several_candidates() -> None:
    answer = whole(Text("b", index=1), STOP, END, n=2)
    assert answer["candidates"] == [
        content(finishReason="STOP"),
        content({"text": "b"}, index=1, finishReason="STOP"),
    ]
    signed: Any = {"text": "a", "thoughtSignature": "c2ln"}
    native = Native("gemini", json.dumps(signed).encode())
    said: list[Event] = [native, Text("a"), Text("b", index=1), END]
    for n in (1, 2, 3):  # what nobody asked for is written, and what nobody said is empty
        assert whole(*said, n=n)["candidates"] == [
            content(signed, finishReason="STOP"),
            content({"text": "b"}, index=1, finishReason="STOP"),
            *([content(index=2, finishReason="STOP")] if n == 3 else []),
        ]
        assert [each["index"] for each in stream(*said, n=n)[-1]["candidates"]] == [0, 1, 2][
            : max(n, 2)
        ]


def test_half_a_whole_answer_is_half_a_document() -> None:
    responder = asked(WHOLE)
    for event in (Text("a"), ToolCallStart(0, "", "f", part=1), ToolCallDelta(0, '{"a":')):
        responder.send(event)
    body = responder.end()
    assert not body.endswith(b"}}")
    value = json.loads(body + b"}")
    assert value["candidates"] == [content({"text": "a"})]


def test_half_a_whole_answer_has_only_the_calls_that_are_complete() -> None:
    """Calls of one function may have no id to tell them apart by."""
    responder = asked(WHOLE)
    half = call(0, "f", '{"a":2}')[:-1]
    for event in (*half, *call(1, "f", '{"a":1}', part=1)):
        responder.send(event)
    [candidate] = json.loads(responder.end() + b"}")["candidates"]
    assert candidate["content"]["parts"] == [{"functionCall": {"name": "f", "args": {"a": 1}}}]


@pytest.mark.parametrize("stream", [True, False])
def test_what_sources_support(stream: bool) -> None:
    """In bytes of the whole text; what is no place in it is left out."""
    said: list[Event] = [
        *(Reasoning("so"), Text("h\u20ac ", 1), Text("a", 1), Image(b"\x89", "image/png", part=2)),
        *(Text("\U0001f600b", 3), Refusal("no", 4)),
        *(Citation("u1", "A", start=1, end=3, part=1), Citation("u2"), Citation("u3", end=1)),
        *(Citation("u4", start=1, end=2, part=3), Citation("u5", start=0, end=2, part=4)),
        *(Citation("u6", start=0, end=9, part=3), Citation("u7", start=-1, end=1, part=3)),
        *(Citation("u8", start=0, end=1, part=9), Citation("u1", start=0, end=1, part=1)),
        *(Citation("u9", start=2, end=1, part=1), Citation("u9", start=1, end=1, part=1)),
        *(STOP, END),
    ]
    path = STREAM if stream else WHOLE
    body = written(*said, path=path).strip().rpartition(b"data: ")[2]
    metadata = json.loads(body)["candidates"][0]["groundingMetadata"]
    urls = [chunk["web"]["uri"] for chunk in metadata["groundingChunks"]]
    assert urls == ["u1", "u2", "u3", "u4", "u5", "u6", "u7", "u8", "u1", "u9", "u9"]
    supports = [
        *(
            (0, 1, 5, "\u20ac "),
            (3, 10, 11, "b"),
            (4, 11, 13, "no"),
            (8, 0, 1, "h"),
            (10, 1, 1, ""),
        ),
    ]
    assert metadata["groundingSupports"] == [
        {
            "segment": {"startIndex": start, "endIndex": end, "text": text},
            "groundingChunkIndices": [number],
        }
        for number, start, end, text in supports
    ]


@pytest.mark.parametrize("stream", [True, False])
def test_sources_make_the_round_trip(stream: bool) -> None:
    signed = {"text": "\u20ac!", "thoughtSignature": "c2ln"}
    said: list[Event] = [
        *(Text("h\u20ac"), Native("gemini", json.dumps(signed).encode(), 1), Text("\u20ac!", 1)),
        *(Citation("u1", "A", start=1, end=2), Citation("u1", "A", start=0, end=2)),
        *(Citation("u2", start=1, end=2, part=1), Citation("u3", "C"), STOP, END),
    ]
    chat = as_chat("hi", model="m", stream=stream)
    heard = list(pair(GEMINI.exchange(chat), Service(GEMINI), lambda chat: said))
    assert not [event for event in heard if isinstance(event, Unrecognized)]
    assert [event for event in heard if isinstance(event, Citation)] == said[3:7]


@pytest.mark.parametrize(
    "event",
    [
        ToolCallEnd(0, "c", "f", "{", False),
        ToolCallStart(0, "c", "f", custom=True),
        Unrecognized(b"1", "candidates[0].new"),
    ],
)
def test_what_it_cannot_say(event: Event) -> None:
    for path in (STREAM, ARRAY, WHOLE):
        with pytest.raises(LocalProtocolError, match="gemini can't say"):
            asked(path).send(event)


def test_an_array_has_no_unknown_events() -> None:
    with pytest.raises(LocalProtocolError, match="can't say Unrecognized"):
        asked(ARRAY).send(Unrecognized(b"{}"))


# Errors


ERRORS: dict[str, tuple[RemoteProtocolError | LocalProtocolError, int | None, int, str]] = {
    "key": (AuthenticationFailed("no"), None, 401, "UNAUTHENTICATED"),
    "permission": (AuthenticationFailed("no"), 403, 403, "PERMISSION_DENIED"),
    "bad": (BadRequest("no"), None, 400, "INVALID_ARGUMENT"),
    "not found": (BadRequest("no"), 404, 404, "NOT_FOUND"),
    "too many": (RateLimited("no"), None, 429, "RESOURCE_EXHAUSTED"),
    "used up": (RateLimited("no"), 402, 402, "RESOURCE_EXHAUSTED"),
    "overloaded": (Overloaded("no"), None, 503, "UNAVAILABLE"),
    "timeout": (Overloaded("no"), 504, 504, "DEADLINE_EXCEEDED"),
    "any": (Refused("no"), None, 500, "INTERNAL"),
    "ours": (LocalProtocolError("no"), None, 400, "INVALID_ARGUMENT"),
    "theirs": (Malformed("no"), None, 400, "INVALID_ARGUMENT"),
    "cut": (Truncated("no"), 200, 502, "INTERNAL"),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors(name: str) -> None:
    error, given, status, word = ERRORS[name]
    if isinstance(error, RemoteProtocolError):
        error.status = given
    responder = asked()
    body = responder.fail(error)
    assert json.loads(body) == {"error": {"code": status, "message": "no", "status": word}}
    assert responder.head()[0] == status
    assert body.startswith(b'{"error":{"code":'), "clients look at the first key"


def test_details_of_errors() -> None:
    error = RateLimited("no", code="quota_used")
    error.retry_after = "900ms"
    said = json.loads(asked().fail(error))["error"]
    rpc = "type.googleapis.com/google.rpc"
    assert said["details"] == [
        {"@type": f"{rpc}.ErrorInfo", "reason": "quota_used", "domain": "tokenwire"},
        {"@type": f"{rpc}.RetryInfo", "retryDelay": "0.9s"},
    ]
    for code, wait in (("429", "Sun, 06 Nov 1994 08:49:37 GMT"), (None, "soon"), (None, "1e999")):
        error = RateLimited("no", code=code)
        error.retry_after = wait
        assert "details" not in json.loads(asked().fail(error))["error"]


def test_an_error_amid_the_answer() -> None:
    responder = asked()
    responder.send(Text("a"))
    said = responder.fail_midway(Overloaded("no"))
    assert said.startswith(b'data: {"error":{"code":503')
    assert said.endswith(b"}}\r\n\r\n")
    responder = asked(ARRAY)
    first = responder.send(Text("a"))
    values = json.loads(first + responder.fail_midway(Overloaded("no")))
    assert values[1]["error"]["status"] == "UNAVAILABLE"


def test_a_blocked_prompt_is_an_answer() -> None:
    for path, kind, begin, end in (
        (STREAM, b"text/event-stream; charset=utf-8", b"data: ", b"\r\n\r\n"),
        (ARRAY, b"application/json; charset=UTF-8", b"[", b"\n]\n"),
        (WHOLE, b"application/json", b"", b""),
    ):
        responder = asked(path)
        body = responder.fail(ContentFiltered("no", code="JAILBREAK"))
        status, headers = responder.head()
        assert (status, dict(headers)[b"content-type"]) == (200, kind)
        said = json.loads(body.removeprefix(begin).removesuffix(end))
        feedback = {"blockReason": "JAILBREAK", "blockReasonMessage": "no"}
        assert said == {"promptFeedback": feedback}
        chat = as_chat("hi", model="m", stream=path != WHOLE)
        response = Response(body, *responder.head())
        drive(GEMINI.exchange(chat), response).refused_by(ContentFiltered, "no")
    body = asked().fail(ContentFiltered("no", code="content_filter"))
    assert b'"blockReason":"OTHER"' in body


def test_a_filtered_request_before_it_is_read() -> None:
    responder = Service(GEMINI).responder()
    assert json.loads(responder.fail(ContentFiltered("no")))["error"]["code"] == 400
    assert responder.head()[0] == 400


# Requests beside the chat


def answer_to(request: Request, **how: Any) -> tuple[int, Any]:
    responder = Service(GEMINI, **how).responder()
    try:
        assert responder.receive_request(request) is None
        body = responder.end()
    except RemoteProtocolError as error:
        body = responder.fail(error)
    return responder.head()[0], json.loads(body)


def test_counting_tokens() -> None:
    path = "/v1beta/models/m:countTokens"
    text = {"contents": [{"parts": [{"text": "x" * 100}]}]}
    for fields in (text, {"generate_content_request": {"model": "models/m", **text}}):
        request = Request("POST", f"https://x{path}", JSON, json.dumps(fields).encode())
        assert answer_to(request) == (200, {"totalTokens": 25})
    nothing = Request("POST", f"https://x{path}", JSON, b"{}")
    assert answer_to(nothing) == (200, {"totalTokens": 1})
    odd = Request("POST", f"https://x{path}", JSON, b'{"generateContentRequest":5,"tools":[1]}')
    assert answer_to(odd)[0] == 400


def test_models() -> None:
    status, listed = answer_to(get("/v1beta/models?pageSize=50"))
    assert status == 200
    assert [each["name"] for each in listed["models"]] == [f"models/{n}" for n in GEMINI.models]
    status, model = answer_to(get("/v1beta/models/gemini-2.5-flash"))
    assert model == {
        "name": "models/gemini-2.5-flash",
        "displayName": "gemini-2.5-flash",
        "inputTokenLimit": 1048576,
        "outputTokenLimit": 65536,
        "supportedGenerationMethods": ["generateContent", "countTokens"],
    }
    bare = GEMINI.replace(models=())
    responder = Service(bare).responder()
    assert responder.receive_request(get("/models")) is None
    assert json.loads(responder.end())["models"][0]["name"] == "models/any"


def test_what_is_not_there() -> None:
    for path in ("/v1beta/files", "/v1beta/models/m:embedContent"):
        status, said = answer_to(post(path))
        assert (status, said["error"]["status"]) == (404, "NOT_FOUND")
    for path in (STREAM, WHOLE, "/v1beta/models/m:countTokens"):
        responder = Service(GEMINI).responder()
        with pytest.raises(BadRequest, match="takes POST, not GET") as caught:
            responder.receive_request(get(path))
        responder.fail(caught.value)
        status, headers = responder.head()
        assert (status, dict(headers)[b"allow"]) == (405, b"POST")


@pytest.mark.parametrize(
    ("method", "call"),
    [("POST", "embedContent"), ("GET", "generateContent?x=1"), ("GET", "generateContent?x?y")],
)
def test_what_is_not_there_is_told_without_the_key(method: str, call: str) -> None:
    sign = "&" if "?" in call else "?"
    request = post(f"/v1beta/models/m:{call}{sign}key=secret")
    request = Request(method, request.url, request.headers, request.body)
    responder = Service(GEMINI, key="secret").responder()
    with pytest.raises(BadRequest, match="/v1beta/models/m") as caught:
        responder.receive_request(request)
    assert b"secret" not in responder.fail(caught.value)
    assert "secret" not in repr(caught.value)
    assert "?" not in caught.value.message


@pytest.mark.parametrize(
    ("path", "known"),
    [
        (STREAM, Asked("m", True)),
        (f"{ARRAY}/?x=1&alt=sse", Asked("m", True)),
        (f"{ARRAY}?x=?alt=sse", Asked("m", True, alike=False)),
        (ARRAY, Asked("m", True, alike=False)),
        (WHOLE, Asked("m", False)),
    ],
)
def test_what_a_relay_has_to_know(path: str, known: Asked) -> None:
    service, request = Service(GEMINI), post(path)
    assert service.responder().asked(request, service.route(request)[1]) == known
    with pytest.raises(BadRequest):
        service.responder().asked(Request("POST", request.url, JSON, b"["), {"model": "m"})


@pytest.mark.parametrize(
    "path",
    [
        "/models/m:generateContent",
        "/v1/models/m:generateContent",
        "/v1alpha/models/m:generateContent/",
        "/v1beta1/projects/p/locations/l/publishers/google/models/m:generateContent",
        "/v1/publishers/google/models/m:generateContent",
        "/v1beta/tunedModels/m:generateContent",
        "/v1/projects/p/locations/l/endpoints/m:generateContent",
    ],
)
def test_paths(path: str) -> None:
    for method in (path, path.replace("generate", "streamGenerate")):
        chat: Chat | None = Service(GEMINI).responder().receive_request(post(method))
        assert chat is not None
        assert (chat.model, chat.stream) == ("m", method != path)


@pytest.mark.parametrize("name", ["meta/llama:70b", "meta%2Fllama%3A70b"])
@pytest.mark.parametrize("colon", [":", "%3A"])
def test_the_path_of_a_model_with_slashes(name: str, colon: str) -> None:
    """Quirk 92."""
    path = f"/v1beta/models/{name}{colon}generateContent"
    chat = Service(GEMINI).responder().receive_request(post(path))
    assert chat is not None
    assert chat.model == "meta/llama:70b"


def test_keys() -> None:
    def status(path: str = "/v1beta/models", headers: Headers = []) -> int:
        return answer_to(get(path, headers=headers), key="sesame")[0]

    assert status(headers=[(b"x-goog-api-key", b"sesame")]) == 200
    assert status("/v1beta/models?key=sesame") == 200
    assert status(headers=[(b"authorization", b"Bearer sesame")]) == 200
    assert status() == 401
    assert status("/v1beta/models?key=wrong") == 401
    assert answer_to(get("/v1beta/models", headers=[(b"x-goog-api-key", b"")]))[0] == 200


def test_an_unknown_model() -> None:
    fixed = GEMINI.replace(any_model=False)
    responder = Service(fixed).responder()
    for request in (post(), get("/v1beta/models/m"), post("/v1beta/models/m:countTokens")):
        with pytest.raises(BadRequest, match="no model 'm'"):
            responder.receive_request(request)
