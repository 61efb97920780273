"""How large anything may grow. Sizes are in bytes of decoded content; `parts` is a count.

Limits apply to complete and partial input alike, so that they never depend on how the network
splits the bytes.
"""

import msgspec

from .errors import LimitExceeded

__all__ = ["Limits", "Parts"]


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """The sizes that an answer may not exceed; `LimitExceeded` names the one that it did."""

    event: int = 16 * 1024 * 1024
    """One line, one event. The largest in our recordings is 8 MiB (a picture in base64)."""

    response: int = 256 * 1024 * 1024
    """One response body after undoing its content-encoding. A stream of 128,000 tokens with 330
    bytes of JSON each is 42 MB; a gzip bomb grows a thousandfold."""

    document: int = 64 * 1024 * 1024
    """One JSON document (an answer that is not streamed), which must be held in memory whole."""

    picture: int = 32 * 1024 * 1024
    """One picture fetched from an address that a server chose."""

    head: int = 64 * 1024
    """The status line and headers of a response. nginx and h11 allow a quarter of that."""

    error_body: int = 64 * 1024
    """The part of an error's body that is read; the rest is not waited for."""

    parts: int = 64 * 1024
    """Choices, tool calls, sources and native forms of one answer, together. Each takes up to a
    kilobyte until the answer ends, though a peer can name it in ten bytes. Dozens are typical."""


class Parts:
    """Counts the choices, tool calls, sources and native forms of an answer."""

    __slots__ = ("_count", "_limit")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._count = 0

    def add(self) -> None:
        """One more. Raises LimitExceeded."""
        self._count += 1
        if self._count > self._limit:
            what = "choices, tool calls, sources and native forms"
            raise LimitExceeded(f"an answer of more than {self._limit} {what}")
