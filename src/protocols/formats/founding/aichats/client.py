"""The client half of AiChats' format."""

from codecs import utf_8_decode

import msgspec

from ....encoding import one_prompt
from ....errors import LocalProtocolError, Malformed, Truncated, brief
from ....events import Event, Image, Text, Unrecognized
from ....question import Question
from ....step import LineStep, Step
from ....toolkit.http import Headers, Request, content_type
from ....toolkit.json import decode_json
from ....toolkit.refusals import is_refusal, refusal_of_object

__all__ = ["ChatStep", "PictureStep"]

_PATH = "/chat/send2/"


def _request(question: Question, kind: str, content: str) -> Request:
    site = question.provider.site
    return question.post(
        _PATH,
        {"type": kind, "messagesHistory": [{"from": "you", "content": content}]},
        {"referer": f"{site}/image/" if kind == "image" else f"{site}/chat/"},
    )


class ChatStep(LineStep):
    """Text."""

    unfinished = "the connection closed before the end of the body"

    def __init__(self, question: Question) -> None:
        request = _request(
            question, "chat", one_prompt(question.chat.messages, question.provider.name)
        )
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


class PictureStep(Step):
    """The request for a picture, whose answer is its address."""

    framing = "document"

    def __init__(self, question: Question) -> None:
        self._question = question
        self._prompt = one_prompt(question.chat.messages[-1:], question.provider.name)
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
    framing = "bytes"
    media_types = None
    limit = "picture"
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
                f"content of type {brief(self._media_type)} came instead of a picture",
                data=bytes(self._data),
            )
        if not self._data:
            raise Malformed("the picture has no bytes")
        events.append(Image(bytes(self._data), self._media_type, self.request.url, self._prompt))


_BINARY = ("application/octet-stream", "binary/octet-stream")
