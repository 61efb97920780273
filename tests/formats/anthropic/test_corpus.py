"""Recorded answers of Anthropic Messages."""

import json
import re
from typing import Any

import pytest

from tests.corpus import corpus, redacted, sizes_to_try, without_nothing
from tests.driving import Response, alike, drive
from tokenwire.protocols.chat import as_chat
from tokenwire.protocols.errors import (
    AuthenticationFailed,
    BadRequest,
    Malformed,
    RateLimited,
    Refused,
    RemoteProtocolError,
    Truncated,
)
from tokenwire.protocols.events import End
from tokenwire.protocols.exchange import Exchange
from tokenwire.protocols.registry import PROVIDERS
from tokenwire.protocols.reply import Reply

CORPUS = corpus("anthropic")
ROWS, STREAMS, WHOLES, REFUSALS = CORPUS.rows, CORPUS.streams, CORPUS.wholes, CORPUS.refusals
response = CORPUS.response

FAIL: dict[str, type[RemoteProtocolError]] = {
    # The legacy text completions, which are another format.
    "Arize-ai-openinference__openinference-anthropic-test_instrumentor-"
    "test_anthropic_instrumentation_completions_streaming__0.sse": Truncated,
    # Two answers spliced into one on purpose.
    "vercel-ai__anthropic-spliced-message-start__0.sse": Malformed,
}
"""The streams that are no success."""

EMPTY = (
    "0xPlaygrounds-rig__anthropic-empty_stop_sequence_matrix-"
    "agent_stream_empty_stop_sequence__0.sse"
)
"""An answer without a block, which can't be asked with again."""

OTHER_MODEL = "anthropics-anthropic-sdk-python__lib-streaming-fallback_response__0.sse"
"""Another model went on with the answer. The SDK gives its name to the whole; for us the answer
began with the first, and the block `fallback` says the rest."""


def ask() -> Exchange:
    return PROVIDERS["anthropic"].exchange(as_chat("hi", model="m"))


def payloads(body: bytes) -> list[tuple[int, Any]]:
    """The JSON of each `data:` line of the first answer, and the place where the line ends."""
    found: list[tuple[int, Any]] = []
    for match in re.finditer(rb"(?m)^data:([^\r\n]*)", body):
        value = json.loads(match[1])
        found.append((match.end(), value))
        if value.get("type") == "message_stop":
            break
    return found


def naive_blocks(body: bytes) -> list[Any]:
    """The blocks, put together as the reference says."""
    blocks: dict[int, Any] = {}
    inputs: dict[int, str] = {}
    for _, value in payloads(body):
        number, delta = value.get("index"), value.get("delta")
        match value["type"]:
            case "message_start":
                blocks |= enumerate(value["message"].get("content") or [])
            case "content_block_start":
                blocks[number] = value["content_block"]
            case "content_block_delta":
                block = blocks[number]
                match delta["type"]:
                    case "text_delta":
                        block["text"] += delta["text"]
                    case "thinking_delta":
                        block["thinking"] += delta["thinking"]
                    case "signature_delta":
                        block["signature"] = delta["signature"]
                    case "citations_delta":
                        block.setdefault("citations", []).append(delta["citation"])
                    case "input_json_delta":
                        inputs[number] = inputs.get(number, "") + delta["partial_json"]
                    case _:
                        block |= {k: v for k, v in delta.items() if k != "type"}
            case _:
                pass
    for number, text in inputs.items():
        try:
            blocks[number]["input"] = json.loads(text or "{}")
        except ValueError:
            blocks[number]["input"] = None  # it was cut
    return [block for _, block in sorted(blocks.items())]


def asked_again(reply: Reply) -> Any:
    """The blocks of the answer in the next request."""
    chat = as_chat("hi", model="m").then(reply, "And then?")
    request = PROVIDERS["anthropic"].exchange(chat).next_request()
    assert request is not None
    content = json.loads(request.body)["messages"][1]["content"]
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def as_sent(blocks: list[Any]) -> Any:
    """The blocks that go back: not a call that was cut, nor a text of nothing; of a call of the
    client's not who called it, if it was the model itself, as that is what a call is."""
    kept = [b for b in blocks if b.get("input", {}) is not None and b != {**b, "text": ""}]
    direct = {"type": "direct"}
    return without_nothing(
        [
            {k: v for k, v in b.items() if b["type"] != "tool_use" or (k, v) != ("caller", direct)}
            for b in kept
        ]
    )


