"""What a gateway says on stderr: a line at the end of each call, and what its operator must know.

Nothing that a caller or a model said is in it, and no secret: errors of upstreams are without them
already, and each is told once, not with every call that meets it.
"""

import logging
from asyncio import CancelledError
from collections.abc import Callable
from datetime import UTC, datetime
from math import isfinite
from typing import Any, Literal, TypeAlias

import msgspec

from .delivery import BrokenOff
from .record import Record

Level: TypeAlias = Literal["info", "warning", "error"]

__all__ = ["Log", "ServerLog", "fields_of", "without_break_offs"]

BOUND = 500
"""Characters of an error in a line."""

AGAIN = 60.0
"""Seconds after which an error that a target still has is told again."""


class Log:
    """Writes lines: JSON objects, or texts for people. `now` returns seconds since 1970."""

    def __init__(
        self,
        write: Callable[[str], object],
        style: Literal["json", "text"],
        now: Callable[[], float],
    ) -> None:
        self.style = style
        self._write = write
        self._now = now
        self._told: dict[str, tuple[str, float]] = {}

    def settled(self, record: Record) -> None:
        """A call has ended."""
        for attempt in record.tries:
            if attempt.result in ("complete", "drained"):
                self._told.pop(attempt.target, None)
            elif self._is_new(attempt.target, attempt.result + attempt.error):
                self.say(
                    "warning",
                    f"{attempt.target}: {attempt.result}: {attempt.error[:BOUND]}",
                    id=record.id,
                )
        fields = fields_of(record)
        if self.style == "json":
            self._line({"level": "info", **fields})
        else:
            self._line(_in_words(fields))

    def failed(self, what: str, error: str) -> None:
        """Tell the operator that `what` fails, but not again and again."""
        if self._is_new(what, error):
            self.say("warning", f"{what}: {error[:BOUND]}")

    def say(self, level: Level, message: str, **fields: object) -> None:
        """Tell the operator something."""
        if self.style == "json":
            self._line({"level": level, "message": message, **fields})
        else:
            more = "".join(f" {name}={value}" for name, value in fields.items())
            self._line(f"{level}: {message}{more}")

    def _is_new(self, target: str, error: str) -> bool:
        """Whether it is not the error that was told of the target a short while ago."""
        now = self._now()
        known, when = self._told.get(target, ("", 0.0))
        if known == error and now - when < AGAIN:
            return False
        self._told[target] = (error, now)
        return True

    def _line(self, said: dict[str, Any] | str) -> None:
        time = datetime.fromtimestamp(self._now(), UTC).isoformat(timespec="milliseconds")
        if isinstance(said, str):
            lines = said.splitlines()
            self._write(f"{time[11:23]} " + " | ".join(map(_printable, lines)) + "\n")
        else:
            self._write(msgspec.json.encode({"time": time, **said}).decode() + "\n")


class ServerLog(logging.Handler):
    """Takes over what a server logs: warnings and errors, with tracebacks."""

    def __init__(self, log: Log) -> None:
        super().__init__(logging.WARNING)
        self._log = log
        self.addFilter(without_break_offs)

    def emit(self, record: logging.LogRecord) -> None:
        level: Level = "error" if record.levelno >= logging.ERROR else "warning"
        if level == "warning":  # anyone can cause one, again and again
            self._log.failed("the server", record.getMessage().strip())
            return
        fields: dict[str, object] = {}
        if record.exc_info:
            fields["traceback"] = logging.Formatter().formatException(record.exc_info)
        self._log.say(level, record.getMessage().strip(), **fields)


def without_break_offs(record: logging.LogRecord) -> bool:
    """A filter for the log of an ASGI server: without the tracebacks of the exceptions with which
    the gateway breaks off a body on purpose."""
    error = record.exc_info[1] if record.exc_info else None
    return not isinstance(error, BrokenOff | CancelledError)


def fields_of(record: Record) -> dict[str, Any]:
    """What the line of a call tells: names are those of the configuration; null is unknown."""
    usage = record.usage
    fields: dict[str, Any] = {
        "id": record.id,
        "key": record.key,
        "front": record.front,
        "back": record.back,
        "lane": record.lane,
        "model": record.model,
        "target": record.target,
        "attempts": record.attempts,
        "status": record.status,
        "outcome": record.outcome,
        "evidence": record.evidence,
        "stream": record.stream,
        "first_ms": _milliseconds(record.first - record.began),
        "total_ms": _milliseconds(record.ended - record.began),
        "bytes": record.size,
        "input_tokens": usage and usage.input_tokens,
        "output_tokens": usage and usage.output_tokens,
        "estimated": record.estimated,
    }
    if record.error and all(attempt.result == "complete" for attempt in record.tries):
        fields["error"] = record.error[:BOUND]  # the gateway's own, not told before
    return fields


def _milliseconds(seconds: float) -> float | None:
    return round(seconds * 1000, 1) if isfinite(seconds) else None


def _in_words(fields: dict[str, Any]) -> str:
    way = " -> ".join(filter(None, (fields["front"], fields["target"]))) or "no format"
    tokens = f"{fields['input_tokens']}+{fields['output_tokens']} tokens"
    parts = (
        f"{fields['status']} {fields['outcome']}",
        f"{fields['model'] or '-'}: {way}",
        f"{fields['total_ms']} ms",
        *([tokens] if fields["output_tokens"] is not None else []),
        *([f"key {fields['key']}"] if fields["key"] else []),
        *([fields["error"]] if "error" in fields else []),
    )
    return f"{', '.join(parts)} [{fields['id']}]"


def _printable(text: str) -> str:
    """`text` without what could do something to a terminal."""
    return "".join(each if each.isprintable() else "\ufffd" for each in text)
