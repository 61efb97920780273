"""Recorded answers of Bedrock, beside what botocore made of their frames and a naive reading."""

import json
from base64 import b64decode
from collections.abc import Iterator
from random import Random
from typing import Any

import pytest

from tests.corpus import corpus, sizes_to_try
from tests.driving import Response, alike, drive
from tests.formats.bedrock.subject import BEDROCK, MODEL, stream
from tests.formats.bedrock_anthropic.subject import BEDROCK as INVOKE
from tokenwire import as_chat
from tokenwire.protocols.errors import (
    AuthenticationFailed,
    BadRequest,
    Malformed,
    Refused,
    Truncated,
    UnexpectedContent,
)
from tokenwire.protocols.events import Citation, End, Finish, ToolCallEnd, Unrecognized
from tokenwire.protocols.exchange import Exchange
from tokenwire.protocols.reply import Reply
from tokenwire.protocols.toolkit.frames import Frame, Frames
from tokenwire.testing.pieces import cut_at

FOLDER, ROWS, STREAMS, WHOLES, REFUSALS = CORPUS = corpus("bedrock-eventstream")


def response(file: str) -> Response:
    """A recording as the response that it was. The content type of some was taken out."""
    found = CORPUS.response(file)
    found.headers = [pair for pair in found.headers if b"redacted" not in pair[1].lower()]
    return found


BINARY = [file for file in STREAMS if file.endswith(".bin")]
LINES = [file for file in STREAMS if file.endswith(".jsonl")]


def frames_of(body: bytes) -> list[Frame]:
    frames: list[Frame] = []
    Frames(1 << 24).feed(body, frames)
    return frames


def payloads(body: bytes) -> list[tuple[str, Any]]:
    return [(str(f.headers[":event-type"]), json.loads(f.payload)) for f in frames_of(body)]


def chunk(payload: Any) -> Any:
    """What is in a chunk: a JSON object, or the text of an agent."""
    if "bytes" not in payload:
        return payload  # an emulator's
    data = b64decode(payload["bytes"])
    return json.loads(data) if data[:1] == b"{" else data.decode()


CONVERSE = [f for f in BINARY if payloads(response(f).body)[0][0] == "messageStart"]
CLAUDE = [
    file
    for file in BINARY
    if payloads(response(file).body)[0][0] == "chunk"
    and "message_start" in str(chunk(payloads(response(file).body)[0][1]))
]
OTHERS = [file for file in BINARY if file not in (*CONVERSE, *CLAUDE)]


def ask(stream: bool = True) -> Exchange:
    return BEDROCK.exchange(as_chat("hi", model=MODEL, stream=stream))


def invoke(stream: bool = True) -> Exchange:
    return INVOKE.exchange(as_chat("hi", model="m", stream=stream))


def test_the_recordings_are_of_all_kinds() -> None:
    assert (len(CONVERSE), len(CLAUDE), len(OTHERS), len(LINES)) == (8, 5, 22, 3)


@pytest.mark.parametrize("file", BINARY)
def test_frames(file: str) -> None:
    """As botocore reads them."""
    frames = frames_of(response(file).body)
    told = [[f.headers[":message-type"], f.headers[":event-type"], len(f.payload)] for f in frames]
    assert told == ROWS[file]["oracle"]["frames"]
    for frame in frames:
        assert set(frame.headers) == {":event-type", ":content-type", ":message-type"}


# Converse


def naive(events: list[tuple[str, Any]]) -> dict[str, Any]:
    """An answer, put together event by event."""
    said: dict[str, Any] = {"text": "", "calls": {}, "citations": [], "unknown": []}
    for type, payload in events:
        match type:
            case "contentBlockStart":
                call = payload["start"]["toolUse"]
                said["calls"][payload["contentBlockIndex"]] = [call["toolUseId"], call["name"], ""]
            case "contentBlockDelta":
                delta = payload["delta"]
                said["text"] += delta.get("text", "")
                said["citations"] += [delta["citation"]] if "citation" in delta else []
                if "toolUse" in delta:
                    said["calls"][payload["contentBlockIndex"]][2] += delta["toolUse"]["input"]
            case "messageStop":
                said["reason"] = payload["stopReason"]
                if "additionalModelResponseFields" in payload:
                    said["unknown"].append("additionalModelResponseFields")
            case "metadata":
                said["usage"] = payload["usage"]
                said["unknown"] += ["metadata.trace"] if "trace" in payload else []
            case _:
                pass
    return said


