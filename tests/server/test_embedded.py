"""The embedded server on real sockets: curl, the official SDK, and bytes by hand."""

import asyncio
import gzip
import json
import os
import random
import shutil
import socket
import ssl
import struct
import subprocess
import threading
import time
import zlib
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import ExitStack, closing, suppress
from typing import Any
from urllib.parse import urlsplit

import anyio
import httpx
import openai
import pytest
import trio.testing

import tokenwire
from tests import certificates
from tests.subjects import EACH_FORMAT
from tokenwire import make_exchange
from tokenwire.protocols.answering import AnswerFunction
from tokenwire.protocols.chat import Chat, as_chat
from tokenwire.protocols.errors import (
    AuthenticationFailed,
    Disconnected,
    LocalProtocolError,
    RateLimited,
    Refused,
    TimedOut,
    Truncated,
)
from tokenwire.protocols.events import End, Event, Text
from tokenwire.protocols.exchange import Exchange
from tokenwire.protocols.registry import PROVIDERS, provider_named
from tokenwire.protocols.reply import Reply
from tokenwire.protocols.retry import NO_RETRY
from tokenwire.protocols.toolkit.http import Request, get_header
from tokenwire.server.embedded import Server, serve
from tokenwire.server.faults import (
    BreakEvent,
    CloseAfter,
    CloseIdle,
    Cutting,
    DropTerminator,
    EndAfter,
    ErrorObject,
    Faults,
    Gzip,
    HtmlPage,
    KeepAlives,
    Linger,
    RefuseWith,
    ResetAfter,
    StallAfter,
    Unframed,
)
from tokenwire.transports import sync

CURL = shutil.which("curl")
needs_curl = pytest.mark.skipif(CURL is None, reason="curl is not on PATH")

CHAT: dict[str, Any] = {
    "model": "m",
    "stream": True,
    "messages": [{"role": "user", "content": "hi"}],
}
ANSWER = "openai m was asked: hi"


class Raw:
    """A connection on which bytes are sent and read by hand. Never waits longer than 5 s."""

    def __init__(self, server: Server, context: ssl.SSLContext | None = None) -> None:
        parts = urlsplit(server.url)
        host, self.path = parts.hostname or "", parts.path
        self.socket = socket.create_connection((host, parts.port or 0), 5)
        if context is not None:
            self.socket = context.wrap_socket(
                self.socket, server_hostname=host, suppress_ragged_eofs=False
            )
        self._read = b""

    def close(self) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def post(self, body: bytes | dict[str, Any] = CHAT, *headers: str, path: str = "") -> None:
        """Send a request for a chat."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        lines = [
            f"POST {path or self.path + '/chat/completions'} HTTP/1.1",
            "host: localhost",
            "content-type: application/json",
            f"content-length: {len(content)}",
            *headers,
        ]
        self.send("\r\n".join(lines).encode() + b"\r\n\r\n" + content)

    def until(self, end: bytes) -> bytes:
        """What comes up to and with `end`."""
        while end not in self._read:
            data = self.socket.recv(65536)
            assert data, f"closed before {end!r}: {self._read!r}"
            self._read += data
        found, _, self._read = self._read.partition(end)
        return found + end

    def rest(self) -> bytes:
        """All that comes until the connection is closed."""
        while data := self.socket.recv(65536):
            self._read += data
        return self._read

    def head(self) -> bytes:
        """A response's head."""
        return self.until(b"\r\n\r\n")

    def response(self) -> tuple[bytes, bytes]:
        """A response with a length: head and body."""
        head = self.head()
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        while len(self._read) < length:
            data = self.socket.recv(65536)
            assert data, "closed in the body"
            self._read += data
        body, self._read = self._read[:length], self._read[length:]
        return head, body

    def chunked(self) -> bytes:
        """The whole of a chunked body."""
        body = b""
        while chunk := self.chunk():
            body += chunk
        return body

    def chunk(self) -> bytes:
        """The next chunk of a chunked body; empty behind the last."""
        size = int(self.until(b"\r\n"), 16)
        return self.exactly(size + 2)[:-2]

    def exactly(self, size: int) -> bytes:
        while len(self._read) < size:
            data = self.socket.recv(65536)
            assert data, "closed in a chunk"
            self._read += data
        data, self._read = self._read[:size], self._read[size:]
        return data


def raw(server: Server, context: ssl.SSLContext | None = None) -> "closing[Raw]":
    return closing(Raw(server, context))


def drive(server: Server, exchange: Exchange) -> Iterator[Event]:
    """The documented driver, over the simplest HTTP client there is."""
    from http.client import HTTPConnection, HTTPException

    while (request := exchange.next_request()) is not None:
        connection = HTTPConnection(request.origin.host, request.origin.port, timeout=5)
        with closing(connection):
            headers = {n.decode(): v.decode() for n, v in request.headers}
            connection.request(request.method, request.target, request.body, headers)
            with closing(connection.getresponse()) as response:
                pairs = [(n.lower().encode(), v.encode()) for n, v in response.getheaders()]
                exchange.receive_response(response.status, pairs)
                try:
                    while data := response.read1(65536):
                        yield from exchange.receive_data(data)
                except (HTTPException, ConnectionError):
                    yield from exchange.receive_disconnect()
                else:
                    yield from exchange.receive_eof(framed=True)


def ask(server: Server, provider: str, question: str = "hi", **options: Any) -> Reply:
    chat = as_chat(question, **options)
    exchange = provider_named(provider).exchange(chat, base_url=server.url, random=random.Random(1))
    return Reply.of(drive(server, exchange))


def text_of(body: bytes) -> str:
    """The text of a stream of chat completions."""
    payloads = [line[6:] for line in body.split(b"\n\n") if line.startswith(b"data: {")]
    return "".join(
        choice["delta"].get("content") or ""
        for payload in payloads
        for choice in json.loads(payload)["choices"]
    )


# What it serves


@pytest.mark.parametrize("provider", EACH_FORMAT)
@pytest.mark.parametrize(
    "cutting",
    [
        Cutting.whole(),
        Cutting.per_event(),
        Cutting.byte_by_byte(),
        Cutting.of_sizes(7, 1),
        Cutting.per_event(pause=1e-9),
    ],
)
def test_every_provider_however_cut(provider: str, cutting: Cutting) -> None:
    model = PROVIDERS[provider].default_model or "m"
    with serve(provider, cutting=cutting) as server:
        assert urlsplit(server.url).path == urlsplit(PROVIDERS[provider].base_url).path
        reply = ask(server, provider, model=model)
    assert reply.text == f"{provider} {model} was asked: hi"
    assert reply.evidence is not None
    assert server.errors == []
    assert len(server.requests) == 1 + (provider == "aichatonline")
    assert server.requests[-1].method == "POST"
    assert server.requests[-1].url.startswith(server.url)
    assert b"hi" in server.requests[-1].body


