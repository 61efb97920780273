"""Each recorded stream of real services, recorded again at random cuts: its replay gives the same
events, the same error and the same pieces, and `check` finds it as it was noted."""

from random import Random

import pytest

from tests.corpus import corpus
from tests.driving import drive
from tokenwire import NO_RETRY, Exchange, as_chat
from tokenwire.protocols.registry import PROVIDERS
from tokenwire.replay.cassette import decode, encode
from tokenwire.replay.checking import checked
from tokenwire.replay.client import replay
from tokenwire.replay.recorder import Recorder
from tokenwire.testing.driving import ask

FORMATS = {
    "anthropic": "anthropic",
    "bedrock-eventstream": "bedrock",
    "cohere": "cohere",
    "gemini-sse": "gemini",
    "mistral": "mistral",
    "ollama-ndjson": "ollama",
    "openai-chat": "openai",
    "openai-responses": "openai-responses",
}


@pytest.mark.parametrize("format", FORMATS)
def test_recorded_and_replayed(format: str) -> None:
    found = corpus(format)
    provider = PROVIDERS[FORMATS[format]].replace(any_model=True)
    draw = Random(format)
    seen = 0

    def exchange(recorder: Recorder) -> Exchange:
        chat = as_chat("Why?", model="m")
        base_url = "http://localhost"
        return provider.exchange(chat, base_url=base_url, observers=[recorder])

    def cut(body: bytes) -> list[bytes]:
        places = sorted(draw.sample(range(len(body) + 1), min(8, len(body) + 1)))
        return [body[a:b] for a, b in zip([0, *places], [*places, len(body)], strict=True) if b > a]

    for file in found.streams:
        live = Recorder()
        response = found.response(file)
        response.headers.append((b"transfer-encoding", b"chunked"))
        outcome = drive(exchange(live), response, cut=cut)
        cassette = decode(encode(live.cassette))
        assert checked(cassette)[1] == [], file
        told = Recorder()
        with replay(cassette).client(retry=NO_RETRY) as client:
            again = ask(client, exchange(told))
        assert again.what == outcome.what, file
        pieces = [piece.data for piece in told.cassette.recordings[0].pieces]
        assert pieces[: len(live.cassette.recordings[0].pieces)] == [
            piece.data for piece in live.cassette.recordings[0].pieces
        ], file
        seen += 1
    assert seen