def check(reply: Reply, said: dict[str, Any]) -> None:
    assert (reply.text, reply.reasoning) == (said["text"], "")
    calls = [[c.id, c.name, c.arguments] for c in reply.tool_calls]
    assert calls == [[id, name, text or "{}"] for id, name, text in said["calls"].values()]
    assert all(call.complete for call in reply.tool_calls)
    assert [(c.title, c.quote) for c in reply.citations] == [
        (c["title"], "".join(each["text"] for each in c["sourceContent"]))
        for c in said["citations"]
    ]
    assert (reply.finish_reason, reply.evidence) == (said["reason"], "terminator")
    assert [event.place for event in reply.unrecognized] == said["unknown"]
    if "usage" in said:
        assert reply.usage is not None
        counts = (reply.usage.input_tokens, reply.usage.output_tokens, reply.usage.total_tokens)
        usage = said["usage"]
        assert counts == (usage["inputTokens"], usage["outputTokens"], usage["totalTokens"])
        assert {key: reply.usage.raw[key] for key in usage} == usage


@pytest.mark.parametrize("file", CONVERSE)
def test_converse_stream(file: str) -> None:
    body, oracle = response(file).body, ROWS[file]["oracle"]
    reply = alike(ask(), response(file)).succeeded().reply
    check(reply, naive(payloads(body)))
    calls = [{"id": c.id, "name": c.name, "arguments": c.arguments} for c in reply.tool_calls]
    assert (reply.text, reply.finish_reason) == (oracle["text"], oracle["stop"])
    assert calls == list(oracle["tools"].values())
    assert reply.usage is not None
    assert {k: reply.usage.raw[k] for k in oracle["usage"]} == oracle["usage"]


@pytest.mark.parametrize("file", LINES)
def test_events_of_a_test_of_vercel(file: str) -> None:
    """Lines, of which each is an event; put into frames. They may end with `messageStop`."""
    lines = [json.loads(line) for line in response(file).body.splitlines() if line]
    events = [next(iter(line.items())) for line in lines]
    body = stream(*((type, json.dumps(payload)) for type, payload in events))
    outcome = alike(ask(), Response(body, 200, [])).succeeded()
    if "metadata" not in dict(events):
        assert outcome.events[-1] == End("finish")
        assert outcome.reply.finish_reason == "tool_use"
    else:
        check(outcome.reply, naive(events))


@pytest.mark.parametrize("file", CONVERSE)
def test_the_answer_in_the_next_request(file: str) -> None:
    """Its blocks are those that came, put together."""
    blocks: dict[int, dict[str, Any]] = {}
    for type, payload in payloads(response(file).body):
        number = payload.get("contentBlockIndex")
        if type == "contentBlockStart":
            blocks[number] = {"toolUse": {**payload["start"]["toolUse"], "input": {}}}
        elif type == "contentBlockDelta":
            block, delta = blocks.setdefault(number, {}), payload["delta"]
            if "citation" in delta:
                cited = block.setdefault("citationsContent", {"content": [], "citations": []})
                cited["citations"].append(delta["citation"])
            elif "toolUse" not in delta and "citationsContent" in block:
                content = block["citationsContent"]["content"] or [{"text": ""}]
                content[0]["text"] += delta["text"]
                block["citationsContent"]["content"] = content
            elif "toolUse" not in delta:
                block["text"] = block.get("text", "") + delta["text"]
    reply = drive(ask(), response(file)).succeeded().reply
    request = BEDROCK.exchange(as_chat("hi", model=MODEL).then(reply, "And then?")).next_request()
    assert request is not None
    assert json.loads(request.body)["messages"][1]["content"] == list(blocks.values())


@pytest.mark.parametrize("file", CONVERSE)
def test_a_stream_cut_anywhere(file: str) -> None:
    """Before `messageStop` it is never a success, after it always."""
    whole = response(file)
    places, at, finished = [0], 0, 0
    for frame in frames_of(whole.body):
        at += int.from_bytes(whole.body[at : at + 4], "big")
        places.append(at)
        if frame.headers[":event-type"] == "messageStop":
            finished = at
    text = naive(payloads(whole.body))["text"]
    sizes = {*sizes_to_try(whole.body), *places, *(p - 1 for p in places[1:])}
    for size in sizes:
        for ending in ("eof", "disconnect"):
            cut = Response(whole.body[:size], whole.status, whole.headers, ending)
            outcome = drive(ask(), cut)
            if size >= finished:
                outcome.succeeded()
            elif size:
                assert isinstance(outcome.error, Truncated)
                assert not {End, ToolCallEnd} & set(map(type, outcome.events))
                assert text.startswith(outcome.reply.text)
            else:
                assert isinstance(outcome.error, Truncated | UnexpectedContent)


@pytest.mark.parametrize("file", [*CONVERSE, *CLAUDE])
def test_a_stream_split_at_random(file: str) -> None:
    draw, whole = Random(1), response(file)
    exchange = ask() if file in CONVERSE else invoke()
    expected = drive(exchange.fresh(), whole).what
    for _ in range(1000):
        places = sorted(draw.randint(0, len(whole.body)) for _ in range(draw.randint(1, 4)))

        def cut(body: bytes, places: list[int] = places) -> Iterator[bytes]:
            yield from cut_at(body, places)

        assert drive(exchange.fresh(), whole, cut=cut).what == expected


