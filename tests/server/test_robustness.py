"""The embedded server against everything that is no client as it should be."""

import errno
import inspect
import json
import math
import re
import socket
import ssl
import struct
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, closing, suppress
from typing import Any
from urllib.parse import urlsplit

import anyio
import pytest
import trio.testing
from anyio.streams.tls import TLSStream
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import certificates
from tests.commanding import CLEAN
from tests.server.test_embedded import Raw, raw
from tests.subjects import EACH_FORMAT, SUBJECTS
from tokenwire import (
    PROVIDERS,
    Chat,
    End,
    Event,
    LocalProtocolError,
    Refused,
    Request,
    Service,
    Text,
    ask,
)
from tokenwire.protocols.echo import echo
from tokenwire.protocols.toolkit.json import is_list, is_object
from tokenwire.server import embedded as server_module
from tokenwire.server.embedded import Server, serve
from tokenwire.server.faults import Cutting, Faults, HtmlPage, KeepAlives, StallAfter
from tokenwire.server.scripts import Answer, Write, plan

OPENAI: dict[str, Any] = {
    "model": "m",
    "stream": True,
    "n": 2,
    "temperature": 1,
    "top_p": 1,
    "max_tokens": 5,
    "stop": ["a"],
    "seed": 1,
    "stream_options": {"include_usage": True},
    "tools": [
        {
            "type": "function",
            "function": {"name": "weather", "description": "d", "parameters": {"type": "object"}},
        }
    ],
    "tool_choice": {"type": "function", "function": {"name": "weather"}},
    "messages": [
        {"role": "system", "content": "s"},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "hi"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
            ],
        },
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {"id": "c", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
            ],
        },
        {"role": "tool", "tool_call_id": "c", "content": "rain"},
    ],
}


def good_request(name: str) -> tuple[str, dict[str, Any]]:
    """The path of a chat, and a body: all that the server half reads, or what its subject asks."""
    provider = PROVIDERS[name]
    if provider.dialect.name == "openai_chat":
        return "/chat/completions", OPENAI
    subject = next(s for s in SUBJECTS.values() if s.provider.name == name)
    request = subject.send_short().recorded[-1].request
    path = urlsplit(request.url).path.removeprefix(urlsplit(provider.base_url).path)
    return path, json.loads(request.body)


GOOD = {name: good_request(name) for name in EACH_FORMAT}


def still_serves(server: Server) -> None:
    """A good request gets its answer, and nothing went wrong that the server is to blame for."""
    name = server.service.provider.name
    model = PROVIDERS[name].default_model or "m"
    reply = ask(name, "hi", model=model, base_url=server.url)
    assert reply.text == f"{name} {model} was asked: hi"
    assert server.errors == []


def request_bytes(path: str, body: bytes, *headers: bytes) -> bytes:
    lines = [
        b"POST %s HTTP/1.1" % path.encode(),
        b"host: localhost",
        b"content-type: application/json",
        b"uniqueid: none",
        b"content-length: %d" % len(body),
        *headers,
    ]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def answers(server: Server, sent: bytes) -> bytes:
    """All that comes for `sent`, and the end of it."""
    with raw(server) as client:
        client.send(sent)
        client.socket.shutdown(socket.SHUT_WR)
        return client.rest()


def statuses(got: bytes) -> list[int]:
    return [int(status) for status in re.findall(rb"HTTP/1\.[01] (\d{3}) ", got)]


# What is no HTTP

