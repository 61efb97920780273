"""`ask` and `stream`: one question in one line."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

import tokenwire
from tokenwire import (
    PROVIDERS,
    Chat,
    End,
    LocalProtocolError,
    Message,
    Observer,
    Outcome,
    Provider,
    Truncated,
    as_chat,
    ask,
    ask_async,
    make_exchange,
    stream,
    stream_async,
)
from tokenwire.highlevel import key_from_environment
from tokenwire.server import serve
from tokenwire.server.faults import CloseAfter
from tokenwire.transports.sync import Client


@pytest.mark.parametrize("provider", ["darkai", "ylokh", "aichats", "aichatonline"])
def test_ask_each_founding_provider(provider: str) -> None:
    with serve(provider) as server:
        reply = ask(provider, "Is it you?", base_url=server.url)
    assert f"{provider} {PROVIDERS[provider].default_model} was asked: Is it you?" in reply.text
    assert reply.evidence == ("terminator" if provider in ("darkai", "ylokh") else "body_end")


@pytest.mark.parametrize(
    "question",
    ["Hello", [{"role": "user", "content": "Hello"}], [Message("user", "Hello")], as_chat("Hello")],
)
def test_a_question_in_any_form(question: Any) -> None:
    with serve("ylokh") as server:
        assert "Hello" in ask(PROVIDERS["ylokh"], question, base_url=server.url).text


def test_options_are_those_of_a_chat() -> None:
    with serve("ylokh") as server:
        ask(
            "ylokh", "Hello", base_url=server.url, model="m-2", temperature=0.5, extra={"user": "u"}
        )
        (request,) = server.requests
    for part in (b'"model":"m-2"', b'"temperature":0.5', b'"user":"u"'):
        assert part in request.body


def test_a_client_keeps_its_connections() -> None:
    with serve("ylokh") as server, Client() as client:
        for _ in range(3):
            ask("ylokh", "Hello", client=client, base_url=server.url)
    assert server.connections == 1


def test_without_a_client_a_whole_exchange_has_one_connection() -> None:
    with serve("aichatonline") as server:
        ask("aichatonline", "Hello", base_url=server.url)
    assert len(server.requests) == 2
    assert server.connections == 1


def test_stream_without_a_with_block_leaves_nothing_open() -> None:
    with serve("ylokh") as server:
        events = list(stream("ylokh", "Hello", base_url=server.url))
    assert isinstance(events[-1], End)


def test_what_is_raised_has_what_had_come() -> None:
    with serve("ylokh", fault=CloseAfter(700)) as server, pytest.raises(Truncated) as caught:
        ask("ylokh", "Hello", base_url=server.url)
    assert caught.value.answer is not None
    assert caught.value.answer.text.startswith("ylokh ")


MISUSE: dict[str, tuple[Callable[[], Any], str]] = {
    "an unknown provider": (
        lambda: ask("darkia", "Hello"),
        "no provider 'darkia'; did you mean darkai.*known: openai, azure",
    ),
    "an unknown model": (
        lambda: ask("darkai", "Hello", model="gpt-4"),
        r"no model 'gpt-4'; did you mean gpt-4o.*known: llama-3-70b",
    ),
    "no model": (lambda: ask("openai", "Hello"), "no default model: give one with model="),
    "no message": (lambda: ask("darkai", []), "no message"),
    "an option that it can't take": (
        lambda: ask("darkai", "Hello", temperature=1),
        "darkai can't take temperature",
    ),
    "a control character in the model": (
        lambda: ask("openai", "Hello", model="a\nb"),
        "model .* control character",
    ),
    "a control character in the key": (
        lambda: ask("openai", "Hello", model="m", key="sesame\r\nx: y"),
        "key has a control character",
    ),
    "a control character in a header": (
        lambda: ask("ylokh", "Hello", headers={"x": "a\r\nb"}),
        "header x has a control character",
    ),
    "a control character in the URL": (
        lambda: ask("ylokh", "Hello", base_url="http://a\r\n/v1"),
        "base_url .* control character",
    ),
    "a URL of another scheme": (
        lambda: ask("ylokh", "Hello", base_url="ftp://a/v1"),
        "give http:// or https://",
    ),
}


@pytest.mark.parametrize("name", MISUSE)
def test_misuse_is_told_before_anything_is_sent(name: str) -> None:
    call, words = MISUSE[name]
    with pytest.raises(LocalProtocolError, match=words) as caught:
        call()
    assert "sesame" not in str(caught.value)


def test_the_public_names_are_there() -> None:
    for name in tokenwire.__all__:
        assert getattr(tokenwire, name) is not None
    assert tokenwire.__version__.count(".") == 2


def test_an_exchange_for_any_transport() -> None:
    exchange = make_exchange("darkai", Chat(messages=(Message("user", "Hello"),)))
    request = exchange.next_request()
    assert request is not None
    assert request.url == "https://darkai.foundation/chat"


TWO = PROVIDERS["openai"].replace(env=("FIRST_KEY", "SECOND_KEY"))
ENVIRONMENTS: dict[str, tuple[dict[str, str], str | None]] = {
    "none is set": ({}, None),
    "the first": ({"FIRST_KEY": "k-1", "SECOND_KEY": "k-2"}, "k-1"),
    "the second": ({"SECOND_KEY": "k-2"}, "k-2"),
    "the first is empty": ({"FIRST_KEY": "", "SECOND_KEY": "k-2"}, "k-2"),
    "the first is blank": ({"FIRST_KEY": " \n", "SECOND_KEY": "k-2"}, "k-2"),
    "all are empty": ({"FIRST_KEY": "", "SECOND_KEY": ""}, None),
    "with a line end": ({"FIRST_KEY": "k-1\n"}, "k-1"),
    "one of another provider": ({"OPENAI_API_KEY": "k-3"}, None),
}


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_the_key_in_the_environment(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    environment, key = ENVIRONMENTS[name]
    for variable, value in environment.items():
        monkeypatch.setenv(variable, value)
    assert key_from_environment(TWO) == key


@pytest.mark.parametrize(
    ("options", "sent"),
    [
        ({}, b"Bearer from-env"),
        ({"key": "given"}, b"Bearer given"),
        ({"key": ""}, None),
        ({"headers": {"Authorization": "mine"}}, b"mine"),
        ({"base_url": "http://localhost:8000/v1"}, b"Bearer from-env"),
    ],
)
def test_a_missing_key_is_taken_from_the_environment(
    options: dict[str, Any], sent: bytes | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "from-env")
    request = make_exchange("openai", "Hello", model="m", **options).next_request()
    assert request is not None
    assert dict(request.headers).get(b"authorization") == sent


def test_the_core_reads_no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "from-env")
    request = PROVIDERS["openai"].exchange(as_chat("Hello", model="m")).next_request()
    assert request is not None
    assert b"authorization" not in dict(request.headers)


def test_each_way_to_ask_takes_the_key_from_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "from-env")

    async def ask_twice(url: str) -> None:
        await ask_async("openai", "Hello", model="m", base_url=url)
        async with stream_async("openai", "Hello", model="m", base_url=url) as answer:
            await answer.read()

    with serve("openai", key="from-env") as server:  # which refuses any other
        ask("openai", "Hello", model="m", base_url=server.url)
        with stream("openai", "Hello", model="m", base_url=server.url) as answer:
            answer.read()
        asyncio.run(ask_twice(server.url))
    assert len(server.requests) == 4


# What else is in the environment

REGIONAL = PROVIDERS["openai"].replace(
    name="regional",
    base_url="https://{region}.example/{account}",
    params={"region": "A_REGION", "account": "AN_ACCOUNT"},
    base_env=("FIRST_URL", "SECOND_URL"),
)
IN_PLACE = {"A_REGION": "eu", "AN_ACCOUNT": "7"}
ADDRESSES: dict[str, tuple[dict[str, str], dict[str, Any], str]] = {
    "the parts": (IN_PLACE, {}, "https://eu.example/7"),
    "blanks around": ({**IN_PLACE, "A_REGION": " us\n"}, {}, "https://us.example/7"),
    "one is given": (IN_PLACE, {"params": {"region": "us"}}, "https://us.example/7"),
    "all are given": ({}, {"params": {"region": "us", "account": "8"}}, "https://us.example/8"),
    "the first URL": ({"FIRST_URL": "http://one", "SECOND_URL": "http://two"}, {}, "http://one"),
    "the second URL": (
        {"FIRST_URL": " ", "SECOND_URL": "http://two", **IN_PLACE},
        {},
        "http://two",
    ),
    "a URL is given": ({"FIRST_URL": "http://one"}, {"base_url": "http://own"}, "http://own"),
}


def url_of(provider: Provider, **options: Any) -> str:
    request = make_exchange(provider, "Hello", model="m", **options).next_request()
    assert request is not None
    return request.url


@pytest.mark.parametrize("name", ADDRESSES)
def test_the_address_in_the_environment(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    environment, options, url = ADDRESSES[name]
    for variable, value in environment.items():
        monkeypatch.setenv(variable, value)
    assert url_of(REGIONAL, **options) == f"{url}/chat/completions"


@pytest.mark.parametrize(
    ("own", "value", "url"),
    [
        ("http://localhost:11434", "box", "http://box:11434"),
        ("http://localhost:11434", "box:80", "http://box:80"),
        ("http://localhost:11434", "[::1]", "http://[::1]:11434"),
        ("http://localhost:11434", "[::1]:80", "http://[::1]:80"),
        ("https://box.test/v1", "eu.test", "https://eu.test/v1"),
        ("https://box.test/v1", "http://eu.test:8", "http://eu.test:8/v1"),
        ("https://box.test/v1", "http://eu.test/", "http://eu.test"),
        ("https://box.test/v1", "http://eu.test/v2", "http://eu.test/v2"),
    ],
)
def test_a_mere_host_in_the_environment(
    own: str, value: str, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FIRST_URL", value)
    assert url_of(REGIONAL.replace(base_url=own)) == f"{url}/chat/completions"


@pytest.mark.parametrize("value", ["", " "])
def test_a_part_of_the_address_that_is_missing(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_REGION", "eu")
    monkeypatch.setenv("AN_ACCOUNT", value)
    with pytest.raises(LocalProtocolError, match=r"regional needs account: .* or set AN_ACCOUNT"):
        make_exchange(REGIONAL, "Hello", model="m")


# What goes along


class Watching(Observer):
    """Writes down what it is told."""

    def __init__(self) -> None:
        self.told: list[object] = []

    def asked(self, provider: Provider, chat: Chat, model: str) -> None:
        self.told.append((provider.name, chat.messages[-1].text, model))

    def ended(self, outcome: Outcome) -> None:
        self.told.append(outcome.word)


def test_observers_are_told() -> None:
    one, two = Watching(), Watching()
    with serve("ylokh") as server:
        ask("ylokh", "Hello", base_url=server.url, observers=(one, two))
    assert one.told == two.told == [("ylokh", "Hello", "gpt-3.5-turbo"), "complete"]


class Dated:
    """Signs a request with the time."""

    def sign(self, request: Any, key: Any, now: Callable[[], float] | None) -> Any:
        assert now is not None
        header = (b"x-signature", f"{key} at {now()}".encode())
        return type(request)(request.method, request.url, [*request.headers, header], request.body)

    def found(self, request: Any) -> str | None:
        return None


def test_signatures_know_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.time", lambda: 1234.5)
    keys = iter(["first", "second"])
    exchange = make_exchange(
        PROVIDERS["openai"].replace(auth=Dated()), "Hello", model="m", key=lambda: next(keys)
    )
    for asked, key in ((exchange, "first"), (exchange.fresh(), "second")):
        request = asked.next_request()
        assert request is not None
        assert dict(request.headers)[b"x-signature"] == f"{key} at 1234.5".encode()


# Models


def test_models(monkeypatch: pytest.MonkeyPatch) -> None:
    with serve("anthropic", key="sesame") as server:
        monkeypatch.setenv("ANTHROPIC_BASE_URL", server.url)
        monkeypatch.setenv("ANTHROPIC_API_KEY", "sesame")
        found = tokenwire.models("anthropic")
        assert "claude-haiku-4-5" in [model.id for model in found]
        assert asyncio.run(tokenwire.models_async("anthropic")) == found
        with Client() as client:
            assert tokenwire.models("anthropic", client=client, key="sesame") == found
        with pytest.raises(tokenwire.AuthenticationFailed):
            tokenwire.models("anthropic", key="wrong")
        assert {request.target for request in server.requests} == {"/v1/models?limit=1000"}
    with pytest.raises(tokenwire.LocalProtocolError, match="aichats has no list of models"):
        tokenwire.models("aichats")
