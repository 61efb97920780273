"""`tokenwire serve`: the embedded server, with faults."""

import os
import re
import shlex
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from ..protocols.answering import AnswerFunction, RequestAnswerFunction
from ..protocols.auth import AwsKey, Key, SigV4
from ..protocols.errors import LocalProtocolError
from ..protocols.provider import Provider
from ..protocols.service import Service
from ..server.faults import (
    BreakEvent,
    CloseAfter,
    CloseIdle,
    Cutting,
    DropTerminator,
    EndAfter,
    ErrorObject,
    Fault,
    Gzip,
    HtmlPage,
    KeepAlives,
    Linger,
    RefuseWith,
    ResetAfter,
    StallAfter,
    Unframed,
)
from . import ServerFailed, Settings, complain
from .server import any_chat, embedded_server, exchange_at_chat, key_of, takes_key

__all__ = ["ServeOptions", "cutting_of", "examples", "fault_of", "run_serve"]


@dataclass(frozen=True, kw_only=True)
class ServeOptions:
    """The options of `tokenwire serve`."""

    provider: Provider
    host: str
    port: int
    require_key: bool
    cut: str
    pause: float
    faults: tuple[str, ...]
    times: int | None
    public_url: str | None
    cors: str | None
    answer: AnswerFunction | RequestAnswerFunction | None


def run_serve(options: ServeOptions, settings: Settings) -> None:
    """Serve until Ctrl-C, the normal way to stop. Errors in the server are printed on stderr."""
    provider = options.provider
    key = _required_key(provider) if options.require_key else None
    faults = tuple(map(fault_of, options.faults))

    def report(error: Exception) -> None:
        complain(ServerFailed(provider.name, error), settings)

    server = embedded_server()(
        provider,
        options.answer,
        host=options.host,
        port=options.port,
        key=key,
        cutting=cutting_of(options.cut, options.pause),
        fault=faults if options.times is None else None,
        faults=[faults] * (options.times or 0),
        public_url=options.public_url,
        cors=options.cors,
        on_error=report,
    )
    import anyio

    async def serve() -> None:
        async with server:
            shown = examples(server.service, key, settings.own_provider)
            print(f"{provider.name} at {server.url} (Ctrl-C stops it)\n{shown}", flush=True)
            await anyio.sleep_forever()

    with suppress(KeyboardInterrupt):
        anyio.run(serve)


def _required_key(provider: Provider) -> Key:
    key = os.environ.get("TOKENWIRE_KEY")
    if not key:
        raise LocalProtocolError("--require-key: set TOKENWIRE_KEY to the key")
    if not takes_key(provider):
        raise LocalProtocolError(f"--require-key: {provider.name} does not use keys")
    return key_of(provider, key)


def cutting_of(how: str, pause: float) -> Cutting:
    """The cutting for `--cut` and `--pause`. Raises LocalProtocolError."""
    match how:
        case "whole":
            return Cutting("whole", pause=pause)
        case "event":
            return Cutting.per_event(pause=pause)
        case _:
            return Cutting.of_sizes(*map(_size, how.split(",")), pause=pause)


def fault_of(text: str) -> Fault:
    """The fault that `text` describes, in the form of the help. Raises LocalProtocolError."""
    name, colon, value = text.partition(":")
    make = _FAULTS.get(name)
    if make is None:
        raise LocalProtocolError(f"--fault {text}: the faults are {', '.join(_FAULTS)}")
    try:
        return make(value)
    except ValueError:
        problem = "the value is not valid" if colon else "it needs a value, as in close:300"
        raise LocalProtocolError(f"--fault {text}: {problem} (see tokenwire serve --help)") from (
            None
        )


def examples(service: Service, key: Key | None, name: str = "") -> str:
    """How to ask `service` at its `base_url`, ready to paste: with curl, with the openai SDK if
    that speaks its dialect, and with the command, where the provider is called `name`. A required
    `key` is not shown."""
    provider, url = service.provider, service.base_url
    name = shlex.quote(name or provider.name)
    region = f"AWS_REGION={_REGION} " if isinstance(key, AwsKey) else ""
    return "\n".join(
        [
            "\n# curl",
            _curl(service, key),
            *_sdk(provider, url, key),
            "\n# tokenwire",
            f"{region}tokenwire chat -p {name}{_model_option(provider)} --base-url {url} Hello",
        ]
    )


