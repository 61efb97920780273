"""Errors, by whose fault they are: `LocalProtocolError` (the caller's), `RemoteProtocolError` (the
peer's), `TransportError` (the network's). tokenwire raises nothing else.

No message, attribute or repr contains a key: an exchange redacts its own secrets in everything that
a server sends back (`RemoteProtocolError.redact`).
"""

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Literal, TypeAlias
from urllib.parse import quote

if TYPE_CHECKING:
    from .reply import Reply

__all__ = [
    "AuthenticationFailed",
    "BadRequest",
    "Challenged",
    "Clock",
    "ConnectFailed",
    "ContentFiltered",
    "Disconnected",
    "LimitExceeded",
    "LocalProtocolError",
    "Malformed",
    "Overloaded",
    "RateLimited",
    "Redirected",
    "Refused",
    "RemoteProtocolError",
    "TimedOut",
    "TokenwireError",
    "TransportError",
    "Truncated",
    "UnexpectedContent",
    "brief",
    "redact",
]

EXCERPT = 512
"""Bytes of offending input that an error keeps: enough to recognize it, small in a log."""

_REDACTED = 64 * 1024
"""Bytes of it that are searched for secrets, which may be longer than their replacement."""


class TokenwireError(Exception):
    """The base of all errors that tokenwire raises.

    `message` says what happened. `answer` is what was received before the error, if the failed call
    was to return a whole answer. `asked` is the method and address of the request, without a query,
    if the address may be what is wrong; else empty.
    """

    answer: "Reply | None" = None
    asked: str = ""

    def __init__(self, message: str = "") -> None:
        super().__init__(message)
        self.message = message

    def __str__(self) -> str:
        return f"{self.message}; the request was {self.asked}" if self.asked else self.message

    @property
    def outcome(self) -> str:
        """The kind of failure in one word: the class in snake case, `rate_limited`."""
        name = type(self).__name__
        return "".join("_" + c.lower() if c.isupper() else c for c in name).lstrip("_")


class LocalProtocolError(TokenwireError):
    """The caller asked for something impossible; nothing was sent. The message says what to do."""


class RemoteProtocolError(TokenwireError):
    """The peer broke the protocol, or refused. The events before that were delivered.

    Attributes: `data`, the offending bytes, shortened; `status` and `headers` of the response (None
    and empty if there was none).
    """

    def __init__(self, message: str, *, data: bytes = b"") -> None:
        super().__init__(message)
        self.data = data
        self.status: int | None = None
        self.headers: list[tuple[bytes, bytes]] = []

    def redact(self, secrets: Iterable[str]) -> None:
        """Remove `secrets` from everything that is kept here; shorten `data` to `EXCERPT` bytes."""
        secrets = list(secrets)
        self.message = redact(self.message, secrets)
        self.data = redact(self.data[:_REDACTED].decode("latin-1"), secrets).encode("latin-1")
        if len(self.data) > EXCERPT:
            self.data = self.data[:EXCERPT] + b"..."
        self.headers = [
            (name, redact(value.decode("latin-1"), secrets).encode("latin-1"))
            for name, value in self.headers
        ]
        self.args = (self.message,)

    def __str__(self) -> str:
        said = super().__str__()
        return f"{said}: {self.data!r}" if self.data else said


class Malformed(RemoteProtocolError):
    """Bytes that the format does not allow; `data` has them."""


class Truncated(RemoteProtocolError):
    """The answer ended before there was the required evidence that it is complete."""


class LimitExceeded(RemoteProtocolError):
    """Something grew larger than `Limits` allows."""


class UnexpectedContent(RemoteProtocolError):
    """The response is not an answer: a web page, an unknown encoding, an empty body."""


