"""The client half of chat completions.

Sources: the API reference (platform.openai.com/docs/api-reference/chat), and what recordings of its
relatives show beyond that (quirks 15 to 26). `Finish` and the ends of tool calls come at the end,
in the order of the choices (`choice` says why).
"""

from typing import Any, ClassVar, Literal

import msgspec

from ...errors import Refused, UnexpectedContent
from ...events import (
    Citation,
    Event,
    Image,
    Reasoning,
    Refusal,
    Start,
    Text,
    ToolCallDelta,
    ToolCallStart,
    Unrecognized,
    Usage,
)
from ...limits import Parts
from ...question import Question
from ...step import EventStep
from ...toolkit.citations import Citations
from ...toolkit.json import count_in, decode_json, is_list, is_object, text_of
from ...toolkit.refusals import (
    is_refusal,
    refusal_beside,
    refusal_of_object,
    refusal_of_text,
)
from .choice import ChoiceReader
from .request import encode_chat
from .wire import IGNORES, Chunk, OddChoice, WireChoice, decode_chunk, decode_loosely

__all__ = ["PATH", "OpenAIStep"]

PATH = "/chat/completions"
"""Where chats are asked, below the base URL, unless the provider says otherwise."""


# The fields are in the order of the wire, in which msgspec finds them soonest.


class _PlainDelta(msgspec.Struct, gc=False, forbid_unknown_fields=True, kw_only=True):
    role: str | None = None
    content: str
    refusal: None = None
    reasoning: None = None
    reasoning_content: None = None
    tool_calls: None = None


class _PlainChoice(msgspec.Struct, gc=False, forbid_unknown_fields=True, kw_only=True):
    index: Literal[0] = 0
    delta: _PlainDelta
    logprobs: None = None
    finish_reason: None = None
    native_finish_reason: None = None
    matched_stop: None = None
    stop_reason: None = None
    token_ids: None = None


class _PlainChunk(msgspec.Struct, gc=False):
    """What most chunks are: some text of the first choice, and of all else that is understood
    nothing. It is checked in C, so that it is worth a try first."""

    choices: tuple[_PlainChoice]
    usage: None = None
    error: None = None
    x_groq: None = None
    base_resp: None = None
    citations: None = None
    search_results: None = None
    web_search: None = None
    images: None = None
    related_questions: None = None


_CONTENT = Text | Reasoning | Refusal | ToolCallStart | ToolCallDelta | Image
"""What an answer itself is made of; sources, for one, may come after its end."""

_SOURCES = ("search_results", "web_search", "citations")
"""Lists of sources; those that have titles come first."""
_BESIDE = (*_SOURCES, "images", "related_questions")
"""The keys of a chunk that hold content, besides the choices. All others are about the answer."""
_CHUNK = ("usage", "error", "x_groq", *_BESIDE)
"""The keys by which an object without choices is a chunk of an answer all the same."""
_ABOUT = IGNORES - {"type"}
"""Keys of an object without choices that say nothing."""

_decode_plain = msgspec.json.Decoder(_PlainChunk).decode
_value = msgspec.json.Decoder()


