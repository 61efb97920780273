"""The wire: everything that lies between a socket and an exchange, without the socket.

A transport asks `next(now)` what to do, does it, and reports how it went:

| action | what to do | what to report |
|---|---|---|
| `Connect` | a TCP connection to `route.address`, or a kept one | `connected`, `failed` |
| `Transfer` | send `data`, await bytes to `deadline` | `received`, `lost`, `timed_out` |
| `Sleep` | wait until `until`, no longer | nothing |
| `Release` | keep the connection, or close it | nothing |
| None | nothing: the answer is over | |

After each report `events` holds what to hand to the reader; `next` raises what ended the answer.
A report that no action asked for raises LocalProtocolError, and changes nothing.
"""

from collections.abc import Callable
from enum import Enum, auto
from typing import TypeAlias

import msgspec

from ...protocols.clocks import Clocks, Timer
from ...protocols.errors import (
    Disconnected,
    LocalProtocolError,
    RemoteProtocolError,
    TokenwireError,
    Truncated,
    UnexpectedContent,
)
from ...protocols.events import Event
from ...protocols.exchange import Exchange
from ...protocols.retry import Retry
from ...protocols.toolkit.http import Origin
from .addresses import is_private
from .connection import Connection, Route
from .proxy import Proxy

__all__ = ["Action", "Connect", "Release", "Sleep", "Transfer", "Wire", "WireSettings"]

# After the end of an answer: as much of the rest of the body is read, for as long, so that the
# connection can be kept. What is left is the end of the chunks, rarely a cost record.
DRAIN_BYTES = 64 * 1024
DRAIN_SECONDS = 0.1


class Connect(msgspec.Struct, frozen=True):
    """Connect to `route.address` before `deadline`. `fresh`: not by a kept connection."""

    route: Route
    fresh: bool
    deadline: float | None


class Transfer(msgspec.Struct, frozen=True):
    """Send `data`, if there is any, and wait for bytes until `deadline` (None: for ever). `data`
    comes once: what of it was not sent is to be sent with the next `Transfer`."""

    data: bytes
    deadline: float | None

    def __repr__(self) -> str:
        # Not more: a key and a prompt stand in it.
        return f"Transfer({len(self.data)} bytes, deadline={self.deadline})"


class Sleep(msgspec.Struct, frozen=True):
    """Wait until `until`."""

    until: float


class Release(msgspec.Struct, frozen=True):
    """The connection has done its work: keep it for others, or close it."""

    keep: bool


Action: TypeAlias = Connect | Transfer | Sleep | Release


class WireSettings(msgspec.Struct, frozen=True):
    """What a client gives to each of its wires. `clocks`: None takes the exchange's."""

    retry: Retry
    clocks: Clocks | None
    proxy: Callable[[Origin], Proxy | None]
    allow_private_addresses: bool


class _Phase(Enum):
    ASK = auto()  # the exchange says what is next
    CONNECT = auto()  # its request wants a connection
    TALK = auto()  # the request is on its way, or its response
    DRAIN = auto()  # the answer is there; the rest of its body is read
    RELEASE = auto()  # the connection is to be given back
    OVER = auto()


_TALK = _Phase.TALK  # by a name of its own, as each piece asks for it: an enum looks members up