class Refused(RemoteProtocolError):
    """The service itself reports an error, by its status or inside an answer.

    Attributes: `code` and `type` as the service spells them (None if it does not say),
    `retry_after` as received, from a header or the body, `request_id`; `lasting`: trying again
    can't help (a used-up quota); `should_retry`: what the service itself advises, if it does.
    """

    def __init__(
        self,
        message: str,
        *,
        data: bytes = b"",
        code: str | None = None,
        type: str | None = None,
    ) -> None:
        super().__init__(message, data=data)
        self.code = code
        self.type = type
        self.retry_after: str | None = None
        self.request_id: str | None = None
        self.lasting = False
        self.should_retry: bool | None = None

    def redact(self, secrets: Iterable[str]) -> None:
        secrets = list(secrets)
        super().redact(secrets)
        self.code, self.type, self.request_id, self.retry_after = (
            value and redact(value, secrets)
            for value in (self.code, self.type, self.request_id, self.retry_after)
        )

    def __str__(self) -> str:
        # The message has the service's words already; its bytes would repeat them.
        return TokenwireError.__str__(self)


class AuthenticationFailed(Refused):
    """The key is missing, wrong, or not allowed to do this (401, 403, 407)."""


class RateLimited(Refused):
    """Too many requests, or no quota left (429, 402)."""


class Overloaded(Refused):
    """The service, or a gateway in front of it, can't take the request now (408, 498, 502, 503,
    504, 529)."""


class BadRequest(Refused):
    """The service says that the request itself is wrong (400, 404, 413, 422, ...)."""


class ContentFiltered(Refused):
    """The service's content filter rejected the request or the answer."""


class Redirected(Refused):
    """The service answered with a redirect, which is never followed; `location` is its target."""

    location: str = ""

    def redact(self, secrets: Iterable[str]) -> None:
        secrets = list(secrets)
        super().redact(secrets)
        self.location = redact(self.location, secrets)


class Challenged(Refused):
    """A bot check in front of the service answered with its page."""


class TransportError(TokenwireError):
    """The network failed."""


class ConnectFailed(TransportError):
    """No connection could be made: name resolution, TCP, the proxy or TLS.

    `lasting`: trying again can't help (a certificate that is not trusted, a proxy that refuses).
    """

    lasting = False


class Disconnected(TransportError):
    """The connection was closed before the head of a response was complete."""


Clock: TypeAlias = Literal["connect", "first_event", "idle", "total"]


class TimedOut(TransportError):
    """One of the `Clocks` ran out; `clock` names it."""

    def __init__(self, message: str, clock: Clock) -> None:
        super().__init__(message)
        self.clock: Clock = clock

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.message, self.clock), self.__dict__


# Anything that looks like a credential is removed even if it is not the one that was sent: servers
# quote headers and keys of their own upstreams.
_CREDENTIAL = re.compile(r"(?i)\b(bearer\s+|sk-)[A-Za-z0-9._~+/=-]{8,}")


_MARKS = ("...", "'")
"""What may follow an excerpt."""


def brief(word: str) -> str:
    """`word`, unless it is too long for a message. It is not shortened, as the beginning of a key
    inside a message could not be recognized, and so not redacted."""
    return word if len(word) <= 80 else "(too long to show)"


def redact(text: str, secrets: Iterable[str]) -> str:
    """`text` without the `secrets`, and without what looks like an API key."""
    for secret in secrets:
        forms = {
            secret: None,
            secret.encode().decode("latin-1"): None,  # bytes that were read as Latin-1
            secret.replace("/", "\\/"): None,  # as PHP writes JSON
            quote(secret, safe=""): None,
        }
        for form in forms:  # ignoring case: media types are made lower case
            text = re.sub(re.escape(form), "[secret]", text, flags=re.IGNORECASE)
        mark = next((mark for mark in _MARKS if text.endswith(mark)), "")
        for size in range(len(secret) - 1, 7, -1):  # one truncated at the end of an excerpt
            end = secret[:size] + mark
            if text[-len(end) :].lower() == end.lower():
                text = text[: -len(end)] + "[secret]" + mark
                break
    return _CREDENTIAL.sub(lambda match: match[1] + "[secret]", text)
