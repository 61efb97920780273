"""What every transport can do, against the embedded server: each test is written once, and runs on
all. What comes of faults is in test_matrix."""

import re
import socket
import ssl
import threading
from collections.abc import Generator, Iterator
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.certificates import client_context, server_context
from tests.driving import Outcome
from tests.every_transport import TRANSPORTS, Run
from tests.leftovers import nothing_left
from tests.proxies import TestProxy, proxy_of
from tests.subjects import EACH_FORMAT
from tests.wiring import TLSPeer
from tokenwire import (
    NO_RETRY,
    PROVIDERS,
    AuthenticationFailed,
    BadRequest,
    Clocks,
    ConnectFailed,
    Disconnected,
    End,
    Event,
    Exchange,
    LocalProtocolError,
    Model,
    RateLimited,
    Retry,
    Text,
    TimedOut,
    Truncated,
    UnexpectedContent,
    make_exchange,
)
from tokenwire.server.embedded import Server, serve
from tokenwire.server.faults import (
    CloseAfter,
    CloseIdle,
    Cutting,
    KeepAlives,
    RefuseWith,
    StallAfter,
    Unframed,
)

QUESTION = "Why is the sky blue, übrigens \u2028?"
CUTTINGS = {
    "whole": Cutting.whole(),
    "event": Cutting.per_event(),
    "bytes": Cutting.byte_by_byte(),
    "sizes": Cutting.of_sizes(7, 1, 100),
}
FIXED = "httpx's read timeout is fixed for a response, and a clock of None is for ever"
KEPT = "httpx keeps a connection only if its response ended before the answer did"
SOCKS = "httpx needs another package for it, socksio"
REPLACED = "httpx replaces a kept connection only if it sees that it is closed before it asks"
# What the httpx transport can't do, by test and case: how the names of those transports end,
# and why.
IMPOSSIBLE: dict[str, tuple[str, str]] = {
    "test_clocks[first_event]": ("", FIXED),
    "test_clocks[idle]": ("", FIXED),
    "test_connections_are_kept_over_tls": (" sync", KEPT),
    "test_plain_http_through_a_proxy[socks5-]": ("", SOCKS),
    "test_plain_http_through_a_proxy[socks5-sesame]": ("", SOCKS),
    "test_tls_through_a_proxy[http-]": (" sync", KEPT),
    "test_tls_through_a_proxy[http-sesame]": (" sync", KEPT),
    "test_tls_through_a_proxy[https-]": (" sync", KEPT),
    "test_tls_through_a_proxy[https-sesame]": (" sync", KEPT),
    "test_tls_through_a_proxy[socks5-]": ("", SOCKS),
    "test_tls_through_a_proxy[socks5-sesame]": ("", SOCKS),
    "test_a_proxy_that_refuses[socks5-refused the user]": ("", SOCKS),
    "test_the_proxy_of_the_environment[socks5-all_proxy]": ("", SOCKS),
    "test_a_kept_connection_that_was_closed_is_replaced": ("", REPLACED),
    "test_a_kept_connection_that_closes_at_the_next_request_is_replaced_once": ("", REPLACED),
    "test_an_early_refusal_of_a_large_request_is_read": (
        "",
        "it sends all of a request before it reads",
    ),
}


@pytest.fixture(autouse=True)
def clean() -> Generator[None]:
    with nothing_left():
        yield


@pytest.fixture(params=sorted(TRANSPORTS))
def run(request: pytest.FixtureRequest) -> Run:
    transport: str = request.param
    name = str(request.node.name).replace(f"[{transport}]", "").replace(f"[{transport}-", "[")
    ending, reason = IMPOSSIBLE.get(name, ("nothing", ""))
    if "httpx" in transport and transport.endswith(ending):
        pytest.skip(reason)
    return TRANSPORTS[transport]


def ask(server: Server, provider: str = "ylokh", question: str = QUESTION, **how: Any) -> Exchange:
    how.setdefault("model", "" if PROVIDERS[provider].default_model else "any")
    return make_exchange(provider, question, base_url=server.url, **how)


