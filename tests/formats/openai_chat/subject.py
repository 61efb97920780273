"""Chat completions, for all tests of formats: streamed and whole, from two providers."""

from collections.abc import Iterator
from functools import partial
from typing import Any

from hypothesis import strategies as st

from tokenwire import (
    PROVIDERS,
    Chat,
    Citation,
    End,
    Event,
    Finish,
    LogProbs,
    Message,
    Native,
    Provider,
    Reasoning,
    Refusal,
    Reply,
    Start,
    Text,
    TextPart,
    TokenLogProb,
    Tool,
    ToolCallDelta,
    ToolCallEnd,
    ToolCallStart,
    Unrecognized,
    Usage,
    as_chat,
)
from tokenwire.protocols.events import FinishKind
from tokenwire.testing import Subject
from tokenwire.testing.driving import Ending
from tokenwire.testing.strategies import numbered
from tokenwire.testing.subject import Sent

__all__ = ["SUBJECTS"]

USAGE, NO_USAGE = ({"stream_options": {"include_usage": asked}} for asked in (True, False))
"""Ask for usage in a chunk of its own, the last one, or not."""


def hears_chunks(chat: Chat, answer: list[Event], *, asks: bool) -> list[Event]:
    """All of it, but the ends of the choices at the end, in their order; always a `Start`; usage
    with the next finish reason, unless it was asked for, as some providers do by themselves: then
    it is last."""
    last = chat.extra == USAGE or (asks and chat.extra != NO_USAGE)
    start = Start("chatcmpl-1", chat.model)
    heard: list[Event] = []
    began = False
    held: list[Event] = []
    ends: dict[int, list[Event]] = {}

    def chunk(*events: Event) -> None:
        nonlocal began
        heard.extend(events if began else (start, *events))
        began = True

    def release() -> None:
        if held:
            chunk(held.pop())

    for event in answer:
        match event:
            case Start():
                start = event
                chunk()
            case Unrecognized():
                heard.append(event)
            case ToolCallEnd():
                ends.setdefault(event.index, []).append(event)
            case Finish():
                ends.setdefault(event.index, []).append(event)
                chunk(*() if last else held)
                held = held if last else []
            case Usage():
                if last:
                    held = [hears_usage(event)]  # the last one counts
                    continue
                release()
                held.append(hears_usage(event))
            case End():
                release()
            case _:
                chunk(event)
    return [*heard, *(e for _, choice in sorted(ends.items()) for e in choice), End("terminator")]


def hears_whole(chat: Chat, answer: list[Event]) -> list[Event]:
    """One event of each kind a choice, in the order in which the decoder looks; a reason for each
    choice."""
    said = Reply.of(answer)
    heard: list[Event] = [Start(said.id or "chatcmpl-1", said.model or chat.model)]
    ends: list[Event] = []
    others = {int(getattr(event, "index", 0)) for event in answer}
    for index in sorted({*range(chat.n or 1), *others}):
        events = [e for e in answer if getattr(e, "index", None) == index]
        for kind in (Reasoning, Text, Refusal):
            if text := "".join(e.text for e in events if isinstance(e, kind)):
                heard.append(kind(text, index=index))
        calls = [e for e in events if isinstance(e, ToolCallEnd)]
        for call in calls:
            heard.append(ToolCallStart(call.call, call.id, call.name, index=index))
            if call.complete or call.arguments != "{}":
                heard.append(ToolCallDelta(call.call, call.arguments, index))
        heard += [e for e in events if isinstance(e, Citation)]
        logprobs: dict[Any, list[TokenLogProb]] = {}
        for event in events:
            if isinstance(event, LogProbs):
                logprobs.setdefault(event.of, []).extend(event.tokens)
        heard += [LogProbs(tokens, of, index) for of, tokens in logprobs.items()]
        reasons = [e for e in events if isinstance(e, Finish)]
        means: FinishKind = "tool_call" if calls else "stop"
        ends += [*calls, *(reasons or [Finish("stop", means, index=index)])]
    usage = [] if said.usage is None else [hears_usage(said.usage)]
    return [*numbered(heard), *usage, *ends, End("terminator")]


def hears_usage(usage: Usage) -> Usage:
    """Counts that were not known are 0 at the other end, and the total is their sum."""
    if usage.raw:
        return usage
    prompt, answer = usage.input_tokens or 0, usage.output_tokens or 0
    total = usage.total_tokens or prompt + answer
    cached, thought = usage.cache_read_input_tokens or 0, usage.reasoning_output_tokens or 0
    raw = {
        "prompt_tokens": prompt,
        "completion_tokens": answer,
        "total_tokens": total,
        "prompt_tokens_details": {"cached_tokens": cached},
        "completion_tokens_details": {"reasoning_tokens": thought},
    }
    return Usage(prompt, answer, total, cached, None, thought, raw)


# What is understood

NAMES = Chat.__struct_fields__


