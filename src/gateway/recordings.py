"""Keeps what goes to upstreams and comes back, for debugging: a file for each call, as `record` in
the configuration says. The files have no keys, and only the operator may read them."""

import re
import time
from collections.abc import Callable
from pathlib import Path

from ..protocols.errors import LocalProtocolError
from ..protocols.observer import Observer
from ..replay.recorder import Recorder, stamp

__all__ = ["Recording", "Recordings"]


class Recording:
    """The attempts of one call."""

    def __init__(self, recorder: Recorder | None) -> None:
        self.recorder = recorder

    def observers(self) -> tuple[Observer, ...]:
        """What records one attempt."""
        return () if self.recorder is None else (self.recorder(),)


class Recordings:
    """The files in `folder`; empty: nothing is kept. `failed` is called if one can't be written, or
    would have what looks like a key: it is not written then."""

    def __init__(
        self,
        folder: str,
        failed: Callable[[Exception], None],
        now: Callable[[], float] = time.time,
    ) -> None:
        self._folder = Path(folder) if folder else None
        self._failed = failed
        self._now = now

    def begin(self, id: str) -> Recording:
        """A call begins."""
        return Recording(None if self._folder is None else Recorder(title=id, now=self._now))

    def keep(self, recording: Recording, unique: str) -> None:
        """A call has ended. `unique` is what no other one is called."""
        recorder = recording.recorder
        if self._folder is None or recorder is None:
            return
        when = re.sub("[-:]", "", stamp(self._now()))
        try:
            if not recorder.cassette.recordings:  # no upstream was asked
                return
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            recorder.save(self._folder / f"{when}-{unique}.jsonl", private=True)
        except (LocalProtocolError, OSError) as error:
            self._failed(error)
