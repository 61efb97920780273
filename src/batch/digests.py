"""Digests of ids and of questions, in 64 bits: what a run remembers of rows that are done.

BLAKE2b (RFC 7693) with 8 bytes. Of a million rows, two have the same digest with a probability of
1 in 37 million.
"""

from hashlib import blake2b
from typing import Any

import msgspec

__all__ = ["Asking", "asked_digest", "asked_text", "id_digest"]

_sorted = msgspec.json.Encoder(order="sorted")


def _int(digest: bytes) -> int:
    return int.from_bytes(digest, "big")


def id_digest(custom_id: str) -> int:
    """The digest of a row's id."""
    return _int(blake2b(custom_id.encode(errors="surrogatepass"), digest_size=8).digest())


def asked_digest(data: bytes) -> int:
    """The digest of a row that can't be asked."""
    return _int(blake2b(data, digest_size=8).digest())


def asked_text(digest: int) -> str:
    """A digest as the journal has it."""
    return f"b2:{digest:016x}"


class Asking:
    """The digest of what is asked: of the format, the form of the row, its body with sorted keys,
    and `options`, but not of the host, the key or the headers. So an answer in a journal is used
    again only for the same question."""

    def __init__(self, dialect: str, options: dict[str, Any]) -> None:
        self._begun = blake2b(_sorted.encode([dialect, options]), digest_size=8)

    def digest(self, form: str, body: bytes) -> int:
        """The digest of a body in the form `form`."""
        found = self._begun.copy()
        found.update(form.encode())
        found.update(body)
        return _int(found.digest())
