"""What holds for each transport: `check_transport` runs it for one of one's own, against the
embedded server and plain sockets; `TRANSPORT_CHECKS` are the single checks, for a test each."""

import socket
import threading
from collections.abc import Awaitable, Callable, Container, Iterable
from contextlib import suppress
from dataclasses import dataclass
from random import Random
from typing import Any, TypeAlias, cast

from ..protocols.chat import as_chat
from ..protocols.clocks import Clocks
from ..protocols.echo import echo
from ..protocols.errors import (
    AuthenticationFailed,
    ConnectFailed,
    Disconnected,
    LocalProtocolError,
    Malformed,
    Overloaded,
    RateLimited,
    Redirected,
    Refused,
    TimedOut,
    TokenwireError,
    Truncated,
    UnexpectedContent,
)
from ..protocols.exchange import Exchange
from ..protocols.provider import Provider
from ..protocols.registry import PROVIDERS
from ..protocols.reply import Reply
from ..protocols.retry import NO_RETRY, Retry
from ..protocols.service import Service, pair
from ..server import Server, serve
from ..server.faults import (
    BreakEvent,
    CloseAfter,
    Cutting,
    EndAfter,
    ErrorObject,
    Faults,
    Gzip,
    HtmlPage,
    RefuseWith,
    ResetAfter,
    StallAfter,
    Unframed,
)
from .driving import Outcome, ask, ask_async

__all__ = ["TRANSPORT_CHECKS", "Run", "check_transport"]

Run: TypeAlias = Callable[[Callable[[], Awaitable[Any]]], Any]
"""What runs an async function to its end: `trio.run`, or `lambda main: asyncio.run(main())`."""

_PATIENT = Clocks(connect=30, first_event=30, idle=30, total=60)
_QUICK = Clocks(connect=30, first_event=3, idle=0.2, total=60)
"""For a server that falls silent. httpx waits for the longer of the two in the middle."""

_DEADLINE = 30.0
"""Seconds after which a check gives up: a transport that hangs is to fail, not to hang."""


def check_transport(
    make_client: Callable[..., Any], run: Run | None = None, *, without: Container[str] = ()
) -> None:
    """Raises AssertionError if a check fails for a transport. `without`: the names of those that it
    is documented not to pass.

    `make_client(clocks=..., retry=...)` makes a client: a context manager whose `open(exchange)` is
    a context manager over the events. `run` is for a client for async code; None: it blocks.
    """
    for name, check in TRANSPORT_CHECKS.items():
        if name not in without:
            check(make_client, run)


@dataclass
class _Asking:
    """Asks by a client of the transport."""

    make_client: Callable[..., Any]
    run: Run | None
    retry: Retry = NO_RETRY
    clocks: Clocks = _PATIENT

    def all(self, exchanges: Iterable[Exchange], *, most: int | None = None) -> list[Outcome]:
        """The outcomes of `exchanges`, one after the other by one client; of each at most so many
        events are read."""
        how = {"clocks": self.clocks, "retry": self.retry}
        if self.run is None:
            with self.make_client(**how) as client:
                return [ask(client, exchange, most) for exchange in exchanges]

        async def main() -> list[Outcome]:
            async with self.make_client(**how) as client:
                return [await ask_async(client, exchange, most) for exchange in exchanges]

        return cast("list[Outcome]", self.run(main))

    def one(self, exchange: Exchange) -> Outcome:
        """The outcome of `exchange`."""
        return self.all([exchange])[0]


def _question(provider: Provider, server: Server | None = None, url: str = "") -> Exchange:
    chat = as_chat("Is it whole?", model=provider.default_model or "any")
    base_url = url or (server.url if server else None)
    params = dict.fromkeys(provider.params, "here")
    return provider.exchange(
        chat,
        base_url=base_url,
        params=params,
        random=Random(0),  # noqa: S311
    )


_CUTTINGS = (Cutting.per_event(), Cutting.of_sizes(1, 7))


def check_answers(make_client: Callable[..., Any], run: Run | None) -> None:
    """The answer of a provider of each format, split in each way, is what it is in memory."""
    asking = _Asking(make_client, run)
    of_format: dict[str, Provider] = {}
    for provider in PROVIDERS.values():
        of_format.setdefault(provider.dialect.name, provider)
    for provider in of_format.values():
        expected = list(pair(_question(provider), Service(provider), echo(provider)))
        for cutting in _CUTTINGS:
            with serve(provider, cutting=cutting) as server:
                outcome = asking.one(_question(provider, server)).succeeded()
            assert outcome.events == expected, (provider, cutting)


def check_connections_are_reused(make_client: Callable[..., Any], run: Run | None) -> None:
    """Three questions of one client take one connection, if the server keeps it open."""
    provider = PROVIDERS["darkai"]
    with serve(provider) as server:
        exchanges = [_question(provider, server) for _ in range(3)]
        for outcome in _Asking(make_client, run).all(exchanges):
            outcome.succeeded()
        assert server.connections == 1, server.connections


