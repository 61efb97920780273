"""What a gateway works with: its models, their targets, the keys of its callers, its limits.

`load` makes it of a file, `from_environment` of the keys and servers that are there. Nothing here
reads a file or the environment, and no repr shows a secret.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import date
from ipaddress import ip_address
from random import Random
from typing import Any
from urllib.parse import urlsplit

import msgspec
from msgspec import UNSET

from ..protocols.auth import AwsKey, KeySource
from ..protocols.chat import Chat, Message
from ..protocols.clocks import Clocks
from ..protocols.environment import base_url_of, first_set, params_of
from ..protocols.errors import LocalProtocolError, closest_or_all
from ..protocols.provider import Provider
from ..protocols.registry import PROVIDERS
from .file import (
    Bounded,
    Budget,
    ConfigError,
    File,
    KeyEntry,
    Lane,
    Limits,
    ModelEntry,
    OnCut,
    Price,
    ProviderEntry,
    ReasoningField,
    RulesEntry,
    Server,
    Strategy,
    TargetEntry,
    read_file,
    schema,
)
from .references import References
from .upstreams import Upstream

__all__ = [
    "Bounded",
    "Budget",
    "Config",
    "ConfigError",
    "Key",
    "Limits",
    "Model",
    "Price",
    "Rules",
    "Server",
    "Target",
    "from_environment",
    "host_and_port",
    "is_loopback",
    "load",
    "schema",
]


class Rules(msgspec.Struct, frozen=True, kw_only=True):
    """How calls are made to a target: section by section merged, the target's own first. Times are
    seconds; 0 is off."""

    clocks: Clocks
    ping: float = 15
    commit_after: float = 15
    deadline: float = 180
    attempts: int = 2
    on_cut: OnCut = "error+abort"


class Target(Bounded, frozen=True, kw_only=True):
    """One upstream that can answer for a model. `name` identifies it in logs and metrics. `model`
    is the model's name there; `Model.asks` says what becomes of it."""

    name: str
    provider: Provider
    key: KeySource | None
    params: dict[str, str]
    model: str
    max_tokens: int | None
    weight: float
    lane: Lane
    forward: tuple[str, ...]
    check: str
    rules: Rules

    def __repr__(self) -> str:
        return f"<Target {self.name}>"  # shortened: the key

    def __rich_repr__(self) -> list[tuple[str, Any]]:  # msgspec's has all of it
        return [("name", self.name)]


class Model(Bounded, frozen=True, kw_only=True):
    """What callers ask for: a name, or a pattern with one `*`."""

    name: str
    targets: tuple[Target, ...]
    strategy: Strategy
    sticky_header: str
    price: Price | None
    allow: frozenset[str]
    expect: int
    reasoning_field: ReasoningField

    def asks(self, target: Target, name: str) -> str:
        """The name of the model at `target`, when the caller said `name`."""
        if not target.model:
            return name
        before, _, after = self.name.partition("*")
        return target.model.replace("*", name[len(before) : len(name) - len(after)], 1)


class Key(Bounded, frozen=True, kw_only=True):
    """A key of a caller's. `digest` is the SHA-256 of it, empty if there is only `aws`, by which
    requests may be signed; `models` are names and patterns (None: all); the last day of use is the
    one before `expires`."""

    name: str
    digest: bytes
    aws: AwsKey | None = None
    models: frozenset[str] | None
    per_model: dict[str, Bounded]
    expires: date | None

    def allows(self, name: str) -> bool:
        """Whether it may be used to ask for the model that the caller calls `name`."""
        return self.models is None or any(_matches(each, name) for each in self.models)


