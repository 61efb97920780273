"""OpenAI Responses, for all tests of formats: streamed and whole."""

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
    Image,
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
    Usage,
)
from tokenwire.protocols.blocks import Block, BlockWriter, blocks_of, with_citations
from tokenwire.protocols.encoding import accepted_id, result_text
from tokenwire.protocols.formats.openai_responses.request import IDS
from tokenwire.testing import Subject

__all__ = ["SUBJECTS"]

RESPONSES = PROVIDERS["openai-responses"]
DIALECT = "openai_responses"


# What is heard


def hears_stream(chat: Chat, answer: list[Event]) -> list[Event]:
    """One item after the other, as `BlockWriter` orders them; thoughts, pictures and what is cited
    have native forms; the usage, the ends of the calls and the finish are at the end."""
    start, usage = Start("resp_1", chat.model), None
    writer, heard = BlockWriter(DIALECT), list[Event]()
    told = set[int]()  # the calls that have arguments, or are closed
    begun = False

    def write(event: Event | None) -> None:
        for act in writer.end() if event is None else writer.write(event):
            if act.does == "open":
                heard.extend(opening(act.block))
            elif act.does == "close":
                heard.extend(closing(act.block, streamed=True))
                if act.block.call is not None:
                    told.add(act.block.call.number)
            else:
                act.block.pieces.append(act.text)
                heard.extend(piece(act.block, act.text))
                heard.extend(cited([act.citation] if act.citation else [], act.block.number))
                if act.logprobs is not None:
                    heard.append(act.logprobs)

    for event in pictured(answer):
        match event:
            case Start() if not begun:
                start = Start(event.id or start.id, event.model or start.model)
            case Usage():
                usage = event
            case Start() | Finish():
                pass
            case End():
                write(None)
            case ToolCallEnd() if event.complete and event.call not in told:
                write(ToolCallDelta(event.call, event.arguments))
                write(event)
            case _:
                if isinstance(event, ToolCallDelta):
                    told.add(event.call)
                write(event)
        begun = begun or not isinstance(event, Usage | Finish)
    return [start, *heard, *ends(answer, heard, usage)]


def hears_whole(chat: Chat, answer: list[Event]) -> list[Event]:
    """The same, each item in one piece."""
    said = Reply.of(answer)
    choice = said.choices.get(0) or Reply.of([Text("")]).choices[0]
    tokens = [token for logprobs in choice.logprobs for token in logprobs.tokens]
    events: list[Event] = []
    for event in pictured([*with_citations(choice)]):
        events.append(event)
        if isinstance(event, Text) and tokens:
            events.append(LogProbs(tokens))
            tokens = []
    events += [LogProbs(tokens)] if tokens else []
    heard: list[Event] = []
    for block in blocks_of(events, DIALECT):
        heard += opening(block)
        heard += piece(block, block.text)
        heard += [LogProbs(block.logprobs)] if block.logprobs else []
        heard += cited(block.citations, block.number)
        heard += closing(block, streamed=False)
    start = Start(said.id or "resp_1", said.model or chat.model)
    return [start, *heard, *ends(answer, heard, said.usage)]


def pictured(answer: list[Event]) -> Iterator[Event]:
    """A picture is an item with a native form."""
    for number, event in enumerate(answer):
        if not isinstance(event, Image):
            yield event
            continue
        following = answer[number + 1] if number + 1 < len(answer) else None
        if isinstance(following, Native) and following.part == event.part:
            continue
        item: dict[str, Any] = {"type": "image_generation_call", "status": "completed"}
        item["result"] = event.data_url.partition(",")[2]
        item["output_format"] = event.media_type.removeprefix("image/")
        item |= {"revised_prompt": event.prompt} if event.prompt else {}
        yield Native(DIALECT, msgspec.json.encode(item), event.part)


def opening(block: Block) -> list[Event]:
    if block.call is None:
        return []
    id = block.call.id or f"call_1_{block.call.number}"
    return [ToolCallStart(block.call.number, id, block.call.name, part=block.number)]


def piece(block: Block, text: str) -> list[Event]:
    if not text:
        return []
    if block.call is not None:
        return [ToolCallDelta(block.call.number, text)]
    assert block.kind in (Text, Reasoning, Refusal)
    kind: Any = block.kind
    return [kind(text, block.number)]


def cited(citations: list[Citation], number: int) -> list[Event]:
    return [
        Citation(
            url=c.url,
            title=c.title,
            source="" if c.url else c.source,
            start=c.start,
            end=None if c.start is None else c.end,
            part=number,
        )
        for c in citations
    ]


