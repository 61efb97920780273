"""The default answer of a server: the question, returned word by word.

`echo(provider)` uses only events that the provider's format can write, and always gives the same
answer to the same chat: no clock, no randomness.
"""

import re
import struct
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from .chat import Chat, Tool
from .dialect import Dialect
from .errors import BadRequest
from .events import (
    Event,
    Finish,
    FinishKind,
    Image,
    LogProbs,
    Start,
    Text,
    TokenLogProb,
    ToolCallDelta,
    ToolCallEnd,
    ToolCallStart,
    Usage,
)
from .provider import Provider
from .refusing import refuse
from .sample import sample
from .toolkit.json import is_object

__all__ = ["echo", "picture"]

LONGEST = 4 * 1024 * 1024
"""Characters of an answer, in all its choices. An answer that is not streamed is made at once, and
meanwhile the server does nothing else."""


def echo(provider: Provider) -> Callable[[Chat], Iterator[Event]]:
    """An answer function for `provider`: the last user message's text, with the names of the
    provider and the model before it, one `Text` per word; a picture if the format has only that.

    If the format can write them, there are also usage (counted in words), `Chat.n` choices, and a
    tool call if `tool_choice` demands one or the question mentions the tool's name; its arguments
    fit its schema, or are `{"question": ...}`. After the tool's result, the answer repeats that
    too. Where `Chat.schema` demands JSON, the answer is that (`sample`). `stop` and `max_tokens` (a
    word is a token) end it; each word is certain if `logprobs` asks.

    Raises BadRequest, as services do, if the answer would be longer than `LONGEST`.
    """
    dialect = provider.dialect

    def answer(chat: Chat) -> Iterator[Event]:
        question = _question(chat)
        model = chat.model or provider.default_model
        text = f"{provider.name} {model} was asked: {question}"
        if len(text) * (chat.n or 1) > LONGEST:
            raise refuse(
                BadRequest, 400, "the question is too long for this", "context_length_exceeded"
            )
        says = dialect.says_to(chat.replace(model=model))
        if not dialect.line_ends:
            text = _LINE_END.sub(" ", text)  # by a blank, so that words stay apart
        said = _completion(chat, dialect, model, question, text)
        return (event for event in said if type(event) in says)

    return answer


def picture(prompt: str) -> bytes:
    """A PNG (https://www.w3.org/TR/png-3/) of 64 by 64 pixels, whose colours depend on `prompt`."""
    size = 64
    red, green, blue = zlib.crc32(prompt.encode(errors="replace")).to_bytes(4, "big")[:3]
    rows = b"".join(
        # Each row begins with its filter type, 0 for none.
        b"\0"
        + b"".join(bytes(((red + 4 * x) % 256, (green + 4 * y) % 256, blue)) for x in range(size))
        for y in range(size)
    )
    # 8 bits a sample, RGB, the one compression and filter method there is, not interlaced.
    head = struct.pack(">IIBBBBB", size, size, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        (_png_chunk(b"IHDR", head), _png_chunk(b"IDAT", zlib.compress(rows)), _png_chunk(b"IEND"))
    )


def _png_chunk(kind: bytes, data: bytes = b"") -> bytes:
    checksum = zlib.crc32(kind + data)
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum)


def _completion(
    chat: Chat, dialect: Dialect, model: str, question: str, text: str
) -> Iterator[Event]:
    says = dialect.says_to(chat.replace(model=model))
    yield Start("", model)  # the server half makes up an id, another one for each answer
    if Text not in says:
        yield Image(picture(question), "image/png", prompt=question)
    indexes = range(chat.n or 1)
    words: list[str] = []
    arguments, detail = "", ""
    kind: FinishKind
    tool = _tool_to_call(chat, question) if ToolCallStart in says else None
    if tool is None:
        if chat.schema is not None:
            text = _json(chat.schema, question)
        elif _has_result(chat):
            text += f" (the tool said: {chat.messages[-1].text})"
        words, kind, detail = _ended(text, chat)
    else:
        arguments, kind = _json(tool.parameters, question, arguments=True), "tool_call"
    for index in indexes:
        for word in words:
            yield Text(word, index=index)
            if chat.logprobs is not None:
                yield LogProbs([_certain(word, chat.logprobs)], index=index)
        if tool is not None:
            middle = len(arguments) // 2
            yield ToolCallStart(0, f"call_{index}", tool.name, index=index)
            yield ToolCallDelta(0, arguments[:middle], index)
            yield ToolCallDelta(0, arguments[middle:], index)
    asked = sum(len(message.text.split()) for message in chat.messages)
    said = len(words or arguments.split()) * len(indexes)
    yield Usage(input_tokens=asked, output_tokens=said, total_tokens=asked + said)
    for index in indexes:
        if tool is not None:
            yield ToolCallEnd(0, f"call_{index}", tool.name, arguments, True, index=index)
        own = dialect.stop_sequence if detail else ""
        yield Finish(own or dialect.reason(kind), kind, detail, index)
    yield dialect.end()


def _json(schema: dict[str, Any], question: str, *, arguments: bool = False) -> str:
    """JSON that fits `schema`; an object that may have any keys has the question. The `arguments`
    of a tool are always an object, whatever its schema says."""
    value: Any = sample(schema, question) if schema else {}
    if arguments and not is_object(value):
        value = {}
    if value == {} and schema.get("additionalProperties") is not False:
        value = {"question": question}
    return msgspec.json.encode(value).decode()


def _ended(text: str, chat: Chat) -> tuple[list[str], FinishKind, str]:
    """The words of `text` before the first stop sequence, as many as are allowed; why there are no
    more, and the stop sequence."""
    found = [(place, end) for end in chat.stop if end and (place := text.find(end)) >= 0]
    place, stop = min(found, default=(len(text), ""))
    words = _WORD.findall(text[:place])  # each with the white space after it
    if chat.max_tokens is not None and len(words) > chat.max_tokens:
        return words[: chat.max_tokens], "length", ""
    return words, "stop", stop


def _certain(word: str, alternatives: int) -> TokenLogProb:
    """The only token that could have come."""
    spelled = list(word.encode(errors="replace"))
    likeliest = [TokenLogProb(word, 0.0, spelled)][:alternatives]
    return TokenLogProb(word, 0.0, spelled, likeliest)


def _tool_to_call(chat: Chat, question: str) -> Tool | None:
    if chat.tool_choice == "none" or _has_result(chat):
        return None
    tools = [tool for tool in chat.tools if isinstance(tool, Tool)]
    for tool in tools:
        if chat.tool_choice == tool.name:
            return tool
    for tool in tools:
        if tool.name in question:
            return tool
    return tools[0] if tools and chat.tool_choice == "required" else None


def _has_result(chat: Chat) -> bool:
    """Whether the chat ends with a tool's result: then calling it again would never end."""
    return chat.messages[-1].role == "tool"


def _question(chat: Chat) -> str:
    for message in reversed(chat.messages):
        if message.role == "user":
            return message.text
    return ""


_WORD = re.compile(r"\s*\S+\s*")
_LINE_END = re.compile(r"\r\n|\r|\n")
