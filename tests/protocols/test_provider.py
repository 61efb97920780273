"""Providers as data: what they take, and the exchange that asks one."""

import json
import re
from collections.abc import Callable
from functools import partial
from random import Random
from typing import Any

import msgspec
import pytest

from tests.asking import chunk
from tests.driving import JSON, Response, drive
from tokenwire.protocols.auth import AwsKey, Bearer, Header, Key, NoKey, Query
from tokenwire.protocols.chat import (
    Chat,
    Effort,
    FilePart,
    ImagePart,
    Message,
    Opaque,
    ReasoningPart,
    RefusalPart,
    TextPart,
    Tool,
    ToolCall,
    as_chat,
)
from tokenwire.protocols.clocks import Clocks
from tokenwire.protocols.dialect import Dialect
from tokenwire.protocols.errors import LocalProtocolError, Overloaded, Truncated
from tokenwire.protocols.events import End, Event, Evidence, Image, Native, Reasoning, Text
from tokenwire.protocols.exchange import Exchange
from tokenwire.protocols.formats.openai_chat import OpenAIChat
from tokenwire.protocols.limits import Limits
from tokenwire.protocols.models import Model
from tokenwire.protocols.observer import Observer, Outcome
from tokenwire.protocols.provider import Provider
from tokenwire.protocols.question import Question
from tokenwire.protocols.registry import PROVIDERS
from tokenwire.protocols.step import Step
from tokenwire.protocols.toolkit.http import Request, get_header
from tokenwire.protocols.toolkit.refusals import ErrorTable

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
        ("big\n", r"^model 'big\\n' has a control character"),
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
        ({"key": "a\nb"}, "^key has a control character"),
        ({"base_url": "ftp://x"}, "base_url 'ftp://x'"),
        ({"base_url": ""}, "base_url ''"),
        ({"headers": {"a b": "c"}}, "header name 'a b'"),
        ({"headers": {"a": "c\r\nd"}}, "header a has a control character"),
    ],
)
def test_what_no_exchange_can_be_made_of(given: dict[str, Any], words: str) -> None:
    with pytest.raises(LocalProtocolError, match=words):
        PROVIDER.exchange(CHAT, **given)


@pytest.mark.parametrize("name", PROVIDERS)
def test_a_base_url_that_ends_in_the_endpoint(name: str) -> None:
    provider = PROVIDERS[name]
    chat = as_chat("hi", model=provider.default_model or "any")
    path = provider.path or provider.dialect.endpoints[0].path
    path = re.sub(r"\{\+?model\}", "another", path)

    def url(base_url: str) -> str:
        return provider.exchange(chat, base_url=base_url, random=Random(1)).request.url

    assert url(f"https://a.test/x{path}?y=1") == url("https://a.test/x?y=1")
    assert url(" https://a.test/x\r\n") == url("https://a.test/x")  # pasted (quirk 94)
    with pytest.raises(LocalProtocolError, match="base_url"):
        url("https://a.test/x\x1c")


class Remembering(OpenAIChat):
    """A dialect that remembers what it was asked."""

    def ask(self, question: Question) -> Step:
        self.question = question
        return super().ask(question)


def test_a_dialect_is_given_all_that_was_given() -> None:
    dialect, source, limits = Remembering(), Random(1), Limits(event=9)

    def now() -> float:
        return 7

    provider = Provider(name="x", dialect=dialect, base_url="https://x", any_model=True)
    headers = {"x-mine": "1"}
    provider.exchange(
        CHAT, key="k", headers=headers, limits=limits, random=source, now=now, body=b"{}"
    )
    assert dialect.question == Question(
        provider=provider,
        chat=CHAT,
        model="big",
        base_url="https://x",
        limits=limits,
        key="k",
        headers=headers,
        random=source,
        now=now,
        body=b"{}",
    )


