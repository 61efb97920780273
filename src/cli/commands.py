"""The arguments and the help of the command. What a command does is imported when it runs."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click
from click.shell_completion import CompletionItem, get_completion_class, shell_complete

from ..protocols.errors import LocalProtocolError
from ..protocols.provider import VERSION, Provider
from ..protocols.registry import PROVIDERS
from . import EXIT_CODES, Exit, Settings
from .named import find_provider

__all__ = ["run"]

_F = TypeVar("_F", bound=Callable[..., Any])

_COMPLETE = "_TOKENWIRE_COMPLETE"
"""The environment variable by which a shell asks for completions, as click names it."""


def run(arguments: Sequence[str], settings: Settings) -> int:
    """Run the command; the exit code. Raises LocalProtocolError for wrong usage."""
    instruction = os.environ.get(_COMPLETE)
    if instruction:
        return shell_complete(tokenwire, {}, "tokenwire", _COMPLETE, instruction)
    # Not click's own `main`: it makes the same exit code of a closed pipe, Ctrl-C and an error.
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
    is_eager=True,  # before other options, whose values may be wrong
    expose_value=False,
    callback=_want_traceback,
    help="Show where an error comes from.",
)


def _find_provider(context: click.Context, _: click.Parameter, name: str) -> Provider:
    provider = find_provider(name)
    if ":" in name:
        context.ensure_object(Settings).own_provider = name
    return provider


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
    provider: Provider | None = context.params["provider"]  # None: the one given was not found
    names = (*provider.models, *provider.aliases) if provider else ()
    return [CompletionItem(name) for name in names if name.startswith(part)]


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
    """Ask LLM services, be one, and read what they send.

    An answer that was cut is never a success: exit code 0 means that it is proven complete. Errors
    are one line on stderr; what had come before stays on stdout.

    \b
    Examples, which need no key and no network:
      tokenwire chat --embedded "Why is the sky blue?"
      tokenwire serve --provider ylokh --pause 0.1
    """
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


@tokenwire.command(short_help="Ask a question, or hold a conversation.")
@click.argument("question", nargs=-1)
@_provider_option("-p", "--provider")
@click.option(
    "-m",
    "--model",
    default="",
    shell_complete=_complete_model,
    help="The model, or an alias. [default: the provider's]",
)
@click.option("-s", "--system", default="", help="A system message, put before the question.")
@click.option(
    "-i",
    "--image",
    "images",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A picture to send along with the (first) question. May be repeated.",
)
@click.option(
    "-o",
    "--output",
    default=Path(),
    type=click.Path(file_okay=False, path_type=Path),
    help="Where pictures in the answer are saved; nothing is overwritten. [default: .]",
)
@click.option("--json", "as_json", is_flag=True, help="Write one event a line, as JSON.")
@click.option("--base-url", help="Where the service is. [default: the provider's]")
@click.option("--proxy", help="http://host:port. [default: HTTPS_PROXY, HTTP_PROXY, NO_PROXY]")
@click.option(
    "--timeout",
    type=click.FloatRange(0, min_open=True),
    help="Seconds that an answer may take in all. [default: the provider's, mostly none]",
)
@click.option(
    "-t",
    "--transport",
    type=click.Choice(["sync", "asyncio", "anyio", "trio", "httpx"]),
    default="sync",
    show_default=True,
    help="What moves the bytes; makes no difference to the answer.",
)
@click.option(
    "--embedded",
    is_flag=True,
    help="Ask the embedded server of the provider: no network, no key.",
)
@_traceback
@click.pass_obj
def chat(settings: Settings, /, question: tuple[str, ...], **options: Any) -> None:
    """Ask QUESTION, or what comes through a pipe, and write the answer as it comes.

    Without either it is a conversation: an empty line or Ctrl-D ends it, Ctrl-C stops an answer. A
    word - in QUESTION stands for what comes through the pipe.

    On a terminal, Markdown is rendered and reasoning shown dim; in a pipe, the text comes as it is.
    Pictures are saved, and their paths written.

    The key is taken from TOKENWIRE_KEY, or for openai from OPENAI_API_KEY.

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


