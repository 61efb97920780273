"""What a body turns out to be: a step's answer, a document, a page, an error, or too much."""

import json
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.asking import HTML
from tests.cutting import cuts, every_way, whole
from tests.driving import JSON, SSE
from tokenwire.protocols.body import Body, RefusedBody, open_body
from tokenwire.protocols.errors import (
    BadRequest,
    Challenged,
    LimitExceeded,
    Malformed,
    Overloaded,
    Redirected,
    Refused,
    RemoteProtocolError,
    Truncated,
    UnexpectedContent,
)
from tokenwire.protocols.events import Event, Evidence, Text, Unrecognized
from tokenwire.protocols.limits import Limits
from tokenwire.protocols.step import EventStep, Framing, LineStep, Step
from tokenwire.protocols.toolkit.http import Headers, Request
from tokenwire.protocols.toolkit.lines import Lines
from tokenwire.protocols.toolkit.refusals import ErrorTable

BOM = b"\xef\xbb\xbf"
REQUEST = Request("GET", "https://x", [])
SMALL = Limits(response=40, document=30, picture=20, error_body=10)


class Recorder(Step):
    """A step that tells by events what it is given. A line `stop` is its terminator."""

    def __init__(self) -> None:
        self.request = REQUEST
        self.evidence: Evidence | None = None
        self.responses: list[tuple[int, Headers]] = []
        self._lines = Lines(1000)

    @property
    def partial(self) -> int:
        return self._lines.partial()

    def response(self, status: int, headers: Headers) -> None:
        self.responses.append((status, headers))

    def data(self, data: bytes, events: list[Event]) -> None:
        for line in self._lines.feed(data).splitlines():
            if line == b"stop":
                self.evidence = "terminator"
            events.append(Text(line.decode(errors="replace")))

    def document(self, body: bytes, events: list[Event]) -> Step | None:
        events.append(Unrecognized(body, "document"))
        return None

    def eof(self, events: list[Event]) -> Step | None:
        events.append(Unrecognized(self._lines.rest, "eof"))
        return None


def recorder(kind: Framing) -> Recorder:
    """A step for such a body."""

    class Framed(Recorder):
        framing = kind
        media_types = None if kind == "bytes" else Step.media_types
        limit = "picture" if kind == "bytes" else "response"

    return Framed()


class Plain(Step):
    """A step that overrides nothing."""

    request = REQUEST


def read(
    pieces: Iterable[bytes],
    *,
    kind: Framing = "events",
    status: int = 200,
    headers: Headers = SSE,
    limits: Limits | None = None,
    cut: bool = False,
) -> tuple[list[Event], type[Exception] | None, str]:
    """The events, and the error's type and words."""
    events: list[Event] = []
    try:
        body = open_body(recorder(kind), status, headers, limits or Limits())
        for piece in pieces:
            body.data(piece, events)
        following = body.interrupted(events) if cut else body.eof(events)
        assert following is None
    except RemoteProtocolError as error:
        return events, type(error), str(error)
    return events, None, ""


def document(body: bytes) -> list[Event]:
    return [Unrecognized(body, "document")]


def lines(*texts: str, rest: bytes = b"") -> list[Event]:
    return [*map(Text, texts), Unrecognized(rest, "eof")]


TYPED: Headers = [(b"content-type", b"text/event-stream;")]
NDJSON: Headers = [(b"content-type", b"application/x-ndjson")]
ANSWERS: dict[str, tuple[Framing, Headers, bytes, list[Event]]] = {
    "a stream": ("events", SSE, b"a\nb\n", lines("a", "b")),
    "a stream as plain text": ("events", [(b"content-type", b"text/plain")], b"a\n", lines("a")),
    "a stream without a type": ("events", [], b"a\n", lines("a")),
    "a stream as JSON": ("events", JSON, b"a\n", lines("a")),
    "a type with a parameter": ("events", TYPED, b"a\n", lines("a")),
    "a stream after blank lines": ("events", SSE, b" \n\r\n\na\n", lines("a")),
    "a stream after a BOM": ("events", SSE, BOM + b"\na\n", lines("a")),
    "a stream of one byte": ("events", SSE, b"a", lines(rest=b"a")),
    "a stream that begins like a BOM": ("events", SSE, BOM[:2] + b"\n", lines("\ufffd")),
    "a document": ("events", JSON, b'{"a": 1}', document(b'{"a": 1}')),
    "a document as a stream": ("events", SSE, b' \n{"a": 1}\n', document(b'{"a": 1}\n')),
    "a list": ("events", JSON, b"[1]", document(b"[1]")),
    "a document after a BOM": ("events", JSON, BOM + b"{}", document(BOM + b"{}")),
    "a document that is not JSON": ("events", JSON, b"{]", document(b"{]")),
    "a document expected": ("document", JSON, b'"a"', document(b'"a"')),
    "JSON lines": ("lines", JSON, b'{"a": 1}\n', lines('{"a": 1}')),
    "JSON lines, typed so": ("lines", NDJSON, b"{}\n", lines("{}")),
    "a picture": ("bytes", [(b"content-type", b"image/png")], b"<\n", lines("<")),
    "an empty picture": ("bytes", [], b"", lines()),
}  # fmt: skip


