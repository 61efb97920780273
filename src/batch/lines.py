"""Lines of a journal: an outcome is written as one, in the shape of OpenAI's batch results.

    {"custom_id", "id", "response": {"status_code", "request_id", "body"}, "error", "tokenwire"}

`body` is a chat completion, whatever the service's format. A row that is not complete has no
`response` that could be taken for an answer: what there was of one is in `tokenwire.partial`.
"""

from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import msgspec

from ..protocols.errors import Refused
from ..protocols.events import Evidence, Image, Start, Usage
from ..protocols.registry import PROVIDERS
from ..protocols.reply import Reply
from ..protocols.service import Service
from ..protocols.toolkit.json import is_object
from ..protocols.toolkit.redaction import redact
from .digests import asked_text, id_digest
from .outcomes import Fate, Outcome, fate_of

__all__ = ["Begun", "Line", "Writer", "began_line", "read_line"]


SHORTEST_SECRET = 16
"""Characters; keys are longer, but for such as `EMPTY`, which local servers are given."""


class _Told(msgspec.Struct, omit_defaults=True):
    outcome: str
    evidence: Evidence | None = None
    finish: str = ""
    asked: str = ""
    attempts: int = 0
    started: str = ""
    seconds: float = 0.0
    first: float | None = None
    usage: dict[str, int] = {}
    tokens: int = 0
    cost: float | None = None
    partial: dict[str, Any] = {}


class _Written(msgspec.Struct):
    custom_id: str
    id: str
    response: dict[str, Any] | None
    error: dict[str, Any] | None
    tokenwire: _Told | msgspec.UnsetType = msgspec.UNSET


class Writer:
    """Writes lines. `plain`: without the key `tokenwire`. `secrets` are in none of them, unless
    they are so short that they may be words of an answer."""

    def __init__(self, *, plain: bool = False, secrets: tuple[str, ...] = ()) -> None:
        self._plain = plain
        self._secrets = [
            (secret, msgspec.json.encode(secret)[1:-1])
            for secret in secrets
            if len(secret) >= SHORTEST_SECRET
        ]
        provider = PROVIDERS["openai"].replace(any_model=True)
        self._created = 0.0
        self._service = Service(provider, base_url="http://127.0.0.1", now=lambda: self._created)

    def line(self, outcome: Outcome) -> bytes:
        """The line of `outcome`, with its end."""
        response: dict[str, Any] | None = None
        if outcome.reply is not None:
            body = msgspec.Raw(self._body(outcome, outcome.reply))
            request_id = outcome.reply.request_id
            response = {"status_code": 200, "request_id": request_id, "body": body}
        elif isinstance(outcome.error, Refused):
            response = _refusal(outcome.error)
        error = None
        if outcome.error is not None:
            error = {"code": outcome.kind, "message": str(outcome.error)}
        id = f"batch_req_{id_digest(outcome.custom_id) ^ outcome.asked:016x}"
        told = msgspec.UNSET if self._plain else _told(outcome)
        line = msgspec.json.encode(_Written(outcome.custom_id, id, response, error, told))
        for secret, spelled in self._secrets:
            if spelled in line:
                line = redact(line.decode(), [secret]).encode()
        return line + b"\n"

    def _body(self, outcome: Outcome, reply: Reply) -> bytes:
        """The answer as a chat completion."""
        self._created = outcome.started
        responder = self._service.responder()
        responder.send(Start(reply.id or f"chatcmpl-{outcome.asked:016x}", reply.model))
        responder.complete = True
        body = responder.write_whole(reply)
        if not reply.images:
            return body
        answer = msgspec.json.decode(body)
        answer["choices"][0]["message"]["images"] = list(map(_image, reply.images))
        return msgspec.json.encode(answer)


def _image(image: Image) -> dict[str, Any]:
    """A picture, as OpenRouter has it in a message: chat completions have none."""
    return {"type": "image_url", "image_url": {"url": image.data_url}}


def _refusal(error: Refused) -> dict[str, Any]:
    """The response of a refusal: its body as it was received, as far as the error has it."""
    body: Any = error.data.decode(errors="replace")
    with suppress(ValueError, RecursionError):
        body = msgspec.json.decode(error.data)
    return {"status_code": error.status, "request_id": error.request_id, "body": body}


