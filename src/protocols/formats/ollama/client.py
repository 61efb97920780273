"""The client half of Ollama's own format.

Sources: its documentation and types (github.com/ollama/ollama: docs/api.md, api/types.go,
server/routes.go), and recordings. A call comes whole, on a line of its own or with others; `index`
begins anew on each line (quirk 62), so that calls are told apart by their order.
"""

from base64 import b64decode
from typing import Any, ClassVar

import msgspec

from ...errors import Malformed, Refused, UnexpectedContent
from ...events import (
    Event,
    Image,
    LogProbs,
    Reasoning,
    Start,
    Text,
    Unrecognized,
    Usage,
)
from ...limits import Parts
from ...question import Question
from ...step import Framing, LineStep, Step
from ...toolkit.finish import failure_of, finish_of
from ...toolkit.json import count_in, decode_json, is_object
from ...toolkit.media import media_type_of
from ...toolkit.parts import PartNumbers
from ...toolkit.refusals import ErrorTable, is_refusal, refusal_beside, refusal_of_object
from ...toolkit.toolcalls import ToolCalls
from .request import encode_chat
from .wire import DURATIONS, PlainLine, calls, decode_text, functions, lines, messages, plain

__all__ = ["COUNTS", "ERRORS", "PATH", "OllamaStep", "WholeOllamaStep"]

PATH = "/api/chat"
"""Where chats are asked, below the base URL."""

COUNTS = ("prompt_eval_count", "prompt_eval_cached_count", "eval_count")

_value = msgspec.json.Decoder()


def _remote_error(value: Any) -> tuple[str | None, str | None, str] | None:
    """An error of the cloud, as old local servers passed it on: with its status beside it."""
    if not is_object(value):
        return None
    status, said = value.get("StatusCode"), value.get("error")
    if not (isinstance(status, int) and isinstance(said, str)):
        return None
    return str(status), None, said


ERRORS = ErrorTable(read=_remote_error)

_STATUSES = {
    "busy": 503,
    "overloaded": 503,
    "usage limit": 429,
    "too many": 429,
    "unauthorized": 401,
}
"""By words of an error inside a stream, the status it would have had before."""


