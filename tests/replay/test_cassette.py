"""The file: lines and values."""

import os
from contextlib import suppress
from pathlib import Path
from typing import get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.replay.taping import cassette, recording, write
from tokenwire import LocalProtocolError
from tokenwire.replay import cassette as module
from tokenwire.replay.cassette import (
    BadCassette,
    Cassette,
    Ending,
    Framing,
    Head,
    Noted,
    Piece,
    Recording,
    Sent,
    body_of,
    decode,
    encode,
    load,
    save,
)

HEADER = '{"cassette":1}'
REQUEST = '{"request":{"method":"POST","url":"http://a/"}}'
RESPONSE = '{"response":{"status":200}}'

millis = st.integers(0, 10**7).map(lambda tenths: tenths / 10)
texts = st.text(max_size=8)
pairs = st.lists(st.tuples(texts, texts), max_size=2).map(tuple)
json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=4,
)
bodies = st.binary(max_size=12) | json.map(msgspec.json.encode)


@st.composite
def recordings(draw: st.DrawFn) -> Recording:
    head = Head(
        draw(st.integers(200, 999)),
        draw(st.sampled_from(("", "1.0", "1.1"))),
        draw(st.sampled_from(get_args(Framing))),
        draw(pairs),
        draw(millis),
    )
    begun = draw(st.booleans())
    piece = st.builds(Piece, millis, st.binary(min_size=1, max_size=12) | texts.map(str.encode))
    events = st.dictionaries(texts, st.integers(0, 9), max_size=2)
    return Recording(
        Sent(
            draw(texts),
            draw(texts),
            draw(st.dictionaries(texts, texts, max_size=2)),
            body_of(draw(bodies)),
        ),
        head if begun else None,
        tuple(draw(st.lists(piece, max_size=4))) if begun else (),
        draw(pairs) if begun else (),
        draw(st.sampled_from(get_args(Ending))),
        draw(millis),
        draw(st.none() | st.builds(Noted, texts, texts, events)),
    )


@given(st.lists(recordings(), max_size=3).map(tuple), st.tuples(texts, texts, texts, texts))
def test_a_file_says_what_the_values_do(
    found: tuple[Recording, ...], about: tuple[str, str, str, str]
) -> None:
    made = Cassette(found, *about)
    read = decode(encode(made))
    lines = tuple(msgspec.structs.replace(each, line=0) for each in read.recordings)
    assert msgspec.structs.replace(read, recordings=lines) == made


@given(st.binary(max_size=60) | texts.map(lambda text: f"{HEADER}\n{text}".encode()))
def test_any_bytes_are_a_cassette_or_a_bad_one(data: bytes) -> None:
    with suppress(BadCassette):
        decode(data)


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b"", None),
        (b'{"a": 1.50}', {"a": 1.5}),
        (b"[1]", [1]),
        (b'"text"', '"text"'),
        (b'{"b64": "YQ=="}', '{"b64": "YQ=="}'),
        (b"a=1", "a=1"),
        (b"\xff", b"\xff"),
        (b'{"a": 1', '{"a": 1'),
        (b"[" * 9000, "[" * 9000),
    ],
)
def test_bodies(body: bytes, value: object) -> None:
    assert body_of(body) == value


def test_the_lines() -> None:
    one = Recording(
        Sent("POST", "http://a/x", {"accept": "*/*"}, {"q": "é"}),
        Head(200, "1.1", "chunked", (("server", "s"),), 312.44),
        (
            Piece(20.5, b"data: caf\xc3"),
            Piece(0, b'\xa9"\n\n'),
            Piece(3, bytes(range(128, 160))),
        ),
        (("x", "y"),),
        "eof",
        1.25,
        Noted("complete", "terminator", {"text": 2}),
    )
    assert encode(Cassette((one,), "openai", "2026-11-29T09:30:00Z", "us", "t")).decode() == (
        '{"cassette":1,"provider":"openai","recorded":"2026-11-29T09:30:00Z","by":"us","title":"t"}\n'
        '{"request":{"method":"POST","url":"http://a/x","headers":{"accept":"*/*"},'
        '"body":{"q":"é"}}}\n'
        '{"response":{"status":200,"http":"1.1","framing":"chunked",'
        '"headers":[["server","s"]],"after":312.4}}\n'
        '[20.5,"data: caf",{"hex":"c3"}]\n'
        '[0,{"hex":"a9"},"\\"\\n\\n"]\n'
        '[3,{"b64":"gIGCg4SFhoeIiYqLjI2Oj5CRkpOUlZaXmJmam5ydnp8="}]\n'
        '{"trailers":[["x","y"]]}\n'
        '{"end":"eof","after":1.2}\n'
        '{"outcome":"complete","evidence":"terminator","events":{"text":2}}\n'
    )


