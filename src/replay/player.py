"""Finds the recorded answer to a request: by its method, its path and query, and its body."""

import os
import time
from collections.abc import Callable, Iterable, Sequence
from threading import Lock
from typing import Any

import msgspec

from ..protocols.errors import LocalProtocolError
from ..protocols.toolkit.http import Request
from ..protocols.toolkit.redaction import redact
from .age import Stale, judge
from .cassette import BadCassette, Cassette, Recording, Sent, load
from .pointers import Difference, check_pointer, differences
from .redaction import LEFT_OUT, Redactor

__all__ = ["NoMatch", "Player"]

SHOWN = 5
"""How many differences an error shows."""
LONGEST = 80
"""Characters of a value in an error."""


class NoMatch(LocalProtocolError):
    """No recorded request is the one that is asked, or all that are have been answered. The message
    says how the closest one differs."""


class Player:
    """Hands out the recordings of a cassette, each once, in the order recorded.

    `ignore`: JSON pointers to what may differ in bodies (`/metadata`, `/messages/*/id`). `repeat`:
    the last one of several equal requests is answered again and again. May be used by several
    threads at once.
    """

    def __init__(
        self, cassette: Cassette, *, ignore: Iterable[str] = (), repeat: bool = False
    ) -> None:
        self.cassette = cassette
        self._ignore = [check_pointer(pointer) for pointer in ignore]
        self._repeat = repeat
        self._used = [False] * len(cassette.recordings)
        self._lock = Lock()

    @classmethod
    def of(
        cls,
        cassette: "Cassette | str | os.PathLike[str]",
        *,
        ignore: Iterable[str] = (),
        repeat: bool = False,
        max_age: str | None = None,
        stale: Stale = "warn",
        now: Callable[[], float] = time.time,
    ) -> "Player":
        """The player of a cassette, or of the file of one. `max_age`: how long ago it may have been
        recorded (`12h`, `90d`, `8w`); `stale`: if it is older, `warn` with a UserWarning, or `fail`
        with BadCassette; `now` returns seconds since 1970. Raises BadCassette, and
        LocalProtocolError for what is no age, or no pointer."""
        if isinstance(cassette, Cassette):
            found, name = cassette, "the cassette"
        else:
            found, name = load(cassette), os.fspath(cassette)
        if max_age is not None:
            judge(found, name, max_age, stale, now())
        return cls(found, ignore=ignore, repeat=repeat)

    @property
    def unused(self) -> list[Recording]:
        """The recordings that nobody has asked for yet."""
        pairs = zip(self.cassette.recordings, self._used, strict=True)
        return [recording for recording, used in pairs if not used]

    def take(self, request: Request) -> Recording:
        """The recording that answers `request`. Raises NoMatch, and BadCassette if that was cut off
        by the recorder."""
        redactor = Redactor(request)
        asked = Sent(request.method, redactor.url(), {}, redactor.body())
        with self._lock:
            recording = self._find(asked, request)
        if recording.end == "clipped":
            raise BadCassette("the recording is not whole: the response was too large for it")
        return recording

    def _find(self, asked: Sent, request: Request) -> Recording:
        same: list[int] = []
        closest: tuple[int, Recording, list[Difference]] | None = None
        for place, recording in enumerate(self.cassette.recordings):
            differing = self._differences(recording.request, asked)
            if not differing:
                same.append(place)
            elif closest is None or _weight(differing) < closest[0]:
                closest = _weight(differing), recording, differing
        free = [place for place in same if not self._used[place]]
        for place in free or (same[-1:] if self._repeat else []):
            self._used[place] = True
            return self.cassette.recordings[place]
        what = f"{request.method} {request.target.partition('?')[0]}"
        if same:
            times = f"{len(same)} times" if len(same) > 1 else "once"
            said = f"{what} was recorded {times}, and is asked once more (repeat=True answers it)"
        elif closest is None:
            said = f"{what}: the cassette has no request"
        else:
            said = f"{what} was not recorded; {_said(closest[1], closest[2])}"
        raise NoMatch(redact(said, request.secrets()))

    def _differences(self, recorded: Sent, asked: Sent) -> list[Difference]:
        found: list[Difference] = []
        if recorded.method != asked.method:
            found.append(Difference("method", recorded.method, asked.method))
        targets = _target(recorded.url), _target(asked.url)
        found += (
            Difference(f"the path{one.pointer}", one.recorded, one.asked)
            for one in differences(*targets, wild=LEFT_OUT)
        )
        bodies = recorded.body, asked.body
        return [*found, *differences(*bodies, self._ignore, wild=LEFT_OUT)]


def _target(url: str) -> str:
    """The path and query of a URL."""
    _, _, rest = url.partition("://")
    return rest.partition("/")[2] or "/"


def _weight(differing: Sequence[Difference]) -> int:
    """How far apart two requests are: another path is another question."""
    far = 1000 * sum(not each.pointer.startswith("/") for each in differing)
    return far + len(differing)


def _said(closest: Recording, differing: Sequence[Difference]) -> str:
    where = f" (line {closest.line})" if closest.line else ""
    shown = [
        f"at {each.pointer or 'the body'} it has {_brief(each.recorded)}, not {_brief(each.asked)}"
        for each in differing[:SHOWN]
    ]
    more = len(differing) - len(shown)
    rest = [f"and {more} more"] if more > 0 else []
    return f"the closest recorded request{where} differs: {'; '.join([*shown, *rest])}"


def _brief(value: Any) -> str:
    if value is msgspec.UNSET:
        return "nothing"
    if isinstance(value, bytes):
        return f"{len(value)} bytes"
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."