def understands_all(provider: Provider, chat: Chat) -> Chat:
    """All of it, over the fields that the provider always sends."""
    known = {name: value for name, value in provider.fields.items() if name in NAMES}
    others = {name: value for name, value in provider.fields.items() if name not in NAMES}
    given = {name: value for name, value in known.items() if getattr(chat, name) is None}
    given.pop("stream", None)
    nothing: dict[str, Any] = {"type": "object", "properties": {}}
    tools = (t for t in chat.tools if isinstance(t, Tool))
    return chat.replace(
        model=provider.model(chat.model),
        messages=tuple(map(understands_message, chat.messages)),
        tools=tuple(Tool(t.name, t.description, t.parameters or nothing, t.strict) for t in tools),
        extra=others | {k: v for k, v in chat.extra.items() if k != "stream_options"},
        **given,
    )


def understands_message(message: Message) -> Message:
    """Texts that are one string; the assistant's are joined. A failure is told in words."""
    calls = message.tool_calls
    plain = all(isinstance(part, TextPart) for part in message.parts)
    text = message.text
    if message.role == "tool":
        if message.failed and not text.startswith("Error: "):
            text = f"Error: {text}"
        return message.replace(content=text, failed=False)
    if message.role == "assistant" and calls:
        return message.replace(content=(*([TextPart(text)] if text else []), *calls))
    if plain and (message.role == "assistant" or len(message.parts) < 2):
        return message.replace(content=text)
    return message


# What is proven


def proven_by_reasons(sent: Sent, size: int, ending: Ending) -> bool:
    """`[DONE]` is there, or the reason of every choice, and nothing of a chunk after it; the blank
    line too, if nothing says that the body is complete."""
    reasons = [sent.end_of(event) for event in sent.answer if isinstance(event, Finish)]
    end = max(reasons) if len(reasons) == (sent.chat.n or 1) else len(sent.body)
    missing = 2 if ending in ("eof", "close") else 0
    if size < end - missing:
        return False
    border = sent.body.rfind(b"\n\n", 0, size) + 2
    half = size < sent.body.find(b"\n\n", border) + 2 - missing
    return not (half and sent.body[border:size].startswith(b"data: {"))


def proven_by_brace(sent: Sent, size: int, ending: Ending) -> bool:
    return size == len(sent.body)


@st.composite
def completions(
    draw: st.DrawFn, /, extras: st.SearchStrategy[dict[str, Any]], **fields: Any
) -> Chat:
    n = draw(st.none() | st.integers(1, 3))
    return as_chat("hi", model="m", n=n, extra=draw(extras), **fields)


# What fuzzers begin with


def repeats_whole_calls(provider: Provider, chat: Chat, events: list[Event]) -> list[Event] | None:
    """The id first, `[DONE]` last. None if a tool call consists of pieces that say less than their
    sum, or is one of two with the same id."""
    starts = [e for e in events if isinstance(e, ToolCallStart)]
    ends = [e for e in events if isinstance(e, ToolCallEnd)]
    ids = [(e.index, e.id) for e in starts]
    plain = all(e.id and e.name for e in starts) and len(set(ids)) == len(ids)
    ended = {(e.index, e.call, e.id, e.name) for e in ends}
    if not plain or ended != {(e.index, e.call, e.id, e.name) for e in starts}:
        return None
    said = [e for e in events if not isinstance(e, Unrecognized | Native | Start | End)]
    # A usage in other words than the format's is written in its own.
    said = [e for e in said if not isinstance(e, Usage) or "prompt_tokens" in e.raw]
    # As is a reason in other words, if it means something here.
    others = [e for e in said if isinstance(e, Finish) and e.reason not in provider.dialect.finish]
    if any(e.kind for e in others):
        return None
    start = next((e for e in events if isinstance(e, Start)), Start("", ""))
    return [Start(start.id or "id", start.model or "m"), *said, End("terminator")]


