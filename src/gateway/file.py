"""The configuration file of the gateway: a TOML document, read strictly.

Each table is a struct here, whose docstrings and types also make the JSON Schema. `config` turns
them into what the gateway works with. In texts of `[providers]`, and for `store` and `state_key`,
`env:NAME` and `file:PATH` stand for the value of an environment variable and the text of a file.
"""

import tomllib
from datetime import date
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeAlias, Union, get_args, get_origin, get_type_hints

import msgspec
from msgspec import UNSET, Meta, UnsetType

from ..protocols.chat import Effort
from ..protocols.errors import LocalProtocolError, closest_or_all
from ..protocols.events import Evidence
from ..protocols.toolkit.json import is_list, is_object

__all__ = [
    "AwsEntry",
    "Bounded",
    "Budget",
    "ClocksEntry",
    "ConfigError",
    "File",
    "KeyEntry",
    "Lane",
    "Limits",
    "ModelEntry",
    "OnCut",
    "OnStoreFailure",
    "Price",
    "ProviderEntry",
    "ReasoningField",
    "RulesEntry",
    "Server",
    "SignerEntry",
    "Strategy",
    "TargetEntry",
    "read_file",
    "schema",
]

Seconds: TypeAlias = Annotated[float, Meta(ge=0, le=10_000_000)]
Count: TypeAlias = Annotated[int, Meta(ge=0)]
AtLeastOne: TypeAlias = Annotated[int, Meta(ge=1)]
Money: TypeAlias = Annotated[float, Meta(ge=0, le=1e12)]
Name: TypeAlias = Annotated[str, Meta(min_length=1, max_length=200)]

Strategy: TypeAlias = Literal["ordered", "weighted", "least", "sticky"]
Lane: TypeAlias = Literal["auto", "translate"]
OnCut: TypeAlias = Literal["error+abort", "error"]
OnStoreFailure: TypeAlias = Literal["local", "refuse"]
ReasoningField: TypeAlias = Literal["reasoning_content", "reasoning"]


class ConfigError(LocalProtocolError):
    """The configuration is wrong. The message names the file, the key, and what to write."""


