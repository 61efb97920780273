"""The body of a request for a response as a chat: what the server half understands.

What `Chat` can't say is kept: further fields in `extra`, items and parts that have further keys in
their native form, those of other types as `Opaque`. Of what the caller said, ids and states are
left out.
"""

from typing import Any, get_args

import msgspec

from ...chat import (
    Chat,
    Effort,
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
from ...dialect import words
from ...errors import BadRequest
from ...events import Native
from ...refusing import refuse
from ...service import Sealer
from ...toolkit.json import is_list, is_object, objects_of, text_of
from ...toolkit.media import AUDIO
from .items import image_of
from .request import CONTENT, DIALECT, ENCRYPTED, LOGPROBS, NAME

__all__ = ["chat_of"]


class _Body(msgspec.Struct):
    """The fields of a body that are read; items and tools one by one."""

    model: str = ""
    input: str | list[dict[str, Any]] | None = None
    instructions: str | list[dict[str, Any]] | None = None
    stream: bool | None = None
    temperature: float | None = None
    top_p: float | None = None
    max_output_tokens: int | None = None
    top_logprobs: int | None = None
    parallel_tool_calls: bool | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: Any = None
    text: dict[str, Any] | None = None
    reasoning: dict[str, Any] | None = None
    include: list[str] | None = None


_READ = frozenset(_Body.__struct_fields__)
_STATE = ("previous_response_id", "conversation", "background")
"""What needs a service that keeps answers."""
_BOOKKEEPING = words("id status internal_chat_message_metadata_passthrough")
"""Keys of an item that say nothing."""
_CALLS = words("function_call function_call_output custom_tool_call custom_tool_call_output")
_ROLES: tuple[Role, ...] = ("system", "developer", "user", "assistant")
_EFFORTS: dict[str, Effort] = {word: word for word in get_args(Effort)}


def chat_of(fields: dict[str, Any], sealer: Sealer | None) -> Chat:
    """The chat of a request body. Raises Refused (400) for what a real service refuses, and for
    what needs one that keeps answers."""
    try:
        body = msgspec.convert(fields, _Body)
    except msgspec.ValidationError as error:
        raise _refuse(f"the request is not as it should be: {error}") from None
    if not body.model:
        raise _refuse("model: it is missing")
    if not body.input:
        raise _refuse("input: text, or a list with at least one item, is needed")
    for name in _STATE:
        if fields.get(name):
            raise _refuse(f"{name}: nothing is kept here, so send the whole conversation")
    items = body.input
    if isinstance(items, str):
        items = [{"role": "user", "content": items}]
    extra = {key: value for key, value in fields.items() if key not in _READ}
    reader = _Reader(sealer)
    first = body.instructions
    if first and isinstance(first, str):
        first = [{"role": "system", "content": first}]
    for item in (*(first or ()), *items):
        reader.take(item)
    reasoning, text, include = dict(body.reasoning or {}), dict(body.text or {}), body.include
    effort = _EFFORTS.get(text_of(reasoning, "effort"))
    if effort is not None:
        del reasoning["effort"]
    schema = _schema(text)
    wanted = list(include or ())
    logprobs = body.top_logprobs
    if LOGPROBS in wanted:
        wanted.remove(LOGPROBS)
        logprobs = logprobs or 0
    elif logprobs is not None:
        extra["top_logprobs"], logprobs = logprobs, None
    if effort not in (None, "none") and ENCRYPTED in wanted:
        wanted.remove(ENCRYPTED)  # the effort says it
    for key, value in (("reasoning", reasoning), ("text", text), ("include", wanted)):
        if value:
            extra[key] = value
    choice = body.tool_choice
    chosen = _chosen(choice)
    if chosen is None and choice is not None:
        extra["tool_choice"] = choice
    return Chat(
        messages=tuple(reader.messages()),
        model=body.model,
        tools=(*reader.tools, *map(_tool, body.tools or ())),
        tool_choice=chosen,
        parallel=body.parallel_tool_calls,
        temperature=body.temperature,
        top_p=body.top_p,
        max_tokens=body.max_output_tokens,
        logprobs=logprobs,
        effort=effort,
        schema=schema,
        stream=bool(body.stream),
        extra=extra,
    )


def _refuse(message: str) -> BadRequest:
    return refuse(BadRequest, 400, message)


class _Reader:
    """Makes messages of items. `tools` are those that stand among them. `sealer` opens native forms
    of other formats that were packed into ours."""

    def __init__(self, sealer: Sealer | None) -> None:
        self.tools: list[Tool | Opaque] = []
        self._sealer = sealer
        self._messages: list[Message] = []
        self._parts: list[Part] = []  # of the assistant's message that goes on

    def messages(self) -> list[Message]:
        """The messages, when all items are taken."""
        self._end()
        return self._messages

    def take(self, item: dict[str, Any]) -> None:
        """The next item. Raises BadRequest."""
        kind, role = text_of(item, "type"), item.get("role")
        if kind in _CALLS:
            for key in ("call_id", "name", "arguments", "input"):
                if not isinstance(item.get(key, ""), str | None):
                    raise _refuse(f"input: {key} of a {kind} is text")
        match kind:
            case "" | "message":
                if role not in _ROLES:
                    known = ", ".join(_ROLES)
                    raise _refuse(f"input: the role {role!r} is not one of {known}"[:200])
                if role == "assistant":
                    self._say(item)
                else:
                    self._add(Message(role, _content(item)))
            case "additional_tools":
                for tool in objects_of(item.get("tools")):
                    read = _tool(tool)
                    native = _raw({**item, "tools": [tool]})
                    self.tools.append(msgspec.structs.replace(read, native=native))
            case "item_reference":
                raise _refuse("item_reference: nothing is kept here, so send the item itself")
            case "function_call_output" | "custom_tool_call_output":
                self._add(_result(item))
            case _ if kind.endswith("_output") or kind == "mcp_approval_response":
                self._add(Message("tool", (Opaque(_raw(item)),)))
            case _:
                self._parts.append(self._part(item, kind))

    def _add(self, message: Message) -> None:
        self._end()
        self._messages.append(message)

    def _end(self) -> None:
        """The assistant's message is over."""
        if self._parts:
            self._messages.append(Message("assistant", _simply(self._parts)))
            self._parts = []

    def _say(self, item: dict[str, Any]) -> None:
        """A message of the assistant: it goes on with one of which there is nothing but thoughts
        so far, and tools of the service."""
        if any(isinstance(part, TextPart | RefusalPart | ToolCall) for part in self._parts):
            self._end()
        parts = [_refusal(part) or _text(part) for part in _pieces(item)]
        further = any(value is not None for key, value in item.items() if key not in _SAID)
        if not further and None not in parts:
            self._parts += [part for part in parts if part is not None]
            return
        texts = [part.text for part in parts if isinstance(part, TextPart)]
        refused = [part.text for part in parts if isinstance(part, RefusalPart)]
        if text := "".join((*texts, *refused)):
            kind = TextPart if texts else RefusalPart
            self._parts.append(kind(text, native=_raw(item)))
        else:
            self._parts.append(Opaque(_raw(item)))

    def _part(self, item: dict[str, Any], kind: str) -> Part:
        """The part of an assistant's message that an item is."""
        native = _raw(item)
        match kind:
            case "reasoning":
                sealed = text_of(item, "encrypted_content")
                opened = self._sealer.unseal(sealed) if self._sealer and sealed else None
                native = native if opened is None else Native(opened.dialect, opened.raw)
                pieces = objects_of(item.get("summary")) or objects_of(item.get("content"))
                text = "".join(text_of(piece, "text") for piece in pieces)
                if opened is not None and not text:
                    return Opaque(native)
                return ReasoningPart(text, native)
            case "function_call" | "custom_tool_call":
                custom = kind == "custom_tool_call"
                key = "input" if custom else "arguments"
                known = ("type", "call_id", "name", key)
                further = any(item[k] is not None for k in item.keys() - known)
                return ToolCall(
                    text_of(item, "call_id"),
                    text_of(item, "name"),
                    text_of(item, key) or ("" if custom else "{}"),
                    custom,
                    native=native if further else None,
                )
            case "image_generation_call" if (image := image_of(item)) is not None:
                return ImagePart(image.data_url, native=native)
            case _:
                return Opaque(native)


_SAID = ("type", "role", "content")


def _raw(value: Any) -> Native:
    return Native(DIALECT, msgspec.json.encode(value))


def _simply(parts: list[Part]) -> str | tuple[Part, ...]:
    """`parts`; if the only one is a text, that."""
    match parts:
        case [TextPart(text, native=None)]:
            return text
        case []:
            return ""
        case _:
            return tuple(parts)


def _pieces(item: dict[str, Any], key: str = "content") -> list[dict[str, Any]]:
    """The content of an item, each piece as an object."""
    content = item.get(key)
    if isinstance(content, str):
        return [{"type": "text", "text": content}] if content else []
    pieces = objects_of(content)
    if content is not None and (not is_list(content) or len(pieces) != len(content)):
        raise _refuse(f"input: {key} is text, or a list of objects with type")
    return pieces


def _content(item: dict[str, Any]) -> str | tuple[Part, ...]:
    """The content of a message of the caller's."""
    content = _told(item, "content", {*_SAID, *_BOOKKEEPING})
    return (Opaque(_raw(item)),) if content is None else content


def _result(item: dict[str, Any]) -> Message:
    """The result of a call."""
    content = _told(item, "output", {"type", "call_id", "output", *_BOOKKEEPING})
    if content is None:
        return Message("tool", (Opaque(_raw(item)),))
    return Message("tool", content, tool_call_id=text_of(item, "call_id"))


def _told(item: dict[str, Any], key: str, known: set[str]) -> str | tuple[Part, ...] | None:
    """What `item` says by `key`; None if it says more, or in pieces of unknown types, which as
    parts would be taken for items."""
    pieces = _pieces(item, key)
    further = any(item[key] is not None for key in item.keys() - known)
    if further or any(text_of(piece, "type") not in {"text", *CONTENT} for piece in pieces):
        return None
    return _simply(list(map(_part_of, pieces)))


def _part_of(piece: dict[str, Any]) -> Part:
    """The part that a piece of a content is."""
    found = _text(piece) or _image(piece) or _file(piece) or _audio(piece)
    return Opaque(_raw(piece)) if found is None else found


def _only(piece: dict[str, Any], *keys: str) -> bool:
    """Whether a piece has nothing but its type and `keys`."""
    return all(not piece[key] for key in piece.keys() - {"type", *keys})


def _text(piece: dict[str, Any]) -> TextPart | None:
    text = piece.get("text")
    kinds = ("text", "input_text", "output_text")
    if piece.get("type") in kinds and isinstance(text, str) and _only(piece, "text", "logprobs"):
        return TextPart(text)
    return None


def _refusal(piece: dict[str, Any]) -> RefusalPart | None:
    text = piece.get("refusal")
    if piece.get("type") == "refusal" and isinstance(text, str) and _only(piece, "refusal"):
        return RefusalPart(text)
    return None


def _image(piece: dict[str, Any]) -> ImagePart | None:
    url, detail = piece.get("image_url"), piece.get("detail") or "auto"
    if piece.get("type") != "input_image" or not (isinstance(url, str) and isinstance(detail, str)):
        return None
    if not _only(piece, "image_url", "detail"):
        return None
    return ImagePart(url, "" if detail == "auto" else detail)


def _file(piece: dict[str, Any]) -> FilePart | None:
    key = "file_data" if piece.get("file_data") else "file_url"
    url = piece.get(key)
    if piece.get("type") != "input_file" or not isinstance(url, str):
        return None
    if not _only(piece, key, "filename"):
        return None
    media_type = url.partition(";")[0].removeprefix("data:") if url[:5] == "data:" else ""
    return FilePart(url, media_type, text_of(piece, "filename"))


def _audio(piece: dict[str, Any]) -> FilePart | None:
    audio = piece.get("input_audio")
    media_type = AUDIO.get(text_of(audio, "format"))
    data = text_of(audio, "data")
    if piece.get("type") != "input_audio" or media_type is None or not data:
        return None
    return FilePart(f"data:{media_type};base64,{data}", media_type)


def _tool(fields: dict[str, Any]) -> Tool | Opaque:
    match fields:
        case {"type": "function", "name": str(name)}:
            parameters = fields.get("parameters")
            known = words("type name description parameters strict")
            if any(fields[key] is not None for key in fields.keys() - known):
                native = _raw(fields)
            else:
                native = None
            return Tool(
                name,
                text_of(fields, "description"),
                parameters if is_object(parameters) else {},
                # False is what our own encoder says where nothing is asked for.
                fields.get("strict") is True or None,
                native=native,
            )
        case {"type": str(_)}:
            return Opaque(_raw(fields))
        case _:
            raise _refuse("tools: a tool has a type, and a function a name")


def _chosen(choice: Any) -> str | None:
    """The tool choice that `Chat` can say: a word, or a name."""
    match choice:
        case "auto" | "none" | "required":
            word: str = choice
            return word
        case {"type": "function" | "custom", "name": str(name), **others} if not others:
            return None if name in ("auto", "none", "required") else name
        case _:
            return None


def _schema(text: dict[str, Any]) -> dict[str, Any] | None:
    """The schema of the answer that `Chat` can say. Takes out of `text` what it says."""
    form = text.get("format")
    match form:
        case {"type": "json_object", **others} if not others:
            del text["format"]
            return {}
        case {"type": "text", **others} if not others:  # as without it
            del text["format"]
        case {"type": "json_schema", "schema": schema, **others} if is_object(schema) and schema:
            if others.get("name") == NAME:
                del others["name"]
            text["format"] = others
            if not others:
                del text["format"]
            found: dict[str, Any] = schema
            return found
        case _:
            pass
    return None
