"""What SECURITY.md promises, tried by an attacker: control characters, credentials that go
astray, addresses that a server chooses, and secrets that are shown.

See test_http, test_errors, test_addresses and test_wire for each part by itself.
"""

import asyncio
import base64
import io
import logging
import socket
import threading
import traceback
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from urllib.parse import quote

import h11
import httpx
import httpx2
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from rich.pretty import Pretty

from tests.certificates import client_context, server_context
from tests.driving import Outcome
from tests.every_transport import TRANSPORTS, Run
from tests.transports.test_transports import QUESTION, ask, port_of
from tokenwire import (
    NO_RETRY,
    PROVIDERS,
    AuthenticationFailed,
    Chat,
    ConnectFailed,
    Exchange,
    ImagePart,
    Limits,
    LocalProtocolError,
    Malformed,
    Message,
    Observer,
    Provider,
    Redirected,
    RemoteProtocolError,
    Retry,
    TokenwireError,
    Tool,
    UnexpectedContent,
    make_exchange,
)
from tokenwire.cli.models import ModelsOptions
from tokenwire.compat import Chunks
from tokenwire.protocols.auth import AwsKey
from tokenwire.protocols.formats.openai_chat import OpenAIChat
from tokenwire.protocols.question import Question
from tokenwire.protocols.toolkit.http import Origin, Request, check_url
from tokenwire.server import serve
from tokenwire.server.faults import RefuseWith
from tokenwire.transports import asyncio as asyncio_transport
from tokenwire.transports import httpx as httpx_transport
from tokenwire.transports.client.connection import Route
from tokenwire.transports.client.http1 import HTTP1
from tokenwire.transports.client.proxy import Proxy
from tokenwire.transports.client.settings import ClientSettings
from tokenwire.transports.sync import Client

CONTROLS = [*map(chr, range(0x20)), "\x7f"]
SECRET = "Xy7-topsecret_Key.12345"


@pytest.fixture(params=sorted(TRANSPORTS))
def run(request: pytest.FixtureRequest) -> Run:
    return TRANSPORTS[request.param]


NATIVE = sorted(name for name in TRANSPORTS if "httpx" not in name)


# Control characters

PLACES: dict[str, Callable[[str], object]] = {
    "model": lambda text: make_exchange("openai", "hi", model=f"m{text}x"),
    "key": lambda text: make_exchange(
        "openai", "hi", model="m", key=f"k{text}x"
    ).next_request(),  # which puts it in
    "header": lambda text: make_exchange("ylokh", "hi", headers={"x-y": f"v{text}x"}),
    "the end of a header": lambda text: make_exchange("ylokh", "hi", headers={"x-y": f"v{text}"}),
    "header name": lambda text: make_exchange("ylokh", "hi", headers={f"x{text}y": "v"}),
    "host": lambda text: make_exchange("ylokh", "hi", base_url=f"http://a{text}b.example/v1"),
    "path": lambda text: make_exchange("ylokh", "hi", base_url=f"http://a.example/v{text}1"),
    "query": lambda text: make_exchange("ylokh", "hi", base_url=f"http://a.example/v?k=a{text}b"),
    "the end of a URL": lambda text: make_exchange(
        "ylokh", "hi", base_url=f"http://a.example{text}"
    ),
    "the begin of a URL": lambda text: make_exchange("ylokh", "hi", base_url=f"{text}http://a.b"),
    "the URL of a picture": lambda text: check_url(f"http://a.example/{text}"),
    "proxy": lambda text: Client(proxy=f"http://proxy{text}.example"),
    "user of a proxy": lambda text: Client(proxy=f"http://m{text}e:p@proxy.example"),
    "password of a proxy": lambda text: Client(proxy=f"http://me:p{text}w@proxy.example"),
    "coded user of a proxy": lambda text: Client(proxy=f"http://m{quote(text)}e:p@proxy.example"),
    "coded password of a proxy": lambda text: Client(
        proxy=f"http://me:p{quote(text)}@proxy.example"
    ),
    "header of a provider": lambda text: own(headers={"x-y": f"v{text}x"}),
    "header name of a provider": lambda text: own(headers={f"x{text}": "v"}),
    "base URL of a provider": lambda text: own(base_url=f"http://a.example/{text}"),
    "model of a provider": lambda text: own(default_model=f"m{text}"),
    "site of aichats": lambda text: PROVIDERS["aichats"].exchange(
        Chat(messages=(Message("user", "hi"),)), headers={"referer": f"http://a{text}"}
    ),
}


def own(**fields: Any) -> Exchange:
    """An exchange of a provider of one's own."""
    given: dict[str, Any] = {"base_url": "http://a.example", "default_model": "m"} | fields
    provider = Provider(name="own", dialect=OpenAIChat(), any_model=True, **given)
    return provider.exchange(Chat(messages=(Message("user", "hi"),)))


