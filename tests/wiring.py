"""A network in memory, for the wire and its parts: scripted servers, and a clock moved by hand."""

import ssl
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random
from typing import Any, Protocol, TypeAlias, assert_never

import h11

from tests.certificates import server_context
from tests.cutting import whole
from tokenwire.protocols.chat import Chat, as_chat
from tokenwire.protocols.clocks import Clocks
from tokenwire.protocols.errors import RemoteProtocolError, TokenwireError
from tokenwire.protocols.events import End, Event, Text, Unrecognized
from tokenwire.protocols.exchange import Exchange
from tokenwire.protocols.limits import Limits
from tokenwire.protocols.registry import provider_named
from tokenwire.protocols.reply import Reply
from tokenwire.protocols.service import Responder, Service
from tokenwire.protocols.step import Step
from tokenwire.protocols.toolkit.http import Request
from tokenwire.transports.client.connection import Connection, Route
from tokenwire.transports.client.settings import ClientSettings
from tokenwire.transports.client.wire import Action, Connect, Release, Sleep, Transfer, Wire

BASE = "http://peer.example"
PUBLIC, PRIVATE = "93.184.216.34", "10.0.0.7"

# Exchanges to drive


class _RawStep(Step):
    framing = "bytes"
    unfinished = "the body was cut"

    def __init__(self, request: Request, following: "_RawStep | None") -> None:
        self.request = request
        self._following = following

    def eof(self, events: list[Event]) -> Step | None:
        return self._following

    def data(self, data: bytes, events: list[Event]) -> None:
        events.append(Unrecognized(data))


def raw_exchange(*requests: Request) -> Exchange:
    """An exchange of these requests, whose events are the bytes of the bodies; `End` tells how the
    last one ended."""

    def first() -> Step:
        step: _RawStep | None = None
        for request in reversed(requests or (Request("GET", f"{BASE}/", []),)):
            step = _RawStep(request, step)
        assert step is not None
        return step

    return Exchange(first, owes="connection_close", clocks=Clocks(), limits=Limits())


def body_of(events: Iterable[Event]) -> bytes:
    """The body that a raw exchange took."""
    return b"".join(event.raw for event in events if isinstance(event, Unrecognized))


def question(
    provider: str = "darkai", *, model: str = "", base_url: str = BASE, key: str | None = None
) -> Exchange:
    """An exchange of `provider`, its clocks the general ones."""
    chat = as_chat("hi", model=model or ("any" if provider == "openai" else ""))
    return provider_named(provider).exchange(
        chat, base_url=base_url, key=key, random=Random(1), clocks=Clocks()
    )


# What servers say


@dataclass(frozen=True)
class Wait:
    """Nothing comes for so many seconds."""

    seconds: float


@dataclass(frozen=True)
class Closed:
    """The server closes the connection; not `clean`: it resets it."""

    clean: bool = True


CLOSE, RESET = Closed(), Closed(clean=False)
Item: TypeAlias = bytes | Wait | Closed


class Server(Protocol):
    """The other end of one connection."""

    def receive(self, data: bytes) -> Iterable[Item]:
        """What it says to `data`."""
        ...


def head(*headers: str, status: str = "200 OK") -> bytes:
    """A response head."""
    lines = (f"HTTP/1.1 {status}", "content-type: text/event-stream", *headers, "", "")
    return "\r\n".join(lines).encode()


def chunk(data: bytes) -> bytes:
    """A chunk of a chunked body."""
    return b"%x\r\n%b\r\n" % (len(data), data)


CHUNKED = head("transfer-encoding: chunked")
LAST = b"0\r\n\r\n"
TEXT = b'data: {"event":"text-chunk","data":{"text":"a"}}\n\n'
STOP = b'data: {"event":"stream-end"}\n\n'
ANSWER = CHUNKED + chunk(TEXT + STOP) + LAST
"""What darkai answers."""


def refusal(status: str, *headers: str) -> bytes:
    """A response with an error status."""
    return head("content-length: 2", *headers, status=status) + b"no"


class Script:
    """Says one line of the script for each request, and then nothing. `heard` is what it got."""

    def __init__(self, *lines: Item | Sequence[Item]) -> None:
        self._lines = deque[Item | Sequence[Item]](lines)
        self.heard: list[bytes] = []

    def receive(self, data: bytes) -> Iterable[Item]:
        self.heard.append(data)
        if not self._lines:
            return ()
        line = self._lines.popleft()
        return [line] if isinstance(line, bytes | Wait | Closed) else line


def say_hello(chat: Chat) -> Iterable[Event]:
    """An answer function."""
    return [Text("hello"), End("terminator")]


