"""Recorded answers of OpenAI Responses."""

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
    Refused,
    RemoteProtocolError,
    Truncated,
)
from tokenwire.protocols.events import End
from tokenwire.protocols.exchange import Exchange
from tokenwire.protocols.formats.openai_responses.items import is_plain
from tokenwire.protocols.registry import PROVIDERS
from tokenwire.protocols.reply import Reply
from tokenwire.protocols.toolkit.json import is_object

CORPUS = corpus("openai-responses")
ROWS, STREAMS, WHOLES, REFUSALS = CORPUS.rows, CORPUS.streams, CORPUS.wholes, CORPUS.refusals
response = CORPUS.response

PROVIDER = PROVIDERS["openai-responses"]

FAIL: dict[str, type[RemoteProtocolError]] = {
    # An event of the realtime API, alone.
    "openai-php-client__Streams-ResponseRateLimitsUpdated__0.sse": Truncated,
    # `error`, then `response.failed`.
    "prism-php-prism__openai-stream-unknown-error-responses-1__0.sse": Refused,
}
"""The streams that are no success."""
DONE = [file for file in STREAMS if file not in FAIL]

SHORTENED = "vercel-ai__openai-responses-openai-shell-container.1__0.sse"
"""Of its text the deltas were shortened; what repeats them was not."""
PATCH = {"type": "custom", "name": "apply_patch"}
"""The tool of a recording with a custom call."""
OVER = ("response.completed", "response.incomplete")


def ask(file: str = "", **options: Any) -> Exchange:
    tools = [PATCH] if "custom_grammar" in file else []
    return PROVIDER.exchange(as_chat("hi", model="m", tools=tools, **options))


def payloads(body: bytes) -> list[tuple[int, Any]]:
    """The JSON of each `data:` line, and the place where the line ends."""
    found: list[tuple[int, Any]] = []
    for match in re.finditer(rb"(?m)^data:([^\r\n]*)", body):
        if match[1].strip() != b"[DONE]":
            found.append((match.end(), json.loads(match[1])))
    return found


def naive_items(file: str) -> list[Any]:
    """The items: those that are done, in the order in which they begin, or those of the end."""
    begun: list[int] = []
    finished: dict[int, Any] = {}
    last: list[Any] = []
    shortened = ""
    for _, value in payloads(response(file).body):
        place = value.get("output_index")
        if value["type"] == "response.output_item.added":
            begun.append(place)
        elif value["type"] == "response.output_item.done":
            if place is None:  # prism's
                place = begun[len(finished)]
            finished[place] = value["item"]
        elif file == SHORTENED and value["type"] == "response.output_text.delta":
            shortened += value["delta"]
        elif value["type"] in OVER:
            last = value["response"].get("output") or []
    if shortened:
        finished[begun[-1]]["content"][0]["text"] = shortened
    return [finished[place] for place in begun] or last


def texts(items: list[Any], kind: str, key: str) -> str:
    found: list[str] = []
    for item in items:
        parts: Any = item.get("content") or []
        found += [part[key] for part in parts if part["type"] == kind]
    return "".join(found)


def thoughts(items: list[Any]) -> str:
    found: list[str] = []
    for item in items:
        if item["type"] == "reasoning":
            parts: Any = item.get("summary") or item.get("content") or []
            found += [part["text"] for part in parts]
    return "".join(found)


def asked_again(file: str, reply: Reply, *, store: bool) -> Any:
    """The items of the answer in the next request."""
    tools = [PATCH] if "custom_grammar" in file else []
    chat = as_chat("hi", model="m", tools=tools, extra={"store": store}).then(reply, "And then?")
    request = PROVIDER.exchange(chat).next_request()
    assert request is not None
    return json.loads(request.body)["input"][1:-1]


def as_sent(file: str, items: list[Any], *, store: bool) -> list[Any]:
    """The items that go back: plain ones by what they say, all others as they came. Without a store
    a thought that is not encrypted can't be found again, and what follows it has no id."""
    sent: list[Any] = []
    found = True
    for item in items:
        kind = item["type"]
        if kind == "reasoning":
            found = store or bool(item.get("encrypted_content"))
            if found:
                sent.append(item)
        elif not is_plain(item) or (kind == "custom_tool_call" and "custom_grammar" not in file):
            bound = kind in ("message", "function_call") and not found
            sent.append({k: v for k, v in item.items() if k != "id" or not bound})
        elif kind == "message":
            text = texts([item], "output_text", "text") + texts([item], "refusal", "refusal")
            last: Any = sent[-1] if sent else {}
            if last.get("role") and "type" not in last:  # neighbours are one
                last["content"] += text
            elif text:
                sent.append({"role": "assistant", "content": text})
        else:
            key = "input" if kind == "custom_tool_call" else "arguments"
            sent.append({k: item[k] for k in ("type", "call_id", "name", key)})
    return sent


