"""The wire: whole exchanges, and all that can go wrong with them, on a network in memory."""

import gzip
import ssl
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from tests.certificates import client_context, server_context
from tests.cutting import at, bytewise, random_cut, whole
from tests.wiring import (
    ANSWER,
    BASE,
    CHUNKED,
    CLOSE,
    LAST,
    PRIVATE,
    PUBLIC,
    RESET,
    STOP,
    TEXT,
    Answering,
    Item,
    Network,
    Outcome,
    OverTLS,
    Script,
    Server,
    TLSPeer,
    Wait,
    chunk,
    head,
    question,
    raw_exchange,
    refusal,
)
from tokenwire.protocols.chat import Chat
from tokenwire.protocols.clocks import Clocks
from tokenwire.protocols.errors import (
    AuthenticationFailed,
    ConnectFailed,
    Disconnected,
    LimitExceeded,
    LocalProtocolError,
    Malformed,
    Overloaded,
    RateLimited,
    Refused,
    TimedOut,
    TokenwireError,
    Truncated,
    UnexpectedContent,
)
from tokenwire.protocols.events import End, Event, Image, Text, Unrecognized
from tokenwire.protocols.exchange import Exchange
from tokenwire.protocols.limits import Limits
from tokenwire.protocols.registry import provider_named
from tokenwire.protocols.retry import NO_RETRY
from tokenwire.protocols.service import Service
from tokenwire.protocols.step import Step
from tokenwire.protocols.toolkit.coding import PIECE
from tokenwire.protocols.toolkit.http import Request
from tokenwire.transports.client.driver import DRAIN_BYTES, DRAIN_SECONDS
from tokenwire.transports.client.settings import ClientSettings
from tokenwire.transports.client.wire import Connect, Release, Sleep, Transfer, Wire

START = 1000.0
Cut = Callable[[bytes], Iterable[bytes]]
CUTS: list[Cut] = [whole, bytewise, lambda data: random_cut(data, 3)]


def ask(*lines: Item | Sequence[Item], **options: Any) -> Outcome:
    """Ask darkai once on one connection, that says `lines`. No second attempt."""
    return Network(Script(*lines), retry=NO_RETRY, **options).ask(question())


def kinds(outcome: Outcome) -> list[str]:
    return [type(action).__name__ for action in outcome.actions]


# Whole exchanges


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("provider", ["darkai", "ylokh", "aichats", "aichatonline", "openai"])
def test_each_provider(provider: str, cut: Cut) -> None:
    server = Answering(Service(provider_named(provider), base_url=BASE))
    network = Network(server, cut=cut)
    requests = 2 if provider == "aichatonline" else 1
    for _ in range(2):
        outcome = network.ask(question(provider)).succeeded()
        assert outcome.text == "hello"
        assert outcome.releases == [True] * requests
    assert len(network.links) == 1
    assert len(server.heard) == 2 * requests


def test_what_a_transport_is_asked_to_do() -> None:
    outcome = ask(ANSWER).succeeded()
    assert kinds(outcome) == ["Connect", "Transfer", "Release"]
    connect = outcome.connects[0]
    assert connect.route.address == ("peer.example", 80)
    assert (connect.fresh, connect.deadline) == (False, START + 10)
    transfer, release = outcome.actions[1:]
    assert isinstance(transfer, Transfer)
    assert transfer.data.startswith(b"POST /chat HTTP/1.1\r\n")
    assert transfer.deadline == START + 120
    assert release == Release(keep=True)


def test_what_is_sent_is_not_shown() -> None:
    network, asked = Network(), question("openai", key="sk-secret")
    wire = network.settings.wire(asked, now=0, wall_clock=0, jitter=0)
    connect = wire.next(0)
    assert isinstance(connect, Connect)
    wire.connected(network.settings.connection(connect.route), PUBLIC, reused=False)
    transfer = wire.next(0)
    assert isinstance(transfer, Transfer)
    assert b"sk-secret" in transfer.data
    assert repr(transfer) == f"Transfer({len(transfer.data)} bytes, deadline=120)"
    assert transfer.__rich_repr__() == [("bytes", len(transfer.data)), ("deadline", 120)]


def test_what_can_not_be_written_is_not_sent() -> None:
    network = Network(Script())
    outcome = network.ask(raw_exchange(Request("GET", BASE, [(b"a", b"\n")])))
    outcome.failed(LocalProtocolError, "can't be written")
    assert outcome.releases == [False]


class _Halves(Step):
    """What it says comes with the end of its body, and another step follows."""

    framing = "bytes"

    def __init__(self, following: Step | None = None) -> None:
        self.request = Request("GET", BASE, [])
        self._following = following
        self._said = b""

    def data(self, data: bytes, events: list[Event]) -> None:
        self._said += data

    def eof(self, events: list[Event]) -> Step | None:
        events.append(Text(self._said.decode()))
        return self._following