@pytest.mark.parametrize("place", PLACES)
def test_no_control_character_goes_into_a_request(place: str) -> None:
    for text in (*CONTROLS, "\r\n", "\r\nx-evil: 1", "\n\n"):
        if place in ("the end of a URL", "the begin of a URL") and not text.strip("\t\r\n"):
            made = PLACES[place](text)  # these are taken off, as they are of a key
            assert isinstance(made, Exchange)
            assert not set(made.request.url) & set(CONTROLS)
            continue
        with pytest.raises(LocalProtocolError) as caught:
            PLACES[place](text)
        assert text not in str(caught.value), "it goes into a log"


@pytest.mark.parametrize("place", ["header", "header name", "key", "host", "path", "query"])
@pytest.mark.parametrize("text", ["\u20ac", "\ud800", "\U0001f600", "\u2028"])
def test_nothing_beyond_latin_1_goes_into_a_head(place: str, text: str) -> None:
    with pytest.raises(LocalProtocolError):
        PLACES[place](text)


def test_in_a_body_they_are_escaped() -> None:
    text = "".join(CONTROLS) + "\r\nx-evil: 1\r\n\r\n\u2028\u0085"
    chat = Chat(
        messages=(
            Message("system", text),
            Message("user", (ImagePart.of_bytes(b"\0\r\n", f"image/{text}"),)),
            Message("tool", text, tool_call_id=text, name=text),
        ),
        tools=(Tool(text, text, {text: text}),),
        tool_choice=text,
        stop=(text,),
        extra={text: text},
    )
    body = make_exchange("openai", chat, model="m").next_request()
    assert body is not None
    assert not any(c.encode() in body.body for c in CONTROLS if c != "\x7f")  # JSON leaves DEL
    assert msgspec.json.decode(body.body)["stop"] == [text]


@given(st.text(), st.text(), st.text())
def test_whatever_is_given_a_head_is_one_head(key: str, name: str, value: str) -> None:
    """As a server reads it: there is one request, and its headers are those that were given."""
    try:
        exchange = make_exchange("openai", "hi", model="m", key=key, headers={name: value})
    except LocalProtocolError:
        return
    request = exchange.next_request()
    assert request is not None
    data = HTTP1(Limits().head).start(request)
    server = h11.Connection(h11.SERVER)
    server.receive_data(data)
    head = server.next_event()
    assert isinstance(head, h11.Request)
    assert {name for name, _ in head.headers} == {
        *(name for name, _ in request.headers),
        b"host",
        b"content-length",
    }


# Where credentials go


class Recorder:
    """A server that takes down what it is told, and answers each connection with `response`."""

    def __init__(self, *responses: bytes) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(0.2)
        self.port: int = self._listener.getsockname()[1]
        self.heard: list[bytes] = []
        self._responses = list(responses)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._work)

    def __enter__(self) -> "Recorder":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _work(self) -> None:
        with self._listener:
            while not self._over.is_set():
                try:
                    stream = self._listener.accept()[0]
                except TimeoutError:
                    continue
                with stream:
                    stream.settimeout(10)
                    self.heard.append(stream.recv(65536))
                    if self._responses:
                        stream.sendall(self._responses.pop(0))
                    stream.shutdown(socket.SHUT_WR)
                    with suppress(ConnectionError):
                        while stream.recv(65536):  # closed with bytes unread, it would be reset
                            pass


def http(body: bytes, *headers: str, status: str = "200 OK") -> bytes:
    lines = (f"HTTP/1.1 {status}", f"content-length: {len(body)}", "connection: close", *headers)
    return "\r\n".join((*lines, "", "")).encode() + body


PNG = http(b"\x89PNG", "content-type: image/png")
CREDENTIALS = {
    "authorization": f"Bearer {SECRET}",
    "cookie": f"session={SECRET}",
    "x-api-key": SECRET,
    "proxy-authorization": SECRET,
}


def test_a_picture_elsewhere_is_fetched_without_credentials(run: Run) -> None:
    with Recorder(PNG) as other:
        found = b'{"data":[{"url":"http://127.0.0.1:%d/p.png"}]}' % other.port
        with Recorder(http(found, "content-type: application/json")) as service:
            exchange = make_exchange(
                "aichats",
                QUESTION,
                model="dalle",
                base_url=f"http://127.0.0.1:{service.port}",
                headers=CREDENTIALS,
            )
            (outcome,) = run(exchange, retry=NO_RETRY)
    assert outcome.error is None
    assert SECRET.encode() in service.heard[0]
    assert SECRET.encode() not in other.heard[0]
    names = {line.partition(b":")[0].lower() for line in other.heard[0].splitlines()[1:-1]}
    allowed = {b"host", b"user-agent", b"accept", b"accept-encoding", b"connection"}
    assert names <= allowed, names


