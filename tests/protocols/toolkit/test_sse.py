"""Server-sent events: as the standard has them, the same however the bytes are cut."""

from collections.abc import Sequence
from typing import NamedTuple

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.asking import chunk, question
from tests.cutting import bytewise, cuts, every_way, whole
from tests.driving import JSON, SSE, Response, alike
from tests.protocols.toolkit.soup import BOM, SOUP
from tokenwire.protocols.errors import (
    BadRequest,
    LimitExceeded,
    Malformed,
    Overloaded,
    RateLimited,
    Refused,
    Truncated,
    UnexpectedContent,
)
from tokenwire.protocols.events import End, Event, Finish, Start, Text, Unrecognized
from tokenwire.protocols.toolkit.http import Headers
from tokenwire.protocols.toolkit.sse import (
    ServerSentEvent,
    SSEDecoder,
    SSEItem,
    UnknownLine,
    encode_sse,
)


class Decoded(msgspec.Struct):
    """What a body gave, and all that a decoder remembers of it."""

    items: list[SSEItem] = []
    error: str = ""
    retry: int | None = None
    last_event_id: str = ""
    last_comment: bytes = b""


def decode(pieces: list[bytes], limit: int = 1 << 20, *, eof: bool = True) -> Decoded:
    decoder = SSEDecoder(limit)
    decoded = Decoded()
    try:
        for piece in pieces:
            decoder.feed(piece, decoded.items)
        if eof:
            decoder.eof(decoded.items)
    except LimitExceeded as error:
        decoded.error = str(error)
    decoded.retry = decoder.retry
    decoded.last_event_id = decoder.last_event_id
    decoded.last_comment = decoder.last_comment
    return decoded


def sse(*data: bytes) -> list[SSEItem]:
    return [ServerSentEvent(each) for each in data]


def reference(body: bytes) -> Decoded:
    """The algorithm of the standard, word for word and on the whole body; its end dispatches."""
    decoded = Decoded()
    body = body.removeprefix(BOM).replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    data, type_, id_ = b"", b"", b""
    for line in [*body.split(b"\n"), b""]:
        field, colon, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if not line:
            decoded.last_event_id = id_.decode(errors="replace")
            if data:
                kind = type_.decode(errors="replace") or "message"
                decoded.items.append(ServerSentEvent(data[:-1], kind, decoded.last_event_id))
            data, type_ = b"", b""
        elif colon and not field:
            decoded.last_comment = line[1:]
        elif field == b"data":
            data += value + b"\n"
        elif field == b"event":
            type_ = value
        elif field == b"id":
            id_ = id_ if b"\0" in value else value
        elif field == b"retry":
            decoded.retry = int(value) if value.isdigit() else decoded.retry
        else:
            decoded.items.append(UnknownLine(line))
    return decoded


