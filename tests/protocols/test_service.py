"""Services: what all responders share, statuses, and `pair`."""

import gzip
import json
from collections.abc import Iterable
from random import Random
from typing import Any

import pytest

from tests.cutting import bytewise
from tests.driving import JSON, Response, drive
from tests.subjects import SUBJECTS
from tokenwire.protocols.auth import Bearer, Header, Key, Query
from tokenwire.protocols.chat import Chat, as_chat
from tokenwire.protocols.dialect import Dialect, Endpoint
from tokenwire.protocols.errors import (
    AuthenticationFailed,
    BadRequest,
    LocalProtocolError,
    RateLimited,
    Refused,
    Truncated,
)
from tokenwire.protocols.events import (
    End,
    Event,
    Finish,
    FinishKind,
    LogProbs,
    Native,
    Start,
    Text,
    TokenLogProb,
    ToolCallDelta,
    ToolCallEnd,
    ToolCallStart,
    Unrecognized,
    Usage,
)
from tokenwire.protocols.exchange import Exchange
from tokenwire.protocols.provider import Provider
from tokenwire.protocols.reading import Asked
from tokenwire.protocols.refusing import refuse
from tokenwire.protocols.registry import PROVIDERS
from tokenwire.protocols.reply import Reply
from tokenwire.protocols.service import Responder, Service, pair
from tokenwire.protocols.serving import ServiceObserver
from tokenwire.protocols.toolkit.http import Headers, Request
from tokenwire.protocols.toolkit.toolcalls import seems_complete
from tokenwire.testing.recording import responder_to


def ask(**options: Any) -> Exchange:
    return PROVIDERS["openai"].exchange(as_chat("hi", model="m"), **options)


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


class Plain(Dialect):
    """Leaves the models to what all services share."""

    name = "plain"
    endpoints = (Endpoint("models", "GET", "/models"), Endpoint("model", "GET", "/models/{model}"))

    def respond(self, service: Service) -> Responder:
        return Responder(service)


def test_models_are_told_as_openai_tells_them() -> None:
    def told(path: str, **fields: Any) -> Any:
        provider = Provider(name="p", dialect=Plain(), base_url="https://p.test", **fields)
        responder = Service(provider).responder()
        assert responder.receive_request(toy("GET", path)) is None
        return json.loads(responder.end())

    a, b, c, any_ = (
        {"id": id, "object": "model", "created": 0, "owned_by": "tokenwire"}
        for id in ("a", "b", "c", "any")
    )
    assert told("/models", models=("a", "b")) == {"object": "list", "data": [a, b]}
    assert told("/models", default_model="c", any_model=True)["data"] == [c]
    assert told("/models", any_model=True)["data"] == [any_]
    assert told("/models/b", models=("a", "b")) == b
    with pytest.raises(BadRequest, match="no model 'c'"):
        told("/models/c", models=("a", "b"))


def test_a_responder_that_was_not_asked() -> None:
    service = Service(TOY, base_url="https://here.test")
    responder = service.responder()
    assert responder.request == Request("GET", "https://here.test", [])
    assert responder.chat == Chat(messages=())


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


class Dated(Header, frozen=True):
    """Accepts a key at any time, and remembers which."""

    times: list[float | None] = []

    def accepts(self, request: Request, key: Key, now: float | None) -> bool:
        self.times.append(now)
        return True


def test_a_key_may_depend_on_the_time() -> None:
    auth = Dated("x-own")
    provider = TOY.replace(auth=auth)
    Service(provider, key="k", now=lambda: 7).check_key(CHAT)
    Service(provider, key="k").check_key(CHAT)  # without a clock any time is right
    assert auth.times == [7, None]


def test_log_probabilities_belong_to_their_choice() -> None:
    responder = responder_to(PROVIDERS["openai"], as_chat("hi", model="m", n=2, logprobs=0))
    sent = responder.send(LogProbs([TokenLogProb("a", -0.5)], "content", 1))
    assert json.loads(sent.removeprefix(b"data: "))["choices"][0]["index"] == 1


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
        assert responder.complete is True  # a failure is whole


def test_a_request_may_be_compressed() -> None:
    headers = [(b"content-encoding", b"gzip"), (b"x-other", b"y")]
    responder = Service(TOY, request_limit=1000).responder()
    request = toy("POST", "/models", gzip.compress(b"x" * 1000), headers)
    assert responder.receive_request(request) is None
    assert responder.end() == b"models " + b"x" * 1000
    assert responder.request.headers == [(b"x-other", b"y")]
    large = toy("POST", "/models", gzip.compress(b"x" * 1001), headers)
    with pytest.raises(BadRequest, match="too large once it is decoded"):
        responder.receive_request(large)


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
    with pytest.raises(BadRequest, match=r"^no message: a chat needs at least one$") as caught:
        Service(TOY).responder().receive_request(toy("POST", "/chat/m:ask", b"nothing"))
    assert caught.value.status == 400


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


