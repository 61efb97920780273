"""Bytes to lines: the same, however the bytes are cut."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.cutting import bytewise, cuts, every_way, whole
from tests.protocols.toolkit.soup import BOM, SOUP
from tokenwire.protocols.errors import LimitExceeded
from tokenwire.protocols.toolkit.lines import Lines


def split(pieces: list[bytes], limit: int = 1 << 20) -> tuple[list[bytes], bytes, str]:
    """The lines, what is left, and the error."""
    lines = Lines(limit)
    found: list[bytes] = []
    try:
        for piece in pieces:
            for line in lines.feed(piece).splitlines():
                lines.check(len(line))
                found.append(line)
            lines.check_rest()
    except LimitExceeded as error:
        return found, b"", str(error)
    return found, lines.rest, ""


@pytest.mark.parametrize(
    ("body", "lines", "rest"),
    [
        (b"", [], b""),
        (b"a", [], b"a"),
        (b"a\nb\r\nc\rd", [b"a", b"b", b"c"], b"d"),
        (b"a\r", [b"a"], b""),
        (b"\na\n", [b"", b"a"], b""),
        (b"\r\r\n\n", [b"", b"", b""], b""),
        (BOM + b"a\n" + BOM + b"b\n", [b"a", BOM + b"b"], b""),
        (BOM + BOM + b"a\n", [BOM + b"a"], b""),
        (BOM + b"a", [], b"a"),
        (BOM[:2], [], BOM[:2]),
        (b"a\n" + BOM, [b"a"], BOM),
        ("a\u2028b\u2029c\u0085d\n".encode(), ["a\u2028b\u2029c\u0085d".encode()], b""),
        (b"a\vb\fc\x1cd\x1ee\x85f\n", [b"a\vb\fc\x1cd\x1ee\x85f"], b""),
    ],
)
def test_lines(body: bytes, lines: list[bytes], rest: bytes) -> None:
    for pieces in every_way(body):
        assert split(pieces) == (lines, rest, "")


@given(SOUP, st.integers(1, 12), st.data())
def test_lines_never_depend_on_the_cutting(body: bytes, limit: int, data: st.DataObject) -> None:
    assert split(data.draw(cuts(body))) == split(whole(body))
    assert split(data.draw(cuts(body)), limit) == split(bytewise(body), limit)
    assert split(whole(body), limit) == split(bytewise(body), limit)


@pytest.mark.parametrize(
    ("pieces", "partial"),
    [
        ([b""], 0),
        ([b"\n"], 0),
        ([b": ping\n\n: po"], 0),
        ([b"data: x\n", b""], 0),
        ([b"da"], 2),
        ([b"da", b"ta: x"], 7),
        ([b"data: x\r"], 0),
        ([b"data: x\n: ping\nda"], 2),
        ([b"id: 7"], 5),
    ],
)
def test_the_bytes_of_a_partial_line(pieces: list[bytes], partial: int) -> None:
    lines = Lines(100)
    for piece in pieces:
        lines.feed(piece)
    assert lines.partial() == partial
    assert lines.partial((b":", b"id:")) == (partial if partial != 5 else 0)


@pytest.mark.parametrize("line", [b"x" * 10, b"\n" + b"x" * 10, b"\n" + BOM + b"x" * 7])
def test_a_partial_line_that_is_too_long_is_refused_at_once(line: bytes) -> None:
    assert split([line], 10)[1:] == (line.strip(b"\n"), "")
    assert split([line + b"x"], 10)[1:] == (b"", "an event of more than 10 bytes")


def test_a_partial_line_that_is_too_long_after_a_whole_one() -> None:
    for partial, too_long in ((b"x" * 10, False), (b"x" * 11, True)):
        lines = Lines(10)
        assert lines.feed(b"a\n" + partial) == b"a\n"
        assert lines.too_long is too_long


def test_a_byte_order_mark_before_the_first_line_does_not_count() -> None:
    assert split([BOM + b"x" * 10], 10) == ([], b"x" * 10, "")
    assert split([BOM + b"x" * 11], 10) == ([], b"", "an event of more than 10 bytes")