STREAMS: dict[str, tuple[bytes, list[SSEItem]]] = {
    "nothing": (b"", []),
    "one": (b"data: a\n\n", sse(b"a")),
    "a run of events, one line each": (b"data: a\n\ndata: b\n\ndata: c\n\n", sse(b"a", b"b", b"c")),
    "no space": (b"data:a\n\n", sse(b"a")),
    "two spaces": (b"data:  a\n\n", sse(b" a")),
    "a tab": (b"data:\ta\n\n", sse(b"\ta")),
    "no colon": (b"data\n\n", sse(b"")),
    "several data lines": (b"data: a\ndata\ndata: b\n\n", sse(b"a\n\nb")),
    "type": (b"event: ping\ndata: a\n\ndata: b\n\n", [ServerSentEvent(b"a", "ping"), *sse(b"b")]),
    "type alone": (b"event: ping\n\ndata: a\n\n", sse(b"a")),
    "type in an earlier read": (b"event: ping\n" + b"data: a\n\n", [ServerSentEvent(b"a", "ping")]),
    "empty type": (b"event: ping\nevent:\ndata: a\n\n", sse(b"a")),
    "id stays": (
        b"id: 1\ndata: a\n\ndata: b\n\nid\ndata: c\n\n",
        [*(ServerSentEvent(each, "message", "1") for each in (b"a", b"b")), *sse(b"c")],
    ),
    "id with a zero byte": (b"id: a\0\ndata: a\n\n", sse(b"a")),
    "id and type of broken UTF-8": (
        b"id: \xff\nevent: \xff\ndata: \xff\n\n",
        [ServerSentEvent(b"\xff", "\ufffd", "\ufffd")],
    ),
    "field names are case-sensitive": (b"Data: a\n\n", [UnknownLine(b"Data: a")]),
    "a field name with a space": (b" data: a\n", [UnknownLine(b" data: a")]),
    "a second BOM": (BOM + BOM + b"data: a\n\n", [UnknownLine(BOM + b"data: a")]),
    "blank lines within a run": (b"data: a\n\n\n\ndata: b\n\n", sse(b"a", b"b")),
    "a comment within a run": (b"data: a\n\n: ping\n\ndata: b\n\n", sse(b"a", b"b")),
    "a CR within a run": (b"data: a\rdata: b\n\n", sse(b"a\nb")),
    "an event that is begun within a run": (
        b"data: a\nid: 1\n",
        [ServerSentEvent(b"a", "message", "1")],
    ),
    "an id within a run": (
        b"data: a\n\nid: 1\ndata: b\n\n",
        [*sse(b"a"), ServerSentEvent(b"b", "message", "1")],
    ),
}


@pytest.mark.parametrize("name", STREAMS)
def test_server_sent_events(name: str) -> None:
    body, items = STREAMS[name]
    for pieces in every_way(body):
        assert decode(pieces).items == items


@given(SOUP, st.data())
def test_sse_is_the_standard_however_cut(body: bytes, data: st.DataObject) -> None:
    """Whole takes the fast path where it can, byte by byte never does."""
    expected = reference(body)
    assert decode(whole(body)) == expected
    assert decode(bytewise(body)) == expected
    assert decode(data.draw(cuts(body))) == expected


@given(SOUP, st.integers(1, 30), st.data())
def test_sse_limits_never_depend_on_the_cutting(
    body: bytes, limit: int, data: st.DataObject
) -> None:
    expected = decode(whole(body), limit)
    assert decode(bytewise(body), limit) == expected
    assert decode(data.draw(cuts(body)), limit) == expected


@pytest.mark.parametrize(
    ("body", "items"),
    [
        (b"data: 1234\n\n", sse(b"1234")),
        (b"data: 12345\n\n", []),
        (b"data: 1\n\ndata: 12345\n\n", sse(b"1")),
        (b"data: 1\n\n: 12345678901\n\n", sse(b"1")),
        (b"data: 1\n\ndata: 12345", sse(b"1")),
        (b"data:\ndata:\n\n", sse(b"\n")),
        (b"data: 1\n\ndata:\ndata:\ndata:\n\n", sse(b"1")),
        (b"data: 1\n\ndata:\ndata:\ndata:", sse(b"1")),
        (BOM + b"data: 1234\n\n", sse(b"1234")),
        (BOM + b"data: 1234", sse(b"1234")),
        (BOM + b"data: 12345", []),
    ],
)
def test_a_line_and_the_lines_of_an_event_have_a_limit(body: bytes, items: list[SSEItem]) -> None:
    within = body.strip(BOM).startswith(b"data: 1234\n") or body in (
        BOM + b"data: 1234",
        b"data:\ndata:\n\n",
    )
    for pieces in every_way(body):
        decoded = decode(pieces, 10)
        assert decoded.items == items
        assert decoded.error == ("" if within else "an event of more than 10 bytes")


