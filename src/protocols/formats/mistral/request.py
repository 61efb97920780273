"""A chat as the body of a request to Mistral: OpenAI's, with what its strict schema has instead.

Source: mistralai/platform-docs-public, openapi.yaml; what is refused, by reports of 422.
"""

import re
from collections.abc import Sequence
from hashlib import sha256
from typing import Any

from ...chat import FilePart, Message, Part, ReasoningPart, RefusalPart, TextPart
from ...encoding import call_ids
from ...errors import LocalProtocolError
from ...question import Question
from ...toolkit.media import data_of
from ..openai_chat.request import MessageWriter, encode_chat

__all__ = ["ID", "encode", "nine"]

ID = re.compile("[a-zA-Z0-9]{9}")
_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def encode(question: Question) -> dict[str, Any]:
    """The request body, without what is not set. Raises LocalProtocolError."""
    body = encode_chat(question.chat, question.model, question.provider, _MessageWriter)
    body.pop("stream_options", None)  # unknown there
    if "seed" in body:
        body["random_seed"] = body.pop("seed")
    if body.get("tool_choice") == "required":
        body["tool_choice"] = "any"
    last = body["messages"][-1]
    if last["role"] == "assistant":  # the answer goes on with it
        last.setdefault("prefix", True)
    return body


class _MessageWriter(MessageWriter):
    dialect = "mistral"

    @staticmethod
    def ids(messages: Sequence[Message]) -> dict[tuple[int, int], str]:
        """See `nine`. Raises LocalProtocolError if two become the same."""
        ids = call_ids(messages)
        short = {id: nine(id) for id in ids.values()}
        if len({*short.values()}) < len(short):
            raise LocalProtocolError("the ids of two calls become the same here: change one")
        return {place: short[id] for place, id in ids.items()}

    def _add(self, part: Part) -> None:
        match part:
            case ReasoningPart():
                self._expect(part, "assistant")
                thinking = [{"type": "text", "text": part.text}]
                self._content.append({"type": "thinking", "thinking": thinking, "closed": True})
            case RefusalPart():
                self._expect(part, "assistant")
                super()._add(TextPart(part.text))
            case _:
                super()._add(part)

    def _content_value(self) -> Any:
        return super()._content_value() or ""

    def _file(self, part: FilePart) -> dict[str, Any]:
        told, data = data_of(part.url)
        media_type = part.media_type or told
        if media_type.startswith("audio/"):
            return {"type": "input_audio", "input_audio": part.url if data is None else data}
        if media_type.startswith("video/"):
            raise LocalProtocolError(f"mistral can't take {media_type}: leave it out")
        name = {"document_name": part.name} if part.name else {}
        return {"type": "document_url", "document_url": part.url, **name}


def nine(id: str) -> str:
    """`id`, if it has nine letters or digits, as all of Mistral's; else the first nine digits, in
    base 62, of its SHA-256."""
    if ID.fullmatch(id):
        return id
    number, digits = int.from_bytes(sha256(id.encode(errors="surrogatepass")).digest()), ""
    while number:
        number, digit = divmod(number, 62)
        digits = _DIGITS[digit] + digits
    return digits[:9]
