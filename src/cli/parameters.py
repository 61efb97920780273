"""Options that several subcommands have, and the types of their values."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click
from click.shell_completion import CompletionItem

from ..protocols.provider import Provider
from ..protocols.registry import PROVIDERS
from . import Settings
from .named import find_provider
from .options import OPTIONS
from .streams import as_utf8

__all__ = [
    "FILE",
    "PATH",
    "Number",
    "asking_options",
    "complete_option",
    "complete_provider",
    "find_any_provider",
    "host_option",
    "port_option",
    "provider_option",
    "traceback_option",
]

_F = TypeVar("_F", bound=Callable[..., Any])

FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
PATH = click.Path(path_type=Path)


def _want_traceback(context: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted:
        context.ensure_object(Settings).traceback = True


traceback_option = click.option(
    "--traceback",
    is_flag=True,
    is_eager=True,  # so that it applies to errors in the other options, too
    expose_value=False,
    callback=_want_traceback,
    help="Show the traceback of an error.",
)


def _find_provider(context: click.Context, _: click.Parameter, name: str) -> Provider:
    settings = context.ensure_object(Settings)
    settings.provider = provider = find_provider(name)
    if ":" in name:
        settings.own_provider = name
    return provider


def _split_headers(
    _: click.Context, __: click.Parameter, given: tuple[str, ...]
) -> tuple[tuple[str, str], ...]:
    pairs = [header.partition(":") for header in given]
    if any(not (name.strip() and colon) for name, colon, _ in pairs):
        raise click.UsageError("--header: give NAME:VALUE, as in -H 'x-team: blue'")
    return tuple((name.strip(), value.strip()) for name, _, value in pairs)


def complete_provider(_: click.Context, __: click.Parameter, part: str) -> list[CompletionItem]:
    return [CompletionItem(name) for name in PROVIDERS if name.startswith(part)]


def provider_option(*names: str) -> Callable[[_F], _F]:
    return click.option(
        *names,
        "provider",
        metavar="NAME",
        default="openai",
        show_default=True,
        callback=_find_provider,
        shell_complete=complete_provider,
        help="A provider (see tokenwire providers), or module:NAME for one of your own.",
    )


def complete_option(_: click.Context, __: click.Parameter, part: str) -> list[CompletionItem]:
    return [CompletionItem(f"{name}=") for name in OPTIONS if name.startswith(part)]


class Number(click.FloatRange):
    """A number in a range, which NaN is not, though it is in each."""

    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        number = super().convert(value, param, ctx)
        return number if number == number else self.fail(f"{value} is not a number", param, ctx)


def _clock(name: str, what: str) -> Callable[[_F], _F]:
    return click.option(
        name,
        type=Number(0, min_open=True),
        metavar="SECONDS",
        help=f"The time limit for {what}. [default: the provider's]",
    )


_ASKING: tuple[Callable[[Any], Any], ...] = (
    click.option(
        "--base-url",
        metavar="URL",
        help="The address of the service, to which the key is sent. [default: the provider's]",
    ),
    click.option(
        "-H",
        "--header",
        "headers",
        metavar="NAME:VALUE",
        multiple=True,
        type=as_utf8,
        callback=_split_headers,
        help="A header to send with each request. May be repeated.",
    ),
    click.option(
        "--proxy",
        metavar="URL",
        help="A proxy, as http://host:port. [default: from HTTPS_PROXY, HTTP_PROXY, NO_PROXY]",
    ),
    click.option(
        "--ca-file",
        type=FILE,
        help="The certificates of the authorities to trust, instead of the system's. "
        "[default: from REQUESTS_CA_BUNDLE, CURL_CA_BUNDLE, SSL_CERT_FILE, SSL_CERT_DIR]",
    ),
    _clock("--timeout", "a whole answer, instead of all others"),
    _clock("--connect", "each connection"),
    _clock("--first-event", "the beginning of an answer"),
    _clock("--idle", "each silence inside an answer"),
    click.option(
        "--embedded",
        is_flag=True,
        help="Ask the provider's embedded server: no network, no key.",
    ),
)


def asking_options(command: _F) -> _F:
    """The options of a command that asks a service: see `AskOptions`."""
    for option in reversed(_ASKING):
        command = option(command)
    return command


def find_any_provider(
    context: click.Context, parameter: click.Parameter, name: str | None
) -> Provider | None:
    return None if name is None else _find_provider(context, parameter, name)


host_option = click.option(
    "--host", default="127.0.0.1", show_default=True, help="The address to listen on."
)
port_option = click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=0,
    help="The port to listen on. [default: a free one]",
)
