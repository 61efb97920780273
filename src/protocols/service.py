"""The server side: a `Service` plays a provider, a `Responder` answers one request.

A responder decodes tolerantly and encodes strictly. A driver (`pair` in memory, `tokenwire.server`
on sockets) calls

    chat = responder.receive_request(request)     # if it raises Refused: pass that to fail()
    responder.head()                              # the status and headers
    responder.send(event), ..., responder.end()   # if there is a chat; else only end()

What to send is up to an answer function (`answering`).
"""

from collections.abc import Callable, Iterable, Iterator
from copy import copy
from itertools import count
from math import isfinite
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import msgspec

from .answering import AnswerFunction, RequestAnswerFunction, events_of
from .auth import Key
from .chat import Chat
from .dialect import Endpoint
from .errors import (
    AuthenticationFailed,
    BadRequest,
    LocalProtocolError,
    Refused,
    RemoteProtocolError,
)
from .events import (
    End,
    Event,
    Finish,
    LogProbs,
    Native,
    Text,
    TokenLogProb,
    ToolCallEnd,
    Unrecognized,
)
from .exchange import Exchange
from .limits import Limits
from .provider import Provider
from .reading import Asked, decode_asking, decoded, read_json
from .refusing import advice_of, error_fields, refuse, status_of
from .reply import Reply
from .toolkit.http import Headers, Request
from .toolkit.toolcalls import seems_complete

if TYPE_CHECKING:
    from .serving import ServiceObserving

__all__ = ["STREAMED", "AnswerFunction", "Responder", "Sealer", "Service", "pair"]

_HEALTH = (Endpoint("health", "GET", "/health"), Endpoint("health", "GET", "/"))
"""What clients and load balancers ask any service, to see whether it is up (quirk 75)."""

_SURROGATE = "a lone surrogate, which UTF-8 can't say: leave it out of the answer"

_IMPOSSIBLE = -9999.0
"""The log probability of a token that is very unlikely, as OpenAI's API reference has it: JSON has
no infinity."""

