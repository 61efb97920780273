"""Answer functions: what they may say, how they are called, and what that means in memory."""

import functools
import inspect
import sys
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from importlib.machinery import ModuleSpec
from random import Random
from types import ModuleType
from typing import Any

import pytest

from tests.subjects import EACH_FORMAT
from tokenwire.protocols.answering import AnswerFunction, Said, answer_with, events_of
from tokenwire.protocols.chat import Chat, as_chat
from tokenwire.protocols.errors import LocalProtocolError, Truncated
from tokenwire.protocols.events import End, Event, Finish, Text
from tokenwire.protocols.registry import PROVIDERS
from tokenwire.protocols.reply import Reply
from tokenwire.protocols.service import Service, pair
from tokenwire.protocols.toolkit.http import Request

CHAT = as_chat("hi", model="m")
REQUEST = Request("POST", "http://x.test/chat", [])


def said_by(function: AnswerFunction, provider: str = "openai") -> list[Event]:
    return list(events_of(function, PROVIDERS[provider].dialect, CHAT, REQUEST))


def yields(chat: Chat) -> Iterator[str]:
    yield "a"
    yield "b"


STOP: list[Event] = [Finish("stop", "stop"), End("terminator")]
ANSWERS: dict[str, tuple[AnswerFunction, list[Event]]] = {
    "of the chat": (lambda chat: chat.model, [Text("m"), *STOP]),
    "a text": (lambda chat: "a b", [Text("a b"), *STOP]),
    "a text of nothing": (lambda chat: "", [Text(""), *STOP]),
    "texts": (lambda chat: ["a", "b"], [Text("a"), Text("b"), *STOP]),
    "texts as they come": (yields, [Text("a"), Text("b"), *STOP]),
    "events": (lambda chat: STOP, STOP),
    "both": (lambda chat: ["a", *STOP], [Text("a"), *STOP]),
    "half an answer": (lambda chat: ["a", Text("b")], [Text("a"), Text("b")]),
    "nothing": (lambda chat: [], []),
}


@pytest.mark.parametrize("case", ANSWERS)
def test_what_is_said(case: str) -> None:
    function, events = ANSWERS[case]
    assert said_by(function) == events


def test_a_text_ends_as_the_format_can_end_it() -> None:
    assert said_by(lambda chat: "a", "darkai") == [Text("a"), End("terminator")]
    assert said_by(lambda chat: "a", "aichats") == [Text("a"), End("body_end")]
    stop = [Finish("end_turn", "stop"), End("terminator")]
    assert said_by(lambda chat: "a", "anthropic") == [Text("a"), *stop]


@pytest.mark.parametrize("provider", EACH_FORMAT)
def test_a_text_makes_the_round_trip(provider: str) -> None:
    exchange = PROVIDERS[provider].exchange(
        as_chat("hi", model=PROVIDERS[provider].default_model or "m"),
        base_url="http://localhost",
        random=Random(1),
    )
    reply = Reply.of(pair(exchange, Service(PROVIDERS[provider]), lambda chat: ["a ", "b"]))
    assert reply.text == "a b"
    assert reply.evidence is not None


def test_a_text_that_fails_is_no_answer() -> None:
    def answer(chat: Chat) -> Iterator[str]:
        yield "a"
        raise Truncated("cut")

    events: list[Event] = []
    with pytest.raises(Truncated):
        events.extend(events_of(answer, PROVIDERS["openai"].dialect, CHAT, REQUEST))
    assert events == [Text("a")]


async def coroutine(chat: Chat) -> str:
    return "a"


async def generator(chat: Chat) -> AsyncIterator[Said]:
    yield "a"


@pytest.mark.parametrize("function", [coroutine, generator])
def test_what_is_async_needs_a_loop(function: AnswerFunction) -> None:
    exchange = PROVIDERS["openai"].exchange(CHAT)
    words = r"^an async answer function needs a server: see tokenwire\.server$"
    with pytest.raises(LocalProtocolError, match=words):
        list(pair(exchange, Service(PROVIDERS["openai"]), function))


