"""What a service's headers say of its limits: how much is left, and until when.

| headers, each with `remaining`, `limit` and `reset` | of | when it resets |
|---|---|---|
| `x-ratelimit-...-requests`, `-tokens` | OpenAI and others | `6m0s`, `12ms`, or seconds |
| `anthropic-ratelimit-requests-...`, `tokens`, `input-tokens` | Anthropic | RFC 3339 |
| `ratelimit-...` | drafts of the IETF up to 7 | seconds |
| `ratelimit: "default";r=50;t=30` | draft-ietf-httpapi-ratelimit-headers-08 | seconds |

Sources: platform.openai.com/docs/guides/rate-limits, docs.anthropic.com/en/api/rate-limits.
"""

import re
from datetime import datetime

import msgspec

from ..protocols.retry import seconds_of
from ..protocols.toolkit.http import Headers

__all__ = ["Said", "said_limits"]

_UNITS = {b"requests": "requests", b"tokens": "tokens", b"input-tokens": "tokens"}
"""Of output tokens nothing is known before the answer."""

_WHAT = (b"remaining", b"limit", b"reset")
_FIELD = re.compile(r";\s*([rt])=(\d+)")
_LONGEST = 24 * 60 * 60.0


class Said(msgspec.Struct, frozen=True):
    """One limit. `reset`: seconds until there are `limit` again; either may not be known."""

    unit: str
    remaining: float
    limit: float | None
    reset: float


def said_limits(headers: Headers, wall_clock: float) -> list[Said]:
    """The limits in the headers of a response. `wall_clock` is the time as seconds since 1970."""
    fields = {name: value for name, value in headers if b"ratelimit" in name}
    if not fields:
        return []
    found: list[Said] = []
    for unit, ours in _UNITS.items():
        openai = [b"x-ratelimit-%s-%s" % (what, unit) for what in _WHAT]
        anthropic = [b"anthropic-ratelimit-%s-%s" % (unit, what) for what in _WHAT]
        for names in (openai, anthropic):
            said = _said(ours, [fields.get(name) for name in names], wall_clock)
            if said is not None:
                found.append(said)
    plain = [fields.get(b"ratelimit-" + what) for what in _WHAT]
    if (said := _said("requests", plain, wall_clock)) is not None:
        found.append(said)
    elif (told := fields.get(b"ratelimit")) is not None:
        numbers = dict(_FIELD.findall(told.decode("latin-1")))
        if "r" in numbers and "t" in numbers:
            found.append(Said("requests", float(numbers["r"]), None, float(numbers["t"])))
    return found


def _said(unit: str, values: list[bytes | None], wall_clock: float) -> Said | None:
    remaining, limit, reset = (
        None if value is None else value.decode("latin-1").strip() for value in values
    )
    left = _number(remaining)
    seconds = _seconds(reset, wall_clock)
    if left is None or seconds is None:
        return None
    return Said(unit, left, _number(limit), seconds)


def _number(text: str | None) -> float | None:
    """A count; None: it is not one."""
    return float(text) if text is not None and text.isascii() and text.isdigit() else None


def _seconds(text: str | None, wall_clock: float) -> float | None:
    """Seconds from now; never negative, and never more than a day."""
    if text is None:
        return None
    seconds = seconds_of(text)
    if seconds is None:
        try:
            seconds = datetime.fromisoformat(text).timestamp() - wall_clock
        except (ValueError, OverflowError):
            return None
    if seconds != seconds:  # NaN
        return None
    return min(max(seconds, 0.0), _LONGEST)
