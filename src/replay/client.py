"""Plays a cassette back in process: a transport without a network, on recorded time.

A recorded pause takes no time, but the clocks are told that it has passed: a gap of 90 s runs out
`Clocks(idle=60)` at once, after exactly the events before it.
"""

import os
import time
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, assert_never

from ..protocols.clocks import Clocks
from ..protocols.errors import LocalProtocolError, TransportError
from ..protocols.events import Event
from ..protocols.exchange import Exchange
from ..protocols.retry import Retry
from ..transports.client import clients
from ..transports.client.answer import Reading
from ..transports.client.clients import AnyClient, BlockingClient
from ..transports.client.course import Course, Leave, Receive, Send, Sleep
from .age import Stale
from .cassette import Cassette, Recording
from .decoding import response_headers
from .player import Player

if TYPE_CHECKING:
    from ..protocols.observer import Observing
    from ..server.faults import Cutting, Faults
    from .server import ReplayServer

__all__ = ["AsyncClient", "Client", "Replay", "replay"]


def replay(
    cassette: "Cassette | str | os.PathLike[str]",
    *,
    ignore: Iterable[str] = (),
    repeat: bool = False,
    max_age: str | None = None,
    stale: Stale = "warn",
    now: Callable[[], float] = time.time,
) -> "Replay":
    """A cassette, or the file of one, to be played back. See `Player` and `Player.of` for the
    arguments. Raises BadCassette, and LocalProtocolError for arguments that can't be used."""
    player = Player.of(
        cassette, ignore=ignore, repeat=repeat, max_age=max_age, stale=stale, now=now
    )
    return Replay(player)


