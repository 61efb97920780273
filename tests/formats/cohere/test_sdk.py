"""The vendor's own clients against our server half: the Python SDK, and the one for node if node is
there."""

import json
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cohere
import httpx
import pytest

from tests.node import needs_node, npm_package, run_script
from tokenwire import (
    Chat,
    Citation,
    ContentFiltered,
    End,
    Event,
    Finish,
    LogProbs,
    Native,
    Overloaded,
    RateLimited,
    Reasoning,
    ReasoningPart,
    Start,
    Text,
    TextPart,
    TokenLogProb,
    Tool,
    ToolCall,
    ToolCallDelta,
    ToolCallEnd,
    ToolCallStart,
    Unrecognized,
    Usage,
)
from tokenwire.server import serve
from tokenwire.server.embedded import Server
from tokenwire.server.faults import CloseAfter

SAID = "I will\x85read\u2028it\u2029\U0001f600."
PLAN = Native("cohere", b'{"tool_plan":"I look."}', 2)
ARGUMENTS = '{"path": "a\x85.txt"}'
QUESTION: Any = [{"role": "user", "content": "Which file?"}]
TOOL: Any = {
    "type": "function",
    "function": {
        "name": "read",
        "description": "reads",
        "parameters": {"type": "object", "properties": {"path": {"type": "string"}}},
    },
}
HOW: Any = {"model": "command-a-03-2025", "tools": [TOOL]}


def answer(chat: Chat) -> Iterator[Event]:
    """Thinks, cites, plans and calls a tool; after its result, it says so; or it breaks down."""
    last = chat.messages[-1]
    yield Start("", chat.model)
    if last.role == "tool":
        (assistant,) = (m for m in chat.messages if m.role == "assistant")
        assert assistant.parts[:4] == (
            *(ReasoningPart("I think."), TextPart(SAID)),
            ReasoningPart("I look.", Native("cohere", PLAN.raw)),
            ToolCall("c", "read", ARGUMENTS),
        )
        yield Text(f"The file says {last.text}.")
        yield Usage(40, 7)
        yield Finish("COMPLETE", "stop")
    elif last.text == "break":
        yield Text("so")
        raise Overloaded("it broke down")
    else:
        yield Reasoning("I ")
        yield Reasoning("think.")
        for piece in (SAID[:7], SAID[7:]):
            yield Text(piece, part=1)
        yield LogProbs([TokenLogProb("I", -0.5)])
        yield Citation("https://a.example", "A", "d", "so it is", 0, 6, 1)
        yield Reasoning("I look.", part=2)
        yield PLAN
        yield ToolCallStart(0, "c", "read", part=3)
        for piece in (ARGUMENTS[:5], ARGUMENTS[5:]):
            yield ToolCallDelta(0, piece)
        yield Usage(30, 20, cache_read_input_tokens=10, reasoning_output_tokens=5)
        yield ToolCallEnd(0, "c", "read", ARGUMENTS, True)
        yield Finish("TOOL_CALL", "tool_call")
    yield End("terminator")


@pytest.fixture
def server() -> Generator[Server]:
    with serve("cohere", answer, key="sesame") as running:
        yield running


@contextmanager
def client(server: Server, key: str = "sesame") -> Generator[Any]:
    with httpx.Client(trust_env=False) as http:
        yield cohere.ClientV2(
            api_key=key,
            base_url=server.url,
            httpx_client=http,
            max_retries=0,
            log_warning_experimental_features=False,
        )


def result_of(message: Any) -> Any:
    """The conversation, with the answer sent back as the SDK holds it."""
    result = {"role": "tool", "tool_call_id": "c", "content": "forty-two"}
    return [*QUESTION, message, result]