def test_a_picture_is_at_an_address_of_the_server() -> None:
    with serve("aichats") as server:
        (image,) = ask(server, "aichats", "a cat", model="dalle").images
        assert image.url == f"{server.url}/pictures/1"
        assert image.data[:4] == b"\x89PNG"
        assert [r.method for r in server.requests] == ["POST", "GET"]
        with pytest.raises(Refused, match="no such picture"):
            list(drive(server, _other_picture(server)))


def _other_picture(server: Server) -> Exchange:
    """An exchange that comes to ask for a picture that the server has no more."""
    server.service.state.clear()
    exchange = PROVIDERS["aichats"].exchange(as_chat("x", model="dalle"))
    exchange.next_request()
    exchange.receive_response(200, [(b"content-type", b"application/json")])
    exchange.receive_data(b'{"data": [{"url": "%s/pictures/9"}]}' % server.url.encode())
    exchange.receive_eof(framed=True)
    return exchange


def test_an_answer_of_ones_own_and_a_key() -> None:
    def answer(chat: Chat) -> Iterable[Event]:
        return (Text(f"{chat.model}: "), Text("yes"), End("terminator"))

    provider = PROVIDERS["openai"]
    with serve(provider, answer, key="secret-key") as server:
        exchange = provider.exchange(as_chat("?", model="m"), key="secret-key", base_url=server.url)
        assert Reply.of(drive(server, exchange)).text == "m: yes"
        with pytest.raises(AuthenticationFailed):
            ask(server, "openai", model="m")


def test_the_connection_is_kept() -> None:
    with serve("openai") as server:
        with raw(server) as client:
            for _ in range(3):
                client.post()
                assert b"transfer-encoding: chunked" in client.head().lower()
                assert text_of(client.chunked()) == ANSWER
            client.post(b"{}")
            assert client.response()[0].startswith(b"HTTP/1.1 400")
            client.post({**CHAT, "stream": False})
            assert json.loads(client.response()[1])["choices"][0]["message"]["content"] == ANSWER
        assert server.connections == 1
        assert len(server.requests) == 5


def test_requests_may_come_at_once() -> None:
    with serve("openai") as server, raw(server) as client:
        client.post()
        client.post()
        for _ in range(2):
            client.head()
            assert text_of(client.chunked()) == ANSWER


def test_a_client_may_want_the_connection_closed() -> None:
    with serve("openai") as server, raw(server) as client:
        client.post(CHAT, "connection: close")
        assert b"connection: close" in client.head().lower()
        assert client.rest().endswith(b"0\r\n\r\n")


def test_an_old_client_gets_no_chunks() -> None:
    with serve("openai") as server, raw(server) as client:
        body = json.dumps(CHAT).encode()
        client.send(
            b"POST /v1/chat/completions HTTP/1.0\r\ncontent-type: application/json\r\n"
            b"content-length: %d\r\n\r\n" % len(body) + body
        )
        assert b"transfer-encoding" not in client.head().lower()
        assert client.rest().endswith(b"data: [DONE]\n\n")


def test_each_write_is_sent_by_itself() -> None:
    """The answer function is asked for the second event when the first has been read."""
    read = threading.Event()

    def answer(chat: Chat) -> Iterator[Event]:
        yield Text("first")
        assert read.wait(5)
        yield End("terminator")

    with serve("darkai", answer) as server, raw(server) as client:
        client.post(b'{"query": "q", "model": ""}', path="/chat")
        client.head()
        assert b"first" in client.until(b"\n\n")
        read.set()
        assert b"stream-end" in client.until(b"0\r\n\r\n")
    assert server.errors == []


def test_the_port_can_be_chosen_and_be_taken() -> None:
    with serve("openai") as server:
        port = urlsplit(server.url).port or 0
        with pytest.raises(LocalProtocolError, match=f"can't listen on 127.0.0.1:{port}"):
            serve("openai", port=port).__enter__()
    with serve("openai", port=port) as again:
        assert again.url == server.url


def test_an_unknown_provider() -> None:
    with pytest.raises(LocalProtocolError, match="no provider 'nobody'"):
        serve("nobody")


@pytest.mark.skipif(not socket.has_ipv6, reason="this machine has no IPv6")
def test_ipv6() -> None:
    with ExitStack() as stack:
        try:
            server = stack.enter_context(serve("openai", host="::1"))
        except LocalProtocolError:
            pytest.skip("::1 is not to be had here")
        assert server.url.startswith("http://[::1]:")
        assert ask(server, "openai", model="m").text == ANSWER


def test_a_server_is_entered_once() -> None:
    with serve("openai") as server:
        with pytest.raises(LocalProtocolError, match="entered once"):
            server.__enter__()
        assert ask(server, "openai", model="m").text == ANSWER


# curl


def curl(*arguments: str, body: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    assert CURL is not None
    return subprocess.run(
        [CURL, "-sS", "--noproxy", "*", "--max-time", "5", *arguments],
        input=body,
        capture_output=True,
        check=False,
    )


JSON = ("-H", "content-type: application/json")
POST = (*JSON, "--data-binary", "@-")


@needs_curl
def test_curl_streams() -> None:
    with serve("ylokh") as server:
        result = curl("-N", *POST, f"{server.url}/chat/completions", body=json.dumps(CHAT).encode())
    assert (result.returncode, result.stderr) == (0, b"")
    assert text_of(result.stdout) == "ylokh m was asked: hi"
    assert result.stdout.endswith(b"data: [DONE]\n\n")


@needs_curl
def test_curl_is_told_to_continue() -> None:
    body = json.dumps({**CHAT, "messages": [{"role": "user", "content": "x" * 70_000}]}).encode()
    with serve("openai") as server:
        result = curl(
            "-v", "-H", "expect: 100-continue", *POST, f"{server.url}/chat/completions", body=body
        )
    assert result.returncode == 0
    assert b"< HTTP/1.1 100" in result.stderr
    assert text_of(result.stdout).endswith("x" * 70_000)


@needs_curl
@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (("/v1/nowhere",), b"404"),
        (("/v1/chat/completions",), b"405"),
        (("-X", "DELETE", "/v1/chat/completions"), b"405"),
        (("-I", "/v1/nowhere"), b"404"),
        (("-d", "{}", "/v1/chat/completions"), b"415"),
        ((*JSON, "-d", "nonsense", "/v1/chat/completions"), b"400"),
        ((*JSON, "-d", '{"messages": []}', "/v1/chat/completions"), b"400"),
    ],
)
def test_curl_is_refused(arguments: tuple[str, ...], status: bytes) -> None:
    with serve("openai") as server:
        *options, path = arguments
        result = curl("-i", *options, server.url.removesuffix("/v1") + path)
    assert result.returncode == 0
    assert result.stdout.startswith(b"HTTP/1.1 " + status)
    assert b"content-length: " in result.stdout.lower()
    assert (b'"error"' in result.stdout) is ("-I" not in arguments)


