"""`SSEDecoder` against the standard's own algorithm (tests/whatwg.py), on whatever streams."""

from collections.abc import Iterable, Iterator
from itertools import combinations, product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.cutting import at, bytewise, cut, cuts, whole
from tests.whatwg import Ignored, Interpretation, Item, Message, interpret, utf8_decode
from tokenwire.protocols.toolkit.sse import ServerSentEvent, SSEDecoder, SSEItem

LONGEST_RETRY = 10**18 - 1
"""Our bound for `retry`, 31 million years in milliseconds: the standard's integer has none."""


def ours(pieces: Iterable[bytes], *, eof: bool, usual: str = "message") -> Interpretation:
    """What our decoder makes of a stream, `eof`: and of its clean end."""
    decoder = SSEDecoder(usual=usual)
    items: list[SSEItem] = []
    for piece in pieces:
        decoder.feed(piece, items)
    if eof:
        decoder.eof(items)
    return Interpretation(
        [translated(item) for item in items],
        decoder.last_event_id,
        decoder.retry,
        [text(decoder.last_comment)] if decoder.last_comment else [],
    )


def translated(item: SSEItem) -> Item:
    if isinstance(item, ServerSentEvent):
        return Message(item.type, text(item.data), item.last_event_id)
    return Ignored(text(item.line))


def text(data: bytes) -> str:
    """`data` as those who take our events decode it."""
    return data.decode(errors="replace")


def standard(stream: bytes, *, eof: bool) -> Interpretation:
    """What our decoder has to make of `stream`, by the standard's algorithm.

    `eof`: the one difference on purpose. At a clean end of the body we take the last line, and
    dispatch the last event, though their ends are missing: as if there were an end of a line and a
    blank line more.
    """
    expected = interpret(stream + b"\n\n" if eof else stream)
    if expected.retry is not None:
        expected.retry = min(expected.retry, LONGEST_RETRY)
    # We keep one comment, to say it of a stream that was cut; an empty one says nothing.
    expected.comments = [comment for comment in expected.comments[-1:] if comment]
    return expected


def assert_alike(stream: bytes, ways: Iterable[list[bytes]]) -> None:
    expected, expected_at_eof = standard(stream, eof=False), standard(stream, eof=True)
    for pieces in ways:
        for usual in ("message", "x"):
            assert ours(pieces, eof=False, usual=usual) == expected
            assert ours(pieces, eof=True, usual=usual) == expected_at_eof


# Streams

BOM = b"\xef\xbb\xbf"
ENDS = st.sampled_from([b"\n", b"\r", b"\r\n"])
KNOWN = st.sampled_from([b"data", b"event", b"id", b"retry"])
UNKNOWN = st.sampled_from(
    [
        *(b"", b"Data", b"data ", b" data", b"dat", b"datas", b"error", b"da\0ta", b'{"error"'),
        *(b"\xff", b"\xe2\x80\xa8", BOM + b"data", BOM),
    ]
)
COLONS = st.sampled_from([b": ", b":", b"", b":  ", b"::", b": :", b" :", b":\t"])
NUMBERS = st.sampled_from(
    [
        *(b"0", b"10", b"007", b"0" * 20 + b"5", b"9" * 18, b"9" * 19, b"1" + b"0" * 18),
        *(b"+5", b"-5", b"1_0", b" 5", b"5 ", b"0x5", b"1e3", b"\xd9\xa3", b"\xb2"),
    ]
)
BROKEN_UTF8 = st.sampled_from(
    [
        *(b"\x80", b"\xc0\x80", b"\xc2", b"\xe2\x80", b"\xe0\x9f\xbf", b"\xed\xa0\x80"),
        *(b"\xf0\x9f\x98", b"\xf0\x8f\xbf\xbf", b"\xf4\x90\x80\x80", b"\xf5", b"\xff", b"\xef\xbb"),
    ]
)
WORDS = st.sampled_from(
    [
        *(b"", b"x", b"[DONE]", b'{"a":1}', b"a\0b", b"\0", b"a:b", b":", BOM),
        *("é\u2028\u2029\u0085\v\f\x1c".encode(), "😀".encode()),
    ]
)
VALUES = WORDS | NUMBERS | BROKEN_UTF8 | st.binary(max_size=6)


