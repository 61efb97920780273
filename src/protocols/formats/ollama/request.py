"""A chat as the body of a request to `/api/chat`.

Source: Ollama's documentation and types (github.com/ollama/ollama: docs/api.md, api/types.go).
"""

from collections.abc import Iterator
from typing import Any

from ...chat import (
    Chat,
    ImagePart,
    Message,
    Opaque,
    ReasoningPart,
    RefusalPart,
    TextPart,
    Tool,
    ToolCall,
)
from ...encoding import call_ids, parts_to_write, raw_arguments, result_text, tools_to_write
from ...errors import LocalProtocolError
from ...toolkit.media import data_of

__all__ = ["DIALECT", "OPTIONS", "encode_chat"]

DIALECT = "ollama"

OPTIONS = {
    "temperature": "temperature",
    "top_p": "top_p",
    "top_k": "top_k",
    "seed": "seed",
    "stop": "stop",
    "max_tokens": "num_predict",
    "presence_penalty": "presence_penalty",
    "frequency_penalty": "frequency_penalty",
}
"""Options of a chat, and their names in the field `options`."""


def encode_chat(chat: Chat, model: str) -> dict[str, Any]:
    """The request body of `chat`, without what is not set. Raises LocalProtocolError."""
    body: dict[str, Any] = {
        "model": model,
        "messages": list(_messages(chat)),
        "stream": chat.stream,
    }
    if chat.tools and chat.tool_choice != "none":
        body["tools"] = [_tool(*each) for each in tools_to_write(chat.tools, DIALECT)]
    options = {OPTIONS[name]: getattr(chat, name) for name in chat.options() if name in OPTIONS}
    if options:
        body["options"] = options
    if chat.schema is not None:
        body["format"] = chat.schema or "json"
    if chat.effort is not None:
        body["think"] = False if chat.effort == "none" else chat.effort
    if chat.logprobs is not None:
        body["logprobs"] = True
        if chat.logprobs:
            body["top_logprobs"] = chat.logprobs
    return body


def _messages(chat: Chat) -> Iterator[dict[str, Any]]:
    ids = call_ids(chat.messages)
    names: dict[str, str] = {}  # of the calls so far, by their ids
    for place, message in enumerate(chat.messages):
        names |= {ids[place, n]: call.name for n, call in enumerate(message.tool_calls)}
        written = _message(message)
        if message.role == "tool":
            written["content"] = result_text(message, written["content"])
            # Most models are told the name, some the id.
            if name := names.get(ids[place, -1]) or message.name:
                written["tool_name"] = name
            if message.tool_call_id:
                written["tool_call_id"] = message.tool_call_id
        yield written


def _message(message: Message) -> dict[str, Any]:
    role = "system" if message.role == "developer" else message.role
    texts: list[str] = []
    thoughts: list[str] = []
    images: list[str] = []
    calls: list[dict[str, Any]] = []
    parts = list(parts_to_write(message, DIALECT))
    if message.parts and not parts:
        raise LocalProtocolError("nothing of the assistant message can be said here: leave it out")
    for part, native in parts:
        match part:
            case TextPart():
                texts.append(part.text)
            case RefusalPart() if role == "assistant":
                texts.append(part.text)
            case ReasoningPart() if role == "assistant":
                thoughts.append(part.text)
            case ToolCall() if role == "assistant":
                calls.append(_call(part, len(calls)) if native is None else native)
            case ImagePart() if role in ("user", "tool"):
                images.append(_image(part))
            case _:
                kind = type(part).__name__
                raise LocalProtocolError(f"{kind} has no place in {role} messages: leave it out")
    written: dict[str, Any] = {"role": role, "content": "".join(texts)}
    if thoughts:
        written["thinking"] = "".join(thoughts)
    if images:
        written["images"] = images
    if calls:
        written["tool_calls"] = calls
    return written


def _call(call: ToolCall, index: int) -> dict[str, Any]:
    """A call. Raises LocalProtocolError if its arguments are not one object."""
    function = {"index": index, "name": call.name, "arguments": raw_arguments(call)}
    return {"id": call.id, "function": function} if call.id else {"function": function}


def _image(part: ImagePart) -> str:
    _, data = data_of(part.url)
    if data is None:
        raise LocalProtocolError("a picture is given by its bytes: a data: URL")
    return data


def _tool(tool: Tool | Opaque, native: Any) -> Any:
    if not isinstance(tool, Tool):
        raise LocalProtocolError("ollama has no tools but functions: leave all others out")
    if native is not None:
        return native
    function: dict[str, Any] = {"name": tool.name}
    if tool.description:
        function["description"] = tool.description
    function["parameters"] = tool.parameters or {"type": "object", "properties": {}}
    return {"type": "function", "function": function}
