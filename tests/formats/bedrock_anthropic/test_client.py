"""Asking for Anthropic Messages by InvokeModel: the envelope. What is in it is the format
`anthropic`."""

import json
from typing import Any

import pytest

from tests.driving import JSON, Response, alike
from tests.formats.bedrock_anthropic.subject import BEDROCK, chunks
from tokenwire import Message, as_chat
from tokenwire.protocols.aws import event_frame
from tokenwire.protocols.chat import ImagePart
from tokenwire.protocols.errors import (
    LocalProtocolError,
    Malformed,
    Overloaded,
    RateLimited,
    Refused,
    Truncated,
)
from tokenwire.protocols.events import (
    End,
    Event,
    Finish,
    Start,
    Text,
    ToolCallEnd,
    Unrecognized,
    Usage,
)
from tokenwire.protocols.exchange import Exchange
from tokenwire.protocols.toolkit.frames import encode_frame
from tokenwire.protocols.toolkit.http import Headers, Request, get_header

MODEL = "us.anthropic.claude-x-v1:0"
FRAMES: Headers = [(b"content-type", b"application/vnd.amazon.eventstream")]


def ask(**options: Any) -> Exchange:
    return BEDROCK.exchange(as_chat("hi", **{"model": MODEL, **options}))


def request_of(**options: Any) -> Request:
    request = ask(**options).next_request()
    assert request is not None
    return request


def said(body: bytes) -> list[Event]:
    return alike(ask(), Response(body, 200, FRAMES)).succeeded().events


BEGIN = '{"type":"message_start","message":{"id":"m","model":"c","usage":{"input_tokens":2}}}'
TEXT = '{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"h"}}'
STOP = '{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":3}}'
OVER = '{"type":"message_stop"}'
START = [Start("m", "c"), Usage(2, raw={"input_tokens": 2})]
COUNTED = Usage(2, 3, 5, raw={"input_tokens": 2, "output_tokens": 3})
END = [COUNTED, Finish("end_turn", "stop"), End("terminator")]


@pytest.mark.parametrize(
    ("stream", "path"), [(True, "invoke-with-response-stream"), (False, "invoke")]
)
def test_the_request(stream: bool, path: str) -> None:
    request = request_of(stream=stream)
    assert request.target == f"/model/us.anthropic.claude-x-v1%3A0/{path}"
    assert json.loads(request.body) == {
        "anthropic_version": "bedrock-2023-05-31",
        "max_tokens": 32_000,
        "messages": [{"role": "user", "content": "hi"}],
    }
    assert get_header(request.headers, b"accept") == "application/json"
    assert get_header(request.headers, b"anthropic-version") is None
    betas = {"anthropic_beta": ["a"], "anthropic_version": "new"}
    body = json.loads(request_of(stream=stream, max_tokens=5, extra=betas).body)
    assert body == {**betas, "max_tokens": 5, "messages": [{"role": "user", "content": "hi"}]}


def test_pictures_by_their_bytes_only() -> None:
    def ask_about(part: ImagePart) -> Exchange:
        return BEDROCK.exchange(as_chat([Message("user", (part,))], model="m"))

    with pytest.raises(LocalProtocolError, match="takes a picture by its bytes only"):
        ask_about(ImagePart("https://a.test/b.png"))
    assert ask_about(ImagePart.of_bytes(b"x", "image/png"))


def test_a_stream() -> None:
    assert said(chunks(BEGIN, TEXT, TEXT, STOP, OVER) + b"rest") == [
        *(*START, Text("h"), Text("h"), *END)
    ]


def test_a_call() -> None:
    call = '{"type":"content_block_start","index":0,'
    call += '"content_block":{"type":"tool_use","id":"t","name":"f","input":{}}}'
    over = '{"type":"content_block_stop","index":0}'
    stop = STOP.replace("end_turn", "tool_use")
    events = said(chunks(BEGIN, call, over, stop, OVER))
    assert ToolCallEnd(0, "t", "f", "{}", True) in events
    assert events[-2:] == [Finish("tool_use", "tool_call"), End("terminator")]


def test_chunks_without_base64() -> None:
    """As aimock writes them."""
    body = b"".join(event_frame("chunk", e.encode()) for e in (BEGIN, TEXT, STOP, OVER))
    assert said(body) == [*START, Text("h"), *END]


