"""The server's half of the `openai` dialect: requests, every event, whole answers, failures."""

import json
from typing import Any

import msgspec
import pytest

from tests.driving import Response, drive
from tokenwire.protocols.chat import Chat, ImagePart, Message, TextPart, Tool, ToolCall, as_chat
from tokenwire.protocols.errors import (
    AuthenticationFailed,
    BadRequest,
    LocalProtocolError,
    Overloaded,
    Refused,
)
from tokenwire.protocols.events import (
    Citation,
    End,
    Event,
    Finish,
    Image,
    LogProbs,
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
from tokenwire.protocols.formats.openai_chat import OpenAIChat
from tokenwire.protocols.provider import Provider
from tokenwire.protocols.registry import PROVIDERS
from tokenwire.protocols.service import Responder, Service
from tokenwire.protocols.toolkit.http import Request

MESSAGES = [{"role": "user", "content": "hi"}]
MINIMAL = {"model": "m", "messages": MESSAGES}


def post(body: Any, **more: Any) -> Request:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = [(b"content-type", more.get("content", b"application/json"))]
    headers += [(b"authorization", b"Bearer k")] * more.get("key", True)
    path = more.get("path", "/v1/chat/completions")
    return Request(more.get("method", "POST"), f"http://x.test{path}", headers, content)


def understood(body: dict[str, Any]) -> Chat:
    chat = (
        Service(PROVIDERS["openai"], key="k").responder().receive_request(post({**MINIMAL, **body}))
    )
    assert chat is not None
    return chat


# Requests


def test_minimal_request() -> None:
    """It is not streamed unless that is asked for (the API reference's default)."""
    assert understood({}) == as_chat("hi", model="m", stream=False)
    assert understood({"stream": None}) == as_chat("hi", model="m", stream=False)
    assert understood({"stream": True}) == as_chat("hi", model="m")


CHATS = [
    as_chat("hi", model="m"),
    as_chat("hi", model="m", stream=False, temperature=0.5, top_p=0.9, max_tokens=7, seed=3, n=2),
    as_chat("hi", model="m", stop=("a", "b"), extra={"user": "u", "response_format": {"a": [1]}}),
    Chat(
        model="m",
        messages=(
            Message("system", "be brief"),
            Message("developer", "", name="d"),
            Message("user", (TextPart("what is"), ImagePart("https://x.test/a.png"))),
            Message("assistant", "", tool_calls=(ToolCall("c1", "f", '{"x":1}'),)),
            Message("tool", "7", tool_call_id="c1"),
        ),
        tools=(Tool("f", "does f", {"type": "object", "properties": {"x": {}}}),),
        tool_choice="required",
    ),
    as_chat("hi", model="m", tools=(Tool("f", "", {"type": "object"}),), tool_choice="f"),
]


@pytest.mark.parametrize("chat", CHATS)
def test_the_server_understands_the_client(chat: Chat) -> None:
    request = PROVIDERS["openai"].exchange(chat, key="k").next_request()
    assert request is not None
    assert Service(PROVIDERS["openai"], key="k").responder().receive_request(request) == chat


def test_what_is_tolerated() -> None:
    body = {"stop": "xy", "tools": [{"type": "function", "function": {"name": "f", "new": 1}}]}
    chat = understood({**body, "new": {"a": 1}})
    assert (chat.stop, chat.tools, chat.extra) == (("xy",), (Tool("f"),), {"new": {"a": 1}})


@pytest.mark.parametrize(
    ("request_", "kind", "status"),
    [
        (post(MINIMAL, key=False), AuthenticationFailed, 401),
        (post(MINIMAL, path="/v1/completions"), BadRequest, 404),
        (post(MINIMAL, method="GET"), BadRequest, 405),
        (post(b" " * (64 * 1024 * 1024 + 1)), BadRequest, 413),
        (post(MINIMAL, content=b"text/plain"), BadRequest, 415),
        (post(b"{"), BadRequest, 400),
        (post([]), BadRequest, 400),
        (post({}), BadRequest, 400),
        (post({"model": "m"}), BadRequest, 400),
        (post({"messages": MESSAGES}), BadRequest, 400),
        (post({**MINIMAL, "messages": []}), BadRequest, 400),
        (post({**MINIMAL, "model": ""}), BadRequest, 400),
        (post({**MINIMAL, "messages": [{"role": "king", "content": "a"}]}), BadRequest, 400),
        (post({**MINIMAL, "messages": [{"role": "user", "content": [{"type": "audio"}]}]}),
         BadRequest, 400),
        (post({**MINIMAL, "stream": "yes"}), BadRequest, 400),
        (post({**MINIMAL, "temperature": 2.1}), BadRequest, 400),
        (post({**MINIMAL, "temperature": -0.1}), BadRequest, 400),
        (post({**MINIMAL, "top_p": 1.1}), BadRequest, 400),
        (post({**MINIMAL, "n": 0}), BadRequest, 400),
        (post({**MINIMAL, "n": 129}), BadRequest, 400),
        (post({**MINIMAL, "max_tokens": 0}), BadRequest, 400),
    ],
)  # fmt: skip
def test_what_is_refused(request_: Request, kind: type[Refused], status: int) -> None:
    responder = Service(PROVIDERS["openai"], key="k").responder()
    with pytest.raises(kind) as caught:
        responder.receive_request(request_)
    assert caught.value.status == status
    body = responder.fail(caught.value)
    assert responder.head() == (status, [(b"content-type", b"application/json")])
    exchange = PROVIDERS["openai"].exchange(as_chat("hi", model="m"))
    drive(exchange, Response(body, *responder.head())).refused_by(kind, caught.value.message)


TOOL = {"type": "function", "function": {"name": "f"}}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"messages": []}, "messages: at least one is needed"),
        ({"model": ""}, "model: it is missing"),
        ({"tools": [TOOL] * 129}, "tools: 129 are more than 128"),
        ({"temperature": 2.1}, "temperature: 2.1 is not between 0 and 2"),
        ({"top_p": 1.1}, "top_p: 1.1 is not between 0 and 1"),
        ({"n": 0}, "n: 0 is not between 1 and 128"),
        ({"max_tokens": 10_000_001}, "max_tokens: 10000001 is not between 1 and 10000000"),
        (
            {"stream": "yes"},
            "the request is not as it should be: Expected `bool | null`, got `str` - at `$.stream`",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "audio"}]}]},
            "a part of type 'audio': give text or image_url",
        ),
    ],
)
def test_why_it_is_refused(body: dict[str, Any], message: str) -> None:
    with pytest.raises(BadRequest) as caught:
        understood(body)
    assert (caught.value.status, caught.value.message) == (400, message)