POST = b"POST /x HTTP/1.1\r\nhost: localhost\r\n"
CHUNKED = POST + b"transfer-encoding: chunked\r\n\r\n"
HOSTILE: dict[str, tuple[bytes, list[int]]] = {
    "nothing": (b"", []),
    "an empty line": (b"\r\n", [400]),
    "NULs": (bytes(100), [400]),
    "all bytes": (bytes(range(256)), [400]),
    "a TLS hello": (
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(32) + b"\r\n\r\n",
        [400],
    ),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0", [404, 400]),
    "HTTP/0.9": (b"GET /\r\n\r\n", [400]),
    "HTTP/9.9": (b"GET /x HTTP/9.9\r\nhost: localhost\r\n\r\n", [404]),
    "no host": (b"GET /x HTTP/1.1\r\n\r\n", [400]),
    "two hosts": (b"GET /x HTTP/1.1\r\nhost: localhost\r\nhost: b\r\n\r\n", [400]),
    "a NUL in a header": (b"GET /x HTTP/1.1\r\nhost: localhost\r\nx: \0\r\n\r\n", [400]),
    "a space in a header's name": (b"GET /x HTTP/1.1\r\nhost: localhost\r\nx y: z\r\n\r\n", [400]),
    "a header without a name": (b"GET /x HTTP/1.1\r\nhost: localhost\r\n: z\r\n\r\n", [400]),
    "bad UTF-8 in a header": (b"GET /x HTTP/1.1\r\nhost: localhost\r\nx: \xff\xfe\r\n\r\n", [404]),
    "bad UTF-8 in the target": (b"GET /\xff HTTP/1.1\r\nhost: localhost\r\n\r\n", [400]),
    "a space in the target": (b"GET /a b HTTP/1.1\r\nhost: localhost\r\n\r\n", [400]),
    "a lonely CR": (b"GET /x HTTP/1.1\rhost: a\r\r", [400]),
    "a head that does not end": (b"GET /x HTTP/1.1\r\nhost: localhost\r\nx", [400]),
    "a head too large": (b"GET /x HTTP/1.1\r\nhost: localhost\r\nx: " + b"x" * 100_000, [431]),
    "too many headers": (b"GET /x HTTP/1.1\r\nhost: localhost\r\n" + b"x: y\r\n" * 20_000, [431]),
    "a target too large": (b"GET /" + b"x" * 100_000, [431]),
    "a length below 0": (POST + b"content-length: -1\r\n\r\n", [400]),
    "a length that is no number": (POST + b"content-length: many\r\n\r\n", [400]),
    "a length of many digits": (POST + b"content-length: 1" + b"0" * 30 + b"\r\n\r\n", [400]),
    "two lengths": (POST + b"content-length: 1\r\ncontent-length: 2\r\n\r\nxx", [400]),
    "a body that does not end": (POST + b"content-length: 9\r\n\r\nx", [400]),
    "a body too large": (POST + b"content-length: 99999\r\n\r\n" + b"x" * 99_999, [413]),
    "chunks too large": (CHUNKED + (b"ffff\r\n" + b"x" * 0xFFFF + b"\r\n") * 2, [413]),
    "no number of a chunk": (CHUNKED + b"zz\r\n", [400]),
    "a chunk below 0": (CHUNKED + b"-1\r\n\r\n", [400]),
    "a chunk of many digits": (CHUNKED + b"f" * 30 + b"\r\n", [400]),
    "a chunk that goes on": (CHUNKED + b"1\r\nxx\r\n0\r\n\r\n", [400]),
    "a chunk that does not end": (CHUNKED + b"5\r\nab", [400]),
    "a chunk with a long extension": (CHUNKED + b"1;" + b"x" * 100_000, [431]),
    "chunks with many trailers": (CHUNKED + b"0\r\n" + b"x: y\r\n" * 20_000, [431]),
    "another coding": (POST + b"transfer-encoding: gzip\r\n\r\n", [501]),
    "a length too large, and nothing of the body": (POST + b"content-length: 50001\r\n\r\n", [413]),
    "a length too large, asking first": (
        POST + b"content-length: 50001\r\nexpect: 100-continue\r\n\r\n",
        [413],
    ),
    "a length beside chunks, and a smuggled request": (
        POST + b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n" + POST + b"\r\n",
        [404],
    ),
    "the host of another": (b"GET /x HTTP/1.1\r\nhost: evil.example\r\n\r\n" * 2, [421]),
    "a host that is none": (b"GET /x HTTP/1.1\r\nhost: a b\r\n\r\n", [400]),
    "a host with credentials": (b"GET /x HTTP/1.1\r\nhost: a@localhost\r\n\r\n", [400]),
    "no address of HTTP": (b"GET ftp://localhost/x HTTP/1.1\r\nhost: localhost\r\n\r\n", [400]),
    "codings over each other": (POST + b"transfer-encoding: gzip, chunked\r\n\r\n", [501]),
    "a target that is no address": (b"GET http://[ HTTP/1.1\r\nhost: localhost\r\n\r\n", [400]),
    "an upgrade": (
        b"GET /x HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n",
        [404],
    ),
    "a tunnel": (b"CONNECT a:1 HTTP/1.1\r\nhost: localhost\r\n\r\n\x16\x03\x01", [404, 400]),
    "another method": (b"BREW /x HTTP/1.1\r\nhost: localhost\r\n\r\n", [404]),
    "expecting to go on, and then nothing": (
        POST + b"content-length: 9\r\nexpect: 100-continue\r\n\r\n",
        [100, 400],
    ),
    "expecting something else": (POST + b"content-length: 0\r\nexpect: cake\r\n\r\n", [404]),
    "one good and one bad": (
        b"GET /x HTTP/1.1\r\nhost: localhost\r\n\r\nrubbish\r\n\r\n",
        [404, 400],
    ),
    "fifty at once": (b"GET /x HTTP/1.1\r\nhost: localhost\r\n\r\n" * 50, [404] * 50),
    "an end to it, and one more": (
        b"GET /x HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"
        b"GET /x HTTP/1.1\r\nhost: localhost\r\n\r\n",
        [404],
    ),
}


