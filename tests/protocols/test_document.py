"""A request beside the chat, whose answer is one JSON document."""

import pytest

from tests.driving import Response, alike
from tokenwire.protocols.auth import AwsKey
from tokenwire.protocols.errors import (
    AuthenticationFailed,
    BadRequest,
    Malformed,
    Refused,
    Truncated,
    UnexpectedContent,
)
from tokenwire.protocols.events import End
from tokenwire.protocols.registry import PROVIDERS

ANTHROPIC = PROVIDERS["anthropic"]
PATH = "/v1/messages/count_tokens"
BODY = b' {"model" : "m"}'


def test_what_is_sent() -> None:
    exchange = ANTHROPIC.document_exchange(
        PATH, BODY, key="k", base_url="https://x.test/v1", headers={"anthropic-beta": "b"}
    )
    request = exchange.next_request()
    assert request is not None
    assert (request.method, request.url) == ("POST", f"https://x.test{PATH}")
    assert request.body == BODY
    headers = dict(request.headers)
    assert headers[b"x-api-key"] == b"k"
    assert headers[b"content-type"] == headers[b"accept"] == b"application/json"
    assert headers[b"anthropic-version"] == b"2023-06-01"
    assert headers[b"anthropic-beta"] == b"b"


def test_the_document_is_handed_on_as_it_came() -> None:
    exchange = ANTHROPIC.document_exchange(PATH, BODY, key="k")
    exchange.keep_raw()
    assert exchange.next_request() is not None
    exchange.receive_response(200, [("content-type", "application/json"), ("content-length", "24")])
    document = b'{"input_tokens" : 1.0e1}'
    assert exchange.receive_data(document) + exchange.receive_eof() == [End("terminator")]
    assert exchange.take_raw() == document


@pytest.mark.parametrize(
    ("body", "status", "error"),
    [
        (b'{"input_tokens":', 200, Truncated),
        (b'{"input_tokens":1}x', 200, Malformed),
        (b"", 200, UnexpectedContent),
        (b"<html>", 200, UnexpectedContent),
        (b'{"type":"error","error":{"type":"api_error","message":"on fire"}}', 200, Refused),
        (b'{"type":"error","error":{"type":"not_found_error","message":"?"}}', 404, BadRequest),
    ],
)
def test_errors(body: bytes, status: int, error: type[Exception]) -> None:
    exchange = ANTHROPIC.document_exchange(PATH, BODY, key="k")
    found = alike(exchange, Response(body, status)).error
    assert type(found) is error


def test_a_refusal_as_the_format_writes_it() -> None:
    error = b'{"status":"X","message":"no","details":[{"reason":"API_KEY_INVALID"}]}'
    body = b'[{"error":%b}]' % error
    exchange = PROVIDERS["gemini"].document_exchange("/v1beta/x", b"{}", key="k")
    found = alike(exchange, Response(body)).error
    assert isinstance(found, AuthenticationFailed)
    assert found.message == "the service refused: no"
    assert found.data == body


def test_where_it_is_said() -> None:
    assert ANTHROPIC.dialect.counts == PATH
    assert PROVIDERS["openai"].dialect.counts == ""


def test_a_signature_has_the_time() -> None:
    bedrock = PROVIDERS["bedrock"]
    key = AwsKey("id", "secret", region="us-east-1")
    base_url = "https://bedrock-runtime.us-east-1.amazonaws.com"
    exchange = bedrock.document_exchange("/x", b"{}", key=key, base_url=base_url, now=lambda: 0.0)
    request = exchange.next_request()
    assert request is not None
    assert dict(request.headers)[b"x-amz-date"] == b"19700101T000000Z"
