"""Converse, server half: what it writes."""

import json
from typing import Any

import pytest

from tests.driving import Response, drive
from tests.formats.bedrock.subject import BEDROCK, MODEL
from tests.formats.bedrock.test_request import Sealer
from tokenwire import Limits, LocalProtocolError, Service, as_chat
from tokenwire.protocols.chat import ReasoningPart
from tokenwire.protocols.errors import AuthenticationFailed, RateLimited
from tokenwire.protocols.events import (
    Citation,
    End,
    Event,
    Finish,
    FinishKind,
    Image,
    Native,
    Reasoning,
    Refusal,
    Start,
    Text,
    ToolCallDelta,
    ToolCallEnd,
    ToolCallStart,
    Usage,
)
from tokenwire.protocols.service import Responder
from tokenwire.protocols.toolkit.frames import Frame, Frames
from tokenwire.protocols.toolkit.http import Headers, Request
from tokenwire.testing.recording import responder_to

EVENT = {":content-type": "application/json", ":message-type": "event"}


def frames_of(data: bytes) -> list[Frame]:
    frames: list[Frame] = []
    Frames(1 << 20).feed(data, frames)
    return frames


def written(*events: Event, sealer: Sealer | None = None) -> list[tuple[str, Any]]:
    """The names and payloads of what is written of a stream, after its start."""
    responder = begun(sealer=sealer)
    frames = frames_of(b"".join(map(responder.send, events)) + responder.end())
    for frame in frames:
        assert {**frame.headers, ":event-type": ""} == {**EVENT, ":event-type": ""}
    said = [(str(f.headers[":event-type"]), json.loads(f.payload)) for f in frames]
    assert said[0] == ("messageStart", {"role": "assistant"})
    return said[1:]


def begun(*, stream: bool = True, sealer: Sealer | None = None) -> Responder:
    exchange = BEDROCK.exchange(as_chat("hi", model=MODEL, stream=stream))
    request = exchange.next_request()
    assert request is not None
    responder = Service(BEDROCK, sealer=sealer).responder()
    assert responder.receive_request(request) is not None
    return responder


def whole(*events: Event, sealer: Sealer | None = None) -> dict[str, Any]:
    responder = begun(stream=False, sealer=sealer)
    for event in events:
        assert responder.send(event) == b""
    value: dict[str, Any] = json.loads(responder.end())
    return value


def content(*events: Event, sealer: Sealer | None = None) -> list[Any]:
    blocks: list[Any] = whole(*events, *DONE, sealer=sealer)["output"]["message"]["content"]
    return blocks


def delta(number: int, **kind: Any) -> tuple[str, Any]:
    return "contentBlockDelta", {"contentBlockIndex": number, "delta": kind}


def start(number: int, **kind: Any) -> tuple[str, Any]:
    return "contentBlockStart", {"contentBlockIndex": number, "start": kind}


def stop(number: int) -> tuple[str, Any]:
    return "contentBlockStop", {"contentBlockIndex": number}


DONE: tuple[Event, ...] = (Finish("end_turn", "stop"), End("terminator"))
COUNTS = {"inputTokens": 0, "outputTokens": 0, "totalTokens": 0}
META = ("metadata", {"usage": COUNTS, "metrics": {"latencyMs": 0}})
OVER = [("messageStop", {"stopReason": "end_turn"}), META]


def native(**form: Any) -> Native:
    return Native("bedrock", json.dumps(form).encode())


def test_texts_and_thoughts_have_no_start() -> None:
    assert written(Start("i", "m"), Reasoning("so"), Text("h", 1), Text("i", 1), *DONE) == [
        *(delta(0, reasoningContent={"text": "so"}), stop(0)),
        *(delta(1, text="h"), delta(1, text="i"), stop(1), *OVER),
    ]


def test_a_start_alone_is_not_written() -> None:
    assert begun().send(Start("i", "m")) == b""


def test_an_answer_of_nothing() -> None:
    assert written(End("terminator")) == OVER
    assert whole(End("terminator")) == {
        "output": {"message": {"role": "assistant", "content": []}},
        "stopReason": "end_turn",
        **META[1],
    }


