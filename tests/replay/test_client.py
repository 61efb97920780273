"""Replay in process, on recorded time."""

import asyncio
import socket
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio

import tokenwire
from tests.replay.taping import SAID, WORDS, cassette, outcome, recording
from tokenwire import (
    NO_RETRY,
    Clocks,
    ConnectFailed,
    Disconnected,
    LocalProtocolError,
    Text,
    TimedOut,
    TokenwireError,
    TransportError,
    Truncated,
)
from tokenwire.replay.cassette import Ending, Head, Noted, Piece, Recording, save
from tokenwire.replay.client import Client, replay
from tokenwire.replay.player import NoMatch
from tokenwire.replay.recorder import Recorder
from tokenwire.server import serve

TEXT = "".join(WORDS.split(" "))
FOREVER = Clocks(connect=None, first_event=None, idle=None)


def test_blocking_and_async_on_each_loop(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    save(cassette(recording((61, 7)), recording((1,)), recording()), path)
    played = replay(path)

    async def ask() -> str:
        client = played.async_client()
        return (await tokenwire.ask_async("openai", "Why?", model="m", client=client)).text

    assert tokenwire.ask("openai", "Why?", model="m", client=played.client()).text == TEXT
    assert asyncio.run(ask()) == TEXT
    assert len(played.unused) == 1
    assert trio.run(ask) == TEXT
    assert played.unused == []
    with pytest.raises(NoMatch, match="recorded 3 times"):
        trio.run(ask)


def test_a_gap_runs_out_a_clock_in_no_time() -> None:
    """Exactly the events before the gap arrive."""
    one = recording((700,), gap=90_000)
    first, second = one.pieces
    one = msgspec.structs.replace(one, pieces=(msgspec.structs.replace(first, after=1), second))
    found = outcome(client=replay(cassette(one)).client(), clocks=Clocks(idle=60))
    assert isinstance(found.error, TimedOut)
    assert found.error.message == "nothing but keep-alives for 60 s (clock idle)"
    assert [type(event).__name__ for event in found.events] == ["Start", "Text", "Text", "Text"]
    assert outcome(client=replay(cassette(one)).client(), clocks=Clocks(idle=100)).error is None
    slow = outcome(client=replay(cassette(one)).client(clocks=Clocks(idle=None, total=80)))
    assert isinstance(slow.error, TimedOut)
    assert slow.error.clock == "total"


def test_a_head_that_comes_late() -> None:
    one = recording()
    assert one.response is not None
    late = msgspec.structs.replace(one, response=msgspec.structs.replace(one.response, after=9000))
    found = outcome(
        client=replay(cassette(late)).client(retry=NO_RETRY), clocks=Clocks(first_event=5)
    )
    assert isinstance(found.error, TimedOut)
    assert found.error.clock == "first_event"


ENDINGS: dict[Ending, tuple[type[TokenwireError], str]] = {
    "disconnect": (Disconnected, "the connection closed before any byte of a response"),
    "reset": (Disconnected, "the connection closed before any byte of a response"),
    "unreached": (ConnectFailed, "no connection to api.openai.com"),
    "timeout": (TimedOut, "no event within 30 s (clock first_event)"),
    "left": (TimedOut, "no event within 30 s (clock first_event)"),
}


@pytest.mark.parametrize("end", ENDINGS)
def test_ends_without_a_response(end: Ending) -> None:
    one = msgspec.structs.replace(recording(), response=None, pieces=(), end=end, end_after=5.0)
    found = outcome(client=replay(cassette(one)).client(retry=NO_RETRY))
    kind, words = ENDINGS[end]
    assert type(found.error) is kind
    assert str(found.error).startswith(words)


@pytest.mark.parametrize("end", ["eof", "disconnect", "reset"])
def test_ends_inside_a_body(end: Ending) -> None:
    found = outcome(client=replay(cassette(recording((61,), upto=700, end=end))).client())
    assert type(found.error) is Truncated
    assert "the stream ended before data: [DONE]" in str(found.error)


def test_an_end_that_is_not_in_time() -> None:
    one = msgspec.structs.replace(recording(upto=700), end_after=50_000.0)
    assert isinstance(outcome(client=replay(cassette(one)).client()).error, TimedOut)


def test_silence_that_no_clock_ends() -> None:
    one = recording(upto=700, end="left")
    found = outcome(client=replay(cassette(one)).client(), clocks=FOREVER)
    assert isinstance(found.error, LocalProtocolError)
    assert "the recording falls silent here" in str(found.error)
    assert isinstance(outcome(client=replay(cassette(one)).client()).error, TimedOut)


def test_retries_take_no_time() -> None:
    refused = Recording(
        recording().request,
        Head(503, framing="length", headers=(("retry-after", "30"),)),
        (Piece(0, b'{"error": {"message": "busy"}}'),),
        end="eof",
    )
    told = Recorder()
    played = replay(cassette(refused, recording()))
    found = outcome(client=played.client(), clocks=Clocks(), observers=[told])
    assert found.error is None
    assert played.unused == []
    again = [each.end for each in told.cassette.recordings]
    assert again == ["eof", "eof"]


def test_what_it_does_as_any_client() -> None:
    client = replay(cassette(*[recording((700,))] * 5)).client()
    how: dict[str, Any] = {"model": "m", "client": client}
    with tokenwire.stream("openai", "Why?", **how) as answer:
        next(answer)
    with pytest.raises(TransportError, match="closed, or aborted"):
        next(answer)
    with tokenwire.stream("openai", "Why?", **how) as answer:
        next(answer)
        answer.abort()
        with pytest.raises(TransportError):
            list(answer)
    with tokenwire.stream("openai", "Why?", **how) as answer:
        raw = list(answer.raw_batches())
        assert b"".join(data for data, _ in raw) == recording().body
        assert answer.header("content-type") == "text/event-stream; charset=utf-8"
    taken: list[tokenwire.Event] = []
    with tokenwire.stream("openai", "Why?", **how) as answer:
        answer.push(taken.extend)
    assert "".join(event.text for event in taken if isinstance(event, Text)) == TEXT
    client.close()
    with pytest.raises(LocalProtocolError, match="the client is closed"):
        tokenwire.ask("openai", "Why?", **how)


def test_one_that_is_complete_may_be_aborted() -> None:
    client = replay(cassette()).client()
    with tokenwire.stream("openai", "Why?", model="m", client=client) as answer:
        for event in answer:
            if isinstance(event, tokenwire.End):
                answer.abort()
        assert list(answer) == []


@pytest.mark.parametrize("provider", ["aichats", "ollama", "anthropic", "bedrock"])
def test_other_formats(provider: str) -> None:
    said = [event for event in SAID if provider != "aichats" or isinstance(event, Text)]
    end = tokenwire.End("body_end") if provider == "aichats" else None
    answer = [*said, end] if end else said
    recorder = Recorder()
    options: dict[str, Any] = {
        "provider": provider,
        "model": tokenwire.PROVIDERS[provider].default_model or "m",
        **({"max_tokens": 9} if provider == "anthropic" else {}),
        **({"key": "tw-secret-1"} if provider == "bedrock" else {}),
    }
    with serve(provider, lambda chat: answer) as server:
        live = outcome(server.url, observers=[recorder], **options)
    assert live.error is None
    played = replay(recorder.cassette)
    if provider == "bedrock":
        options["params"] = {"region": "us-east-1"}
    assert outcome(client=played.client(), **options).events == live.events


def test_what_comes_after_the_end_mark() -> None:
    one = recording((len(recording().body),))
    late = msgspec.structs.replace(one, pieces=(*one.pieces, Piece(0, b": a cost record\n\n")))
    told = Recorder()
    assert outcome(client=replay(cassette(late)).client(observers=[told])).error is None
    (again,) = told.cassette.recordings
    assert (again.body, again.end) == (late.body, "eof")


def test_no_socket_is_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a socket was opened")

    client = replay(cassette()).client()
    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    assert outcome(client=client).error is None
    assert isinstance(outcome(client=client).error, NoMatch)


def test_it_is_a_client() -> None:
    assert isinstance(replay(cassette()).client(), Client)
    noted = msgspec.structs.replace(recording(upto=700, end="left"), outcome=Noted("complete"))
    assert isinstance(outcome(client=replay(cassette(noted)).client()).error, TimedOut)