class OpenAIStep(EventStep):
    """One chat completion, streamed or not."""

    unfinished = "the stream ended before data: [DONE] or a finish_reason for every choice"
    reopens = True
    reader: ClassVar[type[ChoiceReader]] = ChoiceReader
    """What makes events of a choice; a format that is a subclass has its own."""

    def __init__(self, question: Question) -> None:
        chat = question.chat
        accept = "text/event-stream" if chat.stream else "application/json"
        request = question.post(PATH, self.encode(question), {"accept": accept})
        self.errors = question.errors
        super().__init__(request, question.limits)
        self._limit = question.limits.event
        self._finishes = question.finishes
        self._choices: dict[int, ChoiceReader] = {}
        n = chat.extra.get("n", chat.n)
        self._expected = n if isinstance(n, int) else 1
        self._finished: set[int] = set()  # choices whose last word is a finish reason
        self._started = False
        self._id = self._model = ""
        self._plain: int | None = None  # the part that the text of a plain chunk belongs to
        self._parts = Parts(question.limits.parts)
        self._citations = Citations(self._parts)
        self._beside: dict[str, Any] = {}  # the last of what stands beside the choices

    def encode(self, question: Question) -> dict[str, Any]:
        """The request body. Raises LocalProtocolError."""
        return encode_chat(question.chat, question.model, question.provider)

    def payloads(self, payloads: list[bytes], events: list[Event]) -> None:
        part = self._plain
        for payload in payloads:
            if part is not None:  # it may well be plain
                try:
                    text = _decode_plain(payload).choices[0].delta.content
                except (ValueError, RecursionError):
                    pass
                else:
                    if text:
                        events.append(Text(text, part))
                    continue
            self.event(payload, "message", events)
            if self.evidence == "terminator":
                return
            part = self._plain

    def event(self, data: bytes, type: str, events: list[Event]) -> None:
        try:
            chunk = decode_chunk(data)
        except (ValueError, RecursionError):
            if data.strip() == b"[DONE]":
                self._take_done(data)
                return
            if type == "error":
                raise refusal_of_text(data, self.errors) from None
            if data.lstrip()[:1] != b"{":
                self.no_json(data, events)
                return
            chunk = decode_loosely(data)
        if type == "error" and not chunk.error:
            raise refusal_of_text(data, self.errors)
        self._plain = None
        if chunk.choices is None and not any(getattr(chunk, key) for key in _CHUNK):
            self._take_other(data, type, events)
            return
        self._take_chunk(chunk, data, events)
        first = self._choices.get(0)
        if first is not None and first.numbers.kind == "text" and self._started:
            self._plain = first.numbers.last if _may_be_plain(chunk) else None

    def document(self, body: bytes, events: list[Event]) -> None:
        try:
            chunk = decode_chunk(body)
        except (ValueError, RecursionError):
            chunk = decode_loosely(body)
        said = any(map(_says_something, chunk.choices or ()))
        if not said and (chunk.choices is None or chunk.error):
            value = decode_json(_value, body)
            if is_refusal(value, self.errors):
                raise refusal_of_object(value, self.errors, data=body)
            raise UnexpectedContent("a JSON object without choices", data=body)
        if not said:
            raise UnexpectedContent("a JSON object whose choices hold no answer", data=body)
        self._take_chunk(chunk, body, events)
        # Its closing brace shows that it is whole, as [DONE] does for a stream.
        self.evidence = "terminator"

    def settle(self, proven: bool, events: list[Event]) -> None:
        super().settle(proven, events)
        if self._model and not self._started:
            events.append(Start(self._id, self._model))
        stopped = self.failure
        for _, choice in sorted(self._choices.items()):
            choice.failure = choice.failure or stopped
            choice.settle(proven, events)
            self.failure = self.failure or choice.failure

    def _take_done(self, payload: bytes) -> None:
        if not self._choices:
            raise UnexpectedContent("data: [DONE] came before any part of an answer", data=payload)
        self.evidence = "terminator"

    def _take_other(self, payload: bytes, type: str, events: list[Event]) -> None:
        """An object that is no chunk of an answer."""
        if self.is_ping(payload, type):
            return
        value = decode_json(_value, payload)
        # What has a name of its own is about something else, even if it has a message.
        if type == "message" and is_refusal(value, self.errors):
            raise refusal_of_object(value, self.errors, data=payload)
        if "choices" not in value and not value.keys() <= _ABOUT:  # else it says nothing
            events.append(Unrecognized(payload))

    def _take_chunk(self, chunk: Chunk, payload: bytes, events: list[Event]) -> None:
        before = len(events)
        try:
            self._take_contents(chunk, payload, events)
        finally:
            if not self._started:
                self._start(chunk, before, events)

    def _start(self, chunk: Chunk, place: int, events: list[Event]) -> None:
        """Put the Start before what this chunk said. If it said nothing, the id may come in the
        next one (Copilot, Azure)."""
        self._id = self._id or str(chunk.id or "")
        self._model = self._model or str(chunk.model or "")
        self._started = bool(self._id) or len(events) > place
        if self._started and (self._id or self._model):  # else it is too late for one
            events.insert(place, Start(self._id, self._model))

    def _take_contents(self, chunk: Chunk, payload: bytes, events: list[Event]) -> None:
        usage = chunk.usage
        for choice in chunk.choices or ():
            self._take_choice(choice, events)
            usage = usage or choice.usage
        self._take_beside(chunk, events)
        if is_object(chunk.x_groq):
            usage = usage or chunk.x_groq.get("usage")
            if said := chunk.x_groq.get(
                "error"
            ):  # Groq's stream stopped early, whatever its reason
                self.failure = refusal_of_object({"error": said}, self.errors)
        if usage:
            known = is_object(usage)
            events.append(_usage_of(usage) if known else _unrecognized(usage, "usage"))
        if chunk.error:
            raise refusal_of_object({"error": chunk.error}, self.errors, data=payload)
        if is_object(chunk.base_resp) and chunk.base_resp.get("status_code"):  # MiniMax's
            raise refusal_of_object({"base_resp": chunk.base_resp}, self.errors, data=payload)

    def _take_choice(self, choice: WireChoice, events: list[Event]) -> None:
        index = choice.index or 0
        reader = self._choices.get(index)
        if reader is None:
            self._parts.add()
            reader = self.reader(index, self._citations, self._parts, self._finishes, self._limit)
            self._choices[index] = reader
            self.evidence = None
        before = len(events)
        reader.take(choice, events)
        failure = self._failure_of(choice)
        if failure is not None:
            reader.failure = failure
        if choice.finish_reason or failure is not None:
            self._finished.add(index)
        elif index in self._finished and any(isinstance(e, _CONTENT) for e in events[before:]):
            # It goes on after its reason: until the next one it is not finished.
            self._finished.discard(index)
            self.evidence = None
            return
        if len(self._finished) >= max(self._expected, len(self._choices)):
            self.evidence = "finish"

    def _failure_of(self, choice: WireChoice) -> Refused | None:
        """The error that a choice reports, or the delta or message in it."""
        if choice.error:
            return refusal_of_object({"error": choice.error}, self.errors)
        odd = choice.unknown if isinstance(choice, OddChoice) else ()
        return refusal_beside(((place.partition(".")[2], raw) for place, raw in odd), self.errors)

    def _take_beside(self, chunk: Chunk, events: list[Event]) -> None:
        """What stands beside the choices: sources (of Perplexity, xAI and Z.ai), and Perplexity's
        pictures and questions. They are said again and again, and heard where they change."""
        for key in _BESIDE:
            value = getattr(chunk, key)
            if value is None or value == self._beside.get(key):
                continue
            self._beside[key] = value
            if key not in _SOURCES:
                events.append(_unrecognized(value, key))
                continue
            for source in value if is_list(value) else [value]:
                citation = _citation(source)
                if citation is None:
                    events.append(_unrecognized(source, key))
                else:
                    self._citations.cite(citation, events)


