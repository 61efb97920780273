"""What a relay changes of a request and of an answer, at byte offsets: all else stays as it is."""

import json
import re
from collections.abc import Iterator

import msgspec

from ..protocols.toolkit.json import decode_json, is_object

__all__ = ["asking_usage", "members", "replaced", "without_usage"]

_value = msgspec.json.Decoder()
_STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
_SPACE = re.compile(rb"[ \t\r\n]*")
_SCALAR = re.compile(rb"[^,}\]\s]+")
_STRUCTURE = re.compile(rb'["\[\]{}]')
_EVENT = re.compile(rb".+?(?:\r\n\r\n|\n\n|\r\r|\Z)", re.DOTALL)
"""One server-sent event, with its blank line."""


def members(data: bytes, name: str) -> Iterator[tuple[int, int]]:
    """Where the values of the members `name` of the JSON object `data` begin and end. There may be
    several: JSON does not forbid it. `data` must be valid JSON: it is not checked again."""
    place = _past(data, 0) + 1
    while True:
        place = _past(data, place)
        if data[place : place + 1] != b'"':
            return
        key = _STRING.match(data, place)
        assert key is not None
        start = _past(data, _past(data, key.end()) + 1)
        end = _end(data, start)
        if json.loads(key[0]) == name:
            yield start, end
        place = _past(data, end)
        if data[place : place + 1] != b",":
            return
        place += 1


def replaced(data: bytes, name: str, value: bytes) -> bytes:
    """`data` with the value of each member `name` replaced."""
    pieces: list[bytes] = []
    place = 0
    for start, end in members(data, name):
        pieces += (data[place:start], value)
        place = end
    return b"".join((*pieces, data[place:]))


def asking_usage(data: bytes) -> bytes:
    """A request for a stream of chat completions that asks for a chunk with the usage; the very
    same bytes if it does already."""
    options = [data[start:end] for start, end in members(data, "stream_options")]
    if not options:
        return _with_member(data, b'"stream_options":{"include_usage":true}')
    value = decode_json(_value, options[-1])  # the last one counts
    if not is_object(value):
        return replaced(data, "stream_options", b'{"include_usage":true}')
    if value.get("include_usage") is True:
        return data
    if "include_usage" in value:
        asking = replaced(options[-1], "include_usage", b"true")
    else:
        asking = _with_member(options[-1], b'"include_usage":true')
    return replaced(data, "stream_options", asking)


def without_usage(data: bytes) -> bytes:
    """Whole events of such a stream without the chunk that has nothing but the usage."""
    pieces = _EVENT.findall(data)
    return b"".join(piece for piece in pieces if not _is_usage(piece))


def _is_usage(event: bytes) -> bool:
    lines = event.splitlines()
    payload = b"".join(line[5:] for line in lines if line.startswith(b"data:"))
    try:
        chunk = msgspec.json.decode(payload)
    except msgspec.DecodeError:
        return False
    return is_object(chunk) and chunk.get("choices") == [] and is_object(chunk.get("usage"))


def _with_member(data: bytes, member: bytes) -> bytes:
    """A JSON object with one more member, as its first."""
    place = _past(data, 0) + 1
    first = _past(data, place)
    more = b"" if data[first : first + 1] == b"}" else b","
    return b"".join((data[:place], member, more, data[place:]))


def _past(data: bytes, place: int) -> int:
    """Past white space."""
    space = _SPACE.match(data, place)
    assert space is not None
    return space.end()


def _end(data: bytes, start: int) -> int:
    """Where the value that begins at `start` ends."""
    first = data[start : start + 1]
    if first not in (b'"', b"[", b"{"):
        scalar = _SCALAR.match(data, start)
        assert scalar is not None
        return scalar.end()
    depth, place = 0, start
    while True:
        found = _STRUCTURE.search(data, place)
        assert found is not None
        place = found.end()
        match found[0]:
            case b'"':
                string = _STRING.match(data, found.start())
                assert string is not None
                place = string.end()
            case b"[" | b"{":
                depth += 1
            case _:
                depth -= 1
        if not depth:
            return place
