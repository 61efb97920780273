"""The list of a service's models."""

import json
from typing import Any

import pytest

from tests.driving import Response, alike
from tokenwire.protocols.auth import NoKey
from tokenwire.protocols.errors import (
    AuthenticationFailed,
    LocalProtocolError,
    Malformed,
    Overloaded,
    Refused,
    RemoteProtocolError,
    Truncated,
    UnexpectedContent,
)
from tokenwire.protocols.events import End
from tokenwire.protocols.formats.openai_chat import OpenAIChat
from tokenwire.protocols.models import Model
from tokenwire.protocols.registry import PROVIDERS
from tokenwire.protocols.service import Service
from tokenwire.protocols.toolkit.refusals import ErrorTable

OPENAI = PROVIDERS["openai"]
ANTHROPIC = PROVIDERS["anthropic"]


def listed(*bodies: Any, provider: Any = OPENAI) -> list[Model]:
    found: list[Model] = []
    exchange = provider.models_exchange(found)
    outcome = alike(exchange, *(json.dumps(body).encode() for body in bodies))
    assert outcome.succeeded().events == [End("terminator")]
    return found


def test_a_list() -> None:
    first, second = {"id": "a", "created": 1}, {"id": "b", "display_name": "B", "name": "c"}
    assert listed({"object": "list", "data": [first, second, {"x": 1}, 7]}) == [
        Model("a", "", first),
        Model("b", "B", second),
    ]
    assert listed({"data": []}) == []
    assert listed({"data": [{"id": 7, "name": "seven"}]})[0] == (
        Model("7", "seven", {"id": 7, "name": "seven"})
    )


def test_a_list_of_ollama() -> None:
    model = {"name": "a", "model": "a:1b", "size": 7}
    assert listed({"models": [model, {}]}) == [Model("a:1b", "a", model)]


def test_a_list_without_an_object_around_it() -> None:
    """As Together has it (PyPI together 3.1.1)."""
    assert listed([{"id": "a", "type": "chat"}]) == [Model("a", "", {"id": "a", "type": "chat"})]
    assert listed([]) == []


def test_a_list_of_several_pages() -> None:
    pages = [
        {"data": [{"id": "a"}], "has_more": True, "last_id": "a"},
        {"data": [{"id": "b"}], "has_more": True, "last_id": "b"},
        {"data": [{"id": "c"}], "has_more": False, "last_id": "c"},
    ]
    assert [model.id for model in listed(*pages, provider=ANTHROPIC)] == ["a", "b", "c"]
    assert [model.id for model in listed(*pages)] == ["a", "b", "c"]
    endless = {"data": [{"id": "a"}], "has_more": True, "last_id": None}
    assert [model.id for model in listed(endless)] == ["a"]


def test_lists_of_gemini() -> None:
    model = {"name": "models/g-1", "displayName": "G 1"}
    pages = [
        {"models": [model, {"name": 7}], "nextPageToken": "a /b"},
        {"models": [{"name": "models/g-2"}], "nextPageToken": ""},
    ]
    gemini = PROVIDERS["gemini"]
    assert listed(*pages, provider=gemini) == [
        Model("g-1", "G 1", model),
        Model("g-2", "models/g-2", {"name": "models/g-2"}),
    ]
    found: list[Model] = []
    exchange = gemini.models_exchange(found, key="k")
    urls: list[str] = []
    for page in pages:
        request = exchange.next_request()
        assert request is not None
        urls.append(request.url.partition("v1beta")[2])
        exchange.receive_response(200, [(b"content-type", b"application/json")])
        exchange.receive_data(json.dumps(page).encode())
        exchange.receive_eof(framed=True)
    assert urls == ["/models?pageSize=1000", "/models?pageSize=1000&pageToken=a%20%2Fb"]


def test_a_list_of_cohere() -> None:
    model = {"name": "command-a-03-2025", "endpoints": ["chat"], "context_length": 288000}
    first_page: Any = {"models": [model], "next_page_token": "a b"}
    pages: Any = [first_page, {"models": [], "next_page_token": None}]
    cohere = PROVIDERS["cohere"]
    name = "command-a-03-2025"
    assert listed(*pages, provider=cohere) == [Model(name, name, model)]
    found: list[Model] = []
    exchange = cohere.models_exchange(found, key="k")
    urls: list[str] = []
    for page in pages:
        request = exchange.next_request()
        assert request is not None
        urls.append(request.url)
        exchange.receive_response(200, [(b"content-type", b"application/json")])
        exchange.receive_data(json.dumps(page).encode())
        exchange.receive_eof(framed=True)
    first = "https://api.cohere.com/v1/models?endpoint=chat&page_size=1000"
    assert urls == [first, f"{first}&page_token=a%20b"]


def test_a_list_that_never_ends() -> None:
    page = {"data": [{"id": "a"}, {"id": None}], "has_more": True, "last_id": "a"}
    body = json.dumps(page).encode()
    found: list[Model] = []
    error = alike(OPENAI.models_exchange(found), body, body).error
    assert isinstance(error, Malformed)
    assert (error.message, error.data) == ("a list of models that never ends", body)
    pages = [json.dumps({**page, "last_id": f"{n}"}).encode() for n in range(101)]
    assert isinstance(alike(OPENAI.models_exchange(found), *pages).error, Malformed)
    assert len(found) == 101


