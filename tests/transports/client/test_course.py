"""The course of an exchange over somebody else's client: clocks, errors, retry, and where to."""

import gzip
import ssl
from collections.abc import Callable
from typing import Any

import httpx
import httpx2
import pytest

from tests.wiring import BASE, STOP, TEXT, body_of, question, raw_exchange
from tokenwire import (
    NO_RETRY,
    BadRequest,
    Clocks,
    ConnectFailed,
    Disconnected,
    End,
    Event,
    Evidence,
    Exchange,
    LimitExceeded,
    LocalProtocolError,
    Malformed,
    Request,
    Retry,
    Text,
    TimedOut,
    TokenwireError,
    TransportError,
    Truncated,
    UnexpectedContent,
)
from tokenwire.protocols.toolkit.coding import PIECE
from tokenwire.transports.client.course import LONGEST, Course, Leave, Receive, Send, Sleep

KEY = "sesame-open-please"
SSE = [(b"Content-Type", b"text/event-stream")]
FRAMED = [*SSE, (b"Transfer-Encoding", b"chunked")]


def course_of(exchange: Exchange | None = None, **how: Any) -> Course:
    settings: dict[str, Any] = {
        "clocks": Clocks(connect=1, first_event=20, idle=10, total=None),
        "retry": NO_RETRY,
        "allow_private_addresses": False,
        "now": 100,
        "wall_clock": 1_000_000,
        "jitter": 0,
    }
    return Course(exchange or question(), **(settings | how))


def send(course: Course, now: float = 100) -> Send:
    action = course.next(now)
    assert isinstance(action, Send)
    return action


def begin(course: Course, headers: Any = FRAMED, status: int = 200) -> Course:
    """Up to the head of the response."""
    send(course)
    course.responded(status, headers)
    assert isinstance(course.next(100), Receive)
    return course


def fails(course: Course, now: float = 100) -> TokenwireError:
    """The error of `course`, which is raised for ever."""
    with pytest.raises(TokenwireError) as first:
        course.next(now)
    with pytest.raises(TokenwireError) as again:
        course.next(now + 10_000)
    assert first.value is again.value
    return first.value


def test_an_answer() -> None:
    course = begin(course_of())
    course.received(TEXT[:5], 101)
    assert course.events == []
    course.received(TEXT[5:], 102)
    assert course.events == [Text("a")]
    assert not course.finished
    course.events.clear()
    course.received(STOP, 103)
    assert course.events[-1] == End("terminator")
    assert course.finished
    assert course.next(104) == Leave(answered=True)
    assert course.finished  # so that an abort meanwhile is no error
    assert course.next(104) is None
    assert course.next(104) is None


@pytest.mark.parametrize(
    ("headers", "http2", "evidence"),
    [
        (SSE, False, "connection_close"),
        (FRAMED, False, "body_end"),
        ([*SSE, (b"content-length", b"3")], False, "body_end"),
        (SSE, True, "body_end"),
    ],
)
def test_the_end_of_a_body(headers: Any, http2: bool, evidence: Evidence) -> None:
    course = course_of(raw_exchange())
    send(course)
    course.responded(200, headers, http2=http2)
    course.received(b"", 101)
    course.received(b"abc", 101)
    course.ended()
    assert body_of(course.events) == b"abc"
    assert course.events[-1] == End(evidence)


# Clocks


def run_out(course: Course, now: float) -> TokenwireError:
    assert course.next(now) == Leave(answered=False)
    return fails(course, now)


@pytest.mark.parametrize("total", [None, 15, 5000])
def test_timeouts(total: float | None) -> None:
    """The read timeout is the longest of what may run, and within what is left of `total`."""
    clocks = Clocks(connect=1, first_event=20, idle=30, total=total)
    read = 30 if total is None else min(total, 30)
    assert send(course_of(clocks=clocks)).timeouts == {
        "connect": 1,
        "pool": 1,
        "read": read,
        "write": read,
    }


@pytest.mark.parametrize("name", ["first_event", "idle"])
def test_a_clock_that_is_for_ever_leaves_reading_without_a_timeout(name: str) -> None:
    seconds: dict[str, Any] = {"connect": None, "first_event": 9, "idle": 9, name: None}
    timeouts = send(course_of(clocks=Clocks(**seconds))).timeouts
    assert timeouts["read"] is None
    assert timeouts["connect"] == (9 if name == "idle" else None)


def test_timeouts_are_neither_0_nor_too_long_for_a_socket() -> None:
    assert send(course_of(clocks=Clocks(total=1)), now=200).timeouts["read"] == 0.001
    ages = Clocks(connect=1e12, first_event=1e12, idle=1e12)
    assert set(send(course_of(clocks=ages)).timeouts.values()) == {LONGEST}


