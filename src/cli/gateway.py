"""`tokenwire gateway`: runs it, checks its configuration, makes keys for its callers."""

import os
from contextlib import ExitStack
from pathlib import Path

import click
import msgspec

from ..gateway.config import Config, schema
from ..gateway.keys import KEY_BYTES, new_key
from ..gateway.run import run
from ..gateway.sources import EnvironmentSource, FileSource, embedded_source
from ..protocols.errors import LocalProtocolError
from . import one_line

__all__ = ["run_gateway"]


def run_gateway(
    words: tuple[str, ...],
    *,
    check: bool,
    schema_only: bool,
    embedded: bool,
    watch: bool,
    allow: tuple[str, ...],
) -> None:
    """Do what the arguments say. Raises LocalProtocolError for wrong usage, or a wrong file; and
    KeyboardInterrupt if a gateway was stopped before its calls had ended."""
    options = {
        name
        for name, given in (
            ("check", check),
            ("schema", schema_only),
            ("embedded", embedded),
            ("watch", watch),
            ("allow", bool(allow)),
        )
        if given
    }
    match words:
        case () if options == {"schema"}:
            click.echo(msgspec.json.format(msgspec.json.encode(schema())))
        case ("key", name) if not options:
            key, lines = new_key(name, os.urandom(KEY_BYTES))
            click.echo(
                f"{key}\n\n# The key is shown only now. Its lines for the configuration:\n{lines}"
            )
        case (file,) if options == {"check"}:
            config = FileSource(Path(file)).load()
            click.echo(f"{one_line(file)} is right\n{summary(config)}")
        case (file,) if options <= {"watch"} and file != "key":
            _serve(Path(file), watch=watch)
        case () if options <= {"embedded", "allow"}:
            _serve(None, embedded=embedded, allow=allow)
        case _:
            raise LocalProtocolError(
                "gateway: give [--watch] FILE, --check FILE, --schema, key NAME, or no FILE and "
                "[--embedded] [--allow LOSS]"
            )


def summary(config: Config) -> str:
    """Where a gateway listens, its models with their targets, and its keys, each on a line."""
    lines = [f"listen: {config.listen}", f"admin: {config.admin or 'none'}"]
    for model in config.models:
        targets = ", ".join(target.name for target in model.targets)
        lines.append(f"model: {model.name} ({targets})")
    lines += [f"key: {key.name}" for key in config.keys]
    return "\n".join(map(one_line, lines))


def _serve(
    file: Path | None, *, embedded: bool = False, watch: bool = False, allow: tuple[str, ...] = ()
) -> None:
    with ExitStack() as stack:
        if embedded:
            source = stack.enter_context(embedded_source(allow))
        else:
            source = EnvironmentSource(allow) if file is None else FileSource(file)
        if not run(source, watch=watch, tell=click.echo):
            raise KeyboardInterrupt
