"""HTTP/1.1: requests written, responses read, cut in any way."""

from collections.abc import Sequence
from typing import NamedTuple

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.cutting import cuts, every_way, whole
from tests.wiring import BASE, body_of, raw_exchange
from tokenwire.protocols.errors import (
    LimitExceeded,
    LocalProtocolError,
    Malformed,
    RemoteProtocolError,
)
from tokenwire.protocols.events import End, Event
from tokenwire.protocols.toolkit.http import Headers, Request, check_url, make_headers
from tokenwire.transports.client.http1 import HTTP1


class Outcome(NamedTuple):
    """What became of a response. `ending`: the evidence of its end, or why it has none."""

    body: bytes
    ending: object
    reusable: bool
    error: tuple[object, ...] | None = None


def read(pieces: Sequence[bytes], *, close: bool | None = None, limit: int = 65536) -> Outcome:
    """Read a response. `close`: the connection is closed behind it, cleanly or not."""
    exchange, http, events = raw_exchange(), HTTP1(limit), list[Event]()
    request = exchange.next_request()
    assert request is not None
    http.start(request)
    error: tuple[object, ...] | None = None
    try:
        for piece in pieces:
            if piece:
                http.receive(piece, exchange, events)
        if close is not None:
            http.eof(close, exchange, events)
    except RemoteProtocolError as raised:
        error = (type(raised), raised.message, raised.data)
    return Outcome(body_of(events), ending(events, http), http.reusable, error)


def ending(events: list[Event], http: HTTP1) -> object:
    last = events[-1] if events else None
    if isinstance(last, End):
        assert http.complete
        return last.evidence
    return "cut" if http.complete else "more" if http.begun else "nothing"


def alike(data: bytes, *, close: bool | None = None, limit: int = 65536) -> Outcome:
    """The outcome of `data`, the same for every cutting."""
    outcome = read(whole(data), close=close, limit=limit)
    for pieces in every_way(data):
        assert read(pieces, close=close, limit=limit) == outcome
    return outcome


OK = b"HTTP/1.1 200 OK\r\n"
LENGTH = OK + b"content-length: 5\r\n"
CHUNKS = OK + b"transfer-encoding: chunked\r\n"
BODY = b"\r\nhello"
CHUNKED_BODY = b"\r\n5\r\nhello\r\n0\r\n\r\n"


@pytest.mark.parametrize(
    ("data", "body", "reusable"),
    [
        (LENGTH + BODY, b"hello", True),
        (LENGTH + BODY + b"HTTP", b"hello", False),
        (OK + b"content-length: 0\r\n\r\n", b"", True),
        (CHUNKS + CHUNKED_BODY, b"hello", True),
        (CHUNKS + CHUNKED_BODY + b"x", b"hello", False),
        (CHUNKS + b"\r\n0\r\nA: b\r\n\r\n", b"", True),
        # RFC 9112 6.3 item 1: these never have a body, whatever they say.
        (b"HTTP/1.1 204 No Content\r\n\r\n", b"", True),
        (b"HTTP/1.1 204 No Content\r\ncontent-length: 5\r\n\r\n", b"", True),
        (b"HTTP/1.1 204 No Content\r\ntransfer-encoding: chunked\r\n\r\nx", b"", False),
        # Interim responses are no answer.
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: a\r\n\r\n" + LENGTH
         + BODY, b"hello", True),
        # RFC 9112 9.3: what keeps a connection.
        (LENGTH + b"connection: keep-alive\r\n" + BODY, b"hello", True),
        (LENGTH + b"connection: x-close\r\n" + BODY, b"hello", True),
        (LENGTH + b"connection: close\r\n" + BODY, b"hello", False),
        (LENGTH + b"connection: x\r\nconnection: Foo, Close\r\n" + BODY, b"hello", False),
        (LENGTH.replace(b"1.1", b"1.0") + BODY, b"hello", False),
        # RFC 9112 6.3 item 3: the chunks count, and nothing behind them is trusted.
        (CHUNKS + b"content-length: 3\r\n" + CHUNKED_BODY, b"hello", False),
        (CHUNKS + b"\r\n5\r\nhello\r\n0\r\ncontent-length: 5\r\n\r\n", b"hello", False),
        # RFC 9112 6.1: chunks from HTTP/1.0 are suspect.
        (CHUNKS.replace(b"1.1", b"1.0") + CHUNKED_BODY, b"hello", False),
        # What h11 is lenient about.
        (b"HTTP/1.1 200\ncontent-length: 5\n\nhello", b"hello", True),
        (LENGTH + b"content-length: 5\r\n" + BODY, b"hello", True),
        (OK + b"content-length: 5, 5\r\n" + BODY, b"hello", True),
    ],
)  # fmt: skip
def test_bodies_that_are_framed(data: bytes, body: bytes, reusable: bool) -> None:
    for close in (None, True, False):
        expected = Outcome(body, "body_end", reusable and close is None)
        assert alike(data, close=close) == expected