@pytest.mark.crosswise
@pytest.mark.parametrize("cutting", CUTTINGS)
@pytest.mark.parametrize("provider", EACH_FORMAT)
def test_each_provider_answers(run: Run, provider: str, cutting: str) -> None:
    with serve(provider, cutting=CUTTINGS[cutting]) as server:
        (outcome,) = run(ask(server, provider))
    assert outcome.error is None
    assert QUESTION in outcome.reply.text
    assert isinstance(outcome.events[-1], End)


@pytest.mark.parametrize("provider", ["openai", "groq", "anthropic", "gemini", "ollama"])
def test_a_list_of_models(run: Run, provider: str) -> None:
    found: list[Model] = []
    known = PROVIDERS[provider].replace(models=("a", "b"))
    with serve(known) as server:
        (outcome,) = run(known.models_exchange(found, key="k", base_url=server.url))
    assert outcome.error is None
    assert [model.id for model in found] == ["a", "b"]


@pytest.mark.parametrize("provider", EACH_FORMAT)
def test_over_tls(run: Run, provider: str) -> None:
    with serve(provider, ssl_context=server_context(), cutting=CUTTINGS["sizes"]) as server:
        (outcome,) = run(ask(server, provider), ssl_context=client_context())
    assert outcome.error is None
    assert QUESTION in outcome.reply.text


def test_an_unknown_certificate_is_refused(run: Run) -> None:
    with serve("ylokh", ssl_context=server_context()) as server:
        (outcome,) = run(ask(server))
    assert isinstance(outcome.error, ConnectFailed)
    assert re.search("ssl_context=|verify=", str(outcome.error))
    assert not server.requests


@pytest.mark.parametrize(
    "run", sorted(name for name in TRANSPORTS if "httpx" not in name), indirect=True
)
def test_a_server_that_wants_a_certificate(run: Run) -> None:
    peer = TLSPeer(server_context("localhost", strict=True))

    def work() -> None:
        with listener.accept()[0] as stream:
            with suppress(ssl.SSLError):
                while data := stream.recv(65536):
                    peer.receive(data)
                    stream.sendall(peer.data_to_send())
            stream.sendall(peer.data_to_send())  # the alert
            stream.shutdown(socket.SHUT_WR)
            while stream.recv(65536):  # closed with bytes unread, it would be reset
                pass

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=work)
        thread.start()
        url = f"https://localhost:{listener.getsockname()[1]}"
        (outcome,) = run(make_exchange("ylokh", "hi", base_url=url), ssl_context=client_context())
        thread.join(10)
    assert isinstance(outcome.error, ConnectFailed)
    assert "TLS with localhost failed: certificate required" in str(outcome.error)


def test_a_picture(run: Run) -> None:
    with serve("aichats") as server:
        (outcome,) = run(ask(server, "aichats", model="dalle"))
    (image,) = outcome.reply.images
    assert image.data.startswith(b"\x89PNG")
    assert image.media_type == "image/png"
    assert image.prompt == QUESTION
    assert image.url.startswith(server.url)


def test_not_streamed(run: Run) -> None:
    with serve("openai") as server:
        (outcome,) = run(ask(server, "openai", stream=False))
    assert outcome.error is None
    assert QUESTION in outcome.reply.text


def test_connections_are_kept(run: Run) -> None:
    with serve("aichatonline") as server:
        outcomes = run(*(ask(server, "aichatonline") for _ in range(3)))
    assert [outcome.error for outcome in outcomes] == [None] * 3
    assert len(server.requests) == 6
    assert server.connections == 1


def test_connections_are_kept_over_tls(run: Run) -> None:
    with serve("ylokh", ssl_context=server_context()) as server:
        outcomes = run(*(ask(server) for _ in range(3)), ssl_context=client_context())
    assert [outcome.error for outcome in outcomes] == [None] * 3
    assert server.connections == 1


def test_a_kept_connection_that_was_closed_is_replaced(run: Run) -> None:
    with serve("ylokh", faults=[CloseIdle()]) as server:
        outcomes = run(ask(server), ask(server), retry=NO_RETRY)
    assert [outcome.error for outcome in outcomes] == [None, None]
    assert server.connections == 2


