"""The settings that all clients share."""

import pytest

from tests.certificates import client_context
from tests.wiring import BASE, Network, Script, head, question, raw_exchange
from tokenwire.protocols.clocks import Clocks
from tokenwire.protocols.errors import ConnectFailed, LocalProtocolError, UnexpectedContent
from tokenwire.protocols.retry import NO_RETRY, Retry
from tokenwire.protocols.toolkit.http import Origin, Request
from tokenwire.transports.client.connection import Route
from tokenwire.transports.client.proxy import Proxy
from tokenwire.transports.client.settings import ClientSettings
from tokenwire.transports.client.tls import default_context
from tokenwire.transports.client.wire import Connect

PASSWORD = "hunter22"
VARIABLES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def connect(settings: ClientSettings) -> Connect:
    """The first connect of an exchange."""
    action = settings.wire(question(), now=5, wall_clock=0, jitter=0).next(5)
    assert isinstance(action, Connect)
    return action


@pytest.mark.parametrize(
    ("settings", "proxy"),
    [
        (ClientSettings(), Proxy("env.example", 80)),
        (ClientSettings(trust_env=False), None),
        (ClientSettings(proxy="http://own.example"), Proxy("own.example", 80)),
        (ClientSettings(proxy="http://own.example", trust_env=False), Proxy("own.example", 80)),
        (ClientSettings(proxy="socks5://own.example"), Proxy("own.example", 1080, "socks5")),
    ],
)
def test_which_proxy(
    monkeypatch: pytest.MonkeyPatch, settings: ClientSettings, proxy: Proxy | None
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://env.example")
    assert connect(settings).route.proxy == proxy


def test_a_wrong_proxy_is_refused_at_once_and_not_shown() -> None:
    with pytest.raises(LocalProtocolError, match="socks4:// is not supported") as caught:
        ClientSettings(proxy=f"socks4://us:{PASSWORD}@p.example")
    assert PASSWORD not in str(caught.value)
    settings = ClientSettings(proxy=f"http://us:{PASSWORD}@p.example")
    assert PASSWORD not in repr(settings) + repr(connect(settings))
    assert PASSWORD not in str(settings.__rich_repr__())


def test_a_wrong_environment_is_refused_at_the_question(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "socks4://p.example")
    wire = ClientSettings().wire(question(), now=0, wall_clock=0, jitter=0)
    with pytest.raises(LocalProtocolError, match="socks4:// is not supported"):
        wire.next(0)


@pytest.mark.parametrize(("clocks", "deadline"), [(None, 15), (Clocks(connect=3), 8)])
def test_clocks_of_the_client_or_of_the_exchange(clocks: Clocks | None, deadline: float) -> None:
    assert connect(ClientSettings(trust_env=False, clocks=clocks)).deadline == deadline


@pytest.mark.parametrize("own", [False, True])
def test_tls_by_the_callers_context_or_the_shared_one(own: bool) -> None:
    context = client_context() if own else default_context()
    settings = ClientSettings(ssl_context=context if own else None)
    connection = settings.connection(Route(Origin("https", "a.example", 443)))
    assert connection.data_to_send().startswith(b"\x16\x03")


@pytest.mark.parametrize(("retry", "attempts"), [(None, 3), (NO_RETRY, 1), (Retry(attempts=5), 5)])
def test_retry_is_the_callers(retry: Retry | None, attempts: int) -> None:
    network = Network(*[ConnectFailed("no")] * 9, retry=retry)
    assert len(network.ask(question()).connects) == attempts


@pytest.mark.parametrize("allowed", [False, True])
def test_private_addresses_are_the_callers_to_allow(allowed: bool) -> None:
    first = Request("GET", f"{BASE}/", [])
    second = Request("GET", "http://10.0.0.7/", [], server_chosen=True)
    network = Network(
        Script(head("content-length: 0")),
        Script(head("content-length: 0")),
        allow_private_addresses=allowed,
    )
    outcome = network.ask(raw_exchange(first, second))
    if allowed:
        outcome.succeeded()
    else:
        outcome.failed(UnexpectedContent, "10.0.0.7")