def closing(block: Block, *, streamed: bool) -> list[Event]:
    """The native form of an item: its own, or the one that the server half writes."""
    n = block.number
    own: Any = msgspec.json.decode(block.native.raw) if block.native is not None else {}
    item: Any
    if block.kind is Native:
        item = {"id": f"item_1_{n}", **own}
    elif block.kind is Reasoning:
        summary = [{"type": "summary_text", "text": block.text}]
        item = {"id": f"rs_1_{n}", "type": "reasoning", "summary": summary, **own}
    elif block.citations:
        annotations = list(map(annotation, block.citations))
        text = {"type": "output_text", "text": block.text, "annotations": annotations}
        content = [{**text, "logprobs": block.logprobs}]
        item = {"id": f"msg_1_{n}", "type": "message", "role": "assistant", "content": content}
        item |= {"status": "completed", **own}
    else:
        return []
    if streamed and block.kind is not Native:  # it keeps the id that it began with
        item["id"] = f"{'rs' if block.kind is Reasoning else 'msg'}_1_{n}"
    native = Native(DIALECT, msgspec.json.encode(item), n)
    if item["type"] != "image_generation_call":
        return [native]
    kind = item["output_format"]
    media_type = kind if "/" in kind else f"image/{kind}"
    data = msgspec.convert(item["result"], bytes)  # base64
    return [Image(data, media_type, prompt=item.get("revised_prompt", ""), part=n), native]


def annotation(c: Citation) -> dict[str, Any]:
    where = {} if c.start is None else {"start_index": c.start, "end_index": c.end}
    if not (c.source and not c.url):
        said = {"type": "url_citation", "url": c.url, "title": c.title}
        return {**said, "start_index": 0, "end_index": 0, **where}
    file = {"file_id": c.source, "filename": c.title}
    if where:
        return {"type": "container_file_citation", "container_id": "", **file, **where}
    return {"type": "file_citation", **file, "index": c.end or 0}


def ends(answer: list[Event], heard: list[Event], usage: Usage | None) -> list[Event]:
    """The usage, the ends of the calls, the finish."""
    starts = {e.call: e for e in heard if isinstance(e, ToolCallStart)}
    calls = [e for e in answer if isinstance(e, ToolCallEnd)]
    finish = next((e for e in answer if isinstance(e, Finish)), None)
    if finish is None:
        finish = Finish("completed", "tool_call" if calls else "stop")
    dialect = RESPONSES.dialect
    if finish.kind and dialect.finish.get(finish.reason) != finish.kind:
        word = "completed" if finish.kind == "tool_call" else dialect.reason(finish.kind)
        finish = Finish(word, finish.kind)
    closed: list[Event] = []
    for call in calls:
        start = starts[call.call]
        closed.append(msgspec.structs.replace(call, id=start.id, name=start.name))
    return [usage_of(usage or Usage()), *closed, finish, End("terminator")]


def usage_of(usage: Usage) -> Usage:
    asked, said = usage.input_tokens or 0, usage.output_tokens or 0
    read, written = usage.cache_read_input_tokens or 0, usage.cache_write_input_tokens
    thought, total = usage.reasoning_output_tokens or 0, usage.total_tokens or asked + said
    raw: dict[str, Any] = {
        "input_tokens": asked,
        "input_tokens_details": {"cached_tokens": read}
        | ({} if written is None else {"cache_write_tokens": written}),
        "output_tokens": said,
        "output_tokens_details": {"reasoning_tokens": thought},
        "total_tokens": total,
    }
    if "input_tokens" in usage.raw and "total_tokens" in usage.raw:
        raw = usage.raw | raw
    return Usage(asked, said, total, read, written, thought, raw)


# What is understood


def understands(provider: Provider, chat: Chat) -> Chat:
    """Neighbouring texts of the assistant are one, and its messages are what stands between those
    of others, but for a text after a text or a call, with which another one begins. What is the
    default is not told apart from what is given."""
    messages: list[Message] = []
    open: list[Part] = []

    def end() -> None:
        if open:
            messages.append(Message("assistant", simply(open)))
            open.clear()

    for message in chat.messages:
        parts = [as_written(part) for part in message.parts if part != TextPart("")]
        if message.role == "assistant":
            for part in joined(parts):
                if isinstance(part, TextPart) and any(
                    isinstance(said, TextPart | ToolCall) for said in open
                ):
                    end()
                open.append(part)
            continue
        end()
        if message.role == "tool":
            id = accepted_id(message.tool_call_id, IDS)
            text = result_text(message, message.text)
            messages.append(message.replace(content=text, tool_call_id=id, failed=False))
        else:
            messages.append(message.replace(content=simply(parts)))
    end()
    nothing: dict[str, Any] = {"type": "object", "properties": {}}
    tools = (tool for tool in chat.tools if isinstance(tool, Tool))
    return chat.replace(
        model=provider.model(chat.model),
        messages=tuple(messages),
        tools=tuple(
            Tool(t.name, t.description, t.parameters or nothing, t.strict or None) for t in tools
        ),
        extra={"store": False, **chat.extra},
    )


