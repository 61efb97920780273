"""Services: what all responders share, statuses, and `pair`."""

import gzip
import json
import zlib
from collections.abc import Callable, Iterable
from random import Random
from typing import Any

import msgspec
import pytest

from tests.cutting import bytewise
from tests.driving import JSON, Response, drive
from tests.subjects import EACH_FORMAT
from tokenwire.protocols.auth import Bearer, Header, Query
from tokenwire.protocols.chat import Chat, as_chat
from tokenwire.protocols.dialect import Dialect, Endpoint
from tokenwire.protocols.errors import (
    AuthenticationFailed,
    BadRequest,
    Challenged,
    ContentFiltered,
    Disconnected,
    LocalProtocolError,
    Malformed,
    Overloaded,
    RateLimited,
    Redirected,
    Refused,
    RemoteProtocolError,
    TimedOut,
    Truncated,
)
from tokenwire.protocols.events import (
    End,
    Event,
    Finish,
    Native,
    Start,
    Text,
    ToolCallEnd,
    Unrecognized,
    Usage,
)
from tokenwire.protocols.exchange import Exchange
from tokenwire.protocols.limits import Limits
from tokenwire.protocols.provider import Provider
from tokenwire.protocols.registry import PROVIDERS
from tokenwire.protocols.reply import Reply
from tokenwire.protocols.service import (
    Responder,
    Service,
    pair,
    read_json,
    refusal_of_upstream,
    refuse,
    status_of,
    tokens_in,
)
from tokenwire.protocols.toolkit.http import Headers, Request

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
        (Truncated(""), 502),
        (with_status(AuthenticationFailed(""), 403), 403),
        (with_status(Refused(""), 501), 501),
        (with_status(Refused(""), 400), 400),
        (with_status(BadRequest(""), 399), 400),
        # An error inside a stream, which a gateway passes on.
        (with_status(RateLimited(""), 200), 429),
        (with_status(Truncated(""), 200), 502),
        (with_status(Malformed(""), 200), 502),
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
    status, headers = responder.head()
    assert (status, headers[:1]) == (status_of(error), JSON)
    status, headers = responder.head()
    assert (status, headers[:1]) == (status_of(error), JSON)
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


# A format of our own


class Toy(Dialect):
    """Has a key in every place, and several endpoints."""

    name = "toy"
    says = frozenset((Text, Usage, Unrecognized, End))
    auth = (Bearer(), Header("X-Key"), Query("key"))
    evidence = "body_end"
    ping = b"~"
    endpoints = (
        Endpoint("chat", "POST", "/chat/{model}:ask"),
        Endpoint("models", "GET", "/models"),
        Endpoint("models", "POST", "/models"),
        Endpoint("model", "GET", "/models/{id}"),
        Endpoint("short", "POST", "/ask"),
        Endpoint("longer", "POST", "/models/{id}/ask"),
    )

    def respond(self, service: Service) -> Responder:
        return ToyResponder(service)

    def new_state(self) -> list[str]:
        return []

    def says_to(self, chat: Chat) -> frozenset[type[Event]]:
        return self.says if chat.stream else self.says - {Usage}


class ToyResponder(Responder):
    def read(self, request: Request, found: dict[str, str]) -> Chat | None:
        if request.body == b"bad":
            raise refuse(BadRequest, 422, "bad")
        if request.body == b"nothing":
            return Chat(messages=(), model=found["model"])
        if request.body == b"wake":
            return None
        self.service.state.append(found["model"])
        return as_chat("hi", model=found["model"], stream=request.body != b"whole")

    def write(self, event: Event) -> bytes:
        return event.text.encode() + b";" if isinstance(event, Text) else b""

    def write_whole(self, reply: Reply) -> bytes:
        return b"[%s]" % reply.text.encode()

    def answer(self, does: str, request: Request, found: dict[str, str]) -> bytes:
        if found.get("id") == "none":
            raise refuse(BadRequest, 404, "no such model")
        self.headers.append((b"x-does", does.encode()))
        return b"%s %s" % (does.encode(), request.body)


TOY = Provider(name="toy-co", dialect=Toy(), base_url="https://toy.test/v1", any_model=True)


def toy(method: str, path: str, body: bytes = b"", headers: Headers | None = None) -> Request:
    return Request(method, f"http://x.test{path}", headers or [], body)


CHAT = toy("POST", "/v1/chat/m-1:ask")


