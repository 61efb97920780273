"""The body of a request for a message as a chat: what the server half understands.

What `Chat` can't say is kept: further fields, of a message too, in `extra`, further keys of a block
or a tool in its native form, those of a tool's result and blocks and tools of other types as
`Opaque`.
"""

from collections.abc import Iterator
from typing import Any

import msgspec

from ...chat import (
    Cache,
    Chat,
    Effort,
    FilePart,
    ImagePart,
    Message,
    Opaque,
    Part,
    ReasoningPart,
    TextPart,
    Tool,
    ToolCall,
)
from ...dialect import words
from ...errors import BadRequest
from ...events import Native
from ...reading import tokens_in
from ...refusing import refuse
from ...service import Sealer
from ...toolkit.json import further_in, is_list, is_object
from .client import UNSIGNED
from .request import DIALECT, IMPLIED

__all__ = ["chat_of", "count_of"]


class _Body(msgspec.Struct):
    """The fields of a body that are read; `tools` and messages one by one."""

    model: str = ""
    messages: list[dict[str, Any]] = []
    system: str | list[dict[str, Any]] | None = None
    stream: bool | None = None
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    stop_sequences: list[str] | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: dict[str, Any] | None = None
    output_config: dict[str, Any] | None = None
    thinking: Any = None


_READ = frozenset(_Body.__struct_fields__)
_EFFORTS: dict[Any, Effort] = {
    "low": "low",
    "medium": "medium",
    "high": "high",
    "xhigh": "xhigh",
    "max": "max",
}


def chat_of(fields: dict[str, Any], model: str, sealer: Sealer | None, *, count: bool) -> Chat:
    """The chat of a request body; `model` is the model if the body has none. Raises Refused (400)
    for what a real service refuses. `count`: only its tokens are to be counted."""
    try:
        body = msgspec.convert(fields, _Body)
    except msgspec.ValidationError as error:
        raise _refuse(f"the request is not as it should be: {error}") from None
    if not body.model and not model:
        raise _refuse("model: Field required")
    if body.max_tokens is None and not count:
        raise _refuse("max_tokens: Field required")
    if not body.messages:
        raise _refuse("messages: at least one message is required")
    if body.messages[0].get("role") != "user":
        raise _refuse('messages: first message must use the "user" role')
    reader = _Reader(sealer)
    system = _content(body.system or [], "system")
    messages = [Message("system", (p,)) for p in map(reader.part, system)]
    for number, message in enumerate(body.messages):
        messages += reader.messages(message, f"messages.{number}")
    extra = {key: value for key, value in fields.items() if key not in _READ}
    output = dict(body.output_config or {})
    told = output.get("effort")
    effort = _EFFORTS.get(told) if isinstance(told, str) else None
    if effort is not None:
        del output["effort"]
    thinking = body.thinking
    if effort is None and thinking == {"type": "disabled"}:
        effort = "none"
    elif thinking is not None and not (effort is not None and thinking == IMPLIED):
        extra["thinking"] = thinking
    schema = _schema(output.get("format"))
    if schema is not None:
        del output["format"]
    if output:
        extra["output_config"] = output
    choice, parallel = _choice(body.tool_choice, extra)
    return Chat(
        messages=tuple(map(_simply, messages)),
        model=body.model or model,
        tools=tuple(map(_tool, body.tools or ())),
        tool_choice=choice,
        parallel=parallel,
        temperature=body.temperature,
        top_p=body.top_p,
        top_k=body.top_k,
        max_tokens=body.max_tokens,
        stop=tuple(body.stop_sequences or ()),
        effort=effort,
        schema=schema,
        stream=bool(body.stream),
        extra=extra,
    )


def count_of(fields: dict[str, Any]) -> int:
    """About how many tokens a body has."""
    return tokens_in([fields.get(key) for key in ("system", "messages", "tools")])


def _refuse(message: str) -> Exception:
    return refuse(BadRequest, 400, message)


class _Reader:
    """Reads messages. `sealer` opens native forms of other formats that were packed into ours."""

    def __init__(self, sealer: Sealer | None) -> None:
        self._sealer = sealer

    def messages(self, fields: dict[str, Any], place: str) -> Iterator[Message]:
        """A message; those of tools are messages of their own, before the user's."""
        role = fields.get("role")
        if role not in ("user", "assistant", "system"):
            raise _refuse(f"{place}.role: {role!r} is not user, assistant or system"[:200])
        blocks = _content(fields.get("content"), f"{place}.content")
        extra = further_in(fields, "role", "content")
        parts: list[Part] = []
        for block in blocks:
            if role == "user" and block.get("type") == "tool_result":
                yield self._result(block, place).replace(extra=extra)
                extra = {}
            else:
                parts.append(self.part(block))
        if parts or not blocks or role != "user":
            yield Message(role, tuple(parts), extra=extra)

    def _result(self, block: dict[str, Any], place: str) -> Message:
        content = _content(block.get("content") or [], f"{place}.content.tool_result")
        parts = list(map(self.part, content))
        if cache := _cache(block):
            last = parts.pop() if parts else TextPart("")
            if not isinstance(last, TextPart | ImagePart | FilePart):
                parts.append(last)
                last = TextPart("")
            parts.append(msgspec.structs.replace(last, cache=cache))
        known = ("type", "tool_use_id", "content", "is_error", *(("cache_control",) * bool(cache)))
        if further := further_in(block, *known):
            parts.append(Opaque(_raw({"type": "tool_result", **further})))
        id = block.get("tool_use_id")
        return Message(
            "tool",
            tuple(parts),
            tool_call_id=id if isinstance(id, str) else "",
            failed=block.get("is_error") is True,
        )

    def part(self, block: dict[str, Any]) -> Part:
        """The part that a block is."""
        cache, keys = _cache(block), set(block)
        if cache:
            keys.discard("cache_control")
        match block:
            case {"type": "text", "text": str(text)}:
                return TextPart(text, cache, _native(block, keys - words("type text")))
            case {"type": "thinking", "thinking": str(text)}:
                return self._thought(block, text)
            case {"type": "redacted_thinking", "data": str(data)}:
                native = self._unsealed(data)
                return Opaque(_raw(block) if native is None else native)
            case {"type": "tool_use", "id": str(id), "name": str(name), "input": arguments}:
                if block.get("caller") == {"type": "direct"}:
                    keys.discard("caller")
                native = _native(block, keys - words("type id name input"))
                return ToolCall(id, name, _json(arguments), cache=cache, native=native)
            case {"type": "image", "source": source}:
                url = _image_url(source)
                native = _native(block, keys - words("type source"))
                return Opaque(_raw(block)) if url is None else ImagePart(url, "", cache, native)
            case {"type": "document", "source": source}:
                found = _document(source)
                if found is None:
                    return Opaque(_raw(block))
                title = block.get("title")
                name = title if isinstance(title, str) else ""
                native = _native(block, keys - words("type source title"))
                return FilePart(*found, name, cache, native)
            case _:
                return Opaque(_raw(block))

    def _thought(self, block: dict[str, Any], text: str) -> Part:
        signature = block.get("signature")
        if not isinstance(signature, str) or signature in ("", UNSIGNED):
            return ReasoningPart(text)
        native = self._unsealed(signature)
        return ReasoningPart(text, _raw(block) if native is None else native)

    def _unsealed(self, text: str) -> Native | None:
        found = None if self._sealer is None else self._sealer.unseal(text)
        return None if found is None else Native(found.dialect, found.raw)