@pytest.mark.parametrize("file", [*CONVERSE, *CLAUDE])
def test_one_bit_of_a_frame(file: str) -> None:
    """What came before is delivered, and nothing else."""
    body = response(file).body
    draw = Random(1)
    full = drive(ask() if file in CONVERSE else invoke(), response(file)).events
    for _ in range(100):
        place = draw.randrange(len(body))
        damaged = body[:place] + bytes([body[place] ^ 1 << draw.randrange(8)]) + body[place + 1 :]
        outcome = drive(ask() if file in CONVERSE else invoke(), Response(damaged, 200, []))
        kinds = (Malformed, UnexpectedContent, Truncated)
        assert outcome.error is None or isinstance(outcome.error, kinds)
        if outcome.error is not None:
            events = [event for event in outcome.events if not isinstance(event, Finish)]
            assert events == full[: len(events)]


# InvokeModel


@pytest.mark.parametrize("file", CLAUDE)
def test_invoke_stream(file: str) -> None:
    said: dict[str, Any] = {"text": "", "thinking": ""}
    extra: list[str] = []
    for _, payload in payloads(response(file).body):
        event = chunk(payload)
        delta = event.get("delta", {})
        said["text"] += delta.get("text", "")
        said["thinking"] += delta.get("thinking", "")
        if event["type"] == "message_start":
            said["id"], said["usage"] = event["message"]["id"], event["message"]["usage"]
        if event["type"] == "message_delta":
            said["reason"] = delta["stop_reason"]
            said["usage"] |= event["usage"]
        extra += [key for key in event if key.startswith("amazon-bedrock-")]
    reply = alike(invoke(), response(file)).succeeded().reply
    assert (reply.id, reply.text, reply.reasoning) == (said["id"], said["text"], said["thinking"])
    assert (reply.finish_reason, reply.evidence) == (said["reason"], "terminator")
    assert [event.place for event in reply.unrecognized] == extra
    assert reply.usage is not None
    assert reply.usage.raw == said["usage"]
    if "aimock" not in file:  # botocore reads nothing of its chunks
        assert reply.text == ROWS[file]["oracle"]["text"]
        metrics = ROWS[file]["oracle"]["usage"]
        counts = (reply.usage.input_tokens, reply.usage.output_tokens)
        assert counts == (metrics["inputTokenCount"], metrics["outputTokenCount"])


@pytest.mark.parametrize("file", OTHERS)
def test_streams_of_other_schemas(file: str) -> None:
    """Other vendors' bodies, and agents: all is handed on, and no success."""
    outcome = alike(invoke(), response(file)).refused_by(Truncated)
    assert {type(event) for event in outcome.events} == {Unrecognized}
    whole = [e for e in outcome.events if isinstance(e, Unrecognized)]
    whole = [e for e in whole if not e.place.startswith("amazon-bedrock-")]
    frames = frames_of(response(file).body)
    assert len(whole) == len(frames)
    outcome = alike(ask(), response(file)).refused_by(Truncated)
    assert outcome.events == [
        Unrecognized(frame.payload, str(frame.headers[":event-type"])) for frame in frames
    ]


# Documents


@pytest.mark.parametrize("file", WHOLES)
def test_a_whole_answer(file: str) -> None:
    value = json.loads(response(file).body)
    for how in (True, False):
        if "output" in value:
            reply = alike(ask(how), response(file)).succeeded().reply
            blocks = value["output"]["message"]["content"]
            assert reply.text == "".join(block.get("text", "") for block in blocks)
            calls = [block["toolUse"] for block in blocks if "toolUse" in block]
            told = [(c.id, c.name, json.loads(c.arguments)) for c in reply.tool_calls]
            assert told == [(c["toolUseId"], c["name"], c["input"]) for c in calls]
            assert reply.finish_reason == value["stopReason"]
            assert reply.usage is not None
            assert reply.usage.raw == {**value["usage"], "metrics": value["metrics"]}
        elif "content" in value:
            reply = alike(invoke(how), response(file)).succeeded().reply
            assert (reply.id, reply.text) == (value["id"], value["content"][0]["text"])
        else:  # Titan's
            alike(invoke(how), response(file)).refused_by(UnexpectedContent)


@pytest.mark.parametrize("file", REFUSALS)
def test_an_error(file: str) -> None:
    refused = response(file)
    kind = {400: BadRequest, 403: AuthenticationFailed}[refused.status]
    words = json.loads(refused.body)["message"]
    for exchange in (ask(), invoke()):
        outcome = alike(exchange, refused).refused_by(kind, words)
        assert isinstance(outcome.error, Refused)
        assert outcome.error.status == refused.status


def test_there_are_sources() -> None:
    found = [
        event
        for file in CONVERSE
        for event in drive(ask(), response(file)).events
        if isinstance(event, Citation)
    ]
    assert [citation.title for citation in found] == ["facts", "company_policy", "company_policy"]
