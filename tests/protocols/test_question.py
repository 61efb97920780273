"""Questions: the requests that a format makes of a chat that is put to a provider."""

import json
from collections.abc import Callable
from random import Random
from typing import Any

import pytest

from tokenwire.protocols.auth import Header, Key, Query
from tokenwire.protocols.chat import Chat, as_chat
from tokenwire.protocols.errors import BadRequest, LocalProtocolError, Overloaded, RateLimited
from tokenwire.protocols.formats.openai_chat import OpenAIChat
from tokenwire.protocols.limits import Limits
from tokenwire.protocols.provider import Provider
from tokenwire.protocols.question import Question
from tokenwire.protocols.toolkit.http import Request, get_header
from tokenwire.protocols.toolkit.refusals import ErrorTable

CHAT = as_chat("hi", model="big")
PROVIDER = Provider(
    name="acme",
    dialect=OpenAIChat(),
    base_url="https://acme.test/v1?tenant=1",
    any_model=True,
    headers={"Origin": "https://acme.test", "accept": "a/b"},
    fields={"temperature": 1, "top_p": 0.5},
)


def question(chat: Chat = CHAT, **changes: Any) -> Question:
    fields: dict[str, Any] = {
        "provider": PROVIDER,
        "chat": chat,
        "model": "big",
        "base_url": PROVIDER.base_url,
        "limits": Limits(),
    }
    return Question(**{**fields, **changes})


def sent(request: Request) -> Any:
    return json.loads(request.body)


def test_a_post() -> None:
    request = question(headers={"X-Mine": "1", "ORIGIN": "https://other"}).post(
        "/chat", {"q": "\u00e9"}, {"accept": "c/d"}
    )
    assert (request.method, request.url) == ("POST", "https://acme.test/v1/chat?tenant=1")
    assert sent(request) == {"temperature": 1, "top_p": 0.5, "q": "\u00e9"}
    assert not request.server_chosen
    assert dict(request.headers) == {
        b"user-agent": b"tokenwire/0.1.0",
        b"accept-encoding": b"identity",
        b"origin": b"https://other",
        b"accept": b"a/b",  # the provider's own
        b"content-type": b"application/json",
        b"x-mine": b"1",
    }


def test_what_overrides_what() -> None:
    chat = CHAT.replace(extra={"top_p": 0.1, "q": "extra"})
    assert sent(question(chat).post("/", {"temperature": 0, "q": "body"})) == {
        "temperature": 0,
        "top_p": 0.1,
        "q": "extra",
    }


def test_what_a_relay_received_is_sent_in_place_of_the_chat() -> None:
    assert question(body=b"raw").post("/", {"q": 1}).body == b"raw"


def test_a_base_url_may_be_the_address_of_the_chat() -> None:
    asked = question(base_url="https://acme.test/v1/chat/completions")
    assert asked.post("/chat/completions", {}).url == "https://acme.test/v1/chat/completions"


def test_what_the_caller_gave_may_be_a_secret() -> None:
    provider = PROVIDER.replace(headers={"Origin": "https://acme.test", "X-Own": "2"})
    request = question(provider=provider, headers={"X-Mine": "1"}).get("/")
    assert request.given == {b"x-own", b"x-mine"}


def test_a_post_beside_the_chat() -> None:
    request = question(provider=PROVIDER.replace(headers={})).post_document("/embed", b"[1]")
    assert (request.method, request.body) == ("POST", b"[1]")
    assert request.url == "https://acme.test/v1/embed?tenant=1"
    assert get_header(request.headers, b"content-type") == "application/json"
    assert get_header(request.headers, b"accept") == "application/json"


def test_a_get() -> None:
    request = question(headers={"x-mine": "1"}).get("/token?a=b", {"x": "y"})
    assert (request.method, request.body) == ("GET", b"")
    assert request.url == "https://acme.test/v1/token?tenant=1&a=b"
    assert get_header(request.headers, b"x") == "y"
    assert get_header(request.headers, b"x-mine") == "1"
    assert get_header(request.headers, b"content-type") is None