def test_a_kept_connection_that_closes_at_the_next_request_is_replaced_once(run: Run) -> None:
    closes = CloseAfter(0, head=False)
    with serve("ylokh", faults=[None, closes, None, closes, closes]) as server:
        outcomes = run(*(ask(server) for _ in range(3)), retry=NO_RETRY)
    assert [type(outcome.error) for outcome in outcomes] == [type(None), type(None), Disconnected]
    assert len(server.requests) == 5
    assert server.connections == 3


def test_a_server_that_refuses_a_key_never_shows_it(run: Run) -> None:
    with serve("openai", key="sesame-open-please") as server:
        (outcome,) = run(ask(server, "openai", key="sk-not-the-right-one"), retry=NO_RETRY)
        (welcome,) = run(ask(server, "openai", key="sesame-open-please"))
    assert isinstance(outcome.error, AuthenticationFailed)
    assert "right-one" not in f"{outcome.error} {outcome.error!r} {vars(outcome.error)}"
    assert welcome.error is None


@pytest.mark.parametrize("after", ["0", "Fri, 31 Dec 1999 23:59:59 GMT"])
@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_retry(run: Run, status: int, after: str) -> None:
    with serve("ylokh", faults=[RefuseWith(status, after), RefuseWith(status, after)]) as server:
        (outcome,) = run(ask(server), retry=Retry(first_pause=0.01))
    assert outcome.error is None
    assert len(server.requests) == 3
    assert server.connections == 1


def test_retry_gives_up(run: Run) -> None:
    with serve("ylokh", fault=RefuseWith(429, "0")) as server:
        (outcome,) = run(ask(server), retry=Retry(attempts=2, first_pause=0.01))
    assert isinstance(outcome.error, RateLimited)
    assert outcome.error.retry_after == "0"
    assert len(server.requests) == 2


def test_a_retry_that_is_too_far_off_is_not_waited_for(run: Run) -> None:
    with serve("ylokh", fault=RefuseWith(429, "Fri, 31 Dec 9999 23:59:59 GMT")) as server:
        (outcome,) = run(ask(server))
    assert isinstance(outcome.error, RateLimited)
    assert len(server.requests) == 1


def test_no_retry_after_an_event(run: Run) -> None:
    with serve("ylokh", fault=CloseAfter(700)) as server:
        (outcome,) = run(ask(server), retry=Retry(attempts=5, first_pause=0))
    assert isinstance(outcome.error, Truncated)
    assert len(server.requests) == 1


