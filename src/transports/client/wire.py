"""The wire: everything between a socket and an exchange, without the socket.

A transport asks `next(now)` what to do, does it, and reports how it went:

| action | what to do | what to report |
|---|---|---|
| `Connect` | resolve, `check_address`, connect by TCP; or an idle one | `connected`, `failed` |
| `Transfer` | send `data`, wait for bytes until `deadline` | `received`, `lost`, `timed_out` |
| `Sleep` | wait until `until`, or if that is now, let others run | nothing |
| `Release` | keep the connection for another request, or close it | nothing |
| None | nothing: the answer is over | |

After each report, hand the `events` to the reader. `next` raises the error that ended the answer. A
report that no action asked for raises LocalProtocolError and changes nothing.
"""

from collections.abc import Callable
from enum import Enum, auto
from math import inf
from typing import Any, TypeAlias

import msgspec

from ...protocols.clocks import Clocks
from ...protocols.errors import (
    Disconnected,
    LocalProtocolError,
    TokenwireError,
)
from ...protocols.exchange import Exchange
from ...protocols.retry import Retry
from ...protocols.toolkit.http import Origin, Request
from .addresses import is_ip
from .connection import Connection, Route
from .driver import DRAIN_BYTES, DRAIN_SECONDS, Driver, Sleep
from .proxy import Proxy

__all__ = ["Action", "Connect", "Release", "Sleep", "Transfer", "Wire"]


class Connect(msgspec.Struct, frozen=True):
    """Connect to `route.address` before `deadline`; ask `Wire.check_address` about each IP address
    first. Or take an idle connection of the same `route`, unless it must be `fresh`."""

    route: Route
    fresh: bool
    deadline: float | None


class Transfer(msgspec.Struct, frozen=True):
    """Send `data`, if there is any, then wait for bytes until `deadline` (None: forever). `data`
    comes once: send what is left of it before the data of the next `Transfer`."""

    data: bytes
    deadline: float | None

    def __repr__(self) -> str:
        # Shortened: the data contains a key and a prompt.
        return f"Transfer({len(self.data)} bytes, deadline={self.deadline})"

    def __rich_repr__(self) -> list[tuple[str, Any]]:  # msgspec's has the data
        return [("bytes", len(self.data)), ("deadline", self.deadline)]


class Release(msgspec.Struct, frozen=True):
    """The connection is no longer needed: keep it for another request if `keep`, else close it."""

    keep: bool


Action: TypeAlias = Connect | Transfer | Sleep | Release


class _Phase(Enum):
    ASK = auto()  # the exchange has the next request, or its end
    CONNECT = auto()  # its request needs a connection
    TALK = auto()  # the request is being sent, or its response received
    STALE = auto()  # a kept connection was closed before any byte of a response
    DRAIN = auto()  # the answer is complete; the rest of its body is read
    RELEASE = auto()  # the connection is no longer needed


AT_ONCE = 0.25
"""Seconds after a request was written in which the close of a kept connection means that the server
had closed it before, as idle. Later it may have read the request, and worked on it."""

_TALK = _Phase.TALK  # a name of its own, as each piece needs it: members of an enum are slow


