"""Driving an exchange by hand, however the bytes are split."""

from functools import partial

from tokenwire.protocols.clocks import Clocks, Timer
from tokenwire.protocols.exchange import Exchange
from tokenwire.testing.driving import (
    JSON,
    SSE,
    Cut,
    Ending,
    Outcome,
    Response,
    drive,
    finish,
)
from tokenwire.testing.pieces import bytewise, every_way, random_cut

__all__ = [
    "JSON",
    "SSE",
    "Cut",
    "Ending",
    "Outcome",
    "Response",
    "alike",
    "drive",
    "finish",
    "no_sign_of_life",
]


def alike(exchange: Exchange, *responses: Response | bytes) -> Outcome:
    """The outcome of `exchange`, which is the same however the bodies are cut."""
    outcome = drive(exchange.fresh(), *responses)
    cuts: list[Cut] = [bytewise, *(partial(random_cut, seed=seed) for seed in range(4))]
    for cut in cuts:
        assert drive(exchange.fresh(), *responses, cut=cut).what == outcome.what
    return outcome


def no_sign_of_life(exchange: Exchange, begin: bytes, ping: bytes) -> None:
    """Check that a `ping` after the `begin` of a stream does not reset the clock idle, however it
    is split."""
    exchange.next_request()
    exchange.receive_response(200, SSE)
    exchange.receive_data(begin)
    for pieces in every_way(ping):
        timer = Timer(Clocks(idle=60), 0)
        timer.wait(0)
        timer.event(exchange.partial)
        timer.wait(0)
        for piece in pieces:
            assert exchange.receive_data(piece) == []
            timer.unit(exchange.partial, 30)
        assert timer.deadline() == 60, pieces
