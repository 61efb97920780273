"""The wire: any bytes of a peer, on any number of connections.

An input is what servers say. The byte 0x1D stands between two connections, 0x1E between what is
said to one request and to the next, 0x1C between what is said at once; `!close`, `!reset` and
`!wait` instead of bytes do that. What may come out: events, and a `RemoteProtocolError` or a
`TransportError`.
"""

import ssl
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from random import Random

from tests.certificates import client_context
from tests.cutting import whole as uncut
from tests.fuzzing.clients import SMALL
from tests.fuzzing.seeds import answers, words
from tests.fuzzing.source import CUTS, Target, cut_by, split
from tests.wiring import (
    ANSWER,
    BASE,
    CHUNKED,
    CLOSE,
    LAST,
    RESET,
    STOP,
    TEXT,
    Item,
    Network,
    Outcome,
    OverTLS,
    Script,
    Server,
    ThroughTunnel,
    Wait,
    body_of,
    chunk,
    head,
    raw_exchange,
    refusal,
)
from tokenwire.protocols.chat import as_chat
from tokenwire.protocols.clocks import Clocks
from tokenwire.protocols.errors import (
    ConnectFailed,
    RemoteProtocolError,
    TransportError,
)
from tokenwire.protocols.events import End
from tokenwire.protocols.exchange import Exchange
from tokenwire.protocols.limits import Limits
from tokenwire.protocols.retry import NO_RETRY, Retry
from tokenwire.protocols.toolkit.http import Request
from tokenwire.testing import Subject
from tokenwire.transports.client.wire import Connect, Release, Sleep, Transfer

__all__ = ["wires"]

_SAID: dict[bytes, Item] = {b"!close": CLOSE, b"!reset": RESET, b"!wait": Wait(70)}
_CLOCKS, _RETRY = Clocks(first_event=100, total=1000), Retry()
_HTTPS = BASE.replace("http:", "https:")
_KEY, _PASSWORD = "sekret-0123456789", "hunter22"
_AT_ONCE, _REQUEST, _CONNECTION = b"\x1c", b"\x1e", b"\x1d"


class _Client:
    """A client of one subject, or of a server whose body is handed out as it is."""

    def __init__(self, subject: Subject | None) -> None:
        self._subject = subject
        keyed = subject is not None and subject.provider.key_place is not None
        self._key = _KEY if keyed else None
        self._requests = 1 if subject is None else len(subject.send_short().recorded)
        self._exchanges = {
            (https, small): self._exchange(_HTTPS if https else BASE, SMALL if small else Limits())
            for https in (False, True)
            for small in (False, True)
        }

    def _exchange(self, url: str, limits: Limits) -> Exchange:
        if self._subject is None:
            return raw_exchange(Request("GET", f"{url}/", []))
        chat, provider = as_chat("hi", **self._subject.asked), self._subject.provider
        return provider.exchange(
            chat, limits=limits, base_url=url, key=self._key, random=Random(1), clocks=Clocks()
        )

    def fuzz(self, said: bytes, choices: bytes) -> None:
        """`said` is what the servers say."""
        proxy, small, retry, think = (bool(choices[0] & 1 << bit) for bit in range(4))
        # Seldom, as it is slow: what is said is no TLS, or is said within it.
        no_tls, within_tls = choices[0] >> 4 == 1, choices[0] >> 4 == 2
        https = no_tls or within_tls
        exchange = self._exchanges[https, small]

        def ask(cut: Callable[[bytes], list[bytes]]) -> Outcome:
            network = Network(
                *(
                    _server(connection, within_tls, tunnel=within_tls and proxy)
                    for connection in said.split(_CONNECTION)[:4]
                ),
                *[ConnectFailed("no more servers")] * 12,
                cut=cut,
                think=70 if think else 0,
                clocks=_CLOCKS,
                proxy=f"http://us:{_PASSWORD}@proxy.example" if proxy else None,
                ssl_context=_context() if https else None,
                retry=_RETRY if retry else NO_RETRY,
            )
            outcome = network.ask(exchange.fresh())
            _check(outcome)
            # A peer that has not been told one may say it all the same.
            secrets = [_PASSWORD] * proxy + [_KEY] * (self._key is not None)
            assert not any(secret in str(outcome.error) for secret in secrets)
            assert all(link.closed or True in outcome.releases for link in network.links)
            return outcome

        cut = ask(cut_by(choices[1:], least=8))
        # What a peer says after one response is read as the next one's, or not, depending on when
        # it arrives: so of several requests nothing is the same. Nor is it if the reader takes its
        # time.
        if not (retry or think or self._requests > 1):
            assert self._what(cut) == self._what(ask(uncut))

    def _what(self, outcome: Outcome) -> tuple[object, ...]:
        events = outcome.events if self._subject is not None else body_of(outcome.events)
        return events, outcome.error is None, type(outcome.error), str(outcome.error)


@cache
def _context() -> object:
    return client_context()


class _TLSServer(OverTLS):
    """Resets the connection where the client does not speak TLS to it."""

    def receive(self, data: bytes) -> Iterable[Item]:
        try:
            yield from super().receive(data)
        except ssl.SSLError:
            yield RESET


