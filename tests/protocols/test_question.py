"""Questions: the requests that a format makes of a chat that is put to a provider."""

import json
from random import Random
from typing import Any

import pytest

from tokenwire.protocols.auth import Header, Query
from tokenwire.protocols.chat import Chat, as_chat
from tokenwire.protocols.errors import LocalProtocolError
from tokenwire.protocols.formats.openai_chat import OpenAIChat
from tokenwire.protocols.limits import Limits
from tokenwire.protocols.provider import Provider
from tokenwire.protocols.question import Question
from tokenwire.protocols.toolkit.http import Request, get_header

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
    assert repr(question(key="sk-12345678")) == "<Question to acme big>"
