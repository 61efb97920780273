"""The `openai` dialect against OpenAI's own SDK: the same bytes, the same answer.

The SDK reads them through its own client, from a stream of pieces in memory, or from the embedded
server's socket. What it makes of them is added up twice: by its own accumulator, where that can
follow, and plainly, chunk by chunk, as the API reference says. Where it is wrong, a table here says
so, and what it does: if another version does better, we shall notice.
"""

import json
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import httpx2
import openai
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.chat.chat_completion_token_logprob import ChatCompletionTokenLogprob

from tests.cutting import bytewise, cuts, whole
from tests.driving import JSON, SSE, Response, drive
from tokenwire.protocols.chat import Chat, as_chat
from tokenwire.protocols.errors import (
    Refused,
    Truncated,
    UnexpectedContent,
)
from tokenwire.protocols.events import (
    End,
    Event,
    Finish,
    Refusal,
    Start,
    Text,
    TokenLogProb,
    ToolCallDelta,
    ToolCallEnd,
    ToolCallStart,
    Usage,
)
from tokenwire.protocols.registry import PROVIDERS
from tokenwire.protocols.reply import Reply
from tokenwire.protocols.toolkit.http import Headers
from tokenwire.server import serve
from tokenwire.server.faults import Cutting
from tokenwire.transports.sync import Client

WRITTEN_FOR = "3.52.0"
"""The version of the SDK that the table of its faults was written for."""

Object: TypeAlias = dict[str, Any]


# What an answer is, for both


@dataclass
class Told:
    """What one choice says."""

    text: str = ""
    refusal: str = ""
    calls: dict[int, list[str]] = field(default_factory=dict[int, list[str]])
    """Of each tool call its id, name and arguments."""
    finish_reason: str | None = None
    logprobs: dict[str, list[Any]] = field(default_factory=dict[str, list[Any]])


@dataclass
class Answer:
    """All that an answer says."""

    id: str = ""
    model: str = ""
    choices: dict[int, Told] = field(default_factory=dict[int, Told])
    usage: Object | None = None


def ours(body: bytes, pieces: Iterable[bytes], *, stream: bool = True, n: int = 1) -> Answer:
    """What our decoder makes of `body`, which is a success, in `pieces`."""
    exchange = PROVIDERS["openai"].exchange(
        Chat(messages=as_chat("hi").messages, model="m", n=n, stream=stream)
    )
    response = Response(body, headers=SSE if stream else JSON)
    return answer_of(drive(exchange, response, cut=lambda _: pieces).succeeded().reply)


def asking(n: int = 1, stream: bool = True) -> Chat:
    return Chat(messages=as_chat("hi").messages, model="m", n=n, stream=stream)


def answer_of(reply: Reply) -> Answer:
    answer = Answer(reply.id, reply.model, usage=reply.usage.raw if reply.usage else None)
    for index, choice in reply.choices.items():
        told = Told(choice.text, choice.refusal, finish_reason=choice.finish_reason)
        for number, call in enumerate(choice.tool_calls):
            told.calls[number] = [call.id, call.name, call.arguments]
        for part in filter(lambda part: part.tokens, choice.logprobs):
            told.logprobs.setdefault(part.of, []).extend(map(token_of, part.tokens))
        answer.choices[index] = told
    return answer


def token_of(token: TokenLogProb | ChatCompletionTokenLogprob | Any) -> tuple[object, ...]:
    above = tuple(token_of(other) for other in getattr(token, "top_logprobs", None) or ())
    return token.token, token.logprob, token.bytes, above


def settled(arguments: str) -> str:
    """`ToolCallEnd` has `{}` where no arguments came, as that is what they mean."""
    return arguments or "{}"


# The SDK


class Wire(httpx2.BaseTransport):
    """Answers each request of the SDK with `pieces`, as a socket would bring them."""

    def __init__(self) -> None:
        self.pieces: Iterable[bytes] = ()
        self.headers: Headers = SSE

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, headers=self.headers, stream=_Pieces(self.pieces))


