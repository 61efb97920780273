"""The body of a request for Converse as a chat: what the server half understands.

What `Chat` can't say is kept: further fields, of a message too, in `extra`, further keys of a block
or a tool in its native form, those of a tool's result and blocks and tools of other kinds as
`Opaque`.
"""

from base64 import b64decode
from collections.abc import Iterable, Iterator
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
from ...errors import BadRequest
from ...events import Native
from ...refusing import refuse
from ...service import Sealer
from ...toolkit.json import further_in, is_list, is_object, objects_of, text_of
from .request import DIALECT, FORMATS, top_k_place

__all__ = ["chat_of"]


class _Body(msgspec.Struct):
    """The fields of a body that are read; blocks and tools one by one."""

    messages: list[dict[str, Any]] = []
    system: list[dict[str, Any]] = []
    inferenceConfig: dict[str, Any] = {}  # noqa: N815  as the wire spells it
    toolConfig: dict[str, Any] = {}  # noqa: N815
    outputConfig: dict[str, Any] = {}  # noqa: N815
    additionalModelRequestFields: Any = None  # noqa: N815


class _Inference(msgspec.Struct):
    maxTokens: int | None = None  # noqa: N815
    temperature: float | None = None
    topP: float | None = None  # noqa: N815
    stopSequences: tuple[str, ...] = ()  # noqa: N815


_EFFORTS: dict[Any, Effort] = {
    "low": "low",
    "medium": "medium",
    "high": "high",
    "xhigh": "xhigh",
    "max": "max",
}
_MEDIA_TYPES = {
    kind: {format: media_type for media_type, format in known.items()}
    for kind, known in FORMATS.items()
}


def chat_of(fields: dict[str, Any], model: str, sealer: Sealer | None, *, stream: bool) -> Chat:
    """The chat of a request body. Raises BadRequest (400) for what a real service refuses."""
    body = _convert(fields, _Body)
    inference = _convert(body.inferenceConfig, _Inference)
    if not body.messages:
        raise _refuse("messages: give at least one")
    reader = _Reader(sealer)
    messages = [Message("system", (part,)) for part in reader.parts(body.system, "system")]
    for number, message in enumerate(body.messages):
        messages += reader.messages(message, f"messages.{number}")
    extra = {key: value for key, value in fields.items() if key not in _Body.__struct_fields__}
    rest = {
        "inferenceConfig": _without(body.inferenceConfig, *_Inference.__struct_fields__),
        "toolConfig": dict(body.toolConfig),
        "outputConfig": dict(body.outputConfig),
        "additionalModelRequestFields": body.additionalModelRequestFields,
    }
    tools = tuple(_tools(rest["toolConfig"].pop("tools", None)))
    choice = _choice(rest["toolConfig"])
    said = rest["outputConfig"].get("effort")
    effort = _EFFORTS.get(said) if isinstance(said, str) else None
    if effort is not None:
        del rest["outputConfig"]["effort"]
    schema = _schema(rest["outputConfig"])
    top_k, rest["additionalModelRequestFields"] = _top_k(
        rest["additionalModelRequestFields"], top_k_place(model)
    )
    return Chat(
        messages=tuple(map(_simply, messages)),
        model=model,
        tools=tools,
        tool_choice=choice,
        temperature=inference.temperature,
        top_p=inference.topP,
        top_k=top_k,
        max_tokens=inference.maxTokens,
        stop=inference.stopSequences,
        effort=effort,
        schema=schema,
        stream=stream,
        extra=extra | {key: value for key, value in rest.items() if value},
    )


def _refuse(message: str) -> Exception:
    return refuse(BadRequest, 400, message[:500], "ValidationException")


def _convert(value: Any, kind: Any) -> Any:
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise _refuse(f"the request is not as it should be: {error}") from None


def _without(fields: dict[str, Any], *names: str) -> dict[str, Any]:
    return {key: value for key, value in fields.items() if key not in names}


