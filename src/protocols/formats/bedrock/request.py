"""A chat as the body of Converse and ConverseStream.

Source: botocore's model of `bedrock-runtime` (2023-09-30), and the API reference
(docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html).
"""

import re
from collections.abc import Iterator
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
from ...question import Question
from ...toolkit.media import data_of

__all__ = ["DIALECT", "FORMATS", "IDS", "INFERENCE", "NO_PARAMETERS", "encode_chat", "top_k_place"]

DIALECT = "bedrock"

IDS = re.compile(r"[a-zA-Z0-9_.:-]{1,64}")
"""What an id of a call may be."""

INFERENCE = {"max_tokens": "maxTokens", "temperature": "temperature", "top_p": "topP"}
"""Options of a chat in `inferenceConfig`."""

NO_PARAMETERS: dict[str, Any] = {"type": "object", "properties": {}}
"""The schema of a function without parameters."""

FORMATS: dict[str, dict[str, str]] = {
    "image": {f"image/{kind}": kind for kind in ("png", "jpeg", "gif", "webp")},
    "document": {
        "application/pdf": "pdf",
        "text/csv": "csv",
        "application/msword": "doc",
        "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
        "application/vnd.ms-excel": "xls",
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx",
        "text/html": "html",
        "text/plain": "txt",
        "text/markdown": "md",
    },
    "video": {
        "video/x-matroska": "mkv",
        "video/quicktime": "mov",
        "video/mp4": "mp4",
        "video/webm": "webm",
        "video/x-flv": "flv",
        "video/mpeg": "mpeg",
        "video/x-ms-wmv": "wmv",
        "video/3gpp": "three_gp",
    },
    "audio": {
        "audio/mpeg": "mp3",
        "audio/wav": "wav",
        "audio/flac": "flac",
        "audio/ogg": "ogg",
        "audio/opus": "opus",
        "audio/aac": "aac",
        "audio/mp4": "mp4",
        "audio/webm": "webm",
        "audio/x-matroska": "mka",
    },
}
"""The kinds of files: how the service calls each media type."""

_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9()\[\]-]+")


def encode_chat(question: Question) -> dict[str, Any]:
    """The request body of a chat, without what is not set. Raises LocalProtocolError."""
    chat, name = question.chat, question.provider.name
    system, turns = _Turns(chat.messages).write()
    body: dict[str, Any] = {"messages": turns}
    if system:
        body["system"] = system
    inference: dict[str, Any] = {
        theirs: getattr(chat, ours)
        for ours, theirs in INFERENCE.items()
        if getattr(chat, ours) is not None
    }
    if chat.stop:
        inference["stopSequences"] = chat.stop
    if inference:
        body["inferenceConfig"] = inference
    if not chat.tools and chat.tool_choice not in (None, "auto", "none"):
        raise LocalProtocolError("tool_choice demands a call, and there are no tools")
    if chat.tools and chat.tool_choice != "none":
        body["toolConfig"] = {"tools": list(_tools(chat)), **_tool_choice(chat)}
    output: dict[str, Any] = {}
    if chat.effort is not None:
        output["effort"] = chat.effort
    if chat.schema is not None:
        if not chat.schema:
            raise LocalProtocolError(f"{name} can't be asked for any JSON: give a schema")
        schema = {"name": "answer", "schema": msgspec.json.encode(chat.schema).decode()}
        output["textFormat"] = {"type": "json_schema", "structure": {"jsonSchema": schema}}
    if output:
        body["outputConfig"] = output
    if chat.top_k is not None:
        value: Any = chat.top_k
        for key in reversed(top_k_place(question.model)):
            value = {key: value}
        body["additionalModelRequestFields"] = value
    return body


def top_k_place(model: str) -> tuple[str, ...]:
    """Where `additionalModelRequestFields` have `top_k`. Amazon's own models (`us.amazon.nova-x`)
    have it in an object, Anthropic's and others' at the top; of a model behind an ARN the vendor is
    not known."""
    amazons = "amazon" in model.split(".")[:2]
    return ("inferenceConfig", "topK") if amazons else ("top_k",)


