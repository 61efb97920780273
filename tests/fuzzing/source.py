"""From the bytes that a fuzzer makes up to what a target is to do with them."""

from collections.abc import Callable
from dataclasses import dataclass, field

from tests.cutting import at

__all__ = ["CUTS", "Target", "cut_by", "split"]

CUTS = 9
"""Bytes that `cut_by` needs."""


@dataclass(frozen=True)
class Target:
    """What is fuzzed. `run` raises what is a finding; `words` are what the fuzzer inserts."""

    run: Callable[[bytes], None]
    seeds: list[bytes]
    words: list[bytes] = field(default_factory=list[bytes])
    max_len: int = 800


def split(data: bytes, size: int) -> tuple[bytes, bytes]:
    """What a target feeds, and the last `size` bytes (zeros, if there are less), which say how.

    The choices stand last, so that a seed is a stream as it is, followed by zeros.
    """
    if len(data) < size:
        return b"", data.ljust(size, b"\0")
    return data[: len(data) - size], data[len(data) - size :]


def cut_by(choices: bytes, *, least: int = 1) -> Callable[[bytes], list[bytes]]:
    """A way of cutting: in pieces of one size, `least` or more, or at up to four places."""
    size = (choices[0] & 0x0F) + least

    def cut(data: bytes) -> list[bytes]:
        if choices[0] & 0x30 == 0x30:
            return [data[i : i + size] for i in range(0, len(data), size)]
        numbers = (int.from_bytes(choices[i : i + 2]) for i in range(1, CUTS, 2))
        return at(data, [number % (len(data) + 1) for number in numbers])

    return cut
