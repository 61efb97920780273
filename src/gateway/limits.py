"""How much callers may ask: requests and tokens a minute, calls at once, money a day or a month.

Before a call what it may need is reserved, after it what it used is booked. So calls that run at
the same time can't pass a limit together.
"""

from collections.abc import Iterable, Iterator, Sequence
from math import ceil, floor, inf
from typing import Literal, NamedTuple, TypeAlias
from urllib.parse import quote

import anyio
import msgspec

from ..protocols.errors import RateLimited
from ..protocols.events import Usage
from ..protocols.toolkit.http import make_headers
from .config import Bounded, Config, Key, Model, Price, Target
from .counters import Counter, Full, Window
from .slots import Slots
from .store import Store, Taken

__all__ = [
    "Left",
    "Limited",
    "Limiter",
    "Reservation",
    "Scope",
    "cost_of",
    "counts_tokens",
    "expected_usage",
    "scope_of_target",
    "scopes_of",
    "scopes_of_call",
]

Kind: TypeAlias = Literal["key", "key_model", "model", "target"]
Unit: TypeAlias = Literal["calls", "rpm", "tpm", "budget"]

_MINUTE, _DAY = 60, 24 * 60 * 60
_PERIODS = {"day": _DAY, "month": 30 * _DAY}
_MILLION = 1_000_000
"""Prices are for so many tokens, and money is counted in so small parts."""
_OPENAI: dict[Unit, str] = {"rpm": "requests", "tpm": "tokens"}
"""The units in the names of OpenAI's headers."""


class Limited(RateLimited):
    """A limit of the gateway's own does not allow the call (429).

    `limit` is the kind of its scope and the unit, as `key.tpm`: a label for metrics. `headers` tell
    its state as OpenAI's do. `lasting`: the call is larger than the limit.
    """

    def __init__(self, scope: "Scope", unit: Unit, told: str, wait: float) -> None:
        code = "insufficient_quota" if unit == "budget" else "rate_limit_exceeded"
        super().__init__(f"the limit of {scope.whose} is reached ({told})", code=code)
        self.status = 429
        self.limit = f"{scope.kind}.{unit}"
        self.lasting = wait == inf
        self.retry_after = None if self.lasting else str(floor(wait) + 1)


class Scope(NamedTuple):
    """What has limits: a key, a key with one model, a model or a target, each by its names; `whose`
    is how a caller is told."""

    kind: Kind
    names: tuple[str, ...]
    whose: str
    bounds: Bounded

    @property
    def name(self) -> str:
        """One name for all processes and all configurations."""
        return "/".join((self.kind, *(quote(name, safe="") for name in self.names)))


def scopes_of_call(key: Key | None, model: Model) -> list[Scope]:
    """What limits a call with `key` (None: there are none) for `model`, whatever its target."""
    whole = Scope("model", (model.name,), f"the model {model.name}", model)
    if key is None:
        return [whole]
    scopes = [Scope("key", (key.name,), "this key", key)]
    if (bounds := key.per_model.get(model.name)) is not None:
        whose = f"this key and the model {model.name}"
        scopes.append(Scope("key_model", (key.name, model.name), whose, bounds))
    return [*scopes, whole]


def scopes_of(config: Config) -> list[Scope]:
    """All that may have limits."""
    pairs = [(key, model) for model in config.models for key in (None, *config.keys)]
    found = [scope for key, model in pairs for scope in scopes_of_call(key, model)]
    found += [scope_of_target(target) for model in config.models for target in model.targets]
    return [*{scope.name: scope for scope in found}.values()]


def scope_of_target(target: Target) -> Scope:
    """What limits the calls of a target."""
    return Scope("target", (target.name,), "the upstream", target)


def counts_tokens(scope: Scope) -> bool:
    """Whether it matters how many tokens a call may need."""
    return scope.bounds.limits.tpm is not None or scope.bounds.budget is not None


