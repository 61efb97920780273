"""The server half of AiChatOnline's format."""

import msgspec

from ....chat import Chat, as_chat
from ....errors import AuthenticationFailed, LocalProtocolError, RemoteProtocolError
from ....events import Event, Text, Unrecognized
from ....reading import read_json
from ....refusing import refuse, status_of
from ....service import Responder
from ....toolkit.http import Request, get_header

__all__ = ["TOKENS", "AiChatOnlineResponder"]

TOKENS = 10_000
"""How many tokens are valid: the last ones."""


class _Prompt(msgspec.Struct):
    prompt: str
    conversation: str = msgspec.field(name="conversationId")


_prompt = msgspec.json.Decoder(_Prompt)


class AiChatOnlineResponder(Responder):
    """Answers one request: for a token, or a chat."""

    content_type = b"application/json"

    def read(self, request: Request, found: dict[str, str]) -> Chat:
        asked = read_json(request, _prompt)
        if get_header(request.headers, b"uniqueid") not in self.service.state:
            raise refuse(AuthenticationFailed, 401, "the UniqueId is missing or was not issued")
        return as_chat(asked.prompt, model=self.service.provider.default_model)

    def answer(self, does: str, request: Request, found: dict[str, str]) -> bytes:
        tokens: dict[str, None] = self.service.state
        token = f"unique-{self.service.number()}"
        tokens[token] = None
        if len(tokens) > TOKENS:
            del tokens[next(iter(tokens))]
        return msgspec.json.encode({"code": 200, "data": token})

    def write(self, event: Event) -> bytes:
        match event:
            case Text():
                return msgspec.json.encode({"code": 200, "data": {"message": event.text}}) + b"\n"
            case Unrecognized():
                return event.raw + b"\n"
            case _:
                return b""

    def fail_midway(self, error: RemoteProtocolError | LocalProtocolError) -> bytes:
        return msgspec.json.encode({"code": status_of(error), "message": error.message}) + b"\n"