@pytest.mark.parametrize("file", STREAMS)
def test_stream(file: str) -> None:
    outcome = alike(ask(file), response(file))
    assert type(outcome.error) is FAIL.get(file, type(None))
    if file in FAIL:
        return
    reply = outcome.succeeded().reply
    items = naive_items(file)
    assert reply.text == texts(items, "output_text", "text")
    assert reply.refusal == texts(items, "refusal", "refusal")
    assert reply.reasoning == thoughts(items)
    calls = [item for item in items if item["type"] == "function_call"]
    ours = [(c.id, c.name, c.arguments) for c in reply.tool_calls if not c.custom]
    assert ours == [(c["call_id"], c["name"], c["arguments"]) for c in calls]
    assert all(call.complete for call in reply.tool_calls)
    if file == SHORTENED:
        assert reply.unrecognized.pop().place == "output[2].text"
    kinds = [json.loads(unknown.raw)["type"] for unknown in reply.unrecognized]
    assert set(kinds) <= {"response.image_generation_call.partial_image"}
    assert not any(unknown.place for unknown in reply.unrecognized)


@pytest.mark.parametrize("store", [True, False])
@pytest.mark.parametrize("file", DONE)
def test_turn_two(file: str, store: bool) -> None:
    """What the next request carries of the answer is what was recorded."""
    reply = drive(ask(file), response(file)).succeeded().reply
    items = as_sent(file, naive_items(file), store=store)
    if not items:
        return
    assert asked_again(file, reply, store=store) == items


def test_searches_of_xai_are_not_for_the_client_to_run() -> None:
    """They come as calls of custom tools, several open at once; their order is that in which they
    began."""
    file = "vercel-ai__xai-responses-xai-x-search-tool__0.sse"
    reply = drive(ask(file), response(file)).succeeded().reply
    assert not reply.tool_calls
    assert reply.finish_kind == "stop"
    kinds = [json.loads(native.raw)["type"] for native in reply.choices[0].natives]
    assert kinds == [*["custom_tool_call"] * 2, *["web_search_call"] * 4, "message"]


def test_turn_two_carries_what_is_encrypted() -> None:
    """The rows above are no tautology: there are signed parts among them."""
    encrypted = [
        item["encrypted_content"]
        for file in DONE
        for item in naive_items(file)
        if item.get("encrypted_content")
    ]
    assert len(encrypted) >= 10


@pytest.mark.parametrize("file", [f for f in DONE if ROWS[f]["oracle"]["terminal"]])
def test_stream_beside_the_sdk(file: str) -> None:
    reply = drive(ask(file), response(file)).succeeded().reply
    oracle = ROWS[file]["oracle"]
    assert reply.text == oracle["text_from_deltas"]
    assert reply.reasoning == oracle["reasoning_from_deltas"]
    told = oracle["terminal"]
    if file != SHORTENED and told["output_text"]:
        assert reply.text == told["output_text"]
    if told["function_calls"]:  # else the end has no output
        ours = [(c.name, c.arguments) for c in reply.tool_calls]
        assert ours == [(c["name"], c["arguments"]) for c in told["function_calls"]]
    assert reply.finish_reason == (told["incomplete"] or {"reason": told["status"]})["reason"]
    assert reply.usage is not None
    assert reply.usage.raw == told["usage"]


@pytest.mark.parametrize("file", DONE)
def test_names_and_what_follows_do_not_matter(file: str) -> None:
    """What an event is, its data says; after the end nothing is read."""
    named, bare = response(file), response(file)
    expected = drive(ask(file), named).what
    bare.body = re.sub(rb"(?m)^event:[^\r\n]*\r?\n", b"", named.body)
    assert drive(ask(file), bare).what == expected
    bare.body += b"data: [DONE]\n\n"
    assert drive(ask(file), bare).what == expected


@pytest.mark.parametrize("file", DONE)
def test_stream_cut_anywhere(file: str) -> None:
    """Before the end it is never a success, after it always."""
    whole = response(file)
    owed = next(place for place, value in payloads(whole.body) if value["type"] in OVER)
    for size in sizes_to_try(whole.body):
        for ending in ("eof", "disconnect"):
            cut = Response(whole.body[:size], whole.status, whole.headers, ending)
            outcome = drive(ask(file), cut)
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
    reply = alike(ask(stream=False), response(file)).succeeded().reply
    items = document["output"]
    assert (reply.id, reply.model) == (document["id"], document["model"])
    assert reply.finish_reason == document["status"]
    assert reply.text == texts(items, "output_text", "text")
    assert reply.reasoning == thoughts(items)
    assert reply.usage is not None
    assert reply.usage.raw == document["usage"]
    assert not reply.unrecognized
    for store in (True, False):
        assert asked_again(file, reply, store=store) == as_sent(file, items, store=store)


CLASSES: dict[int, type[Refused]] = {
    400: BadRequest,
    401: AuthenticationFailed,
    404: BadRequest,
    500: Refused,
}


@pytest.mark.parametrize("file", REFUSALS)
def test_error(file: str) -> None:
    refused = response(file)
    text = refused.body.decode().partition("data: ")[2].partition("\n")[0] or refused.body.decode()
    document = without_nothing(json.loads(text))
    error: Any = document.get("error")
    if is_object(error):
        error = error["message"]
    message: str = document.get("detail") or error
    outcome = alike(ask(), refused).refused_by(CLASSES[refused.status], redacted(message)[:200])
    assert isinstance(outcome.error, Refused)
    assert outcome.error.status == refused.status
    assert outcome.events == []
