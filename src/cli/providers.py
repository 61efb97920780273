"""`tokenwire providers`: lists them."""

import sys
from collections.abc import Iterable, Sequence
from itertools import zip_longest
from typing import Any, get_args

import click
import msgspec
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..protocols.auth import SigV4
from ..protocols.chat import Effort
from ..protocols.errors import LocalProtocolError, did_you_mean
from ..protocols.provider import Provider
from ..protocols.registry import PROVIDERS
from .console import open_console

__all__ = ["run_providers"]


def run_providers(words: Sequence[str] = (), *, verbose: bool, as_json: bool) -> None:
    """Print the providers: a table on a terminal, tab-separated lines in a pipe, or JSON; of each
    format together. `words`: those that a provider must have in its name, format or base URL.
    `verbose`: all that is known of each, instead of the first two.

    Raises LocalProtocolError if none has the words."""
    providers = [each for each in PROVIDERS.values() if _has(each, words)]
    if not providers:
        meant = did_you_mean(" ".join(words), PROVIDERS)
        raise LocalProtocolError(f"no provider has {' and '.join(map(repr, words))}{meant}")
    terminal = sys.stdout.isatty()
    if as_json:
        for provider in providers:
            click.echo(msgspec.json.encode(_facts(provider)))
    elif verbose:
        _print_blocks(map(_details, providers), terminal=terminal)
    elif terminal:
        _print_table(list(map(_row, providers)))
    else:
        for row in (_COLUMNS, *map(_row, providers)):
            click.echo("\t".join(row))


def _has(provider: Provider, words: Sequence[str]) -> bool:
    said = f"{provider.name} {provider.dialect.name} {provider.base_url}".lower()
    return all(word.lower() in said for word in words)


def _print_table(rows: list[tuple[str, ...]]) -> None:
    console = _console()
    if console.width < 72:  # too narrow for a table
        _print_blocks((dict(zip(_COLUMNS, row, strict=True)) for row in rows), terminal=True)
        return
    table = Table(box=SIMPLE_HEAD)
    for name in _COLUMNS[:-1]:  # without the base URL, for which there is no room
        table.add_column(name, overflow="fold", no_wrap=name in ("provider", "dialect"))
    for row, following in zip_longest(rows, rows[1:]):
        # A line after the last one of a format.
        table.add_row(*row[:-1], end_section=following is None or following[1] != row[1])
    console.print(table)


def _print_blocks(blocks: Iterable[dict[str, str]], *, terminal: bool) -> None:
    """Print each fact as a line, and a blank line after each block."""
    for block in blocks:
        for name, fact in block.items():
            if terminal:
                _console().print(Text.assemble((f"{name}: ", "dim"), fact))
            else:
                click.echo(f"{name}: {fact}")
        click.echo()


def _console() -> Console:
    return open_console(force_terminal=True, highlight=False, markup=False)


_COLUMNS = ("provider", "dialect", "service", "models", "can", "completed by", "base URL")


_SERVICE = {True: "up", False: "shut down", None: "unknown"}


def _row(provider: Provider) -> tuple[str, ...]:
    models = [*provider.models, *(["any"] if provider.any_model else [])]
    return (
        provider.name,
        provider.dialect.name,
        _SERVICE[provider.working],
        ", ".join(models),
        ", ".join(sorted(provider.capabilities)),
        provider.required_evidence,
        provider.base_url,
    )


def _details(provider: Provider) -> dict[str, str]:
    """All that is known of `provider`, by its name for people; what is empty is left out."""
    aliases = (f"{alias} ({model})" for alias, model in provider.aliases.items())
    facts = {
        **dict(zip(_COLUMNS, _row(provider), strict=True)),
        "base URL from": ", ".join((*provider.base_env, *provider.params.values())),
        "site": provider.site,
        "key": _key(provider),
        "default model": provider.default_model,
        "aliases": ", ".join(aliases),
        "takes": ", ".join(sorted(provider.takes)),
        "refuses": ", ".join(sorted(provider.refuses)),
        "effort": ", ".join(_efforts(provider)),
        "checked": provider.checked,
        "source": provider.source,
        "doubtful": ", ".join(provider.doubtful),
    }
    return {name: fact for name, fact in facts.items() if fact}


def _key(provider: Provider) -> str:
    place = provider.key_place
    if place is None:
        return "none"
    sources = [*provider.env, *(["AWS's credentials"] if isinstance(place, SigV4) else [])]
    variables = f"from {' or '.join(sources)}" if sources else ""
    return ", ".join(filter(None, (variables, "optional" if provider.key_optional else "")))


def _efforts(provider: Provider) -> list[str]:
    """The words of `Chat.effort` that `provider` takes."""
    taken = provider.dialect.efforts if provider.effort is None else provider.effort
    return [word for word in get_args(Effort) if word in taken]


def _facts(provider: Provider) -> dict[str, Any]:
    return {
        "name": provider.name,
        "dialect": provider.dialect.name,
        "working": provider.working,
        "base_url": provider.base_url,
        "site": provider.site,
        "models": provider.models,
        "any_model": provider.any_model,
        "default_model": provider.default_model,
        "aliases": provider.aliases,
        "capabilities": sorted(provider.capabilities),
        "takes": sorted(provider.takes),
        "refuses": sorted(provider.refuses),
        "efforts": _efforts(provider),
        "owes": provider.required_evidence,
        "takes_key": provider.key_place is not None,
        "key_optional": provider.key_optional,
        "env": provider.env,
        "base_env": provider.base_env,
        "params": provider.params,
        "checked": provider.checked,
        "source": provider.source,
        "doubtful": provider.doubtful,
    }
