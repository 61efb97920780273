"""Framing: server-sent events, lines and their JSON, frames of AWS, elements of a JSON array, and
chunked bodies with h11 as referee."""

import json
import re
from collections.abc import Iterable
from functools import partial
from math import isfinite, isinf
from typing import Any, NamedTuple
from zlib import crc32

import msgspec

from tests.dechunking import dechunk, dechunk_by_h11
from tests.fuzzing.seeds import JSON_WORDS, LINE_WORDS
from tests.fuzzing.source import CUTS, Target, cut_by, split
from tests.whatwg import Ignored, Item, Message, interpret
from tokenwire.protocols.errors import LimitExceeded, Malformed
from tokenwire.protocols.toolkit.elements import Elements
from tokenwire.protocols.toolkit.frames import Frame, Frames, encode_frame
from tokenwire.protocols.toolkit.json import decode_json, is_list, is_object, is_whole_json
from tokenwire.protocols.toolkit.lines import Lines
from tokenwire.protocols.toolkit.sse import ServerSentEvent, SSEDecoder, SSEItem, encode_sse

__all__ = ["CHUNKED", "ELEMENTS", "FRAMES", "LINES", "SSE"]

_BIG = 1 << 20
_BOM = b"\xef\xbb\xbf"


def _limit(choice: int) -> int:
    return choice if choice else _BIG


class _Stream(NamedTuple):
    """All that a decoder says of a stream: items, those of them that came before its end (-1: it
    failed before), the error, and what it remembers."""

    items: list[SSEItem]
    before_the_end: int
    error: str = ""
    last_event_id: str = ""
    retry: int | None = None
    last_comment: bytes = b""


def _decode_sse(
    pieces: Iterable[bytes], limit: int, usual: str = "message", *, apart: bool = False
) -> _Stream:
    decoder = SSEDecoder(limit, usual, apart=apart)
    items: list[SSEItem] = []
    count = -1
    try:
        for piece in pieces:
            decoder.feed(piece, items)
        count = len(items)
        decoder.eof(items)
    except LimitExceeded as error:
        return _Stream(items, count, str(error))
    return _Stream(items, count, "", decoder.last_event_id, decoder.retry, decoder.last_comment)


def _fuzz_sse(data: bytes) -> None:
    body, choices = split(data, CUTS + 1)
    limit = _limit(choices[0])
    whole = _decode_sse([body], limit)
    assert _decode_sse(cut_by(choices[1:])(body), limit) == whole
    assert _decode_sse(cut_by(choices[1:])(body), limit, "x") == whole
    apart = _decode_sse([body], limit, apart=True)
    assert _decode_sse(cut_by(choices[1:])(body), limit, apart=True) == apart
    for item in whole.items:
        assert len(item.data if isinstance(item, ServerSentEvent) else item.line) <= limit
    events = [item for item in whole.items if isinstance(item, ServerSentEvent)]
    assert _encoded_and_decoded(events) == [(event.data, event.type) for event in events]
    if limit == _BIG and choices[1] & 0x40:  # on some only: the standard's way is slow
        # At the clean end we take what lacks the end of its line, and its blank line.
        standard = interpret(body + b"\n\n")
        assert [_in_its_words(item) for item in whole.items] == standard.items
        assert whole.last_event_id == standard.last_event_id


def _in_its_words(item: SSEItem) -> Item:
    if isinstance(item, ServerSentEvent):
        return Message(item.type, item.data.decode(errors="replace"), item.last_event_id)
    return Ignored(item.line.decode(errors="replace"))


def _encoded_and_decoded(events: list[ServerSentEvent]) -> list[tuple[bytes, str]]:
    decoder = SSEDecoder()
    items: list[SSEItem] = []
    for event in events:
        decoder.feed(encode_sse(event.data, type=event.type), items)
    return [(item.data, item.type) for item in items if isinstance(item, ServerSentEvent)]


