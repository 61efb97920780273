"""The bases of steps, each through an exchange: lines, server-sent events, an array, frames."""

import json
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.cutting import bytewise, cuts
from tests.driving import JSON, SSE, Ending, Response, alike, drive
from tokenwire.protocols.clocks import Clocks
from tokenwire.protocols.errors import (
    LimitExceeded,
    Malformed,
    Overloaded,
    RateLimited,
    Refused,
    RemoteProtocolError,
    TimedOut,
    Truncated,
    UnexpectedContent,
)
from tokenwire.protocols.events import End, Event, Evidence, Text, Unrecognized
from tokenwire.protocols.exchange import Exchange
from tokenwire.protocols.limits import Limits
from tokenwire.protocols.step import EventStep, FrameStep, LineStep, Step, type_of
from tokenwire.protocols.toolkit.frames import HeaderValue, encode_frame
from tokenwire.protocols.toolkit.http import Headers, Request
from tokenwire.protocols.toolkit.refusals import ErrorTable

REQUEST = Request("POST", "https://x.test/chat", [(b"x-api-key", b"k" * 9)], b"a prompt")
BOM = b"\xef\xbb\xbf"
FRAMES: Headers = [(b"content-type", b"application/vnd.amazon.eventstream")]
ENDINGS: list[Ending] = ["eof", "close", "disconnect", "timeout"]


def take(step: Step, word: str, data: bytes, events: list[Event]) -> None:
    """What the steps below do with a word: most are text."""
    if word == "end":
        step.evidence = "terminator"
    elif word == "finish":
        step.evidence = "finish"
    elif word == "fail":
        step.evidence = "terminator"
        step.failure = Refused("the model failed", code="fail")
    elif word == "refuse":
        raise RateLimited("slow down")
    elif word == "?":
        raise Malformed("no word", data=data)
    else:
        events.append(Text(word))


class Lines(LineStep):
    """A word on each line."""

    framing = "lines"
    unfinished = "the lines ended before the end"

    def line(self, line: bytes, events: list[Event]) -> None:
        take(self, line.decode(), line, events)


class Words(EventStep):
    """A word in each event, by its data or its name; or in each element of an array."""

    elements = True
    unfinished = "the stream ended before the end"

    def event(self, data: bytes, type: str, events: list[Event]) -> None:
        if type != "message":
            events.append(Text(type))
        try:
            word = json.loads(data)
        except ValueError:
            raise Malformed("no JSON", data=data) from None
        take(self, word, data, events)


class NoElements(Words):
    elements = False


class Framed(FrameStep):
    """A word in each frame."""

    unfinished = "the frames ended before the end"

    def event(self, data: bytes, type: str, events: list[Event]) -> None:
        take(self, type, data, events)


def exchange(
    kind: Callable[[Request, Limits], Step], owes: Evidence = "finish", **limits: int
) -> Exchange:
    bounds = Limits(**limits)
    return Exchange(lambda: kind(REQUEST, bounds), owes=owes, clocks=Clocks(), limits=bounds)


def lines(*words: str) -> bytes:
    return b"".join(b"%s\n" % word.encode() for word in words)


def events(*words: str) -> bytes:
    return b"".join(b'data: "%s"\n\n' % word.encode() for word in words)


def array(*words: str) -> bytes:
    return json.dumps(words).encode()


def frames(*words: str) -> bytes:
    return b"".join(frame("event", {":event-type": word}) for word in words)


def frame(kind: HeaderValue, headers: dict[str, HeaderValue], payload: bytes = b"{}") -> bytes:
    return encode_frame({**headers, ":message-type": kind}, payload)


KINDS = {
    "lines": (Lines, lines, SSE),
    "events": (Words, events, SSE),
    "array": (Words, array, JSON),
    "frames": (Framed, frames, FRAMES),
}