@pytest.fixture(scope="module")
def strict_server() -> Iterator[Server]:
    """One that all hostile requests of this module meet."""
    with serve("darkai", request_limit=50_000) as server:
        yield server
        still_serves(server)


@pytest.mark.parametrize("case", HOSTILE)
def test_what_is_no_http_is_refused(strict_server: Server, case: str) -> None:
    sent, expected = HOSTILE[case]
    assert statuses(answers(strict_server, sent)) == expected
    still_serves(strict_server)


@pytest.mark.parametrize("fault", [HtmlPage(), KeepAlives(interval=60), StallAfter(1)])
def test_a_tunnel_is_not_to_be_had_by_a_fault_either(fault: Faults) -> None:
    with serve("openai", faults=[fault]) as server:
        with raw(server) as client:
            client.send(b"CONNECT a:1 HTTP/1.1\r\nhost: localhost\r\n\r\n")
            assert b" 404 " in client.head()
        still_serves(server)


# What is no request of the provider


@pytest.mark.parametrize("provider", EACH_FORMAT)
def test_bodies_that_are_no_question(provider: str) -> None:
    path, good = GOOD[provider]
    deep = b'{"a":' * 100_000
    bodies: list[bytes] = [
        b"",
        b"null",
        b"[]",
        b'"text"',
        b"0",
        b"{",
        b"{}",
        b"{}{}",
        b"NaN",
        b"\0",
        b"\xff\xfe{\0}\0",
        b"\xef\xbb\xbf",
        b'{"\xff": "\xff"}',
        b'{"\\ud800": "\\udfff"}',
        deep,
        b"[" * 100_000,
        deep + b"1" + b"}" * 100_000,
        b'{"model": 1' + b"0" * 10_000 + b"}",
        json.dumps(good).encode("utf-16"),
        json.dumps(good).encode()[:-1],
        json.dumps(good).encode() + b"\0",
    ]
    with serve(provider) as server:
        target = urlsplit(server.url).path + path
        for body in bodies:
            assert statuses(answers(server, request_bytes(target, body))) == [400]
        assert statuses(answers(server, request_bytes(target + "x", b"{}"))) == [404]
        for line in (b"GET %s HTTP/1.1", b"PUT %s HTTP/1.1", b"get %s HTTP/1.1"):
            sent = line % target.encode() + b"\r\nhost: localhost\r\n\r\n"
            assert statuses(answers(server, sent)) == [405]
        sent = b"POST %s HTTP/1.1\r\nhost: localhost\r\n\r\n" % target.encode()
        # Some do not look at the content type: there it is a body that is not JSON.
        unlabelled = provider in ("ollama", "bedrock", "bedrock-anthropic")
        assert statuses(answers(server, sent)) == [400 if unlabelled else 415]
        still_serves(server)