@needs_curl
def test_curl_unpacks() -> None:
    with serve("openai", fault=Gzip()) as server:
        result = curl(
            "--compressed", *POST, f"{server.url}/chat/completions", body=json.dumps(CHAT).encode()
        )
    assert text_of(result.stdout) == ANSWER


@needs_curl
@pytest.mark.parametrize(
    ("fault", "code"),
    [(CloseAfter(10), 18), (ResetAfter(10), 56), (CloseAfter(0, head=False), 52), (Unframed(), 0)],
)
def test_curl_sees_faults(fault: Faults, code: int) -> None:
    with serve("openai", fault=fault) as server:
        result = curl(*POST, f"{server.url}/chat/completions", body=json.dumps(CHAT).encode())
    assert result.returncode == code


# The official SDK


def sdk(server: Server, **options: Any) -> openai.OpenAI:
    return openai.OpenAI(base_url=server.url, api_key="k", max_retries=0, timeout=5, **options)


TOOLS: Any = [
    {
        "type": "function",
        "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}},
    }
]


def test_the_sdk_streams() -> None:
    with serve("openai", cutting=Cutting.of_sizes(11)) as server, sdk(server) as client:
        with client.chat.completions.create(
            model="m", messages=[{"role": "user", "content": "hi"}], stream=True
        ) as stream:
            chunks = list(stream)
        assert chunks[0].id.startswith("chatcmpl-")
        assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == ANSWER
        assert [c.usage.total_tokens for c in chunks if c.usage] == [6]
        assert chunks[-1].choices[0].finish_reason == "stop"
        assert server.requests[0].url == f"{server.url}/chat/completions"


def test_the_sdk_gets_a_whole_answer() -> None:
    with serve("openai") as server, sdk(server) as client:
        completion = client.chat.completions.create(
            model="m", messages=[{"role": "user", "content": "hi"}], n=2
        )
    assert [choice.message.content for choice in completion.choices] == [ANSWER, ANSWER]
    assert completion.usage is not None
    assert completion.usage.completion_tokens == 10


@pytest.mark.parametrize("streamed", [True, False])
def test_the_sdk_calls_tools(streamed: bool) -> None:
    messages: Any = [{"role": "user", "content": "the weather?"}]
    with serve("openai") as server, sdk(server) as client:
        if streamed:
            with client.chat.completions.stream(
                model="m", messages=messages, tools=TOOLS
            ) as stream:
                completion: Any = stream.get_final_completion()
        else:
            completion = client.chat.completions.create(model="m", messages=messages, tools=TOOLS)
        (choice,) = completion.choices
        (call,) = choice.message.tool_calls
        assert choice.finish_reason == "tool_calls"
        assert (call.id, call.function.name) == ("call_0", "weather")
        assert json.loads(call.function.arguments) == {"question": "the weather?"}
        messages += [
            {"role": "assistant", "tool_calls": [call.model_dump()]},
            {"role": "tool", "tool_call_id": call.id, "content": "rain"},
        ]
        told = client.chat.completions.create(model="m", messages=messages, tools=TOOLS)
        assert (told.choices[0].message.content or "").endswith("(the tool said: rain)")


def test_the_sdk_retries() -> None:
    at_once = (("retry-after-ms", "1"),)
    faults = [RefuseWith(429, headers=at_once), RefuseWith(503, headers=at_once), None]
    with serve("openai", faults=faults) as server:
        with openai.OpenAI(base_url=server.url, api_key="k", max_retries=2, timeout=5) as client:
            completion = client.chat.completions.create(
                model="m", messages=[{"role": "user", "content": "hi"}]
            )
        assert completion.choices[0].message.content == ANSWER
        assert len(server.requests) == 3


def test_the_sdk_is_refused() -> None:
    with (
        serve("openai", key="other") as server,
        sdk(server) as client,
        pytest.raises(openai.AuthenticationError, match="key is missing or wrong"),
    ):
        client.chat.completions.create(model="m", messages=[{"role": "user", "content": "hi"}])


def test_the_async_sdk() -> None:
    async def run(server: Server) -> tuple[str, str | None]:
        async with openai.AsyncOpenAI(base_url=server.url, api_key="k", timeout=5) as client:
            text = ""
            async with await client.chat.completions.create(
                model="m", messages=[{"role": "user", "content": "hi"}], stream=True
            ) as stream:
                async for chunk in stream:
                    text += "".join(choice.delta.content or "" for choice in chunk.choices)
            whole = await client.chat.completions.create(
                model="m", messages=[{"role": "user", "content": "hi"}]
            )
            return text, whole.choices[0].message.content

    with serve("openai") as server:
        assert asyncio.run(run(server)) == (ANSWER, ANSWER)


# In a running event loop


@pytest.mark.parametrize("backend", ["asyncio"])
def test_in_a_running_loop(backend: str) -> None:
    async def main() -> bytes:
        async with (
            serve("openai", fault=Unframed()) as server,
            await anyio.connect_tcp("127.0.0.1", urlsplit(server.url).port or 0) as stream,
        ):
            body = json.dumps(CHAT).encode()
            await stream.send(
                b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\n"
                b"content-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body) + body
            )
            return b"".join([data async for data in stream])

    body = anyio.run(main, backend=backend).partition(b"\r\n\r\n")[2]
    assert text_of(body) == ANSWER


@pytest.mark.parametrize("error", [ValueError("oops"), KeyboardInterrupt()])
def test_an_error_inside_comes_out_as_it_is(error: BaseException) -> None:
    async def main() -> None:
        async with serve("openai"):
            raise error

    with pytest.raises(type(error)) as raised:
        anyio.run(main)
    assert raised.value is error or isinstance(error, KeyboardInterrupt)
    with pytest.raises(type(error)) as raised, serve("openai"):
        raise error
    assert raised.value is error


def test_it_can_be_cancelled_around() -> None:
    server = serve("openai")

    async def main() -> None:
        with anyio.CancelScope() as scope:
            async with server:
                scope.cancel()
                await anyio.sleep_forever()

    anyio.run(main)
    with pytest.raises(ConnectionRefusedError):
        Raw(server)


# Faults, as bytes on the wire


def test_close() -> None:
    with serve("openai", fault=CloseAfter(5)) as server, raw(server) as client:
        client.post()
        client.head()
        assert client.rest() == b"5\r\ndata:\r\n"


def test_close_inside_a_body_with_a_length() -> None:
    with serve("openai", fault=CloseAfter(5)) as server, raw(server) as client:
        client.post({**CHAT, "stream": False})
        assert b"content-length: " in client.head().lower()
        assert client.rest() == b'{"id"'


