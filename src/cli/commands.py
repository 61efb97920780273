"""The arguments and the help of the command. The code of each subcommand is imported on demand."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click
from click.shell_completion import CompletionItem, get_completion_class, shell_complete

from ..protocols import VERSION
from ..protocols.errors import LocalProtocolError
from ..protocols.provider import Provider
from ..protocols.registry import PROVIDERS
from . import EXIT_CODES, Exit, Settings
from .named import find_answer, find_provider
from .options import OPTIONS
from .streams import as_utf8

__all__ = ["run"]

_F = TypeVar("_F", bound=Callable[..., Any])

_COMPLETE = "_TOKENWIRE_COMPLETE"
"""The environment variable with which a shell asks for completions; the name is click's."""


def run(arguments: Sequence[str], settings: Settings) -> int:
    """Run the command. Returns the exit code, and raises LocalProtocolError for wrong usage."""
    instruction = os.environ.get(_COMPLETE)
    if instruction:
        return shell_complete(tokenwire, {}, "tokenwire", _COMPLETE, instruction)
    # Not click's own `main`, which has one exit code for a closed pipe, Ctrl-C and errors.
    try:
        with tokenwire.make_context("tokenwire", list(arguments), obj=settings) as context:
            tokenwire.invoke(context)
    except click.exceptions.Exit as done:  # --help, --version
        return done.exit_code
    except click.UsageError as error:
        command = error.ctx.command_path if error.ctx else "tokenwire"
        message = error.format_message()
        raise LocalProtocolError(f"{message} (see {command} --help)") from error
    except click.ClickException as error:
        raise LocalProtocolError(error.format_message()) from error
    return Exit.OK


