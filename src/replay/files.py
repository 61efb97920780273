"""Where recordings are kept: all in one file, or a file for each in a folder."""

import re
import time
from collections.abc import Callable, Collection
from pathlib import Path
from urllib.parse import urlsplit

from ..protocols import VERSION
from .cassette import Cassette, Recording, save
from .recorder import stamp
from .redaction import check

__all__ = ["Shelf"]

_WORD = re.compile(r"[^A-Za-z0-9.]+")


class Shelf:
    """Keeps recordings in `output`: a file, if its name ends in `.jsonl`; else a folder, in which
    each gets a file. `by`: what the files say of how they were made; `allow_secrets`: texts that
    look like keys, and are none; `private`: only the user may read them; `now` returns seconds
    since 1970."""

    def __init__(
        self,
        output: Path,
        *,
        by: str = f"tokenwire/{VERSION}",
        provider: str = "",
        title: str = "",
        allow_secrets: Collection[str] = (),
        private: bool = False,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._output = output
        self._by = by
        self._provider = provider
        self._title = title
        self._allow = allow_secrets
        self._private = private
        self._now = now
        self._all: list[Recording] = []
        self._number = 0

    def keep(self, *recordings: Recording) -> Path:
        """Write recordings, those of one question. Returns the file. Raises SecretFound, and
        LocalProtocolError if it can't be written."""
        if self._output.suffix == ".jsonl":
            kept, path = [*self._all, *recordings], self._output
        else:
            kept, path = [*recordings], self._free(recordings[0])
        cassette = Cassette(tuple(kept), self._provider, stamp(self._now()), self._by, self._title)
        check(cassette, self._allow)
        save(cassette, path, private=self._private)
        self._all = kept if path is self._output else []
        return path

    def _free(self, recording: Recording) -> Path:
        """A name that no file has: the time, a number, and what is asked."""
        when = re.sub("[-:]", "", stamp(self._now()))
        what = _WORD.sub("-", _what(recording)).strip("-")[-60:]
        while True:
            self._number += 1
            path = self._output / f"{when}-{self._number:04}-{what}.jsonl"
            if not path.exists():
                return path


def _what(recording: Recording) -> str:
    url = urlsplit(recording.request.url)
    return f"{url.hostname or ''}-{url.path}"