_SSE_SEEDS = [
    b"data: a\n\ndata: b\n\ndata: c\n\n",
    b"data:a\r\ndata: b\r\n\r\ndata\r\n\r\n",
    b"event: x\nid: 1\nretry: 10\ndata: y\n\n:comment\n\ndata: z",
    _BOM + b"data: \xe2\x82\xac\r\rid: 2\rid\r\rdata: \xff\r\r",
    b"event: x\ndata: a\n\nevent: x\ndata: b\n\n: c\n\nevent: y\ndata: d\n\nevent: x\ndata: e\n\n",
    b"error: no\n{\n}\ndata: a\x0bb\xc2\x85c\xe2\x80\xa8d\n\n",
    b"data: " + b"long " * 12 + b"\n\ndata: b\n",
]
_ZEROS = bytes(CUTS + 1)
SSE = Target(
    _fuzz_sse,
    [
        seed + end
        for seed in _SSE_SEEDS
        for end in (_ZEROS, b"\x08" + _ZEROS[1:], b"\0\x40" + _ZEROS[2:])
    ],
    [
        *LINE_WORDS,
        b"data",
        b"data:",
        b"event: ",
        b"id: ",
        b"retry: ",
        b":",
        b"\n\ndata: ",
        b"data: {}\n",
    ],
    max_len=300,
)

_any = msgspec.json.Decoder()


def _decode_lines(pieces: Iterable[bytes], limit: int) -> tuple[list[bytes], bytes, str]:
    """The lines, what is left, and the error."""
    lines = Lines(limit)
    complete: list[bytes] = []
    try:
        for piece in pieces:
            for line in lines.feed(piece).splitlines():
                lines.check(len(line))
                complete.append(line)
            lines.check_rest()
    except LimitExceeded as error:
        return complete, b"", str(error)
    return complete, lines.rest, ""


def _fuzz_lines(data: bytes) -> None:
    body, choices = split(data, CUTS + 1)
    limit = _limit(choices[0])
    whole = _decode_lines([body], limit)
    assert _decode_lines(cut_by(choices[1:])(body), limit) == whole
    lines, rest, error = whole
    expected = re.split(rb"\r\n|\r|\n", body.removeprefix(_BOM))
    if error:
        assert expected[: len(lines)] == lines
        assert len(expected[len(lines)]) > limit
        return
    assert [*lines, rest] == expected
    for line in expected:
        assert len(line) <= limit or _BOM.startswith(line)  # which may still become a mark
        _check_json(line)


def _check_json(line: bytes) -> None:
    try:
        value = decode_json(_any, line)
    except Malformed:
        assert not is_whole_json(line)
        return
    assert is_whole_json(line)
    try:
        theirs = _loads(line.decode(errors="replace").removeprefix("\ufeff"))
    except ValueError:  # in what is nested too deeply, which is kept as its text, unread
        assert line.count(b"[") + line.count(b"{") >= TOO_DEEP
        return
    assert _alike(value, theirs), (value, theirs)


TOO_DEEP = 64
"""Levels of JSON, in an odd document, from which on a value is kept as its text."""

# NaN and infinities are read as their texts, control characters as they are.
_loads = partial(json.loads, parse_constant=str, strict=False)


def _alike(ours: Any, theirs: Any) -> bool:
    """Whether they are one value, but for how a large integer is read, and for what is read as its
    text: what is nested too deeply, and a number that is too large."""
    if isinstance(ours, str) and isinstance(theirs, float):
        return isinf(theirs) and float(ours) == theirs
    if isinstance(ours, str) and (is_list(theirs) or is_object(theirs)):
        return _alike(_loads(ours), theirs)
    if is_list(ours):
        return is_list(theirs) and len(ours) == len(theirs) and all(map(_alike, ours, theirs))
    if is_object(ours):  # repairing may make one key of two
        return is_object(theirs) and len(ours) <= len(theirs)
    if isinstance(ours, float):
        return isfinite(ours) and ours == float(theirs)
    if isinstance(ours, str):  # half a character is repaired
        return ours == str(theirs).encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return bool(ours == theirs)


