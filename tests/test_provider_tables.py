"""docs/providers.md: its tables are those of the records."""

import re
from urllib.parse import urlsplit

from tests.provider_tables import PAGE, page, tables
from tokenwire import PROVIDERS


def test_the_page_has_the_tables_of_the_records() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert page(text) == text, "make providers"


def test_each_provider_has_a_row() -> None:
    rows = [line for line in tables().splitlines() if line.startswith("| `")]
    assert [row.split("`")[1] for row in rows] == list(PROVIDERS)
    groq = next(row for row in rows if row.startswith("| `groq`"))
    for said in ("https://api.groq.com/openai/v1", "GROQ_API_KEY", "max_completion_tokens"):
        assert f"`{said}`" in groq
    assert "none, low, medium, high" in groq
    minimax = next(row for row in rows if row.startswith("| `minimax`"))
    assert "`max_completion_tokens` (?)" in minimax


def test_what_has_no_preset_is_no_preset() -> None:
    """The addresses in the page's own table are not those of a record."""
    text = PAGE.read_text(encoding="utf-8")
    further = text[text.index("## Further services") :]
    urls: list[str] = re.findall(r"`(https://[^`]*)`", further)
    hosts = {urlsplit(url).hostname for url in urls}
    assert len(hosts) > 20
    assert hosts.isdisjoint(urlsplit(each.base_url).hostname for each in PROVIDERS.values())