def test_keys_of_bedrock() -> None:
    action = TEXT[:-1] + ',"amazon-bedrock-guardrailAction":"INTERVENED"}'
    metrics = OVER[:-1] + ',"amazon-bedrock-invocationMetrics":{"inputTokenCount": 1}}'
    mentioned = '{"type":"content_block_delta","index":0,"delta":{"type":"text_delta",'
    mentioned += '"text":"\\"amazon-bedrock-x\\""}}'
    assert said(chunks(BEGIN, action, mentioned, STOP, metrics)) == [
        *START,
        Unrecognized(b'"INTERVENED"', "amazon-bedrock-guardrailAction"),
        *(Text("h"), Text('"amazon-bedrock-x"'), COUNTED),
        Unrecognized(b'{"inputTokenCount": 1}', "amazon-bedrock-invocationMetrics"),
        *END[1:],
    ]


def test_what_is_not_understood() -> None:
    old = '{"completion":"a"}'
    body = chunks(BEGIN, old, "Sorry", '{"type":"ping"}') + event_frame("trace", b"[]")
    assert said(body + chunks(TEXT, STOP, OVER)) == [
        *START,
        *(Unrecognized(old.encode()), Unrecognized(b"Sorry"), Unrecognized(b"[]", "trace")),
        *(Text("h"), *END),
    ]


def test_a_chunk_that_is_no_json() -> None:
    body = chunks(BEGIN, TEXT) + event_frame("chunk", b"no JSON")
    outcome = alike(ask(), Response(body, 200, FRAMES)).refused_by(Malformed)
    assert outcome.events == [*START, Text("h")]


@pytest.mark.parametrize(
    "payload",
    [b"{}", b'{"bytes":"?"}', b'{"bytes":1}', b'{"message":"no"}', b"[]", b"null"],
)
def test_a_chunk_that_is_none(payload: bytes) -> None:
    body = chunks(BEGIN, TEXT) + event_frame("chunk", payload) + chunks(STOP, OVER)
    assert said(body) == [*START, Text("h"), Unrecognized(payload), *END]


def test_a_stream_that_was_cut() -> None:
    body = chunks(BEGIN, TEXT)
    outcome = alike(ask(), Response(body, 200, FRAMES))
    outcome.refused_by(Truncated, "the stream ended before message_stop or a stop_reason")
    body = chunks(BEGIN, TEXT, STOP)
    assert said(body)[-1] == End("finish")
    half = Response(body + chunks(OVER)[:9], 200, FRAMES, "disconnect")
    assert alike(ask(), half).succeeded().events[-1] == End("finish")


def test_a_reason_that_is_an_error() -> None:
    provider = BEDROCK.replace(finishes={"broken": "error"})
    stop = STOP.replace("end_turn", "broken")
    exchange = provider.exchange(as_chat("hi", model="m"))
    outcome = alike(exchange, Response(chunks(BEGIN, stop, OVER), 200, FRAMES))
    outcome.refused_by(Refused, "broken")


def test_errors() -> None:
    headers = {":message-type": "exception", ":exception-type": "modelTimeoutException"}
    body = chunks(BEGIN, TEXT) + encode_frame(headers, b'{"message":"slow"}')
    alike(ask(), Response(body, 200, FRAMES)).refused_by(Overloaded, "slow")
    named: Headers = [*JSON, (b"x-amzn-errortype", b"ThrottlingException:x")]
    alike(ask(), Response(b'{"message":"slow"}', 400, named)).refused_by(RateLimited, "slow")
    body = chunks('{"type":"error","error":{"type":"overloaded_error","message":"busy"}}')
    alike(ask(), Response(body, 200, FRAMES)).refused_by(Overloaded, "busy")
    alike(ask(), Response(b'{"Message":"no"}', 200, JSON)).refused_by(Refused, "no")


@pytest.mark.parametrize("stream", [True, False])
def test_a_whole_answer(stream: bool) -> None:
    body = b'{"id":"m","model":"c","content":[{"type":"text","text":"h"}],"stop_reason":"end_turn"}'
    outcome = alike(ask(stream=stream), Response(body, 200, JSON)).succeeded()
    assert (outcome.reply.text, outcome.events[-1]) == ("h", End("terminator"))