@pytest.mark.parametrize(
    ("request_", "does", "found"),
    [
        (CHAT, "chat", {"model": "m-1"}),
        (toy("POST", "/chat/m%2F1:ask?key=x"), "chat", {"model": "m/1"}),
        (toy("GET", "/models?limit=1"), "models", {}),
        (toy("POST", "/models"), "models", {}),
        (toy("GET", "/a/b/models/m-1"), "model", {"id": "m-1"}),
        (toy("GET", "/health"), "health", {}),
        (toy("HEAD", "/health"), "health", {}),
        (toy("GET", "/"), "health", {}),
        (toy("GET", ""), "health", {}),
        (toy("POST", "/long/models/m/ask/"), "longer", {"id": "m"}),
    ],
)
def test_a_request_is_routed(request_: Request, does: str, found: dict[str, str]) -> None:
    endpoint, parts = Service(TOY).route(request_)
    assert (endpoint.does, parts) == (does, found)


@pytest.mark.parametrize(
    ("request_", "allow", "message"),
    [
        (toy("POST", "/v1/other?key=secret"), None, "there is nothing at /v1/other"),
        (toy("POST", "/chat/:ask"), None, "there is nothing at /chat/:ask"),
        (toy("GET", "/v1/"), None, "there is nothing at /v1/"),
        (toy("GET", "/chat/m:ask"), b"POST", "/chat/{model}:ask takes POST, not GET"),
        (toy("HEAD", "/chat/m:ask"), b"POST", "/chat/{model}:ask takes POST, not HEAD"),
        (toy("PUT", "/models"), b"GET, POST, HEAD", "/models takes GET and POST, not PUT"),
        (toy("PUT", "/models/m"), b"GET, HEAD", "/models/{id} takes GET, not PUT"),
    ],
)
def test_a_request_that_leads_nowhere(request_: Request, allow: bytes | None, message: str) -> None:
    responder = Service(TOY).responder()
    with pytest.raises(BadRequest) as caught:
        responder.receive_request(request_)
    assert caught.value.message == message
    responder.fail(caught.value)
    expected = (404, JSON) if allow is None else (405, [*JSON, (b"allow", allow)])
    assert responder.head() == expected


def test_the_chat_is_where_the_provider_has_it() -> None:
    service = Service(TOY.replace(path="/ask/{model}"))
    chat = service.responder().receive_request(toy("POST", "/ask/m-2"))
    assert chat == as_chat("hi", model="m-2")
    with pytest.raises(BadRequest, match="there is nothing at /v1/chat"):
        service.responder().receive_request(CHAT)


def test_other_endpoints_are_answered_by_the_format() -> None:
    responder = Service(TOY).responder()
    assert responder.receive_request(toy("POST", "/models", b"?")) is None
    assert responder.complete
    assert responder.head() == (200, [*JSON, (b"x-does", b"models")])
    assert responder.end() == b"models ?"


def test_a_request_to_the_chat_that_asks_nothing() -> None:
    responder = Service(TOY).responder()
    assert responder.receive_request(toy("POST", "/chat/m:ask", b"wake")) is None
    assert (responder.complete, responder.end()) == (True, b"chat wake")


def test_other_endpoints_may_refuse() -> None:
    with pytest.raises(BadRequest, match="no such model"):
        Service(TOY).responder().receive_request(toy("GET", "/models/none"))


def test_a_service_keeps_what_its_format_needs() -> None:
    service = Service(TOY)
    for model in ("a", "b"):
        service.responder().receive_request(toy("POST", f"/chat/{model}:ask"))
    assert service.state == ["a", "b"]
    assert Service(TOY).state == []


@pytest.mark.parametrize(
    ("headers", "query", "allowed"),
    [
        ([], "", False),
        ([(b"Authorization", b"Bearer k")], "", True),
        ([(b"authorization", b"bearer  k ")], "", True),
        ([(b"authorization", b"Bearer x")], "", False),
        ([(b"authorization", b"k")], "", False),
        ([(b"authorization", b"")], "", False),
        ([(b"x-key", b"k")], "", True),
        ([(b"authorization", b"Bearer x"), (b"x-key", b"k")], "", True),
        ([(b"x-key", b"K")], "", False),
        ([], "?a=b&key=k", True),
        ([], "?key=x", False),
        ([], "?other=k", False),
        ([(b"x-own", b"k")], "", False),
    ],
)
def test_a_key_may_stand_in_every_place_of_the_format(
    headers: Headers, query: str, allowed: bool
) -> None:
    request = toy("POST", f"/chat/m:ask{query}", headers=headers)
    Service(TOY).check_key(request)
    service = Service(TOY, key="k")
    if allowed:
        assert service.responder().receive_request(request) is not None
        return
    with pytest.raises(AuthenticationFailed) as caught:
        service.responder().receive_request(request)
    assert (caught.value.status, caught.value.code) == (401, "invalid_api_key")
    assert caught.value.message == "the API key is missing or wrong"


