"""What callers are told of errors: without addresses, and without what is the operator's."""

from ..protocols.errors import (
    Challenged,
    LocalProtocolError,
    Overloaded,
    Redirected,
    Refused,
    RemoteProtocolError,
    TimedOut,
    TokenwireError,
    TransportError,
)
from ..protocols.refusing import refuse
from .limits import Limited
from .plan import meaning_of

__all__ = ["WORDS", "Drained", "public_error"]

WORDS = 2000
"""Characters of an upstream's words that a caller is told."""

_STATUSES = (400, 404, 408, 413, 422, 429, 500, 503, 504, 529)
"""Statuses of an upstream that its caller gets as they are; others become 502."""

_OPERATORS = "the upstream does not take the gateway's own key, or its quota is used up"
_MESSAGES = {
    "TimedOut": "the upstream did not answer in time",
    "ConnectFailed": "the upstream can't be reached",
    "Disconnected": "the upstream closed the connection before it answered",
    "Truncated": "the upstream's answer broke off before it was whole",
}


class Drained(TransportError):
    """The gateway had to end before the answer did."""


def public_error(error: TokenwireError) -> RemoteProtocolError | LocalProtocolError:
    """`error` as callers are told."""
    if isinstance(error, LocalProtocolError | Limited):
        return error
    if isinstance(error, Refused) and not isinstance(error, Redirected | Challenged):
        if meaning_of(error).operators:
            return refuse(Overloaded, 502, _OPERATORS, "upstream_refused")
        error.message = error.message[:WORDS]
        if error.status is not None and error.status >= 400 and error.status not in _STATUSES:
            error.status = 502
        return error
    if isinstance(error, Drained):
        return refuse(Overloaded, 503, error.message, "shutting_down")
    status = 504 if isinstance(error, TimedOut) else 502
    message = _MESSAGES.get(type(error).__name__, "the upstream's answer is not valid")
    return refuse(Overloaded, status, message, f"upstream_{error.outcome}")
