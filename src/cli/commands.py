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


_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


def _clock(name: str, what: str) -> Callable[[_F], _F]:
    return click.option(
        name,
        type=click.FloatRange(0, min_open=True),
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
    provider's own, such as OPENAI_API_KEY.

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


@tokenwire.command(short_help="Run a server that imitates a provider, faults included.")
@_provider_option("-p", "--provider")
@click.option(
    "--answer",
    metavar="module:NAME",
    callback=_find_answer,
    help="A function of your own that answers a chat with events. [default: repeat the question]",
)
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=0,
    help="The port to listen on. [default: a free one]",
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
    type=click.FloatRange(0),
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
      keepalives[:COUNT[,S]] send only comments, one every S seconds
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


@tokenwire.command(short_help="List the providers.")
@click.option("-v", "--verbose", is_flag=True, help="Print all that is known of each provider.")
@click.option("--json", "as_json", is_flag=True, help="Print each provider as a line of JSON.")
@_traceback
def providers(verbose: bool, as_json: bool) -> None:
    """List the providers: as a table on a terminal, as tab-separated lines in a pipe."""
    from .providers import run_providers

    run_providers(verbose=verbose, as_json=as_json)


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
