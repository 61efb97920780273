"""Recorded answers of Ollama, beside a naive reading of them and what its Python client made of
them."""

import json
from typing import Any

import pytest

from tests.corpus import corpus, sizes_to_try
from tests.driving import Response, alike, drive
from tokenwire import PROVIDERS, as_chat
from tokenwire.protocols.chat import Message, Part, ReasoningPart, TextPart, ToolCall
from tokenwire.protocols.errors import (
    BadRequest,
    RateLimited,
    Refused,
    Truncated,
    UnexpectedContent,
)
from tokenwire.protocols.events import End, Text, ToolCallEnd
from tokenwire.protocols.exchange import Exchange
from tokenwire.protocols.reply import Reply

_, ROWS, STREAMS, WHOLES, REFUSALS = CORPUS = corpus("ollama-ndjson")
response = CORPUS.response
# Ollama's server, asked for a chat completion: that is another format.
COMPLETION = next(file for file in WHOLES if "ollama_qwen3" in file)
OWN = [file for file in WHOLES if file != COMPLETION]
COUNTS = ("prompt_eval_count", "eval_count")


def ask(stream: bool = True) -> Exchange:
    return PROVIDERS["ollama"].exchange(as_chat("hi", model="m", stream=stream))


def naive(body: bytes) -> dict[str, Any]:
    """An answer, put together line by line."""
    said: dict[str, Any] = {"content": "", "thinking": "", "calls": []}
    for line in body.splitlines():
        value = json.loads(line)
        message = value.get("message") or {"content": value.get("response")}
        said["content"] += message.get("content") or ""
        said["thinking"] += message.get("thinking") or ""
        said["calls"] += message.get("tool_calls") or []
        if value["done"]:
            return {**said, **value}
    raise AssertionError("no end")


def check(reply: Reply, said: dict[str, Any]) -> None:
    assert (reply.id, reply.model) == ("", said["model"])
    assert (reply.text, reply.reasoning) == (said["content"], said["thinking"])
    calls = [(c.id, c.name, json.loads(c.arguments), c.complete) for c in reply.tool_calls]
    told = [(c["id"], c["function"]) for c in said["calls"]]
    assert calls == [(id, call["name"], call["arguments"], True) for id, call in told]
    assert reply.finish_reason == said.get("done_reason")
    kind = "tool_call" if calls else said.get("done_reason")
    assert reply.finish_kind == kind
    assert (reply.evidence, reply.unrecognized) == ("terminator", [])
    asked, answered = map(said.get, COUNTS)
    if asked is None:
        assert reply.usage is None
    else:
        assert reply.usage is not None
        counts = (reply.usage.input_tokens, reply.usage.output_tokens, reply.usage.total_tokens)
        assert counts == (asked, answered, asked + answered)
        assert set(reply.usage.raw) == {key for key in said if "_count" in key or "_dur" in key}
    # What goes back is what came.
    content: tuple[Part, ...] = (
        *([ReasoningPart(said["thinking"])] if said["thinking"] else []),
        *([TextPart(said["content"])] if said["content"] else []),
        *(ToolCall(id, call["name"], json.dumps(call["arguments"])) for id, call in told),
    )
    sent = sent_back(reply.message())
    assert sent == sent_back(Message("assistant", content))
    assert sent.get("thinking", "") == said["thinking"]
    for number, call in enumerate(sent.get("tool_calls", ())):
        assert call["id"] == told[number][0]
        assert call["function"] == {**told[number][1], "index": number}


def sent_back(message: Message) -> Any:
    """The answer in the next request."""
    chat = as_chat("hi", model="m").then(message, "And then?")
    request = PROVIDERS["ollama"].exchange(chat).next_request()
    assert request is not None
    return json.loads(request.body)["messages"][1]


@pytest.mark.parametrize("file", STREAMS)
def test_stream(file: str) -> None:
    reply = alike(ask(), response(file)).succeeded().reply
    check(reply, naive(response(file).body))


