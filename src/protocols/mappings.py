"""Messages and tools as plain data, in the form of OpenAI's chat completions: the field's way to
write them down, and so what `as_chat` takes, and what the server half of that format reads.

Nothing is dropped. Known keys become fields and parts. A part, a call or a tool that has further
keys keeps the whole mapping as its native form; further keys of a message go to `Message.extra`.

A native form of chat completions is always a piece of the message, which is merged into it:
`{"content": [part]}`, `{"tool_calls": [call]}`, `{"reasoning_details": [...]}`; of a tool it is the
tool. Sources: the API reference (platform.openai.com/docs/api-reference/chat), and for
`reasoning_details` and `cache_control` OpenRouter's (openrouter.ai/docs).
"""

from collections.abc import Mapping, Sequence
from typing import Any, TypeGuard, get_args

import msgspec

from .chat import (
    Cache,
    FilePart,
    ImagePart,
    Message,
    Opaque,
    Part,
    ReasoningPart,
    RefusalPart,
    Role,
    TextPart,
    Tool,
    ToolCall,
)
from .errors import LocalProtocolError
from .events import Native
from .toolkit.media import AUDIO

__all__ = ["DIALECT", "detail_text", "message_of", "tool_of"]

DIALECT = "openai_chat"
"""The name of the format whose form this is."""

_ROLES: tuple[Role, ...] = get_args(Role)
_MARKS: dict[Any, Cache] = {
    ("ephemeral", None): "5m",
    ("ephemeral", "5m"): "5m",
    ("ephemeral", "1h"): "1h",
}
_CALL_KEYS = frozenset(("id", "type", "index", "cache_control"))


def message_of(value: Any) -> Message:
    """The message that `value` is. Raises LocalProtocolError."""
    if not _is_mapping(value):
        raise LocalProtocolError(
            f"a message of type {type(value).__name__}: give a Message, or a mapping with role"
        )
    fields: dict[str, Any] = {key: item for key, item in value.items() if item is not None}
    role = fields.pop("role", None)
    name = _text(fields.pop("name", ""), "name")
    if role == "function":  # the tool message of old, bound to its call by the tool's name
        role = "tool"
    if role not in _ROLES:
        raise LocalProtocolError(f"a message's role is {', '.join(_ROLES)}, not {role!r}"[:200])
    content = fields.pop("content", "")
    parts = _thoughts(fields) if role == "assistant" else []
    if isinstance(content, str):
        parts += [TextPart(content)] if content else []
    else:
        parts += map(_part, _list(content, "content"))
    if role == "assistant":
        if refusal := fields.pop("refusal", ""):
            parts.append(RefusalPart(_text(refusal, "refusal")))
        parts += map(_call, _list(fields.pop("tool_calls", ()), "tool_calls"))
    answers = fields.pop("tool_call_id", "")
    plain = isinstance(content, str) and all(type(part) is TextPart for part in parts)
    return Message(
        role=role,
        content=content if plain else tuple(parts),
        tool_call_id=_text(answers, "tool_call_id"),
        name=name,
        extra=fields,
    )


def tool_of(value: Any) -> Tool | Opaque:
    """The tool that `value` is. One of another type than `function` is in the words of the format
    that is asked. Raises LocalProtocolError."""
    if not _is_mapping(value):
        raise LocalProtocolError(
            f"a tool of type {type(value).__name__}: give a Tool, or a mapping with type"
        )
    function = value.get("function")
    if value.get("type") != "function" or not _is_mapping(function):
        return Opaque(Native("", _json(value, "a tool")))
    known = {key: item for key, item in function.items() if item is not None}
    parameters, strict = known.pop("parameters", {}), known.pop("strict", None)
    if not _is_mapping(parameters) or not isinstance(strict, bool | None):
        raise LocalProtocolError("a tool's parameters are an object, and its strict a boolean")
    name, description = known.pop("name", ""), known.pop("description", "")
    mark = _cache(value)
    further = known or mark is None or value.keys() - {"type", "function", "cache_control"}
    return Tool(
        name=_text(name, "a tool's name"),
        description=_text(description, "a tool's description"),
        parameters=dict(parameters),
        strict=strict,
        cache=mark or "",
        native=Native(DIALECT, _json(value, "a tool")) if further else None,
    )


def detail_text(detail: Any) -> str:
    """The text of an item of `reasoning_details`; empty if it is encrypted."""
    if not _is_mapping(detail):
        return ""
    said = detail.get("text") or detail.get("summary")
    return said if isinstance(said, str) else ""


def _thoughts(fields: dict[str, Any]) -> list[Part]:
    """The reasoning of an assistant's message, which has a name for each of three services."""
    found = [fields.pop(name, "") for name in ("reasoning_content", "reasoning")]
    texts = [_text(text, "reasoning") for text in found if text]
    text = texts[0] if texts else ""
    details = fields.pop("reasoning_details", None)
    if not details:
        return [ReasoningPart(text)] if text else []
    said = "".join(map(detail_text, _list(details, "reasoning_details")))
    native = Native(DIALECT, _json({"reasoning_details": details}, "reasoning_details"))
    return [ReasoningPart(said or text, native)]