class OllamaStep(LineStep):
    """One chat, as a stream of lines."""

    framing: ClassVar[Framing] = "lines"
    errors = ERRORS
    unfinished = "the stream ended before a line with done: true"

    def __init__(self, question: Question) -> None:
        accept = "application/x-ndjson" if question.chat.stream else "application/json"
        body = encode_chat(question.chat, question.model)
        super().__init__(question.post(PATH, body, {"accept": accept}), question.limits)
        self._finishes = question.finishes
        self._started = False
        self._reason = ""
        self._numbers = PartNumbers()
        self._text: int | None = None  # the part of a text that may go on
        self._parts = Parts(question.limits.parts)
        self._calls = ToolCalls(0, self._parts, self._numbers.new)
        self._called = 0

    def lines(self, lines: list[bytes], events: list[Event]) -> None:
        part, say = self._text, events.append
        for line in lines:
            if part is not None:  # it may well go on
                try:
                    said = decode_text(line)
                except (ValueError, RecursionError):
                    pass
                else:
                    if not said.done:
                        if text := said.message.content:
                            say(Text(text, part))
                        continue
            self.line(line, events)
            if self.evidence == "terminator":
                return
            part = self._text

    def line(self, line: bytes, events: list[Event]) -> None:
        said = _plain(line)
        if said is None or said.done:
            self._take(line, events)
        else:
            self._start(said.model, events)
            self._say(said.message.thinking, said.message.content, events)
        numbers = self._numbers
        self._text = numbers.last if numbers.kind == "text" else None

    def settle(self, proven: bool, events: list[Event]) -> None:
        reason = self._reason
        finish = finish_of(reason, self._finishes, bool(self._called))
        if proven:
            # Without a reason a call may lack what it has not: the server's model went away.
            self._calls.settle("error" if self.failure is not None else finish.kind, events)
        if reason:
            self.failure = self.failure or failure_of(finish)
            events.append(finish)

    def _take(self, line: bytes, events: list[Event]) -> None:
        """A line of any kind."""
        if line.lstrip()[:1] != b"{":
            if line.strip():
                decode_json(_value, line)
                events.append(Unrecognized(line))
            return
        said, unknown = lines.decode(line)
        if said.error:
            self._take_contents(said, events)
            raise _refusal(line)
        contents = (said.response, said.thinking, said.tool_calls, said.done, said.done_reason)
        if not bytes(said.message) and contents == (None,) * len(contents):
            if is_refusal(decode_json(_value, line), self.errors):  # a proxy's
                raise _refusal(line)
            if unknown or said.images or said.logprobs or _told_by(said):  # else it says nothing
                events.append(Unrecognized(line))
            return
        self._start(said.model, events)
        self._take_contents(said, events)
        events += [Unrecognized(value, key) for key, value in unknown]
        self._take_usage(said, events)
        self._reason = said.done_reason or self._reason
        if said.done:
            self.evidence = "terminator"

    def _start(self, model: str, events: list[Event]) -> None:
        if model and not self._started:
            events.append(Start("", model))
        self._started = True

    def _take_contents(self, said: Any, events: list[Event]) -> None:
        raw, said.message = bytes(said.message), None  # it may be large
        if raw[:1] == b"{":
            message, unknown = messages.decode(raw)
            self._say(message.thinking, message.content, events)
            self._call(message.tool_calls, "message.", events)
            self._show(message.images, "message.", events)
            events += [Unrecognized(value, f"message.{key}") for key, value in unknown]
            if self.failure is None and refusal_beside(unknown) is not None:
                self.failure = _refusal(raw)
        elif raw:
            events.append(Unrecognized(raw, "message"))
        self._say(said.thinking, said.response, events)
        self._call(said.tool_calls, "", events)
        self._show(said.images, "", events)
        if said.logprobs:
            events.append(LogProbs(said.logprobs))

    def _say(self, thought: str | None, text: str | None, events: list[Event]) -> None:
        if thought:
            events.append(Reasoning(thought, self._numbers.of("reasoning")))
        if text:
            events.append(Text(text, self._numbers.of("text")))

    def _call(self, said: list[msgspec.Raw] | None, place: str, events: list[Event]) -> None:
        for number, each in enumerate(said or ()):
            where = f"{place}tool_calls[{number}]"
            try:
                call, further = calls.decode(bytes(each))
                function, unknown = functions.decode(bytes(call.function))
            except Malformed:  # no object, or of a function that is none
                events.append(Unrecognized(bytes(each), where))
                continue
            if not function.name:
                events.append(Unrecognized(bytes(each), where))
                continue
            arguments = _arguments(bytes(function.arguments))
            self._calls.fragment(self._called, call.id, function.name, arguments, events)
            self._called += 1
            further += [(f"function.{key}", value) for key, value in unknown]
            events += [Unrecognized(value, f"{where}.{key}") for key, value in further]

    def _show(self, images: list[str] | None, place: str, events: list[Event]) -> None:
        for number, coded in enumerate(images or ()):
            try:
                data = b64decode(coded, validate=True)
            except ValueError:
                raw = msgspec.json.encode(coded)
                events.append(Unrecognized(raw, f"{place}images[{number}]"))
                continue
            self._parts.add()
            events.append(Image(data, media_type_of(data), part=self._numbers.new()))

    def _take_usage(self, said: Any, events: list[Event]) -> None:
        told = _told_by(said)
        if not told:
            return
        asked, cached, answered = (count_in(told, name) for name in COUNTS)
        total = None if asked is None or answered is None else asked + answered
        events.append(Usage(asked, answered, total, cache_read_input_tokens=cached, raw=told))


class WholeOllamaStep(OllamaStep):
    """One chat, whose answer is one object: a line, but larger, and perhaps pretty-printed."""

    framing = "document"
    unfinished = "the answer has no done: true"

    def document(self, body: bytes, events: list[Event]) -> Step | None:
        value = decode_json(_value, body)
        if not is_object(value) or not {"message", "response"} & value.keys():
            if is_refusal(value, self.errors):
                raise _refusal(body)
            raise UnexpectedContent("a JSON document that is no answer", data=body)
        self._take(body, events)
        return None


def _told_by(said: Any) -> dict[str, Any]:
    """The counts of a line."""
    told = {name: getattr(said, name) for name in (*COUNTS, *DURATIONS)}
    return {name: value for name, value in told.items() if value is not None}


def _plain(line: bytes) -> PlainLine | None:
    """A line of text or thought only; None if it is of another kind."""
    try:
        return decode_json(plain, line)
    except Malformed:
        return None


def _refusal(data: bytes) -> Refused:
    """The error that a line reports, or the message in it."""
    value = decode_json(_value, data)
    words = str(value.get("error")).lower()
    status = next((status for word, status in _STATUSES.items() if word in words), None)
    return refusal_of_object(value, ERRORS, status=status, data=data)


def _arguments(raw: bytes) -> str:
    """The arguments of a call, as they came; some servers write them as a string."""
    if raw[:1] == b'"':
        return str(decode_json(_value, raw))
    return raw.decode(errors="replace")
