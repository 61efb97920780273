"""Ways of cutting bytes into the pieces that a network could deliver: cutting never matters."""

import random
from collections.abc import Iterator

from hypothesis import strategies as st

from tokenwire.testing import cut_at as at
from tokenwire.testing import cuts

__all__ = ["at", "bytewise", "cut", "cuts", "every_way", "random_cut", "whole"]


def whole(data: bytes) -> list[bytes]:
    """All of it in one piece."""
    return [data]


def bytewise(data: bytes) -> list[bytes]:
    """One byte a piece."""
    return [data[at : at + 1] for at in range(len(data))]


def random_cut(data: bytes, seed: int) -> list[bytes]:
    """Cut at random: the same seed, the same places. Some pieces are empty."""
    draw = random.Random(seed)
    count = draw.randint(1, 1 + len(data) // 3)
    return at(data, [draw.randint(0, len(data)) for _ in range(count)])


def every_way(data: bytes, seeds: int = 4) -> Iterator[list[bytes]]:
    """Whole, byte by byte, and `seeds` random cuts."""
    yield whole(data)
    yield bytewise(data)
    for seed in range(seeds):
        yield random_cut(data, seed)


@st.composite
def cut(draw: st.DrawFn, data: st.SearchStrategy[bytes]) -> tuple[bytes, list[bytes]]:
    """A strategy: bytes drawn from `data`, and the same bytes cut."""
    drawn = draw(data)
    return drawn, draw(cuts(drawn))
