"""The server half of chat completions: as OpenAI itself writes them.

Counts of usage that are None come as 0, and their sum as the total.
"""

from typing import Any, ClassVar

import msgspec

from ...chat import Chat, Effort, Message, Opaque, Part, ReasoningPart, Tool
from ...encoding import add_piece, merge, value_of
from ...errors import BadRequest, LocalProtocolError, RemoteProtocolError
from ...events import (
    Citation,
    End,
    Event,
    Finish,
    FinishKind,
    LogProbs,
    Native,
    Reasoning,
    Refusal,
    Start,
    Text,
    ToolCallDelta,
    ToolCallStart,
    Unrecognized,
    Usage,
)
from ...mappings import DIALECT, message_of, tool_of
from ...reading import read_json
from ...refusing import error_fields, refuse
from ...reply import Choice, CollectedToolCall, Reply
from ...service import Responder, Sealer, Service
from ...toolkit.http import Headers, Request
from ...toolkit.json import is_list, is_object
from ...toolkit.sse import encode_sse

__all__ = ["FINISH", "OpenAIResponder", "further_of"]

FINISH: dict[str, FinishKind] = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "tool_call",
    "function_call": "tool_call",
    "content_filter": "content_filter",
    # Of services that speak like OpenAI: Together, TGI, Z.ai, DeepSeek, vLLM and others.
    "eos": "stop",
    "eos_token": "stop",
    "stop_sequence": "stop",
    "model_context_window_exceeded": "length",
    "sensitive": "content_filter",
    "error": "error",
    "abort": "error",
    "insufficient_system_resource": "error",
    "network_error": "error",
}
"""The finish reasons, and what they mean."""

SEALED = "tokenwire-v1"
"""What marks a reasoning detail in which another format's native form is packed."""


class _Body(msgspec.Struct):
    """The fields of a request body that `Chat` has, but for `messages`, `tools` and those that are
    read from several."""

    model: str = ""
    stream: bool | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    stop: str | list[str] | None = None
    n: int | None = None
    seed: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    parallel_tool_calls: bool | None = None
    reasoning_effort: Effort | None = None


_dict = msgspec.json.Decoder(dict[str, Any])
_READ = {*_Body.__struct_fields__, "messages", "tools", "tool_choice", "response_format"}


_ANY = "text"