def test_chat(server: Server) -> None:
    with client(server) as asking:
        first = asking.chat(messages=QUESTION, logprobs=True, **HOW)
        thought, text = first.message.content
        assert (thought.type, thought.thinking) == ("thinking", "I think.")
        assert (text.type, text.text, first.message.tool_plan) == ("text", SAID, "I look.")
        (call,) = first.message.tool_calls
        assert (call.id, call.type, call.function.name) == ("c", "function", "read")
        assert call.function.arguments == ARGUMENTS
        (cited,) = first.message.citations
        assert (cited.start, cited.end, cited.content_index) == (0, 6, 1)
        assert cited.sources[0].document["title"] == "A"
        assert (first.finish_reason, first.id) == ("TOOL_CALL", "chat_1")
        assert (first.usage.tokens.input_tokens, first.usage.billed_units.output_tokens) == (30, 20)
        assert first.usage.cached_tokens == 10
        assert first.logprobs[0].text == "I"
        second = asking.chat(messages=result_of(first.message), **HOW)
        assert second.message.content[0].text == "The file says forty-two."


def test_chat_stream(server: Server) -> None:
    with client(server) as asking:
        events = list(asking.chat_stream(messages=QUESTION, **HOW))
        message = folded(events)
        again = asking.chat_stream(messages=result_of(message), **HOW)
        text = text_of(again)
    assert message == {
        "role": "assistant",
        "content": [{"type": "thinking", "thinking": "I think."}, {"type": "text", "text": SAID}],
        "tool_plan": "I look.",
        "tool_calls": [
            {
                "id": "c",
                "type": "function",
                "function": {"name": "read", "arguments": ARGUMENTS},
            }
        ],
    }
    assert text == "The file says forty-two."
    (citation,) = (e.delta.message.citations for e in events if e.type == "citation-start")
    assert (citation.start, citation.end, citation.sources[0].id) == (0, 6, "d")
    last = events[-1]
    assert (last.type, last.delta.finish_reason) == ("message-end", "TOOL_CALL")
    assert last.delta.usage.tokens.output_tokens == 20


def text_of(events: Any) -> str:
    return "".join(e.delta.message.content.text for e in events if e.type == "content-delta")


def folded(events: Any) -> Any:
    """The message that a stream of the SDK's events is."""
    contents: dict[int, Any] = {}
    calls: dict[int, Any] = {}
    message: dict[str, Any] = {"role": "assistant"}
    for event in events:
        said: Any = getattr(getattr(event, "delta", None), "message", None)
        match event.type:
            case "content-start":
                contents[event.index] = {"type": said.content.type, said.content.type: ""}
            case "content-delta":
                kind = contents[event.index]["type"]
                if (piece := getattr(said.content, kind)) is not None:
                    contents[event.index][kind] += piece
            case "tool-plan-delta":
                message["tool_plan"] = message.get("tool_plan", "") + said.tool_plan
            case "tool-call-start":
                calls[event.index] = said.tool_calls.dict()
            case "tool-call-delta":
                function = calls[event.index]["function"]
                function["arguments"] += said.tool_calls.function.arguments
            case _:
                pass
    return {**message, "content": list(contents.values()), "tool_calls": list(calls.values())}


def test_what_may_be_asked() -> None:
    """All that the SDK can say arrives."""
    asked: list[Chat] = []

    def remember(chat: Chat) -> str:
        asked.append(chat)
        return "yes"

    with serve("cohere", remember) as server, client(server) as asking:
        asking.chat(
            messages=[{"role": "system", "content": "s"}, *QUESTION],
            **{**HOW, "tool_choice": "REQUIRED", "strict_tools": True},
            p=0.5,
            k=3,
            stop_sequences=["x"],
            temperature=0.1,
            max_tokens=7,
            seed=1,
            frequency_penalty=0.2,
            presence_penalty=0.3,
            priority=3,
            response_format={"type": "json_object", "json_schema": {"type": "object"}},
            thinking={"type": "enabled", "token_budget": 9},
            documents=[{"id": "d", "data": {"text": "a"}}],
            citation_options={"mode": "FAST"},
            safety_mode="STRICT",
        )
    (chat,) = asked
    function = TOOL["function"]
    assert chat.tools == (Tool("read", "reads", function["parameters"], strict=True),)
    assert (chat.tool_choice, chat.top_p, chat.top_k, chat.stop) == ("required", 0.5, 3, ("x",))
    assert (chat.effort, chat.schema, chat.stream) == ("high", {"type": "object"}, False)
    assert chat.extra == {
        "thinking": {"token_budget": 9},
        "documents": [{"id": "d", "data": {"text": "a"}}],
        "citation_options": {"mode": "FAST"},
        "safety_mode": "STRICT",
        "priority": 3,
    }