@pytest.mark.parametrize("name", KINDS)
class TestEachKind:
    """What all of them do alike."""

    def test_words_and_the_end(self, name: str) -> None:
        kind, encode, headers = KINDS[name]
        outcome = alike(exchange(kind), Response(encode("a", "b", "end"), 200, headers))
        assert outcome.succeeded().events == [Text("a"), Text("b"), End("terminator")]

    def test_nothing_after_the_end_is_read(self, name: str) -> None:
        kind, encode, headers = KINDS[name]
        body = encode("a", "end", "?", "b")
        for more in (b"", b"garbage", b"\n\n]["):
            outcome = alike(exchange(kind), Response(body + more, 200, headers))
            assert outcome.succeeded().events == [Text("a"), End("terminator")]

    def test_words_before_a_fault_are_delivered(self, name: str) -> None:
        kind, encode, headers = KINDS[name]
        outcome = alike(exchange(kind), Response(encode("a", "?", "b"), 200, headers))
        assert outcome.refused_by(Malformed, "no word").events == [Text("a")]
        outcome = alike(exchange(kind), Response(encode("a", "refuse", "b"), 200, headers))
        assert outcome.refused_by(RateLimited, "slow down").events == [Text("a")]

    def test_a_failure_takes_the_place_of_the_end(self, name: str) -> None:
        kind, encode, headers = KINDS[name]
        outcome = alike(exchange(kind), Response(encode("a", "fail"), 200, headers))
        assert outcome.refused_by(Refused, "the model failed").events == [Text("a")]
        error = outcome.error
        assert isinstance(error, Refused)
        assert (error.code, error.status) == ("fail", 200)

    @pytest.mark.parametrize("ending", ENDINGS)
    def test_the_body_ends_after_the_evidence(self, name: str, ending: Ending) -> None:
        kind, encode, headers = KINDS[name]
        body = encode("a", "finish")
        body = body[:-1] if name == "array" else body  # its bracket is a terminator
        outcome = alike(exchange(kind), Response(body, 200, headers, ending))
        assert outcome.succeeded().events == [Text("a"), End("finish")]

    @pytest.mark.parametrize("ending", ENDINGS)
    def test_the_body_ends_before_the_evidence(self, name: str, ending: Ending) -> None:
        kind, encode, headers = KINDS[name]
        body = encode("a", "b")
        body = body[: body.index(b"b") if name == "array" else len(body)]
        outcome = alike(exchange(kind), Response(body, 200, headers, ending))
        error = TimedOut if ending == "timeout" else Truncated
        assert Text("a") in outcome.refused_by(error).events

    def test_a_unit_has_a_limit(self, name: str) -> None:
        kind, encode, headers = KINDS[name]
        body = encode("a", "x" * 90, "b")
        outcome = alike(exchange(kind, event=60), Response(body, 200, headers))
        assert outcome.refused_by(LimitExceeded, "60 bytes").events == [Text("a")]
        outcome = alike(exchange(kind, event=160), Response(body, 200, headers))
        assert outcome.events[:3] == [Text("a"), Text("x" * 90), Text("b")]

    def test_the_prompt_is_dropped_once_the_response_has_begun(self, name: str) -> None:
        kind, _, headers = KINDS[name]
        step = kind(REQUEST, Limits())
        step.response(200, headers)
        assert step.request == Request("POST", REQUEST.url, REQUEST.headers)

    @given(
        words=st.lists(st.sampled_from(["a", "bc", "finish", "?", "end", "fail", ""]), max_size=6),
        size=st.integers(0, 300),
        ending=st.sampled_from(ENDINGS),
        data=st.data(),
    )
    def test_cutting_never_matters(
        self, name: str, words: list[str], size: int, ending: Ending, data: st.DataObject
    ) -> None:
        kind, encode, headers = KINDS[name]
        body = encode(*words)[:size]
        response = Response(body, 200, headers, ending)
        pieces = data.draw(cuts(body))
        whole = drive(exchange(kind), response)
        assert drive(exchange(kind), response, cut=bytewise).what == whole.what
        assert drive(exchange(kind), response, cut=lambda _: pieces).what == whole.what


# Lines


def test_blank_lines_say_nothing() -> None:
    outcome = alike(exchange(Lines), b"\n\r\na\r\n\n\nend\n")
    assert outcome.succeeded().events == [Text("a"), End("terminator")]


def test_a_last_line_without_its_end() -> None:
    assert alike(exchange(Lines), b"a\nend").succeeded().events == [Text("a"), End("terminator")]
    assert alike(exchange(Lines, "body_end"), b"a\nb").succeeded().events == [
        *(Text("a"), Text("b"), End("body_end"))
    ]
    outcome = alike(exchange(Lines), b"a\n?").refused_by(
        Truncated, "the lines ended before the end, inside a line"
    )
    assert isinstance(outcome.error, Truncated)
    assert outcome.error.data == b"?"


def test_half_a_line_after_the_evidence_is_handed_on() -> None:
    outcome = alike(exchange(Lines), b"a\nfinish\n?")
    assert outcome.succeeded().events == [Text("a"), Unrecognized(b"?"), End("finish")]


def test_the_bytes_of_half_a_line() -> None:
    step = Lines(REQUEST, Limits())
    step.data(b"a\nbcd", [])
    assert step.partial == 3