@pytest.mark.parametrize(
    "name",
    [
        name
        for name, subject in SUBJECTS.items()
        if Text in subject.provider.dialect.says_to(as_chat("hi", **subject.asked))
    ],
)
def test_half_a_character_cannot_be_said(name: str) -> None:
    """The error is not shown with the one that caused it, which holds all of the text."""
    subject = SUBJECTS[name]
    responder = responder_to(subject.provider, as_chat("hi", **subject.asked))
    words = r"^a lone surrogate, which UTF-8 can't say: leave it out of the answer$"
    said: list[Event] = [Text("a\ud800"), subject.provider.dialect.end()]
    with pytest.raises(LocalProtocolError, match=words) as caught:
        b"".join([*map(responder.send, said), responder.end()])
    assert caught.value.__suppress_context__


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("name", ["gemini", "ollama", "openai", "openai-responses"])
def test_a_log_probability_that_is_not_finite(name: str, stream: bool) -> None:
    """It is written as OpenAI writes that of a token that is very unlikely."""
    provider = PROVIDERS[name]
    chat = as_chat("hi", model="m", logprobs=1, stream=stream)

    def answer(chat: Chat) -> list[Event]:
        tops = [TokenLogProb("b", -0.5), TokenLogProb("c", float("-inf"))]
        said = [TokenLogProb("a", float(word), [97], tops) for word in ("-inf", "inf", "nan")]
        return [Text("aaa"), LogProbs(said), Finish("stop", "stop"), provider.dialect.end()]

    heard = list(pair(provider.exchange(chat), Service(provider), answer))
    [tokens] = [event.tokens for event in heard if isinstance(event, LogProbs)]
    tops = [TokenLogProb("b", -0.5), TokenLogProb("c", -9999.0)]
    assert [(token.logprob, token.top_logprobs) for token in tokens] == [(-9999.0, tops)] * 3
    assert name == "gemini" or [token.bytes for token in tokens] == [[97]] * 3


def test_a_format_whose_calls_are_whole_cannot_say_another() -> None:
    responder = Service(PROVIDERS["gemini"]).responder()
    assert responder.can_say(ToolCallEnd(0, "c", "f", "{}", True))
    assert not responder.can_say(ToolCallEnd(0, "c", "f", "{", False))
    assert Service(PROVIDERS["openai"]).responder().can_say(ToolCallEnd(0, "c", "f", "{", False))


CALLING = [
    name
    for name, subject in SUBJECTS.items()
    if ToolCallStart in subject.provider.dialect.says and not subject.provider.dialect.whole_calls
]


@pytest.mark.parametrize("name", CALLING)
@pytest.mark.parametrize("arguments", ["{}", '{"a":1}', '{"a":'])
@pytest.mark.parametrize("kind", ["stop", "tool_call", "length", "error", None])
def test_no_client_takes_half_a_call_for_whole(
    name: str, arguments: str, kind: FinishKind | None
) -> None:
    """A call that is not complete arrives as such, or is refused before the answer is over."""
    subject = SUBJECTS[name]
    provider, chat = subject.provider, as_chat("hi", **subject.asked)
    reasons = {meant: reason for reason, meant in provider.dialect.finish.items()}
    if kind is not None and kind not in reasons:
        return
    half = ToolCallEnd(0, "abcdefghi", "f", arguments, False)
    answer: list[Event] = [
        ToolCallStart(0, "abcdefghi", "f"),
        *([ToolCallDelta(0, arguments)] if arguments != "{}" else []),
        half,
        *([Finish(reasons[kind], kind)] if kind is not None else []),
        End("terminator"),
    ]
    heard: list[Event] = []
    try:
        exchange = provider.exchange(chat, base_url="http://x.test")
        heard += pair(exchange, Service(provider, base_url="http://x.test"), lambda _: answer)
    except LocalProtocolError:
        assert seems_complete(half, kind)
        return
    except Refused:
        assert kind == "error"
        return
    (end,) = [event for event in heard if isinstance(event, ToolCallEnd)]
    assert not end.complete


