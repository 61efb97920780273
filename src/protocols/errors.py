"""Errors, by whose fault they are: `LocalProtocolError` (the caller's), `RemoteProtocolError` (the
peer's), `TransportError` (the network's). tokenwire raises nothing else.

No message, attribute or repr contains a key: an exchange takes its secrets out of an error before
it raises it (`toolkit.redaction`).
"""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

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
    "closest_or_all",
    "did_you_mean",
]

EXCERPT = 512
"""Bytes of offending input that an error keeps: enough to recognize it, small in a log."""


class TokenwireError(Exception):
    """The base of all errors that tokenwire raises.

    `message` says what happened. `answer` is what was received before the error, if the failed call
    was to return a whole answer. `asked` is the method and address of the request, without a query,
    if the address may be what is wrong; else empty. `advice` is what the caller can do. Both are
    for the caller alone: a server half does not report them. `details` are further fields of the
    error object in which a server half reports it, beside the format's own.
    """

    answer: "Reply | None" = None
    asked: str = ""
    advice: str = ""
    details: Mapping[str, Any] = {}

    def __init__(self, message: str = "") -> None:
        super().__init__(message)
        self.message = message

    def __str__(self) -> str:
        asked = f"the request was {self.asked}" if self.asked else ""
        return "; ".join(filter(None, (self.message, self.advice, asked)))

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


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """What to add to an error about the unknown `name`: the closest ones, if there are any."""
    from difflib import get_close_matches  # only such an error needs it

    close = get_close_matches(name[:100], known)  # servers receive any name: comparing takes long
    return f"; did you mean {' or '.join(close)}?" if close else ""


def closest_or_all(name: str, known: Iterable[str]) -> str:
    """What to add where all that is known may be too much: the closest ones, if there are any."""
    known = sorted(known)
    return did_you_mean(name, known) or f" (known: {', '.join(known) or 'none'})"


def brief(word: str) -> str:
    """`word`, unless it is too long for a message: the beginning of one would say little."""
    return word if len(word) <= 80 else "(too long to show)"
