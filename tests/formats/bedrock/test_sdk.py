"""boto3 against the server half, on a real socket: its client is one that we did not write."""

from collections.abc import Iterator
from importlib import import_module
from typing import Any

import pytest

from tests.formats.bedrock.subject import SIGNED
from tokenwire import (
    Chat,
    Citation,
    End,
    Event,
    Finish,
    Message,
    Native,
    Reasoning,
    Text,
    Tool,
    ToolCall,
    ToolCallDelta,
    ToolCallEnd,
    ToolCallStart,
    Usage,
)
from tokenwire.protocols.auth import AwsKey
from tokenwire.protocols.chat import Opaque, ReasoningPart, TextPart
from tokenwire.protocols.errors import Overloaded, RateLimited
from tokenwire.server import Server, serve

# Its modules have no types.
boto3: Any = import_module("boto3")
exceptions: Any = import_module("botocore.exceptions")
config: Any = import_module("botocore.config")

MODEL = "us.anthropic.claude-x-v1:0"
ARN = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc"
KEY = AwsKey("AKIDEXAMPLE", "s3cr3t/+", "session/token==")
HI = [{"role": "user", "content": [{"text": "hé"}]}]


_clients: list[Any] = []


@pytest.fixture(autouse=True, name="_alone")
def alone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Without the credentials of this machine; its clients are closed at the end."""
    for variable in ("AWS_BEARER_TOKEN_BEDROCK", "AWS_PROFILE", "AWS_REGION"):
        monkeypatch.delenv(variable, raising=False)
    for variable in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(variable, "/nonexistent")
    yield
    while _clients:
        _clients.pop().close()


def client(server: Server, key: AwsKey = KEY) -> Any:
    made = boto3.client(
        "bedrock-runtime",
        "eu-west-1",
        endpoint_url=server.url,
        aws_access_key_id=key.id,
        aws_secret_access_key=key.secret,
        aws_session_token=key.token or None,
        config=config.Config(retries={"total_max_attempts": 1}),
    )
    _clients.append(made)
    return made


def test_a_stream_with_everything() -> None:
    def answer(chat: Chat) -> Iterator[Event]:
        yield Reasoning("so")
        form = b'{"reasoningContent":{"reasoningText":{"text":"so","signature":"c2ln"}}}'
        yield Native("bedrock", form)
        yield Text("h\u20ac", part=1)
        yield ToolCallStart(0, "t1", "f", part=2)
        yield ToolCallDelta(0, '{"a":')
        yield ToolCallDelta(0, "1}")
        yield ToolCallEnd(0, "t1", "f", '{"a":1}', True)
        yield Usage(3, 2, 5, 1)
        yield Finish("tool_use", "tool_call")
        yield End("terminator")

    with serve("bedrock", answer, key=KEY) as server:
        answered = client(server).converse_stream(modelId=MODEL, messages=HI)
        whole = client(server).converse(modelId=ARN, messages=HI)
    stream = list(answered["stream"])
    answered["stream"].close()
    assert stream == [
        {"messageStart": {"role": "assistant"}},
        delta(0, {"reasoningContent": {"text": "so"}}),
        delta(0, {"reasoningContent": {"signature": "c2ln"}}),
        stop(0),
        delta(1, {"text": "h\u20ac"}),
        stop(1),
        {
            "contentBlockStart": {
                "start": {"toolUse": {"toolUseId": "t1", "name": "f"}},
                "contentBlockIndex": 2,
            }
        },
        delta(2, {"toolUse": {"input": '{"a":'}}),
        delta(2, {"toolUse": {"input": "1}"}}),
        stop(2),
        {"messageStop": {"stopReason": "tool_use"}},
        {
            "metadata": {
                "usage": {
                    "inputTokens": 2,
                    "outputTokens": 2,
                    "totalTokens": 5,
                    "cacheReadInputTokens": 1,
                },
                "metrics": {"latencyMs": 0},
            }
        },
    ]
    assert answered["ResponseMetadata"]["RequestId"] == "00000000-0000-4000-8000-000000000001"
    assert whole["output"]["message"]["content"] == [
        {"reasoningContent": {"reasoningText": {"text": "so", "signature": "c2ln"}}},
        {"text": "h\u20ac"},
        {"toolUse": {"toolUseId": "t1", "name": "f", "input": {"a": 1}}},
    ]
    assert (whole["stopReason"], whole["usage"]["totalTokens"]) == ("tool_use", 5)
    assert server.errors == []


def delta(number: int, piece: Any) -> Any:
    return {"contentBlockDelta": {"delta": piece, "contentBlockIndex": number}}


def stop(number: int) -> Any:
    return {"contentBlockStop": {"contentBlockIndex": number}}


def test_a_second_turn_with_thoughts_and_results() -> None:
    """What the client sends back is what it was told, and is understood."""
    asked: list[Chat] = []

    def answer(chat: Chat) -> Iterator[Event]:
        asked.append(chat)
        yield from SIGNED

    with serve("bedrock", answer, key=KEY) as server:
        said = client(server).converse(modelId=MODEL, messages=HI)["output"]["message"]
        client(server).converse(
            modelId=MODEL,
            messages=[
                *HI,
                {
                    "role": "assistant",
                    "content": [
                        *(block for block in said["content"] if "citationsContent" not in block),
                        {"toolUse": {"toolUseId": "t", "name": "f", "input": {"a": 1}}},
                    ],
                },
                {
                    "role": "user",
                    "content": [
                        {
                            "toolResult": {
                                "toolUseId": "t",
                                "content": [{"json": {"b": 2}}],
                                "status": "error",
                            }
                        },
                        {"text": "and?"},
                    ],
                },
            ],
            system=[{"text": "be brief"}, {"cachePoint": {"type": "default"}}],
            inferenceConfig={"maxTokens": 7, "temperature": 0.5, "stopSequences": ["x"]},
            toolConfig={
                "tools": [{"toolSpec": {"name": "f", "inputSchema": {"json": {"type": "object"}}}}],
                "toolChoice": {"any": {}},
            },
            additionalModelRequestFields={"top_k": 3},
        )
    assert [next(iter(block)) for block in said["content"]] == [
        *("reasoningContent", "reasoningContent", "toolUse", "toolResult", "citationsContent")
    ]
    first, chat = asked
    assert first.messages == (Message("user", "h\u00e9"),)
    assert chat.messages[0] == Message("system", (TextPart("be brief", "5m"),))
    thought, hidden, *served, call = chat.messages[2].parts
    assert thought == ReasoningPart("so", Native("bedrock", natives()[0]))
    assert hidden == Opaque(Native("bedrock", natives()[1]))
    assert len(served) == 2
    assert call == ToolCall("t", "f", '{"a":1}')
    assert chat.messages[3] == Message("tool", '{"b":2}', tool_call_id="t", failed=True)
    assert chat.messages[4] == Message("user", "and?")
    assert (chat.max_tokens, chat.temperature, chat.stop, chat.top_k) == (7, 0.5, ("x",), 3)
    assert chat.tools == (Tool("f", parameters={"type": "object"}),)
    assert (chat.tool_choice, chat.model, chat.stream) == ("required", MODEL, False)


def natives() -> list[bytes]:
    return [event.raw for event in SIGNED if isinstance(event, Native)]


def test_sources() -> None:
    def answer(chat: Chat) -> list[Event]:
        return [
            *(Citation("https://a.test", "t", quote="q"), Text("hi")),
            *(Finish("end_turn", "stop"), End("terminator")),
        ]

    with serve("bedrock", answer) as server:
        answered = client(server).converse_stream(modelId=MODEL, messages=HI)["stream"]
        stream = list(answered)
        answered.close()
    citation = stream[1]["contentBlockDelta"]["delta"]["citation"]
    assert citation == {
        "title": "t",
        "sourceContent": [{"text": "q"}],
        "location": {"web": {"url": "https://a.test"}},
    }
    assert stream[2] == delta(0, {"text": "hi"})


def test_a_wrong_secret() -> None:
    wrong = AwsKey(KEY.id, "s3cr3t", KEY.token)
    other = AwsKey(KEY.id, KEY.secret, "another/token")
    with serve("bedrock", key=KEY) as server:
        for key in (wrong, other, AwsKey("AKIDEXAMPLF", KEY.secret, KEY.token)):
            with pytest.raises(exceptions.ClientError) as caught:
                client(server, key).converse_stream(modelId=MODEL, messages=HI)
            response = caught.value.response
            assert response["Error"]["Code"] == "UnrecognizedClientException"
            assert response["ResponseMetadata"]["HTTPStatusCode"] == 403


def test_a_refusal() -> None:
    def answer(chat: Chat) -> Iterator[Event]:
        raise Overloaded("come back later")

    with serve("bedrock", answer, key=KEY) as server:
        for ask in (client(server).converse, client(server).converse_stream):
            with pytest.raises(exceptions.ClientError) as caught:
                ask(modelId=MODEL, messages=HI)
            error = caught.value.response["Error"]
            assert error == {"Code": "ServiceUnavailableException", "Message": "come back later"}


def test_an_exception_midway() -> None:
    def answer(chat: Chat) -> Iterator[Event]:
        yield Text("h")
        raise RateLimited("slow down")

    heard: list[Any] = []
    with serve("bedrock", answer, key=KEY) as server:
        stream = client(server).converse_stream(modelId=MODEL, messages=HI)["stream"]
        with pytest.raises(exceptions.EventStreamError) as caught:
            heard.extend(stream)
        stream.close()
    assert heard == [{"messageStart": {"role": "assistant"}}, delta(0, {"text": "h"})]
    assert caught.value.response["Error"] == {
        "Code": "throttlingException",
        "Message": "slow down",
    }


def test_a_request_that_is_wrong() -> None:
    with serve("bedrock") as server, pytest.raises(exceptions.ClientError) as caught:
        client(server).converse(modelId=MODEL, messages=[{"role": "user", "content": []}])
    error = caught.value.response["Error"]
    assert error["Code"] == "ValidationException"
    assert error["Message"] == "messages.0.content: give a list of blocks, at least one"


def test_the_clock_of_the_client_is_looked_at() -> None:
    with serve("bedrock", key=KEY, now=lambda: 1000.0) as server:
        with pytest.raises(exceptions.ClientError, match="UnrecognizedClientException"):
            client(server).converse(modelId=MODEL, messages=HI)
        server.service.now = lambda: 0  # it has none
        assert client(server).converse(modelId=MODEL, messages=HI)["output"]