def test_calls() -> None:
    call = ToolCallStart(0, "t", "f", part=1)
    assert written(
        *(Text("h"), call, ToolCallDelta(0, '{"a"'), Text("i", 2), ToolCallDelta(0, ":1}")),
        *(ToolCallStart(1, "", "g", part=3), ToolCallStart(2, "a b", "g", part=4)),
        ToolCallEnd(0, "t", "f", '{"a":1}', True),
        End("terminator"),
    ) == [
        *(delta(0, text="h"), stop(0), start(1, toolUse={"toolUseId": "t", "name": "f"})),
        *(delta(1, toolUse={"input": '{"a"'}), delta(1, toolUse={"input": ":1}"}), stop(1)),
        *(delta(2, text="i"), stop(2)),
        *(start(3, toolUse={"toolUseId": "tooluse_1_1", "name": "g"}), stop(3)),
        start(4, toolUse={"toolUseId": "tw_zbuhucfklvxnebcdfd5g", "name": "g"}),
        *(stop(4), ("messageStop", {"stopReason": "tool_use"}), META),
    ]


def test_a_refusal_is_text() -> None:
    assert written(Refusal("no"), *DONE) == [delta(0, text="no"), stop(0), *OVER]
    assert content(Refusal("no"), Refusal("n", 1)) == [{"text": "no"}, {"text": "n"}]


SIGNED = {"reasoningContent": {"reasoningText": {"text": "so", "signature": "s"}}}
HIDDEN = {"reasoningContent": {"redactedContent": "YQ=="}}


def test_a_signed_thought() -> None:
    events = (Reasoning("so"), native(**SIGNED))
    assert written(*events, *DONE) == [
        *(delta(0, reasoningContent={"text": "so"}), delta(0, reasoningContent={"signature": "s"})),
        *(stop(0), *OVER),
    ]
    assert content(*events) == [SIGNED]
    assert content(Reasoning("so")) == [{"reasoningContent": {"reasoningText": {"text": "so"}}}]
    # The native form of something else has no signature.
    assert content(Reasoning("so"), native(**HIDDEN)) == content(Reasoning("so"))
    assert content(Reasoning("so"), native(reasoningContent=1)) == content(Reasoning("so"))


CITED = {"content": [{"text": "x"}], "citations": [{"title": "t"}, {"title": "u"}]}


@pytest.mark.parametrize(
    ("form", "frames"),
    [
        (
            SIGNED,
            [
                delta(0, reasoningContent={"text": "so"}),
                delta(0, reasoningContent={"signature": "s"}),
            ],
        ),
        (
            {"reasoningContent": {"reasoningText": {"text": "", "signature": "s"}}},
            [delta(0, reasoningContent={"signature": "s"})],
        ),
        (HIDDEN, [delta(0, reasoningContent={"redactedContent": "YQ=="})]),
        (
            {"citationsContent": CITED},
            [
                delta(0, citation={"title": "t"}),
                delta(0, citation={"title": "u"}),
                delta(0, text="x"),
            ],
        ),
        (
            {
                "toolUse": {
                    "toolUseId": "s",
                    "name": "n",
                    "type": "server_tool_use",
                    "input": {"a": 1},
                }
            },
            [
                start(0, toolUse={"toolUseId": "s", "name": "n", "type": "server_tool_use"}),
                delta(0, toolUse={"input": '{"a":1}'}),
            ],
        ),
        (
            {"toolUse": {"toolUseId": "s"}},
            [start(0, toolUse={"toolUseId": "s"}), delta(0, toolUse={"input": "{}"})],
        ),
        (
            {"toolResult": {"toolUseId": "s", "status": "error", "content": [{"text": "a"}]}},
            [
                start(0, toolResult={"toolUseId": "s", "status": "error"}),
                delta(0, toolResult=[{"text": "a"}]),
            ],
        ),
        (
            {"toolResult": {"toolUseId": "s"}},
            [start(0, toolResult={"toolUseId": "s"}), delta(0, toolResult=[])],
        ),
        (
            {"image": {"format": "png", "source": {"s3Location": {"uri": "s3://a"}}}},
            [
                start(0, image={"format": "png"}),
                delta(0, image={"source": {"s3Location": {"uri": "s3://a"}}}),
            ],
        ),
    ],
)
def test_a_block_that_is_nothing_but_its_native_form(form: Any, frames: list[Any]) -> None:
    assert written(native(**form), *DONE) == [*frames, stop(0), *OVER]
    assert content(native(**form)) == [form]


