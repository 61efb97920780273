"""Counters over sliding windows, in this process or in a Redis or Valkey.

They are those of the library `limits`, which runs on asyncio only: of the window before the current
one counts that share which a window of the same length, ending now, has of it. In Redis the library
would ask once for each counter; the scripts here ask for all at once, and take of all or of none.
"""

from collections.abc import Sequence
from math import floor, inf
from typing import Any, NamedTuple, Protocol, TypeAlias

from .file import ConfigError

__all__ = ["Amounts", "Counter", "Counters", "Full", "InMemory", "InRedis", "StoreError", "Window"]

_NO_LIMIT = 2**53  # up to which Lua counts exactly

_SLACK = 0.005
"""Seconds by which Redis' clock and ours may measure the same time differently: it has whole
milliseconds."""


class StoreError(Exception):
    """A store did not answer as it should."""


class Counter(NamedTuple):
    """What counts up to `limit` in any time of so many `seconds`. Its name does not change with the
    limit, so that a new one holds for what was used before."""

    name: str
    limit: int
    seconds: int


class Window(NamedTuple):
    """The state of a counter: what was used in the `previous` window and in the `current` one.
    Times are seconds: of the previous one less and less counts, until after `fades` nothing does;
    the current one `began` so long ago."""

    previous: int
    fades: float
    current: int
    began: float

    def left(self, counter: Counter) -> int:
        """How much may be taken now."""
        return max(
            0, counter.limit - floor(self.previous * self.fades / counter.seconds) - self.current
        )

    def wait(self, counter: Counter, amount: int) -> float:
        """After how many seconds `amount` may be taken, if nothing else is; infinite: never."""
        if amount > counter.limit:
            return inf
        room = counter.limit - amount
        if self.current <= room:
            share = (room - self.current + 1) / max(1, self.previous)  # fractions don't count
            return max(0, self.fades - share * counter.seconds)
        # Not before the current window is the previous one, and has faded.
        share = (room + 1) / self.current
        return counter.seconds - self.began + (1 - share) * counter.seconds


class Full(NamedTuple):
    """Which of the counters, by its place, does not allow what was to be taken, and its state."""

    place: int
    window: Window


Amounts: TypeAlias = Sequence[tuple[Counter, int]]
"""How much of each counter."""


class Counters(Protocol):
    """Where is counted."""

    async def take(self, wanted: Amounts) -> Full | None:
        """Count all of it, or nothing if a counter does not allow it."""
        ...

    async def correct(self, more: Amounts, age: float) -> None:
        """Count so much more than what was taken `age` seconds ago, whatever the limit is; less
        only in the same window: what was taken in an earlier one fades, and giving it back in this
        one would allow too much."""
        ...

    async def windows(self, counters: Sequence[Counter]) -> list[Window]:
        """Their states."""
        ...

    async def close(self) -> None:
        """Close all connections."""
        ...


class InMemory:
    """In this process."""

    def __init__(self) -> None:
        from limits.aio.storage import MemoryStorage  # a third of the time to start a gateway

        self._storage = MemoryStorage()

    async def take(self, wanted: Amounts) -> Full | None:
        for place, (counter, amount) in enumerate(wanted):
            name, limit, seconds = counter
            if not await self._storage.acquire_sliding_window_entry(name, limit, seconds, amount):
                for taken, back in wanted[:place]:
                    await self._add(taken, -back)
                return Full(place, await self._window(counter))
        return None

    async def correct(self, more: Amounts, age: float) -> None:
        for counter, amount in more:
            if amount > 0 or (amount and age <= (await self._window(counter)).began + _SLACK):
                await self._add(counter, amount)

    async def windows(self, counters: Sequence[Counter]) -> list[Window]:
        return [await self._window(counter) for counter in counters]

    async def close(self) -> None:
        pass

    async def _add(self, counter: Counter, amount: int) -> None:
        # A negative amount is not documented; the tests hold `limits` to it.
        name, _, seconds = counter
        await self._storage.acquire_sliding_window_entry(name, _NO_LIMIT, seconds, amount)

    async def _window(self, counter: Counter) -> Window:
        name, _, seconds = counter
        previous, fades, current, ends = await self._storage.get_sliding_window(name, seconds)
        return Window(previous, fades, current, 2 * seconds - ends)


