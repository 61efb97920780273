"""Cohere's chat, for all tests of formats: streamed and whole."""

from collections.abc import Iterator
from typing import Any

import msgspec
from hypothesis import strategies as st

from tests.formats.openai_chat.subject import proven_by_brace
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
    Part,
    Provider,
    Reasoning,
    Refusal,
    Reply,
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
from tokenwire.protocols.blocks import Block, BlockWriter, blocks_of
from tokenwire.protocols.toolkit.json import is_object, is_whole_json
from tokenwire.protocols.toolkit.toolcalls import is_json_object
from tokenwire.testing import Subject
from tokenwire.testing.subject import repeats_what_it_can_say

__all__ = ["SUBJECTS"]

COHERE = PROVIDERS["cohere"]


# What is heard


class Hearing:
    """What is heard of the blocks that are written, one after the other."""

    def __init__(self) -> None:
        self.heard: list[Event] = []
        self.parts: list[int] = []  # the numbers of the blocks that are parts
        self.contents: list[int] = []  # the parts that are texts or thoughts
        self.places: dict[int, tuple[str, int]] = {}  # by part: of what a citation is, and of which

    def opening(self, block: Block) -> None:
        if block.kind is Native:
            return
        part = len(self.parts)
        self.parts.append(block.number)
        if block.call is not None:
            call = block.call
            id = call.id or f"call_1_{call.number}"
            self.heard.append(ToolCallStart(call.number, id, call.name, part=part))
            return
        self.places[block.part] = ("THINKING" if block.kind is Reasoning else "TEXT", part)
        self.contents.append(part)

    def piece(self, block: Block, text: str) -> None:
        if not text:
            return
        part = self.parts.index(block.number)
        if block.call is not None:
            self.heard.append(ToolCallDelta(block.call.number, text))
        else:
            self.heard.append(
                Reasoning(text, part) if block.kind is Reasoning else Text(text, part)
            )

    def cited(self, answer: list[Event]) -> tuple[list[Event], list[Event]]:
        """The sources, and all of them as Cohere writes them."""
        found = [e for e in answer if isinstance(e, Citation)]
        events: list[Event] = []
        written: list[dict[str, Any]] = []
        for each in found:
            kind, part = self.places.get(each.part, ("TEXT", None))
            place = {} if part is None else {"content_index": self.contents.index(part)}
            document = {
                "id": each.source,
                "url": each.url,
                "title": each.title,
                "snippet": each.quote,
            }
            document = {k: v for k, v in document.items() if v}
            named = {"id": each.source} if each.source else {}
            span = {"start": each.start, "end": each.end}
            source = {"type": "document", **named, "document": document}
            said = {k: v for k, v in span.items() if v is not None}
            written.append({**said, "sources": [source], "type": f"{kind}_CONTENT", **place})
            part = max(self.contents, default=0) if part is None else part
            events.append(msgspec.structs.replace(each, part=part))
        natives = [e.raw for e in answer if isinstance(e, Native)]
        if not found and not natives:
            return [], []
        raw = natives[0] if natives else msgspec.json.encode({"citations": written})
        return events, [Native("cohere", raw, len(self.parts))]


def hears_stream(chat: Chat, answer: list[Event]) -> list[Event]:
    """One block after the other, as `BlockWriter` orders them; the sources, the usage, the ends of
    calls and the finish at the end."""
    hearing, writer = Hearing(), BlockWriter("cohere")
    start = Start("chat_1", chat.model)
    for event in answer:
        match event:
            case Start():
                start = Start(event.id or start.id, chat.model)
                continue
            case Citation() | Usage() | Finish():
                continue
            case Unrecognized():
                hearing.heard.append(event)
                continue
            case LogProbs():
                hearing.heard += [
                    LogProbs([TokenLogProb(t.token, t.logprob)]) for t in event.tokens
                ]
                continue
            case Refusal():
                acts = writer.write(Text(event.text, event.part))
            case End():
                acts = writer.end()
            case _:
                acts = writer.write(event)
        for act in acts:
            if act.does == "open":
                hearing.opening(act.block)
            else:
                hearing.piece(act.block, act.text)
    sources, native = hearing.cited(answer)
    return [start, *hearing.heard, *sources, *native, *ends(answer)]