def test_no_clock_runs_while_the_reader_has_what_came_with_the_end_of_a_body() -> None:
    body = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n\r\nhalf"
    exchange = Exchange(
        lambda: _Halves(_Halves()),
        owes="connection_close",
        clocks=Clocks(first_event=10),
        limits=Limits(),
    )
    outcome = Network(Script([body, CLOSE]), Script([body, CLOSE]), think=50).ask(exchange)
    outcome.succeeded()


def test_woken_for_nothing() -> None:
    network = Network(Script(ANSWER))
    exchange = question()
    wire = network.settings.wire(exchange, now=0, wall_clock=0, jitter=0)
    connect = wire.next(0)
    assert isinstance(connect, Connect)
    wire.connected(network.settings.connection(connect.route), PUBLIC, reused=False)
    assert wire.next(0) != Transfer(b"", 120)
    wire.timed_out(1)
    assert wire.next(1) == Transfer(b"", 120)


def test_finished_once_only_the_connection_is_to_be_given_back() -> None:
    network = Network()
    wire = network.settings.wire(question(), now=0, wall_clock=0, jitter=0)
    connect = wire.next(0)
    assert isinstance(connect, Connect)
    assert not wire.finished
    wire.connected(network.settings.connection(connect.route), PUBLIC, reused=False)
    assert isinstance(wire.next(0), Transfer)
    wire.received(CHUNKED + chunk(TEXT), 1)
    assert not wire.finished
    wire.received(chunk(STOP), 1)
    assert wire.finished
    assert wire.next(1) == Transfer(b"", 1 + DRAIN_SECONDS)
    wire.received(LAST, 1)
    assert wire.finished
    assert wire.next(1) == Release(keep=True)
    assert wire.finished
    assert wire.next(1) is None
    assert wire.next(2) is None


# A picture at an address that the server chose

PICTURE = Image(b"\x89PNG", "image/png")


def draw(chat: Chat) -> Iterable[Event]:
    return [PICTURE, End("body_end")]


def picture(*addresses: str, url: str = BASE, **options: Any) -> tuple[Outcome, Network]:
    """Ask for a picture; the server chose `url` for it. `addresses`: what names resolve to."""
    service = Service(provider_named("aichats"), base_url=url)
    network = Network(
        Answering(service, draw), Answering(service, draw), addresses=addresses, **options
    )
    return network.ask(question("aichats", model="dalle")), network


@pytest.mark.parametrize(
    ("addresses", "url", "options"),
    [
        ((PUBLIC, PUBLIC), "http://pictures.example", {}),
        ((PRIVATE, PRIVATE), "http://pictures.example", {}),
        ((PRIVATE, PUBLIC), "http://pictures.example", {}),
        ((PUBLIC, PRIVATE), "http://pictures.example", {"allow_private_addresses": True}),
        ((PUBLIC, PUBLIC), "http://127.0.0.1:99", {"allow_private_addresses": True}),
        ((PRIVATE, PRIVATE), "http://127.0.0.1:99", {}),
        ((PUBLIC, PUBLIC), "http://93.184.216.34", {}),
        # Through a proxy only names and literal addresses can be judged.
        ((PRIVATE, PRIVATE), "http://pictures.example", {"proxy": "http://proxy.example"}),
    ],
)
def test_a_picture(addresses: tuple[str, ...], url: str, options: dict[str, Any]) -> None:
    outcome, network = picture(*addresses, url=url, **options)
    (image, _) = outcome.succeeded().events
    assert isinstance(image, Image)
    assert (image.data, image.media_type) == (b"\x89PNG", "image/png")
    assert image.url.startswith(url)
    guarded = addresses[0] == PUBLIC and not options
    assert [c.route.guarded for c in outcome.connects] == [False, guarded or "proxy" in options]
    assert len(network.links) == 2


@pytest.mark.parametrize(
    ("addresses", "url", "options", "shown"),
    [
        ((PUBLIC, PRIVATE), "http://pictures.example", {}, PRIVATE),
        ((PUBLIC, "169.254.169.254"), BASE, {}, "169.254.169.254"),
        ((PUBLIC, "::ffff:10.0.0.1"), BASE, {}, "::ffff:10.0.0.1"),
        ((PUBLIC,), "http://127.0.0.1:99", {}, "127.0.0.1"),
        ((PUBLIC,), "http://[::1]", {}, "::1"),
        ((PUBLIC,), "http://localhost", {}, "localhost"),
        ((PRIVATE,), "http://127.0.0.1", {"proxy": "http://proxy.example"}, "127.0.0.1"),
    ],
)
def test_a_picture_in_a_private_network(
    addresses: tuple[str, ...], url: str, options: dict[str, Any], shown: str
) -> None:
    outcome, network = picture(*addresses, url=url, **options)
    outcome.failed(UnexpectedContent, f"sends us to {shown}, an address in a private network")
    assert len(network.links) == 1
    assert outcome.sleeps == []


