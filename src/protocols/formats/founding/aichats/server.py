"""The server half of AiChats' format."""

import msgspec

from ....chat import Chat, Message
from ....errors import BadRequest
from ....events import Event, Image, Text
from ....reading import read_json
from ....refusing import refuse
from ....service import Responder
from ....toolkit.http import Request

__all__ = ["PICTURES", "AiChatsResponder"]

PICTURES = 1_000
"""How many pictures a service holds ready to be fetched: the last ones."""


class _Turn(msgspec.Struct):
    content: str
    sender: str = msgspec.field(name="from")


class _Question(msgspec.Struct):
    type: str
    messages: list[_Turn] = msgspec.field(name="messagesHistory")


_question = msgspec.json.Decoder(_Question)


class AiChatsResponder(Responder):
    """Answers one request: for text, for a picture's address, or for the picture."""

    def read(self, request: Request, found: dict[str, str]) -> Chat:
        asked = read_json(request, _question)
        if asked.type not in ("chat", "image") or not asked.messages:
            raise refuse(BadRequest, 400, "type is chat or image, and messagesHistory has one")
        model = "gpt-4"
        if asked.type == "image":
            self.headers = [(b"content-type", b"application/json")]
            model = "dalle"
        messages = tuple(Message("user", turn.content) for turn in asked.messages)
        return Chat(messages=messages, model=model)

    def can_say(self, event: Event) -> bool:
        return super().can_say(event) and not (isinstance(event, Image) and self._body)

    def write(self, event: Event) -> bytes:
        if isinstance(event, Text):
            lines = event.text.encode().splitlines()
            return b"".join(b"data: " + line + b"\n" for line in lines)
        if isinstance(event, Image):
            number = str(self.service.number())
            pictures: dict[str, tuple[str, bytes]] = self.service.state
            pictures[number] = event.media_type, event.data
            if len(pictures) > PICTURES:
                del pictures[next(iter(pictures))]
            url = f"{self.base_url}/pictures/{number}"
            self._body = msgspec.json.encode({"data": [{"url": url}]})
        return b""

    def answer(self, does: str, request: Request, found: dict[str, str]) -> bytes:
        picture = self.service.state.get(found["number"])
        if picture is None:
            raise refuse(BadRequest, 404, "there is no such picture")
        media_type, data = picture
        self.headers = [(b"content-type", media_type.encode())]
        return bytes(data)