def _told(outcome: Outcome) -> _Told:
    reply = outcome.reply
    return _Told(
        outcome.kind,
        outcome.evidence,
        "" if reply is None else reply.finish_reason or "",
        asked_text(outcome.asked),
        outcome.attempts,
        _time(outcome.started) if outcome.started else "",
        round(outcome.seconds, 3),
        None if outcome.first is None else round(outcome.first, 3),
        {} if outcome.usage is None else _counts(outcome.usage),
        outcome.tokens,
        outcome.cost,
        {} if outcome.partial is None else _partial(outcome),
    )


def _time(seconds: float) -> str:
    return (
        datetime.fromtimestamp(seconds, UTC)
        .isoformat(timespec="milliseconds")
        .replace("+00:00", "Z")
    )


def _counts(usage: Usage) -> dict[str, int]:
    names = (name for name in Usage.__struct_fields__ if name != "raw")
    return {name: count for name in names if (count := getattr(usage, name)) is not None}


def _partial(outcome: Outcome) -> dict[str, Any]:
    """What there is of an answer that is not complete. The names are those of a `Reply`, not of a
    completion."""
    reply = outcome.partial
    assert reply is not None
    found: dict[str, Any] = {}
    if reply.text:
        found["text"] = reply.text
    if reply.reasoning:
        found["reasoning"] = reply.reasoning
    if reply.tool_calls:
        found["tool_calls"] = [
            {"name": call.name, "arguments": call.arguments} for call in reply.tool_calls
        ]
    return found


# Reading


class Begun(msgspec.Struct):
    """Rows that a worker has begun to ask, and its part of the journal."""

    begun: list[str]
    by: str


def began_line(ids: list[str], part: str) -> bytes:
    """The line of a worker that begins to ask rows."""
    return msgspec.json.encode(Begun(ids, part)) + b"\n"


class _ReadTold(msgspec.Struct):
    outcome: str = ""
    asked: str = ""
    started: str = ""
    usage: dict[str, Any] = {}
    tokens: int = 0
    cost: float | None = None


class _ReadResponse(msgspec.Struct):
    status_code: int | None = None


class _Read(msgspec.Struct):
    """What a run needs of a line; the answer itself is skipped."""

    custom_id: str = ""
    response: _ReadResponse | None = None
    error: Any = None
    tokenwire: _ReadTold | None = None
    begun: list[str] | None = None
    by: str = ""


class Line(msgspec.Struct, frozen=True):
    """A line of a journal, as far as another run needs it."""

    custom_id: str
    word: str
    asked: int
    started: str = ""
    usage: dict[str, Any] = {}
    tokens: int = 0
    cost: float | None = None

    @property
    def fate(self) -> Fate:
        """What its outcome means."""
        return fate_of(self.word)

    @property
    def is_complete(self) -> bool:
        """Whether the row is complete."""
        return self.word == "complete"


_read = msgspec.json.Decoder(_Read)


def read_line(data: bytes) -> Line | Begun | None:
    """What a line says; None: it is not a line of a journal.

    A line without the key `tokenwire`, of `--plain` or of another program, has an answer if its
    status is 200 and it has no error; of which question is not known (`asked` is 0).
    """
    try:
        found = _read.decode(data)
    except (ValueError, RecursionError):
        return None
    if found.begun is not None:
        return Begun(found.begun, found.by)
    if not found.custom_id:
        return None
    told = found.tokenwire
    if told is None:
        whole = found.response is not None and found.response.status_code == 200
        return Line(
            found.custom_id, "complete" if whole and found.error is None else _word(found), 0
        )
    digest = told.asked.partition(":")[2]
    try:
        asked = int(digest, 16) if digest else 0
    except ValueError:
        asked = 0
    return Line(
        found.custom_id, told.outcome, asked, told.started, told.usage, told.tokens, told.cost
    )


def _word(found: _Read) -> str:
    code: object = found.error.get("code") if is_object(found.error) else None
    return code if isinstance(code, str) else "failed"
