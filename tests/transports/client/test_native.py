"""Driving a wire over a network: odd moments. See test_transports for all else."""

import pytest

from tests.transports.test_transports import ask
from tokenwire import Retry, TransportError
from tokenwire.server import serve
from tokenwire.server.faults import RefuseWith
from tokenwire.transports.client.native import NativeClient
from tokenwire.transports.sync import Answer, Client, Network, Sleeper


def test_an_abort_just_before_the_pause_of_a_retry_is_not_slept_through() -> None:
    class Late(Network):
        def sleeper(self) -> Sleeper:
            answers[0].abort()
            return super().sleeper()

    class LateClient(Client):
        @classmethod
        def network(cls) -> Network:
            return Late()

    answers: list[Answer] = []
    with (
        serve("ylokh", fault=RefuseWith(429, "50")) as server,
        LateClient(trust_env=False, retry=Retry(attempts=2)) as client,
        client.open(ask(server)) as answer,
    ):
        answers.append(answer)
        with pytest.raises(TransportError, match="abort"):
            next(answer)
    assert len(server.requests) == 1


def test_a_connection_that_was_idle_for_long_is_closed_and_replaced() -> None:
    passed = [0.0]

    class Late(Network):
        def now(self) -> float:
            return super().now() + passed[0]

    class LateClient(Client):
        @classmethod
        def network(cls) -> Network:
            return Late()

    with serve("ylokh") as server, LateClient(trust_env=False) as client:
        for passed[0] in (0, 29, 58, 89):
            assert client.read(ask(server)).evidence == "terminator"
    assert server.connections == 2


def test_a_client_is_of_some_network() -> None:
    with pytest.raises(NotImplementedError):
        NativeClient.network()
