"""Bytes in pieces, and faulty bytes: strategies, and the plain ways of splitting."""

import random
import re
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import TypeVar

from hypothesis import strategies as st

__all__ = ["bytewise", "cut_at", "cuts", "every_way", "mutations", "random_cut", "whole"]

_Text = TypeVar("_Text", bytes, str)


def whole(data: bytes) -> list[bytes]:
    """All of it in one piece."""
    return [data]


def bytewise(data: bytes) -> list[bytes]:
    """One byte a piece."""
    return [data[at : at + 1] for at in range(len(data))]


def random_cut(data: bytes, seed: int) -> list[bytes]:
    """Split at random: the same seed, the same places. Some pieces are empty."""
    draw = random.Random(seed)  # noqa: S311, the same each time
    count = draw.randint(1, 1 + len(data) // 3)
    return cut_at(data, [draw.randint(0, len(data)) for _ in range(count)])


def every_way(data: bytes, seeds: int = 4) -> Iterator[list[bytes]]:
    """Whole, byte by byte, and `seeds` random splits."""
    yield whole(data)
    yield bytewise(data)
    for seed in range(seeds):
        yield random_cut(data, seed)


def cut_at(data: _Text, places: Iterable[int]) -> list[_Text]:
    """`data` cut at these places; a place twice, the start or the end gives an empty piece."""
    bounds = [0, *sorted(places), len(data)]
    return [data[start:end] for start, end in pairwise(bounds)]


def cuts(data: _Text, max_cuts: int = 8) -> st.SearchStrategy[list[_Text]]:
    """`data` in up to `max_cuts` + 1 pieces, as a network could deliver it; some may be empty."""
    places = st.lists(st.integers(0, len(data)), max_size=max_cuts)
    return places.map(lambda chosen: cut_at(data, chosen))


# Faulty bytes

_WORDS = [
    *(b"\n", b"\r", b"\r\n", b"\n\n", b"\0", b" ", b"\t", b":", b",", b'"', b"\\", b"\xff"),
    *(b"\xef\xbb\xbf", b"\xe2\x82", b"\xc2\x85", b"\xe2\x80\xa8", b'\\ud83d"', b"{", b"}", b"["),
    *(b"data", b"data:", b"data: ", b"event: ", b"id: ", b"retry: ", b"error: ", b"<html>"),
    *(b"null", b"true", b"0", b"-1", b"1e999", b'""', b"[]", b"{}", b"[{}]", b"[null]"),
    *(b"1" * 5000, b"[" * 3000, b'{"a":' * 3000),
]
_UNITS = [
    *(b": keepalive\n\n", b"data\n\n", b"data:\n\n", b"data: [DONE]\n\n", b"data: hello\n\n"),
    *(b"event: error\n", b"event: done\n", b"id: \0\n", b"retry: 9\n", b"hello\n", b"[DONE]\n"),
    *(b"data: {}\n\n", b"data: []\n\n", b"data: null\n\n", b'data: {"error": "no"}\n\n', b"{}\n"),
    *(b'error: {"message": "no"}\n', b'{"error": {"code": 429}}\n', b"{\n", b"}\n", b"[1]\n"),
    b'data: {"choices": [{"index": 7, "delta": {"content": "x"}, "finish_reason": "stop"}]}\n\n',
    *(b'data: {"choices": []}\n\n', b'data: {"event": "stream-end"}\n\n', b'{"code": 500}\n'),
    b'{"data": {"message": "x"}}\n',
]
# What a mutation takes hold of: a line, a server-sent event, or a value of JSON.
_LINE = re.compile(rb"[^\r\n]*(?:\r\n|\r|\n|\Z)")
_EVENT = re.compile(rb".+?(?:\n\n|\Z)", re.DOTALL)
_VALUE = re.compile(rb'"(?:[^"\\]|\\.)*"|-?\d[\d.]*|true|false|null|\{\}|\[\]')


@st.composite
def mutations(draw: st.DrawFn, data: bytes, max_changes: int = 3) -> bytes:
    """`data` with up to `max_changes` changes: a stretch of bytes, a line, a server-sent event or a
    JSON value is flipped, left out, doubled, moved, or has something put before it or in its place.
    """
    for _ in range(draw(st.integers(1, max_changes))):
        data = _changed(draw, data)
    return data


def _changed(draw: st.DrawFn, data: bytes) -> bytes:
    start, end = draw(_stretches(data))
    before, stretch, after = data[:start], data[start:end], data[end:]
    match draw(st.sampled_from(["flip", "leave", "double", "move", "insert", "replace"])):
        case "flip":
            if not stretch:
                return data
            place = draw(st.integers(0, len(stretch) - 1))
            flipped = stretch[place] ^ draw(st.integers(1, 255))
            return before + stretch[:place] + bytes((flipped,)) + stretch[place + 1 :] + after
        case "leave":
            return before + after
        case "double":
            return before + stretch * 2 + after
        case "move":
            rest = before + after
            place = draw(st.integers(0, len(rest)))
            return rest[:place] + stretch + rest[place:]
        case "insert":
            return before + draw(_strange_bytes) + stretch + after
        case _:
            return before + draw(_strange_bytes) + after


_strange_bytes = st.sampled_from(_WORDS) | st.sampled_from(_UNITS) | st.binary(max_size=9)


def _stretches(data: bytes) -> st.SearchStrategy[tuple[int, int]]:
    places = st.integers(0, len(data))
    found: list[st.SearchStrategy[tuple[int, int]]] = [
        st.tuples(places, places).map(lambda pair: (min(pair), max(pair))),
        places.map(lambda place: (place, min(place + 1, len(data)))),
    ]
    for pattern in (_LINE, _EVENT, _VALUE):
        if spans := [match.span() for match in pattern.finditer(data)]:
            found.append(st.sampled_from(spans))
    return st.one_of(found)
