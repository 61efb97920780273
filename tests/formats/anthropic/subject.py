"""Anthropic Messages, for all tests of formats: streamed and whole."""

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
from tokenwire.protocols.blocks import Block, BlockWriter, blocks_of
from tokenwire.protocols.chat import Role
from tokenwire.protocols.encoding import accepted_id
from tokenwire.protocols.formats.anthropic.request import IDS
from tokenwire.protocols.toolkit.toolcalls import seems_complete
from tokenwire.testing import Subject

__all__ = ["SUBJECTS"]

ANTHROPIC = PROVIDERS["anthropic"]


# What is heard


def hears_stream(chat: Chat, answer: list[Event]) -> list[Event]:
    """One block after the other, as `BlockWriter` orders them; the usage as the answer begins and
    at the end, where the refusal, the calls and the finish are, too."""
    start, usage, begun = Start("msg_1", chat.model), None, False
    told = counts(None)
    writer = BlockWriter("anthropic")
    heard: list[Event] = []
    for event in answer:
        match event:
            case Start():
                if not begun:
                    start = Start(event.id or start.id, event.model or start.model)
                continue
            case Usage():
                usage = event
                continue
            case Refusal() | Finish():
                continue
            case End():
                acts = writer.end()
            case _:
                acts = writer.write(event)
        if not begun:
            told = counts(usage) | {"output_tokens": 0}
            heard += [start, usage_of(told, final=False)]
            begun = True
        for number, act in enumerate(acts):
            if act.does == "open":
                cited = any(each.citation for each in acts[number : number + 2])
                heard += opening(act.block, kept=cited)
            elif act.does == "piece":
                heard += piece(act.block, act.text)
                act.block.pieces.append(act.text)
            else:
                heard += closing(act.block)
    last = counts(usage)
    if usage is None or usage.input_tokens is None:
        del last["input_tokens"]
    told |= last
    return [*heard, usage_of(told), *ends(answer, heard), End("terminator")]


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
        if not isinstance(event, Refusal):
            events.append(event)
        if isinstance(event, Text):
            events += [c for c in rest if c.part == event.part]
            rest = [c for c in rest if c.part != event.part]
    heard: list[Event] = [Start(said.id or "msg_1", said.model or chat.model)]
    for block in blocks_of([*events, *rest], "anthropic"):
        heard += opening(block, kept=bool(block.citations))
        if block.kind is Text:
            heard += cited(block)
        # Of a call without arguments that was cut, nothing but the end is told.
        heard += piece(block, "" if block.text == "{}" else block.text)
        if getattr(block, "kept", False):
            heard += native(block)
    told = ends(answer, heard)
    (finish,) = (e for e in told if isinstance(e, Finish))
    for number, event in enumerate(told):
        # An empty input may be all that was left of a call that was cut.
        if (
            isinstance(event, ToolCallEnd)
            and event.complete
            and not seems_complete(event, finish.kind)
        ):
            told[number] = msgspec.structs.replace(event, complete=False)
    return [*heard, usage_of(counts(said.usage)), *told, End("terminator")]


def opening(block: Block, *, kept: bool) -> list[Event]:
    vars(block)["kept"] = kept and block.kind is Text
    if block.call is None:
        return []
    call = block.call
    id = accepted_id(call.id or f"toolu_1_{call.number}", IDS)
    return [ToolCallStart(call.number, id, call.name, part=block.number)]


def piece(block: Block, text: str) -> list[Event]:
    if not text:
        return []
    if block.call is not None:
        return [ToolCallDelta(block.call.number, text)]
    return [Text(text, block.number) if block.kind is Text else Reasoning(text, block.number)]


def closing(block: Block) -> list[Event]:
    if block.kind is not Text:
        return []
    return [*cited(block), *(native(block) if vars(block)["kept"] else [])]


def cited(block: Block) -> list[Event]:
    return [Citation(c.url, c.title, quote=c.quote, part=block.number) for c in block.citations]


def native(block: Block) -> list[Event]:
    """A text that was cited has a native form, with all its citations."""
    said = [
        {
            "type": "web_search_result_location",
            "url": c.url,
            "title": c.title,
            "cited_text": c.quote,
            "encrypted_index": "",
        }
        for c in block.citations
    ]
    raw = msgspec.json.encode({"type": "text", "text": block.text, "citations": said})
    return [Native("anthropic", raw, block.number)]


