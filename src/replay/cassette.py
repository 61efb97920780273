"""A cassette: recorded requests and responses, as values and as the lines of a file.

The file is JSON Lines in UTF-8. The first line says what it is; then each line is one thing:

| line | meaning |
|---|---|
| `{"cassette": 1, ...}` | the first line, with the version of the format |
| `{"request": {...}}` | a request begins |
| `{"response": {...}}` | the head of its response, `after` ms |
| `[20.5, "data: ..."]` | a piece of the body: ms since the line before, then its bytes |
| `[0, "..."]` | a piece that came by the same read as the one before it |
| `{"trailers": [[name, value]]}` | trailers of a chunked body |
| `{"end": "eof", "after": 1.2}` | how the response ended |
| `{"outcome": "complete", ...}` | what the decoder made of the question that ends here |

Bytes that are not UTF-8 are `{"hex": "c3"}` among the texts of a piece, or all of it is
`{"b64": "..."}`. A line that begins with `#` is a comment.
"""

import os
import re
from base64 import b64decode, b64encode
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

import msgspec
from msgspec import Meta

from ..protocols.errors import LocalProtocolError
from ..protocols.toolkit.json import is_list, is_object

__all__ = [
    "BadCassette",
    "Body",
    "Cassette",
    "Ending",
    "Framing",
    "Head",
    "Noted",
    "Piece",
    "Recording",
    "Sent",
    "body_of",
    "decode",
    "encode",
    "load",
    "save",
]

VERSION = 1
LARGEST = 64 * 1024 * 1024
"""Bytes of a file that is loaded, and of a response that is recorded."""
LINES = 1_000_000

Ending: TypeAlias = Literal["eof", "disconnect", "reset", "timeout", "left", "clipped", "unreached"]
"""How a response ended. `eof`: complete, as HTTP says; `disconnect`: the connection was closed
before that, `reset`: by a reset; `timeout`: the reader's clock ran out; `left`: the reader went;
`clipped`: it was too large for the recorder; `unreached`: there was no connection."""

Framing: TypeAlias = Literal["chunked", "length", "close", ""]
"""How HTTP says where a body ends: by chunks, a length, the end of the connection; empty: unknown,
or not by HTTP/1."""

Body: TypeAlias = Any
"""The body of a request: a JSON object or array, text, bytes that are no text, or None."""

Millis: TypeAlias = Annotated[float, Meta(ge=0, le=1e12)]


class BadCassette(LocalProtocolError):
    """A file is not a cassette that can be read, or not one that can be played back."""


class Sent(msgspec.Struct, frozen=True, omit_defaults=True):
    """A request, without secrets."""

    method: str
    url: str
    headers: dict[str, str] = {}
    body: Body = None


class Head(msgspec.Struct, frozen=True, omit_defaults=True):
    """The head of a response, without secrets. `after`: ms since the request was sent."""

    status: Annotated[int, Meta(ge=200, le=999)]
    http: str = ""
    framing: Framing = ""
    headers: tuple[tuple[str, str], ...] = ()
    after: Millis = 0


class Piece(msgspec.Struct, frozen=True):
    """Some bytes of a body. `after`: ms since the line before; 0: they came by the same read."""

    after: float
    data: bytes


