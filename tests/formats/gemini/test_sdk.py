"""The vendor's own clients against our server half: the Python SDK, and the one for node if node is
there."""

import json
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from google import genai
from google.genai import errors, types

from tests.node import needs_node, npm_package, run_script
from tokenwire import (
    Chat,
    Citation,
    ContentFiltered,
    End,
    Event,
    Finish,
    Image,
    Native,
    Overloaded,
    RateLimited,
    Reasoning,
    Start,
    Text,
    ToolCallDelta,
    ToolCallEnd,
    ToolCallStart,
    Usage,
)
from tokenwire.server import serve
from tokenwire.server.embedded import Server

MODEL = "gemini-2.5-flash"
SIGNATURE = b"\xfb\xff\xfe signed"
SIGNED: Any = {
    "functionCall": {"id": "c-7", "name": "read", "args": {"path": "a.txt"}},
    "thoughtSignature": "+//+IHNpZ25lZA==",
}
CODE: Any = {"executableCode": {"language": "PYTHON", "code": "print(1)"}}
RESULT: Any = {"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "1\n"}}
TOOL: Any = {
    "name": "read",
    "description": "reads",
    "parameters_json_schema": {"type": "object", "properties": {"path": {"type": "string"}}},
}
HOW: Any = {
    "tools": [{"function_declarations": [TOOL]}],
    "system_instruction": "be brief",
    "top_k": 3,
    "thinking_config": {"include_thoughts": True},
    # Else the SDK calls functions by itself, and says so each time.
    "automatic_function_calling": {"disable": True},
}


def native(value: Any, part: int) -> Native:
    return Native("gemini", json.dumps(value).encode(), part)


def answer(chat: Chat) -> Iterator[Event]:
    """Thinks, runs code and calls a tool; after its result, it says so."""
    last = chat.messages[-1]
    yield Start("", chat.model)
    if last.text == "Break!":
        yield Text("so")
        raise RateLimited("it broke down")
    if last.role == "tool":
        (assistant,) = (m for m in chat.messages if m.role == "assistant")
        natives = [json.loads(p.native.raw) for p in assistant.parts if p.native is not None]
        assert natives == [CODE, RESULT, SIGNED]
        assert (last.tool_call_id, last.name) == ("c-7", "read")
        yield Text(f"The file says {last.text}.")
        yield Usage(40, 7)
        yield Finish("STOP", "stop")
    else:
        yield Reasoning("I look.")
        yield Text("I will ", part=1)
        yield Text("read it.", part=1)
        yield native(CODE, 2)
        yield native(RESULT, 3)
        yield native(SIGNED, 4)
        yield ToolCallStart(0, "c-7", "read", part=4)
        yield ToolCallDelta(0, '{"path": "a.txt"}')
        yield Citation("https://a.example", "A", start=2, end=6, part=1)
        yield Usage(30, 20, cache_read_input_tokens=10, reasoning_output_tokens=5)
        yield ToolCallEnd(0, "c-7", "read", '{"path": "a.txt"}', True)
        yield Finish("STOP", "tool_call")
    yield End("terminator")


@pytest.fixture
def server() -> Generator[Server]:
    with serve("gemini", answer, key="sesame") as running:
        yield running


@contextmanager
def client(server: Server, **how: Any) -> Generator[Any]:
    options = {"base_url": server.url, **how.pop("http_options", {})}
    known: Any = {"api_key": "sesame", "http_options": options, **how}
    with genai.Client(**known) as asking:
        yield asking


def check_first(parts: list[Any], last: Any) -> None:
    thought, *texts, code, result, call = [p for p in parts if p.text != ""]
    assert (thought.text, thought.thought) == ("I look.", True)
    assert "".join(part.text for part in texts) == "I will read it."
    assert (code.executable_code.code, code.executable_code.language) == ("print(1)", "PYTHON")
    assert (result.code_execution_result.outcome, result.code_execution_result.output) == (
        *("OUTCOME_OK", "1\n"),
    )
    function = call.function_call
    assert (function.id, function.name, function.args) == ("c-7", "read", {"path": "a.txt"})
    assert call.thought_signature == SIGNATURE
    [candidate] = last.candidates
    assert candidate.finish_reason == types.FinishReason.STOP
    [source] = candidate.grounding_metadata.grounding_chunks
    assert (source.web.uri, source.web.title) == ("https://a.example", "A")
    [support] = candidate.grounding_metadata.grounding_supports
    segment = support.segment
    assert (segment.start_index, segment.end_index, segment.text) == (2, 6, "will")
    assert support.grounding_chunk_indices == [0]
    usage = last.usage_metadata
    counts = (usage.prompt_token_count, usage.candidates_token_count, usage.thoughts_token_count)
    assert counts == (30, 15, 5)
    assert (usage.total_token_count, usage.cached_content_token_count) == (50, 10)
    assert last.model_version == MODEL
    assert last.response_id.startswith("resp_")


def conversation(parts: list[Any]) -> list[Any]:
    """With the answer sent back as the SDK holds it, and a result."""
    result = types.Part.from_function_response(name="read", response={"output": "forty-two"})
    assert result.function_response is not None
    result.function_response.id = "c-7"
    return [
        types.UserContent("Which file?"),
        types.ModelContent(parts),
        types.Content(role="user", parts=[result]),
    ]


def test_a_stream_with_a_tool_and_thinking(server: Server) -> None:
    with client(server) as asking:
        ask = asking.models.generate_content_stream
        chunks = list(ask(model=MODEL, contents="Which file?", config=HOW))
        parts = [part for each in chunks for part in each.candidates[0].content.parts]
        check_first(parts, chunks[-1])
        again = list(ask(model=MODEL, contents=conversation(parts), config=HOW))
    text = "".join(part.text for each in again for part in each.candidates[0].content.parts)
    assert text == "The file says forty-two."
    assert again[-1].response_id != chunks[-1].response_id


def test_a_whole_answer_with_a_tool_and_thinking(server: Server) -> None:
    with client(server) as asking:
        first = asking.models.generate_content(model=MODEL, contents="Which file?", config=HOW)
        parts = first.candidates[0].content.parts
        check_first(parts, first)
        second = asking.models.generate_content(
            model=MODEL, contents=conversation(parts), config=HOW
        )
    assert second.text == "The file says forty-two."


def test_what_is_asked(server: Server) -> None:
    """The SDK mixes both spellings, and writes whole numbers as floats."""
    asked: list[Chat] = []

    def notes(chat: Chat) -> str:
        asked.append(chat)
        return "{}"

    picture = types.Part.from_bytes(data=b"\xfb\xff", mime_type="image/png")
    config = {
        "top_k": 40.0,
        "response_mime_type": "application/json",
        "response_json_schema": {"type": "object"},
        "thinking_config": {"thinking_level": "low"},
        "service_tier": "flex",
        "stop_sequences": ["END"],
    }
    with serve("gemini", notes) as open_server, client(open_server) as asking:
        asking.models.generate_content(model=MODEL, contents=["hi", picture], config=config)
    [chat] = asked
    assert chat.messages[0].text == "hi"
    assert getattr(chat.messages[0].parts[1], "url", "") == "data:image/png;base64,+/8="
    assert (chat.top_k, chat.schema, chat.effort) == (40, {"type": "object"}, "low")
    assert (chat.stop, chat.extra) == (("END",), {"serviceTier": "flex"})


def test_several_candidates_and_a_picture() -> None:
    def draws(chat: Chat) -> Iterator[Event]:
        assert chat.n == 2
        yield Image(b"\x89PNG", "image/png")
        yield Text("b", index=1)
        yield Finish("MAX_TOKENS", "length", index=1)
        yield End("terminator")

    with serve("gemini", draws) as server, client(server) as asking:
        said = asking.models.generate_content(
            model=MODEL, contents="hi", config={"candidate_count": 2}
        )
    one, two = said.candidates
    assert one.content.parts[0].inline_data.data == b"\x89PNG"
    assert (two.content.parts[0].text, two.finish_reason) == ("b", types.FinishReason.MAX_TOKENS)


def test_what_is_beside_the_chat(server: Server) -> None:
    with client(server) as asking:
        assert asking.models.count_tokens(model=MODEL, contents="Which file?").total_tokens > 0
        assert f"models/{MODEL}" in [model.name for model in asking.models.list()]
        assert asking.models.get(model=MODEL).display_name == MODEL


def test_each_place_of_a_key(server: Server) -> None:
    for headers in ({"x-goog-api-key": "sesame"}, {"authorization": "Bearer sesame"}):
        with client(server, api_key="wrong", http_options={"headers": headers}) as asking:
            asking.models.get(model=MODEL)
    with (
        client(server, api_key="wrong") as asking,
        pytest.raises(errors.ClientError, match="the API key is missing or wrong") as caught,
    ):
        asking.models.get(model=MODEL)
    assert caught.value.code == 401


def test_errors(server: Server) -> None:
    with client(server) as asking:
        with pytest.raises(errors.ClientError, match="contents is not specified") as caught:
            asking.models.generate_content(model=MODEL, contents=[types.Content(role="user")])
        assert (caught.value.code, caught.value.status) == (400, "INVALID_ARGUMENT")
        with pytest.raises(errors.ClientError) as missing:
            asking.models.embed_content(model=MODEL, contents="hi")
        assert missing.value.code == 404


@pytest.mark.parametrize(("error", "code"), [(RateLimited("slow"), 429), (Overloaded("full"), 503)])
def test_refusals(error: Any, code: int) -> None:
    def refuses(chat: Chat) -> Iterator[Event]:
        raise error
        yield

    once = {"retry_options": {"attempts": 1}}
    with (
        serve("gemini", refuses) as server,
        client(server, http_options=once) as asking,
        pytest.raises(errors.APIError) as caught,
    ):
        asking.models.generate_content(model=MODEL, contents="hi")
    assert caught.value.code == code


def test_an_error_amid_the_answer(server: Server) -> None:
    with client(server) as asking:
        stream = asking.models.generate_content_stream(model=MODEL, contents="Break!")
        assert next(stream).text == "so"
        with pytest.raises(errors.ClientError, match="it broke down") as caught:
            list(stream)
    assert caught.value.code == 429


def test_a_blocked_prompt() -> None:
    def blocks(chat: Chat) -> Iterator[Event]:
        raise ContentFiltered("no", code="SAFETY")
        yield

    with serve("gemini", blocks) as server, client(server) as asking:
        whole = asking.models.generate_content(model=MODEL, contents="hi")
        [chunk] = asking.models.generate_content_stream(model=MODEL, contents="hi")
    for said in (whole, chunk):
        assert said.prompt_feedback.block_reason == types.BlockedReason.SAFETY
        assert not said.candidates


# The SDK for node


@needs_node
def test_the_sdk_for_node(server: Server) -> None:
    home = npm_package("@google/genai", "3.3.0")
    said = run_script(Path(__file__).with_name("sdk.mjs"), home, server.url, "sesame")
    *parts, _ = said["first"]["parts"]
    thought = {"text": "I look.", "thought": True}
    assert parts == [
        *(thought, {"text": "I will "}, {"text": "read it."}, CODE, RESULT, SIGNED),
    ]
    assert said["created"] == [thought, {"text": "I will read it."}, CODE, RESULT, SIGNED]
    assert said["first"]["finish"] == "STOP"
    assert said["first"]["usage"]["totalTokenCount"] == 50
    assert said["second"] == "The file says forty-two."
    assert said["tokens"] > 0
    assert f"models/{MODEL}" in said["models"]
    assert said["wrong"] == 401
    assert said["amid"]["name"] == "ApiError"
    assert "it broke down" in said["amid"]["message"]