def test_the_clocks_of_the_exchange() -> None:
    assert send(course_of(clocks=None)).timeouts["connect"] == 10


def test_keep_alives_do_not_stop_a_clock() -> None:
    course = begin(course_of())
    for now in range(101, 120):
        course.received(b": keep-alive\n\n", now)
        assert course.next(now) == Receive(120)
    course.received(b": keep-alive\n\n", 120)
    error = run_out(course, 120)
    assert isinstance(error, TimedOut)
    assert error.clock == "first_event"


def test_clocks_are_looked_at_between_two_batches() -> None:
    course = course_of(clocks=Clocks(total=9))
    send(course)
    course.responded(200, [*FRAMED, (b"content-encoding", b"gzip")])
    course.received(gzip.compress(b"xy\n" * 100_000), 100)
    found: list[int] = []
    for now in range(100, 109):
        found.append(len(course.events))
        course.events.clear()
        if now < 108:
            assert course.next(now) == Sleep(now)
    assert min(found) > 0
    assert max(found) <= PIECE // 3 + 1
    course.next(110)
    assert isinstance(fails(course, 110), TimedOut)


def test_a_batch_without_events_is_followed_by_the_next() -> None:
    course = course_of()
    send(course)
    course.responded(200, [*FRAMED, (b"content-encoding", b"gzip")])
    course.received(gzip.compress(b": hm\n" * 10_000), 100)
    assert (course.next(101), course.events) == (Sleep(101), [])
    assert (course.next(102), course.events) == (Receive(120), [])


def test_idle_after_an_event() -> None:
    course = begin(course_of())
    course.received(TEXT, 105)
    course.events.clear()
    assert course.next(105) == Receive(115)
    course.received(b": keep-alive\n\n", 112)
    assert course.next(114.9) == Receive(115)
    error = run_out(course, 115)
    assert isinstance(error, TimedOut)
    assert error.clock == "idle"


def test_no_clock_but_total_runs_while_the_reader_is_busy() -> None:
    course = begin(course_of(clocks=Clocks(idle=10, total=1000)))
    course.received(TEXT, 100)
    course.pause(100)
    assert course.next(900) == Receive(910)
    course.received(TEXT, 901)
    course.pause(901)
    error = run_out(course, 1100)
    assert isinstance(error, TimedOut)
    assert error.clock == "total"


@pytest.mark.parametrize("module", [httpx, httpx2])
@pytest.mark.parametrize(
    ("name", "now", "clock"),
    [
        ("ConnectTimeout", 101, "connect"),
        ("PoolTimeout", 101, "connect"),
        ("ConnectTimeout", 100.5, "connect"),
        ("ReadTimeout", 120, "first_event"),
        ("ReadTimeout", 119.95, "first_event"),  # a little too early
        ("WriteTimeout", 120, "first_event"),
        ("ReadTimeout", 110, "idle"),  # somebody else's timeout
    ],
)
def test_a_timeout_before_the_response(module: Any, name: str, now: float, clock: str) -> None:
    course = course_of()
    send(course)
    assert course.failed(getattr(module, name)("late"), now)
    error = fails(course, now)
    assert isinstance(error, TimedOut)
    assert error.clock == clock


def test_a_connect_that_the_total_ends() -> None:
    course = course_of(clocks=Clocks(connect=5, total=2))
    assert send(course).timeouts["connect"] == 2
    assert course.failed(httpx.ConnectTimeout(""), 102)
    error = fails(course)
    assert isinstance(error, TimedOut)
    assert error.clock == "total"


def test_a_timeout_in_the_body() -> None:
    course = begin(course_of())
    course.received(TEXT, 105)
    assert course.failed(httpx.ReadTimeout(""), 125)
    assert isinstance(run_out(course, 125), TimedOut)


# Errors


