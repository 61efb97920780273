"""Texts that only go on are written by a shorter way (`Responder.go_on`): the bytes are those of
the usual one."""

from typing import Any

import pytest

from tokenwire import PROVIDERS, End, Event, Finish, Reasoning, Start, Text, as_chat
from tokenwire.protocols.errors import LocalProtocolError
from tokenwire.protocols.events import Citation, LogProbs, TokenLogProb
from tokenwire.protocols.service import Responder, Service

ANSWER: list[Event] = [
    Start("id-1", "text"),
    Text("one"),
    Text(' two\n\u2028\x85"\\', 0),
    Text("", 0),
    Text(" three", 0),
    Text("another", 1),
    Text(" part", 1),
    Reasoning("hm", 2),
    Text("again", 3),
    Text(" and on", 3),
    Finish("stop", "stop"),
    End("terminator"),
]


def responder(front: str, **options: Any) -> Responder:
    provider = PROVIDERS[front]
    chat = as_chat("q", model="text", max_tokens=9, **options)
    exchange = provider.exchange(chat, key="k", base_url="http://localhost")
    request = exchange.next_request()
    assert request is not None
    made = Service(provider, now=lambda: 1e9).responder()
    made.receive_request(request)
    return made


def written(front: str, events: list[Event], *, quick: bool) -> list[bytes]:
    made = responder(front)
    if not quick:
        made.go_on = lambda event: None  # type: ignore[method-assign]
    return [made.send(event) for event in events if made.can_say(event)]


@pytest.mark.parametrize("front", ["openai", "anthropic", "mistral", "gemini", "openai-responses"])
def test_the_bytes_are_those_of_the_usual_way(front: str) -> None:
    assert written(front, ANSWER, quick=True) == written(front, ANSWER, quick=False)


def test_what_comes_in_between_is_heeded() -> None:
    tokens = LogProbs([TokenLogProb("x", -1.0)])
    between: list[Event] = [Text("a"), Citation("http://x", part=0), Text("b"), tokens, Text("c")]
    for front in ("openai", "anthropic"):
        assert written(front, between, quick=True) == written(front, between, quick=False)


def test_texts_of_several_choices() -> None:
    events: list[Event] = [Text("a"), Text("b", index=1), Text("c"), Text("d", index=1)]
    assert written("openai", events, quick=True) == written("openai", events, quick=False)


def test_half_a_character_is_refused() -> None:
    for front in ("openai", "anthropic"):
        made = responder(front)
        made.send(Text("a"))
        with pytest.raises(LocalProtocolError, match="surrogate"):
            made.send(Text("\ud800"))
