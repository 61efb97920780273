"""Our reading of HTTP/1.1 against h11 alone: the same bytes, cut alike and cut in any way.

Both give the same head and body, or both fail; and we keep a connection only if h11 would. Where
we differ on purpose, a function here says exactly when and why, and a test of its own shows it.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Literal, NoReturn, TypeAlias, cast

import h11
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.cutting import bytewise, cuts, every_way, random_cut, whole
from tests.wiring import BASE, CLOSE, Item, Network, Script, raw_exchange
from tokenwire.protocols.errors import ConnectFailed, RemoteProtocolError
from tokenwire.protocols.events import Event
from tokenwire.protocols.exchange import Exchange
from tokenwire.protocols.retry import NO_RETRY
from tokenwire.protocols.toolkit.http import Headers, Origin, Request
from tokenwire.transports.client.connection import Connection, Route
from tokenwire.transports.client.proxy import Proxy
from tokenwire.transports.client.tunnel import Tunnel

LIMIT = 1 << 20
ROUTE = Route(Origin("http", "peer.example", 80))
GET = Request("GET", f"{BASE}/", [])
HEAD = Request("HEAD", f"{BASE}/", [])
POST_AND_CLOSE = Request("POST", f"{BASE}/", [(b"connection", b"close")], b"{}")

Verdict: TypeAlias = Literal["complete", "refused", "cut", "more"]
"""`refused`: these bytes are not HTTP. `cut`: the connection closed too early. `more` is to come.
"""


@dataclass
class Seen:
    """What one of the two made of one response. `kept`: another request may follow on the same
    connection. `why` it was refused, and the bytes that were to blame, where known."""

    status: int | None = None
    headers: Headers = field(default_factory=Headers)
    body: bytes = b""
    verdict: Verdict = "more"
    kept: bool = False
    why: str = ""
    blamed: bytes = b""
    version: bytes = b""  # these two h11 tells
    trailers: Headers = field(default_factory=Headers)

    @property
    def said(self) -> tuple[object, ...]:
        """What both have to agree on."""
        return self.status, self.headers, self.body, self.verdict

    @property
    def failed(self) -> bool:
        return self.verdict != "complete"


class Recorder:
    """In the place of an exchange: notes what the wire tells it, and understands nothing."""

    def __init__(self) -> None:
        self.seen = Seen()

    def receive_response(self, status: int, headers: Headers) -> None:
        self.seen.status, self.seen.headers = status, headers

    has_more = False

    def receive_batch(self, data: bytes) -> list[Event]:
        self.seen.body += data
        return []

    def receive_eof(self, framed: bool) -> list[Event]:
        self.seen.verdict = "complete"
        return []

    def receive_disconnect(self) -> list[Event]:
        self.seen.verdict = "cut"
        return []


def no_tls() -> NoReturn:
    raise AssertionError("plain http needs no TLS")


class Ours:
    """Our client on one connection: `Connection`, with all that it stacks, but nothing above."""

    def __init__(self) -> None:
        self._connection = Connection(ROUTE, LIMIT, no_tls)

    def ask(self, request: Request, pieces: Iterable[bytes], *, close: bool) -> Seen:
        """What comes of a request that is answered with `pieces`, and `close`d behind them."""
        recorder, events = Recorder(), list[Event]()
        exchange, seen = cast(Exchange, recorder), recorder.seen
        self._connection.start(request, LIMIT)
        assert self._connection.data_to_send()
        try:
            for piece in pieces:
                self._connection.receive(piece, exchange, events)
            if close:
                self._connection.eof(True, exchange, events)
        except RemoteProtocolError as error:
            seen.verdict, seen.why, seen.blamed = "refused", error.message, error.data
        http = self._connection.http
        assert http.complete == (seen.verdict in ("complete", "cut"))
        if seen.verdict == "more" and close:  # in the head, of which an exchange hears nothing
            seen.verdict = "cut"
        seen.kept = seen.verdict == "complete" and http.reusable
        return seen


class Theirs:
    """h11 as a client, as its documentation shows."""

    def __init__(self) -> None:
        self._h11 = h11.Connection(h11.CLIENT, max_incomplete_event_size=LIMIT)

    def ask(self, request: Request, pieces: Iterable[bytes], *, close: bool) -> Seen:
        seen = Seen()
        if self._h11.our_state is not h11.IDLE:
            self._h11.start_next_cycle()
        headers = [(b"host", b"peer.example"), *request.headers]
        if request.body:
            headers.append((b"content-length", b"%d" % len(request.body)))
        self._h11.send(h11.Request(method=request.method, target="/", headers=headers))
        self._h11.send(h11.Data(data=request.body))
        self._h11.send(h11.EndOfMessage())
        try:
            for piece in filter(None, pieces):
                self._h11.receive_data(piece)
                self._read(seen)
            if close and seen.verdict == "more":
                self._h11.receive_data(b"")
                self._read(seen)
        except h11.RemoteProtocolError as error:
            seen.verdict, seen.why = "refused", str(error)
        seen.kept = (
            not close
            and self._h11.our_state is h11.DONE
            and self._h11.their_state is h11.DONE
            and not self._h11.trailing_data[0]
        )
        return seen

    def _read(self, seen: Seen) -> None:
        while seen.verdict == "more":
            match self._h11.next_event():
                case h11.InformationalResponse():
                    pass
                case h11.Response() as response:
                    seen.status, seen.headers = response.status_code, list(response.headers)
                    seen.version = response.http_version
                case h11.Data() as data:
                    seen.body += bytes(data.data)
                case h11.EndOfMessage() as end:
                    seen.verdict, seen.trailers = "complete", list(end.headers)
                case _:
                    return


# Where we differ on purpose

Excuse: TypeAlias = Callable[[Seen, Seen], bool]
_EXTENSION_WITH_CONTROLS = re.compile(
    rb"[0-9A-Fa-f]{1,20};[^\n]*[\x00-\x08\x0b-\x1f\x7f][^\n]*\r\Z"  # the last CR is the line's end
)
_FRAMING_IS_WRONG = re.compile(
    "bad Content-Length|conflicting Content-Length|multiple Transfer-Encoding|Only Transfer-Enc"
)


def control_in_a_chunk_extension(mine: Seen, referee: Seen) -> bool:
    """RFC 9112 7.1.1: an extension is tokens and quoted strings. h11 takes any bytes in it, a bare
    CR among them, at which others end the line: that is how chunks are smuggled."""
    return (
        mine.why == "a chunk of the body has no valid size"
        and _EXTENSION_WITH_CONTROLS.match(mine.blamed) is not None
        and referee.body.startswith(mine.body)
    )


def framing_in_a_trailer(mine: Seen, referee: Seen) -> bool:
    """RFC 9110 6.5.1: what frames a message means nothing in a trailer, and is to be ignored. h11
    checks it there, and refuses the whole body for it. We take the body; not the connection."""
    return (
        referee.status is not None
        and _FRAMING_IS_WRONG.search(referee.why) is not None
        and mine.body == referee.body
        and not mine.kept
    )


ON_PURPOSE: tuple[Excuse, ...] = (control_in_a_chunk_extension, framing_in_a_trailer)


def doubtful(referee: Seen) -> bool:
    """Where we give up a connection that h11 would keep."""
    length, coding = b"content-length", b"transfer-encoding"
    names, trailers = dict(referee.headers), dict(referee.trailers)
    return (
        # RFC 9112 6.1: both are a sign of an attempt at smuggling; close behind it.
        (length in names and coding in names)
        # RFC 9110 6.5.1: neither may be sent here.
        or length in trailers
        or coding in trailers
        # h11 takes HTTP/1.2 up to 9.9 for successors of 1.1. What answers like that is no server.
        or referee.version != b"1.1"
    )


def assert_alike(mine: Seen, referee: Seen) -> None:
    """The two agree, or `ON_PURPOSE` says why not."""
    assert not mine.kept or referee.kept, (mine, referee)
    if any(excuse(mine, referee) for excuse in ON_PURPOSE):
        return
    if mine.failed and referee.failed:
        # Each is sooner than the other to refuse some line, and to see that a close came too early.
        assert (mine.body, mine.kept, referee.kept) == (referee.body, False, False), (mine, referee)
    else:
        assert mine.said == referee.said, (mine, referee)
        assert mine.kept == (referee.kept and not doubtful(referee)), (mine, referee)


def both(
    pieces: Sequence[bytes], *, request: Request = GET, close: bool = False
) -> tuple[Seen, Seen]:
    """What comes of one response, at our end and at h11's."""
    return Ours().ask(request, pieces, close=close), Theirs().ask(request, pieces, close=close)