def test_half_a_call_of_another_choice() -> None:
    responder = responder_to(PROVIDERS["openai"], as_chat("hi", model="m", n=2))
    for index in (0, 1):
        responder.send(ToolCallStart(0, "c", "f", index=index))
    responder.send(ToolCallEnd(0, "c", "f", "{}", False, index=1))
    responder.send(ToolCallEnd(0, "c", "f", "{}", True))
    responder.send(Finish("tool_calls", "tool_call"))
    with pytest.raises(LocalProtocolError, match="openai_chat can't say that a call"):
        responder.send(Finish("tool_calls", "tool_call", index=1))
    assert not responder.complete


def test_a_ping_is_that_of_the_format() -> None:
    assert Service(TOY).responder().ping() == b"~"
    assert Service(PROVIDERS["openai"]).responder().ping() == b": ping\n\n"


class Sealing:
    """A sealer that packs nothing."""

    def seal(self, native: Native) -> str:
        return ""

    def unseal(self, text: str) -> Native | None:
        return None


def test_service() -> None:
    service = Service(PROVIDERS["darkai"])
    assert service.base_url == "https://darkai.foundation"
    elsewhere = Service(PROVIDERS["darkai"], base_url="http://x.test")
    assert elsewhere.base_url == elsewhere.responder().base_url == "http://x.test"
    assert [service.number() for _ in range(3)] == [1, 2, 3]
    assert (service.sealer, service.state) == (None, None)
    sealer = Sealing()
    assert Service(TOY, sealer=sealer).sealer is sealer
    assert service.check_model("llama-3.1-70b") == "llama-3-70b"
    with pytest.raises(BadRequest, match="no model 'gpt-9'") as caught:
        service.check_model("gpt-9")
    assert (caught.value.status, caught.value.code) == (404, "model_not_found")


def test_another_sealer_shares_all_else() -> None:
    service, sealer = Service(TOY), Sealing()
    twin = service.sealed_by(sealer)
    assert (twin.sealer, service.sealer) == (sealer, None)
    assert [service.number(), twin.number(), service.number()] == [1, 2, 3]
    assert twin.state is service.state


@pytest.mark.parametrize(
    ("body", "found", "asked"),
    [
        (b"{}", {}, Asked("", False)),
        (b'{"model": "a", "stream": true, "messages": 7}', {}, Asked("a", True)),
        (b'{"model": "a", "stream": null}', {"model": "b"}, Asked("b", False)),
    ],
)
def test_what_a_relay_has_to_know(body: bytes, found: dict[str, str], asked: Asked) -> None:
    assert Responder(Service(TOY)).asked(toy("POST", "/chat", body, JSON), found) == asked


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


def test_pair_of_text_that_depends_on_the_request() -> None:
    def answer(chat: Chat, request: Request) -> str:
        return f"{chat.messages[0].text} at {request.target}"

    heard = list(pair(ask(), Service(PROVIDERS["openai"]), answer))
    assert heard[-3:] == [
        Text("hi at /v1/chat/completions"),
        Finish("stop", "stop"),
        End("terminator"),
    ]


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


# Texts that only go on, and observers: test_serving has the rest of these


def asked_for(*, stream: bool, **how: Any) -> Responder:
    """A responder of chat completions that has a question."""
    request = PROVIDERS["openai"].exchange(as_chat("hi", model="m", stream=stream)).next_request()
    assert request is not None
    responder = Service(PROVIDERS["openai"], **how).responder()
    responder.receive_request(request)
    return responder


def test_texts_go_on_in_a_stream_and_are_kept_for_a_document() -> None:
    stream, whole = asked_for(stream=True), asked_for(stream=False)
    said: list[Event] = [
        Start("c", "m"),
        Text("a"),
        Text("b"),
        Finish("stop", "stop"),
        End("terminator"),
    ]
    written = [stream.send(event) for event in said]
    assert b'"content":"b"' in written[2]
    assert b"".join(whole.send(event) for event in said) == b""
    assert json.loads(whole.end())["choices"][0]["message"]["content"] == "ab"


def test_half_a_character_in_a_text_that_goes_on() -> None:
    stream = asked_for(stream=True)
    stream.send(Start("c", "m"))
    stream.send(Text("a"))
    with pytest.raises(LocalProtocolError, match="surrogate"):
        stream.send(Text("\ud800"))


def test_a_service_tells_its_observers() -> None:
    told: list[Request] = []

    class Told(ServiceObserver):
        def requested(self, request: Request) -> None:
            told.append(request)

    asked_for(stream=True, observers=[Told()])
    assert [request.method for request in told] == ["POST"]
