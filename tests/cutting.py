"""Ways of splitting bytes into the pieces that a network could deliver."""

from hypothesis import strategies as st

from tokenwire.testing.pieces import bytewise, cuts, every_way, random_cut, whole
from tokenwire.testing.pieces import cut_at as at

__all__ = ["at", "bytewise", "cut", "cuts", "every_way", "random_cut", "whole"]


@st.composite
def cut(draw: st.DrawFn, data: st.SearchStrategy[bytes]) -> tuple[bytes, list[bytes]]:
    """A strategy: bytes drawn from `data`, and the same bytes in pieces."""
    drawn = draw(data)
    return drawn, draw(cuts(drawn))
