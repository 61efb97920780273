"""Chat completions, server half: requests, every event, whole answers, failures."""

import json
from typing import Any

import msgspec
import pytest

from tests.driving import Response, drive
from tokenwire.protocols.chat import (
    Chat,
    ImagePart,
    Message,
    Opaque,
    Part,
    ReasoningPart,
    TextPart,
    Tool,
    ToolCall,
    as_chat,
)
from tokenwire.protocols.errors import (
    AuthenticationFailed,
    BadRequest,
    LocalProtocolError,
    Overloaded,
    RateLimited,
    Refused,
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
from tokenwire.protocols.formats.openai_chat import OpenAIChat
from tokenwire.protocols.formats.openai_chat.server import further_of
from tokenwire.protocols.provider import Provider
from tokenwire.protocols.registry import PROVIDERS
from tokenwire.protocols.reply import Reply
from tokenwire.protocols.service import Responder, Service, pair
from tokenwire.protocols.toolkit.http import Request

END = End("terminator")
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


def test_what_else_a_choice_and_a_format_say() -> None:
    choice = {"type": "function", "function": {"name": "f", "new": 1}, "more": 2}
    schema = {"type": "object"}
    format_ = {"type": "json_schema", "json_schema": {"name": "n", "schema": schema}, "new": 3}
    tools = [{"type": "function", "function": {"name": "f"}}]
    chat = understood({"tools": tools, "tool_choice": choice, "response_format": format_})
    assert (chat.tool_choice, chat.schema) == ("f", schema)
    assert chat.extra == {
        "tool_choice": {"function": {"new": 1}, "more": 2},
        "response_format": {"new": 3},
    }


TOOL = {"type": "function", "function": {"name": "f"}}


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
            Message("assistant", (ToolCall("c1", "f", '{"x":1}'),)),
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


def test_every_option() -> None:
    said: dict[str, Any] = {
        "temperature": 0.5,
        "top_p": 0.9,
        "top_k": 5,
        "n": 2,
        "seed": 7,
        "presence_penalty": 0.25,
        "frequency_penalty": -0.25,
    }
    further = {"stop": ["a", "b"], "max_completion_tokens": 9, "reasoning_effort": "low"}
    chat = understood({**said, **further, "parallel_tool_calls": False, "max_tokens": 8})
    assert chat == as_chat(
        "hi",
        model="m",
        stream=False,
        stop=("a", "b"),
        max_tokens=9,
        effort="low",
        parallel=False,
        **said,
    )


def test_what_is_asked_of_the_stream_itself() -> None:
    """Whether usage is told is no part of the chat."""
    for options in ({}, {"include_obfuscation": False}):
        chat = understood({"stream_options": {"include_usage": True, **options}})
        assert chat.extra == ({"stream_options": options} if options else {})
    assert understood({"stream_options": 7}).extra == {"stream_options": 7}


@pytest.mark.parametrize(
    ("said", "logprobs"),
    [
        ({"logprobs": True, "top_logprobs": 3}, 3),
        ({"logprobs": True, "top_logprobs": 0}, 0),
        ({"logprobs": True}, 0),
        ({"logprobs": False, "top_logprobs": 3}, None),
        ({"top_logprobs": 3}, None),
    ],
)
def test_log_probabilities(said: dict[str, Any], logprobs: int | None) -> None:
    assert understood(said) == as_chat("hi", model="m", stream=False, logprobs=logprobs)


SCHEMA: dict[str, Any] = {"type": "object", "properties": {"x": {}}}
NAMED: dict[str, Any] = {"name": "answer", "schema": SCHEMA}

ODD_FORMATS: list[Any] = [
    {"type": "text"},
    {"type": "json_object", "new": 1},
    {"type": "json_schema", "json_schema": 5},
    {"type": "json_schema", "json_schema": {"name": "answer"}},
    {"type": "json_schema", "json_schema": {**NAMED, "schema": {}}},
    {"type": "json_schema", "json_schema": {**NAMED, "schema": [1]}},
    "json",
]
"""What a chat can't say is kept as it came."""


@pytest.mark.parametrize(
    ("said", "schema", "further"),
    [
        ({"type": "json_object"}, {}, None),
        ({"type": "json_schema", "json_schema": NAMED}, SCHEMA, None),
        (
            {"type": "json_schema", "json_schema": {**NAMED, "strict": True}},
            SCHEMA,
            {"json_schema": {"strict": True}},
        ),
        *((odd, None, odd) for odd in ODD_FORMATS),
    ],
)
def test_the_format_of_the_answer(said: Any, schema: Any, further: Any) -> None:
    extra = {} if further is None else {"response_format": further}
    expected = as_chat("hi", model="m", stream=False, schema=schema, extra=extra)
    assert understood({"response_format": said}) == expected


@pytest.mark.parametrize(
    ("said", "chosen"),
    [
        ("auto", "auto"),
        ({"type": "function", "function": {"name": "f"}}, "f"),
        ({"type": "custom", "custom": {"name": "f"}}, "f"),
        ({"type": "allowed_tools", "allowed_tools": {}}, None),
        ({"type": "function", "function": {"name": 5}}, None),
        (5, None),
    ],
)
def test_the_choice_of_a_tool(said: Any, chosen: str | None) -> None:
    chat = understood({"tools": [TOOL], "tool_choice": said})
    assert (chat.tool_choice, chat.extra) == (chosen, {} if chosen else {"tool_choice": said})


def test_what_is_tolerated() -> None:
    body = {"stop": "xy", "tools": [{"type": "function", "function": {"name": "f", "new": 1}}]}
    chat = understood({**body, "new": {"a": 1}})
    raw = b'{"type":"function","function":{"name":"f","new":1}}'
    tools = (Tool("f", native=Native("openai_chat", raw)),)
    assert (chat.stop, chat.tools, chat.extra) == (("xy",), tools, {"new": {"a": 1}})


def test_a_tool_of_another_type_is_in_its_own_words() -> None:
    tool = {"type": "custom", "custom": {"name": "sh"}}
    opaque, plain = understood({"tools": [tool, TOOL]}).tools
    assert opaque == Opaque(Native("openai_chat", msgspec.json.encode(tool)))
    assert plain == Tool("f")


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
        (post({**MINIMAL, "messages": [{"role": "user", "content": [{"text": "a"}]}]}),
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
    said, headers = responder.head()
    assert (said, headers[0]) == (status, (b"content-type", b"application/json"))
    assert headers[-1] == (b"x-request-id", b"req-1")
    assert ((b"www-authenticate", b"Bearer") in headers) is (status == 401)
    assert ((b"allow", b"POST") in headers) is (status == 405)
    exchange = PROVIDERS["openai"].exchange(as_chat("hi", model="m"))
    drive(exchange, Response(body, *responder.head())).refused_by(kind, caught.value.message)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"messages": []}, "messages: a list with at least one is needed"),
        ({"model": ""}, "model: it is missing"),
        ({"tools": {"f": TOOL}}, "tools: a list is needed"),
        ({"messages": "hi"}, "messages: a list with at least one is needed"),
        ({"tools": ["f"]}, "a tool of type str: give a Tool, or a mapping with type"),
        ({"tools": [TOOL] * 129}, "tools: 129 are more than 128"),
        ({"temperature": 2.1}, "temperature: 2.1 is not between 0 and 2"),
        ({"top_p": 1.1}, "top_p: 1.1 is not between 0 and 1"),
        ({"n": 0}, "n: 0 is not between 1 and 128"),
        ({"max_tokens": 10_000_001}, "max_tokens: 10000001 is not between 1 and 10000000"),
        (
            {"max_completion_tokens": 10_000_001},
            "max_completion_tokens: 10000001 is not between 1 and 10000000",
        ),
        (
            {"stream": "yes"},
            "the request is not as it should be: Expected `bool | null`, got `str` - at `$.stream`",
        ),
        (
            {"messages": [{"role": "user", "content": [{"text": "a"}]}]},
            "a part of type None: its type is text",
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


@pytest.mark.parametrize("most", [1, 10_000_000])
def test_the_newer_name_of_the_most_tokens(most: int) -> None:
    assert understood({"max_completion_tokens": most}).max_tokens == most


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
            "content": None,
            "tool_calls": [
                {"index": 2, "id": "c", "type": "function",
                 "function": {"name": "f", "arguments": ""}}
            ]
        },
    ),
    (
        ToolCallDelta(2, "{}", index=1),
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
        [
            (b"content-type", b"text/event-stream; charset=utf-8"),
            (b"cache-control", b"no-cache"),
            (b"x-accel-buffering", b"no"),
            (b"x-request-id", b"req-1"),
        ],
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


@pytest.mark.parametrize("usage", [True, False])
def test_text_that_goes_on_is_written_by_a_shorter_way(usage: bool) -> None:
    """The bytes are the same; what is said in between is minded."""
    server = responder(stream=True, stream_options={"include_usage": usage})
    server.send(Start("text", "text"))
    server.send(Text("d", index=1))
    for event in (*map(Text, 'ab"\n\u2028'), Text("c", 3), Text("d", index=1), Text("e")):
        assert server.send(event) == server.write(event)
    server.send(Start("y", "m-3"))
    assert payload(server.send(Text("f")))["id"] == "y"


def test_each_choice_has_its_role_once() -> None:
    server = responder(stream=True)
    said = [Text("a", index=1), Text("b"), Text("c"), Text("d", index=1), Text("e")]
    deltas = [payload(server.send(text))["choices"][0]["delta"] for text in said]
    assert [delta.get("role") for delta in deltas] == ["assistant", "assistant", None, None, None]
    assert [delta["content"] for delta in deltas] == list("abcde")


def test_an_answer_without_an_id_has_its_own() -> None:
    server = responder(stream=True)
    assert payload(server.send(Start("", "m-1")))["id"] == "chatcmpl-1"
    assert payload(server.send(Text("a")))["model"] == "m-1"


def test_finish() -> None:
    choice = payload(responder(stream=True).send(Finish("length", "length", index=1)))["choices"][0]
    assert (choice["index"], choice["finish_reason"]) == (1, "length")
    assert choice["delta"] == {"role": "assistant"}


@pytest.mark.parametrize("of", ["content", "refusal", "reasoning"])
def test_logprobs(of: Any) -> None:
    choice = payload(responder(stream=True).send(LogProbs(TOKENS, of, 1)))["choices"][0]
    assert choice["index"] == 1
    assert choice["logprobs"] == {of: json.loads(msgspec.json.encode(TOKENS))}


@pytest.mark.parametrize(
    ("citation", "said"),
    [
        (Citation("u", "t"), {"url": "u", "title": "t"}),
        (Citation("u", quote="q"), {"url": "u", "title": "", "content": "q"}),
        (
            Citation("u", "t", start=1, end=2),
            {"url": "u", "title": "t", "start_index": 1, "end_index": 2},
        ),
    ],
)
def test_citation(citation: Citation, said: dict[str, Any]) -> None:
    choice = payload(responder(stream=True).send(citation))["choices"][0]
    assert choice["index"] == 0
    note = {"type": "url_citation", "url_citation": said}
    assert choice["delta"]["annotations"] == [note]


@pytest.mark.parametrize(
    ("usage", "said"),
    [
        (Usage(raw={"total_tokens": 3, "cost": 0.5}), {"total_tokens": 3, "cost": 0.5}),
        (Usage(raw={"prompt_tokens": 3}), {"prompt_tokens": 3}),
        (Usage(raw={"completion_tokens": 3}), {"completion_tokens": 3}),
        (Usage(1, 2), {**USAGE, **NO_DETAILS}),
        (
            Usage(1, 2, 9, 4, 6, 5, {"input_tokens": 1, "total_tokens": 9}),  # of another format
            {
                **USAGE,
                "total_tokens": 9,
                "prompt_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 6},
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
    server = responder(stream=True, stream_options={"include_usage": True})
    assert payload(server.send(Text("a")))["usage"] is None
    assert server.send(usage) == b""
    assert payload(server.send(Finish("stop", "stop")))["usage"] is None
    last, done = server.send(END).split(b"\n\n", 1)
    chunk = payload(last + b"\n\n")
    assert (chunk["choices"], chunk["usage"], done) == ([], said, b"data: [DONE]\n\n")


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
    assert server.send(END) == b"data: [DONE]\n\n"


def test_of_several_usages_the_last_one_is_told() -> None:
    server = responder(stream=True, stream_options={"include_usage": True})
    assert server.send(Usage(raw={"total_tokens": 1})) == b""
    assert server.send(Usage(raw={"total_tokens": 2})) == b""
    last, _ = server.send(END).split(b"\n\n", 1)
    assert payload(last + b"\n\n")["usage"] == {"total_tokens": 2}


def test_usage_after_the_finish_reason_comes_before_the_end() -> None:
    server = responder(stream=True)
    server.send(Finish("stop", "stop"))
    assert server.send(Usage(input_tokens=1)) == b""
    end = server.send(END)
    assert b'"choices":[]' in end
    assert end.endswith(b"data: [DONE]\n\n")


def test_what_goes_out_as_it_came() -> None:
    server = responder(stream=True)
    assert server.send(Unrecognized(b'{"new": 1}')) == b'data: {"new": 1}\n\n'
    assert server.send(END) == b"data: [DONE]\n\n"
    assert server.send(ToolCallEnd(0, "c", "f", "{}", True)) == b""
    assert server.end() == b""


@pytest.mark.parametrize("event", [Image(b"PNG", "image/png"), Unrecognized(b"x", "somewhere")])
def test_what_it_cannot_say(event: Event) -> None:
    name = type(event).__name__
    words = f"^openai_chat can't say {name}: leave it out of the answer$"
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
    headers = [(b"content-type", b"application/json"), (b"x-request-id", b"req-1")]
    assert server.head() == (200, headers)
    assert all(server.send(event) == b"" for event in (*events, END))
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
    ) == {
        "id": "x",
        "created": 0,
        "model": "m-2",
        "object": "chat.completion",
        "service_tier": None,
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


def test_a_whole_answer_without_its_end_is_none() -> None:
    server = responder(stream=False)
    server.send(Text("a"))
    body = server.end()
    with pytest.raises(ValueError, match="Expecting"):
        json.loads(body)
    assert json.loads(body + b"}")["choices"][0]["finish_reason"] is None


def test_whole_answer_of_nothing() -> None:
    choice = {"logprobs": None, "finish_reason": "stop"}
    message = {"role": "assistant", "content": None, "refusal": None}
    assert whole() == {
        "id": "chatcmpl-1",
        "created": 0,
        "model": "m",
        "object": "chat.completion",
        "service_tier": None,
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
    (choice,) = whole(ToolCallStart(0, "c", "f"), end, Finish("length", "length"))["choices"]
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


# Ids, finish reasons, native forms


def test_ids_are_its_own_where_the_answer_has_none() -> None:
    service = Service(PROVIDERS["openai"])
    ids: list[str] = []
    for _ in range(2):
        server = service.responder()
        server.receive_request(post({**MINIMAL, "stream": True}))
        for index, number in ((0, 0), (0, 1), (1, 0)):
            chunk = payload(server.send(ToolCallStart(number, "", "f", index=index)))
            ids.append(chunk["choices"][0]["delta"]["tool_calls"][0]["id"])
        ids.append(chunk["id"])
    assert len(set(ids)) == len(ids)
    calls = whole(ToolCallStart(0, "", "f"), ToolCallEnd(0, "", "f", "{}", True))["choices"][0]
    assert calls["message"]["tool_calls"][0]["id"] == "call_1_0_0"


@pytest.mark.parametrize(
    ("finish", "reason"),
    [
        (Finish("length", "length"), "length"),
        (Finish("max_tokens", "length"), "length"),
        (Finish("tool_use", "tool_call"), "tool_calls"),
        (Finish("SAFETY", "content_filter"), "content_filter"),
        (Finish("end", "stop"), "stop"),
        (Finish("eos", "stop"), "eos"),
        (Finish("abort", "error"), "abort"),
        (Finish("MALFORMED", "error"), "MALFORMED"),
        (Finish("new_word", ""), "new_word"),
    ],
)
def test_finish_reasons_of_other_formats(finish: Finish, reason: str) -> None:
    chunk = payload(responder(stream=True).send(finish))
    assert chunk["choices"][0]["finish_reason"] == reason
    assert whole(finish)["choices"][0]["finish_reason"] == reason


CUSTOM: list[Event] = [
    ToolCallStart(0, "c", "sh", custom=True),
    ToolCallDelta(0, "ls {"),
    ToolCallEnd(0, "c", "sh", "ls {", True, custom=True),
]


def test_custom_calls() -> None:
    server = responder(stream=True)
    first, delta = (payload(server.send(event))["choices"][0]["delta"] for event in CUSTOM[:2])
    assert first["tool_calls"] == [
        {"index": 0, "id": "c", "type": "custom", "custom": {"name": "sh", "input": ""}}
    ]
    assert delta["tool_calls"] == [{"index": 0, "custom": {"input": "ls {"}}]
    (call,) = whole(*CUSTOM)["choices"][0]["message"]["tool_calls"]
    assert call == {"id": "c", "type": "custom", "custom": {"name": "sh", "input": "ls {"}}


def test_a_piece_of_a_call_that_did_not_begin() -> None:
    delta = payload(responder(stream=True).send(ToolCallDelta(3, "{")))["choices"][0]["delta"]
    assert delta["tool_calls"] == [{"index": 3, "function": {"arguments": "{"}}]


def own(value: Any, part: int = 0) -> Native:
    return Native("openai_chat", msgspec.json.encode(value), part)


DETAILS = {"reasoning_details": [{"type": "reasoning.text", "text": "hm", "signature": "s"}]}
MORE: Any = {"id": "c2", "type": "function", "function": {"name": "g", "arguments": "{}", "n": 1}}
SIGNED: list[Event] = [
    Start("x", "m"),
    Reasoning("hm"),
    Text("a", part=1),
    ToolCallStart(0, "c1", "f", part=2),
    ToolCallStart(1, "c2", "g", part=3),
    ToolCallDelta(0, "{}"),
    ToolCallDelta(1, "{}"),
    own(DETAILS),
    own({"tool_calls": [{**MORE, "extra": {"b": 2}}]}, part=3),
    ToolCallEnd(0, "c1", "f", "{}", True),
    ToolCallEnd(1, "c2", "g", "{}", True),
    Finish("tool_calls", "tool_call"),
    END,
]


@pytest.mark.parametrize("stream", [True, False])
def test_native_forms_of_its_own(stream: bool) -> None:
    """Both halves: what comes out is what went in."""
    exchange = PROVIDERS["openai"].exchange(as_chat("hi", model="m", stream=stream))
    got = list(pair(exchange, Service(PROVIDERS["openai"]), lambda chat: SIGNED))
    assert Reply.of(got).message() == Reply.of(SIGNED).message()
    assert [e for e in got if isinstance(e, Native)] == [e for e in SIGNED if isinstance(e, Native)]


@pytest.mark.parametrize(
    ("value", "delta"),
    [
        ({"tool_calls": 5, "audio": {}}, {"audio": {}}),
        ({"reasoning_opaque": "A"}, {"reasoning_opaque": "A"}),
    ],
)
def test_odd_native_forms(value: Any, delta: dict[str, Any]) -> None:
    chunk = payload(responder(stream=True).send(own(value)))
    assert chunk["choices"][0]["delta"] == {"role": "assistant", **delta}


def test_a_native_form_that_is_no_piece_of_a_message() -> None:
    values: list[Any] = [[1], {"tool_calls": [5]}, {"tool_calls": []}, {"tool_calls": 5}]
    for value in values:
        assert responder(stream=True).send(own(value)) == b""
    server = responder(stream=True)
    server.send(ToolCallStart(0, "c", "f"))
    for call in (5, {"function": {"name": "f"}, "id": "c"}):
        delta = payload(server.send(own({"tool_calls": [call]})))["choices"][0]["delta"]
        assert delta == {"tool_calls": [{"index": 0}]}
    odd: list[Any] = [[], 5, {"a": 1}]
    for calls in odd:
        assert server.send(own({"tool_calls": calls})) == b""


def test_the_further_keys_of_a_call() -> None:
    said = {"id": "c", "type": "function", "index": 0, "seal": {"name": "x"}, "odd": 3}
    function = {"name": "f", "arguments": "{}", "own": 1}
    assert further_of({**said, "function": function, "custom": {"input": "x", "own": 2}}) == {
        "seal": {"name": "x"},
        "odd": 3,
        "function": {"own": 1},
        "custom": {"own": 2},
    }
    assert further_of({**said, "function": {"name": "f"}, "custom": 5})["custom"] == 5


class Reversed:
    """A sealer that anybody can break."""

    def seal(self, native: Native) -> str:
        return msgspec.json.encode(native).decode()[::-1]

    def unseal(self, text: str) -> Native | None:
        try:
            return msgspec.json.decode(text[::-1], type=Native)
        except msgspec.DecodeError:
            return None


def test_native_forms_of_other_formats_are_sealed() -> None:
    foreign = [Native("anthropic", b'{"a": 1}'), Native("anthropic", b'{"b": 1}', part=1)]
    assert responder(stream=True).send(foreign[0]) == b""
    service = Service(PROVIDERS["openai"], sealer=Reversed())
    for stream in (True, False):
        server = service.responder()
        server.receive_request(post({**MINIMAL, "stream": stream}))
        sent = [*map(server.send, foreign), server.send(END), server.end()]
        if stream:
            messages = [payload(data)["choices"][0]["delta"] for data in sent[:2]]
        else:
            messages = [json.loads(sent[-1])["choices"][0]["message"]]
        details = [detail for m in messages for detail in m["reasoning_details"]]
        assert [(d["type"], d["format"], d["index"]) for d in details] == [
            ("reasoning.encrypted", "tokenwire-v1", 0),
            ("reasoning.encrypted", "tokenwire-v1", 1),
        ]
        asked = {"role": "assistant", "content": "a", "reasoning_details": details}
        chat = service.responder().receive_request(post({**MINIMAL, "messages": [asked]}))
        assert chat is not None
        assert chat.messages[0].parts == (
            *(Opaque(Native("anthropic", native.raw)) for native in foreign),
            TextPart("a"),
        )


def test_nothing_is_unsealed_without_a_sealer() -> None:
    details = [{"type": "reasoning.encrypted", "format": "tokenwire-v1", "data": "x"}]
    message = {"role": "assistant", "reasoning_details": details}
    (part,) = understood({"messages": [message]}).messages[0].parts
    assert part == ReasoningPart("", own({"reasoning_details": details}))


def test_what_is_not_sealed_stays() -> None:
    service = Service(PROVIDERS["openai"], sealer=Reversed())

    def parts_of(*details: Any, **more: Any) -> tuple[Part, ...]:
        message = {"role": "assistant", "reasoning_details": details, **more}
        chat = service.responder().receive_request(post({**MINIMAL, "messages": [message]}))
        assert chat is not None
        return chat.messages[0].parts

    plain = {"type": "reasoning.text", "text": "hm", "signature": "s"}
    ours = {"type": "reasoning.encrypted", "format": "tokenwire-v1", "data": "broken"}
    sealed = {**ours, "data": Reversed().seal(Native("anthropic", b"{}"))}
    opaque = Opaque(Native("anthropic", b"{}"))
    kept = ReasoningPart("hm", own({"reasoning_details": [plain]}))
    assert parts_of(plain) == (kept,)
    assert parts_of(plain, sealed) == (opaque, kept)
    assert parts_of(sealed, reasoning="hm") == (opaque, ReasoningPart("hm"))
    assert parts_of(ours, content="a") == (TextPart("a"),)
    picture = {"type": "image_url", "image_url": {"url": "https://x.test/a.png", "new": 1}}
    (part,) = parts_of(content=[picture])
    assert isinstance(part, ImagePart)
    assert parts_of(sealed, content=[picture, {"type": "text", "text": "a"}]) == (
        opaque,
        part,
        TextPart("a"),
    )
    assert parts_of(reasoning="hm") == (ReasoningPart("hm"),)
    chat = service.responder().receive_request(post(MINIMAL))
    assert chat is not None
    assert chat.messages[0].content == "hi"


# What stands beside the chat


def get(path: str, provider: Provider = PROVIDERS["openai"], key: str = "k") -> Any:
    headers = [(b"authorization", f"Bearer {key}".encode())]
    server = Service(provider, key="k").responder()
    request = Request("GET", f"http://x.test{path}", headers)
    assert server.receive_request(request) is None
    status, given = server.head()
    assert (status, given[0]) == (200, (b"content-type", b"application/json"))
    return json.loads(server.end())


def test_models() -> None:
    known = Provider(name="x", dialect=OpenAIChat(), base_url="http://x.test", models=("a", "b/c"))
    about = {"object": "model", "created": 0, "owned_by": "tokenwire"}
    models = [{"id": "a", **about}, {"id": "b/c", **about}]
    assert get("/v1/models", known) == {"object": "list", "data": models}
    assert get("/v1/models/a", known) == models[0]
    assert [model["id"] for model in get("/v1/models")["data"]] == ["any"]
    with pytest.raises(BadRequest, match="no model 'd'") as caught:
        get("/v1/models/d", known)
    assert caught.value.status == 404
    with pytest.raises(AuthenticationFailed):
        get("/v1/models", key="wrong")


AZURE = "/openai/deployments/gpt%2D4/chat/completions?api-version=2024-10-21"


@pytest.mark.parametrize(
    ("path", "body", "model"),
    [
        (AZURE, {"messages": MESSAGES}, "gpt-4"),
        (AZURE, MINIMAL, "m"),
        ("/openai/v1/chat/completions?api-version=preview", MINIMAL, "m"),
        ("/chat/completions/", MINIMAL, "m"),
    ],
)
def test_azure_has_the_model_in_its_path(path: str, body: dict[str, Any], model: str) -> None:
    chat = Service(PROVIDERS["openai"]).responder().receive_request(post(body, path=path))
    assert chat is not None
    assert chat.model == model


def test_azure_has_the_key_in_a_header_of_its_own() -> None:
    service = Service(PROVIDERS["openai"], key="k")
    for key in (b"k", b"wrong"):
        headers = [(b"content-type", b"application/json"), (b"api-key", key)]
        request = Request("POST", f"https://x.test{AZURE}", headers, json.dumps(MINIMAL).encode())
        if key == b"k":
            assert service.responder().receive_request(request) is not None
        else:
            with pytest.raises(AuthenticationFailed):
                service.responder().receive_request(request)


def test_an_answer_tells_when_it_was_made() -> None:
    times = iter((1_700_000_000.9, 1_700_000_001))
    service = Service(PROVIDERS["openai"], now=lambda: next(times))
    for number, created in enumerate((1_700_000_000, 1_700_000_001), 1):
        server = service.responder()
        server.receive_request(post(MINIMAL))
        server.send(End("terminator"))
        whole = json.loads(server.end())
        assert (whole["id"], whole["created"]) == (f"chatcmpl-{number}", created)


def test_health_needs_no_key() -> None:
    assert get("/health", key="wrong") == {"status": "ok"}


def test_a_refusal_tells_when_to_come_back() -> None:
    server = responder(stream=True)
    error = RateLimited("slower")
    error.retry_after = "7"
    server.fail(error)
    status, headers = server.head()
    assert status == 429
    assert dict(headers)[b"retry-after"] == b"7"
    assert b"cache-control" not in dict(headers)


def test_the_example_for_the_sdk() -> None:
    example = OpenAIChat().sdk_example("http://x/v1", "m", 'os.environ["KEY"]')
    assert example.splitlines() == [
        "# the openai SDK, in Python",
        "import os",
        "import openai",
        "client = openai.OpenAI(base_url='http://x/v1', api_key=os.environ[\"KEY\"])",
        "for chunk in client.chat.completions.create(model='m', "
        'messages=[{"role": "user", "content": "Hello"}], stream=True):',
        "    if chunk.choices:",
        '        print(chunk.choices[0].delta.content or "", end="")',
    ]
    compile(example, "example", "exec")
    assert "import os\n" not in OpenAIChat().sdk_example("http://x/v1", "m", "'k'")


def test_what_only_some_services_take() -> None:
    plain = PROVIDERS["openai"]
    takes = OpenAIChat.takes - plain.refuses
    assert {"cache", "schema"} <= takes
    assert plain.takes == takes - {"cache"}
    assert plain.replace(cache_marks=True).takes == takes
    assert plain.replace(cache_marks=True, schema="").takes == takes - {"schema"}
    assert plain.replace(schema="").takes == takes - {"cache", "schema"}