class _Pieces(httpx2.SyncByteStream):
    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = pieces

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._pieces)


WIRE = Wire()


def sdk_at(url: str, http: httpx2.Client) -> openai.OpenAI:
    return openai.OpenAI(api_key="any", base_url=url, http_client=http, max_retries=0)


SDK = sdk_at("http://peer.example/v1", httpx2.Client(transport=WIRE))


def chunks_of(pieces: Iterable[bytes], headers: Headers = SSE) -> Iterator[ChatCompletionChunk]:
    """The chunks that the SDK decodes."""
    WIRE.pieces, WIRE.headers = pieces, headers
    return streamed_by(SDK)


def streamed_by(sdk: openai.OpenAI, n: int = 1) -> Iterator[ChatCompletionChunk]:
    messages: Any = [{"role": "user", "content": "hi"}]
    return iter(sdk.chat.completions.create(model="m", messages=messages, n=n, stream=True))


def completed_by(sdk: openai.OpenAI, n: int = 1) -> ChatCompletion:
    messages: Any = [{"role": "user", "content": "hi"}]
    return sdk.chat.completions.create(model="m", messages=messages, n=n)


def added_up(chunks: Iterable[ChatCompletionChunk]) -> Answer:
    """The sum of `chunks`, by the API reference: texts and arguments are joined, of all else the
    first value counts (ids, names), or the last one (finish reasons, usage)."""
    answer = Answer()
    for chunk in chunks:
        answer.id, answer.model = answer.id or chunk.id, answer.model or chunk.model
        if chunk.usage is not None:
            answer.usage = chunk.usage.to_dict()
        for choice in chunk.choices:
            told = answer.choices.setdefault(choice.index, Told())
            told.text += choice.delta.content or ""
            told.refusal += choice.delta.refusal or ""
            told.finish_reason = choice.finish_reason or told.finish_reason
            for call in choice.delta.tool_calls or ():
                parts = told.calls.setdefault(call.index, ["", "", ""])
                parts[0] = parts[0] or call.id or ""
                if call.function is not None:
                    parts[1] = parts[1] or call.function.name or ""
                    parts[2] += call.function.arguments or ""
            if choice.logprobs is not None:
                take_logprobs(choice.logprobs, told)
    return finished(answer)


def take_logprobs(logprobs: Any, told: Told) -> None:
    for of in ("content", "refusal"):
        if tokens := getattr(logprobs, of):
            told.logprobs.setdefault(of, []).extend(map(token_of, tokens))


def finished(answer: Answer) -> Answer:
    for told in answer.choices.values():
        for parts in told.calls.values():
            parts[2] = settled(parts[2])
    return answer


def accumulated(chunks: Iterable[ChatCompletionChunk]) -> Answer:
    """The sum of `chunks`, by the SDK's own accumulator."""
    state: ChatCompletionStreamState[None] = ChatCompletionStreamState()
    for chunk in chunks:
        state.handle_chunk(chunk)
    return told_by(state.current_completion_snapshot)


def told_by(completion: Any) -> Answer:
    """What a completion of the SDK's says, be it whole from the wire or accumulated."""
    usage = completion.usage
    answer = Answer(completion.id, completion.model, usage=usage.to_dict() if usage else None)
    for choice in completion.choices:
        message = choice.message
        told = Told(message.content or "", message.refusal or "")
        told.finish_reason = choice.finish_reason
        for number, call in enumerate(message.tool_calls or ()):
            function = call.function
            told.calls[number] = [call.id, function.name, function.arguments or ""]
        if choice.logprobs is not None:
            take_logprobs(choice.logprobs, told)
        answer.choices[choice.index] = told
    return finished(answer)


# Streams

