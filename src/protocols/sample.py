"""A value that fits a JSON Schema: what the echo answers with where JSON is asked for.

It follows the keywords that models are given (https://json-schema.org/draft/2020-12), but for
`pattern`, `not`, `if` and what says which keys are allowed. The same schema gives the same value.
"""

from math import ceil, floor
from typing import Any

from .encoding import merge
from .toolkit.json import is_list, is_object

__all__ = ["sample"]

_SHALLOW, _DEEPEST = 4, 40
"""How deep what is optional is given, and what is required. An object whose schema demands some of
its keys has only those."""

_MOST = 2000
"""How many schemas are looked at: one that refers to itself twice would have no end."""

_FORMATS = {
    "date": "2026-01-01",
    "date-time": "2026-01-01T00:00:00Z",
    "duration": "PT1H",
    "email": "someone@example.com",
    "hostname": "example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "time": "00:00:00Z",
    "uri": "https://example.com/",
    "uuid": "00000000-0000-4000-8000-000000000000",
}


def sample(schema: Any, text: str) -> Any:
    """A value of `schema`, whose strings are `text` where the schema lets them be anything."""
    return _Sampler(schema, text).value(schema, 0)


class _Sampler:
    def __init__(self, root: Any, text: str) -> None:
        self._root = root
        self._text = text
        self._left = _MOST

    def value(self, schema: Any, depth: int) -> Any:
        if self._is_too_much(depth):  # a schema that demands itself has no value
            return None
        if not is_object(schema):  # true: anything
            return self._text
        schema = self._resolved(schema, depth)
        if "const" in schema:
            return schema["const"]
        if is_list(choices := schema.get("enum")) and choices:
            return choices[0]
        for key in ("anyOf", "oneOf"):
            if is_list(choices := schema.get(key)) and choices:
                rest = {k: v for k, v in schema.items() if k != key}
                return self.value(_both(rest, self._resolved(choices[0], depth)), depth + 1)
        match _type(schema):
            case "object":
                return self._object(schema, depth)
            case "array":
                return self._array(schema, depth)
            case "string":
                return self._string(schema)
            case "integer" | "number" as kind:
                return _number(schema, kind)
            case "boolean":
                return False
            case "null":
                return None
            case _:
                return self._text

    def _is_too_much(self, depth: int) -> bool:
        self._left -= 1
        return depth > _DEEPEST or self._left < 0

    def _resolved(self, schema: Any, depth: int) -> dict[str, Any]:
        """`schema` with what it refers to and all of `allOf` put into it."""
        if not is_object(schema) or self._is_too_much(depth):
            return {}
        rest = {k: v for k, v in schema.items() if k not in ("$ref", "allOf")}
        if isinstance(ref := schema.get("$ref"), str):
            rest = _both(self._resolved(self._at(ref), depth + 1), rest)
        parts = schema.get("allOf")
        for part in parts if is_list(parts) else ():
            rest = _both(rest, self._resolved(part, depth + 1))
        return rest

    def _at(self, reference: str) -> Any:
        """What stands at a JSON Pointer (RFC 6901) into the whole schema."""
        found = self._root
        for name in reference.split("/")[1:]:
            name = name.replace("~1", "/").replace("~0", "~")
            found = found.get(name) if is_object(found) else None
        return found

    def _object(self, schema: dict[str, Any], depth: int) -> dict[str, Any]:
        properties = schema.get("properties")
        known: dict[str, Any] = properties if is_object(properties) else {}
        required = schema.get("required")
        names = list(required) if is_list(required) else []
        if not names and depth < _SHALLOW:
            names = list(known)
        return {name: self.value(known.get(name), depth + 1) for name in names}

    def _array(self, schema: dict[str, Any], depth: int) -> list[Any]:
        first = schema.get("prefixItems")
        kinds: list[Any] = list(first) if is_list(first) else []
        most = _count(schema, "maxItems", 100)
        least = min(_count(schema, "minItems", int(depth < _SHALLOW)), 100)
        kinds += [schema.get("items")] * (least - len(kinds))
        return [self.value(kind, depth + 1) for kind in kinds[:most]]

    def _string(self, schema: dict[str, Any]) -> str:
        text = _FORMATS.get(str(schema.get("format")), self._text)
        text = text.ljust(min(_count(schema, "minLength", 0), 10_000), ".")
        return text[: _count(schema, "maxLength", len(text))]


def _both(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """A schema that demands what both do, as far as keys can be merged."""
    both = merge(one, other)
    if is_list(first := one.get("required")) and is_list(second := other.get("required")):
        both["required"] = [*first, *(name for name in second if name not in first)]
    return both


def _type(schema: dict[str, Any]) -> Any:
    kind = schema.get("type")
    if is_list(kind):  # what may be null is given
        kind = next((name for name in kind if name != "null"), "null")
    if kind is None:
        for key, implied in (("properties", "object"), ("items", "array"), ("minLength", "string")):
            if key in schema:
                return implied
    return kind


def _count(schema: dict[str, Any], key: str, default: int) -> int:
    value = schema.get(key)
    return value if isinstance(value, int) and value >= 0 else default


def _number(schema: dict[str, Any], kind: str) -> int | float:
    """The number nearest to the lower bound, or else to the upper one, or else 1."""
    bounds = {
        key: value
        for key in ("minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum", "multipleOf")
        if isinstance(value := schema.get(key), int | float) and not isinstance(value, bool)
    }
    step = abs(bounds.get("multipleOf", 1)) or 1
    if kind == "integer":
        step = max(int(step), 1)
    lows = [bounds[key] for key in ("minimum", "exclusiveMinimum") if key in bounds]
    highs = [bounds[key] for key in ("maximum", "exclusiveMaximum") if key in bounds]
    value = step
    if lows:
        value = ceil(max(lows) / step) * step
        value += step if value == bounds.get("exclusiveMinimum") else 0
    elif highs:
        value = floor(min(highs) / step) * step
        value -= step if value == bounds.get("exclusiveMaximum") else 0
    if lows and highs and value >= min(highs) and kind == "number":
        value = (max(lows) + min(highs)) / 2  # there may be no whole number between them
    return value
