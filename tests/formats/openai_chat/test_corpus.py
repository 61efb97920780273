"""Recorded answers of services with chat completions."""

import json
import re
from typing import Any

import pytest

from tests.corpus import corpus, ends_inside_an_event, redacted, sizes_to_try, without_nothing
from tests.driving import Response, alike, drive
from tokenwire.protocols.chat import as_chat
from tokenwire.protocols.errors import (
    AuthenticationFailed,
    BadRequest,
    Malformed,
    Overloaded,
    RateLimited,
    Refused,
    RemoteProtocolError,
    Truncated,
)
from tokenwire.protocols.events import (
    End,
    Event,
    Image,
    Reasoning,
    Refusal,
    Text,
    ToolCallStart,
)
from tokenwire.protocols.exchange import Exchange
from tokenwire.protocols.registry import PROVIDERS
from tokenwire.protocols.reply import Choice, Reply

CORPUS = corpus("openai-chat")
ROWS, STREAMS, WHOLES, REFUSALS = CORPUS.rows, CORPUS.streams, CORPUS.wholes, CORPUS.refusals
response = CORPUS.response

UNLIKE_THE_ORACLE: dict[str, tuple[str, str]] = {
    "0xPlaygrounds-rig__groq-agent_tool_sessions-"
    "parallel_tool_calls_single_turn_streaming__0.sse": (
        "tool_calls",
        'quirk 22: the arguments are the string "null", and mean none',
    ),
    "openai-php-client__Streams-ChatCompletionKeepAlive__0.sse": (
        "text",
        "quirk 56: no blank lines, so that the SDK sees no chunk",
    ),
    "pydantic-pydantic-ai__models-test_groq-test_groq_model_web_search_tool_stream__0.sse": (
        "usage",
        "quirk 19: the usage comes in x_groq only, where the SDK does not look",
    ),
    "pydantic-pydantic-ai__models-test_openrouter-test_openrouter_stream_error__0.sse": (
        "usage",
        "quirk 24: the usage is on the chunk with the error, where the SDK raised",
    ),
    "simonw-llm__test_tools_streaming-test_tools_streaming_variant_a__0.sse": (
        "tool_calls",
        "quirk 22: id and name are repeated, and the SDK joins them",
    ),
}
"""The fields in which the oracle is wrong, and why."""

FAIL: dict[str, type[RemoteProtocolError]] = {
    # Hand-edited: text generation, which is another format.
    "microsoft-semantic-kernel__Connectors-Connectors.HuggingFace.UnitTests-TestData-"
    "textgeneration_test_stream_response__0.sse": Truncated,
    "microsoft-semantic-kernel__Connectors-Connectors.OpenAI.UnitTests-TestData-"
    "chat_completion_invalid_streaming_test_respon__0.sse": Malformed,
    "pydantic-pydantic-ai__models-test_groq-"
    "test_tool_use_failed_error_streaming_with_text__0.sse": BadRequest,
    "pydantic-pydantic-ai__models-test_openrouter-test_openrouter_stream_error__0.sse": BadRequest,
}
"""The streams that are no success."""


def ask(choices: int = 1) -> Exchange:
    return PROVIDERS["openai"].exchange(
        as_chat("hi", model="m", n=None if choices == 1 else choices)
    )


# A naive reading


def payloads(body: bytes) -> list[tuple[int, Any]]:
    """Each `data:` line's JSON, and the place where the line's text ends; `[DONE]` is None."""
    found: list[tuple[int, Any]] = []
    for match in re.finditer(rb"(?m)^data:([^\r\n]*)", body):
        text = match[1].strip()
        try:
            found.append((match.end(), None if text == b"[DONE]" else json.loads(text)))
        except ValueError:
            continue
        if text == b"[DONE]":
            break
    return found


def items(value: Any, key: str) -> list[Any]:
    found: list[Any] = value.get(key) or []
    return found


def all_choices(body: bytes) -> list[Any]:
    """The choices of all chunks, up to `[DONE]`."""
    chunks = [chunk for _, chunk in payloads(body) if chunk is not None]
    return [choice for chunk in chunks for choice in items(chunk, "choices")]


def thought(said: Any) -> str:
    details = [d.get("text") or d.get("summary") or "" for d in items(said, "reasoning_details")]
    return said.get("reasoning_content") or said.get("reasoning") or "".join(details)