@pytest.mark.parametrize(("said", "kind"), [(None, "NoneType"), (7, "int")])
def test_what_is_no_answer(said: Any, kind: str) -> None:
    with pytest.raises(LocalProtocolError, match=f"the answer function gave {kind}: give text"):
        said_by(lambda chat: said)


# The request


class Answering:
    """An object and a method that answer."""

    def __call__(self, chat: Chat, request: Request) -> list[str]:
        return [request.url]

    def method(self, chat: Chat) -> list[str]:
        return ["alone"]


def alone(chat: Chat) -> list[str]:
    return ["alone"]


def with_default(chat: Chat, said: str = "alone") -> list[str]:
    return [said]


def with_more(chat: Chat, prefix: str = "alone", *, loud: bool = False) -> list[str]:
    return [prefix]


def with_all(*given: object) -> list[str]:
    return ["alone"] if given == (CHAT,) else ["more"]


def with_request(chat: Chat, request: Request, suffix: str = "") -> list[str]:
    return [request.url + suffix]


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (alone, "alone"),
        (with_default, "alone"),
        (with_more, "alone"),
        (with_all, "alone"),
        (Answering().method, "alone"),
        (functools.partial(with_more, prefix="other"), "other"),
        (Answering(), REQUEST.url),
        (with_request, REQUEST.url),
        (functools.partial(with_request, suffix="?"), f"{REQUEST.url}?"),
        (functools.partial(with_request, request=REQUEST), REQUEST.url),
    ],
)
def test_a_second_parameter_without_a_default_is_the_request(function: Any, said: str) -> None:
    assert answer_with(function, CHAT, REQUEST) == [said]


UNKNOWN = "def answer(chat: Nobody, request: Nowhere) -> Nothing: return [request.url]"


def test_annotations_may_name_what_is_not_there() -> None:
    """As those of `if TYPE_CHECKING:`."""
    future = "" if sys.version_info >= (3, 14) else "from __future__ import annotations\n"
    names: dict[str, Any] = {}
    exec(future + UNKNOWN, names)
    assert answer_with(names["answer"], CHAT, REQUEST) == [REQUEST.url]


def test_annotations_are_not_evaluated_where_python_would(monkeypatch: pytest.MonkeyPatch) -> None:
    """As Python 3.14 does, with what it has for that."""
    lazily = object()
    annotationlib: Any = ModuleType("annotationlib")
    annotationlib.__spec__ = ModuleSpec("annotationlib", None)
    annotationlib.Format = type("Format", (), {"FORWARDREF": lazily})
    monkeypatch.setitem(sys.modules, "annotationlib", annotationlib)
    signature = inspect.signature

    def signature_of(function: Callable[..., Any], *, annotation_format: object) -> Any:
        assert annotation_format is lazily
        return signature(function)

    monkeypatch.setattr(inspect, "signature", signature_of)
    assert answer_with(with_request, CHAT, REQUEST) == [REQUEST.url]


def test_a_function_without_a_signature_gets_the_chat() -> None:
    class Hidden:
        __signature__ = "none"

        def __call__(self, chat: Chat) -> list[str]:
            return ["alone"]

    assert answer_with(Hidden(), CHAT, REQUEST) == ["alone"]


def test_in_memory_the_request_is_the_one_that_was_sent() -> None:
    requests: list[Request] = []

    def answer(chat: Chat, request: Request) -> Iterable[Said]:
        assert chat == CHAT
        requests.append(request)
        return "a"

    provider = PROVIDERS["openai"]
    exchange = provider.exchange(CHAT, headers={"x-tenant": "t"})
    assert Reply.of(pair(exchange, Service(provider), answer)).text == "a"
    assert (b"x-tenant", b"t") in requests[0].headers