def test_lines_that_are_long_together() -> None:
    """Each of them is within the limit, what arrives at once is not."""
    body = lines("aaa", "bbb", "end", "too long to be read")
    for whole in (body, body + b"x" * 99):
        outcome = drive(exchange(Lines, event=5), whole)
        assert outcome.succeeded().events == [Text("aaa"), Text("bbb"), End("terminator")]
    drive(exchange(Lines, event=5), lines("end") + b"x" * 99).succeeded()
    short = drive(exchange(Lines, event=5), lines("aaa", "bbb"))
    assert short.refused_by(Truncated, "the lines ended").events == [Text("aaa"), Text("bbb")]
    long = drive(exchange(Lines, event=5), lines("aaa", "bbb") + b"x" * 99)
    assert long.refused_by(LimitExceeded, "5").events == [Text("aaa"), Text("bbb")]


# Server-sent events


def test_nothing_is_read_after_the_end_of_events_that_arrive_together() -> None:
    note = b'event: note\ndata: "b"\n\n'
    for more in (events("b"), note, note + events("b", "c") + note, b"what\n", b"x" * 99):
        for limit in (40, 4000):
            outcome = drive(exchange(Words, event=limit), note + events("end") + more)
            assert outcome.succeeded().events == [Text("note"), Text("b"), End("terminator")]
            outcome = drive(exchange(Words, event=limit), events("a", "end") + more)
            assert outcome.succeeded().events == [Text("a"), End("terminator")]


ODD_PIECES: dict[str, bytes] = {
    "an event": events("b"),
    "two events": events("b", "c"),
    "an event of two lines": b'data: "b\ndata: c"\n\n',
    "an event with a name": b'event: note\ndata: "b"\n\n',
    "an event that is not usual": b'data:"b"\n\n',
    "lines that end at CRLF": b'data: "b"\r\n\r\n',
    "lines that end at CR": b'data: "b"\r\rdata: "c"\n\n',
    "an event without its blank line": b'data: "b"\n',
    "half an event": b'data: "b',
    "an event and a half": b'data: "b"\n\ndata: "c',
    "a comment": b": hm\n\n",
    "an unknown line": b"hm\n\n",
    "the end": events("end"),
    "an event that is as long as it may be": b'data: "' + b"b" * 42 + b'"\n\n',
    "an event that is too long": b'data: "' + b"b" * 43 + b'"\n\n',
}


@pytest.mark.parametrize("odd", ODD_PIECES)
def test_events_that_arrive_one_by_one(odd: str) -> None:
    """What is between them is read as if all had arrived at once."""
    pieces = [events("a"), events("a"), ODD_PIECES[odd], events("y"), events("z")]
    body = b"".join(pieces)
    together = drive(exchange(Words, event=50), body)
    assert drive(exchange(Words, event=50), body, cut=lambda _: pieces).what == together.what
    assert together.events[:2] == [Text("a"), Text("a")]
    assert isinstance(together.error, LimitExceeded) == ("too long" in odd)


def test_events_with_names() -> None:
    body = b'event: note\ndata: "a"\n\nevent: message\ndata: "end"\n\n'
    assert alike(exchange(Words), body).succeeded().events == [
        *(Text("note"), Text("a"), End("terminator"))
    ]


def test_unknown_lines_and_comments() -> None:
    body = b': hi\nfoo: 1\n{\n"a": 1\n}\n' + events("a", "end")
    assert alike(exchange(Words), body).succeeded().events == [
        Unrecognized(b"foo: 1"),
        Unrecognized(b'{\n"a": 1\n}\n'),
        Text("a"),
        End("terminator"),
    ]
    body = events("a") + b'error: {"message": "no", "code": "rate_limit"}\n'
    assert alike(exchange(Words), body).refused_by(RateLimited, "no").events == [Text("a")]


def test_a_last_event_without_its_blank_line() -> None:
    assert alike(exchange(Words), b'data: "a"\n\ndata: "end"').succeeded().events == [
        *(Text("a"), End("terminator"))
    ]
    outcome = alike(exchange(Words), b'data: "a"\n\ndata: "en')
    outcome.refused_by(Truncated, "the stream ended before the end")
    assert outcome.events == [Text("a"), Unrecognized(b'"en')]


def test_the_last_comment_is_told_of_what_is_truncated() -> None:
    outcome = alike(exchange(Words), events("a") + b":408: 408 Request Timeout\n")
    outcome.refused_by(
        Truncated, "the stream ended before the end; its last comment was '408: 408 Request Timeout"
    )


def test_what_is_kept_of_an_unknown_object_is_handed_on() -> None:
    outcome = alike(exchange(Words), events("a") + b'{\n"half": \n')
    assert outcome.refused_by(Truncated).events == [Text("a"), Unrecognized(b'{\n"half": \n')]