def naive_reasoning(body: bytes) -> dict[int, str]:
    reasoning: dict[int, str] = {}
    for choice in all_choices(body):
        index = choice.get("index", 0)
        reasoning[index] = reasoning.get(index, "") + thought(choice.get("delta") or {})
    return reasoning


def text_of(content: Any) -> str:
    if content is None or isinstance(content, str):
        return content or ""
    return json.dumps(content, separators=(",", ":"))


# Streams


def calls_of(choice: Choice) -> list[tuple[str, str, str]]:
    return [(call.id, call.name, call.arguments) for call in choice.tool_calls]


def calls_in(tool_calls: list[Any]) -> list[tuple[str, str, str]]:
    return [(c["id"] or "", c["name"] or "", c["arguments"] or "{}") for c in tool_calls]


@pytest.mark.parametrize("file", STREAMS)
def test_stream(file: str) -> None:
    outcome = alike(ask(), response(file))
    assert type(outcome.error) is FAIL.get(file, type(None))
    if outcome.error is None:
        outcome.succeeded()
    wrong = UNLIKE_THE_ORACLE.get(file, ("", ""))[0]
    oracle = ROWS[file]["oracle"]
    reply = outcome.reply
    if wrong == "text":
        assert reply.text
    elif oracle["accumulator_error"]:
        compare_by_chunk(reply, oracle["by_chunk"])
    else:
        for said in oracle["snapshot"]:
            choice = reply.choices[said["index"]]
            assert choice.text == (said["content"] or "")
            assert choice.refusal == (said["refusal"] or "")
            assert choice.finish_reason == said["finish_reason"]
            if wrong != "tool_calls":
                assert calls_of(choice) == calls_in(said["tool_calls"])
        assert len(reply.choices) == len(oracle["snapshot"])
    if wrong != "usage":
        used = reply.usage.raw if reply.usage else None
        assert without_nothing(used) == without_nothing(oracle["usage"])
    if file not in FAIL or reply.choices:
        reasoning = {index: choice.reasoning for index, choice in reply.choices.items()}
        assert reasoning == naive_reasoning(response(file).body)


@pytest.mark.parametrize("file", STREAMS)
def test_part_numbers(file: str) -> None:
    """They count up from 0 and never go back; an answer of plain text is one part."""
    numbers: dict[int, list[int]] = {}
    kinds: set[type[Event]] = set()
    for event in drive(ask(), response(file)).events:
        if isinstance(event, Text | Reasoning | Refusal | ToolCallStart | Image):
            numbers.setdefault(event.index, []).append(event.part)
            kinds.add(type(event))
    for found in numbers.values():
        assert found == sorted(found)
        assert set(found) == set(range(found[-1] + 1))
        assert kinds != {Text} or set(found) == {0}


@pytest.mark.parametrize("file", [file for file in STREAMS if file not in FAIL])
def test_thoughts_are_asked_with_again(file: str) -> None:
    """What is signed goes back equal: every key of every piece, and its texts joined."""
    said = [
        detail
        for choice in all_choices(response(file).body)
        for detail in items(choice.get("delta") or {}, "reasoning_details")
    ]
    signed = any(detail.get(key) for detail in said for key in ("signature", "data", "id"))
    provider = PROVIDERS["openai"].replace(history="reasoning_details")
    reply = drive(ask(), response(file)).succeeded().reply
    natives = [n for choice in reply.choices.values() for n in choice.natives]
    assert bool(natives) == signed
    if signed:
        chat = as_chat("hi", model="m").then(reply)
        request = provider.exchange(chat).next_request()
        assert request is not None
        details = json.loads(request.body)["messages"][1]["reasoning_details"]
        for key in ("text", "summary", "data", "signature", "id"):
            for kind in {detail.get("type") for detail in said}:
                sent, got = (
                    "".join(d.get(key) or "" for d in of if d.get("type") == kind)
                    for of in (said, details)
                )
                assert sent == got


def compare_by_chunk(reply: Reply, by_chunk: dict[str, Any]) -> None:
    for index, said in by_chunk.items():
        choice = reply.choices[int(index)]
        assert choice.text == said["content"]
        assert choice.refusal == said["refusal"]
        assert choice.finish_reason == said["finish_reason"]
    assert len(reply.choices) == len(by_chunk)