@pytest.mark.parametrize(
    ("data", "close", "body", "ends"),
    [
        (OK + BODY, True, b"hello", "connection_close"),
        (OK + BODY, False, b"hello", "cut"),
        (OK + b"\r\n", True, b"", "connection_close"),
        (LENGTH + b"\r\nhell", True, b"hell", "cut"),
        (LENGTH + b"\r\nhell", False, b"hell", "cut"),
        (CHUNKS + b"\r\n5\r\nhell", True, b"hell", "cut"),
        (CHUNKS + b"\r\n5\r\nhello\r\n0\r\n", True, b"hello", "cut"),
        (OK, True, b"", "more"),
        (b"", False, b"", "nothing"),
        (b"HTTP/1.1 100 Continue\r\n\r\n", True, b"", "more"),
    ],
)
def test_the_end_of_the_connection(data: bytes, close: bool, body: bytes, ends: str) -> None:
    assert alike(data, close=close) == Outcome(body, ends, False)


def test_the_body_goes_on() -> None:
    for data in (LENGTH + b"\r\nhell", CHUNKS + b"\r\n5\r\nhell"):
        assert alike(data) == Outcome(b"hell", "more", True)
    assert alike(OK + BODY) == Outcome(b"hello", "more", False)


def ask(request: Request, data: bytes) -> HTTP1:
    exchange, http, events = raw_exchange(request), HTTP1(65536), list[Event]()
    exchange.next_request()
    http.start(request)
    http.receive(data, exchange, events)
    return http


@pytest.mark.parametrize(
    "framing", [b"content-length: 5\r\n", b"transfer-encoding: chunked\r\n", b""]
)
def test_an_answer_to_head_has_no_body(framing: bytes) -> None:
    http = ask(Request("HEAD", BASE, []), OK + framing + b"\r\n")
    assert (http.complete, http.reusable) == (True, True)


def test_a_connection_that_our_request_ends() -> None:
    http = ask(Request("GET", BASE, [(b"connection", b"close")]), LENGTH + BODY)
    assert (http.complete, http.reusable) == (True, False)


def test_bytes_that_nobody_asked_for() -> None:
    assert read([LENGTH + BODY]).reusable
    assert read([LENGTH + BODY, b"H"]) == Outcome(b"hello", "body_end", False)


NO_HTTP = "what the server sent is not HTTP/1.1"


