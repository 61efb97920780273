"""The tunnel through an HTTP proxy (CONNECT, RFC 9110 section 9.3.6)."""

import h11

from ...protocols.errors import ConnectFailed, RemoteProtocolError
from ...protocols.toolkit.http import Origin
from ...protocols.toolkit.redaction import redact
from ...protocols.toolkit.refusals import words_of
from .chunked import ChunkedReader
from .http1 import PROXY_AUTHORIZATION, HeadReader, PlainReader, body_reader
from .proxy import Proxy

__all__ = ["Tunnel"]

_WORDS = 2000
"""The most bytes that are read of what a proxy says with its refusal."""


class Tunnel:
    """The tunnel to `origin`; `established` once `proxy` has accepted it."""

    __slots__ = (
        "_body",
        "_head",
        "_limit",
        "_out",
        "_proxy",
        "_response",
        "_said",
        "established",
        "unfinished",
    )

    def __init__(self, proxy: Proxy, origin: Origin, head_limit: int) -> None:
        host = f"[{origin.host}]" if ":" in origin.host else origin.host
        target = f"{host}:{origin.port}"
        headers = [(b"Host", target.encode())]
        if proxy.authorization:
            headers.append((PROXY_AUTHORIZATION, proxy.authorization.encode()))
        connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=2**31)
        request = h11.Request(method="CONNECT", target=target, headers=headers)
        self._out = b"".join(connection.send(part) or b"" for part in (request, h11.EndOfMessage()))
        self._proxy = proxy
        self._limit = head_limit
        self._head = HeadReader(connection, head_limit)
        self._response: h11.Response | None = None  # one that refuses
        self._body: ChunkedReader | PlainReader = PlainReader(None)
        self._said: list[bytes] = []
        self.established = False
        self.unfinished = f"{proxy.name} closed the connection"

    def data_to_send(self) -> bytes:
        """Bytes for the proxy."""
        data, self._out = self._out, b""
        return data

    def receive(self, data: bytes) -> bytes:
        """Bytes from the proxy. Returns those after its response. Raises ConnectFailed."""
        if self._response is None:
            response, data = self._read_head(data)
            if response is None:
                return b""
            if 200 <= response.status_code < 300:
                self.established = True
                return data
            self._response = response
            self._body = body_reader(response, self._limit)
        try:
            self._body.feed(data, self._said)
            complete = self._body.done
        except RemoteProtocolError:
            complete = True
        if (complete or sum(map(len, self._said)) > _WORDS) and (refusal := self.refusal):
            raise refusal
        return b""

    @property
    def refusal(self) -> ConnectFailed | None:
        """Why the proxy refuses, with what was received of its words; None: it has not, so far."""
        if self._response is None:
            return None
        status, secrets = self._response.status_code, self._proxy.secrets
        reason = redact(self._response.reason.decode("latin-1")[:200], secrets)
        words = redact(words_of(b"".join(self._said)[:_WORDS]), secrets)[:500]
        said = ": ".join(filter(None, (f"{status} {reason}".strip(), words)))
        advice = ""
        if status == 407:
            what = "give a" if self._proxy.user is None else "check the"
            advice = f"; {what} user and password in its URL"
        refusal = ConnectFailed(f"{self._proxy.name} refused: {said}{advice}")
        refusal.lasting = 400 <= status < 500
        return refusal

    def _read_head(self, data: bytes) -> tuple[h11.Response | None, bytes]:
        try:
            return self._head.feed(data) or (None, b"")
        except RemoteProtocolError as error:
            problem = error.message
        # Not above, where the error would keep the other one, and so what the proxy sent.
        raise ConnectFailed(f"{self._proxy.name} does not speak HTTP: {problem}")
