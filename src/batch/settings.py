"""The settings of a run, and what it is built of."""

import random
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from ..highlevel import where_to_ask
from ..protocols.chat import as_chat
from ..protocols.clocks import Clocks
from ..protocols.errors import LocalProtocolError
from ..protocols.limits import Limits
from ..protocols.provider import Provider
from ..protocols.registry import provider_named
from ..protocols.toolkit.http import names_secret
from .costs import Bounds, Price, most_failures_of, price_of
from .engine import Asked, Engine
from .intake import Intake, Shard, shard_of_text
from .journal import Journal, open_journal
from .lines import Writer
from .pace import Pace
from .past import Past
from .rows import Reader
from .schedule import Patience, Schedule
from .tally import Tally

if TYPE_CHECKING:
    from ..protocols.auth import KeySource

__all__ = ["Settings", "concurrency_of"]

_RANDOM = random.SystemRandom()


def concurrency_of(given: object) -> tuple[int, int]:
    """The least and the most questions at once: `auto` (1 to 256), `N`, `MIN-MAX`, a number or a
    pair. Raises LocalProtocolError."""
    match given:
        case "auto":
            return 1, 256
        case str():
            first, dash, last = given.partition("-")
            numbers = [first, last] if dash else [first, first]
            if all(number.isdigit() for number in numbers):
                given = tuple(map(int, numbers))
        case int():
            given = (given, given)
        case _:
            pass
    match given:
        case (int(least), int(most)) if 1 <= least <= most:
            return least, most
        case _:
            raise LocalProtocolError(
                f"concurrency {given!r}: give auto, a number, or the least and the most"
            )


class Settings(msgspec.Struct, kw_only=True):
    """How to ask the rows of a run: see `run` for what they mean."""

    provider: str | Provider
    model: str = ""
    journal: str = ""
    concurrency: Any = "auto"
    rpm: float | None = None
    tpm: float | None = None
    workers: int = 1
    attempts: int = 5
    truncated_attempts: int = 2
    max_failures: float | int | str | None = None
    budget: float | None = None
    budget_tokens: int | None = None
    price: Price | str | None = None
    reask: Iterable[str] = ()
    shard: Shard | str | None = None
    format: str = ""
    field: str = ""
    template: str = ""
    options: Mapping[str, Any] = {}
    plain: bool = False
    skip_broken: bool = False
    key: Any = None
    base_url: str | None = None
    params: Mapping[str, str] = {}
    headers: Mapping[str, str] = {}
    clocks: Clocks | None = None
    limits: Limits | None = None
    client: Mapping[str, Any] = {}

    def __post_init__(self) -> None:
        self.provider = provider_named(self.provider)
        if isinstance(self.price, str):
            self.price = price_of(self.price)
        if isinstance(self.shard, str):
            self.shard = shard_of_text(self.shard)
        if isinstance(self.max_failures, str):
            self.max_failures = most_failures_of(self.max_failures)
        if self.budget is not None and self.price is None:
            raise LocalProtocolError("a budget in dollars needs the price of tokens")
        if self.attempts < 1 or self.truncated_attempts < 1:
            raise LocalProtocolError("a row is asked at least once: attempts is at least 1")
        for name in ("rpm", "tpm"):
            if (rate := getattr(self, name)) is not None and not rate > 0:
                raise LocalProtocolError(f"{name} {rate}: give a number above 0")
        concurrency_of(self.concurrency)

    def reader(self) -> Reader:
        """What reads rows."""
        provider = provider_named(self.provider)
        return Reader(
            provider,
            model=self.model,
            options=self.options,
            form=self.format,
            field=self.field,
            template=self.template,
        )

    def open_journal(self) -> Journal | None:
        """The journal, if there is to be one."""
        if not self.journal:
            return None
        assert not isinstance(self.price, str)
        return open_journal(
            self.journal,
            self.writer(),
            reask=self.reask,
            price=self.price,
            skip_broken=self.skip_broken,
        )

    def writer(self) -> Writer:
        """What writes lines. The key and secret headers are in none of them."""
        key = self.asked().key
        secrets = (key,) if isinstance(key, str) else ()
        given = (v for name, v in self.headers.items() if names_secret(name.lower().encode()))
        return Writer(plain=self.plain, secrets=(*secrets, *given))

    def intake(self, past: Past) -> Intake:
        """What takes the rows."""
        assert not isinstance(self.shard, str)
        return Intake(self.reader(), past, self.shard)

    def engine(
        self,
        source: Iterator[object],
        intake: Intake,
        journal: Journal | None,
        *,
        total: int | None = None,
        **calls: Callable[..., Any],
    ) -> Engine:
        """What asks the rows of `source`. `calls` are those of `Engine`."""
        assert not isinstance(self.price, str)
        assert not isinstance(self.max_failures, str)
        least, most = concurrency_of(self.concurrency)
        bounds = Bounds(
            budget=self.budget,
            budget_tokens=self.budget_tokens,
            max_failures=self.max_failures,
            price=self.price,
            total=total,
            cost=intake.past.cost,
            tokens=intake.past.tokens,
        )
        schedule = Schedule(
            Pace(
                least=least,
                most=most,
                rpm=self.rpm,
                tpm=self.tpm,
                workers=self.workers,
                random=random.random,
            ),
            patience=Patience(attempts=self.attempts, truncated_attempts=self.truncated_attempts),
            bounds=bounds,
            random=random.random,
        )
        return Engine(
            source,
            asked=self.asked(),
            intake=intake,
            schedule=schedule,
            tally=Tally(bounds, intake.survey, total),
            journal=journal,
            **calls,
        )

    def asked(self) -> Asked:
        """Whom to ask; what is not given is taken from the environment, as `make_exchange` does.
        Raises LocalProtocolError for what would be wrong with every row: the address, the model."""
        provider = provider_named(self.provider)
        key: KeySource | None = self.key
        where = where_to_ask(provider, key, self.base_url, self.params)
        model = self.model or provider.default_model or next(iter(provider.models), "any")
        provider.exchange(
            as_chat("Hello", model=model), headers=self.headers, random=_RANDOM, **where
        )
        return Asked(
            provider=provider,
            key=where["key"],
            base_url=where["base_url"],
            params=where["params"],
            headers=self.headers,
            clocks=self.clocks,
            limits=self.limits,
            random=_RANDOM,
            client=self.client,
        )