def _citation(source: Any) -> Citation | None:
    """A source: its address, or an object that has it; None if it is neither."""
    if isinstance(source, str):
        return Citation(source)
    url = text_of(source, "url") or text_of(source, "link")
    quote = text_of(source, "snippet") or text_of(source, "content")
    return Citation(url, text_of(source, "title"), quote=quote) if url else None


def _unrecognized(value: Any, place: str) -> Unrecognized:
    return Unrecognized(msgspec.json.encode(value), place)


def _says_something(choice: WireChoice) -> bool:
    said = choice.message or choice.delta or choice.text or choice.error
    return bool(said or choice.finish_reason)  # Azure's filter leaves only a reason


def _may_be_plain(chunk: Chunk) -> bool:
    """Whether the chunk after this one is worth a try as a `_PlainChunk`: services that send
    reasoning, usage and the like send them again and again."""
    if not chunk.choices or chunk.usage is not None or chunk.citations is not None:
        return False
    choice = chunk.choices[0]
    delta = choice.delta
    return (
        delta is not None
        and type(delta.content) is str
        and delta.reasoning is None
        and delta.reasoning_content is None
        and choice.logprobs is None
        and choice.finish_reason is None
    )


# Names of counts beside those in the details: of DeepSeek, Moonshot, Mistral and Databricks; and of
# OpenRouter and DashScope, which have them in the details.
_CACHED = (
    "prompt_cache_hit_tokens",
    "cached_tokens",
    "num_cached_tokens",
    "cache_read_input_tokens",
)
_CACHED_NOW = ("cache_write_tokens", "cache_creation_input_tokens", "cache_creation_tokens")
# Mistral has two spellings; and gateways to the Responses API leave its names (quirk 85).
_DETAILS = (
    ("prompt_tokens_details", "prompt_token_details", "input_tokens_details"),
    ("completion_tokens_details", "output_tokens_details"),
)


def _usage_of(usage: dict[str, Any]) -> Usage:
    """A `usage` object, with OpenTelemetry's names."""
    read, written = (next(filter(None, map(usage.get, names)), None) for names in _DETAILS)
    cached = count_in(read, "cached_tokens")
    asked = count_in(usage, "prompt_tokens", "input_tokens")
    said = count_in(usage, "completion_tokens", "output_tokens")
    total = count_in(usage, "total_tokens")
    if total is None and asked is not None and said is not None:
        total = asked + said
    if cached is None:
        cached = count_in(usage, *_CACHED)
    cached_now = count_in(read, *_CACHED_NOW)
    if cached_now is None:
        cached_now = count_in(usage, *_CACHED_NOW)
    thought = count_in(written, "reasoning_tokens")
    if thought and asked is not None and said is not None and total == asked + said + thought:
        said += thought  # xAI counts them apart
    return Usage(
        input_tokens=asked,
        output_tokens=said,
        total_tokens=total,
        cache_read_input_tokens=cached,
        cache_write_input_tokens=cached_now,
        reasoning_output_tokens=thought,
        raw=usage,
    )