def _part(value: Any) -> Part:
    if not _is_mapping(value):
        raise LocalProtocolError("a part of a message's content: give a mapping with type")
    kind = value.get("type")
    if not isinstance(kind, str):
        raise LocalProtocolError(f"a part of type {kind!r}: its type is text"[:200])
    rest = {key: item for key, item in value.items() if key not in ("type", "cache_control")}
    part, mark = _known_part(kind, rest), _cache(value)
    native = Native(DIALECT, _json({"content": [value]}, "a part"))
    if part is None:
        return Opaque(native)
    if isinstance(part, RefusalPart):  # it has no field for a mark
        said = mark == ""
    else:
        said = mark is not None
        part = msgspec.structs.replace(part, cache=mark or "")
    return part if said and not rest else msgspec.structs.replace(part, native=native)


def _known_part(
    kind: str, rest: dict[str, Any]
) -> TextPart | RefusalPart | ImagePart | FilePart | None:
    """The part that a mapping of type `kind` is. Takes out of `rest` what it says."""
    inner = rest.get(kind)
    match kind:
        case "text" if isinstance(inner, str):
            del rest["text"]
            return TextPart(inner)
        case "refusal" if isinstance(inner, str):
            del rest["refusal"]
            return RefusalPart(inner)
        case "image_url" if _is_mapping(inner) and isinstance(inner.get("url"), str):
            if _only(inner, "url", "detail"):
                del rest["image_url"]
            return ImagePart(inner["url"], str(inner.get("detail") or ""))
        case "input_audio" if _is_mapping(inner) and isinstance(inner.get("data"), str):
            media_type = AUDIO.get(str(inner.get("format")))
            if media_type is None:
                return None
            if _only(inner, "data", "format"):
                del rest["input_audio"]
            return FilePart(f"data:{media_type};base64,{inner['data']}", media_type)
        case "file" if _is_mapping(inner) and isinstance(inner.get("file_data"), str):
            url: str = inner["file_data"]
            if _only(inner, "file_data", "filename"):
                del rest["file"]
            media_type = url.partition(";")[0].removeprefix("data:") if url[:5] == "data:" else ""
            return FilePart(url, media_type, str(inner.get("filename") or ""))
        case _:
            return None


def _call(value: Any) -> ToolCall:
    if not _is_mapping(value):
        raise LocalProtocolError("a tool call: give a mapping with id and function")
    custom = value.get("type") == "custom"
    key, text = ("custom", "input") if custom else ("function", "arguments")
    inner = value.get(key)
    if not _is_mapping(inner):
        raise LocalProtocolError(f"a tool call: its {key} is an object with name and {text}")
    said = inner.get(text)
    if _is_mapping(said):  # as Ollama and the careless write them
        said = _json(said, "a tool call").decode()
    mark = _cache(value)
    further = inner.keys() - {"name", text} or value.keys() - _CALL_KEYS - {key} or mark is None
    return ToolCall(
        id=_text(value.get("id") or "", "a tool call's id"),
        name=_text(inner.get("name") or "", "a tool call's name"),
        arguments=_text(said or "", f"a tool call's {text}"),
        custom=custom,
        cache=mark or "",
        native=Native(DIALECT, _json({"tool_calls": [value]}, "a tool call")) if further else None,
    )


def _cache(value: Mapping[str, Any]) -> Cache | None:
    """The cache mark of a part, call or tool; None if it has one that is not understood."""
    mark = value.get("cache_control")
    if mark is None:
        return ""
    if not _is_mapping(mark) or not _only(mark, "type", "ttl"):
        return None
    return _MARKS.get((mark.get("type"), mark.get("ttl")))


def _is_mapping(value: Any) -> TypeGuard[Mapping[str, Any]]:
    return isinstance(value, Mapping)


def _is_sequence(value: Any) -> TypeGuard[Sequence[Any]]:
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)


def _only(value: Mapping[str, Any], *names: str) -> bool:
    return not value.keys() - set(names)


def _text(value: Any, what: str) -> str:
    if not isinstance(value, str):
        raise LocalProtocolError(f"{what}: give text, not {type(value).__name__}")
    return value


def _list(value: Any, what: str) -> list[Any]:
    if not _is_sequence(value):
        raise LocalProtocolError(f"{what}: give a list, not {type(value).__name__}")
    return list(value)


def _json(value: Any, what: str) -> bytes:
    try:
        return msgspec.json.encode(_builtin(value))
    except (TypeError, ValueError, RecursionError) as error:
        raise LocalProtocolError(f"{what} can't be written as JSON: {error}"[:200]) from None


def _builtin(value: Any) -> Any:
    """`value` with dicts for all mappings, and lists for all sequences."""
    if _is_mapping(value):
        return {key: _builtin(item) for key, item in value.items()}
    return [_builtin(item) for item in value] if _is_sequence(value) else value