STREAMED: Headers = [(b"cache-control", b"no-cache"), (b"x-accel-buffering", b"no")]
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
    service, for URLs that it issues. `sealer`: without one, native forms of other formats are
    not written. `now` returns seconds since 1970, for answers that tell when they were made and
    for signatures that have a time; without it that is 0, so that the same answers are the same
    bytes, and a signature of any time is accepted. `request_limit`: the most bytes of a
    request's body that was compressed. `observers` are told of each request and its answer.
    `state` is what the format keeps between requests (`Dialect.new_state`).
    """

    def __init__(
        self,
        provider: Provider,
        *,
        key: Key | None = None,
        base_url: str | None = None,
        sealer: Sealer | None = None,
        now: Callable[[], float] = lambda: 0,
        request_limit: int = Limits().document,
        observers: "Iterable[ServiceObserving]" = (),
    ) -> None:
        self.provider = provider
        self.base_url = base_url or provider.base_url
        self.sealer = sealer
        self.now = now
        self.request_limit = request_limit
        self.observers = tuple(observers)
        self.state: Any = provider.dialect.new_state()
        self._key = key
        self._numbers = count(1)

    def responder(self) -> "Responder":
        """The server side of one request."""
        responder = self.provider.dialect.respond(self)
        if self.observers:
            from .serving import observe  # it derives from Responder

            observe(responder, self.observers)
        return responder

    def number(self) -> int:
        """The next number of the service, from 1, for ids."""
        return next(self._numbers)

    def sealed_by(self, sealer: Sealer) -> "Service":
        """The same service with another sealer: its state and its numbers are shared."""
        twin = copy(self)
        twin.sealer = sealer
        return twin

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
        key = self._key
        if key is None:
            return
        own = () if self.provider.auth is None else (self.provider.auth,)
        now = self.now() or None
        if not any(p.accepts(request, key, now) for p in (*own, *self.provider.dialect.auth)):
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
        self._half: list[ToolCallEnd] = []  # calls that are not complete, before their finish

    # What a driver calls.

    def receive_request(self, request: Request) -> Chat | None:
        """The chat of `request`; None for any other request, which `end()` answers.

        Raises Refused with a status, or Malformed, for what a real service would refuse.
        """
        endpoint, found = self.service.route(request)
        if endpoint.does != "health":
            self.service.check_key(request)
        self.request = request = decoded(request, self.service.request_limit)
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
            self.headers = [*self.headers, *STREAMED]
        else:
            self._whole = Reply()
            self.headers = [(b"content-type", b"application/json")]
        return self.chat

    def head(self) -> tuple[int, Headers]:
        """The status and headers of the response."""
        return self.status, self.headers

    def send(self, event: Event) -> bytes:
        """The bytes of `event`; empty if the format writes it elsewhere, or at the end. A log
        probability that is not finite is written as -9999.0.

        Raises LocalProtocolError for an event that the format can't write.
        """
        if isinstance(event, Text) and event.text and self._whole is None:
            try:
                more = self.go_on(event)
            except UnicodeEncodeError:
                raise LocalProtocolError(_SURROGATE) from None
            if more is not None:
                return more
        if not self.can_say(event):
            kind = type(event).__name__
            name = self.service.provider.dialect.name
            raise LocalProtocolError(f"{name} can't say {kind}: leave it out of the answer")
        self._check_calls(event)
        self.complete = self.complete or isinstance(event, End)
        if isinstance(event, LogProbs):
            event = LogProbs(list(map(_finite, event.tokens)), event.of, event.index)
        if self._whole is not None:
            self._whole.add(event)
            return b""
        try:
            return self.write(event)
        except UnicodeEncodeError:
            raise LocalProtocolError(_SURROGATE) from None

    def _check_calls(self, event: Event) -> None:
        """Raises LocalProtocolError if a client would take a call for complete that is not."""
        dialect = self.service.provider.dialect
        if isinstance(event, ToolCallEnd) and not (event.complete or dialect.half_calls):
            self._half.append(event)
        elif self._half and isinstance(event, Finish | End):
            kind, index = (event.kind, event.index) if isinstance(event, Finish) else (None, None)
            judged = [call for call in self._half if index in (None, call.index)]
            self._half = [call for call in self._half if call not in judged]
            if any(seems_complete(call, kind) for call in judged):
                what = "a call with whole arguments is not complete"
                raise LocalProtocolError(f"{dialect.name} can't say that {what}: leave it out")

    def end(self) -> bytes:
        """The last bytes of the body. If half an answer is to be sent as one document, its last
        byte is left out, so that the client can tell. Raises LocalProtocolError for an answer that
        was asked for whole, and has what the format can't write."""
        try:
            body = self._body if self._whole is None else self.write_whole(self._whole)
        except UnicodeEncodeError:
            raise LocalProtocolError(_SURROGATE) from None
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
            self.headers += advice_of(error)
        return self.write_error(error)

    def fail_midway(self, error: RemoteProtocolError | LocalProtocolError) -> bytes:
        """The bytes that report `error` after the head was sent; empty if the format has none."""
        return b""

    def leave(self) -> None:
        """The rest of the answer will not be fetched, as when the client is gone. Allowed at any
        time."""

    def ping(self) -> bytes:
        """The bytes of a keep-alive; empty if the format has none."""
        return self.service.provider.dialect.ping

    # What a format writes.

    def read(self, request: Request, found: dict[str, str]) -> Chat | None:
        """The chat of a request to the main endpoint; None if it asks nothing, and `answer` answers
        it. `found` has the values of its placeholders. Raises Refused."""
        raise NotImplementedError

    def asked(self, request: Request, found: dict[str, str]) -> Asked:
        """What is asked for, without reading the rest of the chat. Raises Refused (400, 413,
        415)."""
        asking = read_json(request, decode_asking)
        return Asked(found.get("model") or asking.model, bool(asking.stream))

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

    def go_on(self, event: Text) -> bytes | None:
        """The bytes of a text, not empty, that only goes on, as most events of a stream do: what
        `write` gives, by a shorter way. None: `write` it."""
        return None

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


def _finite(token: TokenLogProb) -> TokenLogProb:
    """`token` with numbers that JSON can say."""
    return TokenLogProb(
        token.token,
        token.logprob if isfinite(token.logprob) else _IMPOSSIBLE,
        token.bytes,
        None if token.top_logprobs is None else list(map(_finite, token.top_logprobs)),
    )


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
