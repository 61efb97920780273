"""The client half of AiChatOnline's format."""

from typing import Any

import msgspec

from ....encoding import one_prompt
from ....errors import LocalProtocolError, Malformed
from ....events import Event, Text, Unrecognized
from ....question import Question
from ....step import LineStep, Step
from ....toolkit.http import check_plain
from ....toolkit.json import decode_json, further_in, is_object
from ....toolkit.refusals import is_refusal, refusal_of_object

__all__ = ["CHAT_PATH", "UNIQUE_ID_PATH", "TokenStep"]

UNIQUE_ID_PATH = "/api/v1/user/getUniqueId"
CHAT_PATH = "/aichatonline/api/chat/gpt"


class _Token(msgspec.Struct):
    data: str


_token = msgspec.json.Decoder(_Token)
_value = msgspec.json.Decoder()


class TokenStep(Step):
    """The request for a token, which the chat needs."""

    framing = "document"

    def __init__(self, question: Question) -> None:
        self._question = question
        self._prompt = one_prompt(question.chat.messages, question.provider.name)
        self.request = question.get(f"{UNIQUE_ID_PATH}?canvas=-{question.random_text(10)}")

    def document(self, body: bytes, events: list[Event]) -> Step:
        _check_code(decode_json(_value, body), body)
        try:
            token = check_plain(decode_json(_token, body).data, "token")
            token.encode("latin-1")
        except (Malformed, LocalProtocolError, UnicodeEncodeError):
            _check_refusal(decode_json(_value, body), body)
            raise Malformed("the reply has no unique id in data", data=body) from None
        return _ChatStep(self._question, self._prompt, token)


class _ChatStep(LineStep):
    framing = "lines"
    unfinished = "the connection closed before the end of the body"

    def __init__(self, question: Question, prompt: str, token: str) -> None:
        request = question.post(
            CHAT_PATH,
            {"conversationId": question.random_text(10), "prompt": prompt},
            {"uniqueid": token},
        )
        super().__init__(request, question.limits)

    def line(self, line: bytes, events: list[Event]) -> None:
        if not line.strip():
            return
        if line.strip() == b"[DONE]":
            self.evidence = "terminator"
            return
        value = decode_json(_value, line)
        _check_code(value, line)
        inner = value.get("data") if is_object(value) else None
        inner = inner if is_object(inner) else {}
        text = inner.get("message")
        if not isinstance(text, str):
            _check_refusal(value, line)
            events.append(Unrecognized(line))
            return
        if text:
            events.append(Text(text))
        events += [
            Unrecognized(msgspec.json.encode(said), f"data.{key}")
            for key, said in further_in(inner, "message").items()
        ]
        if value.get("error"):
            raise refusal_of_object({"error": value["error"]}, data=line)


def _check_code(value: Any, data: bytes) -> None:
    """Raises Refused if an envelope says another code than 200."""
    if is_object(value) and value.get("code") not in (200, "200", None):
        raise refusal_of_object(value, data=data)


def _check_refusal(value: Any, data: bytes) -> None:
    """Raises Refused if what stands instead of an answer is an error object."""
    if is_refusal(value):
        raise refusal_of_object(value, data=data)
