"""Whether recordings still hold."""

from collections.abc import Sequence

import msgspec
import pytest

from tests.replay.taping import cassette, recording
from tests.replay.test_redaction import gzipped
from tokenwire.protocols.errors import LocalProtocolError
from tokenwire.protocols.provider import Provider
from tokenwire.replay import checking
from tokenwire.replay.cassette import Cassette, Head, Noted, Piece, Recording, Sent
from tokenwire.replay.checking import checked, event_changes, shape_changes, shape_of
from tokenwire.replay.decoding import Decoded, decoded

RIGHT = Noted("complete", "terminator", {"end": 1, "finish": 1, "start": 1, "text": 5})


def noted(outcome: Noted, **changes: object) -> Cassette:
    return cassette(msgspec.structs.replace(recording(), outcome=outcome, **changes))


def test_what_is_as_noted() -> None:
    assert checked(noted(RIGHT)) == (noted(RIGHT), [])
    assert checked(cassette()) == (cassette(), [])


def test_what_is_not() -> None:
    found, changes = checked(noted(Noted("truncated", "", {"text": 5, "image": 1})))
    assert found == noted(RIGHT)
    assert changes == [
        "line 0: the outcome was truncated, and is now complete",
        "line 0: the evidence was none, and is now terminator",
        "line 0: there were 0 events end, and are now 1",
        "line 0: there were 0 events finish, and are now 1",
        "line 0: there were 1 events image, and are now 0",
        "line 0: there were 0 events start, and are now 1",
    ]


def test_what_the_reader_decided_stays() -> None:
    left = Noted("left", "", {"start": 1, "text": 3})
    one = msgspec.structs.replace(recording(upto=700, end="left"), outcome=left)
    assert checked(cassette(one))[1] == []


def test_what_nobody_can_decode(monkeypatch: pytest.MonkeyPatch) -> None:
    strange = Cassette((Recording(Sent("GET", "http://a/things"), outcome=Noted("complete")),))
    assert checked(strange) == (strange, [])

    def fail(*_: object) -> None:
        raise LocalProtocolError("nobody can be asked this")

    monkeypatch.setattr(checking, "decoded", fail)
    assert checked(noted(RIGHT)) == (noted(RIGHT), [])


def test_a_rule_that_is_broken_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    real = decoded

    def without_finish(question: Sequence[Recording], provider: Provider) -> Decoded:
        found = real(question, provider)
        return found._replace(noted=Noted("truncated", "", found.noted.events))

    monkeypatch.setattr(checking, "decoded", without_finish)
    assert len(checked(noted(RIGHT))[1]) == 2


def test_two_recordings() -> None:
    one = recording()
    assert list(event_changes(cassette(one), cassette(recording((7, 1))))) == []
    other = msgspec.structs.replace(one, pieces=(Piece(0, one.body.replace(b'"It"', b'"Is"')),))
    (change,) = event_changes(cassette(one), cassette(other))
    assert change.startswith("question 1: event 2 was Text(text='It'")
    assert list(event_changes(cassette(one, one), cassette(one))) == [
        "question 2: only in the first"
    ]
    assert list(event_changes(cassette(one), cassette(one, one))) == [
        "question 2: only in the second"
    ]
    strange = Cassette((Recording(Sent("GET", "http://a/things")),))
    assert list(event_changes(strange, strange)) == ["question 1: it is in no format that is known"]


def answer(
    body: bytes, kind: str = "text/event-stream; charset=utf-8", status: int = 200
) -> Recording:
    head = Head(status, headers=(("Content-Type", kind),))
    return Recording(Sent("POST", "http://a/"), head, (Piece(0, body),), end="eof")


def test_shapes_of_event_streams() -> None:
    before = answer(
        b'event: a\ndata: {"x": 1, "y": [{"z": "t"}, {"z": null}], "w": true}\n\n'
        b'data: {"x": "only"}\n\ndata: [DONE]\n\n'
    )
    assert shape_of(before) == {
        "a": {
            "/": "object",
            "/x": "number",
            "/y": "array",
            "/y/*": "object",
            "/y/*/z": "string|null",
            "/w": "boolean",
        },
        "": {"/": "object", "/x": "string"},
    }
    after = answer(
        b'event: a\ndata: {"x": "2", "y": [{"z": "other"}], "new": {}}\n\n'
        b'data: {"x": "words"}\n\ndata: [DONE]\n\n'
    )
    assert shape_changes(before, after) == [
        "/x of the event a was number, and is now string",
        "/w of the event a is lost (boolean)",
        "/new of the event a is new (object)",
    ]
    assert shape_changes(before, before) == []


def test_shapes_of_other_bodies() -> None:
    lines = answer(b'{"a": 1}\n{"a": 2.5}\n', "application/x-ndjson")
    assert shape_of(lines) == {"": {"/": "object", "/a": "number"}}
    whole = answer(b'{"a": [1]}', "application/json")
    assert shape_changes(lines, msgspec.structs.replace(whole, response=Head(500))) == [
        "the status was 200, and is now 500",
        "the content type was application/x-ndjson, and is now none",
        "/a was number, and is now array",
        "/a/* is new (number)",
    ]
    assert shape_of(gzipped(b'{"a": 1}')) == {"": {"/": "object", "/a": "number"}}
    assert shape_of(answer(b"[1]", "application/json")) == {"": {"/": "array", "/*": "number"}}
    nothing = Recording(Sent("GET", "http://a/"))
    assert shape_changes(nothing, nothing) == []