def with_cause(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


def untrusted() -> Exception:
    return with_cause(httpx.ConnectError(""), ssl.SSLCertVerificationError(1, "self-signed"))


BEFORE: dict[str, tuple[Callable[[], Exception], type[TokenwireError], str]] = {
    "refused": (lambda: httpx.ConnectError("refused"), ConnectFailed, "to peer.example: refused"),
    "refused 2": (lambda: httpx2.ConnectError("refused"), ConnectFailed, "refused"),
    "no words": (lambda: httpx.ConnectError(""), ConnectFailed, "peer.example: ConnectError"),
    "untrusted": (untrusted, ConnectFailed, "is not trusted .*self-signed.*verify="),
    "the proxy": (lambda: httpx.ProxyError("407 No"), ConnectFailed, "the proxy refused: 407;"),
    "a long name": (lambda: UnicodeError("label too long"), ConnectFailed, "label too long"),
    "reset": (lambda: httpx.ReadError("reset"), Disconnected, "before a response: reset"),
    "reset in sending": (lambda: httpx.WriteError(""), Disconnected, "WriteError"),
    "a bare OSError": (lambda: OSError("no route"), Disconnected, "no route"),
    "closed": (
        lambda: httpx.RemoteProtocolError("Server disconnected without sending a response."),
        Disconnected,
        "before a response",
    ),
    "GOAWAY": (
        lambda: httpx.RemoteProtocolError("<ConnectionTerminated error_code:0>"),
        Disconnected,
        "before a response",
    ),
    "no HTTP": (
        lambda: httpx.RemoteProtocolError("illegal status line"),
        Malformed,
        "not valid HTTP",
    ),
    "a head too large": (
        lambda: httpx.RemoteProtocolError("Receive buffer too long"),
        LimitExceeded,
        "too long",
    ),
    "a hook that reads": (lambda: httpx.DecodingError("zlib"), Malformed, "zlib"),
    "another loop": (
        lambda: RuntimeError("Event loop is closed"),
        LocalProtocolError,
        r"of another event loop \(Event loop is closed\): make a new client",
    ),
    "another loop of trio": (
        lambda: RuntimeError("must be called from async context"),
        LocalProtocolError,
        "of another event loop",
    ),
    "closed client": (lambda: RuntimeError("has been closed"), LocalProtocolError, "closed"),
    "a scheme": (lambda: httpx.UnsupportedProtocol("ftp"), LocalProtocolError, "ftp"),
    "a header": (lambda: httpx.LocalProtocolError("illegal"), LocalProtocolError, "illegal"),
    "a URL": (lambda: httpx.InvalidURL("too long"), LocalProtocolError, "too long"),
    "a hook that refuses": (
        lambda: httpx.HTTPStatusError(
            "400", request=httpx.Request("GET", BASE), response=httpx.Response(400)
        ),
        LocalProtocolError,
        "refuses the response: 400",
    ),
}


@pytest.mark.parametrize("name", BEFORE)
def test_errors_before_the_response(name: str) -> None:
    make, kind, words = BEFORE[name]
    course = course_of()
    send(course)
    assert course.failed(make(), 100)
    error = fails(course)
    assert type(error) is kind
    with pytest.raises(kind, match=words):
        raise error


@pytest.mark.parametrize(
    ("error", "lasting"),
    [
        (httpx.ConnectError("refused"), False),
        (untrusted(), True),
        (httpx.ProxyError("407 Proxy Authentication Required"), True),
        (httpx.ProxyError("503 Service Unavailable"), False),
    ],
)
def test_what_lasts(error: Exception, lasting: bool) -> None:
    course = course_of()
    send(course)
    course.failed(error, 100)
    failure = fails(course)
    assert isinstance(failure, ConnectFailed)
    assert failure.lasting == lasting


@pytest.mark.parametrize(
    ("error", "kind"),
    [(httpx.ConnectError("no such name"), TimedOut), (untrusted(), ConnectFailed)],
)
def test_a_clock_that_ran_out_meanwhile_is_the_better_reason_but_for_what_lasts(
    error: Exception, kind: type[TokenwireError]
) -> None:
    """As where the system looks for a name, which no timeout stops."""
    course = course_of(clocks=Clocks(connect=5))
    send(course)
    assert course.failed(error, 106)
    assert type(fails(course, 106)) is kind


IN_THE_BODY: dict[str, tuple[Exception, type[TokenwireError]]] = {
    "reset": (httpx.ReadError("reset"), Truncated),
    "closed": (
        httpx.RemoteProtocolError("peer closed connection without sending complete message body"),
        Truncated,
    ),
    "a stream reset": (httpx2.RemoteProtocolError("<StreamReset stream_id:1>"), Truncated),
    "no chunks": (httpx.RemoteProtocolError("illegal chunk header"), Malformed),
    "read already": (httpx.StreamConsumed(), LocalProtocolError),
}


@pytest.mark.parametrize("name", IN_THE_BODY)
def test_errors_in_the_body(name: str) -> None:
    error, kind = IN_THE_BODY[name]
    course = begin(course_of())
    course.received(TEXT, 100)
    assert course.failed(error, 100)
    assert type(run_out(course, 100)) is kind
    assert course.events == [Text("a")]


def test_an_error_of_the_service_is_the_better_reason() -> None:
    course = begin(course_of(), status=400)
    course.failed(httpx.RemoteProtocolError("illegal chunk header"), 100)
    assert isinstance(run_out(course, 100), BadRequest)


def test_what_was_proved_before_the_fault_holds() -> None:
    """A finish reason came, and then the chunks break."""
    finish = b'data: {"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":"stop"}]}\n\n'
    course = begin(course_of(question("ylokh")))
    course.received(finish, 100)
    course.failed(httpx.RemoteProtocolError("illegal chunk header"), 100)
    assert course.events[-1] == End("finish")
    assert course.next(100) == Leave(answered=True)
    assert course.next(100) is None


def test_what_is_none_of_the_client_s_is_left_alone() -> None:
    course = course_of()
    send(course)
    assert not course.failed(ValueError("a bug"), 100)
    assert not course.failed(RecursionError("a bug"), 100)


def test_no_message_holds_a_key() -> None:
    course = course_of(question("openai", key=KEY))
    send(course)
    course.failed(httpx.LocalProtocolError(f"Illegal header value b'Bearer {KEY} '"), 100)
    assert KEY not in str(fails(course))


def test_a_protocol_that_was_not_asked_for() -> None:
    course = course_of()
    send(course)
    course.responded(101, [(b"upgrade", b"h2c")])
    error = run_out(course, 100)
    assert isinstance(error, Malformed)
    assert "101" in str(error)


# Retry


def test_retry() -> None:
    course = course_of(retry=Retry(attempts=3, first_pause=2), jitter=0)
    for now, pause in (100, 2), (110, 4):
        assert send(course, now).request.method == "POST"
        assert course.failed(httpx.ConnectError("refused"), now)
        assert course.next(now) == Sleep(now + pause)
        assert course.next(now + 1) == Sleep(now + pause)
    send(course, 119)
    course.failed(httpx.ConnectError("refused"), 119)
    assert isinstance(fails(course, 119), ConnectFailed)


def test_no_retry_after_an_event() -> None:
    course = course_of(retry=Retry())
    send(course)
    course.responded(200, FRAMED)
    course.received(TEXT, 100)
    course.failed(httpx.ConnectTimeout(""), 101)
    assert isinstance(run_out(course, 101), TransportError)


def test_no_retry_that_could_not_be_in_time() -> None:
    clocks = Clocks(connect=None, first_event=None, total=2)
    course = course_of(retry=Retry(first_pause=4), clocks=clocks)
    send(course)
    course.failed(httpx.ConnectError("refused"), 100)
    assert isinstance(fails(course), ConnectFailed)


# Where to


def chosen(first: str, second: str, **how: Any) -> Course:
    """A course whose first answer sends us to `second`."""
    requests = [
        Request("GET", first, []),
        Request("GET", second, [], server_chosen=True),
    ]
    course = course_of(raw_exchange(*requests), **how)
    begin(course)
    course.ended()
    assert course.next(100) == Leave(answered=False)
    return course


@pytest.mark.parametrize(
    ("first", "second", "allowed"),
    [
        (BASE, "http://10.0.0.7/a.png", True),
        ("http://127.0.0.1/", "http://10.0.0.7/a.png", False),
        (BASE, "http://other.example/a.png", False),
    ],
)
def test_where_a_server_may_send_us(first: str, second: str, allowed: bool) -> None:
    course = chosen(first, second, allow_private_addresses=allowed)
    assert send(course).request.url == second


def test_where_a_server_may_not_send_us() -> None:
    error = fails(chosen(BASE, "http://10.0.0.7/a.png"))
    assert isinstance(error, UnexpectedContent)
    assert "allow_private_addresses=True" in str(error)


def test_a_url_of_the_server_s_that_is_none_is_not_our_fault() -> None:
    course = chosen(BASE, "http://other.example/a.png")
    send(course)
    course.failed(httpx.InvalidURL("no"), 100)
    assert isinstance(fails(course), UnexpectedContent)


def test_events_are_the_readers_to_take() -> None:
    course = begin(course_of())
    course.received(TEXT, 100)
    taken: list[Event] = list(course.events)
    course.events.clear()
    course.ended()
    assert taken == [Text("a")]
    assert all(event != Text("a") for event in course.events)


def test_the_deadline_before_the_response_leaves_out_the_clock_connect() -> None:
    assert send(course_of()).deadline == 120
    assert send(course_of(clocks=Clocks(connect=1, first_event=20, total=5))).deadline == 105
    course = course_of()
    send(course)
    assert course.failed(TimeoutError(), 120)
    error = fails(course, 120)
    assert isinstance(error, TimedOut)
    assert error.clock == "first_event"