@pytest.mark.parametrize("name", ANSWERS)
def test_an_answer(name: str) -> None:
    kind, headers, body, events = ANSWERS[name]
    for pieces in every_way(body):
        assert read(pieces, kind=kind, headers=headers) == (events, None, "")


PAGE = b"<html>hi</html>"
FAULTS: dict[str, tuple[Headers, bytes, type[Exception], str]] = {
    "nothing": (SSE, b"", UnexpectedContent, "the body is empty"),
    "blank lines": (SSE, b"\n\r\n ", Truncated, "the body ended before the answer began"),
    "a BOM": (SSE, BOM, Truncated, "the body ended before the answer began"),
    "half a BOM": (SSE, BOM[:2], Truncated, "the body ended before the answer began"),
    "a page": (SSE, PAGE, UnexpectedContent, "received an HTML page"),
    "a page after blank lines": (JSON, b"\r\n " + PAGE, UnexpectedContent, "received an HTML page"),
    "a page after a BOM": (JSON, BOM + PAGE, UnexpectedContent, "received an HTML page"),
    "a challenge": (
        SSE,
        b"<title>Just a moment",
        Challenged,
        "a bot check in front of the service",
    ),
    "a page, typed so": (HTML, b"hi", UnexpectedContent, "received content of type 'text/html'"),
    "a bogus type": (
        [(b"content-type", b"x bogus")],
        b"a\n",
        UnexpectedContent,
        "received content of type 'x bogus'",
    ),
    "a picture": (
        [(b"content-type", b"image/png")],
        b"\x89PNG",
        UnexpectedContent,
        "received content of type 'image/png'",
    ),
    "a truncated document": (
        JSON,
        b'{"a": ',
        Truncated,
        "the body ended inside its JSON document: b'{\"a\": '",
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_no_answer(name: str) -> None:
    headers, body, error, words = FAULTS[name]
    first = read(whole(body), headers=headers)
    assert first[:2] == ([], error)
    assert first[2].startswith(words)
    for pieces in every_way(body):
        assert read(pieces, headers=headers) == first


@pytest.mark.parametrize(
    ("body", "events", "error"),
    [
        (b"", [], None),
        (b"\n", [], None),
        (b"a\nb", [Text("a")], None),
        (b'{"a": ', [], None),
        (b'{"a": 1}', document(b'{"a": 1}'), None),
        (b"<html>", [], UnexpectedContent),
    ],
)
def test_a_connection_that_goes_away(
    body: bytes, events: list[Event], error: type[Exception] | None
) -> None:
    """What is whole is taken for that; the rest is for the exchange to judge."""
    for pieces in every_way(body):
        assert read(pieces, cut=True)[:2] == (events, error)


# Errors

REFUSALS = [
    (400, b'{"error": "no"}', BadRequest, "the service refused: no"),
    (503, b"<p>", Overloaded, "status 503: an HTML page"),
    (500, b"", Refused, "status 500: no body"),
    (199, b"", Refused, "status 199: no body"),
    (300, b"", Redirected, "redirects (status 300)"),
]


@pytest.mark.parametrize(("status", "body", "error", "words"), REFUSALS)
@pytest.mark.parametrize("cut", [False, True])
@pytest.mark.parametrize("kind", ["events", "bytes"])
def test_another_status_is_a_refusal(
    status: int, body: bytes, error: type[Exception], words: str, cut: bool, kind: Framing
) -> None:
    for pieces in every_way(body):
        found = read(pieces, status=status, cut=cut, kind=kind)
        assert found[:2] == ([], error)
        assert words in found[2]


@pytest.mark.parametrize("status", [200, 201, 299])
def test_a_step_is_told_of_a_response_that_is_an_answer(status: int) -> None:
    step = recorder("events")
    open_body(step, status, SSE, Limits())
    assert step.responses == [(status, SSE)]


@pytest.mark.parametrize(("status", "headers"), [(300, SSE), (404, SSE), (200, HTML)])
def test_a_step_is_not_told_of_another(status: int, headers: Headers) -> None:
    step = recorder("events")
    open_body(step, status, headers, Limits())
    assert step.responses == []


# Limits

TOO_MUCH: dict[str, tuple[Framing, int, bytes, type[Exception] | None, str]] = {
    "a stream within": ("events", 200, b"a\n" * 20, None, ""),
    "a stream": ("events", 200, b"a\n" * 20 + b"b", LimitExceeded, "a body of more than 40 bytes"),
    "a terminator within": ("events", 200, b"a\n" * 17 + b"stop\n!" + b"!" * 9, None, ""),
    "a terminator too late": (
        *("events", 200, b"a\n" * 18 + b"stop\n", LimitExceeded, "a body of more than 40 bytes")
    ,),
    "a picture within": ("bytes", 200, b"x" * 20, None, ""),
    "a picture": ("bytes", 200, b"x" * 21, LimitExceeded, "a body of more than 20 bytes"),
    "a document within": ("events", 200, b'["%s"]' % (b"x" * 26), None, ""),
    "a document": ("events", 200, b"[" * 31, LimitExceeded, "a JSON document of more than 30"),
    "blank lines": ("events", 200, b"\n" * 31, Truncated, "ended before the answer began"),
    "a page": ("events", 200, b"<" + b"x" * 99, UnexpectedContent, "answer: b'<xxxxxxxxx'"),
    "an error": ("events", 500, b"y" * 99, Refused, "status 500: yyyyyyyyyy"),
}  # fmt: skip


@pytest.mark.parametrize("name", TOO_MUCH)
def test_limits_are_the_same_however_cut(name: str) -> None:
    kind, status, body, error, words = TOO_MUCH[name]
    first = read(whole(body), kind=kind, status=status, limits=SMALL)
    assert first[1] is error
    assert first[2].endswith(words) or words in first[2]
    for pieces in every_way(body):
        assert read(pieces, kind=kind, status=status, limits=SMALL) == first


def test_no_more_of_an_error_is_read_than_its_limit() -> None:
    body = open_body(recorder("events"), 500, JSON, SMALL)
    body.data(b"x" * 9, [])
    with pytest.raises(Refused, match="x" * 10):
        body.data(b"x", [])


SOUP = st.lists(
    st.sampled_from(
        [b"\n", b" ", b"{", b"}", b"<", b"a\n", b"stop\n", b'"', BOM, BOM[:2], b"\xbf"]
    ),
    max_size=20,
).map(b"".join)
KINDS: st.SearchStrategy[Framing] = st.sampled_from(["events", "lines", "document", "bytes"])


def sure(result: tuple[list[Event], type[Exception] | None, str]) -> object:
    """The result up to the terminator: what follows it is never read by an exchange."""
    events = result[0]
    if Text("stop") in events:
        return events[: events.index(Text("stop")) + 1]
    return result


@given(
    SOUP, KINDS, st.sampled_from([SSE, HTML]), st.sampled_from([200, 500]), st.booleans(), st.data()
)
def test_cutting_never_matters(
    body: bytes, kind: Framing, headers: Headers, status: int, cut: bool, data: st.DataObject
) -> None:
    for limits in (None, SMALL):
        first, again = (
            read(pieces, kind=kind, headers=headers, status=status, cut=cut, limits=limits)
            for pieces in (whole(body), data.draw(cuts(body)))
        )
        assert sure(first) == sure(again)


# What is not complete

PARTIALS: list[tuple[Framing, list[bytes], int]] = [
    ("events", [], 0),
    ("events", [b"\n", b" \r\n"], 0),
    ("events", [b"\n", b"a\n"], 0),
    ("events", [b"\n", b"ab"], 2),
    ("events", [b"{"], 1),
    ("events", [b"\n{", b"\n  "], 1),  # white space is a keep-alive
    ("events", [b"{", b"\n  1"], 5),
    ("bytes", [b"ab", b" "], 3),
]


@pytest.mark.parametrize(("kind", "pieces", "partial"), PARTIALS)
def test_the_bytes_of_what_is_not_complete(
    kind: Framing, pieces: list[bytes], partial: int
) -> None:
    body: Body = open_body(recorder(kind), 200, SSE, Limits())
    for piece in pieces:
        body.data(piece, [])
    assert body.partial == partial


def test_an_error_body_is_never_complete() -> None:
    body = open_body(Plain(), 500, SSE, Limits())
    body.data(b"\n", [])
    assert body.partial == 1


def test_the_error_of_a_body_is_made_once() -> None:
    body = RefusedBody(500, JSON, Limits())
    body.data(b'{"error": "no"}', [])
    assert body.error() is body.error()
    assert str(body.error()) == "the service refused: no"
    own = RefusedBody(500, JSON, Limits(), ErrorTable(statuses={500: Overloaded}))
    assert isinstance(own.error(), Overloaded)
    step = recorder("events")
    step.errors = ErrorTable(statuses={500: Overloaded})
    with pytest.raises(Overloaded):
        open_body(step, 500, JSON, Limits()).eof([])


# A step whose answer may be an array


class Elements(EventStep):
    """Tells the elements."""

    elements = True

    def event(self, data: bytes, type: str, events: list[Event]) -> None:
        events.append(Text(data.decode()))


def test_an_array_is_read_by_its_elements() -> None:
    for pieces in every_way(b' \n[1, "a",\n{"b": []}]'):
        step, events = Elements(REQUEST, Limits()), list[Event]()
        body = open_body(step, 200, JSON, Limits())
        for piece in pieces:
            body.data(piece, events)
        assert events == [Text("1"), Text('"a"'), Text('{"b": []}')]
        assert (step.evidence, body.partial) == ("terminator", 0)
        assert body.eof(events) is None


class Whole(Elements):
    """Takes an array as one document."""

    elements = False

    def document(self, body: bytes, events: list[Event]) -> None:
        events.append(Unrecognized(body, "document"))


def test_an_array_is_a_document_where_it_has_no_elements() -> None:
    events = list[Event]()
    body = open_body(Whole(REQUEST, Limits()), 200, JSON, Limits())
    body.data(b"[1]", events)
    body.eof(events)
    assert events == document(b"[1]")


# A step whose answer is lines


class Numbers(LineStep):
    """A number on each line; `.` is the terminator."""

    unfinished = "the stream ended before the dot"

    def __init__(self, limits: Limits) -> None:
        super().__init__(REQUEST, limits)

    def line(self, line: bytes, events: list[Event]) -> None:
        if line == b".":
            self.evidence = "terminator"
        elif not line.isdigit():
            raise Malformed("no number", data=line)
        else:
            events.append(Text(line.decode()))


def test_the_step_drops_its_prompt() -> None:
    step = Numbers(Limits())
    step.request = Request("POST", "http://h/x", [(b"accept", b"*/*")], b"a prompt")
    step.response(200, [])
    assert step.request == Request("POST", "http://h/x", [])


def numbers(pieces: Iterable[bytes]) -> tuple[list[Event], RemoteProtocolError | None, str | None]:
    """The events, the error, and the evidence."""
    step = Numbers(Limits(event=4))
    assert (step.request, step.evidence) == (REQUEST, None)
    events: list[Event] = []
    try:
        for piece in pieces:
            step.data(piece, events)
            if step.evidence == "terminator":
                break
        else:
            step.eof(events)
    except RemoteProtocolError as error:
        return events, error, step.evidence
    return events, None, step.evidence


@pytest.mark.parametrize(
    ("body", "events", "evidence"),
    [
        (b"1\n23\r\n4567", ["1", "23", "4567"], None),
        (b"1\n.\n?\n", ["1"], "terminator"),
        (b"1\n.\n234567", ["1"], "terminator"),
        (b"1\n.", ["1"], "terminator"),
    ],
)
def test_lines(body: bytes, events: list[str], evidence: str | None) -> None:
    for pieces in every_way(body):
        assert numbers(pieces) == ([Text(event) for event in events], None, evidence)


@pytest.mark.parametrize(
    ("body", "error", "message", "data"),
    [
        (b"1\n?\n2\n", Malformed, "no number", b"?"),
        (b"1\n2?", Truncated, "the stream ended before the dot, inside a line", b"2?"),
        (b"1\n23456\n", LimitExceeded, "an event of more than 4 bytes", b""),
        (b"1\n23456", LimitExceeded, "an event of more than 4 bytes", b""),
    ],
)
def test_lines_that_are_wrong(body: bytes, error: object, message: str, data: bytes) -> None:
    for pieces in every_way(body):
        events, found, evidence = numbers(pieces)
        assert found is not None
        assert (type(found), found.message, found.data) == (error, message, data)
        assert (events, evidence) == ([Text("1")], None)


def test_the_bytes_of_half_a_line() -> None:
    step = Numbers(Limits())
    for piece, partial in ((b"", 0), (b"1\n", 0), (b"1", 1), (b"2", 2), (b"\n: ", 0)):
        step.data(piece, [])
        assert step.partial == partial


# What a step does that overrides nothing


def test_a_plain_step() -> None:
    step = Plain()
    events: list[Event] = []
    step.response(200, SSE)
    step.data(b"x", events)
    step.settle(True, events)
    assert step.eof(events) is None
    assert (events, step.partial, step.evidence) == ([], 0, None)
    assert step.unfinished == "the body ended before the answer was complete"


@pytest.mark.parametrize(
    ("value", "error"),
    [({"error": "no"}, Refused), ({"a": 1}, UnexpectedContent), ([], UnexpectedContent)],
)
def test_a_plain_step_takes_no_document(value: object, error: type[Exception]) -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        Plain().document(json.dumps(value).encode(), [])
    assert caught.type is error
    with pytest.raises(Malformed):
        Plain().document(b"{]", [])
