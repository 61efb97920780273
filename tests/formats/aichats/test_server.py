"""AiChats' format, server half."""

import json

import pytest

from tests.driving import JSON
from tokenwire.protocols.chat import Chat, Message, as_chat
from tokenwire.protocols.errors import (
    BadRequest,
    LocalProtocolError,
    Refused,
    Truncated,
)
from tokenwire.protocols.events import End, Event, Image, Text, Unrecognized
from tokenwire.protocols.exchange import Exchange
from tokenwire.protocols.formats.founding.aichats.server import PICTURES
from tokenwire.protocols.registry import PROVIDERS
from tokenwire.protocols.service import Service, pair
from tokenwire.protocols.toolkit.http import Request

END = End("body_end")


def ask() -> Exchange:
    return PROVIDERS["aichats"].exchange(as_chat("hi"))


def draw() -> Exchange:
    return PROVIDERS["aichats"].exchange(as_chat("a cat", model="dalle"))


def service() -> Service:
    return Service(PROVIDERS["aichats"])


def post(kind: str, *contents: str) -> Request:
    history = [{"from": "you", "content": content} for content in contents]
    body = json.dumps({"type": kind, "messagesHistory": history}).encode()
    return Request("POST", "https://ai-chats.org/chat/send2/", JSON, body)


@pytest.mark.parametrize(("kind", "model"), [("chat", "gpt-4"), ("image", "dalle")])
def test_the_server_understands(kind: str, model: str) -> None:
    chat = service().responder().receive_request(post(kind, "a", "b"))
    assert chat == Chat(messages=(Message("user", "a"), Message("user", "b")), model=model)


@pytest.mark.parametrize(
    ("request_", "status", "message"),
    [
        (post("video", "a"), 400, "^type is chat or image, and messagesHistory has one$"),
        (post("chat"), 400, "^type is chat or image, and messagesHistory has one$"),
        (Request("POST", "https://x.test/other", JSON, b"{}"), 404, "nothing at /other"),
        (Request("POST", "https://x.test/chat/send2/", JSON, b"{}"), 400, "unexpected shape"),
        (Request("GET", "https://x.test/chat/send2/", []), 405, "takes POST, not GET"),
        (Request("GET", "https://x.test/pictures/1", []), 404, "^there is no such picture$"),
        (Request("POST", "https://x.test/pictures/1", []), 405, "takes GET, not POST"),
    ],
)
def test_what_the_server_refuses(request_: Request, status: int, message: str) -> None:
    responder = service().responder()
    with pytest.raises(BadRequest, match=message) as caught:
        responder.receive_request(request_)
    assert caught.value.status == status
    responder.fail(caught.value)
    assert responder.head()[0] == status


def test_what_the_server_says() -> None:
    responder = service().responder()
    responder.receive_request(post("chat", "a"))
    status, headers = responder.head()
    assert (status, headers[0]) == (200, (b"content-type", b"text/event-stream; charset=utf-8"))
    assert responder.send(Text("a b")) == b"data: a b\n"
    assert responder.send(Text("a\nb\r\n\rc")) == b"data: a\ndata: b\ndata: \ndata: c\n"
    assert responder.send(End("body_end")) == b""
    assert responder.end() == b""
    assert responder.fail_midway(Refused("m1")) == b""  # the format has no way to say it


def test_pictures_that_the_server_makes() -> None:
    service = Service(PROVIDERS["aichats"], base_url="http://127.0.0.1:80/pictures")
    responder = service.responder()
    responder.receive_request(post("image", "a cat"))
    status, headers = responder.head()
    assert (status, headers[0]) == (200, (b"content-type", b"application/json"))
    sent = [responder.send(e) for e in (Image(b"PNG", "image/png"), End("body_end"))]
    assert sent == [b"", b""]
    assert responder.end() == b'{"data":[{"url":"http://127.0.0.1:80/pictures/pictures/1"}]}'
    fetch = service.responder()
    url = "http://127.0.0.1:80/pictures/pictures/1"
    assert fetch.receive_request(Request("GET", url, [])) is None
    assert fetch.head() == (200, [(b"content-type", b"image/png")])
    assert fetch.end() == b"PNG"


@pytest.mark.parametrize(
    ("kind", "event"),
    [
        ("chat", Image(b"PNG", "image/png")),
        ("chat", Unrecognized(b"x")),
        ("image", Text("a")),
    ],
)
def test_what_the_server_cannot_say(kind: str, event: Event) -> None:
    responder = service().responder()
    responder.receive_request(post(kind, "a"))
    message = f"^aichats can't say {type(event).__name__}: leave it out of the answer$"
    with pytest.raises(LocalProtocolError, match=message):
        responder.send(event)


def test_both_halves() -> None:
    assert list(pair(ask(), service(), lambda chat: [Text("a\nb"), END])) == [
        Text("a"),
        Text("b"),
        END,
    ]
    image = Image(b"PNG", "image/png", "https://ai-chats.org/pictures/1", "a cat")
    assert list(pair(draw(), service(), lambda chat: [image, END])) == [image, END]


def test_a_picture_without_the_end_is_no_answer() -> None:
    image = Image(b"PNG", "image/png")
    with pytest.raises(Truncated):
        list(pair(draw(), service(), lambda chat: [image]))


def test_one_picture_an_answer() -> None:
    responder = service().responder()
    responder.receive_request(post("image", "a cat"))
    image = Image(b"PNG", "image/png")
    responder.send(image)
    with pytest.raises(LocalProtocolError, match="can't say Image"):
        responder.send(image)


def test_the_last_pictures_can_be_fetched() -> None:
    server = service()
    for number in range(PICTURES + 1):
        responder = server.responder()
        responder.receive_request(post("image", "a cat"))
        responder.send(Image(b"%d" % number, "image/png"))

    def fetch(number: int) -> bytes:
        responder = server.responder()
        url = f"https://ai-chats.org/pictures/{number}"
        responder.receive_request(Request("GET", url, []))
        return responder.end()

    assert (fetch(2), fetch(PICTURES + 1)) == (b"1", b"%d" % PICTURES)
    with pytest.raises(BadRequest, match="no such picture"):
        fetch(1)
