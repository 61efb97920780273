"""Prints the tables of docs/providers.md from the providers' records, and puts them there.

make providers
"""

from itertools import groupby
from pathlib import Path
from typing import get_args

from tokenwire import PROVIDERS, Provider
from tokenwire.protocols.chat import Effort

__all__ = ["PAGE", "page", "tables"]

PAGE = Path(__file__).parent.parent / "docs" / "providers.md"
BEGIN, END = "<!-- make providers -->\n", "<!-- end -->\n"


def page(text: str) -> str:
    """`text` with new tables in the place of the old ones."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{tables()}\n{END}{after}"


def tables() -> str:
    """A table for each format: only of columns that are not empty."""
    by_format = groupby(PROVIDERS.values(), key=_format)
    return "\n".join(_table(name, [_row(each) for each in found]) for name, found in by_format)


def _format(provider: Provider) -> str:
    """Its format, by the name of the folder: a subclass may keep the `name` of its base."""
    return type(provider.dialect).__module__.rpartition(".")[2]


def _table(name: str, rows: list[dict[str, str]]) -> str:
    columns = [column for column in rows[0] if any(row[column] for row in rows)]
    lines = [[*columns], ["---"] * len(columns)]
    lines += [[row[column] for column in columns] for row in rows]
    return "\n".join([f"### {name}\n", *(f"| {' | '.join(line)} |" for line in lines)]) + "\n"


def _row(provider: Provider) -> dict[str, str]:
    def marked(field: str, text: str) -> str:
        return f"{text} (?)" if text and field in provider.doubtful else text

    chat = provider.dialect.name == "openai_chat"
    efforts = provider.dialect.efforts if provider.effort is None else provider.effort
    required = ", required" if provider.history_required else ""
    return {
        "provider": f"`{provider.name}`",
        "base URL": _code(provider.base_url),
        "key from": marked("env", _key(provider)),
        "base URL from": _code(*provider.base_env, *provider.params.values()),
        "effort": ", ".join(word for word in get_args(Effort) if word in efforts),
        "limit": marked("max_tokens", _code(provider.max_tokens)) if chat else "",
        "asked for usage": marked("ask_usage", "yes" if provider.ask_usage else "no")
        if chat
        else "",
        "thoughts go back as": f"{_code(provider.history)}{required}",
        "schema": marked("schema", provider.schema or "refused") if chat else "",
        "does not take": marked("refuses", _code(*sorted(provider.refuses))),
        "lists models": marked("models_path", "yes" if provider.models_path else "no"),
        "checked": provider.checked,
    }


def _key(provider: Provider) -> str:
    if provider.key_place is None:
        return "no key"
    return _code(*provider.env) + (" (optional)" if provider.key_optional else "")


def _code(*words: str) -> str:
    return ", ".join(f"`{word}`" for word in words if word)


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