class Wire(Driver):
    """Drives one exchange over any connections. `proxy` says which one a connection to an origin
    goes through, if any. See `Driver` for the other arguments."""

    __slots__ = (
        "_connecting",
        "_connection",
        "_deadline",
        "_drain_deadline",
        "_drained",
        "_fresh",
        "_keep",
        "_phase",
        "_proxy",
        "_proxy_of",
        "_reused",
        "_written",
    )

    def __init__(
        self,
        exchange: Exchange,
        *,
        proxy: Callable[[Origin], Proxy | None],
        clocks: Clocks | None,
        retry: Retry | None,
        allow_private_addresses: bool,
        now: float,
        wall_clock: float,
        jitter: float,
    ) -> None:
        super().__init__(
            exchange,
            clocks=clocks,
            retry=retry,
            allow_private_addresses=allow_private_addresses,
            now=now,
            wall_clock=wall_clock,
            jitter=jitter,
        )
        self._proxy_of = proxy
        self._phase = _Phase.ASK
        self._deadline: float | None = None  # of the last Transfer
        self._connection: Connection | None = None
        self._connecting = False  # TLS, or a tunnel
        self._reused = False
        self._written = now  # when the last bytes were given to be sent
        self._fresh = False
        self._proxy: Proxy | None = None
        self._keep = False
        self._drain_deadline = 0.0
        self._drained = 0

    def next(self, now: float) -> Action | None:
        """What to do next, as the reader waits for events. Raises the TokenwireError that ended the
        answer, each time it is called."""
        self._timer.wait(now)
        if self._phase is _TALK:
            assert self._connection is not None
            if self._exchange.has_more:
                return self._go_on(self._connection, now)
            self._deadline = self._timer.deadline()
            data = self._connection.data_to_send()
            if data:
                self._written = now
            return Transfer(data, self._deadline)
        if self._phase is _Phase.STALE:
            self._replace(now)
        if self._phase is _Phase.ASK:
            asked = self._ask(now)
            if not isinstance(asked, Request):
                return asked
            self._fresh = False
            self._phase = _Phase.CONNECT
        if self._phase is _Phase.CONNECT:
            return self._connect(now)
        if self._phase is _Phase.DRAIN:
            assert self._connection is not None
            return Transfer(self._connection.data_to_send(), self._drain_deadline)
        self._phase = _Phase.ASK
        self._connection = None
        return Release(self._keep)

    def listen(self, now: float) -> float | None:
        """Until when to wait for bytes (infinite: forever), if that is all there is to do; None: do
        what `next` says. For transports that are called when bytes arrive."""
        if not self.listens(now):
            return None
        self._deadline = self._timer.deadline()
        return inf if self._deadline is None else self._deadline

    def listens(self, now: float) -> bool:
        """Whether to wait for more bytes is all there is to do, until the moment that `listen` has
        told. By then the clocks may have got more time: `timed_out` finds that out, and to ask
        `listen` again."""
        connection = self._connection
        if (
            self._phase is not _TALK
            or self._exchange.has_more
            or self.events
            or connection is None
            or connection.unsent
        ):
            return False
        self._timer.wait(now)
        return True

    def check_address(self, address: str) -> None:
        """Raises UnexpectedContent if a server chose where to connect, and the IP `address` is not
        public. Ask before connecting, so that not even a first packet goes there: `connected`
        refuses the address too, but only after that. The address of a proxy is the caller's choice
        and is never refused."""
        self._check("check_address", _Phase.CONNECT)
        self._refuse_address(address)

    def connected(self, connection: Connection, address: str, *, reused: bool) -> None:
        """`connection` was made; `address` is the IP address of its peer. An address that
        `check_address` refuses is refused here too: nothing is sent, and `next` has the connection
        closed, and then raises the error."""
        self._check("connected", _Phase.CONNECT)
        if not is_ip(address):
            raise LocalProtocolError(
                f"connected: {address} is not an IP address: give the peer's, as getpeername() does"
            )
        if not self._home:
            self._home = address if self._proxy is None else connection.route.origin.host
        self._connection = connection
        self._reused = reused
        self._phase = _Phase.TALK
        self._connecting = not connection.established
        if not self._connecting:
            self._timer.connected()
        try:
            self._refuse_address(address)
            connection.start(self._exchange.request, self._exchange.limits.head)
        except TokenwireError as error:
            self._fail(error)

    def failed(self, error: TokenwireError, now: float) -> None:
        """No connection could be made; if a clock ran out meanwhile, that is the better reason."""
        self._check("failed", _Phase.CONNECT)
        self._fail(self._timer.expired(now) or error)

    def received(self, data: bytes, now: float) -> None:
        """Bytes from the socket; empty: the peer has closed it. If there are `events` now, the
        reader no longer waits."""
        if self._phase is not _TALK:
            self._check("received", _Phase.DRAIN)
        if not data:
            self._closed(clean=True)
            return
        connection = self._connection
        assert connection is not None
        try:
            receiver = connection.http if connection.plain else connection
            receiver.receive(data, self._exchange, self.events)
        except TokenwireError as error:
            self._break(error)
            return
        if self._connecting and connection.established:
            self._connecting = False
            self._timer.connected()
        self._drained += len(data)
        exchange, deadline = self._exchange, self._deadline
        if (
            (self.events and exchange.even and exchange.direct is not None)
            and (deadline is None or now < deadline)
            and not connection.over
        ):
            self._timer.event(0)  # whole events, and no more is to be done: as mostly
        else:
            self._received(connection, now)

    def lost(self) -> None:
        """The connection was reset, or broke in another way."""
        self._check("lost", _Phase.TALK, _Phase.DRAIN)
        self._closed(clean=False)

    def timed_out(self, now: float) -> None:
        """Nothing was received before the deadline."""
        self._check("timed_out", _Phase.TALK, _Phase.DRAIN)
        if self._phase is _Phase.DRAIN:
            self._give_back(keep=False)
            return
        expired = self._timer.expired(now)
        if expired is None:  # the driver woke too early
            return
        if self._connection is not None and not self._connection.established:
            self._fail(self._connection.refusal or expired)
            return
        self._run_out(expired)
        self._give_back(keep=False)

    def _go_on(self, connection: Connection, now: float) -> Sleep:
        """Decode more of what was received. In between, the event loop may run others."""
        expired = self._timer.expired(now)
        if expired is not None:
            self._run_out(expired)
            self._give_back(keep=False)
            return Sleep(now)
        try:
            connection.http.go_on(self._exchange, self.events)
        except TokenwireError as error:
            self._break(error)
        else:
            self._received(connection, now)
        return Sleep(now)

    def _received(self, connection: Connection, now: float) -> None:
        """Something was received and, as far as that is done at once, decoded."""
        exchange = self._exchange
        if self.events:
            self._timer.event(0 if exchange.even else exchange.partial)
        else:
            self._timer.unit(exchange.partial, now)
        if exchange.direct is None and not exchange.wants_data:
            self._settle(now)
        elif exchange.has_more:
            return  # `next` goes on with it, and looks at the clocks
        elif connection.over:
            self._closed(clean=False)
        elif self._deadline is not None and now >= self._deadline:
            self.timed_out(now)  # a constant flow of bytes must not stop a clock

    def _check(self, report: str, *asked: _Phase) -> None:
        if self._phase not in asked:
            raise LocalProtocolError(f"{report}: not what next() asks for; do what it says first")

    def _refuse_address(self, address: str) -> None:
        if self._proxy is None:
            self._refuse_private(address)

    def _connect(self, now: float) -> Action | None:
        origin = self._exchange.request.origin
        try:
            proxy = self._proxy_of(origin)
        except TokenwireError as error:
            self._fail(error)
            return self.next(now)
        self._proxy = proxy
        self.secrets = [] if proxy is None else proxy.secrets
        self._timer.connecting(now)
        return Connect(Route(origin, proxy, self._guarded), self._fresh, self._timer.deadline())

    def _closed(self, *, clean: bool) -> None:
        assert self._connection is not None
        if self._phase is _Phase.DRAIN:
            self._give_back(keep=False)
            return
        begun = self._connection.http.begun
        if self._reused and not begun:
            self._phase = _Phase.STALE
            return
        try:
            self._connection.eof(clean, self._exchange, self.events)
        except TokenwireError as error:
            self._fail(error)
            return
        if self._exchange.wants_data:  # the head was not complete
            self.events += self._exchange.receive_disconnect()
            if begun:
                self._failure = Disconnected("the connection closed inside the response's head")
            else:
                self._failure = self._connection.fault
        self._give_back(keep=False)

    def _replace(self, now: float) -> None:
        """A kept connection was closed: try a new one, once, if nobody has read the request."""
        self._reused = False
        if now <= self._written + AT_ONCE:
            self._fresh = True
            self._connection = None
            self._phase = _Phase.CONNECT
        else:
            self.events += self._exchange.receive_disconnect()
            self._give_back(keep=False)

    def _break(self, error: TokenwireError) -> None:
        super()._break(error)
        self._give_back(keep=False)

    def _settle(self, now: float) -> None:
        """The response has nothing more to say."""
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
            self._timer.event(0)
        self._keep = keep
        self._phase = _Phase.RELEASE