class _Reader:
    """Reads messages. `sealer` opens native forms of other formats that were packed into ours."""

    def __init__(self, sealer: Sealer | None) -> None:
        self._sealer = sealer

    def messages(self, fields: dict[str, Any], place: str) -> Iterator[Message]:
        """A message; the results of tools in it are messages of their own."""
        role = fields.get("role")
        if role not in ("user", "assistant"):
            raise _refuse(f"{place}.role: {role!r} is not user or assistant")
        blocks = _blocks(fields.get("content"), place)
        extra = further_in(fields, "role", "content")
        parts: list[dict[str, Any]] = []
        for number, block in enumerate(blocks):
            if "toolResult" not in block or role != "user":
                marked = _mark(block) and number and "toolResult" in blocks[number - 1]
                if not marked:
                    parts.append(block)
                continue
            if parts:
                yield Message(role, tuple(self.parts(parts, place)), extra=extra)
                parts, extra = [], {}
            mark = _mark(blocks[number + 1]) if number + 1 < len(blocks) else ""
            yield self._result(_member(block, place)["toolResult"], mark, place).replace(
                extra=extra
            )
            extra = {}
        if parts:
            yield Message(role, tuple(self.parts(parts, place)), extra=extra)

    def _result(self, result: Any, mark: Cache, place: str) -> Message:
        place = f"{place}.content.toolResult"
        if not is_object(result) or not isinstance(result.get("toolUseId"), str):
            raise _refuse(f"{place}: a result has a toolUseId")
        content = result.get("content")
        parts = list(self.parts(_blocks(content, place) if content else (), place))
        if mark:
            last = parts.pop() if parts else TextPart("")
            if not isinstance(last, TextPart | ImagePart | FilePart):
                parts.append(last)
                last = TextPart("")
            parts.append(msgspec.structs.replace(last, cache=mark))
        if further := further_in(result, "toolUseId", "content", "status"):
            parts.append(Opaque(_raw({"toolResult": further})))
        failed = result.get("status") == "error"
        return Message("tool", tuple(parts), tool_call_id=result["toolUseId"], failed=failed)

    def parts(self, blocks: Iterable[dict[str, Any]], place: str) -> Iterator[Part]:
        """The parts that blocks are. A cache mark is a block after what it marks."""
        held: Part | None = None
        for block in blocks:
            said = _member(block, place)
            mark = _mark(said)
            if mark and isinstance(held, TextPart | ImagePart | FilePart | ToolCall):
                yield msgspec.structs.replace(held, cache=mark)
                held = None
                continue
            if held is not None:
                yield held
            held = self._part(said)
        if held is not None:
            yield held

    def _part(self, block: dict[str, Any]) -> Part:
        ((kind, value),) = block.items()
        match kind:
            case "text" if isinstance(value, str):
                return TextPart(value)
            case "json":  # of a result
                return TextPart(msgspec.json.encode(value).decode())
            case "image":
                url = _url(kind, value)
                if url is None:
                    return Opaque(_raw(block))
                further = value.keys() - {"format", "source"}
                return ImagePart(url, native=_raw(block) if further else None)
            case "document" | "video" | "audio":
                url = _url(kind, value)
                media_type = _MEDIA_TYPES[kind].get(text_of(value, "format"), "")
                if url is None:
                    return Opaque(_raw(block))
                further = value.keys() - {"format", "source", "name"}
                native = _raw(block) if further else None
                return FilePart(url, media_type, text_of(value, "name"), native=native)
            case "toolUse" if is_object(value):
                return _call(value)
            case "reasoningContent":
                return self._thought(block)
            case "citationsContent":
                texts = (text_of(each, "text") for each in objects_of(_get(value, "content")))
                return TextPart("".join(texts), native=_raw(block))
            case _:
                return Opaque(_raw(block))

    def _thought(self, block: dict[str, Any]) -> Part:
        match block["reasoningContent"]:
            case {"reasoningText": {"text": str(text), **others}}:
                signature = others.get("signature")
                if not signature and others.keys() <= {"signature"}:
                    return ReasoningPart(text)
                return ReasoningPart(text, self._unsealed(signature) or _raw(block))
            case {"redactedContent": str(content)}:
                return Opaque(self._unsealed(_decoded(content)) or _raw(block))
            case _:
                return Opaque(_raw(block))

    def _unsealed(self, text: Any) -> Native | None:
        if self._sealer is None or not isinstance(text, str):
            return None
        found = self._sealer.unseal(text)
        return None if found is None else Native(found.dialect, found.raw)


def _blocks(value: Any, place: str) -> list[dict[str, Any]]:
    if not is_list(value) or not value or not all(map(is_object, value)):
        raise _refuse(f"{place}.content: give a list of blocks, at least one")
    blocks: list[dict[str, Any]] = value
    return blocks


def _member(block: dict[str, Any], place: str) -> dict[str, Any]:
    """A block without nulls, which is a union: it has one member."""
    said = further_in(block)
    if len(said) != 1:
        members = f", not {', '.join(said)}" if said else ""
        raise _refuse(f"{place}.content: a block has exactly one member{members}")
    return said


def _simply(message: Message) -> Message:
    """`message`; one whose only part is a text has that text as its content."""
    if message.parts == (TextPart(message.text),):
        return message.replace(content=message.text)
    return message if message.parts else message.replace(content="")


