"""The options of a chat that the command takes as text, or in files: -O, --tool and --schema."""

from collections.abc import Iterable
from contextlib import suppress
from difflib import get_close_matches
from pathlib import Path
from typing import Any, get_args

import msgspec

from ..protocols.chat import Chat, Effort, Opaque, Tool
from ..protocols.errors import LocalProtocolError
from ..protocols.mappings import tool_of
from ..protocols.toolkit.json import is_list, is_object
from ..protocols.toolkit.lines import BOM

__all__ = ["OPTIONS", "chat_options", "read_file", "read_schema", "read_text", "read_tools"]

_ELSEWHERE = {
    "messages": "give the question, and --system",
    "model": "use --model",
    "tools": "use --tool",
    "schema": "use --schema",
    "extra": "give each of its fields with an -O of its own",
}
_TYPES = {
    field.name: field.type for field in msgspec.structs.fields(Chat) if field.name not in _ELSEWHERE
}
OPTIONS = tuple(_TYPES)
"""The fields of `Chat` that -O sets."""

_WORDS: dict[Any, str] = {
    Effort: ", ".join(get_args(Effort)),
    float: "a number",
    int: "a whole number",
    bool: "true or false",
}


def chat_options(pairs: Iterable[str]) -> dict[str, Any]:
    """Fields of `Chat`, of `NAME=VALUE` pairs: the value is JSON, else text; the last one of a name
    counts. Other names are fields of the request, in `extra`. Raises LocalProtocolError."""
    options: dict[str, Any] = {}
    extra: dict[str, Any] = {}
    for pair in pairs:
        name, equals, text = pair.lstrip().partition("=")
        if not (name and equals):
            raise LocalProtocolError(f"-O {pair}: give NAME=VALUE, as in -O temperature=0.2")
        if name in _ELSEWHERE:
            raise LocalProtocolError(f"-O {name}: {_ELSEWHERE[name]}")
        if name in _TYPES:
            options[name] = _value(name, text)
        else:
            for meant in get_close_matches(name.replace("-", "_"), OPTIONS, 1, 0.85):
                raise LocalProtocolError(f"-O {name}: did you mean {meant}?")
            extra[name] = _json_or_text(text)
    return {**options, "extra": extra} if extra else options


def read_tools(paths: Iterable[Path]) -> list[Tool | Opaque]:
    """The tools in files, each a JSON object or a list of them: in the form of chat completions; as
    that has them inside, `{"name": ..., "description": ..., "parameters": ...}`; or in the form of
    the service that is asked. Raises LocalProtocolError."""
    tools: list[Tool | Opaque] = []
    for path in paths:
        value = _read_json(path)
        for tool in value if is_list(value) else [value]:
            if not is_object(tool):
                raise LocalProtocolError(f"{path}: a tool is a JSON object")
            plain = "name" in tool and not tool.keys() - _TOOL_KEYS
            try:
                tools.append(tool_of({"type": "function", "function": tool} if plain else tool))
            except LocalProtocolError as error:
                raise LocalProtocolError(f"{path}: {error}") from None
    return tools


_TOOL_KEYS = frozenset(("name", "description", "parameters", "strict"))


def read_schema(path: Path) -> dict[str, Any]:
    """The JSON Schema in a file. Raises LocalProtocolError."""
    value = _read_json(path)
    if not is_object(value):
        raise LocalProtocolError(f"{path}: a schema is a JSON object")
    return value


def read_file(path: Path) -> bytes:
    """The bytes of a file. Raises LocalProtocolError."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise LocalProtocolError(f"{path} can't be read: {error}") from None


def read_text(path: Path) -> str:
    """The text of a file, without a byte order mark. Raises LocalProtocolError."""
    try:
        return read_file(path).decode("utf-8-sig")
    except ValueError:
        raise LocalProtocolError(f"{path} is not UTF-8") from None


def _read_json(path: Path) -> Any:
    try:
        return msgspec.json.decode(read_file(path).removeprefix(BOM))
    except RecursionError:
        raise LocalProtocolError(f"{path} is nested too deeply") from None
    except ValueError as error:
        raise LocalProtocolError(f"{path} is not JSON: {error}") from None


def _value(name: str, text: str) -> Any:
    for value in (_json_or_text(text), text):  # a text may be JSON by accident: stop=5
        value = [value] if name == "stop" and isinstance(value, str) else value
        with suppress(msgspec.ValidationError):
            return msgspec.convert(value, _TYPES[name])
    kinds = get_args(_TYPES[name]) or (_TYPES[name],)
    wanted = next(words for kind, words in _WORDS.items() if kind in kinds)
    raise LocalProtocolError(f"-O {name}={text}: give {wanted}")


def _json_or_text(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except (ValueError, RecursionError):
        return text
