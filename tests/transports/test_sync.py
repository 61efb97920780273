"""The `sync` transport: what blocking sockets and threads add. See test_transports for the rest."""

import os
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from tests.every_transport import received
from tests.transports.test_transports import QUESTION, ask
from tests.waiting import WAIT
from tokenwire import (
    NO_RETRY,
    BadRequest,
    Clocks,
    ConnectFailed,
    End,
    LocalProtocolError,
    Text,
    TimedOut,
    TransportError,
    Truncated,
    make_exchange,
)
from tokenwire.server import serve
from tokenwire.server.faults import CloseAfter, Linger, RefuseWith
from tokenwire.transports.client.answer import without_loop
from tokenwire.transports.client.pool import Link, Pool
from tokenwire.transports.sync import Client, Network, Stream

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

NO_CLOCKS = Clocks(connect=None, first_event=None, idle=None, total=None)


class Peer:
    """A server whose every byte the test decides; it tells when the client leaves."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(WAIT)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/v1"
        self.left = threading.Event()

    def answer(self, *responses: bytes) -> threading.Thread:
        """Send each of `responses` on a connection of its own; wait until the client leaves."""

        def work() -> None:
            with self._listener:
                for response in responses:
                    with self._listener.accept()[0] as stream:
                        stream.recv(65536)
                        stream.sendall(response)
                        while stream.recv(65536):
                            pass
            self.left.set()

        thread = threading.Thread(target=work)
        thread.start()
        return thread


HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
EVENT = b'data: {"choices":[{"index":0,"delta":{"content":"Hi"}}]}\n\n'
CHUNK = b"%x\r\n%b\r\n" % (len(EVENT), EVENT)


def test_leaving_early_closes_the_connection_at_once() -> None:
    peer = Peer()
    thread = peer.answer(HEAD + CHUNK)
    with Client(trust_env=False) as client:
        with client.open(make_exchange("ylokh", "Hello", base_url=peer.url)) as answer:
            assert next(answer) == Text("Hi")
        assert peer.left.wait(WAIT)
    thread.join()


class Telling(socket.socket):
    """A socket that tells when it can take no more for now."""

    full = threading.Event()

    def send(self, data: "ReadableBuffer", flags: int = 0, /) -> int:
        try:
            return super().send(data, flags)
        except BlockingIOError:
            self.full.set()
            raise


def test_a_large_request_waits_for_a_slow_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Telling, "full", threading.Event())
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(WAIT)
    monkeypatch.setattr(socket, "socket", Telling)

    def work() -> None:
        with listener, listener.accept()[0] as stream:
            Telling.full.wait(WAIT)  # only now it reads
            reader = stream.makefile("rb")
            size = 0
            while (line := reader.readline()) != b"\r\n":
                if line.lower().startswith(b"content-length:"):
                    size = int(line.partition(b":")[2])
            lengths.append(len(reader.read(size)))
            stream.sendall(HEAD + CHUNK + b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n")

    lengths: list[int] = []
    thread = threading.Thread(target=work)
    thread.start()
    url = f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
    with Client(trust_env=False) as client:
        reply = client.read(make_exchange("ylokh", "x" * 20_000_000, base_url=url))
    thread.join()
    assert Telling.full.is_set()
    assert lengths[0] > 20_000_000
    assert reply.text == "Hi"


def test_abort_before_anything_was_sent() -> None:
    with Client(trust_env=False) as client:
        answer = client.open(make_exchange("ylokh", "Hello", base_url="http://127.0.0.1:9/v1"))
        answer.abort()
        with pytest.raises(TransportError, match="abort"):
            next(answer)


def test_one_client_in_many_threads() -> None:
    with serve("ylokh") as server, Client(trust_env=False) as client:
        with ThreadPoolExecutor(4) as threads:
            replies = list(threads.map(client.read, [ask(server) for _ in range(20)]))
        assert all(QUESTION in reply.text for reply in replies)
        assert server.connections <= 4


def test_a_closed_client_says_so() -> None:
    client = Client()
    client.close()
    with pytest.raises(LocalProtocolError, match="closed"):
        client.open(make_exchange("ylokh", "Hello"))


def test_an_answer_outlives_its_client() -> None:
    with serve("ylokh") as server:
        with Client(trust_env=False) as client:
            answer = client.open(ask(server))
            first = next(answer)
        with answer:
            rest = list(answer)
    assert first
    assert rest


def test_read_raises_with_what_had_come() -> None:
    with (
        serve("ylokh", fault=CloseAfter(700)) as server,
        Client(trust_env=False) as client,
        pytest.raises(Truncated) as caught,
    ):
        client.read(ask(server))
    assert caught.value.answer is not None
    assert caught.value.answer.text
    assert caught.value.answer.evidence is None


def test_iterating_on_after_an_error_raises_it_again() -> None:
    with (
        serve("ylokh", fault=RefuseWith(400)) as server,
        Client(trust_env=False) as client,
        client.open(ask(server)) as answer,
    ):
        with pytest.raises(BadRequest) as first:
            next(answer)
        with pytest.raises(BadRequest) as again:
            next(answer)
    with pytest.raises(BadRequest) as later:
        next(answer)
    assert first.value is again.value is later.value


def test_stopping_at_the_end_keeps_the_connection() -> None:
    with serve("ylokh") as server, Client(trust_env=False) as client:
        for _ in range(2):
            with client.open(ask(server)) as answer:
                for event in answer:
                    if isinstance(event, End):
                        break
        assert server.connections == 1


def test_a_server_that_lingers_delays_the_end_by_little_and_loses_its_connection() -> None:
    with serve("ylokh", fault=Linger()) as server, Client(trust_env=False) as client:
        for _ in range(2):
            client.read(ask(server))
        assert server.connections == 2


def test_an_answer_that_is_over_stays_over() -> None:
    with serve("ylokh") as server, Client(trust_env=False) as client:
        answer = client.open(ask(server))
        assert list(answer)
        assert list(answer) == []
        answer.close()
        assert list(answer) == []


def test_without_clocks() -> None:
    with serve("ylokh") as server, Client(trust_env=False, clocks=NO_CLOCKS) as client:
        assert client.read(ask(server)).evidence == "terminator"


def speak(connection: socket.socket) -> None:
    """A 408 on an idle connection would be taken for the answer to the next request."""
    connection.sendall(b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\n\r\n")


def reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


@pytest.mark.parametrize("spoil", [speak, reset])
def test_an_idle_connection_that_was_spoiled_is_not_taken(
    spoil: Callable[[socket.socket], None],
) -> None:
    body = EVENT + b"data: [DONE]\n\n"
    whole = HEAD + b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(WAIT)
    url = f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
    idle, spoiled = threading.Event(), threading.Event()

    def work() -> None:
        with listener, listener.accept()[0] as first:
            first.recv(65536)
            first.sendall(whole)
            idle.wait(WAIT)
            spoil(first)
            spoiled.set()
            with listener.accept()[0] as second:
                second.recv(65536)
                second.sendall(whole)
                second.recv(65536)

    thread = threading.Thread(target=work)
    thread.start()
    with Client(trust_env=False, retry=NO_RETRY) as client:
        assert client.read(make_exchange("ylokh", "Hello", base_url=url)).text == "Hi"
        idle.set()
        assert spoiled.wait(WAIT)
        assert client.read(make_exchange("ylokh", "Hello", base_url=url)).text == "Hi"
    thread.join()


def test_a_refusal_in_the_midst_of_a_large_request_is_read() -> None:
    """The server answers 413 and closes while the request is still being sent."""
    with serve("openai", request_limit=1000) as server, Client(trust_env=False) as client:
        exchange = make_exchange("openai", "x" * 20_000_000, model="m", base_url=server.url)
        with pytest.raises(BadRequest, match="too large"):
            client.read(exchange)


def test_every_address_of_a_name_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name whose first address is dead: the server listens at the second alone."""
    there = serve("ylokh", public_url="http://two.example")
    with there as server, Client(trust_env=False) as client:
        port = int(server.origin.rpartition(":")[2])
        tcp = (socket.AF_INET, socket.SOCK_STREAM, 6, "")
        asked: list[str] = []

        def resolve(host: str, port: int, **how: Any) -> list[Any]:
            asked.append(host)
            return [(*tcp, (address, port)) for address in ("127.0.0.2", "127.0.0.1")]

        monkeypatch.setattr(socket, "getaddrinfo", resolve)
        exchange = make_exchange("ylokh", QUESTION, base_url=f"http://two.example:{port}/v1")
        assert QUESTION in client.read(exchange).text
        assert asked == ["two.example"]


