"""The subcommands that record, play and edit. The code of each is imported on demand."""

from pathlib import Path
from typing import Any

import click

from . import Settings
from .parameters import (
    FILE,
    PATH,
    Number,
    complete_provider,
    find_any_provider,
    host_option,
    port_option,
    traceback_option,
)
from .streams import as_utf8

__all__ = ["cassette", "record", "replay", "timeline"]


@click.command(short_help="Record what a client and a service say, every cut of it.")
@click.option(
    "-o",
    "--output",
    required=True,
    type=PATH,
    help="A folder, in which each exchange gets a file; or one .jsonl file for all.",
)
@click.option(
    "--upstream",
    metavar="URL",
    help="The address of the service. [default: the provider's, or what a path tells]",
)
@click.option(
    "-p",
    "--provider",
    metavar="NAME",
    callback=find_any_provider,
    shell_complete=complete_provider,
    help="The provider that is asked (see tokenwire providers).",
)
@host_option
@port_option
@click.option(
    "--redact",
    multiple=True,
    metavar="WHAT",
    help="Leave this out of requests: a JSON pointer, as /metadata/user_id or "
    "/messages/*/name, or re:PATTERN. May be repeated.",
)
@click.option(
    "--allow-secret",
    "allow_secrets",
    multiple=True,
    metavar="TEXT",
    help="A text that looks like a key, and is none. May be repeated.",
)
@click.option("--title", default="", type=as_utf8, help="A title for the files.")
@traceback_option
@click.pass_obj
def record(settings: Settings, /, **options: Any) -> None:
    """Listen on this machine, pass each request on to the service and the response back, and write
    both down, until Ctrl-C: each piece with its time, and how the response ended.

    Secrets are left out before a byte is written. A file that would have the shape of a key is not
    written.

    Requests to a service of AWS are signed anew with the key in the environment.

    \b
    Examples:
      tokenwire record -o recordings
      OPENAI_BASE_URL=http://127.0.0.1:PORT/v1 python my_program.py
      tokenwire record -o tests/answer.jsonl --upstream http://127.0.0.1:11434
    """
    from .cassettes import RecordOptions, run_record

    run_record(RecordOptions(**options), settings)


@click.command(short_help="Answer out of recordings, cut for cut.")
@click.argument("files", nargs=-1, required=True, type=FILE)
@host_option
@port_option
@click.option(
    "--speed",
    type=Number(0),
    default=0,
    metavar="TIMES",
    help="1 is as recorded, 10 ten times as fast. [default: 0, no pauses]",
)
@click.option("--longest-gap", type=Number(0), metavar="SECONDS", help="The longest pause.")
@click.option(
    "--cut", metavar="HOW", help="Other cuts: whole, event, or sizes in bytes (1 or 3,7)."
)
@click.option(
    "-f",
    "--fault",
    "faults",
    multiple=True,
    metavar="FAULT",
    help="A fault to add (see tokenwire serve --help). May be repeated.",
)
@click.option(
    "--ignore",
    multiple=True,
    metavar="POINTER",
    help="What may differ in a request: a JSON pointer, as /metadata or /messages/*/id. "
    "May be repeated.",
)
@click.option("--repeat", is_flag=True, help="Answer a request again and again.")
@traceback_option
@click.pass_obj
def replay(settings: Settings, /, **options: Any) -> None:
    """Listen on this machine, and answer as recorded in FILES, until Ctrl-C. The network is never
    asked.

    A request must be the one that was recorded: method, path, query and body. Each recording
    answers once. What was not recorded is answered with an error that says what differs, which is
    printed on stderr, too.

    \b
    Examples:
      tokenwire replay answer.jsonl --port 8000
      tokenwire replay recordings/*.jsonl --speed 1 --longest-gap 2
      tokenwire replay answer.jsonl --cut 1 --fault close:300
    """
    from .cassettes import ReplayOptions, run_replay

    run_replay(ReplayOptions(**options), settings)