@pytest.mark.parametrize("before", [b"", b": ping\n", b"data: 1\n\n", b"data: 1\r\n\r\n"])
def test_a_decoder_refuses_it_at_once_too(before: bytes) -> None:
    assert decode([before + b"x" * 10], 10, eof=False).error == ""
    assert decode([before + b"x" * 11], 10, eof=False).error == "an event of more than 10 bytes"
    for place in range(len(before)):
        pieces = [before[:place], before[place:] + b"x" * 11]
        assert decode(pieces, 10, eof=False).error == "an event of more than 10 bytes"


def test_each_event_has_the_whole_limit() -> None:
    for pieces in every_way(b"data: 1\n\ndata: 1234\n\n"):
        assert decode(pieces, 10) == Decoded(sse(b"1", b"1234"))


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
@pytest.mark.parametrize(
    ("usual", "lines", "payloads"),
    [
        ("message", [b"data: a", b""], [b"a"]),
        ("message", [b"data: a", b"", b"data: b", b""], [b"a", b"b"]),
        ("delta", [b"event: delta", b"data: a", b""], [b"a"]),
        ("delta", [b"event: delta", b"data: a", b""] * 2, [b"a", b"a"]),
        ("message", [b"event: message", b"data: a", b""], None),
        ("delta", [b"data: a", b""], None),
        ("message", [b"data: a", b"data: b", b""], None),
    ],
)
def test_usual_events_go_the_short_way(
    usual: str, lines: list[bytes], payloads: list[bytes] | None, end: bytes
) -> None:
    assert SSEDecoder(99, usual).payloads(end.join([*lines, b""])) == payloads


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_a_lone_cr_ends_a_line_among_other_ends(end: bytes) -> None:
    body = b"data: a||data: b\rdata: c||data: d\r\rdata: e||".replace(b"|", end)
    for pieces in (whole(body), bytewise(body)):
        assert decode(pieces).items == sse(b"a", b"b\nc", b"d", b"e")


def sse_apart(pieces: list[bytes], limit: int = 1 << 20) -> list[tuple[str, bytes]]:
    decoder = SSEDecoder(limit, apart=True)
    items: list[SSEItem] = []
    for piece in pieces:
        decoder.feed(piece, items)
    decoder.eof(items)
    return [
        (item.type, item.data) if isinstance(item, ServerSentEvent) else ("", item.line)
        for item in items
    ]


APART: dict[str, tuple[bytes, list[tuple[str, bytes]]]] = {
    "objects": (
        b'data: {"a": 1}\ndata: {}\ndata: end\n\n',
        [("message", b'{"a": 1}'), ("message", b"{}"), ("message", b"end")],
    ),
    "beside events that are apart": (
        b"data: {}\n\ndata: {}\ndata: {}\n\ndata: {}\n\n",
        [("message", b"{}")] * 4,
    ),
    "CRLF": (b"data: {}\r\ndata: {}\r\n\r\n", [("message", b"{}")] * 2),
    "without the last line end": (b"data: {}\ndata: {}", [("message", b"{}")] * 2),
    "the last one truncated": (
        b'data: {}\ndata: {"a',
        [("message", b"{}"), ("message", b'{"a')],
    ),
    "names": (
        b"event: a\ndata: {}\nevent: b\ndata: {}\nevent: c\n\ndata: {}\n\n",
        [("a", b"{}"), ("c", b"{}"), ("message", b"{}")],
    ),
    "one name for several": (b"event: a\ndata: {}\ndata: {}\n\n", [("a", b"{}")] * 2),
    "an object over several lines": (
        b'data: {\ndata: "a": {}\ndata: }\n\n',
        [("message", b'{\n"a": {}\n}')],
    ),
    "an object over several lines, and another": (
        b"data: {\ndata: }\ndata: {}\n\n",
        [("message", b"{\n}\n{}")],
    ),
    "an object that another follows, over several lines": (
        b"data: {}\ndata: {\ndata: }\n\n",
        [("message", b"{}"), ("message", b"{\n}")],
    ),
    "lines that are no object": (b"data: 1\ndata: 2\n\n", [("message", b"1\n2")]),
    "a text that only begins with an object": (
        b"data: {} and\ndata: {}\n\n",
        [("message", b"{} and\n{}")],
    ),
}


