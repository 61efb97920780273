"""Numbers for parts in formats that draw no borders: a new kind begins a new part."""

__all__ = ["PartNumbers"]


class PartNumbers:
    """The parts of one choice, numbered in the order in which they begin."""

    __slots__ = ("kind", "last")

    def __init__(self) -> None:
        self.last = -1
        """The number of the current part; -1 before the first."""
        self.kind = ""
        """The kind of the current part; empty if no kind can continue it."""

    def of(self, kind: str) -> int:
        """The part that a piece of `kind` belongs to: the current one, or a new one."""
        if kind != self.kind:
            self.kind = kind
            self.last += 1
        return self.last

    def new(self) -> int:
        """A new part, which no kind continues."""
        self.kind = ""
        self.last += 1
        return self.last
