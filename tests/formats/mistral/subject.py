"""Mistral's chat completions, for all tests of formats: streamed and whole."""

from collections.abc import Iterator

import msgspec
from hypothesis import strategies as st

from tests.formats.openai_chat.subject import (
    SEEDS,
    WORDS,
    completions,
    hears_usage,
    proven_by_brace,
    understands_all,
)
from tokenwire import (
    PROVIDERS,
    Chat,
    End,
    Event,
    Finish,
    Message,
    Native,
    Provider,
    Reasoning,
    Refusal,
    Reply,
    Start,
    Text,
    ToolCall,
    ToolCallDelta,
    ToolCallEnd,
    ToolCallStart,
    Unrecognized,
    Usage,
)
from tokenwire.protocols.events import FinishKind
from tokenwire.protocols.formats.mistral.request import nine
from tokenwire.testing import Subject
from tokenwire.testing.driving import Ending
from tokenwire.testing.strategies import numbered
from tokenwire.testing.subject import Sent

__all__ = ["SUBJECTS", "hears_stream"]

MISTRAL = PROVIDERS["mistral"]


# What is heard


class _Calls:
    """The calls of an answer, each in one piece, numbered in the order in which they end."""

    def __init__(self, answer: list[Event]) -> None:
        starts = (event for event in answer if isinstance(event, ToolCallStart))
        self._starts = {(start.index, start.call): start for start in starts}
        self._ended: dict[int, int] = {}
        self.ends: dict[int, list[Event]] = {}

    def over(self, end: ToolCallEnd) -> list[Event]:
        start, number = self._starts[end.index, end.call], self._ended.get(end.index, 0)
        self._ended[end.index] = number + 1
        id = nine(start.id) if start.id else f"00001{end.index:02}{end.call:02}"
        changed = msgspec.structs.replace(end, call=number, id=id)
        self.ends.setdefault(end.index, []).append(changed)
        said = end.arguments if end.complete or end.arguments != "{}" else ""
        delta: list[Event] = [ToolCallDelta(number, said, end.index)] if said else []
        return [ToolCallStart(number, id, end.name, index=end.index), *delta]


def hears_stream(chat: Chat, answer: list[Event]) -> list[Event]:
    """A refusal as text; a call when it ends; one usage, at the end; the ends of the choices."""
    start: Event = Start("chatcmpl-1", chat.model)
    heard: list[Event] = []
    began = pending = False  # a reason is written before the next event
    usage = Usage()
    calls, finishes = _Calls(answer), dict[int, Event]()

    def chunk(*events: Event) -> None:
        nonlocal began
        heard.extend(events if began else (start, *events))
        began = True

    for event in answer:
        if isinstance(event, Usage):
            usage = event
        if isinstance(event, Usage | ToolCallStart | ToolCallDelta):
            continue
        if pending:
            chunk()
        pending = isinstance(event, Finish)
        match event:
            case Start():
                start = event
                chunk()
            case Unrecognized():
                heard.append(event)
            case Refusal():
                chunk(Text(event.text, index=event.index))
            case ToolCallEnd():
                chunk(*calls.over(event))
            case Finish():
                finishes[event.index] = event
            case End():
                chunk(hears_usage(usage))
            case _:
                chunk(event)
    ends: list[Event] = []
    for index in sorted({*calls.ends, *finishes}):
        ends += calls.ends.get(index, [])
        ends += [finishes[index]] if index in finishes else []
    return [*numbered(heard), *ends, End("terminator")]


def hears_whole(chat: Chat, answer: list[Event]) -> list[Event]:
    """The parts of the content in their order, a text alone in one piece; then the calls."""
    said = Reply.of(answer)
    heard: list[Event] = [Start(said.id or "chatcmpl-1", said.model or chat.model)]
    ends: list[Event] = []
    calls = _Calls(answer)
    for index in sorted({*range(chat.n or 1), *said.choices}):
        parts: list[Event] = []
        over = [e for e in answer if isinstance(e, ToolCallEnd) and e.index == index]
        for event in said.choices[index].events() if index in said.choices else ():
            if isinstance(event, Text | Refusal):
                parts.append(Text(event.text, index=index))
            elif isinstance(event, Reasoning):
                parts.append(event)
        if all(isinstance(part, Text) for part in parts):
            text = "".join(part.text for part in parts if isinstance(part, Text))
            parts = [Text(text, index=index)] if text else []
        heard += parts
        starts = [e.call for e in answer if isinstance(e, ToolCallStart) and e.index == index]
        for number, call in enumerate(starts):
            end = next(e for e in over if e.call == call)
            id = nine(end.id) if end.id else f"00001{index:02}{number:02}"
            heard += calls.over(msgspec.structs.replace(end, id=id))
        means: FinishKind = "tool_call" if over else "stop"
        reasons = [e for e in answer if isinstance(e, Finish) and e.index == index]
        ends += calls.ends.get(index, [])
        ends += reasons or [Finish("stop", means, index=index)]
    return [*numbered(heard), hears_usage(said.usage or Usage()), *ends, End("terminator")]


# What is understood


def understands(provider: Provider, chat: Chat) -> Chat:
    """As chat completions are, with ids of nine characters, and no developer."""
    understood = understands_all(provider, chat)
    return understood.replace(messages=tuple(map(_understands, understood.messages)))


def _understands(message: Message) -> Message:
    if message.role == "developer":
        message = message.replace(role="system")
    if message.tool_call_id:
        return message.replace(tool_call_id=nine(message.tool_call_id))
    if not isinstance(message.content, str):
        parts = (_with_nine(p) if isinstance(p, ToolCall) else p for p in message.content)
        return message.replace(content=tuple(parts))
    return message


