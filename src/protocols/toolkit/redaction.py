"""Takes secrets out of what is shown: an error and all that hangs on it, a repr, a warning.

A server may send a secret back in any spelling, and our own limits may cut it in two. So a text is
read again and again, each time with one layer of escapes undone, and no reading may have a run of
`RUN` characters in common with a secret.
"""

import re
from base64 import b64encode, urlsafe_b64encode
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property, lru_cache
from typing import Any, TypeAlias, cast

import msgspec

from ..errors import EXCERPT, RemoteProtocolError, TokenwireError

__all__ = ["conceal", "places", "redact"]

RUN = 8
"""Characters of a secret that are never shown together; of a shorter one it is all of them."""

BLANK = "[secret]"

SHORTEST = 4
"""Characters of the shortest secret: to look for shorter ones would garble everything."""

_LAYERS = 8
"""How many layers of escapes are undone."""

_DEPTH = 24
"""How deep a value is looked through. A server's JSON may be nested deeper than Python's stack."""

_QUOTED = 64 * 1024
"""Bytes of offending input that are looked through: escapes may be longer than what is kept."""

# Anything that looks like a credential is removed even if it is not the one that was sent: servers
# quote headers and keys of their own upstreams.
_CREDENTIAL = re.compile(r"(?i)\b(?:bearer\s+|sk-)([A-Za-z0-9._~+/=-]{8,})")

# One escaped character: of JSON, Python and JavaScript, of a URL, of HTML. All the backslashes in
# front of one count as one, since JSON in JSON doubles them.
_ESCAPE = re.compile(
    r"""\\+ (?: u\{ (?P<braced>[0-9a-f]{1,32}) \} | u (?P<long>000[0-9a-f]{5})
              | u (?P<four>[0-9a-f]{4}) | x (?P<two>[0-9a-f]{2}) | (?P<octal>[0-3][0-7]{2})
              | (?P<plain>.) )
      | % (?P<percent>[0-9a-f]{2})
      | & (?: \#[0-9]{1,32} | \#x[0-9a-f]{1,32} | [a-z][a-z0-9]{1,31} ) ;?""",
    re.VERBOSE | re.IGNORECASE | re.DOTALL,
)

Span: TypeAlias = tuple[int, int]
_Leaf: TypeAlias = Callable[[tuple[str, ...], str], str]


def redact(text: str, secrets: Iterable[str]) -> str:
    """`text` without the `secrets`, and without what looks like an API key."""
    return _Finder(secrets).without([text])[0]


def places(text: str, secrets: Iterable[str]) -> list[Span]:
    """Where `text` has one of the `secrets`, all of it, in any spelling."""
    spelled = [
        reading.text for s in secrets for form, _ in _forms(s) for reading in _readings(form)
    ]
    forms = {_folded(form) for form in spelled if len(form) >= SHORTEST}
    return _merged(
        reading.origin(*span)
        for reading in _readings(text)
        for folded in (_folded(reading.text),)
        for form in forms
        for span in _occurrences(form, folded)
    )


def _occurrences(form: str, text: str) -> Iterator[Span]:
    at = text.find(form)
    while at >= 0:
        yield at, at + len(form)
        at = text.find(form, at + 1)


def conceal(error: TokenwireError, secrets: Iterable[str]) -> None:
    """Take `secrets` out of `error`, its notes, its `answer`, its causes and contexts; and
    shorten the `data` of each to `EXCERPT` bytes.

    An error of another library that shows a secret can't be changed, and is dropped.
    """
    finder = _Finder(secrets)
    chain: list[BaseException] = [error]
    for each in chain:  # which grows
        if isinstance(each, TokenwireError):
            _conceal(each, finder)
        for link in ("__cause__", "__context__"):
            other: BaseException | None = getattr(each, link)
            if other is None or any(other is known for known in chain):
                continue
            if isinstance(other, TokenwireError) or not _shows(other, finder):
                chain.append(other)
            else:
                setattr(each, link, None)


def _conceal(error: TokenwireError, finder: "_Finder") -> None:
    if isinstance(error, RemoteProtocolError):
        error.data = error.data[:_QUOTED]
    _change(error, finder)
    if isinstance(error, RemoteProtocolError) and len(error.data) > EXCERPT:
        error.data = error.data[:EXCERPT] + b"..."


def _shows(error: BaseException, finder: "_Finder") -> bool:
    shown = f"{error}\n{error!r}\n{error.args!r}\n{vars(error)!r}"
    return finder.without([shown]) != [shown]


