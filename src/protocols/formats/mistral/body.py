"""The messages of a request to Mistral, as a chat has them."""

from typing import Any, TypeGuard

import msgspec

from ...chat import FilePart, ImagePart, Message, Part, ReasoningPart
from ...events import Native
from ...mappings import message_of
from ...toolkit.json import is_list, is_object
from ...toolkit.media import data_of

__all__ = ["message_of_mistral", "renamed"]


def message_of_mistral(value: Any) -> Message:
    """The message that `value` is. Raises LocalProtocolError."""
    content = value.get("content") if is_object(value) else None
    if not is_list(content):
        return _owned(message_of(value))
    parts = [part for each in content for part in _parts(each)]
    rest = _owned(message_of({**value, "content": None}))  # its calls
    return rest.replace(content=(*parts, *rest.parts))


def _parts(value: Any) -> tuple[Part, ...]:
    """The part that an item of a content is; none if it says nothing."""
    if is_object(value):
        match value.get("type"), value.keys() - {"type"}:
            case "thinking", keys if keys <= {"thinking", "closed", "signature"}:
                if (text := _thought(value.get("thinking"))) is not None:
                    raw = msgspec.json.encode({"content": [value]})
                    signed = bool(value.get("signature"))
                    return (ReasoningPart(text, Native("mistral", raw) if signed else None),)
            case "image_url", keys if keys == {"image_url"} and _is_text(value["image_url"]):
                return (ImagePart(value["image_url"]),)
            case "document_url", keys if keys <= {"document_url", "document_name"}:
                if _is_text(url := value.get("document_url")):
                    name = str(value.get("document_name") or "")
                    return (FilePart(url, data_of(url)[0], name),)
            case "input_audio", keys if keys == {"input_audio"} and _is_text(value["input_audio"]):
                said: str = value["input_audio"]
                there = said.startswith(("https:", "http:", "data:"))
                url = said if there else f"data:audio/mpeg;base64,{said}"
                return (FilePart(url, "audio/mpeg"),)
            case _:
                pass
    return _owned(message_of({"role": "user", "content": [value]})).parts


def _thought(thinking: Any) -> str | None:
    """The text of a thought; None if there is something else in it."""
    if not is_list(thinking):
        return None
    texts = [each.get("text") for each in thinking if is_object(each)]
    if len(texts) < len(thinking) or not all(map(_is_text, texts)):
        return None
    return "".join(map(str, texts))


def _owned(message: Message) -> Message:
    if isinstance(message.content, str):
        return message
    return message.replace(content=tuple(map(_of_ours, message.content)))


def _of_ours(part: Part) -> Part:
    if part.native is None:
        return part
    return msgspec.structs.replace(part, native=renamed(part.native))


def renamed(native: Native) -> Native:
    """A native form that was read by the rules of chat completions."""
    return Native("mistral", native.raw)


def _is_text(value: Any) -> TypeGuard[str]:
    return isinstance(value, str)
