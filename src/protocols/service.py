"""The server side: a `Service` is a provider, a `Responder` its side of one request.

A responder decodes tolerantly and encodes strictly. Whoever drives it, as `pair` does in memory
and `tokenwire.server.embedded` on sockets, calls

    chat = responder.receive_request(request)     # raises Refused: give that to fail()
    responder.head()                              # then the status and headers are known
    responder.send(event), ..., responder.end()   # if there was a chat; else end() alone
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

import msgspec

from .chat import Chat
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
)
from .events import Event
from .exchange import Exchange
from .limits import Limits
from .provider import Provider
from .toolkit.http import Headers, Request, content_type, get_header
from .toolkit.json import decode_json

__all__ = ["Responder", "Service", "pair", "status_of"]

_T = TypeVar("_T")

AnswerFunction = Callable[[Chat], Iterable[Event]]
"""What a server answers: the events for a chat, `End` last."""


class Service:
    """A provider's server side, and what its requests share.

    `key`: the key that requests must carry (None: any, or none). `base_url`: where the service is
    reached, for addresses that it gives out. `tokens` and `pictures` are those given out last.
    """

    TOKENS = 10_000
    PICTURES = 1_000

    def __init__(
        self, provider: Provider, *, key: str | None = None, base_url: str | None = None
    ) -> None:
        self.provider = provider
        self.base_url = base_url or provider.base_url
        self.tokens: dict[str, None] = {}
        self.pictures: dict[str, tuple[str, bytes]] = {}
        self._key = key
        self._numbers = 0

    def responder(self) -> "Responder":
        """The server side of one request."""
        return self.provider.dialect.respond(self)

    def number(self) -> int:
        """The next of a service-wide count from 1, for ids."""
        self._numbers += 1
        return self._numbers

    def give_token(self) -> str:
        """A new token. Of all given out the last `TOKENS` are valid."""
        token = f"unique-{self.number()}"
        _put(self.tokens, token, None, self.TOKENS)
        return token

    def keep_picture(self, name: str, media_type: str, data: bytes) -> None:
        """Hold a picture ready to be fetched, as long as it is one of the last `PICTURES`."""
        _put(self.pictures, name, (media_type, data), self.PICTURES)

    def check_key(self, request: Request) -> None:
        """Raises AuthenticationFailed if `request` lacks the service's key."""
        given = get_header(request.headers, b"authorization") or ""
        if self._key is not None and given != f"Bearer {self._key}":
            raise refuse(
                AuthenticationFailed, 401, "the API key is missing or wrong", "invalid_api_key"
            )

    def check_model(self, name: str) -> str:
        """`name` as the service knows it. Raises BadRequest (404) if it does not."""
        try:
            return self.provider.model(name)
        except LocalProtocolError as error:
            raise refuse(BadRequest, 404, str(error), "model_not_found") from None


def _put(given: dict[str, _T], name: str, value: _T, count: int) -> None:
    """Add to what was given out, and forget what came before the last `count`."""
    given[name] = value
    if len(given) > count:
        del given[next(iter(given))]


class Responder:
    """The server side of one request. Dialects derive theirs, and write what is specific.

    `status` and `headers` are those of the response, settled once the request is received.
    """

    def __init__(self, service: Service) -> None:
        self.service = service
        self.status = 200
        self.headers: Headers = [(b"content-type", b"text/event-stream; charset=utf-8")]

    def receive_request(self, request: Request) -> Chat | None:
        """The chat that `request` asks; None if it is another request, answered by `end()`.

        Raises Refused with a status, or Malformed, for what a real service would refuse.
        """
        raise NotImplementedError

    def head(self) -> tuple[int, Headers]:
        """The status and headers of the response."""
        return self.status, self.headers

    def send(self, event: Event) -> bytes:
        """The bytes of `event`; none where the format says it otherwise, or at the end.

        Raises LocalProtocolError for an event that the format can't say.
        """
        raise NotImplementedError

    def end(self) -> bytes:
        """The last bytes of the body."""
        return b""

    def fail(self, error: RemoteProtocolError | LocalProtocolError) -> bytes:
        """The whole body of an error response; sets `status` and `headers`."""
        self.status = status_of(error)
        self.headers = [(b"content-type", b"application/json")]
        return msgspec.json.encode({"error": error_fields(error)})

    def fail_midway(self, error: RemoteProtocolError | LocalProtocolError) -> bytes:
        """The bytes that report `error` after the head was sent, if the format has any."""
        return b""


def error_fields(error: RemoteProtocolError | LocalProtocolError) -> dict[str, Any]:
    """What an error object of OpenAI's form holds."""
    code = error.code if isinstance(error, Refused) else None
    type_ = error.type if isinstance(error, Refused) else None
    message = error.message if isinstance(error, RemoteProtocolError) else str(error)
    return {
        "message": message,
        "type": type_ or _TYPES.get(type(error), "server_error"),
        "param": None,
        "code": code,
    }


# In a stream there is no status: the type must tell the class.
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
    AuthenticationFailed: 401,
    RateLimited: 429,
    Overloaded: 503,
    BadRequest: 400,
    ContentFiltered: 400,
    Malformed: 400,
    LocalProtocolError: 400,
}


def status_of(error: RemoteProtocolError | LocalProtocolError) -> int:
    """The status that reports `error`: its own if it is one of an error, or what its class means.

    An error that came inside a stream has the status of that, 200.
    """
    status = error.status if isinstance(error, RemoteProtocolError) else None
    return status if status is not None and status >= 400 else _STATUS.get(type(error), 500)


def refuse(kind: type[Refused], status: int, message: str, code: str | None = None) -> Refused:
    """The error by which a service refuses a request."""
    error = kind(message, code=code)
    error.status = status
    return error


def read_json_post(request: Request, path: str, decoder: "msgspec.json.Decoder[_T]") -> _T:
    """The body of a POST of JSON to `path`. Raises Refused with the status that says why."""
    expect_route(request, "POST", path)
    kind = content_type(request.headers)
    if "json" not in kind:
        raise refuse(BadRequest, 415, f"content-type is {kind or 'missing'}, not application/json")
    if len(request.body) > Limits().document:
        raise refuse(BadRequest, 413, "the request body is too large")
    try:
        return decode_json(decoder, request.body)
    except Malformed as error:
        raise refuse(BadRequest, 400, f"the request body is {error.message}") from None


def expect_route(request: Request, method: str, path: str) -> None:
    """Raises Refused (404, 405) if `request` is not for `method` and a path that ends in `path`."""
    target = request.target.partition("?")[0]
    if not target.endswith(path):
        raise refuse(BadRequest, 404, f"there is nothing at {target}")
    if request.method != method:
        raise refuse(BadRequest, 405, f"{path} takes {method}, not {request.method}")


def pair(
    exchange: Exchange,
    service: Service,
    answer: AnswerFunction,
    *,
    cut: Callable[[bytes], Iterable[bytes]] = lambda body: (body,),
) -> Iterator[Event]:
    """The events of `exchange` against `service`, joined in memory.

    `cut` says in which pieces a body arrives. Raises what the exchange raises.
    """
    while (request := exchange.next_request()) is not None:
        responder = service.responder()
        try:
            chat = responder.receive_request(request)
            body = b"" if chat is None else b"".join(map(responder.send, answer(chat)))
            body += responder.end()
        except RemoteProtocolError as error:
            body = responder.fail(error)
        exchange.receive_response(*responder.head())
        for piece in cut(body):
            yield from exchange.receive_data(piece)
        yield from exchange.receive_eof(framed=True)
