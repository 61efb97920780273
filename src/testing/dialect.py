"""What holds for each format, whatever is asked, answered, truncated or broken on the way.

`check_dialect` runs all of it for a format of one's own; `CHECKS` are the single ones, for a test
each.
"""

import gzip
import json
import re
import zlib
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import get_args

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ..protocols.errors import (
    AuthenticationFailed,
    BadRequest,
    LocalProtocolError,
    Overloaded,
    RateLimited,
    Refused,
    RemoteProtocolError,
    TimedOut,
    TokenwireError,
)
from ..protocols.events import (
    Citation,
    End,
    Event,
    Finish,
    Image,
    LogProbs,
    Native,
    Reasoning,
    Refusal,
    Start,
    Text,
    ToolCallDelta,
    ToolCallEnd,
    ToolCallStart,
    Unrecognized,
    Usage,
)
from ..protocols.exchange import Exchange
from ..protocols.limits import Limits
from ..protocols.service import Service, pair
from .driving import Ending, Outcome, Response, drive, finish
from .pieces import bytewise, cut_at, cuts, mutations, random_cut
from .recording import record, responder_to
from .strategies import answers, chats
from .subject import Sent, Subject

__all__ = ["CHECKS", "check_dialect"]

ENDINGS: tuple[Ending, ...] = get_args(Ending)
_seeds = st.integers(0, 2**32)


def check_dialect(subject: Subject) -> None:
    """Raises AssertionError, with an example, if a property does not hold for the format of
    `subject`. How many examples are tried is hypothesis' setting (`settings.load_profile`)."""
    for check in CHECKS.values():
        check(subject)


def _try(share: float, check: Callable[[st.DataObject], None]) -> None:
    """Run `check` on a share of the usual number of examples."""
    count = max(1, int(settings().max_examples * share))
    slow = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.nested_given]

    @settings(
        max_examples=count,
        deadline=None,
        suppress_health_check=slow,
        report_multiple_bugs=False,
    )
    @given(data=st.data())
    def trial(data: st.DataObject) -> None:
        check(data)

    trial()


# What it declares


def check_declarations(subject: Subject) -> None:
    """What the format declares is what it does."""
    provider, dialect = subject.provider, subject.provider.dialect
    assert dialect.name.isidentifier(), "a name is that of a folder"
    assert dialect.endpoints[0].does == "chat", "the first endpoint is the chat's"
    assert dialect.hints <= dialect.knows | dialect.takes, "a hint is a field that is known"
    assert End in dialect.says, "it can end an answer"
    chat = subject.send_short().chat
    says = dialect.says_to(responder_to(provider, chat).chat)
    for sample in _SAMPLES:
        if type(sample) not in says:
            try:
                responder_to(provider, chat).send(sample)
            except LocalProtocolError:
                continue
            raise AssertionError(f"{dialect.name} says {sample}, and does not declare it")
    for option in set(chat.options()):
        assert option in provider.takes


_SAMPLES: tuple[Event, ...] = (
    *(Start("i", "m"), Text("t"), Reasoning("t"), Refusal("t"), ToolCallStart(0, "i", "n")),
    *(ToolCallDelta(0, "{}"), ToolCallEnd(0, "i", "n", "{}", True), Image(b"d", "image/png")),
    *(Citation("u"), Native("x", b"{}"), LogProbs([]), Usage(1, 2), Finish("stop", "stop")),
    Unrecognized(b"{}"),
)


# The round trip


def check_what_is_said_is_heard(subject: Subject) -> None:
    """The client half makes of what the server half writes the events that were said, but for what
    `hears` says; and once more, as a gateway passes it on."""

    def check(data: st.DataObject) -> None:
        sent = data.draw(_sendings(subject))
        cut = partial(random_cut, seed=data.draw(_seeds))

        def heard(says: list[Event]) -> list[Event]:
            service = Service(subject.provider)
            return list(pair(subject.exchange(sent.chat), service, lambda chat: says, cut=cut))

        events = heard(sent.answer)
        _compare(events, subject.hears(sent.chat, sent.answer))
        if not isinstance(events[0], End):  # a body of nothing at all is no answer
            _compare(heard(events), subject.hears(sent.chat, events))

    _try(0.4, check)