class OpenAIResponder(Responder):
    """Answers one request for a chat completion, streamed or not. A format that is a subclass
    derives its own."""

    dialect = DIALECT
    """The format whose native forms are written as they are."""
    whole: ClassVar[dict[str, Any]] = {"service_tier": None}
    """What an answer that is not streamed has beside the rest. litellm fails without, if it asks
    Groq's service (PyPI litellm 1.110.2)."""

    def __init__(self, service: Service) -> None:
        super().__init__(service)
        self._number = service.number()
        id, created = f"chatcmpl-{self._number}", int(service.now())
        self._head: dict[str, Any] = {"id": id, "created": created, "model": ""}
        self._roles: set[int] = set()
        self._around: tuple[bytes, bytes] | None = None  # a chunk with more text: before it, after
        # A chunk without choices is sent only if it was asked for (stream_options.include_usage),
        # as clients stumble over it; else the usage goes along with a finish reason.
        self._wants_usage = False
        self._usage: Usage | None = None
        self._calls: dict[tuple[int, int], ToolCallStart] = {}  # by choice and number

    def read(self, request: Request, found: dict[str, str]) -> Chat:
        """The chat. Refuses (415, 413, 400, 404) what a real service refuses."""
        fields = self.fields(read_json(request, _dict))
        try:
            body = msgspec.convert(fields, _Body)
        except msgspec.ValidationError as error:
            raise refuse(BadRequest, 400, f"the request is not as it should be: {error}") from None
        body.model = body.model or found.get("model", "")
        _check(body, fields)
        model = self.service.check_model(body.model)
        self._wants_usage = _take_usage(fields)
        try:
            messages = tuple(map(self.message, fields["messages"]))
            tools = tuple(self.own(tool_of(tool)) for tool in fields.get("tools") or ())
            chat = _chat(body, fields).replace(messages=messages, model=model, tools=tools)
        except LocalProtocolError as error:
            raise refuse(BadRequest, 400, str(error)) from None
        self._head["model"] = model
        return chat

    def fields(self, fields: dict[str, Any]) -> dict[str, Any]:
        """The fields of a request, in OpenAI's words."""
        return fields

    def message(self, value: Any) -> Message:
        """One message of a request. Raises LocalProtocolError."""
        message = message_of(value)
        return message if self.service.sealer is None else _unsealed(message, self.service.sealer)

    def own(self, tool: Tool | Opaque) -> Tool | Opaque:
        """`tool`; one of another type than `function` is in our words."""
        return Opaque(Native(self.dialect, tool.native.raw)) if isinstance(tool, Opaque) else tool

    def reason(self, finish: Finish) -> str:
        """The finish reason: as it is, unless it is another format's and means something here."""
        if finish.reason in self.service.provider.dialect.finish or not finish.kind:
            return finish.reason
        return _REASONS.get(finish.kind, finish.reason)

    def call_id(self, id: str, index: int, call: int) -> str:
        """The id of a call, as the format has it; `id` may be empty."""
        return id or f"call_{self._number}_{index}_{call}"

    def head(self) -> tuple[int, Headers]:
        return self.status, [*self.headers, (b"x-request-id", f"req-{self._number}".encode())]

    def send(self, event: Event) -> bytes:
        if isinstance(event, Start):
            self._around = None
            self._head |= {"id": event.id or self._head["id"], "model": event.model}
        elif isinstance(event, ToolCallStart):
            self._calls[event.index, event.call] = event
        return super().send(event)

    def go_on(self, event: Text) -> bytes | None:
        if event.index or 0 not in self._roles:
            return None
        if self._around is None:
            # It is the last text in a chunk, whatever the names before it are.
            before, _, after = self._delta(0, {"content": _ANY}).rpartition(f'"{_ANY}"'.encode())
            self._around = before, after
        before, after = self._around
        return b"%b%b%b" % (before, msgspec.json.encode(event.text), after)

    def write(self, event: Event) -> bytes:
        match event:
            case Start():
                return self._delta(0, {"content": ""})
            case Text():
                return self._delta(event.index, {"content": event.text})
            case Reasoning():
                return self._delta(event.index, {"reasoning_content": event.text})
            case Refusal():
                return self._delta(event.index, {"refusal": event.text})
            case ToolCallStart():
                kind, text = _words(event.custom)
                id = self.call_id(event.id, event.index, event.call)
                call = {"index": event.call, "id": id, "type": kind}
                piece = {"tool_calls": [{**call, kind: {"name": event.name, text: ""}}]}
                # OpenAI's first chunk of a call says null; of an empty text clients make a part.
                return self._delta(event.index, {"content": None, **piece})
            case ToolCallDelta():
                start = self._calls.get((event.index, event.call))
                kind, text = _words(start is not None and start.custom)
                part = {"index": event.call, kind: {text: event.arguments}}
                return self._delta(event.index, {"tool_calls": [part]})
            case Citation():
                return self._delta(event.index, {"annotations": [_annotation(event)]})
            case Native():
                piece = self._native(event)
                return self._delta(event.index, piece) if piece else b""
            case LogProbs():
                return self._delta(event.index, {}, logprobs={event.of: event.tokens})
            case Finish():
                return self._delta(event.index, {}, finish_reason=self.reason(event))
            case Usage() if self._wants_usage:
                self._usage = event
                return b""
            case Usage():
                held, self._usage = self._release_usage(), event
                return held
            case Unrecognized():
                return encode_sse(event.raw)
            case End():
                return self._release_usage() + b"data: [DONE]\n\n"
            case _:  # a ToolCallEnd: its finish reason says so
                return b""

    def write_whole(self, reply: Reply) -> bytes:
        for index in range(self.chat.n or 1):
            reply.choices.setdefault(index, Choice())
        answer: dict[str, Any] = {
            **self._head,
            "object": "chat.completion",
            "choices": [
                self._whole_choice(i, choice) for i, choice in sorted(reply.choices.items())
            ],
            **self.whole,
        }
        if reply.usage is not None:
            answer["usage"] = _usage(reply.usage)
        return msgspec.json.encode(answer)

    def fail_midway(self, error: RemoteProtocolError | LocalProtocolError) -> bytes:
        return encode_sse(msgspec.json.encode({"error": error_fields(error)}))

    def _native(self, native: Native) -> dict[str, Any]:
        """The piece of a message that carries a native form; empty if nothing can. Of a call it
        has what was not written yet."""
        if native.dialect == self.dialect:
            value = value_of(native)
            piece = dict(value) if is_object(value) else {}
            calls = piece.pop("tool_calls", None)
            for start in self._calls.values() if is_list(calls) and calls else ():
                if (start.index, start.part) == (native.index, native.part):
                    piece["tool_calls"] = [{"index": start.call, **further_of(calls[0])}]
            return piece
        if self.service.sealer is None:
            return {}
        sealed = {"type": "reasoning.encrypted", "data": self.service.sealer.seal(native)}
        return {"reasoning_details": [{**sealed, "format": SEALED, "index": native.part}]}

    def _whole_choice(self, index: int, choice: Choice) -> dict[str, Any]:
        message: dict[str, Any] = {"role": "assistant", "content": choice.text or None}
        message["refusal"] = choice.refusal or None
        if choice.reasoning:
            message["reasoning_content"] = choice.reasoning
        if choice.tool_calls:
            message["tool_calls"] = [
                self._whole_call(index, number, call)
                for number, call in enumerate(choice.tool_calls)
            ]
        if choice.citations:
            message["annotations"] = list(map(_annotation, choice.citations))
        for native in choice.natives:
            piece = self._native(native)
            for more in piece.pop("tool_calls", ()):
                numbers = [number for of, number in self._calls if of == index]
                place = numbers.index(more.pop("index"))
                message["tool_calls"][place] = merge(message["tool_calls"][place], more)
            add_piece(message, piece)
        logprobs: dict[str, list[Any]] = {}
        for said in choice.logprobs:
            logprobs.setdefault(said.of, []).extend(said.tokens)
        reason = "stop" if self.complete else None
        if choice.finish is not None:
            reason = self.reason(choice.finish)
        return {
            "index": index,
            "message": message,
            "logprobs": logprobs or None,
            "finish_reason": reason,
        }

    def _whole_call(self, index: int, number: int, call: CollectedToolCall) -> dict[str, Any]:
        kind, text = _words(call.custom)
        # Of an incomplete call `{}` stands for nothing, and at the other end it would be complete.
        said = call.arguments if call.complete or call.arguments != "{}" else ""
        id = self.call_id(call.id, index, number)
        return {"id": id, "type": kind, kind: {"name": call.name, text: said}}

    def _delta(
        self, index: int, delta: dict[str, Any], *, logprobs: Any = None, finish_reason: Any = None
    ) -> bytes:
        if index not in self._roles:
            self._roles.add(index)
            delta = {"role": "assistant", **delta}
        choice = {"index": index, "delta": delta, "logprobs": logprobs}
        more: dict[str, Any] = {}
        if finish_reason is not None and self._usage is not None and not self._wants_usage:
            more["usage"], self._usage = _usage(self._usage), None
        return self._chunk([{**choice, "finish_reason": finish_reason}], **more)

    def _release_usage(self) -> bytes:
        """A usage that no finish reason followed, in a chunk of its own."""
        usage, self._usage = self._usage, None
        return b"" if usage is None else self._chunk([], usage=_usage(usage))

    def _chunk(self, choices: list[Any], **more: Any) -> bytes:
        if self._wants_usage:
            more = {"usage": None, **more}
        chunk = {**self._head, "object": "chat.completion.chunk", "choices": choices, **more}
        return b"data: " + msgspec.json.encode(chunk) + b"\n\n"


