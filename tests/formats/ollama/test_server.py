"""Ollama's own format, server half: what it writes, and the requests beside the chat."""

import json
from typing import Any

import pytest

from tests.driving import drive
from tokenwire.protocols.chat import as_chat
from tokenwire.protocols.errors import (
    AuthenticationFailed,
    BadRequest,
    LocalProtocolError,
    Overloaded,
    RateLimited,
    Refused,
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
from tokenwire.protocols.service import Responder, Service
from tokenwire.protocols.toolkit.http import Headers, Request
from tokenwire.testing.driving import Response

OLLAMA = PROVIDERS["ollama"]
END = End("terminator")
FINISH = Finish("stop", "stop")
NOW = "1970-01-01T00:00:00.000000Z"
HI = [{"role": "user", "content": "hi"}]


def post(path: str = "/api/chat", headers: Headers = [], **fields: Any) -> Request:
    return Request("POST", f"http://x{path}", headers, json.dumps(fields).encode())


def get(path: str, method: str = "GET", headers: Headers = []) -> Request:
    return Request(method, f"http://x{path}", headers)


def asked(service: Service | None = None, **fields: Any) -> Responder:
    responder = (service or Service(OLLAMA)).responder()
    known: dict[str, Any] = {"model": "m", "messages": HI}
    assert responder.receive_request(post(**{**known, **fields})) is not None
    return responder


def completing(**fields: Any) -> Responder:
    responder = Service(OLLAMA).responder()
    request = post("/api/generate", model="m", prompt="hi", **fields)
    assert responder.receive_request(request) is not None
    return responder


def lines(responder: Responder, *events: Event) -> list[Any]:
    """The objects that are written, each a line, which `model` and a time have."""
    written = b"".join([*map(responder.send, events), responder.end()])
    assert written.endswith(b"\n")
    found = list(map(json.loads, written[:-1].split(b"\n")))
    return [plain(each) for each in found]


def plain(value: Any) -> Any:
    assert (value.pop("model"), value.pop("created_at")) == ("m", NOW)
    return value


def stream(*events: Event, **fields: Any) -> list[Any]:
    return lines(asked(**fields), *events)


def whole(*events: Event, **fields: Any) -> Any:
    responder = asked(**fields, stream=False)
    assert not b"".join(map(responder.send, events))
    return plain(json.loads(responder.end()))


def message(content: str = "", **more: Any) -> Any:
    return {"role": "assistant", "content": content, **more}


def over(reason: str = "stop", **more: Any) -> Any:
    return {"message": message(), "done": True, "done_reason": reason, **more}


# The stream


def test_a_stream() -> None:
    said: list[Event] = [
        Start("id", ""),
        Reasoning("t"),
        Text("h\u20ac"),
        Refusal("no"),
        Usage(3, 2),
        FINISH,
    ]
    assert stream(*said, END) == [
        {"message": message(thinking="t"), "done": False},
        {"message": message("h\u20ac"), "done": False},
        {"message": message("no"), "done": False},
        over(prompt_eval_count=3, eval_count=2),
    ]


def test_the_head() -> None:
    assert dict(asked().head()[1])[b"content-type"] == b"application/x-ndjson"
    assert dict(asked(stream=False).head()[1]) == {b"content-type": b"application/json"}


def test_the_model_and_the_time() -> None:
    responder = asked(Service(OLLAMA, now=lambda: 1_798_761_599.5))
    responder.send(Start("", "other"))
    line = json.loads(responder.send(Text("a")))
    assert (line["model"], line["created_at"]) == ("other", "2026-12-31T23:59:59.500000Z")
    assert json.loads(asked().send(Text("a")))["model"] == "m"
    assert asked().chat.model == "m"


def test_nothing_is_no_line() -> None:
    assert stream(Text(""), Reasoning(""), LogProbs([]), FINISH, END) == [over()]


def test_characters_that_clients_take_for_line_ends() -> None:
    written = asked().send(Text("a\x85b\u2028c\u2029d\n\r\x1c\x0b\U0001f600"))
    assert len(written.decode().splitlines()) == 1
    text = json.loads(written)["message"]["content"]
    assert text == "a\x85b\u2028c\u2029d\n\r\x1c\x0b\U0001f600"


def test_log_probabilities() -> None:
    tokens = [TokenLogProb("a", -0.5, [97], [TokenLogProb("b", -1)])]
    (line, _) = stream(LogProbs(tokens), END)
    assert line["message"] == message()
    said = line["logprobs"][0]["top_logprobs"][0]
    assert said == {"token": "b", "logprob": -1, "bytes": None, "top_logprobs": None}


def test_a_line_of_another_kind() -> None:
    responder = asked()
    assert responder.send(Unrecognized(b'{"status":"x"}')) == b'{"status":"x"}\n'
    for raw, place in ((b"a\nb", ""), (b"a\rb", ""), (b"", ""), (b"1", "message.x")):
        with pytest.raises(LocalProtocolError, match="Unrecognized"):
            responder.send(Unrecognized(raw, place))
    with pytest.raises(LocalProtocolError, match="Unrecognized"):
        asked(stream=False).send(Unrecognized(b"{}"))


# Calls


def call(number: int, name: str, *pieces: str, id: str = "") -> list[Event]:
    arguments = "".join(pieces) or "{}"
    deltas = [ToolCallDelta(number, piece) for piece in pieces]
    end = ToolCallEnd(number, id, name, arguments, True)
    return [ToolCallStart(number, id, name), *deltas, end]


def test_calls() -> None:
    """Whole, on a line of their own, numbered through the answer, each with an id."""
    says: list[Event] = [*call(0, "f", '{"a"', ":1}", id="c1"), Text("a"), *call(3, "g")]
    assert stream(*says, Finish("tool_calls", "tool_call"), END) == [
        {"message": message(tool_calls=[written("c1", 0, "f", {"a": 1})]), "done": False},
        {"message": message("a"), "done": False},
        {"message": message(tool_calls=[written("call_1_1", 1, "g", {})]), "done": False},
        over(),
    ]


def written(id: str, index: int, name: str, arguments: Any) -> Any:
    return {"id": id, "function": {"index": index, "name": name, "arguments": arguments}}


def test_ids_differ_from_answer_to_answer() -> None:
    service = Service(OLLAMA)
    ids: set[str] = set()
    for _ in range(2):
        responder = asked(service)
        line = b"".join(map(responder.send, call(0, "f")))
        ids.add(json.loads(line)["message"]["tool_calls"][0]["id"])
    assert ids == {"call_1_0", "call_2_0"}


def test_arguments_stay_as_they_are() -> None:
    raw = '{"b": 1.10, "a": 12345678901234567890}'
    assert raw.encode() in b"".join(map(asked().send, call(0, "f", raw)))
    broken = '{\r\n  "a": "\u2028"\n}'
    line = b"".join(map(asked().send, call(0, "f", broken)))
    assert line.count(b"\n") == 1
    assert b'{    "a": "\\u2028" }' in line


def test_a_call_of_which_only_the_end_is_told() -> None:
    for events in ([call(0, "f", '{"a":1}')[-1]], call(0, "f", '{"a":1}')[1:]):
        (line, _) = stream(*events, END)
        assert line["message"]["tool_calls"] == [written("call_1_0", 0, "f", {"a": 1})]


def test_calls_without_an_end() -> None:
    """The end of the answer is theirs."""
    piece = ToolCallDelta(0, '{"a":1}')
    nameless = written("call_1_0", 0, "", {"a": 1})
    assert stream(piece, END)[0]["message"] == message(tool_calls=[nameless])
    begun: list[Event] = [ToolCallStart(0, "c", "f"), ToolCallDelta(0, '{"a":1}')]
    says = [*begun, ToolCallStart(1, "d", "g")]
    found = [written("c", 0, "f", {"a": 1}), written("d", 1, "g", {})]
    first, second, last = stream(*says, FINISH, END)
    assert [first["message"], second["message"]] == [message(tool_calls=[c]) for c in found]
    assert last == over()
    assert whole(*says, FINISH, END)["message"] == message(tool_calls=found)


def test_half_a_call_is_never_written() -> None:
    """A client would run it."""
    half = ToolCallEnd(0, "c", "f", '{"a"', False)
    for how in (True, False):
        with pytest.raises(LocalProtocolError, match="can't say ToolCallEnd"):
            asked(stream=how).send(half)
    says: list[Event] = [ToolCallStart(0, "c", "f"), ToolCallDelta(0, '{"a"')]
    responder = asked()
    assert b"".join(map(responder.send, says)) == b""
    with pytest.raises(LocalProtocolError, match="the call 'f' is not complete"):
        responder.send(END)
    responder = asked(stream=False)
    for event in says:
        responder.send(event)
    assert json.loads(responder.end() + b"}")["message"] == message(), "no half an answer has it"
    responder.send(END)
    with pytest.raises(LocalProtocolError, match="the call 'f' is not complete"):
        responder.end()


@pytest.mark.parametrize(
    "event",
    [
        Image(b"", "image/png"),
        Citation("u"),
        Native("ollama", b"{}"),
        Text("a", index=1),
        ToolCallStart(0, "i", "f", custom=True),
    ],
)
def test_what_cannot_be_said(event: Event) -> None:
    with pytest.raises(LocalProtocolError, match="ollama can't say"):
        asked().send(event)


# The end


@pytest.mark.parametrize(
    ("finish", "reason"),
    [
        (None, "stop"),
        (Finish("length", "length"), "length"),
        (Finish("load", "stop"), "load"),
        (Finish("stop", "tool_call"), "stop"),
        (Finish("end_turn", "stop"), "stop"),
        (Finish("tool_use", "tool_call"), "stop"),
        (Finish("max_tokens", "length"), "length"),
        (Finish("refusal", "content_filter"), "refusal"),
        (Finish("new"), "new"),
        (Finish(""), "stop"),
    ],
)
def test_reasons(finish: Finish | None, reason: str) -> None:
    says: list[Event] = [] if finish is None else [finish]
    assert stream(Text("a"), *says, END)[-1]["done_reason"] == reason
    assert whole(Text("a"), *says, END)["done_reason"] == reason


def test_usage() -> None:
    raw = {"load_duration": 7, "eval_duration": "x", "prompt_eval_count": 99}
    usage = Usage(3, 2, 5, cache_read_input_tokens=0, raw=raw)
    counts: dict[str, Any] = {"load_duration": 7, "prompt_eval_count": 3}
    counts |= {"prompt_eval_cached_count": 0, "eval_count": 2}
    assert stream(Usage(1, 1), usage, END) == [over(**counts)]
    assert stream(Usage(None, 0), END) == [over(eval_count=0)]


def test_an_answer_that_is_not_streamed() -> None:
    says = [Reasoning("t"), Text("a"), *call(0, "f", '{"a":1}', id="c"), Refusal("b", part=3)]
    tokens = [TokenLogProb("a", -1)]
    said = whole(*says, LogProbs(tokens), LogProbs(tokens), Usage(3, 2), FINISH, END)
    assert len(said.pop("logprobs")) == 2
    assert said == {
        "message": message("ab", thinking="t", tool_calls=[written("c", 0, "f", {"a": 1})]),
        "done": True,
        "done_reason": "stop",
        "prompt_eval_count": 3,
        "eval_count": 2,
    }
    assert whole(END) == over()


def test_half_an_answer_is_none_at_the_other_end() -> None:
    for how in (True, False):
        responder = asked(stream=how)
        body = responder.send(Text("a")) + responder.end()
        exchange = OLLAMA.exchange(as_chat("hi", model="m", stream=how))
        outcome = drive(exchange, Response(body, *responder.head()))
        unfinished = "a line with done: true" if how else "inside its JSON document"
        outcome.refused_by(Truncated, unfinished)


# Completions


def test_a_completion() -> None:
    says: list[Event] = [Reasoning("t"), Text("a"), *call(0, "f", id="c"), FINISH, END]
    assert lines(completing(), *says) == [
        {"response": "", "thinking": "t", "done": False},
        {"response": "a", "done": False},
        {"response": "", "tool_calls": [written("c", 0, "f", {})], "done": False},
        {"response": "", "done": True, "done_reason": "stop"},
    ]
    responder = completing(stream=False)
    short: list[Event] = [Text("a"), END]
    for event in short:
        responder.send(event)
    said = plain(json.loads(responder.end()))
    assert said == {"response": "a", "done": True, "done_reason": "stop"}


@pytest.mark.parametrize(
    ("path", "fields", "said", "reason"),
    [
        ("/api/chat", {}, {"message": message()}, "load"),
        ("/api/chat", {"messages": []}, {"message": message()}, "load"),
        ("/api/chat", {"messages": [], "keep_alive": 0}, {"message": message()}, "unload"),
        ("/api/generate", {}, {"response": ""}, "load"),
        ("/v/api/generate/?x=/api/chat", {}, {"response": ""}, "load"),
        ("/api/generate", {"prompt": "", "keep_alive": "5m"}, {"response": ""}, "load"),
        ("/api/generate", {"system": "s", "keep_alive": "0s"}, {"response": ""}, "unload"),
        ("/api/generate", {"keep_alive": 0}, {"response": ""}, "unload"),
    ],
)
def test_a_model_is_loaded_by_a_request_without_a_question(
    path: str, fields: Any, said: Any, reason: str
) -> None:
    responder = Service(OLLAMA).responder()
    assert responder.receive_request(post(path, model="m", **fields)) is None
    assert responder.complete
    assert dict(responder.head()[1]) == {b"content-type": b"application/json; charset=utf-8"}
    assert plain(json.loads(responder.end())) == {**said, "done": True, "done_reason": reason}


# Errors


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (AuthenticationFailed("no"), 401),
        (RateLimited("no"), 429),
        (Overloaded("no"), 503),
        (BadRequest("no"), 400),
        (Refused("no"), 500),
        (LocalProtocolError("no"), 400),
    ],
)
def test_errors(error: Any, status: int) -> None:
    responder = asked()
    assert json.loads(responder.fail(error)) == {"error": "no"}
    assert responder.head()[0] == status
    assert asked().fail_midway(error) == b'{"error":"no"}\n'


