"""Every state meets every call: what is out of order is refused, and changes nothing.

The exchange is held to a model that was written from its rules, not from its code. Each situation
that the model knows is visited, and meets each call; and sequences of calls are drawn at random.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from functools import cache
from typing import Any, Literal, TypeAlias

import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.driving import JSON, SSE
from tests.wiring import CHUNKED, LAST, PUBLIC, STOP, TEXT, chunk, question, refusal
from tokenwire.protocols.chat import as_chat
from tokenwire.protocols.errors import (
    ConnectFailed,
    Disconnected,
    LocalProtocolError,
    Malformed,
    Overloaded,
    TimedOut,
    TokenwireError,
    Truncated,
    UnexpectedContent,
)
from tokenwire.protocols.events import End, Event, Evidence
from tokenwire.protocols.exchange import TRANSITIONS, Exchange, State
from tokenwire.protocols.registry import PROVIDERS
from tokenwire.protocols.toolkit.http import Headers
from tokenwire.transports.client.settings import ClientSettings
from tokenwire.transports.client.wire import Connect, Release, Sleep, Transfer, Wire

# What is asked, and the words that a service has for its answer


@dataclass(frozen=True)
class Said:
    """What a service may say to one request: its `units` by name."""

    kind: Literal["stream", "document", "picture"]
    headers: tuple[tuple[bytes, bytes], ...]
    units: tuple[tuple[str, bytes], ...]


@dataclass(frozen=True)
class Asked:
    """A question, and what may be said to each of its requests."""

    provider: str
    model: str
    steps: tuple[Said, ...]


def said(kind: Literal["stream", "document", "picture"], headers: Headers, **units: bytes) -> Said:
    return Said(kind, tuple(headers), tuple(units.items()))


def chunk_of(delta: bytes, reason: bytes = b"null") -> bytes:
    choice = b'{"index": 0, "delta": %b, "finish_reason": %b}' % (delta, reason)
    return b'data: {"choices": [%b]}\n\n' % choice


OPENAI = said(
    "stream",
    SSE,
    blank=b"\n",
    comment=b": hi\n\n",
    text=chunk_of(b'{"content": "a"}'),
    finish=chunk_of(b"{}", b'"stop"'),
    end=b"data: [DONE]\n\n",
    fault=b"data: {?\n\n",
)
ASKED: dict[str, Asked] = {
    "openai": Asked("openai", "m", (OPENAI,)),
    "ylokh": Asked("ylokh", "", (OPENAI,)),
    "darkai": Asked(
        "darkai",
        "",
        (
            said(
                "stream",
                SSE,
                blank=b"\n",
                comment=b": hi\n\n",
                text=TEXT,
                end=STOP,
                fault=b"data: {?\n\n",
            ),
        ),
    ),
    "aichats": Asked(
        "aichats", "", (said("stream", SSE, blank=b"\n", comment=b": hi\n", text=b"data: a\n"),)
    ),
    "a picture of aichats": Asked(
        "aichats",
        "dalle",
        (
            said(
                "document",
                JSON,
                blank=b" ",
                half=b'{"data": [{"url": "',
                whole=b'{"data": [{"url": "https://pictures.example/1.png"}]}',
            ),
            said("picture", [(b"content-type", b"image/png")], text=b"PNG"),
        ),
    ),
    "aichatonline": Asked(
        "aichatonline",
        "",
        (
            said("document", JSON, blank=b" ", half=b'{"data": "', whole=b'{"data": "token-123"}'),
            said(
                "stream",
                JSON,
                blank=b"\n",
                text=b'{"data": {"message": "a"}}\n',
                end=b"[DONE]\n",
                fault=b"{?\n",
            ),
        ),
    ),
}


class Constant:
    """A random source that always says the same, so that twins ask the same."""

    def choices(self, population: Sequence[str], *, k: int) -> list[str]:
        return [population[0]] * k


def ask(asked: Asked) -> Exchange:
    chat = as_chat("hi", model=asked.model)
    return PROVIDERS[asked.provider].exchange(chat, random=Constant())


# The calls

RESPONSES: dict[str, tuple[int, Headers]] = {
    "200": (200, []),
    "200 with a length": (200, [(b"content-length", b"1000")]),
    "200 in an unknown coding": (200, [(b"content-encoding", b"br")]),
    "103": (103, [(b"content-encoding", b"br")]),
    "503": (503, []),
}
ENDS: dict[str, bool | None] = {"": None, "framed": True, "closed": False}


def calls_of(step: Said) -> list[str]:
    """All calls that a request which is answered by `step` can meet."""
    return [
        "next_request",
        *(f"receive_response {kind}" for kind in (*RESPONSES, "without pairs")),
        *(f"receive_data {name}" for name, _ in (*step.units, ("nothing", b""))),
        *(f"receive_eof {kind}" for kind in ENDS),
        "receive_disconnect",
        "receive_timeout",
    ]


def do(exchange: Exchange, call: str, step: Said) -> object:
    """Make a call. What it gives."""
    method, _, what = call.partition(" ")
    match method:
        case "next_request":
            return exchange.next_request()
        case "receive_response" if what == "without pairs":
            pairs: Any = [1]
            exchange.receive_response(200, pairs)
        case "receive_response":
            status, headers = RESPONSES[what]
            exchange.receive_response(status, [*step.headers, *headers])
        case "receive_data":
            return exchange.receive_data(dict(step.units).get(what, b""))
        case "receive_eof":
            return exchange.receive_eof(ENDS[what])
        case "receive_disconnect":
            return exchange.receive_disconnect()
        case _:
            return exchange.receive_timeout("idle")
    return None


def reaction(exchange: Exchange, call: str, step: Said) -> tuple[object, ...]:
    """All that a call gives, raises and leads to."""
    try:
        gave = do(exchange, call, step)
    except TokenwireError as error:
        gave = (type(error), str(error))
    return gave, seen(exchange)


# All there is to see of an exchange


def seen(exchange: Exchange) -> tuple[object, ...]:
    """What an exchange says of itself."""
    return (
        repr(exchange),
        exchange.wants_data,
        exchange.unstarted,
        exchange.answered,
        exchange.failed,
        exchange.partial,
        exchange.has_more,
        exchange.started,
        exchange.clocks,
        exchange.limits,
    )


def deep(value: Any) -> object:
    """Everything that can be reached from `value`, as plain values to compare."""
    return _deep(value, set())


def _deep(value: Any, above: set[int]) -> object:
    if value is None or isinstance(value, int | float | str | bytes | Enum):
        return value
    if id(value) in above:
        return "itself"
    above = above | {id(value)}
    kind = type(value).__name__
    if isinstance(value, bytearray):
        return kind, bytes(value)
    if kind == "dict":
        return kind, [(_deep(key, above), _deep(value[key], above)) for key in value]
    if kind in ("set", "frozenset"):
        value = sorted(value, key=repr)
    if kind in ("list", "tuple", "set", "frozenset", "deque"):
        return kind, [_deep(each, above) for each in value]
    if isinstance(value, msgspec.Struct):
        return kind, [_deep(getattr(value, name), above) for name in value.__struct_fields__]
    fields: dict[str, Any] = getattr(value, "__dict__", {})
    words = str(value) if isinstance(value, Exception) else ""
    return kind, words, [(name, _deep(each, above)) for name, each in fields.items()]


# The model

Phase: TypeAlias = Literal["READY", "SENT", "BODY", "SETTLED", "FAILED"]
OWED: dict[str, Evidence] = {
    "openai": "finish",
    "ylokh": "finish",
    "darkai": "terminator",
    "aichats": "body_end",
    "aichatonline": "body_end",
}
STRENGTH: list[Evidence | None] = [None, "connection_close", "body_end", "finish", "terminator"]


@dataclass(frozen=True)
class Model:
    """What the rules say of an exchange. `body`: what has come of the body under way."""

    asked: Asked
    phase: Phase = "READY"
    step: int = 0
    responded: bool = False
    refused: bool = False
    framed: bool = False
    body: Literal["empty", "blank", "begun", "text", "half", "whole", "junk"] = "empty"
    finished: bool = False
    evidence: Evidence | None = None
    error: type[TokenwireError] | None = None

    @property
    def said(self) -> Said:
        return self.asked.steps[self.step]

    def meets(self, call: str) -> "Model | None":
        """Where `call` leads; None: it is refused, and leads nowhere."""
        method, _, what = call.partition(" ")
        if method == "next_request":
            if self.phase == "READY":
                return replace(self, phase="SENT", body="empty", finished=False, refused=False)
            return None if self.phase in ("SENT", "BODY") else self
        if method == "receive_response":
            return self._respond(what) if self.phase == "SENT" else None
        if self.phase == "BODY":
            return self._read(method, what)
        if self.phase == "SENT":
            kinds = {"receive_disconnect": Disconnected, "receive_timeout": TimedOut}
            return self._fail(kinds[method]) if method in kinds else None
        return self if self.responded else None

    def _respond(self, what: str) -> "Model | None":
        if what == "103":
            return self
        if what == "without pairs":
            return None
        begun = replace(self, phase="BODY", responded=True, framed=what == "200 with a length")
        if what == "200 in an unknown coding":
            return begun._fail(UnexpectedContent)
        return replace(begun, refused=what == "503")

    def _read(self, method: str, what: str) -> "Model":
        if self.refused:
            return self if method == "receive_data" else self._fail(Overloaded)
        if method == "receive_data":
            document = self.said.kind == "document"
            return self._document(what) if document else self._stream(what)
        if self.body == "whole":
            return replace(self, phase="READY", step=self.step + 1)
        if method == "receive_eof":
            framed = self.framed if ENDS[what] is None else ENDS[what]
            if self.body in ("empty", "blank", "half", "junk"):
                return self._fail(self._nothing())
            return self._end("body_end" if framed else "connection_close", Truncated)
        return self._end(None, TimedOut if method == "receive_timeout" else Truncated)

    def _nothing(self) -> type[TokenwireError]:
        """What a body is that ends without an answer."""
        if self.body == "empty":
            return Malformed if self.said.kind == "picture" else UnexpectedContent
        return Malformed if self.body == "junk" else Truncated

    def _end(self, evidence: Evidence | None, reason: type[TokenwireError]) -> "Model":
        evidence = "finish" if self.finished else evidence
        if STRENGTH.index(evidence) >= STRENGTH.index(OWED[self.asked.provider]):
            return replace(self, phase="SETTLED", evidence=evidence)
        return self._fail(reason)

    def _fail(self, error: type[TokenwireError]) -> "Model":
        return replace(self, phase="FAILED", error=error)

    def _document(self, what: str) -> "Model":
        if what == "nothing" or (what == "blank" and self.body != "empty"):
            return self
        if what == "blank":
            return replace(self, body="blank")
        if self.body in ("half", "whole", "junk"):
            return replace(self, body="junk")
        return replace(self, body="half" if what == "half" else "whole")

    def _stream(self, what: str) -> "Model":
        match what:
            case "blank" if self.body == "empty":
                return replace(self, body="blank")
            case "comment" if self.body != "text":
                return replace(self, body="begun")
            case "text":
                return replace(self, body="text")
            case "finish":
                return replace(self, body="text", finished=True)
            case "end" if self.said is OPENAI and self.body != "text":
                return self._fail(UnexpectedContent)
            case "end":
                return replace(self, phase="SETTLED", evidence="terminator")
            case "fault":
                return self._fail(Malformed)
            case _:
                return self


def check(exchange: Exchange, model: Model) -> None:
    """Hold what an exchange says of itself to the model."""
    assert repr(exchange).startswith(f"<Exchange {model.phase} ")
    assert exchange.wants_data is (model.phase in ("SENT", "BODY"))
    assert exchange.unstarted is (model.phase == "READY" and not model.responded)
    assert exchange.answered is (model.phase == "SETTLED")
    assert exchange.failed is (model.phase == "FAILED")
    if model.phase == "FAILED":
        with pytest.raises(TokenwireError) as first:
            exchange.next_request()
        with pytest.raises(TokenwireError) as again:
            exchange.next_request()
        assert type(first.value) is model.error
        assert again.value is first.value
    if model.phase == "SETTLED":
        assert exchange.next_request() is None


def in_table(before: Model, call: str, after: Model | None) -> bool:
    """Whether TRANSITIONS says the same of a call as the model."""
    method = call.partition(" ")[0]
    allowed = TRANSITIONS[State[before.phase]]
    if after is None:
        return method not in allowed or call == "receive_response without pairs"
    if method in allowed:
        return State[after.phase] in allowed[method]
    return before.responded and before.phase not in ("SENT", "BODY") and after == before


# Every situation meets every call


@cache
def situations(name: str) -> dict[Model, tuple[str, ...]]:
    """Each situation that the model knows of a question, and calls that lead there."""
    start = Model(ASKED[name])
    found: dict[Model, tuple[str, ...]] = {start: ()}
    waiting = [start]
    for model in waiting:
        for call in calls_of(model.said):
            after = model.meets(call)
            if after is not None and after not in found:
                found[after] = (*found[model], call)
                waiting.append(after)
    return found


def arrive(name: str, path: tuple[str, ...]) -> tuple[Exchange, list[Event]]:
    """An exchange that has gone along `path`, and its events."""
    model, exchange, events = Model(ASKED[name]), ask(ASKED[name]), list[Event]()
    for call in path:
        gave = do(exchange, call, model.said)
        events += gave if isinstance(gave, list) else []
        after = model.meets(call)
        assert after is not None
        model = after
    return exchange, events


def meetings(name: str) -> Iterator[tuple[Model, tuple[str, ...], str, Model | None]]:
    """Each situation with each call: where it is, how it came there, the call, where it leads."""
    for model, path in situations(name).items():
        for call in calls_of(model.said):
            yield model, path, call, model.meets(call)


@pytest.mark.parametrize("name", ASKED)
def test_what_is_in_order_leads_where_the_rules_say(name: str) -> None:
    for model, path, call, after in meetings(name):
        if after is None or (call == "next_request" and model.phase == "FAILED"):
            continue
        exchange, events = arrive(name, path)
        gave = do(exchange, call, model.said)
        check(exchange, after)
        events += gave if isinstance(gave, list) else []
        assert exchange.started is bool(events)
        ends = [End(after.evidence)] if after.evidence else []
        assert [event for event in events if isinstance(event, End)] == ends, (path, call)
        assert events[len(events) - len(ends) :] == ends


@pytest.mark.parametrize("name", ASKED)
def test_what_is_out_of_order_changes_nothing(name: str) -> None:
    for model, path, call, after in meetings(name):
        if after is not None:
            continue
        exchange, _ = arrive(name, path)
        before = deep(exchange), seen(exchange)
        for _ in range(2):
            with pytest.raises(LocalProtocolError):
                do(exchange, call, model.said)
        assert (deep(exchange), seen(exchange)) == before, (path, call)


@pytest.mark.parametrize("name", ASKED)
def test_afterwards_it_does_what_its_untouched_twin_does(name: str) -> None:
    """All calls out of order at once, and then each that is in order."""
    for model, path in situations(name).items():
        refused = [call for call in calls_of(model.said) if model.meets(call) is None]
        for call in calls_of(model.said):
            if call in refused:
                continue
            (exchange, _), (twin, _) = arrive(name, path), arrive(name, path)
            for wrong in refused:
                with pytest.raises(LocalProtocolError):
                    do(exchange, wrong, model.said)
            assert reaction(exchange, call, model.said) == reaction(twin, call, model.said)
            assert deep(exchange) == deep(twin)


@pytest.mark.parametrize("name", ASKED)
def test_the_table_says_the_same(name: str) -> None:
    for model, path, call, after in meetings(name):
        assert in_table(model, call, after), (path, call)


def test_all_of_the_table_happens() -> None:
    happened = {
        (model.phase, call.partition(" ")[0], after.phase)
        for name in ASKED
        for model, _, call, after in meetings(name)
        if after is not None
    }
    for state, calls in TRANSITIONS.items():
        for call, leads in calls.items():
            for after_state in leads:
                assert (state.name, call, after_state.name) in happened


@pytest.mark.parametrize("name", ASKED)
def test_to_look_changes_nothing_and_fresh_is_new(name: str) -> None:
    for path in situations(name).values():
        exchange, _ = arrive(name, path)
        before = deep(exchange)
        look = seen(exchange)
        fresh = exchange.fresh()
        assert deep(fresh) == deep(ask(ASKED[name]))
        fresh.next_request()
        fresh.receive_timeout("total")
        assert (deep(exchange), seen(exchange)) == (before, look)


# Sequences of calls


class Sequences(RuleBasedStateMachine):
    """An exchange that meets any calls in any order, and a twin that meets only those in order."""

    @initialize(name=st.sampled_from(sorted(ASKED)))
    def ask(self, name: str) -> None:
        self.name = name
        self.model = Model(ASKED[name])
        self.exchange, self.twin = ask(ASKED[name]), ask(ASKED[name])
        self.events: list[Event] = []

    @rule(data=st.data())
    def any_call(self, data: st.DataObject) -> None:
        self._call(data.draw(st.sampled_from(calls_of(self.model.said))))

    @precondition(lambda self: self.model.phase in ("READY", "SENT", "BODY"))
    @rule(data=st.data())
    def a_call_that_leads_on(self, data: st.DataObject) -> None:
        wanted = {
            "READY": ["next_request"],
            "SENT": ["receive_response 200", "receive_response 200 with a length"],
            "BODY": [call for call in calls_of(self.model.said) if call.startswith("receive_data")]
            + ["receive_eof framed"],
        }
        self._call(data.draw(st.sampled_from(wanted[self.model.phase])))

    @rule()
    def start_again(self) -> None:
        """What a retry does: the old exchange is left as it is."""
        self.model = Model(ASKED[self.name])
        self.exchange, self.twin = self.exchange.fresh(), self.twin.fresh()
        self.events = []

    @invariant()
    def as_the_model_says(self) -> None:
        check(self.exchange, self.model)
        assert self.exchange.started is bool(self.events)
        ends = [End(self.model.evidence)] if self.model.evidence else []
        assert [event for event in self.events if isinstance(event, End)] == ends

    @invariant()
    def like_its_twin(self) -> None:
        assert seen(self.exchange) == seen(self.twin)
        assert deep(self.exchange) == deep(self.twin)

    def _call(self, call: str) -> None:
        said, after = self.model.said, self.model.meets(call)
        if after is None:
            with pytest.raises(LocalProtocolError):
                do(self.exchange, call, said)
            return
        assert in_table(self.model, call, after)
        gave = reaction(self.exchange, call, said)
        assert gave == reaction(self.twin, call, said)
        if isinstance(gave[0], list):
            assert not (gave[0] and self.model.phase in ("SETTLED", "FAILED"))
            self.events += gave[0]
        self.model = after


TestSequences = Sequences.TestCase
TestSequences.settings = settings(max_examples=150, stateful_step_count=25)


# The wire: a report that no action asked for


def connect(wire: Wire) -> None:
    action = new_wire().next(1000)
    assert isinstance(action, Connect)
    wire.connected(ClientSettings(trust_env=False).connection(action.route), PUBLIC, reused=False)


def new_wire() -> Wire:
    return ClientSettings(trust_env=False).wire(question(), now=1000, wall_clock=0, jitter=0.5)


REPORTS: dict[str, Callable[[Wire], object]] = {
    "check_address": lambda wire: wire.check_address(PUBLIC),
    "connected": connect,
    "failed": lambda wire: wire.failed(ConnectFailed("no"), 1000),
    "received": lambda wire: wire.received(CHUNKED, 1000),
    "the end received": lambda wire: wire.received(b"", 1000),
    "lost": lambda wire: wire.lost(),
    "timed_out": lambda wire: wire.timed_out(1000),
}
CONNECTING = ("check_address", "connected", "failed")
TRANSFERRING = ("received", "the end received", "lost", "timed_out")


def wire_at(place: str) -> Wire:
    """A wire that has come to a place."""
    wire = new_wire()
    if place == "new":
        return wire
    assert isinstance(wire.next(1000), Connect)
    if place == "Connect":
        return wire
    connect(wire)
    assert isinstance(wire.next(1000), Transfer)
    if place == "Transfer":
        return wire
    if place == "Transfer, a part":
        wire.received(CHUNKED + chunk(TEXT), 1000)
        assert isinstance(wire.next(1000), Transfer)
        return wire
    if place == "Sleep":
        wire.received(refusal("503 No"), 1000)
        assert isinstance(wire.next(1000), Release)
        assert isinstance(wire.next(1000), Sleep)
        return wire
    if place == "Transfer, the rest":
        wire.received(CHUNKED + chunk(STOP), 1000)
        assert isinstance(wire.next(1000), Transfer)
        return wire
    wire.received(CHUNKED + chunk(TEXT + STOP) + LAST, 1000)
    if place == "before Release":
        return wire
    assert wire.next(1000) == Release(keep=True)
    if place == "Release":
        return wire
    assert wire.next(1000) is None
    return wire


PLACES: dict[str, tuple[str, ...]] = {
    "new": (),
    "Connect": CONNECTING,
    "Transfer": TRANSFERRING,
    "Transfer, a part": TRANSFERRING,
    "Transfer, the rest": TRANSFERRING,
    "before Release": (),
    "Release": (),
    "Sleep": (),
    "over": (),
}
"""What each action asks for."""


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("report", REPORTS)
def test_each_place_of_a_wire_meets_each_report(place: str, report: str) -> None:
    wire = wire_at(place)
    if report in PLACES[place]:
        REPORTS[report](wire)
        return
    before = deep(wire)
    with pytest.raises(LocalProtocolError, match="not what next"):
        REPORTS[report](wire)
    assert deep(wire) == before
    assert wire.next(1000) == wire_at(place).next(1000)
