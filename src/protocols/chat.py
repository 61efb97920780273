"""A question: `Chat`, its messages, and the parts of messages."""

from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import msgspec

from .errors import LocalProtocolError
from .events import Native

if TYPE_CHECKING:
    from .reply import Choice, Reply

__all__ = [
    "Cache",
    "Chat",
    "Effort",
    "FilePart",
    "ImagePart",
    "Message",
    "Opaque",
    "Part",
    "ReasoningPart",
    "RefusalPart",
    "Role",
    "TextPart",
    "Tool",
    "ToolCall",
    "as_chat",
]

Role: TypeAlias = Literal["system", "developer", "user", "assistant", "tool"]

Effort: TypeAlias = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]
"""How much a model should think."""

Cache: TypeAlias = Literal["", "5m", "1h"]
"""A cache mark, and how long it lasts: all of the request up to here is worth keeping."""


class TextPart(msgspec.Struct, frozen=True, tag="text"):
    """Text."""

    text: str
    cache: Cache = ""
    native: Native | None = None
    """How its own format writes the part, if its other fields are not enough. All parts have
    this."""


class ReasoningPart(msgspec.Struct, frozen=True, tag="reasoning"):
    """What the model thought. `text` may be empty where the service hides it."""

    text: str
    native: Native | None = None


class RefusalPart(msgspec.Struct, frozen=True, tag="refusal"):
    """The text in which the model declined."""

    text: str
    native: Native | None = None


class ImagePart(msgspec.Struct, frozen=True, tag="image"):
    """A picture: an http(s) or `data:` URL. `detail` is auto, low, high, original, or empty."""

    url: str
    detail: str = ""
    cache: Cache = ""
    native: Native | None = None

    @classmethod
    def of_bytes(cls, data: bytes, media_type: str) -> "ImagePart":
        """A picture given by its bytes."""
        return cls(f"data:{media_type};base64,{b64encode(data).decode()}")


class FilePart(msgspec.Struct, frozen=True, tag="file"):
    """A document, audio or video, as `media_type` says: an http(s), `data:`, `gs:` or `s3:` URL."""

    url: str
    media_type: str = ""
    name: str = ""
    cache: Cache = ""
    native: Native | None = None

    @classmethod
    def of_bytes(cls, data: bytes, media_type: str, name: str = "") -> "FilePart":
        """A file given by its bytes."""
        return cls(f"data:{media_type};base64,{b64encode(data).decode()}", media_type, name)


class ToolCall(msgspec.Struct, frozen=True, tag="tool_call"):
    """A call that the assistant made. `arguments` is text as it was sent: JSON, or free text if
    the call is `custom`. `id` is empty if the service gave none."""

    id: str
    name: str
    arguments: str
    custom: bool = False
    cache: Cache = ""
    native: Native | None = None

    def result(self, content: "str | Sequence[Part]", failed: bool = False) -> "Message":
        """The tool message that answers this call. `failed`: the tool failed."""
        content = content if isinstance(content, str) else tuple(content)
        return Message("tool", content, tool_call_id=self.id, failed=failed)


class Opaque(msgspec.Struct, frozen=True, tag="opaque"):
    """A part, or a tool, that only its own format understands."""

    native: Native


Part: TypeAlias = TextPart | ReasoningPart | RefusalPart | ImagePart | FilePart | ToolCall | Opaque


class Tool(msgspec.Struct, frozen=True):
    """A function that the model may call; `parameters` is a JSON Schema. `strict`: whether the
    service must follow the schema; None is the format's default."""

    name: str
    description: str = ""
    parameters: dict[str, Any] = {}
    strict: bool | None = None
    cache: Cache = ""
    native: Native | None = None


class Message(msgspec.Struct, frozen=True):
    """One message.

    `tool_call_id` is the id of the call that a message of role `tool` answers; results without one
    answer the calls in order. `failed`: that tool failed. `extra` holds further fields of chat
    completions (`prefix`, `partial`), which other formats refuse.
    """

    role: Role
    content: str | tuple[Part, ...] = ""
    tool_call_id: str = ""
    name: str = ""
    failed: bool = False
    extra: dict[str, Any] = {}

    @property
    def parts(self) -> tuple[Part, ...]:
        """The content as parts; an empty text has none."""
        if isinstance(self.content, str):
            return (TextPart(self.content),) if self.content else ()
        return self.content

    @property
    def text(self) -> str:
        """The text parts, joined."""
        if isinstance(self.content, str):
            return self.content
        return "".join(part.text for part in self.content if isinstance(part, TextPart))

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """The tool calls among the parts."""
        return tuple(part for part in self.parts if isinstance(part, ToolCall))

    def replace(self, **changes: Any) -> "Message":
        """A copy with `changes`."""
        return msgspec.structs.replace(self, **changes)

    def plain(self) -> "Message":
        """A copy without native forms, for another service or another model: signed thoughts
        are bound to the one that signed them. Parts that only have a native form are left out."""
        if isinstance(self.content, str):
            return self
        return self.replace(content=tuple(_plain(self.content)))


