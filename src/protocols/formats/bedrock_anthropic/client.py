"""The client half: the events of Anthropic Messages, each in a frame.

Sources: botocore's model of `bedrock-runtime` (2023-09-30), PyPI anthropic 2.14.0 (`lib/bedrock`),
and recordings.
"""

import msgspec

from ...aws import ERRORS
from ...errors import Malformed
from ...events import Event, Unrecognized
from ...question import Question
from ...step import FrameStep, Step
from ...toolkit.json import decode_json, is_object
from ..anthropic.client import AnthropicStep

__all__ = ["InvokeStep"]


class _Chunk(msgspec.Struct):
    """The payload of a `chunk`: an event in base64. Its further keys are padding."""

    bytes: bytes


_chunk = msgspec.json.Decoder(_Chunk)
_value = msgspec.json.Decoder()
_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])
_OWN = b'"amazon-bedrock-'
"""How the keys begin that Bedrock adds to the vendor's events."""


class InvokeStep(FrameStep):
    """One message, streamed or not."""

    unfinished = AnthropicStep.unfinished
    errors = ERRORS

    def __init__(self, question: Question) -> None:
        self._inner = AnthropicStep(question)
        self._inner.errors = ERRORS
        super().__init__(self._inner.request, question.limits)

    def event(self, data: bytes, type: str, events: list[Event]) -> None:
        if type != "chunk":
            events.append(Unrecognized(data, type))
            return
        payload = _payload_of(data)
        if payload is None or payload[:1] != b"{":  # an agent's is text
            events.append(Unrecognized(data if payload is None else payload))
            return
        if _OWN in payload:
            for key, value in decode_json(_fields, payload).items():
                if key.startswith("amazon-bedrock-"):
                    events.append(Unrecognized(bytes(value), key))
        if not self._inner.is_ping(payload, "message"):
            self._inner.payloads([payload], events)
        self.evidence = self._inner.evidence

    def document(self, body: bytes, events: list[Event]) -> Step | None:
        following = self._inner.document(body, events)
        self.evidence = self._inner.evidence
        return following

    def settle(self, proven: bool, events: list[Event]) -> None:
        self._inner.settle(proven, events)
        self.failure = self._inner.failure


def _payload_of(data: bytes) -> bytes | None:
    """What is in a chunk: an event, as a rule. Some emulators put that there as it is. None: it is
    neither."""
    try:
        return decode_json(_chunk, data).bytes
    except Malformed:
        value = decode_json(_value, data)
    return data if is_object(value) and "type" in value else None