def test_what_is_beside_the_chat(server: Server) -> None:
    with client(server) as asking:
        names = [model.name for model in asking.models.list(endpoint="chat").models]
        assert "command-a-03-2025" in names
        assert asking.models.get("command-a-03-2025").endpoints == ["chat"]


def test_events_that_the_sdk_does_not_know() -> None:
    """It goes on, and so it does after a comment."""

    def says(chat: Chat) -> list[Event]:
        unknown = Unrecognized(b'{"type":"debug-new","x":1}')
        return [Text("a"), unknown, Text("b"), Finish("COMPLETE", "stop"), End("terminator")]

    with serve("cohere", says) as server, client(server) as asking:
        events = list(asking.chat_stream(messages=QUESTION, **HOW))
    assert text_of(events) == "ab"


def test_errors(server: Server) -> None:
    with client(server, "wrong") as asking, pytest.raises(cohere.UnauthorizedError) as caught:
        asking.chat(messages=QUESTION, **HOW)
    assert "the API key is missing or wrong" in str(caught.value.body)
    with client(server) as asking:
        with pytest.raises(cohere.BadRequestError) as refused:
            asking.chat(messages=[{"role": "robot", "content": "a"}], **HOW)
        assert "robot" in str(refused.value.body)


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (RateLimited("no"), cohere.TooManyRequestsError),
        (Overloaded("no"), cohere.ServiceUnavailableError),
        (ContentFiltered("no"), cohere.InvalidTokenError),  # that is its name for 498
    ],
)
def test_a_refusal(error: Any, kind: Any, stream: bool) -> None:
    def refuses(chat: Chat) -> Iterator[Event]:
        raise error
        yield

    refused = pytest.raises(kind)
    with serve("cohere", refuses) as server, client(server) as asking, refused as caught:
        ask = asking.chat_stream if stream else asking.chat
        list(ask(messages=QUESTION, **HOW))
    body = caught.value.body
    assert (body["message"], body["id"]) == ("no", caught.value.headers["x-debug-trace-id"])


def test_an_error_amid_the_answer(server: Server) -> None:
    messages: Any = [{"role": "user", "content": "break"}]
    with client(server) as asking:
        events = list(asking.chat_stream(messages=messages, **HOW))
    last = events[-1].delta
    said = (text_of(events), last.finish_reason, last.error)
    assert said == ("so", "ERROR", "it broke down")


def test_a_cut_stream_is_told_by_the_connection() -> None:
    """As the SDK does not miss the end."""
    cut = pytest.raises(httpx.RemoteProtocolError)
    with (
        serve("cohere", answer, faults=[CloseAfter(900)]) as server,
        client(server) as asking,
        cut,
    ):
        list(asking.chat_stream(messages=QUESTION, **HOW))


# The SDK for node

VERSION = "8.1.0"
SCRIPT = Path(__file__).with_name("sdk.mjs")


@needs_node
def test_the_sdk_for_node(server: Server) -> None:
    said = run_script(SCRIPT, npm_package("cohere-ai", VERSION), server.url, "sesame")
    assert said["whole"] == said["streamed"]
    thought, text = said["whole"]["content"]
    assert (thought["thinking"], text["text"]) == ("I think.", SAID)
    assert said["whole"]["toolPlan"] == "I look."
    (call,) = said["whole"]["toolCalls"]
    assert json.loads(call["function"]["arguments"]) == {"path": "a\x85.txt"}
    assert said["reason"] == "TOOL_CALL"
    assert said["second"] == "The file says forty-two."
    assert "command-a-03-2025" in said["models"]
    assert said["wrong"] == 401
    assert said["broken"] == ["so", "it broke down"]
