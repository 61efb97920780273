"""Converse of Amazon Bedrock, for all tests of formats: streamed and whole."""

import re
from collections.abc import Iterator
from typing import Any

import msgspec

from tests.formats.openai_chat.subject import proven_by_brace
from tokenwire import (
    PROVIDERS,
    Chat,
    Citation,
    End,
    Event,
    FilePart,
    Finish,
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
    Tool,
    ToolCall,
    ToolCallDelta,
    ToolCallEnd,
    ToolCallStart,
    Usage,
)
from tokenwire.protocols.aws import event_frame
from tokenwire.protocols.blocks import Block, BlockWriter, blocks_of
from tokenwire.protocols.chat import Role
from tokenwire.protocols.encoding import accepted_id
from tokenwire.protocols.formats.bedrock.request import IDS
from tokenwire.testing import Subject

__all__ = ["BEDROCK", "MODEL", "SUBJECTS", "stream"]

MODEL = "us.anthropic.claude-m-v1:0"
BEDROCK = PROVIDERS["bedrock"].replace(
    base_url="https://bedrock-runtime.us-east-1.amazonaws.com",
    # Of each vendor whose `top_k` is known.
    models=(MODEL, "amazon.nova-m"),
    any_model=False,
)
REQUEST_ID = "00000000-0000-4000-8000-000000000001"


# What is heard


def hears_stream(chat: Chat, answer: list[Event]) -> list[Event]:
    """One block after the other, as `BlockWriter` orders them; a text that begins with a source in
    one piece; the usage, the calls and the finish at the end."""
    writer = BlockWriter("bedrock")
    heard: list[Event] = [Start(REQUEST_ID, chat.model)]
    held: Block | None = None
    usage = None
    for event in answer:
        match event:
            case Usage():
                usage = event
                continue
            case Start() | Finish():
                continue
            case End():
                acts = writer.end()
            case _:
                acts = writer.write(as_text(event))
        for act in acts:
            block = act.block
            if act.does == "open":
                heard += opening(block)
            elif act.does == "close":
                if block is held:
                    heard += whole_text(block)
                held = None
            elif act.citation is not None and (block is held or not block.pieces):
                held = block
            elif act.citation is not None:
                heard.append(cited(act.citation, block))
            else:
                block.pieces.append(act.text)
                heard += piece(block, act.text) if block is not held else []
    return [*heard, *ends(answer, heard, usage)]


def hears_whole(chat: Chat, answer: list[Event]) -> list[Event]:
    """The same, each block in one piece."""
    said = Reply.of(answer)
    choice = said.choices[0] if said.choices else Reply().choices.get(0)
    events: list[Event] = []
    rest = [e for e in answer if isinstance(e, Citation)]
    for event in choice.events() if choice is not None else ():
        if isinstance(event, Native):
            events += [c for c in rest if c.part == event.part]
            rest = [c for c in rest if c.part != event.part]
        events.append(as_text(event))
        if isinstance(event, Text):
            events += [c for c in rest if c.part == event.part]
            rest = [c for c in rest if c.part != event.part]
    heard: list[Event] = [Start(REQUEST_ID, chat.model)]
    complete = [call.complete for call in choice.tool_calls] if choice is not None else []
    for block in blocks_of([*events, *rest], "bedrock"):
        heard += opening(block)
        if block.citations:
            heard += whole_text(block)
        elif block.call is not None:
            # Of a call without arguments that was cut, nothing but the end is told.
            cut = not complete[block.call.number] and block.text in ("", "{}")
            heard += piece(block, "" if cut else block.text or "{}")
        else:
            heard += piece(block, block.text)
    return [*heard, *ends(answer, heard, said.usage)]


def as_text(event: Event) -> Event:
    return Text(event.text, event.part) if isinstance(event, Refusal) else event


def opening(block: Block) -> list[Event]:
    if block.call is None:
        return []
    call = block.call
    id = accepted_id(call.id or f"tooluse_1_{call.number}", IDS)
    return [ToolCallStart(call.number, id, call.name, part=block.number)]


def piece(block: Block, text: str) -> list[Event]:
    if not text:
        return []
    if block.call is not None:
        return [ToolCallDelta(block.call.number, text)]
    return [Text(text, block.number) if block.kind is Text else Reasoning(text, block.number)]


def cited(citation: Citation, block: Block) -> Citation:
    return msgspec.structs.replace(citation, part=block.number, start=None, end=None)


def whole_text(block: Block) -> list[Event]:
    """A text with its sources first, and its native form."""
    citations = [
        {
            "title": c.title,
            **({"source": c.source} if c.source else {}),
            **({"sourceContent": [{"text": c.quote}]} if c.quote else {}),
            **({"location": {"web": {"url": c.url}}} if c.url else {}),
        }
        for c in block.citations
    ]
    content = [{"text": block.text}] if block.text else []
    form = {"citationsContent": {"content": content, "citations": citations}}
    return [
        *(cited(c, block) for c in block.citations),
        *piece(block, block.text),
        Native("bedrock", msgspec.json.encode(form), block.number),
    ]