def compare(data: bytes, ways: Iterable[list[bytes]], request: Request = GET) -> Seen:
    """Hold what we make of `data`, which is the same in each of `ways` to cut it, to what h11 makes
    of it whole and in the last of them. Our outcome, if the connection stays open."""
    ways = list(ways)
    for close in (True, False):
        mine, referee = both(whole(data), request=request, close=close)
        assert_alike(mine, referee)
        for pieces in ways:
            assert Ours().ask(request, pieces, close=close) == mine
        assert_alike(mine, Theirs().ask(request, ways[-1], close=close))
    return mine


# Responses: mostly right, as only that leads on to where it can go wrong

CRLF = b"\r\n"
OK = b"HTTP/1.1 200 OK\r\n"


def one_of(*values: bytes) -> st.SearchStrategy[bytes]:
    return st.sampled_from(values)


def mostly(usual: bytes, *values: bytes) -> st.SearchStrategy[bytes]:
    return st.sampled_from([usual] * 6 * len(values) + list(values))


def joined(*parts: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    return st.tuples(*parts).map(b"".join)


def chunk(content: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(content), content)


END = mostly(CRLF, b"\n", b"\r", b"\r\r\n", b"\n\r", b"")
STATUS_LINE = joined(
    mostly(
        b"HTTP/1.1 200 OK",
        *(b"HTTP/1.1 204 No Content", b"HTTP/1.1 304 Not Modified", b"HTTP/1.1 500 x"),
        *(b"HTTP/1.0 200 OK", b"HTTP/1.2 200 OK", b"HTTP/0.9 200 OK", b"HTTP/2.0 200 OK"),
        *(b"HTTP/1.1 200", b"HTTP/1.1 200 ", b"HTTP/1.1 101 x", b"HTTP/1.1 099 x"),
        *(b"HTTP/1.1  200 OK", b"HTTP/1.1\t200 OK", b"HTTP/1.1 2000 OK", b"HTTP/1.1 20 OK"),
        *(b" HTTP/1.1 200 OK", b"http/1.1 200 OK", b"HTTP/2 200", b"HTTP/1.1 200 \xff\x00"),
        *(b"HTTP/1.1 999 x", b"\r\nHTTP/1.1 200 OK", b"ICY 200 OK"),
    ),
    END,
)
LENGTH_VALUE = mostly(
    b"5",
    *(b"0", b"05", b"6", b"5, 5", b"5,6", b"5,", b",5", b"+5", b"-5", b"0x5", b" 5 ", b"5\t"),
    *(b"5 5", b"5;", b"5.0", b"1e1", b"1_0", b"", b"\xd9\xa5", b"\xb2", b"5\x00", b"5\x0b", b"5\r"),
    *(b"9" * 20, b"9" * 21, b"0" * 20 + b"5", b"18446744073709551621", b"5\r\n 5", b"\r\n 5"),
)
CODING_VALUE = mostly(
    b"chunked",
    *(b"Chunked", b"chunked ", b"chunked, chunked", b"gzip, chunked", b"chunked, identity"),
    *(b"identity", b"", b"chunked;q=1", b'"chunked"', b"\x0bchunked", b"xchunked", b"chunked\x00"),
    *(b"chunked,", b"chunked\r\n ", b"\r\n chunked"),
)
NAME_END = mostly(b": ", b":", b" : ", b":  ", b":\t", b"", b"\t:", b"\x00: ", b":\r\n ")
HEADER = joined(
    st.one_of(
        joined(
            mostly(b"Content-Length", b"content-length", b"Content_Length"), NAME_END, LENGTH_VALUE
        ),
        joined(mostly(b"Transfer-Encoding", b"TRANSFER-ENCODING", b"TE"), NAME_END, CODING_VALUE),
        joined(
            st.just(b"connection: "),
            one_of(b"close", b"keep-alive", b"Close", b"x, close", b"keep-alive,close,", b"x-close")
            | one_of(b"closed", b'"close"', b"", b"upgrade", b"close\x00", b"c lose"),
        ),
        one_of(b"a: b", b"a:", b": b", b"a b: c", b"no colon", b" fold", b"\tfold", b"a: \x00")
        | one_of(b"a: \x01", b"a: \xff", b"\xff: a", b"a: b\rc", b"upgrade: x", b"trailer: a"),
    ),
    END,
)
INTERIM = one_of(
    b"HTTP/1.1 100 Continue\r\n\r\n",
    b"HTTP/1.1 103 Early Hints\r\ncontent-length: 5\r\n\r\n",
    b"HTTP/1.1 102 x\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n",
    b"HTTP/1.0 100 x\r\n\r\n",
)
SIZE = mostly(
    b"5",
    *(b"0", b"1", b"05", b"a", b"A", b"+5", b"-5", b"0x5", b" 5", b"5 ", b"5\t", b"", b"g", b"1_0"),
    *(b"f" * 16, b"f" * 20, b"f" * 21, b"0" * 19 + b"5", b"0" * 20 + b"5", b"5\x00", b"5\x0b"),
    *(b"\xd9\xa5", b"5,5", b"5.0", b"00", b"-0"),
)
EXTENSION = mostly(
    b"",
    *(b";", b";a", b";a=b", b';a="b"', b';a="b;c"', b';a="\\""', b'; a = "b\tc"', b" ;a", b";a "),
    *(
        b";\xff",
        b";a\x00",
        b";a\x7f",
        b";a\rb",
        b';a="\r"',
        b';a="\n"',
        b';a="\r\n5"',
        b"a",
        b";\r",
    ),
)
TRAILER = joined(
    one_of(b"A: b", b"a:", b":", b": b", b"a b: c", b"a : b", b" fold", b"\tfold", b"A: \x00", b"")
    | one_of(b"A: \x0b", b"A: \xff", b"a\x80: b", b"no colon", b"A: \x1c", b" ", b"A: b\rc")
    | one_of(b"content-length: 5", b"Content-Length: x", b"content-length: 5, 6", b"host: a")
    | one_of(b"transfer-encoding: chunked", b"Transfer-Encoding: gzip", b"connection: close"),
    END,
)
CHUNK = st.one_of(
    st.binary(min_size=1, max_size=6).map(chunk),
    joined(SIZE, EXTENSION, END, mostly(b"hello", b"hell", b"hello!", b"", b"\r\n"), END),
)
LAST_CHUNK = joined(mostly(b"0", b"000", b"0 ", b"-0", b"0;a"), END)
CHUNKED_BODY = joined(
    st.lists(CHUNK, max_size=3).map(b"".join),
    LAST_CHUNK,
    st.lists(TRAILER, max_size=2).map(b"".join),
    END,
)
BODY = st.one_of(mostly(b"hello", b"", b"hell", b"hello!"), CHUNKED_BODY, st.binary(max_size=8))
BEHIND = mostly(b"", b"\r\n", b"x", OK + b"content-length: 0\r\n\r\n", b"0\r\n\r\n", b"\x00")
# One framing header and the body that goes with it; everything else is hostile, or about to be.
FRAMED = st.one_of(
    joined(st.just(b"content-length: 5\r\n"), END, mostly(b"hello", b"hell")),
    joined(st.just(b"transfer-encoding: chunked\r\n"), END, CHUNKED_BODY),
    joined(END, BODY),
)
RESPONSE = joined(
    st.lists(INTERIM, max_size=1).map(b"".join),
    STATUS_LINE,
    st.lists(HEADER, max_size=2).map(b"".join),
    FRAMED,
    BEHIND,
)
# Bodies get as far as they go only behind a head that is right.
CHUNKED_RESPONSE = joined(st.just(OK + b"transfer-encoding: chunked\r\n\r\n"), CHUNKED_BODY, BEHIND)
REQUESTS = st.sampled_from([GET, GET, HEAD, POST_AND_CLOSE])


@st.composite
def mutated(draw: st.DrawFn, responses: st.SearchStrategy[bytes] = RESPONSE) -> bytes:
    """A response with some bytes changed."""
    data = bytearray(draw(responses))
    for _ in range(draw(st.integers(1, 3))):
        place = draw(st.integers(0, len(data)))
        end = place + draw(st.integers(0, 4))
        match draw(st.sampled_from(["insert", "delete", "double", "replace"])):
            case "insert":
                data[place:place] = draw(
                    one_of(b"\r", b"\n", b"\r\n", b" ", b"\x00", b":", b"0", b";")
                )
            case "delete":
                del data[place:end]
            case "double":
                data[place:place] = data[place:end]
            case _:
                data[place : place + 1] = draw(st.binary(min_size=1, max_size=1))
    return bytes(data)


@settings(max_examples=400)
@given(RESPONSE, REQUESTS, st.data())
def test_responses(data: bytes, request: Request, draw: st.DataObject) -> None:
    compare(data, [bytewise(data), draw.draw(cuts(data))], request)


@settings(max_examples=300)
@given(CHUNKED_RESPONSE, st.data())
def test_chunked_responses(data: bytes, draw: st.DataObject) -> None:
    compare(data, [bytewise(data), draw.draw(cuts(data))])


@settings(max_examples=300)
@given(mutated(), REQUESTS, st.data())
def test_responses_that_were_damaged(data: bytes, request: Request, draw: st.DataObject) -> None:
    compare(data, [bytewise(data), draw.draw(cuts(data))], request)


@settings(max_examples=50)
@given(RESPONSE | CHUNKED_RESPONSE, REQUESTS)
def test_an_early_close_at_every_place(data: bytes, request: Request) -> None:
    for end in range(len(data)):
        assert_alike(*both([data[:end]], request=request, close=True))


# Connections


@settings(max_examples=150)
@given(
    st.lists(st.tuples(RESPONSE | CHUNKED_RESPONSE | mutated(), REQUESTS), min_size=2, max_size=4),
    st.data(),
)
def test_a_connection_is_kept_only_where_h11_keeps_it(
    rounds: list[tuple[bytes, Request]], draw: st.DataObject
) -> None:
    """And what comes next on it is read alike: nobody can make us take one answer for another."""
    ours, theirs = Ours(), Theirs()
    for data, request in rounds:
        pieces = draw.draw(cuts(data))
        mine = ours.ask(request, pieces, close=False)
        assert_alike(mine, theirs.ask(request, pieces, close=False))
        if not mine.kept:
            break


@settings(max_examples=100)
@given(RESPONSE | CHUNKED_RESPONSE | mutated(), st.integers(0, 9), st.booleans())
def test_the_wire_keeps_no_other_connection(data: bytes, seed: int, close: bool) -> None:
    """The same through all that stands between a socket and a question: the wire drains, too."""
    lines: list[Item] = [data, CLOSE] if close else [data]
    network = Network(Script(lines), cut=partial(random_cut, seed=seed), retry=NO_RETRY)
    outcome = network.ask(raw_exchange(GET))
    assert len(outcome.releases) == 1
    # What it has not read yet, a transport finds before it uses the connection again.
    unread = [item for _, item in network.links[0].inbox if isinstance(item, bytes)]
    read = data.removesuffix(b"".join(unread))
    assert not outcome.releases[0] or Theirs().ask(GET, [read], close=False).kept


PLAIN = OK + b"content-length: 5\r\n\r\nhello"


def test_several_answers_on_one_connection() -> None:
    """What the property above rests on: connections are kept."""
    ours, theirs = Ours(), Theirs()
    bodies = [
        PLAIN,
        OK + b"transfer-encoding: chunked\r\n\r\n" + chunk(b"hel") + chunk(b"lo") + b"0\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n" + PLAIN,
        PLAIN + b"HTTP/1.1 200",
    ]
    for number, data in enumerate(bodies):
        mine, referee = (each.ask(GET, bytewise(data), close=False) for each in (ours, theirs))
        assert mine.said == referee.said
        assert mine.body == b"hello"
        assert mine.kept == referee.kept == (number < 3)


@pytest.mark.parametrize(
    ("data", "asked"),
    [
        (OK + b"content-length: 5\r\nconnection: x-close\r\n\r\nhello", GET),
        (OK + b"content-length: 5\r\n\r\n", HEAD),
        (OK + b"transfer-encoding: chunked\r\n\r\n", HEAD),
        (OK + b"\r\n", HEAD),
        (b"HTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\n\r\n", GET),
        (b"HTTP/1.1 204 No Content\r\ntransfer-encoding: chunked\r\n\r\n", GET),
    ],
)
def test_a_response_after_which_the_connection_is_kept(data: bytes, asked: Request) -> None:
    mine, referee = both(whole(data), request=asked)
    assert mine.said == referee.said
    assert mine.kept == referee.kept is True


@pytest.mark.parametrize(
    ("data", "asked"),
    [
        (OK + b"connection: a,CLOSE\r\ncontent-length: 5\r\n\r\nhello", GET),
        (b"HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 5\r\n\r\nhello", GET),
        (PLAIN, POST_AND_CLOSE),
        (PLAIN + b"\r\n", GET),
        (PLAIN + PLAIN, GET),
        (OK + b"content-length: 5\r\n\r\nhello", HEAD),
    ],
)
def test_a_response_after_which_it_is_not(data: bytes, asked: Request) -> None:
    mine, referee = both(whole(data), request=asked)
    assert mine.said == referee.said
    assert mine.verdict == "complete"
    assert mine.kept == referee.kept is False


def test_a_kept_connection_of_the_wire() -> None:
    """What the property of the wire rests on."""
    for cut in (whole, bytewise):
        assert Network(Script(PLAIN), cut=cut).ask(raw_exchange(GET)).releases == [True]


# A proxy's answer to CONNECT


def tunnel(pieces: Iterable[bytes]) -> tuple[str, bytes]:
    """Whether the way is open, and the first bytes of what lies behind the proxy."""
    way = Tunnel(Proxy.of("http://proxy.example:3128"), Origin("https", "a.example", 443), LIMIT)
    behind = b""
    try:
        for piece in filter(None, pieces):
            behind += piece if way.established else way.receive(piece)
    except ConnectFailed:
        return "refused", b""
    if way.refusal is not None:
        return "refused", b""
    return "open" if way.established else "more", behind


def tunnel_of_h11(pieces: Iterable[bytes]) -> tuple[str, bytes]:
    connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=LIMIT)
    target, host = "a.example:443", [("host", "a.example:443")]
    connection.send(h11.Request(method="CONNECT", target=target, headers=host))
    connection.send(h11.EndOfMessage())
    try:
        for piece in filter(None, pieces):
            connection.receive_data(piece)
            while isinstance(event := connection.next_event(), h11.InformationalResponse):
                pass
            if isinstance(event, h11.Response) and connection.their_state is not (
                h11.SWITCHED_PROTOCOL
            ):
                return "refused", b""
    except h11.RemoteProtocolError:
        return "refused", b""
    switched = connection.their_state is h11.SWITCHED_PROTOCOL
    return ("open", connection.trailing_data[0]) if switched else ("more", b"")


