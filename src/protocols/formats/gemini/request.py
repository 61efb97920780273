"""A chat as the body of a request for an answer, and the path that it goes to.

Source: the API reference (ai.google.dev/api/generate-content), its guides to function calling and
thought signatures, and what the services refuse.
"""

import re
from mimetypes import guess_type
from posixpath import basename
from typing import Any, NamedTuple
from urllib.parse import quote

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
from ...encoding import parts_to_write, raw_arguments, tools_to_write
from ...errors import LocalProtocolError
from ...toolkit.json import is_object
from ...toolkit.media import data_of
from .candidate import DIALECT

__all__ = ["encode_chat", "model_path"]

_ASTRAY = re.compile(r"\.\.|[?&#%\s]")
"""What would leave the segment of a path, or the path."""
_BEHIND_PATH = re.compile(r"[?#]")
_CONFIG = {
    "temperature": "temperature",
    "top_p": "topP",
    "top_k": "topK",
    "max_tokens": "maxOutputTokens",
    "n": "candidateCount",
    "seed": "seed",
    "presence_penalty": "presencePenalty",
    "frequency_penalty": "frequencyPenalty",
}
"""Options of the chat, as `generationConfig` has them."""
_MODES = {"auto": "AUTO", "none": "NONE", "required": "ANY"}


def model_path(model: str) -> str:
    """The path of a model; one that is tuned is named with its collection. Raises
    LocalProtocolError for a name that can't be part of one."""
    if _ASTRAY.search(model):
        raise LocalProtocolError(f"a model of the name {model[:100]!r} is no part of a path")
    collection, name = "models", model.removeprefix("models/")
    if model.startswith("tunedModels/"):
        collection, _, name = model.partition("/")
    return f"/{collection}/{quote(name, safe='@')}"


def encode_chat(chat: Chat, model: str) -> dict[str, Any]:
    """The request body of `chat`, without what is not set. Raises LocalProtocolError."""
    system, contents = _Contents(chat.messages).write()
    if system and model.removeprefix("models/").startswith("gemma"):
        # These take no instruction of the system: it is said at the start.
        if contents and contents[0]["role"] == "user":
            contents[0] = {**contents[0], "parts": [*system, *contents[0]["parts"]]}
        else:
            contents.insert(0, {"role": "user", "parts": system})
        system = []
    body: dict[str, Any] = {"contents": contents}
    if system:
        body["systemInstruction"] = {"parts": system}
    if chat.tools:
        body["tools"] = _tools(chat)
    if chat.tool_choice is not None:
        body["toolConfig"] = {"functionCallingConfig": _choice(chat.tool_choice)}
    config = {
        name: value
        for option, name in _CONFIG.items()
        if (value := getattr(chat, option)) is not None
    }
    if chat.stop:
        config["stopSequences"] = chat.stop
    if chat.logprobs is not None:
        config |= {"responseLogprobs": True, "logprobs": chat.logprobs}
    if chat.schema is not None:
        config["responseMimeType"] = "application/json"
        if chat.schema:
            config["responseJsonSchema"] = chat.schema
    if chat.effort == "none":
        config["thinkingConfig"] = {"thinkingBudget": 0}
    elif chat.effort is not None:
        config["thinkingConfig"] = {"thinkingLevel": chat.effort.upper()}
    if config:
        body["generationConfig"] = config
    return body


class _Asked(NamedTuple):
    """A call in the history: `number` counts all of them, `wire_id` is the id that it is sent
    with."""

    number: int
    name: str
    wire_id: str