def test_a_caller_may_ask_a_private_address_itself() -> None:
    Network(Script(ANSWER), addresses=[PRIVATE]).ask(question()).succeeded()
    Network(Script(ANSWER)).ask(question(base_url="http://127.0.0.1:8000")).succeeded()


@pytest.mark.parametrize("address", [PRIVATE, "127.0.0.1", "::ffff:10.0.0.1", "fe80::1%eth0"])
def test_a_private_address_is_refused_without_check_address(
    monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    """A driver that never asks is as safe: nothing is sent, and the connection is closed."""

    def nothing(wire: Wire, address: str) -> None: ...

    monkeypatch.setattr(Wire, "check_address", nothing)
    outcome, network = picture(PUBLIC, address, url="https://pictures.example")
    outcome.failed(UnexpectedContent, f"sends us to {address}, an address in a private network")
    assert len(network.links) == 2
    assert isinstance(outcome.actions[-2], Connect)  # with no Transfer after it
    assert outcome.actions[-1] == Release(keep=False)
    assert outcome.sleeps == []


def test_a_driver_reports_the_ip_address_of_the_peer() -> None:
    """A name, which could stand for any address, is not taken instead."""
    client = ClientSettings(trust_env=False)
    wire = client.wire(question(), now=START, wall_clock=0, jitter=0)
    connect = wire.next(START)
    assert isinstance(connect, Connect)
    for name in ("localhost", "pictures.example", ""):
        with pytest.raises(LocalProtocolError, match="not an IP address"):
            wire.connected(client.connection(connect.route), name, reused=False)
    wire.connected(client.connection(connect.route), PUBLIC, reused=False)
    assert isinstance(wire.next(START), Transfer)


# Clocks

FOREVER = Clocks(connect=None, first_event=None, idle=None, total=None)


@pytest.mark.parametrize(
    ("clocks", "lines", "clock", "after"),
    [
        (Clocks(first_event=5), [CHUNKED], "first_event", 5),
        (Clocks(first_event=5), [CHUNKED, Wait(4.5), chunk(b": ping\n\n")], "first_event", 5),
        (Clocks(idle=3), [CHUNKED, Wait(100), chunk(TEXT)], "idle", 103),
        (Clocks(idle=3), [CHUNKED + chunk(TEXT), Wait(2), chunk(TEXT)], "idle", 5),
        (
            Clocks(idle=3),
            [CHUNKED + chunk(TEXT), Wait(2), chunk(b": ping\n\n"), Wait(0.5), chunk(b"\n")],
            "idle",
            3,
        ),
        (Clocks(total=4), [CHUNKED + chunk(TEXT), Wait(3), chunk(TEXT)], "total", 4),
        (Clocks(total=4), [], "total", 4),
    ],
)
def test_each_clock(clocks: Clocks, lines: Sequence[Item], clock: str, after: float) -> None:
    network = Network(Script(lines), clocks=clocks, retry=NO_RETRY)
    outcome = network.ask(question()).failed(TimedOut, f"(clock {clock})")
    assert isinstance(outcome.error, TimedOut)
    assert outcome.error.clock == clock
    assert network.now == START + after
    assert outcome.releases == [False]


def test_the_clock_connect() -> None:
    clocks = Clocks(connect=2)
    network = Network(Script(ANSWER), clocks=clocks, retry=NO_RETRY, connecting=3)
    network.ask(question()).failed(TimedOut, "no connection within 2 s (clock connect)")
    assert network.now == START + 2


def test_the_clock_connect_has_tls_in_it() -> None:
    network = Network(Script(), clocks=Clocks(connect=2), retry=NO_RETRY)
    outcome = network.ask(question(base_url="https://peer.example"))
    outcome.failed(TimedOut, "(clock connect)")
    assert outcome.releases == [False]
    assert network.now == START + 2


def test_a_clock_that_ran_out_is_the_better_reason_for_a_failed_connect() -> None:
    network = Network(ConnectFailed("no"), clocks=Clocks(connect=5, total=3), connecting=3)
    network.ask(question()).failed(TimedOut, "(clock total)")


def test_first_event_and_idle_run_only_while_the_reader_waits() -> None:
    lines: list[Item] = [
        CHUNKED + chunk(TEXT),
        Wait(2),
        chunk(TEXT),
        Wait(2),
        chunk(TEXT + STOP) + LAST,
    ]
    clocks = Clocks(first_event=5, idle=3)
    Network(Script(lines), clocks=clocks, think=50).ask(question()).succeeded()


def test_first_event_and_connect_have_their_time_and_no_more() -> None:
    lines: list[Item] = [Wait(4), CHUNKED + chunk(TEXT), Wait(4), chunk(TEXT + STOP) + LAST]
    clocks = Clocks(connect=3, first_event=5)
    network = Network(OverTLS(Script(lines)), clocks=clocks, ssl_context=client_context())
    network.ask(question(base_url="https://peer.example")).succeeded()


def test_total_runs_always() -> None:
    lines: list[Item] = [CHUNKED + chunk(TEXT), Wait(2), chunk(TEXT)]
    network = Network(Script(lines), clocks=Clocks(total=10), think=50)
    network.ask(question()).failed(TimedOut, "(clock total)")


def test_without_clocks_it_waits_for_ever() -> None:
    lines: list[Item] = [Wait(1e6), CHUNKED, Wait(1e6), chunk(TEXT), Wait(1e6), chunk(STOP)]
    outcome = Network(Script(lines), clocks=FOREVER).ask(question()).succeeded()
    assert outcome.connects[0].deadline is None
    transfer = outcome.actions[1]
    assert isinstance(transfer, Transfer)
    assert transfer.deadline is None


def test_idle_is_of_one_body() -> None:
    token, answer = b'{"data":"t"}', b'{"data":{"message":"hello"}}\n'
    lines: list[list[Item]] = [
        [CHUNKED + chunk(token) + LAST],
        [Wait(50), CHUNKED + chunk(answer) + LAST],
    ]
    network = Network(Script(*lines), clocks=Clocks(idle=3))
    assert network.ask(question("aichatonline")).succeeded().text == "hello"


FINISHED = b'data: {"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":"stop"}]}\n\n'


@pytest.mark.parametrize("ending", [[], [CLOSE], [RESET], [chunk(b"x")[:-2] + b"!!"], [b"x\r\n"]])
def test_once_what_is_owed_is_there_no_end_of_the_connection_matters(ending: list[Item]) -> None:
    network = Network(Script([CHUNKED + chunk(FINISHED), *ending]), clocks=Clocks(idle=3))
    outcome = network.ask(question("openai")).succeeded()
    assert outcome.events[-1] == End("finish")
    assert outcome.releases == [False]


# Retry


def retried(*met: Script | TokenwireError, jitter: float = 0, **options: Any) -> Outcome:
    return Network(*met, **options).ask(question(), jitter=jitter)


def pauses(outcome: Outcome, now: float = START) -> list[float]:
    """The seconds slept, if nothing else takes time."""
    times = [now, *(sleep.until for sleep in dict.fromkeys(outcome.sleeps))]
    return [round(b - a, 6) for a, b in pairwise(times)]


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ((), 0.5),
        (("retry-after: 7",), 7),
        (("retry-after: 0",), 0.25),
        (("retry-after: 2s",), 2),
        (("retry-after-ms: 1500", "retry-after: 2"), 1.5),
        (("retry-after: Tue, 14 Nov 2023 22:13:40 GMT",), 20),
        (("retry-after: soon",), 0.5),
    ],
)
@pytest.mark.parametrize("status", ["429 Too Many", "503 Busy", "529 Overloaded", "500 Broken"])
def test_asked_again(status: str, headers: tuple[str, ...], seconds: float) -> None:
    outcome = retried(Script(refusal(status, *headers), ANSWER)).succeeded()
    assert pauses(outcome) == [seconds]
    assert outcome.releases == [True, True]


