"""One choice of a chat completion: what its deltas say, in all the forms that are seen.

A `Finish` and the ends of tool calls are held back until the answer is over: the reason is sent
twice, or early, with content behind it, and a tool call is to be run only when it is proven whole.
"""

from typing import Any, Literal

import msgspec

from ...errors import Malformed
from ...events import (
    Citation,
    Event,
    Finish,
    LogProbs,
    Reasoning,
    Refusal,
    Text,
    TokenLogProb,
    Unrecognized,
)
from ...limits import Parts
from ...toolkit.json import decode_json
from ...toolkit.toolcalls import ToolCalls

__all__ = ["ChoiceReader", "Citations", "WireChoice"]


class _Function(msgspec.Struct, gc=False):
    name: str | None = None
    arguments: str | dict[str, Any] | None = None


class _Delta(msgspec.Struct, gc=False):
    """The fields that are understood of a `delta`, or of a whole `message`."""

    content: str | list[msgspec.Raw] | dict[str, msgspec.Raw] | None = None
    reasoning: str | None = None
    reasoning_content: str | None = None
    tool_calls: list[msgspec.Raw] | None = None
    reasoning_details: list[msgspec.Raw] | None = None
    refusal: str | None = None
    function_call: _Function | None = None
    annotations: list[msgspec.Raw] | None = None


class WireChoice(msgspec.Struct, gc=False):
    """The fields that are understood of a choice."""

    index: int | None = None
    delta: _Delta | None = None
    finish_reason: str | None = None
    logprobs: dict[str, msgspec.Raw] | None = None
    message: _Delta | None = None
    text: str | None = None


class _Fragment(msgspec.Struct):
    function: _Function
    index: int | None = None
    id: str | None = None


class _ThinkingText(msgspec.Struct):
    text: str


class _Part(msgspec.Struct):
    """A part of a `content` that is a list (Mistral)."""

    type: str
    text: str | None = None
    thinking: list[_ThinkingText] | None = None


class _ReasoningDetail(msgspec.Struct):
    type: str
    text: str | None = None
    summary: str | None = None
    signature: str | None = None
    data: str | None = None


class _UrlCitation(msgspec.Struct):
    url: str
    title: str = ""


class _Annotation(msgspec.Struct):
    url_citation: _UrlCitation


_fragment = msgspec.json.Decoder(_Fragment)
_part = msgspec.json.Decoder(_Part)
_detail = msgspec.json.Decoder(_ReasoningDetail)
_annotation = msgspec.json.Decoder(_Annotation)
_tokens = msgspec.json.Decoder(list[TokenLogProb])

_LOGPROBS: dict[str, Literal["content", "refusal", "reasoning"]] = {
    "content": "content",
    "refusal": "refusal",
    "reasoning": "reasoning",
    "reasoning_content": "reasoning",
}


_CUT = ("length", "content_filter", "error")
"""Finish reasons, as OpenTelemetry spells them, after which arguments may be missing."""


class Citations:
    """The sources of an answer, each of which is reported once."""

    __slots__ = ("_cited", "_parts")

    def __init__(self, parts: Parts) -> None:
        self._cited: dict[str, None] = {}  # an empty set takes three times the memory
        self._parts = parts

    def cite(self, url: str, title: str, events: list[Event]) -> None:
        """Report a source, unless it was. Raises LimitExceeded."""
        if url not in self._cited:
            self._parts.add()
            self._cited[url] = None
            events.append(Citation(url, title))


