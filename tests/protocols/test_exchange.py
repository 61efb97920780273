"""The exchange: its states, what HTTP can do to it, and that only its own errors come out."""

import gzip
import zlib
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from random import Random
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.cutting import cuts
from tests.driving import JSON, SSE, Ending, Outcome, Response, alike, drive, finish
from tokenwire.protocols.auth import Header, Query
from tokenwire.protocols.chat import Chat, as_chat
from tokenwire.protocols.clocks import Clocks
from tokenwire.protocols.errors import (
    AuthenticationFailed,
    BadRequest,
    Challenged,
    ConnectFailed,
    ContentFiltered,
    Disconnected,
    LimitExceeded,
    LocalProtocolError,
    Malformed,
    Overloaded,
    RateLimited,
    Redirected,
    Refused,
    RemoteProtocolError,
    TimedOut,
    TokenwireError,
    Truncated,
    UnexpectedContent,
)
from tokenwire.protocols.events import (
    End,
    Event,
    Finish,
    Image,
    Start,
    Text,
    ToolCallDelta,
    ToolCallEnd,
    ToolCallStart,
    Unrecognized,
)
from tokenwire.protocols.exchange import TRANSITIONS, Exchange, State
from tokenwire.protocols.limits import Limits
from tokenwire.protocols.registry import PROVIDERS
from tokenwire.protocols.service import Service
from tokenwire.protocols.step import Step
from tokenwire.protocols.toolkit.coding import PIECE
from tokenwire.protocols.toolkit.http import Headers, Request
from tokenwire.protocols.toolkit.refusals import ErrorTable

KEY = "sk-secret-0123456789"
CHUNK = b'data: {"event": "text-chunk", "data": {"text": "%b"}}\n\n'
STREAM_END = b'data: {"event": "stream-end", "data": {}}\n\n'
HELLO = CHUNK % b"hel" + CHUNK % b"lo"
OPENAI_HELLO = b'data: {"choices":[{"index":0,"delta":{"content":"hello"}}]}\n\n'
OPENAI_FINISH = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'


def ask(name: str = "darkai", model: str = "", n: int | None = None, **options: Any) -> Exchange:
    chat = as_chat("hi", model=model or PROVIDERS[name].default_model or "m", n=n)
    return PROVIDERS[name].exchange(chat, random=Random(1), **options)


ASKED: dict[str, Callable[[], Exchange]] = {
    "darkai": ask,
    "ylokh": lambda: ask("ylokh"),
    "aichats": lambda: ask("aichats"),
    "a picture of aichats": lambda: ask("aichats", "dalle"),
    "aichatonline": lambda: ask("aichatonline"),
    "openai": lambda: ask("openai"),
}


# States and calls

CALLS: dict[str, Callable[[Exchange], object]] = {
    "next_request": lambda x: x.next_request(),
    "receive_response": lambda x: x.receive_response(200, SSE),
    "receive_data": lambda x: x.receive_data(CHUNK % b"a"),
    "receive_eof": lambda x: x.receive_eof(),
    "receive_disconnect": lambda x: x.receive_disconnect(),
    "receive_timeout": lambda x: x.receive_timeout("idle"),
}


def in_state(name: str) -> Exchange:
    """An exchange in the state of this name, or in one of the two that a second request brings."""
    exchange = ask("aichatonline") if "second" in name else ask()
    if name == "READY":
        return exchange
    exchange.next_request()
    if name == "SENT":
        return exchange
    if "second" in name:
        exchange.receive_response(200, JSON)
        assert exchange.receive_data(b'{"data": "token-1234"}') == []
        assert exchange.receive_eof() == []
        if name == "SENT, the second":
            exchange.next_request()
        return exchange
    exchange.receive_response(200, SSE)
    if name == "BODY":
        return exchange
    exchange.receive_data(STREAM_END if name == "SETTLED" else b"data: ?\n\n")
    return exchange


GIVES: dict[str, dict[str, object]] = {
    "READY": {"next_request": Request},
    "READY, the second": {
        "next_request": Request,
        "receive_data": [],
        "receive_eof": [],
        "receive_disconnect": [],
        "receive_timeout": [],
    },
    "SENT": {"receive_response": None, "receive_disconnect": [], "receive_timeout": []},
    "SENT, the second": {"receive_response": None, "receive_disconnect": [], "receive_timeout": []},
    "BODY": {
        "receive_data": [Text("a")],
        "receive_eof": [],
        "receive_disconnect": [],
        "receive_timeout": [],
    },
    "SETTLED": {
        "next_request": None,
        "receive_data": [],
        "receive_eof": [],
        "receive_disconnect": [],
        "receive_timeout": [],
    },
    "FAILED": {
        "next_request": Malformed,
        "receive_data": [],
        "receive_eof": [],
        "receive_disconnect": [],
        "receive_timeout": [],
    },
}
"""What each call gives in each state. What is not here is out of order."""


def reaction(exchange: Exchange, call: str) -> object:
    """What a call gives, raises, and leads to."""
    try:
        gave = CALLS[call](exchange)
    except TokenwireError as error:
        gave = (type(error), str(error))
    return gave, repr(exchange), exchange.wants_data, exchange.failed, exchange.started


@pytest.mark.parametrize("state", GIVES)
@pytest.mark.parametrize("call", CALLS)
def test_each_state_meets_each_call(state: str, call: str) -> None:
    exchange = in_state(state)
    assert state.partition(",")[0] in repr(exchange)
    assert exchange.wants_data is (state[:4] in ("SENT", "BODY"))
    assert exchange.answered is (state == "SETTLED")
    assert exchange.failed is (state == "FAILED")
    if call in GIVES[state]:
        expected = GIVES[state][call]
        if expected is Malformed:
            for _ in range(2):
                with pytest.raises(Malformed):
                    CALLS[call](exchange)
        elif expected is Request:
            assert isinstance(CALLS[call](exchange), Request)
        else:
            assert CALLS[call](exchange) == expected
        return
    with pytest.raises(LocalProtocolError, match=f"^{call}: "):
        CALLS[call](exchange)
    # Nothing has changed: each call does what it does to an exchange that was left alone.
    for after in CALLS:
        disturbed = in_state(state)
        with pytest.raises(LocalProtocolError):
            CALLS[call](disturbed)
        assert reaction(disturbed, after) == reaction(in_state(state), after)


def test_every_state_is_in_the_table() -> None:
    assert {name.partition(",")[0] for name in GIVES} == {state.name for state in State}


@given(st.lists(st.sampled_from(sorted(CALLS)), max_size=12))
def test_transitions_are_those_of_the_table(calls: list[str]) -> None:
    exchange = ask("openai")
    for call in calls:
        before = State[repr(exchange).split()[1]]
        reaction(exchange, call)
        after = State[repr(exchange).split()[1]]
        assert after is before or after in TRANSITIONS[before][call]


def test_interim_responses_are_ignored() -> None:
    exchange = ask()
    exchange.next_request()
    for status in (100, 103, 199):
        exchange.receive_response(status, [(b"content-encoding", b"br")])
    exchange.receive_response(200, SSE)
    assert exchange.receive_data(HELLO + STREAM_END)[-1] == End("terminator")


def test_fresh_is_the_same_question_unstarted() -> None:
    clocks = Clocks(total=7)
    exchange = ask("openai", key=KEY, limits=Limits(event=99), clocks=clocks)
    request = exchange.next_request()
    exchange.receive_response(200, SSE)
    exchange.receive_data(b"data: {?\n\n")
    again = exchange.fresh()
    assert again.next_request() == request
    assert (again.limits, again.clocks) == (Limits(event=99), clocks)
    assert (exchange.limits, exchange.clocks) == (Limits(event=99), clocks)
    assert not again.started
    with pytest.raises(Malformed):
        exchange.next_request()