_FAULTS: list[tuple[Faults, Clocks, type[TokenwireError] | None]] = [
    (CloseAfter(100), _PATIENT, Truncated),
    (ResetAfter(100), _PATIENT, Truncated),
    (EndAfter(100), _PATIENT, Truncated),
    (CloseAfter(0, head=False), _PATIENT, Disconnected),
    (StallAfter(100), _QUICK, TimedOut),
    (BreakEvent(1, b"data: {\n\n"), _PATIENT, Malformed),
    (HtmlPage(), _PATIENT, UnexpectedContent),
    (ErrorObject(), _PATIENT, Refused),
    (RefuseWith(302), _PATIENT, Redirected),
    (RefuseWith(401), _PATIENT, AuthenticationFailed),
    (RefuseWith(429), _PATIENT, RateLimited),
    (RefuseWith(503), _PATIENT, Overloaded),
    (Gzip(), _PATIENT, None),
    (Unframed(), _PATIENT, None),
    ((Gzip(), CloseAfter(60)), _PATIENT, Truncated),
]


def check_faults(make_client: Callable[..., Any], run: Run | None) -> None:
    """Each fault gives the right error, after all the events before it."""
    provider = PROVIDERS["darkai"]
    full = list(pair(_question(provider), Service(provider), echo(provider)))
    for fault, clocks, expected in _FAULTS:
        asking = _Asking(make_client, run, clocks=clocks)
        with serve(provider, fault=fault) as server:
            outcome = asking.one(_question(provider, server))
        kind = None if outcome.error is None else type(outcome.error)
        assert kind is expected, (fault, outcome)
        assert outcome.events == full[: len(outcome.events)], (fault, outcome)
        if isinstance(outcome.error, Truncated | TimedOut) and not isinstance(fault, tuple):
            assert outcome.events, (fault, "nothing was delivered before the error")


def check_retries(make_client: Callable[..., Any], run: Run | None) -> None:
    """What a service refuses for the moment is asked again, and never once an event came."""
    provider = PROVIDERS["darkai"]
    asking = _Asking(make_client, run, retry=Retry(attempts=3, first_pause=0.001))
    with serve(provider, faults=[RefuseWith(503), RefuseWith(429)]) as server:
        asking.one(_question(provider, server)).succeeded()
        assert len(server.requests) == 3, server.requests
    with serve(provider, fault=CloseAfter(100)) as server:
        outcome = asking.one(_question(provider, server))
        assert type(outcome.error) is Truncated, outcome
        assert len(server.requests) == 1, server.requests


def check_no_connection(make_client: Callable[..., Any], run: Run | None) -> None:
    """Where nothing listens, it is ConnectFailed."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        outcome = _Asking(make_client, run).one(_question(PROVIDERS["darkai"], url=url))
    assert type(outcome.error) is ConnectFailed, outcome


def check_leaving_early(make_client: Callable[..., Any], run: Run | None) -> None:
    """A reader that leaves after the first event closes the connection."""
    event = b'data: {"event": "text-chunk", "data": {"text": "a"}}\n\n'
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n"
    closed = threading.Event()

    def answer(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection, suppress(OSError):
            connection.settimeout(_DEADLINE)
            connection.recv(65536)
            connection.sendall(head + event)
            with connection.makefile("rb") as rest:  # of the request, until the client closes
                rest.read()
        closed.set()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(_DEADLINE)
        thread = threading.Thread(target=answer, args=(listener,), daemon=True)
        thread.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        exchange = _question(PROVIDERS["darkai"], url=url)
        outcome = _Asking(make_client, run).all([exchange], most=1)[0]
        assert outcome.error is None, outcome
        assert len(outcome.events) == 1, outcome
        assert closed.wait(_DEADLINE), "the connection was not closed"
        thread.join(_DEADLINE)


def check_misuse(make_client: Callable[..., Any], run: Run | None) -> None:
    """An exchange is opened once, and an answer that failed goes on failing."""
    provider = PROVIDERS["darkai"]
    asking = _Asking(make_client, run)
    with serve(provider) as server:
        exchange = _question(provider, server)
        first, second = asking.all([exchange, exchange])
    first.succeeded()
    assert type(second.error) is LocalProtocolError, second
    assert Reply.of(first.events).evidence is not None


TRANSPORT_CHECKS: dict[str, Callable[[Callable[..., Any], Run | None], None]] = {
    "answers": check_answers,
    "connections are reused": check_connections_are_reused,
    "faults": check_faults,
    "retries": check_retries,
    "no connection": check_no_connection,
    "leaving early": check_leaving_early,
    "misuse": check_misuse,
}
"""What holds for each transport, by name."""
