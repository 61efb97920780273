"""The server half of Mistral's chat completions: what it writes, byte for byte."""

import json
from typing import Any

import pytest

from tests.formats.mistral import understood
from tokenwire import (
    PROVIDERS,
    AuthenticationFailed,
    BadRequest,
    Citation,
    End,
    Event,
    Finish,
    Image,
    LocalProtocolError,
    LogProbs,
    Message,
    Native,
    Overloaded,
    Reasoning,
    Refusal,
    Reply,
    Start,
    Text,
    ToolCallDelta,
    ToolCallEnd,
    ToolCallStart,
    Unrecognized,
    Usage,
    as_chat,
)
from tokenwire.protocols.formats.mistral.request import nine
from tokenwire.protocols.service import Responder, Service, pair
from tokenwire.protocols.toolkit.http import Request
from tokenwire.testing import record

MISTRAL = PROVIDERS["mistral"]
SIGNED = {
    "type": "thinking",
    "thinking": [{"type": "text", "text": "hm"}],
    "closed": True,
    "signature": "s",
}
CALL = '{"a":1}'
COUNTS = {
    "prompt_tokens": 0,
    "completion_tokens": 0,
    "total_tokens": 0,
    "prompt_tokens_details": {"cached_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 0},
}
RAW = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
USAGE = Usage(1, 2, 3, raw=RAW)


def native(value: Any, part: int = 0) -> Native:
    return Native("mistral", json.dumps(value).encode(), part)


def responder(**options: Any) -> Responder:
    request = MISTRAL.exchange(as_chat("hi", model="m", **options)).next_request()
    assert request is not None
    found = Service(MISTRAL, now=lambda: 7).responder()
    found.receive_request(request)
    return found


def written(*events: Event, **options: Any) -> list[Any]:
    """The choices and the usage of each chunk."""
    found = responder(**options)
    body = b"".join(map(found.send, events)) + found.end()
    chunks = [line.removeprefix(b"data: ") for line in body.split(b"\n\n")[:-1]]
    assert chunks[-1] == b"[DONE]"
    said: list[Any] = []
    for chunk in map(json.loads, chunks[:-1]):
        assert (chunk["id"], chunk["object"]) == ("x", "chat.completion.chunk")
        assert (chunk["model"], chunk["created"]) == ("m", 7)
        for choice in chunk["choices"]:
            delta, reason = choice["delta"], choice["finish_reason"]
            delta.pop("role", None)
            said.append((choice["index"], delta or reason, chunk.get("usage")))
        if not chunk["choices"]:
            said.append(chunk["usage"])
    return said


START, STOP, END = Start("x", "m"), Finish("stop", "stop"), End("terminator")
BEGUN: tuple[int, dict[str, Any], None] = (0, {"content": ""}, None)


def part(text: str, **more: Any) -> dict[str, Any]:
    return {"type": "thinking", "thinking": [{"type": "text", "text": text}], **more}


def test_a_stream() -> None:
    said = written(START, Reasoning("h"), Reasoning("m"), Text("a", 1), USAGE, STOP, END)
    assert said == [
        BEGUN,
        (0, {"content": [part("h")]}, None),
        (0, {"content": [part("m", closed=True)]}, None),
        (0, {"content": "a"}, None),
        (0, "stop", RAW),
    ]


def test_the_usage_goes_along_with_the_last_reason() -> None:
    last = Finish("length", "length", index=1)
    for events in ((STOP, USAGE, last), (STOP, last, USAGE), (USAGE, STOP, last)):
        assert written(START, Text("a"), Text("b", index=1), *events, END)[-2:] == [
            (0, "stop", None),
            (1, "length", RAW),
        ]
    assert written(START, Text("a"), STOP, END)[-1] == (0, "stop", COUNTS)
    assert written(START, Text("a"), USAGE, END)[-1] == RAW
    asked = {"stream_options": {"include_usage": True}}  # which changes nothing
    assert written(START, Text("a"), STOP, USAGE, END, extra=asked)[-1] == (0, "stop", RAW)


def test_a_reason_is_written_before_the_next_event() -> None:
    found = responder()
    found.send(START)
    assert found.send(STOP) == b""
    assert found.send(USAGE) == b""
    first, second, _ = found.send(Text("a", index=1)).split(b"\n\n")
    assert b'"finish_reason":"stop"' in first
    assert b'"content":"a"' in second


def call(number: int = 0, arguments: str = CALL, id: str = "abc123456", **more: Any) -> Any:
    function = {"name": "f", "arguments": arguments}
    value = {"index": number, "id": id, "type": "function", "function": function, **more}
    return {"content": "", "tool_calls": [value]}


BEGINNING = (ToolCallStart(0, "abc123456", "f"), ToolCallDelta(0, '{"a"'), ToolCallDelta(0, ":1}"))
OVER = ToolCallEnd(0, "abc123456", "f", CALL, True)
CALLED = Finish("tool_calls", "tool_call")


def test_a_call_is_one_fragment() -> None:
    said = written(START, *BEGINNING, Text("a", 1), OVER, CALLED, END)
    assert said[1:3] == [(0, {"content": "a"}, None), (0, call(), None)]
    # One that did not end, before the reason of its choice, or at the end.
    assert written(START, *BEGINNING, CALLED, OVER, END)[1:] == [
        (0, call(), None),
        (0, "tool_calls", COUNTS),
    ]
    other = Finish("stop", "stop", index=1)
    assert written(START, *BEGINNING, other, OVER, END)[1:] == [
        (1, "stop", None),
        (0, call(), None),
        COUNTS,
    ]
    second = (ToolCallStart(1, "abc123456", "f"), ToolCallDelta(1, CALL))
    over = ToolCallEnd(1, "abc123456", "f", CALL, True)
    assert written(START, *second, other, over, END)[1:] == [
        (1, "stop", None),
        (0, call(1), None),
        COUNTS,
    ]
    assert written(START, *BEGINNING[:2], END)[1] == (0, call(arguments='{"a"'), None)
    beginless = written(START, ToolCallDelta(0, "{}"), END)[1][1]["tool_calls"][0]
    assert beginless["function"] == {"name": "", "arguments": "{}"}
    assert beginless["id"] == "000010000"
    elsewhere = (ToolCallStart(0, "abc123456", "f", index=1), ToolCallDelta(0, CALL, 1))
    assert written(START, *elsewhere, Finish("stop", "stop", index=1), END)[1] == (1, call(), None)


def test_calls_that_are_not_whole() -> None:
    half = ToolCallEnd(0, "abc123456", "f", '{"a"', False)
    assert written(START, BEGINNING[0], half, END)[1] == (0, call(arguments='{"a"'), None)
    nothing = ToolCallEnd(0, "abc123456", "f", "{}", False)
    cut = Finish("length", "length")
    assert written(START, BEGINNING[0], nothing, cut, END)[1] == (0, call(arguments=""), None)


def test_calls_that_did_not_end_precede_the_reason() -> None:
    ids = ("abc123456", "abc123457")
    calls = [ToolCallStart(n, id, "f", part=n) for n, id in enumerate(ids)]
    halves = [ToolCallDelta(n, "{") for n in range(2)]
    fragments = [call(n, "{", id) for n, id in enumerate(ids)]
    deltas = [delta for _, delta, _ in written(START, *calls, *halves, CALLED, END)[1:3]]
    assert deltas == fragments


def test_an_id_that_is_missing() -> None:
    start, end = ToolCallStart(3, "", "f"), ToolCallEnd(3, "", "f", CALL, True)
    assert written(START, start, end, END)[1] == (0, call(3, id="000010003"), None)
    start, end = ToolCallStart(100, "", "f"), ToolCallEnd(100, "", "f", CALL, True)
    assert written(START, start, end, END)[1] == (0, call(100, id="000100100"), None)
    chat = as_chat("hi", model="m", stream=False)
    body = json.loads(record(MISTRAL, chat, [START, start, end, END])[-1].body)
    assert body["choices"][0]["message"]["tool_calls"][0]["id"] == "000010000"


def test_an_id_of_another_kind_is_told_so_that_it_may_come_back() -> None:
    id = "toolu_01A09q90qw90lq917835lq9"
    start, end = ToolCallStart(0, id, "f"), ToolCallEnd(0, id, "f", CALL, True)
    assert written(START, start, end, END)[1] == (0, call(0, id=nine(id)), None)
    chat = as_chat("hi", model="m", stream=False)
    whole = json.loads(record(MISTRAL, chat, [START, start, end, END])[-1].body)
    message = whole["choices"][0]["message"]
    assert message["tool_calls"][0]["id"] == nine(id)
    result = {"role": "tool", "tool_call_id": nine(id), "content": "a result"}
    said = understood({"messages": [{"role": "user", "content": "hi"}, message, result]})
    assert said.messages[-1].tool_call_id == nine(id)


def test_native_forms() -> None:
    reference = {"type": "reference", "reference_ids": [0]}
    further = {"tool_calls": [{"id": "abc123456", "x": 1}]}
    said = written(
        *(START, Reasoning("h"), Reasoning("m"), native({"content": [SIGNED]})),
        *(native({"content": [reference]}, 1), native({"content": [SIGNED]}, 2)),
        *(ToolCallStart(0, "abc123456", "f", part=3), native(further, 3), OVER),
        *(
            Native("anthropic", b'{"type":"thinking"}', 4),
            native([7], 5),
            native({"tool_calls": []}, 6),
        ),
        *(native({"content": [7]}), END),
    )
    assert said[3:-1] == [
        (0, {"content": [{**SIGNED, "thinking": []}]}, None),
        (0, {"content": [reference]}, None),
        (0, {"content": [SIGNED]}, None),
        (0, call(x=1), None),
        (0, {"content": [7]}, None),
    ]


@pytest.mark.parametrize(
    "event",
    [
        Citation("https://a.test"),
        Image(b"x", "image/png"),
        LogProbs([]),
        Unrecognized(b"{}", "choices[0]"),
    ],
)
def test_what_can_not_be_said(event: Event) -> None:
    with pytest.raises(LocalProtocolError, match=f"mistral can't say {type(event).__name__}"):
        responder().send(event)


def test_a_refusal_is_text() -> None:
    assert written(START, Refusal("no"), END)[1] == (0, {"content": "no"}, None)


def test_a_reason_of_another_format() -> None:
    assert written(START, Finish("end_turn", "stop"), END)[-1] == (0, "stop", COUNTS)
    assert written(START, Finish("model_length", "length"), END)[-1] == (0, "model_length", COUNTS)


# Whole


def whole(*events: Event, **options: Any) -> Any:
    chat = as_chat("hi", model="m", stream=False, **options)
    return json.loads(record(MISTRAL, chat, list(events))[-1].body)


def test_a_whole_answer() -> None:
    reference = {"type": "reference", "reference_ids": [0]}
    further = {"tool_calls": [{"id": "abc123456", "x": 1}]}
    said = whole(
        *(START, Reasoning("hm"), native({"content": [SIGNED]}), Text("a", 1), Refusal("no", 2)),
        *(native({"content": [reference]}, 3), Reasoning("so", 4)),
        *(ToolCallStart(0, "abc123456", "f", part=5), OVER, native(further, 5)),
        *(Native("anthropic", b"{}", 6), native([7], 7), CALLED, USAGE, END),
    )
    called = call(x=1)["tool_calls"][0]
    del called["index"]
    assert said == {
        "id": "x",
        "created": 0,
        "model": "m",
        "object": "chat.completion",
        "choices": [
            {
                "index": 0,
                "message": {
                    "role": "assistant",
                    "content": [
                        SIGNED,
                        {"type": "text", "text": "a"},
                        {"type": "text", "text": "no"},
                        reference,
                        part("so", closed=True),
                    ],
                    "tool_calls": [called],
                },
                "finish_reason": "tool_calls",
            }
        ],
        "usage": RAW,
    }


def test_a_whole_answer_of_text() -> None:
    said = whole(START, Text("a"), Refusal("b", 1), END)
    assert said["usage"] == COUNTS
    message = {"role": "assistant", "content": "ab", "tool_calls": None}
    assert said["choices"] == [{"index": 0, "message": message, "finish_reason": "stop"}]
    nothing = whole(START, Finish("length", "length", index=1), END, n=2)["choices"]
    assert [(c["message"]["content"], c["finish_reason"]) for c in nothing] == [
        ("", "stop"),
        ("", "length"),
    ]
    reference = {"type": "reference", "reference_ids": [0]}
    (said,) = whole(START, Text("a"), native({"content": [reference]}, 1), END)["choices"]
    assert said["message"]["content"] == [{"type": "text", "text": "a"}, reference]
    odd: tuple[Event, ...] = (
        native({"tool_calls": [{"x": 1}]}),
        Text("a", 1),
        native({"tool_calls": 7}, 1),
    )
    (said,) = whole(START, *odd, END)["choices"]
    assert (said["message"]["content"], said["message"]["tool_calls"]) == ("a", None)
    odd = (ToolCallStart(0, "abc123456", "f"), OVER, native({"tool_calls": []}))
    (said,) = whole(START, *odd, END)["choices"]
    assert said["message"]["tool_calls"][0].keys() == {"id", "type", "function"}
    (half,) = whole(START, ToolCallStart(0, "abc123456", "f"), END)["choices"]
    assert half["message"]["tool_calls"][0]["function"]["arguments"] == ""
    found = responder(stream=False)
    found.send(Text("a"))
    assert b'"finish_reason":null' in found.end()


# Errors


def test_errors() -> None:
    found = responder()
    error = BadRequest("no", code="3051", type="invalid_request_invalid_args")
    assert json.loads(found.fail(error)) == {
        "object": "error",
        "message": "no",
        "type": "invalid_request_invalid_args",
        "param": None,
        "code": "3051",
        "raw_status_code": 400,
    }
    status, headers = found.head()
    assert (status, dict(headers)[b"mistral-correlation-id"]) == (400, b"req-1")
    found = responder()
    assert json.loads(found.fail(AuthenticationFailed("Invalid API Key"))) == {
        "detail": "Invalid API Key"
    }
    assert found.status == 401


def test_an_error_amid_a_stream() -> None:
    found = responder()
    for event in (START, *BEGINNING, Finish("stop", "stop", index=1)):
        found.send(event)
    first, second, last, rest = found.fail_midway(Overloaded("oh")).split(b"\n\n")
    assert b'"arguments":"{\\"a\\":1}"' in first
    assert b'"finish_reason":"stop"' in second
    assert json.loads(last.removeprefix(b"data: ")) == {
        "object": "error",
        "message": "oh",
        "type": "overloaded_error",
        "param": None,
        "code": None,
        "raw_status_code": 503,
    }
    assert rest == b""


def test_a_conversation_in_memory() -> None:
    """Thinking, text and calls, folded and asked again."""

    def answer(chat: Any) -> Any:
        if chat.messages[-1].role != "tool":
            yield from (START, Reasoning("hm"), native({"content": [SIGNED]}), Text("a", 1))
            yield from (*BEGINNING, OVER, CALLED, END)
            return
        thought, text, called = chat.messages[1].parts
        assert json.loads(thought.native.raw) == {"content": [SIGNED]}
        assert (text.text, called.id) == ("a", chat.messages[2].tool_call_id)
        yield from (Text("done"), STOP, END)

    chat, service = as_chat("hi", model="m"), Service(MISTRAL)
    reply = Reply.of(pair(MISTRAL.exchange(chat), service, answer))
    chat = chat.then(reply, reply.tool_calls[0].result("7"))
    assert Reply.of(pair(MISTRAL.exchange(chat), service, answer)).text == "done"


def test_what_the_format_declares() -> None:
    dialect = MISTRAL.dialect
    assert [endpoint.does for endpoint in dialect.endpoints] == ["chat", "models", "model"]
    assert dialect.sdk_example("http://x.test/v1", "m", "os.environ['K']").split("\n") == [
        "# the mistralai SDK, in Python",
        "import os",
        "from mistralai.client import Mistral",
        "client = Mistral(server_url='http://x.test', api_key=os.environ['K'])",
        "for event in client.chat.stream(model='m', "
        'messages=[{"role": "user", "content": "Hello"}]):',
        '    print(event.data.choices[0].delta.content or "", end="")',
    ]
    assert "import os" not in dialect.sdk_example("http://x.test", "m", "'k'")


def test_the_models() -> None:
    for path, names in (("/models", ["a", "b"]), ("/models/b", ["b"])):
        found = Service(MISTRAL.replace(models=("a", "b"))).responder()
        assert found.receive_request(Request("GET", f"https://x.test/v1{path}", [])) is None
        value = json.loads(found.end())
        models = value.get("data", [value])
        assert [model["id"] for model in models] == names
        for model in models:
            assert (model["type"], model["capabilities"]) == ("base", {"completion_chat": True})


# What it understands


def test_what_is_understood_in_mistrals_words() -> None:
    chat = understood({"random_seed": 7, "tool_choice": "any", "stream": True, "safe_prompt": True})
    assert (chat.seed, chat.tool_choice, chat.extra) == (7, "required", {"safe_prompt": True})
    assert understood({"stream_options": {"include_usage": True}}).extra == {}
    tool = {"type": "web_search"}
    odd: dict[str, Any] = {
        "type": "function",
        "function": {"name": "f", "parameters": {}, "new": 1},
    }
    chat = understood({"tools": [tool, odd, {"type": "function", "function": {"name": "g"}}]})
    assert [each.native and each.native.dialect for each in chat.tools] == [
        *("mistral", "mistral", None),
    ]
    assert [getattr(each, "name", "") for each in chat.tools] == ["", "f", "g"]
    assert [each.native and json.loads(each.native.raw) for each in chat.tools] == [tool, odd, None]
    plain = understood({"seed": 5, "tool_choice": "auto"})
    assert (plain.seed, plain.tool_choice) == (5, "auto")


@pytest.mark.parametrize(
    ("messages", "code"),
    [
        ([{"role": "assistant", "content": "So"}], "3230"),
        ([{"role": "assistant", "content": "So", "prefix": 1}], "3230"),
        ([{"role": "tool", "content": "7", "tool_call_id": "call_1"}], "3280"),
        (
            [
                {"role": "assistant", "tool_calls": [{"id": "toolu_1", "function": {"name": "f"}}]},
                {"role": "user", "content": "a"},
            ],
            "3280",
        ),
    ],
)
def test_what_a_real_service_refuses(messages: list[Any], code: str) -> None:
    hi = {"role": "user", "content": "hi"}
    with pytest.raises(BadRequest) as caught:
        understood({"messages": [hi, *messages]})
    types = {"3230": "invalid_request_message_order", "3280": "invalid_function_call"}
    words = {
        "3230": "Expected last role User or Tool (or Assistant with prefix True)",
        "3280": "Tool call id was {} but must be 9 letters or digits",
    }
    id = messages[0].get("tool_call_id") or "toolu_1"
    error = caught.value
    assert (error.status, error.code, error.type) == (400, code, types[code])
    assert error.message == words[code].format(id)


def test_a_long_id_is_shortened() -> None:
    result = {"role": "tool", "content": "7", "tool_call_id": "x" * 200}
    with pytest.raises(BadRequest, match=f"^Tool call id was {'x' * 100} but"):
        understood({"messages": [{"role": "user", "content": "hi"}, result]})


@pytest.mark.parametrize("messages", [7, [], [7], [{"role": "user", "content": [7]}], [{}]])
def test_messages_that_are_none(messages: Any) -> None:
    with pytest.raises(BadRequest) as caught:
        understood({"messages": messages})
    assert caught.value.status == 400


def test_a_beginning_is_understood() -> None:
    messages = [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": "So", "prefix": True},
    ]
    assert understood({"messages": messages}).messages == (
        Message("user", "hi"),
        Message("assistant", "So"),
    )
    before = {"role": "assistant", "content": "a", "prefix": True}
    messages.insert(1, before)
    assert understood({"messages": messages}).messages[1].extra == {"prefix": True}
