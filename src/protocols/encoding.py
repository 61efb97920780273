"""What formats share when they write a request: parts with their native forms, ids of calls,
results of tools, one prompt of many messages."""

import re
from base64 import b32encode
from collections.abc import Iterator, Sequence
from hashlib import sha256
from typing import Any

import msgspec

from .chat import (
    FilePart,
    Message,
    Opaque,
    Part,
    ReasoningPart,
    RefusalPart,
    TextPart,
    Tool,
    ToolCall,
)
from .errors import LocalProtocolError
from .events import Native
from .toolkit.json import is_list, is_object
from .toolkit.media import AUDIO, data_of

__all__ = [
    "accepted_id",
    "add_piece",
    "call_ids",
    "input_audio",
    "merge",
    "one_prompt",
    "parts_to_write",
    "plain_text",
    "raw_arguments",
    "result_text",
    "tools_to_write",
    "value_of",
]

_object = msgspec.json.Decoder(dict[str, Any])
_AUDIO = {media_type: name for name, media_type in AUDIO.items()}


def parts_to_write(message: Message, dialect: str) -> Iterator[tuple[Part, Any]]:
    """The parts of `message` as the format `dialect` is to write them, each with the value of its
    native form, if that is of this format; else None, and its general meaning counts.

    Of an assistant's message a part that only another format understands is left out: one model's
    private state means nothing to another. Anywhere else the native form of another format raises
    LocalProtocolError, as what a caller wrote is never dropped.
    """
    for part in message.parts:
        native = part.native
        if native is None:
            yield part, None
        elif native.dialect in ("", dialect):
            yield part, value_of(native)
        elif message.role != "assistant":
            raise _foreign(native, f"a part of the {message.role} message", dialect)
        elif not isinstance(part, Opaque):
            yield part, None


def tools_to_write(
    tools: Sequence[Tool | Opaque], dialect: str
) -> Iterator[tuple[Tool | Opaque, Any]]:
    """The tools, likewise. Raises LocalProtocolError for one in the words of another format."""
    for tool in tools:
        native = tool.native
        if native is not None and native.dialect not in ("", dialect):
            raise _foreign(native, "a tool", dialect)
        yield tool, None if native is None else value_of(native)


def value_of(native: Native) -> Any:
    """The JSON value of a native form. Raises LocalProtocolError if it is not JSON."""
    try:
        return msgspec.json.decode(native.raw)
    except (ValueError, RecursionError):
        raise LocalProtocolError("a native form that is not JSON") from None


def _foreign(native: Native, what: str, dialect: str) -> LocalProtocolError:
    value = value_of(native)
    while True:  # into what it is about: `{"content": [part]}`
        inner: Any = None
        if is_list(value):
            inner = next(iter(value), None)
        elif is_object(value) and len(value) == 1:
            inner = next(iter(value.values()))
        if not (is_list(inner) or is_object(inner)):
            break
        value = inner
    keys = ", ".join(value) if is_object(value) else "its value"
    return LocalProtocolError(
        f"{what} is in the words of {native.dialect}, which {dialect} can't say ({keys[:200]}): "
        "leave it out, or use plain()"
    )


def call_ids(
    messages: Sequence[Message], accepts: "re.Pattern[str] | None" = None
) -> dict[tuple[int, int], str]:
    """The ids of calls and results, for a format that needs them: by (message, call), and by
    (message, -1) for a tool message. One that has none is called `call_{message}_{call}`, the
    places of both; a result without an id answers the calls in their order. If the format does not
    `accept` an id, it is replaced by a short hash of it, in the call and in the result."""
    ids: dict[tuple[int, int], str] = {}
    waiting: list[tuple[str, str]] = []  # id and name of calls without a result
    for place, message in enumerate(messages):
        for number, call in enumerate(message.tool_calls):
            id = call.id or f"call_{place}_{number}"
            ids[place, number] = id
            waiting.append((id, call.name))
        if message.role != "tool":
            continue
        id = message.tool_call_id
        if not id:
            named = (i for i, name in waiting if not message.name or name == message.name)
            id = next(named, f"call_{place}_0")
        for pair in waiting:
            if pair[0] == id:
                waiting.remove(pair)
                break
        ids[place, -1] = id
    if accepts is not None:
        ids = {key: accepted_id(id, accepts) for key, id in ids.items()}
    return ids