class _Turns:
    """Writes a conversation, in which neighbours of one side are one message."""

    def __init__(self, messages: tuple[Message, ...]) -> None:
        self._messages = messages
        self._ids = call_ids(messages, IDS)

    def write(self) -> tuple[list[Any], list[dict[str, Any]]]:
        """The blocks of the system's messages, which precede all others, and the turns. Raises
        LocalProtocolError."""
        system: list[Any] = []
        turns: list[dict[str, Any]] = []
        for place, message in enumerate(self._messages):
            role = message.role
            blocks = list(
                self._result(message, place) if role == "tool" else self._blocks(message, place)
            )
            if not blocks:
                raise LocalProtocolError(
                    f"nothing of the {role} message can be said here: leave it out"
                )
            if role in ("system", "developer"):
                system += blocks
                continue
            side = "user" if role == "tool" else role
            if not turns or turns[-1]["role"] != side:
                turns.append({"role": side, "content": []})
            turns[-1]["content"].extend(blocks)
        return system, turns

    def _blocks(self, message: Message, place: int) -> Iterator[Any]:
        number = 0
        for part, native in parts_to_write(message, DIALECT):
            id = ""
            if isinstance(part, ToolCall):
                id = self._ids[place, number]
                number += 1
            block = _block(part, message.role, id) if native is None else native
            if block not in (None, {"text": ""}):  # the service refuses an empty text
                yield block
                yield from _mark(getattr(part, "cache", ""))

    def _result(self, message: Message, place: int) -> Iterator[Any]:
        mark: Cache = ""
        *others, last = message.parts or (None,)
        if isinstance(last, TextPart | ImagePart | FilePart) and last.cache:
            mark = last.cache  # the mark of the last part is that of the result
            message = message.replace(content=(*others, msgspec.structs.replace(last, cache="")))
        blocks = list(self._blocks(message, place))
        content = [block for block in blocks if "toolResult" not in block]
        result = {"toolUseId": self._ids[place, -1], "content": content}
        if message.failed:
            result["status"] = "error"
        for block in blocks:  # what else the result says, as the server half reads it
            result |= block.get("toolResult", {})
        yield {"toolResult": result}
        yield from _mark(mark)


def _block(part: Part, role: str, id: str) -> dict[str, Any] | None:
    """The block of a part; None if it can't be said."""
    system = role in ("system", "developer")
    match part:
        case TextPart():
            return {"text": part.text}
        case RefusalPart() if role == "assistant":
            return {"text": part.text}
        case ReasoningPart() if role == "assistant":
            return None  # a thought that is not signed is refused
        case ToolCall() if role == "assistant":
            return {"toolUse": {"toolUseId": id, "name": part.name, "input": raw_arguments(part)}}
        case ImagePart() if not system:
            return {"image": _image(part)}
        case FilePart() if not system:
            return _file(part)
        case _:
            kind = type(part).__name__
            raise LocalProtocolError(f"{kind} has no place in {role} messages: leave it out")


def _image(part: ImagePart) -> dict[str, Any]:
    media_type, data = data_of(part.url)
    format = FORMATS["image"].get(media_type)
    if format is None:
        known = ", ".join(FORMATS["image"])
        raise LocalProtocolError(f"a picture of type {media_type[:80]!r}: the types are {known}")
    return {"format": format, "source": {"bytes": data}}


def _file(part: FilePart) -> dict[str, Any]:
    given, data = data_of(part.url)
    media_type = part.media_type or given
    kind = next((kind for kind, known in FORMATS.items() if media_type in known), None)
    if kind is None:
        raise LocalProtocolError(f"a file of type {media_type[:80]!r}: no model reads that")
    if data is None and not part.url.startswith("s3://"):
        raise LocalProtocolError("a file is given by its bytes or an s3:// address")
    source = {"s3Location": {"uri": part.url}} if data is None else {"bytes": data}
    written: dict[str, Any] = {"format": FORMATS[kind][media_type], "source": source}
    if part.name and kind != "document":
        raise LocalProtocolError(f"{kind} has no name here: leave {part.name[:80]!r} out")
    if kind == "document":
        # The service wants a name, of few characters, and tells the model so.
        written["name"] = _NOT_IN_NAMES.sub("-", part.name)[:200] or "document"
    return {kind: written}


def _tools(chat: Chat) -> Iterator[Any]:
    for tool, native in tools_to_write(chat.tools, DIALECT):
        if native is not None or not isinstance(tool, Tool):
            yield native
            continue
        spec: dict[str, Any] = {"name": tool.name}
        if tool.description:
            spec["description"] = tool.description
        spec["inputSchema"] = {"json": tool.parameters or NO_PARAMETERS}
        if tool.strict is not None:
            spec["strict"] = tool.strict
        yield {"toolSpec": spec}
        yield from _mark(tool.cache)


def _tool_choice(chat: Chat) -> dict[str, Any]:
    match chat.tool_choice:
        case None:
            return {}
        case "auto":
            return {"toolChoice": {"auto": {}}}
        case "required":
            return {"toolChoice": {"any": {}}}
        case name:
            return {"toolChoice": {"tool": {"name": name}}}


def _mark(cache: Cache) -> Iterator[Any]:
    """The block after what is worth keeping."""
    if cache:
        yield {"cachePoint": {"type": "default"} | ({"ttl": "1h"} if cache == "1h" else {})}