def test_a_stream_that_is_abandoned_stays_open_in_another_process() -> None:
    """A fork's parent has the same connection; `dup` stands for it here."""
    ours, theirs = socket.socketpair()
    with ours.dup() as parent, theirs:
        Stream(ours).abandon()
        parent.sendall(b"x")
        assert theirs.recv(9) == b"x"


def test_a_stream_that_was_closed_says_so() -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        stream = Stream(ours)
        stream.close()
        stream.close()
        with pytest.raises(OSError, match="was closed"):
            without_loop(received(stream))
        with pytest.raises(OSError, match="was closed"):
            without_loop(stream.send(b"x", None))
        assert theirs.recv(1) == b""


@pytest.mark.parametrize(
    ("host", "proxy", "words"),
    [
        ("x" * 70, None, f"^the name {'x' * 70} can't be resolved: "),
        ("far", f"http://{'x' * 70}", f"^the name {'x' * 70} of the proxy can't be resolved: "),
        ("127.0.0.1:1", None, "^no connection to 127.0.0.1:1: "),
        ("far", "socks5://127.0.0.1:1", "^no connection to the SOCKS proxy 127.0.0.1:1: "),
    ],
)
def test_no_connection(host: str, proxy: str | None, words: str) -> None:
    exchange = make_exchange("ylokh", "Hello", base_url=f"http://{host}/v1")
    with (
        Client(trust_env=False, retry=NO_RETRY, proxy=proxy) as client,
        pytest.raises(ConnectFailed, match=words),
    ):
        client.read(exchange)


