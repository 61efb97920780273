"""What environment variables say about a provider, which names them. The variables are given as a
mapping: the core never reads the environment."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from .provider import Provider

__all__ = ["base_url_of", "first_set", "key_of", "params_of"]


def key_of(provider: "Provider", environment: Mapping[str, str]) -> str | None:
    """The key in the first of the provider's variables that is not blank."""
    return _value(first_set(provider.env, environment), environment)


def base_url_of(provider: "Provider", environment: Mapping[str, str]) -> str | None:
    """The base URL that the environment has. A mere host, with or without a port, as `OLLAMA_HOST`
    may be, takes the place of the provider's own; an address without a path gets the provider's."""
    found = _value(first_set(provider.base_env, environment), environment)
    if found is None:
        return None
    own = urlsplit(provider.base_url)
    if "/" in found:
        try:
            given = urlsplit(found)
        except ValueError:  # it is refused where it is used, in words
            return found
        path = "" if "{" in own.path else own.path
        return found if given.path else given._replace(path=path).geturl()
    _, colon, port = found.rpartition(":")
    if not (colon and port.isdecimal()) and own.port is not None:
        found = f"{found}:{own.port}"
    return own._replace(netloc=found).geturl()


def params_of(provider: "Provider", environment: Mapping[str, str]) -> dict[str, str]:
    """The parts of the base URL that the environment has. A host may be a whole address there
    (`DATABRICKS_HOST`)."""
    found = {
        name: _value(first_set((variable,), environment), environment)
        for name, variable in provider.params.items()
    }
    return {name: v.removeprefix("https://").rstrip("/") for name, v in found.items() if v}


def first_set(variables: Sequence[str], environment: Mapping[str, str]) -> str | None:
    """The first of the `variables` that is not blank."""
    return next((name for name in variables if environment.get(name, "").strip()), None)


def _value(variable: str | None, environment: Mapping[str, str]) -> str | None:
    return None if variable is None else environment[variable].strip()
