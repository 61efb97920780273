"""An index of rows in 24 bytes or so each: digest of the id, digest of what was asked, and marks.

A dict of a million rows takes 150 MB, this 34 to 67. Open addressing with linear probing (Knuth,
The Art of Computer Programming, volume 3, section 6.4, algorithm L).
"""

from array import array

from .outcomes import Fate

__all__ = ["Index"]

_FATE = 0x0F
_SEEN = 0x10
_FATES = tuple(Fate)


class Index:
    """Maps the digest of an id to what was asked, and what became of it.

    Of `asked` the upper 56 bits are kept; the other eight are for the fate and the marks.
    """

    __slots__ = ("_count", "_mask", "_slots")

    def __init__(self) -> None:
        self._count = 0
        self._make(1024)

    def __len__(self) -> int:
        return self._count

    def get(self, key: int) -> tuple[int, Fate]:
        """What was asked, but for its last eight bits, and the fate. UNKNOWN: it is not there, or
        only `seen`."""
        value = self._slots[self._find(key) + 1]  # of a free slot that is 0
        return value & ~0xFF, _FATES[value & _FATE]

    def put(self, key: int, asked: int, fate: Fate) -> None:
        """Set what was asked, and the fate; a mark of `see` stays."""
        place = self._place(key)
        seen = self._slots[place + 1] & _SEEN
        self._slots[place + 1] = (asked & ~0xFF) | seen | fate

    def see(self, key: int) -> bool:
        """Mark `key` as seen. Returns whether it was before."""
        place = self._place(key)
        value = self._slots[place + 1]
        if value & _SEEN:
            return True
        self._slots[place + 1] = value | _SEEN
        return False

    def unsee(self, key: int) -> None:
        """Take the mark of `key` away."""
        place = self._find(key)
        if self._slots[place + 1] & _SEEN:
            self._slots[place + 1] ^= _SEEN

    def unsee_all(self) -> None:
        """Take all these marks away, for another pass over the same rows."""
        slots = self._slots
        for place in range(1, len(slots), 2):
            if slots[place] & _SEEN:
                slots[place] ^= _SEEN

    def _make(self, slots: int) -> None:
        self._slots = array("Q", bytes(16 * slots))
        self._mask = slots - 1

    def _find(self, key: int) -> int:
        """The place of `key`, or of the free slot where it would be."""
        slots, mask = self._slots, self._mask
        key = key or 1  # 0 is a free slot
        at = key & mask
        while (found := slots[2 * at]) and found != key:
            at = (at + 1) & mask
        return 2 * at

    def _place(self, key: int) -> int:
        """The place of `key`, which is there now."""
        place = self._find(key)
        if self._slots[place]:
            return place
        if 4 * self._count >= 3 * (self._mask + 1):
            self._grow()
            place = self._find(key)
        self._slots[place] = key or 1
        self._count += 1
        return place

    def _grow(self) -> None:
        old = self._slots
        self._make(2 * (self._mask + 1))
        for at in range(0, len(old), 2):
            if old[at]:
                place = self._find(old[at])
                self._slots[place], self._slots[place + 1] = old[at], old[at + 1]
