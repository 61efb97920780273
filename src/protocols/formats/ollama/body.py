"""The bodies of requests to `/api/chat` and `/api/generate` as chats: what the server half
understands.

What `Chat` can't say is kept: further fields, and further options, in `extra`, further keys of a
message in its `extra`, further keys of a call or a tool in its native form.
"""

from base64 import b64decode
from typing import Any, get_args

import msgspec

from ...chat import (
    Chat,
    Effort,
    ImagePart,
    Message,
    Part,
    ReasoningPart,
    Role,
    TextPart,
    Tool,
    ToolCall,
)
from ...dialect import words
from ...errors import BadRequest
from ...events import Native
from ...reading import read_json
from ...refusing import refuse
from ...toolkit.http import Request
from ...toolkit.json import is_object
from ...toolkit.media import data_of, media_type_of
from .request import DIALECT, OPTIONS

__all__ = ["chat_of", "completion_of"]


class _Function(msgspec.Struct):
    name: str = ""
    arguments: msgspec.Raw = msgspec.Raw()


class _Call(msgspec.Struct):
    function: _Function
    id: str | None = None


class _Message(msgspec.Struct):
    role: str = ""
    content: str | None = None
    thinking: str | None = None
    images: list[str] | None = None
    tool_calls: list[_Call] | None = None
    tool_name: str | None = None
    tool_call_id: str | None = None


class _Options(msgspec.Struct):
    """The options that `Chat` has, each as Ollama names it."""

    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    seed: int | None = None
    stop: list[str] | None = None
    num_predict: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None


class _Asked(msgspec.Struct):
    """What both kinds of requests have."""

    model: str = ""
    stream: bool | None = None
    options: dict[str, Any] | None = None
    format: Any = None
    think: bool | str | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None


class _Chat(_Asked):
    messages: list[_Message] | None = None
    tools: list[dict[str, Any]] | None = None


class _Completion(_Asked):
    prompt: str | None = None
    system: str | None = None
    images: list[str] | None = None


_chat = msgspec.json.Decoder(_Chat)
_completion = msgspec.json.Decoder(_Completion)
_dict = msgspec.json.Decoder(dict[str, Any])
_ROLES: dict[str, Role] = {role: role for role in get_args(Role)}
_EFFORTS: dict[str, Effort] = {"low": "low", "medium": "medium", "high": "high", "max": "max"}
_MESSAGE = frozenset(_Message.__struct_fields__)
_OFTEN_EMPTY = words("suffix template context raw")
"""Fields that clients send of which they mean nothing."""


def chat_of(request: Request) -> Chat:
    """The chat of a request to `/api/chat`; without messages it asks to load the model. Raises
    Refused (400, 413) for what a real service refuses."""
    body = read_json(request, _chat, labelled=False)
    fields = read_json(request, _dict, labelled=False)
    both = zip(body.messages or (), fields.get("messages") or (), strict=True)
    messages = [_message(*each) for each in both]
    return _asked(body, fields, messages).replace(tools=tuple(map(_tool, body.tools or ())))


def completion_of(request: Request) -> Chat:
    """The chat of a request to `/api/generate`: its prompt; without one it asks to load the model.
    Raises Refused, likewise."""
    body = read_json(request, _completion, labelled=False)
    fields = read_json(request, _dict, labelled=False)
    fields = {key: said for key, said in fields.items() if said or key not in _OFTEN_EMPTY}
    messages: list[Message] = []
    if body.prompt or body.images:
        if body.system:
            messages.append(Message("system", body.system))
        messages.append(Message("user", _content(body.prompt, body.images)))
    return _asked(body, fields, messages)