@pytest.mark.parametrize(
    "form", [{"new": 1}, {"toolUse": 1}, {"toolResult": 1}, {"citationsContent": 1}, {"image": 1}]
)
def test_a_native_form_that_no_stream_has(form: Any) -> None:
    responder = begun()
    (name,) = form
    with pytest.raises(LocalProtocolError) as caught:
        responder.send(native(**form))
    assert str(caught.value) == f"a stream of bedrock has no block {name}: leave it out"
    assert content(native(**form)) == [form]


def test_the_keys_of_a_native_form_that_no_stream_has() -> None:
    for keys, words in ((("a", "b"), "a, b"), (("x" * 100,), "x" * 80)):
        with pytest.raises(LocalProtocolError, match=f"has no block {words}: leave it out"):
            begun().send(native(**dict.fromkeys(keys, 1)))


@pytest.mark.parametrize(
    ("raw", "words"),
    [(b"[]", "^a native form of bedrock is a block: an object"), (b"x", "that is not JSON")],
)
def test_a_native_form_that_is_none(raw: bytes, words: str) -> None:
    with pytest.raises(LocalProtocolError, match=words):
        begun().send(Native("bedrock", raw))


# Sources


def test_a_text_that_begins_with_a_source_waits_for_its_end() -> None:
    events = (Citation("https://a.test", "t", "d", "q"), Text("h"), Citation("u"), Text("i"))
    first = {
        "title": "t",
        "source": "d",
        "sourceContent": [{"text": "q"}],
        "location": {"web": {"url": "https://a.test"}},
    }
    second = {"title": "", "location": {"web": {"url": "u"}}}
    assert written(*events, Text("j", 1), *DONE) == [
        *(delta(0, citation=first), delta(0, citation=second), delta(0, text="hi"), stop(0)),
        *(delta(1, text="j"), stop(1), *OVER),
    ]
    assert content(*events) == [
        {"citationsContent": {"content": [{"text": "hi"}], "citations": [first, second]}}
    ]


def test_the_native_form_has_the_sources_in_full() -> None:
    events = (Citation(title="t"), Text("h"), native(citationsContent=CITED))
    citations = [delta(0, citation={"title": "t"}), delta(0, citation={"title": "u"})]
    assert written(*events, *DONE) == [*citations, delta(0, text="h"), stop(0), *OVER]
    form = {"content": [{"text": "h"}], "citations": CITED["citations"]}
    assert content(*events) == [{"citationsContent": form}]


def test_a_source_after_its_text() -> None:
    assert written(Text("h"), Citation(title="t"), Text("i"), *DONE) == [
        *(delta(0, text="h"), delta(0, citation={"title": "t"}), delta(0, text="i"), stop(0)),
        *OVER,
    ]


def test_a_source_after_another_block() -> None:
    assert written(Text("h"), Citation(title="t", part=1), Text("i", 1), *DONE) == [
        *(delta(0, text="h"), stop(0), delta(1, citation={"title": "t"}), delta(1, text="i")),
        *(stop(1), *OVER),
    ]


def test_a_source_without_a_text() -> None:
    assert written(Citation(title="t"), *DONE) == [
        delta(0, citation={"title": "t"}),
        stop(0),
        *OVER,
    ]
    assert content(Citation(title="t")) == [
        {"citationsContent": {"content": [], "citations": [{"title": "t"}]}}
    ]


def test_a_text_that_waits_is_bounded() -> None:
    responder = begun()
    responder.send(Citation(title="t"))
    # The source counts as 1, and each piece as one more than its length.
    assert responder.send(Text("x" * (Limits().event - 2))) == b""
    with pytest.raises(LocalProtocolError) as caught:
        responder.send(Text("x"))
    words = "a text with sources that is too long: leave out its sources"
    assert str(caught.value) == words


