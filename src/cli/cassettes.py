"""`tokenwire record`, `replay`, `timeline` and `cassette`: recordings, with every cut."""

import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import click
import msgspec

from ..protocols.errors import LocalProtocolError
from ..protocols.provider import Provider
from ..protocols.registry import PROVIDERS
from ..protocols.toolkit.http import Request
from ..replay.age import too_old
from ..replay.cassette import Cassette, Ending, Recording, load, save
from ..replay.checking import checked, event_changes
from ..replay.decoding import provider_by_path
from ..replay.editing import cut_at, cut_per_event, ended_at, from_body, from_har, to_har
from ..replay.files import Shelf
from ..replay.player import Player
from ..replay.redaction import check
from ..replay.show import lines_of
from ..replay.timeline import timeline
from . import Settings, complain, one_line, visible
from .options import read_file
from .serve import cutting_of, fault_of
from .server import embedded_server, key_for

if TYPE_CHECKING:
    from ..server.embedded import Server

__all__ = [
    "RecordOptions",
    "ReplayOptions",
    "run_check",
    "run_cut",
    "run_diff",
    "run_export",
    "run_import",
    "run_record",
    "run_replay",
    "run_show",
    "run_timeline",
    "run_verify",
]


@dataclass(frozen=True, kw_only=True)
class RecordOptions:
    """The options of `tokenwire record`."""

    output: Path
    upstream: str | None
    provider: Provider | None
    host: str
    port: int
    redact: tuple[str, ...]
    allow_secrets: tuple[str, ...]
    title: str


@dataclass(frozen=True, kw_only=True)
class ReplayOptions:
    """The options of `tokenwire replay`."""

    files: tuple[Path, ...]
    host: str
    port: int
    speed: float
    longest_gap: float | None
    cut: str | None
    faults: tuple[str, ...]
    ignore: tuple[str, ...]
    repeat: bool


def run_record(options: RecordOptions, settings: Settings) -> None:
    """Record until Ctrl-C, the normal way to stop. What can't be kept is told on stderr."""
    embedded_server()  # says what is missing
    from ..replay.proxy import Proxy

    shelf = Shelf(
        options.output,
        provider="" if options.provider is None else options.provider.name,
        title=options.title,
        allow_secrets=options.allow_secrets,
    )

    def keep(recording: Recording) -> None:
        path = shelf.keep(recording)
        click.echo(f"{one_line(str(path))}: {one_line(summary(recording))}")

    proxy = Proxy(
        keep,
        upstream=options.upstream,
        provider=options.provider,
        redact=options.redact,
        host=options.host,
        port=options.port,
        on_error=lambda error: complain(error, settings),
    )
    _serve(proxy, f"records what goes to {proxy.passing.upstream or 'the service of each format'}")


def run_replay(options: ReplayOptions, settings: Settings) -> None:
    """Replay until Ctrl-C. What was not recorded is told on stderr, and at the end what nobody has
    asked for."""
    embedded_server()
    from ..replay.server import ReplayServer

    cassette = joined([load(file) for file in options.files])
    server = ReplayServer(
        Player(cassette, ignore=options.ignore, repeat=options.repeat),
        speed=options.speed,
        longest_gap=options.longest_gap,
        cutting=None if options.cut is None else cutting_of(options.cut, 0),
        fault=tuple(map(fault_of, options.faults)),
        host=options.host,
        port=options.port,
        on_error=lambda error: complain(error, settings),
    )

    def report() -> None:
        if unused := server.player.unused:
            print(f"tokenwire: {_count(unused)} not asked for", file=sys.stderr)

    _serve(server, f"replays {_count(cassette.recordings)}", report)


def joined(cassettes: list[Cassette]) -> Cassette:
    """The recordings of several cassettes as one."""
    providers = {cassette.provider for cassette in cassettes}
    recordings = tuple(one for cassette in cassettes for one in cassette.recordings)
    return Cassette(recordings, provider=providers.pop() if len(providers) == 1 else "")


def _count(recordings: "tuple[Recording, ...] | list[Recording]") -> str:
    return f"{len(recordings)} recorded request{'' if len(recordings) == 1 else 's'}"


def _serve(server: "Server", what: str, at_end: Callable[[], None] = lambda: None) -> None:
    import anyio

    async def serve() -> None:
        async with server:
            print(f"{server.url} {what} (Ctrl-C stops it)\n\n{_variables(server)}", flush=True)
            try:
                await anyio.sleep_forever()
            finally:
                at_end()

    with suppress(KeyboardInterrupt):
        anyio.run(serve)


def _variables(server: "Server") -> str:
    """How SDKs are pointed at `server`."""
    origin, dialect = server.origin, server.service.provider.dialect.name
    path = server.url.removeprefix(origin) if dialect == "openai_chat" else ""
    return "\n".join(
        (
            f"OPENAI_BASE_URL={origin}{path or '/v1'}",
            f"ANTHROPIC_BASE_URL={origin}",
            f"GOOGLE_GEMINI_BASE_URL={origin}",
            f"OLLAMA_HOST={origin}",
            f"CO_API_URL={origin}",
            f"AWS_ENDPOINT_URL_BEDROCK_RUNTIME={origin}",
        )
    )