def ends(answer: list[Event], heard: list[Event], usage: Usage | None) -> list[Event]:
    """The usage, the ends of the calls, the finish."""
    starts = {e.call: e for e in heard if isinstance(e, ToolCallStart)}
    calls = [e for e in answer if isinstance(e, ToolCallEnd)]
    finish = next((e for e in answer if isinstance(e, Finish)), None)
    if finish is None:
        finish = Finish("tool_use", "tool_call") if calls else Finish("end_turn", "stop")
    dialect = BEDROCK.dialect
    if finish.kind and finish.reason not in dialect.finish:  # as in `end_Turn`
        finish = msgspec.structs.replace(finish, reason=dialect.reason(finish.kind))
    return [
        counted(usage or Usage()),
        *(msgspec.structs.replace(call, id=starts[call.call].id) for call in calls),
        msgspec.structs.replace(finish, detail=""),
        End("terminator"),
    ]


def counted(usage: Usage) -> Usage:
    read, written = usage.cache_read_input_tokens, usage.cache_write_input_tokens
    cached = (read or 0) + (written or 0)
    fresh, said = max((usage.input_tokens or 0) - cached, 0), usage.output_tokens or 0
    total = fresh + cached + said
    raw: dict[str, Any] = {"inputTokens": fresh, "outputTokens": said, "totalTokens": total}
    if read is not None:
        raw["cacheReadInputTokens"] = read
    if written is not None:
        raw["cacheWriteInputTokens"] = written
    own = ("cacheDetails", "serverToolUsage", "metrics", "performanceConfig", "serviceTier")
    raw |= {"metrics": {"latencyMs": 0}, **{k: usage.raw[k] for k in own if k in usage.raw}}
    return Usage(fresh + cached, said, total, read, written, raw=raw)


# What is understood


def is_said(part: Part) -> bool:
    return not isinstance(part, TextPart) or bool(part.text)


def understands(provider: Provider, chat: Chat) -> Chat:
    """System messages part by part; neighbours of one side as one message, but results of tools,
    each of which is one."""
    messages: list[Message] = []
    side: Role | None = None
    for message in chat.messages:
        role: Role = "system" if message.role == "developer" else message.role
        parts = tuple(as_written(part) for part in message.parts if is_said(part))
        if role == "system":
            messages += [Message("system", simply((part,))) for part in parts]
        elif role == "tool":
            id = accepted_id(message.tool_call_id, IDS)
            messages.append(message.replace(content=simply(parts), tool_call_id=id))
        elif side == role:
            messages[-1] = Message(role, simply((*messages[-1].parts, *parts)))
        else:
            messages.append(Message(role, simply(parts)))
        side = role
    nothing: dict[str, Any] = {"type": "object", "properties": {}}
    tools = (tool for tool in chat.tools if isinstance(tool, Tool))
    off = chat.tool_choice == "none" or not chat.tools
    return chat.replace(
        model=provider.model(chat.model),
        messages=tuple(messages),
        tools=()
        if off
        else tuple(Tool(t.name, t.description, t.parameters or nothing, t.strict) for t in tools),
        tool_choice=None if off else chat.tool_choice,
    )


def as_written(part: Part) -> Part:
    if isinstance(part, ToolCall):
        return msgspec.structs.replace(part, id=accepted_id(part.id, IDS))
    if isinstance(part, FilePart):
        return msgspec.structs.replace(part, name=re.sub(r"[^A-Za-z0-9()\[\]-]+", "-", part.name))
    return part


def simply(parts: tuple[Part, ...]) -> str | tuple[Part, ...]:
    if len(parts) == 1 and isinstance(parts[0], TextPart):
        return parts[0].text
    return parts or ""


# What is proven, and what fuzzers begin with

SHORT: list[Event] = [
    *(Reasoning("so"), Text("h\u20ac", part=1)),
    *(ToolCallStart(0, "c", "f", part=2), ToolCallDelta(0, '{"a":1}'), Usage(3, 2)),
    *(ToolCallEnd(0, "c", "f", '{"a":1}', True), Finish("tool_use", "tool_call")),
    End("finish"),
]
_CITED = {
    "citationsContent": {
        "content": [{"text": "hi"}],
        "citations": [
            {
                "title": "A",
                "sourceContent": [{"text": "q"}],
                "location": {"documentChar": {"documentIndex": 0, "start": 1, "end": 2}},
            }
        ],
    }
}
_FORMS: list[Any] = [
    {"reasoningContent": {"reasoningText": {"text": "so", "signature": "c2ln"}}},
    {"reasoningContent": {"redactedContent": "ZGF0YQ=="}},
    {
        "toolUse": {
            "toolUseId": "s",
            "name": "nova_grounding",
            "type": "server_tool_use",
            "input": {"query": "x"},
        }
    },
    {"toolResult": {"toolUseId": "s", "type": "nova_grounding_result", "content": [{"text": "h"}]}},
    _CITED,
]
_RAW = [msgspec.json.encode(form) for form in _FORMS]
SIGNED: list[Event] = [
    *(Reasoning("so"), Native("bedrock", _RAW[0])),
    *(Native("bedrock", raw, part) for part, raw in enumerate(_RAW[1:4], 1)),
    *(Citation(title="A", source="0", quote="q", part=4), Text("hi", part=4)),
    Native("bedrock", _RAW[4], 4),
    *(Finish("end_turn", "stop"), End("finish")),
]
EXAMPLES: tuple[list[Event], ...] = (
    [Text("h\u20ac"), Text(" i\n"), Finish("end_turn", "stop"), End("terminator")],
    [Refusal("no"), Finish("guardrail_intervened", "content_filter"), End("terminator")],
    SIGNED,
)