# Native forms of others


def test_native_forms_of_others() -> None:
    foreign = Native("openai_responses", b"{}", 0)
    assert content(Reasoning("so"), foreign) == content(Reasoning("so"))
    sealed = "sealed openai_responses {}"
    assert content(Reasoning("so"), foreign, sealer=Sealer()) == [
        {"reasoningContent": {"reasoningText": {"text": "so", "signature": sealed}}}
    ]
    hidden = {"redactedContent": "c2VhbGVkIG9wZW5haV9yZXNwb25zZXMge30="}
    other = Native("openai_responses", b"{}", 1)
    assert content(Text("h"), other, sealer=Sealer()) == [
        *({"text": "h"}, {"reasoningContent": hidden})
    ]
    assert content(Text("h", 1), Native("openai_responses", b"{}", 2), sealer=Sealer()) == [
        *({"text": "h"}, {"reasoningContent": hidden})
    ]
    assert content(Native("", b'{"new":1}'), sealer=Sealer()) == [{"new": 1}]
    assert written(Text("h"), foreign, other, *DONE, sealer=Sealer())[1:] == [
        *(stop(0), delta(1, reasoningContent=hidden), stop(1)),
        *(delta(2, reasoningContent=hidden), stop(2), *OVER),
    ]


def test_sealed_forms_are_opened() -> None:
    foreign = Native("openai_responses", b"{}")
    thought = {"reasoningText": {"text": "so", "signature": Sealer().seal(foreign)}}
    content = [{"reasoningContent": thought}]
    body = {"messages": [{"role": "assistant", "content": content}]}
    url = f"https://x.test/model/{MODEL}/converse"
    request = Request("POST", url, [], json.dumps(body).encode())
    chat = Service(BEDROCK, sealer=Sealer()).responder().receive_request(request)
    assert chat is not None
    assert chat.messages[0].parts == (ReasoningPart("so", foreign),)


# The end


@pytest.mark.parametrize(
    ("reason", "kind", "said"),
    [
        ("stop", "stop", "end_turn"),
        ("length", "length", "max_tokens"),
        ("tool_calls", "tool_call", "tool_use"),
        ("content_filter", "content_filter", "content_filtered"),
        ("guardrail_intervened", "content_filter", "guardrail_intervened"),
        ("stop_sequence", "stop", "stop_sequence"),
        ("new", "", "new"),
    ],
)
def test_the_reason(reason: str, kind: FinishKind, said: str) -> None:
    stopped = ("messageStop", {"stopReason": said})
    assert written(Finish(reason, kind), End("terminator")) == [stopped, META]
    assert whole(Finish(reason, kind), End("terminator"))["stopReason"] == said


def test_usage() -> None:
    raw: dict[str, Any] = {
        "serverToolUsage": {},
        "cacheDetails": [],
        "x": 1,
        "metrics": {"latencyMs": 7},
        "serviceTier": {"type": "flex"},
    }
    usage = Usage(1324, 5, 1, 1, 1322, 3, raw)
    told: dict[str, Any] = {
        "usage": {
            "inputTokens": 1,
            "outputTokens": 5,
            "totalTokens": 1329,
            "cacheReadInputTokens": 1,
            "cacheWriteInputTokens": 1322,
            "cacheDetails": [],
            "serverToolUsage": {},
        },
        "metrics": {"latencyMs": 7},
        "serviceTier": {"type": "flex"},
    }
    assert written(usage, *DONE)[-1] == ("metadata", told)
    assert {k: v for k, v in whole(usage, *DONE).items() if k in told} == told
    counts = {"inputTokens": 5, "outputTokens": 2, "totalTokens": 7}
    assert written(Usage(5, 2), *DONE)[-1][1]["usage"] == counts
    assert written(Usage(1, None, None, 5), *DONE)[-1][1]["usage"]["inputTokens"] == 0


def test_an_answer_without_its_end() -> None:
    responder = begun()
    body = responder.send(Text("h")) + responder.end()
    assert not responder.complete
    assert [frame.headers[":event-type"] for frame in frames_of(body)] == [
        *("messageStart", "contentBlockDelta")
    ]
    responder = begun(stream=False)
    responder.send(Text("h"))
    body = responder.end()
    value = json.loads(body + b"}")
    assert "stopReason" not in value


