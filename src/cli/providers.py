"""`tokenwire providers`: lists them."""

import sys
from typing import Any

import click
import msgspec
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..protocols.provider import Provider
from ..protocols.registry import PROVIDERS

__all__ = ["run_providers"]


def run_providers(as_json: bool) -> None:
    """Print the providers: a table on a terminal, tab-separated lines in a pipe, or JSON."""
    if as_json:
        for provider in PROVIDERS.values():
            click.echo(msgspec.json.encode(_facts(provider)))
        return
    rows = [_row(provider) for provider in PROVIDERS.values()]
    if not sys.stdout.isatty():
        for row in (_COLUMNS, *rows):
            click.echo("\t".join(row))
        return
    console = Console(force_terminal=True, highlight=False, markup=False)
    if console.width < 72:  # too narrow for a table
        for row in rows:
            for name, fact in zip(_COLUMNS, row, strict=True):
                console.print(Text.assemble((f"{name}: ", "dim"), fact))
            console.print()
        return
    table = Table(box=SIMPLE_HEAD)
    for name in _COLUMNS[:-1]:  # without the base URL, for which there is no room
        table.add_column(name, overflow="fold", no_wrap=name in ("provider", "dialect"))
    for row in rows:
        table.add_row(*row[:-1])
    console.print(table)


_COLUMNS = ("provider", "dialect", "service", "models", "can", "completed by", "base URL")


def _row(provider: Provider) -> tuple[str, ...]:
    models = [*provider.models, *(["any"] if provider.any_model else [])]
    return (
        provider.name,
        _dialect(provider),
        "up" if provider.working else "shut down",
        ", ".join(models),
        ", ".join(sorted(provider.capabilities)),
        provider.required_evidence,
        provider.base_url,
    )


def _facts(provider: Provider) -> dict[str, Any]:
    return {
        "name": provider.name,
        "dialect": _dialect(provider),
        "working": provider.working,
        "base_url": provider.base_url,
        "site": provider.site,
        "models": provider.models,
        "any_model": provider.any_model,
        "default_model": provider.default_model,
        "aliases": provider.aliases,
        "capabilities": sorted(provider.capabilities),
        "owes": provider.required_evidence,
        "env": provider.env,
    }


def _dialect(provider: Provider) -> str:
    return provider.dialect.name
