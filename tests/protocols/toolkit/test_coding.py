"""Content-encodings undone: whatever is good before a fault comes out, however it is cut."""

import gzip
import zlib
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.asking import chunk, question
from tests.cutting import cuts, every_way, whole
from tests.driving import SSE, Response, alike, drive
from tokenwire.protocols.errors import LimitExceeded, Malformed, UnexpectedContent
from tokenwire.protocols.events import End, Text
from tokenwire.protocols.limits import Limits
from tokenwire.protocols.toolkit.coding import PIECE, ContentDecoder, Identity, content_decoder


def bare(data: bytes) -> bytes:
    """Deflate without zlib's header, as some send it."""
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


def decoder(coding: str) -> ContentDecoder:
    return content_decoder([(b"content-encoding", coding.encode())])


def decode(coding: str, pieces: list[bytes]) -> tuple[bytes, bool, str]:
    """What comes out, whether it is whole, and the error."""
    undo = decoder(coding)
    out = bytearray()
    try:
        for piece in pieces:
            undo.feed(piece)
            while undo.more:
                decoded = undo.take()
                assert len(decoded) <= PIECE
                out += decoded
    except Malformed as error:
        return bytes(out), undo.whole, str(error)
    return bytes(out), undo.whole, ""


Pack = Callable[[bytes], bytes]
PACKED: list[tuple[str, Pack]] = [
    ("gzip", gzip.compress),
    ("X-GZIP", gzip.compress),
    ("deflate", zlib.compress),
    ("deflate", bare),
]


@pytest.mark.parametrize(("coding", "pack"), PACKED)
@pytest.mark.parametrize("data", [b"", b"a", b"data: a\n\n" * 100, bytes(range(256)) * 9])
def test_it_is_undone(coding: str, pack: Pack, data: bytes) -> None:
    for pieces in every_way(pack(data)):
        assert decode(coding, pieces) == (data, True, "")


@pytest.mark.parametrize(("coding", "pack"), PACKED)
def test_what_is_cut_is_not_whole(coding: str, pack: Pack) -> None:
    packed = pack(b"data: a\n\n" * 100)
    for size in range(len(packed)):
        for pieces in every_way(packed[:size], seeds=1):
            out, is_whole, error = decode(coding, pieces)
            assert (is_whole, error) == (False, "")
            assert out == decode(coding, whole(packed[:size]))[0]


@pytest.mark.parametrize(
    "size", [0, 1, PIECE - 1, PIECE, PIECE + 1, PIECE + 20, PIECE + 200, 3 * PIECE]
)
@pytest.mark.parametrize(("coding", "pack"), PACKED)
def test_a_piece_is_bounded_and_the_last_one_is_not_lost(
    coding: str, pack: Pack, size: int
) -> None:
    """A bare deflate body has nothing behind its last match: zlib's window holds it."""
    packed = pack(b"a" * size)
    assert decode(coding, whole(packed)) == (b"a" * size, True, "")


def test_gzip_may_have_several_members() -> None:
    for pieces in every_way(gzip.compress(b"a") + gzip.compress(b"") + gzip.compress(b"bc")):
        assert decode("gzip", pieces) == (b"abc", True, "")


def test_what_follows_gzip_and_is_no_member_is_malformed() -> None:
    for pieces in every_way(gzip.compress(b"a") + b"\0\0rest"):
        content, _, error = decode("gzip", pieces)
        assert content == b"a"
        assert "not valid gzip" in error


def test_deflate_is_not_taken_for_gzip() -> None:
    zipped = zlib.compress(b"b")
    for pieces in every_way(zipped):
        assert decode("gzip", pieces) == (b"", False, "the body is not valid gzip")
    for pieces in every_way(gzip.compress(b"a") + zipped):
        assert decode("gzip", pieces) == (b"a", False, "the body is not valid gzip")


# Stored blocks, which begin with the last one's flag, the type and 5 bits of padding that may be
# anything (RFC 1951 section 3.2.4), and with their length. In zlib's header there stand the method,
# 8, and what makes of both bytes a multiple of 31 (RFC 1950 section 2.2).
METHOD = b"\x08\x02\x00\xfd\xffhi" + b"\x01\x00\x00\xff\xff"
MULTIPLE = b"\x49\x05\x00\xfa\xffhello"


