"""What an observer records."""

import asyncio
import socket
import threading
from functools import partial
from html import escape
from pathlib import Path

import pytest

import tokenwire
from tests.driving import SSE
from tests.replay.taping import QUICK, SAID, body_said, outcome, steady
from tests.replay.test_proxy import scripted
from tokenwire import Chat, Event, Provider, Text, as_chat, make_exchange
from tokenwire.protocols.dialect import Dialect
from tokenwire.protocols.observer import Observer
from tokenwire.protocols.registry import PROVIDERS
from tokenwire.replay.cassette import Noted, load
from tokenwire.replay.client import replay
from tokenwire.replay.recorder import Recorder, record, stamp
from tokenwire.replay.redaction import SecretFound
from tokenwire.server import serve
from tokenwire.server.faults import CloseAfter, RefuseWith, StallAfter
from tokenwire.transports.asyncio import Client

OPENAI = PROVIDERS["openai"]


def test_pieces_are_those_of_the_exchange() -> None:
    recorder = Recorder(title="t", now=lambda: 1_764_408_600.9, clock=steady(0, 1, 1.5, 2, 2.25))
    exchange = OPENAI.exchange(as_chat("Why?", model="m"), key="tw-secret-1", observers=[recorder])
    exchange.next_request()
    body = body_said()
    exchange.receive_response(103, [])
    exchange.receive_response(200, SSE)
    for piece in (body[:61], body[61:], b""):
        exchange.receive_data(piece)
    exchange.receive_eof()
    found = recorder.cassette
    assert (found.provider, found.title, found.recorded) == ("openai", "t", "2025-11-29T09:30:00Z")
    assert "observer" in found.by
    (one,) = found.recordings
    assert one.body == body
    assert [(piece.after, len(piece.data)) for piece in one.pieces] == [
        (500.0, 61),
        (500.0, len(body) - 61),
    ]
    assert one.response is not None
    assert one.response.after == 1000.0
    assert (one.end, one.end_after) == ("eof", 250.0)
    kinds = {"start": 1, "text": 5, "finish": 1, "end": 1}
    assert one.outcome == Noted("complete", "terminator", dict(sorted(kinds.items())))


def test_several_at_once_and_retries() -> None:
    recorder = Recorder()

    async def ask(client: Client, url: str, word: str) -> str:
        exchange = make_exchange("openai", word, model="m", base_url=url, observers=[recorder])
        return (await client.read(exchange)).text

    async def main() -> list[str]:
        refused = RefuseWith(503, retry_after="0")
        async with serve("openai", faults=[refused]) as server, Client() as client:
            return await asyncio.gather(*(ask(client, server.url, f"word{n}") for n in range(3)))

    assert len(asyncio.run(main())) == 3
    questions = list(recorder.cassette.questions())
    assert sorted(len(question) for question in questions) == [1, 1, 2]
    for number, question in enumerate(questions):
        assert question[-1].request.body["messages"][0]["content"] == f"word{number}"
        assert question[-1].outcome is not None
        assert question[-1].outcome.outcome == "complete"