class _Table(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass


class Limits(_Table, frozen=True, kw_only=True):
    """How much may be asked: requests and tokens a minute, and calls at once. None: no limit."""

    rpm: AtLeastOne | None = None
    tpm: AtLeastOne | None = None
    calls: AtLeastOne | None = None


class Budget(_Table, frozen=True, kw_only=True):
    """The most money for a day or a month."""

    money: Annotated[float, Meta(gt=0, le=1e12)]
    per: Literal["day", "month"]


class Bounded(_Table, frozen=True, kw_only=True):
    """What has limits, and perhaps a budget."""

    limits: Limits = Limits()
    budget: Budget | None = None


class Price(_Table, frozen=True, kw_only=True):
    """Money for a million tokens. `cached` and `cache_write` are those of input; None: as input."""

    input: Money
    output: Money
    cached: Money | None = None
    cache_write: Money | None = None


class ClocksEntry(_Table, frozen=True, kw_only=True):
    """Seconds, as `tokenwire.Clocks`; 0 is no limit, and what is left out is the provider's."""

    connect: Seconds | UnsetType = UNSET
    first_event: Seconds | UnsetType = UNSET
    idle: Seconds | UnsetType = UNSET
    total: Seconds | UnsetType = UNSET


class RulesEntry(_Table, frozen=True, kw_only=True):
    """How calls are made. A target's win over its model's, and these over the defaults."""

    clocks: ClocksEntry = ClocksEntry()
    ping: Seconds | UnsetType = UNSET
    commit_after: Seconds | UnsetType = UNSET
    attempts: AtLeastOne | UnsetType = UNSET
    deadline: Seconds | UnsetType = UNSET
    on_cut: OnCut | UnsetType = UNSET


class AwsEntry(_Table, frozen=True, kw_only=True):
    """The credentials of Amazon Web Services."""

    id: str
    secret: str
    token: str = ""
    region: str = ""


class ProviderEntry(_Table, frozen=True, kw_only=True):
    """A service: a preset, by the table's name or by `preset`, or any `dialect` at a `base_url`.
    The other fields are those of `tokenwire.Provider`."""

    preset: str = ""
    dialect: str = ""
    key: str | AwsEntry = ""
    base_url: str | UnsetType = UNSET
    params: dict[str, str] = {}
    headers: dict[str, str] = {}
    query: dict[str, str] = {}
    path: str | UnsetType = UNSET
    whole_path: str | UnsetType = UNSET
    owes: Evidence | UnsetType = UNSET
    fields: dict[str, Any] | UnsetType = UNSET
    omits: frozenset[str] | UnsetType = UNSET
    refuses: frozenset[str] | UnsetType = UNSET
    max_tokens: str | UnsetType = UNSET
    ask_usage: bool | UnsetType = UNSET
    effort: dict[Effort, dict[str, Any]] | UnsetType = UNSET
    history: Literal["reasoning_content", "reasoning", "reasoning_details", ""] | UnsetType = UNSET
    history_required: bool | UnsetType = UNSET
    schema: Literal["json_schema", "json_object", ""] | UnsetType = UNSET
    system: Literal["any", "first"] | UnsetType = UNSET
    developer: bool | UnsetType = UNSET
    text_only: frozenset[str] | UnsetType = UNSET
    cache_marks: bool | UnsetType = UNSET


class TargetEntry(RulesEntry, frozen=True, kw_only=True):
    """One upstream of a model. `model` is its name there: empty, as the caller said it; a `*` in it
    is what the `*` of the model's name stands for. `check`: a path at its host that is asked every
    few seconds, as `/health`, to see whether it is up."""

    provider: str
    model: str = ""
    name: Annotated[str, Meta(max_length=200)] = ""
    max_tokens: AtLeastOne | None = None
    weight: Annotated[float, Meta(gt=0, le=1e6)] = 1
    lane: Lane = "auto"
    forward: tuple[str, ...] = ()
    check: Annotated[str, Meta(pattern="^(/.*)?$")] = ""
    limits: Limits = Limits()
    budget: Budget | None = None


class Sticky(_Table, frozen=True, kw_only=True):
    """How a session is recognized: by a header of the caller's."""

    header: str = ""


class ModelEntry(RulesEntry, frozen=True, kw_only=True):
    """What callers can ask for. A `name` may have one `*`, which stands for any text."""

    name: Name
    targets: Annotated[tuple[TargetEntry, ...], Meta(min_length=1)]
    strategy: Strategy = "ordered"
    sticky: Sticky = Sticky()
    price: Price | None = None
    limits: Limits = Limits()
    budget: Budget | None = None
    allow: frozenset[str] = frozenset()
    expect: AtLeastOne = 500
    reasoning_field: ReasoningField = "reasoning_content"


class SignerEntry(_Table, frozen=True, kw_only=True):
    """By which a caller signs its requests, as the SDKs of Amazon Web Services do."""

    id: Name
    secret: Annotated[str, Meta(min_length=1)]


class KeyEntry(Bounded, frozen=True, kw_only=True):
    """A key of a caller's: its `sha256`, or `aws`, or both. `models`: the names that it may ask
    for, as in `[[models]]`; without them, all. `per_model`: further limits for single models, by
    their names in `[[models]]`."""

    name: Name
    sha256: Annotated[str, Meta(pattern="^[0-9a-fA-F]{64}$")] = ""
    aws: SignerEntry | None = None
    models: frozenset[str] | None = None
    per_model: dict[str, Bounded] = {}
    expires: date | None = None


class Server(_Table, frozen=True, kw_only=True):
    """What a gateway is as a server. Times are seconds, sizes are bytes."""

    listen: str = "127.0.0.1:4000"
    admin: str = "127.0.0.1:9464"
    workers: AtLeastOne = 1
    on_store_failure: OnStoreFailure = "local"
    hosts: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()
    open: bool = False
    query_keys: bool = False
    expose: bool = False
    estimate_input: bool = True
    max_calls: AtLeastOne = 1000
    queue: Count = 0
    queue_wait: Seconds = 0
    stall: Seconds = 120
    drain: Seconds = 300
    drain_delay: Seconds = 5
    max_request: AtLeastOne = 64 * 1024 * 1024
    log: Literal["json", "text"] = "json"
    record: str = ""
    traces: bool = False


class File(Server, frozen=True, kw_only=True):
    """The configuration of a tokenwire gateway."""

    models: Annotated[tuple[ModelEntry, ...], Meta(min_length=1)]
    providers: dict[str, ProviderEntry] = {}
    keys: tuple[KeyEntry, ...] = ()
    defaults: RulesEntry = RulesEntry()
    store: str = "memory"
    state_key: str = ""
    insecure_literal_keys: bool = False


def schema() -> dict[str, Any]:
    """The JSON Schema of the file."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **msgspec.json.schema(File),
    }


def read_file(text: str, name: str) -> File:
    """The file called `name`, from its `text`. Raises ConfigError, which shows no value."""
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{name}: {error}") from None
    try:
        return msgspec.convert(data, File)
    except msgspec.ValidationError as error:
        where, problem = _fault(data, File, error)
        raise ConfigError(f"{name}: {where.lstrip('.')}: {problem}".replace(": : ", ": ")) from None


def _fault(value: Any, kind: Any, error: msgspec.ValidationError) -> tuple[str, str]:
    """Where in `value`, which is no `kind`, the first fault is, and what it is."""
    kind = _narrowed(kind, value)
    if _is_table(kind) and is_object(value):
        names = kind.__struct_fields__
        for key in value:
            if key not in names:
                return "", f"unknown key `{key}`{closest_or_all(key, names)}"
    for step, child, its_kind in _children(value, kind):
        try:
            msgspec.convert(child, its_kind)
        except msgspec.ValidationError as its_error:
            where, problem = _fault(child, its_kind, its_error)
            return f"{step}{where}", problem
    if get_origin(kind) is Literal and isinstance(value, str):
        return "", f"unknown word `{value}`{closest_or_all(value, get_args(kind))}"
    problem = str(error).partition(" - at `")[0].replace(" | null", "")
    return "", problem.replace("Object missing required field", "missing key")


def _narrowed(kind: Any, value: Any) -> Any:
    """Of a union that part which `value` is meant to be, without `Annotated`."""
    if get_origin(kind) is Annotated:
        kind = get_args(kind)[0]
    if get_origin(kind) not in (Union, UnionType):
        return kind
    kinds = [each for each in get_args(kind) if each not in (NoneType, UnsetType)]
    tables = [each for each in kinds if _is_table(each)]
    if tables and is_object(value):
        return tables[0]
    return kinds[0] if len(kinds) == 1 else kind


def _children(value: Any, kind: Any) -> list[tuple[str, Any, Any]]:
    """What `value` contains, how to get there, and of what kind it has to be."""
    if _is_table(kind) and is_object(value):
        hints = get_type_hints(kind, include_extras=True)
        return [(f".{key}", child, hints[key]) for key, child in value.items()]
    if get_origin(kind) is dict and is_object(value):
        key_kind, child_kind = get_args(kind)
        keys = [(f".{key}", key, key_kind) for key in value]
        return keys + [(f".{key}", child, child_kind) for key, child in value.items()]
    if get_origin(kind) in (tuple, frozenset) and is_list(value):
        child_kind = get_args(kind)[0]
        return [(_step(place, child), child, child_kind) for place, child in enumerate(value)]
    return []


def _step(place: int, child: Any) -> str:
    """How to get to an item of a list: by its name, if it has one."""
    name = child.get("name") if is_object(child) else None
    return f".{name}" if isinstance(name, str) else f"[{place}]"


def _is_table(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, _Table)