@settings(max_examples=200)
@given(RESPONSE | mutated(), st.data())
def test_the_answer_of_a_proxy(data: bytes, draw: st.DataObject) -> None:
    pieces = draw.draw(cuts(data))
    assert tunnel(pieces) == tunnel(bytewise(data)) == tunnel_of_h11(whole(data))
    assert tunnel(pieces) == tunnel_of_h11(pieces)


# Hostile framing, by name. Each fails at both ends, unless the table further down has it.


def chunked(*body: bytes) -> bytes:
    return OK + b"transfer-encoding: chunked\r\n\r\n" + b"".join(body)


HOSTILE = {
    "two different lengths": OK + b"content-length: 5\r\ncontent-length: 6\r\n\r\nhello!",
    "two lengths in one header": OK + b"content-length: 5, 6\r\n\r\nhello!",
    "a length and nothing": OK + b"content-length: 5,\r\n\r\nhello",
    "an empty length": OK + b"content-length:\r\n\r\nhello",
    "a length with a plus": OK + b"content-length: +5\r\n\r\nhello",
    "a negative length": OK + b"content-length: -5\r\n\r\nhello",
    "a hexadecimal length": OK + b"content-length: 0x5\r\n\r\nhello",
    "a length with an underscore": OK + b"content-length: 0_5\r\n\r\nhello",
    "a length in Arabic digits": OK + b"content-length: \xd9\xa5\r\n\r\nhello",
    "a length of 21 digits": OK + b"content-length: " + b"0" * 20 + b"5\r\n\r\nhello",
    "a length with a NUL": OK + b"content-length: 5\0\r\n\r\nhello",
    "a length that is folded": OK + b"content-length: 5\r\n 6\r\n\r\nhello",
    "white space before the colon": OK + b"content-length : 5\r\n\r\nhello",
    "a fold before any header": OK + b" content-length: 5\r\n\r\nhello",
    "a bare CR for a line's end": OK + b"a: b\rcontent-length: 5\r\n\r\nhello",
    "a NUL in a header": OK + b"a: \0\r\ncontent-length: 5\r\n\r\nhello",
    "an unknown coding": OK + b"transfer-encoding: gzip\r\n\r\nhello",
    "chunked is not the only coding": OK + b"transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "chunked twice": OK + b"transfer-encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
    "two codings": OK + b"transfer-encoding: chunked\r\ntransfer-encoding: x\r\n\r\n0\r\n\r\n",
    "a disguised coding": OK + b"transfer-encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
    "an empty coding": OK + b"transfer-encoding:\r\ncontent-length: 5\r\n\r\nhello",
    "a chunk size with a plus": chunked(b"+5\r\nhello\r\n0\r\n\r\n"),
    "a negative chunk size": chunked(b"-5\r\nhello\r\n0\r\n\r\n"),
    "a chunk size with 0x": chunked(b"0x5\r\nhello\r\n0\r\n\r\n"),
    "a chunk size with an underscore": chunked(b"0_5\r\nhello\r\n0\r\n\r\n"),
    "a chunk size of 21 digits": chunked(b"0" * 20 + b"5\r\nhello\r\n0\r\n\r\n"),
    "white space before a chunk size": chunked(b" 5\r\nhello\r\n0\r\n\r\n"),
    "no chunk size": chunked(b"\r\nhello\r\n0\r\n\r\n"),
    "a chunk size that ends with LF": chunked(b"5\nhello\r\n0\r\n\r\n"),
    "a chunk size that ends with CR": chunked(b"5\rhello\r\n0\r\n\r\n"),
    "an extension with LF": chunked(b"5;a\nb\r\nhello\r\n0\r\n\r\n"),
    "an extension with a quoted line end": chunked(b'5;a="\r\n"\r\nhello\r\n0\r\n\r\n'),
    "no line end behind a chunk": chunked(b"5\r\nhello0\r\n\r\n"),
    "LF behind a chunk": chunked(b"5\r\nhello\n0\r\n\r\n"),
    "a chunk longer than its size": chunked(b"4\r\nhello\r\n0\r\n\r\n"),
    "a chunk shorter than its size": chunked(b"6\r\nhello\r\n0\r\n\r\n"),
    "a huge chunk that is cut": chunked(b"f" * 20 + b"\r\nhello\r\n0\r\n\r\n"),
    "a trailer without a colon": chunked(b"0\r\ntrailer\r\n\r\n"),
    "a trailer with a NUL": chunked(b"0\r\na: \0\r\n\r\n"),
    "a trailer with a bare CR": chunked(b"0\r\na: b\rc: d\r\n\r\n"),
    "a folded line for the first trailer": chunked(b"0\r\n a: b\r\n\r\n"),
    "the next response for a trailer": chunked(b"0\r\n" + PLAIN),
    "an upgrade that nobody asked for": b"HTTP/1.1 101 x\r\n\r\n" + PLAIN,
    "another protocol": b"SSH-2.0-OpenSSH_9.6\r\n\r\n" + PLAIN,
    "a blank line before the head": b"\r\n" + PLAIN,
}