def test_observers_are_told_what_is_asked() -> None:
    told: list[Any] = []

    class Asked(Observer):
        def asked(self, provider: Provider, chat: Chat, model: str) -> None:
            told.append((provider, chat, model))

    chat = as_chat("hi", model="large")
    exchange = PROVIDER.exchange(chat, observers=(Asked(),))
    assert told == [(PROVIDER, chat, "big")]
    assert exchange.clocks == PROVIDER.clocks


def test_observers_are_told_what_can_not_be_asked() -> None:
    told: list[Any] = []

    class Failing(Observer):
        def asked(self, provider: Provider, chat: Chat, model: str) -> None:
            told.append((provider, chat, model))

        def ended(self, outcome: Outcome) -> None:
            told.append(outcome.error)
            raise ValueError("secret-key-1")

    chat = as_chat("hi", model="other")
    with (
        pytest.raises(LocalProtocolError) as caught,
        pytest.warns(RuntimeWarning, match="an observer raised") as warned,
    ):
        PROVIDER.exchange(chat, key="secret-key-1", observers=(Failing(),))
    assert told == [(PROVIDER, chat, "other"), caught.value]
    assert "secret-key-1" not in str(warned[0].message)


def test_the_exchange_that_asks_for_the_models() -> None:
    found: list[Model] = []
    clocks = Clocks(idle=1)
    exchange = PROVIDER.models_exchange(
        found,
        key=" k\n",
        base_url="https://b.test/v1",
        headers={"x-mine": "1"},
        clocks=clocks,
    )
    assert (exchange.clocks, exchange.limits) == (clocks, Limits())
    request = exchange.next_request()
    assert request is not None
    assert (request.method, request.url) == ("GET", "https://b.test/v1/models")
    assert get_header(request.headers, b"authorization") == "Bearer k"
    assert get_header(request.headers, b"x-mine") == "1"
    plain = PROVIDER.models_exchange(found)
    assert plain.clocks == PROVIDER.clocks
    outcome = drive(plain, b'{"data": [{"id": "a"}]}').succeeded()
    assert [model.id for model in found] == ["a"]
    assert outcome.events == [End("terminator")]
    placed = PLACED.models_exchange(found, params={"resource": "a", "version": "v2"})
    assert placed.request.url == "https://a.acme.test/v2/a/models"


PLACED = PROVIDER.replace(
    base_url="https://{resource}.acme.test/{version}/{resource}",
    params={"resource": "ACME_RESOURCE"},
)


class Dated(msgspec.Struct, frozen=True):
    """A key that goes with the time."""

    def sign(self, request: Request, key: Key, now: Callable[[], float] | None) -> Request:
        assert now is not None
        return msgspec.structs.replace(request, url=f"{request.url}&key={key}{now():g}")

    def found(self, request: Request) -> str | None:
        return None


class Kept(Step):
    """What a service has kept, as it came."""

    framing = "document"

    def __init__(self, question: Question, request: Request) -> None:
        self.request = request
        self.errors = question.errors

    def document(self, body: bytes, events: list[Event]) -> None:
        self.evidence = "terminator"


class Keeping(OpenAIChat):
    """A dialect of services that keep their answers."""

    def look_up(self, question: Question, request: Request) -> Step:
        return Kept(question, request)


KEEPING = PLACED.replace(dialect=Keeping(), auth=Dated(), headers={})


@pytest.mark.parametrize(
    ("ask", "what"),
    [
        (partial(KEEPING.document_exchange, "/count", b"{}"), ("POST", "/count&", b"{}")),
        (partial(KEEPING.kept_exchange, "DELETE", "/r?a=b"), ("DELETE", "/r?a=b&", b"")),
    ],
)
def test_exchanges_that_hand_on_a_document(
    ask: Callable[..., Exchange], what: tuple[str, str, bytes]
) -> None:
    method, path, body = what
    clocks, params = Clocks(idle=1), {"resource": "a", "version": "v2"}
    exchange = ask(key="k", params=params, headers={"x-mine": "1"}, clocks=clocks, now=lambda: 7)
    assert (exchange.clocks, exchange.limits) == (clocks, Limits())
    request = exchange.next_request()
    assert request is not None
    url = f"https://a.acme.test/v2/a{path}key=k7"
    assert (request.method, request.url, request.body) == (method, url, body)
    assert get_header(request.headers, b"accept") == "application/json"
    assert get_header(request.headers, b"x-mine") == "1"
    plain = ask(base_url="https://b.test")
    assert plain.clocks == PROVIDER.clocks
    assert plain.request.url.startswith("https://b.test/")
    assert drive(plain, b'{"a": 1}').succeeded().events == [End("terminator")]


