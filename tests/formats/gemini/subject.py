"""Gemini, for all tests of formats: as events, as an array, and whole."""

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
    ToolCall,
    ToolCallDelta,
    ToolCallEnd,
    ToolCallStart,
    Unrecognized,
    Usage,
    as_chat,
)
from tokenwire.protocols.chat import Role
from tokenwire.protocols.formats.gemini.client import COUNTS, usage_of
from tokenwire.protocols.toolkit.parts import PartNumbers
from tokenwire.testing import Subject

__all__ = ["SUBJECTS"]

GEMINI = PROVIDERS["gemini"]
AS_ARRAY = GEMINI.replace(
    path="/models/{model}:streamGenerateContent",
    whole_path="/models/{model}:generateContent",
)


# What is heard


class Hearing:
    """What the client half hears, part by part."""

    def __init__(self) -> None:
        self.heard: list[Event] = []
        self.numbers: dict[int, PartNumbers] = {}
        self.calls: dict[tuple[int, int], int] = {}  # by index and number, as they are heard
        self.natives: set[tuple[int, int]] = set()  # by index and part, as they were said
        self.parts: dict[tuple[int, int], int] = {}  # of calls, by index and number

    def take(self, event: Event) -> None:
        """An event of a part."""
        index = getattr(event, "index", 0)
        numbers = self.numbers.setdefault(index, PartNumbers())
        match event:
            case Native() if event.dialect == "gemini":
                self.natives.add((index, event.part))
                self._native(event, numbers)
            case ToolCallStart():
                self.parts[index, event.call] = event.part
            case ToolCallEnd():
                if (index, self.parts[index, event.call]) not in self.natives:
                    self._call(event.id, event.name, event.arguments, index, numbers.new())
            case Text() | Refusal() | Reasoning() | Image() if (index, event.part) in self.natives:
                pass
            case Text() | Refusal():
                self.heard.append(Text(event.text, numbers.of("text"), index))
            case Reasoning():
                self.heard.append(Reasoning(event.text, numbers.of("reasoning"), index))
            case Image() if event.media_type.startswith("image/"):
                self.heard.append(
                    Image(event.data, event.media_type, part=numbers.new(), index=index)
                )
            case Image():
                blob = {"mimeType": event.media_type, "data": event.data}
                raw = msgspec.json.encode({"inlineData": blob})
                self.heard.append(Native("gemini", raw, numbers.new(), index))
            case _:
                pass

    def _native(self, event: Native, numbers: PartNumbers) -> None:
        """What our own tests say by native forms."""
        value, part = msgspec.json.decode(event.raw), numbers.new()
        self.heard.append(Native("gemini", event.raw, part, event.index))
        if text := value.get("text"):
            kind = Reasoning if value.get("thought") else Text
            self.heard.append(kind(text, part, event.index))
        if call := value.get("functionCall"):
            arguments = msgspec.json.encode(call["args"]).decode()
            self._call(call.get("id", ""), call["name"], arguments, event.index, part)

    def _call(self, id: str, name: str, arguments: str, index: int, part: int) -> None:
        number = sum(of == index for of, _ in self.calls)
        self.calls[index, number] = part
        self.heard.append(ToolCallStart(number, id, name, part=part, index=index))
        self.heard.append(ToolCallDelta(number, arguments, index))


def hears_stream(chat: Chat, answer: list[Event], *, array: bool = False) -> list[Event]:
    """Parts as they come, calls when they end; on the last chunk the sources, the usage, and a
    reason for each candidate."""
    hearing = Hearing()
    start, usage, begun = Start("resp_1", chat.model), None, False
    said = Reply.of(answer)
    for event in answer:
        before = len(hearing.heard)
        match event:
            case Start():
                start = Start(event.id or start.id, event.model or start.model)
            case Usage():
                usage = event
            case Unrecognized():
                hearing.heard.append(event)
                continue
            case LogProbs() if event.tokens:
                hearing.heard.append(hears_logprobs(event))
            case _:
                hearing.take(event)
        if len(hearing.heard) > before and not begun:
            hearing.heard.insert(before, start)
            begun = True
    first = [] if begun else [start]
    return [*hearing.heard, *first, *ends(chat, said, hearing, usage, answer, array=array)]


