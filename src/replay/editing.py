"""New cassettes from old ones, or from bodies and HAR files; and back to those."""

import re
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate, pairwise
from typing import Any

import msgspec

from ..protocols import VERSION
from ..protocols.errors import LocalProtocolError
from ..protocols.toolkit.http import Request, make_headers
from ..protocols.toolkit.json import is_list, is_object
from .cassette import Cassette, Ending, Head, Piece, Recording, Sent
from .decoding import as_request
from .redaction import Redactor, kept_headers

__all__ = ["cut_at", "cut_per_event", "ended_at", "from_body", "from_har", "to_har"]

BY = f"tokenwire/{VERSION} import: the cuts are not known"
_BORDER = re.compile(rb"\r?\n\r?\n|\r\r")


def cut_at(cassette: Cassette, offsets: Sequence[int]) -> Cassette:
    """A cassette whose bodies are cut at these offsets, and nowhere else."""
    return _each(cassette, lambda body: [at for at in offsets if 0 < at < len(body)])


def cut_per_event(cassette: Cassette) -> Cassette:
    """A cassette with a piece for each event of an event stream, or else for each line."""

    def borders(body: bytes) -> list[int]:
        pattern = _BORDER if _BORDER.search(body) else re.compile(rb"\n")
        return [match.end() for match in pattern.finditer(body) if match.end() < len(body)]

    return _each(cassette, borders)


def _each(cassette: Cassette, borders: Callable[[bytes], list[int]]) -> Cassette:
    recordings = (
        msgspec.structs.replace(each, pieces=_cut(each.pieces, borders(each.body)))
        for each in cassette.recordings
    )
    return msgspec.structs.replace(cassette, recordings=tuple(recordings))


def _cut(pieces: Sequence[Piece], borders: Sequence[int]) -> tuple[Piece, ...]:
    """The same bytes in other pieces; each comes when its first byte came."""
    body = b"".join(piece.data for piece in pieces)
    if not body:
        return tuple(pieces)
    starts = [0, *accumulate(len(piece.data) for piece in pieces)]
    times = list(accumulate(piece.after for piece in pieces))
    found: list[Piece] = []
    before, place = 0.0, 0
    for start, stop in pairwise([0, *sorted(set(borders)), len(body)]):
        while starts[place + 1] <= start:
            place += 1
        found.append(Piece(round(times[place] - before, 1), body[start:stop]))
        before = times[place]
    return tuple(found)


def ended_at(cassette: Cassette, offset: int, how: Ending = "eof") -> Cassette:
    """A cassette whose bodies end after `offset` bytes; what was noted of them is left out."""
    recordings: list[Recording] = []
    for recording in cassette.recordings:
        pieces: list[Piece] = []
        left = offset
        for piece in recording.pieces:
            if left:
                pieces.append(Piece(piece.after, piece.data[:left]))
                left = max(0, left - len(piece.data))
        recordings.append(
            msgspec.structs.replace(recording, pieces=tuple(pieces), end=how, outcome=None)
        )
    return msgspec.structs.replace(cassette, recordings=tuple(recordings))


def from_body(
    body: bytes, *, status: int = 200, content_type: str = "text/event-stream", url: str = ""
) -> Cassette:
    """A cassette of one body, as a file has it."""
    head = Head(status, headers=(("content-type", content_type),))
    request = Sent("POST", url or "http://localhost/")
    pieces = (Piece(0, body),) if body else ()
    return Cassette((Recording(request, head, pieces, end="eof"),), by=BY)


# HAR 1.2 (http://www.softwareishard.com/blog/har-12-spec/), as far as it has what a cassette has


def from_har(data: bytes) -> Cassette:
    """A cassette of a HAR file. Secrets are left out as by a recorder. Raises
    LocalProtocolError."""
    try:
        log = msgspec.json.decode(data)["log"]
        return Cassette(tuple(map(_of_entry, log["entries"])), by=BY)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise LocalProtocolError(f"it is no HAR file: {error!r}") from None


def _of_entry(entry: Any) -> Recording:
    asked, answered = entry["request"], entry["response"]
    body = str(asked.get("postData", {}).get("text", "")).encode()
    request = Request(asked["method"], asked["url"], make_headers(_pairs(asked)), body)
    redactor = Redactor(request)
    content = answered["content"]
    data = str(content.get("text", "")).encode()
    if content.get("encoding") == "base64":
        data = b64decode(data)
    headers = kept_headers(
        [(n.lower().encode(), v.encode("latin-1", "replace")) for n, v in _pairs(answered)]
    )
    # What a browser shows was decoded: the headers that are about its coding are no longer true.
    headers = tuple(pair for pair in headers if pair[0] not in _CODING)
    sent = Sent(request.method, redactor.url(), redactor.headers(), redactor.body())
    pieces = redactor.pieces([Piece(0, data)] if data else [])
    after = round(max(0.0, float(entry.get("timings", {}).get("wait", 0))), 1)
    head = Head(int(answered["status"]), headers=headers, after=after)
    return Recording(sent, head, pieces, end="eof")


_CODING = ("content-encoding", "content-length", "transfer-encoding")


def _pairs(message: Any) -> Iterator[tuple[str, str]]:
    headers = message["headers"]
    for each in headers if is_list(headers) else []:
        if is_object(each) and not str(each["name"]).startswith(":"):  # of HTTP/2
            yield str(each["name"]), str(each["value"])


def to_har(cassette: Cassette) -> bytes:
    """A HAR file of a cassette: the cuts are lost, and the times but for the first."""
    entries = [_entry(recording, cassette.recorded) for recording in cassette.recordings]
    creator = {"name": "tokenwire", "version": VERSION}
    return msgspec.json.encode({"log": {"version": "1.2", "creator": creator, "entries": entries}})


def _entry(recording: Recording, recorded: str) -> dict[str, Any]:
    sent, head = recording.request, recording.response
    waited = 0.0 if head is None else head.after
    received = sum(piece.after for piece in recording.pieces) + recording.end_after
    body = as_request(recording).body
    post = {"postData": {"mimeType": "application/json", "text": body.decode("latin-1")}}
    return {
        "startedDateTime": recorded,
        "time": round(waited + received, 1),
        "request": {
            "method": sent.method,
            "url": sent.url,
            "httpVersion": "HTTP/1.1",
            "headers": [{"name": n, "value": v} for n, v in sent.headers.items()],
            "queryString": [],
            "cookies": [],
            "headersSize": -1,
            "bodySize": len(body),
            **(post if body else {}),
        },
        "response": {
            "status": 0 if head is None else head.status,
            "statusText": "",
            "httpVersion": "HTTP/1.1",
            "headers": [] if head is None else [{"name": n, "value": v} for n, v in head.headers],
            "cookies": [],
            "content": {
                "size": len(recording.body),
                "mimeType": "" if head is None else dict(head.headers).get("content-type", ""),
                "text": b64encode(recording.body).decode(),
                "encoding": "base64",
            },
            "redirectURL": "",
            "headersSize": -1,
            "bodySize": len(recording.body),
        },
        "cache": {},
        "timings": {"send": 0, "wait": waited, "receive": round(received, 1)},
        "comment": f"the response ended by: {recording.end}",
    }