WORDS = st.text(max_size=8) | st.sampled_from(
    [
        "",
        "a",
        "\u2028",
        "\u2029\u0085",
        "\n",
        "\r\n\r\n",
        "[DONE]",
        "data: [DONE]\n\n",
        "😀",
        "\ufeff",
    ]
)
NAMES = st.text("abc_", min_size=1, max_size=4)
IDS = st.text("xyz0", min_size=1, max_size=6).map("call_{}".format)
REASONS = st.sampled_from(["stop", "length", "tool_calls", "content_filter", "function_call"])
FLOATS = st.floats(-20, 0)
TOKENS = st.fixed_dictionaries(
    {
        "token": WORDS,
        "logprob": FLOATS,
        "bytes": st.none() | st.lists(st.integers(0, 255), max_size=3),
        "top_logprobs": st.lists(
            st.fixed_dictionaries({"token": WORDS, "logprob": FLOATS, "bytes": st.none()}),
            max_size=2,
        ),
    }
)
COUNTS = st.integers(0, 1000)
USAGES: st.SearchStrategy[Object] = st.fixed_dictionaries(
    {"prompt_tokens": COUNTS, "completion_tokens": COUNTS, "total_tokens": COUNTS},
    optional={
        "prompt_tokens_details": st.fixed_dictionaries({"cached_tokens": COUNTS}),
        "completion_tokens_details": st.fixed_dictionaries({"reasoning_tokens": COUNTS}),
        "cost": FLOATS,
    },
)
NO_LOGPROBS: list[Object | None] = [None, None, {"content": [], "refusal": None}]
LOGPROBS: st.SearchStrategy[Any] = st.sampled_from(NO_LOGPROBS) | st.fixed_dictionaries(
    {
        "content": st.none() | st.lists(TOKENS, max_size=2),
        "refusal": st.none() | st.lists(TOKENS, max_size=1),
    }
)
ARGUMENTS = st.lists(st.sampled_from(["{", "}", '"a"', ":", "1", " ", "\u2028", ""]), max_size=5)


@dataclass
class Call:
    """A tool call to be said."""

    id: str
    name: str
    arguments: list[str]


def calls(min_size: int, max_size: int) -> st.SearchStrategy[list[Call]]:
    """Calls with ids of their own."""
    # Of two calls with one id only names and places tell: that is no matter between us.
    return st.lists(
        st.builds(Call, IDS, NAMES, ARGUMENTS),
        min_size=min_size,
        max_size=max_size,
        unique_by=lambda call: call.id,
    )


@st.composite
def deltas(draw: st.DrawFn, index: int) -> list[Object]:
    """All that chunks say of one choice, in order; the first one has the role, and nothing else,
    since the SDK's accumulator takes its log probabilities twice."""
    said: list[Object] = []
    kind = draw(st.sampled_from(["content", "refusal", "tool_calls"]))
    if kind == "tool_calls":
        rest: list[list[Object]] = []
        for place, call in enumerate(draw(calls(1, 3))):
            # A name or an id alone comes first; all in one is what Groq and Mistral send.
            first = "" if draw(st.booleans()) else call.arguments.pop(0) if call.arguments else ""
            function = {"name": call.name, "arguments": first}
            begin = {"index": place, "id": call.id, "type": "function", "function": function}
            said.append({"tool_calls": [begin]})
            rest.append(
                [
                    {"tool_calls": [{"index": place, "function": {"arguments": part}}]}
                    for part in call.arguments
                ]
            )
        while any(rest):  # one call after the other, or all of them at a time
            said.append(draw(st.sampled_from([parts for parts in rest if parts])).pop(0))
    else:
        said += ({kind: words} for words in draw(st.lists(WORDS, max_size=4)))
    role = {"role": "assistant", "content": draw(st.sampled_from(["", None]))}
    choices: list[Object] = [{"index": index, "delta": role, "finish_reason": None}]
    choices += (
        {"index": index, "delta": delta, "logprobs": draw(LOGPROBS), "finish_reason": None}
        for delta in said
    )
    reason = draw(REASONS)
    if draw(st.booleans()):  # in a chunk of its own, or along with the last words
        choices.append({"index": index, "delta": {}, "logprobs": None, "finish_reason": reason})
    else:
        choices[-1]["finish_reason"] = reason
    return choices


