"""Driving an exchange by hand, however the bytes are split."""

from functools import partial

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
from tokenwire.testing.pieces import bytewise, random_cut

__all__ = ["JSON", "SSE", "Cut", "Ending", "Outcome", "Response", "alike", "drive", "finish"]


def alike(exchange: Exchange, *responses: Response | bytes) -> Outcome:
    """The outcome of `exchange`, which is the same however the bodies are cut."""
    outcome = drive(exchange.fresh(), *responses)
    cuts: list[Cut] = [bytewise, *(partial(random_cut, seed=seed) for seed in range(4))]
    for cut in cuts:
        assert drive(exchange.fresh(), *responses, cut=cut).what == outcome.what
    return outcome
