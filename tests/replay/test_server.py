"""Replay as a server."""

import socket
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import msgspec
import pytest

from tests.replay.taping import QUICK, SILENT, cassette, outcome, recording
from tokenwire import Disconnected, LocalProtocolError, RateLimited, Refused, TimedOut
from tokenwire.protocols.toolkit.http import Request
from tokenwire.replay.cassette import Cassette, Ending, Head, Noted, Piece, Recording, Sent
from tokenwire.replay.client import replay
from tokenwire.replay.server import Played
from tokenwire.server.faults import (
    CloseAfter,
    Cutting,
    DropTerminator,
    EndAfter,
    Faults,
    RefuseWith,
)
from tokenwire.server.scripts import Action, Pause, Plan, Write, plan
from tokenwire.server.scripts import Ending as ServerEnding

REQUEST = Request("POST", "http://127.0.0.1/v1/chat/completions", [])
HEAD = (
    b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
)


@contextmanager
def connected(url: str) -> Generator[socket.socket]:
    host, port = url.split("/")[2].split(":")
    with socket.create_connection((host, int(port)), timeout=10) as sock:
        yield sock


def said(url: str, body: bytes) -> bytes:
    """All that a server says to a request until it closes, or falls silent for a moment."""
    with connected(url) as sock:
        sock.sendall(HEAD + b"connection: close\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
        data = b""
        while piece := sock.recv(65536):
            data += piece
        return data


def body_of(one: Recording) -> bytes:
    return msgspec.json.encode(one.request.body)


def test_framing_chunks_and_trailers_on_the_wire() -> None:
    one = recording((3, 4))
    pieces = (Piece(1, b"abc"), Piece(0, b"de"), Piece(2, b"f"))
    head = Head(200, "1.1", "chunked", (("date", "then"), ("x-request-id", "r"), ("te", "x")), 1)
    one = msgspec.structs.replace(
        one, response=head, pieces=pieces, trailers=(("x-request-id", "t"),)
    )
    with replay(cassette(one)).serve() as server:
        data = said(server.url, body_of(one))
    head_, _, rest = data.partition(b"\r\n\r\n")
    assert rest == b"3\r\nabc\r\n2\r\nde\r\n1\r\nf\r\n0\r\nx-request-id: t\r\n\r\n"
    assert b"x-request-id: r" in head_
    assert b"then" not in head_
    assert b"\r\nte:" not in head_


@pytest.mark.parametrize(
    ("framing", "headers", "end", "expected"),
    [
        ("length", (("content-length", "6"),), "eof", b"content-length: 6\r\n"),
        ("length", (("content-length", "99"),), "disconnect", b"content-length: 99\r\n"),
        ("length", (), "disconnect", b"transfer-encoding: chunked\r\n"),
        ("close", (), "eof", b"HTTP/1.0 200 \r\n"),
    ],
)
def test_other_framings(
    framing: str, headers: tuple[tuple[str, str], ...], end: Ending, expected: bytes
) -> None:
    head = msgspec.convert({"status": 200, "framing": framing, "headers": headers}, Head)
    one = msgspec.structs.replace(
        recording(), response=head, pieces=(Piece(0, b"abc"), Piece(0, b"def")), end=end
    )
    with replay(cassette(one)).serve() as server:
        data = said(server.url, body_of(one)).lower()
    assert expected.lower() in data
    assert b"abc" in data
    assert b"def" in data


def test_resets_and_closes() -> None:
    for end in ("reset", "disconnect"):
        one = recording((61,), upto=300, end=end)
        with replay(cassette(one)).serve() as server:
            if end == "reset":
                with pytest.raises(ConnectionResetError):
                    said(server.url, body_of(one))
            else:
                assert not said(server.url, body_of(one)).endswith(b"0\r\n\r\n")


@pytest.mark.parametrize("end", ["unreached", "disconnect", "timeout", "left"])
def test_no_response(end: Ending) -> None:
    one = msgspec.structs.replace(recording(), response=None, pieces=(), end=end)
    with replay(cassette(one)).serve() as server:
        error = outcome(server.url, clocks=SILENT).error
    assert type(error) is (Disconnected if end in ("unreached", "disconnect") else TimedOut)


def test_silence_and_a_reader_that_had_all() -> None:
    one = recording((61,), upto=700, end="left")
    with replay(cassette(one)).serve() as server:
        assert isinstance(outcome(server.url, clocks=QUICK).error, TimedOut)
    done = msgspec.structs.replace(recording(end="left"), outcome=Noted("complete"))
    with replay(cassette(done)).serve() as server:
        assert said(server.url, body_of(done)).endswith(b"0\r\n\r\n")


def test_what_was_not_recorded_is_an_error_that_is_not_retried() -> None:
    with replay(cassette()).serve() as server:
        error = outcome(server.url, question="Something else").error
        assert type(error) is Refused
        assert "was not recorded; the closest recorded request differs: at /messages/0/content" in (
            str(error)
        )
        assert error.should_retry is False
        assert error.status == 500
        assert [type(each).__name__ for each in server.errors] == ["NoMatch"]
        assert len(server.player.unused) == 1
        assert outcome(server.url).error is None
        assert server.player.unused == []
    with replay(Cassette(())).serve() as server:
        assert "the cassette has no request" in str(outcome(server.url, provider="cohere").error)


def test_other_cuts_and_faults() -> None:
    one = recording((61, 7))
    played = replay(cassette(one, one, one, one), repeat=True)
    refused = RefuseWith(429)
    faults: list[Faults] = [refused, EndAfter(700), (CloseAfter(300), DropTerminator())]
    with played.serve(faults=faults, cutting=Cutting.byte_by_byte()) as server:
        assert type(outcome(server.url).error) is RateLimited
        assert len(played.unused) == 4
        assert [len(outcome(server.url).events) for _ in range(2)] == [5, 2]
        assert outcome(server.url).error is None
    with played.serve(fault=CloseAfter(0, head=False)) as server:
        assert type(outcome(server.url).error) is Disconnected


def script(one: Recording, faulty: Plan | None = None, **how: Any) -> list[Action]:
    return list(Played(REQUEST, faulty or Plan(), one, **how).actions())


def test_the_script() -> None:
    pieces = (Piece(100, b"a"), Piece(0, b"b"), Piece(9000, b"c"))
    one = msgspec.structs.replace(recording(), pieces=pieces, end_after=50.0)
    assert script(one) == [Write(b""), Write(b"a", more=True), Write(b"b"), Write(b"c")]
    assert script(one, speed=0.5, longest_gap=2) == [
        *(Pause(0.01), Write(b""), Pause(0.2), Write(b"a", more=True), Write(b"b")),
        *(Pause(2), Write(b"c"), Pause(0.1)),
    ]
    assert script(one, speed=1, cutting=Cutting.whole()) == [
        *(Pause(0.005), Write(b""), Pause(0.1), Pause(9.0), Write(b"abc"), Pause(0.05)),
    ]
    assert script(one, plan(EndAfter(2)), speed=10) == [
        *(Pause(0.0005), Write(b""), Pause(0.01), Write(b"a"), Write(b"b"), Pause(0.005)),
    ]
    assert script(one, plan(CloseAfter(0, head=False)), speed=1) == [Pause(0.005)]
    late = msgspec.structs.replace(one, response=None, pieces=(), end="disconnect")
    assert script(late, speed=1) == [Pause(0.05)]


def test_endings_of_faults_win() -> None:
    one = recording(end="disconnect")
    assert Played(REQUEST, plan(CloseAfter(3)), one).plan.ending is ServerEnding.CLOSE
    assert Played(REQUEST, plan(EndAfter(3)), one).plan.ending is ServerEnding.KEEP
    assert Played(REQUEST, Plan(), one).plan.ending is ServerEnding.CLOSE


def test_arguments_and_addresses() -> None:
    with pytest.raises(LocalProtocolError, match="speed -1: give 0"):
        replay(cassette()).serve(speed=-1)
    bedrock = Recording(Sent("POST", "http://a/model/m/converse-stream"))
    with replay(Cassette((bedrock,))).serve() as server:
        assert server.url == server.origin
    with replay(Cassette((bedrock,), provider="groq")).serve() as server:
        assert server.url == f"{server.origin}/openai/v1"
