"""A chat as the body of a request for a message.

Source: the API reference (platform.claude.com/docs/en/api/messages) and its guides.
"""

import re
from base64 import b64decode
from collections.abc import Sequence
from typing import Any

import msgspec

from ...chat import (
    Cache,
    Chat,
    FilePart,
    ImagePart,
    Message,
    Part,
    ReasoningPart,
    RefusalPart,
    TextPart,
    Tool,
    ToolCall,
)
from ...encoding import call_ids, parts_to_write, raw_arguments, tools_to_write
from ...errors import LocalProtocolError
from ...provider import Provider
from ...toolkit.json import is_object
from ...toolkit.media import data_of

__all__ = ["DIALECT", "IDS", "IMPLIED", "encode_chat"]

DIALECT = "anthropic"

IMPLIED = {"type": "adaptive"}
"""The `thinking` that goes along with an effort."""

IDS = re.compile(r"[a-zA-Z0-9_-]+")
"""What an id of a call may be."""
_WEB = ("http://", "https://")
_IMAGES = ("image/jpeg", "image/png", "image/gif", "image/webp")
_SAME = ("temperature", "top_p", "top_k", "max_tokens")
"""Options that the body has by the same name."""
_CHOICES = {"required": "any"}


def encode_chat(chat: Chat, model: str, provider: Provider) -> dict[str, Any]:
    """The request body of `chat`, without what is not set. Raises LocalProtocolError."""
    system, turns = _Turns(chat.messages).write()
    body: dict[str, Any] = {"model": model, "messages": turns, "stream": chat.stream}
    if system:
        body["system"] = system
    if chat.tools:
        body["tools"] = [
            _tool(tool) if native is None and isinstance(tool, Tool) else native
            for tool, native in tools_to_write(chat.tools, DIALECT)
        ]
    for name in _SAME:
        if (value := getattr(chat, name)) is not None:
            body[name] = value
    if not any("max_tokens" in fields for fields in (body, provider.fields, chat.extra)):
        raise LocalProtocolError(f"{provider.name} needs max_tokens: give it with the chat")
    if chat.stop:
        body["stop_sequences"] = chat.stop
    if choice := _tool_choice(chat):
        body["tool_choice"] = choice
    output: dict[str, Any] = {}
    if chat.effort is not None:
        body["thinking"] = {"type": "disabled"} if chat.effort == "none" else IMPLIED
        if chat.effort != "none":
            output["effort"] = chat.effort
    if chat.schema is not None:
        if not chat.schema:
            raise LocalProtocolError(f"{provider.name} can't be asked for any JSON: give a schema")
        output["format"] = {"type": "json_schema", "schema": chat.schema}
    if output:
        body["output_config"] = output
    return body


class _Turns:
    """Writes a conversation, in which neighbours of one side are one message."""

    def __init__(self, messages: Sequence[Message]) -> None:
        self._messages = messages
        self._ids = call_ids(messages, IDS)

    def write(self) -> tuple[list[Any], list[dict[str, Any]]]:
        """The blocks of the system's messages at the start, and the turns after them. Raises
        LocalProtocolError."""
        system: list[Any] = []
        turns: list[dict[str, Any]] = []
        for place, message in enumerate(self._messages):
            role = "system" if message.role == "developer" else message.role
            tool = role == "tool"
            blocks = [self._result(message, place)] if tool else self._blocks(message, place)
            if not blocks:
                raise LocalProtocolError(
                    f"nothing of the {message.role} message can be said here: leave it out"
                )
            if role == "system" and not turns:
                system += blocks
                continue
            role = "user" if tool else role
            if not turns or turns[-1]["role"] != role or role == "system":
                turns.append({"role": role, "content": []})
            turns[-1]["content"].extend(blocks)
        for turn in turns:
            turn["content"] = _in_order(turn["content"])
        return system, turns

    def _blocks(self, message: Message, place: int) -> list[Any]:
        blocks: list[Any] = []
        number = 0
        for part, native in parts_to_write(message, DIALECT):
            id = ""
            if isinstance(part, ToolCall):
                id = self._ids[place, number]
                number += 1
            block = _block(part, message.role, id) if native is None else native
            if block is not None and not _is_empty(block):
                blocks.append(block)
        return blocks

    def _result(self, message: Message, place: int) -> dict[str, Any]:
        result: dict[str, Any] = {"type": "tool_result", "tool_use_id": self._ids[place, -1]}
        *others, last = message.parts or (None,)
        if isinstance(last, TextPart | ImagePart | FilePart) and last.cache:
            result |= _mark(last.cache)  # the mark of the last part is that of the result
            unmarked = msgspec.structs.replace(last, cache="")
            message = message.replace(content=(*others, unmarked))
        blocks = self._blocks(message, place)
        if content := [block for block in blocks if _type(block) != "tool_result"]:
            result["content"] = _plainly(content)
        if message.failed:
            result["is_error"] = True
        for further in blocks:  # what else the result says, as the server half reads it
            result |= further if _type(further) == "tool_result" else {}
        return result


