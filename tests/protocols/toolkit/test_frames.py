"""AWS event streams: bytes to frames and back, the same however the bytes are cut."""

import os
from pathlib import Path
from random import Random
from typing import NamedTuple
from uuid import UUID
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.cutting import at, bytewise, cuts, every_way, whole
from tokenwire.protocols.errors import LimitExceeded, LocalProtocolError, Malformed
from tokenwire.protocols.toolkit.frames import (
    Frame,
    Frames,
    HeaderValue,
    Timestamp,
    encode_frame,
)

BIG = 1 << 20


class Decoded(NamedTuple):
    """What a decoder makes of a stream. `error` is the class, the message and the data."""

    frames: list[Frame]
    error: tuple[type[Exception], str, bytes] | None
    rest: bytes


def decode(pieces: list[bytes], limit: int = BIG) -> Decoded:
    decoder, frames = Frames(limit), list[Frame]()
    try:
        for piece in pieces:
            decoder.feed(piece, frames)
    except (Malformed, LimitExceeded) as error:
        return Decoded(frames, (type(error), error.message, error.data), b"")
    return Decoded(frames, None, decoder.rest)


def alike(data: bytes, limit: int = BIG) -> Decoded:
    """What `data` decodes to, the same in every way of cutting it, and cut at each byte."""
    decoded = decode(whole(data), limit)
    for pieces in every_way(data):
        assert decode(pieces, limit) == decoded
    for place in range(len(data)):
        assert decode(at(data, [place]), limit) == decoded
    return decoded


def types(frames: list[Frame]) -> list[list[type]]:
    """Of the values of all headers: `True == 1`, so that to compare the values is not enough."""
    return [[*map(type, frame.headers.values())] for frame in frames]


def number(value: int, size: int = 4) -> bytes:
    return value.to_bytes(size, "big")


def prelude(total: int, headers: int) -> bytes:
    lengths = number(total) + number(headers)
    return lengths + number(crc32(lengths))


def framed(headers: bytes, payload: bytes = b"") -> bytes:
    """A frame whose checksums are right, whatever its headers are."""
    frame = prelude(len(headers) + len(payload) + 16, len(headers)) + headers + payload
    return frame + number(crc32(frame))


# What the specification's examples are, and AWS's own libraries are tested with.

FOO = b"{'foo':'bar'}"
JSON = "application/json"
EMPTY = "000000100000000005c248eb7d98c8ff"
NO_HEADERS = "0000001d00000000fd528c5a7b27666f6f273a27626172277dc3653936"
INT = "0000002d0000001041c424b80a6576656e742d74797065040000a00c7b27666f6f273a27626172277d36f480a0"
STRING = (
    "0000003d0000002007fd83960c636f6e74656e742d747970650700106170706c69636174696f6e2f6a736f6e"
    "7b27666f6f273a27626172277d8d9c08b1"
)
EVERY_TYPE = (
    "000000cc000000af0fae64ca0a6576656e742d74797065040000a00c0c636f6e74656e742d74797065070010"
    "6170706c69636174696f6e2f6a736f6e0a626f6f6c2066616c73650109626f6f6c207472756500046279746502"
    "cf08627974652062756606001449276d2061206c6974746c6520746561706f74210974696d657374616d700800"
    "00000000845fed05696e74313603002a05696e7436340500000000028757b20475756964090102030405060708"
    "090a0b0c0d0e0f107b27666f6f273a27626172277daba5f10c"
)

VECTORS = {
    "nothing": (EMPTY, Frame({}, b"")),
    "no headers": (NO_HEADERS, Frame({}, FOO)),
    "an int": (INT, Frame({"event-type": 40972}, FOO)),
    "a string": (STRING, Frame({"content-type": JSON}, FOO)),
    "every type": (
        EVERY_TYPE,
        Frame(
            {
                "event-type": 40972,
                "content-type": JSON,
                "bool false": False,
                "bool true": True,
                "byte": -49,
                "byte buf": b"I'm a little teapot!",
                "timestamp": Timestamp(8675309),
                "int16": 42,
                "int64": 42424242,
                "uuid": UUID("01020304-0506-0708-090a-0b0c0d0e0f10"),
            },
            FOO,
        ),
    ),
}


@pytest.mark.parametrize("name", VECTORS)
def test_vector(name: str) -> None:
    data, frame = VECTORS[name]
    decoded = alike(bytes.fromhex(data))
    assert types(decoded.frames) == types([frame])
    assert decoded == ([frame], None, b"")