@pytest.mark.parametrize("name", APART)
def test_events_that_end_with_one_line_feed(name: str) -> None:
    body, items = APART[name]
    for pieces in every_way(body):
        assert sse_apart(pieces) == items


def test_events_that_end_with_one_line_feed_are_not_kept() -> None:
    decoder, items = SSEDecoder(25, apart=True), list[SSEItem]()
    for _ in range(10):
        decoder.feed(b'data: {"a": "0123456789"}\n', items)  # each has the whole limit
    assert len(items) == 9


def test_what_the_standard_joins_is_joined_elsewhere() -> None:
    assert decode([b"data: {}\ndata: {}\n\n"]).items == sse(b"{}\n{}")


def test_nothing_is_known_at_the_start() -> None:
    decoder = SSEDecoder()
    assert (decoder.last_event_id, decoder.last_comment, decoder.retry) == ("", b"", None)
    assert decoder.usual == "message"
    assert decoder.partial == 0


@pytest.mark.parametrize(
    ("body", "partial"),
    [
        (b"data: x\n\n", 0),
        (b": comment\n\n: half", 0),
        (b"event: ping\nid: 7\nretry: 5\n", 0),
        (b"event: ping", 0),
        (b"id: half", 0),
        (b"retry: 12", 0),
        (b"data: abc\n", 4),
        (b"data: abc\n: comment\nid: 7\nev", 6),
        (b"odd", 3),
    ],
)
def test_the_bytes_of_an_event_that_is_not_complete(body: bytes, partial: int) -> None:
    decoder = SSEDecoder()
    decoder.feed(body, [])
    assert decoder.partial == partial


def test_retry_is_digits_only() -> None:
    for body, retry in [
        (b"retry: 250\n", 250),
        (b"retry:250\n", 250),
        (b"retry: 1\nretry: 2\n\n", 2),
        (b"retry: 1\nretry: 2x\nretry:\nretry: -3\nretry:  4\n", 1),
        (b"retry: \xd9\xa3\n", None),
        (b"retry: " + b"9" * 10_000 + b"\n", int("9" * 18)),
        (b"retry: 1" + b"0" * 17 + b"\n", 10**17),
        (b"retry: 1" + b"0" * 18 + b"\n", int("9" * 18)),
        (b"retry: " + b"0" * 20 + b"50\n", 50),
        (b"retry: 000\n", 0),
    ]:
        assert decode(whole(body)).retry == retry


def test_the_last_id_stays_the_last_one() -> None:
    body = b"id: 1\ndata: a\n\ndata: b\n\n"
    for pieces in ([body], [body[:15], body[15:]]):
        assert decode(pieces, eof=False).last_event_id == "1"


def test_a_truncated_event_takes_its_id_with_it() -> None:
    body = b"id: 1\ndata: a\n\nid: 2\ndata: b\n"
    for pieces in every_way(body):
        assert decode(pieces, eof=False).last_event_id == "1"
        assert decode(pieces).last_event_id == "2"


LINE = st.binary(max_size=20).map(lambda line: line.replace(b"\r", b" ").replace(b"\n", b" "))
TYPE = st.text("abcdefghijklmnopqrstuvwxyz_.", max_size=12)


@given(st.lists(st.tuples(st.lists(LINE, min_size=1, max_size=4), TYPE), max_size=5), st.data())
def test_what_is_encoded_is_decoded(
    events: list[tuple[list[bytes], str]], data: st.DataObject
) -> None:
    sent = [(b"\n".join(lines), type_) for lines, type_ in events]
    body = b"".join(encode_sse(payload, type=type_) for payload, type_ in sent)
    items = [ServerSentEvent(payload, type_ or "message") for payload, type_ in sent]
    assert decode(data.draw(cuts(body)), eof=False).items == items