@st.composite
def orderly(draw: st.DrawFn) -> list[Object]:
    """The chunks of an answer as OpenAI sends them: choices begin in their order, and go on in any;
    the usage is in the last chunk, which has no choices."""
    waiting = [draw(deltas(index)) for index in range(draw(st.integers(1, 3)))]
    chunks = [chunk([choices.pop(0)]) for choices in waiting]
    while any(waiting):
        choices = draw(st.sampled_from([choices for choices in waiting if choices]))
        chunks.append(chunk([choices.pop(0)]))
    if draw(st.booleans()):
        chunks.append(chunk([], usage=draw(USAGES)))
    return chunks


@st.composite
def disorderly(draw: st.DrawFn) -> list[Object]:
    """The chunks of an answer as others send them: choices begin in any order, some together in
    one chunk, usage comes at any time and several times, ids and roles are said over and over."""
    waiting = [draw(deltas(index)) for index in range(draw(st.integers(1, 3)))]
    chunks: list[Object] = []
    while any(waiting):
        rest = [choices for choices in waiting if choices]
        some = draw(st.lists(st.sampled_from(range(len(rest))), min_size=1, unique=True))
        chunks.append(chunk([rest[place].pop(0) for place in some]))
        for choice in chunks[-1]["choices"]:
            if draw(st.booleans()):
                choice["delta"] = {"role": "assistant", "content": None} | choice["delta"]
        if draw(st.integers(0, 3)) == 0:
            chunks[-1]["usage"] = draw(USAGES)
    return chunks


def chunk(choices: list[Object], **more: Any) -> Object:
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m-1"}
    return {**head, "choices": choices, **more}


@dataclass
class Style:
    """One of the ways to write the same stream."""

    line_end: str = "\n"
    field: str = "data: "
    ascii: bool = False
    indent: int | None = None
    around: tuple[str, ...] = ()
    """Lines to put before events, each time the next one."""
    done: bool = True

    def written(self, chunks: Iterable[Object]) -> bytes:
        lines: list[str] = []
        for number, value in enumerate(chunks):
            if self.around:
                lines.append(self.around[number % len(self.around)])
            said = json.dumps(value, ensure_ascii=self.ascii, indent=self.indent)
            lines += [self.field + line for line in said.split("\n")]
            lines.append("")
        if self.done:
            lines += [self.field + "[DONE]", ""]
        return "".join(line + self.line_end for line in lines).encode()


STYLES = st.builds(
    Style,
    line_end=st.sampled_from(["\n", "\r\n", "\r"]),
    field=st.sampled_from(["data: ", "data:"]),
    ascii=st.booleans(),
    indent=st.sampled_from([None, None, 0, 1]),
    around=st.lists(
        st.sampled_from([": keep-alive", ":", "event: message", "id: 7", "retry: 10", "x: y"]),
        max_size=3,
    ).map(tuple),
    done=st.booleans(),
)


def count(chunks: Iterable[Object]) -> int:
    """How many choices were asked for."""
    return len({choice["index"] for value in chunks for choice in value["choices"]})


@settings(max_examples=60)
@given(orderly(), STYLES, st.data())
def test_streams_as_openai_sends_them(
    chunks: list[Object], style: Style, data: st.DataObject
) -> None:
    body, n = style.written(chunks), count(chunks)
    pieces = data.draw(cuts(body))
    answer = ours(body, pieces, n=n)
    assert answer == accumulated(chunks_of(pieces))
    assert answer == added_up(chunks_of(pieces))
    assert ours(body, bytewise(body), n=n) == answer


@settings(max_examples=60)
@given(disorderly(), STYLES, st.data())
def test_streams_as_others_send_them(
    chunks: list[Object], style: Style, data: st.DataObject
) -> None:
    body, n = style.written(chunks), count(chunks)
    pieces = data.draw(cuts(body))
    assert ours(body, pieces, n=n) == added_up(chunks_of(pieces))


