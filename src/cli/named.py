"""Finds a provider by its name, or by `module:NAME` if it is the user's own; answer functions
likewise."""

import inspect
import os
import sys
from collections.abc import Callable
from importlib import import_module
from types import ModuleType
from typing import Any, cast

from ..protocols.answering import AnswerFunction, RequestAnswerFunction
from ..protocols.errors import LocalProtocolError
from ..protocols.provider import Provider
from ..protocols.registry import provider_named

__all__ = ["find_answer", "find_provider"]


def find_provider(name: str) -> Provider:
    """The provider called `name`; for `module:NAME`, the attribute NAME of that module.

    Like `python -m`, it finds modules in the current directory. Raises LocalProtocolError.
    """
    if ":" not in name:
        return provider_named(name)
    found = _attribute(name, "a provider", lambda value: isinstance(value, Provider))
    if not isinstance(found, Provider):
        raise LocalProtocolError(f"{name} must be a Provider, not {type(found).__name__}")
    return found


def find_answer(name: str) -> AnswerFunction | RequestAnswerFunction:
    """The answer function `module:NAME`, likewise."""
    found = _attribute(name, "an answer function", inspect.isfunction)
    if not callable(found):
        raise LocalProtocolError(f"{name} must be a function, not {type(found).__name__}")
    return cast("AnswerFunction", found)


def _attribute(name: str, what: str, is_one: Callable[[Any], bool]) -> Any:
    module, _, attribute = name.partition(":")
    if not module or not attribute:
        raise LocalProtocolError(f"{name!r}: give {what} of your own as module:NAME")
    loaded = _import(module)
    if not hasattr(loaded, attribute):
        own = [key for key, value in vars(loaded).items() if is_one(value)]
        hint = f" (its {what.split()[-1]}s: {', '.join(own)})" if own else ""
        raise LocalProtocolError(f"{name}: {module} has no {attribute}{hint}")
    return getattr(loaded, attribute)


def _import(module: str) -> ModuleType:
    directory = os.getcwd()
    if directory not in sys.path and not sys.flags.safe_path:
        sys.path.insert(0, directory)
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if module != missing and not module.startswith(f"{missing}."):
            raise _failed(module, error) from error
        raise LocalProtocolError(
            f"there is no module {module}, neither in this directory nor on Python's path"
        ) from error
    except (Exception, SystemExit) as error:
        raise _failed(module, error) from error


def _failed(module: str, error: BaseException) -> LocalProtocolError:
    name = type(error).__name__
    return LocalProtocolError(
        f"importing {module} raised {name}: {error} (--traceback shows where)"
    )