def test_asked_again_after_a_failed_connect() -> None:
    assert pauses(retried(ConnectFailed("no"), Script(ANSWER)).succeeded()) == [0.5]


@pytest.mark.parametrize("script", [[CLOSE], [RESET], [b"HTTP/1.1 200", CLOSE]])
def test_not_asked_again_once_the_request_was_sent(script: list[Any]) -> None:
    """The service may have begun to do, and to bill, what was asked."""
    retried(Script(script), Script(ANSWER)).failed(Disconnected)


def test_asked_again_after_a_connect_that_took_too_long() -> None:
    clocks = Clocks(connect=2)
    network = Network(
        Script(), OverTLS(Script(ANSWER)), clocks=clocks, ssl_context=client_context()
    )
    outcome = network.ask(question(base_url="https://peer.example")).succeeded()
    assert pauses(outcome, START + 2) == [0.5]


@pytest.mark.parametrize(
    ("first", "kind"),
    [
        (Script(refusal("401 Who")), AuthenticationFailed),
        (Script(refusal("501 Not Implemented")), Refused),
        (Script(refusal("529 Overloaded", "x-should-retry: false")), Overloaded),
        (Script(b"SSH-2.0\r\n\r\n"), Malformed),
        (Script([CHUNKED, CLOSE]), Truncated),
        (Script([CHUNKED + chunk(TEXT), CLOSE]), Truncated),
        (Script([CHUNKED + chunk(TEXT), RESET]), Truncated),
        (Script([CHUNKED + chunk(TEXT) + b"x\r\n"]), Malformed),
        (Script(refusal("429 Slow", "retry-after: 61")), RateLimited),
    ],
)
def test_not_asked_again(first: Script, kind: type[TokenwireError]) -> None:
    outcome = retried(first, Script(ANSWER)).failed(kind)
    assert outcome.sleeps == []