class Config(Server, frozen=True, kw_only=True):
    """A gateway. `store` may have a password."""

    models: tuple[Model, ...]
    keys: tuple[Key, ...]
    store: str
    state_key: bytes | None

    def model(self, name: str) -> Model | None:
        """What a caller means by `name`: the model of that name, or the first pattern that it
        matches."""
        for model in self.models:
            if model.name == name:
                return model
        return next((model for model in self.models if _matches(model.name, name)), None)

    def __repr__(self) -> str:
        models = ", ".join(model.name for model in self.models)
        return f"<Config {self.listen}, models: {models}>"  # shortened: keys

    def __rich_repr__(self) -> list[tuple[str, Any]]:  # msgspec's has all of it
        return [("listen", self.listen), ("models", [model.name for model in self.models])]


def load(
    text: str, *, name: str, environment: Mapping[str, str], read: Callable[[str], str]
) -> Config:
    """The configuration in `text`, that of the file `name`. `read` returns the text of a file to
    which it refers. Raises ConfigError."""
    file = read_file(text, name)
    references = References(name, environment, read, literals=file.insecure_literal_keys)
    return _Builder(file, references).config()


def from_environment(
    environment: Mapping[str, str],
    answers: Callable[[Provider], bool],
    allow: Collection[str] = (),
) -> Config:
    """A configuration without a file: each provider whose key is in `environment`, and each server
    on this machine that `answers`. Its models are called `provider/model`, and `allow` these
    losses. Raises ConfigError if there is none."""
    providers: dict[str, ProviderEntry] = {}
    for preset in PROVIDERS.values():
        variable = first_set(preset.env, environment)
        address, params = base_url_of(preset, environment), params_of(preset, environment)
        provider = preset.replace(base_url=address or preset.base_url)
        if preset.working is False or not (variable or preset.key_optional):
            continue
        own = address is not None and preset.key_optional
        if own or is_loopback(_host_of(provider.base_url)):
            if not answers(provider):
                continue
        elif not variable or len(params) < len(preset.params):
            continue
        providers[preset.name] = ProviderEntry(
            key=f"env:{variable}" if variable else "",
            base_url=provider.base_url,
            params=params,
        )
    if not providers:
        known = {name: None for each in PROVIDERS.values() for name in each.env}
        raise ConfigError(
            "there is nothing to ask: no server on this machine answers, and no key is in the "
            f"environment ({', '.join(known)})"
        )
    models = tuple(
        ModelEntry(
            name=f"{name}/*",
            targets=(TargetEntry(provider=name, model="*"),),
            allow=frozenset(allow),
        )
        for name in providers
    )
    file = File(providers=providers, models=models)
    references = References("the environment", environment, read=str, literals=False)
    return _Builder(file, references).config()


def host_and_port(address: str) -> tuple[str, int]:
    """The two parts of an address to listen at; an IPv6 host is in brackets. Raises ConfigError."""
    host, _, port = address.rpartition(":")
    if not host or not (port.isdecimal() and port.isascii()) or int(port) > 65535:
        raise ConfigError(f"{address!r} is no address: write host:port, as 127.0.0.1:4000")
    return host.removeprefix("[").removesuffix("]"), int(port)