def places(value: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Each place in a JSON value, as the keys and indexes that lead there."""
    yield place
    if is_object(value):
        for key, inner in value.items():
            yield from places(inner, (*place, key))
    elif is_list(value):
        for index, inner in enumerate(value):
            yield from places(inner, (*place, index))


def changed(value: Any, place: tuple[Any, ...], change: Callable[[Any, Any], None]) -> Any:
    """`value`, with `change(container, key)` done at a place below it."""
    key, *rest = place
    copy = value.copy()
    if rest:
        copy[key] = changed(copy[key], tuple(rest), change)
    else:
        change(copy, key)
    return copy


WRONG: list[Any] = [
    None,
    True,
    -1,
    0,
    1.5,
    1e308,
    2**70,
    "",
    "x\0",
    "\ud800",
    "\u2028",
    " " * 5000,
    "http://[",
    "data:",
    [],
    [[]],
    [None],
    {},
    {"": ""},
]


@pytest.mark.parametrize("provider", EACH_FORMAT)
def test_wrong_types_at_every_place(provider: str) -> None:
    path, good = GOOD[provider]
    seen: set[int] = set()
    for place in places(good):
        if not place:
            continue
        for wrong in WRONG:

            def put(container: Any, key: Any, wrong: Any = wrong) -> None:
                container[key] = wrong

            seen.add(status_in_memory(provider, path, changed(good, place, put)))
        seen.add(status_in_memory(provider, path, changed(good, place, lambda c, key: c.pop(key))))
    assert {200, 400} <= seen <= {200, 400, 404}


def status_in_memory(provider: str, path: str, body: Any) -> int:
    """The status of the answer, once all of it was made without the server being to blame."""
    service = Service(PROVIDERS[provider])
    if provider == "aichatonline":
        service.state["unique-1"] = None  # as if it had been issued

    def report(error: Exception) -> Refused:
        assert isinstance(error, Refused), body
        return error

    request = Request(
        "POST",
        service.base_url + path,
        [(b"content-type", b"application/json"), (b"uniqueid", b"unique-1")],
        json.dumps(body).encode(),
    )
    answer = Answer(
        request,
        plan(None),
        responder=service.responder(),
        answer=echo(PROVIDERS[provider]),
        cutting=Cutting.per_event(),
        report=report,
    )
    for action in answer.actions():
        assert isinstance(action, Write)
        answer.began = True
    return answer.status


@pytest.mark.parametrize("name", ["gpt-4" + "o" * 1_000_000, "\n" * 1_000_000])
def test_a_name_of_no_model_is_not_handed_back_whole(name: str) -> None:
    with pytest.raises(LocalProtocolError) as raised:
        PROVIDERS["darkai"].model(name)
    assert len(str(raised.value)) < 500


def test_what_a_model_may_have_been_is_said() -> None:
    with pytest.raises(LocalProtocolError, match="did you mean gpt-4o"):
        PROVIDERS["darkai"].model("gpt-40")


def test_what_would_take_too_long_is_refused() -> None:
    """A server does nothing else while it makes an answer that is not streamed."""
    path, good = GOOD["openai"]
    tool = good["tools"][0]
    assert status_in_memory("openai", path, {**good, "tools": [tool] * 128}) == 200
    assert status_in_memory("openai", path, {**good, "tools": [tool] * 129}) == 400
    question = [{"role": "user", "content": "x" * 100_000}]
    plain = {"model": "m", "messages": question, "stream": False}
    assert status_in_memory("openai", path, {**plain, "n": 41}) == 200
    assert status_in_memory("openai", path, {**plain, "n": 42}) == 400


# Any bytes

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4)
    ),
    max_leaves=8,
)


@st.composite
def mutated(draw: st.DrawFn, good: bytes) -> bytes:
    """`good` with pieces of it cut out, doubled, or replaced."""
    data = good
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(data)))
        end = min(len(data), start + draw(st.integers(0, 40)))
        between = draw(st.sampled_from((b"", data[start:end] * 2)) | st.binary(max_size=6))
        data = data[:start] + between + data[end:]
    return data


@pytest.mark.parametrize("provider", EACH_FORMAT)
def test_any_bytes(provider: str) -> None:
    path, good = GOOD[provider]
    with serve(provider) as server:
        target = urlsplit(server.url).path + path
        whole = request_bytes(target, json.dumps(good).encode())

        @settings(max_examples=60)
        @given(
            mutated(whole)
            | st.binary(max_size=200)
            | json_values.map(lambda value: request_bytes(target, json.dumps(value).encode()))
        )
        def check(sent: bytes) -> None:
            got = answers(server, sent)
            assert got == b"" or got.startswith(b"HTTP/1.1 ")
            assert 500 not in statuses(got)
            assert server.errors == []

        check()
        still_serves(server)


# TLS


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"\0" * 100,
        b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01",
        b"\x16\x03\x01\xff\xff" + b"x" * 70_000,
        b"\x15\x03\x03\x00\x02\x02\x28",
    ],
)
@pytest.mark.parametrize("leave", ["end", "reset"])
def test_what_is_no_tls(sent: bytes, leave: str) -> None:
    with serve("darkai", ssl_context=certificates.server_context()) as server:
        with raw(server) as client, suppress(ConnectionError):
            client.send(sent)
            if leave == "reset":
                reset(client)
            else:
                client.socket.shutdown(socket.SHUT_WR)
                assert b"HTTP" not in client.rest()
        with raw(server, certificates.client_context()) as client:
            client.send(b"rubbish\r\n\r\n")
            assert statuses(client.rest()) == [400]
            client.socket.close()
        assert server.errors == []


def test_tls_where_there_is_none() -> None:
    with serve("darkai") as server:
        with pytest.raises((ssl.SSLError, ConnectionError)):
            Raw(server, certificates.client_context())
        still_serves(server)


def reset(client: Raw) -> None:
    client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


# Slow clients

CHAT_BODY = b'{"query": "q", "model": ""}'
QUESTION = request_bytes("/chat", CHAT_BODY)
UNFINISHED = {
    "says nothing": b"",
    "does not finish its head": QUESTION[:30],
    "does not finish its body": QUESTION[:-3],
    "does not go on when told": b"POST /chat HTTP/1.1\r\nhost: localhost\r\n"
    b"expect: 100-continue\r\ncontent-length: 9\r\n\r\n",
    "does not end its chunks": CHUNKED + b"1\r\nx\r\n",
}


def endless(chat: Chat) -> Iterator[Event]:
    """More than any buffer holds."""
    if chat.messages[-1].text == "hi":  # it still has to serve others
        yield Text("darkai llama-3-70b was asked: hi")
    else:
        while True:
            yield Text("x" * 1_000_000)
    yield End("terminator")


def test_one_byte_at_a_time() -> None:
    with serve("darkai") as server, raw(server) as client:
        for _ in range(2):
            for byte in QUESTION:
                client.send(bytes((byte,)))
            assert b" 200 " in client.head()
            assert client.chunked().endswith(b"}\n\n")
        assert server.errors == []


@pytest.mark.parametrize("leave", ["end", "reset", "stay"])
def test_others_are_served_meanwhile(leave: str) -> None:
    threads = threading.active_count()
    with ExitStack() as stack, serve("darkai", endless, patience=math.inf) as server:
        clients: list[Raw] = []
        for sent in [*UNFINISHED.values(), QUESTION]:
            clients.append(stack.enter_context(raw(server)))
            clients[-1].send(sent)
        clients[-1].head()  # from then on it does not read
        still_serves(server)
        for client in clients:
            if leave == "reset":
                reset(client)
            elif leave == "end":
                client.socket.shutdown(socket.SHUT_WR)
        still_serves(server)
    # Nothing but the end of the context could have ended all of them.
    assert threading.active_count() == threads


def test_tls_that_is_never_done() -> None:
    with serve("darkai", ssl_context=certificates.server_context(), patience=math.inf) as server:
        client = Raw(server)
        client.send(b"\x16\x03\x01\x02\x00\x01")
        with raw(server, certificates.client_context()) as other:
            other.send(QUESTION)
            assert b" 200 " in other.head()
    client.close()


# How long it waits, by a clock that jumps when nothing else is to be done


def in_no_time(main: Callable[[], Awaitable[None]]) -> None:
    clock = trio.testing.MockClock(autojump_threshold=0.05)
    anyio.run(main, backend="trio", backend_options={"clock": clock})


@pytest.mark.parametrize("case", UNFINISHED)
def test_an_unfinished_request_is_not_waited_for_longer_than_the_patience(case: str) -> None:
    async def main() -> None:
        async with serve("darkai", patience=7) as server:
            begun = anyio.current_time()
            got = await ended(server, UNFINISHED[case])
            assert anyio.current_time() - begun == pytest.approx(7, abs=0.5)
            assert statuses(got) == ([100] if b"100-" in UNFINISHED[case] else [])
            assert server.errors == []

    in_no_time(main)


def test_bytes_that_drip_do_not_prolong_the_patience() -> None:
    async def main() -> None:
        async with serve("darkai", patience=7) as server:
            begun = anyio.current_time()
            async with await connected(server) as stream:
                with suppress(anyio.BrokenResourceError):
                    for byte in QUESTION:
                        await anyio.sleep(1)
                        await stream.send(bytes((byte,)))
            assert 7 <= anyio.current_time() - begun < 10

    in_no_time(main)


def test_an_idle_connection_is_closed_in_the_end() -> None:
    async def main() -> None:
        async with serve("darkai") as server:
            begun = anyio.current_time()
            assert statuses(await ended(server, QUESTION)) == [200]
            assert anyio.current_time() - begun == pytest.approx(60, abs=0.5)

    in_no_time(main)


def test_tls_is_not_waited_for_longer_than_the_patience() -> None:
    async def main() -> None:
        async with serve("darkai", patience=7, ssl_context=certificates.server_context()) as server:
            begun = anyio.current_time()
            await ended(server, b"\x16\x03\x01\x02\x00\x01")
            assert anyio.current_time() - begun == pytest.approx(7, abs=0.5)

    in_no_time(main)


def test_each_wait_for_the_client_is_one_of_its_own() -> None:
    async def main() -> None:
        async with (
            serve("darkai", patience=7, ssl_context=certificates.server_context()) as server,
            await connected(server) as transport,
        ):
            await anyio.sleep(5)
            stream = await TLSStream.wrap(
                transport, hostname="127.0.0.1", ssl_context=certificates.client_context()
            )
            for _ in range(2):
                await anyio.sleep(5)
                await stream.send(QUESTION)
                got = b""
                while not got.endswith(b"0\r\n\r\n"):
                    got += await stream.receive()
                assert statuses(got) == [200]

    in_no_time(main)


@pytest.mark.parametrize("pause", [0, 1000])
def test_an_answer_that_nobody_reads_is_given_up(pause: float) -> None:
    async def main() -> None:
        done = anyio.Event()

        def answer(chat: Chat) -> Iterator[Event]:
            try:
                yield from endless(chat)
            finally:
                done.set()

        paced = Cutting.per_event(pause=pause)
        async with (
            serve("darkai", answer, patience=7, cutting=paced) as server,
            await connected(server) as stream,
        ):
            begun = anyio.current_time()
            await stream.send(QUESTION)
            await done.wait()
            # Some writes have room in the system's buffers; then 7 s pass in one.
            assert (anyio.current_time() - begun) % 1000 == pytest.approx(7, abs=0.5)
            assert server.errors == []

    in_no_time(main)


@pytest.mark.parametrize(
    ("fault", "end"), [(KeepAlives(0, 1000), None), (StallAfter(5), None), (None, b"0\r\n\r\n")]
)
def test_the_pauses_of_an_answer_are_not_the_clients_fault(
    fault: Faults, end: bytes | None
) -> None:
    async def main() -> None:
        paced = Cutting.per_event(pause=1000)
        async with (
            serve("darkai", cutting=paced, fault=fault, patience=7) as server,
            await connected(server) as stream,
        ):
            await stream.send(QUESTION)
            got = b""
            with anyio.move_on_after(10_000):
                while end is None or not got.endswith(end):
                    got += await stream.receive()
            if end is None:
                assert anyio.current_time() >= 10_000
            assert statuses(got) == [200]

    in_no_time(main)


async def connected(server: Server) -> anyio.abc.SocketStream:
    return await anyio.connect_tcp("127.0.0.1", urlsplit(server.url).port or 0)


async def ended(server: Server, sent: bytes) -> bytes:
    """All that comes for `sent` until the server ends it."""
    got = b""
    async with await connected(server) as stream:
        await stream.send(sent)
        with suppress(anyio.EndOfStream, anyio.BrokenResourceError):
            while True:
                got += await stream.receive()
    return got


# Many


def test_many_connections_at_once() -> None:
    if sys.platform != "win32":
        from tests.soak import allow_descriptors  # which needs what Windows has not

        allow_descriptors(800)
    with serve("darkai") as server, ExitStack() as stack:
        clients = [stack.enter_context(raw(server)) for _ in range(300)]
        for client in clients:
            client.send(QUESTION[:-1])
        still_serves(server)
        for client in reversed(clients):
            client.send(QUESTION[-1:])
        for client in clients:
            assert b" 200 " in client.head()
            assert client.chunked().endswith(b"}\n\n")
        assert server.connections == 301
        assert server.errors == []


def test_what_can_not_be_accepted_does_not_end_it(monkeypatch: pytest.MonkeyPatch) -> None:
    accept = socket.socket.accept
    failures: list[OSError] = [
        OSError(errno.EMFILE, "no more"),
        OSError(errno.ECONNABORTED, "gone"),
    ]

    def accept_or_fail(self: socket.socket) -> tuple[socket.socket, Any]:
        if failures:
            raise failures.pop()
        return accept(self)

    monkeypatch.setattr(socket.socket, "accept", accept_or_fail)
    with serve("darkai") as server:
        still_serves(server)
    assert failures == []


STARVED = """
import resource, sys
from tokenwire.server import serve

resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))
with serve("darkai") as server:
    print(server.url, flush=True)
    sys.stdin.read()
    print(len(server.errors))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there are no limits of file descriptors")