def test_an_id_is_quoted() -> None:
    found: list[Model] = []
    exchange = OPENAI.models_exchange(found)
    exchange.next_request()
    exchange.receive_response(200, [(b"content-type", b"application/json")])
    exchange.receive_data(b'{"data":[],"has_more":true,"last_id":"a b/\\r\\n&x=1#f"}')
    exchange.receive_eof(framed=True)
    request = exchange.next_request()
    assert request is not None
    assert request.url.endswith("/models?after_id=a%20b%2F%0D%0A%26x%3D1%23f")


def test_the_requests() -> None:
    found: list[Model] = []
    exchange = ANTHROPIC.models_exchange(found, key="k", base_url="https://x.test/v1")
    request = exchange.next_request()
    assert request is not None
    assert (request.method, request.url) == ("GET", "https://x.test/v1/models?limit=1000")
    headers = dict(request.headers)
    assert (headers[b"x-api-key"], headers[b"anthropic-version"]) == (b"k", b"2023-06-01")
    assert headers[b"accept"] == b"application/json"
    exchange.receive_response(200, [(b"content-type", b"application/json")])
    exchange.receive_data(b'{"data": [], "has_more": true, "last_id": "a"}')
    exchange.receive_eof(framed=True)
    request = exchange.next_request()
    assert request is not None
    assert request.url == "https://x.test/v1/models?limit=1000&after_id=a"
    plain = OPENAI.models_exchange(found, headers={"x-mine": "1"}).next_request()
    assert plain is not None
    assert plain.url == "https://api.openai.com/v1/models"
    assert dict(plain.headers)[b"x-mine"] == b"1"


def test_an_attempt_that_failed_leaves_nothing() -> None:
    found = [Model("old")]
    exchange = OPENAI.models_exchange(found)
    body = b'{"data": [{"id": "a"}]}'
    alike(exchange, body).succeeded()
    alike(exchange, body).succeeded()
    assert [model.id for model in found] == ["a"]


@pytest.mark.parametrize(
    ("response", "kind"),
    [
        (Response(b"7"), UnexpectedContent),
        (Response(b'{"data": 7}'), UnexpectedContent),
        (Response(b'{"error": {"message": "no"}}'), RemoteProtocolError),
        (Response(b"<html>"), UnexpectedContent),
        (Response(b"nothing"), Malformed),
        (Response(b'{"data": ['), Truncated),
        (Response(b"{}", 401), AuthenticationFailed),
        (Response(b"data: {}\n\n"), Malformed),
    ],
)
def test_what_is_no_list(response: Response, kind: Any) -> None:
    found: list[Model] = []
    error = alike(OPENAI.models_exchange(found), response).error
    assert isinstance(error, kind)
    assert found == []


def test_what_the_service_said_instead() -> None:
    body = b'{"error": {"type": "timeout_error", "message": "too late"}}'
    error = alike(ANTHROPIC.models_exchange([]), body).error
    assert isinstance(error, Overloaded)  # by Anthropic's own words
    assert (error.message, error.data) == ("the service refused: too late", body)
    other = alike(OPENAI.models_exchange([]), b'{"data":7}').error
    assert isinstance(other, UnexpectedContent)
    said = ("a JSON document that is no list of models", b'{"data":7}')
    assert (other.message, other.data) == said


def test_an_error_in_a_services_own_words() -> None:
    class Touchy(OpenAIChat):
        errors = ErrorTable(
            read=lambda value: ("oops", None, "no") if value == {"oops": 1} else None
        )

    touchy = OPENAI.replace(dialect=Touchy())
    error = alike(touchy.models_exchange([]), b'{"oops": 1}').error
    assert isinstance(error, Refused)
    assert error.code == "oops"


def test_a_service_without_a_list() -> None:
    with pytest.raises(LocalProtocolError, match="darkai has no list of models"):
        PROVIDERS["darkai"].models_exchange([])
    keyless = OPENAI.replace(auth=NoKey())
    with pytest.raises(LocalProtocolError, match="openai can't take key"):
        keyless.models_exchange([], key="k")


@pytest.mark.parametrize("name", ["openai", "anthropic", "gemini"])
def test_our_own_servers(name: str) -> None:
    provider = PROVIDERS[name].replace(models=("a", "b"))
    found: list[Model] = []
    exchange = provider.models_exchange(found)
    request = exchange.next_request()
    assert request is not None
    responder = Service(provider).responder()
    assert responder.receive_request(request) is None
    exchange.receive_response(*responder.head())
    exchange.receive_data(responder.end())
    exchange.receive_eof(framed=True)
    assert [model.id for model in found] == ["a", "b"]


def test_errors_of_the_provider() -> None:
    found: list[Model] = []
    provider = OPENAI.replace(error_codes={"7": "AuthenticationFailed"})
    body = Response(b'{"error": {"code": 7}}')
    assert type(alike(provider.models_exchange(found), body).error) is AuthenticationFailed
