"""The table of cases: how each is set up, and the outcome that it must have on every transport.

`test_matrix` runs each case on each transport; `outcomes` generates docs/outcomes.md.
"""

import gzip
import socket
import zlib
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import msgspec

from tests import driving
from tests.certificates import server_context
from tests.driving import Ending, Outcome, drive
from tests.every_transport import TRANSPORTS, Run
from tests.leftovers import connections_to, nothing_left
from tests.settings import (
    CHUNKED,
    DONE,
    HEAD,
    HELLO,
    OPENAI_CHUNKS,
    WORLD,
    Setting,
    bomb,
    by_hand,
    closed_port,
    dripping_head,
    embedded,
    finishing,
    hear,
    hello_world,
    listening,
    long_text,
    padded_head,
    pinging,
    said_and_refused,
    slow_name,
    subject_asked,
    through,
    through_a_proxy,
    unknown_name,
)
from tests.subjects import SUBJECTS
from tests.telemetry.recording import Recorder
from tokenwire import (
    NO_RETRY,
    Clocks,
    End,
    Limits,
    Refused,
    TimedOut,
    make_exchange,
)
from tokenwire.protocols.service import AnswerFunction
from tokenwire.server import serve
from tokenwire.server.faults import (
    BreakEvent,
    CloseAfter,
    Cutting,
    DropTerminator,
    EndAfter,
    ErrorObject,
    Fault,
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
from tokenwire.testing import Subject

# The clock that a case is about is quick; the others are patient with a busy machine.
PATIENT = Clocks(connect=20, first_event=20, idle=20, total=20)
QUICK_CONNECT = Clocks(connect=0.2, first_event=0.5, idle=0.5, total=20)
QUICK_FIRST_EVENT = Clocks(connect=20, first_event=0.2, idle=0.2, total=20)
QUICK_IDLE = Clocks(connect=20, first_event=20, idle=0.3, total=20)
QUICK_TOTAL = Clocks(connect=20, first_event=20, idle=20, total=0.5)

BLOCKING_HTTPX = ("httpx sync", "httpx2 sync")
HTTPX_FIRST_EVENT = 2.0
"""They wait as long as the longer of both clocks; `idle` is only checked after that."""


@dataclass(frozen=True)
class But:
    """The outcome of a case on `transports`, and why it can't be the same as elsewhere. `clocks`:
    those to use there, if they differ."""

    transports: tuple[str, ...]
    outcome: str
    reason: str
    text: str = ""
    clocks: Clocks | None = None


UNTESTED = "not tested"


@dataclass(frozen=True)
class Case:
    """`name` says what the server does. `outcome` is in the words of `describe`; `text` is what was
    received before it."""

    group: str
    name: str
    outcome: str
    setting: Setting
    text: str = ""
    clocks: Clocks = PATIENT
    buts: tuple[But, ...] = ()

    def but(self, transport: str) -> But | None:
        """What is special on `transport`."""
        return next((but for but in self.buts if transport in but.transports), None)

    def expected(self, transport: str) -> tuple[str, str]:
        """Outcome and text."""
        but = self.but(transport) or self
        return but.outcome, but.text


def observe(case: Case, transport: str, runs: Mapping[str, Run] = TRANSPORTS) -> Outcome:
    """The outcome of `case`, of which telemetry tells the same. It leaves nothing behind, and asks
    no more than once."""
    but = case.but(transport)
    clocks = (but and but.clocks) or case.clocks
    if transport in BLOCKING_HTTPX and clocks is QUICK_IDLE:
        clocks = msgspec.structs.replace(clocks, first_event=HTTPX_FIRST_EVENT)
    with nothing_left(), case.setting() as asking:

        def closed() -> None:
            asking.release()
            assert not connections_to(asking.port), "the client left a connection open"

        recorder = Recorder().watch(asking.exchange)
        (outcome,) = runs[transport](
            asking.exchange, closed=closed, clocks=clocks, retry=NO_RETRY, **asking.options
        )
        assert len(asking.requests) <= asking.most
    recorder.told_once(outcome.error)
    return outcome


def describe(outcome: Outcome | driving.Outcome) -> str:
    """An outcome in one line: the evidence that the answer is complete, or the error with the
    details of its class."""
    error = outcome.error
    if error is None:
        assert isinstance(outcome.events[-1], End)
        return f"complete, by `{outcome.reply.evidence}`"
    assert not any(isinstance(event, End) for event in outcome.events)
    said = f"`{type(error).__name__}`"
    if isinstance(error, TimedOut):
        said += f", clock `{error.clock}`"
    if isinstance(error, Refused) and error.retry_after is not None:
        said += f", after `{error.retry_after}`"
    return said


# The cases

HTTPX = tuple(name for name in TRANSPORTS if "httpx" in name)

TERMINATOR, FINISH = "complete, by `terminator`", "complete, by `finish`"
NO_CONNECTION, NO_EVENT, SILENCE, NO_TIME = (
    f"`TimedOut`, clock `{clock}`" for clock in ("connect", "first_event", "idle", "total")
)
FIRST, WHOLE = "Hello, ", "Hello, wörld"
INSIDE = len(HELLO) + 20
"""Bytes of a body that is cut in its second event."""

ENDLESS_NAME = b"\x1f\x8b\x08\x08\0\0\0\0\0\xff"
"""The head of a gzip member, up to the name of its file."""
EMPTY = {
    "empty deltas": b'data: {"choices":[{"index":0,"delta":{"content":""}}]}\n\n',
    "chunks without choices": b'data: {"choices":[]}\n\n',
    "events without data": b"event: message\nid: 7\nretry: 1000\n\n",
    "pings by name": b"event: ping\ndata: {}\n\n",
}
"""Events with nothing in them, and what is in them."""
FAILED = {
    "a finish reason that means an error": b'"delta":{},"finish_reason":"error"',
    "an error inside a choice": b'"delta":{},"error":{"message":"broke off"}',
}
"""Choices that say that the answer failed."""


def _events(*chunks: bytes) -> bytes:
    """Chunks of a chat completion, as the body of a response."""
    return b"\r\n" + b"".join(b"data: %b\n\n" % chunk for chunk in chunks)


A_DATE = "Fri, 31 Dec 1999 23:59:59 GMT"
CHALLENGE = "<!doctype html><title>Just a moment...</title>"

BLOCKED = But(
    ("sync", *BLOCKING_HTTPX),
    NO_CONNECTION,
    "Raised only once the system's resolver answers: nothing can stop a thread waiting for it.",
)
OUT_OF_REACH = But(
    ("uvloop",),
    UNTESTED,
    "Not tested: uvloop resolves names by itself, where no test can slow it down.",
)
AFTER_THE_HEAD = But(
    BLOCKING_HTTPX,
    NO_EVENT,
    "Raised only once the head is complete: httpx has a timeout for each read only, and nothing "
    "else can stop a blocking client.",
)
LARGER_HEAD = But(HTTPX, TERMINATOR, "httpx sets the limit for a head itself: 100 KiB.", WHOLE)
GONE, NO_HTTP = (
    But(HTTPX, outcome, "httpx does not say whether the proxy or the server failed.")
    for outcome in ("`Disconnected`", "`Malformed`")
)
NO_SOCKS = But(HTTPX, UNTESTED, "Not tested: httpx needs another package for SOCKS.")
AS_A_RESPONSE = But(
    HTTPX,
    NO_EVENT,
    "httpx waits for a proxy with its read timeout, as it waits for a response.",
    clocks=QUICK_FIRST_EVENT,
)


def _answers() -> Iterator[Case]:
    case = partial(Case, "Answers", text=WHOLE)
    tiny = Cutting.byte_by_byte()
    yield case("an ordinary answer", TERMINATOR, embedded())
    yield case("byte by byte", TERMINATOR, embedded(cutting=tiny))
    yield case("gzip", TERMINATOR, embedded(Gzip()))
    yield case("gzip, byte by byte", TERMINATOR, embedded(Gzip(), cutting=tiny))
    tls = embedded(certificate=server_context(), cutting=tiny)
    yield case("TLS, byte by byte", TERMINATOR, tls)
    yield case("HTTP/1.0, without a length", TERMINATOR, embedded(Unframed()))
    yield case("stays open after the terminator", TERMINATOR, embedded(Linger()))
    yield case("through a proxy", TERMINATOR, through_a_proxy())
    yield case("TLS through a proxy", TERMINATOR, through_a_proxy(tls=True))
    yield case("through a proxy over TLS", TERMINATOR, through_a_proxy("https"))
    yield case("TLS through a proxy over TLS", TERMINATOR, through_a_proxy("https", tls=True))
    socks = partial(case, buts=(NO_SOCKS,))
    yield socks("through a SOCKS proxy", TERMINATOR, through_a_proxy("socks5"))
    yield socks("TLS through a SOCKS proxy", TERMINATOR, through_a_proxy("socks5", tls=True))
    case = partial(Case, "Answers", outcome=FINISH, text="Hällo")
    endless, finished = DropTerminator(), partial(embedded, provider="ylokh")
    yield case("a finish reason and no terminator", setting=finished(endless))
    yield case("a finish reason, then closed", setting=finished((endless, CloseAfter(100_000))))
    lingering = finished((endless, Linger()))
    yield case("a finish reason, then stays open", setting=lingering, clocks=QUICK_IDLE)


def _cut() -> Iterator[Case]:
    case = partial(Case, "Truncated")
    yield case("closed before the head", "`Disconnected`", embedded(CloseAfter(0, head=False)))
    yield case("reset before the head", "`Disconnected`", embedded(ResetAfter(0, head=False)))
    yield case("closed in the head", "`Disconnected`", by_hand(HEAD + b"content-le"))
    yield case("an empty body", "`UnexpectedContent`", embedded(EndAfter(0)))
    case = partial(case, outcome="`Truncated`", text=FIRST)
    yield case("no terminator", setting=embedded(DropTerminator()), text=WHOLE)
    gone_on = HEAD + _events(*OPENAI_CHUNKS, OPENAI_CHUNKS[0])
    more = by_hand(gone_on, provider="ylokh")
    yield case("more text after the finish reason", setting=more, text="Hällo" * 2)
    short = by_hand(HEAD + b"content-length: 999\r\n\r\n" + HELLO)
    yield case("shorter than its content length", setting=short)
    short = by_hand(HEAD + CHUNKED + b"%x\r\n" % (len(HELLO) + 9) + HELLO)
    yield case("closed in a chunk", setting=short)
    yield case("HTTP/1.0, closed in an event", setting=embedded((Unframed(), CloseAfter(INSIDE))))
    yield case("gzip, closed", setting=embedded((Gzip(), CloseAfter(70))))
    yield case("gzip, ended early", setting=embedded((Gzip(), EndAfter(70))))
    for how, fault in (("closed", CloseAfter), ("reset", ResetAfter), ("ended", EndAfter)):
        tls = embedded(fault(INSIDE), certificate=server_context())
        yield case(f"TLS, {how} in an event", setting=tls)


def _stalls() -> Iterator[Case]:
    case = partial(Case, "Stalls")
    yield case(
        "during the TLS handshake",
        NO_CONNECTION,
        by_hand(stay=True, scheme="https"),
        clocks=QUICK_CONNECT,
    )
    first = partial(case, outcome=NO_EVENT, clocks=QUICK_FIRST_EVENT)
    yield first("before the head", setting=embedded(StallAfter(0, head=False)))
    yield first("in the head", setting=by_hand(HEAD, stay=True))
    yield first("a head that drips", setting=dripping_head(40), buts=(AFTER_THE_HEAD,))
    yield first("before the first event", setting=embedded(StallAfter(0)))
    yield first("in the first event", setting=embedded(StallAfter(20)))
    yield first("keep-alives only", setting=embedded(KeepAlives(0, 0.02)))
    later = partial(case, outcome=SILENCE, text=FIRST, clocks=QUICK_IDLE)
    yield later("after an event", setting=embedded(StallAfter(len(HELLO))))
    yield later("in a later event", setting=embedded(StallAfter(INSIDE)))
    yield later("keep-alives after an event", setting=embedded(KeepAlives(len(HELLO), 0.02)))
    gzipped = partial(pinging, coding="gzip")
    members = gzipped(gzip.compress(HELLO), gzip.compress(b""))
    yield later("empty gzip members after an event", setting=members)
    named = gzipped(gzip.compress(HELLO) + ENDLESS_NAME, b"x")
    yield later("an endless name in gzip after an event", setting=named)
    begun = b"data: %b\n\n" % OPENAI_CHUNKS[0]
    for name, ping in EMPTY.items():
        setting = pinging(begun, ping, provider="ylokh")
        yield later(f"{name} after an event", setting=setting, text="Hällo")
    stalled = embedded((RefuseWith(429, "7"), StallAfter(5)))
    yield case("in a 429", "`RateLimited`, after `7`", stalled, clocks=QUICK_IDLE)


def _refusals() -> Iterator[Case]:
    case = partial(Case, "Refusals")
    kinds = {
        400: "`BadRequest`",
        401: "`AuthenticationFailed`",
        403: "`AuthenticationFailed`",
        404: "`BadRequest`",
        413: "`BadRequest`",
        429: "`RateLimited`",
        500: "`Refused`",
        502: "`Overloaded`",
        503: "`Overloaded`",
        504: "`Overloaded`",
        529: "`Overloaded`",
    }
    for status, kind in kinds.items():
        yield case(f"{status}", kind, embedded(RefuseWith(status)))
    for status in (401, 429, 500, 503, 529):
        for what, after in (("in seconds", "7"), ("as a date", A_DATE)):
            outcome = f"{kinds[status]}, after `{after}`"
            refusing = embedded(RefuseWith(status, after))
            yield case(f"{status}, Retry-After {what}", outcome, refusing)
    yield case(
        "a truncated 429",
        "`RateLimited`, after `7`",
        embedded((RefuseWith(429, "7"), CloseAfter(5))),
    )
    for status in (301, 302, 303, 307, 308):
        redirect = RefuseWith(status, headers=(("location", "/elsewhere"),))
        yield case(f"{status} to another path", "`Redirected`", embedded(redirect))
    yield case("an error object with status 200", "`Refused`", embedded(ErrorObject()))
    yield case("an error mid-answer", "`Refused`", embedded(answer=said_and_refused), FIRST)
    for name, choice in FAILED.items():
        chunk = b'{"choices":[{"index":0,%b}]}' % choice
        failed = by_hand(HEAD + _events(OPENAI_CHUNKS[0], chunk, b"[DONE]"), provider="ylokh")
        yield case(name, "`Refused`", failed, "Hällo")


def _other_content() -> Iterator[Case]:
    case = partial(Case, "Other content")
    yield case("an HTML page, 200", "`UnexpectedContent`", embedded(HtmlPage()))
    yield case("an HTML page, 403", "`AuthenticationFailed`", embedded(HtmlPage(403)))
    yield case("an HTML page, 503", "`Overloaded`", embedded(HtmlPage(503)))
    for status in (200, 403, 503):
        page = embedded(HtmlPage(status, CHALLENGE))
        yield case(f"a bot check, {status}", "`Challenged`", page)
    yield case("no content, 204", "`UnexpectedContent`", embedded(RefuseWith(204)))
    coded = by_hand(HEAD + b"content-encoding: br\r\ncontent-length: 4\r\n\r\n\x0b\x01\x80\x03")
    yield case("a content encoding that was not requested", "`UnexpectedContent`", coded)
    head = b"HTTP/1.1 200 OK\r\ncontent-type: image/png\r\ncontent-length: 4\r\n\r\n"
    yield case("an image", "`UnexpectedContent`", by_hand(head + b"\x89PNG"))


def _malformed() -> Iterator[Case]:
    case = partial(Case, "Malformed, or too large")
    bad, large = "`Malformed`", "`LimitExceeded`"
    yield case("a malformed event", bad, embedded(BreakEvent(1)), FIRST)
    coded = by_hand(HEAD + b"content-encoding: gzip\r\ncontent-length: 9\r\n\r\nnot gzip!")
    yield case("gzip that is not gzip", bad, coded)
    yield case("not HTTP", bad, by_hand(b"SSH-2.0-OpenSSH_9.2\r\n\r\n"))
    yield case("a header without a colon", bad, by_hand(HEAD + b"oops\r\n\r\n"))
    lengths = by_hand(HEAD + b"content-length: 5\r\ncontent-length: 6\r\n\r\nhello")
    yield case("two content lengths", bad, lengths)
    chunks = by_hand(HEAD + CHUNKED + b"%x\r\n%b\r\n" % (len(HELLO), HELLO) + b"zz\r\n")
    yield case("a chunk without a size", bad, chunks, FIRST)
    event = embedded(answer=long_text, limits=Limits(event=4000))
    yield case("an event too large", large, event, FIRST)
    body = embedded(answer=long_text, limits=Limits(response=4000))
    yield case("a body too large", large, body, FIRST)
    boom = embedded(Gzip(), answer=bomb, limits=Limits(response=2_000_000))
    yield case("a gzip bomb", large, boom, FIRST)
    tiny = gzip.compress(b"xy\n" * 10_000_000)
    lines = by_hand(HEAD + b"content-encoding: gzip\r\n\r\n", tiny, stay=True)
    yield case("29 KB of gzip, 10 million events", NO_TIME, lines, clocks=QUICK_TOTAL)
    yield case("a head of 300 KiB", large, padded_head(300 * 1024))
    yield case("a head of 70 KiB", large, padded_head(70 * 1024), buts=(LARGER_HEAD,))


def _connections() -> Iterator[Case]:
    case = partial(Case, "Connections", outcome="`ConnectFailed`")
    yield case("a closed port", setting=closed_port())
    yield case("a name that does not resolve", setting=unknown_name)
    yield Case(
        "Connections",
        "a name that resolves too slowly",
        NO_CONNECTION,
        slow_name,
        clocks=QUICK_CONNECT,
        buts=(BLOCKED, OUT_OF_REACH),
    )
    other = embedded(certificate=server_context("far.example"))
    yield case("a certificate for another name", setting=other)
    old = embedded(certificate=server_context(expired=True))
    yield case("an expired certificate", setting=old)
    unknown = embedded(certificate=server_context(), trusting=False)
    yield case("a certificate of an unknown authority", setting=unknown)
    plain = by_hand(b"HTTP/1.1 400 Bad Request\r\n\r\n", scheme="https")
    yield case("plain HTTP instead of TLS", setting=plain)
    yield case("closed during the TLS handshake", setting=by_hand(scheme="https"))


def _proxies() -> Iterator[Case]:
    case = partial(Case, "Proxies")
    for scheme in ("http", "https"):
        closed = closed_port(of_proxy=True, scheme=scheme)
        yield case(f"a closed port, {scheme}", "`ConnectFailed`", closed)
    for status in (403, 407):
        says = b"HTTP/1.1 %d No\r\ncontent-length: 0\r\n\r\n" % status
        yield case(f"{status}, http", "`AuthenticationFailed`", through("http", says))
    for status in (403, 407, 502):
        says = b"HTTP/1.1 %d No\r\ncontent-length: 0\r\n\r\n" % status
        yield case(f"{status} to CONNECT", "`ConnectFailed`", through("https", says))
    case = partial(case, outcome="`ConnectFailed`")
    page = b"HTTP/1.1 403 No\r\n\r\n<html>not from here"
    yield case("403 with a page to CONNECT, truncated", setting=through("https", page))
    yield case("closed at CONNECT", setting=through("https"), buts=(GONE,))
    other = through("https", b"220 smtp.example\r\n\r\n")
    yield case("not HTTP at CONNECT", setting=other, buts=(NO_HTTP,))
    yield case(
        "a stall at CONNECT",
        outcome=NO_CONNECTION,
        setting=through("https", stay=True),
        clocks=QUICK_CONNECT,
        buts=(AS_A_RESPONSE,),
    )
    yield case("plain HTTP instead of TLS", setting=through("https", page, kind="https"))
    unknown = through_a_proxy("https", tls=True, trusting=False)
    yield case("a certificate of an unknown authority", setting=unknown)
    case = partial(case, buts=(NO_SOCKS,))
    unreachable = through_a_proxy("socks5", known=False)
    yield case("SOCKS, the server can't be reached", setting=unreachable)
    http = through("https", page, kind="socks5")
    yield case("HTTP instead of SOCKS", setting=http)


CASES = [
    *_answers(),
    *_cut(),
    *_stalls(),
    *_refusals(),
    *_other_content(),
    *_malformed(),
    *_connections(),
    *_proxies(),
]


# What each format has to pass

FORMAT_TRANSPORTS = ("sync", "asyncio")
"""Whatever a format does, all transports do the same with it, so few are enough."""


@dataclass(frozen=True)
class FormatCase(Case):
    """A case of one subject."""

    subject: str = ""

    @property
    def kind(self) -> str:
        """The outcome without its details, which depend on the format."""
        return self.outcome.partition(",")[0]


def format_cases(subjects: Mapping[str, Subject]) -> list[FormatCase]:
    """The rows that each format has to pass, for each of `subjects`."""
    return [
        FormatCase("Every format", subject=name, **case)
        for name, subject in subjects.items()
        for case in _of_format(subject)
    ]


_TRUNCATIONS: tuple[tuple[str, Ending, Callable[[int], Fault]], ...] = (
    ("closed before the evidence", "disconnect", CloseAfter),
    ("reset before the evidence", "disconnect", ResetAfter),
    ("ended before the evidence", "eof", EndAfter),
    ("a stall before the evidence", "timeout", StallAfter),
)
_REPLACEMENTS: tuple[tuple[str, str, Fault], ...] = (
    ("an error object with status 200", "`Refused`", ErrorObject()),
    ("an HTML page, 200", "`UnexpectedContent`", HtmlPage()),
    ("429", "`RateLimited`, after `7`", RefuseWith(429, "7")),
)


def _of_format(subject: Subject) -> Iterator[dict[str, Any]]:
    """The fields of its cases. The properties say what its events are, this only whether a network
    changes anything."""
    sent = subject.send_short()
    earlier = [None] * (len(sent.recorded) - 1)
    asked = [None] * next(n for n, each in enumerate(sent.recorded) if each.chat is not None)

    def case(name: str, setting: Setting, body: bytes, ending: Ending) -> dict[str, Any]:
        outcome = drive(subject.exchange(sent.chat), *sent.responses(body, ending))
        kind, clocks = describe(outcome), PATIENT
        if ending == "timeout":  # without a network, no clock runs that could say which it is
            idle = bool(outcome.events)
            kind, clocks = (SILENCE, QUICK_IDLE) if idle else (NO_EVENT, QUICK_FIRST_EVENT)
        found = {"outcome": kind, "text": outcome.reply.text}
        return {"name": name, "setting": setting, "clocks": clocks, **found}

    tiny, zipped = Cutting.byte_by_byte(), [Gzip()] * len(sent.recorded)
    yield case("an ordinary answer", subject_asked(subject), sent.body, "eof")
    yield case("byte by byte", subject_asked(subject, cutting=tiny), sent.body, "eof")
    yield case("gzip", subject_asked(subject, *zipped), sent.body, "eof")
    unframed = subject_asked(subject, *earlier, Unframed())
    yield case("HTTP/1.0, without a length", unframed, sent.body, "close")
    for name, ending, fault in _TRUNCATIONS:
        sizes = range(len(sent.body))
        size = max(size for size in sizes if subject.is_proven(sent, size, ending) is False)
        truncated = subject_asked(subject, *earlier, fault(size))
        yield case(name, truncated, sent.body[:size], ending)
    for name, outcome, replacement in _REPLACEMENTS:
        setting = subject_asked(subject, *asked, replacement)
        yield {"name": name, "setting": setting, "outcome": outcome}


FORMAT_CASES = format_cases(SUBJECTS)


# Cuts at every offset


@dataclass(frozen=True)
class Unit:
    """The bytes of one event, its text, and what it proves."""

    data: bytes
    text: str = ""
    proves: str = ""


@dataclass(frozen=True)
class Stream:
    """A short stream of `provider`, by `answer`. `needs`: how many of the two line ends after
    each unit must have arrived for it to count as complete, if the body goes on."""

    provider: str
    answer: AnswerFunction
    units: tuple[Unit, ...]
    needs: int

    @property
    def body(self) -> bytes:
        return b"".join(unit.data for unit in self.units)

    @property
    def response(self) -> bytes:
        """Head and all, one chunk a unit."""
        chunks = (b"%x\r\n%b\r\n" % (len(unit.data), unit.data) for unit in self.units)
        return HEAD + CHUNKED + b"".join(chunks) + b"0\r\n\r\n"

    @property
    def zipped(self) -> bytes:
        """The body as the embedded server zips it, unit by unit."""
        packer = zlib.compressobj(wbits=31)
        pieces = (
            packer.compress(unit.data) + packer.flush(zlib.Z_SYNC_FLUSH) for unit in self.units
        )
        return b"".join(pieces) + packer.flush()

    def expected(self, count: int, *, ended: bool = False) -> tuple[str, str]:
        """Outcome and text, if `count` bytes of the body arrive; `ended`: as if that were all."""
        if ended and not count:
            return "`UnexpectedContent`", ""
        needed = 0 if ended else self.needs
        text, outcome, start = "", "`Truncated`", 0
        for unit in self.units:
            if start + len(unit.data) - 2 + needed > count:
                break
            start += len(unit.data)
            text += unit.text
            outcome = f"complete, by `{unit.proves}`" if unit.proves else outcome
        return outcome, text

    def expected_of_response(self, count: int) -> tuple[str, str]:
        """Outcome and text, if `count` bytes of the whole response arrive."""
        left = count - len(HEAD + CHUNKED)
        if left < 0:
            return "`Disconnected`", ""
        came = 0
        for unit in self.units:
            left -= len(b"%x\r\n" % len(unit.data))
            came += min(max(left, 0), len(unit.data))
            left -= len(unit.data) + 2
        return self.expected(came)

    def expected_of_zipped(self, count: int) -> tuple[str, str]:
        """Outcome and text, if `count` bytes of the zipped body arrive."""
        return self.expected(len(zlib.decompressobj(wbits=31).decompress(self.zipped[:count])))


STREAMS = (
    Stream(
        "darkai",
        hello_world,
        (Unit(HELLO, "Hello, "), Unit(WORLD, "wörld"), Unit(DONE, proves="terminator")),
        needs=1,  # a line is an event
    ),
    Stream(
        "ylokh",
        finishing,
        (
            Unit(b"data: %b\n\n" % OPENAI_CHUNKS[0], "Hällo"),
            Unit(b"data: %b\n\n" % OPENAI_CHUNKS[1], proves="finish"),
            Unit(b"data: [DONE]\n\n", proves="terminator"),
        ),
        needs=2,
    ),
)


@dataclass(frozen=True)
class Cut:
    """One way to truncate `stream` at every offset up to `size`. `fault`: that of the embedded
    server for a number of bytes; None: the response is sent by hand, and closed inside it."""

    stream: Stream
    name: str
    size: int
    fault: Callable[[int], Faults] | None
    expected_at: Callable[[int], tuple[str, str]]

    @property
    def counts(self) -> range:
        """The offsets, the end included."""
        return range(self.size + 1)

    def expected(self) -> list[tuple[str, str]]:
        """Outcome and text at each offset."""
        return list(map(self.expected_at, self.counts))


def _cuts(stream: Stream) -> Iterator[Cut]:
    def cut(name: str, sent: bytes, fault: Callable[[int], Faults] | None, expected: Any) -> Cut:
        return Cut(stream, f"{stream.provider}, {name}", len(sent), fault, expected)

    yield cut("closed", stream.body, CloseAfter, stream.expected)
    yield cut("ended early", stream.body, EndAfter, partial(stream.expected, ended=True))
    if stream.provider != "darkai":
        return  # the rest depends on the transport only, not on the stream
    yield cut("reset", stream.body, ResetAfter, stream.expected)
    yield cut("closed anywhere in the response", stream.response, None, stream.expected_of_response)

    def close(count: int) -> Faults:
        return (Gzip(), CloseAfter(count))

    yield cut("gzip, closed", stream.zipped, close, stream.expected_of_zipped)


CUTS = [cut for stream in STREAMS for cut in _cuts(stream)]


def cut_everywhere(cut: Cut, transport: str) -> list[tuple[str, str]]:
    """Outcome and text at each offset; one client asks for all of them."""
    with nothing_left(), _cutting_server(cut) as url:
        exchanges = [make_exchange(cut.stream.provider, "Hello", base_url=url) for _ in cut.counts]
        outcomes = TRANSPORTS[transport](*exchanges, clocks=PATIENT, retry=NO_RETRY)
    return [(describe(outcome), outcome.reply.text) for outcome in outcomes]


@contextmanager
def _cutting_server(cut: Cut) -> Generator[str]:
    """A server that truncates the answer to each request one byte later; its base URL."""

    def talk_until(count: int) -> Callable[[socket.socket], None]:
        def talk(stream: socket.socket) -> None:
            hear(stream)
            stream.sendall(cut.stream.response[:count])

        return talk

    if cut.fault is None:
        with listening(*map(talk_until, cut.counts)) as port:
            yield f"http://127.0.0.1:{port}"
    else:
        faults = map(cut.fault, cut.counts)
        with serve(cut.stream.provider, cut.stream.answer, faults=faults) as server:
            yield server.url
            assert len(server.requests) == len(cut.counts)