@pytest.mark.parametrize("file", UNLIKE_THE_ORACLE)
def test_where_the_oracle_is_wrong(file: str) -> None:
    """An exception that is none any more must go."""
    reply = drive(ask(), response(file)).reply
    oracle = ROWS[file]["oracle"]
    field, reason = UNLIKE_THE_ORACLE[file]
    assert re.match(r"quirk \d+: ", reason)
    if field == "usage":
        assert reply.usage is not None
        assert oracle["usage"] is None
    elif field == "text":
        assert reply.text == "Hello!"
        assert not oracle["n_chunks"]
    else:
        said = [call for choice in oracle["snapshot"] for call in choice["tool_calls"]]
        assert calls_of(reply.choices[0]) != calls_in(said)
        assert all(call.complete for call in reply.tool_calls)


# Streams, cut anywhere


def evidence(body: bytes, choices: int) -> int | None:
    """The place at which `[DONE]` has come, or a finish reason for every choice."""
    finished: set[int] = set()
    begun: set[int] = set()
    for place, chunk in payloads(body):
        if chunk is None:
            return place
        for choice in items(chunk, "choices"):
            index: int = choice.get("index") or 0
            begun.add(index)
            if choice.get("finish_reason"):
                finished.add(index)
        if len(finished) >= choices and finished == begun:
            return place
    return None


@pytest.mark.parametrize("file", [file for file in STREAMS if file not in FAIL])
def test_stream_cut_anywhere(file: str) -> None:
    """Before the evidence it is never a success; after it always, but for the beginning of another
    event."""
    whole = response(file)
    choices = len({choice.get("index", 0) for choice in all_choices(whole.body)})
    owed = evidence(whole.body, choices)
    assert owed is not None
    for size in sizes_to_try(whole.body):
        for ending in ("eof", "disconnect"):
            cut = Response(whole.body[:size], whole.status, whole.headers, ending)
            outcome = drive(ask(choices), cut)
            if outcome.error is None:
                outcome.succeeded()
                assert size >= owed, whole.body[:size][-80:]
            else:
                assert type(outcome.error) is not Malformed
                # A line needs its end and a blank line after it, if nothing says that it is whole.
                early = size < owed + (0 if ending == "eof" else 4)
                assert early or ends_inside_an_event(cut.body), cut.body[-80:]
                assert not any(isinstance(event, End) for event in outcome.events)


# Whole answers and errors


@pytest.mark.parametrize("file", WHOLES)
def test_whole_answer(file: str) -> None:
    reply = alike(ask(), response(file)).succeeded().reply
    document = json.loads(response(file).body)
    assert reply.id == (document.get("id") or "")
    assert reply.model == (document.get("model") or "")
    for said in document["choices"]:
        choice = reply.choices[said.get("index", 0)]
        message = said["message"]
        assert choice.text == text_of(message.get("content"))
        assert choice.reasoning == thought(message)
        assert choice.refusal == (message.get("refusal") or "")
        assert choice.finish_reason == (said.get("finish_reason") or None)
        calls = [{"id": c.get("id"), **c["function"]} for c in items(message, "tool_calls")]
        none = {"null": "{}"}  # quirk 22
        assert calls_of(choice) == [(i, n, none.get(a, a)) for i, n, a in calls_in(calls)]
    assert without_nothing(reply.usage and reply.usage.raw) == (
        without_nothing(document.get("usage"))
    )
    assert len(reply.choices) == len(document["choices"])


_CLASSES: dict[int, type[Refused]] = {
    400: BadRequest,
    401: AuthenticationFailed,
    403: AuthenticationFailed,
    404: BadRequest,
    429: RateLimited,
    500: Refused,
    503: Overloaded,
}


@pytest.mark.parametrize("file", REFUSALS)
def test_error(file: str) -> None:
    refused = response(file)
    error = json.loads(refused.body)["error"]
    message = redacted(error if isinstance(error, str) else error["message"])
    outcome = alike(ask(), refused).refused_by(_CLASSES[refused.status], message)
    assert isinstance(outcome.error, Refused)
    assert outcome.error.status == refused.status
    assert outcome.events == []
