"""Anthropic Messages, server half: what it writes, and the requests beside the chat."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.driving import drive
from tests.formats.anthropic.subject import SIGNED
from tokenwire.protocols.chat import Chat, Opaque, as_chat
from tokenwire.protocols.errors import (
    AuthenticationFailed,
    BadRequest,
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
    Native,
    Reasoning,
    Refusal,
    Start,
    Text,
    ToolCallDelta,
    ToolCallEnd,
    ToolCallStart,
    Unrecognized,
    Usage,
)
from tokenwire.protocols.registry import PROVIDERS
from tokenwire.protocols.service import Responder, Service
from tokenwire.protocols.toolkit.http import Headers, Request
from tokenwire.testing import record
from tokenwire.testing.driving import Response

ANTHROPIC = PROVIDERS["anthropic"]
END = End("terminator")
FINISH = Finish("end_turn", "stop")
JSON: Headers = [(b"content-type", b"application/json")]
BODY: dict[str, Any] = {
    "model": "m",
    "max_tokens": 9,
    "messages": [{"role": "user", "content": "hi"}],
}


def post(path: str = "/v1/messages", headers: Headers = JSON, **fields: Any) -> Request:
    return Request("POST", f"https://x{path}", headers, json.dumps({**BODY, **fields}).encode())


def get(path: str, method: str = "GET", headers: Headers = []) -> Request:
    return Request(method, f"https://x{path}", headers)


def asked(service: Service | None = None, **fields: Any) -> Responder:
    responder = (service or Service(ANTHROPIC)).responder()
    assert responder.receive_request(post(**fields)) is not None
    return responder


def stream(*events: Event, service: Service | None = None) -> list[Any]:
    """The data of each event that is written; its name is its type."""
    responder = asked(service, stream=True)
    written = b"".join([*map(responder.send, events), responder.end()])
    found: list[Any] = []
    for unit in written.split(b"\n\n")[:-1]:
        name, data = unit.split(b"\n")
        value = json.loads(data.removeprefix(b"data: "))
        assert name == f"event: {value['type']}".encode()
        found.append(value)
    return found


def whole(*events: Event, service: Service | None = None) -> Any:
    responder = asked(service)
    assert not b"".join(map(responder.send, events))
    return json.loads(responder.end())


def blocks(*events: Event, service: Service | None = None) -> list[list[Any]]:
    """Each block: how it starts, then its deltas."""
    found: list[list[Any]] = []
    for value in stream(*events, END, service=service):
        if value["type"] == "content_block_start":
            assert value["index"] == len(found)
            found.append([value["content_block"]])
        elif value["type"] == "content_block_delta":
            assert value["index"] == len(found) - 1
            found[-1].append(value["delta"])
    return found


# The stream


def test_a_stream() -> None:
    assert stream(Start("msg_7", "n"), Text("h\u20ac"), Text("i"), Usage(3, 2), FINISH, END) == [
        {
            "type": "message_start",
            "message": {
                "id": "msg_7",
                "type": "message",
                "role": "assistant",
                "model": "n",
                "content": [],
                "stop_reason": None,
                "stop_sequence": None,
                "usage": {"input_tokens": 0, "output_tokens": 0},
            },
        },
        {"type": "ping"},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {
            "type": "content_block_delta",
            "index": 0,
            "delta": {"type": "text_delta", "text": "h\u20ac"},
        },
        {
            "type": "content_block_delta",
            "index": 0,
            "delta": {"type": "text_delta", "text": "i"},
        },
        {"type": "content_block_stop", "index": 0},
        {
            "type": "message_delta",
            "delta": {"stop_reason": "end_turn", "stop_sequence": None},
            "usage": {"input_tokens": 3, "output_tokens": 2},
        },
        {"type": "message_stop"},
    ]


def test_the_head_of_a_stream() -> None:
    """Proxies are not to hold it back; a whole answer and an error need no such word."""
    status, headers = asked(stream=True).head()
    assert (status, dict(headers)) == (
        200,
        {
            b"content-type": b"text/event-stream; charset=utf-8",
            b"request-id": b"req_1",
            b"cache-control": b"no-cache",
            b"x-accel-buffering": b"no",
        },
    )
    whole = {b"content-type": b"application/json", b"request-id": b"req_1"}
    assert dict(asked().head()[1]) == whole
    responder = asked(stream=True)
    responder.fail(Overloaded("no"))
    assert dict(responder.head()[1]) == whole


def test_the_example_of_the_sdk() -> None:
    example = ANTHROPIC.dialect.sdk_example("http://x", "m", 'os.environ["KEY"]')
    assert example.splitlines() == [
        "# the anthropic SDK, in Python",
        "import os",
        "import anthropic",
        "client = anthropic.Anthropic(base_url='http://x', api_key=os.environ[\"KEY\"])",
        "with client.messages.stream(model='m', max_tokens=1024, "
        'messages=[{"role": "user", "content": "Hello"}]) as stream:',
        "    for text in stream.text_stream:",
        '        print(text, end="")',
    ]
    assert "import os" not in ANTHROPIC.dialect.sdk_example("http://x", "m", '"any"')


def test_an_answer_of_nothing() -> None:
    start, *others = stream(END)
    assert (start["type"], start["message"]["model"]) == ("message_start", "m")
    assert [value["type"] for value in others] == ["ping", "message_delta", "message_stop"]
    assert whole(END)["content"] == []


def test_a_responder_that_was_not_asked() -> None:
    said = Service(ANTHROPIC).responder().send(Text("a"))
    assert json.loads(said.partition(b"data: ")[2].partition(b"\n")[0])["message"]["model"] == ""


def test_each_answer_has_an_id() -> None:
    service = Service(ANTHROPIC)
    ids = [stream(Start("", ""), END, service=service)[0]["message"]["id"] for _ in range(2)]
    assert ids == ["msg_1", "msg_2"]
    assert whole(Text("a"), END, service=service)["id"] == "msg_3"


def test_usage_that_is_known_at_the_start() -> None:
    early = Usage(30, 1, cache_read_input_tokens=10, cache_write_input_tokens=5)
    late = Usage(30, 9, None, 10, 5, 4, raw={"speed": "fast", "server_tool_use": {"x": 1}})
    first, *_, last, _ = stream(early, Text("a"), late, FINISH, END)
    counts = {"cache_read_input_tokens": 10, "cache_creation_input_tokens": 5}
    assert first["message"]["usage"] == {"input_tokens": 15, "output_tokens": 0, **counts}
    assert last["usage"] == {
        "input_tokens": 15,
        "output_tokens": 9,
        "output_tokens_details": {"thinking_tokens": 4},
        "speed": "fast",
        "server_tool_use": {"x": 1},
        **counts,
    }
    *_, last, _ = stream(Text("a"), FINISH, END)
    assert last["usage"] == {"output_tokens": 0}


def test_usage_that_is_not_known() -> None:
    none = {"input_tokens": 0, "output_tokens": 0}
    assert whole(Usage(), END)["usage"] == none
    cached = Usage(10, cache_read_input_tokens=10)
    assert whole(cached, END)["usage"] == {**none, "cache_read_input_tokens": 10}


# Blocks


def test_a_thought() -> None:
    thought = [Reasoning("so "), Reasoning("it is")]
    deltas = [{"type": "thinking_delta", "thinking": text} for text in ("so ", "it is")]
    start = {"type": "thinking", "thinking": "", "signature": ""}
    unsigned = {"type": "signature_delta", "signature": "tokenwire"}
    assert blocks(*thought) == [[start, *deltas, unsigned]]
    form = b'{"type":"thinking","thinking":"so it is","signature":"c2ln"}'
    signed = {"type": "signature_delta", "signature": "c2ln"}
    assert blocks(*thought, Native("anthropic", form)) == [[start, *deltas, signed]]
    hidden = {"type": "thinking_delta", "thinking": "so it is"}
    assert blocks(Native("anthropic", form)) == [[start, hidden, signed]]
    omitted = b'{"type":"thinking","thinking":"","signature":"c2ln"}'
    assert blocks(Native("anthropic", omitted)) == [[start, signed]]


def test_a_call() -> None:
    call: list[Event] = [
        ToolCallStart(0, "t", "f", part=1),
        ToolCallDelta(0, '{"a"'),
        ToolCallDelta(0, ":1}"),
    ]
    end = ToolCallEnd(0, "t", "f", '{"a":1}', True)
    (text, *_), called = blocks(Text("a"), *call, end)
    assert text == {"type": "text", "text": ""}
    assert called == [
        {"type": "tool_use", "id": "t", "name": "f", "input": {}},
        {"type": "input_json_delta", "partial_json": '{"a"'},
        {"type": "input_json_delta", "partial_json": ":1}"},
    ]


def test_ids_of_calls() -> None:
    starts: list[Event] = [
        ToolCallStart(0, "", "f"),
        ToolCallStart(1, "functions.f:0", "f", part=1),
    ]
    end: list[Event] = [ToolCallEnd(0, "", "f", "{}", True)]
    (first,), (second,) = blocks(starts[0], *end, starts[1])
    assert first["id"] == "toolu_1_0"
    assert second["id"].startswith("tw_")
    (called,) = whole(starts[0], END)["content"]
    assert called == {"type": "tool_use", "id": "toolu_1_0", "name": "f", "input": {}}


def test_calls_that_interleave_come_one_after_the_other() -> None:
    said: list[Event] = [ToolCallStart(0, "a", "f"), ToolCallStart(1, "b", "g", part=1)]
    said += [ToolCallDelta(0, '{"x"'), ToolCallDelta(1, "{}"), ToolCallDelta(0, ":1}")]
    first, second = blocks(*said)
    assert [delta["partial_json"] for delta in first[1:]] == ['{"x"', ":1}"]
    assert [delta["partial_json"] for delta in second[1:]] == ["{}"]


def test_tools_of_the_service() -> None:
    use = b'{"type":"server_tool_use","id":"s","name":"n","input":{"q":1}}'
    found = b'{"type":"web_search_tool_result","tool_use_id":"s","content":[]}'
    assert blocks(Native("anthropic", use), Native("anthropic", found, 1)) == [
        [
            {"type": "server_tool_use", "id": "s", "name": "n", "input": {}},
            {"type": "input_json_delta", "partial_json": '{"q":1}'},
        ],
        [json.loads(found)],
    ]
    bare = {"type": "mcp_tool_use", "id": "s"}
    assert blocks(Native("anthropic", json.dumps(bare).encode())) == [
        [{**bare, "input": {}}, {"type": "input_json_delta", "partial_json": "{}"}],
    ]


WEB = {
    "type": "web_search_result_location",
    "url": "u",
    "title": "t",
    "cited_text": "q",
    "encrypted_index": "",
}


def test_citations() -> None:
    """They begin the text that they support, if they are known by then; they come at its end."""
    cited = Citation("u", "t", quote="q")
    delta = {"type": "citations_delta", "citation": WEB}
    text = {"type": "text_delta", "text": "a"}
    assert blocks(cited, Text("a")) == [
        [{"type": "text", "text": "", "citations": []}, text, delta],
    ]
    assert blocks(Text("a"), cited) == [[{"type": "text", "text": ""}, text, delta]]
    waiting = blocks(
        ToolCallStart(0, "t", "f"), Text("a", 1), Citation("u", "t", quote="q", part=1)
    )
    assert waiting[1] == [{"type": "text", "text": ""}, text, delta]
    own = {**WEB, "encrypted_index": "e"}
    form = json.dumps({"type": "text", "text": "a", "citations": [own]}).encode()
    assert blocks(cited, Text("a"), Native("anthropic", form))[0][1:] == [
        *(text, {"type": "citations_delta", "citation": own}),
    ]
    alone = blocks(ToolCallStart(0, "t", "f"), ToolCallEnd(0, "t", "f", "{}", True), cited)
    assert alone[1] == [{"type": "text", "text": "", "citations": []}, delta]
    content = whole(Text("a"), Citation("u", "t", quote="q", part=3), END)["content"]
    assert content == [
        {"type": "text", "text": "a"},
        {"type": "text", "text": "", "citations": [WEB]},
    ]


# The end


@pytest.mark.parametrize(
    ("finish", "delta"),
    [
        (Finish("max_tokens", "length"), {"stop_reason": "max_tokens"}),
        (Finish("pause_turn", ""), {"stop_reason": "pause_turn"}),
        (
            Finish("stop_sequence", "stop", "END"),
            {"stop_reason": "stop_sequence", "stop_sequence": "END"},
        ),
        (Finish("stop", "stop"), {"stop_reason": "end_turn"}),
        (Finish("stop", "stop", "END"), {"stop_reason": "stop_sequence", "stop_sequence": "END"}),
        (Finish("length", "length"), {"stop_reason": "max_tokens"}),
        (Finish("tool_calls", "tool_call"), {"stop_reason": "tool_use"}),
        (
            Finish("content_filter", "content_filter", "violence"),
            {
                "stop_reason": "refusal",
                "stop_details": {"type": "refusal", "category": "violence", "explanation": None},
            },
        ),
        (
            Finish("refusal", "content_filter"),
            {
                "stop_reason": "refusal",
                "stop_details": {"type": "refusal", "category": None, "explanation": None},
            },
        ),
        (Finish("something", ""), {"stop_reason": "something"}),
    ],
)
def test_reasons(finish: Finish, delta: Any) -> None:
    *_, last, _ = stream(Text("a"), finish, END)
    assert last["delta"] == {"stop_sequence": None, **delta}
    answer = whole(Text("a"), finish, END)
    assert {key: answer[key] for key in last["delta"]} == last["delta"]


def test_a_reason_that_was_never_told() -> None:
    assert stream(Text("a"), END)[-2]["delta"]["stop_reason"] == "end_turn"
    assert stream(ToolCallStart(0, "t", "f"), END)[-2]["delta"]["stop_reason"] == "tool_use"
    assert whole(Text("a"), END)["stop_reason"] == "end_turn"
    assert whole(ToolCallStart(0, "t", "f"), END)["stop_reason"] == "tool_use"


def test_a_refusal() -> None:
    said = (Refusal("I "), Refusal("won't."))
    details = {"type": "refusal", "category": None, "explanation": "I won't."}
    for finish in (Finish("refusal", "content_filter"), Finish("stop", "stop")):
        *_, last, _ = stream(*said, finish, END)
        assert last["delta"]["stop_reason"] == "refusal"
        assert last["delta"]["stop_details"] == details
    for finish in (FINISH, Finish("stop_sequence", "stop", "x")):
        answer = whole(*said, finish, END)
        assert (answer["content"], answer["stop_reason"]) == ([], finish.reason)
        assert answer["stop_details"] == details


def test_the_detail_of_a_word_of_its_own() -> None:
    """Of a word of another format it is no category: who hears it would show it as one."""
    for said, explanation in (((), None), ((Refusal("no"),), "no")):
        details = {"type": "refusal", "category": "c", "explanation": explanation}
        answer = whole(*said, Finish("odd", "", "c"), END)
        assert (answer["stop_reason"], answer["stop_details"]) == ("odd", details)
        answer = whole(*said, Finish("length", "length", "c"), END)
        assert answer["stop_reason"] == "max_tokens"
        assert answer.get("stop_details") == ({**details, "category": None} if said else None)


# The whole answer


def test_a_whole_answer() -> None:
    thought = Native("anthropic", b'{"type":"thinking","thinking":"t","signature":"s"}')
    use = Native("anthropic", b'{"type":"new","x":1}', 1)
    call: list[Event] = [ToolCallStart(0, "t", "f", part=3), ToolCallDelta(0, '{"a":1}')]
    end = ToolCallEnd(0, "t", "f", '{"a":1}', True)
    cited: list[Event] = [Citation("u", "t", quote="q", part=2), Text("b", 2), Text("c", 2)]
    said: list[Event] = [
        Start("msg_7", "n"),
        Reasoning("t"),
        thought,
        use,
        *cited,
        *call,
        Usage(3, 2),
        end,
    ]
    assert whole(*said, Finish("tool_use", "tool_call"), END) == {
        "id": "msg_7",
        "type": "message",
        "role": "assistant",
        "model": "n",
        "content": [
            {"type": "thinking", "thinking": "t", "signature": "s"},
            {"type": "new", "x": 1},
            {"type": "text", "text": "bc", "citations": [WEB]},
            {"type": "tool_use", "id": "t", "name": "f", "input": {"a": 1}},
        ],
        "stop_reason": "tool_use",
        "stop_sequence": None,
        "usage": {"input_tokens": 3, "output_tokens": 2},
    }


def test_arguments_that_are_no_object_stay_a_string() -> None:
    """No client runs them."""
    cut: list[Event] = [ToolCallStart(0, "t", "f"), ToolCallDelta(0, '{"a')]
    assert whole(*cut, END)["content"][0]["input"] == '{"a'
    odd: list[Event] = [ToolCallStart(0, "t", "f"), ToolCallDelta(0, "[1]")]
    assert whole(*odd, END)["content"][0]["input"] == "[1]"


def test_half_a_whole_answer_is_half_a_document() -> None:
    responder = asked()
    responder.send(Text("a"))
    body = responder.end()
    with pytest.raises(ValueError, match=r"Expecting|delimiter"):
        json.loads(body)
    answer = json.loads(body + b"}")
    assert (answer["stop_reason"], answer["content"][0]["text"]) == (None, "a")


def test_what_is_signed_is_heard_as_it_was_said() -> None:
    for streamed in (True, False):
        chat = as_chat("hi", model="m", stream=streamed)
        recorded = record(ANTHROPIC, chat, SIGNED)[-1]
        response = Response(recorded.body, recorded.status, recorded.headers)
        reply = drive(ANTHROPIC.exchange(chat), response).succeeded().reply
        said = [json.loads(e.raw) for e in SIGNED if isinstance(e, Native)]
        assert [json.loads(native.raw) for native in reply.choices[0].natives] == said


def test_a_whole_answer_keeps_all_of_a_native_form() -> None:
    caller = {"type": "code_execution_20260120", "tool_id": "s"}
    form = {"type": "tool_use", "id": "t", "name": "f", "input": {"a": 1}, "caller": caller}
    call: list[Event] = [ToolCallStart(0, "t", "f"), ToolCallDelta(0, '{"a":1}')]
    answer = whole(*call, Native("anthropic", json.dumps(form).encode()), END)
    assert answer["content"] == [form]


def test_a_native_form_whose_block_is_over_is_not_written_again() -> None:
    form = Native("anthropic", b'{"type":"text","text":"a","citations":[]}')
    assert [block[0]["type"] for block in blocks(Text("a"), Text("b", 1), form)] == ["text", "text"]


def test_an_empty_text_is_no_block() -> None:
    assert blocks(Text("")) == []


def test_usage_whose_input_was_told_before() -> None:
    *_, last, _ = stream(Usage(30), Text("a"), Usage(None, 7), FINISH, END)
    assert last["usage"] == {"output_tokens": 7}


# What it can't say


def test_a_native_form_that_is_no_block() -> None:
    with pytest.raises(
        LocalProtocolError, match=r"^a native form of anthropic is a block: an object$"
    ):
        asked(stream=True).send(Native("anthropic", b"[1]"))


@pytest.mark.parametrize(
    "event",
    [
        Image(b"d", "image/png"),
        Unrecognized(b"{}"),
        Unrecognized(b"{}", "delta.x"),
        Text("a", index=1),
        Finish("end_turn", "stop", index=1),
        ToolCallStart(0, "t", "f", custom=True),
    ],
)
def test_what_it_cannot_say(event: Event) -> None:
    responder = asked(stream=True)
    responder.send(Text("a"))
    with pytest.raises(LocalProtocolError, match="anthropic can't say"):
        responder.send(event)


class Sealer:
    def seal(self, native: Native) -> str:
        return f"tw1.{native.raw.decode()}"

    def unseal(self, text: str) -> Native | None:
        return Native("gemini", text.removeprefix("tw1.").encode())


SEALED = Service(ANTHROPIC, sealer=Sealer())


def test_native_forms_of_other_formats() -> None:
    """With a sealer a thought has it as its signature; any other is a hidden thought of its
    own."""
    forms = [Native("gemini", b"1", 0), Native("gemini", b"2", 1)]
    call: list[Event] = [ToolCallStart(0, "t", "f", part=1), ToolCallDelta(0, "{}")]
    said: list[Event] = [Reasoning("so"), forms[0], forms[1], *call, Native("gemini", b"3", 2)]
    plain = blocks(*said)
    assert [start["type"] for start, *_ in plain] == ["thinking", "tool_use"]
    thought, second, called, third = blocks(*said, service=SEALED)
    assert thought[-1] == {"type": "signature_delta", "signature": "tw1.1"}
    assert second == [{"type": "redacted_thinking", "data": "tw1.2"}]
    assert called[0]["type"] == "tool_use"
    assert third == [{"type": "redacted_thinking", "data": "tw1.3"}]
    content = whole(*said, END, service=SEALED)["content"]
    assert [block["type"] for block in content] == [
        *("thinking", "tool_use", "redacted_thinking", "redacted_thinking"),
    ]
    assert content[0] == {"type": "thinking", "thinking": "so", "signature": "tw1.1"}


def test_a_sealed_form_of_a_later_thought_and_of_one_without_words() -> None:
    start = {"type": "thinking", "thinking": "", "signature": ""}
    signature = {"type": "signature_delta", "signature": "tw1.1"}
    said: list[Event] = [Text("a"), Reasoning("b", 1), Native("gemini", b"1", 1)]
    _, thought = blocks(*said, service=SEALED)
    assert thought == [start, {"type": "thinking_delta", "thinking": "b"}, signature]
    silent: list[Event] = [Reasoning(""), Native("gemini", b"1")]
    assert blocks(*silent, service=SEALED) == [[start, signature]]


def test_its_own_forms_are_not_sealed() -> None:
    for dialect in ("", "anthropic"):
        native = Native(dialect, b'{"type":"new"}')
        assert blocks(native, service=SEALED) == [[{"type": "new"}]]


def test_what_was_sealed_is_understood_again() -> None:
    hidden = {"type": "redacted_thinking", "data": "tw1.2"}
    said = {"role": "assistant", "content": [hidden]}
    chat = SEALED.responder().receive_request(post(messages=[*BODY["messages"], said]))
    assert chat is not None
    assert chat.messages[1].parts == (Opaque(Native("gemini", b"2")),)


# Errors


ERRORS: dict[str, tuple[RemoteProtocolError | LocalProtocolError, int | None, int, str, bool]] = {
    "key": (AuthenticationFailed("no"), None, 401, "authentication_error", True),
    "permission": (AuthenticationFailed("no"), 403, 403, "permission_error", True),
    "bad": (BadRequest("no"), None, 400, "invalid_request_error", True),
    "not found": (BadRequest("no"), 404, 404, "not_found_error", True),
    "too large": (BadRequest("no"), 413, 413, "request_too_large", True),
    "too many": (RateLimited("no"), None, 429, "rate_limit_error", False),
    "overloaded": (Overloaded("no"), None, 529, "overloaded_error", False),
    "overloaded by a status": (Overloaded("no"), 503, 503, "overloaded_error", False),
    "timeout": (Overloaded("no"), 504, 504, "timeout_error", False),
    "any": (Refused("no"), None, 500, "api_error", False),
    "ours": (LocalProtocolError("no"), None, 400, "invalid_request_error", True),
    "theirs": (Malformed("no"), None, 400, "invalid_request_error", False),
    "cut": (Truncated("no"), 200, 502, "api_error", False),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors(name: str) -> None:
    error, given, status, type, useless = ERRORS[name]
    if isinstance(error, RemoteProtocolError):
        error.status = given
    responder = asked()
    body = json.loads(responder.fail(error))
    found, headers = responder.head()
    assert (found, body) == (
        status,
        {
            "type": "error",
            "error": {"type": type, "message": "no"},
            "request_id": "req_1",
        },
    )
    assert (b"request-id", b"req_1") in headers
    assert ((b"x-should-retry", b"false") in headers) is useless


def test_what_the_service_advises_counts() -> None:
    error = BadRequest("no")
    error.should_retry = True
    responder = asked()
    responder.fail(error)
    assert (b"x-should-retry", b"false") not in responder.head()[1]


def test_a_limit_that_lasts() -> None:
    error = RateLimited("no")
    error.status, error.lasting = 402, True
    responder = asked()
    assert json.loads(responder.fail(error))["error"]["type"] == "billing_error"
    assert (b"x-should-retry", b"false") in responder.head()[1]


def test_an_error_amid_the_answer() -> None:
    responder = asked(stream=True)
    responder.send(Text("a"))
    said = responder.fail_midway(Overloaded("no"))
    assert said.startswith(b"event: error\ndata: ")
    assert json.loads(said.partition(b"data: ")[2])["error"]["type"] == "overloaded_error"


# Requests that are refused, and those beside the chat


@pytest.mark.parametrize("field", ["model", "max_tokens"])
def test_what_a_request_needs(field: str) -> None:
    fields = {key: value for key, value in BODY.items() if key != field}
    request = Request("POST", "https://x/v1/messages", JSON, json.dumps(fields).encode())
    status, body = answer_to(request)
    assert (status, body["error"]["message"]) == (400, f"{field}: Field required")


def answer_to(request: Request, **how: Any) -> tuple[int, Any]:
    responder = Service(ANTHROPIC, **how).responder()
    try:
        assert responder.receive_request(request) is None
        body = responder.end()
    except Refused as error:
        body = responder.fail(error)
    return responder.head()[0], json.loads(body)


def test_counting_tokens() -> None:
    path = "/v1/messages/count_tokens"
    fields = {key: value for key, value in BODY.items() if key != "max_tokens"}
    request = Request("POST", f"https://x{path}", JSON, json.dumps(fields).encode())
    assert answer_to(request) == (200, {"input_tokens": 1})
    long = [{"role": "user", "content": [{"type": "text", "text": "x" * 400, "n": 1}]}]
    assert answer_to(post(path, messages=long, system="y" * 40)) == (200, {"input_tokens": 112})
    assert answer_to(post(path, messages=[]))[0] == 400


def test_models() -> None:
    first = {
        "type": "model",
        "id": "claude-fable-5-2",
        "display_name": "claude-fable-5-2",
        "created_at": "1970-01-01T00:00:00Z",
    }
    status, listed = answer_to(get("/v1/models?limit=1000"))
    assert (status, listed["data"][0], listed["has_more"]) == (200, first, False)
    assert (listed["first_id"], listed["last_id"]) == ("claude-fable-5-2", "claude-haiku-4-5")
    assert answer_to(get("/v1/models/claude-fable-5-2")) == (200, first)
    bare = Service(ANTHROPIC.replace(models=())).responder()
    assert bare.receive_request(get("/v1/models")) is None
    assert json.loads(bare.end())["first_id"] == "any"


def test_probes() -> None:
    for path in ("/", "/health", "/api/hello"):
        assert answer_to(get(path, "HEAD")) == (200, {"status": "ok"})
    for path in ("/hello", "/v1/"):
        status, body = answer_to(get(path, "HEAD"))
        assert (status, body["error"]["type"]) == (404, "not_found_error")


def test_the_base_url_may_have_the_version_or_not() -> None:
    for path in ("/messages", "/v1/messages", "/v1/v1/messages", "/v1/messages/"):
        assert Service(ANTHROPIC).responder().receive_request(post(path)) is not None
    assert answer_to(get("/models")) == answer_to(get("/v1/models"))
    assert answer_to(get("/messages"))[1]["error"]["message"].endswith("takes POST, not GET")


def test_the_query_does_not_matter() -> None:
    responder = Service(ANTHROPIC).responder()
    assert responder.receive_request(post("/v1/messages?beta=true")) is not None


def test_keys() -> None:
    service = Service(ANTHROPIC, key="sesame")
    places: list[Headers] = [
        [(b"x-api-key", b"sesame")],
        [(b"authorization", b"Bearer sesame")],
        [(b"x-api-key", b"other"), (b"authorization", b"Bearer sesame")],
    ]
    for place in places:
        assert service.responder().receive_request(post(headers=[*JSON, *place])) is not None
    status, body = answer_to(get("/v1/models"), key="sesame")
    assert (status, body["error"]["type"]) == (401, "authentication_error")


@pytest.mark.parametrize("path", ["/v1/messages", "/v1/messages/count_tokens"])
def test_a_body_that_is_not_labelled(path: str) -> None:
    status, body = answer_to(post(path, [(b"content-type", b"text/plain")]))
    assert (status, body["error"]["type"]) == (415, "invalid_request_error")


def test_an_unknown_model() -> None:
    strict = ANTHROPIC.replace(any_model=False)
    with pytest.raises(BadRequest, match="no model 'm'"):
        Service(strict).responder().receive_request(post())


def test_vertex() -> None:
    """The model is in the path, and whether the answer is streamed, too."""
    service = Service(PROVIDERS["anthropic-vertex"])
    bodies: Iterator[tuple[str, bool]] = iter((("streamRawPredict", True), ("rawPredict", False)))
    for method, streamed in bodies:
        fields = {key: value for key, value in BODY.items() if key != "model"}
        content = json.dumps({**fields, "stream": streamed}).encode()
        path = f"/v1/projects/p/locations/l/publishers/anthropic/models/claude-x%401:{method}"
        responder = service.responder()
        chat = responder.receive_request(Request("POST", f"https://x{path}", JSON, content))
        assert isinstance(chat, Chat)
        assert (chat.model, chat.stream) == ("claude-x@1", streamed)