def test_a_key_may_stand_where_the_provider_says_too() -> None:
    service = Service(TOY.replace(auth=Header("X-Own")), key="k")
    service.check_key(toy("GET", "/models", headers=[(b"x-own", b"k")]))
    service.check_key(toy("GET", "/models", headers=[(b"x-key", b"k")]))


def test_only_health_needs_no_key() -> None:
    service = Service(TOY, key="k")
    for path in ("/health", "/"):
        responder = service.responder()
        assert responder.receive_request(toy("GET", path)) is None
        assert (responder.head(), responder.end()) == ((200, JSON), b'{"status":"ok"}')
    for path in ("/models", "/models/m"):
        responder = service.responder()
        with pytest.raises(AuthenticationFailed) as caught:
            responder.receive_request(toy("GET", path))
        responder.fail(caught.value)
        assert responder.head() == (401, [*JSON, (b"www-authenticate", b"Bearer")])


CODINGS: dict[bytes, Callable[[bytes], bytes]] = {
    b"gzip": gzip.compress,
    b"X-GZIP": gzip.compress,
    b"deflate": zlib.compress,
    b"identity": bytes,
}


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("size", [0, 1, 1000])
def test_a_request_may_be_compressed(coding: bytes, size: int) -> None:
    headers = [(b"Content-Encoding", coding), (b"x-other", b"y")]
    body = CODINGS[coding](b"x" * size)
    responder = Service(TOY, request_limit=1000).responder()
    assert responder.receive_request(toy("POST", "/models", body, headers)) is None
    assert responder.end() == b"models " + b"x" * size
    assert responder.request.url == "http://x.test/models"
    assert not body or responder.request.headers == [(b"x-other", b"y")]


@pytest.mark.parametrize(
    ("coding", "body", "status", "message"),
    [
        (b"br", b"x", 415, "content-encoding: use gzip, deflate, or none"),
        (b"gzip, gzip", b"x", 415, "content-encoding: use gzip, deflate, or none"),
        (b"gzip", b"xyz", 400, "the request: the body is not valid gzip"),
        (
            b"gzip",
            gzip.compress(b"x", mtime=0)[:-1],
            400,
            "the body ends inside its content-encoding",
        ),
        (b"gzip", gzip.compress(bytes(1001), mtime=0), 413, "too large once it is decoded"),
        (b"deflate", zlib.compress(bytes(1_000_000)), 413, "too large once it is decoded"),
    ],
)
def test_a_request_that_is_compressed_as_it_must_not_be(
    coding: bytes, body: bytes, status: int, message: str
) -> None:
    responder = Service(TOY, request_limit=1000).responder()
    request = toy("POST", "/models", body, [(b"content-encoding", coding)])
    with pytest.raises(BadRequest, match=message) as caught:
        responder.receive_request(request)
    assert caught.value.status == status
    responder.fail(caught.value)
    takes = [(b"accept-encoding", b"gzip, deflate")] if status == 415 else []
    assert responder.head() == (status, [*JSON, *takes])


def test_a_streamed_answer() -> None:
    responder = Service(TOY).responder()
    assert responder.receive_request(CHAT) == as_chat("hi", model="m-1")
    assert responder.head() == (
        200,
        [
            (b"content-type", b"text/event-stream; charset=utf-8"),
            (b"cache-control", b"no-cache"),
            (b"x-accel-buffering", b"no"),
        ],
    )
    sent = [responder.send(event) for event in (Text("a"), Usage(), Text("b"))]
    assert sent == [b"a;", b"", b"b;"]
    assert not responder.complete
    assert responder.send(End("body_end")) == b""
    assert responder.complete
    assert responder.end() == b""


def test_an_answer_that_was_asked_for_whole_is_folded() -> None:
    responder = Service(TOY).responder()
    responder.receive_request(toy("POST", "/chat/m:ask", b"whole"))
    assert responder.head() == (200, JSON)
    assert [responder.send(e) for e in (Text("a"), Text("b"), End("body_end"))] == [b""] * 3
    assert responder.complete
    assert responder.end() == b"[ab]"


