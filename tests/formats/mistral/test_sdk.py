"""The vendor's own client against our server half."""

import json
from collections.abc import Generator, Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mistralai.client import Mistral, errors

from tokenwire import (
    PROVIDERS,
    BadRequest,
    Chat,
    End,
    Event,
    Finish,
    Native,
    Overloaded,
    RateLimited,
    Reasoning,
    Reply,
    Start,
    Text,
    ToolCallDelta,
    ToolCallEnd,
    ToolCallStart,
    Usage,
    as_chat,
)
from tokenwire.server import serve
from tokenwire.server.embedded import Server
from tokenwire.server.faults import EndAfter
from tokenwire.testing import answers, record

QUESTION: Any = [{"role": "user", "content": "Which file?"}]
TOOLS: Any = [{"type": "function", "function": {"name": "read", "parameters": {"type": "object"}}}]
ARGUMENTS = '{"path": "a.txt"}'
ID = "abc123XYZ"
REFERENCE = {"type": "reference", "reference_ids": [0, "a"]}


def answer(chat: Chat) -> Iterator[Event]:
    """Thinks and calls a tool; after its result, it says so; or it breaks down."""
    last = chat.messages[-1]
    yield Start("c-1", chat.model)
    if last.role == "tool":
        (assistant,) = (m for m in chat.messages if m.role == "assistant")
        assert (assistant.tool_calls[0].id, last.tool_call_id) == (ID, ID)
        yield Text(f"The file says {last.text}.")
        yield Native("mistral", json.dumps({"content": [REFERENCE]}).encode(), 1)
        yield Usage(40, 7)
        yield Finish("stop", "stop")
    elif last.text == "break":
        yield Text("so")
        raise Overloaded("it broke down")
    else:
        yield Reasoning("I ")
        yield Reasoning("look.")
        yield Text("I will ", 1)
        yield Text("read it.", 1)
        yield ToolCallStart(0, ID, "read", part=2)
        yield ToolCallDelta(0, ARGUMENTS[:5])
        yield ToolCallDelta(0, ARGUMENTS[5:])
        yield ToolCallEnd(0, ID, "read", ARGUMENTS, complete=True)
        yield Finish("tool_calls", "tool_call")
        yield Usage(20, 9)
    yield End("terminator")


@pytest.fixture
def server() -> Generator[Server]:
    with serve("mistral", answer, key="sesame") as server:
        yield server


def client(server: Server, key: str = "sesame") -> Any:
    return Mistral(api_key=key, server_url=server.url)


def collected(stream: Any) -> dict[str, Any]:
    """What the chunks say."""
    said: dict[str, Any] = {"text": "", "thinking": "", "calls": [], "references": []}
    with stream as events:
        for event in events:
            chunk = event.data
            if chunk.usage:
                said["usage"] = (chunk.usage.prompt_tokens, chunk.usage.completion_tokens)
            for choice in chunk.choices:
                content: Any = choice.delta.content
                if isinstance(content, str):
                    said["text"] += content
                    content = []
                for part in content or ():
                    if part.type == "thinking":
                        said["thinking"] += "".join(piece.text for piece in part.thinking)
                    else:
                        said["references"] += part.reference_ids
                said["calls"] += choice.delta.tool_calls or ()
                said["reason"] = choice.finish_reason or said.get("reason")
    return said


def test_a_tool_loop_in_whole_answers(server: Server) -> None:
    with client(server) as asking:
        first = asking.chat.complete(model="m", messages=QUESTION, tools=TOOLS)
        message = first.choices[0].message
        assert first.choices[0].finish_reason == "tool_calls"
        assert (first.usage.prompt_tokens, first.usage.completion_tokens) == (20, 9)
        thought, text = message.content
        assert thought.thinking[0].text == "I look."
        assert text.text == "I will read it."
        (call,) = message.tool_calls
        assert (call.id, call.function.name, call.function.arguments) == (ID, "read", ARGUMENTS)
        result = {"role": "tool", "name": "read", "content": "forty-two", "tool_call_id": call.id}
        second = asking.chat.complete(model="m", messages=[*QUESTION, message, result])
    said, reference = second.choices[0].message.content
    assert said.text == "The file says forty-two."
    assert reference.reference_ids == [0, "a"]