class Chat(msgspec.Struct, frozen=True, kw_only=True):
    """A question. Options that are None or empty are not sent; one that the format can't express is
    refused before anything is sent.

    `model` may be empty (the provider's default) or an alias.
    """

    messages: tuple[Message, ...]
    model: str = ""
    tools: tuple[Tool | Opaque, ...] = ()
    """Their order is kept, since prompt caches depend on it."""
    tool_choice: str | None = None
    """`auto`, `none`, `required`, or the name of a tool."""
    parallel: bool | None = None
    """False asks for one tool call at a time."""
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    n: int | None = None
    """How many answers to give, each as a choice."""
    seed: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    logprobs: int | None = None
    """How many alternatives to report for each token, with their log probabilities; 0: only the
    chosen token."""
    effort: Effort | None = None
    schema: dict[str, Any] | None = None
    """JSON Schema of the answer; `{}` is any JSON."""
    stream: bool = True
    extra: dict[str, Any] = {}
    """Any other fields of the request, as the format spells them. Objects are merged at every
    depth; a value given here wins."""

    def replace(self, **changes: Any) -> "Chat":
        """A copy with `changes`."""
        return msgspec.structs.replace(self, **changes)

    def then(self, answer: "Reply | Choice | Message | str", *more: Message | str) -> "Chat":
        """A copy that continues the conversation: the assistant's `answer`, then messages, or texts
        of the user."""
        if isinstance(answer, str):
            answer = Message("assistant", answer)
        said = answer if isinstance(answer, Message) else answer.message()
        following = (m if isinstance(m, Message) else Message("user", m) for m in more)
        return self.replace(messages=(*self.messages, said, *following))

    def plain(self) -> "Chat":
        """A copy without native forms, for another service: see `Message.plain`."""
        return self.replace(
            messages=tuple(message.plain() for message in self.messages),
            tools=tuple(_plain_tools(self.tools)),
        )

    def options(self) -> list[str]:
        """The names of the options that are set."""
        return [name for name in _OPTIONS if getattr(self, name) not in (None, ())]


_OPTIONS = tuple(
    name for name in Chat.__struct_fields__ if name not in ("messages", "model", "stream", "extra")
)


def _plain(parts: Sequence[Part]) -> Iterator[Part]:
    for part in parts:
        if not isinstance(part, Opaque):
            yield part if part.native is None else msgspec.structs.replace(part, native=None)


def _plain_tools(tools: Sequence[Tool | Opaque]) -> Iterator[Tool]:
    for tool in tools:
        if not isinstance(tool, Opaque):
            yield tool if tool.native is None else msgspec.structs.replace(tool, native=None)


def as_chat(question: "Chat | str | Sequence[Message | Mapping[str, Any]]", **options: Any) -> Chat:
    """Make a `Chat` of a text, a list of messages, or another chat. `options` are fields of `Chat`.

    A message may be a mapping in the form of chat completions (`role`, `content`, `tool_calls`,
    ...), and so may a tool of type `function`. Keys that tokenwire does not know are kept in the
    native form. A tool of any other type is sent as it is. Raises LocalProtocolError for anything
    else.
    """
    options = dict(options)
    for name in ("tools", "stop"):
        if name in options:
            options[name] = _several(options[name], name)
    if "tools" in options:
        options["tools"] = tuple(map(_tool, options["tools"]))
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
    return Chat(messages=tuple(map(_message, given)), **options)


def _several(value: Any, name: str) -> tuple[Any, ...]:
    """The items of an option that takes several."""
    if isinstance(value, str | Tool | Opaque) or hasattr(value, "keys"):
        return (value,)
    try:
        return tuple(value or ())
    except TypeError:
        raise LocalProtocolError(f"{name}: give a list") from None


def _message(value: Message | Mapping[str, Any]) -> Message:
    if isinstance(value, Message):
        return value
    from .mappings import message_of  # most programs give text

    return message_of(value)


def _tool(value: Tool | Opaque | Mapping[str, Any]) -> Tool | Opaque:
    if isinstance(value, Tool | Opaque):
        return value
    from .mappings import tool_of

    return tool_of(value)