class Noted(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the decoder made of an answer: the outcome in a word, the evidence, and how many events
    there were of each kind."""

    outcome: str
    evidence: str = ""
    events: dict[str, int] = {}


class Recording(msgspec.Struct, frozen=True):
    """One request, and its response as far as it came. `outcome` is that of a question, and stands
    at its last request; a question may have several, as retries are requests, too. `line`: where
    the request stands in the file."""

    request: Sent
    response: Head | None = None
    pieces: tuple[Piece, ...] = ()
    trailers: tuple[tuple[str, str], ...] = ()
    end: Ending = "left"
    end_after: float = 0
    outcome: Noted | None = None
    line: int = 0

    @property
    def body(self) -> bytes:
        """The body of the response, as it came."""
        return b"".join(piece.data for piece in self.pieces)


class Cassette(msgspec.Struct, frozen=True):
    """The recordings of a file. `recorded` is an ISO time in UTC, `by` the program and what it
    can't see."""

    recordings: tuple[Recording, ...] = ()
    provider: str = ""
    recorded: str = ""
    by: str = ""
    title: str = ""

    def questions(self) -> Iterator[tuple[Recording, ...]]:
        """The recordings, those of one question together: they end where an outcome is noted."""
        together: list[Recording] = []
        for recording in self.recordings:
            together.append(recording)
            if recording.outcome is not None:
                yield tuple(together)
                together.clear()
        for recording in together:  # nothing says that they belong together
            yield (recording,)


# Files


def load(path: str | os.PathLike[str]) -> Cassette:
    """The cassette in a file. Raises BadCassette."""
    try:
        with open(path, "rb") as file:
            data = file.read(LARGEST + 1)
    except OSError as error:
        raise BadCassette(f"{os.fspath(path)} can't be read: {error.strerror}") from None
    return decode(data, os.fspath(path))


def save(cassette: Cassette, path: str | os.PathLike[str], *, private: bool = False) -> None:
    """Write a file beside, then rename it: there is never half a cassette. `private`: only the
    user may read it. Raises LocalProtocolError."""
    target = Path(path)
    beside = target.with_name(f".{target.name}.{os.urandom(4).hex()}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
        with open(os.open(beside, flags, 0o600 if private else 0o666), "wb") as file:
            file.write(encode(cassette))
        os.replace(beside, target)
    except OSError as error:
        with suppress(OSError):
            beside.unlink()
        raise LocalProtocolError(f"{target} can't be written: {error.strerror}") from None


# Writing


def encode(cassette: Cassette) -> bytes:
    """The file of `cassette`."""
    return b"".join(line + b"\n" for line in _lines(cassette))


def _lines(cassette: Cassette) -> Iterator[bytes]:
    write = msgspec.json.encode
    about = {"cassette": VERSION}
    for name in ("provider", "recorded", "by", "title"):
        if value := getattr(cassette, name):
            about[name] = value
    yield write(about)
    for recording in cassette.recordings:
        yield write({"request": _sent(recording.request)})
        if recording.response is not None:
            after = _millis(recording.response.after)
            yield write({"response": msgspec.structs.replace(recording.response, after=after)})
        for piece in recording.pieces:
            yield write([_millis(piece.after), *_texts(piece.data)])
        if recording.trailers:
            yield write({"trailers": recording.trailers})
        yield write({"end": recording.end} | _after(recording.end_after))
        if recording.outcome is not None:
            yield write(recording.outcome)


def _sent(request: Sent) -> Sent:
    body = request.body
    if isinstance(body, bytes):
        body = {"b64": b64encode(body).decode()}
    return msgspec.structs.replace(request, body=body)


def _after(millis: float) -> dict[str, float]:
    return {"after": _millis(millis)} if millis else {}


def _millis(millis: float) -> float:
    """With one digit, and as a whole number if it is one."""
    rounded = round(millis, 1)
    return int(rounded) if rounded == int(rounded) else rounded


def _texts(data: bytes) -> Iterator[str | dict[str, str]]:
    """`data` as texts, and what is no text between them."""
    runs = list(_runs(data))
    if sum(len(run) for run in runs if isinstance(run, bytes)) > len(data) // 8 + 8:
        yield {"b64": b64encode(data).decode()}
        return
    for run in runs:
        yield run if isinstance(run, str) else {"hex": run.hex()}


def _runs(data: bytes) -> Iterator[str | bytes]:
    """Longest texts, and the bytes between them."""
    for match in _RUN.finditer(data.decode("utf-8", "surrogateescape")):
        run = match[0]
        yield run.encode("utf-8", "surrogateescape") if "\udc80" <= run[0] <= "\udcff" else run


# What is no UTF-8 is decoded to surrogates, which UTF-8 itself can't say.
_RUN = re.compile("[\udc80-\udcff]+|[^\udc80-\udcff]+")


def body_of(data: bytes) -> Body:
    """The bytes of a body as a cassette has them: a JSON object or array as its value, other text
    as it is. So two bodies can be compared as values."""
    if not data:
        return None
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return data
    try:
        value = msgspec.json.decode(data)
        same = msgspec.json.decode(msgspec.json.encode(value)) == value
    except (ValueError, RecursionError, OverflowError):
        return text
    if same and (is_list(value) or (is_object(value) and value.keys() != {"b64"})):
        return value
    return text


# Reading


class _Line(msgspec.Struct):
    """A line that is an object: the key that is there says which."""

    cassette: Annotated[int, Meta(ge=1)] | None = None
    provider: str = ""
    recorded: str = ""
    by: str = ""
    title: str = ""
    request: Sent | None = None
    response: Head | None = None
    trailers: tuple[tuple[str, str], ...] | None = None
    end: Ending | None = None
    after: Millis = 0
    outcome: str | None = None
    evidence: str = ""
    events: dict[str, int] = {}


class _Strange(msgspec.Struct, forbid_unknown_fields=True):
    hex: str = ""
    b64: str = ""


_line = msgspec.json.Decoder(_Line)


def decode(data: bytes, name: str = "the cassette") -> Cassette:
    """The cassette in `data`, the content of the file `name`. Raises BadCassette, which names the
    line."""
    if len(data) > LARGEST:
        raise BadCassette(f"{name}: it has more than {LARGEST} bytes")
    lines = data.split(b"\n")
    if len(lines) > LINES:
        raise BadCassette(f"{name}: it has more than {LINES} lines")
    reader = _Reader()
    for number, line in enumerate(lines, 1):
        text = line.strip()
        if not text or text.startswith(b"#"):
            continue
        try:
            reader.read(text, number)
        except (ValueError, RecursionError) as error:
            raise BadCassette(f"{name}, line {number}: {error}") from None
    try:
        return reader.cassette()
    except ValueError as error:
        raise BadCassette(f"{name}, line {len(lines)}: {error}") from None


class _Reader:
    """Makes a cassette of lines. Raises ValueError for what is not right there."""

    def __init__(self) -> None:
        self._about: _Line | None = None
        self._done: list[Recording] = []
        self._request: Sent | None = None  # of the recording that is not complete
        self._line = 0
        self._response: Head | None = None
        self._pieces: list[Piece] = []
        self._trailers: tuple[tuple[str, str], ...] = ()

    def read(self, text: bytes, number: int) -> None:
        if text.startswith(b"["):
            self._take_piece(text)
            return
        line = _line.decode(text)
        if self._about is None:
            if line.cassette is None:
                raise ValueError('the first line of a cassette has "cassette": 1')
            if line.cassette > VERSION:
                raise ValueError(f"version {line.cassette} is newer than this tokenwire knows")
            self._about = line
        elif line.request is not None:
            self._expect(self._request is None, "the request before it has no end")
            self._request, self._line = _received(line.request), number
        elif line.response is not None:
            self._expect(self._request is not None, "a response needs a request before it")
            self._expect(self._response is None, "this request has a response already")
            self._response = line.response
        elif line.trailers is not None:
            self._expect(self._response is not None, "trailers need a response before them")
            self._trailers = line.trailers
        elif line.end is not None:
            self._take_end(line.end, line.after)
        elif line.outcome is not None:
            self._expect(bool(self._done) and self._request is None, "an outcome follows an end")
            noted = Noted(line.outcome, line.evidence, line.events)
            self._done[-1] = msgspec.structs.replace(self._done[-1], outcome=noted)
        else:
            raise ValueError("a line of an unknown kind")

    def cassette(self) -> Cassette:
        if self._about is None:
            raise ValueError("there is no line")
        self._expect(self._request is None, "the last request has no end")
        about = self._about
        return Cassette(tuple(self._done), about.provider, about.recorded, about.by, about.title)

    def _take_piece(self, text: bytes) -> None:
        self._expect(self._response is not None, "a piece needs a response before it")
        value = msgspec.json.decode(text)
        after, texts = msgspec.convert((value[0] if value else None, value[1:]), _PIECE)
        self._pieces.append(Piece(after, b"".join(map(_bytes, texts))))

    def _take_end(self, end: Ending, after: float) -> None:
        if self._request is None:
            raise ValueError("an end needs a request before it")
        self._done.append(
            Recording(
                self._request,
                self._response,
                tuple(self._pieces),
                self._trailers,
                end,
                after,
                line=self._line,
            )
        )
        self._request = self._response = None
        self._pieces.clear()
        self._trailers = ()

    def _expect(self, right: bool, otherwise: str) -> None:
        if not right:
            raise ValueError(otherwise)


_PIECE = tuple[Millis, tuple[str | _Strange, ...]]


def _bytes(part: str | _Strange) -> bytes:
    if isinstance(part, str):
        return part.encode()
    return bytes.fromhex(part.hex) + b64decode(part.b64, validate=True)


def _received(request: Sent) -> Sent:
    body = request.body
    if is_object(body) and body.keys() == {"b64"}:
        body = b64decode(str(body["b64"]), validate=True)
    return msgspec.structs.replace(request, body=body)