def test_lines_that_are_too_long_after_the_end_do_not_matter() -> None:
    body = events("a", "end") + b"data: " + b"x" * 99 + b"\n\n" + b"y" * 99
    outcome = alike(exchange(Words, event=60), body)
    assert outcome.succeeded().events == [Text("a"), End("terminator")]
    outcome = alike(exchange(Words, event=60), events("a", "end") + b"y" * 99)
    assert outcome.succeeded().events == [Text("a"), End("terminator")]


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n"])
def test_units_before_a_line_that_is_too_long(line_end: bytes) -> None:
    body = (events("a") + b"data: " + b"x" * 99 + b"\n\n").replace(b"\n", line_end)
    for truncated in (body, body.rstrip()):
        outcome = alike(exchange(Words, event=60), truncated)
        assert outcome.refused_by(LimitExceeded).events == [Text("a")]


# An array


ELEMENTS: dict[str, bytes] = {
    "compact": b'["a","b","end"]',
    "pretty": b'[\n  "a",\r\n  "b"\t,\n"end"\n]\n',
    "without an end of its own": b'["a", "b"]',
    "blank lines first": b'\r\n\n ["a", "b"]',
    "a BOM": BOM + b'["a","b"]',
    "a BOM and a blank line": BOM + b'\n["a","b"]',
    "more after the bracket": b'["a","b"] , ["c"',
}


@pytest.mark.parametrize("name", ELEMENTS)
@pytest.mark.parametrize("headers", [JSON, SSE, []])
def test_an_array_is_read_element_by_element(name: str, headers: Headers) -> None:
    outcome = alike(exchange(Words, "terminator"), Response(ELEMENTS[name], 200, headers))
    assert outcome.succeeded().events == [Text("a"), Text("b"), End("terminator")]


def test_an_element_is_an_event_as_soon_as_it_is_complete() -> None:
    asked = exchange(Words)
    asked.next_request()
    asked.receive_response(200, JSON)
    pieces = [b"[", b'"a', b'"', b', "b"', b"]"]
    assert [asked.receive_data(piece) for piece in pieces] == [
        *([], [], [Text("a")], [Text("b")], [End("terminator")])
    ]


@pytest.mark.parametrize(
    ("body", "found", "error", "words"),
    [
        (b"[]", [], None, ""),
        (b'["a" "b"]', [Text("a")], Malformed, "without a comma after an element"),
        (b'["a",]', [Text("a")], Malformed, "without an element after a comma"),
        (b'["a", "?", "b"]', [Text("a")], Malformed, "no word"),
        (b'["a", {bad}, "b"]', [Text("a")], Malformed, "no JSON"),
        (b'["a", "b', [Text("a")], Truncated, "before the end, inside its JSON array: b'\"b'"),
        (b'["a"', [Text("a")], Truncated, "before the end, inside its JSON array"),
        (b"[", [], Truncated, "inside its JSON array"),
    ],
)
def test_an_array_that_is_wrong(
    body: bytes, found: list[Event], error: type[RemoteProtocolError] | None, words: str
) -> None:
    # Even if the end of the body were enough: without its bracket an array is not whole.
    for owes in ("finish", "body_end"):
        outcome = alike(exchange(Words, owes), Response(body, 200, JSON))
        if error is None:
            assert outcome.succeeded().events == [*found, End("terminator")]
        else:
            assert outcome.refused_by(error, words).events == found


def test_an_array_is_a_document_where_a_format_does_not_read_elements() -> None:
    outcome = alike(exchange(NoElements), Response(array("a", "end"), 200, JSON))
    assert outcome.refused_by(UnexpectedContent, "received a JSON document instead").events == []


def test_an_object_is_a_document_beside_elements() -> None:
    outcome = alike(exchange(Words), Response(b'{"error": "no"}', 200, JSON))
    outcome.refused_by(Refused, "no")


@pytest.mark.parametrize(
    ("pieces", "partial"),
    [
        ([b"["], 0),
        ([b"[", b" \n"], 0),
        ([b"[", b'"'], 1),
        ([b'["', b" "], 2),
        ([b'["a"'], 0),
        ([b'["a"', b"\n"], 0),
    ],
)
def test_white_space_between_elements_is_a_keepalive(pieces: list[bytes], partial: int) -> None:
    asked = exchange(Words)
    asked.next_request()
    asked.receive_response(200, JSON)
    for piece in pieces:
        asked.receive_data(piece)
    assert asked.partial == partial


def test_half_an_array_after_the_evidence_is_handed_on() -> None:
    outcome = alike(exchange(Words), Response(b'["a", "finish", "b', 200, JSON))
    assert outcome.succeeded().events == [Text("a"), Unrecognized(b'"b'), End("finish")]


class Unproven(Words):
    """The bracket of its array shows nothing."""

    def array_over(self) -> None:
        pass


