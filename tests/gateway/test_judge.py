"""How a concept is judged."""

from typing import Any

import msgspec
import pytest

from tests.gateway.formats import FORMATS, dialect
from tokenwire.gateway.judge import Judge, is_empty, type_of
from tokenwire.protocols.chat import Opaque
from tokenwire.protocols.errors import BadRequest
from tokenwire.protocols.events import Native


def judge(front: str, back: str, *allow: str, **changes: Any) -> Judge:
    return Judge(dialect(front), FORMATS[back].replace(**changes), allow)


def test_what_is_said() -> None:
    one = judge("anthropic", "gemini")
    assert one.says("seed", "seed")
    one.need("seed", "seed")
    assert one.losses == set()


def test_what_is_left_out_is_counted() -> None:
    one = judge("anthropic", "gemini")
    assert not one.says("image_detail", "messages")
    assert one.losses == {"image_detail"}


def test_what_may_be_lost_if_it_is_allowed() -> None:
    with pytest.raises(BadRequest, match="the operator may allow its loss"):
        judge("gemini", "anthropic").says("seed", "seed")
    one = judge("gemini", "anthropic", "seed")
    assert not one.says("seed", "seed")
    assert one.losses == {"seed"}


def test_what_the_service_does_not_take_is_as_if_it_may_be_lost() -> None:
    with pytest.raises(BadRequest, match=r'allow = \["seed"\]'):
        judge("anthropic", "gemini").says("seed", "seed", taken=False)
    assert not judge("anthropic", "gemini", "seed").says("seed", "seed", taken=False)


def test_what_is_needed_is_never_left_out() -> None:
    for name, taken in (("seed", False), ("strict", True), ("image_address", True)):
        with pytest.raises(BadRequest, match="messages: it can't be translated"):
            judge("anthropic", "ollama", name).need(name, "messages", "it", taken=taken)


def test_between_a_format_and_itself_all_is_said() -> None:
    one = judge("ollama", "ollama")
    assert one.says("image_address", "messages", taken=False)
    one.need("image_address", "messages", taken=False)
    assert one.cache("5m") == "5m"
    assert one.losses == set()


def test_a_refusal_is_short() -> None:
    error = judge("gemini", "ollama").refuse("x" * 999, "y" * 999, "z" * 999)
    assert error.status == 400
    assert len(str(error)) < 800


def test_a_refusal_names_the_callers_field() -> None:
    said = str(judge("gemini", "ollama").refuse("stop"))
    assert said == (
        "generationConfig.stopSequences: can't be translated from gemini to ollama: leave it out, "
        "or use a model whose upstream speaks gemini"
    )


def test_cache_marks() -> None:
    assert judge("openai_chat", "anthropic").cache("1h") == "1h"
    assert judge("anthropic", "openai_chat", cache_marks=True).cache("1h") == "1h"
    one = judge("anthropic", "openai_chat")
    assert one.cache("") == ""
    assert one.losses == set()
    assert one.cache("1h") == ""
    assert one.losses == {"cache"}


@pytest.mark.parametrize(
    ("value", "said", "unsaid"),
    [
        ({"name": "a", "n": 1}, ("a", 1), []),
        ({"name": "a", "n": 1}, ("a",), ["n"]),
        ({"function": {"name": "a", "new": "b"}, "type": "function"}, ("a",), ["new"]),
        ({"schema": {"type": "object"}}, ({"type": "object"},), []),
        ({"list": [1, {"a": 2}]}, (), ["list", "a"]),
        ({"a": None, "b": [], "c": {}, "d": "", "e": False, "role": "user"}, (), []),
        ([1], (), [""]),
    ],
)
def test_what_a_native_form_says_beside(value: Any, said: Any, unsaid: list[str]) -> None:
    native = Native("anthropic", msgspec.json.encode(value))
    judge("anthropic", "gemini", *unsaid).leave_out_further(native, said, "messages")
    for left in unsaid:
        strict = judge("anthropic", "gemini", *(name for name in unsaid if name != left))
        with pytest.raises(BadRequest, match=r"messages: an unknown field"):
            strict.leave_out_further(native, said, "messages")
    one = judge("anthropic", "gemini", "unknown")
    one.leave_out_further(native, said, "messages")
    assert one.losses == ({"unknown"} if unsaid else set())


def test_nothing_beside_no_native_form() -> None:
    judge("anthropic", "gemini").leave_out_further(None, (), "messages")


def test_what_says_nothing() -> None:
    nothing: list[Any] = [None, "", [], {}]
    assert all(map(is_empty, nothing))
    something: list[Any] = [0, False, "a", [0], {"a": None}]
    assert not any(map(is_empty, something))


@pytest.mark.parametrize(
    ("value", "name"),
    [({"type": "a"}, "a"), ({"a": 1, "b": 2}, "a, b"), ({"type": 1}, "type"), ([], ""), (5, "")],
)
def test_what_something_is_called(value: Any, name: str) -> None:
    assert type_of(Opaque(Native("x", msgspec.json.encode(value)))) == name