def _curl(service: Service, key: Key | None) -> str:
    provider = service.provider
    sent = _STAND_IN if isinstance(key, str) else None
    shown = Service(provider, key=sent, base_url=service.base_url)
    shown.state = service.state  # what one issues the other accepts
    chat = any_chat(provider).replace(stream=not provider.dialect.binary)
    _, request = exchange_at_chat(shown, chat, key=sent)
    lines = [f"curl -N {_quoted(request.url)}"]
    if isinstance(key, AwsKey) and isinstance(provider.key_place, SigV4):
        scope = f"aws:amz:{_REGION}:{provider.key_place.service}"
        lines.append(f"--aws-sigv4 {scope} --user {_quoted(_STAND_IN)}")
    for pair in request.headers:
        name, value = (text.decode("latin-1") for text in pair)
        if name not in ("user-agent", "accept", "accept-encoding") and name not in provider.headers:
            lines.append(f"-H {_quoted(f'{name}: {value}')}")
    lines.append(f"-d {shlex.quote(request.body.decode())}")
    return " \\\n  ".join(lines)


_REGION = "us-east-1"
"""The region of examples. The embedded server takes any."""

_STAND_IN = "-TOKENWIRE_KEY-"
"""Stands for the key in a request: it looks the same in a header and in an address."""


def _quoted(text: str) -> str:
    """`text` as a word of a shell, which puts the key in."""
    if _STAND_IN not in text:
        return shlex.quote(text)
    return f'"{_SPECIAL.sub(_ESCAPED, text).replace(_STAND_IN, "$TOKENWIRE_KEY")}"'


_SPECIAL = re.compile(r'["$`\\]')
_ESCAPED = r"\\\g<0>"
"""What means something in a shell's double quotes, and how it is written there."""


def _sdk(provider: Provider, url: str, key: Key | None) -> list[str]:
    if isinstance(key, str) and isinstance(provider.key_place, SigV4):
        return []  # a bearer key, where the SDK signs
    model = provider.default_model or "any"
    for chat in provider.dialect.endpoints[:1]:
        if provider.path.endswith(chat.path):  # the SDK adds only its own path
            url += provider.path.removesuffix(chat.path).replace("{model}", model)
    shown = '"any"' if key is None else 'os.environ["TOKENWIRE_KEY"]'
    example = provider.dialect.sdk_example(url, model, shown)
    return [f"\n{example}"] if example else []


def _model_option(provider: Provider) -> str:
    return "" if provider.default_model else " -m any"


def _size(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise LocalProtocolError(f"--cut {text}: give whole, event, or sizes in bytes above 0")
    return int(text)


def _after(
    kind: type[CloseAfter] | type[ResetAfter] | type[StallAfter],
) -> Callable[[str], Fault]:
    return lambda value: kind(0, head=False) if value == "head" else kind(_count(value))


def _keepalives(value: str) -> Fault:
    after, _, given = value.partition(",")
    interval = float(given) if given else KeepAlives().interval
    if not interval >= 0:  # or NaN
        raise ValueError
    return KeepAlives(_count(after or "0"), interval)


def _refuse(value: str) -> Fault:
    status, _, retry_after = value.partition(",")
    return RefuseWith(_status(status), retry_after=retry_after or None)


def _status(text: str) -> int:
    if not 100 <= int(text) <= 599:
        raise ValueError
    return int(text)


def _count(text: str) -> int:
    if int(text) < 0:
        raise ValueError
    return int(text)


def _plain(fault: Fault) -> Callable[[str], Fault]:
    def make(value: str) -> Fault:
        if value:
            raise ValueError
        return fault

    return make


_FAULTS: dict[str, Callable[[str], Fault]] = {
    "close": _after(CloseAfter),
    "reset": _after(ResetAfter),
    "end": lambda value: EndAfter(_count(value)),
    "stall": _after(StallAfter),
    "keepalives": _keepalives,
    "linger": _plain(Linger()),
    "close-idle": _plain(CloseIdle()),
    "refuse": _refuse,
    "html": lambda value: HtmlPage(_status(value or "200")),
    "error": lambda value: ErrorObject(value) if value else ErrorObject(),
    "break": lambda value: BreakEvent(_count(value or "0")),
    "drop-terminator": _plain(DropTerminator()),
    "gzip": _plain(Gzip()),
    "unframed": _plain(Unframed()),
}
