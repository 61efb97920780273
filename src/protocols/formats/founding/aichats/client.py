"""The `aichats` dialect (ai-chats.org): raw text in `data: ` lines; a picture in two requests.

The text of all lines is joined with nothing between them, and white space at both ends of the
whole is no part of it. A picture comes as one JSON object with its address, which is then fetched.
Its service no longer answers. What its server half can't say: any event but `Text` and one `Image`;
text that begins or ends with white space; line ends, which become nothing.
"""

from codecs import utf_8_decode

import msgspec

from ....body import BodyKind, LineStep, Step
from ....chat import Chat, Message, flatten
from ....errors import BadRequest, LocalProtocolError, Malformed, Truncated, brief
from ....events import End, Event, Image, Text, Unrecognized
from ....provider import Provider, Question
from ....service import Responder, Service, expect_route, read_json_post, refuse
from ....toolkit.http import Headers, Request, content_type
from ....toolkit.json import decode_json
from ....toolkit.refusals import is_refusal, refusal_of_object

__all__ = ["PROVIDER", "AiChats"]

_PATH = "/chat/send2/"
_PICTURES = "/pictures/"


class AiChats:
    """The dialect."""

    def ask(self, question: Question) -> Step:
        """The client's side: a chat by the model gpt-4, a picture by dalle."""
        question.refuse_options()
        return _PictureStep(question) if question.model == "dalle" else _ChatStep(question)

    def respond(self, service: Service) -> Responder:
        """The server's side of one request."""
        return _Responder(service)


def _request(question: Question, kind: str, content: str) -> Request:
    site = question.provider.site
    return question.post(
        _PATH,
        {"type": kind, "messagesHistory": [{"from": "you", "content": content}]},
        {"referer": f"{site}/image/" if kind == "image" else f"{site}/chat/"},
    )


class _ChatStep(LineStep):
    unfinished = "the connection closed before the end of the body"

    def __init__(self, question: Question) -> None:
        request = _request(question, "chat", flatten(question.chat.messages))
        super().__init__(request, question.limits)
        self._began = False
        self._space = bytearray()  # white space that is text only if more text follows

    def line(self, line: bytes, events: list[Event]) -> None:
        name, colon, value = line.partition(b":")
        if colon and not name:  # a comment
            return
        if name != b"data" or not colon:
            events.append(Unrecognized(line))
            return
        value = value.removeprefix(b" ")
        text = value.decode(errors="replace")
        if not self._began:
            text = text.lstrip()
        kept = text.rstrip()
        if kept:
            self._began = True
            events.append(Text(self._space.decode() + kept))
            self._space.clear()
        self._space += text[len(kept) :].encode()

    def eof(self, events: list[Event]) -> None:
        # Half a character shows that the answer was cut, whatever HTTP says of the body.
        rest = self._lines.rest
        _, size = utf_8_decode(rest, "replace", False)
        if size:
            self.line(rest[:size], events)
        if size < len(rest):
            raise Truncated(f"{self.unfinished}, inside a character", data=rest)


class _Picture(msgspec.Struct):
    url: str


class _Pictures(msgspec.Struct):
    data: list[_Picture]


_pictures = msgspec.json.Decoder(_Pictures)
_value = msgspec.json.Decoder()


class _PictureStep(Step):
    kind: BodyKind = "document"

    def __init__(self, question: Question) -> None:
        if not question.chat.messages:
            raise LocalProtocolError("no message: a chat needs at least one")
        self._question = question
        self._prompt = question.chat.messages[-1].text
        self.request = _request(question, "image", self._prompt)

    def document(self, body: bytes, events: list[Event]) -> Step:
        value = decode_json(_value, body)
        if is_refusal(value):
            raise refusal_of_object(value, data=body)
        try:
            url = decode_json(_pictures, body).data[0].url
            request = self._question.get_server_chosen(url)
        except (Malformed, IndexError, LocalProtocolError):
            raise Malformed(
                "the reply has no picture's address in data[0].url", data=body
            ) from None
        return _FetchStep(request, self._prompt)


class _FetchStep(Step):
    kind: BodyKind = "bytes"
    unfinished = "the connection closed before the end of the picture"

    def __init__(self, request: Request, prompt: str) -> None:
        self.request = request
        self._prompt = prompt
        self._media_type = ""
        self._data = bytearray()

    def response(self, status: int, headers: Headers) -> None:
        self._media_type = content_type(headers) or "application/octet-stream"

    def data(self, data: bytes, events: list[Event]) -> None:
        self._data += data

    def eof(self, events: list[Event]) -> None:
        if self._media_type not in _BINARY and not self._media_type.startswith("image/"):
            raise Malformed(
                f"content of type {brief(self._media_type)} came in the place of a picture",
                data=bytes(self._data),
            )
        if not self._data:
            raise Malformed("the picture has no bytes")
        events.append(Image(bytes(self._data), self._media_type, self.request.url, self._prompt))


_BINARY = ("application/octet-stream", "binary/octet-stream")


class _Turn(msgspec.Struct):
    content: str
    sender: str = msgspec.field(name="from")


class _Question(msgspec.Struct):
    type: str
    messages: list[_Turn] = msgspec.field(name="messagesHistory")


_question = msgspec.json.Decoder(_Question)


class _Responder(Responder):
    _picture_asked = False
    _body = b""

    def receive_request(self, request: Request) -> Chat | None:
        if _PICTURES in request.target:
            expect_route(request, "GET", request.target)
            self._give_picture(request.target)
            return None
        asked = read_json_post(request, _PATH, _question)
        if asked.type not in ("chat", "image") or not asked.messages:
            raise refuse(BadRequest, 400, "type is chat or image, and messagesHistory has one")
        self._picture_asked = asked.type == "image"
        if self._picture_asked:
            self.headers = [(b"content-type", b"application/json")]
        model = "dalle" if self._picture_asked else "gpt-4"
        messages = tuple(Message("user", turn.content) for turn in asked.messages)
        return Chat(messages=messages, model=model)

    def send(self, event: Event) -> bytes:
        match event:
            case Text() if not self._picture_asked:
                return _write(event.text)
            case Image() if self._picture_asked and not self._body:
                self._body = self._keep_picture(event)
            case End():
                pass
            case _:
                name = type(event).__name__
                what = "an image" if self._picture_asked else "a chat"
                raise LocalProtocolError(f"aichats can't say {name} in answer to {what}")
        return b""

    def end(self) -> bytes:
        return self._body

    def _keep_picture(self, image: Image) -> bytes:
        name = f"{_PICTURES}{self.service.number()}"
        self.service.keep_picture(name, image.media_type, image.data)
        return msgspec.json.encode({"data": [{"url": self.service.base_url + name}]})

    def _give_picture(self, target: str) -> None:
        found = self.service.pictures.get(target[target.rindex(_PICTURES) :])
        if found is None:
            raise refuse(BadRequest, 404, "there is no such picture")
        media_type, self._body = found
        self.headers = [(b"content-type", media_type.encode())]


def _write(text: str) -> bytes:
    return b"".join(b"data: " + line + b"\n" for line in text.encode().splitlines())


PROVIDER = Provider(
    name="aichats",
    dialect=AiChats(),
    base_url="https://ai-chats.org",
    site="https://ai-chats.org",
    models=("gpt-4", "dalle"),
    default_model="gpt-4",
    capabilities=frozenset(("text", "images")),
    working=False,
    owes="body_end",
    headers={
        "accept": "application/json, text/event-stream",
        "accept-language": "en-US,en;q=0.9",
        "cache-control": "no-cache",
        "origin": "https://ai-chats.org",
        "pragma": "no-cache",
    },
)