def stream(*events: tuple[str, str]) -> bytes:
    """The frames of events, each with its name and its payload."""
    return b"".join(event_frame(type, payload.encode()) for type, payload in events)


SEEDS = (
    stream(
        ("messageStart", '{"p":"abc","role":"assistant"}'),
        ("contentBlockDelta", '{"contentBlockIndex":0,"delta":{"text":""}}'),
        ("contentBlockDelta", '{"contentBlockIndex":0,"delta":{"text":"a","x":1}}'),
        ("contentBlockDelta", '{"delta":{"future":1},"p":"ab"}'),
        ("contentBlockStart", '{"contentBlockIndex":1,"start":{"image":{"format":"png"}}}'),
        (
            "contentBlockDelta",
            '{"contentBlockIndex":1,"delta":{"image":{"source":{"bytes":"iVBORw=="}}}}',
        ),
        ("contentBlockStop", '{"contentBlockIndex":1}'),
        (
            "contentBlockStart",
            '{"contentBlockIndex":2,"start":{"toolUse":{"toolUseId":"t","name":"f"}}}',
        ),
        ("contentBlockDelta", '{"contentBlockIndex":2,"delta":{"toolUse":{"input":"{}"}}}'),
        (
            "metadata",
            '{"usage":{"inputTokens":1,"cacheReadInputTokens":2},"trace":{"guardrail":1}}',
        ),
        (
            "messageStop",
            '{"stopReason":"stop_sequence",'
            '"additionalModelResponseFields":{"delta":{"stop_sequence":"x"}}}',
        ),
    ),
    stream(
        ("future", '{"a":1}'),
        ("messageStop", '{"stopReason":"malformed_tool_use"}'),
        ("metadata", "{}"),
    ),
    b'{"output":{"message":{"role":"assistant","content":[{"text":"a"},{"future":1},{"image":'
    b'{"format":"png","source":{"bytes":"iVBORw=="}}},{"citationsContent":{"content":[{"text":"b"}'
    b'],"citations":[{"title":"t"}]}}]}},"stopReason":"end_turn","usage":{"inputTokens":1}}',
    b'{"message":"no"}',
)
WORDS = tuple(
    (
        b'"contentBlockIndex":0 "contentBlockIndex":1 "delta":{ "start":{ "text":"a" "toolUse":{ '
        b'"toolResult":{ "reasoningContent":{ "reasoningText":{ "signature":"s" '
        b'"redactedContent":"YQ==" "citation":{ "citationsContent":{ "sourceContent":[{"text":"q"}]'
        b" "
        b'"location":{"web":{"url":"u"}} "toolUseId":"t" "name":"n" "input":"{}" "input":{"a":1} '
        b'"type":"server_tool_use" "image":{ "format":"png" "source":{"bytes":"YQ=="} '
        b'"source":{"s3Location":{"uri":"s3://a/b"}} "stopReason":"end_turn" "usage":{ '
        b'"inputTokens":1 "outputTokens":1 "trace":{} "metrics":{"latencyMs":1} "message":"no" '
        b'"output":{"message":{"content":[ "role":"user" "role":"assistant" "messages":[{ '
        b'"content":[{ "system":[{ "inferenceConfig":{"maxTokens":1,"stopSequences":["x"]} '
        b'"toolConfig":{"tools":[{ "toolSpec":{ "inputSchema":{"json":{}} "toolChoice":{"any":{}} '
        b'"cachePoint":{"type":"default","ttl":"1h"} "document":{ "status":"error" "json":{} '
        b'"outputConfig":{"effort":"high"} "additionalModelRequestFields":{"top_k":1}'
    ).split()
)


def _subjects() -> Iterator[tuple[str, Subject]]:
    known: dict[str, Any] = {
        "provider": BEDROCK,
        "short": SHORT,
        "understands": understands,
        "signed": SIGNED,
        "seeds": tuple((seed,) for seed in SEEDS),
        "examples": EXAMPLES,
        "words": WORDS,
    }
    yield (
        "bedrock",
        Subject(**known, hears=hears_stream, asked={"stream": True, "model": MODEL}),
    )
    yield (
        "bedrock-whole",
        Subject(
            **known,
            hears=hears_whole,
            asked={"stream": False, "model": MODEL},
            proven=proven_by_brace,
        ),
    )


SUBJECTS = dict(_subjects())
