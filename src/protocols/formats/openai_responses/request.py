"""A chat as the body of a request for a response.

Source: the API reference (platform.openai.com/docs/api-reference/responses/create).
"""

import re
from collections.abc import Iterable, Sequence
from typing import Any

from ...chat import (
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
from ...dialect import words
from ...encoding import (
    call_ids,
    input_audio,
    merge,
    parts_to_write,
    result_text,
    tools_to_write,
    value_of,
)
from ...errors import LocalProtocolError
from ...provider import Provider
from ...toolkit.json import is_list, is_object, objects_of, text_of
from ...toolkit.media import data_of

__all__ = [
    "CONTENT",
    "DIALECT",
    "ENCRYPTED",
    "IDS",
    "LOGPROBS",
    "NAME",
    "custom_names",
    "encode_chat",
    "is_moved",
]

DIALECT = "openai_responses"

IDS = re.compile(r".{1,64}", re.DOTALL)
"""What an id of a call may be."""
ENCRYPTED = "reasoning.encrypted_content"
"""The `include` by which a thought can be sent back to a service that keeps nothing."""
LOGPROBS = "message.output_text.logprobs"
"""The `include` by which a text has log probabilities."""
NAME = "answer"
"""The name of the schema of the answer, which the format requires."""
CONTENT = words("input_text input_image input_file input_audio output_text refusal")
"""The types of the parts of a message; everything else is an item of its own."""

_SAME = ("temperature", "top_p")
"""Options that the body has by the same name."""
_SIDE = ("message", "function_call", "custom_tool_call")
"""Items whose id is bound to the thought before them, and may be left out."""
_WEB = ("http://", "https://")


def encode_chat(chat: Chat, model: str, provider: Provider) -> dict[str, Any]:
    """The request body of `chat`, without what is not set, with all of `include`. Raises
    LocalProtocolError."""
    keeps = chat.extra.get("store", provider.fields.get("store")) is not False
    items = _Items(chat.messages, keeps, "input.status" in provider.omits).write()
    body: dict[str, Any] = {"model": model, "input": items, "stream": chat.stream}
    tools, moved = _tools(chat)
    if moved:
        items.insert(0, {"type": "additional_tools", "role": "developer", "tools": moved})
    if tools:
        body["tools"] = tools
    for name in _SAME:
        if (value := getattr(chat, name)) is not None:
            body[name] = value
    if chat.max_tokens is not None:
        body["max_output_tokens"] = chat.max_tokens
    if chat.tool_choice is not None:
        body["tool_choice"] = _tool_choice(chat.tool_choice, custom_names(chat))
    if chat.parallel is not None:
        body["parallel_tool_calls"] = chat.parallel
    if chat.schema is not None:
        body["text"] = {"format": _format(chat.schema)}
    if chat.logprobs:
        body["top_logprobs"] = chat.logprobs
    if chat.effort is not None:
        patch = {"reasoning": {"effort": chat.effort}}
        body = merge(body, patch if provider.effort is None else provider.effort[chat.effort])
    if include := _include(chat):
        body["include"] = include
    return body


def _include(chat: Chat) -> Any:
    """What the answer is to have, beside the usual: as given, and as options demand."""
    given = chat.extra.get("include")
    if given is not None and not is_list(given):
        return given
    wanted = [ENCRYPTED] if chat.effort not in (None, "none") else []
    wanted += [LOGPROBS] if chat.logprobs is not None else []
    return list(dict.fromkeys([*(given or ()), *wanted]))


def custom_names(chat: Chat) -> frozenset[str]:
    """The names of the tools of type `custom`, also of those inside others: only a call of one of
    them is for the client to run."""
    natives = (tool.native for tool in chat.tools if tool.native is not None)
    given = chat.extra.get("tools")
    return frozenset(_customs([*map(value_of, natives), *objects_of(given)]))


def _customs(tools: Iterable[Any]) -> Iterable[str]:
    for tool in tools:
        if text_of(tool, "type") == "custom":
            yield text_of(tool, "name")
        elif is_object(tool):
            yield from _customs(objects_of(tool.get("tools")))


def is_moved(tool: Any) -> bool:
    """Whether a tool stands among the messages: Codex gives all of its tools so to some models."""
    return text_of(tool, "type") == "additional_tools"


def _tools(chat: Chat) -> tuple[list[Any], list[Any]]:
    """The tools, and those that stand among the messages."""
    tools: list[Any] = []
    moved: list[Any] = []
    for tool, native in tools_to_write(chat.tools, DIALECT):
        if is_moved(native):
            moved += objects_of(native.get("tools"))
        elif native is None and isinstance(tool, Tool):
            tools.append(_tool(tool))
        else:
            tools.append(native)
    return tools, moved


def _tool(tool: Tool) -> dict[str, Any]:
    written: dict[str, Any] = {"type": "function", "name": tool.name}
    if tool.description:
        written["description"] = tool.description
    written["parameters"] = tool.parameters or {"type": "object", "properties": {}}
    written["strict"] = tool.strict is True  # without it functions are strict here
    return written


def _tool_choice(choice: str, customs: frozenset[str]) -> Any:
    if choice in ("auto", "none", "required"):
        return choice
    return {"type": "custom" if choice in customs else "function", "name": choice}


def _format(schema: dict[str, Any]) -> dict[str, Any]:
    if not schema:
        return {"type": "json_object"}
    return {"type": "json_schema", "name": NAME, "schema": schema}


class _Items:
    """Writes a conversation as items. `keeps`: whether the service keeps answers, so that it finds
    a thought again by its id. `stateless`: whether it refuses the `status` of an item."""

    def __init__(self, messages: Sequence[Message], keeps: bool, stateless: bool) -> None:
        self._messages = messages
        self._keeps = keeps
        self._stateless = stateless
        self._ids = call_ids(messages, IDS)
        self._customs: set[str] = set()  # the ids of calls whose arguments are free text

    def write(self) -> list[Any]:
        """The items. Raises LocalProtocolError."""
        items: list[Any] = []
        for place, message in enumerate(self._messages):
            written = self._message(message, place)
            if not written:
                raise LocalProtocolError(
                    f"nothing of the {message.role} message can be said here: leave it out"
                )
            items += written
        return items

    def _message(self, message: Message, place: int) -> list[Any]:
        items: list[Any] = []
        content: list[Any] = []  # of the message that goes on
        number = 0
        bound = True  # whether ids can be found again: a thought before may have been left out
        for part, native in parts_to_write(message, DIALECT):
            if isinstance(part, ToolCall):
                id = self._ids[place, number]
                number += 1
                if part.custom:
                    self._customs.add(id)
                item = _call(part, id, message.role) if native is None else native
            elif native is None:
                if (piece := _content(part, message.role)) is not None:
                    content.append(piece)
                continue
            elif text_of(native, "type") in CONTENT:
                content.append(native)
                continue
            else:
                item = native
            if is_object(item):
                if item.get("type") == "reasoning":
                    bound = self._keeps or bool(item.get("encrypted_content"))
                    if not bound:
                        continue
                item = self._own(item, bound)
            self._flush(message, place, content, items)
            items.append(item)
        if content or (message.role == "tool" and not items):
            self._flush(message, place, content, items, last=True)
        return items

    def _own(self, item: dict[str, Any], bound: bool) -> dict[str, Any]:
        """A native form as this service takes it."""
        kind, drop = item.get("type"), set[str]()
        if not bound and kind in _SIDE:
            drop.add("id")
        if self._stateless and kind in ("message", "reasoning"):
            drop.add("status")
        return {key: value for key, value in item.items() if key not in drop}

    def _flush(
        self,
        message: Message,
        place: int,
        content: list[Any],
        items: list[Any],
        *,
        last: bool = False,
    ) -> None:
        """Write the message that went on until now."""
        if not content and not last:
            return
        if message.role == "tool":
            items.append(self._result(message, place, content))
        else:
            text = message.role == "assistant" or len(content) == 1
            items.append({"role": message.role, "content": _simply(content, text)})
        content.clear()

    def _result(self, message: Message, place: int, content: list[Any]) -> dict[str, Any]:
        id = self._ids[place, -1]
        text = "".join(text_of(piece, "text") for piece in content)
        if result_text(message, text) != text:
            content = [{"type": "input_text", "text": "Error: "}, *content]
        kind = "custom_tool_call_output" if id in self._customs else "function_call_output"
        output = _simply(content, all(map(_is_text, content)))
        return {"type": kind, "call_id": id, "output": output}


def _is_text(piece: Any) -> bool:
    said = is_object(piece) and piece.keys() == {"type", "text"}
    return said and isinstance(piece["text"], str)


def _simply(content: list[Any], may_be: bool) -> Any:
    """`content`, as one string if it `may_be` one and is nothing but text."""
    if may_be and all(map(_is_text, content)):
        return "".join(piece["text"] for piece in content)
    return list(content)


def _call(call: ToolCall, id: str, role: str) -> dict[str, Any]:
    if role != "assistant":
        raise _misplaced(call, role)
    known = {"call_id": id, "name": call.name}
    if call.custom:
        return {"type": "custom_tool_call", **known, "input": call.arguments}
    return {"type": "function_call", **known, "arguments": call.arguments or "{}"}


def _content(part: Part, role: str) -> dict[str, Any] | None:
    """A part of a message; None if it can't be said."""
    own = role == "assistant"
    match part:
        case TextPart():
            kind = "output_text" if own else "input_text"
            return {"type": kind, "text": part.text} if part.text else None
        case RefusalPart() if own:
            return {"type": "output_text", "text": part.text} if part.text else None
        case ReasoningPart() if own:
            return None  # a thought is sent back as its service wrote it, or not at all
        case ImagePart() if role in ("user", "tool"):
            detail = part.detail or "auto"
            return {"type": "input_image", "image_url": part.url, "detail": detail}
        case FilePart() if role in ("user", "tool"):
            return _file(part)
        case _:
            raise _misplaced(part, role)


def _misplaced(part: Part, role: str) -> LocalProtocolError:
    return LocalProtocolError(
        f"{type(part).__name__} has no place in {role} messages: leave it out"
    )


def _file(part: FilePart) -> dict[str, Any]:
    if (audio := input_audio(part)) is not None:
        return audio
    _, data = data_of(part.url)
    named = {"filename": part.name} if part.name else {}
    if data is not None:
        return {"type": "input_file", **named, "file_data": part.url}
    if part.url.startswith(_WEB):
        return {"type": "input_file", **named, "file_url": part.url}
    raise LocalProtocolError("a file is given by its bytes or an http(s) address")