@st.composite
def completions(draw: st.DrawFn) -> Object:
    """An answer that is not streamed."""
    choices: list[Object] = []
    for index in range(draw(st.integers(1, 3))):
        called = draw(calls(0, 2))
        message: Object = {"role": "assistant", "content": draw(st.none() | WORDS)}
        message["refusal"] = draw(st.none() | WORDS)
        if draw(st.booleans()) or called:
            message["tool_calls"] = [
                {
                    "id": call.id,
                    "type": "function",
                    "function": {"name": call.name, "arguments": "".join(call.arguments)},
                }
                for call in called
            ]
        reason = draw(REASONS)
        choices.append({"index": index, "message": message, "finish_reason": reason})
        choices[-1]["logprobs"] = draw(LOGPROBS)
    head = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "m-1"}
    return {**head, "choices": choices, "usage": draw(st.none() | USAGES)}


@settings(max_examples=40)
@given(completions(), st.booleans(), st.sampled_from([None, 2]), st.data())
def test_whole_answers(
    completion: Object, ascii: bool, indent: int | None, data: st.DataObject
) -> None:
    body = json.dumps(completion, ensure_ascii=ascii, indent=indent).encode()
    WIRE.pieces, WIRE.headers = data.draw(cuts(body)), JSON
    answer = ours(body, WIRE.pieces, stream=False, n=len(completion["choices"]))
    assert answer == told_by(completed_by(SDK))


SHORT = Style().written(
    [
        chunk([{"index": 0, "delta": {"role": "assistant", "content": "Gr"}}]),
        chunk([{"index": 0, "delta": {"content": "üße"}, "finish_reason": None}]),
        chunk([{"index": 0, "delta": {"content": "!"}, "finish_reason": "stop"}]),
    ]
)


def is_utf8(data: bytes) -> bool:
    return "\ufffd" not in data.decode(errors="replace")


def test_a_stream_that_is_cut_anywhere() -> None:
    """We deliver what the SDK delivers, and more, and say what it does not: that it was cut."""
    proof = SHORT.index(b'"stop"')
    for end in range(len(SHORT) + 1):
        body = SHORT[:end]
        outcome = drive(PROVIDERS["openai"].exchange(asking()), body)
        chunks: list[ChatCompletionChunk] = []
        try:
            chunks += chunks_of(whole(body))
        except UnicodeDecodeError:  # of no class of its own: see the table of its faults
            assert not is_utf8(body)
        told = added_up(chunks).choices.get(0, Told())
        assert outcome.reply.text.startswith(told.text)
        assert told.finish_reason in (None, outcome.reply.finish_reason)
        if outcome.error is None:
            assert end > proof
            assert outcome.reply.text == "Grüße!"
        else:
            assert told.finish_reason is None


# On a real socket

CONVERSATIONS: dict[str, list[Event]] = {
    "text": [
        *(Start("1", "m"), Text("Hé"), Text("\u2028llo 😀\r\n\r\n")),
        *(Finish("stop", "stop"), Usage(3, 4, 7), End("terminator")),
    ],
    "two choices": [
        *(Start("1", "m"), Text("a"), Text("b", index=1), Text("c"), Refusal("no", index=1)),
        *(
            Finish("stop", "stop"),
            Finish("content_filter", "content_filter", index=1),
            End("terminator"),
        ),
    ],
    "tool calls": [
        *(Start("1", "m"), ToolCallStart(0, "call_1", "f"), ToolCallDelta(0, '{"a":')),
        *(ToolCallDelta(0, "1}"), ToolCallStart(1, "call_2", "g")),
        *(
            ToolCallEnd(0, "call_1", "f", '{"a":1}', True),
            ToolCallEnd(1, "call_2", "g", "{}", True),
        ),
        *(Finish("tool_calls", "tool_call"), End("terminator")),
    ],
}


