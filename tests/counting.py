"""Counts the bytes that code searches and copies, where a clock would say how busy the machine is.

`instrumented("protocols.toolkit.sse")` is that module of tokenwire from its own source, in which
each operation that Python evaluates goes through a counter: every call, `+`, `+=`, slice, `in`,
`==`, f-string and `[*...]`. What they cost in bytes (for text, characters) is charged to `work`:

- what is made anew is copied: the length of the result;
- what is searched is read: from the start to where it was found, or to the end;
- a bytearray that grows is copied whole whenever its allocation changes, as `realloc` may do that;
- a call into C that is not known here reads all bytes and text it is given: the worst case. This
  is what a decoder of JSON, `re` (but for `search`) and zlib are charged;
- calls of instrumented functions cost what they do inside.

What it does not see: C code that goes on working on state of its own (h11 is not C, but is left
out), and the copies that a list makes of its pointers.
"""

import ast
import importlib
import importlib.abc
import importlib.machinery
import operator
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import BuiltinFunctionType, MethodDescriptorType, ModuleType
from typing import Any

import tokenwire

__all__ = ["instrumented", "instrumented_source", "work"]

_SOURCE = Path(tokenwire.__file__).parent
_NAME = "counted_tokenwire"

work: int = 0
"""Bytes searched and copied since the import, by all instrumented code."""