class Replay:
    """A cassette that is played back. Its clients share it: each recording is used once."""

    def __init__(self, player: Player) -> None:
        self.player = player

    @property
    def unused(self) -> list[Recording]:
        """The recordings that nobody has asked for yet."""
        return self.player.unused

    def client(
        self,
        *,
        clocks: Clocks | None = None,
        retry: Retry | None = None,
        observers: "Sequence[Observing]" = (),
    ) -> "Client":
        """A client for blocking code: `ask(..., client=...)`."""
        return Client(self.player, clocks, retry, observers)

    def async_client(
        self,
        *,
        clocks: Clocks | None = None,
        retry: Retry | None = None,
        observers: "Sequence[Observing]" = (),
    ) -> "AsyncClient":
        """A client for async code, on any event loop: `ask_async(..., client=...)`."""
        return AsyncClient(self.player, clocks, retry, observers)

    def serve(
        self,
        *,
        speed: float = 0,
        longest_gap: float | None = None,
        cutting: "Cutting | None" = None,
        fault: "Faults" = None,
        faults: "Iterable[Faults]" = (),
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> "ReplayServer":
        """A server that answers out of the cassette, for any client. See `ReplayServer`. It needs
        anyio: `pip install tokenwire[server]`."""
        from .server import ReplayServer

        return ReplayServer(
            self.player,
            speed=speed,
            longest_gap=longest_gap,
            cutting=cutting,
            fault=fault,
            faults=faults,
            host=host,
            port=port,
        )


class _Client(AnyClient):
    def __init__(
        self,
        player: Player,
        clocks: Clocks | None,
        retry: Retry | None,
        observers: "Sequence[Observing]",
    ) -> None:
        super().__init__(observers)
        self._player = player
        self._clocks = clocks
        self._retry = retry

    def _reading(self, exchange: Exchange) -> Reading:
        return _Replaying(exchange, self._player, self._clocks, self._retry)


class Client(_Client, BlockingClient):
    """Answers out of a cassette."""


class AsyncClient(_Client, clients.AsyncClient):
    """Answers out of a cassette, for async code."""


class ConnectError(Exception):
    """No connection was made when it was recorded. `Course` knows it by its name."""


class _Replaying(Reading):
    """Does what a course asks for, out of a cassette. `_now` is the recorded time, in seconds."""

    def __init__(
        self, exchange: Exchange, player: Player, clocks: Clocks | None, retry: Retry | None
    ) -> None:
        super().__init__()
        self._exchange = exchange
        self._clocks = clocks
        self._retry = retry
        self._course: Course | None = None  # once reading has begun
        self._player = player
        self._now = 0.0
        self._recording: Recording | None = None
        self._place = 0
        self._stopped = False

    async def fill(self) -> list[Event]:
        course = self._course or self._start()
        while not course.events:
            if self._stopped:
                if course.finished:
                    return []
                raise TransportError("the answer was closed, or aborted")
            action = course.next(self._now)
            match action:
                case Send():
                    self._send(course, action)
                case Receive():
                    self._receive(course, action.deadline)
                case Sleep():
                    self._now = max(self._now, action.until)
                case Leave():
                    self._leave(course, action)
                case None:
                    return []
                case _:
                    assert_never(action)
        course.pause(self._now)
        events, course.events = course.events, []
        return events

    def driver(self) -> Course | None:
        return self._course

    def stop(self) -> None:
        self._stopped = True
        (self._course or self._exchange).leave()
        self.ready.clear()

    async def leave(self, *, at_once: bool) -> None:
        self.stop()

    def abort(self) -> None:
        self._stopped = True

    def _start(self) -> Course:
        if self.keeps_raw:
            self._exchange.keep_raw()
        self._course = Course(
            self._exchange,
            clocks=self._clocks,
            retry=self._retry,
            allow_private_addresses=True,  # nothing is sent
            now=0.0,
            wall_clock=time.time(),
            jitter=0.0,
        )
        return self._course

    def _send(self, course: Course, action: Send) -> None:
        self._recording = recording = self._player.take(action.request)
        self._place = 0
        if recording.response is None:
            self._end(course, recording, action.deadline)
        elif self._waited(course, recording.response.after, action.deadline):
            head = recording.response
            framed = head.framing in ("chunked", "length")
            course.responded(head.status, response_headers(recording), http2=framed)

    def _receive(self, course: Course, deadline: float | None) -> None:
        recording = self._recording
        assert recording is not None  # its response has begun
        if self._place == len(recording.pieces):
            self._end(course, recording, deadline)
            return
        piece = recording.pieces[self._place]
        if self._waited(course, piece.after, deadline):
            self._place += 1
            course.received(piece.data, self._now)

    def _leave(self, course: Course, action: Leave) -> None:
        """The response is no longer needed; what is left of it is read if the answer is complete,
        as other transports do, and observers may be told of its end."""
        recording, self._recording = self._recording, None
        if recording is not None and action.answered and recording.end == "eof":
            exchange = course.exchange
            for piece in recording.pieces[self._place :]:
                exchange.receive_data(piece.data)
            exchange.receive_eof()

    def _end(self, course: Course, recording: Recording, deadline: float | None) -> None:
        match recording.end:
            case "timeout" | "left" | "clipped":
                self._fall_silent(course, deadline)
            case _ if not self._waited(course, recording.end_after, deadline):
                pass
            case "eof":
                course.ended()
            case "unreached":
                course.failed(ConnectError("no connection, as recorded"), self._now)
            case _:
                course.events += course.exchange.receive_disconnect()

    def _fall_silent(self, course: Course, deadline: float | None) -> None:
        """Nothing more was received when this was recorded."""
        if deadline is None:
            raise LocalProtocolError(
                "the recording falls silent here, and no clock ends the wait: give the client "
                "clocks=Clocks(...)"
            )
        self._now = deadline
        course.failed(TimeoutError("as recorded"), self._now)

    def _waited(self, course: Course, millis: float, deadline: float | None) -> bool:
        """Let recorded time pass. False: the deadline came first."""
        until = self._now + millis / 1000
        if deadline is not None and until >= deadline:
            self._now = deadline
            # A piece may come later, within another clock: only what was waited is left out.
            course.failed(TimeoutError("as recorded"), self._now)
            return False
        self._now = until
        return True