@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])
def test_both_as_clients_of_the_embedded_server(stream: bool) -> None:
    said: list[Event] = []
    with ExitStack() as stack:
        server = stack.enter_context(serve("openai", lambda chat: said))
        client = stack.enter_context(Client(trust_env=False))
        http = stack.enter_context(httpx2.Client(trust_env=False))
        sdk = sdk_at(server.url, http)
        for cutting in (Cutting.whole(), Cutting.per_event(), Cutting.of_sizes(1, 2, 3)):
            server.cutting = cutting
            for said[:] in CONVERSATIONS.values():
                exchange = PROVIDERS["openai"].exchange(asking(2, stream), base_url=server.url)
                with client.open(exchange) as answer:
                    mine = answer_of(answer.read())
                if stream:
                    assert mine == added_up(streamed_by(sdk, n=2))
                else:
                    assert mine == told_by(completed_by(sdk, n=2))
        assert server.errors == []


# Where the SDK is wrong


def content(text: str, finish: str | None = None, index: int = 0, **more: Any) -> bytes:
    choice = {"index": index, "delta": {"content": text}, "finish_reason": finish}
    return Style(done=False).written([chunk([choice], **more)])


A, B, DONE = content("a"), content("b", "stop"), b"data: [DONE]\n\n"
HELD_BACK = B.removesuffix(b"\n\n")


def what_the_sdk_says(body: bytes, headers: Headers = SSE) -> object:
    """The text and the finish reason, as a success; or what it raises."""
    try:
        told = added_up(chunks_of(whole(body), headers)).choices.get(0, Told())
    except Exception as error:  # noqa: BLE001  which one it is, is what is asked
        return type(error)
    return told.text, told.finish_reason


def what_we_say(body: bytes, headers: Headers = SSE) -> object:
    outcome = drive(PROVIDERS["openai"].exchange(asking()), Response(body, headers=headers))
    if outcome.error is not None:
        return type(outcome.error)
    return outcome.reply.text, outcome.reply.finish_reason


@pytest.mark.parametrize(
    ("body", "headers", "theirs", "mine"),
    [
        # A success that is none.
        pytest.param(A, SSE, ("a", None), Truncated, id="a stream that was cut"),
        pytest.param(b"", SSE, ("", None), UnexpectedContent, id="no body"),
        pytest.param(b"<html>", [(b"content-type", b"text/html")], ("", None), UnexpectedContent,
                     id="a web page"),
        pytest.param(b'{"error":{"message":"no"}}', JSON, ("", None), Refused, id="a JSON error"),
        pytest.param(A + b'error: {"message":"no"}\n\n' + DONE, SSE, ("a", None), Refused,
                     id="an error in a field of its own"),
        pytest.param(A + b"data: [DONE", SSE, ("a", None), Truncated, id="half of a terminator"),
        # What is lost.
        pytest.param(b"\xef\xbb\xbf" + A + B + DONE, SSE, ("b", "stop"), ("ab", "stop"),
                     id="the first event, behind a byte order mark"),
        pytest.param(A + HELD_BACK, SSE, ("a", None), ("ab", "stop"),
                     id="the last event, if its blank line is missing"),
        pytest.param(A + b"data: [DONE]ish\n\n" + B, SSE, ("a", None), ("ab", "stop"),
                     id="all behind words that begin with the terminator"),
        # What fails, though the standard, or any other client, takes it.
        pytest.param(b"retry: 3000\n\n" + A + B + DONE, SSE, json.JSONDecodeError, ("ab", "stop"),
                     id="a reconnection time without data"),
        pytest.param(b"event: ping\n\n" + A + B + DONE, SSE, json.JSONDecodeError, ("ab", "stop"),
                     id="an event without data"),
        pytest.param(b"id: 1\n\n" + A + B + DONE, SSE, json.JSONDecodeError, ("ab", "stop"),
                     id="an id without data"),
        pytest.param(b"data: PING\n\n" + A + B + DONE, SSE, json.JSONDecodeError, ("ab", "stop"),
                     id="a keep-alive in words"),
        pytest.param(A.replace(b'"a"', b'"\xe2\x82"') + B + DONE, SSE, UnicodeDecodeError,
                     ("\ufffdb", "stop"), id="half a character"),
        # What no UTF-8 can hold comes out as text.
        pytest.param(A.replace(b'"a"', b'"\\ud83d"') + B + DONE, SSE, ("\ud83db", "stop"),
                     ("\ufffdb", "stop"), id="half a surrogate pair"),
    ],
)  # fmt: skip
def test_where_the_sdk_is_wrong(
    body: bytes, headers: Headers, theirs: object, mine: object
) -> None:
    assert what_we_say(body, headers) == mine
    assert what_the_sdk_says(body, headers) == theirs, (
        f"openai {openai.__version__} does otherwise than {WRITTEN_FOR}"
    )