def _with_nine(call: ToolCall) -> ToolCall:
    return msgspec.structs.replace(call, id=nine(call.id))


# What is proven


def proven_by_reasons(sent: Sent, size: int, ending: Ending) -> bool:
    """`[DONE]` is there, or the reason of every choice, which is written before the event after
    it, and nothing of a chunk after the last one."""
    reasons = [event for event in sent.answer if isinstance(event, Finish)]
    place = sent.body.rfind(b'"finish_reason":"')
    end = len(sent.body)
    if len(reasons) == (sent.chat.n or 1):
        end = sent.body.index(b"\n\n", place) + 2
    missing = 2 if ending in ("eof", "close") else 0
    if size < end - missing:
        return False
    border = sent.body.rfind(b"\n\n", 0, size) + 2
    half = size < sent.body.find(b"\n\n", border) + 2 - missing
    return not (half and sent.body[border:size].startswith(b"data: {"))


def repeats(provider: Provider, chat: Chat, events: list[Event]) -> list[Event] | None:
    """What can be said again: not a call whose pieces say less than their sum, nor one of two with
    the same id, nor a usage or a reason in other words."""
    starts = [e for e in events if isinstance(e, ToolCallStart)]
    ends = [e for e in events if isinstance(e, ToolCallEnd)]
    ended = {(e.index, e.call, e.id, e.name) for e in ends}
    plain = all(e.id and e.name and not e.custom for e in starts)
    if not plain or ended != {(e.index, e.call, e.id, e.name) for e in starts}:
        return None
    says = provider.dialect.says_to(chat) - {Native, Start, End, Unrecognized}
    said: list[Event] = [e for e in events if type(e) in says]
    said = [e for e in said if not isinstance(e, Usage) or "prompt_tokens" in e.raw]
    reasons = {e.index: e for e in said if isinstance(e, Finish)}
    if any(e.kind and e.reason not in provider.dialect.finish for e in reasons.values()):
        return None
    start = next((e for e in events if isinstance(e, Start)), Start("", ""))
    return [Start(start.id or "id", start.model or "m"), *numbered(said), End("terminator")]


# Answers to begin with

_CALL = '{"a":1}'
SHORT: list[Event] = [
    *(
        Start("7", "m"),
        Reasoning("h\u20ac"),
        Text("i", 1),
        ToolCallStart(0, "abc123456", "f", part=2),
    ),
    *(Text("i", index=1), ToolCallDelta(0, _CALL), ToolCallEnd(0, "abc123456", "f", _CALL, True)),
    *(Finish("tool_calls", "tool_call"), Usage(1, 2), Finish("stop", "stop", index=1)),
    End("terminator"),
]
SIGNED: list[Event] = [
    *(Start("7", "m"), Reasoning("h")),
    Native(
        "mistral",
        b'{"content":[{"type":"thinking","thinking":[{"type":"text","text":"h"}],"closed":true,'
        b'"signature":"c2ln"}]}',
    ),
    Text("a", 1),
    Native("mistral", b'{"content":[{"type":"reference","reference_ids":[0,"a"]}]}', 2),
    *(Text("b", 3), Text("i", index=1)),
    *(Finish("stop", "stop"), Finish("stop", "stop", index=1), End("terminator")),
]
EXAMPLES: tuple[list[Event], ...] = (
    [Text("h\u20ac"), Text(" i\n"), Finish("stop", "stop"), End("terminator")],
    [Reasoning("a"), Refusal("b", 1), Finish("model_length", "length"), End("terminator")],
)
MORE = (
    b'data: {"choices":[{"index":0,"delta":{"content":[{"type":"thinking","thinking":[{"type":'
    b'"text","text":"a"},{"type":"new"}],"closed":true,"signature":"s"},{"type":"reference",'
    b'"reference_ids":[0]},{"type":"new"}]},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n',
    b'{"object":"error","message":{"detail":[{"type":"t","loc":["body","seed"],"msg":"no"}]}}',
    b'data: {"object":"error","message":"no","type":"t","code":"3230"}\n\n',
)
MORE_WORDS = (
    b'{"type":"reference","reference_ids":[0]}',
    *b'"closed":true "signature":"s" "random_seed":1 "prefix":true "any" "p":"abc"'.split(),
    b'{"type":"document_url","document_url":"https://a"}',
    b'{"type":"input_audio","input_audio":"QQ=="}',
)


def _subjects() -> Iterator[tuple[str, Subject]]:
    for name, stream in (("mistral", True), ("mistral-whole", False)):
        yield (
            name,
            Subject(
                provider=MISTRAL,
                questions=completions(st.just({}), stream=stream),
                short=SHORT,
                hears=hears_stream if stream else hears_whole,
                understands=understands,
                proven=proven_by_reasons if stream else proven_by_brace,
                signed=SIGNED,
                form=(b'data: {"choices":[{"index":0,"delta":{"content":"', b'"}}]}')
                if stream
                else None,
                asked={"stream": stream, "model": "m", "n": 2},
                seeds=tuple((seed,) for seed in (*MORE, *SEEDS)),
                examples=EXAMPLES,
                words=(*MORE_WORDS, *WORDS),
                repeats=repeats,
                unrecognized=st.sampled_from([b'{"note":1}', b"[]", b"~x"]) if stream else None,
            ),
        )


SUBJECTS = dict(_subjects())