def test_arguments_that_are_no_object() -> None:
    for arguments, said in (
        ("", ""),
        ("{}", ""),
        ('{"a":1}', {"a": 1}),
        ("[1]", "[1]"),
        ("{", "{"),
    ):
        (block,) = content(
            ToolCallStart(0, "t", "f"),
            ToolCallDelta(0, arguments),
            ToolCallEnd(0, "t", "f", arguments, isinstance(said, dict)),
            Finish("max_tokens", "length"),
        )
        assert block == {"toolUse": {"toolUseId": "t", "name": "f", "input": said}}


def test_a_whole_call_without_arguments() -> None:
    call = ToolCallStart(0, "t", "f"), ToolCallEnd(0, "t", "f", "", complete=True)
    (block,) = content(*call, Finish("tool_use", "tool_call"))
    assert block == {"toolUse": {"toolUseId": "t", "name": "f", "input": {}}}


def test_a_picture_can_not_be_said() -> None:
    for event in (Image(b"x", "image/png"), Text("x", index=1), ToolCallStart(0, "t", "f", True)):
        with pytest.raises(LocalProtocolError, match="bedrock can't say"):
            begun().send(event)


# The path and the key


@pytest.mark.parametrize(
    ("path", "stream"),
    [
        ("converse-stream", True),
        ("converse", False),
        ("converse-stream/", True),
        ("converse?x=-stream", False),
    ],
)
def test_the_path_says_whether_it_is_a_stream(path: str, stream: bool) -> None:
    headers: Headers = []  # some clients do not say that it is JSON
    body = b'{"messages":[{"role":"user","content":[{"text":"a"}]}]}'
    request = Request("POST", f"http://x.test/model/{MODEL}/{path}", headers, body)
    chat = Service(BEDROCK).responder().receive_request(request)
    assert chat is not None
    assert (chat.stream, chat.model) == (stream, MODEL)


def test_a_wrong_key_is_403() -> None:
    exchange = BEDROCK.exchange(as_chat("hi", model=MODEL), key="wrong")
    request = exchange.next_request()
    assert request is not None
    responder = Service(BEDROCK, key="right").responder()
    with pytest.raises(AuthenticationFailed) as caught:
        responder.receive_request(request)
    body = responder.fail(caught.value)
    status, headers = responder.head()
    assert (status, body) == (403, b'{"message":"the API key is missing or wrong"}')
    assert (b"x-amzn-errortype", b"UnrecognizedClientException") in headers
    drive(exchange.fresh(), Response(body, status, headers)).refused_by(AuthenticationFailed)


def test_an_error_midway() -> None:
    responder = responder_to(BEDROCK, as_chat("hi", model=MODEL))
    body = responder.send(Text("h")) + responder.fail_midway(RateLimited("slow down"))
    exchange = BEDROCK.exchange(as_chat("hi", model=MODEL))
    outcome = drive(exchange, Response(body, *responder.head()))
    outcome.refused_by(RateLimited, "the service refused: slow down")
    assert outcome.events[-1] == Text("h")


def test_the_example_of_the_sdk() -> None:
    dialect = BEDROCK.dialect
    assert dialect.sdk_example("http://x", "m", 'os.environ["KEY"]').splitlines() == [
        "# boto3; the key is ID:SECRET",
        "import os",
        "import boto3",
        "id, _, secret = os.environ[\"KEY\"].partition(':')",
        "client = boto3.client('bedrock-runtime', 'us-east-1', endpoint_url='http://x', "
        "aws_access_key_id=id, aws_secret_access_key=secret or id)",
        "answer = client.converse_stream(modelId='m', "
        "messages=[{'role': 'user', 'content': [{'text': 'Hello'}]}])",
        "for event in answer['stream']:",
        "    print(event.get('contentBlockDelta', {}).get('delta', {}).get('text', ''), end='')",
    ]
    assert "import os" not in dialect.sdk_example("http://x", "m", '"any"')