def test_started_is_whether_an_event_came() -> None:
    exchange = ask()
    exchange.next_request()
    exchange.receive_response(200, SSE)
    for data, started in ((b": hi\n\n", False), (CHUNK % b"a", True), (b"\n", True)):
        exchange.receive_data(data)
        assert exchange.started is started


def test_started_by_the_end_of_the_body() -> None:
    exchange = ask("aichats")
    exchange.next_request()
    exchange.receive_response(200, SSE)
    assert exchange.receive_data(b"data: hi") == []
    assert exchange.started is False
    assert exchange.receive_eof(framed=True) == [Text("hi"), End("body_end")]
    assert exchange.started is True


def test_a_request_is_dropped_once_its_response_has_begun() -> None:
    exchange = PROVIDERS["openai"].exchange(as_chat("x" * 1000, model="m"), key="secret-key")
    request = exchange.next_request()
    assert request is not None
    assert exchange.request is request
    exchange.receive_response(100, [])
    assert exchange.request is request
    exchange.receive_response(200, SSE)
    left = exchange.request
    assert (left.url, left.method, left.body) == (request.url, "POST", b"")
    assert left.headers == [(b"authorization", b"Bearer secret-key")]
    exchange.receive_data(b'data: {"error":{"message":"secret-key is wrong"}}\n\n')
    with pytest.raises(Refused, match="is wrong") as caught:
        exchange.next_request()
    assert "secret-key" not in repr(caught.value)


def test_its_repr_has_no_query() -> None:
    chat = as_chat("hi", model="m")
    exchange = PROVIDERS["openai"].exchange(chat, base_url="http://h/v1?key=SECRET")
    assert repr(exchange) == "<Exchange READY POST http://h/v1/chat/completions>"
    exchange = PROVIDERS["openai"].exchange(chat, base_url="http://h/v1")
    assert repr(exchange) == "<Exchange READY POST http://h/v1/chat/completions>"


class _Polling(Step):
    """Asks the same again until it is told."""

    framing = "document"

    def __init__(self) -> None:
        self.request = Request("POST", "http://h/x", [(b"x-job", b"1")], b"{}")

    def document(self, body: bytes, events: list[Event]) -> Step | None:
        if body == b"[]":
            return self
        events.append(Text(body.decode()))
        return None


class _Numbered(Step):
    """One of several requests, each with a key of its own."""

    framing = "document"

    def __init__(self, number: int) -> None:
        self.number = number
        self.request = Request("POST", f"http://h/x?key=secret-{number}", [], b"{}")

    def document(self, body: bytes, events: list[Event]) -> Step:
        return _Numbered(self.number + 1)


def test_the_secrets_of_all_requests_are_known() -> None:
    exchange = Exchange(lambda: _Numbered(1), owes="body_end", clocks=Clocks(), limits=Limits())
    for _ in range(3):
        exchange.next_request()
        exchange.receive_response(200, JSON)
        exchange.receive_data(b"[]")
        exchange.receive_eof()
    assert {f"secret-{number}" for number in (1, 2, 3, 4)} <= set(exchange.secrets())


def test_a_step_may_follow_itself() -> None:
    step = _Polling()
    exchange = Exchange(lambda: step, owes="body_end", clocks=Clocks(), limits=Limits())
    asked: list[Request] = []
    for body in (b"[]", b"[]", b"[1]"):
        request = exchange.next_request()
        assert request is not None
        asked.append(request)
        exchange.receive_response(200, JSON)
        exchange.receive_data(body)
        events = exchange.receive_eof(framed=True)
    assert asked == [step.request] * 3
    assert step.request.body == b"{}"
    assert events == [Text("[1]"), End("body_end")]


class _Tour(Step):
    """Asks at three places, with a key for each."""

    framing = "document"

    def __init__(self, place: int = 1) -> None:
        self._place = place
        key = (b"authorization", b"Bearer key-of-place-%d" % place)
        self.request = Request("GET", f"http://h/{place}", [key])

    def document(self, body: bytes, events: list[Event]) -> Step | None:
        return _Tour(self._place + 1) if self._place < 3 else None


def test_the_keys_of_all_requests_are_redacted_from_the_last_ones_error() -> None:
    exchange = Exchange(_Tour, owes="body_end", clocks=Clocks(), limits=Limits())
    for _ in range(2):
        exchange.next_request()
        exchange.receive_response(200, JSON)
        exchange.receive_data(b"{}")
        exchange.receive_eof(framed=True)
    exchange.next_request()
    exchange.receive_response(401, [])
    exchange.receive_data(b"not one of key-of-place-1, key-of-place-2, key-of-place-3")
    exchange.receive_eof(framed=True)
    with pytest.raises(AuthenticationFailed, match="not one of") as caught:
        exchange.next_request()
    assert "key-of-place" not in f"{caught.value!r} {caught.value.data!r}"


# Signing


class _Counting:
    """Signs with a number that goes up."""

    def __init__(self) -> None:
        self.signed: list[Request] = []

    def __call__(self, request: Request) -> Request:
        self.signed.append(request)
        number = b"key-number-%d" % len(self.signed)
        return Request(request.method, request.url, [(b"authorization", number)], request.body)


def test_each_request_is_signed_when_it_is_asked_for() -> None:
    sign = _Counting()
    step = _Polling()
    bare = step.request
    exchange = Exchange(lambda: step, sign=sign, owes="body_end", clocks=Clocks(), limits=Limits())
    assert sign.signed == []
    for number, body in enumerate((b"[]", b"[]", b"[1]"), 1):
        assert exchange.request == bare
        request = exchange.next_request()
        assert request is not None
        assert request.headers == [(b"authorization", b"key-number-%d" % number)]
        assert exchange.request is request
        exchange.receive_response(200, JSON)
        exchange.receive_data(body)
        exchange.receive_eof(framed=True)
    # Each time what the step wrote, and never what was signed already.
    assert sign.signed == [bare] * 3
    fresh = exchange.fresh()
    assert len(sign.signed) == 3
    assert fresh.next_request() is not None
    assert sign.signed == [bare] * 4


def test_a_signature_that_fails_changes_nothing() -> None:
    def sign(request: Request) -> Request:
        if not keys:
            raise LocalProtocolError("no key")
        return request

    keys: list[str] = []
    exchange = Exchange(_Polling, sign=sign, owes="body_end", clocks=Clocks(), limits=Limits())
    for _ in range(2):
        with pytest.raises(LocalProtocolError, match="no key"):
            exchange.next_request()
    assert exchange.unstarted
    assert not exchange.failed
    keys.append("k")
    assert exchange.next_request() is not None


@pytest.mark.parametrize("at", ["header", "query"])
def test_a_key_that_was_put_in_is_redacted(at: str) -> None:
    auth = Query("key") if at == "query" else Header("x-api-key")
    provider = PROVIDERS["openai"].replace(auth=auth)
    exchange = provider.exchange(as_chat("hi", model="m"), key=lambda: KEY)
    assert KEY not in repr(exchange.next_request())
    exchange.receive_response(401, JSON)
    exchange.receive_data(b'{"error": "%b is wrong"}' % KEY.encode())
    exchange.receive_eof()
    with pytest.raises(AuthenticationFailed, match="is wrong") as caught:
        exchange.next_request()
    assert KEY not in f"{caught.value!r} {caught.value.data!r} {exchange!r}"


# What an exchange tells of itself


def test_the_evidence_so_far() -> None:
    exchange = ask("openai")
    exchange.next_request()
    exchange.receive_response(200, SSE)
    found = [exchange.evidence]
    for data in (OPENAI_HELLO, OPENAI_FINISH, b"data: [DONE]\n\n"):
        exchange.receive_data(data)
        found.append(exchange.evidence)
    assert found == [None, None, "finish", "terminator"]