def hears_whole(chat: Chat, answer: list[Event]) -> list[Event]:
    """The same, in one piece each: texts and thoughts, then the calls."""
    said = Reply.of(answer)
    choice = said.choices.get(0)
    hearing = Hearing()
    tokens: list[TokenLogProb] = []
    calls = {e.call: e for e in answer if isinstance(e, ToolCallEnd)}
    if choice is not None:
        events = (Text(e.text, e.part) if isinstance(e, Refusal) else e for e in choice.events())
        blocks = sorted(blocks_of(events, "cohere"), key=lambda block: block.call is not None)
        for number, block in enumerate(blocks):
            block.number = number
            hearing.opening(block)
            # Of a call without arguments that was cut, nothing but the end is told.
            call = None if block.call is None else calls[block.call.number]
            cut = call is not None and block.text == "{}" and not call.complete
            hearing.piece(block, "" if cut else block.text)
        tokens = [TokenLogProb(t.token, t.logprob) for e in choice.logprobs for t in e.tokens]
    sources, native = hearing.cited(answer)
    return [
        Start(said.id or "chat_1", chat.model),
        *hearing.heard,
        *sources,
        *([LogProbs(tokens)] if tokens else []),
        *native,
        *ends(answer),
    ]


def ends(answer: list[Event]) -> list[Event]:
    """The usage, the ends of the calls, the finish."""
    usages = [counted(e) for e in answer if isinstance(e, Usage)]
    calls = [e for e in answer if isinstance(e, ToolCallEnd)]
    finish = next((e for e in answer if isinstance(e, Finish)), None)
    if finish is None:
        finish = Finish("TOOL_CALL", "tool_call") if calls else Finish("COMPLETE", "stop")
    over = [msgspec.structs.replace(e, id=e.id or f"call_1_{e.call}") for e in calls]
    return [*usages[-1:], *over, msgspec.structs.replace(finish, detail=""), End("terminator")]


def counted(usage: Usage) -> Usage:
    counts = {"input_tokens": usage.input_tokens or 0, "output_tokens": usage.output_tokens or 0}
    billed, tokens = (usage.raw.get(key) for key in ("billed_units", "tokens"))
    told: dict[str, Any] = {
        "billed_units": billed if is_object(billed) else dict(counts),
        "tokens": {**(tokens if is_object(tokens) else {}), **counts},
    }
    if usage.reasoning_output_tokens is not None:
        told["tokens"]["reasoning_tokens"] = usage.reasoning_output_tokens
    if usage.cache_read_input_tokens is not None:
        told["cached_tokens"] = usage.cache_read_input_tokens
    return Usage(
        counts["input_tokens"],
        counts["output_tokens"],
        sum(counts.values()),
        usage.cache_read_input_tokens,
        reasoning_output_tokens=usage.reasoning_output_tokens,
        raw=told,
    )


# What is understood


def understands(provider: Provider, chat: Chat) -> Chat:
    """Calls after all else; no empty texts; a tool that is demanded, alone."""
    messages: list[Message] = []
    for message in chat.messages:
        role = "system" if message.role == "developer" else message.role
        parts: list[Part] = [p for p in message.parts if not isinstance(p, TextPart) or p.text]
        if message.failed:
            text = parts[0].text if parts and isinstance(parts[0], TextPart) else ""
            if not text.startswith("Error: "):
                parts[:1] = [TextPart(f"Error: {text}")]
        content = tuple(sorted(parts, key=lambda part: isinstance(part, ToolCall)))
        simple = all(isinstance(part, TextPart) for part in content) and len(content) < 2
        said = Message(role, content, tool_call_id=message.tool_call_id)
        messages.append(said.replace(content=said.text) if simple else said)
    nothing: dict[str, Any] = {"type": "object", "properties": {}}
    tools = [tool for tool in chat.tools if isinstance(tool, Tool)]
    choice = chat.tool_choice
    if choice in ("auto", None) or not tools:
        choice = None
    elif choice not in ("none", "required"):
        tools = [tool for tool in tools if tool.name == choice][:1]
        choice = "required"
    return chat.replace(
        model=provider.model(chat.model),
        messages=tuple(messages),
        tools=tuple(Tool(t.name, t.description, t.parameters or nothing, t.strict) for t in tools),
        tool_choice=choice,
    )