def test_an_address_that_the_server_chose_gets_nothing_of_ours() -> None:
    asked = question(key="sk-12345678", headers={"authorization": "Bearer x", "cookie": "a=b"})
    request = asked.get_server_chosen("http://pics.test/1.png#top")
    assert (request.method, request.url) == ("GET", "http://pics.test/1.png")
    assert request.server_chosen
    assert dict(request.headers) == {
        b"user-agent": b"tokenwire/0.1.0",
        b"accept-encoding": b"identity",
        b"accept": b"image/*",
    }
    with pytest.raises(LocalProtocolError):
        asked.get_server_chosen("file:///etc/passwd")


@pytest.mark.parametrize("value", [object(), {(1,): 2}, "\ud800", {1, object()}])
def test_what_is_no_json(value: Any) -> None:
    with pytest.raises(LocalProtocolError, match="the chat can't be written as JSON"):
        question().post("/", {"q": value})


def test_what_is_nested_too_deep_is_no_json() -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(LocalProtocolError, match="the chat can't be written as JSON"):
        question().post("/", {"q": deep})


def test_random_text_comes_from_the_source_given() -> None:
    text = question(random=Random(1)).random_text(50)
    assert text == question(random=Random(1)).random_text(50)
    assert len(text) == 50
    assert set(text) <= set("abcdefghijklmnopqrstuvwxyz0123456789")
    words = r"^acme needs random strings: give random=random\.SystemRandom\(\)$"
    with pytest.raises(LocalProtocolError, match=words):
        question().random_text(1)


def test_objects_are_merged_into_objects() -> None:
    provider = PROVIDER.replace(fields={"options": {"a": 1, "deep": {"x": 1}, "list": [1]}, "b": 1})
    chat = CHAT.replace(extra={"options": {"deep": {"z": 3}, "list": [2]}, "b": {"c": 1}})
    body = {"options": {"deep": {"y": 2}}}
    assert sent(question(chat, provider=provider).post("/", body)) == {
        "options": {"a": 1, "deep": {"x": 1, "y": 2, "z": 3}, "list": [2]},
        "b": {"c": 1},
    }
    assert provider.fields["options"]["deep"] == {"x": 1}
    assert body == {"options": {"deep": {"y": 2}}}


def test_the_query_of_the_provider_is_added() -> None:
    asked = question(provider=PROVIDER.replace(query={"v": "1 2"}))
    assert asked.get("/a").url == "https://acme.test/v1/a?tenant=1&v=1+2"
    assert asked.get("/a?b=c").url == "https://acme.test/v1/a?tenant=1&b=c&v=1+2"
    asked = question(provider=PROVIDER.replace(query={"tenant": "2"}))
    assert asked.get("/a?b=c").url == "https://acme.test/v1/a?tenant=1&b=c"


# The key


GET = Request("GET", "https://x/a", [])


def test_the_key_is_put_in_where_the_provider_says() -> None:
    signed = question(key=" k-1\n").sign(GET)
    assert signed.headers == [(b"authorization", b"Bearer k-1")]
    assert GET.headers == []
    signed = question(key="k-1", provider=PROVIDER.replace(auth=Header("X-Key"))).sign(GET)
    assert signed.headers == [(b"x-key", b"k-1")]
    signed = question(key="k 1", provider=PROVIDER.replace(auth=Query("key"))).sign(GET)
    assert signed.url == "https://x/a?key=k%201"


class Dated(Header, frozen=True):
    """Puts in the time, too."""

    def sign(self, request: Request, key: Key, now: Callable[[], float] | None) -> Request:
        assert now is not None
        return super().sign(request, f"{key}-{now()}", now)


def test_a_signature_may_have_the_time() -> None:
    asked = question(key="k", now=lambda: 7, provider=PROVIDER.replace(auth=Dated("x-key")))
    assert asked.sign(GET).headers == [(b"x-key", b"k-7")]


@pytest.mark.parametrize("key", [None, "", " \n", lambda: ""])
def test_without_a_key_nothing_is_put_in(key: Any) -> None:
    assert question(key=key).sign(GET) is GET