def check_what_is_asked_is_understood(subject: Subject) -> None:
    """The server half makes of a request the chat that was asked, but for what `understands`
    says."""
    fixed = {name: value for name, value in subject.asked.items() if name != "n"}
    if subject.provider.any_model:
        fixed.pop("model", None)

    def check(data: st.DataObject) -> None:
        chat = data.draw(chats(subject.provider, **fixed))
        answer = data.draw(answers(subject.provider, chat))
        recorded = record(subject.provider, chat, answer)
        *_, asked = (each.chat for each in recorded if each.chat is not None)
        _compare(asked, subject.understands(subject.provider, chat))

    _try(0.25, check)


@st.composite
def _sendings(draw: st.DrawFn, subject: Subject) -> Sent:
    """A question, its answer, and what is sent."""
    chat = draw(subject.chats())
    answer = answers(subject.provider, chat, unrecognized=subject.unrecognized)
    return subject.send(chat, draw(answer))


def _compare(found: object, expected: object) -> None:
    assert found == expected, f"\nfound    {found}\nexpected {expected}"


def check_native_forms(subject: Subject) -> None:
    """The native forms of an answer (`Subject.signed`) are heard, and come back in the next
    request, equal as JSON values."""
    if subject.signed is None:
        return
    chat = subject.send_short().chat
    said = [msgspec.json.decode(e.raw) for e in subject.signed if isinstance(e, Native)]
    assert said, "an answer with native forms is needed"
    sent = subject.send(chat, subject.signed)
    reply = drive(subject.exchange(chat), *sent.responses()).succeeded().reply
    choice = reply.choices[0]
    _compare([msgspec.json.decode(native.raw) for native in choice.natives], said)
    understood = responder_to(subject.provider, chat.then(reply, "And then?")).chat
    parts = [part for message in understood.messages for part in message.parts]
    natives = [part.native for part in parts if part.native is not None]
    _compare([msgspec.json.decode(native.raw) for native in natives], said)


# Splitting


def check_splitting_never_matters(subject: Subject) -> None:
    """The same bytes, faulty ones too, give the same events and the same error, however they are
    split and whether or not the driver reads on after the end."""

    def check(data: st.DataObject) -> None:
        exchange, responses = data.draw(_broken(subject))
        expected = drive(exchange.fresh(), *responses).what
        assert drive(exchange.fresh(), *responses, cut=bytewise).what == expected
        assert _drive_on(exchange.fresh(), responses).what == expected
        for _ in range(2):
            cut = {r.body: data.draw(cuts(r.body)) for r in responses}
            assert drive(exchange.fresh(), *responses, cut=cut.__getitem__).what == expected

    _try(0.35, check)


def _drive_on(exchange: Exchange, responses: list[Response]) -> Outcome:
    """As `drive`, by a driver that reads on after the end of an answer."""
    events: list[Event] = []
    try:
        for response in responses:
            exchange.next_request()
            exchange.receive_response(response.status, response.headers)
            for piece in bytewise(response.body):
                events += exchange.receive_data(piece)
            events += finish(exchange, response.ending)
        assert exchange.next_request() is None
    except TokenwireError as error:
        return Outcome(events, error)
    return Outcome(events, None)


def _encoded(response: Response, coding: str) -> Response:
    """With its body compressed."""
    if coding != "identity":
        compress = zlib.compress if coding == "deflate" else partial(gzip.compress, mtime=0)
        response.body = compress(response.body)
        response.headers = [*response.headers, (b"content-encoding", coding.encode())]
    return response


_codings = st.sampled_from(["identity", "identity", "gzip", "deflate"])
_limits = st.sampled_from(
    [
        Limits(),
        Limits(event=60, response=900, document=400, picture=20, error_body=30),
        Limits(event=300, response=400, document=200, picture=60, error_body=60),
    ]
)
_endings = st.sampled_from(ENDINGS)


@st.composite
def _broken(draw: st.DrawFn, subject: Subject) -> tuple[Exchange, list[Response]]:
    """A question, and its responses, one of which may be mutated, truncated, or compressed."""
    sent = draw(_sendings(subject))
    responses = sent.responses(ending=draw(_endings))
    response = draw(st.sampled_from(responses))
    if draw(st.booleans()):
        response.body = draw(mutations(response.body))
    _encoded(response, draw(_codings))
    if draw(st.booleans()):
        response.body = draw(mutations(response.body, 1))
    return subject.exchange(sent.chat, draw(_limits)), responses