# What fuzzers begin with, and what they may repeat


def repeats(provider: Provider, chat: Chat, events: list[Event]) -> list[Event] | None:
    """That a call is not complete is told by its arguments, or by the reason only; what is no JSON
    can't be said."""
    ends = [event for event in events if isinstance(event, ToolCallEnd)]
    if any(not end.complete and is_json_object(end.arguments) for end in ends):
        return None
    odd = [e for e in events if isinstance(e, Unrecognized) and not is_whole_json(e.raw)]
    return repeats_what_it_can_say(provider, chat, [e for e in events if e not in odd])


SHORT: list[Event] = [
    *(Start("i", "m"), Reasoning("so"), Text("h\u20ac", part=1)),
    *(ToolCallStart(0, "c", "f", part=2), ToolCallDelta(0, '{"a":1}'), Usage(3, 2)),
    *(ToolCallEnd(0, "c", "f", '{"a":1}', True), Finish("TOOL_CALL", "tool_call")),
    End("terminator"),
]
CITED = (
    b'{"citations":[{"start":0,"end":2,"text":"hi","sources":[{"type":"document","id":"d",'
    b'"document":{"id":"d","title":"D","text":"said hi"}}],"type":"TEXT_CONTENT",'
    b'"content_index":0}]}'
)
SIGNED: list[Event] = [
    *(Start("i", "m"), Text("hi"), Citation("", "D", "d", start=0, end=2)),
    *(Native("cohere", CITED, 1), Finish("COMPLETE", "stop"), End("terminator")),
]
EXAMPLES: tuple[list[Event], ...] = (
    [Text("h\u20ac"), Text(" i\n"), Finish("MAX_TOKENS", "length"), End("terminator")],
    [Refusal("no"), LogProbs([TokenLogProb("n", -1.0)]), End("terminator")],
    SIGNED,
)


def data(*events: str) -> bytes:
    return b"".join(b"data: " + event.encode() + b"\n\n" for event in events)


