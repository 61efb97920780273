"""Driving a wire over a network: odd moments. See test_transports for all else."""

import pytest

from tests.transports.test_transports import ask
from tokenwire import Retry, TransportError
from tokenwire.server import serve
from tokenwire.server.faults import RefuseWith
from tokenwire.transports.client.native import NativeClient
from tokenwire.transports.sync import Answer, Client, Dialer, Network, Stream


@pytest.mark.parametrize("call", ["connect", "sleep"])
def test_an_abort_just_before_a_wait_is_not_missed(call: str) -> None:
    class Late(Dialer):
        async def connect(self, address: str, port: int, deadline: float | None) -> Stream:
            if call == "connect":
                answers[0].abort()
            return await super().connect(address, port, deadline)

        async def sleep(self, until: float) -> None:
            answers[0].abort()
            await super().sleep(until)

    class LateNetwork(Network):
        def dialer(self) -> Dialer:
            return Late()

    class LateClient(Client):
        @classmethod
        def network(cls) -> Network:
            return LateNetwork()

    answers: list[Answer] = []
    with (
        serve("ylokh", fault=RefuseWith(429, "50")) as server,
        LateClient(trust_env=False, retry=Retry(attempts=2)) as client,
        client.open(ask(server)) as answer,
    ):
        answers.append(answer)
        with pytest.raises(TransportError, match="abort"):
            next(answer)
    assert len(server.requests) == (call == "sleep")


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


def test_a_client_needs_a_network() -> None:
    with pytest.raises(NotImplementedError):
        NativeClient.network()
