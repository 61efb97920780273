"""What a server can see of a client that asks again, or waits, more than it should."""

from collections.abc import Iterator, Sequence

from ...protocols.retry import seconds_of
from .received import Received

__all__ = ["findings"]

_POINTLESS = (400, 401, 403, 404, 422)
"""Statuses after which the same request can't succeed."""
_PAUSE = 0.01
"""Seconds: what is shorter is no pause."""
_MOST = 10
_LONG = 1.0
"""Seconds for which a client may read on, after the end mark."""
_STALLED = 59.0
"""Seconds: about as long as the server waits."""


def findings(requests: Sequence[Received]) -> list[str]:
    """A line for each thing that a client does wrong."""
    return [*_repeated(requests), *_waited(requests)]


def _repeated(requests: Sequence[Received]) -> Iterator[str]:
    before: dict[tuple[str, str, bytes], list[Received]] = {}
    for received in requests:
        key = (received.method, received.path, received.request.body)
        same = before.setdefault(key, [])
        if same:
            yield from _again(same[-1], received)
        same.append(received)
    for same in before.values():
        if len(same) > _MOST:
            yield f"request {same[0].number} was asked {len(same)} times"


def _again(first: Received, again: Received) -> Iterator[str]:
    if first.done_at is None or first.so_far == "sent":
        return
    who = f"request {again.number} repeats request {first.number}"
    pause = again.at - first.last_write_at
    told = seconds_of(first.retry_after or "")
    if first.status in _POINTLESS:
        yield f"{who}, which can't succeed: {first.status}"
    elif told is not None and pause < told:
        yield f"{who} after {pause:.1f} s, and was told to wait {told:g} s"
    elif told is None and pause < _PAUSE:
        yield f"{who} without any pause"


def _waited(requests: Sequence[Received]) -> Iterator[str]:
    for received in requests:
        waited = received.waited or 0
        if received.whole and waited > _LONG:
            yield f"request {received.number}: kept reading for {waited:.0f} s after the end mark"
        elif waited >= _STALLED:
            yield f"request {received.number}: left a stalled stream only after {waited:.0f} s"