def test_more_connections_than_file_descriptors() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", STARVED],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**CLEAN},
    ) as process:
        assert process.stdout is not None
        url: str = process.stdout.readline().strip()
        address = ("127.0.0.1", urlsplit(url).port or 0)
        with ExitStack() as stack:
            for _ in range(80):
                stack.enter_context(closing(socket.create_connection(address, 5)))
        assert ask("darkai", "hi", base_url=url).text == "darkai llama-3-70b was asked: hi"
        said, _ = process.communicate(timeout=30)
        assert (said.strip(), process.returncode) == ("0", 0)


# What it remembers


def test_requests_are_remembered_up_to_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "_HISTORY", 3)
    with serve("darkai") as server:
        for number in range(5):
            ask("darkai", f"question {number}", base_url=server.url)
    assert [b"question %d" % n in r.body for n, r in enumerate(server.requests, 2)] == [True] * 3


def test_requests_are_remembered_up_to_a_size() -> None:
    with serve("darkai", request_limit=1000) as server:
        for size in (300, 300, 300, 900, 10):
            ask("darkai", "x" * size, base_url=server.url)
    assert [len(request.body) > 900 for request in server.requests] == [True, False]


def test_errors_are_remembered_up_to_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(chat: Chat) -> list[Event]:
        raise ValueError(chat.messages[-1].text)

    monkeypatch.setattr(server_module, "_HISTORY", 2)
    with serve("darkai", answer) as server:
        for number in range(4):
            with pytest.raises(Refused):
                ask("darkai", f"{number}", base_url=server.url)
    assert [str(error) for error in server.errors] == ["2", "3"]


