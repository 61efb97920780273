"""OpenAI Responses, server half: what it writes, and the requests beside the chat."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.driving import drive
from tests.formats.openai_responses.subject import SIGNED
from tests.formats.openai_responses.test_request import Sealing
from tokenwire.protocols.chat import as_chat
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
from tokenwire.protocols.service import Responder, Service
from tokenwire.protocols.toolkit.http import Headers, Request
from tokenwire.testing.driving import Response

RESPONSES = PROVIDERS["openai-responses"]
DIALECT = "openai_responses"
END = End("terminator")
FINISH = Finish("completed", "stop")
JSON: Headers = [(b"content-type", b"application/json")]
BODY: dict[str, Any] = {"model": "m", "input": "hi"}
NONE = {
    "input_tokens": 0,
    "input_tokens_details": {"cached_tokens": 0},
    "output_tokens": 0,
    "output_tokens_details": {"reasoning_tokens": 0},
    "total_tokens": 0,
}


def post(path: str = "/v1/responses", headers: Headers = JSON, **fields: Any) -> Request:
    return Request("POST", f"https://x{path}", headers, json.dumps({**BODY, **fields}).encode())


def get(path: str, headers: Headers = []) -> Request:
    return Request("GET", f"https://x{path}", headers)


def asked(service: Service | None = None, **fields: Any) -> Responder:
    responder = (service or Service(RESPONSES)).responder()
    assert responder.receive_request(post(**fields)) is not None
    return responder


def values_of(written: bytes) -> list[Any]:
    """The data of each event; its name is its type, and the numbers have no gaps."""
    found: list[Any] = []
    for unit in written.split(b"\n\n")[:-1]:
        name, data = unit.split(b"\n")
        value = json.loads(data.removeprefix(b"data: "))
        assert name == f"event: {value['type']}".encode()
        assert value["sequence_number"] == len(found)
        found.append(value)
    return found


def stream(*events: Event, service: Service | None = None, **fields: Any) -> list[Any]:
    responder = asked(service, stream=True, **fields)
    found = values_of(b"".join([*map(responder.send, events), responder.end()]))
    check(found)
    return found


def check(values: list[Any]) -> None:
    """What the vendor's SDKs insist on: one id for the response, one for each item; an item begins
    before its pieces, and so does a part; at the end the output is whole."""
    first, second, *rest, last = values
    assert [first["type"], second["type"]] == ["response.created", "response.in_progress"]
    ids = {value["response"]["id"] for value in (first, second, last)}
    assert len(ids) == 1
    begun: dict[int, Any] = {}
    parts: set[int] = set()
    done: list[Any] = []
    for value in rest:
        kind, place = value["type"].removeprefix("response."), value["output_index"]
        if kind == "output_item.added":
            assert place == len(begun), "one item after the other"
            begun[place] = value["item"]
            assert value["item"]["id"]
        elif kind == "output_item.done":
            assert (place, value["item"]["id"]) == (len(done), begun[place]["id"])
            assert value["item"].get("call_id") == begun[place].get("call_id")
            done.append(value["item"])
        else:
            assert value["item_id"] == begun[place]["id"]
            if kind.endswith("part.added"):
                parts.add(place)
            elif not kind.startswith(("function_call", "custom_tool_call")):
                assert place in parts
    if last["type"] != "response.failed":
        assert last["response"]["output"] == done
        assert len(done) == len(begun)


def whole(*events: Event, service: Service | None = None, **fields: Any) -> Any:
    responder = asked(service, **fields)
    assert not b"".join(map(responder.send, events))
    return json.loads(responder.end())


def outputs(*events: Event, **how: Any) -> tuple[list[Any], list[Any]]:
    """The items of the same answer, streamed and whole."""
    return stream(*events, END, **how)[-1]["response"]["output"], whole(*events, END, **how)[
        "output"
    ]


# The stream


def test_a_stream() -> None:
    response: Any = {
        "id": "resp_7",
        "object": "response",
        "created_at": 0,
        "status": "in_progress",
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "metadata": {},
        "model": "n",
        "output": [],
        "parallel_tool_calls": True,
        "temperature": None,
        "tool_choice": "auto",
        "tools": [],
        "top_p": None,
        "usage": None,
    }
    item: Any = {"id": "msg_1_0", "type": "message", "role": "assistant", "content": []}
    empty: Any = {"type": "output_text", "text": "", "annotations": [], "logprobs": []}
    text: Any = {**empty, "text": "h\u20aci"}
    done: Any = {**item, "status": "completed", "content": [text]}
    where: Any = {"item_id": "msg_1_0", "output_index": 0, "content_index": 0}
    usage: Any = {**NONE, "input_tokens": 3, "output_tokens": 2, "total_tokens": 5}
    over: Any = {**response, "status": "completed", "output": [done], "usage": usage}
    expected: list[Any] = [
        {"type": "created", "response": response},
        {"type": "in_progress", "response": response},
        {
            "type": "output_item.added",
            "output_index": 0,
            "item": {**item, "status": "in_progress"},
        },
        {"type": "content_part.added", **where, "part": empty},
        {"type": "output_text.delta", **where, "delta": "h\u20ac", "logprobs": []},
        {"type": "output_text.delta", **where, "delta": "i", "logprobs": []},
        {"type": "output_text.done", **where, "text": "h\u20aci", "logprobs": []},
        {"type": "content_part.done", **where, "part": text},
        {"type": "output_item.done", "output_index": 0, "item": done},
        {"type": "completed", "response": over},
    ]
    events: list[Event] = [
        Start("resp_7", "n"),
        Text("h\u20ac"),
        Text("i"),
        Usage(3, 2),
        FINISH,
        END,
    ]
    assert stream(*events) == [
        {**value, "type": f"response.{value['type']}", "sequence_number": number}
        for number, value in enumerate(expected)
    ]
    assert whole(*events) == over


def test_each_event_at_once() -> None:
    responder = asked(stream=True)
    begun = [responder.send(Start("", "m")), responder.send(Text("a")), responder.send(Text("b"))]
    counts = [len(part.split(b"\n\n")) - 1 for part in begun]
    assert counts == [2, 3, 1]
    assert responder.send(Start("late", "m")) == b""
    assert responder.send(Usage(1, 2)) == responder.send(FINISH) == b""
    assert b'"id":"resp_1"' in responder.send(END)


def test_a_native_form_that_lacks_the_name_of_its_call() -> None:
    call = (ToolCallStart(0, "c", "f"), ToolCallDelta(0, "{}"))
    bare = Native(DIALECT, b'{"type":"function_call","call_id":"c"}')
    values = stream(*call, bare, END)
    [said] = [value for value in values if value["type"].endswith("arguments.done")]
    assert (said["name"], said["arguments"]) == ("", "{}")
    own = Native(DIALECT, b'{"type":"function_call","call_id":"c","name":"g","arguments":"{ }"}')
    values = stream(*call, own, END)
    [said] = [value for value in values if value["type"].endswith("arguments.done")]
    assert (said["name"], said["arguments"]) == ("g", "{ }")


def test_a_native_form_before_the_end_of_its_call() -> None:
    """Its item is done then."""
    form = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}
    native = Native(DIALECT, json.dumps(form).encode())
    streamed, together = outputs(
        ToolCallStart(0, "c", "f"), native, ToolCallEnd(0, "c", "f", "{}", True), FINISH
    )
    assert streamed == [{"id": "fc_1_0", **form}]
    assert together == [{"id": "fc_1_0", **form}]


def test_what_waits_for_a_call_is_written_when_it_ends() -> None:
    responder = asked(stream=True)
    begun: list[Event] = [ToolCallStart(0, "c", "p", True), ToolCallDelta(0, "x"), Text("a", 1)]
    assert b"output_text" not in b"".join(map(responder.send, begun))
    end = responder.send(ToolCallEnd(0, "c", "p", "x", True, True))
    assert b"output_text.delta" in end


def test_a_thought_a_call_and_a_refusal() -> None:
    events: list[Event] = [
        *(Reasoning("s"), Reasoning("o"), Refusal("no", part=1)),
        *(ToolCallStart(0, "c", "f", part=2), ToolCallDelta(0, '{"a":'), ToolCallDelta(0, "1}")),
        *(ToolCallStart(1, "", "p", True, part=3), ToolCallDelta(1, "***")),
        ToolCallEnd(0, "c", "f", '{"a":1}', True),
        ToolCallEnd(1, "", "p", "***", True, True),
        FINISH,
    ]
    values = stream(*events, END)
    kinds = [value["type"].removeprefix("response.") for value in values]
    assert kinds[2:-1] == [
        *("output_item.added", "reasoning_summary_part.added", "reasoning_summary_text.delta"),
        *("reasoning_summary_text.delta", "reasoning_summary_text.done"),
        *("reasoning_summary_part.done", "output_item.done"),
        *("output_item.added", "content_part.added", "refusal.delta", "refusal.done"),
        *("content_part.done", "output_item.done"),
        *("output_item.added", "function_call_arguments.delta", "function_call_arguments.delta"),
        *("function_call_arguments.done", "output_item.done"),
        *("output_item.added", "custom_tool_call_input.delta", "custom_tool_call_input.done"),
        "output_item.done",
    ]
    begins = [value["item"] for value in values if value["type"].endswith("item.added")]
    assert begins[0] == {"id": "rs_1_0", "type": "reasoning", "summary": []}
    call = {"id": "fc_1_2", "type": "function_call", "call_id": "c", "name": "f"}
    assert begins[2] == {**call, "arguments": "", "status": "in_progress"}
    told = {(value["output_index"], value["type"]): value for value in values[2:-1]}
    pieces: Any = {
        (0, "reasoning_summary_part.added"): {"part": {"type": "summary_text", "text": ""}},
        (0, "reasoning_summary_text.delta"): {"delta": "o"},
        (0, "reasoning_summary_text.done"): {"text": "so"},
        (1, "content_part.added"): {"part": {"type": "refusal", "refusal": ""}},
        (1, "refusal.delta"): {"delta": "no"},
        (1, "refusal.done"): {"refusal": "no"},
        (2, "function_call_arguments.delta"): {"delta": "1}"},
        (2, "function_call_arguments.done"): {"name": "f", "arguments": '{"a":1}'},
        (3, "custom_tool_call_input.delta"): {"delta": "***"},
        (3, "custom_tool_call_input.done"): {"input": "***"},
    }
    parts: Any = {0: {"summary_index": 0}, 1: {"content_index": 0}}
    for (place, kind), more in pieces.items():
        value = told[place, f"response.{kind}"]
        for key in ("type", "sequence_number", "item_id", "output_index"):
            del value[key]
        assert value == {**parts.get(place, {}), **more}
    streamed, together = outputs(*events)
    assert streamed == together
    thought, refusal, called, custom = streamed
    assert thought["summary"] == [{"type": "summary_text", "text": "so"}]
    assert refusal["content"] == [{"type": "refusal", "refusal": "no"}]
    assert called == {**call, "arguments": '{"a":1}', "status": "completed"}
    assert custom["input"] == "***"
    assert custom["call_id"] == "call_1_1"


def test_arguments_that_only_the_end_tells() -> None:
    end = ToolCallEnd(0, "c", "f", "{}", True)
    streamed, together = outputs(ToolCallStart(0, "c", "f"), end, FINISH)
    assert streamed == together
    assert streamed[0]["arguments"] == "{}"
    late: list[Event] = [ToolCallStart(0, "c", "f"), ToolCallDelta(0, "{}"), Text("a", part=1), end]
    assert [item["type"] for item in outputs(*late)[0]] == ["function_call", "message"]


@pytest.mark.parametrize("custom", [False, True])
def test_a_call_that_is_cut(custom: bool) -> None:
    events: list[Event] = [
        ToolCallStart(0, "c", "f", custom),
        ToolCallDelta(0, '{"a"'),
        ToolCallEnd(0, "c", "f", '{"a"', False, custom),
        Finish("max_output_tokens", "length"),
    ]
    streamed, together = outputs(*events)
    assert streamed == together
    assert streamed[0]["status"] == "incomplete"


def test_calls_that_end_before_the_answer_says_so() -> None:
    calls: list[Event] = [
        *(ToolCallStart(0, "a", "f"), ToolCallDelta(0, '{"a"'), Text("x", part=1)),
        *(ToolCallStart(1, "b", "f", part=2), ToolCallStart(2, "c", "f", part=3)),
        *(ToolCallDelta(1, "{}"), ToolCallDelta(2, "{}")),
        *(ToolCallStart(3, "d", "p", True, part=4), ToolCallDelta(3, "x")),
    ]
    streamed, _ = outputs(*calls, FINISH)
    assert [item["status"] for item in streamed] == [
        *("incomplete", "completed", "completed", "completed", "completed")
    ]


def test_citations() -> None:
    cited: list[Event] = [
        Text("ab"),
        Citation("u", "t", start=0, end=2),
        Citation("v", "w"),
        Citation("", "file", "f", end=2),
        Citation("", "made", "g", start=1, end=2),
        Citation("", "file", "h"),
        Citation("w", "both", "i"),
        Citation("", "neither"),
    ]
    values = stream(*cited, FINISH, END)
    told = [value for value in values if value["type"].endswith("annotation.added")]
    assert [value["annotation_index"] for value in told] == [0, 1, 2, 3, 4, 5, 6]
    nowhere = {"start_index": 0, "end_index": 0}
    made = {"type": "container_file_citation", "container_id": "", "file_id": "g"}
    annotations = [
        {"type": "url_citation", "url": "u", "title": "t", "start_index": 0, "end_index": 2},
        {"type": "url_citation", "url": "v", "title": "w", **nowhere},
        {"type": "file_citation", "file_id": "f", "filename": "file", "index": 2},
        {**made, "filename": "made", "start_index": 1, "end_index": 2},
        {"type": "file_citation", "file_id": "h", "filename": "file", "index": 0},
        {"type": "url_citation", "url": "w", "title": "both", **nowhere},
        {"type": "url_citation", "url": "", "title": "neither", **nowhere},
    ]
    assert [value["annotation"] for value in told] == annotations
    streamed, together = outputs(*cited, FINISH)
    assert streamed == together
    assert streamed[0]["content"][0]["annotations"] == annotations


def test_log_probabilities() -> None:
    tokens = [TokenLogProb("a", -1.0, [97], [TokenLogProb("b", -2.0)])]
    values = stream(Text("a"), LogProbs(tokens), FINISH, END)
    told = [v["logprobs"] for v in values if v["type"] == "response.output_text.delta"]
    written = [
        {
            "token": "a",
            "logprob": -1.0,
            "bytes": [97],
            "top_logprobs": [
                {"token": "b", "logprob": -2.0, "bytes": None, "top_logprobs": None},
            ],
        }
    ]
    assert told == [[], written]
    streamed, together = outputs(Text("a"), LogProbs(tokens), LogProbs([]), Text("b"), FINISH)
    assert streamed == together
    assert streamed[0]["content"][0]["logprobs"] == written
    later, whole_later = outputs(Reasoning("so"), Text("a", 1), LogProbs(tokens), FINISH)
    assert later == whole_later
    assert later[1]["content"][0]["logprobs"] == written
    alone, whole_alone = outputs(LogProbs(tokens), FINISH)
    assert alone == whole_alone
    assert alone[0]["content"][0]["text"] == ""


def test_pictures() -> None:
    image = Image(b"x", "image/webp", prompt="p")
    item: Any = {
        "id": "item_1_0",
        "type": "image_generation_call",
        "status": "completed",
        "result": "eA==",
        "output_format": "webp",
        "revised_prompt": "p",
    }
    second: Any = {**item, "id": "item_1_1", "output_format": "png"}
    del second["revised_prompt"]
    events: list[Event] = [image, Image(b"x", "image/png", part=1), FINISH]
    assert outputs(*events) == ([item, second], [item, second])
    assert outputs(image, Usage(1, 2), FINISH) == ([item], [item])
    own: Any = {"id": "ig", "type": "image_generation_call", "result": "eA==", "size": "1x1"}
    for native in (Native(DIALECT, json.dumps(own).encode()), Native("", json.dumps(own).encode())):
        assert outputs(image, native, FINISH) == ([own], [own])
    elsewhere = Native(DIALECT, native.raw, 1)
    assert outputs(image, elsewhere, FINISH) == ([item, own], [item, own])
    sealing = Service(RESPONSES, sealer=Sealing())
    for found in outputs(image, Native("anthropic", b"{}", 1), FINISH, service=sealing):
        assert [each["type"] for each in found] == [item["type"], "reasoning"]
    text = Text("a", part=1)
    assert [i["type"] for i in outputs(image, text, FINISH)[0]] == [item["type"], "message"]
    begun = next(v["item"] for v in stream(image, END) if v["type"].endswith("item.added"))
    assert begun == {k: v for k, v in item.items() if k != "result"} | {"status": "in_progress"}


def test_native_forms() -> None:
    """What is done is as it came, but for the id of an item that had begun; a whole answer has
    that, too."""
    streamed, together = outputs(*SIGNED[:-1])
    said = [json.loads(e.raw) for e in SIGNED if isinstance(e, Native)]
    assert streamed == together == said
    other: Any = {"type": "reasoning", "id": "rs_x", "summary": [], "encrypted_content": "e"}
    events: list[Event] = [Reasoning("so"), Native(DIALECT, json.dumps(other).encode()), FINISH]
    assert outputs(*events) == ([{**other, "id": "rs_1_0"}], [other])
    message: Any = {"type": "message", "id": "m", "role": "assistant", "content": [{"x": 1}]}
    begun = next(
        value["item"]
        for value in stream(Native(DIALECT, json.dumps(message).encode()), END)
        if value["type"] == "response.output_item.added"
    )
    assert begun == {**message, "content": []}
    secret = Native("", b'{"type": "reasoning", "content": [{"x": 1}]}')
    assert outputs(secret)[0][0]["content"] == [{"x": 1}]
    [value] = [v for v in stream(secret, END) if v["type"].endswith("item.added")]
    assert value["item"]["content"] == [{"x": 1}]
    with pytest.raises(LocalProtocolError, match="an item: an object"):
        stream(Native(DIALECT, b"[]"), END)


def test_native_forms_of_others() -> None:
    """Without a sealer they are not written; with one, in thoughts that are encrypted."""
    foreign = Native("anthropic", b"{}")
    events: list[Event] = [
        Reasoning("so"),
        foreign,
        Text("a", part=1),
        Native("gemini", b"[]", 1),
        Native("gemini", b"7", 2),
        FINISH,
    ]
    (thought, text), together = outputs(*events)
    assert [thought, text] == together
    assert "encrypted_content" not in thought
    for found in outputs(*events, service=Service(RESPONSES, sealer=Sealing())):
        shown, _, *hidden = ({k: v for k, v in item.items() if k != "id"} for item in found)
        assert shown == {
            "type": "reasoning",
            "summary": [{"type": "summary_text", "text": "so"}],
            "encrypted_content": "sealed:anthropic:{}",
        }
        assert hidden == [
            {"type": "reasoning", "summary": [], "encrypted_content": f"sealed:gemini:{raw}"}
            for raw in ("[]", "7")
        ]


@pytest.mark.parametrize(
    ("finish", "status", "details"),
    [
        (None, "completed", None),
        (FINISH, "completed", None),
        (Finish("tool_calls", "tool_call"), "completed", None),
        (Finish("", ""), "completed", None),
        (Finish("max_output_tokens", "length"), "incomplete", "max_output_tokens"),
        (Finish("max_tokens", "length"), "incomplete", "max_output_tokens"),
        (Finish("refusal", "content_filter"), "incomplete", "content_filter"),
        (Finish("steered"), "incomplete", "steered"),
        (Finish("pause_turn"), "incomplete", "pause_turn"),
    ],
)
def test_finish(finish: Finish | None, status: str, details: str | None) -> None:
    events: list[Event] = [Text("a"), *([finish] if finish else []), END]
    reason = {"reason": details} if details else None
    last = stream(*events)[-1]
    assert last["type"] == f"response.{status}"
    for response in (last["response"], whole(*events)):
        assert (response["status"], response["incomplete_details"]) == (status, reason)


@pytest.mark.parametrize("streamed", [True, False])
@pytest.mark.parametrize("finish", [Finish("abort", "error"), Finish("x", "error", "abort")])
def test_a_finish_that_is_an_error(streamed: bool, finish: Finish) -> None:
    """All that was said is heard, and then that it failed."""
    responder = asked(stream=streamed)
    said: list[Event] = [Text("a"), finish, END]
    body = b"".join([*map(responder.send, said), responder.end()])
    assert b'"error":{"code":"%b","message":"abort"}' % finish.reason.encode() in body
    exchange = RESPONSES.exchange(as_chat("hi", model="m", stream=streamed))
    outcome = drive(exchange, Response(body, *responder.head())).refused_by(Refused, "abort")
    assert outcome.reply.text == "a"


def test_usage() -> None:
    used = Usage(30, 7, None, 10, 5, 4)
    written: Any = {
        "input_tokens": 30,
        "input_tokens_details": {"cached_tokens": 10, "cache_write_tokens": 5},
        "output_tokens": 7,
        "output_tokens_details": {"reasoning_tokens": 4},
        "total_tokens": 37,
    }
    assert whole(used, END)["usage"] == written
    assert whole(END)["usage"] == NONE
    raw: Any = {"input_tokens": 30, "output_tokens": 7, "total_tokens": 37, "cost": 0.1}
    kept = Usage(30, 7, 37, raw=raw)
    assert whole(kept, END)["usage"] == {**NONE, **raw}
    odd = Usage(3, 4, 7, raw={**raw, "input_tokens_details": None})
    counts = {"input_tokens": 3, "output_tokens": 4, "total_tokens": 7}
    assert whole(odd, END)["usage"] == {**NONE, **counts, "cost": 0.1}
    theirs = Usage(30, 7, raw={"input_tokens": 20, "cache_read_input_tokens": 10})
    assert "cache_read_input_tokens" not in whole(theirs, END)["usage"]


def test_what_was_asked_is_told() -> None:
    tool = {"type": "function", "name": "f"}
    told = whole(
        END, temperature=0.5, top_p=0.9, parallel_tool_calls=False, tool_choice=tool, tools=[tool]
    )
    assert (told["temperature"], told["top_p"]) == (0.5, 0.9)
    assert not told["parallel_tool_calls"]
    assert told["tool_choice"] == tool
    for choice in ("auto", "none", "required"):
        assert whole(END, tool_choice=choice)["tool_choice"] == choice
    assert asked().chat.model == "m"
    sealed: Any = {"type": "reasoning", "summary": [], "encrypted_content": "sealed:anthropic:{}"}
    service = Service(RESPONSES, sealer=Sealing())
    said = asked(service, input=[{"role": "user", "content": "hi"}, sealed]).chat.messages[1]
    assert said.parts[0].native == Native("anthropic", b"{}")


def test_the_time_is_that_of_the_service() -> None:
    assert whole(END, service=Service(RESPONSES, now=lambda: 7.5))["created_at"] == 7


def test_half_an_answer() -> None:
    responder = asked()
    responder.send(Text("a"))
    body = responder.end()
    with pytest.raises(ValueError, match="Expecting"):
        json.loads(body)


@pytest.mark.parametrize(
    "event",
    [
        Text("a", index=1),
        Unrecognized(b"{}"),
        LogProbs([], "refusal"),
        LogProbs([], "reasoning"),
    ],
)
def test_what_it_cannot_say(event: Event) -> None:
    with pytest.raises(LocalProtocolError, match="openai_responses can't say"):
        stream(event, END)


# Errors


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (RateLimited("no"), "rate_limit_exceeded"),
        (Overloaded("no"), "server_is_overloaded"),
        (AuthenticationFailed("no"), "invalid_api_key"),
        (BadRequest("no"), "invalid_request_error"),
        (ContentFiltered("no"), "invalid_prompt"),
        (Refused("no"), "server_error"),
        (Truncated("no"), "server_error"),
        (Malformed("no"), "invalid_request_error"),
        (LocalProtocolError("no"), "invalid_request_error"),
        (RateLimited("no", code="insufficient_quota"), "insufficient_quota"),
    ],
)
@pytest.mark.parametrize("begun", [True, False])
def test_an_error_amid_the_answer(error: Any, code: str, begun: bool) -> None:
    """It is told twice: each client knows one of the two events."""
    responder = asked(stream=True)
    body = (responder.send(Text("a")) if begun else b"") + responder.fail_midway(error)
    *_, told, last = values_of(body)
    assert (told["type"], last["type"]) == ("error", "response.failed")
    assert (told["code"], told["message"], told["param"]) == (code, "no", None)
    assert (told["error"]["code"], told["error"]["message"]) == (code, "no")
    assert last["response"]["status"] == "failed"
    assert last["response"]["error"] == {"code": code, "message": "no"}
    outcome = drive(RESPONSES.exchange(as_chat("hi", model="m")), body)
    assert isinstance(outcome.error, Refused)
    if isinstance(error, Refused):
        assert isinstance(outcome.error, type(error))
    bare = body.replace(b"event: error", b"event: other").replace(b'"type":"error"', b'"type":"x"')
    assert type(drive(RESPONSES.exchange(as_chat("hi", model="m")), bare).error) is type(
        outcome.error
    )


def test_an_error_before_the_answer() -> None:
    responder = asked()
    body = json.loads(responder.fail(RateLimited("slow", code="rate_limit_exceeded")))
    assert body["error"]["code"] == "rate_limit_exceeded"
    assert responder.head()[0] == 429
    assert (b"x-request-id", b"req_1") in responder.head()[1]


# Other requests


def refused(request: Request, service: Service | None = None) -> RemoteProtocolError:
    with pytest.raises(RemoteProtocolError) as caught:
        (service or Service(RESPONSES)).responder().receive_request(request)
    return caught.value


@pytest.mark.parametrize(
    "path",
    ["/v1/responses", "/responses", "/openai/v1/responses?api-version=v1", "/openai/responses"],
)
def test_paths_of_the_chat(path: str) -> None:
    chat = Service(RESPONSES).responder().receive_request(post(path))
    assert chat is not None
    assert chat.messages[0].text == "hi"


@pytest.mark.parametrize("headers", [{"authorization": "Bearer k"}, {"api-key": "k"}])
def test_places_of_the_key(headers: dict[str, str]) -> None:
    given = [(name.encode(), value.encode()) for name, value in headers.items()]
    service = Service(RESPONSES, key="k")
    assert service.responder().receive_request(post(headers=[*JSON, *given])) is not None
    assert isinstance(refused(post(), service), AuthenticationFailed)


def test_counting_tokens() -> None:
    responder = Service(RESPONSES).responder()
    fields: Any = {"input": "x" * 40, "instructions": "y" * 40, "tools": ["z" * 40]}
    assert responder.receive_request(post("/v1/responses/input_tokens", **fields)) is None
    counted = {"object": "response.input_tokens", "input_tokens": 30}
    assert json.loads(responder.end()) == counted


def test_models() -> None:
    service = Service(RESPONSES.replace(models=("a", "b"), any_model=False))

    def answer(path: str) -> Any:
        responder = service.responder()
        assert responder.receive_request(get(path)) is None
        return json.loads(responder.end())

    assert [model["id"] for model in answer("/v1/models")["data"]] == ["a", "b"]
    assert answer("/v1/models/b")["id"] == "b"
    error = refused(get("/v1/models/c"), service)
    assert (error.status, isinstance(error, BadRequest)) == (404, True)
    assert refused(post(model="c"), service).status == 404


def test_a_websocket_is_refused_so_that_codex_goes_on_at_once() -> None:
    upgrade = refused(get("/v1/responses", [(b"upgrade", b"websocket")]))
    assert (upgrade.status, upgrade.message) == (426, "there is no WebSocket here: use POST")
    error = refused(get("/v1/responses"))
    assert (error.status, error.message) == (405, "/responses takes POST, not GET")
    responder = Service(RESPONSES).responder()
    assert isinstance(error, Refused)
    responder.fail(error)
    assert (b"allow", b"POST") in responder.head()[1]


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", ""), ("DELETE", ""), ("POST", "/cancel"), ("GET", "/input_items")],
)
def test_nothing_is_kept(method: str, path: str) -> None:
    error = refused(Request(method, f"http://x/v1/responses/resp_1{path}", []))
    assert error.status == 404
    assert "there is no response 'resp_1': nothing is kept here" in str(error)


@pytest.mark.parametrize(
    ("path", "stream", "to"),
    [
        ("/responses/r-1", False, "/responses/r-1"),
        (
            "/responses/r?stream=true&key=k&include[]=a",
            True,
            "/responses/r?stream=true&include%5B%5D=a",
        ),
        (
            "/responses/r/input_items?after=&limit=1",
            False,
            "/responses/r/input_items?after=&limit=1",
        ),
    ],
)
def test_what_is_asked_of_what_is_kept(path: str, stream: bool, to: str) -> None:
    service, request = Service(RESPONSES), get(f"/v1{path}")
    asked = service.responder().asked(request, service.route(request)[1])
    assert (asked.model, asked.stream, asked.path) == ("", stream, to)
    further = RESPONSES.kept_exchange("GET", asked.path).next_request()
    assert further is not None
    assert (further.method, further.url) == ("GET", f"https://api.openai.com/v1{to}")


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        ("/responses/%2E%2E", 404, "there is no response '..'"),
        ("/responses/a%2Fb", 404, "there is no response 'a/b'"),
        ("/responses/r?x", 400, "unknown parameter 'x' (known: after, before, include, "),
    ],
)
def test_what_can_not_be_asked_of_it(path: str, status: int, words: str) -> None:
    service, request = Service(RESPONSES), get(f"/v1{path}")
    with pytest.raises(BadRequest) as caught:
        service.responder().asked(request, service.route(request)[1])
    assert caught.value.status == status
    assert caught.value.message.startswith(words)


@pytest.mark.parametrize(
    ("fields", "known"),
    [
        ({}, Asked("m", False)),
        ({"stream": True}, Asked("m", True)),
        ({"previous_response_id": "r"}, Asked("m", False, goes_on=True)),
        ({"conversation": {"id": "c"}}, Asked("m", False, goes_on=True)),
        ({"background": True}, Asked("m", False, goes_on=True)),
    ],
)
def test_what_a_relay_has_to_know(fields: Any, known: Asked) -> None:
    assert Service(RESPONSES).responder().asked(post(**fields), {}) == known


def test_what_is_not_there() -> None:
    assert refused(post(headers=[*JSON, (b"content-encoding", b"zstd")])).status == 415
    assert refused(post(previous_response_id="resp_1")).status == 400


def test_each_answer_has_ids_of_its_own() -> None:
    service = Service(RESPONSES)

    def ids() -> Iterator[str]:
        response = whole(Text("a"), ToolCallStart(0, "", "f", part=1), END, service=service)
        yield response["id"]
        for item in response["output"]:
            yield item["id"]
            yield item.get("call_id", "")

    first, second = list(ids()), list(ids())
    assert set(first) & set(second) == {""}


def test_pings() -> None:
    responder = asked(stream=True)
    assert responder.ping() == b": ping\n\n"


def test_the_example() -> None:
    example = RESPONSES.dialect.sdk_example("http://x/v1", "m", "os.environ['K']")
    assert example.splitlines() == [
        "# the openai SDK, in Python",
        "import os",
        "import openai",
        "client = openai.OpenAI(base_url='http://x/v1', api_key=os.environ['K'])",
        "for event in client.responses.create(model='m', input=\"Hello\", stream=True):",
        '    if event.type == "response.output_text.delta":',
        '        print(event.delta, end="")',
    ]
    assert "import os" not in RESPONSES.dialect.sdk_example("http://x/v1", "m", "'any'")


def test_presets() -> None:
    dialect = RESPONSES.dialect
    found = [p for p in PROVIDERS.values() if p.dialect is dialect]
    assert len(found) == 14
    for provider in found:
        chat = as_chat("hi", model="m")
        exchange = provider.exchange(chat, key="k", params={"resource": "r"})
        request = exchange.next_request()
        assert request is not None
        assert request.target.startswith(("/v1/responses", "/responses", "/api/", "/openai/"))
        assert json.loads(request.body)["store"] is False
    dated = PROVIDERS["azure-dated-responses"].exchange(
        as_chat("hi", model="m"), key="k", params={"resource": "r"}
    )
    request = dated.next_request()
    assert request is not None
    assert request.url == (
        "https://r.openai.azure.com/openai/responses?api-version=2025-04-01-preview"
    )
    assert (b"api-key", b"k") in request.headers
