"""The `darkai` dialect (darkai.foundation): lines of `data: {json}`, ended by `stream-end`.

    data: {"event": "text-chunk", "data": {"text": "..."}}
    data: {"event": "stream-end"}

One JSON object a line, whether blank lines stand between them or not. Its service no longer
answers. What its server half can't say: any event but `Text` and `Unrecognized`; history and roles
(a prompt is one string).
"""

from typing import Any, Literal

import msgspec

from ....body import LineStep, Step
from ....chat import Chat, Message, flatten
from ....clocks import Clocks
from ....errors import LocalProtocolError, Malformed
from ....events import End, Event, Text, Unrecognized
from ....provider import Provider, Question
from ....service import Responder, Service, read_json_post
from ....toolkit.json import decode_json, is_object
from ....toolkit.refusals import refusal_of_object

__all__ = ["PROVIDER", "DarkAI"]


class DarkAI:
    """The dialect."""

    def ask(self, question: Question) -> Step:
        """The client's side. Takes a prompt and a model, nothing else."""
        return _Step(question)

    def respond(self, service: Service) -> Responder:
        """The server's side of one request."""
        return _Responder(service)


class _Line(msgspec.Struct):
    event: str
    data: Any = None


class _Said(msgspec.Struct, gc=False):
    text: str


class _TextChunk(msgspec.Struct, gc=False):
    """What most lines are. Tried first, as msgspec then checks all of it in C: a third quicker."""

    event: Literal["text-chunk"]
    data: _Said


_decode_text_chunk = msgspec.json.Decoder(_TextChunk).decode
_line = msgspec.json.Decoder(_Line)
_value = msgspec.json.Decoder()


class _Step(LineStep):
    unfinished = 'the stream ended before the event "stream-end"'

    def __init__(self, question: Question) -> None:
        question.refuse_options()
        request = question.post(
            "/chat",
            {"query": flatten(question.chat.messages), "model": question.model},
            {"accept": "text/event-stream"},
        )
        super().__init__(request, question.limits)
        self._failing = False  # after a line `event: error`, whose data says why

    def line(self, line: bytes, events: list[Event]) -> None:
        name, colon, value = line.partition(b":")
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
        elif name or not colon:  # else it is a comment
            events.append(Unrecognized(line))

    def _take_other(self, line: bytes, payload: bytes, events: list[Event]) -> None:
        said = decode_json(_line, payload)
        if said.event == "stream-end":
            self.evidence = "terminator"
        elif said.event == "text-chunk":
            text = said.data.get("text") if is_object(said.data) else None
            if not isinstance(text, str):
                raise Malformed("a text-chunk without data.text", data=line)
            if text:
                events.append(Text(text))
        else:
            events.append(Unrecognized(line))


def _failure(payload: bytes) -> Any:
    """What an `event: error` says: `{"data": {"detail": ...}}`, or `{"detail": ...}`, or text."""
    try:
        value = decode_json(_value, payload)
    except Malformed:
        return payload.decode(errors="replace").strip()
    return value.get("data", value) if is_object(value) else value


class _Query(msgspec.Struct):
    query: str
    model: str


_query = msgspec.json.Decoder(_Query)


class _Responder(Responder):
    def receive_request(self, request: Any) -> Chat:
        query = read_json_post(request, "/chat", _query)
        model = self.service.check_model(query.model)
        return Chat(messages=(Message("user", query.query),), model=model)

    def send(self, event: Event) -> bytes:
        match event:
            case Text():
                return _write({"event": "text-chunk", "data": {"text": event.text}})
            case Unrecognized(raw=raw, place=""):
                return raw + b"\n\n"
            case End():
                return _write({"event": "stream-end", "data": {}})
            case _:
                name = type(event).__name__
                raise LocalProtocolError(f"darkai can't say {name}: leave it out of the answer")

    def fail_midway(self, error: Any) -> bytes:
        detail = msgspec.json.encode({"data": {"detail": str(error)}})
        return b"event: error\ndata: " + detail + b"\n\n"


def _write(value: dict[str, Any]) -> bytes:
    return b"data: " + msgspec.json.encode(value) + b"\n\n"


PROVIDER = Provider(
    name="darkai",
    dialect=DarkAI(),
    base_url="https://darkai.foundation",
    site="https://darkai.foundation/chat",
    models=("llama-3-70b", "gpt-4o", "gpt-3.5-turbo"),
    default_model="llama-3-70b",
    aliases={"llama-3.1-70b": "llama-3-70b"},
    capabilities=frozenset(("text",)),
    working=False,
    owes="terminator",
    clocks=Clocks(total=600),
)