@pytest.mark.parametrize(
    ("headers", "id"),
    [
        ([], None),
        ([(b"X-Request-Id", b"r-1")], "r-1"),
        ([(b"request-id", b"r-2"), (b"x-request-id", b"r-1")], "r-1"),
        ([(b"x-own-id", b"r-3")], None),
    ],
)
def test_the_id_of_the_request(headers: Headers, id: str | None) -> None:
    exchange = ask()
    assert exchange.request_id is None
    exchange.next_request()
    exchange.receive_response(200, [*SSE, *headers])
    assert exchange.request_id == id


def test_the_id_of_the_request_is_where_the_format_says() -> None:
    class Own(_Polling):
        errors = ErrorTable(request_ids=(b"x-own-id",))

    exchange = Exchange(Own, owes="body_end", clocks=Clocks(), limits=Limits())
    exchange.next_request()
    exchange.receive_response(400, [*JSON, (b"x-own-id", b"r-3"), (b"x-request-id", b"r-1")])
    assert exchange.request_id == "r-3"
    exchange.receive_eof()
    with pytest.raises(BadRequest) as caught:
        exchange.next_request()
    assert caught.value.request_id == "r-3"


def test_the_headers_that_an_error_keeps() -> None:
    class Own(_Polling):
        errors = ErrorTable(request_ids=(b"x-own-id",), code_header=b"x-code")

    exchange = Exchange(Own, owes="body_end", clocks=Clocks(), limits=Limits())
    exchange.next_request()
    kept: Headers = [*JSON, (b"x-own-id", b"r-3"), (b"x-code", b"c"), (b"x-ratelimit-a", b"1")]
    exchange.receive_response(400, [*kept, (b"set-cookie", b"a=b")])
    exchange.receive_eof()
    with pytest.raises(BadRequest) as caught:
        exchange.next_request()
    assert caught.value.headers == kept


def test_a_refusal_in_a_stream_has_the_id_of_the_request() -> None:
    exchange = ask("openai")
    exchange.next_request()
    exchange.receive_response(200, [*SSE, (b"x-request-id", b"r-1")])
    exchange.receive_data(b'data: {"error": {"message": "no"}}\n\n')
    with pytest.raises(Refused) as caught:
        exchange.next_request()
    assert caught.value.request_id == "r-1"


def test_a_call_ends_if_something_shows_that_it_is_complete() -> None:
    call = '{"index":0,"id":"c","function":{"name":"f","arguments":"{}"}}'
    begun = f'data: {{"choices":[{{"index":0,"delta":{{"tool_calls":[{call}]}}}}]}}\n\n'.encode()
    outcome = drive(ask("openai"), begun + OPENAI_FINISH).succeeded()
    kinds = [type(event) for event in outcome.events]
    assert kinds == [ToolCallStart, ToolCallDelta, ToolCallEnd, Finish, End]
    outcome = drive(ask("openai"), begun + b"data: [DONE]\n\n").succeeded()
    kinds = [type(event) for event in outcome.events]
    assert kinds == [ToolCallStart, ToolCallDelta, ToolCallEnd, End]
    for refusal in (b"error: no", b'data: {"error": {"message": "no"}}\n\n'):
        outcome = drive(ask("openai"), begun + refusal).refused_by(Refused)
        assert [type(event) for event in outcome.events] == [ToolCallStart, ToolCallDelta]


def test_the_bytes_after_the_end_mark_are_taken_with_the_others() -> None:
    body = OPENAI_HELLO + OPENAI_FINISH + b"data: [DONE]\n\ndata: ha"
    for units in (False, True):
        exchange = ask("openai")
        exchange.keep_raw()
        exchange.next_request()
        exchange.receive_response(200, SSE)
        exchange.receive_data(body)
        taken = exchange.take_raw(units=True) if units else exchange.take_raw()
        assert taken == (body.removesuffix(b"data: ha") if units else body)


def test_a_whole_document_needs_no_end_of_the_body() -> None:
    document = b'{"choices":[{"message":{"content":"a"},"finish_reason":"stop"}]}'
    outcome = drive(ask("openai"), Response(document, 200, JSON, "disconnect")).succeeded()
    assert outcome.events == [Text("a"), Finish("stop", "stop"), End("terminator")]


def test_a_retry_asks_the_same_question() -> None:
    exchange = ask()
    assert exchange.question is not None
    assert exchange.fresh().question is exchange.question


def test_leaving_changes_nothing() -> None:
    exchange = ask()
    exchange.leave()
    exchange.next_request()
    exchange.receive_response(200, SSE)
    exchange.leave(Truncated("the reader has left"))
    exchange.leave()
    assert exchange.receive_data(HELLO + STREAM_END)[-1] == End("terminator")
    assert exchange.next_request() is None


class _Failing(_Polling):
    """An answer that is complete, and no success."""

    def document(self, body: bytes, events: list[Event]) -> Step | None:
        self.failure = RateLimited("no tokens left", code="quota")
        events.append(Text("a"))
        return None


def test_a_failure_is_raised_instead_of_the_end() -> None:
    exchange = Exchange(_Failing, owes="body_end", clocks=Clocks(), limits=Limits())
    outcome = alike(exchange, Response(b"[]", 200, JSON))
    assert outcome.refused_by(RateLimited, "no tokens left").events == [Text("a")]
    assert isinstance(outcome.error, RateLimited)
    assert (outcome.error.status, outcome.error.code) == (200, "quota")
    # Without the required evidence the answer is truncated, whatever else is wrong with it.
    exchange = Exchange(_Failing, owes="finish", clocks=Clocks(), limits=Limits())
    alike(exchange, Response(b"[]", 200, JSON)).refused_by(Truncated)


ENDINGS: list[Ending] = ["eof", "close", "disconnect", "timeout"]


def test_the_bytes_of_what_is_not_complete() -> None:
    exchange = ask()
    assert exchange.partial == 0
    exchange.next_request()
    exchange.receive_response(200, SSE)
    fed = (
        (b"\n", 0),
        (b": hi\n", 0),
        (b"data: {", 7),
        (b'"event":', 15),
        (b'"x"}\n', 0),
        (b"d", 1),
    )
    for data, partial in fed:
        exchange.receive_data(data)
        assert exchange.partial == partial, data
    exchange.receive_disconnect()
    assert exchange.partial == 0


# Batches


def begun(asked: Exchange, coding: str = "gzip", status: int = 200) -> Exchange:
    """An exchange whose response has begun."""
    asked.next_request()
    asked.receive_response(status, [*SSE, (b"content-encoding", coding.encode())])
    return asked


def batches(asked: Exchange, data: bytes) -> list[list[Event]]:
    """All that `data` completes, batch by batch."""
    found = [asked.receive_batch(data)]
    while asked.has_more:
        found.append(asked.receive_batch())
    return found


TINY = b"xy\n" * (3 * PIECE)
FOUND = [Unrecognized(b"xy")] * (3 * PIECE)


@pytest.mark.parametrize("coding", ["identity", "gzip", "deflate"])
def test_batches_are_bounded_and_say_the_same(coding: str) -> None:
    pack: dict[str, Callable[[bytes], bytes]] = {"gzip": gzip.compress, "deflate": zlib.compress}
    body = pack.get(coding, bytes)(TINY + STREAM_END)
    found = batches(begun(ask(), coding), body)
    assert max(map(len, found)) <= PIECE // 3 + 1
    events = [event for batch in found for event in batch]
    assert events == [*FOUND, End("terminator")] == begun(ask(), coding).receive_data(body)