EXAMPLES: tuple[list[Event], ...] = (
    [Text("h\u20ac"), Text(" i\n"), Finish("stop", "stop"), End("terminator")],
    [
        *(Start("c-1", "m"), Reasoning("so"), ToolCallStart(0, "a", "f")),
        *(ToolCallDelta(0, '{"q":'), ToolCallDelta(0, "1}"), Finish("tool_calls", "tool_call")),
        *(Usage(1, 2, 3, raw={"prompt_tokens": 1}), End("terminator")),
    ],
    [
        *(Start("c-1", "m"), Refusal("no"), Citation("https://a.example", "A")),
        LogProbs([TokenLogProb("a", -0.5, [97], [TokenLogProb("b", -1.0)])]),
        *(Text("b", index=1), Finish("length", "length", index=1), Finish("stop", "stop")),
        End("terminator"),
    ],
)
SEEDS = (
    b'{"id":"c","model":"m","choices":[{"message":{"content":"hi","tool_calls":[{"id":"x",'
    b'"function":{"name":"f","arguments":"{}"}}]},"finish_reason":"stop"}],'
    b'"usage":{"prompt_tokens":1}}',
    b'data: {"choices":[{"message":{"content":{"a":1}}}]}\n\ndata: [DONE]\n\n',
    b'data: {"choices":[{"delta":{"content":"a"},"finish_reason":"stop"}]}\n\n',
    b'data: {"error":{"message":"no","code":"rate_limit"}}\n\n',
    b'event: error\ndata: {"message":"no"}\n\n',
    b'error: {"message":"no"}\n\n{\n "error": {\n  "message": "no"\n }\n}\n',
    b": ping\n\ndata: hello\n\nfoo: bar\n\ndata: [DONE]\n\n",
    b'data: {"choices":[{"delta":{"content":[{"type":"text","text":"a"},{"type":"thinking",'
    b'"thinking":[{"text":"b"}]},{"x":1}],"reasoning_details":[{"type":"t","text":"c"}],'
    b'"function_call":{"name":"f","arguments":"{}"}},"finish_reason":"stop"}],'
    b'"x_groq":{"usage":{"total_tokens":1}},"citations":["https://a"]}\r\n\r\n',
    b'{"error":{"message":"no","type":"auth"}}',
    b"<html>captcha</html>",
)
WORDS = (
    *(b"data: [DONE]\n\n", b"error: ", b"<html>"),
    *(
        b'"choices":[{"delta":{ "content":"x" "finish_reason":"stop" "index":1 "id": "model":"m" '
        b'"reasoning":"r" "reasoning_content":"r" "refusal":"r" "usage":{ "text": "message":{ '
        b'"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":"{}"}}] "error":{ '
        b'"annotations":[{"url_citation":{"url":"u"}}] "logprobs":{"content":[{"token":"a", '
        b'"logprob":-1}]} "function_call":{"name":"f"} "reasoning_details":[{ "type":"text" '
        b'"thinking":[{"text":"t"}] "summary":"s" "signature":"s" "data": "arguments": '
        b'"x_groq":{"usage": "citations":["c"] "prompt_tokens":1 "finish_reason":"length" '
        b'"finish_reason":"tool_calls" "content":{"a":1} "stream_options":{"include_usage":true} '
        b'"messages":[{"role":"user","content":"a"}] "stream":true "stream":false "n":1 "n":2 '
        b'"role":"system" "role":"tool" "tool_call_id":"c" "tools":[{"function":{ "seed":1 '
        b'"tool_choice":"required" "tool_choice":{"function":{"name":"f"}} "stop":["x"] '
        b'"content":[{"type":"text","text":"a"}] {"type":"image_url","image_url":{"url":"u"}} '
        b'"temperature":1 "max_tokens":1 "name":"f" "parameters":{}'
    ).split(),
)


_words = st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"])).map(
    str.encode
)
_TWO: list[Event] = [
    *(Start("7", "m"), Text("h\u20ac"), ToolCallStart(0, "c", "f", part=1), Text("i", index=1)),
    *(ToolCallDelta(0, '{"a":1}'), ToolCallEnd(0, "c", "f", '{"a":1}', True)),
    *(Finish("tool_calls", "tool_call"), Usage(1, 2), Finish("stop", "stop", index=1)),
    End("finish"),
]


_SIGNED: list[Event] = [
    *(Start("7", "m"), ToolCallStart(0, "c", "f"), ToolCallDelta(0, '{"a":1}')),
    Native(
        "openai_chat",
        b'{"tool_calls":[{"id":"c","type":"function","function":{"name":"f","arguments":'
        b'"{\\"a\\":1}"},"extra_content":{"google":{"thought_signature":"c2ln"}}}]}',
    ),
    ToolCallEnd(0, "c", "f", '{"a":1}', True),
    *(Finish("tool_calls", "tool_call"), Text("i", index=1), Finish("stop", "stop", index=1)),
    End("finish"),
]


def _subjects() -> Iterator[tuple[str, Subject]]:
    for name in ("openai", "ylokh"):
        provider = PROVIDERS[name]
        yield (
            name,
            Subject(
                provider=provider,
                questions=completions(st.sampled_from([{}, NO_USAGE, USAGE])),
                short=_TWO,
                hears=partial(hears_chunks, asks=provider.ask_usage),
                understands=understands_all,
                proven=proven_by_reasons,
                signed=_SIGNED,
                form=(b'data: {"choices":[{"index":0,"delta":{"content":"', b'"}}]}'),
                asked={"stream": True, "model": "m", "n": 2},
                seeds=tuple((seed,) for seed in SEEDS),
                examples=EXAMPLES,
                words=WORDS,
                repeats=repeats_whole_calls,
                unrecognized=st.sampled_from([b'{"note":1}', b"[]", b'{"x":\n1}', b'"x"'])
                | _words.map(lambda word: b"~" + word),
            ),
        )
        yield (
            f"{name}-whole",
            Subject(
                provider=provider,
                questions=completions(st.just({}), stream=False),
                short=_TWO,
                hears=hears_whole,
                understands=understands_all,
                proven=proven_by_brace,
                signed=_SIGNED,
                asked={"stream": False, "model": "m", "n": 2},
                seeds=tuple((seed,) for seed in SEEDS),
                examples=EXAMPLES,
                words=WORDS,
                repeats=repeats_whole_calls,
            ),
        )


SUBJECTS = dict(_subjects())