class Answering:
    """A real server: h11, and a service's responders. `heard` is what it was asked."""

    def __init__(
        self, service: Service, answer: Callable[[Chat], Iterable[Event]] = say_hello
    ) -> None:
        self._service, self._answer = service, answer
        self._h11 = h11.Connection(h11.SERVER)
        self.heard: list[Request] = []
        self._body = b""

    def receive(self, data: bytes) -> Iterable[Item]:
        self._h11.receive_data(data)
        said = b""
        while isinstance(event := self._h11.next_event(), h11.Event):
            match event:
                case h11.Request():
                    self._head, self._body = event, b""
                case h11.Data():
                    self._body += event.data
                case _:
                    said += self._respond()
                    self._h11.start_next_cycle()
        return [said]

    def _respond(self) -> bytes:
        asked = self._head
        url = self._service.base_url + asked.target.decode()
        request = Request(asked.method.decode(), url, list(asked.headers), self._body)
        self.heard.append(request)
        responder = self._service.responder()
        body = self._body_of(responder, request)
        status, headers = responder.head()
        parts = (
            h11.Response(
                status_code=status, headers=[*headers, (b"transfer-encoding", b"chunked")]
            ),
            h11.Data(data=body),
            h11.EndOfMessage(),
        )
        return b"".join(self._h11.send(part) or b"" for part in parts)

    def _body_of(self, responder: Responder, request: Request) -> bytes:
        try:
            chat = responder.receive_request(request)
            events: Iterable[Event] = () if chat is None else self._answer(chat)
            return b"".join(map(responder.send, events)) + responder.end()
        except RemoteProtocolError as error:
            return responder.fail(error)


class TLSPeer:
    """The server's side of a TLS connection: bytes in, bytes out."""

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        context = context or server_context("peer.example")
        self._tls = context.wrap_bio(self._in, self._out, server_side=True)
        self._shaken = False

    def receive(self, data: bytes) -> bytes:
        """What the client says, once the handshake is done."""
        self._in.write(data)
        said = b""
        try:
            if not self._shaken:
                self._tls.do_handshake()
                self._shaken = True
            while piece := self._tls.read():
                said += piece
        except ssl.SSLWantReadError:
            pass
        return said

    def send(self, data: bytes) -> None:
        """Encrypt `data`."""
        self._tls.write(data)

    def close(self) -> None:
        """Say that nothing more will come."""
        with suppress(ssl.SSLWantReadError):
            self._tls.unwrap()

    @property
    def protocol(self) -> str | None:
        """What was agreed on by ALPN."""
        return self._tls.selected_alpn_protocol()

    def data_to_send(self) -> bytes:
        """Bytes for the client."""
        return self._out.read()


class OverTLS:
    """A server behind TLS. A clean close of it is a close_notify, and the socket stays open."""

    def __init__(self, server: Server, context: ssl.SSLContext | None = None) -> None:
        self._server = server
        self._tls = TLSPeer(context)

    def receive(self, data: bytes) -> Iterable[Item]:
        heard = self._tls.receive(data)
        yield self._tls.data_to_send()
        for item in self._server.receive(heard) if heard else ():
            if isinstance(item, bytes):
                self._tls.send(item)
            elif item == CLOSE:
                self._tls.close()
            else:
                yield item
            yield self._tls.data_to_send()


class ThroughTunnel:
    """A proxy that answers CONNECT with `reply`, and then leads to `server`."""

    def __init__(self, server: Server, reply: Item = b"HTTP/1.1 200 OK\r\n\r\n") -> None:
        self._server, self._reply = server, reply
        self.heard = b""

    def receive(self, data: bytes) -> Iterable[Item]:
        if not self.heard:
            self.heard = data
            return [self._reply]
        return self._server.receive(data)


class ThroughSocks:
    """A SOCKS proxy that leads to `server`. `heard` is what it was told, piece by piece."""

    def __init__(self, server: Server, *answers: bytes) -> None:
        self._server = server
        self._answers = deque(answers or (b"\5\0", b"\5\0\0\1" + bytes(6)))
        self.heard: list[bytes] = []

    def receive(self, data: bytes) -> Iterable[Item]:
        if not self._answers:
            return self._server.receive(data)
        self.heard.append(data)
        return [self._answers.popleft()]


# The network, and what a transport does


@dataclass
class Link:
    """A connection of the client's."""

    connection: Connection
    server: Server
    address: str
    inbox: deque[tuple[float, Item]] = field(default_factory=deque[tuple[float, Item]])
    closed: bool = False


