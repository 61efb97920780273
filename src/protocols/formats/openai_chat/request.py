"""A chat as the body of a request for a chat completion.

Source: the API reference of chat completions (platform.openai.com/docs/api-reference/chat). Where
services differ, the provider says how.
"""

from collections.abc import Sequence
from typing import Any

from ...chat import (
    Cache,
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
from ...encoding import (
    add_piece,
    call_ids,
    input_audio,
    merge,
    parts_to_write,
    result_text,
    tools_to_write,
)
from ...errors import LocalProtocolError
from ...mappings import DIALECT
from ...provider import Provider
from ...toolkit.json import is_list, is_object
from ...toolkit.media import data_of

__all__ = ["MessageWriter", "encode_chat"]

_SAME = ("temperature", "top_p", "top_k", "n", "seed", "presence_penalty", "frequency_penalty")
"""Options that the body has by the same name."""
_LIMITS = ("max_tokens", "max_completion_tokens")
"""The names of the same limit. Services refuse, or obey in part, a request with both."""


def encode_chat(
    chat: Chat, model: str, provider: Provider, writer: "type[MessageWriter] | None" = None
) -> dict[str, Any]:
    """The request body of `chat`, without what is not set. `writer` writes its messages. Raises
    LocalProtocolError."""
    writer = writer or MessageWriter
    ids = writer.ids(chat.messages)
    messages = [
        writer(message, place, ids, provider).write() for place, message in enumerate(chat.messages)
    ]
    if provider.system == "first":
        messages = _system_first(messages)
    body: dict[str, Any] = {"model": model, "messages": messages, "stream": chat.stream}
    if chat.tools:
        body["tools"] = [
            tool_value if tool_value is not None else _tool(tool)
            for tool, tool_value in tools_to_write(chat.tools, writer.dialect)
        ]
    for name in _SAME:
        if (value := getattr(chat, name)) is not None:
            body[name] = value
    if chat.stop:
        body["stop"] = chat.stop
    if chat.max_tokens is not None:
        if not chat.extra.keys().isdisjoint(_LIMITS):
            raise LocalProtocolError("max_tokens is given twice: leave it out of extra")
        body[provider.max_tokens] = chat.max_tokens
    if chat.tool_choice is not None:
        body["tool_choice"] = _tool_choice(chat.tool_choice, body.get("tools", ()))
    if chat.parallel is not None:
        body["parallel_tool_calls"] = chat.parallel
    if chat.logprobs is not None:
        body["logprobs"] = True
        if chat.logprobs:
            body["top_logprobs"] = chat.logprobs
    if chat.schema is not None:
        body["response_format"] = _response_format(chat.schema, provider)
    if chat.effort is not None:
        patch = {"reasoning_effort": chat.effort}
        body = merge(body, patch if provider.effort is None else provider.effort[chat.effort])
    if chat.stream and provider.ask_usage:
        body["stream_options"] = {"include_usage": True}
    return body


class MessageWriter:
    """Writes one message: collects what its parts say, each in its place, and puts that together.

    `ids`: see `call_ids`; `place`: of the message in the conversation. A format that is a subclass
    derives its own.
    """

    dialect = DIALECT
    """The format whose native forms are written as they are."""

    @staticmethod
    def ids(messages: Sequence[Message]) -> dict[tuple[int, int], str]:
        """The ids of calls and results: see `call_ids`."""
        return call_ids(messages)

    def __init__(
        self, message: Message, place: int, ids: dict[tuple[int, int], str], provider: Provider
    ) -> None:
        self._message = message
        self._place = place
        self._ids = ids
        self._provider = provider
        self._content: list[Any] = []
        self._calls: list[Any] = []
        self._thoughts: list[str] = []
        self._refusals: list[str] = []
        self._pieces: dict[str, Any] = {}  # the rest of native forms

    def write(self) -> dict[str, Any]:
        """The message. Raises LocalProtocolError for what it can't say."""
        message, number = self._message, 0
        for part, native in parts_to_write(message, self.dialect):
            if isinstance(part, ToolCall):
                self._add_call(part, self._ids[self._place, number], native)
                number += 1
            elif native is not None:
                self._add_native(part, native)
            else:
                self._add(part)
        role = message.role
        if role == "developer" and not self._provider.developer:
            role = "system"
        written: dict[str, Any] = {"role": role, "content": self._content_value()}
        if message.name:
            written["name"] = message.name
        if role == "tool":
            written["tool_call_id"] = self._ids[self._place, -1]
        if self._refusals:
            written["refusal"] = "".join(self._refusals)
        if self._calls:
            written["tool_calls"] = self._calls
        thoughts = self._thoughts_value()
        if thoughts is not None:
            written[self._provider.history] = thoughts
        add_piece(written, self._pieces)
        said = self._content or self._calls or self._refusals or self._pieces
        if message.parts and not said and thoughts is None:
            raise LocalProtocolError(
                f"nothing of the {message.role} message can be said here: leave it out"
            )
        return merge(written, message.extra)

    def _add(self, part: Part) -> None:
        match part:
            case TextPart():
                self._content.append(_marked({"type": "text", "text": part.text}, part.cache))
            case RefusalPart():
                self._expect(part, "assistant")
                self._refusals.append(part.text)
            case ReasoningPart():
                self._expect(part, "assistant")
                self._thoughts.append(part.text)
            case ImagePart():
                self._expect(part, "user")
                image = {"url": part.url} | ({"detail": part.detail} if part.detail else {})
                self._content.append(_marked({"type": "image_url", "image_url": image}, part.cache))
            case _:
                assert isinstance(part, FilePart)  # calls and native forms have their own methods
                self._expect(part, "user")
                self._content.append(_marked(self._file(part), part.cache))

    def _add_call(self, call: ToolCall, id: str, native: Any) -> None:
        self._expect(call, "assistant")
        if is_object(native) and is_list(calls := native.get("tool_calls")):
            self._calls += ({**c, "id": id} if is_object(c) else c for c in calls)
            return
        key, text = ("custom", "input") if call.custom else ("function", "arguments")
        value: dict[str, Any] = {
            "id": id,
            "type": key,
            key: {"name": call.name, text: call.arguments},
        }
        self._calls.append(_marked(value, call.cache))

    def _add_native(self, part: Part, native: Any) -> None:
        """A piece of the message."""
        if not is_object(native):
            raise LocalProtocolError(f"a native form of {self.dialect} is a piece of a message")
        piece = dict(native)
        if is_list(content := piece.pop("content", None)):
            self._content += content
        if "reasoning_details" in piece and self._provider.history != "reasoning_details":
            del piece["reasoning_details"]
            if isinstance(part, ReasoningPart):
                self._thoughts.append(part.text)
        add_piece(self._pieces, piece)

    def _thoughts_value(self) -> Any:
        """What the field that the provider has for thoughts gets; None: nothing."""
        field, text = self._provider.history, "".join(self._thoughts)
        if not field or self._message.role != "assistant":
            return None
        if field == "reasoning_details":
            return [{"type": "reasoning.text", "text": text}] if text else None
        return text if text or (self._calls and self._provider.history_required) else None

    def _content_value(self) -> Any:
        message, content = self._message, self._content
        text_only = message.role in self._provider.text_only
        if (text_only or message.role == "tool") and not all(map(_is_text, content)):
            raise LocalProtocolError(
                f"a {message.role} message of {self._provider.name} takes text only"
            )
        if message.failed:
            text = "".join(part["text"] for part in content)
            if result_text(message, text) != text:
                content.insert(0, {"type": "text", "text": "Error: "})
        if not all(_is_text(part) and len(part) == 2 for part in content):
            return content  # a part of another type, or one with a mark
        if len(content) > 1 and message.role in ("system", "developer", "user") and not text_only:
            return content
        text = "".join(part["text"] for part in content)
        return text if text or not self._calls else None

    def _file(self, part: FilePart) -> dict[str, Any]:
        _, data = data_of(part.url)
        if data is None:
            raise LocalProtocolError(
                "chat completions can't take a file by its address: give its bytes "
                "(FilePart.of_bytes)"
            )
        if (audio := input_audio(part)) is not None:
            return audio
        file = {"file_data": part.url}
        return {"type": "file", "file": {"filename": part.name, **file} if part.name else file}

    def _expect(self, part: Part, role: str) -> None:
        if self._message.role != role:
            kind, role = type(part).__name__, self._message.role
            raise LocalProtocolError(f"{kind} has no place in {role} messages: leave it out")


def _is_text(part: Any) -> bool:
    return is_object(part) and part.get("type") == "text" and isinstance(part.get("text"), str)


def _tool(tool: Tool | Opaque) -> dict[str, Any]:
    assert isinstance(tool, Tool)  # an Opaque has a native form
    function: dict[str, Any] = {"name": tool.name}
    if tool.description:
        function["description"] = tool.description
    function["parameters"] = tool.parameters or {"type": "object", "properties": {}}
    if tool.strict is not None:
        function["strict"] = tool.strict
    return _marked({"type": "function", "function": function}, tool.cache)


def _tool_choice(choice: str, tools: Sequence[Any]) -> Any:
    if choice in ("auto", "none", "required"):
        return choice
    for tool in tools:
        custom = tool.get("custom") if is_object(tool) else None
        if is_object(custom) and custom.get("name") == choice:
            return {"type": "custom", "custom": {"name": choice}}
    return {"type": "function", "function": {"name": choice}}


def _response_format(schema: dict[str, Any], provider: Provider) -> dict[str, Any]:
    if not schema or provider.schema == "json_object":
        return {"type": "json_object"}
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}


def _marked(value: dict[str, Any], cache: Cache) -> dict[str, Any]:
    if cache:
        mark = {"type": "ephemeral"} | ({"ttl": "1h"} if cache == "1h" else {})
        value["cache_control"] = mark
    return value


def _system_first(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """`messages` with those of the system merged into one, at the start."""
    system = [message for message in messages if message["role"] in ("system", "developer")]
    if not system or (len(system) == 1 and messages[0] is system[0]):
        return messages
    texts = [message["content"] for message in system]
    if not all(isinstance(text, str) for text in texts):
        raise LocalProtocolError("several system messages can be merged only if they are text")
    others = [message for message in messages if message not in system]
    return [{**system[0], "content": "\n\n".join(texts)}, *others]