@pytest.mark.parametrize("file", STREAMS)
def test_stream_beside_the_client(file: str) -> None:
    said = ROWS[file]["oracle"]
    reply = drive(ask(), response(file)).succeeded().reply
    assert (reply.text, reply.reasoning) == (said["text"], said["thinking"])
    calls = [(c.name, json.loads(c.arguments)) for c in reply.tool_calls]
    told = [call.get("function", call) for call in said["tool_calls"]]
    assert calls == [(call["name"], call["arguments"]) for call in told]
    final = said["final"]
    assert reply.finish_reason == final.get("done_reason")
    used = {} if reply.usage is None else reply.usage.raw
    assert used == {key: final[key] for key in used}


@pytest.mark.parametrize("file", STREAMS)
def test_stream_cut_anywhere(file: str) -> None:
    """Before `done: true` it is never a success, after it always."""
    whole = response(file)
    last = len(whole.body.rstrip())
    for size in sizes_to_try(whole.body):
        for ending in ("eof", "disconnect"):
            cut = Response(whole.body[:size], whole.status, whole.headers, ending)
            outcome = drive(ask(), cut)
            # A line needs its end, if nothing says that it is whole.
            if size >= last + (ending == "disconnect"):
                assert outcome.error is None
                outcome.succeeded()
            elif size:
                assert isinstance(outcome.error, Truncated)
                kinds = set(map(type, outcome.events))
                assert not kinds & {End, ToolCallEnd}
                assert naive(whole.body)["content"].startswith(outcome.reply.text)


@pytest.mark.parametrize(
    ("part", "thought", "text", "call", "finish", "counts"),
    [
        ("reasoning_roundtrip", 4914, 1371, None, "stop", (83, 2050, 2133)),
        ("thinking_and_tool_call", 2472, 0, "lookup_harbor_label", "stop", (195, 575, 770)),
        ("multi_turn_tool_run", 0, 4560, "add", "stop", (192, 1092, 1284)),
        ("stream-with-thinking", 64, 70, None, "stop", None),
        ("GenerateChat", 0, 185, None, "length", (15, 50, 65)),
        ("GenerateStream", 0, 33, None, "stop", (16, 22, 38)),
        ("text_generation", 0, 32, None, "stop", (10, 304, 314)),
    ],
)
def test_how_much_was_said(
    part: str, thought: int, text: int, call: str | None, finish: str, counts: Any
) -> None:
    (file,) = (file for file in STREAMS if part in file)
    outcome = drive(ask(), response(file)).succeeded()
    reply = outcome.reply
    assert (len(reply.reasoning), len(reply.text)) == (thought, text)
    assert [c.name for c in reply.tool_calls] == ([call] if call else [])
    assert (reply.finish_reason, outcome.events[-1]) == (finish, End("terminator"))
    used = reply.usage
    assert counts == (used and (used.input_tokens, used.output_tokens, used.total_tokens))


def test_text_on_the_last_line() -> None:
    (file,) = (file for file in STREAMS if "stream-with-thinking" in file)
    texts = [e.text for e in drive(ask(), response(file)).events if isinstance(e, Text)]
    assert texts[-1] == " Have a great day!"


@pytest.mark.parametrize("file", OWN)
def test_whole_answer(file: str) -> None:
    """Asked for whole, and in place of a stream."""
    for how in (True, False):
        reply = alike(ask(how), response(file)).succeeded().reply
        check(reply, naive(response(file).body))


@pytest.mark.parametrize("file", OWN)
def test_whole_answer_cut_anywhere(file: str) -> None:
    body = response(file).body
    for size in sizes_to_try(body):
        outcome = drive(ask(False), Response(body[:size], headers=response(file).headers))
        assert (outcome.error is None) == (size >= len(body.rstrip()))


def test_another_format() -> None:
    outcome = alike(ask(False), response(COMPLETION))
    assert type(outcome.error) is UnexpectedContent


@pytest.mark.parametrize("file", REFUSALS)
def test_error(file: str) -> None:
    refused = response(file)
    error = json.loads(refused.body)["error"]
    kind = {404: BadRequest, 429: RateLimited}[refused.status]
    said = error if isinstance(error, str) else error["message"]
    outcome = alike(ask(), refused).refused_by(kind, said)
    assert isinstance(outcome.error, Refused)
    assert (outcome.error.status, outcome.events) == (refused.status, [])
