"""How a service reports an error: the status, the headers, and the object that most have."""

from math import ceil, isfinite
from typing import Any, TypeVar

from .errors import (
    AuthenticationFailed,
    BadRequest,
    ContentFiltered,
    LocalProtocolError,
    Malformed,
    Overloaded,
    RateLimited,
    Redirected,
    Refused,
    RemoteProtocolError,
    TimedOut,
    TransportError,
    Truncated,
)
from .retry import seconds_of
from .toolkit.http import Headers, make_headers

__all__ = ["advice_of", "error_fields", "refusal_of_upstream", "refuse", "status_of"]

_R = TypeVar("_R", bound=Refused)


def error_fields(error: RemoteProtocolError | LocalProtocolError) -> dict[str, Any]:
    """The fields of an error object in OpenAI's form."""
    code = error.code if isinstance(error, Refused) else None
    type_ = error.type if isinstance(error, Refused) else None
    return {
        "message": error.message,
        "type": type_ or _TYPES.get(type(error), "server_error"),
        "param": None,
        "code": code,
        **error.details,
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
    as it is, a clock that ran out as 504, any other failure as 502, and so a redirect: it is not
    for the client to follow, and will be there again."""
    if isinstance(error, Refused) and not isinstance(error, Redirected):
        return error
    refusal = refuse(Overloaded, 504 if isinstance(error, TimedOut) else 502, error.message)
    refusal.lasting = isinstance(error, Redirected)
    return refusal


def advice_of(error: Refused) -> Headers:
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
    # Not all formats have a code for what is lasting, so that this alone may tell.
    again = False if error.lasting and error.should_retry is None else error.should_retry
    if again is not None:
        advice.append(("x-should-retry", str(again).lower()))
    return [*right, *make_headers(advice)]
