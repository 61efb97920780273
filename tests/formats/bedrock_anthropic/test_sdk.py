"""The anthropic SDK's client for Bedrock, and boto3, against the server half on a real socket."""

import json
from collections.abc import Iterator
from typing import Any

import anthropic
import pytest
from anthropic.lib.bedrock import AnthropicBedrock

from tests.formats.bedrock import test_sdk as boto
from tokenwire import (
    Chat,
    End,
    Event,
    Finish,
    Native,
    Reasoning,
    Text,
    ToolCallDelta,
    ToolCallEnd,
    ToolCallStart,
    Usage,
)
from tokenwire.protocols.auth import AwsKey
from tokenwire.protocols.errors import RateLimited
from tokenwire.server import Server, serve

alone = boto.alone
MODEL = "us.anthropic.claude-x-v1:0"
KEY = AwsKey("AKIDEXAMPLE", "s3cr3t/+", "session/token==")
SIGNED = b'{"type":"thinking","thinking":"so","signature":"c2ln"}'


def answer(chat: Chat) -> Iterator[Event]:
    yield Reasoning("so")
    yield Native("anthropic", SIGNED)
    yield Text("h\u20ac", part=1)
    yield ToolCallStart(0, "t1", "f", part=2)
    yield ToolCallDelta(0, '{"a":1}')
    yield ToolCallEnd(0, "t1", "f", '{"a":1}', True)
    yield Usage(3, 2)
    yield Finish("tool_use", "tool_call")
    yield End("terminator")


def client(server: Server, secret: str = KEY.secret) -> AnthropicBedrock:
    return AnthropicBedrock(
        base_url=server.url,
        aws_region="eu-west-1",
        aws_access_key=KEY.id,
        aws_secret_key=secret,
        aws_session_token=KEY.token,
        max_retries=0,
    )


def test_a_stream_and_a_whole_answer() -> None:
    with serve("bedrock-anthropic", answer, key=KEY) as server, client(server) as asking:
        with asking.messages.stream(
            model=MODEL, max_tokens=10, messages=[{"role": "user", "content": "h\u00e9"}]
        ) as stream:
            streamed = stream.get_final_message()
        whole = asking.messages.create(
            model=MODEL, max_tokens=10, messages=[{"role": "user", "content": "h\u00e9"}]
        )
        for message in (streamed, whole):
            thought, text, call = message.content
            assert thought.to_dict() == json.loads(SIGNED)
            assert text.to_dict()["text"] == "h\u20ac"
            assert call.to_dict()["input"] == {"a": 1}
            assert (message.stop_reason, message.usage.output_tokens) == ("tool_use", 2)
        assert [request.target.rpartition("/")[2] for request in server.requests] == [
            *("invoke-with-response-stream", "invoke")
        ]
    assert server.errors == []


def test_a_wrong_secret() -> None:
    with (
        serve("bedrock-anthropic", answer, key=KEY) as server,
        client(server, "wrong") as asking,
        pytest.raises(anthropic.PermissionDeniedError) as caught,
    ):
        asking.messages.create(
            model=MODEL, max_tokens=10, messages=[{"role": "user", "content": "hi"}]
        )
    assert caught.value.status_code == 403


BODY = {
    "anthropic_version": "bedrock-2023-05-31",
    "max_tokens": 5,
    "messages": [{"role": "user", "content": "hi"}],
}


def types_of(asked: Any) -> Iterator[str]:
    """The types of the events in chunks."""
    for event in asked["body"]:
        yield json.loads(event["chunk"]["bytes"])["type"]
    asked["body"].close()


def test_boto3_reads_chunks() -> None:
    with serve("bedrock-anthropic", answer, key=KEY) as server:
        ask = boto.client(server, KEY).invoke_model_with_response_stream
        types = list(types_of(ask(modelId=MODEL, body=json.dumps(BODY))))
        whole = boto.client(server, KEY).invoke_model(modelId=MODEL, body=json.dumps(BODY))
        content = json.loads(whole["body"].read())["content"]
    assert (types[0], types[-1]) == ("message_start", "message_stop")
    assert [block["type"] for block in content] == ["thinking", "text", "tool_use"]


def test_boto3_reads_an_exception_midway() -> None:
    def slow(chat: Chat) -> Iterator[Event]:
        yield Text("h")
        raise RateLimited("slow down")

    types: list[str] = []
    with serve("bedrock-anthropic", slow, key=KEY) as server:
        ask = boto.client(server, KEY).invoke_model_with_response_stream
        asked = ask(modelId=MODEL, body=json.dumps(BODY))
        with pytest.raises(boto.exceptions.EventStreamError) as caught:
            types.extend(types_of(asked))
        asked["body"].close()
    assert types == ["message_start", "content_block_start", "content_block_delta"]
    assert caught.value.response["Error"]["Code"] == "throttlingException"