def hears_whole(chat: Chat, answer: list[Event]) -> list[Event]:
    """The same, each text in one piece, candidate by candidate."""
    said = Reply.of(answer)
    hearing = Hearing()
    hearing.heard.append(Start(said.id or "resp_1", said.model or chat.model))
    for index in sorted({*range(chat.n or 1), *said.choices}):
        choice = said.choices.get(index)
        if choice is None:
            continue
        groups: dict[int, list[Event]] = {}
        last = -1
        for event in choice.events():
            last = getattr(event, "part", last)
            groups.setdefault(last, []).append(event)
        for group in groups.values():
            starts = [e for e in group if isinstance(e, ToolCallStart)]
            for event in sorted(group, key=lambda e: not isinstance(e, Native)):
                if isinstance(event, ToolCallDelta):
                    id, name = starts[0].id, starts[0].name
                    event = ToolCallEnd(event.call, id, name, event.arguments, True, index=index)
                hearing.take(event)
        if tokens := [token for each in choice.logprobs for token in each.tokens]:
            hearing.heard.append(hears_logprobs(LogProbs(tokens, index=index)))
        hearing.heard += hears_citations(answer, index)
    return [*hearing.heard, *ends(chat, said, hearing, said.usage, answer, array=True, whole=True)]


def ends(
    chat: Chat,
    said: Reply,
    hearing: Hearing,
    usage: Usage | None,
    answer: list[Event],
    *,
    array: bool,
    whole: bool = False,
) -> list[Event]:
    indexes = sorted({*range(chat.n or 1), *said.choices})
    found: list[Event] = []
    if not whole:
        for index in indexes:
            found += hears_citations(answer, index)
    if usage is not None and (told := counts(usage)):
        found.append(usage_of(told))
    for index in indexes:
        arguments = [e for e in hearing.heard if isinstance(e, ToolCallDelta) and e.index == index]
        starts = [e for e in hearing.heard if isinstance(e, ToolCallStart) and e.index == index]
        for start, delta in zip(starts, arguments, strict=True):
            end = ToolCallEnd(start.call, start.id, start.name, delta.arguments, True, index=index)
            found.append(end)
        choice = said.choices.get(index)
        finish = Finish("STOP", "stop") if choice is None else choice.finish
        finish = finish or Finish("STOP", "stop")
        kind = finish.kind
        if kind in ("stop", "tool_call"):
            kind = "tool_call" if starts else "stop"
        found.append(Finish(finish.reason, kind, finish.detail, index))
    return [*found, End("terminator" if array else "finish")]


def hears_citations(answer: list[Event], index: int) -> list[Event]:
    """Each address once, and without what it supports."""
    return [
        Citation(e.url, e.title, index=index)
        for e in answer
        if isinstance(e, Citation) and e.index == index
    ]


def hears_logprobs(said: LogProbs) -> LogProbs:
    tokens = [
        TokenLogProb(
            each.token,
            each.logprob,
            None,
            [TokenLogProb(top.token, top.logprob) for top in each.top_logprobs or ()],
        )
        for each in said.tokens
    ]
    return LogProbs(tokens, index=said.index)


def counts(usage: Usage) -> dict[str, Any]:
    if any(name in usage.raw for name in COUNTS):
        return usage.raw
    asked, said, thoughts = usage.input_tokens, usage.output_tokens, usage.reasoning_output_tokens
    told: dict[str, Any] = {}
    if asked is not None:
        told["promptTokenCount"] = asked
    if said is not None:
        told["candidatesTokenCount"] = max(said - (thoughts or 0), 0)
    if usage.total_tokens is not None:
        told["totalTokenCount"] = usage.total_tokens
    elif asked is not None and said is not None:
        told["totalTokenCount"] = asked + said
    if usage.cache_read_input_tokens is not None:
        told["cachedContentTokenCount"] = usage.cache_read_input_tokens
    if thoughts is not None:
        told["thoughtsTokenCount"] = thoughts
    return told


# What is understood


def understands(provider: Provider, chat: Chat) -> Chat:
    """System messages as one; neighbours of one role as one message, results apart, with the names
    of their functions and in the order of the calls. A null is what protobuf takes it for:
    nothing."""
    system: list[Part] = []
    turns: list[tuple[Role, list[Part]]] = []
    messages: list[Message] = []
    names: dict[str, tuple[int, str]] = {}
    called = 0
    results: list[tuple[int, Message]] = []

    def close() -> None:
        if turns:
            side, parts = turns.pop()
            messages.append(Message(side, simply(parts)))
        messages.extend(message for _, message in sorted(results, key=lambda pair: pair[0]))
        results.clear()

    for message in chat.messages:
        parts = [as_written(p) for p in message.parts if not isinstance(p, TextPart) or p.text]
        if message.role in ("system", "developer"):
            system += parts
            continue
        if message.role == "tool":
            if turns:
                close()
            number, name = names.get(message.tool_call_id, (called, message.name))
            if any(part.native is not None for part in message.parts):
                name = message.name  # it goes back as it came
            text = message.text
            results.append((number, message.replace(content=text, name=name)))
            continue
        side: Role = message.role
        if results or (turns and turns[-1][0] != side):
            close()
        if not turns:
            turns.append((side, []))
        turns[-1][1].extend(parts)
        for call in message.tool_calls:
            names[call.id] = called, call.name
            called += 1
    close()
    if system:
        messages.insert(0, Message("system", simply(system)))
    extra = {key: value for key, value in chat.extra.items() if value is not None}
    return chat.replace(model=provider.model(chat.model), messages=tuple(messages), extra=extra)