def test_never_again_after_an_event() -> None:
    requests = [Request("GET", f"http://{host}.example/", []) for host in "ab"]
    network = Network(Script(CHUNKED + chunk(b"x") + LAST), ConnectFailed("no"), Script(ANSWER))
    outcome = network.ask(raw_exchange(*requests)).failed(ConnectFailed)
    assert outcome.events == [Unrecognized(b"x")]
    assert outcome.sleeps == []


def test_attempts_run_out_with_the_last_reason() -> None:
    outcome = retried(*[ConnectFailed(str(n)) for n in range(5)])
    outcome.failed(ConnectFailed, "2")
    assert pauses(outcome) == [0.5, 1]
    assert outcome.releases == []


def test_pauses_are_spread() -> None:
    outcome = retried(*[ConnectFailed(str(n)) for n in range(5)], jitter=0.8)
    assert pauses(outcome) == [0.5 * (1 - 0.8 / 2), 1 - 0.6 / 2]


@pytest.mark.parametrize(
    ("clocks", "again"),
    [
        (Clocks(total=31), True),
        (Clocks(total=30), False),
        (Clocks(first_event=31), True),
        (Clocks(first_event=30), False),
        (Clocks(connect=1, idle=1), True),  # these are of one connection, and of one body
    ],
)
def test_no_pause_goes_beyond_the_deadline(clocks: Clocks, again: bool) -> None:
    network = Network(Script(refusal("429 Slow", "retry-after: 30"), ANSWER), clocks=clocks)
    outcome = network.ask(question())
    assert bool(outcome.sleeps) == again
    if again:
        outcome.succeeded()
    else:
        outcome.failed(RateLimited)
        assert network.now == START


def test_an_early_wake_goes_on_sleeping() -> None:
    wire = Network().settings.wire(question(), now=0, wall_clock=0, jitter=0)
    wire.next(0)
    wire.failed(ConnectFailed("no"), 0)
    assert [wire.next(0), wire.next(0.4), wire.next(0.4)] == [Sleep(0.5)] * 3
    assert isinstance(wire.next(0.5), Connect)


def test_the_error_is_raised_again_and_again() -> None:
    wire = Network(retry=NO_RETRY).settings.wire(question(), now=0, wall_clock=0, jitter=0)
    wire.next(0)
    wire.failed(ConnectFailed("no"), 0)
    for now in (0, 1, 2):
        with pytest.raises(
            ConnectFailed, match=r"^no; the request was POST http://peer.example/chat$"
        ):
            wire.next(now)


# Kept connections


@pytest.mark.parametrize("ending", [CLOSE, RESET])
def test_a_stale_connection_is_replaced_in_silence_and_once(ending: Item) -> None:
    network = Network(Script(ANSWER, [ending]), Script(ANSWER), retry=NO_RETRY)
    network.ask(question()).succeeded()
    outcome = network.ask(question()).succeeded()
    assert [connect.fresh for connect in outcome.connects] == [False, True]
    assert outcome.sleeps == []

    network = Network(Script(ANSWER, [ending]), Script([ending]), retry=NO_RETRY)
    network.ask(question()).succeeded()
    outcome = network.ask(question())
    outcome.failed(Disconnected, "closed before any byte of a response")
    assert len(outcome.connects) == 2


@pytest.mark.parametrize("ending", [CLOSE, RESET])
@pytest.mark.parametrize(("seconds", "asked"), [(0.2, 2), (0.3, 1), (20, 1)])
def test_a_request_that_was_worked_on_is_not_sent_again(
    ending: Item, seconds: float, asked: int
) -> None:
    """A server closes an idle connection at once, if it does; later it has read the request."""
    network = Network(Script(ANSWER, [Wait(seconds), ending]), Script(ANSWER), retry=NO_RETRY)
    network.ask(question()).succeeded()
    outcome = network.ask(question())
    assert len(outcome.connects) == asked
    if asked == 1:
        outcome.failed(Disconnected, "closed before any byte of a response")
    else:
        outcome.succeeded()


def test_a_kept_connection_that_breaks_in_the_head_is_not_replaced() -> None:
    network = Network(Script(ANSWER, [b"HTTP", CLOSE]), retry=NO_RETRY)
    network.ask(question()).succeeded()
    network.ask(question()).failed(Disconnected, "inside the response's head")


def test_after_a_pause_a_kept_connection_will_do() -> None:
    network = Network(Script(ANSWER, [CLOSE]), Script(refusal("503 Busy"), ANSWER))
    network.ask(question()).succeeded()
    outcome = network.ask(question()).succeeded()
    assert [connect.fresh for connect in outcome.connects] == [False, True, False]