def test_a_key_that_is_a_callable_is_called_for_each_request() -> None:
    keys = iter(["k-1", "k-2"])
    asked = question(key=lambda: next(keys))
    assert [asked.sign(GET).headers[0][1] for _ in range(2)] == [b"Bearer k-1", b"Bearer k-2"]


def test_a_server_chosen_address_gets_no_key() -> None:
    chosen = question(key="k").get_server_chosen("https://x/1.png")
    assert question(key="k").sign(chosen) is chosen


def test_its_repr_shows_no_key() -> None:
    asked = question(key="sk-12345678")
    assert repr(asked) == "<Question to acme big>"
    assert asked.__rich_repr__() == [("provider", "acme"), ("model", "big")]


# What the provider says


def test_what_the_provider_omits() -> None:
    provider = PROVIDER.replace(omits=frozenset(("q", "top_p", "unknown")))
    assert sent(question(provider=provider).post("/", {"q": 1, "r": 2})) == {
        "temperature": 1,
        "r": 2,
    }


def test_the_path_may_have_the_model_and_depend_on_streaming() -> None:
    provider = PROVIDER.replace(path="/{model}:stream", whole_path="/{model}:whole")
    streamed = question(provider=provider, model="a/b@1").post("/own", {})
    assert streamed.url == "https://acme.test/v1/a%2Fb@1:stream?tenant=1"
    whole = question(CHAT.replace(stream=False), provider=provider).post("/own", {})
    assert whole.url == "https://acme.test/v1/big:whole?tenant=1"
    only = question(CHAT.replace(stream=False), provider=PROVIDER.replace(path="/p"))
    assert only.post("/own", {}).url == "https://acme.test/v1/p?tenant=1"


def test_finish_reasons() -> None:
    assert question().finishes == PROVIDER.dialect.finish
    own = question(provider=PROVIDER.replace(finishes={"stop": "length", "odd": "error"})).finishes
    assert own == {**PROVIDER.dialect.finish, "stop": "length", "odd": "error"}


def test_its_first_step_is_that_of_the_format() -> None:
    assert question().ask().request.url == "https://acme.test/v1/chat/completions?tenant=1"


def test_the_query_of_the_provider_that_is_there_already() -> None:
    def url(base_url: str) -> str:
        provider = PROVIDER.replace(query={"v": "2 0", "w": "3"})
        return question(provider=provider, base_url=base_url).get("/a").url

    assert url("https://x.test") == "https://x.test/a?v=2+0&w=3"
    assert url("https://x.test?v=1") == "https://x.test/a?v=1&w=3"
    assert url("https://x.test?v=") == "https://x.test/a?v=&w=3"
    assert url("https://x.test?v=1&w=") == "https://x.test/a?v=1&w="


def test_the_errors_of_the_provider() -> None:
    class Own(OpenAIChat):
        errors = ErrorTable(codes={"a": BadRequest, "b": BadRequest}, lasting_codes=frozenset("a"))

    plain = question(provider=PROVIDER.replace(dialect=Own()))
    assert plain.errors is Own.errors
    codes = {"b": "RateLimited", "c": "Overloaded"}
    table = question(provider=plain.provider.replace(error_codes=codes)).errors
    assert table.codes == {"a": BadRequest, "b": RateLimited, "c": Overloaded}
    assert table.lasting_codes == {"a"}
    lasting = plain.provider.replace(lasting_codes=frozenset("c"))
    table = question(provider=lasting).errors
    assert table.codes == Own.errors.codes
    assert table.lasting_codes == {"a", "c"}


@pytest.mark.parametrize("name", ["Nobody", "TokenwireError", "Truncated", "brief"])
def test_what_is_no_class_of_errors(name: str) -> None:
    with pytest.raises(LocalProtocolError) as caught:
        _ = question(provider=PROVIDER.replace(error_codes={"a": name})).errors
    assert str(caught.value) == f"error_codes: {name!r} is not one of the errors"