@pytest.mark.parametrize("name", ["nothing", "no headers", "an int", "a string"])
def test_vector_is_written(name: str) -> None:
    data, frame = VECTORS[name]
    assert encode_frame(frame.headers, frame.payload).hex() == data


def test_many_frames() -> None:
    data = b"".join(bytes.fromhex(data) for data, _ in VECTORS.values())
    frames = [frame for _, frame in VECTORS.values()]
    assert alike(data) == (frames, None, b"")


def test_rest() -> None:
    first, second = bytes.fromhex(INT), bytes.fromhex(STRING)
    for size in range(len(second)):
        frames: list[Frame] = []
        for pieces in (whole, bytewise):
            decoder = Frames(BIG)
            frames = []
            for piece in pieces(first + second[:size]):
                decoder.feed(piece, frames)
            assert frames == [VECTORS["an int"][1]]
            assert decoder.rest == second[:size]


@pytest.mark.parametrize(
    ("encoded", "value"),
    [
        ("00", True),
        ("01", False),
        ("027f", 127),
        ("0280", -128),
        ("03ff00", -256),
        ("0480000000", -(2**31)),
        ("057fffffffffffffff", 2**63 - 1),
        ("060000", b""),
        ("0600020001", b"\0\1"),
        ("070000", ""),
        ("070002c3a9", "é"),
        ("08ffffffffffffffff", Timestamp(-1)),
        ("09" + "00" * 15 + "07", UUID(int=7)),
    ],
)
def test_header(encoded: str, value: HeaderValue) -> None:
    ((frame,), error, _) = alike(framed(b"\1a" + bytes.fromhex(encoded)))
    assert error is None
    assert frame.headers == {"a": value}
    assert type(frame.headers["a"]) is type(value)


def test_long_header_of_others() -> None:
    """More than the specification allows, which others send and take."""
    text = b"x" * 65_535
    data = framed(b"\1a\7\xff\xff" + text + b"\1b\6\xff\xff" + text)
    assert decode([data]) == ([Frame({"a": text.decode(), "b": text}, b"")], None, b"")


# Errors

GOOD = bytes.fromhex(INT)
WRONG_HEADERS = {
    "no name": (b"\0\0", "a header that has no name"),
    "no name, at the end": (b"\0", "a header that has no name"),
    "no type": (b"\1a", "a header that is not complete"),
    "a name that is too long": (b"\2a", "a header that is not complete"),
    "a number that is too long": (b"\1a\5" + bytes(7), "a header that is not complete"),
    "a length that is too long": (b"\1a\6\0", "a header that is not complete"),
    "bytes that are too long": (b"\1a\6\0\2x", "a header that is not complete"),
    "text that is too long": (b"\1a\7\0\2x", "a header that is not complete"),
    "a moment that is too long": (b"\1a\x08" + bytes(7), "a header that is not complete"),
    "a UUID that is too long": (b"\1a\x09" + bytes(15), "a header that is not complete"),
    "a name that is not UTF-8": (b"\1\xff\0", "a header that is not UTF-8"),
    "text that is not UTF-8": (b"\1a\7\0\1\xff", "a header that is not UTF-8"),
    "an unknown type": (b"\1a\x0a", "a header of unknown type 10"),
    "a name twice": (b"\1a\0\1b\0\1a\1", "two headers of the same name"),
}


@pytest.mark.parametrize("name", WRONG_HEADERS)
def test_wrong_headers(name: str) -> None:
    headers, problem = WRONG_HEADERS[name]
    wrong = framed(headers, b"payload")  # which must not be read in place of the header
    error = (Malformed, f"a frame with {problem}", wrong)
    assert alike(GOOD + wrong + GOOD) == ([VECTORS["an int"][1]], error, b"")


def test_wrong_checksum_of_a_frame() -> None:
    wrong = GOOD[:-1] + b"\0"
    error = (Malformed, "a frame with a wrong checksum", wrong)
    assert alike(GOOD + wrong + GOOD) == ([VECTORS["an int"][1]], error, b"")