def joined(*parts: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    return st.tuples(*parts).map(b"".join)


FIELDS = joined(KNOWN | UNKNOWN, COLONS, VALUES, ENDS)
PLAIN_FIELDS = joined(KNOWN, st.just(b": "), WORDS, ENDS)
RETRIES = joined(st.sampled_from([b"retry:", b"retry: "]), NUMBERS, ENDS)
# What most of a real stream is, and what the decoder has a shorter way for.
EVENTS = [b"data: x\n\n", b"data: \n\n", b"data: {}\n\n"]
RUNS = st.lists(
    st.sampled_from([*EVENTS, *(b"event: x\n" + event for event in EVENTS)]), max_size=4
)
LINES = FIELDS | PLAIN_FIELDS | RETRIES | ENDS | RUNS.map(b"".join) | VALUES
STREAMS = joined(
    st.sampled_from([b"", b"", b"", BOM, BOM + BOM, b"\xef\xbb", b"\xef", b"\n" + BOM]),
    st.lists(LINES, max_size=8).map(b"".join),
)

REAL = [
    b": OPENROUTER PROCESSING\n\n" * 2
    + b'data: {"id":"1","choices":[{"index":0,"delta":{"content":"H\xc3\xa9"}}]}\n\n' * 3
    + b"data: [DONE]\n\n",
    b"event: message_start\r\ndata: {}\r\n\r\nevent: ping\r\ndata: {}\r\n\r\n"
    b"event: error\r\ndata: {\r\ndata: }\r\n\r\n",
    b"event: x\ndata: 1\n\n" * 3 + b"event: y\ndata: 2\n\n: z\n\n" + b"event: x\ndata: 3\n\n" * 2,
    b"retry: 3000\nid: 1\ndata: a\n\nid\ndata: b\n\nid: 2\n\ndata: c\n\nid: 3\ndata: cut",
    b'error: {"message":"no"}\n{"detail":\n "no"\n}\n\ndata:x\rdata: y\r\rdata\r\r',
]


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A stream that a service could send, with some bytes and lines changed."""
    stream = bytearray(draw(st.sampled_from(REAL)))
    for _ in range(draw(st.integers(1, 5))):
        place = draw(st.integers(0, len(stream)))
        end = place + draw(st.integers(0, 8))
        match draw(st.sampled_from(["insert", "delete", "double", "flip"])):
            case "insert":
                stream[place:place] = draw(st.binary(max_size=4) | ENDS | BROKEN_UTF8)
            case "delete":
                del stream[place:end]
            case "double":
                stream[place:place] = stream[place:end]
            case _:
                stream[place:end] = bytes(
                    byte ^ (1 << draw(st.integers(0, 7))) for byte in stream[place:end]
                )
    return bytes(stream)


@settings(max_examples=800)
@given(cut(STREAMS))
def test_streams_of_corner_cases(drawn: tuple[bytes, list[bytes]]) -> None:
    stream, pieces = drawn
    assert_alike(stream, [whole(stream), bytewise(stream), pieces])


@settings(max_examples=300)
@given(cut(mutated()))
def test_streams_of_services_that_were_damaged(drawn: tuple[bytes, list[bytes]]) -> None:
    stream, pieces = drawn
    assert_alike(stream, [whole(stream), bytewise(stream), pieces])


@settings(max_examples=150)
@given(st.binary(max_size=40), st.data())
def test_any_bytes(stream: bytes, data: st.DataObject) -> None:
    assert_alike(stream, [whole(stream), bytewise(stream), data.draw(cuts(stream))])


TOKENS = (b"data", b"id", b":", b" ", b"\r", b"\n")


def test_all_short_streams() -> None:
    """All that can be said with five of these."""
    for tokens in product(TOKENS, repeat=5):
        stream = b"".join(tokens)
        assert_alike(stream, [whole(stream), list(tokens)])


def all_cuts(stream: bytes) -> Iterator[list[bytes]]:
    inner = range(1, len(stream))
    for count in range(len(stream)):
        for places in combinations(inner, count):
            yield at(stream, places)


@pytest.mark.parametrize(
    "stream",
    [
        b"data\r\n\r\nx",
        b"id:\r\r\ndata\n",
        BOM + b"data\n\n",
        b"data:\xe2\x80\n\n",
        b"\r\n:\r\n\rdata",
        b"data\r\rdata",
    ],
)
def test_all_cuts_of_short_streams(stream: bytes) -> None:
    assert_alike(stream, all_cuts(stream))


def test_a_retry_beyond_all_measure_is_bounded() -> None:
    """The difference that `standard` allows for."""
    stream = b"retry: 1" + b"0" * 5000 + b"\n"
    assert interpret(stream).retry == 10**5000
    assert ours(whole(stream), eof=False).retry == LONGEST_RETRY


def test_the_last_event_needs_no_blank_line() -> None:
    """The difference on purpose, which `standard` states for all streams."""
    stream = b"id: 1\nevent: x\ndata: a\n\nid: 2\nevent: y\ndata: b"
    first, last = Message("x", "a", "1"), Message("y", "b", "2")
    assert interpret(stream).items == ours(whole(stream), eof=False).items == [first]
    assert ours(whole(stream), eof=True).items == [first, last]


@given(st.binary() | st.lists(BROKEN_UTF8 | VALUES).map(b"".join))
def test_python_decodes_utf8_as_the_standard_does(data: bytes) -> None:
    """Of the reference: two who decode by different rules would hide what the decoder does."""
    assert utf8_decode(data) == data.removeprefix(BOM).decode(errors="replace")
