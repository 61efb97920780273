"""The server's half of the `openai` dialect: chat completions as OpenAI itself writes them.

What it can't say: `Image`; `Unrecognized` parts (`place` is set), and in a whole answer any.
`Usage` comes before `Finish` at the other end, which holds that back; counts that are None come as
0, and their sum as the total.
"""

from typing import Any

import msgspec

from ...chat import Chat, Tool, WireMessage
from ...errors import BadRequest, LocalProtocolError, RemoteProtocolError
from ...events import (
    Citation,
    End,
    Event,
    Finish,
    Image,
    LogProbs,
    Reasoning,
    Refusal,
    Start,
    Text,
    ToolCallDelta,
    ToolCallEnd,
    ToolCallStart,
    Unrecognized,
    Usage,
)
from ...reply import Choice, CollectedToolCall, Reply
from ...service import Responder, Service, error_fields, read_json_post, refuse
from ...toolkit.http import Request
from ...toolkit.json import is_object
from ...toolkit.sse import encode_sse

__all__ = ["OpenAIResponder"]


class _ToolFunction(msgspec.Struct):
    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None


class _Tool(msgspec.Struct):
    function: _ToolFunction


class _ChosenFunction(msgspec.Struct):
    name: str


class _ChosenTool(msgspec.Struct):
    function: _ChosenFunction


class _Body(msgspec.Struct):
    """The request body: the fields that `Chat` has; all others are its `extra`."""

    messages: list[WireMessage]
    model: str
    stream: bool | None = None
    tools: list[_Tool] | None = None
    tool_choice: str | _ChosenTool | None = None
    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    stop: str | list[str] | None = None
    n: int | None = None
    seed: int | None = None


_dict = msgspec.json.Decoder(dict[str, Any])


class OpenAIResponder(Responder):
    """Answers one request for a chat completion, streamed or not."""

    def __init__(self, service: Service, path: str) -> None:
        super().__init__(service)
        self._path = path
        self._chat: Chat | None = None
        self._head: dict[str, Any] = {}
        self._roles: set[int] = set()
        self._whole: Reply | None = None
        # A chunk without choices is sent only to who asked for it (stream_options.include_usage),
        # as clients stumble over it; else the usage goes along with a finish reason.
        self._wants_usage = False
        self._usage: Usage | None = None

    def receive_request(self, request: Request) -> Chat:
        """The chat. Refuses (401, 404, 405, 413, 415, 400) what a real service refuses."""
        self.service.check_key(request)
        fields = read_json_post(request, self._path, _dict)
        try:
            body = msgspec.convert(fields, _Body)
        except msgspec.ValidationError as error:
            raise refuse(BadRequest, 400, f"the request is not as it should be: {error}") from None
        _check(body)
        model = self.service.check_model(body.model)
        try:
            messages = tuple(message.message() for message in body.messages)
        except LocalProtocolError as error:
            raise refuse(BadRequest, 400, str(error)) from None
        choice = body.tool_choice
        chat = Chat(
            messages=messages,
            model=model,
            tools=tuple(
                Tool(t.function.name, t.function.description or "", t.function.parameters or {})
                for t in body.tools or ()
            ),
            tool_choice=choice.function.name if isinstance(choice, _ChosenTool) else choice,
            temperature=body.temperature,
            top_p=body.top_p,
            max_tokens=body.max_tokens,
            stop=(body.stop,) if isinstance(body.stop, str) else tuple(body.stop or ()),
            n=body.n,
            seed=body.seed,
            stream=bool(body.stream),
            extra={k: v for k, v in fields.items() if k not in _Body.__struct_fields__},
        )
        self._chat = chat
        self._head = {"id": f"chatcmpl-{self.service.number()}", "created": 0, "model": model}
        options = fields.get("stream_options")
        self._wants_usage = is_object(options) and bool(options.get("include_usage"))
        if not chat.stream:
            self._whole = Reply()
            self.headers = [(b"content-type", b"application/json")]
        return chat

    def send(self, event: Event) -> bytes:
        if isinstance(event, Start):
            self._head |= {"id": event.id, "model": event.model}
        if self._whole is not None:
            if isinstance(event, Image | Unrecognized):
                raise _unsayable(event)
            self._whole.add(event)
            return b""
        match event:
            case Start():
                return self._delta(0, {"content": ""})
            case ToolCallEnd():
                return b""
            case Text():
                return self._delta(event.index, {"content": event.text})
            case Reasoning():
                return self._delta(event.index, {"reasoning_content": event.text})
            case Refusal():
                return self._delta(event.index, {"refusal": event.text})
            case ToolCallStart():
                function = {"name": event.name, "arguments": ""}
                call = {"index": event.call, "id": event.id, "type": "function"}
                return self._delta(event.index, {"tool_calls": [{**call, "function": function}]})
            case ToolCallDelta():
                part = {"index": event.call, "function": {"arguments": event.arguments}}
                return self._delta(event.index, {"tool_calls": [part]})
            case Citation():
                citation = {"url": event.url, "title": event.title}
                note = {"type": "url_citation", "url_citation": citation}
                return self._delta(0, {"annotations": [note]})
            case LogProbs():
                return self._delta(event.index, {}, logprobs={event.of: event.tokens})
            case Finish():
                return self._delta(event.index, {}, finish_reason=event.reason)
            case Usage() if self._wants_usage:
                return self._chunk([], usage=_usage(event))
            case Usage():
                held, self._usage = self._release_usage(), event
                return held
            case Unrecognized(raw=raw, place=""):
                return encode_sse(raw)
            case End():
                return self._release_usage() + b"data: [DONE]\n\n"
            case _:
                raise _unsayable(event)

    def end(self) -> bytes:
        if self._whole is None:
            return b""
        reply = self._whole
        for index in range((self._chat and self._chat.n) or 1):
            reply.choices.setdefault(index, Choice())
        answer: dict[str, Any] = {
            **self._head,
            "object": "chat.completion",
            "choices": [
                _whole_choice(index, choice, reply)
                for index, choice in sorted(reply.choices.items())
            ],
        }
        if reply.usage is not None:
            answer["usage"] = _usage(reply.usage)
        return msgspec.json.encode(answer)

    def fail_midway(self, error: RemoteProtocolError | LocalProtocolError) -> bytes:
        return encode_sse(msgspec.json.encode({"error": error_fields(error)}))

    def _delta(
        self, index: int, delta: dict[str, Any], *, logprobs: Any = None, finish_reason: Any = None
    ) -> bytes:
        if index not in self._roles:
            self._roles.add(index)
            delta = {"role": "assistant", **delta}
        choice = {"index": index, "delta": delta, "logprobs": logprobs}
        more: dict[str, Any] = {}
        if finish_reason is not None and self._usage is not None:
            more["usage"], self._usage = _usage(self._usage), None
        return self._chunk([{**choice, "finish_reason": finish_reason}], **more)

    def _release_usage(self) -> bytes:
        """A usage that no finish reason followed, in a chunk of its own."""
        usage, self._usage = self._usage, None
        return b"" if usage is None else self._chunk([], usage=_usage(usage))

    def _chunk(self, choices: list[Any], **more: Any) -> bytes:
        chunk = {**self._head, "object": "chat.completion.chunk", "choices": choices, **more}
        return b"data: " + msgspec.json.encode(chunk) + b"\n\n"