def test_a_file_of_what_failed(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    with serve("openai", lambda chat: SAID, fault=CloseAfter(300)) as server:
        with record(path, title="cut") as recorder:
            outcome(server.url, key="tw-secret-1", observers=[recorder])
        with record(path) as recorder, pytest.raises(tokenwire.Truncated):
            tokenwire.ask("openai", "Why?", model="m", base_url=server.url, observers=[recorder])
    (one,) = load(path).recordings
    assert (one.end, len(one.body)) == ("disconnect", 300)
    assert one.outcome is not None
    assert one.outcome.outcome == "truncated"
    assert "secret" not in path.read_text()


def test_left_early_and_timed_out() -> None:
    recorder = Recorder()
    with serve("openai", lambda chat: SAID, fault=StallAfter(700)) as server:
        outcome(server.url, observers=[recorder], clocks=QUICK)
        with tokenwire.stream(
            "openai", "Why?", model="m", base_url=server.url, observers=[recorder]
        ) as answer:
            next(answer)
    timed_out, left = recorder.cassette.recordings
    assert (timed_out.end, left.end) == ("timeout", "left")
    assert timed_out.outcome == Noted("timed_out", "", {"start": 1, "text": 3})
    assert left.outcome is not None
    assert left.outcome.outcome == "left"


def test_what_was_not_reached_or_not_asked() -> None:
    recorder = Recorder()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        outcome(url, observers=[recorder])
    recorder()
    OPENAI.exchange(as_chat("Never asked", model="m"), observers=[recorder])
    (one,) = recorder.cassette.recordings
    assert (one.end, one.response, one.pieces) == ("unreached", None, ())
    silent = Recorder()
    OPENAI.exchange(as_chat("x", model="m"), observers=[silent]).next_request()
    assert silent.cassette.recordings[0].end == "left"


def test_several_providers_and_those_of_ones_own() -> None:
    class Own(Dialect):
        name = "own"

    recorder = Recorder()
    names = ("openai", "anthropic")
    for provider in (
        *(PROVIDERS[name] for name in names),
        PROVIDERS["openai"].replace(name="mine"),
        PROVIDERS["openai"].replace(name="mistral"),
    ):
        chat = as_chat("Why?", model=provider.default_model or "m", max_tokens=1)
        provider.exchange(chat, observers=[recorder]).next_request()
    assert recorder.cassette.provider == ""
    mine = Recorder()
    observer = mine()
    observer.asked(Provider(name="own", dialect=Own(), base_url="http://a"), Chat(messages=()), "m")
    observer.requested(tokenwire.Request("POST", "http://a", []))
    assert mine.cassette.provider == ""
    assert len(mine.cassette.recordings) == 1


def test_a_file_with_a_key_is_not_written(tmp_path: Path) -> None:
    key = "AKIA" + "IOSFODNN7EXAMPLE"
    path = tmp_path / "x.jsonl"
    answer = [Text(f"Use {key}"), *SAID[-2:]]
    with serve("openai", lambda chat: answer) as server:
        with pytest.raises(SecretFound), record(path) as recorder:
            outcome(server.url, observers=[recorder])
        assert not path.exists()
        with record(path, allow_secrets=(key,), redact=("re:Why",)) as recorder:
            outcome(server.url, observers=[recorder])
    assert load(path).recordings[0].request.body["messages"][0]["content"] == "[left out]?"
    recorder.save(path, private=True)
    assert path.stat().st_mode & 0o777 == 0o600


def test_the_page_of_an_error() -> None:
    """It shows the question that ended with it, its retries too, in the error's own words."""
    recorder = Recorder()
    faults = [None, RefuseWith(503, retry_after="0"), CloseAfter(300)]
    with serve("openai", lambda chat: SAID, faults=faults) as server:
        ask = partial(tokenwire.ask, "openai", model="m", base_url=server.url)
        ask("Whole?", observers=[recorder])
        with pytest.raises(tokenwire.Truncated) as caught:
            ask("Why?", key="tw-secret-1", observers=[recorder])
    page = recorder.timeline(caught.value)
    assert page.count("<section") == 1
    assert "<h1>Why?</h1>" in page
    assert "503, 200" in page
    assert f'<p class="reason">{escape(caught.value.message)}</p>' in page
    assert '<span class="word bad">truncated</span>' in page
    assert "tw-secret-1" not in page


def test_the_page_of_an_error_of_the_network() -> None:
    """What only the error says."""
    recorder = Recorder()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        error = outcome(url, observers=[recorder]).error
    assert error is not None
    assert "127.0.0.1" in error.message
    assert f'<p class="reason">{escape(error.message)}</p>' in recorder.timeline(error)


def test_an_error_without_a_page() -> None:
    recorder = Recorder()
    with pytest.raises(tokenwire.LocalProtocolError) as caught:  # nothing was sent
        tokenwire.ask("openai", "Why?", model="m", base_url="no", observers=[recorder])
    recorder()  # a question that has not ended
    for error in (caught.value, tokenwire.Truncated("of another question")):
        with pytest.raises(tokenwire.LocalProtocolError, match="no recorded question ended with"):
            recorder.timeline(error)


def test_a_key_is_on_no_page() -> None:
    """One in the answer, which no redaction knows."""
    key = "AKIA" + "IOSFODNN7EXAMPLE"
    recorder, allowing = Recorder(), Recorder(allow_secrets=[key])
    body = b'{"error": {"message": "no %b"}}' % key.encode()
    exchange = OPENAI.exchange(as_chat("Why?", model="m"), observers=[recorder, allowing])
    exchange.next_request()
    exchange.receive_response(400, [("content-type", "application/json")])
    exchange.receive_data(body)
    exchange.receive_eof()
    exchange.leave()
    assert exchange.error is not None
    with pytest.raises(SecretFound) as caught:
        recorder.timeline(exchange.error)
    assert key not in str(caught.value)
    assert key in allowing.timeline(exchange.error)


def test_the_end_of_a_body_by_http2() -> None:
    """No header says how it ends."""
    recorder = Recorder()
    provider = PROVIDERS["aichats"]
    exchange = provider.exchange(as_chat("Why?"), observers=[recorder])
    exchange.next_request()
    exchange.receive_response(200, SSE)
    exchange.receive_data(b"data: Blue\n")
    exchange.receive_eof(framed=True)
    (one,) = recorder.cassette.recordings
    assert one.response is not None
    assert one.response.framing == "chunked"
    again = outcome(client=replay(recorder.cassette).client(), provider="aichats", model="")
    assert again.error is None


def test_a_time() -> None:
    assert stamp(0.9) == "1970-01-01T00:00:00Z"


class Telling(Observer):
    """Tells when something was received."""

    def __init__(self) -> None:
        self.told = threading.Semaphore(0)

    def received(self, data: bytes, events: list[Event]) -> None:
        self.told.release()


def test_writes_are_the_pieces_on_asyncio() -> None:
    """If the client has received one before the next comes."""
    recorder, telling, body = Recorder(), Telling(), body_said("openai")
    sizes = [61, 190, 7, 61, 190, 7, 300]

    def speak(sock: socket.socket) -> None:
        head = b"content-type: text/event-stream\r\ncontent-length: %d\r\n" % len(body)
        sock.sendall(b"HTTP/1.1 200 OK\r\n" + head + b"\r\n" + body[: sizes[0]])
        start = sizes[0]
        for size in (*sizes[1:], len(body)):
            assert telling.told.acquire(timeout=10)
            sock.sendall(body[start : start + size])
            start += size

    async def main(url: str) -> None:
        observers = (recorder(), telling)
        exchange = make_exchange("openai", "Why?", model="m", base_url=url, observers=observers)
        async with Client() as client:
            assert (await client.read(exchange)).evidence == "terminator"

    with scripted(speak) as url:
        asyncio.run(main(url))
    (one,) = recorder.cassette.recordings
    assert one.body == body
    assert [len(piece.data) for piece in one.pieces][:-1] == sizes
    assert all(piece.after > 0 for piece in one.pieces)
