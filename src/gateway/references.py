"""Secrets and addresses that a configuration only refers to: `env:NAME` is the value of an
environment variable, `file:PATH` the text of a file."""

from collections.abc import Callable, Mapping

from ..protocols.toolkit.http import names_secret
from .file import ConfigError

__all__ = ["References"]


class References:
    """Looks up what the texts of a file, which is called `name`, refer to.

    `read` returns the text of a file. `literals`: whether a secret may be in the file itself. No
    error shows what was found.
    """

    def __init__(
        self,
        name: str,
        environment: Mapping[str, str],
        read: Callable[[str], str],
        *,
        literals: bool,
    ) -> None:
        self._name = name
        self._environment = environment
        self._read = read
        self._literals = literals

    def wrong(self, where: str, problem: object) -> ConfigError:
        """The error to raise for a `problem` with the key `where`."""
        return ConfigError(f"{self._name}: {where}: {problem}")

    def text(self, text: str, where: str, *, secret: bool = False) -> str:
        """`text`, or what it refers to. Raises ConfigError for a secret that is no reference."""
        kind, _, name = text.partition(":")
        if kind == "env":
            found = self._environment.get(name, "").strip()
            missing = f"the environment variable {name} is not set"
        elif kind == "file":
            found = self._text_of_file(name, where).strip()
            missing = f"the file {name} is empty"
        elif secret and text and not self._literals:
            raise self.wrong(
                where,
                'a secret must not be in this file: write "env:NAME" or "file:PATH", '
                "or set insecure_literal_keys = true",
            )
        else:
            return text
        if not found:
            raise self.wrong(where, missing)
        return found

    def texts(self, texts: Mapping[str, str], where: str) -> dict[str, str]:
        """The same for each of `texts`. Those are secret whose names say so."""
        return {
            name: self.text(text, f"{where}.{name}", secret=names_secret(name.lower().encode()))
            for name, text in texts.items()
        }

    def _text_of_file(self, path: str, where: str) -> str:
        try:
            return self._read(path)
        except OSError as error:
            why = error.strerror or "unknown reason"
        except ValueError:
            why = "it is not UTF-8"
        raise self.wrong(where, f"the file {path} can't be read: {why}")