@pytest.mark.parametrize("streamed", [True, False])
def test_an_early_end_is_an_end_like_any_other(streamed: bool) -> None:
    with serve("openai", faults=[EndAfter(5)]) as server, raw(server) as client:
        client.post({**CHAT, "stream": streamed})
        head = client.head()
        client.until(b"5\r\ndata:\r\n0\r\n\r\n" if streamed else b'{"id"')
        assert streamed or b"content-length: 5\r\n" in head.lower()
        client.post()
        assert client.head().startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("fault", [CloseAfter(0), CloseAfter(0, head=False)])
def test_close_before_the_body(fault: CloseAfter) -> None:
    with serve("openai", fault=fault) as server, raw(server) as client:
        client.post()
        got = client.rest()
    assert got.startswith(b"HTTP/1.1 200") is fault.head
    assert got.endswith(b"\r\n\r\n") is fault.head


@pytest.mark.parametrize("head", [True, False])
def test_reset(head: bool) -> None:
    with serve("openai", fault=ResetAfter(5 * head, head=head)) as server, raw(server) as client:
        client.post()
        if head:
            assert client.until(b"5\r\ndata:\r\n").startswith(b"HTTP/1.1 200")
        with pytest.raises(ConnectionResetError):
            client.rest()


@pytest.mark.parametrize(
    "fault",
    [StallAfter(5), StallAfter(0), StallAfter(0, head=False), Linger(), KeepAlives(interval=60)],
)
def test_stopping_does_not_wait_for_stalled_clients(fault: Faults) -> None:
    threads = threading.active_count()
    with serve("openai", fault=fault) as server:
        client = Raw(server)
        client.post()
        if fault != StallAfter(0, head=False):
            client.head()
    # A reset, where the server had not read all, or an end: either way it is gone.
    with closing(client), suppress(ConnectionResetError):
        assert b"[DONE]" not in client.rest() or fault == Linger()
    assert threading.active_count() == threads


def test_stopping_does_not_wait_for_clients_that_do_not_read() -> None:
    def endless(chat: Chat) -> Iterator[Event]:
        while True:
            yield Text("x" * 1_000_000)

    with serve("darkai", endless) as server:
        client = Raw(server)
        client.post(b'{"query": "q", "model": ""}', path="/chat")
        client.head()
    client.close()


@pytest.mark.parametrize("fault", [StallAfter(5), Linger()])
def test_a_stalled_client_that_leaves_is_let_go(fault: Faults) -> None:
    with serve("openai", faults=[fault]) as server:
        with raw(server) as client:
            client.post()
            client.head()
            client.socket.shutdown(socket.SHUT_WR)
            assert client.rest().startswith(b"5\r\ndata:" if fault == StallAfter(5) else b"")
        assert ask(server, "openai", model="m").text == ANSWER
    assert server.errors == []


def test_linger_sends_all_but_the_end_of_the_chunks() -> None:
    with serve("openai", fault=Linger()) as server, raw(server) as client:
        client.post()
        client.until(b"data: [DONE]\n\n\r\n")
        client.socket.shutdown(socket.SHUT_WR)
        assert client.rest() == b""


def test_keep_alives_until_the_client_leaves() -> None:
    with serve("openai", fault=KeepAlives(5, interval=0.001)) as server, raw(server) as client:
        client.post()
        client.head()
        assert client.chunk().endswith(b"}\n\n")  # the whole event that they follow
        for _ in range(3):
            assert client.until(b"\r\n") == b"d\r\n"
            assert client.exactly(15) == b": keepalive\n\n\r\n"
    assert server.errors == []


def test_an_idle_connection_is_closed() -> None:
    with serve("openai", faults=[CloseIdle()]) as server:
        with raw(server) as client:
            client.post()
            assert b"connection: close" not in client.head().lower()
            assert client.chunked().endswith(b"data: [DONE]\n\n")
            assert client.rest() == b""
        assert ask(server, "openai", model="m").text == ANSWER


def test_a_response_without_framing() -> None:
    with serve("openai", fault=Unframed()) as server, raw(server) as client:
        client.post()
        head = client.head()
        assert head.startswith(b"HTTP/1.0 200 ")
        assert b"content-length" not in head
        assert b"chunked" not in head
        assert client.rest().endswith(b"data: [DONE]\n\n")


def test_the_terminator_is_missing() -> None:
    for provider, mark in (("openai", b"[DONE]"), ("darkai", b"stream-end")):
        with serve(provider, fault=DropTerminator()) as server, raw(server) as client:
            body = CHAT if provider == "openai" else {"query": "q", "model": ""}
            client.post(body, path="" if provider == "openai" else "/chat")
            client.head()
            assert mark not in client.chunked()


def test_gzip_on_the_wire() -> None:
    with serve("openai", fault=Gzip()) as server, raw(server) as client:
        client.post()
        assert b"content-encoding: gzip" in client.head()
        assert text_of(gzip.decompress(client.chunked())) == ANSWER
        client.post({**CHAT, "stream": False})
        assert ANSWER in gzip.decompress(client.response()[1]).decode()


def test_gzip_can_be_read_event_by_event() -> None:
    with serve("openai", fault=(Gzip(), Linger())) as server, raw(server) as client:
        client.post()
        client.head()
        unpack = zlib.decompressobj(wbits=31)
        texts = [text_of(unpack.decompress(client.chunk())) for _ in range(2)]
    assert texts == ["", "openai "]  # the chunk that says id and model, then the first word


@pytest.mark.parametrize(
    ("fault", "status", "part"),
    [
        (RefuseWith(418, message="teapot"), b"418", b"teapot"),
        (HtmlPage(), b"200", b"<!doctype html>"),
        (HtmlPage(503), b"503", b"<!doctype html>"),
        (ErrorObject(), b"200", b'{"error":'),
    ],
)
def test_another_response(fault: Faults, status: bytes, part: bytes) -> None:
    with serve("openai", fault=fault) as server, raw(server) as client:
        for _ in range(2):
            client.post()
            head, body = client.response()
            assert head.startswith(b"HTTP/1.1 " + status)
            assert part in body


def test_a_status_without_a_body() -> None:
    with serve("openai", faults=[RefuseWith(304), Unframed()]) as server, raw(server) as client:
        client.post()
        client.head()
        client.send(b"HEAD /v1 HTTP/1.1\r\nhost: localhost\r\n\r\n")
        assert client.rest().startswith(b"HTTP/1.0 404 ")
        assert client.rest().endswith(b"\r\n\r\n")


def test_a_broken_event() -> None:
    with serve("openai", fault=BreakEvent(1, b"data: oops\n\n")) as server, raw(server) as client:
        client.post()
        client.head()
        assert client.chunked().split(b"\n\n")[1] == b"data: oops"