def _want_traceback(context: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted:
        context.ensure_object(Settings).traceback = True


_traceback = click.option(
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


def _find_answer(_: click.Context, __: click.Parameter, name: str | None) -> Any:
    return None if name is None else find_answer(name)


def _split_headers(
    _: click.Context, __: click.Parameter, given: tuple[str, ...]
) -> tuple[tuple[str, str], ...]:
    pairs = [header.partition(":") for header in given]
    if any(not (name.strip() and colon) for name, colon, _ in pairs):
        raise click.UsageError("--header: give NAME:VALUE, as in -H 'x-team: blue'")
    return tuple((name.strip(), value.strip()) for name, _, value in pairs)


def _complete_provider(_: click.Context, __: click.Parameter, part: str) -> list[CompletionItem]:
    return [CompletionItem(name) for name in PROVIDERS if name.startswith(part)]


def _provider_option(*names: str) -> Callable[[_F], _F]:
    return click.option(
        *names,
        "provider",
        metavar="NAME",
        default="openai",
        show_default=True,
        callback=_find_provider,
        shell_complete=_complete_provider,
        help="A provider (see tokenwire providers), or module:NAME for one of your own.",
    )


def _complete_model(context: click.Context, _: click.Parameter, part: str) -> list[CompletionItem]:
    provider: Provider | None = context.params["provider"]  # None: it was not found
    names = (*provider.models, *provider.aliases) if provider else ()
    return [CompletionItem(name) for name in names if name.startswith(part)]


def _complete_option(_: click.Context, __: click.Parameter, part: str) -> list[CompletionItem]:
    return [CompletionItem(f"{name}=") for name in OPTIONS if name.startswith(part)]


class _Number(click.FloatRange):
    """A number in a range, which NaN is not, though it is in each."""

    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        number = super().convert(value, param, ctx)
        return number if number == number else self.fail(f"{value} is not a number", param, ctx)


_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


def _clock(name: str, what: str) -> Callable[[_F], _F]:
    return click.option(
        name,
        type=_Number(0, min_open=True),
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
        type=_FILE,
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


def _asking(command: _F) -> _F:
    """The options of a command that asks a service: see `AskOptions`."""
    for option in reversed(_ASKING):
        command = option(command)
    return command


_CODES = "\n".join(f"  {code:>3}  {words}" for code, words in EXIT_CODES.items())


@click.group(
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=f"\b\nExit codes:\n{_CODES}",
)
@click.version_option(VERSION, message="tokenwire %(version)s")
@_traceback
@click.pass_context
def tokenwire(context: click.Context) -> None:
    """Ask LLM services, imitate them, and decode what they send.

    A truncated answer is never a success: the exit code is 0 only if the answer is known to be
    complete. An error is printed on stderr as one line; what arrived before it stays on stdout.

    \b
    Examples that need no key and no network:
      tokenwire chat --embedded "Why is the sky blue?"
      tokenwire serve --provider ylokh --pause 0.1
    """
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


@tokenwire.command(short_help="Ask a question, or have a conversation.")
@click.argument("question", nargs=-1, type=as_utf8)
@_provider_option("-p", "--provider")
@click.option(
    "-m",
    "--model",
    default="",
    shell_complete=_complete_model,
    help="The model, or an alias of one. [default: the provider's]",
)
@click.option(
    "-s",
    "--system",
    default="",
    type=as_utf8,
    metavar="TEXT",
    help="A system message to put before the question.",
)
@click.option(
    "-i",
    "--image",
    "images",
    multiple=True,
    type=_FILE,
    help="A picture to send with the first question. May be repeated.",
)
@click.option(
    "-o",
    "--output",
    default=Path(),
    type=click.Path(file_okay=False, path_type=Path),
    help="Where to save pictures of the answer; no file is overwritten. [default: .]",
)
@click.option("--json", "as_json", is_flag=True, help="Print each event as a line of JSON.")
@click.option(
    "-O",
    "--option",
    "options",
    metavar="NAME=VALUE",
    multiple=True,
    type=as_utf8,
    shell_complete=_complete_option,
    help="An option of the chat, such as temperature=0.2. May be repeated.",
)
@click.option(
    "--tool",
    "tools",
    multiple=True,
    type=_FILE,
    help="A JSON file with a tool, or a list of them, that the model may call. May be repeated.",
)
@click.option("--schema", type=_FILE, help="A JSON file with the JSON Schema of the answer.")
@_asking
@click.option(
    "--allow-private-addresses",
    is_flag=True,
    help="Follow the service to an address in a private network, for a picture.",
)
@click.option(
    "-t",
    "--transport",
    type=click.Choice(["sync", "asyncio", "anyio", "trio", "httpx"]),
    default="sync",
    show_default=True,
    help="The HTTP client to use; the answer is the same with each.",
)
@_traceback
@click.pass_obj
def chat(settings: Settings, /, question: tuple[str, ...], **options: Any) -> None:
    """Ask QUESTION, or the text from a pipe, and print the answer as it arrives.

    Without either, start a conversation: an empty line or Ctrl-D ends it, Ctrl-C stops an answer. A
    lone - in QUESTION is replaced by the text from the pipe.

    On a terminal, Markdown is rendered and reasoning is dim; in a pipe, the text is left as it is.
    Pictures are saved, and their paths printed.

    The key is read from the environment variable TOKENWIRE_KEY or, if that is not set, from the
    provider's own, such as OPENAI_API_KEY. For services of AWS the first may be ID:SECRET; else the
    environment and the profile are read as AWS's own tools do, but for roles and single sign-on.

    \b
    Examples:
      tokenwire chat -m gpt-4o-mini "Why is the sky blue?"
      git diff | tokenwire chat -m gpt-4o-mini "Review this:" -
      tokenwire chat -m llama3 --base-url http://localhost:11434/v1
      tokenwire chat -p aichats -m dalle --embedded "A house by the sea"
      tokenwire chat --embedded --json Hello | jq -r 'select(.event == "text").text'
    """
    from .chat import ChatOptions, run_chat

    run_chat(question, ChatOptions(**options), settings)


@tokenwire.command(short_help="Ask a file of questions.")
@click.argument("words", nargs=-1, metavar="FILE | collect JOURNAL | status JOURNAL", type=as_utf8)
@_provider_option("-p", "--provider")
@click.option(
    "-m", "--model", default="", help="The model, in place of the rows' own. [default: theirs]"
)
@click.option(
    "-o",
    "--output",
    default="",
    metavar="PATH",
    help="The file of the answers, or a folder, with a slash, that several runs may write.",
)
@click.option(
    "--concurrency",
    default="auto",
    show_default=True,
    metavar="HOW",
    help="How many rows to ask at once: auto (1-256), N, or MIN-MAX.",
)
@click.option("--rpm", type=_Number(0, min_open=True), help="The most requests a minute.")
@click.option("--tpm", type=_Number(0, min_open=True), help="The most tokens a minute.")
@click.option(
    "--attempts",
    type=click.IntRange(1),
    default=5,
    show_default=True,
    help="How often to ask a row at most.",
)
@click.option(
    "--truncated-attempts",
    type=click.IntRange(1),
    default=2,
    show_default=True,
    help="How often to ask a row whose answers are truncated, which are paid.",
)
@click.option(
    "--max-failures", metavar="N|N%", help="Stop once so many rows have failed. [default: go on]"
)
@click.option(
    "--budget",
    type=_Number(0, min_open=True),
    metavar="DOLLARS",
    help="Stop once so much is spent, earlier runs included. Needs --price.",
)
@click.option(
    "--budget-tokens",
    type=click.IntRange(1),
    metavar="N",
    help="Stop once so many tokens are used.",
)
@click.option(
    "--price",
    metavar="IN/OUT[/CACHED]",
    help="Dollars for a million tokens asked, answered, and read from the cache.",
)
@click.option(
    "--reask",
    multiple=True,
    type=click.Choice(["truncated", "changed", "passing", "failed"]),
    help="What to ask again: truncated answers, changed questions, failures that may pass, all "
    "failures. May be repeated. [default: the first three]",
)
@click.option("--shard", metavar="K/N", help="Ask only part K of N parts.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["openai", "anthropic", "messages"]),
    default=None,
    help="The form of the rows. [default: as each looks]",
)
@click.option(
    "--field", default="", metavar="NAME", help="The column that has the question, of any objects."
)
@click.option(
    "--template", type=_FILE, help="A text in which {NAME} stands for a column: the question."
)
@click.option(
    "-O",
    "--option",
    "options",
    metavar="NAME=VALUE",
    multiple=True,
    type=as_utf8,
    shell_complete=_complete_option,
    help="An option of each chat, such as temperature=0. May be repeated.",
)
@click.option("--plain", is_flag=True, help="Write only what OpenAI's batch files have.")
@click.option("--skip-broken", is_flag=True, help="Go on without broken lines of the journal.")
@click.option("--like", type=_FILE, help="For collect: the questions, whose order to keep.")
@click.option("--json", "as_json", is_flag=True, help="Tell the progress as lines of JSON.")
@click.option("--quiet", is_flag=True, help="Tell no progress.")
@_asking
@_traceback
@click.pass_context
def batch(context: click.Context, /, words: tuple[str, ...], **options: Any) -> None:
    """Ask the questions in FILE, each a line of JSON, and write a line for each answer: complete,
    or why not. Half an answer is never told as a whole one.

    The same command goes on where an earlier one stopped: what is complete is not asked again. A
    row is OpenAI's (custom_id, body), Anthropic's (custom_id, params), or has messages or a prompt.

    Ctrl-C begins nothing more; the second one leaves at once. The key is read as for chat.

    \b
    Examples:
      tokenwire batch questions.jsonl -o answers.jsonl -m gpt-4o-mini
      tokenwire batch questions.jsonl -o answers/ --shard 3/16
      tokenwire batch collect answers/ -o final.jsonl --like questions.jsonl
      tokenwire batch status answers.jsonl
    """
    from .batch import BatchOptions, run_batch

    options["form"] = options["form"] or ""
    if code := run_batch(words, BatchOptions(**options)):
        context.exit(code)


@tokenwire.command(short_help="Run a server that imitates a provider, faults included.")
@_provider_option("-p", "--provider")
@click.option(
    "--answer",
    metavar="module:NAME",
    callback=_find_answer,
    help="A function of your own that answers a chat. [default: repeat the question]",
)
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=0,
    help="The port to listen on. [default: a free one]",
)
@click.option(
    "--public-url",
    metavar="URL",
    help="How clients reach the server, if not at its own address.",
)
@click.option(
    "--cors",
    metavar="ORIGIN",
    help="An origin whose web pages may use the server, such as https://app.example.",
)
@click.option(
    "--require-key", is_flag=True, help="Refuse requests without the key in TOKENWIRE_KEY."
)
@click.option(
    "--cut",
    default="event",
    metavar="HOW",
    show_default=True,
    help="How to split bodies into writes: whole, event, or sizes in bytes (1 or 3,7).",
)
@click.option(
    "--pause",
    type=_Number(0),
    default=0.0,
    metavar="SECONDS",
    help="The time between two writes. [default: 0]",
)
@click.option(
    "-f",
    "--fault",
    "faults",
    multiple=True,
    metavar="FAULT",
    help="A fault of each response (see above). May be repeated to combine faults.",
)
@click.option(
    "--times",
    type=click.IntRange(1),
    metavar="N",
    help="Apply the faults to the first N requests only. [default: all]",
)
@_traceback
@click.pass_obj
def serve(settings: Settings, /, **options: Any) -> None:
    """Run a server that imitates a provider, to test clients against, until Ctrl-C. Its answers
    repeat the question, or are those of your own function.

    Exceptions in the provider's code are printed on stderr.

    \b
    Faults. COUNT is the number of bytes of the body that are sent before; for close,
    reset and stall it may be "head": nothing is sent, not even the response's head.
      close:COUNT            close the connection
      reset:COUNT            reset the connection
      end:COUNT              end the body as if it were complete
      stall:COUNT            send nothing more
      keepalives[:COUNT[,S]] send only keep-alives, one every S seconds
      linger                 leave out the last chunk, and keep the connection open
      close-idle             answer correctly, then close without notice
      refuse:STATUS[,AFTER]  send an error status, with "Retry-After: AFTER"
      html[:STATUS]          send a web page instead of the answer
      error[:MESSAGE]        send an error object with status 200
      break[:N]              send an invalid event after N events
      drop-terminator        leave out the end mark
      gzip                   compress the body
      unframed               use HTTP/1.0: no length, no chunks

    \b
    Examples:
      tokenwire serve --port 8000 --pause 0.1
      tokenwire serve -p darkai --cut 1 --fault close:300
      tokenwire serve --fault refuse:429,1 --times 2
    """
    from .serve import ServeOptions, run_serve

    run_serve(ServeOptions(**options), settings)


@tokenwire.command(short_help="Decode a recorded response into events.")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, allow_dash=True), default="-")
@_provider_option("-d", "--dialect", "-p", "--provider")
@click.option(
    "-m", "--model", default="", help="The model that was asked, if it matters (aichats: dalle)."
)
@click.option(
    "--status",
    metavar="CODE",
    default=200,
    show_default=True,
    help="The HTTP status of the response.",
)
@click.option(
    "--offsets", is_flag=True, help="Show the number of bytes after which each event was complete."
)
@click.option("--json", "as_json", is_flag=True, help="Print each event as a line of JSON.")
@click.option(
    "--cut-as",
    type=click.Choice(["eof", "disconnect"]),
    default="eof",
    show_default=True,
    help="What ended the bytes: the end of the body, or a lost connection.",
)
@_traceback
def decode(**options: Any) -> None:
    """Decode the body of a response, from FILE or a pipe, and print its events as they arrive.

    An error in it is shown with the bytes around it, and sets the exit code.

    \b
    Examples:
      tokenwire decode --offsets answer.sse
      curl -sN http://127.0.0.1:8000/chat -d @question.json | tokenwire decode -d darkai
      tokenwire decode --json answer.sse | jq -r 'select(.event == "text").text'
    """
    from .decode import DecodeOptions, run_decode

    run_decode(DecodeOptions(**options))


