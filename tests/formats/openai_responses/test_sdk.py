"""The vendor's own clients against our server half: the Python SDK, and the one for node if node is
there. Their helpers for streams check each id, each number and the order of the events."""

import json
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest

from tests.node import needs_node, npm_package, run_script
from tokenwire import (
    Chat,
    Citation,
    End,
    Event,
    Finish,
    Image,
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

HIDDEN: Any = {"id": "rs_9", "type": "reasoning", "summary": [], "encrypted_content": "aGlkZGVu"}
SEARCH: Any = {
    "id": "ws_1",
    "type": "web_search_call",
    "status": "completed",
    "action": {"type": "search", "query": "x"},
}
QUESTION: Any = [{"role": "user", "content": "Which file?"}]
TOOL: Any = {
    "type": "function",
    "name": "read",
    "strict": False,
    "parameters": {"type": "object", "properties": {"path": {"type": "string"}}},
}
PATCH: Any = {"type": "custom", "name": "patch"}
MODEL = "gpt-6.1-terra"
HOW: Any = {"model": MODEL, "tools": [TOOL, PATCH], "store": False}


def native(item: Any) -> bytes:
    return json.dumps(item).encode()


def answer(chat: Chat) -> Iterator[Event]:
    """Thinks, searches, cites, paints and calls tools; after their results, it says so."""
    last = chat.messages[-1]
    yield Start("", chat.model)
    if last.text == "break":
        yield Text("so")
        raise Overloaded("it broke down")
    if last.role == "tool":
        said = [part for m in chat.messages if m.role == "assistant" for part in m.parts]
        natives = [json.loads(part.native.raw) for part in said if part.native is not None]
        assert HIDDEN in natives
        assert SEARCH in natives
        yield Text(f"The file says {last.text}.")
        yield Usage(40, 7)
        yield Finish("completed", "stop")
    else:
        yield Reasoning("I ")
        yield Reasoning("look.")
        yield Native("openai_responses", native(HIDDEN), 1)
        yield Native("openai_responses", native(SEARCH), 2)
        yield Text("I will ", part=3)
        yield Text("read it.", part=3)
        yield Citation("https://a.example", "A", start=0, end=6, part=3)
        yield Image(b"\x89PNG", "image/png", prompt="a file", part=4)
        yield ToolCallStart(0, "call_7", "read", part=5)
        yield ToolCallDelta(0, '{"path":')
        yield ToolCallDelta(0, '"a.txt"}')
        yield ToolCallStart(1, "call_8", "patch", custom=True, part=6)
        yield ToolCallDelta(1, "*** End")
        yield Usage(30, 20, cache_read_input_tokens=10, reasoning_output_tokens=5)
        yield ToolCallEnd(0, "call_7", "read", '{"path":"a.txt"}', True)
        yield ToolCallEnd(1, "call_8", "patch", "*** End", True, True)
        yield Finish("completed", "tool_call")
    yield End("terminator")


@pytest.fixture
def server() -> Generator[Server]:
    with serve("openai-responses", answer, key="sesame") as running:
        yield running


@contextmanager
def client(server: Server, **how: Any) -> Generator[openai.OpenAI]:
    how = {"base_url": server.url, "api_key": "sesame", "max_retries": 0, **how}
    with openai.OpenAI(http_client=httpx2.Client(trust_env=False), **how) as asking:
        yield asking


TYPES = [
    *("reasoning", "reasoning", "web_search_call", "message", "image_generation_call"),
    *("function_call", "custom_tool_call"),
]


def check_first(response: Any) -> None:
    assert [item.type for item in response.output] == TYPES
    thought, hidden, search, message, image, call, custom = response.output
    assert [part.text for part in thought.summary] == ["I look."]
    assert hidden.encrypted_content == "aGlkZGVu"
    assert search.action.query == "x"
    assert message.content[0].text == response.output_text == "I will read it."
    (cited,) = message.content[0].annotations
    assert (cited.url, cited.start_index, cited.end_index) == ("https://a.example", 0, 6)
    assert image.result == "iVBORw=="
    assert (call.call_id, call.name, call.arguments) == ("call_7", "read", '{"path":"a.txt"}')
    assert (custom.call_id, custom.input) == ("call_8", "*** End")
    assert response.status == "completed"
    assert response.usage.input_tokens == 30
    assert response.usage.input_tokens_details.cached_tokens == 10
    assert response.usage.output_tokens_details.reasoning_tokens == 5
    assert response.usage.total_tokens == 50
    assert response.id.startswith("resp_")


def check_second(response: Any, first: Any) -> None:
    assert response.output_text == "The file says forty-two."
    assert response.id != first.id


def result_of(first: Any) -> Any:
    """The conversation, with the answer sent back as the SDK holds it."""
    output = [item.model_dump(exclude_none=True) for item in first.output]
    patched = {"type": "custom_tool_call_output", "call_id": "call_8", "output": "done"}
    result = {"type": "function_call_output", "call_id": "call_7", "output": "forty-two"}
    return [*QUESTION, *output, patched, result]


def test_create_with_tools_and_thinking(server: Server) -> None:
    with client(server) as asking:
        create: Any = asking.responses.create  # its overloads don't know what is in HOW
        first = create(input=QUESTION, **HOW)
        check_first(first)
        check_second(create(input=result_of(first), **HOW), first)


def test_create_streamed(server: Server) -> None:
    with client(server) as asking:
        events: list[Any] = list(asking.responses.create(input=QUESTION, stream=True, **HOW))
    assert [event.sequence_number for event in events] == list(range(len(events)))
    deltas = [event.delta for event in events if event.type == "response.output_text.delta"]
    assert "".join(deltas) == "I will read it."
    check_first(events[-1].response)


def test_stream_with_tools_and_thinking(server: Server) -> None:
    with client(server) as asking:
        with asking.responses.stream(input=QUESTION, **HOW) as stream:
            kinds = [event.type for event in stream]
            first = stream.get_final_response()
        check_first(first)
        assert {"response.output_text.delta", "response.function_call_arguments.done"} <= set(kinds)
        assert kinds[-1] == "response.completed"
        with asking.responses.stream(input=result_of(first), **HOW) as stream:
            check_second(stream.get_final_response(), first)


def test_azure(server: Server) -> None:
    """Its SDK sends `api-key`, and a version."""
    how: Any = {"api_key": "sesame", "api_version": "2025-04-01-preview", "max_retries": 0}
    http = httpx2.Client(trust_env=False)
    base_url = server.url.replace("/v1", "/openai")
    with openai.AzureOpenAI(base_url=base_url, http_client=http, **how) as asking:
        check_first(asking.responses.create(input=QUESTION, **HOW))


def test_structured_output(server: Server) -> None:
    form: Any = {"type": "json_schema", "name": "n", "schema": {"type": "object"}, "strict": True}
    with client(server) as asking:
        asking.responses.create(input=QUESTION, text={"format": form}, **HOW)
        asking.responses.create(input=QUESTION, reasoning={"effort": "low"}, **HOW)


def test_what_is_beside_the_chat(server: Server) -> None:
    with client(server) as asking:
        assert asking.responses.input_tokens.count(model=MODEL, input="Hello").input_tokens > 0
        assert MODEL in [model.id for model in asking.models.list()]
        assert asking.models.retrieve(MODEL).id == MODEL


def test_errors(server: Server) -> None:
    with client(server) as asking:
        with pytest.raises(openai.BadRequestError) as caught:
            asking.responses.create(input=[], **HOW)
        assert (caught.value.request_id or "").startswith("req_")
        with pytest.raises(openai.BadRequestError, match="nothing is kept here"):
            asking.responses.create(input="hi", previous_response_id="resp_1", **HOW)
        with pytest.raises(openai.NotFoundError):
            asking.responses.retrieve("resp_1")
    refused = pytest.raises(openai.AuthenticationError, match="the API key is missing or wrong")
    with client(server, api_key="wrong") as asking, refused:
        asking.models.list()


@pytest.mark.parametrize(
    ("error", "kind"),
    [(RateLimited("slow"), openai.RateLimitError), (Overloaded("full"), openai.APIStatusError)],
)
def test_refusals(error: Any, kind: Any) -> None:
    def refuses(chat: Chat) -> Iterator[Event]:
        raise error
        yield

    refused = pytest.raises(kind)
    with serve("openai-responses", refuses) as server, client(server) as asking, refused as caught:
        asking.responses.create(input=QUESTION, **HOW)
    assert caught.value.status_code == (429 if kind is openai.RateLimitError else 503)


def test_an_error_amid_the_answer(server: Server) -> None:
    with client(server) as asking:
        with pytest.raises(openai.APIError, match="it broke down"):
            list(asking.responses.create(input="break", stream=True, **HOW))
        with (
            pytest.raises(openai.APIError, match="it broke down"),
            asking.responses.stream(input="break", **HOW) as stream,
        ):
            stream.get_final_response()


def test_a_refusal_and_an_incomplete_answer() -> None:
    def declines(chat: Chat) -> list[Event]:
        cut = Finish("max_output_tokens", "length")
        return [Refusal("I won't."), cut, End("terminator")]

    with serve("openai-responses", declines) as server, client(server) as asking:
        create: Any = asking.responses.create
        response = create(input=QUESTION, **HOW)
        *_, last = create(input=QUESTION, stream=True, **HOW)
    assert last.type == "response.incomplete"
    for told in (response, last.response):
        assert told.output[0].content[0].refusal == "I won't."
        assert told.status == "incomplete"
        assert told.incomplete_details.reason == "max_output_tokens"


def test_a_cut_stream_is_none_for_the_sdk_either() -> None:
    """It is told by the connection, and misses the end."""
    cut = pytest.raises((openai.APIConnectionError, httpx2.HTTPError, RuntimeError))
    with (
        serve("openai-responses", answer, faults=[CloseAfter(2000)]) as server,
        client(server) as asking,
        cut,
        asking.responses.stream(input=QUESTION, **HOW) as stream,
    ):
        stream.get_final_response()


# The SDK for node

VERSION = "7.59.0"
SCRIPT = Path(__file__).with_name("sdk.mjs")


@needs_node
def test_the_sdk_for_node(server: Server) -> None:
    said = run_script(SCRIPT, npm_package("openai", VERSION), server.url, "sesame")
    for output in (said["streamed"], said["created"]):
        assert [item["type"] for item in output] == TYPES
        assert output[1] == HIDDEN
        assert output[2] == SEARCH
        assert output[5]["arguments"] == '{"path":"a.txt"}'
    assert said["kinds"][-1] == "response.completed"
    assert said["text"] == said["second"] == said["azure"] == "The file says forty-two."
    assert MODEL in said["models"]
    assert said["wrong"] == 401
    assert "it broke down" in said["failed"]