class _Finder:
    """Finds `secrets` in texts."""

    def __init__(self, secrets: Iterable[str]) -> None:
        self._runs: dict[int, set[str]] = {}  # by their size
        self._short: set[str] = set()  # those too short to have a block, wherever they stand
        self._blocks: set[int] = set()
        for secret in {*secrets}:
            for form, run in _forms(secret):
                for reading in _readings(form):
                    self._add(_folded(reading.text), run)

    def _add(self, form: str, run: int) -> None:
        size = min(run, len(form))
        if size >= 2 * _BLOCK:
            runs = (form[start : start + size] for start in range(len(form) - size + 1))
            self._runs.setdefault(size, set()).update(runs)
            for start in range(_BLOCK):
                self._blocks.update(_blocks(form[start:]))
        elif size >= SHORTEST:
            self._short.add(form)

    def without(self, pieces: list[str]) -> list[str]:
        """The `pieces` of one text without the secrets in it."""
        text = "".join(pieces)
        spans = _merged(span for reading in _readings(text) for span in self._spans(reading))
        if not spans:
            return pieces
        left: list[str] = []
        start = 0
        for piece in pieces:
            within = _within(spans, start, start + len(piece))
            left.append(_blanked(piece, [(a - start, b - start) for a, b in within]))
            start += len(piece)
        return left

    def _spans(self, reading: "_Reading") -> list[Span]:
        text = _folded(reading.text)
        found = [span for short in self._short for span in _occurrences(short, text)]
        # Each run has at least one block that is in the text a whole one, too.
        hits = [at for at, block in enumerate(_blocks(text)) if block in self._blocks]
        for size, runs in self._runs.items():
            for at in hits:
                stop = (at + 1) * _BLOCK
                places = range(max(stop - size, 0), min(stop - _BLOCK, len(text) - size) + 1)
                found += [(at, at + size) for at in places if text[at : at + size] in runs]
        found = _merged(found)
        alike = [
            match.span(1)
            for match in _CREDENTIAL.finditer(reading.text)
            if not _within(found, *match.span())  # it would take what follows a secret, too
        ]
        return [reading.origin(*span) for span in (*found, *alike)]


_BLOCK = 4
"""Characters that are compared at once, for speed: an answer may have millions."""