@pytest.mark.parametrize("ending", ENDINGS)
def test_the_end_of_a_body_comes_after_the_rest_of_it(ending: Ending) -> None:
    asked = begun(ask())
    events = asked.receive_batch(gzip.compress(TINY))
    assert (asked.has_more, 0 < len(events) < len(FOUND)) == (True, True)
    events += finish(asked, ending)
    assert not asked.has_more
    if ending == "timeout":  # there is no time for it
        assert 0 < len(events) < len(FOUND)
    else:
        assert events == FOUND
    with pytest.raises(TimedOut if ending == "timeout" else Truncated):
        asked.next_request()


def test_more_data_come_after_the_rest() -> None:
    asked = begun(ask())
    packed = gzip.compress(TINY + HELLO + STREAM_END)
    events = asked.receive_batch(packed[:-9])
    assert asked.has_more
    events += asked.receive_data(packed[-9:])
    assert events == [*FOUND, Text("hel"), Text("lo"), End("terminator")]


@pytest.mark.parametrize(
    ("end", "error"), [(STREAM_END, None), (b"data: ?\n\n", Malformed), (b"", Truncated)]
)
def test_nothing_is_more_once_it_is_settled(end: bytes, error: type[TokenwireError] | None) -> None:
    asked = begun(ask())
    found = batches(asked, gzip.compress(HELLO + end + TINY))
    if end:
        assert found == [[Text("hel"), Text("lo"), *([] if error else [End("terminator")])]]
        assert asked.receive_batch(b"more") == []
    asked.receive_eof()
    assert not asked.has_more
    if error is not None:
        with pytest.raises(error):
            asked.next_request()


def test_a_fault_of_the_coding_comes_after_the_batch_before_it() -> None:
    asked = begun(ask())
    packer = zlib.compressobj(wbits=31)
    broken = packer.compress(HELLO) + packer.flush(zlib.Z_FULL_FLUSH) + b"\xff" * 9
    assert asked.receive_batch(broken) == [Text("hel"), Text("lo")]
    assert asked.has_more
    assert asked.receive_batch() == []
    assert not asked.has_more
    with pytest.raises(Malformed, match="not valid gzip"):
        asked.next_request()


def test_members_with_nothing_in_them_take_a_bounded_time_each() -> None:
    asked = begun(ask())
    members = gzip.compress(b"") * 2000
    found = batches(asked, members)
    assert len(found) == pytest.approx(len(members) / 4096, abs=2)
    assert not any(found)
    assert asked.partial == 0


def test_half_a_coding_says_nothing() -> None:
    for coding, data in (("gzip", b"\x1f\x8b\x08\x08" + bytes(6) + b"name"), ("deflate", b"\x78")):
        asked = begun(ask(), coding)
        assert batches(asked, data) == [[]]
        assert asked.partial == 0


def test_raw_bytes_are_those_of_the_batch() -> None:
    asked = ask()
    asked.keep_raw()
    begun(asked)
    raw, events = b"", asked.receive_batch(gzip.compress(HELLO * 2000 + STREAM_END))
    while events:
        taken = asked.take_raw()
        assert (taken.count(b"text-chunk"), taken[-1:]) == (
            sum(isinstance(event, Text) for event in events),
            b"\n",
        )
        raw += taken
        events = asked.receive_batch()
    assert raw == HELLO * 2000 + STREAM_END


# The ends of a body


@pytest.mark.parametrize("ending", ENDINGS)
def test_end_comes_with_the_terminator(ending: Ending) -> None:
    exchange = ask()
    exchange.next_request()
    exchange.receive_response(200, SSE)
    assert exchange.receive_data(HELLO + STREAM_END + CHUNK % b"more") == [
        Text("hel"),
        Text("lo"),
        End("terminator"),
    ]
    assert not exchange.wants_data
    assert exchange.receive_data(CHUNK % b"cost") == []
    assert finish(exchange, ending) == []
    assert exchange.next_request() is None


@pytest.mark.parametrize("ending", ENDINGS)
def test_before_the_required_evidence(ending: Ending) -> None:
    outcome = alike(ask(), Response(HELLO, ending=ending))
    kind = TimedOut if ending == "timeout" else Truncated
    assert outcome.refused_by(kind).events == [Text("hel"), Text("lo")]


@pytest.mark.parametrize("ending", ENDINGS)
def test_after_the_required_evidence(ending: Ending) -> None:
    outcome = alike(ask("openai"), Response(OPENAI_HELLO + OPENAI_FINISH, ending=ending))
    assert outcome.succeeded().events[-1] == End("finish")


@pytest.mark.parametrize("name", ["aichats", "aichatonline"])
@pytest.mark.parametrize("ending", ENDINGS)
def test_where_the_end_of_the_body_is_required(name: str, ending: Ending) -> None:
    body = b'{"data": {"message": "hi"}}\n' if name == "aichatonline" else b"data: hi\n"
    token = [Response(b'{"data": "token-1"}', 200, JSON)] if name == "aichatonline" else []
    outcome = alike(ask(name), *token, Response(body, ending=ending))
    assert outcome.events[0] == Text("hi")
    match ending:
        case "eof":
            assert outcome.succeeded().events[1:] == [End("body_end")]
        case "close":
            outcome.refused_by(Truncated, "only a closed connection", "requires body_end")
        case "disconnect":
            outcome.refused_by(Truncated, "the connection closed")
        case "timeout":
            outcome.refused_by(TimedOut)


@pytest.mark.parametrize(
    ("headers", "framed"),
    [
        ([], False),
        (SSE, False),
        ([*SSE, (b"Content-Length", b"9")], True),
        ([(b"transfer-encoding", b"chunked"), *SSE], True),
    ],
)
def test_headers_tell_whether_the_end_of_the_body_was_framed(
    headers: Headers, framed: bool
) -> None:
    exchange = ask("aichats")
    exchange.next_request()
    exchange.receive_response(200, headers)
    exchange.receive_data(b"data: hi\n")
    assert exchange.receive_eof() == ([End("body_end")] if framed else [])
    assert exchange.failed is not framed


def test_truncated_speaks_of_the_format() -> None:
    alike(ask(), HELLO).refused_by(Truncated, "stream-end")
    alike(ask("openai"), OPENAI_HELLO).refused_by(Truncated, "data: [DONE]", "finish_reason")


def test_disconnect_and_timeout_before_a_response() -> None:
    for call, kind, words in (
        ("receive_disconnect", Disconnected, "the connection closed before any byte of a response"),
        ("receive_timeout", TimedOut, "the clock idle ran out"),
    ):
        for state in ("SENT", "SENT, the second"):
            exchange = in_state(state)
            assert CALLS[call](exchange) == []
            with pytest.raises(kind, match=f"^{words}; the request was "):
                exchange.next_request()


def test_an_error_names_the_address_if_that_may_be_wrong() -> None:
    page, error, none = b"<html>", b'{"error": {"message": "no"}}', b""
    for status, body, named in (
        (404, error, True),
        (405, none, True),
        (302, none, True),
        (200, page, True),
        (200, none, True),
        (200, b'{"a": 1}', True),
        (400, error, False),
        (401, error, False),
        (503, page, False),
        (200, b"data: {\n\n", False),
    ):
        exchange = ask("openai", key=KEY, base_url=f"https://a.test/{KEY}/v1?k={KEY}")
        response = Response(body, status, SSE if body[:4] == b"data" else JSON)
        failed = drive(exchange, response).error
        assert isinstance(failed, RemoteProtocolError)
        asked = "POST https://a.test/[secret]/v1/chat/completions"
        assert failed.asked == (asked if named else "")
        assert (f"; the request was {asked}" in str(failed)) is named
        assert "the request" not in failed.message  # which a server half passes on


