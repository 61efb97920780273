"""What an observer records on each transport: its replay has the same outcome. And the servers of a
recording run on trio, too."""

import subprocess
import sys

import pytest
import trio

import tokenwire
from tests.every_transport import TRANSPORTS
from tests.replay.taping import PATIENT, QUICK, SAID, cassette
from tests.replay.test_proxy import ANSWER
from tokenwire import NO_RETRY, Exchange, make_exchange
from tokenwire.protocols.observer import Observing
from tokenwire.replay.cassette import Ending, Recording, decode, encode
from tokenwire.replay.client import replay
from tokenwire.replay.proxy import Proxy
from tokenwire.replay.recorder import Recorder
from tokenwire.server import serve
from tokenwire.server.faults import (
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
from tokenwire.testing.driving import ask

FAULTS: dict[str, tuple[Faults, Ending]] = {
    "whole": (None, "eof"),
    "ended": (EndAfter(700), "eof"),
    "closed": (CloseAfter(300), "disconnect"),
    "reset": (ResetAfter(300), "disconnect"),  # which only the proxy tells from the one before
    "stalled": (StallAfter(700), "timeout"),
    "html": (HtmlPage(), "eof"),
    "error object": (ErrorObject(), "eof"),
    "refused": (RefuseWith(429, retry_after="1"), "eof"),
    "gzipped": (Gzip(), "eof"),
    "unframed": (Unframed(), "eof"),
}


@pytest.mark.parametrize("transport", ["sync", "asyncio", "trio", "httpx sync", "httpx async"])
def test_what_is_recorded_is_replayed(transport: str) -> None:
    recorder = Recorder()
    faults = [fault for fault, _ in FAULTS.values()]
    cutting = Cutting.of_sizes(61, 190, 7)
    with serve("openai", lambda chat: ANSWER, faults=faults, cutting=cutting) as server:

        def question(number: int, *observers: Observing) -> Exchange:
            clocks = QUICK if list(FAULTS)[number] == "stalled" else PATIENT
            return make_exchange(
                "openai",
                f"{number}?",
                model="m",
                base_url=server.url,
                key="tw-secret-1",
                clocks=clocks,
                observers=observers,
            )

        exchanges = [question(number, recorder) for number in range(len(FAULTS))]
        live = TRANSPORTS[transport](*exchanges, retry=NO_RETRY)
    found = decode(encode(recorder.cassette))
    for recording, (name, (_, end)) in zip(found.recordings, FAULTS.items(), strict=True):
        complete = recording.outcome is not None and recording.outcome.outcome == "complete"
        # After the end mark a reader may go before it sees the end of the body.
        assert recording.end == end or (complete and recording.end == "left"), name
    with replay(found).client(retry=NO_RETRY) as client:
        for number, (name, outcome) in enumerate(zip(FAULTS, live, strict=True)):
            again = ask(client, question(number))
            assert again.events == outcome.events, name
            assert type(again.error) is type(outcome.error), name
            noted = found.recordings[number].outcome
            assert noted is not None
            word = "complete" if outcome.error is None else outcome.error.outcome
            assert noted.outcome == word, name


def test_on_trio() -> None:
    kept: list[Recording] = []

    async def main() -> None:
        async with serve("openai", lambda chat: SAID) as server:
            async with Proxy(kept.append, upstream=server.url) as proxy:
                reply = await tokenwire.ask_async("openai", "Why?", model="m", base_url=proxy.url)
            async with replay(cassette(*kept)).serve(speed=1000) as again:
                replayed = await tokenwire.ask_async(
                    "openai", "Why?", model="m", base_url=again.url
                )
        assert replayed.text == reply.text != ""

    trio.run(main)
    assert [one.end for one in kept] == ["eof"]


LIGHT = """
import sys, tokenwire
assert not any("replay" in name for name in sys.modules)
from tokenwire.replay import client, recorder, timeline
print(sorted(name for name in ("anyio", "hypothesis", "click", "trio") if name in sys.modules))
"""


def test_what_needs_no_extra() -> None:
    command = [sys.executable, "-c", LIGHT]
    assert subprocess.run(command, capture_output=True, check=True, text=True).stdout == "[]\n"