def test_a_chat_without_messages_is_refused() -> None:
    with pytest.raises(BadRequest, match="no message: a chat needs at least one"):
        Service(TOY).responder().receive_request(toy("POST", "/chat/m:ask", b"nothing"))


def test_half_an_answer_that_was_asked_for_whole_lacks_its_last_byte() -> None:
    responder = Service(TOY).responder()
    responder.receive_request(toy("POST", "/chat/m:ask", b"whole"))
    responder.send(Text("a"))
    assert not responder.complete
    assert responder.end() == b"[a"


@pytest.mark.parametrize(
    ("event", "body", "kind"),
    [
        (Start("", ""), b"", "Start"),
        (Usage(), b"whole", "Usage"),
        (Unrecognized(b"x", "choices[0]"), b"", "Unrecognized"),
    ],
)
def test_an_event_that_the_format_cannot_say(event: Event, body: bytes, kind: str) -> None:
    responder = Service(TOY).responder()
    responder.receive_request(toy("POST", "/chat/m:ask", body))
    assert not responder.can_say(event)
    words = f"^toy can't say {kind}: leave it out of the answer$"
    with pytest.raises(LocalProtocolError, match=words):
        responder.send(event)
    assert responder.can_say(Unrecognized(b"x"))


def test_a_format_whose_calls_are_whole_cannot_say_another() -> None:
    responder = Service(PROVIDERS["gemini"]).responder()
    assert responder.can_say(ToolCallEnd(0, "c", "f", "{}", True))
    assert not responder.can_say(ToolCallEnd(0, "c", "f", "{", False))
    assert Service(PROVIDERS["openai"]).responder().can_say(ToolCallEnd(0, "c", "f", "{", False))


def test_a_ping_is_that_of_the_format() -> None:
    assert Service(TOY).responder().ping() == b"~"
    assert Service(PROVIDERS["openai"]).responder().ping() == b": ping\n\n"


@pytest.mark.parametrize(
    ("retry_after", "header"),
    [
        (None, []),
        ("", []),
        ("7", [(b"retry-after", b"7")]),
        ("1500ms", [(b"retry-after", b"2"), (b"retry-after-ms", b"1500")]),
        ("1m30s", [(b"retry-after", b"90")]),
        ("2 s", [(b"retry-after", b"2")]),
        ("9" * 400 + "s", []),
        ("Wed, 21 Oct 2015 07:28:00 GMT", [(b"retry-after", b"Wed, 21 Oct 2015 07:28:00 GMT")]),
        ("1\r\nx: y", []),
        ("\u0663", []),
    ],
)
def test_a_failure_tells_how_long_to_wait(retry_after: str | None, header: Headers) -> None:
    responder = Service(TOY).responder()
    error = RateLimited("slow down")
    error.retry_after = retry_after
    responder.fail(error)
    assert responder.head() == (429, [*JSON, *header])
    assert responder.complete


@pytest.mark.parametrize(("advice", "value"), [(True, b"true"), (False, b"false")])
def test_a_failure_tells_whether_to_come_again(advice: bool, value: bytes) -> None:
    error = RateLimited("slow down")
    error.should_retry = advice
    responder = Service(PROVIDERS["openai"]).responder()
    body = responder.fail(error)
    assert (b"x-should-retry", value) in responder.head()[1]
    outcome = drive(ask(), Response(body, *responder.head()))
    assert isinstance(outcome.error, RateLimited)
    assert outcome.error.should_retry is advice


@pytest.mark.parametrize(
    ("error", "kind", "status"),
    [
        (with_status(RateLimited("no"), 429), RateLimited, 429),
        (TimedOut("too late", "idle"), Overloaded, 504),
        (Disconnected("it closed"), Overloaded, 502),
        (with_status(Truncated("half"), 200), Overloaded, 502),
        (with_status(Malformed("odd", data=b"{secret}"), 200), Overloaded, 502),
    ],
)
def test_what_an_upstream_did(error: Any, kind: type[Refused], status: int) -> None:
    refusal = refusal_of_upstream(error)
    assert (type(refusal), refusal.status) == (kind, status)
    assert "secret" not in str(refusal)
    assert str(error).startswith(refusal.message)


@pytest.mark.parametrize("name", EACH_FORMAT)
def test_where_an_upstream_is_stays_here(name: str) -> None:
    error = with_status(BadRequest("no such path"), 404)
    error.asked = "POST https://upstream.internal/v1"
    service = Service(PROVIDERS[name])
    assert b"no such path" in service.responder().fail(error)
    assert b"internal" not in service.responder().fail(error)
    assert b"internal" not in service.responder().fail_midway(error)