def is_loopback(host: str) -> bool:
    """Whether `host` is this machine, as only programs on it can reach it."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _host_of(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:  # it is none: the provider says so
        return ""


def _matches(pattern: str, name: str) -> bool:
    before, star, after = pattern.partition("*")
    if not star:
        return name == pattern
    return (
        len(name) >= len(before) + len(after) and name.startswith(before) and name.endswith(after)
    )


class _Builder:
    """Turns a file into a configuration, and says what in it can't be right."""

    def __init__(self, file: File, references: References) -> None:
        self._file = file
        self._references = references
        self._wrong = references.wrong
        self._upstreams = {
            name: Upstream(name, entry, references) for name, entry in file.providers.items()
        }

    def config(self) -> Config:
        file = self._file
        config = Config(
            **{name: getattr(file, name) for name in Server.__struct_fields__},
            models=tuple(map(self._model, file.models)),
            keys=tuple(map(self._key, file.keys)),
            store=self._store(file.store),
            state_key=self._state_key(file.state_key),
        )
        self._distinct("models", (model.name for model in config.models))
        self._distinct("keys", (key.name for key in config.keys))
        self._distinct("keys", (key.digest.hex() for key in config.keys if key.digest))
        self._distinct("keys", (key.aws.id for key in config.keys if key.aws))
        self._check_targets(config)
        self._check_addresses(config)
        for key in config.keys:
            self._check_key(config, key)
        return config

    # Its parts

    def _model(self, entry: ModelEntry) -> Model:
        where = f"models.{entry.name}"
        if entry.name.count("*") > 1:
            raise self._wrong(where, "a name has one * at most")
        budgets = (entry.budget, *(target.budget for target in entry.targets))
        if entry.price is None and any(budgets):
            raise self._wrong(where, "missing key `price`: a budget needs it")
        return Model(
            name=entry.name,
            targets=tuple(
                self._target(entry, target, f"{where}.targets[{place}]")
                for place, target in enumerate(entry.targets)
            ),
            strategy=entry.strategy,
            sticky_header=entry.sticky.header.lower(),
            price=entry.price,
            limits=entry.limits,
            budget=entry.budget,
            allow=entry.allow,
            expect=entry.expect,
            reasoning_field=entry.reasoning_field,
        )

    def _target(self, model: ModelEntry, entry: TargetEntry, where: str) -> Target:
        upstream = self._upstreams.get(entry.provider)
        if upstream is None:
            hint = closest_or_all(entry.provider, self._upstreams)
            raise self._wrong(where, f"there is no [providers.{entry.provider}]{hint}")
        if "*" in entry.model and "*" not in model.name:
            raise self._wrong(f"{where}.model", "a * needs one in the name of the model")
        target = Target(
            name=entry.name or f"{entry.provider}/{entry.model or '*'}",
            provider=upstream.provider,
            key=upstream.key,
            params=upstream.params,
            model=entry.model,
            max_tokens=entry.max_tokens,
            weight=entry.weight,
            lane=entry.lane,
            forward=tuple(header.lower() for header in entry.forward),
            check=entry.check,
            limits=entry.limits,
            budget=entry.budget,
            rules=_rules(upstream.provider, (self._file.defaults, model, entry)),
        )
        try:
            _try(target)
        except LocalProtocolError as error:
            raise self._wrong(where, _in_words_of_the_file(error)) from None
        return target

    def _key(self, entry: KeyEntry) -> Key:
        where, signer = f"keys.{entry.name}", None
        if entry.aws is not None:
            secret = self._references.text(entry.aws.secret, f"{where}.aws.secret", secret=True)
            signer = AwsKey(entry.aws.id, secret)
        elif not entry.sha256:
            raise self._wrong(where, "missing key `sha256`, or `aws`")
        return Key(
            name=entry.name,
            digest=bytes.fromhex(entry.sha256),
            aws=signer,
            models=entry.models,
            limits=entry.limits,
            budget=entry.budget,
            per_model=entry.per_model,
            expires=entry.expires,
        )

    def _store(self, given: str) -> str:
        store = self._references.text(given, "store")
        if store == "memory":
            return store
        try:
            parts = urlsplit(store)
            right = parts.scheme in ("redis", "rediss") and parts.hostname and parts.port != 0
        except ValueError:  # of the host or the port
            right = False
        if not right:
            raise self._wrong("store", "write `memory`, or an address: redis://127.0.0.1:6379/0")
        return self._references.text(given, "store", secret="@" in store)

    def _state_key(self, given: str) -> bytes | None:
        key = self._references.text(given, "state_key", secret=True).encode()
        if 0 < len(key) < _STATE_KEY:
            raise self._wrong("state_key", f"it needs at least {_STATE_KEY} bytes")
        return key or None

    # Checks of the whole

    def _distinct(self, where: str, names: Iterable[str]) -> None:
        seen: set[str] = set()
        for name in names:
            if name in seen:
                raise self._wrong(where, f"`{name}` is there twice")
            seen.add(name)

    def _check_targets(self, config: Config) -> None:
        """The name of a target means the same upstream, with the same limits, in all models."""
        seen: dict[str, Target] = {}
        for model in config.models:
            where = f"models.{model.name}.targets"
            self._distinct(where, (target.name for target in model.targets))
            for target in model.targets:
                other = seen.setdefault(target.name, target)
                if _identity(other) != _identity(target):
                    raise self._wrong(
                        where,
                        f"another model has a `{target.name}` too, with another provider, model, "
                        "limits or budget: give this one a `name`",
                    )

    def _check_addresses(self, config: Config) -> None:
        for where, address in (("admin", config.admin), ("listen", config.listen)):
            try:
                host, _ = host_and_port(address or "localhost:0")
            except ConfigError as error:
                raise self._wrong(where, error) from None
        if not (is_loopback(host) or config.keys or config.open):
            raise self._wrong(
                "listen",
                f"others can reach {host}: add [[keys]], or write open = true if anyone may ask "
                "at your expense",
            )

    def _check_key(self, config: Config, key: Key) -> None:
        where = f"keys.{key.name}"
        known = [model.name for model in config.models]
        for name in sorted(key.models or ()):
            if config.model(name) is None and not any(_matches(name, each) for each in known):
                raise self._wrong(
                    f"{where}.models", f"unknown model `{name}`{closest_or_all(name, known)}"
                )
        for name in key.per_model:
            if name not in known:
                raise self._wrong(
                    f"{where}.per_model", f"unknown model `{name}`{closest_or_all(name, known)}"
                )
        paid = {name for name, bounded in key.per_model.items() if bounded.budget is not None}
        if key.budget is not None:
            paid.update(("*",) if key.models is None else key.models)
        for model in config.models:
            asked = any(_matches(each, model.name) or config.model(each) is model for each in paid)
            if asked and model.price is None:
                raise self._wrong(where, f"a budget needs the `price` of the model `{model.name}`")


