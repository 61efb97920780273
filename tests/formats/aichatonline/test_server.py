"""AiChatOnline's format, server half."""

import json
from random import Random
from typing import Any

import pytest

from tests.driving import JSON, Response, alike, drive
from tokenwire.protocols.chat import Chat, Message, as_chat
from tokenwire.protocols.errors import (
    AuthenticationFailed,
    BadRequest,
    LocalProtocolError,
    Overloaded,
    RateLimited,
    Refused,
)
from tokenwire.protocols.events import End, Event, Finish, Text, Unrecognized
from tokenwire.protocols.exchange import Exchange
from tokenwire.protocols.formats.founding.aichatonline.server import TOKENS
from tokenwire.protocols.registry import PROVIDERS
from tokenwire.protocols.service import Service, pair
from tokenwire.protocols.toolkit.http import Request

BASE = "https://aichatonlineorg.erweima.ai"
TOKEN = Response(b'{"code": 200, "data": "token-1234"}', 200, JSON)
END = End("body_end")


def ask() -> Exchange:
    return PROVIDERS["aichatonline"].exchange(as_chat("hi"), random=Random(1))


def service() -> Service:
    return Service(PROVIDERS["aichatonline"])


def get_token(service: Service) -> str:
    responder = service.responder()
    url = f"{BASE}/api/v1/user/getUniqueId?canvas=-abc"
    assert responder.receive_request(Request("GET", url, [])) is None
    assert responder.head() == (200, [(b"content-type", b"application/json")])
    reply = json.loads(responder.end())
    assert reply == {"code": 200, "data": reply["data"]}
    assert isinstance(reply["data"], str)
    return reply["data"]


def post(token: str, body: Any = None, path: str = "/aichatonline/api/chat/gpt") -> Request:
    content = json.dumps(body or {"conversationId": "abc", "prompt": "hi"}).encode()
    headers = [(b"content-type", b"application/json"), (b"uniqueid", token.encode())]
    return Request("POST", BASE + path, headers, content)


def test_the_server_understands() -> None:
    server = service()
    token, another = get_token(server), get_token(server)
    assert token != another
    for given in (token, another, token):
        responder = server.responder()
        chat = responder.receive_request(post(given))
        assert chat == Chat(messages=(Message("user", "hi"),), model="gpt-4o-mini")
        status, headers = responder.head()
        assert (status, headers[0]) == (200, (b"content-type", b"application/json"))


@pytest.mark.parametrize(
    ("request_", "kind", "status"),
    [
        (post("unheard"), AuthenticationFailed, 401),
        (post("x", {"prompt": "hi"}), BadRequest, 400),
        (post("x", path="/other"), BadRequest, 404),
        (Request("GET", BASE + "/aichatonline/api/chat/gpt", []), BadRequest, 405),
        (Request("POST", BASE + "/api/v1/user/getUniqueId", []), BadRequest, 405),
        (Request("GET", BASE + "/api/v1/user/getUniqueId/x", []), BadRequest, 404),
    ],
)
def test_what_the_server_refuses(request_: Request, kind: type[Refused], status: int) -> None:
    responder = service().responder()
    with pytest.raises(kind) as caught:
        responder.receive_request(request_)
    assert caught.value.status == status
    body = responder.fail(caught.value)
    assert responder.head()[0] == status
    drive(ask(), Response(body, *responder.head())).refused_by(kind, caught.value.message)


def test_a_token_that_was_not_issued() -> None:
    with pytest.raises(AuthenticationFailed) as caught:
        service().responder().receive_request(post("unheard"))
    assert caught.value.message == "the UniqueId is missing or was not issued"


def test_what_the_server_says() -> None:
    responder = service().responder()
    said = [responder.send(e) for e in (Text("a\nb"), Unrecognized(b"{}"), End("body_end"))]
    assert said == [b'{"code":200,"data":{"message":"a\\nb"}}\n', b"{}\n", b""]
    assert responder.end() == b""


@pytest.mark.parametrize("event", [Finish("stop", "stop"), Unrecognized(b"x", "somewhere")])
def test_what_the_server_cannot_say(event: Event) -> None:
    with pytest.raises(LocalProtocolError, match=f"can't say {type(event).__name__}"):
        service().responder().send(event)


@pytest.mark.parametrize("kind", [Refused, RateLimited, Overloaded, AuthenticationFailed])
def test_failure_midway(kind: type[Refused]) -> None:
    responder = service().responder()
    body = responder.send(Text("a")) + responder.fail_midway(kind("m1"))
    assert alike(ask(), TOKEN, body).refused_by(kind, "m1").events == [Text("a")]


def test_both_halves() -> None:
    says: list[Event] = [Text("a\nb"), Text("c"), END]
    assert list(pair(ask(), service(), lambda chat: says)) == says


def test_the_last_tokens_are_valid() -> None:
    server = service()
    first, second = get_token(server), get_token(server)
    last = [get_token(server) for _ in range(TOKENS - 1)][-1]
    for token in (second, last):
        assert server.responder().receive_request(post(token)) is not None
    with pytest.raises(AuthenticationFailed):
        server.responder().receive_request(post(first))
