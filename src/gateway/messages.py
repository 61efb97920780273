"""A conversation, as a service can be sent it."""

from collections.abc import Iterator, Sequence
from typing import Any

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
    ToolCall,
)
from ..protocols.encoding import raw_arguments, result_text
from ..protocols.errors import LocalProtocolError
from ..protocols.events import Native
from ..protocols.toolkit.media import data_of
from .attachments import attachment
from .judge import Judge, is_empty, type_of
from .matrix import FORM, HINTS, PREFILL
from .sealing import restored

__all__ = ["messages_of"]

_SYSTEM = ("system", "developer")
_SIGNING = "gemini-3"
"""How the models are called that want the first call of each turn to be signed."""
_UNSIGNED = "skip_thought_signature_validator"
"""The signature for the calls of other models (ai.google.dev/gemini-api/docs/thought-signatures,
in its questions and answers)."""


def messages_of(judge: Judge, chat: Chat) -> tuple[Message, ...]:
    """The messages of `chat` as the service can be sent them. Raises BadRequest."""
    messages = tuple(_messages(judge, chat.messages))
    if not messages:
        raise judge.refuse("messages", "a chat of which nothing is left")
    model = chat.model.removeprefix("models/")
    if judge.back.name == "gemini" and model.startswith(_SIGNING):
        messages = tuple(map(_signed, messages))
    return messages


def _messages(judge: Judge, messages: Sequence[Message]) -> Iterator[Message]:
    calls = _Calls()
    begun = False
    pictures: list[Part] = []  # of results of tools, which they follow
    for message in messages:
        if pictures and message.role != "tool":
            yield Message("user", tuple(pictures))
            pictures = []
        told = _message(judge, message, pictures)
        if told is None:
            continue
        what = "a later message of the system"
        midway = begun and told.role in _SYSTEM
        if midway and not judge.says("system_midway", "messages", what):
            told = told.replace(role="user")
        begun = begun or told.role not in _SYSTEM
        if not calls.add(told) and "named" in judge.takes and not judge.same:
            raise judge.refuse("messages", "the result of an unknown call, without a name,")
        yield told
    if pictures:
        yield Message("user", tuple(pictures))


def _message(judge: Judge, message: Message, pictures: list[Part]) -> Message | None:
    """A message as the service can be sent it; None: there is nothing of it. Adds to `pictures`
    those of a tool's result that are to follow it."""
    had = _says_something(message)
    if message.role == "assistant":
        message, lost = restored(message, judge.back.name, judge.provider.name)
        if lost:
            judge.losses.add("opaque")
    if not judge.same:
        waiting = len(pictures)
        message = _judged(judge, message, pictures)
        had = had and len(pictures) == waiting
    if _says_something(message):
        return message
    if had and not message.tool_call_id:
        return None  # what it had is counted
    if message.role == "tool" or judge.same or "empty" in judge.takes:
        return message
    if message.role == "user":
        raise judge.refuse("messages", "an empty message of the user")
    judge.losses.add("empty_message")
    return None


def _judged(judge: Judge, message: Message, pictures: list[Part]) -> Message:
    name, extra, content = message.name, message.extra, message.content
    if name and message.role != "tool":
        name = name if judge.says("name", "messages", f"the name {name[:80]!r}") else ""
    if not {judge.front.name, judge.back.name} <= FORM:
        _leave_out(judge, extra)
        extra = {}
    if not isinstance(content, str):
        content = tuple(_parts(judge, message, pictures))
    told = message.replace(content=content, name=name, extra=extra)
    if result_text(told, told.text) != told.text and judge.rule("failed") == "-":
        judge.losses.add("failed")
    return told


def _leave_out(judge: Judge, extra: dict[str, Any]) -> None:
    """The further fields of a message are left out. Raises BadRequest."""
    for key, value in extra.items():
        if is_empty(value):
            continue
        if key in PREFILL:
            judge.need("prefix", "messages", f"{key} of a message")
        elif f"messages.{key}" in HINTS.get(judge.front.name, ()):
            judge.losses.add("hints")
        else:
            judge.leave_out("messages", f"an unknown field ({key})", key)


def _parts(judge: Judge, message: Message, pictures: list[Part]) -> Iterator[Part]:
    for part in message.parts:
        if part.native is None:
            plain: Part | None = part
        elif message.role == "assistant":
            plain = _answered(judge, part)
        else:
            plain = _plain(judge, part, message)
        if plain is None:
            continue
        for said in _said(judge, plain, message, pictures):
            yield _marked(judge, said)


