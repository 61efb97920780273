"""Ollama's own format, for all tests of formats: streamed and whole."""

from collections.abc import Iterator
from typing import Any

import msgspec
from hypothesis import strategies as st

from tests.formats.openai_chat.subject import proven_by_brace
from tokenwire import (
    PROVIDERS,
    Chat,
    End,
    Event,
    Finish,
    ImagePart,
    LogProbs,
    Message,
    Part,
    Provider,
    Reasoning,
    Refusal,
    Reply,
    Start,
    Text,
    TextPart,
    Tool,
    ToolCall,
    ToolCallDelta,
    ToolCallEnd,
    ToolCallStart,
    Unrecognized,
    Usage,
)
from tokenwire.testing import Subject
from tokenwire.testing.strategies import numbered
from tokenwire.testing.subject import repeats_what_it_can_say

__all__ = ["SUBJECTS"]

OLLAMA = PROVIDERS["ollama"]


# What is heard


def hears_stream(chat: Chat, answer: list[Event]) -> list[Event]:
    """A refusal as text; a call when it ends; the usage and the finish at the end."""
    said: list[Event] = []
    calls = {e.call: e for e in answer if isinstance(e, ToolCallStart)}
    for event in answer:
        match event:
            case Text() | Refusal():
                said.append(Text(event.text))
            case LogProbs():
                said += [LogProbs(event.tokens)] if event.tokens else []
            case ToolCallEnd():
                said += call(calls[event.call], event, sum(isinstance(e, _Call) for e in said))
            case Reasoning() | Unrecognized():
                said.append(event)
            case _:
                pass
    # What is not understood may come before the answer begins.
    place = next((n for n, e in enumerate(said) if not isinstance(e, Unrecognized)), len(said))
    return [*said[:place], start(chat, answer), *numbered(said[place:]), *ends(answer)]


def hears_whole(chat: Chat, answer: list[Event]) -> list[Event]:
    """The same, each kind in one piece: thoughts, text, calls, log probabilities."""
    reply = Reply.of(answer)
    choice = reply.choices.get(0)
    if choice is None:
        return [start(chat, answer), *ends(answer)]
    said: list[Event] = []
    if choice.reasoning:
        said.append(Reasoning(choice.reasoning))
    if text := "".join(e.text for e in choice.events() if isinstance(e, Text | Refusal)):
        said.append(Text(text))
    calls = [e for e in answer if isinstance(e, ToolCallStart)]
    over = {e.call: e for e in answer if isinstance(e, ToolCallEnd)}
    for number, begun in enumerate(calls):
        said += call(begun, over[begun.call], number)
    if tokens := [token for each in choice.logprobs for token in each.tokens]:
        said.append(LogProbs(tokens))
    return [start(chat, answer), *numbered(said), *ends(answer)]


_Call = ToolCallStart


def start(chat: Chat, answer: list[Event]) -> Event:
    models = [event.model for event in answer if isinstance(event, Start)]
    return Start("", next(filter(None, models), chat.model))


def call(begun: ToolCallStart, over: ToolCallEnd, number: int) -> list[Event]:
    delta = ToolCallDelta(number, escaped(over.arguments))
    return [ToolCallStart(number, id_of(over, number), over.name), delta]


def id_of(over: ToolCallEnd, number: int) -> str:
    """The id; one that is missing is made up."""
    return over.id or f"call_1_{number}"


def escaped(arguments: str) -> str:
    """As the Python client needs it."""
    for character in "\x85\u2028\u2029":
        arguments = arguments.replace(character, f"\\u{ord(character):04x}")
    return arguments


def ends(answer: list[Event]) -> list[Event]:
    """The usage, the ends of the calls, the finish."""
    heard: list[Event] = []
    usage = next((e for e in reversed(answer) if isinstance(e, Usage)), None)
    if usage is not None and (raw := counts(usage)):
        asked, said = usage.input_tokens, usage.output_tokens
        total = None if asked is None or said is None else asked + said
        cached = usage.cache_read_input_tokens
        heard.append(Usage(asked, said, total, cached, raw=raw))
    over = [e for e in answer if isinstance(e, ToolCallEnd)]
    for number, event in enumerate(over):
        id, arguments = id_of(event, number), escaped(event.arguments)
        heard.append(msgspec.structs.replace(event, call=number, id=id, arguments=arguments))
    finish = next((e for e in answer if isinstance(e, Finish)), None)
    if finish is None:
        finish = Finish("stop", "tool_call" if over else "stop")
    return [*heard, finish, End("terminator")]


def counts(usage: Usage) -> dict[str, Any]:
    told = {
        "prompt_eval_count": usage.input_tokens,
        "prompt_eval_cached_count": usage.cache_read_input_tokens,
        "eval_count": usage.output_tokens,
    }
    return {name: value for name, value in told.items() if value is not None}


# What is understood