def as_written(part: Part) -> Part:
    if isinstance(part, ToolCall):
        return msgspec.structs.replace(part, arguments=part.arguments)
    return part


def simply(parts: list[Part]) -> str | tuple[Part, ...]:
    if len(parts) == 1 and isinstance(parts[0], TextPart):
        return parts[0].text
    return tuple(parts)


# What fuzzers begin with


def repeats(provider: Provider, chat: Chat, events: list[Event]) -> list[Event] | None:
    """All but native forms, of calls those that are complete; a usage and a reason in other words
    than Gemini's are written in its own, so they are left out."""
    if any(isinstance(e, ToolCallEnd) and not e.complete for e in events):
        return None
    starts = sum(isinstance(e, ToolCallStart) for e in events)
    if starts != sum(isinstance(e, ToolCallEnd) for e in events):
        return None
    known = provider.dialect.finish
    said = [e for e in events if not isinstance(e, Unrecognized | Native | Start | End)]
    said = [e for e in said if not isinstance(e, Finish) or e.reason in known]
    said = [e for e in said if not isinstance(e, Finish) or e.kind != "error"]
    said = [e for e in said if not isinstance(e, Citation) or (e.start is None and e.url)]
    start = next((e for e in events if isinstance(e, Start)), Start("", ""))
    return [Start(start.id or "id", start.model or "m"), *said, End("finish")]


SHORT: list[Event] = [
    *(Start("r-7", "m"), Reasoning("so"), Text("h\u20ac", part=1)),
    *(ToolCallStart(0, "c", "f", part=2), ToolCallDelta(0, '{"a":1}'), Usage(3, 2)),
    *(ToolCallEnd(0, "c", "f", '{"a":1}', True), Finish("STOP", "tool_call"), End("finish")),
]
TWO: list[Event] = [
    *(*SHORT[:-1], Text("i", index=1), Finish("MAX_TOKENS", "length", index=1), End("finish")),
]
SIGNED: list[Event] = [
    Start("r-7", "m"),
    *(Native("gemini", b'{"text":"so","thought":true,"thoughtSignature":"c2ln"}'),),
    Reasoning("so"),
    Native("gemini", b'{"executableCode":{"language":"PYTHON","code":"1"}}', 1),
    Native("gemini", b'{"codeExecutionResult":{"outcome":"OUTCOME_OK","output":"1"}}', 2),
    Native(
        "gemini",
        b'{"functionCall":{"name":"f","args":{"a":1},"id":"c"},"thoughtSignature":"c2ln"}',
        3,
    ),
    *(ToolCallStart(0, "c", "f", part=3), ToolCallDelta(0, '{"a":1}')),
    Native("gemini", b'{"text":"","thoughtSignature":"c2ln"}', 4),
    ToolCallEnd(0, "c", "f", '{"a":1}', True),
    *(Finish("STOP", "tool_call"), End("finish")),
]
EXAMPLES: tuple[list[Event], ...] = (
    [Text("h\u20ac"), Text(" i\n"), Finish("STOP", "stop"), End("finish")],
    [
        *(Refusal("no"), Citation("https://a.example", "A"), Image(b"\x89", "image/png")),
        LogProbs([TokenLogProb("a", -0.5, [97], [TokenLogProb("b", -1.0)])]),
        *(Usage(1, 2, 3), Finish("SAFETY", "content_filter", "so"), End("finish")),
    ],
    SIGNED,
)


def data(*events: str) -> bytes:
    return b"".join(b"data: " + event.encode() + b"\r\n\r\n" for event in events)


