"""The options and the further fields of a request, as a service can be sent them."""

from collections.abc import Container, Iterator
from math import inf
from typing import Any, get_args

from ..protocols.chat import Chat, Effort, Tool
from ..protocols.toolkit.json import is_object
from .judge import Judge, is_empty
from .matrix import (
    BUDGETS,
    FREE,
    HINTS,
    IMPLIED,
    NEUTRAL,
    PAIRS,
    STOPS,
    TEMPERATURES,
    TOP_K,
)

__all__ = ["fields_of", "options_of"]

_EFFORTS: tuple[Effort, ...] = get_args(Effort)
_BUDGETS: tuple[tuple[float, Effort], ...] = ((2048, "low"), (8192, "medium"), (inf, "high"))
"""The most tokens of a thinking budget, and the effort that it is."""


def options_of(judge: Judge, chat: Chat) -> dict[str, Any]:
    """The options of `chat`, but for its tools. Raises BadRequest."""
    return {name: _option(judge, name, chat) for name in chat.options() if name != "tools"}


def fields_of(judge: Judge, extra: dict[str, Any]) -> tuple[dict[str, Any], Effort | None]:
    """The further fields of a request, and the effort that they say. Raises BadRequest."""
    if judge.same:
        return extra, None
    pairs = PAIRS.get((judge.front.name, judge.back.name), {})
    kept: dict[str, Any] = {}
    effort: Effort | None = None
    for path, value in _paths(judge, extra, pairs):
        if path in pairs:
            _put(kept, pairs[path], value)
        elif value in IMPLIED.get(path, ()):
            judge.losses.add("hints")
        elif path == BUDGETS.get(judge.front.name) and isinstance(value, int):
            judge.says("effort_from_budget", path)
            effort = next(word for most, word in _BUDGETS if value <= most)
        else:
            known = path in judge.front.knows
            judge.leave_out(path, "" if known else "an unknown field", path)
    return kept, effort


def _paths(
    judge: Judge, fields: dict[str, Any], pairs: Container[str], under: str = ""
) -> Iterator[tuple[str, Any]]:
    """The fields that say something, each with its path; hints among them are counted."""
    for key, value in fields.items():
        path = f"{under}{key}"
        if is_empty(value):
            continue
        if path in pairs:
            yield path, value
        elif path in judge.front.hints or path in HINTS.get(judge.front.name, ()):
            judge.losses.add("hints")
        elif is_object(value) and path not in FREE:
            yield from _paths(judge, value, pairs, f"{path}.")
        else:
            yield path, value


def _put(fields: dict[str, Any], path: str, value: Any) -> None:
    """Put a field where its path says."""
    first, _, rest = path.partition(".")
    if rest:
        _put(fields.setdefault(first, {}), rest, value)
    else:
        fields[first] = value


def _option(judge: Judge, name: str, chat: Chat) -> Any:
    """The value of an option that is set, as the service can be sent it."""
    value = getattr(chat, name)
    if judge.same:
        return value
    match name:
        case "tool_choice":
            return _tool_choice(judge, value, chat)
        case "effort":
            return _effort(judge, value)
        case "logprobs":
            return _logprobs(judge, value)
        case "temperature":
            most = TEMPERATURES.get(judge.back.name, value)
            if value > most:
                raise judge.refuse(name, f"{value} (at most {most})")
        case "stop":
            most = STOPS.get(judge.back.name, len(value))
            if len(value) > most:
                raise judge.refuse(name, f"{len(value)} sequences (at most {most})")
        case "schema":
            if chat.tools:
                judge.need("schema_with_tools", name, "beside tools")
            if not value and not judge.says("json_mode", name, "any JSON"):
                return None
        case _:
            pass
    taken = name in judge.takes and not (name == "top_k" and _lacks_top_k(judge, chat.model))
    if value == NEUTRAL.get(name) and not (taken and judge.rule(name) == "="):
        return None
    unset = () if name == "stop" else None
    return value if judge.says(name, name, taken=taken) else unset


def _lacks_top_k(judge: Judge, model: str) -> bool:
    """Whether models of this vendor have no field for it: those of a service of many vendors are
    called after them, perhaps after a region (`us.anthropic.claude-x`)."""
    vendors = TOP_K.get(judge.back.name)
    return vendors is not None and vendors.isdisjoint(model.split(".")[:2])


def _tool_choice(judge: Judge, choice: str, chat: Chat) -> str | None:
    called = any(message.role == "tool" or message.tool_calls for message in chat.messages)
    if choice == "none" and called:
        judge.need("tool_choice_none", "tool_choice", "none, after calls,")
    if choice in ("auto", "none"):
        return choice
    judge.need("tool_choice", "tool_choice", taken="tool_choice" in judge.takes)
    names = [tool.name for tool in chat.tools if isinstance(tool, Tool)]
    if judge.back.name == "cohere" and choice not in ("required", *names):
        raise judge.refuse("tool_choice", "a tool that is not there")
    return choice


def _effort(judge: Judge, effort: Effort) -> Effort | None:
    """The effort, or the nearest lower one that the service knows."""
    own = judge.provider.effort
    known = judge.back.efforts if own is None else own
    words = [word for word in _EFFORTS if word in known and "effort" in judge.takes]
    if judge.says("effort", "effort", repr(effort), taken=effort in words):
        return effort
    lower = _EFFORTS[: _EFFORTS.index(effort)]
    return next((word for word in reversed(words) if word in lower), None)


def _logprobs(judge: Judge, most: int) -> int | None:
    chosen = "chosen_logprobs" in judge.takes  # those of the tokens that were chosen
    if chosen and most == 0:
        return most
    if judge.says("logprobs", "logprobs", taken="logprobs" in judge.takes):
        return most
    return 0 if chosen else None
