"""The `openai` dialect: chat completions of OpenAI, and of all who speak like it.

Sources: the API reference of chat completions (platform.openai.com/docs/api-reference/chat), and
what recordings of its relatives show beyond that (quirks 15 to 26). The client's half is here, the
server's in `openai_server`.

`Finish` and the ends of tool calls come at the end, in the order of the choices (`openai_choice`
says why).
"""

from typing import Any, Literal

import msgspec

from ...body import BodyKind, Step
from ...chat import Chat, wire_message
from ...errors import LimitExceeded, LocalProtocolError, Malformed, UnexpectedContent
from ...events import (
    Event,
    Evidence,
    Start,
    Text,
    Unrecognized,
    Usage,
)
from ...limits import Parts
from ...provider import Provider, Question
from ...service import Responder, Service
from ...toolkit.http import Headers, Request
from ...toolkit.json import decode_json, is_list, is_object
from ...toolkit.refusals import is_refusal, refusal_of_object, refusal_of_text
from ...toolkit.sse import SSEDecoder, SSEItem, StrayLine
from ...toolkit.stray import StrayLines
from .choice import ChoiceReader, Citations, WireChoice
from .server import OpenAIResponder

__all__ = ["PROVIDER", "OpenAI", "OpenAIStep"]


class OpenAI:
    """The dialect. `path` is where chats are asked, below the provider's base URL."""

    path = "/chat/completions"

    def ask(self, question: Question) -> Step:
        """The client's side."""
        return OpenAIStep(question, self.path)

    def respond(self, service: Service) -> Responder:
        """The server's side of one request."""
        return OpenAIResponder(service, self.path)


class _Chunk(msgspec.Struct, gc=False):
    """The fields that are understood of a chunk, or of a whole answer."""

    id: Any = None
    model: Any = None
    choices: list[WireChoice] | None = None
    usage: Any = None
    error: Any = None
    x_groq: Any = None
    citations: Any = None


class _PlainDelta(msgspec.Struct, gc=False):
    content: str
    reasoning: None = None
    reasoning_content: None = None
    tool_calls: None = None
    reasoning_details: None = None
    refusal: None = None
    function_call: None = None
    annotations: None = None


class _PlainChoice(msgspec.Struct, gc=False):
    delta: _PlainDelta
    index: Literal[0] = 0
    finish_reason: None = None
    logprobs: None = None


class _PlainChunk(msgspec.Struct, gc=False):
    """What most chunks are: some text of the first choice, and of all else that is understood
    nothing. That msgspec checks this in C takes a fifth off the time of the whole decoder."""

    choices: tuple[_PlainChoice]
    usage: None = None
    error: None = None
    x_groq: None = None
    citations: None = None


_chunk = msgspec.json.Decoder(_Chunk)
_decode_plain = msgspec.json.Decoder(_PlainChunk).decode
_value = msgspec.json.Decoder()


_UNFINISHED = "the stream ended before data: [DONE] or a finish_reason for every choice"