def as_written(part: Part) -> Part:
    if isinstance(part, ToolCall):
        id = accepted_id(part.id, IDS)
        return msgspec.structs.replace(part, id=id, arguments=part.arguments or "{}")
    return part


def joined(parts: list[Part]) -> list[Part]:
    found: list[Part] = []
    for part in parts:
        last = found[-1] if found else None
        if isinstance(part, TextPart) and isinstance(last, TextPart):
            found[-1] = TextPart(last.text + part.text)
        else:
            found.append(part)
    return found


def simply(parts: list[Part]) -> str | tuple[Part, ...]:
    if len(parts) == 1 and isinstance(parts[0], TextPart):
        return parts[0].text
    return tuple(parts) if parts else ""


# What is proven, and what fuzzers begin with

SHORT: list[Event] = [
    *(Start("resp_7", "m"), Reasoning("so"), Text("h\u20ac", part=1)),
    *(ToolCallStart(0, "c", "f", part=2), ToolCallDelta(0, '{"a":1}'), Usage(3, 2)),
    *(ToolCallEnd(0, "c", "f", '{"a":1}', True), Finish("completed", "tool_call")),
    End("terminator"),
]
SIGNED: list[Event] = [
    *(Start("resp_7", "m"), Reasoning("so")),
    Native(
        DIALECT,
        b'{"id":"rs_1_0","type":"reasoning","summary":[{"type":"summary_text","text":"so"}],'
        b'"encrypted_content":"c2ln"}',
    ),
    Native(
        DIALECT, b'{"id":"rs_9","type":"reasoning","summary":[],"encrypted_content":"ZGF0YQ=="}', 1
    ),
    Native(
        DIALECT,
        b'{"id":"ws_1","type":"web_search_call","status":"completed","action":{"query":"x"}}',
        2,
    ),
    *(Text("hi", part=3), Citation("https://a.example", "A", start=0, end=2, part=3)),
    Native(
        DIALECT,
        b'{"id":"msg_1_3","type":"message","status":"completed","role":"assistant","phase":"final",'
        b'"content":[{"type":"output_text","text":"hi","annotations":[{"type":"url_citation",'
        b'"url":"https://a.example","title":"A","start_index":0,"end_index":2}],"logprobs":[]}]}',
        3,
    ),
    *(ToolCallStart(0, "c", "f", part=4), ToolCallDelta(0, "{}")),
    Native(
        DIALECT,
        b'{"id":"fc_1_4","type":"function_call","status":"completed","call_id":"c","name":"f",'
        b'"arguments":"{}","namespace":"n"}',
        4,
    ),
    ToolCallEnd(0, "c", "f", "{}", True),
    *(Finish("completed", "tool_call"), End("terminator")),
]
EXAMPLES: tuple[list[Event], ...] = (
    [Text("h\u20ac"), Text(" i\n"), Finish("completed", "stop"), End("terminator")],
    [Refusal("no"), Finish("content_filter", "content_filter"), End("terminator")],
    [
        *(Text("a"), LogProbs([TokenLogProb("a", -1.0, [97], [])])),
        *(Image(b"x", "image/png", prompt="p", part=1), Finish("max_messages"), End("terminator")),
    ],
    SIGNED,
)


def data(*events: str) -> bytes:
    return b"".join(b"data: " + event.encode() + b"\n\n" for event in events)