@pytest.mark.parametrize(
    ("data", "wire"),
    [
        (b"", b"data: \n\n"),
        (b"a", b"data: a\n\n"),
        (b" a", b"data:  a\n\n"),
        (b"a\nb", b"data: a\ndata: b\n\n"),
        (b"a\r\nb\rc", b"data: a\ndata: b\ndata: c\n\n"),
        (b"a\n", b"data: a\ndata: \n\n"),
        (b"\n", b"data: \ndata: \n\n"),
        (b"\r", b"data: \ndata: \n\n"),
    ],
)
def test_encode_sse(data: bytes, wire: bytes) -> None:
    assert encode_sse(data) == wire
    assert encode_sse(data, type="ping") == b"event: ping\n" + wire


# The quirks of framing, by their numbers in the list of what real streams do.

FRAMES: dict[str, tuple[bytes, list[SSEItem]]] = {
    "1 CRLF throughout": (b"data: a\r\n\r\ndata: b\r\n\r\n", sse(b"a", b"b")),
    "1 CR throughout": (b"data: a\r\rdata: b\r\r", sse(b"a", b"b")),
    "2 comments before and between events": (
        b": OPENROUTER PROCESSING\n\n:\n: keepalive\n\ndata: a\n\n: ping - 2025\n\ndata: b\n\n",
        sse(b"a", b"b"),
    ),
    "3 runs of blank lines": (b"\n\n\r\n\n\n\ndata: a\n\n\n\n\n", sse(b"a")),
    "4 a failure in a field error:": (
        b'data: a\n\nerror: {"message": "no"}\n\n',
        [*sse(b"a"), UnknownLine(b'error: {"message": "no"}')],
    ),
    "5 pretty-printed JSON without data:": (
        b'data: a\n\n{\n  "error": "no"\n}\n',
        [*sse(b"a"), *map(UnknownLine, (b"{", b'  "error": "no"', b"}"))],
    ),
    "7 events after the terminator": (
        b"data: [DONE]\n\n: cost 1\n\nevent: cost\ndata: 1\n\n",
        [*sse(b"[DONE]"), ServerSentEvent(b"1", "cost")],
    ),
    "9 [DONE] without space, or with one after it": (
        b"data:[DONE]\n\ndata: [DONE] \n\n",
        sse(b"[DONE]", b"[DONE] "),
    ),
    "10 the last blank line is missing": (b"data: a\n\ndata: b\n", sse(b"a", b"b")),
    "10 the last line end is missing": (b"data: a\n\ndata: b", sse(b"a", b"b")),
    "11 no JSON, several data lines, ids, retry alone": (
        b"retry: 5\n\nid: 0\ndata: {\ndata: }\n\nid: 1\ndata: oops\n\n",
        [ServerSentEvent(b"{\n}", "message", "0"), ServerSentEvent(b"oops", "message", "1")],
    ),
    "12 U+2028, U+2029 and U+0085 are data": (
        'data: "a\u2028b\u2029c\u0085d"\n\n'.encode(),
        sse('"a\u2028b\u2029c\u0085d"'.encode()),
    ),
    "13 a BOM first": (BOM + b"data: a\n\n", sse(b"a")),
    "13 characters of several bytes": (
        "data: \u00e9\u6211\U0001f600\n\n".encode(),
        sse("\u00e9\u6211\U0001f600".encode()),
    ),
}


@pytest.mark.parametrize("quirk", FRAMES)
def test_quirk_in_frames(quirk: str) -> None:
    body, items = FRAMES[quirk]
    for pieces in every_way(body):
        assert decode(pieces).items == items


def test_quirk_2_an_error_hidden_in_a_comment() -> None:
    assert decode(whole(b":408: 408 Request Timeout\n")).last_comment == b"408: 408 Request Timeout"


