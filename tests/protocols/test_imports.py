"""The import graph of `src`, read without importing it, and the rules that it keeps.

Each rule is a function from the imports to those that break it. It is held against the tree as it
is, and against a planted import that it must find.
"""

import ast
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple, TypeAlias

import pytest

from tokenwire.protocols.dialect import words

SRC = Path(__file__).parents[2] / "src"

NETWORK = """
    _socket asyncio ftplib http http.client http.server imaplib poplib select selectors smtplib
    socket socketserver ssl urllib.request webbrowser wsgiref xmlrpc"""
SYSTEM = """
    concurrent ctypes curses fcntl fileinput getpass glob io locale logging mmap msvcrt
    multiprocessing os pathlib platform pty readline resource shelve shutil signal site sqlite3
    subprocess sys sysconfig syslog tempfile termios tty winreg"""
TIME_AND_CHANCE = "_thread datetime queue random sched secrets threading time timeit"
OTHERS = "aiohttp anyio certifi h11 httpx httpx2 requests trio uvloop"
IMPURE = words(f"{NETWORK} {SYSTEM} {TIME_AND_CHANCE} {OTHERS}")
"""Modules that no pure code imports. Helpers that compute only, such as difflib, email.utils,
hashlib, uuid's class UUID and zlib, are not here."""

PRESETS = {
    "ylokh": "openai_chat",
    "mistral": "openai_chat",
    "bedrock_anthropic": "anthropic",
}
"""Formats that are presets or subclasses of another, which they may import."""


class Import(NamedTuple):
    """`module` imports `target`; both without `tokenwire.`, if they are ours."""

    module: str
    target: str
    ours: bool
    relative: bool


Imports: TypeAlias = list[Import]
Rule: TypeAlias = Callable[[Imports], Imports]


# Reading