_LINES_SEEDS = [
    b'{"data":{"message":"hello"}}\n{"data":{"message":"\xe2\x82\xac"}}\n',
    b'[1,-2.5e3,true,false,null,"\\ud83d\\ude00"]\r\n"\\ud83d"\r{}',
    _BOM + b'\n\n  {"a": [{"b": {}}]}\n: comment\n[DONE]\n',
    b'{"cut": "of',
    b"12345678901234567890123\n0.1\n1e400\n\xff\n",
    b"[NaN,-Infinity]\n" + b"[" * 70 + b"NaN" + b"]" * 70,
]
LINES = Target(
    _fuzz_lines,
    [seed + end for seed in _LINES_SEEDS for end in (_ZEROS, b"\0\x32" + _ZEROS[2:])],
    [*LINE_WORDS, *JSON_WORDS, b'{"data":{"message":"'],
    max_len=300,
)


class _Framed(NamedTuple):
    """What became of a stream of frames."""

    frames: list[Frame]
    rest: bytes = b""
    error: str = ""


def _decode_frames(pieces: Iterable[bytes], limit: int) -> _Framed:
    decoder = Frames(limit)
    frames: list[Frame] = []
    try:
        for piece in pieces:
            decoder.feed(piece, frames)
    except (Malformed, LimitExceeded) as error:
        return _Framed(frames, error=f"{type(error).__name__}: {error}")
    return _Framed(frames, decoder.rest)


def _fuzz_frames(data: bytes) -> None:
    text, choices = split(data, CUTS + 2)
    # A fuzzer can't guess a checksum: on most, the bytes are headers and payloads to be framed.
    body = text if choices[1] & 3 == 3 else _framed(text)
    limit = _limit(choices[0])
    whole = _decode_frames([body], limit)
    assert _decode_frames(cut_by(choices[2:])(body), limit) == whole
    again = b"".join(encode_frame(frame.headers, frame.payload) for frame in whole.frames)
    assert _decode_frames([again], _BIG) == _Framed(whole.frames)
    for frame in whole.frames:
        assert len(frame.payload) <= limit - 16
    if not whole.error:
        assert body.endswith(whole.rest)


def _framed(text: bytes) -> bytes:
    """Frames with the right checksums. Each begins in `text` with the lengths of its headers and
    its payload, a byte each, of which the last may lack some."""
    frames: list[bytes] = []
    while len(text) >= 2:
        headers, end = text[0], text[0] + text[1]
        block, text = text[2 : 2 + end], text[2 + end :]
        lengths = (len(block) + 16).to_bytes(4, "big") + headers.to_bytes(4, "big")
        frame = lengths + crc32(lengths).to_bytes(4, "big") + block
        frames.append(frame + crc32(frame).to_bytes(4, "big"))
    return b"".join(frames)


def _lengths_of(headers: bytes, payload: bytes) -> bytes:
    return bytes((len(headers), len(payload))) + headers + payload


_EVENT = b"\x0b:event-type\7\0\x05chunk\x0d:content-type\7\0\x10application/json"
_ALL_TYPES = (
    b"\1a\0\1b\1\1c\2\x80\1d\3\x80\0\1e\4\xff\xff\xff\xff\1f\5\0\0\0\1\0\0\0\0\1g\6\0\3abc"
    b"\1h\7\0\3\xe2\x82\xac\1i\x08\0\0\1\x8c\0\0\0\0\1j\x090123456789abcdef"
)
FRAMES = Target(
    _fuzz_frames,
    [
        seed + end
        for seed in (
            _lengths_of(_EVENT, b'{"bytes":"e30="}') * 2,
            _lengths_of(_ALL_TYPES, b"x"),
            _lengths_of(b"", b""),
            _lengths_of(b"\1a\0\1a\1", b""),
            _lengths_of(b"\1a\7\0\1\xff", b""),
            _lengths_of(b"\1a\x0a", b""),
        )
        for end in (_ZEROS + b"\0", b"\x40" + _ZEROS, b"\0\0\x32" + _ZEROS[2:])
    ]
    + [encode_frame({":message-type": "event", "n": 1}, b"{}") * 2 + b"\0\3" + bytes(CUTS)],
    [b"\0\0\0\x10\0\0\0\0", _EVENT, b"\1a\0", b"\1a\4\0\0\0\1", b"\1a\7\0\1x", b"\1a\6\0\1x"],
    max_len=300,
)


class _Array(NamedTuple):
    """What became of a JSON array."""

    elements: list[bytes]
    over: bool = False
    rest: bytes = b""
    error: str = ""