def test_read_twice() -> None:
    with serve("ylokh") as server, Client(trust_env=False) as client:
        answer = client.open(ask(server))
        assert answer.read()
        with pytest.raises(LocalProtocolError, match="read to its end already"):
            answer.read()


def test_abort_after_the_end_is_no_error() -> None:
    with (
        serve("ylokh", fault=Linger()) as server,
        Client(trust_env=False) as client,
        client.open(ask(server)) as answer,
    ):
        for event in answer:
            if isinstance(event, End):
                answer.abort()


def test_abort_while_the_connection_is_given_back_is_no_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with (
        serve("ylokh") as server,
        Client(trust_env=False) as client,
        client.open(ask(server)) as answer,
    ):

        def keep(pool: Pool, link: Link, now: float) -> None:
            answer.abort()
            link.stream.close()

        monkeypatch.setattr(Pool, "put", keep)
        assert answer.read().evidence == "terminator"


def test_a_dialer_that_was_woken_waits_no_more() -> None:
    dialer = Network().dialer()
    dialer.wake()
    without_loop(dialer.sleep(time.monotonic() + 3600))
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        pytest.raises(OSError, match="closed"),
    ):
        without_loop(dialer.connect("127.0.0.1", listener.getsockname()[1], None))


def large_request_to(reads: int, hold: threading.Event) -> tuple[str, threading.Thread]:
    """A server that reads so much of a request, and then waits; its URL and its thread."""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(WAIT)

    def work() -> None:
        with listener, listener.accept()[0] as stream:
            left = reads
            while left > 0 and (data := stream.recv(min(left, 65536))):
                left -= len(data)
            hold.wait(WAIT)

    thread = threading.Thread(target=work)
    thread.start()
    return f"http://127.0.0.1:{listener.getsockname()[1]}/v1", thread