def test_a_whole_array_that_shows_nothing() -> None:
    whole = Response(b'["a"]', 200, JSON)
    outcome = alike(exchange(Unproven), whole).refused_by(Truncated)
    assert str(outcome.error) == "the stream ended before the end"
    outcome = alike(exchange(Unproven, "body_end"), whole)
    assert outcome.succeeded().events == [Text("a"), End("body_end")]


class Reopening(Words):
    """After its finish an event may begin that says more."""

    reopens = True


@pytest.mark.parametrize(
    ("body", "headers"),
    [(events("a", "finish") + b'data: {"b', SSE), (b'["a", "finish", {"b', JSON)],
)
@pytest.mark.parametrize("ending", ["disconnect", "timeout"])
def test_half_an_object_after_the_evidence(body: bytes, headers: Headers, ending: Ending) -> None:
    half = Response(body, 200, headers, ending)
    assert drive(exchange(Words), half).succeeded().events == [Text("a"), End("finish")]
    outcome = drive(exchange(Reopening), half)
    assert isinstance(outcome.error, Truncated | TimedOut)
    other = Response(body.replace(b'{"b', b'"b'), 200, headers, ending)  # no object
    assert drive(exchange(Reopening), other).succeeded().events == [Text("a"), End("finish")]


# Frames


def test_half_a_frame() -> None:
    body = frames("a", "b")[:-1]
    outcome = alike(exchange(Framed), Response(body, 200, FRAMES))
    outcome.refused_by(Truncated, "the frames ended before the end, inside a frame")
    assert outcome.events == [Text("a")]
    for ending in ("disconnect", "timeout"):
        error = alike(exchange(Framed), Response(body, 200, FRAMES, ending)).error
        assert type(error) is (Truncated if ending == "disconnect" else TimedOut)


def test_half_a_frame_after_the_evidence_is_handed_on() -> None:
    half = frames("b")[:20]
    outcome = alike(exchange(Framed), Response(frames("a", "finish") + half, 200, FRAMES))
    assert outcome.succeeded().events == [Text("a"), Unrecognized(half), End("finish")]


def test_a_frame_whose_checksum_is_wrong() -> None:
    body = frames("a", "b", "end")
    place = len(frames("a", "b")) - 5
    damaged = body[:place] + bytes((body[place] ^ 1,)) + body[place + 1 :]
    outcome = alike(exchange(Framed), Response(damaged, 200, FRAMES))
    assert outcome.refused_by(Malformed, "wrong checksum").events == [Text("a")]


def test_what_comes_instead_of_frames() -> None:
    outcome = alike(exchange(Framed), Response(b'{"message": "no"}', 200, JSON))
    outcome.refused_by(Refused, "no")
    outcome = alike(exchange(Framed), Response(events("a"), 200, SSE))
    outcome.refused_by(UnexpectedContent, "received content of type 'text/event-stream' instead")


SLOW = b'{"message":"slow"}'


@pytest.mark.parametrize(
    ("reported", "kind", "message", "code", "data"),
    [
        (
            frame("exception", {":exception-type": "throttlingException"}, SLOW),
            *(RateLimited, "the service refused: slow", "throttlingException", SLOW),
        ),
        (
            frame("exception", {":exception-type": "newException"}, b"no JSON"),
            *(Refused, "the service refused: no JSON", "newException", b"no JSON"),
        ),
        (
            frame("event", {":event-type": "throttlingException"}, SLOW),
            *(RateLimited, "the service refused: slow", "throttlingException", SLOW),
        ),
        (
            frame("error", {":error-code": "InternalError", ":error-message": "boom"}, b""),
            *(Refused, "the service refused: boom", "InternalError", b""),
        ),
        (
            frame("error", {":error-code": 5, ":error-message": 7}, b"x"),
            *(Refused, "the service refused: no reason given", None, b"x"),
        ),
    ],
)
def test_a_frame_that_reports_an_error(
    reported: bytes, kind: type[Refused], message: str, code: str | None, data: bytes
) -> None:
    outcome = alike(exchange(Framed), Response(frames("a") + reported, 200, FRAMES))
    error = outcome.refused_by(kind).error
    assert isinstance(error, Refused)
    assert (error.message, error.code, error.data) == (message, code, data)
    assert outcome.events == [Text("a")]


