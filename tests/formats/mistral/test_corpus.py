"""Recorded answers of Mistral."""

import json
import re
from typing import Any

import pytest

from tests.corpus import corpus, sizes_to_try, without_nothing
from tests.driving import Response, alike, drive
from tokenwire import (
    PROVIDERS,
    AuthenticationFailed,
    End,
    Exchange,
    Malformed,
    Reasoning,
    Refused,
    Text,
    ToolCallStart,
    Unrecognized,
    as_chat,
)

CORPUS = corpus("mistral")
ROWS, STREAMS, WHOLES, REFUSALS = CORPUS.rows, CORPUS.streams, CORPUS.wholes, CORPUS.refusals
response = CORPUS.response
MISTRAL = PROVIDERS["mistral"]


def ask() -> Exchange:
    return MISTRAL.exchange(as_chat("hi", model="m"))


@pytest.mark.parametrize("file", STREAMS)
def test_stream(file: str) -> None:
    outcome = alike(ask(), response(file)).succeeded()
    oracle, reply = ROWS[file]["oracle"], outcome.reply
    assert oracle["exception"] is None
    said = (reply.text, reply.reasoning, reply.finish_reason)
    assert said == (oracle["text"], oracle["thinking"], oracle["finish_reason"])
    calls = {f"{n}/{c.id}": (c.name, c.arguments) for n, c in enumerate(reply.tool_calls)}
    tools = {id: (tool["name"], tool["arguments"]) for id, tool in oracle["tools"].items()}
    assert calls == tools
    assert all(call.complete for call in reply.tool_calls)
    assert reply.usage is not None
    assert without_nothing(reply.usage.raw) == without_nothing(oracle["usage"])
    assert reply.usage.total_tokens == oracle["usage"]["total_tokens"]
    assert not [event for event in outcome.events if isinstance(event, Unrecognized)]
    parts = [e.part for e in outcome.events if isinstance(e, Text | Reasoning | ToolCallStart)]
    assert parts == sorted(parts)
    assert set(parts) == set(range(len(set(parts))))


def evidence(body: bytes) -> int:
    """The place at which the line with the finish reason ends."""
    match = re.search(rb'(?m)^data:.*"finish_reason": ?"[^\n]*', body)
    assert match is not None
    return match.end()


@pytest.mark.parametrize("file", STREAMS)
def test_stream_cut_anywhere(file: str) -> None:
    """Before the evidence it is never a success, after it always."""
    whole = response(file)
    owed = evidence(whole.body)
    for size in sizes_to_try(whole.body):
        for ending in ("eof", "disconnect"):
            outcome = drive(ask(), Response(whole.body[:size], whole.status, whole.headers, ending))
            if outcome.error is None:
                outcome.succeeded()
                assert size >= owed
            else:
                assert type(outcome.error) is not Malformed
                assert size < owed + (0 if ending == "eof" else 2)
                assert not any(isinstance(event, End) for event in outcome.events)


@pytest.mark.parametrize("file", STREAMS)
def test_what_was_said_is_asked_with_again(file: str) -> None:
    reply = drive(ask(), response(file)).reply
    chat = as_chat("hi", model="m").then(reply, *(call.result("7") for call in reply.tool_calls))
    body = json.loads(MISTRAL.exchange(chat).request.body)
    said: dict[str, Any] = body["messages"][1]
    assert said.keys() <= {"role", "content", "tool_calls", "prefix"}
    for call in said.get("tool_calls", ()):
        assert re.fullmatch("[a-zA-Z0-9]{9}", call["id"])
    if reply.reasoning:
        thought, text = said["content"]
        assert thought["thinking"] == [{"type": "text", "text": reply.reasoning}]
        assert (thought["closed"], text["text"]) == (True, reply.text)
    else:
        assert said["content"] == reply.text


@pytest.mark.parametrize("file", WHOLES)
def test_whole_answer(file: str) -> None:
    reply = alike(ask(), response(file)).succeeded().reply
    document = json.loads(response(file).body)
    (choice,) = document["choices"]
    assert (reply.id, reply.model) == (document["id"], document["model"])
    assert (reply.text, reply.finish_reason) == (
        choice["message"]["content"],
        choice["finish_reason"],
    )
    assert reply.usage is not None
    assert without_nothing(reply.usage.raw) == without_nothing(document["usage"])


@pytest.mark.parametrize("file", REFUSALS)
def test_error(file: str) -> None:
    outcome = alike(ask(), response(file)).refused_by(AuthenticationFailed)
    assert isinstance(outcome.error, Refused)
    words = json.loads(response(file).body)["detail"]
    assert outcome.error.message.startswith(f"the service refused: {words}")
