"""Secrets that are kept out of cassettes."""

import zlib
from base64 import b64encode
from dataclasses import dataclass

import msgspec
import pytest

from tests.replay.taping import cassette, recording
from tokenwire.protocols.toolkit.http import Headers, Request
from tokenwire.replay.cassette import Cassette, Head, Piece, Recording, Sent
from tokenwire.replay.redaction import Redactor, SecretFound, check, decoded, kept_headers

KEY = "tw-0123456789abcdef"


def request(*headers: tuple[bytes, bytes], query: str = "", body: bytes = b"") -> Request:
    return Request("POST", f"https://a.example/v1{query}", list(headers), body)


@dataclass
class Case:
    request: Request
    secret: str = KEY


CASES = {
    "bearer": Case(request((b"authorization", f"Bearer {KEY}".encode()))),
    "x-api-key": Case(request((b"x-api-key", KEY.encode()))),
    "query": Case(request(query=f"?alt=sse&key={KEY}")),
    "encoded": Case(request(query="?key=tw%2F0123456789abcdef"), "tw/0123456789abcdef"),
    "a header that nobody thought of": Case(request((b"x-my-thing", KEY.encode()))),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_secret_is_nowhere(case: Case) -> None:
    asked = msgspec.structs.replace(case.request, body=f'{{"q": "{case.secret}"}}'.encode())
    redactor = Redactor(asked)
    secret = case.secret.encode()
    pieces = redactor.pieces(
        [Piece(1, b"echo: " + secret[:7]), Piece(0, secret[7:] + b"!"), Piece(2, b"end")]
    )
    written = repr((redactor.url(), redactor.headers(), redactor.body(), pieces))
    assert case.secret not in written
    assert b"".join(piece.data for piece in pieces) == b"echo: " + b"x" * len(secret) + b"!end"
    assert [len(piece.data) for piece in pieces] == [13, len(secret) - 6, 3]
    assert [piece.after for piece in pieces] == [1, 0, 2]
    assert redactor.body() == {"q": "[left out]"}
    assert redactor.text(f"id-{case.secret}") == f"id-{'x' * len(secret)}"
    assert redactor.finds(secret)
    assert not redactor.finds(secret[1:])


SPELLINGS = {
    "JSON": KEY.replace("-", r"\u002D"),
    "JSON in JSON": KEY.replace("-", r"\\u002d"),
    "HTML": KEY.replace("-", "&#45;"),
    "URL": KEY.replace("-", "%2D"),
    "upper case": KEY.upper(),
    "base64": b64encode(KEY.encode()).decode(),
    "hex": KEY.encode().hex(),
}


@pytest.mark.parametrize("spelling", SPELLINGS.values(), ids=SPELLINGS)
def test_a_secret_that_is_sent_back_in_another_spelling(spelling: str) -> None:
    redactor = Redactor(request((b"x-api-key", KEY.encode())))
    body = f'{{"é": "no such key: {spelling}, {spelling}!"}}'.encode()
    (piece,) = redactor.pieces([Piece(1, body)])
    assert redactor.finds(body)
    assert len(piece.data) == len(body)
    assert piece.data.startswith('{"é": "no such key: xxxxxxxxxx'.encode())
    assert len(piece.data.replace(b"x", b"")) < 40
    assert not redactor.finds(piece.data)
    assert redactor.text(f"id-{spelling}").startswith("id-xxxxxxxx")


def test_what_is_kept() -> None:
    asked = request(
        (b"accept", b"text/event-stream"),
        (b"x-stainless-runtime-version", b"3.11.2"),
        (b"x-stainless-helper-method", b"stream"),
        (b"anthropic-version", b"2023-06-01"),
        (b"host", b"a.example"),
        query="?api-version=2024-10-21&alt=sse&sig=",
    )
    redactor = Redactor(asked)
    assert redactor.url() == "https://a.example/v1?api-version=2024-10-21&alt=sse&sig="
    assert redactor.headers() == {
        "accept": "text/event-stream",
        "x-stainless-runtime-version": "3.11.2",
        "x-stainless-helper-method": "[left out]",
        "anthropic-version": "2023-06-01",
        "host": "[left out]",
    }
    assert redactor.body() is None
    assert redactor.pieces([Piece(1, b"2024-10-21 stream 3.11.2 a.example")])[0].data.startswith(
        b"2024-10-21 stream"
    )


def test_headers_of_responses() -> None:
    headers: Headers = [
        (b"content-type", b"text/event-stream"),
        (b"set-cookie", b"session=1"),
        (b"openai-organization", b"acme"),
        (b"x-ratelimit-limit-requests", b"5"),
        (b"anthropic-rate-limit", b"6"),
        (b"x-request-id", b"r"),
    ]
    assert [name for name, _ in kept_headers(headers)] == [
        *("content-type", "x-ratelimit-limit-requests", "anthropic-rate-limit", "x-request-id")
    ]


def test_what_the_user_names() -> None:
    body = b'{"metadata": {"user_id": "u1", "n": 1}, "messages": [{"content": "I am Ada", "n": 2}]}'
    redactor = Redactor(request(body=body), ("/metadata/user_id", "/messages/*/n", "re:A[a-z]+"))
    assert redactor.body() == {
        "metadata": {"user_id": "[left out]", "n": 1},
        "messages": [{"content": "I am [left out]", "n": "[left out]"}],
    }


SHAPES = [
    "sk-ant-" + "a1-" * 8,
    "sk-abcdefghijklmnopqrstuvwx",
    "AIza" + "x" * 35,
    "AKIAIOSFODNN7EXAMPLE",
    "ghp_" + "a1" * 18,
    "xoxb-1234567890-abc",
    "hf_" + "a" * 34,
    "gsk_" + "b" * 40,
    "eyJhbGciOiJI.eyJzdWIiOiIx.c2lnbmF0dXJl",
    "-----BEGIN RSA PRIVATE KEY-----",
]


@pytest.mark.parametrize("shape", SHAPES)
def test_what_looks_like_a_key(shape: str) -> None:
    half = len(shape) // 2
    pieces = (Piece(0, b"say: " + shape[:half].encode()), Piece(1, shape[half:].encode() + b" ."))
    cut = msgspec.structs.replace(recording(), pieces=pieces)
    with pytest.raises(SecretFound, match="the response of request 1 has a") as caught:
        check(cassette(cut))
    assert shape not in str(caught.value)
    check(cassette(cut), [shape])
    whole = Recording(Sent("POST", "http://a/", {}, {"q": shape}))
    with pytest.raises(SecretFound, match="line 2 has a"):
        check(Cassette((whole,)))
    binary = Recording(Sent("POST", "http://a/", {}, b"\xff" + shape.encode()))
    with pytest.raises(SecretFound, match="the body of request 1"):
        check(Cassette((binary,)))


def gzipped(data: bytes, coding: str = "gzip") -> Recording:
    packed = zlib.compress(data, wbits=31)
    head = Head(200, headers=(("Content-Encoding", coding),))
    return Recording(Sent("GET", "http://a/"), head, (Piece(0, packed),))


def test_a_body_that_is_compressed() -> None:
    with pytest.raises(SecretFound, match="a key of AWS"):
        check(Cassette((gzipped(b"AKIAIOSFODNN7EXAMPLE"),)))
    check(Cassette((gzipped(b"nothing"),)))
    assert decoded(gzipped(b"a" * 300_000)) == b"a" * 300_000
    assert decoded(gzipped(b"a", "br")) == b""
    assert decoded(recording()) is None
    assert decoded(Recording(Sent("GET", "http://a/"))) is None
