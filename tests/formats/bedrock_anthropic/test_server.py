"""Answering Anthropic Messages by InvokeModel: the envelope."""

import json
from typing import Any

import pytest

from tests.driving import Response, alike
from tests.formats.bedrock_anthropic.subject import BEDROCK
from tokenwire import PROVIDERS, Service, as_chat
from tokenwire.protocols.errors import BadRequest, Overloaded, RateLimited
from tokenwire.protocols.events import Text
from tokenwire.protocols.exchange import Exchange
from tokenwire.protocols.toolkit.frames import Frames
from tokenwire.protocols.toolkit.http import Headers, Request


def ask() -> Exchange:
    return BEDROCK.exchange(as_chat("hi", model="m"))


def read(body: dict[str, Any], path: str = "invoke") -> Any:
    headers: Headers = [(b"content-type", b"application/json")]
    url = f"https://x.test/model/us.anthropic.claude%3A0/{path}"
    request = Request("POST", url, headers, json.dumps(body).encode())
    return Service(BEDROCK).responder().receive_request(request)


BODY: dict[str, Any] = {
    "anthropic_version": "bedrock-2023-05-31",
    "max_tokens": 5,
    "messages": [{"role": "user", "content": "hi"}],
}


def test_the_path_says_model_and_stream() -> None:
    for path, stream in (("invoke", False), ("invoke-with-response-stream/?x", True)):
        chat = read(BODY, path)
        assert (chat.model, chat.stream, chat.extra) == ("us.anthropic.claude:0", stream, {})
    assert read({**BODY, "anthropic_beta": ["a"]}).extra == {"anthropic_beta": ["a"]}


def test_a_version_is_needed() -> None:
    for version in ({}, {"anthropic_version": None}):
        with pytest.raises(BadRequest) as caught:
            read({"max_tokens": 5, "messages": BODY["messages"], **version})
        assert caught.value.status == 400
        assert caught.value.message == "anthropic_version: Field required"


def test_a_stream_is_written() -> None:
    responder = Service(BEDROCK).responder()
    request = ask().next_request()
    assert request is not None
    assert responder.receive_request(request) is not None
    body = responder.send(Text("h")) + responder.fail_midway(RateLimited("slow"))
    frames: list[Any] = []
    Frames(1 << 20).feed(body, frames)
    names = [frame.headers.get(":event-type") for frame in frames]
    assert names == ["chunk", "chunk", "chunk", None]
    assert frames[0].payload.startswith(b'{"bytes":"ey')
    status, headers = responder.head()
    assert status == 200
    assert headers[0] == (b"content-type", b"application/vnd.amazon.eventstream")
    assert dict(headers).keys() >= {b"x-amzn-requestid"}
    assert b"request-id" not in dict(headers)
    alike(ask(), Response(body, status, headers)).refused_by(RateLimited, "slow")


def test_an_error_is_written() -> None:
    responder = Service(BEDROCK).responder()
    assert responder.fail(Overloaded("busy")) == b'{"message":"busy"}'
    status, headers = responder.head()
    assert (b"x-amzn-errortype", b"ServiceUnavailableException") in headers
    alike(ask(), Response(b'{"message":"busy"}', status, headers)).refused_by(Overloaded, "busy")


def test_the_example_of_the_sdk() -> None:
    dialect = BEDROCK.dialect
    assert dialect.sdk_example("http://x", "m", 'os.environ["KEY"]').splitlines() == [
        "# the anthropic SDK, in Python; the key is ID:SECRET",
        "import os",
        "import anthropic",
        "id, _, secret = os.environ[\"KEY\"].partition(':')",
        "client = anthropic.AnthropicBedrock(base_url='http://x', aws_region='us-east-1', "
        "aws_access_key=id, aws_secret_key=secret or id)",
        "with client.messages.stream(model='m', max_tokens=1024, "
        'messages=[{"role": "user", "content": "Hello"}]) as stream:',
        "    for text in stream.text_stream:",
        '        print(text, end="")',
    ]
    assert "import os" not in dialect.sdk_example("http://x", "m", '"any"')


def test_the_preset() -> None:
    provider = PROVIDERS["bedrock-anthropic"]
    assert provider.dialect.name == "anthropic"
    assert provider.dialect.binary
