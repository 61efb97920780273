"""The server halves: any bytes as a request.

An input is the body of a request that is right but for that; or, if a bit of the last byte says so,
the request line, lines of headers, a blank line and the body. The last byte but one says which
service. What may come out: `Refused`, with the status to answer, and `Malformed`. A chat that comes
of it can be answered, and asked again.
"""

import json
from collections.abc import Iterable
from random import Random
from typing import Any

from tests.fuzzing.seeds import JSON_WORDS
from tests.fuzzing.source import Target, split
from tokenwire.protocols.chat import Chat, ImagePart, Message, TextPart, Tool, ToolCall
from tokenwire.protocols.echo import echo
from tokenwire.protocols.errors import LocalProtocolError, Malformed, Refused
from tokenwire.protocols.events import End, Event
from tokenwire.protocols.provider import Provider
from tokenwire.protocols.registry import PROVIDERS
from tokenwire.protocols.service import Responder, Service, pair
from tokenwire.protocols.toolkit.http import Headers, Request

__all__ = ["REQUESTS"]

_NAMES = list(PROVIDERS)
_URL = "http://peer.example"
_PATHS = {
    "openai": "/chat/completions",
    "ylokh": "/chat/completions",
    "darkai": "/chat",
    "aichats": "/chat/send2/",
    "aichatonline": "/aichatonline/api/chat/gpt",
}


_STATES: dict[str, dict[str, Any]] = {
    "aichats": {"7": ("image/png", b"PNG")},
    "aichatonline": {"unique-1": None},
}
"""What a service keeps already."""


def _fuzz(data: bytes) -> None:
    text, choices = split(data, 2)
    provider = PROVIDERS[_NAMES[choices[0] % len(_NAMES)]]
    service = Service(provider, base_url=_URL, key="sekret" if choices[1] & 1 else None)
    if provider.name in _STATES:
        service.state.update(_STATES[provider.name])
    request = _request(text) if choices[1] & 2 else _post(provider.name, text)
    responder = service.responder()
    try:
        chat = responder.receive_request(request)
    except (Refused, Malformed) as error:
        body = responder.fail(error)
        status, headers = responder.head()
        assert 400 <= status < 600
        assert isinstance(json.loads(body), dict)
        _check_headers(headers)
        return
    _check_headers(responder.headers)
    assert responder.status == 200
    if chat is None:
        assert responder.end()
    elif (chat.n or 1) <= 2:
        _answer(responder, provider, chat)
        _ask_again(provider, chat)


def _request(text: bytes) -> Request:
    head, _, body = text.partition(b"\n\n")
    first, *lines = head.split(b"\n")
    method, _, target = first.decode("latin-1").partition(" ")
    fields = (line.partition(b":") for line in lines)
    headers = [(name.lower(), value) for name, _, value in fields]
    return Request(method, _URL + "/" + target.removeprefix("/"), headers, body)


def _post(name: str, body: bytes) -> Request:
    headers = [(b"content-type", b"application/json"), (b"authorization", b"Bearer sekret")]
    headers.append((b"uniqueid", b"unique-1"))
    return Request("POST", _URL + _PATHS[name], headers, body)


def _check_headers(headers: Headers) -> None:
    for name, value in headers:
        assert name.islower()
        assert b"\n" not in value
        assert b"\r" not in value


def _answer(responder: Responder, provider: Provider, chat: Chat) -> None:
    events = list(echo(provider)(chat))
    body = b"".join(map(responder.send, events)) + responder.end()
    assert body or not chat.stream


def _ask_again(provider: Provider, chat: Chat) -> None:
    """What was asked can be asked of another service, and comes there as it was, but for what
    the provider or the dialect adds, and what one prompt can't say. That again comes as it is."""
    try:
        once = _heard(provider, chat)
    except LocalProtocolError:
        return  # a server takes what its client can't write
    assert _heard(provider, once) == once
    if provider.dialect.name == "openai_chat":
        said, heard = list(map(_said, chat.messages)), list(map(_said, once.messages))
        assert heard == said, (heard, said)


def _said(message: Message) -> tuple[object, ...]:
    """What of a message always comes as it was: ids that are missing are made up, and thoughts
    stay with the client if the service has no place for them."""
    calls = [(call.name, call.arguments, call.custom) for call in message.tool_calls]
    return message.role, message.name, message.text, calls, message.extra