def module_name(path: Path) -> str:
    """`protocols.toolkit.json`; a package is called as its folder."""
    parts = path.relative_to(SRC).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports_of(source: str, module: str, *, package: bool, modules: frozenset[str]) -> Imports:
    """What `source`, the text of `module`, imports, wherever in it. Not what it imports for type
    checkers only."""
    found: Imports = []
    here = module.split(".") if module else []
    for node in _nodes(ast.parse(source)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                found.append(_absolute(module, alias.name))
        elif node.level:
            up = node.level - package
            base = [*here[: len(here) - up], *filter(None, (node.module or "").split("."))]
            for alias in node.names:
                inner = ".".join((*base, alias.name))
                target = inner if inner in modules else ".".join(base)
                found.append(Import(module, target, True, True))
        else:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                name = inner if inner in IMPURE else node.module or ""
                found.append(_absolute(module, name))
    return found


def _absolute(module: str, name: str) -> Import:
    first, _, rest = name.partition(".")
    ours = first == "tokenwire"
    return Import(module, rest if ours else name, ours, False)


def _nodes(tree: ast.AST) -> Iterator[ast.Import | ast.ImportFrom]:
    """All imports but those below `if TYPE_CHECKING:`."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node
        elif isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            for other in node.orelse:
                yield from _nodes(other)
        else:
            yield from _nodes(node)


@cache
def graph() -> tuple[Import, ...]:
    """All imports of `src`."""
    paths = sorted(SRC.rglob("*.py"))
    modules = frozenset(map(module_name, paths))
    return tuple(
        found
        for path in paths
        for found in imports_of(
            path.read_text("utf-8"),
            module_name(path),
            package=path.name == "__init__.py",
            modules=modules,
        )
    )


# The rules


def is_below(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")


def folder_of(module: str) -> str | None:
    """The folder of the format that `module` belongs to, and None if it belongs to none."""
    parts = module.split(".")
    if parts[:2] != ["protocols", "formats"] or len(parts) < 3:
        return None
    return parts[3] if parts[2] == "founding" and len(parts) > 3 else parts[2]


def pure(imports: Imports) -> Imports:
    """`protocols` imports no I/O, no loops, no clocks, no randomness, no files, no environment."""
    return [
        each
        for each in imports
        if is_below(each.module, "protocols")
        and not each.ours
        and any(is_below(each.target, name) for name in IMPURE)
    ]


def inwards(imports: Imports) -> Imports:
    """`protocols` imports nothing of ours but itself."""
    return [
        each
        for each in imports
        if is_below(each.module, "protocols")
        and each.ours
        and not is_below(each.target, "protocols")
    ]


def toolkit_first(imports: Imports) -> Imports:
    """`toolkit` imports only errors, events, limits, and itself."""
    allowed = (*(f"protocols.{name}" for name in ("errors", "events", "limits", "toolkit")),)
    return [
        each
        for each in imports
        if is_below(each.module, "protocols.toolkit")
        and each.ours
        and not any(is_below(each.target, name) for name in allowed)
    ]


def formats_apart(imports: Imports) -> Imports:
    """A format imports no other format but the one that it is a preset or a subclass of."""
    return [
        each
        for each in imports
        if (mine := folder_of(each.module)) is not None
        and each.ours
        and (other := folder_of(each.target)) is not None
        and other not in (mine, PRESETS.get(mine))
    ]


def formats_unnamed(imports: Imports) -> Imports:
    """Nothing outside of `formats` imports a format: the registry finds it by its name."""
    return [
        each
        for each in imports
        if not is_below(each.module, "protocols.formats")
        and each.ours
        and is_below(each.target, "protocols.formats")
    ]


FIRST_NAMES = ("transports.server", "transports.faults")
"""Modules of no code, for programs that know the server by the names that it had first."""


def transports_on_protocols(imports: Imports) -> Imports:
    """`transports` import `protocols`, and of ours nothing else but themselves."""
    return [
        each
        for each in imports
        if is_below(each.module, "transports")
        and each.module not in FIRST_NAMES
        and each.ours
        and not is_below(each.target, "transports")
        and not is_below(each.target, "protocols")
    ]


def relative(imports: Imports) -> Imports:
    """Inside `src` imports are relative."""
    return [each for each in imports if each.ours and not each.relative]


RULES: dict[Rule, list[tuple[str, str]]] = {
    pure: [
        ("protocols.clocks", "import time"),
        ("protocols.clocks", "from time import monotonic"),
        ("protocols.toolkit.json", "import os.path"),
        ("protocols.formats.openai_chat.client", "def f():\n    import asyncio"),
        ("protocols.formats.openai_chat", "from http.client import HTTPConnection"),
        ("protocols.auth", "from urllib.request import urlopen"),
        ("protocols.auth", "from urllib import request"),
        ("protocols.auth", "import secrets as s"),
        ("protocols.retry", "try:\n    import httpx\nexcept ImportError:\n    pass"),
    ],
    inwards: [
        ("protocols.exchange", "from ..transports.client import wire"),
        ("protocols.exchange", "from .. import highlevel"),
        ("protocols.toolkit.json", "from ...server import serve"),
    ],
    toolkit_first: [
        ("protocols.toolkit.json", "from ..chat import Chat"),
        ("protocols.toolkit.sse", "from .. import step"),
        ("protocols.toolkit.parts", "from ..formats.openai_chat import PROVIDERS"),
    ],
    formats_apart: [
        ("protocols.formats.openai_chat.client", "from ..founding.darkai import DarkAI"),
        ("protocols.formats.founding.aichats.client", "from ..darkai.client import DarkAIStep"),
        ("protocols.formats.founding.darkai", "from ...formats import openai_chat"),
    ],
    formats_unnamed: [
        ("protocols.registry", "from .formats.openai_chat import PROVIDERS"),
        ("transports.client.wire", "from ...protocols.formats import openai_chat"),
        ("cli.chat", "def f():\n    from ..protocols.formats.founding import darkai"),
    ],
    transports_on_protocols: [
        ("transports.sync", "from ..highlevel import ask"),
        ("transports.client.wire", "from ...server import serve"),
        ("transports.client.wire", "from ... import ask"),
    ],
    relative: [
        ("protocols.exchange", "from tokenwire.protocols.events import End"),
        ("transports.sync", "import tokenwire.protocols.errors"),
        ("cli.main", "import tokenwire"),
    ],
}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_rule_is_kept(rule: Rule) -> None:
    assert rule(list(graph())) == []


PLANTED = [(rule, *planted) for rule, all_planted in RULES.items() for planted in all_planted]


@pytest.mark.parametrize(("rule", "module", "source"), PLANTED)
def test_a_planted_violation_is_found(rule: Rule, module: str, source: str) -> None:
    modules = frozenset(each.module for each in graph())
    path = SRC.joinpath(*module.split("."))
    planted = imports_of(source, module, package=path.is_dir(), modules=modules)
    assert len(planted) == 1
    assert rule([*graph(), *planted]) == planted


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("protocols.provider", "from difflib import get_close_matches"),
        ("protocols.retry", "from email.utils import parsedate_to_datetime"),
        ("protocols.auth", "from urllib.parse import quote"),
        ("protocols.exchange", "if TYPE_CHECKING:\n    import asyncio"),
        ("protocols.toolkit.json", "from ..errors import Malformed"),
        ("protocols.formats.openai_chat.client", "from .wire import Chunk"),
        ("protocols.formats.openai_chat.client", "from ...step import EventStep"),
        ("transports.client.wire", "import asyncio"),
    ],
)
def test_what_the_rules_allow(module: str, source: str) -> None:
    modules = frozenset(each.module for each in graph())
    planted = imports_of(source, module, package=False, modules=modules)
    for rule in RULES:
        assert rule(planted) == []


BUILTINS = words("__import__ breakpoint compile eval exec input open print")


def impure_calls(source: str) -> list[str]:
    """The built-in functions that `source` calls though pure code has no use for them."""
    return [
        node.func.id
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in BUILTINS
    ]


def test_protocols_call_no_function_that_does_io() -> None:
    paths = sorted((SRC / "protocols").rglob("*.py"))
    assert len(paths) > 40
    assert [path for path in paths if impure_calls(path.read_text("utf-8"))] == []


@pytest.mark.parametrize("name", sorted(BUILTINS))
def test_such_a_call_is_found(name: str) -> None:
    assert impure_calls(f"def f():\n    return [{name}('x')]") == [name]
    assert impure_calls(f"x.{name}('x')") == []


def test_the_graph_is_that_of_the_tree() -> None:
    """What the rules are about is there to be read."""
    imports = set(graph())
    for module, target in (
        ("protocols.exchange", "protocols.events"),
        ("protocols.toolkit.json", "protocols.errors"),
        ("protocols.formats.openai_chat", "protocols.formats.openai_chat.client"),
        ("protocols.formats.openai_chat.client", "protocols.step"),
        ("transports.client.wire", "protocols.exchange"),
    ):
        assert Import(module, target, True, True) in imports
    assert Import("protocols.errors", "difflib", False, False) in imports
    assert Import("protocols.provider", "msgspec", False, False) in imports
