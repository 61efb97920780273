"""What grows: limits that hold whatever the cutting, memory that they bound, work that is linear.

Memory is measured by tracemalloc, from before the first byte is fed; the pieces are made before,
and what is handed out is dropped at once. Work is counted (`tests.counting`), not timed.
"""

import gzip
import tracemalloc
import zlib
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import chain, repeat
from random import Random
from typing import Any

import pytest

from tests import counting
from tests.counting import instrumented, instrumented_source
from tests.cutting import at, bytewise, random_cut, whole
from tests.driving import JSON, SSE, Cut, Outcome, Response, drive
from tests.subjects import SUBJECTS
from tests.wiring import BASE, Network, Script, chunk, head, raw_exchange
from tokenwire.protocols.chat import as_chat
from tokenwire.protocols.errors import (
    ConnectFailed,
    LimitExceeded,
    Malformed,
    Overloaded,
    Refused,
    TokenwireError,
    UnexpectedContent,
)
from tokenwire.protocols.events import End, Event, Finish, Image, Text
from tokenwire.protocols.exchange import Exchange
from tokenwire.protocols.limits import Limits
from tokenwire.protocols.retry import NO_RETRY
from tokenwire.protocols.toolkit.frames import encode_frame
from tokenwire.protocols.toolkit.http import Headers, Origin
from tokenwire.testing import Subject
from tokenwire.transports.client.http1 import HTTP1
from tokenwire.transports.client.proxy import Proxy
from tokenwire.transports.client.tunnel import Tunnel

KIB = 1024
GZIP: Headers = [*SSE, (b"content-encoding", b"gzip")]
DEFLATE: Headers = [*SSE, (b"content-encoding", b"deflate")]
PNG: Headers = [(b"content-type", b"image/png")]


def end_of(subject: Subject) -> bytes:
    """The bytes that say that an answer is over, if any do: as many as are needed."""
    sent = subject.send_short()
    start = sent.end_of(sent.answer[-2])

    def says_it(size: int) -> bool:
        responses = sent.responses(sent.body[:size], "disconnect")
        return drive(subject.exchange(sent.chat), *responses).reply.evidence == "terminator"

    sizes = range(start, len(sent.body))
    return sent.body[start : start + bisect_left(sizes, True, key=says_it)]


Form = tuple[bytes, bytes]
"""What stands before and after the text of an event, its line end left out."""

EVENTS: dict[str, Form] = {name: s.form for name, s in SUBJECTS.items() if s.form is not None}
ENDS: dict[str, bytes] = {name: end_of(SUBJECTS[name]) for name in EVENTS}


def filled(form: Form, size: int, fill: bytes = b"x") -> bytes:
    """An event of `size` bytes."""
    before, after = form
    count, rest = divmod(size - len(before) - len(after), len(fill))
    return before + fill * count + b"x" * rest + after


def ask(name: str, **limits: int) -> Exchange:
    """The exchange that asks what the subject `name` asks."""
    subject = SUBJECTS[name]
    chat = as_chat("hi", **subject.asked)
    return subject.provider.exchange(chat, base_url=BASE, random=Random(1), limits=Limits(**limits))


def before(name: str) -> list[Response]:
    """The responses that precede the last one of a subject."""
    return SUBJECTS[name].send_short().responses()[:-1]


def same(exchange: Exchange, limit: int, *responses: Response | bytes) -> Outcome:
    """The outcome, the same with the last body in one piece, in bytes, cut at random, and cut just
    below, at and above the limit."""
    last = responses[-1]
    body = last.body if isinstance(last, Response) else last
    outcome = drive(exchange.fresh(), *responses)
    cuts: list[Cut] = [bytewise, *(partial(random_cut, seed=seed) for seed in range(3))]
    cuts += [partial(at, places=[place]) for place in (limit - 1, limit, limit + 1)]
    cuts += [partial(at, places=[place]) for place in (len(body) - 2, len(body) - 1)]
    for cut in cuts:
        assert drive(exchange.fresh(), *responses, cut=cut).what == outcome.what
    return outcome


# Limits