def understands(provider: Provider, chat: Chat) -> Chat:
    """Each message by its kinds of parts; calls told apart by their order, and results with the
    name of the call; no tools where they are switched off."""
    messages: list[Message] = []
    names: dict[str, str] = {}
    for message in chat.messages:
        names |= {each.id: each.name for each in message.tool_calls}
        role = "system" if message.role == "developer" else message.role
        text = message.text
        if message.failed and not text.startswith("Error: "):
            text = f"Error: {text}"
        images = tuple(part for part in message.parts if isinstance(part, ImagePart))
        calls = tuple(part for part in message.parts if isinstance(part, ToolCall))
        parts: tuple[Part, ...] = (*([TextPart(text)] if text else []), *images, *calls)
        content = parts if images or calls else text
        name = names.get(message.tool_call_id, "") if role == "tool" else ""
        messages.append(Message(role, content, tool_call_id=message.tool_call_id, name=name))
    nothing: dict[str, Any] = {"type": "object", "properties": {}}
    tools = (tool for tool in chat.tools if isinstance(tool, Tool))
    off = chat.tool_choice == "none"
    return chat.replace(
        model=provider.model(chat.model),
        messages=tuple(messages),
        tools=()
        if off
        else tuple(Tool(t.name, t.description, t.parameters or nothing) for t in tools),
        tool_choice=None,
    )


# What fuzzers begin with, and what they may repeat


def repeats(provider: Provider, chat: Chat, events: list[Event]) -> list[Event] | None:
    """A call that is not complete is not written."""
    if any(isinstance(event, ToolCallEnd) and not event.complete for event in events):
        return None
    return repeats_what_it_can_say(provider, chat, events)


SHORT: list[Event] = [
    *(Start("", "m"), Reasoning("so"), Text("h\u20ac", part=1)),
    *(ToolCallStart(0, "c", "f", part=2), ToolCallDelta(0, '{"a":1}'), Usage(3, 2)),
    *(ToolCallEnd(0, "c", "f", '{"a":1}', True), Finish("stop", "tool_call")),
    End("terminator"),
]
EXAMPLES: tuple[list[Event], ...] = (
    [Text("h\u20ac"), Text(" i\n"), Finish("length", "length"), End("terminator")],
    [Refusal("no"), Finish("stop", "stop"), End("terminator")],
)
SEEDS = (
    b'{"model":"m","created_at":"2026-01-01T00:00:00Z","message":{"role":"assistant","content":"a"},'
    b'"done":false}\n{"error":"server busy, please try again"}\n',
    b'{"model":"m","response":"a","thinking":"t","done":false}\r\n'
    b'{"response":"","done":true,"done_reason":"stop","context":[1,2],"eval_count":2}',
    b'{"message":{"content":"a","thinking":"t","images":["iVBORw==","?"],"x":1,"tool_calls":'
    b'[{"function":{"name":"f","arguments":{}}},{"function":{"name":"f","arguments":"{\\"a\\":1}",'
    b'"y":2},"z":3},{"function":{}},{"function":[]},1]},"done":false}\n'
    b'{"status":"pulling"}\n[1]\n\n{"message":7,"logprobs":[{"token":"a","logprob":-1}],'
    b'"prompt_eval_count":7.0,"eval_count":-1,"eval_duration":"x","done":"true"}\n',
    b'{"model":"m","message":{"role":"assistant","content":""},"done":true,"done_reason":"load"}\n',
    b'{"StatusCode":429,"Status":"429 Too Many Requests","error":"you have reached your limit"}\n',
    b'{"error":{"message":"no","type":"server_error","code":"overloaded"}}',
)
WORDS = tuple(
    (
        b'"model":"m" "message":{ "role":"assistant" "content":"a" "thinking":"t" "tool_calls":[{ '
        b'"function":{ "name":"f" "arguments":{"a":1} "index":0 "id":"c" "images":["iVBORw=="] '
        b'"done":true "done":false "done_reason":"stop" "done_reason":"length" "response":"a" '
        b'"error":"e" "logprobs":[{"token":"a","logprob":-1}] "eval_count":1 "prompt_eval_count":1 '
        b'"messages":[{ "role":"user" "role":"tool" "tool_name":"f" "tool_call_id":"c" '
        b'"stream":false "options":{"num_predict":1,"stop":["x"],"num_ctx":9} '
        b'"format":"json" "think":true "think":"high" "tools":[{ "type":"function" "parameters":{} '
        b'"keep_alive":0 "prompt":"p" "system":"s" "top_logprobs":2 "logprobs":true'
    ).split()
)


def _subjects() -> Iterator[tuple[str, Subject]]:
    known: dict[str, Any] = {
        "provider": OLLAMA,
        "short": SHORT,
        "understands": understands,
        "repeats": repeats,
        "seeds": tuple((seed,) for seed in SEEDS),
        "examples": EXAMPLES,
        "words": WORDS,
    }
    yield (
        "ollama",
        Subject(
            **known,
            hears=hears_stream,
            asked={"stream": True, "model": "m"},
            unrecognized=st.sampled_from([b'{"status":"pulling"}', b"[1]", b'"x"', b"null"]),
            form=(
                b'{"message":{"role":"assistant","content":"',
                b'"},"done":false}',
            ),
        ),
    )
    yield (
        "ollama-whole",
        Subject(
            **known,
            hears=hears_whole,
            asked={"stream": False, "model": "m"},
            proven=proven_by_brace,
        ),
    )


SUBJECTS = dict(_subjects())
