"""Asking the service again."""

import anyio
import pytest

from tests.replay.taping import SAID, cassette, recording
from tests.replay.test_proxy import scripted
from tokenwire import ConnectFailed, Text
from tokenwire.protocols.toolkit.http import Request
from tokenwire.replay.cassette import Cassette, Head, Piece, Recording, Sent
from tokenwire.replay.verify import verify
from tokenwire.server import serve
from tokenwire.server.faults import CloseAfter


def asked(found: Cassette, upstream: str = "") -> list[str]:
    return anyio.run(lambda: verify(found, upstream=upstream, sign=sign))


def sign(request: Request) -> Request:
    headers = [*request.headers, (b"authorization", b"Bearer tw-secret-1")]
    return Request(request.method, request.url, headers, request.body)


def test_texts_may_be_others() -> None:
    answer = [Text("Something quite different"), *SAID[-2:]]
    with serve("openai", lambda chat: answer, key="tw-secret-1") as server:
        assert asked(cassette(), server.url) == []


def test_what_is_new_and_what_is_lost() -> None:
    body = b'{"a": 1, "new": true}'
    said = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(
        body
    )
    with scripted(lambda sock: sock.sendall(said + body)) as url:
        sent = Sent("GET", f"{url}/v1/things", {"authorization": "[left out]", "accept": "*/*"})
        head = Head(200, headers=(("content-type", "application/json"),))
        one = Recording(sent, head, (Piece(0, b'{"a": 2, "old": 1}'),), end="eof", line=7)
        assert asked(Cassette((one,))) == [
            "line 7: /old is lost (number)",
            "line 7: /new is new (boolean)",
        ]


def test_an_answer_that_breaks_off_and_none() -> None:
    with serve("openai", lambda chat: SAID, fault=CloseAfter(0)) as server:
        changes = asked(cassette(), server.url)
    assert f"{recording().request.url}: /choices is lost (array)" in changes
    with serve("openai", lambda chat: SAID, fault=CloseAfter(0, head=False)) as server:
        changes = asked(cassette(), server.url)
    assert changes[0].endswith("the status was 200, and is now none")
    with pytest.raises(ConnectFailed):
        asked(cassette(), server.url)