@pytest.mark.parametrize("file", STREAMS)
def test_stream(file: str) -> None:
    outcome = alike(ask(), response(file))
    assert type(outcome.error) is FAIL.get(file, type(None))
    reply = outcome.reply
    if file in FAIL:
        assert bool(reply.unrecognized) == (not reply.id)
        return
    outcome.succeeded()
    blocks = naive_blocks(response(file).body)
    assert reply.text == "".join(b["text"] for b in blocks if b["type"] == "text")
    assert reply.reasoning == "".join(b["thinking"] for b in blocks if b["type"] == "thinking")
    if file != EMPTY:
        assert without_nothing(asked_again(reply)) == as_sent(blocks)
    for unknown in reply.unrecognized:
        # What the next request must name, or may pay with.
        assert unknown.place.startswith(("delta.container", "delta.stop_details.fallback_"))


@pytest.mark.parametrize("file", [f for f in STREAMS if ROWS[f]["oracle"]["message"]])
def test_stream_beside_the_sdk(file: str) -> None:
    reply = drive(ask(), response(file)).succeeded().reply
    said = ROWS[file]["oracle"]["message"]
    content = said["content"]
    assert reply.id == said["id"]
    assert (reply.model == said["model"]) == (file != OTHER_MODEL)
    assert reply.text == "".join(b["text"] for b in content if b["type"] == "text")
    assert reply.finish_reason == said["stop_reason"]
    calls = [(b["id"], b["name"], b["input"]) for b in content if b["type"] == "tool_use"]
    ours = [(c.id, c.name, json.loads(c.arguments)) for c in reply.tool_calls if c.complete]
    assert ours == [call for call, c in zip(calls, reply.tool_calls, strict=True) if c.complete]
    used = reply.usage.raw if reply.usage else None
    assert without_nothing(used) == without_nothing(said["usage"])


@pytest.mark.parametrize("file", [file for file in STREAMS if file not in FAIL])
def test_names_do_not_matter(file: str) -> None:
    """What an event is, its data says: with and without names the events are the same."""
    named = response(file)
    bare = response(file)
    bare.body = re.sub(rb"(?m)^event:[^\r\n]*\r?\n", b"", named.body)
    assert drive(ask(), bare).what == drive(ask(), named).what


@pytest.mark.parametrize("file", [file for file in STREAMS if file not in FAIL])
def test_stream_cut_anywhere(file: str) -> None:
    """Before the evidence it is never a success, after it always."""
    whole = response(file)
    nothing: dict[str, Any] = {}
    owed = next(
        place
        for place, value in payloads(whole.body)
        if (value.get("delta") or value.get("message") or nothing).get("stop_reason")
    )
    for size in sizes_to_try(whole.body):
        for ending in ("eof", "disconnect"):
            cut = Response(whole.body[:size], whole.status, whole.headers, ending)
            outcome = drive(ask(), cut)
            if outcome.error is None:
                outcome.succeeded()
                assert size >= owed, whole.body[:size][-80:]
            else:
                assert type(outcome.error) is not Malformed
                # A line needs its end and a blank line after it, if nothing says that it is whole.
                assert size < owed + (0 if ending == "eof" else 4), whole.body[:size][-80:]
                assert not any(isinstance(event, End) for event in outcome.events)


@pytest.mark.parametrize("file", WHOLES)
def test_whole_answer(file: str) -> None:
    document = json.loads(response(file).body)
    if "content" not in document:  # the legacy text completions
        assert "completion" in document
        assert isinstance(alike(ask(), response(file)).error, RemoteProtocolError)
        return
    reply = alike(ask(), response(file)).succeeded().reply
    assert (reply.id, reply.model) == (document["id"], document["model"])
    assert reply.finish_reason == document["stop_reason"]
    assert without_nothing(asked_again(reply)) == as_sent(document["content"])
    assert without_nothing(reply.usage and reply.usage.raw) == without_nothing(document["usage"])


CLASSES: dict[int, type[Refused]] = {
    400: BadRequest,
    401: AuthenticationFailed,
    404: BadRequest,
    429: RateLimited,
}


@pytest.mark.parametrize("file", REFUSALS)
def test_error(file: str) -> None:
    refused = response(file)
    document = json.loads(refused.body)
    message = redacted(document["error"]["message"])
    outcome = alike(ask(), refused).refused_by(CLASSES[refused.status], message)
    assert isinstance(outcome.error, Refused)
    assert outcome.error.status == refused.status
    assert outcome.error.request_id == document.get("request_id")
    assert outcome.events == []