LIMIT = 500
ROOMY = 1600  # the longest end of an answer fits in
STREAMS = [*EVENTS]
SSE_STREAMS = [name for name, (begin, _) in EVENTS.items() if begin.startswith(b"data:")]
CODINGS: dict[str, Callable[[bytes], Response]] = {
    "identity": Response,
    "gzip": lambda body: Response(gzip.compress(body, mtime=0), 200, GZIP),
    "deflate": lambda body: Response(zlib.compress(body), 200, DEFLATE),
}


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("end", [b"\n\n", b"\r\n\r\n", b"\r\r"])
@pytest.mark.parametrize("name", STREAMS)
def test_event(name: str, end: bytes, coding: str) -> None:
    first = filled(EVENTS[name], 100) + end
    for size in (ROOMY - 1, ROOMY, ROOMY + 1):
        body = first + filled(EVENTS[name], size) + end + first + ENDS[name]
        exchange = ask(name, event=ROOMY)
        outcome = same(exchange, ROOMY, *before(name), CODINGS[coding](body))
        if size <= ROOMY:
            said = sum(event - sum(map(len, EVENTS[name])) for event in (100, size, 100))
            assert len(outcome.succeeded().reply.text) >= said
        else:
            outcome.refused_by(LimitExceeded, f"an event of more than {ROOMY} bytes")
            assert len(outcome.events) == 1


@pytest.mark.parametrize("name", STREAMS)
def test_event_without_its_end(name: str) -> None:
    first = filled(EVENTS[name], 100) + b"\n\n"
    for size in (LIMIT, LIMIT + 1):
        body = first + filled(EVENTS[name], size)
        outcome = same(ask(name, event=LIMIT), LIMIT, *before(name), body)
        if size > LIMIT:
            outcome.refused_by(LimitExceeded)
            assert len(outcome.events) == 1
        else:
            assert not isinstance(outcome.error, LimitExceeded)
            assert len(outcome.events) >= 2


@pytest.mark.parametrize("first", [b"", b"event: message\n", b"id: 7\n", b"id: 7\n\nid: 8\n"])
@pytest.mark.parametrize("count", [2, 7])
def test_event_of_several_lines(first: bytes, count: int) -> None:
    """All of its lines count, and nothing of the event before."""
    begin, behind = EVENTS["openai"]
    lines = [begin + b'"}}', *[b"data: "] * (count - 2), b"data: ]}"]
    size = sum(map(len, lines)) + len(first.rpartition(b"\n\n")[2].strip())
    pad = b"data: " + b" " * (LIMIT - size - 6)
    for end in (b"\n", b"\r\n"):
        for more in (b"", b" "):
            whole_event = first + end.join((lines[0], pad + more, *lines[1:], b"", b""))
            outcome = same(ask("openai", event=LIMIT), LIMIT, whole_event * 2 + ENDS["openai"])
            if more:
                outcome.refused_by(LimitExceeded)
            else:
                outcome.refused_by(UnexpectedContent, "[DONE]") if not behind else None
                assert not isinstance(outcome.error, LimitExceeded)


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("name", STREAMS)
def test_response(name: str, coding: str) -> None:
    event = filled(EVENTS[name], 100) + b"\n\n"
    for size in (ROOMY - 1, ROOMY, ROOMY + 1):
        blank = b"\n" * (size - 2 * len(event) - len(ENDS[name]))
        body = event + event + blank + ENDS[name]
        exchange = ask(name, response=ROOMY)
        outcome = same(exchange, ROOMY, *before(name), CODINGS[coding](body))
        if size <= ROOMY:
            outcome.succeeded()
        else:
            outcome.refused_by(LimitExceeded, f"a body of more than {ROOMY} bytes")
            assert [type(event) for event in outcome.events][:2] == [Text, Text]


DOCUMENTS: dict[str, tuple[Form, list[Response]]] = {
    "openai-whole": ((b'{"choices":[{"message":{"content":"', b'"}}]}'), []),
    "aichats-picture": (
        (b'{"data": [{"url": "https://pictures.example/', b'"}]}'),
        [Response(b"PNG", 200, PNG)],
    ),
    "aichatonline": ((b'{"data":"', b'"}'), [Response(b'{"data":{"message":"a"}}\n')]),
}


