"""The `aichatonline` dialect (aichatonline.org): a token first, then JSON lines.

    GET  /api/v1/user/getUniqueId?canvas=-<random>   ->  {"data": "<token>"}
    POST /aichatonline/api/chat/gpt                  ->  {"data": {"message": "..."}} a line

The random strings defeat caches, and come from `random=`. Its service no longer answers. What its
server half can't say: any event but `Text` and `Unrecognized`; history and roles.
"""

from typing import Any

import msgspec

from ....body import BodyKind, LineStep, Step
from ....chat import Chat, Message, flatten
from ....errors import AuthenticationFailed, LocalProtocolError, Malformed
from ....events import End, Event, Text, Unrecognized
from ....provider import Provider, Question
from ....service import Responder, Service, expect_route, read_json_post, refuse, status_of
from ....toolkit.http import Request, check_plain, get_header
from ....toolkit.json import decode_json, is_object
from ....toolkit.refusals import is_refusal, refusal_of_object

__all__ = ["PROVIDER", "AiChatOnline"]

_UNIQUE_ID_PATH = "/api/v1/user/getUniqueId"
_CHAT_PATH = "/aichatonline/api/chat/gpt"


class AiChatOnline:
    """The dialect."""

    def ask(self, question: Question) -> Step:
        """The client's side: the request for a token, then the chat."""
        question.refuse_options()
        return _TokenStep(question, flatten(question.chat.messages))

    def respond(self, service: Service) -> Responder:
        """The server's side of one request."""
        return _Responder(service)


class _Token(msgspec.Struct):
    data: str


_token = msgspec.json.Decoder(_Token)
_value = msgspec.json.Decoder()


class _TokenStep(Step):
    kind: BodyKind = "document"

    def __init__(self, question: Question, prompt: str) -> None:
        self._question = question
        self._prompt = prompt
        self.request = question.get(f"{_UNIQUE_ID_PATH}?canvas=-{question.random_text(10)}")

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
    kind: BodyKind = "lines"
    unfinished = "the connection closed before the end of the body"

    def __init__(self, question: Question, prompt: str, token: str) -> None:
        request = question.post(
            _CHAT_PATH,
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
        text = inner.get("message") if is_object(inner) else None
        if not isinstance(text, str):
            _check_refusal(value, line)
            events.append(Unrecognized(line))
        elif text:
            events.append(Text(text))


def _check_code(value: Any, data: bytes) -> None:
    """Raises Refused if an envelope says another code than 200."""
    if is_object(value) and value.get("code") not in (200, "200", None):
        raise refusal_of_object(value, data=data)


def _check_refusal(value: Any, data: bytes) -> None:
    """Raises Refused if what stands in the place of an answer is an error object."""
    if is_refusal(value):
        raise refusal_of_object(value, data=data)


class _Prompt(msgspec.Struct):
    prompt: str
    conversation: str = msgspec.field(name="conversationId")


_prompt = msgspec.json.Decoder(_Prompt)


class _Responder(Responder):
    _body = b""

    def receive_request(self, request: Request) -> Chat | None:
        self.headers = [(b"content-type", b"application/json")]
        if _UNIQUE_ID_PATH in request.target:
            expect_route(request, "GET", _UNIQUE_ID_PATH)
            self._body = msgspec.json.encode({"code": 200, "data": self.service.give_token()})
            return None
        asked = read_json_post(request, _CHAT_PATH, _prompt)
        if get_header(request.headers, b"uniqueid") not in self.service.tokens:
            raise refuse(AuthenticationFailed, 401, "the UniqueId is missing or was not given out")
        return Chat(
            messages=(Message("user", asked.prompt),), model=self.service.provider.default_model
        )

    def send(self, event: Event) -> bytes:
        match event:
            case Text():
                return msgspec.json.encode({"code": 200, "data": {"message": event.text}}) + b"\n"
            case Unrecognized(raw=raw, place=""):
                return raw + b"\n"
            case End():
                return b""
            case _:
                name = type(event).__name__
                raise LocalProtocolError(f"aichatonline can't say {name}: leave it out")

    def end(self) -> bytes:
        return self._body

    def fail_midway(self, error: Any) -> bytes:
        return msgspec.json.encode({"code": status_of(error), "message": str(error)}) + b"\n"


PROVIDER = Provider(
    name="aichatonline",
    dialect=AiChatOnline(),
    base_url="https://aichatonlineorg.erweima.ai",
    site="https://aichatonline.org",
    models=("gpt-4o-mini",),
    default_model="gpt-4o-mini",
    capabilities=frozenset(("text",)),
    working=False,
    owes="body_end",
    headers={
        "accept-language": "de,en-US;q=0.7,en;q=0.3",
        "referer": "https://aichatonlineorg.erweima.ai/chatgpt/chat/",
        "origin": "https://aichatonlineorg.erweima.ai",
        "alt-used": "aichatonline.org",
    },
)