class OpenAIStep(Step):
    """One chat completion, streamed or not."""

    def __init__(self, question: Question, path: str) -> None:
        self.request: Request = question.post(
            path, encode_chat(question.chat, question.model), _headers(question)
        )
        self.kind: BodyKind = "stream"
        self.unfinished = _UNFINISHED
        self.evidence: Evidence | None = None
        self._sse = SSEDecoder(question.limits.event)
        self._choices: dict[int, ChoiceReader] = {}
        n = question.chat.extra.get("n", question.chat.n)
        self._expected = n if isinstance(n, int) else 1
        self._finished = 0  # choices that have a finish reason
        self._started = False
        self._plain = False  # whether a chunk is tried as plain first
        self._parts = Parts(question.limits.parts)
        self._citations = Citations(self._parts)
        self._strays = StrayLines(question.limits.error_body)

    @property
    def keepalive(self) -> bool:
        return self._sse.keepalive

    def response(self, status: int, headers: Headers) -> None:
        self.request = self.request.remembered()  # a prompt may be large

    def data(self, data: bytes, events: list[Event]) -> None:
        sse = self._sse
        text = sse.lines.feed(data)
        if not text:
            return
        payloads = sse.payloads(text)
        if payloads is None:
            lines = text.splitlines()
            del text  # it may be as large as an event may be
            self._take_lines(lines, events)
        else:
            del text
            self._take_payloads(payloads, events)
        if sse.lines.too_long and self.evidence != "terminator":
            sse.lines.check_rest()

    def eof(self, events: list[Event]) -> None:
        items: list[SSEItem] = []
        self._sse.eof(items)
        try:
            self._take_items(items, events)
        except Malformed as error:
            # A last event without its end whose payload is not whole: the stream was cut in it.
            events.append(Unrecognized(error.data))

    def document(self, body: bytes, events: list[Event]) -> None:
        chunk = decode_json(_chunk, body)
        if chunk.choices is None or chunk.error:
            value = decode_json(_value, body)
            if is_refusal(value):
                raise refusal_of_object(value, data=body)
            raise UnexpectedContent("a JSON object without choices", data=body)
        if not any(choice.message or choice.delta or choice.text for choice in chunk.choices):
            raise UnexpectedContent("a JSON object whose choices hold no answer", data=body)
        for choice in chunk.choices:
            if choice.message is not None:  # Perplexity has an empty delta beside it
                choice.delta = None
        self._take_chunk(chunk, body, events)
        # Its closing brace shows that it is whole, as [DONE] does for a stream.
        self.evidence = "terminator"

    def settle(self, events: list[Event]) -> None:
        comment = self._sse.last_comment[:80].decode(errors="replace").strip()
        if comment:
            # Some services say in one what went wrong (quirk 2): `:408: 408 Request Timeout`.
            self.unfinished = f"{_UNFINISHED}; its last comment was {comment!r}"
        self._strays.release(events)
        for _, choice in sorted(self._choices.items()):
            choice.settle(self.evidence == "terminator", events)

    def _take_lines(self, lines: list[bytes], events: list[Event]) -> None:
        items: list[SSEItem] = []
        try:
            self._sse.take(lines, items)
        except LimitExceeded:
            self._take_items(items, events)
            if self.evidence != "terminator":  # what stands behind it is no part of the answer
                raise
        else:
            self._take_items(items, events)

    def _take_items(self, items: list[SSEItem], events: list[Event]) -> None:
        for item in items:
            if isinstance(item, StrayLine):
                self._strays.take(item.line, events)
            else:
                self._take_payload(item.data, item.type, events)
                if self.evidence == "terminator":
                    return

    def _take_payloads(self, payloads: list[bytes], events: list[Event]) -> None:
        plain = self._plain
        for payload in payloads:
            if plain:
                try:
                    text = _decode_plain(payload).choices[0].delta.content
                except (ValueError, RecursionError):
                    pass
                else:
                    if text:
                        events.append(Text(text))
                    continue
            self._take_payload(payload, "message", events)
            if self.evidence == "terminator":
                return
            plain = self._plain

    def _take_payload(self, payload: bytes, type: str, events: list[Event]) -> None:
        try:
            chunk = _chunk.decode(payload)
        except (ValueError, RecursionError):
            if payload.strip() == b"[DONE]":
                self._take_done(payload)
                return
            if type == "error":
                raise refusal_of_text(payload) from None
            if payload.lstrip()[:1] != b"{":  # a keep-alive, in words of its own (quirk 11)
                events.append(Unrecognized(payload))
                return
            chunk = decode_json(_chunk, payload)
        if type == "error" and not chunk.error:
            raise refusal_of_text(payload)
        self._take_chunk(chunk, payload, events)
        self._plain = self._started and 0 in self._choices and _may_be_plain(chunk)

    def _take_done(self, payload: bytes) -> None:
        if not self._choices:
            raise UnexpectedContent("data: [DONE] came before any part of an answer", data=payload)
        self.evidence = "terminator"

    def _take_chunk(self, chunk: _Chunk, payload: bytes, events: list[Event]) -> None:
        if chunk.choices is None and not (chunk.usage or chunk.error):
            value = decode_json(_value, payload)
            if is_refusal(value):
                raise refusal_of_object(value, data=payload)
            events.append(Unrecognized(payload))
            return
        if not self._started and (chunk.id or chunk.model):
            self._started = True
            events.append(Start(str(chunk.id or ""), str(chunk.model or "")))
        for choice in chunk.choices or ():
            self._take_choice(choice, events)
        for source in _strings(chunk.citations):
            self._citations.cite(source, "", events)
        usage = chunk.usage
        if not usage and is_object(chunk.x_groq):
            usage = chunk.x_groq.get("usage")
        if usage and is_object(usage):
            events.append(usage_of(usage))
        if chunk.error:
            raise refusal_of_object({"error": chunk.error}, data=payload)

    def _take_choice(self, choice: WireChoice, events: list[Event]) -> None:
        index = choice.index or 0
        reader = self._choices.get(index)
        if reader is None:
            self._parts.add()
            reader = ChoiceReader(index, self._citations, self._parts)
            self._choices[index] = reader
            self.evidence = None
        unfinished = reader.finish_reason is None
        reader.take(choice, events)
        if choice.finish_reason:
            self._finished += unfinished
            if self._finished >= max(self._expected, len(self._choices)):
                self.evidence = "finish"