@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_framing_is_refused(data: bytes) -> None:
    mine, referee = both(whole(data), close=True)
    assert mine.failed
    assert referee.failed
    assert mine.body == referee.body
    assert not compare(data, every_way(data)).kept


TOLERATED = {
    # RFC 9112 6.3: the chunks count.
    "a length and chunks": (
        OK + b"content-length: 3\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        False,
    ),
    # RFC 9112 6.3: the same length several times may be taken for one.
    "the same length twice": (OK + b"content-length: 5\r\ncontent-length: 5\r\n\r\nhello", True),
    "the same length in one header": (OK + b"content-length: 5, 5\r\n\r\nhello", True),
    "a length of 20 digits": (OK + b"content-length: " + b"0" * 19 + b"5\r\n\r\nhello", True),
    "a length in white space": (OK + b"content-length: \t5 \t\r\n\r\nhello", True),
    "a length on a line of its own": (OK + b"content-length:\r\n 5\r\n\r\nhello", True),
    # RFC 9112 2.2: LF alone may be taken for a line's end, in a head.
    "LF for all line ends of a head": (b"HTTP/1.1 200 OK\ncontent-length: 5\n\nhello", True),
    "a folded header": (OK + b"a: b\r\n\tc\r\ncontent-length: 5\r\n\r\nhello", True),
    "chunked in capitals": (
        OK + b"Transfer-Encoding: CHUNKED\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        True,
    ),
    "padding behind a chunk size": (chunked(b"5 \t\r\nhello\r\n0 \r\n\r\n"), True),
    "a chunk size of 20 digits": (chunked(b"0" * 19 + b"5\r\nhello\r\n0\r\n\r\n"), True),
    "quotes in an extension": (chunked(b'5;a="b;\\"c"\r\nhello\r\n0;d\r\n\r\n'), True),
    "trailers, one folded": (chunked(b"5\r\nhello\r\n0\r\na: b\r\n c\nd:\r\n\r\n"), True),
    "chunks from HTTP/1.0": (
        b"HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        False,
    ),
    "a successor of HTTP/1.1": (PLAIN.replace(b"1.1", b"1.2"), False),
}


