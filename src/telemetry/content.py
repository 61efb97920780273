"""What was said, in the conventions' own JSON: recorded only if it is asked for.

What only a vendor can read, such as the signature of a thought, is never recorded.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import Any, TypeAlias, assert_never

import msgspec

from ..protocols.chat import (
    Chat,
    FilePart,
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
from ..protocols.events import Image, Native, Reasoning, Refusal, Text, ToolCallStart
from ..protocols.reply import Choice, Reply
from ..protocols.toolkit.json import is_object

__all__ = ["LIMIT", "Content", "as_json"]

LIMIT = 16 * 1024
"""Characters of one part that are recorded: backends cut or drop what is much longer."""

_CUT = " [...]"
"""Stands for the rest of a part that is too long."""

Json: TypeAlias = dict[str, Any]

_decode = msgspec.json.Decoder()


class Content:
    """How content is recorded. `limit`: the most characters of a part. `redact` is given each text,
    and returns what may be recorded of it. `media`: whether the bytes of pictures and files are
    recorded, too."""

    def __init__(
        self,
        limit: int = LIMIT,
        redact: Callable[[str], str] = lambda text: text,
        *,
        media: bool = False,
    ) -> None:
        self._limit = limit
        self._redact = redact
        self._media = media

    def asked(self, chat: Chat) -> Json:
        """The attributes of a question."""
        messages = list(chat.messages)
        system: list[Json] = []
        while messages and messages[0].role in ("system", "developer"):
            system += self._parts(messages.pop(0).parts)
        found: Json = {"gen_ai.input.messages": [self._message(each) for each in messages]}
        if system:
            found["gen_ai.system_instructions"] = system
        if chat.tools:
            found["gen_ai.tool.definitions"] = [self._tool(tool) for tool in chat.tools]
        return found

    def answered(self, reply: Reply, *, complete: bool) -> Json:
        """The attributes of an answer: a message for each choice, with what was received."""
        choices = [reply.choices[index] for index in sorted(reply.choices)]
        return {"gen_ai.output.messages": [self._choice(each, complete) for each in choices]}

    # Messages

    def _message(self, message: Message) -> Json:
        if message.role != "tool":
            return {"role": message.role, "parts": list(self._parts(message.parts))}
        texts = [part for part in message.parts if isinstance(part, TextPart)]
        response: Any = self._text("".join(part.text for part in texts))
        others = [part for part in message.parts if not isinstance(part, TextPart)]
        part = {"type": "tool_call_response", "response": response}
        if message.tool_call_id:
            part["id"] = message.tool_call_id
        return {"role": "tool", "parts": [part, *self._parts(others)]}

    def _choice(self, choice: Choice, complete: bool) -> Json:
        # Empty: the service has no word for it.
        reason = choice.finish_kind or choice.finish_reason or ("" if complete else "error")
        parts = list(self._said(choice))
        return {"role": "assistant", "parts": parts, "finish_reason": reason}

    def _said(self, choice: Choice) -> Iterator[Json]:
        calls = iter(choice.tool_calls)
        for event in choice.events():
            match event:
                case Text() | Refusal():
                    yield {"type": "text", "content": self._text(event.text)}
                case Reasoning():
                    yield {"type": "reasoning", "content": self._text(event.text)}
                case ToolCallStart():
                    call = next(calls)
                    yield self._call(event.id, event.name, call.arguments, call.complete)
                case Image():
                    yield from self._blob(event.data_url, event.media_type)
                case _:
                    pass

    def _parts(self, parts: Iterable[Part]) -> Iterator[Json]:
        for part in parts:
            match part:
                case TextPart() | RefusalPart():
                    yield {"type": "text", "content": self._text(part.text)}
                case ReasoningPart():
                    yield {"type": "reasoning", "content": self._text(part.text)}
                case ToolCall():
                    yield self._call(part.id, part.name, part.arguments, not part.custom)
                case ImagePart():
                    yield from self._blob(part.url, "image/")
                case FilePart():
                    yield from self._blob(part.url, part.media_type)
                case Opaque():
                    yield _generic(part.native)
                case _:
                    assert_never(part)

    def _call(self, id: str, name: str, arguments: str, whole: bool) -> Json:
        called: Json = {"type": "tool_call", "name": name}
        called["arguments"] = self._json(arguments) if whole else self._text(arguments)
        if id:
            called["id"] = id
        return called

    def _blob(self, url: str, media_type: str) -> Iterator[Json]:
        """A picture or a file: its address, or its bytes if they may be recorded."""
        inside = url[:5].lower() == "data:"
        head, _, data = url[5:].partition(",") if inside else ("", "", "")
        media_type = head.partition(";")[0] or media_type
        modality = media_type.partition("/")[0]
        part: Json = {"modality": modality if modality in _MODALITIES else "document"}
        if media_type and not media_type.endswith("/"):
            part["mime_type"] = media_type
        if not inside:
            yield {"type": "uri", **part, "uri": self._text(url)}
        elif self._media:
            yield {"type": "blob", **part, "content": data}

    def _tool(self, tool: Tool | Opaque) -> Json:
        if isinstance(tool, Opaque):
            return _generic(tool.native)
        defined: Json = {"type": "function", "name": tool.name}
        if tool.description:
            defined["description"] = self._text(tool.description)
        if tool.parameters:
            defined["parameters"] = self._json(as_json(tool.parameters))
        return defined

    def _json(self, text: str) -> Any:
        """The value of a JSON text; the text itself if it is none any more."""
        text = self._text(text)
        with suppress(msgspec.DecodeError):
            return _decode.decode(text)
        return text

    def _text(self, text: str) -> str:
        text = self._redact(text)
        return text if len(text) <= self._limit else text[: self._limit] + _CUT


_MODALITIES = ("image", "audio", "video")


def _generic(native: Native) -> Json:
    """Of a part that only its own format understands: what it is, and no more."""
    form: Any = _decode.decode(native.raw)
    kind = form.get("type") if is_object(form) else None
    return {"type": kind if isinstance(kind, str) else "opaque", "dialect": native.dialect}


def as_json(value: Any) -> str:
    """`value` as the attribute of a span."""
    try:
        return msgspec.json.encode(value, enc_hook=repr).decode()
    except UnicodeEncodeError:  # a lone surrogate, which only this one can write
        return json.dumps(value, default=repr)
