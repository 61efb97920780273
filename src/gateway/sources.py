"""Where a configuration comes from: a file, the environment, or the embedded servers."""

import os
from collections.abc import Collection, Generator
from contextlib import ExitStack, contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Protocol

import msgspec

from ..protocols.clocks import Clocks
from ..protocols.errors import TokenwireError
from ..protocols.provider import Provider
from ..protocols.registry import PROVIDERS
from ..protocols.retry import NO_RETRY
from .config import Config, ConfigError, from_environment, load
from .fronts import FORMATS

__all__ = ["EnvironmentSource", "FileSource", "Source", "TextSource", "answers", "embedded_source"]


class Source(Protocol):
    """`stamp` is another one when the configuration may have changed; `digest` tells two of them
    apart, and shows nothing of them. `load` raises ConfigError."""

    def load(self) -> Config: ...

    def stamp(self) -> object: ...

    def digest(self) -> str: ...


class TextSource:
    """A TOML text, called `name` in errors."""

    def __init__(self, name: str, text: str) -> None:
        self._name = name
        self._text = text

    def load(self) -> Config:
        return load(self.text(), name=self._name, environment=os.environ, read=self.read)

    def stamp(self) -> object:
        return None

    def digest(self) -> str:
        return sha256(self.text().encode()).hexdigest()[:16]

    def text(self) -> str:
        """The text as it is now. Raises ConfigError."""
        return self._text

    def read(self, path: str) -> str:
        """The text of a file to which it refers."""
        return Path(path).read_text("utf-8-sig")


class FileSource(TextSource):
    """A TOML file. Files to which it refers are found from its folder."""

    def __init__(self, path: Path) -> None:
        super().__init__(str(path), "")
        self._path = path

    def stamp(self) -> object:
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino

    def text(self) -> str:
        try:
            return self._path.read_text("utf-8-sig")
        except OSError as error:
            raise ConfigError(f"{self._path} can't be read: {error.strerror}") from None
        except ValueError:
            raise ConfigError(f"{self._path} can't be read: it is not UTF-8") from None

    def read(self, path: str) -> str:
        return (self._path.parent / path).read_text("utf-8-sig")


class EnvironmentSource:
    """The keys in the environment, and the servers on this machine. `allow`: of each model."""

    def __init__(self, allow: Collection[str] = ()) -> None:
        self._allow = allow

    def load(self) -> Config:
        return from_environment(os.environ, answers, self._allow)

    def stamp(self) -> object:
        return None

    def digest(self) -> str:
        return "environment"


@contextmanager
def embedded_source(allow: Collection[str] = ()) -> Generator[Source]:
    """A configuration that needs neither a key nor a network: a model `FORMAT/echo` of each format,
    answered by an embedded server, which repeats the question. Any other name of a model means the
    first of them, so that clients with names of their own work, too. `allow`: of each model."""
    from ..server.embedded import serve  # most gateways do without

    lines: list[str] = []
    with ExitStack() as stack:
        for name in FORMATS:
            url = stack.enter_context(serve(name)).url
            dialect = PROVIDERS[name].dialect.name
            lines += [
                f"[providers.{name}]",
                f'dialect = "{dialect}"',
                f'base_url = "{url}"',
                *_model(f"{name}/echo", name, allow),
            ]
        yield TextSource("embedded", "\n".join([*lines, *_model("*", FORMATS[0], allow)]))


def _model(name: str, provider: str, allow: Collection[str]) -> list[str]:
    target = f'{{ provider = "{provider}", model = "echo", max_tokens = 32000 }}'
    # A list of strings in JSON is one in TOML.
    allowed = msgspec.json.encode(sorted(allow)).decode()
    return ["[[models]]", f'name = "{name}"', f"targets = [{target}]", f"allow = {allowed}"]


def answers(provider: Provider) -> bool:
    """Whether a server on this machine lists its models."""
    from ..highlevel import models
    from ..transports.sync import Client

    once = Client(retry=NO_RETRY, single_use=True)  # most servers are not there
    try:
        models(provider, client=once, clocks=_PATIENCE)
    except TokenwireError:
        return False
    return True


_PATIENCE = Clocks(connect=0.2, first_event=1, idle=1, total=2)
"""For a server on this machine that is to list its models."""