def expected_usage(size: int, max_tokens: int | None, model: Model) -> Usage:
    """What a request of `size` bytes may use; `max_tokens` is what its caller, or else its target,
    allows the answer to have."""
    return Usage(input_tokens=size // 4, output_tokens=max_tokens or model.expect)


def cost_of(usage: Usage, price: Price) -> float:
    """The money that `usage` costs."""
    read, written = usage.cache_read_input_tokens or 0, usage.cache_write_input_tokens or 0
    millions = (
        max(0, (usage.input_tokens or 0) - read - written) * price.input
        + read * (price.input if price.cached is None else price.cached)
        + written * (price.input if price.cache_write is None else price.cache_write)
        + (usage.output_tokens or 0) * price.output
    )
    return millions / _MILLION


class _Limit(NamedTuple):
    unit: Unit
    counter: Counter
    told: str


class Left(msgspec.Struct, frozen=True):
    """A limit, and what is left of it: of a budget, money."""

    limit: float
    left: float


class Reservation(msgspec.Struct):
    """What was reserved for a call or an attempt. `expected`: what it may use; `units`: of what was
    taken, if anything was."""

    expected: Usage
    price: Price | None
    slots: dict[str, int]
    units: tuple[Unit, ...] = ()
    taken: Taken | None = None
    settled: bool = False


class Limiter:
    """Reserves and settles. What is used over time is counted in `store`, calls at once in `slots`;
    both by the names of the configuration, so that they outlive one that is replaced."""

    def __init__(self, store: Store, slots: Slots) -> None:
        self._store = store
        self._slots = slots

    async def reserve(
        self, scopes: Iterable[Scope], expected: Usage, price: Price | None
    ) -> Reservation:
        """Reserve what a call is `expected` to use, in each of `scopes`. `price` is its model's.

        Raises Limited if one of them does not allow it, and Overloaded if the store is away and
        calls are to be refused; then nothing is reserved. Each reservation has to be settled.
        """
        scopes = [*scopes]
        limited = [scope for scope in scopes if scope.bounds.limits.calls is not None]
        slots = {scope.name: scope.bounds.limits.calls or 0 for scope in limited}
        full = await self._slots.take(slots)
        if full is not None:
            scope = next(scope for scope in limited if scope.name == full)
            raise Limited(scope, "calls", f"calls at once: {slots[full]}", 0)
        reservation = Reservation(expected, price, slots)
        try:
            await self._take(reservation, scopes)
        except BaseException:
            self._slots.give(slots)
            raise
        return reservation

    async def left(self, scopes: Sequence[Scope]) -> dict[str, dict[str, Left]]:
        """What is left of all limits of `scopes`, by their names and by the units. Raises
        Overloaded if the store is away and calls are to be refused."""
        limits = [(scope, limit) for scope in scopes for limit in _limits(scope)]
        windows = await self._store.windows([limit.counter for _, limit in limits])
        found: dict[str, dict[str, Left]] = {}
        for scope in scopes:
            calls = scope.bounds.limits.calls
            if calls is not None:
                free = max(0, calls - self._slots.taken(scope.name))
                found[scope.name] = {"calls": Left(calls, free)}
        for (scope, (unit, counter, _)), window in zip(limits, windows, strict=True):
            one = _MILLION if unit == "budget" else 1
            left = Left(counter.limit / one, window.left(counter) / one)
            found.setdefault(scope.name, {})[unit] = left
        return found

    async def _take(self, reservation: Reservation, scopes: Iterable[Scope]) -> None:
        limits = [(scope, limit) for scope in scopes for limit in _limits(scope)]
        if not limits:
            return
        expected, price = reservation.expected, reservation.price
        units: tuple[Unit, ...] = tuple(limit.unit for _, limit in limits)
        amounts = [_amount(unit, expected, price) for unit in units]
        counters = [limit.counter for _, limit in limits]
        with anyio.CancelScope(shield=True):  # if the caller leaves now, it is given back
            taken = await self._store.take([*zip(counters, amounts, strict=True)])
            if isinstance(taken, Full):
                raise _limited(*limits[taken.place], amounts[taken.place], taken.window)
            reservation.units, reservation.taken = units, taken

    async def settle(self, reservation: Reservation, usage: Usage | None) -> None:
        """Book what was used, instead of what was reserved; None: nothing, but the request counts.
        What `usage` does not know is as expected. The second time nothing is done."""
        if reservation.settled:
            return
        reservation.settled = True
        self._slots.give(reservation.slots)
        if reservation.taken is not None:
            used = Usage() if usage is None else _completed(usage, reservation.expected)
            amounts = [_amount(unit, used, reservation.price) for unit in reservation.units]
            with anyio.CancelScope(shield=True):  # the caller may have left
                await self._store.settle(reservation.taken, amounts)


def _limits(scope: Scope) -> Iterator[_Limit]:
    limits, budget = scope.bounds.limits, scope.bounds.budget
    if limits.rpm is not None:
        counter = Counter(f"{scope.name}/rpm", limits.rpm, _MINUTE)
        yield _Limit("rpm", counter, f"requests a minute: {limits.rpm}")
    if limits.tpm is not None:
        counter = Counter(f"{scope.name}/tpm", limits.tpm, _MINUTE)
        yield _Limit("tpm", counter, f"tokens a minute: {limits.tpm}")
    if budget is not None:
        millionths = round(budget.money * _MILLION)
        counter = Counter(f"{scope.name}/{budget.per}", millionths, _PERIODS[budget.per])
        yield _Limit("budget", counter, f"money a {budget.per}: {budget.money:g}")


def _amount(unit: Unit, usage: Usage, price: Price | None) -> int:
    match unit:
        case "tpm":
            return (usage.input_tokens or 0) + (usage.output_tokens or 0)
        case "budget":
            return 0 if price is None else ceil(cost_of(usage, price) * _MILLION)
        case _:
            return 1


def _completed(usage: Usage, expected: Usage) -> Usage:
    """`usage`, with what it does not know as expected."""
    asked, said = usage.input_tokens, usage.output_tokens
    return msgspec.structs.replace(
        usage,
        input_tokens=expected.input_tokens if asked is None else asked,
        output_tokens=expected.output_tokens if said is None else said,
    )


def _limited(scope: Scope, limit: _Limit, amount: int, window: Window) -> Limited:
    unit, counter, told = limit
    wait = window.wait(counter, amount)
    if wait == inf:
        told += "; this call alone may need more"
    error = Limited(scope, unit, told, wait)
    if unit in _OPENAI:
        what, whole = _OPENAI[unit], ceil(window.wait(counter, counter.limit))
        error.headers = make_headers(
            (
                (f"x-ratelimit-limit-{what}", str(counter.limit)),
                (f"x-ratelimit-remaining-{what}", str(window.left(counter))),
                (f"x-ratelimit-reset-{what}", f"{whole}s"),
            )
        )
    return error
