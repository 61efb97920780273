"""How a concept is judged: it is said, left out and counted, or refused in the caller's words."""

from collections.abc import Container, Iterator, Sequence
from typing import Any

from ..protocols.chat import Cache, Opaque
from ..protocols.dialect import Dialect
from ..protocols.encoding import value_of
from ..protocols.errors import BadRequest
from ..protocols.events import Native
from ..protocols.provider import Provider
from ..protocols.refusing import refuse
from ..protocols.toolkit.json import is_list, is_object
from .matrix import FIELDS, Rule, field_of, rule_of

__all__ = ["Judge", "is_empty", "type_of"]


class Judge:
    """Judges what a caller of `front` asks, for `provider`; `allow` are the losses that the
    operator has allowed. Between a format and itself all is said.

    `losses` are the rows of the matrix by which something was left out.
    """

    def __init__(self, front: Dialect, provider: Provider, allow: Container[str]) -> None:
        self.losses: set[str] = set()
        self.front = front
        self.back = provider.dialect
        self.provider = provider
        self.allow = allow
        self.takes = provider.takes
        self.same = front.name == provider.dialect.name

    def rule(self, name: str) -> Rule:
        """The rule of a concept."""
        return rule_of(name, self.back.name)

    def says(self, name: str, field: str, what: str = "", *, taken: bool = True) -> bool:
        """Whether a concept is said; else it is left out. `taken`: whether the service takes it, as
        its format does. `field` and `what` tell the caller where it is. Raises BadRequest if it
        can't be left out."""
        if self.same:
            return True
        rule = self.rule(name)
        if rule == "=" and taken:
            return True
        if rule == "x":
            raise self.refuse(field, what)
        if rule != "-" and name not in self.allow:
            raise self.refuse(field, what, name)
        self.losses.add(name)
        return False

    def need(self, name: str, field: str, what: str = "", *, taken: bool = True) -> None:
        """A concept without which there is no sense in asking. Raises BadRequest if it is not
        said."""
        if not (self.same or (taken and self.rule(name) == "=")):
            raise self.refuse(field, what)

    def refuse(self, field: str, what: str = "", allow: str = "") -> BadRequest:
        """The refusal of what can't be said; `allow` is the loss by which it could be left out."""
        front, back = self.front.name, self.back.name
        if field in FIELDS:
            field = field_of(field, front)
        what = f"{what[:200]} " if what else ""
        advice = f"leave it out, or use a model whose upstream speaks {front}"
        if allow:
            advice += f'; the operator may allow its loss (allow = ["{allow[:80]}"])'
        message = f"{field[:200]}: {what}can't be translated from {front} to {back}: {advice}"
        return refuse(BadRequest, 400, message)

    def leave_out(self, field: str, what: str, name: str) -> None:
        """Something that only the front knows is left out. Raises BadRequest unless that is
        allowed, by its `name` or in general."""
        if name not in self.allow and "unknown" not in self.allow:
            raise self.refuse(field, what, name)
        self.losses.add("unknown")

    def leave_out_further(self, native: Native | None, said: Sequence[Any], field: str) -> None:
        """What the native form of the front says beside `said` is left out. Raises BadRequest."""
        if native is None:
            return
        for path in _unsaid(value_of(native), said):
            name = path.rpartition(".")[2]
            if f"{field}.{name}" in self.front.hints:
                self.losses.add("hints")
            else:
                self.leave_out(field, f"an unknown field ({path})", name)

    def cache(self, mark: Cache) -> Cache:
        """A cache mark, if it can be said."""
        if not mark or self.same or ("cache" in self.takes and self.rule("cache") == "="):
            return mark
        self.losses.add("cache")
        return ""


def is_empty(value: Any) -> bool:
    """Whether a field says nothing."""
    return value in (None, "", [], {})


def type_of(part: Opaque) -> str:
    """What a format calls something that only it understands."""
    value = value_of(part.native)
    if not is_object(value):
        return ""
    kind = value.get("type")
    return kind if isinstance(kind, str) else ", ".join(value)


def _unsaid(value: Any, said: Sequence[Any], path: str = "") -> Iterator[str]:
    """The paths of what a native form says and `said` does not. What kind of thing it is is told by
    where it is."""
    if value is False or is_empty(value) or value in said:
        return
    if is_object(value):
        for key, inner in value.items():
            if key not in ("type", "role"):
                yield from _unsaid(inner, said, f"{path}.{key}" if path else key)
    elif is_list(value):
        for inner in value:
            yield from _unsaid(inner, said, path)
    else:
        yield path