def instrumented(module: str) -> Any:
    """A module of tokenwire that counts."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())
    return importlib.import_module(f"{_NAME}.{module}")


def instrumented_source(text: str) -> dict[str, Any]:
    """The names that `text` defines, when it counts."""
    names: dict[str, Any] = {}
    _execute(text, "text", names)
    return names


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds the modules of tokenwire under another name. The outermost package is empty: what it
    imports would all count."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        package, *names = fullname.split(".")
        if package != _NAME:
            return None
        if not names:
            return importlib.machinery.ModuleSpec(fullname, self, is_package=True)
        file = _SOURCE.joinpath(*names)
        is_package = file.is_dir()
        origin = str(file / "__init__.py" if is_package else file.with_suffix(".py"))
        return importlib.machinery.ModuleSpec(fullname, self, origin=origin, is_package=is_package)

    def exec_module(self, module: ModuleType) -> None:
        origin = module.__spec__.origin if module.__spec__ is not None else None
        if origin is None:
            return
        _execute(Path(origin).read_text(encoding="utf-8"), module.__name__, module.__dict__)


def _execute(text: str, name: str, names: dict[str, Any]) -> None:
    tree = ast.fix_missing_locations(_Instrument().visit(ast.parse(text)))
    names.update(
        _counted_call=_call,
        _counted_add=_add,
        _counted_grow=_grow,
        _counted_item=_item,
        _counted_compare=_compare,
        _counted_made=_made,
    )
    # By another name, so that the coverage of the file itself is not taken from here.
    exec(compile(tree, f"<counted {name}>", "exec"), names)


def _calls(name: str, *arguments: ast.expr, more: Sequence[ast.keyword] = ()) -> ast.Call:
    return ast.Call(ast.Name(f"_counted_{name}", ast.Load()), list(arguments), list(more))


class _Instrument(ast.NodeTransformer):
    """Sends the operations in functions through the counter; what stands outside runs once."""

    def __init__(self) -> None:
        self._inside = False

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        outside, self._inside = self._inside, True
        node.body = [self.visit(statement) for statement in node.body]
        self._inside = outside
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        if node.value is not None:
            node.value = self.visit(node.value)
        return node

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        if not self._inside or (isinstance(node.func, ast.Name) and node.func.id == "super"):
            return node
        return _calls("call", node.func, *node.args, more=node.keywords)

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        self.generic_visit(node)
        if self._inside and isinstance(node.op, ast.Add):
            return _calls("add", node.left, node.right)
        return _calls("made", node) if self._inside else node

    def visit_AugAssign(self, node: ast.AugAssign) -> ast.AST:
        self.generic_visit(node)
        if not self._inside or not isinstance(node.op, ast.Add):
            return node
        if not isinstance(node.target, ast.Name | ast.Attribute):
            raise NotImplementedError(f"+= in line {node.lineno}")
        target = ast.parse(ast.unparse(node.target), mode="eval").body
        return ast.Assign([node.target], _calls("grow", target, node.value))

    def visit_Subscript(self, node: ast.Subscript) -> ast.AST:
        self.generic_visit(node)
        if not self._inside or not isinstance(node.ctx, ast.Load):
            return node
        key = node.slice
        if isinstance(key, ast.Slice):
            none = ast.Constant(None)
            parts = (key.lower or none, key.upper or none, key.step or none)
            key = ast.Call(ast.Name("slice", ast.Load()), list(parts), [])
        return _calls("item", node.value, key)

    def visit_Compare(self, node: ast.Compare) -> ast.AST:
        self.generic_visit(node)
        if not self._inside or len(node.ops) > 1:
            return node
        kind = ast.Constant(type(node.ops[0]).__name__)
        return _calls("compare", kind, node.left, node.comparators[0])

    def visit_JoinedStr(self, node: ast.JoinedStr) -> ast.AST:
        self.generic_visit(node)
        return _calls("made", node) if self._inside else node

    def visit_List(self, node: ast.List) -> ast.AST:
        self.generic_visit(node)
        starred = any(isinstance(item, ast.Starred) for item in node.elts)
        return _calls("made", node) if self._inside and starred else node


# What operations cost


def _charge(size: int) -> None:
    global work
    work += size


_FREE = {len, isinstance, issubclass, type, getattr, hasattr, id, iter, next, range, map, zip}
_FREE_METHODS = {"append", "clear", "pop", "popleft", "setdefault", "get", "add", "items", "values"}


def _is_text(value: Any) -> bool:
    return isinstance(value, bytes | bytearray | str | memoryview)


def _is_list(value: Any) -> bool:
    return isinstance(value, list | tuple)


def _size(value: Any) -> int:
    """The length of bytes and text, of the items of a list, and of bytes and text in it."""
    if _is_text(value):
        return len(value)
    if _is_list(value):
        return sum(1 + (len(item) if _is_text(item) else 0) for item in value)
    return 0


def _call(called: Callable[..., Any], /, *arguments: Any, **named: Any) -> Any:
    owner = getattr(called, "__self__", None)
    if isinstance(called, BuiltinFunctionType) and _is_text(owner):
        return _method(called, owner, arguments, named)
    if isinstance(owner, re.Pattern) and called.__name__ == "search":
        return _search(called, *arguments)
    result = called(*arguments, **named)
    if called in (bytes, bytearray, str, list, tuple, sorted, set, frozenset):
        _charge(_size(result))
    elif isinstance(called, type) or called in _FREE:
        pass  # of classes, one's own: they are given what there is
    elif isinstance(called, BuiltinFunctionType | MethodDescriptorType):
        if not (isinstance(owner, list | dict | set) and called.__name__ in _FREE_METHODS):
            _charge(sum(map(_size, arguments)) + _size(result))
    elif not str(getattr(called, "__module__", "")).startswith(_NAME):
        _charge(sum(map(_size, arguments)) + _size(result))
    return result


def _method(
    called: BuiltinFunctionType, owner: Any, arguments: tuple[Any, ...], named: dict[str, Any]
) -> Any:
    """A method of bytes, a bytearray or text."""
    name, size = called.__name__, len(owner)
    result = called(*arguments, **named)
    if name in ("find", "index", "rfind", "rindex"):
        start = arguments[1] if len(arguments) > 1 else 0
        end = min(arguments[2] if len(arguments) > 2 else size, size)
        if result < 0:
            _charge(end - start)
        else:
            _charge(result - start + 1 if name in ("find", "index") else end - result)
    elif name in ("startswith", "endswith", "removeprefix", "removesuffix"):
        _charge(_size(arguments[0]) + (0 if result is owner else _size(result)))
    elif name in ("strip", "lstrip", "rstrip"):
        _charge(0 if result is owner else size)
    elif name == "join":
        _charge(len(result))
    elif name != "clear":  # split, count, decode, lower, ...: all of it is read
        _charge(size + (0 if result is owner else _size(result)))
    return result


def _search(search: Callable[..., Any], text: Any, start: int = 0) -> Any:
    """Of an expression that reads each character once, as all do that are searched for here."""
    found = search(text, start)
    _charge(max(0, (len(text) if found is None else found.end()) - start))
    return found


def _add(left: Any, right: Any) -> Any:
    result = left + right
    _charge(_size(result))
    return result


def _grow(target: Any, more: Any) -> Any:
    if type(target) is bytearray:
        allocated = sys.getsizeof(target)
        target += more
        _charge(len(more) + (len(target) if sys.getsizeof(target) != allocated else 0))
        return target
    listed = _is_list(target)
    target += more
    _charge(_size(more) if listed else _size(target))
    return target


def _item(value: Any, key: Any) -> Any:
    result = value[key]
    if isinstance(key, slice) and result is not value:
        _charge(_size(result))
    return result


_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "Eq": operator.eq,
    "NotEq": operator.ne,
    "Lt": operator.lt,
    "LtE": operator.le,
    "Gt": operator.gt,
    "GtE": operator.ge,
    "Is": operator.is_,
    "IsNot": operator.is_not,
    "In": lambda left, right: left in right,
    "NotIn": lambda left, right: left not in right,
}


def _compare(kind: str, left: Any, right: Any) -> bool:
    if kind in ("In", "NotIn"):
        _charge(_size(right))
    elif kind in ("Eq", "NotEq") and _is_text(left) and _is_text(right):
        _charge(len(left) if len(left) == len(right) else 0)
    return _OPERATORS[kind](left, right)


def _made(value: Any) -> Any:
    _charge(_size(value))
    return value