@pytest.mark.parametrize(
    "unknown",
    [
        encode_frame({":event-type": "a"}, SLOW),
        frame("event", {}, SLOW),
        frame("event", {":event-type": 1}, SLOW),
        frame("exception", {":event-type": "a"}, SLOW),
        frame("events", {":event-type": "a", ":exception-type": "b"}, SLOW),
        frame(True, {":event-type": "a"}, SLOW),
    ],
)
def test_a_frame_that_is_neither_an_event_nor_an_error(unknown: bytes) -> None:
    outcome = alike(exchange(Framed), Response(frames("a") + unknown, 200, FRAMES))
    outcome.refused_by(Malformed)
    assert isinstance(outcome.error, Malformed)
    assert outcome.error.message == "a frame that is no event and no error"
    assert (outcome.error.data, outcome.events) == (SLOW, [Text("a")])


class Payloads(FrameStep):
    """Notes its events."""

    def event(self, data: bytes, type: str, events: list[Event]) -> None:
        events.append(Text(f"{type} {data.decode()}"))


def test_frames_that_have_the_same_headers() -> None:
    step, said = Payloads(REQUEST, Limits()), list[Event]()
    for kind, payload in (("a", b"1"), ("a", b"2"), ("b", b"3"), ("b", b"4"), ("a", b"5")):
        step.data(frame("event", {":event-type": kind}, payload), said)
    assert said == [*map(Text, ("a 1", "a 2", "b 3", "b 4", "a 5"))]


def test_the_first_frame_of_other_protocols_is_left_out() -> None:
    body = frames("initial-response", "a", "end")
    outcome = alike(exchange(Framed), Response(body, 200, FRAMES))
    assert outcome.succeeded().events == [Text("a"), End("terminator")]


def test_the_bytes_of_half_a_frame() -> None:
    step = Framed(REQUEST, Limits())
    step.data(frames("a") + frames("b")[:7], [])
    assert step.partial == 7


# What a relay passes on


@pytest.mark.parametrize(
    ("body", "start", "border"),
    [
        (b"", 0, 0),
        (b"a", 0, 0),
        (b"a\nb", 0, 2),
        (b"a\rb", 0, 2),
        (b"a\r\nb\nc", 0, 5),
        (b"a\nb\rc", 0, 4),
        (b"a\nb\nc", 0, 4),
        (b"a\rb\rc", 0, 4),
        (b"ab\nc", 2, 3),
    ],
)
def test_the_last_line_that_is_complete(body: bytes, start: int, border: int) -> None:
    assert Lines(REQUEST, Limits()).border(body, start) == border


@pytest.mark.parametrize(
    ("body", "start", "border"),
    [
        (b"", 0, 0),
        (b"a\n", 0, 0),
        (b"\n\na", 0, 2),
        (b"a\n\nbcdef", 0, 3),
        (b"a\r\rbcdef", 0, 3),
        (b"a\r\n\r\nbcdef", 0, 5),
        (b"a\n\nb\r\n\r\nc", 0, 8),
        (b"a\n\nb\n\nc", 0, 6),
        (b"a\n\n", 2, 3),
        (b"a\r\n\r\n", 4, 5),
    ],
)
def test_the_last_event_that_is_complete(body: bytes, start: int, border: int) -> None:
    assert Words(REQUEST, Limits()).border(body, start) == border


def test_the_last_element_and_the_last_frame_that_are_complete() -> None:
    words, body = Words(REQUEST, Limits()), b'["a", "b'
    words.element_data(body, [])
    assert (words.border(body, 0), words.partial) == (len(body) - 2, 2)
    framed, body = Framed(REQUEST, Limits()), frames("a") + frames("b")[:7]
    framed.data(body, [])
    assert framed.border(body, 0) == len(body) - 7


class Touchy(Step):
    """A step whose service has errors of its own."""

    errors = ErrorTable(codes={"busy": Overloaded, "busyException": Overloaded})


def test_a_document_that_is_no_answer() -> None:
    with pytest.raises(Overloaded, match="no"):
        Touchy().document(b'{"error": {"code": "busy", "message": "no"}}', [])


def test_a_step_without_units() -> None:
    step = Step()
    step.response(200, [])
    step.data(b"a", [])
    assert (step.partial, step.border(b"a\n\n", 0), step.eof([])) == (0, 0, None)


# What is left to a format


def test_what_a_format_has_to_write() -> None:
    with pytest.raises(NotImplementedError):
        LineStep(REQUEST, Limits()).line(b"", [])
    with pytest.raises(NotImplementedError):
        EventStep(REQUEST, Limits()).event(b"", "message", [])
    with pytest.raises(NotImplementedError):
        FrameStep(REQUEST, Limits()).event(b"", "", [])


class Ticking(EventStep):
    """Notes its events; `tick` is a keep-alive."""

    pings = frozenset(("tick",))

    def event(self, data: bytes, type: str, events: list[Event]) -> None:
        events.append(Text(f"{type} {data.decode()}"))