def test_bare_deflate_may_look_half_like_zlib() -> None:
    for data, packed in ((b"hi", METHOD), (b"hello", MULTIPLE)):
        for pieces in every_way(packed):
            assert decode("deflate", pieces) == (data, True, "")


def test_bytes_behind_the_end_of_deflate_are_ignored() -> None:
    for pieces in every_way(zlib.compress(b"a") + b"rest"):
        assert decode("deflate", pieces) == (b"a", True, "")


@pytest.mark.parametrize(("coding", "pack"), PACKED)
def test_what_came_before_a_fault_comes_out(coding: str, pack: Pack) -> None:
    data = b"".join(b"data: %d\n\n" % number for number in range(400))
    packed = bytearray(pack(data))
    for place in range(0, len(packed), 23):
        broken = bytes(packed[:place] + bytes((packed[place] ^ 0x55,)) + packed[place + 1 :])
        outcome = decode(coding, whole(broken))
        for pieces in every_way(broken, seeds=2):
            assert decode(coding, pieces) == outcome


def test_a_wrong_checksum_is_the_last_thing_that_is_seen() -> None:
    packed = gzip.compress(b"hello")
    broken = packed[:-8] + bytes(4) + packed[-4:]
    for pieces in every_way(broken):
        assert decode("gzip", pieces) == (b"hello", False, "the body is not valid gzip")


@given(st.sampled_from(["gzip", "deflate"]), st.binary(max_size=60), st.data())
def test_any_bytes_give_the_same_however_cut(coding: str, data: bytes, draw: st.DataObject) -> None:
    assert decode(coding, draw.draw(cuts(data))) == decode(coding, whole(data))


def test_identity() -> None:
    for undo in (content_decoder([]), decoder("identity"), decoder(" Identity ")):
        assert isinstance(undo, Identity)
        assert undo.whole
        assert not undo.more
        data = bytes(range(256)) * (2 * PIECE // 256) + b"rest"
        for piece in (data[:-2], b"", data[-2:]):
            undo.feed(piece)
        pieces: list[bytes] = []
        while undo.more:
            pieces.append(undo.take())
        assert [len(piece) for piece in pieces] == [PIECE, PIECE, 2, 2]
        assert b"".join(pieces) == data


def test_identity_that_is_taken_to_its_end() -> None:
    undo = Identity()
    undo.feed(b"abcd")
    assert (undo.take(2), undo.more, undo.take(2), undo.more) == (b"ab", True, b"cd", False)


@pytest.mark.parametrize("coding", ["br", "zstd", "gzip, br", "compress"])
def test_no_other_coding(coding: str) -> None:
    with pytest.raises(UnexpectedContent, match=f"content-encoding '{coding}' though identity"):
        decoder(coding)


def test_a_long_name_of_a_coding_is_not_shown() -> None:
    with pytest.raises(UnexpectedContent, match=r"'\(too long to show\)' though"):
        decoder("x" * 100)


# In an exchange

BODY = b"".join(b"data: " + chunk(word) + b"\n\n" for word in ("a", "b")) + b"data: [DONE]\n\n"


@pytest.mark.parametrize(("coding", "pack"), PACKED)
def test_an_answer(coding: str, pack: Pack) -> None:
    response = Response(pack(BODY), headers=[*SSE, (b"Content-Encoding", coding.encode())])
    outcome = alike(question(), response).succeeded()
    assert outcome.events == [Text("a"), Text("b"), End("terminator")]


def test_an_answer_up_to_its_fault() -> None:
    packer = zlib.compressobj(wbits=31)
    body = packer.compress(b"data: " + chunk("a") + b"\n\n") + packer.flush(zlib.Z_FULL_FLUSH)
    response = Response(body + b"\xff" * 9, headers=[*SSE, (b"content-encoding", b"gzip")])
    outcome = alike(question(), response).refused_by(Malformed, "the body is not valid gzip")
    assert outcome.events == [Text("a")]


def test_a_bomb_meets_the_limit() -> None:
    bomb = gzip.compress(b"data: a\n" * 500_000)
    limits = Limits(event=1 << 20, response=200_000)
    response = Response(bomb, headers=[*SSE, (b"content-encoding", b"gzip")])
    drive(question(limits=limits), response).refused_by(
        LimitExceeded, "a body of more than 200000 bytes"
    )
