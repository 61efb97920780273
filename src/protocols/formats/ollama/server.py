"""The server half of Ollama's own format: as its server writes it.

What the clients depend on: each line is an object with `model`, `created_at` and, in a chat, a
`message` with its role; no line is blank; exactly one is `done`, the last; an error is a string.
The Python client takes U+0085, U+2028 and U+2029 for line ends (quirk 78), so they are escaped.
"""

from hashlib import sha256
from typing import Any

import msgspec

from ...chat import Chat
from ...errors import BadRequest, LocalProtocolError, RemoteProtocolError
from ...events import (
    Event,
    Finish,
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
from ...reading import Asked, decode_asking, read_json
from ...refusing import refuse
from ...reply import Choice, CollectedToolCall, Reply
from ...service import Responder, Service
from ...toolkit.dates import rfc3339
from ...toolkit.http import Request
from ...toolkit.json import count_in
from ...toolkit.toolcalls import is_json_object
from .body import chat_of, completion_of
from .client import PATH
from .wire import DURATIONS

__all__ = ["GENERATE", "OllamaResponder"]

GENERATE = "/api/generate"
"""Where a text is completed, as of old: one prompt, and `response` for `message`."""

VERSION = "0.40.12"
"""The version of the server that this imitates: clients compare it."""

_NAMED = msgspec.json.Decoder(dict[str, Any])
_LINES = b"application/x-ndjson"
_ESCAPES = (
    (b"\xc2\x85", b"\\u0085"),
    (b"\xe2\x80\xa8", b"\\u2028"),
    (b"\xe2\x80\xa9", b"\\u2029"),
    (b"\n", b" "),  # between the tokens of arguments, which are written as they came
    (b"\r", b" "),
)
_REASONS = {"stop": "stop", "tool_call": "stop", "length": "length"}
_LOAD_ENDS = (0, "0", "0s")
"""Values of `keep_alive` that unload a model."""


class OllamaResponder(Responder):
    """Answers one request: to chat, to complete a text, or about the models."""

    content_type = _LINES

    def __init__(self, service: Service) -> None:
        super().__init__(service)
        self._number = service.number()
        self._model = ""
        self._completes = False  # whether a text is completed, not a chat
        self._unloads = False
        self._calls: dict[int, CollectedToolCall] = {}  # that are not written
        self._called = 0
        self._usage: Usage | None = None
        self._finish: Finish | None = None

    def read(self, request: Request, found: dict[str, str]) -> Chat | None:
        self._completes = request.target.partition("?")[0].rstrip("/").endswith(GENERATE)
        chat = (completion_of if self._completes else chat_of)(request)
        self._model = self.service.check_model(chat.model)
        self._unloads = chat.extra.get("keep_alive") in _LOAD_ENDS
        return chat.replace(model=self._model) if chat.messages else None

    def answer(self, does: str, request: Request, found: dict[str, str]) -> bytes:
        match does:
            case "chat":  # without a question: the model is loaded
                self.headers = [(b"content-type", b"application/json; charset=utf-8")]
                reason = "unload" if self._unloads else "load"
                return msgspec.json.encode(self._fields() | {"done": True, "done_reason": reason})
            case "version":
                return msgspec.json.encode({"version": VERSION})
            case "pull":
                self.headers = [(b"content-type", _LINES)]
                return b'{"status":"success"}\n'
            case "model":
                return msgspec.json.encode(self._shown(request))
            case _:
                models = list(map(self._listed, self._names()))
                if does == "running":
                    models = [model | self._running() for model in models]
                return msgspec.json.encode({"models": models})

    def asked(self, request: Request, found: dict[str, str]) -> Asked:
        asking = read_json(request, decode_asking, labelled=False)
        target = request.target.partition("?")[0].rstrip("/")
        return Asked(asking.model, asking.stream is not False, target.endswith(PATH))

    def health(self) -> bytes:
        self.headers = [(b"content-type", b"text/plain; charset=utf-8")]
        return b"Ollama is running"

    def can_say(self, event: Event) -> bool:
        if getattr(event, "index", 0) or getattr(event, "custom", False):
            return False
        if isinstance(event, Unrecognized) and len(event.raw.splitlines()) != 1:
            return False
        return super().can_say(event)

    def write(self, event: Event) -> bytes:
        match event:
            case Text() | Refusal():
                return self._line(text=event.text) if event.text else b""
            case Reasoning():
                return self._line(thinking=event.text) if event.text else b""
            case LogProbs():
                return self._line(logprobs=event.tokens) if event.tokens else b""
            case ToolCallStart():
                self._calls[event.call] = CollectedToolCall(event.id, event.name)
                return b""
            case ToolCallDelta():
                self._calls.setdefault(event.call, CollectedToolCall("", "")).add(event)
                return b""
            case ToolCallEnd():
                call = self._calls.pop(event.call, CollectedToolCall("", ""))
                call.add(event)
                return self._line(calls=[call])
            case Start():
                self._model = event.model or self._model
                return b""
            case Usage():
                self._usage = event
                return b""
            case Finish():
                self._finish = event
                return b""
            case Unrecognized():
                return event.raw + b"\n"
            case _:  # End: calls that nobody ended are over, too
                rest = [self._line(calls=[call]) for call in self._calls.values()]
                return b"".join(rest) + self._line(**self._over())

    def write_whole(self, reply: Reply) -> bytes:
        choice = reply.choices.get(0, Choice())
        self._model = reply.model or self._model
        self._usage, self._finish = reply.usage, choice.finish
        said = list(choice.events())
        tokens = [token for each in choice.logprobs for token in each.tokens]
        return self._line(
            text="".join(each.text for each in said if isinstance(each, Text | Refusal)),
            thinking=choice.reasoning,
            calls=[call for call in choice.tool_calls if self.complete or call.complete],
            **({"logprobs": tokens} if tokens else {}),
            **self._over(),
        ).rstrip()

    def fail_midway(self, error: RemoteProtocolError | LocalProtocolError) -> bytes:
        return self.write_error(error) + b"\n"

    def write_error(self, error: RemoteProtocolError | LocalProtocolError) -> bytes:
        return _encode({"error": error.message})

    # The lines

    def _line(
        self,
        *,
        text: str = "",
        thinking: str = "",
        calls: list[CollectedToolCall] = [],
        **more: Any,
    ) -> bytes:
        fields = self._fields(text)
        said = fields if self._completes else fields["message"]
        if thinking:
            said["thinking"] = thinking
        if calls:
            said["tool_calls"] = list(map(self._call, calls))
        return _encode({**fields, "done": False, **more}) + b"\n"

    def _fields(self, text: str = "") -> dict[str, Any]:
        """What each line has."""
        fields: dict[str, Any] = {"model": self._model, "created_at": self._now()}
        if self._completes:
            return {**fields, "response": text}
        return {**fields, "message": {"role": "assistant", "content": text}}

    def _over(self) -> dict[str, Any]:
        """What the last line has."""
        return {"done": True, "done_reason": self._reason(), **_counts(self._usage)}

    def _reason(self) -> str:
        finish = self._finish
        if finish is None:
            return "stop"
        if finish.reason in self.service.provider.dialect.finish:
            return finish.reason
        return _REASONS.get(finish.kind, finish.reason) or "stop"

    def _call(self, call: CollectedToolCall) -> dict[str, Any]:
        arguments = call.arguments.strip() or "{}"
        if not is_json_object(arguments):
            raise LocalProtocolError(f"the call {call.name!r} is not complete: leave it out")
        index, self._called = self._called, self._called + 1
        raw = msgspec.Raw(arguments.encode())
        return {
            "id": call.id or f"call_{self._number}_{index}",
            "function": {"index": index, "name": call.name, "arguments": raw},
        }

    def _now(self) -> str:
        return rfc3339(self.service.now())

    # The models

    def _names(self) -> tuple[str, ...]:
        provider = self.service.provider
        return provider.models or ((provider.default_model or "any"),)

    def _listed(self, name: str) -> dict[str, Any]:
        return {
            "name": name,
            "model": name,
            "modified_at": self._now(),
            "size": 0,
            "digest": sha256(name.encode()).hexdigest(),
            "details": _DETAILS,
            "capabilities": _CAPABILITIES,
        }

    def _running(self) -> dict[str, Any]:
        return {"expires_at": self._now(), "size_vram": 0, "context_length": 0}

    def _shown(self, request: Request) -> dict[str, Any]:
        asked = read_json(request, _NAMED, labelled=False)
        name = asked.get("model") or asked.get("name")  # the second is that of old clients
        if not isinstance(name, str):
            raise refuse(BadRequest, 400, "model is required")
        self.service.check_model(name)
        return {
            "modelfile": "",
            "parameters": "",
            "template": "",
            "details": _DETAILS,
            "model_info": {},
            "capabilities": _CAPABILITIES,
            "modified_at": self._now(),
        }


_CAPABILITIES = ("completion", "tools", "thinking", "vision")
_DETAILS: dict[str, Any] = {
    "parent_model": "",
    "format": "",
    "family": "",
    "families": [],
    "parameter_size": "",
    "quantization_level": "",
}


def _encode(value: Any) -> bytes:
    """`value` as one line of JSON, without its end."""
    line = msgspec.json.encode(value)
    for character, escape in _ESCAPES:
        line = line.replace(character, escape)
    return line


def _counts(usage: Usage | None) -> dict[str, Any]:
    """The counts of a `Usage`, and how long what took if an Ollama said so."""
    if usage is None:
        return {}
    durations = {name: count_in(usage.raw, name) for name in DURATIONS}
    counts = {
        "prompt_eval_count": usage.input_tokens,
        "prompt_eval_cached_count": usage.cache_read_input_tokens,
        "eval_count": usage.output_tokens,
    }
    return {name: value for name, value in (durations | counts).items() if value is not None}