@pytest.mark.parametrize(
    ("data", "said", "partial"),
    [
        (b"event: tick\ndata: {}\n\n", [], 0),
        (b"event: tick\ndata: {}\n\n: comment\n\nevent: tick\ndata\n\n", [], 0),
        (b"event: a\ndata: b\n\n", ["a b"], 0),
        (b"event: tick\ndata: {}\n\nevent: a\ndata: b\n\n", ["a b"], 0),
        (b"event: tick\ndata: {}\n\nevent: a\ndata: b", [], 7),
        (b"event: tick\ndata: {}\n\n{\n", [], 2),  # an error object, perhaps
        (b"data: b\n\n", ["message b"], 0),
        (b'data: {"type": "tick"}\n\n', [], 0),
        (b'data: {"type": "ping"}\n\n', ['message {"type": "ping"}'], 0),
    ],
)
def test_named_events_that_are_keep_alives(data: bytes, said: list[str], partial: int) -> None:
    step, events = Ticking(Request("GET", "https://x.test/", []), Limits()), list[Event]()
    step.data(data, events)
    assert [event.text for event in events if isinstance(event, Text)] == said
    assert step.partial == partial
    step.data(b"x", events)
    assert step.partial == partial + 1


class Plain(EventStep):
    """Notes its events."""

    def event(self, data: bytes, type: str, events: list[Event]) -> None:
        events.append(Text(f"{type} {data[:9].decode()}"))


@pytest.mark.parametrize("name", ["ping", "keepalive", "keep-alive", "heartbeat"])
def test_keep_alives_by_their_usual_names(name: str) -> None:
    step, events = Plain(REQUEST, Limits()), list[Event]()
    data = json.dumps({"a": 1, "type": name}).encode()
    named = b"event: %b\ndata: {}\n\n" % name.encode()
    empty = b"data: {}\n\ndata: null\n\ndata: \n\ndata:  {} \n\n"
    for unit in (b"data: %b\n\n" % data, b": comment\ndata: %b\n\n" % data, named, empty):
        step.data(unit, events)
    assert events == []
    assert type_of(data) == name


@pytest.mark.parametrize(
    ("unit", "said"),
    [
        (b'data: {"a":"ping"}\n\n', 'message {"a":"pin'),
        (b'data: {"type":"pong","a":"ping"}\n\n', 'message {"type":"'),
        (b'data: ["ping"]\n\n', 'message ["ping"]'),
        (b'data: "ping"\n\n', 'message "ping"'),
        (b'event: note\ndata: {"type":"ping"}\n\n', 'note {"type":"'),
    ],
)
def test_what_only_has_such_a_word(unit: bytes, said: str) -> None:
    step, events = Plain(REQUEST, Limits()), list[Event]()
    step.data(unit, events)
    assert events == [Text(said)]


@pytest.mark.parametrize("size", [1000, 1001])
def test_how_far_in_such_a_word_is_looked_for(size: int) -> None:
    step, events = Plain(REQUEST, Limits()), list[Event]()
    rest = '","type":"ping"'
    data = '{"a":"' + "x" * (size - 6 - len(rest)) + rest
    step.data(f"data: {data}}}\n\n".encode(), events)
    assert len(events) == size - 1000


@pytest.mark.parametrize("data", [b"{}", b'{"type":null}', b"[]", b"no", b'{"type":""}'])
def test_an_event_without_a_type(data: bytes) -> None:
    assert type_of(data) == ""


@pytest.mark.parametrize(
    ("pieces", "even"),
    [
        ([b"data: a\n\n"], True),
        ([b"data: a\n\ndata: b\n\n"], True),
        ([b"data: a\n\ndata: b"], False),
        ([b"data: a\n\n", b"data: b"], False),
        ([b"{\n", b"data: a\n\n"], False),  # an error object, perhaps
        ([b"{\n", b"data: a\n\n", b"}\n", b"data: b\n\n"], True),
    ],
)
def test_whether_all_events_are_known_to_be_whole(pieces: list[bytes], even: bool) -> None:
    step = Ticking(REQUEST, Limits())
    for piece in pieces:
        step.data(piece, [])
    assert (step.even, step.partial == 0) == (even, even)


@pytest.mark.parametrize(
    ("pieces", "even"),
    [
        ([b"a\n"], True),
        ([b"a\nb"], False),
        ([b"a", b"b\nc"], False),
        ([b"a", b""], False),
        ([b"a\nb", b"\n", b"c\n"], True),
    ],
)
def test_whether_all_lines_are_known_to_be_whole(pieces: list[bytes], even: bool) -> None:
    step = Lines(REQUEST, Limits())
    for piece in pieces:
        step.data(piece, [])
    assert (step.even, step.partial == 0) == (even, even)


class Noting(Ticking):
    """Most of its events are notes."""

    usual = "note"