class _Contents:
    """Writes a conversation, in which neighbours of one role are one content; but the results of
    tools are alone in theirs, in the order of the calls."""

    def __init__(self, messages: tuple[Message, ...]) -> None:
        self._messages = messages
        self._calls: dict[str, _Asked] = {}  # the last ones of each id
        self._waiting: dict[int, _Asked] = {}  # those without a result, by number
        self._number = 0

    def write(self) -> tuple[list[Any], list[dict[str, Any]]]:
        """The parts of the system's messages, and the contents. Raises LocalProtocolError."""
        system: list[Any] = []
        turns: list[tuple[str, list[Any]]] = []
        results: list[tuple[int, Any]] = []
        for message in self._messages:
            role = message.role
            if results and role != "tool":
                turns.append(("tool", _in_order(results)))
                results = []
            match role:
                case "system" | "developer":
                    system += self._parts(message)
                case "tool":
                    results.append(self._result(message))
                case _:
                    side = "model" if role == "assistant" else "user"
                    parts = self._parts(message)
                    if turns and turns[-1][0] == side:
                        turns[-1][1].extend(parts)
                    else:
                        turns.append((side, parts))
        if results:
            turns.append(("tool", _in_order(results)))
        roles = {"tool": "user"}
        return system, [{"role": roles.get(side, side), "parts": p} for side, p in turns]

    def _parts(self, message: Message) -> list[Any]:
        written: list[Any] = []
        for part, native in parts_to_write(message, DIALECT):
            value = _part(part, message.role) if native is None else _object_of(native)
            if isinstance(part, ToolCall):
                self._ask(part, value)
            if value is not None and value != {"text": ""}:
                written.append(value)
        if not written:
            raise LocalProtocolError(
                f"nothing of the {message.role} message can be said here: leave it out"
            )
        return written

    def _ask(self, call: ToolCall, value: Any) -> None:
        inner = value.get("functionCall")
        id = inner.get("id") if is_object(inner) else None
        asked = _Asked(self._number, call.name, id if isinstance(id, str) else "")
        self._number += 1
        self._waiting[asked.number] = asked
        if call.id:
            self._calls[call.id] = asked

    def _result(self, message: Message) -> tuple[int, Any]:
        """The result of a tool, and the number of its call."""
        asked = self._answered(message)
        name = asked.name if asked is not None else message.name
        if not name:
            raise LocalProtocolError(
                f"a result of an unknown call ({message.tool_call_id[:80]!r}): give the name of "
                "its function"
            )
        number = self._number if asked is None else asked.number
        texts: list[str] = []
        parts: list[Any] = []
        for part, native in parts_to_write(message, DIALECT):
            if is_object(native) and "functionResponse" in native:
                return number, native
            if native is not None:
                parts.append(_object_of(native))
            elif isinstance(part, TextPart):
                texts.append(part.text)
            else:
                parts.append(_part(part, "tool"))
        id = message.tool_call_id if asked is None else asked.wire_id
        response: dict[str, Any] = {"id": id} if id else {}
        said = "error" if message.failed else "output"
        response |= {"name": name, "response": {said: "".join(texts)}}
        if parts:
            response["parts"] = parts
        return number, {"functionResponse": response}

    def _answered(self, message: Message) -> _Asked | None:
        """The call that a result answers: the one of its id, or else the next one."""
        id, name = message.tool_call_id, message.name
        if id:
            asked = self._calls.get(id)
        else:
            waiting = self._waiting.values()
            asked = next((each for each in waiting if not name or each.name == name), None)
        if asked is not None:
            self._waiting.pop(asked.number, None)
        return asked


def _in_order(results: list[tuple[int, Any]]) -> list[Any]:
    return [result for _, result in sorted(results, key=lambda pair: pair[0])]


def _object_of(native: Any) -> dict[str, Any]:
    if not is_object(native):
        raise LocalProtocolError("a native form of gemini is a part: an object")
    return native


def _part(part: Part, role: str) -> dict[str, Any] | None:
    """A part on the wire; None if it can't be said."""
    match part:
        case TextPart():
            return {"text": part.text}
        case RefusalPart() if role == "assistant":
            return {"text": part.text}
        case ReasoningPart() if role == "assistant":
            return None  # only signatures matter
        case ToolCall() if role == "assistant":
            call: dict[str, Any] = {"id": part.id} if part.id else {}
            return {"functionCall": {**call, "name": part.name, "args": raw_arguments(part)}}
        case ImagePart() if role != "system" and role != "developer":
            return _media(part.url)
        case FilePart() if role != "system" and role != "developer":
            return _media(part.url, part.media_type, part.name)
        case _:
            kind = type(part).__name__
            raise LocalProtocolError(f"{kind} has no place in {role} messages: leave it out")


def _media(url: str, media_type: str = "", name: str = "") -> dict[str, Any]:
    given, data = data_of(url)
    named = {"displayName": name} if name else {}
    if data is not None:
        return {"inlineData": {"mimeType": media_type or given, "data": data, **named}}
    # Not by urlsplit, which raises for some; `guess_type` does, too, but not for a mere name.
    name_there = basename(_BEHIND_PATH.split(url)[0])
    media_type = media_type or guess_type(name_there)[0] or ""
    typed = {"mimeType": media_type} if media_type else {}
    return {"fileData": {**typed, "fileUri": url, **named}}


def _tools(chat: Chat) -> list[Any]:
    """The tools: all functions in one entry, where the first one stands."""
    declared: list[Any] = []
    written: list[Any] = []
    for tool, native in tools_to_write(chat.tools, DIALECT):
        if not isinstance(tool, Tool):
            written.append(native)
            continue
        if not declared:
            written.append({"functionDeclarations": declared})
        declared.append(_declaration(tool) if native is None else native)
    return written


def _declaration(tool: Tool) -> dict[str, Any]:
    declared: dict[str, Any] = {"name": tool.name}
    if tool.description:
        declared["description"] = tool.description
    if tool.parameters:
        declared["parametersJsonSchema"] = tool.parameters
    return declared


def _choice(choice: str) -> dict[str, Any]:
    if choice in _MODES:
        return {"mode": _MODES[choice]}
    return {"mode": "ANY", "allowedFunctionNames": [choice]}