def check_splits_at_every_place(subject: Subject) -> None:
    """Split in two at every place, as it is written and as others write it, the short answer is the
    same."""
    sent = subject.send_short()
    for body in _variants(sent.body):
        for ending in _first_endings(body == sent.body):
            responses = sent.responses(body, ending)
            exchange = subject.exchange(sent.chat)
            expected = drive(exchange.fresh(), *responses).what
            for place in _places(body, everywhere=body == sent.body and ending == "eof"):
                places = [min(place, 1), place, place]  # an empty piece, too
                cut = partial(cut_at, places=places)
                outcome = drive(exchange.fresh(), *responses, cut=cut)
                assert outcome.what == expected, (place, body)


def _first_endings(as_written: bool) -> tuple[Ending, ...]:
    return ("eof", "disconnect") if as_written else ("eof",)


_SMALL = 1000
"""Bytes of a body that is cut at each place in each way. The time is quadratic, so of a larger one
some ways are tried only where they matter."""


def _places(body: bytes, everywhere: bool) -> Iterable[int]:
    """The places of a body, or of a large one those in and about its line ends and characters of
    several bytes."""
    if everywhere or len(body) <= _SMALL:
        return range(len(body) + 1)
    special = re.finditer(rb"[\r\n\x80-\xff]", body)
    near = {at.start() + shift for at in special for shift in range(-1, 3)}
    return sorted(place for place in near | {0, 1, len(body)} if 0 <= place <= len(body))


def _variants(body: bytes) -> Iterator[bytes]:
    """A body as others write it, and with faults that every format has."""
    yield body
    yield body.replace(b"\n", b"\r\n")
    yield body.replace(b"\n", b"\r")
    yield b"\xef\xbb\xbf" + body
    yield body.replace("\u20ac".encode(), b"\xe2\x82")


# Truncation


def check_no_beginning_is_a_success(subject: Subject) -> None:
    """No beginning of an answer is a success without the required evidence, and all that it holds
    is delivered."""

    def check(data: st.DataObject) -> None:
        sent = data.draw(_sendings(subject))
        full = drive(subject.exchange(sent.chat), *sent.responses()).succeeded()
        ending = data.draw(_endings)
        sizes = {end - less for end in sent.ends() for less in (3, 2, 1, 0)}
        sizes |= set(data.draw(st.lists(st.integers(0, len(sent.body)), max_size=10)))
        for size in sizes:
            _check_truncated(subject, sent, max(size, 0), ending, full)

    _try(0.25, check)


def check_truncated_at_every_place(subject: Subject) -> None:
    """Likewise, of the short answer every beginning."""
    sent = subject.send_short()
    full = drive(subject.exchange(sent.chat), *sent.responses()).succeeded()
    special = {*_places(sent.body, everywhere=False), *sent.ends()}
    for size in range(len(sent.body) + 1):
        for ending in ENDINGS if size in special else (ENDINGS[size % len(ENDINGS)],):
            _check_truncated(subject, sent, size, ending, full)


def _check_truncated(
    subject: Subject, sent: Sent, size: int, ending: Ending, full: Outcome
) -> None:
    responses = sent.responses(sent.body[:size], ending)
    outcome = drive(subject.exchange(sent.chat), *responses)
    shown = (size, sent.body[:size][-100:], ending, outcome)
    proven = subject.is_proven(sent, size, ending)
    assert proven is None or (outcome.error is None) is proven, shown
    if outcome.error is None:
        outcome.succeeded()
    else:
        assert isinstance(outcome.error, RemoteProtocolError | TimedOut), shown
        assert End not in map(type, outcome.events), shown
    for index in range(sent.chat.n or 1):
        for kind in (Text, Reasoning, Refusal):
            said, partly = (
                "".join(e.text for e in o.events if isinstance(e, kind) and e.index == index)
                for o in (full, outcome)
            )
            assert said.startswith(partly), shown
    for event in outcome.events:
        if isinstance(event, ToolCallEnd):
            assert event in full.events or not event.complete, shown


def check_earlier_responses_truncated(subject: Subject) -> None:
    """Of an answer of several requests, the earlier responses truncated at every place."""
    sent = subject.send_short()
    for ending in ENDINGS:
        for number, recorded in enumerate(sent.recorded[:-1]):
            before = sent.responses()[:number]
            for size in range(len(recorded.body)):
                cut = Response(recorded.body[:size], recorded.status, recorded.headers, ending)
                outcome = drive(subject.exchange(sent.chat), *before, cut)
                assert isinstance(outcome.error, RemoteProtocolError | TimedOut)
                assert not outcome.events
                assert json.loads(recorded.body)