STEPS = {
    "ylokh": ("", 0),
    "darkai": ("", 0),
    "aichats": ("", 0),
    "a picture": ("dalle", 1),
    "aichatonline": ("", 0),
    "the chat of aichatonline": ("", 1),
}


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("status", [301, 303, 307])
def test_a_redirect_is_followed_on_no_step(run: Run, step: str, status: int) -> None:
    model, answered = STEPS[step]
    provider = {"a picture": "aichats", "the chat of aichatonline": "aichatonline"}.get(step, step)
    with Recorder(PNG) as other:
        where = (("location", f"http://127.0.0.1:{other.port}/"),)
        faults = [*[None] * answered, RefuseWith(status, headers=where)]
        with serve(provider, faults=faults) as server:
            exchange = ask(server, provider, model=model, headers=CREDENTIALS)
            (outcome,) = run(exchange, retry=NO_RETRY)
    assert isinstance(outcome.error, Redirected)
    assert len(server.requests) == answered + 1
    assert other.heard == []


PROXY_SECRET = "pass_Word-of.the~proxy"


def test_for_https_a_proxy_hears_nothing_of_the_request(run: Run) -> None:
    """And the server behind it nothing of the proxy's password."""
    authorization = base64.b64encode(f"me:{PROXY_SECRET}".encode()).decode()
    certificate = server_context("far.example")
    with serve("openai", ssl_context=certificate, public_url="https://far.example") as server:
        port = port_of(server)
        with Between(port) as proxy:
            exchange = make_exchange(
                "openai",
                QUESTION,
                model="m",
                key=SECRET,
                base_url=f"https://far.example:{port}/v1",
                headers={"cookie": f"a={SECRET}"},
            )
            url = f"http://me:{PROXY_SECRET}@127.0.0.1:{proxy.port}"
            (outcome,) = run(exchange, proxy=url, ssl_context=client_context())
    assert outcome.error is None
    assert f"basic {authorization}".lower().encode() in proxy.heard.lower()
    assert proxy.heard.startswith(f"CONNECT far.example:{port} HTTP/1.1\r\n".encode())
    for secret in (SECRET, QUESTION, "chat/completions", PROXY_SECRET):
        assert secret.encode() not in proxy.heard
    (request,) = server.requests
    assert b"proxy-authorization" not in dict(request.headers)
    assert authorization not in str([*request.headers])


class Between:
    """A proxy that leads everywhere to one port, and takes down all that its clients say."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.heard = b""
        self._thread = threading.Thread(target=self._work)

    def __enter__(self) -> "Between":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.join(10)

    def _work(self) -> None:
        with self._listener, self._listener.accept()[0] as client:
            client.settimeout(10)
            self.heard += client.recv(65536)
            client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            with socket.create_connection(("127.0.0.1", self._to)) as server:
                back = threading.Thread(target=self._pump, args=(server, client))
                back.start()
                with suppress(ConnectionError):
                    while data := client.recv(65536):
                        self.heard += data
                        server.sendall(data)
                server.shutdown(socket.SHUT_WR)
                back.join(10)

    @staticmethod
    def _pump(source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)


# Where a server may send us

PUBLIC, DEAD = "93.184.216.34", "93.184.216.35"


class Net:
    """A resolver whose `answers` change from one call to the next, and a network in which PUBLIC
    is this machine and nobody is at DEAD. `connected` is where connections were made to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.answers: dict[str, list[list[str]]] = {"public.example": [[PUBLIC]]}
        self.asked: list[str] = []
        self.connected: list[str] = []
        resolve = socket.getaddrinfo
        net = self

        def answer(
            host: Any, port: Any, family: int = 0, type: int = 0, proto: int = 0, flags: int = 0
        ) -> Any:
            name = host.decode() if isinstance(host, bytes) else host
            if name not in self.answers or flags & socket.AI_NUMERICHOST:
                return resolve(host, port, family, type, proto, flags)
            self.asked.append(name)
            answers = self.answers[name]
            addresses = answers.pop(0) if len(answers) > 1 else answers[0]
            tcp = (socket.AF_INET, socket.SOCK_STREAM, 6, "")
            return [(*tcp, (address, port)) for address in addresses]

        class Socket(socket.socket):
            def connect(self, address: Any) -> None:
                net.connected.append(address[0])
                if address[0] == DEAD:
                    raise ConnectionRefusedError
                super().connect(("127.0.0.1" if address[0] == PUBLIC else address[0], address[1]))

        monkeypatch.setattr(socket, "getaddrinfo", answer)
        monkeypatch.setattr(socket, "socket", Socket)