def test_timeout_names_its_clock() -> None:
    exchange = in_state("SENT")
    exchange.receive_timeout("first_event")
    with pytest.raises(TimedOut, match="first_event") as caught:
        exchange.next_request()
    assert caught.value.clock == "first_event"
    exchange = in_state("BODY")
    exchange.receive_timeout("total", "it took too long")
    with pytest.raises(TimedOut, match="it took too long"):
        exchange.next_request()


# Events before a fault, and the fault


def test_events_before_the_fault_are_returned() -> None:
    exchange = ask()
    exchange.next_request()
    exchange.receive_response(200, SSE)
    events = exchange.receive_data(HELLO + b"data: ?\n\n" + CHUNK % b"more")
    assert events == [Text("hel"), Text("lo")]
    assert not exchange.wants_data
    assert exchange.receive_data(STREAM_END) == []
    with pytest.raises(Malformed, match="not JSON") as caught:
        exchange.next_request()
    assert caught.value.data == b" ?"
    assert caught.value.status == 200


@pytest.mark.parametrize(
    ("fault", "kind"),
    [(b"data: {?\n\n", Malformed), (b"event: error\ndata: no", Refused), (b"", Truncated)],
)
def test_what_was_held_back_and_is_certain_comes_before_the_fault(
    fault: bytes, kind: type[TokenwireError]
) -> None:
    outcome = alike(ask("openai", n=2), OPENAI_HELLO + OPENAI_FINISH + fault).refused_by(kind)
    assert outcome.events == [Text("hello"), Finish("stop", "stop")]


def test_what_was_held_back_comes_before_the_end() -> None:
    outcome = alike(ask("openai"), OPENAI_HELLO + OPENAI_FINISH + b"data: [DONE]\n\n")
    assert outcome.events == [Text("hello"), Finish("stop", "stop"), End("terminator")]


def test_errors_keep_the_headers_that_matter() -> None:
    headers = [
        (b"Retry-After", b"7"),
        (b"X-Request-Id", b"r1"),
        (b"Content-Type", b"application/json"),
        (b"Set-Cookie", b"c=1"),
        (b"X-RateLimit-Reset-Tokens", b"6s"),
        (b"anthropic-ratelimit-requests-limit", b"50"),
        (b"x-rate-limit-limit", b"9"),
    ]
    error = alike(ask(), Response(b"{}", 429, headers)).error
    assert isinstance(error, RateLimited)
    assert (error.status, error.retry_after, error.request_id) == (429, "7", "r1")
    assert error.headers == [
        (b"retry-after", b"7"),
        (b"x-request-id", b"r1"),
        (b"content-type", b"application/json"),
        (b"x-ratelimit-reset-tokens", b"6s"),
        (b"anthropic-ratelimit-requests-limit", b"50"),
        (b"x-rate-limit-limit", b"9"),
    ]


def test_the_headers_of_the_last_response() -> None:
    exchange = ask("aichatonline")
    assert exchange.headers == []
    exchange.next_request()
    exchange.receive_response(200, [*JSON, (b"x-a", b"1")])
    exchange.receive_data(b'{"code": 200, "data": "T"}')
    exchange.receive_eof(framed=True)
    assert (b"x-a", b"1") in exchange.headers
    exchange.next_request()
    exchange.receive_response(200, {"X-B": "2", "Set-Cookie": "sid=1"})
    assert exchange.headers == [(b"x-b", b"2"), (b"set-cookie", b"sid=1")]
    exchange.headers.clear()
    assert exchange.headers


# HTTP (quirks 6, 14, 44 to 47)

BODIES: dict[str, bytes] = {
    "error object": b'{"error": {"message": "m1", "code": null, "type": "t"}}',
    "error text": b'{"error": "m1"}',
    "message": b'{"message": "m1"}',
    "with an id": b'{"id": "r", "message": "m1"}',
    "detail": b'{"detail": "m1"}',
    "details": b'{"detail": [{"msg": "m1"}, {"msg": "m2"}]}',
    "code and error": b'{"code": 7, "error": "m1"}',
    "in a list": b'[{"error": {"message": "m1"}}]',
    "an event": b'event: error\ndata: {"error": {"message": "m1"}}\n\n',
    "text": b"m1",
}
CONTENT: list[bytes] = [b"application/json", b"text/event-stream", b"text/html", b""]
STATUSES: list[tuple[int, type[Refused]]] = [
    (400, BadRequest),
    (401, AuthenticationFailed),
    (403, AuthenticationFailed),
    (404, BadRequest),
    (429, RateLimited),
    (500, Refused),
    (502, Overloaded),
    (503, Overloaded),
    (529, Overloaded),
]


@pytest.mark.parametrize(("status", "kind"), STATUSES)
@pytest.mark.parametrize("form", BODIES)
def test_quirks_6_and_44_error_status(form: str, status: int, kind: type[Refused]) -> None:
    for content in CONTENT:
        response = Response(BODIES[form], status, [(b"content-type", content)])
        outcome = alike(ask(), response).refused_by(kind, "m1")
        assert isinstance(outcome.error, Refused)
        assert outcome.error.status == status
        assert outcome.events == []


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("size", [0, 5, 40])
def test_error_body_that_is_cut_or_stalls_is_still_that_error(ending: Ending, size: int) -> None:
    body = BODIES["error object"][:size]
    outcome = alike(ask(), Response(body, 503, JSON, ending)).refused_by(Overloaded, "503")
    assert isinstance(outcome.error, Overloaded)
    assert outcome.error.data == body


def test_error_body_is_read_up_to_its_limit() -> None:
    exchange = ask(limits=Limits(error_body=10))
    exchange.next_request()
    exchange.receive_response(500, JSON)
    exchange.receive_data(b"012345678")
    assert exchange.wants_data
    exchange.receive_data(b"9AB")
    assert not exchange.wants_data
    with pytest.raises(Refused, match=r"status 500: 0123456789$"):
        exchange.next_request()


CODED: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "x-gzip": gzip.compress,
    "deflate": zlib.compress,
    "Deflate": lambda body: zlib.compress(body)[2:-4],
}


@pytest.mark.parametrize("coding", CODED)
def test_quirk_14_encoded_answers(coding: str) -> None:
    headers = [*SSE, (b"content-encoding", coding.encode())]
    body = CODED[coding](HELLO + STREAM_END + CHUNK % b"more" * 10000)
    outcome = alike(ask(), Response(body, headers=headers)).succeeded()
    assert outcome.events == [Text("hel"), Text("lo"), End("terminator")]
    refused = alike(ask(), Response(CODED[coding](BODIES["message"]), 429, headers))
    refused.refused_by(RateLimited, "m1")


def test_quirk_14_unknown_encoding() -> None:
    headers = [*SSE, (b"content-encoding", b"br")]
    outcome = alike(ask(), Response(b"\x0b\x02\x80hello\x03", headers=headers))
    outcome.refused_by(UnexpectedContent, "'br'")


def test_error_in_an_unknown_or_broken_encoding_is_still_that_error() -> None:
    headers = [*JSON, (b"retry-after", b"3"), (b"content-encoding", b"br")]
    error = alike(ask(), Response(b"\x0b\x02\x80hello\x03", 429, headers)).error
    assert isinstance(error, RateLimited)
    assert error.retry_after == "3"
    headers = [*JSON, (b"content-encoding", b"gzip")]
    alike(ask(), Response(b"no gzip", 503, headers)).refused_by(Overloaded)