def _take_usage(fields: dict[str, Any]) -> bool:
    """Whether the caller asks for usage in a chunk of its own. That is taken out of the request's
    `fields`, as it is about this stream, and no part of the chat."""
    options = fields.get("stream_options")
    if not is_object(options):
        return False
    wanted = options.pop("include_usage", False)
    if not options:
        del fields["stream_options"]
    return bool(wanted)


def _chat(body: _Body, fields: dict[str, Any]) -> Chat:
    """The chat without its messages and tools."""
    choice, format_ = fields.get("tool_choice"), fields.get("response_format")
    extra = {k: v for k, v in fields.items() if k not in _READ}
    chosen, more = _chosen(choice)
    schema, further = _schema(format_)
    if further:
        extra["response_format"] = further
    if more is not None:
        extra["tool_choice"] = more
    most = body.max_tokens if body.max_completion_tokens is None else body.max_completion_tokens
    return Chat(
        messages=(),
        tool_choice=chosen,
        parallel=body.parallel_tool_calls,
        temperature=body.temperature,
        top_p=body.top_p,
        top_k=body.top_k,
        max_tokens=most,
        stop=(body.stop,) if isinstance(body.stop, str) else tuple(body.stop or ()),
        n=body.n,
        seed=body.seed,
        presence_penalty=body.presence_penalty,
        frequency_penalty=body.frequency_penalty,
        logprobs=(body.top_logprobs or 0) if body.logprobs else None,
        effort=body.reasoning_effort,
        schema=schema,
        stream=bool(body.stream),
        extra=extra,
    )


