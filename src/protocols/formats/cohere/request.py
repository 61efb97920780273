"""A chat as the body of a request to `/v2/chat`.

Source: the vendor's schema (cohere-openapi.yaml) and documentation (docs.cohere.com).
"""

import re
from collections.abc import Iterator
from typing import Any, TypeGuard

from ...chat import (
    Chat,
    ImagePart,
    Message,
    Opaque,
    Part,
    ReasoningPart,
    RefusalPart,
    TextPart,
    Tool,
    ToolCall,
)
from ...encoding import add_piece, call_ids, parts_to_write, result_text, tools_to_write
from ...errors import LocalProtocolError
from ...toolkit.json import is_list, is_object

__all__ = ["DIALECT", "MOST_STOPS", "OPTIONS", "TOOL_NAMES", "encode_chat", "is_piece"]

DIALECT = "cohere"

OPTIONS = {
    "temperature": "temperature",
    "top_p": "p",
    "top_k": "k",
    "max_tokens": "max_tokens",
    "stop": "stop_sequences",
    "seed": "seed",
    "frequency_penalty": "frequency_penalty",
    "presence_penalty": "presence_penalty",
}
"""Options of a chat, and their names in the body."""

MOST_STOPS = 5
"""How many stop sequences there may be."""

TOOL_NAMES = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
"""What the name of a tool may be."""

_WEB = ("http://", "https://")
_DETAILS = ("", "auto", "low", "high")


def encode_chat(chat: Chat, model: str) -> dict[str, Any]:
    """The request body of `chat`, without what is not set. Raises LocalProtocolError."""
    ids = call_ids(chat.messages)
    messages = [_message(message, place, ids) for place, message in enumerate(chat.messages)]
    body: dict[str, Any] = {"model": model, "messages": messages, "stream": chat.stream}
    body |= _tools(chat)
    for name, theirs in OPTIONS.items():
        if (value := getattr(chat, name)) not in (None, ()):
            body[theirs] = value
    if len(chat.stop) > MOST_STOPS:
        raise LocalProtocolError(f"{len(chat.stop)} stop sequences: cohere takes {MOST_STOPS}")
    if chat.schema is not None:
        schema = {"json_schema": chat.schema} if chat.schema else {}
        body["response_format"] = {"type": "json_object", **schema}
    if chat.effort is not None:
        body["thinking"] = {"type": "disabled" if chat.effort == "none" else "enabled"}
    if chat.logprobs is not None:
        body["logprobs"] = True
    return body


def _tools(chat: Chat) -> dict[str, Any]:
    """The tools, and what is to be done with them. A certain one is demanded by sending it
    alone."""
    choice, tools = chat.tool_choice, list(tools_to_write(chat.tools, DIALECT))
    if not tools:
        if choice not in (None, "auto", "none"):
            raise LocalProtocolError("tool_choice demands a call, and there are no tools")
        return {}
    if choice not in (None, "auto", "none", "required"):
        tools = [each for each in tools if isinstance(each[0], Tool) and each[0].name == choice][:1]
        if not tools:
            raise LocalProtocolError(f"tool_choice: there is no tool {choice[:80]!r}")
    written: dict[str, Any] = {"tools": [_tool(*each) for each in tools]}
    if choice not in (None, "auto"):
        written["tool_choice"] = "NONE" if choice == "none" else "REQUIRED"
    stricts = [tool.strict for tool, _ in tools if isinstance(tool, Tool)]
    if any(stricts) and not all(stricts):
        raise LocalProtocolError("a tool's strict: cohere takes it for all tools or for none")
    if any(strict is not None for strict in stricts):
        written["strict_tools"] = any(stricts)
    return written


