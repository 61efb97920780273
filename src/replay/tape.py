"""A tape: writes down one request and its response, as they happen."""

from collections.abc import Callable, Sequence

import msgspec

from ..protocols.toolkit.http import Headers, Request, get_header
from .cassette import LARGEST, Ending, Framing, Head, Piece, Recording, Sent
from .redaction import Redactor, SecretFound, decoded, kept_headers

__all__ = ["Tape", "framing_of"]

LEAST = 0.1
"""Milliseconds between two reads at least: 0 would say that they were one."""


class Tape:
    """One request and its response. `clock` returns seconds, from any start. Secrets are taken out
    when it is over, so that those are found that were cut."""

    def __init__(
        self,
        request: Request,
        *,
        clock: Callable[[], float],
        redact: Sequence[str] = (),
        limit: int = LARGEST,
    ) -> None:
        self._redactor = Redactor(request, redact)
        self._sent = Sent(
            request.method, self._redactor.url(), self._redactor.headers(), self._redactor.body()
        )
        self._clock = clock
        self._left = limit
        self._head: tuple[float | None, Head] | None = None
        self._pieces: list[tuple[float | None, bytes]] = []  # None: by the same read
        self._trailers: Headers = []
        self._end: tuple[float | None, Ending] | None = None
        self._begin = clock()
        self._read: float | None = None  # when; None: something of it was written down

    @property
    def ended(self) -> bool:
        """Whether it is known how the response ended."""
        return self._end is not None

    @property
    def answered(self) -> bool:
        """Whether the response has begun."""
        return self._head is not None

    def read(self) -> None:
        """Something was read: what follows came by this read."""
        self._read = self._clock()

    def head(
        self, status: int, headers: Headers, *, http: str = "", framing: Framing | None = None
    ) -> None:
        """The head of the response. `framing`: None is what the headers say."""
        kept = tuple((name, self._redactor.text(value)) for name, value in kept_headers(headers))
        framing = framing_of(headers) if framing is None else framing
        self._head = self._taken(), Head(status, http, framing, kept)

    def received(self, data: bytes) -> None:
        """A piece of the body, which is all of a read."""
        self._read = None  # each piece comes here, so the rest is worked out at the end
        self._left -= len(data)
        if self._left >= 0:
            self._pieces.append((self._clock(), data))

    def piece(self, data: bytes) -> None:
        """A piece of the body."""
        self._left -= len(data)
        if self._left >= 0:
            self._pieces.append((self._taken(), data))

    def trailers(self, trailers: Headers) -> None:
        """The trailers of a chunked body."""
        self._trailers = trailers

    def end(self, how: Ending) -> None:
        """How the response ended. Only the first call counts."""
        if self._end is None:
            self._end = self._taken(), how

    def recording(self) -> Recording:
        """What it has written, without secrets. Raises SecretFound if a secret is in a body that is
        compressed, where it can't be taken out."""
        since = self._intervals()
        head = self._head and msgspec.structs.replace(self._head[1], after=since(self._head[0]))
        pieces = [Piece(since(at), data) for at, data in self._pieces]
        at, end = self._end or (None, "left")
        after = since(at)
        if self._left < 0:
            end, after = "clipped", 0
        trailers = kept_headers(self._trailers)
        recording = Recording(
            self._sent,
            head,
            self._redactor.pieces(pieces),
            tuple((name, self._redactor.text(value)) for name, value in trailers),
            end,
            after,
        )
        plain = decoded(msgspec.structs.replace(recording, pieces=tuple(pieces)))
        if plain is not None and self._redactor.finds(plain):
            raise SecretFound("the response is compressed, and has the key that was sent")
        return recording

    def _taken(self) -> float | None:
        """When the last read was; None: something of it was written down already."""
        at, self._read = self._read, None
        return at

    def _intervals(self) -> Callable[[float | None], float]:
        """Makes times milliseconds since the line before; 0 if it came by the same read."""
        last = 0.0

        def since(at: float | None) -> float:
            nonlocal last
            if at is None:
                return 0.0
            # With one digit, so that the intervals add up to the time.
            now = max(round((at - self._begin) * 1000, 1), round(last + LEAST, 1))
            interval, last = round(now - last, 1), now
            return interval

        return since


def framing_of(headers: Headers) -> Framing:
    """How a body ends, by what HTTP/1.1 says in `headers`."""
    if get_header(headers, b"transfer-encoding") is not None:
        return "chunked"
    return "close" if get_header(headers, b"content-length") is None else "length"
