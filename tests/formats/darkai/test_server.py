"""DarkAI's format, server half."""

import json
from typing import Any

import pytest

from tests.driving import Response, alike, drive
from tokenwire.protocols.chat import Chat, Message, as_chat
from tokenwire.protocols.errors import (
    BadRequest,
    LocalProtocolError,
    RateLimited,
    Refused,
)
from tokenwire.protocols.events import End, Event, Finish, Text, Unrecognized
from tokenwire.protocols.exchange import Exchange
from tokenwire.protocols.registry import PROVIDERS
from tokenwire.protocols.service import Service, pair
from tokenwire.protocols.toolkit.http import Request


def ask(chat: Chat | None = None) -> Exchange:
    return PROVIDERS["darkai"].exchange(chat or as_chat("hi"))


def post(body: Any, path: str = "/chat", method: str = "POST", kind: str = "json") -> Request:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = [(b"content-type", f"application/{kind}".encode())]
    return Request(method, "https://darkai.foundation" + path, headers, content)


def test_the_server_understands_the_client() -> None:
    request = ask(as_chat("hi", model="llama-3.1-70b")).next_request()
    assert request is not None
    responder = Service(PROVIDERS["darkai"]).responder()
    chat = responder.receive_request(request)
    assert chat == Chat(messages=(Message("user", "hi"),), model="llama-3-70b")
    status, headers = responder.head()
    assert (status, headers[0]) == (200, (b"content-type", b"text/event-stream; charset=utf-8"))


GOOD = {"query": "hi", "model": "gpt-4o"}


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (post(GOOD, path="/other"), 404),
        (post(GOOD, method="GET"), 405),
        (post(GOOD, kind="xml"), 415),
        (post(b"{"), 400),
        (post({"query": "hi"}), 400),
        (post({**GOOD, "model": "gpt-9"}), 404),
    ],
)
def test_what_the_server_refuses(request_: Request, status: int) -> None:
    responder = Service(PROVIDERS["darkai"]).responder()
    with pytest.raises(BadRequest) as caught:
        responder.receive_request(request_)
    body = responder.fail(caught.value)
    assert responder.head()[0] == status
    drive(ask(), Response(body, *responder.head())).refused_by(BadRequest)


def test_what_the_server_says() -> None:
    responder = Service(PROVIDERS["darkai"]).responder()
    said = [responder.send(e) for e in (Text("a"), Unrecognized(b"hello"), End("terminator"))]
    assert said == [
        b'data: {"event":"text-chunk","data":{"text":"a"}}\n\n',
        b"hello\n\n",
        b'data: {"event":"stream-end","data":{}}\n\n',
    ]
    assert responder.end() == b""


@pytest.mark.parametrize("event", [Finish("stop", "stop"), Unrecognized(b"x", "somewhere")])
def test_what_the_server_cannot_say(event: Event) -> None:
    with pytest.raises(LocalProtocolError, match=f"can't say {type(event).__name__}"):
        Service(PROVIDERS["darkai"]).responder().send(event)


def test_failure_midway() -> None:
    responder = Service(PROVIDERS["darkai"]).responder()
    failure = responder.fail_midway(RateLimited("too many"))
    assert failure == b'event: error\ndata: {"data":{"detail":"too many"}}\n\n'
    body = responder.send(Text("a")) + failure
    assert alike(ask(), body).refused_by(Refused, "too many").events == [Text("a")]


def test_both_halves() -> None:
    says: list[Event] = [Text("hel"), Text("lo"), End("terminator")]
    assert list(pair(ask(), Service(PROVIDERS["darkai"]), lambda chat: says)) == says