@pytest.mark.parametrize(
    ("data", "shown"),
    [
        (b"\x15\x03\x01\x00\x02\x02F", b"\x15"),
        (b"\r\n\r\n", b"\r"),
        (b" HTTP/1.1 200 OK\r\n\r\n", b" "),
        (b"SSH-2.0-OpenSSH_9.6\r\n\r\nmore", b"SSH-2.0-OpenSSH_9.6\r\n\r\n"),
        (b"HTTP/2 200\r\n\r\n", b"HTTP/2 200\r\n\r\n"),
        (b"HTTP/1.1 20 OK\n\nmore", b"HTTP/1.1 20 OK\n\n"),
        (OK + b"no colon\r\n\r\n", OK + b"no colon\r\n\r\n"),
        (OK + b"a : b\r\n\r\n", OK + b"a : b\r\n\r\n"),
        (OK + b"a: \x00\r\n\r\n", OK + b"a: \x00\r\n\r\n"),
        (LENGTH + b"content-length: 6\r\n\r\n", LENGTH + b"content-length: 6\r\n\r\n"),
        (OK + b"content-length: x\r\n\r\n", OK + b"content-length: x\r\n\r\n"),
        (OK + b"transfer-encoding: gzip\r\n\r\n", OK + b"transfer-encoding: gzip\r\n\r\n"),
        (b"HTTP/1.1 100 Go on\r\n\r\n\x00rest", b"\x00"),
        (b"HTTP/1.1 100 Go on\r\n\r\nnonsense\r\n\r\n", b"nonsense\r\n\r\n"),
        (b"HTTP/1.1 101 Switching\r\n\r\n", b"HTTP/1.1 101 Switching\r\n\r\n"),
    ],
)
def test_what_is_not_http(data: bytes, shown: bytes) -> None:
    assert alike(data) == Outcome(b"", "more", False, (Malformed, NO_HTTP, shown))


def test_a_broken_body_gives_what_came_before() -> None:
    outcome = alike(CHUNKS + b"\r\n5\r\nhello\r\nx\r\n")
    assert outcome.body == b"hello"
    assert outcome.error == (Malformed, "a chunk of the body has no valid size", b"x\r")


HEAD = OK + b"content-length: 1\r\n\r\n"


@pytest.mark.parametrize(
    ("data", "limit", "fits"),
    [
        (HEAD + b"x", len(HEAD), True),
        (HEAD + b"x", len(HEAD) - 1, False),
        (HEAD[:-1], len(HEAD) - 1, True),
        (HEAD[:-1], len(HEAD) - 2, False),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + HEAD + b"x", len(HEAD) + 25, True),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + HEAD + b"x", len(HEAD) + 24, False),
        (b"HTTP/1.1 100 Continue\r\n\r\n" * 9, 200, False),
        (b"x" * 101, 100, False),
        (OK + b"no colon" + b"x" * 100 + b"\r\n\r\n", 100, False),
    ],
)
def test_the_limit_of_a_head_does_not_depend_on_the_cutting(
    data: bytes, limit: int, fits: bool
) -> None:
    error = alike(data, limit=limit).error
    told = (LimitExceeded, f"a response head of more than {limit} bytes", b"")
    assert error == (None if fits else told)


def test_chunk_lines_have_the_limit_of_a_head() -> None:
    assert alike(CHUNKS + b"\r\n1;" + b"x" * 500, limit=100).error == (
        LimitExceeded,
        "a line of more than 100 bytes in a chunked body",
        b"",
    )


PARTS = st.sampled_from(
    [
        *(
            OK,
            LENGTH,
            CHUNKS,
            b"\r\n",
            b"\n",
            b"hello",
            b"5\r\nhello\r\n",
            b"0\r\n\r\n",
            b"a: b\r\n",
        ),
        *(b"HTTP/1.1 100 x\r\n\r\n", b"HTTP/1.0 200 OK\r\n", b"HTTP/1.1 204 x\r\n", b"\x00", b"\r"),
        *(b"connection: close\r\n", b"content-length: 99999999999999999999\r\n"),
    ]
)


@given(st.lists(PARTS | st.binary(max_size=4)).map(b"".join), st.data(), st.integers(20, 200))
def test_cutting_never_matters(data: bytes, draw: st.DataObject, limit: int) -> None:
    for close in (True, False):
        expected = alike(data, close=close, limit=limit)
        assert read(draw.draw(cuts(data)), close=close, limit=limit) == expected


# Requests


def written(request: Request, through_proxy: str | None = None) -> bytes:
    return HTTP1(100).start(request, through_proxy=through_proxy)


def post(url: str = f"{BASE}/chat?a=b", body: bytes = b"{}", **headers: str) -> Request:
    return Request("POST", url, make_headers(headers.items()), body)


def test_a_request() -> None:
    assert written(post(accept="*/*")) == (
        b"POST /chat?a=b HTTP/1.1\r\nhost: peer.example\r\naccept: */*\r\n"
        b"content-length: 2\r\n\r\n{}"
    )