SEEDS = (
    data(
        '{"type":"message-start","id":"i","delta":{"message":{"role":"assistant","content":[]}}}',
        '{"type":"tool-plan-delta","delta":{"message":{"tool_plan":"I will"}}}',
        '{"type":"message-end","delta":{"finish_reason":"ERROR","usage":{},"error":"no",'
        '"error_type":"INVALID_TOOL_GENERATION"}}',
        "[DONE]",
    ),
    data(
        '{"delta":{"message":{"content":{"thinking":"t","type":"thinking"}}},"index":0,'
        '"type":"content-start"}',
        '{"type":"content-end","index":0}',
        '{"type":"content-start","index":1,"delta":{"message":{"content":{"type":"audio"}}}}',
        '{"type":"content-delta","index":1,"delta":{"message":{"content":{"x":1}}}}',
        '{"type":"content-delta","index":2,"delta":{"message":{"content":{"text":"a","y":1}}},'
        '"logprobs":{"text":"a","token_ids":[1],"logprobs":[-0.5]}}',
        '{"type":"citation-start","index":0,"delta":{"message":{"citations":{"start":0,"end":1,'
        '"text":"a","sources":[{"type":"tool","id":"c:0","tool_output":{"url":"u"}},7],'
        '"type":"TEXT_CONTENT","content_index":2}}}}',
        '{"type":"tool-call-start","index":0,"delta":{"message":{"tool_calls":{"id":"c",'
        '"type":"function","function":{"name":"f","arguments":""}}}}}',
        '{"type":"tool-call-delta","index":0,"delta":{"message":{"tool_calls":{"function":'
        '{"arguments":7}}}}}',
        '{"type":"debug","prompt":"p"}',
        '{"type":"message-end","id":"i","delta":{"finish_reason":"TOOL_CALL","usage":'
        '{"billed_units":{"input_tokens":1.0},"cached_tokens":2}}}',
    ),
    b'{"generation_id":"g","message":{"role":"assistant","content":[{"type":"text","text":"a"},'
    b'{"type":"x"}],"tool_plan":"p","tool_calls":[{"id":"c","type":"function","function":'
    b'{"name":"f","arguments":"null"}}],"citations":[{"sources":[]}]},"finish_reason":"COMPLETE",'
    b'"usage":null,"logprobs":[{"text":"a","token_ids":[1,2],"logprobs":[-1,-2]}]}',
    data('{"message":"boom","id":"x"}'),
    b'{"id":"x","message":"invalid api token"}',
    b'{"is_finished":false,"event_type":"stream-start","generation_id":"g"}\n',
)
WORDS = tuple(
    (
        b'"type":"message-start" "type":"message-end" "type":"content-start" '
        b'"type":"content-delta" "type":"content-end" "type":"tool-plan-delta" '
        b'"type":"tool-call-start" "type":"tool-call-delta" "type":"tool-call-end" '
        b'"type":"citation-start" "index":0 "index":1 "delta":{ "message":{ "content":{ '
        b'"content":[{ "text":"t" "thinking":"t" "type":"text" "type":"thinking" '
        b'"tool_plan":"p" "tool_calls":{ "tool_calls":[{ "type":"function" "function":{ '
        b'"name":"f" "arguments":"{}" "citations":{ "citations":[{ "start":0 "end":1 '
        b'"sources":[{ "document":{"id":"d","url":"u"} "tool_output":{"title":"t"} '
        b'"content_index":0 "type":"PLAN" "finish_reason":"COMPLETE" "finish_reason":"ERROR" '
        b'"error":"e" "error_type":"E" "usage":{"tokens":{"input_tokens":1}} "billed_units":{ '
        b'"cached_tokens":1 "logprobs":{"text":"t","token_ids":[1],"logprobs":[-1]} "id":"i" '
        b'"messages":[{ "role":"user" "role":"tool" "tool_call_id":"c" "stream":true "p":0.5 '
        b'"k":3 "stop_sequences":["x"] "tools":[{ "parameters":{} "tool_choice":"REQUIRED" '
        b'"strict_tools":true "response_format":{"type":"json_object","json_schema":{}} '
        b'"type":"image_url","image_url":{"url":"u"} "thinking":{"type":"enabled"} '
        b'"logprobs":true '
    ).split()
)


def _subjects() -> Iterator[tuple[str, Subject]]:
    known: dict[str, Any] = {
        "provider": COHERE,
        "short": SHORT,
        "understands": understands,
        "repeats": repeats,
        "signed": SIGNED,
        "seeds": tuple((seed,) for seed in SEEDS),
        "examples": EXAMPLES,
        "words": WORDS,
    }
    yield (
        "cohere",
        Subject(
            **known,
            hears=hears_stream,
            asked={"stream": True, "model": "m"},
            unrecognized=st.sampled_from(
                [b'{"type":"debug","prompt":"p"}', b"[1]", b'{"type":"new","index":0}']
            ),
            form=(
                b'data: {"type":"content-delta","index":0,"delta":{"message":{"content":{"text":"',
                b'"}}}}',
            ),
        ),
    )
    yield (
        "cohere-whole",
        Subject(
            **known,
            hears=hears_whole,
            asked={"stream": False, "model": "m"},
            proven=proven_by_brace,
        ),
    )


SUBJECTS = dict(_subjects())