_WINDOW = """
local function window(place)
  local current, previous = KEYS[2 * place - 1], KEYS[2 * place]
  local length = tonumber(ARGV[3 * place - 2])
  local ends = redis.call('pttl', current)
  if 0 < ends and ends < length then
    redis.call('rename', current, previous)
    ends = ends + length
    redis.call('set', current, 0, 'px', ends)
  end
  return tonumber(redis.call('get', previous) or 0), math.max(redis.call('pttl', previous), 0),
    tonumber(redis.call('get', current) or 0), math.max(ends, 0)
end

local function add(place, amount)
  if redis.call('exists', KEYS[2 * place - 1]) == 1 then
    redis.call('incrby', KEYS[2 * place - 1], amount)
  else
    redis.call('set', KEYS[2 * place - 1], amount, 'px', 2 * ARGV[3 * place - 2])
  end
end
"""
"""Of each counter there are two keys, for its current window and the one before, and three
arguments, of which the first is its length in milliseconds. The current window's key lives for two
lengths: in the second it is the previous one."""

_TAKE = (
    _WINDOW
    + """
for place = 1, #KEYS / 2 do
  local previous, fades, current, ends = window(place)
  local limit, amount = tonumber(ARGV[3 * place - 1]), tonumber(ARGV[3 * place])
  if math.floor(previous * fades / ARGV[3 * place - 2]) + current + amount > limit then
    return {place, previous, fades, current, ends}
  end
end
for place = 1, #KEYS / 2 do
  add(place, ARGV[3 * place])
end
return {}
"""
)

_CORRECT = (
    _WINDOW
    + """
for place = 1, #KEYS / 2 do
  local _, _, _, ends = window(place)
  local age, more = tonumber(ARGV[3 * place - 1]), tonumber(ARGV[3 * place])
  if more > 0 or (ends > 0 and age <= 2 * ARGV[3 * place - 2] - ends) then
    add(place, ARGV[3 * place])
  end
end
"""
)

_LOOK = (
    _WINDOW
    + """
local found = {}
for place = 1, #KEYS / 2 do
  found[place] = {window(place)}
end
return found
"""
)


class InRedis:
    """In the Redis or Valkey at `address`. All methods raise StoreError."""

    def __init__(self, address: str) -> None:
        from limits.aio.storage import RedisStorage

        try:
            from redis.asyncio.retry import Retry
            from redis.backoff import NoBackoff
        except ModuleNotFoundError:
            message = "a store in Redis needs an extra: pip install 'tokenwire[gateway-redis]'"
            raise ConfigError(message) from None
        # The older protocol needs no greeting, and there is no time to try again.
        options: dict[str, Any] = {"protocol": 2, "retry": Retry(NoBackoff(), 0)}
        storage = RedisStorage(f"async+{address}", implementation="redispy", **options)
        bridge: Any = storage.bridge
        self._client: Any = bridge.storage
        self._errors: Any = bridge.base_exceptions
        self._take = self._client.register_script(_TAKE)
        self._correct = self._client.register_script(_CORRECT)
        self._look = self._client.register_script(_LOOK)

    async def take(self, wanted: Amounts) -> Full | None:
        arguments = [(counter.limit, amount) for counter, amount in wanted]
        found = await self._run(self._take, [counter for counter, _ in wanted], arguments)
        if not found:
            return None
        place: int = found[0] - 1
        return Full(place, _window(wanted[place][0], found[1:]))

    async def correct(self, more: Amounts, age: float) -> None:
        milliseconds = floor((age - _SLACK) * 1000)
        arguments = [(milliseconds, amount) for _, amount in more]
        await self._run(self._correct, [counter for counter, _ in more], arguments)

    async def windows(self, counters: Sequence[Counter]) -> list[Window]:
        found = await self._run(self._look, counters, [(0, 0)] * len(counters))
        return [_window(counter, state) for counter, state in zip(counters, found, strict=True)]

    async def close(self) -> None:
        await self._client.aclose()

    async def _run(
        self, script: Any, counters: Sequence[Counter], arguments: Sequence[tuple[int, int]]
    ) -> Any:
        keys = [f"tokenwire/{c.name}{end}" for c in counters for end in ("", "/-1")]
        numbers = [
            number
            for counter, given in zip(counters, arguments, strict=True)
            for number in (1000 * counter.seconds, *given)
        ]
        try:
            return await script(keys, numbers)
        except self._errors as error:
            raise StoreError(str(error)) from error


def _window(counter: Counter, state: Sequence[int]) -> Window:
    """A window as a script tells it: times in milliseconds."""
    previous, fades, current, ends = state
    began = 2 * counter.seconds - ends / 1000 if ends else 0
    return Window(previous, fades / 1000, current, began)
