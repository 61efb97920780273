"""What the targets begin with: the answers of each subject, and recorded ones; and words that a
fuzzer would not find by itself."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

from tokenwire.testing import Subject

__all__ = ["JSON_WORDS", "LINE_WORDS", "SEPARATOR", "answers", "words"]

SEPARATOR = b"\x1e"
"""Stands between two answers."""

LINE_WORDS = [
    *(b"\n", b"\r", b"\r\n", b"\n\n", b"\r\r", b"\r\n\r\n", b"data: ", b"event: error\n", b": c\n"),
    *(b"\xef\xbb\xbf", b"\xe2\x82\xac", b"\xe2\x80\xa8", b"\xc2\x85", b"\xff", b"\0", b"<html>"),
]
JSON_WORDS = [
    *rb'{ } [ ] " ": , null true false \ud83d \u \n 1e9 1e400 -0 1.5 NaN Infinity {"a":1}'.split(),
    *(b"12345678901234567890", b"\xed\xa0\x80", b'{"error":{"message":"no","code":"c"}}'),
]


def words(*subjects: Subject) -> list[bytes]:
    """The words of all formats, and those of `subjects`."""
    own = (word for subject in subjects for word in subject.words)
    return list(dict.fromkeys([*LINE_WORDS, *JSON_WORDS, *own, SEPARATOR]))


def answers(subject: Subject) -> Iterator[tuple[bytes, ...]]:
    """The answers that `subject` tells, a body for each response, and then recorded ones."""
    sent = subject.send_short()
    yield sent.bodies
    for example in subject.examples:
        yield subject.send(sent.chat, example).bodies
    yield from subject.seeds
    for body in _recorded(subject.provider.dialect.name):
        yield (*sent.bodies[:-1], body)


def _recorded(dialect: str) -> Iterator[bytes]:
    """Of each recorded stream of the format, some lines of its beginning and of its end.

    They lie in the folder that TOKENWIRE_CORPUS names, if it is set.
    """
    folder = os.environ.get("TOKENWIRE_CORPUS")
    if not folder:
        return
    size = 500
    for line in (Path(folder) / "index.jsonl").read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        if row["format"].replace("-", "_") == dialect:
            body = (Path(folder) / row["file"]).read_bytes()
            yield body[:size].rpartition(b"\n")[0] or body[:size]
            if len(body) > size:
                yield body[-size:].partition(b"\n")[2]
