"""The index: as a dict would have it, in less memory."""

from hypothesis import given, settings
from hypothesis import strategies as st

from tokenwire.batch.index import Index
from tokenwire.batch.outcomes import Fate

KEYS = st.integers(0, 2**64 - 1) | st.integers(0, 5) | st.sampled_from([2**63, 1024, 2048])


@settings(max_examples=30)
@given(st.lists(st.tuples(KEYS, st.integers(0, 2**64 - 1), st.sampled_from(Fate)), max_size=40))
def test_it_is_a_dict(puts: list[tuple[int, int, Fate]]) -> None:
    index, known = Index(), dict[int, tuple[int, Fate]]()
    for key, asked, fate in puts:
        index.put(key, asked, fate)
        known[key or 1] = asked & ~0xFF, fate  # 0 and 1 are the same: one digest of 2**64
    assert {key: index.get(key) for key in known} == known
    assert len(index) == len(known)


def test_it_grows() -> None:
    index = Index()
    keys = [number * 1024 for number in range(1, 900)]  # all of them collide at first
    for key in keys:
        index.put(key, key << 8, Fate.COMPLETE)
    assert all(index.get(key) == (key << 8, Fate.COMPLETE) for key in keys)
    assert index.get(5) == (0, Fate.UNKNOWN)
    assert len(index) == len(keys)


def test_marks_of_what_was_seen() -> None:
    index = Index()
    index.put(1, 512, Fate.TRUNCATED)
    assert not index.see(1)
    assert index.see(1)
    index.put(1, 1024, Fate.COMPLETE)
    assert index.see(1)
    assert index.get(1) == (1024, Fate.COMPLETE)
    assert not index.see(2)
    index.unsee(1)
    index.unsee(1)
    index.unsee(3)
    assert not index.see(1)
    index.unsee_all()
    assert not index.see(2)
    assert not index.see(1)
    assert index.get(2) == (0, Fate.UNKNOWN)