def ends(answer: list[Event], heard: list[Event]) -> list[Event]:
    """The refusal, the ends of the calls, the finish."""
    parts = {e.part for e in heard if isinstance(e, Text | Reasoning | ToolCallStart | Citation)}
    refusal = "".join(e.text for e in answer if isinstance(e, Refusal))
    starts = {e.call: e for e in heard if isinstance(e, ToolCallStart)}
    calls = [e for e in answer if isinstance(e, ToolCallEnd)]
    finish = next((e for e in answer if isinstance(e, Finish)), None)
    if finish is None:
        finish = Finish("tool_use", "tool_call") if calls else Finish("end_turn", "stop")
        finish = Finish("refusal", "content_filter") if refusal else finish
    return [
        *([Refusal(refusal, max(parts, default=-1) + 1)] if refusal else []),
        *(msgspec.structs.replace(call, id=starts[call.call].id) for call in calls),
        finish,
    ]


def counts(usage: Usage | None) -> dict[str, Any]:
    if usage is None:
        return {"input_tokens": 0, "output_tokens": 0}
    read, written = usage.cache_read_input_tokens, usage.cache_write_input_tokens
    asked = (usage.input_tokens or 0) - (read or 0) - (written or 0)
    told: dict[str, Any] = {"input_tokens": max(asked, 0)}
    told["output_tokens"] = usage.output_tokens or 0
    if read is not None:
        told["cache_read_input_tokens"] = read
    if written is not None:
        told["cache_creation_input_tokens"] = written
    if usage.reasoning_output_tokens is not None:
        told["output_tokens_details"] = {"thinking_tokens": usage.reasoning_output_tokens}
    return told


def usage_of(told: dict[str, Any], *, final: bool = True) -> Usage:
    read = told.get("cache_read_input_tokens")
    written = told.get("cache_creation_input_tokens")
    asked = told["input_tokens"] + (read or 0) + (written or 0)
    said = told["output_tokens"] if final else None
    thought = told.get("output_tokens_details", {}).get("thinking_tokens")
    total = None if said is None else asked + said
    return Usage(asked, said, total, read, written, thought, dict(told))


# What is understood


def is_said(part: Part) -> bool:
    return not isinstance(part, TextPart) or bool(part.text)


def understands(provider: Provider, chat: Chat) -> Chat:
    """System messages part by part; neighbours of one side as one message, results first."""
    system: list[Message] = []
    turns: list[tuple[Role, list[Message], list[Part]]] = []
    for message in chat.messages:
        role: Role = "system" if message.role == "developer" else message.role
        parts = [as_written(part) for part in message.parts if is_said(part)]
        if role == "system" and not turns:
            system += [Message("system", simply([part])) for part in parts]
            continue
        side: Role = "user" if role == "tool" else role
        if not turns or turns[-1][0] != side or side == "system":
            turns.append((side, [], []))
        if role == "tool":
            id = accepted_id(message.tool_call_id, IDS)
            turns[-1][1].append(message.replace(content=simply(parts), tool_call_id=id))
        else:
            turns[-1][2].extend(parts)
    messages = list(system)
    for side, results, parts in turns:
        messages += results
        if parts:
            messages.append(Message(side, simply(parts)))
    nothing: dict[str, Any] = {"type": "object", "properties": {}}
    tools = (tool for tool in chat.tools if isinstance(tool, Tool))
    choice, parallel = chat.tool_choice, chat.parallel
    if parallel is False:
        choice = choice or "auto"
    if choice in (None, "none"):
        parallel = None
    return chat.replace(
        model=provider.model(chat.model),
        messages=tuple(messages),
        tools=tuple(Tool(t.name, t.description, t.parameters or nothing, t.strict) for t in tools),
        tool_choice=choice,
        parallel=parallel,
        max_tokens=chat.max_tokens or provider.fields["max_tokens"],
    )


def as_written(part: Part) -> Part:
    if isinstance(part, ToolCall):
        return msgspec.structs.replace(part, id=accepted_id(part.id, IDS))
    return part


def simply(parts: list[Part]) -> str | tuple[Part, ...]:
    if len(parts) == 1 and isinstance(parts[0], TextPart):
        return parts[0].text
    return tuple(parts) if parts else ""


# What is proven, and what fuzzers begin with

SHORT: list[Event] = [
    *(Start("msg_7", "m"), Reasoning("so"), Text("h\u20ac", part=1)),
    *(ToolCallStart(0, "c", "f", part=2), ToolCallDelta(0, '{"a":1}'), Usage(3, 2)),
    *(ToolCallEnd(0, "c", "f", '{"a":1}', True), Finish("tool_use", "tool_call")),
    End("finish"),
]
SIGNED: list[Event] = [
    *(Start("msg_7", "m"), Reasoning("so")),
    Native("anthropic", b'{"type":"thinking","thinking":"so","signature":"c2ln"}'),
    Native("anthropic", b'{"type":"redacted_thinking","data":"ZGF0YQ=="}', 1),
    Native(
        "anthropic",
        b'{"type":"server_tool_use","id":"s","name":"web_search","input":{"query":"x"}}',
        2,
    ),
    Native("anthropic", b'{"type":"web_search_tool_result","tool_use_id":"s","content":[]}', 3),
    *(Citation("https://a.example", "A", quote="q", part=4), Text("hi", part=4)),
    Native(
        "anthropic",
        b'{"type":"text","text":"hi","citations":[{"type":"web_search_result_location",'
        b'"url":"https://a.example","title":"A","cited_text":"q","encrypted_index":"e"}]}',
        4,
    ),
    *(Finish("end_turn", "stop"), End("finish")),
]
EXAMPLES: tuple[list[Event], ...] = (
    [Text("h\u20ac"), Text(" i\n"), Finish("end_turn", "stop"), End("terminator")],
    [Refusal("no"), Finish("refusal", "content_filter"), End("terminator")],
    SIGNED,
)


