"""From the format of a caller to that of a service.

A chat was decoded by the server half of the caller's format (the front), and is to be encoded by
the client half of the service's (the back). What the back can't say is refused here in the caller's
words, or left out and counted, as `matrix` says: nothing is dropped in silence. `answers` is the
way back.
"""

import re
from collections.abc import Container, Iterator, Sequence
from typing import Any, Protocol

import msgspec

from ..protocols.chat import Chat, Opaque, Tool
from ..protocols.dialect import Dialect
from ..protocols.encoding import value_of
from ..protocols.errors import BadRequest, LocalProtocolError
from ..protocols.events import Native
from ..protocols.provider import Provider
from ..protocols.refusing import refuse
from ..protocols.toolkit.json import is_object
from .judge import Judge, type_of
from .matrix import MARKS, NEEDS_MAX_TOKENS, REQUESTS, TOOL_NAMES, field_of
from .messages import messages_of
from .options import fields_of, options_of

__all__ = ["Back", "Translated", "translated"]


class Back(Protocol):
    """What is asked: a target of the configuration."""

    @property
    def provider(self) -> Provider:
        """The service."""
        ...

    @property
    def max_tokens(self) -> int | None:
        """The most tokens of an answer, if the caller does not say."""
        ...


class Translated(msgspec.Struct, frozen=True):
    """A chat as the target can be asked it. `losses`: the rows of the matrix by which something was
    left out."""

    chat: Chat
    losses: tuple[str, ...]


def translated(chat: Chat, front: Dialect, target: Back, allow: Container[str]) -> Translated:
    """What a caller of `front` asks, for `target`. `chat.model` is the model's name there, `allow`
    the losses that the operator has allowed.

    Raises BadRequest (400), which names the field, for what the target can't be asked.
    """
    judge = Judge(front, target.provider, allow)
    extra, effort = fields_of(judge, chat.extra)
    told = chat.replace(
        messages=messages_of(judge, chat),
        tools=tuple(_tools(judge, chat.tools)),
        effort=chat.effort or effort,
        max_tokens=target.max_tokens if chat.max_tokens is None else chat.max_tokens,
        extra=extra,
    )
    told = told.replace(**options_of(judge, told))
    _check(judge, told)
    return Translated(told, tuple(name for name in REQUESTS if name in judge.losses))


def _check(judge: Judge, chat: Chat) -> None:
    """Raises BadRequest for what only the whole of a chat shows."""
    back, provider = judge.back.name, judge.provider
    limited = {**provider.fields, **chat.extra}.keys() >= {"max_tokens"}
    if back in NEEDS_MAX_TOKENS and chat.max_tokens is None and not limited:
        raise refuse(BadRequest, 400, f"{field_of('max_tokens', judge.front.name)}: it is needed")
    marked: list[Any] = [*chat.tools, *(part for m in chat.messages for part in m.parts)]
    count = sum(bool(getattr(each, "cache", "")) for each in marked)
    if count > MARKS.get(back, count) and not judge.same:
        raise judge.refuse("messages", f"{count} cache marks (at most {MARKS[back]})")
    try:
        provider.check(chat)
    except LocalProtocolError as error:
        field = field_of("messages", judge.front.name)
        raise refuse(BadRequest, 400, f"{field}: {error.message}") from None


def _tools(judge: Judge, tools: Sequence[Tool | Opaque]) -> Iterator[Tool | Opaque]:
    if judge.same:
        yield from tools
        return
    pattern = TOOL_NAMES.get(judge.back.name, "(?s).*")
    agreed = len({bool(tool.strict) for tool in tools if isinstance(tool, Tool)}) < 2
    for tool in tools:
        if isinstance(tool, Opaque):
            if (custom := _custom(judge, tool)) is not None:
                yield custom
            else:
                what = f"a tool of the type {type_of(tool)[:80]!r}"
                judge.says("own_tools", "tools", what)
        elif re.fullmatch(pattern, tool.name):
            yield _tool(judge, tool, agreed)
        else:
            raise judge.refuse("tools", f"the name {tool.name[:80]!r}")


def _tool(judge: Judge, tool: Tool, agreed: bool) -> Tool:
    """`agreed`: whether all tools are strict, or none."""
    said = (tool.name, tool.description, tool.parameters, tool.strict, tool.cache)
    judge.leave_out_further(tool.native, said, "tools")
    strict = tool.strict
    if strict is not None:
        taken = "strict" in judge.takes and (agreed or judge.back.name != "cohere")
        unsaid = not (taken and judge.rule("strict") == "=")
        if unsaid and not strict:
            strict = None  # it says nothing
        elif not judge.says("strict", "tools", f"strict of {tool.name!r}", taken=taken):
            strict = None
    cache = judge.cache(tool.cache)
    return msgspec.structs.replace(tool, native=None, strict=strict, cache=cache)


def _custom(judge: Judge, tool: Opaque) -> Opaque | None:
    """A tool that is called with free text: both of OpenAI's formats have it, each in its form.
    None: it is not one, or is for another format."""
    value = value_of(tool.native)
    if not is_object(value) or value.get("type") != "custom":
        return None
    match judge.front.name, judge.back.name:
        case "openai_chat", "openai_responses":
            said: dict[str, Any] = {"type": "custom", **_object(value, "custom")}
            form = said.get("format")
            if is_object(form) and is_object(form.get("grammar")):
                said["format"] = {**form, **form["grammar"]}
                del said["format"]["grammar"]
        case "openai_responses", "openai_chat":
            custom = {key: each for key, each in value.items() if key != "type"}
            form = custom.get("format")
            if is_object(form) and form.get("type") == "grammar":
                grammar = {key: each for key, each in form.items() if key != "type"}
                custom["format"] = {"type": "grammar", "grammar": grammar}
            said = {"type": "custom", "custom": custom}
        case _:
            return None
    return Opaque(Native(judge.back.name, msgspec.json.encode(said)))


def _object(value: dict[str, Any], key: str) -> dict[str, Any]:
    inner = value.get(key)
    return inner if is_object(inner) else {}