def _in_order(blocks: list[Any]) -> Any:
    """The blocks of a turn: results of tools stand before all else."""
    results = [block for block in blocks if _type(block) == "tool_result"]
    return _plainly([*results, *(block for block in blocks if _type(block) != "tool_result")])


def _plainly(blocks: list[Any]) -> Any:
    """`blocks`, as a string if they are one text."""
    if len(blocks) == 1 and _type(blocks[0]) == "text" and len(blocks[0]) == 2:
        return blocks[0]["text"]
    return blocks


def _type(block: Any) -> Any:
    return block.get("type") if is_object(block) else None


def _is_empty(block: Any) -> bool:
    """Whether a block is a text of nothing, which the service refuses."""
    return _type(block) == "text" and not block.get("text")


def _block(part: Part, role: str, id: str) -> dict[str, Any] | None:
    """The block of a part; None if it can't be said."""
    match part:
        case TextPart():
            return _marked({"type": "text", "text": part.text}, part.cache)
        case RefusalPart() if role == "assistant":
            return {"type": "text", "text": part.text}
        case ReasoningPart() if role == "assistant":
            return None  # a thought that is not signed is refused
        case ToolCall() if role == "assistant":
            return _marked(
                {"type": "tool_use", "id": id, "name": part.name, "input": raw_arguments(part)},
                part.cache,
            )
        case ImagePart() if role in ("user", "tool"):
            return _marked({"type": "image", "source": _image(part)}, part.cache)
        case FilePart() if role in ("user", "tool"):
            return _marked(_document(part), part.cache)
        case _:
            kind = type(part).__name__
            raise LocalProtocolError(f"{kind} has no place in {role} messages: leave it out")


def _image(part: ImagePart) -> dict[str, Any]:
    media_type, data = data_of(part.url)
    if data is None:
        if not part.url.startswith(_WEB):
            raise LocalProtocolError("a picture is given by its bytes or an http(s) address")
        return {"type": "url", "url": part.url}
    if media_type not in _IMAGES:
        known = ", ".join(_IMAGES)
        raise LocalProtocolError(f"a picture of type {media_type[:80]!r}: the types are {known}")
    return {"type": "base64", "media_type": media_type, "data": data}


def _document(part: FilePart) -> dict[str, Any]:
    given, data = data_of(part.url)
    media_type = part.media_type or given
    if data is None:
        if not part.url.startswith(_WEB) or media_type not in ("", "application/pdf"):
            raise _no_document(media_type or part.url.partition(":")[0])
        source: dict[str, Any] = {"type": "url", "url": part.url}
    elif media_type == "application/pdf":
        source = {"type": "base64", "media_type": media_type, "data": data}
    elif media_type == "text/plain":
        source = {"type": "text", "media_type": media_type, "data": _plain_text(data)}
    else:
        raise _no_document(media_type)
    return {"type": "document", "source": source} | ({"title": part.name} if part.name else {})


def _no_document(kind: str) -> LocalProtocolError:
    return LocalProtocolError(
        f"a file of type {kind[:80]!r}: give a PDF by its bytes or http(s) address, or plain text"
    )


def _plain_text(data: str) -> str:
    try:
        return b64decode(data, validate=True).decode()
    except ValueError:
        raise LocalProtocolError("a file of type 'text/plain' that is not UTF-8 text") from None


def _tool(tool: Tool) -> dict[str, Any]:
    written: dict[str, Any] = {"name": tool.name}
    if tool.description:
        written["description"] = tool.description
    written["input_schema"] = tool.parameters or {"type": "object", "properties": {}}
    if tool.strict is not None:
        written["strict"] = tool.strict
    return _marked(written, tool.cache)


def _tool_choice(chat: Chat) -> dict[str, Any]:
    choice = chat.tool_choice
    if choice is None and chat.parallel is not False:
        return {}
    if choice in (None, "auto", "none", "required"):
        written: dict[str, Any] = {"type": _CHOICES.get(choice or "", choice or "auto")}
    else:
        written = {"type": "tool", "name": choice}
    if chat.parallel is not None and choice != "none":
        written["disable_parallel_tool_use"] = not chat.parallel
    return written


def _marked(block: dict[str, Any], cache: Cache) -> dict[str, Any]:
    return block | _mark(cache) if cache else block


def _mark(cache: Cache) -> dict[str, Any]:
    mark = {"type": "ephemeral"} | ({"ttl": "1h"} if cache == "1h" else {})
    return {"cache_control": mark}