def test_wrong_checksum_of_a_prelude() -> None:
    """It is found before the lengths are trusted."""
    for wrong in (GOOD[:8] + bytes(4), b"\xff" * 12, b"\x00" * 12, b'{"message": "no"}'):
        error = (Malformed, "a frame whose prelude has a wrong checksum", wrong[:12])
        assert alike(GOOD + wrong, 100) == ([VECTORS["an int"][1]], error, b"")
        assert alike(wrong[:11]) == ([], None, wrong[:11])


@pytest.mark.parametrize(
    ("total", "headers"), [(0, 0), (12, 0), (15, 0), (16, 1), (100, 85), (100, 2**32 - 1)]
)
def test_too_short_for_its_headers(total: int, headers: int) -> None:
    wrong = prelude(total, headers)
    error = (Malformed, "a frame that is too short for its headers", wrong)
    assert alike(GOOD + wrong) == ([VECTORS["an int"][1]], error, b"")


def test_headers_alone() -> None:
    assert alike(framed(b"\1a\0")) == ([Frame({"a": True}, b"")], None, b"")


def test_limit() -> None:
    frame = VECTORS["an int"][1]
    size = len(GOOD)
    assert alike(GOOD * 2, size) == ([frame, frame], None, b"")
    error = (LimitExceeded, f"a frame of more than {size - 1} bytes", b"")
    assert alike(GOOD, size - 1) == ([], error, b"")
    small = bytes.fromhex(EMPTY)
    assert alike(small + GOOD, size - 1) == ([Frame({}, b"")], error, b"")


def test_limit_is_checked_before_anything_is_kept() -> None:
    for total in (2**31, 2**32 - 1):
        error = (LimitExceeded, "a frame of more than 45 bytes", b"")
        assert alike(GOOD + prelude(total, 16), 45) == ([VECTORS["an int"][1]], error, b"")
        assert alike(prelude(total, 16)[:11], 45).error is None


# Writing


@pytest.mark.parametrize(
    ("value", "encoded"),
    [
        (True, "00"),
        (False, "01"),
        (1, "0400000001"),
        (2**31 - 1, "047fffffff"),
        (-(2**31), "0480000000"),
        (2**31, "050000000080000000"),
        (-(2**31) - 1, "05ffffffff7fffffff"),
        (b"\0", "06000100"),
        ("é", "070002c3a9"),
        (Timestamp(-1), "08ffffffffffffffff"),
        (UUID(int=7), "09" + "00" * 15 + "07"),
    ],
)
def test_written_header(value: HeaderValue, encoded: str) -> None:
    header = b"\1a" + bytes.fromhex(encoded)
    assert encode_frame({"a": value}, b"x") == framed(header, b"x")
    assert encode_frame({"b": 0, "a": value}, b"x") == framed(b"\1b\4\0\0\0\0" + header, b"x")


WRONG_TO_WRITE: dict[str, tuple[dict[str, HeaderValue], bytes, str]] = {
    "no name": ({"": 1}, b"", "a header without a name"),
    "a long name": ({"é" * 128: 1}, b"", "the name of a header of more than 255 bytes"),
    "a surrogate in a name": (
        {"\ud800": 1},
        b"",
        "the name of a header has a lone surrogate, which UTF-8 can't say",
    ),
    "a surrogate": (
        {"a": "\udfff"},
        b"",
        "header a has a lone surrogate, which UTF-8 can't say",
    ),
    "a long text": ({"a": "é" * 16_384}, b"", "header a of more than 32767 bytes"),
    "long bytes": ({"a": bytes(32_768)}, b"", "header a of more than 32767 bytes"),
    "a large number": ({"a": 2**63}, b"", "header a is a number of more than 64 bits"),
    "a small number": ({"a": -(2**63) - 1}, b"", "header a is a number of more than 64 bits"),
    "a late moment": ({"a": Timestamp(2**63)}, b"", "header a is a number of more than 64 bits"),
    "large headers": (
        {"a": bytes(32_767), "b": bytes(32_767), "c": bytes(32_767), "d": bytes(32_752)},
        b"",
        "headers of more than 131072 bytes",
    ),
    "a large payload": ({}, bytes((24 << 20) + 1), "a payload of more than 25165824 bytes"),
}