def _find_any_provider(
    context: click.Context, parameter: click.Parameter, name: str | None
) -> Provider | None:
    return None if name is None else _find_provider(context, parameter, name)


_PATH = click.Path(path_type=Path)
_HOST = click.option(
    "--host", default="127.0.0.1", show_default=True, help="The address to listen on."
)
_PORT = click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=0,
    help="The port to listen on. [default: a free one]",
)


@tokenwire.command(short_help="Record what a client and a service say, every cut of it.")
@click.option(
    "-o",
    "--output",
    required=True,
    type=_PATH,
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
    callback=_find_any_provider,
    shell_complete=_complete_provider,
    help="The provider that is asked (see tokenwire providers).",
)
@_HOST
@_PORT
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
@_traceback
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


@tokenwire.command(short_help="Answer out of recordings, cut for cut.")
@click.argument("files", nargs=-1, required=True, type=_FILE)
@_HOST
@_PORT
@click.option(
    "--speed",
    type=_Number(0),
    default=0,
    metavar="TIMES",
    help="1 is as recorded, 10 ten times as fast. [default: 0, no pauses]",
)
@click.option("--longest-gap", type=_Number(0), metavar="SECONDS", help="The longest pause.")
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
@_traceback
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


@tokenwire.command(short_help="Draw a recording as a page.")
@click.argument("file", type=_FILE)
@click.option(
    "-o", "--output", type=_PATH, help="The page; - is stdout. [default: FILE with .html]"
)
@_traceback
def timeline(file: Path, output: Path | None) -> None:
    """Write a page of HTML that shows a recording: bytes with their cuts, events, text and pauses
    on one axis, and the fault where it is. It needs no script and no network.

    \b
    Example:
      tokenwire timeline answer.jsonl
    """
    from .cassettes import run_timeline

    run_timeline(file, output)


