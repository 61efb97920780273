"""Recorded answers of Cohere's chat, beside a naive reading of them and what its SDK made of
them."""

import json
import re
from typing import Any

import pytest

from tests.corpus import corpus, sizes_to_try, without_nothing
from tests.driving import Response, alike, drive
from tokenwire import PROVIDERS, as_chat
from tokenwire.protocols.errors import (
    AuthenticationFailed,
    BadRequest,
    Malformed,
    RateLimited,
    Refused,
    Truncated,
)
from tokenwire.protocols.events import Citation, End, Finish, Reasoning, Start, ToolCallEnd
from tokenwire.protocols.exchange import Exchange
from tokenwire.protocols.reply import Reply

_, ROWS, FILES, WHOLES, REFUSALS = CORPUS = corpus("cohere")
response = CORPUS.response

VERSION_1 = next(file for file in FILES if file.endswith(".ndjson"))
"""JSON lines of version 1, which is another format."""
FAILED = next(file for file in FILES if ROWS[file]["oracle"]["final"] and "sql" in file)
"""An error that the stream reports, with status 200."""
STREAMS = [file for file in FILES if file not in (VERSION_1, FAILED)]
CITED = next(file for file in STREAMS if "streams_citations" in file)
KINDS = {"COMPLETE": "stop", "MAX_TOKENS": "length", "TOOL_CALL": "tool_call"}


def ask(stream: bool = True) -> Exchange:
    return PROVIDERS["cohere"].exchange(as_chat("hi", model="m", stream=stream))


def naive(body: bytes) -> dict[str, Any]:
    """The answer that a stream is, put together as the reference says."""
    answer: dict[str, Any] = {}
    message: dict[str, Any] = {"role": "assistant"}
    contents: dict[int, Any] = {}
    calls: dict[int, Any] = {}
    for payload in re.findall(rb"(?m)^data: (\{.*)$", body):
        value = json.loads(payload)
        index, delta = value.get("index"), value.get("delta", {})
        said = delta.get("message", {})
        match value["type"]:
            case "message-start":
                answer["id"] = value["id"]
            case "content-start":
                kind = said["content"]["type"]
                contents[index] = {"type": kind, kind: said["content"].get(kind, "")}
            case "content-delta":
                kind = contents[index]["type"]
                contents[index][kind] += said["content"][kind]
            case "tool-plan-delta":
                message["tool_plan"] = message.get("tool_plan", "") + said["tool_plan"]
            case "tool-call-start":
                calls[index] = said["tool_calls"]
            case "tool-call-delta":
                function = said["tool_calls"]["function"]
                calls[index]["function"]["arguments"] += function["arguments"]
            case "citation-start":
                message.setdefault("citations", []).append(said["citations"])
            case "message-end":
                answer |= delta
            case _:
                assert "delta" not in value
    if contents:
        message["content"] = list(contents.values())
    if calls:
        message["tool_calls"] = list(calls.values())
    return {**answer, "message": message}


def sent_back(reply: Reply) -> Any:
    """The answer in the next request."""
    chat = as_chat("hi", model="m").then(reply, "And then?")
    request = PROVIDERS["cohere"].exchange(chat).next_request()
    assert request is not None
    return json.loads(request.body)["messages"][1]


def check(reply: Reply, answer: dict[str, Any]) -> None:
    message = without_nothing(answer["message"])
    assert (reply.id, reply.model) == (answer["id"], "m")
    contents = message.get("content", [])
    thoughts = [content.get("thinking", "") for content in contents]
    assert reply.text == "".join(content.get("text", "") for content in contents)
    assert reply.reasoning == "".join(thoughts) + message.get("tool_plan", "")
    for call in message.get("tool_calls", ()):
        call["function"]["arguments"] = call["function"]["arguments"] or "{}"
    assert [(c.id, c.name, c.arguments, c.complete) for c in reply.tool_calls] == [
        (c["id"], c["function"]["name"], c["function"]["arguments"], True)
        for c in message.get("tool_calls", ())
    ]
    cited = [
        (s["id"], c["start"], c["end"]) for c in message.get("citations", ()) for s in c["sources"]
    ]
    found = reply.choices[0].citations
    assert [(c.source, c.start, c.end) for c in found] == cited
    assert reply.finish_reason == answer["finish_reason"]
    assert reply.finish_kind == KINDS[answer["finish_reason"]]
    usage = reply.usage
    assert usage is not None
    assert usage.raw == answer["usage"]
    tokens = answer["usage"]["tokens"]
    assert (usage.input_tokens, usage.output_tokens) == (
        tokens["input_tokens"],
        tokens["output_tokens"],
    )
    assert usage.cache_read_input_tokens == answer["usage"].get("cached_tokens")
    assert usage.reasoning_output_tokens == tokens.get("reasoning_tokens")
    assert (reply.evidence, reply.unrecognized) == ("terminator", [])
    assert sent_back(reply) == message  # what goes back is what came


@pytest.mark.parametrize("file", STREAMS)
def test_stream(file: str) -> None:
    reply = alike(ask(), response(file)).succeeded().reply
    check(reply, naive(response(file).body))


@pytest.mark.parametrize("file", STREAMS)
def test_stream_beside_the_sdk(file: str) -> None:
    said = ROWS[file]["oracle"]
    reply = drive(ask(), response(file)).succeeded().reply
    assert (reply.text, reply.reasoning) == (said["text"], said["thinking"] + said["tool_plan"])
    assert reply.finish_reason == said["final"]["finish_reason"]
    calls = [(c.id, c.name, c.arguments) for c in reply.tool_calls]
    told = [(c["id"], c["name"], c["arguments"] or "{}") for c in said["tools"].values()]
    assert calls == told
    assert reply.usage is not None
    assert reply.usage.raw == said["final"]["usage"]


