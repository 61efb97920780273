"""The server half: the events of Anthropic Messages, each in a frame."""

from base64 import b64encode
from typing import Any

import msgspec

from ...aws import AwsResponder, event_frame
from ...chat import Chat
from ...errors import BadRequest, LocalProtocolError, RemoteProtocolError
from ...events import Text
from ...refusing import refuse
from ...toolkit.http import Request
from ..anthropic.server import AnthropicResponder

__all__ = ["InvokeResponder"]


class InvokeResponder(AwsResponder, AnthropicResponder):
    """Answers one request for a message, streamed or not: the path says which."""

    labelled = False  # boto3 does not

    def read(self, request: Request, found: dict[str, str]) -> Chat:
        chat = super().read(request, found)
        extra = dict(chat.extra)
        if extra.pop("anthropic_version", None) is None:
            raise refuse(BadRequest, 400, "anthropic_version: Field required")
        return chat.replace(stream=self.is_streamed(request), extra=extra)

    def go_on(self, event: Text) -> bytes | None:
        return None  # it needs a frame

    def frame(self, event: dict[str, Any]) -> bytes:
        chunk = {"bytes": b64encode(msgspec.json.encode(event)).decode()}
        return event_frame("chunk", msgspec.json.encode(chunk))

    def fail_midway(self, error: RemoteProtocolError | LocalProtocolError) -> bytes:
        return AwsResponder.fail_midway(self, error)
