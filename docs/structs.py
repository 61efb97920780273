"""An extension of griffe, which reads the sources for the reference.

It gives each `msgspec.Struct` the signature of its constructor, and makes links of the public names
that docstrings have in backticks.
"""

import ast
import re
from collections.abc import Iterator
from typing import Any

from griffe import (
    Attribute,
    Class,
    Extension,
    Function,
    Module,
    Parameter,
    ParameterKind,
    Parameters,
)

__all__ = ["Structs"]

_NAME = re.compile(r"(?<![\[`])`([A-Z]\w+)((?:\.\w+)?)`(?![\]`])")


class Structs(Extension):
    """Signatures of structs, and links in docstrings."""

    def on_class_members(self, *, node: Any, cls: Class, **_: Any) -> None:
        """A class has been read."""
        if isinstance(node, ast.ClassDef) and _is_struct(node):
            keywords = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
            parameters = Parameters(*_fields(cls, kw_only=keywords.get("kw_only") == "True"))
            cls.set_member("__init__", Function("__init__", parameters=parameters))

    def on_package(self, *, pkg: Module, **_: Any) -> None:
        """The whole package has been read."""
        _link(pkg, pkg.name, frozenset(map(str, pkg.exports or ())))


def _is_struct(node: ast.ClassDef) -> bool:
    return any(ast.unparse(base) == "msgspec.Struct" for base in node.bases)


def _fields(struct: Class, *, kw_only: bool) -> Iterator[Parameter]:
    kind = ParameterKind.keyword_only if kw_only else ParameterKind.positional_or_keyword
    for field in struct.members.values():
        if isinstance(field, Attribute) and "instance-attribute" in field.labels:
            yield Parameter(field.name, annotation=field.annotation, kind=kind, default=field.value)


def _link(parent: Module | Class, package: str, names: frozenset[str]) -> None:
    for member in parent.members.values():
        if member.is_alias:
            continue
        if member.docstring is not None:
            others = names - {member.name}
            member.docstring.value = _linked(member.docstring.value, package, others)
        if isinstance(member, Module | Class):
            _link(member, package, names)


def _linked(text: str, package: str, names: frozenset[str]) -> str:
    def link(name: "re.Match[str]") -> str:
        return f"[{name[0]}][{package}.{name[1]}]" if name[1] in names else name[0]

    return _NAME.sub(link, text)
