"""Ylokh: what its preset adds to the `openai` dialect."""

import json
from typing import Any

import pytest

from tests.driving import JSON, Outcome, Response, alike
from tokenwire.protocols.chat import Chat, Message, as_chat
from tokenwire.protocols.errors import Refused, Truncated
from tokenwire.protocols.events import End, Event, Finish, Text, Usage
from tokenwire.protocols.exchange import Exchange
from tokenwire.protocols.registry import PROVIDERS
from tokenwire.protocols.service import Service, pair

CHAT = as_chat("hi")


def ask(chat: Chat = CHAT) -> Exchange:
    return PROVIDERS["ylokh"].exchange(chat)


def body_of(chat: Chat) -> Any:
    request = ask(chat).next_request()
    assert request is not None
    return json.loads(request.body)


PRESET = {
    "temperature": 1,
    "presence_penalty": 0,
    "top_p": 1,
    "frequency_penalty": 0,
    "allow_fallback": True,
    "stream": True,
}


def test_request() -> None:
    request = ask().next_request()
    assert request is not None
    assert request.method == "POST"
    assert request.url == "https://chatapi.ylokh.xyz/v1/chat/completions"
    headers = dict(request.headers)
    assert headers[b"origin"] == b"https://chat.ylokh.xyz"
    assert headers[b"referer"] == b"https://chat.ylokh.xyz/"
    messages = [{"role": "user", "content": "hi"}]
    assert json.loads(request.body) == {"messages": messages, "model": "gpt-3.5-turbo", **PRESET}


def test_the_caller_overrides_and_extends() -> None:
    chat = as_chat("hi", model="any-model", temperature=0.5, extra={"top_p": 0.1, "user": "u"})
    assert body_of(chat.replace(stream=False)) == {
        **PRESET,
        "messages": [{"role": "user", "content": "hi"}],
        "model": "any-model",
        "temperature": 0.5,
        "top_p": 0.1,
        "user": "u",
        "stream": False,
    }


def test_history_is_kept() -> None:
    chat = Chat(messages=(Message("system", "be brief"), Message("user", "hi")))
    assert body_of(chat)["messages"] == [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": "hi"},
    ]


def test_two_minutes_in_all() -> None:
    assert ask().clocks.total == 120


def receive(*payloads: str) -> Outcome:
    return alike(ask(), b"".join(b"data: %b\n\n" % p.encode() for p in payloads))


def test_streamed_answer() -> None:
    outcome = receive(
        '{"choices": [], "prompt_filter_results": []}',
        '{"choices": [{"delta": {"role": "assistant"}}]}',
        '{"choices": [{"delta": {"content": null}}]}',
        '{"choices": [{"delta": {"content": "hi"}}]}',
        '{"choices": [{"delta": {"content": ""}, "finish_reason": "stop"}]}',
        '{"choices": [], "usage": {"total_tokens": 3}}',
        "[DONE]",
    )
    assert outcome.succeeded().events == [
        Text("hi"),
        Usage(total_tokens=3, raw={"total_tokens": 3}),
        Finish("stop", "stop"),
        End("terminator"),
    ]


def test_whole_answer() -> None:
    body = b'{"choices": [{"message": {"content": "hi"}, "finish_reason": "stop"}]}'
    outcome = alike(ask(CHAT.replace(stream=False)), Response(body, 200, JSON))
    assert outcome.succeeded().reply.text == "hi"


def test_failures() -> None:
    text = '{"choices": [{"delta": {"content": "hi"}}]}'
    outcome = receive(text, '{"error": {"message": "m1"}}').refused_by(Refused, "m1")
    assert outcome.events == [Text("hi")]
    assert receive(text).refused_by(Truncated).events == [Text("hi")]


@pytest.mark.parametrize("stream", [True, False])
def test_both_halves(stream: bool) -> None:
    says: list[Event] = [Text("hi"), Finish("stop", "stop"), End("terminator")]
    exchange = ask(CHAT.replace(stream=stream))
    assert list(pair(exchange, Service(PROVIDERS["ylokh"]), lambda chat: says))[1:] == says
