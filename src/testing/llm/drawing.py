"""The timeline of what a test's server sent."""

from collections.abc import Iterator, Sequence

import msgspec

from ...replay.cassette import Cassette, Recording
from ...replay.decoding import decoded
from ...replay.timeline import timeline
from .mounting import mounted
from .received import Received

__all__ = ["drawn"]


def drawn(requests: Sequence[Received]) -> str:
    """A page of HTML with a section for each of `requests` of which all was kept."""
    return timeline(Cassette(tuple(_recordings(requests))))


def _recordings(requests: Sequence[Received]) -> Iterator[Recording]:
    for received in requests:
        if received.tape is not None and received.chat is not None:
            recording = received.tape.recording()
            noted = decoded([recording], mounted(received.provider)).noted
            yield msgspec.structs.replace(recording, outcome=noted)
