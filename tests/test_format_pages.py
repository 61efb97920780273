"""docs/formats: each format has a page, with the facts that it declares."""

import pytest

from tests.format_pages import FOLDER, OPTIONS, facts, page
from tokenwire import Chat, Dialect
from tokenwire.protocols.registry import DIALECTS, dialect_named

SPELT_OUT = {
    *("history", "system_first", "any_start", "empty", "name", "extra", "images", "image_bytes"),
    *("detail", "files", "tools", "tool_choice", "tools_off", "tools_kept", "parallel", "strict"),
    *("custom", "cache", "effort", "logprobs", "chosen_logprobs", "stream"),
}
"""The words of `Dialect.takes` that have a row."""

UNSAID = {"named"}
"""Those that say nothing to a caller: results of tools find their calls without help."""


@pytest.mark.parametrize("name", DIALECTS)
def test_the_page_has_the_facts_of_the_format(name: str) -> None:
    text = (FOLDER / f"{name}.md").read_text(encoding="utf-8")
    assert page(name, text) == text, "make formats"


def test_each_page_is_that_of_a_format() -> None:
    assert {path.stem for path in FOLDER.iterdir()} == set(DIALECTS)


def test_each_word_that_a_format_declares_is_told() -> None:
    declared = {word for name in DIALECTS for word in dialect_named(name).takes}
    assert declared == SPELT_OUT | UNSAID | set(OPTIONS)
    assert set(OPTIONS) <= set(Chat.__struct_fields__)


def test_some_facts() -> None:
    anthropic, gemini, darkai = facts("anthropic"), facts("gemini"), facts("darkai")
    assert "| cache marks | yes |" in anthropic
    assert "| cache marks | **no** |" in gemini
    assert "| system messages | at the start |" in gemini
    assert "| messages | **no** |" in darkai
    assert "Refused by name, before anything is sent: `n`, `seed`" in anthropic
    assert "- Refused, asked in this format: " in anthropic
    assert "several answers (`n`)" in anthropic
    assert "gateway" not in darkai
    assert "the query field `key`" in gemini
    assert "| `SAFETY` | `content_filter` |" in gemini
    assert "the format's end mark (`terminator`)" in darkai


@pytest.mark.parametrize("name", DIALECTS)
def test_the_docstring_of_a_format_says_what_it_loses(name: str) -> None:
    assert "## What is lost" in facts(name)
    assert isinstance(dialect_named(name), Dialect)