@pytest.mark.parametrize("ending", [CLOSE, RESET])
def test_under_tls_too(ending: Item) -> None:
    network = Network(
        OverTLS(Script(ANSWER, [ending])),
        OverTLS(Script(ANSWER)),
        cut=bytewise,
        ssl_context=client_context(),
        retry=NO_RETRY,
    )
    exchange = question(base_url="https://peer.example")
    network.ask(exchange).succeeded()
    outcome = network.ask(exchange.fresh()).succeeded()
    assert [connect.fresh for connect in outcome.connects] == [False, True]


def test_plain_http_in_the_place_of_tls() -> None:
    network = Network(Script(ANSWER), retry=NO_RETRY)
    outcome = network.ask(question(base_url="https://peer.example"))
    outcome.failed(ConnectFailed, "TLS with peer.example failed")


class WantsCertificate:
    """A server that wants a certificate of its client, and says so with its last bytes."""

    def __init__(self) -> None:
        self._tls = TLSPeer(server_context("strict.example", strict=True))

    def receive(self, data: bytes) -> Iterable[Item]:
        with suppress(ssl.SSLError):
            self._tls.receive(data)
        return [self._tls.data_to_send()]


@pytest.mark.parametrize("cut", [whole, bytewise])
def test_a_server_that_wants_a_certificate_is_heard(cut: Any) -> None:
    """Its alert comes after the handshake, when the request was sent."""
    network = Network(WantsCertificate(), ssl_context=client_context(), cut=cut)
    outcome = network.ask(question(base_url="https://strict.example"))
    outcome.failed(ConnectFailed, "TLS with strict.example failed: certificate required; give a")
    assert len(outcome.connects) == 1  # another attempt can't help
    assert outcome.releases == [False]


@pytest.mark.parametrize("ending", [CLOSE, RESET])
def test_a_connection_that_ends_in_its_handshake(ending: Item) -> None:
    network = Network(Script([ending]), retry=NO_RETRY)
    outcome = network.ask(question(base_url="https://peer.example"))
    outcome.failed(ConnectFailed, "closed the connection during TLS")
    assert outcome.releases == [False]


# The drain

REST = chunk(b"x" * 999)


