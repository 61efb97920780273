"""The server halves: any bytes as a request.

An input is the body of a request that is right but for that; or, if a bit of the last byte says so,
the request line, lines of headers, a blank line and the body. The last byte but one says which
subject. What may come out: `Refused`, with the status to answer, and `Malformed`. A chat that comes
of it can be answered, and asked again.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from copy import copy
from random import Random
from typing import Any

from tests.fuzzing.seeds import words
from tests.fuzzing.source import Target, split
from tokenwire.protocols.auth import NoKey
from tokenwire.protocols.chat import (
    Chat,
    FilePart,
    ImagePart,
    Message,
    Part,
    TextPart,
    Tool,
    ToolCall,
    as_chat,
)
from tokenwire.protocols.echo import echo
from tokenwire.protocols.errors import LocalProtocolError, Malformed, Refused
from tokenwire.protocols.events import End, Event
from tokenwire.protocols.provider import Provider
from tokenwire.protocols.service import Responder, Service, pair
from tokenwire.protocols.toolkit.http import Headers, Request
from tokenwire.testing import Subject

__all__ = ["request_of", "requests"]

_URL = "http://peer.example"
_KEY = "sekret"


class _Server:
    """The server half of one subject."""

    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        self._asked = _signed(subject.provider, _question(subject))

    def fuzz(self, text: bytes, choice: int) -> None:
        """`text` is a whole request, or the body of one that is right but for that."""
        provider = self._subject.provider
        service = Service(provider, base_url=_URL, key=_KEY if choice & 1 else None)
        if self._subject.state is not None:
            service.state = copy(self._subject.state)
        request = request_of(text) if choice & 2 else self._post(text)
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
            self._ask_again(chat)

    def _post(self, body: bytes) -> Request:
        asked = self._asked
        return Request(asked.method, asked.url, asked.headers, body)

    def _ask_again(self, chat: Chat) -> None:
        """What was asked can be asked of another service, and arrives there as the subject says,
        but for what is made up, and for what the provider adds. That again arrives as it is."""
        provider = self._subject.provider
        try:
            once = _heard(provider, chat)
        except LocalProtocolError:
            return  # a server takes what its client can't write
        assert _heard(provider, once) == once
        expected = self._subject.understands(provider, chat)
        said, heard = list(map(_said, expected.messages)), list(map(_said, once.messages))
        assert heard == said, (heard, said)


def request_of(text: bytes) -> Request:
    """The request line, lines of headers, a blank line and the body, as a request."""
    head, _, body = text.partition(b"\n\n")
    first, *lines = head.split(b"\n")
    method, _, target = first.decode("latin-1").partition(" ")
    fields = (line.partition(b":") for line in lines)
    headers = [(name.lower(), value) for name, _, value in fields]
    return Request(method, _URL + "/" + target.removeprefix("/"), headers, body)


def _check_headers(headers: Headers) -> None:
    for name, value in headers:
        assert name.islower()
        assert b"\n" not in value
        assert b"\r" not in value


def _answer(responder: Responder, provider: Provider, chat: Chat) -> None:
    events = list(echo(provider)(chat))
    body = b"".join(map(responder.send, events)) + responder.end()
    assert body or not chat.stream


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


# What it begins with


def _question(subject: Subject) -> Request:
    """The request that has the chat."""
    return next(each.request for each in subject.send_short().recorded if each.chat is not None)


def _signed(provider: Provider, request: Request) -> Request:
    """With the key, unless that takes more than a text."""
    try:
        return (provider.key_place or NoKey()).sign(request, _KEY, None)
    except LocalProtocolError:
        return request


def _rich(subject: Subject) -> list[Chat]:
    """A plain chat, some with all that the provider takes, and one for each option."""
    takes = subject.provider.takes
    user: list[Part] = [TextPart("a")]
    if "images" in takes:
        user.append(ImagePart("https://a.test/1.png"))
    if "files" in takes:
        user.append(FilePart.of_bytes(b"%PDF", "application/pdf", "a.pdf"))
    name = "n" if "name" in takes else ""
    messages = [Message("system", "s", name=name), Message("user", tuple(user))]
    chat = as_chat("hi", **subject.asked)
    options = {name: value for name, value in _OPTIONS.items() if name in takes}
    if "tools" in takes:
        messages.append(Message("assistant", (ToolCall("c", "f", "{}"),)))
        messages.append(Message("tool", "r", tool_call_id="c"))
        options |= {"tools": (Tool("f", "d", {"type": "object"}),), "tool_choice": "f"}
    rich = chat.replace(messages=tuple(messages), **options)
    calling = [rich.replace(tool_choice="required")] if "tools" in takes else []
    plain = chat.replace(messages=(Message("user", "hi \u20ac"),))
    # A service may take each option and not all together.
    single = [plain.replace(**{name: options[name]}) for name in _OPTIONS if name in options]
    return [plain, rich, *calling, *single]


_OPTIONS: dict[str, Any] = {
    "temperature": 0.5,
    "top_p": 1.0,
    "top_k": 5,
    "max_tokens": 9,
    "stop": ("x", "y"),
    "n": 2,
    "seed": 7,
    "presence_penalty": 0.5,
    "frequency_penalty": 0.5,
    "logprobs": 2,
    "parallel": True,
    "schema": {"type": "object", "properties": {}},
}


def _seeds(subject: Subject) -> Iterator[bytes]:
    """Requests, each with the byte that says how it is read."""
    for chat in _rich(subject):
        try:
            recorded = subject.send(chat, subject.short).recorded
        except LocalProtocolError:
            continue
        for each in recorded:
            yield _text_of(each.request) + b"\2"
            yield each.request.body + b"\0"
    asked, provider = _question(subject), subject.provider
    for endpoint in provider.dialect.endpoints_of(provider):
        path = re.sub(r"\{\w+\}", "1", endpoint.path)
        for method in (endpoint.method, "DELETE"):
            request = Request(method, f"{_URL}{path}", asked.headers, asked.body)
            yield _text_of(request) + b"\2"
            yield _text_of(_signed(provider, request)) + b"\3"


def _text_of(request: Request) -> bytes:
    plain = (b"accept", b"accept-encoding", b"accept-language", b"user-agent")
    headers = b"".join(b"\n%b:%b" % pair for pair in request.headers if pair[0] not in plain)
    return f"{request.method} {request.target}".encode() + headers + b"\n\n" + request.body


def requests(subjects: Mapping[str, Subject]) -> Target:
    """The target."""
    servers = [_Server(subject) for subject in subjects.values()]

    def fuzz(data: bytes) -> None:
        text, choices = split(data, 2)
        servers[choices[0] % len(servers)].fuzz(text, choices[1])

    seeds = [
        seed[:-1] + bytes((number,)) + seed[-1:]
        for number, subject in enumerate(subjects.values())
        for seed in _seeds(subject)
    ]
    return Target(fuzz, seeds, [*words(*subjects.values()), *_WORDS], max_len=1200)


_WORDS = [
    *(b"\n\n", b"POST ", b"GET ", b"authorization:Bearer sekret", b"?", b'"gpt-4o"'),
    b"content-type:application/json",
]