def summary(recording: Recording) -> str:
    """A recording in one line."""
    sent, head, noted = recording.request, recording.response, recording.outcome
    said = [f"{sent.method} {sent.url.partition('?')[0]}"]
    said.append("no response" if head is None else str(head.status))
    if head is not None:
        count = len(recording.pieces)
        said.append(f"{len(recording.body)} bytes in {count} piece{'' if count == 1 else 's'}")
    said.append(recording.end)
    if noted is not None and noted.outcome != recording.end:
        said.append(noted.outcome)
    return ", ".join(said)


def run_timeline(file: Path, output: Path | None) -> None:
    """Write the page of a cassette; `-` is stdout."""
    page = timeline(load(file)).encode()
    _write(page, file.with_suffix(".html") if output is None else output)


def _write(data: bytes, target: Path) -> None:
    if str(target) == "-":
        click.echo(data, nl=False)
        return
    try:
        target.write_bytes(data)
    except OSError as error:
        raise LocalProtocolError(f"{target} can't be written: {error.strerror}") from None
    click.echo(one_line(str(target)))


def run_show(file: Path) -> None:
    """Print what is in a cassette."""
    for line in lines_of(load(file)):
        click.echo(visible(line))


def run_check(paths: tuple[Path, ...], *, fix: bool, max_age: str | None) -> None:
    """Decode each cassette again, and print what is no longer as it was noted, and which are older
    than `max_age`. Raises LocalProtocolError if there is any, unless `fix`, which notes that
    instead, but makes none younger."""
    files = [file for path in paths for file in _files(path)]
    failed = old = 0
    for file in files:
        cassette = load(file)
        why = "" if max_age is None else too_old(cassette, max_age, time.time())
        if why:
            old += 1
            click.echo(f"{one_line(str(file))} {why}")
        found, differing = checked(cassette)
        failed += bool(differing)
        for line in differing:
            click.echo(f"{one_line(str(file))}, {one_line(line)}")
        if fix and differing:
            save(found, file)
    told = f"{len(files)} cassette{'' if len(files) == 1 else 's'}"
    if failed and not fix:
        raise LocalProtocolError(f"{failed} of {told} decoded to something else than was noted")
    if old:
        raise LocalProtocolError(f"{old} of {told} older than {max_age}")
    click.echo(f"{told}, {failed} changed" if failed else f"{told} as noted")


def _files(path: Path) -> list[Path]:
    return sorted(path.rglob("*.jsonl")) if path.is_dir() else [path]


def run_diff(one: Path, other: Path) -> None:
    """Print how two recordings differ, by events. Raises LocalProtocolError if they do."""
    changes = list(event_changes(load(one), load(other)))
    for change in changes:
        click.echo(visible(change))
    if changes:
        raise LocalProtocolError("the recordings differ")
    click.echo("the same events")


def run_cut(file: Path, *, at: str | None, per_event: bool, end: str | None, output: Path) -> None:
    """Write a cassette whose bodies are cut, or end, elsewhere."""
    cassette = load(file)
    if at is not None:
        cassette = cut_at(cassette, list(map(_offset, at.split(","))))
    if per_event:
        cassette = cut_per_event(cassette)
    if end is not None:
        offset, colon, how = end.partition(":")
        if colon and how not in get_args(Ending):
            raise LocalProtocolError(f"--end {end}: give one of {', '.join(get_args(Ending))}")
        ending: Ending = msgspec.convert(how or "eof", Ending)
        cassette = ended_at(cassette, _offset(offset), ending)
    save(cassette, output)
    click.echo(one_line(str(output)))


def _offset(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise LocalProtocolError(f"{text!r} is no offset: give a number of bytes") from None


def run_import(file: Path, *, status: int, content_type: str, url: str, output: Path) -> None:
    """Write a cassette of a body, or of a HAR file."""
    data = read_file(file)
    if file.suffix == ".har":
        cassette = from_har(data)
    else:
        cassette = from_body(data, status=status, content_type=content_type, url=url)
    check(cassette)
    save(cassette, output)
    click.echo(one_line(str(output)))


def run_export(file: Path, *, har: bool, output: Path) -> None:
    """Write a HAR file of a cassette, or the bodies of its responses."""
    cassette = load(file)
    body = b"".join(recording.body for recording in cassette.recordings)
    _write(to_har(cassette) if har else body, output)


def run_verify(file: Path, *, upstream: str) -> None:
    """Ask the service again, and print how the shapes of its answers have changed. Raises
    LocalProtocolError if they have."""
    import anyio

    from ..replay.verify import verify

    cassette = load(file)
    changes = anyio.run(lambda: verify(cassette, upstream=upstream, sign=_signer(cassette)))
    for change in changes:
        click.echo(visible(change))
    if changes:
        raise LocalProtocolError("the service no longer answers like that")
    click.echo("the service answers like that still")


def _signer(cassette: Cassette) -> Callable[[Request], Request]:
    """What adds the key of the environment to a request."""

    def sign(request: Request) -> Request:
        provider = PROVIDERS.get(cassette.provider) or provider_by_path(request)
        key = "" if provider is None else key_for(provider)
        if provider is None or provider.key_place is None or not key:
            return request
        return provider.key_place.sign(request, key, time.time)

    return sign