def test_faults_come_in_order_and_then_the_common_one() -> None:
    faults = [RefuseWith(429, retry_after="7"), None]
    with serve("openai", faults=faults, fault=ErrorObject()) as server, raw(server) as client:
        client.post()
        head, _ = client.response()
        assert head.startswith(b"HTTP/1.1 429")
        assert b"retry-after: 7\r\n" in head
        client.post()
        assert client.head().startswith(b"HTTP/1.1 200")
        assert text_of(client.chunked()) == ANSWER
        for _ in range(2):
            client.post()
            assert client.response()[1].startswith(b'{"error"')


def test_a_fault_that_http_does_not_allow_is_kept() -> None:
    with serve("openai", faults=[RefuseWith(100)]) as server:
        with raw(server) as client:
            client.post()
            assert client.rest() == b""
        assert ask(server, "openai", model="m").text == ANSWER
    assert len(server.errors) == 1


# Answer functions that fail


def raising(error: Exception, *events: Event) -> Callable[[Chat], Iterator[Event]]:
    def answer(chat: Chat) -> Iterator[Event]:
        yield from events
        raise error

    return answer


def test_an_answer_that_fails_at_once() -> None:
    error = ValueError("oops")
    with serve("openai", raising(error)) as server, raw(server) as client:
        for _ in range(2):
            client.post()
            head, body = client.response()
            assert head.startswith(b"HTTP/1.1 500")
            assert b"the embedded server raised ValueError" in body
            assert b"oops" not in body
        assert server.errors == [error, error]


def test_an_answer_that_fails_midway() -> None:
    error = ValueError("oops")
    with serve("openai", raising(error, Text("some"))) as server, raw(server) as client:
        client.post()
        assert client.head().startswith(b"HTTP/1.1 200")
        got = client.rest()
        assert b"the embedded server raised ValueError" in got
        assert not got.endswith(b"0\r\n\r\n")
        assert server.errors == [error]


@pytest.mark.parametrize("events", [(), (Text("some"),)])
def test_errors_are_told_as_they_happen(events: tuple[Event, ...]) -> None:
    error = ValueError("oops")
    told: list[Exception] = []
    answer = raising(error, *events)
    with serve("openai", answer, on_error=told.append) as server, raw(server) as client:
        client.post()
        client.until(b"raised ValueError")
        assert told == server.errors == [error]


def test_refusals_are_no_errors_to_tell() -> None:
    told: list[Exception] = []
    answer = raising(RateLimited("slow down"))
    with serve("openai", answer, on_error=told.append) as server, pytest.raises(RateLimited):
        ask(server, "openai", model="m")
    assert told == []


def test_being_told_of_errors_may_fail() -> None:
    error, failure = ValueError("oops"), OSError("stderr was closed")

    def fail(_: Exception) -> None:
        raise failure

    with serve("openai", raising(error), on_error=fail) as server, raw(server) as client:
        for _ in range(2):
            client.post()
            assert client.response()[0].startswith(b"HTTP/1.1 500")
        assert server.errors == [error, failure, error, failure]


def test_an_answer_that_refuses() -> None:
    with (
        serve("openai", raising(RateLimited("slow down"))) as server,
        pytest.raises(RateLimited, match="slow down"),
    ):
        ask(server, "openai", model="m")
    assert server.errors == []


def test_an_event_that_the_dialect_can_not_say() -> None:
    from tokenwire.protocols.events import Image

    with serve("openai", lambda chat: [Image(b"", "image/png")]) as server:
        with pytest.raises(Refused, match="raised LocalProtocolError") as raised:
            ask(server, "openai", model="m")
        assert raised.value.status == 500
    (error,) = server.errors
    assert "can't say Image" in str(error)


# Bad requests and bad clients


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"\x16\x03\x01\x02\x00 garbage\r\n\r\n", b"400"),
        (b"GET /\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nhost: localhost\r\nx: " + b"x" * 200_000, b"431"),
        (b"POST / HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n", b"400"),
        (b"POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 5, 6\r\n\r\n", b"400"),
        (b"POST / HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: gzip\r\n\r\n", b"501"),
        (b"GET http://[ HTTP/1.1\r\nhost: localhost\r\n\r\n", b"400"),
        (b"POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 60\r\n\r\n" + b"x" * 60, b"413"),
    ],
)
def test_what_is_no_request(sent: bytes, status: bytes) -> None:
    with serve("openai", request_limit=50) as server:
        with raw(server) as client:
            client.send(sent)
            head, body = client.response()
            assert head.startswith(b"HTTP/1.1 " + status)
            assert b"connection: close" in head.lower()
            assert b'"error"' in body
            assert client.rest() == b""
        with raw(server) as client:
            client.send(b"GET /v1 HTTP/1.1\r\nhost: localhost\r\n\r\n")
            assert client.response()[0].startswith(b"HTTP/1.1 404")
    assert server.errors == []


@pytest.mark.parametrize(
    ("line", "status"),
    [
        (b"GET http://LocalHost/v1/chat/completions HTTP/1.1", b"405"),
        (b"CONNECT example.com:443 HTTP/1.1", b"404"),
        (b"OPTIONS * HTTP/1.1", b"404"),
        (b"GET /x?u=http://[ HTTP/1.1", b"404"),
        (b"GET //x HTTP/1.1", b"404"),
    ],
)
def test_odd_targets(line: bytes, status: bytes) -> None:
    with serve("openai") as server, raw(server) as client:
        for _ in range(2):
            client.send(line + b"\r\nhost: localhost\r\n\r\n")
            assert client.response()[0].startswith(b"HTTP/1.1 " + status)


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"POST /v1/chat/completions HT",
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: 9\r\n\r\n{",
    ],
)
@pytest.mark.parametrize("reset", [False, True])
def test_clients_that_leave_early(sent: bytes, reset: bool) -> None:
    with serve("openai") as server:
        with raw(server) as client:
            client.send(sent)
            if reset:
                client.socket.setsockopt(
                    socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
                )
            else:
                client.socket.shutdown(socket.SHUT_WR)
                got = client.rest()
                assert got.startswith(b"HTTP/1.1 400") if sent else got == b""
        assert ask(server, "openai", model="m").text == ANSWER
    assert server.errors == []


def test_a_client_that_leaves_midway() -> None:
    left = threading.Event()

    def answer(chat: Chat) -> Iterator[Event]:
        try:
            while True:
                yield Text("more ")
        finally:
            left.set()

    with serve("darkai", answer) as server:
        with raw(server) as client:
            client.post(b'{"query": "q", "model": ""}', path="/chat")
            client.until(b"more")
        assert left.wait(5)
    assert server.errors == []


# TLS


@pytest.fixture
def server_context() -> ssl.SSLContext:
    return certificates.server_context()


@pytest.fixture
def client_context() -> ssl.SSLContext:
    return certificates.client_context()


