"""Dates. `datetime` would bring a clock with it."""

__all__ = ["rfc3339"]


def rfc3339(seconds: float) -> str:
    """A time in UTC as RFC 3339 writes it, to the microsecond. `seconds`: since 1970 began."""
    days, second = divmod(int(seconds // 1), 86_400)
    # In years that begin with March, leap days come last
    # (https://howardhinnant.github.io/date_algorithms.html#civil_from_days).
    era, day = divmod(days + 719_468, 146_097)
    year = (day - day // 1_460 + day // 36_524 - day // 146_096) // 365
    day -= 365 * year + year // 4 - year // 100
    month = (5 * day + 2) // 153
    day -= (153 * month + 2) // 5 - 1
    month += 3 if month < 10 else -9
    year += 400 * era + (month <= 2)
    clock = f"{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}"
    return f"{year:04}-{month:02}-{day:02}T{clock}.{int(seconds % 1 * 1e6):06}Z"
