"""AiChats' format, for all tests of formats: text, and pictures."""

import re

from tests.prompts import understands_prompt
from tokenwire import PROVIDERS, Chat, End, Event, Image, Provider, Text, as_chat
from tokenwire.testing import Subject
from tokenwire.testing.driving import Ending
from tokenwire.testing.subject import Sent

__all__ = ["SUBJECTS"]


def hears_lines_without_ends(chat: Chat, answer: list[Event]) -> list[Event]:
    """A `Text` of each line that was said, without the white space at both ends of the whole."""
    texts = [event.text for event in answer if isinstance(event, Text)]
    lines = [line for text in texts for line in re.split("\r\n|\r|\n", text)]
    whole = "".join(lines)
    start, end = len(whole) - len(whole.lstrip()), len(whole.rstrip())
    heard: list[Event] = []
    kept = ""  # white space goes with the text after it
    place = 0
    for line in lines:
        kept += whole[max(place, start) : min(place + len(line), end)]
        place += len(line)
        if text := kept.rstrip():
            heard.append(Text(text))
            kept = kept[len(text) :]
    return [*heard, End("body_end")]


def hears_a_picture(chat: Chat, answer: list[Event]) -> list[Event]:
    """The picture, with the address that the service gave it and the prompt that was sent."""
    (image,) = (event for event in answer if isinstance(event, Image))
    url = "https://ai-chats.org/pictures/1"
    prompt = chat.messages[-1].text
    return [Image(image.data, image.media_type, url, prompt), End("body_end")]


def understands_picture(provider: Provider, chat: Chat) -> Chat:
    return as_chat(chat.messages[-1].text, model="dalle")


def proven_by_http(sent: Sent, size: int, ending: Ending) -> bool:
    """Nothing but HTTP says where it ends."""
    return ending == "eof" and size > 0


def proven_by_http_at_a_character(sent: Sent, size: int, ending: Ending) -> bool:
    """Likewise, but half a character shows that HTTP is wrong."""
    whole = sent.body[:size].decode(errors="ignore").encode() == sent.body[:size]
    return whole and proven_by_http(sent, size, ending)


_provider = PROVIDERS["aichats"]
_REQUEST_WORDS = (b'"messagesHistory":[{"from":"you","content":"a"}]', b'"type":"chat"')

SUBJECTS = {
    "aichats": Subject(
        provider=_provider,
        short=[Text("h\u20ac"), Text("i"), Text(" \u20ac\n"), Text("!"), End("body_end")],
        asked={"model": "gpt-4"},
        hears=hears_lines_without_ends,
        understands=understands_prompt,
        proven=proven_by_http_at_a_character,
        form=(b"data: ", b""),
        seeds=(
            (b"\xef\xbb\xbfdata:a\r\ndata:  b \r\rfoo\ndata\ndata:\xff\x0b\n",),
            (b'{"error":"no"}',),
        ),
        words=_REQUEST_WORDS,
    ),
    "aichats-picture": Subject(
        provider=_provider,
        short=[Image(b"PNG", "image/png"), End("body_end")],
        asked={"model": "dalle"},
        hears=hears_a_picture,
        understands=understands_picture,
        proven=proven_by_http,
        seeds=(
            (b'{"data": [{"url": "https://img.test/1.png"}]}', b"\x89PNG"),
            (b'{"data":[{"url":"http://127.0.0.1/"}]}', b"PNG"),
            (b'{"data":[]}',),
            (b'{"error":{"message":"no"}}',),
        ),
        words=(
            *(b'{"data":[{"url":"', b"https://a.test/", b"http://127.0.0.1/", b"?k=sekret12"),
            *(b'"type":"image"', b"/pictures/1", *_REQUEST_WORDS),
        ),
        state={"1": ("image/png", b"PNG")},
    ),
}
