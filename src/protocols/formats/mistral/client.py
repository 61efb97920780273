"""The client half of Mistral's chat completions.

Its answers are OpenAI's, but for the parts of a content that is a list: thoughts, whose pieces all
say `closed` but the first, and references to documents.
"""

from typing import Any

import msgspec

from ...dialect import words
from ...errors import BadRequest, Malformed, RateLimited
from ...events import Citation, Event, Text
from ...question import Question
from ...toolkit.json import Lenient, decode_json, is_list, is_object
from ...toolkit.refusals import ErrorTable
from ..openai_chat.choice import ChoiceReader
from ..openai_chat.client import OpenAIStep
from .request import encode

__all__ = ["ERRORS", "MistralStep"]


class _Part(msgspec.Struct):
    """A part of a content, as far as it is understood."""

    type: str = ""
    text: str | None = None
    thinking: list[msgspec.Raw] | None = None
    signature: str | None = None
    reference_ids: list[int | str] | None = None


class _Thought(msgspec.Struct):
    """An element of `thinking` that is text."""

    text: str | None = None


_part = msgspec.json.Decoder(_Part)
_thought = Lenient(_Thought, words("type"))
_value = msgspec.json.Decoder()
_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])
_KEYS = {"text": words("type text"), "thinking": words("type thinking closed signature")}
"""The keys of a part that are understood. A reference goes back whole."""


class MistralReader(ChoiceReader):
    """Makes events of one choice."""

    dialect = "mistral"

    __slots__ = ("_signatures", "_thoughts")

    def __init__(self, *how: Any) -> None:
        super().__init__(*how)
        self._thoughts: dict[int, list[str]] = {}  # by their parts
        self._signatures: dict[int, str] = {}

    def _take_part(self, raw: bytes, events: list[Event]) -> None:
        try:
            part = decode_json(_part, raw)
        except Malformed:
            part = _Part()
        if part.type == "text" and part.text is not None:
            if part.text:
                events.append(Text(part.text, self.numbers.of("text"), self._index))
            self._hand_on_others(raw, part.type, events)
        elif part.type == "thinking" and part.thinking is not None:
            self._take_thoughts(part.thinking, part.signature, events)
            self._hand_on_others(raw, part.type, events)
        elif part.type == "reference" and part.reference_ids is not None:
            self._keep(len(raw))
            place = max(self.numbers.last, 0)
            self._add_native({"content": [decode_json(_value, raw)]}, self.numbers.new(), events)
            for id in part.reference_ids:
                citation = Citation(source=str(id), part=place, index=self._index)
                self._citations.cite(citation, events)
        else:
            self._hand_on(raw, "delta.content", events)

    def _hand_on_others(self, raw: bytes, type: str, events: list[Event]) -> None:
        for key, value in decode_json(_fields, raw).items():
            if key not in _KEYS[type] and bytes(value) != b"null":
                self._hand_on(bytes(value), f"delta.content.{key}", events)

    def _take_thoughts(
        self, thoughts: list[msgspec.Raw], signature: str | None, events: list[Event]
    ) -> None:
        for raw in map(bytes, thoughts):
            try:
                thought, unknown = _thought.decode(raw)
            except Malformed:
                thought, unknown = _Thought(), []
            if thought.text is None:
                self._hand_on(raw, "delta.content.thinking", events)
                continue
            if thought.text:
                self._think(thought.text, events)
                self._keep(len(thought.text))
                self._thoughts.setdefault(self._thought_part, []).append(thought.text)
            self._hand_on_keys("delta.content.thinking", unknown, events)
        if signature:
            part = self.numbers.of("reasoning")
            self._keep(len(signature))
            self._signatures[part] = signature

    def _settle_natives(self, events: list[Event]) -> None:
        super()._settle_natives(events)
        for part, signature in self._signatures.items():
            text = "".join(self._thoughts.get(part, ()))
            thinking = [{"type": "text", "text": text}] if text else []
            signed = {"type": "thinking", "thinking": thinking, "closed": True}
            self._add_native({"content": [{**signed, "signature": signature}]}, part, events)


class MistralStep(OpenAIStep):
    """One chat completion, streamed or not."""

    reader = MistralReader

    def encode(self, question: Question) -> dict[str, Any]:
        return encode(question)


def _read(value: Any) -> tuple[str | None, str | None, str] | None:
    """Code, type and message of an error that names places in the request: a list of problems, in
    `detail`, in `message` or in the `detail` of that, which was JSON in a text once."""
    if not is_object(value):
        return None
    said = value.get("message")
    if isinstance(said, str):
        said = _json(said)
    inner = said.get("detail") if is_object(said) else said
    for problems in (value.get("detail"), inner):
        words = [_problem(each) for each in problems] if is_list(problems) else []
        if message := "; ".join(filter(None, words)):
            code, type_ = value.get("code"), value.get("type")
            return None if code is None else str(code), _text(type_), message
    return None


def _json(text: str) -> Any:
    try:
        return decode_json(_value, text.encode())
    except Malformed:
        return None


def _problem(value: Any) -> str:
    if not is_object(value) or not isinstance(value.get("msg"), str):
        return ""
    place = value.get("loc")
    where = ".".join(map(str, place)) if is_list(place) else ""
    return f"{where}: {value['msg']}" if where else str(value["msg"])


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


ERRORS = ErrorTable(
    codes={
        "1300": RateLimited,
        "1500": BadRequest,  # no such model
        "3051": BadRequest,  # an option that the model does not take
        "3210": BadRequest,
        "3230": BadRequest,  # the order of roles
        "3280": BadRequest,  # ids of calls
    },
    request_ids=(b"mistral-correlation-id", b"x-kong-request-id"),
    read=_read,
)
