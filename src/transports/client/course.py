"""The course of an exchange over an HTTP client, without the client.

A transport asks `next(now)` what to do, does it with its HTTP client, and reports how it went:

| action | what to do | what to report |
|---|---|---|
| `Send` | send the request, and wait for the head until `deadline` | `responded`, `failed` |
| `Receive` | wait for a piece of the body until `deadline` | `received`, `ended`, `failed` |
| `Sleep` | wait until `until`, or if that is now, let others run | nothing |
| `Leave` | close the response; if `answered`, you may read a little of its rest first | nothing |
| None | nothing: the answer is over | |

`Course` is for HTTP clients what `Wire` is for sockets: events, errors, clocks and retries are the
same.
"""

import re
from collections.abc import Iterator
from typing import TypeAlias

import msgspec

from ...protocols.clocks import Clocks
from ...protocols.errors import (
    Clock,
    ConnectFailed,
    Disconnected,
    LimitExceeded,
    LocalProtocolError,
    Malformed,
    TimedOut,
    UnexpectedContent,
)
from ...protocols.exchange import Exchange
from ...protocols.retry import Retry
from ...protocols.toolkit.http import Headers, Request
from .driver import Driver, Sleep

__all__ = ["Action", "Course", "Leave", "Receive", "Send", "Sleep"]

LONGEST = 20 * 86_400.0  # seconds; poll() takes up to 24 days
EARLY = 0.1  # seconds by which a timeout may come before its clock has run out

# What httpcore and h11 say when the peer closes the connection: they have no class for it.
_GONE = re.compile(
    "Server disconnected|peer (unexpectedly )?closed connection|<ConnectionTerminated|<StreamReset"
)

# What asyncio, uvloop, anyio and trio say when something of one event loop is used in another.
_OTHER_LOOP = re.compile("(?i)event loop|different loop|async context")


class Send(msgspec.Struct, frozen=True):
    """Send `request`, with the `timeouts` that httpx calls connect, read, write and pool. They are
    for each step of it; code that can end all of it at `deadline` (None: never) does so."""

    request: Request
    timeouts: dict[str, float | None]
    deadline: float | None


class Receive(msgspec.Struct, frozen=True):
    """Wait for a piece of the body. Code that can do so ends this at `deadline` (None: never)."""

    deadline: float | None


class Leave(msgspec.Struct, frozen=True):
    """The response is no longer needed."""

    answered: bool


Action: TypeAlias = Send | Receive | Sleep | Leave


