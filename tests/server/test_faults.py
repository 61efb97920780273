"""Cuttings, as functions of pieces. What faults do is shown in test_scripts and test_server."""

import dataclasses

import pytest

from tokenwire.protocols.errors import LocalProtocolError
from tokenwire.server import faults
from tokenwire.server.faults import Cutting

PIECES = [b"abc", b"", b"defg", b"h"]


@pytest.mark.parametrize(
    ("cutting", "expected"),
    [
        (Cutting(), [b"abc", b"defg", b"h"]),
        (Cutting.per_event(), [b"abc", b"defg", b"h"]),
        (Cutting.whole(), [b"abcdefgh"]),
        (Cutting.byte_by_byte(), [b"a", b"b", b"c", b"d", b"e", b"f", b"g", b"h"]),
        (Cutting.of_sizes(3), [b"abc", b"def", b"gh"]),
        (Cutting.of_sizes(1, 4), [b"a", b"bcde", b"f", b"gh"]),
        (Cutting.of_sizes(8), [b"abcdefgh"]),
        (Cutting.of_sizes(9), [b"abcdefgh"]),
    ],
)
def test_where_it_cuts(cutting: Cutting, expected: list[bytes]) -> None:
    assert list(cutting.cut(PIECES)) == expected
    assert list(cutting.cut([])) == []
    assert list(cutting.cut([b""])) == []


def test_what_can_be_written_is_not_held_back() -> None:
    def pieces() -> object:
        yield b"abcde"
        pytest.fail("asked for more than was needed")

    cut = Cutting.of_sizes(2).cut(pieces())  # type: ignore[arg-type]  # pyright: ignore
    assert [next(cut), next(cut)] == [b"ab", b"cd"]


@pytest.mark.parametrize(
    "cutting",
    [Cutting.per_event(pause=0.5), Cutting.byte_by_byte(pause=0.5), Cutting.of_sizes(2, pause=0.5)],
)
def test_a_pause_is_kept(cutting: Cutting) -> None:
    assert cutting.pause == 0.5


@pytest.mark.parametrize("sizes", [(), (0,), (3, -1)])
def test_sizes_must_be_above_zero(sizes: tuple[int, ...]) -> None:
    with pytest.raises(LocalProtocolError, match="give sizes above 0"):
        Cutting.of_sizes(*sizes)


def test_all_is_frozen() -> None:
    for name in faults.__all__:
        value = getattr(faults, name)
        if dataclasses.is_dataclass(value):
            assert isinstance(value, type)
            assert hash(value(*[500] * (name == "RefuseWith"), *[5] * name.endswith("After")))