# Faults


def check_broken_bytes(subject: Subject) -> None:
    """Whatever bytes are received, they are events or an error of the peer."""

    def check(data: st.DataObject) -> None:
        exchange, responses = data.draw(_broken(subject))
        cut = partial(random_cut, seed=data.draw(_seeds))
        outcome = drive(exchange, *responses, cut=cut)
        assert all(isinstance(event, get_args(Event)) for event in outcome.events)
        if outcome.error is None:
            outcome.succeeded()
        else:
            late = responses[-1].ending == "timeout" and isinstance(outcome.error, TimedOut)
            assert isinstance(outcome.error, RemoteProtocolError) or late
            assert End not in map(type, outcome.events)
            assert exchange.error is outcome.error, "an error is raised again and again"
        assert not exchange.wants_data
        for more in (exchange.receive_data(b"more"), exchange.receive_eof()):
            assert not more

    _try(0.4, check)


def check_half_an_answer(subject: Subject) -> None:
    """An answer function that ends without `End` is no success at the other end."""
    chat, answer = subject.send_short().chat, subject.short[:-1]
    exchange = subject.exchange(chat)
    try:
        events = list(pair(exchange, Service(subject.provider), lambda chat: answer))
    except RemoteProtocolError:
        return
    assert events[-1] == End("finish"), "a success without End"


def check_failures(subject: Subject) -> None:
    """An error that the service reports has its class and its words at the other end; one amid an
    answer has its words, if the format can say them."""
    sent = subject.send_short()
    before = sent.responses()[:-1]
    for kind, status in _FAILURES.items():
        error = kind("the reason is blue")
        error.status = status
        responder = responder_to(subject.provider, sent.chat)
        body = responder.fail(error)
        outcome = drive(subject.exchange(sent.chat), *before, Response(body, *responder.head()))
        assert type(outcome.error) is kind, (kind, outcome)
        assert "the reason is blue" in str(outcome.error), (kind, outcome)
        if not sent.chat.stream:
            continue
        responder = responder_to(subject.provider, sent.chat)
        begun = responder.send(subject.short[0])
        if reported := responder.fail_midway(error):
            broken = Response(begun + reported, *responder.head(), ending="disconnect")
            outcome = drive(subject.exchange(sent.chat), *before, broken)
            assert isinstance(outcome.error, Refused), (kind, outcome)
            assert "the reason is blue" in str(outcome.error), (kind, outcome)


_FAILURES: dict[type[Refused], int] = {
    AuthenticationFailed: 401,
    BadRequest: 400,
    RateLimited: 429,
    Overloaded: 503,
}


def check_pings(subject: Subject) -> None:
    """A keep-alive between any two events of a stream changes nothing, and is known to be one."""
    sent = subject.send_short()
    ping = subject.provider.dialect.ping
    *before, last = sent.responses()
    if before or not (ping and sent.chat.stream):
        return
    full = drive(subject.exchange(sent.chat), last)
    last.body = ping + ping.join(sent.recorded[-1].pieces)
    _compare(drive(subject.exchange(sent.chat), last).what, full.what)
    exchange = subject.exchange(sent.chat)
    exchange.next_request()
    exchange.receive_response(last.status, last.headers)
    exchange.receive_data(sent.recorded[-1].pieces[0])
    events = exchange.receive_data(ping)
    assert (events, exchange.partial) == ([], 0), "a keep-alive is taken for a sign of life"


CHECKS: dict[str, Callable[[Subject], None]] = {
    "declarations": check_declarations,
    "what is said is heard": check_what_is_said_is_heard,
    "what is asked is understood": check_what_is_asked_is_understood,
    "native forms": check_native_forms,
    "splitting never matters": check_splitting_never_matters,
    "splits at every place": check_splits_at_every_place,
    "no beginning is a success": check_no_beginning_is_a_success,
    "truncated at every place": check_truncated_at_every_place,
    "earlier responses truncated": check_earlier_responses_truncated,
    "broken bytes": check_broken_bytes,
    "half an answer": check_half_an_answer,
    "failures": check_failures,
    "pings": check_pings,
}
"""What holds for each format, by name."""
