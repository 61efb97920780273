"""The vendor's own clients against our server half: the Python one, and the one for node if node is
there."""

import json
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import httpx
import ollama
import pytest

from tests.node import needs_node, npm_package, run_script
from tokenwire import (
    Chat,
    End,
    Event,
    Finish,
    ImagePart,
    LogProbs,
    Overloaded,
    RateLimited,
    Reasoning,
    ReasoningPart,
    Start,
    Text,
    TokenLogProb,
    ToolCallDelta,
    ToolCallEnd,
    ToolCallStart,
    Usage,
)
from tokenwire.server import serve
from tokenwire.server.embedded import Server
from tokenwire.server.faults import CloseAfter

SAID = "I will\x85read\u2028it\u2029\U0001f600."
QUESTION: Any = [{"role": "user", "content": "Which file?"}]
ARGUMENTS = '{"path": "a\x85.txt"}'


def answer(chat: Chat) -> Iterator[Event]:
    """Thinks and calls a tool; after its result, it says so; or it breaks down."""
    last = chat.messages[-1]
    yield Start("", chat.model)
    if last.role == "tool":
        (assistant,) = (m for m in chat.messages if m.role == "assistant")
        thought, text, call = assistant.parts
        assert (thought, assistant.text) == (ReasoningPart("I look."), SAID)
        assert json.loads(assistant.tool_calls[0].arguments) == {"path": "a\x85.txt"}
        assert (last.name, text, call) == ("read", *assistant.parts[1:])
        yield Text(f"The file says {last.text}.")
        yield Usage(40, 7)
        yield Finish("stop", "stop")
    elif last.text == "break":
        yield Text("so")
        raise Overloaded("it broke down")
    else:
        yield Reasoning("I ")
        yield Reasoning("look.")
        for piece in (SAID[:7], SAID[7:]):
            yield Text(piece, part=1)
        yield LogProbs([TokenLogProb("I", -0.5, None, [TokenLogProb("I", -0.5)])])
        yield ToolCallStart(0, "", "read", part=2)
        yield ToolCallDelta(0, ARGUMENTS)
        yield Usage(30, 20, cache_read_input_tokens=10)
        yield ToolCallEnd(0, "", "read", ARGUMENTS, True)
        yield Finish("stop", "tool_call")
    yield End("terminator")


@pytest.fixture
def server() -> Generator[Server]:
    with serve("ollama", answer, key="sesame") as running:
        yield running


@pytest.fixture
def asking(server: Server) -> Generator[Any]:
    with client(server) as found:
        yield found


def client(server: Server, key: str = "sesame") -> Any:  # its overloads name what is unknown
    headers = {"authorization": f"Bearer {key}"}
    return ollama.Client(server.url, headers=headers, trust_env=False)


def read(path: str) -> str:
    """Read a file.

    Args:
      path: where it is
    """
    return path


HOW: Any = {"model": "m", "tools": [read], "think": True}


def check_call(calls: Any) -> None:
    (call,) = calls
    assert (call.function.name, call.function.arguments) == ("read", {"path": "a\x85.txt"})


def result_of(message: dict[str, Any]) -> Any:
    """The conversation, with the answer sent back as the client holds it: it has no ids."""
    result = {"role": "tool", "content": "forty-two", "tool_name": "read"}
    return [*QUESTION, message, result]


def test_chat(asking: Any) -> None:
    first = asking.chat(messages=QUESTION, logprobs=True, **HOW)
    assert (first.message.content, first.message.thinking) == (SAID, "I look.")
    check_call(first.message.tool_calls)
    assert (first.done, first.done_reason, first.model) == (True, "stop", "m")
    assert (first.prompt_eval_count, first.eval_count) == (30, 20)
    assert first.logprobs is not None
    assert first.logprobs[0].token == "I"
    second = asking.chat(messages=result_of(first.message.model_dump()), **HOW)
    assert second.message.content == "The file says forty-two."


def test_stream(asking: Any) -> None:
    parts = list(asking.chat(messages=QUESTION, stream=True, **HOW))
    message: Any = {
        "role": "assistant",
        "content": "".join(part.message.content or "" for part in parts),
        "thinking": "".join(part.message.thinking or "" for part in parts),
        "tool_calls": [call for part in parts for call in part.message.tool_calls or ()],
    }
    assert (message["content"], message["thinking"]) == (SAID, "I look.")
    check_call(message["tool_calls"])
    assert [part.done for part in parts] == [*[False] * (len(parts) - 1), True]
    assert (parts[-1].prompt_eval_count, parts[-1].eval_count) == (30, 20)
    again = asking.chat(messages=result_of(message), stream=True, **HOW)
    assert "".join(part.message.content or "" for part in again) == "The file says forty-two."


