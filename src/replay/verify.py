"""Asks the recorded questions again, of the service itself, and compares the shapes."""

import time
from collections.abc import Callable
from urllib.parse import urlsplit

import msgspec

from ..protocols.errors import TokenwireError
from ..protocols.toolkit.http import Request
from .cassette import Cassette, Recording
from .checking import shape_changes
from .decoding import as_request
from .redaction import LEFT_OUT
from .tape import Tape
from .upstream import Passage, PassingClient

__all__ = ["ask_again", "verify"]


async def verify(
    cassette: Cassette, *, upstream: str = "", sign: Callable[[Request], Request]
) -> list[str]:
    """How the shapes of the answers have changed, a line each. Texts may be others. `upstream`: the
    address of the service (empty: where it was recorded); `sign` adds the key to a request. Raises
    TokenwireError if the service can't be asked."""
    changes: list[str] = []
    async with PassingClient() as client:
        for recording in cassette.recordings:
            live = await ask_again(recording, client, upstream=upstream, sign=sign)
            where = f"line {recording.line}" if recording.line else recording.request.url
            changes += (f"{where}: {change}" for change in shape_changes(recording, live))
    return changes


async def ask_again(
    recording: Recording,
    client: PassingClient,
    *,
    upstream: str = "",
    sign: Callable[[Request], Request],
) -> Recording:
    """A recording of the same request, sent to the service. Raises TokenwireError."""
    asked = as_request(recording)
    url = asked.url
    if upstream:
        origin = urlsplit(upstream)
        url = f"{origin.scheme}://{origin.netloc}{asked.target}"
    kept = [pair for pair in asked.headers if pair[1] != LEFT_OUT.encode()]
    request = sign(msgspec.structs.replace(asked, url=url, headers=kept))
    tape = Tape(request, clock=time.perf_counter)

    def take(pieces: list[bytes]) -> None:
        for piece in pieces:
            tape.piece(piece)

    passage = Passage(request, read=tape.read, head=tape.head, take=take)
    try:
        async with client.open(passage) as answer:
            async for _ in answer:
                pass
    except TokenwireError:
        if passage.closing is None:
            raise
    tape.end(passage.closing or "disconnect")
    return tape.recording()
