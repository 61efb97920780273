"""JSON pointers (RFC 6901) into the bodies of requests, in which `*` is any index or name."""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import msgspec

from ..protocols.errors import LocalProtocolError
from ..protocols.toolkit.json import is_list, is_object

__all__ = ["Difference", "changed", "check_pointer", "differences"]

ABSENT: Any = msgspec.UNSET


class Difference(NamedTuple):
    """Where two values differ. What only one of them has is UNSET in the other."""

    pointer: str
    recorded: Any
    asked: Any


def check_pointer(pointer: str) -> str:
    """`pointer`, if it is one. Raises LocalProtocolError."""
    if not pointer.startswith("/"):
        raise LocalProtocolError(f"{pointer!r} is no JSON pointer: write /messages/*/id")
    return pointer


def changed(value: Any, pointer: str, to: Any) -> Any:
    """`value` with `to` at each place that `pointer` is about. Raises LocalProtocolError."""
    steps = check_pointer(pointer).split("/")[1:]
    return _changed(value, [_plain(step) for step in steps], to)


def _changed(value: Any, steps: list[str], to: Any) -> Any:
    if not steps:
        return to
    step, *rest = steps
    if is_list(value):
        return [
            _changed(item, rest, to) if step in ("*", str(place)) else item
            for place, item in enumerate(value)
        ]
    if is_object(value):
        return {
            key: _changed(item, rest, to) if step in ("*", key) else item
            for key, item in value.items()
        }
    return value


def differences(
    recorded: Any, asked: Any, ignore: Iterable[str] = (), *, wild: str = ""
) -> Iterator[Difference]:
    """Where the two differ, but for the places in `ignore`. A recorded text matches whatever has
    anything in place of each `wild` in it."""
    ignored = [[_plain(step) for step in each.split("/")[1:]] for each in ignore]
    for path, one, other in _differences(recorded, asked, (), wild):
        if not any(_covers(each, path) for each in ignored):
            yield Difference("".join(f"/{_escaped(step)}" for step in path), one, other)


def _differences(
    recorded: Any, asked: Any, path: tuple[str, ...], wild: str
) -> Iterator[tuple[tuple[str, ...], Any, Any]]:
    if is_object(recorded) and is_object(asked):
        for key in dict.fromkeys((*recorded, *asked)):
            inner = recorded.get(key, ABSENT), asked.get(key, ABSENT)
            yield from _differences(*inner, (*path, key), wild)
    elif is_list(recorded) and is_list(asked):
        for place in range(max(len(recorded), len(asked))):
            inner = _at(recorded, place), _at(asked, place)
            yield from _differences(*inner, (*path, str(place)), wild)
    elif not _is_same(recorded, asked, wild):
        yield path, recorded, asked


def _at(items: list[Any], place: int) -> Any:
    return items[place] if place < len(items) else ABSENT


def _is_same(recorded: Any, asked: Any, wild: str) -> bool:
    if isinstance(recorded, str) and wild and wild in recorded:
        return recorded == wild or (isinstance(asked, str) and _fits(recorded.split(wild), asked))
    if isinstance(recorded, bool) or isinstance(asked, bool):  # True == 1 in Python
        return recorded is asked
    return bool(recorded == asked)


def _fits(parts: list[str], text: str) -> bool:
    """Whether `text` is the `parts` with anything between them."""
    first, *between, last = parts
    if len(text) < len(first) + len(last) or not (text.startswith(first) and text.endswith(last)):
        return False
    text = text[len(first) : len(text) - len(last)]
    for part in between:
        found = text.find(part)
        if found < 0:
            return False
        text = text[found + len(part) :]
    return True


def _covers(ignored: list[str], path: tuple[str, ...]) -> bool:
    return len(ignored) <= len(path) and all(
        step in ("*", found) for step, found in zip(ignored, path, strict=False)
    )


def _plain(step: str) -> str:
    return step.replace("~1", "/").replace("~0", "~")


def _escaped(step: str) -> str:
    return step.replace("~", "~0").replace("/", "~1")
