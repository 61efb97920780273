"""Which headers pass a gateway: lists of what may pass, so that whatever is new does not.

Towards the upstream goes what the core writes for the provider, and from the caller only what is
here; towards the caller only what is here. Keys, cookies and addresses of either side never pass.
"""

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from math import isfinite

from ..protocols.retry import seconds_of
from ..protocols.toolkit.dates import rfc3339
from ..protocols.toolkit.http import Headers

__all__ = ["FORWARDED", "REQUEST_ID", "from_caller", "is_request_id", "to_caller"]

FORWARDED: Mapping[str, frozenset[bytes]] = {
    "anthropic": frozenset((b"anthropic-version", b"anthropic-beta")),
    "openai_chat": frozenset((b"openai-beta",)),
    "openai_responses": frozenset((b"openai-beta",)),
}
"""What a caller's headers may add to a request in the same format."""

_NEVER = frozenset(
    (
        *(b"authorization", b"x-api-key", b"api-key", b"x-goog-api-key", b"cookie", b"host"),
        *(b"forwarded", b"content-length", b"content-type", b"content-encoding", b"connection"),
        *(b"keep-alive", b"te", b"trailer", b"transfer-encoding", b"upgrade", b"accept-encoding"),
        *(b"openai-organization", b"openai-project"),
    )
)
_NEVER_BEGINS = (b"proxy-", b"x-forwarded-", b"x-amz-")

_PASSED = frozenset(
    (
        *(b"retry-after", b"retry-after-ms", b"x-should-retry", b"openai-processing-ms"),
        *(b"openai-model", b"warning"),
    )
)
_LIMITS = re.compile(
    rb"x-ratelimit-(?P<x>limit|remaining|reset)-(?P<x_of>requests|tokens)|"
    rb"anthropic-ratelimit-(?P<a_of>requests|tokens)-(?P<a>limit|remaining|reset)"
)
"""The headers about rate limits that OpenAI and Anthropic both have."""
_IDS = (
    *(b"x-request-id", b"request-id", b"x-amzn-requestid", b"x-debug-trace-id"),
    b"mistral-correlation-id",
)

REQUEST_ID = b"x-request-id"
_UPSTREAM_ID = b"x-upstream-request-id"
_ID_CHARACTERS = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.:-")


def from_caller(headers: Headers, dialect: str, forward: Iterable[str]) -> dict[str, str]:
    """The headers of a caller that go to an upstream of its own format. `forward`: further ones,
    which the operator allows."""
    named = {
        name.strip().lower()
        for value in _values(headers, b"connection")
        for name in value.split(b",")
    }
    allowed = FORWARDED.get(dialect, frozenset()) | {name.lower().encode() for name in forward}
    passed: dict[str, str] = {}
    for name, value in headers:
        if name in allowed and name not in named and not _is_private(name):
            known = passed.get(name.decode())
            text = value.decode("latin-1")
            passed[name.decode()] = text if known is None else f"{known}, {text}"
    return passed


def to_caller(headers: Headers, front: str, back: str, now: float) -> Headers:
    """The headers of a response of an upstream of the format `back` that a caller of the format
    `front` gets: those about rate limits in the form of its own. `now`: seconds since 1970."""
    passed: Headers = []
    for name, value in headers:
        if name in _IDS:
            passed.append((_UPSTREAM_ID, value))
        elif name in _PASSED:
            passed.append((name, value))
        elif name.startswith((b"x-ratelimit-", b"anthropic-ratelimit-")):
            own = name.startswith(b"anthropic-") == (front == "anthropic")
            if front == back or own:
                passed.append((name, value))
            else:
                passed += _limit(name, value, now)
    return passed


def _limit(name: bytes, value: bytes, now: float) -> Headers:
    """A header about rate limits in the form of the other vendor; nothing if that has none."""
    found = _LIMITS.fullmatch(name)
    if found is None:
        return []
    if found["x"]:
        said, name = found["x"], b"anthropic-ratelimit-%b-%b" % (found["x_of"], found["x"])
    else:
        said, name = found["a"], b"x-ratelimit-%b-%b" % (found["a"], found["a_of"])
    if said != b"reset":
        return [(name, value)]
    text = value.decode("latin-1")
    if found["x"]:
        seconds = seconds_of(text)
        if seconds is None or not isfinite(seconds):
            return []
        return [(name, rfc3339(now + seconds).encode())]
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return []
    if moment.tzinfo is None:
        return []
    left = max(0.0, moment.timestamp() - now)
    return [(name, f"{left:.3f}".rstrip("0").rstrip(".").encode() + b"s")]


def is_request_id(value: bytes) -> bool:
    """Whether a caller's id of a request may be taken over: 1 to 128 plain characters."""
    return 0 < len(value) <= 128 and _ID_CHARACTERS.issuperset(value)


def _values(headers: Headers, name: bytes) -> list[bytes]:
    return [value.lower() for each, value in headers if each == name]


def _is_private(name: bytes) -> bool:
    return name in _NEVER or name.startswith(_NEVER_BEGINS)