def test_an_error_is_one_line() -> None:
    assert asked().fail_midway(Refused("a\nb\u2028")) == b'{"error":"a\\nb\\u2028"}\n'


def test_an_error_amid_the_answer_at_the_other_end() -> None:
    responder = asked()
    body = responder.send(Text("a")) + responder.fail_midway(Overloaded("server busy"))
    outcome = drive(OLLAMA.exchange(as_chat("hi", model="m")), Response(body, *responder.head()))
    outcome.refused_by(Overloaded, "server busy")
    assert outcome.reply.text == "a"


# What is beside the chat


def answered(request: Request, service: Service | None = None) -> Any:
    responder = (service or Service(OLLAMA)).responder()
    assert responder.receive_request(request) is None
    assert responder.head() == (200, [(b"content-type", b"application/json")])
    return json.loads(responder.end())


@pytest.mark.parametrize("path", ["/", "", "/health"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_it_is_running(path: str, method: str) -> None:
    """Which needs no key."""
    responder = Service(OLLAMA, key="sesame").responder()
    assert responder.receive_request(get(path, method)) is None
    assert dict(responder.head()[1]) == {b"content-type": b"text/plain; charset=utf-8"}
    assert responder.end() == b"Ollama is running"


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_the_version(method: str) -> None:
    version = answered(get("/api/version", method))["version"]
    assert all(part.isdecimal() for part in version.split("."))


def test_the_models() -> None:
    models = answered(get("/api/tags"))["models"]
    assert tuple(model["name"] for model in models) == OLLAMA.models
    one = Service(OLLAMA.replace(models=(), default_model="one"))
    (listed,) = answered(get("/api/tags"), one)["models"]
    digest, details, able = (listed.pop(key) for key in ("digest", "details", "capabilities"))
    assert listed == {"name": "one", "model": "one", "modified_at": NOW, "size": 0}
    assert len(bytes.fromhex(digest)) == 32
    assert digest != models[0]["digest"]
    assert details["families"] == []
    assert {"completion", "tools"} <= set(able)
    (running,) = answered(get("/api/ps"), Service(OLLAMA.replace(models=())))["models"]
    more = {key: running[key] for key in running.keys() - models[0].keys()}
    assert running["name"] == "any"
    assert more == {"expires_at": NOW, "size_vram": 0, "context_length": 0}


@pytest.mark.parametrize("name", ["model", "name"])
def test_one_model(name: str) -> None:
    fields: dict[str, Any] = {name: "m"}
    shown = answered(post("/api/show", **fields))
    assert {"completion", "tools"} <= set(shown.pop("capabilities"))
    assert shown.pop("details")["families"] == []
    empty: Any = {"modelfile": "", "parameters": "", "template": "", "model_info": {}}
    assert shown == {**empty, "modified_at": NOW}


@pytest.mark.parametrize(
    ("request_", "status", "words"),
    [
        (post("/api/show"), 400, "model is required"),
        (post("/api/show", model=7), 400, "model is required"),
        (post("/api/show", model="none"), 404, "ollama has no model 'none'"),
        (post("/api/chat", model="none", messages=HI), 404, "ollama has no model 'none'"),
        (post("/api/embed"), 404, "there is nothing at /api/embed"),
        (post("/api/me"), 404, "there is nothing at /api/me"),
        (get("/api/chat"), 405, "/api/chat takes POST, not GET"),
    ],
)
def test_what_is_refused(request_: Request, status: int, words: str) -> None:
    responder = Service(OLLAMA.replace(any_model=False)).responder()
    with pytest.raises(BadRequest) as caught:
        responder.receive_request(request_)
    assert json.loads(responder.fail(caught.value))["error"].startswith(words)
    assert responder.head()[0] == caught.value.status == status


def test_a_pull() -> None:
    responder = Service(OLLAMA).responder()
    assert responder.receive_request(post("/api/pull", model="m")) is None
    assert responder.head() == (200, [(b"content-type", b"application/x-ndjson")])
    assert responder.end() == b'{"status":"success"}\n'


@pytest.mark.parametrize(
    ("path", "fields", "known"),
    [
        ("/api/chat", {"stream": False}, Asked("m", False)),
        ("/api/chat/?x=/api/show?", {}, Asked("m", True)),
        ("/api/generate", {"stream": True}, Asked("m", True, alike=False)),
    ],
)
def test_what_a_relay_has_to_know(path: str, fields: Any, known: Asked) -> None:
    """Of a request whose body need not be labelled."""
    request = post(path, model="m", messages=7, **fields)
    assert Service(OLLAMA).responder().asked(request, {}) == known


def test_the_key() -> None:
    service = Service(OLLAMA, key="sesame")
    key: Headers = [(b"authorization", b"Bearer sesame")]
    assert answered(get("/api/tags", headers=key), service)["models"]
    for request in (get("/api/tags"), post(model="m", messages=HI)):
        with pytest.raises(AuthenticationFailed):
            service.responder().receive_request(request)


def test_an_example_for_the_sdk() -> None:
    example = OLLAMA.dialect.sdk_example("http://x", "m", "os.environ['K']")
    assert example.splitlines() == [
        "# the ollama client, in Python",
        "import os",
        "import ollama",
        "client = ollama.Client('http://x', "
        "headers={'authorization': 'Bearer ' + os.environ['K']})",
        "for part in client.chat('m', stream=True, "
        "messages=[{'role': 'user', 'content': 'Hello'}]):",
        '    print(part.message.content, end="")',
    ]
    assert "import os" not in OLLAMA.dialect.sdk_example("http://x", "m", "'k'")
