"""The wire: any bytes of a peer, on any number of connections.

An input is what servers say. The byte 0x1D stands between two connections, 0x1E between what is
said to one request and to the next, 0x1C between what is said at once; `!close`, `!reset` and
`!wait` in the place of bytes do that. What may come out: events, and a `RemoteProtocolError` or a
`TransportError`.
"""

import ssl
from collections.abc import Callable, Iterable, Sequence
from functools import cache

from tests.certificates import client_context
from tests.cutting import whole as uncut
from tests.fuzzing.clients import SMALL, asked
from tests.fuzzing.seeds import answer
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
from tokenwire.protocols.events import End, Text
from tokenwire.protocols.exchange import Exchange
from tokenwire.protocols.limits import Limits
from tokenwire.protocols.retry import NO_RETRY, Retry
from tokenwire.protocols.toolkit.http import Request
from tokenwire.transports.client.wire import Connect, Release, Sleep, Transfer

__all__ = ["WIRE"]

_SAID: dict[bytes, Item] = {b"!close": CLOSE, b"!reset": RESET, b"!wait": Wait(70)}
_ASKED = ["", "darkai", "openai", "aichats", "dalle", "aichatonline"]
_CLOCKS, _RETRY = Clocks(first_event=100, total=1000), Retry()
_HTTPS = BASE.replace("http:", "https:")
_KEY, _PASSWORD = "sekret-0123456789", "hunter22"
_AT_ONCE, _REQUEST, _CONNECTION = b"\x1c", b"\x1e", b"\x1d"


def _fuzz(data: bytes) -> None:
    said, choices = split(data, CUTS + 2)
    asked_of = _ASKED[choices[0] % len(_ASKED)]
    proxy, small, retry, think = (bool(choices[1] & 1 << bit) for bit in range(4))
    # Seldom, as it is slow: what is said is no TLS, or is said within it.
    no_tls, within_tls = choices[1] >> 4 == 1, choices[1] >> 4 == 2
    https = no_tls or within_tls
    exchange = _exchange(asked_of, https, small)

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
        secrets = [_PASSWORD] * proxy + [_KEY] * (asked_of == "openai")
        assert not any(secret in str(outcome.error) for secret in secrets)
        assert all(link.closed or True in outcome.releases for link in network.links)
        return outcome

    cut = ask(cut_by(choices[2:], least=8))
    # What a peer says behind one response is read as the next one's, or not, as it happens to
    # come: so of several requests nothing is the same. Nor is it where the reader takes its time.
    if not (retry or think or asked_of in ("dalle", "aichatonline")):
        assert _what(cut, asked_of) == _what(ask(uncut), asked_of)


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


@cache
def _exchange(asked_of: str, https: bool, small: bool) -> Exchange:
    if not asked_of:
        return raw_exchange(Request("GET", f"{_HTTPS if https else BASE}/", []))
    name, model = ("aichats", "dalle") if asked_of == "dalle" else (asked_of, "")
    chat = as_chat("hi", model=model or ("m" if name == "openai" else ""))
    limits = SMALL if small else Limits()
    key = _KEY if name == "openai" else None
    return asked(name, chat, limits, base_url=_HTTPS if https else BASE, key=key)


def _check(outcome: Outcome) -> None:
    """The actions are in an order that a transport can follow, and the end is one."""
    if outcome.error is None:
        outcome.succeeded()
    else:
        assert isinstance(outcome.error, RemoteProtocolError | TransportError)
        assert not any(isinstance(event, End) for event in outcome.events)
    connecting = talking = False
    for action in outcome.actions:
        match action:
            case Connect():
                connecting, talking = True, False
            case Transfer():
                assert connecting
                talking = True
            case Release():
                assert connecting
                connecting = talking = False
            case Sleep():
                assert not talking


def _what(outcome: Outcome, asked_of: str) -> tuple[object, ...]:
    events = outcome.events if asked_of else body_of(outcome.events)
    return events, outcome.error is None, type(outcome.error), str(outcome.error)


def _seeds() -> list[bytes]:
    zeros = bytes(CUTS)
    raw = [
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
    seeds = [seed + b"\0\0" + zeros for seed in raw]
    say = answer("darkai", [Text("a"), End("terminator")])
    dark = [
        ANSWER,
        head(f"content-length: {len(say)}") + say,
        CHUNKED + chunk(TEXT) + _AT_ONCE + b"!wait" + _AT_ONCE + chunk(STOP) + LAST,
        refusal("401 No") + _REQUEST + ANSWER,
    ]
    seeds += [seed + b"\1\0" + zeros for seed in dark]
    slow = refusal("429 Slow", "retry-after: 1")
    seeds.append(slow + _REQUEST + ANSWER + b"\1\x04" + zeros)
    seeds.append(slow + b"x" + _CONNECTION + b"!close" + _CONNECTION + ANSWER + b"\1\x04" + zeros)
    seeds.append(ANSWER + b"\1\1" + zeros)
    picture = chunk(b'{"data":[{"url":"http://pictures.example/1"}]}')
    png = head("content-type: image/png", "content-length: 3") + b"PNG"
    seeds.append(CHUNKED + picture + LAST + _CONNECTION + png + b"\4\0" + zeros)
    private = chunk(b'{"data":[{"url":"http://127.0.0.1/"}]}')
    seeds.append(CHUNKED + private + LAST + _CONNECTION + png + b"\4\0" + zeros)
    token, line = chunk(b'{"data":"t"}'), chunk(b'{"data":{"message":"a"}}\n')
    said = CHUNKED + token + LAST + _REQUEST + CHUNKED + line + LAST
    seeds.append(said + b"\5\0" + zeros)
    seeds.append(
        b"HTTP/1.1 200 OK\r\n\r\n" + _REQUEST + b"\x15\x03\x03\0\2\2\x28" + b"\1\x11" + zeros
    )
    seeds.append(b"HTTP/1.1 407 Who\r\n\r\n" + b"\1\x11" + zeros)
    seeds.append(b"\x15\x03\x03\0\2\2\x28" + b"\1\x10" + zeros)
    seeds += [ANSWER + choices + zeros for choices in (b"\1\x20", b"\1\x21")]
    finish = chunk(b'data: {"choices":[{"delta":{"content":"a"},"finish_reason":"stop"}]}\n\n')
    seeds.append(CHUNKED + finish + chunk(b"data: [DONE]\n\n") + LAST + b"\2\0" + zeros)
    return seeds


WIRE = Target(
    _fuzz,
    _seeds(),
    [
        *(CHUNKED, ANSWER, LAST, chunk(TEXT), chunk(STOP), chunk(b"a"), TEXT, STOP, head()),
        *(head("content-length: 5"), refusal("503 No"), refusal("302 Found", "location: /")),
        *(_AT_ONCE, _REQUEST, _CONNECTION, b"!close", b"!reset", b"!wait", b"\r\n", b"\r\n\r\n"),
        *(b"HTTP/1.0 200 OK\r\n", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 101 S\r\n\r\n"),
        *(b"HTTP/1.1 100 Continue\r\n\r\n", b"connection: close\r\n", b"content-length: 1\r\n"),
        *(b"content-encoding: gzip\r\n", b"transfer-encoding: chunked\r\n", b"location: /\r\n"),
        b"retry-after: 1\r\n",
    ],
    max_len=400,
)