def test_what_is_issued_is_remembered_up_to_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tokenwire.protocols.formats.founding.aichatonline.server.TOKENS", 2)
    monkeypatch.setattr("tokenwire.protocols.formats.founding.aichats.server.PICTURES", 2)
    with serve("aichatonline") as server:
        for _ in range(4):
            ask("aichatonline", "Hello", base_url=server.url)
        assert [*server.service.state] == ["unique-3", "unique-4"]
    with serve("aichats") as server:
        for _ in range(4):
            ask("aichats", "Hello", model="dalle", base_url=server.url)
        assert [*server.service.state] == ["3", "4"]


# Where it listens


def test_it_listens_on_loopback_only_unless_told_otherwise() -> None:
    assert inspect.signature(serve).parameters["host"].default == "127.0.0.1"
    with serve("darkai") as server:
        assert urlsplit(server.url).hostname == "127.0.0.1"


@pytest.mark.skipif(sys.platform != "linux", reason="only there all of 127/8 leads to this machine")
def test_no_other_address_leads_to_it() -> None:
    with serve("darkai") as server, pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.2", urlsplit(server.url).port or 0), 5)
    with serve("darkai", host="0.0.0.0") as server:
        socket.create_connection(("127.0.0.2", urlsplit(server.url).port or 0), 5).close()
