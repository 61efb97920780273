"""The server side: a `Service` plays a provider, a `Responder` answers one request.

A responder decodes tolerantly and encodes strictly. A driver (`pair` in memory, `tokenwire.server`
on sockets) calls

    chat = responder.receive_request(request)     # if it raises Refused: pass that to fail()
    responder.head()                              # the status and headers
    responder.send(event), ..., responder.end()   # if there is a chat; else only end()

What to send is up to an answer function (`answering`).
"""

from collections.abc import Callable, Iterable, Iterator
from math import ceil, isfinite
from typing import Any, ClassVar, Protocol, TypeVar

import msgspec

from .answering import AnswerFunction, RequestAnswerFunction, events_of
from .chat import Chat
from .dialect import Endpoint
from .errors import (
    AuthenticationFailed,
    BadRequest,
    ContentFiltered,
    LocalProtocolError,
    Malformed,
    Overloaded,
    RateLimited,
    Refused,
    RemoteProtocolError,
    TimedOut,
    TransportError,
    Truncated,
    UnexpectedContent,
)
from .events import End, Event, Native, ToolCallEnd, Unrecognized
from .exchange import Exchange
from .limits import Limits
from .provider import Provider
from .reply import Reply
from .retry import seconds_of
from .toolkit.coding import content_decoder
from .toolkit.http import Headers, Request, content_type, get_header, make_headers
from .toolkit.json import decode_json, is_list, is_object

__all__ = [
    "AnswerFunction",
    "Responder",
    "Sealer",
    "Service",
    "error_fields",
    "pair",
    "read_json",
    "refusal_of_upstream",
    "refuse",
    "status_of",
    "tokens_in",
]

_T = TypeVar("_T")
_R = TypeVar("_R", bound=Refused)

_HEALTH = (Endpoint("health", "GET", "/health"), Endpoint("health", "GET", "/"))
"""What clients and load balancers ask any service, to see whether it is up (quirk 75)."""

_STREAMED: Headers = [(b"cache-control", b"no-cache"), (b"x-accel-buffering", b"no")]
"""Headers of a stream, by which caches and proxies do not hold it back (the second is nginx's)."""


class Sealer(Protocol):
    """Packs another format's native form into a text, which a server half puts into a suitable
    field of its own format, and unpacks it when a client sends it back."""

    def seal(self, native: Native) -> str:
        """The native form as a text."""
        ...

    def unseal(self, text: str) -> Native | None:
        """The native form; None: the text was not made by this sealer."""
        ...


class Service:
    """A provider's server side, and what its requests share.

    `key`: the key that requests must have (None: any, or none). `base_url`: the address of the
    service, for URLs that it issues. `sealer`: without one, native forms of other formats are not
    written. `now` returns seconds since 1970, for answers that tell when they were made; without it
    that is 0, so that the same answers are the same bytes. `request_limit`: the most bytes of a
    request's body that was compressed. `state` is what the format keeps between requests
    (`Dialect.new_state`).
    """

    def __init__(
        self,
        provider: Provider,
        *,
        key: str | None = None,
        base_url: str | None = None,
        sealer: Sealer | None = None,
        now: Callable[[], float] = lambda: 0,
        request_limit: int = Limits().document,
    ) -> None:
        self.provider = provider
        self.base_url = base_url or provider.base_url
        self.sealer = sealer
        self.now = now
        self.request_limit = request_limit
        self.state: Any = provider.dialect.new_state()
        self._key = key
        self._numbers = 0

    def responder(self) -> "Responder":
        """The server side of one request."""
        return self.provider.dialect.respond(self)

    def number(self) -> int:
        """The next number of the service, from 1, for ids."""
        self._numbers += 1
        return self._numbers

    def route(self, request: Request) -> tuple[Endpoint, dict[str, str]]:
        """The endpoint that `request` is for, and the values of its placeholders: of several that
        match, the one with the longest path. Raises BadRequest (404, 405)."""
        target = request.target.partition("?")[0]
        method = "GET" if request.method == "HEAD" else request.method
        endpoints = (*self.provider.dialect.endpoints_of(self.provider), *_HEALTH)
        matches = [(e, found) for e in endpoints if (found := e.match(target)) is not None]
        right = [match for match in matches if match[0].method == method]
        if right:
            return max(right, key=lambda match: match[0].path.count("/"))
        if not matches:
            raise refuse(BadRequest, 404, f"there is nothing at {target}")
        methods = list(dict.fromkeys(endpoint.method for endpoint, _ in matches))
        takes = " and ".join(methods)
        path = matches[0][0].path
        error = refuse(BadRequest, 405, f"{path} takes {takes}, not {request.method}")
        allowed = ", ".join([*methods, *(["HEAD"] if "GET" in methods else [])])
        error.headers = [(b"allow", allowed.encode())]
        raise error

    def check_key(self, request: Request) -> None:
        """Raises AuthenticationFailed if the service's key is in none of the places of `request`
        that the format and the provider allow."""
        if self._key is None:
            return
        own = () if self.provider.auth is None else (self.provider.auth,)
        places = (*own, *self.provider.dialect.auth)
        if not any(place.found(request) == self._key for place in places):
            raise refuse(
                AuthenticationFailed, 401, "the API key is missing or wrong", "invalid_api_key"
            )

    def check_model(self, name: str) -> str:
        """`name` as the service knows it. Raises BadRequest (404) if it does not."""
        try:
            return self.provider.model(name)
        except LocalProtocolError as error:
            raise refuse(BadRequest, 404, str(error), "model_not_found") from None