def test_tls(server_context: ssl.SSLContext, client_context: ssl.SSLContext) -> None:
    with serve("openai", ssl_context=server_context) as server:
        assert server.url.startswith("https://127.0.0.1:")
        with raw(server, client_context) as client:
            for _ in range(2):
                client.post()
                client.head()
                assert text_of(client.chunked()) == ANSWER
            # Closed as TLS wants it: rest() would raise SSLEOFError otherwise.
            client.post(CHAT, "connection: close")
            assert client.rest().endswith(b"0\r\n\r\n")
        assert server.connections == 1
    assert server.errors == []


def test_tls_faults(server_context: ssl.SSLContext, client_context: ssl.SSLContext) -> None:
    faults: list[Faults] = [CloseAfter(5), ResetAfter(5), Unframed()]
    with serve("openai", ssl_context=server_context, faults=faults) as server:
        with raw(server, client_context) as client:
            client.post()
            client.until(b"5\r\ndata:\r\n")
            with pytest.raises(ssl.SSLEOFError):
                client.rest()
        with raw(server, client_context) as client:
            client.post()
            client.until(b"5\r\ndata:\r\n")
            # Below TLS: the ssl module does not always tell a reset from an end.
            with socket.socket(fileno=os.dup(client.socket.fileno())) as below:
                below.settimeout(5)
                with pytest.raises(ConnectionResetError):
                    below.recv(1)
        with raw(server, client_context) as client:
            client.post()
            assert client.rest().endswith(b"data: [DONE]\n\n")
    assert server.errors == []


def test_tls_is_stopped_with_a_stalled_client(
    server_context: ssl.SSLContext, client_context: ssl.SSLContext
) -> None:
    with serve("openai", ssl_context=server_context, fault=StallAfter(5)) as server:
        client = Raw(server, client_context)
        client.post()
        client.until(b"5\r\ndata:\r\n")
    client.close()