@pytest.mark.parametrize("begin", [b"", b"\n \n", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("name", DOCUMENTS)
def test_document(name: str, begin: bytes) -> None:
    form, more = DOCUMENTS[name]
    for size in (LIMIT - 1, LIMIT, LIMIT + 1):
        mark = begin.strip()
        body = begin + filled(form, size - len(mark))
        exchange = ask(name, document=LIMIT)
        outcome = same(exchange, LIMIT, Response(body, 200, JSON), *more)
        if size > LIMIT:
            outcome.refused_by(LimitExceeded, f"a JSON document of more than {LIMIT} bytes")
        else:
            outcome.succeeded()


def test_picture() -> None:
    for size in (LIMIT - 1, LIMIT, LIMIT + 1):
        exchange = ask("aichats-picture", picture=LIMIT)
        outcome = same(
            exchange, LIMIT, *before("aichats-picture"), Response(b"\xff" * size, 200, PNG)
        )
        if size > LIMIT:
            outcome.refused_by(LimitExceeded, f"a body of more than {LIMIT} bytes")
        else:
            image = outcome.succeeded().events[0]
            assert isinstance(image, Image)
            assert len(image.data) == size


@pytest.mark.parametrize("name", STREAMS)
@pytest.mark.parametrize("status", [200, 503])
def test_error_body(name: str, status: int) -> None:
    """As much as the limit is read and told; what is longer is no other error."""
    said: set[bytes] = set()
    for size in (LIMIT, LIMIT + 1, 2 * LIMIT):
        body = b"<html>" + b"x" * (size - 6)
        exchange = ask(name, error_body=LIMIT)
        response = Response(body, status, [(b"content-type", b"text/plain")])
        outcome = same(exchange, LIMIT, *before(name), response)
        error = outcome.refused_by(Overloaded if status == 503 else UnexpectedContent).error
        assert isinstance(error, Overloaded | UnexpectedContent)
        assert error.data == body[:LIMIT]
        said.add(error.data)
    assert len(said) == 1


@pytest.mark.parametrize(
    "part",
    [
        '{"choices":[{"index":%d,"delta":{}}]}',
        '{"choices":[{"index":0,"delta":{"tool_calls":[{"index":%d,"function":{}}]}}]}',
        '{"choices":[{"index":0,"delta":{}}],"citations":["%d"]}',
    ],
)
def test_parts(part: str) -> None:
    one_choice = 0 if part.startswith('{"choices":[{"index":%d') else 1
    for count in (9, 10, 11):
        numbers = range(count - one_choice)
        body = b"".join(b"data: %b\n\n" % (part % number).encode() for number in numbers)
        body += b'data: {"choices":[{"index":0,"finish_reason":"stop"}]}\n\n' + ENDS["openai"]
        outcome = same(ask("openai", parts=10), LIMIT, body)
        if count > 10:
            outcome.refused_by(LimitExceeded, "an answer of more than 10 choices, tool calls")
        else:
            outcome.succeeded()


CUTS: list[Cut] = [
    whole,
    bytewise,
    *(partial(random_cut, seed=seed) for seed in range(4)),
    *(partial(at, places=[place]) for place in range(LIMIT - 2, LIMIT + 3)),
]


def by_wire(body: bytes) -> list[tuple[list[Event], type[object], str]]:
    """What comes of a response over a connection, cut in every way."""
    found: list[tuple[list[Event], type[object], str]] = []
    for cut in CUTS:
        exchange = ask("darkai", head=LIMIT)
        outcome = Network(Script(body), cut=cut, retry=NO_RETRY).ask(exchange)
        found.append((outcome.events, type(outcome.error), str(outcome.error)))
    return found


def padded(size: int, *headers: str) -> bytes:
    """A response head of `size` bytes."""
    return head(*headers, "x: " + "x" * (size - len(head(*headers, "x: "))))


INTERIM = b"HTTP/1.1 103 Early Hints\r\n\r\n"


@pytest.mark.parametrize("interim", [0, 1, 3])
def test_head(interim: int) -> None:
    """With what comes before it."""
    answer = chunk(ENDS["darkai"]) + b"0\r\n\r\n"
    first = INTERIM * interim
    for size in (LIMIT - 1, LIMIT, LIMIT + 1):
        response = padded(size - len(first), "transfer-encoding: chunked") + answer
        results = by_wire(first + response)
        assert all(result == results[0] for result in results)
        if size > LIMIT:
            assert results[0][1:] == (
                LimitExceeded,
                f"a response head of more than {LIMIT} bytes",
            )
        else:
            assert results[0] == ([End("terminator")], type(None), "None")


def test_size_line_of_a_chunk() -> None:
    text = filled(EVENTS["darkai"], 100) + b"\n\n"
    for size in (LIMIT - 1, LIMIT, LIMIT + 1):
        # The line with its CR.
        line = b"%x;x=" % len(ENDS["darkai"])
        line += b"x" * (size - len(line) - 1) + b"\r\n"
        body = chunk(text) + line + ENDS["darkai"] + b"\r\n0\r\n\r\n"
        results = by_wire(head("transfer-encoding: chunked") + body)
        assert all(result == results[0] for result in results)
        events, kind, message = results[0]
        if size > LIMIT:
            assert (kind, len(events)) == (LimitExceeded, 1)
            assert message == f"a line of more than {LIMIT} bytes in a chunked body"
        else:
            assert (kind, len(events)) == (type(None), 2)


def test_trailers() -> None:
    for size in (LIMIT - 1, LIMIT, LIMIT + 1):
        lines = [b"x: " + b"x" * 97, b"y: " + b"y" * (size - 103)]
        body = chunk(b"data: a\n") + b"0\r\n" + b"\r\n".join((*lines, b"", b""))
        found: list[tuple[object, ...]] = []
        for cut in CUTS:
            network = Network(
                Script(head("transfer-encoding: chunked") + body), cut=cut, retry=NO_RETRY
            )
            outcome = network.ask(ask("aichats", head=LIMIT))
            found.append((len(outcome.events), type(outcome.error)))
        assert set(found) == {(1, LimitExceeded) if size > LIMIT else (2, type(None))}


def test_head_of_a_proxy() -> None:
    for size in (LIMIT - 1, LIMIT, LIMIT + 1):
        said: set[str] = set()
        body = b"HTTP/1.1 200 OK\r\nx: " + b"x" * (size - 24) + b"\r\n\r\n"
        assert len(body) == size
        for cut in CUTS:
            tunnel = Tunnel(Proxy("proxy.example", 80), Origin("https", "a.example", 443), LIMIT)
            try:
                rest = b"".join(map(tunnel.receive, filter(None, cut(body))))
            except ConnectFailed as error:
                said.add(str(error))
            else:
                said.add("open" if tunnel.established and not rest else "not open")
        if size > LIMIT:
            (message,) = said
            assert f"a response head of more than {LIMIT} bytes" in message
        else:
            assert said == {"open"}


# Memory

BOUND = 256 * KIB
SIZES = [200, 64 * KIB, 4 * BOUND]
"""Sizes of pieces: small ones, what the transports read at once, more than a limit."""


@dataclass
class Endless:
    """A body that never ends: `begin`, and then `unit` for ever. `kind` is how it fails."""

    unit: bytes
    begin: bytes = b""
    kind: type[TokenwireError] = LimitExceeded
    status: int = 200
    headers: Headers | None = None
    name: str = "openai"

    def started(self, **limits: int) -> Exchange:
        """An exchange that wants this body."""
        exchange: Exchange = self.past(ask(self.name, **limits))
        return exchange

    def past(self, exchange: Any) -> Any:
        """`exchange`, past all that precedes this body."""
        exchange.next_request()
        for response in before(self.name):
            exchange.receive_response(response.status, response.headers)
            exchange.receive_data(response.body)
            exchange.receive_eof(True)
            exchange.next_request()
        exchange.receive_response(self.status, SSE if self.headers is None else self.headers)
        return exchange


ALL_BOUND = dict.fromkeys(Limits.__struct_fields__, BOUND) | {"parts": 256}


def peak(feed: Callable[[bytes], bool], pieces: Iterable[bytes]) -> int:
    """The most memory in use, in bytes, while `pieces`, which were made before, are fed until
    `feed` says that no more is wanted."""
    tracemalloc.start()
    try:
        for piece in pieces:
            if not feed(piece):
                break
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def pieces_of(body: bytes, size: int) -> list[bytes]:
    return at(body, range(size, len(body), size))


def eat(exchange: Exchange, data: bytes) -> bool:
    """Feed an exchange; whether it wants more."""
    exchange.receive_data(data)
    return exchange.wants_data


def chunk_of(delta: str) -> bytes:
    return f'data: {{"choices":[{{"index":0,"delta":{delta}}}]}}\n\n'.encode()


CALL = '{"tool_calls":[{"index":0,"id":"c","function":{"name":"f","arguments":"%s"}}]}'
ENDLESS: dict[str, Endless] = {
    **{f"a line of {name}": Endless(b"x", b"data: ", name=name) for name in STREAMS},
    **{f"blank lines of {name}": Endless(b"\n", name=name) for name in STREAMS},
    **{f"comments of {name}": Endless(b": x\n", name=name) for name in SSE_STREAMS},
    **{f"pieces of lines of {name}": Endless(b" x", b"data: ", name=name) for name in STREAMS},
    "a comment": Endless(b"x", b":"),
    "data lines of one event": Endless(b"data: x\n"),
    "short data lines of one event": Endless(b"data:xy\n"),
    "empty data lines of one event": Endless(b"data\n"),
    "names of events": Endless(b"event: xy\n"),
    "ids": Endless(b"id: xy\n"),
    "a long name, a long id and a long comment": Endless(
        b"x", b"".join(field + b"x" * (BOUND // 4) + b"\n" for field in (b":", b"event:", b"id:"))
    ),
    "a document of lines": Endless(b" xyz\n", b"{\n"),
    "an object in unknown lines behind an event": Endless(b" xyz\n", b": x\n\n{\n"),
    "arguments of a tool call": Endless(chunk_of(CALL % "xy"), chunk_of(CALL % "{")),
    "long arguments of a tool call": Endless(chunk_of(CALL % ("x" * 900)), chunk_of(CALL % "{")),
    "arguments of a tool call in one event": Endless(b"x", chunk_of(CALL % "{")[:-16]),
    "white space of aichats": Endless(b"data:  \t \n", name="aichats"),
    "a document": Endless(b"x", b'{"choices":"'),
    "a document of aichatonline": Endless(b"x", b'{"data":"', headers=JSON),
    "a picture": Endless(b"x", headers=PNG, name="aichats-picture"),
    "an error page": Endless(b"x", kind=Refused, status=500),
    "an error object": Endless(b"x", b'{"error":"', kind=Refused, status=500),
    "a web page": Endless(b"x", b"<html>"),
    "white space before an answer": Endless(b" "),
}


def stopped(exchange: Exchange) -> TokenwireError:
    """The error that ended an exchange."""
    with pytest.raises(TokenwireError) as caught:
        exchange.next_request()
    return caught.value


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("case", ENDLESS)
def test_memory_of_what_never_ends(case: str, size: int) -> None:
    endless = ENDLESS[case]
    exchange = endless.started(**ALL_BOUND)
    piece = endless.unit * max(1, size // len(endless.unit))
    pieces = chain((endless.begin,), repeat(piece, 2 + 2 * BOUND // len(piece)))
    most = peak(partial(eat, exchange), pieces)
    assert isinstance(stopped(exchange), endless.kind)
    assert most < 4 * BOUND, most / BOUND


BOMB = gzip.compress(b"data: " + b"x" * (8 * BOUND), mtime=0)
BOMBS = {"a bomb": BOMB, "a bomb behind many members": gzip.compress(b"", mtime=0) * 2000 + BOMB}


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("bomb", BOMBS)
@pytest.mark.parametrize("name", STREAMS)
def test_memory_of_gzip(name: str, bomb: str, size: int) -> None:
    exchange = Endless(b"", name=name, headers=GZIP).started(**ALL_BOUND)
    most = peak(partial(eat, exchange), pieces_of(BOMBS[bomb], size))
    assert isinstance(stopped(exchange), LimitExceeded)
    assert most < 4 * BOUND, most / BOUND


WIDTHS: dict[str, tuple[bytes, bytes, int]] = {
    "ASCII": (b"", b"x", 4),
    "two bytes a character": (b"", "é".encode(), 5),
    "an emoji": ("\U0001f600".encode(), b"x", 8),
    "half a character": (b"\xe2\x82", b"x", 9),
}
"""What an event begins with and is filled with, and how many times the limit that may take. Python
keeps text with an emoji in four bytes a character, however plain the rest; with U+FFFD in two."""


@pytest.mark.parametrize("size", SIZES[:2])
@pytest.mark.parametrize("end", [b"\n\n", b"\r\n\r\n"])
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", STREAMS)
def test_memory_of_an_event_as_large_as_the_limit(
    name: str, width: str, end: bytes, size: int
) -> None:
    first, fill, times = WIDTHS[width]
    begin, behind = EVENTS[name]
    body = filled((begin + first, behind), BOUND, fill) + end
    exchange = Endless(b"", name=name).started(event=BOUND)
    most = peak(partial(eat, exchange), pieces_of(body, size))
    assert exchange.started
    assert most < times * BOUND, most / BOUND


@pytest.mark.parametrize("name", ["openai", "darkai", "aichatonline"])
def test_memory_of_a_malformed_event_as_large_as_the_limit(name: str) -> None:
    body = filled((EVENTS[name][0], b""), BOUND) + b"\n\n"
    exchange = Endless(b"", name=name).started(event=BOUND)
    most = peak(partial(eat, exchange), pieces_of(body, 1400))
    assert isinstance(stopped(exchange), Malformed)
    assert most < 4 * BOUND, most / BOUND


HEADS: dict[str, tuple[bytes, bytes]] = {
    "a header": (b"HTTP/1.1 200 OK\r\nx: ", b"x"),
    "headers": (b"HTTP/1.1 200 OK\r\n", b"x: y\r\n"),
    "a status line": (b"HTTP/1.1 200 ", b"x"),
    "interim responses": (b"", INTERIM),
    "a size line": (head("transfer-encoding: chunked") + b"5;", b"x"),
    "a trailer": (head("transfer-encoding: chunked") + b"0\r\nx: ", b"x"),
    "trailers": (head("transfer-encoding: chunked") + b"0\r\n", b"x: y\r\n"),
}


@pytest.mark.parametrize("size", [100, 16 * KIB])
@pytest.mark.parametrize("case", HEADS)
def test_memory_of_http(case: str, size: int) -> None:
    limit = Limits().head
    begin, unit = HEADS[case]
    http, exchange = HTTP1(limit), raw_exchange()
    request = exchange.next_request()
    assert request is not None
    http.start(request)
    failed: list[LimitExceeded] = []

    def feed(data: bytes) -> bool:
        try:
            http.receive(data, exchange, [])
        except LimitExceeded as error:
            failed.append(error)
        return not failed

    piece = unit * max(1, size // len(unit))
    most = peak(feed, filter(None, chain((begin,), repeat(piece, 2 + 2 * limit // len(piece)))))
    assert failed
    assert most < 4 * limit, most / limit


# Work


def work_of(feed: Callable[[bytes], object], pieces: list[bytes]) -> float:
    """What a byte of `pieces` costs, in bytes searched and copied."""
    start = counting.work
    for piece in pieces:
        feed(piece)
    return (counting.work - start) / sum(map(len, pieces))


def assert_linear(
    make: Callable[[], Callable[[bytes], object]], body: Callable[[int], bytes], size: int
) -> None:
    """Assert that a byte costs the same in bodies whose size doubles, in pieces of `size`."""
    first = {1: KIB // 4, 64: 4 * KIB}.get(size, 16 * KIB)
    sizes = [first << doubled for doubled in range(4 if size == 1 << 20 else 3)]
    costs = [work_of(make(), pieces_of(data, size)) for data in map(body, sizes)]
    # Each would be the double of the one before. What a byte costs is not quite even: a bytearray
    # is copied now and then, and a large piece is taken apart.
    assert costs[-1] < 1.5 * max(costs[:-1]), costs


def counted(body: Endless) -> Callable[[], Callable[[bytes], object]]:
    """Makes what feeds an exchange, of code that counts, which has got as far as `body`."""
    providers, chats = instrumented("protocols.registry"), instrumented("protocols.chat")
    limits = instrumented("protocols.limits").Limits(error_body=1 << 20)

    def make() -> Callable[[bytes], object]:
        subject = SUBJECTS[body.name]
        provider = providers.PROVIDERS[subject.provider.name]
        chat = chats.as_chat("hi", **subject.asked)
        exchange = body.past(
            provider.exchange(chat, base_url=BASE, random=Random(1), limits=limits)
        )
        events: list[Any] = []

        def feed(data: bytes) -> None:
            assert exchange.wants_data
            events.extend(exchange.receive_data(data))

        return feed

    return make


def repeated(unit: bytes, size: int) -> bytes:
    return unit * (size // len(unit))


def numbered(unit: str, size: int) -> bytes:
    """`unit` with a number of its own each time."""
    return b"".join((unit % number).encode() for number in range(size // len(unit)))


def one_event(name: str, fill: bytes, end: bytes) -> Callable[[int], bytes]:
    return lambda size: filled(EVENTS[name], size, fill) + end


def events(name: str, end: bytes) -> Callable[[int], bytes]:
    return partial(repeated, filled(EVENTS[name], 80) + end)


Growing = tuple[Endless, Callable[[int], bytes]]
"""Up to where an exchange is, and a body of about so many bytes."""


def growing(subjects: Mapping[str, Subject]) -> dict[str, Growing]:
    """Two rows for each subject that can say text."""
    rows: dict[str, Growing] = {}
    for name, subject in subjects.items():
        if Text in subject.provider.dialect.says_to(subject.send_short().chat):
            rows[f"many events of {name}"] = Endless(b"", name=name), partial(many, subject)
            rows[f"one large event of {name}"] = Endless(b"", name=name), partial(one, subject)
    return rows


def many(subject: Subject, size: int) -> bytes:
    """Texts of 40 letters."""
    unit = len(said(subject, ["x" * 40] * 2)) - len(said(subject, ["x" * 40]))
    return said(subject, ["x" * 40] * (size // unit))


def one(subject: Subject, size: int) -> bytes:
    return said(subject, ["x" * size])


def said(subject: Subject, texts: list[str]) -> bytes:
    """What is sent of an answer with these texts, but for its end."""
    answer: list[Event] = [Text(text) for text in texts]
    answer += [event for event in subject.short if isinstance(event, Finish | End)]
    sent = subject.send(subject.send_short().chat, answer)
    return sent.body[: sent.ends()[len(texts) - 1]] or sent.body[:-1]


LINEAR: dict[str, Growing] = {
    **growing(SUBJECTS),
    **{
        f"an event of {name} in {fill.decode()} by {end!r}": (
            Endless(b"", name=name),
            one_event(name, fill, end),
        )
        for name in STREAMS
        for fill, end in ((b"x", b"\n\n"), ("é".encode(), b"\r\n\r\n"))
    },
    **{
        f"events of {name} by {end!r}": (Endless(b"", name=name), events(name, end))
        for name in STREAMS
        for end in (b"\n\n", b"\r\n\r\n", b"\r\r")
    },
    **{
        f"{case}, again": (ENDLESS[case], partial(repeated, ENDLESS[case].unit))
        for case in (
            "blank lines of openai",
            "comments of openai",
            "comments of darkai",
            "data lines of one event",
            "names of events",
            "ids",
            "arguments of a tool call",
            "white space of aichats",
            "a document of aichatonline",
            "a picture",
            "an error page",
        )
    },
    "a web page": (Endless(b""), lambda size: b"<html>" + b"x" * size),
    "an object in unknown lines": (
        Endless(b""),
        lambda size: b": x\n{\n" + repeated(b" " * 30 + b"x\n", size),
    ),
    "arguments of a tool call in one event": (
        Endless(b""),
        lambda size: chunk_of(CALL % ("x" * size)),
    ),
    "names of a tool call": (
        Endless(b""),
        partial(repeated, chunk_of(CALL % "xy").replace(b'"id":"c",', b"")),
    ),
    "choices": (
        Endless(b""),
        partial(numbered, 'data: {"choices":[{"index":%d}]}\n\n'),
    ),
    "tool calls": (
        Endless(b""),
        partial(
            numbered,
            'data: {"choices":[{"delta":{"tool_calls":[{"index":%d,"function":{}}]}}]}\n\n',
        ),
    ),
    "sources": (Endless(b""), partial(numbered, 'data: {"choices":[],"citations":["%d"]}\n\n')),
    "gzip": (Endless(b"", headers=GZIP), lambda size: packed(size)),
    "members of gzip": (
        Endless(b"", headers=GZIP),
        partial(repeated, gzip.compress(b"", mtime=0)),
    ),
    "deflate": (
        Endless(b"", headers=DEFLATE),
        lambda size: zlib.compress(b": " + Random(2).randbytes(size).hex().encode()),
    ),
}


def packed(size: int) -> bytes:
    """Events that don't shrink much, in about `size` bytes of gzip."""
    draw = Random(1)
    form = EVENTS["openai"]
    text = (form[0] + draw.randbytes(40).hex().encode() + form[1] + b"\n\n" for _ in range(size))
    return gzip.compress(b"".join(next(text) for _ in range(size // 60)), mtime=0)


@pytest.mark.parametrize("size", [1, 64, 1 << 20])
@pytest.mark.parametrize("case", LINEAR)
def test_work_is_linear(case: str, size: int) -> None:
    endless, body = LINEAR[case]
    assert_linear(counted(endless), body, size)


CHUNKED: dict[str, Callable[[int], bytes]] = {
    "a chunk": lambda size: chunk(b"x" * size),
    "chunks": partial(repeated, chunk(b"xyz")),
    "a size line": lambda size: b"5;" + b"x" * size,
    "trailers": lambda size: b"0\r\n" + repeated(b"x: y\r\n", size),
}


@pytest.mark.parametrize("size", [1, 64, 1 << 20])
@pytest.mark.parametrize("case", CHUNKED)
def test_work_of_a_chunked_body_is_linear(case: str, size: int) -> None:
    chunked = instrumented("transports.client.chunked")

    def make() -> Callable[[bytes], object]:
        reader, content = chunked.ChunkedReader(1 << 30), list[bytes]()

        def feed(data: bytes) -> None:
            reader.feed(data, content)

        return feed

    assert_linear(make, CHUNKED[case], size)


TOOLKIT: dict[str, tuple[str, Callable[[int], bytes]]] = {
    "a frame": ("frames.Frames", lambda size: encode_frame({"a": 1}, b"x" * size)),
    "frames": ("frames.Frames", partial(repeated, encode_frame({"a": "b", "c": 1}, b"xyz"))),
    "headers of a frame": (
        "frames.Frames",
        lambda size: encode_frame({f"{number:04x}": True for number in range(size // 6)}, b""),
    ),
    "an element": ("elements.Elements", lambda size: b'["' + b"x" * size + b'"]'),
    "a number": ("elements.Elements", lambda size: b"[" + b"1" * size + b"]"),
    "elements": ("elements.Elements", lambda size: b"[" + repeated(b'{"a":[1]} , ', size)),
    "numbers": ("elements.Elements", lambda size: b"[" + repeated(b"1,", size)),
    "escapes": ("elements.Elements", lambda size: b'["' + repeated(b'\\"', size)),
    "brackets": ("elements.Elements", lambda size: b"[" * size),
    "white space": ("elements.Elements", lambda size: b"[" + b" " * size),
}


@pytest.mark.parametrize("size", [1, 64, 1 << 20])
@pytest.mark.parametrize("case", TOOLKIT)
def test_work_of_the_toolkit_is_linear(case: str, size: int) -> None:
    name, body = TOOLKIT[case]
    module, _, decoder = name.partition(".")

    def make() -> Callable[[bytes], object]:
        decode = getattr(instrumented(f"protocols.toolkit.{module}"), decoder)(1 << 30)
        units: list[Any] = []

        def feed(data: bytes) -> None:
            decode.feed(data, units)

        return feed

    assert_linear(make, body, size)


NAIVE = """
import re

class Decoder:
    def __init__(self):
        self.rest = b""

    def feed(self, data):
        self.rest = self.rest + data
        *lines, self.rest = self.rest.split(b"\\n")
        return lines


class Searching(Decoder):
    def __init__(self):
        self.rest = bytearray()

    def feed(self, data):
        self.rest += data
        return self.rest.find(b"\\n")


class Slicing(Decoder):
    def feed(self, data):
        while data:
            data = data[1:]


class Matching(Decoder):
    def __init__(self):
        self.rest = bytearray()

    def feed(self, data):
        self.rest += data
        return re.compile(b"\\n").search(self.rest)


class Joining(Decoder):
    def __init__(self):
        self.parts = []

    def feed(self, data):
        self.parts.append(data)
        return b"".join(self.parts)
"""


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("Decoder", 64),
        ("Searching", 64),
        ("Matching", 64),
        ("Slicing", 1 << 20),
        ("Joining", 64),
    ],
)
def test_what_is_not_linear_is_found_out(name: str, size: int) -> None:
    decoder = instrumented_source(NAIVE)[name]
    with pytest.raises(AssertionError):
        assert_linear(lambda: decoder().feed, lambda length: b"x" * length, size)
