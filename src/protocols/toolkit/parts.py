"""Numbers of parts, where the wire draws no borders: the kind draws them."""

__all__ = ["PartNumbers"]


class PartNumbers:
    """The parts of one choice, numbered in the order of their beginning."""

    __slots__ = ("kind", "last")

    def __init__(self) -> None:
        self.last = -1
        """The number of the part under way."""
        self.kind = ""
        """Its kind; empty for a part that nothing more belongs to by its kind."""

    def of(self, kind: str) -> int:
        """The part that a piece of `kind` belongs to: the one under way, or a new one."""
        if kind != self.kind:
            self.kind = kind
            self.last += 1
        return self.last

    def new(self) -> int:
        """A new part, which nothing that follows belongs to by its kind."""
        self.kind = ""
        self.last += 1
        return self.last
