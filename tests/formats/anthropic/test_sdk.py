"""The vendor's own clients against our server half: the Python SDK, and the one for node if node is
there. Both of the major version that sends the key as a Bearer token, and with `x-api-key`."""

import json
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anthropic
import httpx2
import pytest

from tests.node import needs_node, npm_package, run_script
from tokenwire import (
    Chat,
    Citation,
    End,
    Event,
    Finish,
    Native,
    Overloaded,
    RateLimited,
    Reasoning,
    Refusal,
    Start,
    Text,
    ToolCallDelta,
    ToolCallEnd,
    ToolCallStart,
    Usage,
)
from tokenwire.server import serve
from tokenwire.server.embedded import Server
from tokenwire.server.faults import CloseAfter

THOUGHT = b'{"type":"thinking","thinking":"I look.","signature":"c2lnbmVk"}'
HIDDEN = b'{"type":"redacted_thinking","data":"aGlkZGVu"}'
SEARCH = b'{"type":"server_tool_use","id":"srvtoolu_1","name":"web_search","input":{"query":"x"}}'
FOUND = b'{"type":"web_search_tool_result","tool_use_id":"srvtoolu_1","content":[]}'
QUESTION: Any = [{"role": "user", "content": "Which file?"}]
TOOL: Any = {
    "name": "read",
    "description": "reads",
    "input_schema": {"type": "object", "properties": {"path": {"type": "string"}}},
}

HOW: Any = {"model": "claude-haiku-4-5", "max_tokens": 100, "tools": [TOOL]}


def answer(chat: Chat) -> Iterator[Event]:
    """Thinks, searches, cites and calls a tool; after its result, it says so."""
    last = chat.messages[-1]
    yield Start("", chat.model)
    yield Usage(30, 1, cache_read_input_tokens=10, cache_write_input_tokens=5)
    if last.role == "tool":
        (assistant,) = (m for m in chat.messages if m.role == "assistant")
        natives = [json.loads(p.native.raw) for p in assistant.parts if p.native is not None]
        assert natives[:2] == [json.loads(THOUGHT), json.loads(HIDDEN)]
        yield Text(f"The file says {last.text}.")
        yield Usage(40, 7)
        yield Finish("end_turn", "stop")
    else:
        yield Reasoning("I ")
        yield Reasoning("look.")
        yield Native("anthropic", THOUGHT)
        yield Native("anthropic", HIDDEN, 1)
        yield Native("anthropic", SEARCH, 2)
        yield Native("anthropic", FOUND, 3)
        yield Citation("https://a.example", "A", quote="so it is", part=4)
        yield Text("I will ", part=4)
        yield Text("read it.", part=4)
        yield ToolCallStart(0, "toolu_7", "read", part=5)
        yield ToolCallDelta(0, '{"path":')
        yield ToolCallDelta(0, '"a.txt"}')
        yield Usage(30, 20, cache_read_input_tokens=10, cache_write_input_tokens=5)
        yield ToolCallEnd(0, "toolu_7", "read", '{"path":"a.txt"}', True)
        yield Finish("tool_use", "tool_call")
    yield End("terminator")


@pytest.fixture
def server() -> Generator[Server]:
    with serve("anthropic", answer, key="sesame") as running:
        yield running


@contextmanager
def client(server: Server, **how: Any) -> Generator[anthropic.Anthropic]:
    how = {"base_url": server.url, "api_key": "sesame", "max_retries": 0, **how}
    http = httpx2.Client(trust_env=False)
    with anthropic.Anthropic(http_client=http, **how) as asking:
        yield asking


def check_first(message: Any) -> None:
    thought, hidden, search, found, text, call = message.content
    assert (thought.thinking, thought.signature) == ("I look.", "c2lnbmVk")
    assert hidden.data == "aGlkZGVu"
    assert (search.type, search.input) == ("server_tool_use", {"query": "x"})
    assert found.type == "web_search_tool_result"
    assert text.text == "I will read it."
    assert [(c.url, c.cited_text) for c in text.citations] == [("https://a.example", "so it is")]
    assert (call.id, call.name, call.input) == ("toolu_7", "read", {"path": "a.txt"})
    assert message.stop_reason == "tool_use"
    assert message.usage.input_tokens == 15
    assert message.usage.cache_read_input_tokens == 10
    assert message.usage.output_tokens == 20
    assert message.id.startswith("msg_")


def check_second(message: Any, first: Any) -> None:
    assert message.content[0].text == "The file says forty-two."
    assert message.stop_reason == "end_turn"
    assert message.id != first.id, "clients join answers that have the same id"


def result_of(first: Any) -> Any:
    """The conversation, with the answer sent back as the SDK holds it."""
    result: Any = {"type": "tool_result", "tool_use_id": "toolu_7", "content": "forty-two"}
    content: Any = [block.model_dump(exclude_none=True) for block in first.content]
    return [
        *QUESTION,
        {"role": "assistant", "content": content},
        {"role": "user", "content": [result]},
    ]