def test_comments_blank_lines_and_unknown_keys() -> None:
    text = f"# mine\n{HEADER}\n\n{REQUEST[:-1]}," + '"x":1}\n{"end":"left","new":2}\n'
    assert decode(text.encode()).recordings[0].line == 4


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ((), "line 1: there is no line"),
        ((REQUEST,), 'line 1: the first line of a cassette has "cassette": 1'),
        (('{"cassette":2}',), "line 1: version 2 is newer"),
        ((HEADER, REQUEST[:20]), "line 2: Input data was truncated"),
        ((HEADER, "{}"), "line 2: a line of an unknown kind"),
        ((HEADER, REQUEST, REQUEST), "line 3: the request before it has no end"),
        ((HEADER, RESPONSE), "line 2: a response needs a request"),
        ((HEADER, REQUEST, RESPONSE, RESPONSE), "line 4: this request has a response"),
        ((HEADER, REQUEST, '[1,"a"]'), "line 3: a piece needs a response"),
        ((HEADER, REQUEST, RESPONSE, '[-1,"a"]'), "line 4: Expected `float` >= 0"),
        ((HEADER, REQUEST, RESPONSE, "[]"), "line 4: Expected `float`, got `null`"),
        ((HEADER, REQUEST, RESPONSE, '[1,{"hex":"x"}]'), "line 4: non-hexadecimal"),
        ((HEADER, REQUEST, RESPONSE, '[1,{"b64":"x"}]'), "line 4: "),
        ((HEADER, REQUEST, '{"trailers":[]}'), "line 3: trailers need a response"),
        ((HEADER, '{"end":"eof"}'), "line 2: an end needs a request"),
        ((HEADER, REQUEST, '{"end":"soon"}'), "line 3: Invalid enum value"),
        ((HEADER, '{"outcome":"complete"}'), "line 2: an outcome follows an end"),
        ((HEADER, REQUEST), "line 3: the last request has no end"),
    ],
)
def test_a_file_that_is_not_right(tmp_path: Path, lines: tuple[str, ...], words: str) -> None:
    with pytest.raises(BadCassette) as caught:
        load(write(tmp_path / "x.jsonl", *lines))
    assert str(caught.value).startswith(f"{tmp_path / 'x.jsonl'}, {words}")


def test_a_body_that_is_no_text_survives() -> None:
    sent = Sent("POST", "http://a/", {}, b"\xff\xfe")
    read = decode(encode(Cassette((Recording(sent),))))
    assert read.recordings[0].request == sent


def test_large_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = write(tmp_path / "x.jsonl", HEADER, "", "")
    monkeypatch.setattr(module, "LINES", 3)
    with pytest.raises(BadCassette, match="more than 3 lines"):
        load(path)
    monkeypatch.setattr(module, "LARGEST", 10)
    with pytest.raises(BadCassette, match="more than 10 bytes"):
        load(path)


def test_files_that_can_not_be_read_or_written(tmp_path: Path) -> None:
    with pytest.raises(BadCassette, match=r"none\.jsonl can't be read: No such file"):
        load(tmp_path / "none.jsonl")
    (tmp_path / "folder").mkdir()
    with pytest.raises(LocalProtocolError, match="folder can't be written"):
        save(cassette(), tmp_path / "folder")
    assert os.listdir(tmp_path) == ["folder"]
    blocked = write(tmp_path / "file", "")
    with pytest.raises(LocalProtocolError, match="can't be written"):
        save(cassette(), blocked / "x.jsonl")


def test_a_file_is_whole_or_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "deep" / "x.jsonl"
    save(cassette(), path)
    before = path.read_bytes()
    assert path.stat().st_mode & 0o777 == 0o666 & ~_umask()

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(LocalProtocolError, match="No space left"):
        save(cassette(recording((3,))), path)
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == ["x.jsonl"]
    monkeypatch.undo()
    save(cassette(), path, private=True)
    assert path.stat().st_mode & 0o777 == 0o600


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_questions() -> None:
    one, noted = recording(), msgspec.structs.replace(recording(), outcome=Noted("complete"))
    assert list(Cassette((one, noted, one, one)).questions()) == [(one, noted), (one,), (one,)]
