"""Services: what all responders share, statuses, and `pair`."""

import json
from collections.abc import Iterable
from random import Random
from typing import Any

import msgspec
import pytest

from tests.cutting import bytewise
from tests.driving import JSON, Response, drive
from tokenwire.protocols.chat import Chat, as_chat
from tokenwire.protocols.errors import (
    AuthenticationFailed,
    BadRequest,
    Challenged,
    ContentFiltered,
    LocalProtocolError,
    Malformed,
    Overloaded,
    RateLimited,
    Redirected,
    Refused,
    RemoteProtocolError,
    Truncated,
)
from tokenwire.protocols.events import End, Event, Finish, Start, Text
from tokenwire.protocols.exchange import Exchange
from tokenwire.protocols.limits import Limits
from tokenwire.protocols.registry import PROVIDERS
from tokenwire.protocols.service import Responder, Service, pair, read_json_post, status_of
from tokenwire.protocols.toolkit.http import Request

_any = msgspec.json.Decoder()


def ask(**options: Any) -> Exchange:
    return PROVIDERS["openai"].exchange(as_chat("hi", model="m"), **options)


def with_status(error: RemoteProtocolError, status: int) -> RemoteProtocolError:
    error.status = status
    return error


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (AuthenticationFailed(""), 401),
        (RateLimited(""), 429),
        (Overloaded(""), 503),
        (BadRequest(""), 400),
        (ContentFiltered(""), 400),
        (Malformed(""), 400),
        (LocalProtocolError(""), 400),
        (Refused(""), 500),
        (Truncated(""), 500),
        (with_status(AuthenticationFailed(""), 403), 403),
        (with_status(Refused(""), 501), 501),
        (with_status(Refused(""), 400), 400),
        (with_status(BadRequest(""), 399), 400),
        # An error inside a stream, which a gateway passes on.
        (with_status(RateLimited(""), 200), 429),
        (with_status(Truncated(""), 200), 500),
        (with_status(Redirected(""), 302), 500),
    ],
)
def test_status_of(error: RemoteProtocolError | LocalProtocolError, status: int) -> None:
    assert status_of(error) == status


REFUSALS = [Refused, AuthenticationFailed, RateLimited, Overloaded, BadRequest, ContentFiltered]


@pytest.mark.parametrize("kind", REFUSALS)
@pytest.mark.parametrize("code", [None, "some_code"])
def test_a_failure_is_the_same_at_the_other_end(kind: type[Refused], code: str | None) -> None:
    """Whether the status says it or, in a stream, the type."""
    responder = Service(PROVIDERS["openai"]).responder()
    error = kind("m1", code=code)
    body = responder.fail(error)
    assert json.loads(body)["error"].keys() == {"message", "type", "param", "code"}
    assert responder.head() == (status_of(error), JSON)
    whole = drive(ask(), Response(body, *responder.head())).refused_by(kind, "m1")
    midway = drive(ask(), responder.send(Text("a")) + responder.fail_midway(error))
    for outcome in (whole, midway.refused_by(kind, "m1")):
        assert isinstance(outcome.error, Refused)
        assert outcome.error.code == code
    assert midway.events[-1] == Text("a")


def test_failures_that_have_no_message_of_their_own() -> None:
    responder = Service(PROVIDERS["openai"]).responder()
    error = json.loads(responder.fail(LocalProtocolError("can't say it")))["error"]
    assert error == {
        "message": "can't say it",
        "type": "invalid_request_error",
        "param": None,
        "code": None,
    }
    error = json.loads(responder.fail(Malformed("m1", data=b"{")))["error"]
    assert (error["message"], error["type"]) == ("m1", "invalid_request_error")
    error = json.loads(responder.fail(Challenged("m1", data=b"<html>")))["error"]
    assert (error["message"], error["type"]) == ("m1", "server_error")
    error = json.loads(responder.fail(Refused("m1", type="own_type")))["error"]
    assert error["type"] == "own_type"


def test_responder_to_derive_from() -> None:
    responder = Responder(Service(PROVIDERS["darkai"]))
    with pytest.raises(NotImplementedError):
        responder.receive_request(Request("GET", "http://x.test", []))
    with pytest.raises(NotImplementedError):
        responder.send(Text("a"))
    assert responder.head() == (200, [(b"content-type", b"text/event-stream; charset=utf-8")])
    assert responder.end() == b""
    assert responder.fail_midway(Refused("m1")) == b""


def test_service() -> None:
    service = Service(PROVIDERS["darkai"])
    assert service.base_url == "https://darkai.foundation"
    assert Service(PROVIDERS["darkai"], base_url="http://x.test").base_url == "http://x.test"
    assert [service.number() for _ in range(3)] == [1, 2, 3]
    assert service.check_model("llama-3.1-70b") == "llama-3-70b"
    with pytest.raises(BadRequest, match="no model 'gpt-9'") as caught:
        service.check_model("gpt-9")
    assert (caught.value.status, caught.value.code) == (404, "model_not_found")


