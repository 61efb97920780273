"""What the log says, and what it does not say."""

import logging
import sys
from asyncio import CancelledError
from typing import Any

import msgspec
import pytest

from tokenwire import Usage
from tokenwire.gateway.delivery import BrokenOff
from tokenwire.gateway.log import AGAIN, BOUND, Log, ServerLog, fields_of
from tokenwire.gateway.record import Record, Try


class Written:
    """A log, its lines, and its clock."""

    def __init__(self, style: Any = "json") -> None:
        self.lines: list[str] = []
        self.now = 1_800_000_000.25
        self.log = Log(self.lines.append, style, lambda: self.now)

    @property
    def told(self) -> list[dict[str, Any]]:
        return [msgspec.json.decode(line) for line in self.lines]


def record(**changes: Any) -> Record:
    fields: dict[str, Any] = {
        "id": "tw-1",
        "began": 10.0,
        "ended": 10.5,
        "front": "anthropic",
        "back": "openai_chat",
        "lane": "translate",
        "model": "fast",
        "target": "local/m",
        "attempts": 1,
        "tries": (Try("local/m", "complete"),),
        "outcome": "complete",
        "evidence": "terminator",
        **changes,
    }
    return Record(**fields)


def test_a_line_a_call() -> None:
    written = Written()
    usage = Usage(input_tokens=3, output_tokens=4)
    written.log.settled(record(usage=usage, first=10.1, size=99, key="ci", stream=True))
    assert written.told == [
        {
            "time": "2027-01-15T08:00:00.250+00:00",
            "level": "info",
            "id": "tw-1",
            "key": "ci",
            "front": "anthropic",
            "back": "openai_chat",
            "lane": "translate",
            "model": "fast",
            "target": "local/m",
            "attempts": 1,
            "status": 200,
            "outcome": "complete",
            "evidence": "terminator",
            "stream": True,
            "first_ms": 100.0,
            "total_ms": 500.0,
            "bytes": 99,
            "input_tokens": 3,
            "output_tokens": 4,
            "estimated": False,
        }
    ]
    assert written.lines[0].endswith("}\n")


def test_what_is_not_known_is_null() -> None:
    fields = fields_of(record())
    assert fields["first_ms"] is None
    assert fields["input_tokens"] is None


def test_an_error_of_ones_own_is_in_the_line() -> None:
    own = record(tries=(), outcome="bad_request", status=404, error="x" * 2 * BOUND)
    assert fields_of(own)["error"] == "x" * BOUND
    theirs = record(tries=(Try("local/m", "overloaded", "busy"),), error="busy")
    assert "error" not in fields_of(theirs)


def test_an_error_of_a_target_is_told_once() -> None:
    written = Written()
    failed = record(tries=(Try("a", "overloaded", "busy" * BOUND), Try("b", "complete")))
    written.log.settled(failed)
    warning, _ = written.told
    assert warning["level"] == "warning"
    assert warning["id"] == "tw-1"
    assert warning["message"].startswith("a: overloaded: busybusy")
    assert len(warning["message"]) < BOUND + 20
    written.log.settled(failed)
    assert len(written.lines) == 3
    written.now += AGAIN
    written.log.settled(failed)  # after a while again
    assert len(written.lines) == 5
    written.log.settled(record(tries=(Try("a", "malformed", "?"),)))  # and another one at once
    assert len(written.lines) == 7
    written.log.settled(record(tries=(Try("a", "complete"),)))
    written.log.settled(record(tries=(Try("a", "malformed", "?"),)))  # it had recovered
    assert len(written.lines) == 10


def test_the_end_of_the_gateway_is_no_error_of_a_target() -> None:
    written = Written()
    written.log.settled(record(tries=(Try("a", "drained", "ask again"),)))
    assert len(written.lines) == 1


def test_words_for_people() -> None:
    written = Written("text")
    usage = Usage(input_tokens=3, output_tokens=4)
    written.log.settled(record(usage=usage, key="ci"))
    written.log.settled(
        record(front="", target="", model="", outcome="x", error="\x1b[2J", tries=())
    )
    written.log.say("error", "two\nlines", id="tw-2")
    assert written.lines == [
        "08:00:00.250 200 complete, fast: anthropic -> local/m, 500.0 ms, 3+4 tokens, key ci "
        "[tw-1]\n",
        "08:00:00.250 200 x, -: no format, 500.0 ms, \ufffd[2J [tw-1]\n",
        "08:00:00.250 error: two | lines id=tw-2\n",
    ]


@pytest.fixture
def logger() -> logging.Logger:
    logger = logging.Logger("a server")
    logger.propagate = False
    return logger


def fail(logger: logging.Logger, error: BaseException) -> None:
    try:
        raise error
    except BaseException:
        logger.error("Exception in ASGI application\n", exc_info=sys.exc_info())


def test_a_server_may_say_what_is_wrong(logger: logging.Logger) -> None:
    written = Written()
    logger.addHandler(ServerLog(written.log))
    logger.info("nobody needs this")
    for _ in range(3):  # strangers can cause it again and again
        logger.warning("%d%% full", 99)
    fail(logger, ZeroDivisionError())
    logger.error("no address")
    first, second, third = written.told
    assert (first["level"], first["message"]) == ("warning", "the server: 99% full")
    assert (third["level"], third["message"]) == ("error", "no address")
    assert "traceback" not in third
    assert (second["level"], second["message"]) == ("error", "Exception in ASGI application")
    assert "ZeroDivisionError" in second["traceback"]


@pytest.mark.parametrize("error", [BrokenOff(), CancelledError()])
def test_what_is_on_purpose_is_not_told(logger: logging.Logger, error: BaseException) -> None:
    written = Written()
    logger.addHandler(ServerLog(written.log))
    fail(logger, error)
    assert not written.lines


def test_what_fails_again_and_again_is_told_once() -> None:
    written = Written()
    for _ in range(3):
        written.log.failed("the store", "it is away")
    assert [line["message"] for line in written.told] == ["the store: it is away"]