def test_clients_that_do_not_speak_tls(
    server_context: ssl.SSLContext, client_context: ssl.SSLContext
) -> None:
    with serve("openai", ssl_context=server_context) as server:
        with raw(server) as client:
            client.send(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n")
            with suppress(ConnectionResetError):
                client.rest()
        with pytest.raises(ssl.SSLCertVerificationError):
            Raw(server, ssl.create_default_context())
        with raw(server) as client:
            client.send(b"\x16")
        with raw(server, client_context) as client:
            client.post()
            assert client.head().startswith(b"HTTP/1.1 200")
    assert server.errors == []


# An answer function that asks another service


@pytest.mark.parametrize(
    ("error", "status", "recorded"),
    [
        (TimedOut("too late", "idle"), 504, 0),
        (Truncated("half an answer"), 502, 0),
        (Disconnected("it closed"), 502, 0),
        (KeyError("x"), 500, 1),
    ],
)
def test_what_became_of_an_upstream_is_told(error: Exception, status: int, recorded: int) -> None:
    """A failure of the upstream is its own, not one of the server."""

    def answer(chat: Chat) -> list[Event]:
        raise error

    with serve("openai", answer) as server:
        exchange = PROVIDERS["openai"].exchange(as_chat("hi", model="m"), base_url=server.url)
        with (
            sync.Client(retry=NO_RETRY) as client,
            client.open(exchange) as reading,
            pytest.raises(Refused) as caught,
        ):
            reading.read()
        assert len(server.errors) == recorded
    assert caught.value.status == status
    assert caught.value.should_retry is (False if recorded else None)


def test_an_answer_function_whose_task_was_cancelled() -> None:
    """On asyncio that looks as if the server were cancelled, which it is not."""

    async def answer(chat: Chat) -> str:
        task = asyncio.create_task(asyncio.sleep(60))
        task.cancel()
        await task
        return "never"

    with serve("openai", answer) as server:
        for _ in range(2):
            with pytest.raises(Refused, match="raised LocalProtocolError") as caught:
                ask(server, "openai", model="m")
            assert caught.value.status == 500
        assert "was cancelled" in str(server.errors[0])


def test_a_server_that_stops_cancels_its_answers() -> None:
    async def main() -> None:
        started, ended = asyncio.Event(), asyncio.Event()

        async def answer(chat: Chat) -> str:
            started.set()
            try:
                await asyncio.sleep(60)
            finally:
                ended.set()
            return "never"

        async with serve("openai", answer) as server, httpx.AsyncClient() as client:
            url = server.url + "/chat/completions"
            asked = asyncio.create_task(client.post(url, json=CHAT))
            await started.wait()
        assert ended.is_set()
        with pytest.raises(httpx.TransportError):
            await asked
        assert server.errors == []

    asyncio.run(main())


# What clients ask beside the chat


LISTS = {"openai": "/models", "anthropic": "/v1/models"}


@pytest.mark.parametrize("provider", LISTS)
def test_the_models(provider: str) -> None:
    with serve(provider) as server:
        url = server.url + LISTS[provider]
        listed = httpx.get(url).raise_for_status().json()["data"]
        names = [model["id"] for model in listed]
        assert names == list(PROVIDERS[provider].models or ("any",))
        assert httpx.get(f"{url}/{names[0]}").raise_for_status().json() == listed[0]
        assert [model.id for model in tokenwire.models(provider, base_url=server.url)] == names
        for path in ("/models", "/v1/models", "/v1/models/"):
            assert httpx.get(server.origin + path).json()["data"] == listed


def test_the_models_by_the_sdk() -> None:
    provider = PROVIDERS["openai"].replace(models=("a", "b"), any_model=False)
    with serve(provider) as server, sdk(server) as client:
        assert [model.id for model in client.models.list()] == ["a", "b"]
        assert client.models.retrieve("b").id == "b"
        with pytest.raises(openai.NotFoundError, match="no model 'c'"):
            client.models.retrieve("c")


@pytest.mark.parametrize("provider", EACH_FORMAT)
@pytest.mark.parametrize("path", ["/", "/health"])
def test_whether_it_is_up(provider: str, path: str) -> None:
    up = b"Ollama is running" if provider == "ollama" else b'{"status":"ok"}'
    with serve(provider, key="k") as server:
        assert httpx.get(server.origin + path).content == up
        head = httpx.head(server.origin + path)
        length = head.headers["content-length"]
        assert (head.status_code, length, head.content) == (200, str(len(up)), b"")
        refused = httpx.post(server.origin + path)
        assert (refused.status_code, refused.headers["allow"]) == (405, "GET, HEAD")
    assert server.errors == []


@pytest.mark.parametrize(
    ("provider", "path", "shape"),
    [
        ("openai", "/v1/chat/completions", {"error"}),
        ("openai", "/chat/completions", {"error"}),
        ("anthropic", "/v1/messages", {"type", "error", "request_id"}),
        ("anthropic", "/messages", {"type", "error", "request_id"}),
    ],
)
def test_errors_have_the_shape_of_the_format(provider: str, path: str, shape: set[str]) -> None:
    with serve(provider, key="k") as server:
        url = server.origin + path
        wrong = httpx.delete(url)
        assert (wrong.status_code, wrong.headers["allow"]) == (405, "POST")
        missing = httpx.get(f"{url}x")
        assert missing.status_code == 404
        keyless = httpx.post(url, json=CHAT)
        assert (keyless.status_code, keyless.headers["www-authenticate"]) == (401, "Bearer")
        for response in (wrong, missing, keyless):
            assert response.json().keys() == shape


@pytest.mark.parametrize("provider", EACH_FORMAT)
def test_proxies_are_not_to_hold_a_stream_back(provider: str) -> None:
    with serve(provider) as server:
        exchange = make_exchange(provider, "hi", base_url=server.url, model=_model(provider))
        seen: list[httpx.Headers] = []
        with httpx.Client() as client:
            while (asked := exchange.next_request()) is not None:
                response = client.request(
                    asked.method, asked.url, headers=asked.headers, content=asked.body
                )
                exchange.receive_response(response.status_code, response.headers.raw)
                exchange.receive_data(response.content)
                exchange.receive_eof()
                seen.append(response.headers)
    assert seen[-1]["x-accel-buffering"] == "no"
    assert seen[-1]["cache-control"] == "no-cache"


def _model(provider: str) -> str:
    return PROVIDERS[provider].default_model or "m"


def test_the_time_is_told() -> None:
    noon = 1_700_000_000.5
    with serve("openai", now=lambda: noon) as server:
        url = f"{server.url}/chat/completions"
        answers = [httpx.post(url, json={**CHAT, "stream": False}) for _ in range(2)]
        assert [answer.json()["created"] for answer in answers] == [1_700_000_000] * 2
        assert len({answer.json()["id"] for answer in answers}) == 2
        dates = [*answers, httpx.get(f"{url}x"), httpx.post(url, content=b"{}")]
        for response in dates:
            assert response.headers["date"] == "Tue, 14 Nov 2023 22:13:20 GMT"
    own = RefuseWith(429, headers=(("date", "yesterday"),))
    with serve("openai", now=lambda: noon, faults=[own, Unframed()]) as server:
        url = f"{server.url}/chat/completions"
        assert httpx.post(url, json=CHAT).headers.get_list("date") == ["yesterday"]
        assert httpx.post(url, json=CHAT).headers["date"] == "Tue, 14 Nov 2023 22:13:20 GMT"


def test_the_time_is_the_real_one() -> None:
    before = int(time.time())
    with serve("openai") as server, sdk(server) as client:
        completion = client.chat.completions.create(
            model="m", messages=[{"role": "user", "content": "hi"}]
        )
    assert before <= completion.created <= time.time()


def test_azure() -> None:
    with (
        serve("openai", key="k") as server,
        openai.AzureOpenAI(
            azure_endpoint=server.origin, api_version="2024-10-21", api_key="k", max_retries=0
        ) as client,
    ):
        completion = client.chat.completions.create(
            model="gpt-4o", messages=[{"role": "user", "content": "hi"}]
        )
        path = "/openai/deployments/gpt-4o/chat/completions?api-version=2024-10-21"
        assert server.requests[0].target == path
    assert completion.choices[0].message.content == "openai gpt-4o was asked: hi"


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_a_request_may_be_compressed(coding: str) -> None:
    pack = gzip.compress if coding == "gzip" else zlib.compress
    body = pack(json.dumps(CHAT).encode())
    headers = {"content-type": "application/json", "content-encoding": coding}
    with serve("openai", request_limit=200) as server:
        url = f"{server.url}/chat/completions"
        assert text_of(httpx.post(url, content=body, headers=headers).content) == ANSWER
        large = httpx.post(url, content=pack(b" " * 201), headers=headers)
        assert large.status_code == 413
        brotli = httpx.post(url, content=body, headers={**headers, "content-encoding": "br"})
        assert (brotli.status_code, brotli.headers["accept-encoding"]) == (415, "gzip, deflate")


# Where it is


def test_a_page_that_calls_itself_otherwise_is_refused() -> None:
    """DNS rebinding."""
    with serve("openai") as server:
        url = f"{server.url}/models"
        refused = httpx.get(url, headers={"host": "evil.example"})
        assert refused.status_code == 421
        assert "not to 'evil.example'" in refused.json()["error"]["message"]
        port = urlsplit(server.url).port
        for host in ("localhost", f"localhost:{port}", "127.0.0.1:1", "[::1]"):
            assert httpx.get(url, headers={"host": host}).status_code == 200
    assert len(server.requests) == 4


def test_a_public_url() -> None:
    with serve("aichats", public_url="https://llm.example/chat/") as server:
        assert server.url == "https://llm.example/chat"
        body = {"type": "image", "messagesHistory": [{"from": "you", "content": "a cat"}]}
        for host in ("llm.example", "localhost"):
            answer = httpx.post(
                f"{server.origin}/chat/chat/send2/", json=body, headers={"host": host}
            ).json()
            assert answer["data"][0]["url"].startswith("https://llm.example/chat/pictures/")
        with pytest.raises(LocalProtocolError, match="public_url"):
            serve("aichats", public_url="llm.example")


def test_on_all_addresses_it_gives_out_ones_that_can_be_reached() -> None:
    with serve("aichats", host="0.0.0.0") as server:
        port = urlsplit(server.url).port
        assert server.url == server.origin == f"http://127.0.0.1:{port}"
        (image,) = ask(server, "aichats", "a cat", model="dalle").images
        assert image.url == f"{server.url}/pictures/1"
        body = {"type": "image", "messagesHistory": [{"from": "you", "content": "a cat"}]}
        there = {"host": "box.example:9000"}
        answer = httpx.post(f"{server.url}/chat/send2/", json=body, headers=there).json()
        assert answer["data"][0]["url"] == "http://box.example:9000/pictures/2"


def test_a_length_beside_chunks_closes_the_connection() -> None:
    """What comes after it could be part of the body to a proxy: request smuggling."""
    body = json.dumps(CHAT).encode()
    with serve("openai") as server, raw(server) as client:
        client.send(
            b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\n"
            b"content-type: application/json\r\ncontent-length: 4\r\n"
            b"transfer-encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
        )
        client.post()
        assert b"connection: close" in client.head()
        assert text_of(client.chunked()) == ANSWER
        assert client.rest() == b""
        assert len(server.requests) == 1


def test_a_body_that_is_too_large_is_refused_before_it_is_sent() -> None:
    with serve("openai", request_limit=50) as server, raw(server) as client:
        client.send(
            b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: 51\r\n\r\n"
        )
        head, body = client.response()
        assert head.startswith(b"HTTP/1.1 413")
        assert b"too large" in body


# Web pages


APP = "https://app.example"


def test_no_page_may_use_it_unless_told() -> None:
    asks = {"origin": APP, "access-control-request-method": "POST"}
    with serve("openai") as server:
        url = f"{server.url}/chat/completions"
        refused = httpx.options(url, headers=asks)
        assert (refused.status_code, refused.headers["allow"]) == (405, "POST")
        for response in (refused, httpx.get(f"{server.url}/models", headers=asks)):
            assert not any(name.startswith("access-control") for name in response.headers)


def test_a_page_of_the_chosen_origin() -> None:
    wanted = "authorization,content-type,x-api-key,anthropic-version,x-stainless-lang"
    asks = {
        "origin": APP,
        "access-control-request-method": "POST",
        "access-control-request-headers": wanted,
    }
    faulty = serve("openai", key="k", cors=APP, fault=RefuseWith(429), request_limit=200)
    with faulty as server:
        url = f"{server.url}/chat/completions"
        with httpx.Client() as client:
            for _ in range(2):
                allowed = client.options(url, headers=asks)
                assert (allowed.status_code, allowed.content) == (204, b"")
                assert "content-length" not in allowed.headers
                assert allowed.headers["access-control-allow-origin"] == APP
                assert allowed.headers["access-control-allow-headers"] == wanted
                assert "date" in allowed.headers
        assert server.requests == []  # the browser's own question uses up no fault
        page, other = {"origin": APP}, {"origin": "https://other.example"}
        for response in (
            httpx.post(url, json=CHAT, headers=page),
            httpx.post(url, content=b" " * 201, headers=page),
        ):
            assert response.status_code in (413, 429)
            assert response.headers["access-control-allow-origin"] == APP
        refused = httpx.options(url, headers={**asks, **other})
        assert refused.status_code == 429  # by the fault: it is a request like any other
        for response in (refused, httpx.post(url, json=CHAT, headers=other)):
            assert response.headers["vary"] == "origin"
            assert "access-control-allow-origin" not in response.headers
    with pytest.raises(LocalProtocolError, match="cors"):
        serve("openai", cors="*")


# Answer functions of every kind


async def say_later(chat: Chat) -> AsyncIterator[Event | str]:
    for word in ("It ", "comes ", "later."):
        await anyio.sleep(0)
        yield word


async def say_at_last(chat: Chat) -> str:
    await anyio.sleep(0)
    return "It comes later."


def say_pieces(chat: Chat) -> Iterator[str]:
    yield from ("It ", "comes ", "later.")


def say(chat: Chat) -> str:
    return "It comes later."


@pytest.mark.parametrize("streamed", [True, False])
@pytest.mark.parametrize("answer", [say_later, say_at_last, say_pieces, say])
def test_text_is_an_answer(answer: AnswerFunction, streamed: bool) -> None:
    with serve("openai", answer) as server:
        reply = ask(server, "openai", model="m", stream=streamed)
    assert (reply.text, reply.finish_reason) == ("It comes later.", "stop")
    assert reply.evidence == "terminator"
    assert server.errors == []


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_an_async_answer_blocks_nobody(backend: str) -> None:
    """One waits for the other, in the server's own loop."""

    async def main() -> list[str]:
        asked, arrived = anyio.Event(), anyio.Event()

        async def answer(chat: Chat) -> AsyncIterator[Event | str]:
            asked.set()
            if chat.messages[-1].text == "first":
                await arrived.wait()
            yield chat.messages[-1].text
            arrived.set()

        said: list[str] = []
        async with serve("openai", answer) as server, anyio.create_task_group() as tasks:

            async def put(question: str) -> None:
                reply = await tokenwire.ask_async(
                    "openai", question, model="m", base_url=server.url
                )
                said.append(reply.text)

            tasks.start_soon(put, "first")
            with anyio.fail_after(5):
                await asked.wait()
            tasks.start_soon(put, "second")
        return said

    assert sorted(anyio.run(main, backend=backend)) == ["first", "second"]


def test_an_async_answer_may_take_longer_than_the_patience_with_a_client() -> None:
    async def main() -> None:
        async def answer(chat: Chat) -> str:
            await anyio.sleep(1000)
            return "at last"

        async with serve("openai", answer, patience=7) as server:
            stream = await anyio.connect_tcp("127.0.0.1", urlsplit(server.url).port or 0)
            async with stream:
                body = json.dumps(CHAT).encode()
                await stream.send(
                    b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\n"
                    b"content-type: application/json\r\nconnection: close\r\n"
                    b"content-length: %d\r\n\r\n" % len(body) + body
                )
                got = b""
                with suppress(anyio.EndOfStream):
                    while True:
                        got += await stream.receive()
            assert b"at last" in got

    clock = trio.testing.MockClock(autojump_threshold=0.05)
    anyio.run(main, backend="trio", backend_options={"clock": clock})


def test_an_async_answer_cleans_up_when_its_client_leaves() -> None:
    left = threading.Event()

    async def answer(chat: Chat) -> AsyncIterator[Event | str]:
        try:
            while True:
                await anyio.sleep(0)
                yield "more "
        finally:
            left.set()

    with serve("darkai", answer) as server:
        with raw(server) as client:
            client.post(b'{"query": "q", "model": ""}', path="/chat")
            client.until(b"more")
        assert left.wait(5)
    assert server.errors == []


def test_an_async_answer_is_stopped_with_the_server() -> None:
    asked, stopped = threading.Event(), threading.Event()

    async def answer(chat: Chat) -> str:
        asked.set()
        try:
            await anyio.sleep_forever()
            return "never"
        finally:
            stopped.set()

    with serve("openai", answer) as server, raw(server) as client:
        client.post()
        assert asked.wait(5)
    assert stopped.wait(5)


@pytest.mark.parametrize("midway", [True, False])
def test_an_async_answer_that_refuses(midway: bool) -> None:
    async def answer(chat: Chat) -> AsyncIterator[Event | str]:
        if midway:
            yield "some"
        error = RateLimited("slow down", code="too_fast")
        error.status, error.retry_after = 429, "7"
        raise error

    with serve("openai", answer) as server, pytest.raises(RateLimited) as caught:
        ask(server, "openai", model="m")
    assert caught.value.message == "the service refused: slow down"
    assert caught.value.code == "too_fast"
    assert midway or caught.value.retry_after == "7"
    assert server.errors == []


def test_an_answer_function_may_see_the_request() -> None:
    def answer(chat: Chat, request: Request) -> str:
        return get_header(request.headers, b"x-tenant") or "nobody"

    with serve("openai", answer) as server:
        exchange = PROVIDERS["openai"].exchange(
            as_chat("hi", model="m"), base_url=server.url, headers={"x-tenant": "blue"}
        )
        assert Reply.of(drive(server, exchange)).text == "blue"


def test_what_is_no_answer_is_an_error_of_the_server() -> None:
    def nothing(chat: Chat) -> Any:
        return None

    with (
        serve("openai", nothing) as server,
        pytest.raises(Refused, match="raised LocalProtocolError"),
    ):
        ask(server, "openai", model="m")
    (error,) = server.errors
    assert "gave NoneType: give text, or events" in str(error)