@pytest.mark.parametrize("name", WRONG_TO_WRITE)
def test_what_can_not_be_written(name: str) -> None:
    headers, payload, problem = WRONG_TO_WRITE[name]
    with pytest.raises(LocalProtocolError) as caught:
        encode_frame(headers, payload)
    assert str(caught.value) == problem
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_the_largest_that_can_be_written() -> None:
    headers: dict[str, HeaderValue] = {"a" * 255: 2**63 - 1, "b": -(2**63)}
    headers |= {"c": "x" * 32_767, "d": bytes(32_767), "e": bytes(32_767)}
    headers["f"] = bytes(128 * 1024 - len(encode_frame(headers, b"")) + 16 - 5)
    payload = bytes(24 << 20)
    frame = encode_frame(headers, payload)
    assert len(frame) == (24 << 20) + 128 * 1024 + 16
    assert decode([frame], len(frame)) == ([Frame(headers, payload)], None, b"")


# Properties

_LONGS = st.integers(-(2**63), 2**63 - 1)
_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
VALUES: st.SearchStrategy[HeaderValue] = st.one_of(
    st.booleans(),
    st.integers(-300, 300),
    _LONGS,
    st.binary(max_size=20),
    _TEXT,
    st.builds(Timestamp, _LONGS),
    st.uuids(),
)
FRAMES = st.builds(Frame, st.dictionaries(_TEXT.filter(bool), VALUES), st.binary(max_size=60))


def encoded(frames: list[Frame]) -> bytes:
    return b"".join(encode_frame(frame.headers, frame.payload) for frame in frames)


@given(st.lists(FRAMES), st.data())
def test_round_trip(frames: list[Frame], data: st.DataObject) -> None:
    stream = encoded(frames)
    decoded = decode(data.draw(cuts(stream)))
    assert types(decoded.frames) == types(frames)
    assert decoded == (frames, None, b"")


@given(st.lists(FRAMES, min_size=1), st.randoms(use_true_random=False), st.data())
def test_changed_byte(frames: list[Frame], draw: Random, data: st.DataObject) -> None:
    """`decode` lets no other errors pass. Each frame before the change is delivered, and none
    after it, as a checksum is wrong then."""
    stream = bytearray(encoded(frames))
    changed = draw.randrange(len(stream))
    stream[changed] ^= 1 << draw.randrange(8)
    before = [n for n in range(len(frames) + 1) if len(encoded(frames[:n])) <= changed][-1]
    limit = max(len(encoded([frame])) for frame in frames)
    decoded = decode(whole(bytes(stream)), limit)
    assert decoded.frames == frames[:before]
    assert decoded.error is not None
    assert decoded.error[0] is Malformed
    assert decode(data.draw(cuts(bytes(stream))), limit) == decoded


@given(
    st.one_of(
        st.binary(max_size=60),
        st.lists(
            st.tuples(st.sampled_from([b"\1a", b"\1b", b"\0"]), st.binary(max_size=12)).map(
                b"".join
            )
        ).map(b"".join),
    ),
    st.data(),
)
def test_any_headers(headers: bytes, data: st.DataObject) -> None:
    """With the right checksums, so that they are read. What is decoded reads the same again."""
    stream = framed(headers, b"payload")
    decoded = decode(data.draw(cuts(stream)))
    if decoded.error is None:
        (frame,) = decoded.frames
        assert frame.payload == b"payload"
        assert decode([encode_frame(frame.headers, frame.payload)]) == decoded
    else:
        assert decoded.error[0] is Malformed


# Recorded

_FOLDER = os.environ.get("TOKENWIRE_CORPUS")
RECORDED = sorted(Path(_FOLDER, "bedrock-eventstream").glob("*.bin")) if _FOLDER else []


@pytest.mark.skipif(not _FOLDER, reason="TOKENWIRE_CORPUS names no folder of recorded answers")
@pytest.mark.parametrize("file", RECORDED, ids=lambda file: file.stem)
def test_recorded(file: Path) -> None:
    """Each has three headers, of which the order may differ; written again, it is the same."""
    stream = file.read_bytes()
    decoded = decode(whole(stream))
    assert decoded.error is None
    assert decoded.rest == b""
    assert decoded.frames
    for frame in decoded.frames:
        assert frame.headers.keys() == {":event-type", ":content-type", ":message-type"}
        assert frame.headers[":message-type"] == "event"
    assert encoded(decoded.frames) == stream
    for pieces in every_way(stream):
        assert decode(pieces) == decoded


@pytest.mark.skipif(not _FOLDER, reason="TOKENWIRE_CORPUS names no folder of recorded answers")
def test_recordings_were_found() -> None:
    assert len(RECORDED) > 30
