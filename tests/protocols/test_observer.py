"""Observers: told what happens in an exchange, without a part in it."""

import gc
import linecache
import warnings
from collections.abc import Callable, Iterable
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from tests.cutting import cuts
from tests.driving import JSON, SSE, Ending, finish
from tokenwire.protocols.chat import Chat, as_chat
from tokenwire.protocols.errors import (
    ConnectFailed,
    Disconnected,
    LocalProtocolError,
    Malformed,
    Overloaded,
    RateLimited,
    TimedOut,
    TokenwireError,
    Truncated,
    UnexpectedContent,
)
from tokenwire.protocols.events import End, Event, Text
from tokenwire.protocols.exchange import Exchange
from tokenwire.protocols.observer import Closing, Observer, Outcome, install, observe
from tokenwire.protocols.provider import Provider
from tokenwire.protocols.registry import PROVIDERS
from tokenwire.protocols.toolkit.http import Headers, Request

TEXT = b'data: {"event": "text-chunk", "data": {"text": "a"}}\n\n'
STREAM_END = b'data: {"event": "stream-end", "data": {}}\n\n'
DARKAI = PROVIDERS["darkai"]


class Notes(Observer):
    """Writes everything down."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, Any]] = []

    def asked(self, provider: Provider, chat: Chat, model: str) -> None:
        self.calls.append(("asked", (provider.name, chat, model)))

    def requested(self, request: Request) -> None:
        self.calls.append(("requested", request))

    def responded(self, status: int, headers: Headers) -> None:
        self.calls.append(("responded", (status, headers)))

    def received(self, data: bytes, events: list[Event]) -> None:
        self.calls.append(("received", (data, list(events))))

    def closed(self, how: Closing, events: list[Event]) -> None:
        self.calls.append(("closed", (how, list(events))))

    def ended(self, outcome: Outcome) -> None:
        self.calls.append(("ended", outcome))

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.calls]

    @property
    def outcomes(self) -> list[Outcome]:
        return [what for name, what in self.calls if name == "ended"]

    @property
    def words(self) -> list[str]:
        return [outcome.word for outcome in self.outcomes]


CHAT = as_chat("hi")


def observed(*observers: Observer, chat: Chat = CHAT, **options: Any) -> Exchange:
    return DARKAI.exchange(chat, observers=observers, **options)


def begun(exchange: Exchange, status: int = 200, headers: Headers = SSE) -> Exchange:
    """The exchange, whose response has begun."""
    exchange.next_request()
    exchange.receive_response(status, headers)
    return exchange


def test_an_unobserved_exchange_is_a_plain_one() -> None:
    assert type(DARKAI.exchange(CHAT)) is Exchange
    assert isinstance(observed(Notes()), Exchange)


def test_everything_is_told_in_order() -> None:
    notes = Notes()
    exchange = observed(notes)
    assert notes.calls == [("asked", ("darkai", CHAT, "llama-3-70b"))]
    request = exchange.next_request()
    headers: Headers = [(b"content-type", b"text/event-stream"), (b"set-cookie", b"a=b")]
    exchange.receive_response(200, {"Content-Type": "text/event-stream", "Set-Cookie": "a=b"})
    assert exchange.receive_data(TEXT[:9]) == []
    assert exchange.receive_data(TEXT[9:] + STREAM_END) == [Text("a"), End("terminator")]
    assert exchange.next_request() is None
    exchange.leave()
    assert notes.calls[1:] == [
        ("requested", request),
        ("responded", (200, headers)),
        ("received", (TEXT[:9], [])),
        ("received", (TEXT[9:] + STREAM_END, [Text("a"), End("terminator")])),
        ("ended", Outcome("complete", evidence="terminator")),
    ]


def test_several_are_told_in_the_order_given() -> None:
    order: list[str] = []

    class Named(Observer):
        def __init__(self, name: str) -> None:
            self.name = name

        def requested(self, request: Request) -> None:
            order.append(self.name)

    observed(Named("a"), Named("b"), Named("c")).next_request()
    assert order == ["a", "b", "c"]


def test_an_observer_that_overrides_nothing_is_told_nothing() -> None:
    exchange = begun(observed(Observer()))
    exchange.receive_data(TEXT + STREAM_END)
    exchange.leave()
    fresh = exchange.fresh()
    begun(fresh)
    assert fresh.receive_eof() == []


def test_the_end_of_a_body_is_told_with_its_last_events() -> None:
    notes = Notes()
    exchange = begun(PROVIDERS["aichats"].exchange(as_chat("hi"), observers=(notes,)))
    exchange.receive_data(b"data: hi")
    assert exchange.receive_eof(framed=True) == [Text("hi"), End("body_end")]
    assert notes.calls[-2:] == [
        ("closed", ("eof", [Text("hi"), End("body_end")])),
        ("ended", Outcome("complete", evidence="body_end")),
    ]


def test_each_batch_of_a_large_piece_is_told() -> None:
    notes = Notes()
    body = TEXT * 2000 + STREAM_END
    events = begun(observed(notes)).receive_data(body)
    received = [what for name, what in notes.calls if name == "received"]
    assert [data for data, _ in received] == [body] + [b""] * (len(received) - 1)
    assert len(received) > 1
    assert [event for _, told in received for event in told] == events


def test_each_request_of_a_question_is_told() -> None:
    notes = Notes()
    provider = PROVIDERS["aichatonline"]
    exchange = provider.exchange(as_chat("hi"), random=Random(1), observers=(notes,))
    begun(exchange, headers=JSON).receive_data(b'{"data": "token-1234"}')
    exchange.receive_eof(framed=True)
    assert notes.words == []
    begun(exchange, headers=JSON).receive_data(b'{"data": {"message": "hi"}}\n')
    exchange.receive_eof(framed=True)
    assert notes.names == [
        *("asked", "requested", "responded", "received", "closed"),
        *("requested", "responded", "received", "closed", "ended"),
    ]


# Outcomes


ENDINGS: dict[Ending, Closing] = {
    "eof": "eof",
    "close": "eof",
    "disconnect": "disconnect",
    "timeout": "timeout",
}


@pytest.mark.parametrize("ending", ENDINGS)
def test_an_answer_that_is_not_complete(ending: Ending) -> None:
    notes = Notes()
    exchange = begun(observed(notes))
    exchange.receive_data(TEXT)
    assert finish(exchange, ending) == []
    assert notes.calls[-1] == ("closed", (ENDINGS[ending], []))
    kind = TimedOut if ending == "timeout" else Truncated
    with pytest.raises(kind) as caught:
        exchange.next_request()
    assert notes.words == []  # a retry may follow
    exchange.leave()
    word = "timed_out" if ending == "timeout" else "truncated"
    assert notes.outcomes == [Outcome(word, error=caught.value)]


@pytest.mark.parametrize(
    ("status", "headers", "body", "word"),
    [
        (429, JSON, b'{"error": "no"}', "rate_limited"),
        (500, JSON, b"", "refused"),
        (200, SSE, b"data: {?\n\n", "malformed"),
        (200, SSE, b"", "unexpected_content"),
        (200, [*SSE, (b"content-encoding", b"br")], b"", "unexpected_content"),
    ],
)
@pytest.mark.parametrize("asks_again", [True, False])
def test_the_outcome_of_an_error_is_its_class(
    status: int, headers: Headers, body: bytes, word: str, asks_again: bool
) -> None:
    """Whether the driver asks for the error or not."""
    notes = Notes()
    exchange = begun(observed(notes), status, headers)
    exchange.receive_data(body)
    exchange.receive_eof(framed=True)
    if asks_again:
        with pytest.raises(TokenwireError):
            exchange.next_request()
    exchange.leave()
    assert notes.outcomes == [Outcome(word, error=exchange.error)]


@pytest.mark.parametrize(
    ("message", "said"), [((), "the clock idle ran out"), (("too late",), "too late")]
)
def test_a_clock_that_ran_out(message: tuple[str, ...], said: str) -> None:
    exchange = begun(observed(Notes()))
    exchange.receive_timeout("idle", *message)
    assert isinstance(exchange.error, TimedOut)
    assert (exchange.error.clock, exchange.error.message) == ("idle", said)


def test_a_connection_that_fails_is_told_by_the_driver() -> None:
    notes = Notes()
    error = ConnectFailed("no way")
    exchange = observed(notes)
    exchange.next_request()
    exchange.leave(error)
    assert notes.outcomes == [Outcome("connect_failed", error=error)]


def test_an_answer_that_was_aborted_was_left() -> None:
    """Whatever the exchange makes of the connection that the driver closed."""
    notes = Notes()
    exchange = begun(observed(notes))
    exchange.receive_disconnect()
    exchange.leave(aborted=True)
    assert notes.outcomes == [Outcome("left")]


def test_a_question_that_cannot_be_asked_again() -> None:
    class Once:
        used = False

        def choices(self, population: Any, *, k: int) -> list[str]:
            if self.used:
                raise ZeroDivisionError
            self.used = True
            return ["a"] * k

    notes = Notes()
    exchange = PROVIDERS["aichatonline"].exchange(CHAT, random=Once(), observers=(notes,))
    with pytest.raises(ZeroDivisionError):
        exchange.fresh()
    gc.collect()
    assert notes.names == ["asked"]


def test_a_disconnect_before_the_response() -> None:
    notes = Notes()
    exchange = observed(notes)
    exchange.next_request()
    exchange.receive_disconnect()
    exchange.leave()
    assert notes.names == ["asked", "requested", "closed", "ended"]
    assert notes.words == ["disconnected"]
    assert isinstance(notes.outcomes[0].error, Disconnected)


@pytest.mark.parametrize(
    ("error", "word"),
    [
        (RateLimited(""), "rate_limited"),
        (Overloaded(""), "overloaded"),
        (Malformed(""), "malformed"),
        (UnexpectedContent(""), "unexpected_content"),
        (TimedOut("", "idle"), "timed_out"),
        (LocalProtocolError(""), "local_protocol_error"),
    ],
)
def test_the_word_of_an_error(error: TokenwireError, word: str) -> None:
    assert error.outcome == word


# Leaving

STATES: dict[str, Callable[[Exchange], object]] = {
    "READY": lambda x: None,
    "SENT": lambda x: x.next_request(),
    "BODY": begun,
    "BODY, with an event": lambda x: begun(x).receive_data(TEXT),
    "SETTLED": lambda x: begun(x).receive_data(STREAM_END),
    "FAILED": lambda x: begun(x).receive_data(b"data: ?\n\n"),
}


@pytest.mark.parametrize("state", STATES)
def test_a_reader_may_leave_in_every_state(state: str) -> None:
    notes = Notes()
    exchange = observed(notes)
    STATES[state](exchange)
    before = repr(exchange)
    for _ in range(3):
        exchange.leave()
    assert repr(exchange) == before
    word = {"SETTLED": "complete", "FAILED": "malformed"}.get(state, "left")
    assert notes.words == [word]


@pytest.mark.parametrize("state", STATES)
def test_leaving_a_plain_exchange_does_nothing(state: str) -> None:
    exchange, other = DARKAI.exchange(CHAT), DARKAI.exchange(CHAT)
    STATES[state](exchange)
    STATES[state](other)
    exchange.leave()
    exchange.leave(Truncated(""))
    assert repr(exchange) == repr(other)
    assert exchange.error is None or state == "FAILED"


def test_what_is_fed_after_leaving_ends_nothing_again() -> None:
    notes = Notes()
    exchange = begun(observed(notes))
    exchange.leave()
    exchange.receive_data(TEXT + STREAM_END)
    assert notes.words == ["left"]


@pytest.mark.parametrize("state", STATES)
def test_an_exchange_that_is_forgotten_was_left(state: str) -> None:
    notes = Notes()
    exchange = observed(notes)
    STATES[state](exchange)
    del exchange
    gc.collect()
    word = {"SETTLED": "complete", "FAILED": "malformed"}.get(state, "left")
    assert notes.words == [word]


@pytest.mark.parametrize(
    ("chat", "why"),
    [
        (Chat(messages=()), "no message"),
        (Chat(messages=CHAT.messages, extra={"a": object()}), "can't be written as JSON"),
        (CHAT.replace(model="none"), "has no model 'none'"),
    ],
)
def test_a_question_that_cannot_be_asked_ends_at_once(chat: Chat, why: str) -> None:
    notes = Notes()
    with pytest.raises(LocalProtocolError, match=why) as caught:
        observed(notes, chat=chat)
    gc.collect()
    assert notes.names == ["asked", "ended"]
    name, asked, model = notes.calls[0][1]
    assert (name, asked, model) == ("darkai", chat, chat.model or "llama-3-70b")
    assert notes.outcomes == [Outcome("local_protocol_error", error=caught.value)]


@pytest.mark.parametrize("at", ["asked", "ended"])
def test_a_question_that_cannot_be_asked_shows_no_key(at: str) -> None:
    provider = PROVIDERS["openai"]
    with (
        pytest.warns(RuntimeWarning, match="is removed") as found,
        pytest.raises(LocalProtocolError),
    ):
        provider.exchange(CHAT, key="secret-key-1", observers=(Telling(at),))
    assert "secret-key-1" not in str(found[0].message)


def test_a_key_that_is_a_function_is_not_asked_for_what_is_not_sent() -> None:
    with (
        pytest.warns(RuntimeWarning, match="secret-key-1.* is removed"),
        pytest.raises(LocalProtocolError),
    ):
        PROVIDERS["openai"].exchange(
            CHAT, key=lambda: "secret-key-1", observers=(Telling("ended"),)
        )


class Telling(Observer):
    """Raises with a key at one of the calls."""

    def __init__(self, at: str) -> None:
        self._at = at

    def asked(self, provider: Provider, chat: Chat, model: str) -> None:
        if self._at == "asked":
            raise ValueError("secret-key-1")

    def ended(self, outcome: Outcome) -> None:
        raise ValueError("secret-key-1")


# Who is given


def test_a_function_makes_an_observer_for_each_question() -> None:
    made: list[Notes] = []

    def make() -> Notes | None:
        if len(made) == 2:
            return None
        made.append(Notes())
        return made[-1]

    for _ in range(3):
        exchange = begun(DARKAI.exchange(CHAT, observers=[make]))
        exchange.receive_data(STREAM_END)
    assert [notes.words for notes in made] == [["complete"]] * 2


def test_a_function_that_fails_makes_no_observer() -> None:
    def fail() -> Observer:
        raise ZeroDivisionError("oh")

    notes = Notes()
    with pytest.warns(RuntimeWarning, match="ZeroDivisionError.*fail"):
        exchange = begun(DARKAI.exchange(CHAT, observers=[fail, notes]))
    exchange.receive_data(STREAM_END)
    assert notes.words == ["complete"]


def test_who_is_given_twice_is_told_once() -> None:
    notes = Notes()
    exchange = observed(notes, notes)
    observe(exchange, (notes,))
    assert notes.names == ["asked"]


def test_others_are_told_beside_one_that_is_not() -> None:
    notes, others = Notes(), Notes()
    observed(notes, notes, others)  # twice
    assert others.names[0] == "asked"
    others = Notes()
    DARKAI.exchange(CHAT, observers=[lambda: None, others])  # not this question
    assert others.names[0] == "asked"


def test_a_question_that_cannot_be_asked_is_told_with_the_real_name_of_its_model() -> None:
    notes = Notes()
    chat = as_chat("hi", model="llama-3.1-70b", temperature=0.5)
    with pytest.raises(LocalProtocolError, match="temperature"):
        observed(notes, chat=chat)
    assert notes.calls[0][1][2] == "llama-3-70b"


def test_the_whole_program_is_observed() -> None:
    made: list[Notes] = []
    own = Notes()

    def make() -> Notes:
        made.append(Notes())
        return made[-1]

    end, again = install(make), install(make)
    try:
        begun(DARKAI.exchange(CHAT)).receive_data(STREAM_END)
        begun(observed(own)).receive_data(STREAM_END)
        with pytest.raises(LocalProtocolError):
            DARKAI.exchange(Chat(messages=()))
    finally:
        end()
        again()
    assert type(DARKAI.exchange(CHAT)) is Exchange
    assert [notes.words for notes in made] == [["complete"]] * 2 + [["local_protocol_error"]]
    assert own.words == ["complete"]


@pytest.mark.parametrize("before", [True, False])
def test_more_observers_of_an_exchange_that_has_not_begun(before: bool) -> None:
    """As a client gives its own."""
    first, second = Notes(), Notes()
    exchange = observed(first) if before else DARKAI.exchange(CHAT)
    observe(exchange, (second,))
    begun(exchange).receive_data(STREAM_END)
    assert second.names == ["asked", "requested", "responded", "received", "ended"]
    assert first.names == (second.names if before else [])


def test_one_more_observer_that_raises() -> None:
    exchange = observed(Notes(), headers={"x-api-key": "secret-key-1"})
    with pytest.warns(RuntimeWarning, match="is removed") as found:
        observe(exchange, (Telling("asked"),))
    assert "secret-key-1" not in str(found[0].message)


def test_what_is_no_chat_is_not_observed() -> None:
    notes = Notes()
    exchange = PROVIDERS["openai"].models_exchange([])
    observe(exchange, (notes,))
    assert type(exchange) is Exchange
    assert notes.names == []


def test_asking_the_same_again_is_a_question_of_its_own() -> None:
    made: list[Notes] = []
    single = Notes()

    def make() -> Notes:
        made.append(Notes())
        return made[-1]

    exchange = begun(DARKAI.exchange(CHAT, observers=[make, single]))
    exchange.receive_data(STREAM_END)
    again = begun(exchange.fresh())
    observe(again, [make])  # by the same client
    again.leave()
    assert [notes.words for notes in made] == [["complete"], ["left"]]
    assert single.words == ["complete"]


# Headers


class Marking(Notes):
    def __init__(self, value: bytes) -> None:
        super().__init__()
        self.value = value

    def headers(self, request: Request) -> Headers:
        self.calls.append(("headers", request))
        return [(b"x-mark", self.value)]


def test_an_observer_may_add_headers() -> None:
    one, two = Marking(b"1"), Marking(b"2")
    exchange = observed(one, two)
    request = exchange.next_request()
    assert request is not None
    assert request.headers[-2:] == [(b"x-mark", b"1"), (b"x-mark", b"2")]
    assert exchange.request is request
    assert one.calls[-1] == ("requested", request)
    name, before = two.calls[-2]
    assert name == "headers"
    assert before == replace(request, headers=request.headers[:-1])


def test_headers_beside_those_of_an_observer_that_raises() -> None:
    with pytest.warns(RuntimeWarning, match="is removed"):
        request = observed(Broken("headers"), Marking(b"1")).next_request()
    assert request is not None
    assert request.headers[-1] == (b"x-mark", b"1")


def test_an_address_that_a_server_chose_gets_none() -> None:
    notes = Marking(b"1")
    provider = PROVIDERS["aichats"]
    exchange = begun(provider.exchange(as_chat("hi", model="dalle"), observers=(notes,)), 200, JSON)
    exchange.receive_data(b'{"data": [{"url": "https://elsewhere.example/a.png"}]}')
    exchange.receive_eof(framed=True)
    request = exchange.next_request()
    assert request is not None
    assert request.server_chosen
    assert b"x-mark" not in dict(request.headers)
    assert notes.calls[-1] == ("requested", request)


# Retries


def test_a_retry_is_observed_by_the_same_observers() -> None:
    notes = Notes()
    exchange = begun(observed(notes), 503, JSON)
    exchange.receive_eof(framed=True)
    with pytest.raises(Overloaded):
        exchange.next_request()
    again = exchange.fresh()
    begun(again).receive_data(STREAM_END)
    assert notes.names == [
        *("asked", "requested", "responded", "closed"),
        *("requested", "responded", "received", "ended"),
    ]
    assert notes.words == ["complete"]


def test_an_exchange_that_was_retried_says_nothing_more() -> None:
    notes = Notes()
    exchange = begun(observed(notes), 503, JSON)
    exchange.receive_eof(framed=True)
    again = exchange.fresh()
    exchange.leave()
    del exchange
    gc.collect()
    assert notes.words == []
    again.leave()
    assert notes.words == ["left"]


def test_the_last_error_of_several_retries_is_the_outcome() -> None:
    notes = Notes()
    exchange = observed(notes)
    for status in (503, 429):
        exchange = begun(exchange.fresh(), status, JSON)
        exchange.receive_eof(framed=True)
    exchange.leave()
    assert notes.words == ["rate_limited"]
    assert notes.names.count("asked") == 1


# What goes wrong


class Broken(Notes):
    """Raises at one of the calls."""

    def __init__(self, at: str) -> None:
        super().__init__()
        self._at = at

    def __getattribute__(self, name: str) -> Any:
        if name == object.__getattribute__(self, "_at"):
            self.calls.append((name, "raises"))
            raise ZeroDivisionError(name)
        return super().__getattribute__(name)

    def __repr__(self) -> str:
        return "<Broken>"


def run(exchange: Exchange) -> list[Event]:
    begun(exchange)
    found = exchange.receive_data(TEXT) + exchange.receive_eof()
    exchange.leave()
    return found


@pytest.mark.parametrize(
    "at", ["asked", "headers", "requested", "responded", "received", "closed", "ended"]
)
def test_an_observer_that_raises_is_removed_and_the_answer_goes_on(at: str) -> None:
    notes, broken, others = Notes(), Broken(at), Notes()
    with pytest.warns(RuntimeWarning, match=f"ZeroDivisionError.'{at}'. and is removed") as found:
        assert run(observed(notes, broken, others)) == [Text("a")]
    assert len(found) == 1
    assert "<Broken>" in str(found[0].message)
    assert broken.names[-1] == at
    assert notes.names == others.names
    assert notes.words == ["truncated"]


@pytest.mark.parametrize(
    ("at", "line"),
    [
        ("received", "found = exchange.receive_data"),
        ("closed", "found = exchange.receive_data"),
        ("ended", "exchange.leave()"),
    ],
)
def test_the_warning_is_of_the_line_that_called_the_exchange(at: str, line: str) -> None:
    with pytest.warns(RuntimeWarning, match="is removed") as found:
        run(observed(Broken(at)))
    assert linecache.getline(found[0].filename, found[0].lineno).strip().startswith(line)


def test_an_observer_that_raises_at_the_end_of_an_answer() -> None:
    exchange = begun(observed(Broken("ended")))
    with pytest.warns(RuntimeWarning, match="is removed"):
        assert exchange.receive_data(STREAM_END) == [End("terminator")]
    exchange = begun(observed(Broken("ended")))
    assert exchange.receive_data(STREAM_END.strip()) == []
    with pytest.warns(RuntimeWarning, match="is removed"):
        assert exchange.receive_eof() == [End("terminator")]


def test_a_call_out_of_order_is_not_told() -> None:
    notes = Notes()
    exchange = observed(notes)
    with pytest.raises(LocalProtocolError):
        exchange.receive_eof()
    with pytest.raises(LocalProtocolError):
        exchange.receive_data(b"")
    with pytest.raises(LocalProtocolError):
        exchange.receive_response(200, [])
    exchange.next_request()
    with pytest.raises(LocalProtocolError):
        exchange.next_request()
    assert notes.names == ["asked", "requested"]
    exchange.leave()
    assert notes.words == ["left"]


def test_a_key_that_cannot_be_sent_ends_nothing() -> None:
    notes = Notes()
    keys = iter(["a\nb", "k"])
    provider = PROVIDERS["openai"]
    chat = as_chat("hi", model="m")
    exchange = provider.exchange(chat, key=lambda: next(keys), observers=(notes,))
    with pytest.raises(LocalProtocolError, match="control character"):
        exchange.next_request()
    assert exchange.next_request() is not None
    assert notes.names == ["asked", "requested"]


@given(st.binary(max_size=30), st.data())
def test_an_observed_exchange_gives_what_a_plain_one_does(body: bytes, data: st.DataObject) -> None:
    body = TEXT + body + STREAM_END
    pieces: Iterable[bytes] = data.draw(cuts(body))
    notes = Notes()
    plain, watched = begun(DARKAI.exchange(CHAT)), begun(observed(notes))
    for piece in pieces:
        assert plain.receive_data(piece) == watched.receive_data(piece)
    assert plain.receive_eof() == watched.receive_eof()
    assert (plain.answered, plain.failed) == (watched.answered, watched.failed)
    assert b"".join(what[0] for name, what in notes.calls if name == "received") == body
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        watched.leave()
    assert len(notes.words) == 1


def test_an_exchange_that_another_one_follows_says_no_more() -> None:
    notes = Notes()
    first = observed(notes)
    again = first.fresh()
    first.leave(Truncated("cut"))
    assert [name for name, _ in notes.calls] == ["asked"]
    again.leave()
    assert notes.calls[-1] == ("ended", Outcome("left"))