def _server(said: bytes, within_tls: bool, tunnel: bool) -> Server:
    server: Server = Script(*_lines(said))
    if within_tls:
        server = _TLSServer(server)
    return ThroughTunnel(server) if tunnel else server


def _lines(connection: bytes) -> list[Sequence[Item]]:
    return [
        [_SAID.get(item, item) for item in line.split(_AT_ONCE) if item]
        for line in connection.split(_REQUEST)
    ]


def _check(outcome: Outcome) -> None:
    """The actions are in an order that a transport can follow, and the end is one."""
    if outcome.error is None:
        outcome.succeeded()
    else:
        assert isinstance(outcome.error, RemoteProtocolError | TransportError)
        assert not any(isinstance(event, End) for event in outcome.events)
    connecting = False
    for action in outcome.actions:
        match action:
            case Connect():
                connecting = True
            case Transfer():
                assert connecting
            case Release():
                assert connecting
                connecting = False
            case Sleep():  # before another attempt, or between two batches
                pass


_RAW = [
    head("content-length: 5") + b"hello",
    head() + b"till the close" + _AT_ONCE + b"!close",
    CHUNKED + chunk(b"hello") + b"1;a=b\r\nx\r\n" + b"0\r\nA: b\r\n\r\n",
    CHUNKED + chunk(b"hello") + _AT_ONCE + b"!reset",
    b"HTTP/1.1 100 Continue\r\n\r\n" + head("content-length: 0"),
    head("transfer-encoding: chunked", "content-length: 3") + LAST + b"HTTP/1.1",
    head("content-length: 3, 3", "content-encoding: gzip") + b"abc",
    head(status="204 No"),
    b"HTTP/1.0 200 OK\n\nhello" + _AT_ONCE + b"!close",
    b"\x16\x03\x01\r\n\r\n",
]
"""What answers a plain request."""


def _seeds(subject: Subject) -> Iterator[bytes]:
    """What the servers say, and the first byte of the choices."""
    kinds = [dict(each.headers)[b"content-type"] for each in subject.send_short().recorded]
    spoken = [_responses(subject, kinds, bodies) for bodies in answers(subject)]
    for responses in spoken:
        yield _REQUEST.join(responses) + b"\0"
        yield _CONNECTION.join(responses) + b"\0"
    whole = _REQUEST.join(spoken[0])
    slow = refusal("429 Slow", "retry-after: 1")
    yield refusal("401 No") + _REQUEST + whole + b"\0"
    yield slow + _REQUEST + whole + b"\x04"
    yield slow + b"x" + _CONNECTION + b"!close" + _CONNECTION + whole + b"\x04"
    yield whole.removesuffix(LAST) + _AT_ONCE + b"!wait" + _AT_ONCE + LAST + b"\0"
    yield from (whole + choice for choice in (b"\1", b"\x20", b"\x21"))


def _responses(subject: Subject, kinds: Iterable[bytes], bodies: Iterable[bytes]) -> list[bytes]:
    """Responses of these kinds with these bodies, in which a URL of the service is that of the
    peer."""
    url, responses = subject.provider.base_url.encode(), list[bytes]()
    for body, kind in zip(bodies, kinds, strict=False):
        content = body.replace(url, BASE.encode())
        start = head("transfer-encoding: chunked").replace(b"text/event-stream", kind)
        responses.append(start + (chunk(content) if content else b"") + LAST)
    return responses


_TLS = [
    b"HTTP/1.1 200 OK\r\n\r\n" + _REQUEST + b"\x15\x03\x03\0\2\2\x28" + b"\x11",
    b"HTTP/1.1 407 Who\r\n\r\n" + b"\x11",
    b"\x15\x03\x03\0\2\2\x28" + b"\x10",
]


def wires(subjects: Mapping[str, Subject]) -> Target:
    """The target."""
    clients = [_Client(None), *map(_Client, subjects.values())]

    def fuzz(data: bytes) -> None:
        said, choices = split(data, CUTS + 2)
        clients[choices[0] % len(clients)].fuzz(said, choices[1:])

    zeros = bytes(CUTS)
    seeds = [raw + b"\0\0" + zeros for raw in _RAW]
    for number, subject in enumerate(subjects.values(), 1):
        of_subject = [*_seeds(subject), *(_TLS if number == 1 else [])]
        seeds += [seed[:-1] + bytes((number,)) + seed[-1:] + zeros for seed in of_subject]
    return Target(fuzz, seeds, [*_WORDS, *words(*subjects.values())], max_len=1500)


_WORDS = [
    *(CHUNKED, ANSWER, LAST, chunk(TEXT), chunk(STOP), chunk(b"a"), TEXT, STOP, head()),
    *(head("content-length: 5"), refusal("503 No"), refusal("302 Found", "location: /")),
    *(_AT_ONCE, _REQUEST, _CONNECTION, b"!close", b"!reset", b"!wait", b"\r\n", b"\r\n\r\n"),
    *(b"HTTP/1.0 200 OK\r\n", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 101 S\r\n\r\n"),
    *(b"HTTP/1.1 100 Continue\r\n\r\n", b"connection: close\r\n", b"content-length: 1\r\n"),
    *(b"content-encoding: gzip\r\n", b"transfer-encoding: chunked\r\n", b"location: /\r\n"),
    b"retry-after: 1\r\n",
]