def test_retry_when_nothing_listens(run: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    exchange = make_exchange("ylokh", QUESTION, base_url=f"http://127.0.0.1:{port}/v1")
    (outcome,) = run(exchange, retry=Retry(attempts=3, first_pause=0))
    assert isinstance(outcome.error, ConnectFailed)
    assert f"127.0.0.1:{port}" in str(outcome.error)


def test_an_unknown_host(run: Run) -> None:
    exchange = make_exchange("ylokh", QUESTION, base_url="http://nowhere.invalid/v1")
    (outcome,) = run(exchange, retry=NO_RETRY)
    assert isinstance(outcome.error, ConnectFailed)
    assert "nowhere.invalid" in str(outcome.error)


@pytest.mark.parametrize("clock", ["first_event", "idle", "total"])
def test_clocks(run: Run, clock: str) -> None:
    # For `total` events go on to come, so that no other clock runs out.
    fault = None if clock == "total" else StallAfter(0 if clock == "first_event" else 700)
    cutting = Cutting.per_event(pause=0.05)
    others: dict[str, Any] = {"connect": None, "first_event": None, "idle": None, "total": None}
    with serve("ylokh", fault=fault, cutting=cutting) as server:
        clocks = Clocks(**(others | {clock: 0.5 if clock == "total" else 0.15}))
        question = QUESTION * (20 if clock == "total" else 1)
        (outcome,) = run(ask(server, question=question), clocks=clocks)
    assert isinstance(outcome.error, TimedOut)
    assert outcome.error.clock == clock
    assert bool(outcome.events) == (clock != "first_event")


@pytest.mark.parametrize("clock", ["first_event", "total"])
def test_bytes_that_come_all_the_time_stop_no_clock(run: Run, clock: str) -> None:
    fault = KeepAlives(0, 0.0005) if clock == "first_event" else None
    others: dict[str, Any] = {"connect": None, "first_event": None, "idle": None, "total": None}
    with serve("ylokh", endless, fault=fault) as server:
        (outcome,) = run(ask(server), clocks=Clocks(**(others | {clock: 0.15})))
    assert isinstance(outcome.error, TimedOut)
    assert outcome.error.clock == clock


def endless(chat: Any) -> Iterator[Event]:
    while True:
        yield Text("on and on ")


def port_of(server: Server) -> int:
    return int(server.origin.rpartition(":")[2])


def elsewhere(server: Server, host: str) -> str:
    """The server's base URL with another host, which only the proxy knows."""
    return server.origin.replace("127.0.0.1", host) + urlsplit(server.url).path


PROXIES = ("http", "https", "socks5")
FAR = "http://far.example"


@pytest.mark.parametrize("password", ["", "sesame"])
@pytest.mark.parametrize("kind", PROXIES)
def test_plain_http_through_a_proxy(run: Run, kind: str, password: str) -> None:
    with serve("ylokh", public_url=FAR) as server:
        authority = f"far.example:{port_of(server)}"
        with proxy_of(kind, {authority: port_of(server)}, password=password) as proxy:
            exchange = make_exchange("ylokh", QUESTION, base_url=elsewhere(server, "far.example"))
            url = proxy.address(password)
            (outcome,) = run(exchange, proxy=url, ssl_context=client_context())
    assert outcome.error is None
    assert QUESTION in outcome.reply.text
    if kind == "socks5":
        assert proxy.requests == [f"CONNECT {authority}"]
    else:
        assert proxy.requests == [f"POST http://{authority}/v1/chat/completions"]


@pytest.mark.parametrize("password", ["", "sesame"])
@pytest.mark.parametrize("kind", PROXIES)
def test_tls_through_a_proxy(run: Run, kind: str, password: str) -> None:
    certificate = server_context("far.example")
    with serve("ylokh", ssl_context=certificate, public_url=FAR) as server:
        authority = f"far.example:{port_of(server)}"
        with proxy_of(kind, {authority: port_of(server)}, password=password) as proxy:
            base_url = elsewhere(server, "far.example")
            exchanges = [make_exchange("ylokh", QUESTION, base_url=base_url) for _ in range(2)]
            url = proxy.address(password)
            outcomes = run(*exchanges, proxy=url, ssl_context=client_context())
    assert [outcome.error for outcome in outcomes] == [None, None]
    assert proxy.requests == [f"CONNECT {authority}"]


@pytest.mark.parametrize(
    ("kind", "words"), [("http", "407"), ("https", "407"), ("socks5", "refused the user")]
)
def test_a_proxy_that_refuses(run: Run, kind: str, words: str) -> None:
    with proxy_of(kind, {}, password="other") as proxy:
        exchange = make_exchange("ylokh", QUESTION, base_url="https://far.example/v1")
        url = proxy.address("sesame")
        (outcome,) = run(exchange, proxy=url, ssl_context=client_context())
    assert isinstance(outcome.error, ConnectFailed)
    assert outcome.error.lasting
    assert len(proxy.requests) == (kind != "socks5")  # no use to try again
    assert words in str(outcome.error)
    assert "sesame" not in f"{outcome.error!r} {vars(outcome.error)}"


def test_a_proxy_over_tls_that_is_not_trusted(run: Run) -> None:
    with proxy_of("https", {}) as proxy:
        exchange = make_exchange("ylokh", QUESTION, base_url="https://far.example/v1")
        (outcome,) = run(exchange, proxy=proxy.url)
    assert isinstance(outcome.error, ConnectFailed)
    assert outcome.error.lasting
    assert not proxy.requests


@pytest.mark.parametrize(
    ("kind", "variable"), [("http", "http_proxy"), ("http", "ALL_PROXY"), ("socks5", "all_proxy")]
)
def test_the_proxy_of_the_environment(
    run: Run, monkeypatch: pytest.MonkeyPatch, kind: str, variable: str
) -> None:
    with serve("ylokh", public_url=FAR) as server:
        authority = f"far.example:{port_of(server)}"
        with proxy_of(kind, {authority: port_of(server)}) as proxy:
            monkeypatch.setenv(variable, proxy.url)
            monkeypatch.setenv("no_proxy", "127.0.0.1")
            far = make_exchange("ylokh", QUESTION, base_url=elsewhere(server, "far.example"))
            near = make_exchange("ylokh", QUESTION, base_url=elsewhere(server, "127.0.0.1"))
            outcomes = run(far, near, trust_env=True)
    assert [outcome.error for outcome in outcomes] == [None, None]
    assert len(proxy.requests) == 1


@pytest.mark.parametrize("allowed", [False, True])
def test_a_server_elsewhere_can_not_send_us_into_our_network(run: Run, allowed: bool) -> None:
    """AiChats answers from far away that its picture is on 127.0.0.1."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    authority, here = f"far.example:{port}", f"127.0.0.1:{port}"
    # On all addresses, it answers to any host.
    there = serve("aichats", host="0.0.0.0", port=port, public_url=f"http://{here}")
    with there as server, TestProxy({authority: port, here: port}) as proxy:
        exchange = make_exchange(
            "aichats",
            QUESTION,
            model="dalle",
            base_url=f"http://{authority}",
            headers={"cookie": "session=sesame"},
        )
        (outcome,) = run(exchange, proxy=proxy.url, allow_private_addresses=allowed)
    if allowed:
        assert outcome.reply.images
        assert proxy.requests[1].startswith(f"GET http://{here}/pictures/")
        assert b"sesame" not in str(server.requests[1].headers).encode()
    else:
        assert isinstance(outcome.error, UnexpectedContent)
        assert "allow_private_addresses=True" in str(outcome.error)
        assert len(proxy.requests) == 1


def test_an_exchange_is_used_once(run: Run) -> None:
    with serve("ylokh") as server:
        exchange = ask(server)
        first, second = run(exchange, exchange)
    assert first.error is None
    assert isinstance(second.error, LocalProtocolError)
    assert "fresh()" in str(second.error)


def test_a_cut_answer_without_framing_is_no_success(run: Run) -> None:
    with serve("aichats", fault=(Unframed(), CloseAfter(70))) as server:
        (outcome,) = run(ask(server, "aichats"), retry=NO_RETRY)
    assert isinstance(outcome.error, Truncated)


def test_a_request_is_sent_once_if_the_server_may_have_begun(run: Run) -> None:
    with serve("ylokh", fault=CloseAfter(0, head=False)) as server:
        (outcome,) = run(ask(server))
    assert isinstance(outcome.error, Disconnected)
    assert len(server.requests) == 1


def test_an_early_refusal_of_a_large_request_is_read(run: Run) -> None:
    """The server says 413 before it has read the request, and goes on not to read."""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(10)
    over = threading.Event()

    def work() -> None:
        with listener, listener.accept()[0] as stream:
            stream.recv(1000)
            stream.sendall(b"HTTP/1.1 413 Too Large\r\ncontent-length: 2\r\n\r\n{}")
            over.wait(10)

    thread = threading.Thread(target=work)
    thread.start()
    url = f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
    (outcome,) = run(make_exchange("ylokh", "x" * 20_000_000, base_url=url), retry=NO_RETRY)
    over.set()
    thread.join()
    assert isinstance(outcome.error, BadRequest), outcome.error


def test_what_is_raised_is_raised_again_for_ever(run: Run) -> None:
    with serve("ylokh", fault=RefuseWith(400)) as server:
        outcomes: list[Outcome] = run(ask(server), ask(server))
    assert [type(outcome.error) for outcome in outcomes] == [BadRequest, BadRequest]
