"""Records as a proxy in front of any client: passes each request on, and each piece of the response
back as it comes, and writes both down.
"""

import re
import time
from collections import deque
from collections.abc import Awaitable, Callable, Generator, Sequence
from dataclasses import replace
from typing import Any, Literal, NamedTuple, TypeAlias
from urllib.parse import urlsplit

import anyio
import msgspec

from ..aws import aws_key
from ..protocols.echo import echo
from ..protocols.errors import ConnectFailed, LocalProtocolError, TimedOut, TokenwireError
from ..protocols.events import Event
from ..protocols.limits import Limits
from ..protocols.provider import Provider
from ..protocols.registry import PROVIDERS, provider_named
from ..protocols.toolkit.http import Headers, Request, check_url, get_header
from ..protocols.toolkit.sigv4 import AwsKey, sign_request
from ..server.embedded import Server
from ..server.faults import Cutting
from ..server.scripts import Action, Ending, Plan, Script, Write, wait_for
from .cassette import LARGEST, Recording
from .decoding import decoded, provider_by_path
from .server import refusal
from .tape import Tape
from .upstream import Passage, PassingClient

__all__ = ["Passing", "Proxy"]

AHEAD = 1024 * 1024
"""Bytes that are read before the client takes them."""

_HOP_BY_HOP = frozenset(
    (
        *(b"connection", b"keep-alive", b"proxy-connection", b"proxy-authenticate", b"te"),
        *(b"proxy-authorization", b"trailer", b"transfer-encoding", b"upgrade"),
    )
)
_OURS = _HOP_BY_HOP | {b"host", b"content-length", b"accept-encoding", b"expect"}
_SIGNATURE = frozenset(
    (b"authorization", b"x-amz-date", b"x-amz-content-sha256", b"x-amz-security-token")
)
_SIGNED = re.compile(r"AWS4-HMAC-SHA256 Credential=[^/]*/\d+/[^/]*/([^/]*)/aws4_request")