@pytest.mark.parametrize("coding", CODED)
@pytest.mark.parametrize("ending", ENDINGS)
def test_cut_gzip_is_never_a_success(coding: str, ending: Ending) -> None:
    """Even where the end of the body is all that is owed."""
    body = CODED[coding](b"data: hello\ndata:  world\n")
    headers = [*SSE, (b"content-encoding", coding.encode())]
    for size in range(len(body)):
        outcome = drive(ask("aichats"), Response(body[:size], 200, headers, ending))
        outcome.refused_by(TimedOut if ending == "timeout" else Truncated)
    whole = alike(ask("aichats"), Response(body, 200, headers)).succeeded()
    assert whole.reply.text == "hello world"


def test_broken_gzip() -> None:
    body = bytearray(gzip.compress(HELLO))
    body[-5] ^= 1  # the checksum
    headers = [*SSE, (b"content-encoding", b"gzip")]
    outcome = alike(ask(), Response(bytes(body), 200, headers)).refused_by(Malformed, "gzip")
    assert outcome.events == [Text("hel"), Text("lo")]


def test_gzip_bomb_meets_the_limits() -> None:
    headers = [*SSE, (b"content-encoding", b"gzip")]
    long_stream = Response(gzip.compress(CHUNK % b"a" * 100_000), headers=headers)
    limits = Limits(response=5000)
    outcome = alike(ask(limits=limits), long_stream).refused_by(LimitExceeded, "5000 bytes")
    assert len(outcome.events) == 5000 // len(CHUNK % b"a")
    long_line = Response(gzip.compress(b"data: " + bytes(1_000_000)), headers=headers)
    alike(ask(limits=Limits(event=5000)), long_line).refused_by(LimitExceeded, "event of more")
    document = Response(gzip.compress(b"{" + b" " * 1_000_000), headers=headers)
    alike(ask(limits=Limits(document=5000)), document).refused_by(LimitExceeded, "document of")
    error = Response(gzip.compress(b"m1" * 1_000_000), 500, headers)
    assert len(str(alike(ask(), error).refused_by(Refused, "m1").error)) < 1000


def test_limit_on_a_response_counts_to_the_byte() -> None:
    body = HELLO + STREAM_END
    for limit, kind in ((len(body), None), (len(body) - 1, None), (len(body) - 3, LimitExceeded)):
        outcome = alike(ask(limits=Limits(response=limit)), body)
        assert (type(outcome.error) if outcome.error else None) is kind


PAGE = b"\n <!DOCTYPE html><html><title>Just a moment...</title></html>"


@pytest.mark.parametrize("status", [200, 403, 503])
@pytest.mark.parametrize("content", CONTENT)
def test_quirk_45_bot_check(status: int, content: bytes) -> None:
    outcome = alike(ask(), Response(PAGE, status, [(b"content-type", content)]))
    assert outcome.refused_by(Challenged, "bot check").events == []


@pytest.mark.parametrize(
    ("status", "kind"), [(200, UnexpectedContent), (403, AuthenticationFailed), (503, Overloaded)]
)
@pytest.mark.parametrize("content", CONTENT)
@pytest.mark.parametrize("ending", ENDINGS)
def test_quirk_45_page(
    status: int, kind: type[TokenwireError], content: bytes, ending: Ending
) -> None:
    page = b"<html><h1>It works!</h1></html>"
    response = Response(page, status, [(b"content-type", content)], ending)
    outcome = alike(ask(), response).refused_by(kind, "HTML")
    assert isinstance(outcome.error, RemoteProtocolError)
    assert outcome.error.data == page


def test_long_page() -> None:
    page = b"<html>" + b"x" * 200_000
    outcome = alike(ask(), Response(page, 200, SSE)).refused_by(UnexpectedContent, "HTML")
    assert len(str(outcome.error)) < 1000


@pytest.mark.parametrize("name", ["darkai", "aichats", "openai", "ylokh"])
@pytest.mark.parametrize("ending", ENDINGS)
def test_json_error_with_status_200(name: str, ending: Ending) -> None:
    body = b' {"error": {"message": "m1", "code": "rate_limit_exceeded"}}'
    for headers in (JSON, SSE):
        outcome = alike(ask(name), Response(body, 200, headers, ending))
        assert outcome.refused_by(RateLimited, "m1").events == []


@pytest.mark.parametrize("name", ["darkai", "aichats"])
def test_json_where_a_stream_was_asked(name: str) -> None:
    outcome = alike(ask(name), Response(b'{"hello": "you"}', 200, JSON))
    outcome.refused_by(UnexpectedContent, "instead of a stream")
    alike(ask(name), Response(b"{hello}", 200, JSON)).refused_by(Malformed, "not JSON")
    alike(ask(name), Response(b'{"error": "m', 200, JSON)).refused_by(Truncated, "inside its JSON")


@pytest.mark.parametrize("asked", ASKED)
def test_empty_body(asked: str) -> None:
    for headers in (SSE, JSON, []):
        outcome = alike(ASKED[asked](), Response(b"", 200, headers))
        outcome.refused_by(UnexpectedContent, "empty")
    alike(ASKED[asked](), Response(b"", 204, [])).refused_by(UnexpectedContent, "empty")


@pytest.mark.parametrize("asked", ASKED)
@pytest.mark.parametrize("body", [b"\n\n", b"\xef\xbb\xbf", b"\xef", b" "])
def test_body_that_never_begins(asked: str, body: bytes) -> None:
    for ending in ENDINGS:
        outcome = alike(ASKED[asked](), Response(body, 200, SSE, ending))
        assert isinstance(outcome.error, Truncated | TimedOut | Malformed)


@pytest.mark.parametrize("content", [b"text/html", b"image/png", b"application/pdf", b"a" * 300])
def test_wrong_content_type(content: bytes) -> None:
    headers = [(b"Content-Type", content + b"; charset=utf-8")]
    outcome = alike(ask(), Response(HELLO, 200, headers))
    shown = content.decode() if len(content) <= 80 else "(too long to show)"
    outcome.refused_by(UnexpectedContent, f"content of type '{shown}'")
    assert outcome.events == []


@pytest.mark.parametrize(
    "content",
    [b"text/event-stream", b"TEXT/plain", b"application/octet-stream", b"application/x-ndjson"],
)
def test_labels_that_are_not_believed(content: bytes) -> None:
    response = Response(HELLO + STREAM_END, 200, [(b"content-type", content)])
    assert alike(ask(), response).succeeded()
    assert alike(ask(), Response(HELLO + STREAM_END, 200, [])).succeeded()


@pytest.mark.parametrize("asked", ASKED)
@pytest.mark.parametrize("status", [301, 302, 304, 307, 308])
def test_redirects_are_never_followed(asked: str, status: int) -> None:
    headers = [(b"Location", b"https://elsewhere.test/")]
    outcome = alike(ASKED[asked](), Response(b"", status, headers)).refused_by(Redirected)
    assert isinstance(outcome.error, Redirected)
    assert outcome.error.location == "https://elsewhere.test/"


def test_redirect_of_the_second_step() -> None:
    found = Response(b'{"data": [{"url": "https://x.test/p"}]}', 200, JSON)
    moved = Response(b"", 302, [(b"location", b"http://127.0.0.1/")])
    alike(ask("aichats", "dalle"), found, moved).refused_by(Redirected)


def test_quirk_46_a_lingering_server_is_not_waited_for() -> None:
    exchange = ask("openai")
    exchange.next_request()
    exchange.receive_response(200, SSE)
    exchange.receive_data(OPENAI_HELLO + OPENAI_FINISH)
    assert exchange.wants_data  # usage may follow
    assert exchange.receive_timeout("idle")[-1] == End("finish")
    assert exchange.next_request() is None