@pytest.fixture
def net(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Net:
    if request.node.callspec.params["run"] == "uvloop":
        pytest.skip("uvloop resolves and connects by itself")
    return Net(monkeypatch)


def sent_to(run: Run, *urls: str) -> list[Outcome]:
    """What comes of asking a service with a public address that sends us to `urls`."""
    found = [
        http(msgspec.json.encode({"data": [{"url": url}]}), "content-type: application/json")
        for url in urls
    ]
    with Recorder(*found) as service:
        base_url = f"http://public.example:{service.port}"
        exchanges = [
            make_exchange("aichats", QUESTION, model="dalle", base_url=base_url) for _ in urls
        ]
        outcomes = run(*exchanges, retry=NO_RETRY)
    assert len(service.heard) == len(urls)
    return outcomes


HIDDEN = """
127.0.0.1 127.1 2130706433 0x7f000001 0x7f.1 0177.0.0.1 017700000001 127.0.0.1. 127.8.8.8
[::1] [::ffff:127.0.0.1] [::ffff:7f00:1] [0:0:0:0:0:ffff:127.0.0.1] [::127.0.0.1] [::]
[64:ff9b::7f00:1] [64:ff9b:1::7f00:1] [2002:7f00:1::] [fe80::1%25lo] [2001:0:1::80ff:fffe]
0.0.0.0 0 0x0 00 localhost LOCALHOST. a.localhost 255.255.255.255 224.0.0.1
169.254.169.254 [::ffff:169.254.169.254] 2852039166 0xa9fea9fe [fd00:ec2::254]
10.0.0.1 192.168.0.1 172.16.0.1 100.64.0.1 [fd00::1] [fe80::1]
"""


def test_an_address_in_our_network_is_refused_in_every_form(run: Run, net: Net) -> None:
    with Recorder(PNG) as inside:
        outcomes = sent_to(run, *(f"http://{host}:{inside.port}/p" for host in HIDDEN.split()))
    errors = {host: outcome.error for host, outcome in zip(HIDDEN.split(), outcomes, strict=True)}
    assert {type(error) for error in errors.values()} == {UnexpectedContent}, errors
    assert set(net.connected) == {PUBLIC}
    assert inside.heard == []


TRICKS = """
http://8.8.8.8@127.0.0.1:P/ http://8.8.8.8:80@127.0.0.1:P/ http://a.example\\@127.0.0.1:P/
http://a%40127.0.0.1:P/ http://127.0.0.1%2f.a.example:P/ http://127.0.0.1%00.a.example:P/
http://127.0.0.1\\.a.example:P/ http:/127.0.0.1:P/ http:127.0.0.1:P //127.0.0.1:P/ /p.png
ftp://127.0.0.1:P/ file:///etc/passwd gopher://127.0.0.1:P/ data:image/png;base64,eA==
javascript:alert(1) unix:/tmp/x ws://127.0.0.1:P/ http+unix://x/ http://[::1
http://\u2460\u2461\u2466.0.0.1:P/ http://\uff11\uff12\uff17.0.0.1:P/ http://127\u30020\u30020\u30021:P/
http://8.8.8.8:P@127.0.0.1/ http://8.8.8.8:80:P/ http://8.8.8.8<127.0.0.1:P/ http:///127.0.0.1:P/
http://:P/ http:// http://@/ https://127.0.0.1:0/
"""


def test_what_is_no_plain_address_is_malformed(run: Run, net: Net) -> None:
    with Recorder(PNG) as inside:
        urls = [url.replace(":P", f":{inside.port}") for url in TRICKS.split()]
        outcomes = sent_to(run, *urls)
    errors = {url: outcome.error for url, outcome in zip(urls, outcomes, strict=True)}
    assert {type(error) for error in errors.values()} == {Malformed}, errors
    assert set(net.connected) == {PUBLIC}
    assert inside.heard == []


@pytest.mark.parametrize("answer", [["127.0.0.1"], [DEAD, "127.0.0.1"], ["127.0.0.1", PUBLIC]])
@pytest.mark.parametrize("run", NATIVE, indirect=True)
def test_a_name_that_leads_into_our_network(run: Run, net: Net, answer: list[str]) -> None:
    net.answers["inside.example"] = [answer]
    with Recorder(PNG) as inside:
        (outcome,) = sent_to(run, f"http://inside.example:{inside.port}/p")
    assert isinstance(outcome.error, UnexpectedContent)
    assert "127.0.0.1" not in net.connected
    assert inside.heard == []


@pytest.mark.parametrize("run", NATIVE, indirect=True)
def test_the_address_that_was_judged_is_the_one_that_is_connected_to(run: Run, net: Net) -> None:
    """A resolver that answers differently each time (DNS rebinding) is asked once."""
    net.answers["rebind.example"] = [[PUBLIC], ["127.0.0.1"]]
    with Recorder(PNG, PNG) as outside:
        url = f"http://rebind.example:{outside.port}/p"
        first, second = sent_to(run, url, url)
    assert first.reply.images
    assert isinstance(second.error, UnexpectedContent)
    assert net.asked.count("rebind.example") == 2
    assert "127.0.0.1" not in net.connected
    assert len(outside.heard) == 1


BITS = """
127.0.0.1 8.8.8.8 ::1 [::1] localhost 0x7f.1 0177.0.0.1 a.example 80 @ : / \\ ? # % %25 %40 %2e %00
. .. [ ] & = ; - _ ~ ! $ ' ( ) * + , | ^ { } < > " ` v1.
"""


@given(st.lists(st.sampled_from(BITS.split()), min_size=1, max_size=8).map("".join))
def test_nobody_reads_another_host_in_a_url(rest: str) -> None:
    """Else the host that is judged would not be the one that is connected to."""
    try:
        url = check_url(f"http://{rest}")
    except LocalProtocolError:
        return
    origin = Request("GET", url, []).origin
    for module in (httpx, httpx2):
        try:
            read = module.URL(url)
        except module.InvalidURL:
            continue
        assert (read.host, read.port or 80) == (origin.host, origin.port)


# What is shown


def test_no_object_shows_a_secret() -> None:
    key, password = SECRET, PROXY_SECRET
    provider = Provider(
        name="own",
        dialect=OpenAIChat(),
        base_url=f"https://a.example/v1?api-key={key}",
        any_model=True,
        default_model="m",
        headers={"x-api-key": key},
        fields={"token": key},
    )
    chat = Chat(messages=(Message("user", "hi"),))
    exchange = provider.exchange(chat, key=key, headers={"cookie": f"a={key}"})
    request = exchange.fresh().next_request()
    proxy_url = f"http://me:{password}@proxy.example:8080"
    settings = ClientSettings(proxy=proxy_url)
    wire = settings.wire(exchange, now=0, wall_clock=0, jitter=0)
    connect = wire.next(0)
    proxy = Proxy.of(proxy_url)
    with Client(proxy=proxy_url) as client, httpx.Client() as by_httpx:
        shown = [
            provider,
            exchange,
            request,
            Question(provider, chat, "m", provider.base_url, Limits(), key, {"x": key}),
            settings,
            wire,
            connect,
            proxy,
            Route(Origin("https", "a.example", 443), proxy),
            client,
            client.open(exchange.fresh()),
            httpx_transport.Client(by_httpx).open(exchange.fresh()),
            serve(provider, key=key),
            AwsKey("id", key, key),
            ModelsOptions(
                provider=provider,
                base_url=None,
                headers=(("x-jwt", key),),
                proxy=proxy_url,
                ca_file=None,
                timeout=None,
                connect=None,
                first_event=None,
                idle=None,
                embedded=False,
                as_json=False,
            ),
        ]
    console = Console(file=io.StringIO(), width=1000)
    text = "\n".join(f"{thing!r} {thing!s} {render(console, thing)}" for thing in shown)
    coded = base64.b64encode(f"me:{password}".encode()).decode()
    for secret in (key, password, coded):
        assert secret not in text


def render(console: Console, thing: object) -> str:
    """What rich, which looks into objects, shows of it."""
    with console.capture() as capture:
        console.print(Pretty(thing))
    return capture.get()


BODY = '{"error":{"message":"Incorrect key %s","code":"%s","type":"%s"}}'
ECHOES: dict[str, Callable[[str], bytes]] = {
    "a message": lambda key: http(_error(BODY.replace("%s", key)), status="401 No"),
    "a page": lambda key: http(f"<html>{key}".encode(), "content-type: text/html"),
    "a page, 403": lambda key: http(f"<html>{key}".encode(), status="403 No"),
    "a media type": lambda key: http(b"x", f"content-type: a/{key}"),
    "a long media type": lambda key: http(b"x", f"content-type: a/{'y' * 66}{key}"),
    "a coding": lambda key: http(b"x", f"content-encoding: {key}"),
    "a location": lambda key: http(b"", f"location: http://a/?{key}", status="302 Go"),
    "a quoted location": lambda key: http(b"", f"location: /{quote(key, '')}", status="307 Go"),
    "headers": lambda key: http(
        b"no", f"retry-after: {key}", f"x-request-id: {key}", f"server: {key}", status="429 No"
    ),
    "the end of an excerpt": lambda key: http(
        b'{"a":"' + b"x" * 492 + key.encode() + b'"}', status="500 No"
    ),
    "a reason": lambda key: http(b"", status=f"401 {key}"),
    "no HTTP": lambda key: f"SSH-{key}\r\n\r\n".encode(),
    "a chunk": lambda key: (
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
        + key.encode()
        + b"\r\n"
    ),
    "an event": lambda key: http(f"data: {{{key}\n\n".encode(), "content-type: text/event-stream"),
    "an error event": lambda key: http(
        b"data: " + _error(BODY.replace("%s", key)) + b"\n\n", "content-type: text/event-stream"
    ),
    "a comment": lambda key: http(
        f": {'z' * 66}{key}\n\n".encode(), "content-type: text/event-stream"
    ),
    "a picture's page": lambda key: http(f"{key}".encode(), "content-type: text/plain"),
}


def _error(text: str) -> bytes:
    return text.encode()


def each(form: str) -> Callable[[str], str]:
    """Every character in the `form`."""
    return lambda text: "".join(form % ord(c) for c in text)


SPELLINGS: dict[str, Callable[[str], str]] = {
    "JSON's escapes": each("\\u%04x"),
    "JSON's escapes, upper case": each("\\u%04X"),
    "JSON in JSON": each("\\\\u%04x"),
    "a URL": each("%%%02x"),
    "HTML": each("&#%d;"),
    "HTML in hex": each("&#x%X;"),
    "HTML by name": lambda text: text.replace("_", "&lowbar;").replace(".", "&period;"),
    "base64": lambda text: base64.b64encode(f"me:{text}".encode()).decode(),
}
EVERY_SPELLING: list[Callable[[str], str]] = [str, *SPELLINGS.values()]
EVENTS = "content-type: text/event-stream"
SPELT: dict[str, Callable[[str], bytes]] = {
    "a message": lambda key: http(_error(BODY.replace("%s", key)), status="401 No"),
    "a page, 403": lambda key: http(f"<html>{key}".encode(), status="403 No"),
    "a page": lambda key: http(f"<html>{key}".encode(), "content-type: text/html"),
    "an error event": lambda key: http(
        b"data: " + _error(BODY.replace("%s", key)) + b"\n\n", EVENTS
    ),
    "a comment": lambda key: http(f": {key}\n\n".encode(), EVENTS),
    "a comment that is cut": lambda key: http(f": {'z' * 66}{key}\n\n".encode(), EVENTS),
    "what is not understood": lambda key: http(f'data: {{"{key}": 1}}\n\n'.encode(), EVENTS),
    "a line that is not understood": lambda key: http(f"{key}\n\n".encode(), EVENTS),
    "halves": lambda key: http(
        "".join(
            f'data: {{"choices":[{{"index":0,"delta":{{"content":"{half}","x":"{half}"}}}}]}}\n\n'
            for half in (key[: len(key) // 2], key[len(key) // 2 :])
        ).encode(),
        EVENTS,
    ),
}


def everything_of(error: BaseException | None) -> str:
    """All that a report of `error` may show."""
    said = ""
    while error is not None:
        said += f"{error} {error!r} {error.args} {vars(error)}"
        reply = getattr(error, "answer", None)
        if reply is not None:
            said += f"{reply.text} {vars(reply)} {[vars(c) for c in reply.choices.values()]}"
        said += "".join(traceback.format_exception(error))
        error = error.__cause__ or error.__context__
    return said


@pytest.mark.parametrize("echo", ECHOES)
def test_a_server_that_sends_the_key_back(
    run: Run, echo: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    answers = [ECHOES[echo](form) for form in (SECRET, SECRET.upper())]
    check_echoes(run, answers, [{"key": SECRET}] * len(answers))
    # What httpcore logs is its own affair.
    records = [record for record in caplog.records if not record.name.startswith("http")]
    assert not secret_in("".join(record.getMessage() for record in records))


@pytest.mark.parametrize("echo", SPELT)
def test_a_server_that_spells_the_key_in_another_way(run: Run, echo: str) -> None:
    answers = [SPELT[echo](spell(SECRET)) for spell in SPELLINGS.values()]
    check_echoes(run, answers, [{"key": SECRET}] * len(answers))


GIVEN = {
    "x-jwt": SECRET,
    "X-Bearer": f"Bearer {SECRET}",
    "x-team": f"a={SECRET}; b=c",
    "referer": f"https://a.example/?a={SECRET}",
    "user-agent": SECRET,
    "accept": SECRET,
    "content-type": SECRET,
}


def test_a_server_that_sends_a_header_of_the_caller_back(run: Run) -> None:
    """Whatever its name."""
    answers = [SPELT["a comment that is cut"](SECRET)] * len(GIVEN)
    check_echoes(run, answers, [{"headers": {name: value}} for name, value in GIVEN.items()])


@pytest.mark.parametrize("name", GIVEN)
@pytest.mark.parametrize("value", GIVEN.values())
@pytest.mark.parametrize("spelling", EVERY_SPELLING, ids=["plain", *SPELLINGS])
def test_whatever_header_the_caller_gave(
    name: str, value: str, spelling: Callable[[str], str]
) -> None:
    exchange = make_exchange("openai", "hi", model="m", headers={name: value})
    assert not secret_in(f"{exchange!r} {exchange.next_request()!r}")
    exchange.receive_response(401, [])
    exchange.receive_data(_error(BODY.replace("%s", spelling(SECRET))))
    exchange.receive_eof()
    assert isinstance(exchange.error, TokenwireError)
    assert not secret_in(everything_of(exchange.error))


def test_a_header_of_a_provider_of_ones_own() -> None:
    exchange = own(headers={"X-JWT": SECRET, "Referer": "https://a.example/chat"})
    request = exchange.next_request()
    assert SECRET not in repr(request)
    assert "https://a.example/chat" in repr(request)
    exchange.receive_response(500, [(b"server", SECRET.encode())])
    exchange.receive_eof()
    assert isinstance(exchange.error, RemoteProtocolError)
    assert exchange.error.headers == [(b"server", b"[secret]")]


READERS: dict[str, Callable[[Exchange], object]] = {
    "sync": lambda exchange: Client(retry=NO_RETRY).read(exchange),
    "asyncio": lambda exchange: asyncio.run(
        asyncio_transport.Client(retry=NO_RETRY).read(exchange)
    ),
    "httpx": lambda exchange: httpx_transport.Client(httpx.Client(), retry=NO_RETRY).read(exchange),
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("echo", ["halves", "a line that is not understood", "a comment"])
def test_what_was_received_before_an_error(reader: str, echo: str) -> None:
    with Recorder(*(SPELT[echo](spell(SECRET)) for spell in EVERY_SPELLING)) as server:
        url = f"http://127.0.0.1:{server.port}"
        for _ in EVERY_SPELLING:
            exchange = make_exchange("openai", "hi", model="m", key=SECRET, base_url=url)
            with pytest.raises(TokenwireError) as caught:
                READERS[reader](exchange)
            assert caught.value.answer is not None
            shown = everything_of(caught.value)
            assert not secret_in(shown), shown


def test_the_id_of_a_request_that_failed() -> None:
    answer = http(b"no", f"x-request-id: a {SECRET}", status="500 No")
    with Recorder(answer) as server, Client(retry=NO_RETRY) as client:
        url = f"http://127.0.0.1:{server.port}"
        with pytest.raises(RemoteProtocolError) as caught:
            client.read(make_exchange("openai", "hi", model="m", key=SECRET, base_url=url))
    assert caught.value.answer is not None
    assert caught.value.answer.request_id == "a [secret]"


def test_what_was_received_before_an_error_of_the_first_interface() -> None:
    """Which folds the answer itself."""
    with Recorder(SPELT["halves"](SECRET)) as server:
        url = f"http://127.0.0.1:{server.port}"
        exchange = make_exchange("openai", "hi", model="m", key=SECRET, base_url=url)

        async def read() -> None:
            client = asyncio_transport.Client(retry=NO_RETRY)
            async for _ in Chunks(client.open(exchange), lambda event: event):
                pass

        with pytest.raises(TokenwireError) as caught:
            asyncio.run(read())
    assert caught.value.answer is not None
    assert not secret_in(everything_of(caught.value))


def test_an_observer_that_raises_what_it_was_told() -> None:
    class Careless(Observer):
        def requested(self, request: Request) -> None:
            raise ValueError(request.headers)

        def __repr__(self) -> str:
            return f"<Careless {SECRET}>"

    exchange = make_exchange("openai", "hi", model="m", key=SECRET, observers=(Careless(),))
    with pytest.warns(RuntimeWarning, match=r"an observer raised ValueError\(.*secret") as told:
        exchange.next_request()
    assert not secret_in(str(told[0].message))


def test_a_key_of_an_earlier_attempt() -> None:
    """A function may give another key for each request."""
    keys = iter([SECRET, "another-key-12345"])
    answers = [http(b"{}", status="503 No"), SPELT["a message"](SECRET)]
    with Recorder(*answers) as server, Client(retry=Retry(first_pause=0)) as client:
        url = f"http://127.0.0.1:{server.port}"
        exchange = make_exchange("openai", "hi", model="m", key=lambda: next(keys), base_url=url)
        with pytest.raises(AuthenticationFailed) as caught:
            client.read(exchange)
    assert len(server.heard) == 2
    assert not secret_in(everything_of(caught.value))


@pytest.mark.parametrize("link", ["__cause__", "__context__"])
@pytest.mark.parametrize("secret", [SECRET, PROXY_SECRET])
def test_secrets_in_the_errors_that_an_error_came_of(link: str, secret: str) -> None:
    """Whatever a transport reports."""
    settings = ClientSettings(proxy=f"http://me:{PROXY_SECRET}@proxy.example:8080", retry=NO_RETRY)
    exchange = make_exchange("openai", "hi", model="m", key=SECRET, base_url="http://far.example")
    wire = settings.wire(exchange, now=0, wall_clock=0, jitter=0)
    wire.next(0)
    error, inner = ConnectFailed(f"no {secret}"), Malformed(secret, data=secret.encode())
    inner.__context__ = ValueError(secret)
    setattr(error, link, inner)
    wire.failed(error, 0)
    with pytest.raises(ConnectFailed) as caught:
        wire.next(0)
    assert getattr(caught.value, link) is inner
    assert not secret_in(everything_of(caught.value), secret)


def check_echoes(run: Run, answers: list[bytes], options: list[dict[str, Any]]) -> None:
    """No error shows the secret after these `answers`, nor does what was received before it."""
    with Recorder(*answers) as server:
        url = f"http://127.0.0.1:{server.port}"
        exchanges = [make_exchange("openai", "hi", model="m", base_url=url, **o) for o in options]
        requests = [exchange.fresh().next_request() for exchange in exchanges]
        outcomes = run(*exchanges, retry=NO_RETRY)
    assert [SECRET.encode() in heard for heard in server.heard] == [True] * len(answers)
    assert not secret_in(f"{requests} {[*map(repr, exchanges)]}")
    for outcome in outcomes:
        assert isinstance(outcome.error, TokenwireError)
        shown = everything_of(outcome.error)
        assert not secret_in(shown), shown


def secret_in(text: str, secret: str = SECRET) -> bool:
    """Whether eight characters of it that follow each other are in `text`, in any spelling."""
    runs = [secret[at : at + 8] for at in range(len(secret) - 7)]
    by_character = [spell for spell in EVERY_SPELLING if spell is not SPELLINGS["base64"]]
    forms = [spell(run) for run in runs for spell in by_character]
    return any(form.lower() in text.lower() for form in (*forms, SPELLINGS["base64"](secret)))


@pytest.mark.parametrize("module", [httpx, httpx2], ids=["httpx", "httpx2"])
def test_a_server_that_sends_back_what_the_http_client_added(module: Any) -> None:
    coded = base64.b64encode(f"me:{PROXY_SECRET}".encode()).decode()
    said = f"no {SECRET} {coded} {PROXY_SECRET} "
    body = _error(BODY.replace("%s", said)) + b" " * 400 + coded.encode()
    with (
        Recorder(http(body, f"retry-after: {SECRET}", status="401 No")) as server,
        module.Client(
            trust_env=False, headers={"x-api-key": SECRET}, auth=("me", PROXY_SECRET)
        ) as by_httpx,
        httpx_transport.Client(by_httpx, retry=NO_RETRY) as client,
    ):
        url = f"http://127.0.0.1:{server.port}"
        exchange = make_exchange("openai", "hi", model="m", base_url=url)
        with pytest.raises(RemoteProtocolError) as caught:
            client.read(exchange)
    shown = everything_of(caught.value)
    assert coded.encode() in server.heard[0]
    for secret in (SECRET, PROXY_SECRET, coded[:12]):
        assert secret not in shown


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("status", ["407 No", "502 No", "200 OK"])
def test_a_proxy_that_sends_its_password_back(run: Run, scheme: str, status: str) -> None:
    """In all spellings: when it forwards a request, and when it refuses a tunnel."""
    coded = base64.b64encode(f"me:{PROXY_SECRET}".encode()).decode()
    spelt = [coded, *(spell(PROXY_SECRET) for spell in EVERY_SPELLING)]
    body = _error(BODY.replace("%s", " ".join(spelt)))
    if status == "200 OK" and scheme == "https":
        body = b"SSH-" + coded.encode()
    refusal = http(body, f"server: {coded}", status=f"{status} {coded} me:{PROXY_SECRET}")
    with Recorder(refusal) as proxy:
        url = f"http://me:{PROXY_SECRET}@127.0.0.1:{proxy.port}"
        exchange = make_exchange("ylokh", "hi", base_url=f"{scheme}://far.example/v1")
        (outcome,) = run(exchange, proxy=url, retry=NO_RETRY)
    assert coded.encode() in proxy.heard[0]
    assert isinstance(outcome.error, TokenwireError)
    if scheme == "https" and status != "200 OK":
        assert isinstance(outcome.error, ConnectFailed)
        assert status[:3] in str(outcome.error)
    shown = everything_of(outcome.error)
    assert not secret_in(shown, PROXY_SECRET), shown
    assert coded[4:14] not in shown


@pytest.mark.parametrize(
    ("header", "secrets"),
    [
        (
            "Basic " + base64.b64encode(b"me:sesame-open").decode(),
            {"me:sesame-open", "sesame-open"},
        ),
        (
            "basic " + base64.b64encode(b"me:sesame-open").decode(),
            {"me:sesame-open", "sesame-open"},
        ),
        ("Basic no-base64!", {"no-base64!"}),
        ("Basic " + base64.b64encode(b"\xff" * 9).decode(), {"/" * 12}),
    ],
)
def test_the_parts_of_credentials_are_secrets(header: str, secrets: set[str]) -> None:
    request = Request(
        "GET", "http://a.example/?k=a%2Fb%2Fc+d", [(b"authorization", header.encode())]
    )
    assert secrets | {"a/b/c+d", "a%2Fb%2Fc+d"} <= set(request.secrets())


@pytest.mark.parametrize(
    "url",
    [
        f"http://me:{PROXY_SECRET}@host",
        f"http://{PROXY_SECRET}@host/v1",
        f"http://me:{PROXY_SECRET}@host:port",
        f"https://me:{PROXY_SECRET}\n@host",
        f"ftp://me:{PROXY_SECRET}@[::1",
    ],
)
def test_credentials_in_a_url_are_refused_and_not_shown(url: str) -> None:
    with pytest.raises(LocalProtocolError) as caught:
        make_exchange("ylokh", "hi", base_url=url)
    assert PROXY_SECRET not in everything_of(caught.value)


# The embedded server


def test_the_embedded_server_is_on_loopback_unless_told_otherwise() -> None:
    with serve("ylokh") as server, socket.socket() as other:
        other.settimeout(10)
        with pytest.raises(ConnectionRefusedError):
            other.connect(("127.0.0.2", port_of(server)))
    with serve("ylokh", host="0.0.0.0") as server:
        socket.create_connection(("127.0.0.2", port_of(server)), timeout=10).close()