def test_streams(server: Server) -> None:
    with client(server) as asking:
        said = collected(asking.chat.stream(model="m", messages=QUESTION, tools=TOOLS))
        (call,) = said.pop("calls")
        assert (call.id, call.function.name, call.function.arguments) == (ID, "read", ARGUMENTS)
        assert said == {
            "text": "I will read it.",
            "thinking": "I look.",
            "references": [],
            "usage": (20, 9),
            "reason": "tool_calls",
        }
        assistant = {"role": "assistant", "content": "", "tool_calls": [call]}
        result = {"role": "tool", "name": "read", "content": "forty-two", "tool_call_id": call.id}
        messages = [*QUESTION, assistant, result]
        said = collected(asking.chat.stream(model="m", messages=messages))
    assert said["text"] == "The file says forty-two."
    assert (said["references"], said["reason"], said["usage"]) == ([0, "a"], "stop", (40, 7))


def test_what_may_be_asked() -> None:
    """All that the client can say arrives."""
    asked: list[Chat] = []

    def remember(chat: Chat) -> str:
        asked.append(chat)
        return "yes"

    messages = [*QUESTION, {"role": "assistant", "content": "So", "prefix": True}]
    with serve("mistral", remember) as server, client(server) as asking:
        asking.chat.complete(
            model="m",
            messages=messages,
            temperature=0.5,
            max_tokens=7,
            random_seed=3,
            stop=["x"],
            tool_choice="any",
            tools=TOOLS,
            parallel_tool_calls=False,
            reasoning_effort="high",
            response_format={"type": "json_object"},
            safe_prompt=True,
        )
    (chat,) = asked
    assert (chat.temperature, chat.max_tokens, chat.seed, chat.stop) == (0.5, 7, 3, ("x",))
    assert (chat.tool_choice, chat.parallel, chat.effort) == ("required", False, "high")
    assert (chat.schema, chat.stream, chat.extra["safe_prompt"]) == ({}, False, True)
    assert chat.messages[-1].text == "So"


def test_errors(server: Server) -> None:
    with client(server, "wrong") as asking, pytest.raises(errors.SDKError) as caught:
        asking.chat.complete(model="m", messages=QUESTION)
    assert caught.value.status_code == 401
    assert json.loads(caught.value.body)["detail"] == "the API key is missing or wrong"


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    ("error", "status"), [(RateLimited("slow down"), 429), (BadRequest("no such field"), 422)]
)
def test_refusals(error: Any, status: int, stream: bool) -> None:
    def refuses(chat: Chat) -> Iterator[Event]:
        error.status = status
        raise error
        yield

    with serve("mistral", refuses) as server, client(server) as asking:
        method = asking.chat.stream if stream else asking.chat.complete
        with pytest.raises((errors.MistralError, ValueError)) as caught:
            method(model="m", messages=QUESTION)
    assert error.message in str(getattr(caught.value, "body", caught.value))


def test_an_error_amid_the_answer(server: Server) -> None:
    messages: Any = [{"role": "user", "content": "break"}]
    heard: list[Any] = []

    def read(stream: Any) -> None:
        for event in stream:
            heard.append(event.data.choices[0].delta.content)

    with client(server) as asking:
        stream = asking.chat.stream(model="m", messages=messages)
        with pytest.raises(errors.MistralError):
            read(stream)
    assert heard[-1] == "so"


def test_a_truncated_stream_shows_what_it_read() -> None:
    """The client takes the end of the body for that of the answer."""
    chat = as_chat(QUESTION, model="m")
    pieces = record(PROVIDERS["mistral"], chat, list(answer(chat)))[-1].pieces
    size = sum(map(len, pieces[:3])) + 3 * len("179600000")  # the time is no 0 there
    with serve("mistral", answer, faults=[EndAfter(size)]) as server, client(server) as asking:
        said = collected(asking.chat.stream(model="m", messages=QUESTION))
    assert said["thinking"] == "I look."
    assert "usage" not in said


def test_the_models(server: Server) -> None:
    with client(server) as asking:
        assert "mistral-large-latest" in [model.id for model in asking.models.list().data]
        assert asking.models.retrieve(model_id="mistral-large-latest").capabilities.completion_chat


@settings(max_examples=20)
@given(data=st.data())
def test_it_reads_every_stream_that_is_written(data: st.DataObject) -> None:
    """Each chunk is one for its schema, and they say what was said."""
    from mistralai.client.models import CompletionChunk

    chat = as_chat("hi", model="m")
    said = data.draw(answers(PROVIDERS["mistral"], chat))
    body = record(PROVIDERS["mistral"], chat, said)[-1].body
    lines = [line.removeprefix(b"data: ") for line in body.split(b"\n\n")]
    text = ""
    for line in lines:
        if line.startswith(b'{"id"'):
            for choice in CompletionChunk.model_validate_json(line).choices:
                content = choice.delta.content
                text += content if isinstance(content, str) else ""
    reply = Reply.of(said)
    assert len(text) == len(reply.text) + len(reply.refusal)