_STATE_KEY = 32
"""Bytes of the shortest key for signatures: as many as a SHA-256 has."""


def _identity(target: Target) -> tuple[object, ...]:
    return target.provider.name, target.model, target.limits, target.budget


def _rules(provider: Provider, entries: Iterable[RulesEntry]) -> Rules:
    """The rules of all `entries`; later ones win."""
    rules: dict[str, Any] = {}
    clocks: dict[str, float | None] = {}
    for entry in entries:
        for name in Rules.__struct_fields__:
            if name != "clocks" and (value := getattr(entry, name)) is not UNSET:
                rules[name] = value
        for name in Clocks.__struct_fields__:
            if (seconds := getattr(entry.clocks, name)) is not UNSET:
                clocks[name] = seconds or None
    return Rules(clocks=msgspec.structs.replace(provider.clocks, **clocks), **rules)


def _in_words_of_the_file(error: LocalProtocolError) -> str:
    """The message of the core, whose advice is for Python code."""
    text = error.message
    for phrase, ours in _PHRASES.items():
        text = text.replace(phrase, ours)
    return text


_PHRASES = {
    "give it with the chat": "write it in the target",
    "leave it out of the chat": "leave it out",
    "by key= or headers=": "by `key` or `headers`",
}


def _try(target: Target) -> None:
    """Build a request for `target`, which is not sent: what the core refuses now it would refuse
    later. Raises LocalProtocolError."""
    provider = target.provider
    named = target.model and "*" not in target.model
    model = target.model if named else next(iter(provider.models), "any")
    chat = Chat(messages=(Message("user", "Hello"),), model=model, max_tokens=target.max_tokens)
    provider.exchange(
        chat,
        key=target.key,
        params=target.params,
        clocks=target.rules.clocks,
        random=Random(0),  # noqa: S311  nothing of it is sent
        now=lambda: 0.0,
    ).next_request()