def _content(value: Any, place: str) -> list[dict[str, Any]]:
    """The blocks of a content."""
    if isinstance(value, str):
        return [{"type": "text", "text": value}]
    if not is_list(value) or not all(map(is_object, value)):
        raise _refuse(f"{place}: Input should be a string or a list of blocks")
    blocks: list[dict[str, Any]] = value
    return blocks


def _simply(message: Message) -> Message:
    """`message`; one whose only part is a text has that text as its content."""
    if not message.parts:
        return message.replace(content="")
    if message.parts == (TextPart(message.text),):
        return message.replace(content=message.text)
    return message


def _raw(value: Any) -> Native:
    return Native(DIALECT, msgspec.json.encode(value))


def _native(block: dict[str, Any], further: set[str]) -> Native | None:
    """The native form of a block, if it has further keys."""
    return _raw(block) if any(block[key] is not None for key in further) else None


def _cache(block: dict[str, Any]) -> Cache:
    """The cache mark of a block; empty if it has none, or one that `Cache` can't say."""
    match block.get("cache_control"):
        case {"type": "ephemeral", **others} if others in ({}, {"ttl": "5m"}):
            return "5m"
        case {"type": "ephemeral", **others} if others == {"ttl": "1h"}:
            return "1h"
        case _:
            return ""


def _json(value: Any) -> str:
    """The arguments that an input is. A string is what our server half writes for arguments that
    are no object."""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _image_url(source: Any) -> str | None:
    match source:
        case {"type": "base64", "media_type": str(kind), "data": str(data), **others} if not others:
            return f"data:{kind};base64,{data}"
        case {"type": "url", "url": str(url), **others} if not others:
            return url
        case _:
            return None


def _document(source: Any) -> tuple[str, str] | None:
    """The URL and the media type of a document."""
    match source:
        case {"type": "base64", "media_type": str(kind), "data": str(data), **others} if not others:
            return f"data:{kind};base64,{data}", kind
        case {"type": "text", "media_type": str(kind), "data": str(text), **others} if not others:
            part = FilePart.of_bytes(text.encode(), kind)
            return part.url, kind
        case {"type": "url", "url": str(url), **others} if not others:
            return url, "application/pdf"
        case _:
            return None


def _tool(fields: dict[str, Any]) -> Tool | Opaque:
    match fields:
        case {"type": str(kind)} if kind != "custom":
            return Opaque(_raw(fields))
        case {"name": str(name), "input_schema": schema} if is_object(schema):
            strict, cache = fields.get("strict"), _cache(fields)
            keys = set(fields) - words("type name description input_schema strict")
            if cache:
                keys.discard("cache_control")
            described = fields.get("description")
            return Tool(
                name,
                described if isinstance(described, str) else "",
                schema,
                strict if isinstance(strict, bool) else None,
                cache,
                _native(fields, keys),
            )
        case _:
            raise _refuse("tools: a tool has a name and an input_schema")


_WORDS = ("auto", "none", "required")
"""What `Chat.tool_choice` means something else by than the name of a tool."""


def _choice(choice: dict[str, Any] | None, extra: dict[str, Any]) -> tuple[str | None, bool | None]:
    """The tool choice and `parallel`."""
    if choice is None:
        return None, None
    rest = further_in(choice)
    said = rest.pop("disable_parallel_tool_use", None)
    parallel = not said if isinstance(said, bool) else None
    match rest:
        case {"type": "any", **others} if not others:
            return "required", parallel
        case {"type": "auto" | "none" as word, **others} if not others:
            return word, parallel
        case {"type": "tool", "name": str(name), **others} if not others and name not in _WORDS:
            return name, parallel
        case _:
            extra["tool_choice"] = choice
            return None, None


def _schema(format_: Any) -> dict[str, Any] | None:
    match format_:
        case {"type": "json_schema", "schema": schema, **others} if is_object(schema):
            found: dict[str, Any] = schema
            return found if found and not others else None
        case _:
            return None