@pytest.mark.parametrize(
    ("headers", "said"),
    [
        ([(b"retry-after", b"120")], "120"),
        ([(b"Retry-After", b"Fri, 31 Dec 1999 23:59:59 GMT")], "Fri, 31 Dec 1999 23:59:59 GMT"),
        ([(b"retry-after-ms", b"1500"), (b"retry-after", b"2")], "1500ms"),
        ([], None),
    ],
)
def test_quirk_47_retry_after_as_it_came(headers: Headers, said: str | None) -> None:
    error = alike(ask(), Response(b"{}", 503, headers)).error
    assert isinstance(error, Overloaded)
    assert error.retry_after == said


def test_content_filter_in_a_plain_400() -> None:
    body = b'{"error": {"code": "content_filter", "message": "m1"}}'
    alike(ask(), Response(body, 400, JSON)).refused_by(ContentFiltered, "m1")


# Secrets


def everything_of(outcome: Outcome) -> str:
    error = outcome.error
    assert error is not None
    return f"{error} {error!r} {vars(error)} {error.args} {outcome.events}"


ECHOES: list[Response] = [
    Response(b'{"error": {"message": "bad key %s"}}' % KEY.encode(), 401, JSON),
    Response(b'{"error": {"code": "%b", "type": "%b"}}' % (KEY.encode(), KEY.encode()), 401, JSON),
    Response(b"Authorization: Bearer " + KEY.encode(), 500, []),
    Response(b"x" * 390 + KEY.encode(), 500, []),
    Response(b"x" * 500 + KEY.encode(), 500, []),
    Response(b'{"error": "%b%b"}' % (b"x" * 1990, KEY.encode()), 500, []),
    Response(KEY.encode()[:-3], 500, [], "disconnect"),
    Response(b"<html>" + KEY.encode(), 200, []),
    Response(b"data: {" + KEY.encode() + b"\n\n"),
    Response(b'{"hello": "%b"}' % KEY.encode()),
    Response(b"", 302, [(b"location", b"https://x.test/?key=" + KEY.encode())]),
    Response(b"", 429, [(b"retry-after", KEY.encode()), (b"x-request-id", KEY.encode())]),
    Response(b"", 200, [(b"content-type", b"text/x; key=" + KEY.encode())]),
    Response(b"", 200, [(b"content-encoding", KEY.encode())]),
]


@pytest.mark.parametrize("response", ECHOES)
@pytest.mark.parametrize("name", ["openai", "ylokh"])
def test_a_key_that_is_echoed_is_never_shown(name: str, response: Response) -> None:
    outcome = alike(ask(name, key=KEY), response)
    shown = everything_of(outcome)
    assert KEY not in shown
    assert KEY[:10] not in shown
    assert "sk-s" not in repr(ask(name, key=KEY))


def test_cookies_and_unique_ids_are_never_shown() -> None:
    exchange = ask("aichats", headers={"Cookie": "session=abcdef123; other=ghijkl456"})
    shown = everything_of(alike(exchange, Response(b"no abcdef123 and ghijkl456", 500, [])))
    assert "abcdef123" not in shown
    assert "ghijkl456" not in shown
    token = Response(b'{"data": "token-1234"}', 200, JSON)
    outcome = alike(ask("aichatonline"), token, Response(b"no token-1234", 500, []))
    assert "token-1234" not in everything_of(outcome)
    found = Response(b'{"data": [{"url": "https://x.test/p"}]}', 200, JSON)
    exchange = ask("aichats", "dalle", headers={"Cookie": "session=abcdef123"})
    outcome = alike(exchange, found, Response(b"no abcdef123", 500, []))
    assert "abcdef123" not in everything_of(outcome)


# The printed driver (design.md), over a client that is made of a Service


class _Stream:
    """What `httpx.Client.stream` gives, as far as the driver uses it."""

    def __init__(self, status: int, headers: Headers, chunks: list[bytes]) -> None:
        self.status_code = status
        self.headers = self
        self.raw = headers
        self._chunks = chunks
        self.taken = 0

    def iter_raw(self) -> Iterator[bytes]:
        for chunk in self._chunks:
            self.taken += 1
            yield chunk


class _Client:
    def __init__(self, service: Service, answer: Callable[[Chat], list[Event]]) -> None:
        self.service = service
        self.answer = answer
        self.streams: list[_Stream] = []

    @contextmanager
    def stream(
        self, method: str, url: str, *, headers: Headers, content: bytes
    ) -> Generator[_Stream]:
        responder = self.service.responder()
        chunks: list[bytes] = []
        try:
            chat = responder.receive_request(Request(method, url, headers, content))
            chunks += [] if chat is None else map(responder.send, self.answer(chat))
            chunks.append(responder.end())
        except RemoteProtocolError as error:
            chunks = [responder.fail(error)]
        status, head = responder.head()
        head = [*head, (b"transfer-encoding", b"chunked")]
        self.streams.append(_Stream(status, head, chunks))
        yield self.streams[-1]


def printed_driver(client: _Client, exchange: Exchange) -> Iterator[Event]:
    while (request := exchange.next_request()) is not None:
        with client.stream(
            request.method, request.url, headers=request.headers, content=request.body
        ) as response:
            exchange.receive_response(response.status_code, response.headers.raw)
            for chunk in response.iter_raw():
                yield from exchange.receive_data(chunk)
                if not exchange.wants_data:
                    break
            else:
                yield from exchange.receive_eof()


@pytest.mark.parametrize("asked", ASKED)
def test_printed_driver(asked: str) -> None:
    exchange = ASKED[asked]()
    name = asked.split()[-1]
    picture = Image(b"PNG", "image/png", "https://ai-chats.org/pictures/1", "hi")
    says: list[Event] = [picture] if "picture" in asked else [Text("hel"), Text("lo")]
    if name in ("openai", "ylokh"):
        says.insert(0, Start("c", "m"))
    client = _Client(Service(PROVIDERS[name]), lambda chat: [*says, End("terminator")])
    *events, end = printed_driver(client, exchange)
    assert events == says
    assert isinstance(end, End)
    assert len(client.streams) == (2 if asked in ("aichatonline", "a picture of aichats") else 1)


def test_printed_driver_meets_every_error() -> None:
    refused = _Client(Service(PROVIDERS["openai"], key="another"), lambda chat: [])
    with pytest.raises(AuthenticationFailed, match="API key"):
        list(printed_driver(refused, ask("openai", key=KEY)))
    cut = _Client(Service(PROVIDERS["darkai"]), lambda chat: [Text("hel")])
    stream = printed_driver(cut, ask())
    assert next(stream) == Text("hel")
    with pytest.raises(Truncated):
        next(stream)


def test_printed_driver_stops_reading_at_the_end() -> None:
    says: list[Event] = [Text("a"), End("terminator"), Text("more"), Text("and more")]
    client = _Client(Service(PROVIDERS["openai"]), lambda chat: says)
    assert list(printed_driver(client, ask("openai")))[-1] == End("terminator")
    assert client.streams[0].taken == 2


# Anything at all