def _elements(pieces: Iterable[bytes], limit: int) -> _Array:
    decoder = Elements(limit)
    elements: list[bytes] = []
    try:
        for piece in pieces:
            decoder.feed(piece, elements)
    except (Malformed, LimitExceeded) as error:
        return _Array(elements, error=f"{type(error).__name__}: {error}")
    return _Array(elements, decoder.over, decoder.rest)


def _fuzz_elements(data: bytes) -> None:
    body, choices = split(data, CUTS + 1)
    limit = _limit(choices[0])
    whole = _elements([body], limit)
    assert _elements(cut_by(choices[1:])(body), limit) == whole
    for element in (*whole.elements, whole.rest):
        assert len(element) <= limit
    if limit < _BIG:
        return
    try:
        expected = _strict_json(body)
    except ValueError:
        # Then an element is at fault, or what is around them.
        assert not whole.over or not all(map(_is_strict_json, whole.elements))
        return
    if is_list(expected):
        assert whole.over
        assert [_strict_json(element) for element in whole.elements] == expected
    else:
        assert whole.error


def _strict_json(text: bytes) -> Any:
    def refuse(constant: str) -> None:
        raise ValueError(constant)

    return json.loads(text.decode(), parse_constant=refuse)


def _is_strict_json(text: bytes) -> bool:
    try:
        _strict_json(text)
    except ValueError:
        return False
    return True


ELEMENTS = Target(
    _fuzz_elements,
    [
        seed + end
        for seed in (
            b'[{"candidates":[{"content":{"parts":[{"text":"a \\" } ] b"}]}}]}\n,\r\n{"a":[]}\n]\n',
            b' [1,-2.5e3 ,true,null,"\\\\","\\"]", [[]],{}]',
            b"[]",
            b'[{"error":{"message":"no"}}]',
            b"[1,]",
            b"[1 2]",
            b'{"error":{}}',
            b"[\xe2\x82\xac",
        )
        for end in (_ZEROS, b"\x08" + _ZEROS[1:], b"\0\x32" + _ZEROS[2:])
    ],
    [*JSON_WORDS, b"[", b"]", b",", b"\\", b'\\"', b"\r\n", b"\t", b"[[", b"]]"],
    max_len=300,
)


def _fuzz_chunked(data: bytes) -> None:
    body, choices = split(data, CUTS + 1)
    limit = _limit(choices[0])
    whole = dechunk([body], limit)
    assert dechunk(cut_by(choices[1:])(body), limit) == whole
    if limit < _BIG or any(rule.search(body) for rule in _DIFFERENT):
        return
    referee = dechunk_by_h11(body)
    if "more" in (whole.verdict, referee.verdict):
        # Each is sooner than the other to refuse some unfinished line. Neither takes it.
        assert "done" not in (whole.verdict, referee.verdict), (whole, referee)
        assert whole.content == referee.content
    else:
        assert whole[:3] == referee[:3]


# Where we differ from h11 on purpose; tests/transports/client/test_differential_http.py says why.
_DIFFERENT = (
    re.compile(rb"[0-9A-Fa-f]+;[^\n]*[\x00-\x08\x0b-\x1f\x7f][^\n]*\r\n"),
    re.compile(rb"(?i)\n(content-length|transfer-encoding):"),
)


CHUNKED = Target(
    _fuzz_chunked,
    [
        seed + _ZEROS
        for seed in (
            b"5\r\nhello\r\n0\r\n\r\n",
            b'a;x="y";z\r\n0123456789\r\n1 \r\n\n\r\n000\r\nA: b\r\n c\r\n\r\nHTTP/1.1 200 OK\r\n',
            b"0\nA: b\n\n",
            b"5\r\nhello!\r\n0\r\n\r\n",
            b"fffffffffffffffff\r\n",
            b"5;" + b"x" * 40 + b"\r\nhello\r\n",
        )
    ]
    + [b"5;xxxx\r\nhello\r\n0\r\nA: bbb\r\nC: d\r\n\r\n\x08" + bytes(CUTS)],
    [
        b"0\r\n",
        b"\r\n",
        b"\r\n\r\n",
        b"1\r\na\r\n",
        b"5;a=b\r\nhello\r\n",
        b"A: b\r\n",
        b";",
        b"\t",
    ],
    max_len=200,
)