class ChoiceReader:
    """Makes events of one choice. `finish_reason` is the last one that was sent."""

    __slots__ = ("_citations", "_index", "_parts", "_settled", "_tool_calls", "finish_reason")

    def __init__(self, index: int, citations: Citations, parts: Parts) -> None:
        self.finish_reason: str | None = None
        self._index = index
        self._citations = citations
        self._parts = parts
        self._tool_calls: ToolCalls | None = None  # with the first, as most answers have none
        self._settled = False

    def take(self, choice: WireChoice, events: list[Event]) -> None:
        """What one chunk says of the choice."""
        if choice.delta is not None:
            self._take_delta(choice.delta, events)
        elif choice.message is not None:
            # Beside a delta it repeats all that came (Perplexity, Writer); alone it is the answer.
            self._take_delta(choice.message, events, whole=True)
        elif choice.text:
            # Likewise: Together repeats the delta in it; alone it is an old completion.
            events.append(Text(choice.text, self._index))
        for of, raw in (choice.logprobs or {}).items():
            self._take_logprobs(of, bytes(raw), events)
        if choice.finish_reason:
            self.finish_reason = choice.finish_reason

    def settle(self, proven: bool, events: list[Event]) -> None:
        """The answer is over; `proven`: by a terminator, which stands for a finish reason too."""
        if self._settled or not (proven or self.finish_reason is not None):
            return
        self._settled = True
        finish = Finish(self.finish_reason or "", self._index)
        if self._tool_calls is not None:
            self._tool_calls.settle(finish.otel_reason in _CUT, events)
        if self.finish_reason is not None:
            events.append(finish)

    def _take_delta(self, delta: _Delta, events: list[Event], whole: bool = False) -> None:
        index = self._index
        # At most one of the names for the same thought counts (OpenRouter sends two at once).
        reasoning = delta.reasoning_content or delta.reasoning
        if reasoning:
            events.append(Reasoning(reasoning, index))
        for raw in delta.reasoning_details or ():
            self._take_reasoning_detail(bytes(raw), bool(reasoning), events)
        if isinstance(delta.content, str):
            if delta.content:
                events.append(Text(delta.content, index))
        elif isinstance(delta.content, dict):  # Cloudflare's answer where JSON was asked for
            text = msgspec.json.encode(delta.content)
            events.append(Text(text.decode(errors="replace"), index))  # as raw as it came
        else:
            for raw in delta.content or ():
                self._take_part(bytes(raw), events)
        if delta.refusal:
            events.append(Refusal(delta.refusal, index))
        for number, raw in enumerate(delta.tool_calls or ()):
            # Each one of a whole message is a call, even if services give them all the same id.
            self._take_fragment(bytes(raw), number if whole else None, events)
        if delta.function_call is not None:
            name, arguments = delta.function_call.name or "", _arguments(delta.function_call)
            if name or arguments:  # Snowflake has an empty one in every answer
                self._take_call(0, "", name, arguments, events)
        for raw in delta.annotations or ():
            self._take_annotation(bytes(raw), events)

    def _take_fragment(self, raw: bytes, place: int | None, events: list[Event]) -> None:
        try:
            fragment = decode_json(_fragment, raw)
        except Malformed:
            self._hand_on(raw, "delta.tool_calls", events)
            return
        place = fragment.index if place is None else place
        id, function = fragment.id or "", fragment.function
        self._take_call(place, id, function.name or "", _arguments(function), events)

    def _take_call(
        self, place: int | None, id: str, name: str, arguments: str, events: list[Event]
    ) -> None:
        if self._tool_calls is None:
            self._tool_calls = ToolCalls(self._index, self._parts)
        self._tool_calls.fragment(place, id, name, arguments, events)

    def _take_part(self, raw: bytes, events: list[Event]) -> None:
        try:
            part = decode_json(_part, raw)
        except Malformed:
            part = _Part("")
        if part.type == "text" and part.text is not None:
            if part.text:
                events.append(Text(part.text, self._index))
        elif part.type == "thinking" and part.thinking is not None:
            if text := "".join(thought.text for thought in part.thinking):
                events.append(Reasoning(text, self._index))
        else:
            self._hand_on(raw, "delta.content", events)

    def _take_reasoning_detail(self, raw: bytes, counted: bool, events: list[Event]) -> None:
        try:
            detail = decode_json(_detail, raw)
        except Malformed:
            detail = _ReasoningDetail("")
        text = detail.text or detail.summary
        if text and not counted:
            events.append(Reasoning(text, self._index))
        if text is None or detail.signature is not None or detail.data is not None:
            # Encrypted, or signed: of no use to read, but the next request may have to carry it.
            self._hand_on(raw, "delta.reasoning_details", events)

    def _take_annotation(self, raw: bytes, events: list[Event]) -> None:
        try:
            citation = decode_json(_annotation, raw).url_citation
        except Malformed:
            self._hand_on(raw, "delta.annotations", events)
            return
        self._citations.cite(citation.url, citation.title, events)

    def _take_logprobs(self, of: str, raw: bytes, events: list[Event]) -> None:
        if raw == b"null":
            return
        try:
            tokens = decode_json(_tokens, raw)
            events.append(LogProbs(tokens, _LOGPROBS[of], self._index))
        except (Malformed, KeyError):
            self._hand_on(raw, f"logprobs.{of}", events)

    def _hand_on(self, raw: bytes, place: str, events: list[Event]) -> None:
        """A part that is not understood, as it came."""
        events.append(Unrecognized(raw, f"choices[{self._index}].{place}"))


def _arguments(function: _Function) -> str:
    """Arguments as JSON text, also where a service sends an object."""
    if isinstance(function.arguments, dict):
        return msgspec.json.encode(function.arguments).decode()
    return function.arguments or ""
