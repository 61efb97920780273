"""The reference of the configuration in docs/gateway-configuration.md, made of the schema.

`python -m tests.gateway.reference` writes it.
"""

from pathlib import Path
from typing import Any

from msgspec.structs import fields

from tokenwire.gateway.config import Rules, schema

PAGE = Path(__file__).parent.parent.parent / "docs" / "gateway-configuration.md"
HEADING = "## All keys\n"

TABLES = {
    "File": "The file",
    "RulesEntry": "`[defaults]`",
    "ProviderEntry": "`[providers.NAME]`",
    "AwsEntry": "`key` of AWS",
    "ModelEntry": "`[[models]]`",
    "TargetEntry": "`targets` of a model",
    "KeyEntry": "`[[keys]]`",
    "SignerEntry": "`aws` of a key",
    "Bounded": "`per_model` of a key",
    "ClocksEntry": "`clocks`",
    "Limits": "`limits`",
    "Budget": "`budget`",
    "Price": "`price`",
    "Sticky": "`sticky`",
}

RULES = {field.name: field.default for field in fields(Rules) if not field.required}
"""What counts where no table says it."""


def reference() -> str:
    """The tables of all keys."""
    definitions = schema()["$defs"]
    assert definitions.keys() == TABLES.keys()
    blocks: list[str] = []
    for name, title in TABLES.items():
        table = definitions[name]
        about = " ".join(table["description"].split())
        blocks.append(f"### {title}\n\n{about}\n\n| key | value | default |\n|---|---|---|")
        for key, kind in table["properties"].items():
            needed = key in table.get("required", ())
            usual = RULES.get(key) if name == "RulesEntry" else kind.get("default")
            default = "**needed**" if needed else shown(usual)
            blocks[-1] += f"\n| `{key}` | {value(kind)} | {default} |"
    return "\n\n".join(blocks) + "\n"


def value(kind: dict[str, Any]) -> str:
    """What a key may have, in words."""
    if "anyOf" in kind:
        return ", or ".join(value(each) for each in kind["anyOf"] if each.get("type") != "null")
    if "$ref" in kind:
        return TABLES[kind["$ref"].rpartition("/")[2]].partition(" of ")[0]
    if "enum" in kind:
        return ", ".join(f"`{word}`" for word in kind["enum"] if word != "")
    match kind.get("type"):
        case "array":
            return f"list of: {value(kind['items'])}"
        case "object":
            inner: Any = kind.get("additionalProperties")
            return f"table of: {value(inner)}" if inner else "table"
        case "string":
            return {"date": "date"}.get(kind.get("format", ""), "text")
        case "boolean":
            return "true, false"
        case "integer":
            return "whole number"
        case "number":
            return "number"
        case _:
            return "anything"


def shown(default: Any) -> str:
    """A default, if it says something."""
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    return f"`{default}`" if default or default == 0 else ""


def page() -> str:
    """The page with the reference as it should be."""
    before, heading, after = PAGE.read_text(encoding="utf-8").partition(HEADING)
    introduction = after.partition("###")[0]
    return before + heading + introduction + reference()


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