@pytest.mark.parametrize(
    ("rest", "kept", "seconds"),
    [
        ([LAST], True, 0),
        ([Wait(0.09), LAST], True, 0.09),
        ([Wait(0.11), LAST], False, DRAIN_SECONDS),
        ([Wait(0.06), REST, Wait(0.06), LAST], False, DRAIN_SECONDS),
        ([REST * 60, LAST], True, 0),
        ([REST * (DRAIN_BYTES // len(REST) + 1), LAST], False, 0),
        ([REST] * (DRAIN_BYTES // len(REST) + 1), False, 0),
        ([], False, DRAIN_SECONDS),
        ([CLOSE], False, 0),
        ([RESET], False, 0),
        ([b"no chunk\r\n"], False, 0),
        ([LAST + b"more"], False, 0),
    ],
)
def test_the_rest_of_the_body(rest: Sequence[Item], kept: bool, seconds: float) -> None:
    network = Network(Script([CHUNKED + chunk(TEXT + STOP), *rest]))
    outcome = network.ask(question()).succeeded()
    assert outcome.releases == [kept]
    assert round(network.now - START, 6) == seconds


def test_what_comes_with_the_end_is_no_error() -> None:
    outcome = ask(CHUNKED + chunk(TEXT + STOP) + b"no chunk\r\n").succeeded()
    assert outcome.releases == [False]


@pytest.mark.parametrize(
    "said",
    [
        head("content-length: 9999", "connection: close") + TEXT + STOP,
        head() + TEXT + STOP,
    ],
)
def test_what_can_not_be_kept_is_not_drained(said: bytes) -> None:
    assert kinds(ask(said).succeeded()) == ["Connect", "Transfer", "Release"]


def test_after_an_error_nothing_is_drained() -> None:
    outcome = ask([CHUNKED + chunk(TEXT + b"data: {broken\n\n")]).failed(Malformed)
    assert kinds(outcome) == ["Connect", "Transfer", "Release"]
    assert outcome.releases == [False]


# Faults


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize(
    ("line", "kind", "events"),
    [
        ([CHUNKED + chunk(TEXT) + b"x\r\n"], Malformed, [Text("a")]),
        ([CHUNKED + chunk(TEXT) + b"1;" + b"x" * 70_000], LimitExceeded, [Text("a")]),
        ([CHUNKED + chunk(TEXT), CLOSE], Truncated, [Text("a")]),
        ([head("content-length: 999") + TEXT, RESET], Truncated, [Text("a")]),
        ([head() + TEXT, CLOSE], Truncated, [Text("a")]),
        ([b"nonsense\r\n\r\n"], Malformed, []),
        ([head("x: " + "x" * 70_000)], LimitExceeded, []),
        ([CLOSE], Disconnected, []),
        ([RESET], Disconnected, []),
        ([CHUNKED[:20], CLOSE], Disconnected, []),
        ([CHUNKED[:20], RESET], Disconnected, []),
        ([b"HTTP/1.1 100 Continue\r\n\r\n", CLOSE], Disconnected, []),
    ],
)
def test_faults(
    cut: Cut, line: list[Item], kind: type[TokenwireError], events: list[Event]
) -> None:
    outcome = ask(line, cut=cut).failed(kind)
    assert outcome.events == events
    assert outcome.releases == [False]


def test_a_complete_body_of_an_incomplete_answer_keeps_the_connection() -> None:
    outcome = ask([CHUNKED + chunk(TEXT) + LAST]).failed(Truncated)
    assert outcome.releases == [True]


ERROR = head("transfer-encoding: chunked", "retry-after: 99", status="429 Slow")


@pytest.mark.parametrize("ending", [[CLOSE], [RESET], [b"x\r\n"], [], [b"1;" + b"x" * 70_000]])
def test_an_error_whose_body_is_cut_is_still_that_error(ending: list[Item]) -> None:
    outcome = ask([ERROR + chunk(b'{"error":"slow down"'), *ending])
    outcome.failed(RateLimited, "429")
    assert isinstance(outcome.error, RateLimited)
    assert outcome.error.retry_after == "99"


def test_a_document_that_was_whole_counts_whatever_follows() -> None:
    token, answer = b'{"data":"t"}', b'{"data":{"message":"hello"}}\n'
    network = Network(
        Script([CHUNKED + chunk(token) + b"x\r\n"]), Script(CHUNKED + chunk(answer) + LAST)
    )
    outcome = network.ask(question("aichatonline")).succeeded()
    assert outcome.releases == [False, True]


SECRET = "sekret-0123456789"


@pytest.mark.parametrize(
    "line",
    [
        [b"HTTP/1.1 200 OK\r\n%b\r\n\r\n"],
        [CHUNKED + b"%b\r\n"],
        [CHUNKED + chunk(b"x") + LAST[:3] + b"Bearer %b\r\n"],
        [head("content-length: 40", status="401 No") + b'{"error": "key %b is wrong"}  '],
        [head("content-length: 40", status="500 Bearer %b") + b'{"error": "key %b is wrong"}  '],
        [CHUNKED + chunk(b"data: %b\n\n"), CLOSE],
    ],
)
def test_no_error_has_the_key_in_it(line: list[Item]) -> None:
    said = [i.replace(b"%b", SECRET.encode()) if isinstance(i, bytes) else i for i in line]
    network = Network(Script(said), retry=NO_RETRY, clocks=Clocks(first_event=1))
    outcome = network.ask(question("openai", key=SECRET))
    assert outcome.error is not None
    assert SECRET not in f"{outcome.error} {vars(outcome.error)} {outcome.error!r}"


def test_no_error_has_the_proxys_password_in_it() -> None:
    coded = "dXM6aHVudGVyMjI="
    page = f"Who are you, {coded}?".encode()
    said = head(f"content-length: {len(page)}", status=f"407 {coded}") + page
    network = Network(Script(said), proxy="http://us:hunter22@proxy.example")
    outcome = network.ask(question()).failed(AuthenticationFailed, "Who are you, [secret]?")
    assert coded not in f"{outcome.error} {vars(outcome.error or 0)}"


# Batches: a few bytes of gzip are a hundred thousand events, or none at all

GZIP = head("content-encoding: gzip", "transfer-encoding: chunked")
TINY = gzip.compress(b"xy\n" * 100_000)
BATCHES = 300_000 / PIECE
ENDLESS = gzip.compress(b": hm\n" * 100_000)


def lengths(packed: bytes) -> bytes:
    """A response of known length."""
    return head("content-encoding: gzip", f"content-length: {len(packed)}") + packed


def test_batches_are_handed_over_one_by_one() -> None:
    outcome = ask([GZIP + chunk(TINY) + chunk(gzip.compress(STOP)) + LAST]).succeeded()
    assert len(outcome.events) == 100_001
    assert len(outcome.sleeps) == pytest.approx(BATCHES, abs=2)
    assert set(outcome.sleeps) == {Sleep(START)}
    assert outcome.releases == [True]


def test_a_clock_runs_out_between_two_batches() -> None:
    outcome = ask([GZIP + chunk(TINY) + LAST], think=1, clocks=Clocks(total=3))
    assert outcome.failed(TimedOut).error
    assert 0 < len(outcome.events) <= 3 * PIECE // 3 + 3
    assert outcome.releases == [False]


def test_a_clock_runs_out_between_two_batches_without_events() -> None:
    wire = Network(clocks=Clocks(first_event=5)).settings.wire(
        question(), now=0, wall_clock=0, jitter=0
    )
    connect = wire.next(0)
    assert isinstance(connect, Connect)
    wire.connected(Network().settings.connection(connect.route), PUBLIC, reused=False)
    wire.next(0)
    wire.received(GZIP + chunk(ENDLESS), 1)
    for now in range(1, 5):
        assert wire.next(now) == Sleep(now)
    assert wire.next(5) == Sleep(5)
    assert wire.next(5) == Release(keep=False)
    with pytest.raises(TimedOut, match="no event within 5 s"):
        wire.next(5)


@pytest.mark.parametrize(
    ("said", "error", "words"),
    [
        ([GZIP + chunk(TINY) + b"zz\r\n"], Malformed, "no valid size"),
        ([GZIP + chunk(TINY) + chunk(b"not gzip")], Malformed, "not valid gzip"),
        ([GZIP + chunk(TINY) + LAST], Truncated, "stream-end"),
        ([lengths(TINY)], Truncated, "stream-end"),
        ([GZIP + chunk(TINY), RESET], Truncated, "stream-end"),
        ([head("content-encoding: gzip") + TINY, CLOSE], Truncated, "stream-end"),
    ],
)
def test_all_of_the_body_comes_before_its_end(
    said: list[Item], error: type[TokenwireError], words: str
) -> None:
    for cut in CUTS[:: 1 if len(said) == 2 else 2]:
        outcome = ask(said, cut=cut).failed(error, words)
        assert outcome.events == [Unrecognized(b"xy")] * 100_000


@pytest.mark.parametrize("how", ["in one read", "in two"])
def test_all_of_the_body_comes_before_the_end_of_tls(how: str) -> None:
    server = OverTLS(Script([head("content-encoding: gzip") + TINY, CLOSE]))
    network = Network(Joined(server) if how == "in one read" else server, retry=NO_RETRY)
    network.settings = replace(network.settings, ssl_context=client_context())
    outcome = network.ask(question(base_url="https://peer.example")).failed(Truncated)
    assert outcome.events == [Unrecognized(b"xy")] * 100_000


class Joined:
    """A server whose words to one request arrive in one read."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def receive(self, data: bytes) -> Iterable[Item]:
        said = b"".join(item for item in self._server.receive(data) if isinstance(item, bytes))
        return [said] if said else []


# Anything at all

SOUP = st.sampled_from(
    [
        ANSWER,
        CHUNKED,
        head(),
        head("content-length: 60"),
        chunk(TEXT),
        chunk(STOP),
        chunk(FINISHED),
        chunk(b'{"data":"t"}'),
        chunk(b'{"data":[{"url":"http://pictures.example/1"}]}'),
        chunk(b'{"data":[{"url":"http://127.0.0.1/"}]}'),
        chunk(b"data: [DONE]\n\n"),
        LAST,
        TEXT,
        ERROR,
        refusal("429 Slow", "retry-after: 1"),
        refusal("302 Found", "location: /"),
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"HTTP/1.1 101 Switching\r\n\r\n",
        head("content-encoding: gzip", "content-length: 3"),
        b"\r\n",
    ]
)
ITEMS: st.SearchStrategy[Item] = st.one_of(
    SOUP, SOUP, SOUP, st.binary(max_size=5), st.sampled_from([CLOSE, RESET, Wait(0.05), Wait(70)])
)
LINES: st.SearchStrategy[list[Item]] = st.lists(ITEMS, max_size=6)
SCRIPTS = st.lists(LINES, max_size=3).map(lambda lines: Script(*lines))
SERVERS = st.one_of(SCRIPTS, SCRIPTS, SCRIPTS, st.builds(ConnectFailed, st.just("no")))
PLACES = st.lists(st.integers(0, 300), max_size=6)


@settings(max_examples=500)
@given(
    st.lists(SERVERS, min_size=1, max_size=4),
    st.sampled_from(["darkai", "openai", "aichats", "aichatonline", "dalle"]),
    PLACES,
    st.sampled_from([0, 1, 70]),
)
def test_whatever_a_server_does(
    servers: list[Script | TokenwireError], provider: str, places: list[int], think: float
) -> None:
    last = ConnectFailed("no more servers")
    network = Network(
        *servers,
        *[last] * 10,
        cut=lambda data: at(data, [min(place, len(data)) for place in places]),
        clocks=Clocks(first_event=100, total=1000),
        think=think,
    )
    exchange = question("aichats", model="dalle") if provider == "dalle" else question(provider)
    outcome = network.ask(exchange)
    if outcome.error is None:
        outcome.succeeded()
    else:
        assert End not in map(type, outcome.events)
    assert outcome.releases.count(True) + sum(link.closed for link in network.links) >= len(
        network.links
    )