def _tool(tool: Tool | Opaque, native: Any) -> Any:
    if not isinstance(tool, Tool):
        raise LocalProtocolError("cohere has no tools but functions: leave all others out")
    if not TOOL_NAMES.fullmatch(tool.name):
        raise LocalProtocolError(
            f"a tool named {tool.name[:80]!r}: its name is letters, digits and _, no digit first"
        )
    if native is not None:
        return native
    function: dict[str, Any] = {"name": tool.name}
    if tool.description:
        function["description"] = tool.description
    function["parameters"] = tool.parameters or {"type": "object", "properties": {}}
    return {"type": "function", "function": function}


def _message(message: Message, place: int, ids: dict[tuple[int, int], str]) -> dict[str, Any]:
    role = "system" if message.role == "developer" else message.role
    content: list[Any] = []
    rest: dict[str, Any] = {}
    pieces = list(_pieces(message, role, place, ids))
    if message.parts and not pieces:
        raise LocalProtocolError(f"nothing of the {role} message can be said here: leave it out")
    for piece in pieces:
        content += piece.pop("content", ())
        add_piece(rest, piece)
    content = [part for part in content if part != {"type": "text", "text": ""}]
    written: dict[str, Any] = {"role": role}
    if role == "tool":
        written["tool_call_id"] = ids[place, -1]
        if message.failed:
            content = _failed(content)
    if content or not rest:
        # An assistant's message goes back as it came, in parts.
        written["content"] = content if role == "assistant" and content else _plainly(content)
    return written | rest


def _pieces(
    message: Message, role: str, place: int, ids: dict[tuple[int, int], str]
) -> Iterator[dict[str, Any]]:
    """What each part is in the message."""
    number = 0
    for part, native in parts_to_write(message, DIALECT):
        id = ""
        if isinstance(part, ToolCall):
            id = ids[place, number]
            number += 1
        if native is None:
            yield _piece(part, role, id)
        elif is_piece(native):
            yield native
        else:
            raise LocalProtocolError("a native form of cohere is a piece of a message")


def is_piece(native: Any) -> TypeGuard[dict[str, Any]]:
    """Whether a native form is a piece of a message."""
    return is_object(native) and all(is_list(native[key]) for key in native.keys() & _LISTS)


_LISTS = {"content", "tool_calls", "citations"}
"""The keys of a message that hold lists."""


def _piece(part: Part, role: str, id: str) -> dict[str, Any]:
    match part:
        case TextPart():
            content: dict[str, Any] = {"type": "text", "text": part.text}
        case RefusalPart() if role == "assistant":
            content = {"type": "text", "text": part.text}
        case ReasoningPart() if role == "assistant":
            content = {"type": "thinking", "thinking": part.text}
        case ImagePart() if role == "user":
            content = _image(part)
        case ToolCall() if role == "assistant":
            function = {"name": part.name, "arguments": part.arguments.strip() or "{}"}
            return {"tool_calls": [{"id": id, "type": "function", "function": function}]}
        case _:
            kind = type(part).__name__
            raise LocalProtocolError(f"{kind} has no place in {role} messages: leave it out")
    return {"content": [content]}


def _image(part: ImagePart) -> dict[str, Any]:
    if not part.url.lower().startswith(("data:", *_WEB)):
        raise LocalProtocolError("a picture is given by its bytes or an http(s) address")
    if part.detail not in _DETAILS:
        raise LocalProtocolError(f"a picture's detail is auto, low or high, not {part.detail!r}")
    image = {"url": part.url} | ({"detail": part.detail} if part.detail else {})
    return {"type": "image_url", "image_url": image}


def _failed(content: list[Any]) -> list[Any]:
    """The result of a tool that failed, for which there is no flag."""
    first = content[0] if content else None
    if is_object(first) and first.get("type") == "text":
        failed = Message("tool", failed=True)
        return [{**first, "text": result_text(failed, str(first.get("text")))}, *content[1:]]
    return [{"type": "text", "text": "Error: "}, *content]


def _plainly(content: list[Any]) -> Any:
    """`content`, as a string if it is one text, or nothing."""
    if not content:
        return ""
    if len(content) == 1 and is_object(content[0]) and content[0].keys() == {"type", "text"}:
        return content[0]["text"]
    return content
