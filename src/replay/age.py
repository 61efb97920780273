"""How old a cassette may be: a service changes, its recording does not."""

import re
import warnings
from datetime import UTC, datetime, timedelta
from typing import Literal, TypeAlias

from ..protocols.errors import LocalProtocolError
from .cassette import BadCassette, Cassette

__all__ = ["Stale", "judge", "too_old"]

Stale: TypeAlias = Literal["warn", "fail"]
"""What to do about a cassette that is too old: tell it with a UserWarning, or raise BadCassette."""

_AGE = re.compile(r"(\d{1,6})([hdw])", re.ASCII)
_UNITS = {"h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}


def too_old(cassette: Cassette, max_age: str, now: float) -> str:
    """Why `cassette` is older than `max_age`, as the rest of a sentence; empty: it is not. One that
    does not say when it was recorded is.

    `max_age`: hours, days or weeks (`12h`, `90d`, `8w`). `now`: seconds since 1970. Raises
    LocalProtocolError for any other `max_age`.
    """
    match = _AGE.fullmatch(max_age)
    if match is None:
        raise LocalProtocolError(f"max_age={max_age!r} is no age: give one such as 12h, 90d or 8w")
    try:
        recorded = datetime.fromisoformat(cassette.recorded)
    except ValueError:
        return f"does not say when it was recorded, so it counts as older than {max_age}"
    if recorded.tzinfo is None:  # somebody wrote it by hand
        recorded = recorded.replace(tzinfo=UTC)
    if now - recorded.timestamp() <= int(match[1]) * _UNITS[match[2]].total_seconds():
        return ""
    return f"was recorded on {recorded.date()}, more than {max_age} ago"


def judge(cassette: Cassette, name: str, max_age: str, stale: Stale, now: float) -> None:
    """Do what `stale` says if `cassette`, whose file is `name`, is older than `max_age`. Raises
    BadCassette, and LocalProtocolError for what is no age, or not to be done here."""
    if stale not in ("warn", "fail"):
        raise LocalProtocolError(f"stale={stale!r}: to replay, give 'warn' or 'fail'")
    why = too_old(cassette, max_age, now)
    if why and stale == "fail":
        raise BadCassette(f"{name} {why}: record it anew")
    if why:
        warnings.warn(f"{name} {why}: record it anew", stacklevel=4)  # the caller of replay()