def test_create_with_a_tool_and_thinking(server: Server) -> None:
    with client(server) as asking:
        create: Any = asking.messages.create  # its overloads don't know what is in HOW
        first = create(messages=QUESTION, **HOW)
        check_first(first)
        check_second(create(messages=result_of(first), **HOW), first)


def test_stream_with_a_tool_and_thinking(server: Server) -> None:
    with client(server) as asking:
        with asking.messages.stream(messages=QUESTION, **HOW) as stream:
            kinds = [event.type for event in stream]
            first = stream.get_final_message()
        check_first(first)
        assert {"thinking", "signature", "citation", "text", "input_json"} <= set(kinds)
        assert kinds[-1] == "message_stop"
        with asking.messages.stream(messages=result_of(first), **HOW) as stream:
            assert "".join(stream.text_stream) == "The file says forty-two."
            check_second(stream.get_final_message(), first)


def test_what_is_beside_the_chat(server: Server) -> None:
    with client(server) as asking:
        count = asking.messages.count_tokens(model="claude-haiku-4-5", messages=QUESTION)
        assert count.input_tokens > 0
        names = [model.id for model in asking.models.list()]
        assert "claude-haiku-4-5" in names
        assert asking.models.retrieve("claude-haiku-4-5").display_name == "claude-haiku-4-5"


def test_each_place_of_a_key(server: Server) -> None:
    for headers in ({"x-api-key": "sesame"}, {"authorization": "Bearer sesame"}):
        with client(server, default_headers=headers, api_key="wrong") as asking:
            asking.messages.create(messages=QUESTION, **HOW)
    refused = pytest.raises(anthropic.AuthenticationError, match="the API key is missing or wrong")
    with client(server, api_key="wrong") as asking, refused:
        asking.models.list()


def test_errors(server: Server) -> None:
    with client(server) as asking:
        with pytest.raises(anthropic.BadRequestError) as caught:
            asking.messages.create(messages=[], **HOW)
        assert (caught.value.request_id or "").startswith("req_")
        body: Any = caught.value.body
        assert body["error"]["type"] == "invalid_request_error"
        with pytest.raises(anthropic.NotFoundError):
            asking.get("/v1/nothing", cast_to=object)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (RateLimited("slow"), anthropic.RateLimitError),
        (Overloaded("full"), anthropic.APIStatusError),
    ],
)
def test_refusals(error: Any, kind: Any) -> None:
    def refuses(chat: Chat) -> Iterator[Event]:
        raise error
        yield

    refused = pytest.raises(kind)
    with serve("anthropic", refuses) as server, client(server) as asking, refused as caught:
        asking.messages.create(messages=QUESTION, **HOW)
    assert caught.value.status_code == (429 if kind is anthropic.RateLimitError else 529)


def test_an_error_amid_the_answer() -> None:
    def breaks(chat: Chat) -> Iterator[Event]:
        yield Text("so")
        raise Overloaded("it broke down")

    refused = pytest.raises(anthropic.APIStatusError, match="it broke down")
    with (
        serve("anthropic", breaks) as server,
        client(server) as asking,
        refused,
        asking.messages.stream(messages=QUESTION, **HOW) as stream,
    ):
        stream.until_done()


def test_a_refusal() -> None:
    def declines(chat: Chat) -> list[Event]:
        finish = Finish("refusal", "content_filter", "cyber")
        return [Refusal("I won't."), finish, End("terminator")]

    with serve("anthropic", declines) as server, client(server) as asking:
        create: Any = asking.messages.create
        message = create(messages=QUESTION, **HOW)
    assert message.stop_reason == "refusal"
    details = message.stop_details
    assert (details.category, details.explanation) == ("cyber", "I won't.")


def test_a_cut_stream_is_none_for_the_sdk_either() -> None:
    """It is told by the connection, as the SDK does not miss the end."""
    cut = pytest.raises((anthropic.APIConnectionError, httpx2.HTTPError))
    with (
        serve("anthropic", answer, faults=[CloseAfter(900)]) as server,
        client(server) as asking,
        cut,
        asking.messages.stream(messages=QUESTION, **HOW) as stream,
    ):
        stream.get_final_message()


# The SDK for node

VERSION = "1.14.0"
SCRIPT = Path(__file__).with_name("sdk.mjs")


@needs_node
@pytest.mark.parametrize("place", ["bearer", "x-api-key"])
def test_the_sdk_for_node(server: Server, place: str) -> None:
    said = run_script(
        SCRIPT, npm_package("@anthropic-ai/sdk", VERSION), server.url, "sesame", place
    )
    assert said["streamed"] == said["created"]
    assert [block["type"] for block in said["streamed"]] == [
        *("thinking", "redacted_thinking", "server_tool_use", "web_search_tool_result"),
        *("text", "tool_use"),
    ]
    assert said["streamed"][0]["signature"] == "c2lnbmVk"
    assert said["streamed"][-1]["input"] == {"path": "a.txt"}
    assert said["text"] == said["second"] == "The file says forty-two."
    assert said["tokens"] > 0
    assert "claude-haiku-4-5" in said["models"]
    assert said["wrong"] == 401