_words = st.sampled_from(
    [
        *(b"data:", b"data: ", b"event: error", b"error:", b": ", b"id: 1", b"\n", b"\n\n", b"\r"),
        *(b"[DONE]", b'{"event": "stream-end"}', b'{"event": "text-chunk", "data": {"text": "a"}}'),
        *(
            b'{"choices": [{"delta": {"content": "a"}}]}',
            b'{"error": {"message": "m"}}',
            b"{",
            b"}",
        ),
        *(b'{"choices": [{"finish_reason": "stop"}]}', b'{"data": {"message": "a"}}', b"<html>"),
        *(b'{"data": "token-1"}', b'{"data": [{"url": "http://x.test/"}]}', b'{"code": 500}'),
        *(b"\xef\xbb\xbf", b"\xe2\x82", "\u2028".encode(), b"null", b"[", b"]", b'"', b"1"),
    ]
)
_bodies = st.lists(_words | st.binary(max_size=6), max_size=12).map(b"".join)
_headers = st.lists(
    st.tuples(
        st.sampled_from([b"content-type", b"Content-Encoding", b"location", b"retry-after"])
        | st.binary(max_size=5),
        st.sampled_from(
            [b"text/event-stream", b"application/json", b"text/html", b"gzip", b"br", b"deflate"]
        )
        | st.binary(max_size=8),
    ),
    max_size=3,
)
_statuses = st.sampled_from([200] * 8 + [100, 201, 204, 301, 400, 401, 429, 500, 503, 0, 999])
_endings = st.sampled_from(ENDINGS)
_limits = st.builds(
    Limits,
    event=st.integers(1, 60) | st.just(10_000),
    response=st.integers(1, 200) | st.just(10_000),
    document=st.integers(1, 60) | st.just(10_000),
    error_body=st.integers(1, 60) | st.just(10_000),
    picture=st.integers(1, 20) | st.just(10_000),
)


@st.composite
def _responses(draw: st.DrawFn) -> tuple[Response, list[list[bytes]]]:
    """A response, and its body cut in two ways."""
    body, headers = draw(_bodies), draw(_headers)
    for name, value in headers:
        if name.lower() == b"content-encoding" and value in (b"gzip", b"deflate"):
            body = (gzip if value == b"gzip" else zlib).compress(body)
            body = body[: draw(st.integers(0, len(body)))] if draw(st.booleans()) else body
            break
    response = Response(body, draw(_statuses), headers, draw(_endings))
    return response, [draw(cuts(body)), draw(cuts(body))]


@pytest.mark.parametrize("asked", ASKED)
@given(responses=st.lists(_responses(), max_size=3), limits=_limits)
def test_whatever_comes(
    asked: str, responses: list[tuple[Response, list[list[bytes]]]], limits: Limits
) -> None:
    """Nothing but a `TokenwireError`, and that from `next_request` only; one `End`, and it is
    last; and all the same however the bytes were cut."""
    name, model = ("aichats", "dalle") if "picture" in asked else (asked, "")
    outcomes = [_follow(ask(name, model, limits=limits), responses, way) for way in range(2)]
    assert outcomes[0] == outcomes[1]


def _follow(
    exchange: Exchange, responses: list[tuple[Response, list[list[bytes]]]], way: int
) -> object:
    events: list[Event] = []
    requests: list[Request] = []
    error: TokenwireError | None = None
    try:
        for response, ways in responses:
            request = exchange.next_request()
            if request is None:
                break
            requests.append(request)
            exchange.receive_response(response.status, response.headers)
            if 100 <= response.status < 200:
                exchange.receive_response(200, response.headers)
            for piece in ways[way]:
                came = exchange.receive_data(piece)
                assert all(not isinstance(event, End) for event in came[:-1])
                events += came
            events += finish(exchange, response.ending)
            assert not exchange.wants_data
        exchange.next_request()  # raises the pending error
    except TokenwireError as raised:
        error = raised
        with pytest.raises(type(raised)):
            exchange.next_request()
    assert [e for e in events if isinstance(e, End)] in ([], events[-1:])
    assert not (error and events and isinstance(events[-1], End))
    return Outcome(events, error).what, requests


def test_every_event_that_came_can_be_written() -> None:
    body = b'data: {"event": "\\ud800", "\xff": 1}\n\ndata: {"event": "text-chunk", '
    body += b'"data": {"text": "\\udfff\xe2"}}\n\n' + STREAM_END
    events = alike(ask(), body).succeeded().events
    assert [msgspec.json.decode(msgspec.json.encode(e), type=Event) for e in events] == events


# The bytes that were received: test_raw has them for each kind of step


@pytest.mark.parametrize(("name", "body"), [("darkai", HELLO), ("openai", OPENAI_HELLO)])
def test_the_bytes_of_complete_units_can_be_taken(name: str, body: bytes) -> None:
    exchange = ask(name)
    exchange.keep_raw()
    for asked in (exchange, exchange.fresh()):
        asked.next_request()
        asked.receive_response(200, SSE)
        assert (asked.take_raw(), asked.pending) == (b"", b"")
        asked.receive_data(body + b"data: {")
        assert (asked.take_raw(), asked.pending) == (body, b"data: {")
        assert (asked.take_raw(), asked.pending) == (b"", b"data: {")
        asked.receive_data(b"}\n\n")
        assert (asked.take_raw(), asked.pending) == (b"data: {}\n\n", b"")
    with pytest.raises(
        LocalProtocolError, match=r"^keep_raw: the response has begun, and its bytes are gone$"
    ):
        exchange.keep_raw()
    plain = in_state("BODY")
    plain.receive_data(HELLO)
    assert (plain.take_raw(), plain.pending) == (b"", b"")


def test_an_error_of_a_driver_names_the_address_if_that_may_be_wrong() -> None:
    exchange = ask()
    astray, other = ConnectFailed("nobody is there"), LocalProtocolError("no")
    exchange.name_address(astray)
    exchange.name_address(other)
    assert (astray.asked, other.asked) == ("POST https://darkai.foundation/chat", "")


def test_who_gave_no_key_is_told_so() -> None:
    def refused(status: int, *keyless: str) -> str:
        how: Any = {"keyless": keyless[0]} if keyless else {}
        exchange = Exchange(_Polling, owes="body_end", clocks=Clocks(), limits=Limits(), **how)
        assert exchange.question is None
        body = Response(b'{"error": "no"}', status, JSON)
        return str(drive(exchange.fresh(), body).error)

    assert refused(401, "no key") == "the service refused: no; no key"
    assert refused(403, "no key") == "the service refused: no; no key"
    assert refused(401) == "the service refused: no"
    assert "no key" not in refused(407, "no key")
    assert "no key" not in refused(400, "no key")


@pytest.mark.parametrize("cut", [1, 7, 1000])
@pytest.mark.parametrize("coding", ["identity", "gzip"])
def test_the_bytes_after_the_end_mark_are_kept_too(cut: int, coding: str) -> None:
    """What a relay passes on: a cost, a ping. Of a compressed body only what was decoded."""
    whole = OPENAI_HELLO + b"data: [DONE]\n\n: cost 7\n\n"
    body = whole if coding == "identity" else gzip.compress(whole)
    exchange = ask("openai")
    exchange.keep_raw()
    begun(exchange, coding)
    for place in range(0, len(body), cut):
        exchange.receive_data(body[place : place + cut])
    exchange.receive_eof()
    assert exchange.answered
    taken = exchange.take_raw()
    assert taken == whole if coding == "identity" else whole.startswith(taken)
    assert exchange.take_raw() == b""


def test_the_bytes_after_an_error_are_not_kept() -> None:
    exchange = ask("openai")
    exchange.keep_raw()
    begun(exchange, "identity")
    exchange.receive_data(b"data: {]\n\n")
    assert exchange.failed
    assert exchange.take_raw() == b"data: {]\n\n"
    exchange.receive_data(b"data: more\n\n")
    assert exchange.take_raw() == b""


def test_the_bytes_of_a_refusal_are_not_kept() -> None:
    """They are no answer, which a relay would pass on with status 200."""
    exchange = ask("openai")
    exchange.keep_raw()
    exchange.next_request()
    exchange.receive_response(500, JSON)
    exchange.receive_data(b'{"error": "no"}')
    exchange.receive_eof()
    assert exchange.failed
    assert exchange.take_raw() == b""


def test_the_first_byte_may_be_a_whole_unit() -> None:
    exchange = ask("darkai")
    exchange.keep_raw()
    begun(exchange, "identity")
    exchange.receive_data(b"\n")
    assert exchange.take_raw() == b"\n"
