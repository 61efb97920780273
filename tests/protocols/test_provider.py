"""Providers as data, and the requests of a chat that is put to one."""

import json
from random import Random
from typing import Any

import pytest

from tests.asking import chunk
from tests.driving import drive
from tokenwire.protocols.chat import Chat, as_chat
from tokenwire.protocols.clocks import Clocks
from tokenwire.protocols.errors import LocalProtocolError, Truncated
from tokenwire.protocols.events import Evidence
from tokenwire.protocols.formats.openai_chat import OpenAIChat
from tokenwire.protocols.limits import Limits
from tokenwire.protocols.provider import Provider
from tokenwire.protocols.question import Question
from tokenwire.protocols.step import Step
from tokenwire.protocols.toolkit.http import Request, get_header

CHAT = as_chat("hi", model="big")
PROVIDER = Provider(
    name="acme",
    dialect=OpenAIChat(),
    base_url="https://acme.test/v1?tenant=1",
    models=("big", "small"),
    default_model="small",
    aliases={"large": "big"},
    headers={"Origin": "https://acme.test", "accept": "a/b"},
    fields={"temperature": 1, "top_p": 0.5},
    clocks=Clocks(total=99),
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


@pytest.mark.parametrize(
    ("asked", "meant"), [("big", "big"), ("large", "big"), ("small", "small"), ("", "small")]
)
def test_the_model_meant(asked: str, meant: str) -> None:
    assert PROVIDER.model(asked) == meant


def test_any_model() -> None:
    open_minded = Provider(name="x", dialect=OpenAIChat(), base_url="https://x", any_model=True)
    assert open_minded.model("whatever") == "whatever"
    with pytest.raises(LocalProtocolError, match=r"^x has no default model: give one with model=$"):
        open_minded.model("")


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ("bigg", r"^acme has no model 'bigg'; did you mean big\? \(known: big, small, large\)$"),
        ("zzz", r"^acme has no model 'zzz' \(known: big, small, large\)$"),
        ("big\n", r"^model 'big\\n' holds a control character"),
    ],
)
def test_an_unknown_model(asked: str, words: str) -> None:
    with pytest.raises(LocalProtocolError, match=words):
        PROVIDER.model(asked)


def test_the_three_closest_models_are_offered() -> None:
    many = Provider(
        name="x",
        dialect=OpenAIChat(),
        base_url="https://x",
        models=("m-11", "m-12", "m-13", "m-41"),
    )
    with pytest.raises(LocalProtocolError, match=r"; did you mean m-\d+ or m-\d+ or m-\d+\? "):
        many.model("m-1")


def test_a_long_name_of_a_model_is_shortened() -> None:
    for name, shown in (("x" * 100, "x" * 100), ("x" * 101, "x" * 100 + "...")):
        with pytest.raises(LocalProtocolError, match=f"^acme has no model '{shown}' "):
            PROVIDER.model(name)


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
        b"accept": b"c/d",
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


def test_an_option_that_cannot_be_taken() -> None:
    asked = question(CHAT.replace(n=2, seed=1))
    asked.refuse_options("n", "seed")
    words = r"^acme can't take seed: leave it out of the chat$"
    with pytest.raises(LocalProtocolError, match=words):
        asked.refuse_options("n")


def test_an_exchange_has_what_was_given_or_what_the_provider_brings() -> None:
    exchange = PROVIDER.exchange(CHAT)
    assert (exchange.clocks, exchange.limits) == (PROVIDER.clocks, Limits())
    limits, clocks = Limits(event=9), Clocks(idle=1)
    exchange = PROVIDER.exchange(
        CHAT,
        key="sk-12345678",
        base_url="http://localhost:8000",
        headers={"x-mine": "1"},
        limits=limits,
        clocks=clocks,
    )
    assert (exchange.clocks, exchange.limits) == (clocks, limits)
    request = exchange.next_request()
    assert request is not None
    assert request.url == "http://localhost:8000/chat/completions"
    assert get_header(request.headers, b"authorization") == "Bearer sk-12345678"
    assert get_header(request.headers, b"x-mine") == "1"
    assert sent(request)["model"] == "big"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"key": "a\nb"}, "^key holds a control character"),
        ({"base_url": "ftp://x"}, "base_url 'ftp://x'"),
        ({"base_url": ""}, "base_url ''"),
        ({"headers": {"a b": "c"}}, "header name 'a b'"),
        ({"headers": {"a": "c\r\nd"}}, "header a holds a control character"),
    ],
)
def test_what_no_exchange_can_be_made_of(given: dict[str, Any], words: str) -> None:
    with pytest.raises(LocalProtocolError, match=words):
        PROVIDER.exchange(CHAT, **given)


class Remembering(OpenAIChat):
    """A dialect that remembers what it was asked."""

    def ask(self, question: Question) -> Step:
        self.question = question
        return super().ask(question)


def test_a_dialect_is_given_all_that_was_given() -> None:
    dialect, source, limits = Remembering(), Random(1), Limits(event=9)
    provider = Provider(name="x", dialect=dialect, base_url="https://x", any_model=True)
    headers = {"x-mine": "1"}
    provider.exchange(CHAT, key="k", headers=headers, limits=limits, random=source)
    assert dialect.question == Question(
        provider=provider,
        chat=CHAT,
        model="big",
        base_url="https://x",
        limits=limits,
        key="k",
        headers=headers,
        random=source,
    )


@pytest.mark.parametrize(("owes", "error"), [("finish", None), ("terminator", Truncated)])
def test_an_exchange_owes_what_its_provider_owes(
    owes: Evidence, error: type[Exception] | None
) -> None:
    provider = Provider(
        name="x", dialect=OpenAIChat(), base_url="https://x", any_model=True, owes=owes
    )
    outcome = drive(provider.exchange(CHAT), b"data: " + chunk("a", '"stop"') + b"\n\n")
    assert (type(outcome.error) if outcome.error else None) is error


def test_a_provider_is_a_value() -> None:
    with pytest.raises(AttributeError):
        PROVIDER.name = "other"  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
    assert "sk-" not in repr(question(key="sk-12345678"))


def test_a_chat_is_wanted() -> None:
    question: Any = "hi"
    with pytest.raises(LocalProtocolError, match=r"^give a Chat: as_chat\(...\) makes one"):
        PROVIDER.exchange(question)


@pytest.mark.parametrize(
    ("changes", "name"),
    [({"key": "sk-12345678"}, "key"), ({"chat": CHAT.replace(stream=False)}, "stream=False")],
)
def test_a_key_and_not_streaming_are_options(changes: dict[str, Any], name: str) -> None:
    asked = question(**changes)
    asked.refuse_options(name)
    with pytest.raises(LocalProtocolError, match=f"acme can't take {name}"):
        asked.refuse_options()