def call(index: int | None, id: str | None, name: str | None, arguments: str) -> bytes:
    part = {"index": index, "id": id, "function": {"name": name, "arguments": arguments}}
    delta = {"tool_calls": [part]}
    return Style(done=False).written([chunk([{"index": 0, "delta": delta}])])


USAGE = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}


NO_TEXT: dict[int, str] = {}
NO_CALLS: list[list[str]] = []


def seen_in(answer: Answer) -> object:
    """All of it that the table below is about."""
    told = {index: choice.text for index, choice in answer.choices.items() if choice.text}
    return told, list(answer.choices[0].calls.values()), answer.usage


@pytest.mark.parametrize(
    ("body", "theirs", "mine"),
    [
        pytest.param(content("b", index=1) + A, IndexError, ({0: "a", 1: "b"}, NO_CALLS, None),
                     id="the second choice begins first"),
        pytest.param(A + content("c", index=2), IndexError, ({0: "a", 2: "c"}, NO_CALLS, None),
                     id="a choice is left out"),
        pytest.param(A + content("b", usage=USAGE) + content("c"), ({0: "abc"}, NO_CALLS, None),
                     ({0: "abc"}, NO_CALLS, USAGE), id="usage before the last chunk"),
        pytest.param(call(None, "1", "f", "{}"), TypeError, (NO_TEXT, [["1", "f", "{}"]], None),
                     id="a call without a place (Gemini)"),
        pytest.param(call(1, "1", "f", "{") + call(1, None, None, "}"), IndexError,
                     (NO_TEXT, [["1", "f", "{}"]], None), id="calls counted from 1"),
        pytest.param(call(0, "1", "f", "{") + call(0, "1", "f", "}"),
                     (NO_TEXT, [["11", "ff", "{}"]], None), (NO_TEXT, [["1", "f", "{}"]], None),
                     id="id and name in each part"),
        pytest.param(call(0, "1", "f", "{}") + call(0, "2", "g", "{}"),
                     (NO_TEXT, [["12", "fg", "{}{}"]], None),
                     (NO_TEXT, [["1", "f", "{}"], ["2", "g", "{}"]], None),
                     id="two calls in one place"),
    ],
)  # fmt: skip
def test_where_its_accumulator_is_wrong(body: bytes, theirs: object, mine: object) -> None:
    body += DONE
    assert seen_in(ours(body, whole(body))) == mine
    try:
        found: object = seen_in(accumulated(chunks_of(whole(body))))
    except (IndexError, TypeError) as error:
        found = type(error)
    assert found == theirs, f"openai {openai.__version__} does otherwise than {WRITTEN_FOR}"


def test_its_accumulator_takes_log_probabilities_twice() -> None:
    token: Object = {"token": "b", "logprob": -0.5, "bytes": None, "top_logprobs": []}
    logprobs: Object = {"content": [token], "refusal": None}
    choice: Object = {"index": 1, "delta": {"content": "b"}, "logprobs": logprobs}
    body = A + Style().written([chunk([choice])])
    once = {"content": [("b", -0.5, None, ())]}
    assert ours(body, whole(body)).choices[1].logprobs == once
    assert added_up(chunks_of(whole(body))).choices[1].logprobs == once
    twice = {"content": once["content"] * 2}
    assert accumulated(chunks_of(whole(body))).choices[1].logprobs == twice, (
        f"openai {openai.__version__} does otherwise than {WRITTEN_FOR}"
    )