def test_a_message_has_one_prefix_however_many_hops() -> None:
    error: RemoteProtocolError = BadRequest("the service refused: no such model")
    for _ in range(3):
        responder = Service(PROVIDERS["openai"]).responder()
        outcome = drive(ask(), Response(responder.fail(error), *responder.head()))
        assert isinstance(outcome.error, BadRequest)
        error = outcome.error
        assert error.message == "the service refused: no such model"


def test_the_wait_makes_the_round_trip() -> None:
    responder = Service(PROVIDERS["openai"]).responder()
    error = RateLimited("slow down")
    error.retry_after = "1500ms"
    outcome = drive(ask(), Response(responder.fail(error), *responder.head()))
    assert isinstance(outcome.error, RateLimited)
    assert outcome.error.retry_after == "1500ms"


class Sealing:
    """A sealer that packs nothing."""

    def seal(self, native: Native) -> str:
        return ""

    def unseal(self, text: str) -> Native | None:
        return None


def test_service() -> None:
    service = Service(PROVIDERS["darkai"])
    assert service.base_url == "https://darkai.foundation"
    assert Service(PROVIDERS["darkai"], base_url="http://x.test").base_url == "http://x.test"
    assert [service.number() for _ in range(3)] == [1, 2, 3]
    assert (service.sealer, service.state) == (None, None)
    sealer = Sealing()
    assert Service(TOY, sealer=sealer).sealer is sealer
    assert service.check_model("llama-3.1-70b") == "llama-3-70b"
    with pytest.raises(BadRequest, match="no model 'gpt-9'") as caught:
        service.check_model("gpt-9")
    assert (caught.value.status, caught.value.code) == (404, "model_not_found")


def test_what_a_format_has_to_write() -> None:
    responder = Responder(Service(TOY))
    with pytest.raises(NotImplementedError):
        responder.receive_request(CHAT)
    with pytest.raises(NotImplementedError):
        responder.send(Text("a"))
    with pytest.raises(NotImplementedError):
        responder.write_whole(Reply())
    assert responder.head()[0] == 200
    assert responder.fail_midway(Refused("m1")) == b""


def test_models_are_told_in_the_form_of_most_services() -> None:
    responder = Responder(Service(TOY))
    assert responder.receive_request(toy("GET", "/models")) is None
    (model,) = json.loads(responder.end())["data"]
    known = {"object": "model", "created": 0, "owned_by": "tokenwire"}
    assert model == {"id": "any", **known}


def test_an_estimate_of_tokens() -> None:
    assert tokens_in({"a": "x" * 8, "b": ["y" * 4, {"c": "z" * 8}], "d": 7}) == 5
    assert tokens_in("") == 1


def post(body: bytes, content: str | None = "application/json") -> Request:
    headers = [] if content is None else [(b"content-type", content.encode())]
    return toy("POST", "/chat", body, headers)


@pytest.mark.parametrize("content", ["application/json", "Application/JSON; charset=utf-8"])
def test_a_json_body(content: str) -> None:
    assert read_json(post(b'{"a": 1}', content), _any) == {"a": 1}


def test_a_json_body_may_be_as_long_as_a_document() -> None:
    assert read_json(post(b"1" + b" " * (Limits().document - 1)), _any) == 1


@pytest.mark.parametrize(
    ("request_", "status", "message"),
    [
        (post(b"{}", None), 415, "content-type is missing, not application/json"),
        (post(b"{}", "text/plain"), 415, "content-type is text/plain, not application/json"),
        (post(b" " * (Limits().document + 1)), 413, "the request body is too large"),
        (post(b"{"), 400, "the request body is not JSON"),
    ],
)
def test_a_body_that_is_not_json(request_: Request, status: int, message: str) -> None:
    with pytest.raises(BadRequest) as caught:
        read_json(request_, _any)
    assert (caught.value.status, caught.value.message) == (status, message)


def test_a_body_that_need_not_be_labelled() -> None:
    for kind in (None, "application/x-www-form-urlencoded"):
        assert read_json(post(b"{}", kind), _any, labelled=False) == {}


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
    for chat in (as_chat("hi", model="m"), as_chat("hi", model="m", stream=False)):
        half = PROVIDERS["openai"].exchange(chat)
        with pytest.raises(Truncated):
            list(pair(half, Service(PROVIDERS["openai"]), lambda chat: SAYS[:2]))
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