@pytest.mark.parametrize("reads", [0, 10_000_000])
def test_a_server_that_stops_to_read_a_large_request(reads: int) -> None:
    hold = threading.Event()
    url, thread = large_request_to(reads, hold)
    exchange = make_exchange("ylokh", "x" * 40_000_000, base_url=url)
    clocks = Clocks(first_event=0.4)
    with (
        Client(trust_env=False, retry=NO_RETRY, clocks=clocks) as client,
        pytest.raises(TimedOut),
    ):
        client.read(exchange)
    hold.set()
    thread.join()


def test_no_socket_is_to_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*args: Any, **how: Any) -> socket.socket:
        raise OSError(24, "Too many open files")

    exchange = make_exchange("ylokh", "Hello", base_url="http://127.0.0.1:9/v1")
    with Client(trust_env=False, retry=NO_RETRY) as client:
        monkeypatch.setattr(socket, "socket", none)
        with pytest.raises(ConnectFailed, match="Too many open files"):
            client.read(exchange)


FORKED = """
import os
import sys
import warnings

import tokenwire
from tokenwire.server import serve
from tokenwire.transports.sync import Client

warnings.simplefilter("ignore", DeprecationWarning)  # of fork, as the server has a thread
with serve("ylokh") as server, Client() as client:

    def ask(question):
        return tokenwire.ask("ylokh", question, client=client, base_url=server.url).text

    assert ask("before").endswith("before")
    if not (child := os.fork()):
        right = all(ask(f"child {n}").endswith(f"child {n}") for n in range(5))
        os._exit(0 if right else 1)
    assert all(ask(f"parent {n}").endswith(f"parent {n}") for n in range(5))
    _, status = os.waitpid(child, 0)
    assert server.connections == 2, server.connections
    assert status == 0
"""


FORKED_MEANWHILE = """
import os
import sys
import threading
import warnings

import httpx

import tokenwire
from tokenwire.server import serve
from tokenwire.transports import httpx as by_httpx
from tokenwire.transports import sync

warnings.simplefilter("ignore", DeprecationWarning)  # of fork, as the server has a thread
LEAVE = {
    "with": lambda answer: answer.__exit__(None, None, None),
    "read": lambda answer: answer.read(),
    "abort": lambda answer: answer.abort(),
}


def fork_and(leave):
    if not (child := os.fork()):
        status = 0
        try:
            leave(answer)
        except tokenwire.LocalProtocolError as error:
            status = 1 if "another process" in str(error) else 2
        os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


async def say():
    yield tokenwire.Text("a")
    await go_on()
    yield tokenwire.Text("b")
    yield tokenwire.End("terminator")


async def go_on():
    import anyio.to_thread
    await anyio.to_thread.run_sync(more.acquire)


more = threading.Semaphore(0)
client = sync.Client() if sys.argv[1] == "sync" else by_httpx.Client(httpx.Client())
with serve("openai", lambda chat: say()) as server, client:
    for how, leave in LEAVE.items():
        for waits in (False, True):
            exchange = tokenwire.make_exchange("openai", "Hi", model="m", base_url=server.url)
            answer = client.open(exchange)
            events = [next(answer), next(answer)]
            reader = threading.Thread(target=lambda: events.extend(answer))
            if waits:
                reader.start()
            status = fork_and(leave)
            assert status == (how == "read"), (how, status)
            more.release()
            if not waits:
                reader.start()
            reader.join()
            assert tokenwire.Reply.of(events).text == "ab", (how, waits, events)
            answer.close()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.parametrize("transport", ["sync", "httpx"])
def test_a_child_leaves_the_answers_of_its_parent_alone(transport: str) -> None:
    """Whatever it does with one, the parent reads on, though a thread may wait for it just now."""
    ran = subprocess.run(
        [sys.executable, "-c", FORKED_MEANWHILE, transport],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_parent_and_child_have_connections_of_their_own() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", FORKED], capture_output=True, text=True, timeout=60, check=False
    )
    assert ran.returncode == 0, ran.stderr