def _marked(judge: Judge, part: Part) -> Part:
    if isinstance(part, TextPart | ImagePart | FilePart | ToolCall) and part.cache:
        return msgspec.structs.replace(part, cache=judge.cache(part.cache))
    return part


def _answered(judge: Judge, part: Part) -> Part | None:
    """A part of an answer without its native form, unless that is for this service."""
    if part.native is not None and part.native.dialect == judge.back.name:
        return part
    judge.losses.add("opaque")
    return None if isinstance(part, Opaque) else msgspec.structs.replace(part, native=None)


def _plain(judge: Judge, part: Part, message: Message) -> Part | None:
    """A part of anybody else without its native form."""
    if isinstance(part, Opaque):
        judge.leave_out("messages", f"a part of the type {type_of(part)[:80]!r}", "unknown")
        return None
    said = [getattr(part, name) for name in part.__struct_fields__ if name != "native"]
    said += [message.name, message.tool_call_id]
    if isinstance(part, TextPart):
        said.append(_value(part.text))  # a result of which the text is made
    elif isinstance(part, ImagePart | FilePart):
        said += data_of(part.url)
    judge.leave_out_further(part.native, said, "messages")
    return msgspec.structs.replace(part, native=None)


def _said(judge: Judge, part: Part, message: Message, pictures: list[Part]) -> Iterator[Part]:
    role = message.role
    match part:
        case TextPart() | Opaque():
            yield part
        case RefusalPart() if role == "assistant":
            yield part
        case ReasoningPart() if role == "assistant":
            if part.native is not None or _keeps_thoughts(judge):
                yield part
        case ToolCall() if role == "assistant":
            _check(judge, part)
            yield part
        case ImagePart() | FilePart() if role == "assistant":
            if judge.says("image_said", "messages"):
                yield attachment(judge, part)
        case ImagePart() if role == "tool":
            if judge.says("result_images", "messages", "a picture in a tool's result"):
                yield attachment(judge, part)
            else:
                pictures.append(attachment(judge, part))
        case FilePart() if role == "tool":
            judge.need("result_files", "messages", "a file in a tool's result")
            yield attachment(judge, part)
        case ImagePart() | FilePart() if role == "user":
            yield attachment(judge, part)
        case _:
            kind = type(part).__name__
            raise judge.refuse("messages", f"{kind} in a message of the role {role}")


def _keeps_thoughts(judge: Judge) -> bool:
    """Whether thoughts of another model can be sent."""
    keeps = judge.back.name != "openai_chat" or bool(judge.provider.history)
    if keeps and judge.rule("reasoning") == "=":
        return True
    judge.losses.add("reasoning")
    return False


def _check(judge: Judge, call: ToolCall) -> None:
    if call.custom:
        judge.need("custom_call", "messages", f"the call {call.name[:80]!r} with free text")
    elif judge.rule("call_arguments") == "x":
        try:
            raw_arguments(call)
        except LocalProtocolError as error:
            raise judge.refuse("messages", error.message) from None


class _Calls:
    """The calls of a conversation, to find those that results answer."""

    def __init__(self) -> None:
        self._waiting: list[ToolCall] = []
        self._known: dict[str, ToolCall] = {}

    def add(self, message: Message) -> bool:
        """The next message. False: it is the result of an unknown function."""
        self._waiting += message.tool_calls
        self._known |= {call.id: call for call in message.tool_calls if call.id}
        if message.role != "tool":
            return True
        name, id = message.name, message.tool_call_id
        found = self._known.get(id)
        if not id:
            found = next((call for call in self._waiting if name in ("", call.name)), None)
        self._waiting = [call for call in self._waiting if call is not found]
        return bool(name) or (found is not None and bool(found.name))


def _signed(message: Message) -> Message:
    """A message whose first call is signed if none is: with a word, as another model made it."""
    calls = message.tool_calls
    if not calls or any(call.native is not None for call in calls):
        return message
    first = calls[0]
    call = {"id": first.id} if first.id else {}
    said = {"functionCall": {**call, "name": first.name, "args": raw_arguments(first)}}
    raw = msgspec.json.encode({**said, "thoughtSignature": _UNSIGNED})
    signed = msgspec.structs.replace(first, native=Native("gemini", raw))
    return message.replace(
        content=tuple(signed if part is first else part for part in message.parts)
    )


def _says_something(message: Message) -> bool:
    return any(not isinstance(part, TextPart) or part.text for part in message.parts)


def _value(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except (ValueError, RecursionError):
        return text
