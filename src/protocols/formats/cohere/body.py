"""The body of a request to `/v2/chat` as a chat: what the server half understands.

What `Chat` can't say is kept: further fields in `extra`, further keys of a part, a call or a tool
in its native form, parts of other types and further keys of a message as `Opaque`.
"""

from collections.abc import Iterator
from typing import Any

import msgspec

from ...chat import (
    Chat,
    Effort,
    ImagePart,
    Message,
    Opaque,
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
from ...refusing import refuse
from ...toolkit.json import is_list, is_object, text_of
from .request import DIALECT, MOST_STOPS, OPTIONS, TOOL_NAMES

__all__ = ["chat_of"]


class _Body(msgspec.Struct):
    """The fields of a body that are read; messages and tools one by one."""

    model: str = ""
    messages: list[dict[str, Any]] = []
    stream: bool | None = None
    temperature: float | None = None
    p: float | None = None
    k: int | None = None
    max_tokens: int | None = None
    stop_sequences: list[str] | None = None
    seed: int | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: str | None = None
    strict_tools: bool | None = None
    logprobs: bool | None = None


_READ = frozenset(_Body.__struct_fields__)
_ROLES: dict[Any, Role] = {
    "system": "system",
    "developer": "developer",
    "user": "user",
    "assistant": "assistant",
    "tool": "tool",
}
_CHOICES = {"REQUIRED": "required", "NONE": "none"}
_EFFORTS: dict[Any, Effort] = {"enabled": "high", "disabled": "none"}


def chat_of(fields: dict[str, Any]) -> Chat:
    """The chat of a request body. Raises Refused (400) for what a real service refuses."""
    try:
        body = msgspec.convert(fields, _Body, strict=False)  # `40.0` is whole, too
    except msgspec.ValidationError as error:
        raise _refuse(f"invalid request: {error}") from None
    if not body.model:
        raise _refuse("invalid request: model is required")
    if not body.messages:
        raise _refuse("invalid request: messages must not be empty")
    stops = body.stop_sequences or []
    if len(stops) > MOST_STOPS:
        raise _refuse(f"invalid request: at most {MOST_STOPS} stop_sequences")
    extra = {key: value for key, value in fields.items() if key not in _READ}
    choice = _CHOICES.get(body.tool_choice.upper()) if body.tool_choice else None
    if body.tool_choice and choice is None:
        raise _refuse("invalid request: tool_choice is REQUIRED or NONE")
    told = {name: getattr(body, theirs) for name, theirs in OPTIONS.items() if name != "stop"}
    return Chat(
        messages=tuple(map(_message, body.messages)),
        model=body.model,
        tools=tuple(_tool(tool, body.strict_tools) for tool in body.tools or ()),
        tool_choice=choice,
        stop=tuple(stops),
        logprobs=0 if body.logprobs else None,
        effort=_effort(extra),
        schema=_schema(extra),
        stream=bool(body.stream),
        extra=extra,
        **told,
    )


def _refuse(message: str) -> Exception:
    return refuse(BadRequest, 400, message)


def _effort(extra: dict[str, Any]) -> Effort | None:
    """The effort; takes out of `extra` what it says."""
    thinking = extra.get("thinking")
    kind = thinking.get("type") if is_object(thinking) else None
    effort = _EFFORTS.get(kind) if isinstance(kind, str) else None
    if effort is not None and is_object(thinking):
        extra["thinking"] = {k: v for k, v in thinking.items() if k != "type" and v is not None}
        if not extra["thinking"]:
            del extra["thinking"]
    return effort


def _schema(extra: dict[str, Any]) -> dict[str, Any] | None:
    """The schema of the answer, likewise; some clients name it `schema`."""
    match extra.get("response_format"):
        case {"type": "json_object", **others} if not others.keys() - {"json_schema", "schema"}:
            schema: Any = others.get("json_schema") or others.get("schema") or {}
        case {"type": "text", **others} if not others:
            schema = None
        case _:
            return None
    if schema is None or is_object(schema):
        del extra["response_format"]
        return schema
    return None


def _message(fields: dict[str, Any]) -> Message:
    role = fields.get("role")
    if not isinstance(role, str) or role not in _ROLES:
        raise _refuse(f"invalid request: a message's role is not {role!r}"[:200])
    id = fields.get("tool_call_id")
    if role == "tool" and not (isinstance(id, str) and id):
        raise _refuse("tool call id must be provided with tool message")
    message = Message(_ROLES[role], tuple(_parts(fields)), id if isinstance(id, str) else "")
    if message.parts in ((), (TextPart(message.text),)):
        return message.replace(content=message.text)
    return message


def _parts(fields: dict[str, Any]) -> Iterator[Part]:
    """The parts of a message: its content, the plan, the calls, and what else it says."""
    content = fields.get("content")
    if isinstance(content, str):
        content = [{"type": "text", "text": content}] if content else []
    for part in _objects(content, "content"):
        yield _part(part)
    plan = fields.get("tool_plan")
    if not isinstance(plan, str | None):
        raise _refuse("invalid request: tool_plan of a message")
    if plan:
        yield ReasoningPart(plan, _native({"tool_plan": plan}))
    for call in _objects(fields.get("tool_calls"), "tool_calls"):
        yield _call(call)
    for key, value in fields.items():
        if key not in _MESSAGE and value not in (None, []):
            yield Opaque(_native({key: value}))


_MESSAGE = words("role content tool_plan tool_calls tool_call_id")


def _objects(value: Any, what: str) -> list[dict[str, Any]]:
    if value is None:
        return []
    if not is_list(value) or not all(map(is_object, value)):
        raise _refuse(f"invalid request: {what} of a message")
    objects: list[dict[str, Any]] = value
    return objects


def _part(part: dict[str, Any]) -> Part:
    native = _native({"content": [part]})
    match part:
        case {"type": "text", "text": str(text), **others}:
            return TextPart(text, native=native if others else None)
        case {"type": "thinking", "thinking": str(text), **others}:
            return ReasoningPart(text, native if others else None)
        case {"type": "image_url", "image_url": {"url": str(url), **more}, **others} if isinstance(
            detail := more.pop("detail", None) or "", str
        ):
            return ImagePart(url, detail, native=native if more or others else None)
        case _:
            return Opaque(native)


def _call(call: dict[str, Any]) -> ToolCall:
    function = call.get("function")
    name = text_of(function, "name")
    if not is_object(function) or not name:
        raise _refuse("invalid request: a tool call has a function with a name")
    arguments = function.get("arguments")
    if is_object(arguments):  # as the careless write them
        arguments = msgspec.json.encode(arguments).decode()
    if not isinstance(arguments, str | None):
        raise _refuse("invalid request: the arguments of a tool call are text")
    further = call.keys() - words("id type function") or function.keys() - {"name", "arguments"}
    return ToolCall(
        text_of(call, "id"),
        name,
        "{}" if arguments in (None, "", "null") else arguments,
        native=_native({"tool_calls": [call]}) if further else None,
    )


def _tool(fields: dict[str, Any], strict: bool | None) -> Tool:
    function = fields.get("function")
    name = text_of(function, "name")
    if not is_object(function) or not TOOL_NAMES.fullmatch(name):
        raise _refuse("invalid tool name: only letters, digits and _, and no digit first")
    schema = function.get("parameters")
    further = fields.keys() - {"type", "function"}
    further |= function.keys() - words("name description parameters")
    return Tool(
        name,
        text_of(function, "description"),
        schema if is_object(schema) else {},
        strict,
        native=_native(fields) if further else None,
    )


def _native(value: dict[str, Any]) -> Native:
    return Native(DIALECT, msgspec.json.encode(value))