@click.command(short_help="Draw a recording as a page.")
@click.argument("file", type=FILE)
@click.option("-o", "--output", type=PATH, help="The page; - is stdout. [default: FILE with .html]")
@traceback_option
def timeline(file: Path, output: Path | None) -> None:
    """Write a page of HTML that shows a recording: bytes with their cuts, events, text and pauses
    on one axis, and the fault where it is. It needs no script and no network.

    \b
    Example:
      tokenwire timeline answer.jsonl
    """
    from .cassettes import run_timeline

    run_timeline(file, output)


@click.group(short_help="Show, check, compare and edit recordings.")
@traceback_option
def cassette() -> None:
    """Show, check, compare and edit recordings (cassettes)."""


_OUTPUT = click.option("-o", "--output", required=True, type=PATH, help="The file to write.")


@cassette.command("show", short_help="Print the pieces of a recording.")
@click.argument("file", type=FILE)
@traceback_option
def show_cassette(file: Path) -> None:
    """Print each piece of a recording: its offset, time, gap and size, and what it completed."""
    from .cassettes import run_show

    run_show(file)


@cassette.command("check", short_help="Decode recordings again.")
@click.argument("paths", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--fix", is_flag=True, help="Note what they are decoded to now.")
@click.option("--max-age", metavar="AGE", help="None may be older: 12h, 90d, 8w.")
@traceback_option
def check_cassettes(paths: tuple[Path, ...], **options: Any) -> None:
    """Decode the recordings in PATHS (files, or folders of them) again: outcome, evidence and how
    many events of each kind must be as noted in the file."""
    from .cassettes import run_check

    run_check(paths, **options)


@cassette.command("diff", short_help="Compare two recordings by their events.")
@click.argument("one", type=FILE)
@click.argument("other", type=FILE)
@traceback_option
def diff_cassettes(one: Path, other: Path) -> None:
    """Compare two recordings by their events, not by their bytes."""
    from .cassettes import run_diff

    run_diff(one, other)


@cassette.command("cut", short_help="Make a recording with other cuts, or an early end.")
@click.argument("file", type=FILE)
@click.option("--at", metavar="OFFSETS", help="Cut at these bytes of each body: 1,7,300.")
@click.option("--per-event", is_flag=True, help="Cut after each event, or line.")
@click.option("--end", metavar="OFFSET[:HOW]", help="End each body there: 512, or 512:reset.")
@_OUTPUT
@traceback_option
def cut_cassette(file: Path, **options: Any) -> None:
    """Make a new recording of FILE, whose bodies are cut elsewhere, or end early (HOW: eof,
    disconnect, reset, timeout)."""
    from .cassettes import run_cut

    run_cut(file, **options)


@cassette.command("import", short_help="Make a recording of a body, or a HAR file.")
@click.argument("file", type=FILE)
@click.option("--status", type=click.IntRange(200, 599), default=200, show_default=True)
@click.option("--content-type", default="text/event-stream", show_default=True)
@click.option("--url", default="", help="The address that was asked.")
@_OUTPUT
@traceback_option
def import_cassette(file: Path, **options: Any) -> None:
    """Make a recording of FILE: the body of a response, or a HAR file (.har). Where it was cut is
    not known: each body is one piece."""
    from .cassettes import run_import

    run_import(file, **options)


@cassette.command("export", short_help="Write a HAR file, or the bodies.")
@click.argument("file", type=FILE)
@click.option("--har/--body", default=True, help="A HAR file, or only the bodies.")
@_OUTPUT
@traceback_option
def export_cassette(file: Path, **options: Any) -> None:
    """Write FILE as a HAR file, or the bodies of its responses. The cuts are lost."""
    from .cassettes import run_export

    run_export(file, **options)


@cassette.command("verify", short_help="Ask the service again, and compare.")
@click.argument("file", type=FILE)
@click.option("--upstream", default="", metavar="URL", help="The address of the service.")
@traceback_option
def verify_cassette(file: Path, **options: Any) -> None:
    """Send the recorded requests to the service again, and compare the shape of its answers:
    status, content type, and the JSON paths of each event with their types. Texts are not compared.

    It costs what the requests cost. The key is read as for chat.
    """
    from .cassettes import run_verify

    run_verify(file, **options)