class Responder:
    """The server side of one request. A format derives its own and writes `read`, `write`,
    `write_whole` if it has answers that are not streamed, and `answer` if it has other endpoints
    than the chat.

    `request` is the request with its body decoded, `base_url` the address with which URLs in the
    answer begin. `status` and `headers` are those of the response, final once the request is
    received. `complete`: whether `End` was sent; an answer without it is half an answer.
    """

    content_type: ClassVar[bytes] = b"text/event-stream; charset=utf-8"
    """The content type of a streamed answer."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.base_url = service.base_url
        self.request = Request("GET", service.base_url, [])
        self.status = 200
        self.headers: Headers = [(b"content-type", self.content_type)]
        self.chat = Chat(messages=())
        self.complete = False
        self._whole: Reply | None = None
        self._body = b""

    # What a driver calls.

    def receive_request(self, request: Request) -> Chat | None:
        """The chat of `request`; None for any other request, which `end()` answers.

        Raises Refused with a status, or Malformed, for what a real service would refuse.
        """
        endpoint, found = self.service.route(request)
        if endpoint.does != "health":
            self.service.check_key(request)
        self.request = request = _decoded(request, self.service.request_limit)
        chat = self.read(request, found) if endpoint.does == "chat" else None
        if chat is None:
            self.complete = True
            self.headers = [(b"content-type", b"application/json")]
            if endpoint.does == "health":
                self._body = self.health()
            else:
                self._body = self.answer(endpoint.does, request, found)
            return None
        self.chat = chat
        if not self.chat.messages:
            raise refuse(BadRequest, 400, "no message: a chat needs at least one")
        if self.chat.stream:
            self.headers = [*self.headers, *_STREAMED]
        else:
            self._whole = Reply()
            self.headers = [(b"content-type", b"application/json")]
        return self.chat

    def head(self) -> tuple[int, Headers]:
        """The status and headers of the response."""
        return self.status, self.headers

    def send(self, event: Event) -> bytes:
        """The bytes of `event`; empty if the format writes it elsewhere, or at the end.

        Raises LocalProtocolError for an event that the format can't write.
        """
        if not self.can_say(event):
            kind = type(event).__name__
            name = self.service.provider.dialect.name
            raise LocalProtocolError(f"{name} can't say {kind}: leave it out of the answer")
        self.complete = self.complete or isinstance(event, End)
        if self._whole is not None:
            self._whole.add(event)
            return b""
        return self.write(event)

    def end(self) -> bytes:
        """The last bytes of the body. If half an answer is to be sent as one document, its last
        byte is left out, so that the client can tell."""
        body = self._body if self._whole is None else self.write_whole(self._whole)
        return body if self.complete else body[:-1]

    def fail(self, error: RemoteProtocolError | LocalProtocolError) -> bytes:
        """The whole body of an error response; sets `status` and `headers`."""
        self.status = status_of(error)
        self.complete = True
        self.headers = [(b"content-type", b"application/json")]
        if self.status == 401:
            # RFC 9110 section 15.5.2 demands it; a key in another place has no scheme of its own.
            self.headers.append((b"www-authenticate", b"Bearer"))
        if isinstance(error, Refused):
            self.headers += _advice(error)
        return self.write_error(error)

    def fail_midway(self, error: RemoteProtocolError | LocalProtocolError) -> bytes:
        """The bytes that report `error` after the head was sent; empty if the format has none."""
        return b""

    def ping(self) -> bytes:
        """The bytes of a keep-alive; empty if the format has none."""
        return self.service.provider.dialect.ping

    # What a format writes.

    def read(self, request: Request, found: dict[str, str]) -> Chat | None:
        """The chat of a request to the main endpoint; None if it asks nothing, and `answer` answers
        it. `found` has the values of its placeholders. Raises Refused."""
        raise NotImplementedError

    def can_say(self, event: Event) -> bool:
        """Whether `write` and `write_whole` can write `event`."""
        if isinstance(event, Unrecognized) and event.place:
            return False
        dialect = self.service.provider.dialect
        if isinstance(event, ToolCallEnd) and dialect.whole_calls and not event.complete:
            return False
        return type(event) in dialect.says_to(self.chat)

    def write(self, event: Event) -> bytes:
        """The bytes of an event that passed `can_say`."""
        raise NotImplementedError

    def write_whole(self, reply: Reply) -> bytes:
        """The body of an answer that is not streamed."""
        raise NotImplementedError

    def answer(self, does: str, request: Request, found: dict[str, str]) -> bytes:
        """The body that answers a request to another endpoint. May set `status` and `headers`.
        Raises Refused. This one tells the models in OpenAI's form, which most services have."""
        provider = self.service.provider
        if does == "model":
            return msgspec.json.encode(_model(self.service.check_model(found["model"])))
        names = provider.models or ((provider.default_model or "any"),)
        return msgspec.json.encode({"object": "list", "data": list(map(_model, names))})

    def health(self) -> bytes:
        """The body that says that the service is up. May set `headers`."""
        return b'{"status":"ok"}'

    def write_error(self, error: RemoteProtocolError | LocalProtocolError) -> bytes:
        """The body of an error response."""
        return msgspec.json.encode({"error": error_fields(error)})


