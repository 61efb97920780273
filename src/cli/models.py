"""`tokenwire models`: lists the models of a service."""

from contextlib import ExitStack
from dataclasses import dataclass

import click
import msgspec

from ..highlevel import models
from ..transports.sync import Client
from .asking import AskOptions
from .server import embedded_server, key_for

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
            click.echo(msgspec.json.encode(model.raw))
        else:
            click.echo("\t".join(dict.fromkeys((model.id, model.name or model.id))))