@tokenwire.command(short_help="Be a service, on this machine, as badly as wanted.")
@_provider_option("-p", "--provider")
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen at.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=0,
    help="The port to listen at. [default: a free one]",
)
@click.option("--require-key", is_flag=True, help="Refuse requests without the key TOKENWIRE_KEY.")
@click.option(
    "--cut",
    default="event",
    metavar="HOW",
    show_default=True,
    help="How bodies are cut into writes: whole, event, or sizes in bytes (1 or 3,7).",
)
@click.option(
    "--pause",
    type=click.FloatRange(0),
    default=0.0,
    help="Seconds between two writes. [default: 0]",
)
@click.option(
    "-f",
    "--fault",
    "faults",
    multiple=True,
    metavar="FAULT",
    help="What goes wrong with each response. May be repeated, to combine faults.",
)
@click.option(
    "--times",
    type=click.IntRange(1),
    help="How many requests get the faults; all behind them are answered right. [default: all]",
)
@_traceback
@click.pass_obj
def serve(settings: Settings, /, **options: Any) -> None:
    """Serve a provider at a loopback address until Ctrl-C: a server that hands back the question,
    for testing clients.

    \b
    Faults (COUNT is in bytes of body; "head" in its place, but for end: before the head):
      close:COUNT            close the connection
      reset:COUNT            reset the connection
      end:COUNT              end the body, as if that were all
      stall:COUNT            say nothing more
      keepalives[:COUNT[,S]] say only comments from then on, one every S seconds
      linger                 leave out the end of the chunks, and stay open
      close-idle             answer right, then close without saying so
      refuse:STATUS[,AFTER]  an error status, with "Retry-After: AFTER"
      html[:STATUS]          a web page in the answer's place
      error[:MESSAGE]        an error object with status 200
      break[:N]              bytes that are no event, after N events
      drop-terminator        leave out the end mark
      gzip                   compress the body
      unframed               HTTP/1.0: no length, no chunks

    \b
    Examples:
      tokenwire serve --port 8000 --pause 0.1
      tokenwire serve -p darkai --cut 1 --fault close:300
      tokenwire serve --fault refuse:429,1 --times 2
    """
    from .serve import ServeOptions, run_serve

    run_serve(ServeOptions(**options), settings)


@tokenwire.command(short_help="Turn recorded bytes into events.")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, allow_dash=True), default="-")
@_provider_option("-d", "--dialect", "-p", "--provider")
@click.option("-m", "--model", default="", help="The model that was asked (aichats: dalle).")
@click.option("--status", default=200, show_default=True, help="The status of the response.")
@click.option("--offsets", is_flag=True, help="Show after how many bytes each event was complete.")
@click.option("--json", "as_json", is_flag=True, help="Write one event a line, as JSON.")
@click.option(
    "--cut-as",
    type=click.Choice(["eof", "disconnect"]),
    default="eof",
    show_default=True,
    help="What the end of the bytes was: the end of the body, or a connection that went away.",
)
@_traceback
def decode(**options: Any) -> None:
    """Decode the body of a response, from FILE or a pipe, into events, as it comes.

    A fault is shown with the bytes around it, and is the exit code.

    \b
    Examples:
      tokenwire decode --offsets answer.sse
      curl -sN http://127.0.0.1:8000/chat -d @question.json | tokenwire decode -d darkai
      tokenwire decode --json answer.sse | jq -r 'select(.event == "text").text'
    """
    from .decode import DecodeOptions, run_decode

    run_decode(DecodeOptions(**options))


@tokenwire.command(short_help="List the providers.")
@click.option("--json", "as_json", is_flag=True, help="Write one provider a line, as JSON.")
@_traceback
def providers(as_json: bool) -> None:
    """List the providers: a table; in a pipe, lines with tabs."""
    from .providers import run_providers

    run_providers(as_json)


@tokenwire.command(short_help="Print the script that teaches a shell to complete.")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@_traceback
def completion(shell: str) -> None:
    """Print the script that teaches SHELL to complete the command.

    \b
    To install it:
      bash:  echo 'eval "$(tokenwire completion bash)"' >> ~/.bashrc
      zsh:   echo 'eval "$(tokenwire completion zsh)"' >> ~/.zshrc
      fish:  tokenwire completion fish > ~/.config/fish/completions/tokenwire.fish
    """
    script = get_completion_class(shell)
    assert script is not None  # these three are click's own
    click.echo(script(tokenwire, {}, "tokenwire", _COMPLETE).source())
