"""What is asked: `Chat`, its messages, and how they become one prompt."""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeAlias

import msgspec

from .errors import LocalProtocolError

__all__ = [
    "Chat",
    "ImagePart",
    "Message",
    "Part",
    "Role",
    "TextPart",
    "Tool",
    "ToolCall",
    "as_chat",
    "flatten",
]

Role: TypeAlias = Literal["system", "developer", "user", "assistant", "tool"]


class TextPart(msgspec.Struct, frozen=True, tag="text"):
    """Text as one of several parts of a message."""

    text: str


class ImagePart(msgspec.Struct, frozen=True, tag="image"):
    """A picture as one of several parts of a message: an http(s) or `data:` URL."""

    url: str

    @classmethod
    def of_bytes(cls, data: bytes, media_type: str) -> "ImagePart":
        """A picture given by its bytes."""
        return cls(f"data:{media_type};base64,{b64encode(data).decode()}")


Part: TypeAlias = TextPart | ImagePart


class ToolCall(msgspec.Struct, frozen=True):
    """A call that the assistant made, `arguments` as the JSON text that it sent."""

    id: str
    name: str
    arguments: str


class Tool(msgspec.Struct, frozen=True):
    """A function that the model may call; `parameters` is a JSON Schema."""

    name: str
    description: str = ""
    parameters: dict[str, Any] = {}


class Message(msgspec.Struct, frozen=True):
    """One message. `tool_calls` are an assistant's; `tool_call_id` names the call that a message
    of role `tool` answers."""

    role: Role
    content: str | tuple[Part, ...] = ""
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str = ""
    name: str = ""

    @property
    def text(self) -> str:
        """The content as text. Raises LocalProtocolError for parts that are none."""
        if isinstance(self.content, str):
            return self.content
        for part in self.content:
            if not isinstance(part, TextPart):
                raise LocalProtocolError(
                    "this service takes only text: leave the image part out, "
                    "or ask a provider that can see (openai)"
                )
        return "".join(part.text for part in self.content if isinstance(part, TextPart))


class Chat(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked. Options that are None or empty are not sent.

    `model` may be empty (the provider's default) or an alias. `extra` are further fields of the
    request, as the service names them; they override all others.
    """

    messages: tuple[Message, ...]
    model: str = ""
    tools: tuple[Tool, ...] = ()
    tool_choice: str | None = None
    """`auto`, `none`, `required`, or the name of a tool."""
    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    n: int | None = None
    seed: int | None = None
    stream: bool = True
    extra: dict[str, Any] = {}

    def replace(self, **changes: Any) -> "Chat":
        """A copy with `changes`."""
        return msgspec.structs.replace(self, **changes)

    def then(self, answer: str, question: str) -> "Chat":
        """The conversation, continued: the assistant's `answer`, and the user's next `question`."""
        more = (Message("assistant", answer), Message("user", question))
        return self.replace(messages=(*self.messages, *more))

    def options(self) -> list[str]:
        """The names of the options that are set."""
        names = ("tools", "tool_choice", "temperature", "top_p", "max_tokens", "stop", "n", "seed")
        return [name for name in names if getattr(self, name) not in (None, ())]


def as_chat(question: "Chat | str | Sequence[Message | Mapping[str, Any]]", **options: Any) -> Chat:
    """A chat of a question, a list of messages, or a chat; `options` are fields of `Chat`.

    A message may be a mapping with `role` and `content`, as in the documents of OpenAI.
    Raises LocalProtocolError for what is none of these.
    """
    if isinstance(question, Chat):
        return question.replace(**options)
    if isinstance(question, str):
        return Chat(messages=(Message("user", question),), **options)
    try:
        given = tuple(question)
    except TypeError:
        raise LocalProtocolError(
            f"a question of type {type(question).__name__}: give text, a list of messages or a Chat"
        ) from None
    messages = tuple(m if isinstance(m, Message) else message_of(m) for m in given)
    return Chat(messages=messages, **options)


def message_of(value: Mapping[str, Any]) -> Message:
    """A message of a mapping in the form of OpenAI's chat completions."""
    try:
        wire = msgspec.convert(value, WireMessage)
    except msgspec.ValidationError as error:
        raise LocalProtocolError(f"a message is not as it should be: {error}") from None
    return wire.message()


def flatten(messages: Sequence[Message]) -> str:
    """One prompt of all `messages`, for services that take one string.

    One message is its content; several are a line `Role: content` each, blank ones left out, and a
    last line `Assistant:`. Raises LocalProtocolError for what a string can't hold.
    """
    if not messages:
        raise LocalProtocolError("no message: a chat needs at least one")
    for message in messages:
        if message.tool_calls or message.tool_call_id:
            raise LocalProtocolError(
                "this service knows no tools: leave tool calls and results out"
            )
        if message.name:
            raise LocalProtocolError("this service knows no names: leave a message's name out")
    if len(messages) == 1:
        return messages[0].text
    lines = [
        f"{message.role.capitalize()}: {text}"
        for message in messages
        if (text := message.text).strip()
    ]
    return "\n".join([*lines, "Assistant:"])


# How OpenAI's chat completions write a message. It stands here and not in the dialect because the
# same form is the field's way to write messages as plain data.


class _WireFunction(msgspec.Struct, frozen=True):
    name: str
    arguments: str = ""


class _WireToolCall(msgspec.Struct, frozen=True):
    function: _WireFunction
    id: str = ""


class WireImageUrl(msgspec.Struct, frozen=True):
    """Where a picture is."""

    url: str


class WirePart(msgspec.Struct, frozen=True):
    """A part of a message's content."""

    type: str
    text: str | None = None
    image_url: WireImageUrl | None = None

    def part(self) -> Part:
        """The part. Raises LocalProtocolError if it is neither text nor a picture."""
        if self.type == "text" and self.text is not None:
            return TextPart(self.text)
        if self.type == "image_url" and self.image_url is not None:
            return ImagePart(self.image_url.url)
        raise LocalProtocolError(f"a part of type {self.type!r}: give text or image_url")


class WireMessage(msgspec.Struct, frozen=True):
    """A message as OpenAI's chat completions write it."""

    role: Role
    content: str | list[WirePart] | None = None
    tool_calls: list[_WireToolCall] | None = None
    tool_call_id: str | None = None
    name: str | None = None

    def message(self) -> Message:
        """The message. Raises LocalProtocolError for parts that are not known."""
        content = self.content or ""
        return Message(
            role=self.role,
            content=content if isinstance(content, str) else tuple(p.part() for p in content),
            tool_calls=tuple(
                ToolCall(call.id, call.function.name, call.function.arguments)
                for call in self.tool_calls or ()
            ),
            tool_call_id=self.tool_call_id or "",
            name=self.name or "",
        )


def wire_message(message: Message) -> dict[str, Any]:
    """`message` as OpenAI's chat completions write it."""
    wire: dict[str, Any] = {"role": message.role, "content": message.content}
    if not isinstance(message.content, str):
        wire["content"] = [
            {"type": "text", "text": part.text}
            if isinstance(part, TextPart)
            else {"type": "image_url", "image_url": {"url": part.url}}
            for part in message.content
        ]
    if message.tool_calls:
        wire["content"] = wire["content"] or None
        wire["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": call.arguments},
            }
            for call in message.tool_calls
        ]
    if message.tool_call_id:
        wire["tool_call_id"] = message.tool_call_id
    if message.name:
        wire["name"] = message.name
    return wire
