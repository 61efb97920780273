"""Every place at which an answer can be split, or end early."""

from collections.abc import Callable, Iterator
from random import Random
from typing import Literal, TypeAlias

from ...protocols.chat import Chat, as_chat
from ...protocols.errors import LocalProtocolError, RemoteProtocolError
from ...protocols.events import Text
from ...protocols.registry import provider_named
from ...protocols.service import Service, pair
from .answers import Scripted
from .places import events_in
from .received import Received

__all__ = ["CutPlace", "Step", "following", "places"]

Step: TypeAlias = Literal["byte", "character", "event"]

_AROUND = 16
"""Bytes that are shown on both sides of a place."""


class CutPlace:
    """A place in the body of an answer: after `offset` bytes. The others are known once a request
    has come."""

    def __init__(self, offset: int) -> None:
        self.offset = offset
        self.body = b""
        """The whole body."""
        self.provider = ""
        """Whose format it is in."""
        self.streamed = True

    @property
    def before(self) -> bytes:
        """The bytes in front of the place."""
        return self.body[max(0, self.offset - _AROUND) : self.offset]

    @property
    def after(self) -> bytes:
        """The bytes that follow it."""
        return self.body[self.offset : self.offset + _AROUND]

    @property
    def complete(self) -> bool:
        """Whether what is in front of it is a whole answer: it has the finish reason, and only the
        end mark may be missing. Raises LocalProtocolError before a request has come."""
        if not self.provider:
            raise LocalProtocolError("no request has come yet for this place")
        provider = provider_named(self.provider)
        chat = as_chat("?", model="any", stream=self.streamed)
        exchange = provider.exchange(
            chat,
            base_url="http://localhost",
            random=Random(0),  # noqa: S311  nothing secret
        )
        service = Service(provider.replace(any_model=True))
        begun = self.body[: self.offset]
        try:
            for _ in pair(exchange, service, _anything, cut=lambda body: (begun,)):
                pass
        except RemoteProtocolError:
            return False
        return True

    def __repr__(self) -> str:
        return (
            f"<byte {self.offset} of {len(self.body)}: {self.before!r} before it, "
            f"{self.after!r} after it>"
        )


def _anything(chat: Chat) -> Iterator[Text]:
    yield Text("?")


def places(
    answer: Callable[[int], Scripted], step: Step, *, renew: Callable[[], None]
) -> Iterator[CutPlace]:
    """Each place of an answer, from 0. `answer` queues it for a place; `renew` makes the next one
    the same bytes. Raises AssertionError if nobody asks."""
    offset: int | None = 0
    while offset is not None:
        place = CutPlace(offset)
        sizes: list[int] = []
        renew()
        scripted = answer(offset)
        scripted.on_wire = _noting(place, sizes)
        yield place
        if not scripted.asked:
            raise AssertionError(f"nobody asked for the answer that is cut at byte {offset}")
        offset = following(offset, place.body, sizes, step)


def _noting(place: CutPlace, sizes: list[int]) -> Callable[[Received, list[bytes]], None]:
    def note(received: Received, pieces: list[bytes]) -> None:
        place.body = b"".join(pieces)
        place.provider = received.provider
        place.streamed = received.chat is None or received.chat.stream
        sizes[:] = (len(event) for piece in pieces for event in events_in(piece))

    return note


def following(offset: int, body: bytes, sizes: list[int], step: Step) -> int | None:
    """The place after `offset`; None: there is none."""
    if step == "event":
        ends = [sum(sizes[: count + 1]) for count in range(len(sizes) - 1)]
        return next((end for end in ends if end > offset), None)
    offset += 1
    while step == "character" and offset < len(body) and body[offset] & 0xC0 == 0x80:
        offset += 1
    return offset if offset < len(body) else None