@dataclass
class Outcome:
    """What came of an exchange."""

    events: list[Event]
    error: TokenwireError | None
    actions: list[Action]

    @property
    def text(self) -> str:
        return Reply.of(self.events).text

    @property
    def connects(self) -> list[Connect]:
        return [action for action in self.actions if isinstance(action, Connect)]

    @property
    def sleeps(self) -> list[Sleep]:
        return [action for action in self.actions if isinstance(action, Sleep)]

    @property
    def releases(self) -> list[bool]:
        """Of each connection, in turn, whether it was kept."""
        return [action.keep for action in self.actions if isinstance(action, Release)]

    def succeeded(self) -> "Outcome":
        assert self.error is None, self.error
        assert [e for e in self.events if isinstance(e, End)] == self.events[-1:], self.events
        return self

    def failed(self, kind: type[TokenwireError], *words: str) -> "Outcome":
        assert type(self.error) is kind, self
        for word in words:
            assert word in str(self.error), self.error
        assert End not in map(type, self.events)
        return self


Met: TypeAlias = Server | TokenwireError
"""What a connect meets: a server, or why there is none."""


class Network:
    """Each connect meets the next of `met`. `now` is the time; `think` is how many seconds the
    reader takes over each batch of events; `options` are those of a client."""

    def __init__(
        self,
        *met: Met,
        cut: Callable[[bytes], Iterable[bytes]] = whole,
        addresses: Sequence[str] = (),
        think: float = 0,
        connecting: float = 0,
        **options: Any,
    ) -> None:
        self.now = 1000.0
        self._met = deque(met)
        self._cut = cut
        self._addresses = deque(addresses)
        self._think = think
        self._connecting = connecting
        self.settings = ClientSettings(trust_env=False, **options)
        self.links: list[Link] = []
        self._kept: dict[Route, Link] = {}
        self._link: Link | None = None

    def ask(self, exchange: Exchange, *, jitter: float = 0) -> Outcome:
        """Do all that the wire wants, as a transport does."""
        wire = self.settings.wire(exchange, now=self.now, wall_clock=1.7e9, jitter=jitter)
        outcome = Outcome([], None, [])
        try:
            while (action := wire.next(self.now)) is not None:
                outcome.actions.append(action)
                assert len(outcome.actions) < 100_000, "the loop does not end"
                self._do(wire, action)
                if wire.events:
                    self._hand_over(wire, outcome)
        except TokenwireError as error:
            outcome.error = error
        wire.pause(self.now)
        return outcome

    def _hand_over(self, wire: Wire, outcome: Outcome) -> None:
        outcome.events += wire.events
        wire.events.clear()
        self.now += self._think

    def _do(self, wire: Wire, action: Action) -> None:
        match action:
            case Connect():
                self._connect(wire, action)
            case Transfer():
                self._transfer(wire, action)
            case Release():
                assert self._link is not None
                self._link.closed = not action.keep
                if action.keep:
                    self._kept[self._link.connection.route] = self._link
                self._link = None
            case Sleep():
                self.now = max(self.now, action.until)
            case _:
                assert_never(action)

    def _connect(self, wire: Wire, action: Connect) -> None:
        kept = None if action.fresh else self._kept.pop(action.route, None)
        if kept is not None:
            self._link = kept
            wire.connected(kept.connection, kept.address, reused=True)
            return
        if action.deadline is not None and self.now + self._connecting >= action.deadline:
            self.now = action.deadline
            wire.failed(TokenwireError("too late"), self.now)
            return
        self.now += self._connecting
        try:
            self._link = self._meet(wire, action.route)
        except TokenwireError as error:
            wire.failed(error, self.now)
            return
        wire.connected(self._link.connection, self._link.address, reused=False)

    def _meet(self, wire: Wire, route: Route) -> Link:
        met = self._met.popleft()
        if isinstance(met, TokenwireError):
            raise met
        address = self._addresses.popleft() if self._addresses else PUBLIC
        wire.check_address(address)
        link = Link(self.settings.connection(route), met, address)
        self.links.append(link)
        return link

    def _transfer(self, wire: Wire, action: Transfer) -> None:
        assert self._link is not None
        link = self._link
        if action.data:
            self._deliver(link, action.data)
        when, item = link.inbox[0] if link.inbox else (float("inf"), CLOSE)
        if action.deadline is not None and when > action.deadline:
            self.now = max(self.now, action.deadline)
            wire.timed_out(self.now)
            return
        assert link.inbox, "waits for ever"
        link.inbox.popleft()
        self.now = max(self.now, when)
        match item:
            case bytes():
                wire.received(item, self.now)
            case Closed(clean=True):
                wire.received(b"", self.now)
            case _:
                wire.lost()

    def _deliver(self, link: Link, data: bytes) -> None:
        """Give `data` to the server, and put what it says to that into the inbox."""
        when = self.now
        for item in link.server.receive(data):
            if isinstance(item, Wait):
                when += item.seconds
            elif isinstance(item, Closed):
                link.inbox.append((when, item))
            else:
                link.inbox.extend((when, piece) for piece in self._cut(item) if piece)