class Passing:
    """Passes requests on to a service, and writes down what comes back: for a server whose `script`
    asks this one. `server` runs the tasks, and is told of errors.

    `upstream`: the address of the service; without it that of `provider`; without either each
    request goes to the public service of the format that its path tells. The paths of requests go
    there as they are. `kept` is called with each recording when its response has ended; a
    LocalProtocolError that it raises is told to the server. `redact`: see `Recorder`. `key` returns
    what signs the requests to a service of AWS anew: their signature is for another address.
    """

    def __init__(
        self,
        kept: Callable[[Recording], None],
        *,
        upstream: str | None = None,
        provider: str | Provider | None = None,
        redact: Sequence[str] = (),
        limit: int = LARGEST,
        key: Callable[[], AwsKey | None] = aws_key,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.provider = None if provider is None else provider_named(provider)
        self.upstream = check_url(upstream, "upstream") if upstream else None
        if self.upstream is None and self.provider is not None:
            self.upstream = self.provider.base_url
        if self.upstream is not None and "{" in self.upstream:
            raise LocalProtocolError(
                f"{self.upstream} is the address of many services: give the one as upstream"
            )
        self.client = PassingClient()
        self._key = key
        self._kept = kept
        self._redact = redact
        self._limit = limit
        self._clock = clock

    def close(self) -> None:
        """Close the idle connections to services."""
        self.client.close()

    def script(self, request: Request, plan: Plan, server: Server) -> Script:
        """What to answer `request` with."""
        try:
            passed = self.passed_on(request)
        except LocalProtocolError as error:
            server.keep_error(error)
            status = 426 if get_header(request.headers, b"upgrade") else 400
            return refusal(request, plan, status, str(error))
        return Passed(self, server, request, passed, plan)

    def passed_on(self, request: Request) -> Request:
        """The request that is sent to the service. Raises LocalProtocolError for one that can't
        be."""
        if get_header(request.headers, b"upgrade") is not None:
            raise LocalProtocolError("a WebSocket can't be recorded: ask by POST")
        upstream = self.upstream
        if upstream is None:
            provider = provider_by_path(request)
            if provider is None or provider.params:
                raise LocalProtocolError(
                    f"it is not known whose {request.target.partition('?')[0]} is: give --upstream"
                )
            upstream = provider.base_url
        origin = urlsplit(upstream)
        headers = [pair for pair in request.headers if pair[0] not in _OURS]
        headers.append((b"accept-encoding", b"identity"))
        passed = Request(
            request.method,
            f"{origin.scheme}://{origin.netloc}{request.target}",
            headers,
            request.body,
        )
        signed = _SIGNED.match(get_header(headers, b"authorization") or "")
        return passed if signed is None else self._signed(passed, signed[1])

    def _signed(self, request: Request, service: str) -> Request:
        key = self._key()
        if key is None:
            raise LocalProtocolError(
                "the request is signed for the address of this proxy, and can be signed anew only "
                "with a key of AWS in the environment of tokenwire record"
            )
        headers = [pair for pair in request.headers if pair[0] not in _SIGNATURE]
        bare = msgspec.structs.replace(request, headers=headers)
        return sign_request(bare, key, service, time.time())

    def tape(self, request: Request) -> Tape:
        """What writes an exchange down."""
        return Tape(request, clock=self._clock, redact=self._redact, limit=self._limit)

    def keep(self, tape: Tape) -> None:
        """An exchange has ended. Raises LocalProtocolError."""
        recording = tape.recording()
        provider = provider_by_path(Request(recording.request.method, recording.request.url, []))
        if provider is not None:  # and needs no other request
            same = self.provider and self.provider.dialect.name == provider.dialect.name
            noted = decoded([recording], (self.provider if same else None) or provider).noted
            recording = msgspec.structs.replace(recording, outcome=noted)
        self._kept(recording)


class Proxy(Server):
    """Passes requests on and records them, as a context manager like `tokenwire.server.Server`. See
    `Passing` for the arguments."""

    def __init__(
        self,
        kept: Callable[[Recording], None],
        *,
        upstream: str | None = None,
        provider: str | Provider | None = None,
        redact: Sequence[str] = (),
        limit: int = LARGEST,
        host: str = "127.0.0.1",
        port: int = 0,
        key: Callable[[], AwsKey | None] = aws_key,
        on_error: Callable[[Exception], None] | None = None,
    ) -> None:
        self.passing = Passing(
            kept, upstream=upstream, provider=provider, redact=redact, limit=limit, key=key
        )
        shown = (self.passing.provider or PROVIDERS["openai"]).replace(
            base_url=self.passing.upstream or "http://localhost"
        )
        super().__init__(
            shown,
            echo(shown),
            address=(host, port),
            key=None,
            cutting=Cutting.whole(),
            fault=None,
            faults=(),
            ssl_context=None,
            public_url=None,
            cors=None,
            request_limit=Limits().document,
            patience=60,
            now=time.time,
            on_error=on_error,
        )

    async def __aexit__(self, *details: Any) -> None:
        try:
            await super().__aexit__(*details)
        finally:
            self.passing.close()

    def script(self, request: Request, plan: Plan) -> Script:
        return self.passing.script(request, plan, self)


class _Head(NamedTuple):
    status: int
    headers: Headers


class _End(NamedTuple):
    """`left`: by the client."""

    how: Literal["eof", "disconnect", "reset", "left"]
    trailers: Headers


_Item: TypeAlias = "_Head | list[bytes] | _End"


class _Mailbox:
    """What was received and the client has not got yet."""

    def __init__(self) -> None:
        self._items: deque[_Item] = deque()
        self._news = anyio.Event()
        self._room = anyio.Event()
        self.size = 0

    def put(self, item: _Item) -> None:
        self._items.append(item)
        if isinstance(item, list):
            self.size += sum(map(len, item))
        self._news.set()

    async def get(self) -> _Item:
        while not self._items:
            self._news = anyio.Event()
            await self._news.wait()
        item = self._items.popleft()
        if isinstance(item, list):
            self.size -= sum(map(len, item))
        self._room.set()
        return item

    async def room(self) -> None:
        while self.size > AHEAD:
            self._room = anyio.Event()
            await self._room.wait()


class Passed(Script):
    """A response that comes from a service. It is read in a task of its own, so that a client that
    is slow does not change what is written down."""

    watches = True

    def __init__(
        self, passing: Passing, server: Server, request: Request, passed: Request, plan: Plan
    ) -> None:
        super().__init__(request, plan)
        self._passing = passing
        self._server = server
        self._tape = passing.tape(passed)
        self._mailbox = _Mailbox()
        self._scope = anyio.CancelScope()
        self._over = anyio.Event()
        self._passage = Passage(passed, read=self._tape.read, head=self._head, take=self._take)

    def left(self) -> None:
        self._tape.read()
        self._tape.end("left")
        self._scope.cancel()
        self._mailbox.put(_End("left", []))

    def actions(self) -> Generator[Action]:
        self._server.start(self._run)
        while True:
            item = yield from wait_for(self._mailbox.get())
            match item:
                case _Head():
                    self._prepare(item)
                    yield Write(b"")
                case _End():
                    self._finish(item)
                    return
                case pieces:
                    for piece in pieces[:-1]:
                        yield Write(piece, more=True)
                    yield Write(pieces[-1])

    async def aclose(self) -> None:
        """Leave the service, if it has not ended yet; and wait until all is written down."""
        self._scope.cancel()
        await self._over.wait()

    def _prepare(self, head: _Head) -> None:
        named = (
            (get_header(head.headers, b"connection") or "").lower().encode("latin-1").split(b",")
        )
        hop_by_hop = _HOP_BY_HOP.union(name.strip() for name in named)
        framing = self._passage.framing
        self.status = head.status
        length = get_header(head.headers, b"content-length")
        if framing == "length" and length is not None:
            self.length = int(length)
        elif framing == "close":
            self.plan = replace(self.plan, framed=False)
        self.headers = [
            pair
            for pair in head.headers
            if pair[0] not in hop_by_hop and pair[0] != b"content-length"
        ]

    def _finish(self, end: _End) -> None:
        match end.how:
            case "eof":
                self.trailers = end.trailers if self._passage.framing == "chunked" else []
            case "reset":
                self.plan = replace(self.plan, head=self.began, ending=Ending.RESET)
            case _:
                self.plan = replace(self.plan, head=self.began, ending=Ending.CLOSE)

    # The task that reads from the service

    def _head(self, status: int, headers: Headers) -> None:
        passage = self._passage
        self._tape.head(status, headers, http=passage.http, framing=passage.framing)
        self._mailbox.put(_Head(status, headers))

    def _take(self, pieces: list[bytes]) -> None:
        self._mailbox.put(pieces)
        for piece in pieces:
            self._tape.piece(piece)

    async def _run(self) -> None:
        how: Literal["eof", "disconnect", "reset"] = "disconnect"
        passage = self._passage
        try:
            with self._scope:
                try:
                    async with self._passing.client.open(passage) as answer:
                        await answer.push(self._brake)
                except TokenwireError as error:
                    if isinstance(error, ConnectFailed | TimedOut):
                        self._server.keep_error(error)
                        self._tape.read()
                        self._tape.end("unreached")
                how = passage.closing or "disconnect"
                self._tape.trailers(passage.trailers)
                self._tape.end(how)
        finally:
            self._tape.end("left")
            self._mailbox.put(_End(how, passage.trailers))
            try:
                self._passing.keep(self._tape)
            except LocalProtocolError as error:
                self._server.keep_error(error)
            self._over.set()

    def _brake(self, events: list[Event]) -> Awaitable[None] | None:
        return self._mailbox.room() if self._mailbox.size > AHEAD else None
