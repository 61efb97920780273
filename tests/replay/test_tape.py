"""What a tape writes down."""

import zlib

import pytest

from tests.replay.taping import steady
from tokenwire.protocols.toolkit.http import Request
from tokenwire.replay.cassette import Piece
from tokenwire.replay.redaction import SecretFound
from tokenwire.replay.tape import Tape, framing_of

ASKED = Request("POST", "http://a/", [(b"authorization", b"Bearer tw-12345678")], b"{}")


def test_times_are_between_lines_and_reads_are_units() -> None:
    tape = Tape(ASKED, clock=steady(1.0, 1.01234, 1.01234, 1.02, 1.5))
    assert not tape.answered
    tape.read()
    tape.head(200, [(b"transfer-encoding", b"chunked"), (b"x-request-id", b"tw-12345678")])
    tape.piece(b"a")
    tape.read()  # at the same moment: yet another read
    tape.piece(b"b")
    tape.piece(b"c")
    tape.read()
    tape.piece(b"d")
    tape.read()
    assert not tape.ended
    tape.trailers([(b"x-request-id", b"t"), (b"secret", b"s")])
    tape.end("reset")
    tape.end("eof")
    assert tape.ended
    assert tape.answered
    found = tape.recording()
    assert found.response is not None
    assert (found.response.after, found.response.framing) == (12.3, "chunked")
    assert found.response.headers[1] == ("x-request-id", "xxxxxxxxxxx")
    assert found.pieces == (Piece(0, b"a"), Piece(0.1, b"b"), Piece(0, b"c"), Piece(7.6, b"d"))
    assert (found.end, found.end_after) == ("reset", 480.0)
    assert found.trailers == (("x-request-id", "t"),)


def test_no_end_is_the_readers() -> None:
    found = Tape(ASKED, clock=steady(0)).recording()
    assert (found.end, found.response, found.request.body) == ("left", None, {})


def test_a_response_that_is_too_large() -> None:
    tape = Tape(ASKED, clock=steady(0), limit=3)
    tape.head(200, [])
    for data in (b"ab", b"cd", b"e"):
        tape.piece(data)
    tape.piece(b"f")
    tape.end("eof")
    found = tape.recording()
    assert (found.body, found.end) == (b"ab", "clipped")


def test_what_is_too_large_after_its_end() -> None:
    tape = Tape(ASKED, clock=steady(0), limit=3)
    tape.head(200, [])
    tape.end("left")
    tape.received(b"abc")
    tape.received(b"d")
    assert tape.recording().end == "clipped"


def test_a_secret_that_can_not_be_taken_out() -> None:
    tape = Tape(ASKED, clock=steady(0))
    tape.head(200, [(b"content-encoding", b"gzip")])
    tape.piece(zlib.compress(b"you sent tw-12345678", wbits=31))
    with pytest.raises(SecretFound, match="is compressed, and has the key"):
        tape.recording()


def test_framings() -> None:
    assert framing_of([(b"transfer-encoding", b"chunked"), (b"content-length", b"1")]) == "chunked"
    assert framing_of([(b"content-length", b"1")]) == "length"
    assert framing_of([]) == "close"