def _heard(provider: Provider, chat: Chat) -> Chat:
    """The chat that a service hears when `chat` is asked, and whose answer is a success."""
    heard: list[Chat] = []

    def answer(asked: Chat) -> Iterable[Event]:
        heard.append(asked)
        return echo(provider)(asked)

    exchange = provider.exchange(chat, base_url=_URL, random=Random(1))
    events = list(pair(exchange, Service(provider, base_url=_URL), answer))
    assert isinstance(events[-1], End)
    return heard[0]


def _asked(name: str, chat: Chat) -> bytes:
    exchange = PROVIDERS[name].exchange(chat, base_url=_URL, random=Random(1))
    request = exchange.next_request()
    assert request is not None
    if name == "aichatonline":
        exchange.receive_response(200, [])
        exchange.receive_data(b'{"data":"unique-1"}')
        exchange.receive_eof()
        request = exchange.next_request()
        assert request is not None
    headers = b"".join(b"\n%b:%b" % pair for pair in request.headers if pair[0] in _SHORT)
    return f"{request.method} {request.target}".encode() + headers + b"\n\n" + request.body


_SHORT = (b"content-type", b"authorization", b"uniqueid")


def _seeds() -> list[bytes]:
    hi = Chat(messages=(Message("user", "hi \u20ac"),), model="m")
    tool = Tool("f", "d", {"type": "object"})
    rich = Chat(
        messages=(
            Message("system", "s", name="n"),
            Message("user", (TextPart("a"), ImagePart("https://a.test/1.png"))),
            Message("assistant", (ToolCall("c", "f", "{}"),)),
            Message("tool", "r", tool_call_id="c"),
        ),
        model="m",
        tools=(tool,),
        tool_choice="f",
        temperature=0.5,
        top_p=1.0,
        max_tokens=9,
        stop=("x", "y"),
        n=2,
        seed=7,
        stream=False,
        extra={"stream_options": {"include_usage": True}, "user": "u"},
    )
    calling = hi.replace(tools=(tool,), tool_choice="required")
    number = {name: bytes((index,)) for index, name in enumerate(_NAMES)}
    asked = [("openai", chat) for chat in (hi, rich, calling)]
    asked += [(name, hi.replace(model="")) for name in _NAMES if name != "openai"]
    asked.append(("aichats", hi.replace(model="dalle")))
    seeds = [_asked(name, chat) + number[name] + b"\2" for name, chat in asked]
    seeds += [seed.partition(b"\n\n")[2][:-1] + b"\0" for seed in seeds]
    for request, name in (
        (b"GET /pictures/7?x", "aichats"),
        (b"GET /pictures/7", "aichats"),
        (b"GET /api/v1/user/getUniqueId?canvas=-1", "aichatonline"),
        (b"DELETE /chat/completions\nauthorization:Bearer sekret", "openai"),
        (b"POST /chat/completions\nauthorization:Bearer sekret", "openai"),
    ):
        seeds += [request + b"\n\n" + number[name] + choice for choice in (b"\2", b"\3")]
    return seeds


REQUESTS = Target(
    _fuzz,
    _seeds(),
    [
        *JSON_WORDS,
        *(b"\n", b"\n\n", b"POST ", b"GET ", b"authorization:Bearer sekret", b"/pictures/7"),
        *(
            b'"messages":[{"role":"user","content":"a"}] "model":"m" "stream":true "n":1 "n":2 '
            b'"role":"system" "role":"tool" "tool_call_id":"c" "tools":[{"function":{ "seed":1 '
            b'"tool_choice":"required" "tool_choice":{"function":{"name":"f"}} "stop":["x"] '
            b'"content":[{"type":"text","text":"a"}] {"type":"image_url","image_url":{"url":"u"}} '
            b'"temperature":1 "max_tokens":1 "name":"f" "parameters":{} "query":"a" "prompt":"a" '
            b'"conversationId":"a" "type":"image" "messagesHistory":[{"from":"you","content":"a"}] '
            b'content-type:application/json uniqueid:unique-1 "gpt-4o" "stream":false ?'
        ).split(),
    ],
    max_len=1200,
)