def _model(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 0, "owned_by": "tokenwire"}


def _decoded(request: Request, limit: int) -> Request:
    """`request` without a content-encoding. Raises BadRequest (400, 413, 415)."""
    if not request.body or get_header(request.headers, b"content-encoding") is None:
        return request
    try:
        decoder = content_decoder(request.headers)
        decoder.feed(request.body)
        body = bytearray()
        while decoder.more:
            body += decoder.take()
            if len(body) > limit:
                raise refuse(BadRequest, 413, "the request body is too large once it is decoded")
    except UnexpectedContent:
        refusal = refuse(BadRequest, 415, "content-encoding: use gzip, deflate, or none")
        refusal.headers = [(b"accept-encoding", b"gzip, deflate")]  # RFC 9110 section 15.5.16
        raise refusal from None
    except Malformed as error:
        raise refuse(BadRequest, 400, f"the request: {error.message}") from None
    if not decoder.whole:
        raise refuse(BadRequest, 400, "the request: the body ends inside its content-encoding")
    headers = [pair for pair in request.headers if pair[0].lower() != b"content-encoding"]
    return Request(request.method, request.url, headers, bytes(body))


def _advice(error: Refused) -> Headers:
    """The headers that say what would be right, and whether and when to ask again: what an upstream
    said, in the forms of the headers."""
    advice: list[tuple[str, str]] = []
    right = [pair for pair in error.headers if pair[0] in (b"allow", b"accept-encoding")]
    wait = error.retry_after
    if wait and wait.isascii() and wait.isprintable():  # a body may have said anything
        seconds = seconds_of(wait)
        if seconds is None or wait[-1].isdigit():  # a date, or seconds as they are
            advice.append(("retry-after", wait))
        elif isfinite(seconds):
            advice.append(("retry-after", str(ceil(seconds))))
            if seconds % 1:
                advice.append(("retry-after-ms", str(ceil(seconds * 1000))))
    if error.should_retry is not None:
        advice.append(("x-should-retry", str(error.should_retry).lower()))
    return [*right, *make_headers(advice)]