def _unsealed(message: Message, sealer: Sealer) -> Message:
    """`message` with the native forms of other formats that were packed into its reasoning."""
    parts: list[Part] = []
    for part in message.parts:
        value = None if part.native is None else value_of(part.native)
        details = value.get("reasoning_details") if is_object(value) else None
        if not (isinstance(part, ReasoningPart) and is_list(details)):
            parts.append(part)
            continue
        sealed = [d for d in details if is_object(d) and d.get("format") == SEALED]
        found = (sealer.unseal(str(detail.get("data"))) for detail in sealed)
        parts += (Opaque(Native(n.dialect, n.raw)) for n in found if n is not None)
        if kept := [detail for detail in details if detail not in sealed]:
            raw = msgspec.json.encode({"reasoning_details": kept})
            parts.append(ReasoningPart(part.text, Native(DIALECT, raw)))
        elif part.text:
            parts.append(ReasoningPart(part.text))
    changed = tuple(parts) != message.parts
    return message.replace(content=tuple(parts)) if changed else message


def _chosen(choice: Any) -> tuple[str | None, Any]:
    """The tool choice that `Chat` can say, a word or a name, and what else it says."""
    if isinstance(choice, str):
        return choice, None
    for kind in ("function", "custom"):
        named = choice.get(kind) if is_object(choice) else None
        if is_object(named) and isinstance(named.get("name"), str):
            rest = {key: value for key, value in choice.items() if key not in ("type", kind)}
            if inner := {key: value for key, value in named.items() if key != "name"}:
                rest[kind] = inner
            return named["name"], rest or None
    return None, choice


def _schema(format_: Any) -> tuple[dict[str, Any] | None, Any]:
    """The schema that `Chat` can say, and what else the response format says (`strict`)."""
    if not is_object(format_):
        return None, format_
    if format_ == {"type": "json_object"}:
        return {}, None
    said = format_.get("json_schema")
    schema = said.get("schema") if is_object(said) else None
    if not (is_object(said) and is_object(schema) and schema):
        return None, format_
    rest = {key: value for key, value in format_.items() if key not in ("type", "json_schema")}
    if inner := {key: value for key, value in said.items() if key not in ("name", "schema")}:
        rest["json_schema"] = inner
    return schema, rest or None


def _check(body: _Body, fields: dict[str, Any]) -> None:
    """What the API reference says of values, as far as a client can get it wrong."""
    messages, tools = fields.get("messages"), fields.get("tools") or ()
    if not is_list(messages) or not messages:
        raise refuse(BadRequest, 400, "messages: a list with at least one is needed")
    if not body.model:
        raise refuse(BadRequest, 400, "model: it is missing")
    if not is_list(tools) and tools:
        raise refuse(BadRequest, 400, "tools: a list is needed")
    if len(tools) > 128:
        raise refuse(BadRequest, 400, f"tools: {len(tools)} are more than 128")
    for name, low, high in (
        ("temperature", 0, 2),
        ("top_p", 0, 1),
        ("n", 1, 128),
        ("max_tokens", 1, 10_000_000),
        ("max_completion_tokens", 1, 10_000_000),
    ):
        value = getattr(body, name)
        if value is not None and not low <= value <= high:
            raise refuse(BadRequest, 400, f"{name}: {value} is not between {low} and {high}")


def _words(custom: bool) -> tuple[str, str]:
    """The type of a call, which is the key of what it says, and the key of its arguments there."""
    return ("custom", "input") if custom else ("function", "arguments")


def further_of(call: Any) -> dict[str, Any]:
    """The keys of a call beside those that its events say."""
    further: dict[str, Any] = {}
    for key, value in call.items() if is_object(call) else ():
        if key in ("function", "custom") and is_object(value):
            value = {k: v for k, v in value.items() if k not in ("name", "arguments", "input")}
            if value:
                further[key] = value
        elif key not in ("id", "type", "index"):
            further[key] = value
    return further


_REASONS = {
    "stop": "stop",
    "length": "length",
    "tool_call": "tool_calls",
    "content_filter": "content_filter",
}


def _annotation(citation: Citation) -> dict[str, Any]:
    said: dict[str, Any] = {"url": citation.url, "title": citation.title}
    if citation.quote:
        said["content"] = citation.quote
    if citation.start is not None:
        said |= {"start_index": citation.start, "end_index": citation.end}
    return {"type": "url_citation", "url_citation": said}


def _usage(usage: Usage) -> dict[str, Any]:
    """A `usage` object; what came in this form goes out as it came."""
    ours = ("prompt_tokens", "completion_tokens", "total_tokens")
    if "input_tokens" not in usage.raw and any(name in usage.raw for name in ours):
        return usage.raw
    asked, said = usage.input_tokens or 0, usage.output_tokens or 0
    read: dict[str, Any] = {"cached_tokens": usage.cache_read_input_tokens or 0}
    if usage.cache_write_input_tokens is not None:
        read["cache_write_tokens"] = usage.cache_write_input_tokens
    return {
        "prompt_tokens": asked,
        "completion_tokens": said,
        "total_tokens": usage.total_tokens or asked + said,
        "prompt_tokens_details": read,
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_output_tokens or 0},
    }
