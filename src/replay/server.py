"""Plays a cassette back as a server, for any client: cuts, pauses, framing and end as recorded."""

import time
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import replace

from ..protocols.echo import echo
from ..protocols.errors import BadRequest, LocalProtocolError, Refused
from ..protocols.limits import Limits
from ..protocols.refusing import refuse
from ..protocols.registry import PROVIDERS
from ..protocols.service import Service
from ..protocols.toolkit.http import Request, get_header
from ..server.embedded import Server
from ..server.faults import Cutting, Faults
from ..server.scripts import Action, Ending, Pause, Plan, Script, Write, encoded
from .cassette import Ending as End
from .cassette import Recording
from .decoding import provider_by_path, provider_of, response_headers
from .player import Player

__all__ = ["Played", "ReplayServer", "Whole", "refusal"]

_DROPPED = frozenset(
    (
        *(b"date", b"set-cookie", b"content-length", b"connection", b"keep-alive", b"te"),
        *(b"trailer", b"transfer-encoding", b"upgrade", b"proxy-authenticate"),
    )
)
_ENDINGS: dict[End, Ending] = {
    "eof": Ending.KEEP,
    "disconnect": Ending.CLOSE,
    "unreached": Ending.CLOSE,
    "reset": Ending.RESET,
    "timeout": Ending.WAIT,
    "left": Ending.WAIT,
}


class ReplayServer(Server):
    """Answers out of a cassette, as a context manager like `tokenwire.server.Server`.

    `speed`: 1 as recorded, 10 ten times as fast, 0 without any pause. `longest_gap`: the most
    seconds that a pause takes. `cutting`: other cuts than those recorded. `faults`, `fault`: what
    goes wrong in addition, as of `serve`; a fault that replaces the whole response uses no
    recording. `player.unused` has what nobody has asked for yet. A request that was not recorded is
    answered with 500 and the words of `NoMatch`, which `on_error` gets, too.
    """

    def __init__(
        self,
        player: Player,
        *,
        speed: float = 0,
        longest_gap: float | None = None,
        cutting: Cutting | None = None,
        fault: Faults = None,
        faults: Iterable[Faults] = (),
        host: str = "127.0.0.1",
        port: int = 0,
        on_error: Callable[[Exception], None] | None = None,
    ) -> None:
        if speed < 0:
            raise LocalProtocolError(f"speed {speed}: give 0 for no pauses, or a number above")
        cassette = player.cassette
        found = [provider_of(cassette, recording) for recording in cassette.recordings]
        provider = next((each for each in found if each is not None), PROVIDERS["openai"])
        if provider.params:
            provider = provider.replace(base_url="http://localhost")
        super().__init__(
            provider,
            echo(provider),
            address=(host, port),
            key=None,
            cutting=cutting or Cutting.per_event(),
            fault=fault,
            faults=faults,
            ssl_context=None,
            public_url=None,
            cors=None,
            request_limit=Limits().document,
            patience=60,
            now=time.time,
            on_error=on_error,
        )
        self.player = player
        self._speed = speed
        self._longest_gap = longest_gap
        self._recut = cutting is not None

    def script(self, request: Request, plan: Plan) -> Script:
        if plan.replacement is not None:
            return super().script(request, plan)
        try:
            recording = self.player.take(request)
        except LocalProtocolError as error:
            self.keep_error(error)
            return refusal(request, plan, 500, str(error))
        return Played(
            request,
            plan,
            recording,
            speed=self._speed,
            longest_gap=self._longest_gap,
            cutting=self.cutting if self._recut else None,
        )


class Whole(Script):
    """A response whose body is there."""

    def __init__(self, request: Request, plan: Plan, status: int, body: bytes) -> None:
        super().__init__(request, plan)
        self.status = status
        self.length = len(body)
        self.headers = [(b"content-type", b"application/json")]
        self._body = body

    def actions(self) -> Generator[Action]:
        yield Write(self._body)


def refusal(request: Request, plan: Plan, status: int, message: str) -> Whole:
    """What a client of the format of `request` understands as an error, and does not ask again."""
    provider = provider_by_path(request) or PROVIDERS["openai"]
    responder = Service(provider).responder()
    error = refuse(BadRequest if status < 500 else Refused, status, message)
    error.should_retry = False
    body = responder.fail(error)
    whole = Whole(request, plan, status, body)
    whole.headers = responder.head()[1]
    return whole


class Played(Script):
    """A recorded response. `cutting`: None is as recorded."""

    def __init__(
        self,
        request: Request,
        plan: Plan,
        recording: Recording,
        *,
        speed: float = 0,
        longest_gap: float | None = None,
        cutting: Cutting | None = None,
    ) -> None:
        super().__init__(request, plan)
        self._recording = recording
        self._speed = speed
        self._longest_gap = longest_gap
        self._cutting = cutting
        self._as_recorded = cutting is None and plan == Plan()
        head = recording.response
        if head is None:
            self.plan = replace(plan, head=False, ending=_ENDINGS[recording.end])
            return
        self.status = head.status
        headers = response_headers(recording)
        self.headers = [pair for pair in headers if pair[0] not in _DROPPED]
        self.trailers = [(n.encode(), v.encode("latin-1")) for n, v in recording.trailers]
        if head.framing == "close":
            self.plan = replace(self.plan, framed=False)
        elif head.framing == "length" and self._as_recorded:
            self.length = _length(recording, get_header(headers, b"content-length"))
        if plan.ending is Ending.KEEP and plan.end_after is None:
            self.plan = replace(self.plan, ending=_ending(recording))

    def actions(self) -> Generator[Action]:
        recording = self._recording
        if recording.response is None:
            yield from self._pause(recording.end_after)
            return
        yield from self._pause(recording.response.after)
        if not self.plan.head:
            return
        yield Write(b"")  # the head, which may come long before the body
        if self._as_recorded:
            following = [*(piece.after == 0 for piece in recording.pieces[1:]), False]
            for piece, more in zip(recording.pieces, following, strict=False):
                yield from self._pause(piece.after)
                yield Write(piece.data, more=more)
        else:
            parts = encoded(self.plan, self._parts())
            yield from self.written(parts, self._cutting or Cutting.per_event())
        yield from self._pause(recording.end_after)

    def _parts(self) -> Iterator[bytes | Pause]:
        for piece in self._recording.pieces:
            yield from self._pause(piece.after)
            yield piece.data

    def _pause(self, millis: float) -> Iterator[Pause]:
        if self._speed and millis:
            seconds = millis / 1000 / self._speed
            yield Pause(seconds if self._longest_gap is None else min(seconds, self._longest_gap))


def _ending(recording: Recording) -> Ending:
    noted = recording.outcome
    if recording.end == "left" and noted is not None and noted.outcome == "complete":
        return Ending.KEEP  # the reader had what it wanted: nobody saw how the body ended
    return _ENDINGS[recording.end]


def _length(recording: Recording, told: str | None) -> int | None:
    """What the header content-length says: if the body was whole, what that has, as a file may have
    been changed by hand."""
    if recording.end == "eof":
        return len(recording.body)
    return int(told) if told is not None and told.isdecimal() else None