SEEDS = (
    data('{"error":{"code":429,"message":"no","status":"RESOURCE_EXHAUSTED"}}'),
    data('{"promptFeedback":{"blockReason":"SAFETY"}}'),
    data(
        '{"candidates":[{"content":{"parts":[{"functionCall":{"name":"f","willContinue":true},'
        '"thoughtSignature":"cw=="}]}}]}',
        '{"candidates":[{"content":{"parts":[{"functionCall":{"partialArgs":[{"jsonPath":"$.a[0].b"'
        ',"stringValue":"x","willContinue":true},{"jsonPath":"$.c","numberValue":1.50}],'
        '"willContinue":true}}]}}]}',
        '{"candidates":[{"content":{"parts":[{"functionCall":{}}]},"finishReason":"STOP"}]}',
    ),
    data(
        '{"candidates":[{"content":{"parts":[{"text":"\u20acb"},{"new":1},{"inlineData":{"mimeType":'
        '"image/png","data":"iQ=="}}],"role":"model"},"finishReason":"STOP","new":1,'
        '"groundingMetadata":{"groundingChunks":[{"web":{"uri":"u","title":"t"}}],'
        '"groundingSupports":[{"segment":{"endIndex":3,"text":"\u20ac"},"groundingChunkIndices":[0]'
        '}]},"citationMetadata":{"citations":[{"startIndex":1,"endIndex":3,"uri":"v"}]},'
        '"urlContextMetadata":{"urlMetadata":[{"retrievedUrl":"w","urlRetrievalStatus":'
        '"URL_RETRIEVAL_STATUS_SUCCESS"}]}}],"usageMetadata":{"promptTokenCount":1}}',
        "[DONE]",
    ),
    b'[{"candidates":[{"content":{"parts":[{"text":"a"}]}}]}\n,\r\n{"candidates":[{"finishReason":1'
    b"}]}\n]\n",
    b'{"candidates":[{"content":{},"finishReason":"MALFORMED_FUNCTION_CALL","finishMessage":"f("}]}',
    b'[{\n "error": {\n  "code": 503,\n  "message": "no",\n  "status": "UNAVAILABLE"\n }\n}\n]\n',
)
WORDS = tuple(
    (
        b'"candidates":[{ "content":{ "parts":[{ "text":"t" "thought":true '
        b'"thoughtSignature":"cw==" "finishReason":"STOP" "finishReason":"SAFETY" '
        b'"finishMessage":"m" "index":1 "role":"model" "functionCall":{"name":"f","args":{}} '
        b'"willContinue":true "partialArgs":[{ "jsonPath":"$.a" "stringValue":"s" '
        b'"numberValue":1 "boolValue":true "nullValue":"NULL_VALUE" "inlineData":{ '
        b'"executableCode":{} "usageMetadata":{"promptTokenCount":1} "promptFeedback":{ '
        b'"blockReason":"SAFETY" "groundingMetadata":{ '
        b'"groundingChunks":[{"web":{"uri":"u"}}] "groundingSupports":[{ '
        b'"segment":{"endIndex":1} "groundingChunkIndices":[0] '
        b'"citationMetadata":{"citations":[{"uri":"u","endIndex":1}]} "logprobsResult":{ '
        b'"chosenCandidates":[{"token":"t","logProbability":-1}] "topCandidates":[] '
        b'"modelVersion":"m" "responseId":"i" '
        b'"error":{"code":500,"message":"m","status":"INTERNAL"} "contents":[{ '
        b'"system_instruction":{ "generation_config":{"top_k":3.0} "tools":[{ '
        b'"function_declarations":[{"name":"f"}] "googleSearch":{} "toolConfig":{ '
        b'"mode":"ANY" "functionResponse":{"name":"f","response":{"output":"o"}} '
        b'"thinkingConfig":{ "thinkingLevel":"HIGH" "thinkingBudget":0 '
        b'"responseSchema":{"type":"OBJECT"}'
    ).split()
)


@st.composite
def questions(draw: st.DrawFn, /, **fields: Any) -> Chat:
    return as_chat("hi", model="m", n=draw(st.none() | st.integers(1, 3)), **fields)


def _subjects() -> Iterator[tuple[str, Subject]]:
    known: dict[str, Any] = {
        "understands": understands,
        "signed": SIGNED,
        "seeds": tuple((seed,) for seed in SEEDS),
        "examples": EXAMPLES,
        "words": WORDS,
        "repeats": repeats,
    }
    yield (
        "gemini",
        Subject(
            **known,
            provider=GEMINI,
            short=SHORT,
            questions=questions(),
            hears=hears_stream,
            asked={"stream": True, "model": "m"},
            form=(b'data: {"candidates":[{"content":{"parts":[{"text":"', b'"}]}}]}'),
            unrecognized=st.sampled_from([b'{"note":1}', b"[]", b'"x"', b"~x"]),
        ),
    )
    yield (
        "gemini-array",
        Subject(
            **known,
            provider=AS_ARRAY,
            short=TWO,
            questions=questions(),
            hears=lambda chat, answer: hears_stream(chat, answer, array=True),
            asked={"stream": True, "model": "m", "n": 2},
        ),
    )
    yield (
        "gemini-whole",
        Subject(
            **known,
            provider=GEMINI,
            short=TWO,
            questions=questions(stream=False),
            hears=hears_whole,
            asked={"stream": False, "model": "m", "n": 2},
            proven=proven_by_brace,
        ),
    )


SUBJECTS = dict(_subjects())
