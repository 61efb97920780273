"""Cassettes made of others, of bodies and of HAR files."""

import json
from base64 import b64encode
from typing import Any

import msgspec
import pytest

from tests.replay.taping import cassette, recording
from tokenwire import LocalProtocolError
from tokenwire.replay.cassette import Cassette, Head, Noted, Piece, Recording, Sent
from tokenwire.replay.editing import cut_at, cut_per_event, ended_at, from_body, from_har, to_har


def of_pieces(*pieces: Piece) -> Cassette:
    return cassette(msgspec.structs.replace(recording(), pieces=pieces))


def pieces_of(found: Cassette) -> list[tuple[float, bytes]]:
    return [(piece.after, piece.data) for piece in found.recordings[0].pieces]


def test_other_cuts_keep_the_times() -> None:
    found = of_pieces(Piece(10, b"abc"), Piece(0, b"de"), Piece(5, b"fghi"))
    assert pieces_of(cut_at(found, [6, 1, 99, 0, 6])) == [(10, b"a"), (0, b"bcdef"), (5, b"ghi")]
    assert pieces_of(cut_at(found, [])) == [(10, b"abcdefghi")]
    assert pieces_of(cut_at(of_pieces(), [1])) == []


def test_a_piece_for_each_event() -> None:
    stream = of_pieces(Piece(1, b"data: a\r\n\r\ndata: "), Piece(2, b"b\n\n: c"))
    assert [data for _, data in pieces_of(cut_per_event(stream))] == [
        *(b"data: a\r\n\r\n", b"data: b\n\n", b": c")
    ]
    lines = of_pieces(Piece(1, b'{"a": 1}\n{"a": 2}\n'))
    assert [data for _, data in pieces_of(cut_per_event(lines))] == [b'{"a": 1}\n', b'{"a": 2}\n']


def test_an_early_end() -> None:
    one = msgspec.structs.replace(
        recording(), pieces=(Piece(1, b"abc"), Piece(2, b"def"), Piece(3, b"g")), outcome=Noted("x")
    )
    found = ended_at(cassette(one), 4, "reset")
    assert pieces_of(found) == [(1, b"abc"), (2, b"d")]
    assert (found.recordings[0].end, found.recordings[0].outcome) == ("reset", None)
    assert pieces_of(ended_at(cassette(one), 0)) == []
    assert ended_at(cassette(one), 99).recordings[0].body == b"abcdefg"


def test_a_body() -> None:
    found = from_body(b"data: x\n\n", status=201, content_type="text/plain", url="http://a/b")
    (one,) = found.recordings
    assert one.response == Head(201, headers=(("content-type", "text/plain"),))
    assert (one.body, one.end, one.request.url) == (b"data: x\n\n", "eof", "http://a/b")
    assert "not known" in found.by
    assert from_body(b"").recordings[0].pieces == ()


def har(**changes: Any) -> bytes:
    entry: dict[str, Any] = {
        "request": {
            "method": "POST",
            "url": "https://a.example/v1/chat?key=tw-secret-1",
            "headers": [
                {"name": ":authority", "value": "a"},
                {"name": "Authorization", "value": "Bearer tw-secret-1"},
            ],
            "postData": {"mimeType": "application/json", "text": '{"q": "tw-secret-1"}'},
        },
        "response": {
            "status": 200,
            "headers": [
                {"name": "Content-Type", "value": "text/event-stream"},
                {"name": "Content-Encoding", "value": "gzip"},
                {"name": "Set-Cookie", "value": "c"},
            ],
            "content": {"text": "data: tw-secret-1\n\n"},
        },
        "timings": {"wait": 12.34},
    }
    return json.dumps({"log": {"entries": [{**entry, **changes}]}}).encode()


def test_a_har_file() -> None:
    found = from_har(har())
    (one,) = found.recordings
    assert "secret" not in repr(found)
    assert one.request.body == {"q": "[left out]"}
    assert one.response == Head(200, headers=(("content-type", "text/event-stream"),), after=12.3)
    assert one.body == b"data: xxxxxxxxxxx\n\n"
    coded = {"status": 200, "headers": 7, "content": {"text": "/w==", "encoding": "base64"}}
    (one,) = from_har(har(response=coded, timings={"wait": -1})).recordings
    assert one.body == b"\xff"
    empty: dict[str, Any] = {"status": 204, "headers": [7], "content": {}}
    assert from_har(har(response=empty)).recordings[0].pieces == ()


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b'{"log": {"entries": [{}]}}', har(request=7)])
def test_what_is_no_har_file(data: bytes) -> None:
    with pytest.raises(LocalProtocolError, match="it is no HAR file"):
        from_har(data)


def test_to_a_har_file_and_back() -> None:
    one = recording((61, 7), gap=10)
    bare = Recording(Sent("GET", "http://a/"), end="unreached")
    written = json.loads(to_har(cassette(one, bare)))["log"]["entries"]
    assert written[0]["response"]["content"]["text"] == b64encode(one.body).decode()
    assert (written[0]["time"], written[0]["timings"]["receive"]) == (35.0, 30)
    assert "postData" not in written[1]["request"]
    assert written[1]["response"]["status"] == 0
    back = from_har(to_har(cassette(one))).recordings[0]
    assert (back.request, back.body) == (one.request, one.body)
