"""Pieces of bodies that matter to lines and to server-sent events, joined at random."""

from hypothesis import strategies as st

__all__ = ["BOM", "SOUP"]

BOM = b"\xef\xbb\xbf"

TOKENS = (
    *(b"\n", b"\r", b"\r\n", b"\n\n", b"data:", b"data: ", b"data", b"data: a\n\n", b"data: \r\n"),
    *(b"event:", b"event: x\n", b"id: 7\n", b"id", b"id: a\0b\n", b"retry: 10\n", b"retry: x\n"),
    *(b":", b": ping\n", b"error: {}\n", b"foo", b" ", b"\0", b"x", BOM, BOM[:1], b"\xbb", b"\xff"),
    *("\u2028\u2029\u0085\u00e9\U0001f600".encode(), b"\v", b"\f", b"\x1c", b"\x85"),
)  # fmt: skip
SOUP = st.lists(st.sampled_from(TOKENS), max_size=24).map(b"".join)
