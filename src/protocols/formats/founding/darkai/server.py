"""The server half of DarkAI's format."""

from typing import Any

import msgspec

from ....chat import Chat, as_chat
from ....errors import LocalProtocolError, RemoteProtocolError
from ....events import Event, Text, Unrecognized
from ....reading import read_json
from ....service import Responder
from ....toolkit.http import Request

__all__ = ["DarkAIResponder"]


class _Query(msgspec.Struct):
    query: str
    model: str


_query = msgspec.json.Decoder(_Query)


class DarkAIResponder(Responder):
    """Answers one request."""

    def read(self, request: Request, found: dict[str, str]) -> Chat:
        query = read_json(request, _query)
        return as_chat(query.query, model=self.service.check_model(query.model))

    def write(self, event: Event) -> bytes:
        match event:
            case Text():
                return _line({"event": "text-chunk", "data": {"text": event.text}})
            case Unrecognized():
                return event.raw + b"\n\n"
            case _:
                return _line({"event": "stream-end", "data": {}})

    def fail_midway(self, error: RemoteProtocolError | LocalProtocolError) -> bytes:
        detail = msgspec.json.encode({"data": {"detail": error.message}})
        return b"event: error\ndata: " + detail + b"\n\n"


def _line(value: dict[str, Any]) -> bytes:
    return b"data: " + msgspec.json.encode(value) + b"\n\n"
