"""Which format a request is in, and which model its path names."""

import pytest

from tokenwire.gateway.fronts import Fronts, addressed
from tokenwire.protocols.errors import BadRequest
from tokenwire.protocols.toolkit.http import Request


@pytest.mark.parametrize(
    ("path", "model", "rest"),
    [
        ("/t/fast/v1/messages?beta=true", "fast", "/v1/messages?beta=true"),
        ("/t/a%2Fb/v1/chat/completions", "a/b", "/v1/chat/completions"),
        ("/t/t/t/x", "t", "/t/x"),
        ("/t/fast/", "fast", "/"),
        ("/t/fast", "", "/t/fast"),
        ("/t//v1/messages", "", "/t//v1/messages"),
        ("/t/a?b/c", "", "/t/a?b/c"),
        ("/v1/t/fast/messages", "", "/v1/t/fast/messages"),
        ("/v1/messages?x=/t/a/b", "", "/v1/messages?x=/t/a/b"),
    ],
)
def test_a_path_may_name_the_model(path: str, model: str, rest: str) -> None:
    found, request = addressed(Request("POST", f"http://gateway{path}", [], b"body"))
    assert (found, request.url, request.body) == (model, f"http://gateway{rest}", b"body")


@pytest.mark.parametrize(
    ("method", "path", "header", "format", "does"),
    [
        ("POST", "/v1/chat/completions", b"", "openai_chat", "chat"),
        ("POST", "/openai/deployments/m/chat/completions", b"", "openai_chat", "chat"),
        ("POST", "/v1/responses", b"", "openai_responses", "chat"),
        ("GET", "/v1/responses", b"", "openai_responses", "socket"),
        ("POST", "/v1/messages", b"", "anthropic", "chat"),
        ("POST", "/v1/messages/count_tokens", b"", "anthropic", "count"),
        ("GET", "/v1/models", b"", "openai_chat", "models"),
        ("GET", "/v1/models", b"anthropic-version", "anthropic", "models"),
        ("HEAD", "/api/hello", b"", "anthropic", "health"),
        ("POST", "/v1beta/models/m:generateContent", b"", "gemini", "chat"),
        ("POST", "/v1/models/m:countTokens", b"", "gemini", "count"),
        ("GET", "/v1beta/models", b"", "gemini", "models"),
        ("POST", "/api/chat", b"", "ollama", "chat"),
        ("POST", "/api/show", b"", "ollama", "model"),
        ("POST", "/v2/chat", b"", "cohere", "chat"),
        ("POST", "/model/m/converse-stream", b"", "bedrock", "chat"),
        ("GET", "/health", b"", "openai_chat", "health"),
    ],
)
def test_the_format_of_a_request(
    method: str, path: str, header: bytes, format: str, does: str
) -> None:
    headers = [(header, b"2023-06-01")] if header else []
    front = Fronts(["m"], lambda: 0.0).of(Request(method, f"http://gateway{path}", headers))
    assert (front.dialect.name, front.endpoint.does) == (format, does)


@pytest.mark.parametrize(
    ("method", "path", "status", "format"),
    [
        ("POST", "/v1/embeddings", 404, "openai_chat"),
        ("GET", "/v1/messages", 405, "openai_chat"),
        ("GET", "/model/m/x", 404, "bedrock"),
        ("GET", "/api/x", 404, "ollama"),
    ],
)
def test_what_is_not_there(method: str, path: str, status: int, format: str) -> None:
    fronts = Fronts(["m"], lambda: 0.0)
    request = Request(method, f"http://gateway{path}", [])
    with pytest.raises(BadRequest) as refused:
        fronts.of(request)
    assert refused.value.status == status
    assert fronts.nearest(request).provider.dialect.name == format