def test_generate(asking: Any) -> None:
    whole = asking.generate("m", "Which file?", system="s")
    assert (whole.response, whole.thinking, whole.done_reason) == (SAID, "I look.", "stop")
    parts = list(asking.generate("m", "Which file?", stream=True))
    assert "".join(part.response or "" for part in parts) == SAID
    assert asking.generate("m").done_reason == "load"
    assert asking.generate("m", keep_alive=0).done_reason == "unload"


def test_what_may_be_asked() -> None:
    """All that the client can say arrives."""
    asked: list[Chat] = []

    def remember(chat: Chat) -> str:
        asked.append(chat)
        return "yes"

    with serve("ollama", remember) as server, client(server) as asking:
        asking.chat(
            "m",
            [{"role": "user", "content": "a", "images": [b"\x89PNG"]}],
            options={"temperature": 0.5, "num_ctx": 9, "num_predict": 7, "stop": ["x"]},
            format={"type": "object"},
            think="high",
            keep_alive="5m",
        )
    (chat,) = asked
    assert (chat.temperature, chat.max_tokens, chat.stop) == (0.5, 7, ("x",))
    assert (chat.schema, chat.effort, chat.stream) == ({"type": "object"}, "high", False)
    assert chat.extra == {"options": {"num_ctx": 9}, "keep_alive": "5m"}
    assert ImagePart("data:image/png;base64,iVBORw==") in chat.messages[0].parts


def test_what_is_beside_the_chat(asking: Any) -> None:
    listed = asking.list().models
    assert "gpt-oss:20b" in [model.model for model in listed]
    assert listed[0].modified_at is not None
    assert [model.model for model in asking.ps().models] == [model.model for model in listed]
    assert "tools" in (asking.show("m").capabilities or ())
    assert asking.pull("m").status == "success"
    assert [part.status for part in asking.pull("m", stream=True)] == ["success"]


def test_a_wrong_key(server: Server) -> None:
    refused = pytest.raises(ollama.ResponseError, match="the API key is missing or wrong")
    with client(server, "wrong") as asking, refused as caught:
        asking.list()
    assert caught.value.status_code == 401


def test_errors(asking: Any) -> None:
    with pytest.raises(ollama.ResponseError, match="a message's role is") as caught:
        asking.chat("m", [{"role": "robot", "content": "a"}])
    assert caught.value.status_code == 400


@pytest.mark.parametrize("stream", [True, False])
def test_a_refusal(stream: Any) -> None:
    def refuses(chat: Chat) -> Iterator[Event]:
        raise RateLimited("slow down")
        yield

    refused = pytest.raises(ollama.ResponseError, match="slow down")
    with serve("ollama", refuses) as server, client(server) as asking, refused as caught:
        list(asking.chat("m", QUESTION, stream=stream))
    assert caught.value.status_code == 429


def test_an_error_amid_the_answer(asking: Any) -> None:
    heard: list[str] = []
    broke = pytest.raises(ollama.ResponseError, match="it broke down")
    messages: Any = [{"role": "user", "content": "break"}]
    with broke:
        for part in asking.chat("m", messages, stream=True):
            heard.append(part.message.content or "")
    assert heard == ["so"]


def test_a_cut_stream_is_told_by_the_connection() -> None:
    """As the client does not miss the end."""
    cut = pytest.raises(httpx.RemoteProtocolError)
    with (
        serve("ollama", answer, faults=[CloseAfter(300)]) as server,
        client(server) as asking,
        cut,
    ):
        list(asking.chat(messages=QUESTION, stream=True, **HOW))


# The client for node

VERSION = "0.6.4"
SCRIPT = Path(__file__).with_name("sdk.mjs")


@needs_node
def test_the_client_for_node(server: Server) -> None:
    said = run_script(SCRIPT, npm_package("ollama", VERSION), server.url, "sesame")
    for message in (said["whole"], said["message"]):
        assert (message["content"], message["thinking"]) == (SAID, "I look.")
        (call,) = message["tool_calls"]
        assert call["function"]["arguments"] == {"path": "a\x85.txt"}
    for last in (said["last"], said["done"]):
        assert (last["done"], last["done_reason"], last["eval_count"]) == (True, "stop", 20)
    assert said["second"] == said["text"] == "The file says forty-two."
    assert said["generated"] == SAID
    assert "gpt-oss:20b" in said["models"]
    assert said["running"] == said["models"]
    assert "tools" in said["capabilities"]
    assert said["version"][0].isdecimal()
    assert said["wrong"] == "the API key is missing or wrong"
    assert said["broken"] == ["so", "it broke down"]
