"""Recording as a proxy."""

import socket
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from typing import Any

import msgspec
import pytest

from tests.driving import Outcome
from tests.replay.taping import PATIENT, QUICK, SAID, SILENT, cassette, outcome
from tests.replay.test_server import HEAD, connected
from tokenwire import NO_RETRY, AwsKey, LocalProtocolError, Start, Truncated
from tokenwire.protocols.toolkit.http import Request
from tokenwire.protocols.toolkit.sigv4 import is_signed, sign_request
from tokenwire.replay import proxy as module
from tokenwire.replay.cassette import Ending, Recording
from tokenwire.replay.client import replay
from tokenwire.replay.proxy import Passing, Proxy
from tokenwire.replay.recorder import Recorder
from tokenwire.server import serve
from tokenwire.server.faults import (
    BreakEvent,
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

# Without these each answer has an id of its own, and the second in which it was made.
ANSWER = [Start("id", "m"), *SAID]
AT_ONCE: dict[str, Any] = {"now": lambda: 0.0}
FAULTS: dict[str, tuple[Faults, Ending]] = {
    "whole": (None, "eof"),
    "ended": (EndAfter(700), "eof"),
    "closed": (CloseAfter(300), "disconnect"),
    "closed at once": (CloseAfter(0, head=False), "disconnect"),
    "reset": (ResetAfter(10), "reset"),
    "reset at once": (ResetAfter(0, head=False), "reset"),
    "stalled": (StallAfter(300), "left"),
    "silent": (StallAfter(0, head=False), "left"),
    "html": (HtmlPage(), "eof"),
    "error object": (ErrorObject(), "eof"),
    "refused": (RefuseWith(429, retry_after="1"), "eof"),
    "broken": (BreakEvent(2), "left"),
    "gzipped": (Gzip(), "eof"),
    "unframed": (Unframed(), "eof"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_what_a_client_sees_is_the_same_live_proxied_and_replayed(name: str) -> None:
    fault, end = FAULTS[name]
    kept: list[Recording] = []
    cutting = Cutting.of_sizes(61, 190, 7)
    with (
        serve("openai", lambda chat: ANSWER, fault=fault, cutting=cutting, **AT_ONCE) as server,
        Proxy(kept.append, upstream=server.url) as proxy,
    ):
        clocks = {"stalled": QUICK, "silent": SILENT}.get(name, PATIENT)
        how: dict[str, Any] = {"key": "tw-secret-1", "clocks": clocks}
        live = outcome(server.url, **how)
        observed = Recorder()
        through = outcome(proxy.url, observers=[observed], **how)
    (one,) = kept
    assert through.what[0] == live.what[0]
    assert message(through) == message(live)
    # These a client leaves by itself: at the fault, or at the end mark, after which there is no
    # other end than that of the connection. What the proxy is told first is a matter of chance.
    assert one.end == end or (name in ("broken", "unframed") and one.end in ("left", "eof"))
    (seen,) = observed.cassette.recordings
    assert one.body.startswith(seen.body)
    assert one.request.body == seen.request.body
    played = cassette(one)
    in_process = outcome(client=replay(played).client(retry=NO_RETRY), **how)
    with replay(played).serve() as again:
        served = outcome(again.url, **how)
    for found in (in_process, served):
        assert found.what[0] == live.what[0]
        assert message(found) == message(live)
    assert proxy.errors == []
    assert "secret" not in repr(kept)


def message(found: Outcome) -> tuple[object, str]:
    return type(found.error), "" if found.error is None else found.error.message


def test_a_truncated_answer_stays_one() -> None:
    kept: list[Recording] = []
    with (
        serve("openai", lambda chat: ANSWER, fault=EndAfter(700)) as server,
        Proxy(kept.append, provider="openai", upstream=server.url) as proxy,
    ):
        assert isinstance(outcome(proxy.url).error, Truncated)
    (one,) = kept
    assert len(one.body) == 700
    assert one.outcome is not None
    assert one.outcome.outcome == "truncated"
    assert b"DONE" not in one.body


# Byte by byte


@contextmanager
def scripted(*scripts: Callable[[socket.socket], object]) -> Generator[str]:
    """A server whose connections do these, one after the other."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def run() -> None:
            for script in scripts:
                sock, _ = listener.accept()
                with sock, suppress(OSError):
                    data = b""
                    while b"\r\n\r\n" not in data:
                        data += sock.recv(65536)
                    requests.append(data)
                    script(sock)

        requests: list[bytes] = []
        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            thread.join(10)
            assert not thread.is_alive()


def read_all(sock: socket.socket) -> bytes:
    data = b""
    with suppress(ConnectionResetError):
        while piece := sock.recv(65536):
            data += piece
    return data


GET = b"GET /v1/things HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n"


def test_chunks_of_one_read_and_trailers() -> None:
    kept: list[Recording] = []
    said = (
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\nconnection: x-hop\r\nx-hop: 1\r\n"
        b"x-request-id: r\r\ndate: then\r\nset-cookie: c\r\n\r\n"
        b"3\r\nabc\r\n2\r\nde\r\n0\r\nX-Request-Id: t\r\nX-Other: o\r\n\r\n"
    )
    with (
        scripted(lambda sock: sock.sendall(said)) as upstream,
        Proxy(kept.append, upstream=upstream) as proxy,
        connected(proxy.origin) as client,
    ):
        client.sendall(GET + b"\r\n")
        data = read_all(client)
    head, _, rest = data.partition(b"\r\n\r\n")
    assert b"x-hop" not in head
    assert b"set-cookie: c" in head
    assert b"date: then" in head
    assert rest == b"3\r\nabc\r\n2\r\nde\r\n0\r\nx-request-id: t\r\nx-other: o\r\n\r\n"
    (one,) = kept
    assert one.response is not None
    assert (one.response.http, one.response.framing) == ("1.1", "chunked")
    assert [(piece.after, piece.data) for piece in one.pieces] == [(0, b"abc"), (0, b"de")]
    assert one.trailers == (("x-request-id", "t"),)
    assert one.outcome is None
    assert dict(one.response.headers).keys() == {"transfer-encoding", "x-request-id", "date"}


def test_each_piece_is_passed_on_before_the_next_comes() -> None:
    kept: list[Recording] = []
    told = threading.Event()

    def speak(sock: socket.socket) -> None:
        sock.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nab")
        assert told.wait(10)
        sock.sendall(b"cd")

    with (
        scripted(speak) as upstream,
        Proxy(kept.append, upstream=upstream) as proxy,
        connected(proxy.origin) as client,
    ):
        client.sendall(GET + b"\r\n")
        data = b""
        while not data.endswith(b"ab"):
            data += client.recv(65536)
        told.set()
        assert read_all(client) == b"cd"
    (one,) = kept
    assert [piece.data for piece in one.pieces] == [b"ab", b"cd"]
    assert one.pieces[1].after > 0
    assert (one.end, one.response and one.response.framing) == ("eof", "length")


def test_the_client_leaves() -> None:
    kept: list[Recording] = []
    left = threading.Event()

    def speak(sock: socket.socket) -> None:
        sock.sendall(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n")
        assert sock.recv(10) == b""  # the proxy has left, too
        left.set()

    with scripted(speak) as upstream, Proxy(kept.append, upstream=upstream) as proxy:
        with connected(proxy.origin) as client:
            client.sendall(GET + b"\r\n")
            while not client.recv(65536).endswith(b"abc\r\n"):
                pass
        assert left.wait(10)
    (one,) = kept
    assert (one.end, one.body) == ("left", b"abc")


def test_a_client_that_sends_its_next_request_early() -> None:
    kept: list[Recording] = []
    end = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n"
    again = threading.Event()

    def slow(sock: socket.socket) -> None:
        sock.sendall(end + b"a")
        assert again.wait(10)
        sock.sendall(b"b")
        assert sock.recv(65536).startswith(b"GET /v1/more")  # on the same connection
        sock.sendall(end + b"cd")

    with (
        scripted(slow) as upstream,
        Proxy(kept.append, upstream=upstream) as proxy,
        connected(proxy.origin) as client,
    ):
        client.sendall(GET.replace(b"connection: close\r\n", b"") + b"\r\n")
        while not client.recv(65536).endswith(b"a"):
            pass
        client.sendall(GET.replace(b"things", b"more") + b"\r\n")
        again.set()
        assert read_all(client).endswith(b"cd")
    assert [one.body for one in kept] == [b"ab", b"cd"]


def test_a_slow_client_does_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """The service has to wait once the client is far behind."""
    monkeypatch.setattr(module, "AHEAD", 1000)
    kept: list[Recording] = []
    size = 40 * 1024 * 1024
    stuck = threading.Event()

    def speak(sock: socket.socket) -> None:
        sock.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % size)
        sock.settimeout(0.3)
        left = size
        try:
            while left:
                left -= sock.send(b"x" * min(left, 1024 * 1024))
        except TimeoutError:
            stuck.set()
        sock.settimeout(10)
        sock.sendall(b"x" * left)

    with (
        scripted(speak) as upstream,
        Proxy(kept.append, upstream=upstream, limit=1000) as proxy,
        connected(proxy.origin) as client,
    ):
        client.sendall(GET + b"\r\n")
        assert stuck.wait(30)
        received = 0
        while data := client.recv(1024 * 1024):
            received += len(data)
    assert received > size
    (one,) = kept
    assert one.end == "clipped"
    assert len(one.body) <= 1000


def test_no_upstream_and_no_http() -> None:
    kept: list[Recording] = []
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        upstream = f"http://127.0.0.1:{taken.getsockname()[1]}"
        with Proxy(kept.append, upstream=upstream) as proxy, connected(proxy.origin) as client:
            client.sendall(GET + b"\r\n")
            assert read_all(client) == b""
        assert [type(error).__name__ for error in proxy.errors] == ["ConnectFailed"]
    with (
        scripted(lambda sock: sock.sendall(b"SSH-2.0\r\n\r\n")) as upstream,
        Proxy(kept.append, upstream=upstream) as proxy,
        connected(proxy.origin) as client,
    ):
        client.sendall(GET + b"\r\n")
        assert read_all(client) == b""
    assert [one.end for one in kept] == ["unreached", "disconnect"]


def test_a_broken_chunk() -> None:
    kept: list[Recording] = []
    said = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\nzz\r\n"
    with (
        scripted(lambda sock: sock.sendall(said)) as upstream,
        Proxy(kept.append, upstream=upstream) as proxy,
        connected(proxy.origin) as client,
    ):
        client.sendall(GET + b"\r\n")
        assert read_all(client).endswith(b"3\r\nabc\r\n")
    (one,) = kept
    assert (one.end, one.body) == ("disconnect", b"abc")


def asked(target: str, *headers: tuple[bytes, bytes]) -> Request:
    return Request("POST", f"http://127.0.0.1:1{target}", list(headers), b"{}")


def quiet(**options: Any) -> Passing:
    return Passing(lambda recording: None, **options)


def test_where_a_request_goes_and_what_with() -> None:
    passing = quiet()
    sent = passing.passed_on(
        asked(
            "/v1/messages?beta=true",
            (b"host", b"127.0.0.1:1"),
            (b"connection", b"keep-alive"),
            (b"content-length", b"2"),
            (b"accept-encoding", b"gzip"),
            (b"x-api-key", b"k"),
        )
    )
    assert sent.url == "https://api.anthropic.com/v1/messages?beta=true"
    assert sent.headers == [(b"x-api-key", b"k"), (b"accept-encoding", b"identity")]
    assert quiet(provider="groq").passed_on(asked("/openai/v1/chat/completions")).url == (
        "https://api.groq.com/openai/v1/chat/completions"
    )
    for target in ("/v1/models", "/model/m/converse"):
        with pytest.raises(LocalProtocolError, match=r"it is not known whose .* give --upstream"):
            passing.passed_on(asked(target))
    with pytest.raises(LocalProtocolError, match="a WebSocket can't be recorded"):
        passing.passed_on(asked("/v1/responses", (b"upgrade", b"websocket")))
    with pytest.raises(LocalProtocolError, match="is the address of many services"):
        quiet(provider="bedrock")


def test_requests_that_are_signed() -> None:
    key = AwsKey("AKID", "secret-of-aws", region="us-east-1")
    url = "https://bedrock-runtime.us-east-1.amazonaws.com"
    signed = sign_request(
        asked("/model/m/converse"), AwsKey("X", "dummy", region="us-east-1"), "bedrock", 0.0
    )
    passing = quiet(upstream=url, key=lambda: key)
    anew = passing.passed_on(signed)
    assert anew.url == f"{url}/model/m/converse"
    assert is_signed(anew, key, "bedrock")
    with pytest.raises(LocalProtocolError, match="can be signed anew only with a key of AWS"):
        quiet(upstream=url, key=lambda: None).passed_on(signed)


def test_what_is_not_passed_on_is_told() -> None:
    told: list[Exception] = []
    with Proxy(lambda recording: None, on_error=told.append) as proxy:
        for upgrade, status in ((b"", b"400"), (b"upgrade: websocket\r\n", b"426")):
            with connected(proxy.origin) as client:
                client.sendall(GET + upgrade + b"\r\n")
                assert client.recv(65536).split(b" ")[1] == status
    assert len(told) == 2


def test_a_recording_that_is_not_kept() -> None:
    def refuse(recording: Recording) -> None:
        raise LocalProtocolError("the disk is full")

    with (
        serve("openai", lambda chat: ANSWER) as server,
        Proxy(refuse, upstream=server.url) as proxy,
    ):
        assert outcome(proxy.url).error is None
    assert [str(error) for error in proxy.errors] == ["the disk is full"]


def test_it_stops_while_a_response_is_under_way() -> None:
    kept: list[Recording] = []
    question = {"model": "m", "messages": [{"role": "user", "content": "x"}], "stream": True}
    body = msgspec.json.encode(question)
    with serve("openai", lambda chat: ANSWER, fault=StallAfter(300)) as server:
        proxy = Proxy(kept.append, upstream=server.url)
        proxy.__enter__()
        with connected(proxy.origin) as client:
            client.sendall(HEAD + b"content-length: %d\r\n\r\n" % len(body) + body)
            assert client.recv(65536)
            proxy.__exit__(None, None, None)
    assert [one.end for one in kept] == ["left"]
