"""The ways to ask by a client, from `tokenwire.testing.driving`."""

import asyncio

import pytest

import tokenwire
from tokenwire import Exchange, Truncated, make_exchange
from tokenwire.server import serve
from tokenwire.server.faults import CloseAfter, Faults
from tokenwire.testing.driving import Outcome, ask, ask_async, ask_pushed, ask_pushed_async


def by_asyncio(exchange: Exchange, *, pushed: bool) -> Outcome:
    async def main() -> Outcome:
        async with tokenwire.transports.asyncio.Client() as client:
            return await (ask_pushed_async if pushed else ask_async)(client, exchange)

    return asyncio.run(main())


@pytest.mark.parametrize("fault", [None, CloseAfter(700)])
def test_what_is_pushed_is_what_is_iterated_over(fault: Faults) -> None:
    with serve("openai", fault=fault) as server:

        def exchange() -> Exchange:
            return make_exchange("openai", "hi", model="m", base_url=server.url)

        with tokenwire.transports.sync.Client() as client:
            outcomes = [ask(client, exchange()), ask_pushed(client, exchange())]
        outcomes += [by_asyncio(exchange(), pushed=pushed) for pushed in (False, True)]
    for outcome in outcomes:
        assert outcome.reply.text == outcomes[0].reply.text
        assert type(outcome.error) is (Truncated if fault else type(None))
    assert outcomes[0].reply.text