def data(*events: str) -> bytes:
    return b"".join(b"data: " + event.encode() + b"\n\n" for event in events)


SEEDS = (
    data('{"type":"error","error":{"type":"overloaded_error","message":"no"}}'),
    data(
        '{"type":"message_start","message":{"id":"m","content":[{"type":"tool_use","id":"t",'
        '"name":"f","input":{"a":1},"caller":{"type":"code"}}],"stop_reason":"tool_use",'
        '"usage":{"input_tokens":1}}}',
        '{"type":"message_stop"}',
    ),
    data(
        '{"type":"ping"}',
        '{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"a","x":1}}',
        '{"type":"content_block_delta","index":0,"delta":{"type":"new_delta","y":1}}',
        '{"type":"content_block_start","index":1,"content_block":{"type":"compaction"}}',
        '{"type":"content_block_delta","index":1,"delta":{"type":"compaction_delta",'
        '"content":"c","encrypted_content":"e"}}',
        '{"type":"content_block_start","index":2,"content_block":{"type":"server_tool_use",'
        '"id":"s","name":"n","input":{}}}',
        '{"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta",'
        '"partial_json":"{"}}',
        '{"type":"message_delta","delta":{"stop_reason":"refusal","stop_details":{"category":"c",'
        '"explanation":"e"},"container":{"id":"k"}},"usage":{"output_tokens":2}}',
        "[DONE]",
    ),
    b'{"type":"message","id":"m","content":[{"type":"text","text":"a","citations":[{"url":"u"}]},'
    b'{"type":"thinking","thinking":"t","signature":"s"}],"stop_reason":"end_turn"}',
    b'{"type":"error","error":{"type":"api_error","message":"no"},"request_id":"r"}',
    b"event:ping\n\n<html>",
)
WORDS = tuple(
    (
        b'"type":"message_start" "type":"content_block_start" "type":"content_block_delta" '
        b'"type":"content_block_stop" "type":"message_delta" "type":"message_stop" "type":"ping" '
        b'"type":"error" "type":"text" "type":"thinking" "type":"tool_use" "type":"text_delta" '
        b'"type":"thinking_delta" "type":"input_json_delta" "type":"signature_delta" '
        b'"type":"citations_delta" "citation":{"url":"u"} "citations":[] "signature":"s" '
        b'"partial_json":"{}" "text":"t" "thinking":"t" "index":0 "index":1 "content_block":{ '
        b'"delta":{ "message":{ "content":[{ "stop_reason":"end_turn" "stop_sequence":"s" '
        b'"usage":{"output_tokens":1} "input":{"a":1} "caller":{"type":"direct"} "id":"i" '
        b'"name":"n" "role":"user" "role":"system" "max_tokens":1 "messages":[{ "system":[{ '
        b'"type":"tool_result" "tool_use_id":"i" "is_error":true "tools":[{ "input_schema":{} '
        b'"cache_control":{"type":"ephemeral","ttl":"1h"} "tool_choice":{"type":"any"} '
        b'"type":"image","source":{"type":"url","url":"u"} "type":"document" "stream":true '
        b'"output_config":{"effort":"high"} "thinking":{"type":"adaptive"} "data":"d" '
        b'"type":"redacted_thinking" "type":"server_tool_use" "stop_sequences":["x"]'
    ).split()
)


def _subjects() -> Iterator[tuple[str, Subject]]:
    known: dict[str, Any] = {
        "provider": ANTHROPIC,
        "short": SHORT,
        "understands": understands,
        "signed": SIGNED,
        "seeds": tuple((seed,) for seed in SEEDS),
        "examples": EXAMPLES,
        "words": WORDS,
    }
    yield (
        "anthropic",
        Subject(
            **known,
            hears=hears_stream,
            asked={"stream": True, "model": "m"},
            form=(
                b'data: {"type":"content_block_delta","index":0,"delta":'
                b'{"type":"text_delta","text":"',
                b'"}}',
            ),
        ),
    )
    yield (
        "anthropic-whole",
        Subject(
            **known,
            hears=hears_whole,
            asked={"stream": False, "model": "m"},
            proven=proven_by_brace,
        ),
    )


SUBJECTS = dict(_subjects())
