"""Recorded answers of real services, in the folder that TOKENWIRE_CORPUS names, if it is set.

Its tests are in the folders of the formats: each recording is decoded whole, byte by byte and cut
at random, and compared to what an independent client made of it (`oracle`), or to a naive reading.
"""

import json
import os
import re
from pathlib import Path
from random import Random
from typing import Any, NamedTuple, TypeAlias

import pytest

from tests.driving import Response
from tokenwire.protocols.toolkit.http import Headers
from tokenwire.protocols.toolkit.json import is_list, is_object

__all__ = [
    "Corpus",
    "Row",
    "corpus",
    "ends_inside_an_event",
    "redacted",
    "sizes_to_try",
    "without_nothing",
]

Row: TypeAlias = dict[str, Any]


class Corpus(NamedTuple):
    """The recordings of one format: what is known of each, and their names by their kind."""

    folder: Path
    rows: dict[str, Row]
    streams: list[str]
    wholes: list[str]
    refusals: list[str]

    def response(self, file: str) -> Response:
        """A recording as the response that it was."""
        row = self.rows[file]
        kind = row.get("content_type")
        headers: Headers = [] if kind is None else [(b"content-type", kind.encode())]
        return Response((self.folder / file).read_bytes(), row.get("status") or 200, headers)


def corpus(format: str) -> Corpus:
    """The recordings of a format. Skips the test module if there are none."""
    folder = os.environ.get("TOKENWIRE_CORPUS")
    if not folder:
        pytest.skip("TOKENWIRE_CORPUS names no folder of recorded answers", allow_module_level=True)
    rows: dict[str, Row] = {}
    kinds: dict[str, list[str]] = {"stream": [], "nonstream": [], "error": []}
    for line in (Path(folder) / "index.jsonl").read_text().splitlines():
        row: Row = json.loads(line)
        if row["format"] == format:
            file = row["file"].removeprefix(f"{format}/")
            rows[file] = row
            kinds[row["kind"].removesuffix("-stream")].append(file)
    return Corpus(Path(folder) / format, rows, *kinds.values())


def without_nothing(value: Any) -> Any:
    """`value` without the members of its objects that are null."""
    if is_object(value):
        return {k: without_nothing(v) for k, v in value.items() if v is not None}
    if is_list(value):
        return list(map(without_nothing, value))
    return value


def ends_inside_an_event(body: bytes) -> bool:
    """Whether the last event of a stream lacks its blank line, and has begun with a brace."""
    last = re.split(rb"\r?\n\r?\n", body)[-1]
    return re.match(rb"data: ?\{", last) is not None


def sizes_to_try(body: bytes) -> list[int]:
    """All of a small body; of a large one the borders of its lines, and some places at random, the
    fewer the larger it is."""
    places = min(10, 500_000 // (len(body) + 1))
    if len(body) <= 2 * places:
        return list(range(len(body) + 1))
    borders = [match.end() for match in re.finditer(rb"[\r\n]+", body)]
    draw = Random(1)
    borders = sorted(draw.sample(borders, min(len(borders), places)))
    near = {border + shift for border in borders for shift in range(-2, 3)}
    near |= {draw.randint(0, len(body)) for _ in range(places)} | {0, len(body)}
    return sorted(size for size in near if 0 <= size <= len(body))


def redacted(message: str) -> str:
    """What looks like a key is never shown, not even one that is none."""
    return re.sub(r"sk-[\w.-]{8,}", "sk-[secret]", message)
