"""Prints the facts of docs/formats/*.md from what each `Dialect` declares, and puts them there.

make formats
"""

import sys
from collections.abc import Iterable, Iterator, Mapping
from inspect import getdoc
from pathlib import Path
from typing import get_args

from tokenwire import PROVIDERS, Bearer, Dialect, Event, Header, Query, SigV4
from tokenwire.gateway.matrix import ANSWERS, COLUMNS, REQUESTS, Row, Rule
from tokenwire.protocols.auth import Auth
from tokenwire.protocols.chat import Effort
from tokenwire.protocols.events import Evidence
from tokenwire.protocols.registry import DIALECTS, dialect_named

__all__ = ["FOLDER", "OPTIONS", "facts", "page"]

FOLDER = Path(__file__).parent.parent / "docs" / "formats"
BEGIN, END = "<!-- make formats -->\n", "<!-- end -->\n"

OPTIONS = (
    *("temperature", "top_p", "top_k", "max_tokens", "stop", "n", "seed", "presence_penalty"),
    *("frequency_penalty", "schema"),
)
"""Options of `Chat` that a format takes with any value, or not at all."""

_EVIDENCE: dict[Evidence, str] = {
    "terminator": "the format's end mark (`terminator`)",
    "finish": "a finish reason for every choice (`finish`), or the format's end mark",
    "body_end": "the end of the body as HTTP shows it (`body_end`)",
}
_RULES: dict[Rule, str] = {
    "x": "Refused",
    "?": "Refused, unless `allow` has its name",
    "-": "Left out",
}
_NO = "**no**"


def page(name: str, text: str) -> str:
    """`text` with the facts of the format `name` instead of the old ones."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{facts(name)}\n{END}{after}"


def facts(name: str) -> str:
    """What the format `name` carries and loses."""
    dialect = dialect_named(name)
    sections = {
        "What a request carries": _request(dialect),
        "What an answer carries": _answer(dialect),
        "What is lost": _lost(dialect),
        "Completion": _completion(dialect),
        "On the wire": _wire(name, dialect),
        "Through the gateway": _gateway(name),
    }
    return "\n".join(f"## {title}\n\n{body}\n" for title, body in sections.items() if body)


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _request(dialect: Dialect) -> str:
    carried = [f"`{option}`" for option in OPTIONS if option in dialect.takes]
    refused = [f"`{option}`" for option in OPTIONS if option not in dialect.takes]
    table = _table(("of a chat", "carried"), _concepts(dialect))
    options = f"Options that are carried: {', '.join(carried) or 'none'}."
    rest = f" Refused by name, before anything is sent: {', '.join(refused)}." if refused else ""
    return f"{table}\n\n{options}{rest}"


def _concepts(dialect: Dialect) -> Iterator[tuple[str, str]]:
    takes = dialect.takes

    def has(word: str, yes: str = "yes") -> str:
        return yes if word in takes else _NO

    yield "messages", has("history", "several, with their roles")
    if "history" in takes:
        yield "system messages", "at the start" if "system_first" in takes else "anywhere"
        yield "a conversation that the assistant begins", has("any_start")
        yield "messages without content", has("empty")
        yield "`Message.name`", has("name")
        yield "`Message.extra`", has("extra")
    by_bytes = "image_bytes" in takes
    yield "pictures", "by their bytes" if by_bytes else has("images", "by their bytes or address")
    if takes & {"images", "image_bytes"}:
        yield "`ImagePart.detail`", has("detail")
    yield "files", has("files")
    yield "tools", has("tools")
    if "tools" in takes:
        yield "`tool_choice`", _tool_choice(takes)
        yield "`parallel`", has("parallel")
        yield "`Tool.strict`", has("strict")
        yield "tool calls with free text", has("custom")
    yield "cache marks", has("cache")
    efforts = [f"`{word}`" for word in get_args(Effort) if word in dialect.efforts]
    yield "`effort`", ", ".join(efforts) if "effort" in takes else _NO
    yield "`logprobs`", "of the chosen tokens" if "chosen_logprobs" in takes else has("logprobs")
    yield "answers that are not streamed (`stream=False`)", has("stream")


def _tool_choice(takes: frozenset[str]) -> str:
    if "tools_off" in takes:
        return "`auto`, `none`"
    if "tool_choice" not in takes:
        return _NO
    return "yes; not `none` after a call" if "tools_kept" in takes else "yes"


def _answer(dialect: Dialect) -> str:
    def listed(kinds: Iterable[type[Event]]) -> str:
        return ", ".join(f"`{kind.__name__}`" for kind in kinds)

    kinds: tuple[type[Event], ...] = get_args(Event)
    says = f"The server half can write {listed(kind for kind in kinds if kind in dialect.says)}."
    missing = [kind for kind in kinds if kind not in dialect.says]
    return f"{says} It has no words for {listed(missing)}." if missing else says


def _lost(dialect: Dialect) -> str:
    """What the docstring of the format says after its first line."""
    _, _, text = (getdoc(sys.modules[type(dialect).__module__]) or "").partition("\n\n")
    return text


def _completion(dialect: Dialect) -> str:
    text = f"Required evidence: {_EVIDENCE[dialect.evidence]}, unless a provider says otherwise."
    if not dialect.finish:
        return f"{text} The format has no finish reasons."
    rows = ((f"`{word}`", f"`{kind}`" if kind else "") for word, kind in dialect.finish.items())
    return f"{text}\n\n{_table(('finish reason', '`Finish.kind`'), rows)}"


def _wire(name: str, dialect: Dialect) -> str:
    rows = ((each.does, f"`{each.method} {each.path}`") for each in dialect.endpoints)
    places = ", or ".join(map(_place, dialect.auth)) or "there is none"
    mine = [f"`{each.name}`" for each in PROVIDERS.values() if each.dialect is dialect]
    providers = f"[Providers](../providers.md#{name}): {', '.join(mine)}."
    frames = " Streams are binary." if dialect.binary else ""
    table = _table(("request", "the path ends in"), rows)
    return f"{table}\n\nThe key: {places}.{frames}\n\n{providers}"


def _place(auth: Auth) -> str:
    match auth:
        case Header() if auth == Bearer():
            return "`Authorization: Bearer KEY`"
        case Header(name=name):
            return f"the header `{name}`"
        case Query(name=name):
            return f"the query field `{name}`"
        case SigV4():
            return "a signature by AWS's Signature Version 4"
        case _:
            raise AssertionError(auth)


def _gateway(name: str) -> str:
    if name not in COLUMNS:
        return ""
    text = (
        "Between two formats the [gateway](../gateway.md) goes by "
        "[one table](../gateway-matrix.md). What it doesn't carry:"
    )
    asked = _rules("asked in this format", REQUESTS, name)
    said = _rules("answers for callers of this format", ANSWERS, name)
    return "\n".join([text, "", *asked, *said])


def _rules(what: str, rows: Mapping[str, Row], name: str) -> Iterator[str]:
    for rule, title in _RULES.items():
        ruled = [row for row in rows.values() if row.rules[name] == rule]
        if ruled:
            listed = "; ".join(f"{row.title} (`{row.name}`)" for row in ruled)
            yield f"- {title}, {what}: {listed}."


if __name__ == "__main__":
    for format in DIALECTS:
        path = FOLDER / f"{format}.md"
        path.write_text(page(format, path.read_text(encoding="utf-8")), encoding="utf-8")