@pytest.mark.parametrize(("data", "kept"), TOLERATED.values(), ids=TOLERATED.keys())
def test_what_h11_tolerates_we_tolerate(data: bytes, kept: bool) -> None:
    seen = compare(data, every_way(data))
    assert (seen.body, seen.verdict, seen.kept) == (b"hello", "complete", kept)


# The differences, each shown


@pytest.mark.parametrize("control", [b"\0", b"\r", b"\x0b", b"\x1f", b"\x7f"])
def test_a_control_character_in_a_chunk_extension(control: bytes) -> None:
    data = chunked(b"5;a" + control + b"\r\nhello\r\n0\r\n\r\n")
    mine, referee = both(whole(data))
    assert (mine.verdict, referee.verdict) == ("refused", "complete")
    assert control_in_a_chunk_extension(mine, referee)
    assert not compare(data, every_way(data)).kept


@pytest.mark.parametrize(
    "trailer",
    [
        *(b"Content-Length: x", b"content-length: 5, 6", b"content-length: " + b"1" * 21),
        b"content-length: 5\r\ncontent-length: 6",
        *(b"transfer-encoding: gzip", b"transfer-encoding: chunked\r\ntransfer-encoding: chunked"),
    ],
)
def test_a_trailer_that_speaks_of_framing(trailer: bytes) -> None:
    data = chunked(b"5\r\nhello\r\n0\r\n" + trailer + b"\r\n\r\n")
    mine, referee = both(whole(data))
    assert (mine.verdict, referee.verdict) == ("complete", "refused")
    assert framing_in_a_trailer(mine, referee)
    assert not compare(data, every_way(data)).kept


@pytest.mark.parametrize(
    "data",
    [
        PLAIN.replace(b"1.1", b"2.0"),
        OK + b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        chunked(b"0\r\ncontent-length: 5\r\n\r\n"),
        chunked(b"0\r\nTransfer-Encoding: chunked\r\n\r\n"),
    ],
)
def test_a_connection_that_only_we_give_up(data: bytes) -> None:
    mine, referee = both(whole(data))
    assert mine.said == referee.said
    assert (mine.kept, referee.kept) == (False, True)
    assert doubtful(referee)