class Wire:
    """Drives one exchange over any connections. Times are seconds of a clock that only goes
    forward; `wall_clock` is seconds since 1970 at `now`, `jitter` a random number from 0 to 1."""

    __slots__ = (
        "_attempt",
        "_connecting",
        "_connection",
        "_deadline",
        "_drain_deadline",
        "_drained",
        "_exchange",
        "_failure",
        "_fresh",
        "_home",
        "_jitter",
        "_keep",
        "_phase",
        "_proxy",
        "_reused",
        "_settings",
        "_timer",
        "_wake",
        "_wall_clock",
        "events",
    )

    def __init__(
        self,
        exchange: Exchange,
        settings: WireSettings,
        *,
        now: float,
        wall_clock: float,
        jitter: float,
    ) -> None:
        self.events: list[Event] = []
        """What has come, for the transport to take."""
        self._exchange: Exchange = exchange
        self._settings = settings
        self._timer = Timer(settings.clocks or exchange.clocks, now)
        self._wall_clock = wall_clock - now
        self._jitter = jitter
        self._attempt = 1
        self._phase = _Phase.ASK
        self._deadline: float | None = None  # of the last Transfer
        self._wake = now
        self._connection: Connection | None = None
        self._connecting = False  # TLS, or a tunnel
        self._reused = False
        self._fresh = False
        self._proxy: Proxy | None = None
        self._keep = False
        self._drain_deadline = 0.0
        self._drained = 0
        self._failure: TokenwireError | None = None
        self._home = ""  # where the first request went: its peer's address, or the name for a proxy

    def pause(self, now: float) -> None:
        """The reader does something else, until `next` is called again."""
        self._timer.pause(now)

    def next(self, now: float) -> Action | None:
        """What to do next, for a reader who waits for events. Raises, again and again, the
        TokenwireError that ended the answer."""
        self._timer.wait(now)
        if self._phase is _TALK:
            assert self._connection is not None
            self._deadline = self._timer.deadline()
            return Transfer(self._connection.data_to_send(), self._deadline)
        if self._phase is _Phase.ASK:
            action = self._ask(now)
            if action is not None:
                return action
        match self._phase:
            case _Phase.CONNECT:
                return self._connect(now)
            case _Phase.DRAIN:
                assert self._connection is not None
                return Transfer(self._connection.data_to_send(), self._drain_deadline)
            case _Phase.RELEASE:
                self._phase = _Phase.ASK
                self._connection = None
                return Release(self._keep)
            case _:
                if self._failure is not None:
                    raise self._failure
                return None

    @property
    def finished(self) -> bool:
        """Whether the answer is complete; if anything is left to do, it is to give the connection
        back."""
        return self._exchange.answered

    def check_address(self, address: str) -> None:
        """Whether the IP `address` may be connected to for the `Connect` under way. Raises
        UnexpectedContent if a server chose it and it is not public. A proxy's is the caller's
        choice."""
        self._check("check_address", _Phase.CONNECT)
        if self._proxy is None:
            self._refuse_private(address)

    def connected(self, connection: Connection, address: str, *, reused: bool) -> None:
        """`connection` is there; `address` is its peer's IP."""
        self._check("connected", _Phase.CONNECT)
        if not self._home:
            self._home = connection.route.origin.host if connection.route.proxy else address
        self._connection = connection
        self._reused = reused
        self._phase = _Phase.TALK
        self._connecting = not connection.established
        if not self._connecting:
            self._timer.connected()
        try:
            connection.start(self._exchange.request, self._exchange.limits.head)
        except TokenwireError as error:
            self._fail(error)

    def failed(self, error: TokenwireError, now: float) -> None:
        """No connection could be made; a clock that has run out meanwhile is the better reason."""
        self._check("failed", _Phase.CONNECT)
        self._fail(self._timer.expired(now) or error)

    def received(self, data: bytes, now: float) -> None:
        """Bytes from the socket; empty: the peer has closed it. With `events`, the reader has what
        it waited for."""
        if self._phase is not _TALK:
            self._check("received", _Phase.DRAIN)
        if not data:
            self._closed(clean=True)
            return
        connection, exchange = self._connection, self._exchange
        assert connection is not None
        before = connection.http.body_bytes
        try:
            connection.receive(data, exchange, self.events)
        except TokenwireError as error:
            self._break(error)
            return
        if self._connecting and connection.established:
            self._connecting = False
            self._timer.connected()
        if self.events:
            self._timer.event()
        elif connection.http.body_bytes > before and not exchange.keepalive:
            self._timer.body(now)
        if not exchange.wants_data:
            self._drained += len(data)
            self._settle(now)
        elif connection.over:
            self._closed(clean=False)
        elif self._deadline is not None and now >= self._deadline:
            self.timed_out(now)  # bytes that come all the time stop no clock

    def lost(self) -> None:
        """The connection was reset, or broke in another way."""
        self._check("lost", _Phase.TALK, _Phase.DRAIN)
        self._closed(clean=False)

    def timed_out(self, now: float) -> None:
        """Nothing came until the deadline."""
        self._check("timed_out", _Phase.TALK, _Phase.DRAIN)
        if self._phase is _Phase.DRAIN:
            self._give_back(keep=False)
            return
        expired = self._timer.expired(now)
        if expired is None:  # woken too early
            return
        if self._connection is not None and not self._connection.established:
            self._fail(expired)
            return
        self.events += self._exchange.receive_timeout(expired.clock, str(expired))
        self._give_back(keep=False)

    # What follows decides.

    def _check(self, report: str, *asked: _Phase) -> None:
        if self._phase not in asked:
            raise LocalProtocolError(f"{report}: not what next() asks for; do what it says first")

    @property
    def _guarded(self) -> bool:
        return (
            self._exchange.request.server_chosen
            # Who asks in a private network may be sent to another place of it.
            and not (self._settings.allow_private_addresses or is_private(self._home))
        )

    def _refuse_private(self, address: str) -> None:
        if self._guarded and is_private(address):
            raise UnexpectedContent(
                f"the server sends us to {address}, an address in a private network; "
                "if that is right, give allow_private_addresses=True"
            )

    def _ask(self, now: float) -> Action | None:
        """The exchange's next request, or its end; a pause before another attempt."""
        self._timer.request_over()
        if now < self._wake:
            return Sleep(self._wake)
        try:
            if self._failure is not None:
                raise self._failure
            request = self._exchange.next_request()
        except TokenwireError as error:
            if self._proxy is not None and isinstance(error, RemoteProtocolError):
                error.blot(self._proxy.secrets)  # the exchange knows those of its requests only
            pause = self._pause(error, now)
            if pause is None:
                self._failure = error
                self._phase = _Phase.OVER
                return None
            self._attempt += 1
            self._failure = None
            self._exchange = self._exchange.fresh()
            self._wake = now + pause
            return Sleep(self._wake)
        self._fresh = False
        self._phase = _Phase.OVER if request is None else _Phase.CONNECT
        return None

    def _pause(self, error: TokenwireError, now: float) -> float | None:
        """Seconds until the question is asked again; None: it is not."""
        if self._exchange.started:
            return None
        pause = self._settings.retry.pause(
            error,
            self._attempt,
            wall_clock=self._wall_clock + now,
            jitter=self._jitter * self._attempt % 1,
        )
        deadline = self._timer.deadline()
        in_time = pause is not None and (deadline is None or now + pause < deadline)
        return pause if in_time else None

    def _connect(self, now: float) -> Action | None:
        origin = self._exchange.request.origin
        try:
            self._refuse_private(origin.host)
            proxy = self._settings.proxy(origin)
        except TokenwireError as error:
            self._fail(error)
            return self.next(now)
        self._proxy = proxy
        self._timer.connecting(now)
        return Connect(Route(origin, proxy, self._guarded), self._fresh, self._timer.deadline())

    def _closed(self, *, clean: bool) -> None:
        assert self._connection is not None
        if self._phase is _Phase.DRAIN:
            self._give_back(keep=False)
            return
        begun = self._connection.http.begun
        if self._reused and not begun:
            # A kept connection that its server had closed meanwhile: a new one, once.
            self._fresh, self._reused = True, False
            self._connection = None
            self._phase = _Phase.CONNECT
            return
        try:
            self._connection.eof(clean, self._exchange, self.events)
        except TokenwireError as error:
            self._fail(error)
            return
        if self._exchange.wants_data:  # not even a head came, or not all of it
            self.events += self._exchange.receive_disconnect()
            if begun:
                self._failure = Disconnected("the connection closed inside the response's head")
        self._give_back(keep=False)

    def _break(self, error: TokenwireError) -> None:
        """The connection can't be followed any more. What the answer proved before holds."""
        if self._exchange.wants_data:
            self.events += self._exchange.receive_disconnect()
            if self._exchange.failed and self._cut_off():
                self._failure = error
                if isinstance(error, RemoteProtocolError):
                    error.blot(self._exchange.request.secrets())
        self._give_back(keep=False)

    def _cut_off(self) -> bool:
        """Whether the exchange failed by what happened to the connection, and not by the response
        itself, which may be an error whose body was cut."""
        try:
            self._exchange.next_request()
        except (Disconnected, Truncated):
            return True
        except TokenwireError:
            pass
        return False

    def _settle(self, now: float) -> None:
        """The response says no more that matters."""
        assert self._connection is not None
        http = self._connection.http
        if http.complete:
            self._give_back(keep=http.reusable)
        elif self._phase is _Phase.DRAIN:
            if self._drained > DRAIN_BYTES or now >= self._drain_deadline:
                self._give_back(keep=False)
        elif self._exchange.failed or not http.reusable:
            self._give_back(keep=False)
        else:
            self._phase = _Phase.DRAIN
            self._drained = 0
            self._drain_deadline = now + DRAIN_SECONDS

    def _fail(self, error: TokenwireError) -> None:
        self._failure = error
        if self._connection is None:
            self._phase = _Phase.ASK
        else:
            self._give_back(keep=False)

    def _give_back(self, *, keep: bool) -> None:
        if self.events:
            self._timer.event()
        self._keep = keep
        self._phase = _Phase.RELEASE