def _asked(body: _Asked, fields: dict[str, Any], messages: list[Message]) -> Chat:
    if not body.model:
        raise _refuse("model is required")
    if not 0 <= (body.top_logprobs or 0) <= 20:
        raise _refuse("top_logprobs must be between 0 and 20")
    extra = {key: value for key, value in fields.items() if key not in body.__struct_fields__}
    options = body.options or {}
    try:
        known = msgspec.convert(options, _Options, strict=False)  # `40.0` is whole, too
    except msgspec.ValidationError as error:
        raise _refuse(f"options: {error}") from None
    if known.num_predict is not None and known.num_predict <= 0:  # no end, or the context's
        known.num_predict = None
    told: dict[str, Any] = {}
    for name, theirs in OPTIONS.items():
        if (value := getattr(known, theirs)) is not None:
            told[name] = tuple(value) if name == "stop" else value
    said = {OPTIONS[name] for name in told}
    if rest := {key: value for key, value in options.items() if key not in said}:
        extra["options"] = rest
    return Chat(
        messages=tuple(messages),
        model=body.model,
        effort=_effort(body.think),
        schema=_schema(body.format),
        logprobs=(body.top_logprobs or 0) if body.logprobs else None,
        stream=body.stream is not False,
        extra=extra,
        **told,
    )


def _refuse(message: str) -> Exception:
    return refuse(BadRequest, 400, message)


def _message(message: _Message, fields: dict[str, Any]) -> Message:
    role = _ROLES.get(message.role.lower())
    if role is None:
        raise _refuse(f"a message's role is {', '.join(_ROLES)}, not {message.role[:80]!r}")
    content = _content(message.content, message.images)
    both = zip(message.tool_calls or (), fields.get("tool_calls") or (), strict=True)
    calls = tuple(_call(*each) for each in both)
    if message.thinking or calls:
        thoughts = (ReasoningPart(message.thinking),) if message.thinking else ()
        content = (*thoughts, *Message(role, content).parts, *calls)
    return Message(
        role,
        content,
        tool_call_id=message.tool_call_id or "",
        name=message.tool_name or "",
        extra={k: v for k, v in fields.items() if k not in _MESSAGE and v is not None},
    )


def _content(text: str | None, images: list[str] | None) -> str | tuple[Part, ...]:
    if not images:
        return text or ""
    return (*((TextPart(text),) if text else ()), *map(_image, images))


def _image(coded: str) -> ImagePart:
    """A picture in base64; some clients give a `data:` URL."""
    _, data = data_of(coded)
    try:
        found = b64decode(coded if data is None else data, validate=True)
    except ValueError:
        raise _refuse("images: illegal base64 data") from None
    return ImagePart.of_bytes(found, media_type_of(found))


def _call(call: _Call, fields: dict[str, Any]) -> ToolCall:
    arguments = bytes(call.function.arguments).decode(errors="replace")
    if arguments in ("", "null"):
        arguments = "{}"
    if arguments[0] != "{":
        raise _refuse("tool_calls: the arguments are an object")
    further = fields.keys() - {"id", "type", "function"}
    further |= fields["function"].keys() - {"index", "name", "description", "arguments"}
    native = Native(DIALECT, msgspec.json.encode(fields)) if further else None
    return ToolCall(call.id or "", call.function.name, arguments, native=native)


def _tool(fields: dict[str, Any]) -> Tool:
    function = fields.get("function")
    name = function.get("name") if is_object(function) else None
    if not (is_object(function) and isinstance(name, str)):
        raise _refuse("tools: a tool has a function with a name")
    described, schema = function.get("description"), function.get("parameters")
    further = fields.keys() - {"type", "function"}
    further |= function.keys() - {"name", "description", "parameters"}
    raw = Native(DIALECT, msgspec.json.encode(fields)) if further else None
    return Tool(
        name,
        described if isinstance(described, str) else "",
        schema if is_object(schema) else {},
        native=raw,
    )


def _effort(think: bool | str | None) -> Effort | None:
    """The effort; that a model is to think says nothing, as those that can do anyway."""
    if think is False:
        return "none"
    if think is None or think is True or think == "":
        return None
    if think not in _EFFORTS:
        known = '"high", "medium", "low", "max", true, or false'
        raise _refuse(f"invalid think value: {think[:80]!r} (must be {known})")
    return _EFFORTS[think]


def _schema(format_: Any) -> dict[str, Any] | None:
    if format_ is None or format_ == "":
        return None
    if format_ == "json":
        return {}
    if not is_object(format_):
        raise _refuse('format: expected "json" or a JSON Schema object')
    return format_