@pytest.mark.parametrize(
    ("key", "given", "allowed"),
    [
        (None, None, True),
        (None, "Bearer x", True),
        ("k", "Bearer k", True),
        ("k", "Bearer x", False),
        ("k", "k", False),
        ("k", "", False),
        ("k", None, False),
    ],
)
def test_key(key: str | None, given: str | None, allowed: bool) -> None:
    headers = [] if given is None else [(b"Authorization", given.encode())]
    request = Request("POST", "http://x.test", headers)
    service = Service(PROVIDERS["openai"], key=key)
    if allowed:
        return service.check_key(request)
    with pytest.raises(AuthenticationFailed) as caught:
        service.check_key(request)
    error = caught.value
    assert (error.status, error.code) == (401, "invalid_api_key")
    assert error.message == "the API key is missing or wrong"
    return None


def test_the_last_that_were_given_out_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Service, "TOKENS", 2)
    monkeypatch.setattr(Service, "PICTURES", 2)
    service = Service(PROVIDERS["aichats"])
    assert [service.give_token() for _ in range(3)] == ["unique-1", "unique-2", "unique-3"]
    assert list(service.tokens) == ["unique-2", "unique-3"]
    for name in ("a", "b", "a", "c"):
        service.keep_picture(name, "image/png", name.encode())
    assert len(service.pictures) == 2
    assert service.pictures["c"] == ("image/png", b"c")


def post(body: bytes, content: str | None = "application/json", **more: str) -> Request:
    headers = [] if content is None else [(b"content-type", content.encode())]
    url = f"http://x.test{more.get('path', '/v1/chat')}"
    return Request(more.get("method", "POST"), url, headers, body)


@pytest.mark.parametrize("content", ["application/json", "Application/JSON; charset=utf-8"])
def test_json_post(content: str) -> None:
    assert read_json_post(post(b'{"a": 1}', content), "/chat", _any) == {"a": 1}
    assert read_json_post(post(b"1", path="/chat?x=1?y"), "/chat", _any) == 1


def test_a_json_post_may_be_as_long_as_a_document() -> None:
    assert read_json_post(post(b"1" + b" " * (Limits().document - 1)), "/chat", _any) == 1


@pytest.mark.parametrize(
    ("request_", "status", "message"),
    [
        (post(b"{}", path="/v1/chats"), 404, "there is nothing at /v1/chats"),
        (post(b"{}", method="PUT"), 405, "/chat takes POST, not PUT"),
        (post(b"{}", None), 415, "content-type is missing, not application/json"),
        (post(b"{}", "text/plain"), 415, "content-type is text/plain, not application/json"),
        (post(b" " * (Limits().document + 1)), 413, "the request body is too large"),
        (post(b"{"), 400, "the request body is not JSON"),
    ],
)
def test_json_post_that_is_none(request_: Request, status: int, message: str) -> None:
    with pytest.raises(BadRequest) as caught:
        read_json_post(request_, "/chat", _any)
    assert (caught.value.status, caught.value.message) == (status, message)


SAYS: list[Event] = [Start("c", "m"), Text("a"), Finish("stop", "stop"), End("terminator")]


def answer(chat: Chat) -> Iterable[Event]:
    return SAYS


def test_pair() -> None:
    asked: list[Chat] = []

    def remember(chat: Chat) -> Iterable[Event]:
        asked.append(chat)
        return SAYS

    service = Service(PROVIDERS["openai"])
    assert list(pair(ask(), service, remember)) == SAYS
    assert list(pair(ask(), service, answer, cut=bytewise)) == SAYS
    assert asked == [as_chat("hi", model="m")]


def test_pair_of_a_body_that_only_its_end_completes() -> None:
    exchange = PROVIDERS["aichats"].exchange(as_chat("hi"))
    says: list[Event] = [Text("a"), End("body_end")]
    assert list(pair(exchange, Service(PROVIDERS["aichats"]), lambda chat: says)) == says


def test_pair_of_two_requests() -> None:
    exchange = PROVIDERS["aichatonline"].exchange(as_chat("hi"), random=Random(1))
    says: list[Event] = [Text("a"), End("body_end")]
    assert list(pair(exchange, Service(PROVIDERS["aichatonline"]), lambda chat: says)) == says


def test_pair_that_fails() -> None:
    with pytest.raises(AuthenticationFailed, match="key is missing or wrong"):
        list(pair(ask(), Service(PROVIDERS["openai"], key="k"), answer))

    def refuse(chat: Chat) -> Iterable[Event]:
        raise RateLimited("m1")

    with pytest.raises(RateLimited, match="m1"):
        list(pair(ask(), Service(PROVIDERS["openai"]), refuse))
    with pytest.raises(Truncated):
        list(pair(ask(), Service(PROVIDERS["openai"]), lambda chat: SAYS[:2]))
    with pytest.raises(LocalProtocolError, match="darkai can't say Start"):
        list(
            pair(PROVIDERS["darkai"].exchange(as_chat("hi")), Service(PROVIDERS["darkai"]), answer)
        )


def test_the_fake_is_like_the_real_thing() -> None:
    """`pair` gives what the bytes of the responder give by hand."""
    responder = Service(PROVIDERS["openai"]).responder()
    body = b"".join(map(responder.send, SAYS)) + responder.end()
    assert drive(ask(), Response(body)).events == SAYS
    assert drive(ask(), Response(responder.fail(Refused("m1")), 500, JSON)).refused_by(Refused)
