"""The client half of DarkAI's format."""

from typing import Any, Literal

import msgspec

from ....encoding import one_prompt
from ....errors import Malformed
from ....events import Event, Text, Unrecognized
from ....question import Question
from ....step import LineStep
from ....toolkit.json import decode_json, further_in, is_object
from ....toolkit.refusals import refusal_of_object
from ....toolkit.sse import SILENT

__all__ = ["DarkAIStep"]


class _Line(msgspec.Struct):
    event: str
    data: Any = None
    error: Any = None


class _Said(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    text: str


class _TextChunk(msgspec.Struct, gc=False):
    """What most lines are. Tried first, as msgspec then checks all of it in C."""

    event: Literal["text-chunk"]
    data: _Said
    error: None = None


_decode_text_chunk = msgspec.json.Decoder(_TextChunk).decode
_line = msgspec.json.Decoder(_Line)
_value = msgspec.json.Decoder()


class DarkAIStep(LineStep):
    """One answer."""

    unfinished = 'the stream ended before the event "stream-end"'

    def __init__(self, question: Question) -> None:
        prompt = one_prompt(question.chat.messages, question.provider.name)
        request = question.post(
            "/chat",
            {"query": prompt, "model": question.model},
            {"accept": "text/event-stream"},
        )
        super().__init__(request, question.limits)
        self._failing = False  # after a line `event: error`, whose data says why

    @property
    def partial(self) -> int:
        return self._lines.partial(SILENT)

    def line(self, line: bytes, events: list[Event]) -> None:
        name, _, value = line.partition(b":")
        if name == b"data":
            if self._failing:
                raise refusal_of_object(_failure(value), data=value)
            try:
                text = _decode_text_chunk(value).data.text
            except (ValueError, RecursionError):
                text = None  # what follows is outside: a UnicodeDecodeError holds the payload
            if text is None:
                self._take_other(line, value, events)
            elif text:
                events.append(Text(text))
        elif name == b"event" and value.strip() == b"error":
            self._failing = True
        elif not line.startswith(SILENT):
            events.append(Unrecognized(line))

    def _take_other(self, line: bytes, payload: bytes, events: list[Event]) -> None:
        said = decode_json(_line, payload)
        if said.event == "stream-end":
            self.evidence = "terminator"
        elif said.event == "text-chunk":
            told = said.data if is_object(said.data) else {}
            text = told.pop("text", None)
            if type(text) in (int, float):
                text = str(text)
            if not isinstance(text, str):
                raise Malformed("a text-chunk without data.text", data=line)
            if text:
                events.append(Text(text))
            events += [
                Unrecognized(msgspec.json.encode(value), f"data.{key}")
                for key, value in further_in(told).items()
            ]
        else:
            events.append(Unrecognized(line))
            return
        if said.error:
            raise refusal_of_object({"error": said.error}, data=payload)


def _failure(payload: bytes) -> Any:
    """What an `event: error` says: `{"data": {"detail": ...}}`, or `{"detail": ...}`, or text."""
    try:
        value = decode_json(_value, payload)
    except Malformed:
        return payload.decode(errors="replace").strip()
    return value.get("data", value) if is_object(value) else value