@tokenwire.group(short_help="Show, check, compare and edit recordings.")
@_traceback
def cassette() -> None:
    """Show, check, compare and edit recordings (cassettes)."""


_OUTPUT = click.option("-o", "--output", required=True, type=_PATH, help="The file to write.")


@cassette.command("show", short_help="Print the pieces of a recording.")
@click.argument("file", type=_FILE)
@_traceback
def show_cassette(file: Path) -> None:
    """Print each piece of a recording: its offset, time, gap and size, and what it completed."""
    from .cassettes import run_show

    run_show(file)


@cassette.command("check", short_help="Decode recordings again.")
@click.argument("paths", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--fix", is_flag=True, help="Note what they are decoded to now.")
@click.option("--max-age", metavar="AGE", help="None may be older: 12h, 90d, 8w.")
@_traceback
def check_cassettes(paths: tuple[Path, ...], **options: Any) -> None:
    """Decode the recordings in PATHS (files, or folders of them) again: outcome, evidence and how
    many events of each kind must be as noted in the file."""
    from .cassettes import run_check

    run_check(paths, **options)


@cassette.command("diff", short_help="Compare two recordings by their events.")
@click.argument("one", type=_FILE)
@click.argument("other", type=_FILE)
@_traceback
def diff_cassettes(one: Path, other: Path) -> None:
    """Compare two recordings by their events, not by their bytes."""
    from .cassettes import run_diff

    run_diff(one, other)


@cassette.command("cut", short_help="Make a recording with other cuts, or an early end.")
@click.argument("file", type=_FILE)
@click.option("--at", metavar="OFFSETS", help="Cut at these bytes of each body: 1,7,300.")
@click.option("--per-event", is_flag=True, help="Cut after each event, or line.")
@click.option("--end", metavar="OFFSET[:HOW]", help="End each body there: 512, or 512:reset.")
@_OUTPUT
@_traceback
def cut_cassette(file: Path, **options: Any) -> None:
    """Make a new recording of FILE, whose bodies are cut elsewhere, or end early (HOW: eof,
    disconnect, reset, timeout)."""
    from .cassettes import run_cut

    run_cut(file, **options)


@cassette.command("import", short_help="Make a recording of a body, or a HAR file.")
@click.argument("file", type=_FILE)
@click.option("--status", type=click.IntRange(200, 599), default=200, show_default=True)
@click.option("--content-type", default="text/event-stream", show_default=True)
@click.option("--url", default="", help="The address that was asked.")
@_OUTPUT
@_traceback
def import_cassette(file: Path, **options: Any) -> None:
    """Make a recording of FILE: the body of a response, or a HAR file (.har). Where it was cut is
    not known: each body is one piece."""
    from .cassettes import run_import

    run_import(file, **options)


@cassette.command("export", short_help="Write a HAR file, or the bodies.")
@click.argument("file", type=_FILE)
@click.option("--har/--body", default=True, help="A HAR file, or only the bodies.")
@_OUTPUT
@_traceback
def export_cassette(file: Path, **options: Any) -> None:
    """Write FILE as a HAR file, or the bodies of its responses. The cuts are lost."""
    from .cassettes import run_export

    run_export(file, **options)


@cassette.command("verify", short_help="Ask the service again, and compare.")
@click.argument("file", type=_FILE)
@click.option("--upstream", default="", metavar="URL", help="The address of the service.")
@_traceback
def verify_cassette(file: Path, **options: Any) -> None:
    """Send the recorded requests to the service again, and compare the shape of its answers:
    status, content type, and the JSON paths of each event with their types. Texts are not compared.

    It costs what the requests cost. The key is read as for chat.
    """
    from .cassettes import run_verify

    run_verify(file, **options)


@tokenwire.command(short_help="List the providers.")
@click.argument("words", nargs=-1, shell_complete=_complete_provider)
@click.option("-v", "--verbose", is_flag=True, help="Print all that is known of each provider.")
@click.option("--json", "as_json", is_flag=True, help="Print each provider as a line of JSON.")
@_traceback
def providers(words: tuple[str, ...], verbose: bool, as_json: bool) -> None:
    """List the providers, by their formats: as a table on a terminal, as tab-separated lines in a
    pipe. With WORDS, only those whose name, format or base URL has all of them.

    \b
    Examples:
      tokenwire providers localhost
      tokenwire providers openai_chat zai --verbose
    """
    from .providers import run_providers

    run_providers(words, verbose=verbose, as_json=as_json)


@tokenwire.command(short_help="List the models of a service.")
@_provider_option("-p", "--provider")
@click.option("--json", "as_json", is_flag=True, help="Print each model as a line of JSON.")
@_asking
@_traceback
def models(**options: Any) -> None:
    """Ask a service which models it has, and print their ids, one on a line.

    The key is read as for chat.

    \b
    Examples:
      tokenwire models -p anthropic
      tokenwire models --base-url http://localhost:11434/v1
    """
    from .models import ModelsOptions, run_models

    run_models(ModelsOptions(**options))


@tokenwire.command(short_help="Serve every format, and ask any service.")
@click.argument("words", nargs=-1, metavar="[FILE | key NAME]", type=as_utf8)
@click.option("--embedded", is_flag=True, help="Serve echoes: needs no FILE, key or network.")
@click.option("--watch", is_flag=True, help="Take over changes of FILE, as SIGHUP does.")
@click.option("--check", is_flag=True, help="Check FILE, and print what it has.")
@click.option("--schema", "schema_only", is_flag=True, help="Print the JSON Schema of such a file.")
@click.option(
    "--allow",
    multiple=True,
    metavar="LOSS",
    help="Without FILE: what may be left out, by its name in the refusal. May be repeated.",
)
@_traceback
def gateway(words: tuple[str, ...], **options: Any) -> None:
    """Serve the formats of OpenAI, Anthropic, Gemini, Ollama and more, and ask the services that
    FILE describes in theirs; or make a key for one of its callers.

    Without FILE: the services whose keys are in the environment, and the servers on this machine.
    Their models are called PROVIDER/MODEL.

    Ctrl-C and SIGTERM end it once all calls in flight have ended; the second time at once. A key is
    printed once: the lines for the configuration have only its SHA-256.

    \b
    Examples:
      tokenwire gateway --embedded
      OPENAI_API_KEY=... tokenwire gateway
      GEMINI_API_KEY=... tokenwire gateway --allow system_midway
      tokenwire gateway --watch gateway.toml
      tokenwire gateway --check gateway.toml
      tokenwire gateway --schema > gateway.schema.json
      tokenwire gateway key laptop
    """
    try:
        from .gateway import run_gateway
    except ModuleNotFoundError as error:
        message = "the gateway needs an extra: pip install 'tokenwire[gateway]'"
        raise LocalProtocolError(message) from error

    run_gateway(words, **options)


@tokenwire.command(short_help="Print the completion script for a shell.")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@_traceback
def completion(shell: str) -> None:
    """Print the script that makes a shell complete the arguments of tokenwire.

    \b
    To install it:
      bash:  echo 'eval "$(tokenwire completion bash)"' >> ~/.bashrc
      zsh:   echo 'eval "$(tokenwire completion zsh)"' >> ~/.zshrc
      fish:  tokenwire completion fish > ~/.config/fish/completions/tokenwire.fish
    """
    script = get_completion_class(shell)
    assert script is not None  # these three are click's own
    click.echo(script(tokenwire, {}, "tokenwire", _COMPLETE).source())
