"""The list of a service's models: the exchange that asks for it, and what is in it."""

from typing import Any
from urllib.parse import quote

import msgspec

from .errors import LocalProtocolError, Malformed, UnexpectedContent
from .events import Event
from .question import Question
from .step import Step
from .toolkit.json import decode_json, is_list, is_object
from .toolkit.refusals import is_refusal, refusal_of_object

__all__ = ["Model", "ModelsStep"]

_value = msgspec.json.Decoder()
_GEMINI = "models/"
_NEXT = {"last_id": "after_id", "nextPageToken": "pageToken", "next_page_token": "page_token"}
"""What a list names the next page by, and the field of a query that asks for it."""
_PAGES = 100
"""How many pages are asked for: of a thousand models each, at Anthropic."""


class Model(msgspec.Struct, frozen=True):
    """One model that a service lists. `id` is what `Chat.model` takes, `name` is for people, and
    `raw` all that the service says of it."""

    id: str
    name: str = ""
    raw: dict[str, Any] = {}


class ModelsStep(Step):
    """Asks for the list, page by page, and appends the models to `found`.

    The list is that of OpenAI (`data`, each with an `id`), which most services have; Together's is
    without an object around it. Anthropic's goes on if `has_more`, after its `last_id`. Ollama's is
    `models`, each with its `model`. So are Gemini's and Cohere's, each with a `name`; they go on at
    their `nextPageToken` or `next_page_token`.
    """

    framing = "document"
    unfinished = "the body ended before the list of models was complete"

    def __init__(
        self,
        question: Question,
        found: list[Model],
        pages: tuple[str, ...] = (),
    ) -> None:
        path = question.provider.models_path
        if path is None:
            raise LocalProtocolError(f"{question.provider.name} has no list of models")
        if pages:
            path += f"{'&' if '?' in path else '?'}{pages[-1]}"
        self.request = question.get(path, {"accept": "application/json"})
        self.errors = question.errors
        self._question = question
        self._found = found
        self._pages = pages  # how each page after the first was asked for

    def document(self, body: bytes, events: list[Event]) -> Step | None:
        value = decode_json(_value, body)
        listed = value.get("data", value.get("models")) if is_object(value) else value
        if not is_list(listed):
            if is_refusal(value, self.errors):
                raise refusal_of_object(value, self.errors, data=body)
            raise UnexpectedContent("a JSON document that is no list of models", data=body)
        if not self._pages:
            self._found.clear()  # of an attempt that failed
        self._found += [model for each in listed if (model := _model(each)) is not None]
        following = _next_page(value) if is_object(value) else ""
        if following:
            if following in self._pages or len(self._pages) >= _PAGES:
                raise Malformed("a list of models that never ends", data=body)
            pages = (*self._pages, following)
            return ModelsStep(self._question, self._found, pages)
        self.evidence = "terminator"
        return None


def _next_page(value: dict[str, Any]) -> str:
    """How to ask for the next page, in the query; empty if there is none."""
    for key, field in _NEXT.items():
        token = value.get(key)
        goes_on = key != "last_id" or value.get("has_more") is True
        if goes_on and isinstance(token, str) and token:
            return f"{field}={quote(token, safe='')}"
    return ""


def _model(fields: Any) -> Model | None:
    if not is_object(fields):
        return None
    id, name = fields.get("id", fields.get("model")), fields.get("name")
    if id is None and isinstance(name, str):
        id = name.removeprefix(_GEMINI)
    if not isinstance(id, str | int):
        return None
    name = fields.get("display_name") or fields.get("displayName") or name
    return Model(str(id), name if isinstance(name, str) else "", fields)
