"""Whether recordings still are what they were: for our decoder, and for the service."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

from ..protocols.errors import LocalProtocolError
from ..protocols.toolkit.json import is_list, is_object
from ..protocols.toolkit.sse import ServerSentEvent, SSEDecoder, SSEItem
from .cassette import LARGEST, Cassette, Noted, Recording
from .decoding import decoded, provider_of
from .redaction import decoded as plain_body

__all__ = ["checked", "event_changes", "shape_changes", "shape_of"]

_READER = ("left", "timed_out")
"""Outcomes by the reader's own decision, which the bytes do not tell."""


def checked(cassette: Cassette) -> tuple[Cassette, list[str]]:
    """The cassette with what the decoder makes of it now, and how that differs from what was
    noted, a line each. What is in no known format stays as it is."""
    recordings: list[Recording] = []
    differing: list[str] = []
    for question in cassette.questions():
        noted = question[-1].outcome
        now = _noted(cassette, question)
        if now is not None and noted is not None and noted.outcome in _READER:
            now = msgspec.structs.replace(now, outcome=noted.outcome, evidence=noted.evidence)
        if now is not None and noted is not None and now != noted:
            line = question[0].line
            differing += (f"line {line}: {change}" for change in _changes(noted, now))
            question = (*question[:-1], msgspec.structs.replace(question[-1], outcome=now))
        recordings += question
    return msgspec.structs.replace(cassette, recordings=tuple(recordings)), differing


def _noted(cassette: Cassette, question: tuple[Recording, ...]) -> Noted | None:
    provider = next(filter(None, (provider_of(cassette, each) for each in question)), None)
    if provider is None:
        return None
    try:
        return decoded(question, provider).noted
    except LocalProtocolError:
        return None


def _changes(noted: Noted, now: Noted) -> Iterator[str]:
    for name in ("outcome", "evidence"):
        before, after = getattr(noted, name), getattr(now, name)
        if before != after:
            yield f"the {name} was {before or 'none'}, and is now {after or 'none'}"
    for kind in sorted({*noted.events, *now.events}):
        before, after = noted.events.get(kind, 0), now.events.get(kind, 0)
        if before != after:
            yield f"there were {before} events {kind}, and are now {after}"


# Two answers to the same question


def event_changes(one: Cassette, other: Cassette) -> Iterator[str]:
    """How the recordings of two cassettes differ, by events and not by bytes."""
    pairs = [list(each.questions()) for each in (one, other)]
    for number in range(max(map(len, pairs))):
        ours, theirs = (each[number] if number < len(each) else None for each in pairs)
        if ours is None or theirs is None:
            yield f"question {number + 1}: only in the {'second' if ours is None else 'first'}"
            continue
        for change in _question_changes((one, ours), (other, theirs)):
            yield f"question {number + 1}: {change}"


def _question_changes(*sides: tuple[Cassette, tuple[Recording, ...]]) -> Iterator[str]:
    found: list[tuple[Noted, list[Any]]] = []
    for cassette, question in sides:
        provider = next(filter(None, (provider_of(cassette, each) for each in question)), None)
        if provider is None:
            yield "it is in no format that is known"
            return
        now = decoded(question, provider)
        found.append((now.noted, now.events))
    (before, ours), (after, theirs) = found
    yield from _changes(before, after)
    for place, (event, other) in enumerate(zip(ours, theirs, strict=False), 1):
        if event != other:
            yield f"event {place} was {event!r}, and is {other!r}"
            return


def shape_of(recording: Recording) -> dict[str, dict[str, str]]:
    """What a response is made of, without its texts: for each event name the JSON paths in its
    payloads, with their types."""
    found: dict[str, dict[str, str]] = {}
    for name, value in _payloads(recording):
        paths = found.setdefault(name, {})
        for path, kind in _paths(value, ""):
            known = paths.get(path, kind)
            paths[path] = kind if kind in known else f"{known}|{kind}"
    return found


def shape_changes(recorded: Recording, live: Recording) -> list[str]:
    """How the shape of a response has changed: status, content type, and the JSON paths of each
    event. Texts and numbers may be others."""
    changes: list[str] = []
    for name, before, after in (
        ("status", _status(recorded), _status(live)),
        ("content type", _type(recorded), _type(live)),
    ):
        if before != after:
            changes.append(f"the {name} was {before}, and is now {after}")
    old, new = shape_of(recorded), shape_of(live)
    for event in dict.fromkeys((*old, *new)):
        changes += _shape_changes(event, old.get(event, {}), new.get(event, {}))
    return changes


def _shape_changes(
    event: str, before: Mapping[str, str], after: Mapping[str, str]
) -> Iterable[str]:
    where = f" of the event {event}" if event else ""
    for path in dict.fromkeys((*before, *after)):
        if path not in after:
            yield f"{path}{where} is lost ({before[path]})"
        elif path not in before:
            yield f"{path}{where} is new ({after[path]})"
        elif not {*after[path].split("|")} <= {*before[path].split("|")}:
            yield f"{path}{where} was {before[path]}, and is now {after[path]}"


def _status(recording: Recording) -> str:
    return "none" if recording.response is None else str(recording.response.status)


def _type(recording: Recording) -> str:
    headers = () if recording.response is None else recording.response.headers
    found = next((value for name, value in headers if name.lower() == "content-type"), "")
    return found.partition(";")[0].strip().lower() or "none"


def _payloads(recording: Recording) -> Iterator[tuple[str, Any]]:
    """The JSON values of a body, each with the name of its event."""
    body = plain_body(recording)
    if body is None:
        body = recording.body
    texts: list[tuple[str, bytes]] = []
    if _type(recording) == "text/event-stream":
        items: list[SSEItem] = []
        decoder = SSEDecoder(LARGEST)
        decoder.feed(body, items)
        decoder.eof(items)
        texts = [
            (item.type if item.type != "message" else "", item.data)
            for item in items
            if isinstance(item, ServerSentEvent)
        ]
    else:
        texts = [("", line) for line in (body.split(b"\n") if b"\n{" in body else [body])]
    for name, text in texts:
        try:
            value = msgspec.json.decode(text)
        except (ValueError, RecursionError):
            continue
        yield name, value


def _paths(value: Any, path: str) -> Iterator[tuple[str, str]]:
    """Each path in `value`, with its type; `*` is any index."""
    if is_object(value):
        yield path or "/", "object"
        for key, item in value.items():
            yield from _paths(item, f"{path}/{key}")
    elif is_list(value):
        yield path or "/", "array"
        for item in value:
            yield from _paths(item, f"{path}/*")
    else:
        yield path or "/", _KINDS[type(value)]


_KINDS = {str: "string", int: "number", float: "number", bool: "boolean", type(None): "null"}