def test_what_is_kept_may_be_asked_for_as_a_stream() -> None:
    request = KEEPING.kept_exchange("GET", "/r", stream=True, base_url="https://b.test").request
    assert get_header(request.headers, b"accept") == "text/event-stream"


def test_the_models_of_a_dialect_with_errors_of_its_own() -> None:
    class Touchy(OpenAIChat):
        errors = ErrorTable(codes={"busy": Overloaded})

    touchy = PROVIDER.replace(dialect=Touchy())
    error = drive(touchy.models_exchange([]), b'{"error": {"code": "busy"}}').error
    assert isinstance(error, Overloaded)


def test_what_is_signed_has_the_time() -> None:
    dated = PROVIDER.replace(auth=Dated())
    for exchange in (
        dated.exchange(CHAT, key="k", now=lambda: 7),
        dated.models_exchange([], key="k", now=lambda: 7),
    ):
        request = exchange.next_request()
        assert request is not None
        assert request.url.endswith("?tenant=1&key=k7")


@pytest.mark.parametrize(("owes", "error"), [("finish", None), ("terminator", Truncated)])
def test_an_exchange_needs_the_evidence_that_its_provider_requires(
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
    assert repr(PROVIDER) == "<Provider acme>"
    assert PROVIDER.__rich_repr__() == [("name", "acme")]
    assert PROVIDER.replace(name="b").base_url == PROVIDER.base_url


def test_a_chat_is_wanted() -> None:
    question: Any = "hi"
    with pytest.raises(LocalProtocolError, match=r"^give a Chat: as_chat\(...\) makes one"):
        PROVIDER.exchange(question)


# What is taken


class Bare(Dialect):
    """Takes nothing beyond one text."""

    name = "bare"
    auth = ()


class Able(Dialect):
    """Takes all there is."""

    name = "able"
    takes = frozenset(
        (
            *(name for name in Chat.__struct_fields__ if name not in ("messages", "model")),
            *("history", "empty", "any_start", "images", "detail", "files", "name", "extra"),
            *("cache", "strict", "custom"),
        )
    )
    efforts = frozenset(("low", "high"))


class SystemFirst(Able):
    """Takes the system's messages at the start only."""

    takes = Able.takes | {"system_first"}


BARE = Provider(name="bare-co", dialect=Bare(), base_url="https://x", any_model=True)
ABLE = Provider(name="able-co", dialect=Able(), base_url="https://x", any_model=True)
CALL = ToolCall("c", "f", "{}")
URL = "https://x/a.png"


def said(*parts: Any, role: Any = "user", **fields: Any) -> Chat:
    return Chat(messages=(Message(role, parts, **fields),))


def opted(**options: Any) -> Chat:
    return as_chat("hi", **options)


OPTIONS: dict[str, Any] = {
    "tools": (Tool("f"),),
    "tool_choice": "none",
    "parallel": False,
    "temperature": 0,
    "top_p": 0,
    "top_k": 0,
    "max_tokens": 0,
    "stop": ("x",),
    "n": 2,
    "seed": 0,
    "presence_penalty": 0,
    "frequency_penalty": 0,
    "logprobs": 0,
    "effort": "low",
    "schema": {},
}
REFUSED: dict[str, Chat] = {
    **{name: opted(**{name: value}) for name, value in OPTIONS.items()},
    "stream=False": opted(stream=False),
    "a message's name": said(TextPart("a"), name="ann"),
    "prefix, partial of a message": said(TextPart("a"), extra={"prefix": True, "partial": 1}),
    "images": said(ImagePart(URL)),
    "files": said(FilePart(URL)),
    "cache marks": said(TextPart("a", cache="5m")),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_the_format_does_not_take_is_refused_by_name(what: str) -> None:
    with pytest.raises(LocalProtocolError) as caught:
        BARE.exchange(REFUSED[what])
    assert str(caught.value) == f"bare-co can't take {what}: leave it out of the chat"
    ABLE.check(REFUSED[what])


@pytest.mark.parametrize("what", [*REFUSED, "tools"])
def test_what_the_service_refuses_is_refused_too(what: str) -> None:
    word = {
        "stream=False": "stream",
        "a message's name": "name",
        "prefix, partial of a message": "extra",
        "cache marks": "cache",
    }.get(what, what)
    choosy = ABLE.replace(refuses=frozenset((word,)))
    assert choosy.takes == ABLE.takes - {word}
    with pytest.raises(LocalProtocolError, match=f"^able-co can't take {what}: "):
        choosy.check(REFUSED[what])


def able(name: str, takes: frozenset[str]) -> Provider:
    """Like ABLE, but takes this."""
    dialect: type[Dialect] = type(name, (Able,), {"takes": takes})
    return ABLE.replace(dialect=dialect())


LESS = Able.takes - {"images", "tool_choice", "name"}


def test_the_detail_of_a_picture() -> None:
    """`auto` asks for nothing."""
    plain = able("Plain", Able.takes - {"detail"})
    plain.check(said(ImagePart(URL), ImagePart(URL, "auto")))
    with pytest.raises(LocalProtocolError, match=r"^able-co can't take a picture's detail: "):
        plain.check(said(ImagePart(URL, "low")))
    ABLE.check(said(ImagePart(URL, "low")))


@pytest.mark.parametrize("role", ["system", "developer", "user", "assistant"])
@pytest.mark.parametrize("fields", [{"tool_call_id": "c1"}, {"failed": True}])
def test_what_only_the_result_of_a_tool_has(role: Any, fields: dict[str, Any]) -> None:
    (name,) = fields
    chat = Chat(messages=(Message("user", "a"), Message(role, "b", **fields)))
    for provider in (BARE, ABLE):
        with pytest.raises(LocalProtocolError) as caught:
            provider.check(chat)
        what = f"{provider.name} can't take {name} of a message of the {role}"
        assert str(caught.value) == f"{what}: leave it out of the chat"
    result = Message("tool", "b", **fields)
    ABLE.check(Chat(messages=(Message("assistant", (CALL,)), result)))


def test_a_picture_that_is_taken_by_its_bytes_only() -> None:
    inline, addressed = said(ImagePart("Data:image/png;base64,AA==")), said(ImagePart(URL))
    blind, seeing = able("Blind", LESS), able("Seeing", LESS | {"image_bytes"})
    with pytest.raises(LocalProtocolError, match=r"^able-co can't take images: "):
        blind.check(inline)
    seeing.check(inline)
    assert ("vision" in blind.capabilities, "vision" in seeing.capabilities) == (False, True)
    with pytest.raises(LocalProtocolError, match=r"^able-co takes a picture by its bytes only$"):
        seeing.check(addressed)
    marked = said(ImagePart("data:image/png;base64,AA==", cache="5m"))
    with pytest.raises(LocalProtocolError, match=r"^able-co can't take cache marks: "):
        seeing.replace(refuses=frozenset(("cache",))).check(marked)


@pytest.mark.parametrize("choice", ["auto", "none", "required", "f"])
def test_tools_that_can_only_be_switched_off(choice: str) -> None:
    chat = opted(tool_choice=choice)
    with pytest.raises(LocalProtocolError, match=r"^able-co can't take tool_choice: "):
        able("Never", LESS).check(chat)
    off = able("Off", LESS | {"tools_off"})
    if choice in ("auto", "none"):
        off.check(chat)
    else:
        with pytest.raises(LocalProtocolError, match="tool_choice, other than auto and none: "):
            off.check(chat)


def test_tools_that_can_not_be_switched_off_once_they_were_called() -> None:
    kept = able("Kept", Able.takes | {"tools_kept"})
    called, answered = Message("assistant", (CALL,)), CALL.result("7")
    for messages in ([called], [answered]):
        chat = as_chat(messages, tools=(Tool("f"),))
        kept.check(chat)
        kept.check(chat.replace(tool_choice="auto"))
        ABLE.check(chat.replace(tool_choice="none"))
        with pytest.raises(LocalProtocolError) as caught:
            kept.check(chat.replace(tool_choice="none"))
        what = "able-co can't take tool_choice none once tools were called"
        assert str(caught.value) == f"{what}: leave it out of the chat"
    kept.check(opted(tools=(Tool("f"),), tool_choice="none"))


def test_log_probabilities_of_the_chosen_tokens_only() -> None:
    less = Able.takes - {"logprobs"}
    chosen = able("Chosen", less | {"chosen_logprobs"})
    chosen.check(opted(logprobs=0))
    with pytest.raises(LocalProtocolError, match="logprobs, other than 0: "):
        chosen.check(opted(logprobs=1))
    with pytest.raises(LocalProtocolError, match=r"^able-co can't take logprobs: "):
        able("Never", less).check(opted(logprobs=0))


def test_one_answer_is_what_every_service_gives() -> None:
    BARE.check(opted(n=1))


def test_the_name_of_a_tool_is_no_name_of_a_speaker() -> None:
    """It says which call a result answers."""
    able("Less", LESS).check(said(TextPart("3"), role="tool", name="f"))
    with pytest.raises(LocalProtocolError, match="a message's name"):
        able("Less", LESS).check(said(TextPart("a"), name="ann"))


@pytest.mark.parametrize(
    ("word", "chat", "what"),
    [
        ("tools", said(TextPart("3"), role="tool"), "tools"),
        ("tools", said(CALL, role="assistant"), "tools"),
        ("custom", said(ToolCall("c", "f", "x", custom=True), role="assistant"), "custom tool"),
        ("strict", opted(tools=(Tool("f", strict=False),)), "a tool's strict"),
        ("cache", opted(tools=(Tool("f", cache="1h"),)), "cache marks"),
        ("cache", said(ImagePart(URL, cache="1h")), "cache marks"),
        ("cache", said(ToolCall("c", "f", "{}", cache="5m"), role="assistant"), "cache marks"),
    ],
)
def test_parts_and_tools_are_looked_at(word: str, chat: Chat, what: str) -> None:
    ABLE.check(chat)
    with pytest.raises(LocalProtocolError, match=f"^able-co can't take {what}"):
        ABLE.replace(refuses=frozenset((word,))).check(chat)


def test_where_messages_of_the_system_may_be() -> None:
    strict = ABLE.replace(dialect=SystemFirst())
    system, user = Message("system", "a"), Message("user", "b")
    strict.check(as_chat([system, Message("developer", "c"), user, user]))
    for late in (system, Message("developer", "a")):
        with pytest.raises(LocalProtocolError, match="put the system's messages before all others"):
            strict.check(as_chat([user, late]))
        with pytest.raises(LocalProtocolError, match="needs a message that is not the system's"):
            strict.check(as_chat([late]))


def test_who_may_begin_and_with_what() -> None:
    strict = able("Strict", Able.takes - {"empty", "any_start"})
    system, user = Message("system", "a"), Message("user", "b")
    result = Message("tool", "", tool_call_id="c")
    said_before = Message("assistant", "c")
    for chat in ([system, Message("developer", "d"), user, said_before], [result], [user, result]):
        strict.check(as_chat(chat))
    words = "^able-co: after the system's messages one of the user must come first$"
    for chat in ([system, said_before, user], [system], [said_before]):
        ABLE.check(as_chat(chat))
        with pytest.raises(LocalProtocolError, match=words):
            strict.check(as_chat(chat))
    empty = as_chat([user, Message("assistant", (TextPart(""),))])
    ABLE.check(empty)
    with pytest.raises(
        LocalProtocolError, match=r"^able-co can't take an empty message \(of the assistant\): "
    ):
        strict.check(empty)
    with pytest.raises(LocalProtocolError, match=r"^no message: a chat needs at least one$"):
        ABLE.check(Chat(messages=()))


@pytest.mark.parametrize(
    "chat",
    [
        opted(),
        said(TextPart("a"), ReasoningPart("b"), RefusalPart("c")),
        said(Opaque(Native("other", b"{}"))),
        # A part in the format's own words goes as it is, whatever its general meaning.
        said(ImagePart(URL, native=Native("bare", b"{}"))),
        opted(extra={"temperature": 1}),
    ],
)
def test_what_any_format_is_given_to_write(chat: Chat) -> None:
    BARE.check(chat)


def test_a_tool_in_the_words_of_a_format_is_left_to_that_format() -> None:
    tools = (Opaque(Native("", b'{"type":"web_search"}')), Tool("f", native=Native("x", b"{}")))
    choosy = ABLE.replace(refuses=frozenset(("strict", "cache")))
    choosy.check(opted(tools=tools))
    with pytest.raises(LocalProtocolError, match=r"^bare-co can't take tools: "):
        BARE.check(opted(tools=tools[:1]))


def test_a_part_in_the_words_of_another_format_counts_by_its_general_meaning() -> None:
    with pytest.raises(LocalProtocolError, match=r"^bare-co can't take images"):
        BARE.check(said(ImagePart(URL, native=Native("able", b"{}"))))


@pytest.mark.parametrize(
    ("provider", "word", "known"),
    [
        (ABLE, "max", "low, high"),
        (ABLE.replace(effort={"none": {}, "max": {"thinking": 9}}), "low", "none, max"),
        (ABLE.replace(effort={}), "low", "none of them"),
    ],
)
def test_a_word_of_effort_that_is_not_taken(provider: Provider, word: Effort, known: str) -> None:
    with pytest.raises(LocalProtocolError, match=f"^able-co: effort is {known}, not {word}$"):
        provider.check(opted(effort=word))


def test_the_words_of_effort_that_are_taken() -> None:
    ABLE.check(opted(effort="high"))
    ABLE.replace(effort={"max": {}}).check(opted(effort="max"))


class Drawing(Bare):
    says = frozenset((Image, Reasoning))


@pytest.mark.parametrize(
    ("provider", "words"),
    [
        (BARE, "text"),
        (ABLE, "text vision tools history options"),
        (BARE.replace(dialect=Drawing()), "images reasoning"),
        (BARE.replace(dialect=Drawing(), refuses=frozenset(("reasoning",))), "images"),
        (ABLE.replace(refuses=frozenset(("tools", "images"))), "text history options"),
    ],
)
def test_capabilities(provider: Provider, words: str) -> None:
    assert provider.capabilities == set(words.split())
    assert Text in BARE.dialect.says


# Keys, and addresses


def test_the_place_of_the_key() -> None:
    assert BARE.key_place is None
    assert ABLE.key_place == Bearer()
    assert ABLE.replace(auth=Query("k")).key_place == Query("k")
    assert BARE.replace(auth=Header("x-key")).key_place == Header("x-key")
    assert ABLE.replace(auth=NoKey()).key_place is None


@pytest.mark.parametrize("provider", [BARE, ABLE.replace(auth=NoKey())])
def test_a_key_that_no_place_is_for(provider: Provider) -> None:
    for key in ("k", lambda: "k"):
        with pytest.raises(LocalProtocolError, match=f"^{provider.name} can't take key: leave it"):
            provider.exchange(opted(), key=key)


def test_a_key_that_is_a_function() -> None:
    for exchange in (
        PROVIDER.exchange(CHAT, key=lambda: " k"),
        PROVIDER.models_exchange([], key=lambda: "k "),
    ):
        request = exchange.next_request()
        assert request is not None
        assert get_header(request.headers, b"authorization") == "Bearer k"


def test_params_fill_the_address_in() -> None:
    exchange = PLACED.exchange(CHAT, params={"resource": "a", "version": "v2"})
    assert exchange.request.url == "https://a.acme.test/v2/a/chat/completions"
    exchange = PLACED.exchange(CHAT, base_url="https://b.test")
    assert exchange.request.url == "https://b.test/chat/completions"


@pytest.mark.parametrize(
    ("params", "words"),
    [
        (
            None,
            r"^acme needs resource: give params={'resource': ...}, or set ACME_RESOURCE$",
        ),
        ({"resource": "", "version": "1"}, "^acme needs resource: "),
        ({"resource": "a"}, r"^acme needs version: give params={'version': ...}$"),
    ],
)
def test_params_that_are_missing(params: dict[str, str] | None, words: str) -> None:
    with pytest.raises(LocalProtocolError, match=words):
        PLACED.exchange(CHAT, params=params)


def test_a_key_may_have_the_region() -> None:
    regional = PROVIDER.replace(base_url="https://{region}.acme.test/{version}")

    def url(key: AwsKey, **params: str) -> str:
        exchange = regional.exchange(CHAT, key=key, params={"version": "v2", **params})
        return exchange.request.url.removesuffix("/chat/completions")

    key = AwsKey("id", "secret", region="here")
    assert url(key) == "https://here.acme.test/v2"
    assert url(key, region="there") == "https://there.acme.test/v2"
    with pytest.raises(LocalProtocolError, match=r"^acme needs region: "):
        url(AwsKey("id", "secret"))


def test_the_path_and_the_query_of_a_provider() -> None:
    provider = PROVIDER.replace(path="/ask", query={"api-version": "2024 10", "b": "&"})
    url = provider.exchange(CHAT).request.url
    assert url == "https://acme.test/v1/ask?tenant=1&api-version=2024+10&b=%26"


def test_the_required_evidence() -> None:
    assert (BARE.required_evidence, BARE.replace(owes="terminator").required_evidence) == (
        "finish",
        "terminator",
    )


@pytest.mark.parametrize(
    "value", ["a/b", "a?b", "a#b", "a b", "a\x00b", "a\x7f", "u@b", "a\\b", "%2f"]
)
def test_params_that_are_more_than_a_word(value: str) -> None:
    provider = PROVIDER.replace(base_url="https://{region}/v1")
    with pytest.raises(LocalProtocolError) as caught:
        provider.exchange(CHAT, params={"region": value})
    assert str(caught.value) == f"region is one word, not {value!r}"
    asked = provider.exchange(CHAT, params={"region": "a-1.b:8443"})
    assert asked.request.url == "https://a-1.b:8443/v1/chat/completions"


def test_a_field_that_is_refused() -> None:
    provider = PROVIDER.replace(refuses=frozenset(("store",)))
    assert provider.exchange(CHAT.replace(extra={"user": "u"}))
    with pytest.raises(LocalProtocolError, match=r"^acme can't take store"):
        provider.exchange(CHAT.replace(extra={"store": True}))


REFUSAL = Response(b'{"error": "no"}', 401, JSON)


@pytest.mark.parametrize(
    ("env", "hint"),
    [
        ((), "give key=..."),
        (("A",), "give key=..., or set A"),
        (("A", "B"), "give key=..., or set A or B"),
    ],
)
def test_who_gave_no_key_is_told_so(env: tuple[str, ...], hint: str) -> None:
    provider = PROVIDER.replace(env=env)
    for exchange in (provider.exchange(CHAT), provider.models_exchange([])):
        error = drive(exchange, REFUSAL).error
        assert str(error) == f"the service refused: no; no key was given: {hint}"
    givens: list[dict[str, Any]] = [{"key": "k"}, {"headers": {"x-key": "k"}}]
    for given in givens:
        for exchange in (
            provider.exchange(CHAT, **given),
            provider.models_exchange([], **given),
            provider.replace(auth=NoKey()).exchange(CHAT),
        ):
            assert str(drive(exchange, REFUSAL).error) == "the service refused: no"