@pytest.mark.parametrize("file", STREAMS)
def test_stream_without_names(file: str) -> None:
    """What an event is, its data says."""
    whole = response(file)
    body = re.sub(rb"(?m)^event: .*\n", b"", whole.body)
    assert b"event: " not in body
    bare = drive(ask(), Response(body, whole.status, whole.headers))
    assert bare.what == drive(ask(), whole).what


@pytest.mark.parametrize("file", STREAMS)
def test_stream_cut_anywhere(file: str) -> None:
    """Before message-end it is never a success, after it always."""
    whole = response(file)
    end = [match.end() for match in re.finditer(rb"(?m)^data: \{.*\}$", whole.body)][-1]
    text = drive(ask(), whole).reply.text
    for size in sizes_to_try(whole.body):
        for ending in ("eof", "disconnect"):
            cut = Response(whole.body[:size], whole.status, whole.headers, ending)
            outcome = drive(ask(), cut)
            # The event needs its blank line, if nothing says that it is whole.
            if size >= end + (2 if ending == "disconnect" else 0):
                assert outcome.succeeded().events[-1] == End("terminator")
            elif size:
                assert isinstance(outcome.error, Truncated)
                assert not set(map(type, outcome.events)) & {End, ToolCallEnd, Finish}
                assert text.startswith(outcome.reply.text)


@pytest.mark.parametrize(
    ("part", "thought", "text", "call", "finish", "counts"),
    [
        ("streaming_smoke", 0, 65, None, "MAX_TOKENS", (553, 64, 617)),
        ("reasoning_then_tool_call", 1276, 0, "subtract", "TOOL_CALL", (1501, 346, 1847)),
        ("streaming_tool_call_roundtrip", 48, 0, "subtract", "TOOL_CALL", (1600, 56, 1656)),
        ("streams_citations", 146, 170, None, "COMPLETE", (508, 86, 594)),
        ("vercel-ai", 162, 25, None, "COMPLETE", (1394, 54, 1448)),
        ("server-aimock", 0, 40, None, "COMPLETE", (0, 0, 0)),
    ],
)
def test_how_much_was_said(
    part: str, thought: int, text: int, call: str | None, finish: str, counts: Any
) -> None:
    (file,) = (file for file in STREAMS if part in file)
    reply = drive(ask(), response(file)).succeeded().reply
    assert (len(reply.reasoning), len(reply.text)) == (thought, text)
    assert [c.name for c in reply.tool_calls] == ([call] if call else [])
    assert reply.finish_reason == finish
    used = reply.usage
    assert used is not None
    assert (used.input_tokens, used.output_tokens, used.total_tokens) == counts


def test_citations_mark_the_text() -> None:
    outcome = drive(ask(), response(CITED)).succeeded()
    reply, told = outcome.reply, naive(response(CITED).body)["message"]["citations"]
    cited = [event for event in outcome.events if isinstance(event, Citation)]
    assert [reply.text[c.start : c.end] for c in cited] == [c["text"] for c in told]
    assert [(c.title, c.source, c.part) for c in cited] == [("facts.txt", "doc:0", 1)] * 2
    assert reply.usage is not None
    assert (reply.usage.reasoning_output_tokens, reply.usage.cache_read_input_tokens) == (28, 144)


def test_an_error_in_the_stream() -> None:
    said = ROWS[FAILED]["oracle"]
    outcome = alike(ask(), response(FAILED)).refused_by(Refused, said["final"]["error"])
    assert isinstance(outcome.error, Refused)
    assert outcome.error.code == "INVALID_TOOL_GENERATION"
    assert outcome.reply.reasoning == said["tool_plan"]
    assert outcome.events[-1] == Finish("ERROR", "error", said["final"]["error"])
    assert {type(event) for event in outcome.events[1:-2]} == {Reasoning}


def test_version_1() -> None:
    """It is no success, and nothing of it is delivered, which it says twice."""
    outcome = alike(ask(), response(VERSION_1))
    assert type(outcome.error) is Malformed
    assert outcome.events == []


@pytest.mark.parametrize("file", WHOLES)
def test_whole_answer(file: str) -> None:
    """Asked for whole, and in place of a stream."""
    for stream in (True, False):
        outcome = alike(ask(stream), response(file)).succeeded()
        assert isinstance(outcome.events[0], Start)
        check(outcome.reply, json.loads(response(file).body))


@pytest.mark.parametrize("file", WHOLES)
def test_whole_answer_cut_anywhere(file: str) -> None:
    body = response(file).body
    for size in sizes_to_try(body):
        outcome = drive(ask(False), Response(body[:size], headers=response(file).headers))
        assert (outcome.error is None) == (size >= len(body.rstrip()))


@pytest.mark.parametrize("file", REFUSALS)
def test_error(file: str) -> None:
    refused = response(file)
    kind = {400: BadRequest, 401: AuthenticationFailed, 429: RateLimited}[refused.status]
    body = json.loads(refused.body)
    said = body.get("error", body)["message"]
    outcome = alike(ask(), refused).refused_by(kind, said)
    error = outcome.error
    assert isinstance(error, Refused)
    assert (error.status, outcome.events) == (refused.status, [])
    assert error.request_id == body.get("id")
    assert error.code == body.get("error_type")