@pytest.mark.parametrize(
    ("method", "body", "length"),
    [("GET", b"", None), ("POST", b"", b"0"), ("POST", b"abc", b"3"), ("GET", b"a", b"1")],
)
def test_content_length(method: str, body: bytes, length: bytes | None) -> None:
    data = written(Request(method, BASE, [], body))
    assert parsed(data)[1].get(b"content-length") == length
    assert data.endswith(b"\r\n\r\n" + body)


def parsed(data: bytes) -> tuple[h11.Request, dict[bytes, bytes]]:
    """A request as a server reads it."""
    server = h11.Connection(h11.SERVER)
    server.receive_data(data)
    request = server.next_event()
    assert isinstance(request, h11.Request)
    return request, dict(request.headers)


@pytest.mark.parametrize(
    ("url", "host", "target", "absolute"),
    [
        ("http://a.example", b"a.example", b"/", b"http://a.example"),
        ("http://a.example:80/x", b"a.example", b"/x", b"http://a.example:80/x"),
        ("https://a.example:80/", b"a.example:80", b"/", b"https://a.example:80/"),
        ("https://a.example:443/?q", b"a.example", b"/?q", b"https://a.example:443/?q"),
        ("http://[::1]:8080/x", b"[::1]:8080", b"/x", b"http://[::1]:8080/x"),
        ("http://[2001:db8::1]/", b"[2001:db8::1]", b"/", b"http://[2001:db8::1]/"),
    ],
)
def test_host_and_target(url: str, host: bytes, target: bytes, absolute: bytes) -> None:
    request, headers = parsed(written(post(url)))
    assert (headers[b"host"], request.target) == (host, target)
    assert b"proxy-authorization" not in headers
    request, headers = parsed(written(post(url), ""))
    assert (headers[b"host"], request.target) == (host, absolute)
    assert b"proxy-authorization" not in headers
    request, headers = parsed(written(post(url), "Basic eA=="))
    assert headers[b"proxy-authorization"] == b"Basic eA=="


def test_a_host_of_the_callers_own() -> None:
    assert parsed(written(post(host="other.example")))[1][b"host"] == b"other.example"


@pytest.mark.parametrize(
    "headers",
    [
        [(b"transfer-encoding", b"chunked")],
        [(b"content-length", b"7")],
        [(b"a b", b"c")],
        [(b"a", b"b\r\nc: d")],
        [(b"a", b"b\nc: d")],
        [(b"a", b"\x00")],
    ],
)
def test_what_can_not_be_written(headers: Headers) -> None:
    with pytest.raises(LocalProtocolError):
        written(Request("POST", BASE, headers, b"{}"))


@pytest.mark.parametrize("url", [f"{BASE}/a b", f"{BASE}/\r\nx: y", f"{BASE}/ü"])
def test_no_request_line_can_be_injected(url: str) -> None:
    with pytest.raises(LocalProtocolError):
        check_url(url)
    with pytest.raises(LocalProtocolError):
        written(Request("GET", url, []))


@given(st.text(), st.text())
def test_headers_say_what_was_meant_or_are_refused(name: str, value: str) -> None:
    try:
        headers = make_headers([(name, value)])
        data = written(Request("GET", BASE, headers))
    except LocalProtocolError:
        return
    _, found = parsed(data)
    assert found.keys() <= {b"host", name.lower().encode()}
    assert found[name.lower().encode()] == value.strip().encode("latin-1")


@given(st.text() | st.text().map(lambda path: f"{BASE}/{path}"))
def test_urls_say_what_was_meant_or_are_refused(url: str) -> None:
    try:
        data = written(Request("GET", check_url(url), []))
    except LocalProtocolError:
        return
    request, headers = parsed(data)
    assert url.partition("#")[0].endswith(request.target.decode().removeprefix("/"))
    assert set(headers) == {b"host"}


def test_what_can_not_be_written_is_not_shown() -> None:
    with pytest.raises(LocalProtocolError) as caught:
        written(Request("GET", BASE, [(b"authorization", b"Bearer hunter2\x00")]))
    assert "hunter2" not in str(caught.value)