def frame(*payloads: bytes) -> bytes:
    return b"".join(map(encode_sse, payloads))


STOP = chunk("", '"stop"')
HI: list[Event] = [Text("hi"), Finish("stop", "stop")]
TEXT_PLAIN: Headers = [(b"content-type", b"text/plain")]


class Answer(NamedTuple):
    body: bytes
    events: Sequence[Event] = ()
    error: type[Exception] | None = None
    status: int = 200
    headers: Headers = SSE


DONE: list[Event] = [*HI, End("terminator")]
ANSWERS = {
    "1 CRLF": Answer(frame(chunk("hi"), STOP, b"[DONE]").replace(b"\n", b"\r\n"), DONE),
    "3 blank lines first": Answer(b"\n\r\n\n\n" + frame(chunk("hi"), STOP, b"[DONE]"), DONE),
    "4 error:": Answer(
        frame(chunk("hi")) + b'error: {"message": "no", "code": "rate_limit"}\n\n',
        [Text("hi")],
        RateLimited,
    ),
    "5 JSON without data:": Answer(
        frame(chunk("hi")) + b'{\n  "error": {\n    "code": 503\n  }\n}\n', [Text("hi")], Overloaded
    ),
    "6 an error status labelled as a stream": Answer(
        b'{"error": {"message": "no"}}', (), BadRequest, status=400
    ),
    "6 a 500 whose body is a stream": Answer(
        b'event: error\ndata: {"error": {"message": "no"}}\n\n', (), Refused, status=500
    ),
    "6 stream: true ignored": Answer(
        b'{"id": "1", "choices": [{"message": {"content": "hi"}, "finish_reason": "stop"}]}',
        [Start("1", ""), *DONE],
        headers=JSON,
    ),
    "7 a cost record after [DONE]": Answer(
        frame(chunk("hi"), STOP, b"[DONE]", b'{"cost": 1}', b"garbage"), DONE
    ),
    "8 no [DONE]": Answer(frame(chunk("hi"), STOP), [*HI, End("finish")]),
    "8 [DONE] and no finish_reason": Answer(
        frame(chunk("hi"), b"[DONE]"), [Text("hi"), End("terminator")]
    ),
    "8 [DONE] alone": Answer(frame(b"[DONE]"), (), UnexpectedContent),
    "9 data:[DONE]": Answer(frame(chunk("hi"), STOP) + b"data:[DONE] \n\n", DONE),
    "10 no blank line at the end": Answer(
        frame(chunk("hi"), STOP).rstrip(), [*HI, End("finish")], headers=TEXT_PLAIN
    ),
    "10 cut in the last line": Answer(
        frame(chunk("hi")) + b'data: {"choices"',
        [Text("hi"), Unrecognized(b'{"choices"')],
        Truncated,
    ),
    "11 data that is not JSON": Answer(frame(chunk("hi"), b"{oops"), [Text("hi")], Malformed),
    "12 U+2028 in a string": Answer(
        frame(chunk("a\u2028b\u0085"), b"[DONE]"), [Text("a\u2028b\u0085"), End("terminator")]
    ),
    "13 a BOM, and half characters": Answer(
        BOM + frame(chunk(r"\ud83d"), chunk("\ufffd"), b"[DONE]"),
        [Text("\ufffd"), Text("\ufffd"), End("terminator")],
    ),
    "14 br though identity was asked for": Answer(
        b"\x0b\x02\x80", (), UnexpectedContent, headers=[*SSE, (b"content-encoding", b"br")]
    ),
}


@pytest.mark.parametrize("quirk", ANSWERS)
def test_quirk_in_an_answer(quirk: str) -> None:
    case = ANSWERS[quirk]
    outcome = alike(question(), Response(case.body, case.status, case.headers))
    assert outcome.events == list(case.events)
    assert type(outcome.error) is (case.error or type(None))
