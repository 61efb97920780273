"""The row function of engines that spread rows over many workers: rows in, answers out.

Workers share a folder as the journal, in which each has a part of its own. What any of them has
answered is answered from there. An engine gives each output once, but may ask for it as often as it
likes: a worker that dies takes its batch with it. So before a row is asked, a line says that it was
begun. A row that was begun and has no outcome was in flight at a death: it is asked alone, and if a
second worker dies, it is `abandoned`.
"""

import asyncio
import threading
from collections.abc import Coroutine, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from .digests import id_digest
from .files import Tail, open_part, parts_of
from .index import Index
from .journal import Journal
from .lines import Line, began_line, read_line
from .outcomes import Fate
from .past import Past
from .rows import Question
from .settings import Settings

__all__ = ["COLUMNS", "Asker", "columns_of"]

COLUMNS: dict[str, Any] = {
    "custom_id": "",
    "outcome": "unasked",
    "text": "",
    "finish": "",
    "evidence": "",
    "error": "",
    "attempts": 0,
    "input_tokens": 0,
    "output_tokens": 0,
    "cost": 0.0,
    "body": "",
}
"""The columns of an answer, with what they are where nothing is known: so each column has the same
type in every batch. `body` is the chat completion as JSON."""

_LARGEST = 1 << 40
"""Bytes of the largest part: its number and a place in it make one number, of at most 56 bits."""


class Asker:
    """Answers batches of rows, one batch at a time.

    `journal` is a folder that all workers reach. The rows are those of `run`, and need no
    `custom_id`: a row without one is named by the digest of what it asks. The settings are those of
    `run`, too; `workers` is how many share the key. Raises LocalProtocolError for settings that
    can't be, but nothing for a row.
    """

    def __init__(self, journal: str, **settings: Any) -> None:
        self._folder = Path(journal)
        self._folder.mkdir(parents=True, exist_ok=True)
        self._settings = Settings(journal=f"{journal}/", **settings)
        self._reader = self._settings.reader()
        self._past = Past(self._settings.reask)
        self._places = Index()
        self._parts: dict[Path, tuple[int, Tail]] = {}
        self._lock = threading.Lock()
        self._journal: Journal | None = None

    def __call__(self, rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """The answers to `rows`, in their order, each a mapping with `COLUMNS`."""
        with self._lock:
            questions = [self._question(number, row) for number, row in enumerate(rows, 1)]
            self._look()
            distinct = {question.key: question for question in questions}
            suspects = self._past.suspects
            self._ask([each for key, each in distinct.items() if key not in suspects])
            self._ask([each for key, each in distinct.items() if key in suspects], alone=True)
            self._look()
            return [self._answer(question) for question in questions]

    def close(self) -> None:
        """Close this worker's part."""
        if self._journal is not None:
            self._journal.close()
            self._journal = None

    def _question(self, number: int, row: Mapping[str, Any]) -> Question:
        question = self._reader.value(number, row)
        if question.named and not question.problem:
            return question
        return msgspec.structs.replace(question, custom_id=f"b2-{question.asked:016x}")

    def _ask(self, questions: Sequence[Question], *, alone: bool = False) -> None:
        if not questions:
            return
        settings, journal = self._settings, self._open()
        if alone:
            settings = msgspec.structs.replace(settings, concurrency=1)

        def began(question: Question) -> None:
            journal.add_line(began_line([question.custom_id], journal.name))

        for question in questions:
            self._past.forget(question)
        intake = settings.intake(self._past)
        _in_thread(settings.engine(iter(questions), intake, journal, began=began).run())
        journal.flush()

    def _open(self) -> Journal:
        """The part of this worker."""
        if self._journal is None:
            writer = self._settings.writer()
            self._journal = Journal(open_part(self._folder), self._past, writer)
        return self._journal

    def _look(self) -> None:
        """Read what all workers have written since."""
        for part in parts_of(self._folder):
            if part not in self._parts:
                self._parts[part] = len(self._parts), Tail(part)
        for number, tail in self._parts.values():
            tail.read(partial(self._read, number))

    def _read(self, part: int, data: bytes, begin: int) -> None:
        self._past.add(data)
        line = read_line(data)
        if isinstance(line, Line):
            key = id_digest(line.custom_id)
            _, known = self._places.get(key)
            if known is not Fate.COMPLETE or line.is_complete:
                self._places.put(key, (part * _LARGEST + begin) << 8, line.fate)

    def _answer(self, question: Question) -> dict[str, Any]:
        value, fate = self._places.get(question.key)
        if fate is Fate.UNKNOWN:  # the run was stopped
            return {**COLUMNS, "custom_id": question.custom_id}
        part, begin = divmod(value >> 8, _LARGEST)
        with list(self._parts)[part].open("rb") as file:
            file.seek(begin)
            return columns_of(file.readline())


class _Usage(msgspec.Struct, frozen=True):
    input_tokens: int = 0
    output_tokens: int = 0


class _Told(msgspec.Struct):
    outcome: str = ""
    evidence: str = ""
    finish: str = ""
    attempts: int = 0
    usage: _Usage = _Usage()
    cost: float | None = None


class _Response(msgspec.Struct):
    body: msgspec.Raw = msgspec.Raw()


class _Error(msgspec.Struct):
    code: str = ""
    message: str = ""


class _Answered(msgspec.Struct):
    custom_id: str
    response: _Response | None = None
    error: _Error | None = None
    tokenwire: _Told | None = None


class _Message(msgspec.Struct):
    content: str | None = None


class _Choice(msgspec.Struct):
    message: _Message


class _Completion(msgspec.Struct):
    choices: list[_Choice]


_answered = msgspec.json.Decoder(_Answered)
_completion = msgspec.json.Decoder(_Completion)


def columns_of(line: bytes) -> dict[str, Any]:
    """The columns of an answer, from its line in the journal."""
    found = _answered.decode(line)
    told, error = found.tokenwire or _Told(), found.error or _Error()
    body, text = b"", ""
    if found.response is not None and found.error is None:
        body = bytes(found.response.body)
        text = _completion.decode(body).choices[0].message.content or ""
    return {
        "custom_id": found.custom_id,
        "outcome": told.outcome or error.code or "complete",
        "text": text,
        "finish": told.finish,
        "evidence": told.evidence,
        "error": error.message,
        "attempts": told.attempts,
        "input_tokens": told.usage.input_tokens,
        "output_tokens": told.usage.output_tokens,
        "cost": told.cost or 0.0,
        "body": body.decode(),
    }


def _in_thread(run: Coroutine[Any, Any, None]) -> None:
    """Run it in a thread of its own: here a loop may be running already, as in a notebook. Raises
    what it raises."""
    failures: list[BaseException] = []

    def main() -> None:
        try:
            asyncio.run(run)
        except BaseException as error:  # noqa: BLE001  raised below
            failures.append(error)

    thread = threading.Thread(target=main, name="tokenwire batch")
    thread.start()
    thread.join()
    if failures:
        raise failures[0]