SEEDS = (
    data('{"type":"error","code":"rate_limit_exceeded","message":"no","param":null}'),
    data(
        '{"type":"response.created","response":{"id":"r","model":"m"}}',
        '{"type":"error","error":{"type":"t","code":"insufficient_quota","message":"no"}}',
        '{"type":"response.failed","response":{"id":"r","error":{"code":"c","message":"no"}}}',
    ),
    data(
        '{"type":"response.queued","response":{"id":"r","status":"queued"}}',
        '{"type":"keepalive","sequence_number":1}',
        '{"type":"response.output_item.added","output_index":0,"item":{"type":"custom_tool_call",'
        '"call_id":"c","name":"n","input":""}}',
        '{"type":"response.custom_tool_call_input.delta","output_index":0,"delta":"x"}',
        '{"type":"response.output_item.done","output_index":0,"item":{"type":"custom_tool_call",'
        '"call_id":"c","name":"n","input":"x"}}',
        '{"type":"response.reasoning_text.delta","output_index":1,"content_index":0,"delta":"t"}',
        '{"type":"response.output_text.delta","output_index":2,"content_index":1,"delta":"a",'
        '"logprobs":[{"token":"a","logprob":-1}],"x":1}',
        '{"type":"response.function_call_arguments.done","output_index":3,"arguments":"{}"}',
        '{"type":"response.output_item.done","output_index":3,"item":{"type":"function_call",'
        '"call_id":"c","name":"f","arguments":"{}","caller":{"type":"program"}}}',
        '{"type":"response.image_generation_call.partial_image","partial_image_b64":"eA=="}',
        '{"type":"response.new_thing","delta":"x"}',
        '{"type":"response.incomplete","response":{"id":"r","status":"incomplete",'
        '"incomplete_details":{"reason":"max_output_tokens"},"output":[],"new":1,'
        '"usage":{"input_tokens":1}}}',
        "[DONE]",
    ),
    b'{"id":"r","object":"response","status":"completed","error":null,"output":[{"type":"message",'
    b'"id":"i","role":"assistant","content":[{"type":"output_text","text":"a","annotations":'
    b'[{"type":"file_citation","file_id":"f","filename":"n"}]},{"type":"refusal","refusal":"r"}]},'
    b'{"type":"image_generation_call","id":"g","result":"eA=="}]}',
    b'{"id":"r","object":"response","status":"queued","output":[]}',
    b'{"error":{"message":"no","type":"invalid_request_error","param":null,"code":null}}',
    b"event:keepalive\n\n<html>",
)
WORDS = tuple(
    (
        b'"type":"response.created" "type":"response.in_progress" "type":"response.completed" '
        b'"type":"response.incomplete" "type":"response.failed" "type":"response.done" '
        b'"type":"response.output_item.added" "type":"response.output_item.done" '
        b'"type":"response.content_part.added" "type":"response.output_text.delta" '
        b'"type":"response.output_text.done" "type":"response.output_text.annotation.added" '
        b'"type":"response.refusal.delta" "type":"response.reasoning_text.delta" '
        b'"type":"response.reasoning_summary_text.delta" "type":"keepalive" "type":"error" '
        b'"type":"response.function_call_arguments.delta" "type":"message" "type":"reasoning" '
        b'"type":"response.custom_tool_call_input.delta" "type":"function_call" "delta":"t" '
        b'"type":"custom_tool_call" "type":"image_generation_call" "result":"eA==" "item":{ '
        b'"output_index":0 "output_index":1 "content_index":0 "summary_index":0 "logprobs":[] '
        b'"annotation":{"url":"u"} "annotations":[] "encrypted_content":"e" "summary":[] '
        b'"arguments":"{}" "input":"t" "text":"t" "refusal":"t" "call_id":"c" "name":"n" "id":"i" '
        b'"response":{ "output":[{ "content":[{ "status":"completed" "status":"incomplete" '
        b'"incomplete_details":{"reason":"content_filter"} "usage":{"output_tokens":1} "phase":"p" '
        b'"namespace":"s" "role":"user" "role":"developer" "input":[{ "instructions":"t" '
        b'"type":"function_call_output" "output":"t" "type":"additional_tools" "tools":[{ '
        b'"type":"namespace" "type":"item_reference" "type":"input_text" "type":"input_image" '
        b'"image_url":"u" "type":"input_file" "file_data":"d" "stream":true "store":false '
        b'"text":{"format":{"type":"json_object"}} "reasoning":{"effort":"high"} '
        b'"tool_choice":{"type":"function"} "include":[] "top_logprobs":1 "parameters":{}'
    ).split()
)


def _subjects() -> Iterator[tuple[str, Subject]]:
    known: dict[str, Any] = {
        "provider": RESPONSES,
        "short": SHORT,
        "understands": understands,
        "signed": SIGNED,
        "seeds": tuple((seed,) for seed in SEEDS),
        "examples": EXAMPLES,
        "words": WORDS,
    }
    yield (
        "openai-responses",
        Subject(
            **known,
            hears=hears_stream,
            asked={"stream": True, "model": "m"},
            form=(
                b'data: {"type":"response.output_text.delta","output_index":0,"content_index":0,'
                b'"delta":"',
                b'"}',
            ),
        ),
    )
    yield (
        "openai-responses-whole",
        Subject(
            **known,
            hears=hears_whole,
            asked={"stream": False, "model": "m"},
            proven=proven_by_brace,
        ),
    )


SUBJECTS = dict(_subjects())