def accepted_id(id: str, accepts: "re.Pattern[str]") -> str:
    """`id`, or a short hash of it if the format does not accept it."""
    if accepts.fullmatch(id):
        return id
    digest = sha256(id.encode(errors="surrogatepass")).digest()
    return f"tw_{b32encode(digest).decode().lower()[:20]}"


def result_text(message: Message, text: str) -> str:
    """The text of a tool's result, for a format that has no flag for one that failed."""
    return f"Error: {text}" if message.failed and not text.startswith("Error: ") else text


def raw_arguments(call: ToolCall) -> msgspec.Raw:
    """The arguments of a call, which go out as they are. Raises LocalProtocolError if they are not
    one object."""
    try:
        raw = (call.arguments.strip() or "{}").encode()
        _object.decode(raw)
    except (ValueError, RecursionError):
        raise LocalProtocolError(
            f"the call {call.name!r} ({call.id}) has arguments that are not one JSON object"
        ) from None
    return msgspec.Raw(raw)


def input_audio(file: FilePart) -> dict[str, Any] | None:
    """An audio file as both of OpenAI's formats write it; None if it is a document. Raises
    LocalProtocolError for what they can't say: another type of audio, a video, a name."""
    given, data = data_of(file.url)
    media_type = file.media_type or given
    if not media_type.startswith(("audio/", "video/")):
        return None
    if media_type not in _AUDIO or data is None:
        raise LocalProtocolError(
            f"a file of type {media_type[:80]!r} has no place here: leave it out"
        )
    if file.name:
        raise LocalProtocolError(f"audio has no name here: leave {file.name[:80]!r} out")
    return {"type": "input_audio", "input_audio": {"data": data, "format": _AUDIO[media_type]}}


def merge(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """`above` laid over `below`: objects are merged into objects, at every depth."""
    merged = dict(below)
    for key, value in above.items():
        under = merged.get(key)
        if is_object(value) and is_object(under):
            value = merge(under, value)
        merged[key] = value
    return merged


def add_piece(message: dict[str, Any], piece: dict[str, Any]) -> None:
    """Merge a native form that is a piece of a message into it: lists are appended, texts joined;
    of anything else the last value counts."""
    for key, value in piece.items():
        there = message.get(key)
        if is_list(there) and is_list(value):
            value = [*there, *value]
        elif isinstance(there, str) and isinstance(value, str):
            value = there + value
        message[key] = value


def one_prompt(messages: Sequence[Message], dialect: str) -> str:
    """One prompt of all `messages`, for services that take one string.

    One message is its content; several are a line `Role: content` each, blank ones left out, and a
    last line `Assistant:`. Raises LocalProtocolError for what a string can't hold.
    """
    if not messages:
        raise LocalProtocolError("no message: a chat needs at least one")
    if len(messages) == 1:
        return plain_text(messages[0], dialect)
    lines = [
        f"{message.role.capitalize()}: {text}"
        for message in messages
        if (text := plain_text(message, dialect)).strip()
    ]
    return "\n".join([*lines, "Assistant:"])


def plain_text(message: Message, dialect: str) -> str:
    """The text of `message`, for a format that has nothing else. Raises LocalProtocolError for a
    part that is something else; an assistant's reasoning is left out."""
    texts: list[str] = []
    for part, native in parts_to_write(message, dialect):
        if native is None and isinstance(part, TextPart | RefusalPart):
            texts.append(part.text)
        elif native is not None or not isinstance(part, ReasoningPart):
            raise LocalProtocolError(f"{dialect} takes only text: leave all else out")
    return "".join(texts)