def error_fields(error: RemoteProtocolError | LocalProtocolError) -> dict[str, Any]:
    """The fields of an error object in OpenAI's form."""
    code = error.code if isinstance(error, Refused) else None
    type_ = error.type if isinstance(error, Refused) else None
    return {
        "message": error.message,
        "type": type_ or _TYPES.get(type(error), "server_error"),
        "param": None,
        "code": code,
    }


# An error inside a stream has no status, so the type must tell the class.
_TYPES: dict[type[Exception], str] = {
    AuthenticationFailed: "authentication_error",
    RateLimited: "rate_limit_error",
    Overloaded: "overloaded_error",
    BadRequest: "invalid_request_error",
    ContentFiltered: "content_filter",
    Malformed: "invalid_request_error",
    LocalProtocolError: "invalid_request_error",
}
_STATUS: dict[type[Exception], int] = {
    Truncated: 502,
    AuthenticationFailed: 401,
    RateLimited: 429,
    Overloaded: 503,
    BadRequest: 400,
    ContentFiltered: 400,
    Malformed: 400,
    LocalProtocolError: 400,
}


def status_of(error: RemoteProtocolError | LocalProtocolError) -> int:
    """The status that reports `error`: its own if that is an error's, else that of its class.

    An error from inside a stream has the stream's status, 200. One that is no refusal but has a
    status is about what an upstream sent: a bad gateway.
    """
    status = error.status if isinstance(error, RemoteProtocolError) else None
    if status is not None and status >= 400:
        return status
    if status is not None and not isinstance(error, Refused):
        return 502
    return _STATUS.get(type(error), 500)


def refuse(kind: type[_R], status: int, message: str, code: str | None = None) -> _R:
    """The error with which a service refuses a request."""
    error = kind(message, code=code)
    error.status = status
    return error


def refusal_of_upstream(error: RemoteProtocolError | TransportError) -> Refused:
    """The refusal with which a service that asks another one reports that one's `error`: a refusal
    as it is, a clock that ran out as 504, any other failure as 502."""
    if isinstance(error, Refused):
        return error
    return refuse(Overloaded, 504 if isinstance(error, TimedOut) else 502, error.message)


def read_json(
    request: Request, decoder: "msgspec.json.Decoder[_T]", *, labelled: bool = True
) -> _T:
    """The JSON body of a request. Raises Refused with status 400, 413 or 415. `labelled`: whether
    its content type must say that it is JSON."""
    kind = content_type(request.headers)
    if labelled and "json" not in kind:
        raise refuse(BadRequest, 415, f"content-type is {kind or 'missing'}, not application/json")
    if len(request.body) > Limits().document:
        raise refuse(BadRequest, 413, "the request body is too large")
    try:
        return decode_json(decoder, request.body)
    except Malformed as error:
        raise refuse(BadRequest, 400, f"the request body is {error.message}") from None


def tokens_in(value: Any) -> int:
    """About how many tokens the texts in a JSON value have: a quarter of their characters."""
    return max(_characters(value) // 4, 1)


def _characters(value: Any) -> int:
    if isinstance(value, str):
        return len(value)
    if is_list(value):
        return sum(map(_characters, value))
    return sum(map(_characters, value.values())) if is_object(value) else 0


def pair(
    exchange: Exchange,
    service: Service,
    answer: AnswerFunction | RequestAnswerFunction,
    *,
    cut: Callable[[bytes], Iterable[bytes]] = lambda body: (body,),
) -> Iterator[Event]:
    """The events of `exchange` when `service` answers it in memory.

    `answer` can't be async here. `cut` splits a body into the pieces in which it arrives. An answer
    without `End` ends like a broken connection. Raises what the exchange raises.
    """
    while (request := exchange.next_request()) is not None:
        responder = service.responder()
        try:
            chat = responder.receive_request(request)
            events: Iterable[Event] = ()
            if chat is not None:
                events = events_of(answer, service.provider.dialect, chat, responder.request)
            body = b"".join(map(responder.send, events)) + responder.end()
        except RemoteProtocolError as error:
            body = responder.fail(error)
        exchange.receive_response(*responder.head())
        for piece in cut(body):
            yield from exchange.receive_data(piece)
        if responder.complete:
            yield from exchange.receive_eof(framed=True)
        else:
            yield from exchange.receive_disconnect()
