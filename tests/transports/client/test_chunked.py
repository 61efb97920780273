"""Chunked bodies, cut in any way. `test_differential_http` holds them to h11 at large."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.cutting import at, bytewise, cuts, every_way, whole
from tests.dechunking import Dechunked, dechunk, dechunk_by_h11
from tokenwire.transports.client.chunked import ChunkedReader

HEAD = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"


def alike(data: bytes, limit: int = 1 << 20) -> Dechunked:
    """Our outcome, the same for every cutting."""
    outcome = dechunk(whole(data), limit)
    for pieces in every_way(data):
        assert dechunk(pieces, limit) == outcome
    return outcome


@pytest.mark.parametrize(
    ("data", "content", "rest"),
    [
        (b"0\r\n\r\n", b"", b""),
        (b"5\r\nhello\r\n0\r\n\r\n", b"hello", b""),
        (b"2\r\nhe\r\n3\r\nllo\r\n000\r\n\r\nHTTP", b"hello", b"HTTP"),
        (
            b"a\r\n0123\r\n4567\r\nA\r\n0123456789\r\n0\r\n\r\n",
            b"0123\r\n4567" + b"0123456789",
            b"",
        ),
        (b'5;a=b;c="d e"\r\nhello\r\n0;last\r\n\r\n', b"hello", b""),
        (b"5 \t\r\nhello\r\n0 \r\n\r\n", b"hello", b""),
        (b"1\r\n\n\r\n0\r\nA: b\r\nC:\r\n\r\n\r\n", b"\n", b"\r\n"),
        (b"0\r\nA: b\n\tfolded\n\nrest", b"", b"rest"),
    ],
)
def test_whole_bodies(data: bytes, content: bytes, rest: bytes) -> None:
    assert alike(data) == Dechunked(content, "done", rest)
    assert dechunk_by_h11(data) == Dechunked(content, "done", rest)


SIZE = "Malformed: a chunk of the body has no valid size"
LONGER = "Malformed: a chunk is longer than its size says"
TRAILER = "Malformed: a trailer of the body is not valid"


@pytest.mark.parametrize(
    ("data", "content", "error"),
    [
        (b"\r\n", b"", SIZE),
        (b"5\nhello\r\n", b"", f"{SIZE}: b'5'"),
        (b"-5\r\n", b"", f"{SIZE}: b'-5\\r'"),
        (b"0x5\r\n", b"", SIZE),
        (b" 5\r\n", b"", SIZE),
        (b"5\r\r\n", b"", SIZE),
        (b"5 ;a\r\n", b"", SIZE),
        (b"g\r\n", b"", SIZE),
        (b"1" * 21 + b"\r\n", b"", SIZE),
        (b"<html>\r\n", b"", SIZE),
        (b"5\r\nhello\r\n\r\n", b"hello", SIZE),
        (b"5\r\nhello!\r\n0\r\n\r\n", b"hello", f"{LONGER}: b'!\\r'"),
        (b"5\r\nhello\n0\r\n\r\n", b"hello", LONGER),
        (b"5\r\nhello\r\r\n", b"hello", LONGER),
        (b"6\r\nhello\r\n0\r\n\r\n", b"hello\r", LONGER),
        (b"0\r\nno colon\r\n\r\n", b"", f"{TRAILER}: b'no colon'"),
        (b"0\r\n folded: first\r\n\r\n", b"", TRAILER),
        (b"0\r\nbad name: x\r\n\r\n", b"", TRAILER),
        (b"0\r\nA: \x00\r\n\r\n", b"", TRAILER),
        (b"0\r\nA: b\rc\r\n\r\n", b"", TRAILER),
    ],
)
def test_what_is_no_chunked_body(data: bytes, content: bytes, error: str) -> None:
    outcome = alike(data)
    assert (outcome.content, outcome.verdict) == (content, "refused")
    assert outcome.error.startswith(error)
    assert dechunk_by_h11(data) == Dechunked(content, "refused")


@pytest.mark.parametrize("data", [b"", b"5", b"5\r\n", b"5\r\nhel", b"0\r\n", b"0\r\nA: b\r\n"])
def test_what_is_not_complete(data: bytes) -> None:
    assert alike(data).verdict == dechunk_by_h11(data).verdict == "more"


@pytest.mark.parametrize(
    ("data", "fits"),
    [
        (b"5;" + b"x" * 13 + b"\r\nhello", True),
        (b"5;" + b"x" * 14 + b"\r\nhello", False),
        (b"5;" + b"x" * 100, False),
        (b"0\r\nA: " + b"x" * 12 + b"\r\n", True),
        (b"0\r\nA: " + b"x" * 14 + b"\r\n", False),
        (b"0\r\n" + b"A: b\r\n" * 4, True),
        (b"0\r\n" + b"A: b\r\n" * 5, False),
        (b"40\r\n" + b"x" * 64 + b"\r\n", True),
    ],
)
def test_lines_and_trailers_have_a_limit(data: bytes, fits: bool) -> None:
    outcome = alike(data, 16)
    assert outcome.verdict == ("more" if fits else "refused")
    assert fits or outcome.error == (
        "LimitExceeded: a line of more than 16 bytes in a chunked body"
    )


def chunk(content: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(content), content)


LINE_ENDS = st.sampled_from([b"\r\n"] * 8 + [b"\n", b"\r", b"\r\r\n", b""])
SIZES = st.sampled_from(
    [*b"0 1 2 3 a B 00 05 0x1 g -1 +1 1_0".split(), b"", b"f" * 20, b"0" * 20, b"0" * 20 + b"1"]
)
EXTENSIONS = st.sampled_from(
    [b""] * 4
    + [
        b";",
        b";a",
        b';a="b"',
        b" ;a",
        b";a ",
        b" ",
        b"\t",
        b";\t",
        b";\xff",
        b";\x00",
        b";\r",
        b"a",
    ]
)
TRAILERS = st.sampled_from(
    [b""] * 4
    + [b"A: b", b"a:", b":", b": b", b"a b: c", b"a : b", b" fold", b"\tfold", b"A: \x00"]
    + [b"A: \x0b", b"A: \xff", b"content-length: 5", b"transfer-encoding: x", b"a\x80: b"]
)
PIECES = st.one_of(
    st.binary(max_size=12).filter(bool).map(chunk),
    st.builds(lambda *parts: b"".join(parts), SIZES, EXTENSIONS, LINE_ENDS),
    st.builds(lambda *parts: b"".join(parts), TRAILERS, LINE_ENDS),
    st.just(b"0\r\n"),
    st.just(b"0\r\n\r\n"),
    st.binary(max_size=3),
)
BODIES = st.lists(PIECES, max_size=8).map(b"".join)


@pytest.mark.parametrize(
    ("trailers", "suspect"),
    [
        (b"", False),
        (b"A: b\r\n content-length: 5\r\n", False),
        (b"Content-Length: 5\r\n", True),
        (b"a: b\r\ntransfer-encoding: chunked\r\nc: d\r\n", True),
    ],
)
def test_trailers_that_speak_of_framing(trailers: bytes, suspect: bool) -> None:
    for pieces in every_way(b"1\r\na\r\n0\r\n" + trailers + b"\r\n"):
        reader = ChunkedReader()
        for piece in pieces:
            reader.feed(piece, [])
        assert (reader.done, reader.suspect) == (True, suspect)


@settings(max_examples=400)
@given(st.data(), BODIES, st.integers(1, 40))
def test_cutting_never_matters(data: st.DataObject, body: bytes, limit: int) -> None:
    pieces = data.draw(cuts(body))
    assert dechunk(pieces, limit) == dechunk(whole(body), limit) == dechunk(bytewise(body), limit)


@given(st.lists(st.binary(min_size=1)), st.data())
def test_what_was_chunked_comes_out(contents: list[bytes], data: st.DataObject) -> None:
    body = b"".join(map(chunk, contents)) + b"0\r\n\r\n"
    places = data.draw(st.lists(st.integers(0, len(body)), max_size=8))
    assert dechunk(at(body, places)) == Dechunked(b"".join(contents), "done")
