"""Drives an exchange, whatever moves the bytes: clocks, attempts, private addresses, secrets.

`Wire` is a driver for code that moves bytes over sockets, `Course` one for code that has an HTTP
client. Both are asked for the next action and told how it went.
"""

import msgspec

from ...protocols.clocks import Clocks, Timer
from ...protocols.errors import (
    Disconnected,
    TimedOut,
    TokenwireError,
    Truncated,
    UnexpectedContent,
)
from ...protocols.events import Event
from ...protocols.exchange import Exchange
from ...protocols.retry import Retry
from ...protocols.toolkit.http import Request
from ...protocols.toolkit.redaction import conceal
from .addresses import is_private

__all__ = ["DRAIN_BYTES", "DRAIN_SECONDS", "Driver", "Sleep"]

# After the end of an answer up to this much of the rest of the body is read, for up to this long,
# so that the connection can be used again. The rest is usually just the end of the chunks.
DRAIN_BYTES = 64 * 1024
DRAIN_SECONDS = 0.1

_RETRY = Retry()


class Sleep(msgspec.Struct, frozen=True):
    """Wait until `until`; if that has passed, only let others run in the event loop."""

    until: float


class Driver:
    """Drives one exchange. Times are seconds of a clock that only goes forward; `wall_clock` is
    seconds since 1970 at `now`, `jitter` a random number from 0 to 1.

    `clocks`: None takes the exchange's. `retry`: None takes the default policy.
    """

    __slots__ = (
        "_allow_private",
        "_attempt",
        "_clocks",
        "_exchange",
        "_failure",
        "_home",
        "_jitter",
        "_known",
        "_over",
        "_retry",
        "_timer",
        "_wake",
        "_wall_clock",
        "events",
        "secrets",
    )

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
        self.events: list[Event] = []
        """The events received so far, for the transport to take."""
        self.secrets: list[str] = []
        """Secrets that the transport adds to requests; errors never show them."""
        self._exchange: Exchange = exchange
        self._clocks = clocks or exchange.clocks
        self._retry = retry or _RETRY
        self._allow_private = allow_private_addresses
        self._timer = Timer(self._clocks, now)
        self._wall_clock = wall_clock - now
        self._jitter = jitter
        self._attempt = 1
        self._wake = now
        self._failure: TokenwireError | None = None
        self._over = False
        self._known: set[str] = set()  # secrets, also of earlier attempts
        self._home = ""  # the host that the first request went to, or its address

    def pause(self, now: float) -> None:
        """Stop the reader's clocks until `next` is called again."""
        self._timer.pause(now)

    @property
    def finished(self) -> bool:
        """Whether the answer is complete. All that may be left to do is to give the connection, or
        the response, back."""
        return self._exchange.answered

    @property
    def exchange(self) -> Exchange:
        """The exchange of the attempt under way."""
        return self._exchange

    def leave(self, *, aborted: bool = False) -> None:
        """The reader has left: observers are told."""
        self._exchange.leave(aborted=aborted)

    def conceal(self, error: TokenwireError) -> None:
        """Take out of `error` the secrets of all requests so far, and those of the transport."""
        self._known.update(self._exchange.secrets(), self.secrets)
        conceal(error, self._known)

    # For the drivers.

    def _ask(self, now: float) -> Request | Sleep | None:
        """The exchange's next request, or a pause before another attempt; None once the answer is
        complete. Raises the error that ended the answer, each time it is called."""
        self._timer.request_over()
        if now < self._wake:
            return Sleep(self._wake)
        try:
            if self._failure is not None:
                raise self._failure
            request = self._exchange.next_request()
            if request is not None:
                self._refuse_private(request.origin.host)
        except TokenwireError as error:
            self._exchange.name_address(error)
            self.conceal(error)
            self._failure = error
            pause = None if self._over else self._pause_after(error, now)
            if pause is None:
                self._over = True
                self._exchange.leave(error)
                raise
            self._attempt += 1
            self._failure = None
            self._exchange = self._exchange.fresh()
            self._wake = now + pause
            return Sleep(self._wake)
        return request

    def _pause_after(self, error: TokenwireError, now: float) -> float | None:
        """Seconds until the next attempt; None if there is none."""
        if self._exchange.started:
            return None
        pause = self._retry.pause(
            error,
            self._attempt,
            wall_clock=self._wall_clock + now,
            jitter=self._jitter * self._attempt % 1,
        )
        deadline = self._timer.deadline()
        in_time = pause is not None and (deadline is None or now + pause < deadline)
        return pause if in_time else None

    @property
    def _guarded(self) -> bool:
        """Whether a server chose where the request goes, and must not choose our own network."""
        return (
            self._exchange.request.server_chosen
            # A caller that asks inside a private network may be sent to another host in it.
            and not (self._allow_private or is_private(self._home))
        )

    def _refuse_private(self, address: str) -> None:
        if self._guarded and is_private(address):
            raise UnexpectedContent(
                f"the server sends us to {address}, an address in a private network; "
                "if that is right, give allow_private_addresses=True"
            )

    def _run_out(self, expired: TimedOut) -> None:
        """A clock has run out while the exchange waits for its response."""
        self.events += self._exchange.receive_timeout(expired.clock, str(expired))

    def _break(self, error: TokenwireError) -> None:
        """The response can't be read any further. The answer may be complete without the rest. If
        it is not, the reason is `error`, unless the response was itself an error."""
        if not self._exchange.wants_data:
            return
        self.events += self._exchange.receive_disconnect()
        if self._exchange.failed and self._cut_off():
            self._failure = error

    def _cut_off(self) -> bool:
        """Whether the exchange failed because the connection was lost."""
        try:
            self._exchange.next_request()
        except (Disconnected, Truncated):
            return True
        except TokenwireError:
            pass
        return False