def test_usual_events_have_a_name() -> None:
    step, events = Noting(REQUEST, Limits()), list[Event]()
    for data in (b"data: a\n\ndata: b\n\n", b"event: note\ndata: c\n\nevent: note\ndata: d\n\n"):
        step.data(data, events)
    assert events == [*map(Text, ("message a", "message b", "note c", "note d"))]


class Nested(Ticking):
    """Notes its events, which are objects."""

    usual = "note"

    def event(self, data: bytes, type: str, events: list[Event]) -> None:
        if data[:1] == b"{":
            super().event(data, type, events)
        else:
            self.no_json(data, events)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b'data: data: {"a":1}\n\n', [Text('message {"a":1}')]),
        (b'event: note\ndata: data:{"a":1}\n\n', [Text('message {"a":1}')]),
        (b'data: event: odd\ndata: data: {"a":1}\n\n', [Text('odd {"a":1}')]),
        (b'data: event: note\ndata: data: {"a":1}\n\n', [Text('note {"a":1}')]),
        (
            b'data: data: {"a":1}\ndata: data: {"b":2}\n\n',
            [Text('message {"a":1}'), Text('message {"b":2}')],
        ),
        (b'data: data: data: {"a":1}\n\n', [Unrecognized(b'data: {"a":1}')]),
        (b"data: wait\n\n", [Unrecognized(b"wait")]),
        (b"data: more data: {}\n\n", [Unrecognized(b"more data: {}")]),
        *((b"data: %b\n\n" % nothing, []) for nothing in (b"null", b" null ", b"", b"data: ")),
        (b"event: tick\ndata: data: {}\n\n", []),
    ],
)
def test_an_event_inside_an_event(data: bytes, said: list[Event]) -> None:
    step, events = Nested(REQUEST, Limits()), list[Event]()
    step.data(data, events)
    step.data(data, events)
    assert events == said * 2


def test_a_large_event_inside_an_event() -> None:
    step, events = Nested(REQUEST, Limits(event=20 << 20)), list[Event]()
    step.data(b'data: data: {"a":"%b"}\n\n' % (b"x" * (17 << 20)), events)
    assert [len(e.text) for e in events if isinstance(e, Text)] == [(17 << 20) + 16]


def test_data_lines_that_are_objects_are_events_of_their_own() -> None:
    step, events = Ticking(REQUEST, Limits()), list[Event]()
    step.data(b'data: {"a":1}\ndata: {"b":2}\n\n', events)
    assert events == [Text('message {"a":1}'), Text('message {"b":2}')]


class TouchyWords(Words):
    errors = Touchy.errors


class TouchyFrames(Framed):
    errors = Touchy.errors


@pytest.mark.parametrize(
    "headers",
    [
        {":message-type": "exception", ":exception-type": "busy"},
        {":message-type": "error", ":error-code": "busy", ":error-message": "no"},
        {":message-type": "event", ":event-type": "busyException"},
    ],
)
def test_a_frame_that_reports_an_error_of_the_service(headers: dict[str, HeaderValue]) -> None:
    body = encode_frame(headers, b'{"message": "no"}')
    outcome = alike(exchange(TouchyFrames), Response(body, 200, FRAMES))
    outcome.refused_by(Overloaded, "no")


def test_an_error_beside_the_events_is_read_as_the_service_means_it() -> None:
    body = events("a") + b'error: {"message": "no", "code": "busy"}\n'
    assert alike(exchange(TouchyWords), body).refused_by(Overloaded, "no").events == [Text("a")]


def test_a_comment_that_is_no_text() -> None:
    step = Words(REQUEST, Limits())
    step.data(b":\xff\n", [])
    step.settle(False, [])
    assert step.unfinished.endswith("its last comment was '\ufffd'")


def test_a_long_comment_is_shortened() -> None:
    step = Words(REQUEST, Limits())
    step.data(b":" + b"x" * 81 + b"\n", [])
    step.settle(False, [])
    assert step.unfinished == f"the stream ended before the end; its last comment was '{'x' * 80}'"


@pytest.mark.parametrize(
    ("rest", "said"),
    [
        (b'data: {"a":1}', [Text('message {"a":1}')]),
        (b"data: [DONE]", [Text("message [DONE]")]),
        (b'data: {"a":', [Unrecognized(b'{"a":')]),
        (b'data: b\n\ndata: {"a":', [Text("message b"), Unrecognized(b'{"a":')]),
    ],
)
def test_a_last_event_that_is_half_a_value(rest: bytes, said: list[Event]) -> None:
    step, events = Ticking(Request("GET", "https://x.test/", []), Limits()), list[Event]()
    step.data(rest, events)
    step.eof(events)
    assert events == said
