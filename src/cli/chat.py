"""`tokenwire chat`: one question, or a conversation."""

import mimetypes
import sys
from collections.abc import Generator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..highlevel import make_exchange
from ..protocols.chat import Chat, ImagePart, Message, Part, TextPart, as_chat
from ..protocols.errors import LocalProtocolError, TokenwireError
from ..protocols.events import Event
from ..protocols.provider import Provider
from ..protocols.reply import Reply
from . import ServerFailed, Settings, complain
from .asking import AskOptions
from .options import chat_options, read_file, read_schema, read_tools
from .server import embedded_server, key_for
from .show import is_terminal, saver, show
from .transports import Ask, open_transport

if TYPE_CHECKING:
    from ..server.embedded import Server

__all__ = ["ChatOptions", "run_chat"]


@dataclass(frozen=True, kw_only=True)
class ChatOptions(AskOptions):
    """The options of `tokenwire chat`."""

    model: str
    system: str
    images: tuple[Path, ...]
    output: Path
    as_json: bool
    options: tuple[str, ...]
    tools: tuple[Path, ...]
    schema: Path | None
    allow_private_addresses: bool
    transport: str

    def client_options(self) -> dict[str, Any]:
        allowed = {"allow_private_addresses": self.allow_private_addresses}
        return {**super().client_options(), **allowed}


def run_chat(words: tuple[str, ...], options: ChatOptions, settings: Settings) -> None:
    """Ask, and show the answer. Raises any error, and KeyboardInterrupt."""
    session = Session(options, settings)
    question = _question(words)
    if question is None and options.tools:
        raise LocalProtocolError("--tool: give a question, as a conversation can't answer calls")
    client_options = options.client_options()
    with ExitStack() as stack:
        if options.embedded:
            session.use(stack.enter_context(_embedded(options, settings)))
        session.ask_by = stack.enter_context(open_transport(options.transport, **client_options))
        if question is None:
            session.converse()
        else:
            session.ask(session.chat(question), Reply())


class Session:
    """Asks the provider of the options, and shows its answers."""

    ask_by: Ask

    def __init__(self, options: ChatOptions, settings: Settings) -> None:
        self._options = options
        self._settings = settings
        self._provider = options.provider
        self._key = "" if options.embedded else key_for(self._provider)
        self._pictures = [_picture(path) for path in options.images]
        self._save = saver(options.output)
        self._model = _model(self._provider, options)
        self._fields = chat_options(options.options)
        if options.tools:
            self._fields["tools"] = read_tools(options.tools)
        if options.schema is not None:
            self._fields["schema"] = read_schema(options.schema)
        self._base_url = options.base_url
        self._server: Server | None = None

    def use(self, server: "Server") -> None:
        """Ask this embedded server."""
        self._server = server
        self._base_url = server.url

    def chat(self, question: str) -> Chat:
        """A chat that begins with `question`."""
        content: str | tuple[Part, ...] = question
        if self._pictures:
            content = (TextPart(question), *self._pictures)
        system = (Message("system", self._options.system),) if self._options.system else ()
        messages = (*system, Message("user", content))
        return as_chat(messages, model=self._model, **self._fields)

    def ask(self, chat: Chat, reply: Reply) -> None:
        """Ask, show the events as they arrive, and add them to `reply`.

        Raises ServerFailed if the embedded server did: the client only sees a refusal.
        """
        exchange = make_exchange(
            self._provider,
            chat,
            key=self._key,
            base_url=self._base_url,
            clocks=self._options.clocks,
            headers=dict(self._options.headers),
        )

        def take(event: Event) -> None:
            reply.add(event)
            shown.event(event)

        try:
            with show(as_json=self._options.as_json, save=self._save) as shown:
                self.ask_by(exchange, take)
        except TokenwireError:
            if not (self._server and self._server.errors):
                raise
            error = self._server.errors[-1]
            self._server.errors.clear()  # the others are those of earlier attempts
            raise ServerFailed(self._provider.name, error) from error

    def converse(self) -> None:
        """Ask one question after another. Ctrl-C stops an answer, or at the prompt everything.

        Partial answers become part of the history; questions without any answer do not.
        """
        _make_editable()
        chat: Chat | None = None
        said = Reply()
        while question := _prompt():
            following = self.chat(question) if chat is None else chat.then(said, question)
            reply = Reply()
            try:
                self.ask(following, reply)
            except KeyboardInterrupt:
                print("tokenwire: stopped", file=sys.stderr)
            except (TokenwireError, ServerFailed) as error:
                complain(error, self._settings)
            if reply.text:
                chat, said = following, reply


def _model(provider: Provider, options: ChatOptions) -> str:
    if options.model or provider.default_model:
        return provider.model(options.model)
    if options.embedded:
        return "echo"
    raise LocalProtocolError(f"{provider.name} has no default model: give one with --model")


@contextmanager
def _embedded(options: ChatOptions, settings: Settings) -> "Generator[Server]":
    """An embedded server. Errors in it that `Session.ask` has not raised are printed at the end."""
    server = embedded_server()(options.provider)
    try:
        with server:
            yield server
    finally:
        for error in server.errors:
            complain(ServerFailed(options.provider.name, error), settings)


def _picture(path: Path) -> ImagePart:
    media_type = mimetypes.guess_type(path.name)[0] or ""
    if not media_type.startswith("image/"):
        raise LocalProtocolError(f"{path} is not named like a picture (.png, .jpg, ...)")
    return ImagePart.of_bytes(read_file(path), media_type)


def _question(words: tuple[str, ...]) -> str | None:
    """The question that was given. None: start a conversation."""
    piped = not (sys.stdin and sys.stdin.isatty())
    if not words and not piped:
        return None
    text = " ".join(_read_pipe() if word == "-" else word for word in words or ("-",))
    if not text.strip():
        raise LocalProtocolError("there is no question, neither in the arguments nor in the pipe")
    return text


def _read_pipe() -> str:
    return sys.stdin.read().removeprefix("\ufeff").rstrip("\n") if sys.stdin else ""


def _make_editable() -> None:
    """Make `input()` editable. Windows has no readline, and where the locale is not UTF-8, that
    takes half a character for one of its commands."""
    with suppress(ImportError, AttributeError):
        locale = import_module("locale")
        if locale.nl_langinfo(locale.CODESET) == "UTF-8":
            import_module("readline")


def _prompt() -> str:
    """The next question, or an empty string to end the conversation."""
    prompt = "> "
    if not is_terminal():  # keep the prompt out of the file or pipe that gets the answers
        print(prompt, end="", file=sys.stderr, flush=True)
        prompt = ""
    try:
        return input(prompt).strip()
    except EOFError:
        print(file=sys.stderr)
        return ""
    except KeyboardInterrupt:
        print(file=sys.stderr)  # so that the shell's prompt begins on a new line
        raise