def _raw(value: Any) -> Native:
    return Native(DIALECT, msgspec.json.encode(value))


def _get(value: Any, key: str) -> Any:
    return value.get(key) if is_object(value) else None


def _decoded(content: str) -> str:
    try:
        return b64decode(content, validate=True).decode()
    except ValueError:
        return ""


def _mark(block: dict[str, Any]) -> Cache:
    """The cache mark that a block is; empty if it is none, or one that `Cache` can't say."""
    match block:
        case {"cachePoint": {"type": "default", **others}} if others in ({}, {"ttl": "5m"}):
            return "5m"
        case {"cachePoint": {"type": "default", "ttl": "1h", **others}} if not others:
            return "1h"
        case _:
            return ""


def _url(kind: str, value: Any) -> str | None:
    """The URL of a file; None if it can't be said by one."""
    media_type = _MEDIA_TYPES[kind].get(text_of(value, "format"))
    match _get(value, "source"):
        case {"bytes": str(data), **others} if not others and media_type is not None:
            return f"data:{media_type};base64,{data}"
        case {"s3Location": {"uri": str(uri), **others}} if not others and kind != "image":
            return uri
        case _:
            return None


def _call(value: dict[str, Any]) -> ToolCall:
    id, name = text_of(value, "toolUseId"), text_of(value, "name")
    if not (id and name):
        raise _refuse("messages.content.toolUse: a call has a toolUseId and a name")
    further = value.keys() - {"toolUseId", "name", "input"}
    arguments = msgspec.json.encode(value.get("input") or {}).decode()
    native = _raw({"toolUse": value}) if further else None
    return ToolCall(id, name, arguments, native=native)


def _tools(value: Any) -> Iterator[Tool | Opaque]:
    held: Tool | None = None
    if value is not None and not (is_list(value) and all(map(is_object, value))):
        raise _refuse("toolConfig.tools: give a list of tools")
    for tool in value or ():
        mark = _mark(tool)
        if held is not None:
            yield msgspec.structs.replace(held, cache=mark)
            if mark:
                held = None
                continue
        held = _tool(tool)
        if held is None:
            yield Opaque(_raw(tool))
    if held is not None:
        yield held


def _tool(tool: dict[str, Any]) -> Tool | None:
    match tool:
        case {
            "toolSpec": {"name": str(name), "inputSchema": {"json": schema, **more}, **others}
        } if is_object(schema) and len(tool) == 1:
            strict = others.pop("strict", None)
            described = others.pop("description", "")
            return Tool(
                name,
                described if isinstance(described, str) else "",
                schema,
                strict if isinstance(strict, bool) else None,
                native=_raw(tool) if others or more else None,
            )
        case {"toolSpec": _}:
            members = ", ".join(tool)
            raise _refuse(f"toolConfig.tools: a tool has a name and an inputSchema ({members})")
        case _:
            return None


def _choice(config: dict[str, Any]) -> str | None:
    """The tool choice, taken out of its `config`; one that is not understood stays."""
    match config.get("toolChoice"):
        case {"auto": inner, **others} if not others and not inner:
            choice = "auto"
        case {"any": inner, **others} if not others and not inner:
            choice = "required"
        case {"tool": {"name": str(name), **more}, **others} if (
            not others and not more and name not in ("auto", "none", "required")
        ):
            choice = name
        case _:
            return None
    del config["toolChoice"]
    return choice


def _schema(output: dict[str, Any]) -> dict[str, Any] | None:
    """The schema of the answer, taken out of the `output`; one that is not understood stays."""
    match output.get("textFormat"):
        case {
            "type": "json_schema",
            "structure": {"jsonSchema": {"schema": str(text), **others}, **more},
            **most,
        } if not (more or most):
            try:
                schema = msgspec.json.decode(text)
            except (ValueError, RecursionError):
                return None
        case _:
            return None
    if not is_object(schema) or not schema:
        return None
    del output["textFormat"]
    if further := {key: value for key, value in others.items() if key != "name"}:
        output["textFormat"] = {"structure": {"jsonSchema": further}}
    return schema


def _top_k(fields: Any, place: tuple[str, ...]) -> tuple[int | None, Any]:
    """`top_k`, and the fields of the model's own without it."""
    if not is_object(fields) or place[0] not in fields:
        return None, fields
    first, *others = place
    inner = fields[first]
    if others:
        top_k, inner = _top_k(inner, tuple(others))
    elif isinstance(inner, int) and not isinstance(inner, bool):
        top_k, inner = inner, None
    else:
        return None, fields
    return top_k, {**_without(fields, first), **({first: inner} if inner else {})}
