"""`tokenwire models`: lists the models of a service."""

from contextlib import ExitStack
from dataclasses import dataclass

import click

from ..highlevel import models
from ..transports.sync import Client
from . import one_line
from .asking import AskOptions
from .server import embedded_server, key_for
from .show import is_terminal, json_line

__all__ = ["ModelsOptions", "run_models"]


@dataclass(frozen=True, kw_only=True)
class ModelsOptions(AskOptions):
    """The options of `tokenwire models`."""

    as_json: bool


def run_models(options: ModelsOptions) -> None:
    """Print the id of each model on a line, after a tab its name if it has another; as JSON all
    that the service says of it."""
    with ExitStack() as stack:
        key, base_url = key_for(options.provider), options.base_url
        client = stack.enter_context(Client(**options.client_options()))
        if options.embedded:
            key = ""
            base_url = stack.enter_context(embedded_server()(options.provider)).url
        found = models(
            options.provider,
            client=client,
            key=key,
            base_url=base_url,
            headers=dict(options.headers),
            clocks=options.clocks,
        )
    for model in found:
        if options.as_json:
            click.echo(json_line(model.raw))
        else:
            names = dict.fromkeys((model.id, model.name or model.id))
            click.echo("\t".join(map(one_line, names) if is_terminal() else names))