def _blocks(text: str) -> memoryview:
    """The whole blocks of `text`, as numbers. Characters outside of Latin-1 are all the same."""
    data = text.encode("latin-1", "replace")
    return memoryview(data)[: len(data) // _BLOCK * _BLOCK].cast("I")


def _merged(spans: Iterable[Span]) -> list[Span]:
    """`spans` in their order; those that touch are one."""
    merged: list[Span] = []
    for start, end in sorted(spans):
        if merged and start <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(end, merged[-1][1])
        else:
            merged.append((start, end))
    return merged


def _within(spans: list[Span], start: int, stop: int) -> list[Span]:
    """Those of `spans`, which are merged, that have something between `start` and `stop`."""
    first = bisect_right(spans, start, key=lambda span: span[1])
    return spans[first : bisect_left(spans, stop, key=lambda span: span[0])]


def _blanked(piece: str, spans: list[Span]) -> str:
    """`piece` without `spans`. One that begins before it is marked where it begins."""
    shown: list[str] = []
    done = 0
    for start, end in spans:
        shown += [piece[done:start], BLANK] if start >= 0 else []
        done = end
    return "".join((*shown, piece[done:]))


class _Reading:
    """A `text`, and where each part of it stands in the one whose escapes were undone, `outer`."""

    def __init__(self, text: str, outer: "_Reading | None" = None) -> None:
        self.text = text
        self._outer = outer

    def origin(self, start: int, stop: int) -> Span:
        """Where the span from `start` to `stop` stands in the outermost text."""
        if self._outer is None:
            return start, stop
        return self._outer.origin(self._there(start)[0], self._there(stop - 1)[1])

    def _there(self, place: int) -> Span:
        """What the character at `place` was in the outer text."""
        (start, stop), (_, end) = self._changes[bisect_right(self._starts, place) - 1]
        return (start, stop) if place < end else (stop + place - end, stop + place - end + 1)

    @cached_property
    def _starts(self) -> list[int]:
        return [here[0] for _, here in self._changes]

    @cached_property
    def _changes(self) -> list[tuple[Span, Span]]:
        """The spans, there and here, of what was escaped. Most texts show nothing, and need none of
        them."""
        assert self._outer is not None
        changes: list[tuple[Span, Span]] = [((0, 0), (0, 0))]  # nothing, before the first escape
        done = size = 0
        for match in _ESCAPE.finditer(self._outer.text):
            character = _undone(match)
            if character == match[0]:
                continue
            size += match.start() - done
            here = size + len(character)
            changes.append((match.span(), (size, here)))
            size, done = here, match.end()
        return changes


def _readings(text: str) -> Iterator[_Reading]:
    """`text`, and what it says with one more layer of escapes undone each time."""
    reading = _Reading(text)
    for _ in range(_LAYERS):
        yield reading
        text = _ESCAPE.sub(_undone, reading.text)
        if text == reading.text:
            return
        reading = _Reading(text, reading)


def _undone(escape: "re.Match[str]") -> str:
    return _character(escape[0])


@lru_cache(4096)  # a text may have millions, most of them alike
def _character(escape: str) -> str:
    match = _ESCAPE.match(escape)
    assert match is not None  # it was found by the same pattern
    kind = match.lastgroup
    if kind is None:
        from html import unescape  # large, and only errors need it

        return unescape(escape)
    said = match[kind]
    if kind == "plain":
        return said
    code = int(said, 8 if kind == "octal" else 16)
    return chr(code) if code < 0x110000 else escape


def _folded(text: str) -> str:
    """`text` as it is compared: in lower case, as media types are made so, and with a space for the
    plus sign, as forms have it. Each character stays one."""
    lower = text.lower()
    if len(lower) != len(text):
        lower = "".join(c.lower() if len(c.lower()) == 1 else c for c in text)
    return lower.replace("+", " ")


def _forms(secret: str) -> Iterator[tuple[str, int]]:
    """`secret`, and how it may be encoded as a whole; and how long a run of each may be."""
    data = secret.encode(errors="replace")
    yield secret, RUN
    yield data.decode("latin-1"), RUN  # bytes that were read as Latin-1
    yield data.hex(), RUN * 2
    for encode in (b64encode, urlsafe_b64encode):
        for before in range(3):  # bytes in front of it: a user, say
            coded = encode(bytes(before) + data).decode()
            yield coded[(before * 8 + 5) // 6 : (before + len(data)) * 8 // 6], RUN * 4 // 3


def _change(thing: Any, finder: _Finder) -> None:
    """Take the secrets out of the attributes of `thing`. Texts at the same place of things that are
    repeated, such as events, are pieces of one text."""
    pieces: dict[tuple[str, ...], list[str]] = {}

    def collect(place: tuple[str, ...], text: str) -> str:
        pieces.setdefault(place, []).append(text)
        return text

    _walk_attributes(thing, (), collect)
    clean = {place: iter(finder.without(texts)) for place, texts in pieces.items()}
    _walk_attributes(thing, (), lambda place, text: next(clean[place]))


def _walk_attributes(thing: Any, place: tuple[str, ...], leaf: _Leaf) -> None:
    own = cast(Iterable[str], getattr(thing, "__slots__", ()) or vars(thing))
    for name in (*own, "args") if isinstance(thing, BaseException) else (*own,):
        setattr(thing, name, _walk(getattr(thing, name), (*place, name), leaf))


def _walk(value: Any, place: tuple[str, ...], leaf: _Leaf) -> Any:
    """`value` with each text in it, and its place, passed through `leaf`."""
    if len(place) > _DEPTH:
        return None
    match value:
        case str():
            return leaf(place, value)
        case bytes():
            return leaf(place, value.decode("latin-1")).encode("latin-1")
        case list() | tuple():
            items = cast(Sequence[Any], value)
            walked = [_walk(item, (*place, ""), leaf) for item in items]
            return walked if isinstance(value, list) else tuple(walked)
        case dict():
            found: dict[Any, Any] = {}
            for key, item in cast(Mapping[Any, Any], value).items():
                name = key if isinstance(key, str) else ""
                found[_walk(key, (*place, "", ""), leaf)] = _walk(item, (*place, name), leaf)
            return found
        case msgspec.Struct():
            fields = value.__struct_fields__
            changes = {name: _walk(getattr(value, name), (*place, name), leaf) for name in fields}
            return msgspec.structs.replace(value, **changes)
        case _:
            if type(value).__module__.partition(".")[0] == __name__.partition(".")[0]:
                _walk_attributes(value, place, leaf)  # of an answer
            return value
