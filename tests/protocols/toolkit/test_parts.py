"""Numbers of parts, where the kind draws the borders."""

from hypothesis import given
from hypothesis import strategies as st

from tokenwire.protocols.toolkit.parts import PartNumbers


def test_parts_are_numbered_in_the_order_of_their_beginning() -> None:
    numbers = PartNumbers()
    assert (numbers.last, numbers.kind) == (-1, "")
    kinds = ("reasoning", "reasoning", "text", "text", "reasoning", "text")
    assert [numbers.of(kind) for kind in kinds] == [0, 0, 1, 1, 2, 3]
    assert (numbers.last, numbers.kind) == (3, "text")


def test_a_new_part_goes_on_with_nothing() -> None:
    numbers = PartNumbers()
    assert [numbers.new(), numbers.new()] == [0, 1]
    assert (numbers.last, numbers.kind) == (1, "")
    assert [numbers.of("text"), numbers.of("text")] == [2, 2]
    assert [numbers.new(), numbers.of("text")] == [3, 4]


@given(st.lists(st.sampled_from(["text", "reasoning", ""])))
def test_a_border_is_where_the_kind_changes(kinds: list[str]) -> None:
    """ "" stands for a part of its own."""
    numbers = PartNumbers()
    found = [numbers.of(kind) if kind else numbers.new() for kind in kinds]
    assert found[:1] in ([], [0])
    for place in range(1, len(kinds)):
        goes_on = kinds[place] != "" and kinds[place] == kinds[place - 1]
        assert found[place] - found[place - 1] == (0 if goes_on else 1)
