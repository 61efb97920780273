"""A request beside the chat, whose answer is one JSON document that somebody else reads."""

import msgspec

from .events import Event
from .question import Question
from .step import Step
from .toolkit.json import decode_json
from .toolkit.refusals import is_refusal, refusal_of_object

__all__ = ["DocumentStep"]

_value = msgspec.json.Decoder()


class DocumentStep(Step):
    """Sends `body` to `path`. The document is only looked at for an error that it reports."""

    framing = "document"
    unfinished = "the body ended before the JSON document was complete"

    def __init__(self, question: Question, path: str, body: bytes) -> None:
        self.request = question.post_document(path, body)
        self.errors = question.errors

    def document(self, body: bytes, events: list[Event]) -> Step | None:
        value = decode_json(_value, body)
        if is_refusal(value, self.errors):
            raise refusal_of_object(value, self.errors, data=body)
        self.evidence = "terminator"
        return None