@pytest.mark.parametrize(
    "body",
    [
        *({"temperature": value} for value in (0, 2)),
        *({"top_p": value} for value in (0, 1)),
        *({"n": value} for value in (1, 128)),
        *({"max_tokens": value} for value in (1, 10_000_000)),
        {"tools": [TOOL] * 128},
    ],
)
def test_what_is_just_allowed(body: dict[str, Any]) -> None:
    ((name, value),) = body.items()
    got = getattr(understood(body), name)
    assert len(got) == 128 if name == "tools" else got == value


def test_unknown_model() -> None:
    known = Provider(name="x", dialect=OpenAIChat(), base_url="http://x.test", models=("a",))
    with pytest.raises(BadRequest, match="no model 'm'") as caught:
        Service(known).responder().receive_request(post(MINIMAL))
    assert caught.value.status == 404


# Streams


def responder(stream: bool, **body: Any) -> Responder:
    responder = Service(PROVIDERS["openai"]).responder()
    responder.receive_request(post({**MINIMAL, "stream": stream, **body}))
    return responder


TOKENS = [TokenLogProb("a", -0.5, [97], [TokenLogProb("b", -1.5, None, None)])]
USAGE = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
NO_DETAILS: dict[str, Any] = {
    "prompt_tokens_details": {"cached_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 0},
}
SAID: list[tuple[Event, dict[str, Any]]] = [
    (Text("a", index=1), {"content": "a"}),
    (Reasoning("a", index=1), {"reasoning_content": "a"}),
    (Refusal("a", index=1), {"refusal": "a"}),
    (
        ToolCallStart(2, "c", "f", index=1),
        {
            "tool_calls": [
                {"index": 2, "id": "c", "type": "function",
                 "function": {"name": "f", "arguments": ""}}
            ]
        },
    ),
    (
        ToolCallDelta(2, "{}", 1),
        {"tool_calls": [{"index": 2, "function": {"arguments": "{}"}}]},
    ),
]  # fmt: skip


def payload(data: bytes) -> Any:
    assert data.startswith(b"data: ")
    assert data.endswith(b"\n\n")
    assert data.count(b"\n") == 2
    return json.loads(data[6:])


def test_a_responder_that_was_not_asked() -> None:
    server = Service(PROVIDERS["openai"]).responder()
    choice = payload(server.send(Text("a")))["choices"][0]
    assert choice["delta"] == {"role": "assistant", "content": "a"}
    assert server.send(Usage(input_tokens=1)) == b""


def test_head_of_a_stream() -> None:
    assert responder(stream=True).head() == (
        200,
        [(b"content-type", b"text/event-stream; charset=utf-8")],
    )


@pytest.mark.parametrize(("event", "delta"), SAID)
def test_events_of_a_delta(event: Event, delta: dict[str, Any]) -> None:
    server = responder(stream=True)
    for role in ({"role": "assistant"}, {}):  # said once a choice
        choice = {"index": 1, "delta": {**role, **delta}, "logprobs": None, "finish_reason": None}
        assert payload(server.send(event)) == {
            "id": "chatcmpl-1",
            "created": 0,
            "model": "m",
            "object": "chat.completion.chunk",
            "choices": [choice],
        }


def test_start_is_the_role_with_id_and_model() -> None:
    server = responder(stream=True)
    chunk = payload(server.send(Start("x", "m-2")))
    assert (chunk["id"], chunk["model"]) == ("x", "m-2")
    assert chunk["choices"][0]["index"] == 0
    assert chunk["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    chunk = payload(server.send(Text("a")))
    assert (chunk["id"], chunk["model"]) == ("x", "m-2")
    assert chunk["choices"][0]["delta"] == {"content": "a"}


def test_finish() -> None:
    choice = payload(responder(stream=True).send(Finish("length", "length", index=1)))["choices"][0]
    assert (choice["index"], choice["finish_reason"]) == (1, "length")
    assert choice["delta"] == {"role": "assistant"}


@pytest.mark.parametrize("of", ["content", "refusal", "reasoning"])
def test_logprobs(of: Any) -> None:
    choice = payload(responder(stream=True).send(LogProbs(TOKENS, of, 1)))["choices"][0]
    assert choice["index"] == 1
    assert choice["logprobs"] == {of: json.loads(msgspec.json.encode(TOKENS))}


def test_citation() -> None:
    choice = payload(responder(stream=True).send(Citation("u", "t")))["choices"][0]
    assert choice["index"] == 0
    note = {"type": "url_citation", "url_citation": {"url": "u", "title": "t"}}
    assert choice["delta"]["annotations"] == [note]


@pytest.mark.parametrize(
    ("usage", "said"),
    [
        (Usage(raw={"total_tokens": 3, "cost": 0.5}), {"total_tokens": 3, "cost": 0.5}),
        (Usage(1, 2), {**USAGE, **NO_DETAILS}),
        (
            Usage(1, 2, 9, 4, 5),
            {
                **USAGE,
                "total_tokens": 9,
                "prompt_tokens_details": {"cached_tokens": 4},
                "completion_tokens_details": {"reasoning_tokens": 5},
            },
        ),
        (
            Usage(),
            {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0, **NO_DETAILS},
        ),
    ],
)
def test_usage(usage: Usage, said: dict[str, Any]) -> None:
    options = {"include_usage": True}
    chunk = payload(responder(stream=True, stream_options=options).send(usage))
    assert (chunk["choices"], chunk["usage"]) == ([], said)


@pytest.mark.parametrize("options", [None, {}, {"include_usage": False}, "yes"])
def test_usage_that_nobody_asked_for_goes_with_a_finish_reason(options: object) -> None:
    """Clients stumble over a chunk without choices that they did not ask for."""
    server = responder(stream=True, stream_options=options)
    assert server.send(Usage(input_tokens=1)) == b""
    first = payload(server.send(Usage(input_tokens=2)))
    assert (first["choices"], first["usage"]["prompt_tokens"]) == ([], 1)
    assert "usage" not in payload(server.send(Text("a")))
    finish = payload(server.send(Finish("stop", "stop")))
    assert finish["choices"][0]["finish_reason"] == "stop"
    assert finish["usage"]["prompt_tokens"] == 2
    assert "usage" not in payload(server.send(Finish("stop", "stop", index=1)))
    assert server.send(End("terminator")) == b"data: [DONE]\n\n"


def test_usage_behind_the_finish_reason_comes_before_the_end() -> None:
    server = responder(stream=True)
    server.send(Finish("stop", "stop"))
    assert server.send(Usage(input_tokens=1)) == b""
    end = server.send(End("terminator"))
    assert b'"choices":[]' in end
    assert end.endswith(b"data: [DONE]\n\n")


def test_what_goes_out_as_it_came() -> None:
    server = responder(stream=True)
    assert server.send(Unrecognized(b'{"new": 1}')) == b'data: {"new": 1}\n\n'
    assert server.send(End("terminator")) == b"data: [DONE]\n\n"
    assert server.send(ToolCallEnd(0, "c", "f", "{}", True)) == b""
    assert server.end() == b""


@pytest.mark.parametrize("event", [Image(b"PNG", "image/png"), Unrecognized(b"x", "somewhere")])
def test_what_it_cannot_say(event: Event) -> None:
    name = type(event).__name__
    words = f"^chat completions can't say {name}: leave it out of the answer$"
    with pytest.raises(LocalProtocolError, match=words):
        responder(stream=True).send(event)


def test_failure_midway() -> None:
    server = responder(stream=True)
    body = server.send(Text("a")) + server.fail_midway(Overloaded("m1", code="busy"))
    assert body.endswith(
        b'data: {"error":{"message":"m1","type":"overloaded_error","param":null,"code":"busy"}}\n\n'
    )


# Whole answers


def whole(*events: Event, **body: Any) -> Any:
    server = responder(stream=False, **body)
    assert server.head() == (200, [(b"content-type", b"application/json")])
    assert all(server.send(event) == b"" for event in events)
    return json.loads(server.end())


def test_whole_answer() -> None:
    assert whole(
        Start("x", "m-2"),
        Reasoning("hm"),
        Text("a"),
        Text("b"),
        ToolCallStart(0, "c", "f"),
        ToolCallDelta(0, ""),
        ToolCallEnd(0, "c", "f", "{}", True),
        Citation("u", "t"),
        LogProbs(TOKENS),
        LogProbs(TOKENS),
        Usage(raw={"total_tokens": 3}),
        Finish("tool_calls", "tool_call"),
        End("terminator"),
    ) == {
        "id": "x",
        "created": 0,
        "model": "m-2",
        "object": "chat.completion",
        "choices": [
            {
                "index": 0,
                "message": {
                    "role": "assistant",
                    "content": "ab",
                    "refusal": None,
                    "reasoning_content": "hm",
                    "tool_calls": [
                        {
                            "id": "c",
                            "type": "function",
                            "function": {"name": "f", "arguments": "{}"},
                        }
                    ],
                    "annotations": [
                        {"type": "url_citation", "url_citation": {"url": "u", "title": "t"}}
                    ],
                },
                "logprobs": {"content": json.loads(msgspec.json.encode(TOKENS * 2))},
                "finish_reason": "tool_calls",
            }
        ],
        "usage": {"total_tokens": 3},
    }


def test_whole_answer_of_nothing() -> None:
    choice = {"logprobs": None, "finish_reason": "stop"}
    message = {"role": "assistant", "content": None, "refusal": None}
    assert whole() == {
        "id": "chatcmpl-1",
        "created": 0,
        "model": "m",
        "object": "chat.completion",
        "choices": [{"index": 0, "message": message, **choice}],
    }


@pytest.mark.parametrize(
    ("end", "arguments"),
    [
        (ToolCallEnd(0, "c", "f", "{}", True), "{}"),
        (ToolCallEnd(0, "c", "f", "{}", False), ""),
        (ToolCallEnd(0, "c", "f", '{"a"', False), '{"a"'),
    ],
)
def test_arguments_of_a_whole_answer(end: Event, arguments: str) -> None:
    (choice,) = whole(ToolCallStart(0, "c", "f"), end)["choices"]
    assert choice["message"]["tool_calls"][0]["function"]["arguments"] == arguments


def test_whole_answer_in_choices() -> None:
    choices = whole(
        Refusal("no", index=1), Finish("length", "length", index=1), Text("a", index=0), n=3
    )["choices"]
    said = [(c["index"], c["message"]["content"], c["message"]["refusal"]) for c in choices]
    assert said == [(0, "a", None), (1, None, "no"), (2, None, None)]
    assert [c["finish_reason"] for c in choices] == ["stop", "length", "stop"]


def test_citations_belong_to_the_first_choice() -> None:
    choices = whole(Text("a", index=0), Text("b", index=1), Citation("u"), n=2)["choices"]
    assert ["annotations" in choice["message"] for choice in choices] == [True, False]


@pytest.mark.parametrize(
    "event", [Image(b"PNG", "image/png"), Unrecognized(b"x"), Unrecognized(b"x", "somewhere")]
)
def test_what_a_whole_answer_cannot_say(event: Event) -> None:
    with pytest.raises(LocalProtocolError, match=f"can't say {type(event).__name__}"):
        responder(stream=False).send(event)