class Course(Driver):
    """Drives one exchange over an HTTP client. See `Driver` for the arguments."""

    __slots__ = ("_begun", "_end", "_framed", "_request")

    def __init__(
        self,
        exchange: Exchange,
        *,
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
        self._end = None if self._clocks.total is None else now + self._clocks.total
        self._request: Request | None = None
        self._begun = False  # a response has begun, and was not left yet
        self._framed: bool | None = None

    def next(self, now: float) -> Action | None:
        """What to do next, as the reader waits for events. Raises the TokenwireError that ended the
        answer, each time it is called."""
        self._timer.wait(now)
        if self._begun:
            if self._exchange.wants_data and self._failure is None:
                # Before each piece, so that neither keep-alives nor endless events stop a clock.
                expired = self._timer.expired(now)
                if expired is None and not self._exchange.has_more:
                    return Receive(self._timer.deadline())
                if expired is None:
                    self.received(b"", now)
                    return Sleep(now)
                self._run_out(expired)
            self._begun = False
            return Leave(self._exchange.answered)
        asked = self._ask(now)
        if not isinstance(asked, Request):
            return asked
        self._request = asked
        self._home = self._home or asked.origin.host
        deadline = self._timer.deadline()  # without the clock connect: httpx says no end of that
        return Send(asked, self._timeouts(now), deadline)

    def responded(self, status: int, headers: Headers, *, http2: bool = False) -> None:
        """The head of the response. With HTTP/2 the protocol itself marks the end of each body."""
        self._begun = True
        self._framed = True if http2 else None
        self._timer.connected()
        self._exchange.receive_response(status, headers)
        if 100 <= status < 200:  # httpx passes on 101 only
            self._break(Malformed(f"unexpected status {status}"))

    def received(self, data: bytes, now: float) -> None:
        """A piece of the body."""
        self.events += self._exchange.receive_batch(data)
        if self.events:
            self._timer.event(self._exchange.partial)
        else:
            self._timer.unit(self._exchange.partial, now)

    def ended(self) -> None:
        """The body is complete."""
        self.events += self._exchange.receive_eof(self._framed)

    def failed(self, error: Exception, now: float) -> bool:
        """The client raised `error`, or it is the TimeoutError of a deadline. Returns False if it
        is about neither the network nor the request. Classes are recognized by their names, which
        httpx and httpx2 share."""
        assert self._request is not None
        names = {kind.__name__ for kind in type(error).__mro__}
        said = _words(error)
        if names & {"TimeoutException", "TimeoutError"}:
            connecting = bool(names & {"ConnectTimeout", "PoolTimeout"})
            if not connecting:
                self._timer.connected()
            clock: Clock = "connect" if connecting else "idle"
            silence = TimedOut(f"nothing received in time: {said} (clock {clock})", clock)
            self._run_out(self._timer.expired(now + EARLY) or silence)
        elif names & {"ConnectError", "ProxyError", "UnicodeError"}:
            failure = self._not_connected(error, said, refused="ProxyError" in names)
            # As for Wire, a clock that ran out meanwhile is the better reason: without an event
            # loop the system's resolver takes its time, whatever the timeout.
            late = None if failure.lasting else self._timer.expired(now)
            self._failure = late or failure
        elif names & {"LocalProtocolError", "UnsupportedProtocol", "InvalidURL", "StreamError"} or (
            type(error) is RuntimeError  # the client is closed, or belongs to another event loop
        ):
            what = f"the HTTP client can't do this: {said}"
            if _OTHER_LOOP.search(said):
                what = (
                    f"the HTTP client has connections of another event loop ({said}): "
                    "make a new client for this one"
                )
            chosen = self._request.server_chosen
            self._failure = UnexpectedContent(what) if chosen else LocalProtocolError(what)
        elif names & {"RemoteProtocolError", "DecodingError"} and not _GONE.match(said):
            kind = LimitExceeded if said.startswith("Receive buffer too long") else Malformed
            self._break(kind(f"the response is not valid HTTP: {said}"))
        elif names & {"TransportError", "OSError", "BrokenResourceError", "ClosedResourceError"}:
            self.events += self._exchange.receive_disconnect()
            if not self._begun:
                self._failure = Disconnected(f"the connection closed before a response: {said}")
        elif "HTTPError" in names:  # raised by an event hook of the client
            self._failure = LocalProtocolError(f"the HTTP client refuses the response: {said}")
        else:
            return False
        return True

    def _timeouts(self, now: float) -> dict[str, float | None]:
        """One read timeout is for the whole response, so it must not end before any clock does."""
        self._timer.connecting(now)
        first_event, idle = self._clocks.first_event, self._clocks.idle
        latest = None if first_event is None or idle is None else now + max(first_event, idle)
        ends = [end for end in (latest, self._end) if end is not None]
        connect, read = (
            None if end is None else min(max(end - now, 0.001), LONGEST)
            for end in (self._timer.deadline(), min(ends, default=None))
        )
        return {"connect": connect, "pool": connect, "read": read, "write": read}

    def _not_connected(self, error: Exception, said: str, *, refused: bool) -> ConnectFailed:
        assert self._request is not None
        origin = self._request.origin
        untrusted = "SSLCertVerificationError" in [type(cause).__name__ for cause in _chain(error)]
        if untrusted:
            failure = ConnectFailed(
                f"the certificate of {origin.host} is not trusted ({said}); if it is one of your "
                "own, give the HTTP client a context that trusts it with verify="
            )
        else:
            # Only its status: its words may quote the password, which only the client knows.
            by = "the proxy refused: " if refused else ""
            said = said[:3] if refused and said[:3].isdigit() else said
            failure = ConnectFailed(f"no connection to {origin.authority}: {by}{said}")
        failure.lasting = untrusted or (refused and said.startswith("4"))
        return failure


def _chain(error: BaseException) -> Iterator[BaseException]:
    """`error` and its causes."""
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__


def _words(error: Exception) -> str:
    """The message of `error`, or of its first cause that has one: some errors of httpx do not."""
    said = (str(cause) for cause in _chain(error))
    return next((words for words in said if words), type(error).__name__)