def _may_be_plain(chunk: _Chunk) -> bool:
    """Whether the chunk after this one is worth a try as a `_PlainChunk`, which takes a microsecond
    if it is none: services that send reasoning, usage and the like send them again and again."""
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
    )


def _headers(question: Question) -> dict[str, str]:
    headers = {"accept": "text/event-stream" if question.chat.stream else "application/json"}
    if question.key:
        headers["authorization"] = f"Bearer {question.key}"
    return headers


def encode_chat(chat: Chat, model: str) -> dict[str, Any]:
    """The request body of `chat`, without what is not set."""
    if not chat.messages:
        raise LocalProtocolError("no message: a chat needs at least one")
    body: dict[str, Any] = {
        "model": model,
        "messages": [wire_message(message) for message in chat.messages],
        "stream": chat.stream,
    }
    if chat.tools:
        body["tools"] = [
            {
                "type": "function",
                "function": {
                    "name": tool.name,
                    **({"description": tool.description} if tool.description else {}),
                    "parameters": tool.parameters or {"type": "object", "properties": {}},
                },
            }
            for tool in chat.tools
        ]
    for name in chat.options():
        if name == "tools":
            continue
        body[name] = getattr(chat, name)
    if chat.tool_choice not in (None, "auto", "none", "required"):
        body["tool_choice"] = {"type": "function", "function": {"name": chat.tool_choice}}
    return body


def usage_of(usage: dict[str, Any]) -> Usage:
    """A `usage` object, with OpenTelemetry's names."""

    def count(name: str, of: Any = usage) -> int | None:
        value = of.get(name) if is_object(of) else None
        return value if isinstance(value, int) else None

    return Usage(
        input_tokens=count("prompt_tokens"),
        output_tokens=count("completion_tokens"),
        total_tokens=count("total_tokens"),
        cache_read_input_tokens=count("cached_tokens", usage.get("prompt_tokens_details")),
        reasoning_output_tokens=count("reasoning_tokens", usage.get("completion_tokens_details")),
        raw=usage,
    )


def _strings(value: Any) -> list[str]:
    """The strings of a list (Perplexity's citations); nothing of anything else."""
    return [item for item in value if isinstance(item, str)] if is_list(value) else []


PROVIDER = Provider(
    name="openai",
    dialect=OpenAI(),
    base_url="https://api.openai.com/v1",
    site="https://platform.openai.com",
    any_model=True,
    capabilities=frozenset(("text", "vision", "tools", "history", "options", "reasoning")),
    working=True,
    owes="finish",
    env=("OPENAI_API_KEY",),
)