def _check(body: _Body) -> None:
    """What the API reference says of values, as far as a client can get it wrong."""
    if not body.messages:
        raise refuse(BadRequest, 400, "messages: at least one is needed")
    if not body.model:
        raise refuse(BadRequest, 400, "model: it is missing")
    if len(body.tools or ()) > 128:
        raise refuse(BadRequest, 400, f"tools: {len(body.tools or ())} are more than 128")
    for name, low, high in (
        ("temperature", 0, 2),
        ("top_p", 0, 1),
        ("n", 1, 128),
        ("max_tokens", 1, 10_000_000),
    ):
        value = getattr(body, name)
        if value is not None and not low <= value <= high:
            raise refuse(BadRequest, 400, f"{name}: {value} is not between {low} and {high}")


def _whole_choice(index: int, choice: Choice, reply: Reply) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": choice.text or None}
    message["refusal"] = choice.refusal or None
    if choice.reasoning:
        message["reasoning_content"] = choice.reasoning
    if choice.tool_calls:
        message["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": _arguments(call)},
            }
            for call in choice.tool_calls
        ]
    if reply.citations and not index:
        message["annotations"] = [
            {"type": "url_citation", "url_citation": {"url": c.url, "title": c.title}}
            for c in reply.citations
        ]
    logprobs: dict[str, list[Any]] = {}
    for part in choice.logprobs:
        logprobs.setdefault(part.of, []).extend(part.tokens)
    reason = choice.finish_reason or "stop"
    return {
        "index": index,
        "message": message,
        "logprobs": logprobs or None,
        "finish_reason": reason,
    }


def _arguments(call: CollectedToolCall) -> str:
    """What was sent of the arguments: an incomplete call has `{}` where nothing was, and at the
    other end that would be a complete one."""
    return call.arguments if call.complete or call.arguments != "{}" else ""


def _usage(usage: Usage) -> dict[str, Any]:
    """A `usage` object; what came as one goes out as it came."""
    return usage.raw or {
        "prompt_tokens": usage.input_tokens or 0,
        "completion_tokens": usage.output_tokens or 0,
        "total_tokens": usage.total_tokens
        or (usage.input_tokens or 0) + (usage.output_tokens or 0),
        "prompt_tokens_details": {"cached_tokens": usage.cache_read_input_tokens or 0},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_output_tokens or 0},
    }


def _unsayable(event: Event) -> LocalProtocolError:
    name = type(event).__name__
    return LocalProtocolError(f"chat completions can't say {name}: leave it out of the answer")
